"""snnTorch's neurons (0.9 to 1.0): mem = beta * mem + x - reset * threshold, a spike where mem > threshold.

The reset comes a step late, after leak and input (reset_delay=True). Only Leaky resets to zero before leak
and input, what the step before has left: as early as it can be seen.
"""

import numpy as np
import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.layers import NeuronLayer, on_neurons
from eventsim.from_torch.libraries.spiking import comparison_at_threshold
from eventsim.model.neurons import Alpha, Neuron
from eventsim.model.synapses import Conv2d, Dense

COMPUTED = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}  # by the state_function
MECHANISMS = tuple(COMPUTED.values())  # by the reset_mechanism_val
REST = dict.fromkeys(("mem", "syn", "syn_exc", "syn_inh", "spk"), 0.0)  # its states start at


def add_rules(rules):
    """Add the rules of this library."""
    for name in ("Leaky", "Synaptic", "Lapicque", "RLeaky", "RSynaptic", "Alpha"):
        rules.register(f"snntorch.{name}", _RULES.get(name, _neurons))


def _neurons(module, x):
    shape = tuple(x.shape[1:])
    _refuse_unusual(module)
    fields = {"leak": on_neurons(module.beta.clamp(0, 1), shape, "beta"), **_firing(module, shape)}
    if hasattr(module, "alpha"):
        fields["current_leak"] = on_neurons(module.alpha.clamp(0, 1), shape, "alpha")
    return NeuronLayer(Neuron(**fields), recurrent=_recurrent(module, shape),
                       membrane=2 if "current_leak" in fields else 1, rest=REST)


def _lapicque(module, x):
    """mem = x * dt / C + (1 - dt / (R C)) * mem"""
    shape = tuple(x.shape[1:])
    _refuse_unusual(module)
    r, c, dt = (torch.as_tensor(getattr(module, name)).double() for name in ("R", "C", "time_step"))
    fields = {"leak": on_neurons(1 - dt / (r * c), shape, "R"),
              "input_gain": on_neurons(r * (1 / (r * c)) * dt, shape, "C")}
    return NeuronLayer(Neuron(**fields, **_firing(module, shape)), membrane=1, rest=REST)


def _alpha(module, x):
    """mem = tau (E - I), E = alpha E + x, I = beta I + x.

    Without a reset this is a Synaptic neuron that is a step late and whose weights are multiplied by
    tau (alpha - beta), since alpha^k - beta^k = (alpha - beta) sum over j < k of alpha^j beta^(k - 1 - j).
    """
    shape = tuple(x.shape[1:])
    _refuse_unusual(module)
    alpha, beta = (torch.as_tensor(getattr(module, name)).double().clamp(0, 1) for name in ("alpha", "beta"))
    tau = torch.log(alpha) / (torch.log(beta) - torch.log(alpha)) + 1
    if not torch.isfinite(tau).all():
        raise UnsupportedError("alpha and beta make a tau that is not finite; give alpha and beta above 0")
    leaks = {"excitatory_leak": on_neurons(alpha, shape, "alpha"),
             "inhibitory_leak": on_neurons(beta, shape, "beta")}
    if module.reset_mechanism != "none":
        reset = {"zero": "hard", "subtract": "soft"}[module.reset_mechanism]
        return NeuronLayer(Alpha(**leaks, gain=on_neurons(tau, shape, "alpha"), reset=reset,
                                 **_spikes(module, shape)), membrane=3, rest=REST)
    return NeuronLayer(Neuron(
        leak=leaks["inhibitory_leak"], current_leak=leaks["excitatory_leak"],
        input_gain=on_neurons(tau * (alpha - beta), shape, "alpha"), **_firing(module, shape),
    ), delay=1, membrane=3, rest=REST)


_RULES = {"Lapicque": _lapicque, "Alpha": _alpha}


def _spikes(module, shape):
    """Threshold, and what a spike is worth."""
    return {"v_threshold": on_neurons(module.threshold, shape, "threshold"),
            "comparison": comparison_at_threshold(module.spike_grad, "spike_grad"),
            "output_quantum": on_neurons(getattr(module, "graded_spikes_factor", 1.0), shape,
                                         "graded_spikes_factor")}


def _firing(module, shape):
    """Threshold, what a spike is worth, and the reset of the membrane alone."""
    fields = {**_spikes(module, shape), "reset": "hard"}
    threshold = fields["v_threshold"]
    if module.reset_mechanism == "none":
        fields["reset"] = "none"
    elif module.reset_mechanism == "zero":
        at_once = type(module).__name__ == "Leaky" or not getattr(module, "reset_delay", True)
        fields["reset_delay"] = 0 if at_once else 1
    elif module.reset_mechanism == "subtract":
        if (threshold <= 0).any():
            raise UnsupportedError(f"threshold is {threshold.min():.4g}, and subtracting it at every spike takes "
                                   "one above 0")
        fields.update(reset="soft", quantum=threshold, reset_delay=1)
        if threshold.shape not in ((), shape[:1]):  # a level has one size in a channel: scale the membrane
            fields.update(v_threshold=1.0, quantum=1.0, input_gain=1 / threshold)
    return fields


def _refuse_unusual(module):
    _refuse_late_change(module)
    subtracts = module.reset_mechanism == "subtract"
    unusual = [text for text, is_used in (
        ("inhibition=True", module.inhibition),
        ("state_quant", module.state_quant),
        ("reset_delay=False by subtraction", subtracts and not getattr(module, "reset_delay", True)),
    ) if is_used]
    if unusual:
        raise UnsupportedError(f"{' and '.join(unusual)} has no equal in eventsim")


def _refuse_late_change(module):
    """Refuse a module whose reset_mechanism was changed after it was made, when its state_function was chosen."""
    mechanism, chosen = module.reset_mechanism, getattr(module, "state_function", None)
    computed = [COMPUTED.get(getattr(chosen, "__name__", ""), mechanism)]
    if not getattr(module, "reset_delay", True):
        computed.append(MECHANISMS[int(module.reset_mechanism_val)])
    others = [each for each in computed if each != mechanism]
    if others:
        raise UnsupportedError(
            f"its reset_mechanism is {mechanism!r}, but it resets by {others[0]!r}: snnTorch chooses the reset "
            f"when a module is made. Make it with reset_mechanism={mechanism!r}; or set it back to "
            f"{computed[0]!r} to take the network as it is")


def _recurrent(module, shape):
    """The synapses from its spikes of the step before, or None."""
    if not hasattr(module, "recurrent"):
        return None
    inner = module.recurrent
    if isinstance(inner, torch.nn.Linear):
        return Dense(_array(inner.weight), _array(inner.bias))
    if isinstance(inner, torch.nn.Conv2d):
        return Conv2d(_array(inner.weight), _array(inner.bias), inner.stride, inner.padding, inner.dilation,
                      inner.groups)
    weight = np.broadcast_to(on_neurons(module.V, shape, "V").reshape((-1,) + (1,) * (len(shape) - 1))
                             if np.ndim(module.V.detach()) <= 1 else on_neurons(module.V, shape, "V"), shape)
    if len(shape) == 1:
        return Dense(np.diag(weight))
    rows = weight.reshape(shape[0], -1)
    if (rows != rows[:, :1]).any() or len(shape) != 3:
        raise UnsupportedError("its weights V differ inside a channel, which only vectors can")
    return Conv2d(rows[:, 0].reshape(-1, 1, 1, 1), groups=shape[0])


def _array(parameter):
    return None if parameter is None else parameter.detach().double().cpu().numpy()
