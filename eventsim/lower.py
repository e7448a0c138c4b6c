"""Model -> Program: choose numbers for one precision and lay them out for the kernels.

`folding` has reduced the graph to paths and terms in float64. Here every constant is rounded
once to the type of the run: to float32, to float64, or, for "int8", to integers (see
`rounding`).
"""

from math import fsum
from typing import Dict

import numpy as np

from eventsim import layout
from eventsim.errors import ModelError, UnsupportedError
from eventsim.folding import Unit, fold
from eventsim.kernels import Update
from eventsim.model import Model
from eventsim.nodes import Neuron
from eventsim.parameters import parameter_on
from eventsim.program import (
    Attention,
    InputStage,
    LayerStage,
    Program,
    Rounding,
    StageGroup,
    Synapses,
    WordStage,
)
from eventsim.rounding import (
    INT32_MAX,
    FixedPoint,
    Numbers,
    half_away,
    readout_scale,
    smallest_passing,
    steps_per_quantum,
)

PRECISIONS = ("float32", "float64", "int8")
FLAT = ("thresholds", "amounts", "bias", "leak", "gain", "v_reset", "v_min", "refractory")


def lower(model: Model, precision: str = "float32") -> Program:
    """The program of a model at one precision.

    Raises ValueError for an unknown precision, UnsupportedError (naming the node) for what the
    precision cannot express.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}")
    dtype = np.dtype(np.int32 if precision == "int8" else precision)
    folded = fold(model)
    lowering = _Lowering(model, precision, dtype, folded)
    groups = tuple(
        StageGroup(tuple(lowering.stage(unit) for unit in group.units), group.recurrent)
        for group in folded
    )
    return Program(
        precision, dtype, groups, _history(groups), model.input, model.output,
        lowering.safe_steps, lowering.rounding,
    )


def _history(groups):
    history = {stage.name: 0 for group in groups for stage in group.stages}
    for group in groups:
        for stage in group.stages:
            for source, delay in _reads(stage):
                history[source] = max(history[source], delay)
    return history


def _reads(stage):
    if isinstance(stage, WordStage):
        return stage.sources
    return [(s.source, s.delay) for s in getattr(stage, "synapses", ())]


class _Lowering:
    def __init__(self, model, precision, dtype, groups):
        self.model = model
        self.fixed_point = precision == "int8"
        self.dtype = dtype
        self.units: Dict[str, Unit] = {u.name: u for group in groups for u in group.units}
        self.safe_steps = None
        self.rounding = {}

    def stage(self, unit):
        base = (unit.name, unit.shape, unit.logical_shape, unit.n_bits, unit.signed)
        if unit.kind == "input":
            if unit.real and self.fixed_point:
                raise UnsupportedError(
                    f"{self.model.label(unit.name)}: real input has no fixed point; run in float32, "
                    "or give the model integer levels (encoding 'spikes' or 'image')"
                )
            return InputStage(*base, unit.node)
        if unit.kind == "layer":
            return self._layer(unit, base)
        sources = tuple((train.unit, train.delay) for train in unit.trains)
        kernel, stride, padding = unit.window or ((1, 1), (1, 1), (0, 0))
        window = np.array([*kernel, *stride, *padding], np.int64)
        operation = "sum" if unit.kind == "add" else unit.kind
        return WordStage(*base, operation, sources, window)

    # ---- layers

    def _layer(self, unit, base):
        numbers = self._numbers(unit)
        row_weights = max(
            (p.weight.shape[1] * p.weight.shape[3] for p in unit.paths if p.weight is not None), default=1
        )
        lanes = layout.lanes_for(unit.shape[0], numbers.weight_dtype, row_weights)
        synapses = tuple(self._synapses(unit, path, numbers, lanes) for path in unit.paths)
        biases = self._biases(unit, numbers, lanes)
        update = self._update(unit, numbers, lanes, biases[0][1])
        if self.fixed_point:
            self._prove_widths(unit, numbers, update, biases)
        flat = {name: getattr(update, name).reshape(-1) for name in FLAT}
        is_neuron = isinstance(unit.node, Neuron)
        return LayerStage(
            *base, lanes, synapses, update._replace(**flat),
            tuple((first, values.reshape(-1)) for first, values in biases),
            reduce="" if is_neuron else unit.node.reduce,
            output_scale=float(numbers.steps[0]) if self.fixed_point and not is_neuron else 1.0,
            products=self._products(unit),
        )

    def _numbers(self, unit):
        if not self.fixed_point:
            return Numbers(self.dtype, self.dtype, self.model.label(unit.name))
        kernels = [path.weight for path in unit.paths if path.weight is not None]
        if isinstance(unit.node, Neuron):
            quantum = self._channels(unit, unit.node.quantum)
            steps, weight_dtype = steps_per_quantum(kernels, quantum, self.model.label(unit.name))
        else:
            steps, quantum = readout_scale(unit, kernels), np.ones(unit.shape[0])
            weight_dtype = np.dtype(np.int8)
        return FixedPoint(
            self.dtype, weight_dtype, self.model.label(unit.name), steps, quantum
        )

    def _channels(self, unit, value):
        """A parameter that is constant per channel of the map that the unit is held as."""
        whole = parameter_on(value, unit.logical_shape, "parameter").reshape(unit.shape[0], -1)
        if (whole != whole[:, :1]).any():
            raise UnsupportedError(
                f"{self.model.label(unit.name)}: quantum or bits differ inside one channel of the "
                "flattened map; put the Flatten after this node"
            )
        return whole[:, 0].copy()

    def _synapses(self, unit, path, numbers, lanes):
        source_bits = self.units[path.unit].n_bits
        signed = self.units[path.unit].signed
        if path.weight is None:
            weight = numbers.unit(path.amplitude)[:, None, None, None]
            method = "real" if path.real else "masked"
        else:
            weight = numbers.weight(path.weight)
            method = self._method(unit, path, weight, lanes)
        groups = path.groups if path.weight is not None else path.source_shape[0]
        rows, ranges, rows_per_tap = layout.weight_rows(weight, groups, lanes, method)
        if method == "masked":
            rows = rows.astype(self.dtype)
        geometry = layout.geometry(
            path, unit.shape, weight.shape[2:], groups, lanes, rows_per_tap, source_bits, signed,
            lanes * rows.itemsize,
        )
        attention = None
        if path.restimulation is not None:
            attention = Attention(
                path.restimulation, path.scale,
                None if path.weight is None else
                (path.restimulation.weight * path.scale[:, None, None])[:, :, 0, 0],
                None if path.weight is not None else numbers.unrounded(path.amplitude),
            )
        return Synapses(path.unit, path.delay, method, rows, ranges, geometry,
                        layout.fan_out(weight, path, unit.shape, groups), attention)

    def _method(self, unit, path, weight, lanes):
        if path.real:
            return "real"
        if path.restimulation is not None:
            return "attended"
        if path.groups == weight.shape[0] == path.source_shape[0] and path.groups > 1:
            return "masked"
        if weight.dtype == np.int8 and lanes > 16:
            return "slide" if layout.can_slide(path, weight.shape, unit.shape) else "pairs"
        return "windowed" if layout.fits_window(path, weight.shape) else "gather"

    def _biases(self, unit, numbers, lanes):
        """(first step, padded array) for every step at which the bias changes."""
        starts = sorted({0} | {term.first_step for term in unit.terms})
        biases = []
        for start in starts:
            terms = [term.value for term in unit.terms if term.first_step <= start]
            biases.append((start, layout.channels_last(numbers.unit(_sum_terms(terms, unit.shape)), lanes)))
        if self.fixed_point:
            exact = numbers.unrounded(_sum_terms([t.value for t in unit.terms], unit.shape))
            self._note_rounding(unit, numbers, exact)
        return tuple(biases)

    def _note_rounding(self, unit, numbers, bias):
        weights = [numbers.unrounded(p.weight) for p in unit.paths if p.weight is not None]
        thresholds = np.zeros(1)
        if isinstance(unit.node, Neuron):
            thresholds = numbers.unrounded(_thresholds(unit, self._channels(unit, unit.node.quantum))[0])
        scale = numbers.steps / numbers.quantum

        def error(values):
            trailing = (1,) * (values.ndim - 1)
            return (np.abs(half_away(values) - values) / scale.reshape(-1, *trailing)).max(initial=0)

        self.rounding[unit.name] = Rounding(
            (float(scale.min()), float(scale.max())),
            numbers.weight_dtype.itemsize * 8,
            sum(w.size for w in weights),
            sum(int(((half_away(w) == 0) & (w != 0)).sum()) for w in weights),
            max((float(error(w)) for w in weights), default=0.0),
            float(error(bias)),
            float(error(thresholds)) if thresholds.ndim > 1 else 0.0,
        )

    def _products(self, unit):
        leak = parameter_on(unit.node.leak, unit.logical_shape, "leak")
        n = int(((leak != 0) & (leak != 1)).sum())
        if unit.gain is not None:
            n += leak.size
        for path in unit.paths:
            if path.restimulation is not None:
                n_outputs = int(np.prod(unit.shape)) if path.weight is not None else unit.shape[0]
                n += path.restimulation.kernel.size * unit.shape[0] + n_outputs
        return n

    def _update(self, unit, numbers, lanes, bias):
        node, logical, shape = unit.node, unit.logical_shape, unit.shape
        is_neuron = isinstance(node, Neuron)

        def whole(name, default=0.0):
            value = getattr(node, name, None)
            value = default if value is None else value
            return parameter_on(value, logical, name).reshape(shape)

        maps = {
            "leak": numbers.factor(whole("leak")),
            "gain": numbers.factor(unit.gain if unit.gain is not None else np.ones(shape)),
            "v_reset": numbers.unit(whole("v_reset")),
            "v_min": numbers.unit(whole("v_min")),
            "refractory": whole("refractory").astype(np.int32),
        }
        thresholds, amounts = self._firing(unit, numbers) if is_neuron else ([], [])
        per_position = int(shape[1:] != (1, 1) and any(
            (m.reshape(shape[0], -1) != m.reshape(shape[0], -1)[:, :1]).any()
            for m in (*maps.values(), *thresholds)
        ))
        laid = {
            name: layout.channels_last(m if per_position else m[:, :1, :1], lanes)
            for name, m in maps.items()
        }
        never = INT32_MAX if self.fixed_point else np.inf
        special = is_neuron and (node.reset_delay or node.v_min is not None or node.refractory.any())
        return Update(
            thresholds=_stacked(
                [layout.channels_last(m if per_position else m[:, :1, :1], lanes, never)
                 for m in thresholds], self.dtype),
            amounts=_stacked([layout.channels_last(a[:, None, None], lanes) for a in amounts], self.dtype),
            bias=bias,
            **laid,
            plain=int(is_neuron and not (special or unit.signed or unit.gain is not None)),
            bits=unit.n_bits,
            signed=int(unit.signed),
            hard=int(is_neuron and node.reset == "hard"),
            reset_delay=node.reset_delay if is_neuron else 0,
            leaks=int((whole("leak") != 1).any()),
            gains=int(unit.gain is not None),
            limited=int(is_neuron and node.v_min is not None),
            pauses=int(is_neuron and node.refractory.any()),
            per_position=per_position,
            bias_per_position=int(bias.shape[0] > 1),
        )

    def _firing(self, unit, numbers):
        """Thresholds (C, H, W) and amounts (C,) per plane, in the run's type."""
        node = unit.node
        quantum = self._channels(unit, node.quantum)
        bits = self._channels(unit, node.bits)
        exact, theta = _thresholds(unit, quantum)
        thresholds, amounts = [], []
        for b in range(unit.n_bits):
            threshold = numbers.unit(exact[:, b])
            if node.comparison == ">":
                threshold = numbers.above(threshold)
            if b == 0 and node.rectify:
                threshold = self._rectified(node, numbers, threshold, theta, quantum, bits)
            absent = bits <= b
            threshold[absent] = INT32_MAX if self.fixed_point else np.inf
            thresholds.append(threshold)
            amounts.append(numbers.unit(2.0**b * quantum))
        return thresholds, amounts

    def _rectified(self, node, numbers, threshold, theta, quantum, bits):
        """Fold MPR into the threshold of one-bit channels: the smallest number of the run's type
        whose phi passes (DESIGN: InfLoR-SNN eq. 9 is monotone)."""
        strict = node.comparison == ">"
        found = {}
        for c, y, x in np.argwhere((theta != quantum[:, None, None] / 2) & (bits == 1)[:, None, None]):
            key = (theta[c, y, x], quantum[c], numbers.steps[c] if self.fixed_point else 0)
            if key not in found:
                found[key] = smallest_passing(*key, strict, self.dtype)
            threshold[c, y, x] = found[key]
        return threshold

    def _prove_widths(self, unit, numbers, update, biases):
        """Bound |U| + |X| and so the number of steps that int32 membranes hold."""
        per_step = max(int(np.abs(bias.astype(np.int64)).max()) for _, bias in biases)
        for path in unit.paths:
            top = self.units[path.unit].max_level
            if path.weight is None:
                per_step += top * int(np.abs(numbers.unit(path.amplitude)).max() + 1)
            else:
                rows = np.abs(numbers.weight(path.weight).astype(np.int64))
                per_step += top * int(rows.reshape(rows.shape[0], -1).sum(axis=1).max())
        if update.gains:
            per_step = int(per_step * max(1.0, np.abs(unit.gain).max())) + 1
        if update.reset_delay:
            per_step += int(update.amounts.astype(np.int64).sum(axis=0).max())
        start = max(int(np.abs(update.v_reset.astype(np.int64)).max()),
                    int(np.abs(update.v_min.astype(np.int64)).max()))
        if update.bits:  # a soft reset takes U down to threshold - amount, whatever X is
            channels = unit.shape[0]
            lowest = update.thresholds[0].astype(np.int64)[..., :channels]
            start = max(start, int((update.amounts[0].astype(np.int64)[..., :channels] - lowest).max()))
        leak = int(update.leak.max()) / 4096
        if leak < 1 and start + per_step / (1 - leak) < INT32_MAX:
            return
        steps = (INT32_MAX - start) // max(per_step, 1)
        if steps < 1:
            raise UnsupportedError(
                f"{self.model.label(unit.name)}: one step can reach {per_step}, more than int32 holds; "
                "run it in float32"
            )
        self.safe_steps = min(steps, self.safe_steps or steps)


def _stacked(planes, dtype):
    if not planes:
        return np.zeros((0, 1, 1), dtype)
    return np.ascontiguousarray(np.stack(planes))


def _sum_terms(terms, shape):
    """Exactly rounded sum of terms (C, 1, 1) or (C, H, W) per neuron; (C, 1, 1) if all are."""
    if not terms:
        return np.zeros((shape[0], 1, 1))
    if len(terms) == 1:
        return terms[0]
    whole = np.broadcast_shapes(*(term.shape for term in terms))
    stacked = np.stack([np.broadcast_to(term, whole).ravel() for term in terms], axis=1)
    if stacked.shape[1] == 2:  # one IEEE addition is already exactly rounded
        return (stacked[:, 0] + stacked[:, 1]).reshape(whole)
    return np.array([fsum(row) for row in stacked.tolist()]).reshape(whole)


def _thresholds(unit, quantum):
    """c_b = theta - delta + 2^b delta exactly rounded, float64 (C, n_bits, H, W), and theta."""
    theta = parameter_on(unit.node.v_threshold, unit.logical_shape, "v_threshold").reshape(unit.shape)
    flat = theta.reshape(unit.shape[0], -1)
    exact = np.empty((unit.shape[0], unit.n_bits, flat.shape[1]))
    known = {}
    for c, delta in enumerate(quantum.tolist()):
        constant = (flat[c] == flat[c, 0]).all()
        for p, t in enumerate(flat[c, :1].tolist() if constant else flat[c].tolist()):
            if (t, delta) not in known:
                known[t, delta] = [fsum((t, -delta, 2.0**b * delta)) for b in range(unit.n_bits)]
            where = slice(None) if constant else slice(p, p + 1)
            exact[c, :, where] = np.array(known[t, delta])[:, None]
    return exact.reshape(unit.shape[0], unit.n_bits, *unit.shape[1:]), theta
