"""Answers of a run. A readout gives the sum or the mean of its membranes, or the last of them; neurons give the
sum of the levels that they sent. Sums go over the steps, one after another. A class is a channel at a position,
all positions of a channel one after another."""

from eventsim.kernels.addressing import n_planes_of, plane_size, read_slot_of, words_of
from eventsim.kernels.arguments import LAST, MEAN, ONE
from eventsim.kernels.compiling import compiled, inlined
from eventsim.kernels.vectors import load_one, next_index, store_one, trailing_zeros


@compiled
def sum_answers(membranes, sums, answers, unit, clock, sizes):
    """Add membranes F [sample, step, position, padded channel] up into sums [sample, class], and give the answer
    after each of the last `sizes.answers` steps. Writes sums and answers [sample, step, class].

    unit: [1], by which answers are divided, in their type. clock: int64 [1], the absolute step of the first.
    """
    s = sizes
    classes, row = s.channels * s.positions, s.positions * s.padded
    for sample in range(s.samples):
        for t in range(s.steps):
            answered = t - (s.steps - s.answers)
            o = (sample * s.answers + answered) * classes
            divisor = load_one(clock, 0) + t + 1 if s.reduce == MEAN else 1
            k = 0
            while k < classes:  # few: vectors would take LLVM longer than they save
                channel, position = k // s.positions, k % s.positions
                x = load_one(membranes, (sample * s.steps + t) * row + position * s.padded + channel)
                total = x if s.fresh and t == 0 else load_one(sums, sample * classes + k) + x
                store_one(sums, sample * classes + k, total)
                if answered >= 0:
                    store_one(answers, o + k, x if s.reduce == LAST else total)
                    _divide(answers, o + k, divisor)
                    store_one(answers, o + k, load_one(answers, o + k) / load_one(unit, 0))
                k = next_index(k)


@inlined
def _divide(values, o, number):
    """Divide by an integer, as the type of the values holds it."""
    value = load_one(values, o)
    store_one(values, o, number)
    store_one(values, o, value / load_one(values, o))


@compiled
def sum_levels(planes, sums, answers, slots, sizes):
    """Add the levels of planes up into sums int64 [sample, class], and give these after each of the last
    `sizes.answers` steps. slots: of the planes; one may stand for all steps. Writes sums and answers float64
    [sample, step, class]."""
    s = sizes
    classes, words, plane = s.channels * s.positions, words_of(slots), plane_size(slots)
    for sample in range(s.samples):
        if s.fresh:
            for k in range(classes):
                store_one(sums, sample * classes + k, 0)
        for t in range(s.steps):
            slot = read_slot_of(slots, sample * slots.steps + min(t, slots.steps - 1)) * n_planes_of(slots)
            for b in range(n_planes_of(slots)):
                level = 1 << (b % slots.bits)
                if b >= slots.bits:
                    level = -level
                for i in range(plane):
                    word = load_one(planes, (slot + b) * plane + i)
                    while word:
                        channel = (i % words) * 64 + trailing_zeros(word)
                        word &= word - ONE
                        to = sample * classes + channel * s.positions + i // words
                        store_one(sums, to, load_one(sums, to) + level)
            if t >= s.steps - s.answers:
                o = (sample * s.answers + t - (s.steps - s.answers)) * classes
                for k in range(classes):
                    store_one(answers, o + k, load_one(sums, sample * classes + k))
