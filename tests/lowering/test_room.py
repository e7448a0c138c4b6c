"""Files that are small and ask for much: read in bounded memory, and refused before anything is allocated."""

import itertools
import math
import time
import tracemalloc
import zlib
from contextlib import contextmanager

import h5py
import numpy as np
import pytest
from command import DATA, MODEL, assert_one_line

import eventsim
from eventsim import (
    AvgPool, Check, Conv2d, Delay, Dense, Flatten, FormatError, Input, MaxPool, Model, ModelError, Neuron, Readout,
    Simulator,
    UnsupportedError,
)
from eventsim.cli import main
from eventsim.formats.nir import graph as nir_graph
from eventsim.lowering import firing, room
from eventsim.lowering.density import note_densities
from eventsim.lowering.folding import fold
from eventsim.lowering.linear import Path, compose, composed_size
from eventsim.model.describing import describe

MB = 10**6


@contextmanager
def within(n_bytes, seconds=5):
    """Fail where what is done takes more memory (NumPy's, too), or far more time, than it should."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        spent = time.process_time() - began
        assert tracemalloc.get_traced_memory()[1] < n_bytes
        assert spent < seconds
    finally:
        tracemalloc.stop()


def chain(*nodes):
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    return Model(named, list(zip(named, list(named)[1:])), timesteps=2)


def changed(path, change):
    """A small native file after `change(file)`."""
    eventsim.save(Model({"in": Input((4,)), "d": Dense(np.ones((3, 4))), "n": Neuron()},
                        [("in", "d"), ("d", "n")]), path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put(group, name, data, **options):
    del group[name]
    group.create_dataset(name, data=data, **options)


# ---- reading


@pytest.mark.parametrize("node", (Neuron(0.5, rectify=True), Neuron(), Readout()))
def test_a_map_that_is_only_named_takes_no_memory(tmp_path, node):
    path = tmp_path / "map.h5"
    with within(20 * MB):
        eventsim.save(chain(Input((1, 1, 1)), Conv2d(np.ones((1, 1, 1, 1)), padding=8000), node), path)
        assert describe(eventsim.load(path))["nodes"][2]["shape"] == [1, 16001, 16001]


def packed_weights(file):
    file["nodes/in/shape"][...] = 1000
    del file["nodes/d/weight"]
    weight = file.create_dataset("nodes/d/weight", (1 << 16, 1000), "i1", compression="gzip", chunks=(4096, 1000))
    packed = zlib.compress(bytes([1]) * (4096 * 1000))
    for first in range(0, 1 << 16, 4096):
        weight.id.write_direct_chunk((first, 0), packed)


def linked_chunks(file):
    file["nodes/n"].create_dataset("v_min", (3,), "f8", maxshape=(None,), chunks=(2 << 20,), compression="gzip")
    file["nodes/n/v_min"][...] = -1.0
    for i in range(40):
        file["nodes"][f"n{i}"] = file["nodes/n"]
    put(file, "names", np.array(list(file["nodes"]), "S8"))


def linked_nodes(file):
    for i in range(40):
        file["nodes"][f"n{i}"] = file["nodes/n"]
    put(file, "names", np.array(list(file["nodes"]), "S8"))


def many_nodes(file):
    put(file, "names", np.array([f"n{i}" for i in range(4097)], "S8"))


def many_edges(file):
    put(file, "edges", np.array([("in", "d")] * 16385, "S2"), compression="gzip")


def many_texts(file):
    file.create_dataset("class_names", data=np.zeros(50_000, "S2"), compression="gzip")


@pytest.mark.parametrize("change, message", (
    (packed_weights, "node 'd' .Dense.: 'weight': the file declares more data than its [0-9]+ bytes can hold, or "
     "than the [0-9]+ bytes that are read of it; store it without compression"),
    (linked_chunks, "'v_min': the file declares more data"),
    (linked_nodes, "the file of [0-9]+ bytes names the same datasets again and again"),
    (many_nodes, "'names' has 4097 entries, expected at most 4096 nodes"),
    (many_edges, "'edges' has 16385 entries, expected at most 16384"),
    (many_texts, "'class_names' holds 50000 strings, expected at most 49152 in a file"),
))
def test_a_small_file_that_declares_much_is_refused(tmp_path, change, message):
    path = changed(tmp_path / "x.h5", change)
    assert path.stat().st_size < MB
    with within(60 * MB), pytest.raises(FormatError, match=message):
        eventsim.load(path)


def test_many_edges_between_few_nodes_take_little_time(tmp_path):
    nodes = {"in": Input((1,)), "a": Neuron(), "b": Neuron(), "out": Readout()}
    pairs = (("a", "b"), ("b", "a"), ("a", "a"), ("b", "b"))
    edges = [("in", "a"), ("b", "out"), *((*pair, delay) for pair in pairs for delay in range(1, 1500))]
    with within(60 * MB):
        assert len(Model(nodes, edges).shapes) == 4


def nir_file(path, neuron, shape, edges, links=0):
    with h5py.File(path, "w") as file:
        graph = file.create_group("node")
        graph["type"], graph["edges"] = "NIRGraph", np.array(edges, "S8")
        for name, members in (("input", {"type": "Input", "shape": shape}),
                              ("output", {"type": "Output", "shape": shape}), ("s0", neuron)):
            group = graph.create_group(f"nodes/{name}")
            for key, value in members.items():
                group[key] = value
        for i in range(1, links):
            graph[f"nodes/s{i}"] = graph["nodes/s0"]
    return path


def test_nir_files_that_are_small_and_ask_for_much(tmp_path):
    shape, row, column = (16, 4096, 4096), np.ones((1, 4096, 1)), np.ones((1, 1, 4096))
    row[0, 0] = column[..., 0] = 0.5
    ends = [("input", "s0"), ("s0", "output")]
    wide = nir_file(tmp_path / "wide.nir", {"type": "IF", "r": row, "v_threshold": column}, shape, ends)
    spread = {"type": "Conv2d", "weight": np.ones((1, 1, 2, 2)), "bias": np.zeros(1), "stride": 1,
              "dilation": 30001, "groups": 1, "padding": "same"}
    dilated = nir_file(tmp_path / "dilated.nir", spread, (1, 8, 8), ends)
    for path, name in ((wide, "r"), (dilated, "weight")):
        with within(20 * MB), pytest.raises(FormatError, match=f"'{name}': the file declares more data"):
            eventsim.load(path)
    clique = [(f"s{a}", f"s{b}") for a, b in itertools.permutations(range(12), 2)]
    path = nir_file(tmp_path / "clique.nir", {"type": "IF", "r": 1.0, "v_threshold": 1.0}, (4,),
                    [*ends, *clique], 12)
    assert len(eventsim.load(path, timesteps=1).edges) > len(clique)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(
            FormatError, match="14 nodes and 134 edges, expected at most"):
        patch.setattr(nir_graph, "MAX_PAIRS", 14 * 134 - 1)
        eventsim.load(path, timesteps=1)


# ---- lowering

LARGE = {
    "neurons": (chain(Input((1, 1, 1)), Conv2d(np.ones((1, 1, 1, 1)), padding=8000), Neuron()),
                "node 'n2' .Neuron.: 256,032,001 neurons .1x16001x16001. take 32.8 GB of memory"),
    "spikes": (chain(Input((1 << 24,)), Neuron()), "node 'n1' .Neuron.: 16,777,216 neurons .16777216. take"),
    "delay": (chain(Input((1 << 22,)), Delay(4096), Neuron()),
              "node 'n1' .Delay.: spikes of 4,194,304 values .4194304., kept for 4096 steps, take 2.15 GB of "
              "memory, and the model 2.43 GB in all, more than the limit of 500 MB; use a smaller map or delay, "
              "or raise memory_limit"),
    "edge": (Model({"in": Input((1 << 22,)), "n": Neuron()}, [("in", "n", 4096)]), "node 'in' .Input.: spikes of"),
}


@pytest.mark.parametrize("model, message", LARGE.values(), ids=LARGE)
def test_what_a_limit_forbids_is_refused_before_it_is_allocated(model, message, monkeypatch):
    with within(MB), pytest.raises(UnsupportedError, match=message):
        Simulator(model, memory_limit=500 * MB)
    monkeypatch.setattr(room, "machine_memory", lambda: 600 * MB)  # of which three quarters are the default
    with within(MB), pytest.raises(UnsupportedError, match="more than the limit of 450 MB"):
        Simulator(model)


def test_the_limit_is_a_number_and_the_machine_has_memory():
    small = chain(Input((4,)), Dense(np.ones((16, 4))), Neuron())  # as many channels as a kernel has lanes
    needed = sum(need.n_bytes for need in room.needs_of(small, 4))
    assert Simulator(small, memory_limit=needed).memory_limit == needed
    with pytest.raises(UnsupportedError, match=f"more than the limit of {room.size_text(needed - 1)}"):
        Simulator(small, memory_limit=needed - 1)
    for wrong in (0, -1, 1.5, "1G"):
        with pytest.raises(ModelError, match="memory_limit is"):
            Simulator(small, memory_limit=wrong)
    assert 100 * MB < room.machine_memory() < 1 << 50
    assert [room.size_text(n) for n in (999, 1500, 2 * MB, 3_200 * MB)] == [
        "999 bytes", "1.5 kB", "2 MB", "3.2 GB"]


def test_pooled_synapses_take_as_few_rows_as_they_can():
    """A window of 256 x 256 behind one of 3 x 3 summed 65,536 arrays; 9 hold the same numbers."""
    rng = np.random.default_rng(5)
    for stride, dilation, kernel in (((1, 1), (1, 1), (4, 3)), ((2, 1), (1, 2), (3, 5)), ((1, 1), (1, 1), (1, 2))):
        path = Path("u", 0, (2, 9, 9), np.ones(2), rng.normal(size=(3, 2, 2, 2)), stride=stride, dilation=dilation)
        found = compose(path, kernel, (1, 1), 3.0).weight
        sums = {}
        for a, b, i, j in itertools.product(*map(range, (*kernel, 2, 2))):
            place = a * stride[0] + i * dilation[0], b * stride[1] + j * dilation[1]
            sums.setdefault(place, []).append(path.weight[:, :, i, j])
        for y, x in np.ndindex(found.shape[2:]):
            for o, c in np.ndindex(3, 2):
                assert found[o, c, y, x] == math.fsum(w[o, c] for w in sums.get((y, x), [np.zeros((3, 2))])) / 3.0
        assert composed_size(path, kernel) == (min(4, math.prod(kernel)), found.size)
    with within(60 * MB, 20):
        Simulator(chain(Input((1, 100, 100)), Conv2d(np.ones((1, 1, 3, 3))), AvgPool(64, stride=1), Neuron()))
    large = chain(Input((1, 1, 1)), Conv2d(np.ones((1, 1, 1, 1)), padding=6000), AvgPool(12001), Neuron())
    with pytest.raises(UnsupportedError,
                       match="node 'n2' .AvgPool.: pools a current, which .* makes 144,024,001 weights"):
        Simulator(large, memory_limit=1 << 50)


LAID_OUT = {
    "stem": (Input((3, 9, 9), bits=8, encoding="image"), Conv2d(np.ones((1024, 3, 9, 9)))),
    "image": (Input((1, 8, 8), bits=8, encoding="image"), Flatten(), Dense(np.ones((4096, 64)))),
    "window": (Input((2, 5, 5)), Conv2d(np.ones((8192, 2, 5, 5)))),
    "groups": (Input((2048, 3, 3)), Conv2d(np.ones((4096, 2, 3, 3)), groups=1024)),
    "current": (Input((1, 8, 8)), Conv2d(np.ones((512, 1, 8, 8)) / 64), AvgPool(1), MaxPool(1)),
}


@pytest.mark.parametrize("precision, item", (("float64", 8), ("float32", 4)))
@pytest.mark.parametrize("nodes", LAID_OUT.values(), ids=LAID_OUT)
def test_what_weights_are_laid_out_in_is_counted(nodes, precision, item):
    """Tables of sums take some twenty times what their weights do, tiles that groups share some thirty times."""
    model = chain(*nodes, Neuron())
    plain = sum(need.n_bytes for need in room.needs_of(model, item))
    tracemalloc.start()
    try:
        Simulator(model, precision)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak > 2 * plain
    limit = int(0.8 * peak)
    began = time.process_time()
    with pytest.raises(UnsupportedError, match="node 'n[0-9]' .Neuron.: [0-9,]+ weights before it, laid out for "
                       "kernels as [0-9,]+ numbers, take .* more than the limit of .*; use fewer channels, or "
                       "raise memory_limit"):
        Simulator(model, precision, memory_limit=limit)
    assert time.process_time() - began < 5
    assert Simulator(model, precision, memory_limit=int(1.5 * peak)).memory_limit == int(1.5 * peak)


def test_commands_have_the_limit(capsys):
    for arguments in (("run", MODEL, DATA), ("check", MODEL), ("info", MODEL, "--kernels", "int8"),
                      ("diff", MODEL, MODEL, DATA)):
        assert_one_line(main([*arguments, "--memory-limit", "10k"]), *capsys.readouterr(), MODEL,
                        "more than the limit of 10 kB")
    for wrong in ("0", "x", "-1", "1T", "1.5G", ""):
        with pytest.raises(SystemExit):
            main(["run", MODEL, DATA, "--memory-limit", wrong])
        assert "--memory-limit" in capsys.readouterr().err
    assert main(["info", MODEL, "--kernels", "int8", "--memory-limit", "100M"]) == 0


@pytest.mark.parametrize("bits, rectify", ((1, True), (2, False)))
def test_many_neurons_with_few_thresholds_take_little_time(bits, rectify, monkeypatch):
    """What Python works out of a threshold, it works out once for all neurons that have it, whatever their
    channels; how many there are is all that the file says."""
    calls = []
    monkeypatch.setattr(firing, "exact_sum", lambda values: calls.append(values) or math.fsum(values))
    monkeypatch.setattr(firing, "smallest_passing", lambda *key, found=firing.smallest_passing:
                        calls.append(key) or found(*key))
    n = 60_000
    theta, quantum = np.resize([0.75, 1.5, 0.75], n), np.resize([0.5, 0.25], n)
    node = Neuron(v_threshold=theta, quantum=quantum, bits=bits, rectify=rectify)
    model = Model({"in": Input((n,)), "fire": node}, [("in", "fire")], timesteps=1)
    found = Simulator(model).program.stages["fire"].update.thresholds.reshape(bits, -1)[:, :n]
    assert len(calls) == 4 * bits + 4 * rectify
    few = Model({"in": Input((6,)), "fire": Neuron(v_threshold=theta[:6], quantum=quantum[:6], bits=bits,
                                                   rectify=rectify)}, [("in", "fire")], timesteps=1)
    expected = Simulator(few).program.stages["fire"].update.thresholds.reshape(bits, -1)[:, :6]
    assert np.array_equal(found, np.tile(expected, n // 6))
    Simulator(model, "int8")  # scales of channels, too


def test_tables_of_dense_spikes_are_counted():
    """Those of integers only: eight bytes for each weight."""
    channels = 256
    nodes = {"in": Input((channels, 4, 4)),
             "conv": Conv2d(np.random.default_rng(0).normal(0, 0.1, (channels, channels, 3, 3)), padding=1),
             "n": Neuron(1.0)}
    check = Check(np.ones((1, channels, 4, 4), int), np.zeros((1, channels * 16)))
    claimed, plain = (Model(nodes, [("in", "conv"), ("conv", "n")], timesteps=1, check=c) for c in (check, None))
    limits = {}
    for model in (claimed, plain):
        low, high = 1, 1 << 30
        while high - low > 1000:
            middle = (low + high) // 2
            try:
                room.check_room(model, np.dtype(np.int32), middle, folded(model))
                high = middle
            except UnsupportedError:
                low = middle
        limits[model is claimed] = high
    assert limits[True] - limits[False] == pytest.approx(8 * channels**2 * 9, rel=0.01)


def folded(model):
    """What a model is folded into, by name, with its densities."""
    units = {unit.name: unit for group in fold(model) for unit in group.units}
    note_densities(units, model.check)
    return units
