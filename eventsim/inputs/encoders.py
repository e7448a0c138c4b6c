"""Turns values that are no events into spikes, as snnTorch's `spikegen` defines them, with a seed.

    spikes = poisson(image / 255, timesteps=100, seed=0)          # uint8 (T, *shape)
    spikes = encode("latency:linear,clip", image / 255, 100)

Each function takes one sample. A data set encodes its sample i with the seed (seed, i), so that spikes do not
depend on batches, parts or threads.
"""

from dataclasses import dataclass
from inspect import signature
from numbers import Real
from typing import Dict

import numpy as np

from eventsim.arguments import index_of, shown
from eventsim.errors import DataError
from eventsim.text import did_you_mean

EPSILON = 1e-7
LARGEST = 1e30  # of an option: float32 holds its products
LATEST = 1 << 40  # step
LARGEST_SCALE = 1e38  # that float32 holds, as it holds its inverse
SCALE_OF_BYTES = 255
SWITCHES = ("linear", "normalize", "clip", "bypass")


def poisson(x, timesteps, seed=0, gain=1.0, offset=0.0, first_spike_time=0) -> np.ndarray:
    """Spike in each step with probability gain x + offset, kept within 0 to 1 (`spikegen.rate`).

    x: (*shape) in 0 to 1. timesteps: 1 or more. seed: as `numpy.random.default_rng` takes it. first_spike_time:
        one of the steps; the steps before it have no spikes.
    Returns uint8 (timesteps, *shape). Raises DataError.
    """
    _check_options(-LARGEST, LARGEST, gain=gain, offset=offset)
    timesteps, first_spike_time = _steps(timesteps, first_spike_time)
    chance = np.clip(_unit(x, "poisson") * gain + offset, 0, 1)
    draws = _generator(seed).random((timesteps, *chance.shape), np.float32)
    spikes = (draws < chance).astype(np.uint8)
    spikes[:first_spike_time] = 0
    return spikes


def latency(x, timesteps, threshold=0.01, tau=1.0, first_spike_time=0, **switches) -> np.ndarray:
    """Give each value one spike, the earlier the larger the value is (`spikegen.latency`).

    x: (*shape) in 0 to 1. The time is tau log(x / (x - threshold)), that of a membrane charged by x.
    timesteps: 1 or more. first_spike_time: the step in which the largest values spike.
    switches: linear: the time is tau (1 - x), at most tau (1 - threshold); normalize: times fill `timesteps`, up
    to the latest, that of the smallest value in x (spikegen, given a batch, fills them up to the latest of all its
    samples, so that it is equal for a batch of one; linear times are equal for any);
    clip: values below the threshold have no spike; bypass: times after the last step are left out instead of
    refused. Returns uint8 (timesteps, *shape). Raises DataError.
    """
    linear, normalize, clip, bypass = (_switch(name, switches.pop(name, False)) for name in SWITCHES)
    if switches:
        raise DataError(f"latency takes no {', '.join(switches)}, but {', '.join(SWITCHES)}")
    _check_options(0, 1, threshold=threshold)
    _check_options(1 / LARGEST, LARGEST, tau=tau)
    timesteps, first_spike_time = _steps(timesteps, first_spike_time)
    x, one = _unit(x, "latency"), np.float32
    if linear:
        tau = timesteps - 1 - first_spike_time if normalize else tau
        time = np.minimum(one(-tau) * (x - one(1)), one(-tau * (threshold - 1))) + one(first_spike_time)
    else:
        charged = np.maximum(x, one(threshold + EPSILON))
        time = one(tau) * np.log(charged / (charged - one(threshold)))
        time += one(first_spike_time)
        if normalize:
            since = time - one(first_spike_time)
            longest = since.max(initial=0) or one(1)  # with a threshold of 0 all spikes come at once
            time = since * one(timesteps - first_spike_time - 1) / longest + one(first_spike_time)
    step = np.rint(np.minimum(time, LATEST)).astype(np.int64)
    if step.max(initial=0) >= timesteps and not bypass:
        raise DataError(f"latency gives a spike in step {step.max()}, but there are {timesteps}: give more "
                        f"timesteps, a smaller tau, normalize, or bypass")
    kept = (step < timesteps) & ~(clip & (x < threshold))
    spikes = np.zeros((timesteps, *x.shape), np.uint8)
    np.put_along_axis(spikes, np.minimum(step, timesteps - 1)[None], kept[None].astype(np.uint8), axis=0)
    return spikes


def delta(x, threshold=0.1, padding=False, off_spike=False) -> np.ndarray:
    """Spike where a value has grown by the threshold or more since the step before (`spikegen.delta`).

    x: (T, *shape). threshold: 0 or more. padding: whether the step before the first equals it; else it
    is 0. off_spike: whether values that have fallen as much give a spike of -1. Returns int8 (T,
    *shape). Raises DataError.
    """
    _check_options(0, LARGEST, threshold=threshold)
    padding, off_spike = _switch("padding", padding), _switch("off_spike", off_spike)
    x = _real(x, "delta")
    if not x.ndim:
        raise DataError("delta takes values of several steps, (T, *shape), found a single number")
    with np.errstate(over="ignore", invalid="ignore"):  # infinite values grow, or not, from infinite ones
        x = x.astype(np.float64 if x.dtype.itemsize > 4 and x.dtype.kind == "f" else np.float32)
        before = np.concatenate((x[:1] if padding else np.zeros_like(x[:1]), x[:-1]))
        change, threshold = x - before, x.dtype.type(threshold)
    spikes = (change >= threshold).astype(np.int8)
    return spikes - (change <= -threshold) if off_spike else spikes


_KEYS = {
    "poisson": ("gain", "offset", "first_spike_time"),
    "latency": ("threshold", "tau", "first_spike_time", *SWITCHES),
    "delta": ("threshold", "padding", "off_spike"),
}
_WHOLE = ("first_spike_time",)
_SWITCHES = (*SWITCHES, "padding", "off_spike")  # that may stand without a value


@dataclass(frozen=True)
class Encoding:
    """An encoder with its options, from text such as "poisson" or "latency:linear,tau=5"."""

    name: str
    options: Dict[str, object]

    @staticmethod
    def of(text) -> "Encoding":
        """Return the encoding that a text names. Raises DataError for an encoder or an option that does not exist,
        and for an option given twice or without the number that it needs."""
        name, _, rest = str(text).partition(":")
        if name not in _KEYS:
            raise DataError(f"encode is {text!r}, expected {', '.join(_KEYS)}{did_you_mean(name, _KEYS)}")
        options = {}
        for part in filter(None, rest.split(",")):
            key, given, value = part.partition("=")
            if key not in _KEYS[name]:
                raise DataError(f"encode is {text!r}: {name} has no {key!r}, but {', '.join(_KEYS[name])}")
            if key in options:
                raise DataError(f"encode is {text!r}: {key} is given twice")
            if not value and (given or key not in _SWITCHES):
                raise DataError(f"encode is {text!r}: {key} has no value, expected a number, {key}=X")
            try:
                options[key] = True if not value else int(value) if key in _WHOLE else float(value)
            except ValueError:
                raise DataError(f"encode is {text!r}: {key} is {value!r}, expected a number") from None
        return Encoding(name, options)

    @property
    def makes_steps(self) -> bool:
        """Whether it takes samples without steps and gives them `timesteps` steps."""
        return "timesteps" in signature(_ENCODERS[self.name]).parameters

    def __call__(self, x, timesteps, seed) -> np.ndarray:
        """Return the spikes (T, *shape) of one sample."""
        if self.name == "poisson":
            return poisson(x, timesteps, seed, **self.options)
        if self.name == "latency":  # a run has its number of steps: times fill it
            return latency(x, timesteps, **{"normalize": True, **self.options})
        return delta(x, **self.options)


_ENCODERS = {"poisson": poisson, "latency": latency, "delta": delta}


def unit_values(x, full_scale=None) -> np.ndarray:
    """Return values as shares of the full scale, float32. full_scale: above 0; None: 255 for bytes, 1 for
    fractions. Raises DataError where it is not known."""
    x = _real(x, "encoding")
    if full_scale is None:
        if x.dtype != np.uint8 and x.dtype.kind not in "fb":
            raise DataError(f"values of type {x.dtype} have no full scale of their own: say which value is to be "
                            f"taken as 1 (--full-scale)")
        full_scale = SCALE_OF_BYTES if x.dtype == np.uint8 else 1
    _check_options(1 / LARGEST_SCALE, LARGEST_SCALE, full_scale=full_scale)
    with np.errstate(over="ignore"):  # infinite, so refused
        return x.astype(np.float32) / np.float32(full_scale)


def _check_options(least, most, **options):
    for name, value in options.items():
        if not (isinstance(value, Real) and least <= value <= most):
            raise DataError(f"{name} is {shown(value)}, expected a number from {least:g} to {most:g}")


def _switch(name, value) -> bool:
    if not (isinstance(value, (Real, np.bool_)) and value in (0, 1)):
        raise DataError(f"{name} is {shown(value)}, expected True or False, 1 or 0")
    return bool(value)


def _steps(timesteps, first_spike_time):
    """Return both as int; first_spike_time is one of the steps."""
    timesteps, first = index_of(timesteps, "timesteps", 1), index_of(first_spike_time, "first_spike_time")
    if first >= timesteps:
        raise DataError(f"first_spike_time is {first}, expected 0 to {timesteps - 1}")
    return timesteps, first


def _generator(seed):
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise DataError(f"seed is {shown(seed)}, expected a whole number from 0 on, or several") from None


def _real(x, what):
    try:
        x = np.asarray(x)
    except ValueError as error:
        raise DataError(f"{what} takes an array of numbers ({' '.join(str(error).split())})") from None
    if x.dtype.kind not in "biuf":
        raise DataError(f"{what} takes numbers, found an array of type {x.dtype}")
    return x


def _unit(x, what):
    with np.errstate(over="ignore"):  # infinite, so refused
        x = _real(x, what).astype(np.float32)
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise DataError(f"{what} takes values from 0 to 1, found {x.min()} to {x.max()}: say which value is to be "
                        "taken as 1 (--full-scale)")
    return x
