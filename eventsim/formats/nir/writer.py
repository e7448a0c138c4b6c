"""Model -> NIR: what NIR can express, in the layout of the `nir` package.

Taus are written for Euler steps of dt (norse, snnTorch): tau = dt / (1 - leak). A Neuron whose input acts
at once becomes an IF (leak 1) or a LIF, one with a synaptic current a CubaLIF; a Readout an I, LI or
CubaLI, or nothing where it only hands on its input. `>=` becomes `>` of the next lower float32. A
BatchNorm folds into the weights before it, or becomes a Scale; the worth of spikes becomes a Scale; an
Add becomes several edges; delays become Delay nodes, except for the step that every loop takes.

NIR has no soft or late reset, no spikes of several bits, no lower limit: `beyond_nir=True` writes such
neurons as plain ones, as snnTorch does. What the reader then has to assume is left in the metadata of the
graph ("eventsim.reset" and so on), where `presets` finds it and other readers do not look.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Optional

import numpy as np

from eventsim.errors import FormatError, ModelError, UnsupportedError
from eventsim.formats.nir.loops import in_loop, with_steps, without
from eventsim.formats.nir.neurons import compact, SPIKING
from eventsim.formats.nir.presets import DEFAULTS, OPEN, OPTIONS, STORED
from eventsim.formats.options import option, Options
from eventsim.model.graph import Edge
from eventsim.model.neurons import Neuron
from eventsim.model.parameters import parameter_on
from eventsim.model.synapses import Conv1d, Conv2d, Dense
from eventsim.storage.hdf5_writing import new_hdf5, put, put_numbers, put_open_texts

VERSION = "1.0.8"  # of the `nir` package whose layout this is
DEFAULT_DT = 1e-4  # what snnTorch takes for granted
FOLDABLE = (Dense, Conv1d, Conv2d)

@dataclass(frozen=True)
class NirWriteOptions(Options):
    """How a NIR file is written."""

    dt: Optional[float] = option(
        None, "seconds of a step in the NIR file (default: that of the file read, else 0.0001)", positive="a time")
    beyond_nir: bool = option(
        False, "write also what NIR cannot describe (soft reset, several bits, ...) as plain neurons, with a note "
        "that only eventsim reads")


def write(model, path, **given):
    """Write `model` to `path`, which appears complete or not at all; `given` are fields of NirWriteOptions.

    Raises UnsupportedError for what NIR cannot express, naming the node, FormatError where the file
    cannot be written.
    """
    try:
        options = NirWriteOptions(**given)
        dt = _remembered_dt(model) if options.dt is None else options.dt
        OPTIONS["dt"].checked("dt", dt)
        with np.errstate(all="ignore"):
            graph = _Graph(model, dt, options.beyond_nir)
    except ModelError as error:
        raise FormatError(f"{path}: cannot be written: {error}") from None
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: cannot be written: {error}") from None
    with new_hdf5(path) as root:
        graph.write(root)


def _remembered_dt(model):
    words = model.provenance.get("assumed dt", "").split()
    try:
        return float(words[0])
    except (IndexError, ValueError):
        return DEFAULT_DT


class _Graph:
    """The nodes and edges that will be written: name -> members, and (source, target)."""

    def __init__(self, model, dt, beyond_nir):
        self.model, self.dt, self.beyond_nir = model, dt, beyond_nir
        self.options = {**DEFAULTS, "dt": dt, "timesteps": model.timesteps}
        self.agreed = {}  # option -> (value, node that set it)
        self.nodes, self.edges = {}, list(model.edges)
        self.folded = {}  # synapses -> (factor, shift) of the BatchNorm behind them
        self.gains = {}  # synapses -> (input_gain, share of a step) of the neuron behind them, whose r is 1
        if model.chip is not None:
            raise UnsupportedError(f"its numbers are meant for chip {model.chip.name!r}, which NIR "
                                   "does not know; save as .h5")
        for name, node in model.nodes.items():
            if node.kind == "BatchNorm":
                self._normalise(name, node)
        for name, node in model.nodes.items():
            if isinstance(node, Neuron):
                self._move_gain(name, node)
        for name, node in list(model.nodes.items()):
            self._add(name, node)
        self._end()
        self._delay()
        self.edges = [edge[:2] for edge in self.edges]
        if len(set(self.edges)) != len(self.edges):
            twice = next(edge for edge in self.edges if self.edges.count(edge) > 1)
            raise UnsupportedError(f"{twice[1]!r} reads {twice[0]!r} twice, which NIR's edges cannot say")

    # ---- nodes

    def _add(self, name, node):
        if name in self.nodes:
            return
        convert = getattr(self, "_" + node.kind, None)
        if convert is None:
            raise UnsupportedError(f"{self.model.label(name)}: NIR has no such node; save as .h5")
        members = convert(name, node)
        if members is None:
            self._take_out(name)
        else:
            self.nodes[name] = members

    def _take_out(self, name):
        self.edges = without(self.edges, name, 0)

    def _refuse(self, name, what, remedy="save as .h5"):
        raise UnsupportedError(f"{self.model.label(name)}: {what}; {remedy}")

    def _source_shape(self, name):
        return self.model.shapes[self.model.incoming(name)[0].source]

    def _Input(self, name, node):
        if node.mean.any() or (node.std != 1).any():
            self._refuse(name, "NIR has no normalisation (mean, std)", "put it into the first weights")
        self.options.update(encoding=node.encoding, input_bits=node.bits, input_signed=node.signed)
        if node.events is not None:
            self.options.update({part: getattr(node.events, part)
                                 for part in ("bin_width", "polarities", "coincident")})
        if node.encoding != "real":
            self._scale_behind(name, node.scale)
        return {"type": "Input", "shape": np.array(node.shape)}

    def _weights(self, name, node):
        weight, bias = node.weight, node.bias
        if name in self.folded:
            factor, shift = self.folded[name]
            weight = weight * factor.reshape((-1,) + (1,) * (weight.ndim - 1))
            bias = shift if bias is None else bias * factor + shift
        if name in self.gains:
            gain, share = self.gains[name]
            bias = None if bias is None else _quotient(bias * gain, share)
            per_row = (-1,) + (1,) * (weight.ndim - 1)
            weight = _quotient(weight * gain.reshape(per_row), share.reshape(per_row))
        return weight, bias

    def _Dense(self, name, node):
        weight, bias = self._weights(name, node)
        if bias is None:
            return {"type": "Linear", "weight": weight}
        return {"type": "Affine", "weight": weight, "bias": bias}

    def _convolution(self, name, node):
        weight, bias = self._weights(name, node)
        extent = self._source_shape(name)[1:]
        return {
            "type": node.kind, "weight": weight,
            "bias": np.zeros(len(weight)) if bias is None else bias,
            "stride": np.array(node.stride), "padding": np.array(node.padding),
            "dilation": np.array(node.dilation), "groups": np.int64(node.groups),
            "input_shape": np.array(extent if len(extent) > 1 else extent[0]),
        }

    _Conv1d = _Conv2d = _convolution

    def _pool(self, name, node):
        shape = self._source_shape(name)
        kernel, stride, padding = node.geometry(len(shape) - 1)
        if len(shape) != 3:
            self._refuse(name, "NIR pools only two axes", "give the input a second axis of length 1")
        plain = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape[1:], kernel, stride, padding))
        if plain != self.model.shapes[name][1:]:
            self._refuse(name, "NIR has no ceil_mode", "crop the input")
        return {"type": node.kind + "2d", "kernel_size": np.array(kernel), "stride": np.array(stride),
                "padding": np.array(padding)}

    _SumPool = _AvgPool = _pool

    def _Flatten(self, name, node):
        shape = self._source_shape(name)
        if len(shape) == 1:
            return None
        return {"type": "Flatten", "start_dim": np.int64(0), "end_dim": np.int64(-1),
                "input_type": np.array(shape)}

    def _Add(self, name, node):
        return None

    def _Delay(self, name, node):
        return self._delay_of(name, node.steps)

    def _delay_of(self, source, steps):
        return {"type": "Delay", "delay": self._whole(source, steps, "steps") * self.dt}

    def _normalise(self, name, node):
        """Fold a BatchNorm into the weights before it, where nothing else reads them."""
        factor = node.weight * node.scale / np.sqrt(node.running_var + node.eps)
        shift = node.bias - node.running_mean * factor
        source = self.model.incoming(name)[0].source
        alone = len(self.model.outgoing(source)) == 1 and self.model.incoming(name)[0].delay == 0
        if isinstance(self.model.nodes[source], FOLDABLE) and alone:
            self.folded[source] = factor, shift
        elif shift.any():
            self._refuse(name, "shifts spikes, or a current that others read too",
                         "put it right behind synapses of its own")
        else:
            self.nodes[name] = {"type": "Scale", "scale": self._whole(name, factor, "scale")}

    def _BatchNorm(self, name, node):
        return None  # folded; those that were not are there already

    # ---- neurons

    def _move_gain(self, name, node):
        """Put what makes r of an IF or LIF other than 1 into the weights before it: norse takes r for 1,
        and so does snnTorch of an IF."""
        gain, leak = (self._whole(name, getattr(node, part), part) for part in ("input_gain", "leak"))
        spiking = (leak == 1).all()
        if node.current_leak is not None or (not spiking and (leak == 1).any()):
            return
        share = np.ones(leak.shape) if spiking else self.dt / self._tau(leak)
        rows = [compact(part, gain.shape) for part in (gain, share)]
        sources = [self._synapses_before(edge.source) for edge in self.model.incoming(name)]
        if (gain == share).all() or None in sources or any(row.ndim > 1 for row in rows):
            return
        for source in sources:
            n = len(self.model.nodes[source].weight)
            self.gains[source] = [np.array(np.broadcast_to(row, n)) for row in rows]

    def _synapses_before(self, name):
        """Name of the synapses that give `name`'s current to one reader only, or None."""
        if name not in self.nodes and self.model.nodes[name].kind == "BatchNorm":
            name = self.model.incoming(name)[0].source
        alone = isinstance(self.model.nodes[name], FOLDABLE) and len(self.model.outgoing(name)) == 1
        return name if alone else None

    def _whole(self, name, value, what):
        return np.array(parameter_on(value, self.model.shapes[name], what))

    def _dynamics(self, name, node, kinds):
        """type, r and taus of what a Neuron and a Readout share; the three kinds are for leak 1, for
        less, and with a synaptic current."""
        leak, gain, v_leak, bias = (
            self._whole(name, getattr(node, part), part) for part in ("leak", "input_gain", "v_leak", "bias")
        )
        before = self._synapses_before(self.model.incoming(name)[0].source)
        moved = isinstance(node, Neuron) and before in self.gains
        if node.reset_interval:
            self._refuse(name, "NIR has no periodic reset (reset_interval)")
        if node.current_leak is None and (leak == 1).all():
            if bias.any():
                self._refuse(name, "NIR has no bias for neurons", "give it to the synapses")
            return {"type": kinds[0], "r": np.ones(gain.shape) if moved else gain}
        if (leak == 1).any() or (node.current_leak is not None and (node.current_leak == 1).any()):
            self._refuse(name, "a leak of 1 is an infinite tau, which NIR has only for whole layers (IF, I) "
                         "without synaptic current")
        tau = self._tau(leak)
        share = self.dt / tau
        v_leak = v_leak + bias / share
        if node.current_leak is None:
            r = np.ones(gain.shape) if moved else _quotient(gain, share)
            return {"type": kinds[1], "tau": tau, "r": r, "v_leak": v_leak}
        tau_syn = self._tau(self._whole(name, node.current_leak, "current_leak"))
        r = tau / self.dt  # snnTorch wants it so
        w_in = _quotient(gain, share * r * (self.dt / tau_syn))
        return {"type": kinds[2], "tau_syn": tau_syn, "tau_mem": tau, "r": r, "v_leak": v_leak, "w_in": w_in}

    def _tau(self, leak):
        """tau of an Euler step that leaves `leak` of a state."""
        return _near(self.dt / (1 - leak), lambda tau: 1 - self.dt / tau, leak)

    def _Neuron(self, name, node):
        for part, what in (("signed", "spikes with a sign"), ("rectify", "MPR (rectify)"),
                           ("refractory", "refractory neurons")):
            if np.any(getattr(node, part)):
                self._refuse(name, f"NIR has no {what}")
        members = self._dynamics(name, node, ("IF", "LIF", "CubaLIF"))
        threshold = self._whole(name, node.v_threshold, "v_threshold")
        bits = int(node.bits.max())
        if (node.bits != bits).any():
            self._refuse(name, "NIR has no bits per channel")
        self._agree(name, "reset", node.reset, "soft reset (NIR's neurons reset to a value)",
                    "train with a hard reset")
        self._agree(name, "reset_delay", node.reset_delay, "late reset", "train without (reset_delay=False)")
        self._agree(name, "bits", bits, "spikes of several bits", "train with one bit")
        self._agree(name, "lower_limit", self._limit(name, node, members["type"], threshold), "lower limit (v_min)",
                    "train without")
        subtracts = node.reset == "soft" or bits > 1
        if subtracts and (self._whole(name, node.quantum, "quantum") != threshold).any():
            self._refuse(name, "its quantum is not its threshold, and NIR's readers subtract thresholds")
        if self.beyond_nir:
            self._agree(name, "comparison", node.comparison, "", "")
        elif node.comparison == ">=":
            threshold = np.nextafter(threshold.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
        reset = node.v_reset if node.reset == "hard" else np.zeros(())
        members.update(v_threshold=threshold, v_reset=self._whole(name, reset, "v_reset"))
        self._scale_behind(name, node.worth)
        return members

    def _limit(self, name, node, kind, threshold):
        if node.v_min is None:
            return "none"
        if (self._whole(name, node.v_min, "v_min") != -threshold).any():
            self._refuse(name, "NIR has no lower limit (v_min)", "train without")
        return "IF" if kind == "IF" else "all"

    def _agree(self, name, option, value, what, remedy):
        """Note what a reader has to assume of a neuron; all neurons have to agree."""
        if value != OPEN[option] and not self.beyond_nir:
            self._refuse(name, f"NIR has no {what}", f"{remedy}, save as .h5, or give beyond_nir=True")
        known, other = self.agreed.setdefault(option, (value, name))
        if known != value:
            self._refuse(name, f"{option} is {value}, but {known} in {other!r}, and NIR's readers take one for all")
        self.options[option] = value

    def _Readout(self, name, node):
        before = self.model.incoming(name)
        plain = node.current_leak is None and (node.leak == 0).all() and (node.input_gain == 1).all()
        plain = plain and not (node.v_leak.any() or node.bias.any() or node.reset_interval)
        if plain and len(before) == 1:
            kind, source = self.model.kinds[before[0].source], self.model.nodes[before[0].source]
            counted = isinstance(source, Neuron) and node.reduce == "sum" and (source.worth == 1).all()
            if kind == "current" or counted:  # a sum of spikes is also what a model that ends in them gives
                self.options["readout"] = node.reduce
                return {"type": "Output", "shape": np.array(self.model.shapes[name])}
        self.options["readout"] = node.reduce
        return self._dynamics(name, node, ("I", "LI", "CubaLI"))

    def _scale_behind(self, name, worth):
        """A Scale for spikes that are not worth 1."""
        worth = np.asarray(worth)
        if (worth == 1).all() or not self.model.outgoing(name):
            return
        scale = _unused(f"{name}.scale", self.model.nodes, self.nodes)
        self.nodes[scale] = {"type": "Scale", "scale": self._whole(name, worth, "scale")}
        self.edges = [Edge(scale, *edge[1:]) if edge.source == name else edge for edge in self.edges]
        self.edges.append(Edge(name, scale))

    # ---- edges

    def _end(self):
        """Add the Output."""
        last = self.model.output
        if self.nodes.get(last, {}).get("type") != "Output":
            output = _unused("output", self.nodes, self.model.nodes)
            self.nodes[output] = {"type": "Output", "shape": np.array(self.model.shapes[last])}
            self.edges.append(Edge(last, output))

    def _delay(self):
        """Leave out the step that readers give to every loop; put Delay nodes on the other delays."""
        for bias in (OPEN["recurrent_bias"], 1 - OPEN["recurrent_bias"]):
            quick = self._without_steps(bias)
            if quick is not None:
                self.edges, self.options["recurrent_bias"] = quick, bias
                break
        for edge in [edge for edge in self.edges if edge.delay]:
            name = _unused(f"{edge.source}.delay{edge.delay}", self.nodes)
            shape = self._shape_of(edge.source)
            self.nodes[name] = {"type": "Delay", "delay": np.full(shape, edge.delay * self.dt)}
            self.edges[self.edges.index(edge)] = Edge(name, edge.target)
            self.edges.append(Edge(edge.source, name))

    def _shape_of(self, name):
        return self.model.shapes[name] if name in self.model.shapes else self.nodes[name]["scale"].shape

    def _without_steps(self, recurrent_bias):
        """Edges from which the reader makes those of the model, or None where there are none."""
        nodes = {
            name: self.model.nodes[name] if members["type"] in SPIKING
            else SimpleNamespace(bias=members.get("bias")) for name, members in self.nodes.items()
        }
        slow = [i for i, edge in enumerate(self.edges) if edge.delay]
        found = {i for i in slow if self.edges[i].source in in_loop(self.edges, self.edges[i].target)}
        quick = [e._replace(delay=e.delay - 1) if i in found else e for i, e in enumerate(self.edges)]
        try:
            again, _ = with_steps(nodes, quick, self.model.input, recurrent_bias)
        except (ModelError, UnsupportedError):
            return None
        return quick if again == self.edges else None

    # ---- the file

    def write(self, root):
        """Fill the root of the file."""
        put_open_texts(root, "version", VERSION)
        graph = root.create_group("node")
        put_open_texts(graph, "type", "NIRGraph")
        put_open_texts(graph, "edges", np.array(self.edges, dtype=object).reshape(-1, 2))
        nodes = graph.create_group("nodes")
        for name, members in self.nodes.items():
            group = nodes.create_group(name)
            for member, value in members.items():
                write_member = put_open_texts if member == "type" else put_numbers
                write_member(group, member, value)
        metadata = graph.create_group("metadata")
        for name, value in self.options.items():
            if isinstance(value, str):
                put_open_texts(metadata, STORED + name, value)
            else:
                put(metadata, STORED + name, np.asarray(value))


def _near(guess, function, wanted):
    """The number within two roundings of `guess` whose function(number) is exactly `wanted`, per element;
    `guess` itself where there is none."""
    up, down = np.nextafter(guess, np.inf), np.nextafter(guess, -np.inf)
    found = guess
    for candidate in (np.nextafter(up, np.inf), np.nextafter(down, -np.inf), up, down, guess):
        found = np.where(function(candidate) == wanted, candidate, found)
    return found


def _quotient(product, factor):
    """The number that, times `factor`, is exactly `product`, where there is one."""
    return _near(product / factor, lambda number: factor * number, product)


def _unused(name, *taken):
    while any(name in names for names in taken):
        name += "_"
    return name
