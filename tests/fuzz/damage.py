"""What is done to a file. Each change takes (content, random) and returns other content; a change that finds
nothing to do returns the same. They never look at what eventsim makes of it."""

import io
import itertools
import json
import random
import zipfile
from functools import lru_cache
from typing import Callable, Dict

import h5py
import numpy as np

Change = Callable[[bytes, random.Random], bytes]

WHOLE = (0, 1, -1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 255, 256, 4095, 4097, 32767, 65535, 65536, 2**24, 2**31 - 1,
         2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, -(2**31), -(2**63))
REAL = (0.0, -0.0, 0.5, -1.0, 1e-3, 1e3, 1e-40, 1e-310, 1e38, 3.5e38, 1e300, -1e300, float("inf"), float("-inf"),
        float("nan"))
TEXTS = ("", " ", "a\nb", "\x1b[2J\x1b]0;x\x07", "=1+1", "\u202egnp", "../../x", "/", "in", "Input", "Dense",
         "Conv2d", "Neuron", "Readout", "Flatten", "LIF", "CubaLIF", "NIRGraph", "CUBA", "SDNN", "dense", "conv",
         "spikes", "real", "image", "soft", "hard", "wrap", "nan", "x" * 300, "\0", "\ud7ff", "Ω", "%s%n{0}",
         "eventsim model")
TOKENS = tuple(text.encode("utf-8", "replace") for text in TEXTS) + (
    b"\xff" * 4, b"\0" * 8, b"nan", b"1e400", b"-1", b",", b"\r\n", b"#", b"% end\n", b"9" * 40, b'"', b"[" * 50,
    b"{}", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x1f\x8b\x08")
MOST_CHANGED = 1 << 16  # elements of an array that is made anew


# ---- bytes


def _place(content, rng):
    """A place of a byte, half of the time of one that is not 0: files of HDF5 are full of holes."""
    for _ in range(rng.choice((1, 20))):
        place = rng.randrange(len(content))
        if content[place]:
            break
    return place


def _span(content, rng):
    start = _place(content, rng)
    return start, min(len(content), start + rng.choice((1, 2, 4, 8, 16, 64, 512)))


def flip(content, rng):
    """One bit."""
    place, changed = _place(content, rng), bytearray(content)
    changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def byte(content, rng):
    """One byte."""
    place, changed = _place(content, rng), bytearray(content)
    changed[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(changed)


def whole(content, rng):
    """An integer of 2, 4 or 8 bytes."""
    size, place = rng.choice((2, 4, 8)), _place(content, rng)
    value = (rng.choice(WHOLE) % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))
    return content[:place] + value + content[place + size:]


def remove(content, rng):
    """A span left out."""
    start, end = _span(content, rng)
    return content[:start] + content[end:]


def repeat(content, rng):
    """A span twice."""
    start, end = _span(content, rng)
    return content[:end] + content[start:end] * rng.choice((1, 1, 1, 20)) + content[end:]


def exchange(content, rng):
    """A span over another."""
    start, end = _span(content, rng)
    place = _place(content, rng)
    return content[:place] + content[start:end] + content[place + end - start:]


def clear(content, rng):
    """A span of zeros or ones."""
    start, end = _span(content, rng)
    return content[:start] + rng.choice((b"\0", b"\xff")) * (end - start) + content[end:]


def cut(content, rng):
    """The end left out."""
    return content[:rng.randrange(len(content) + 1)]


def extend(content, rng):
    """Something behind the end."""
    return content + rng.choice((b"\0" * 100, rng.randbytes(rng.randrange(1, 64)), content[:1000]))


def token(content, rng):
    """A word put in, or over what is there."""
    place, word = _place(content, rng), rng.choice(TOKENS)
    return content[:place] + word + content[place + len(word) * rng.randrange(2):]


BYTES: Dict[str, Change] = {
    change.__name__: change
    for change in (flip, byte, whole, remove, repeat, exchange, clear, cut, extend, token)
}


# ---- arrays


def other_array(array, rng):
    """An array with other numbers, another type or another shape. May raise what NumPy raises."""
    change = rng.choice((_value, _value, _value, _typed, _shaped, _shaped, _sized))
    return change(np.asarray(array), rng)


def _value(array, rng):
    if not array.size:
        return np.ones(array.shape or 1)
    changed = array.copy()
    where = rng.choice((rng.randrange(array.size), slice(None), slice(rng.randrange(array.size), None)))
    kind = array.dtype.kind
    if kind in "SUO":
        changed.reshape(-1)[where] = rng.choice(TEXTS).replace("\0", "").encode("utf-8", "replace")
    elif kind == "f":
        with np.errstate(over="ignore"):
            changed.reshape(-1)[where] = rng.choice(REAL)
    elif kind in "iu":
        info = np.iinfo(array.dtype)
        changed.reshape(-1)[where] = rng.choice([n for n in WHOLE if info.min <= n <= info.max])
    elif kind == "b":
        changed.reshape(-1)[where] ^= True
    return changed


TYPES = ("i1", "u1", "i2", ">i4", "i8", "u8", "f2", "f4", ">f8", "f8", "?", "c8", "S4")


def _typed(array, rng):
    if array.dtype.kind not in "biuf":
        return rng.choice((np.arange(array.size).reshape(array.shape), np.float64(1), np.array(7)))
    with np.errstate(all="ignore"):
        return array.astype(rng.choice(TYPES))


def _shaped(array, rng):
    many_axes = (1,) * rng.randrange(1, 33 - array.ndim) + array.shape
    return rng.choice([array.reshape(-1), array[np.newaxis], array[..., np.newaxis], array.T,
                       array.reshape(many_axes), array.reshape(-1)[0] if array.size else array])


def _sized(array, rng):
    if not array.ndim:
        return np.broadcast_to(array, rng.choice(((0,), (1,), (2,), (2, 2)))).copy()
    axis = rng.randrange(array.ndim)
    n = array.shape[axis]
    most = max(1, MOST_CHANGED * n // max(1, array.size))
    index = np.arange(min(most, rng.choice((0, 1, n - 1, n + 1, 2 * n, 65, 600)))) % max(n, 1)
    if not n:
        return array
    return array.take(index, axis=axis)


# ---- members of HDF5


def _all_members(file):
    names = []
    file.visit(names.append)
    return names


def hdf5(content, rng):
    """A member removed, renamed, exchanged, made anew, linked."""
    return hdf5_in_turn(content, [rng])


def hdf5_in_turn(content, rngs):
    """As many such changes as there are generators of random numbers. The file is opened once, and anew behind a
    change that was not possible: opening takes longer than most changes."""
    waiting = list(reversed(rngs))
    while waiting:
        try:
            content = _changed_while_possible(content, waiting)
        except Exception:  # whatever h5py and NumPy say of a file that no change was possible in
            pass
    return content


def _changed_while_possible(content, waiting):
    """Content after the changes that are taken from the end of `waiting`, up to one that is not possible."""
    rng = waiting.pop()
    with h5py.File.in_memory(file_image=content) as file:
        names = list(_member_names(content)) if content in UNCHANGED else _all_members(file)
        while True:
            try:
                if names:
                    rng.choice(HDF5_CHANGES)(file, names, rng)
                file.flush()
                content = file.id.get_file_image()
            except Exception:  # whatever h5py and NumPy say: the change is not possible
                return content
            if not waiting:
                return content
            rng, names = waiting.pop(), _all_members(file)


UNCHANGED = set()  # contents that many cases begin with: what is found out about them is kept


def remember(content):
    """Find out now what many cases with this content, of an HDF5 file, would find out each."""
    for each in (content, without_checksums(content)):
        UNCHANGED.add(each)
        _member_names(each)


@lru_cache(maxsize=None)
def _member_names(content):
    with h5py.File.in_memory(file_image=content) as file:
        return tuple(_all_members(file))


def _array(file, names, rng, wanted=lambda one: True):
    """The name of a dataset. Looking at all would take longer than eventsim takes."""
    return next(name for name in rng.sample(names, len(names))
                if isinstance(file[name], h5py.Dataset) and wanted(file[name]))


def _remove_member(file, names, rng):
    del file[rng.choice(names)]


def _rename_member(file, names, rng):
    name = rng.choice(names)
    parent = name.rpartition("/")[0]
    other = rng.choice((rng.choice(names).rpartition("/")[2], rng.choice(TEXTS).replace("\0", "")))
    file.move(name, f"{parent}/{other}")


def _exchange_members(file, names, rng):
    first, second = rng.choice(names), rng.choice(names)
    file.move(first, "kept aside")
    file.move(second, first)
    file.move("kept aside", second)


def _copy_member(file, names, rng):
    first, second = rng.choice(names), rng.choice(names)
    if first != second:
        del file[second]
        file.copy(first, second)


def _new_values(file, names, rng):
    """Other numbers of the same type and shape: what is most often run."""
    one = file[_array(file, names, rng, lambda one: one.dtype.kind in "biuf")]
    one[...] = _value(one[()], rng)


def _new_array(file, names, rng):
    name = _array(file, names, rng)
    old = file[name]
    kind = old.dtype
    ragged = h5py.check_vlen_dtype(kind) is not None  # h5py crashes on texts among them
    array = _sized(old[()], rng) if ragged else other_array(old[()], rng)
    del file[name]
    if array.dtype.kind == "O":
        file.create_dataset(name, data=array, dtype=kind)
    else:
        file[name] = array


def _declared(file, names, rng):
    """An array of which nothing is there but its shape."""
    name = rng.choice(names)
    shape = rng.choice(((1 << 40,), (1 << 20, 1 << 20), (1,), (0,), (2, 0, 3), (1 << 31, 1), (4096, 4096)))
    del file[name]
    file.create_dataset(name, shape, rng.choice(("f4", "f8", "u1", "i8", h5py.string_dtype())),
                        chunks=tuple(min(max(n, 1), 64) for n in shape), maxshape=(None,) * len(shape),
                        fillvalue=rng.choice((None, None, 1)) if rng.randrange(2) else None)


def _other_kind(file, names, rng):
    name = rng.choice(names)
    del file[name]
    made = rng.randrange(6)
    if made == 0:
        file.create_group(name)
    elif made == 1:
        file[name] = h5py.Empty(rng.choice(("f4", "S3")))
    elif made == 2:
        file[name] = np.zeros(2, [("a", "i4"), ("b", "f8")])
    elif made == 3:
        file[name] = rng.choice(TEXTS).replace("\0", "")
    elif made == 4:
        file.create_dataset(name, (2,), h5py.vlen_dtype(np.int16))
    else:
        file[name] = rng.choice((rng.choice(WHOLE[:20]), rng.choice(REAL), True))


def _linked(file, names, rng):
    name = rng.choice(names)
    link = rng.choice((h5py.SoftLink("/"), h5py.SoftLink("/" + rng.choice(names)), h5py.SoftLink("/nowhere"),
                       h5py.ExternalLink("other.h5", "/"), file[rng.choice(names)], file["/"]))
    if rng.randrange(2):
        del file[name]
        file[name] = link
    else:
        file[f"{name}x"] = link


def _packed(file, names, rng):
    name = _array(file, names, rng, lambda one: one.ndim)
    values = file[name][()]
    del file[name]
    file.create_dataset(name, data=values, chunks=True, shuffle=rng.random() < 0.5, fletcher32=rng.random() < 0.3,
                        compression=rng.choice((None, "gzip", "lzf")))


def _attribute(file, names, rng):
    file[rng.choice(names)].attrs[rng.choice(TEXTS[1:]).replace("\0", "")] = rng.choice(("x", 1, [1.5]))


def _new_member(file, names, rng):
    parent = rng.choice(("", *(name for name in names if isinstance(file[name], h5py.Group))))
    name = rng.choice(names).rpartition("/")[2] + rng.choice(("", "x", "é"))
    file[f"{parent}/{name}"] = rng.choice((1, "x", [2.5, 1]))


HDF5_CHANGES = (_new_values,) * 9 + (_new_array,) * 5 + (_other_kind,) * 2 + (
    _remove_member, _rename_member, _exchange_members, _copy_member, _declared, _linked, _packed, _attribute,
    _new_member)


def without_checksums(content):
    """A native model of version 1, whose changes no checksum shows."""
    return _kept_without_checksums(content) if content in UNCHANGED else _without_checksums(content)


@lru_cache(maxsize=None)
def _kept_without_checksums(content):
    return _without_checksums(content)


def _without_checksums(content):
    with h5py.File.in_memory(file_image=content) as file:
        if "checksums" in file:
            del file["checksums"]
            file["version"][()] = 1
            file.flush()
        return file.id.get_file_image()


# ---- members of .npz


def npz(content, rng):
    """A member removed, renamed, made anew, or there twice."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        name = rng.choice(sorted(arrays))
        made = rng.randrange(8)
        if made == 0:
            del arrays[name]
        elif made == 1:
            other = rng.choice((rng.choice(sorted(arrays)), rng.choice(TEXTS).replace("\0", "")))
            arrays[other] = arrays.pop(name)
        else:
            arrays[name] = other_array(arrays[name], rng)
        return _zipped(arrays, twice=made == 2, packed=rng.random() < 0.5)
    except Exception:  # whatever zipfile and NumPy say: the change is not possible
        return content


def _zipped(arrays, twice, packed):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
        if twice and arrays:
            archive.infolist()[0].filename = archive.infolist()[-1].filename
    return buffer.getvalue()


# ---- values of JSON


def json_values(content, rng):
    """A value exchanged, a key removed or renamed."""
    try:
        tree = json.loads(content)
    except (ValueError, RecursionError):
        return content
    places = list(_places(tree))
    if not places:
        return content
    holder, key = rng.choice(places)
    made = rng.randrange(4)
    if made == 0 and isinstance(holder, dict):
        del holder[key]
    elif made == 1 and isinstance(holder, dict):
        holder[rng.choice((*map(str, holder), *TEXTS))] = holder.pop(key)
    elif made == 2:
        other, there = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[there]))
    else:
        holder[key] = rng.choice((None, True, False, [], {}, [[]], 10**400, *WHOLE, *REAL, *TEXTS))
    return json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _places(tree):
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


TREES: Dict[str, Change] = {"hdf5": hdf5, "npz": npz, "json": json_values}
CHANGES: Dict[str, Change] = {**BYTES, **TREES}
TREE_OF = {".h5": "hdf5", ".nir": "hdf5", ".net": "hdf5", ".npz": "npz", ".json": "json"}


def changed(content, changes, suffix):
    """Content after changes, each (name, number of its random choices)."""
    if suffix == ".h5" and changes and changes[0][0] == "hdf5" and changes[0][1] % 8:
        content = without_checksums(content)
    for tree, some in itertools.groupby(changes, lambda change: change[0] == "hdf5"):
        if tree:
            content = hdf5_in_turn(content, [random.Random(number) for _, number in some])
            continue
        for name, number in some:
            content = CHANGES[name](content, random.Random(number)) if content else content
    return content
