"""The command `info`: what is in a model file."""

from eventsim.cli.arguments import (
    add_chip, add_memory_limit, add_model, add_options, add_output, load_model, output_group, PRECISIONS,
    simulator_of,
)
from eventsim.cli.screen import Screen, width
from eventsim.errors import naming
from eventsim.storage.json_fields import json_text


def add_parser(commands):
    """Add `info` to the subparsers."""
    info = commands.add_parser(
        "info", usage="eventsim info [options] MODEL", help="say what is in a model file",
        description="Say what is in a model file: its nodes, their settings, and where it comes from.",
        examples=("eventsim info net.h5", "eventsim info net.nir --help     # with the options of NIR files",
                  "eventsim info net.h5 --kernels int8"),
    )
    info.set_defaults(run=run_info, refuse=info.error)
    group = info.add_argument_group("what is looked at")
    add_model(group)
    group.add_argument("--kernels", metavar="P", choices=PRECISIONS,
                       help="say which kernel runs each path in float32, float64, int8 or, under a chip, fixed, "
                            "and why")
    add_chip(group)
    add_memory_limit(group)
    output = output_group(info)
    add_output(output)
    add_options(info, output)


def run_info(arguments):
    """eventsim info MODEL"""
    from eventsim.model.describing import describe
    from eventsim.report.text import describe_text, kernels_text

    if arguments.chip is not None and arguments.kernels != "fixed":
        arguments.refuse("--chip says under which chip kernels run: add --kernels fixed")
    screen = Screen(arguments)
    model = load_model(arguments.model, arguments, screen.note)
    kernels = _kernels(model, arguments, screen) if arguments.kernels else None
    if arguments.json:
        kernel_fields = {} if kernels is None else {"kernels": kernels}
        print(json_text({"model": arguments.model, **describe(model), **kernel_fields, "notes": screen.notes}))
    else:
        columns = width()
        print(describe_text(model, arguments.model, columns))
        if kernels is not None:
            print(f"\nkernels in {arguments.kernels}\n{kernels_text(kernels, columns)}")
    return 0


def _kernels(model, arguments, screen):
    from eventsim.lowering.kernels_of import kernels_of

    simulator = simulator_of(model, arguments, note=screen.note, precision=arguments.kernels)
    with naming(arguments.model):
        return kernels_of(simulator.program)
