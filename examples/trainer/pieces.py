"""Bytes in pieces no larger than what can be carried at once, and joined again: whole, or an error in one line.

    split(data, folder, "checkpoint", 16 << 20)     checkpoint.1f3a90c2.000, ..., checkpoint.json
    data = join(folder, "checkpoint")

The pieces of each set have names of their own, and the index, which has the size and SHA-256 of every piece, is
replaced when all of them are written; only then the older ones go. So a folder holds a whole set whenever it is
looked at, for a moment two, and neither a piece of an older set nor a damaged one is taken. Needs nothing but
Python.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from trainer.errors import TrainerError

MEBIBYTE = 1 << 20


def split(data, folder, name, limit):
    """Write bytes as pieces of at most `limit` bytes and their index; then pieces of an older set go.

    Returns the paths of the pieces. ValueError if `limit` is below 1.
    """
    if limit < 1:
        raise TrainerError(f"pieces of {limit} bytes are wanted, expected at least 1")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    view, pieces = memoryview(data), []
    of_set = hashlib.sha256(b"%d " % limit)  # cut otherwise, the same bytes are another set
    of_set.update(view)
    for number, start in enumerate(range(0, max(len(view), 1), limit)):
        piece = view[start : start + limit]
        path = folder / f"{name}.{of_set.hexdigest()[:8]}.{number:03d}"
        write(path, piece)
        pieces.append({"file": path.name, "bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest()})
    write(index_of(folder, name), (json.dumps({"pieces": pieces}, indent=1) + "\n").encode())
    _remove_older(folder, name, {piece["file"] for piece in pieces})
    return [folder / piece["file"] for piece in pieces]


def _remove_older(folder, name, kept):
    """Remove what is of other sets than the files `kept`, also what a killed process has left half written."""
    # older names have no part for the set
    of_pieces = re.compile(rf"{re.escape(name)}\.([0-9a-f]{{8}}\.)?[0-9]{{3}}(\.new)?")
    for path in folder.iterdir():
        if of_pieces.fullmatch(path.name) and path.name not in kept:
            path.unlink()


def join(folder, name):
    """Return the bytes that `split` was given. TrainerError where the index or a piece is missing, or is
    another."""
    index = index_of(folder, name)
    try:
        pieces = json.loads(index.read_text())["pieces"]
        listed = [(piece["file"], piece["sha256"]) for piece in pieces]
    except FileNotFoundError:
        raise TrainerError(f"{index}: is missing: it lists the pieces; bring it, too") from None
    except (ValueError, KeyError, TypeError):
        raise TrainerError(f"{index}: is no index of pieces: bring it again") from None
    return b"".join(_piece(Path(folder) / file, digest) for file, digest in listed)


def _piece(path, digest):
    if not path.exists():
        raise TrainerError(f"{path}: is missing: bring it, too")
    data = path.read_bytes()
    own_digest = hashlib.sha256(data).hexdigest()
    if own_digest != digest:
        raise TrainerError(f"{path}: has SHA-256 {own_digest[:12]}..., its index says {digest[:12]}...: it is "
                           "damaged or of another set; bring the whole set again")
    return data


def index_of(folder, name):
    """Return the path of the index of a set of pieces."""
    return Path(folder) / f"{name}.json"


def write(path, data):
    """Write a file, whole or not at all."""
    beside = path.with_name(path.name + ".new")
    beside.write_bytes(data)
    os.replace(beside, path)
