"""Values: what every node of a model gives in every step, from the recorded spikes of its neurons.

Plain NumPy from the Model alone, as a deep-learning framework would compute it: no weights are
applied, so only spikes (and the input) have to be known. Shapes are (n, T, *shape), float64, in the
unit in which synapses see them: a level is worth its quantum, an image is normalised.
"""

from dataclasses import dataclass

import numpy as np

from eventsim.engine.recording import Recording
from eventsim.errors import DataError
from eventsim.inputs.levels import to_levels
from eventsim.model.network import Model


def emitters(model: Model):
    """Return the names of the nodes whose spikes have to be recorded: the input unless it is real, and neurons."""
    return tuple(
        name for name, node in model.nodes.items()
        if node.fires() or name == model.input and model.kinds[name] != "real"
    )


@dataclass
class Values:
    """What the nodes give in the first `steps` steps of some samples of a recording. rows: their places, int64.
    x: what was run; needed only where the input is real."""

    model: Model
    recording: Recording
    x: object
    rows: np.ndarray
    steps: int

    def __post_init__(self):
        self._known = {}

    def read_by(self, name):
        """Return what a node with one incoming edge reads, float64 (n, T, *shape).

        Raises RunError where the spikes it comes from were not recorded, DataError for a real input
        that was not given.
        """
        return self._along(self.model.incoming(name)[0])

    def _along(self, edge):
        return _delayed(self._of(edge.source), edge.delay)

    def _of(self, name):
        """Return what a node gives. The nodes before it come first, from a stack, since models may be deep."""
        waiting = [name]
        while waiting:
            last = waiting[-1]
            unknown = [s for s in self._sources(last) if s not in self._known]
            if unknown:
                waiting += unknown
            else:
                if last not in self._known:
                    self._known[last] = self._given(last)
                waiting.pop()
        return self._known[name]

    def _sources(self, name):
        if self.model.nodes[name].fires():
            return []
        return [edge.source for edge in self.model.incoming(name)]

    def _given(self, name):
        node = self.model.nodes[name]
        if node.kind == "Input":
            return self._input(name, node)
        if node.fires():
            return self._levels(name) * _per_channel(_output_quantum(node), self.model.shapes[name])
        arriving = [self._along(edge) for edge in self.model.incoming(name)]
        if node.kind == "Add":
            return sum(arriving[1:], arriving[0])
        if node.kind == "Concat":
            return np.concatenate(arriving, axis=2)
        x = arriving[0]
        if node.kind == "Upsample":
            for axis, factor in enumerate(node.factors(x.ndim - 3), 3):
                x = np.repeat(x, factor, axis)
            return x
        if node.kind == "Flatten":
            return x.reshape(*x.shape[:2], -1)
        if node.kind == "BatchNorm":
            return _normalised(x, node)
        if node.kind == "Delay":
            return _delayed_each(x, node.steps, self.model.shapes[name])
        return _pooled(x, node)

    def _levels(self, name):
        spikes = self.recording.spikes.get(name)
        if spikes is None:
            self.recording.levels(name)  # raises, with the remedy
        return spikes.of_samples(self.rows).levels()[:, : self.steps].astype(np.float64)

    def _input(self, name, node):
        if node.encoding != "real":
            levels = self._levels(name) * node.scale
            if node.encoding == "spikes":
                return levels
            return (levels - _per_channel(node.mean, node.shape)) / _per_channel(node.std, node.shape)
        if self.x is None:
            raise DataError(
                f"{self.model.label(name)}: real numbers are not recorded; give count the x that was run"
            )
        levels, still = to_levels(self.x, node)
        steps, n = self.recording.timesteps, self.recording.counts.n_samples
        if len(levels) != n or not still and levels.shape[1] != steps:
            raise DataError(
                f"x has shape {np.shape(self.x)}, but the recording is of {n} samples and {steps} steps; "
                "give the x that was run"
            )
        part = levels[self.rows]
        return np.repeat(part, self.steps, axis=1) if still else part[:, : self.steps]


def _output_quantum(node):
    quantum = getattr(node, "output_quantum", None)
    return node.quantum if quantum is None else quantum


def _per_channel(values, shape):
    """Return a scalar, or values (C,) shaped to act on (n, T, *shape)."""
    values = np.asarray(values, np.float64)
    return values if values.ndim == 0 or values.size == 1 else values.reshape(-1, *(1,) * (len(shape) - 1))


def _delayed(x, steps):
    """Return every value `steps` later, with zeros before the first one."""
    if steps == 0:
        return x
    late = np.zeros_like(x)
    late[:, steps:] = x[:, : max(x.shape[1] - steps, 0)]
    return late


def _delayed_each(x, steps, shape):
    """Return every neuron's values, each its own number of steps later. steps: scalar, (C,) or `shape`."""
    if steps.size == 1:
        return _delayed(x, int(steps.reshape(-1)[0]))
    if steps.shape != shape:
        steps = np.broadcast_to(steps.reshape(-1, *(1,) * (len(shape) - 1)), shape)
    late = np.zeros_like(x)
    for each in np.unique(steps):
        late[:, :, steps == each] = _delayed(x, int(each))[:, :, steps == each]
    return late


def _normalised(x, node):
    shape = x.shape[2:]
    factor = node.weight * node.scale / np.sqrt(node.running_var + node.eps)
    return (x - _per_channel(node.running_mean, shape)) * _per_channel(factor, shape) + _per_channel(
        node.bias, shape)


def _pooled(x, node):
    """Return the sum, mean or maximum over windows, as torch places them; windows may stick out."""
    kernel, stride, padding = node.geometry(x.ndim - 3)
    out_shape = node.output_shape(x.shape[2:])
    largest = node.kind == "MaxPool"
    out = np.full((*x.shape[:2], *out_shape), -np.inf if largest else 0.0)
    for tap in np.ndindex(*kernel):
        targets, taken = [], []
        for k, n_out, size, s, p in zip(tap, out_shape[1:], x.shape[3:], stride, padding):
            positions = np.arange(n_out) * s - p + k
            inside = (positions >= 0) & (positions < size)
            targets.append(np.flatnonzero(inside))
            taken.append(positions[inside])
        everything = tuple(np.arange(size) for size in x.shape[:3])
        into, values = np.ix_(*everything, *targets), x[np.ix_(*everything, *taken)]
        out[into] = np.maximum(out[into], values) if largest else out[into] + values
    return out / np.prod(kernel) if node.kind == "AvgPool" else out
