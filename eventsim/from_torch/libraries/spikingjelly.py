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


def _rule(tau_of):
    def rule(module, x):
        several = module.step_mode == "m"
        shape = tuple(x.shape[2 if several else 1:])
        origin = 0.0 if module.v_reset is None else module.v_reset
        threshold = on_neurons(module.v_threshold, shape, "v_threshold") - origin
        fields = {"v_threshold": threshold, "output_quantum": 1.0, "reset": "hard",
                  "comparison": comparison_at_threshold(module.surrogate_function, "surrogate_function")}
        if module.v_reset is None:
            fields.update(reset="soft", quantum=threshold)
        tau = tau_of(module)
        if tau is not None:
            tau = on_neurons(tau, shape, "tau")
            fields["leak"] = 1 - 1 / tau
            if module.decay_input:
                fields["input_gain"] = 1 / tau
        return NeuronLayer(Neuron(**fields), axes="TN" if several else "N", rest={"v": origin})

    return rule
