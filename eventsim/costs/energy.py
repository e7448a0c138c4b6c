"""Energy: what a run would cost on some hardware, beside the same network run once without spikes.

Everything is an estimate from exact counts and a table of energies (`energy_table`), per layer, in
joule per sample. What is charged to a layer, event-driven:

additions   one per addition (set bits x fan-out), doubling, and MAC of real-valued input, in the
            arithmetic of the sums: float32, or int32 in "int8" and "fixed" (a narrower adder would not
            hold the sum); float64 as the table's widest float
products    one per MAC, and per product of the neuron updates (leaks, gains, channel attention)
updates     one per neuron and step
memory      weights: one weight read per addition and MAC (an identity shortcut reads its strength);
            membranes: read and written once per neuron and step, and so is a synaptic current, and
            what a sigma-delta neuron has sent last;
            events: one message per event and path, written by the sender into the queue of the
            layer that reads it, and read there; a message is the neuron's address, ceil(log2(n))
            bits, and the level, ceil(log2(levels other than 0)) bits (none where all are 1), or the
            number itself where the input is real

Sums stay in registers until the neuron updates: hardware that adds each event into memory pays for
the target's sum besides. Left out are instructions, control, leakage, the network on the chip, delay
lines, and word operations on spikes (pooling, adding trains). An image that stands still is charged
anew at each step, as its counts are. A queue has room for an event of every neuron. The smallest
memory that holds a layer's weights, its states, or a queue serves that traffic.

The baseline is a matched quantised network: the same layers without spikes, run once per sample (once
per step where neurons are sigma-delta, which see a new frame at each step). What T steps of b bits
can say, T * (2^b - 1) + 1 values, it says at once in ceil(log2(that)) bits; with one bit this is the
baseline of Z. Yan, Z. Bai, W.-F. Wong, "Reconsidering the energy efficiency of spiking neural
networks", arXiv 2409.08290 (2024); several bits and signs are ours. An image that stands still is read
as it is. Weights have the run's width. Charges: a MAC per synapse (a product at the widths of
weight and activation, or of floats where weights are floats; an addition as above), one addition per
neuron of an identity shortcut, one update per neuron, a weight read per MAC (divided by the table's
`dense_weight_reuse`: hardware that keeps a weight for many positions needs less), and each activation
written once and read once per path. Zeros are not skipped.

Where the two cross: of the event-driven energy, all that depends on the input's events (additions,
MACs, their weights, messages) is in proportion to the rate at which events reach synapses,
r = synops / (synapses x steps), if their levels stay as they are; the rest is fixed. So it equals the
baseline's at r * (baseline - fixed) / (what depends on events). There is no such rate where the fixed
part alone costs more, or where even an event at each synapse and step costs less.
"""

from dataclasses import astuple, dataclass, field, fields
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from eventsim.costs.energy_summary import CostSummary, EnergyOfAll, EnergyOfLayer, EnergySummary
from eventsim.costs.energy_table import DEFAULT, find_energy_table
from eventsim.costs.fanouts import n_synapses
from eventsim.model.network import Model
from eventsim.statistics.counts import Counts
from eventsim.storage.json_fields import to_json

PICO = 1e-12
STATE_BITS = 32  # of fixed point; floats have their own


@dataclass(frozen=True)
class Cost:
    """Joule per sample, by what they are spent on. memory: level's name -> joule."""

    additions: float = 0.0
    products: float = 0.0
    updates: float = 0.0
    memory: Dict[str, float] = field(default_factory=dict)

    @property
    def traffic(self) -> float:
        """Joule of the traffic of all memories."""
        return sum(self.memory.values())

    @property
    def arithmetic(self) -> float:
        """Joule of all arithmetic, without memory."""
        return self.additions + self.products + self.updates

    @property
    def total(self) -> float:
        """Joule of arithmetic and memory together."""
        return self.arithmetic + self.traffic

    def __add__(self, other):
        memory = dict(self.memory)
        for name, value in other.memory.items():
            memory[name] = memory.get(name, 0.0) + value
        return Cost(self.additions + other.additions, self.products + other.products,
                    self.updates + other.updates, memory)

    def summary(self) -> CostSummary:
        """Return it as plain numbers."""
        return CostSummary(self.additions, self.products, self.updates, self.traffic, self.total,
                           dict(self.memory))


@dataclass(frozen=True)
class LayerEnergy:
    """One layer. fixed, driven: the event-driven cost without and with dependence on its input's
    events. ann: the baseline's. ann_bits: of the widest activation that the baseline's layer reads;
    0 without synapses. rate: share of its synapses that an event reaches per step. slope: joule per
    unit of the rate."""

    name: str
    fixed: Cost
    driven: Cost
    ann: Cost
    ann_bits: int
    rate: float
    slope: float

    @property
    def cost(self) -> Cost:
        """The event-driven cost of this run."""
        return self.fixed + self.driven

    @property
    def crossing_rate(self) -> Optional[float]:
        """The rate at which both cost the same; None where there is none from 0 to 1."""
        return crossing(self.fixed.total, self.slope, self.ann.total)

    def summary(self) -> EnergyOfAll:
        """Return it as plain numbers."""
        return EnergyOfAll(*astuple(self.cost.summary()), self.ann.total, self.ann_bits, self.rate,
                           self.crossing_rate, self.ann.summary())


@dataclass(frozen=True)
class EnergyReport:
    """Energy of a run by a table. total: all layers; its rates are those of all layers scaled by one
    factor."""

    table: str
    layers: List[LayerEnergy]
    total: LayerEnergy
    baseline: str

    def summary(self) -> EnergySummary:
        """Return it as plain numbers."""
        layers = [EnergyOfLayer(layer.name, **_fields(layer.summary())) for layer in self.layers]
        return EnergySummary(self.table, "joule per sample", tuple(layers), self.total.summary(), self.baseline)

    def as_json(self) -> Dict:
        """Return what `eventsim run --json` has under "energy"."""
        return to_json(self.summary())

    def as_text(self, width: Optional[int] = None) -> str:
        """Return the table that a person reads."""
        return self.summary().as_text(width)


def _fields(record):
    return {one.name: getattr(record, one.name) for one in fields(record)}


def _macs(n):
    return "each MAC" if n == 1 else f"{n:g} MACs"


def crossing(fixed, slope, baseline) -> Optional[float]:
    """Return the rate r with fixed + slope * r = baseline, or None where there is none in (0, 1]."""
    if slope <= 0 or baseline <= fixed:
        return None
    rate = (baseline - fixed) / slope
    return rate if rate <= 1 else None


def assess(model: Model, counts: Counts, precision: str, table=DEFAULT, chip=None,
           weight_bits=None) -> EnergyReport:
    """Return the energy of a run.

    counts: of any number of samples, with the model's layers. precision: "float32", "float64",
    "int8" or "fixed". table: an EnergyTable, a name, or a path. chip: the chip's of a "fixed" run,
    whose weights' width is taken; None: the model's, else 8 bits. weight_bits: layer -> width of its
    weights in the run, where it is another ("int8" takes 16 bits where 8 are too coarse). Raises
    FormatError for the table.
    """
    return _Assessment(model, counts, precision, find_energy_table(table), chip, weight_bits).report()


class _Branch(NamedTuple):
    """Synapses into a layer. node: name of the synaptic node, None for an identity shortcut.
    emitters: names of the layers whose events they read."""

    node: Optional[str]
    emitters: tuple


class _Assessment:
    """One call of `assess`."""

    def __init__(self, model, counts, precision, table, chip, weight_bits):
        self.model, self.counts, self.table = model, counts, table
        self.kind = "integer" if precision in ("int8", "fixed") else "float"
        self.state_bits = {"float64": 64}.get(precision, STATE_BITS)
        width = self.state_bits
        if self.kind == "integer":
            chip = chip or model.chip if precision == "fixed" else None
            width = 8 if chip is None else chip.weight_bits
        self.weight_bits = {name: (weight_bits or {}).get(name, width) for name in counts.layers}
        self.steps, self.samples = max(counts.mean_steps, 1), max(counts.n_samples, 1)
        framewise = any(node.sends == "changes" for node in model.nodes.values())
        self.passes = self.steps if framewise else 1

    def report(self):
        layers = [self.layer(name) for name in self.counts.layers]
        fixed, driven, ann = (
            sum((getattr(layer, part) for layer in layers), Cost()) for part in ("fixed", "driven", "ann")
        )
        rate = _rate(self.counts.total("synops"), self.counts.total("dense_macs"))
        slope = driven.total / rate if rate else sum(layer.slope for layer in layers)
        bits = max((layer.ann_bits for layer in layers), default=0)
        total = LayerEnergy("total", fixed, driven, ann, bits, rate, slope)
        often = "at each step" if self.passes > 1 else "once"
        widths = sorted({self.weight_bits[layer.name] for layer in layers if layer.ann_bits}) or [self.state_bits]
        width = " and ".join(f"{bits}-bit" for bits in widths)
        baseline = (
            f"the same layers run {often} without spikes, every synapse a MAC, {width} "
            f"{self.kind} weights read once for {_macs(self.table.dense_weight_reuse)}, activations of up to "
            f"{bits} bits"
        )
        return EnergyReport(self.table.name, layers, total, baseline)

    def layer(self, name):
        """Return the LayerEnergy of one row of the counts."""
        row = {count: value / self.samples for count, value in self.counts.layer_totals(name).items()}
        branches = self.branches(name)
        rate = _rate(row["synops"], row["dense_macs"])
        width = self.weight_bits[name]
        driven = self.driven_cost(branches, row, width)
        slope = driven.total / rate if rate else self.slope_without_events(branches, row, width)
        widest = [self.activation_bits(e) for branch in branches for e in branch.emitters]
        return LayerEnergy(name, self.fixed_cost(name, row), driven, self.dense_cost(name, branches, width),
                           max(widest, default=0), rate, slope)

    # ---- event-driven

    def fixed_cost(self, name, row):
        """Return what the layer costs without a single event."""
        add = self.table.addition(self.kind, self.state_bits)
        multiply = self.table.multiplication(self.kind, self.state_bits, self.state_bits)
        n_states, node = self.counts.neurons[name], self.model.nodes[name]
        each = max(node.states_per_neuron, 1)
        level = self.table.level(n_states * each * self.state_bits)
        bits = 2 * row["neuron_updates"] * each * self.state_bits
        return Cost(
            PICO * row["doublings"] * add,
            PICO * row["multiplications"] * multiply,
            PICO * row["neuron_updates"] * self.table.update(self.kind, self.state_bits),
            _traffic(level, bits),
        )

    def driven_cost(self, branches, row, width):
        """Return what the events that reach the layer cost."""
        cost = self.synaptic_cost(branches, row["additions"], row["macs"], width)
        for branch in branches:
            for emitter in branch.emitters:
                events = self.counts.layer_totals(emitter)["events"] / self.samples
                cost += self.messages(emitter, events)
        return cost

    def synaptic_cost(self, branches, additions, macs, width):
        """Return the cost of additions and products, and of the weights, of `width` bits, that they read."""
        add = self.table.addition(self.kind, self.state_bits)
        multiply = self.table.multiplication(self.kind, self.state_bits, self.state_bits)
        bits = (additions + macs) * width
        return Cost(PICO * (additions + macs) * add, PICO * macs * multiply, 0.0,
                    _traffic(self.weight_level(branches, width), bits))

    def slope_without_events(self, branches, row, width):
        """Return joule per unit of the rate where no event has come: one addition per synop is assumed."""
        if not row["dense_macs"]:
            return 0.0
        real = any(self.is_real(e) for branch in branches for e in branch.emitters)
        dense = row["dense_macs"]
        cost = self.synaptic_cost(branches, 0.0 if real else dense, dense if real else 0.0, width)
        for branch in branches:
            for emitter in branch.emitters:
                cost += self.messages(emitter, self.counts.neurons[emitter] * self.steps)
        return cost.total

    def messages(self, emitter, events):
        """Return the cost of writing and reading a message for each event."""
        bits = self.message_bits(emitter)
        level = self.table.level(self.counts.neurons[emitter] * bits)
        return Cost(memory=_traffic(level, 2 * events * bits))

    def message_bits(self, emitter):
        """Return the bits of one event's address and level."""
        address = (self.counts.neurons[emitter] - 1).bit_length()
        if self.is_real(emitter):
            return address + self.state_bits
        bits, signed = self.level_bits(emitter)
        n_levels = (2**bits - 1) * (2 if signed else 1)
        return address + (n_levels - 1).bit_length()

    # ---- the baseline

    def dense_cost(self, name, branches, width):
        """Return the cost of the same layer without spikes, in all passes of one sample."""
        if not branches:
            return Cost()
        add = self.table.addition(self.kind, self.state_bits)
        n = self.counts.neurons[name]
        additions = n * sum(branch.node is None for branch in branches)
        products, macs, activations = 0.0, 0, Cost()
        for branch in branches:
            bits = max((self.activation_bits(e) for e in branch.emitters), default=self.state_bits)
            synapses = self.synapses(branch.node)
            macs += synapses
            products += synapses * self.table.multiplication(
                self.kind, width, bits if self.kind == "integer" else width)
            for emitter in branch.emitters:
                stored_bits = self.counts.neurons[emitter] * self.activation_bits(emitter)
                activations += Cost(memory=_traffic(self.table.level(stored_bits), 2 * stored_bits * self.passes))
        weights = macs * width / self.table.dense_weight_reuse
        times = PICO * self.passes
        return activations + Cost(
            times * (additions + macs) * add, times * products,
            times * n * self.table.update(self.kind, self.state_bits),
            _traffic(self.weight_level(branches, width), weights * self.passes),
        )

    def synapses(self, name):
        """Return how many synapses one synaptic node has: of channel attention, those of its projection and one
        product per output."""
        if name is None:
            return 0
        node = self.model.nodes[name]
        shape = self.model.shapes[self.model.incoming(name)[0].source]
        if node.role == "synapses":
            return n_synapses(node, shape)
        projection = 0 if node.projection is None else n_synapses(node.projection, shape)
        return projection + int(np.prod(self.model.shapes[name]))

    def activation_bits(self, emitter):
        """Return the width of one number that says what the emitter's spikes say in a pass."""
        node = self.model.nodes[emitter]
        if self.is_real(emitter):
            return self.state_bits
        bits, signed = self.level_bits(emitter)
        if node.sends == "changes":  # spikes are changes of a number of that width
            return bits if node.rectify else bits + 1
        steps = 1 if node.role == "input" and node.still or self.passes > 1 else max(self.counts.steps, 1)
        return (steps * (2**bits - 1) * (2 if signed else 1)).bit_length()

    # ---- the graph

    def branches(self, name):
        """Return the branches of synapses into a layer, as the model has them."""
        branches, waiting = [], self.sources(name)
        while waiting:
            name = waiting.pop()
            if self.model.nodes[name].role in ("synapses", "attention"):
                source = self.model.incoming(name)[0].source
                if self.model.kinds[source] == "current":  # a dense network weighs the sums, too
                    branches.append(_Branch(name, ()))
                    waiting.append(source)
                else:
                    branches.append(_Branch(name, self.emitters(source)))
            elif self.model.kinds[name] == "current":
                waiting += self.sources(name)
            else:
                branches.append(_Branch(None, self.emitters(name)))
        return branches

    def emitters(self, name):
        """Return the names of the layers whose events reach a node without passing a synapse."""
        names, waiting = {}, [name]
        while waiting:
            name = waiting.pop()
            if self.model.nodes[name].fires() or name == self.model.input:
                names[name] = None
            else:
                waiting += self.sources(name)
        return tuple(names)

    def sources(self, name):
        """Return the nodes that a node reads, in reverse order, to be taken from the end."""
        return [edge.source for edge in reversed(self.model.incoming(name))]

    def level_bits(self, emitter):
        """(bits, signed) of an emitter's levels."""
        node = self.model.nodes[emitter]
        return node.n_bits, node.signed

    def is_real(self, emitter):
        return self.model.kinds[emitter] == "real"

    def weight_level(self, branches, width):
        """Return the memory that holds all weights of a layer, of so many bits each."""
        sizes = [getattr(self.model.nodes[b.node], "weight", None) for b in branches if b.node]
        return self.table.level(width * sum(w.size for w in sizes if w is not None))


def _rate(synops, dense):
    return synops / dense if dense else 0.0


def _traffic(level, bits):
    return {level.name: PICO * bits * level.picojoule_per_bit} if bits else {}
