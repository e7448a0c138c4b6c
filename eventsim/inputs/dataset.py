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
from eventsim.inputs.event_files.formats import OF_VALUES
from eventsim.inputs.event_files.hdf5_events import is_hdf5
from eventsim.inputs.event_files.opening import refuse_dangling, START_BYTES
from eventsim.inputs.event_files.options import checked_options, KEYS, refuse_given
from eventsim.inputs.encoders import Encoding, SCALE_OF_BYTES, unit_values
from eventsim.inputs.images import (
    CIFAR_TEST, CifarSource, fits_cifar, IDX_IMAGES, IdxSource, image_parts, image_source,
)
from eventsim.inputs.levels import check_values, remedy_of_axes, takes_shades
from eventsim.inputs.preparing import DataOptions, of_part, OF_RECORDINGS
from eventsim.inputs.recordings import (
    data_set_at, RecordingSource, recordings_of_file, recordings_of_folder, remedy_of_depth,
)
from eventsim.inputs.unread import remedy_of_unread
from eventsim.storage.hdf5 import members_of
from eventsim.storage.nearby import MOST_NAMED, remedy_of_folder, remedy_of_missing
from eventsim.storage.reading import reading, refuse_special
from eventsim.text import listed

KNOWN = f"{OF_VALUES}, recordings of events, or a folder of one of these"
MOST_COLOURS = 4  # channels of an image, with one of transparency


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
        bring their own steps or none.
    options: fields of `DataOptions`: for recordings, what their files leave open and how they are prepared; for
        values, an encoder that turns them into spikes.

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

    name: name of the file or folder, with the part that was taken. labels: int64 (N,), or None.
    n_steps: number of steps of every sample, or None where samples stand still.
    n_dropped_events: events later than the last step, or before the first, among the samples that the latest call
        of `batches` has read so far; 0 for other than event recordings.
    lengths: steps of each sample, int64 (N,), where recordings have their own; batches are then as long as their
        longest. None: all have n_steps.
    notes: what was assumed or mended, in words -> for how many recordings (1 for a file of values).

    >>> import eventsim, numpy as np
    >>> np.savez("samples.npz", x=np.arange(8).reshape(2, 4), y=[1, 0])
    >>> dataset = eventsim.open_dataset("samples.npz", eventsim.Input((4,), bits=3))
    >>> dataset
    Dataset('samples.npz', 2 samples)
    >>> [(x.shape, labels.tolist()) for x, labels in dataset.batches(2)]
    [((2, 4), [1, 0])]
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
        """The number of events that the latest call of `batches` has left out so far, see above."""
        return self._source.n_dropped

    @property
    def notes(self):
        """What was assumed or mended: text -> for how many recordings."""
        assumed = self._input.events.assumption if self.of_events and self._input.events else ""
        by_place = "" if self._by_name else self._source.by_place
        return {**{text: len(self) for text in (assumed, self._said, by_place) if text}, **self._source.notes}

    def with_labels_of(self, class_names) -> "Dataset":
        """Return a copy whose labels are places among a model's classes, or itself where that changes
        nothing. Where both name their classes and share a name, labels go by name, and a class that the model
        lacks gets a place behind its classes; else they go by place, as in the file, and the notes say so
        where names differ."""
        ours, theirs = [str(name) for name in class_names], self._names_of_labels()
        if not theirs or not ours or self._by_name:
            return self
        relabelled = copy.copy(self)
        if not set(theirs.values()) & set(ours):
            if not self._source.numbered and not all(name.isdecimal() for name in ours):
                relabelled._said = (f"its classes ({listed(theirs.values(), MOST_NAMED)}) are none of the model's "
                                    f"({listed(ours, MOST_NAMED)}), so that labels are taken by place")
            return relabelled
        places = {label: ours.index(name) if name in ours else len(ours) + i
                  for i, (label, name) in enumerate(theirs.items())}
        relabelled.labels = np.array([places[label] for label in self.labels.tolist()], np.int64)
        relabelled._by_name = True
        return relabelled

    def _names_of_labels(self):
        """Return {label: name of its class}, where classes have names."""
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
        """The path of the file or folder that is read."""
        return self._source.path

    def check_made_for(self, input_node) -> None:
        """Raise DataError where this Input, of a model that is to run the samples, would turn the file into other
        levels than the Input for which it was opened."""
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
            raise DataError(f"{self.name}: was opened for an input of {mine}, but that of the model is of "
                            f"{models}: open it for the model that runs it, open_dataset(path, "
                            "model[model.input])")

    def _bins_that_differ(self, bins):
        """Return the names of the fields that a model's EventBins (or None) state, and that
        differ from those here."""
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
        """Return the values as which a batch, from sample `start` on, is run."""
        return x

    def _check_fit(self):
        source = self._source
        if source.n_samples == 0 or 0 in source.sample_shape:
            raise DataError(
                f"{source.path}: empty: {source.n_samples} samples of shape {source.sample_shape}"
            )
        # no memory behind it: only the shapes are wanted
        empty = np.broadcast_to(np.uint8(0), (1, *source.sample_shape))
        arranged, shape = self._arrange(empty, check_only=True), self._input.shape
        if arranged is None or arranged[-len(shape):] != shape:
            raise DataError(
                f"{source.path}: samples have shape {source.sample_shape}, expected axes "
                f"{source.layout or self._input.layout} (or steps before them) that make the "
                f"model's input {shape}{self._remedy_of_shape(shape)}"
            )
        self.n_steps = arranged[1] if len(arranged) == 2 + len(shape) else None

    def _remedy_of_shape(self, shape):
        """Return a remedy for samples of an unfit shape, such as channels that stand last, or ""."""
        last = (*shape[1:], shape[0])
        if len(shape) > 1 and self._source.sample_shape[-len(shape):] == last:
            return f"; its channels come last: write np.moveaxis(x, -1, {-len(shape)})"
        n, *rest = self._source.sample_shape or (0,)
        if tuple(rest) == shape[1:] and shape[0] == 1 < n <= MOST_COLOURS:
            return "; where these are steps, write x[:, :, np.newaxis]"
        reshaping = remedy_of_axes(self._source.sample_shape, shape)
        if reshaping:
            return f"; write {reshaping}"
        if self._input.events is not None and self._source.sample_shape == (len(KEYS),):
            return "; where its rows are events, give the order of their columns (--columns txyp)"
        return ""

    def _arrange(self, x, check_only=False):
        """Return samples, which are as in the file, with channels first. check_only: return just the
        shape, None if unfit."""
        shape = self._input.shape
        flat = len(shape) == 1 and self._source.is_image
        if flat and math.prod(x.shape[1:]) == shape[0]:
            return (1, *shape) if check_only else x.reshape(-1, *shape)
        layout = self._source.layout or self._input.layout
        if shape[0] == 1 and self._leaves_out_channels(x.shape, layout):
            layout = layout.replace("C", "")
        n_leading = x.ndim - len(layout)  # the sample axis, and maybe steps
        if n_leading not in (1, 2):
            return None
        order = sorted(range(len(layout)), key=lambda i: "CHWLF".index(layout[i]))
        x = x.transpose(*range(n_leading), *(n_leading + i for i in order))
        if len(layout) < len(shape):
            x = np.expand_dims(x, n_leading)
        return x.shape if check_only else np.ascontiguousarray(x)

    def _leaves_out_channels(self, shape, layout):
        """Return whether samples for an input of one channel have no axis of channels: (N, H, W), or (N, T, H,
        W) where T does not stand where channels would, or is larger than their number in an image. shape: with
        the axis of samples."""
        if "C" not in layout or len(shape) != len(layout) + 1 or self._source.layout:
            return len(shape) == len(layout)
        channels = 1 + layout.index("C")
        return shape[channels] != 1 and (channels > 1 or shape[1] > MOST_COLOURS)


class _Encoder(NamedTuple):
    """Turns samples into spikes, as `DataOptions` ask for it. path: for messages."""

    asked: DataOptions
    timesteps: Optional[int]
    path: Path

    def encoding(self, has_steps) -> Encoding:
        """Return the encoding. Raises DataError where it does not fit samples that have steps,
        or that have none."""
        encoding = Encoding.of(self.asked.encode)
        if encoding.name != "poisson":
            refuse_given(self.asked, ("seed",), self.path, f"{encoding.name}, which draws nothing")
        if encoding.makes_steps and (has_steps or self.timesteps is None):
            raise DataError(f"{self.path}: {encoding.name} makes steps of samples that have none; "
                            + ("these have some" if has_steps else "give their number (--timesteps N)"))
        if not encoding.makes_steps and not has_steps:
            raise DataError(f"{self.path}: {encoding.name} encodes changes from step to step, but the samples "
                            f"have no steps, (N, T, ...)")
        return encoding


class EncodedDataset(Dataset):
    """A Dataset whose values become spikes, each sample by itself. Raises DataError for an Input that takes
    pictures: its levels are shades, and spikes would be the two darkest of them."""

    _largest_byte: Optional[int] = None  # read so far, where bytes are shares of a scale that nobody gave

    def __init__(self, source, input_node, name, encoder: _Encoder):
        self._encoder = encoder
        super().__init__(source, input_node, name)
        self._encoding = encoder.encoding(self.n_steps is not None)
        self.n_steps = self.n_steps or encoder.timesteps
        self._check_takes_spikes(input_node)

    @property
    def notes(self):
        text = _said_of_scale(self._largest_byte)
        return {**super().notes, text: 1} if text else super().notes

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
            # a change of floats needs no scale; all other values are shares of one
            if self._encoding.makes_steps or asked.full_scale is not None or x.dtype.kind != "f":
                if asked.full_scale is None and x.dtype == np.uint8:
                    self._largest_byte = max(self._largest_byte or 0, int(x.max(initial=0)))
                x = unit_values(x, asked.full_scale)
            return np.stack([self._encoding(one, self._encoder.timesteps, (asked.seed, start + i))
                             for i, one in enumerate(x)])
        except DataError as error:
            raise DataError(f"{self._source.path}: {error}") from None


def _said_of_scale(largest):
    """Return what notes say of bytes that stay far below the scale that is assumed for them, or "". largest: the
    largest byte, or None."""
    if largest is None or largest > SCALE_OF_BYTES // 2:
        return ""
    return (f"values are encoded as shares of {SCALE_OF_BYTES}, as bytes are, but the largest one is {largest} "
            "(full_scale, --full-scale, says otherwise)")


def _source(path, input_node, timesteps, options):
    """Return the source for a path, by what the path holds."""
    refuse_dangling(path)
    if not path.exists():
        raise DataError(f"{path}: no such file or folder{remedy_of_missing(path)}")
    if path.is_dir():
        return _folder_source(path, input_node, timesteps, options)
    refuse_special(path)
    refuse_given(options, ("part", "test_share"), path, "a file, which has no parts")
    with open(path, "rb") as file:
        start = file.read(START_BYTES)
    # nothing but the model tells a CIFAR file from a recording where both fit
    if (path.suffix.lower() != ".bin" or input_node.events is not None
            or fits_events(path) and not fits_cifar(path)):
        recordings = recordings_of_file(path, options)
        if recordings is not None:
            return RecordingSource(recordings, input_node, timesteps, options)
    if is_hdf5(start):
        return Hdf5Source(path)
    if start.startswith(b"PK"):
        return NpzSource(path)
    if start.startswith(b"\x93NUMPY"):
        return NpySource(path)
    if path.suffix.lower() == ".bin":
        return CifarSource(path)
    if "idx" in path.name or start.startswith(b"\x1f\x8b") or start[:2] == b"\0\0":
        return IdxSource(path)
    reason = "of no known format" if start else "empty"
    raise DataError(f"{path}: {reason}, expected {KNOWN}{remedy_of_unread(path)}")


def _folder_source(path, input_node, timesteps, options):
    images = image_parts(path)
    if images:
        return image_source(path, of_part(path, options, images))
    recordings = recordings_of_folder(path, options)
    if recordings is not None:
        return RecordingSource(recordings, input_node, timesteps, options)
    raise DataError(
        f"{path}: a folder with none of {', '.join((*IDX_IMAGES, *CIFAR_TEST))}, [Test/]<digit>, [Test/]<class> "
        f"or recordings of events" + (_remedy_of_parent(path) or remedy_of_depth(path, options)
                                   or remedy_of_unread(path))
    )


def _remedy_of_parent(path):
    """Return what to say of a folder in which data sets lie: their names."""
    data_sets = [str(each) for each in map(data_set_at, sorted(path.iterdir())) if each is not None]
    if data_sets:
        more = ", ..." * (len(data_sets) > MOST_NAMED)
        return f"; it holds data sets, name one: {', '.join(data_sets[:MOST_NAMED])}{more}"
    suffixes = ".npy", ".npz", ".bin"
    return remedy_of_folder(path, lambda each: each.suffix.lower() in suffixes or "x" in members_of(each))
