"""NIR's nodes as eventsim's, in the order in which the input reaches them, and their edges."""

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.formats.nir.loops import in_loop, with_steps, without
from eventsim.formats.nir.neurons import build_neuron, compact, fitted, INTEGRATING, same_shape, SPIKING
from eventsim.formats.refusing import guarded, unsupported
from eventsim.model.graph import Edge
from eventsim.model.input import EventBins, Input
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.parameters import float_array, MAX_DELAY, shape_of
from eventsim.model.synapses import Conv1d, Conv2d, Dense
from eventsim.model.transforms import Add, AvgPool, BatchNorm, Delay, Flatten, SumPool

SYNAPSES = ("Dense", "Conv1d", "Conv2d")
WHOLE_STEPS = 1e-6  # how far a delay in steps may be from a whole number: float32 files


class Builder:
    """Turns a flat graph into nodes and edges.

    nodes: name -> Node; edges: list of Edge; used: names of the options on which the result depends;
    notes: other assumptions, for the provenance.
    Raises FormatError and UnsupportedError, naming the node.
    """

    def __init__(self, graph, reading):
        self.graph, self.reading = graph, reading
        self.nodes, self.edges = {}, [Edge(*edge) for edge in graph.edges]
        self.used, self.notes = ["encoding"], {}
        self._shapes, self._kinds = {}, {}  # of what every node gives
        self._passing = {}  # nodes that only hand on -> delay in steps
        self._scales = {}  # neuron -> factor on its input
        self._walk()
        self._join()
        self._finish()
        self._time()

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
        self._shapes[name], self._kinds[name] = shape, self._kinds[source]
        if raw.kind == "Output":
            self._check_shape(raw.group, "shape", shape)
            if name in self.graph.passing:
                self._passing[name] = 0
        elif raw.kind == "Input":
            self._check_shape(raw.group, "shape", shape)
            self._passing[name] = 0
        else:
            node = guarded(raw.group, lambda: getattr(self, "_" + raw.kind)(name, raw.group, shape))
            if node is not None:
                self._shapes[name] = guarded(raw.group, lambda: node.output_shape(shape))
                self._kinds[name] = self._kind(node, self._kinds[name])
                self.nodes[name] = node

    @staticmethod
    def _kind(node, given):
        if node.kind == "BatchNorm" and given != "current":
            return "scaled"
        return _KINDS.get(node.kind, given)

    def _check_shape(self, group, name, shape):
        found = _whole_numbers(group, name)
        if not same_shape(found, shape):
            raise group.error(f"{name} is {found}, but {shape} arrives")

    def _add_input(self):
        name, reading = self.graph.input, self.reading
        group = self.graph.nodes[name].group
        shape = guarded(group, lambda: _input_shape(group))
        bins = len(shape) == 3 and shape[0] == 2 and reading.encoding == "spikes" and not reading.input_signed
        if bins:
            self.used += ["bin_width", "polarities", "coincident"]
        if reading.encoding != "real":
            self.used += ["input_bits", "input_signed"]
        self.nodes[name] = guarded(group, lambda: Input(
            shape, reading.encoding, reading.input_bits, reading.input_signed, reading.input_scale,
            events=EventBins(reading.bin_width, reading.polarities, reading.coincident, shape[1:]) if bins else None,
        ))
        self._shapes[name] = shape
        self._kinds[name] = "real" if reading.encoding == "real" else "spikes"

    def _Linear(self, name, group, shape):
        return Dense(_numbers(group, "weight"))

    def _Affine(self, name, group, shape):
        return Dense(_numbers(group, "weight"), _bias(group))

    def _Conv1d(self, name, group, shape):
        return self._convolution(Conv1d, group, shape)

    def _Conv2d(self, name, group, shape):
        return self._convolution(Conv2d, group, shape)

    def _convolution(self, cls, group, shape):
        weight = _numbers(group, "weight")
        settings = {name: _pair(group, name) for name in ("stride", "dilation")}
        groups = _pair(group, "groups")
        if "input_shape" in group and len(shape) > 1:
            self._check_shape(group, "input_shape", shape[1:])
        text = _padding_text(group)
        if text == "same":
            weight, settings["dilation"], padding = _same_padding(cls, weight, settings)
        else:
            padding = 0 if text == "valid" else _pair(group, "padding")
        return cls(weight, _bias(group), padding=padding, groups=groups, **settings)

    def _SumPool2d(self, name, group, shape):
        return SumPool(*(_pair(group, part) for part in ("kernel_size", "stride", "padding")))

    def _AvgPool2d(self, name, group, shape):
        return AvgPool(*(_pair(group, part) for part in ("kernel_size", "stride", "padding")))

    def _Flatten(self, name, group, shape):
        start, end = _whole(group, "start_dim"), _whole(group, "end_dim")
        if "input_type" in group:
            self._check_shape(group, "input_type", shape)
        n = len(shape)
        first, last = (i + n if i < 0 else i for i in (start, end))
        whole = first <= 0 and last == n - 1
        if not whole and first == 1 and last in (n - 1, n):  # torch's own, which counts the samples' axis
            whole = True
            self.notes["assumed start_dim"] = f"1 of {name!r} counts an axis of samples (torch's default)"
        if not whole or n > 3:
            raise UnsupportedError(
                f"flattens axes {start} to {end} of {n}; only all of them together are supported"
            )
        if n == 1:
            self._passing[name] = 0
            return None
        return Flatten()

    def _Scale(self, name, group, shape):
        scale = compact(fitted(_numbers(group, "scale"), shape, "scale"), shape)
        if (scale == 1).all():
            self._passing[name] = 0
            return None
        if scale.ndim > 1:
            self._scale_neurons(name, scale)
            return None
        if self._worth(name, scale):
            self._passing[name] = 0
            return None
        scale = np.array(np.broadcast_to(scale, shape[:1]))
        zero, one = np.zeros(shape[0]), np.ones(shape[0])
        return BatchNorm(scale, zero, zero, one, eps=0.0)

    def _scale_neurons(self, name, scale):
        """A factor per neuron goes into the neurons that read it."""
        for source, target in self.graph.edges:
            if source == name:
                raw = self.graph.nodes[target]
                others = [s for s, t in self.graph.edges if t == target and s != name]
                if raw.kind not in SPIKING + INTEGRATING or others:
                    raise UnsupportedError(
                        f"scale differs between the positions of a channel and {target!r} is no neuron "
                        "that reads it alone; scale the weights instead"
                    )
                self._scales[target] = scale
        self._passing[name] = 0

    def _worth(self, name, scale):
        """Whether a factor could become what the spikes of the one node before are worth."""
        readers = [target for source, target in self.graph.edges if source == name]
        sources = [source for source, target in self.graph.edges if target == name]
        alone = len(sources) == 1 and [t for s, t in self.graph.edges if s == sources[0]] == [name]
        if not alone or (scale <= 0).any() or any(self.graph.nodes[t].kind == "Output" for t in readers):
            return False
        node = self.nodes.get(sources[0])
        if isinstance(node, Neuron):
            node.output_quantum = scale
        elif isinstance(node, Input) and node.encoding != "real" and scale.ndim == 0:
            node.scale *= float(scale)
        else:
            return False
        return True

    def _Threshold(self, name, group, shape):
        threshold = compact(fitted(_numbers(group, "threshold"), shape, "threshold"), shape)
        self._use("comparison")
        return Neuron(threshold, leak=0.0, reset="hard", comparison=self.reading.comparison)

    def _Delay(self, name, group, shape):
        self._use("dt")
        delay = fitted(_numbers(group, "delay"), shape, "delay")
        steps = np.rint(delay / self.reading.dt)
        wrong = np.abs(delay / self.reading.dt - steps) > WHOLE_STEPS * np.maximum(steps, 1)
        if wrong.any() or (steps < 0).any() or (steps > MAX_DELAY).any():
            found = delay[wrong | (steps < 0) | (steps > MAX_DELAY)].flat[0]
            raise ModelError(
                f"delay is {found:.9g}, or {found / self.reading.dt:.9g} steps of dt = "
                f"{self.reading.dt:.6g}, expected whole steps from 0 to {MAX_DELAY}; give another dt"
            )
        steps = compact(steps, shape)
        if steps.ndim == 0:
            self._passing[name] = int(steps)
            return None
        if self._kinds[name] != "spikes":
            raise UnsupportedError(
                f"delays single neurons of {_GIVEN[self._kinds[name]]}, which only a uniform delay can; put it "
                "behind the spikes"
            )
        return Delay(steps)

    def _neuron(self, name, group, shape):
        kind = self.graph.nodes[name].kind
        values = {}
        for part in ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset"):
            if part in group:
                values[part] = fitted(_numbers(group, part), shape, part)
        for option in _used_by(kind, values, self.reading):
            self._use(option)
        return build_neuron(kind, values, self._scales.get(name, 1.0), self.reading, shape)

    _I = _IF = _LI = _LIF = _CubaLI = _CubaLIF = _neuron

    def _use(self, option):
        if option not in self.used:
            self.used.append(option)

    # ---- edges

    def _join(self):
        """Take out what only hands on, and join several sources of a node that takes one."""
        for name, delay in self._passing.items():
            group = self.graph.nodes[name].group
            self.edges = guarded(group, lambda: without(self.edges, name, delay))
        for name in list(self.nodes):
            node, into = self.nodes[name], [e for e in self.edges if e.target == name]
            if len(into) < 2 or node.inputs[1] != 1:
                continue
            wrong = sorted({e.source for e in into if self._kinds[e.source] != "spikes"})
            if wrong:
                raise unsupported(
                    self.graph.nodes[name].group, f"reads {len(into)} nodes, of which {', '.join(wrong)} give no "
                    "spikes; only spikes can be summed there: give each its own weights into the next neuron"
                )
            joint = _unused(f"{name}.sum", self.nodes)
            self.nodes[joint], self._kinds[joint] = Add(), "spikes"
            self.edges = [Edge(e.source, joint, e.delay) if e.target == name else e for e in self.edges]
            self.edges.append(Edge(joint, name))

    def _finish(self):
        """Replace the Output by the node that ends the model; refuse what only an end can be."""
        output = self.graph.output
        group = self.graph.nodes[output].group
        into = [edge for edge in self.edges if edge.target == output]
        if len(into) != 1 or into[0].delay:
            raise unsupported(group, f"reads {len(into)} nodes ({', '.join(e.source for e in into)})"
                              + (" with a delay" if len(into) == 1 else "") + ", expected 1 without delay")
        if any(edge.source == output for edge in self.edges):
            raise group.error("has edges that lead out of it")
        last = into[0].source
        self.edges.remove(into[0])
        node = self.nodes[last]
        if isinstance(node, Flatten) and self._kinds[last] == "spikes":  # answers are flat anyway
            [edge] = [e for e in self.edges if e.target == last]
            if edge.delay == 0 and all(e.source != last for e in self.edges):
                del self.nodes[last]
                self.edges.remove(edge)
        elif self._kinds[last] in ("current", "scaled"):
            self.nodes[output] = Readout(self.reading.readout)
            self.edges.append(Edge(last, output))
            self._use("readout")
        elif sum(isinstance(self.nodes[name], Neuron) for name in in_loop(self.edges, last)) > 1:
            self.nodes[output] = Readout("sum")  # says which of the loop's neurons is the end
            self.edges.append(Edge(last, output))
        self._refuse_ends()

    def _refuse_ends(self):
        for edge in self.edges:
            node, group = self.nodes[edge.source], self._group(edge.target)
            if isinstance(node, Readout):
                raise unsupported(
                    self._group(edge.source), f"never fires, but {edge.target!r} reads it: only the last node of a "
                    "network can; put a LIF or Threshold in its place"
                )
            kind = self._kinds[edge.source]
            if kind == "current" and self.nodes[edge.target].kind in SYNAPSES:
                raise unsupported(group, f"its weights read {edge.source!r}, which gives a current; put a neuron "
                                  "between them, or merge the two into one")

    def _group(self, name):
        raw = self.graph.nodes.get(name)
        return self.graph.nodes[self.graph.output].group if raw is None else raw.group

    # ---- loops

    def _time(self):
        """Give loops their step, and move what all neurons of a Delay wait to its edge."""
        for name, node in self.nodes.items():
            if isinstance(node, Delay):
                least = int(node.steps.min())
                node.steps = node.steps - least
                self.edges = [e._replace(delay=e.delay + least) if e.target == name else e for e in self.edges]
        group = self._group(self.graph.output)
        self.edges, matters = guarded(group, lambda: with_steps(
            self.nodes, self.edges, self.graph.input, self.reading.recurrent_bias))
        if matters:
            self._use("recurrent_bias")


_KINDS = {"Dense": "current", "Conv1d": "current", "Conv2d": "current", "Neuron": "spikes", "Readout": "output"}
_GIVEN = {"current": "a current", "real": "real numbers", "scaled": "scaled spikes", "output": "a readout"}


def _used_by(kind, values, reading):
    """Options that decide what a neuron does."""
    if "tau" in values or "tau_mem" in values:
        yield from ("dt", "integration")
    if kind in INTEGRATING:
        yield "readout"
        return
    yield from ("reset", "reset_delay", "comparison", "bits", "lower_limit")
    if "v_leak" in values and values["v_leak"].any():
        yield "start"


def _input_shape(group):
    return shape_of(_whole_numbers(group, "shape"))


def _numbers(group, name):
    """A dataset of finite numbers as float64."""
    found = group.numbers(name)
    if found.dtype.kind == "b":
        raise group.error(f"{name!r} holds booleans, expected numbers")
    try:
        return float_array(found, name)
    except ModelError as error:
        raise group.error(error) from None


def _bias(group):
    """(C,) or None where it is zero."""
    bias = _numbers(group, "bias")
    return bias if bias.any() else None


def _whole_numbers(group, name):
    """A short list of whole numbers as a tuple, whatever their type."""
    found = _numbers(group, name)
    if found.ndim > 1 or found.size > 8 or (found != np.floor(found)).any() or (np.abs(found) > 1 << 30).any():
        raise group.error(f"{name!r} is not a short list of whole numbers")
    return tuple(found.reshape(-1).astype(int).tolist())


def _pair(group, name):
    """Whole numbers per axis, or one for all."""
    found = _whole_numbers(group, name)
    return found[0] if len(found) == 1 else found


def _whole(group, name):
    found = _whole_numbers(group, name)
    if len(found) != 1:
        raise group.error(f"{name!r} is {found}, expected one whole number")
    return found[0]


def _padding_text(group):
    """"same", "valid" or "" where the padding is of numbers."""
    if not group.dataset("padding").is_text:
        return ""
    text = group.text("padding")
    if text not in ("same", "valid"):
        raise group.error(f"padding is {text!r}, expected 'same', 'valid' or whole numbers")
    return text


def _same_padding(cls, weight, settings):
    """(weight, dilation, padding) of padding "same". torch pads one more at the end where an even
    number of taps leaves an odd number to pad: a first tap of zeros does the same."""
    if settings["stride"] not in (1, (1,), (1, 1)):
        raise UnsupportedError(f"padding 'same' with stride {settings['stride']} is not defined; give numbers")
    n_axes = cls.n_axes
    dilation = settings["dilation"]
    dilation = dilation if isinstance(dilation, tuple) else (dilation,) * n_axes
    padding, out = [], []
    for axis, step in zip(range(2, 2 + n_axes), dilation):
        if weight.ndim != 2 + n_axes or len(dilation) != n_axes:
            break  # the node says what is wrong
        total = step * (weight.shape[axis] - 1)
        if total % 2:
            weight, step, total = _spread(weight, axis, step), 1, total + 1
        padding.append(total // 2)
        out.append(step)
    return weight, tuple(out), tuple(padding)


def _spread(weight, axis, step):
    """The same taps with their dilation as zeros between them, and one zero before them."""
    shape = list(weight.shape)
    shape[axis] = step * (shape[axis] - 1) + 2
    wide = np.zeros(shape)
    index = [slice(None)] * weight.ndim
    index[axis] = slice(1, None, step)
    wide[tuple(index)] = weight
    return wide


def _unused(name, taken):
    while name in taken:
        name += "_"
    return name
