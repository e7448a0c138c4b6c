"""The usual data files as batches of arrays that fit a model's input.

Read lazily: a data set keeps its labels in memory and reads one batch of samples at a time.
"""

import copy
import math
from numbers import Real
from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np

from eventsim.arguments import index_of, path_of, with_attributes
from eventsim.errors import DataError
from eventsim.inputs.arrays import Hdf5Source, NpySource, NpzSource
from eventsim.inputs.event_files.five_bytes import fits_events
from eventsim.inputs.event_files.options import checked_options, KEYS, refuse_given
from eventsim.inputs.encoders import Encoding, SCALE_OF_BYTES, unit_values
from eventsim.inputs.images import (
    CIFAR_TEST, CifarSource, fits_cifar, IDX_IMAGES, IdxSource, image_parts, image_source,
)
from eventsim.inputs.levels import check_values, takes_shades
from eventsim.inputs.preparing import DataOptions, of_part, OF_RECORDINGS
from eventsim.inputs.recordings import is_data_set, RecordingSource, recordings_of_file, recordings_of_folder
from eventsim.storage.hdf5 import members_of
from eventsim.storage.nearby import MOST_NAMED, remedy_of_folder, remedy_of_missing
from eventsim.storage.reading import reading, refuse_special
from eventsim.text import listed

KNOWN = (
    "HDF5 or .npz with x and y, MNIST IDX, CIFAR binary (.bin), .npy, recordings of events, or a folder of one of "
    "these"
)


def open_dataset(path, input_node, timesteps=None, **options) -> "Dataset":
    """Open a data file, or a folder of files, for a model with this Input node.

    path: HDF5 or .npz with x (N, ...) or (N, T, ...) and optionally y (N,); .npy with x alone; MNIST IDX
        images, gzipped or not, with the labels beside them; CIFAR-10 or CIFAR-100 binary; a folder of
        IDX or CIFAR files, of which the test part is taken, or `part`; a recording of events in any format that
        `open_events` takes; a file of many, as of SHD; a folder of them, or with a folder per class, as of
        N-MNIST, N-Caltech101 and CIFAR10-DVS, or its `Test` (`Train`); the folder of DVS128 Gesture.
    input_node: gives shape, layout, range of levels and how events are binned.
        `layout` is the order of axes in HDF5, .npz and IDX files; CIFAR's own is fixed. IDX and
        CIFAR images also fit a vector (F,), in the order C, H, W.
    timesteps: steps that event recordings are binned into, 1 or more, None: each has its own length; other files
        bring their own or none.
    options: fields of `DataOptions`: for recordings, what their files leave open and what is to be done with
        them; for values, an encoder that makes spikes of them.

    Raises DataError, here and while batches are read, naming the file.
    """
    path, asked = Path(path_of(path)), checked_options(DataOptions, options)
    timesteps = None if timesteps is None else index_of(timesteps, "timesteps", 1)
    with_attributes(input_node, ("shape", "encoding", "layout"), "input_node", "an Input")
    with reading(path):
        source = _source(path, input_node, timesteps, asked)
    if not isinstance(source, RecordingSource):
        refuse_given(asked, OF_RECORDINGS, path, "values, but to recordings of events")
    same = source.path == path
    name = path.name if same else f"{path.name}/{source.path.name}"
    if same and asked.part != "test":
        name = f"{name} ({asked.part})"
    if asked.encode is None:
        return Dataset(source, input_node, name)
    if isinstance(source, RecordingSource):
        raise DataError(f"{path}: holds events already, which nothing encodes (--encode)")
    return EncodedDataset(source, input_node, name, _Encoder(asked, timesteps, path))


class Dataset:
    """Samples of one file or folder, channels first, with labels.

    name: of the file or folder, with the part that was taken. labels: int64 (N,), or None.
    n_steps: of every sample, or None where samples stand still.
    n_dropped_events: events later than the last step, or before the first, among the samples that the latest call
        of `batches` has read so far; 0 for other than event recordings.
    lengths: steps of each sample, int64 (N,), where recordings have their own; batches are then as long as their
        longest. None: all have n_steps.
    notes: what was assumed or mended, in words -> of how many recordings (1 of a file of values).
    """

    _by_name, _said = False, ""

    def __init__(self, source, input_node, name):
        self.name = name
        self.labels = source.labels
        self._source = source
        self._input = input_node
        self.lengths = source.lengths
        self._check_fit()

    def __len__(self):
        return self._source.n_samples

    def __repr__(self):
        return f"Dataset({self.name!r}, {len(self)} samples)"

    @property
    def n_dropped_events(self):
        return self._source.n_dropped

    @property
    def notes(self):
        assumed = self._input.events.assumption if self.of_events and self._input.events else ""
        by_place = "" if self._by_name else self._source.by_place
        return {**{text: len(self) for text in (assumed, self._said, by_place) if text}, **self._source.notes}

    def with_labels_of(self, class_names) -> "Dataset":
        """Itself, with labels that are places among a model's classes: where both name their classes and share a name,
        by name, and a class that the model does not have is none of its; else by place, as in the file, which is said
        where names differ."""
        ours, theirs = [str(name) for name in class_names], self._names_of_labels()
        if not theirs or not ours or self._by_name:
            return self
        found = copy.copy(self)
        if not set(theirs.values()) & set(ours):
            if not self._source.numbered and not all(name.isdecimal() for name in ours):
                found._said = (f"its classes ({listed(theirs.values(), MOST_NAMED)}) are none of the model's "
                               f"({listed(ours, MOST_NAMED)}), so that labels are taken by place")
            return found
        places = {label: ours.index(name) if name in ours else len(ours) + i
                  for i, (label, name) in enumerate(theirs.items())}
        found.labels, found._by_name = np.array([places[label] for label in self.labels.tolist()], np.int64), True
        return found

    def _names_of_labels(self):
        """{label: name of its class}, where classes have names."""
        source = self._source
        if self.labels is None:
            return {}
        if source.numbered:
            return {label: str(label) for label in np.unique(self.labels).tolist()}
        return {label: str(name) for label, name in enumerate(source.class_names)}

    @property
    def of_events(self) -> bool:
        """Whether the samples are recordings of events."""
        return isinstance(self._source, RecordingSource)

    @property
    def path(self) -> Path:
        """Of the file or folder that is read."""
        return self._source.path

    def check_made_for(self, input_node) -> None:
        """Raise DataError where this Input, of a model that is to run the samples, would make other levels of the
        file than the one that it was opened for."""
        if input_node is self._input:
            return
        names = ["shape"] if self._input.shape != input_node.shape else []
        if self.of_events:
            names += self._bins_that_differ(input_node.events)
        elif not names and self._is_arranged_otherwise(input_node):
            names = ["layout"]
        if names:
            mine, models = (", ".join(f"{name} {getattr(node if hasattr(node, name) else node.events, name)}"
                                      for name in names) for node in (self._input, input_node))
            raise DataError(f"{self.name}: was opened for an input of {mine}, but that of the model is of {models}: "
                            "open it for the model that runs it, open_dataset(path, model[model.input])")

    def _bins_that_differ(self, bins):
        """Names of the fields of a model's EventBins (or None) that it says, and that differ from those here."""
        if bins is None:
            return []
        ignored = (*bins.assumed, *([] if self._source.by_width else ["bin_width"]))
        return [name for name in self._input.events.different(bins) if name not in ignored]

    def _is_arranged_otherwise(self, input_node):
        if input_node.layout == self._input.layout:
            return False
        other, shape = copy.copy(self), self._source.sample_shape
        other._input = input_node
        other._check_fit()
        places = np.arange(math.prod(shape)).reshape(1, *shape)
        return not np.array_equal(self._arrange(places), other._arrange(places))

    def batches(self, size, limit=None, first=0):
        """Yield (x, y) for `size` samples at a time, in the file's order.

        x: (n, *shape) or (n, T, *shape), of the file's type. y: int64 (n,), or None.
        limit: the number of the sample to end before; None to read all there are. first: the number of
            the sample to begin with.
        """
        for value, name in ((size, "size"), (1 if limit is None else limit, "limit")):
            if not (isinstance(value, Real) and value >= 1 and value % 1 == 0):
                raise DataError(f"{name} is {value!r}, expected a whole number above 0")
        stop = len(self) if limit is None else min(int(limit), len(self))
        return self._batches(int(size), stop, index_of(first, "first"))

    def _batches(self, size, stop, first):
        self._source.n_dropped = 0
        with reading(self._source.path):
            start = first
            for samples in self._source.read(size, stop, first):
                x = self._values(self._arrange(samples), start)
                end = start + len(x)
                try:
                    check_values(x, self._input)
                except DataError as error:
                    raise DataError(
                        f"{self._source.path}: samples {start} to {end - 1}: {error}"
                    ) from None
                yield x, None if self.labels is None else self.labels[start:end]
                start = end

    def _values(self, x, start):
        """What a batch, from sample `start` on, is run as."""
        return x

    def _check_fit(self):
        source = self._source
        if source.n_samples == 0 or 0 in source.sample_shape:
            raise DataError(
                f"{source.path}: empty: {source.n_samples} samples of shape {source.sample_shape}"
            )
        # no memory behind it: only the shapes are wanted
        empty = np.broadcast_to(np.uint8(0), (1, *source.sample_shape))
        found, shape = self._arrange(empty, check_only=True), self._input.shape
        if found is None or found[-len(shape):] != shape:
            raise DataError(
                f"{source.path}: samples have shape {source.sample_shape}, expected axes "
                f"{source.layout or self._input.layout} (or steps before them) that make the "
                f"model's input {shape}{self._remedy_of_shape(shape)}"
            )
        self.n_steps = found[1] if len(found) == 2 + len(shape) else None

    def _remedy_of_shape(self, shape):
        """Where the channels stand last, say how they come first."""
        last = (*shape[1:], shape[0])
        if len(shape) > 1 and self._source.sample_shape[-len(shape):] == last:
            return f"; its channels come last: write np.moveaxis(x, -1, {-len(shape)})"
        if self._input.events is not None and self._source.sample_shape == (len(KEYS),):
            return "; where its rows are events, give the order of their columns (--columns txyp)"
        return ""

    def _arrange(self, x, check_only=False):
        """Samples as in the file to channels first. check_only: just the shape, None if unfit."""
        shape = self._input.shape
        flat = len(shape) == 1 and self._source.is_image
        if flat and math.prod(x.shape[1:]) == shape[0]:
            return (1, *shape) if check_only else x.reshape(-1, *shape)
        layout = self._source.layout or self._input.layout
        if x.ndim == len(layout) and shape[0] == 1:  # no channel axis in the file
            layout = layout.replace("C", "")
        n_leading = x.ndim - len(layout)  # the sample axis, and maybe steps
        if n_leading not in (1, 2):
            return None
        order = sorted(range(len(layout)), key=lambda i: "CHWLF".index(layout[i]))
        x = x.transpose(*range(n_leading), *(n_leading + i for i in order))
        if len(layout) < len(shape):
            x = np.expand_dims(x, n_leading)
        return x.shape if check_only else np.ascontiguousarray(x)


class _Encoder(NamedTuple):
    """What makes spikes of samples, as asked for by `DataOptions`. path: for messages."""

    asked: DataOptions
    timesteps: Optional[int]
    path: Path

    def encoding(self, has_steps) -> Encoding:
        """Raises DataError where it does not fit samples that have steps, or have none."""
        found = Encoding.of(self.asked.encode)
        if found.name != "poisson":
            refuse_given(self.asked, ("seed",), self.path, f"{found.name}, which draws nothing")
        if found.makes_steps and (has_steps or self.timesteps is None):
            raise DataError(f"{self.path}: {found.name} makes steps of samples that have none; "
                            + ("these have some" if has_steps else "give their number (--timesteps N)"))
        if not found.makes_steps and not has_steps:
            raise DataError(f"{self.path}: {found.name} encodes changes from step to step, but the samples have "
                            f"no steps, (N, T, ...)")
        return found


class EncodedDataset(Dataset):
    """A Dataset whose values become spikes, each sample by itself. Raises DataError for an Input that takes
    pictures: its levels are shades, of which spikes would be the darkest two."""

    _largest_byte: Optional[int] = None  # read so far, where bytes are shares of a scale that nobody gave

    def __init__(self, source, input_node, name, encoder: _Encoder):
        self._encoder = encoder
        super().__init__(source, input_node, name)
        self._encoding = encoder.encoding(self.n_steps is not None)
        self.n_steps = self.n_steps or encoder.timesteps
        self._check_takes_spikes(input_node)

    @property
    def notes(self):
        said = _said_of_scale(self._largest_byte)
        return {**super().notes, said: 1} if said else super().notes

    def check_made_for(self, input_node) -> None:
        super().check_made_for(input_node)
        self._check_takes_spikes(input_node)

    def _check_takes_spikes(self, input_node):
        if takes_shades(input_node):
            raise DataError(f"{self._encoder.path}: the model's input takes images of {input_node.bits} bits as "
                            "they are, not spikes: leave encode out (--encode)")

    def _values(self, x, start):
        asked = self._encoder.asked
        try:
            if self._encoding.makes_steps or asked.full_scale is not None:
                if asked.full_scale is None and x.dtype == np.uint8:
                    self._largest_byte = max(self._largest_byte or 0, int(x.max(initial=0)))
                x = unit_values(x, asked.full_scale)
            return np.stack([self._encoding(one, self._encoder.timesteps, (asked.seed, start + i))
                             for i, one in enumerate(x)])
        except DataError as error:
            raise DataError(f"{self._source.path}: {error}") from None


def _said_of_scale(largest):
    """What is said of bytes that stay far below the scale that is taken for them, or "". largest: of them, or
    None."""
    if largest is None or largest > SCALE_OF_BYTES // 2:
        return ""
    return (f"values are encoded as shares of {SCALE_OF_BYTES}, as bytes are, but the largest one is {largest} "
            "(full_scale, --full-scale, says otherwise)")


def _source(path, input_node, timesteps, options):
    """The source for a path, by what it holds."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder{remedy_of_missing(path)}")
    if path.is_dir():
        return _folder_source(path, input_node, timesteps, options)
    refuse_special(path)
    refuse_given(options, ("part", "test_share"), path, "a file, which has no parts")
    with open(path, "rb") as file:
        start = file.read(8)
    # nothing but the model tells a CIFAR file from a recording where both fit
    if path.suffix.lower() != ".bin" or input_node.events is not None or fits_events(path) and not fits_cifar(path):
        recordings = recordings_of_file(path, options)
        if recordings is not None:
            return RecordingSource(recordings, input_node, timesteps, options)
    if start == b"\x89HDF\r\n\x1a\n":
        return Hdf5Source(path)
    if start.startswith(b"PK"):
        return NpzSource(path)
    if start.startswith(b"\x93NUMPY"):
        return NpySource(path)
    if path.suffix.lower() == ".bin":
        return CifarSource(path)
    if "idx" in path.name or start.startswith(b"\x1f\x8b") or start[:2] == b"\0\0":
        return IdxSource(path)
    found = "of no known format" if start else "empty"
    raise DataError(f"{path}: {found}, expected {KNOWN}")


def _folder_source(path, input_node, timesteps, options):
    images = image_parts(path)
    if images:
        return image_source(path, of_part(path, options, images))
    recordings = recordings_of_folder(path, options)
    if recordings is not None:
        return RecordingSource(recordings, input_node, timesteps, options)
    raise DataError(
        f"{path}: a folder with none of {', '.join((*IDX_IMAGES, *CIFAR_TEST))}, [Test/]<digit>, [Test/]<class> "
        f"or recordings of events" + _remedy_of_parent(path)
    )


def _remedy_of_parent(path):
    """What to say of a folder in which data sets lie: their names."""
    folders = [str(folder) for folder in sorted(path.iterdir()) if is_data_set(folder)]
    if folders:
        more = ", ..." * (len(folders) > MOST_NAMED)
        return f"; it holds data sets, name one: {', '.join(folders[:MOST_NAMED])}{more}"
    return remedy_of_folder(path, lambda each: each.suffix.lower() in (".npz", ".bin") or "x" in members_of(each))
