"""Divergence: where two runs first differ, how the difference spreads, and what most likely causes it.

    comparison = eventsim.compare(model, Simulator(model, "int8"), x, labels)
    comparison.first.layer, comparison.first.step, comparison.reading

The order is causal: the lowest sample that differs anywhere; in it the earliest step; within a step
the layers in order of execution; within a layer currents, potentials, spikes, residuals (membranes
after the reset), outputs; of its neurons the lowest index.
"""

from typing import Dict, List

import numpy as np

from eventsim.arguments import several, shown
from eventsim.comparison import diagnosis
from eventsim.comparison.pairing import model_differences, pair_layers, synapses_into, VARIABLES
from eventsim.comparison.result import Comparison, Divergence, LayerDifference, Overflow
from eventsim.comparison.sides import SimulatorSide, sent_by_stages, TraceSide
from eventsim.comparison.traces import Trace
from eventsim.comparison.verdict import verdict
from eventsim.comparison.watching import ComparisonRule, Watch
from eventsim.engine.lengths import checked_lengths
from eventsim.engine.simulator import Simulator
from eventsim.errors import DataError
from eventsim.inputs.levels import check_layout
from eventsim.merging import merge
from eventsim.model.network import Model
from eventsim.model.parameters import finite_number, integer
from eventsim.statistics.decisions import one_label_each
from eventsim.tensors import as_array
from eventsim.text import did_you_mean

CELLS = 1 << 20  # neurons times steps times samples compared at a time
LARGEST_BATCH = 64  # samples
MOST_SAMPLES = 10  # whose numbers are kept
TRACE_TOLERANCE = 1e-4  # of a layer's threshold, and of the value: others compute in other orders


def compare(a, b, x, labels=None, timesteps=None, variables=None, tolerance=None, lengths=None) -> Comparison:
    """Run two sides on the same samples and find where they first differ.

    a: a Model (in the arithmetic that `Simulator` chooses) or a Simulator. b: the same, a
        `traces.Trace`, or a dict of arrays as a trace holds them.
    x: samples, as `Simulator.run` takes them. labels: whole numbers (N,), or None.
    timesteps: steps of samples that stand still; default A's.
    variables: those in which a difference counts as a divergence, of "currents", "potentials", "spikes",
        "residuals", "outputs"; default: all between runs of the same arithmetic, spikes between others, all that
        it holds for a trace. The rest is reported as drift.
    tolerance: largest difference, in units of the membrane, that counts as equal; default 0, and for a trace
        1e-4 of the layer's threshold and of the value. Spikes are always compared exactly.
    lengths: steps of each sample (N,), as `Simulator.run` takes them: what comes after a sample's end is not
        compared, and its prediction is that of its last step. The `lengths` of a trace do the same.

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
    if lengths is not None:
        if still:
            raise DataError(f"x has shape {x.shape}, samples that stand still, which have no lengths: give x with "
                            "steps, (N, T, ...), or no lengths")
        lengths = checked_lengths(lengths, x)
    comparing = Comparing(run, other, steps, variables, tolerance)
    for start in range(0, max(len(x), 1), comparing.batch):
        part = slice(start, start + comparing.batch)
        if comparing.exhausted:
            break
        comparing.add(x[part], x[part], *(None if given is None else given[part] for given in (labels, lengths)))
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

    a: SimulatorSide. b: SimulatorSide or TraceSide. steps: the most of a sample. variables, tolerance: as `compare`.
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
        self._found = Comparison(a.label, b.label, (a.describe(), b.describe()), self.decides)
        self._drift = np.zeros(len(self.rules))
        self._audits = [None, None]
        self.at, self._activity, self.differences = None, {}, []
        self._right, self._equal, self._labelled = np.zeros(2, int), 0, 0

    # ---- what is compared

    def _steps(self, steps):
        steps = integer(steps, "timesteps", 1, 1 << 24)
        if not (self.b.is_trace and self.b.trace.n_samples):
            return steps
        there = self.b.trace.n_steps
        if there != steps:
            most = "" if self.b.trace.lengths is None else "up to "
            self._note(f"the trace has {most}{there} steps, the run {steps}: the fewer are compared")
        return min(steps, there)

    def _note(self, text):
        if text not in self.notes:
            self.notes.append(text)

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

    def add(self, xa, xb, labels=None, lengths=None):
        """Compare a batch: xa as A takes it, xb as B does (of a trace: anything). labels, lengths: (n,) or None."""
        n = len(xa)
        if self.b.is_trace and n > self.b.trace.n_samples - self._found.samples:
            n = self.b.trace.n_samples - self._found.samples
            self._note(f"the trace has {self.b.trace.n_samples} samples: only these are compared")
        steps = self._steps_of(n, lengths)
        ends = [*np.flatnonzero(np.diff(steps)) + 1, n]
        for start, stop in zip([0, *ends], ends):  # samples of as many steps, one behind the other
            part = slice(start, stop)
            own = int(steps[start]) if n else self.steps
            self._add(xa[part], xb[part], None if labels is None else labels[part], own)

    def _steps_of(self, n, lengths):
        """int64 (n,): how many steps of each of the next n samples are compared."""
        steps = np.full(n, self.steps) if lengths is None else np.minimum(lengths[:n], self.steps)
        there = self.b.ends(slice(self._found.samples, self._found.samples + n)) if self.b.is_trace else steps
        if lengths is not None:
            for i in np.flatnonzero(lengths[:n] != there)[:1] if self.b.is_trace else ():
                self._note("samples have other numbers of steps in the trace than in the run, the first sample "
                           f"{self._found.samples + i} ({there[i]}, {lengths[i]}): the fewer are compared")
        return np.minimum(steps, there)

    def _add(self, xa, xb, labels, steps):
        """As `add`, of samples of so many steps."""
        first, n = self._found.samples, len(xa)
        if self.b.is_trace:
            xb = slice(first, first + n)
        watch = Watch(self.rules, n, steps, spread=self.at is None)
        wishes = [[((rule.pair.a, rule.pair.b)[i].name, rule.variable) for rule in self.rules]
                  + ([("", "audit")] if side.has_widths else [])
                  for i, side in enumerate((self.a, self.b))]
        self.a.begin(xa, steps)
        self.b.begin(xb, steps)
        for start in range(0, steps, self.chunk):
            n_steps = min(self.chunk, steps - start)
            pieces = self.a.advance(n_steps, wishes[0]), self.b.advance(n_steps, wishes[1])
            watch.see(*pieces, start, n_steps)
            self._audits = [_joined(known, piece) for known, piece in zip(self._audits, pieces)]
        predictions = self._predictions(slice(first, first + n), pieces, steps)
        self._count(n, steps, watch, predictions, labels)
        self._drift = np.maximum(self._drift, watch.drift.max(axis=0))
        if self.at is None and watch.diverged.any():
            i = int(watch.diverged.argmax())
            inputs = xa[i : i + 1], slice(first + i, first + i + 1) if self.b.is_trace else xb[i : i + 1]
            self.at = watch, i, first + i, inputs
            self._found.predictions = tuple(None if p is None else int(p[i]) for p in predictions)
            self._found.label = None if labels is None else int(labels[i])

    def _predictions(self, samples, pieces, steps):
        """Of A and of B, int64 (n,) after so many steps; None where a trace has none of that step."""
        found = [side.predictions(samples, piece, steps) for side, piece in zip((self.a, self.b), pieces)]
        if found[1] is None:
            self._equal, self._found.changed_predictions = None, []
            if self.b.has_predictions:
                self._note("the trace's predictions are not of the last step that is compared, and it has no outputs "
                           "of that step: they are left out; record the outputs, too (--record outputs)")
        return found

    def _count(self, n, steps, watch, predictions, labels):
        """What is said of the next n samples in numbers."""
        found = self._found
        if self._equal is not None:
            changed = np.flatnonzero(predictions[0] != predictions[1])
            self._equal += n - len(changed)
            room = MOST_SAMPLES - len(found.changed_predictions)
            found.changed_predictions += (found.samples + changed[:room]).tolist()
        if labels is not None:
            self._labelled += n
            self._right += [0 if p is None else int((p == labels).sum()) for p in predictions]
        found.fewest_steps = min(found.fewest_steps or steps, steps)
        found.steps = max(found.steps, steps)
        found.samples += n
        found.divergent += int(watch.diverged.sum())

    def activity(self, side) -> Dict[str, float]:
        """Per stage of a run what its neurons send in a step of the sample of the first divergence,
        as the root mean square over neurons of their mean levels."""
        if side not in self._activity:
            inputs = self.at[3][0 if side is self.a else 1]
            self._activity[side] = sent_by_stages(side, inputs, self.at[0].steps, self.chunk)
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
