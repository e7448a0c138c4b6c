"""The tables that `eventsim run` prints for people."""

from typing import Dict, List

from eventsim.display.card import Card, MOST_ROWS
from eventsim.statistics.not_finite import overflow_text
from eventsim.text import (
    aligned_table, decimals, joule, many, NONE, printable, quantity, share_decimals, share_percent, wrapped,
)

LOST_SHARE = 0.01  # of a layer's weights; less is what rounding does to any network
MOST_LAYERS = 5  # that a line names
LEFT_OUT = ("share", "mean level", "dense MACs", "synops", "neurons")  # columns, where they do not fit


def summary_text(summary, width=None) -> str:
    """Return what was run, a row per layer, and what it would cost, in lines of at most `width` characters.
    summary: `RunSummary`."""
    samples = max(summary.samples or 0, 1)
    tail = "\n".join([_tail(summary, samples), *summary_notes(summary)])
    text = wrapped(_head(summary), width) + "\n" + _layers(summary, samples, width) + wrapped(tail, width)
    return text if summary.audit is None else text + "\n\n" + audit_text(summary.audit, width)


def summary_notes(summary) -> List[str]:
    """Return what a reader of a summary has to know: what integers did to weights, what overflowed, and what was
    left out of the data."""
    return [*_lost(summary), *_overflown(summary), *dropped_notes(summary.dropped_events)]


def dropped_notes(n) -> List[str]:
    """Return a note on n events that came before the first step or after the last, in a list; [] where n is 0."""
    verb = "was" if n == 1 else "were"
    return [f"{many(n, 'event')} of the recordings lay outside the steps and {verb} left out: --timesteps N takes "
            "more in"] if n else []


def summary_card(summary) -> Card:
    """Return what a `RunSummary` shows of itself."""
    energy = None if summary.energy is None else summary.energy.total
    facts = [
        ("model", summary.model), ("data", summary.data), ("precision", summary.chip or summary.precision),
        ("accuracy", None if summary.accuracy is None else share_percent(summary.accuracy)),
        ("samples per second", quantity(summary.samples_per_second)),
        ("energy per sample", None if energy is None else joule(energy.total)),
        ("matched dense network", None if energy is None else joule(energy.ann_total)),
    ]
    rows = _rows(summary, max(summary.samples or 0, 1), summary.layers[:MOST_ROWS])
    title = f"RunSummary({many(summary.samples or 0, 'sample')}, {summary.steps_text})"
    return Card(title, [(name, value) for name, value in facts if value is not None], COLUMNS, rows,
                len(summary.layers), note="per sample; as_text() says it all")


def _head(summary):
    names = printable(" on ".join(name for name in (summary.model, summary.data) if name))
    samples = many(summary.samples or 0, "sample")
    result = (f"{samples} without labels" if summary.accuracy is None
              else f"{share_percent(summary.accuracy)} correct of {samples}")
    return (
        f"{names}{': ' if names else ''}{result}, {summary.steps_text}, {_arithmetic(summary)}, "
        f"{quantity(summary.samples_per_second)} samples/s\n"
    )


def _arithmetic(summary):
    return summary.chip or summary.precision or "unknown arithmetic"


COLUMNS = ("layer", "neurons", "firing rate", "mean level", "synops", "additions", "dense MACs", "share")


def _layers(summary, samples, width):
    totals = summary.totals
    rows = _rows(summary, samples, summary.layers)
    rows.append((
        "total", f"{sum(layer.neurons or 0 for layer in summary.layers)}", "", "",
        quantity((totals.synops or 0) / samples), quantity(_additions(totals) / samples),
        quantity((totals.dense_macs or 0) / samples), "",
    ))
    return aligned_table(COLUMNS, rows, width, LEFT_OUT)


def _rows(summary, samples, layers):
    """Return a row of cells for each of some layers."""
    all_additions = max(_additions(summary.totals), 1)
    return [
        (
            layer.name or NONE, _number_text(layer.neurons),
            share_decimals(layer.firing_rate, 4),
            decimals(layer.mean_level, 2) if layer.mean_level else NONE, quantity((layer.synops or 0) / samples),
            quantity(_additions(layer) / samples), quantity((layer.dense_macs or 0) / samples),
            share_percent(_additions(layer) / all_additions, 1),
        )
        for layer in layers
    ]


def _additions(counts):
    """Return the additions together with the MACs of real-valued input."""
    return (counts.additions or 0) + (counts.macs or 0)


def _tail(summary, samples):
    macs = (summary.totals.macs or 0) / samples
    included = f"additions include {quantity(macs)} MACs of real-valued input; " if macs else ""
    text = f"\nper sample; {included}share is of all additions"
    if summary.energy is None:
        return text
    cost = summary.energy.total
    arithmetic = sum(part or 0 for part in (cost.additions, cost.products, cost.updates))
    return (f"{text};\nenergy by {summary.energy.table or 'an unknown table'}: {joule(cost.total)}, of which "
            f"arithmetic {joule(arithmetic)}; a matched dense network: {joule(cost.ann_total)}")


def _lost(summary):
    """Yield lines on what integers did to weights, where that matters."""
    arithmetic, weights = _arithmetic(summary), summary.weights or {}
    for name, layer in weights.items():
        if layer.is_empty:
            yield (f"{arithmetic} rounds all {many(layer.weights or 0, 'weight')} of {printable(name)} to 0: "
                   "nothing that it reads has an effect; run in float32, or rescale the layer")
    lost = {name: layer for name, layer in weights.items() if layer.lost_share > LOST_SHARE and not layer.is_empty}
    if lost:
        ordered = sorted(lost, key=lambda name: -lost[name].lost_share)
        shown = [_share_lost(name, lost[name]) for name in ordered[:MOST_LAYERS]]
        more = f" and {many(len(lost) - MOST_LAYERS, 'more layer')}" if len(lost) > MOST_LAYERS else ""
        yield f"of the weights, {arithmetic} {', '.join(shown)}{more}"


def _share_lost(name, layer):
    parts = [f"{verb} {share_percent(number / max(layer.weights or 0, 1), 1)}{end}" for verb, number, end in (
        ("rounds", layer.zeroed, " to 0"), ("clips", layer.clipped, "")) if number]
    return f"{' and '.join(parts)} in {printable(name)}"


def _overflown(summary):
    """Yield a line on the numbers that overflowed in floats, if there are any."""
    text = overflow_text(_arithmetic(summary), summary.not_finite or {})
    if text:
        yield text


def _number_text(number):
    return NONE if number is None else f"{number}"


def audit_text(audit: Dict, width=None) -> str:
    """Return a table of ranges, widths and overflows, and one of what became of the weights. audit: layer ->
    `AuditSummary`."""
    rows, weights = [], []
    for name, layer in audit.items():
        for number in ("sum", "current", "membrane"):
            range_ = getattr(layer, number)
            known = (range_.lowest, range_.highest, range_.bits_needed, range_.bits or 32, range_.overflows)
            rows.append((name, number, *map(_number_text, known), range_.overflow or "" if range_.bits else ""))
        weights.append((name, *map(_number_text, (layer.weights, layer.clipped_weights, layer.zeroed_weights))))
    columns = ("layer", "number", "lowest", "highest", "bits needed", "bits", "overflows", "then")
    return (
        aligned_table(columns, rows, width, ("then", "overflows", "bits")) + "\n"
        + aligned_table(("layer", "weights", "clipped", "rounded to 0"), weights, width)
        + wrapped("before each number is brought back to its width; a sum in weights, the rest in steps of the "
                  "state", width)
    )
