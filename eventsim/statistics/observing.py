"""Observing: gathers the sums of `TrainStatistics` from bit-planes, chunk by chunk."""

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

import numpy as np

from eventsim.errors import DataError
from eventsim.kernels import membrane_statistics, train_statistics
from eventsim.kernels.arguments import (
    Intervals, LEVEL_TABLES, MembraneSums, MembraneTraces, Slots, TrainSums,
)
from eventsim.merging import merge, merged
from eventsim.model.node import Node
from eventsim.model.parameters import parameter_on
from eventsim.model.rectifier import unrectified
from eventsim.statistics.membranes import MembraneStatistics, MOST_NEURONS, N_BINS, N_DISTANCES, WIDEST
from eventsim.statistics.trains import chosen_neurons, n_interval_bins, TrainStatistics

BRIEF = 127  # steps whose counts 8 bits hold


@dataclass
class TrainTotals:
    """What one thread has counted of its samples; see `TrainObserver`, whose kernels write into the arrays.

    squares: float64, exact. small_levels: of up to eight planes. still: whether one step stood for all.
    """

    n_samples: int = merged(samples="sum")
    n_detailed: int = merged(samples="sum")
    still: bool = merged(samples="max")
    events: np.ndarray = merged(samples="sum")
    squares: np.ndarray = merged(samples="sum")
    plane_events: np.ndarray = merged(samples="sum")
    level_counts: np.ndarray = merged(samples="sum")
    small_levels: np.ndarray = merged(samples="sum")
    by_step: np.ndarray = merged(samples="sum")
    intervals: np.ndarray = merged(samples="sum")
    histogram: np.ndarray = merged(samples="sum")
    together: np.ndarray = merged(samples="sum")


class TrainObserver:
    """Counts one node's planes, with sums as the kernels hold them: neurons by position, then channel.

    shape: (C, H, W) as held; logical_shape: as the model has it. n_steps: of each sample. summing, detailing:
    whether to take events and levels, and intervals and correlations. zeros: function that makes arrays, shape and
    dtype given.
    """

    def __init__(self, shape, logical_shape, bits, signed, n_steps, summing=True, detailing=True, zeros=np.zeros):
        self.shape, self.logical_shape = shape, logical_shape
        self.bits, self.signed, self.n_steps = bits, bool(signed), n_steps
        self.summing, self.detailing, self._zeros = summing, detailing, zeros
        self._counts = np.zeros(0, np.int32)  # of samples of many steps
        self.n_planes = bits * (1 + self.signed)
        self.words = (shape[0] + 63) // 64
        self.size = shape[1] * shape[2] * self.words
        self.pack = _words_together(shape[0])
        neurons = self.n_places
        summed, detailed = neurons if summing else 0, neurons if detailing else 0
        sizes = TrainStatistics.array_shapes(logical_shape, bits, self.signed, n_steps)
        self.chosen = chosen_neurons(sizes["events"][0])
        of_planes = (self.n_planes, neurons) if summing and self.n_planes > 1 else (0, 0)
        self.sums = sums = TrainTotals(
            0, 0, False, zeros((summed,), np.int64), zeros((summed,), np.float64),
            plane_events=zeros(of_planes, np.int64),
            level_counts=zeros(sizes["level_counts"], np.int64), small_levels=zeros((LEVEL_TABLES, 256), np.int64),
            by_step=zeros((n_steps,), np.int64), intervals=np.zeros((5, detailed), np.int64),
            histogram=np.zeros(n_interval_bins(n_steps), np.int64),
            together=np.zeros(sizes["together"], np.int64),
        )
        self._given = TrainSums(
            sums.events, sums.squares, sums.plane_events.reshape(-1), sums.small_levels.reshape(-1),
            sums.by_step,
            small=zeros((2 * summed,), np.int16), bytes=zeros((summed,), np.int8),
            plane_bytes=zeros((of_planes[0] * of_planes[1],), np.int8), n_pending=zeros((1,), np.int64),
            words=zeros((self.n_planes,), np.uint64),
        )

    @property
    def n_places(self):
        """Neurons that the kernels' arrays have room for."""
        return -(-self.size // self.pack) * 64

    def slots(self, n, steps, per_sample, first) -> Slots:
        """Return what tells kernels to take `steps` steps of n samples, from slot `first` of each on."""
        channels, height, width = self.shape
        return Slots(n, steps, per_sample, first, self.bits, int(self.signed), height, width, channels)

    def add_samples(self, planes, n) -> None:
        """Add all steps of n samples. planes: uint64 (n, T, planes, positions, words), contiguous."""
        self.add_chunk(planes, self.slots(n, self.n_steps, planes.shape[1], 0), 0, None)

    def add_chunk(self, planes, slots: Slots, start, memory: Optional["Memory"], still=False,
                  summed=False) -> None:
        """Add some steps of some samples: those in the slots, which are the samples' steps from `start` on.
        memory: of these samples, where their steps come in several chunks. still: the first slot stands
        for all the steps. summed: they are in the sums already."""
        n, steps = slots.samples, slots.steps
        ends = start + steps == self.n_steps
        self.sums.still |= still
        if self.summing and not summed:
            if not still:
                self._sum(planes.reshape(-1), slots, start, memory, ends)
            elif start == 0:  # one step stands for all: `statistics` multiplies
                self._sum(planes.reshape(-1), slots._replace(steps=1), 0, None, True)
            self._settle()
        if self.summing:
            self.sums.n_samples += n if ends else 0
        if self.detailing:
            if still:
                planes = np.repeat(planes[:, slots.first : slots.first + 1], steps, axis=1)
                slots = slots._replace(per_sample=steps, first=0)
            self._detail(planes, slots, start, memory)
            self.sums.n_detailed += n if ends else 0

    def _sum(self, flat, slots, start, memory, ends):
        if memory is None:
            for kernel, *arguments in self.calls(flat, slots):
                kernel(*arguments)
            return
        given = self._given._replace(by_step=self.sums.by_step[start : start + slots.steps])
        train_statistics.count_neurons(flat, memory.counts.reshape(-1), given, slots, self.pack, 1, int(ends))
        for kernel, *arguments in self._calls_of_levels(flat, slots):
            kernel(*arguments)

    def calls(self, planes, slots: Slots) -> List[Tuple]:
        """Return kernels, each with its arguments, that sum all steps of the samples in the slots, for `absorb` to
        add up. planes: uint64, flat."""
        if slots.steps > BRIEF:
            self._counts = self._zeros((self.n_places,), np.int32)
            return [(train_statistics.count_neurons, planes, self._counts, self._given, slots, self.pack, 0, 1),
                    *self._calls_of_levels(planes, slots)]
        call = train_statistics.count_briefly, planes, self._given, slots, self.pack, int(self._levelled)
        return [call] if self._levelled else [call, *self._calls_of_levels(planes, slots)]

    @property
    def _levelled(self):
        return 2 < self.n_planes <= 8 and not self.signed

    def _calls_of_levels(self, planes, slots):
        """Return the calls that count levels; of up to two planes, levels follow from what else is counted."""
        if self._levelled:
            return [(train_statistics.count_small_levels, planes, self._given.words, self._given.levels, slots,
                     self.pack)]
        if self.n_planes > 8 or self.signed:
            return [(train_statistics.count_levels, planes, self.sums.level_counts, slots)]
        return []

    def _settle(self):
        """Add what kernels hold in few bits to the sums."""
        given, sums = self._given, self.sums
        if given.n_pending[0]:
            events, squares = given.small.reshape(2, -1)
            sums.events += events
            sums.squares += squares
            sums.plane_events += given.plane_bytes.reshape(sums.plane_events.shape)
            for array in (given.small, given.plane_bytes, given.n_pending):
                array.fill(0)

    def clear(self) -> None:
        """Forget what kernels have summed."""
        for array in (*self._summed(), *self._given, self._counts):
            array.fill(0)

    def absorb(self, other: "TrainObserver") -> None:
        """Add what the kernels of another observer of the same train have summed."""
        other._settle()
        for mine, theirs in zip(self._summed(), other._summed()):
            mine += theirs

    def _summed(self):
        sums = self.sums
        return (sums.events, sums.squares, sums.plane_events, sums.level_counts, sums.small_levels, sums.by_step)

    def _detail(self, planes, slots, start, memory):
        memory = memory or Memory(self, slots.samples)
        sums = self.sums
        train_statistics.note_intervals(planes.reshape(-1), memory.last.reshape(-1), memory.before.reshape(-1),
                                        Intervals(*sums.intervals, sums.histogram), slots, start, self.pack)
        channel, position = np.divmod(self.chosen, self.shape[1] * self.shape[2])
        taken = planes[: slots.samples, slots.first : slots.first + slots.steps]
        fired = _levels(taken, position, channel, self.bits) != 0
        fired = fired.reshape(-1, self.chosen.size).astype(np.float64)
        sums.together += (fired.T @ fired).astype(np.int64)  # sums of ones: exact

    def statistics(self) -> TrainStatistics:
        """Return the sums in the order of the node's shape."""
        repeats = self.n_steps if self.sums.still else 1
        nothing = np.zeros(int(np.prod(self.logical_shape)), np.int64)
        events, squares = nothing, nothing
        if self.summing:
            events = self._ordered(self.sums.events) * repeats
            squares = repeats**2 * self._ordered(self.sums.squares).astype(np.int64)
        planes = self._planes(events, repeats)
        by_step = self.sums.by_step.copy()
        if self.sums.still:
            by_step[:] = by_step[0]
        details = self._ordered(self.sums.intervals) if self.detailing else np.zeros((5, events.size), np.int64)
        intervals = dict(zip(("interval_counts", "interval_sums", "interval_squares", "variation_counts",
                              "variation_sums"), details))
        return TrainStatistics(
            shape=tuple(self.logical_shape), bits=self.bits, signed=self.signed, n_samples=self.sums.n_samples,
            n_steps=self.n_steps, events=events, squares=squares, plane_events=planes,
            level_counts=self._levels(events, planes, repeats), events_by_step=by_step,
            n_detailed=self.sums.n_detailed, **intervals, interval_histogram=self.sums.histogram.copy(),
            chosen=self.chosen, together=self.sums.together.copy(),
        )

    def _planes(self, events, repeats):
        if self.n_planes == 1:
            return events[None]
        if not self.summing:
            return np.zeros((self.n_planes, events.size), np.int64)
        return repeats * self._ordered(self.sums.plane_events)

    def _levels(self, events, planes, repeats):
        """Return the events of each level; of up to two planes they follow from what was counted."""
        levels = repeats * self.sums.level_counts
        if levels.size <= 256 and not self.signed:
            levels += repeats * self.sums.small_levels.sum(axis=0)[: levels.size]
        if not self.signed and self.bits == 1:
            levels[1] = events.sum()
        elif not self.signed and self.bits == 2:
            low, high = planes.sum(axis=1)
            levels[3] = low + high - events.sum()
            levels[1], levels[2] = low - levels[3], high - levels[3]
        if self.summing:
            zero = (1 << self.bits) - 1 if self.signed else 0
            levels[zero] = 0
            levels[zero] = self.sums.n_samples * self.n_steps * events.size - levels.sum()
        return levels

    def _ordered(self, values):
        """Return values (..., neurons in the order of the kernels) as (..., neurons in the order C, H, W)."""
        channels, height, width = self.shape
        values = values.reshape(*values.shape[:-1], -1, self.words * 64 // self.pack)
        values = values[..., : height * width, :channels]
        return np.ascontiguousarray(np.swapaxes(values, -1, -2)).reshape(*values.shape[:-2], -1)


def _words_together(channels):
    """Return how many positions of so many channels fit into one word, a power of two."""
    return 1 if channels > 32 else 1 << (6 - (channels - 1).bit_length())


class Memory:
    """What the next chunk of the same samples needs of the ones before. sums: TrainObserver; n: samples."""

    def __init__(self, sums: TrainObserver, n):
        neurons = sums.n_places
        self.counts = np.zeros((n, neurons if sums.summing else 0), np.int32)
        shape = (n, neurons if sums.detailing else 0)
        self.last, self.before = np.full(shape, -1, np.int32), np.zeros(shape, np.int32)


class MembraneScale:
    """What turns membranes of a layer into its unit and into quanta.

    node: one that sends "levels". shape: logical shape. chosen: int64, the neurons that are looked at, in the
    order of the shape, flattened; the other arrays are of these. quantum: as `MembraneStatistics` defines it.
    """

    def __init__(self, node: Node, shape):
        self.node = node
        self.n_neurons = int(np.prod(shape, dtype=np.int64))
        self.chosen = chosen_neurons(self.n_neurons, MOST_NEURONS)

        def flat(value):
            return parameter_on(value, shape, "parameter").reshape(-1)[self.chosen]

        self.v_threshold = flat(node.v_threshold)
        self.most = (1 << flat(node.bits).astype(np.int64)) - 1
        self.quantum = self._quantum(flat(node.quantum))
        by_threshold = bool((self.v_threshold > 0).all())
        self.name = "thresholds" if by_threshold else "quanta"
        self.unit = self.v_threshold if by_threshold else self.quantum
        self.threshold = float((self.v_threshold / self.unit).mean())
        self.step = float((self.quantum / self.unit).mean())
        self.n_levels = (1 << node.n_bits) - 1
        self.fires_at = self.v_threshold / self.quantum  # in quanta
        if node.rectify:
            self.fires_at = unrectified(self.fires_at)
        high = self.threshold + (min(self.n_levels, WIDEST) + 1) * self.step
        low = -high if node.signed else min(self.threshold, 0.0) - 2 * self.step
        self.edges = np.linspace(low, high, N_BINS + 1)

    def _quantum(self, quantum):
        """Return the size of a level in each neuron's membrane. quantum: of the node. Where no reset subtracts it,
        no second threshold is that far from the first, and no MPR counts in it, the membrane knows nothing of
        it."""
        if "quantum" in self.node.per_channel and (self.node.reset == "soft" or self.node.rectify):
            return quantum
        return np.where((self.most == 1) & (self.v_threshold > 0), self.v_threshold, quantum)

    def statistics(self, potentials, residuals, levels, steps_per_unit) -> MembraneStatistics:
        """Return the statistics of H and U of the chosen neurons as a run has them, F (n, T, chosen), and of the
        levels that they sent, int32 (n, T, chosen). steps_per_unit: float64, of H and U, one for each channel as
        it is held, or for all."""
        n, steps, neurons = potentials.shape
        if not potentials.shape == residuals.shape == levels.shape or neurons != len(self.chosen):
            raise DataError(f"potentials {potentials.shape}, residuals {residuals.shape} and levels "
                            f"{levels.shape} have different shapes, expected (N, T, {len(self.chosen)}) of each")
        kinds = potentials.dtype, residuals.dtype, levels.dtype
        if not all(kind.kind in "iuf" and kind.itemsize <= 8 for kind in kinds):
            raise DataError(f"potentials, residuals and levels are of {', '.join(map(str, kinds))}, expected "
                            "numbers")
        if steps_per_unit.ndim != 1 or not len(steps_per_unit) or self.n_neurons % len(steps_per_unit):
            raise DataError(f"steps_per_unit has shape {steps_per_unit.shape}, expected one number for each "
                            "channel")
        rectifies = int(self.node.rectify)
        alike = self.n_neurons // len(steps_per_unit)  # consecutive neurons of the same scale
        parameters = np.stack((steps_per_unit[self.chosen // alike], self.unit, self.quantum,
                               self.fires_at, self.most.astype(np.float64)))
        histograms = np.zeros((3, self.edges.size + 1), np.int64)
        distances, unusual = np.zeros(N_DISTANCES + 1, np.int64), np.zeros(1, np.int64)
        extremes = np.array([np.inf, -np.inf])
        sums, known = np.zeros((4, n * steps)), np.zeros((2, n * steps), np.int64)
        membrane_statistics.note_membranes(
            MembraneTraces(np.ascontiguousarray(potentials).reshape(-1),
                           np.ascontiguousarray(residuals).reshape(-1),
                           np.ascontiguousarray(levels, np.int32).reshape(-1)),
            parameters.reshape(-1), self.edges,
            MembraneSums(histograms.reshape(-1), distances, extremes, unusual, sums.reshape(-1),
                         known.reshape(-1)),
            n * steps, neurons, rectifies, int(self.node.signed),
        )
        # nan where no membrane was a number
        n_known = known[[0, 0, 1, 1]]
        means = np.divide(sums, n_known, out=np.full(sums.shape, np.nan), where=n_known > 0)
        mean, square, error, rectified_error = means.reshape(4, n, steps)
        return MembraneStatistics(
            n_samples=n, n_steps=steps, unit=self.name, threshold=self.threshold, step=self.step,
            n_levels=self.n_levels, edges=self.edges, potentials=histograms[0], residuals=histograms[1],
            rectified=histograms[2] if rectifies else None, distances=distances, lowest=float(extremes[0]),
            highest=float(extremes[1]), n_not_finite=int(unusual[0]), mean_by_step=mean, square_by_step=square,
            error_by_step=error, rectified_error_by_step=rectified_error if rectifies else None,
        )


class Observer:
    """Gathers what a run was asked to gather: `KINDS` of a Program's layers, over blocks of samples
    that several threads may run.

    kinds: any of "statistics", "intervals", "membranes". scales: layer -> MembraneScale.
    """

    def __init__(self, program, kinds, n_steps, scales):
        self.program, self.kinds, self.n_steps, self.scales = program, kinds, n_steps, scales
        self._lock = threading.Lock()
        self._free: List[Dict[str, TrainObserver]] = []
        self._all: List[Dict[str, TrainObserver]] = []
        self.membranes: Dict[int, Dict[str, MembraneStatistics]] = {}

    def block(self, first, n, several):
        """Return a context in which a block of n samples is gathered, `first` being the place of the first one in
        the run. several: whether its steps come in several chunks."""
        return self._block(first, n, several) if self.kinds else NOTHING

    @contextmanager
    def _block(self, first, n, several):
        with self._lock:
            sums = self._free.pop() if self._free else self._blank()
        observing = BlockObserver(self, sums, n, several)
        yield observing
        if self.scales:
            self.membranes[first] = merge(observing.membranes, along="steps")
        with self._lock:
            self._free.append(sums)

    def _blank(self):
        summing, detailing = "statistics" in self.kinds, "intervals" in self.kinds
        layers = self.program.layers if summing or detailing else ()
        sums = {layer.name: TrainObserver(layer.shape, layer.logical_shape, layer.bits, layer.signed, self.n_steps,
                                      summing, detailing)
                for layer in layers if layer.bits}
        self._all.append(sums)
        return sums

    def trains(self) -> Dict[str, TrainStatistics]:
        """Return the statistics of trains of all blocks."""
        if not self._all:
            return {}
        for name, gathered in self._all[0].items():
            if len(self._all) > 1:
                gathered.sums = merge([each[name].sums for each in self._all])
        return {name: gathered.statistics() for name, gathered in self._all[0].items()}

    def all_membranes(self) -> Dict[str, MembraneStatistics]:
        """Return the statistics of membranes of all blocks, in the order of the samples."""
        return merge([self.membranes[first] for first in sorted(self.membranes)]) or {}


class _NoObserver:
    """Gathers nothing of a block."""

    def take(self, chunk) -> None:
        """Take the next chunk, and do nothing."""


NOTHING = nullcontext(_NoObserver())


class BlockObserver:
    """Gathers one block of samples, a chunk of steps after another; see `Observer.block`."""

    def __init__(self, observer, sums, n, several):
        self.observer, self.sums, self.n = observer, sums, n
        self.membranes: List[Dict[str, MembraneStatistics]] = []  # of each chunk
        self.memories = {name: Memory(train, n) for name, train in sums.items()} if several else {}
        self.step = 0

    def take(self, chunk) -> None:
        """Take the next chunk of the block's steps, an `engine.chunk.Chunk`."""
        steps = chunk.steps
        for name, sums in self.sums.items():
            train = chunk.trains.sent[name]
            slots = sums.slots(self.n, steps, train.per_sample, train.first)
            for summed in chunk.sums:  # now: the next chunk of this thread, of whichever run, begins anew
                sums.absorb(summed[name])
            sums.add_chunk(train.planes, slots, self.step, self.memories.get(name), train.still, bool(chunk.sums))
        if self.observer.scales:
            self.membranes.append({name: self._membranes(name, scale, chunk)
                                   for name, scale in self.observer.scales.items()})
        self.step += steps

    def _membranes(self, name, scale, chunk):
        stage = self.observer.program.stages[name]
        train = chunk.trains.sent[name]
        channel, position = np.divmod(scale.chosen, stage.positions)
        index = position * stage.padded + channel
        traces = [getattr(chunk.traces, kind)[name] for kind in ("potentials", "residuals")]
        return scale.statistics(
            *(trace.reshape(*trace.shape[:2], -1).take(index, axis=2) for trace in traces),
            _levels(train.planes[:, train.first :], position, channel, stage.bits), stage.steps_per_unit,
        )


def _levels(planes, position, channel, bits):
    """Return the levels of some neurons, int32 (n, T, S). planes: (n, T, planes, positions, words)."""
    octets = np.ascontiguousarray(planes).view(np.uint8)  # an eighth of the memory that words take
    octets = octets.reshape(*planes.shape[:3], -1).take(position * 8 * planes.shape[-1] + channel // 8, axis=3)
    octets >>= (channel % 8).astype(np.uint8)
    octets &= np.uint8(1)
    levels = octets[:, :, 0].astype(np.int32)
    for b in range(1, planes.shape[2]):
        value = 1 << b if b < bits else -(1 << b - bits)
        levels += octets[:, :, b] * np.int32(value)
    return levels
