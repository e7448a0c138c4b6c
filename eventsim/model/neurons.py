"""The nodes that have a membrane: Neuron and Alpha fire, SigmaDelta sends changes, Readout does neither."""

from dataclasses import dataclass
from typing import ClassVar, Optional

import numpy as np

from eventsim.errors import ModelError, UnsupportedError
from eventsim.model.node import Node
from eventsim.model.parameters import (
    along_channels, choice, finite_number, integer, MAX_BITS, Parameter, parameter, parameter_on, whole_array,
)


def _check_leaks(node, leaks=(("leak", "membrane"), ("current_leak", "current"))):
    for name, of in leaks:
        value = getattr(node, name)
        if value is not None and ((value < 0).any() or (value > 1).any()):
            raise ModelError(f"{name} has a value outside 0 to 1 (it is the factor on the {of})")


def _check_resets(node):
    node.reset_interval = integer(node.reset_interval, "reset_interval", 0, 1 << 24)
    most = (node.reset_interval or 1 << 24) - 1
    node.reset_offset = integer(node.reset_offset, "reset_offset", 0, most)


def _n_states(node):
    """Numbers that a neuron keeps: the membrane, and the synaptic current where there is one."""
    return 1 if node.current_leak is None else 2


def _products(node, names, shape):
    """Products that factors take in every step; those of 0 and 1 take none."""
    found = [(name, getattr(node, name)) for name in names]
    whole = [parameter_on(value, shape, name) for name, value in found if value is not None]
    return sum(int(((factor != 0) & (factor != 1)).sum()) for factor in whole)


def _check_positive(node, *names):
    for name in names:
        value = getattr(node, name)
        if value is not None and (value <= 0).any():
            raise ModelError(f"{name} has a value that is not above 0")


def _check_per_channel(node, names, shape):
    for name in names:
        value = getattr(node, name)
        if value is not None and value.size != 1 and value.shape != shape[:1]:
            raise ModelError(f"{name} has shape {value.shape}, expected () or {shape[:1]}")


def _resolution(value):
    if value is None:
        return None
    value = finite_number(value, "resolution")
    if value <= 0:
        raise ModelError(f"resolution is {value}, expected integer steps per unit, above 0")
    return value


@dataclass(repr=False, eq=False)
class Neuron(Node):
    """Integrate-and-fire neurons: IF, LIF, SRIF, multi-bit, signed, current-based.

        I[t] = current_leak * I[t-1] + input_gain * X[t]        I[-1] = 0; input_gain * X without it
        H[t] = leak * U[t-1] + (1 - leak) * v_leak + I[t] + bias
        k[t] = clip(floor((H[t] - v_threshold) / quantum) + 1, 0, 2^bits - 1)
        U[t] = H[t] - k[t] * quantum                    reset "soft"
        U[t] = v_reset where k[t] > 0, else H[t]        reset "hard"
        U[t] = H[t]                                     reset "none"

    (InfLoR-SNN, eqs. 2 to 7; SRIF is leak 1, v_threshold 0.5, quantum 1, 1 bit, soft.) U[-1] = 0.
    All in the membrane's unit. `quantum`, `output_quantum` and `bits` may be scalar or per
    channel, the other numbers also per neuron.

    leak: factor on the membrane per step, 1 for IF; larger forgets more slowly.
    current_leak: factor on the synaptic current per step (CUBA), or None: the input acts at once.
    input_gain: factor on the summed input (biases of the synapses included).
    bias: added to the membrane at every step, past the synaptic current and the gain.
    v_leak: potential the leak tends to.
    v_threshold: first level's threshold.
    reset: "soft" (subtract what was sent), "hard" (to v_reset) or "none" (go on; of one bit only).
    reset_delay: 1 applies the reset one step late, after leak and input (snnTorch).
    v_min: lower limit of U after the reset, or None.
    refractory: steps after a spike in which U stays and input is ignored (I goes on).
    reset_interval, reset_offset: I, U and what waits are set to 0 before step t whenever t modulo
        reset_interval is reset_offset; 0: never. Chips that present one sample after another do it.
    comparison: ">=" or ">", how H meets its thresholds.
    quantum: size of one level in the membrane.
    output_quantum: worth of one level to the nodes that read it; None: `quantum`.
    bits: width of a level, m + n of the Multi-Bit Mechanism.
    signed: k = sign(H) * level(|H|).
    rectify: whether the step function sees the rectified membrane phi (MPR, InfLoR-SNN eq. 9),
        in quanta. It never changes the membrane.
    resolution: integer steps per membrane unit in fixed point; None: chosen from the weights.

    >>> from eventsim import Input, Model, Neuron, Simulator
    >>> model = Model({"in": Input((1,), scale=0.5), "n": Neuron()}, [("in", "n")], timesteps=4)
    >>> Simulator(model).run([[1]], record="spikes").levels("n").ravel().tolist()
    [0, 1, 0, 1]
    """

    kind = "Neuron"
    role = "neurons"
    sends = "levels"
    shown_fields = ("leak", "current_leak", "v_threshold", "comparison", "quantum", "bits", "reset", "signed",
                    "rectify")
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
    current_leak: Optional[Parameter] = None
    bias: Parameter = 0.0
    reset_interval: int = 0
    reset_offset: int = 0
    resolution: Optional[float] = None

    def __post_init__(self):
        for name in ("v_threshold", "leak", "input_gain", "v_leak", "v_reset", "quantum", "bias"):
            setattr(self, name, parameter(getattr(self, name), name))
        for name in ("v_min", "output_quantum", "current_leak"):
            if getattr(self, name) is not None:
                setattr(self, name, parameter(getattr(self, name), name))
        self.refractory = whole_array(self.refractory, "refractory", 0, 1 << 20)
        self.bits = whole_array(self.bits, "bits", 1, MAX_BITS)
        choice(self.reset, "reset", ("soft", "hard", "none"))
        choice(self.comparison, "comparison", (">=", ">"))
        self.reset_delay = integer(self.reset_delay, "reset_delay", 0, 1)
        self.signed, self.rectify = bool(self.signed), bool(self.rectify)
        _check_positive(self, "quantum", "output_quantum")
        _check_leaks(self)
        _check_resets(self)
        self.resolution = _resolution(self.resolution)
        if self.signed and (self.v_threshold <= 0).any():
            raise ModelError("v_threshold has a value that is not above 0, which signed needs")
        if self.signed and self.rectify:
            raise UnsupportedError("rectify (MPR) is not defined for signed levels")
        if self.reset == "none" and (self.reset_delay or (self.bits > 1).any()):
            raise UnsupportedError("reset 'none' with several bits or with reset_delay is not defined")
        if self.reset_delay and self.refractory.any():
            raise UnsupportedError("reset_delay together with refractory is not defined")

    def check(self, shape):
        _check_per_channel(self, ("quantum", "output_quantum", "bits"), shape)
        for name in ("v_threshold", "leak", "input_gain", "v_leak", "v_reset", "v_min", "refractory",
                     "current_leak", "bias"):
            value = getattr(self, name)
            if value is not None:
                parameter_on(value, shape, name)
        if self.rectify:
            self._check_rectifier(shape)

    def _check_rectifier(self, shape):
        theta, quantum, bits = (  # no larger than they are: a map may have 2^28 neurons
            along_channels(value, shape) for value in (self.v_threshold, self.quantum, self.bits)
        )
        multi_bit = bits > 1
        if (multi_bit & (theta != quantum / 2)).any():
            raise UnsupportedError(
                "rectify (MPR) with more than one bit is defined only for v_threshold = quantum / 2"
            )

    @property
    def n_bits(self) -> int:
        """Planes that the layer's spikes take: the widest channel's bits."""
        return int(self.bits.max())

    @property
    def worth(self) -> np.ndarray:
        """Worth of one level to those that read it, () or (C,)."""
        return self.quantum if self.output_quantum is None else self.output_quantum

    def gives(self, read):
        return "spikes"

    @property
    def states_per_neuron(self):
        return _n_states(self)

    def products_per_step(self, shape):
        return _products(self, ("leak", "current_leak"), shape)


@dataclass(repr=False, eq=False)
class Alpha(Node):
    """Neurons whose membrane follows an alpha function: the difference of two synaptic currents (snnTorch's Alpha).

        E[t] = excitatory_leak * E[t-1] + X[t]                                  E[-1] = 0
        I[t] = inhibitory_leak * I[t-1] + X[t]                                  I[-1] = 0
        H[t] = gain * (E[t] - I[t])                                             H[-1] = 0
        k[t] = 1 where H[t] is above v_threshold, else 0

    A spike resets in the step after it, past leak and input. Where H[t-1] is above v_threshold:

        E[t] = I[t] = H[t] = 0                                                  reset "hard"
        H[t] = H[t] - I[t-1];  E[t] = E[t] - v_threshold;  I[t] = 0             reset "soft"

    Both are snnTorch's, "zero" and "subtract", in every rounding of floats; its inhibitory current is -I. Without a
    reset these are Neurons with a synaptic current, of input_gain gain * (excitatory_leak - inhibitory_leak), a step
    later. All but output_quantum may be scalar, per channel or per neuron. Runs in floats only.

    excitatory_leak, inhibitory_leak: factors on the currents per step, larger forgets more slowly; a positive input
        raises the membrane where excitatory_leak is the larger.
    gain: factor from the difference of the currents to the membrane; snnTorch takes
        log(excitatory_leak) / (log(inhibitory_leak) - log(excitatory_leak)) + 1.
    v_threshold, comparison, output_quantum (None: 1), reset_interval, reset_offset: as in Neuron.

    Of "currents" a run records E[t] - I[t] before the reset, of "potentials" and "residuals" H[t].

    >>> from eventsim import Alpha, Input, Model, Simulator
    >>> model = Model({"in": Input((1,)), "n": Alpha(0.9, 0.5, gain=1.5, v_threshold=0.5)}, [("in", "n")])
    >>> Simulator(model).run([[[1], [0], [0], [0]]], record="spikes").levels("n").ravel().tolist()
    [0, 1, 0, 0]
    """

    kind = "Alpha"
    role = "neurons"
    sends = "levels"
    shown_fields = ("excitatory_leak", "inhibitory_leak", "gain", "v_threshold", "comparison", "reset")
    accepts = ("spikes", "real", "scaled", "current")
    inputs = (1, None)
    decides_by = {"currents": "excitatory_leak, inhibitory_leak and periodic reset",
                  "potentials": "gain and reset", "spikes": "v_threshold and comparison"}
    floats_only = True

    excitatory_leak: Parameter
    inhibitory_leak: Parameter
    gain: Parameter = 1.0
    v_threshold: Parameter = 1.0
    reset: str = "hard"
    comparison: str = ">"
    output_quantum: Optional[Parameter] = None
    reset_interval: int = 0
    reset_offset: int = 0

    # what neurons have besides, for whoever treats all alike
    quantum: ClassVar[np.ndarray] = np.ones(())
    bits: ClassVar[np.ndarray] = np.ones((), np.int64)
    n_bits: ClassVar[int] = 1
    signed: ClassVar[bool] = False
    rectify: ClassVar[bool] = False

    def __post_init__(self):
        for name in ("excitatory_leak", "inhibitory_leak", "gain", "v_threshold"):
            setattr(self, name, parameter(getattr(self, name), name))
        if self.output_quantum is not None:
            self.output_quantum = parameter(self.output_quantum, "output_quantum")
            _check_positive(self, "output_quantum")
        choice(self.reset, "reset", ("soft", "hard"))
        choice(self.comparison, "comparison", (">=", ">"))
        _check_leaks(self, (("excitatory_leak", "excitatory current"), ("inhibitory_leak", "inhibitory current")))
        _check_resets(self)

    def check(self, shape):
        for name in ("excitatory_leak", "inhibitory_leak", "gain", "v_threshold"):
            parameter_on(getattr(self, name), shape, name)
        _check_per_channel(self, ("output_quantum",), shape)

    @property
    def leak(self) -> np.ndarray:
        """The factor on what it forgets most slowly."""
        return np.maximum(self.excitatory_leak.max(), self.inhibitory_leak.max())

    @property
    def worth(self) -> np.ndarray:
        """Worth of a spike to those that read it, () or (C,)."""
        return self.quantum if self.output_quantum is None else self.output_quantum

    def gives(self, read):
        return "spikes"

    @property
    def states_per_neuron(self):
        return 3  # two currents and the membrane, which decides on the reset

    def products_per_step(self, shape):
        return _products(self, ("excitatory_leak", "inhibitory_leak", "gain"), shape)


@dataclass(repr=False, eq=False)
class Readout(Node):
    """Integrates and never fires.

        I[t] = current_leak * I[t-1] + input_gain * X[t]        I[-1] = 0; input_gain * X without it
        V[t] = leak * V[t-1] + (1 - leak) * v_leak + I[t] + bias,   V[-1] = 0

    The answer after step t is V summed over the steps so far ("sum"), their mean ("mean"), or
    V[t] alone ("last"). leak 0 (the default) makes V the current of the step, so that "sum" is
    the summed input and "mean" the average over the steps (InfLoR-SNN, section 4.1); leak 1 with
    "last" is an integrator. The other fields are those of Neuron.

    >>> from eventsim import Input, Model, Readout, Simulator
    >>> model = Model({"in": Input((1,), bits=2), "out": Readout("sum")}, [("in", "out")], timesteps=4)
    >>> Simulator(model).run([[3]]).output.tolist()
    [[12.0]]
    """

    kind = "Readout"
    role = "readout"
    shown_fields = ("reduce", "leak", "current_leak")
    accepts = ("spikes", "real", "scaled", "current")
    inputs = (1, None)

    reduce: str = "mean"
    leak: Parameter = 0.0
    input_gain: Parameter = 1.0
    v_leak: Parameter = 0.0
    current_leak: Optional[Parameter] = None
    bias: Parameter = 0.0
    reset_interval: int = 0
    reset_offset: int = 0
    resolution: Optional[float] = None

    def __post_init__(self):
        choice(self.reduce, "reduce", ("sum", "mean", "last"))
        for name in ("leak", "input_gain", "v_leak", "bias"):
            setattr(self, name, parameter(getattr(self, name), name))
        if self.current_leak is not None:
            self.current_leak = parameter(self.current_leak, "current_leak")
        _check_leaks(self)
        _check_resets(self)
        self.resolution = _resolution(self.resolution)

    def check(self, shape):
        for name in ("leak", "input_gain", "v_leak", "current_leak", "bias"):
            if getattr(self, name) is not None:
                parameter_on(getattr(self, name), shape, name)

    def gives(self, read):
        return "output"

    @property
    def states_per_neuron(self):
        return _n_states(self)

    def products_per_step(self, shape):
        return _products(self, ("leak", "current_leak"), shape)


@dataclass(repr=False, eq=False)
class SigmaDelta(Node):
    """Neurons that send changes, as signed graded spikes (lava-dl's SDNN).

        S[t] = S[t-1] + X[t]  ("sigma_delta"), or X[t]  ("delta")           S[-1] = 0
        a[t] = S[t] + bias, not below 0 where `rectify`
        d[t] = a[t] - sent[t-1]                                             sent[-1] = 0
        o[t] = d[t] where abs(d[t]) >= v_threshold, else 0
        sent[t] = sent[t-1] + o[t]
        k[t] = floor(o[t] / quantum), kept within -(2^bits - 1) to 2^bits - 1

    A level is worth `quantum`; what floor and the width cut off is lost, as in Lava.

    mode: "sigma_delta" sums what arrives, which is changes; "delta" takes it as it is: an encoder.
    v_threshold: smallest change that is sent, at least 0; parameter. bias: parameter.
    quantum: worth of a level, also in the membrane. bits: width of a message without its sign.
    rectify: ReLU. Of "potentials" a run records a[t], of "residuals" a[t] - sent[t].
    reset_interval, reset_offset, resolution: as in Neuron.

    >>> from eventsim import Input, Model, SigmaDelta, Simulator
    >>> model = Model({"in": Input((1,), bits=4), "n": SigmaDelta("delta")}, [("in", "n")])
    >>> Simulator(model).run([[[5], [5], [9]]], record="spikes").levels("n").ravel().tolist()
    [5, 0, 4]
    """

    kind = "SigmaDelta"
    role = "neurons"
    sends = "changes"
    shown_fields = ("mode", "v_threshold", "quantum", "bits", "rectify")
    accepts = ("spikes", "real", "scaled", "current")
    inputs = (1, None)
    decides_by = {"potentials": "mode, bias and rectify", "spikes": "v_threshold, quantum and bits",
                  "residuals": "bits and quantum"}

    mode: str = "sigma_delta"
    v_threshold: Parameter = 0.0
    bias: Parameter = 0.0
    quantum: float = 1.0
    bits: int = 16
    rectify: bool = True
    reset_interval: int = 0
    reset_offset: int = 0
    resolution: Optional[float] = None

    # what neurons have besides, for whoever treats all alike
    signed: ClassVar[bool] = True
    leak: ClassVar[float] = 1.0

    def __post_init__(self):
        choice(self.mode, "mode", ("sigma_delta", "delta"))
        self.v_threshold = parameter(self.v_threshold, "v_threshold")
        self.bias = parameter(self.bias, "bias")
        self.quantum = finite_number(self.quantum, "quantum")
        self.bits = integer(self.bits, "bits", 1, MAX_BITS)
        self.rectify = bool(self.rectify)
        _check_resets(self)
        self.resolution = _resolution(self.resolution)
        if self.quantum <= 0:
            raise ModelError("quantum has a value that is not above 0")
        if (self.v_threshold < 0).any():
            raise ModelError("v_threshold has a value below 0")

    def check(self, shape):
        for name in ("v_threshold", "bias"):
            parameter_on(getattr(self, name), shape, name)

    @property
    def n_bits(self) -> int:
        """Planes of one sign that the layer's spikes take."""
        return self.bits

    @property
    def worth(self) -> float:
        """Worth of one level to those that read it."""
        return self.quantum

    def gives(self, read):
        return "spikes"

    @property
    def states_per_neuron(self):
        return 2  # the sum, and what has been sent
