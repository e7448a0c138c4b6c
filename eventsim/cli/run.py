"""The command `run`: a data set through a model, a batch at a time, in bounded memory."""

import json
import sys
from pathlib import Path

from eventsim.cli.arguments import (
    add_json, add_memory_limit, add_model, add_options, load_model, naming, natural, positive, progress_bar,
)
from eventsim.cli.data_arguments import add_data_options, data_options, say_notes
from eventsim.errors import DataError
from eventsim.text import decimals, printable


def add_parser(commands):
    """Add `run` to the subparsers."""
    run = commands.add_parser(
        "run", help="run a data set through a model",
        description="DATA: HDF5 or .npz with x and y, .npy, MNIST IDX, CIFAR binary; recordings of events (.raw, "
        ".aedat, .aedat4, .dat, .es, .bin, .npy, .npz, HDF5, SHD, .csv), or a folder of them.",
    )
    run.set_defaults(run=run_run)
    add_model(run)
    run.add_argument("data", metavar="DATA", help="data file or folder")
    steps = run.add_mutually_exclusive_group()
    steps.add_argument("--timesteps", type=positive, metavar="T", help="steps; default: the model's, or, where "
                       "it says none, those of each recording")
    steps.add_argument("--whole", action="store_true", help="run each recording as long as it is, whatever the "
                                                            "model says")
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
                     help="spikes, currents, potentials, residuals (membranes after the reset: snnTorch mem, "
                          "SpikingJelly v), outputs, or WHAT:NODE; repeat for more; needs --out")
    run.add_argument("--out", type=Path, metavar="FILE.h5",
                     help="write results, statistics and recordings to FILE.h5: for stats, plot and report")
    run.add_argument("--detailed", type=natural, metavar="N",
                     help="samples, evenly spread, whose membranes and intervals go into the statistics of "
                          "--out; default: one in 1024, but 4 to 64; 0: none")
    add_memory_limit(run)
    add_json(run)
    add_data_options(run)
    add_options(run, own=("timesteps",))


def run_run(arguments):
    """eventsim run MODEL DATA"""
    from eventsim.costs.energy_table import DEFAULT, find_energy_table
    from eventsim.engine.simulator import Simulator
    from eventsim.inputs.dataset import open_dataset
    from eventsim.runs.evaluating import evaluate
    from eventsim.storage import writing

    _check(arguments)
    writing.spare(arguments.out, arguments.model, arguments.data)
    energy = find_energy_table(arguments.energy or DEFAULT)
    model = load_model(arguments.model, arguments)
    with naming(arguments.model):
        simulator = Simulator(model, arguments.precision, arguments.workers, chip=arguments.chip,
                              memory_limit=arguments.memory_limit)
    steps = None if arguments.whole else arguments.timesteps or model.timesteps
    dataset = open_dataset(arguments.data, model.nodes[model.input], steps, **data_options(arguments))
    with progress_bar(min(arguments.limit or len(dataset), len(dataset))) as move:
        summary = evaluate(
            simulator, dataset, progress=lambda done, total: move(done), out=arguments.out,
            record=arguments.record, limit=arguments.limit, timesteps=arguments.timesteps, audit=arguments.audit,
            conventions=arguments.conventions, energy=energy, detailed=arguments.detailed, model=arguments.model,
            data=arguments.data,
        )
    say_notes(dataset, arguments.data)
    _warn_of_saturation(model, summary)
    if arguments.json:
        print(json.dumps(summary.to_json(printed=True)))
        return 0
    print(summary.as_text())
    if arguments.energy:
        print("\n" + summary.energy.as_text())
    if arguments.conventions:
        print("\n" + summary.sums.conventions.as_text())
    return 0


def _warn_of_saturation(model, summary):
    """Say on standard error which share of a sigma-delta network's messages met the end of their width."""
    shares = summary.saturated_messages
    if shares:
        listed = ", ".join(f"{printable(name)} {decimals(100 * share, 2)} %" for name, share in shares.items())
        print(f"eventsim: {model.file}: messages were cut off at the end of their width ({listed}), where Lava's "
              "are not: check the input's unit (--input-low, --input-high), or --message-bits", file=sys.stderr)


def _check(arguments):
    """Raises DataError for flags that do not go together, in their words."""
    from eventsim.statistics.result import KINDS

    if arguments.out is None and (arguments.record or arguments.detailed is not None):
        flag = "--record" if arguments.record else "--detailed"
        raise DataError(f"{flag} says what a file keeps of the run: add --out FILE.h5")
    for kind in set(arguments.record) & set(KINDS):  # they would be gathered twice of some samples
        raise DataError(f"--record {kind} is not needed: --out keeps statistics of all samples, and --detailed N "
                        "says of how many samples intervals and membranes")
