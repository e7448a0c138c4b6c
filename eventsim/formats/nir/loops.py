"""Edges with delays, and the step of delay that NIR's loops take, for the reader and the writer."""

from itertools import product

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.formats.refusing import MAX_EDGES
from eventsim.model.graph import Edge, strongly_connected
from eventsim.model.neurons import Neuron
from eventsim.model.transforms import Delay


def without(edges, name, delay):
    """Return the edges without node `name`: what reads it reads what it read, `delay` steps later, in its place.
    edges: list of Edge. Raises ModelError where the node reads itself."""
    into = [edge for edge in edges if edge.target == name]
    out = [edge for edge in edges if edge.source == name]
    if any(edge.source == name for edge in into):
        raise ModelError(f"cycle without a spiking neuron through {name!r}")
    if len(into) * len(out) + len(edges) > MAX_EDGES:
        raise ModelError(f"node {name!r} makes more than {MAX_EDGES} edges")
    kept = []
    for edge in edges:
        if edge.source == name:
            kept += [Edge(i.source, edge.target, i.delay + delay + edge.delay) for i in into]
        elif edge.target != name:
            kept.append(edge)
    return kept


def shared_apart(nodes, edges):
    """Return (edges, steps of the Delays by name), with the delay that all neurons of a Delay share on the edges
    before it.

    nodes: name -> Node, or what has its `steps` where it is a Delay. edges: list of Edge.
    """
    steps = {name: np.asarray(node.steps) for name, node in nodes.items() if isinstance(node, Delay)}
    least = {name: int(own.min()) for name, own in steps.items()}
    edges = [edge._replace(delay=edge.delay + least.get(edge.target, 0)) for edge in edges]
    return edges, {name: own - least[name] for name, own in steps.items()}


def in_time(nodes, edges, start, recurrent_bias):
    """Return (edges, steps of the Delays by name, whether recurrent_bias mattered, names of uneven Delays): every
    loop takes a step or more, those of no step one. Arguments and errors as of `with_steps`.

    Where a Delay in a loop has neurons of no step, they alone take the loop's step. It is uneven where that cannot
    be, since the step is not on all paths through it, or others, too: then all its neurons take the step.
    """
    before, steps = shared_apart(nodes, edges)
    edges, matters = with_steps(nodes, before, start, recurrent_bias)
    slowed = {i for i, edge in enumerate(edges) if edge.delay != before[i].delay}
    quick = [edge for edge in before if edge.delay == 0]
    uneven = []
    for name in [name for name, own in steps.items() if own.any() and len(in_loop(quick, name)) > 1]:
        if _slowed_around(nodes, edges, slowed, name) == {1}:
            steps[name] = np.maximum(steps[name] - 1, 0)
        else:
            uneven.append(name)
    return edges, steps, matters, uneven


def _slowed_around(nodes, edges, slowed, name):
    """Return how many slowed edges the paths through a node have, from the neurons or the Input before it to those
    behind it; of a path that goes through another Delay, None."""
    ahead = [(i, edge.source, edge.target) for i, edge in enumerate(edges)]
    back = [(i, target, source) for i, source, target in ahead]
    counts = [_slowed_until_neurons(nodes, way, slowed, name) for way in (ahead, back)]
    return {None if None in pair else sum(pair) for pair in product(*counts)}


def _slowed_until_neurons(nodes, way, slowed, name):
    """Return how many slowed edges lead from a node to each end: a neuron, or a node without a next one. None for
    a Delay."""
    reached, counts = {(name, 0)}, set()
    waiting = list(reached)
    for node, n in waiting:
        steps = [(target, n + (i in slowed)) for i, source, target in way if source == node]
        if not steps:
            counts.add(n)
        for target, count in steps:
            if isinstance(nodes[target], Delay):
                counts.add(None)
            elif isinstance(nodes[target], Neuron):
                counts.add(count)
            elif (target, count) not in reached:
                reached.add((target, count))
                waiting.append((target, count))
    return counts


def with_steps(nodes, edges, start, recurrent_bias):
    """Return (edges, whether recurrent_bias mattered), with a step of delay in every loop in which nothing takes
    time.

    nodes: name -> Node. start: name of the Input. recurrent_bias: the first step in which biases in a loop act: 1
    puts the delay behind them, 0 before them. Raises ModelError for a loop without a spiking neuron,
    UnsupportedError where a delay before a bias would also be on a path outside the loop.
    """
    neurons = {name for name, node in nodes.items() if isinstance(node, Neuron)}
    delayed, matters = set(), False
    for i in loops(edges, neurons, start):
        before, biased = _before_weights(nodes, edges, i, recurrent_bias)
        matters |= biased
        delayed.add(before if biased and recurrent_bias == 0 else i)
    return [e._replace(delay=e.delay + 1) if i in delayed else e for i, e in enumerate(edges)], matters


def _before_weights(nodes, edges, i, recurrent_bias):
    """Return (index of the edge that leaves the neuron from which edge i gets its spikes, whether there is a bias
    between them)."""
    biased = False
    while not isinstance(nodes[edges[i].source], Neuron):
        name = edges[i].source
        bias = getattr(nodes[name], "bias", None)
        biased |= bias is not None and bool(bias.any())
        into = [k for k, edge in enumerate(edges) if edge.target == name]
        n_readers = sum(edge.source == name for edge in edges)
        if biased and recurrent_bias == 0 and (len(into) > 1 or n_readers > 1):
            raise UnsupportedError(
                f"the bias of a loop acts at once (recurrent_bias=0), but node {name!r} on its way has "
                f"{len(into)} sources and {n_readers} readers; choose recurrent_bias=1, or give the loop "
                "weights of its own"
            )
        if len(into) != 1:
            break
        [i] = into
    return i, biased


def loops(edges, neurons, start):
    """Return the indices of the edges that close a loop in which nothing takes time.

    Those are the edges into one node of each strongly connected part: the one nearest to `start`, so that what
    enters the loop there is not delayed (ties go to neurons, then to the first name). The loops that are left are
    then closed in the same way. edges: list of Edge. neurons: names. Raises ModelError for a loop without neurons.
    """
    distance = _distances(edges, start)
    names = list(dict.fromkeys(name for edge in edges for name in edge[:2]))
    closing = set()
    while True:
        active = [i for i, edge in enumerate(edges) if edge.delay == 0 and i not in closing]
        outgoing = {name: [] for name in names}
        for i in active:
            outgoing[edges[i].source].append(edges[i])
        part_of = {
            name: number for number, part in enumerate(strongly_connected(names, outgoing)) for name in part
        }
        inner = {}
        for i in active:
            if part_of[edges[i].source] == part_of[edges[i].target]:
                inner.setdefault(part_of[edges[i].source], []).append(i)
        if not inner:
            return closing
        for indices in inner.values():
            part = {name for i in indices for name in edges[i][:2]}
            if not part & neurons:
                raise ModelError(f"cycle without a spiking neuron through {', '.join(sorted(part))}")
            head = min(part, key=lambda name: (distance.get(name, len(names)), name not in neurons, name))
            closing |= {i for i in indices if edges[i].target == head}


def looping(edges):
    """Return the names of the nodes that are in a loop with other nodes."""
    outgoing = {name: [] for edge in edges for name in edge[:2]}
    for edge in edges:
        outgoing[edge.source].append(edge)
    return {name for part in strongly_connected(outgoing, outgoing) if len(part) > 1 for name in part}


def in_loop(edges, name):
    """Return the names of all nodes from which a path leads to `name` and back, and `name` itself."""
    backwards = [Edge(edge.target, edge.source) for edge in edges]
    return _distances(edges, name).keys() & _distances(backwards, name).keys()


def _distances(edges, start):
    """Return how many edges lead from `start` to each node that can be reached."""
    readers = {}
    for edge in edges:
        readers.setdefault(edge.source, []).append(edge.target)
    distance, waiting = {start: 0}, [start]
    for name in waiting:
        for target in readers.get(name, ()):
            if target not in distance:
                distance[target] = distance[name] + 1
                waiting.append(target)
    return distance
