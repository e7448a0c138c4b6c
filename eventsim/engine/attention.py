"""Channel attention, put on a tape: gains per sample, step and channel.

See `eventsim.model.synapses` for the equations. What the gains are rounded from is a sigmoid, whose exponential is
Python's: it is asked once where each rounded value begins.
"""

from functools import lru_cache
from math import exp, floor, log

import numpy as np

from eventsim.engine.binding import Binding
from eventsim.engine.memory import NOTHING
from eventsim.kernels import attending, counting, transforms
from eventsim.kernels.arguments import Attended, AttendedSizes, Slots
from eventsim.program import LayerStage, Synapses

FLOAT64 = np.dtype(np.float64)


def bind_attention(binding: Binding, layer: LayerStage, synapses: Synapses, planes, slots: Slots) -> np.ndarray:
    """What the kernels of a path with channel attention read: F (n * steps * padded channels), computed from some
    slots of planes. For the identity these are its amplitudes times the gains, else the gains (in 256ths where the
    run counts in integers)."""
    memory, tape, dtype, attention = binding.memory, binding.tape, binding.program.dtype, synapses.attention
    rows, sources, channels = slots.samples * slots.steps, slots.channels, layer.shape[0]
    totals = memory.hold(np.zeros(rows * sources, np.int64))
    weights = memory.hold(np.zeros(rows * layer.padded, dtype))
    tape.call(transforms.clear_words, totals.view(np.uint64), totals.size)
    tape.call(counting.channel_levels, planes, totals, memory.take("bytes", 64, np.int8), slots,
              *attention.node.stride)
    projects, amplifies = attention.weight is not None, attention.amplitude is not None
    scale = attention.weight.T if projects else attention.scale
    attended = Attended(
        memory.hold(np.ascontiguousarray(scale, np.float64).reshape(-1)),
        memory.hold(np.ascontiguousarray(attention.node.kernel, np.float64)),
        memory.hold(np.ascontiguousarray(attention.amplitude, np.float64)) if amplifies else NOTHING[FLOAT64],
        thresholds(), memory.take("means", channels, FLOAT64))
    sizes = AttendedSizes(rows, sources, channels, layer.padded, layer.positions, attention.node.kernel.size,
                          int(projects), int(amplifies), int(dtype.kind == "i"))
    tape.call(attending.attend, totals, attended, weights, sizes)
    return weights


@lru_cache(maxsize=None)
def thresholds() -> np.ndarray:
    """Return float64 (256,): the least number whose rounded sigmoid is 1, 2, ... 256 of 256. Read-only."""
    least = np.array([_least(k) for k in range(1, 257)])
    least.setflags(write=False)
    return least


def rounded_sigmoid(z) -> int:
    """Return 256 times the sigmoid, rounded."""
    return floor(256 * (1 / (1 + exp(-z))) + 0.5) if z >= -700 else 0


def _least(k):
    """Return the least number whose rounded sigmoid is k, by halving what is around the exact one."""
    near = log((k - 0.5) / (256.5 - k))
    below, reached = near - 1e-6, near + 1e-6
    while True:
        middle = (below + reached) / 2
        if not below < middle < reached:
            return reached
        if rounded_sigmoid(middle) >= k:
            reached = middle
        else:
            below = middle
