"""What is done element by element: scales, shifts and sums of signals."""

import numpy as np
import torch

from eventsim.from_torch.operations.joining import as_one, node_of_places
from eventsim.from_torch.operations.maps import are_all_channels, channels, n_channels
from eventsim.from_torch.operations.registry import (
    BEFORE, name_of, operation, OWN_NEURONS, reads_samples, Refused,
)
from eventsim.from_torch.operations.rows import (
    add_steps, constant, CURRENTS, emit, gives_current, place_rows, rows_of,
)
from eventsim.from_torch.places import BITS, CONSTANT, MASK, Mixed, ZERO, tensors_in
from eventsim.from_torch.ranges import stays_within, WholeRange


@operation("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm",
           "_batch_norm_no_update")
def _batch_norm(trace, func, args, kwargs, out):
    x, weight, bias, mean, var = args[:5]
    name = name_of(func)
    training, eps = (False, args[6]) if name in ("_native_batch_norm_legit_no_training", "_batch_norm_no_update") \
        else (args[5], args[7])
    if training or mean is None:
        raise Refused("normalises by the statistics of the batch (BatchNorm without running statistics, or in "
                      "training), which depend on the other samples")
    mean, var, weight, bias = (constant(trace, value, "normalises by numbers that depend on the sample")
                               for value in (mean, var, weight, bias))
    weight = np.ones_like(mean) if weight is None else weight
    bias = np.zeros_like(mean) if bias is None else bias
    gain = weight / np.sqrt(var + eps)
    settings = {"scale": gain, "shift": bias - mean * gain,
                "norm": {"weight": weight, "bias": bias, "running_mean": mean, "running_var": var, "eps": eps}}
    _affine_per_channel(trace, x, settings, tensors_in(out)[0])


def _affine_per_channel(trace, x, settings, out):
    """scale * x + shift per channel; x: (B, C, ...)."""
    shape = tuple(x.shape[1:])
    parts = trace.places.parts(x, 1)
    blocks = [(part, *channels(trace, part, shape)) for part in parts]
    if len(blocks) == 1 and are_all_channels(trace, blocks[0], shape[0]):
        _affine(trace, (parts[0].node, parts[0].rows), shape, settings, out)
        return
    if any(len(there) < n_channels(trace.nodes[part.node]) for part, _, there in blocks) or \
            sum(len(here) for _, here, _ in blocks) < shape[0]:  # zeros are shifted, too
        _affine(trace, as_one(trace, parts, shape), shape, settings, out)
        return
    view = (1, -1) + (1,) * (len(shape) - 1)
    scale, shift = (torch.from_numpy(settings[name]).view(view).expand(x.shape) for name in ("scale", "shift"))
    elementwise(trace, x, scale, shift, out)


def _affine(trace, part, shape, settings, out):
    """The same of all channels of a node. part: (number, rows)."""
    number, rows = part
    node = trace.nodes[number]
    if node.kind == "add" and gives_current(trace.graph, number):
        # scale * (a + b) + shift = (scale * a + shift) + scale * b: a node reads one thing
        pieces = []
        for source in node.sources:
            inner = {"scale": settings["scale"],
                     "shift": settings["shift"] if not pieces else np.zeros_like(settings["shift"])}
            pieces.append(emit(trace, "affine", shape, [(source.node, rows_of(trace, source, rows))], inner))
        emit(trace, "add", shape, pieces, {}, out)
        return
    emit(trace, "affine", shape, [part], settings, out)


@operation("mul")
def _mul(trace, func, args, kwargs, out):
    a, b = args
    signal, factor = (a, b) if _is_signal(trace, a) else (b, a)
    elementwise(trace, signal, constant(trace, factor, "multiplies two signals"), 0, out)


@operation("div", "true_divide")
def _div(trace, func, args, kwargs, out):
    a, b = args
    if kwargs.get("rounding_mode"):
        raise Refused("divides and rounds")
    elementwise(trace, a, 1 / torch.as_tensor(constant(trace, b, "divides by a signal")), 0, out)


@operation("neg")
def _neg(trace, func, args, kwargs, out):
    elementwise(trace, args[0], -1, 0, out)


def _alpha(args, kwargs):
    """What the second (of `rsub` the first) is multiplied by: overloads for numbers take it by its place."""
    return args[2] if len(args) > 2 else kwargs.get("alpha", 1)


@operation("add")
def _add(trace, func, args, kwargs, out):
    _sum(trace, args[0], args[1], _alpha(args, kwargs), out)


@operation("sub")
def _sub(trace, func, args, kwargs, out):
    _sum(trace, args[0], args[1], -_alpha(args, kwargs), out)


@operation("rsub")
def _rsub(trace, func, args, kwargs, out):
    other = args[1] if len(args) > 1 else kwargs["other"]
    elementwise(trace, args[0], -_alpha(args, kwargs), constant(trace, other, "subtracts two signals (rsub)"), out)


@operation("where")
def _where(trace, func, args, kwargs, out):
    """A constant mask, and a constant on one of its sides: a scale and a shift."""
    mask, a, b = args
    mask = constant(trace, mask, f"does 'where' by a signal, which has no equal in eventsim; {OWN_NEURONS}") != 0
    signal, other, keeps_signal = (a, b, mask) if _is_signal(trace, a) else (b, a, ~mask)
    other = constant(trace, other, "does 'where' with two signals, which has no equal in eventsim; multiply each "
                                   "by a mask and add them")
    elementwise(trace, signal, keeps_signal, np.where(keeps_signal, 0.0, other), out)


@operation("masked_fill")
def _masked_fill(trace, func, args, kwargs, out):
    x, mask, value = args
    mask = constant(trace, mask,
                    f"does 'masked_fill' by a signal, which has no equal in eventsim; {OWN_NEURONS}") != 0
    elementwise(trace, x, ~mask, np.where(mask, constant(trace, value, "fills with a signal"), 0.0), out)


@operation("relu")
def _relu(trace, func, args, kwargs, out):
    """Spikes are not negative, so a rectifier does not change them."""
    if _never_negative(trace, args[0]):
        trace.places.write(out, trace.places.of(args[0]).clone())
        return
    if reads_samples(trace, args[:1]):
        raise Refused(f"does 'relu', which has no equal in eventsim; {BEFORE}")
    raise Refused("does 'relu' to a current: eventsim runs spiking networks. Convert a network of ReLUs first, "
                  "for example with examples/trainer/conversion.py (guide bring_your_network.md), then export the "
                  f"result; {OWN_NEURONS}")


@operation("clamp", "clamp_min", "clamp_max", "hardtanh", "abs", "threshold")
def _clamp(trace, func, args, kwargs, out):
    name = name_of(func).rstrip("_")
    if name == "abs" and _never_negative(trace, args[0]) or _stays_within(trace, name, args):
        trace.places.write(out, trace.places.of(args[0]).clone())  # whatever the sample, nothing changes
        return
    remedy = BEFORE if reads_samples(trace, args[:1]) else "put spiking neurons in its place, or leave it out"
    raise Refused(f"does {name_of(func)!r} to a signal, which has no equal in eventsim; {remedy}")


def _stays_within(trace, name, args):
    """Whether bounds are numbers that nothing of a tensor passes, whatever the sample."""
    limits = {"clamp_min": lambda x, low: (low, None), "clamp_max": lambda x, high: (None, high),
              "clamp": lambda x, low=None, high=None: (low, high),
              "hardtanh": lambda x, low=-1, high=1: (low, high)}
    if name not in limits:
        return False
    low, high = limits[name](*args)
    if isinstance(low, torch.Tensor) or isinstance(high, torch.Tensor):
        return False
    if low is not None and (low > 0 or not _never_negative(trace, args[0])):
        return False
    return high is None or stays_within(trace, args[0], WholeRange(-np.inf, high))


def _never_negative(trace, x):
    places = trace.places.of(x)
    nodes = {int(n) for n in torch.unique(places[places >= 0] >> BITS)}
    return all(_is_spikes(trace, n) for n in nodes)


def _is_spikes(trace, number):
    node = trace.nodes[number]
    if node.kind in ("max_pool", "avg_pool", "add"):
        return all(_is_spikes(trace, source.node) for source in node.sources)
    if node.kind != "layer":
        return False
    layer = node.settings["layer"]
    return layer.node.fires() and not layer.signed


def elementwise(trace, x, scale, shift, out):
    """Add scale * x + shift, element by element. scale, shift: numbers, arrays or tensors that broadcast; Refused
    where they depend on the input."""
    places = trace.places.of(x).expand(out.shape)
    scale, shift = (constant(trace, value, "scales or shifts a signal by another") for value in (scale, shift))
    scale, shift = (torch.as_tensor(value).expand(out.shape) for value in (scale, shift))
    if (scale == 1).all() and (shift == 0).all():
        trace.places.write(out, places.clone())
        return
    result = torch.full(out.shape, CONSTANT, dtype=torch.int64)
    result[(places == ZERO) & (shift == 0)] = ZERO
    for number in map(int, torch.unique(places[places >= 0] >> BITS)):
        where = (places >= 0) & (places >> BITS == number)
        node = trace.nodes[number]
        element = (places[where] & MASK) % node.size
        factors = {name: _per_element(node, element, value[where])
                   for name, value in (("scale", scale), ("shift", shift))}
        result[where] = _scaled(trace, number, factors, places[where])
    trace.places.write(out, result)


def _per_element(node, element, values):
    """A factor of each channel of a node, from those of its elements in a tensor."""
    factors = np.zeros(node.size)
    factors[element.numpy()] = values.numpy()
    if (factors[element.numpy()] != values.numpy()).any():
        raise Refused("scales or shifts steps or samples differently")
    rows = factors.reshape(node.shape[0], -1)
    used = np.zeros(node.size, bool)
    used[element.numpy()] = True
    if used.all() and (rows == rows[:, :1]).all():
        return rows[:, 0].copy()
    if used.all():
        return factors.reshape(node.shape)
    values = np.unique(values.numpy())
    if len(values) == 1:
        return np.full(node.shape[0], values[0])
    raise Refused("scales or shifts parts of a layer differently")


def _scaled(trace, number, factors, places):
    """Places of scale * node + shift."""
    node = trace.nodes[number]
    if node.kind == "steps":
        return _scaled_steps(trace, node, factors, places)
    if node.kind == "refused":
        return places
    local = places & MASK
    rows = np.unique((local // node.size).numpy())
    if node.kind == "add" and gives_current(trace.graph, number):
        pieces = []
        for source in node.sources:
            source_rows = rows_of(trace, source, rows)
            shift = factors["shift"] if not pieces else np.zeros_like(factors["shift"])
            pieces.append(emit(trace, "affine", node.shape, [(source.node, source_rows)],
                               {"scale": factors["scale"], "shift": shift}))
        result, _ = emit(trace, "add", node.shape, pieces, {})
    elif node.kind in CURRENTS and node.settings["bias"] is None and (factors["scale"] == 1).all() \
            and factors["shift"].ndim == 1:
        [source] = node.sources  # a bias that is added by itself
        result, _ = emit(trace, node.kind, node.shape, [(source.node, rows_of(trace, source, rows))],
                        {**node.settings, "bias": factors["shift"]})
    else:
        result, _ = emit(trace, "affine", node.shape, [(number, rows)], factors)
    return trace.graph.first_place(result) + local


def _scaled_steps(trace, node, factors, places):
    scale, shift = np.unique(factors["scale"]), factors["shift"]
    if len(scale) == 1 and not shift.any():
        weights = {step: float(weight * scale[0]) for step, weight in node.settings["weights"].items()}
        result, _ = add_steps(trace, node.sources[0].node, weights, None, None)
        return trace.graph.first_place(result) + (places & MASK)
    rows = np.unique(((places & MASK) // node.size).numpy())
    number = trace.graph.add(node)
    result, _ = emit(trace, "affine", node.shape, [(number, rows)], factors)
    return trace.graph.first_place(result) + (places & MASK)


def _is_signal(trace, value):
    """Whether a tensor or number depends on the input."""
    return isinstance(value, torch.Tensor) and trace.places.knows(value)


def _sum(trace, a, b, factor, out):
    """Add a + factor * b."""
    if not _is_signal(trace, b):
        elementwise(trace, a, 1, b * factor, out)
        return
    if not _is_signal(trace, a):
        elementwise(trace, b, factor, a, out)
        return
    if factor != 1:
        scaled = torch.zeros_like(b)
        elementwise(trace, b, factor, 0, scaled)
        b = scaled
    first, second = (trace.places.of(v).expand(out.shape) for v in (a, b))
    if ((first == ZERO) != (second == ZERO)).any() and _sum_of_nodes(trace, first, second, out):
        return
    result = torch.where(first == ZERO, second, torch.where(second == ZERO, first, CONSTANT))
    are_signals = (first >= 0) & (second >= 0)
    if ((result == CONSTANT) & ~are_signals).any():
        raise Mixed("numbers that the network computed, beside constants; give these with the samples, as more of "
                    "x, or put them into a bias")
    nodes = torch.stack([first[are_signals] >> BITS, second[are_signals] >> BITS])
    pairs = np.unique(nodes.numpy(), axis=1).T if are_signals.any() else []
    try:
        for m, n in map(tuple, pairs):
            where = are_signals & (first >> BITS == int(m)) & (second >> BITS == int(n))
            result[where] = _added(trace, int(m), int(n), first[where] & MASK, second[where] & MASK)
    except _OtherOrder:
        if not _sum_of_nodes(trace, first, second, out, is_weighed=True):
            raise
        return
    trace.places.write(out, result)


class _OtherOrder(Refused):
    """A sum of numbers that their nodes have in different orders."""


def _sum_of_nodes(trace, first, second, out, is_weighed=False):
    """Add the sum of two blocks of places, each made one node with zeros where it has none; return whether it was.

    is_weighed: whether parts of spikes may be weighed by ones for that; else a sum with currents alone may.
    """
    is_weighed = is_weighed or any(gives_current(trace.graph, int(number)) for places in (first, second)
                     for number in torch.unique(places[places >= 0] >> BITS))
    if not (first >= 0).any() or not (second >= 0).any():
        return False
    try:
        if not is_weighed and not all(_are_whole(trace, places) for places in (first, second)):
            return False
        parts = [node_of_places(trace, places) for places in (first, second)]
        if len(parts[0][1]) != len(parts[1][1]):
            return False
        number, rows = _summed(trace, *parts)
    except (Mixed, Refused):
        return False
    place_rows(trace, out, number, rows)
    return True


def _added(trace, m, n, first, second):
    """Places of the sum of two nodes' elements. first, second: their places without the node."""
    a, b = trace.nodes[m], trace.nodes[n]
    for node, number, local in ((a, m, first), (b, n, second)):
        if node.kind == "refused":
            return trace.graph.first_place(number) + local * 0
    if a.size != b.size or ((first % a.size) != (second % b.size)).any():
        raise _OtherOrder("adds maps whose elements are in another order, or broadcasts one over the other; add "
                          "what synapses make of each, fc1(a) + fc2(b)")
    pairs, back = np.unique(np.stack([(first // a.size).numpy(), (second // b.size).numpy()]), axis=1,
                            return_inverse=True)
    number, rows = _summed(trace, (m, pairs[0]), (n, pairs[1]))
    return trace.graph.first_place(number) + torch.from_numpy(rows[back.reshape(-1)]) * a.size + first % a.size


def _summed(trace, first, second):
    """Add the sum of rows of two nodes, element by element, and return (number, rows). first, second: the same."""
    (m, rows_a), (n, rows_b) = first, second
    a, b = trace.nodes[m], trace.nodes[n]
    if m == n or "steps" in (a.kind, b.kind):
        summed = _steps_of(trace, m, n, rows_a, rows_b)
        if summed is not None:
            return summed, rows_a % trace.samples
    if m == n and (rows_a == rows_b).all():
        return emit(trace, "affine", a.shape, [first],
                    {"scale": np.full(a.shape[0], 2.0), "shift": np.zeros(a.shape[0])})
    if not (gives_current(trace.graph, m) or gives_current(trace.graph, n)):
        _refuse_scaled(a, b, (rows_a // trace.samples != rows_b // trace.samples).any())
    shape = a.shape if len(a.shape) >= len(b.shape) else b.shape
    return emit(trace, "add", shape, _flat_sources(trace, [first, second]), {})


def _are_whole(trace, places):
    """Whether each row of a block is all of one node in its own order, or a step before the first."""
    number, computed = int(places.max()) >> BITS, places[places >= 0]
    size = trace.nodes[number].size
    return places.numel() % size == 0 and bool(
        (computed >> BITS == number).all()
        and ((computed & MASK) % size == torch.arange(len(computed)) % size).all())


def _refuse_scaled(a, b, other_steps):
    """Refuse the sum of two nodes where one scales or shifts what no synapses have weighed yet.

    other_steps: whether the sum is of two steps.
    """
    if "affine" in (a.kind, b.kind):
        if a.kind == b.kind and a.sources[0].node == b.sources[0].node and other_steps:
            raise Refused("adds steps of one layer with different weights; eventsim gives their sum, their mean "
                          "or the last")
        raise Refused("adds two signals, one of which is multiplied or shifted before any synapses, which has no "
                      "equal in eventsim; do that behind the synapses, fc(a) + 0.5 * fc(b) in place of "
                      "fc(a + 0.5 * b)")


def _flat_sources(trace, parts):
    """What a sum reads, sums of sums taken apart."""
    flat = []
    for number, rows in parts:
        node = trace.nodes[number]
        if node.kind != "add":
            flat.append((number, rows))
            continue
        for source in node.sources:
            flat.append((source.node, rows_of(trace, source, rows)))
    return flat


def _steps_of(trace, m, n, rows_a, rows_b):
    """The weighted sum over steps that a sum of one node at two times is, or None."""
    weights, bases = {}, set()
    for number, rows in ((m, rows_a), (n, rows_b)):
        node = trace.nodes[number]
        if node.kind == "steps":
            bases.add(node.sources[0].node)
            node_weights = node.settings["weights"]
        else:
            bases.add(number)
            steps = np.unique(rows // trace.samples)
            if len(steps) != 1 or node.still:
                return None
            node_weights = {int(steps[0]): 1.0}
        for step, weight in node_weights.items():
            weights[step] = weights.get(step, 0.0) + weight
    if len(bases) != 1:
        if any(trace.nodes[number].kind == "steps" for number in (m, n)):
            raise Refused("adds a sum over steps to something else")
        return None
    if m == n and (rows_a == rows_b).all() and trace.nodes[m].kind != "steps":
        return None
    number, _ = add_steps(trace, bases.pop(), weights, None, None)
    return number
