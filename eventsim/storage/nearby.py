"""Ends of messages about a path that does not exist or is a folder: what was probably meant."""

import itertools
import os
from pathlib import Path

from eventsim.text import nearest

MOST_NAMES = 2000  # entries of a folder that are compared
MOST_OPENED = 50  # files of a folder that are opened
MOST_NAMED = 4  # files in a message


def remedy_of_missing(path) -> str:
    """Return the end of a message about a file that does not exist: the missing folder, else the file beside it
    whose name is nearest (first of all the same name with another suffix), or ""."""
    path = Path(path)
    if not path.parent.is_dir():
        return remedy_of_folderless(path)
    names = [name for name in _names(path.parent) if name != path.name]  # not itself, a broken link
    same = [name for name in names if Path(name).stem in (path.name, path.stem)]
    by_stem = {Path(name).stem: name for name in reversed(names)}
    meant = same[0] if same else by_stem.get(nearest(path.stem, by_stem))
    return f", did you mean {path.with_name(meant)}?" if meant else ""


def remedy_of_folderless(path) -> str:
    """Return the end of a message that names the folder of a file if that does not exist, or ""."""
    return "" if Path(path).parent.is_dir() else f"; there is no folder {Path(path).parent}"


def remedy_of_folder(path, meant) -> str:
    """Return the end of a message about a folder given for a file: the files in it that may be meant, or "".
    meant: a function that takes the path of a file and returns whether it may be."""
    paths = [Path(path) / name for name in _names(path)[:MOST_OPENED]]
    inside = [str(each) for each in paths if each.is_file() and meant(each)]
    more = ", ..." * (len(inside) > MOST_NAMED)
    return f"; name one in it: {', '.join(inside[:MOST_NAMED])}{more}" if inside else ""


def what_is_held(names) -> str:
    """Return what an HDF5 file with these names at its root is, in words such as "a NIR model", or ""."""
    for members, what in (
        ({"summary", "counts"}, "a run file, for stats, plot and report"),
        ({"nodes", "edges"}, "a model"),
        ({"node"}, "a NIR model"),
        ({"layer"}, "a lava-dl model"),
        ({"x"}, "a data set"),
    ):
        if members <= set(names):
            return what
    return ""


def _names(folder):
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in itertools.islice(entries, MOST_NAMES) if entry.name[:1] != ".")
    except OSError:
        return []
