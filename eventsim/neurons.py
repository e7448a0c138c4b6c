"""The nodes that have a membrane: Neuron fires, Readout does not."""

from dataclasses import dataclass
from typing import Optional

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.node import Node
from eventsim.parameters import (
    MAX_BITS,
    Parameter,
    choice,
    integer,
    parameter,
    parameter_on,
    whole_array,
)


@dataclass(repr=False, eq=False)
class Neuron(Node):
    """Integrate-and-fire neurons: IF, LIF, SRIF, multi-bit, signed.

        H[t] = leak * U[t-1] + (1 - leak) * v_leak + input_gain * X[t]
        k[t] = clip(floor((H[t] - v_threshold) / quantum) + 1, 0, 2^bits - 1)
        U[t] = H[t] - k[t] * quantum                    reset "soft"
        U[t] = v_reset where k[t] > 0, else H[t]        reset "hard"

    (InfLoR-SNN, eqs. 2 to 7; SRIF is leak 1, v_threshold 0.5, quantum 1, 1 bit, soft.) U[-1] = 0.
    All in the membrane's unit. `quantum`, `output_quantum` and `bits` may be scalar or per
    channel, the other numbers also per neuron.

    leak: factor on the membrane per step, 1 for IF; larger forgets more slowly.
    input_gain: factor on the summed input (bias included).
    v_leak: potential the leak tends to.
    v_threshold: first level's threshold.
    reset: "soft" (subtract what was sent) or "hard" (to v_reset).
    reset_delay: 1 applies the reset one step late, after leak and input (snnTorch).
    v_min: lower limit of U after the reset, or None.
    refractory: steps after a spike in which U stays and input is ignored.
    comparison: ">=" or ">", how H meets its thresholds.
    quantum: size of one level in the membrane.
    output_quantum: worth of one level to the nodes that read it; None: `quantum`.
    bits: width of a level, m + n of the Multi-Bit Mechanism.
    signed: k = sign(H) * level(|H|).
    rectify: whether the step function sees the rectified membrane phi (MPR, InfLoR-SNN eq. 9),
        in quanta. It never changes the membrane.
    """

    kind = "Neuron"
    accepts = ("spikes", "real", "scaled", "current")
    inputs = (1, None)

    v_threshold: Parameter = 1.0
    leak: Parameter = 1.0
    input_gain: Parameter = 1.0
    v_leak: Parameter = 0.0
    v_reset: Parameter = 0.0
    reset: str = "soft"
    reset_delay: int = 0
    v_min: Optional[Parameter] = None
    refractory: Parameter = 0
    comparison: str = ">="
    quantum: Parameter = 1.0
    output_quantum: Optional[Parameter] = None
    bits: Parameter = 1
    signed: bool = False
    rectify: bool = False

    def __post_init__(self):
        for name in ("v_threshold", "leak", "input_gain", "v_leak", "v_reset", "quantum"):
            setattr(self, name, parameter(getattr(self, name), name))
        for name in ("v_min", "output_quantum"):
            if getattr(self, name) is not None:
                setattr(self, name, parameter(getattr(self, name), name))
        self.refractory = whole_array(self.refractory, "refractory", 0, 1 << 20)
        self.bits = whole_array(self.bits, "bits", 1, MAX_BITS)
        choice(self.reset, "reset", ("soft", "hard"))
        choice(self.comparison, "comparison", (">=", ">"))
        self.reset_delay = integer(self.reset_delay, "reset_delay", 0, 1)
        self.signed, self.rectify = bool(self.signed), bool(self.rectify)
        for name in ("quantum", "output_quantum"):
            value = getattr(self, name)
            if value is not None and (value <= 0).any():
                raise ModelError(f"{name} has a value that is not above 0")
        if (self.leak < 0).any() or (self.leak > 1).any():
            raise ModelError("leak has a value outside 0 to 1 (it is the factor on the membrane)")
        if self.signed and (self.v_threshold <= 0).any():
            raise ModelError("v_threshold has a value that is not above 0, which signed needs")
        if self.signed and self.rectify:
            raise UnsupportedError("rectify (MPR) is not defined for signed levels")
        if self.reset_delay and self.refractory.any():
            raise UnsupportedError("reset_delay together with refractory is not defined")

    def check(self, shape):
        for name in ("quantum", "output_quantum", "bits"):
            value = getattr(self, name)
            if value is not None and value.size != 1 and value.shape != shape[:1]:
                raise ModelError(f"{name} has shape {value.shape}, expected () or {shape[:1]}")
        for name in ("v_threshold", "leak", "input_gain", "v_leak", "v_reset", "v_min", "refractory"):
            value = getattr(self, name)
            if value is not None:
                parameter_on(value, shape, name)
        if self.rectify:
            self._check_rectifier(shape)

    def _check_rectifier(self, shape):
        theta = parameter_on(self.v_threshold, shape, "v_threshold")
        quantum = parameter_on(self.quantum, shape, "quantum")
        multi_bit = parameter_on(self.bits, shape, "bits") > 1
        if (multi_bit & (theta != quantum / 2)).any():
            raise UnsupportedError(
                "rectify (MPR) with more than one bit is defined only for v_threshold = quantum / 2"
            )

    @property
    def n_bits(self) -> int:
        """Planes that the layer's spikes take: the widest channel's bits."""
        return int(self.bits.max())


@dataclass(repr=False, eq=False)
class Readout(Node):
    """Integrates and never fires.

        V[t] = leak * V[t-1] + (1 - leak) * v_leak + input_gain * X[t],   V[-1] = 0

    The answer after step t is V summed over the steps so far ("sum"), their mean ("mean"), or
    V[t] alone ("last"). leak 0 (the default) makes V the current of the step, so that "sum" is
    the summed input and "mean" the average over the steps (InfLoR-SNN, section 4.1); leak 1 with
    "last" is an integrator.
    """

    kind = "Readout"
    accepts = ("spikes", "real", "scaled", "current")
    inputs = (1, None)

    reduce: str = "mean"
    leak: Parameter = 0.0
    input_gain: Parameter = 1.0
    v_leak: Parameter = 0.0

    def __post_init__(self):
        choice(self.reduce, "reduce", ("sum", "mean", "last"))
        for name in ("leak", "input_gain", "v_leak"):
            setattr(self, name, parameter(getattr(self, name), name))
        if (self.leak < 0).any() or (self.leak > 1).any():
            raise ModelError("leak has a value outside 0 to 1 (it is the factor on the membrane)")

    def check(self, shape):
        for name in ("leak", "input_gain", "v_leak"):
            parameter_on(getattr(self, name), shape, name)
