"""Tensors and loaders where arrays are expected: of torch, and of anything that can do the same."""

import numpy as np
import pytest

import eventsim
from eventsim import DataError, Dense, Input, Model, Neuron, Simulator
from eventsim.tensors import as_array, is_loader, is_tensor

RNG = np.random.default_rng(0)
WEIGHT = RNG.normal(0, 1, (3, 4)).round(3)
X, Y = RNG.integers(0, 2, (10, 2, 4)), np.arange(10) % 3


def network(weight=WEIGHT, threshold=0.5):
    return Model({"in": Input((4,)), "fc": Dense(weight), "n": Neuron(threshold)}, [("in", "fc"), ("fc", "n")], 2)


class OnDevice:
    """A tensor of another library on a device, which NumPy cannot read before it is brought here."""

    def __init__(self, values, here=False, free=False):
        self.values, self.here, self.free = values, here, free

    def detach(self):
        return OnDevice(self.values, self.here, True)

    def cpu(self):
        return OnDevice(self.values, True, self.free)

    def numpy(self):
        if not (self.here and self.free):
            raise RuntimeError("not here, or with gradients")
        return self.values

    def __array__(self, *arguments, **options):
        raise RuntimeError("not before it is brought here")


class Loader:
    """Batches of three, as a DataLoader without torch gives them."""

    batch_size = 3

    def __init__(self, *columns, wrap=np.asarray, lose=0):
        self.columns, self.wrap, self.lose = columns, wrap, lose
        self.dataset = columns[0]

    def __iter__(self):
        for i in range(0, len(self.dataset) - self.lose, self.batch_size):
            yield [self.wrap(column[i : i + self.batch_size]) for column in self.columns]


SIMULATOR = Simulator(network())


@pytest.fixture(scope="module")
def expected():
    return SIMULATOR.run(X)


@pytest.mark.parametrize("wrap", [np.asarray, OnDevice])
def test_loaders_and_tensors_are_taken_wherever_arrays_are(wrap, tmp_path, expected):
    right = float((expected.predictions == Y).mean())
    loader = Loader(X, Y, wrap=wrap)
    for x in (wrap(X), loader, Loader(X, wrap=wrap), [wrap(sample) for sample in X]):
        np.testing.assert_array_equal(SIMULATOR.run(x).levels("n"), expected.levels("n"))
        np.testing.assert_array_equal(SIMULATOR.predict(x), expected.predictions)
        labels = None if is_loader(x) else wrap(Y)
        accuracy = (None, None) if is_loader(x) and len(x.columns) == 1 else (right, right)
        assert eventsim.compare(SIMULATOR, SIMULATOR, x, labels).accuracy == accuracy
    assert SIMULATOR.score(loader) == SIMULATOR.score(wrap(X), wrap(Y)) == right
    assert [len(part.output) for part in SIMULATOR.iterate(loader)] == [3, 3, 3, 1]
    summaries = [eventsim.evaluate(SIMULATOR, data, out=tmp_path / "run.h5")
                 for data in (loader, (wrap(X), wrap(Y)))]
    assert [(s.accuracy, s.samples, s.totals.additions) for s in summaries] == [
        (right, 10, expected.counts.total("additions"))] * 2
    eventsim.save_run(expected, tmp_path / "saved.h5", labels=wrap(Y))
    with eventsim.open_run(tmp_path / "saved.h5") as run:
        np.testing.assert_array_equal(run.labels, Y)
    assert expected.accuracy(wrap(Y)) == right
    model = network(wrap(WEIGHT), wrap(np.full(3, 0.5)))
    np.testing.assert_array_equal(model["fc"].weight, WEIGHT)


def test_a_part_of_a_loader_is_evaluated(expected):
    parts = [eventsim.evaluate(SIMULATOR, Loader(X, Y), shard=(i, 2), limit=9) for i in range(2)]
    assert [part.samples for part in parts] == [4, 5]
    assert eventsim.merge_summaries(parts).accuracy == float((expected.predictions[:9] == Y[:9]).mean())


def test_loaders_that_do_not_fit():
    with pytest.raises(DataError, match=r"a batch of the loader is 3 parts, expected x or \(x, y\)"):
        SIMULATOR.run(Loader(X, Y, Y))
    with pytest.raises(DataError, match="there are no labels"):
        SIMULATOR.score(Loader(X))
    for asked in (SIMULATOR.predict, SIMULATOR.score):
        with pytest.raises(DataError, match="a loader that has no sample"):
            asked(Loader(X[:0], Y[:0]))
    with pytest.raises(DataError, match="y is given, but x is a loader"):
        SIMULATOR.score(Loader(X, Y), Y)
    with pytest.raises(DataError, match="the loader gave 6 samples, but says that it has 10"):
        eventsim.evaluate(SIMULATOR, Loader(X, Y, lose=4))
    with pytest.raises(DataError, match="the loader has no batch"):
        SIMULATOR.run(Loader(X[:0]))
    endless = Loader(X)
    endless.dataset = iter(X)
    with pytest.raises(DataError, match="does not say how many samples it has"):
        eventsim.evaluate(SIMULATOR, endless)
    with pytest.raises(DataError, match="a batch of the loader is a dict"):
        SIMULATOR.run(type("Dicts", (Loader,), {"__iter__": lambda self: iter([{"x": X}])})(X))


def test_nothing_of_each_sample_stands_beside_a_loader():
    """Which may shuffle, so that it would be that of others."""
    loader, own = Loader(X, Y), np.full(10, 2)
    labels = "is given, but x is a loader, whose batches have the labels; give one of them"
    lengths = "lengths is given, but x is a loader, whose samples may come in any order; give x as an array"
    for ask, message in (
            (lambda: SIMULATOR.score(loader, Y), f"y {labels}"),
            (lambda: eventsim.compare(SIMULATOR, SIMULATOR, loader, Y), f"labels {labels}"),
            (lambda: eventsim.evaluate(SIMULATOR, (loader, Y)), f"y {labels}"),
            (lambda: eventsim.evaluate(SIMULATOR, (loader, Y, own)), f"y {labels}"),
            (lambda: eventsim.evaluate(SIMULATOR, (loader, None, own)), lengths),
            (lambda: eventsim.compare(SIMULATOR, SIMULATOR, loader, lengths=own), lengths),
            (lambda: SIMULATOR.run(loader, lengths=own), lengths),
            (lambda: SIMULATOR.run(loader, state=SIMULATOR.run(X).state), lengths.replace("lengths", "state")),
            (lambda: list(SIMULATOR.iterate([(loader, None, own)])), lengths)):
        with pytest.raises(DataError, match=f"^{message}$"):
            ask()
    assert eventsim.evaluate(SIMULATOR, (loader, None)).accuracy == SIMULATOR.score(X, Y)


def test_batches_of_a_loader_that_do_not_join():
    some = type("Some", (Loader,), {"__iter__": lambda self: iter([(X[:3], Y[:3]), X[3:]])})(X)
    with pytest.raises(DataError, match=r"batch 1 of the loader has no labels, batch 0 has: give labels with all"):
        eventsim.compare(SIMULATOR, SIMULATOR, some)
    uneven = type("Uneven", (Loader,), {"__iter__": lambda self: iter([X[:3], X[3:, :1]])})(X)
    for ask in (SIMULATOR.run, lambda x: eventsim.compare(SIMULATOR, SIMULATOR, x)):
        with pytest.raises(DataError, match="the batches of the loader cannot be joined"):
            ask(uneven)


class InBatches:
    """A loader whose batches are chosen by hand, as by a batch_sampler; its sampler says ten samples."""

    batch_size, dataset, sampler = None, X, range(10)

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter([(X[batch], Y[batch]) for batch in self.batches])


@pytest.mark.parametrize("batches", [
    (range(5), range(5), range(5, 10), (0, 0, 0)), (range(10), (1,)), (range(7), range(4)),
])
def test_a_loader_that_gives_more_than_it_says_is_refused(batches, tmp_path):
    """Not only the first ten are run in silence; whoever asks for so many gets them."""
    loader = InBatches(*map(list, batches))
    with pytest.raises(DataError, match="the loader gave more than 10 samples, but says that it has 10, by its"):
        eventsim.evaluate(SIMULATOR, loader, out=tmp_path / "run.h5")
    assert list(tmp_path.iterdir()) == []
    for limit in (4, 10):
        assert eventsim.evaluate(SIMULATOR, loader, limit=limit).samples == limit
    assert eventsim.evaluate(SIMULATOR, loader, shard=(0, 2)).samples == 5
    assert eventsim.evaluate(SIMULATOR, InBatches([0, 1, 2], list(range(3, 10)))).samples == 10


def test_what_is_neither():
    assert not is_tensor(X) and not is_loader(X) and not is_loader([X]) and not is_tensor("x")
    assert as_array([[1, 2], [3, 4]]).shape == (2, 2)


def test_tensors_of_torch(expected):
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader, Subset, TensorDataset

    tensor = torch.from_numpy(X).float().requires_grad_()
    for x in (tensor, tensor.detach().bfloat16(), tensor.detach().to_sparse(), tensor.detach().half()):
        assert is_tensor(x)
        np.testing.assert_array_equal(SIMULATOR.run(x).levels("n"), expected.levels("n"))
    flat = tensor.detach().reshape(20, 4)
    for x in (flat.to_sparse_csr(), flat.to_sparse_csc(), torch._neg_view(-flat), flat.to_sparse(),
              torch.quantize_per_tensor(flat, 1.0, 0, torch.quint8)):
        np.testing.assert_array_equal(as_array(x), X.reshape(20, 4))
    with pytest.raises(DataError, match="expected"):  # no real numbers
        SIMULATOR.run(tensor.detach().to(torch.complex64).conj())
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    shuffled = DataLoader(data, 4, shuffle=True)
    assert eventsim.compare(SIMULATOR, SIMULATOR, shuffled).accuracy == ((expected.predictions == Y).mean(),) * 2
    right = expected.predictions == Y
    assert SIMULATOR.score(DataLoader(data, 4, shuffle=True)) == right.mean()
    assert eventsim.evaluate(SIMULATOR, DataLoader(data, 4, drop_last=True)).accuracy == right[:8].mean()
    assert eventsim.evaluate(SIMULATOR, DataLoader(Subset(data, [0, 3, 5]), 2)).samples == 3
    weight = torch.nn.Linear(4, 3).weight
    np.testing.assert_array_equal(Dense(weight).weight, weight.detach().numpy())
