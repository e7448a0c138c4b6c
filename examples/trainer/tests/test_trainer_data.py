"""The trainer's data sets and augmentation, on real files where they are, on tiny ones everywhere."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))

from picture_files import write_cifar, write_mnist  # noqa: E402

from eventsim.errors import DataError  # noqa: E402
from eventsim.model.input import EventBins  # noqa: E402
from trainer import augmentation  # noqa: E402
from trainer.augmentation import CIFAR10_POLICY, Chain, Crop, Cutout, Roll, auto_augment, flip  # noqa: E402
from trainer.data import (  # noqa: E402
    DATA, aedat_levels, cifar10, cifar10_dvs, cifar100, held_out, imagenet, mnist, nmnist, read_aedat,
)

SHARED = Path(__file__).resolve().parents[4] / "shared" / "datasets"


def rng():
    return np.random.default_rng(0)


def test_the_hold_out_is_fixed():
    kept, held = held_out(50_000)
    assert len(kept) == 45_000 and len(held) == 5_000
    assert len(np.union1d(kept, held)) == 50_000
    assert held[:5].tolist() == held_out(50_000)[1][:5].tolist() == HELD_OUT_STARTS
    assert len(held_out(1000)[1]) == 100


HELD_OUT_STARTS = [14, 22, 24, 28, 64]


# ---- tiny files in the official formats


def test_mnist(tmp_path):
    write_mnist(tmp_path)
    data = mnist(tmp_path)
    assert (len(data.training), len(data.held_out), len(data.test)) == (27, 3, 30)
    x, y = data.held_out.batch(np.arange(3), rng())
    expected = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    assert np.array_equal(x[:, 0], expected[held_out(30)[1]]), "what is held out is not augmented"
    assert x.shape[1:] == data.input_node.shape and y.dtype == np.int64
    with pytest.raises(DataError, match="holds none of train-images"):
        mnist(tmp_path / "none")


def test_cifar(tmp_path):
    write_cifar(tmp_path)
    data = cifar10(tmp_path)
    assert (len(data.training), len(data.held_out), len(data.test)) == (90, 10, 20)
    assert data.class_names == tuple(f"class{i}" for i in range(10))
    x, y = data.training.batch(np.arange(5), rng())
    assert x.shape == (5, 3, 32, 32) and x.dtype == np.uint8
    plain, _ = data.training.batch(np.arange(5))
    assert not np.array_equal(x, plain)
    again, _ = data.training.batch(np.arange(5), rng())
    assert np.array_equal(x, again), "the generator decides"
    simple, _ = cifar10(tmp_path, simple=True).training.batch(np.arange(5), rng())
    shifted = Chain(Crop(4, (125, 123, 114)), flip)(plain, rng())
    assert np.array_equal(simple, shifted)
    hundred = cifar100(tmp_path)
    assert len(hundred.class_names) == 100 and (len(hundred.training), len(hundred.test)) == (18, 20)


def write_aedat(path, columns, rows, brighter, times):
    """Events of a picture's columns and rows, as CIFAR10-DVS stores them."""
    address = (127 - np.asarray(columns)) << 8 | (127 - np.asarray(rows)) << 1 | (1 - np.asarray(brighter))
    pairs = np.stack([address, times], 1).astype(">u4")
    path.write_bytes(b"#!AER-DAT2.0\r\n# a comment\r\n" + pairs.tobytes())


def test_aedat(tmp_path):
    path = tmp_path / "a.aedat"
    write_aedat(path, [0, 127, 64, 64], [5, 126, 64, 65], [1, 0, 1, 1], [700, 900, 200_700, 200_800])
    x, y, polarity, t = read_aedat(path)
    assert x.tolist() == [0, 127, 64, 64] and y.tolist() == [5, 126, 64, 65]
    assert polarity.tolist() == [1, 0, 1, 1] and t.tolist() == [0, 200, 200_000, 200_100]
    levels = aedat_levels(path, 10, EventBins(130_000, coincident="merge", sensor_size=(48, 48)))
    assert levels.shape == (10, 2, 48, 48) and levels.max() == 1 and levels.sum() == 3
    assert levels[0, 1, 1, 0] and levels[0, 0, 47, 47] and levels[1, 1, 24, 24]


@pytest.mark.parametrize("data", [b"# only a header\n", b"#a\n" + bytes(12), b""])
def test_damaged_aedat(tmp_path, data):
    (tmp_path / "a.aedat").write_bytes(data)
    with pytest.raises(DataError, match="expected a multiple of 8 above 0"):
        read_aedat(tmp_path / "a.aedat")


def test_cifar10_dvs_is_split_9_to_1(tmp_path):
    generator = rng()
    for name in ("airplane", "truck"):
        (tmp_path / name).mkdir()
        for i in range(20):
            write_aedat(tmp_path / name / f"{i}.aedat", *generator.integers(0, 128, (2, 50)),
                        generator.integers(0, 2, 50), np.sort(generator.integers(0, 1_200_000, 50)))
    data = cifar10_dvs(tmp_path, 5)
    assert (len(data.training), len(data.held_out), len(data.test)) == (33, 3, 4)
    assert np.bincount(data.test.y).tolist() == [2, 2] and data.class_names == ("airplane", "truck")
    x, _ = data.training.batch(np.arange(4), rng())
    assert x.shape == (4, 5, 2, 48, 48) and data.moving
    bins = data.input_node.events
    assert (bins.bin_width, bins.sensor_size, bins.coincident) == (260_000, (48, 48), "merge")
    with pytest.raises(DataError, match="no <class>"):
        cifar10_dvs(tmp_path / "truck")


@pytest.mark.parametrize("name, message", (
    ("cifar10", "holds no data_batch_1.bin, expected CIFAR-10, binary version: data_batch_1.bin to 5, test_b"),
    ("cifar100", "holds no train.bin, expected CIFAR-100, binary version: train.bin, test.bin, fine_label_n"),
    ("nmnist", "holds no Train, expected N-MNIST: Train/<digit>/.*.bin, Test/<digit>/.*.bin"),
    ("cifar10_dvs", "holds no <class>/.*.aedat, expected CIFAR10-DVS: a folder for each class"),
    ("imagenet", "holds no train, expected ImageNet: train/<class>/<picture>, val/<class>/<picture>"),
))
def test_of_a_folder_that_is_missing_or_another_it_is_said_what_it_should_hold(tmp_path, name, message):
    if name == "imagenet":
        pytest.importorskip("PIL")
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=f"{folder}: {message}"):
            DATA[name](folder)


def test_a_file_that_is_missing_among_others_is_named(tmp_path):
    write_cifar(tmp_path)
    for name, read in (("data_batch_3.bin", cifar10), ("batches.meta.txt", cifar10), ("test.bin", cifar100)):
        (tmp_path / name).rename(tmp_path / "away")
        with pytest.raises(DataError, match=f"holds no {name}, expected CIFAR-"):
            read(tmp_path)
        (tmp_path / "away").rename(tmp_path / name)


def test_imagenet(tmp_path):
    pytest.importorskip("PIL")
    from PIL import Image

    for part, n in (("train", 12), ("val", 4)):
        for label, name in enumerate(("n01440764", "n01443537")):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(n):
                picture = np.zeros((90 + i, 120, 3), np.uint8)
                picture[..., label] = np.linspace(0, 255, 120)
                Image.fromarray(picture).save(tmp_path / part / name / f"{i}.png")
    data = imagenet(tmp_path, 64)
    assert (len(data.training), len(data.held_out), len(data.test)) == (22, 2, 8)
    x, y = data.test.batch(np.arange(8))
    assert x.shape == (8, 3, 64, 64) and y.tolist() == [0] * 4 + [1] * 4
    for sample, label in zip(x, y):
        # the middle: 64 of 73 rows, so 105 of 120 columns of the scaled picture, 64 of them in its middle
        assert sample[1 - label].max() == 0 and 30 < sample[label, 0, 0] < sample[label, 0, -1] < 225
        assert np.abs(int(sample[label, 0, 31]) - 126) < 4
    x, _ = data.training.batch(np.arange(22), rng())
    again, _ = data.training.batch(np.arange(22), rng())
    assert np.array_equal(x, again)
    rising = [int(s[:2, 0, -1].max()) > int(s[:2, 0, 0].max()) for s in x]
    assert 0 < sum(rising) < 22, "some are flipped"


# ---- real files


@pytest.mark.parametrize("name, folder, counts", [
    ("mnist", "mnist", (55_000, 5_000, 10_000)),
    ("cifar10", "cifar-10-batches-bin", (45_000, 5_000, 1_900)),
    ("nmnist", "n-mnist", (900, 100, 100)),
])
def test_real_files(name, folder, counts):
    if not (SHARED / folder).is_dir():
        pytest.skip(f"no {folder}")
    data = DATA[name](SHARED / folder)
    assert (len(data.training), len(data.held_out), len(data.test)) == counts
    assert np.bincount(data.held_out.y, minlength=10).min() > counts[1] / 10 * 0.4
    x, y = data.training.batch(np.arange(16), rng())
    assert x.shape[-3:] == data.input_node.shape and x.any() and len(y) == 16
    if not data.moving:
        node = data.input_node
        values = (data.test.x * node.scale - node.mean.reshape(-1, 1, 1)) / node.std.reshape(-1, 1, 1)
        assert abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05
    else:
        assert x.shape == (16, 10, 2, 34, 34) and x.max() == 1


def test_nmnist_bins(tmp_path):
    for part in ("Train", "Test"):
        for digit in range(10):
            (tmp_path / part / str(digit)).mkdir(parents=True)
            for i in range(2):  # one event at column 3, row digit, brighter, at 50 ms and again there
                event = [3, digit, 0x80 | 0, 50_000 >> 8, 50_000 & 255]
                np.array(event * 2, np.uint8).tofile(tmp_path / part / str(digit) / f"{i}.bin")
    data = nmnist(tmp_path, timesteps=6)
    assert data.test.x.sum() == 20 and data.test.x[6, 1, 1, 3, 3] == 1
    assert data.input_node.events.bin_width == 50_000


# ---- augmentation


def picture(n=200):
    x = np.zeros((n, 3, 12, 10), np.uint8)
    x[:, 0, 6, 2] = 200
    return x


def test_flip_mirrors_half():
    x = flip(picture(), rng())
    columns = x[:, 0, 6].argmax(1)
    assert set(columns) == {2, 7} and 60 < (columns == 7).sum() < 140


def test_crop_shifts_and_fills():
    x = Crop(2, (9, 8, 7))(picture(), rng())
    rows, columns = np.array([np.unravel_index(s[0].argmax(), (12, 10)) for s in x]).T
    assert set(rows) == {4, 5, 6, 7, 8} and set(columns) == {0, 1, 2, 3, 4}
    up = x[rows == 8][0]  # shifted down by 2: two rows came in
    assert (up[:, 0] == np.array([[9], [8], [7]])).all() and (up[0, 3, 3:7] == 0).all()


def test_cutout_blanks_a_square():
    x = Cutout(4, (9, 8, 7))(picture(), rng())
    sizes = (x[:, 1] == 8).sum((1, 2))
    assert sizes.max() == 16 and sizes.min() >= 4
    assert (x[:, 2] == 7).sum() == sizes.sum()


def test_roll_moves_all_steps_alike():
    x = np.zeros((60, 3, 2, 12, 12), np.uint8)
    x[:, :, 1, 0, 0] = 1
    rolled = Roll(5)(x, rng())
    assert (rolled == rolled[:, :1]).all() and rolled.sum() == 180
    rows = rolled[:, 0, 1].any(2).argmax(1)
    assert set(rows) == {*range(6), *range(7, 12)}


def test_policy_is_autoaugment_s():
    pytest.importorskip("torchvision")
    from torchvision.transforms import AutoAugment, AutoAugmentPolicy

    plain = {"Invert", "AutoContrast", "Equalize"}
    ours = [tuple((n, p, None if n in plain else m) for n, p, m in pair) for pair in CIFAR10_POLICY]
    assert ours == AutoAugment(AutoAugmentPolicy.CIFAR10).policies


@pytest.mark.parametrize("name", sorted({name for pair in CIFAR10_POLICY for name, _, _ in pair} | {"ShearX"}))
def test_operations_of_autoaugment(name):
    pil = pytest.importorskip("PIL.Image")
    x = rng().integers(20, 220, (32, 32, 3), np.uint8)
    before = pil.fromarray(x)
    after = np.asarray(augmentation.operate(before, name, 9, 1))
    assert after.shape == x.shape and not np.array_equal(after, x)
    if name not in ("AutoContrast", "Equalize", "Invert"):
        # Posterize keeps 8 bits, Solarize no pixel above 255; at 0 nothing happens
        assert np.array_equal(augmentation.operate(before, name, 0, 1), x)
    if name in augmentation.SIGNED:
        assert not np.array_equal(augmentation.operate(before, name, 9, -1), after)
    if name == "TranslateX":
        assert np.array_equal(after[:, :18], x[:, 14:]) and (after[:, 18:] == 128).all()


def test_auto_augment_and_chains_follow_the_generator():
    pytest.importorskip("PIL")
    x = rng().integers(0, 256, (20, 3, 32, 32), np.uint8)
    chain = Chain(flip, auto_augment)
    assert np.array_equal(chain(x, rng()), chain(x, rng()))
    changed = (auto_augment(x, rng()) != x).any((1, 2, 3))
    assert 5 < changed.sum() <= 20
