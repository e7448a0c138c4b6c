"""From a trained network in PyTorch to an eventsim.Model that carries its own proof.

This one file needs torch, numpy and eventsim, nothing else of the trainer: copy it. It takes

* an nn.Sequential, nested or not, of Conv1d, Conv2d, Linear, BatchNorm, pools, Flatten, Dropout,
  Identity, and of spiking neurons: SpikingJelly's IFNode, LIFNode and ParametricLIFNode, snnTorch's
  Leaky and Synaptic (with init_hidden=True), or the trainer's;
* a network with `layers` (name -> module) and `sources` (name -> names of the layers whose sum it
  reads, "input" for the sample), as the trainer's SpikingNet.

    export(net, "net.h5", Input((1, 28, 28), "image", bits=8, scale=1 / 255), x, timesteps=4)

Other modules can join by a method `eventsim_node()` that returns (kind, fields) of a Neuron, Readout
or Restimulation of eventsim. A layer that is none of these raises TypeError, naming it.

BatchNorm is folded into the layer before it, in float64. `simulate` runs the folded network in
PyTorch, sharing no computation with eventsim; its outputs and level counts go into the model's check
group, against which `eventsim check` compares what the engine computes.
"""

from copy import deepcopy
from typing import Dict, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

import eventsim
from eventsim.model.network import Check, Model

CONVOLUTIONS = {nn.Conv1d: eventsim.Conv1d, nn.Conv2d: eventsim.Conv2d}
AVERAGES = {nn.AvgPool1d, nn.AvgPool2d}
MAXIMA = {nn.MaxPool1d, nn.MaxPool2d}
ADAPTIVE = {nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d}
STATELESS = (*CONVOLUTIONS, nn.Linear, *AVERAGES, *MAXIMA, *ADAPTIVE, nn.Flatten)
NOTHING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity)  # in evaluation; see _does_nothing
MARGIN = 1e-9  # quanta: closer to a threshold, two computations may round apart


class Folded(dict):
    """name -> module without BatchNorm, float64, in the order in which they run.

    sources: name -> names of the layers (or "input") whose sum it reads.
    moving: whether a sample is (T, ...) instead of the same (...) at every step.
    """

    def __init__(self, layers, sources, moving=False):
        super().__init__(layers)
        self.sources, self.moving = sources, moving


class Mean(nn.Module):
    """Put behind a network that ends in a current: the mean over the steps."""

    def eventsim_node(self):
        """(kind, fields) of its node."""
        return "Readout", {"reduce": "mean"}


class Result(NamedTuple):
    """What `simulate` finds.

    outputs: (N, classes). levels: per neuron layer, int64 (N, T, ...).
    margin: smallest distance between a membrane and a threshold, in quanta (and of a channel's gain
        from where it rounds up, in 256ths). While it is far above the rounding errors of two
        computations, they must agree on every spike.
    """

    outputs: np.ndarray
    levels: Dict[str, np.ndarray]
    margin: float


def export(net, path, input_node, x, timesteps=None, class_names=(), provenance=None):
    """Fold, prove and save a network; returns the eventsim.Model.

    path: of the file, .h5. input_node: eventsim.Input, what a sample is.
    x: samples for the check group as the engine takes them: integer levels (N, ...), or (N, T, ...)
        of an input that moves; real numbers where the input is real.
    timesteps: T, by default the network's own or that of x.
    class_names: of the outputs, or none. provenance: name -> text, how the file was made.

    Raises TypeError, naming it, for a layer without an equal in eventsim, and where no timesteps are known;
    ValueError where a membrane of a check sample is within 1e-9 quanta of a threshold: give other samples.
    """
    folded = round_to_float32(fold(net))
    folded.moving = x.ndim == 2 + len(input_node.shape)
    timesteps = timesteps or getattr(net, "timesteps", None) or (x.shape[1] if folded.moving else None)
    if timesteps is None:
        raise TypeError("timesteps are not given, and the network does not say them")
    check = make_check(folded, x, normalise(x, input_node), timesteps)
    model = to_model(folded, input_node, timesteps, class_names, provenance, check)
    eventsim.save(model, path)
    return model


def normalise(x, input_node):
    """Levels as the values that they stand for, a float64 tensor. x: (N, ...) or (N, T, ...)."""
    values = x * input_node.scale if input_node.encoding != "real" else x
    trailing = (-1,) + (1,) * (len(input_node.shape) - 1)
    mean, std = (v.reshape(trailing) if v.ndim else v for v in (input_node.mean, input_node.std))
    return torch.from_numpy(np.asarray((values - mean) / std, np.float64))


# ---- folding


def fold(net):
    """The Folded form of a network, each BatchNorm merged into the layer before it.

    The network itself is left as it is.
    """
    layers, sources = _without_nothing(*_layers(net))
    if not layers:
        raise TypeError(f"{type(net).__name__} has no layers to export")
    readers = [name for names in sources.values() for name in names]
    folded, kept, alias = {}, {}, {}
    for name, layer in layers.items():
        from_ = tuple(alias.get(source, source) for source in sources[name])
        if isinstance(layer, _BatchNorm) and len(from_) == 1:
            alias[name] = from_[0]
            if readers.count(sources[name][0]) > 1:
                raise TypeError(f"layer {name!r}: BatchNorm after {sources[name][0]!r}, which other layers "
                                "read as well; only one that alone reads a layer can be folded into it")
            _merge(name, folded.get(from_[0], "the input"), deepcopy(layer).cpu().double().eval())
            continue
        _require_known(name, layer)
        folded[name] = deepcopy(layer).cpu().double().eval()
        kept[name] = from_
    last = name if name in folded else alias[name]
    if isinstance(folded[last], STATELESS):
        name = _unused("readout", folded)
        folded[name], kept[name] = Mean(), (last,)
    return Folded(folded, kept, getattr(net, "moving", False))


def _layers(net):
    """(name -> module, name -> sources) of a network."""
    if hasattr(net, "layers") and hasattr(net, "sources"):
        return dict(net.layers.items()), net.sources
    if not isinstance(net, nn.Sequential):
        raise TypeError(f"{type(net).__name__} says no order of its layers: expected nn.Sequential, or "
                        "a network with layers and sources")
    layers = {}
    for name, layer in _flat(net):
        name = _unused(name, ("input", *layers))
        first = next((other for other, known in layers.items() if known is layer), None)
        if first is not None and (_special(layer) or ("",))[0] == "Neuron":
            raise TypeError(f"layer {name!r}: is layer {first!r} again, whose membranes it would share; "
                            "give each place neurons of its own")
        layers[name] = layer
    return layers, {name: (before,) for before, name in zip(("input", *layers), layers)}


def _without_nothing(layers, sources):
    """The same without layers that do nothing in evaluation; who read them reads what they read."""
    instead = {}
    for name, layer in layers.items():
        if _does_nothing(layer) and len(sources[name]) == 1:
            [source] = sources[name]
            instead[name] = instead.get(source, source)
    kept = {name: layer for name, layer in layers.items() if name not in instead}
    return kept, {name: tuple(instead.get(source, source) for source in sources[name]) for name in kept}


def _does_nothing(layer):
    """Whether a layer hands on what it gets, in evaluation. SpikingJelly's Dropout is not PyTorch's."""
    return isinstance(layer, NOTHING) or (
        type(layer).__module__.startswith("spikingjelly.") and type(layer).__name__ in ("Dropout", "Dropout2d"))


def _unused(name, taken):
    while name in taken:
        name += "_"
    return name


def _flat(net, prefix=""):
    for name, layer in net._modules.items():  # named_children() leaves out what comes a second time
        name = f"{prefix}{name if prefix or not name.isdigit() else f'{type(layer).__name__.lower()}{name}'}"
        if isinstance(layer, nn.Sequential):
            yield from _flat(layer, f"{name}_")
        else:
            yield name, layer


def _require_known(name, layer):
    if not isinstance(layer, STATELESS) and _special(layer) is None:
        supported = ", ".join(c.__name__ for c in STATELESS + NOTHING)
        raise TypeError(
            f"layer {name!r}: no eventsim node for {type(layer).__name__}; expected {supported}, BatchNorm, "
            f"neurons of SpikingJelly ({', '.join(_SPIKINGJELLY)}) or snnTorch ({', '.join(_SNNTORCH)}), or a "
            "module with eventsim_node()"
        )


def _merge(name, synapses, norm):
    """Fold y = scale * weight * (x - mean) / sqrt(var + eps) + bias into synapses, in place.

    scale: alpha * V_th of tdBN, 1 otherwise.
    """
    if not isinstance(synapses, (*CONVOLUTIONS, nn.Linear)):
        raise TypeError(f"layer {name!r}: BatchNorm after {synapses}: expected Conv1d, Conv2d or Linear before it")
    if norm.running_var is None:
        raise TypeError(f"layer {name!r}: {norm}: expected running statistics (track_running_stats=True)")
    with torch.no_grad():
        weight, shift = (1, 0) if norm.weight is None else (norm.weight, norm.bias)
        gain = weight * getattr(norm, "scale", 1) / torch.sqrt(norm.running_var + norm.eps)
        bias = 0 if synapses.bias is None else synapses.bias
        synapses.bias = nn.Parameter((bias - norm.running_mean) * gain + shift)
        synapses.weight.mul_(gain.view(-1, *[1] * (synapses.weight.ndim - 1)))


@torch.no_grad()
def round_to_float32(folded):
    """Round all weights and biases to float32, in place; they stay float64 arrays.

    A file then holds them in half the space, and the accuracy that is reported is that of the
    file. Returns `folded`.
    """
    for layer in folded.values():
        for parameter in layer.parameters():
            parameter.copy_(parameter.float().double())
    return folded


# ---- neurons of other libraries


def _special(layer):
    """(kind, fields) of a layer that has its own idea of time or of its input, or None."""
    if hasattr(layer, "eventsim_node"):
        return layer.eventsim_node()
    library, name = type(layer).__module__.partition(".")[0], type(layer).__name__
    if library == "spikingjelly" and name in _SPIKINGJELLY:
        return "Neuron", _spikingjelly(layer, _SPIKINGJELLY[name](layer))
    if library == "snntorch" and name in _SNNTORCH:
        return "Neuron", _snntorch(layer)
    return None


def _plif_tau(layer):
    return 1 / float(torch.sigmoid(layer.w.detach().double()))


# name -> tau in steps, or None where nothing leaks
_SPIKINGJELLY = {"IFNode": lambda layer: None, "LIFNode": lambda layer: layer.tau,
                 "ParametricLIFNode": _plif_tau}
_SNNTORCH = ("Leaky", "Synaptic")


def _spikingjelly(layer, tau):
    """H = V + (X - (V - v_reset)) / tau, or without decay_input H = V - (V - v_reset) / tau + X."""
    if layer.v_reset not in (None, 0):
        raise TypeError(f"{layer}: v_reset is {layer.v_reset}, where membranes start too; eventsim's start "
                        "at 0: expected v_reset 0 or None")
    fields = {"v_threshold": float(layer.v_threshold), "output_quantum": 1.0, "reset": "hard"}
    if layer.v_reset is None:
        fields.update(reset="soft", quantum=float(layer.v_threshold))
    if tau is not None:
        fields.update(leak=1 - 1 / tau, input_gain=1 / tau if layer.decay_input else 1.0)
    return fields


def _snntorch(layer):
    """mem = beta * mem + x - reset * threshold, a spike where mem > threshold; reset: by the step before.

    To zero, Leaky resets what the step before has left, before leak and input (snnTorch 0.9 to 1.0):
    as early as a reset can be seen.
    """
    subtracts = layer.reset_mechanism == "subtract"
    synaptic = type(layer).__name__ == "Synaptic"
    unusual = [text for text, found in (
        ("init_hidden=False", not layer.init_hidden), ("inhibition=True", layer.inhibition),
        ("state_quant", layer.state_quant), ("output=True", layer.output),
        ("graded_spikes_factor", float(getattr(layer, "graded_spikes_factor", 1)) != 1),
        ("reset_mechanism='none'", layer.reset_mechanism == "none"),
        ("reset_delay=False by subtraction", subtracts and not layer.reset_delay),
        ("Synaptic's reset to zero", synaptic and not subtracts),
    ) if found]
    if unusual:
        raise TypeError(f"{layer}: {' and '.join(unusual)} has no equal in eventsim")
    threshold = _array(layer.threshold)
    fields = {"v_threshold": threshold, "output_quantum": 1.0, "comparison": ">",
              "leak": _array(layer.beta.clamp(0, 1)), "reset": "hard"}
    if subtracts:
        fields.update(reset="soft", quantum=threshold, reset_delay=1)
    if synaptic:
        fields["current_leak"] = _array(layer.alpha.clamp(0, 1))
    return fields


# ---- simulating


class _Membrane:
    """A layer of neurons, step by step, as eventsim.Neuron documents them."""

    def __init__(self, fields, dtype):
        node = eventsim.Neuron(**fields)
        self.node, self.dtype = node, dtype
        self.numbers = {name: torch.as_tensor(np.asarray(getattr(node, name)), dtype=dtype)
                        for name in ("leak", "input_gain", "v_leak", "v_threshold", "v_reset", "quantum")}
        worth = node.quantum if node.output_quantum is None else node.output_quantum
        self.numbers["worth"] = torch.as_tensor(worth, dtype=dtype)
        if node.current_leak is not None:
            self.numbers["current_leak"] = torch.as_tensor(node.current_leak, dtype=dtype)
        self.current = self.residual = self.sent = 0.0
        self.margin = np.inf

    def _number(self, name, like):
        value = self.numbers[name]
        return value.view(-1, *[1] * (like.ndim - 2)) if value.ndim == 1 else value

    def step(self, x):
        """(levels, their values) for one step's input current (N, ...)."""
        n = {name: self._number(name, x) for name in self.numbers}
        x = n["input_gain"] * x
        if "current_leak" in n:
            x = self.current = n["current_leak"] * self.current + x
        h = n["leak"] * self.residual + (1 - n["leak"]) * n["v_leak"] + x
        if self.node.reset_delay:
            h = self._reset(h, self.sent, n)
        most = 2 ** int(self.node.bits) - 1
        distance = (h - n["v_threshold"]) / n["quantum"]
        k = distance.floor() + 1 if self.node.comparison == ">=" else distance.ceil()
        k = self.sent = k.clamp(0, most)
        nearest = distance.round().clamp(0, most - 1)
        self.margin = min(self.margin, (distance - nearest).abs().min().item())
        self.residual = h if self.node.reset_delay else self._reset(h, k, n)
        return k, k * n["worth"]

    def _reset(self, h, k, n):
        if self.node.reset == "soft":
            return h - k * n["quantum"]
        return torch.where(torch.as_tensor(k) > 0, n["v_reset"], h)


class _Attention:
    """A Restimulation; see eventsim.Restimulation."""

    def __init__(self, fields, dtype):
        self.kernel = torch.as_tensor(fields["kernel"], dtype=dtype).view(1, 1, -1)
        weight = fields.get("weight")
        self.weight = None if weight is None else torch.as_tensor(weight, dtype=dtype)
        self.stride = fields.get("stride", 1)
        self.margin = np.inf

    def step(self, spikes):
        """The current of one step."""
        q = spikes if self.weight is None else nn.functional.conv2d(spikes, self.weight, stride=self.stride)
        means = q.flatten(2).mean(2) if q.ndim > 2 else q
        z = nn.functional.conv1d(means[:, None], self.kernel, padding=self.kernel.shape[2] // 2)[:, 0]
        gains = 256 * torch.sigmoid(z) + 0.5
        self.margin = min(self.margin, (gains - gains.round()).abs().min().item())
        return (gains.floor() / 256).view(*gains.shape, *[1] * (q.ndim - 2)) * q


@torch.no_grad()
def simulate(folded, x, timesteps, dtype=torch.float64):
    """Run a folded network step by step, without training code.

    folded: from `fold`. x: (N, ...) as the first layer takes it, or (N, T, ...) where it moves.
    """
    stateful, readouts, layers = {}, set(), {}
    for name, layer in folded.items():
        special = _special(layer)
        if special is None:
            layers[name] = deepcopy(layer).to(dtype)
        elif special[0] == "Readout":
            readouts.add(name)
        else:
            stateful[name] = {"Neuron": _Membrane, "Restimulation": _Attention}[special[0]](special[1], dtype)
    levels = {name: [] for name, state in stateful.items() if isinstance(state, _Membrane)}
    total = 0.0
    for t in range(timesteps):
        values = {"input": (x[:, t] if folded.moving else x).to(dtype)}
        for name in folded:
            value = sum((values[source] for source in folded.sources[name][1:]),
                        values[folded.sources[name][0]])
            if name in levels:
                k, value = stateful[name].step(value)
                levels[name].append(k.to(torch.int64))
            elif name in stateful:
                value = stateful[name].step(value)
            elif name not in readouts:
                value = _forward(layers[name], value)
            values[name] = value
        total = total + (levels[name][-1].to(dtype) if name in levels else value)
    mean = 1 if name in levels else timesteps  # a model that ends in neurons gives their summed levels
    return Result(
        (total / mean).flatten(1).numpy(),
        {name: torch.stack(steps, 1).numpy() for name, steps in levels.items()},
        min((state.margin for state in stateful.values()), default=np.inf),
    )


def _forward(layer, value):
    """A stateless layer on one step, whatever a library that extends it makes of several steps."""
    return next(cls for cls in STATELESS if isinstance(layer, cls)).forward(layer, value)


def count_levels(levels, max_level):
    """int64 (N, T, max_level + 1): how many neurons sent each level. levels: (N, T, ...)."""
    axes = tuple(range(2, levels.ndim))
    return np.stack([(levels == k).sum(axes) for k in range(max_level + 1)], -1)


def make_check(folded, x, normalised, timesteps):
    """The check group for the samples `x`, integer levels as the engine takes them.

    normalised: the same samples as the folded network takes them.
    """
    result = simulate(folded, normalised, timesteps)
    if result.margin < MARGIN:
        raise ValueError(f"a membrane is {result.margin:.1e} quanta from a threshold: choose "
                         "other samples for the check group")
    counts = {
        name: count_levels(levels, 2 ** int(_special(folded[name])[1].get("bits", 1)) - 1)
        for name, levels in result.levels.items()
    }
    return Check(x, result.outputs, counts)


# ---- the model


def to_model(folded, input_node, timesteps, class_names=(), provenance=None, check=None):
    """The eventsim.Model of a folded network, its nodes named as the layers."""
    resolved = _sized(folded, input_node.shape)
    found, edges = {"input": input_node}, []
    for name, layer in resolved.items():
        node, target = _node(name, layer), name
        if len(folded.sources[name]) > 1 and not isinstance(node, (eventsim.Neuron, eventsim.Readout)):
            target = f"{name}_sum"
            found[target] = eventsim.Add()
            edges.append((target, name))
        found[name] = node
        edges += [(source, target) for source in folded.sources[name]]
    return Model(found, edges, timesteps, class_names, provenance, check)


def _sized(folded, shape):
    """name -> module, adaptive pools replaced by pools of the size that they have here."""
    if not any(isinstance(layer, tuple(ADAPTIVE)) for layer in folded.values()):
        return folded
    layers, values = {}, {"input": torch.zeros(1, *shape, dtype=torch.float64)}
    for name, layer in folded.items():
        value = values[folded.sources[name][0]]
        if isinstance(layer, tuple(ADAPTIVE)):
            after = _forward(layer, value)
            window = [before // size for before, size in zip(value.shape[2:], after.shape[2:])]
            if any(w * n != size for w, n, size in zip(window, after.shape[2:], value.shape[2:])):
                raise TypeError(f"layer {name!r}: {layer} has unequal windows on {tuple(value.shape[1:])}")
            layer = (nn.AvgPool1d if len(window) == 1 else nn.AvgPool2d)(window)
        layers[name] = layer
        special = _special(layer)
        if special is None:
            value = _forward(layer, value)
        elif special[0] == "Restimulation":
            value = _Attention(special[1], torch.float64).step(value)
        values[name] = value
    return layers


def _node(name, layer):
    """The eventsim node of a module; TypeError, naming the layer, if there is none."""
    special = _special(layer)
    if special is not None:
        return getattr(eventsim, special[0])(**special[1])
    for cls, node in CONVOLUTIONS.items():
        if isinstance(layer, cls):
            if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
                raise TypeError(f"layer {name!r}: {layer}: expected padding with zeros, given as numbers")
            return node(_array(layer.weight), _array(layer.bias), layer.stride, layer.padding,
                        layer.dilation, layer.groups)
    if isinstance(layer, nn.Linear):
        return eventsim.Dense(_array(layer.weight), _array(layer.bias))
    if isinstance(layer, tuple(AVERAGES)):
        return eventsim.AvgPool(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode,
                             layer.count_include_pad)
    if isinstance(layer, tuple(MAXIMA)):
        if layer.dilation not in (1, (1,), (1, 1)) or layer.return_indices:
            raise TypeError(f"layer {name!r}: {layer}: expected a pool without dilation and indices")
        return eventsim.MaxPool(layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
    if isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
        return eventsim.Flatten()
    _require_known(name, layer)
    raise TypeError(f"layer {name!r}: no eventsim node for {layer}")


def _array(parameter):
    return None if parameter is None else parameter.detach().cpu().double().numpy()
