"""The command `report`: a run file as one HTML page."""

from pathlib import Path

from eventsim.cli.arguments import add_output, add_run, beside, opened, output_group
from eventsim.cli.screen import keep_matplotlib_quiet, print_marked, SEVERITIES, width
from eventsim.storage.json_fields import json_text


def add_parser(commands):
    """Add `report` to the subparsers."""
    report = commands.add_parser(
        "report", usage="eventsim report [options] RUN", help="write one HTML page about a run",
        description="Write one HTML page about a run. It is complete in itself: it loads nothing, prints, and is "
                    "read on a phone.",
        examples=("eventsim report run.h5", "eventsim report run.h5 -o page.html"),
    )
    report.set_defaults(run=run_report)
    add_run(report.add_argument_group("what it is about"))
    report.add_argument_group("what is written").add_argument(
        "-o", "--out", type=Path, metavar="FILE", help="page; default: RUN.html beside RUN")
    add_output(output_group(report))


def run_report(arguments):
    """eventsim report RUN"""
    from eventsim.report import findings, page
    from eventsim.report.text import findings_text
    from eventsim.storage import writing

    keep_matplotlib_quiet()
    path = arguments.out or beside(arguments.model, ".html")
    writing.spare(path, arguments.model)
    writing.check_suffix(arguments.out, "a page", ".html", ".htm")
    with opened(arguments.model) as run:
        run_findings = findings.find(run)
        content = page.render(run, run_findings).encode()
    writing.write_file(path, content)
    findings_json = [finding.as_json() for finding in run_findings]
    if arguments.json:
        print(json_text({"run": arguments.model, "written": [str(path)], "bytes": len(content),
                          "findings": findings_json}))
    else:
        print(path)
        print_marked(findings_text(findings_json, width()).rstrip(), SEVERITIES)
    return 0
