"""SpikingJelly's neurons (0.0.0.0.14 to 2.0), in single-step and multi-step mode.

H = V + (x - (V - v_reset)) / tau, or without decay_input H = V - (V - v_reset) / tau + x; a spike where
H >= v_threshold. Membranes start at v_reset, so here they are counted from it.
"""

import torch

from eventsim.from_torch.layers import NeuronLayer, on_neurons
from eventsim.from_torch.libraries.spiking import comparison_at_threshold
from eventsim.model.neurons import Neuron

TAU = {
    "IFNode": lambda module: None,
    "LIFNode": lambda module: module.tau,
    "ParametricLIFNode": lambda module: 1 / torch.sigmoid(module.w.detach().double()),
}


def add_rules(rules):
    """Add the rules of this library."""
    for name in TAU:
        rules.register(f"spikingjelly.{name}", _rule(TAU[name]))
    rules.register("spikingjelly.CUBALIFNode", _cuba)


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
