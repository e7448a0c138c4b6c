"""The Input of a model, and how event recordings become its levels."""

from dataclasses import dataclass, fields
from math import prod
from typing import List, Optional, Tuple

from eventsim.arguments import finite_number, first_wrong, instance_of, integer
from eventsim.errors import ModelError
from eventsim.model.node import Node
from eventsim.model.parameters import (
    choice, flag, integers, MAX_BITS, Parameter, parameter, Shape, shape_of,
)


MOST_PIXELS = 1 << 15  # along an axis of a sensor
POLARITIES = ("off_on", "on_off", "one")


@dataclass(repr=False, eq=False)
class EventBins:
    """How an event recording becomes levels: one level per (polarity, y, x) and step.

    bin_width: microseconds per step.
    polarities: meaning of channel 0 and 1, "off_on" (0 = darker, as in N-MNIST files) or "on_off"; "one": a single
        channel has both, as of sensors without polarity.
    coincident: "sum" counts events that share pixel and step, "merge" makes them one.
    sensor_size: (height, width) in pixels; (1, N) of a row of N sensors, such as a cochlea.

    `shape` is that of the levels of one step, (C, height, width). An Input may also take them flattened, (C *
    height * width,). `assumed` are the names of the fields that a file left open, which are reported where
    recordings are read. Raises ModelError when it is made for values that do not fit.

    >>> from eventsim import EventBins, Input
    >>> Input((2, 34, 34), events=EventBins(bin_width=5000)).shape  # 5 ms per step
    (2, 34, 34)
    """

    bin_width: float = 1000.0
    polarities: str = "off_on"
    coincident: str = "sum"
    sensor_size: Tuple[int, int] = (34, 34)

    assumed = ()

    def __post_init__(self):
        self.bin_width = finite_number(self.bin_width, "bin_width", ModelError)
        if self.bin_width <= 0:
            raise ModelError(f"bin_width is {self.bin_width}, expected microseconds above 0")
        choice(self.polarities, "polarities", POLARITIES)
        choice(self.coincident, "coincident", ("sum", "merge"))
        self.sensor_size = integers(self.sensor_size, "sensor_size", 2, 1, MOST_PIXELS)

    __repr__ = Node.__repr__

    @property
    def assumption(self) -> str:
        """What was assumed, in words, or ""."""
        if not self.assumed:
            return ""
        units = {"bin_width": " us"}
        values = ", ".join(f"{name} {getattr(self, name):.10g}{units[name]}" if name in units
                           else f"{name} {getattr(self, name)}" for name in self.assumed)
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in self.assumed)
        return (f"the model's file does not say how recordings become steps; assumed were {values}; to say it, "
                f"give {flags}")

    def different(self, other: "EventBins") -> List[str]:
        """Names of the fields in which another differs."""
        return [each.name for each in fields(self) if getattr(self, each.name) != getattr(other, each.name)]

    @property
    def shape(self) -> Tuple[int, int, int]:
        """(C, height, width)."""
        return (1 if self.polarities == "one" else 2, *self.sensor_size)


@dataclass(repr=False, eq=False)
class Input(Node):
    """Where samples enter. One per model.

    shape: (C, H, W), (C, L) or (F,).
    encoding: "image": unsigned integers of `bits` bits (1 to 8 for pictures), the same at every
        step, worth (level * scale - mean) / std; "spikes": integer levels, worth level * scale;
        "real": real numbers, which make the first synapses multiply.
    bits: width of a level; ignored for "real".
    signed: whether levels may be negative ("spikes" only).
    scale: value of one level. For "image" 1/255 is what trainers divide by; "real" has no levels.
    mean, std: per channel or scalar, "image" only. Padding that follows is zero after them.
    layout: order of the axes in which data files hold one sample, a permutation of "CHW", or
        "HW" (one channel), "CL", "LC", "F". The Simulator itself always takes channels first.
    events: how event recordings are binned, or None.

    Raises ModelError when it is made for values that do not fit.

    >>> from eventsim import Input
    >>> Input((1, 28, 28), "image", bits=8, scale=1 / 255, mean=0.1307, std=0.3081).n_bits
    8
    """

    kind = "Input"
    role = "input"
    inputs = (0, 0)
    unshown_fields = ("shape",)

    shape: Shape
    encoding: str = "spikes"
    bits: int = 1
    signed: bool = False
    scale: float = 1.0
    mean: Parameter = 0.0
    std: Parameter = 1.0
    layout: str = ""
    events: Optional[EventBins] = None

    def __post_init__(self):
        self.shape = shape_of(self.shape)
        choice(self.encoding, "encoding", ("image", "spikes", "real"))
        self.bits = integer(self.bits, "bits", 1, 8 if self.encoding == "image" else MAX_BITS, ModelError)
        self.signed = flag(self.signed, "signed")
        self.scale = finite_number(self.scale, "scale", ModelError)
        self.mean = parameter(self.mean, "mean")
        self.std = parameter(self.std, "std")
        layouts = {1: ("F",), 2: ("CL", "LC"), 3: ("CHW", "HWC", "CWH", "WHC", "HCW", "WCH")}
        allowed = layouts[len(self.shape)]
        if len(self.shape) == 3 and self.shape[0] == 1:
            allowed += ("HW",)
        if not isinstance(self.layout, str) or self.layout:
            choice(self.layout, "layout", allowed)
        self.layout = self.layout or allowed[0]
        if self.scale <= 0:
            raise ModelError(f"scale is {self.scale}, expected a value above 0")
        if (self.std <= 0).any():
            raise ModelError(f"std has a value that is not above 0{first_wrong(self.std, self.std <= 0)}")
        if self.encoding != "image" and (self.mean.any() or (self.std != 1).any()):
            raise ModelError(f"mean and std belong to encoding 'image', not {self.encoding!r}")
        if self.encoding == "real" and self.scale != 1:
            raise ModelError(f"scale is {self.scale:.6g}, the value of a level, but encoding 'real' has none: "
                             "leave it out and give scaled numbers, or give levels to encoding 'image' or "
                             "'spikes'")
        if self.signed and self.encoding != "spikes":
            raise ModelError(f"signed levels belong to encoding 'spikes', not {self.encoding!r}")
        for name in ("mean", "std"):
            value = getattr(self, name)
            if value.size != 1 and value.shape != self.shape[:1]:
                raise ModelError(f"{name} has shape {value.shape}, expected () or {self.shape[:1]}")
        instance_of(self.events, (EventBins, type(None)), "events", "an EventBins or None", ModelError)
        if self.events is not None:
            if self.encoding != "spikes" or self.signed:
                raise ModelError("events belong to encoding 'spikes' without sign")
            if self.shape not in (self.events.shape, (prod(self.events.shape),)):
                raise ModelError(f"shape is {self.shape}, but the events' sensor gives {self.events.shape}")

    def gives(self, read):
        return "real" if self.encoding == "real" else "spikes"

    @property
    def n_bits(self) -> int:
        """Planes of one sign that its levels take."""
        return self.bits

    @property
    def still(self) -> bool:
        """Whether its levels are the same at every step."""
        return self.encoding == "image"
