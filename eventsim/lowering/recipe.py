"""Model -> Program: choose numbers for one precision and lay them out for the kernels.

`folding` has reduced the graph to paths and terms in float64. Here every constant is rounded
once to the type of the run: to float32, to float64, or, for "int8", to integers (see
`rounding`).
"""

from typing import Dict, Optional

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.kernels.arguments import Update
from eventsim.lowering import layout, overflow
from eventsim.lowering.firing import stacked, firing_thresholds, smallest_passing, SPECIAL
from eventsim.lowering.folding import fold
from eventsim.lowering.linear import value_or, exact_sum
from eventsim.lowering.rounding import FixedPoint, half_away, INT32_MAX, largest_error, Numbers
from eventsim.lowering.scales import readout_scale, steps_in_chip, steps_per_quantum
from eventsim.lowering.units import Unit
from eventsim.model.chip import Chip
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout, SigmaDelta
from eventsim.model.parameters import parameter_on
from eventsim.program import (
    Attention, InputStage, LayerStage, Program, Rounding, StageGroup, Synapses, WordStage,
)

PRECISIONS = ("float32", "float64", "int8")
FLAT = ("thresholds", "amounts", "bias", "drive", "leak", "current_leak", "gain", "v_reset", "v_min",
        "least", "refractory")


def lower(model: Model, precision: str = "float32", chip: Optional[Chip] = None) -> Program:
    """The program of a model at one precision; "fixed" is integers under a chip.

    Raises ModelError for an unknown precision or no model at all, UnsupportedError (naming the
    node) for what the precision or the chip cannot express.
    """
    if not isinstance(model, Model):
        raise ModelError(
            f"model is a {type(model).__name__}, expected a Model (eventsim.load reads one from a file)"
        )
    if precision not in (*PRECISIONS, "fixed") or (precision == "fixed") != (chip is not None):
        raise ModelError(f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}, or "
                         "'fixed' with a chip")
    dtype = np.dtype(np.int32 if precision in ("int8", "fixed") else precision)
    _check_delays(model, chip)
    with np.errstate(all="ignore"):  # `rounding` refuses what leaves float64
        folded = fold(model)
        lowering = _Lowering(model, chip, dtype, folded)
        groups = tuple(
            StageGroup(tuple(lowering.stage(unit) for unit in group.units), group.recurrent)
            for group in folded
        )
    return Program(
        precision, dtype, groups, _history(groups), model.input, model.output,
        lowering.safe_steps, lowering.rounding, chip,
    )


def _check_delays(model, chip):
    most = None if chip is None else chip.max_delay
    for edge in model.edges if most is not None else ():
        if edge.delay > most:
            raise UnsupportedError(
                f"edge {edge.source!r} -> {edge.target!r}: delay is {edge.delay} steps, but chip "
                f"{chip.name!r} has at most {most}"
            )
    for name, node in model.nodes.items() if most is not None else ():
        if node.kind == "Delay" and node.steps.max() > most:
            raise UnsupportedError(
                f"{model.label(name)}: delay is {node.steps.max()} steps, but chip "
                f"{chip.name!r} has at most {most}"
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
    def __init__(self, model, chip, dtype, groups):
        self.model = model
        self.chip = chip
        self.fixed_point = dtype.kind == "i"
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
        masks = tuple(layout.mask_words(mask) for mask in unit.masks)
        return WordStage(*base, operation, sources, window, masks)

    # ---- layers

    def _layer(self, unit, base):
        self._check_spikes(unit)
        numbers = self._numbers(unit)
        row_weights = max(
            (p.weight.shape[1] * p.weight.shape[3] for p in unit.paths if p.weight is not None), default=1
        )
        lanes = layout.lanes_for(unit.shape[0], numbers.weight_dtype, row_weights)
        synapses = tuple(self._synapses(unit, path, numbers, lanes) for path in unit.paths)
        biases = self._biases(unit, numbers, lanes)
        update = self._update(unit, numbers, lanes, biases[0][1])
        scale = np.ones(unit.shape[0])
        if self.fixed_point:
            self._prove_widths(unit, numbers, update, biases)
            scale = numbers.unrounded(scale)
        flat = {name: layout.aligned(getattr(update, name)) for name in FLAT}
        return LayerStage(
            *base, lanes, synapses, update._replace(**flat),
            tuple((first, layout.aligned(values)) for first, values in biases), scale,
            reduce=unit.node.reduce if isinstance(unit.node, Readout) else "",
            products=self._products(unit),
        )

    def _check_spikes(self, unit):
        chip = self.chip
        if chip is not None and unit.n_bits > chip.spike_bits:
            raise UnsupportedError(
                f"{self.model.label(unit.name)}: its spikes have {unit.n_bits} bits, but chip "
                f"{chip.name!r} has {chip.spike_bits}"
            )
        if chip is not None and unit.signed and not chip.signed_spikes:
            raise UnsupportedError(
                f"{self.model.label(unit.name)}: its spikes have a sign, which chip {chip.name!r} "
                "does not"
            )

    def _numbers(self, unit):
        label = self.model.label(unit.name)
        if not self.fixed_point:
            return Numbers(self.dtype, self.dtype, label)
        kernels = [path.weight for path in unit.paths if path.weight is not None]
        if not all(np.isfinite(kernel).all() for kernel in kernels):
            raise UnsupportedError(
                f"{label}: its weights, times what is folded into them, are larger than float64 holds; "
                "rescale the layer"
            )
        reads_out = isinstance(unit.node, Readout)
        quantum = np.ones(unit.shape[0]) if reads_out else self._channels(unit, unit.node.quantum)
        weight_dtype = np.dtype(np.int8)
        if self.chip is None:
            if reads_out:
                steps = readout_scale(unit, kernels)
            else:
                steps, weight_dtype = steps_per_quantum(kernels, quantum, label)
            return FixedPoint(self.dtype, weight_dtype, label, steps, quantum)
        steps = self._steps_in_chip(unit, kernels, quantum, label)
        if unit.node.resolution is not None:
            quantum = np.ones(unit.shape[0])
        numbers = FixedPoint(self.dtype, weight_dtype, label, steps, quantum, self.chip)
        whole = [numbers.whole_weights(kernel)[0] for kernel in kernels]
        if any(w.min() < -128 or w.max() > 127 for w in whole):
            numbers.weight_dtype = np.dtype(np.int16)
        return numbers

    def _steps_in_chip(self, unit, kernels, quantum, label):
        node, chip = unit.node, self.chip
        if node.resolution is not None:
            return np.full(unit.shape[0], node.resolution / 2.0**chip.weight_shift)
        if isinstance(node, Readout):
            return readout_scale(unit, kernels, chip.highest_weight)
        constants = quantum * 2.0 ** (unit.n_bits - 1)
        if isinstance(node, SigmaDelta):
            constants = quantum
        theta = parameter_on(node.v_threshold, unit.logical_shape, "v_threshold")
        constants = np.maximum(constants, np.abs(theta.reshape(unit.shape[0], -1)).max(axis=1))
        steps = steps_in_chip(kernels, quantum, constants, chip, label)
        # every plane of a message has to fit int32
        most = 2.0 ** (30 - (unit.n_bits - 1) - chip.weight_shift)
        return np.minimum(steps, max(most, 2.0))

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
            weight = numbers.amplitude(path.amplitude)[:, None, None, None]
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
                None if path.weight is not None else numbers.in_sum(path.amplitude),
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
        thresholds = np.zeros(1)
        if isinstance(unit.node, Neuron):
            thresholds = numbers.unrounded(firing_thresholds(unit, self._channels(unit, unit.node.quantum))[0])
        scale = numbers.unrounded(np.ones(unit.shape[0]))

        def error(values):
            return largest_error(values, half_away(values), scale)

        weights = [path.weight for path in unit.paths if path.weight is not None]
        zeroed, clipped, worst = zip(*map(numbers.rounding_of, weights)) if weights else ((), (), ())
        self.rounding[unit.name] = Rounding(
            (float(scale.min()), float(scale.max())),
            numbers.weight_dtype.itemsize * 8,
            sum(w.size for w in weights),
            sum(zeroed),
            sum(clipped),
            max(worst, default=0.0),
            error(bias),
            error(thresholds) if thresholds.ndim > 1 else 0.0,
        )

    def _products(self, unit):
        n = 0
        for name in ("leak", "current_leak"):
            leak = parameter_on(value_or(getattr(unit.node, name, None), 1.0), unit.logical_shape, name)
            n += int(((leak != 0) & (leak != 1)).sum())
        if unit.gain is not None:
            n += leak.size
        for path in unit.paths:
            if path.restimulation is not None:
                n_outputs = int(np.prod(unit.shape)) if path.weight is not None else unit.shape[0]
                n += path.restimulation.kernel.size * unit.shape[0] + n_outputs
        return n

    def _update(self, unit, numbers, lanes, bias):
        node, logical, shape = unit.node, unit.logical_shape, unit.shape
        fires = isinstance(node, Neuron)
        changes = isinstance(node, SigmaDelta)
        chip = self.chip

        def whole(name, default=0.0):
            return parameter_on(value_or(getattr(node, name, None), default), logical, name).reshape(shape)

        maps = {
            "drive": numbers.unit(value_or(unit.drive, np.zeros(shape))),
            "leak": numbers.decay(whole("leak")),
            "current_leak": numbers.decay(whole("current_leak")),
            "gain": numbers.factor(value_or(unit.gain, np.ones(shape))),
            "v_reset": numbers.unit(whole("v_reset")),
            "v_min": numbers.unit(whole("v_min")),
            "least": numbers.unit(whole("v_threshold") if changes else np.zeros(shape)),
            "refractory": whole("refractory").astype(np.int32),
        }
        thresholds, amounts = [], []
        if fires:
            thresholds, amounts = self._firing(unit, numbers)
        elif changes:
            thresholds, amounts = self._changing(unit, numbers)
        per_position = int(shape[1:] != (1, 1) and any(
            (m.reshape(shape[0], -1) != m.reshape(shape[0], -1)[:, :1]).any()
            for m in (*maps.values(), *thresholds)
        ))
        laid = {
            name: layout.channels_last(m if per_position else m[:, :1, :1], lanes)
            for name, m in maps.items()
        }
        never = INT32_MAX if self.fixed_point else np.inf
        limits = overflow.limits(chip)
        rounding = "toward_zero" if chip is None else chip.decay_rounding
        decay_bits = 12 if chip is None else chip.decay_bits
        half = 1 << (decay_bits - 1)
        positive, negative = {
            "toward_zero": (0, 0), "floor": (0, 2 * half - 1), "nearest": (half, half),
        }[rounding]
        update = Update(
            thresholds=stacked(
                [layout.channels_last(m if per_position else m[:, :1, :1], lanes, never)
                 for m in thresholds], self.dtype),
            amounts=stacked([layout.channels_last(a[:, None, None], lanes) for a in amounts], self.dtype),
            bias=bias,
            **laid,
            limits=limits,
            plain=0,
            changes={"sigma_delta": 1, "delta": 2}[node.mode] if changes else 0,
            bits=unit.n_bits,
            signed=int(unit.signed),
            hard=int(fires and node.reset == "hard"),
            reset_delay=node.reset_delay if fires else 0,
            leaks=int((whole("leak") != 1).any()),
            filters=int(not changes and node.current_leak is not None),
            drives=int(unit.drive is not None),
            gains=int(unit.gain is not None),
            limited=int(fires and node.v_min is not None),
            rectified=int(changes and node.rectify),
            pauses=int(fires and node.refractory.any()),
            narrow=int(limits.any()),
            shift=numbers.shift if chip is not None else 0,
            decay_bits=decay_bits, decay_positive=positive, decay_negative=negative,
            reset_interval=node.reset_interval, reset_offset=node.reset_offset,
            per_position=per_position,
            bias_per_position=int(bias.shape[0] > 1),
        )
        return update._replace(plain=int(not changes and chip is None and not any(
            getattr(update, name) for name in SPECIAL)))

    def _firing(self, unit, numbers):
        """Thresholds (C, H, W) and amounts (C,) per plane, in the run's type."""
        node = unit.node
        quantum = self._channels(unit, node.quantum)
        bits = self._channels(unit, node.bits)
        exact, theta = firing_thresholds(unit, quantum)
        thresholds, amounts = [], []
        for b in range(unit.n_bits):
            threshold = numbers.unit(exact[:, b])
            if self._comparison(node) == ">":
                threshold = numbers.above(threshold)
            if b == 0 and node.rectify:
                threshold = self._rectified(node, numbers, threshold, theta, quantum, bits)
            absent = bits <= b
            threshold[absent] = INT32_MAX if self.fixed_point else np.inf
            thresholds.append(threshold)
            amounts.append(self._amount(unit, numbers, 2.0**b * quantum))
        return thresholds, amounts

    def _amount(self, unit, numbers, quanta):
        """What a plane takes from the membrane, (C,) in the run's type; never 0 steps."""
        amount = numbers.unit(quanta)
        if not amount.all():
            raise UnsupportedError(
                f"{self.model.label(unit.name)}: its quantum of {quanta.min():.4g} is less than half a step "
                f"(resolution {unit.node.resolution}); raise the resolution"
            )
        return amount

    def _comparison(self, node):
        given = None if self.chip is None else self.chip.comparison
        return value_or(given, node.comparison)

    def _changing(self, unit, numbers):
        """Thresholds of SigmaDelta, (C, 1, 1) per plane of positive, then of negative changes, and
        amounts (C,). floor(o / q) is at least j where o >= j q, and below -j where -o > j q."""
        quantum = self._channels(unit, unit.node.quantum)
        level = self._amount(unit, numbers, quantum)  # rounded once: then levels are whole multiples
        self._amount(unit, numbers, (2.0**unit.n_bits - 1) * quantum)  # all planes together have to fit
        amounts = [level * level.dtype.type(2**b) for b in range(unit.n_bits)]
        planes = amounts + [numbers.above(amount - level) for amount in amounts]
        return [np.broadcast_to(p[:, None, None], unit.shape) for p in planes], amounts

    def _rectified(self, node, numbers, threshold, theta, quantum, bits):
        """Fold MPR into the threshold of one-bit channels: the smallest number of the run's type
        whose phi passes. There is one, since phi (InfLoR-SNN, eq. 9) rises."""
        strict = self._comparison(node) == ">"
        found = {}
        for c, y, x in np.argwhere((theta != quantum[:, None, None] / 2) & (bits == 1)[:, None, None]):
            key = (theta[c, y, x], quantum[c], 0)
            if self.fixed_point:  # steps of the state in a quantum
                key = (*key[:2], numbers.steps[c] * 2.0**numbers.shift * (quantum[c] / numbers.quantum[c]))
            if key not in found:
                found[key] = smallest_passing(*key, strict, self.dtype)
            threshold[c, y, x] = found[key]
        return threshold

    def _prove_widths(self, unit, numbers, update, biases):
        """Bound what a step can bring, and so the number of steps that int32 holds."""
        total = 0
        for path in unit.paths:
            top = self.units[path.unit].max_level
            if path.weight is None:
                total += top * (int(np.abs(numbers.amplitude(path.amplitude)).max()) + 1)
            else:
                rows = np.abs(numbers.weight(path.weight).astype(np.int64))
                total += top * int(rows.reshape(rows.shape[0], -1).sum(axis=1).max())
        largest = max((bias for _, bias in biases), key=lambda bias: np.abs(bias.astype(np.int64)).max())
        steps = overflow.safe_steps(
            self.model.label(unit.name), update._replace(bias=largest), total, self.chip
        )
        if steps is not None:
            self.safe_steps = min(steps, self.safe_steps or steps)


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
    return np.array([exact_sum(row) for row in stacked.tolist()]).reshape(whole)
