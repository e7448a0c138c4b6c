"""Stages: a unit in the numbers of one run, laid out for the kernels."""

from dataclasses import replace
from typing import Dict, NamedTuple, Optional

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering import layout, overflow
from eventsim.lowering.changes import changed_constants
from eventsim.lowering.firing import update
from eventsim.lowering.linear import Maximum, sum_terms
from eventsim.lowering.methods import method_of, ReadTrain
from eventsim.lowering.rounding import Numbers
from eventsim.lowering.scales import numbers_of
from eventsim.lowering.units import Unit
from eventsim.program import (
    Attention, InputStage, LayerStage, PooledSums, Rounding, Stage, Synapses, WordStage,
)

FLAT = ("thresholds", "amounts", "bias", "drive", "leak", "current_leak", "gain", "v_reset", "v_min",
        "least", "refractory")


class Lowered(NamedTuple):
    """A stage; of layers of integers also what rounding changed, and the steps for which they are proved
    to fit int32 (None: any number)."""

    stage: Stage
    rounding: Optional[Rounding] = None
    safe_steps: Optional[int] = None


def lowered(unit, units, dtype, chip, model) -> Lowered:
    """Return a unit as a stage. units: name -> Unit. dtype: of membranes. chip: Chip or None. model: the unit's.

    Raises UnsupportedError, naming the node, for what the type or the chip cannot express.
    """
    base = (unit.name, unit.shape, unit.logical_shape, unit.n_bits, unit.signed, unit.max_level)
    if unit.kind == "layer":
        return _layer(unit, units, base, numbers_for(unit, dtype, chip), model)
    if unit.kind == "input":
        if unit.real and dtype.kind == "i":
            raise UnsupportedError(
                f"{unit.label}: real input has no fixed point; run in float32, "
                "or give the model integer levels (encoding 'spikes' or 'image')"
            )
        return Lowered(InputStage(*base, unit.node))
    sources = tuple((train.unit, train.delay) for train in unit.trains)
    kernel, stride, padding = unit.window or ((1, 1), (1, 1), (0, 0))
    window = np.array([*kernel, *stride, *padding], np.int64)
    operation = "sum" if unit.kind == "add" else unit.kind
    return Lowered(WordStage(*base, operation, sources, window, tuple(map(layout.mask_words, unit.masks))))


def numbers_for(unit, dtype, chip):
    """Return the numbers of a layer. Raises UnsupportedError where they cannot be, or a chip cannot send its
    spikes."""
    if unit.node.floats_only and dtype.kind == "i":
        raise UnsupportedError(f"{unit.label}: its resets have no fixed point; run it in float32")
    if chip is not None and unit.n_bits > chip.spike_bits:
        raise UnsupportedError(
            f"{unit.label}: its spikes have {unit.n_bits} bits, but chip {chip.name!r} has {chip.spike_bits}"
        )
    if chip is not None and unit.signed and not chip.signed_spikes:
        raise UnsupportedError(f"{unit.label}: its spikes have a sign, which chip {chip.name!r} does not")
    return numbers_of(unit, dtype, chip)


def _layer(unit, units, base, numbers, model):
    lanes = layout.lanes_of(unit, numbers.weight_dtype)
    if numbers.chip is not None:
        _refuse_maxima(unit, numbers.chip)
    paths = _paths(unit.paths, unit.shape, _Context(units, numbers, lanes))
    biases = _biases(unit.terms, unit.shape, numbers, lanes)
    rounding = _rounding(unit, numbers, model) if numbers.integer else None
    parameters = update(unit, numbers, lanes, biases[0][1])
    steps, scale = None, np.ones(unit.shape[0])
    if numbers.integer:
        largest = max((bias for _, bias in biases), key=lambda bias: np.abs(bias.astype(np.int64)).max())
        largest_sum = overflow.sum_bound(unit.paths, units, numbers)
        steps = overflow.safe_steps(unit.label, parameters._replace(bias=largest), largest_sum, numbers.chip)
        scale = numbers.unrounded(scale)
    flat = {name: layout.aligned_array(getattr(parameters, name)) for name in FLAT}
    stage = LayerStage(
        *base, lanes, paths, parameters._replace(**flat), _flat(biases), scale,
        reduce=unit.node.reduce if unit.node.role == "readout" else "",
        products=_products(unit),
    )
    return Lowered(stage, rounding, steps)


def _refuse_maxima(unit, chip):
    for path in unit.paths:
        if isinstance(path, Maximum):
            raise UnsupportedError(f"{path.label}: takes the maximum of a current, which chip {chip.name!r} "
                                   "cannot; pool the spikes, or run in int8")


class _Context(NamedTuple):
    """What the paths of a layer have in common. units: name -> Unit."""

    units: Dict[str, Unit]
    numbers: Numbers
    lanes: int


def _paths(paths, shape, context):
    """Return the paths into a layer, or into a pool before it, whose map is `shape`."""
    return tuple(_pooled(path, shape, context) if isinstance(path, Maximum) else _synapses(path, shape, context)
                 for path in paths)


def _pooled(maximum, shape, context):
    current, (_, numbers, lanes) = maximum.current, context
    biases = _biases(current.terms, current.shape, numbers, lanes)
    signs = layout.channels_last(maximum.signs.astype(numbers.dtype)[:, None, None], lanes)
    return PooledSums(_paths(current.paths, current.shape, context), _flat(biases), layout.aligned_array(signs),
                      layout.pool_geometry(current.shape, shape, maximum.window, lanes))


def _synapses(path, shape, context):
    """Return one path of synapses."""
    (_, numbers, lanes), source = context, context.units[path.unit]
    if path.weight is None:
        weight = numbers.amplitude(path.amplitude)[:, None, None, None]
    else:
        weight = numbers.weight(path.weight)
    read = ReadTrain(source.is_image, source.max_level, source.signed, source.density)
    method = method_of(path, weight, shape, lanes, read)
    synapses = _laid_out(path, weight, shape, context, method)
    if method != "slide_tables":
        return synapses
    by_events = method_of(path, weight, shape, lanes, read._replace(density=None))
    return replace(synapses, by_events=_laid_out(path, weight, shape, context, by_events))


def _laid_out(path, weight, shape, context, method):
    """Return a path of synapses as its kernel wants it. weight: in the run's type."""
    (_, numbers, lanes), source = context, context.units[path.unit]
    rows = layout.weight_rows(weight, path.n_groups, lanes, method)
    if method == "masked":
        rows = rows._replace(values=rows.values.astype(numbers.dtype))
    geometry = layout.geometry(path, shape, weight.shape[2:], rows, (source.n_bits, source.signed))
    return Synapses(path.unit, path.delay, method, rows.values, rows.ranges, geometry,
                    layout.fan_out(weight, path, shape, path.n_groups), _attention(path, numbers), source.density)


def _attention(path, numbers):
    node = path.attention
    if node is None:
        return None
    if path.weight is None:
        return Attention(node, path.scale, None, numbers.in_sum(path.amplitude))
    return Attention(node, path.scale, (node.weight * path.scale[:, None, None])[:, :, 0, 0], None)


def _biases(terms, shape, numbers, lanes):
    """Return (first step, padded array) for every step at which the bias of a map changes."""
    starts = sorted({0} | {term.first_step for term in terms})
    biases = []
    for start in starts:
        begun = [term.value for term in terms if term.first_step <= start]
        biases.append((start, layout.channels_last(numbers.unit(sum_terms(begun, shape)), lanes)))
    return tuple(biases)


def _flat(biases):
    return tuple((first, layout.aligned_array(values)) for first, values in biases)


def _rounding(unit, numbers, model) -> Rounding:
    """Return what fixed point changes in a layer."""
    scale = numbers.unrounded(np.ones(unit.shape[0]))
    constants, later = changed_constants(unit, numbers, model)
    weights = [path.weight for path in unit.synapses if path.weight is not None]
    zeroed, clipped, worst, left = zip(*map(numbers.rounding_of, weights)) if weights else ((), (), (), ())
    return Rounding(
        scale=(float(scale.min()), float(scale.max())),
        weight_bits=numbers.weight_dtype.itemsize * 8,
        n_weights=sum(weight.size for weight in weights),
        n_zeroed=sum(zeroed),
        n_clipped=sum(clipped),
        weight_error=max(worst, default=0.0),
        n_left=sum(left),
        constants=constants,
        later=later,
    )


def _products(unit):
    """Return the multiplications per step of a layer, whatever arrives."""
    n = unit.node.products_per_step(unit.logical_shape)
    if unit.gain is not None:
        n += unit.gain.size
    attentions = [path.attention for path in unit.synapses if path.attention is not None]
    return n + sum(attention.products_per_step(unit.shape) for attention in attentions)
