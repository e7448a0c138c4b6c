"""The command `check`: does a file compute what its trainer computed?"""

import json
import sys

from eventsim.cli.arguments import add_json, add_memory_limit, add_model, add_options, load_model, naming


def add_parser(commands):
    """Add `check` to the subparsers."""
    check = commands.add_parser(
        "check", help="run the model's own check samples and compare with its trainer's results",
        description="Exit status 0: all matched; 1: something did not; 2: nothing to check.",
    )
    check.set_defaults(run=run_check)
    add_model(check)
    add_memory_limit(check)
    add_json(check)
    add_options(check)


def run_check(arguments):
    """eventsim check MODEL"""
    from eventsim.comparison import self_check

    model = load_model(arguments.model, arguments)
    if model.check is None:
        print(f"eventsim: {arguments.model}: nothing to check: the file has no check group", file=sys.stderr)
        return 2
    with naming(arguments.model):
        result = self_check.check(model, arguments.memory_limit)
    if arguments.json:
        print(json.dumps({"model": arguments.model, "passed": result.passed, **result.measures}))
    else:
        print("\n".join(result.lines))
        print(f"{arguments.model}: {'passed' if result.passed else 'FAILED'}")
    return 0 if result.passed else 1
