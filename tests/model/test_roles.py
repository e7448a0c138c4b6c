"""What nodes say of themselves, so that nothing else has to know them by name."""

import inspect

import numpy as np
import pytest
from networks import every_node_models

from eventsim import (
    Add, Alpha, BatchNorm, Conv2d, Delay, Dense, EventBins, Flatten, Input, MaxPool, Model, Neuron, Readout,
    Restimulation, SigmaDelta,
)
from eventsim.model.describing import describe
from eventsim.model.kinds import NODE_TYPES, node_type
from eventsim.model.node import Node
from eventsim.report.text import describe_text

ROLES = {
    "Input": "input", "Dense": "synapses", "Conv1d": "synapses", "Conv2d": "synapses",
    "Restimulation": "attention", "SumPool": "transform", "AvgPool": "transform", "MaxPool": "transform",
    "Flatten": "transform", "BatchNorm": "transform", "Add": "transform", "Delay": "transform",
    "Neuron": "neurons", "SigmaDelta": "neurons", "Alpha": "neurons", "Readout": "readout",
    "ConvTranspose2d": "synapses", "Upsample": "transform", "Concat": "transform",
}


def test_roles():
    assert {kind: cls.role for kind, cls in NODE_TYPES.items()} == ROLES
    assert {kind for kind, cls in NODE_TYPES.items() if cls.fires()} == {"Neuron", "Alpha", "SigmaDelta"}
    assert {kind for kind, cls in NODE_TYPES.items() if cls.integrates()} == {
        "Neuron", "Alpha", "SigmaDelta", "Readout"}
    assert {kind: cls.sends for kind, cls in NODE_TYPES.items() if cls.sends} == {
        "Neuron": "levels", "Alpha": "levels", "SigmaDelta": "changes"}
    assert {kind for kind, cls in NODE_TYPES.items() if cls.floats_only} == {"Alpha"}
    assert {kind for kind, cls in NODE_TYPES.items() if cls.weighs} == {
        "Dense", "Conv1d", "Conv2d", "ConvTranspose2d", "Restimulation", "BatchNorm"}
    assert {kind for kind, cls in NODE_TYPES.items() if cls.joins} == {"Concat"}
    assert node_type("Dense") is Dense and node_type("Unheard") is Node


@pytest.mark.parametrize("node, read, given", [
    (Input((2,)), "", "spikes"), (Input((2,), "real"), "", "real"), (Dense(np.ones((1, 2))), "real", "current"),
    (BatchNorm([1], [0], [0], [1]), "spikes", "scaled"), (BatchNorm([1], [0], [0], [1]), "current", "current"),
    (MaxPool(2), "spikes", "spikes"), (MaxPool(2), "current", "current"), (Flatten(), "current", "current"),
    (Flatten(), "scaled", "scaled"), (Add(), "spikes", "spikes"), (Add(), "current", "current"),
    (Neuron(), "current", "spikes"), (SigmaDelta(), "real", "spikes"), (Readout(), "current", "output"),
    (Restimulation([1.0]), "spikes", "current"), (Delay(1), "spikes", "spikes"),
])
def test_what_nodes_give(node, read, given):
    assert node.gives(read) == given


def test_numbers_that_nodes_say():
    assert Neuron(leak=[0.5, 1, 0], current_leak=0.5).products_per_step((3, 2, 2)) == 4 + 12
    assert Readout(leak=0.5).products_per_step((3,)) == 3 and SigmaDelta().products_per_step((3,)) == 0
    assert Restimulation(np.ones(3)).products_per_step((4, 2, 2)) == 3 * 4 + 4
    assert Restimulation(np.ones(3), np.ones((4, 2, 1, 1))).products_per_step((4, 2, 2)) == 3 * 4 + 16
    nodes = (Neuron(), Neuron(current_leak=0.5), Readout(), SigmaDelta(), Alpha(0.9, 0), Add())
    assert [node.states_per_neuron for node in nodes] == [1, 2, 1, 2, 3, 0]
    assert Alpha(0.9, [0, 0.5], gain=2).products_per_step((2,)) == 2 + 1 + 2
    assert Delay([0, 4, 2]).longest_delay == 4 and Flatten().longest_delay == 0
    assert Conv2d(np.ones((4, 2, 3, 3))).n_weights == 72 and BatchNorm([1], [0], [0], [1]).n_weights == 0
    assert Neuron(quantum=0.5).worth == 0.5 and Neuron(quantum=0.5, output_quantum=2).worth == 2


def test_what_is_shown():
    model = Model({"in": Input((2,)), "d": Delay([1, 3]), "n": Neuron(bits=[1, 2])}, [("in", "d"), ("d", "n")])
    settings = {node["name"]: node["settings"] for node in describe(model)["nodes"]}
    assert settings["d"] == {"steps": "1 to 3"} and settings["n"]["bits"] == "1 to 2"
    assert settings["in"] == {"encoding": "spikes", "bits": 1, "signed": False, "scale": 1.0, "mean": 0.0,
                              "std": 1.0, "layout": "F"}


def test_every_setting_is_shown_but_weights():
    """Of every class of nodes each parameter that is not None."""
    weights = {"weight", "shape"}  # which stand beside
    for model, _ in every_node_models().values():
        for node in model.nodes.values():
            parameters = inspect.signature(type(node)).parameters
            assert set(node.shown()) == {name for name in parameters if getattr(node, name) is not None
                                         and (name not in weights or node.kind == "BatchNorm")}, node


@pytest.mark.parametrize("setting", [
    {"v_reset": -0.5}, {"refractory": 3}, {"v_leak": 0.3}, {"v_min": -0.1}, {"reset_delay": 1},
    {"input_gain": [0.1, 1]}, {"bias": 0.2}, {"output_quantum": 2}, {"reset_interval": 4}, {"resolution": 9.0}])
def test_a_setting_that_changes_the_result_is_shown(setting):
    texts = []
    for more in ({}, setting):
        nodes = {"in": Input((2,)), "n": Neuron(leak=0.9, reset="hard", **more)}
        texts.append(describe_text(Model(nodes, [("in", "n")]), "net", 80))
    [name] = setting
    assert name not in texts[0] and name in texts[1]


def test_events_and_long_lists_of_settings_are_shown_in_whole():
    events = EventBins(5000, "on_off", "merge", (5, 7))
    model = Model({"in": Input((2, 5, 7), events=events), "n": Neuron(0.5, 0.9, [0.1, 1], 0.1, 0.2, "hard", v_min=-1,
                                                                     refractory=2, comparison=">", bias=0.1)},
                  [("in", "n")])
    assert describe(model)["nodes"][0]["settings"]["events"] == {
        "bin_width": 5000.0, "polarities": "on_off", "coincident": "merge", "sensor_size": [5, 7]}
    text = describe_text(model, "net", 80)
    assert max(map(len, text.splitlines())) <= 80 and ".." not in text
    for shown in ("bin_width 5000.0", "merge", "refractory 2", "comparison >", "input_gain 0.1 to 1"):
        assert shown in " ".join(text.split())


def test_every_kind_is_in_the_random_models():
    assert {node.kind for model, _ in every_node_models().values()
            for node in model.nodes.values()} == set(NODE_TYPES)
