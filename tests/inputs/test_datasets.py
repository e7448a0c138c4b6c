"""Data files in their official formats, whole and damaged."""

import gzip
import struct
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from event_files import write_nmnist, write_recording

from eventsim.errors import DataError, EventsimError
from eventsim.inputs.binning import bin_events
from eventsim.inputs.dataset import open_dataset
from eventsim.model.input import EventBins, Input

SHARED = Path(__file__).resolve().parents[3] / "shared" / "datasets"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/datasets")

MNIST = Input((1, 5, 4), "image", 8)
CIFAR = Input((3, 32, 32), "image", 8)
EVENTS = Input((2, 3, 4), bits=3, events=EventBins(10, sensor_size=(3, 4)))

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 5, 4), np.uint8)
DIGITS = RNG.integers(0, 10, 7, np.uint8)


def idx(array, code=8):
    head = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def write_mnist(folder, packed=True, part="t10k", images=IMAGES, labels=DIGITS):
    pack, suffix = (gzip.compress, ".gz") if packed else (bytes, "")
    (folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(images)))
    (folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(labels)))
    return folder / f"{part}-images-idx3-ubyte{suffix}"


def read_all(dataset, size=3, limit=None):
    parts = list(dataset.batches(size, limit))
    x = np.concatenate([x for x, y in parts])
    return x, None if parts[0][1] is None else np.concatenate([y for x, y in parts])


def assert_holds(dataset, x, y, size=3):
    for _ in range(2):  # a data set can be read again
        found_x, found_y = read_all(dataset, size)
        np.testing.assert_array_equal(found_x, x)
        assert found_x.flags.c_contiguous
        if y is None:
            assert found_y is None and dataset.labels is None
        else:
            np.testing.assert_array_equal(found_y, y)
            assert found_y.dtype == dataset.labels.dtype == np.int64
    assert len(dataset) == len(x)


def refuses(path, message, node=MNIST, timesteps=None, names=None):
    """Opening and reading the whole file gives one line that begins with the file's name."""
    with pytest.raises(DataError, match=message) as caught:
        read_all(open_dataset(path, node, timesteps))
    assert str(caught.value).startswith(f"{names or path}: ")
    assert "\n" not in str(caught.value)


# ---- IDX

@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_idx(tmp_path, packed, size):
    path = write_mnist(tmp_path, packed)
    for found in (path, tmp_path, str(path)):
        assert_holds(open_dataset(found, MNIST), IMAGES[:, None], DIGITS, size)
    assert open_dataset(path, MNIST).name == path.name
    assert open_dataset(tmp_path, MNIST).name == f"{tmp_path.name}/{path.name}"
    assert repr(open_dataset(path, MNIST)) == f"Dataset('{path.name}', 7 samples)"


def test_limit(tmp_path):
    dataset = open_dataset(write_mnist(tmp_path), MNIST)
    x, y = read_all(dataset, 3, limit=4)
    np.testing.assert_array_equal(x, IMAGES[:4, None])
    np.testing.assert_array_equal(y, DIGITS[:4])
    assert len(read_all(dataset, 3, limit=100)[0]) == 7


@pytest.mark.parametrize("size, limit", [(0, None), (1.5, None), (1, 0), (1, -1), ("a", None), (1, float("inf"))])
def test_bad_size_or_limit(tmp_path, size, limit):
    with pytest.raises(DataError, match="expected a whole number above 0"):
        open_dataset(write_mnist(tmp_path), MNIST).batches(size, limit)


def test_idx_as_vector_and_in_other_layouts(tmp_path):
    path = write_mnist(tmp_path)
    assert_holds(open_dataset(path, Input((20,), "image", 8)), IMAGES.reshape(7, 20), DIGITS)
    for layout in ("HW", "HWC", "CHW", "HCW"):
        assert_holds(open_dataset(path, Input((1, 5, 4), "image", 8, layout=layout)), IMAGES[:, None], DIGITS)
    turned = Input((1, 4, 5), "image", 8, layout="WHC")
    assert_holds(open_dataset(path, turned), IMAGES.transpose(0, 2, 1)[:, None], DIGITS)


def test_idx_without_labels_and_of_another_type(tmp_path):
    path = tmp_path / "numbers.idx3"
    path.write_bytes(idx(IMAGES.astype(">i4"), 12))
    assert_holds(open_dataset(path, MNIST), IMAGES[:, None], None)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(idx(IMAGES))
    assert_holds(open_dataset(path, MNIST), IMAGES[:, None], None)


@pytest.mark.parametrize("labels",
                         ["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte", "t10k-labels.idx1-ubyte.gz"])
@pytest.mark.parametrize("images", ["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte.gz"])
def test_labels_lie_beside_images_in_either_spelling(tmp_path, images, labels):
    for name, array in ((images, IMAGES), (labels, DIGITS)):
        content = idx(array)
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert_holds(open_dataset(tmp_path, MNIST), IMAGES[:, None], DIGITS)


def test_damaged_idx(tmp_path):
    path = tmp_path / "t10k-images-idx3-ubyte"
    whole = idx(IMAGES)
    for content, message in [
        (b"\0\0\x08", "starts with bytes 00 00 08, expected IDX"),
        (b"\0\x01" + whole[2:], "starts with bytes 00 01 08 03, expected IDX"),
        (b"\0\0\x07" + whole[3:], "starts with bytes 00 00 07 03"),
        (b"\0\0\x08\0" + whole[4:], "starts with bytes 00 00 08 00"),
        (whole[:9], "truncated in the header"),
        (whole[:-1], r"has 155 bytes, but shape \(7, 5, 4\) takes 156: truncated"),
        (whole + b"!", "has 157 bytes"),
        (gzip.compress(whole[:-1]), "truncated: ends in sample 6 of 7"),
        (gzip.compress(whole + b"!"), "has data after the last of 7 samples"),
        (gzip.compress(whole)[:-8] + bytes(8), "cannot be read, damaged or truncated .*CRC"),
        (gzip.compress(whole)[:-20], "cannot be read, damaged or truncated"),
        (gzip.compress(whole)[:5], "cannot be read, damaged or truncated"),
        (gzip.compress(idx(np.zeros(1, np.uint8))[:4] + b"\xff" * 4), "4294967295 bytes of data, but holds"),
        (idx(IMAGES[:0]), r"empty: 0 samples of shape \(5, 4\)"),
        (idx(DIGITS), "one number per sample: labels; give the images file"),
        (idx(IMAGES[:, :4]), r"samples have shape \(4, 4\), expected axes CHW .* input \(1, 5, 4\)"),
    ]:
        path.write_bytes(content)
        refuses(path, message)


def test_damaged_idx_labels(tmp_path):
    path = write_mnist(tmp_path, packed=False)
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    for content, message, names in [
        (idx(DIGITS[:-1]), "y has 6 labels, but x has 7 samples", labels),
        (idx(IMAGES), "expected one class number per sample", labels),
        (idx(DIGITS)[:-1], "has 14 bytes", labels),
        (gzip.compress(idx(DIGITS)[:-1]), r"has 6 bytes or more, shape \(7,\) takes 7", labels),
        (gzip.compress(idx(DIGITS) + b"!"), "has 8 bytes or more", labels),
        (gzip.compress(idx(DIGITS))[:-9], "damaged or truncated", labels),
    ]:
        labels.write_bytes(content)
        refuses(path, message, names=names)


def test_values_beyond_the_bits(tmp_path):
    path = write_mnist(tmp_path, images=np.full((7, 5, 4), 40, np.uint8))
    refuses(path, "samples 0 to 2: x has values up to 40 but the model's input has 5 bits",
            Input((1, 5, 4), "image", 5))


# ---- CIFAR

def write_cifar(path, n_labels=1, n=4, label=3):
    pixels = RNG.integers(0, 256, (n, 3, 32, 32), np.uint8)
    labels = np.full((n, n_labels), label, np.uint8)
    labels[:, -1] = np.arange(n) % 10
    path.write_bytes(np.concatenate([labels, pixels.reshape(n, -1)], axis=1).tobytes())
    return pixels, labels[:, -1]


@pytest.mark.parametrize("name, n_labels", [("test_batch.bin", 1), ("test.bin", 2)])
def test_cifar(tmp_path, name, n_labels):
    pixels, labels = write_cifar(tmp_path / name, n_labels)
    for path in (tmp_path, tmp_path / name):
        # the layout of the file is known, whatever arrays of the model's trainer look like
        for layout in ("CHW", "HWC"):
            node = Input((3, 32, 32), "image", 8, layout=layout)
            assert_holds(open_dataset(path, node), pixels, labels)
    assert_holds(open_dataset(path, Input((3072,), "image", 8)), pixels.reshape(4, -1), labels)


def test_damaged_cifar(tmp_path):
    path = tmp_path / "test_batch.bin"
    write_cifar(path)
    whole = path.read_bytes()
    for content, message in [
        (whole[:-1], r"has 12291 bytes, expected a multiple of 3073 \(CIFAR-10\)"),
        (b"\x0a" + whole[1:], r"record 0 has label \[10\], CIFAR-10 expects below 10"),
        (bytes([20]) + bytes(3073), r"label \[20, 0\], CIFAR-100 expects below 20 and below 100"),
        (b"", r"empty: 0 samples of shape \(3, 32, 32\)"),
    ]:
        path.write_bytes(content)
        refuses(path, message, CIFAR)
    path.write_bytes(whole)
    refuses(path, r"samples have shape \(3, 32, 32\), expected axes CHW", MNIST)
    dataset = open_dataset(path, CIFAR)
    path.write_bytes(whole[:-1])
    with pytest.raises(DataError, match="truncated: ends in sample 3 of 4"):
        read_all(dataset)


# ---- HDF5 and npz

def write_hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = value


def write_npz(path, **arrays):
    np.savez_compressed(path, **arrays)


WRITERS = [(write_hdf5, "data.h5"), (write_npz, "data.npz")]


@pytest.mark.parametrize("write, name", WRITERS)
@pytest.mark.parametrize("layout", ["CHW", "HWC", "CWH", "WHC", "HCW", "WCH"])
@pytest.mark.parametrize("steps", [(), (6,)])
def test_arrays_in_every_layout(tmp_path, write, name, layout, steps):
    x = RNG.integers(0, 2, (5, *steps, 2, 3, 4))
    order = [x.ndim - 3 + "CHW".index(axis) for axis in layout]
    stored = x.transpose(*range(x.ndim - 3), *order)
    stored = np.ascontiguousarray(stored)
    write(tmp_path / name, x=stored.astype(">f8"), y=np.arange(5.0))
    dataset = open_dataset(tmp_path / name, Input((2, 3, 4), layout=layout))
    assert_holds(dataset, x, np.arange(5))
    assert read_all(dataset)[0].dtype == np.float64


@pytest.mark.parametrize("write, name", WRITERS)
def test_arrays_of_other_ranks(tmp_path, write, name):
    for node, shape in [
        (Input((6,)), (5, 6)), (Input((6,)), (5, 2, 6)), (Input((2, 3)), (5, 2, 3)),
        (Input((2, 3)), (5, 4, 2, 3)),
    ]:
        x = RNG.integers(0, 2, shape).astype(bool)
        write(tmp_path / name, x=x)
        assert_holds(open_dataset(tmp_path / name, node), x, None)
    write(tmp_path / name, x=x)
    lc = Input((3, 2), layout="LC")
    assert_holds(open_dataset(tmp_path / name, lc), x.swapaxes(-1, -2), None)
    write(tmp_path / name, x=IMAGES)
    for layout in ("HW", "CHW", "WCH"):
        shape = (1, 4, 5) if layout == "WCH" else (1, 5, 4)
        node = Input(shape, "image", 8, layout=layout)
        expected = IMAGES.swapaxes(1, 2) if layout == "WCH" else IMAGES
        assert_holds(open_dataset(tmp_path / name, node), expected[:, None], None)
    write(tmp_path / name, x=IMAGES[:, None])  # with layout HW, an axis before it is steps
    node = Input((1, 5, 4), "image", 8, layout="HW")
    assert_holds(open_dataset(tmp_path / name, node), IMAGES[:, None, None], None)


X = np.ones((5, 6), int)
BAD_ARRAYS = [
    (dict(y=X), "holds .*y.*, expected x"),
    (dict(x=X, y=np.zeros(4, int)), "y has 4 labels, but x has 5 samples"),
    (dict(x=X, y=np.zeros((5, 10), int)), r"y has shape \(5, 10\) and type int64, expected one class"),
    (dict(x=X, y=np.full(5, 0.5)), "y has a value that is no class number"),
    (dict(x=X, y=np.full(5, np.nan)), "y has a value that is no class number"),
    (dict(x=X, y=np.full(5, -1)), "y has a value that is no class number"),
    (dict(x=X, y=np.zeros(5, bool)), "y has shape .* type bool"),
    (dict(x=X, y=np.full(5, b"cat")), "expected numbers"),
    (dict(x=np.full((5, 6), b"cat")), "expected numbers"),
    (dict(x=X * 1j), "elements of type .*, expected numbers"),
    (dict(x=5), "x is a single number"),
    (dict(x=X[:0]), "empty: 0 samples"),
    (dict(x=X[:, None][:, :0]), r"empty: 5 samples of shape \(0, 6\)"),
    (dict(x=X[:, :5]), r"samples have shape \(5,\), expected axes F .* input \(6,\)"),
    (dict(x=X[:, 0]), r"samples have shape \(\)"),
    (dict(x=X[:, None, None]), r"samples have shape \(1, 1, 6\)"),
    (dict(x=X * 2), "samples 0 to 2: x has values up to 2 but the model's input has 1 bit \\(0 to 1"),
    (dict(x=-X), "values down to -1"),
    (dict(x=X * np.nan), "not finite"),
    (dict(x=X / 2), "scaled to 0..1"),
]


@pytest.mark.parametrize("write, name", WRITERS)
@pytest.mark.parametrize("arrays, message", BAD_ARRAYS)
def test_arrays_that_do_not_fit(tmp_path, write, name, arrays, message):
    write(tmp_path / name, **arrays)
    refuses(tmp_path / name, message, Input((6,)))


@pytest.mark.parametrize("write, name", WRITERS)
def test_labels_of_other_samples_are_not_read(tmp_path, write, name):
    write(tmp_path / name, x=X, y=np.zeros(1 << 20, int))
    tracemalloc.start()
    refuses(tmp_path / name, "y has 1048576 labels, but x has 5 samples", Input((6,)))
    assert tracemalloc.get_traced_memory()[1] < 1 << 22
    tracemalloc.stop()


def test_npz_that_cannot_be_read_as_a_stream(tmp_path):
    path = tmp_path / "data.npz"

    def raw(x, content=b""):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", x + content)

    def header(shape, descr="|u1", order=False, version=1):
        text = str(dict(descr=descr, fortran_order=order, shape=shape)).encode()
        return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text

    for content, message in [
        (b"", "cannot be read"),
        (b"\x93NUMPY\x01", "cannot be read"),
        (b"\x93NUMPY\x01\0\x05\0{((((", "cannot be read"),
        (header((5, 6), version=3) + bytes(30), r"\.npy version \(3, 0\), expected 1.0 or 2.0"),
        (header((5, 6), order=True) + bytes(29), r"x has 29 bytes, but shape \(5, 6\) of uint8 takes 30"),
        (header((5, 6)) + bytes(29), r"x has 29 bytes, but shape \(5, 6\) of uint8 takes 30"),
        (header((1 << 40, 6)), "declares 6597069766656 bytes of data, but holds"),
        (header((-5, 6)) + bytes(30), "none below 0"),
        (header((5, 6), "|O") + bytes(30), "elements of type object"),
    ]:
        raw(content)
        refuses(path, message, Input((6,)))
    np.savez(path, x=np.ones((5, 6), np.uint8))
    whole = path.read_bytes()
    for content in (whole[:-30], whole.replace(bytes([1] * 30), bytes([1] * 29) + b"\0")):
        path.write_bytes(content)
        refuses(path, "cannot be read", Input((6,)))
    # general purpose flag 1: encrypted
    flagged = bytearray(whole)
    flagged[whole.index(b"PK\x01\x02") + 8] |= 1
    flagged[6] |= 1
    path.write_bytes(flagged)
    refuses(path, "cannot be read, .*ncrypted", Input((6,)))


@pytest.mark.parametrize("write, name", WRITERS)
def test_cut_and_flipped_array_files(tmp_path, write, name):
    """Whatever happens to a file, it is read or refused in one line."""
    path = tmp_path / name
    write(path, x=RNG.integers(0, 2, (50, 6)), y=np.arange(50))
    whole = path.read_bytes()
    rng = np.random.default_rng(1)
    damaged = [whole[:n] for n in rng.integers(0, len(whole), 60)]
    for place in rng.integers(0, len(whole) * 8, 200):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        damaged.append(bytes(flipped))
    for content in damaged:
        path.write_bytes(content)
        try:
            read_all(open_dataset(path, Input((6,))))
        except EventsimError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)


def test_hdf5_links_and_empty_promises(tmp_path):
    path = tmp_path / "data.h5"
    write_hdf5(tmp_path / "other.h5", x=X)
    with h5py.File(path, "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "/x")
    refuses(path, "'x' is an external link to '/x', which is not followed", Input((6,)))
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (1 << 40, 6), "f8", chunks=(1024, 6))
    refuses(path, "bytes, but the file holds 0 bytes for it", Input((6,)))


# ---- N-MNIST


@pytest.mark.parametrize("polarities", ["off_on", "on_off"])
@pytest.mark.parametrize("coincident", ["sum", "merge"])
def test_nmnist(tmp_path, polarities, coincident):
    events = EventBins(10, polarities, coincident, (3, 4))
    node = Input((2, 3, 4), bits=3, events=events)
    recordings, labels = write_nmnist(tmp_path / "Test")
    expected = [bin_events(*columns, events, 10) for columns in recordings]
    for path in (tmp_path, tmp_path / "Test"):
        dataset = open_dataset(path, node, 10)
        assert_holds(dataset, expected, labels)
        assert dataset.n_dropped_events == sum((c[3] >= 100).sum() for c in recordings) > 0
    assert open_dataset(tmp_path, node, 10).name == f"{tmp_path.name}/Test"
    assert open_dataset(tmp_path, node, 12).n_dropped_events == 0


def test_nmnist_polarity_and_time_by_hand(tmp_path):
    path = tmp_path / "7" / "a.bin"
    path.parent.mkdir()
    brighter_at_9 = bytes([1, 2, 0x80, 0, 9])
    darker_at_66051 = bytes([3, 0, 0x01, 0x02, 0x03])
    path.write_bytes(brighter_at_9 + darker_at_66051)
    x, y = read_all(open_dataset(tmp_path, EVENTS, 6606))
    assert np.argwhere(x[0]).tolist() == [[0, 1, 2, 1], [6605, 0, 0, 3]]
    assert y.tolist() == [7]


def test_bad_nmnist(tmp_path):
    path = tmp_path / "3" / "a.bin"
    write_recording(path, [0, 1], [0, 1], [0, 1], [0, 30])
    refuses(tmp_path, "holds event recordings; binning them needs events", Input((2, 3, 4)))
    assert open_dataset(tmp_path, EVENTS).lengths.tolist() == [4]  # each its own: 30 us at 10 us a step
    write_recording(path, [0, 4], [0, 1], [0, 1], [0, 30])
    refuses(tmp_path, "an event is at x = 4, y = 1, outside the sensor of 4 x 3 pixels: give", EVENTS, 5, names=path)
    write_recording(path, [0] * 8, [0] * 8, [0] * 8, [0] * 8)
    refuses(tmp_path, "values up to 8 but the model's input has 3 bits", EVENTS, 5, names=path)
    path.write_bytes(bytes(11))
    refuses(tmp_path, "has 11 bytes, expected a multiple of 5", EVENTS, 5, names=path)
    path.write_bytes(b"")
    refuses(tmp_path, "has 0 bytes", EVENTS, 5, names=path)
    path.unlink()
    refuses(tmp_path, "its class folders '3' have no recordings$", EVENTS, 5)
    path.mkdir()
    refuses(tmp_path, "cannot be read, .*directory", EVENTS, 5, names=path)


# ---- what is no data set

def test_no_data_set(tmp_path):
    refuses(tmp_path / "absent.h5", "no such file or folder")
    refuses(tmp_path,
            r"a folder with none of t10k-images-idx3-ubyte, .*, test_batch.bin, test.bin, \[Test/\]<digit>")
    path = tmp_path / "data.txt"
    path.write_bytes(b"")
    refuses(path, "empty, expected HDF5 or .npz")
    path.write_bytes(b"some text")
    refuses(path, "of no known format, expected HDF5 or .npz with x and y, .npy, MNIST IDX")


# ---- the real files

@needs_shared
def test_real_mnist():
    dataset = open_dataset(SHARED / "mnist", Input((1, 28, 28), "image", 8))
    assert len(dataset) == 10000
    assert np.bincount(dataset.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    x, y = next(dataset.batches(16))
    assert x.shape == (16, 1, 28, 28) and x.dtype == np.uint8
    assert y[:5].tolist() == [7, 2, 1, 0, 4]


@needs_shared
def test_real_cifar():
    dataset = open_dataset(SHARED / "cifar-10-batches-bin", CIFAR)
    assert len(dataset) == 1900 and dataset.labels.max() == 9
    assert read_all(dataset, 500)[0].shape == (1900, 3, 32, 32)
    assert len(open_dataset(SHARED / "cifar-10-batches-bin" / "data_batch_1.bin", CIFAR)) == 10000


@needs_shared
def test_real_nmnist():
    node = Input((2, 34, 34), bits=4, events=EventBins(10000))
    dataset = open_dataset(SHARED / "n-mnist", node, 20)
    assert len(dataset) == 100
    n_kept = sum(int(x.sum()) for x, y in dataset.batches(32))
    n_events = sum(f.stat().st_size for f in (SHARED / "n-mnist" / "Test").rglob("*.bin")) // 5
    assert n_kept + dataset.n_dropped_events == n_events


@pytest.mark.parametrize("options, message", [
    ({"croop": 1}, "'croop' is no option, expected one of sensor_size, .*; did you mean 'crop'"),
    ({"sensorsize": (1, 1)}, "'sensorsize' is no option, .*; did you mean 'sensor_size'"),
    ({"seed": -1, "encode": "poisson"}, "seed is -1, expected a whole number from 0 on"),
    ({"timesteps": "3"}, "timesteps is '3', expected a whole number from 1 on"),
    ({"timesteps": 0}, "timesteps is 0, expected a whole number from 1 on"),
], ids=str)
def test_options_that_there_are_not_are_one_line(tmp_path, options, message):
    with pytest.raises(DataError, match=f"^{message}") as caught:
        open_dataset(write_mnist(tmp_path), MNIST, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [
    {"time_unit": "ms"}, {"columns": 5}, {"sensor_size": 5}, {"sensor_size": (1, float("nan"))}, {"sample": "x"},
    {"crop": 5}, {"crop": "abcd"}, {"crop": (1, 2)}, {"downsample": "x"}, {"test_share": "x"}, {"encode": 5},
    {"seed": "x"}, {"full_scale": "x"}, {"full_scale": float("nan")}, {"full_scale": 0.0}, {"full_scale": 1e-320},
    {"orient": 5}, {"split": []},
], ids=str)
def test_options_of_other_types_are_one_line(tmp_path, options):
    [name] = options
    with pytest.raises(DataError, match=f"^{name} is .*, expected "):
        open_dataset(tmp_path, MNIST, **options)
