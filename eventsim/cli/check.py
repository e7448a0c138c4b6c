"""The command `check`: does a file compute what its trainer computed?"""

import json
import sys

from eventsim.cli import arguments as loading


def run_check(arguments):
    """eventsim check MODEL"""
    from eventsim.comparison import self_check

    model = loading.load(arguments.model, arguments)
    if model.check is None:
        print(f"eventsim: {arguments.model}: nothing to check: the file has no check group", file=sys.stderr)
        return 2
    result = self_check.check(model)
    if arguments.json:
        print(json.dumps({"model": arguments.model, "passed": result.passed, **result.measures}))
    else:
        print("\n".join(result.lines))
        print(f"{arguments.model}: {'passed' if result.passed else 'FAILED'}")
    return 0 if result.passed else 1
