"""A Comparison as text for people."""

import textwrap
from typing import Optional

from eventsim.comparison.result import Comparison
from eventsim.model.kinds import node_type
from eventsim.text import aligned_table, many, printable, share_percent, wrapped

WIDTH = 100  # of running text, where no terminal says it
COLUMNS = 7  # steps shown in a table


def as_text(result: Comparison, data: str = "", width: Optional[int] = None) -> str:
    """Everything that a person reads, the reading last, in lines of at most `width` characters; None: of any
    length."""
    parts = [_head(result, data, width or WIDTH)]
    if result.first is not None:
        parts += [_first(result, width), _spread(result, width)]
    drift = _drift(result, width)
    if drift:
        parts.append(drift)
    parts += [wrapped(_sides(result), width), textwrap.fill("reading: " + result.reading, width or WIDTH)]
    return "\n\n".join(part for part in parts if part)


def _head(result, data, width):
    lines = [printable(f"{side}: {name} ({arithmetic})")
             for side, name, arithmetic in zip("AB", (result.a, result.b), result.arithmetic)]
    on = f"{printable(data)}: " if data else ""
    lines.append(f"{on}{_what_differs(result)}; {many(result.samples, 'sample')} of {result.steps_said}")
    lines = [textwrap.fill(line, width) if len(line) > width and width < WIDTH else line for line in lines]
    lines += [textwrap.fill(note, width) for note in result.notes]
    for side, names in zip("AB", result.unmatched):
        if names:
            lines.append(textwrap.fill(f"only in {side}, not compared: {printable(', '.join(names))}", width))
    return "\n".join(lines)


def _what_differs(result):
    if result.equal:
        return f"no difference in {', '.join(result.decides)}"
    equal = [variable for variable in result.decides if variable not in result.differing]
    none = f", none in {', '.join(equal)}" if equal else ""
    return f"{result.divergent} of {many(result.samples, 'sample')} differ in {', '.join(result.differing)}{none}"


def _first(result, width):
    first = result.first
    axes = ("c", "y", "x") if len(first.position) == 3 else ("c", "x")
    place = ", ".join(f"{axis} {value}" for axis, value in zip(axes, first.position))
    other = "" if first.layer_b == first.layer else f" (in B {first.layer_b})"
    head = (f"first divergence: sample {first.sample}, step {first.step}, layer {first.layer}{other}, "
            f"neuron {first.neuron} ({place}): {first.variable}")
    rows = []
    for variable, values in first.values_there.items():
        rows.append((variable + ("  <-" if variable == first.variable else ""),
                     *(_value(v, i) for v, i in zip(values, _integers(first, variable)))))
        if variable == "potentials" and any(first.decisions):
            rows += _decision_rows(first)
    table = aligned_table(("", "A", "B"), rows).rstrip()
    if width is not None and max(map(len, table.splitlines())) > width:  # neither A nor B can be left out
        table = "\n".join(_beneath(rows, width))
    return wrapped(head, width) + "\n\n" + table


def _beneath(rows, width):
    """Lines of a table of A and B for a narrow screen, the two of each row one below the other."""
    for name, *values in rows:
        yield wrapped(name.strip(), width)
        yield from (wrapped(f"  {side}  {value}", width, "     ") for side, value in zip("AB", values))


def _integers(first, variable):
    """State steps of a variable, where they are known."""
    if variable == first.variable:
        return first.steps
    if variable == "potentials" and node_type(first.kind).sends == "levels":
        return tuple(d and d.steps and d.steps[0] for d in first.decisions)
    return None, None


def _decision_rows(first):
    def cells(get):
        return tuple("-" if d is None else get(d) for d in first.decisions)

    change = [("  change", *cells(lambda d: _value(d.potential, d.steps and d.steps[0])))]
    return (change if node_type(first.kind).sends == "changes" else []) + [
        ("  threshold", *cells(lambda d: f"{d.comparison} {_value(d.threshold, d.steps and d.steps[1])}")),
        ("  margin", *cells(lambda d: f"{d.margin:+.6g}")),
    ]


def _value(value, integer=None):
    if value is None:
        return "-"
    return f"{value:.9g}" + ("" if integer is None else f" = {integer} steps")


def _spread(result, width):
    steps = _chosen(result.first.step, max(len(layer.spikes) for layer in result.layers))
    parts = []
    tables = [("whose spikes differ", "spikes")]
    if any(layer.spread != layer.spikes for layer in result.layers):
        tables.insert(0, ("that differ in anything that decides", "spread"))
    for what, key in tables:
        rows = [
            (layer.name, f"{layer.neurons}", *(_share(getattr(layer, key)[t]) for t in steps))
            for layer in result.layers if any(getattr(layer, key))
        ]
        if rows:
            columns = ("layer", "neurons", *(f"step {t}" for t in steps))
            parts.append(f"share of neurons {what}, in sample {result.first.sample}; steps are counted from 0\n\n"
                         + aligned_table(columns, rows, width, ("neurons",)).rstrip())
    return "\n\n".join(parts)


def _chosen(first, steps):
    """A few steps from the first divergence on, farther and farther apart."""
    if steps - first <= COLUMNS:
        return list(range(first, steps))
    offsets = [0] + [1 << i for i in range(30)]
    chosen = [first + o for o in offsets if first + o < steps - 1]
    while len(chosen) > COLUMNS - 1:
        chosen = chosen[:2] + chosen[3::2] if len(chosen) > COLUMNS else chosen[:-1]
    return chosen + [steps - 1]


def _share(value):
    if value < 0.0005:
        return "< 0.1 %" if value else "."
    return f"{100 * value:.{1 if value < 0.0995 else 0}f} %"


def _drift(result, width):
    """Largest differences, where there are any that do not decide."""
    kinds = [v for v in ("currents", "potentials", "residuals", "outputs")
             if any(layer.drift.get(v) for layer in result.layers)]
    if not kinds:
        return ""
    rows = [(layer.name, *(f"{layer.drift[v]:.3g}" if v in layer.drift else "" for v in kinds))
            for layer in result.layers if any(layer.drift.get(v) for v in kinds)]
    title = "largest difference before the first divergence of a sample, in units of the membrane"
    return wrapped(title, width) + "\n\n" + aligned_table(("layer", *kinds), rows, width).rstrip()


def _sides(result):
    lines = []
    if result.first is not None and result.predictions is not None:
        shown = [f"{side} {p}" for side, p in zip("AB", result.predictions) if p is not None]
        label = "" if result.label is None else f" (label {result.label})"
        lines.append(f"prediction for sample {result.first.sample}: {', '.join(shown)}{label}")
    if result.equal_predictions is not None:
        changed = "".join(f" {i}," for i in result.changed_predictions).rstrip(",")
        more = result.samples - result.equal_predictions - len(result.changed_predictions)
        lines.append(f"equal predictions: {result.equal_predictions} of {result.samples}"
                     + (f"; not in samples{changed}" if changed else "") + (", ..." if more else ""))
    if result.accuracy[0] is not None:
        shown = [f"{side} {share_percent(a)}" for side, a in zip("AB", result.accuracy) if a is not None]
        lines.append(f"accuracy: {', '.join(shown)}")
    if result.differences:
        lines.append("the models differ in:")
        lines += [f"  {printable(text)}" for text in result.differences[:10]]
        if len(result.differences) > 10:
            lines.append(f"  and {len(result.differences) - 10} more")
    return "\n".join(lines)
