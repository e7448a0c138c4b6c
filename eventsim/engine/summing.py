"""Summing: what statistics sum of trains, put on a tape, while what a block sent is in the caches."""

from eventsim.engine.binding import Binding
from eventsim.statistics.observing import TrainObserver


def bind_sums(binding: Binding) -> None:
    """Sum the train of each layer that sends spikes, over all steps of the chunk."""
    setting = binding.setting
    for layer in binding.program.layers:
        if not layer.bits:
            continue
        train = binding.sent[layer.name]
        summing = TrainObserver(layer.shape, layer.logical_shape, layer.bits, layer.signed, setting.steps,
                                detailing=False, zeros=binding.memory.make)
        binding.sums[layer.name] = summing
        steps = 1 if train.still else setting.steps  # one step stands for all: the statistics multiply
        slots = summing.slots(setting.samples, steps, train.per_sample, train.first)
        for kernel, *arguments in summing.calls(train.planes.reshape(-1), slots):
            binding.tape.call(kernel, *arguments)
