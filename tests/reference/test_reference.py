"""The reference against closed forms, sums done by hand, and other people's correlations."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from networks import chain, every_node_models, random_run
from reference import (
    Folded, bounds_of, divided, fixed_point, fixed_points, limited, phi, round_half_away, simulate,
)
from support.sources import imports, source

from eventsim.errors import RunError, UnsupportedError
from eventsim.model.chip import find_chip, Chip
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Alpha, Neuron, Readout, SigmaDelta
from eventsim.model.synapses import Conv1d, Conv2d, Dense, Restimulation
from eventsim.model.transforms import Add, AvgPool, BatchNorm, Delay, Flatten, MaxPool, SumPool

FLOATS = ("float32", "float64")
PRECISIONS = FLOATS + ("int8",)
NETWORKS = every_node_models()
OWN = [path for path in sorted(Path(__file__).parent.glob("*.py")) if not path.name.startswith("test_")]


def foreign(path, text):
    """Imports of a reference module that could bring the engine's code with them."""
    allowed = {"numpy", "reference", "eventsim"} | set(sys.stdlib_module_names)
    return [
        f"tests/reference/{path}:{found.lineno}: imports {found.module or found.library}"
        for found in imports(source(f"tests/reference/{path}", text))
        if found.library not in allowed
        or found.module and not f"{found.module}.".startswith(("model.", "errors."))
    ]


def test_the_reference_shares_no_code_with_the_engine():
    assert len(OWN) == 7
    assert not [line for path in OWN for line in foreign(path.name, path.read_text())]


@pytest.mark.parametrize("text", (
    "from eventsim.kernels import firing", "def f():\n    import eventsim.lowering.rounding",
    "from eventsim import Simulator", "from networks import chain", "import numba", "import eventsim",
))
def test_shared_code_is_found(text):
    assert len(foreign("run.py", text)) == 1


def driven(neuron, inputs, precision="float64"):
    """Result of one neuron that is given `inputs`, one per step, and its levels as a list."""
    model = chain(Input(1, "real"), neuron, timesteps=len(inputs))
    result = simulate(model, np.array(inputs, dtype=float).reshape(1, -1, 1), precision)
    return result, result.levels[f"{neuron.kind.lower()}1"].ravel().tolist()


def traces(result, name):
    """(currents, potentials, residuals) of a layer of one neuron and one sample, as lists."""
    kinds = (result.currents, result.potentials, result.residuals)
    return tuple(kind[name].ravel().tolist() for kind in kinds)


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


def test_without_a_reset_a_membrane_goes_on():
    """Input 0.375, leak 1/2: the membrane nears 0.75, and 0.7 is passed at the fourth step for good."""
    node = Neuron(0.7, leak=0.5, reset="none")
    assert driven(node, [0.375] * 6)[1] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("options", [{"bits": 2}, {"reset_delay": 1}])
def test_without_a_reset_levels_and_late_resets_mean_nothing(options):
    with pytest.raises(UnsupportedError, match="reset 'none' with several bits or with reset_delay"):
        Neuron(reset="none", **options)


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


# ---- synaptic currents, biases, periodic resets


def test_synaptic_current_decays_and_feeds_the_membrane():
    """I = I / 2 + 2 x, H = U + I + 1/4; the gain acts before the current, the bias after it."""
    node = Neuron(100.0, current_leak=0.5, bias=0.25, input_gain=2.0)
    currents, potentials, _ = traces(driven(node, [1, 0, 0, 1])[0], "neuron1")
    assert currents == [2, 1, 0.5, 2.25]
    assert potentials == [2.25, 3.5, 4.25, 6.75]


def test_without_a_synaptic_current_the_bias_is_part_of_the_input():
    currents, potentials, _ = traces(driven(Neuron(100.0, bias=0.25), [1, 0])[0], "neuron1")
    assert currents == [1.25, 0.25] and potentials == [1.25, 1.5]


def test_bias_and_leak_potential_are_one_constant():
    """leak 1/2, v_leak 4: a pull of 2 beside the bias of 1; a synaptic current of no memory."""
    node = Neuron(100.0, leak=0.5, v_leak=4.0, bias=1.0, current_leak=0.0)
    currents, potentials, _ = traces(driven(node, [1, 1])[0], "neuron1")
    assert currents == [1, 1] and potentials == [4, 6]


@pytest.mark.parametrize("current_leak, expected", [(None, 0), (0.0, 1)])
def test_where_the_bias_is_added_in_float32(current_leak, expected):
    """Past the current it is added last: (-1e8 + 1e8) + 1; as part of the input it is lost in it."""
    node = Readout("last", leak=1.0, bias=1.0, current_leak=current_leak)
    model = chain(Input(1, "real"), node, timesteps=2)
    x = np.array([-1e8, 1e8]).reshape(1, 2, 1)
    assert simulate(model, x, "float32").output.ravel().tolist() == [expected]


def test_readout_with_a_synaptic_current():
    node = Readout("sum", leak=0.5, current_leak=0.5, bias=1.0)
    model = chain(Input(1, "real"), node, timesteps=3)
    result = simulate(model, np.array([2.0, 0, 0]).reshape(1, 3, 1), "float64")
    assert traces(result, "readout1") == ([2, 1, 0.5], [3, 3.5, 3.25], [3, 3.5, 3.25])
    assert result.outputs.ravel().tolist() == [3, 6.5, 9.75]


def test_periodic_reset_clears_current_and_membrane():
    """Before steps 1 and 4; what the answer has summed stays."""
    node = Neuron(100.0, current_leak=1.0, reset_interval=3, reset_offset=1)
    currents, potentials, _ = traces(driven(node, [1] * 5)[0], "neuron1")
    assert currents == [1, 1, 2, 3, 1] and potentials == [1, 1, 3, 6, 1]
    model = chain(Input(1, "real"), Readout("sum", leak=1.0, reset_interval=2), timesteps=4)
    outputs = simulate(model, np.ones((1, 4, 1)), "float64").outputs
    assert outputs.ravel().tolist() == [1, 3, 4, 6]


def test_periodic_reset_ends_what_waits():
    node = Neuron(refractory=5, reset_interval=2)
    assert driven(node, [1.5] * 4)[1] == [1, 0, 1, 0]
    node = Neuron(reset_delay=1, reset_interval=2, reset_offset=1)
    result, levels = driven(node, [1.5, 1.0, 0.25])
    assert levels == [1, 1, 0]  # the second spike owes 1: 1 + 0.25 - 1
    assert result.potentials["neuron1"].ravel().tolist() == [1.5, 1, 0.25]


def test_refractory_neurons_keep_their_current():
    node = Neuron(current_leak=0.5, refractory=1, reset="hard")
    currents, potentials, _ = traces(driven(node, [1, 1, 0])[0], "neuron1")
    assert currents == [1, 1.5, 0.75] and potentials == [1, 0, 0.75]


# ---- sigma-delta


def test_delta_sends_changes_of_its_input():
    """a = 0.5, 0.625, 2, 0 (rectified); 0.625 is no change of 1/4, so the next one is sent in full."""
    node = SigmaDelta("delta", 0.25, quantum=0.25)
    result, levels = driven(node, [0.5, 0.625, 2, -1])
    assert levels == [2, 0, 6, -8]
    assert traces(result, "sigmadelta1") == (
        [0.5, 0.625, 2, -1], [0.5, 0.625, 2, 0], [0, 0.125, 0, 0]
    )


def test_sigma_delta_sums_changes():
    """S = 1, 1.5, -1.5; a = S - 1/2, rectified; the bias is no part of S."""
    node = SigmaDelta("sigma_delta", bias=-0.5, quantum=0.5)
    result, levels = driven(node, [1, 0.5, -3])
    assert levels == [1, 1, -2]
    assert result.potentials["sigmadelta1"].ravel().tolist() == [0.5, 1, 0]
    plain = SigmaDelta("sigma_delta", bias=-0.5, quantum=0.5, rectify=False)
    assert driven(plain, [1, 0.5, -3])[1] == [1, 1, -6]


def test_what_floor_and_the_width_cut_off_is_lost():
    """-0.375 / 0.25 is floored to -2; 5 quanta in 2 bits are 3; `sent` knows the whole change."""
    node = SigmaDelta("delta", quantum=0.25, bits=2, rectify=False)
    result, levels = driven(node, [-0.375, 0.875, -4, -4])
    assert levels == [-2, 3, -3, 0]
    assert result.residuals["sigmadelta1"].ravel().tolist() == [0] * 4


def test_periodic_reset_of_a_sigma_delta():
    node = SigmaDelta("sigma_delta", reset_interval=2)
    assert driven(node, [1, 1, 1, 1])[1] == [1, 1, 1, 1]
    result, _ = driven(node, [1, 1, 1, 1])
    assert result.potentials["sigmadelta1"].ravel().tolist() == [1, 2, 1, 2]


# ---- delays of single neurons


def test_delays_by_channel_and_neuron():
    x = np.array([[1, 2], [3, 1], [2, 3], [0, 0]]).reshape(1, 4, 2, 1)
    for steps in ([2, 1], [[2], [1]]):
        model = chain(Input((2, 1), "spikes", 2), Delay(steps), Readout("last"))
        result = simulate(model, x, "float64")
        assert result.levels["delay1"].reshape(4, 2).tolist() == [[0, 0], [0, 2], [1, 1], [3, 3]]
        assert result.outputs.reshape(4, 2).tolist() == [[0, 0], [0, 2], [1, 1], [3, 3]]


def test_one_delay_for_all_adds_to_that_of_the_edge():
    model = chain(Input(1), Delay(2), Dense([[1.0]], [0.5]), Readout("last"), delays={2: 1})
    result = simulate(model, np.array([1, 0, 0, 0]).reshape(1, 4, 1), "float64")
    assert result.outputs.ravel().tolist() == [0.5, 0.5, 0.5, 1.5]


def test_delay_in_a_loop():
    """A neuron that reads itself 1 and 2 steps later, by channel."""
    nodes = {"in": Input(2), "n": Neuron(leak=0.0, reset="hard"), "late": Delay([0, 1])}
    model = Model(nodes, [("in", "n"), ("n", "late"), ("late", "n", 1)], 6)
    x = np.zeros((1, 6, 2), int)
    x[0, 0] = 1
    levels = simulate(model, x, "float64").levels["n"][0]
    assert levels.T.tolist() == [[1, 1, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0]]


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


def _maxima_of(pool, weight, bias, x, precision="float64", after=(), **input_):
    """What reaches a membrane, of one sample over its steps: conv, pool, whatever follows."""
    x = np.asarray(x)
    model = chain(Input(x.shape[1:], **input_), Conv2d(weight, bias), pool, *after, Neuron(1e6, quantum=1e6))
    result = simulate(model, x[np.newaxis], precision)
    return result.currents[model.output][0] / result.steps_per_unit[model.output].reshape(-1, 1, 1)


def test_a_maximum_of_a_current_by_hand():
    x = [[[[1, 2, 3], [0, 5, 6], [7, 8, 9]]]]
    two = [[[[2.0]]], [[[-1.0]]]]
    found = _maxima_of(MaxPool(2, 1), two, [0.5, -4.0], x, bits=4)
    assert found[0].tolist() == [[[10.5, 12.5], [16.5, 18.5]], [[-4, -6], [-4, -9]]]
    padded = _maxima_of(MaxPool(2, 2, 1), two, [0.5, -4.0], x, bits=4)  # padding, 0, would win over the second
    assert padded[0].tolist() == [[[2.5, 6.5], [14.5, 18.5]], [[-5, -6], [-4, -9]]]
    ceiled = _maxima_of(MaxPool(2, 2, 0, True), two, None, x, bits=4)
    assert ceiled[0].tolist() == [[[10, 12], [16, 18]], [[0, -3], [-7, -9]]]


def test_the_sums_are_pooled_not_the_spikes():
    """Taps of opposite sign: the largest sum is none of the largest inputs'."""
    x = [[[[1, 1, 0, 1]]]]
    found = _maxima_of(MaxPool((1, 3)), [[[[1.0, -2.0]]]], [0.25], x)  # sums -1, 1, -2
    assert found.tolist() == [[[[1.25]]]]


def test_gains_behind_a_maximum_are_taken_before_it():
    x = [[[[1, 3]]]]
    norm = BatchNorm([2, -2, 0], [0.5, 0.5, 0.5], [0, 1, 5], [1, 1, 1], eps=0)
    found = _maxima_of(MaxPool((1, 2)), [[[[1.0]]], [[[1.0]]], [[[1.0]]]], [0, 1, 0], x, after=(norm,), bits=2)
    assert found.ravel().tolist() == [2 * 3 + 0.5, -2 * (4 - 1) + 0.5, 0.5]


def test_an_integer_maximum_by_hand():
    """D = 254 / 1.27 = 200 units a quantum of 1e6 ... so that each sum is rounded by its own weight."""
    model = chain(Input((1, 1, 2), bits=2), Conv2d([[[[1.27]]]], [0.004]), MaxPool((1, 2)), Neuron(), timesteps=1)
    result = simulate(model, [[[[1, 3]]]], "int8")
    scale = result.steps_per_unit["neuron3"][0]
    weight, bias = round_half_away(1.27 * scale), round_half_away(0.004 * scale)
    assert weight <= 127 and result.currents["neuron3"].ravel().tolist() == [3 * weight + bias]


def test_a_delayed_maximum_is_nothing_at_first():
    """Its bias waits, too: before the first step has come through, the current is 0."""
    model = chain(Input((1, 1, 2)), Conv2d([[[[1.0]]]], [0.5]), MaxPool((1, 2)), Readout("last"), timesteps=4,
                  delays={1: 1, 2: 1, 3: 1})
    x = np.array([[0, 1], [0, 0], [1, 1], [0, 0]]).reshape(1, 4, 1, 1, 2)
    currents = simulate(model, x, "float64").currents["readout3"].ravel()
    # the edge into the synapses delays spikes only, those behind it the bias as well
    assert currents.tolist() == [0, 0, 0.5, 1.5]


def test_a_maximum_of_a_sum_of_currents_for_two_readers():
    nodes = {"in": Input((1, 1, 3), bits=2), "a": Conv2d([[[[1.0]]]]), "b": Conv2d([[[[-2.0]]]], [1.0]),
             "sum": Add(), "max": MaxPool((1, 3)), "m": Neuron(1e6, quantum=1e6),
             "n": Neuron(1e6, quantum=1e6, input_gain=-1.0), "d": Conv2d([[[[1.0]]]]), "out": Neuron()}
    edges = [("in", "a"), ("in", "b", 1), ("a", "sum"), ("b", "sum"), ("sum", "max"), ("max", "m"), ("max", "n"),
             ("m", "d"), ("d", "out"), ("n", "out")]
    x = np.array([[1, 0, 3], [0, 2, 1]]).reshape(1, 2, 1, 1, 3)
    found = simulate(Model(nodes, edges), x, "float64")
    assert found.currents["m"].ravel().tolist() == [3 + 1, max(0 - 2, 2, 1 - 6) + 1]
    assert found.currents["n"].ravel().tolist() == [-4, -3]


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


# ---- chips


@pytest.mark.parametrize("overflow, expected", [
    ("wrap", {7: 7, 8: -8, 15: -1, 16: 0, -8: -8, -9: 7, 40: -8}),
    ("wrap_once", {8: 8, 9: -7, 24: 8, 25: 9, -7: -7, -8: 8, -24: -8}),
    ("saturate", {7: 7, 8: 7, -8: -8, -99: -8}),
    ("saturate_symmetric", {7: 7, 8: 7, -7: -7, -8: -7}),
    ("error", {7: 7, 8: -8}),
])
def test_four_bits(overflow, expected):
    found = limited(np.array(list(expected)), 4, overflow)
    assert found.tolist() == list(expected.values())
    lowest, highest = bounds_of(4, overflow)
    inside = np.arange(lowest, highest + 1)
    assert limited(inside, 4, overflow).tolist() == inside.tolist()


@pytest.mark.parametrize("rounding, expected", [
    ("toward_zero", [-1, -1, -1, 0, 0, 1, 1, 1]), ("floor", [-2, -2, -1, -1, 0, 1, 1, 1]),
    ("nearest", [-2, -2, -1, -1, 1, 1, 2, 2]),
])
def test_division_by_four(rounding, expected):
    assert divided(np.array([-7, -6, -4, -2, 2, 4, 6, 7]), 2, rounding).tolist() == expected


def a_chip(**options):
    """A chip that leaves everything as it is, but for `options`."""
    return Chip("chip", **{"weight_bits": 16, **options})


def integrator(**options):
    """A neuron that counts in whole numbers and never fires."""
    return Neuron(**{"v_threshold": 1e6, "resolution": 1.0, **options})


def on_chip(chip, weight, node, levels):
    """Traces of one neuron behind one synapse, given `levels`."""
    signed = min(levels) < 0
    model = chain(Input(1, "spikes", 16, signed), Dense([[weight]]), node)
    result = simulate(model, np.array(levels).reshape(1, -1, 1), "fixed", chip=chip)
    return result, traces(result, "neuron2")


def test_loihi_by_hand():
    """iDecay 1024, vDecay 512, bias 3, vThMant 30, weight 20."""
    node = Neuron(30.0, leak=1 - 512 / 4096, current_leak=1 - 1024 / 4096, bias=3.0, reset="hard",
                  resolution=64)
    result, (u, v, left) = on_chip(find_chip("loihi"), 20.0, node, [1, 1, 0, 0, 0])
    # u = 3/4 u + 20 * 64; v = 7/8 v + u + 3 * 64; a spike where v > 30 * 64 = 1920
    assert u == [1280, 2240, 1680, 1260, 945]
    assert v == [1472, 1288 + 2240 + 192, 1872, 1638 + 1260 + 192, 1137]
    assert left == [1472, 0, 1872, 0, 1137]
    assert result.levels["neuron2"].ravel().tolist() == [0, 1, 0, 1, 0]
    assert result.steps_per_unit["neuron2"].tolist() == [64]


def _cuba(a, i_decay, v_decay, bias, threshold):
    """FORMATS.md's equations for one neuron, Python integers: lists of u, v and spikes."""

    def rsz(x):
        return (x > 0) * (abs(x) >> 12) - (x < 0) * (abs(x) >> 12)

    u = v = 0
    found = []
    for total in a:
        total = (total + 2**23) % 2**24 - 2**23  # the sum wraps to 24 bits
        u = rsz(u * (4096 - i_decay)) + (total << 6)
        if u > 2**23:
            u -= 2**24
        if u <= -(2**23):
            u += 2**24
        v = rsz(v * (4096 - v_decay)) + u + (bias << 6)
        v = min(max(v, -(2**23 - 1)), 2**23 - 1)
        fired = v > threshold << 6
        found.append((u, v, int(fired)))
        v = 0 if fired else v
    return [list(column) for column in zip(*found)]


@pytest.mark.parametrize("seed", range(6))
def test_loihi_is_what_lava_computes(seed):
    """Sums far beyond 24 bits, so that each of the three widths matters."""
    rng = np.random.default_rng(seed)
    i_decay, v_decay = rng.integers(0, 4097, 2).tolist()
    bias, threshold = int(rng.integers(-50, 50)), int(rng.integers(1, 5000))
    weight = 2.0 * int(rng.integers(-128, 128))
    largest = int(rng.choice([40, 3000, 65536]))
    levels = rng.integers(1 - largest, largest, 12).tolist()
    expected = _cuba([int(weight) * k for k in levels], i_decay, v_decay, bias, threshold)
    node = Neuron(float(threshold), leak=1 - v_decay / 4096, current_leak=1 - i_decay / 4096,
                  bias=bias, reset="hard", resolution=64)
    result, (u, v, _) = on_chip(find_chip("loihi"), weight, node, levels)
    assert [u, v, result.levels["neuron2"].ravel().tolist()] == expected


def _changes(a, threshold, sums, rectify, bias=0):
    """FORMATS.md's Delta, or Sigma-Delta where it sums, of one neuron: what it sends."""
    sigma = act = res = 0
    sent = []
    for value in a:
        sigma = sigma + value if sums else value << 12
        n = sigma + (bias << 12)
        n = max(n, 0) if rectify else n
        d = n - act + res
        o = d if abs(d) >= threshold << 12 else 0
        res, act = d - o, n
        sent.append(o >> 6)
    return sent


@pytest.mark.parametrize("seed", range(4))
def test_lava_sdnn_is_what_lava_computes(seed):
    """An encoder and a layer behind it; weights are raw / 64 in physical units."""
    rng = np.random.default_rng(seed)
    raw, bias = 2 * int(rng.integers(-60, 60)), int(rng.integers(-3, 4))
    levels = rng.integers(-12, 13, 20).tolist()
    first = SigmaDelta("delta", 3.0, quantum=1 / 64, rectify=False, resolution=4096)
    second = SigmaDelta("sigma_delta", 1.0, bias, quantum=1 / 64, resolution=4096)
    model = chain(Input(1, "spikes", 4, True), first, Dense([[raw / 64]]), second)
    result = simulate(model, np.array(levels).reshape(1, -1, 1), "fixed", chip=find_chip("lava_sdnn"))
    sent = _changes(levels, 3, False, False)
    assert result.levels["sigmadelta1"].ravel().tolist() == sent and any(sent)
    behind = _changes([raw * k for k in sent], 1, True, True, bias)
    assert result.levels["sigmadelta3"].ravel().tolist() == behind


def test_weights_of_a_chip():
    """Steps of 2 from -256 to 254: two are clipped, one becomes 0, 3 is rounded away from 0."""
    model = chain(Input(4), Dense([[300.0, -300.0, 0.4, 3.0]]), integrator(resolution=64))
    x = np.eye(4, dtype=int).reshape(1, 4, 4)
    result = simulate(model, x, "fixed", chip=find_chip("loihi"))
    sums = result.currents["neuron2"].ravel() // 64
    assert sums.tolist() == [254, -256, 0, 4]
    audit = result.audit["neuron2"]
    assert (audit.n_weights, audit.n_zeroed, audit.n_clipped) == (4, 1, 2)


def test_choice_of_steps_in_a_chip():
    """2 * half_away(D / 4) <= 254: D = 508. With 12 bits, 1.5 D * 4 <= 2^10: D = 170."""
    chip = a_chip(weight_bits=9, weight_step=2, weight_shift=2)
    model = chain(Input(1), Dense([[0.5]]), Neuron(1.5, quantum=1.0), timesteps=1)
    result = simulate(model, [[1]], "fixed", chip=chip)
    assert result.steps_per_unit["neuron2"].tolist() == [508 * 4]
    assert traces(result, "neuron2")[1] == [254 * 4]
    narrow = a_chip(weight_bits=9, weight_step=2, weight_shift=2, membrane_bits=12)
    assert simulate(model, [[1]], "fixed", chip=narrow).steps_per_unit["neuron2"].tolist() == [680]
    wide = chain(Input(1), Dense([[0.5]]), Neuron(0.5, quantum=1.0, bits=3), timesteps=1)
    found = simulate(wide, [[1]], "fixed", chip=narrow).steps_per_unit["neuron2"]
    assert found.tolist() == [64 * 4]  # 4 D * 4 <= 2^10


def test_readout_under_a_chip():
    """S = 2^3 * 126 / 0.5, weights in steps of 3."""
    model = chain(Input(1), Dense([[0.5], [-0.25]], [0.1, 0.0]), Readout("last"), timesteps=1)
    result = simulate(model, [[1]], "fixed", chip=a_chip(weight_bits=8, weight_step=3, weight_shift=3))
    assert result.steps_per_unit["readout2"].tolist() == [2016, 2016]
    potentials = [126 * 8 + round_half_away(201.6), -63 * 8]
    assert result.potentials["readout2"].ravel().tolist() == potentials
    assert result.output.ravel().tolist() == [p / 2016 for p in potentials]


def test_every_width_is_limited_where_it_is_known():
    """Sums of 5 bits wrap, currents of 7 saturate, membranes of 8 turn once."""
    chip = a_chip(weight_shift=2, sum_bits=5, sum_overflow="wrap", current_bits=7,
                   current_overflow="saturate", membrane_bits=8, membrane_overflow="wrap_once")
    node = integrator(resolution=4.0, current_leak=1.0, bias=1.0, v_min=-31.0)
    result, (currents, potentials, _) = on_chip(chip, 1.0, node, [10, 20, 15, 9])
    # sums 10, -12, 15, 9 -> 40, -48, 60, 36
    assert currents == [40, -8, 52, 63]
    assert potentials == [44, 40, 96, 96 + 63 + 4 - 256]
    ranges = result.audit["neuron2"].ranges
    assert {q: (r.lowest, r.highest, r.overflows) for q, r in ranges.items()} == {
        "sum": (9, 20, 1), "current": (-8, 88, 1), "membrane": (40, 163, 1)
    }


def test_gain_acts_on_the_sum_before_the_shift():
    """-5 * 0.5 = -2.5 goes toward zero: -2, and 4 times that."""
    node = integrator(input_gain=np.full((1, 2), 0.5), resolution=4.0)
    model = chain(Input((1, 2), "spikes", 4, True), Conv1d([[[1.0]]]), node, timesteps=1)
    result = simulate(model, [[[-5, 7]]], "fixed", chip=a_chip(weight_shift=2))
    assert result.currents["neuron2"].ravel().tolist() == [-8, 12]


@pytest.mark.parametrize("rounding, expected", [
    ("toward_zero", [-7, -3, -1]), ("floor", [-7, -4, -2]), ("nearest", [-7, -4, -2]),
])
def test_decay_of_a_chip(rounding, expected):
    """leak 0.4 in 1 bit is 1 / 2."""
    chip = a_chip(decay_bits=1, decay_rounding=rounding)
    assert on_chip(chip, -7.0, integrator(leak=0.4), [1, 0, 0])[1][1] == expected


@pytest.mark.parametrize("comparison, given, expected", [
    (None, ">", [0]), (None, ">=", [1]), (">", ">=", [0]), (">=", ">", [1]),
])
def test_comparison_of_a_chip(comparison, given, expected):
    node = Neuron(3.0, resolution=1.0, comparison=given)
    result, _ = on_chip(a_chip(comparison=comparison), 3.0, node, [1])
    assert result.levels["neuron2"].ravel().tolist() == expected


def test_an_overflow_may_be_an_error():
    with pytest.raises(RunError, match="layer 'neuron2': the membrane left its 4 bits 1 times"):
        on_chip(a_chip(membrane_bits=4), 5.0, integrator(), [1, 1])


def test_rectified_thresholds_see_the_shifted_membrane():
    """phi(0.75) > 0.8: 3 of 4 weight steps a quantum fire, whatever the shift; 2 of them do not."""
    node = Neuron(0.8, rectify=True, resolution=4.0 * 2**6)
    for level, expected in ((3, 1), (2, 0)):
        result, _ = on_chip(a_chip(weight_shift=6), 0.25, node, [level])
        assert result.levels["neuron2"].ravel().tolist() == [expected]


@pytest.mark.parametrize("chip, nodes, message", [
    (a_chip(weight_bits=4), (Dense([[9.0]]), Neuron()), "too far apart"),
    (a_chip(membrane_bits=4), (Dense([[1.0]]), Neuron(9.0)), "too far apart"),
    (a_chip(), (Dense([[1.0]]), Neuron(bias=1e9, resolution=9.0)), "leaves int32"),
    (a_chip(max_delay=1), (Delay(2), Readout()), "delay of 2"),
    (a_chip(spike_bits=2), (Neuron(bits=3),), "spikes of 3 bits"),
    (a_chip(signed_spikes=False), (SigmaDelta(),), "with a sign"),
    (a_chip(), (SigmaDelta(quantum=1 / 64, resolution=16),), "less than half a step"),
])
def test_what_a_chip_cannot_express(chip, nodes, message):
    with pytest.raises(UnsupportedError, match=message):
        simulate(chain(Input(1), *nodes, timesteps=1), [[1]], "fixed", chip=chip)


def test_delayed_neurons_with_an_offset_are_refused():
    with pytest.raises(UnsupportedError, match="have an offset"):
        Folded(chain(Input(2, "image", mean=0.5), Delay([0, 1]), Readout()))


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


def test_synapses_before_a_maximum_are_counted():
    """3x3 kernel over 4x4, then 2x2 windows: two outputs per row and column of the map before the pool."""
    model = chain(Input((1, 4, 4), bits=2), Conv2d(np.ones((3, 1, 3, 3))), MaxPool(2), Neuron(leak=0.5),
                  timesteps=2)
    x = np.zeros((1, 1, 4, 4), int)
    x[0, 0, 0, 0], x[0, 0, 1, 1] = 3, 1  # the corner reaches one output, the inner one all four, of 3 channels
    counts = {k: int(v[0]) for k, v in simulate(model, x, "float32").counts["neuron3"].items()}
    n_synapses = 3 * 4 * 9
    assert counts == {
        "events": counts["events"], "synops": 2 * 3 * (1 + 4), "nonzero_synops": 2 * 3 * (1 + 4),
        "additions": 2 * 3 * (2 * 1 + 4), "doublings": 2 * 3 * 4, "macs": 0, "multiplications": 2 * 3,
        "neuron_updates": 2 * 3, "dense_macs": 2 * n_synapses,
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
@pytest.mark.parametrize("name", NETWORKS)
def test_named_networks_run(name, precision):
    model, x = NETWORKS[name]
    if precision == "int8" and model.nodes[model.input].encoding == "real":
        pytest.skip("int8 refuses real inputs")
    if precision == "int8" and any(node.floats_only for node in model.nodes.values()):
        pytest.skip("int8 refuses what runs in floats only")
    result = simulate(model, x, precision)
    stored = np.int32 if precision == "int8" else np.dtype(precision)
    for trace in (result.potentials, result.residuals):
        assert all(array.dtype == stored for array in trace.values())
    expected = np.float64 if precision == "int8" or model.output not in result.counts else precision
    if isinstance(model.nodes[model.output], Readout):
        assert result.outputs.dtype == expected
    for layer, node in model.nodes.items():
        if isinstance(node, (Neuron, Alpha)):
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
