"""Divergence: where two runs first differ, how the difference spreads, and what most likely causes it.

    comparison = eventsim.compare(model, Simulator(model, "int8"), x, labels)
    comparison.first.layer, comparison.first.step, comparison.reading

The order is causal: the lowest sample that differs anywhere; in it the earliest step; within a step
the layers in order of execution; within a layer currents, potentials, spikes, residuals (membranes
after the reset), outputs; of its neurons the lowest index.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Dict, List, Optional, Tuple

import numpy as np

from eventsim.arguments import several, shown
from eventsim.comparison import diagnosis
from eventsim.comparison.diagnosis import NeuronDecision
from eventsim.comparison.pairing import model_differences, pair_layers, synapses_into, VARIABLES
from eventsim.comparison.sides import SimulatorSide, sent_by_stages, TraceSide
from eventsim.comparison.traces import Trace
from eventsim.comparison.verdict import verdict
from eventsim.comparison.watching import NEVER, ComparisonRule, Watch
from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.engine.simulator import Simulator
from eventsim.errors import DataError
from eventsim.inputs.levels import check_layout
from eventsim.merging import merge
from eventsim.model.network import Model
from eventsim.model.parameters import finite_number, integer
from eventsim.statistics.decisions import one_label_each
from eventsim.tensors import as_array
from eventsim.text import all_digits, did_you_mean, many, number, percent

CELLS = 1 << 20  # neurons times steps times samples compared at a time
LARGEST_BATCH = 64  # samples
MOST_SAMPLES = 10  # whose numbers are kept
TRACE_TOLERANCE = 1e-4  # of a layer's threshold, and of the value: others compute in other orders


@dataclass(frozen=True)
class Divergence:
    """The first value in which two runs differ.

    sample, step: from 0. layer, layer_b: the layer in A and in B. kind: of the node in A.
    neuron: index in the layer, in the order C, H, W; position: the same as (c, y, x), (c, x) or (c,).
    variable: "currents", "potentials", "spikes", "residuals" or "outputs".
    values: of A and B; levels of spikes, else in units of the membrane. steps: the same as integer
    state steps, where a run counts in them.
    decisions: how A and B came to fire or not, None where a trace does not tell.
    values_there: variable -> what A and B had in that neuron at that step, in units of the membrane.
    """

    sample: int
    step: int
    layer: str
    layer_b: str
    kind: str
    neuron: int
    position: Tuple[int, ...]
    variable: str
    values: Tuple[float, float]
    steps: Tuple[Optional[int], Optional[int]]
    decisions: Tuple[Optional[NeuronDecision], Optional[NeuronDecision]] = (None, None)
    values_there: Dict[str, Tuple[Optional[float], Optional[float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Overflow:
    """A number of a layer that left its width, in the samples up to those of the first divergence.

    side: "A" or "B". quantity: "sum", "current" or "membrane". times: how often. bits: its width;
    needed: what would have held it. then: what the chip does ("wrap", "saturate", ...).
    """

    side: str
    layer: str
    quantity: str
    times: int
    bits: int
    needed: int
    then: str


@dataclass
class LayerDifference:
    """How far one layer is from its partner.

    name, name_b, kind, neurons. variables: what was compared.
    drift: variable -> largest difference, in units of the membrane, in any sample before that
        sample diverged.
    spread: per step of the first divergent sample the share of neurons that differ in what decides;
    spikes: the share whose spikes differ. Both empty where nothing diverged.
    """

    name: str
    name_b: str
    kind: str
    neurons: int
    variables: Tuple[str, ...]
    drift: Dict[str, float] = field(default_factory=dict)
    spread: List[float] = field(default_factory=list)
    spikes: List[float] = field(default_factory=list)


@dataclass(repr=False)
class Comparison(Shown):
    """What `compare` found.

    a, b: names of the two sides; arithmetic: theirs ("float32", "chip loihi", "trace").
    samples, steps: compared. decides: the variables in which a difference is a divergence.
    first: the first divergence, or None: equal. divergent: samples that diverge anywhere.
    layers: in order of execution. unmatched: names in A and in B that found no partner.
    predictions: of A and B for the sample of `first`; equal_predictions: samples in which they
    agree, None where a trace has none; changed_predictions: the first samples in which they do not.
    accuracy: of A and B, None without labels.
    label: of the sample of `first`, or None.
    overflows: numbers that left the widths of a chip.
    differences: what the two models say differently, in lines; those on the way into the layer of
    the first divergence come first. notes: what a reader has to know. reading: in plain language.
    """

    a: str
    b: str
    arithmetic: Tuple[str, str]
    decides: Tuple[str, ...]
    samples: int = 0
    steps: int = 0
    divergent: int = 0
    first: Optional[Divergence] = None
    layers: List[LayerDifference] = field(default_factory=list)
    unmatched: Tuple[List[str], List[str]] = ((), ())
    predictions: Optional[Tuple[int, Optional[int]]] = None
    label: Optional[int] = None
    equal_predictions: Optional[int] = None
    changed_predictions: List[int] = field(default_factory=list)
    accuracy: Tuple[Optional[float], Optional[float]] = (None, None)
    overflows: List[Overflow] = field(default_factory=list)
    differences: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    reading: str = ""

    def card(self) -> Card:
        """Whether the sides are equal, or where they part first, and the reading."""
        first = self.first
        sides = [(side, arithmetic if name == side else f"{name} ({arithmetic})")
                 for side, name, arithmetic in zip("AB", (self.a, self.b), self.arithmetic)]
        facts = [*sides,
                 ("decided by", ", ".join(self.decides)),
                 ("equal predictions", None if self.equal_predictions is None
                  else f"{self.equal_predictions} of {self.samples}")]
        if first is not None:
            facts.append(("first difference", f"sample {first.sample}, step {first.step}, {first.layer}, neuron "
                                              f"{first.neuron}, {first.variable}"))
        rows = [(layer.name, layer.kind, all_digits(layer.neurons), percent(max(layer.spread, default=0)),
                 number(max(layer.drift.values(), default=0))) for layer in self.layers[:MOST_ROWS]]
        found = "equal" if self.equal else f"{self.divergent} of {many(self.samples, 'sample')} differ"
        return Card(f"Comparison({found}, {many(self.steps, 'step')})",
                    [(name, value) for name, value in facts if value is not None],
                    ("layer", "kind", "neurons", "neurons that differ, at most", "largest drift"), rows,
                    len(self.layers), note=self.reading)

    @property
    def equal(self) -> bool:
        """Whether nothing that decides differs."""
        return self.first is None

    def as_json(self) -> Dict:
        """Everything as plain data; numbers that are not finite as "inf", "-inf" and "nan", since JSON has none."""
        return {"equal": self.equal, **_plain(asdict(self))}


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def compare(a, b, x, labels=None, timesteps=None, variables=None, tolerance=None) -> Comparison:
    """Run two sides on the same samples and find where they first differ.

    a: a Model (in the arithmetic that `Simulator` chooses) or a Simulator. b: the same, a
        `traces.Trace`, or a dict of arrays as a trace holds them.
    x: samples, as `Simulator.run` takes them. labels: whole numbers (N,), or None.
    timesteps: steps of samples that stand still; default A's.
    variables: those in which a difference counts as a divergence, of "currents", "potentials", "spikes", "residuals", "outputs";
        default: all between runs of the same arithmetic, spikes between others, all that it holds
        for a trace. The rest is reported as drift.
    tolerance: largest difference, in units of the membrane, that counts as equal; default 0, and for a trace
        1e-4 of the layer's threshold and of the value. Spikes are always compared exactly.

    Raises DataError where nothing can be compared, and what runs raise.
    """
    run = _run(a, "A")
    if isinstance(b, (Trace, dict)):
        other = TraceSide(b if isinstance(b, Trace) else Trace(b), run)
    else:
        other = _run(b, "B")
    if timesteps is not None:
        timesteps = integer(timesteps, "timesteps", 1, 1 << 24)
    x = np.atleast_1d(as_array(x))
    labels = None if labels is None else as_array(labels)
    if timesteps is None and labels is None:
        check_layout(x.shape, run.model.nodes[run.model.input], run.model.timesteps)
    still = x.ndim <= len(run.model.shapes[run.model.input]) + 1
    steps = run.model.steps(timesteps) if still else x.shape[1]
    if timesteps is not None and timesteps != steps:
        if not still:
            raise DataError(f"x has {steps} steps, but the run has {timesteps}: give the same number, or none")
        steps = timesteps
    if labels is not None:
        if np.ndim(labels) == 1 and len(labels) != len(x):
            raise DataError(f"labels has {len(labels)} entries, but x has {len(x)} samples")
        labels = one_label_each(labels, len(x))
        if not (labels == np.floor(labels)).all() or np.isinf(labels).any():
            raise DataError("labels has a value that is no whole number")
    comparing = Comparing(run, other, steps, variables, tolerance)
    for start in range(0, max(len(x), 1), comparing.batch):
        part = slice(start, start + comparing.batch)
        if comparing.exhausted:
            break
        comparing.add(x[part], x[part], None if labels is None else labels[part])
    return comparing.result()


def _run(given, label):
    simulator = given if isinstance(given, Simulator) else None
    if isinstance(given, Model):
        simulator = Simulator(given)
    if simulator is None:
        raise DataError(f"{label} is a {type(given).__name__}, expected a Model, a Simulator or (B) a trace")
    return SimulatorSide(simulator, label)


class Comparing:
    """A comparison that takes its samples batch by batch.

    a: SimulatorSide. b: SimulatorSide or TraceSide. steps: of every sample. variables, tolerance: as `compare`.
    batch, chunk: samples and steps that fit the memory it allows itself. pairs, rules: what is
    compared. differences: of the models. at: (watch, sample in its batch, sample, its x for A and for
    B) of the first divergence.
    """

    def __init__(self, a: SimulatorSide, b, steps: int, variables=None, tolerance=None):
        self.a, self.b = a, b
        self.notes: List[str] = []
        self.steps = self._steps(steps)
        self.pairs, *self.unmatched = pair_layers(a.layers, b.layers)
        self.decides = self._deciding(variables)
        if tolerance is not None and finite_number(tolerance, "tolerance") < 0:
            raise DataError(f"tolerance is {tolerance}, expected 0 or more")
        self.rules = [self._rule(pair, v, tolerance) for pair in self.pairs for v in pair.variables]
        if not any(rule.decides for rule in self.rules):
            raise DataError(self._nothing())
        self.decides = tuple(v for v in self.decides if any(r.decides and r.variable == v for r in self.rules))
        neurons = sum(pair.a.n_neurons * len(pair.variables) for pair in self.pairs)
        self.batch = int(np.clip(CELLS // max(neurons * self.steps, 1), 1, LARGEST_BATCH))
        self.chunk = max(1, CELLS // (neurons * self.batch))
        self._found = Comparison(a.label, b.label, (a.describe(), b.describe()), self.decides, steps=self.steps)
        self._drift = np.zeros(len(self.rules))
        self._audits = [None, None]
        self.at, self._activity, self.differences = None, {}, []
        self._right, self._equal, self._labelled = np.zeros(2, int), 0, 0

    # ---- what is compared

    def _steps(self, steps):
        steps = integer(steps, "timesteps", 1, 1 << 24)
        if self.b.is_trace and self.b.trace.n_samples and self.b.trace.n_steps != steps:
            self.notes.append(f"the trace has {self.b.trace.n_steps} steps, the run {steps}: the fewer are compared")
            return min(steps, self.b.trace.n_steps)
        return steps

    def _deciding(self, variables):
        if variables is None:
            alike = self.b.is_trace or self.a.arithmetic == self.b.arithmetic
            return VARIABLES if alike else ("spikes",)
        variables = several(variables, "variables", f"any of {', '.join(VARIABLES)}")
        for variable in variables:
            if not isinstance(variable, str) or variable not in VARIABLES:
                raise DataError(f"variables has {shown(variable)}, expected any of {', '.join(VARIABLES)}"
                                + did_you_mean(variable, VARIABLES))
        return tuple(v for v in VARIABLES if v in variables)

    def _rule(self, pair, variable, tolerance):
        decides = variable in self.decides
        if variable == "spikes":
            return ComparisonRule(pair, variable, decides)
        if tolerance is not None:
            return ComparisonRule(pair, variable, decides, float(tolerance))
        if not self.b.is_trace or self._counts_alike(pair, variable):
            return ComparisonRule(pair, variable, decides)
        node = self.a.model.nodes[pair.a.name]
        scale = float(np.abs(node.v_threshold).max()) if node.fires() else 1.0
        return ComparisonRule(pair, variable, decides, TRACE_TOLERANCE * scale, TRACE_TOLERANCE)

    def _counts_alike(self, pair, variable):
        """Whether a trace holds the integers that A counts in, so that they compare exactly."""
        return self.a.program.dtype.kind == "i" and self.b.counts(pair.b.name, variable)

    def _nothing(self):
        names = ", ".join(list(self.a.layers)[:5])
        if self.b.is_trace:
            example = next(iter(self.a.layers), "layer")
            return (f"{self.b.label}: holds {self.b.trace.unused()[:10]}, nothing of A's layers ({names}, ...) "
                    f"to decide by; name its arrays like {example + '/spikes'!r}")
        return (f"{self.b.label}: none of its layers ({', '.join(list(self.b.layers)[:5])}, ...) is one of A's "
                f"({names}, ...) by name and size, or by order and size, and has {' or '.join(self.decides)}")

    # ---- samples

    @property
    def exhausted(self) -> bool:
        """Whether a trace has no more samples to compare with."""
        return self.b.is_trace and self._found.samples >= self.b.trace.n_samples

    def add(self, xa, xb, labels=None):
        """Compare a batch: xa as A takes it, xb as B does (of a trace: anything). labels: (n,) or None."""
        first, n = self._found.samples, len(xa)
        if self.b.is_trace:
            left = self.b.trace.n_samples - first
            if n > left:
                self.notes.append(f"the trace has {self.b.trace.n_samples} samples: only these are compared")
                n = left
            xa, xb = xa[:n], slice(first, first + n)
        thorough = self.at is None
        watch = Watch(self.rules, n, self.steps, thorough)
        rules = [rule for rule in self.rules if thorough or rule.decides]
        wishes = [[((rule.pair.a, rule.pair.b)[i].name, rule.variable) for rule in rules]
                  + ([("", "audit")] if thorough and side.has_widths else [])
                  for i, side in enumerate((self.a, self.b))]
        self.a.begin(xa, self.steps)
        self.b.begin(xb, self.steps)
        for start in range(0, self.steps, self.chunk):
            n_steps = min(self.chunk, self.steps - start)
            pieces = self.a.advance(n_steps, wishes[0]), self.b.advance(n_steps, wishes[1])
            watch.see(*pieces, start, n_steps)
            self._audits = [_joined(known, piece) for known, piece in zip(self._audits, pieces)]
        self._note(watch, first, xa, xb, labels, pieces)

    def _note(self, watch, first, xa, xb, labels, pieces):
        found, n = self._found, len(xa)
        samples = slice(first, first + n)
        predictions = [side.predictions(samples, piece) for side, piece in zip((self.a, self.b), pieces)]
        if predictions[1] is None:
            self._equal = None
        else:
            changed = np.flatnonzero(predictions[0] != predictions[1])
            self._equal += n - len(changed)
            found.changed_predictions += (first + changed[: MOST_SAMPLES - len(found.changed_predictions)]).tolist()
        if labels is not None:
            labels = labels[:n]
            self._labelled += n
            self._right += [0 if p is None else int((p == labels).sum()) for p in predictions]
        diverged = watch.step != NEVER
        found.samples += n
        found.divergent += int(diverged.sum())
        if not watch.thorough:
            return
        self._drift = np.maximum(self._drift, watch.drift.max(axis=0))
        if diverged.any():
            i = int(diverged.argmax())
            inputs = xa[i : i + 1], slice(first + i, first + i + 1) if self.b.is_trace else xb[i : i + 1]
            self.at = watch, i, first + i, inputs
            found.predictions = tuple(None if p is None else int(p[i]) for p in predictions)
            found.label = None if labels is None else int(labels[i])

    def activity(self, side) -> Dict[str, float]:
        """Per stage of a run what its neurons send in a step of the sample of the first divergence,
        as the root mean square over neurons of their mean levels."""
        if side not in self._activity:
            inputs = self.at[3][0 if side is self.a else 1]
            self._activity[side] = sent_by_stages(side, inputs, self.steps, self.chunk)
        return self._activity[side]

    # ---- the result

    def result(self) -> Comparison:
        """The Comparison of all samples so far, at least one."""
        found = self._found
        found.unmatched = tuple([layer.name for layer in rest] for rest in self.unmatched)
        if self.b.is_trace:
            found.unmatched = (found.unmatched[0], self.b.unused())
        found.layers = self._layers()
        found.overflows = [overflow for side, noted in zip("AB", self._audits) for overflow in _overflows(side, noted)]
        found.equal_predictions = self._equal
        if self._labelled:
            right = (self._right / self._labelled).tolist()
            found.accuracy = right[0], None if self._equal is None else right[1]
        if self.at is not None:
            self._examine()
        found.differences = self._differences()
        found.notes = [*self.notes, *self._pairing_notes()]
        found.reading = verdict(found, self)
        return found

    def _layers(self):
        layers = []
        for pair in self.pairs:
            rules = [(r, rule) for r, rule in enumerate(self.rules) if rule.pair is pair]
            drift = {rule.variable: float(self._drift[r]) for r, rule in rules if rule.variable != "spikes"}
            layer = LayerDifference(pair.a.name, pair.b.name, pair.a.kind, pair.a.n_neurons, pair.variables, drift)
            if self.at is not None:
                watch, i, *_ = self.at
                layer.spread = (watch.spread[pair.a.name][i] / pair.a.n_neurons).tolist()
                layer.spikes = (watch.spikes[pair.a.name][i] / pair.a.n_neurons).tolist()
            layers.append(layer)
        return layers

    def _pairing_notes(self):
        renamed = [f"{p.a.name} = {p.b.name}" for p in self.pairs if not p.by_name]
        return [f"paired by order and shape, as their names differ: {', '.join(renamed)}"] if renamed else []

    def _differences(self):
        """What the models say differently, that which leads into the layer of the divergence first."""
        if self.b.is_trace or self.a.model is self.b.model:
            return []
        self.differences = model_differences(self.a.model, self.b.model)
        first = self._found.first
        into = [] if first is None else synapses_into(self.a.model, first.layer)
        return [d.text for d in sorted(self.differences, key=lambda d: d.node not in into)]

    def _examine(self):
        """Run the sample of the first divergence once more, and look at its neuron."""
        watch, i, sample, inputs = self.at
        rule, step, neuron = self.rules[watch.rank[i]], int(watch.step[i]), int(watch.neuron[i])
        pair = rule.pair
        histories = [diagnosis.history(side, x, layer, neuron, step)
                     for side, x, layer in zip((self.a, self.b), inputs, (pair.a, pair.b))]
        position = tuple(int(v) for v in np.unravel_index(neuron, pair.a.shape))
        self._found.first = Divergence(
            sample, step, pair.a.name, pair.b.name, pair.a.kind, neuron, position, rule.variable,
            tuple(h.value(rule.variable) for h in histories), tuple(h.steps(rule.variable) for h in histories),
            diagnosis.decisions(self.a, self.b, pair, neuron, histories),
            {v: tuple(h.value(v) for h in histories) for v in pair.a.variables},
        )


def _joined(known, piece):
    """The audit so far with that of another piece, where it has one."""
    noted = None if not hasattr(piece, "recording") else piece.recording.audit
    return merge((known, noted))


def _overflows(side, noted):
    return [
        Overflow(side, name, quantity, found.overflows, found.bits, found.safe_bits, found.overflow)
        for name, layer in (noted or {}).items() for quantity, found in layer.ranges.items()
        if found.counted and found.overflows
    ]
