"""The papers' data sets from their official files: what to train on, to hold out, to test.

    data = open_data("cifar10", "cifar-10-batches-bin", timesteps=4)
    x, y = data.training.batch(np.arange(128), rng)        augmented
    x, y = data.held_out.batch(np.arange(128))             as it is

The held-out part is 5,000 training samples (a tenth of smaller sets), always the same; nothing may be
chosen by the test part. Levels are integers, as the exported model takes them; `Data.input_node` says
what they are worth.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Optional, Tuple

import numpy as np

from eventsim.errors import DataError
from eventsim.inputs.binning import bin_events
from eventsim.inputs.dataset import open_dataset
from eventsim.model.input import EventBins, Input
from trainer.augmentation import Chain, Crop, Cutout, Image, Roll, auto_augment, flip
from trainer.errors import TrainerError

HELD_OUT = 5000
SEED = 0  # of the splits; not of the training


@dataclass
class Arrays:
    """Samples in memory. x: integer levels (N, ...) or (N, T, ...). y: int64 (N,).

    augment: (x, rng) -> x, or None.
    """

    x: np.ndarray
    y: np.ndarray
    augment: Optional[Callable] = None

    def __len__(self):
        return len(self.y)

    def batch(self, indices, rng=None):
        """(x, y) of the samples `indices`, augmented where a NumPy generator is given."""
        x = self.x[indices]
        if rng is not None and self.augment is not None:
            x = self.augment(x, rng)
        return x, self.y[indices]

    def part(self, indices, augmented=True):
        """Some of the samples."""
        return Arrays(self.x[indices], self.y[indices], self.augment if augmented else None)


@dataclass
class Pictures:
    """Picture files, decoded when they are asked for. files: paths (N,). y: int64 (N,)."""

    files: np.ndarray
    y: np.ndarray
    size: int = 224

    def __len__(self):
        return len(self.y)

    def batch(self, indices, rng=None):
        """(x uint8 (n, 3, size, size), y): a random part of random size and shape, flipped or not, where
        a generator is given; else the middle of the picture, its shorter side 8/7 of `size`."""
        seeds = [None] * len(indices) if rng is None else rng.integers(0, 1 << 62, len(indices))
        with ThreadPoolExecutor() as pool:
            x = list(pool.map(self._decode, self.files[indices], seeds))
        return np.stack(x), self.y[indices]

    def part(self, indices, augmented=True):
        """Some of the pictures."""
        return Pictures(self.files[indices], self.y[indices], self.size)

    def _decode(self, file, seed):
        with Image.open(file) as picture:
            picture = picture.convert("RGB")
        if seed is None:
            scale = self.size * 8 / 7 / min(picture.size)
            width, height = (round(n * scale) for n in picture.size)
            left, top = (width - self.size) // 2, (height - self.size) // 2
            box = tuple(v / scale for v in (left, top, left + self.size, top + self.size))
        else:
            rng = np.random.default_rng(seed)
            box = _random_box(*picture.size, rng)
        picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        x = np.asarray(picture).transpose(2, 0, 1)
        return x[..., ::-1] if seed is not None and rng.random() < 0.5 else x


def _random_box(width, height, rng):
    """(left, top, right, bottom) of 8 to 100 % of a picture's area, 3:4 to 4:3 in shape."""
    for _ in range(10):
        area = width * height * rng.uniform(0.08, 1)
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = np.sqrt(area * ratio), np.sqrt(area / ratio)
        if w <= width and h <= height:
            left, top = rng.uniform(0, width - w), rng.uniform(0, height - h)
            return left, top, left + w, top + h
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


@dataclass
class Data:
    """A data set in three parts (Arrays or Pictures). moving: whether samples are (T, ...)."""

    name: str
    input_node: Input
    class_names: Tuple[str, ...]
    training: object
    held_out: object
    test: object
    moving: bool = False


def held_out(n, held=HELD_OUT):
    """Return (indices to train on, indices held out) of n samples, sorted: always the same."""
    order = np.random.RandomState(SEED).permutation(n)  # frozen, unlike newer generators
    held = min(held, n // 10)
    return np.sort(order[held:]), np.sort(order[:held])


def some(n, k):
    """Return k of n indices, drawn once: files may be sorted by class. TrainerError if there are not as many."""
    if k > n:
        raise TrainerError(f"{k} samples are wanted, but there are {n}")
    return np.sort(np.random.RandomState(SEED).permutation(n)[:k])


def _data(name, input_node, class_names, training, test, moving=False):
    kept, held = held_out(len(training))
    return Data(name, input_node, tuple(class_names), training.part(kept), training.part(held, False), test,
                moving)


def _read(path, input_node, timesteps=None):
    """Return (x, y) of a data file."""
    dataset = open_dataset(path, input_node, timesteps)
    xs = [x for x, _ in dataset.batches(1000)]
    return np.concatenate(xs), dataset.labels


def _fill(input_node):
    """Levels that are worth 0, (C,)."""
    return np.round(np.atleast_1d(input_node.mean) / input_node.scale).astype(np.uint8)


def mnist(folder):
    """MNIST: IDX files, gzipped or not. Augmented by shifts of up to 2 pixels."""
    node = Input((1, 28, 28), "image", bits=8, scale=1 / 255, mean=0.1307, std=0.3081)
    parts = [_read(_idx(folder, part), node) for part in ("train", "t10k")]
    return _data("MNIST", node, map(str, range(10)), Arrays(*parts[0], Crop(2, 0)), Arrays(*parts[1]))


def _idx(folder, part):
    names = [f"{part}-images{dot}idx3-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    return _existing([Path(folder) / name for name in names])


def _existing(paths):
    for path in paths:
        if path.exists():
            return path
    raise DataError(f"{paths[0].parent}: holds none of {', '.join(path.name for path in paths)}")


def _check_holds(folder, names, expected):
    """Raise DataError where one of the files or folders of a data set is missing. expected: what there should be,
    in words."""
    for name in names:
        if not (Path(folder) / name).exists():
            raise DataError(f"{folder}: holds no {name}, expected {expected}")


def cifar10(folder, simple=False):
    """CIFAR-10, binary version. Augmented by crop, flip, AutoAugment and Cutout as in InfLoR-SNN, or by
    crop and flip alone (`simple`), which suits a few epochs better than the paper's 400."""
    folder, batches = Path(folder), [f"data_batch_{i}.bin" for i in range(1, 6)]
    _check_holds(folder, (*batches, "test_batch.bin", "batches.meta.txt"), "CIFAR-10, binary version: "
                 "data_batch_1.bin to 5, test_batch.bin, batches.meta.txt")
    node = Input((3, 32, 32), "image", bits=8, scale=1 / 255, mean=(0.4914, 0.4822, 0.4465),
                 std=(0.2470, 0.2435, 0.2616))
    parts = [_read(folder / name, node) for name in batches]
    training = Arrays(*map(np.concatenate, zip(*parts)))
    steps = Crop(4, _fill(node)), flip
    training.augment = Chain(*steps) if simple else Chain(*steps, auto_augment, Cutout(16, _fill(node)))
    names = (folder / "batches.meta.txt").read_text().split()
    return _data("CIFAR-10", node, names, training, Arrays(*_read(folder / "test_batch.bin", node)))


def cifar100(folder):
    """CIFAR-100, binary version, its 100 fine classes. Augmented by crop and flip."""
    folder, files = Path(folder), ("train.bin", "test.bin", "fine_label_names.txt")
    _check_holds(folder, files, f"CIFAR-100, binary version: {', '.join(files)}")
    node = Input((3, 32, 32), "image", bits=8, scale=1 / 255, mean=(0.5071, 0.4865, 0.4409),
                 std=(0.2673, 0.2564, 0.2762))
    training = Arrays(*_read(folder / "train.bin", node), Chain(Crop(4, _fill(node)), flip))
    names = (folder / "fine_label_names.txt").read_text().split()
    return _data("CIFAR-100", node, names, training, Arrays(*_read(folder / "test.bin", node)))


def nmnist(folder, timesteps=10, milliseconds=300):
    """N-MNIST: Train/<digit>/*.bin, Test/<digit>/*.bin; `timesteps` equal bins of a recording's first
    `milliseconds`. Coincident events are merged. Augmented by rolls of up to 2 pixels."""
    _check_holds(folder, ("Train", "Test"), "N-MNIST: Train/<digit>/*.bin, Test/<digit>/*.bin")
    events = EventBins(milliseconds * 1000 / timesteps, coincident="merge", sensor_size=(34, 34))
    node = Input((2, 34, 34), "spikes", layout="CHW", events=events)
    parts = [_read(Path(folder) / part, node, timesteps) for part in ("Train", "Test")]
    x, y = ([p[i] for p in parts] for i in range(2))
    training, test = (Arrays(a.astype(np.uint8), b) for a, b in zip(x, y))
    training.augment = Roll(2)
    return _data("N-MNIST", node, map(str, range(10)), training, test, moving=True)


AEDAT_SENSOR = 128


def read_aedat(path):
    """(x, y, polarity, t) of an AEDAT 2.0 recording of a DVS128, as CIFAR10-DVS has them.

    Lines that start with "#"; then address and time (microseconds) of each event, big-endian uint32.
    Bit 0 of an address is the polarity (0: brighter), bits 1 to 7 and 8 to 14 are the column and the
    row of the sensor, which stood on its side: a picture's column is 127 - row, its row 127 - column
    (SpikingJelly reads the files likewise). t starts at 0.
    """
    data = Path(path).read_bytes()
    start = 0
    while data[start : start + 1] == b"#":
        end = data.find(b"\n", start)
        start = len(data) if end < 0 else end + 1
    if start == len(data) or (len(data) - start) % 8:
        raise DataError(f"{path}: has {len(data) - start} bytes after its header, expected a multiple of 8 "
                        "above 0: truncated, or no AEDAT 2.0 recording")
    address, time = np.frombuffer(data, ">u4", offset=start).astype(np.int64).reshape(-1, 2).T
    if (np.diff(time) < 0).any():
        order = np.argsort(time, kind="stable")
        address, time = address[order], time[order]
    last = AEDAT_SENSOR - 1
    return last - (address >> 8 & last), last - (address >> 1 & last), 1 - (address & 1), time - time[0]


def aedat_levels(path, timesteps, bins):
    """uint8 (T, 2, size, size), 0 or 1: a recording in equal bins, its 128 x 128 pixels gathered into
    the square of bins.sensor_size."""
    x, y, polarity, t = read_aedat(path)
    size, _ = bins.sensor_size
    levels = bin_events(x * size // AEDAT_SENSOR, y * size // AEDAT_SENSOR, polarity, t, bins, timesteps)
    return levels.astype(np.uint8)


def cifar10_dvs(folder, timesteps=10, size=48, milliseconds=1300):
    """CIFAR10-DVS: <class>/*.aedat. Of each class a tenth, drawn once, is the test part (9:1, as the set
    has none of its own). `timesteps` equal bins of a recording's first `milliseconds`; coincident events
    are merged. Augmented by flip and rolls of up to 5 pixels."""
    folders = sorted(f for f in Path(folder).glob("*") if f.is_dir())
    files = [(file, label) for label, f in enumerate(folders) for file in sorted(f.glob("*.aedat"))]
    if not files:
        raise DataError(f"{folder}: holds no <class>/*.aedat, expected CIFAR10-DVS: a folder for each class")
    bins = EventBins(milliseconds * 1000 / timesteps, coincident="merge", sensor_size=(size, size))
    with ThreadPoolExecutor() as pool:
        x = np.stack(list(pool.map(lambda f: aedat_levels(f[0], timesteps, bins), files)))
    y = np.array([label for _, label in files])
    rng = np.random.RandomState(SEED)
    test = np.concatenate([rng.permutation(np.flatnonzero(y == c))[: max(1, (y == c).sum() // 10)]
                           for c in range(len(folders))])
    rest = np.setdiff1d(np.arange(len(y)), test)
    node = Input((2, size, size), "spikes", layout="CHW", events=bins)
    return _data("CIFAR10-DVS", node, [f.name for f in folders], Arrays(x[rest], y[rest], Chain(flip, Roll(5))),
                 Arrays(x[np.sort(test)], y[np.sort(test)]), moving=True)


def imagenet(folder, size=224):
    """ImageNet: train/<class>/*, val/<class>/*; needs Pillow. Augmented by random parts and flips."""
    if Image is None:
        raise ImportError("ImageNet needs Pillow: pip install pillow")
    _check_holds(folder, ("train", "val"), "ImageNet: train/<class>/<picture>, val/<class>/<picture>")
    node = Input((3, size, size), "image", bits=8, scale=1 / 255, mean=(0.485, 0.456, 0.406),
                 std=(0.229, 0.224, 0.225))
    names = sorted(f.name for f in (Path(folder) / "train").iterdir() if f.is_dir())
    parts = []
    for part in ("train", "val"):
        files = [(str(file), label) for label, name in enumerate(names)
                 for file in sorted((Path(folder) / part / name).glob("*"))]
        if not files:
            raise DataError(f"{folder}/{part}: holds no <class>/<picture>, expected ImageNet's training and "
                            "validation pictures")
        parts.append(Pictures(np.array([f for f, _ in files]), np.array([y for _, y in files]), size))
    return _data("ImageNet", node, names, *parts)


DATA = {function.__name__: function for function in (mnist, cifar10, cifar100, nmnist, cifar10_dvs, imagenet)}
MOVING = ("nmnist", "cifar10_dvs")


def open_data(name, folder, timesteps, simple=False):
    """Return the Data of a name in DATA. timesteps: of sets whose samples move. simple: see `cifar10`."""
    settings = {"timesteps": timesteps} if name in MOVING else {}
    return DATA[name](folder, **settings, **({"simple": simple} if name == "cifar10" else {}))
