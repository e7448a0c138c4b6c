"""The nodes and edges of a Model from a flat NIR graph. Nodes are in the order in which the input reaches them."""

import numpy as np

from eventsim.formats.nir.ends import handing_on, level_value
from eventsim.formats.nir.loops import in_loop, in_time, looping, without
from eventsim.formats.nir.nodes import check_shape, TYPES, whole_numbers
from eventsim.formats.refusing import guarded, unsupported
from eventsim.model.graph import Edge
from eventsim.model.input import EventBins, Input, MOST_PIXELS
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.parameters import shape_of
from eventsim.model.transforms import Add, BatchNorm, Delay, Flatten

BINS = ("bin_width", "polarities", "coincident")  # options that decide how recordings become steps


class Builder:
    """The conversion of a flat graph to nodes and edges.

    nodes: name -> Node. edges: list of Edge. used: option on which the result depends -> names of the nodes that
    use it. notes: other assumptions, for the provenance. kinds: name -> what the node gives, such as "spikes".
    passing: node that only hands on its input -> its delay in steps. looping: names of the nodes in loops. scales:
    neuron -> factor on its input. taken_per_channel: parameters whose shape fits the channels and the last axis.
    without_v_reset: neurons whose v_reset is 0 because the file does not say it.
    uneven: Delays in loops, all of whose neurons take a step more, since some take none.
    Raises FormatError and UnsupportedError, which name the node.
    """

    def __init__(self, graph, reading):
        self.graph, self.reading = graph, reading
        self.nodes, self.edges = {}, [Edge(*edge) for edge in graph.edges]
        self.used, self.notes, self.taken_per_channel = {"encoding": []}, {}, []
        self.without_v_reset = []
        self._shapes, self.kinds, self.passing, self.scales = {}, {}, {}, {}
        self.looping = looping(self.edges)
        self._walk()
        if self.taken_per_channel:
            self.notes["assumed to be per channel"] = ", ".join(self.taken_per_channel[:20])
        if self.without_v_reset:
            self.notes["assumed v_reset"] = self._of_v_reset()
        self._join()
        self._finish()
        self._time()
        self._repeat()

    # ---- nodes

    def _walk(self):
        """Build every node from the shape that reaches it."""
        readers = {}
        for source, target in self.graph.edges:
            readers.setdefault(source, []).append(target)
        self._add_input()
        waiting = [self.graph.input]
        for name in waiting:
            for target in readers.get(name, ()):
                if target not in self._shapes:
                    self._build(target, name)
                    waiting.append(target)
        for name, raw in self.graph.nodes.items():
            if name not in self._shapes:
                raise raw.group.error(f"no path leads to it from {self.graph.input!r}")

    def _build(self, name, source):
        raw, shape = self.graph.nodes[name], self._shapes[source]
        self._shapes[name], self.kinds[name] = shape, self.kinds[source]
        if raw.kind == "Output":
            check_shape(raw.group, "shape", shape)
            if name in self.graph.passing:
                self.passing[name] = 0
        elif raw.kind == "Input":
            check_shape(raw.group, "shape", shape)
            self.passing[name] = 0
        else:
            node = guarded(raw.group, lambda: TYPES[raw.kind](self, name, raw.group, shape))
            if node is not None:
                self._shapes[name] = guarded(raw.group, lambda: node.output_shape(shape))
                self.kinds[name] = node.gives(self.kinds[name])
                self.nodes[name] = node

    def _add_input(self):
        name, reading = self.graph.input, self.reading
        group = self.graph.nodes[name].group
        shape = guarded(group, lambda: shape_of(self._without_samples(whole_numbers(group, "shape"))))
        if reading.encoding != "real":
            self.use("input_bits")
            self.use("input_signed")
        self.nodes[name] = guarded(group, lambda: Input(
            shape, reading.encoding, reading.input_bits, reading.input_signed, reading.input_scale,
            events=self._events(shape)))
        self._shapes[name] = shape
        self.kinds[name] = "real" if reading.encoding == "real" else "spikes"

    def _events(self, shape):
        """Return how recordings become levels of an input of this shape, or None where they cannot."""
        reading = self.reading
        if reading.encoding != "spikes" or reading.input_signed:
            return None
        if len(shape) == 3 and shape[0] == 2:
            for option in BINS:
                self.use(option)
            bins = EventBins(reading.bin_width, reading.polarities, reading.coincident, shape[1:])
            return self._bins(bins, BINS)
        size = shape[1:] if len(shape) == 3 else (1, *shape)
        if len(shape) == 2 or len(shape) == 3 and shape[0] != 1 or max(size) > MOST_PIXELS:
            return None
        bins = EventBins(reading.bin_width, "one", reading.coincident, size)
        return self._bins(bins, ("bin_width", "coincident"))

    def _bins(self, bins, options):
        bins.assumed = tuple(option for option in options if self.reading.guessed(option))
        return bins

    def _without_samples(self, shape):
        """Return the shape of the Input without the axis of samples that norse 1.1 writes. An axis of 1 can only
        be that before a row that only weights read, or before three axes."""
        name = self.graph.input
        kinds = {self.graph.nodes[target].kind for source, target in self.graph.edges if source == name}
        row = len(shape) == 2 and kinds and kinds <= {"Linear", "Affine"}
        if shape[:1] != (1,) or not (row or len(shape) == 4):
            return shape
        reason = f"{shape[1:]}: the first axis of {shape} counts samples (norse 1.1)"
        self.notes[f"assumed shape of {name}"] = reason
        return shape[1:]

    def use(self, option, node=None):
        """Note that the result depends on an option, and the node that uses it."""
        asked = self.used.setdefault(option, [])
        if node is not None and node not in asked:
            asked.append(node)

    def _of_v_reset(self):
        """Return in words that the v_reset of some neurons was assumed."""
        names = self.without_v_reset
        more = f" and {len(names) - 20} more" if len(names) > 20 else ""
        reason = ("norse's files do not say it: where it is not 0, write it into the file"
                  if self.reading.chosen == "norse" else "not in the file")
        return f"0 of {', '.join(names[:20])}{more} ({reason})"

    # ---- edges

    def _join(self):
        """Remove nodes that only hand on their input, and put an Add before nodes that take one input but have
        several."""
        for name, delay in self.passing.items():
            group = self.graph.nodes[name].group
            self.edges = guarded(group, lambda: without(self.edges, name, delay))
        for name in list(self.nodes):
            node, into = self.nodes[name], [e for e in self.edges if e.target == name]
            self._refuse_scaled(name, into)
            if len(into) < 2 or node.inputs[1] != 1:
                continue
            wrong = sorted({e.source for e in into if self.kinds[e.source] != "spikes"})
            if wrong and any(self.kinds[e.source] != "current" for e in into):
                raise unsupported(
                    self.graph.nodes[name].group, f"reads {len(into)} nodes, of which {', '.join(wrong)} give no "
                    "spikes; only spikes can be summed there: give each its own weights into the next neuron"
                )
            self._sum_before(name, "current" if wrong else "spikes")

    def _refuse_scaled(self, name, into):
        """Refuse a node that cannot read spikes which a Scale makes worth other than 1."""
        scaled = [edge.source for edge in into if self.kinds[edge.source] == "scaled"]
        if scaled and "scaled" not in self.nodes[name].accepts:
            raise unsupported(
                self.graph.nodes[name].group, f"reads {scaled[0]!r}, spikes that a Scale makes worth other than 1 "
                "(one that is not above 0, or not alone behind its neurons): put the Scale behind it, or into the "
                "weights that follow"
            )

    def _sum_before(self, name, kind):
        """Let a node read an Add of all its sources."""
        joint = _unused(f"{name}.sum", self.nodes)
        self.nodes[joint], self.kinds[joint] = Add(), kind
        self.edges = [Edge(e.source, joint, e.delay) if e.target == name else e for e in self.edges]
        self.edges.append(Edge(joint, name))

    def _finish(self):
        """Replace the Output by the node that ends the model. Refuse nodes inside that can only be an end."""
        last = self._remove_output()
        for end in (self._end_in_scaled_spikes, self._end_in_flatten, self._end_in_current, self._end_in_loop):
            if end(last):
                break
        self._refuse_ends()

    def _remove_output(self):
        """Remove the edge into the Output. Returns the name of the node that it came from."""
        output = self.graph.output
        group = self.graph.nodes[output].group
        into = [edge for edge in self.edges if edge.target == output]
        if len(into) > 1 and all(self.kinds[edge.source] == "spikes" for edge in into):
            self._sum_before(output, "spikes")
            into = self.edges[-1:]
        if len(into) != 1 or into[0].delay:
            raise unsupported(group, f"reads {len(into)} nodes ({', '.join(e.source for e in into)})"
                              + (" with a delay" if len(into) == 1 else "") + ", expected 1 without delay")
        if any(edge.source == output for edge in self.edges):
            raise group.error("has edges that lead out of it")
        self.edges.remove(into[0])
        return into[0].source

    # Ways to end a model, tried in this order. Each returns whether it applies to the last node.

    def _end_in_scaled_spikes(self, last):
        """Read out spikes whose level of 1 has another value than 1."""
        way = handing_on(self.nodes, self.edges, last) if self.kinds[last] == "spikes" else []
        scaling = [node for node in way if (level_value(node) != 1).any()]
        if scaling:
            self._read_out_scaled_spikes(last, any(node.role != "transform" for node in scaling))
        return bool(scaling)

    def _end_in_flatten(self, last):
        """Remove a Flatten of spikes that nothing else reads, since outputs are flat anyway."""
        if not isinstance(self.nodes[last], Flatten) or self.kinds[last] != "spikes":
            return False
        [edge] = [e for e in self.edges if e.target == last]
        if edge.delay == 0 and all(e.source != last for e in self.edges):
            del self.nodes[last]
            self.edges.remove(edge)
        return True

    def _end_in_current(self, last):
        """Read out a current."""
        if self.kinds[last] not in ("current", "scaled"):
            return False
        self._read_out(last, self.reading.readout)
        self.use("readout")
        return True

    def _end_in_loop(self, last):
        """Read out one of several neurons in a loop, so that the model has one end."""
        several = sum(isinstance(self.nodes[name], Neuron) for name in in_loop(self.edges, last)) > 1
        if several:
            self._read_out(last, "sum")
        return several

    def _read_out(self, last, reduce):
        """End the model with a Readout of the last node."""
        self.nodes[self.graph.output] = Readout(reduce)
        self.edges.append(Edge(last, self.graph.output))

    def _read_out_scaled_spikes(self, last, scaled):
        """End the model with a Readout of spikes whose level of 1 has another value than 1. scaled: whether a
        factor gives them that value. If only average pools do, they are summed by default, as other spikes are,
        also in older files of eventsim."""
        reduce = self.reading.readout
        if self.reading.why["readout"] == "given" or scaled and self.reading.guessed("readout"):
            self.use("readout")
        else:
            reduce, self.notes["assumed readout"] = "sum", "sum (default of spikes)"
        self._read_out(last, reduce)

    def _refuse_ends(self):
        for edge in self.edges:
            if isinstance(self.nodes[edge.source], Readout):
                raise unsupported(
                    self._group(edge.source), f"never fires, but {edge.target!r} reads it: only the last node of "
                    "a network can; put a LIF or Threshold in its place"
                )

    def _group(self, name):
        raw = self.graph.nodes.get(name)
        return self.graph.nodes[self.graph.output].group if raw is None else raw.group

    # ---- loops

    def _time(self):
        """Delay loops by a step, and move the delay that all neurons of a Delay share to the edge before it."""
        group = self._group(self.graph.output)
        self.edges, steps, matters, self.uneven = guarded(group, lambda: in_time(
            self.nodes, self.edges, self.graph.input, self.reading.recurrent_bias))
        for name, own in steps.items():
            self.nodes[name].steps = own
        if matters:
            self.use("recurrent_bias")

    # ---- paths that are equal

    def _repeat(self):
        """Put a node that changes nothing on each repeated edge, so that what arrives twice counts twice."""
        seen = set()
        for i, edge in enumerate(self.edges):
            if edge in seen:
                again = _unused(f"{edge.source}.again", self.nodes)
                self.nodes[again] = self._unchanging(edge.source)
                self.edges[i] = edge._replace(target=again)
                self.edges.append(Edge(again, edge.target))
            seen.add(edge)

    def _unchanging(self, source):
        """Return a node that gives what it reads."""
        if self.kinds[source] == "spikes":
            return Delay(0)
        ones, zeros = np.ones(self._shapes[source][0]), np.zeros(self._shapes[source][0])
        return BatchNorm(ones, zeros, zeros, ones, eps=0.0)


def _unused(name, taken):
    while name in taken:
        name += "_"
    return name
