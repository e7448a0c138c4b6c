"""Arrays and events as levels."""

import warnings

import numpy as np
import pytest

from eventsim.errors import DataError, EventsimWarning
from eventsim.inputs.binning import bin_events
from eventsim.inputs.levels import check_values, level_range, to_levels
from eventsim.model.input import EventBins, Input

IMAGE = Input((1, 4, 3), "image", 8, scale=1 / 255)
SPIKES = Input((5,), "spikes", 2)
SIGNED = Input((5,), "spikes", 2, signed=True)
REAL = Input((2, 4), "real")


def assert_ready_for_kernels(levels, dtype):
    assert levels.dtype == dtype
    assert levels.flags.c_contiguous and levels.flags.aligned and levels.flags.writeable


@pytest.mark.parametrize("dtype", ["bool", "u1", "u2", "i8", "f4", "f8", ">i4", ">f8", "f2"])
def test_still_image_of_every_type(dtype):
    x = (np.arange(24).reshape(2, 1, 4, 3) % 2).astype(dtype)
    levels, still = to_levels(x, IMAGE, 7)
    assert still and levels.shape == (2, 1, 1, 4, 3)
    assert_ready_for_kernels(levels, np.int32)
    np.testing.assert_array_equal(levels[:, 0], x.astype(int))


@pytest.mark.parametrize("dtype", ["bool", "f2", "f4", "f8", ">f8"])
def test_zeros_and_ones_of_a_picture_may_be_no_levels_of_many(dtype, recwarn):
    """They are the darkest two of 256 shades. Where there are but two, and of spikes, they can be nothing else."""
    x = (np.arange(24).reshape(2, 1, 4, 3) % 2).astype(dtype)
    with pytest.warns(EventsimWarning,
                      match=r"no value but 0 and 1, .* to 255: if .* scaled .*astype\(np.uint8\)"):
        np.testing.assert_array_equal(to_levels(x, IMAGE)[0][:, 0], x.astype(int))
    for node in (Input((1, 4, 3), "image", 1), Input((1, 4, 3), "spikes", 8)):
        np.testing.assert_array_equal(to_levels(x, node)[0][:, 0], x.astype(int))
    for quiet in (np.zeros_like(x), x.astype(np.uint8), x.astype(int)):
        np.testing.assert_array_equal(to_levels(quiet, IMAGE)[0][:, 0], quiet.astype(int))
    assert not recwarn.list


def test_steps_are_kept():
    x = np.random.default_rng(0).integers(0, 4, (2, 6, 5))
    for timesteps in (None, 6):
        levels, still = to_levels(x, SPIKES, timesteps)
        assert not still
        np.testing.assert_array_equal(levels, x)


def test_the_result_can_be_written_where_x_cannot():
    x = np.zeros((2, 5), np.int32)
    x.flags.writeable = False
    assert_ready_for_kernels(to_levels(x, SPIKES)[0], np.int32)
    assert_ready_for_kernels(to_levels(np.zeros((5, 2), np.int32).T, SPIKES)[0], np.int32)


def test_real_numbers_become_float64():
    x = np.random.default_rng(0).standard_normal((3, 2, 4)).astype("f4")
    levels, still = to_levels(x, REAL)
    assert still
    assert_ready_for_kernels(levels, np.float64)
    np.testing.assert_array_equal(levels[:, 0], x)


def test_a_list_will_do():
    assert to_levels([[0, 1, 2, 3, 0]], SPIKES)[0].tolist() == [[[0, 1, 2, 3, 0]]]


def test_level_range():
    assert level_range(IMAGE) == (0, 255)
    assert level_range(SIGNED) == (-3, 3)
    assert to_levels([[-3, 0, 0, 0, 3]], SIGNED)[0].min() == -3


BAD = [
    (IMAGE, [[1], [1, 2]], "x is no array of numbers"),
    (IMAGE, np.array([None]), "elements of type object, expected bool, integers or floats"),
    (IMAGE, np.array(["1"]), "elements of type <U1"),
    (REAL, np.zeros((1, 2, 4), complex), "elements of type complex128"),
    (IMAGE, np.zeros((1, 4, 3)), r"expected \(N, 1, 4, 3\), .*; a single sample needs a sample axis"),
    (IMAGE, np.zeros((9, 4, 3)), r"the channel axis is missing: np.expand_dims\(x, -3\)"),
    (IMAGE, np.zeros((9, 4, 3, 1)), r"channels come first: np.moveaxis\(x, -1, -3\)"),
    (IMAGE, np.zeros((9, 1, 4, 4)), r"x has shape \(9, 1, 4, 4\), expected \(N, 1, 4, 3\)"),
    (IMAGE, np.float64(3), r"x has shape \(\)"),
    (SPIKES, np.zeros((2, 3, 4, 5)), r"x has shape \(2, 3, 4, 5\)"),
    (IMAGE, np.zeros((0, 1, 4, 3)), "holds no value"),
    (SPIKES, np.zeros((2, 0, 5)), "holds no value"),
    (SPIKES, np.zeros((2, 3, 5)), "x has 3 steps, but the run has 4"),
    (IMAGE, np.full((1, 1, 4, 3), np.nan), "not finite"),
    (REAL, np.full((1, 2, 4), np.inf), "not finite"),
    (REAL, np.full((1, 2, 4), np.longdouble("1e400")), "not finite"),
    (IMAGE, np.full((1, 1, 4, 3), 0.5), r"scaled to 0..1: give the raw integers"),
    (IMAGE, np.full((1, 1, 4, 3), 7.5), "fractional values, expected whole levels from 0 to 255$"),
    (IMAGE, np.full((1, 1, 4, 3), 256), r"values up to 256 but the model's input has 8 bits \(0 to 255\)"),
    (IMAGE, np.full((1, 1, 4, 3), 2**64 - 1, np.uint64), "values up to 18446744073709551615"),
    (SPIKES, np.full((1, 5), -1), r"down to -1 but .* \(0 to 3\); negative levels need .*signed=True"),
    (SIGNED, np.full((1, 5), -4), r"down to -4 but the model's input has 2 bits \(-3 to 3\)$"),
    (SIGNED, np.full((1, 5), 4.0), "up to 4 but"),
]


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("node, x, message", BAD)
def test_what_does_not_fit_is_refused(node, x, message, narrow):
    with warnings.catch_warnings(), pytest.raises(DataError, match=message) as caught:
        warnings.simplefilter("error")
        to_levels(x, node, 4, narrow)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bits, signed", [(1, False), (3, False), (8, False), (9, False), (2, True), (8, True)])
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "u2", "i4", ">i4", "i8", "f2", "f4", ">f4", "f8", "g"])
def test_narrow_levels_are_the_same_levels(bits, signed, dtype):
    node = Input((2, 7), "spikes", bits=bits, signed=signed)
    low, high = level_range(node)
    low, high = (0, 1) if dtype == "?" else (max(low, 0 if "u" in dtype else -128), min(high, 127))
    x = np.random.default_rng(0).integers(low, high + 1, (3, 5, 2, 7)).astype(dtype)
    x[0, 0, 0, :2] = low, high
    for samples in (x, x[:, ::2], np.asfortranarray(x)):
        levels, still = to_levels(samples, node, narrow=True)
        held_by_bytes = dtype == "u1" or dtype != "i4" and bits <= 8 and not signed
        assert levels.dtype == (np.uint8 if held_by_bytes else np.int32) and not still
        assert levels.flags.c_contiguous and levels.flags.writeable
        np.testing.assert_array_equal(levels, to_levels(samples, node)[0])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1, 0.5, 4, 255, 256, 260, 2.0**40, 1e300, 1e-300])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_floats_that_are_no_levels_are_refused(dtype, wrong):
    with np.errstate(over="ignore"):
        wrong = np.array(wrong).astype(dtype)
    x = np.full((1, 5), 2, dtype)
    x[0, 3] = wrong
    if wrong == 0:  # less than the type holds
        assert to_levels(x, SPIKES, narrow=True)[0].tolist() == [[[2, 2, 2, 0, 2]]]
        return
    with pytest.raises(DataError):
        to_levels(x, SPIKES, narrow=True)


def test_check_values_takes_any_shape():
    check_values(np.zeros(3), IMAGE)


# ---- events

BINS = EventBins(bin_width=10, sensor_size=(3, 4))
COLUMNS = dict(x=[0, 3, 3, 3, 1], y=[0, 2, 2, 2, 1], polarity=[0, 1, 1, 0, 1], t=[0, 9, 5, 19.5, 20])


def reference_bins(x, y, polarity, t, events, timesteps):
    levels = np.zeros((timesteps, 2, *events.sensor_size), int)
    for column, row, p, time in zip(x, y, polarity, t):
        step = int(time // events.bin_width)
        if step < timesteps:
            levels[step, p if events.polarities == "off_on" else 1 - p, row, column] += 1
    return levels if events.coincident == "sum" else (levels > 0).astype(int)


@pytest.mark.parametrize("coincident", ["sum", "merge"])
@pytest.mark.parametrize("polarities", ["off_on", "on_off"])
@pytest.mark.parametrize("timesteps", [1, 2, 5])
def test_events_by_hand_and_at_random(coincident, polarities, timesteps):
    events = EventBins(10, polarities, coincident, (3, 4))
    rng = np.random.default_rng(1)
    at_random = dict(
        x=rng.integers(0, 4, 500, np.uint8), y=rng.integers(0, 3, 500, np.uint8),
        polarity=rng.integers(0, 2, 500, np.uint8), t=rng.integers(0, 70, 500, np.uint32),
    )
    for columns in (COLUMNS, at_random):
        levels = bin_events(**columns, events=events, timesteps=timesteps)
        assert levels.dtype == np.uint16 and levels.flags.c_contiguous
        np.testing.assert_array_equal(
            levels, reference_bins(**columns, events=events, timesteps=timesteps)
        )


def test_a_step_begins_with_its_first_microsecond():
    levels = bin_events([0, 0], [0, 0], [1, 1], [9, 10], BINS, 2)
    assert levels[:, 1, 0, 0].tolist() == [1, 1]


def test_no_events_are_no_spikes():
    none = np.zeros(0, int)
    assert not bin_events(none, none, none, none, BINS, 3).any()


@pytest.mark.parametrize("change, message", [
    (dict(x=[0, 4, 0, 0, 0]), "event 1 is at x = 4, y = 2, outside the sensor of 4 x 3 pixels"),
    (dict(y=[0, 0, 0, 0, 3]), "event 4 is at x = 1, y = 3, outside"),
    (dict(x=[-1, 0, 0, 0, 0]), "event 0 is at x = -1"),
    (dict(polarity=[0, 0, 2, 0, 0]), "event 2 has polarity 2, expected 0 or 1"),
    (dict(t=[0, 0, 0, -1, 0]), "event 3 is at t = -1, expected 0 or later"),
    (dict(t=[0, 0, 0, 0, np.nan]), "event 4 is at t = nan"),
    (dict(t=[0]), "have 5, 5, 5 and 1 events, expected the same number"),
    (dict(x=[[0]]), "x of the events has shape"),
    (dict(y=np.zeros(5)), "y of the events has type float64, expected integers"),
])
def test_bad_events_are_named(change, message):
    with pytest.raises(DataError, match=message):
        bin_events(**{**COLUMNS, **change}, events=BINS, timesteps=2)


def test_too_many_events_in_one_place():
    many = np.zeros(1 << 16, int)
    with pytest.raises(DataError, match="65536 events share a pixel and a step, .*merge"):
        bin_events(many, many, many, many, BINS, 1)
