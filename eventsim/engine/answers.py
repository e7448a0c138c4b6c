"""Answers: what the output says after each step, had the run stopped there.

A readout's are worked out by its plan. Where the output is neurons, Python adds the levels up that they sent.
"""

import numpy as np

from eventsim.engine.binding import Binding
from eventsim.engine.chunk import Chunk
from eventsim.engine.state import State
from eventsim.kernels import answering
from eventsim.kernels.arguments import AnswerSizes, LAST, MEAN, SUM_UP
from eventsim.program import LayerStage
from eventsim.spikes import Spikes

REDUCE = {"sum": SUM_UP, "mean": MEAN, "last": LAST}
ANSWERS, SUMS = ("answers", ""), ("sums", "")  # names of kept arrays, (n, steps or 1, classes) and (n, classes)


def bind_answers(binding: Binding) -> None:
    """Sum a readout's membranes up, into the kept arrays `ANSWERS` and `SUMS`. Sums of floats may become infinite
    or NaN, as membranes may."""
    program, setting, memory = binding.program, binding.setting, binding.memory
    layer, dtype = program.stages[program.output], program.dtype
    if not layer.reduce:
        return
    integer, n_answers = dtype.kind == "i", setting.steps if setting.each_step else 1
    membranes = memory.kept["potentials", layer.name]
    sums = memory.keep(SUMS, (setting.samples, layer.n_neurons), np.dtype(np.int64) if integer else dtype,
                       filled=setting.fresh)
    shape = (setting.samples, n_answers, layer.n_neurons)
    answers = memory.keep(ANSWERS, shape, np.dtype(np.float64) if integer else dtype, filled=True)
    unit = memory.hold(np.array(layer.steps_per_unit[:1] if integer else [], np.float64))
    sizes = AnswerSizes(setting.samples, setting.steps, n_answers, layer.positions, layer.shape[0], layer.padded,
                        REDUCE[layer.reduce], int(setting.fresh), int(integer))
    binding.tape.call(answering.sum_answers, membranes.reshape(-1), sums.reshape(-1), answers.reshape(-1), unit,
                      binding.clock, sizes)


def answers_of(output: LayerStage, chunk: Chunk, state: State, each_step) -> np.ndarray:
    """(n, steps, classes): the answer after each step of a chunk, or (n, 1, classes), after its last. state: before
    the chunk; its sums are brought up to date."""
    if output.reduce:
        state.sums = chunk.arrays[SUMS]
        return chunk.arrays[ANSWERS]
    levels = _levels(output, chunk)
    if each_step:
        sums = np.add.accumulate(levels, axis=1)
    else:
        sums = np.add.reduce(levels, axis=1, keepdims=True)
    if state.sums is not None:
        sums += state.sums[:, None]
    state.sums = sums[:, -1].copy()
    return sums.astype(np.float64)


def _levels(output, chunk):
    """What the output sent in each step, int64 (n, steps, classes)."""
    train = chunk.trains.sent[output.name]
    planes = train.planes[:, train.first :]
    shown = Spikes(planes, output.shape, (output.n_neurons,), output.bits, output.signed)
    levels = shown.levels().astype(np.int64)
    return np.repeat(levels, chunk.steps, axis=1) if train.still else levels
