"""Statistics against other people's code and against closed forms.

elephant computes the same numbers from neo spike trains, NeuroBench the same sparsity while it runs a
network of snnTorch; either is left out where it is not installed. Random trains are drawn from fixed
seeds and compared within five standard errors.
"""

import math

import numpy as np
import pytest
from networks import chain

from eventsim import to_neo
from eventsim.engine.simulator import Simulator
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron
from eventsim.model.synapses import Dense

pytestmark = pytest.mark.filterwarnings("ignore:The 'copy' argument")  # elephant's, of quantities
STREAMED = ("statistics", "intervals", "membranes")
SIGMAS = 5


def recorded(levels, bits=1, signed=False):
    """Recording of a network whose input "input0" sends the given levels (N, T, neurons)."""
    model = chain(Input(levels.shape[2:], "spikes", bits, signed), Neuron(2.0**bits))
    return Simulator(model).run(levels, levels.shape[1], record=("spikes:input0", *STREAMED))


def train_of(levels, bits=1, signed=False):
    return recorded(levels, bits, signed).statistics.trains["input0"]


def bernoulli(seed, p, n, steps, neurons):
    """Independent spikes with probability p: a Poisson process in steps."""
    return (np.random.default_rng(seed).random((n, steps, neurons)) < p).astype(np.uint8)


# ---------------------------------------------------------------- elephant


@pytest.fixture(scope="module")
def neuronal():
    """(TrainStatistics, elephant, {sample: neo trains of a millisecond a step}) of 3 samples of 9
    neurons, from silent to saturated."""
    elephant = pytest.importorskip("elephant")
    pytest.importorskip("neo")
    import elephant.conversion
    import elephant.spike_train_correlation
    import elephant.statistics

    p = np.array([0, 0.005, 0.02, 0.1, 0.3, 0.5, 0.8, 0.95, 1])
    recording = recorded((np.random.default_rng(4).random((3, 400, 9)) < p).astype(np.uint8))
    block = to_neo(recording, "input0", dt=1e-3)
    trains = [list(segment.spiketrains) for segment in block.segments]
    return recording.statistics.trains["input0"], elephant, trains


def test_mean_firing_rate(neuronal):
    gathered, elephant, trains = neuronal
    rates = [[elephant.statistics.mean_firing_rate(train).rescale("1/ms").item() for train in sample]
             for sample in trains]
    np.testing.assert_allclose(gathered.rates, np.mean(rates, axis=0), 1e-9)


def test_time_histogram(neuronal):
    train, elephant, trains = neuronal
    import quantities

    counts = [elephant.statistics.time_histogram(sample, 1 * quantities.ms).magnitude.ravel() for sample in trains]
    np.testing.assert_array_equal(train.events_by_step, np.sum(counts, axis=0))


def _intervals(elephant, trains, neuron):
    """elephant's intervals in steps, an array for every sample."""
    intervals = [elephant.statistics.isi(sample[neuron]).rescale("ms").magnitude for sample in trains]
    for steps in intervals:
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    return [np.round(steps) for steps in intervals]


def test_isi(neuronal):
    train, elephant, trains = neuronal
    histogram = np.zeros(401, np.int64)
    for neuron in range(9):
        pooled = np.concatenate(_intervals(elephant, trains, neuron))
        assert train.interval_counts[neuron] == pooled.size
        np.testing.assert_equal(train.mean_intervals[neuron], pooled.mean() if pooled.size else np.nan)
        histogram += np.bincount(pooled.astype(int), minlength=401)
    np.testing.assert_array_equal(train.interval_histogram, histogram)


def test_cv(neuronal):
    train, elephant, trains = neuronal
    assert np.isnan(train.cv).tolist() == [True] + [False] * 8
    for neuron in range(1, 9):
        pooled = np.concatenate(_intervals(elephant, trains, neuron))
        np.testing.assert_allclose(train.cv[neuron], elephant.statistics.cv(pooled), 1e-12)
    assert train.cv[8] == 0.0


def test_lv(neuronal):
    """elephant's of each sample, weighted with its pairs of intervals."""
    train, elephant, trains = neuronal
    for neuron in range(1, 9):
        lists = [steps for steps in _intervals(elephant, trains, neuron) if steps.size > 1]
        pairs = [steps.size - 1 for steps in lists]
        assert train.variation_counts[neuron] == sum(pairs)
        expected = np.average([elephant.statistics.lv(steps) for steps in lists], weights=pairs)
        np.testing.assert_allclose(train.lv[neuron], expected, atol=2**-31)


def test_fanofactor(neuronal):
    train, elephant, trains = neuronal
    for neuron in range(9):
        expected = elephant.statistics.fanofactor([sample[neuron] for sample in trains])
        np.testing.assert_allclose(train.fano[neuron], expected, 1e-12, 1e-12)


def test_correlation_coefficient(neuronal):
    """Of one recording that holds the samples one after another."""
    train, elephant, trains = neuronal
    import neo
    import quantities

    def in_a_row(neuron):
        times = [sample[neuron].rescale("ms").magnitude + 400 * i for i, sample in enumerate(trains)]
        return neo.SpikeTrain(np.concatenate(times), 1200, "ms")

    binned = elephant.conversion.BinnedSpikeTrain([in_a_row(n) for n in range(9)], 1 * quantities.ms)
    with np.errstate(invalid="ignore"):  # of the trains that never change
        expected = elephant.spike_train_correlation.correlation_coefficient(binned, binary=True)
    assert train.chosen.tolist() == list(range(9))
    np.testing.assert_allclose(train.correlations[1:8, 1:8], expected[1:8, 1:8], 1e-9, 1e-12)
    assert np.isnan(train.correlations[[0, 8]]).all() and np.isnan(train.correlations[:, [0, 8]]).all()


# ---------------------------------------------------------------- NeuroBench


def test_activation_sparsity_of_neurobench():
    """NeuroBench watches snnTorch run the same network of integrate-and-fire neurons."""
    pytest.importorskip("neurobench")
    torch = pytest.importorskip("torch")
    from neurobench.metrics.workload import ActivationSparsity, ActivationSparsityByLayer

    rng = np.random.default_rng(2)
    weights = [np.round(rng.normal(0.1, 0.5, size) * 16) / 16 for size in ((20, 12), (7, 20))]
    x = bernoulli(3, 0.3, 5, 30, 12)
    fire = Neuron(comparison=">", reset_delay=1)  # as snnTorch fires and resets
    nodes = {"in": Input((12,)), "d1": Dense(weights[0]), "n1": fire, "d2": Dense(weights[1]), "n2": fire}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])))
    recording = Simulator(model).run(x, record=("spikes", "statistics"))

    watched = _watched_by_neurobench(weights)
    with torch.no_grad():
        answers = watched(torch.from_numpy(x.astype(np.float32)))
    for name, hook in zip(("n1", "n2"), watched.activation_hooks):
        sent = torch.stack(list(hook.activation_outputs)).numpy()
        np.testing.assert_array_equal(sent.transpose(1, 0, 2), recording.levels(name))
    trains = recording.statistics.trains
    by_layer = ActivationSparsityByLayer()(watched, answers, None)
    assert [trains["n1"].sparsity, trains["n2"].sparsity] == pytest.approx(list(by_layer.values()), rel=1e-12)
    of_all = ActivationSparsity()(watched, answers, None)
    assert 0.3 < of_all < 0.95
    assert recording.statistics.activation_sparsity(("n1", "n2")) == pytest.approx(of_all, rel=1e-12)


def _watched_by_neurobench(weights):
    """A network of snnTorch in NeuroBench's wrapper, with its hooks."""
    import torch
    from neurobench.models import SNNTorchModel
    from snntorch import Leaky

    layers = []
    for i, weight in enumerate(weights):
        linear = torch.nn.Linear(*weight.shape[::-1], bias=False)
        linear.weight.data = torch.from_numpy(weight.astype(np.float32))
        layers += [linear, Leaky(1.0, init_hidden=True, output=i == len(weights) - 1)]
    model = SNNTorchModel(torch.nn.Sequential(*layers))
    model.register_hooks()
    return model


# ---------------------------------------------------------------- constant input


def constant(level, threshold, steps, **options):
    """TrainStatistics of a neuron that gets `level` in every step."""
    model = chain(Input((1,), "spikes", 8), Neuron(float(threshold), quantum=float(threshold), **options))
    recording = Simulator(model, "float64").run(np.full((1, steps, 1), level), record=STREAMED)
    return recording.statistics.trains["neuron1"]


@pytest.mark.parametrize("level, threshold", [(1, 1), (1, 2), (1, 7), (2, 6), (2, 5), (3, 7), (7, 9), (19, 100)])
def test_an_if_neuron_under_constant_input(level, threshold):
    """floor(T c / theta) spikes, intervals of floor(theta / c) and ceil(theta / c) steps; all the same, so
    that CV and LV are 0, where theta / c is whole."""
    steps = 630
    train = constant(level, threshold, steps)
    assert train.events[0] == steps * level // threshold
    assert train.rates[0] == pytest.approx(level / threshold, abs=1 / steps)
    lengths = np.flatnonzero(train.interval_histogram).tolist()
    assert lengths == sorted({threshold // level, -(-threshold // level)})
    assert train.mean_intervals[0] == pytest.approx(threshold / level, rel=3 / train.events[0])
    if threshold % level == 0:
        assert train.cv[0] == 0.0 and train.lv[0] == 0.0
    assert train.fano[0] == 0.0  # of one sample


def test_intervals_that_take_turns():
    """2 and 3 steps in turn: CV 0.5 / 2.5 = 0.2, LV 3 / 25."""
    train = constant(2, 5, 10 * 5 + 3)
    assert np.flatnonzero(train.interval_histogram).tolist() == [2, 3]
    np.testing.assert_allclose(train.cv[0], 0.2, 1e-12)
    np.testing.assert_allclose(train.lv[0], 3 / 25, 1e-8)


@pytest.mark.parametrize("leak", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("level, threshold", [(9, 10), (5, 8), (30, 31)])
def test_a_leaky_neuron_under_constant_input(leak, level, threshold):
    """Reset to 0, it reaches c (1 - leak^k) / (1 - leak) after k steps: the first k at theta is every
    interval."""
    train = constant(level, threshold, 200, leak=leak, reset="hard")
    k = math.ceil(math.log(1 - threshold * (1 - leak) / level) / math.log(leak) - 1e-9)
    assert train.events[0] == 200 // k
    assert train.mean_intervals[0] == k and train.cv[0] == 0.0 and train.lv[0] == 0.0


# ---------------------------------------------------------------- Poisson


@pytest.mark.parametrize("p", [0.02, 0.2])
def test_intervals_of_a_poisson_process(p):
    """In steps they are geometric: mean 1 / p, CV sqrt(1 - p), and, with q = 1 - p,

        LV = 1 - 2 p + 2 p^2 / q^2 (-ln p - q),

    since the sum s of two has probability (s - 1) p^2 q^(s - 2) and, given s, the first is one of 1 to
    s - 1 alike, whence LV = E[1 - 2 / s]. For p to 0: CV 1, LV 1."""
    train = train_of(bernoulli(6, p, 1, 20000, 40))
    q, n = 1 - p, int(train.interval_counts.sum())
    error = SIGMAS / math.sqrt(n)
    mean = train.interval_sums.sum() / n
    assert mean == pytest.approx(1 / p, rel=error)
    cv = math.sqrt(train.interval_squares.sum() / n - mean**2) / mean
    assert cv == pytest.approx(math.sqrt(q), rel=error * math.sqrt(2))
    lv = 3 * train.variation_sums.sum() / 2**32 / train.variation_counts.sum()
    assert lv == pytest.approx(1 - 2 * p + 2 * p**2 / q**2 * (-math.log(p) - q), abs=error)
    shares = train.interval_histogram / n
    lengths = np.arange(1, 20)
    expected = p * q ** (lengths - 1)
    np.testing.assert_array_less(np.abs(shares[lengths] - expected), SIGMAS * np.sqrt(expected / n))
    for name, of_all in (("cv", cv), ("lv", lv)):  # and neuron by neuron
        values = getattr(train, name)
        assert values.mean() == pytest.approx(of_all, abs=0.03 if p < 0.1 else 0.01), name


@pytest.mark.parametrize("p", [0.01, 0.3])
def test_fano_factor_of_a_poisson_process(p):
    """Counts of T steps are binomial: variance T p (1 - p) over mean T p is 1 - p."""
    n, neurons = 2000, 16
    train = train_of(bernoulli(7, p, n, 50, neurons))
    assert train.fano.mean() == pytest.approx(1 - p, rel=SIGMAS * math.sqrt((2 + 1 / (50 * p)) / (n * neurons)))
    assert train.rate == pytest.approx(p, abs=SIGMAS * math.sqrt(p * (1 - p) / (n * 50 * neurons)))
    per_step = SIGMAS * math.sqrt(p * (1 - p) / (n * neurons))
    np.testing.assert_allclose(train.rate_by_step, p, atol=per_step)
    binary = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
    assert train.entropy == pytest.approx(binary, rel=0.02)
    assert train.information_per_event == pytest.approx(binary / p, rel=0.02)


# ---------------------------------------------------------------- levels and correlation


@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_entropy_of_levels_that_are_equally_frequent(bits):
    levels = np.arange(2**bits).reshape(1, -1, 1)
    train = train_of(levels, bits)
    assert train.entropy == pytest.approx(bits, rel=1e-12)
    np.testing.assert_array_equal(train.plane_use, np.full(bits, 0.5))
    assert train.mean_level == 2 ** (bits - 1) * (2**bits - 1) / (2**bits - 1)
    assert train.top_level_share == 1 / (2**bits - 1)


def test_entropy_of_known_shares():
    """Levels 0, 1, 2, -3 with 1/2, 1/4, 1/8, 1/8: 1.75 bits; half of the steps have an event: 3.5 each."""
    levels = np.repeat([0, 1, 2, -3], [8, 4, 2, 2]).reshape(4, 4, 1)
    train = train_of(levels, 2, True)
    assert train.entropy == pytest.approx(1.75, rel=1e-12)
    assert train.information_per_event == pytest.approx(3.5, rel=1e-12)
    assert train.mean_level == pytest.approx((4 + 4 + 6) / 8, rel=1e-12)


def test_correlations_of_trains():
    """The same train 1, its opposite -1, a train that copies it with probability c: c; others 0."""
    rng = np.random.default_rng(8)
    n, c, p = 40000, 0.4, 0.3
    first = rng.random(n) < p
    half = np.where(rng.random(n) < c, first, rng.random(n) < p)
    other = rng.random(n) < p
    levels = np.stack([first, first, ~first, half, other], axis=-1).reshape(4, n // 4, 5)
    correlations = train_of(levels.astype(np.uint8)).correlations
    error = SIGMAS / math.sqrt(n)
    np.testing.assert_allclose(np.diagonal(correlations), 1, 1e-12)
    np.testing.assert_allclose(correlations, correlations.T, 1e-12)
    np.testing.assert_allclose([correlations[0, 1], correlations[0, 2]], [1, -1], 1e-12)
    assert correlations[0, 3] == pytest.approx(c, abs=error)
    assert correlations[0, 4] == pytest.approx(0, abs=error) and correlations[3, 4] == pytest.approx(0, abs=error)


# ---------------------------------------------------------------- membranes


def spread_evenly(low, high, neuron, n=4096):
    """MembraneStatistics of n neurons whose membranes are even between low and high, one each."""
    u = low + (high - low) * (np.arange(n) + 0.5) / n
    model = chain(Input((n,), "real"), neuron, timesteps=1)
    return Simulator(model, "float64").run(u.reshape(1, 1, n), record="membranes").statistics.membranes["neuron1"]


def _rectified_inside():
    """Integral of (phi(u) - o)^2 over 0 to 1, o being 1 from 1/2 on: with v = 3 (u - 1/2) and
    k = 2 tanh(3/2) twice the integral of (tanh(v) / k + 1/2)^2 / 3 over v from -3/2 to 0."""
    k = 2 * math.tanh(1.5)
    squared = (1.5 - math.tanh(1.5)) / k**2
    return 2 / 3 * (squared - math.log(math.cosh(1.5)) / k + 1.5 / 4)


def _rectified_outside():
    """Integral of phi(u)^2 over -1 to 0, and, mirrored, of (phi(u) - 1)^2 over 1 to 2: with w = 1 - u that
    of (1 - w^(1/3))^2 over 1 to 2."""
    def integral(w):
        return w - 3 / 2 * w ** (4 / 3) + 3 / 5 * w ** (5 / 3)

    return integral(2) - integral(1)


@pytest.mark.parametrize("low, high, error, rectified", [
    (0, 1, 1 / 12, _rectified_inside()),
    (-1, 0, 1 / 3, _rectified_outside()),
    (1, 2, 1 / 3, _rectified_outside()),
    (-1, 2, (2 / 3 + 1 / 12) / 3, (2 * _rectified_outside() + _rectified_inside()) / 3),
])
@pytest.mark.parametrize("quantum", [1.0, 0.5])
def test_quantisation_error_of_an_even_membrane(low, high, error, rectified, quantum):
    """InfLoR-SNN, eq. 8: the mean of (u - o)^2, and of (phi(u) - o)^2 (eq. 9), as integrals in quanta."""
    neuron = Neuron(0.5 * quantum, quantum=quantum, rectify=True)
    membranes = spread_evenly(low * quantum, high * quantum, neuron)
    assert membranes.error == pytest.approx(error, rel=1e-6)
    assert membranes.rectified_error == pytest.approx(rectified, rel=1e-6)
    assert membranes.rectified_error < membranes.error
    plain = spread_evenly(low * quantum, high * quantum, Neuron(0.5 * quantum, quantum=quantum))
    assert plain.error == membranes.error and math.isnan(plain.rectified_error)


def test_quantisation_error_of_several_levels():
    """Rounded to the nearest of 0 to 7 the error of an even membrane is that of one step: 1/12."""
    membranes = spread_evenly(-0.25, 3.75, Neuron(0.25, quantum=0.5, bits=3))
    assert membranes.error == pytest.approx(1 / 12, rel=1e-5)
    assert membranes.unit == "thresholds" and membranes.step == 2.0 and membranes.n_levels == 7


def test_rectifying_a_gaussian_membrane():
    """The paper's example (Figure 4), N(1/2, 1): the rectified membranes gather at 0 and 1."""
    n = 20000
    u = np.random.default_rng(11).normal(0.5, 1, (5, 1, n // 5))
    model = chain(Input((n // 5,), "real"), Neuron(0.5, rectify=True), timesteps=1)
    membranes = Simulator(model, "float64").run(u, record="membranes").statistics.membranes["neuron1"]
    # E (u - o)^2 = E (|x| - 1/2)^2 for x of N(0, 1)
    expected = 1.25 - math.sqrt(2 / math.pi)
    assert membranes.error == pytest.approx(expected, abs=SIGMAS * 0.7 / math.sqrt(n))
    assert membranes.rectified_error < 0.3 * membranes.error
    assert membranes.distances[0] / membranes.distances.sum() == pytest.approx(2 * 0.02 * 0.3989, rel=0.2)


def test_a_membrane_that_never_fires_drifts_as_the_root_of_time():
    """A random walk of steps 1 and -1: root mean square sqrt(t) in membrane units, mean 0."""
    n, theta = 4000, 1000.0
    steps = np.random.default_rng(12).choice([-1.0, 1.0], (1, 60, n))
    model = chain(Input((n,), "real"), Neuron(theta))
    membranes = Simulator(model, "float64").run(steps, record="membranes").statistics.membranes["neuron1"]
    t = np.arange(1, 61)
    np.testing.assert_allclose((membranes.drift * theta) ** 2, t, rtol=SIGMAS * math.sqrt(2 / n))
    np.testing.assert_array_less(np.abs(membranes.means * theta), SIGMAS * np.sqrt(t / n))
    assert membranes.residuals.sum() == 60 * n == membranes.potentials.sum()
