"""The engine equals the slow reference, bit for bit: every level, membrane, output and count."""

import numpy as np
import pytest
from exact_cases import claimed_dense, with_settings
from hypothesis import HealthCheck, given, settings
from networks import (
    NARROW_CHIPS, chain, chip_models, chip_runs, every_node_models, random_chip_run, random_run, run_near_int32,
    runs,
)
from reference_equality import ALL, assert_equal_to_reference, INTEGERS
from small_networks import chain as small_chain, conv, small_networks

import reference
from eventsim.engine.simulator import Simulator
from eventsim.errors import RunError, UnsupportedError
from eventsim.lowering import methods
from eventsim.merging import merge
from eventsim.model.chip import find_chip, Chip
from eventsim.model.input import Input
from eventsim.model.kinds import NODE_TYPES
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Conv2d, Dense
from eventsim.model.transforms import AvgPool, Flatten

MODELS = {**every_node_models(), **small_networks()}
CHIPS = (find_chip("loihi"), find_chip("lava_sdnn"), *NARROW_CHIPS)
OVERFLOWS = {(quantity, rule) for quantity in ("sum", "current", "membrane")
             for rule in ("wrap", "wrap_once", "saturate", "saturate_symmetric")}
PRECISIONS = ("float64", "float32", "int8")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", MODELS)
def test_named_networks(name, precision):
    assert_equal_to_reference(*MODELS[name], precision)


# (method, inputs, outputs, kernel, stride, padding): windows at the limits of each way of adding, and beyond
WINDOWS = [
    ("windowed", 1, 5, (3, 3), (1, 1), (1, 1)), ("windowed", 7, 33, (3, 3), (2, 1), (1, 2)),
    ("gather", 64, 40, (1, 1), (1, 1), (0, 0)), ("windowed", 16, 3, (2, 2), (1, 1), (0, 1)),
    ("windowed", 1, 70, (5, 4), (1, 3), (2, 0)), ("windowed", 3, 32, (3, 3), (1, 1), (0, 0)),
    ("slide", 8, 5, (3, 3), (1, 1), (1, 1)), ("slide", 12, 24, (3, 3), (1, 1), (0, 0)),
    ("slide", 22, 40, (1, 3), (1, 1), (0, 1)), ("slide", 9, 33, (5, 3), (1, 1), (2, 2)),
    ("slide", 70, 20, (2, 3), (1, 1), (1, 3)), ("gather", 8, 20, (3, 3), (2, 1), (1, 1)),
    ("gather", 13, 40, (3, 5), (1, 1), (1, 1)), ("slide", 56, 7, (3, 3), (1, 1), (1, 1)),
    ("gather", 57, 7, (3, 3), (1, 1), (1, 1)), ("slide", 66, 5, (1, 3), (1, 1), (2, 1)),
    ("slide", 9, 5, (3, 3), (1, 1), (4, 5)), ("windowed", 3, 5, (1, 3), (1, 1), (2, 4)),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("signed", (False, True))
@pytest.mark.parametrize("case", range(len(WINDOWS)))
def test_every_way_of_adding(case, signed, precision):
    """Each row kernel, in its own order of additions."""
    method, n_in, n_out, kernel, stride, padding = WINDOWS[case]
    rng = np.random.default_rng(case)
    weight = rng.normal(0, 1, (n_out, n_in, *kernel)) / np.sqrt(n_in)
    nodes = {"in": Input((n_in, 6, 7), bits=2, signed=signed),
             "conv": Conv2d(weight, rng.normal(0, 0.3, n_out), stride=stride, padding=padding),
             "fire": Neuron(0.5, bits=2, quantum=0.75, leak=0.8), "flat": Flatten()}
    shape = Model(nodes, list(zip(nodes, list(nodes)[1:]))).shapes["flat"]
    nodes |= {"dense": Dense(rng.normal(0, 0.2, (3, *shape))), "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=3)
    [path] = Simulator(model, precision).program.stages["fire"].paths
    in_int8 = {"gather": ("gather", "pairs", "slide"), "slide": ("slide", "slide_pairs")}.get(method, (method,))
    assert path.method in (in_int8 if precision == "int8" else (method,))
    x = rng.integers(-3 if signed else 0, 4, (3, 3, n_in, 6, 7)) * (rng.random((3, 3, n_in, 6, 7)) < 0.4)
    assert_equal_to_reference(model, x, precision)


# (inputs, outputs, kernel, padding), all three columns wide: parts of words, words, tiles of 16, 32 and 64 channels
DENSE = [(9, 5, (3, 3), (1, 1)), (22, 40, (1, 3), (0, 1)), (64, 20, (3, 3), (1, 1)), (65, 33, (3, 3), (0, 0)),
         (131, 3, (2, 3), (1, 3)), (16, 130, (5, 3), (2, 2)), (30, 64, (3, 3), (4, 5))]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("signed", (False, True))
@pytest.mark.parametrize("case", range(len(DENSE)))
def test_dense_spikes(case, signed, precision):
    """Tables of sums of the channels, where the check samples say so and the run counts in integers."""
    n_in, n_out, kernel, padding = DENSE[case]
    rng = np.random.default_rng(case)
    bits = 2 if n_in * kernel[0] < 60 else 1  # 16 bits hold the sums
    nodes = {"in": Input((n_in, 5, 6), bits=bits, signed=signed),
             "conv": Conv2d(rng.normal(0, 1, (n_out, n_in, *kernel)) / np.sqrt(n_in), rng.normal(0, 0.3, n_out),
                            padding=padding),
             "fire": Neuron(0.5, bits=2, quantum=0.75, leak=0.8)}
    model = claimed_dense(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=3))
    [path] = Simulator(model, precision).program.stages["fire"].paths
    assert (path.method == "slide_tables") == (precision == "int8"), path.method
    most = 2**bits - 1
    x = rng.integers(-most if signed else 0, most + 1, (3, 3, n_in, 5, 6)) * (rng.random((3, 3, n_in, 5, 6)) < 0.7)
    x[1, 1], x[2] = 0, most  # a step without a spike, and a sample of nothing else
    assert_equal_to_reference(model, x, precision)


@pytest.mark.parametrize("precision", ("float32", "int8", "fixed"))
def test_claims_of_density_change_no_result(precision, monkeypatch):
    """Random networks with a check that says that all is dense, true or not; floats run the same kernels. Small
    windows, too, are taken for large ones."""
    monkeypatch.setattr(methods, "fits_window", lambda *_: False)
    looked_up_paths = 0
    for seed in range(300):
        model, x, steps = random_run(seed, real=False)
        chip = CHIPS[seed % len(CHIPS)] if precision == "fixed" else None
        claimed, plain = claimed_dense(model), Model(model.nodes, model.edges, model.timesteps)
        try:
            found, expected = Simulator(claimed, precision, chip=chip), Simulator(plain, precision, chip=chip)
        except UnsupportedError:
            continue
        taken = [path.method for layer in found.program.layers for path in getattr(layer, "synapses", ())]
        looked_up_paths += taken.count("slide_tables")
        assert found.program.fingerprint == expected.program.fingerprint
        try:
            recording = expected.run(x, steps, ALL)
        except RunError:
            continue
        again = found.run(x, steps, ALL)
        assert_same_recordings(again, recording)
    assert (looked_up_paths > 8) == (precision != "float32")


def assert_same_recordings(found, expected):
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    for name in expected.spikes:
        np.testing.assert_array_equal(found.levels(name), expected.levels(name), name)
    for kind in ("currents", "potentials", "residuals"):
        for name, trace in expected.traces[kind].items():
            np.testing.assert_array_equal(found.traces[kind][name], trace, f"{kind} of {name}")
    assert found.counts.totals() == expected.counts.totals()


def test_sums_that_16_bits_do_not_hold_are_not_looked_up():
    """127 times 3 levels times 88 inputs."""
    for n_in, holds in ((28, True), (29, False)):
        nodes = {"in": Input((n_in, 2, 6), bits=2), "conv": Conv2d(np.ones((2, n_in, 1, 3))), "fire": Neuron(1.0)}
        model = claimed_dense(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2))
        [path] = Simulator(model, "int8").program.stages["fire"].paths
        assert (path.method == "slide_tables") == holds
        assert_equal_to_reference(model, np.full((1, 2, n_in, 2, 6), 3), "int8")


# (inputs, outputs, kernel, stride, padding, dilation, map): eight columns are read at once
WIDE_WINDOWS = [
    (1, 12, (5, 5), (2, 2), (0, 0), (1, 1), (11, 28)), (16, 3, (1, 4), (1, 1), (0, 1), (1, 1), (2, 20)),
    (3, 24, (3, 3), (1, 1), (1, 1), (1, 1), (5, 17)), (32, 4, (1, 2), (1, 2), (1, 0), (1, 1), (2, 9)),
    (2, 33, (3, 4), (2, 3), (4, 5), (2, 2), (6, 13)), (1, 5, (6, 1), (1, 1), (3, 0), (1, 1), (4, 8)),
]


def looked_up(rng, node, case, precision):
    """A convolution of the input `node`, which `window_rows` runs, and neurons of many levels. case: of
    WIDE_WINDOWS."""
    n_in, n_out, kernel, stride, padding, dilation, _ = case
    nodes = {"in": node,
             "conv": Conv2d(rng.normal(0, 1, (n_out, n_in, *kernel)), stride=stride, padding=padding,
                            dilation=dilation),
             "fire": Neuron(8.0, bits=4, quantum=5.0), "flat": Flatten()}
    shape = Model(nodes, list(zip(nodes, list(nodes)[1:]))).shapes["flat"]
    nodes |= {"dense": Dense(rng.normal(0, 0.2, (2, *shape))), "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=3)
    assert [path.method for path in Simulator(model, precision).program.stages["fire"].paths] == ["windowed"]
    return model


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("signed", (False, True))
@pytest.mark.parametrize("case", range(len(WIDE_WINDOWS)))
def test_wide_windows(case, signed, precision):
    """Of images of many planes, of which some steps lack the highest, rows of padding and background included."""
    n_in, size = WIDE_WINDOWS[case][0], WIDE_WINDOWS[case][-1]
    rng = np.random.default_rng(case)
    model = looked_up(rng, Input((n_in, *size), bits=5, signed=signed), WIDE_WINDOWS[case], precision)
    x = rng.integers(-31 if signed else 0, 32, (2, 3, n_in, *size))
    x[:, 1] //= 8
    x[0, 2], x[1, ..., : size[1] // 2] = 0, 0
    assert_equal_to_reference(model, x, precision)
    assert_equal_to_reference(model, x[:, 0], precision)


# as WIDE_WINDOWS, of images, with more inputs than a word has: the last word full, or of fewer rows; padding that
# fills a word
IMAGE_WINDOWS = [
    (3, 40, (7, 7), (2, 2), (3, 3), (1, 1), (9, 18)), (1, 5, (9, 8), (1, 1), (8, 0), (1, 1), (3, 9)),
    (4, 3, (8, 8), (3, 2), (4, 2), (1, 1), (8, 7)), (3, 20, (5, 5), (1, 1), (2, 2), (1, 2), (4, 11)),
    (2, 7, (3, 32), (1, 1), (1, 16), (2, 1), (5, 12)), (1, 33, (13, 5), (2, 1), (12, 2), (1, 1), (2, 8)),
]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", range(len(IMAGE_WINDOWS)))
def test_wide_windows_of_images(case, precision):
    n_in, size = IMAGE_WINDOWS[case][0], IMAGE_WINDOWS[case][-1]
    rng = np.random.default_rng(case)
    node = Input((n_in, *size), encoding="image", bits=7, scale=0.25, mean=np.full(n_in, 3.0))
    model = looked_up(rng, node, IMAGE_WINDOWS[case], precision)
    x = rng.integers(0, 128, (3, n_in, *size))
    x[1], x[2, :, : size[0] // 2] = x[1] // 8, 0
    assert_equal_to_reference(model, x, precision)


@pytest.mark.parametrize("inputs, kernel, encoding, windowed", (
    (4, (8, 8), "image", True), (4, (8, 8), "spikes", False), (5, (4, 4), "image", False),
    (1, (4, 64), "image", True), (4, (4, 16), "image", True), (4, (5, 16), "image", False),
    (1, (1, 65), "image", False), (16, (2, 2), "spikes", True), (4, (2, 17), "image", False),
    (1, (8, 8), "spikes", True), (1, (1, 1), "image", False),
))
def test_windows_that_are_looked_up(inputs, kernel, encoding, windowed):
    """64 inputs, or 256 of an image of at most four channels, of which a row has at most 64."""
    nodes = {"in": Input((inputs, 12, 66), encoding=encoding), "conv": Conv2d(np.ones((3, inputs, *kernel))),
             "out": Readout()}
    [path] = Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])))).program.stages["out"].paths
    assert (path.method == "windowed") == windowed


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("signed", (False, True))
def test_few_events_in_wide_maps(signed, precision):
    """Empty words, windows, planes and steps, which kernels skip, beside a few that are not; and step by step, as
    streams run."""
    rng = np.random.default_rng(5)
    model = small_chain(
        rng, Input((2, 21, 35), signed=signed), AvgPool(3, stride=2, padding=1), conv(5, stride=2, padding=1),
        Neuron(0.3, leak=0.9, bits=2), AvgPool(2), conv(9, padding=1, bias=False), Neuron(0.3))
    x = (rng.random((2, 3, 2, 21, 35)) < 0.003) * rng.choice((-1, 1) if signed else (1,), (2, 3, 2, 21, 35))
    x[:, 1], x[0, :, 1], x[0, 0, 0] = 0, 0, 1
    found = assert_equal_to_reference(model, x, precision)
    simulator = Simulator(model, precision, chunk=1)
    untraced = simulator.run(x)
    for name in untraced.spikes:
        np.testing.assert_array_equal(untraced.levels(name), found.levels(name), name)
    for layer, counts in untraced.counts.layers.items():
        for name in counts:
            np.testing.assert_array_equal(counts[name], found.counts[layer][name], f"{name} of {layer}")


@pytest.mark.parametrize("channels, bits, signed", (
    (1, 8, False), (3, 8, False), (3, 5, True), (9, 2, True), (28, 4, False), (70, 1, False),
))
def test_levels_at_the_top(channels, bits, signed):
    """Weights and levels as large as they get: the sums of pairs that 16 bits just hold."""
    rng = np.random.default_rng(channels)
    weight = rng.choice((-1.0, 1.0), (64, channels, 3, 3))
    weight[::8], weight[1::8] = -1, 1
    top = 2**bits - 1
    model = Model(
        {"in": Input((channels, 5, 4), bits=bits, signed=signed), "synapses": Conv2d(weight, padding=1),
         "a": Neuron(v_threshold=top, quantum=top)},
        [("in", "synapses"), ("synapses", "a")], timesteps=2,
    )
    x = top * rng.choice((-1, 1) if signed else (0, 1), (3, 2, channels, 5, 4), p=(0.1, 0.9))
    x[0] = top
    assert_equal_to_reference(model, x, "int8")


@pytest.mark.parametrize("name", MODELS)
def test_named_networks_on_a_chip(name):
    """Each on two chips, that all of them together may meet all models' options."""
    model, x = MODELS[name]
    first = sorted(MODELS).index(name)
    for i in (first, first + 3):
        assert_equal_to_reference(model, x, "fixed", chip=CHIPS[i % len(CHIPS)])


@pytest.mark.parametrize("name", ("cuba", "sdnn"))
@pytest.mark.parametrize("seed", range(3))
def test_networks_in_a_chips_own_integers(name, seed):
    model, x, chip = chip_models(seed)[name]
    found = assert_equal_to_reference(model, x, "fixed", chip=chip)
    assert all(0.01 < (found.levels(node) != 0).mean() < 0.99 for node in found.spikes)
    assert sum(layer.n_clipped for layer in found.audit.values())


def test_random_chips_overflow_in_every_way():
    """A fixed set of draws is equal, few are refused, and every width is left under every rule."""
    met, n_equal = set(), 0
    for seed in range(200):
        model, x, timesteps, chip = random_chip_run(seed)
        found = assert_equal_to_reference(model, x, "fixed", timesteps, chip)
        n_equal += found is not None
        for layer in found.audit.values() if found is not None else ():
            met |= {(q, r.overflow) for q, r in layer.ranges.items() if r.overflows}
    assert met == OVERFLOWS
    assert n_equal > 163


def test_numbers_near_int32():
    """The engine refuses what it cannot prove to fit; what it runs never turns around in int32."""
    n_equal = 0
    for seed in range(150):
        model, x, chip = run_near_int32(seed)
        n_equal += assert_equal_to_reference(model, x, "fixed", chip=chip) is not None
    assert n_equal > 50


_LEAKLESS = dict(quantum=0.1, current_leak=1.0)


@pytest.mark.parametrize("node, levels, widths", [
    (Neuron(), [2385], dict(weight_shift=12, sum_bits=13, sum_overflow="wrap_once",
                            current_bits=21, current_overflow="saturate")),
    (Neuron(), [2385], dict(weight_shift=12, sum_bits=32, sum_overflow="wrap",
                            current_bits=21, current_overflow="saturate")),
    (Neuron(0.1, resolution=32767 * 2.0**16, **_LEAKLESS), [1, 1, 1],
     dict(weight_shift=16, current_bits=30, current_overflow="saturate")),
    (Neuron(1e6, current_leak=1.0, resolution=250.0), [4095] * 80, dict(current_bits=32, current_overflow="wrap")),
    (Neuron(1e5, current_leak=1.0, resolution=30000.0 * 4096), [7] * 4,
     dict(weight_shift=12, current_bits=24, current_overflow="wrap_once")),
])
def test_what_int32_would_wrap_unseen_is_refused(node, levels, widths):
    """Each step fits its width after it was limited, but not int32 before."""
    model = chain(Input(1, "spikes", 12), Dense([[1.0]]), node, timesteps=len(levels))
    chip = Chip("wide", weight_bits=16, **widths)
    x = np.array(levels).reshape(1, -1, 1)
    assert assert_equal_to_reference(model, x, "fixed", chip=chip) is None


def test_named_networks_use_every_node_type():
    used = {type(node).__name__ for model, _ in MODELS.values() for node in model.nodes.values()}
    assert used == {cls.__name__ for cls in NODE_TYPES.values()}


def test_named_networks_spike():
    """Equality of silence, or of neurons that all do the same, would show nothing."""
    alive = total = 0
    for model, x in MODELS.values():
        for name, levels in reference.simulate(model, x, "float64").levels.items():
            if model.nodes[name].fires():
                total += 1
                alive += len(np.unique(levels)) > 1
    assert total > 100 and alive >= 0.95 * total


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_random_networks(drawn):
    model, x, timesteps = drawn
    for precision in PRECISIONS:
        assert_equal_to_reference(model, x, precision, timesteps)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(chip_runs())
def test_random_networks_on_chips(drawn):
    model, x, timesteps, chip = drawn
    assert_equal_to_reference(model, x, "fixed", timesteps, chip)


def assert_equal_in_pieces(model, x, precision, timesteps=None, chip=None):
    """One chunk or many, one block or many, one worker or two, cut in two by its state: the same
    bits, and the same audit."""
    record = ALL + ("audit",) * (precision in INTEGERS)
    try:
        simulator = Simulator(model, precision, chip=chip)
        whole = simulator.run(x, timesteps, record)
    except (UnsupportedError, RunError):
        return
    small = with_settings(simulator, workers=2, chunk=1, block=1)
    assert_same_runs(whole, [small.run(x, timesteps, record)])
    cut, still = whole.timesteps // 2, x.ndim == 1 + len(model.shapes[model.input])
    if not cut:
        return
    first = small.run(x if still else x[:, :cut], cut, record)
    rest = whole.timesteps - cut
    second = small.run(x if still else x[:, cut:], rest if still else None, record, first.state)
    assert_same_runs(whole, [first, second])


def assert_same_runs(whole, parts):
    """A run equals its parts, one after another."""
    def joined(get):
        return np.concatenate([get(part) for part in parts], axis=1)

    np.testing.assert_array_equal(whole.outputs, joined(lambda part: part.outputs))
    for name in whole.spikes:
        np.testing.assert_array_equal(whole.levels(name), joined(lambda part: part.levels(name)))
    for kind, traces in whole.traces.items():
        for name, trace in traces.items():
            np.testing.assert_array_equal(trace, joined(lambda part: part.traces[kind][name]))
    for layer, row in whole.counts.layers.items():
        for count, values in row.items():
            if not count.startswith("executed"):
                np.testing.assert_array_equal(values, sum(part.counts[layer][count] for part in parts))
    for layer, audit in (whole.audit or {}).items():
        assert audit == merge([part.audit[layer] for part in parts], along="steps")


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [n for n in MODELS if "maximum" in n or "alpha" in n])
def test_maxima_of_currents_and_alpha_neurons_in_pieces(name, precision):
    assert_equal_in_pieces(*MODELS[name], precision)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(runs())
def test_random_networks_in_pieces(drawn):
    model, x, timesteps = drawn
    for precision in PRECISIONS:
        assert_equal_in_pieces(model, x, precision, timesteps)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(chip_runs())
def test_random_networks_on_chips_in_pieces(drawn):
    model, x, timesteps, chip = drawn
    assert_equal_in_pieces(model, x, "fixed", timesteps, chip)
