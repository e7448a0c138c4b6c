"""The command `check`: does a file compute what its trainer computed?"""

from eventsim.cli.arguments import (
    add_memory_limit, add_model, add_options, add_output, load_model, output_group,
)
from eventsim.cli.screen import print_line, print_marked, Screen, warnings_by, width
from eventsim.errors import naming
from eventsim.storage.json_fields import json_text
from eventsim.text import wrapped


def add_parser(commands):
    """Add `check` to the subparsers."""
    check = commands.add_parser(
        "check", usage="eventsim check [options] MODEL",
        help="does a file compute what its trainer computed?",
        description="Run the samples that a model file brings and compare with what its trainer computed.\n"
                    "Exit status 0: all matched; 1: something did not; 2: nothing to check.",
        examples=("eventsim check net.h5",),
    )
    check.set_defaults(run=run_check)
    group = check.add_argument_group("what is checked")
    add_model(group)
    add_memory_limit(group)
    output = output_group(check)
    add_output(output)
    add_options(check, output)


COLOURS = {"ok": "green", "FAILED": "red"}
INDENT = " " * 8  # of a line that goes on, below the text


def run_check(arguments):
    """eventsim check MODEL"""
    from eventsim.comparison import self_check

    screen = Screen(arguments)
    model = load_model(arguments.model, arguments, screen.note)
    if model.check is None:
        screen.note(f"{arguments.model}: nothing to check: the file has no check group")
        if arguments.json:
            print(json_text({"model": arguments.model, "passed": None, "samples": 0, "checks": [],
                             "notes": screen.notes}))
        return 2
    with naming(arguments.model), screen.compiling(), warnings_by(screen.note):
        result = self_check.check(model, arguments.memory_limit)
    if arguments.json:
        print(json_text({
            "model": arguments.model, "passed": result.passed, "samples": len(model.check.x), **result.measures,
            "output_tolerance": self_check.OUTPUT_TOLERANCE, "spike_tolerance": self_check.SPIKE_TOLERANCE,
            "checks": [vars(finding) for finding in result.findings], "notes": screen.notes}))
    else:
        columns = width()
        print_marked("\n".join(wrapped(line, columns, INDENT) for line in result.lines), COLOURS)
        print_line(f"{arguments.model}: ", ("passed", "green") if result.passed else ("FAILED", "red"))
    return 0 if result.passed else 1
