"""Runs: the files that `eventsim run --out` and `save_run` write, read back.

Small things (counts, answers, statistics) are read at once and checked; recorded spikes and traces
stay in the file until a part of them is asked for.
"""

import json
import math
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property, partial
from typing import Dict, Optional, Tuple

import numpy as np

from eventsim.arguments import instance_of, known_names, path_of, shown
from eventsim.display.card import Card, cut, Shown
from eventsim.engine.recorded_node import NodeSource, RecordedNode
from eventsim.engine.recording import Recording, TRACES
from eventsim.errors import DataError, RunError
from eventsim.merging import merge
from eventsim.model.kinds import node_type
from eventsim.runs import stored_statistics
from eventsim.runs.summary import RunSummary, summarise
from eventsim.runs.sums import class_labels, sums_of
from eventsim.spikes import Spikes
from eventsim.statistics.counts import ALL_NAMES, Counts
from eventsim.statistics.decisions import class_numbers, Decisions, warn_of_unknown
from eventsim.statistics.result import Statistics
from eventsim.storage.hdf5 import check_hdf5, open_hdf5
from eventsim.storage.json_fields import parse_json
from eventsim.storage.hdf5_writing import GrowingHdf5
from eventsim.storage.nearby import what_is_held
from eventsim.storage.reading import HoldsFile
from eventsim.storage.writing import check_suffix
from eventsim.tensors import as_array
from eventsim.text import listed, many, printable

OF_RUNS = "a file of eventsim run --out, or of save_run"
RUN_IT = "; run it first, with --out"  # what to do with a model
RECORDING, VERSION = "eventsim-recording", 1  # what "format" and "version" of a file say

BATCH_BYTES = 1 << 26  # of planes read together


def open_run(path) -> "Run":
    """Open the run file at `path`. Raises DataError, naming the file, where it is not one, or damaged."""
    return Run(path)


def save_run(recording: Recording, path, labels=None) -> None:
    """Write a recording to `path` (HDF5): what `eventsim run --out` writes of such a run, for `open_run`
    and for `eventsim stats`, `plot` and `report`.

    labels: whole numbers (N,), of a type of integers or of floats, or None. Statistics are those that the run
    gathered, and, of nodes whose spikes, membranes or outputs were recorded instead, of these. Warns of labels
    that are no class. Raises DataError where writing fails, or labels do not fit.
    """
    instance_of(recording, Recording, "recording", "a Recording")
    path_of(path)
    if labels is not None:
        labels = class_numbers(labels, len(recording.predictions))
        warn_of_unknown(labels, recording.output.shape[1])
    summary = {} if recording.context is None else summarise(sums_of(recording, labels)).to_json()
    statistics = _statistics(recording, class_labels(labels))
    with Writer(path) as writer:
        writer.add(recording, labels)
        writer.finish(summary, statistics)


def _statistics(recording, labels):
    """Return what a run gathered, with the membranes and answers that it recorded instead. Trains of recorded
    spikes are left to `Run`."""
    gathered, model = recording.statistics or Statistics(), getattr(recording.context, "model", None)
    membranes, decisions = gathered.membranes, gathered.decisions
    if model is not None and not membranes and recording.traces:
        from eventsim.statistics.of_recordings import of  # compiles: reading a file does not

        membranes = of(recording, model).membranes
    if decisions is None and recording.answers is not None:
        decisions = Decisions.of(recording.answers, labels, () if model is None else model.class_names)
    statistics = Statistics(gathered.trains, membranes, decisions)
    return statistics if statistics != Statistics() else None


class Run(HoldsFile, Shown):
    """What a file keeps of a run; a context manager that closes the file. `run["name"]` is one node. What was not
    read before it is closed raises RunError.

    path: its name. precision. n_samples, n_steps. layers: names of those that were counted, in order.
    counts: `statistics.counts.Counts`, per sample. output: (N, classes). predictions: int64 (N,).
    labels: int64 (N,), or None. outputs: (N, T, classes), or None. lengths: int64 (N,), steps of each sample,
    where they differ; else None.
    recorded: "spikes", "currents", "potentials", "residuals" -> names of the nodes that have them.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import eventsim
    >>> from eventsim import Input, Model, Neuron
    >>> model = Model({"in": Input((2,)), "n": Neuron(v_threshold=1.0)}, [("in", "n")], timesteps=3)
    >>> recording = eventsim.Simulator(model).run(np.array([[1, 0], [0, 1]]), record="spikes:n")
    >>> with TemporaryDirectory() as folder:
    ...     eventsim.save_run(recording, f"{folder}/run.h5", labels=[0, 0])
    ...     with eventsim.open_run(f"{folder}/run.h5") as run:
    ...         print(run.predictions, run.recorded, run.spikes("n").levels().shape)
    [0 1] {'spikes': ('n',)} (2, 3, 2)
    """

    def __init__(self, path):
        self.path = str(path_of(path))
        self._stack = ExitStack()
        try:
            check_hdf5(path, DataError, OF_RUNS, "")
            self._opened = self._stack.enter_context(open_hdf5(path, DataError))
            self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self) -> None:
        """Close the file; what was read stays."""
        self._stack.close()
        self._opened = None

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._opened is None

    @property
    def _root(self):
        """The root of the file. Raises RunError where it is closed."""
        if self._opened is None:
            raise RunError(f"{self.path}: the run is closed: use it inside `with`, or open it again")
        return self._opened

    def _read(self):
        root = self._root
        if "format" not in root or root.text("format") != RECORDING:
            what = what_is_held(set(root.names()) - {"counts"})  # no run file, whatever it looks like
            what = f"{what}, " if what else ""
            raise root.error(f"is {what}not a file that `eventsim run --out` wrote{RUN_IT * ('model' in what)}")
        version = root.numbers("version")
        if version.shape != () or version != VERSION:
            raise root.error(f"is of version {version}, but this eventsim reads version {VERSION}; update it")
        self.precision = root.text("precision")
        self._summary_json = stored_json(root, "summary", dict)
        self.output = self._floats("output", 2)
        self.n_samples = len(self.output)
        self.predictions = self._per_sample("predictions")
        self.labels = self._per_sample("y") if "y" in root and root.dataset("y").dtype.kind in "iu" else None
        self.n_steps = self._whole_number(root, "timesteps")
        self.lengths = self._lengths() if "lengths" in root else None
        self.outputs: Optional[np.ndarray] = self._outputs() if "outputs" in root else None
        self.layers: Tuple[str, ...] = self._layers()
        self.counts = self._counts()
        self.recorded: Dict[str, Tuple[str, ...]] = {
            kind: tuple(root.group(kind).names()) for kind in ("spikes", *TRACES) if kind in root
        }

    @cached_property
    def summary(self) -> RunSummary:
        """What the run gave, as it was printed. Raises DataError where it is damaged."""
        summary = RunSummary.from_json(self._summary_json, self.path)
        if summary.timesteps is None or summary.presented_steps is not None:
            return summary
        return replace(summary, presented_steps=self.counts.presented)  # files of older versions do not say it

    def __getitem__(self, name) -> RecordedNode:
        """Return what was recorded of one node. Raises RunError, naming those that there are, for others."""
        if name not in self:
            raise RunError(f"{self.path}: nothing of {shown(name)} was recorded; there are: {listed(self)}")
        kinds = tuple(kind for kind in ("spikes", *TRACES) if name in self.recorded.get(kind, ()))
        known = self.summary.of_node(name)
        return RecordedNode(name, NodeSource(
            partial(self.spikes, name), lambda kind: self.trace(kind, name), partial(self._statistics_of, name),
            self.counts.layers.get(name, {}), kinds, self.n_samples, self.n_steps, self.counts.neurons.get(name),
            silent=known is not None and node_type(known.kind).role == "readout", origin=self))

    def __contains__(self, name):
        return isinstance(name, str) and name in list(self)

    def __iter__(self):
        """Iterate over the names of the nodes of which anything was recorded or counted."""
        return iter(dict.fromkeys((*self.layers, *(name for names in self.recorded.values() for name in names))))

    def card(self) -> Card:
        """Show the summary and what was recorded, also of a file that is closed."""
        card = self.summary.card()
        recorded = ", ".join(f"{kind} of {many(len(names), 'node')}" for kind, names in self.recorded.items())
        closed = "closed, " if self.closed else ""
        title = (f"Run({cut(self.path, 60)!r}, {closed}{many(self.n_samples, 'sample')}, "
                 f"{self.counts.steps_text})")
        return replace(card, title=title, facts=[*card.facts, *([("recorded", recorded)] if recorded else [])],
                       note='per sample; run["name"] is one node, run.statistics what was gathered')

    # ---- recordings

    def spikes(self, name, first=0, stop=None) -> Spikes:
        """Return what a node sent in samples first to stop - 1. Raises RunError if it was not recorded."""
        group = self._recorded("spikes", name)
        dataset = group.dataset("planes")
        shape, logical, (bits, *_), (signed, *_) = (
            dataset.wholes(key) for key in ("shape", "logical_shape", "bits", "signed"))
        fits = len(shape) == 3 and math.prod(shape) == math.prod(logical) > 0 and 1 <= bits <= 32
        expected = (bits * (2 if signed else 1), math.prod(shape[1:]), (shape[0] + 63) // 64) if fits else ()
        if dataset.dtype != np.uint64 or dataset.shape != (self.n_samples, self.n_steps, *expected):
            raise group.error(
                f"'planes' has shape {dataset.shape} and type {dataset.dtype}, which its attributes do not fit"
            )
        first, stop = self._samples(first, stop)
        lengths = None if self.lengths is None else self.lengths[first:stop]
        return Spikes(dataset.rows(slice(first, stop)), shape, logical, bits, bool(signed), lengths)

    def trace(self, kind, name, first=0, stop=None) -> np.ndarray:
        """Return "currents", "potentials" or "residuals" (kind) of a layer in samples first to stop - 1: (n, T,
        *shape). Raises RunError if they were not recorded, and for other kinds."""
        known_names([instance_of(kind, str, "kind", "text")], TRACES, "kind of trace")
        group = self._recorded(kind, name, inside=False)
        dataset = group.dataset(name)
        dataset.require_numbers()
        rows = (self.n_samples, self.n_steps)
        if len(dataset.shape) < 3 or dataset.shape[:2] != rows:
            raise group.error(f"{name!r} has shape {dataset.shape}, expected {rows} and the layer's")
        first, stop = self._samples(first, stop)
        return dataset.rows(slice(first, stop))

    def steps_per_unit(self, name) -> np.ndarray:
        """Return the integer steps of a layer's traces per unit of the membrane, float64 (C,). Raises RunError for
        a layer of which the file says none."""
        instance_of(name, str, "name", "the name of a layer")
        names = self._root.group("steps_per_unit").names() if "steps_per_unit" in self._root else ()
        if name not in names:
            raise RunError(f"{self.path}: no steps per unit of {shown(name)}; there are: {listed(names)}")
        return self._root.group("steps_per_unit").numbers(name).astype(np.float64)

    def _recorded(self, kind, name, inside=True):
        instance_of(name, str, "name", "the name of a node")
        names = self.recorded.get(kind, ())
        if name not in names:
            raise RunError(
                f"{self.path}: no {kind} of {shown(name)} were recorded (there are: {listed(names)}); "
                f"run again with --record {kind}:{cut(printable(name), 60)}, or, for save_run, record={kind!r}"
            )
        group = self._root.group(kind)
        return group.group(name, f"{kind} of {name!r}") if inside else group

    def _samples(self, first, stop):
        stop = self.n_samples if stop is None else stop
        for name, number in (("first", first), ("stop", stop)):
            instance_of(number, (int, np.integer), name, "the number of a sample")
        if not 0 <= first < stop <= self.n_samples:
            raise RunError(f"{self.path}: has samples 0 to {self.n_samples - 1}, not {first} to {stop - 1}")
        return first, stop

    # ---- statistics

    @cached_property
    def statistics(self) -> Statistics:
        """The statistics that the run gathered; where it gathered none, those of the spikes and outputs that it
        recorded."""
        names = tuple(map(str, self.summary.class_names))
        statistics = self._stored_statistics
        if not _has_trains(statistics):
            recorded = {name: self._train(name) for name in self.recorded.get("spikes", ())}
            statistics = replace(statistics, trains={**statistics.trains, **recorded})
        if statistics.decisions is None and self.outputs is not None:
            statistics = replace(statistics, decisions=Decisions.of(self.outputs, self.labels, names))
        order = {name: i for i, name in enumerate(self.layers)}

        def ordered(members):
            return dict(sorted(members.items(), key=lambda item: order.get(item[0], len(order))))

        return Statistics(ordered(statistics.trains), ordered(statistics.membranes), statistics.decisions)

    @cached_property
    def _stored_statistics(self):
        """The statistics that the run gathered."""
        if "statistics" not in self._root:
            return Statistics()
        return stored_statistics.read_statistics(self._root.group("statistics"),
                                                 tuple(map(str, self.summary.class_names)))

    def _statistics_of(self, name):
        """Return the statistics of what one node sent, or None, without those of the others."""
        if "statistics" in vars(self):
            return self.statistics.trains.get(name)
        if not _has_trains(self._stored_statistics) and name in self.recorded.get("spikes", ()):
            return self._train(name)
        return self._stored_statistics.trains.get(name)

    def _train(self, name):
        from eventsim.statistics.of_recordings import of_spikes

        sample_bytes = self.spikes(name, 0, 1).planes.nbytes
        batch = max(1, BATCH_BYTES // sample_bytes)
        train = None
        for first in range(0, self.n_samples, batch):
            stop = min(first + batch, self.n_samples)
            train = merge([train, of_spikes(self.spikes(name, first, stop))])
        return train

    # ---- reading

    def _layers(self):
        known = self._root.group("counts").names()
        layers = stored_json(self._root, "layers", list) or known
        if sorted(map(str, layers)) != sorted(known):
            raise self._root.error("'layers' are not those that 'counts' has")
        return tuple(layers)

    def _counts(self):
        neurons, rows = self._root.group("neurons"), self._root.group("counts")
        layers = {}
        for name in self.layers:
            group = rows.group(name, f"counts of {name!r}")
            layers[name] = {count: self._checked(group, count) for count in ALL_NAMES}
        sizes = {name: self._whole_number(neurons, name) for name in self.layers}
        absent = 0 if self.lengths is None else int((self.n_steps - self.lengths).sum())
        return Counts(sizes, self.n_samples, self.n_steps, layers, self._per_sample("word_operations"), absent)

    def _lengths(self):
        lengths = self._per_sample("lengths")
        if not (lengths.min() >= 1 and lengths.max() <= self.n_steps):
            raise self._root.error(f"'lengths' has values from {lengths.min()} to {lengths.max()}, expected 1 to "
                                   f"{self.n_steps}")
        return lengths

    def _per_sample(self, name):
        return self._checked(self._root, name)

    def _checked(self, group, name):
        values = group.numbers(name)
        if values.dtype.kind not in "iu" or values.shape != (self.n_samples,):
            raise group.error(
                f"{name!r} has shape {values.shape} and type {values.dtype}, expected ({self.n_samples},) int64"
            )
        return values.astype(np.int64)

    def _floats(self, name, axes):
        values = self._root.numbers(name)
        if values.ndim != axes or 0 in values.shape or values.dtype.kind != "f":
            raise self._root.error(f"{name!r} has shape {values.shape} and type {values.dtype}, expected floats")
        return values

    def _outputs(self):
        outputs, (n, classes) = self._floats("outputs", 3), self.output.shape
        if outputs.shape != (n, self.n_steps, classes):
            raise self._root.error(f"'outputs' has shape {outputs.shape}, expected {(n, self.n_steps, classes)}")
        return outputs

    def _whole_number(self, group, name):
        value = group.numbers(name)
        if value.size != 1 or value.dtype.kind not in "iu" or value.reshape(()) < 1:
            raise group.error(f"{name!r} is not a whole number above 0")
        return int(value.reshape(()))


def _has_trains(statistics):
    """Whether statistics have more of trains than intervals, at most."""
    return any(train.n_samples for train in statistics.trains.values())


def stored_json(group, name, kind):
    """Return the JSON value of the class `kind` that a `StoredGroup` has under a name, an empty one where it has
    none. Raises the file's kind of error where it is damaged."""
    if name not in group:
        return kind()
    try:
        value = parse_json(group.text(name))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise group.error(f"{name!r} is damaged: it does not hold JSON of a {kind.__name__}")
    return value


class Writer:
    """Writes recordings of consecutive samples to one file, which appears complete or not at all. path
    None writes nothing. Raises DataError, naming the file, where that fails."""

    def __init__(self, path):
        check_suffix(path, "a run", ".h5", ".hdf5")
        self._file = None if path is None else GrowingHdf5(path)

    def __enter__(self):
        if self._file is not None:
            self._file.__enter__()
        return self

    def __exit__(self, *error):
        if self._file is not None:
            self._file.__exit__(*error)

    def add(self, recording: Recording, labels=None) -> None:
        """Append the samples of a recording."""
        if self._file is not None:
            self._append(self._file, recording, labels)

    def finish(self, summary, statistics=None) -> None:
        """Add the run's summary (anything JSON holds) and its `Statistics`, and give the file its name."""
        if self._file is not None:
            self._file.write_value("summary", json.dumps(summary))
            for name, values in ({} if statistics is None else stored_statistics.arrays(statistics)).items():
                self._file.write_array(f"statistics/{name}", values)
            self._file.finish()

    @staticmethod
    def _append(file, recording, labels):
        if "format" not in file:
            Writer._begin(file, recording)
        file.append("output", recording.output)
        file.append("predictions", recording.predictions)
        if labels is not None:
            file.append("y", as_array(labels))
        if recording.answers is not None:
            file.append("outputs", recording.answers)
        for layer, row in recording.counts.layers.items():
            for count, values in row.items():
                file.append(f"counts/{layer}/{count}", values)
        file.append("word_operations", recording.counts.word_operations)
        if recording.lengths is not None:
            file.append("lengths", recording.lengths)
        for name, spikes in recording.spikes.items():
            file.append(f"spikes/{name}/planes", spikes.planes,
                        {key: getattr(spikes, key) for key in ("shape", "logical_shape", "bits", "signed")})
        for kind, traces in recording.traces.items():
            for name, values in traces.items():
                file.append(f"{kind}/{name}", values)

    @staticmethod
    def _begin(file, recording):
        file.write_value("format", RECORDING)
        file.write_value("version", VERSION)
        file.write_value("layers", json.dumps(list(recording.counts.layers)))
        file.write_value("precision", recording.precision)
        file.write_value("timesteps", recording.timesteps)
        for name, n in recording.counts.neurons.items():
            file.write_value(f"neurons/{name}", n)
        for name, steps in recording.steps_per_unit.items():
            file.write_value(f"steps_per_unit/{name}", steps)
