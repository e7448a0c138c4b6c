"""Neurons in the numbers of a run: what they decide with, and the kernels' Update.

A kind of neurons has one function here, registered with @decides: it says which thresholds a membrane is
compared with, what a level takes from it, and which branches of the kernels it needs.
"""

from typing import List, NamedTuple

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.kernels.arguments import NEVER, Update
from eventsim.lowering import layout, overflow
from eventsim.lowering.linear import exact_sum, value_or
from eventsim.model.neurons import Alpha, Neuron, Readout, SigmaDelta
from eventsim.model.rectifier import phi

# what `kernels.firing.fire_untraced` leaves out
SPECIAL = ("signed", "reset_delay", "filters", "drives", "gains", "pauses", "reset_interval")

DECISIONS = {}  # kind -> function(unit, numbers) that returns a Decision


class Decision(NamedTuple):
    """How neurons of one kind decide.

    thresholds: (C, H, W) per plane; amounts: (C,) per plane; both in the run's type.
    settings: fields of `Update` that are flags of this kind.
    maps: fields of `Update`, float64 (C, H, W), that this kind has other numbers for than Neuron.
    """

    thresholds: List[np.ndarray]
    amounts: List[np.ndarray]
    settings: dict
    maps: dict = {}


def decides(cls):
    """Make a function the one that says how neurons of a type decide."""

    def register(decision):
        DECISIONS[cls.kind] = decision
        return decision

    return register


def update(unit, numbers, lanes, bias) -> Update:
    """The kernels' parameters of a layer. bias: of step 0, as it is laid out."""
    node, chip, shape = unit.node, numbers.chip, unit.shape
    decision = DECISIONS[node.kind](unit, numbers)
    exact = {
        "drive": value_or(unit.drive, np.zeros(shape)), "gain": value_or(unit.gain, np.ones(shape)),
        "leak": unit.on_map("leak", 1.0), "current_leak": unit.on_map("current_leak"),
        "v_reset": unit.on_map("v_reset"), "v_min": unit.on_map("v_min"), "least": np.zeros(shape),
        **decision.maps,
    }
    roundings = {"leak": numbers.decay, "current_leak": numbers.decay, "gain": numbers.factor}
    maps = {name: roundings.get(name, numbers.unit)(values) for name, values in exact.items()}
    maps["refractory"] = unit.on_map("refractory").astype(np.int32)
    _check_potentials(unit, chip, maps)
    per_position = _differs_inside_channels(shape, (*maps.values(), *decision.thresholds))
    limits = overflow.limits(chip)
    parameters = Update(
        **_laid_out(maps, decision, numbers, lanes, per_position),
        bias=bias,
        limits=limits,
        **_plain_flags(),
        **_decay(chip),
        bits=unit.n_bits,
        signed=int(unit.signed),
        leaks=int((unit.on_map("leak") != 1).any()),
        drives=int(unit.drive is not None),
        gains=int(unit.gain is not None),
        narrow=int(limits.any()),
        lacks=int(overflow.reaches_all(chip)),
        shift=numbers.shift,
        reset_interval=node.reset_interval, reset_offset=node.reset_offset,
        per_position=int(per_position),
        bias_per_position=int(bias.shape[0] > 1),
    )._replace(**decision.settings)
    special = parameters.changes or parameters.alpha or any(getattr(parameters, name) for name in SPECIAL)
    plain = chip is None and not special
    return parameters._replace(plain=int(plain))


def _check_potentials(unit, chip, maps):
    """Raise UnsupportedError where membranes would be brought to a potential that a chip's do not hold."""
    if chip is None:
        return
    node = unit.node
    remedy = "bring it nearer to 0" if node.resolution is None else "lower the resolution"
    used = {"v_reset": getattr(node, "reset", "") == "hard", "v_min": getattr(node, "v_min", None) is not None}
    for name in used:
        if used[name]:
            overflow.check_held(unit.label, chip, name, maps[name], remedy)


def _plain_flags():
    """Return the flags that only some kinds of neurons set, all 0."""
    return dict.fromkeys(
        ("plain", "changes", "alpha", "hard", "reset_delay", "filters", "limited", "rectified", "pauses"), 0)


def _decay(chip):
    """Return the fields of `Update` that say how a decay is rounded."""
    bits = 12 if chip is None else chip.decay_bits
    half = 1 << (bits - 1)
    positive, negative = {
        "toward_zero": (0, 0), "floor": (0, 2 * half - 1), "nearest": (half, half),
    }["toward_zero" if chip is None else chip.decay_rounding]
    return {"decay_bits": bits, "decay_positive": positive, "decay_negative": negative}


def _differs_inside_channels(shape, maps):
    """Return whether any map (C, H, W) holds several numbers in one channel."""
    rows = [m.reshape(shape[0], -1) for m in maps] if shape[1:] != (1, 1) else []
    return any(((row != row[:, :1]) & (row == row)).any() for row in rows)  # nan: a plane that is never sent


def _laid_out(maps, decision, numbers, lanes, per_position):
    """Return the fields of `Update` that are arrays, channels last."""

    def channels_last(values, fill=0):
        return layout.channels_last(values if per_position else values[:, :1, :1], lanes, fill)

    arrays = {name: channels_last(values) for name, values in maps.items()}
    arrays["thresholds"] = stacked([channels_last(t, numbers.never) for t in decision.thresholds], numbers.dtype)
    arrays["amounts"] = stacked(
        [layout.channels_last(a[:, None, None], lanes) for a in decision.amounts], numbers.dtype)
    return arrays


def stacked(planes, dtype):
    """Return planes as one array (planes, positions, padded channels)."""
    if not planes:
        return np.zeros((0, 1, 1), dtype)
    return np.ascontiguousarray(np.stack(planes))


# ---- how each kind decides


@decides(Neuron)
def _levels(unit, numbers):
    """Neurons send floor((H - v_threshold) / quantum) + 1 and have one threshold per bit. The thresholds rise from
    plane to plane, which kernels rely on."""
    node = unit.node
    quantum, bits = unit.per_channel("quantum"), unit.per_channel("bits")
    exact, theta = firing_thresholds(unit, quantum)
    comparison = comparison_of(node, numbers.chip)
    thresholds, amounts = [], []
    for b in range(unit.n_bits):
        threshold = _threshold(unit, numbers, exact[:, b])
        if comparison == ">":
            threshold = numbers.above(threshold)
        if b == 0 and node.rectify:
            moves = (theta != quantum[:, None, None] / 2) & (bits == 1)[:, None, None]
            threshold[moves] = _rectified(numbers, theta, quantum, moves, comparison)
        _check_reachable(unit, numbers, threshold[bits > b], comparison)
        threshold[bits <= b] = numbers.never
        thresholds.append(threshold)
        amount = _amount(unit, numbers, 2.0**b * quantum)
        amounts.append(np.zeros_like(amount) if node.reset == "none" else amount)
    return Decision(thresholds, amounts, {
        "hard": int(node.reset == "hard"), "reset_delay": node.reset_delay,
        "filters": int(node.current_leak is not None), "limited": int(node.v_min is not None),
        "pauses": int(node.refractory.any()),
    })


def _threshold(unit, numbers, exact):
    """Return thresholds in the run's type. Raises UnsupportedError where a float above 0 becomes 0; `changes` does
    where an integer does."""
    threshold = numbers.unit(exact)
    if not numbers.integer and ((exact > 0) & (threshold == 0)).any():
        raise UnsupportedError(f"{unit.label}: its v_threshold of {exact[exact > 0].min():.4g} is less than "
                               f"{numbers.dtype} holds, which would make it fire without input; {numbers.remedy}")
    return threshold


def _check_reachable(unit, numbers, thresholds, comparison):
    """Raise UnsupportedError for thresholds that stand for "never", but are reached where membranes wrap."""
    if overflow.reaches_all(numbers.chip) and comparison == ">=" and (thresholds == numbers.never).any():
        raise UnsupportedError(
            f"{unit.label}: a threshold is {NEVER} steps, expected less under a chip whose membranes wrap at "
            "32 bits; rescale the layer, or lower its resolution"
        )


@decides(SigmaDelta)
def _changes(unit, numbers):
    """Neurons send changes, and have thresholds (C, 1, 1) per plane of positive, then of negative changes: floor(o
    / q) is at least j where o >= j q, and below -j where -o > j q."""
    node, quantum = unit.node, unit.per_channel("quantum")
    level = _amount(unit, numbers, quantum)  # rounded once: then levels are integer multiples
    _amount(unit, numbers, (2.0**unit.n_bits - 1) * quantum)  # all planes together have to fit
    amounts = [level * level.dtype.type(2**b) for b in range(unit.n_bits)]
    planes = amounts + [numbers.above(amount - level) for amount in amounts]
    thresholds = [np.broadcast_to(p[:, None, None], unit.shape) for p in planes]
    settings = {"changes": {"sigma_delta": 1, "delta": 2}[node.mode], "rectified": int(node.rectify)}
    return Decision(thresholds, amounts, settings, {"least": unit.on_map("v_threshold")})


@decides(Alpha)
def _alpha(unit, numbers):
    """Neurons have one threshold, which also is what a soft reset takes."""
    node = unit.node
    threshold = _threshold(unit, numbers, unit.on_map("v_threshold"))
    if node.comparison == ">":
        threshold = numbers.above(threshold)
    maps = {"leak": unit.on_map("excitatory_leak"), "current_leak": unit.on_map("inhibitory_leak"),
            "gain": unit.on_map("gain"), "least": unit.on_map("v_threshold")}
    # both currents are kept from step to step
    settings = {"alpha": 1, "hard": int(node.reset == "hard"), "filters": 1, "reset_delay": 1}
    return Decision([threshold], [numbers.unit(np.ones(unit.shape[0]))], settings, maps)


@decides(Readout)
def _nothing(unit, numbers):
    """A readout only integrates."""
    return Decision([], [], {"filters": int(unit.node.current_leak is not None)})


def comparison_of(node, chip):
    """Return ">" or ">=": the chip's, else the neuron's."""
    return value_or(None if chip is None else chip.comparison, node.comparison)


def _amount(unit, numbers, quanta):
    """Return what a plane takes from the membrane, (C,) in the run's type. Raises UnsupportedError for 0 steps."""
    amount = numbers.unit(quanta)
    if not amount.all() and not numbers.integer:
        raise UnsupportedError(f"{unit.label}: its quantum of {quanta.min():.4g} is less than {numbers.dtype} "
                               f"holds; {numbers.remedy}")
    if not amount.all():
        resolution = unit.node.resolution
        remedy = "run it in float32, or rescale the layer" if resolution is None else "raise the resolution"
        raise UnsupportedError(f"{unit.label}: its quantum of {quanta.min():.4g} is less than half a step "
                               f"(resolution {resolution}); {remedy}")
    return amount


def firing_thresholds(unit, quantum):
    """Return c_b = theta - delta + 2^b delta exactly rounded, float64 (C, n_bits, H, W), and theta."""
    theta = unit.on_map("v_threshold")
    flat = theta.reshape(unit.shape[0], -1)
    alike = (flat == flat[:, :1]).all()
    thresholds = flat[:, :1] if alike else flat
    pairs, row = distinct(thresholds.ravel(), np.repeat(quantum, thresholds.shape[1]))
    sums = np.array([[exact_sum((t, -delta, 2.0**b * delta)) for b in range(unit.n_bits)]
                     for t, delta in pairs.tolist()])
    exact = np.moveaxis(sums[row].reshape(*thresholds.shape, unit.n_bits), 2, 1)
    exact = np.broadcast_to(exact, (unit.shape[0], unit.n_bits, flat.shape[1]))
    return exact.reshape(unit.shape[0], unit.n_bits, *unit.shape[1:]), theta


def distinct(*columns):
    """Return the different rows of columns of float64, (rows, columns), and the index of each row among them: what
    is worked out in Python is worked out once for each."""
    code = np.zeros(len(columns[0]), np.int64)
    for column in columns:  # one by one: rows as a whole sort ten times as slowly
        if (column != column[:1]).any():
            values, index = np.unique(column, return_inverse=True)
            code = np.unique(code * len(values) + index.reshape(-1), return_inverse=True)[1].reshape(-1)
    first = np.zeros(code.max(initial=-1) + 1, np.intp)
    first[code] = np.arange(len(code))
    return np.stack([column[first] for column in columns], axis=1), code


def _rectified(numbers, theta, quantum, moves, comparison):
    """Return the thresholds, 1D, of the neurons of one-bit channels where MPR moves them: the smallest number of
    the run's type whose phi passes. There is one, since phi (InfLoR-SNN, eq. 9) rises."""
    channel = np.nonzero(moves)[0]
    quantum = quantum[channel]
    steps = np.broadcast_to(numbers.steps_in(channel, quantum), channel.shape)
    rows, row = distinct(theta[moves], quantum, steps)
    passing = [smallest_passing(*values, comparison == ">", numbers.dtype) for values in rows.tolist()]
    return np.array(passing, numbers.dtype)[row]


def smallest_passing(theta, quantum, steps, strict, dtype):
    """Return the smallest number of `dtype` whose phi is >= (strict: >) theta / quantum, found by bisection; where
    none passes, what no membrane reaches.

    Integers count in quantum / steps. Floats are bisected in the order of their bit patterns, infinities too."""
    theta, quantum, steps = float(theta), float(quantum), float(steps)
    target = theta / quantum
    integer = dtype.kind == "i"

    def passes(h):
        rectified = phi(h / steps if integer else float(h) / quantum)
        return rectified > target if strict else rectified >= target

    if integer:
        low, high, number = -NEVER, NEVER, int
    else:
        bits = np.dtype(f"i{dtype.itemsize}")
        top = int(np.array(np.inf, dtype).view(bits))
        low, high = -top, top

        def number(order):
            value = np.array(abs(order), bits).view(dtype)[()]
            return -value if order < 0 else value

    if not passes(number(high)):
        return NEVER if integer else np.nan
    while low < high:
        middle = (low + high) // 2
        if passes(number(middle)):
            high = middle
        else:
            low = middle + 1
    return number(high)
