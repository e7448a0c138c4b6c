"""The proof that integers fit 32 bits, beside the recurrence itself, stepped in Python's integers.

Two worlds: the real one, where the worst input is known and as many steps are taken as are proved; and one whose
widest integer is a small number, where every input of every step is tried.
"""

import random
from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from reference_equality import assert_equal_to_reference

import reference
from eventsim import Chip, Dense, Input, Model, Neuron, SigmaDelta, Simulator
from eventsim.errors import UnsupportedError
from eventsim.kernels.arguments import INT32_MAX, Update
from eventsim.lowering import overflow
from eventsim.lowering.linear import Current, Maximum, Path, Term
from eventsim.lowering.rounding import FixedPoint

FAR = INT32_MAX - 1  # a threshold that nothing reaches
NO_WIDTH = (None, "error")


@dataclass(frozen=True)
class Layer:
    """One neuron. most: the sum of a step is any integer from -most to most. widths: (bits or None, rule). leak,
    current_leak: over 2^decay_bits; current_leak None: no current of its own. planes: (threshold, amount) each,
    from the lowest. changes: 1 or 2, a SigmaDelta that sends every change."""

    most: int
    bias: int = 0
    drive: int = 0
    gain: int = 4096
    shift: int = 0
    decay_bits: int = 2
    rounding: str = "toward_zero"
    leak: int = 4
    current_leak: int = None
    planes: tuple = ((FAR, 1),)
    signed: bool = False
    hard: bool = False
    delayed: bool = False
    v_reset: int = 0
    v_min: int = None
    changes: int = 0
    rectified: bool = False
    sum: tuple = NO_WIDTH
    current: tuple = NO_WIDTH
    membrane: tuple = NO_WIDTH

    def chip(self):
        """What the proof reads of a chip; None where this needs none."""
        widths = {f"{name}_{what}": value for name in ("sum", "current", "membrane")
                  for what, value in zip(("bits", "overflow"), getattr(self, name))}
        plain = self.sum == self.current == self.membrane == NO_WIDTH
        return None if plain else SimpleNamespace(**widths)

    def update(self):
        """The kernels' parameters."""
        one = {name: np.array([[value]], np.int32) for name, value in (
            ("bias", self.bias), ("drive", self.drive), ("gain", self.gain), ("v_reset", self.v_reset),
            ("leak", self.leak), ("current_leak", self.current_leak or 0), ("v_min", self.v_min or 0),
            ("least", 0), ("refractory", 0))}
        half = 1 << (self.decay_bits - 1)
        added = {"toward_zero": (0, 0), "floor": (0, 2 * half - 1), "nearest": (half, half)}
        positive, negative = added[self.rounding]
        flags = dict.fromkeys(Update._fields, 0)
        return Update(**{
            **flags, **one, "limits": np.zeros(9, np.int64), "bits": len(self.planes), "signed": int(self.signed),
            "thresholds": np.array([[[t]] for t, _ in self.planes], np.int32).reshape(-1, 1, 1),
            "amounts": np.array([[[a]] for _, a in self.planes], np.int32).reshape(-1, 1, 1),
            "filters": int(self.current_leak is not None), "drives": int(self.drive != 0),
            "gains": int(self.gain != 4096), "shift": self.shift, "decay_bits": self.decay_bits,
            "decay_positive": positive, "decay_negative": negative, "hard": int(self.hard),
            "reset_delay": int(self.delayed), "limited": int(self.v_min is not None), "changes": self.changes,
            "rectified": int(self.rectified)})

    def proved(self):
        """The steps that are proved, None: any number; 0 where not even one is."""
        try:
            return overflow.safe_steps("node 'n'", self.update(), self.most, self.chip())
        except UnsupportedError as error:
            assert "one step can reach" in str(error)
            return 0


class Left(Exception):
    """A number has left the widest integer."""


@dataclass(frozen=True)
class World:
    """Integers are from -widest to widest, and membranes not as far: `widest` is the threshold that means
    never."""

    layer: Layer
    widest: int

    def held(self, value, width=NO_WIDTH, strict=False):
        """A number brought back to its width. One that wraps may be any before."""
        bits, rule = width
        wraps = bits is not None and rule == "wrap"
        if not wraps and abs(value) > self.widest - strict:
            raise Left
        if bits is None:
            return value
        top = 1 << (bits - 1)
        if rule in ("wrap", "error"):
            return (value + top) % (2 * top) - top
        if rule == "wrap_once":
            return value - 2 * top * (value > top) + 2 * top * (value <= -top)
        return min(max(value, -top + (rule == "saturate_symmetric")), top - 1)

    def decayed(self, value, factor):
        product, bits = value * factor, self.layer.decay_bits
        if self.layer.rounding == "floor":
            return product >> bits
        size = abs(product) + (1 << bits >> 1) * (self.layer.rounding == "nearest") >> bits
        return size if product >= 0 else -size

    def step(self, state, total):
        """The state (current, membrane, what is owed or was sent) after a step."""
        n, (current, membrane, owed) = self.layer, state
        x = self.held(total, n.sum)
        size = abs(x) * n.gain // 4096 << n.shift
        x = (size if x >= 0 else -size) + n.bias
        if n.current_leak is not None:
            x += self.decayed(current, n.current_leak)
        x = self.held(x, n.current)
        if n.changes:
            u = self.held(membrane + x if n.changes == 1 else x, n.membrane, True)
            active = self.held(u + n.drive)
            active = max(active, 0) if n.rectified else active
            self.held(active - owed)
            return x, u, active
        h = self.decayed(membrane, n.leak) + x + n.drive
        if n.delayed:
            h = (n.v_reset if owed else h) if n.hard else h - owed
        h = self.held(h, n.membrane, True)
        rest, sent = (-h if n.signed and h < 0 else h), 0
        for threshold, amount in reversed(n.planes):
            if rest >= threshold:
                rest, sent = rest - amount, sent + amount
        u, sent = (-rest, -sent) if n.signed and h < 0 else (rest, sent)
        if n.hard or n.delayed:
            u = n.v_reset if sent and n.hard and not n.delayed else h
        u = self.held(u)
        return x, u if n.v_min is None else max(u, n.v_min), sent if n.delayed else 0

    def first_exit(self, most_steps=10**6, inputs=None):
        """The first step in which an input makes a number leave; None where none ever does."""
        inputs = range(-self.layer.most, self.layer.most + 1) if inputs is None else inputs
        seen, edge = {(0, 0, 0)}, [(0, 0, 0)]
        for number in range(1, most_steps + 1):
            after = set()
            for state, total in product(edge, inputs):
                try:
                    after.add(self.step(state, total))
                except Left:
                    return number
            edge = list(after - seen)
            seen |= after
            if not edge:
                return None
        return None


# ---- the real world: the worst input is the same in every step

M = INT32_MAX
SATURATES, ONCE = (16, "saturate"), (16, "wrap_once")
TIGHT = {  # -> Layer that is brought as far as it goes, and whether the input is the lowest
    "one step": Layer(M - 1), "one step too far": Layer(M), "two steps": Layer(M // 2),
    "not two": Layer(M // 2 + 1), "many": Layer(M // 1000), "to the last": Layer((M - 1) // 7),
    "bias": Layer(10**6, bias=12345), "drive": Layer(10**6, drive=54321), "a gain": Layer(10**6, gain=5000),
    "a shift": Layer(1000, shift=6),
    "a current that adds up": Layer(1000, current_leak=4), "and a drive": Layer(1000, drive=99, current_leak=4),
    "for one step": Layer(M - 1, current_leak=4), "for two": Layer(M // 3, current_leak=4),
    "not for two": Layer(M // 3 + 1, current_leak=4), "for three": Layer(M // 6, current_leak=4),
    "a current that goes": Layer(10**6, current_leak=0), "SigmaDelta": Layer(10**6, changes=1),
    "sums that saturate": Layer(M, sum=(20, "saturate")),
    "sums that turn once": Layer(10**6, sum=ONCE), "sums that turn once, near": Layer(2**15 * 3 + 1, sum=ONCE),
    "sums that fit": Layer(2**15, sum=ONCE),
    "growth to a membrane that saturates": Layer(10**6, current_leak=4, membrane=SATURATES),
    "and with a drive": Layer(10**6, drive=77, current_leak=4, membrane=SATURATES),
    "to the very end": Layer(10**6, drive=(M - 2**15) % 10**6, current_leak=4, membrane=SATURATES),
}
LOWEST = ("sums that saturate", "growth to a membrane that saturates", "and with a drive",
          "to the very end")


@pytest.mark.parametrize("case", TIGHT)
def test_as_many_steps_are_proved_as_hold(case):
    layer = TIGHT[case]
    if case in LOWEST:
        layer = replace(layer, drive=-layer.drive)
    inputs = [layer.most]
    if layer.sum == ONCE:  # the largest in size after the turn
        inputs = [max((layer.most, 2**15), key=lambda s: abs(World(layer, M).held(s, ONCE)))]
    if case in LOWEST:
        inputs = [-layer.most]
    exit_step = World(layer, M).first_exit(inputs=inputs)
    assert exit_step is not None and layer.proved() == exit_step - 1


# ---- a small world, in which all inputs are tried

WIDEST = 60
SMALL = {
    "a sum too many": Layer(WIDEST + 1), "a sum that fits": Layer(WIDEST - 2, leak=0),
    "a sum that wraps": Layer(WIDEST + 9, sum=(5, "wrap"), leak=0),
    "a gain of less than 1": Layer(WIDEST + 1, gain=1024, leak=0),
    "rounded away from 0": Layer(2, current_leak=1, rounding="floor", drive=-(WIDEST - 16 - 4),
                                 membrane=(5, "saturate")),
    "rounded away, one less": Layer(2, current_leak=1, rounding="floor", drive=-(WIDEST - 16 - 3),
                                    membrane=(5, "saturate")),
    "a current that saturates": Layer(WIDEST - 8, current_leak=4, current=(4, "saturate"), leak=0),
    "and decays to the nearest": Layer(WIDEST, current_leak=3, decay_bits=4, leak=0, rounding="nearest",
                                       current=(3, "saturate"), membrane=(5, "wrap")),
    "turns once, and decays": Layer(WIDEST, current_leak=3, decay_bits=4, leak=0, rounding="nearest",
                                    current=(3, "wrap_once"), membrane=(5, "wrap")),
    "moves on": Layer(11, current_leak=4, current=(3, "wrap_once"), leak=0),
    "a reset below 0": Layer(1, planes=((-10, 30),), leak=3), "two planes": Layer(2, planes=((-1, 9), (8, 18))),
    "a reset beyond the width": Layer(12, planes=((3, 55),), membrane=(4, "saturate")),
    "below a width that turns once": Layer(12, planes=((3, 55),), membrane=(4, "wrap_once")),
    "below a width that ends the run": Layer(12, planes=((3, 55),), membrane=(4, "error")),
    "below a width that wraps": Layer(2, planes=((-30, 40),), membrane=(6, "wrap")),
    "growth to a membrane that saturates": Layer(3, current_leak=4, membrane=(4, "saturate")),
    "growth to one that turns once": Layer(1, current_leak=4, membrane=(2, "wrap_once")),
    "one that turns once, and moves on": Layer(9, membrane=(3, "wrap_once")),
    "changes that wrap": Layer(1, changes=1, drive=16 - WIDEST, membrane=(5, "wrap")),
    "changes that wrap, one more": Layer(1, changes=1, drive=15 - WIDEST, membrane=(5, "wrap")),
    "rectified changes": Layer(5, changes=1, rectified=True, drive=3), "delta": Layer(25, changes=2),
    "delta of a current": Layer(13, changes=2, current_leak=2), "v_min": Layer(1, v_min=-40),
    "late": Layer(3, delayed=True, planes=((2, 7),)),
    "late and hard": Layer(3, delayed=True, hard=True, v_reset=-9, planes=((2, 7),)),
}
# of these the proof is to give neither fewer steps nor refuse what holds for ever
SMALL_TIGHT = ("a sum too many", "a sum that fits", "a sum that wraps", "a gain of less than 1",
               "changes that wrap", "changes that wrap, one more", "a current that saturates")


def judged(layer, monkeypatch):
    """(steps that are proved, those that hold) of a layer in the small world."""
    monkeypatch.setattr(overflow, "INT32_MAX", WIDEST)
    exit_step = World(layer, WIDEST).first_exit()
    return layer.proved(), None if exit_step is None else exit_step - 1


def sound(proved, holds):
    return holds is None or (proved is not None and proved <= holds)


@pytest.mark.parametrize("case", SMALL)
def test_every_input_of_a_small_world(case, monkeypatch):
    proved, holds = judged(SMALL[case], monkeypatch)
    assert sound(proved, holds), (proved, holds)
    if case in SMALL_TIGHT:
        assert (proved is None) == (holds is None), (proved, holds)


def random_layer(rng):
    """A layer of small numbers, with any of the options."""
    def width():
        bits, rule = rng.choice((None, None, 2, 3, 4)), rng.choice(
            ("wrap", "wrap_once", "saturate", "saturate_symmetric", "error"))
        return NO_WIDTH if bits is None else (bits, rule)

    decay_bits = rng.choice((1, 2, 4))
    unit = 1 << decay_bits
    layer = Layer(
        rng.choice((1, 2, 3, 5, 9, 14)), rng.choice((0, 0, 1, -3)), rng.choice((0, 0, 2, -4)),
        rng.choice((4096, 4096, 6000, 900)),
        rng.choice((0, 0, 1)), decay_bits, rng.choice(("toward_zero", "floor", "nearest")), rng.randint(0, unit),
        rng.choice((None, None, rng.randint(0, unit), unit)), sum=width(), current=width(), membrane=width())
    if rng.random() < 0.15:
        return replace(layer, changes=rng.choice((1, 2)), rectified=rng.random() < 0.5, leak=unit)
    low, taken = rng.choice(((FAR, 1), (rng.randint(-8, 8), rng.randint(1, 20))))
    planes = rng.choice((((low, taken),), ((low, taken), (min(FAR, low + taken), 2 * taken))))
    top = WIDEST if layer.membrane[0] is None else (1 << (layer.membrane[0] - 1)) - 1  # potentials fit the width
    return replace(layer, planes=planes, signed=low > 0 and rng.random() < 0.3, hard=rng.random() < 0.3,
                   delayed=rng.random() < 0.3, v_reset=rng.randint(-min(9, top), min(9, top)),
                   v_min=rng.choice((None, None, -min(9, top), 1)))


@pytest.mark.parametrize("seed", range(8))
def test_layers_at_random_in_a_small_world(seed, monkeypatch):
    rng = random.Random(seed)
    kinds = set()
    for _ in range(80):
        layer = random_layer(rng)
        proved, holds = judged(layer, monkeypatch)
        kinds.add("any" if proved is None else "none" if proved == 0 else "some")
        assert sound(proved, holds), (layer, proved, holds)
    assert kinds >= {"any", "some"}


# ---- the largest sum of a step

UNITS = {"bits": SimpleNamespace(max_level=1), "levels": SimpleNamespace(max_level=5)}
NUMBERS = FixedPoint(np.dtype(np.int32), np.dtype(np.int8), "node 'n'", np.array([8.0, 2.0]), np.ones(2))
KERNEL = np.array([[[[2.0, -3.0]], [[0.5, 1.0]]], [[[-4.0, 0.0]], [[1.0, 2.5]]]])  # 2 outputs, 2 channels, 1 x 2


def synapses(unit, weight=KERNEL):
    return Path(unit, 0, (2, 1, 2), np.ones(2), weight)


def identity(unit, amplitude=(0.75, -9.0)):
    return Path(unit, 0, (2, 1, 1), np.ones(2), amplitude=np.array(amplitude))


def pooled(*paths, terms=()):
    window = (1, 2), (1, 2), (0, 0)
    return Maximum(Current((2, 1, 2), list(paths), list(terms)), window, np.ones(2), "node 'pool'")


SUMS = {
    "synapses": [synapses("bits")], "of levels": [synapses("levels")], "identity": [identity("bits")],
    "identity of levels": [identity("levels")], "two": [synapses("levels"), identity("levels", (3.0, 3.0))],
    "pooled": [pooled(synapses("levels"))],
    "pooled with a bias": [pooled(identity("levels"), terms=[Term(np.array([[[7.0]], [[-2.0]]]))])],
    "beside a pool": [pooled(identity("bits"), synapses("levels")), identity("levels")],
}


def largest_of(path):
    """The largest sum in size that inputs give one output, of all signs and levels, by trying the highest; and by
    how much its bound may be more: one step of the integers for each constant that is rounded on its own."""
    if isinstance(path, Maximum):
        inner = [largest_of(one) for one in path.current.paths]
        scale = NUMBERS.steps.reshape(2, 1, 1)
        terms = sum(float(np.abs(term.value * scale).max()) for term in path.current.terms)
        return sum(most for most, _ in inner) + terms, sum(more for _, more in inner) + len(path.current.terms)
    top = UNITS[path.unit].max_level
    weights = path.amplitude.reshape(2, 1) if path.weight is None else path.weight.reshape(2, -1)
    sums = [abs(sum(round(w * steps) * level for w, level in zip(row, levels)))
            for row, steps in zip(weights.tolist(), NUMBERS.steps.tolist())
            for levels in product((-top, top), repeat=len(row))]
    return max(sums), top * (path.weight is None)


@pytest.mark.parametrize("case", SUMS)
def test_the_largest_sum_of_a_step(case):
    tried = [largest_of(path) for path in SUMS[case]]
    bound = overflow.sum_bound(SUMS[case], UNITS, NUMBERS)
    assert sum(most for most, _ in tried) <= bound <= sum(most + more for most, more in tried)


# ---- chips, beside the reference, whose integers have 64 bits


def driven(node, weight):
    nodes = {"in": Input((1,), signed=True), "w": Dense([[weight]]), "n": node}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])))


def far_below(weight):
    """A soft reset takes a membrane of 16 bits far below them."""
    return driven(Neuron(2.0, leak=1.0, resolution=1.0, quantum=1.6 * 2**30), weight)


def width(bits, rule, **options):
    return Chip("narrow", weight_bits=16, membrane_bits=bits, membrane_overflow=rule, **options)


GROWING = driven(Neuron(30.0, leak=1.0, current_leak=1.0, resolution=1.0, quantum=1.0, reset="none"), 30000.0)
UP, DOWN = np.ones(600, int), np.array([1, -1, -1])
CHIPS = {  # -> model, chip, input, whether it is refused before it runs
    "a current that outgrows a turn": (GROWING, width(16, "wrap_once"), UP, False),
    "a reset far below one that wraps": (
        driven(Neuron(-1.0e9, resolution=1.0, quantum=2.0e9), 100.0), width(16, "wrap"), DOWN, True),
    **{f"a reset far below one that does {rule}, {weight}": (
        far_below(weight), width(16, rule, weight_shift=14), DOWN, refused)
       for rule in ("saturate", "wrap_once", "saturate_symmetric") for weight, refused in (
           (32000.0 * 2**14, True), (16000.0 * 2**14, False))},
}


@pytest.mark.parametrize("case", CHIPS)
def test_what_is_proved_of_a_chip_is_what_the_reference_computes(case):
    model, chip, x, refused = CHIPS[case]
    if refused:
        with pytest.raises(UnsupportedError, match="one step can reach"):
            Simulator(model, chip=chip)
        return
    steps = Simulator(model, chip=chip).program.safe_steps or len(x)
    assert steps >= 1
    x = x[:steps].reshape(1, -1, 1)
    assert_equal_to_reference(model, x, "fixed", chip=chip)
    assert reference.simulate(model, x, "fixed", chip=chip).levels["n"].any()


@pytest.mark.parametrize("node", [
    Neuron(100.0, quantum=100.0, resolution=1.0, signed=True, reset="none"),
    Neuron(100.0, quantum=100.0, resolution=1.0, signed=True, reset="hard"),
    Neuron(100.0, quantum=3.0, resolution=1.0, bits=5, signed=True),
    Neuron(100.0, quantum=7.0, resolution=1.0, bits=2, signed=True, reset_delay=1),
    SigmaDelta("sigma_delta", bits=4, quantum=5.0, resolution=1.0, rectify=False),
    SigmaDelta("delta", v_threshold=100.0, quantum=100.0, resolution=1.0, rectify=False),
], ids=["none", "hard", "soft", "late", "changes", "changes of one step"])
def test_the_membrane_whose_size_32_bits_do_not_hold_sends_like_its_neighbours(node):
    """-2^31 wraps to itself when it is negated: its level is below 0, as those of -2^31 + 1 are."""
    weight = np.array([[-128.0], [-128.0], [127.0]]) * 2**16
    model = Model({"in": Input((1,), bits=10, signed=True), "w": Dense(weight, bias=[0.0, 1.0, 0.0]), "n": node},
                  [("in", "w"), ("w", "n")])
    chip = Chip("wide", weight_bits=8, weight_shift=16, membrane_bits=32, membrane_overflow="wrap", sum_bits=32,
                sum_overflow="wrap", current_bits=32, current_overflow="wrap")
    x = np.array([[[256], [0], [-256], [128], [128], [256], [1], [0], [-512]]])
    run = assert_equal_to_reference(model, x, "fixed", chip=chip)
    lowest = run.potentials("n") == -2**31
    assert lowest.any() and run.levels("n")[lowest][0] < 0
