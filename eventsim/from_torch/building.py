"""Building: from what tracing found to the nodes and edges of an eventsim.Model."""

from dataclasses import replace
from typing import Dict, List, NamedTuple

import numpy as np
import torch

from eventsim.errors import ModelError, UnsupportedError
from eventsim.from_torch.flattening import flatten_maps
from eventsim.from_torch.graph import Operation, Operand, Where
from eventsim.from_torch.linear_maps import constants_of, linear_part
from eventsim.from_torch.operations.registry import SUM_OF_STEPS
from eventsim.from_torch.operations.rows import gives_current
from eventsim.model.graph import Edge
from eventsim.model.input import Input
from eventsim.model.neurons import Readout
from eventsim.model.node import Node
from eventsim.model.synapses import Conv1d, Conv2d, ConvTranspose2d, Dense
from eventsim.model.transforms import Add, AvgPool, BatchNorm, Flatten, MaxPool, Upsample

NODES = {"conv_transpose": ConvTranspose2d, "max_pool": MaxPool, "avg_pool": AvgPool, "upsample": Upsample,
         "add": Add}  # kinds of operations whose settings are a node's fields
LINEAR = ("linear", "convolution", "conv_transpose", "affine", "avg_pool")
OF_MEMBRANES = ("uses the membrane of neurons, which only they themselves can; use their spikes, or that of a "
                "last layer without a reset and without recurrence")
LARGEST_MATRIX = 1 << 24  # entries of two synapses that are merged into one


class Answer(NamedTuple):
    """What the network gives.

    node: number of the operation. reduce: "sum", "mean" or "last" of its steps. gain: a factor on that.
    assumed: whether the network leaves its steps as they are, and eventsim reduces them.
    """

    node: int
    reduce: str
    gain: float = 1.0
    assumed: bool = False


class Built(NamedTuple):
    """nodes, edges: of the Model. layers: name of a node -> number of the layer that it is. places: name of a node
    -> where in the network's code it comes from. shapes: name of a layer's node -> its neurons' shape in the
    Model."""

    nodes: Dict[str, Node]
    edges: List[Edge]
    layers: Dict[str, int]
    places: Dict[str, Where]
    shapes: Dict[str, tuple]


def build(graph, input_node: Input, answer: Answer, late=False) -> Built:
    """Return the nodes and edges of all that the answer depends on. Raises UnsupportedError, naming the place.

    late: where the model has a delay that the network has behind its synapses: there, so that it delays their
    biases too, or (False) before them.
    """
    flatten_maps(graph)
    _merge_synapses(graph, late)
    _check_used(graph, answer.node)
    return _Draft(graph, input_node, late).finish(answer)


def refusal_at(operation, reason):
    """Return an UnsupportedError that says where in the user's code an operation was done."""
    return UnsupportedError(operation.where.before(reason))


def _check_used(graph, last):
    """Refuse the first operation that the answer depends on and that eventsim has no equal for."""
    used, waiting = {last}, [last]
    while waiting:
        for source in graph.nodes[waiting.pop()].sources:
            if source.node not in used:
                used.add(source.node)
                waiting.append(source.node)
    for number in sorted(used):
        operation = graph.nodes[number]
        if operation.kind == "refused":
            raise refusal_at(operation, operation.settings["reason"])
        if operation.kind == "steps":
            raise refusal_at(operation, f"uses a sum over steps before the network's end; {SUM_OF_STEPS}")
        if operation.kind == "state":
            raise refusal_at(operation, OF_MEMBRANES)


class _Draft:
    """A model while it is built.

    names: (number of an operation, delay) -> name of its node; None for a sum of currents, whose parts its readers
    read. Operations without a state have one node for each delay, since delays stand before their synapses.
    """

    def __init__(self, graph, input_node, late):
        self.graph, self.input, self.late = graph, input_node, late
        self.nodes, self.edges, self.names, self.layers = {}, [], {}, {}
        self._waiting = []  # keys whose edges are missing

    def finish(self, answer):
        """The nodes and edges, with what gives the answer at the end."""
        operation = self.graph.nodes[answer.node]
        name, _ = self._node(answer.node, 0)
        self._connect()
        last = self.nodes.get(name)
        if isinstance(last, Readout):
            if answer.gain != 1:
                raise refusal_at(operation, f"its answer is multiplied by {answer.gain:.6g}; leave that out")
            last.reduce = answer.reduce
        elif not (operation.kind == "layer" and answer.reduce == "sum" and answer.gain == 1) or \
                self._feeds_back(name):
            name = self._unused("readout")
            self.nodes[name] = Readout(answer.reduce, input_gain=answer.gain)
            # whatever torch made of it
            shape = (operation.size,) if operation.kind == "linear" else operation.shape
            self._read(name, shape, answer.node, 0)
            self._connect()
        places = {name: self.graph.nodes[key[-2]].where for key, name in self.names.items() if name is not None}
        shapes = {name: tuple(self.graph.nodes[number].shape) for name, number in self.layers.items()}
        return Built(*self._ordered(), self.layers, places, shapes)

    def _feeds_back(self, name):
        """Whether spikes of the last layer come back to it by way of other layers, so that it is no end."""
        reached, waiting = {name}, [name]
        while waiting:
            source = waiting.pop()
            targets = {edge.target for edge in self.edges if edge.source == source} - reached
            reached |= targets
            waiting += targets
        return any(self.nodes[other].fires() for other in reached - {name})

    def _ordered(self):
        """Nodes and edges in the order in which the network did them."""
        rank = {name: key[-2:] for key, name in self.names.items()}
        names = sorted(self.nodes,
                       key=lambda name: rank.get(name, rank.get(name.rpartition(".")[0], (1 << 40, 0))))
        place = {name: i for i, name in enumerate(names)}
        return ({name: self.nodes[name] for name in names},
                sorted(self.edges, key=lambda edge: place[edge.target]))

    def _node(self, number, delay):
        """(name of an operation's node, delay that is left for the edge out of it)."""
        operation = self.graph.nodes[number]
        stays = self.late or operation.kind in ("input", "layer")
        key = number, 0 if stays or operation.still else delay
        if key not in self.names:
            self._add(key, operation)
            self._waiting.append(key)
        return self.names[key], 0 if operation.still else delay if stays else 0

    def _add(self, key, operation):
        if operation.kind == "add" and gives_current(self.graph, key[0]):
            self.names[key] = None
            return
        name = self.names[key] = self._unused(_wanted(operation))
        try:
            self.nodes[name] = self.input if operation.kind == "input" else _node(operation)
        except ModelError as error:
            raise ModelError(operation.where.before(str(error))) from None
        if operation.kind == "input" and "shape" in operation.settings:
            self.nodes[name] = replace(self.input, shape=operation.settings["shape"], layout="")
        if operation.kind == "layer":
            layer = operation.settings["layer"]
            self.layers[name] = key[0]
            if layer.recurrent is not None:
                loop = self._unused(f"{name}.recurrent")
                self.nodes[loop] = layer.recurrent
                behind = layer.recurrent_bias  # a delay behind synapses delays their biases, too
                self.edges += [Edge(name, loop, 1 - behind), Edge(loop, name, behind)]

    def _connect(self):
        """Add the edges into all operations that miss them; that may add operations."""
        while self._waiting:
            number, delay = key = self._waiting.pop()
            operation = self.graph.nodes[number]
            if self.names[key] is not None:
                own = operation.settings["layer"].delay if operation.kind == "layer" else 0
                for source in operation.sources:
                    self._read(self.names[key], operation.shape, source.node, source.delay + delay, own)

    def _read(self, target, shape, number, delay, own=0):
        """Lead an operation's result, so many steps late, to a node whose own result has a shape. own: more
        steps, by which the node itself reads late."""
        operation = self.graph.nodes[number]
        if operation.kind == "layer" and not operation.settings["layer"].node.fires():
            raise refusal_at(operation, "never fires, so that its value can be the network's answer alone, and "
                                        "other layers read it; put neurons that fire in its place")
        source, left = self._node(number, delay)
        if source is None and self.nodes[target].inputs[1] == 1:
            source, left = self._joined(number, delay), 0
        if source is None:
            for part in operation.sources:
                self._read(target, shape, part.node, part.delay + delay, own)
            return
        read = operation.settings.get("shape", operation.shape)
        takes_vectors = self.nodes[target].integrates() or isinstance(self.nodes[target], Add)
        if isinstance(self.nodes[target], Dense) or len(shape) == 1 and takes_vectors:
            if len(read) > 1:
                source = self._flattened(source)
        elif self.nodes[target].integrates() and read != tuple(shape):
            raise refusal_at(operation, (
                f"a map of {tuple(shape)} is made of weighted sums that no convolution gives (padding by reflect, "
                "replicate or circular, resampling, unequal windows, or a map made of a vector); pad with zeros, "
                "or Flatten before the neurons"
            ))
        edge = Edge(source, target, left + own)
        if edge in self.edges:
            raise refusal_at(operation, f"is read twice by {target!r}; multiply it by 2 instead")
        self.edges.append(edge)

    def _joined(self, number, delay):
        """Name of the node that sums currents for a reader that takes one."""
        key, operation = ("sum", number, delay), self.graph.nodes[number]
        if key not in self.names:
            name = self.names[key] = self._unused(_wanted(operation))
            self.nodes[name] = Add()
            for part in operation.sources:
                self._read(name, operation.shape, part.node, part.delay + delay)
        return self.names[key]

    def _flattened(self, source):
        name = f"{source}.flatten"
        if name not in self.nodes:
            self.nodes[name] = Flatten()
            self.edges.append(Edge(source, name))
        return name

    def _unused(self, name):
        name = name.replace("/", "_") or "layer"
        while name in self.nodes:
            name += "_"
        return name


def _wanted(operation):
    """The name that a node would have if it were free."""
    if operation.kind == "input":
        return "input"
    kind = {"convolution": "conv"}.get(operation.kind, operation.kind)
    path = operation.where.module
    if operation.kind in ("layer", "module"):
        path = operation.settings["name"]
        kind = operation.settings.get("class", kind)
    before, _, last = path.rpartition(".")
    if not last:
        return kind
    last = f"{kind.lower()}{last}" if last.isdigit() else last
    name = f"{before}.{last}" if before else last
    return "input_" if name == "input" else name


def _node(operation):
    """The node of an operation that is no sum of currents."""
    settings = operation.settings
    if operation.kind in ("layer", "module"):
        return settings["layer"].node
    if operation.kind == "linear":
        return Dense(settings["weight"], settings["bias"])
    if operation.kind == "convolution":
        cls = Conv1d if settings["weight"].ndim == 3 else Conv2d
        return cls(**settings)
    if operation.kind == "affine":
        return _batch_norm(operation)
    return NODES[operation.kind](**settings)


def _batch_norm(operation):
    settings = operation.settings
    if "norm" in settings:
        return BatchNorm(**settings["norm"])
    scale, shift = settings["scale"], settings["shift"]
    if np.ndim(scale) != 1 or np.ndim(shift) != 1:
        raise refusal_at(operation, (
            "scales or shifts the positions of one channel differently; scale or shift whole channels, or give "
            "each number weights of its own (Flatten, then Linear)"))
    zero, one = np.zeros(len(scale)), np.ones(len(scale))
    return BatchNorm(scale, shift, zero, one, eps=0.0)


# ---- synapses that read synapses


def _merge_synapses(graph, late):
    """Make one linear map of two that no neuron stands between, where the second gives a vector.

    late: see `build`.
    """
    for number, operation in enumerate(graph.nodes):
        while operation.kind == "linear" and len(operation.sources) == 1:
            before = graph.nodes[operation.sources[0].node]
            if not gives_current(graph, operation.sources[0].node) or before.kind in ("module", "add"):
                break
            if late and operation.sources[0].delay and constants_of(before).any():
                raise refusal_at(operation, (
                    "reads weighted sums late, with zeros in place of their bias before the first step, and no "
                    "neuron has seen them; delay the spikes that these weigh in place of the sums"))
            read = graph.nodes[before.sources[0].node]
            operation = graph.nodes[number] = _merged(operation, before, read.settings.get("shape", read.shape))


def _merged(second, first, shape):
    """The linear map `second` of what the operation `first` gives, as one of what that reads, of `shape`."""
    if first.kind not in LINEAR:
        raise refusal_at(second, "reads maxima of weighted sums that no neuron has seen; put neurons between them")
    n_out, n_in = len(second.settings["weight"]), int(np.prod(shape))
    if n_out * n_in > LARGEST_MATRIX:
        raise refusal_at(second, "reads weighted sums that no neuron has seen, and is too large to be merged with "
                          "what computes them; put neurons between them")
    weight = second.settings["weight"]
    x = torch.zeros(n_out, *shape, dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        y = linear_part(first, x)
        [gradient] = torch.autograd.grad(y, x, torch.from_numpy(weight).view(y.shape))
    bias = weight @ constants_of(first)
    if second.settings["bias"] is not None:
        bias = bias + second.settings["bias"]
    delay = first.sources[0].delay + second.sources[0].delay
    return Operation("linear", second.shape, (Operand(first.sources[0].node, delay),),
                     {"weight": gradient.reshape(n_out, -1).numpy(), "bias": bias}, second.where, second.still)
