"""The options of the reader of lava-dl's files: what the files leave open."""

from dataclasses import dataclass
from typing import Optional

from eventsim.formats.options import option, Options
from eventsim.model.parameters import MAX_BITS, MOST_STEPS


@dataclass(frozen=True)
class LavaOptions(Options):
    """What lava-dl's files leave open."""

    comparison: str = option(
        ">", 'how membranes meet thresholds: ">" (Lava, the default) or ">=" (older SLAYER)', (">", ">="))
    reset_interval: int = option(
        0, "steps after which the layers' states are zeroed, layer k before step k (default 0: never)",
        limits=(0, MOST_STEPS))
    message_bits: Optional[int] = option(
        None, "width of SDNN's messages without their sign (default: the file's, else 16)", limits=(1, MAX_BITS))
    input_bits: Optional[int] = option(
        None, "width of an input value without its sign (default: 16 or what a state has room for, 1 for an input "
        "of spikes, 8 with input_low and input_high)", limits=(1, MAX_BITS))
    input_signed: Optional[bool] = option(
        None, "whether input values may be negative (default: yes; no for an input of spikes and with input_low)")
    input_low: Optional[float] = option(
        None, "what the trainer made of an input of 0 (such as -1 of pixels normalised to -1..1), in the unit "
        "that the input layer's weight and bias are for; needs input_high (default: values are taken as they are)")
    input_high: Optional[float] = option(
        None, "what the trainer made of the highest input, 255 of 8 input_bits; needs input_low")
    input_is_bias: bool = option(
        False, "input values are the input neurons' bias: leave out the file's weight and bias")
    timesteps: Optional[int] = option(
        None, "steps of a run that is not told (default: the file's tSample, else none: a run has to be told)",
        limits=(1, MOST_STEPS))
