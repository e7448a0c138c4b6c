"""Runs: the files that `eventsim run --out` and `save_run` write, read back.

Small things (counts, answers, statistics) are read at once and checked; recorded spikes and traces
stay in the file until a part of them is asked for.
"""

import json
import math
import os
import uuid
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Dict, Optional, Tuple

import h5py
import numpy as np

from eventsim.engine.recording import Recording, TRACES
from eventsim.errors import DataError, RunError
from eventsim.merging import merge
from eventsim.runs import stored
from eventsim.spikes import Spikes
from eventsim.statistics.counts import ALL_NAMES, Counts
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.of_recordings import of_spikes
from eventsim.statistics.result import Statistics
from eventsim.storage.hdf5 import open_hdf5

RECORDING, VERSION = "eventsim-recording", 1  # what "format" and "version" of a file say
MOST_PLAIN = 1024  # bytes of an array that is not worth packing

BATCH_BYTES = 1 << 26  # of planes read together


def open_run(path) -> "Run":
    """Open the run file at `path`. Raises DataError, naming the file, where it is not one, or damaged."""
    return Run(path)


def save_run(recording: Recording, path, labels=None) -> None:
    """Write a recording to `path` (HDF5). labels: whole numbers (N,), or None. Raises DataError where
    that fails."""
    with Writer(path) as writer:
        writer.add(recording, labels)
        writer.finish({}, recording.statistics)


class Run:
    """What a file keeps of a run; a context manager that closes the file.

    path: its name. summary: what `eventsim run` said (`report.Summary.as_json`), {} for files of
    `save_run`. precision. n_samples, n_steps. layers: names of those that were counted, in order.
    counts: `counting.Counts`, per sample. output: (N, classes). predictions: int64 (N,).
    labels: int64 (N,), or None. outputs: (N, T, classes), or None.
    recorded: "spikes", "currents", "potentials", "residuals" -> names of the nodes that have them.
    """

    def __init__(self, path):
        self.path = str(path)
        self._stack = ExitStack()
        try:
            self._root = self._stack.enter_context(open_hdf5(path, DataError))
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

    def _read(self):
        root = self._root
        if "format" not in root or root.text("format") != RECORDING:
            raise root.error("is not a file that `eventsim run --out` wrote")
        version = root.numbers("version")
        if version.shape != () or version != VERSION:
            raise root.error(f"is of version {version}, but this eventsim reads version {VERSION}; update it")
        self.precision = root.text("precision")
        self.summary = self._json("summary", dict)
        self.output = self._floats("output", 2)
        self.n_samples = len(self.output)
        self.predictions = self._per_sample("predictions")
        self.labels = self._per_sample("y") if "y" in root and root.dataset("y").dtype.kind in "iu" else None
        self.n_steps = self._whole(root, "timesteps")
        self.outputs: Optional[np.ndarray] = self._outputs() if "outputs" in root else None
        self.layers: Tuple[str, ...] = self._layers()
        self.counts = self._counts()
        self.recorded: Dict[str, Tuple[str, ...]] = {
            kind: tuple(root.group(kind).names()) for kind in ("spikes", *TRACES) if kind in root
        }

    # ---- recordings

    def spikes(self, name, first=0, stop=None) -> Spikes:
        """What a node sent in samples first to stop - 1. Raises RunError if it was not recorded."""
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
        return Spikes(dataset.rows(slice(first, stop)), shape, logical, bits, bool(signed))

    def trace(self, kind, name, first=0, stop=None) -> np.ndarray:
        """"currents", "potentials" or "residuals" of a layer in samples first to stop - 1: (n, T, *shape).
        Raises RunError if they were not recorded."""
        group = self._recorded(kind, name, inside=False)
        dataset = group.dataset(name)
        dataset.require_numbers()
        rows = (self.n_samples, self.n_steps)
        if len(dataset.shape) < 3 or dataset.shape[:2] != rows:
            raise group.error(f"{name!r} has shape {dataset.shape}, expected {rows} and the layer's")
        first, stop = self._samples(first, stop)
        return dataset.rows(slice(first, stop))

    def steps_per_unit(self, name) -> np.ndarray:
        """float64 (C,): steps of a layer's traces per unit of the membrane."""
        return self._root.group("steps_per_unit").numbers(name).astype(np.float64)

    def _recorded(self, kind, name, inside=True):
        names = self.recorded.get(kind, ())
        if name not in names:
            known = ", ".join(map(repr, names)) or "nothing"
            raise RunError(
                f"{self.path}: no {kind} of {name!r} were recorded (there are: {known}); "
                f"run again with --record {kind}:{name}"
            )
        group = self._root.group(kind)
        return group.group(name, f"{kind} of {name!r}") if inside else group

    def _samples(self, first, stop):
        stop = self.n_samples if stop is None else stop
        if not 0 <= first < stop <= self.n_samples:
            raise RunError(f"{self.path}: has samples 0 to {self.n_samples - 1}, not {first} to {stop - 1}")
        return first, stop

    # ---- statistics

    @cached_property
    def statistics(self) -> Statistics:
        """As the run gathered them; where it did not, of the spikes and outputs that it recorded."""
        names = self.summary.get("class_names", [])
        names = tuple(map(str, names)) if isinstance(names, list) else ()
        if "statistics" in self._root:
            found = stored.read(self._root.group("statistics"), names)
        else:
            found = Statistics({name: self._train(name) for name in self.recorded.get("spikes", ())})
        if found.decisions is None and self.outputs is not None:
            found = Statistics(found.trains, found.membranes, Decisions.of(self.outputs, self.labels, names))
        order = {name: i for i, name in enumerate(self.layers)}

        def ordered(members):
            return dict(sorted(members.items(), key=lambda item: order.get(item[0], len(order))))

        return Statistics(ordered(found.trains), ordered(found.membranes), found.decisions)

    def _train(self, name):
        one = self.spikes(name, 0, 1).planes.nbytes
        batch = max(1, BATCH_BYTES // one)
        whole = None
        for first in range(0, self.n_samples, batch):
            whole = merge((whole, of_spikes(self.spikes(name, first, min(first + batch, self.n_samples)))))
        return whole

    # ---- reading

    def _json(self, name, kind):
        if name not in self._root:
            return kind()
        try:
            found = json.loads(self._root.text(name))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, kind):
            raise self._root.error(f"{name!r} is damaged: it does not hold JSON of a {kind.__name__}")
        return found

    def _layers(self):
        known = self._root.group("counts").names()
        layers = self._json("layers", list) or known
        if sorted(map(str, layers)) != sorted(known):
            raise self._root.error("'layers' are not those that 'counts' has")
        return tuple(layers)

    def _counts(self):
        neurons, rows = self._root.group("neurons"), self._root.group("counts")
        layers = {}
        for name in self.layers:
            group = rows.group(name, f"counts of {name!r}")
            layers[name] = {count: self._checked(group, count) for count in ALL_NAMES}
        return Counts({name: self._whole(neurons, name) for name in self.layers}, self.n_samples, self.n_steps,
                      layers, self._per_sample("word_operations"))

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
        found, (n, classes) = self._floats("outputs", 3), self.output.shape
        if found.shape != (n, self.n_steps, classes):
            raise self._root.error(f"'outputs' has shape {found.shape}, expected {(n, self.n_steps, classes)}")
        return found

    def _whole(self, group, name):
        value = group.numbers(name)
        if value.size != 1 or value.dtype.kind not in "iu" or value.reshape(()) < 0:
            raise group.error(f"{name!r} is not a whole number")
        return int(value.reshape(()))


class Writer:
    """Writes recordings of consecutive samples to one file, which appears complete or not at all:
    it is written under a temporary name and renamed by `finish`. path None writes nothing."""

    def __init__(self, path):
        self.path = None if path is None else Path(path)
        self.file = None

    def __enter__(self):
        if self.path is not None:
            self.temporary = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex[:8]}.tmp")
            self._guarded(lambda: setattr(self, "file", h5py.File(self.temporary, "x")))
        return self

    def __exit__(self, *error):
        if self.file is not None:
            self.file.close()
            self.temporary.unlink(missing_ok=True)

    def add(self, recording: Recording, labels=None) -> None:
        """Append the samples of a recording."""
        if self.file is not None:
            self._guarded(lambda: self._append_all(recording, labels))

    def finish(self, summary, statistics=None) -> None:
        """Add the run's summary (anything JSON holds) and its `Statistics`, and give the file its name."""
        if self.file is not None:
            self._guarded(lambda: self._close(summary, statistics))

    def _close(self, summary, statistics):
        self.file["summary"] = json.dumps(summary)
        for name, values in ({} if statistics is None else stored.arrays(statistics)).items():
            packed = dict(compression="gzip", compression_opts=1, shuffle=True)
            self.file.create_dataset(f"statistics/{name}", data=values,
                                     **(packed if values.nbytes > MOST_PLAIN else {}))
        self.file.close()
        os.replace(self.temporary, self.path)
        self.file = None

    def _guarded(self, action):
        try:
            action()
        except OSError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.path}: cannot be written ({reason})") from None

    def _append_all(self, recording, labels):
        if "format" not in self.file:
            self.file["format"], self.file["version"] = RECORDING, VERSION
            self.file["layers"] = json.dumps(list(recording.counts.layers))
            self.file["precision"], self.file["timesteps"] = recording.precision, recording.timesteps
            for name, n in recording.counts.neurons.items():
                self.file[f"neurons/{name}"] = n
            for name, steps in recording.steps_per_unit.items():
                self.file[f"steps_per_unit/{name}"] = steps
        self._append("output", recording.output)
        self._append("predictions", recording.predictions)
        if labels is not None:
            self._append("y", np.asarray(labels))
        if recording.answers is not None:
            self._append("outputs", recording.answers)
        for layer, row in recording.counts.layers.items():
            for count, values in row.items():
                self._append(f"counts/{layer}/{count}", values)
        self._append("word_operations", recording.counts.word_operations)
        for name, spikes in recording.spikes.items():
            planes = self._append(f"spikes/{name}/planes", spikes.planes)
            for key in ("shape", "logical_shape", "bits", "signed"):
                planes.attrs[key] = getattr(spikes, key)
        for kind, traces in recording.traces.items():
            for name, values in traces.items():
                self._append(f"{kind}/{name}", values)

    def _append(self, name, values):
        if name not in self.file:
            limit = (None, *values.shape[1:])
            return self.file.create_dataset(name, data=values, maxshape=limit, compression="gzip",
                                            compression_opts=1, shuffle=True)
        dataset = self.file[name]
        dataset.resize(dataset.shape[0] + len(values), axis=0)
        dataset[-len(values) :] = values
        return dataset
