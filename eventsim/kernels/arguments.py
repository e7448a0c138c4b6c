"""What kernels are given: sizes, arrays and parameters, as named tuples. Needs no compiler."""

from collections import namedtuple
from typing import NamedTuple

import numpy as np

ONE = np.uint64(1)
MOST_PAIRS = 256  # int8 rows that an int16 sum always holds
# What a number does that leaves its width; Update.limits[3 * k] for k of SUM, CURRENT, MEMBRANE
SUM, CURRENT, MEMBRANE = 0, 1, 2
HOLDS, TURNS, TURNS_ONCE, STOPS = 0, 1, 2, 3


class Geometry(NamedTuple):
    """Sizes of one path: input and output maps, window, and how its events are pointed at."""

    height: int
    width: int
    channels: int  # of the input map
    rows_per_tap: int  # weight rows stored per tap: the channels that one tile reads
    out_height: int
    out_width: int
    kernel_height: int
    kernel_width: int
    stride_y: int
    stride_x: int
    padding_y: int
    padding_x: int
    dilation_y: int
    dilation_x: int
    groups: int  # pointers per position
    run: int  # taps of a kernel row read as one run: kernel_width or 1
    bits: int  # planes of one sign in the source
    signed: int  # whether negative planes follow
    tiles: int
    near: int  # whether a tile's weights stay in the first-level cache
    planes: int  # planes whose pairs 16 bits hold together, see `slide_planes`


class Events(NamedTuple):
    """The events of a path's source in the steps of a run, sorted."""

    index: np.ndarray
    pointers: np.ndarray
    steps: int  # 1 where the input stands still


class Update(NamedTuple):
    """Parameters of a layer's neurons: F, [plane,] [1 or position,] padded channel."""

    thresholds: np.ndarray  # [plane, ...]; of SigmaDelta: those of positive, then negative changes
    amounts: np.ndarray  # [plane, padded channel]
    bias: np.ndarray  # added to the sum
    drive: np.ndarray  # added to the membrane
    leak: np.ndarray
    current_leak: np.ndarray
    gain: np.ndarray
    v_reset: np.ndarray
    v_min: np.ndarray
    least: np.ndarray  # smallest change that SigmaDelta sends
    refractory: np.ndarray  # int32
    limits: np.ndarray  # int64 [9]: rule, low, high of the sum, the current and the membrane
    plain: int  # whether `_fire_plain`, or `_integrate`, covers the layer while nothing is traced
    changes: int  # SigmaDelta: 1 sums its input, 2 takes it as it is; 0: another neuron
    bits: int
    signed: int
    hard: int
    reset_delay: int
    leaks: int
    filters: int  # whether there is a synaptic current
    drives: int
    gains: int
    limited: int
    rectified: int  # of SigmaDelta
    pauses: int
    narrow: int  # whether anything has a limit
    shift: int  # of sums, in bits
    decay_bits: int
    decay_positive: int  # see simd.decayed
    decay_negative: int
    reset_interval: int
    reset_offset: int
    per_position: int  # 1 where the parameters have a position axis
    bias_per_position: int


class Maps(NamedTuple):
    """What a layer reads and writes while it runs."""

    membrane: np.ndarray
    filtered: np.ndarray  # synaptic currents
    pending: np.ndarray  # amount still to be subtracted (reset_delay); what SigmaDelta has sent
    waiting: np.ndarray  # int32 steps of refractoriness left
    current: np.ndarray
    masks: np.ndarray
    currents: np.ndarray  # F like current, or empty; so potentials and residuals
    potentials: np.ndarray
    residuals: np.ndarray
    audit: np.ndarray  # or empty
    samples: int
    steps: int
    total: int  # steps that current, currents, potentials and residuals hold
    start: int  # step of those that step 0 writes
    step: int  # absolute step of step 0
    held: int  # steps that masks hold
    first: int  # step of masks that step 0 writes
    adds: int  # whether current already holds earlier paths
    fresh: int  # whether membranes start at 0, whatever membrane holds
    keeps: int  # whether membranes are wanted afterwards


# How a row of sums ends, by the type of its update: a kernel is compiled with the one that it
# needs, which is most of what compiling it costs.
Joining = namedtuple("Joining", Update._fields)


Integrating = namedtuple("Integrating", Update._fields)


Untraced = namedtuple("Untraced", Update._fields)


Changing = namedtuple("Changing", Update._fields)
