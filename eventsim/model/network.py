"""Model: a graph of named nodes, checked, with inferred shapes.

A Model holds physical parameters and says nothing about how it is run. It is complete when it
exists: the constructor infers every shape and raises ModelError or UnsupportedError with the
name of the node for anything that could not be simulated.
"""

from graphlib import CycleError, TopologicalSorter
from typing import Dict, List, Optional, Tuple

import numpy as np

from eventsim.arguments import instance_of, integer, mapping, several, shown
from eventsim.display.card import Card, Shown
from eventsim.display.table import Table
from eventsim.errors import EventsimError, ModelError, RunError
from eventsim.model.check import Check
from eventsim.model.chip import Chip
from eventsim.model.graph import Edge, strongly_connected
from eventsim.model.node import label_of, Node
from eventsim.model.parameters import flag, LARGEST_NODE, MAX_DELAY, MOST_STEPS, Shape
from eventsim.model.showing import model_card, node_table
from eventsim.text import listed, many


EDGES = "pairs (source, target), or (source, target, delay)"
GROUP = "a list of names, as of `order`"


def _edge(edge):
    values = several(edge, "edges", EDGES, ModelError)
    if isinstance(edge, str) or not 2 <= len(values) <= 3 or not all(isinstance(name, str) for name in values[:2]):
        raise ModelError(f"edges has {shown(edge)}, expected {EDGES}")
    return Edge(*values)


def _steps(timesteps):
    return integer(timesteps, "timesteps", 1, MOST_STEPS, ModelError)


class Model(Shown):
    """A spiking network: named nodes and edges with delays.

    nodes: name -> node. Names are printable (messages stay one line), free of "/" and not empty.
    edges: (source, target) or (source, target, delay); the order of the edges into a node is
        the order in which its paths are summed.
    timesteps: steps of a run that is given no number; None: unknown, so that every run must be given one.
    class_names: one per output, or empty.
    provenance: where the model comes from, free text by key.
    check: inputs with expected results, or None.
    chip: the chip's arithmetic for which the numbers are meant, or None; a Simulator uses it unless it is given
        another.
    timesteps_fixed: whether the model equals what it was made from only in runs of `timesteps` steps, so that runs
        of other lengths warn.

    Attributes besides these: `shapes` and `kinds` (name -> what the node gives), `input` and `output` (names),
    `file` (the path that it was loaded from, or None). Everything is checked when the Model is made, which raises
    ModelError and UnsupportedError, naming the node.

    >>> import numpy as np
    >>> from eventsim import Dense, Input, Model, Neuron
    >>> nodes = {"in": Input((4,)), "fc": Dense(np.ones((2, 4))), "n": Neuron()}
    >>> model = Model(nodes, [("in", "fc"), ("fc", "n")], timesteps=8)
    >>> model.shapes, model.output
    ({'in': (4,), 'fc': (2,), 'n': (2,)}, 'n')
    """

    def __init__(self, nodes, edges, timesteps=1, class_names=(), provenance=None, check=None,
                 chip=None, timesteps_fixed=False):
        self.nodes: Dict[str, Node] = mapping(nodes, "nodes", "nodes by name", ModelError)
        self.edges: List[Edge] = [_edge(edge) for edge in several(edges, "edges", EDGES, ModelError)]
        self.timesteps: Optional[int] = None if timesteps is None else _steps(timesteps)
        self.timesteps_fixed = flag(timesteps_fixed, "timesteps_fixed")
        if self.timesteps_fixed and timesteps is None:
            raise ModelError("timesteps_fixed is True, but timesteps is None: say which number of steps is meant")
        self.file: Optional[str] = None
        self.class_names: Tuple[str, ...] = tuple(map(str, several(
            [*class_names] if isinstance(class_names, str) else class_names, "class_names",
            "a name for each class", ModelError)))
        self.provenance: Dict[str, str] = {
            str(key): str(text)
            for key, text in mapping(provenance, "provenance", "text by key", ModelError).items()}
        self.check: Optional[Check] = instance_of(check, (Check, type(None)), "check", "a Check or None",
                                                  ModelError)
        self.chip: Optional[Chip] = instance_of(chip, (Chip, type(None)), "chip", "a Chip or None", ModelError)
        self._check_graph()
        self.input: str = self._find_input()
        self.kinds: Dict[str, str] = self._infer_kinds()
        self.shapes: Dict[str, Shape] = self._infer_shapes()
        self.output: str = self._find_output()
        n_outputs = int(np.prod(self.shapes[self.output]))
        if self.class_names and len(self.class_names) != n_outputs:
            raise ModelError(
                f"class_names has {len(self.class_names)} entries, but {self.label(self.output)} "
                f"gives {n_outputs} outputs"
            )
        if self.check is not None:
            self.check.check_shapes(self)

    def incoming(self, name) -> List[Edge]:
        """Return the edges into a node, in the order of `edges`. Raises ModelError for an unknown name."""
        self[name]
        return self._incoming[name]

    def outgoing(self, name) -> List[Edge]:
        """Return the edges out of a node, in the order of `edges`. Raises ModelError for an unknown name."""
        self[name]
        return self._outgoing[name]

    def label(self, name) -> str:
        """Return how messages name a node: node 'conv1' (Conv2d). Raises ModelError for an unknown name."""
        return label_of(name, self[name])

    def steps(self, timesteps=None) -> int:
        """Return the steps of a run whose samples have none themselves: `timesteps`, or those of the model.

        Raises ModelError for timesteps that are no whole number above 0. Raises RunError, naming the file,
        where neither gives them, and where the model reads events: a single frame of events is repeated only
        if timesteps are given.
        """
        if timesteps is not None:
            return _steps(timesteps)
        steps, bins = self.timesteps, self.nodes[self.input].events
        if steps is None:
            raise RunError(f"{self.file or 'the model'}: does not say how many steps a run takes, and samples "
                           f"that stand still do not either: give timesteps (--timesteps N)")
        if steps > 1 and bins is not None and bins.polarities != "one":
            raise RunError(f"{self.file or 'the model'}: reads events over {steps} steps, but samples have no "
                           f"steps: a single frame is repeated only if asked for, timesteps={steps} (--timesteps "
                           f"{steps})")
        return steps

    def doubt_of_steps(self, steps: Optional[int]) -> str:
        """Return a warning if the model is not meant for runs of `steps` steps (None: endless), else ""."""
        steps = None if steps is None else integer(steps, "steps", 0, error=ModelError)
        if not self.timesteps_fixed or steps == self.timesteps:
            return ""
        ran = f"this run has {steps}"
        remedy = f"run {self.timesteps}, or export a model of {many(steps or 1, 'step')}"
        if steps is None:
            ran = "this run goes on"
            remedy = f"let each window start afresh (--fresh), of {many(self.timesteps, 'step')}"
        return (f"{self.file or 'the model'}: equals what it was made from in runs of "
                f"{many(self.timesteps, 'step')} alone; {ran}, so its outputs may differ from the original's: "
                f"{remedy}")

    def order(self) -> List[List[str]]:
        """Return the names of the nodes in the order of execution, in groups: a group of several nodes, or of one
        that reads itself, is recurrent and runs step by step; inside it, nodes follow the edges without delay."""
        components = strongly_connected(self.nodes, self._outgoing)
        position = {name: i for i, name in enumerate(self._zero_delay_order())}
        return [sorted(component, key=position.__getitem__) for component in components]

    def is_recurrent(self, group) -> bool:
        """Return whether a group of `order` runs step by step. Raises ModelError where it is no group of names."""
        if isinstance(group, str) or not several(group, "group", GROUP, ModelError):
            raise ModelError(f"group is {shown(group)}, expected {GROUP}")
        for name in group:
            self[name]
        return len(group) > 1 or any(e.target == group[0] for e in self.outgoing(group[0]))

    def __getitem__(self, name) -> Node:
        """Return the node of this name. Raises ModelError, listing the names that exist, for an unknown one."""
        if name not in self:
            raise ModelError(f"{self.file or 'the model'}: no node {shown(name)}; there are: {listed(self.nodes)}")
        return self.nodes[name]

    def __contains__(self, name):
        return isinstance(name, str) and name in self.nodes

    def __iter__(self):
        """Iterate over the names of the nodes."""
        return iter(self.nodes)

    def summary(self) -> Table:
        """Return one row per node, in the order of execution: what it is, what it gives and reads, its weights."""
        return node_table(self)

    def card(self) -> Card:
        """Return a card of the graph, which a notebook shows as a picture, and of the first nodes."""
        return model_card(self)

    # ---- checks, in the order in which they build on each other

    def _check_graph(self):
        if not self.nodes:
            raise ModelError("the model has no nodes")
        for name, node in self.nodes.items():
            named = isinstance(name, str) and name.isprintable() and "/" not in name
            if not named or name in ("", ".", ".."):
                raise ModelError(
                    f"{shown(name)} is no name for a node: expected text without '/' and control characters"
                )
            if not isinstance(node, Node):
                raise ModelError(f"node {name!r} is {shown(node)}, expected one of eventsim's nodes")
        self._incoming = {name: [] for name in self.nodes}
        self._outgoing = {name: [] for name in self.nodes}
        seen = set()
        for i, (source, target, delay) in enumerate(self.edges):
            for end in (source, target):
                if end not in self.nodes:
                    raise ModelError(
                        f"edge {source!r} -> {target!r} names node {end!r}, which does not exist"
                    )
            try:
                delay = integer(delay, "delay", 0, MAX_DELAY, ModelError)
            except ModelError as error:
                raise ModelError(f"edge {source!r} -> {target!r}: {error}") from None
            edge = self.edges[i] = Edge(source, target, delay)
            if edge in seen:
                raise ModelError(f"edge {source!r} -> {target!r} (delay {delay}) occurs twice")
            seen.add(edge)
            self._incoming[target].append(edge)
            self._outgoing[source].append(edge)
        self._check_numbers_of_edges()
        self._zero_delay_order()

    def _check_numbers_of_edges(self):
        for name, node in self.nodes.items():
            fewest, most = node.inputs
            n = len(self._incoming[name])
            if n < fewest or (most is not None and n > most):
                expected = f"{fewest}" if most == fewest else f"at least {fewest}"
                remedy = "; join its sources with Add" if n > 1 and most == 1 else ""
                raise ModelError(
                    f"{self.label(name)}: {n} incoming edges, expected {expected}{remedy}"
                )

    def _zero_delay_order(self):
        edges = [edge for edge in self.edges if edge.delay == 0]
        return self._sorted(edges, "without delay", "give one of its edges a delay of 1 step or more")

    def _order_between_neurons(self):
        edges = [edge for edge in self.edges if not self.nodes[edge.target].fires()]
        return self._sorted(edges, "without a Neuron", "only a Neuron can close a cycle")

    def _sorted(self, edges, what, remedy):
        """Return all nodes, sources of `edges` before their targets. Raises ModelError where they form a cycle."""
        before = {name: [] for name in self.nodes}
        for edge in edges:
            before[edge.target].append(edge.source)
        try:
            return list(TopologicalSorter(before).static_order())
        except CycleError as error:
            cycle = " -> ".join(map(repr, error.args[1]))
            raise ModelError(f"cycle {what}: {cycle}; {remedy}") from None

    def _find_input(self):
        names = [name for name, node in self.nodes.items() if node.role == "input"]
        if len(names) != 1:
            raise ModelError(f"{len(names)} nodes of type Input {names}, expected 1")
        return names[0]

    def _infer_kinds(self):
        kinds = {}
        for name in self._order_between_neurons():
            read = [kinds.get(edge.source, "") for edge in self._incoming[name]]
            kinds[name] = self.nodes[name].gives(read[0] if read else "")
        for name, node in self.nodes.items():
            for edge in self._incoming[name]:
                kind = kinds[edge.source]
                if kind not in node.accepts:
                    raise ModelError(f"{self.label(name)}: {self._refusal(edge.source, kind, node)}")
            if not node.integrates() and len({kinds[edge.source] for edge in self._incoming[name]}) > 1:
                given = ", ".join(f"{edge.source!r} {kinds[edge.source]}" for edge in self._incoming[name])
                raise ModelError(
                    f"{self.label(name)}: its sources give {given}; it sums one kind: "
                    "put synapses behind the spikes, or lead both into the neurons"
                )
        return kinds

    def _refusal(self, source, kind, node):
        reads = f"reads {self.label(source)}, which gives "
        if kind == "current" and "spikes" in node.accepts:
            return reads + f"a current; {node.instead_of_current}"
        given = {"real": "real numbers", "scaled": "scaled spikes", "output": "the model's output"}
        return f"{reads}{given.get(kind, kind)}; it accepts {', '.join(node.accepts)}"

    def _infer_shapes(self):
        self._check_reached()
        shapes = {self.input: self.nodes[self.input].shape}
        self._spread_shapes(shapes, [self.input])
        # behind a node that joins its own output to its input, shapes come from nodes whose weights tell theirs
        own = {name: node.own_shape for name, node in self.nodes.items() if node.own_shape and name not in shapes}
        shapes.update(own)
        self._spread_shapes(shapes, list(own))
        for name in sorted(self.nodes, key=lambda name: self.nodes[name].joins):  # their inputs are named first
            if name not in shapes:
                raise ModelError(f"{self.label(name)}: its shape depends on its own output, which a node before "
                                 "it joins to other inputs; lead that output through a Dense")
            for edge in self._incoming[name]:
                shape = self._shape_of(edge, shapes)
                if shape != shapes[name]:
                    raise ModelError(
                        f"{self.label(name)}: {edge.source!r} gives shape {shape}, "
                        f"but its other inputs give {shapes[name]}"
                    )
            self._named(name, self.nodes[name].check, shapes[name])
        return shapes

    def _spread_shapes(self, shapes, waiting):
        """Add to `shapes` the shapes that follow from those of the nodes in `waiting`."""
        missing = {name: {edge.source for edge in self._incoming[name]} - shapes.keys()
                   for name, node in self.nodes.items() if node.joins}
        while waiting:
            source = waiting.pop()
            for edge in self._outgoing[source]:
                missing.get(edge.target, set()).discard(source)
                if edge.target not in shapes and not missing.get(edge.target):
                    shapes[edge.target] = self._shape_of(edge, shapes)
                    waiting.append(edge.target)

    def _check_reached(self):
        """Raise ModelError for a node to which no path leads from the input."""
        reached, waiting = {self.input}, [self.input]
        while waiting:
            new = {edge.target for edge in self._outgoing[waiting.pop()]} - reached
            reached |= new
            waiting += new
        for name in self.nodes:
            if name not in reached:
                raise ModelError(f"{self.label(name)}: no path leads to it from {self.input!r}")

    def _shape_of(self, edge, shapes):
        """Return the shape of an edge's target, from what the edge brings or, where it joins, from all edges."""
        target = self.nodes[edge.target]
        if target.joins:
            read = [shapes[each.source] for each in self._incoming[edge.target]]
            out = self._named(edge.target, target.joined_shape, read)
        else:
            out = self._named(edge.target, target.output_shape, shapes[edge.source], f" from {edge.source!r}")
        if np.prod(out, dtype=np.float64) > LARGEST_NODE:
            raise ModelError(f"{self.label(edge.target)}: shape {out} has more than 2^28 neurons")
        return out

    def _named(self, name, function, shape, origin=""):
        """Call function(shape), adding the node's name to its errors."""
        try:
            return function(shape)
        except EventsimError as error:
            raise type(error)(f"{self.label(name)}: {error}{origin}") from None

    def _find_output(self):
        """Return the one Readout or spiking node that ends the model; a recurrent one may read itself."""
        ends = []
        for group in self.order():
            within = set(group)
            if all(edge.target in within for name in group for edge in self.outgoing(name)):
                ends += group if len(group) == 1 else [
                    name for name in group if self.nodes[name].fires()
                ]
        if len(ends) != 1:
            raise ModelError(f"{len(ends)} nodes end the model {ends}, expected 1")
        if self.kinds[ends[0]] not in ("spikes", "output"):
            raise ModelError(
                f"{self.label(ends[0])}: the model ends in it, expected a Readout or a Neuron"
            )
        return ends[0]
