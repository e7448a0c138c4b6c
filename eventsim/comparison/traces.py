"""Traces: what somebody else recorded of a run: .npz, HDF5, or a file that `eventsim run` wrote.

A trace holds arrays named after the layers of the model that it is compared with:

    <layer>/spikes, <layer>.spikes or plain <layer>     levels: whole numbers of any type
    <layer>/potentials or <layer>.potentials, and       numbers; NaN where nothing was recorded
        likewise currents, residuals
    <layer>/outputs, <layer>.outputs or plain outputs   the model's answer after each step
    predictions, lengths                                (N,) whole numbers: the class after a sample's last step,
        and its steps, where samples have their own: what comes after them is not compared

the others are (N, T, *shape of the layer) or (N, T, neurons), or without N for a single sample. Potentials
and the like are in units of the membrane; arrays of whole numbers, compared with a fixed-point run,
are state steps as that run counts them.
"""

import math
import zipfile
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Dict, List, Optional

import numpy as np

from eventsim import formats
from eventsim.arguments import instance_of, integer, known_names, mapping, names_of, several, shown
from eventsim.comparison.pairing import VARIABLES
from eventsim.engine.recording import Recording
from eventsim.errors import DataError
from eventsim.runs.file import RECORDING, Run, stored_json
from eventsim.runs.summary import RunSummary
from eventsim.spikes import Spikes
from eventsim.storage.hdf5 import open_hdf5
from eventsim.storage.npz import npz_header_of_any_order, npz_member
from eventsim.storage.reading import HoldsFile, one_line, reading, refuse_special
from eventsim.storage.signatures import is_of_torch
from eventsim.tensors import as_array
from eventsim.text import many

MAX_MEMBERS = 10_000  # arrays in one file
MAX_DEPTH = 8  # of groups
SCANNED = 1 << 20  # values looked at together
NUMERIC = ("currents", "potentials", "residuals", "outputs")


def is_trace(path) -> bool:
    """Whether a file holds a trace, not a model: .npz, and HDF5 that no model format recognises.

    Raises DataError for HDF5 that cannot be read; other files are no traces.
    """
    refuse_special(path)
    try:
        with open(path, "rb") as file:
            start = file.read(8)
    except (OSError, ValueError):
        return False
    if start != b"\x89HDF\r\n\x1a\n":
        return start.startswith(b"PK")
    with open_hdf5(path, DataError) as root:
        return not any(reader.recognises(root) for reader in formats.readers().values())


@contextmanager
def open_trace(path):
    """Open the trace at `path` for as long as it is read. Raises DataError, naming the file."""
    refuse_special(path)
    with ExitStack() as stack, reading(path):
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            _check_npz(archive, path)
            yield Trace(_npz_arrays(archive, path), str(path))
        else:
            root = stack.enter_context(open_hdf5(path, DataError))
            if "format" in root and root.text("format") == RECORDING:
                yield Trace(_recorded_arrays(root), str(path), _recorded_units(root), **_settings(root, path))
            else:
                yield Trace(_hdf5_arrays(root), str(path))


@contextmanager
def trace_of(side):
    """Give what `compare` takes as a trace as a Trace, for as long as it is read: a Trace, a dict of its arrays,
    the path of its file, a Run, whose file is opened once more, or a Recording."""
    if isinstance(side, (str, Path, Run)):
        with open_trace(side.path if isinstance(side, Run) else side) as trace:
            yield trace
    elif isinstance(side, Recording):
        yield _trace_of_recording(side)
    else:
        yield side if isinstance(side, Trace) else Trace(side)


def _trace_of_recording(recording):
    arrays = {f"{name}/spikes": _RecordedSpikes(spikes) for name, spikes in recording.spikes.items()}
    for kind, traces in recording.traces.items():
        arrays.update({f"{name}/{kind}": values for name, values in traces.items()})
    others = {"outputs": recording.answers, "predictions": recording.predictions, "lengths": recording.lengths}
    arrays.update({name: values for name, values in others.items() if values is not None})
    context = recording.context
    chip = None if context is None or context.chip is None else context.chip.name
    return Trace(arrays, "the recording", recording.steps_per_unit, recording.precision, chip,
                 () if context is None else tuple(map(str, context.model.class_names)))


class _RecordedSpikes:
    """Spikes (N, T, ...) that are sliced like an array of their levels."""

    dtype = np.dtype(np.int32)

    def __init__(self, spikes):
        self._spikes = spikes
        self.shape = (*spikes.planes.shape[:2], *spikes.logical_shape)

    def __getitem__(self, index):
        return replace(self._spikes, planes=self._spikes.planes[index], lengths=None).levels().astype(np.int32)


class Trace:
    """Arrays by name, and the series of values that they hold of a model's layers.

    without_values: names of the arrays that were asked for and hold nothing but NaN.
    arrays: name -> array, or whatever has shape, dtype and takes slices. name: for messages.
    steps_per_unit: layer -> float64 (C,), where integers of it are known to be state steps.
    precision, chip: the arithmetic in which it was computed, as the file of a run says it, chip being a name; None
        where that is not known. class_names: of the model that was run, () where that is not known.

    >>> import numpy as np
    >>> import eventsim
    >>> from eventsim import Input, Model, Neuron
    >>> model = Model({"in": Input((2,)), "n": Neuron(v_threshold=1.0)}, [("in", "n")], timesteps=3)
    >>> x = np.array([[[1, 0], [0, 0], [1, 1]]])
    >>> eventsim.compare(model, eventsim.Trace({"n/spikes": x}), x).equal
    True
    """

    def __init__(self, arrays: Dict[str, np.ndarray], name: str = "trace", steps_per_unit=None,
                 precision: Optional[str] = None, chip: Optional[str] = None, class_names=()):
        arrays = mapping(arrays, "arrays", "arrays by name")
        self.arrays = {name: _array_of(value, name) for name, value in arrays.items()}
        self.name = instance_of(name, str, "name", "text")
        self.steps_per_unit: Dict[str, np.ndarray] = mapping(
            steps_per_unit, "steps_per_unit", "arrays by the names of layers")
        self.precision = instance_of(precision, (str, type(None)), "precision", "the name of a precision, or None")
        self.chip = instance_of(chip, (str, type(None)), "chip", "the name of a chip, or None")
        self.class_names = names_of(class_names, "class_names", "names of classes")
        self._used = set()
        self.without_values: List[str] = []
        self._first: Optional[Series] = None

    def series(self, layer, variable, shape) -> Optional["Series"]:
        """The values of one variable of a layer of that shape, or None where there are none.

        There are none either where all are NaN: the array's name then goes into `without_values`. Raises DataError
        for an array that does not fit the layer, or whose numbers of samples and steps are not those of the series
        before.
        """
        instance_of(layer, str, "layer", "the name of a layer")
        known_names([instance_of(variable, str, "variable", "text")], VARIABLES, "variable", DataError)
        shape = tuple(integer(size, "shape", 1) for size in several(shape, "shape", "the shape of a layer"))
        plain = {"spikes": [layer], "outputs": ["outputs"]}.get(variable, [])
        for name in (f"{layer}/{variable}", f"{layer}.{variable}", *plain):
            if name in self.arrays:
                self._used.add(name)
                series = Series(f"{self.name}: {name!r}", self.arrays[name], variable, shape, self.is_run)
                if series.is_recorded:
                    return self._checked(series)
                self.without_values += [name] * (name not in self.without_values)
                break
        return None

    def _checked(self, series):
        first = self._first = self._first or series
        if (series.n_samples, series.n_steps) != (first.n_samples, first.n_steps):
            raise DataError(
                f"{series.name} has {many(series.n_samples, 'sample')} of {many(series.n_steps, 'step')}, but "
                f"{first.name.rpartition(': ')[2]} has {first.n_samples} of {first.n_steps}"
                + _if_of_each_sample(series, first.n_samples)
            )
        return series

    @property
    def n_samples(self) -> int:
        """Samples of the series found so far."""
        return self._first.n_samples if self._first else 0

    @property
    def n_steps(self) -> int:
        """Steps of the series found so far."""
        return self._first.n_steps if self._first else 0

    @cached_property
    def lengths(self) -> Optional[np.ndarray]:
        """int64 (N,), steps of each sample, where the trace has "lengths"; else None. Raises DataError for those
        that its series do not have."""
        if self._first is None or "lengths" in self._used or "lengths" not in self.arrays:
            return None
        lengths = np.asarray(self.arrays["lengths"][()])
        if lengths.shape != (self.n_samples,) or lengths.dtype.kind not in "iu" or not (
                1 <= lengths.min() and lengths.max() <= self.n_steps):
            raise DataError(f"{self.name}: 'lengths' has shape {lengths.shape} and type {lengths.dtype}, expected "
                            f"a whole number from 1 to {self.n_steps}, the steps of the others, for each of "
                            f"{many(self.n_samples, 'sample')}: mend it or leave it out")
        self._used.add("lengths")
        return lengths.astype(np.int64)

    def predictions(self) -> Optional[np.ndarray]:
        """int64 (N,) where the trace has whole numbers "predictions", one a sample; else None."""
        predictions = self.arrays.get("predictions")
        shape = (self.n_samples,)
        if predictions is None or not _is_of_wholes(predictions) or tuple(predictions.shape) != shape:
            return None
        self._used.add("predictions")
        return np.asarray(predictions[()]).astype(np.int64)

    @property
    def is_run(self) -> bool:
        """Whether it is what eventsim itself recorded, which says its arithmetic."""
        return self.precision is not None

    def unused(self):
        """Names of the arrays that no series was made of."""
        return [name for name in self.arrays if name not in self._used]

    def check_form(self, n_samples, n_steps):
        """Raise DataError where the arrays seem to be no (N, T, ...) of data of so many samples and steps: where N
        and T are exchanged or one axis, or where there is one value for each sample."""
        n_samples, n_steps = integer(n_samples, "n_samples", 1), integer(n_steps, "n_steps", 1)
        first = self._first
        if first is None or first.n_steps == n_steps or self.is_run:  # which has no other form
            return
        seems = _if_of_each_sample(first, n_samples)
        if first.single and n_samples > 1 and first.n_steps == n_samples * n_steps:
            seems = (": samples and steps on one axis? expected (N, T, ...): "
                     f"array.reshape({n_samples}, {n_steps}, -1)")
        if first.n_samples == n_steps and (first.n_steps == n_samples or n_steps > n_samples) and not first.single:
            seems = ": samples and steps exchanged? expected (N, T, ...): array.swapaxes(0, 1)"
        if seems:
            has = f"{first.name} has {many(first.n_samples, 'sample')} of {many(first.n_steps, 'step')}"
            raise DataError(f"{has}, and the data {n_samples} of {n_steps}{seems}")


class Series:
    """One variable of one layer, sample by sample and step by step.

    array: (N, T, *shape), (N, T, neurons), or without N. n_samples, n_steps. is_run: as of a `Trace`.
    """

    def __init__(self, name, array, variable, shape, is_run=False):
        self.name, self.variable = name, variable
        self._array = array
        n_neurons = math.prod(shape)
        trailing = next((s for s in (tuple(shape), (n_neurons,))
                         if len(array.shape) - len(s) in (1, 2) and tuple(array.shape[-len(s):]) == s), None)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise DataError(f"{name} holds elements of type {array.dtype}, expected numbers")
        if trailing is None or 0 in array.shape:
            flat = "" if len(shape) == 1 else f" or (N, T, {n_neurons})"
            remedy = (": it is a run of another network, compare it with that network's model" if is_run
                      else f"{flat}, or the same without N for a single sample")
            raise DataError(f"{name} has shape {tuple(array.shape)}, expected (N, T, "
                            f"{', '.join(map(str, shape))}){remedy}")
        leading = tuple(array.shape[: len(array.shape) - len(trailing)])
        self.single = len(leading) == 1
        self.n_samples, self.n_steps = (1, *leading) if self.single else leading

    @cached_property
    def whole(self) -> bool:
        """Whether all that is recorded is whole numbers, whatever their type: NaN needs floats."""
        return self._array.dtype.kind != "f" or not any(
            (values != np.floor(values)).any() or np.isinf(values).any() for values in self._known())

    @cached_property
    def is_recorded(self) -> bool:
        """Whether any value is recorded: is not NaN."""
        return self._array.dtype.kind != "f" or any(values.size for values in self._known())

    def _known(self):
        """Yield the values of floats that are not NaN, piece by piece."""
        size = max(1, SCANNED // max(1, math.prod(self._array.shape[1:])))
        for start in range(0, self._array.shape[0], size):
            values = np.asarray(self._array[start : start + size])
            yield values[~np.isnan(values)]

    def read(self, samples, steps) -> np.ndarray:
        """(n, t, neurons) for two slices. Raises DataError for spikes that are no whole levels."""
        values = self._array[steps] if self.single else self._array[samples, steps]
        if self.single:
            values = values[np.newaxis]
        values = np.asarray(values).reshape(*values.shape[:2], -1)
        if self.variable == "spikes" and values.dtype.kind == "f":
            known = values[~np.isnan(values)]
            if np.isinf(known).any():
                raise DataError(f"{self.name} has infinite values; spikes are whole levels: 0, 1, ... (NaN: not "
                                "recorded)")
            if (known != np.floor(known)).any():
                raise DataError(
                    f"{self.name} has fractional values; spikes are whole levels: 0, 1, ... "
                    "(divide them by what one level is worth)"
                )
        return values.astype(np.int8) if values.dtype.kind == "b" else values


def _if_of_each_sample(series, n_samples):
    """Return what is asked of a series that seems to have one value for each sample, or ""."""
    if not series.single or series.n_steps != n_samples:
        return ""
    return (": one value for each sample, as of final outputs and counts of spikes? expected those of every step, "
            "(N, T, ...), of a single sample also (1, T, ...); final classes go into 'predictions', (N,)")


def _is_of_wholes(array):
    """Return whether an array holds whole numbers; one that cannot be read does not."""
    try:
        return array.dtype.kind in "iu"
    except DataError:
        return False


def _array_of(value, name):
    """Return what is sliced as an array is; anything else as an array. Raises DataError for what is none. What is
    in a file is read when it is used."""
    if isinstance(value, HoldsFile):
        return value
    if isinstance(getattr(value, "dtype", None), np.dtype) and hasattr(value, "shape"):
        return value
    try:
        return as_array(value)
    except (TypeError, ValueError) as error:
        reason = one_line(error)
        raise DataError(f"arrays has {shown(name)}: {shown(value)}, which is no array ({reason})") from None


# ---- the arrays of a file


def _hdf5_arrays(root):
    arrays = {}
    _walk(root, "", arrays, MAX_DEPTH)
    return arrays


def _walk(group, prefix, arrays, depth):
    for name in group.names():
        if len(arrays) >= MAX_MEMBERS or depth == 0:
            raise group.error(f"holds more than {MAX_MEMBERS} arrays, or {MAX_DEPTH} groups inside each other")
        if group.is_group(name):
            _walk(group.group(name), f"{prefix}{name}/", arrays, depth - 1)
        else:
            arrays[prefix + name] = _Hdf5Array(group.dataset(name))


def _recorded_arrays(root):
    """Those of a file that `recording.Writer` made, under the names that a trace has."""
    arrays = {}
    for kind in ("spikes", *NUMERIC):
        if kind not in root:
            continue
        if kind == "outputs":
            arrays[kind] = _Hdf5Array(root.dataset(kind))
            continue
        for name in root.group(kind).names():
            member = root.group(kind)
            arrays[f"{name}/{kind}"] = (
                _Planes(member.group(name)) if kind == "spikes"
                else _Hdf5Array(member.dataset(name)))
    for name in ("predictions", "lengths"):
        if name in root:
            arrays[name] = _Hdf5Array(root.dataset(name))
    return arrays


def _recorded_units(root):
    """layer -> integer steps of its traces per unit of the membrane."""
    if "steps_per_unit" not in root:
        return {}
    group = root.group("steps_per_unit")
    return {name: group.numbers(name) for name in group.names()}


def _settings(root, path):
    """Return in which arithmetic a run was made and what its classes are called, as arguments of `Trace`."""
    summary = RunSummary.from_json(stored_json(root, "summary", dict), path)
    return {"precision": root.text("precision"), "chip": summary.chip,
            "class_names": tuple(map(str, summary.class_names))}


class _Hdf5Array(HoldsFile):
    """A dataset that is sliced like an array."""

    def __init__(self, dataset):
        self._dataset = dataset
        self.shape, self.dtype = dataset.shape, dataset.dtype

    def __getitem__(self, index):
        return self._dataset.rows(index)


class _Planes(_Hdf5Array):
    """Bit-planes (N, T, planes, positions, words) that give levels (N, T, *logical shape)."""

    def __init__(self, group):
        dataset = group.dataset("planes")
        super().__init__(dataset)
        shape, logical, bits, signed = (
            dataset.wholes(name) for name in ("shape", "logical_shape", "bits", "signed"))
        self._held = shape, logical, bits[0], bool(signed[0])
        n_planes = bits[0] * (2 if signed[0] else 1)
        expected = (n_planes, math.prod(shape[1:]), (shape[0] + 63) // 64)
        if self.dtype != np.uint64 or self.shape[2:] != expected or math.prod(shape) != math.prod(logical):
            raise group.error(f"'planes' has shape {self.shape} and type {self.dtype}, which its attributes do "
                              "not fit")
        self.shape, self.dtype = (*self.shape[:2], *logical), np.dtype(np.int32)

    def __getitem__(self, index):
        return Spikes(super().__getitem__(index), *self._held).levels()


def _check_npz(archive, path):
    """Raise DataError for a zip archive of other things than arrays."""
    names = archive.namelist()
    if names and not any(name.endswith(".npy") for name in names):
        hint = "; it seems to be a torch file, whose pickle is a program and never loaded" * is_of_torch(path)
        raise DataError(f"{path}: a zip archive without arrays (.npy){hint}; a trace is an .npz file, of "
                        "numpy.savez(path, **{'layer/spikes': array})")


def _npz_arrays(archive, path):
    names = [name[:-4] for name in archive.namelist() if name.endswith(".npy")]
    if len(names) > MAX_MEMBERS:
        raise DataError(f"{path}: holds more than {MAX_MEMBERS} arrays")
    return {name: _NpzArray(archive, name, path) for name in names}


class _NpzArray(HoldsFile):
    """A member of an .npz file, read as a stream and sliced like an array.

    Rows are read in order; going back begins again. The latest rows are kept; of an array in Fortran
    order, as transposed ones are saved, all of it. What is no array of numbers raises DataError when it is used.
    """

    def __init__(self, archive, name, path):
        self._archive, self._name, self._path = archive, name, path
        self._file, self._next = None, 0
        self._kept = (0, 0, None)

    @cached_property
    def _header(self):
        """(shape, dtype, whether it is in Fortran order)"""
        with npz_member(self._archive, self._name, self._path) as file:
            return npz_header_of_any_order(self._archive, file, self._name, self._path)

    @property
    def shape(self):
        """As of an array."""
        return self._header[0]

    @property
    def dtype(self):
        """As of an array."""
        return self._header[1]

    def __getitem__(self, index):
        if index == () or not self.shape:
            return self._rows(0, self.shape[0] if self.shape else 1)
        first, *rest = index if isinstance(index, tuple) else (index,)
        start, stop, _ = first.indices(self.shape[0])
        if self._header[2]:
            if self._kept[2] is None:
                flat = self._rows(0, self.shape[0])
                self._kept = (0, self.shape[0], flat.reshape(self.shape[::-1]).transpose())
            return self._kept[2][(slice(start, stop), *rest)]
        if self._kept[:2] != (start, stop):
            self._kept = (start, stop, self._rows(start, stop))
        return self._kept[2][(slice(None), *rest)]

    def _rows(self, start, stop):
        row = math.prod(self.shape[1:]) * self.dtype.itemsize
        with reading(self._path):
            if self._file is None or start < self._next:
                self._open()
            while self._next < start:  # skip, a piece at a time
                n = min(start - self._next, max(1, (1 << 20) // max(row, 1)))
                self._file.read(n * row)
                self._next += n
            data = self._file.read((stop - start) * row)
            self._next = stop
        if len(data) != (stop - start) * row:
            raise DataError(f"{self._path}: {self._name!r} is truncated")
        values = np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])
        return values.astype(self.dtype.newbyteorder("="), copy=False)

    def _open(self):
        if self._file is not None:
            self._file.close()
        self._file = npz_member(self._archive, self._name, self._path)
        npz_header_of_any_order(self._archive, self._file, self._name, self._path)
        self._next = 0
