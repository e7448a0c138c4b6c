"""The command `info`: what is in a model file."""

import json

from eventsim.cli.arguments import add_json, add_memory_limit, add_model, add_options, load_model, naming


def add_parser(commands):
    """Add `info` to the subparsers."""
    info = commands.add_parser("info", help="say what is in a model file")
    info.set_defaults(run=run_info)
    add_model(info)
    info.add_argument("--kernels", metavar="PRECISION", choices=("float32", "float64", "int8", "fixed"),
                      help="say which kernel runs each path in float32, float64, int8 or, under the model's own "
                           "chip, fixed, and why")
    add_memory_limit(info)
    add_json(info)
    add_options(info)


def run_info(arguments):
    """eventsim info MODEL"""
    from eventsim.model.describing import describe
    from eventsim.report.text import describe_text, kernels_text

    model = load_model(arguments.model, arguments)
    kernels = _kernels(model, arguments) if arguments.kernels else None
    if arguments.json:
        found = {} if kernels is None else {"kernels": kernels}
        print(json.dumps({"model": arguments.model, **describe(model), **found}))
    else:
        print(describe_text(model, arguments.model))
        if kernels is not None:
            print(f"\nkernels in {arguments.kernels}\n{kernels_text(kernels)}")
    return 0


def _kernels(model, arguments):
    from eventsim.engine.simulator import Simulator
    from eventsim.lowering.kernels_of import kernels_of

    with naming(arguments.model):
        return kernels_of(Simulator(model, arguments.kernels, memory_limit=arguments.memory_limit).program)
