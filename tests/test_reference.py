"""The reference against closed forms, sums done by hand, and other people's correlations."""

import math

import numpy as np
import pytest
from networks import chain, every_node_models, random_run
from reference import Folded, fixed_point, fixed_points, phi, round_half_away, simulate

from eventsim.errors import UnsupportedError
from eventsim.model import Model
from eventsim.nodes import (
    Add, AvgPool, BatchNorm, Conv1d, Conv2d, Dense, Flatten, Input, MaxPool, Neuron, Readout,
    Restimulation, SumPool,
)

FLOATS = ("float32", "float64")
PRECISIONS = FLOATS + ("int8",)


def driven(neuron, inputs, precision="float64"):
    """Result of one neuron that is given `inputs`, one per step, and its levels as a list."""
    model = chain(Input(1, "real"), neuron, timesteps=len(inputs))
    result = simulate(model, np.array(inputs, dtype=float).reshape(1, -1, 1), precision)
    return result, result.levels["neuron1"].ravel().tolist()


def pulsed(neuron, levels, scale=1.0, weight=1.0, precision="int8"):
    """As `driven`, with integer levels through one synapse."""
    signed = min(levels) < 0
    model = chain(Input(1, "spikes", 8, signed, scale), Dense([[weight]]), neuron)
    result = simulate(model, np.array(levels).reshape(1, -1, 1), precision)
    return result, result.levels["neuron2"].ravel().tolist()


# ---- neurons


@pytest.mark.parametrize("theta", [0.5, 1.0])
@pytest.mark.parametrize("reset, n_spikes", [("soft", 3), ("hard", 4)])
def test_figure_2_of_the_paper(theta, reset, n_spikes):
    """InfLoR-SNN, Figure 2: SRIF (delta = 2 theta, soft) sends 3 spikes, hard-reset IF 4."""
    inputs = theta * np.array([1.5, 1.2, 1.5, 0.9, 1.4])
    neuron = Neuron(theta, reset=reset, quantum=2 * theta)
    assert sum(driven(neuron, inputs)[1]) == n_spikes


@pytest.mark.parametrize("current", [0.125, 0.25, 0.375, 0.75, 1.0])
@pytest.mark.parametrize("precision", FLOATS)
def test_soft_reset_loses_nothing(current, precision):
    """An IF neuron under a constant (dyadic) input has sent floor(t * current / theta) spikes."""
    _, levels = driven(Neuron(), [current] * 40, precision)
    assert np.cumsum(levels).tolist() == [math.floor(t * current) for t in range(1, 41)]


def test_hard_reset_has_its_period():
    """Input 0.375 passes 1 at every third step and forgets the rest."""
    assert driven(Neuron(reset="hard"), [0.375] * 9)[1] == [0, 0, 1] * 3


def test_leak_decays_geometrically():
    result, _ = driven(Neuron(10.0, leak=0.5, quantum=10.0), [1, 0, 0, 0])
    assert result.potentials["neuron1"].ravel().tolist() == [1, 0.5, 0.25, 0.125]


def test_v_leak_draws_the_membrane():
    """H = H / 2 + 0.5 * v_leak approaches v_leak by halves; the gain does not touch it."""
    node = Neuron(10.0, leak=0.5, v_leak=4.0, input_gain=3.0, quantum=10.0)
    result, _ = driven(node, [0, 0, 1])
    assert result.potentials["neuron1"].ravel().tolist() == [2, 3, 3.5 + 3]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_multi_bit_rounds_to_nearest_with_ties_up(precision):
    """theta = delta / 2: k = clip(floor(H / delta + 1/2), 0, 2^B - 1)."""
    halves = np.arange(-3, 10)  # of a quantum
    node = Neuron(0.25, quantum=0.5, bits=2, leak=0.0, reset="hard")
    _, levels = pulsed(node, halves, scale=0.25, precision=precision)
    assert levels == [min(max(math.floor(h / 2 + 0.5), 0), 3) for h in halves.tolist()]


def test_theta_equal_to_delta_rounds_down():
    node = Neuron(0.5, quantum=0.5, bits=2, leak=0.0, reset="hard")
    assert driven(node, [0.49, 0.5, 0.99, 1.0, 1.5, 9])[1] == [0, 1, 1, 2, 3, 3]


def test_what_clipping_leaves_stays_in_the_membrane():
    result, levels = driven(Neuron(0.5, bits=2), [5.25, 0, 0])
    assert levels == [3, 2, 0]
    assert result.residuals["neuron1"].ravel().tolist() == [2.25, 0.25, 0.25]


def test_bits_per_channel_clip_each_channel():
    model = chain(Input(3, "real"), Neuron(bits=[1, 2, 3]), timesteps=1)
    result = simulate(model, np.full((1, 3), 100.0), "float32")
    assert result.levels["neuron1"].ravel().tolist() == [1, 3, 7]


def test_strict_comparison():
    assert driven(Neuron(leak=0.0, reset="hard"), [1.0, 1.5])[1] == [1, 1]
    assert driven(Neuron(leak=0.0, reset="hard", comparison=">"), [1.0, 1.5])[1] == [0, 1]
    assert pulsed(Neuron(leak=0.0, reset="hard", comparison=">"), [1, 2])[1] == [0, 1]


def test_signed_levels_mirror():
    inputs = [0.4, 0.5, -0.5, -1.7, 2.6]
    node = Neuron(0.5, bits=2, signed=True, leak=0.0)
    _, levels = driven(node, inputs)
    assert levels == [0, 1, -1, -2, 3]
    assert driven(node, [-v for v in inputs])[1] == [-k for k in levels]


def test_reset_delay_soft():
    """The reset reaches the membrane a step late, after the leak (snnTorch)."""
    result, levels = driven(Neuron(leak=0.5, reset_delay=1), [1.5, 1.0, 0.0])
    # H0 = 1.5 fires; H1 = 0.75 + 1 - 1 = 0.75; H2 = 0.375
    assert levels == [1, 0, 0]
    assert result.potentials["neuron1"].ravel().tolist() == [1.5, 0.75, 0.375]
    assert result.residuals["neuron1"].ravel().tolist() == [1.5, 0.75, 0.375]


def test_reset_delay_soft_of_signed_levels():
    result, levels = driven(Neuron(0.5, signed=True, reset_delay=1, bits=2), [-2.0, 0.25])
    assert levels == [-2, 0]
    assert result.potentials["neuron1"].ravel().tolist() == [-2, 0.25]


def test_reset_delay_hard():
    result, levels = driven(Neuron(reset="hard", v_reset=0.25, reset_delay=1), [1.5, 9, 1])
    # the step after a spike is at v_reset, whatever arrives
    assert levels == [1, 0, 1]
    assert result.potentials["neuron1"].ravel().tolist() == [1.5, 0.25, 1.25]


def test_refractory():
    """After a spike, two steps without input, leak or spike."""
    result, levels = driven(Neuron(leak=0.5, refractory=2), [1.5, 9, 9, 0.25, 1])
    assert levels == [1, 0, 0, 0, 1]
    assert result.potentials["neuron1"].ravel().tolist() == [1.5, 0.5, 0.5, 0.5, 1.25]
    assert result.residuals["neuron1"].ravel().tolist() == [0.5, 0.5, 0.5, 0.5, 0.25]


def test_v_min_limits_what_is_kept():
    result, _ = driven(Neuron(v_min=-0.5), [-2, 0.25])
    assert result.potentials["neuron1"].ravel().tolist() == [-2, -0.25]
    assert result.residuals["neuron1"].ravel().tolist() == [-0.5, -0.25]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_mpr_keeps_the_spikes_at_one_half(precision):
    """The firing invariance of InfLoR-SNN: phi(1/2) = 1/2."""
    levels = np.random.default_rng(0).integers(-100, 160, 200)
    plain, rectified = (
        pulsed(Neuron(0.5, rectify=rectify), levels, 1 / 64, precision=precision)[1]
        for rectify in (False, True)
    )
    assert plain == rectified and 0 < sum(plain) < 200


def test_mpr_moves_other_thresholds():
    """phi(0.75) > 0.8 > 0.75, so that theta = 0.8 fires at 0.75; the membrane keeps H."""
    assert phi(0.75) > 0.8
    result, levels = driven(Neuron(0.8, rectify=True), [0.75])
    assert levels == [1] and result.residuals["neuron1"].ravel()[0] == 0.75 - 1
    assert driven(Neuron(0.8), [0.75])[1] == [0]


def test_phi_is_continuous_and_invariant_at_one_half():
    assert phi(0.5) == 0.5 and phi(8) == 2 and phi(-7) == -1
    for knot in (0.0, 1.0):
        assert abs(phi(knot - 1e-12) - phi(knot)) < 1e-3
    assert all(phi(u / 50) <= phi((u + 1) / 50) for u in range(-100, 150))


# ---- synapses


def _correlated(x, weight, stride, padding, dilation, groups):
    """Cross-correlation of (C, H, W) maps by slices of a padded array."""
    x = np.pad(x, [(0, 0)] + [(p, p) for p in padding])
    n_out, per_group, height, width = weight.shape
    spans = [dilation[0] * (height - 1) + 1, dilation[1] * (width - 1) + 1]
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, (1, 2))
    windows = windows[:, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    windows = windows.reshape(groups, per_group, *windows.shape[1:])
    weight = weight.reshape(groups, n_out // groups, per_group, height, width)
    out = np.einsum("gcyxhw,gochw->goyx", windows, weight)
    return out.reshape(n_out, *out.shape[2:])


@pytest.mark.parametrize("stride, padding, dilation, groups", [
    ((1, 1), (0, 0), (1, 1), 1),
    ((2, 1), (1, 2), (1, 1), 2),
    ((1, 3), (2, 0), (2, 1), 1),
    ((2, 2), (1, 1), (1, 2), 4),
])
def test_conv2d_is_cross_correlation(stride, padding, dilation, groups):
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(8, 4 // groups, 3, 2))
    bias = rng.normal(size=8)
    conv = Conv2d(weight, bias, stride, padding, dilation, groups)
    model = chain(Input((4, 7, 6), "spikes", 3, scale=0.3), conv, Readout("last"), timesteps=1)
    x = rng.integers(0, 8, (2, 4, 7, 6))
    found = simulate(model, x, "float64").output
    for sample, answer in zip(x, found):
        expected = _correlated(0.3 * sample, weight, stride, padding, dilation, groups)
        np.testing.assert_allclose(answer, (expected + bias[:, None, None]).ravel(), atol=1e-12)


def test_conv1d_is_numpys_correlate():
    rng = np.random.default_rng(2)
    weight, x = rng.normal(size=(1, 1, 5)), rng.integers(0, 2, (1, 1, 20))
    model = chain(Input((1, 20)), Conv1d(weight, padding=2), Readout("last"), timesteps=1)
    expected = np.correlate(x.ravel(), weight.ravel(), "same")
    np.testing.assert_allclose(simulate(model, x, "float64").output.ravel(), expected, atol=1e-12)


@pytest.mark.parametrize("divide", [True, False])
def test_pooling_a_current_is_pooling_its_value(divide):
    """AvgPool and SumPool after a padded, strided convolution, composed or not."""
    rng = np.random.default_rng(3)
    weight, bias = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=3)
    conv = Conv2d(weight, bias, stride=(1, 2), padding=1)
    pool = (AvgPool if divide else SumPool)((2, 3), (2, 1))
    node = Input((2, 8, 9), "image", 4, scale=1 / 15, mean=0.4, std=[0.5, 0.2])
    model = chain(node, conv, pool, Readout("last"), timesteps=1)
    x = rng.integers(0, 16, (1, 2, 8, 9))
    image = (x[0] / 15 - 0.4) / np.array([0.5, 0.2])[:, None, None]
    maps = _correlated(image, weight, (1, 2), (1, 1), (1, 1), 1) + bias[:, None, None]
    windows = np.lib.stride_tricks.sliding_window_view(maps, (2, 3), (1, 2))[:, ::2]
    expected = windows.mean((3, 4)) if divide else windows.sum((3, 4))
    found = simulate(model, x, "float64").output[0]
    np.testing.assert_allclose(found, expected.ravel(), atol=1e-10)


def test_batch_norm_before_and_after_synapses():
    rng = np.random.default_rng(4)
    norms = [
        BatchNorm(rng.normal(size=3), rng.normal(size=3), rng.normal(size=3), rng.uniform(1, 2, 3),
                  scale=0.5) for _ in range(2)
    ]

    def applied(norm, maps):
        per_channel = [v[:, None, None] for v in
                       (norm.weight, norm.bias, norm.running_mean, norm.running_var)]
        weight, bias, mean, var = per_channel
        return weight * norm.scale * (maps - mean) / np.sqrt(var + norm.eps) + bias

    weight = rng.normal(size=(3, 3, 3, 3))
    model = chain(Input((3, 5, 5), "spikes", 2), norms[0], Conv2d(weight, padding=1), norms[1],
                  Readout("last"), timesteps=1)
    x = rng.integers(0, 4, (1, 3, 5, 5))
    maps = _correlated(applied(norms[0], x[0]), weight, (1, 1), (1, 1), (1, 1), 1)
    np.testing.assert_allclose(
        simulate(model, x, "float64").output[0], applied(norms[1], maps).ravel(), atol=1e-10
    )


def test_float32_adds_in_the_stated_order():
    """Row, column, channel: not the order C, H, W in which a Flatten numbers its inputs."""
    # channel 0 at the two positions: 1e8, -1e8; channel 1: 1, 0
    weight = [[1e8, -1e8, 1.0, 0.0]]
    model = chain(Input((2, 1, 2)), Flatten(), Dense(weight), Readout("last"), timesteps=1)
    x = np.ones((1, 2, 1, 2), int)
    assert simulate(model, x, "float32").output.ravel().tolist() == [0.0]  # 1e8 + 1 - 1e8
    assert simulate(model, x, "float64").output.ravel().tolist() == [1.0]


# ---- pools, sums, delays


def _levels_of(node, x, bits=4, signed=True):
    model = Model({"in": Input(x.shape[1:], "spikes", bits, signed), "pool": node, "flat": Flatten(),
                   "out": Readout()}, [("in", "pool"), ("pool", "flat"), ("flat", "out")])
    return simulate(model, x, "float64").levels["pool"][:, 0]


def test_pools_by_hand():
    x = np.array([[[[1, -2, 3], [0, 5, -6], [-7, -8, -9]]]])
    assert _levels_of(SumPool(2, 1), x).ravel().tolist() == [4, 0, -10, -18]
    assert _levels_of(AvgPool(2, 1), x).ravel().tolist() == [4, 0, -10, -18]
    assert _levels_of(MaxPool(2, 1), x).ravel().tolist() == [5, 5, 5, 5]
    assert _levels_of(MaxPool(2, 2, 0, True), x).ravel().tolist() == [5, 3, -7, -9]
    assert _levels_of(SumPool(2, 2, 1), x).ravel().tolist() == [1, 1, -7, -18]


def test_padding_never_wins_a_max_pool():
    x = np.full((1, 1, 2, 2), -3)
    assert _levels_of(MaxPool(2, 2, 1), x).ravel().tolist() == [-3] * 4


def test_average_pool_divides_the_quantum():
    model = chain(Input((1, 2, 2), "spikes", 2), AvgPool(2), Flatten(), Readout("last"))
    assert simulate(model, [[[[3, 1], [0, 2]]]], "float64").output.ravel().tolist() == [1.5]


def _two_trains(scale):
    nodes = {"in": Input(2, "spikes", 2), "n": Neuron(output_quantum=scale), "sum": Add(),
             "d": Dense([[1, 10]]), "out": Readout("last")}
    edges = [("in", "n"), ("in", "sum"), ("n", "sum", 1), ("sum", "d"), ("d", "out")]
    return Model(nodes, edges, 2)


def test_add_of_equal_quanta_has_levels():
    result = simulate(_two_trains(1.0), [[3, 1]], "float64")
    assert result.levels["sum"].tolist() == [[[3, 1], [4, 2]]]
    assert result.outputs.ravel().tolist() == [13, 24]
    assert result.counts["out"]["synops"].tolist() == [4]


def test_add_of_unequal_quanta_is_two_paths():
    result = simulate(_two_trains(0.5), [[3, 1]], "float64")
    assert "sum" not in result.levels
    assert result.outputs.ravel().tolist() == [13, 13 + 5.5]
    assert result.counts["out"]["synops"].tolist() == [6]


def test_delays_on_spikes_and_on_currents_add_up():
    model = chain(Input(1), Dense([[1.0]]), Readout("last"), delays={1: 1, 2: 2}, timesteps=5)
    result = simulate(model, np.array([1, 0, 1, 0, 0]).reshape(1, 5, 1), "float64")
    assert result.outputs.ravel().tolist() == [0, 0, 0, 1, 0]
    assert result.counts["readout2"]["synops"].tolist() == [1]  # the second arrives after the end
    assert result.counts["input0"]["events"].tolist() == [2]


def test_delayed_bias_and_offset_begin_late():
    """A delayed current brings its bias late; an undelayed one has it from the start."""
    nodes = {"in": Input(1, "image", 1, mean=0.25), "a": Dense([[1.0]], [10.0]),
             "b": Dense([[1.0]], [100.0]), "out": Readout("last")}
    edges = [("in", "a", 1), ("a", "out"), ("in", "b"), ("b", "out", 2)]
    result = simulate(Model(nodes, edges, 3), [[1]], "float64")
    assert result.outputs.ravel().tolist() == [10, 10.75, 10.75 + 100.75]


def test_recurrent_synapse_sees_the_step_before():
    nodes = {"in": Input(1), "n": Neuron(), "back": Dense([[-0.5]])}
    edges = [("in", "n"), ("n", "back"), ("back", "n", 1)]
    result = simulate(Model(nodes, edges, 4), [[1]], "float64")
    assert result.potentials["n"].ravel().tolist() == [1, 0.5, 1.5, 1.0]
    assert result.output.ravel().tolist() == [3]


# ---- restimulation


def test_restimulation_by_hand():
    """m = (1, 1/2) quanta of 1/2, kernel (0, 2, 0): z = (1, 1/2)."""
    nodes = {"in": Input((2, 1, 2), "spikes", 2, scale=0.5), "again": Restimulation([0, 2.0, 0]),
             "flat": Readout("last")}
    model = Model(nodes, [("in", "again"), ("again", "flat")], 1)
    x = np.array([[[[3, 1]], [[0, 2]]]])
    g = [math.floor(256 / (1 + math.exp(-z)) + 0.5) / 256 for z in (2 * 0.5 * 4 / 2, 2 * 0.5 * 2 / 2)]
    result = simulate(model, x, "float64")
    assert result.output.ravel().tolist() == [1.5 * g[0], 0.5 * g[0], 0, 1.0 * g[1]]
    assert result.counts["flat"]["multiplications"].tolist() == [3 * 2 + 2]


def test_weighted_restimulation_by_hand():
    """A strided 1x1 convolution reads one position; its product is scaled by g at the end."""
    again = Restimulation([1.0], np.array([2.0, -1.0]).reshape(1, 2, 1, 1), (2, 2))
    model = chain(Input((2, 2, 2), "spikes", 2), again, Readout("last"), timesteps=1)
    x = np.array([[[[3, 9], [9, 9]], [[1, 9], [9, 9]]]]) % 4
    g = math.floor(256 / (1 + math.exp(-5)) + 0.5) / 256
    result = simulate(model, x, "float64")
    assert result.output.ravel().tolist() == [5 * g]
    assert result.counts["readout2"]["multiplications"].tolist() == [1 * 1 + 1]


# ---- fixed point


@pytest.mark.parametrize("value, expected", [(0.5, 1), (-0.5, -1), (2.5, 3), (-2.4, -2), (0, 0)])
def test_round_half_away(value, expected):
    assert round_half_away(value) == expected


def test_just_below_one_half_rounds_to_zero():
    assert round_half_away(0.49999999999999994) == 0


def test_integer_scale_by_hand():
    """Weights 0.5 and -1, delta 1: 127.5 D^-1 >= 0.5, 128.5 D^-1 > 1: D = 128 (even)."""
    model = chain(Input(2), Dense([[0.5, -1.0], [0.0, 0.0], [1.0, 0.25]]), Neuron())
    assert fixed_points(model)["neuron2"].tolist() == [128, 1 << 14, 126]
    result = simulate(model, [[1, 1]], "int8", 1)
    # channel 0: 64 - 128 of 128; channel 2: 126 + rha(31.5) = 158 of 126, one spike
    assert result.potentials["neuron2"].ravel().tolist() == [-64, 0, 158]
    assert result.residuals["neuron2"].ravel().tolist() == [-64, 0, 32]
    assert result.potentials["neuron2"].dtype == np.int32


def test_quantum_scales_the_fixed_point():
    model = chain(Input(1), Dense([[1.0], [1.0]]), Neuron(quantum=[1.0, 0.5]))
    assert fixed_points(model)["neuron2"].tolist() == [126, 62]  # 1 * D / 0.5 <= 127.5: 62


def test_large_weights_take_16_bits():
    model = chain(Input(1), Dense([[9.0], [1.0]]), Neuron())
    assert fixed_point(Folded(model).layers["neuron2"])[1] == 16
    # 9 D rounds to at most 32767: 3640; 1 D at most 2^14
    assert fixed_points(model)["neuron2"].tolist() == [3640, 1 << 14]


def test_weights_beyond_16_bits_are_refused():
    model = chain(Input(1), Dense([[20000.0]]), Neuron())
    with pytest.raises(UnsupportedError, match="too large for 16 bits"):
        simulate(model, [[1]], "int8")


def test_integer_leak_rounds_to_zero():
    """D = 16384 * 1: leak 0.5 of an odd membrane loses half a unit toward zero."""
    model = chain(Input(1, "spikes", 1, True), Neuron(10.0, leak=0.5, quantum=1 / 3), timesteps=2)
    x = np.array([1, 0]).reshape(1, 2, 1)
    for sign in (1, -1):
        result = simulate(model, sign * x, "int8")
        assert result.potentials["neuron1"].ravel().tolist() == [sign * 49152, sign * 24576]
    result, _ = pulsed(Neuron(10.0, leak=0.5, quantum=10.0), [-1, 0], weight=127 / 16384 * 10)
    assert result.potentials["neuron2"].ravel().tolist() == [-127, -63]


def test_readout_scale_and_answers():
    nodes = [Input(1), Dense([[0.5], [-0.25]], [0.1, 0.0])]
    for reduce, expected in (("sum", 3), ("mean", 1), ("last", 1)):
        model = chain(*nodes, Readout(reduce), timesteps=3)
        assert fixed_points(model)["readout2"] == 254.0
        answer = simulate(model, [[1]], "int8").output.ravel()
        value = np.array([127 + round_half_away(25.4), -64])
        assert answer.tolist() == (expected * value / 254.0).tolist()


def test_real_input_is_refused_in_integers():
    with pytest.raises(UnsupportedError, match="real numbers in int8"):
        simulate(chain(Input(1, "real"), Neuron()), [[1.0]], "int8")


# ---- refusals


@pytest.mark.parametrize("nodes, message", [
    ((Input((1, 4, 4), "image", mean=0.5), SumPool(2), Readout()), "sum pooling"),
    ((Input((1, 4, 4), "image", mean=0.5), AvgPool(2, 2, 1), Readout()), "padded average"),
    ((Input((1, 4, 4), "image", mean=0.5), Restimulation([1.0]), Readout()), "one train"),
    ((Input((1, 4, 4)), Restimulation([1.0]), Flatten(), Readout()), "leads only into"),
    ((Input((1, 4, 4)), Conv2d(np.ones((1, 1, 1, 1))), AvgPool(2, 1, 1), Readout()), "padded pooling"),
    ((Input((1, 5, 5)), Conv2d(np.ones((1, 1, 1, 1))), SumPool(2, 2, 0, True), Readout()), "ceil_mode"),
])
def test_refusals(nodes, message):
    with pytest.raises(UnsupportedError, match=message):
        Folded(chain(*nodes))


# ---- counts


def test_counts_of_a_tiny_net_by_hand():
    """Two pixels of 2 bits into 3 neurons with a shortcut, then a Readout; two steps."""
    nodes = {
        "in": Input((2, 1, 1), "spikes", 2), "flat": Flatten(),
        "d": Dense([[1, 0], [1, 1], [0, 0]]), "n": Neuron(leak=0.5, bits=3),
        "d2": Dense([[1, 1, 0], [0, 0, 0]]), "out": Readout("sum", leak=1.0),
    }
    edges = [("in", "flat"), ("flat", "d"), ("d", "n"), ("n", "d2"), ("d2", "out")]
    x = np.array([[3, 1], [0, 2]]).reshape(1, 2, 2, 1, 1)
    result = simulate(Model(nodes, edges, 2), x, "float64")
    # step 0: H = 3, 4, 0, sent whole; step 1: H = 0, 2, 0
    assert result.levels["n"].tolist() == [[[3, 4, 0], [0, 2, 0]]]
    counts = {row: {k: int(v[0]) for k, v in of.items()} for row, of in result.counts.items()}
    assert counts["in"] == {**dict.fromkeys(counts["in"], 0), "events": 3}
    assert counts["n"] == {
        "events": 3, "synops": 9, "nonzero_synops": 2 + 1 + 1, "additions": (2 + 1 + 1) * 3,
        "doublings": 3 * 2, "macs": 0, "multiplications": 3 * 2, "neuron_updates": 6,
        "dense_macs": 12,
    }
    assert counts["out"] == {
        "events": 0, "synops": 6, "nonzero_synops": 3, "additions": (2 + 1 + 1) * 2,
        "doublings": 2 * 2 * 2, "macs": 0, "multiplications": 0, "neuron_updates": 4,
        "dense_macs": 12,
    }


def test_border_neurons_have_fewer_targets():
    """3x3 kernel, padding 1: a corner reaches 4 outputs, an edge 6, the middle 9."""
    model = chain(Input((1, 3, 3)), Conv2d(np.ones((1, 1, 3, 3)), padding=1), Readout(), timesteps=1)
    for at, fan_out in (((0, 0), 4), ((0, 1), 6), ((1, 1), 9)):
        x = np.zeros((1, 1, 3, 3), int)
        x[0, 0][at] = 1
        counts = simulate(model, x, "float32").counts["readout2"]
        assert counts["synops"].tolist() == [fan_out]
        assert counts["dense_macs"].tolist() == [4 * 4 + 4 * 6 + 9]


def test_real_inputs_multiply():
    model = chain(Input(2, "real"), Dense([[1, 0], [2, 3]]), Readout(), timesteps=3)
    counts = simulate(model, [[0.5, 0.0]], "float32").counts
    assert counts["input0"]["events"].tolist() == [3]
    readout = {k: int(v[0]) for k, v in counts["readout2"].items()}
    assert readout["macs"] == readout["synops"] == readout["nonzero_synops"] == 6
    assert readout["additions"] == readout["doublings"] == 0


# ---- properties


def test_predictions_take_the_lowest_index():
    model = chain(Input(1), Dense([[0.0], [1.0], [1.0]]), Readout("sum"), timesteps=1)
    assert simulate(model, [[1]], "float32").predictions.tolist() == [1]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", every_node_models())
def test_named_networks_run(name, precision):
    model, x = every_node_models()[name]
    if precision == "int8" and model.nodes[model.input].encoding == "real":
        pytest.skip("int8 refuses real inputs")
    result = simulate(model, x, precision)
    stored = np.int32 if precision == "int8" else np.dtype(precision)
    for trace in (result.potentials, result.residuals):
        assert all(array.dtype == stored for array in trace.values())
    expected = np.float64 if precision == "int8" or model.output not in result.counts else precision
    if isinstance(model.nodes[model.output], Readout):
        assert result.outputs.dtype == expected
    for layer, node in model.nodes.items():
        if isinstance(node, Neuron):
            assert result.counts[layer]["events"].sum() == np.count_nonzero(result.levels[layer])
            assert result.counts[layer]["events"].sum() > 0, layer


def test_drawn_networks_mostly_spike():
    """The draws are valid, and their layers neither silent nor saturated as a rule."""
    rates = []
    for seed in range(60):
        model, x, timesteps = random_run(seed)
        levels = simulate(model, x, "float32", timesteps).levels
        neurons = [name for name, node in model.nodes.items() if isinstance(node, Neuron)]
        rates += [np.mean(levels[name] != 0) for name in neurons]
    rates = np.array(rates)
    assert np.mean((rates > 0) & (rates < 1)) > 0.6
