"""Whole numbers that look like pixels are run as they are by a real input, with a warning that says what to do."""

import numpy as np
import pytest
from test_datasets import write_cifar, write_mnist

from eventsim import Dense, Flatten, Input, Model, Readout, save, Simulator
from eventsim.cli import main
from eventsim.errors import EventsimWarning, ModelError
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.levels import to_levels

REAL = Input((1, 5, 4), "real")
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (7, 1, 5, 4))
WORDS = (r"look like pixels, .* scaled or normalised, give the same floats, or import it with "
         r"from_torch\(..., input=Input\(\(1, 5, 4\), 'image', bits=8, scale=1/255, mean=..., std=...\)\); "
         r"if it was trained on these numbers, give x.astype\(np.float32\)")


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "u8"])
def test_pixels_are_taken_with_a_warning(dtype):
    with pytest.warns(EventsimWarning, match=f"x holds .* that {WORDS}"):
        levels, _ = to_levels(PIXELS.astype(dtype), REAL)
    np.testing.assert_array_equal(levels[:, 0], PIXELS)


@pytest.mark.parametrize("x", [
    PIXELS.astype(np.float32), PIXELS / 255, PIXELS % 2, (PIXELS % 16).astype(np.uint8), PIXELS - 128, PIXELS * 9,
    PIXELS % 100, np.where(np.arange(20).reshape(5, 4) == 3, -3, PIXELS)],
    ids=["floats", "shares", "bits", "counts", "signed", "large", "small", "one below 0"])
def test_other_numbers_are_taken_without_a_word(x, recwarn):
    to_levels(x, REAL)
    assert not recwarn.list


def test_image_files_say_it_once(tmp_path, capsys):
    nodes = {"in": REAL, "flat": Flatten(), "w": Dense(RNG.normal(size=(10, 20))), "r": Readout()}
    save(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=1), tmp_path / "net.h5")
    path = write_mnist(tmp_path)
    assert main(["run", str(tmp_path / "net.h5"), str(path)]) == 0
    assert capsys.readouterr().err.count("look like pixels") == 1
    write_cifar(tmp_path / "test_batch.bin")
    with pytest.warns(EventsimWarning, match="look like pixels"):
        list(open_dataset(tmp_path / "test_batch.bin", Input((3, 32, 32), "real")).batches(2))


def test_a_real_input_has_no_scale():
    message = "scale is 0.00392157, the value of a level, but encoding 'real' has none: leave it out and give"
    with pytest.raises(ModelError, match=message):
        Input((2,), "real", scale=1 / 255)
    assert Simulator(Model({"in": Input((2,), "real", scale=1), "r": Readout()}, [("in", "r")],
                           timesteps=1)).run([[0.5, 2]]).output.tolist() == [[0.5, 2]]
