"""The ablations of both papers, at a budget for two cores: train every cell, measure it in eventsim.

    pip install -e .[train]
    python examples/ablation.py FOLDER            FOLDER: CIFAR-10, binary version
    python examples/ablation.py FOLDER --only bits --seeds 5
    python examples/ablation.py FOLDER --network resnet20 --samples 45000 --epochs 10 --lr 0.02 \\
        --augmentation simple --only mpr neurons --timesteps 4 --sessions KEPT --seconds 3000

A cell is a setting (`CELLS`), trained from several seeds. Each run trains a small ResNet on CIFAR-10, the
same few epochs for all, exports it and runs the exported file in eventsim (float32) on the 5,000
training images that are held out: accuracy, spikes, synaptic operations, additions, the use of each bit,
and for MPR the quantisation error before and after. One row a run goes into results/runs.csv; runs
that are there already are not repeated. With --sessions KEPT, a run that --seconds ends is kept in that folder,
and the same command goes on with it: so a budget of hours is spent in sessions of any length. At the end
`ablation_report.py` turns the rows of the budget that most have into tables and plots, and tells of the claims at
every other; `ablation_claims.py` prints these of any file of runs. A run that fails or diverges is named, and has
no row; the others go on, and the status is 1 at the end. It is 3 where --seconds ended the session before all runs
were done.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import sys
import tempfile
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import MISSING, asdict, dataclass, fields, replace
from itertools import islice
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import Tuple, get_args, get_origin

import numpy as np
from tqdm import tqdm

import commands
from commands import AT_LEAST_0, POSITIVE
from eventsim.merging import merge
from eventsim.storage import writing
from trainer.errors import TrainerError

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "results"
RUNS = RESULTS / "runs.csv"
MEMBRANES = RESULTS / "membranes.csv"
LAYER = "stage2_1a"  # first layer of the second block, as in the paper's Table 3 and Figure 5
N_MEMBRANES = 500  # held-out images whose membranes are looked at
BATCH = 500


@dataclass(frozen=True)
class Cell:
    """What is varied. m, n: integer and fractional bits of a spike."""

    neuron: str = "SRIF"
    timesteps: int = 2
    m: int = 1
    n: int = 0
    restimulation: bool = False


@dataclass(frozen=True)
class Budget:
    """What all cells have in common: ResNet8 on maps of 16 x 16, a few epochs.

    network: of trainer.networks, a ResNet. stride: of its stem. augmentation: "none", or "simple": crop and flip.
    half: convolutions in bfloat16; processors without instructions for it are several times faster in float32.
    optimizer: of `trainer.training.Recipe`.
    """

    widths: Tuple[int, ...] = (16, 32, 64)
    stride: int = 2
    samples: int = 30000
    epochs: int = 2
    batch_size: int = 64
    lr: float = 0.1
    network: str = "resnet8"
    augmentation: str = "none"
    half: bool = True
    optimizer: str = "sgd"


NEURONS = ("hard LIF", "hard IF", "SRIF")
SPLITS = ((1, 0), (2, 0), (1, 1), (3, 0), (2, 1), (1, 2), (4, 0), (3, 1), (2, 2), (1, 3))
CELLS = {
    "neurons": [Cell(neuron, t) for t in (2, 4, 6, 8) for neuron in NEURONS],
    "mpr": [Cell("SRIF+MPR", 4), Cell("SRIF", 4)],
    "bits": [Cell(m=m, n=n) for m, n in SPLITS],
    "restimulation": [Cell(m=1, n=n, restimulation=r) for n in range(4) for r in (False, True)],
}


@dataclass(frozen=True)
class Run:
    """A row of runs.csv: the cell, its seed, the budget, and what was measured.

    accuracy: of the exported file in eventsim, float32; pytorch_accuracy: of the trained network.
    seconds: of training, one thread. Per image: spikes (events), synops, additions, dense_macs. bit_use:
    share of the neurons' events in which bit 0, 1, ... is set. error, rectified_error: mean quantisation
    error (InfLoR-SNN, eq. 8) of `LAYER` before and after MPR.
    """

    neuron: str
    timesteps: int
    m: int
    n: int
    restimulation: bool
    seed: int
    widths: Tuple[int, ...]
    stride: int
    samples: int
    epochs: int
    batch_size: int
    lr: float
    accuracy: float
    pytorch_accuracy: float
    loss: float
    seconds: float
    spikes: float
    synops: float
    additions: float
    dense_macs: float
    bit_use: Tuple[float, ...]
    error: float
    rectified_error: float
    network: str = Budget.network  # older files lack it, and the next three
    augmentation: str = Budget.augmentation
    half: bool = Budget.half
    optimizer: str = Budget.optimizer

    @property
    def cell(self):
        """The Cell that was run."""
        return Cell(*(getattr(self, field.name) for field in fields(Cell)))

    @property
    def budget(self):
        """The Budget that it had."""
        return Budget(*(getattr(self, field.name) for field in fields(Budget)))


# ---- rows


def read(path=RUNS):
    """Return the Runs of a CSV file; none if there is no file. TrainerError where it is another file."""
    if not Path(path).exists():
        return []
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise TrainerError(f"{path}: is no CSV file: name a file of `ablation.py --runs`") from None
    return [_run_of(row, f"{path}: row {number}") for number, row in enumerate(rows, 1)]


def _run_of(row, place):
    """Return the Run of a row, a dict of texts. place: of the row, for errors."""
    needed = [field.name for field in fields(Run) if field.default is MISSING]
    lacking = [name for name in needed if row.get(name) is None]
    if lacking:
        raise TrainerError(f"{place} has no {lacking[0]}: name a file of `ablation.py --runs`")
    values = {}
    for field in fields(Run):
        if row.get(field.name) is not None:
            try:
                values[field.name] = _parsed(row[field.name], field.type)
            except (ValueError, KeyError):
                raise TrainerError(f"{place} has {row[field.name]!r} as {field.name}: name a file of `ablation.py "
                                   "--runs`") from None
    return Run(**values)


def _parsed(text, kind):
    """Return the value of a text by the type of its field. ValueError or KeyError where it is none."""
    if get_origin(kind) is tuple:
        return tuple(_parsed(part, get_args(kind)[0]) for part in text.split())
    return {"True": True, "False": False}[text] if kind is bool else kind(text)


def write(runs, path=RUNS):
    """Save Runs, in an order that does not depend on when they ended."""
    names = [field.name for field in fields(Run)]
    runs = sorted(runs, key=lambda run: tuple(str(getattr(run, name)) for name in (*names[:12], *names[-4:])))
    save(path, names, ([_text(getattr(run, name)) for name in names] for run in runs))


def save(path, names, rows):
    """Write a CSV file, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(rows)
    writing.write_file(path, text.getvalue().encode())


def _text(value):
    if isinstance(value, tuple):
        return " ".join(map(_text, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


# ---- one run (in a process of its own: PyTorch and the data are loaded there)

_data = {}


@dataclass(frozen=True)
class Session:
    """How a run is kept from one session to the next.

    kept: folder for checkpoints of what is not finished, or None. seconds: a run stops after so long, or None.
    log: file that gets a line of JSON for each epoch, or None.
    """

    kept: Path = None
    seconds: float = None
    log: Path = None

    def checkpoint(self, cell, seed, budget):
        """Return the file of a run, or None."""
        name = hashlib.sha256(repr((cell, seed, budget)).encode()).hexdigest()[:16]
        return None if self.kept is None else Path(self.kept) / f"{name}.pt"

    def note(self, cell, seed, trainer):
        """Return what is called after each epoch, or None."""
        def write_line(epoch, loss):
            line = {**asdict(cell), "seed": seed, "epoch": epoch, "loss": round(loss, 4),
                    "seconds": round(trainer.seconds, 1)}
            with open(self.log, "a") as file:
                file.write(json.dumps(line) + "\n")

        return write_line if self.log is not None else None


def train_and_measure(folder, cell, seed, budget, session=Session()):
    """Return (Run, rows of membranes.csv or None) of one cell and seed; None if the session ended before it."""
    import torch

    from trainer.training import Recipe, Trainer, evaluate

    torch.set_num_threads(1)
    data = data_of(folder, budget.augmentation)
    n = min(budget.samples, len(data.training))
    part = data.training.part(np.arange(n), augmented=budget.augmentation != "none")
    torch.manual_seed(seed)
    net = build(cell, budget)
    trainer = Trainer(net, part, data.input_node,
                      Recipe(budget.epochs, budget.batch_size, budget.lr, seed=seed, half=budget.half,
                             optimizer=budget.optimizer),
                      checkpoint=session.checkpoint(cell, seed, budget))
    losses = trainer.run(seconds=session.seconds, log=session.note(cell, seed, trainer))
    if not trainer.finished:
        return None
    accuracy, _ = evaluate(net, data.held_out, data.input_node)
    numbers, membranes = measure(net, data)
    run = Run(**asdict(cell), seed=seed, **asdict(budget), pytorch_accuracy=accuracy, loss=losses[-1],
              seconds=trainer.seconds, **numbers)
    return run, membranes if seed == 0 else None


def data_of(folder, augmentation):
    """Return CIFAR-10, which a process reads once."""
    from trainer.data import cifar10

    if (folder, augmentation) not in _data:
        _data[folder, augmentation] = cifar10(folder, simple=True)
    return _data[folder, augmentation]


def build(cell, budget):
    """Return the network of a cell. tdBN's scale is that of the 1-bit neuron whatever n is: fractional bits then
    refine the range that integer bits span, instead of shrinking it."""
    from trainer import neurons
    from trainer.networks import NETWORKS, Style

    settings = {**neurons.NEURONS[cell.neuron], **neurons.fixed_point(cell.m, cell.n)}
    style = Style(settings, cell.restimulation, alpha=2.0**cell.n)
    return NETWORKS[budget.network](style, cell.timesteps, widths=budget.widths, stride=budget.stride)


def measure(net, data):
    """Return ({field of Run: value}, rows of membranes.csv or None) of a trained network, by eventsim alone."""
    import eventsim
    from trainer import rules  # noqa: F401 (from_torch then knows the trainer's modules)

    held_out = data.held_out
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.h5"
        samples, _ = held_out.batch(np.arange(2))
        eventsim.save(eventsim.from_torch(net, samples, data.input_node, class_names=data.class_names), path)
        model = eventsim.load(path)
    simulator = eventsim.Simulator(model, "float32")
    right, parts = 0, []
    for start in range(0, len(held_out), BATCH):
        x, y = held_out.batch(np.arange(start, min(start + BATCH, len(held_out))))
        recording = simulator.run(x, record=("statistics",))
        right += int((recording.predictions == y).sum())
        parts.append(recording)
    totals = {name: sum(part.counts.total(name) for part in parts) / len(held_out)
              for name in ("synops", "additions", "dense_macs")}
    statistics = merge([part.statistics for part in parts])
    trains = [train for name, train in statistics.trains.items() if name != model.input]
    events = sum(int(train.events.sum()) for train in trains)
    planes = sum(train.plane_events.sum(axis=1) for train in trains)
    numbers = {"accuracy": right / len(held_out), "spikes": events / len(held_out), **totals,
             "bit_use": tuple(float(round(share, 5)) for share in planes / max(events, 1)),
             "error": np.nan, "rectified_error": np.nan}
    x, _ = held_out.batch(np.arange(min(N_MEMBRANES, len(held_out))))
    membranes = simulator.run(x, record=("membranes",)).statistics.membranes[f"layers.{LAYER}"]
    numbers["error"] = membranes.error
    if membranes.rectified is None:
        return numbers, None
    numbers["rectified_error"] = membranes.rectified_error
    edges = np.concatenate(([-np.inf], membranes.edges, [np.inf])) * (0.5 if membranes.unit == "thresholds" else 1)
    return numbers, list(zip(edges[:-1], edges[1:], membranes.potentials, membranes.rectified))


# ---- all runs


def chosen(parts, timesteps=None, splits=None):
    """Return the cells of some parts of the study. timesteps, splits, of "m+n": only cells of these; None: of
    any."""
    return [cell for part in parts for cell in CELLS[part]
            if (timesteps is None or cell.timesteps in timesteps)
            and (splits is None or f"{cell.m}+{cell.n}" in splits)]


def missing(cells, seeds, budget, runs):
    """Return each (cell, seed) that no run has, seed by seed: an early stop leaves every cell with as many."""
    done = {(run.cell, run.seed) for run in runs if run.budget == budget}
    return [(cell, seed) for seed in seeds for cell in dict.fromkeys(cells) if (cell, seed) not in done]


def run_all(folder, todo, budget, jobs, session, path=RUNS):
    """Train `todo`, (cell, seed) each, in `jobs` processes; each run is saved when it ends, and its checkpoint
    goes. Stops starting new ones after session.seconds, and running ones if the session keeps them. Returns how
    many failed or diverged: these are named on standard error."""
    runs, n_failed = read(path), 0
    if session.kept is not None:
        Path(session.kept).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(jobs, get_context("spawn"), commands.end_on_interrupt) as pool, \
            tqdm(total=len(todo), disable=None, unit="run") as bar:
        try:
            for task, future in _as_they_end(pool, jobs, folder, budget, _in_time(todo, session)):
                error = future.exception()
                if error is not None:
                    _say_failed(task, error)
                    n_failed += 1
                elif future.result() is not None:
                    _store(task, *future.result(), budget, session, runs, path)
                    bar.update()
        except BrokenProcessPool:
            raise TrainerError("a process was ended from outside, as happens where memory is too small, and the "
                               "runs of the others with it: give fewer --jobs") from None
        except KeyboardInterrupt:
            for process in active_children():
                process.terminate()
            raise
    return n_failed


def _in_time(todo, session):
    """Yield (task, Session of its run) until session.seconds are over."""
    began = time.monotonic()
    for task in todo:
        left = None if session.seconds is None else session.seconds - (time.monotonic() - began)
        if left is not None and left < 0:
            return
        yield task, replace(session, seconds=None if session.kept is None else left)


def _as_they_end(pool, jobs, folder, budget, tasks):
    """Yield (task, future) of each run that has ended; `jobs` run at a time. tasks: what `_in_time` yields."""
    running = {}
    while True:
        for task, session in islice(tasks, jobs - len(running)):
            running[pool.submit(train_and_measure, folder, *task, budget, session)] = task
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future


def _store(task, run, membranes, budget, session, runs, path):
    """Save a run that has ended."""
    runs.append(run)
    write(runs, path)
    if session.kept is not None:
        session.checkpoint(*task, budget).unlink()
    if membranes is not None and (budget.network, budget.stride) == (Budget.network, Budget.stride):
        write_membranes(membranes, budget, Path(path).with_name(MEMBRANES.name))


def _say_failed(task, error):
    """Name a run that has no result, and why; with the traceback where the error is one of ours."""
    cell, seed = task
    again = ", re-stimulated" if cell.restimulation else ""
    verb, line = "diverged" if isinstance(error, FloatingPointError) else "failed", commands.line_of(error)
    tqdm.write(f"ablation: {cell.neuron}, T = {cell.timesteps}, {cell.m} + {cell.n} bits{again}, seed {seed} "
               f"{verb}: {line or repr(error)}", sys.stderr)
    if line is None and not isinstance(error, BrokenProcessPool):
        traceback.print_exception(error)


def read_membranes(budget, path=MEMBRANES):
    """Return the histogram of Figure 5 at a budget: (from, to, potentials, rectified) of each bin, or []."""
    return [row[2:] for row in _all_membranes(path) if tuple(row[:2]) == (budget.samples, budget.epochs)]


def write_membranes(rows, budget, path=MEMBRANES):
    """Save the histogram of Figure 5, beside those of other budgets."""
    mine = budget.samples, budget.epochs
    kept = [row for row in _all_membranes(path) if tuple(row[:2]) != mine]
    save(path, ("samples", "epochs", "from", "to", "potentials", "rectified"),
         (tuple(f"{float(value):.10g}" for value in row) for row in (*kept, *((*mine, *row) for row in rows))))


def _all_membranes(path):
    if not Path(path).exists():
        return []
    try:
        with open(path, newline="") as file:
            rows = [tuple(map(float, row)) for row in list(csv.reader(file))[1:]]
    except ValueError:
        rows = [()]
    if any(len(row) != 6 for row in rows):
        raise TrainerError(f"{path}: is no file of membranes: move it away, and it is written anew")
    return rows


def main(argv=None):
    """Run what is missing, then write tables and plots; 1 where a run failed, 3 where runs are left."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("folder", help="with CIFAR-10's binary version")
    p.add_argument("--only", choices=CELLS, nargs="+", default=list(CELLS), help="parts of the study")
    p.add_argument("--timesteps", type=POSITIVE, nargs="+", metavar="T",
                   help="of them only cells of so many steps")
    p.add_argument("--splits", nargs="+", metavar="M+N", choices=[f"{m}+{n}" for m, n in SPLITS],
                   help="of them only cells of so many integer and fractional bits")
    p.add_argument("--seeds", type=POSITIVE, default=3, help="runs of a cell (default 3)")
    p.add_argument("--jobs", type=POSITIVE, default=os.cpu_count() or 1, help="processes, each of one thread")
    p.add_argument("--seconds", type=AT_LEAST_0, help="start no new run after so long")
    p.add_argument("--sessions", type=Path, metavar="KEPT", help="folder for runs that are not finished: "
                   "--seconds then stops these, too")
    p.add_argument("--log", type=Path, help="file that gets a line of JSON for each epoch")
    p.add_argument("--runs", type=Path, default=RUNS, help="file of the runs (default results/runs.csv, from "
                   "which the report is then written)")
    budget = p.add_argument_group("budget, the same for all cells")
    budget.add_argument("--network", choices=("resnet8", "resnet20"), default=Budget.network)
    budget.add_argument("--widths", type=POSITIVE, nargs=3, default=Budget.widths)
    budget.add_argument("--stride", type=int, choices=(1, 2), default=Budget.stride, help="of the stem; 2 halves "
                        "all maps, which costs a quarter (default)")
    budget.add_argument("--samples", type=POSITIVE, default=Budget.samples)
    budget.add_argument("--epochs", type=POSITIVE, default=Budget.epochs)
    budget.add_argument("--batch-size", type=POSITIVE, default=Budget.batch_size)
    budget.add_argument("--lr", type=AT_LEAST_0, default=Budget.lr, help="default 0.1; ResNet20 without MPR does "
                        "not learn at that, but at 0.02")
    budget.add_argument("--augmentation", choices=("none", "simple"), default=Budget.augmentation)
    budget.add_argument("--optimizer", choices=("sgd", "adam"), default=Budget.optimizer, help="ResNet20 with "
                        "hard reset does not learn by SGD (default), but by Adam at a rate of 0.002")
    budget.add_argument("--float32", dest="half", action="store_false", help="instead of bfloat16")
    args = p.parse_args(argv)
    for option in ("runs", "log"):
        commands.check_folder(getattr(args, option), f"--{option}")
    if not Path(args.folder, "data_batch_1.bin").exists():
        raise TrainerError(f"{args.folder}: holds no data_batch_1.bin, expected CIFAR-10, binary version")
    cells = chosen(args.only, args.timesteps, args.splits)
    if not cells:
        known = dict.fromkeys(f"{cell.m}+{cell.n} bits in {cell.timesteps} steps" for cell in chosen(args.only))
        raise TrainerError(f"--timesteps, --splits: no cell of {', '.join(args.only)} is of these; expected some "
                           f"of {', '.join(known)}")
    RESULTS.mkdir(exist_ok=True)
    budget = Budget(**{field.name: getattr(args, field.name) for field in fields(Budget)} | {
        "widths": tuple(args.widths)})
    todo = missing(cells, range(args.seeds), budget, read(args.runs))
    session = Session(args.sessions, args.seconds, args.log)
    n_failed = run_all(args.folder, todo, budget, args.jobs, session, args.runs)
    n_left = len(missing(cells, range(args.seeds), budget, read(args.runs))) - n_failed
    if n_left:
        print(f"ablation: {n_left} of {len(todo)} runs are left: the same command goes on with them",
              file=sys.stderr)
    if args.runs == RUNS:
        import ablation_report as report

        report.main([])
    return 1 if n_failed else 3 if n_left else 0


if __name__ == "__main__":
    commands.run("ablation", main)
