"""Answers: what the output says after each step, had the run stopped there."""

import numpy as np

from eventsim.engine.chunk import Traces, Trains
from eventsim.engine.state import State
from eventsim.program import Program
from eventsim.spikes import Spikes

FEW = 16  # steps that NumPy adds up faster one by one


def answers(program: Program, state: State, trains: Trains, traces: Traces, each_step=True) -> np.ndarray:
    """(n, steps, classes): the answer after each step of the chunk, or (n, 1, classes), after its last; brings the
    state's sums up to date. Sums of floats may become infinite or NaN, as membranes may."""
    layer = program.stages[program.output]
    emitted = _emitted(layer, trains, traces)
    integer = emitted.dtype.kind == "i"
    if integer and not each_step:
        sums = np.add.reduce(emitted, 1, np.int64, None, True)
        if state.sums is not None:
            sums += state.sums[:, None]
    elif integer:
        sums = _running_sums(emitted.astype(np.int64), state.sums)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            sums = _running_sums(emitted, state.sums)
            sums = sums if each_step else sums[:, -1:]
    state.sums = sums[:, -1].copy()
    if not layer.reduce:
        return sums.astype(np.float64)
    found = emitted[:, -sums.shape[1] :] if layer.reduce == "last" else sums
    found = found.astype(np.float64 if integer else emitted.dtype)
    if layer.reduce == "mean":
        last = state.step + trains.steps
        found /= np.arange(state.step + 1, last + 1).astype(found.dtype)[:, None] if each_step else last
    if integer:
        found /= layer.steps_per_unit[0]
    return found


def _running_sums(emitted, before):
    """Sums over the steps so far, added one step after another. before: the sum of earlier chunks, or None."""
    if before is None and emitted.shape[1] > FEW:
        return np.add.accumulate(emitted, axis=1)
    if before is None:
        sums = emitted.copy()
        for t in range(1, sums.shape[1]):
            sums[:, t] += sums[:, t - 1]
        return sums
    return np.add.accumulate(np.concatenate((before[:, None], emitted), axis=1), axis=1)[:, 1:]


def _emitted(layer, trains, traces):
    """What the output emits in each step, (n, steps, classes): F of a readout's membrane, int64 of levels."""
    name = layer.name
    if layer.reduce and name in traces.potentials:
        trace = traces.potentials[name][..., : layer.shape[0]]
        if layer.positions == 1:
            return trace[:, :, 0]
        return trace.transpose(0, 1, 3, 2).reshape(trains.n_samples, trains.steps, -1)
    train = trains.sent[name]
    planes = train.planes[:, train.first :]
    levels = Spikes(planes, layer.shape, (layer.n_neurons,), layer.bits, layer.signed).levels().astype(np.int64)
    return np.repeat(levels, trains.steps, axis=1) if train.still else levels
