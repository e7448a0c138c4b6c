"""NIR files: what reaches the end, paths that are equal, and weights whose current several nodes read."""

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import (
    Add, AvgPool, BatchNorm, Delay, Dense, EventsimWarning, Flatten, Input, Model, Neuron, Readout, Simulator,
    SumPool, UnsupportedError,
)
from nir_files import chain, DEFAULT, lif, PRESETS, Reference, write

PLAIN = {"reset": "hard", "comparison": ">"}
FLAT = {"type": "Flatten", "start_dim": 0, "end_dim": -1}
POOL = {"kernel_size": np.array([2, 2]), "stride": np.array([2, 2]), "padding": np.array([0, 0])}
SUM, AVERAGE = {"type": "SumPool2d", **POOL}, {"type": "AvgPool2d", **POOL}


def levels(*shape, top=3, seed=1):
    return np.random.default_rng(seed).integers(0, top + 1, shape)


def scale(*values, shape=(2, 4, 4)):
    return {"type": "Scale", "scale": np.array(values).reshape(-1, *(1,) * (len(shape) - 1)) * np.ones(shape)}


def outputs(model, x):
    return Simulator(model, "float64").run(x, record="outputs").outputs


# ---- files that end in spikes of a worth

IF = lif((2, 4, 4), "IF")
ENDS = {
    "flat": ((IF, scale(0.5, 4.0), FLAT), (32,), True),
    "summed": ((IF, scale(0.25, 4.0), SUM), (2, 2, 2), True),
    "averaged": ((IF, AVERAGE), (2, 2, 2), False),
    "averaged and flat": ((IF, AVERAGE, FLAT), (8,), False),
    "scaled and averaged": ((IF, scale(3.0), AVERAGE, FLAT), (8,), True),
    "worth of the input": ((scale(3.0), SUM), (2, 2, 2), True),
    "worth 1": ((IF, SUM, FLAT), (8,), False),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_worth_at_the_end_is_kept(tmp_path, case):
    row, out, scaled = ENDS[case]
    nodes, edges = chain((2, 4, 4), *row, out=out)
    path, x = write(tmp_path / "net.nir", nodes, edges), levels(1, 6, 2, 4, 4)
    values = Reference(nodes, edges, **PRESETS["norse"]).run(x[0])["output"].reshape(6, -1)
    assert values.any()
    summed = values.cumsum(axis=0)
    assert np.allclose(outputs(eventsim.load(path, readout="sum"), x)[0], summed)
    default = eventsim.load(path)
    assert np.allclose(outputs(default, x)[0], values if scaled else summed)  # as a Scale right before the Output
    eventsim.save(default, tmp_path / "again.nir")
    assert np.allclose(outputs(eventsim.load(tmp_path / "again.nir"), x), outputs(default, x))


@pytest.mark.parametrize("after", [
    (), (Flatten(),), (SumPool(2),), (AvgPool(2), Flatten()), (Delay([0, 2]), Flatten()),
    (Delay(1), Delay([0, 2])),
], ids=str)
def test_models_that_count_levels_still_do(tmp_path, after):
    """A model that ends in spikes answers with their levels, whatever they are worth to those that read them."""
    nodes = {"in": Input((2, 4, 4), bits=2), "n": Neuron(output_quantum=[0.5, 2.0], **PLAIN),
             **{f"t{i}": node for i, node in enumerate(after)}}
    model, x = Model(nodes, list(zip(nodes, list(nodes)[1:])), 6), levels(2, 6, 2, 4, 4)
    eventsim.save(model, tmp_path / "net.nir")
    assert np.allclose(outputs(eventsim.load(tmp_path / "net.nir"), x), outputs(model, x))


# ---- models that end in a sum, or in what came before


def ends_in(last, *more, delay=0):
    nodes = {"in": Input((3,), bits=2), "a": Neuron(**PLAIN), "b": Neuron(v_threshold=2.0, **PLAIN), "last": last}
    return Model(nodes, [("in", "a"), ("in", "b"), ("a", "last", delay), *more], 6)


BOTH = ("b", "last")


@pytest.mark.parametrize("make", [
    lambda: ends_in(Add(), BOTH), lambda: ends_in(Add(), BOTH, delay=2),
    lambda: ends_in(Add(), ("a", "last", 1), BOTH),
    lambda: ends_in(Readout("sum"), BOTH), lambda: ends_in(Readout("last"), BOTH, delay=1),
    lambda: Model({"in": Input((3,), bits=2), "a": Neuron(**PLAIN), "r": Readout("sum")},
                  [("in", "a"), ("a", "r", 1)], 6),
    lambda: Model({"in": Input((3,), bits=2), "w": Dense(np.eye(3)), "r": Readout("mean")},
                  [("in", "w"), ("w", "r", 2)], 6),
    lambda: Model({"in": Input((3,), bits=2), "w": Dense(np.eye(3)), "v": Dense(2 * np.eye(3)), "both": Add(),
                   "r": Readout("mean")},
                  [("in", "w"), ("in", "v"), ("w", "both"), ("v", "both", 1), ("both", "r", 1)], 6),
    lambda: Model({"in": Input((3,), bits=2), "w": Dense(np.eye(3)), "flat": Flatten(), "r": Readout("mean")},
                  [("in", "w"), ("w", "flat", 1), ("flat", "r")], 6),
    lambda: Model({"in": Input((3,), bits=2), "w": Dense(np.eye(3)), "v": Dense(2 * np.eye(3)), "both": Add(),
                   "r": Readout("last")},
                  [("in", "w"), ("in", "v"), ("w", "both"), ("v", "both"), ("both", "r")], 6),
], ids=("sum", "late", "the same twice", "readout", "last", "late readout", "late current", "late currents",
        "flat", "currents"))
def test_sums_and_delays_at_the_end(tmp_path, make):
    model, x = make(), levels(2, 6, 3)
    eventsim.save(model, tmp_path / "net.nir")
    with h5py.File(tmp_path / "net.nir") as file:
        names = set(file["node/nodes"])
        assert all(end.decode() in names for edge in file["node/edges"][()] for end in edge)
    again = eventsim.load(tmp_path / "net.nir")
    assert np.allclose(outputs(again, x), outputs(model, x)) and outputs(model, x).any()


def test_a_sum_of_a_file_at_its_end(tmp_path):
    nodes, edges = chain((4,), lif(4, "IF"), lif(4, "IF", v_threshold=np.full(4, 2.0)))
    edges += [("n0", "output")]
    x = levels(1, 6, 4)
    model = eventsim.load(write(tmp_path / "net.nir", nodes, edges))
    expected = Reference(nodes, edges, **DEFAULT).run(x[0])["output"].cumsum(axis=0)
    assert np.array_equal(outputs(model, x)[0], expected)


@pytest.mark.parametrize("last", [Flatten(), Delay(1)], ids=("an edge", "a Delay"))
def test_a_delay_that_the_reader_would_refuse_is_not_written(tmp_path, last):
    nodes = {"in": Input((3,)), "n": Neuron(**PLAIN), "last": last}
    model = Model(nodes, [("in", "n"), ("n", "last", 1)], 4)
    message = "node 'last' .*: ends the model with a delay, .* leave the delay out"
    with pytest.raises(UnsupportedError, match=message):
        eventsim.save(model, tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())


# ---- equal paths

ONES = {"type": "Scale", "scale": np.ones(4)}
LATE = {"type": "Delay", "delay": np.full(4, 1e-3)}


@pytest.mark.parametrize("beside", [(ONES,), (ONES, ONES), (LATE, LATE), (ONES, LATE, LATE)],
                         ids=("once", "twice", "late", "both"))
@pytest.mark.parametrize("before", [(), ({"type": "Linear", "weight": np.eye(4) * 0.75},)],
                         ids=("spikes", "current"))
@pytest.mark.parametrize("into", ["neurons", "weights"])
def test_what_arrives_twice_counts_twice(tmp_path, beside, before, into):
    reader = {"type": "Linear", "weight": np.eye(4)[::-1]} if into == "weights" else None
    nodes, edges = chain((4,), *before, *([reader] if reader else []), lif(4, "IF", v_threshold=np.full(4, 3.5)))
    source, target = edges[len(before)]
    for i, node in enumerate(beside):
        nodes[f"s{i}"] = node
        edges += [(source, f"s{i}"), (f"s{i}", target)]
    x, last = levels(1, 12, 4, top=1), f"n{len(before) + bool(reader)}"
    expected = Reference(nodes, edges, **DEFAULT).run(x[0])[last]
    model = eventsim.load(write(tmp_path / "net.nir", nodes, edges))
    assert np.array_equal(Simulator(model, "float64").run(x).levels(last)[0], expected) and expected.any()
    if before and into == "weights":
        with pytest.raises(UnsupportedError, match="NIR's readers sum currents only in neurons"):
            eventsim.save(model, tmp_path / "again.nir")
        return
    eventsim.save(model, tmp_path / "again.nir")
    again = eventsim.load(tmp_path / "again.nir")
    assert np.array_equal(Simulator(again, "float64").run(x).levels(last)[0], expected)


def test_a_loop_and_its_delay_count_twice(tmp_path):
    """The step that a loop takes makes its edge the same as one that is a step late."""
    nodes, edges = chain((4,), lif(4, "IF", v_threshold=np.full(4, 3.5)))
    nodes["late"] = LATE
    edges += [("n0", "n0"), ("n0", "late"), ("late", "n0")]
    x = levels(1, 12, 4, top=1)
    model = eventsim.load(write(tmp_path / "net.nir", nodes, edges))
    v, sent, expected = np.zeros(4), np.zeros(4), []
    for frame in x[0]:
        v = v + frame + 2 * sent
        sent = (v > 3.5) * 1
        v = np.where(sent, 0.0, v)
        expected.append(sent)
    assert np.array_equal(Simulator(model).run(x).levels("n0")[0], expected) and np.any(expected)


def test_sums_that_make_a_late_path_twice(tmp_path):
    nodes = {"in": Input((3,)), "a": Neuron(**PLAIN), "b": Neuron(**PLAIN), "sum": Add(),
             "c": Neuron(v_threshold=2.5, **PLAIN)}
    model = Model(nodes, [("in", "a"), ("a", "b"), ("a", "sum", 1), ("b", "sum"), ("sum", "c"), ("a", "c", 1)], 8)
    eventsim.save(model, tmp_path / "net.nir")
    x = levels(2, 8, 3, top=1)
    expected = outputs(model, x)
    assert np.array_equal(outputs(eventsim.load(tmp_path / "net.nir"), x), expected) and expected.any()


# ---- gains and the weights before them


@pytest.mark.parametrize("shared", ["norm", "weights", "nothing"])
def test_a_shared_current_keeps_its_gains(tmp_path, shared):
    """Neurons of different gains that read one BatchNorm, or one Dense; and one neuron alone."""
    ones, zeros, rng = np.ones(4), np.zeros(4), np.random.default_rng(0)
    nodes = {"in": Input((5,)), "fc": Dense(rng.normal(0, 0.6, (4, 5))),
             "bn": BatchNorm(2 * ones, zeros, zeros, ones),
             "a": Neuron(leak=0.5, input_gain=0.5, v_threshold=0.4, **PLAIN),
             "b": Neuron(leak=0.9, input_gain=1.0, **PLAIN),
             "sum": Add(), "out": Neuron(leak=0.9, v_threshold=1.5, **PLAIN)}
    readers = {"norm": ("bn", "bn"), "weights": ("fc", "fc"), "nothing": ("bn", "in")}[shared]
    if shared == "weights":
        del nodes["bn"]
    if shared == "nothing":
        nodes["w"] = Dense(rng.normal(0, 0.6, (4, 5)))
    edges = [("in", "fc"), *([("fc", "bn")] if "bn" in nodes else []), (readers[0], "a"),
             *([("in", "w"), ("w", "b")] if shared == "nothing" else [(readers[1], "b")]),
             ("a", "sum"), ("b", "sum"), ("sum", "out")]
    model, x = Model(nodes, edges, 20), levels(4, 20, 5, top=1)
    eventsim.save(model, tmp_path / "net.nir")
    again = eventsim.load(tmp_path / "net.nir")
    for name in ("a", "b", "out"):
        actual, expected = (Simulator(each, "float64").run(x).levels(name) for each in (again, model))
        assert np.array_equal(actual, expected) and expected.any(), name


def test_a_number_of_steps_that_matters_is_said_where_the_file_has_none(tmp_path, recwarn):
    nodes = {"in": Input((3,)), "fc": Dense(np.ones((2, 3))), "n": Neuron(**PLAIN)}
    edges = [("in", "fc"), ("fc", "n")]
    eventsim.save(Model(nodes, edges, timesteps=8), tmp_path / "any.nir")
    assert not recwarn.list
    message = "NIR keeps no number of steps, .* in runs of 8 steps alone: .*--timesteps 8"
    with pytest.warns(EventsimWarning, match=message):
        eventsim.save(Model(nodes, edges, timesteps=8, timesteps_fixed=True), tmp_path / "fixed.nir")
