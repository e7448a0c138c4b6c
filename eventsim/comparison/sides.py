"""Sides: one interface over a simulator run and a recorded trace.

A side returns *pieces*: a few samples over a few steps. A piece returns the values of one variable
of one layer as an array (n, t, neurons), and says how many integer steps make one unit of the
membrane.
"""

from functools import cached_property
from typing import Dict, List, Optional, Tuple

import numpy as np

from eventsim.comparison.pairing import Layer, VARIABLES
from eventsim.comparison.traces import Trace
from eventsim.engine.simulator import Simulator
from eventsim.errors import DataError, ModelError, naming, RunError, UnsupportedError
from eventsim.inputs.levels import is_still
from eventsim.model.chip import chip_names
from eventsim.program import LayerStage, WordStage
from eventsim.text import many


class SimulatorSide:
    """A simulator run as one side. label: its name in messages.

    layers: name -> Layer, in the order of execution. arithmetic: (precision, Chip or None); runs
    of equal arithmetic give equal bits where the models are equal.
    """

    is_trace = False

    def __init__(self, simulator: Simulator, label: str = ""):
        self.simulator, self.model = simulator, simulator.model
        self.program = simulator.program
        self.label = label
        self.layers = {
            name: Layer(name, self.model.nodes[name].kind, tuple(stage.logical_shape), variables)
            for name, stage in self.program.stages.items()
            if _is_compared(stage, self.model) and (variables := self._variables(stage))
        }

    def _variables(self, stage):
        names = {"spikes"} if stage.bits and not getattr(stage, "real", False) else set()
        if isinstance(stage, LayerStage):
            names |= {"currents", "potentials", "residuals"} if stage.bits else {"currents", "potentials"}
        if stage.name == self.program.output:
            names.add("outputs")
        return tuple(v for v in VARIABLES if v in names)

    @property
    def arithmetic(self):
        """(precision, Chip or None)."""
        return self.program.precision, self.program.chip

    def computes_as(self, other: "SimulatorSide") -> bool:
        """Whether both compute in the same arithmetic."""
        return self.arithmetic == other.arithmetic

    @property
    def class_names(self):
        """Names of the classes, () where the model has none."""
        return self.model.class_names

    def describe(self) -> str:
        """Return the name of the arithmetic."""
        chip = self.program.chip
        return arithmetic_text(self.program.precision, None if chip is None else chip.name)

    @property
    def has_widths(self) -> bool:
        """Whether a chip limits the widths of the numbers."""
        return self.program.chip is not None

    def begin(self, x, steps):
        """Start samples x, (n, ...) or (n, T, ...), that will run for `steps` in all."""
        self._x, self._still = np.asarray(x), is_still(x, self.model.shapes[self.model.input])
        self._steps, self._at, self._state = steps, 0, None

    def advance(self, n_steps, wishes) -> "Piece":
        """The next steps. wishes: (layer, variable) pairs that will be asked for; ("", "audit") too."""
        x = self._x if self._still else self._x[:, self._at : self._at + n_steps]
        record = tuple(v if v in ("outputs", "audit") else f"{v}:{name}" for name, v in wishes)
        with naming(self.label):
            recording = self.simulator.run(x, n_steps, record, self._state)
        self._at += n_steps
        self._state = recording.state if self._at < self._steps else None
        return Piece(recording)

    def predictions(self, samples, piece, steps) -> np.ndarray:
        """int64 (n,) after the last step, which ends `piece`."""
        return piece.recording.predictions


def sent_by_stages(run: SimulatorSide, x, steps, chunk) -> Dict[str, float]:
    """Stage -> root mean square, over its neurons, of the mean level in a step of the one sample x.

    Stages that cannot be recorded count as sending their highest level at every step.
    """
    stages = {name: stage for name, stage in run.program.stages.items() if stage.bits}
    totals = {name: 0 for name in stages if "spikes" in getattr(run.layers.get(name), "variables", ())}
    run.begin(x, steps)
    for start in range(0, steps, chunk):
        piece = run.advance(min(chunk, steps - start), [(name, "spikes") for name in totals])
        for name in totals:
            totals[name] = totals[name] + np.abs(piece.values(name, "spikes")[0].astype(np.int64)).sum(axis=0)
    highest = {name: float((1 << stage.bits) - 1) for name, stage in stages.items()}
    return {**highest, **{name: float(np.sqrt(np.mean((total / steps) ** 2.0))) for name, total in totals.items()}}


def _is_compared(stage, model):
    """Layers, inputs, pools and delays under a name of the model; what only reshapes repeats them."""
    flattens = isinstance(stage, WordStage) and stage.operation == "flatten"
    return stage.name in model.nodes and not flattens


def arithmetic_text(precision, chip):
    """Return the name of an arithmetic for people. chip: the name of a chip, or None."""
    return precision if chip is None else f"chip {chip}"


class Piece:
    """Some steps of a run."""

    lacks_values = False  # NaN is a value

    def __init__(self, recording):
        self.recording = recording

    def values(self, layer, variable) -> np.ndarray:
        """(n, t, neurons) of the run's type; levels of spikes."""
        if variable == "outputs":
            values = self.recording.outputs
        elif variable == "spikes":
            values = self.recording.levels(layer)
        else:
            values = getattr(self.recording, variable)(layer)
        return values.reshape(*values.shape[:2], -1)

    def planes(self, layer):
        """The recorded `Spikes` of a layer."""
        return self.recording.spikes[layer]

    def steps_per_unit(self, layer, variable) -> Optional[np.ndarray]:
        """float64 (C,), or None where values are in units already."""
        if variable in ("spikes", "outputs") or self.recording.precision.startswith("float"):
            return None
        return self.recording.steps_per_unit[layer]


class TraceSide:
    """A recorded trace as one side, with the layers of the run that it is compared with."""

    is_trace = True
    has_widths = False

    def __init__(self, trace: Trace, run: SimulatorSide):
        self.trace, self.label = trace, trace.name
        self.layers: Dict[str, Layer] = {}
        self._series, self._run = {}, run
        for name, layer in run.layers.items():
            for variable in layer.variables:
                series = trace.series(name, variable, layer.shape)
                if series is not None:
                    self._series[name, variable] = series
            variables = tuple(v for v in layer.variables if (name, v) in self._series)
            if variables:
                self.layers[name] = Layer(name, layer.kind, layer.shape, variables)
        self._predictions = trace.predictions()
        self._notes = [f"{name!r} holds nothing but NaN, which is what was not recorded: it is not compared"
                       for name in trace.without_values]
        self._compared: Dict[Tuple[str, str], List[int]] = {}

    def expect(self, n_samples, n_steps):
        """Note where the trace has more samples than the data, of so many samples and steps, or perhaps others.
        Raises DataError where it seems to be of another form than (N, T, ...)."""
        trace = self.trace
        trace.check_form(n_samples, n_steps)
        if trace.n_samples == n_steps != trace.n_steps and n_steps > 1 and not trace.is_run:
            self._notes.append(f"the trace has {many(trace.n_samples, 'sample')} of "
                               f"{many(trace.n_steps, 'step')}, and the run has {many(n_steps, 'step')}: if its "
                               "first axes are exchanged, give array.swapaxes(0, 1)")
        if trace.n_samples > n_samples:
            self._notes.append(f"the trace has {many(trace.n_samples, 'sample')}, the data {n_samples}: the fewer "
                               "are compared")

    def note_values(self, layer, variable, values):
        """Count the values of a variable that are compared, and those that are not since they are NaN."""
        compared = self._compared.setdefault((layer, variable), [0, 0])
        compared[0] += values.size - (int(np.isnan(values).sum()) if values.dtype.kind == "f" else 0)
        compared[1] += values.size

    def notes(self, decides) -> List[str]:
        """Return what a reader of the comparison has to know of the trace. decides: variables.

        Raises DataError where none of the values that were to decide is recorded.
        """
        decisive = [known for (_, variable), (known, _) in self._compared.items() if variable in decides]
        if decisive and not any(decisive):
            raise DataError(f"{self.label}: all of the {' and '.join(decides)} that were to be compared are NaN, "
                            "which is what was not recorded: nothing is left to decide by")
        gaps = [f"{known} of {total} {variable} of {layer!r}"
                for (layer, variable), (known, total) in self._compared.items() if known < total]
        more = f" and {len(gaps) - 5} more" if len(gaps) > 5 else ""
        missing = f"NaN is what was not recorded: compared are {', '.join(gaps[:5])}{more}"
        return self._notes + [missing] * bool(gaps)

    def counts(self, layer, variable) -> bool:
        """Whether a variable is recorded in integer state steps."""
        counted = self._run.program.dtype.kind == "i" or layer in self.trace.steps_per_unit
        return variable not in ("spikes", "outputs") and counted and self._series[layer, variable].whole

    def unused(self):
        """Names of arrays that belong to no layer, without those that only repeat other arrays."""
        nodes = self._run.model.nodes
        repeats = {name for name, node in nodes.items() if node.reshapes or node.role == "readout"}
        return [name for name in self.trace.unused() if name.rpartition("/")[0] not in repeats]

    @property
    def class_names(self):
        """Names of the classes, () where the trace says none."""
        return self.trace.class_names

    def describe(self) -> str:
        """Return "trace", or, of a run's file, "run" and the name of its arithmetic."""
        trace = self.trace
        return f"run, {arithmetic_text(trace.precision, trace.chip)}" if trace.is_run else "trace"

    def computes_as(self, other: SimulatorSide) -> bool:
        """Whether the trace is of the same arithmetic, as far as is known: only a run's file says its own, and of
        a chip the name."""
        precision, chip = other.arithmetic
        ours = self.trace.precision, self.trace.chip
        return ours[0] is None or ours == (precision, None if chip is None else chip.name)

    @cached_property
    def estimator(self) -> Optional[SimulatorSide]:
        """A's model in the arithmetic of the trace, where that is another than A's: its thresholds and its
        rounding. None where it is the same or not known, here or at all, and where the model does not run in
        it."""
        precision, chip = self.trace.precision, self.trace.chip
        if self.computes_as(self._run):
            return None
        if chip is not None:
            own = self._run.model.chip
            chip = own if own is not None and own.name == chip else chip if chip in chip_names() else None
        if precision == "fixed" and chip is None:
            return None
        try:
            limit = self._run.simulator.memory_limit
            return SimulatorSide(Simulator(self._run.model, precision, chip=chip, memory_limit=limit), self.label)
        except (ModelError, RunError, UnsupportedError):
            return None

    def begin(self, samples, steps):
        """Start samples, a slice of those in the trace."""
        self._samples, self._at = samples, 0

    def advance(self, n_steps, wishes) -> "TracePiece":
        """The next steps."""
        steps = slice(self._at, self._at + n_steps)
        self._at += n_steps
        return TracePiece(self, self._samples, steps)

    def ends(self, samples) -> np.ndarray:
        """int64 (n,): how many steps the trace has of each of the samples, a slice."""
        lengths = self.trace.lengths
        return np.full(self.trace.n_samples, self.trace.n_steps)[samples] if lengths is None else lengths[samples]

    @property
    def has_predictions(self) -> bool:
        """Whether the trace has predictions, of whatever step."""
        return self._predictions is not None

    def predictions(self, samples, piece, steps) -> Optional[np.ndarray]:
        """int64 (n,) after so many steps: by the trace's outputs of that step, or by its predictions where that is
        the samples' last step; None where it has neither."""
        if self._predictions is not None and (self.ends(samples) == steps).all():
            return self._predictions[samples]
        output = self._series.get((self._run.program.output, "outputs"))
        if output is None:
            return None
        values = output.read(samples, slice(steps - 1, steps))[:, -1]
        return None if np.isnan(values).all(axis=1).any() else values.argmax(axis=1)


class TracePiece:
    """Some steps of a trace."""

    lacks_values = True  # NaN: not recorded

    def __init__(self, side, samples, steps):
        self._side, self._samples, self._steps = side, samples, steps

    def values(self, layer, variable) -> np.ndarray:
        """(n, t, neurons) as the trace holds them."""
        return self._side._series[layer, variable].read(self._samples, self._steps)

    def note_values(self, layer, variable, values):
        """Count values of it that are compared, as the side does."""
        self._side.note_values(layer, variable, values)

    def steps_per_unit(self, layer, variable) -> Optional[np.ndarray]:
        """float64 (C,) where the trace holds a fixed-point run's integers, else None."""
        if not self._side.counts(layer, variable):
            return None
        known = self._side.trace.steps_per_unit
        return known[layer] if layer in known else self._side._run.program.stages[layer].steps_per_unit
