"""sinabs's neurons (2.0 to 3.1): v = alpha v + x, with (1 - alpha) x where norm_input; several spikes a step.

z = trunc(v / threshold) where v > 0; v -= z threshold; then v is at least min_v_mem. What recurrent synapses give
is 0, with their bias, in the first step of every call.
"""

import torch

from eventsim.errors import UnsupportedError
from eventsim.from_torch.layers import NeuronLayer, on_neurons
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.parameters import compact, MAX_BITS, parameter_on
from eventsim.model.synapses import Dense
from eventsim.model.transforms import SumPool

REST = {"v_mem": 0.0, "i_syn": 0.0}  # its states start at


def add_rules(rules):
    """Add the rules of this library."""
    for name in ("IAF", "LIF", "IAFRecurrent", "LIFRecurrent"):
        rules.register(f"sinabs.{name}", _firing)
        rules.register(f"sinabs.{name}Squeeze", _firing)
    for name in ("ExpLeak", "ExpLeakSqueeze"):
        rules.register(f"sinabs.{name}", _leaking)
    rules.register("sinabs.SumPool2d", _sum_pool)


def _sum_pool(module, x):
    return SumPool(module.kernel_size, module.stride, 0, module.ceil_mode)


def _axes(module, x):
    """(axes, shape of the neurons, steps where they are fixed)"""
    if type(module).__name__.endswith("Squeeze"):
        return "(NT)", tuple(x.shape[1:]), module.num_timesteps
    return "NT", tuple(x.shape[2:]), -1


def _dynamics(module, shape):
    alpha = module.alpha_mem_calculated.detach().double()
    leaks = {"leak": on_neurons(alpha, shape, "tau_mem")}
    gain = 1 - leaks["leak"] if getattr(module, "norm_input", False) else 1.0
    syn = getattr(module, "alpha_syn_calculated", None)
    if syn is not None:  # i = alpha_syn (i + x)
        leaks["current_leak"] = on_neurons(syn.detach().double(), shape, "tau_syn")
        gain = _times(gain, leaks["current_leak"], shape)
    return {**leaks, "input_gain": gain}


def _times(a, b, shape):
    """The product of two parameters, as short as they are."""
    return compact(parameter_on(a, shape, "tau_mem") * parameter_on(b, shape, "tau_syn"), shape)


def _firing(module, x):
    axes, shape, steps = _axes(module, x)
    threshold = on_neurons(module.spike_threshold, shape, "spike_threshold")
    fields = {**_dynamics(module, shape), "v_threshold": threshold, "quantum": threshold, "output_quantum": 1.0,
              **_spikes(module), **_reset(module, threshold)}
    if module.min_v_mem is not None:
        fields["v_min"] = on_neurons(module.min_v_mem, shape, "min_v_mem")
    return NeuronLayer(Neuron(**fields), axes, recurrent=_recurrent(module), recurrent_bias=1, steps=steps,
                       unlimited=fields["bits"] == MAX_BITS, rest=REST)


def _spikes(module):
    name = getattr(module.spike_fn, "__name__", type(module.spike_fn).__name__)
    if name == "SingleSpike":
        return {"bits": 1}
    if name == "MultiSpike":
        return {"bits": MAX_BITS}
    most = getattr(module.spike_fn, "max_num_spikes_per_bin", None)
    if name == "MaxSpike" and (most is None or (most + 1) & most == 0 and most.bit_length() < MAX_BITS):
        return {"bits": MAX_BITS if most is None else most.bit_length()}
    raise UnsupportedError(f"spike_fn is {name}{'' if most is None else f' with at most {most} spikes'}, expected "
                           "SingleSpike, MultiSpike, or MaxSpike of 2^bits - 1")


def _reset(module, threshold):
    name = type(module.reset_fn).__name__
    if name == "MembraneSubtract" and module.reset_fn.subtract_value is None:
        return {"reset": "soft"}
    if name == "MembraneReset" and module.reset_fn.reset_value == 0:
        return {"reset": "hard"}
    raise UnsupportedError(f"reset_fn is {module.reset_fn}, expected MembraneSubtract() or MembraneReset() to 0")


def _recurrent(module):
    inner = getattr(module, "rec_connect", None)
    if inner is None:
        return None
    if isinstance(inner, torch.nn.Linear):
        return Dense(*(None if p is None else p.detach().double().cpu().numpy()
                       for p in (inner.weight, inner.bias)))
    raise UnsupportedError(f"its recurrent connection is {type(inner).__name__}, expected Linear")


def _leaking(module, x):
    axes, shape, steps = _axes(module, x)
    if module.min_v_mem is not None:
        raise UnsupportedError("min_v_mem of what never fires has no equal in eventsim")
    return NeuronLayer(Readout("last", **_dynamics(module, shape)), axes, steps=steps, rest=REST)
