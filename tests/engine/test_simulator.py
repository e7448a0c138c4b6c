"""The public interface of Simulator and Recording, and cases whose answers are known in closed form."""

from math import ceil, floor, tanh
from pathlib import Path

import numpy as np
import pytest
from processes import python

from eventsim import (
    Add, Conv2d, DataError, Delay, Dense, Flatten, Input, Model, ModelError, Neuron, Readout, RunError,
    Simulator, UnsupportedError,
)

PRECISIONS = ("float32", "float64", "int8")
DTYPES = {"float32": np.float32, "float64": np.float64, "int8": np.int32}


def network(encoding="spikes", timesteps=4, **readout):
    """(2, 4, 4) to 3 classes, with a map, a vector and a readout."""
    rng = np.random.default_rng(1)
    nodes = {
        "in": Input((2, 4, 4), encoding, bits=1 if encoding == "real" else 4),
        "conv": Conv2d(rng.normal(0, 0.3, (5, 2, 3, 3)), rng.normal(0, 0.1, 5), padding=1),
        "map": Neuron(0.5, bits=2),
        "flat": Flatten(),
        "d1": Dense(rng.normal(0, 0.2, (6, 80))),
        "vector": Neuron(0.5, leak=0.9),
        "d2": Dense(rng.normal(0, 0.5, (3, 6)), rng.normal(0, 0.5, 3)),
        "out": Readout(**readout),
    }
    names = list(nodes)
    return Model(nodes, list(zip(names, names[1:])), timesteps, class_names=("a", "b", "c"))


def single(neuron, encoding="real", **settings):
    """One input straight into one neuron."""
    return Model({"in": Input((1,), encoding, **settings), "n": neuron}, [("in", "n")])


def samples(*leading, shape=(2, 4, 4), high=16):
    return np.random.default_rng(2).integers(0, high, (*leading, *shape), np.uint8)


# ---- shapes of x, steps


@pytest.mark.parametrize("precision", PRECISIONS)
def test_shapes_and_types(precision):
    record = ("spikes", "potentials", "residuals", "outputs")
    found = Simulator(network(), precision).run(samples(3, 4), record=record)
    real = np.float64 if precision == "int8" else DTYPES[precision]
    assert found.precision == precision and found.timesteps == 4 and found.seconds > 0
    assert found.output.shape == (3, 3) and found.output.dtype == real
    assert found.outputs.shape == (3, 4, 3) and found.outputs.dtype == real
    assert np.array_equal(found.outputs[:, -1], found.output)
    assert found.predictions.shape == (3,) and found.predictions.dtype == np.int64
    for name, shape in {"in": (2, 4, 4), "map": (5, 4, 4), "vector": (6,)}.items():
        assert found.levels(name).shape == (3, 4, *shape)
        assert found.levels(name).dtype == np.uint8
    for name, shape in {"map": (5, 4, 4), "vector": (6,), "out": (3,)}.items():
        for trace in (found.potentials(name), found.residuals(name)):
            assert trace.shape == (3, 4, *shape) and trace.dtype == DTYPES[precision]
    assert found.counts.steps == 4 and found.counts.n_samples == 3


def test_levels_are_the_input():
    x = samples(3, 4)
    assert np.array_equal(Simulator(network()).run(x).levels("in"), x)


@pytest.mark.parametrize("bits, signed, dtype", [
    (1, False, np.uint8), (8, False, np.uint8), (9, False, np.uint16), (16, False, np.uint16),
    (2, True, np.int32), (16, True, np.int32),
])
def test_levels_hold_every_width(bits, signed, dtype):
    top = 2**bits - 1
    neuron = Neuron(1.0, bits=bits, signed=signed)
    sim = Simulator(single(neuron, "spikes", bits=bits, signed=signed))
    x = np.array([[[top]], [[-top if signed else 0]], [[top // 2 + 1]]])
    recording = sim.run(x)
    assert np.array_equal(recording.levels("n"), x) and recording.levels("n").dtype == dtype
    assert np.array_equal(recording.output, x[:, 0])


def test_still_samples_are_shown_at_every_step():
    x = samples(3)
    sim = Simulator(network())
    still = sim.run(x, record=("spikes", "outputs"))
    moving = sim.run(np.repeat(x[:, None], 4, axis=1), record=("spikes", "outputs"))
    assert still.timesteps == 4
    for name in ("in", "map", "vector"):
        assert np.array_equal(still.levels(name), moving.levels(name))
    assert np.array_equal(still.outputs, moving.outputs)
    names = [c for c in still.counts["map"] if not c.startswith("executed")]
    for layer in still.counts.layers:
        for name in names:
            assert np.array_equal(still.counts[layer][name], moving.counts[layer][name]), (layer, name)
    assert (still.counts["map"]["executed_additions"] * 4 == still.counts["map"]["additions"]).all()
    assert (moving.counts["map"]["executed_additions"] == moving.counts["map"]["additions"]).all()


def test_steps():
    sim = Simulator(network(timesteps=3))
    assert sim.run(samples(2)).timesteps == 3  # the model's
    assert sim.run(samples(2), timesteps=5).timesteps == 5
    assert sim.run(samples(2, 6)).timesteps == 6  # those of x
    assert sim.run(samples(2, 6), timesteps=6).timesteps == 6
    with pytest.raises(DataError, match="x has 6 steps, but the run has 5"):
        sim.run(samples(2, 6), timesteps=5)


@pytest.mark.parametrize("timesteps", (0, -1, 1.5, "four", True, "4"))
@pytest.mark.parametrize("x", (samples(2), samples(2, 4)), ids=("still", "steps"))
def test_wrong_steps(timesteps, x):
    with pytest.raises(DataError, match="timesteps is .*, expected a whole number from 1"):
        Simulator(network()).run(x, timesteps=timesteps)


@pytest.mark.parametrize("x, message", [
    (samples(shape=(2, 4, 4)), r"x has shape \(2, 4, 4\), expected .*a single sample needs a sample axis"),
    (samples(3, shape=(4, 4, 2)), r"channels come first: np.moveaxis\(x, -1, -3\)"),
    (samples(3, shape=(4, 4)), r"x has shape \(3, 4, 4\)"),
    (samples(3, 4, 5), r"x has shape \(3, 4, 5, 2, 4, 4\)"),
    (samples(0), "which holds no value"),
    (samples(3, 0), "which holds no value"),
    (samples(3) + 1, r"x has values up to 16 but the model's input has 4 bits \(0 to 15\)"),
    (-samples(3).astype(int), r"x has values down to -15 .*negative levels need an Input with signed=True"),
    (samples(3) / 15, "fractional values, expected whole levels from 0 to 15; it looks scaled"),
    (np.full((1, 2, 4, 4), np.nan), "not finite"),
    ("text", "x has elements of type"),
    ([[1, 2], [3]], "x is no array of numbers"),
    (np.zeros((1, 2, 4, 4), complex), "x has elements of type complex128"),
    (None, "x has elements of type object"),
])
def test_wrong_x(x, message):
    with pytest.raises(DataError, match=message):
        Simulator(network()).run(x)


@pytest.mark.parametrize("dtype", (bool, np.uint8, np.int8, np.int64, np.uint64, np.float32, ">i4", ">f8"))
def test_types_of_x(dtype):
    x = samples(3, 4, high=2)
    expected = Simulator(network()).run(x)
    found = Simulator(network()).run(x.astype(dtype))
    assert np.array_equal(found.output, expected.output)


@pytest.mark.parametrize("change", (
    lambda x: x[::-1][::-1], lambda x: np.asfortranarray(x), lambda x: x.tolist(),
    lambda x: np.lib.stride_tricks.as_strided(x, x.shape, x.strides, writeable=False),
    lambda x: np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
))
@pytest.mark.parametrize("encoding", ("spikes", "real"))
def test_memory_of_x(change, encoding):
    """Views, read-only and unaligned arrays give the same."""
    x = samples(3, 4, high=2)
    sim = Simulator(network(encoding))
    assert np.array_equal(sim.run(change(x)).output, sim.run(x).output)


# ---- what is recorded


def test_record_one_node():
    found = Simulator(network()).run(samples(2), record=("spikes:map", "potentials:out"))
    assert list(found.spikes) == ["map"] and list(found.traces) == ["potentials"]
    assert list(found.traces["potentials"]) == ["out"]


@pytest.mark.parametrize("record", ((), [], "spikes", ("spikes", "spikes"), ["outputs"]))
def test_record_is_any_collection(record):
    found = Simulator(network()).run(samples(2), record=record)
    assert bool(found.spikes) == ("spikes" in record)
    assert (found.answers is not None) == ("outputs" in record)
    assert found.counts["map"]["additions"].shape == (2,)


@pytest.mark.parametrize("record, message", [
    ("nonsense",
     "record has 'nonsense', expected any of spikes, currents, potentials, residuals, outputs, audit, statistics, "
     "intervals, membranes or 'kind:node'"),
    (("spikes", "potential"), "record has 'potential', expected any of"),
    ("outputs:out", "record has 'outputs:out', expected any of"),
    ("spikes:conv", "record has 'spikes:conv', but the nodes with spikes are in, map, vector"),
    ("spikes:out", "record has 'spikes:out', but the nodes with spikes are in, map, vector"),
    ("potentials:in", "record has 'potentials:in', but the nodes with potentials are map, vector, out"),
    ("residuals:none", "record has 'residuals:none', but the nodes with residuals are map, vector, out"),
])
def test_wrong_record(record, message):
    with pytest.raises(DataError, match=message):
        Simulator(network()).run(samples(2), record=record)


def test_what_was_not_recorded():
    found = Simulator(network()).run(samples(2), record=("spikes:map",))
    for call, message in (
        (lambda: found.levels("vector"), r"no spikes of 'vector' in this recording \(there are: 'map'\)"),
        (lambda: found.potentials("map"),
         r"no potentials of 'map' .*there are: nothing.*record=\(\"potentials\",\)"),
        (lambda: found.residuals("map"), "no residuals of 'map'"),
        (lambda: found.outputs, r"outputs were not recorded; run with record=\(\"outputs\",\)"),
    ):
        with pytest.raises(RunError, match=message):
            call()


def test_predictions_ties_go_to_the_lowest_index():
    weight = np.array([[0, 1], [1, 0], [1, 0], [0, 1.0]])
    model = Model({"in": Input((2,)), "d": Dense(weight), "out": Readout("sum")}, [("in", "d"), ("d", "out")])
    for precision in PRECISIONS:
        found = Simulator(model, precision).run([[1, 0], [0, 1], [1, 1], [0, 0]])
        assert found.predictions.tolist() == [1, 0, 0, 0]
        assert found.accuracy([1, 0, 3, 0]) == 0.75


@pytest.mark.parametrize("reduce", ("sum", "mean", "last"))
def test_readouts(reduce):
    """leak 0: the current of the step; leak 1: its running sum."""
    x = np.random.default_rng(3).integers(0, 8, (2, 5, 4))
    weight = np.array([[1, 2, 4, 8], [-1, 0, 0, 3.0]])
    for leak in (0, 1):
        model = Model({"in": Input((4,), bits=3), "d": Dense(weight, [1, 0]), "out": Readout(reduce, leak)},
                      [("in", "d"), ("d", "out")])
        v = x @ weight.T + [1, 0]
        v = v.cumsum(axis=1) if leak else v
        steps = np.arange(1, 6)[:, None]
        expected = {"sum": v.cumsum(axis=1), "mean": v.cumsum(axis=1) / steps, "last": v}[reduce]
        for precision in ("float32", "float64"):
            found = Simulator(model, precision).run(x, record=("outputs",))
            assert np.array_equal(found.outputs, expected.astype(precision))


def test_a_model_that_ends_in_neurons_outputs_summed_levels():
    model = single(Neuron(1.0, bits=2), "spikes", bits=2)
    found = Simulator(model).run([[[3], [0], [2]], [[1], [1], [1]]], record=("spikes", "outputs"))
    assert found.output.tolist() == [[5.0], [3.0]]
    assert found.outputs.tolist() == [[[3.0], [3.0], [5.0]], [[1.0], [2.0], [3.0]]]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("delay", (0, 2))
def test_a_model_that_ends_in_a_flatten_outputs_summed_levels_flattened(precision, delay):
    nodes = {"in": Input((2, 3, 4), bits=2), "n": Neuron(1.0, bits=2), "flat": Flatten()}
    model = Model(nodes, [("in", "n"), ("n", "flat", delay)], class_names=[f"{i}" for i in range(24)])
    x = samples(3, 5, shape=(2, 3, 4), high=4)
    found = Simulator(model, precision).run(x, record=("spikes", "outputs"))
    seen = np.concatenate((np.zeros((3, delay, 24)), x.reshape(3, 5, 24)), axis=1)[:, :5]
    assert np.array_equal(found.outputs, seen.cumsum(axis=1))
    assert np.array_equal(found.levels("flat"), seen)
    assert np.array_equal(found.levels("n"), x)
    again = Simulator(model, precision, chunk=2, block=2).run(x, record=("spikes", "outputs"))
    assert np.array_equal(again.outputs, found.outputs)


# ---- state


def test_state_continues():
    x = samples(3, 6)
    sim = Simulator(network())
    first = sim.run(x[:, :4])
    assert first.state.step == 4
    second = sim.run(x[:, 4:], state=first.state)
    assert second.state.step == 6 and second.timesteps == 2
    assert np.array_equal(second.output, sim.run(x).output)


def test_state_of_other_samples():
    sim = Simulator(network())
    state = sim.run(samples(3)).state
    with pytest.raises(DataError, match=r"state is of \[3\] samples, but x has 2"):
        sim.run(samples(2), state=state)


def test_state_of_another_model_or_precision():
    state = Simulator(network()).run(samples(3)).state
    for precision in ("float64", "int8"):
        with pytest.raises(DataError, match=f"state does not fit layer 'map'.*precision '{precision}'"):
            Simulator(network(), precision).run(samples(3), state=state)
    other = single(Neuron(), "spikes")
    with pytest.raises(DataError, match="state does not fit"):
        Simulator(other).run([[1], [1], [1]], state=state)


OTHER_STATES = """
import numpy as np
from eventsim import DataError, Dense, Input, Model, Neuron, Simulator

def delayed(delay, **options):
    nodes = {"in": Input((2,)), "d": Dense(np.ones((2, 2))), "n": Neuron(**options)}
    return Model(nodes, [("in", "d"), ("d", "n", delay)])

x = np.ones((1, 3, 2), int)
for first, then in (
    (delayed(1), delayed(2)), (delayed(0), delayed(1)), (delayed(0), delayed(0, refractory=1)),
    (delayed(0), delayed(0, reset_delay=1)),
):
    state = Simulator(first).run(x).state
    try:
        Simulator(then).run(x, state=state)
    except DataError as error:
        print(error)
"""


def test_state_of_a_model_with_other_delays():
    """What the state holds beside membranes (history, pending, waiting) has to fit, too: kernels
    write there unchecked. In a process of its own, which such a write could end."""
    done = python("-c", OTHER_STATES)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("state does not fit") == 4, done.stdout


def test_state_without_layers():
    """A model of which nothing but the input runs has no membranes, and still a state."""
    nodes = {"in": Input((2,), bits=2), "add": Add()}
    try:
        model = Model(nodes, [("in", "add"), ("in", "add", 1)])
    except ModelError:
        pytest.skip("no such model")
    x = np.array([[[1, 2], [3, 0], [1, 1]]])
    sim = Simulator(model)
    first = sim.run(x[:, :2])
    assert np.array_equal(sim.run(x[:, 2:], state=first.state).output, sim.run(x).output)


# ---- precision, limits


@pytest.mark.parametrize("precision", ("int4", "FLOAT32", "", 32))
def test_unknown_precision(precision):
    with pytest.raises(ModelError, match=f"precision is {precision!r}, expected one of float32, float64, int8"):
        Simulator(network(), precision)


@pytest.mark.parametrize("name", ("workers", "chunk", "block"))
@pytest.mark.parametrize("value", (0, -1, 1.5, "two"))
def test_wrong_settings(name, value):
    with pytest.raises(ModelError, match=f"{name} is {value!r}, expected a whole number from 1"):
        Simulator(network(), **{name: value})


def test_a_setting_that_is_changed_holds_from_the_next_run_on():
    simulator, x = Simulator(network(), "int8"), np.ones((4, 2, 4, 4), int)
    expected = simulator.run(x)
    simulator.workers, simulator.block = np.int64(2), 2
    found = simulator.run(x)
    assert found.context.workers == 2 and expected.context.workers == 1
    np.testing.assert_array_equal(found.output, expected.output)
    first = simulator.run(x).context
    assert simulator.run(x).context is first  # nothing was made anew
    simulator.program = Simulator(simulator.model, "float32").program
    assert simulator.run(x).precision == "float32"
    simulator.workers = 0
    with pytest.raises(ModelError, match="workers is 0, expected a whole number from 1 to 1024"):
        simulator.run(x)


def test_real_input_has_no_fixed_point():
    with pytest.raises(UnsupportedError, match=r"node 'in' \(Input\): real input has no fixed point"):
        Simulator(network("real"), "int8")


def test_steps_beyond_the_proved_ones():
    model = Model(
        {"in": Input((1,), bits=16), "d": Dense([[1.0]]), "n": Neuron(1.0, bits=1)}, [("in", "d"), ("d", "n")]
    )
    sim = Simulator(model, "int8")
    safe = sim.program.safe_steps
    assert 1 <= safe < 1000
    x = np.full((1, 1), 65535)
    recording = sim.run(x, timesteps=safe, record=("potentials",))
    potentials = recording.potentials("n").astype(np.int64).ravel()
    assert (np.diff(potentials) > 0).all(), "int32 held the sums"
    message = f"{safe + 1} steps, but only {safe} are proved free of int32 overflow"
    with pytest.raises(RunError, match=message):
        sim.run(x, timesteps=safe + 1)
    with pytest.raises(RunError, match=message):
        sim.run(x, timesteps=1, state=recording.state)
    Simulator(model, "float32").run(x, timesteps=safe + 1)


def test_leaking_membranes_need_no_limit():
    model = Model(
        {"in": Input((1,), bits=8), "d": Dense([[1.0]]), "n": Neuron(leak=0.5)}, [("in", "d"), ("d", "n")]
    )
    assert Simulator(model, "int8").program.safe_steps is None


# ---- many batches


def test_iterate():
    sim, x = Simulator(network()), samples(7)
    whole = sim.run(x)
    found = list(sim.iterate([x[:3], x[3:4], x[4:]], record=("spikes",)))
    assert np.array_equal(np.concatenate([r.output for r in found]), whole.output)
    assert np.array_equal(np.concatenate([r.levels("map") for r in found]), whole.levels("map"))
    assert not any(r.state for r in found)
    labelled = list(sim.iterate([(x[:3], np.zeros(3)), (x[3:], None)], timesteps=2))
    assert [r.timesteps for r in labelled] == [2, 2] and not labelled[0].spikes


def test_iterate_is_lazy():
    def batches():
        yield samples(2)
        raise AssertionError("read ahead")

    assert next(Simulator(network()).iterate(batches())).output.shape == (2, 3)


STREAM = """
import resource, sys
import numpy as np
sys.path[:0] = {folders!r}
from eventsim import Simulator
from test_simulator import network

def batches(n):
    for i in range(n):
        yield np.random.default_rng(i).integers(0, 16, (500, 4, 2, 4, 4), np.uint8)

def peak(n):
    total = 0
    for recording in simulator.iterate(batches(n), record=("spikes", "potentials")):
        total += recording.counts.total("additions")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, total

simulator = Simulator(network(), workers=2)
few, _ = peak(50)
many, total = peak(300)
print(many - few)
assert total > 0
"""


def test_iterate_needs_bounded_memory():
    """250 more batches hold 200 MB with their recordings; the peak of 50 is hardly exceeded."""
    here = Path(__file__).parent
    code = STREAM.format(folders=[str(here), str(here.parent / "support")])
    done = python("-c", code, timeout=100)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 << 10  # KiB


# ---- closed forms


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rate_of_an_if_neuron(precision):
    """Under constant input q / 256 <= theta, floor(t q / 256) spikes have been sent after t steps."""
    steps = 64
    model = Model(
        {"in": Input((1,), bits=9, scale=1 / 256), "d": Dense([[1.0]]), "n": Neuron(1.0)},
        [("in", "d"), ("d", "n")]
    )
    q = 16 * np.arange(17)
    sent = Simulator(model, precision).run(q[:, None], steps).levels("n")[:, :, 0].cumsum(axis=1)
    t = np.arange(1, steps + 1)
    assert np.array_equal(sent, np.outer(q, t) // 256)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rate_of_a_neuron_with_hard_reset(precision):
    """A hard reset loses what is above the threshold: one spike every ceil(256 / q) steps."""
    model = Model(
        {"in": Input((1,), bits=9, scale=1 / 256), "d": Dense([[1.0]]), "n": Neuron(1.0, reset="hard")},
        [("in", "d"), ("d", "n")],
    )
    q = 8 * np.arange(1, 60)
    sent = Simulator(model, precision).run(q[:, None], 60).levels("n").sum(axis=(1, 2))
    assert sent.tolist() == [60 // ceil(256 / i) for i in q]


def test_leaky_neuron_below_its_threshold():
    """H converges to input / (1 - leak) and never reaches a threshold above it."""
    model = single(Neuron(2.0, leak=0.5))
    recording = Simulator(model, "float64").run(np.full((1, 60, 1), 0.999), record=("spikes", "potentials"))
    h = recording.potentials("n").ravel()
    assert not recording.levels("n").any()
    assert np.allclose(h, 1.998 * (1 - 0.5 ** np.arange(1, 61)), rtol=1e-15)


def test_refractory_neuron():
    """One spike, then `refractory` steps of rest: floor((t - 1) / (r + 1)) + 1 spikes."""
    for r in range(4):
        sent = Simulator(single(Neuron(1.0, refractory=r, reset="hard"))).run(np.ones((1, 20, 1)))
        assert sent.levels("n").sum() == 19 // (r + 1) + 1


@pytest.mark.parametrize("theta", (0.5, 1.0, 0.7))
@pytest.mark.parametrize("precision", PRECISIONS)
def test_figure_2(precision, theta):
    """InfLoR-SNN, Figure 2: 1.5, 1.2, 1.5, 0.9, 1.4 times the threshold: 3 spikes of SRIF, which
    subtracts a spike twice as large as the threshold, 4 of IF with hard reset to 0."""
    tenths = np.array([15, 12, 15, 9, 14])
    for neuron, expected in (
        (Neuron(theta, quantum=2 * theta), [1, 0, 1, 1, 0]),
        (Neuron(theta, quantum=2 * theta, reset="hard"), [1, 1, 1, 0, 1]),
    ):
        if precision == "int8":
            nodes = {"in": Input((1,), bits=4), "d": Dense([[theta / 10]]), "n": neuron}
            model, x = Model(nodes, [("in", "d"), ("d", "n")]), tenths[None, :, None]
        else:
            model, x = single(neuron), (tenths * theta / 10)[None, :, None]
        sent = Simulator(model, precision).run(x).levels("n").ravel().tolist()
        assert sent == expected


# ---- MPR


def phi(u):
    """InfLoR-SNN, eq. 9."""
    if u < 0:
        return 1 - (1 - u) ** (1 / 3)
    if u <= 1:
        return tanh(3 * (u - 0.5)) / (2 * tanh(1.5)) + 0.5
    return u ** (1 / 3)


def rectified(theta, rectify, bits=1, quantum=1.0, comparison=">="):
    rng = np.random.default_rng(4)
    neuron = Neuron(theta, rectify=rectify, bits=bits, quantum=quantum, comparison=comparison)
    nodes = {"in": Input((20,), bits=3), "d": Dense(rng.normal(0, 0.3, (40, 20)), rng.normal(0, 0.3, 40)),
             "n": neuron}
    return Model(nodes, [("in", "d"), ("d", "n")])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("bits, quantum", [(1, 1.0), (3, 1.0), (2, 0.5), (1, 0.25)])
def test_mpr_never_changes_a_spike_at_half_a_quantum(precision, bits, quantum):
    x = np.random.default_rng(5).integers(0, 8, (20, 10, 20))
    record = ("spikes", "potentials", "residuals")
    with_mpr, without = (
        Simulator(rectified(quantum / 2, rectify, bits, quantum), precision).run(x, record=record)
        for rectify in (True, False)
    )
    assert 0.1 < (without.levels("n") > 0).mean() < 0.9
    assert np.array_equal(with_mpr.levels("n"), without.levels("n"))
    assert np.array_equal(with_mpr.potentials("n"), without.potentials("n"))
    assert np.array_equal(with_mpr.residuals("n"), without.residuals("n"))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("comparison", (">=", ">"))
@pytest.mark.parametrize("theta", (-0.4, 0.0, 0.1, 0.3, 0.75, 1.0, 1.2))
def test_mpr_elsewhere_is_phi_of_the_membrane(precision, theta, comparison):
    sim = Simulator(rectified(theta, True, comparison=comparison), precision)
    x = np.random.default_rng(6).integers(0, 8, (20, 10, 20))
    found = sim.run(x, record=("spikes", "potentials"))
    h = found.potentials("n").astype(np.float64)
    if precision == "int8":
        h = h / steps_per_quantum(sim)
    seen = np.vectorize(phi)(h)
    expected = seen >= theta if comparison == ">=" else seen > theta
    assert 0.02 < expected.mean() < 0.98
    assert np.array_equal(found.levels("n"), expected)


def steps_per_quantum(sim):
    """D of each channel: what one level subtracts from the integer membrane."""
    layer = sim.program.stages["n"]
    return layer.update.amounts.ravel()[: layer.shape[0]]


def test_mpr_threshold_is_the_smallest_that_passes():
    """Bisection ends between two neighbouring numbers of the type."""
    for dtype in (np.float32, np.float64):
        for theta in (0.1, 0.3, 0.9, 1.1):
            sim = Simulator(rectified(theta, True), np.dtype(dtype).name)
            c = sim.program.stages["n"].update.thresholds.ravel()[0]
            assert c.dtype == dtype
            assert phi(float(c)) >= theta > phi(float(np.nextafter(c, dtype(-np.inf))))


def test_levels_round_to_nearest_with_ties_up():
    """theta = quantum / 2, the multi-bit definition: clip(floor(h / quantum + 1/2), 0, 2^bits - 1)."""
    h = np.arange(-40, 200) / 16
    for quantum, bits in ((1.0, 1), (0.5, 3), (0.25, 4), (2.0, 2)):
        sent = Simulator(single(Neuron(quantum / 2, quantum=quantum, bits=bits))).run(h[:, None, None])
        expected = [min(max(floor(v / quantum + 0.5), 0), 2**bits - 1) for v in h]
        assert sent.levels("n").ravel().tolist() == expected


@pytest.mark.parametrize("steps", (2, [0, 2]))
def test_a_model_may_end_in_a_delay(steps):
    model = Model({"in": Input((2,)), "n": Neuron(), "late": Delay(steps)}, [("in", "n"), ("n", "late")])
    x = np.array([[[1, 0], [0, 1], [0, 0], [1, 1], [1, 0]]])
    found = Simulator(model).run(x)
    expected = np.zeros_like(x)
    for c, delay in enumerate(np.broadcast_to(steps, 2)):
        expected[:, delay:, c] = x[:, : x.shape[1] - delay, c]
    np.testing.assert_array_equal(found.levels("late"), expected)
    np.testing.assert_array_equal(found.output, expected.sum(axis=1))
