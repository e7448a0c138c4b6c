"""Conventions: every number from a count of single synapses, one by one; `test_tools_live` asks the tools."""

import json

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import Simulator
from eventsim.cli import main
from eventsim.costs.fanouts import fan_outs, n_synapses
from eventsim.costs.other_tools import conventions
from eventsim.errors import DataError, RunError
from eventsim.merging import merge
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Conv1d, Conv2d, Dense, Restimulation
from eventsim.model.transforms import Add, AvgPool, BatchNorm, Flatten, MaxPool
from eventsim.text import quantity

N, T = 3, 4
KEYS = ("sinabs", "neurobench_acs", "neurobench_macs", "neurobench_dense", "spikingjelly_synops",
        "spikingjelly_macs", "syops_acs", "syops_macs")


def chain(*nodes, timesteps=T):
    named = {f"{node.kind.lower()}{i}": node for i, node in enumerate(nodes)}
    return Model(named, list(zip(named, list(named)[1:])), timesteps)


def weights(rng, *shape):
    return np.where(rng.random(shape) < 0.2, 0, rng.normal(0.2, 0.6, shape))


def conv_net(rng, bits=1, **options):
    """Input, one convolution with neurons, one dense layer."""
    conv = Conv2d(weights(rng, 4, 3 if options.get("groups", 1) == 1 else 1, 3, 2), rng.normal(0, 0.1, 4),
                  **{"stride": (2, 1), "padding": (1, 2), **options})
    shape = (conv.weight.shape[1] * conv.groups, 6, 5)
    maps = conv.output_shape(shape)
    return chain(Input(shape, bits=bits), conv, Neuron(v_threshold=0.3, bits=bits), Flatten(),
                 Dense(weights(rng, 3, int(np.prod(maps)))), Readout())


def spikes(rng, model, levels=(0, 1)):
    shape = (N, T, *model.nodes[model.input].shape)
    return np.where(rng.random(shape) < 0.6, 0, rng.choice(levels, shape))


# ---- one by one


def synapses(node, shape):
    """(input, output, weight, is an input real) of every tap of every output, padding included."""
    if node.kind == "Dense":
        for o, i in np.ndindex(*node.weight.shape):
            yield (i,), (o,), node.weight[o, i], True
        return
    out_shape = node.output_shape(shape)
    n_in, per_group = node.weight.shape[1], node.weight.shape[0] // node.groups
    for o, *at in np.ndindex(*out_shape):
        for c, *tap in np.ndindex(*node.weight.shape[1:]):
            where = [p * s - pad + k * d for p, s, pad, k, d in zip(
                at, node.stride, node.padding, tap, node.dilation)]
            inside = all(0 <= i < size for i, size in zip(where, shape[1:]))
            source = (o // per_group * n_in + c, *where)
            yield source, (o, *at), node.weight[(o, c, *tap)], inside


def counted_one_by_one(node, x):
    """Every convention of one synaptic node that reads x (N, T, ...), a call per sample and step."""
    sums, x = dict.fromkeys(KEYS, 0), np.asarray(x, np.float64)
    pairs = list(synapses(node, x.shape[2:]))
    outputs = {o for _, o, _, _ in pairs}
    for n, t in np.ndindex(*x.shape[:2]):
        values = x[n, t]
        flat = values.ravel().tolist()
        ternary = all(v in (-1, 0, 1) for v in flat)
        binary = all(v in (0, 1) for v in flat)
        two = len(set(flat)) <= 2 and min(flat) >= 0 and max(flat) <= 1
        for i, _, w, inside in pairs:
            if inside:
                sums["sinabs"] += values[i]
                sums["neurobench_dense"] += 1
                sums["neurobench_acs" if ternary else "neurobench_macs"] += int(values[i] != 0 and w != 0)
                sums["spikingjelly_synops"] += int(binary and values[i] != 0)
            sums["spikingjelly_macs"] += int(not binary)
            sums["syops_acs" if two else "syops_macs"] += np.mean(flat) if two else 1
        if node.bias is not None:
            sums["syops_acs" if two else "syops_macs"] += len(outputs) * (np.mean(flat) if two else 1)
    return sums


UNITS = {"sinabs": N * T, "spikingjelly_synops": 1, "spikingjelly_macs": 1}
CONVOLUTIONS = {
    "borders": {},
    "groups": dict(groups=2),
    "depthwise": dict(groups=4, padding=0),
    "dilation": dict(dilation=(2, 1), padding=(3, 0), stride=1),
    "a stride that leaves inputs out": dict(stride=(4, 3), padding=0),
}


@pytest.mark.parametrize("levels", ((0, 1), (0, 1, 2, 3)), ids=("binary", "graded"))
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_convention_one_by_one(options, levels):
    rng = np.random.default_rng(3)
    model = conv_net(rng, 1 if len(levels) == 2 else 2, **options)
    x = spikes(rng, model, levels)
    recording = Simulator(model).run(x, record=("spikes",))
    counted = conventions.count(model, recording)
    reads = {"conv2d1": x, "dense4": recording.levels("neuron2").reshape(N, T, -1)}
    assert recording.levels("neuron2").any()
    for name, values in reads.items():
        expected = counted_one_by_one(model.nodes[name], values)
        for key in KEYS:
            assert counted.of_nodes(key)[name] == pytest.approx(expected[key] / UNITS.get(key, N), rel=1e-12), key


def test_fan_outs_one_by_one():
    rng = np.random.default_rng(4)
    conv1d = Conv1d(weights(rng, 4, 2, 3), stride=2, padding=2, dilation=2, groups=2)
    for node, shape in ((conv1d, (4, 9)), (Dense(weights(rng, 5, 6)), (6,)),
                        (Conv2d(weights(rng, 6, 2, 2, 3), stride=(3, 2), padding=(0, 1), groups=3), (6, 5, 7))):
        fans, pairs = fan_outs(node, shape), list(synapses(node, shape))
        for at in np.ndindex(*shape):
            assert fans.real[at] == sum(i == at and inside for i, _, _, inside in pairs)
            assert fans.nonzero[at] == sum(i == at and inside and w != 0 for i, _, w, inside in pairs)
        assert fans.dense == n_synapses(node, shape) == sum(inside for *_, inside in pairs)
        assert fans.padded == len(pairs) and fans.outputs == len({o for _, o, _, _ in pairs})
        assert fans.outputs == fans.positions * node.weight.shape[0]


@pytest.mark.parametrize("levels", ((0, 1), (0, 1, 2, 3)), ids=("binary", "graded"))
def test_fan_outs_are_those_of_the_run(levels):
    """Two ways to count ours: from the geometry here, and from the layouts of the run."""
    rng = np.random.default_rng(6)
    model = conv_net(rng, 1 if len(levels) == 2 else 2)
    x = spikes(rng, model, levels)
    counted = conventions.count(model, Simulator(model).run(x, record=("spikes",)))
    for layer in ("neuron2", "readout5"):
        effective = counted.of_layers("neurobench_acs")[layer] + counted.of_layers("neurobench_macs")[layer]
        assert counted.ours[layer]["nonzero_synops"] == pytest.approx(N * effective, rel=1e-12) and effective > 0
        assert counted.ours[layer]["dense_macs"] == counted.of_layers("neurobench_dense")[layer] * N
        if len(levels) == 2:
            assert counted.ours[layer]["synops"] == counted.of_layers("spikingjelly_synops")[layer]


# ---- by hand, and what has to change a number


def by_hand(weight, x, bits=1, **options):
    """Conventions of one convolution of a 1x3x3 input that reads x (1, 1, 3, 3), at T = 1."""
    conv = Conv2d(np.array(weight, float).reshape(1, 1, 3, 3), padding=options.pop("padding", 1), **options)
    model = chain(Input((1, 3, 3), bits=bits), conv, Neuron(), timesteps=1)
    recording = Simulator(model).run(np.array(x).reshape(1, 1, 3, 3), record=("spikes",))
    counted = conventions.count(model, recording)
    return {key: counted.total(key) for key in KEYS}


CORNER, CENTRE = np.eye(9, dtype=int)[[0, 4]]
ONES = np.full(9, 0.5)


def test_a_corner_and_the_centre_by_hand():
    """A 3x3 kernel with padding 1 over 3x3 pixels: a corner has 4 targets, the centre 9; 49 synapses are
    real, 81 with the padding."""
    assert by_hand(ONES, CORNER) == {
        "sinabs": 4, "neurobench_acs": 4, "neurobench_macs": 0, "neurobench_dense": 49,
        "spikingjelly_synops": 4, "spikingjelly_macs": 0, "syops_acs": pytest.approx(81 / 9), "syops_macs": 0,
    }
    assert by_hand(ONES, CENTRE)["sinabs"] == 9
    assert by_hand(ONES, CENTRE)["spikingjelly_synops"] == 9
    assert by_hand(ONES, CENTRE)["syops_acs"] == pytest.approx(81 / 9)


def test_a_border_changes_the_counts():
    assert by_hand(ONES, CORNER, padding=0)["sinabs"] == 1
    assert by_hand(ONES, CENTRE, padding=0)["neurobench_dense"] == 9
    assert by_hand(ONES, CENTRE, padding=2)["neurobench_dense"] == 81
    assert by_hand(ONES, CORNER, padding=2)["spikingjelly_synops"] == 9


def test_a_zero_weight_changes_only_neurobenchs_effective_counts():
    holed = ONES.copy()
    holed[4] = 0  # the tap that joins each pixel with itself
    full, less = by_hand(ONES, CORNER), by_hand(holed, CORNER)
    assert less["neurobench_acs"] == 3
    assert {key for key in KEYS if full[key] != less[key]} == {"neurobench_acs"}


def test_a_graded_value_changes_sides():
    one, two = by_hand(ONES, CORNER, bits=2), by_hand(ONES, 2 * CORNER, bits=2)
    assert two == {
        "sinabs": 8, "neurobench_acs": 0, "neurobench_macs": 4, "neurobench_dense": 49,
        "spikingjelly_synops": 0, "spikingjelly_macs": 81, "syops_acs": 0, "syops_macs": 81,
    }
    assert one["neurobench_acs"] == 4 and one["spikingjelly_macs"] == one["syops_macs"] == 0


def test_negative_spikes():
    """-1 is an addition to NeuroBench, no spike to SpikingJelly and syops, and cancels +1 in sinabs."""
    model = chain(Input((3,), signed=True), Dense(np.full((2, 3), 0.5)), Readout(), timesteps=1)
    counted = conventions.count(model, Simulator(model).run(np.array([[1, -1, 0]]), record=("spikes",)))
    assert {key: counted.total(key) for key in KEYS} == {
        "sinabs": 0, "neurobench_acs": 4, "neurobench_macs": 0, "neurobench_dense": 6,
        "spikingjelly_synops": 0, "spikingjelly_macs": 6, "syops_acs": 0, "syops_macs": 6,
    }
    two_values = conventions.count(model, Simulator(model).run(np.array([[0, -1, 0]]), record=("spikes",)))
    assert two_values.total("syops_macs") == 6 and two_values.total("sinabs") == -2


def test_a_bias_counts_only_in_syops():
    plain, biased = by_hand(ONES, CORNER), by_hand(ONES, CORNER, bias=[0.5])
    assert biased["syops_acs"] == pytest.approx(90 / 9)
    assert {key for key in KEYS if plain[key] != biased[key]} == {"syops_acs"}


def test_weights_of_0_and_1_pass_for_spikes_in_spikingjelly():
    kernel = np.array([1, 0, 0, 0, 1, 0, 0, 0, 0])
    assert by_hand(kernel, CORNER)["spikingjelly_synops"] == 2  # nonzero weights alone
    graded = by_hand(kernel, 2 * CORNER, bits=2)
    assert graded["spikingjelly_synops"] == 2 * 9  # of each output, padding included
    assert graded["spikingjelly_macs"] == 0


def test_an_average_pool_is_undone_for_sinabs():
    model = chain(Input((1, 2, 2)), AvgPool(2), Flatten(), Dense([[1.0], [2.0]]), Readout(), timesteps=1)
    x = np.array([[[[1, 1], [0, 1]]]])
    counted = conventions.count(model, Simulator(model).run(x, record=("spikes",)))
    assert counted.total("sinabs") == 3 * 2  # 3/4 reach two targets, times 4
    assert counted.total("syops_acs") == pytest.approx(2 * 0.75)  # one value from 0 to 1 is "spikes"
    assert counted.total("neurobench_macs") == 2


def test_sinabs_undoes_only_two_dimensional_pools_since_the_last_weights():
    norm = BatchNorm([2.0], [0.0], [0.5], [4.0], eps=0.0, scale=3.0)
    for nodes, shape, expected in (
        ([Input((1, 2)), AvgPool(2)], (1, 2), 0.5),
        ([Input((1, 1, 2)), AvgPool((1, 2)), norm], (1, 1, 2), 2 * 3 * (0.5 - 0.5) / 2),
        ([Input((1, 1, 2)), AvgPool((1, 2))], (1, 1, 2), 1),
        ([Input((1, 1, 2), bits=2), AvgPool((1, 2)), norm], (1, 1, 2), 2 * 3 * (1.5 - 0.5) / 2),
    ):
        model = chain(*nodes, Flatten(), Dense([[1.0]]), Readout(), timesteps=1)
        x = np.zeros((1, *shape), int)
        x[..., 1] = 2 ** nodes[0].bits - 1
        counted = conventions.count(model, Simulator(model).run(x, record=("spikes",)))
        assert counted.total("sinabs") == expected


def test_the_largest_of_negative_spikes_is_negative():
    model = chain(Input((1, 2), signed=True), MaxPool(2), Flatten(), Dense([[1.0]]), Readout(), timesteps=1)
    recording = Simulator(model).run(np.array([[[-1, -1]]]), record=("spikes",))
    assert conventions.count(model, recording).total("sinabs") == -1


def test_syops_adds_the_bias_of_a_dense_layer_once_per_call():
    model = chain(Input((2,), bits=2), Dense(np.ones((3, 2)), np.ones(3)), Readout(), timesteps=1)
    recording = Simulator(model).run(np.array([[3, 0], [3, 1]]), record=("spikes",))
    assert conventions.count(model, recording).total("syops_macs") == (6 + 3 + 6 + 3) / 2
    assert conventions.count(model, recording, batch=2).total("syops_macs") == (6 + 6 + 3) / 2


def test_where_edges_meet_sinabs_knows_no_pool():
    """An Add is no part of a sequence: what stood before it is not undone."""
    nodes = {"in": Input((1, 2, 2)), "pool": AvgPool(2), "other": AvgPool(2), "sum": Add(), "flat": Flatten(),
             "dense": Dense([[1.0]]), "out": Readout()}
    edges = [("in", "pool"), ("in", "other", 1), ("pool", "sum"), ("other", "sum"), ("sum", "flat"),
             ("flat", "dense"), ("dense", "out")]
    model = Model(nodes, edges, 1)
    counted = conventions.count(model, Simulator(model).run(np.ones((1, 1, 2, 2)), record=("spikes",)))
    assert counted.total("sinabs") == 1


def test_an_image_reaches_the_tools_normalised():
    """Pixels of 0 are no events to us; normalised they are real numbers that are not 0."""
    image = Input((2, 2, 2), "image", 2, scale=0.5, mean=[0.5, 0.0], std=[0.25, 1.0])
    model = chain(image, Flatten(), Dense(np.ones((3, 8))), Readout(), timesteps=2)
    x = np.array([[[[0, 1], [2, 3]], [[0, 1], [2, 3]]]])
    counted = conventions.count(model, Simulator(model).run(x, record=("spikes",)))
    values = np.array([-2, 0, 2, 4, 0, 0.5, 1, 1.5])
    assert counted.total("sinabs") == 3 * values.sum()
    assert counted.total("neurobench_macs") == 2 * 3 * 6  # two steps; one 0 in each channel
    assert counted.ours["readout3"]["synops"] == 2 * 3 * 6  # levels 0 twice: another pair of pixels


def test_neurobenchs_sparsities_by_hand():
    model = chain(Input((4,)), Dense([[1, 0, 0, 0], [0, 1, 0, 3.0]]), Neuron(), Dense([[0.5, 0.5]]), Readout(),
                  timesteps=2)
    x = np.array([[[1, 0, 1, 0], [1, 1, 0, 0]]])
    counted = conventions.count(model, Simulator(model).run(x, record=("spikes",)))
    assert counted.activation_sparsity() == counted.activation_sparsity("neuron2") == 0.25  # 3 of 4 fire
    assert counted.connection_sparsity() == 0.5 and counted.connection_sparsity("dense1") == 0.625
    with pytest.raises(RunError, match="^no layer of neurons 'neuron'; there are: 'neuron2'"):
        counted.activation_sparsity("neuron")
    with pytest.raises(RunError, match="^no synaptic node 'neuron2'; there are: 'dense1', 'dense3'"):
        counted.connection_sparsity("neuron2")
    recording = Simulator(model).run(x, record=("spikes",))
    assert conventions.without_spikes(recording, "spikes:neuron2").spikes.keys() == {"neuron2"}


def test_neurobenchs_sparsity_counts_no_padding():
    """A neuron that fires in every step that its samples have is not sparse at all."""
    model = chain(Input((2,)), Dense([[1.0, 1.0]]), Neuron(v_threshold=1.0), timesteps=None)
    counted = conventions.count(model, Simulator(model).run(np.ones((2, 4, 2), int), lengths=[1, 4],
                                                            record=("spikes",)))
    assert counted.activation_sparsity("neuron2") == 0 and (counted.chances["neuron2"], counted.n_steps) == (5, 5)


# ---- batches


def networks_of_batches():
    rng = np.random.default_rng(8)
    graded = conv_net(rng, 2)
    real = chain(Input((5,), "real"), Dense(weights(rng, 4, 5)), Neuron(v_threshold=0.2),
                 Dense(weights(rng, 2, 4)), Readout())
    return {"graded": (graded, spikes(rng, graded, (0, 1, 2, 3))), "real": (real, rng.normal(0, 1, (N, 5)))}


def assert_same(one, other):
    assert one.ours == other.ours and one.events == other.events and one.chances == other.chances
    assert (one.n_samples, one.n_steps) == (other.n_samples, other.n_steps)
    for node, row in one.sums.items():
        for key, value in row.items():
            exact = key not in ("sinabs", "syops_acs")
            assert other.sums[node][key] == (value if exact else pytest.approx(value, rel=1e-12)), key


@pytest.mark.parametrize("name", ("graded", "real"))
def test_merged_batches_are_one_run(name):
    model, x = networks_of_batches()[name]
    simulator = Simulator(model)
    one_run = conventions.count(model, simulator.run(x, record=("spikes",)), x)
    parts = [conventions.count(model, simulator.run(part, record=("spikes",)), part) for part in (x[:1], x[1:])]
    assert_same(one_run, merge(parts))


@pytest.mark.parametrize("batch", (1, 2))
@pytest.mark.parametrize("name", ("graded", "real"))
def test_chunks_do_not_show(name, batch, monkeypatch):
    model, x = networks_of_batches()[name]
    recording = Simulator(model).run(x, record=("spikes",))
    at_once = conventions.count(model, recording, x, batch)
    monkeypatch.setattr(conventions, "CHUNK_BYTES", 1)
    assert_same(at_once, conventions.count(model, recording, x, batch))


def test_batch_is_what_a_call_sees():
    """Sample 0 is binary, sample 1 is not: together they are one call that is not."""
    model = chain(Input((2,), bits=2), Dense([[0.5, 0.5]]), Readout(), timesteps=1)
    recording = Simulator(model).run(np.array([[1, 0], [3, 1]]), record=("spikes",))
    alone, together = (conventions.count(model, recording, batch=b) for b in (1, 2))
    assert [alone.sums["dense1"][k] for k in ("neurobench_acs", "neurobench_macs")] == [1, 2]
    assert [together.sums["dense1"][k] for k in ("neurobench_acs", "neurobench_macs")] == [0, 3]
    with pytest.raises(RunError, match="batch: 1 and 2 cannot be merged; merge parts of one model, counted with "
                                       "one `batch`"):
        merge((alone, together))


# ---- layers, text, JSON


def graph():
    """conv leads to two layers; the readout has two synaptic nodes; an identity shortcut; attention."""
    rng = np.random.default_rng(9)
    nodes = {
        "in": Input((2, 4, 4)), "conv": Conv2d(weights(rng, 2, 2, 3, 3), padding=1), "a": Neuron(v_threshold=0.3),
        "b": Neuron(v_threshold=0.6), "restim": Restimulation([0.5, 1.0, 0.5]), "flat": Flatten(),
        "flat_b": Flatten(), "one": Dense(weights(rng, 3, 32)), "two": Dense(weights(rng, 3, 32)),
        "out": Readout(),
    }
    edges = [("in", "conv"), ("conv", "a"), ("conv", "b"), ("a", "restim"), ("restim", "b"), ("a", "b"),
             ("a", "flat"), ("b", "flat_b"), ("flat", "one"), ("flat_b", "two"), ("one", "out"), ("two", "out")]
    return Model(nodes, edges, T)


def counted_graph():
    model = graph()
    x = np.random.default_rng(1).integers(0, 2, (N, T, 2, 4, 4))
    return conventions.count(model, Simulator(model).run(x, record=conventions.needed(model)))


def test_nodes_go_to_the_layers_they_lead_to():
    counted = counted_graph()
    assert counted.layers == {"conv": "a", "one": "out", "two": "out"}
    nodes, layers = counted.of_nodes("spikingjelly_synops"), counted.of_layers("spikingjelly_synops")
    assert layers == {"a": nodes["conv"], "out": nodes["one"] + nodes["two"]} and nodes["two"] > 0
    assert counted.left_out == ("restim",)
    assert counted.ours["b"]["synops"] > nodes["conv"]  # conv again, the shortcut, and attention
    assert "no tool counts 'restim'" in counted.as_text()


def test_weights_of_weighted_sums_are_left_out():
    """What arrives there is no spikes, and no recording has it."""
    nodes = {"in": Input((4,)), "one": Dense(np.ones((3, 4))), "two": Dense(np.ones((2, 3))), "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), T)
    counted = conventions.count(model,
                                Simulator(model).run(np.ones((N, T, 4), int), record=conventions.needed(model)))
    assert counted.left_out == ("two",) and list(counted.layers) == ["one"]


def test_json():
    counted = counted_graph()
    values = json.loads(json.dumps(counted.as_json()))
    assert sorted(values["tools"]) == ["NeuroBench", "SpikingJelly", "sinabs", "syops"]
    for tool, counts in values["tools"].items():
        for count, row in counts.items():
            assert row["unit"] and row["differs"], (tool, count)
    acs = values["tools"]["NeuroBench"]["effective_acs"]
    assert acs["total"] == pytest.approx(sum(acs["layers"].values())) and acs["total"] > 0
    assert acs["unit"] == "operations per sample"
    assert values["ours"]["a"]["synops"] == counted.ours["a"]["synops"] / N
    assert (values["samples"], values["samples_per_call"], values["left_out"]) == (N, 1, ["restim"])


def test_text_is_aligned_and_names_every_tool():
    text = counted_graph().as_text()
    lines = text.splitlines()
    assert lines[0].split() == ["convention", "in", "a", "b", "out", "total", "per"]
    for start in ("eventsim synops", "sinabs synops", "NeuroBench effective ACs", "SpikingJelly MACs",
                  "syops ACs"):
        [line] = [line for line in lines[2:18] if line.startswith(start) and ":" not in line]
        assert line.rstrip().endswith(("sample", "step", "run"))
        assert sum(other.startswith(start + ":") for other in lines) == (0 if "eventsim" in start else 1)


@pytest.mark.parametrize("value, text", ((0, "0"), (999, "999"), (1500, "1.5 k"), (-1500, "-1.5 k"), (-3, "-3"),
                                         (2.5e6, "2.5 M"), (-2.5e9, "-2.5 G")))
def test_short_numbers(value, text):
    """sinabs' sums may be negative."""
    assert quantity(value) == text


def test_a_network_without_synapses():
    model = chain(Input((2,)), Neuron())
    counted = conventions.count(model, Simulator(model).run(np.array([[1, 0]]), record=("spikes",)))
    assert counted.total("sinabs") == 0 and np.isnan(counted.connection_sparsity())
    assert counted.as_json()["tools"]["NeuroBench"]["connection_sparsity"]["total"] is None
    assert counted.activation_sparsity() == 0.5 and "-" in counted.as_text()


def test_many_layers_are_shown_in_blocks():
    """Eight columns beside the names, so that lines stay readable."""
    nodes = [Input((2,))]
    for _ in range(8):
        nodes += [Dense(np.ones((2, 2))), Neuron()]
    model = chain(*nodes, Dense(np.ones((1, 2))), Readout())
    text = conventions.count(model, Simulator(model).run(np.ones((1, 2), int), record=("spikes",))).as_text()
    heads = [line.split() for line in text.splitlines() if line.startswith("convention")]
    assert [len(head) for head in heads] == [9, 5] and heads[1][1:] == ["neuron16", "readout18", "total", "per"]
    assert max(map(len, text.splitlines())) < 150


# ---- errors


def test_missing_spikes_are_named():
    model = conv_net(np.random.default_rng(1))
    recording = Simulator(model).run(np.zeros((1, T, 3, 6, 5)), record=("spikes:input0",))
    with pytest.raises(RunError, match=r"no spikes of 'neuron2' in this recording.*record=\(\"spikes\",\)"):
        conventions.count(model, recording)


def test_real_input_has_to_be_given():
    model, x = networks_of_batches()["real"]
    recording = Simulator(model).run(x, record=("spikes",))
    assert conventions.needed(model) == ["spikes:neuron2"]
    with pytest.raises(DataError, match="node 'input0' .Input.: real numbers are not recorded; give count the x"):
        conventions.count(model, recording)
    for wrong in (x[1:], np.repeat(x[:, None], T + 1, axis=1)):
        with pytest.raises(DataError, match="x has shape .* but the recording is of 3 samples and 4 steps"):
            conventions.count(model, recording, wrong)
    still = conventions.count(model, recording, x)
    assert_same(still, conventions.count(model, recording, np.repeat(x[:, None], T, axis=1)))
    with pytest.raises(DataError, match="batch is 0"):
        conventions.count(model, recording, x, 0)


def test_a_long_chain_is_no_recursion():
    nodes = {"in": Input((2,))}
    nodes |= {f"n{i}": BatchNorm([1.0, 1], [0.0, 0], [0.0, 0], [1.0, 1], eps=0.0) for i in range(1500)}
    nodes |= {"dense": Dense([[0.5, 0.5]]), "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), 1)
    recording = Simulator(model).run(np.array([[1, 0]]), record=("spikes",))
    assert conventions.count(model, recording).total("spikingjelly_synops") == 1


# ---- the command line


def model_and_data(tmp_path, name="graded"):
    model, x = networks_of_batches()[name]
    eventsim.save(model, tmp_path / "net.h5")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = x
    return [str(tmp_path / "net.h5"), str(tmp_path / "data.h5")], model, x


@pytest.mark.parametrize("name", ("graded", "real"))
def test_command_line(tmp_path, name, capsys):
    paths, model, x = model_and_data(tmp_path, name)
    expected = conventions.count(model, Simulator(model).run(x, record=("spikes",)), x)
    assert main(["run", *paths, "--conventions"]) == 0
    assert capsys.readouterr().out.rstrip().endswith(expected.as_text())
    assert main(["run", *paths, "--conventions", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["conventions"] == json.loads(json.dumps(expected.as_json()))
    assert main(["run", *paths, "--json"]) == 0
    assert "conventions" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("wishes, kept", (((), []), (("spikes:neuron2",), ["neuron2"]),
                                          (("spikes",), ["flatten3", "input0", "neuron2"])))
def test_counting_leaves_no_spikes_in_the_file(tmp_path, wishes, kept, capsys):
    paths, *_ = model_and_data(tmp_path)
    recorded = [word for wish in wishes for word in ("--record", wish)]
    assert main(["run", *paths, "--conventions", "--out", str(tmp_path / "run.h5"), *recorded]) == 0
    with h5py.File(tmp_path / "run.h5") as file:
        assert sorted(file.get("spikes", {})) == kept
        assert "conventions" in json.loads(file["summary"][()])
