"""Models at the edge of what is valid: they run exactly, or are refused in one line."""

import re
import warnings

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_equality import assert_equal_to_reference

from eventsim import (
    Add, AvgPool, BatchNorm, Chip, Concat, Conv2d, Dense, EventsimWarning, Flatten, Input, Model, Neuron, Readout,
    Simulator, SumPool, UnsupportedError,
)


def chain(*nodes):
    """The nodes in a row, named "n0", "n1" and so on."""
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    names = list(named)
    return Model(named, list(zip(names, names[1:])))


# ---- long chains of linear nodes

LONG = 1500  # more than the frames that Python lets a function recur
UNCHANGED = BatchNorm(np.ones(2), np.zeros(2), np.zeros(2), np.ones(2), eps=0.0)


@pytest.mark.parametrize("node", (Flatten(), AvgPool(1), UNCHANGED), ids=lambda node: node.kind)
@pytest.mark.parametrize("end", ((), (Neuron(),)), ids=("readout", "neuron"))
def test_a_long_chain_of_currents(node, end):
    doubled = Conv2d(2 * np.eye(2)[:, :, None, None])
    model = chain(Input((2, 2, 2)), doubled, *[node] * LONG, *end, Readout("sum"))
    x = np.arange(8).reshape(1, 2, 2, 2) % 2
    expected = x.ravel() * (1.0 if end else 2.0)
    assert Simulator(model).run(x).output.ravel().tolist() == expected.tolist()


def test_a_long_chain_of_delays_in_a_loop():
    """Listed from its end to its start; with every delay, the spike returns after LONG + 1 steps."""
    nodes = {"in": Input((1,)), **{f"f{i}": Flatten() for i in reversed(range(LONG))}, "n": Neuron(),
             "out": Readout("last")}
    edges = [("in", "n"), ("n", "f0", 1), *[(f"f{i}", f"f{i + 1}", 1) for i in range(LONG - 1)],
             (f"f{LONG - 1}", "n", 1), ("n", "out")]
    x = np.zeros((1, LONG + 3, 1), int)
    x[:, 1] = 1
    sent = Simulator(Model(nodes, edges)).run(x).levels("n").ravel()
    assert np.flatnonzero(sent).tolist() == [1, LONG + 2]


# ---- extreme numbers

TINY = (5e-324, 1e-310, 1e-300, 1e-30)
HUGE = 1.7e308
OVERFLOWING = {
    "threshold": (Input((1,)), Neuron(HUGE, quantum=HUGE, bits=4)),
    "sum of a threshold": (Input((1,)), Neuron(-HUGE, quantum=HUGE, bits=2)),
    "offsets of an image": (Input((2,), "image", 8, mean=1.0), Dense([[HUGE, HUGE]]), Readout()),
    "infinite offsets": (Input((2,), "image", 8, mean=1e300, std=1e-10), Dense([[HUGE, -HUGE]]), Readout()),
    "offsets under a window": (Input((1, 2, 2), "image", 8, mean=1.0), Conv2d(np.full((1, 1, 2, 2), HUGE)),
                               Neuron()),
    "scale of an image": (Input((1,), "image", 8, std=5e-324), Readout()),
    "pooled bias": (Input((1, 2, 2)), Conv2d(np.ones((1, 1, 1, 1)), [HUGE]), SumPool(2), Readout()),
    "BatchNorm of spikes": (Input((1,)), BatchNorm([HUGE], [0], [0], [1e-9], eps=0), Readout()),
    "BatchNorm of weights": (Input((1,)), Dense([[HUGE]]), BatchNorm([HUGE], [0], [0], [1]), Readout()),
}


def run_fixed(model, x):
    """An int8 run without a warning, equal to the reference's."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Simulator(model, "int8").run(x).output
    assert np.array_equal(found, reference.simulate(model, x, "int8").output)
    return found


@pytest.mark.parametrize("weight", TINY)
def test_a_readout_of_tiny_weights_keeps_a_finite_scale(weight):
    weights, x = weight * np.array([[1, -1], [0, 1]]), np.array([[3, 1], [0, 2]])
    found = run_fixed(chain(Input((2,), bits=2), Dense(weights), Readout("sum")), x)
    assert np.abs(found - x @ weights.T).max() <= 4 * max(weight / 127, 2.0**-1000)


@pytest.mark.parametrize("weight", TINY)
def test_tiny_weights_of_a_neuron_become_zero(weight):
    model = chain(Input((2,), bits=2), Dense([[weight, -weight]]), Neuron())
    assert not run_fixed(model, np.array([[3, 1], [0, 2]])).any()
    assert Simulator(model, "int8").program.rounding["n2"].n_zeroed == 2


@pytest.mark.parametrize("scale", TINY)
def test_an_identity_of_tiny_scale_keeps_a_finite_scale(scale):
    model = chain(Input((2,), bits=2, scale=scale), Readout("sum"))
    if scale < 2.0**-1000:  # the finest step of integers: such a scale becomes 0, which is said
        with pytest.warns(EventsimWarning, match="rounds the input weight of 2 of 2 neurons of n1 from .* to 0"):
            simulator = Simulator(model, "int8")
        found = simulator.run(np.array([[3, 1]])).output
    else:
        found = run_fixed(model, np.array([[3, 1]]))
    assert np.abs(found - scale * np.array([3, 1])).max() <= 4 * 2.0**-1000


def test_what_is_just_below_one_half_rounds_to_zero():
    """0.5 - 2^-54 of a step: adding 0.5 to it gives 1."""
    weight = np.nextafter(0.5, 0) / 2**14
    model = chain(Input((1,)), Dense([[weight]]), Neuron())
    assert reference.simulate(model, [[1]], "int8").potentials["n2"].ravel().tolist() == [0]
    assert Simulator(model, "int8").run([[1]], record="potentials").potentials("n2").ravel().tolist() == [0]


@pytest.mark.parametrize("precision", ("float32", "float64", "int8"))
@pytest.mark.parametrize("nodes", OVERFLOWING.values(), ids=OVERFLOWING)
def test_constants_that_leave_float64_are_refused(nodes, precision):
    with warnings.catch_warnings(), pytest.raises(UnsupportedError, match="^node 'n[0-9]' .*(rescale|run it in)"):
        warnings.simplefilter("error")
        Simulator(chain(*nodes), precision)


# ---- wide levels


def doublings(n, signed):
    """Levels of 16 bits, added n times to those of the step before."""
    nodes = {"a0": Input((2,), bits=16, signed=signed), **{f"a{i}": Add() for i in range(1, n + 1)}}
    edges = [(f"a{i}", f"a{i + 1}", delay) for i in range(n) for delay in (0, 1)]
    return Model({**nodes, "out": Readout("last")}, [*edges, (f"a{n}", "out")], timesteps=n + 1)


@pytest.mark.parametrize("signed, dtype", ((False, np.uint32), (True, np.int32)))
def test_levels_of_31_bits(signed, dtype):
    x = np.array([[65535, -65535 if signed else 1]])
    found = Simulator(doublings(15, signed), "float64").run(x)
    assert found.levels("a15").dtype == dtype
    assert found.levels("a15")[:, -1].tolist() == (x << 15).tolist()
    assert found.output.tolist() == (x << 15).tolist()


@pytest.mark.parametrize("signed", (False, True))
def test_levels_of_more_bits_are_refused(signed):
    with pytest.raises(UnsupportedError, match=r"^node 'a16' \(Add\): levels up to 4294901760 take 32 bits"):
        Simulator(doublings(16, signed))


# ---- the proof that int32 membranes hold their steps

TOP, INT32_MAX = 65535, 2**31 - 1


def gained(gain):
    """Sums of at most 2147057670, a little below 2^31; times 1.00013 they still fit, but the gain
    counts in 4096ths and becomes 4097 / 4096."""
    weights = np.array([127] * 257 + [123])[None, :, None, None] / 128
    return chain(Input((258, 1, 2), bits=16), Conv2d(weights), Neuron(leak=0.0, input_gain=[[[gain, 1.0]]]))


def test_the_proof_takes_gains_as_they_are_rounded():
    x = np.full((1, 258, 1, 2), TOP)
    found = Simulator(gained(1.0001), "int8").run(x, record="potentials").potentials("n2")
    assert found.ravel().tolist() == [2147057670, 2147057670]
    with pytest.raises(UnsupportedError, match=r"node 'n2' \(Neuron\): one step can reach 2147581\d\d\d, more"):
        Simulator(gained(1.00013), "int8")


def test_the_proof_holds_for_the_largest_amplitude():
    """It fits int32, one more does not."""
    with pytest.raises(UnsupportedError, match="one step can reach 2147483648, more than int32 holds"):
        Simulator(chain(Input((1,), scale=INT32_MAX / 2**14), Neuron()), "int8")


NEURONS = st.builds(
    Neuron, v_threshold=st.floats(-3000, 3000), leak=st.sampled_from((0.0, 0.3, 0.9, 0.9998, 0.99999, 1.0)),
    input_gain=st.sampled_from((1.0, np.array([[[1.5, -0.3]]]), np.array([[[0.1, 0.2]]]))),
    v_leak=st.sampled_from((0.0, 1e4)), v_reset=st.floats(-1e5, 1e5), reset=st.sampled_from(("soft", "hard")),
    reset_delay=st.sampled_from((0, 1)), v_min=st.sampled_from((None, -10.0, 1e5)),
    bits=st.sampled_from((1, 3, 16)),
)


@settings(max_examples=60, deadline=None)
@given(NEURONS, st.integers(1, 4), st.sampled_from((0, 400_000, 13_000_000)), st.integers(0, 12),
       st.integers(0, 99))
def test_membranes_hold_the_proved_steps(neuron, n_steps, slack, turn, seed):
    """Driven as hard as it goes, up and from `turn` on down, for as many steps as are proved (at
    most 12); with the bias this is a tight fit for membranes that forget nothing."""
    weights = np.random.default_rng(seed).integers(-127, 128, 20)
    weights[0] = 127
    gain = max(1.0, np.abs(neuron.input_gain).max())
    bias = max(INT32_MAX // n_steps - slack - gain * TOP * np.abs(weights).sum(), 0) / gain // 1 / 128
    model = chain(Input((20, 1, 2), bits=16, signed=True),
                  Conv2d(weights[None, :, None, None] / 128, [bias]), neuron)
    try:
        simulator = Simulator(model, "int8")
    except UnsupportedError as error:
        assert re.search("one step can reach|does not fit int32|v_threshold of .* is less than half a step",
                         str(error))
        return
    steps = min(simulator.program.safe_steps or 12, 12)
    x = np.where(np.arange(steps) < turn, TOP, -TOP)[None, :, None] * np.sign(weights)
    x = np.stack((x, -x), axis=-1)[:, :, :, None]
    expected = reference.simulate(model, x, "int8")  # raises where a membrane leaves int32
    found = simulator.run(x, record=("potentials", "residuals"))
    assert np.array_equal(found.potentials("n2"), expected.potentials["n2"])
    assert np.array_equal(found.residuals("n2"), expected.residuals["n2"])


@pytest.mark.parametrize("reduce", ("sum", "mean"))
def test_answers_that_overflow_are_infinite_without_a_warning_of_numpy(reduce):
    model = chain(Input((1,)), Dense([[3e38], [-3e38]]), Readout(reduce, leak=0.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = Simulator(model).run(np.ones((1, 3, 1), int), record=("outputs",))
    assert run.outputs[0, -1].tolist() == [np.inf, -np.inf]


# ---- membranes that wrap at 32 bits stand at any number, the threshold that means "never" among them

WRAPS = Chip("wraps", weight_bits=16, membrane_bits=32, membrane_overflow="wrap")


def at_the_top(sign=1, **options):
    """Two channels whose membrane is sign * (2^31 - 1) in the first step; the first one lacks the upper bit."""
    node = Neuron(**{"v_threshold": 100.0, "quantum": 100.0, "bits": [1, 2], "resolution": 1.0, **options})
    return chain(Input((1,)), Dense(np.zeros((2, 1)), np.full(2, sign * (2.0**31 - 1))), node)


@pytest.mark.parametrize("sign, options, sent", (
    (1, {}, [1, 3]), (1, {"reset": "hard"}, [1, 3]), (-1, {"signed": True}, [-1, -3]),
    (1, {"refractory": 1}, [1, 3]), (1, {"bits": 1, "v_threshold": 2.0**31 - 1, "comparison": ">"}, [0, 0]),
))
def test_a_plane_that_a_channel_lacks_never_fires(sign, options, sent):
    model = at_the_top(sign, **options)
    assert_equal_to_reference(model, np.ones((1, 3, 1), int), "fixed", chip=WRAPS)
    assert Simulator(model, chip=WRAPS).run(np.ones((1, 3, 1), int)).levels("n2")[0, 0].tolist() == sent


def test_a_threshold_that_means_never_is_refused_where_it_is_reached():
    with pytest.raises(UnsupportedError,
                       match="^node 'n2' .Neuron.: a threshold is 2147483647 steps, expected less"):
        Simulator(at_the_top(v_threshold=2.0**31 - 1, bits=1), chip=WRAPS)


@pytest.mark.parametrize("precision", ("float32", "int8"))
def test_channels_joined_with_the_loop_that_reads_them(precision):
    """[x, h] into h, as recurrent cells have it: a Dense says how much comes back."""
    rng = np.random.default_rng(0)
    nodes = {"in": Input((2,)), "both": Concat(), "d": Dense(rng.normal(0, 0.6, (3, 5))), "h": Neuron(),
             "out": Readout()}
    edges = [("in", "both"), ("h", "both", 1), ("both", "d"), ("d", "h"), ("h", "out")]
    model, x = Model(nodes, edges), rng.integers(0, 2, (3, 9, 2))
    assert model.shapes["both"] == (5,)
    assert_equal_to_reference(model, x, precision)
    assert Simulator(model, precision).run(x).levels("h").any()
