"""The command `run`: a data set through a model, a batch at a time, in bounded memory."""

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from eventsim.cli import arguments as loading
from eventsim.errors import DataError, EventsimError

BATCH_BYTES = 1 << 20  # of levels, read and run at a time
BATCH = (16, 1024)  # at least and at most so many samples
# one sample in so many is looked at in detail, within these limits: what that costs stays a few per cent
SAMPLES_PER_DETAILED, LEAST_DETAILED, MOST_DETAILED = 1024, 4, 64


def add_parser(commands, positive):
    """Add `run` to the subparsers; positive: the type of a whole number above 0."""
    run = commands.add_parser(
        "run", help="run a data set through a model",
        description="DATA: HDF5 or .npz with x and y, MNIST IDX, CIFAR binary, or N-MNIST folders.",
    )
    run.set_defaults(run=run_run)
    run.add_argument("model", metavar="MODEL", help="model file: native (.h5), NIR (.nir) or lava-dl (.net)")
    run.add_argument("data", metavar="DATA", help="data file or folder")
    run.add_argument("--timesteps", type=positive, metavar="T", help="steps; default: the model's")
    run.add_argument("--precision", choices=("float32", "float64", "int8", "fixed"),
                     help="default: fixed for a model that brings a profile, else float32")
    run.add_argument("--profile", metavar="CHIP",
                     help="compute as a chip does: loihi, lava_sdnn or the path of a JSON file")
    run.add_argument("--audit", action="store_true",
                     help="say how far the integers went, and what their widths did to them")
    run.add_argument("--energy", metavar="TABLE",
                     help="print the energy by horowitz_45nm (what is used without this) or a JSON file's table")
    run.add_argument("--conventions", action="store_true",
                     help="print what sinabs, NeuroBench, SpikingJelly and syops-counter would count")
    run.add_argument("--workers", type=positive, default=1, metavar="N", help="threads (default 1)")
    run.add_argument("--limit", type=positive, metavar="N", help="run only the first N samples")
    run.add_argument("--record", action="append", default=[], metavar="WHAT",
                     help="spikes, potentials, residuals, outputs, or WHAT:NODE; repeat for more; needs --out")
    run.add_argument("--out", type=Path, metavar="FILE.h5",
                     help="write results, statistics and recordings to FILE.h5: for stats, plot and report")
    run.add_argument("--detailed", type=_natural, metavar="N",
                     help="samples, evenly spread, whose membranes and intervals go into the statistics of "
                          "--out; default: one in 1024, but 4 to 64; 0: none")
    return run


def _natural(text):
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def run_run(arguments):
    """eventsim run MODEL DATA"""
    from eventsim import Simulator, statistics
    from eventsim.costs import energy_table as energy_tables
    from eventsim.report import text as report
    from eventsim.storage import npz
    from eventsim.inputs.dataset import open_dataset
    from eventsim.engine.recording import Writer
    from eventsim.statistics import KINDS

    if arguments.out is None and (arguments.record or arguments.detailed is not None):
        option = "--record" if arguments.record else "--detailed"
        raise DataError(f"{option} says what a file keeps of the run: add --out FILE.h5")
    for kind in set(arguments.record) & set(statistics.KINDS):  # they would be gathered twice of some samples
        raise DataError(f"--record {kind} is not needed: --out keeps statistics of all samples, and --detailed N "
                        "says of how many samples intervals and membranes")
    npz.spare(arguments.out, arguments.model, arguments.data)
    energy_table = energy_tables.find(arguments.energy or energy_tables.DEFAULT)
    model = loading.load(arguments.model, arguments)
    with _naming(arguments.model):
        simulator = Simulator(model, arguments.precision, arguments.workers, profile=arguments.profile)
    dataset = open_dataset(arguments.data, model.nodes[model.input], arguments.timesteps or model.timesteps)
    # before the time is taken: the seconds reported are those of the simulation
    simulator.compile((*arguments.record, *KINDS) if arguments.out else ())
    batch = _batch(model, dataset)
    gathered = _Gathered(simulator, arguments, dataset, batch)
    with Writer(arguments.out) as writer:
        for x, y in _progress(dataset, batch, arguments.limit):
            with _naming(arguments.data):
                writer.add(gathered.run(x, y), y)
        summary = report.summarise(
            model, simulator.program, gathered.counts, gathered.right, gathered.seconds, arguments.model,
            arguments.data, arguments.workers, gathered.audit, energy_table, gathered.conventions,
            dataset.n_dropped_events,
        )
        if arguments.out is not None:
            writer.finish({**summary.as_json(), **report.context(model)}, gathered.statistics)
    print(json.dumps(summary.as_json()) if arguments.json else summary.as_text())
    if arguments.energy and not arguments.json:
        print("\n" + summary.energy.as_text())
    if arguments.conventions and not arguments.json:
        print("\n" + summary.conventions.as_text())
    return 0


class _Gathered:
    """What is kept of the batches run so far.

    counts: summed over the samples. right: correct predictions, None without labels. seconds: spent
    simulating, close-ups included. audit: as `Recording.audit`, or None. statistics: for --out, else None.
    conventions: for --conventions, else None.
    """

    def __init__(self, simulator, arguments, dataset, batch):
        self.simulator, self.arguments = simulator, arguments
        self.counts = self.audit = self.statistics = self.conventions = None
        self.right = None if dataset.labels is None else 0
        self.seconds, self.n_samples = 0.0, 0
        self.total = len(dataset) if arguments.limit is None else min(arguments.limit, len(dataset))
        self.detailed = _evenly_spread(arguments.detailed, self.total) if arguments.out else set()
        self.batch, self.close_up = batch, []

    def run(self, x, y):
        """Run a batch; returns its Recording, as it is to be written."""
        from eventsim.costs.other_tools import conventions
        from eventsim.statistics import ranges

        model = self.simulator.model
        wanted = [*self.arguments.record, *(["audit"] if self.arguments.audit else [])]
        extra = ["statistics", "outputs"] if self.arguments.out else []
        extra += conventions.needed(model) if self.arguments.conventions else []
        recording = self._run(x, [*wanted, *extra])
        self.seconds += recording.seconds
        if self.right is not None:
            self.right += int((recording.predictions == y).sum())
        self.counts = recording.counts.summed(self.counts)
        if recording.audit is not None:
            self.audit = recording.audit if self.audit is None else ranges.joined([self.audit, recording.audit])
        if self.arguments.conventions:
            self.conventions = conventions.count(model, recording, x).joined(self.conventions)
            recording = conventions.without_spikes(recording, except_for=self.arguments.record)
        if self.arguments.out:
            self._gather(x, y, recording)
            if "outputs" not in wanted:
                recording.answers = None
        return recording

    def _run(self, x, record):
        return next(self.simulator.iterate([x], self.arguments.timesteps, record))

    def _gather(self, x, y, recording):
        from eventsim.statistics import Statistics
        from eventsim.statistics.decisions import Decisions

        chosen = [i for i in range(len(x)) if self.n_samples + i in self.detailed]
        if chosen:
            self.close_up.append(x[chosen])
        self.n_samples += len(x)
        names = self.simulator.model.class_names
        found = recording.statistics.joined(
            Statistics(decisions=Decisions.of(recording.outputs, _classes(y), names)))
        self.statistics = found if self.statistics is None else self.statistics.joined(found)
        n_close_up = sum(map(len, self.close_up))
        if n_close_up >= self.batch or self.close_up and self.n_samples == self.total:
            again = self._run(np.concatenate(self.close_up), ["intervals", "membranes"])
            self.seconds += again.seconds
            self.statistics, self.close_up = self.statistics.joined(again.statistics), []


def _batch(model, dataset):
    """Samples to read and run together."""
    steps = dataset.n_steps or 1
    return int(np.clip(BATCH_BYTES // (steps * np.prod(model.shapes[model.input])), *BATCH))


def _evenly_spread(n, total):
    """The places of n of `total` samples; None: of as many as is the default."""
    if n is None:
        n = min(max(LEAST_DETAILED, -(-total // SAMPLES_PER_DETAILED)), MOST_DETAILED)
    n = min(n, total)
    return {i * total // n for i in range(n)}


def _classes(labels):
    """Labels that name classes: whole numbers; None for others."""
    return labels if labels is not None and labels.dtype.kind in "iu" else None


@contextmanager
def _naming(path):
    """Put the file before errors that do not name one."""
    try:
        yield
    except EventsimError as error:
        raise type(error)(f"{path}: {error}") from None


def _progress(dataset, batch, limit):
    """Batches of a data set, with a progress bar on a terminal."""
    from tqdm import tqdm

    total = len(dataset) if limit is None else min(limit, len(dataset))
    with tqdm(total=total, unit=" samples", disable=not sys.stderr.isatty(), leave=False) as bar:
        for x, y in dataset.batches(batch, limit):
            yield x, y
            bar.update(len(x))
