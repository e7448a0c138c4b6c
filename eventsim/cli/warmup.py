"""The command `warmup`: compile kernels now, so that the first run does not have to."""

import warnings
from contextlib import contextmanager

from eventsim.cli.arguments import (
    add_chip, add_memory_limit, add_options, add_output, load_model, MODEL_HELP, output_group, simulator_of,
)
from eventsim.cli.screen import Screen, width
from eventsim.errors import naming, RunError
from eventsim.storage.json_fields import json_text
from eventsim.text import many, wrapped

UNKEPT = "compiled kernels cannot be kept"  # how `kernels.compiling` begins to say so
# what `run --out` records of all samples, and of some, and what --record adds; `run` alone comes by itself
RECORDS = (("statistics", "outputs"), ("intervals", "membranes"),
           ("spikes", "currents", "potentials", "residuals"))
WARMED = ("float32", "int8")  # precisions, unless one is named or the model brings a chip


def add_parser(commands):
    """Add `warmup` to the subparsers."""
    warmup = commands.add_parser(
        "warmup", usage="eventsim warmup [options] [MODEL]", help="compile kernels now, before the first run",
        description="Compile the kernels that a model needs in `run`, with and without --out, for any number of "
                    "steps, in `stream` and in `bench`, and keep them for this machine; without MODEL those of "
                    "common networks: images and spikes through convolutions, pools and dense layers, in float32 "
                    "and int8.",
        examples=("eventsim warmup", "eventsim warmup net.h5 --precision int8"),
    )
    warmup.set_defaults(run=run_warmup)
    group = warmup.add_argument_group("what is compiled")
    group.add_argument("model", metavar="MODEL", nargs="?", help=MODEL_HELP)
    group.add_argument("--precision", metavar="P", choices=("float32", "float64", "int8", "fixed"),
                       help="only this one; default: float32 and int8, or fixed where the model brings a chip")
    add_chip(group)
    add_memory_limit(group)
    group = output_group(warmup)
    add_output(group)
    add_options(warmup, group)


def run_warmup(arguments):
    """eventsim warmup [MODEL]"""
    screen, unkept = Screen(arguments), []
    with _gathering(unkept):
        compiled, seconds = _compile(arguments, screen, unkept)
    if arguments.json:
        print(json_text({"model": arguments.model, "compiled": compiled, "seconds": seconds, "kept": not unkept,
                         "notes": screen.notes + unkept}))
    if unkept:
        raise RunError(unkept[0])
    if not arguments.json:
        text = (f"compiled {many(compiled, 'kernel')} in {seconds:.1f} s, kept for this machine"
                if compiled else "all kernels were there: nothing to compile")
        print(wrapped(text, width()))
    return 0


@contextmanager
def _gathering(unkept):
    """Add to a list, instead of saying it, why compiled kernels are not kept."""
    with warnings.catch_warnings():
        warnings.filterwarnings("always", UNKEPT)
        shown = warnings.showwarning

        def show(message, category, *where, **more):
            if category.__name__ == "KernelsWarning" and str(message).startswith(UNKEPT):
                unkept.append(str(message))
            else:
                shown(message, category, *where, **more)

        warnings.showwarning = show
        yield


def _compile(arguments, screen, unkept):
    """Compile what a model needs, or common networks; none where it would not be kept. Returns how many kernels
    were compiled, and in how many seconds."""
    from eventsim.engine.benchmark import additions_per_second
    from eventsim.kernels.compiling import base_of_kernels, watched
    from eventsim.model.common import common_networks

    models = [load_model(arguments.model, arguments, screen.note)] if arguments.model else common_networks()
    with screen.compiling(), watched(lambda done, total: None) as progress:
        for model in () if base_of_kernels() is None else models:
            for precision in _precisions(model, arguments):
                name = arguments.model or "a common network"
                simulator = simulator_of(model, arguments, name, screen.note, precision=precision)
                with naming(name):
                    for record in RECORDS:
                        simulator.compile(record)
                    additions_per_second(simulator.program.dtype)  # what `bench` compares with
    if base_of_kernels() is None and not unkept:  # it was said before this command began
        unkept.append(f"{UNKEPT}: set EVENTSIM_CACHE_DIR to a folder that can be written, and by you alone")
    return progress.compiled, progress.seconds


def _precisions(model, arguments):
    if arguments.precision:
        return (arguments.precision,)
    return (None,) if arguments.chip or model.chip is not None else WARMED
