"""The sections of the page, each a function of a run: what was found, the numbers, how it was run."""

import math
from collections import Counter
from pathlib import PurePath
from typing import Dict, List

import numpy as np

from eventsim.costs.energy_summary import EnergyOfAll, EnergySummary
from eventsim.report import tables
from eventsim.report.findings import firing
from eventsim.report.kinds import KINDS
from eventsim.report.page.definitions import DEFINITIONS
from eventsim.display.markup import element, joined, Markup
from eventsim.text import all_digits, inflected, joule, many, number, percent, quantity, share_percent, typeset

MOST_OF_A_KIND = 4  # findings of one kind before the others are named only
MOST_CLASSES = 40  # rows of the table of classes
SEVERITIES = list(dict.fromkeys(severity for severity, _ in KINDS.values()))  # the worst first


# ---- what it is, and the result in one sentence


def title(run) -> str:
    """Return model and data, by their file names."""
    names = [PurePath(name or run.path).name for name in (run.summary.model, run.summary.data)]
    return names[0] if names[0] == names[1] else f"{names[0]} on {names[1]}"


def result(run) -> str:
    """Return the result in one sentence, the cost in another."""
    summary, n = run.summary, run.n_samples
    arithmetic = summary.chip or summary.precision or "unknown arithmetic"
    how = f"in {run.counts.steps_text} of {arithmetic}"
    if run.labels is None:
        text = f"{many(n, 'sample')} ran {how}; the data has no labels to compare with."
    else:
        right = int((np.asarray(run.predictions) == np.asarray(run.labels)).sum())
        text = (f"{right} of {many(n, 'sample')} ({_accuracy(run)}) {inflected(right, 'is', 'are')} predicted "
                f"correctly {how}.")
    if not n:
        return text
    totals = {name: run.counts.total(name) / n for name in ("synops", "additions", "macs", "dense_macs")}
    operations = _operations(totals["additions"], "addition")
    if totals["macs"]:
        operations += f" and {_operations(totals['macs'], 'multiply-accumulate')}"
    return (f"{text} A sample takes {operations}; a dense network would need "
            f"{_operations(totals['dense_macs'], 'multiply-accumulate')}.")


def _operations(n, noun):
    return f"{quantity(n)} {inflected(n, noun, f'{noun}s')}"


def _accuracy(run):
    return share_percent(float((np.asarray(run.predictions) == np.asarray(run.labels)).mean()))


# ---- findings


def findings(run, all_findings) -> Markup:
    """Return a list of all findings; where a kind has many, the first ones in words and the other layers by
    name."""
    if not all_findings:
        nothing = element("p", element("b", "Nothing found"), " ", _examined(run))
        return element("ul", element("li", nothing, class_="fine"), class_="findings")
    kinds = dict.fromkeys(finding.kind for finding in all_findings)
    return element("ul", *(_of_a_kind([finding for finding in all_findings if finding.kind == kind])
                           for kind in kinds), class_="findings")


def _examined(run):
    """Return what the rules could look at, in words: only about that the lack of findings says something."""
    statistics = run.statistics
    sent = any(train.n_samples for train in statistics.trains.values())
    seen = [words for there, words in (
        (sent, "spikes"), (statistics.membranes, "membranes"),
        (run.labels is not None, "predictions"), (run.summary.energy, "energy"),
        (run.summary.audit, "integers"),
    ) if there]
    missing = [words for there, words in (
        (sent, "spikes"), (statistics.membranes, "membranes"), (run.summary.energy, "energy"),
    ) if not there]
    text = f"in {_listed(seen)} of {many(run.n_samples, 'sample')}." if seen else "."
    return text + (f" The file says nothing about {_listed(missing)}." if missing else "")


def _listed(words):
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _of_a_kind(alike):
    """Return one item for findings of one kind: a sentence, or the kind and a list of sentences; each remedy
    once."""
    severity = alike[0].severity
    name = element("b", f"{severity.capitalize()}:", class_=severity)
    if len(alike) == 1:
        parts = [element("p", name, " ", _printed(alike[0].sentence))]
    else:
        shown = alike if len(alike) <= MOST_OF_A_KIND else alike[: MOST_OF_A_KIND - 1]
        parts = [element("p", name, f" {KINDS[alike[0].kind][1]}."),
                 element("ul", *(element("li", _printed(finding.sentence)) for finding in shown))]
        others = [finding.layer or "the network" for finding in alike[len(shown):]]
        if others:
            parts.append(element("p", f"The same of {_listed(others)}.", class_="more"))
    remedies = dict.fromkeys(finding.remedy for finding in alike)
    return element("li", *parts, *(element("p", remedy, class_="remedy") for remedy in remedies), class_=severity)


def _printed(sentence):
    """Return a sentence of a finding, which is ASCII, as it is printed."""
    return sentence.replace(" uJ ", " \u00b5J ")


# ---- key numbers


def numbers(run) -> Markup:
    """Return the numbers that people ask for first."""
    summary, n = run.summary, max(run.n_samples, 1)
    decisions, speed = run.statistics.decisions, summary.samples_per_second
    energy = EnergyOfAll() if summary.energy is None else summary.energy.total
    trains = [train for _, train in firing(run)]
    chances = sum(train.chances * train.n_neurons for train in trains)
    totals = {name: run.counts.total(name) / n for name in ("synops", "additions", "macs", "dense_macs")}
    work = totals["additions"] + totals["macs"]
    facts = [
        ("predicted correctly", None if run.labels is None else _accuracy(run)),
        (f"{inflected(run.n_samples, 'sample', 'samples')} of {run.counts.steps_text}", f"{run.n_samples}"),
        ("mean firing rate of the neurons",
         number(sum(int(train.events.sum()) for train in trains) / chances) if chances else None),
        ("synaptic operations per sample", quantity(totals["synops"])),
        ("additions per sample" + (", with MACs" if totals["macs"] else ""), quantity(work)),
        ("of the dense operations", percent(work / totals["dense_macs"]) if totals["dense_macs"] else None),
        ("energy per sample, event-driven", typeset(joule(energy.total)) if energy.total else None),
        ("energy per sample, matched ANN", typeset(joule(energy.ann_total)) if energy.ann_total else None),
        ("steps until the answer is final, mean",
         number(decisions.mean_final_step) if decisions is not None and decisions.n_samples else None),
        ("samples per second", quantity(speed) if speed else None),
    ]
    facts = [(name, value) for name, value in facts if value is not None]
    return element("dl", *(element("div", element("dt", name), element("dd", value)) for name, value in facts),
                   class_="numbers", style=f"--columns: {5 if len(facts) in (5, 9, 10) else 4}")


# ---- tables

# column of tables.layer_table -> (heading, how a number is written)
LAYER_COLUMNS = {
    "neurons": ("neurons", lambda value: all_digits(int(value))),
    "rate": ("rate", number),
    "silent_share": ("silent", percent),
    "saturated_share": ("saturated", percent),
    "mean_level": ("mean level", number),
    "entropy": ("entropy, bits", number),
    "synops": ("synops", quantity),
    "additions": ("additions", quantity),
    "macs": ("MACs", quantity),
    "dense_macs": ("dense MACs", quantity),
    "energy": ("energy", lambda value: typeset(joule(value))),
    "ann_energy": ("ANN energy", lambda value: typeset(joule(value))),
    "crossing_rate": ("crossing", percent),
}
SUMMED = ("neurons", "synops", "additions", "macs", "dense_macs", "energy", "ann_energy")


def layers(run, all_findings) -> Markup:
    """Return a sortable table of one row per node; layers with findings are marked."""
    table = tables.table(run, "layers")
    arrays = table.as_arrays() if len(table) else None
    if arrays is None:
        return element("p", "The file has no layers.")
    shown = [name for name in LAYER_COLUMNS if np.isfinite(arrays[name]).any()
             and not (name == "macs" and not np.nansum(arrays[name]))]
    of_layer: Dict[str, List] = {}
    for finding in all_findings:
        of_layer.setdefault(finding.layer, []).append(finding)
    rows = []
    for row in arrays:
        name = str(row["layer"])
        rows.append(element(
            "tr", element("th", name, _mark(of_layer.get(name)), scope="row", title=name),
            element("td", str(row["kind"]), class_="text"), *(_cell(key, float(row[key])) for key in shown)))
    head = element("tr", *(element("th", name, scope="col", class_="text") for name in ("layer", "kind")),
                   *(element("th", LAYER_COLUMNS[name][0], scope="col") for name in shown))
    counted = np.isin(arrays["layer"], run.layers)
    foot = element("tr", element("th", "total", scope="row"), element("td"), *(
        element("td", LAYER_COLUMNS[name][1](float(np.nansum(arrays[name][counted]))) if name in SUMMED else "")
        for name in shown))
    note = element("p", "Operations and energy are per sample; the total leaves out pools and the like, which "
                        "send on what others decided.",
                   element("span", " Click a heading to sort.", class_="screen"), class_="quiet")
    table = element("table", element("thead", head), element("tbody", *rows), element("tfoot", foot),
                    class_="sortable wide")
    return joined([scrolling(table, "layers"), note])


def _mark(layer_findings):
    """Return a sign beside the name of a layer with findings, which says which."""
    if not layer_findings:
        return None
    severity = min((finding.severity for finding in layer_findings), key=SEVERITIES.index)
    label = "; ".join(f"{finding.severity}: {KINDS[finding.kind][1]}" for finding in layer_findings)
    return element("span", "i" if severity == "note" else "!", class_=f"mark {severity}", title=label, role="img",
                   aria_label=label)


def _cell(name, value):
    share = f"--share: {100 * min(value, 1):.1f}%" if name == "rate" and math.isfinite(value) else None
    return element("td", LAYER_COLUMNS[name][1](value), data_value=f"{value:.9g}" if math.isfinite(value) else "",
                   class_=None if share is None else "bar", style=share)


def scrolling(content, name) -> Markup:
    """Return a box that scrolls by itself, by keyboard too, so that the page never does."""
    return element("div", content, class_="scroll", role="region", aria_label=name, tabindex=0)


def plain_table(table, headings: List[str], texts=(), most=None) -> Markup:
    """Return a `tables.Table` as it is. texts: columns that are words, beside the first."""
    names = list(table.columns)
    rows = table.rows[:most]
    words = (names[0], *texts)
    head = element("tr", *(element("th", heading, scope="col", class_="text" if name in words else None)
                           for name, heading in zip(names, headings)))
    body = [element("tr", element("th", row[0], scope="row"), *(
        element("td", _plain_value(value), class_="text wrap" if name in texts else None,
                data_value=value if isinstance(value, (int, float)) and not isinstance(value, bool) else None)
        for name, value in zip(names[1:], row[1:]))) for row in rows]
    left = len(table) - len(rows)
    more = element("p", f"{many(left, 'more row')}: eventsim stats with --csv.", class_="quiet") if left else None
    shown = element("table", element("thead", head), element("tbody", *body), class_="sortable")
    return joined([scrolling(shown, table.title), more])


def _plain_value(value):
    return number(value) if value is None or isinstance(value, float) else value


def classes(run) -> Markup:
    """Return recall and precision per class, or nothing without labels."""
    table = tables.table(run, "classes")
    if not len(table):
        return Markup("")
    return folded("Recall and precision by class", plain_table(
        table, ["class", "samples", "predicted", "recall", "precision"], most=MOST_CLASSES))


def confused(run) -> Markup:
    """Return the pairs of classes that are most often taken for each other, in one sentence."""
    decisions = run.statistics.decisions
    if decisions is None or decisions.confusion is None:
        return Markup("")
    wrong = decisions.confusion.copy()
    np.fill_diagonal(wrong, 0)
    if not wrong.any():
        return Markup("")
    names = tables.class_names(run, len(wrong))
    order = np.argsort(-wrong, axis=None, kind="stable")[:3]
    pairs = [np.unravel_index(i, wrong.shape) for i in order if wrong.flat[i]]
    errors = "; ".join(f"{names[label]} taken for {names[prediction]} "
                       f"({many(int(wrong[label, prediction]), 'sample')})"
                       for label, prediction in pairs)
    return element("p", f"Most frequent errors: {errors}.")


# ---- how it was run


def how(run) -> Markup:
    """Return command, versions, settings, the model's nodes and other tools' conventions."""
    summary, made, energy = run.summary, run.summary.made, run.summary.energy or EnergySummary()
    versions = ", ".join(f"{name} {getattr(made, name)}" for name in ("eventsim", "python", "numpy", "numba")
                         if getattr(made, name))
    recorded = Counter(kind for kind, names in run.recorded.items() for _ in names)
    facts = [
        ("command", element("code", made.command) if made.command else None),
        ("model", summary.model), ("data", summary.data),
        ("arithmetic", " on ".join(filter(None, (summary.precision, summary.chip)))),
        ("threads", summary.workers),
        ("simulated in", None if summary.seconds is None else f"{number(summary.seconds)} s"),
        ("versions", versions), ("processor", made.processor), ("date", made.date),
        ("file", run.path),
        ("recorded", ", ".join(f"{kind} of {many(n, 'node')}" for kind, n in recorded.items())),
        ("energy table", energy.table), ("baseline", energy.baseline),
    ]
    parts = [element("dl", *(part for name, value in facts if value not in (None, "")
                             for part in (element("dt", name), element("dd", value))), class_="facts")]
    if summary.nodes:
        parts.append(folded(f"The model's {many(len(summary.nodes), 'node')}", _nodes(summary.nodes)))
    if summary.conventions is not None:
        parts.append(folded("Operations as other tools count them", _conventions(summary.conventions)))
    return joined(parts)


def folded(name, content) -> Markup:
    """Return content that is shown when its name is clicked."""
    return element("details", element("summary", name), content)


def _nodes(nodes):
    rows = [element(
        "tr", element("th", node.name, scope="row", title=node.name),
        element("td", node.kind, class_="text"),
        element("td", "\u00d7".join(map(str, node.shape)), class_="text"),
        element("td", quantity(node.parameters) if node.parameters else ""),
        element("td", ", ".join(map(str, node.reads)), class_="text"),
        element("td", ", ".join(f"{key} {_setting(value)}" for key, value in node.settings.items()),
                class_="text wrap"),
    ) for node in nodes]
    head = element("tr", *(element("th", name, scope="col", class_=None if name == "weights" else "text")
                           for name in ("node", "kind", "shape", "weights", "reads", "settings")))
    return scrolling(element("table", element("thead", head), element("tbody", *rows)), "nodes")


def _setting(value):
    return "\u00d7".join(map(str, value)) if isinstance(value, list) else value


def _conventions(conventions):
    """conventions: `ConventionsSummary`."""
    rows = [
        element("tr", element("th", tool, scope="row"), element("td", count.replace("_", " "), class_="text"),
                element("td", quantity(figure.total)), element("td", figure.unit, class_="text"),
                element("td", figure.differs, class_="text wrap"))
        for tool, counts in conventions.tools.items() for count, figure in counts.items()
    ]
    head = element("tr", *(element("th", name, scope="col", class_=None if name == "total" else "text")
                           for name in ("tool", "count", "total", "unit", "in our words")))
    return scrolling(element("table", element("thead", head), element("tbody", *rows)), "conventions")


def definitions() -> Markup:
    """Return the definitions of all words used, folded away by subject."""
    parts = []
    for heading, of_subject in DEFINITIONS.items():
        items = []
        for definition in of_subject:
            source = element("span", f" ({definition.source})", class_="source") if definition.source else None
            items += [element("dt", definition.term), element("dd", definition.meaning, source)]
        parts.append(folded(heading, element("dl", *items, class_="definitions")))
    return joined(parts)
