"""SpikingJelly's neurons (0.0.0.0.14 to 2.0), in single-step and multi-step mode.

H = V + (x - (V - v_reset)) / tau, or without decay_input H = V - (V - v_reset) / tau + x; a spike where
H >= v_threshold. Membranes start at v_reset, so here they are counted from it. Those of NonSpikingIFNode and
NonSpikingLIFNode start at 0 at every call, and `decode` says what is made of their steps.
"""

import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.layers import InSteps, NeuronLayer, on_neurons
from eventsim.from_torch.libraries.spiking import comparison_at_threshold
from eventsim.model.neurons import Neuron, Readout

TAU = {
    "IFNode": lambda module: None,
    "LIFNode": lambda module: module.tau,
    "ParametricLIFNode": lambda module: 1 / torch.sigmoid(module.w.detach().double()),
}
DECODED = {  # what a node that never fires gives of the membranes of all steps, (T, N, ...)
    "last_mem": lambda membranes: membranes[-1],
    "mean-mem": lambda membranes: membranes.mean(0),
    None: lambda membranes: list(membranes.unbind(0)),
}


def add_rules(rules):
    """Add the rules of this library."""
    for name in TAU:
        rules.register(f"spikingjelly.{name}", _rule(TAU[name]))
    rules.register("spikingjelly.CUBALIFNode", _cuba)
    for name in ("NonSpikingIFNode", "NonSpikingLIFNode"):
        rules.register(f"spikingjelly.{name}", _integrating)


def _rule(tau_of):
    def rule(module, x):
        axes, shape = _shape(module, x)
        origin, fields = _firing(module, shape)
        tau = tau_of(module)
        if tau is not None:
            tau = on_neurons(tau, shape, "tau")
            fields["leak"] = 1 - 1 / tau
            if module.decay_input:
                fields["input_gain"] = 1 / tau
        return NeuronLayer(Neuron(**fields), axes, rest={"v": origin})

    return rule


def _shape(module, x):
    """(axes, shape of the neurons)"""
    axes = "TN" if module.step_mode == "m" else "N"
    return axes, tuple(x.shape[len(axes):])


def _firing(module, shape):
    """(where membranes start, fields of threshold and reset)"""
    origin = 0.0 if module.v_reset is None else module.v_reset
    threshold = on_neurons(module.v_threshold, shape, "v_threshold") - origin
    fields = {"v_threshold": threshold, "output_quantum": 1.0, "reset": "hard",
              "comparison": comparison_at_threshold(module.surrogate_function, "surrogate_function")}
    if module.v_reset is None:
        fields.update(reset="soft", quantum=threshold)
    return origin, fields


def _cuba(module, x):
    """c = c_decay c + x, v = v_decay v + c, which leaks to 0 and not to v_reset."""
    axes, shape = _shape(module, x)
    origin, fields = _firing(module, shape)
    fields.update(leak=on_neurons(module.v_decay, shape, "v_decay"), v_leak=-origin,
                  current_leak=on_neurons(module.c_decay, shape, "c_decay"))
    return NeuronLayer(Neuron(**fields), axes, rest={"v": origin, "c": 0.0})


def _integrating(module, x):
    """Neurons that never fire, which take all steps in one call."""
    if not hasattr(module, "decode"):  # SpikingJelly's examples have a class of this name, too
        raise UnsupportedError("it has no decode, as the class in activation_based.neuron has; use that")
    decode = module.decode
    if decode not in DECODED:
        raise UnsupportedError(f"its decode is {decode!r}, and a model gives the last step, mean or sum of "
                               "what never fires; choose decode='last_mem' or 'mean-mem', or None and their sum")
    shape, fields = tuple(x.shape[2:]), {"leak": 1.0}
    if hasattr(module, "tau"):
        share = 1 / on_neurons(module.tau, shape, "tau")
        fields = {"leak": 1 - share, "input_gain": share if getattr(module, "decay_input", True) else 1.0}
    return NeuronLayer(Readout("last", **fields), "TN", rest={}, in_steps=InSteps(_membranes, DECODED[decode]))


def _membranes(module, x):
    """Those of all steps, (T, N, ...)."""
    module.v, membranes = torch.zeros_like(x[0]), []
    for current in x:
        module.neuronal_charge(current)
        membranes.append(module.v)
    return torch.stack(membranes)
