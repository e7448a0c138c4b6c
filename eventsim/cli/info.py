"""The command `info`: what is in a model file."""

import json

from eventsim.cli.arguments import add_json, add_model, add_options, load_model


def add_parser(commands):
    """Add `info` to the subparsers."""
    info = commands.add_parser("info", help="say what is in a model file")
    info.set_defaults(run=run_info)
    add_model(info)
    add_json(info)
    add_options(info)


def run_info(arguments):
    """eventsim info MODEL"""
    from eventsim.model.describing import describe
    from eventsim.report.text import describe_text

    model = load_model(arguments.model, arguments)
    if arguments.json:
        print(json.dumps({"model": arguments.model, **describe(model)}))
    else:
        print(describe_text(model, arguments.model))
    return 0
