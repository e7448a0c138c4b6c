"""What was probably meant by a name that leads nowhere: remedies for messages."""

import itertools
import os
from pathlib import Path

from eventsim.text import nearest

MOST_NAMES = 2000  # of a folder that are looked through
MOST_OPENED = 50  # of its files that are looked into
MOST_NAMED = 4  # in a message


def remedy_of_missing(path) -> str:
    """What to say behind the name of a file that does not exist, or "": the folder that is missing, or a file with
    a name near it, above all the same with a suffix."""
    path = Path(path)
    if not path.parent.is_dir():
        return remedy_of_folderless(path)
    names = [name for name in _names(path.parent) if name != path.name]  # which may be a link that leads nowhere
    same = [name for name in names if Path(name).stem in (path.name, path.stem)]
    by_stem = {Path(name).stem: name for name in reversed(names)}
    meant = same[0] if same else by_stem.get(nearest(path.stem, by_stem))
    return f", did you mean {path.with_name(meant)}?" if meant else ""


def remedy_of_folderless(path) -> str:
    """What to say where the folder of a file does not exist, or ""."""
    return "" if Path(path).parent.is_dir() else f"; there is no folder {Path(path).parent}"


def remedy_of_folder(path, meant) -> str:
    """What to say where a folder is given and a file was meant: those of its files that were, or "". meant: says
    of the path of a file whether it may have been."""
    paths = [Path(path) / name for name in _names(path)[:MOST_OPENED]]
    inside = [str(each) for each in paths if each.is_file() and meant(each)]
    more = ", ..." * (len(inside) > MOST_NAMED)
    return f"; name one in it: {', '.join(inside[:MOST_NAMED])}{more}" if inside else ""


def what_is_held(names) -> str:
    """What kind of file of ours, or of other tools, an HDF5 file is that has these members at its root, or ""."""
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
        with os.scandir(folder) as found:
            return sorted(entry.name for entry in itertools.islice(found, MOST_NAMES) if entry.name[:1] != ".")
    except OSError:
        return []
