"""The command `report`: a run file as one HTML page."""

import json

from eventsim.cli.arguments import beside, opened
from eventsim.report.text import findings_text


def run_report(arguments):
    """eventsim report RUN"""
    from eventsim.report import findings, page
    from eventsim.storage import writing

    path = arguments.out or beside(arguments.model, ".html")
    writing.spare(path, arguments.model)
    with opened(arguments.model) as run:
        found = findings.find(run)
        content = page.render(run, found).encode()
    writing.write_file(path, content)
    if arguments.json:
        print(json.dumps({"run": arguments.model, "written": [str(path)], "bytes": len(content),
                          "findings": [finding.as_json() for finding in found]}))
    else:
        print(path)
        print(findings_text([finding.as_json() for finding in found]).rstrip())
    return 0
