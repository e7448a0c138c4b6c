"""The nodes that have a membrane: Neuron and Alpha fire, SigmaDelta sends changes, Readout does neither.

Each checks its own fields when it is made: numbers are finite and become float64 (widths and steps int64), arrays
may be torch tensors. Shapes are checked when a Model is made. Both checks raise ModelError, or UnsupportedError
for combinations that are not defined.
"""

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

import numpy as np

from eventsim.arguments import finite_number, first_wrong, integer
from eventsim.errors import ModelError, UnsupportedError
from eventsim.model.node import Node
from eventsim.model.parameters import (
    along_channels, ANY_SHAPE, choice, flag, input_shape, MAX_BITS, MOST_STEPS, Parameter, parameter, parameter_on,
    whole_array,
)


def _check_leaks(node, leaks=(("leak", "membrane"), ("current_leak", "current"))):
    for name, quantity in leaks:
        value = getattr(node, name)
        if value is not None and ((value < 0) | (value > 1)).any():
            raise ModelError(f"{name} has a value outside 0 to 1 (it is the factor on the {quantity})"
                             f"{first_wrong(value, (value < 0) | (value > 1))}")


def _check_resets(node):
    node.reset_interval = integer(node.reset_interval, "reset_interval", 0, MOST_STEPS, ModelError)
    most = (node.reset_interval or MOST_STEPS) - 1
    node.reset_offset = integer(node.reset_offset, "reset_offset", 0, most, ModelError)


def _check_positive(node, *names):
    for name in names:
        value = getattr(node, name)
        if value is not None and (value <= 0).any():
            raise ModelError(f"{name} has a value that is not above 0{first_wrong(value, value <= 0)}")


def _resolution(value):
    if value is None:
        return None
    value = finite_number(value, "resolution", ModelError)
    if value <= 0:
        raise ModelError(f"resolution is {value}, expected integer steps per unit, above 0")
    return value


class _Membrane(Node):
    """The base of all nodes that have a membrane.

    per_channel: fields that may have one value per channel. per_neuron: fields that may also have one per neuron.
    factors: fields that multiply what a neuron keeps, in every step.
    """

    accepts = ("spikes", "real", "scaled", "current")
    inputs = (1, None)
    per_channel: ClassVar[Tuple[str, ...]] = ()
    per_neuron: ClassVar[Tuple[str, ...]]
    factors: ClassVar[Tuple[str, ...]] = ("leak", "current_leak")

    def check(self, shape):
        shape = input_shape(shape, ANY_SHAPE, 1, 2, 3)
        for name in self.per_channel:
            value = getattr(self, name)
            if value is not None and value.size != 1 and value.shape != shape[:1]:
                raise ModelError(f"{name} has shape {value.shape}, expected () or {shape[:1]}")
        for name in self.per_neuron:
            value = getattr(self, name)
            if value is not None:
                parameter_on(value, shape, name)

    @property
    def states_per_neuron(self):
        return 1 if self.current_leak is None else 2  # the membrane, and the synaptic current where there is one

    def products_per_step(self, shape):
        shape = input_shape(shape, ANY_SHAPE, 1, 2, 3)
        values = {name: getattr(self, name) for name in self.factors}
        arrays = [parameter_on(value, shape, name) for name, value in values.items() if value is not None]
        return sum(int(((array != 0) & (array != 1)).sum()) for array in arrays)  # factors of 0 and 1 take none


class _Sender(_Membrane):
    """The base of Neuron, Alpha and SigmaDelta, which send spikes."""

    role = "neurons"

    def gives(self, read):
        return "spikes"

    @property
    def worth(self) -> Parameter:
        """Return what one level is worth to the nodes that read it, () or (C,)."""
        return self.quantum if self.output_quantum is None else self.output_quantum


@dataclass(repr=False, eq=False)
class Neuron(_Sender):
    """Integrate-and-fire neurons: IF, LIF, SRIF, multi-bit, signed, current-based.

        I[t] = current_leak * I[t-1] + input_gain * X[t]        I[-1] = 0; input_gain * X without it
        H[t] = leak * U[t-1] + (1 - leak) * v_leak + I[t] + bias
        k[t] = clip(floor((H[t] - v_threshold) / quantum) + 1, 0, 2^bits - 1)
        U[t] = H[t] - k[t] * quantum                    reset "soft"
        U[t] = v_reset where k[t] > 0, else H[t]        reset "hard"
        U[t] = H[t]                                     reset "none"

    (InfLoR-SNN, eqs. 2 to 7; SRIF is leak 1, v_threshold 0.5, quantum 1, 1 bit, soft.) U[-1] = 0. All are in
    the membrane's unit. `quantum`, `output_quantum` and `bits` may be scalar or per channel, the other
    numbers also per neuron.

    leak: factor on the membrane per step, 1 for IF; larger forgets more slowly.
    current_leak: factor on the synaptic current per step (CUBA), or None: the input acts at once.
    input_gain: factor on the summed input (biases of the synapses included).
    bias: added to the membrane at every step, past the synaptic current and the gain.
    v_leak: potential to which the leak tends.
    v_threshold: first level's threshold.
    reset: "soft" (subtract what was sent), "hard" (to v_reset) or "none" (go on; of one bit only).
    reset_delay: 1 applies the reset one step late, after leak and input (snnTorch).
    v_min: lower limit of U after the reset, or None.
    refractory: steps after a spike in which U stays and input is ignored (I goes on).
    reset_interval, reset_offset: I, U and what waits are set to 0 before step t whenever t modulo reset_interval
        is reset_offset; 0: never. Chips that present one sample after another do so.
    comparison: ">=" or ">", by which H is compared with its thresholds.
    quantum: size of one level in the membrane.
    output_quantum: what one level is worth to the nodes that read it; None: `quantum`.
    bits: width of a level, m + n of the Multi-Bit Mechanism.
    signed: k = sign(H) * level(|H|).
    rectify: whether the step function sees the rectified membrane phi (MPR, InfLoR-SNN eq. 9),
        in quanta. It never changes the membrane.
    resolution: integer steps per membrane unit in fixed point; None: chosen from the weights.

    Raises ModelError for values that are no finite numbers or out of range, UnsupportedError for combinations that
    are not defined.

    >>> from eventsim import Input, Model, Neuron, Simulator
    >>> model = Model({"in": Input((1,), scale=0.5), "n": Neuron()}, [("in", "n")], timesteps=4)
    >>> Simulator(model).run([[1]], record="spikes").levels("n").ravel().tolist()
    [0, 1, 0, 1]
    """

    kind = "Neuron"
    sends = "levels"
    per_channel = ("quantum", "output_quantum", "bits")
    per_neuron = ("v_threshold", "leak", "input_gain", "v_leak", "v_reset", "v_min", "refractory", "current_leak",
                  "bias")

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
        self.reset_delay = integer(self.reset_delay, "reset_delay", 0, 1, ModelError)
        self.signed, self.rectify = flag(self.signed, "signed"), flag(self.rectify, "rectify")
        _check_positive(self, "quantum", "output_quantum")
        _check_leaks(self)
        _check_resets(self)
        self.resolution = _resolution(self.resolution)
        if self.signed and (self.v_threshold <= 0).any():
            raise ModelError("v_threshold has a value that is not above 0, which signed needs"
                             f"{first_wrong(self.v_threshold, self.v_threshold <= 0)}")
        if self.signed and self.rectify:
            raise UnsupportedError("rectify (MPR) is not defined for signed levels")
        if self.reset == "none" and (self.reset_delay or (self.bits > 1).any()):
            raise UnsupportedError("reset 'none' with several bits or with reset_delay is not defined")
        if self.reset_delay and self.refractory.any():
            raise UnsupportedError("reset_delay together with refractory is not defined")

    def check(self, shape):
        super().check(shape)
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
        """Return how many bit-planes the layer's spikes take: the bits of the widest channel."""
        return int(self.bits.max())


@dataclass(repr=False, eq=False)
class Alpha(_Sender):
    """Neurons whose membrane is the difference of two synaptic currents, an alpha function (snnTorch's Alpha).

        E[t] = excitatory_leak * E[t-1] + X[t]                                  E[-1] = 0
        I[t] = inhibitory_leak * I[t-1] + X[t]                                  I[-1] = 0
        H[t] = gain * (E[t] - I[t])                                             H[-1] = 0
        k[t] = 1 where H[t] is above v_threshold, else 0

    A spike resets in the step after it, past leak and input. Where H[t-1] is above v_threshold:

        E[t] = I[t] = H[t] = 0                                                  reset "hard"
        H[t] = H[t] - I[t-1];  E[t] = E[t] - v_threshold;  I[t] = 0             reset "soft"

    Both equal snnTorch's resets "zero" and "subtract" in every rounding of floats; its inhibitory current is
    -I. Without a reset, Alpha equals a Neuron with a synaptic current and the input_gain gain *
    (excitatory_leak - inhibitory_leak), one step later. All but output_quantum may be scalar, per channel or
    per neuron. It runs in floats only.

    excitatory_leak, inhibitory_leak: factors on the currents per step, a larger one forgets more slowly; a
        positive input raises the membrane where excitatory_leak is the larger.
    gain: factor from the difference of the currents to the membrane; snnTorch takes
        log(excitatory_leak) / (log(inhibitory_leak) - log(excitatory_leak)) + 1.
    v_threshold, comparison, output_quantum (None: 1), reset_interval, reset_offset and errors: as in Neuron.

    A run records E[t] - I[t] before the reset as "currents", and H[t] as "potentials" and as "residuals".

    >>> from eventsim import Alpha, Input, Model, Simulator
    >>> model = Model({"in": Input((1,)), "n": Alpha(0.9, 0.5, gain=1.5, v_threshold=0.5)}, [("in", "n")])
    >>> Simulator(model).run([[[1], [0], [0], [0]]], record="spikes").levels("n").ravel().tolist()
    [0, 1, 0, 0]
    """

    kind = "Alpha"
    sends = "levels"
    decides_by = {"currents": "excitatory_leak, inhibitory_leak and periodic reset",
                  "potentials": "gain and reset", "spikes": "v_threshold and comparison"}
    floats_only = True
    per_channel = ("output_quantum",)
    per_neuron = ("excitatory_leak", "inhibitory_leak", "gain", "v_threshold")
    factors = ("excitatory_leak", "inhibitory_leak", "gain")

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
        for name in self.per_neuron:
            setattr(self, name, parameter(getattr(self, name), name))
        if self.output_quantum is not None:
            self.output_quantum = parameter(self.output_quantum, "output_quantum")
            _check_positive(self, "output_quantum")
        choice(self.reset, "reset", ("soft", "hard"))
        choice(self.comparison, "comparison", (">=", ">"))
        _check_leaks(self, (("excitatory_leak", "excitatory current"), ("inhibitory_leak", "inhibitory current")))
        _check_resets(self)

    @property
    def leak(self) -> np.ndarray:
        """Return the larger leak: the factor on the current that is forgotten more slowly."""
        return np.maximum(self.excitatory_leak.max(), self.inhibitory_leak.max())

    @property
    def states_per_neuron(self):
        return 3  # two currents and the membrane, which decides on the reset


@dataclass(repr=False, eq=False)
class Readout(_Membrane):
    """Integrates and never fires.

        I[t] = current_leak * I[t-1] + input_gain * X[t]        I[-1] = 0; input_gain * X without it
        V[t] = leak * V[t-1] + (1 - leak) * v_leak + I[t] + bias,   V[-1] = 0

    The answer after step t is V summed over the steps so far ("sum"), their mean ("mean"), or
    V[t] alone ("last"). leak 0 (the default) makes V the current of the step, so that "sum" is
    the summed input and "mean" the average over the steps (InfLoR-SNN, section 4.1); leak 1 with
    "last" is an integrator. The other fields and the errors are those of Neuron.

    >>> from eventsim import Input, Model, Readout, Simulator
    >>> model = Model({"in": Input((1,), bits=2), "out": Readout("sum")}, [("in", "out")], timesteps=4)
    >>> Simulator(model).run([[3]]).output.tolist()
    [[12.0]]
    """

    kind = "Readout"
    role = "readout"
    per_neuron = ("leak", "input_gain", "v_leak", "current_leak", "bias")

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

    def gives(self, read):
        return "output"


@dataclass(repr=False, eq=False)
class SigmaDelta(_Sender):
    """Neurons that send changes, as signed graded spikes (lava-dl's SDNN).

        S[t] = S[t-1] + X[t]  ("sigma_delta"), or X[t]  ("delta")           S[-1] = 0
        a[t] = S[t] + bias, not below 0 where `rectify`
        d[t] = a[t] - sent[t-1]                                             sent[-1] = 0
        o[t] = d[t] where abs(d[t]) >= v_threshold, else 0
        sent[t] = sent[t-1] + o[t]
        k[t] = floor(o[t] / quantum), kept within -(2^bits - 1) to 2^bits - 1

    A level is worth `quantum`; what floor and the width cut off is lost, as in Lava.

    mode: "sigma_delta" sums the changes that arrive; "delta" takes what arrives as it is, and so encodes.
    v_threshold: smallest change that is sent, at least 0; parameter. bias: parameter.
    quantum: what a level is worth, also in the membrane. bits: width of a message without its sign.
    rectify: whether a ReLU is applied. A run records a[t] as "potentials", and a[t] - sent[t] as "residuals".
    reset_interval, reset_offset, resolution and errors: as in Neuron.

    >>> from eventsim import Input, Model, SigmaDelta, Simulator
    >>> model = Model({"in": Input((1,), bits=4), "n": SigmaDelta("delta")}, [("in", "n")])
    >>> Simulator(model).run([[[5], [5], [9]]], record="spikes").levels("n").ravel().tolist()
    [5, 0, 4]
    """

    kind = "SigmaDelta"
    sends = "changes"
    decides_by = {"potentials": "mode, bias and rectify", "spikes": "v_threshold, quantum and bits",
                  "residuals": "bits and quantum"}
    per_neuron = ("v_threshold", "bias")
    factors = ()

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
    output_quantum: ClassVar[None] = None

    def __post_init__(self):
        choice(self.mode, "mode", ("sigma_delta", "delta"))
        self.v_threshold = parameter(self.v_threshold, "v_threshold")
        self.bias = parameter(self.bias, "bias")
        self.quantum = finite_number(self.quantum, "quantum", ModelError)
        self.bits = integer(self.bits, "bits", 1, MAX_BITS, ModelError)
        self.rectify = flag(self.rectify, "rectify")
        _check_resets(self)
        self.resolution = _resolution(self.resolution)
        if self.quantum <= 0:
            raise ModelError(f"quantum is {self.quantum}, expected a value above 0")
        if (self.v_threshold < 0).any():
            below = first_wrong(self.v_threshold, self.v_threshold < 0)
            raise ModelError(f"v_threshold has a value below 0{below}")

    @property
    def n_bits(self) -> int:
        """Return how many bit-planes the layer's spikes of one sign take."""
        return self.bits

    @property
    def states_per_neuron(self):
        return 2  # the sum, and what has been sent
