"""The command `run`: a data set through a model, a batch at a time, in bounded memory."""

import argparse
import shlex
from pathlib import Path

from eventsim.cli.arguments import (
    add_chip, add_data, add_memory_limit, add_model, add_options, add_output, add_precision,
    load_model, MOST_STEPS, MOST_WORKERS, natural, output_group, positive, simulator_of, up_to,
)
from eventsim.cli.data_arguments import add_data_options, check_whole, data_options, say_notes
from eventsim.cli.parsing import EMPTY
from eventsim.cli.screen import Screen, warnings_by, width
from eventsim.cli.usage import meant
from eventsim.errors import DataError
from eventsim.storage.json_fields import json_text
from eventsim.text import printable, share_percent


def add_parser(commands):
    """Add `run` to the subparsers."""
    run = commands.add_parser(
        "run", usage="eventsim run [options] MODEL DATA", help="run a data set through a model",
        description="Run a data set through a model; --help-data says which data is read.",
        examples=("eventsim run net.h5 test.h5 --precision int8 --workers 4",
                  "eventsim run net.h5 test.h5 --out run.h5 && eventsim report run.h5",
                  "eventsim run net.nir --help     # with the options of NIR files"),
    )
    run.set_defaults(run=run_run)
    group = run.add_argument_group("what is run")
    add_model(group)
    add_data(group)
    group.add_argument("--limit", type=positive, metavar="N", help="only the first N samples")
    steps = group.add_mutually_exclusive_group()
    steps.add_argument("--timesteps", type=up_to(MOST_STEPS), metavar="T",
                       help="steps; default: the model's, or the data's")
    steps.add_argument("--whole", action="store_true", help="each recording as long as it is")
    add_precision(group)
    add_chip(group)
    group.add_argument("--workers", type=up_to(MOST_WORKERS), default=1, metavar="N", help="threads (default 1)")
    add_memory_limit(group)
    group = run.add_argument_group("what a file keeps")
    group.add_argument("--out", type=Path, metavar="FILE.h5",
                       help="results and recordings: for stats, plot and report")
    group.add_argument("--record", type=_recorded, action="append", default=[], metavar="WHAT",
                       help="spikes, currents, potentials, residuals (membranes after the reset), outputs, or "
                            "WHAT:NODE; repeat for more")
    group.add_argument("--detailed", type=natural, metavar="N",
                       help="samples whose membranes are watched (4 to 64)")
    group = output_group(run)
    group.add_argument("--energy", metavar="TABLE", help="also energy by layer: horowitz_45nm or a JSON file")
    group.add_argument("--audit", action="store_true", help="also how far integers went, and what widths did")
    group.add_argument("--conventions", action="store_true",
                       help="also what four other tools would count")
    add_output(group)
    add_data_options(run, group)
    add_options(run, group, own=("timesteps",))


RECORDED = ("spikes", "currents", "potentials", "residuals", "outputs")
GATHERED = ("audit", "statistics", "intervals", "membranes")  # what other options are for


def _recorded(text):
    if not text:
        raise argparse.ArgumentTypeError(EMPTY)
    kind = text.partition(":")[0]
    if "," in text and ":" not in text:
        raise argparse.ArgumentTypeError(f"is {text!r}, expected one of them: give "
                                         f"{' '.join(f'--record {each.strip()}' for each in text.split(','))}")
    if kind not in (*RECORDED, *GATHERED):
        raise argparse.ArgumentTypeError(f"is {text!r}, expected any of {', '.join(RECORDED)}, or WHAT:NODE"
                                         f"{meant(kind, RECORDED)}")
    return text


def run_run(arguments):
    """eventsim run MODEL DATA"""
    from eventsim.costs.energy_table import DEFAULT, find_energy_table
    from eventsim.inputs.dataset import open_dataset
    from eventsim.runs.evaluating import evaluate
    from eventsim.runs.summary_text import summary_notes
    from eventsim.storage import writing

    _check(arguments)
    others = filter(None, [arguments.energy, arguments.chip])
    writing.spare(arguments.out, arguments.model, arguments.data, *others)
    writing.check_suffix(arguments.out, "a run", ".h5", ".hdf5")
    energy = find_energy_table(arguments.energy or DEFAULT)
    screen = Screen(arguments)
    with screen.doing(f"loaded {arguments.model}"):
        model = load_model(arguments.model, arguments, screen.note)
    with screen.doing("made it ready to run"):
        simulator = simulator_of(model, arguments, note=screen.note)
    _check_audit(arguments, simulator)
    steps = None if arguments.whole else arguments.timesteps or model.timesteps
    dataset = open_dataset(arguments.data, model.nodes[model.input], steps, **data_options(arguments))
    check_whole(arguments, dataset)
    dataset = dataset.with_labels_of(model.class_names)
    total = min(arguments.limit or len(dataset), len(dataset))
    with screen.doing(f"ran {total} samples"), screen.compiling(), screen.bar(total) as move, \
            warnings_by(screen.note):
        summary = evaluate(
            simulator, dataset, progress=lambda done, total: move(done), out=arguments.out,
            record=arguments.record, limit=arguments.limit, timesteps=arguments.timesteps, audit=arguments.audit,
            conventions=arguments.conventions, energy=energy, detailed=arguments.detailed, model=arguments.model,
            data=arguments.data, command=shlex.join(["eventsim", *arguments.words]),
        )
    say_notes(dataset, arguments.data, screen)
    _note_saturation(model, summary, screen)
    if arguments.json:
        print(json_text({**summary.to_json(printed=True), "notes": screen.notes + summary_notes(summary)}))
        return 0
    columns = width()
    print(summary.as_text(columns))
    if arguments.energy:
        print("\n" + summary.energy.as_text(columns))
    if arguments.conventions:
        print("\n" + summary.sums.conventions.as_text(columns))
    return 0


def _note_saturation(model, summary, screen):
    """Say which share of a sigma-delta network's messages met the end of their width."""
    shares = summary.saturated_messages
    if shares:
        listed = ", ".join(f"{printable(name)} {share_percent(share)}" for name, share in shares.items())
        screen.note(f"{model.file}: messages were cut off at the end of their width ({listed}), where Lava's "
                    "are not: check the input's unit (--input-low, --input-high), or --message-bits")


def _check_audit(arguments, simulator):
    """Raise DataError where a run in floats is to be audited."""
    if arguments.audit and simulator.program.dtype.kind == "f":
        raise DataError(f"--audit says how far integers went, but this run is in {simulator.precision}: add "
                        "--precision int8 or --chip CHIP, or leave it out")


def _check(arguments):
    """Raise DataError for flags that do not go together, in their words."""
    from eventsim.statistics.result import KINDS

    if arguments.out is None and (arguments.record or arguments.detailed is not None):
        flag = "--record" if arguments.record else "--detailed"
        raise DataError(f"{flag} says what a file keeps of the run: add --out FILE.h5")
    for kind in set(arguments.record) & set(KINDS):  # they would be gathered twice of some samples
        raise DataError(f"--record {kind} is not needed: --out keeps statistics of all samples, and --detailed N "
                        "says of how many samples intervals and membranes")
