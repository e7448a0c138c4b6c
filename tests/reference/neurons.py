"""Layers in the run's type, and their membranes."""

import math
from dataclasses import dataclass

import numpy as np
from reference.numbers import (
    FloatRounding, IntegerRounding, bounds_of, divided, fsum_of, limited, per_channel, per_neuron, phi,
)
from reference.synapses import Largest, LargestSums, Synapses

from eventsim.errors import RunError, UnsupportedError
from eventsim.model.neurons import Alpha, Neuron, Readout, SigmaDelta

QUANTITIES = ("sum", "current", "membrane")


class CompiledLayer:
    """A layer in the run's type: its synapses and constants. Nothing here changes in a run.

    widths: quantity -> (bits or None, rule of overflow) of "sum", "current" and "membrane".
    """

    def __init__(self, layer, sources, precision, chip=None):
        self.layer, self.node, self.shape = layer, layer.node, layer.shape
        self.n = math.prod(layer.shape)
        self.chip = chip
        if chip is not None and any(isinstance(path, Largest) for path in layer.paths):
            raise UnsupportedError(f"layer {layer.name!r}: no chip takes the largest of a sum")
        self.precision, self.integer = precision, precision in ("int8", "fixed")
        if self.integer and isinstance(self.node, Alpha):
            raise UnsupportedError(f"layer {layer.name!r}: Alpha in {precision}")
        if self.integer:
            self.rounding = IntegerRounding(layer, chip)
        else:
            self.rounding = FloatRounding(layer, precision)
        self.dtype = self.rounding.dtype
        self.paths = [self._compile_path(path, sources, self.n) for path in layer.paths]
        self.widths = {
            name: (getattr(chip, f"{name}_bits", None), getattr(chip, f"{name}_overflow", None))
            for name in QUANTITIES
        }
        self.gain = None
        if layer.gain_map is not None:
            self.gain = self.rounding.gains(layer.gain_map)
        self._biases = {}
        self.drive = None if layer.drive is None else self.rounding.neurons(layer.drive)
        if isinstance(self.node, SigmaDelta):
            self.v_threshold = self.rounding.neurons(per_neuron(self.node.v_threshold, self.shape))
            self.quantum = self.rounding.neurons(per_neuron(self.node.quantum, self.shape))
            # all planes of a message together have to fit
            self.rounding.neurons((2.0**self.node.bits - 1) * per_neuron(self.node.quantum, self.shape))
            self._check_quantum(self.quantum)
            self.leaks64 = []
            return
        if isinstance(self.node, Alpha):
            self._compile_alpha()
            return
        self.leaks64 = [per_neuron(self.node.leak, self.shape)]
        self.leak = self.rounding.decays(self.leaks64[0])
        self.current_leak = None
        if self.node.current_leak is not None:
            self.leaks64.append(per_neuron(self.node.current_leak, self.shape))
            self.current_leak = self.rounding.decays(self.leaks64[1])
        if isinstance(self.node, Neuron):
            self._compile_neuron()

    def _compile_alpha(self):
        node = self.node
        self.leaks64 = [per_neuron(value, self.shape)
                        for value in (node.excitatory_leak, node.inhibitory_leak, node.gain)]
        self.excitatory_leak, self.inhibitory_leak, self.current_gain = map(self.rounding.decays, self.leaks64)
        self.v_threshold = self.rounding.neurons(per_neuron(node.v_threshold, self.shape))

    def _compile_path(self, path, sources, n_outputs, copies=1):
        if isinstance(path, Largest):
            def before(inner, n_before, n_copies):
                return self._compile_path(inner, sources, n_before, n_copies)

            return LargestSums(path, self.rounding, n_outputs, self.shape[0], before)
        if self.integer and sources[path.source].real:
            raise UnsupportedError(f"layer {self.layer.name!r}: real numbers in {self.precision}")
        return Synapses(path, sources[path.source], self.rounding, n_outputs, self.integer, copies)

    def _compile_neuron(self):
        node, n_channels = self.node, self.shape[0]
        n_positions = self.n // n_channels
        self.delta = np.repeat(per_channel(node.quantum, n_channels), n_positions)
        self.bits = np.repeat(per_channel(node.bits, n_channels), n_positions).astype(int)
        self.theta = per_neuron(node.v_threshold, self.shape)
        self.v_reset = self.rounding.neurons(per_neuron(node.v_reset, self.shape))
        self.v_min = None
        if node.v_min is not None:
            self.v_min = self.rounding.neurons(per_neuron(node.v_min, self.shape))
        self._check_held(self.v_min, *([self.v_reset] if node.reset == "hard" else []))
        self.refractory = per_neuron(node.refractory, self.shape).astype(np.int64)
        self.thresholds, self.amplitudes = [], []
        for bit in range(node.n_bits):
            size = 2**bit * self.delta
            threshold = fsum_of([self.theta, -self.delta, size], self.n)
            self.thresholds.append(self.rounding.neurons(threshold))
            self.amplitudes.append(self.rounding.neurons(size))
        self._check_quantum(self.amplitudes[0])
        self.rectified = (self.bits == 1) & (self.theta != self.delta / 2)
        if not node.rectify:
            self.rectified[:] = False
        # of H, to express it in quanta
        self.unit = self.delta * np.repeat(self.rounding.steps_per_unit, n_positions)
        if self.integer and self.rounding.D is not None:  # as is, without the products' rounding
            self.unit = np.repeat(self.rounding.D * 2.0**self.rounding.shift, n_positions)

    def _check_held(self, *potentials):
        bits, overflow = self.widths["membrane"]
        for values in potentials if bits is not None and bits < 32 else ():
            if values is not None and (limited(values, bits, overflow) != values).any():
                raise UnsupportedError(f"layer {self.layer.name!r}: a potential leaves the membrane's {bits} bits")

    def _check_quantum(self, quantum):
        if not quantum.all():
            raise UnsupportedError(f"layer {self.layer.name!r}: its quantum is less than half a step")

    def bias(self, step):
        """The bias of every neuron at a step, rounded once."""
        started = tuple(i for i, (first, _) in enumerate(self.layer.terms) if first <= step)
        if started not in self._biases:
            terms = [self.layer.terms[i][1] for i in started]
            self._biases[started] = self.rounding.neurons(fsum_of(terms, self.n))
        return self._biases[started]

    def weighted_sum(self, arriving, step):
        """The sum of every neuron: paths in order. arriving: levels per path; of a Largest, a list of them."""
        total = None
        for path, levels in zip(self.paths, arriving):
            value = path.value(levels, step)
            total = value if total is None else total + value
        return total

    def input_current(self, total, step):
        """X from a (limited) sum: gain per neuron, shift, bias of the synapses (and, but for a chip, of neurons
        without a current of their own)."""
        if self.gain is not None:
            total = self.gain * total
            if self.integer:
                total = divided(total, 12, "toward_zero")
        if self.integer:
            total = total << self.rounding.shift
        return total + self.bias(step)

    def decayed(self, state, factor):
        product = factor * state
        if not self.integer:
            return product
        if self.chip is None:
            return divided(product, 12, "toward_zero")
        return divided(product, self.chip.decay_bits, self.chip.decay_rounding)

    def is_strict(self):
        """Whether a potential has to be above its threshold."""
        given = None if self.chip is None else self.chip.comparison
        return (given or self.node.comparison) == ">"

    def fires(self, bit, potential):
        """Which neurons set plane `bit`; potential: what is left to send (|H| where signed)."""
        strict, threshold = self.is_strict(), self.thresholds[bit]
        fired = potential > threshold if strict else potential >= threshold
        fired = fired & (bit < self.bits)
        if bit == 0:
            for i in np.flatnonzero(self.rectified):
                seen = phi(float(potential[i]) / float(self.unit[i]))
                target = float(self.theta[i]) / float(self.delta[i])
                fired[i] = seen > target if strict else seen >= target
        return fired

    def count(self, arriving, counts):
        for path, levels in zip(self.paths, arriving):
            path.count(levels, counts)
        counts["neuron_updates"] += self.n
        for leak in self.leaks64:
            counts["multiplications"] += int(((leak != 0) & (leak != 1)).sum())
        counts["multiplications"] += self.n * (self.gain is not None)


@dataclass
class Range:
    """Where a quantity of a layer went before it was limited, and how often it left its width."""

    lowest: int
    highest: int
    overflows: int


class Membranes:
    """The changing part of a layer for one sample: potentials and what resets still owe.

    ranges: quantity -> Range so far, of whole numbers.
    """

    def __init__(self, compiled):
        self.compiled = compiled
        self.ranges = {}
        self._clear()

    def _clear(self):
        n, dtype = self.compiled.n, self.compiled.dtype
        self.I = np.zeros(n, dtype)  # synaptic current
        self.U = np.zeros(n, dtype)  # membrane; S of a SigmaDelta
        self.owed = np.zeros(n, dtype)  # soft reset, one step late
        self.fired = np.zeros(n, bool)  # hard reset, one step late
        self.resting = np.zeros(n, np.int64)  # refractory steps left
        self.sent = np.zeros(n, dtype)  # of a SigmaDelta: the sum of what it has sent
        self.E = np.zeros(n, dtype)  # of an Alpha: the excitatory current, whose inhibitory one is I

    def step(self, total, step):
        """Advance by one step, given the weighted sum; returns (levels or None, I, H, U)."""
        c, node = self.compiled, self.compiled.node
        if node.reset_interval and step % node.reset_interval == node.reset_offset:
            self._clear()
        X = c.input_current(self._limited("sum", total), step)
        if isinstance(node, Alpha):
            return self._alpha(X)
        if not isinstance(node, SigmaDelta) and c.current_leak is not None:
            X = c.decayed(self.I, c.current_leak) + X
        self.I = self._limited("current", X)
        if isinstance(node, SigmaDelta):
            return self._changes()
        H = c.decayed(self.U, c.leak) + self.I
        if c.drive is not None:
            H = H + c.drive
        if isinstance(node, Readout):
            self.U = H = self._limited("membrane", H)
            return None, self.I, H, H
        return self._spikes(H)

    def _limited(self, quantity, values, resting=None):
        """What is left of values in their width; notes where they went. resting: which have not been computed,
        stay what they are and leave no width."""
        c = self.compiled
        if not c.integer:
            return values
        bits, overflow = c.widths[quantity]
        kept = limited(values, bits, overflow)
        n_left = 0
        if overflow == "wrap" and bits is not None:
            values = limited(values, 32, "wrap")  # beyond int32 a number wraps unseen
        if bits is not None and bits < 32:
            lowest, highest = bounds_of(bits, overflow)
            left = (values < lowest) | (values > highest)
            n_left = int((left if resting is None else left & ~resting).sum())
        found = self.ranges.setdefault(quantity, Range(int(values.min()), int(values.max()), 0))
        found.lowest = min(found.lowest, int(values.min()))
        found.highest = max(found.highest, int(values.max()))
        found.overflows += n_left
        if overflow == "error" and n_left:
            raise RunError(f"layer {c.layer.name!r}: the {quantity} left its {bits} bits {n_left} times")
        return kept if resting is None else np.where(resting, values, kept)

    def _spikes(self, H):
        c, node = self.compiled, self.compiled.node
        resting = self.resting > 0
        if node.reset_delay and node.reset == "soft":
            H = H - self.owed
        elif node.reset_delay:
            H = np.where(self.fired, c.v_reset, H)
        H = self._limited("membrane", np.where(resting, self.U, H), resting)
        levels, left, amount = self._fire(H)
        levels = np.where(resting, 0, levels)
        U = self._after(H, left, levels)
        if node.reset_delay:
            self.owed, self.fired = amount, levels != 0
            U = H
        U = np.where(resting, H, U)
        if c.v_min is not None:
            U = np.where(U < c.v_min, c.v_min, U)
        self.U = U
        self.resting = np.where(resting, self.resting - 1, np.where(levels != 0, c.refractory, 0))
        return levels, self.I, H, self.U

    def _fire(self, H):
        """Levels, what they leave of |H| or H, and the signed amount that they send."""
        c = self.compiled
        negative = (H < 0) & c.node.signed
        left = np.where(negative, -H, H)
        levels = np.zeros(c.n, np.int64)
        amount = np.zeros(c.n, c.dtype)
        for bit in range(c.node.n_bits - 1, -1, -1):
            fired = c.fires(bit, left)
            left = np.where(fired, left - c.amplitudes[bit], left)
            amount = np.where(fired, amount + c.amplitudes[bit], amount)
            levels = levels + np.where(fired, 2**bit, 0)
        levels = np.where(negative, -levels, levels)
        return levels, np.where(negative, -left, left), np.where(negative, -amount, amount)

    def _after(self, H, left, levels):
        if self.compiled.node.reset == "soft":
            return left
        if self.compiled.node.reset == "none":
            return H
        return np.where(levels != 0, self.compiled.v_reset, H)

    def _changes(self):
        """A SigmaDelta's step, after its input: (levels, X, a, a - sent)."""
        c, node = self.compiled, self.compiled.node
        S = self.U + self.I if node.mode == "sigma_delta" else self.I
        self.U = self._limited("membrane", S)
        in_int32 = c.integer and c.widths["membrane"][0] == 32  # which turns around by itself

        def held(values):
            return limited(values, 32, "wrap") if in_int32 else values

        a = held(self.U + c.drive)
        if node.rectify:
            a = np.where(a < 0, 0, a).astype(c.dtype)
        d = held(a - self.sent)
        o = np.where(np.abs(d) >= c.v_threshold, d, 0).astype(c.dtype)
        self.sent = held(self.sent + o)
        top = 2**node.bits - 1
        k = o // c.quantum if c.integer else np.floor(o / c.quantum)
        levels = np.clip(k, -top, top).astype(np.int64)
        return levels, self.I, a, held(a - self.sent)

    def _alpha(self, X):
        """An Alpha's step: (levels, E - I before the reset, H, H)."""
        c, node = self.compiled, self.compiled.node
        resets = self._is_above(self.U)
        I_before = self.I
        self.E = c.decayed(self.E, c.excitatory_leak) + X
        self.I = c.decayed(self.I, c.inhibitory_leak) + X
        current = self.E - self.I
        H = c.current_gain * current
        if node.reset == "hard":
            H, self.E = (np.where(resets, c.dtype.type(0), values) for values in (H, self.E))
        else:
            H, self.E = np.where(resets, H - I_before, H), np.where(resets, self.E - c.v_threshold, self.E)
        self.I = np.where(resets, c.dtype.type(0), self.I)
        self.U = H
        return self._is_above(H).astype(np.int64), current, H, H

    def _is_above(self, H):
        c = self.compiled
        return H > c.v_threshold if c.node.comparison == ">" else H >= c.v_threshold
