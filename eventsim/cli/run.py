"""The command `run`: a data set through a model, a batch at a time, in bounded memory."""

import json
import sys
from contextlib import contextmanager
from pathlib import Path

from eventsim.cli import arguments as loading
from eventsim.cli.arguments import natural
from eventsim.errors import DataError, EventsimError
from eventsim.runs.evaluating import batch_size, Gathered


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
                     help="default: fixed for a model that brings a chip, else float32")
    run.add_argument("--chip", metavar="CHIP",
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
    run.add_argument("--detailed", type=natural, metavar="N",
                     help="samples, evenly spread, whose membranes and intervals go into the statistics of "
                          "--out; default: one in 1024, but 4 to 64; 0: none")
    return run


def run_run(arguments):
    """eventsim run MODEL DATA"""
    from eventsim import Simulator
    from eventsim.statistics import result
    from eventsim.costs.energy_table import DEFAULT, find_energy_table
    from eventsim.runs import summary
    from eventsim.storage import writing
    from eventsim.inputs.dataset import open_dataset
    from eventsim.runs.file import Writer
    from eventsim.statistics.result import KINDS

    if arguments.out is None and (arguments.record or arguments.detailed is not None):
        option = "--record" if arguments.record else "--detailed"
        raise DataError(f"{option} says what a file keeps of the run: add --out FILE.h5")
    for kind in set(arguments.record) & set(result.KINDS):  # they would be gathered twice of some samples
        raise DataError(f"--record {kind} is not needed: --out keeps statistics of all samples, and --detailed N "
                        "says of how many samples intervals and membranes")
    writing.spare(arguments.out, arguments.model, arguments.data)
    energy_table = find_energy_table(arguments.energy or DEFAULT)
    model = loading.load(arguments.model, arguments)
    with _naming(arguments.model):
        simulator = Simulator(model, arguments.precision, arguments.workers, chip=arguments.chip)
    dataset = open_dataset(arguments.data, model.nodes[model.input], arguments.timesteps or model.timesteps)
    # before the time is taken: the seconds reported are those of the simulation
    simulator.compile((*arguments.record, *KINDS) if arguments.out else ())
    batch = batch_size(model, dataset)
    gathered = Gathered(simulator, arguments, dataset, batch)
    with Writer(arguments.out) as writer:
        for x, y in _progress(dataset, batch, arguments.limit):
            with _naming(arguments.data):
                writer.add(gathered.run(x, y), y)
        summary = summary.summarise(
            model, simulator.program, gathered.counts, gathered.right, gathered.seconds, arguments.model,
            arguments.data, arguments.workers, gathered.audit, energy_table, gathered.conventions,
            dataset.n_dropped_events,
        )
        if arguments.out is not None:
            writer.finish({**summary.as_json(), **summary.context(model)}, gathered.statistics)
    print(json.dumps(summary.as_json()) if arguments.json else summary.as_text())
    if arguments.energy and not arguments.json:
        print("\n" + summary.energy.as_text())
    if arguments.conventions and not arguments.json:
        print("\n" + summary.conventions.as_text())
    return 0


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
