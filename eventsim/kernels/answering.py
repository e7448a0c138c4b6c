"""What a readout's membranes say after a run: their sum, their mean, or the last of them."""

from eventsim.kernels.arguments import LAST, MEAN
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import load_one, store_one


@compiled
def sum_answers(membranes, sums, answers, unit, clock, sizes):
    """Add membranes F [sample, step, position, padded channel] up over the steps, one after another, into sums
    [sample, class], and give the answer after each of the last `sizes.answers` steps. Writes sums and answers
    [sample, step, class]. A class is a channel at a position, all positions of a channel one after another.

    unit: float64 [1], by which answers of integers are divided; [0] of floats. clock: int64 [1], the absolute step
    of the first.
    """
    s = sizes
    classes, row = s.channels * s.positions, s.positions * s.padded
    for sample in range(s.samples):
        for t in range(s.steps):
            done = load_one(clock, 0) + t + 1
            o = (sample * s.answers + t - (s.steps - s.answers)) * classes
            for channel in range(s.channels):
                for position in range(s.positions):
                    k = channel * s.positions + position
                    x = load_one(membranes, (sample * s.steps + t) * row + position * s.padded + channel)
                    to = sample * classes + k
                    if s.fresh and t == 0:
                        store_one(sums, to, x)
                    else:
                        store_one(sums, to, load_one(sums, to) + x)
                    if t < s.steps - s.answers:
                        continue
                    if s.reduce == LAST:
                        store_one(answers, o + k, x)
                    else:
                        store_one(answers, o + k, load_one(sums, to))
                    if s.reduce == MEAN:
                        _divide(answers, o + k, done)
                    if s.units:
                        store_one(answers, o + k, load_one(answers, o + k) / load_one(unit, 0))


@inlined
def _divide(values, o, number):
    """Divide by a whole number, as the type of the values holds it."""
    value = load_one(values, o)
    store_one(values, o, number)
    store_one(values, o, value / load_one(values, o))
