"""norse's neurons (1.0 and 1.1).

I jumps by x, v += dt tau_mem_inv (v_leak - v + I), I loses dt tau_syn_inv of itself; a spike where v > v_th,
then v = v_reset. Membranes start at v_leak, those of IAF at v_reset, so here they are counted from there.
"""

from dataclasses import replace

import numpy as np
import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.layers import NeuronLayer, on_neurons
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Dense


def add_rules(rules):
    """Add the rules of this library."""
    for name, rule in (
        ("LIF", _lif), ("LIFCell", _lif), ("LIFRecurrent", _lif), ("LIFRecurrentCell", _lif), ("LI", _li),
        ("LICell", _li), ("LILinearCell", _li), ("LIBoxCell", _box_li), ("LIBox", _box_li), ("LIFBoxCell", _box),
        ("LIFBox", _box), ("IAFCell", _iaf), ("IAF", _iaf), ("LIFRefracCell", _refractory),
        ("LIFRefracRecurrentCell", _refractory), ("LIFRefracRecurrent", _refractory),
    ):
        rules.register(f"norse.{name}", rule)


def _shape(module, x):
    """(axes, shape of the neurons)"""
    axes = "N" if type(module).__name__.endswith("Cell") else "TN"
    shape = tuple(x.shape[len(axes):])
    if hasattr(module, "hidden_size"):
        shape = (*shape[:-1], int(module.hidden_size))
    return axes, shape


def _parameters(module):
    """Return the parameters of a module's membrane and current."""
    return getattr(module.p, "lif", module.p)


def _leaks(module, shape):
    p, dt = _parameters(module), module.dt
    share = on_neurons(dt * torch.as_tensor(p.tau_mem_inv).double(), shape, "tau_mem_inv")
    leaks = {"leak": 1 - share, "input_gain": share}
    if hasattr(p, "tau_syn_inv"):
        leaks["current_leak"] = 1 - on_neurons(dt * torch.as_tensor(p.tau_syn_inv).double(), shape, "tau_syn_inv")
    return leaks


def _potentials(module, shape, start="v_leak"):
    """Threshold and reset. start: name of the parameter at which its membranes start."""
    p = _parameters(module)
    origin = on_neurons(getattr(p, start), shape, start)
    return {"v_threshold": on_neurons(p.v_th, shape, "v_th") - origin,
            "v_reset": on_neurons(p.v_reset, shape, "v_reset") - origin, "reset": "hard", "comparison": ">",
            "output_quantum": 1.0}


def _synapses(module):
    """(input weights, recurrent weights), None where there are none."""
    return tuple(
        Dense(getattr(module, name).detach().double().cpu().numpy()) if hasattr(module, name) else None
        for name in ("input_weights", "recurrent_weights")
    )


def _lif(module, x):
    axes, shape = _shape(module, x)
    before, recurrent = _synapses(module)
    node = Neuron(**_leaks(module, shape), **_potentials(module, shape))
    return NeuronLayer(node, axes, before, recurrent, rest={})


def _refractory(module, x):
    """A spike sets rho to rho_reset; while rho > 0, the membrane stays, and rho loses 1 a step."""
    layer = _lif(module, x)
    steps = np.ceil(on_neurons(module.p.rho_reset, _shape(module, x)[1], "rho_reset"))
    return replace(layer, node=replace(layer.node, refractory=np.maximum(steps, 0).astype(np.int64)))


def _li(module, x):
    axes, shape = _shape(module, x)
    if type(module).__name__ == "LILinearCell":
        before = Dense(module.input_weights.detach().double().cpu().numpy())
    else:
        before = None
    _refuse_leak(module, shape)
    return NeuronLayer(Readout("last", **_leaks(module, shape)), axes, before, rest={})


def _refuse_leak(module, shape):
    if on_neurons(module.p.v_leak, shape, "v_leak").any():
        raise UnsupportedError("v_leak is not 0, from which its value is counted; subtract it")


def _box(module, x):
    axes, shape = _shape(module, x)
    if getattr(getattr(module.p, "reset_method", None), "__name__", "reset_value") != "reset_value":
        raise UnsupportedError("its reset method is not reset_value")
    return NeuronLayer(Neuron(**_leaks(module, shape), **_potentials(module, shape)), axes, rest={})


def _box_li(module, x):
    axes, shape = _shape(module, x)
    _refuse_leak(module, shape)
    return NeuronLayer(Readout("last", **_leaks(module, shape)), axes, rest={})


def _iaf(module, x):
    axes, shape = _shape(module, x)
    return NeuronLayer(Neuron(**_potentials(module, shape, start="v_reset")), axes, rest={})
