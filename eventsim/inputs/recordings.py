"""Recordings of events as a data set: which files and parts of files they are, their classes, their levels."""

import csv
import math
import os
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Callable, List, NamedTuple, Optional

import numpy as np

from eventsim.errors import DataError, LevelError
from eventsim.inputs.arrays import holds_samples, SOURCES
from eventsim.inputs.binning import MERGE
from eventsim.inputs.event_files import cochlea
from eventsim.inputs.event_files.opening import (
    event_format, is_prose, open_as, refuse_dangling, sized, unknown_format,
)
from eventsim.inputs.event_files.options import refuse_given
from eventsim.inputs.event_files.text_events import SUFFIXES as TEXTS
from eventsim.inputs.events import EventStream
from eventsim.inputs.gaps import without_gaps
from eventsim.inputs.images import image_parts
from eventsim.inputs.levels import check_values
from eventsim.inputs.preparing import (
    check_steps, cut_by_width, cut_into, DataOptions, extent_of, of_part, prepared,
)
from eventsim.inputs.source import checked_labels, N_CLASSES, Source
from eventsim.inputs.unread import remedy_of_unread
from eventsim.storage.nearby import MOST_NAMED, MOST_OPENED
from eventsim.storage.reading import reading
from eventsim.text import listed, many

SUFFIXES = (".bin", ".aedat", ".aedat4", ".raw", ".dat", ".es", ".npy", ".npz", ".h5", ".hdf5", ".csv", ".tsv",
            ".txt")
GESTURE_TRIALS = {"test": "trials_to_test.txt", "train": "trials_to_train.txt"}
GESTURE_COLUMNS = ("class", "startTime_usec", "endTime_usec")
PART_FOLDERS = {"test": ("Test", "test"), "train": ("Train", "train")}


class One(NamedTuple):
    """One recording of a data set. path: names it in messages. opened: function that returns its EventStream."""

    path: Path
    opened: Callable[[], EventStream]
    label: Optional[int] = None


class Recordings(NamedTuple):
    """The recordings of a data set. path: the folder or file that has them. notes: what is said of each.
    numbered: whether labels are the numbers that name the classes. by_place: what is said where labels are places
    of class folders, or ""."""

    path: Path
    all: List[One]
    class_names: tuple = ()
    notes: tuple = ()
    numbered: bool = False
    by_place: str = ""


def recordings_of_file(path, options: DataOptions) -> Optional[Recordings]:
    """Return the recordings of a file of events, None for any other."""
    module = event_format(path, options)
    if module is None:
        return None
    if module is not cochlea:
        return Recordings(path, [One(path, partial(open_as, module, path, options))])
    n, labels, names = cochlea.n_recordings(path)
    labels = None if labels is None else checked_labels(labels, n, path)
    taken = range(n) if options.sample is None else [options.sample]
    known = range(0 if labels is None else n)  # of another number, what opens it says that there is none
    return Recordings(path, [
        One(path, partial(_sample, path, i, options), int(labels[i]) if i in known else None) for i in taken
    ], names)


def _sample(path, i, options):
    return open_as(cochlea, path, replace(options, sample=i))


def recordings_of_folder(path, options: DataOptions) -> Optional[Recordings]:
    """Return the recordings of DVS128 Gesture, of a folder of class folders (or its parts), or of
    recordings, else None."""
    trials = {part: [path / name] for part, name in GESTURE_TRIALS.items() if (path / name).is_file()}
    if trials:
        return _gestures(path, of_part(path, options, trials), options)
    parts = _part_folders(path, options.part)
    if parts:
        taken, folders = of_part(path, options, parts), [folder for [folder] in parts.values()]
        recordings = _of_folders(taken[0] if len(taken) == 1 else path, taken, folders, options)
        beside = _beside(path, [folder.name for folder in folders], options)
        left_out = *_without_prose(path, [path]), *_left_out(path, beside, "taken from the parts of a folder")
        return recordings and recordings._replace(notes=(*recordings.notes, *left_out))
    recordings = _of_folders(path, [path], [path], options)
    if recordings is not None:
        _check_without_parts(path, options, recordings.numbered or bool(recordings.class_names))
    return recordings


def _part_folders(folder, part="test"):
    """Return {part: [its folder]} of a folder. part: the part asked for; unless it is "train", `Train`
    alone may be a class."""
    folders = {name: [folder / each] for name, names in PART_FOLDERS.items() for each in reversed(names)
             if (folder / each).is_dir()}
    if list(folders) == ["train"] and part != "train" and set(_class_folders(folder)) - set(folders["train"]):
        return {}
    return folders


def _check_without_parts(path, options, has_classes):
    """Raise DataError where a part is asked for of a folder that has none."""
    if not has_classes:
        refuse_given(options, ("test_share",), path, "a folder without class folders")
    if options.part == "train" and options.test_share is None:
        share = ", or say which share of each class is its test part (--test-share X)" * has_classes
        raise DataError(f"{path}: has no parts, Train and Test: leave part out (--part){share}")


def _of_folders(path, taken, folders, options):
    """Return the recordings in the folders taken, or in their class folders. folders: those
    whose classes count."""
    names = sorted({each.name for folder in folders for each in _class_folders(folder)})
    named = [folder / name for folder in folders for name in names if not name.isdecimal()]
    if any(is_data_set(each, options) for each in named):
        return None
    if named and not any(_holds_some(each, options) for each in named if each.is_dir()):
        return None
    if names:
        return _classes(path, taken, names, options)
    files = [file for folder in taken for file in _files(folder)]
    if not any(map(partial(_holds_some, options=options), taken)):
        return None
    return Recordings(path, [One(file, partial(_open, file, options)) for file in files],
                      notes=(*_without_prose(path, taken), *_without_suffix(path, taken, _folders_below(taken))))


def _class_folders(folder):
    for each in folder.iterdir():
        refuse_dangling(each)
    return [each for each in sorted(folder.iterdir())
            if each.is_dir() and each.name[0] != "." and (each.name.isdecimal() or _files(each))]


def is_data_set(folder, options: DataOptions = DataOptions()) -> bool:
    """Return whether a path is a folder that is a data set: of images, of parts, of class numbers or of values."""
    return data_set_at(folder, options) is not None


def data_set_at(folder, options: DataOptions = DataOptions()) -> Optional[Path]:
    """Return what to name where a path is a folder that is a data set: the folder, or, of values, the first file
    that has some; else None."""
    if not folder.is_dir() or folder.name[:1] == ".":
        return None
    if image_parts(folder) or _part_folders(folder) or any(
            each.name.isdecimal() and each.is_dir() for each in folder.iterdir()):
        return folder
    files = _files(folder)[:MOST_OPENED]
    if not files or _is_recording(files[0], options):
        return None
    return next((file for file in files if holds_samples(file) and not _is_recording(file, options)), None)


def _files(folder):
    return [file for file in _named_as_recordings(folder) if not is_prose(file)]


def _named_as_recordings(folder):
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")


def _named_otherwise(folder):
    """Return the files whose suffix is none of a recording, except hidden ones."""
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.name[0] != "." and entry.is_file()
                      and Path(entry.name).suffix.lower() not in SUFFIXES)


def _is_recording(file, options):
    try:
        return event_format(file, options) is not None
    except DataError:  # said by what opens it
        return True


# ---- what lies beside recordings, and is said to be left out


def _without_prose(path, folders):
    """Yield notes on the text files of folders that have no events."""
    files = [file for folder in folders for file in _named_as_recordings(folder) if is_prose(file)]
    if files:
        has = "has" if len(files) == 1 else "have"
        yield f"{_listed(path, files)} beside these {has} no events; left out"


def _without_suffix(path, taken, beside):
    """Yield notes on files whose suffix is none of a recording, in folders that are taken, and in others beside
    them that have no recordings at all."""
    folders = [*taken, *(folder for folder in beside if not _named_as_recordings(folder))]
    files = [file for folder in folders for file in _named_otherwise(folder)]
    if files:
        have = "has a suffix" if len(files) == 1 else "have suffixes"
        yield (f"{_listed(path, files)} beside these {have} of no recording; left out (unpack or rename what is "
               "one)")


def _left_out(path, files, where):
    """Yield notes on recordings that are not among those of the data set. where: where those lie."""
    if files:
        yield f"{where}; {_listed(path, files)} beside these {'is' if len(files) == 1 else 'are'} left out"


def _listed(path, files):
    names = [str(file.relative_to(path) if file.is_relative_to(path) else file) for file in files]
    more = f" and {len(names) - MOST_NAMED} more" * (len(names) > MOST_NAMED)
    return ", ".join(names[:MOST_NAMED]) + more


def _beside(folder, taken, options):
    """Return the recordings in a folder and the folders that hold some, except those whose names are taken."""
    return [*(file for file in _files(folder) if _is_recording(file, options)),
            *_folders_beside(folder, taken, options)]


def _folders_beside(folder, taken, options):
    """Return the folders in a folder that hold recordings, or whose folders do, except those
    whose names are taken."""
    others = [each for each in _folders_in(folder) if each.name not in taken]
    return [each for each in others if any(map(partial(_holds_some, options=options), (each, *_folders_in(each))))]


def _folders_below(folders, taken=()):
    """Return all folders in some folders, except those whose names are taken."""
    return [each for folder in folders for each in _folders_in(folder) if each.name not in taken]


def _folders_in(folder):
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")


def _holds_some(folder, options):
    return any(_is_recording(file, options) for file in _files(folder)[:MOST_OPENED])


def _open(path, options):
    module = event_format(path, options)
    if module is None:
        raise DataError(f"{unknown_format(path)}; what is no recording is to be moved out of the folder")
    return open_as(module, path, options)


def _classes(path, folders, names, options):
    """Return the recordings of class folders, sorted: a name that is a number is the label, else its
    place in the order is."""
    labels = _labels_of(path, names)
    in_order = sorted(names, key=labels.get)
    class_folders = [folder / name for folder in folders for name in in_order if (folder / name).is_dir()]
    taken = {each: _part(_files(each), options) for each in class_folders}
    recordings = [One(file, partial(_open, file, options), labels[each.name])
                  for each in class_folders for file in taken[each]]
    if class_folders and not any(map(_files, class_folders)):
        classes = listed([each.name for each in class_folders], MOST_NAMED)
        remedy = remedy_of_depth(path, options, class_folders) or remedy_of_unread(path)
        raise DataError(f"{path}: its class folders {classes} have no recordings{remedy}")
    beside = [each for folder in folders for each in _beside(folder, names, options)]
    beside += [each for folder in class_folders for each in _folders_beside(folder, (), options)]
    notes = (*_without_prose(path, [*folders, *class_folders]),
             *_left_out(path, beside, "taken from the folders of classes"),
             *_without_suffix(path, class_folders, _folders_below(folders, names)),
             *_without_share(path, taken, options))
    if names[0].isdecimal():
        return Recordings(path, recordings, notes=notes, numbered=True)
    places = [f"{place} {name}" for name, place in labels.items()]
    if len(places) > MOST_NAMED:
        places[MOST_NAMED - 1 : -1] = ["..."]
    by_place = f"labelled by the place of its class folder in sorted order: {', '.join(places)}"
    return Recordings(path, recordings, tuple(names), notes, by_place=by_place)


def remedy_of_depth(path, options, folders=None) -> str:
    """Return what to say of a folder without recordings where the folders within its own folders have some, or "".
    folders: its own folders; None: all of them."""
    below = _folders_below(_folders_in(path) if folders is None else folders)
    deeper = [each for each in below[:MOST_OPENED] if _holds_some(each, options)]
    return f"; they lie a folder deeper, in {_listed(path, deeper)}: move them up" if deeper else ""


def _labels_of(path, names):
    """Return {name of a class folder: its label}."""
    numbers = [name for name in names if name.isdecimal()]
    if not numbers:
        return {name: place for place, name in enumerate(names)}
    if len(numbers) < len(names):
        others = [name for name in names if name not in numbers]
        few, kinds = (others, "numbers") if len(others) <= len(numbers) else (numbers, "names")
        raise DataError(f"{path}: has class folders named by numbers and others ({', '.join(few[:MOST_NAMED])}), "
                        f"expected all to be {kinds}: rename it or move it out")
    labels = {name: int(name) for name in names}
    for name, other in zip(sorted(names, key=labels.get), sorted(names, key=labels.get)[1:]):
        if labels[name] == labels[other]:
            raise DataError(f"{path}: has class folders {name} and {other}, which are the same number: rename one "
                            "of them, or put their recordings together")
    largest = max(names, key=labels.get)
    if labels[largest] >= N_CLASSES:
        raise DataError(f"{path / largest}: is named by no class, expected a number below {N_CLASSES}")
    return labels


def _part(files, options):
    """Return those files of a class that are in the part that is asked for."""
    if options.test_share is None or options.part == "all":
        return files
    n_train = math.ceil(round(len(files) * (1 - options.test_share), 6))
    return files[n_train:] if options.part == "test" else files[:n_train]


def _without_share(path, taken, options):
    """Yield notes on classes that have files, but none in the part. Raises DataError where the part has no files
    of any class. taken: folder of a class -> its files that are in the part."""
    n_files = {each.name: len(_files(each)) for each, files in taken.items() if not files}
    without = [name for name, n in n_files.items() if n]
    if without and not any(taken.values()):
        n, other = max(n_files.values()), "larger" if options.part == "test" else "smaller"
        raise DataError(f"{path}: test_share is {options.test_share:g}, which leaves the {options.part} part "
                        f"nothing of classes of at most {many(n, 'file')}: give a {other} one (--test-share)")
    if without:
        yield (f"test_share {options.test_share:g} leaves the {options.part} part nothing of "
               f"{'class' if len(without) == 1 else 'classes'} {listed(without, MOST_NAMED)}")


# ---- DVS128 Gesture


def _gestures(path, lists, options):
    """Return each gesture of each trial, from its beginning to its end, as the official lists have them."""
    gestures = []
    for each in lists:
        with reading(each):
            trials = each.read_text("utf-8-sig").split()
        for trial in trials:
            file = path / trial
            if file.name != trial or not file.is_file():
                raise DataError(f"{each}: names {trial!r}, which is not in the folder")
            gestures += [One(file, partial(_gesture, file, span, options), label - 1)
                      for label, *span in _labels(file.with_name(f"{file.stem}_labels.csv"))]
    return Recordings(path, gestures)


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
    notes: what was assumed or mended, in words -> for how many recordings. by_width: whether a step is as long as
    the Input says, not a share of a recording.
    """

    def __init__(self, recordings: Recordings, input_node, timesteps, options: DataOptions):
        self.path, self.class_names = recordings.path, recordings.class_names
        self.numbered, self.by_place = recordings.numbered, recordings.by_place
        self._all, self._input, self._options = recordings.all, input_node, options
        self.layout = "CHW" if len(input_node.shape) == 3 else ""
        if input_node.events is None:
            raise DataError(f"{self.path}: holds event recordings; binning them needs events in the model's Input"
                            f"{self._remedy_of_values()}")
        if options.split != "width" and timesteps is None:
            raise DataError(f"{self.path}: split={options.split!r} cuts recordings into timesteps; give them "
                            "(--timesteps N)")
        self.n_samples = len(self._all)
        self._notes = {text: self.n_samples for text in recordings.notes}
        self.notes = Counter(self._notes)
        labels = [one.label for one in self._all]
        self.labels = None if None in labels or not labels else np.array(labels, np.int64)
        self._timesteps, self.lengths, self.by_width = timesteps, None, options.split == "width"
        check_steps(timesteps or 1, input_node.events, self.path)
        self._extents = None  # of recordings that are run as long as they are
        if timesteps is None and self._all:
            self._extents = [extent_of(self._stream(one), input_node.events) for one in self._all]
            self.lengths = np.array([extent.n_steps for extent in self._extents], np.int64)
        self.sample_shape = (self._steps(0, self.n_samples), *input_node.shape)

    def _remedy_of_values(self):
        """Return what to say of files in which values may stand that are no events, or ""."""
        suffix = self._all[0].path.suffix.lower() if self._all else ""
        if suffix in SOURCES:
            return "; where these are values, name them x: np.savez(file, x=x, y=y)"
        if suffix in TEXTS:
            return "; text is of events alone: where these are values, save arrays, np.savez(file, x=x, y=y)"
        return ""

    def read(self, size, stop, first=0):
        self.notes.clear()
        self.notes.update(self._notes)
        for start in range(first, stop, size):
            end = min(start + size, stop)
            steps = self._steps(start, end)
            yield np.stack([self._levels(i, steps) for i in range(start, end)])

    def _steps(self, start, stop):
        """Return the number of steps in an array of some recordings: that of the longest."""
        return self._timesteps or (1 if self.lengths is None else int(self.lengths[start:stop].max()))

    def _levels(self, i, steps):
        """Return the levels of recording i."""
        one = self._all[i]
        cut = self._cut(i, steps)
        self.n_dropped += cut.n_later + cut.n_early
        if cut.n_early:
            self.notes.update(["has events before its first step; left out"])
        try:
            check_values(cut.levels, self._input)
        except DataError as error:
            remedy = MERGE if isinstance(error, LevelError) else ""
            raise type(error)(f"{one.path}: {error}{remedy}") from None
        return cut.levels.reshape(steps, *self._input.shape)

    def _cut(self, i, steps):
        """Return the Cut of recording i, and note what is said of it."""
        bins, stream = self._input.events, self._stream(self._all[i])
        if not self.by_width:
            cut = cut_into(steps, self._options.split, stream, bins)
        else:
            cut = cut_by_width(stream, bins, steps, self._extents and self._extents[i].start)
        if cut is None:  # it does not begin with its first events
            start = extent_of(self._stream(self._all[i]), bins).start
            stream = self._stream(self._all[i])
            cut = cut_by_width(stream, bins, steps, start)
        self.notes.update(stream.notes)
        return cut

    def _stream(self, one):
        """Return the events of a recording, prepared, up to silence that nobody means."""
        stream = prepared(one.opened(), self._options)
        stream = sized(stream, self._input.events.sensor_size, self._options)
        # in other cases no silence is run that is not asked for
        if self._options.split == "time" or self.by_width and self._timesteps is None:
            stream = without_gaps(stream, self._options, at_once=True)
        return stream
