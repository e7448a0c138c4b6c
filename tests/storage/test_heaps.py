"""Damaged heaps of strings: refused before HDF5 walks through them, which can take for ever."""

import signal
import struct
import subprocess
import sys

import h5py
import numpy as np
import pytest

from eventsim.errors import FormatError
from eventsim.storage.hdf5 import open_hdf5
from eventsim.storage.heaps import damaged_heap, longest_reference, SIGNATURE

HEADER = 16


def write(path, texts=("eventsim", "a text that is longer than the others", "")):
    with h5py.File(path, "w") as file:
        file["one"] = texts[0]  # of variable length
        file.create_dataset("many", data=np.array(texts, object), dtype=h5py.string_dtype())
    return bytearray(path.read_bytes())


def objects(data):
    """(offset, index, size) of the objects of the first heap, free space too."""
    start = data.find(SIGNATURE)
    offset, end = start + HEADER, start + struct.unpack_from("<Q", data, start + 8)[0]
    while offset + HEADER <= end:
        index, size = struct.unpack_from("<H", data, offset)[0], struct.unpack_from("<Q", data, offset + 8)[0]
        yield offset, index, size
        offset += size if index == 0 else HEADER + -(-size // 8) * 8


def read(path):
    with open_hdf5(path) as root:
        return [root.text("one"), *root.texts("many")]


def test_sound_heaps_are_read(tmp_path):
    path = tmp_path / "x.h5"
    write(path)
    assert damaged_heap(path, 8) is None
    assert read(path) == ["eventsim", "eventsim", "a text that is longer than the others", ""]
    many = [f"text {i} " * 50 for i in range(500)]  # several heaps
    write(path, many)
    assert path.read_bytes().count(SIGNATURE) > 1 and damaged_heap(path, 8) is None
    assert read(path)[1:] == many


def test_files_without_heaps(tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(b"")
    assert damaged_heap(path, 8) is None
    path.write_bytes(b"nothing of the kind" * 1000)
    assert damaged_heap(path, 8) is None


def damages():
    """name -> change of the bytes of a file."""

    def free_space_of_size_0(data):
        offset = next(offset for offset, index, _ in objects(data) if index == 0)
        data[offset + 8 : offset + 16] = bytes(8)

    def objects_become_free_space(data):
        offset = next(offset for offset, index, _ in objects(data) if index == 1)
        data[offset : offset + 2] = bytes(2)
        data[offset + 8 : offset + 16] = struct.pack("<Q", 3)

    def object_beyond_the_heap(data):
        offset = next(offset for offset, index, _ in objects(data) if index == 1)
        data[offset + 8 : offset + 16] = struct.pack("<Q", 1 << 40)

    def heap_beyond_the_file(data):
        start = data.find(SIGNATURE)
        data[start + 8 : start + 16] = struct.pack("<Q", 1 << 40)

    return {f.__name__: f for f in (free_space_of_size_0, objects_become_free_space, object_beyond_the_heap,
                                    heap_beyond_the_file)}


@pytest.mark.parametrize("name", damages())
def test_damaged_heaps_are_refused(tmp_path, name):
    path = tmp_path / "x.h5"
    data = write(path)
    damages()[name](data)
    path.write_bytes(data)
    assert damaged_heap(path, 8) == data.find(SIGNATURE)
    message = r"x.h5: 'one' cannot be read, the file is damaged \(in a heap of strings\)"
    with pytest.raises(FormatError, match=message):
        read(path)


def test_what_is_prevented(tmp_path):
    """h5py itself goes round for ever; should that end, this module may go."""
    path = tmp_path / "x.h5"
    data = write(path)
    damages()["free_space_of_size_0"](data)
    path.write_bytes(data)
    code = f"""if True:
        import h5py, resource, time
        seconds = int(time.process_time()) + 2  # at least one more, where reading takes milliseconds
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        print(h5py.File({str(path)!r})["one"][()])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert -done.returncode in (signal.SIGXCPU, signal.SIGKILL) and not done.stdout and not done.stderr


def test_heaps_of_other_widths(tmp_path):
    path = tmp_path / "x.h5"
    properties = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    properties.set_sizes(4, 4)
    with h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, fcpl=properties)) as file:
        file["one"] = "four bytes"
        file.create_dataset("many", data=np.array(["a", "b" * 99], object), dtype=h5py.string_dtype())
    assert damaged_heap(path, 4) is None
    assert read(path) == ["four bytes", "a", "b" * 99]
    assert damaged_heap(path, 3) is not None


@pytest.mark.parametrize("options", [
    {}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip"}, {"chunks": (3,), "shuffle": True},
    {"chunks": (2,), "compression": "gzip", "shuffle": True},
], ids=str)
@pytest.mark.parametrize("kind", ("texts", "arrays"))
def test_no_memory_for_what_a_reference_alone_declares(tmp_path, options, kind):
    """HDF5 takes as much before it looks for the string or array."""
    path, length = tmp_path / "x.h5", 23
    texts = np.array(["a" * length] * 3, object)
    with h5py.File(path, "w") as file:
        if kind == "texts":
            made = file.create_dataset("x", (3,), h5py.string_dtype(), **options)
            made[...] = texts
        else:
            made = file.create_dataset("x", (3,), h5py.vlen_dtype(np.int8), **options)
            for i in range(3):
                made[i] = np.arange(length)
    with open_hdf5(path) as root:
        assert longest_reference(root.dataset("x").handle.id, path) == length
        if kind == "texts":
            assert root.texts("x").tolist() == texts.tolist()
        else:
            assert root.ragged("x").row(2).tolist() == list(range(length))
    if "chunks" in options:
        return
    data = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        place = file["x"].id.get_offset() + 16
    data[place:place + 4] = struct.pack("<I", 0x7fffffff)
    path.write_bytes(data)
    message = f"one of its (strings|{kind}) declares 2147483647"
    with open_hdf5(path) as root, pytest.raises(FormatError, match=message):
        root.texts("x") if kind == "texts" else root.ragged("x")
