"""Data as people have them first, which are not read as they are: each is told how it is."""

import gzip
import pickle

import h5py
import numpy as np
import pytest
from test_datasets import idx

from eventsim import Dense, evaluate, Input, Model, Readout, Simulator
from eventsim.errors import DataError
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.levels import to_levels

RNG = np.random.default_rng(0)
VECTOR = Input((4,))
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(40)
X, Y = RNG.integers(0, 2, (20, 5, 6), np.uint8), RNG.integers(0, 3, 20)


def refused(path, node, message, **options):
    with pytest.raises(DataError, match=message) as caught:
        open_dataset(path, node, **options)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.csv", "a.txt", "a.h5"])
def test_a_table_of_values_is_no_recording(tmp_path, name):
    """Four columns, as flowers have, are not events where the model takes none."""
    path, table = tmp_path / name, RNG.integers(0, 9, (7, 4))
    remedy = r"values, save arrays, np.savez\(file, x=x, y=y\)"
    if path.suffix in (".csv", ".txt"):
        np.savetxt(path, table, "%d", ",")
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["events"] = np.rec.fromarrays(table.T, names="t,x,y,p")
        remedy = r"where these are values, name them x: np.savez\(file, x=x, y=y\)"
    else:
        named = np.rec.fromarrays(table.T, names="a,b,c,d")
        np.save(path, named) if path.suffix == ".npy" else np.savez(path, table)
        remedy = r"where these are values, name them x: np.savez\(file, x=x, y=y\)"
    refused(path, VECTOR, f"binning them needs events in the model's Input; .*{remedy}")
    np.savez(tmp_path / "named.npz", x=table)
    assert len(open_dataset(tmp_path / "named.npz", Input((4,), bits=4))) == 7


@pytest.mark.parametrize("places", [["0/a.png", "1/a.jpg"], ["cat/a.png", "dog/a.JPEG"],
                                    ["test/cat/a.bmp", "train/cat/a.bmp"], ["test/0/a.png", "train/0/a.png"],
                                    ["a.png"]])
def test_image_files_are_not_read(tmp_path, places):
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(PICTURE)
    remedy = r"image files such as .* are not read: save their pixels as an array, np.savez\('images.npz', x=np"
    with pytest.raises(DataError, match=remedy):
        open_dataset(tmp_path, VECTOR)
    refused(tmp_path / places[0], VECTOR, remedy)


@pytest.mark.parametrize("names", [["data_batch_1", "test_batch"], ["test", "train"], ["data.pkl"]])
def test_pickles_are_not_read(tmp_path, names):
    for name in names:
        (tmp_path / name).write_bytes(pickle.dumps({b"data": [1]}, 2))
    remedy = r"is a Python pickle, which is a program and never loaded: of CIFAR take the binary version"
    refused(tmp_path, VECTOR, remedy)
    refused(tmp_path / names[0], VECTOR, remedy)


def test_other_folders_and_files_are_told_nothing_of_images(tmp_path):
    (tmp_path / "notes.md").write_text("nothing")
    refused(tmp_path, VECTOR, "or recordings of events$")
    refused(tmp_path / "notes.md", VECTOR, "or a folder of one of these$")


def test_labels_packed_as_the_images_are_come_first(tmp_path):
    images, other = RNG.integers(0, 256, (7, 5, 4), np.uint8), RNG.integers(0, 10, (6, 5, 4), np.uint8)
    for array, pack, suffix in ((images, gzip.compress, ".gz"), (other, bytes, "")):
        labels = np.arange(len(array), dtype=np.uint8)
        (tmp_path / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(idx(array)))
        (tmp_path / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(labels)))
    for suffix, n in ((".gz", 7), ("", 6)):
        dataset = open_dataset(tmp_path / f"t10k-images-idx3-ubyte{suffix}", Input((1, 5, 4), "image", 8))
        assert len(dataset) == len(dataset.labels) == n


@pytest.mark.parametrize("stored, shape, remedy", [
    ((5, 4), (20,), "x.reshape(len(x), -1)"), ((1, 5, 4), (20,), "x.reshape(len(x), -1)"),
    ((3, 5, 4), (20,), "x.reshape(*x.shape[:2], -1)"), ((20,), (1, 5, 4), "x.reshape(len(x), 1, 5, 4)"),
    ((3, 20), (1, 5, 4), "x.reshape(*x.shape[:2], 1, 5, 4)"), ((21,), (1, 5, 4), ""), ((5, 5), (20,), ""),
    ((20,), (4, 5), "x.reshape(len(x), 4, 5)")])
def test_vectors_and_pictures_of_as_many_values(tmp_path, stored, shape, remedy):
    x, node = np.zeros((6, *stored), np.uint8), Input(shape)
    np.savez(tmp_path / "a.npz", x=x)
    simulator = Simulator(Model({"in": node, "r": Readout()}, [("in", "r")], timesteps=2))
    for ask in (lambda: open_dataset(tmp_path / "a.npz", node), lambda: to_levels(x, node),
                lambda: evaluate(simulator, x)):
        with pytest.raises(DataError) as caught:
            ask()
        assert str(caught.value).endswith(remedy) if remedy else "reshape" not in str(caught.value)
    if remedy:
        to_levels(eval(remedy, {"x": x}), node)  # noqa: S307


def simulator_of_steps(timesteps):
    nodes = {"in": Input((6,)), "w": Dense(RNG.normal(size=(3, 6))), "r": Readout()}
    return Simulator(Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=timesteps))


class Loader:
    """Batches, as a loader gives them."""

    batch_size = 8

    def __init__(self, *batches):
        self.dataset, self._batches = range(sum(len(y) for _, y in batches)), batches

    def __iter__(self):
        return iter(self._batches)


@pytest.mark.parametrize("timesteps", [None, 5, 7])
def test_labels_show_that_steps_come_first(tmp_path, timesteps):
    simulator, swapped = simulator_of_steps(timesteps), X.swapaxes(0, 1)
    remedy = r"steps come first, \(T, N, ...\).* x.swapaxes\(0, 1\)"
    loader = Loader((swapped[:, :8], Y[:8]), (swapped[:, 8:], Y[8:]))
    np.savez(tmp_path / "a.npz", x=swapped, y=Y)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = swapped, Y
    for ask in (lambda: evaluate(simulator, loader), lambda: simulator.score(loader),
                lambda: simulator.predict(loader), lambda: evaluate(simulator, (swapped, Y)),
                lambda: simulator.score(swapped, list(Y)),
                lambda: evaluate(simulator, tmp_path / "a.npz"), lambda: evaluate(simulator, tmp_path / "a.h5")):
        with pytest.raises(DataError, match=remedy):
            ask()
    whole = Loader((X[:8], Y[:8]), (X[8:], Y[8:]))
    assert evaluate(simulator_of_steps(None), whole).accuracy is not None
    with pytest.raises(DataError, match="20 labels, but x has 6 samples$|labels"):
        evaluate(simulator, (X[:6], Y))


class Pairs:
    """A data set of samples (x, y), as torch's TensorDataset."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], Y[i]


@pytest.mark.parametrize("pairs", [Pairs, None], ids=["plain", "torch"])
def test_a_data_set_of_pairs_needs_a_loader(pairs):
    if pairs is None:
        torch = pytest.importorskip("torch")
        pairs = lambda: torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))  # noqa: E731
    simulator = simulator_of_steps(None)
    for ask in (lambda: evaluate(simulator, pairs()), lambda: simulator.run(pairs()),
                lambda: simulator.score(pairs(), Y)):
        with pytest.raises(DataError, match=r"gives samples one by one as tuples, .*DataLoader\(x, batch"):
            ask()
