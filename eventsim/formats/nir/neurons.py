"""NIR's neurons as eventsim's: the equations of NIR in discrete steps. A Reading says how they are discretised.

Everything is float64. In the formulas, a = dt / tau ("euler") or 1 - exp(-dt / tau) ("exponential"):

    I        V += dt r x        "dt_r", NIR's dv/dt = r I; V += x ("x"), as norse has it; V += r x ("r");
    IF       the same, and fires                                  "auto" is "x" where r is 1, else "dt_r"
    LI, LIF  V += a (v_leak - V + r x)
    CubaLI, CubaLIF    I += s (w_in x - I), s as a of tau_syn; then V += a (v_leak - V + r I)
                       "x": I += x - s I, as norse's LIFCell has it

"scaled_euler" divides V of spiking neurons by the factor in front of x, so that the input is added as
it is; "impulse" has V = exp(-dt / tau) V + (1 - exp(-dt / tau)) v_leak + x, without r.
"""

import math

import numpy as np

from eventsim.arguments import first_wrong
from eventsim.errors import ModelError, UnsupportedError
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.parameters import compact

SPIKING = ("IF", "LIF", "CubaLIF")
INTEGRATING = ("I", "LI", "CubaLI")
ROUNDED = 1e-6  # relative error of a float32 tau or gain


def build_neuron(kind, values, scale, reading, shape):
    """Return the Neuron, or the Readout for kinds that never fire.

    kind: in SPIKING or INTEGRATING. values: float64 by NIR's names, as `fitted` gives them. scale: a factor on the
    input (a Scale before it). shape: of the neurons. Raises ModelError and UnsupportedError.
    """
    dynamics = _dynamics(kind, values, reading)
    if kind in INTEGRATING:
        if reading.start == "leak" and dynamics["v_leak"].any():
            raise UnsupportedError(
                "its membranes would start at v_leak, which is not 0 (start leak, as in norse), but those of an "
                "output that never fires start at 0; choose start='zero'"
            )
        dynamics["input_gain"] = dynamics["input_gain"] * scale
        return Readout(reading.readout, **{name: compact(value, shape) for name, value in dynamics.items()})
    potentials = _potentials(kind, values, dynamics, reading)
    dynamics["input_gain"] = dynamics["input_gain"] * scale
    return _firing({**dynamics, **potentials}, reading, shape)


def _potentials(kind, values, dynamics, reading):
    """Return v_threshold, v_reset, v_leak and, where they are needed, quantum and v_min. For "scaled_euler" also
    changes the gain in `dynamics`."""
    threshold = values["v_threshold"]
    potentials = {"v_threshold": threshold, "v_leak": dynamics["v_leak"], "v_reset": np.zeros(1)}
    if reading.reset == "hard":
        potentials["v_reset"] = values.get("v_reset", np.zeros(1))
    if reading.lower_limit == "all" or (reading.lower_limit == "IF" and kind == "IF"):
        potentials["v_min"] = -threshold
    unit, origin = np.ones(1), np.zeros(1)
    if reading.integration == "scaled_euler" and kind != "IF":
        unit, dynamics["input_gain"] = dynamics["input_gain"], np.ones(1)
        if (unit <= 0).any():
            raise UnsupportedError(
                "r (or w_in) has a value that is not above 0, by which 'scaled_euler' divides; choose "
                f"integration='euler'{first_wrong(unit, unit <= 0)}"
            )
    if reading.start == "leak":
        origin = dynamics["v_leak"]
    elif reading.start == "reset":  # of the file, also where spikes reset otherwise
        origin = values.get("v_reset", np.zeros(1))
    potentials = {name: (value - origin) / unit for name, value in potentials.items()}
    if reading.reset == "soft" or reading.bits > 1:
        potentials["quantum"] = threshold / unit
    return potentials


def _dynamics(kind, values, reading):
    """Return leak, input_gain, v_leak and, where there is one, current_leak, as arrays."""
    r = values["r"]
    if kind in ("I", "IF"):
        return {"leak": np.ones(1), "input_gain": _integrated(r, reading), "v_leak": np.zeros(1)}
    if kind in ("LI", "LIF"):
        leak, share = _decay(values["tau"], "tau", reading)
        gain = np.ones(1) if reading.integration == "impulse" else _gain(share, values["tau"], r, reading)
        return {"leak": leak, "input_gain": gain, "v_leak": values["v_leak"]}
    if reading.integration == "impulse":
        raise UnsupportedError(
            "integration 'impulse' (sinabs) is not defined for it; choose integration='euler' or 'exponential'"
        )
    leak, share = _decay(values["tau_mem"], "tau_mem", reading)
    current_leak, current_share = _decay(values["tau_syn"], "tau_syn", reading)
    gain = _gain(share, values["tau_mem"], r, reading)
    if reading.cuba_input == "w_in":
        gain = gain * _gain(current_share, values["tau_syn"], values.get("w_in", np.ones(1)), reading)
    return {"leak": leak, "input_gain": gain, "v_leak": values["v_leak"], "current_leak": current_leak}


def _integrated(r, reading):
    """Return the factor on the input of an IF or I."""
    way = reading.if_input
    if way == "x" or (way == "auto" and (r == 1).all()):
        return np.ones(1)
    if way == "r":
        return r
    gain = reading.dt * r
    return np.where(np.abs(gain - 1) < ROUNDED, 1.0, gain)  # where r is 1 / dt in float32


def _gain(share, tau, factor, reading):
    """Return the factor on the input of a leaky state. An infinite tau is allowed where the factor is infinite,
    too, and they cancel: snnTorch writes factor = tau / dt."""
    endless = np.isinf(tau) | np.isinf(factor)
    if not endless.any():
        return share * factor
    if reading.integration != "scaled_euler" or (np.isinf(tau) != np.isinf(factor)).any():
        raise UnsupportedError(
            "tau or r is infinite, as snnTorch writes beta = 1 or alpha = 1: choose preset='snntorch', for which "
            "the two have to be infinite together"
        )
    return np.where(endless, 1.0, share * np.where(endless, 1.0, factor))


def _decay(tau, name, reading):
    """Return (the share of a state that a step leaves, the share a that it takes away)."""
    if (tau <= 0).any():
        raise ModelError(f"{name} has a value that is not above 0{first_wrong(tau, tau <= 0)}")
    steps = reading.dt / tau
    if reading.integration in ("exponential", "impulse"):
        # of math, since NumPy's exp differs between processors; there are few different values
        left = {x: (math.exp(-x), -math.expm1(-x)) for x in np.unique(steps).tolist()}
        pairs = np.array([left[x] for x in steps.ravel().tolist()])
        return pairs[:, 0].reshape(steps.shape), pairs[:, 1].reshape(steps.shape)
    steps = np.where((steps > 1) & (steps < 1 + ROUNDED), 1.0, steps)
    if (steps > 1).any():
        squared = reading.dt * reading.dt  # a power would raise where it is beyond float64
        norse = f" (norse 1.1 writes dt * tau: its files need the square of its dt, {squared:.6g})"
        raise ModelError(
            f"{name} goes down to {tau.min():.6g}, less than a step of dt = {reading.dt:.6g}; give a smaller dt"
            + (norse if squared <= tau.min() * (1 + ROUNDED) else "")
        )
    return 1 - steps, steps


def _firing(values, reading, shape):
    fields = {name: compact(value, shape) for name, value in values.items()}
    quantum = fields.get("quantum", np.ones(()))
    if (quantum <= 0).any():
        raise UnsupportedError(
            "v_threshold has a value that is not above 0, which reset='soft' and several bits subtract"
            f"{first_wrong(quantum, quantum <= 0)}"
        )
    if quantum.ndim > 1:
        raise UnsupportedError(
            "v_threshold differs between the positions of a channel, which reset='soft' and several bits "
            "cannot; choose reset='hard' and bits=1"
        )
    return Neuron(
        reset={"soft": "soft", "none": "none"}.get(reading.reset, "hard"), bits=reading.bits,
        comparison=reading.comparison, reset_delay=reading.reset_delay, output_quantum=1.0, **fields,
    )


def fitted(values, shape, name):
    """Return a parameter of a node as float64 of as many axes as `shape`, to which it broadcasts.

    values: one number; of the whole shape (axes of length 1 may be missing or added); (C,), one per channel; or of
    any shape of as many axes that broadcasts. Raises ModelError for others.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 1:
        return values.reshape((1,) * len(shape))
    if same_shape(values.shape, shape):
        return values.reshape(shape)
    if values.ndim == len(shape) and all(n in (1, m) for n, m in zip(values.shape, shape)):
        return values
    if values.shape != shape[:1]:
        raise ModelError(
            f"{name} has shape {values.shape}, expected one number, {shape[:1]} (one per channel) or {shape} "
            "(one per neuron)"
        )
    return values.reshape((-1,) + (1,) * (len(shape) - 1))


def fits_two_axes(values, shape):
    """Return whether values that `fitted` takes per channel also fit the last axis, to which NumPy would broadcast
    them, and would give another parameter there."""
    return len(shape) > 1 and values.shape == shape[:1] == shape[-1:] and bool((values != values[0]).any())


def same_shape(a, b):
    """Return whether two shapes are equal apart from axes of length 1."""
    return [n for n in a if n != 1] == [n for n in b if n != 1]
