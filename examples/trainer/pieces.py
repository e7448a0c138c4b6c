"""Bytes in pieces no larger than what can be carried at once, and joined again: whole, or an error in one line.

    split(data, folder, "checkpoint", 16 << 20)     checkpoint.000, checkpoint.001, ..., checkpoint.json
    data = join(folder, "checkpoint")

The index, written last, has the size and SHA-256 of every piece, so that neither a piece of an older set nor a
damaged one is taken. Needs nothing but Python.
"""

import hashlib
import json
import os
from pathlib import Path

from trainer.errors import TrainerError

MEBIBYTE = 1 << 20


def split(data, folder, name, limit):
    """Write bytes as pieces of at most `limit` bytes and their index; pieces of an older, longer set go.

    Returns the paths of the pieces. ValueError if `limit` is below 1.
    """
    if limit < 1:
        raise TrainerError(f"pieces of {limit} bytes are wanted, expected at least 1")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    view, pieces = memoryview(data), []
    for number, start in enumerate(range(0, max(len(view), 1), limit)):
        piece = view[start : start + limit]
        path = folder / f"{name}.{number:03d}"
        write(path, piece)
        pieces.append({"file": path.name, "bytes": len(piece), "sha256": hashlib.sha256(piece).hexdigest()})
    write(index_of(folder, name), (json.dumps({"pieces": pieces}, indent=1) + "\n").encode())
    listed = {piece["file"] for piece in pieces}
    for old in folder.glob(f"{name}.[0-9][0-9][0-9]"):
        if old.name not in listed:
            old.unlink()
    return [folder / piece["file"] for piece in pieces]


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
