"""What a picture leaves out, it says, with how to see it; and it draws layers in the order of the network."""

import numpy as np
import pytest

import eventsim
from eventsim import Conv2d, Dense, Flatten, Input, MaxPool, Model, Neuron, plots, Readout, RunError, Simulator


@pytest.fixture(scope="module")
def deep(tmp_path_factory):
    """The open run of six layers of neurons on maps with a pool behind each of the first two, and a readout."""
    rng = np.random.default_rng(0)
    nodes = {"in": Input((1, 8, 8))}
    for i in range(6):
        nodes[f"conv{i}"], nodes[f"fire{i}"] = Conv2d(rng.normal(0.5, 0.5, (1, 1, 3, 3)), padding=1), Neuron()
        if i < 2:
            nodes[f"pool{i}"] = MaxPool(2)
    nodes.update(flat=Flatten(), fc=Dense(rng.normal(size=(3, 4))), out=Readout())
    path = tmp_path_factory.mktemp("deep") / "run.h5"
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=3)
    x = rng.integers(0, 2, (2, 1, 8, 8))
    eventsim.evaluate(Simulator(model), (x, np.arange(2)), out=path, record=["spikes", "potentials"])
    with eventsim.open_run(path) as run:
        yield run


def drawn(figure):
    """The layers of a raster, from top to bottom."""
    names = [axes.get_title(loc="left").partition(" (")[0] for axes in figure.axes]
    return [name for name in names if name]


def test_a_raster_that_is_cut_says_so_and_draws_neurons_first(deep):
    figure = plots.KINDS["raster"](deep)
    assert drawn(figure) == ["in", *(f"fire{i}" for i in range(5))]
    assert "6 of 10 layers are shown; --layer NAME, or layers=[...], shows the others." in figure.get_label()
    named = plots.KINDS["raster"](deep, ["pool0", "fire5"])
    assert drawn(named) == ["pool0", "fire5"] and "shown" not in named.get_label()


def test_a_raster_of_all_is_in_the_order_of_the_network(tmp_path):
    nodes = {"in": Input((1, 4, 4)), "c": Conv2d(np.ones((1, 1, 1, 1))), "a": Neuron(), "pool": MaxPool(2),
             "flat": Flatten(), "fc": Dense(np.ones((2, 4))), "b": Neuron()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2)
    x = np.ones((1, 1, 4, 4), int)
    eventsim.evaluate(Simulator(model), (x, np.zeros(1, int)), out=tmp_path / "run.h5", record=["spikes"])
    with eventsim.open_run(tmp_path / "run.h5") as run:
        figure = plots.KINDS["raster"](run)
        assert drawn(figure) == ["in", "a", "pool", "flat", "b"] and "shown" not in figure.get_label()


def test_maps_that_are_cut_say_so(deep):
    assert "4 of 7 layers are shown; --layer NAME" in plots.KINDS["maps"](deep).get_label()
    assert "shown" not in plots.KINDS["maps"](deep, ["fire0"]).get_label()


def test_notes_are_the_last_lines():
    recording = Simulator(Model({"in": Input((3,)), "n": Neuron()}, [("in", "n")], timesteps=2)).run(
        np.ones((1, 3), int), record=("spikes", "statistics"))
    trains = recording.statistics.trains
    for figure in (plots.raster(recording, note="A word."), plots.maps(trains, note="A word.")):
        assert figure.get_label().endswith("\nA word.")


@pytest.mark.parametrize("kind, name, reason", [
    *((kind, "out", "a readout sends no spikes")
      for kind in ("rates", "levels", "planes", "maps", "intervals", "correlations", "raster")),
    ("rates", "pool0", "they are kept of the input and of layers of neurons"),
    ("membranes", "out", "they are kept of layers of Neuron"),
    ("drift", "in", "they are kept of layers of Neuron"),
    ("traces", "pool0", "only neurons and readouts have a membrane"),
])
def test_what_no_run_keeps_has_no_remedy_that_keeps_it(deep, kind, name, reason):
    with pytest.raises(RunError) as refused:
        plots.KINDS[kind](deep, [name])
    assert str(refused.value).endswith(f"{reason}: name one of these") and "run again" not in str(refused.value)


def test_traces_explain_only_what_they_draw():
    h, u = np.zeros((3, 2)), np.zeros((3, 2))
    assert "U after it" in plots.traces(h, u).get_label()
    alone = plots.traces(h, None, h).get_label()
    assert "U" not in alone.partition("\n")[2] and "H is the membrane before the reset, I what reached it" in alone
