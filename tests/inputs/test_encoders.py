"""Encoders: equal to snnTorch's spikegen where nothing is random, of its distribution where something is."""

import warnings
from contextlib import suppress

import numpy as np
import pytest

from eventsim import Input
from eventsim.errors import DataError
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.encoders import delta, Encoding, latency, poisson, unit_values

X = np.random.default_rng(0).random((3, 40), np.float32)
X[0, :5] = 0, 1, 0.005, 0.01, 0.5


@pytest.mark.parametrize("options", [
    dict(tau=2, bypass=True), dict(tau=2, bypass=True, first_spike_time=3, clip=True), dict(normalize=True),
    dict(normalize=True, first_spike_time=2), dict(linear=True, tau=9), dict(linear=True, normalize=True, clip=True),
    dict(linear=True, normalize=True, threshold=0.3), dict(linear=True, tau=30, bypass=True, clip=True, threshold=0.2),
])
def test_latency_is_snntorchs(options):
    torch, spikegen = pytest.importorskip("torch"), pytest.importorskip("snntorch.spikegen")
    expected = spikegen.latency(torch.from_numpy(X), num_steps=12, **options)
    np.testing.assert_array_equal(latency(X, 12, **options), expected.numpy())


@pytest.mark.parametrize("options", [{}, dict(threshold=0.3, padding=True), dict(off_spike=True),
                                     dict(off_spike=True, padding=True, threshold=0.5)])
def test_delta_is_snntorchs(options):
    torch, spikegen = pytest.importorskip("torch"), pytest.importorskip("snntorch.spikegen")
    x = np.random.default_rng(1).normal(size=(20, 6)).astype(np.float32)
    np.testing.assert_array_equal(delta(x, **options), spikegen.delta(torch.from_numpy(x), **options).numpy())


def test_poisson_has_spikegens_distribution():
    """Independent draws of each value's chance: counts within five standard deviations, and no steps alike."""
    chance = np.linspace(0, 1, 21)
    for gain, offset in ((1, 0), (0.5, 0.2), (2, -0.1)):
        spikes = poisson(chance, 20000, 7, gain, offset)
        expected = np.clip(chance * gain + offset, 0, 1)
        deviation = np.sqrt(expected * (1 - expected) / 20000)
        assert (np.abs(spikes.mean(axis=0) - expected) <= 5 * deviation + 1e-12).all()
    together = np.corrcoef(spikes[:-1, 10], spikes[1:, 10])[0, 1]
    assert abs(together) < 5 / np.sqrt(20000)
    assert not poisson(chance, 50, 0, first_spike_time=10)[:10].any()


def test_a_seed_decides():
    assert (poisson(X, 30, 4) == poisson(X, 30, 4)).all() and (poisson(X, 30, 4) != poisson(X, 30, 5)).any()


def test_data_sets_encode_each_sample_by_itself(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (7, 1, 4, 5), np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(7))
    node = Input((1, 4, 5))
    found = {}
    for size in (2, 7):
        dataset = open_dataset(tmp_path / "a.npz", node, 6, encode="poisson:gain=0.5", seed=3)
        assert dataset.n_steps == 6
        found[size] = np.concatenate([x for x, _ in dataset.batches(size)])
    np.testing.assert_array_equal(found[2], found[7])
    np.testing.assert_array_equal(found[7][4], poisson(images[4] / np.float32(255), 6, (3, 4), 0.5))
    dataset = open_dataset(tmp_path / "a.npz", node, 6, encode="latency:linear")
    np.testing.assert_array_equal(next(dataset.batches(7))[0][5],
                                  latency(images[5] / np.float32(255), 6, linear=True, normalize=True))
    moving = np.random.default_rng(3).normal(size=(2, 9, 1, 4, 5))
    np.save(tmp_path / "b.npy", moving)
    dataset = open_dataset(tmp_path / "b.npy", Input((1, 4, 5), signed=True), encode="delta:off_spike,threshold=0.4")
    np.testing.assert_array_equal(next(dataset.batches(2))[0][1], delta(moving[1], 0.4, off_spike=True))


@pytest.mark.parametrize("options, steps, match", [
    (dict(encode="rate"), 4, "encode is 'rate', expected poisson, latency, delta"),
    (dict(encode="latency:speed=1"), 4, "latency has no 'speed'"),
    (dict(encode="latency:tau=x"), 4, "tau is 'x', expected a number"),
    (dict(encode="poisson"), None, "give their number"),
    (dict(encode="delta"), None, "delta encodes changes from step to step, but the samples have no steps"),
    (dict(encode="poisson", full_scale=10), 4, "poisson takes values from 0 to 1, found .*full-scale"),
])
def test_what_cannot_be_encoded(tmp_path, options, steps, match):
    np.save(tmp_path / "a.npy", np.full((2, 1, 4, 5), 99, np.uint8))
    with pytest.raises(DataError, match=match):
        list(open_dataset(tmp_path / "a.npy", Input((1, 4, 5)), steps, **options).batches(2))
    assert Encoding.of("poisson").makes_steps and not Encoding.of("delta").makes_steps


HUGE = ("nan", "inf", "-inf", "1e300", "-1e300", "1e-300", "0", "-1")


@pytest.mark.parametrize("name, keys", [("poisson", ("gain", "offset")), ("latency", ("threshold", "tau")), ("delta", ("threshold",))])
@pytest.mark.filterwarnings("error")
def test_options_of_any_size_are_taken_or_refused(name, keys):
    """And values: nothing is computed from what is no number."""
    values = (X, np.zeros((2, 3)), np.ones((2, 3)), np.zeros((0, 3)), np.full((2, 3), 1e308), np.full((2, 3), np.nan),
              np.full((2, 3), np.longdouble("1e400")), np.ones((2, 3), complex), np.array([["a"]]), np.array([[2**63 - 1, -2**63]]))
    for text in [f"{name}:{key}={value}" for key in keys for value in HUGE]:
        for more in ("", ",linear", ",normalize=0", ",linear,bypass,normalize=0") if name == "latency" else ("",):
            for x in values:
                with suppress(DataError):
                    spikes = Encoding.of(text + more)(x, 5, 0)
                    assert text.partition("=")[2] not in ("nan", "inf", "-inf")
                    assert spikes.shape == (x.shape if name == "delta" else (5, *x.shape)) and abs(spikes).max(initial=0) <= 1
    with pytest.raises(DataError, match="first_spike_time is -1, expected"):
        poisson(X, 5, first_spike_time=-1)
    with pytest.raises(DataError, match="tau is nan, expected a number from 1e-30 to 1e.30"):
        latency(X, 5, tau=float("nan"))


def test_values_beyond_float32_are_refused_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isinf(unit_values(np.array([1e300]), 1e-3)).all()
        assert np.isinf(unit_values(np.array([1e30], np.float32), 1e-30)).all()


def test_latency_beyond_the_steps_is_refused():
    with pytest.raises(DataError, match="gives a spike in step 12, but there are 5"):
        latency(X, 5)
