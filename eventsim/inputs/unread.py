"""Ends of messages about what people have first and is not read: image files, Python's pickles."""

import itertools
from pathlib import Path

from eventsim.storage.reading import READ_ERRORS, special_file

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
PICKLES = ("", ".pkl", ".pickle", ".p")  # suffixes
PICKLE = b"\x80"
DEPTH = 3  # of folders that are looked into: a part, its classes, their files
MOST_SEEN = 2000  # files


def remedy_of_unread(path) -> str:
    """Return the end of a message about a file, or a folder, that holds pictures or pickles: how their values are
    given; "" where it holds none."""
    path = Path(path)
    for each in itertools.islice(_files(path, DEPTH), MOST_SEEN):
        name = each.relative_to(path) if each != path else each.name
        if each.suffix.lower() in PICTURES:
            return (f"; image files such as {name} are not read: save their pixels as an array, "
                    "np.savez('images.npz', x=np.stack([np.asarray(PIL.Image.open(path)) for path in paths]), "
                    "y=labels)")
        if each.suffix.lower() in PICKLES and _is_pickle(each):
            return (f"; {name} is a Python pickle, which is a program and never loaded: of CIFAR take the binary "
                    "version (cifar-10-binary.tar.gz), of others save the arrays, np.savez(file, x=x, y=y)")
    return ""


def _files(path, depth):
    """Yield the files at a path and in its folders, in the order of names, except hidden ones."""
    if path.is_file():
        yield path
    elif depth and path.is_dir():
        try:
            inside = sorted(each for each in itertools.islice(path.iterdir(), MOST_SEEN) if each.name[0] != ".")
        except OSError:
            return
        for each in inside:
            yield from _files(each, depth - 1)


def _is_pickle(path):
    if special_file(path):
        return False
    try:
        with open(path, "rb") as file:
            return file.read(1) == PICKLE
    except READ_ERRORS:
        return False
