"""Answers: what the output says after each step, had the run stopped there."""

import numpy as np

from eventsim.engine.chunk import Traces, Trains
from eventsim.engine.state import State
from eventsim.program import Program
from eventsim.spikes import Spikes


def answers(program: Program, state: State, trains: Trains, traces: Traces) -> np.ndarray:
    """(n, steps, classes): the answer after each step of the chunk; brings the state's sums up to date."""
    layer = program.stages[program.output]
    emitted = _emitted(layer, trains, traces)
    integer = emitted.dtype.kind == "i"
    added = emitted.astype(np.int64) if integer else emitted
    if state.sums is None:
        sums = np.add.accumulate(added, axis=1)
    else:
        sums = np.add.accumulate(np.concatenate((state.sums[:, None], added), axis=1), axis=1)[:, 1:]
    state.sums = sums[:, -1].copy()
    if not layer.reduce:
        return sums.astype(np.float64)
    number = np.float64 if integer else emitted.dtype
    found = (emitted if layer.reduce == "last" else sums).astype(number)
    if layer.reduce == "mean":
        done = np.arange(state.step + 1, state.step + trains.steps + 1)
        found = found / done.astype(number)[:, None]
    return found / layer.steps_per_unit[0] if integer else found


def _emitted(layer, trains, traces):
    """What the output emits in each step, (n, steps, classes): F of a readout's membrane, int64 of levels."""
    name = layer.name
    if layer.reduce and name in traces.potentials:
        trace = traces.potentials[name][..., : layer.shape[0]]
        return trace.transpose(0, 1, 3, 2).reshape(trains.n_samples, trains.steps, -1)
    train = trains.sent[name]
    planes = train.planes[:, train.first :]
    levels = Spikes(planes, layer.shape, (layer.n_neurons,), layer.bits, layer.signed).levels().astype(np.int64)
    return np.repeat(levels, trains.steps, axis=1) if train.still else levels
