"""Recordings of events as a data set: which files and parts of files they are, their classes, their levels."""

import csv
import math
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.event_files import cochlea
from eventsim.inputs.event_files.opening import event_format, KNOWN, open_as
from eventsim.inputs.events import EventStream
from eventsim.inputs.gaps import without_gaps
from eventsim.inputs.levels import check_values
from eventsim.inputs.preparing import check_steps, Cut, DataOptions, prepared
from eventsim.inputs.source import checked_labels, N_CLASSES, Source
from eventsim.storage.reading import reading

SUFFIXES = (".bin", ".aedat", ".aedat4", ".raw", ".dat", ".es", ".npy", ".npz", ".h5", ".hdf5", ".csv", ".tsv",
            ".txt")
GESTURE_TRIALS = {"test": ("trials_to_test.txt",), "train": ("trials_to_train.txt",),
                  "all": ("trials_to_train.txt", "trials_to_test.txt")}
GESTURE_COLUMNS = ("class", "startTime_usec", "endTime_usec")
PART_FOLDERS = {"test": ("Test", "test"), "train": ("Train", "train")}


class One(NamedTuple):
    """One recording of a data set. path: for messages. opened: gives its EventStream."""

    path: Path
    opened: Callable[[], EventStream]
    label: Optional[int] = None


class Recordings(NamedTuple):
    """path: of the folder or file that has them."""

    path: Path
    all: List[One]
    class_names: tuple = ()


def recordings_of_file(path, options: DataOptions) -> Optional[Recordings]:
    """Of a file of events, None of any other."""
    found = event_format(path)
    if found is None:
        return None
    if found is not cochlea or options.sample is not None:
        return Recordings(path, [One(path, partial(open_as, found, path, options))])
    n, labels, names = cochlea.n_recordings(path)
    labels = None if labels is None else checked_labels(labels, n, path)
    return Recordings(path, [
        One(path, partial(_sample, path, i, options), None if labels is None else int(labels[i])) for i in range(n)
    ], names)


def _sample(path, i, options):
    return open_as(cochlea, path, replace(options, sample=i))


def recordings_of_folder(path, options: DataOptions) -> Optional[Recordings]:
    """Of DVS128 Gesture, of a folder of class folders (or its part), or of recordings; None of any other."""
    if all((path / name).is_file() for name in GESTURE_TRIALS[options.part]):
        return _gestures(path, options)
    folder = path
    for name in PART_FOLDERS.get(options.part, ()):
        if (path / name).is_dir():
            folder = path / name
            break
    classes = [each for each in sorted(folder.iterdir())
               if each.is_dir() and (each.name.isdecimal() or _files(each))]
    if classes:
        return _classes(folder, classes, options)
    files = _files(folder)
    if not files or event_format(files[0]) is None:
        return None
    return Recordings(folder, [One(file, partial(_open, file, options)) for file in files])


def _files(folder):
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)


def _open(path, options):
    found = event_format(path)
    if found is None:
        raise DataError(f"{path}: holds no events of a known format, expected {KNOWN}")
    return open_as(found, path, options)


def _classes(folder, classes, options):
    numbered = all(each.name.isdecimal() for each in classes)
    if numbered:
        classes = sorted(classes, key=lambda each: int(each.name))
        if int(classes[-1].name) >= N_CLASSES:
            raise DataError(f"{classes[-1]}: is named by no class, expected a number below {N_CLASSES}")
    found = []
    for place, each in enumerate(classes):
        label = int(each.name) if numbered else place
        found += [One(file, partial(_open, file, options), label) for file in _part(_files(each), options)]
    return Recordings(folder, found, () if numbered else tuple(each.name for each in classes))


def _part(files, options):
    """The part that is asked for of the files of a class."""
    if options.test_share is None or options.part == "all":
        return files
    n_train = math.ceil(round(len(files) * (1 - options.test_share), 6))
    return files[n_train:] if options.part == "test" else files[:n_train]


# ---- DVS128 Gesture


def _gestures(path, options):
    """Each gesture of each trial, from its beginning to its end, as the official lists have them."""
    found = []
    for name in GESTURE_TRIALS[options.part]:
        with reading(path / name):
            trials = (path / name).read_text("utf-8-sig").split()
        for trial in trials:
            file = path / trial
            if file.name != trial or not file.is_file():
                raise DataError(f"{path / name}: names {trial!r}, which is not in the folder")
            found += [One(file, partial(_gesture, file, span, options), label - 1)
                      for label, *span in _labels(file.with_name(f"{file.stem}_labels.csv"))]
    return Recordings(path, found)


def _labels(path):
    with reading(path), open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, 2):
        values = [str(row.get(name, "")) for name in GESTURE_COLUMNS]
        if not all(value.strip().isdecimal() for value in values) or int(values[0]) < 1:
            raise DataError(f"{path}: line {number} is {', '.join(values)!r}, expected whole numbers "
                            f"{', '.join(GESTURE_COLUMNS)}")
        yield tuple(int(value) for value in values)


def _gesture(file, span, options):
    return _open(file, options).crop(t=span)


# ---- levels


class RecordingSource(Source):
    """Recordings, each binned as the model's Input says.

    timesteps: steps of every recording, later events being dropped; None: each has its own, `lengths`.
    notes: what was assumed or mended, in words: text -> how many recordings.
    """

    def __init__(self, recordings: Recordings, input_node, timesteps, options: DataOptions):
        self.path, self.class_names = recordings.path, recordings.class_names
        self._all, self._input, self._options = recordings.all, input_node, options
        self.layout = "CHW" if len(input_node.shape) == 3 else ""
        if input_node.events is None:
            raise DataError(f"{self.path}: holds event recordings; binning them needs events in the model's Input")
        if options.split != "width" and timesteps is None:
            raise DataError(f"{self.path}: split={options.split!r} cuts recordings into timesteps; give them "
                            "(--timesteps N)")
        self.notes = Counter()
        self.n_samples = len(self._all)
        labels = [one.label for one in self._all]
        self.labels = None if None in labels or not labels else np.array(labels, np.int64)
        self._timesteps, self.lengths = timesteps, None
        check_steps(timesteps or 1, input_node.events, self.path)
        if timesteps is None and self._all:
            self.lengths = np.array([self._cut(one).n_steps for one in self._all], np.int64)
        self.sample_shape = (self._steps(0, self.n_samples), *input_node.shape)

    def read(self, size, stop, first=0):
        self.notes.clear()
        for start in range(first, stop, size):
            end = min(start + size, stop)
            steps = self._steps(start, end)
            yield np.stack([self._levels(one, steps) for one in self._all[start:end]])

    def _steps(self, start, stop):
        """Steps of an array of some recordings: those of the longest."""
        return self._timesteps or (1 if self.lengths is None else int(self.lengths[start:stop].max()))

    def _levels(self, one, steps):
        cut = self._cut(one, noting=True)
        self.n_dropped += int((cut.step >= steps).sum())
        if cut.n_early:
            self.notes.update(["has events before its first step; left out"])
        try:
            levels = cut.levels(steps)
            check_values(levels, self._input)
        except DataError as error:
            raise error if str(error).startswith(str(one.path)) else DataError(f"{one.path}: {error}") from None
        return levels.reshape(steps, *self._input.shape)

    def _cut(self, one, noting=False):
        stream = prepared(one.opened(), self._options)
        split = self._options.split
        if split == "time" or split == "width" and self._timesteps is None:  # else no silence is run but is asked for
            stream = without_gaps(stream, self._options)
        cut = Cut(stream, self._input.events, split, self._timesteps)
        if noting:
            self.notes.update(stream.notes)
        return cut
