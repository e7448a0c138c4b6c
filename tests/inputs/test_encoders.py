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
    dict(normalize=True, first_spike_time=2), dict(linear=True, tau=9),
    dict(linear=True, normalize=True, clip=True), dict(linear=True, normalize=True, threshold=0.3),
    dict(linear=True, tau=30, bypass=True, clip=True, threshold=0.2),
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


@pytest.mark.parametrize("x, threshold", [([0.5, 0.25, 0.5, 0.0, 1.0], 0.25), ([1e8, 1e8 + 1, 1e8 + 2], 1.0)])
def test_delta_at_its_very_threshold(x, threshold):
    """A fall by the threshold is a spike of -1, as a rise by it is one of 1; differences are of 64 bits."""
    spikes = delta(np.array(x), threshold, padding=True, off_spike=True).tolist()
    assert spikes == [0] + [np.sign(b - a) * (abs(b - a) >= threshold) for a, b in zip(x, x[1:])]
    torch, spikegen = pytest.importorskip("torch"), pytest.importorskip("snntorch.spikegen")
    theirs = spikegen.delta(torch.tensor(x, dtype=torch.float64), threshold, padding=True, off_spike=True)
    assert spikes == theirs.tolist()


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
    dataset = open_dataset(tmp_path / "b.npy", Input((1, 4, 5), signed=True),
                           encode="delta:off_spike,threshold=0.4")
    np.testing.assert_array_equal(next(dataset.batches(2))[0][1], delta(moving[1], 0.4, off_spike=True))


@pytest.mark.parametrize("options, steps, match", [
    (dict(encode="rate"), 4, "encode is 'rate', expected poisson, latency, delta"),
    (dict(encode="latency:speed=1"), 4, "latency has no 'speed'"),
    (dict(encode="latency:tau=x"), 4, "tau is 'x', expected a number"),
    (dict(encode="poisson"), None, "give their number"),
    (dict(encode="delta"), None, "delta encodes changes from step to step, but the samples have no steps"),
    (dict(encode="poisson", full_scale=10), 4, "poisson takes values from 0 to 1, found .*full-scale"),
    (dict(encode="poisson:gain"), 4, "gain has no value, expected a number, gain=X"),
    (dict(encode="poisson:gain="), 4, "gain has no value, expected a number, gain=X"),
    (dict(encode="latency:linear="), 4, "linear has no value"),
    (dict(encode="latency:linear=7"), 4, "linear is 7.0, expected True or False, 1 or 0"),
    (dict(encode="latency:tau=1,tau=2"), 4, "encode is 'latency:tau=1,tau=2': tau is given twice"),
    (dict(encode="latency:linear,linear=0"), 4, "linear is given twice"),
])
def test_what_cannot_be_encoded(tmp_path, options, steps, match):
    np.save(tmp_path / "a.npy", np.full((2, 1, 4, 5), 99, np.uint8))
    with pytest.raises(DataError, match=match):
        list(open_dataset(tmp_path / "a.npy", Input((1, 4, 5)), steps, **options).batches(2))
    assert Encoding.of("poisson").makes_steps and not Encoding.of("delta").makes_steps


@pytest.mark.parametrize("encode, message", [
    (lambda: poisson(X, -1), "timesteps is -1, expected a whole number from 1 on"),
    (lambda: poisson(X, 2.5), "timesteps is 2.5, expected a whole number from 1 on"),
    (lambda: poisson(X, 5, seed=-1), "seed is -1, expected a whole number from 0 on"),
    (lambda: poisson(X, 5, seed="a"), "seed is 'a', expected a whole number from 0 on"),
    (lambda: poisson(X, 5, first_spike_time=5), "first_spike_time is 5, expected 0 to 4"),
    (lambda: latency(X, 10.0), "timesteps is 10.0, expected a whole number from 1 on"),
    (lambda: latency(X, 10, first_spike_time="a"), "first_spike_time is 'a', expected a whole number from 0 on"),
    (lambda: latency(X, 10, first_spike_time=10), "first_spike_time is 10, expected 0 to 9"),
    (lambda: latency(X, 10, clip="no"), "clip is 'no', expected True or False, 1 or 0"),
    (lambda: delta(X, -0.1), "threshold is -0.1, expected a number from 0 to 1e.30"),
    (lambda: delta(X, padding=np.zeros(3)), r"padding is array\(.*, expected True or False"),
    (lambda: delta(3.0), "delta takes values of several steps"),
    (lambda: poisson([[1], [1, 0]], 5), "poisson takes an array of numbers "),
    (lambda: unit_values(X, 0), "full_scale is 0, expected a number from 1e-38 to 1e.38"),
    (lambda: unit_values(X, "a"), "full_scale is 'a', expected a number"),
])
def test_arguments_that_say_nothing_are_one_line(encode, message):
    with pytest.raises(DataError, match=f"^{message}") as caught:
        encode()
    assert "\n" not in str(caught.value)


def test_images_are_not_encoded_for_an_input_that_takes_them(tmp_path):
    """A spike would be the darkest shade but one."""
    path = tmp_path / "a.npy"
    np.save(path, np.full((2, 1, 4, 5), 99, np.uint8))
    for encode in ("poisson", "latency:linear"):
        with pytest.raises(DataError,
                           match=f"^{path}: the model's input takes images of 5 bits as they are.*encode"):
            open_dataset(path, Input((1, 4, 5), "image", 5), 4, encode=encode)
    for node in (Input((1, 4, 5), "image", 1), Input((1, 4, 5), "spikes", 5), Input((1, 4, 5), "real")):
        [(x, _)] = open_dataset(path, node, 4, encode="poisson").batches(2)
        np.testing.assert_array_equal(x[1], poisson(np.full((1, 4, 5), np.float32(99) / 255), 4, (0, 1)))
    dataset = open_dataset(path, Input((1, 4, 5)), 4, encode="poisson")
    dataset.check_made_for(Input((1, 4, 5), "spikes", 5))
    with pytest.raises(DataError, match="takes images of 5 bits as they are"):
        dataset.check_made_for(Input((1, 4, 5), "image", 5))


@pytest.mark.parametrize("largest, options, said", [
    (16, {}, True), (127, {}, True), (128, {}, False), (16, dict(full_scale=16), False),
    (16, dict(full_scale=255), False),
])
def test_a_full_scale_far_above_all_values_is_said(tmp_path, largest, options, said):
    x = np.zeros((5, 1, 4, 5), np.uint8)
    x[2, 0, 1, 1] = largest
    np.save(tmp_path / "a.npy", x)
    dataset = open_dataset(tmp_path / "a.npy", Input((1, 4, 5)), 4, encode="poisson", **options)
    list(dataset.batches(2))
    text = (f"values are encoded as shares of 255, as bytes are, but the largest one is {largest} (full_scale, "
            "--full-scale, says otherwise)")
    assert dataset.notes == ({text: 1} if said else {})
    np.save(tmp_path / "b.npy", x / np.float32(1000))  # shares that are small on purpose
    dataset = open_dataset(tmp_path / "b.npy", Input((1, 4, 5)), 4, encode="poisson")
    list(dataset.batches(2))
    assert dataset.notes == {}


HUGE = ("nan", "inf", "-inf", "1e300", "-1e300", "1e-300", "0", "-1")


@pytest.mark.parametrize("name, keys", [("poisson", ("gain", "offset")), ("latency", ("threshold", "tau")),
                                        ("delta", ("threshold",))])
@pytest.mark.filterwarnings("error")
def test_options_of_any_size_are_taken_or_refused(name, keys):
    """And values: nothing is computed from what is no number."""
    values = (X, np.zeros((2, 3)), np.ones((2, 3)), np.zeros((0, 3)), np.full((2, 3), 1e308),
              np.full((2, 3), np.nan), np.full((2, 3), np.longdouble("1e400")), np.ones((2, 3), complex),
              np.array([["a"]]), np.array([[2**63 - 1, -2**63]]))
    for text in [f"{name}:{key}={value}" for key in keys for value in HUGE]:
        for more in ("", ",linear", ",normalize=0", ",linear,bypass,normalize=0") if name == "latency" else ("",):
            for x in values:
                with suppress(DataError):
                    spikes = Encoding.of(text + more)(x, 5, 0)
                    assert text.partition("=")[2] not in ("nan", "inf", "-inf")
                    assert spikes.shape == (x.shape if name == "delta" else (5, *x.shape))
                    assert abs(spikes).max(initial=0) <= 1
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


def test_delta_takes_bytes_as_shares_of_their_scale(tmp_path):
    """As other encoders do; integers of other types have no scale of their own, and floats keep to none."""
    moving = np.random.default_rng(5).integers(0, 256, (3, 6, 4), np.uint8)
    expected = np.stack([delta(one / np.float32(255), 0.3) for one in moving])

    def spikes(x, **options):
        np.savez(tmp_path / "a.npz", x=x)
        dataset = open_dataset(tmp_path / "a.npz", Input((4,)), encode="delta:threshold=0.3", **options)
        return np.concatenate([part for part, _ in dataset.batches(2)]), dataset.notes

    np.testing.assert_array_equal(spikes(moving)[0], expected)
    np.testing.assert_array_equal(spikes(moving, full_scale=255)[0], expected)
    np.testing.assert_array_equal(spikes(moving.astype(int), full_scale=255)[0], expected)
    np.testing.assert_array_equal(spikes(moving / np.float32(255))[0], expected)
    one_by_one = np.stack([delta(one.astype(np.float32), 0.3) for one in moving])
    np.testing.assert_array_equal(spikes(moving, full_scale=1)[0], one_by_one)
    np.testing.assert_array_equal(spikes(moving.astype(np.float64))[0], one_by_one)
    with pytest.raises(DataError, match="type int64 have no full scale of their own"):
        spikes(moving.astype(int))
    said = "shares of 255, as bytes are, but the largest one is 3"
    assert any(said in note for note in spikes(moving % 4)[1])


def test_latency_of_a_batch_is_spikegens_of_each_sample(tmp_path):
    torch, spikegen = pytest.importorskip("torch"), pytest.importorskip("snntorch.spikegen")
    images = np.random.default_rng(6).integers(5, 256, (4, 12), np.uint8)
    images[0] |= 8  # so that its smallest value is not that of the batch
    np.savez(tmp_path / "a.npz", x=images)
    batch = torch.from_numpy(images / np.float32(255))
    for options, alike in (("latency", False), ("latency:linear", True)):
        [(found, _)] = open_dataset(tmp_path / "a.npz", Input((12,)), 15, encode=options).batches(4)
        keys = dict(num_steps=15, normalize=True, linear="linear" in options)
        each = np.stack([spikegen.latency(one, **keys).numpy() for one in batch])
        np.testing.assert_array_equal(found, each)
        assert np.array_equal(found, spikegen.latency(batch, **keys).numpy().swapaxes(0, 1)) == alike
