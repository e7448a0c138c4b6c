"""Answers: what the output says after each step, had the run stopped there; worked out by the plan."""

import numpy as np

from eventsim.engine.binding import Binding
from eventsim.engine.memory import slots_of
from eventsim.kernels import answering
from eventsim.kernels.arguments import AnswerSizes, LAST, MEAN, SUM_UP
from eventsim.program import LayerStage

REDUCE = {"sum": SUM_UP, "mean": MEAN, "last": LAST, "": SUM_UP}
ANSWERS, SUMS = ("answers", ""), ("sums", "")  # names of kept arrays, (n, steps or 1, classes) and (n, classes)
INT64, FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)


def _dtypes(layer, dtype):
    """Return the dtypes of sums and of answers of a run that computes with `dtype`."""
    return (INT64, FLOAT64) if dtype.kind == "i" or not layer.reduce else (dtype, dtype)


def bind_answers(binding: Binding) -> None:
    """Sum up what the output says, into the kept arrays `ANSWERS` and `SUMS`: after each step of the chunk, or
    after its last only. Sums of floats may become infinite or NaN, as membranes may."""
    program, setting, memory = binding.program, binding.setting, binding.memory
    layer, n_answers = program.stages[program.output], setting.steps if setting.each_step else 1
    of_sums, of_answers = _dtypes(layer, program.dtype)
    sums = memory.keep(SUMS, (setting.samples, layer.n_neurons), of_sums, filled=setting.fresh)
    answers = memory.keep(ANSWERS, (setting.samples, n_answers, layer.n_neurons), of_answers, filled=True)
    sizes = AnswerSizes(setting.samples, setting.steps, n_answers, layer.positions, layer.shape[0],
                        layer.padded if layer.reduce else layer.shape[0], REDUCE[layer.reduce], int(setting.fresh))
    if layer.reduce:
        membranes = memory.kept["potentials", layer.name].reshape(-1)
        unit = memory.hold(layer.steps_per_unit[:1].astype(answers.dtype))
        binding.tape.call(answering.sum_answers, membranes, sums.reshape(-1), answers.reshape(-1), unit,
                          binding.clock, sizes)
    else:
        train = binding.sent[layer.name]
        slots = slots_of(layer, train, *train.window(0, *binding.all_steps))
        binding.tape.call(answering.sum_levels, train.planes.reshape(-1), sums.reshape(-1), answers.reshape(-1),
                          slots, sizes)


def answer_of_steps(emitted, layer: LayerStage, dtype) -> np.ndarray:
    """Return the answer (classes,) of a run of some steps alone, to the bit. emitted: (steps, classes), what the
    output, `layer`, gives in each: membranes of a readout, or levels int32. dtype: that the run computes with."""
    steps, classes = emitted.shape
    sums, answer = (np.zeros(classes, kind) for kind in _dtypes(layer, dtype))
    unit = layer.steps_per_unit[:1].astype(answer.dtype) if layer.reduce else np.ones(1)
    sizes = AnswerSizes(1, steps, 1, 1, classes, classes, REDUCE[layer.reduce], 1)
    membranes, clock = np.ascontiguousarray(emitted).reshape(-1), np.zeros(1, np.int64)
    answering.sum_answers(membranes, sums, answer, unit, clock, sizes)
    return answer
