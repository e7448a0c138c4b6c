"""The loop over steps, and what it counts."""

import math
from dataclasses import dataclass
from typing import Dict

import numpy as np
from reference.folding import Folded
from reference.neurons import CompiledLayer, Membranes, QUANTITIES, Range
from reference.numbers import fixed_point, limited, readout_scale
from reference.synapses import Largest

from eventsim.errors import RunError, UnsupportedError
from eventsim.model.neurons import Neuron, Readout, SigmaDelta

COUNT_NAMES = (
    "events", "synops", "nonzero_synops", "additions", "doublings", "macs", "multiplications",
    "neuron_updates", "dense_macs",
)


@dataclass
class Result:
    """What a run gave. Arrays start with (N, T).

    levels: per spiking node, int64, what the node gives at each step (its own incoming delays
        included). currents (I, or the summed input), potentials (H), residuals (U after the
        reset): per Neuron; V twice per Readout; a and a - sent per SigmaDelta.
    steps_per_unit: layer -> float64 (C,), S of whole numbers, else ones.
    outputs: (N, T, classes), answers after each step; output: the last; predictions: (N,).
    counts: layer -> count name -> int64 (N,), for Input, Neuron, Readout and SigmaDelta nodes.
    audit: layer -> Audit of whole numbers, empty for floats.
    """

    levels: Dict[str, np.ndarray]
    currents: Dict[str, np.ndarray]
    potentials: Dict[str, np.ndarray]
    residuals: Dict[str, np.ndarray]
    steps_per_unit: Dict[str, np.ndarray]
    outputs: np.ndarray
    output: np.ndarray
    predictions: np.ndarray
    counts: Dict[str, Dict[str, np.ndarray]]
    audit: Dict[str, "Audit"]


@dataclass
class Audit:
    """ranges: quantity -> Range over all neurons, steps and samples. The others are of weights."""

    ranges: Dict[str, Range]
    n_weights: int
    n_zeroed: int
    n_clipped: int


def compile_model(model, precision, chip=None):
    """(Folded, name -> CompiledLayer): the model with its constants in the run's type."""
    if chip is not None:
        check_chip(model, chip)
    folded = Folded(model, chip)
    layers = {
        name: CompiledLayer(layer, folded.sources, precision, chip)
        for name, layer in folded.layers.items()
    }
    return folded, layers


def check_chip(model, chip):
    """Raise UnsupportedError where a model sends what a chip cannot: long delays, wide or signed
    levels of neurons."""
    delays = [edge.delay for edge in model.edges]
    delays += [int(node.steps.max()) for node in model.nodes.values() if node.kind == "Delay"]
    if chip.max_delay is not None and max(delays) > chip.max_delay:
        raise UnsupportedError(f"a delay of {max(delays)} steps, beyond {chip.max_delay}")
    for name, node in model.nodes.items():
        if not isinstance(node, (Neuron, SigmaDelta)):
            continue
        if node.n_bits > chip.spike_bits:
            raise UnsupportedError(f"layer {name!r}: spikes of {node.n_bits} bits")
        if node.signed and not chip.signed_spikes:
            raise UnsupportedError(f"layer {name!r}: spikes with a sign")


def fixed_points(model):
    """Per layer of an int8 run: D (C,) of a Neuron, S of a Readout."""
    folded = Folded(model)
    return {
        name: readout_scale(layer) if isinstance(layer.node, Readout) else fixed_point(layer)[0]
        for name, layer in folded.layers.items()
    }


def simulate(model, x, precision, timesteps=None, chip=None):
    """Run samples x, (N, ...) still or (N, T, ...), channels first, at "float32", "float64",
    "int8", or "fixed" under a chip."""
    assert (precision == "fixed") == (chip is not None)
    folded, layers = compile_model(model, precision, chip)
    shape = model.shapes[model.input]
    x = np.asarray(x)
    if x.ndim == len(shape) + 1:
        steps = model.timesteps if timesteps is None else timesteps
        x = np.repeat(x[:, np.newaxis], steps, axis=1)
    samples = [_Sample(folded, layers, precision, frames) for frames in x]
    for sample in samples:
        sample.run()
    return _collected(model, folded, layers, samples, precision)


class _Sample:
    """One sample's run: everything that it gave, per node a list over the steps."""

    def __init__(self, folded, layers, precision, frames):
        self.folded, self.layers = folded, layers
        real = folded.sources[folded.model.input].real
        dtype = np.dtype(precision if real else np.int64)
        self.frames = frames.reshape(frames.shape[0], -1).astype(dtype)
        self.membranes = {name: Membranes(compiled) for name, compiled in layers.items()}
        self.given = {name: [] for name in folded.sources}
        self.currents = {name: [] for name in layers}
        self.potentials = {name: [] for name in layers}
        self.residuals = {name: [] for name in layers}
        rows = [folded.model.input, *layers]
        self.counts = {name: dict.fromkeys(COUNT_NAMES, 0) for name in rows}

    def run(self):
        for step in range(len(self.frames)):
            for name in self.folded.order:
                self._node(name, step)

    def _node(self, name, step):
        if name in self.layers:
            self._layer(name, step)
        elif name == self.folded.model.input:
            self.given[name].append(self.frames[step])
            self._count_events(name, self.frames[step])
        else:
            source = self.folded.sources[name]
            arriving = [self.arriving(t.source, t.delay, step) for t in source.reads]
            self.given[name].append(source.make(arriving))

    def arriving(self, source, delay, step):
        """Levels that a reader sees at a step: those of `delay` steps before, zero at first."""
        if step >= delay:
            return self.given[source][step - delay]
        sender = self.folded.sources[source]
        return np.zeros(math.prod(sender.grid), self.frames.dtype if sender.real else np.int64)

    def _along(self, path, step):
        """What a Path reads at a step; of a Largest, what each of the paths before it reads."""
        if isinstance(path, Largest):
            return [self._along(inner, step) for inner in path.current.paths]
        return self.arriving(path.source, path.delay, step)

    def _layer(self, name, step):
        compiled = self.layers[name]
        arriving = [self._along(path, step) for path in compiled.layer.paths]
        compiled.count(arriving, self.counts[name])
        total = compiled.weighted_sum(arriving, step)
        levels, I, H, U = self.membranes[name].step(total, step)
        if levels is not None:
            self.given[name].append(levels)
            self._count_events(name, levels)
        if compiled.integer and any(limited(a, 32, "wrap").tolist() != a.tolist() for a in (I, H, U)):
            raise RunError(f"layer {name!r}: a membrane leaves int32 in step {step}")
        self.currents[name].append(I)
        self.potentials[name].append(H)
        self.residuals[name].append(U)

    def _count_events(self, name, levels):
        self.counts[name]["events"] += np.count_nonzero(levels)

    def answers(self):
        """(T, classes): the model's answer after each step."""
        name = self.folded.model.output
        node = self.folded.model.nodes[name]
        if not isinstance(node, Readout):
            train = self.folded.recorded[name]
            levels = [self.arriving(train.source, train.delay, t) for t in range(len(self.frames))]
            return np.cumsum(levels, axis=0).astype(np.float64)
        compiled = self.layers[name]
        total = np.zeros(compiled.n, compiled.dtype)
        answers = []
        for step, V in enumerate(self.potentials[name]):
            total = total + V
            answers.append(_answer(node.reduce, total, V, step, compiled))
        return np.array(answers)


def _answer(reduce, total, V, step, compiled):
    if not compiled.integer:
        if reduce == "mean":
            return total / compiled.dtype.type(step + 1)
        return total if reduce == "sum" else V
    scale = compiled.rounding.steps_per_unit[0]  # of all its channels
    if reduce == "mean":
        return (total.astype(np.float64) / (step + 1)) / scale
    return (total if reduce == "sum" else V).astype(np.float64) / scale


def _collected(model, folded, layers, samples, precision):
    stored = np.dtype(np.int32 if precision in ("int8", "fixed") else precision)

    def stacked(of_sample, name):
        array = np.array([of_sample(sample) for sample in samples])
        return array.reshape(array.shape[:2] + tuple(model.shapes[name]))

    def levels_of(train):
        def of_sample(sample):
            steps = range(len(sample.frames))
            return [sample.arriving(train.source, train.delay, step) for step in steps]

        return of_sample

    levels = {
        name: stacked(levels_of(train), name) for name, train in folded.recorded.items()
    }
    traces = [
        {
            name: stacked(lambda s, kind=kind, name=name: getattr(s, kind)[name], name).astype(stored)
            for name in layers
        }
        for kind in ("currents", "potentials", "residuals")
    ]
    steps_per_unit = {name: compiled.rounding.steps_per_unit for name, compiled in layers.items()}
    outputs = np.array([sample.answers() for sample in samples])
    counts = {
        row: {
            key: np.array([sample.counts[row][key] for sample in samples], dtype=np.int64)
            for key in COUNT_NAMES
        }
        for row in samples[0].counts
    }
    output = outputs[:, -1]
    audit = {name: _audit(name, compiled, samples) for name, compiled in layers.items() if compiled.integer}
    return Result(
        levels, *traces, steps_per_unit, outputs, output, output.argmax(axis=1), counts, audit
    )


def _audit(name, compiled, samples):
    ranges = {}
    for quantity in QUANTITIES:
        found = [sample.membranes[name].ranges[quantity] for sample in samples]
        ranges[quantity] = Range(
            min(r.lowest for r in found), max(r.highest for r in found), sum(r.overflows for r in found)
        )
    rounding = compiled.rounding
    return Audit(ranges, rounding.n_weights, rounding.n_zeroed, rounding.n_clipped)
