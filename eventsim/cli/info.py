"""The command `info`: what is in a model file."""

import json

from eventsim.cli import arguments as loading


def run_info(arguments):
    """eventsim info MODEL"""
    from eventsim.model import describing
    from eventsim.report import text

    model = loading.load(arguments.model, arguments)
    if arguments.json:
        print(json.dumps({"model": arguments.model, **describing.describe(model)}))
    else:
        print(text.describe_text(model, arguments.model))
    return 0
