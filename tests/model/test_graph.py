"""The order of nodes, against the definition: who reaches whom over the edges."""

import numpy as np
import pytest
from networks import every_node_models

from eventsim.model.describing import describe
from eventsim.model.graph import Edge, strongly_connected
from eventsim.model.kinds import NODE_TYPES
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron
from eventsim.model.node import extent
from eventsim.model.input import Input
from eventsim.model.synapses import Dense

MODELS = every_node_models()


def reached(n, edges):
    """bool (n, n): whether j can be reached from i, by Warshall's algorithm."""
    found = np.eye(n, dtype=bool)
    for source, target in edges:
        found[source, target] = True
    for k in range(n):
        found |= np.outer(found[:, k], found[k])
    return found


@pytest.mark.parametrize("seed", range(20))
def test_components_are_nodes_that_reach_each_other(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    edges = [tuple(map(int, pair)) for pair in rng.integers(0, n, (int(rng.integers(0, 2 * n)), 2))]
    outgoing = {i: [Edge(*edge) for edge in edges if edge[0] == i] for i in range(n)}
    components = strongly_connected(range(n), outgoing)
    assert sorted(name for component in components for name in component) == list(range(n))
    where = {name: i for i, component in enumerate(components) for name in component}
    whole = reached(n, edges)
    for i in range(n):
        for j in range(n):
            assert (where[i] == where[j]) == (whole[i, j] and whole[j, i])
            assert where[i] <= where[j] or not whole[i, j], "sources come first"


def test_a_long_chain_needs_no_recursion():
    n = 20_000
    outgoing = {i: [Edge(i, i + 1)] if i + 1 < n else [] for i in range(n)}
    assert strongly_connected(range(n), outgoing) == [[i] for i in range(n)]


@pytest.mark.parametrize("name", MODELS)
def test_groups_follow_the_edges(name):
    """Every node once, sources before targets, but for edges that close a loop or have a delay within it."""
    model, _ = MODELS[name]
    groups = model.order()
    place = {node: (i, j) for i, group in enumerate(groups) for j, node in enumerate(group)}
    assert place.keys() == model.nodes.keys() and sum(map(len, groups)) == len(place)
    for source, target, delay in model.edges:
        assert place[source][0] <= place[target][0]
        if place[source][0] < place[target][0]:
            continue
        assert model.is_recurrent(groups[place[source][0]])
        assert delay or place[source] < place[target]


def test_a_loop_is_one_group():
    nodes = {"in": Input(3), "a": Dense(np.ones((2, 3))), "n": Neuron(), "back": Dense(np.ones((2, 2)))}
    edges = [("in", "a"), ("a", "n"), ("n", "back", 1), ("back", "n")]
    model = Model({**nodes, "b": Dense(np.ones((1, 2))), "out": Neuron()}, [*edges, ("n", "b"), ("b", "out")])
    assert model.order() == [["in"], ["a"], ["back", "n"], ["b"], ["out"]]
    assert [model.is_recurrent(group) for group in model.order()] == [False, False, True, False, False]
    assert (model.input, model.output) == ("in", "out")


@pytest.mark.parametrize("name", MODELS)
def test_a_description_names_every_node(name):
    model, _ = MODELS[name]
    nodes = describe(model)["nodes"]
    assert sorted(node["name"] for node in nodes) == sorted(model.nodes)
    for node in nodes:
        assert node["kind"] in NODE_TYPES and tuple(node["shape"]) == model.shapes[node["name"]]
        assert len(node["reads"]) == len(model.incoming(node["name"]))


@pytest.mark.parametrize("ceil_mode", (False, True))
def test_extents_count_windows(ceil_mode):
    """The number of windows, one by one: those that fit, with `ceil_mode` also one that starts inside."""
    rng = np.random.default_rng(0)
    drawn = rng.integers((4, 1, 1, 0, 1), (12, 4, 4, 2, 3), (200, 5)).tolist()
    for size, kernel, stride, padding, dilation in drawn:
        reach = dilation * (kernel - 1) + 1
        padding = min(padding, kernel // 2)
        if reach > size + 2 * padding:
            continue
        starts = range(-padding, size + padding, stride)
        fit = [start for start in starts if start + reach <= size + padding]
        n = len(fit)
        if ceil_mode and fit[-1] + reach < size + padding and fit[-1] + stride < size:
            n += 1
        assert extent(size, kernel, stride, padding, dilation, ceil_mode) == n, (size, kernel, stride, padding)
