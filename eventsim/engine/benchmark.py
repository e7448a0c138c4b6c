"""Benchmark: how fast a simulator runs some samples, layer by layer, and how fast the machine could add."""

import time
from copy import copy
from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np

from eventsim.arguments import integer
from eventsim.engine.simulator import Simulator
from eventsim.engine.timing import TimedStep
from eventsim.kernels.peak import repeat_additions

IN_CACHE, IN_MEMORY = 1 << 13, 1 << 25  # bytes of weights: in a first-level cache, in none
LANES = np.zeros(1, np.uint64)  # 64 lanes: as wide as kernels are
LONG_ENOUGH = 0.002  # seconds of one measurement of the limit
REPEATED = 0.02  # seconds for which shorter runs are repeated


@dataclass(frozen=True)
class LayerTime:
    """A layer's time per sample: seconds, by kernel, and its additions (with the MACs of real-valued input)."""

    name: str
    seconds: float
    kernels: Dict[str, float]
    additions: float


@dataclass(frozen=True)
class Benchmark:
    """How fast samples ran in one thread, each of `rounds` times; seconds are those of the fastest round, per
    sample.

    seconds: of all. python: outside of kernels. layers: within them, in the model's order. additions: of all
    layers. limit: additions in a second that this core reached, of weights in the first-level cache; from_memory:
    of weights in main memory. steps: those of the fastest round whose kernels were timed one by one.
    """

    samples: int
    timesteps: int
    precision: str
    rounds: int
    seconds: float
    python: float
    layers: Tuple[LayerTime, ...]
    additions: float
    limit: float
    from_memory: float
    steps: Tuple[TimedStep, ...] = ()

    @property
    def samples_per_second(self) -> float:
        """The samples per second of the fastest round."""
        return 1 / self.seconds


def benchmark(simulator: Simulator, x, timesteps=None, rounds=5) -> Benchmark:
    """Measure a simulator with samples x, as `Simulator.run` takes them, in one thread.

    Kernels are compiled before. Each round runs the samples as a whole, short ones several times, since the first
    run pays for the caches that others have filled; and again with kernels called one by one.
    The time of a layer is the share of its kernels, each at its fastest and less what such a call costs, of the
    time within kernels of the fastest whole run.
    """
    rounds = integer(rounds, "rounds", 1, 1 << 24)
    single = copy(simulator)
    single.workers = 1
    single.run(x, timesteps, record=())
    single.time_steps(x, timesteps)
    recordings, timed, limits = [], [], []
    for _ in range(rounds):  # in turns: what else the machine does hits all of them
        limits.append(additions_per_second(single.program.dtype))
        recordings.append(_fastest_run(single, x, timesteps))
        timed.append(single.time_steps(x, timesteps))
    limit, from_memory = np.max(limits, axis=0)
    best = min((recording.timing for recording in recordings), key=lambda timing: timing.seconds)
    counts, n = recordings[0].counts, len(recordings[0].output)
    additions = {name: _additions(counts.layer_totals(name)) / n for name in counts.layers}
    per_sample = best.compiled / n
    layers = tuple(
        LayerTime(stage, sum(kernels.values()) * per_sample,
                  {kernel: share * per_sample for kernel, share in kernels.items()}, additions.get(stage, 0.0))
        for stage, kernels in _shares(timed).items())
    return Benchmark(
        samples=n, timesteps=recordings[0].timesteps, precision=single.precision, rounds=rounds,
        seconds=best.seconds / n, python=(best.seconds - best.compiled) / n, layers=layers,
        additions=sum(additions.values()), limit=float(limit), from_memory=float(from_memory),
        steps=tuple(min(timed, key=_seconds_of)))


def _fastest_run(single, x, timesteps):
    """Return the Recording of the fastest of as many runs as take REPEATED seconds, of one at least."""
    fastest, spent = None, 0.0
    while spent < REPEATED:
        recording = single.run(x, timesteps, record=())
        spent += recording.seconds
        if fastest is None or recording.seconds < fastest.seconds:
            fastest = recording
    return fastest


def _additions(totals):
    return totals["executed_additions"] + totals["executed_macs"]


def _shares(timed):
    """Return stage -> kernel -> share of the time within kernels, without what calling them one by one costs.
    timed: the steps of each round."""
    cost, rounds = _seconds_of_a_call(), [_by_stage(steps) for steps in timed]
    seconds = {
        stage: {kernel: max(min(each[stage][kernel][0] for each in rounds) - cost * calls, 0.0)
                for kernel, (_, calls) in kernels.items()}
        for stage, kernels in rounds[0].items()
    }
    total = sum(sum(kernels.values()) for kernels in seconds.values()) or 1.0
    return {stage: {kernel: spent / total for kernel, spent in kernels.items()}
            for stage, kernels in seconds.items()}


def _by_stage(steps):
    """Return stage -> kernel -> (seconds, calls)."""
    stages = {}
    for step in steps:
        if step.kernel != "Python":
            kernels = stages.setdefault(step.stage, {})
            seconds, calls = kernels.get(step.kernel, (0.0, 0))
            kernels[step.kernel] = seconds + step.seconds, calls + 1
    return stages


def _seconds_of(steps):
    return sum(step.seconds for step in steps)


def _seconds_of_a_call():
    """Return the seconds of a call from Python of a kernel that does nothing."""
    from eventsim.kernels import calling

    nothing, times = np.zeros(0, np.int64), []
    for _ in range(200):
        began = time.perf_counter()
        calling.drive(nothing, nothing, nothing, nothing, nothing, nothing, 1)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def additions_per_second(dtype) -> Tuple[float, float]:
    """Measure the most additions in a second of one core: rows of weights of 64 lanes added to sums in registers,
    with the weights in the first-level cache, and in main memory. dtype: of the run; integers add 16 bits wide."""
    dtype = np.dtype(np.int16) if np.dtype(dtype).kind == "i" else np.dtype(dtype)
    return tuple(_rate(np.zeros(n_bytes // dtype.itemsize, dtype)) for n_bytes in (IN_CACHE, IN_MEMORY))


def _rate(weights):
    sums, repeats = np.zeros(128, weights.dtype), 1
    repeat_additions(weights, sums, LANES, 1)
    while True:
        seconds = min(_seconds(weights, sums, repeats) for _ in range(5))
        if seconds >= LONG_ENOUGH:
            return weights.size * repeats / seconds
        repeats *= 4


def _seconds(weights, sums, repeats):
    began = time.perf_counter()
    repeat_additions(weights, sums, LANES, repeats)
    return time.perf_counter() - began


def chrome_trace(steps: Sequence[TimedStep]) -> List[Dict]:
    """Return timed steps as events of Chrome's trace format (chrome://tracing, Perfetto): kernels, one below
    the other by stage; "ts" and "dur" in microseconds."""
    stages = {stage: number for number, stage in enumerate(dict.fromkeys(step.stage for step in steps), 1)}
    names = [{"name": "thread_name", "ph": "M", "pid": 1, "tid": number, "args": {"name": stage}}
             for stage, number in stages.items()]
    return names + [
        {"name": step.kernel, "cat": "kernel", "ph": "X", "pid": 1, "tid": stages[step.stage],
         "ts": 1e6 * step.began, "dur": 1e6 * step.seconds}
        for step in steps]
