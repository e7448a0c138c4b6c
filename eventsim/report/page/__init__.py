"""Page: a run as one HTML file that needs nothing else, for screens of any width, light and dark, and paper.

The file loads nothing: style, script and pictures are in it, and its Content-Security-Policy forbids
the browser to ask for more. The script only sorts tables; without it everything is there to read.
"""

import base64
import hashlib
from importlib import resources
from typing import List, Optional

from eventsim import __version__
from eventsim.arguments import instance_of, open_run_of, several
from eventsim.errors import MissingPackageError
from eventsim.report import findings as rules
from eventsim.report.kinds import Finding
from eventsim.report.page import figures, sections
from eventsim.display.markup import element, joined, Markup


def render(run, findings: Optional[List[Finding]] = None) -> str:
    """Return the page of a `runs.file.Run`. findings: those of the run, if they are known already."""
    open_run_of(run)
    findings = (rules.find(run) if findings is None
                else list(several(findings, "findings", "findings of the run, or None")))
    for finding in findings:
        instance_of(finding, Finding, "findings has a member that", "a Finding")
    script = _part("page.js")
    head = element(
        "head", element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content=f"eventsim {__version__}"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{sections.title(run)} - eventsim"),
        element("style", _part("page.css")),
    )
    body = element("body", element("main", *_body(run, findings)), _footer(run), element("script", script))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _policy(script):
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:; "
            "base-uri 'none'; form-action 'none'")


def _part(name):
    return Markup(resources.files("eventsim.report.page").joinpath(name).read_text("utf-8"))


def _body(run, findings):
    parts = [("findings", "Findings", sections.findings(run, findings)),
             ("numbers", "Key numbers", joined([sections.numbers(run), sections.confused(run)])),
             ("layers", "Layers", sections.layers(run, findings)),
             ("plots", "Plots", _plots(run)),
             ("run", "How it was run", sections.how(run)),
             ("definitions", "Definitions", sections.definitions())]
    links = [element("a", heading, href=f"#{name}") for name, heading, _ in parts]
    return [
        element("header", element("h1", sections.title(run)), element("p", sections.result(run), class_="lead"),
                element("nav", *links, aria_label="Sections")),
        *(element("section", element("h2", heading, id=f"{name}-heading"), content, id=name,
                  aria_labelledby=f"{name}-heading") for name, heading, content in parts),
    ]


def _plots(run):
    try:
        pictures, missing = figures.pictures(run)
    except MissingPackageError as error:
        return joined([element("p", f"This page has no pictures: {error}."), sections.classes(run)])
    shown = [
        element("figure", sections.scrolling(picture.content, picture.kind),
                element("figcaption", picture.caption) if picture.caption else None, id=f"plot-{picture.kind}")
        for picture in pictures
    ]
    reasons = [part for kind, reason in missing for part in (element("dt", kind), element("dd", reason))]
    left_out = element("dl", *reasons, class_="facts")
    return joined([element("div", *shown, class_="figures"), sections.classes(run),
                   sections.folded("Plots that this run has nothing for", left_out) if missing else None])


def _footer(run):
    made = run.summary.made
    date = f" on {made.date}" if made.date else ""
    return element("footer", f"Made by eventsim {__version__} from {run.path}, run{date}. This file is complete: "
                             "it loads nothing.")
