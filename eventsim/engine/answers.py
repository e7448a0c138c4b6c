"""Answers: what the output says after each step, had the run stopped there; worked out by the plan."""

import numpy as np

from eventsim.engine.binding import Binding
from eventsim.engine.memory import slots_of
from eventsim.kernels import answering
from eventsim.kernels.arguments import AnswerSizes, LAST, MEAN, SUM_UP

REDUCE = {"sum": SUM_UP, "mean": MEAN, "last": LAST, "": SUM_UP}
ANSWERS, SUMS = ("answers", ""), ("sums", "")  # names of kept arrays, (n, steps or 1, classes) and (n, classes)


def bind_answers(binding: Binding) -> None:
    """Sum up what the output says, into the kept arrays `ANSWERS` and `SUMS`: after each step of the chunk, or
    after its last only. Sums of floats may become infinite or NaN, as membranes may."""
    program, setting, memory = binding.program, binding.setting, binding.memory
    layer, dtype = program.stages[program.output], program.dtype
    integer, n_answers = dtype.kind == "i" or not layer.reduce, setting.steps if setting.each_step else 1
    sums = memory.keep(SUMS, (setting.samples, layer.n_neurons), np.dtype(np.int64) if integer else dtype,
                       filled=setting.fresh)
    shape = (setting.samples, n_answers, layer.n_neurons)
    answers = memory.keep(ANSWERS, shape, np.dtype(np.float64) if integer else dtype, filled=True)
    sizes = AnswerSizes(setting.samples, setting.steps, n_answers, layer.positions, layer.shape[0],
                        layer.padded if layer.reduce else layer.shape[0], REDUCE[layer.reduce], int(setting.fresh))
    if layer.reduce:
        membranes = memory.kept["potentials", layer.name].reshape(-1)
        unit = memory.hold(layer.steps_per_unit[:1].astype(answers.dtype))
        binding.tape.call(answering.sum_answers, membranes, sums.reshape(-1), answers.reshape(-1), unit,
                          binding.clock, sizes)
    else:
        train = binding.sent[layer.name]
        slots = slots_of(layer, train, *train.window(0, *binding.whole))
        binding.tape.call(answering.sum_levels, train.planes.reshape(-1), sums.reshape(-1), answers.reshape(-1),
                          slots, sizes)
