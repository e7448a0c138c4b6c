"""Verdict: what a comparison suggests, in plain language.

What rounding can give in a membrane is estimated, not bounded. Integers: every synapse is off by up
to half a step; n of them add up like a random walk, as often as their sources sent something while
the membrane remembers it. Floats: every addition is off by half a step.
"""

from math import sqrt

import numpy as np

from eventsim.comparison.pairing import synapses_into
from eventsim.model.kinds import node_type
from eventsim.text import many, share_percent

FAR = 4  # times what rounding usually gives: what it can give; as often again: no rounding any more
COARSE = 0.5  # of a threshold
MANY = 0.25  # of a layer's weights
SHIFTS = 8  # steps by which a layer's spikes are tried against each other
WINDOW = 64  # steps around a divergence that are looked at for that


def verdict(result, comparing) -> str:
    """What a comparison suggests, in sentences."""
    first = result.first
    if first is None:
        return " ".join([_nothing_differs(result), *(f"{note}." for note in comparing.overridden)])
    sentences = [_cause(result, comparing)]
    sentences += _overflown(result)
    sentences += _weights_lost(comparing, result.steps)
    sentences += _on_the_way(result, comparing)
    sentences += _suspicious(result, comparing, sentences[0])
    if node_type(first.kind).fires() and not comparing.b.is_trace:
        sentences += _shifted(comparing)
    sentences.append(_outcome(result))
    sentences += [f"{note}." for note in comparing.overridden]
    return " ".join(s for s in sentences if s)


def _nothing_differs(result):
    text = f"Nothing that decides ({', '.join(result.decides)}) differs in {many(result.samples, 'sample')}."
    largest = max(((d, layer.name, v) for layer in result.layers for v, d in layer.drift.items()
                   if v not in result.decides), default=(0.0, "", ""))
    if largest[0]:
        text += f" The largest drift is {largest[0]:.3g}, in the {largest[2]} of {largest[1]!r}."
    return f"{text} {_outcome(result)}".strip()


def _outcome(result):
    if result.equal_predictions is None:
        return ""
    changed = result.samples - result.equal_predictions
    if not changed:
        return "No prediction changes."
    text = f"{changed} of {result.samples} predictions change"
    if result.accuracy[0] is None:
        return f"{text}."
    a, b = map(share_percent, result.accuracy)
    return f"{text}; accuracy goes from {a} in A to {b} in B."


def _cause(result, comparing):
    first = result.first
    if node_type(first.kind).role == "input":
        return "The samples themselves differ: A is not given what B was."
    overflown = _not_finite(comparing, first)
    if overflown:
        return overflown
    if first.variable == "spikes" and all(first.decisions):
        return _cause_of_a_spike(result, comparing)
    return _cause_of_a_value(result, comparing)


def _not_finite(comparing, first):
    """What is said where a value of the neuron is infinite or no number, as after an overflow."""
    for variable, values in {first.variable: first.values, **first.values_there}.items():
        infinite = [f"{value:.4g} in {name}" for value, name in zip(values, "AB")
                    if value is not None and not np.isfinite(value)]
        if infinite:
            kinds = {side.program.precision for side in (comparing.a, comparing.b) if not side.is_trace}
            wider = "" if kinds == {"float64"} else "run in float64, or "
            return (f"The {variable} of {first.layer!r} are {' and '.join(infinite)}: numbers grew beyond what "
                    f"{'float64' if kinds == {'float64'} else 'the arithmetic'} holds, which is no rounding; "
                    f"{wider}look for huge weights before this layer.")
    return ""


def _cause_of_a_spike(result, comparing):
    first, (a, b) = result.first, result.first.decisions
    magnitude = max(abs(a.potential), abs(b.potential), abs(a.threshold), abs(b.threshold))
    sides = (comparing.a, first.layer), (comparing.b, first.layer_b)
    alike = not comparing.b.is_trace and comparing.a.arithmetic == comparing.b.arithmetic
    apart = abs(a.potential - b.potential)
    if not comparing.knows_rounding:
        return (f"The potentials are {abs(a.margin):.3g} and {abs(b.margin):.3g} from A's threshold and differ by "
                f"{apart:.3g}; what rounding gives in B ({comparing.b.describe()}) is not known here.")
    if abs(a.threshold - b.threshold) > (
            0 if alike else 2 * sum(_grain(side, name, first.neuron, magnitude) for side, name in sides)):
        return (f"The thresholds differ: {a.threshold:.6g} in A, {b.threshold:.6g} in B; "
                f"look at v_threshold (and quantum) of {first.layer!r}." + _other_unit(a, b))
    if apart == 0 and a.threshold == b.threshold:
        return _cause_of_a_decision(comparing, first, a, b)
    if alike:
        return _cause_of_a_value(result, comparing)
    usual = sum(_rounding(comparing, side, name, first.neuron, first.step, magnitude) for side, name in sides)
    near = f"{abs(a.margin):.3g} and {abs(b.margin):.3g} from the threshold"
    where = f"the inputs were equal, so look at {_suspects(result, comparing)}"
    if apart <= usual:
        text = (f"First differs by rounding: the potentials are {near} and differ by {apart:.3g}; rounding "
                f"can give about {usual:.1g} here. ")
        if usual > COARSE * abs(a.threshold):
            return (f"{text}That is not small beside the threshold {a.threshold:.3g}: too coarse for "
                    f"{first.layer!r}.")
        return text + "How far it spreads says whether that matters."
    if apart <= FAR * usual:
        return (f"The potentials are {near} and differ by {apart:.3g}, somewhat more than rounding can give "
                f"here (about {usual:.1g}): probably rounding, else {where}.")
    return (f"The potentials differ by {apart:.3g}, far more than rounding can give here (about {usual:.1g}): "
            f"{where}.")


def _other_unit(a, b):
    """The remark that one side merely counts in another unit."""
    if not (a.threshold and b.threshold and a.potential and b.potential):
        return ""
    ratio = b.threshold / a.threshold
    if abs(b.potential / a.potential / ratio - 1) > 1e-3:
        return ""
    return f" B's potential is larger by the same factor, {ratio:.4g}: perhaps only another unit."


def _cause_of_a_decision(comparing, first, a, b):
    if a.margin == 0 and a.comparison != b.comparison:
        chips = [side.program.chip for side in (comparing.a, comparing.b) if not side.is_trace]
        given = [chip.name for chip in chips if chip is not None and chip.comparison]
        look = f"chip {' and '.join(given)} says so" if given else f"look at comparison of {first.layer!r}"
        return (f"Both potentials are exactly at the threshold {a.threshold:.6g}: A fires at {a.comparison} it, "
                f"B at {b.comparison} it; {look}.")
    return (f"Potentials and thresholds are equal, yet A sent {a.sent} and B {b.sent}: look at bits, signed "
            f"and refractory of {first.layer!r}.")


def _cause_of_a_value(result, comparing):
    first = result.first
    a, b = first.values
    gap = f" by {abs(a - b):.3g}" if a is not None and b is not None else ""
    text = f"The {first.variable} of {first.layer!r} differ{gap}"
    look = f"look at {_suspects(result, comparing)}."
    if comparing.b.is_trace:
        return f"{text}, and nothing before that the trace holds. {_how_close(comparing, first)}L{look[1:]}"
    if comparing.a.arithmetic != comparing.b.arithmetic:
        return f"{text}: {look}"
    return (f"Both sides compute alike, so this is no rounding: {text[0].lower()}{text[1:]}, and nothing before; "
            + look + _other_steps(comparing, first))


def _other_steps(comparing, first):
    """The remark that two fixed-point runs count a neuron in different steps."""
    units = [float(side.program.stages[name].steps_per_unit[first.neuron // side.program.stages[name].positions])
             for side, name in ((comparing.a, first.layer), (comparing.b, first.layer_b))
             if node_type(first.kind).integrates()]
    if len(set(units)) < 2:
        return ""
    return (f" A counts this neuron in {units[0]:.6g} steps a unit, B in {units[1]:.6g}, chosen from their "
            "weights: everything in it is rounded otherwise.")


def _how_close(comparing, first):
    """Whether A alone was near its threshold, for a trace that has only spikes."""
    own = first.decisions[0]
    if first.variable != "spikes" or own is None:
        return ""
    magnitude = max(abs(own.potential), abs(own.threshold))
    where = f"A's potential is {abs(own.margin):.3g} {'beyond' if own.margin >= 0 else 'short of'} the threshold"
    if not comparing.knows_rounding:
        return f"{where}. "
    sides = [comparing.a, *([comparing.b] if comparing.b.estimator is not None else [])]
    usual = sum(_rounding(comparing, side, first.layer, first.neuron, first.step, magnitude) for side in sides)
    if abs(own.margin) <= usual:
        return f"{where}: so near that rounding may decide. "
    return f"{where}, more than rounding can give (about {usual:.1g}). "


def _suspects(result, comparing):
    """What can make a variable differ when everything before it is equal."""
    first, node = result.first, comparing.a.model.nodes[result.first.layer]
    layer, ways = first.layer, _ways_in(comparing, first)
    if not node_type(first.kind).integrates():
        return f"{layer!r} ({first.kind}) and the delays of its edges"
    filters = getattr(node, "current_leak", None) is not None
    look = {
        "currents": f"{ways}; input_gain, " + ("current_leak and periodic reset" if filters else "bias and v_leak")
                    + f" of {layer!r}; the delays of its edges",
        "potentials": f"leak{', bias, v_leak' if filters else ''} and periodic reset of {layer!r}",
        "spikes": f"threshold, comparison, bits and refractory of {layer!r}",
        "residuals": f"reset, v_reset, quantum, v_min and reset_delay of {layer!r}",
        "outputs": f"reduce of {layer!r}",
    }
    look |= {variable: f"{fields} of {layer!r}" for variable, fields in node.decides_by.items()}
    compared = {v for pair in comparing.pairs if pair.a.name == layer for v in pair.variables}
    missing = [v for v in ("currents", "potentials") if v not in compared or v not in result.decides]
    order = [v for v in look if v in missing or v == first.variable]
    return "; ".join(look[v] for v in order[: order.index(first.variable) + 1])


def _ways_in(comparing, first):
    """The synapses that lead into the layer, for people."""
    names = [name for name in synapses_into(comparing.a.model, first.layer)
             if comparing.a.model.nodes[name].weighs]
    if not names:
        return f"what leads into {first.layer!r}"
    return "weights and biases of " + ", ".join(map(repr, names))


def _grain(side, layer, neuron, magnitude):
    """The step between neighbouring numbers of a membrane (neuron None: of the coarsest channel), in
    its unit. magnitude: of the numbers, for floats."""
    side = side.estimator if side.is_trace else side
    if side is None:
        return 1e-6 * magnitude
    stage = side.program.stages[layer]
    if side.program.dtype.kind == "f":
        return float(np.finfo(side.program.dtype).eps) * magnitude
    units = stage.steps_per_unit
    return 1 / float(units.min() if neuron is None else units[neuron // stage.positions])


def _rounding(comparing, side, layer, neuron, step, magnitude):
    """What rounding of this side can add up to in a potential, FAR times the usual; as `_grain`."""
    grain = _grain(side, layer, neuron, magnitude)
    side = side.estimator if side.is_trace else side
    if side is None:
        return grain
    program, node = side.program, side.model.nodes[layer]
    stage = program.stages[layer]
    keeps = float(np.max(node.leak))
    remembered = step + 1 if keeps >= 1 else min(step + 1, 1 / (1 - keeps))
    if program.dtype.kind == "f":
        n_synapses = sum(s.fan_out.total for s in stage.synapses) / stage.n_neurons
        return FAR * grain * (1 + 0.5 * sqrt(n_synapses)) * remembered
    sent = comparing.activity(side)
    weight = grain * getattr(program.chip, "weight_step", 1) * 2.0**stage.update.shift
    walk = sqrt(sum(s.fan_out.total / stage.n_neurons * sent[s.source] ** 2 for s in stage.synapses))
    return FAR * (0.5 * weight * walk + grain) * remembered


def _overflown(result):
    """Numbers that left their widths."""
    sentences = []
    for side in "AB":
        here = [f"the {o.quantity} of {o.layer!r} needs {o.needed} bits and has {o.bits} ({o.then}, "
                f"{many(o.times, 'time')})"
                for o in result.overflows if o.side == side]
        if here:
            more = f", and {len(here) - 3} more" if len(here) > 3 else ""
            sentences.append(f"Overflow in {side}, which is no rounding: {'; '.join(here[:3])}{more}.")
    return sentences


def _weights_lost(comparing, steps):
    """Weights that a chip's range has cut off, layers of which rounding made many 0, constants that it changed in
    a run of so many steps."""
    sentences = []
    for side in (comparing.a, comparing.b):
        noted = {} if side.is_trace else side.program.rounding
        clipped = [f"{r.n_clipped} of {r.n_weights} into {name!r}" for name, r in noted.items() if r.n_clipped]
        zeroed = [f"{r.n_zeroed} of {r.n_weights} into {name!r}" for name, r in noted.items()
                  if r.n_zeroed > MANY * r.n_weights]
        if clipped:
            sentences.append(f"Weights are clipped to the chip's range in {side.label}: {', '.join(clipped)}.")
        if zeroed:
            sentences.append(f"Weights are rounded to 0 in {side.label}: {', '.join(zeroed)}.")
        changed = [change.as_text(constant, repr(name)) for name, r in noted.items()
                   for constant, change in r.changed_in(steps).items()]
        if changed:
            sentences.append(f"Integers change constants in {side.label}: {', '.join(changed)}.")
    return sentences


def _on_the_way(result, comparing):
    """What the two models say differently on the way into the layer."""
    into = synapses_into(comparing.a.model, result.first.layer)
    here = [difference.text for difference in comparing.differences if difference.node in into]
    more = f" (and {len(here) - 3} more)" if len(here) > 3 else ""
    return [f"The models differ there in {'; '.join(here[:3])}{more}."] if here else []


def _suspicious(result, comparing, cause):
    """Layers whose potentials were too far apart for rounding while all spikes were still equal."""
    if comparing.b.is_trace or comparing.a.arithmetic == comparing.b.arithmetic or result.decides != ("spikes",):
        return []
    far = []
    for pair, layer in zip(comparing.pairs, result.layers):
        drift, node = layer.drift.get("potentials"), comparing.a.model.nodes[layer.name]
        if not drift or "far more" in cause and layer.name == result.first.layer:
            continue
        magnitude = float(np.max(np.abs(getattr(node, "v_threshold", 1.0))))
        usual = sum(_rounding(comparing, side, name, None, result.steps - 1, magnitude)
                    for side, name in ((comparing.a, layer.name), (comparing.b, layer.name_b)))
        if drift > usual:
            far.append(f"{layer.name!r} ({drift:.3g}, rounding can give about {usual:.1g})")
    if not far:
        return []
    return [f"While all spikes were still equal, potentials were too far apart for rounding in {', '.join(far)}."]


def _shifted(comparing):
    """Whether the layer sends the same in both runs, some steps apart."""
    watch, i, _, inputs = comparing.at
    rule = comparing.rules[watch.rank[i]]
    first = max(0, int(watch.step[i]) - SHIFTS)
    n_steps = min(watch.steps - first, WINDOW)
    trains = []
    for side, x, layer in zip((comparing.a, comparing.b), inputs, (rule.pair.a, rule.pair.b)):
        side.begin(x, watch.steps)
        if first:
            side.advance(first, ())
        trains.append(side.advance(n_steps, [(layer.name, "spikes")]).values(layer.name, "spikes")[0])
    a, b = trains
    for shift in range(1, min(SHIFTS, n_steps - 1) + 1):
        for early, late, names in ((a, b, "BA"), (b, a, "AB")):
            if early[:-shift].any() and np.array_equal(early[:-shift], late[shift:]) and not (
                    first == 0 and late[:shift].any()):
                steps = f"{shift} step{'s' if shift > 1 else ''}"
                return [f"{names[0]} sends what {names[1]} sends, {steps} later: look at delays of edges."]
    return []
