"""Arguments of kernels: sizes, arrays and parameters, as named tuples. They need no compiler.

Arrays are flat and C-contiguous. Layouts (channels last; `lanes` is the number of bits of one element
of `masks`):

    planes      uint64 [sample, step held, plane, position, word]; planes of negative levels
                follow those of positive ones
    masks       the same memory as uint16, uint32 or uint64, one element per tile of channels
    index       int32 [event]: column * channels + channel; for `slide_rows` and `slide_pair_rows`, whose
                events are sorted by column first, row * channels + channel
    pointers    int64 [sample, step, plane, position * groups + 1]: first event of each
                (position, group)
    weight      [tile, ky, kx, channel, lane]          `gather_rows`, `near_rows`, `real_rows`
                [tile, part, bits, lane]: sums of the weights whose bits are set    `window_rows`
                [tile, ky, kx, channel, lane / 2]      `pair_rows`: two int8 in an int16, see there
                [tile, ky, channel, kx, lane]          `slide_rows`
                [tile, ky, channel, kx, lane / 2]      `slide_pair_rows`
                [tile, ky, part, bits, kx, lane]: sums, as above    `slide_table_rows`
                [[sample, step,] ky, kx, padded channel]    `masked_rows`
    current     F [sample, step, position, padded channel]
    membrane    F [sample, position, padded channel]; so filtered, pending and waiting
    audit       F [sample, 9, padded channel]: lowest, highest and number of overflows of the sum,
                the current and the membrane
    sums        F [step, column, lane]: one row of weighted sums, the kernels' scratch; `fire_by_step` keeps
                membranes in their places

F is float32, float64 or int32. Order of floating-point additions: per path from +0; per plane
from the top: double, then events by (row, column, channel). Of `window_rows`, the parts of a window one
after another, each a sum, from +0, of its events in that order; of `slide_rows`, one sum of the plane, from
+0, of its events by (column, row, channel). It does not depend on the lanes.
"""

from typing import NamedTuple

import numpy as np

ONE = np.uint64(1)
MOST_PAIRS = 256  # int8 rows that an int16 sum always holds
# What a number does that leaves its width, Update.limits[3 * k] for k of SUM, CURRENT, MEMBRANE. A chip's
# "error" wraps, too: the run is refused afterwards, by what `audit` says.
SUM, CURRENT, MEMBRANE = 0, 1, 2
NO_LIMIT, WRAP, WRAP_ONCE, SATURATE = 0, 1, 2, 3
INT32_MAX = 2**31 - 1
NEVER = INT32_MAX  # the threshold, in integers, of planes that a channel lacks
SUM_UP, MEAN, LAST = 0, 1, 2  # AnswerSizes.reduce
# How `calling.drive` holds what it runs: numbers of an instruction and of a call, and how many words it may pass.
INSTRUCTION, CALL = 5, 4
WORDS_PASSED = range(16, 129, 16)


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
    parts: int  # of a window's bits, or a position's, each looked up in a table, see `looking_up`
    part_bits: int
    word_rows: int  # kernel rows whose bits make one word of a window
    word_parts: int  # parts of a word; the last may have fewer
    planes_at_once: int  # whose sum the type of those tables holds


class Slots(NamedTuple):
    """How the planes of a train are held, and which of its steps a kernel takes: a sample has
    `per_sample` slots, one for each step, and step t of a run is in slot `first` + t."""

    samples: int
    steps: int
    per_sample: int  # 1 where one slot may stand for every step
    first: int
    bits: int  # planes of one sign
    signed: int  # whether negative planes follow
    height: int
    width: int
    channels: int


class Events(NamedTuple):
    """The events of a path's source in the steps of a run, sorted."""

    index: np.ndarray
    pointers: np.ndarray
    steps: int  # 1 where the input stands still


class Windows(NamedTuple):
    """A train whose windows are read as words."""

    planes: np.ndarray
    slots: Slots
    words: np.ndarray  # uint64 [word, plane, input column]: windows of a row, those between them, too; scratch
    columns: int  # of words: a multiple of 8
    bands: np.ndarray  # uint64 [word, plane, column of the input, padding around]: bits under a word's kernel
    # rows; its own: the padding is 0 and stays so
    band: int  # of bands, for one plane: a multiple of 8
    highest: np.ndarray  # int64 [step]: one past the highest plane, of any sign, that has a bit; its own: written
    # at the first row of a tile and sample, read at the others


class Positions(NamedTuple):
    """A train whose words are read as they are, position by position."""

    planes: np.ndarray
    slots: Slots
    halves: np.ndarray  # int16 [step, column, lane]: one row of sums, which they are proved to hold; scratch


class RealEvents(NamedTuple):
    """Nonzero real inputs of the steps of a run, sorted."""

    index: np.ndarray
    pointers: np.ndarray
    steps: int  # 1 where the input stands still
    strengths: np.ndarray  # F [event]


class Pooled(NamedTuple):
    """Sums before a max pool, whose map is the height and width of its path's geometry."""

    values: np.ndarray  # F [sample, step, position, padded channel]
    bias: np.ndarray  # F [1 or position, padded channel], added to the values
    signs: np.ndarray  # F [padded channel]: below 0 where a channel takes the maximum away
    steps: int  # 1 where the input stands still
    bias_per_position: int


class Update(NamedTuple):
    """Parameters of a layer's neurons: F, [plane,] [1 or position,] padded channel."""

    thresholds: np.ndarray  # [plane, ...]; of SigmaDelta: those of positive, then negative changes
    amounts: np.ndarray  # [plane, padded channel]
    bias: np.ndarray  # added to the sum
    drive: np.ndarray  # added to the membrane
    leak: np.ndarray  # of Alpha: on the excitatory current
    current_leak: np.ndarray  # of Alpha: on the inhibitory current
    gain: np.ndarray  # of Alpha: from the difference of its currents to the membrane
    v_reset: np.ndarray
    v_min: np.ndarray
    least: np.ndarray  # smallest change that SigmaDelta sends; what a soft reset takes from Alpha's excitation
    refractory: np.ndarray  # int32
    limits: np.ndarray  # int64 [9]: rule, low, high of the sum, the current and the membrane
    plain: int  # whether `fire_untraced`, and what is like it, or `integrate_sums` covers it untraced
    changes: int  # SigmaDelta: 1 sums its input, 2 takes it as it is; 0: another neuron
    alpha: int  # whether these are Alpha neurons
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
    lacks: int  # whether a membrane may stand at NEVER, the threshold of what no channel sends
    shift: int  # of sums, in bits
    decay_bits: int
    decay_positive: int  # see vectors.decayed
    decay_negative: int
    reset_interval: int
    reset_offset: int
    per_position: int  # 1 where the parameters have a position axis
    bias_per_position: int


class Maps(NamedTuple):
    """What a layer reads and writes while it runs."""

    membrane: np.ndarray
    filtered: np.ndarray  # synaptic currents; of Alpha: the excitatory ones
    pending: np.ndarray  # amount still to subtract (reset_delay); what SigmaDelta has sent; Alpha's inhibition
    waiting: np.ndarray  # int32 steps of refractoriness left
    current: np.ndarray
    masks: np.ndarray  # uint16, whatever the lanes of a tile are, or uint32
    currents: np.ndarray  # F like current; so potentials and residuals
    potentials: np.ndarray
    residuals: np.ndarray
    audit: np.ndarray
    lanes: int  # of a tile; `masks` may stand for fewer, so many at a time
    clock: np.ndarray  # int64 [1]: absolute step of the first of `total` steps
    traces_currents: int  # whether there is `currents`; so the three behind it
    traces_potentials: int
    traces_residuals: int
    audits: int
    samples: int
    steps: int
    total: int  # steps that current, currents, potentials and residuals hold
    start: int  # step of those that step 0 writes
    mask_slots: int  # slots of a sample in masks
    first_slot: int  # the one that step 0 writes
    adds: int  # whether current already holds earlier paths
    fresh: int  # whether membranes start at 0, whatever membrane holds
    keeps: int  # whether membranes are wanted afterwards


class Attended(NamedTuple):
    """Channel attention in float64. means: [channel], scratch."""

    scale: np.ndarray  # [channel], the value of a level, or, of a projection, [channel of the source, channel]
    kernel: np.ndarray  # [tap]
    amplitude: np.ndarray  # [channel], or empty
    thresholds: np.ndarray  # [256], the least numbers whose sigmoid rounds to 1/256, 2/256, ...
    means: np.ndarray


class AttendedSizes(NamedTuple):
    """Of what `attend` reads and writes."""

    rows: int  # samples times steps
    sources: int  # channels of the source
    channels: int
    padded: int
    positions: int
    taps: int
    projects: int  # whether the source is projected to other channels
    amplifies: int  # whether there are amplitudes
    integer: int  # whether the run counts in integers


class CountSizes(NamedTuple):
    """Numbers of samples, of what was counted of each, of its counts, and of terms that they are summed of."""

    samples: int
    counted: int
    counts: int
    terms: int


class AnswerSizes(NamedTuple):
    """How `sum_answers` and `sum_levels` add up what the output says. reduce: SUM_UP, MEAN or LAST."""

    samples: int
    steps: int
    answers: int  # of the last steps
    positions: int
    channels: int
    padded: int
    reduce: int
    fresh: int  # whether sums begin with the first step


LEVEL_TABLES = 4  # levels are counted in them in turn: most are 0, and each addition would wait for the last


class TrainSums(NamedTuple):
    """What is summed over the samples of a train; behind the sums, what kernels sum with. In `small`,
    `plane_bytes` and `n_pending`, `count_briefly` keeps what it has not added to the sums yet; the others are
    zeros before and after."""

    events: np.ndarray  # int64 [neuron]
    squares: np.ndarray  # float64 [neuron], of a sample's events: whole numbers
    planes: np.ndarray  # int64 [plane, neuron], set bits; of a single plane nothing
    levels: np.ndarray  # int64 [LEVEL_TABLES, 256], neurons of each level
    by_step: np.ndarray  # int64 [step], events
    small: np.ndarray  # int16 [2, neuron], events and their squares
    bytes: np.ndarray  # int8 [neuron], events
    plane_bytes: np.ndarray  # int8 [plane, neuron], set bits
    n_pending: np.ndarray  # int64 [1], samples
    words: np.ndarray  # uint64 [plane], what was read last


class Intervals(NamedTuple):
    """What is summed of the intervals in a train: int64 [neuron], but the histogram."""

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    variation_counts: np.ndarray
    variation_sums: np.ndarray
    histogram: np.ndarray  # int64 [interval; the last: that and longer]


class MembraneTraces(NamedTuple):
    """Where the membranes of a layer were: arrays [row, neuron], a row being a step of a sample."""

    potentials: np.ndarray  # F
    residuals: np.ndarray  # F
    levels: np.ndarray  # int32, what was sent


class MembraneSums(NamedTuple):
    """What is gathered of membranes; see statistics.membranes."""

    histograms: np.ndarray  # int64 [3, edges + 1] of H, U and phi(H)
    distances: np.ndarray  # int64 [bins + 1]
    extremes: np.ndarray  # float64 [2]
    unusual: np.ndarray  # int64 [1], the H that are not finite
    sums: np.ndarray  # float64 [4, row] of U, U^2, (H - level)^2 and (phi(H) - level)^2
    known: np.ndarray  # int64 [2, row], neurons in the first two and in the last two sums
