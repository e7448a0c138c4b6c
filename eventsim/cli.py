"""The command line: info, check, run; diff and convert are in `comparison.commands`.

Every subcommand is a function of the parsed arguments that returns an exit status: 0 done, 1 an
error of the user's (one line on standard error) or a check that failed, 2 wrong usage or nothing
to check, 3 a difference that diff found.
"""

import argparse
import json
import sys
from contextlib import contextmanager
from pathlib import Path

from eventsim import loading
from eventsim.comparison import commands as comparing
from eventsim.errors import EventsimError

BATCH = 256  # samples read and run at a time


def parser():
    """The argument parser of the `eventsim` command."""
    top = argparse.ArgumentParser(
        prog="eventsim",
        description="Run trained spiking networks by additions only, and count what they cost.",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="say what is in a model file")
    info.set_defaults(run=run_info)

    check = commands.add_parser(
        "check", help="run the model's own check samples and compare with its trainer's results",
        description="Exit status 0: all matched; 1: something did not; 2: nothing to check.",
    )
    check.set_defaults(run=run_check)

    run = commands.add_parser(
        "run", help="run a data set through a model",
        description="DATA: HDF5 or .npz with x and y, MNIST IDX, CIFAR binary, or N-MNIST folders.",
    )
    run.set_defaults(run=run_run)
    for command in (info, check, run):
        command.add_argument("model", metavar="MODEL", help="model file: native (.h5), NIR (.nir) or lava-dl (.net)")
    run.add_argument("data", metavar="DATA", help="data file or folder")
    run.add_argument("--timesteps", type=_positive, metavar="T", help="steps; default: the model's")
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
    run.add_argument("--workers", type=_positive, default=1, metavar="N", help="threads (default 1)")
    run.add_argument("--limit", type=_positive, metavar="N", help="run only the first N samples")
    run.add_argument("--record", action="append", default=[], metavar="WHAT",
                     help="spikes, potentials, residuals, outputs, or WHAT:NODE; repeat for more; needs --out")
    run.add_argument("--out", type=Path, metavar="FILE.h5", help="write results and recordings to FILE.h5")
    diff, convert = comparing.add_parsers(commands, _positive)
    for command in (info, check, run, diff, convert):
        command.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    for command in (info, check, run, convert):
        loading.add_options(command)
    return top


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a whole number above 0")
    return value


def run_info(arguments):
    """eventsim info MODEL"""
    from eventsim import report

    model = loading.load(arguments.model, arguments)
    if arguments.json:
        print(json.dumps({"model": arguments.model, **report.describe(model)}))
    else:
        print(report.describe_text(model, arguments.model))
    return 0


def run_check(arguments):
    """eventsim check MODEL"""
    from eventsim import checking

    model = loading.load(arguments.model, arguments)
    if model.check is None:
        print(f"eventsim: {arguments.model}: nothing to check: the file has no check group", file=sys.stderr)
        return 2
    result = checking.check(model)
    if arguments.json:
        print(json.dumps({"model": arguments.model, "passed": result.passed, **result.measures}))
    else:
        print("\n".join(result.lines))
        print(f"{arguments.model}: {'passed' if result.passed else 'FAILED'}")
    return 0 if result.passed else 1


def run_run(arguments):
    """eventsim run MODEL DATA"""
    from eventsim import Simulator, audit, conventions, energy_tables, report
    from eventsim.datasets import open_dataset
    from eventsim.errors import DataError
    from eventsim.recording import Writer

    if arguments.record and arguments.out is None:
        raise DataError("--record keeps what it records in a file: add --out FILE.h5")
    energy_table = energy_tables.find(arguments.energy or energy_tables.DEFAULT)
    model = loading.load(arguments.model, arguments)
    with _naming(arguments.model):
        simulator = Simulator(model, arguments.precision, arguments.workers, profile=arguments.profile)
    dataset = open_dataset(arguments.data, model.nodes[model.input], arguments.timesteps or model.timesteps)
    simulator.compile()  # so that the seconds reported are those of the simulation
    right = None if dataset.labels is None else 0
    record = (*arguments.record, *(["audit"] if arguments.audit else []),
              *(conventions.needed(model) if arguments.conventions else []))
    counts, seconds, audits, counted = None, 0.0, [], None
    with Writer(arguments.out) as writer:
        for x, y in _progress(dataset, arguments.limit):
            with _naming(arguments.data):
                recording = next(simulator.iterate([x], arguments.timesteps, record))
            seconds += recording.seconds
            if right is not None:
                right += int((recording.predictions == y).sum())
            counts = recording.counts.summed(counts)
            audits = [audit.joined([*audits, recording.audit])] if arguments.audit else []
            if arguments.conventions:
                counted = conventions.count(model, recording, x).joined(counted)
                recording = conventions.without_spikes(recording, except_for=arguments.record)
            writer.add(recording, y)
        summary = report.summarise(
            model, simulator.program, counts, right, seconds, arguments.model, arguments.data,
            arguments.workers, audits[0] if audits else None,
            energy_table, counted,
        )
        writer.finish(summary.as_json())
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


def _progress(dataset, limit):
    """Batches of a data set, with a progress bar on a terminal."""
    from tqdm import tqdm

    total = len(dataset) if limit is None else min(limit, len(dataset))
    with tqdm(total=total, unit=" samples", disable=not sys.stderr.isatty(), leave=False) as bar:
        for x, y in dataset.batches(BATCH, limit):
            yield x, y
            bar.update(len(x))


def main(arguments=None):
    """Run the command line; returns the exit status."""
    parsed = parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except EventsimError as error:
        print(f"eventsim: {error}", file=sys.stderr)
        return 1
    except MemoryError as error:
        reason = " ".join(str(error).split()) or "no memory is left"
        print(f"eventsim: {parsed.model}: does not fit into memory ({reason})", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("eventsim: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 141
