"""Divergence: where two runs first differ, how the difference spreads, and what most likely causes it.

    comparison = eventsim.compare(model, Simulator(model, "int8"), x, labels)
    comparison.first.layer, comparison.first.step, comparison.reading

The order is causal: the lowest sample that differs anywhere; in it the earliest step; within a step
the layers in order of execution; within a layer currents, potentials, spikes, residuals (membranes
after the reset), outputs; of its neurons the lowest index.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Dict, List

import numpy as np

from eventsim.arguments import finite_number, instance_of, integer, several, shown
from eventsim.comparison import diagnosis
from eventsim.comparison.pairing import model_differences, pair_layers, synapses_into, VARIABLES
from eventsim.comparison.result import Comparison, Divergence, LayerDifference, Overflow
from eventsim.comparison.sides import SimulatorSide, sent_by_stages, TraceSide
from eventsim.comparison.traces import Trace, trace_of
from eventsim.comparison.verdict import verdict
from eventsim.comparison.watching import ComparisonRule, Watch
from eventsim.engine.lengths import checked_lengths
from eventsim.engine.recording import Recording
from eventsim.engine.simulator import Simulator
from eventsim.errors import DataError
from eventsim.inputs.levels import array_of, check_layout, is_still, steps_of_run
from eventsim.merging import merge
from eventsim.model.network import Model
from eventsim.model.parameters import MOST_STEPS
from eventsim.runs.file import Run
from eventsim.statistics.decisions import class_numbers, warn_of_unknown
from eventsim.tensors import as_array, is_loader, joined_batches, refuse_beside_loader
from eventsim.text import did_you_mean, listed, many, up_to_steps

CELLS = 1 << 20  # neurons times steps times samples compared at a time
LARGEST_BATCH = 64  # samples
MOST_SAMPLES = 10  # whose numbers are kept
TRACE_TOLERANCE = 1e-4  # of a layer's threshold, and of the value: others compute in other orders


def compare(a, b, x, labels=None, timesteps=None, variables=None, tolerance=None, lengths=None) -> Comparison:
    """Run two sides on the same samples and find where they first differ.

    a: a Model (in the arithmetic that `Simulator` chooses) or a Simulator. b: the same, or what was computed of
        these samples: a Recording, a Run or the path of its file, a `Trace`, a dict of arrays as a trace holds
        them, or the path of a trace.
    x: samples, as `Simulator.run` takes them. labels: whole numbers (N,), or None: those of a loader of (x, y).
    timesteps: steps of samples that stand still; default A's, also where B's model says others, which is noted.
    variables: those in which a difference counts as a divergence, of "currents", "potentials", "spikes",
        "residuals", "outputs"; default: all between runs of the same arithmetic, spikes between others, all that
        it holds for a trace. The rest is reported as drift.
    tolerance: largest difference, in units of the membrane, that counts as equal; default 0, and for a trace
        1e-4 of the layer's threshold and of the value. Spikes are always compared exactly.
    lengths: steps of each sample (N,), as `Simulator.run` takes them: what comes after a sample's end is not
        compared, and its prediction is that of its last step. The `lengths` of a trace do the same.

    Warns of labels that are no class. Raises DataError where nothing can be compared, and what runs raise.
    """
    run = _run(a, "A")
    with ExitStack() as stack:
        is_trace = isinstance(b, (Trace, dict, str, Path, Run, Recording))
        other = TraceSide(stack.enter_context(trace_of(b)), run) if is_trace else _run(b, "B")
        return _compared(run, other, x, labels, timesteps, variables, tolerance, lengths)


def _compared(run, other, x, labels, timesteps, variables, tolerance, lengths):
    """Compare two sides, as `compare`."""
    if timesteps is not None:
        timesteps = integer(timesteps, "timesteps", 1, MOST_STEPS)
    refuse_beside_loader(x, labels=labels, lengths=lengths)
    x, labels = joined_batches(x) if is_loader(x) else (x, labels)
    x = np.atleast_1d(array_of(x))
    if timesteps is None and labels is None:
        check_layout(x.shape, run.model.nodes[run.model.input], run.model.timesteps)
    steps, still = steps_of_run(x, run.model, timesteps), is_still(x, run.model.shapes[run.model.input])
    if labels is not None:
        labels = _checked_labels(labels, x)
        warn_of_unknown(labels, np.prod(run.model.shapes[run.model.output]))
    lengths = None if lengths is None else _checked_lengths(lengths, x, still)
    if other.is_trace:
        other.expect(len(x), steps)
    comparing = Comparing(run, other, steps, variables, tolerance, steps_of_a=still and timesteps is None)
    for start in range(0, max(len(x), 1), comparing.batch):
        part = slice(start, start + comparing.batch)
        if comparing.exhausted:
            break
        own = (None if values is None else values[part] for values in (labels, lengths))
        comparing.add(x[part], x[part], *own)
    return comparing.result()


def _run(side, label):
    expected = "a Model or a Simulator" if label == "A" else \
        "a Model, a Simulator, or a Recording, a Run, a trace or the path of one"
    instance_of(side, (Model, Simulator), label, expected)
    return SimulatorSide(side if isinstance(side, Simulator) else Simulator(side), label)


def _checked_labels(labels, x):
    labels = as_array(labels)
    if np.ndim(labels) == 1 and len(labels) != len(x):
        raise DataError(f"labels has {many(len(labels), 'number')}, but x has {many(len(x), 'sample')}")
    return class_numbers(labels, len(x))


def _checked_lengths(lengths, x, still):
    if still:
        raise DataError(f"x has shape {x.shape}, samples that stand still, which have no lengths: give x with "
                        "steps, (N, T, ...), or no lengths")
    return checked_lengths(lengths, x)


class Comparing:
    """A comparison that takes its samples batch by batch.

    a: SimulatorSide. b: SimulatorSide or TraceSide. steps: the most of a sample. variables, tolerance: as
    `compare`. steps_of_a: whether the steps are those that A's model says, not those of the samples or of the
    user. same_arithmetic: whether both sides compute alike, as far as is known. overridden: what B says otherwise
    than A and is not used, in sentences. batch, chunk: samples and steps that fit the memory it allows itself.
    pairs, rules: what is compared. differences: of the models. at: (watch, sample in its batch, sample, its x for
    A and for B) of the first divergence.
    """

    def __init__(self, a: SimulatorSide, b, steps: int, variables=None, tolerance=None, steps_of_a=False):
        self.a, self.b, self.same_arithmetic = a, b, b.computes_as(a)
        self.overridden: List[str] = list(_overridden(a, b, steps_of_a))
        self.notes: List[str] = list(self.overridden)
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
        self._comparison = Comparison(a.label, b.label, (a.describe(), b.describe()), self.decides)
        self._drift, self._differing = np.zeros(len(self.rules)), set()
        self._audits = [None, None]
        self.at, self._activity, self.differences = None, {}, []
        self._right, self._equal, self._labelled = np.zeros(2, int), 0, 0

    # ---- what is compared

    def _steps(self, steps):
        steps = integer(steps, "timesteps", 1, MOST_STEPS)
        if not (self.b.is_trace and self.b.trace.n_samples):
            return steps
        recorded = self.b.trace.n_steps
        if recorded != steps:
            own = up_to_steps(recorded, self.b.trace.lengths is not None)
            self._note(f"the trace has {own}, the run {steps}: the fewer are compared")
        return min(steps, recorded)

    def _note(self, text):
        if text not in self.notes:
            self.notes.append(text)

    def _deciding(self, variables):
        if variables is None:
            return VARIABLES if self.same_arithmetic else ("spikes",)
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
        if self.b.is_trace and self.b.layers:
            recorded = {variable for layer in self.b.layers.values() for variable in layer.variables}
            recorded = [variable for variable in VARIABLES if variable in recorded]
            again = f"run it again, with {_recording(self.decides)}"
            remedy = again if self.b.trace.is_run else "record them, too"
            return (f"{self.b.label}: holds {' and '.join(recorded)} of A's layers, but no "
                    f"{' and no '.join(self.decides)} to decide by: {remedy}, or let others decide (--variables "
                    f"{','.join(recorded)})")
        if self.b.is_trace and self.b.trace.without_values:
            return (f"{self.b.label}: has nothing but NaN, which is what was not recorded, in "
                    f"{', '.join(self.b.trace.without_values[:5])}: nothing is left to decide by")
        if self.b.is_trace and self.b.trace.is_run:
            others = ", ".join(dict.fromkeys(node for node in map(_node_of, self.b.trace.unused()) if node))
            wanted = ("spikes",) if "spikes" in self.decides else self.decides
            holds = f"holds values of {others}, not" if others else "is of a run that recorded no values"
            return (f"{self.b.label}: {holds} of A's layers ({names}, ...), to decide by: run A's model again, "
                    f"with {_recording(wanted)}")
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
        return self.b.is_trace and self._comparison.samples >= self.b.trace.n_samples

    def add(self, xa, xb, labels=None, lengths=None):
        """Compare a batch: xa as A takes it, xb as B does (of a trace: anything). labels, lengths: (n,) or
        None."""
        n = len(xa)
        if self.b.is_trace and n > self.b.trace.n_samples - self._comparison.samples:
            n = self.b.trace.n_samples - self._comparison.samples
            self._note(f"the trace has {many(self.b.trace.n_samples, 'sample')}: no more are compared")
        steps = self._steps_of(n, lengths)
        ends = [*np.flatnonzero(np.diff(steps)) + 1, n]
        for start, stop in zip([0, *ends], ends):  # samples of as many steps, one behind the other
            part = slice(start, stop)
            own = int(steps[start]) if n else self.steps
            self._add(xa[part], xb[part], None if labels is None else labels[part], own)

    def _steps_of(self, n, lengths):
        """int64 (n,): how many steps of each of the next n samples are compared."""
        steps = np.full(n, self.steps) if lengths is None else np.minimum(lengths[:n], self.steps)
        first = self._comparison.samples
        there = self.b.ends(slice(first, first + n)) if self.b.is_trace else steps
        if lengths is not None:
            for i in np.flatnonzero(lengths[:n] != there)[:1] if self.b.is_trace else ():
                self._note("samples have other numbers of steps in the trace than in the run, the first sample "
                           f"{first + i} ({there[i]}, {lengths[i]}): the fewer are compared")
        return np.minimum(steps, there)

    def _add(self, xa, xb, labels, steps):
        """As `add`, of samples of so many steps."""
        first, n = self._comparison.samples, len(xa)
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
        self._differing |= watch.differing
        if self.at is None and watch.diverged.any():
            i = int(watch.diverged.argmax())
            inputs = xa[i : i + 1], slice(first + i, first + i + 1) if self.b.is_trace else xb[i : i + 1]
            self.at = watch, i, first + i, inputs
            self._comparison.predictions = tuple(None if p is None else int(p[i]) for p in predictions)
            self._comparison.label = None if labels is None else int(labels[i])

    def _predictions(self, samples, pieces, steps):
        """Of A and of B, int64 (n,) after so many steps; None where a trace has none of that step."""
        predictions = [side.predictions(samples, piece, steps) for side, piece in zip((self.a, self.b), pieces)]
        if predictions[1] is None:
            self._equal, self._comparison.changed_predictions = None, []
            if self.b.has_predictions:
                self._note("the trace's predictions are not of the last step that is compared, and it has no "
                           "outputs of that step: they are left out; record the outputs, too (--record outputs)")
        return predictions

    def _count(self, n, steps, watch, predictions, labels):
        """What is said of the next n samples in numbers."""
        comparison = self._comparison
        if self._equal is not None:
            changed = np.flatnonzero(predictions[0] != predictions[1])
            self._equal += n - len(changed)
            room = MOST_SAMPLES - len(comparison.changed_predictions)
            comparison.changed_predictions += (comparison.samples + changed[:room]).tolist()
        if labels is not None:
            self._labelled += n
            self._right += [0 if p is None else int((p == labels).sum()) for p in predictions]
        comparison.fewest_steps = min(comparison.fewest_steps or steps, steps)
        comparison.steps = max(comparison.steps, steps)
        comparison.samples += n
        comparison.divergent += int(watch.diverged.sum())

    @property
    def knows_rounding(self) -> bool:
        """Whether what rounding gives can be estimated: not for a trace in an arithmetic that is not known
        here."""
        return not self.b.is_trace or self.same_arithmetic or self.b.estimator is not None

    def activity(self, side) -> Dict[str, float]:
        """Per stage of a run what its neurons send in a step of the sample of the first divergence,
        as the root mean square over neurons of their mean levels."""
        if side not in self._activity:
            inputs = self.at[3][1 if side is self.b else 0]  # what stands for a trace runs on what A does
            self._activity[side] = sent_by_stages(side, inputs, self.at[0].steps, self.chunk)
        return self._activity[side]

    # ---- the result

    def result(self) -> Comparison:
        """The Comparison of all samples so far, at least one."""
        comparison = self._comparison
        comparison.unmatched = tuple([layer.name for layer in rest] for rest in self.unmatched)
        if self.b.is_trace:
            comparison.unmatched = (comparison.unmatched[0], self.b.unused())
        comparison.layers = self._layers()
        comparison.differing = tuple(v for v in self.decides if v in self._differing)
        comparison.overflows = [overflow for side, noted in zip("AB", self._audits)
                                for overflow in _overflows(side, noted)]
        comparison.equal_predictions = self._equal
        if self._labelled:
            right = (self._right / self._labelled).tolist()
            comparison.accuracy = right[0], None if self._equal is None else right[1]
        if self.at is not None:
            self._examine()
        comparison.differences = self._differences()
        of_trace = self.b.notes(self.decides) if self.b.is_trace else []
        comparison.notes = [*self.notes, *of_trace, *self._pairing_notes()]
        comparison.reading = verdict(comparison, self)
        return comparison

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
        first = self._comparison.first
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
        self._comparison.first = Divergence(
            sample=sample, step=step, layer=pair.a.name, layer_b=pair.b.name, kind=pair.a.kind, neuron=neuron,
            position=position, variable=rule.variable, values=tuple(h.value(rule.variable) for h in histories),
            steps=tuple(h.steps(rule.variable) for h in histories),
            decisions=diagnosis.decisions(self.a, self.b, pair, neuron, histories),
            values_there={v: tuple(h.value(v) for h in histories) for v in pair.a.variables},
        )


def _overridden(a, b, steps_of_a):
    """Say which settings of B a comparison does not use."""
    if steps_of_a and not b.is_trace and b.model.timesteps not in (None, a.model.timesteps):
        source = "B's model" if b.model.file is None else "B's file"
        yield (f"{source} says {many(b.model.timesteps, 'step')}; both ran A's {a.model.timesteps} "
               "(timesteps=N, --timesteps N)")
    if a.class_names and b.class_names and a.class_names != b.class_names:
        yield (f"A and B name other classes ({listed(a.class_names, 3)}; {listed(b.class_names, 3)}): predictions "
               "are compared by number, and labels are those of A's classes")


def _recording(variables):
    """Say how a run records variables."""
    options = " ".join(f"--record {variable}" for variable in variables)
    return f"{options} (in Python record={variables[0] if len(variables) == 1 else variables!r})"


def _node_of(array):
    """Return the node of which a run holds an array; "" where it is of none."""
    return array.rpartition("/")[0]


def _joined(known, piece):
    """The audit so far with that of another piece, where it has one."""
    noted = None if not hasattr(piece, "recording") else piece.recording.audit
    return merge((known, noted))


def _overflows(side, noted):
    return [
        Overflow(side, name, quantity, times=range_.overflows, bits=range_.bits, needed=range_.safe_bits,
                 then=range_.overflow)
        for name, layer in (noted or {}).items() for quantity, range_ in layer.ranges.items()
        if range_.counted and range_.overflows
    ]
