"""The counting tools themselves, where they are installed (`pip install .[tools]`), on the values that
reach the synapses of a run: every number of `conventions` equals theirs.

The values are computed here by torch from the recorded levels, so that `conventions.values` is tested,
too. Everything is float64: then the tools are exact.
"""

import io

import numpy as np
import pytest

from eventsim import Simulator
from eventsim.costs.other_tools import conventions
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout, SigmaDelta
from eventsim.model.synapses import Conv1d, Conv2d, Dense
from eventsim.model.transforms import Add, AvgPool, BatchNorm, Delay, Flatten, MaxPool, SumPool

torch = pytest.importorskip("torch")
functional = torch.nn.functional

N, T = 5, 4


def weights(rng, *shape):
    """Weights of which a fifth is 0."""
    return np.where(rng.random(shape) < 0.2, 0, rng.normal(0.2, 0.6, shape))


def chain(*nodes, timesteps=T):
    named = {f"{node.kind.lower()}{i}": node for i, node in enumerate(nodes)}
    return Model(named, list(zip(named, list(named)[1:])), timesteps)


def convolutional(rng, input_node, **neuron):
    """Borders, strides, padding and dilation that differ by axis, groups, average and maximum pools."""
    c = input_node.shape[0]
    return chain(
        input_node,
        Conv2d(weights(rng, 4, c, 3, 2), rng.normal(0, 0.1, 4), stride=(2, 1), padding=(1, 1), dilation=(1, 2)),
        Neuron(v_threshold=0.4, **neuron), AvgPool(2),
        Conv2d(weights(rng, 6, 2, 2, 2), stride=(1, 2), padding=1, groups=2),
        Neuron(v_threshold=0.3, **neuron), MaxPool(2, stride=1), Flatten(),
        Dense(weights(rng, 7, 12), rng.normal(0, 0.1, 7)), Neuron(v_threshold=0.2, **neuron),
        Dense(weights(rng, 3, 7)), Readout(),
    )


def networks():
    """name -> (model, x)."""
    rng = np.random.default_rng(5)
    shape, models = (2, 9, 7), {}
    spikes = (rng.random((N, T, *shape)) < 0.3).astype(np.int64)
    models["binary spikes"] = convolutional(rng, Input(shape)), spikes
    models["few spikes"] = convolutional(rng, Input(shape)), spikes * (rng.random(spikes.shape) < 0.03)
    models["several bits"] = (
        convolutional(rng, Input(shape, bits=3), bits=2, quantum=0.5), spikes * rng.integers(1, 8, spikes.shape))
    models["few levels"] = (
        convolutional(rng, Input(shape, bits=2), bits=2),
        spikes * (rng.random(spikes.shape) < 0.03) * rng.integers(1, 3, spikes.shape))
    models["signs"] = (
        convolutional(rng, Input(shape, signed=True), signed=True), spikes * rng.choice([-1, 1], spikes.shape))
    image = Input(shape, "image", 4, scale=1 / 15, mean=[0.3, 0.5], std=[0.4, 0.2])
    models["an image"] = convolutional(rng, image, bits=2), rng.integers(0, 16, (N, *shape))
    models["real numbers"] = (
        convolutional(rng, Input(shape, "real")), rng.normal(0, 1, (N, *shape)) * (rng.random((N, *shape)) < 0.5))
    models["half spikes"] = convolutional(rng, Input(shape, scale=0.5), output_quantum=0.5), spikes
    models["sequences"] = chain(
        Input((3, 20)), Conv1d(weights(rng, 4, 3, 3), rng.normal(0, 1, 4), stride=2, padding=3, dilation=2),
        Neuron(v_threshold=0.3), SumPool(2), Conv1d(weights(rng, 5, 4, 2)), Neuron(), Flatten(),
        Dense(weights(rng, 3, 20)), Readout(),
    ), (rng.random((N, T, 3, 20)) < 0.3).astype(np.int64)
    kernel = (rng.random((4, 2, 3, 3)) < 0.6).astype(float)
    models["binary weights"] = chain(
        Input(shape, bits=2), Conv2d(kernel, padding=2, stride=2), Neuron(v_threshold=4.0), Flatten(),
        Dense((rng.random((6, 120)) < 0.5).astype(float), np.ones(6)), Neuron(v_threshold=9.0),
        Dense(np.ones((2, 6))), Readout(),
    ), spikes * rng.integers(1, 3, spikes.shape)
    models["a graph"] = graph(rng), (rng.random((N, T, 2, 6, 6)) < 0.4).astype(np.int64)
    models["changes"] = chain(
        Input((12,), bits=6, signed=True), SigmaDelta(mode="delta", bits=7, rectify=False),
        Dense(weights(rng, 8, 12).round(1)), SigmaDelta(bits=8, quantum=0.5, v_threshold=1.0),
        Dense(weights(rng, 3, 8)), Readout(),
    ), rng.integers(-20, 21, (N, T, 12))
    return models


def graph(rng):
    """Delays of edges, channels and neurons, a loop, sums of unequal quanta, BatchNorm before and
    after synapses."""
    norm = BatchNorm(rng.uniform(0.5, 2, 4), rng.normal(0, 0.3, 4), rng.normal(0, 0.3, 4), rng.uniform(0.5, 2, 4))
    nodes = {
        "in": Input((2, 6, 6)), "conv": Conv2d(weights(rng, 4, 2, 3, 3), padding=1), "norm": norm,
        "a": Neuron(v_threshold=0.4, quantum=[0.5, 1, 1, 2], bits=2), "late": Delay([0, 1, 2, 0]),
        "loop": Conv2d(weights(rng, 4, 4, 1, 1)), "scaled": norm,
        "second": Conv2d(weights(rng, 4, 4, 3, 3), padding=1), "b": Neuron(v_threshold=0.4, output_quantum=0.25),
        "sum": Add(), "flat": Flatten(), "each": Delay(rng.integers(0, 3, 144)),
        "dense": Dense(weights(rng, 5, 144)), "out": Readout(),
    }
    edges = [("in", "conv"), ("conv", "norm"), ("norm", "a"), ("a", "late"), ("late", "loop"), ("loop", "a", 1),
             ("a", "scaled", 1), ("scaled", "second"), ("second", "b"), ("a", "sum"), ("b", "sum"),
             ("sum", "flat"), ("flat", "each"), ("each", "dense"), ("dense", "out")]
    return Model(nodes, edges, T)


NETWORKS = networks()
RUNS = {}


def played(name):
    """(model, x, recording, values) of a network; values: what torch says each synaptic node reads."""
    if name not in RUNS:
        model, x = NETWORKS[name]
        recording = Simulator(model).run(x, record=("spikes",))
        readers = [n for n, node in model.nodes.items() if node.kind in ("Dense", "Conv1d", "Conv2d")]
        RUNS[name] = model, x, recording, {n: arriving(model, recording, x, n) for n in readers}
    return RUNS[name]


def arriving(model, recording, x, name):
    [edge] = model.incoming(name)
    return later(given(model, recording, x, edge.source), edge.delay)


def later(x, steps):
    return torch.cat([torch.zeros_like(x[:, :1])] * steps + [x], dim=1)[:, : x.shape[1]]


def given(model, recording, x, name):
    """What a node gives: float64 (N, T, ...), by torch's own layers."""
    node = model.nodes[name]
    if node.kind == "Input" and node.encoding == "real":
        return torch.tensor(x)[:, None].expand(-1, T, *x.shape[1:])
    if node.kind in ("Input", "Neuron", "SigmaDelta"):
        levels = torch.tensor(recording.levels(name).astype(np.float64))
        column = (-1, *(1,) * (levels.ndim - 3))
        if node.kind != "Input":
            quantum = node.quantum if getattr(node, "output_quantum", None) is None else node.output_quantum
            return levels * torch.tensor(quantum).reshape(column)
        levels = levels * node.scale
        if node.encoding == "spikes":
            return levels
        return (levels - torch.tensor(node.mean).reshape(column)) / torch.tensor(node.std).reshape(column)
    sources = [later(given(model, recording, x, e.source), e.delay) for e in model.incoming(name)]
    y = sources[0]
    flat = y.flatten(0, 1)
    if node.kind == "Add":
        return torch.stack(sources).sum(0)
    if node.kind == "Flatten":
        return y.flatten(2)
    if node.kind == "Delay":
        steps = np.broadcast_to(node.steps.reshape(-1, *(1,) * (y.ndim - 3)) if node.steps.shape != y.shape[2:]
                                else node.steps, y.shape[2:])
        return torch.stack([torch.where(torch.tensor(steps == s), later(y, s), 0.0) for s in range(3)]).sum(0)
    if node.kind == "BatchNorm":
        out = functional.batch_norm(flat, *(torch.tensor(v) for v in (node.running_mean, node.running_var,
                                                                     node.weight, node.bias)), eps=node.eps)
    elif node.kind == "SumPool":
        out = functional.avg_pool1d(flat, node.kernel_size) * node.kernel_size
    else:
        pool = functional.avg_pool2d if node.kind == "AvgPool" else functional.max_pool2d
        out = pool(flat, node.kernel_size, node.stride)
    return out.unflatten(0, y.shape[:2])


def module_of(node):
    """The torch module of a synaptic node."""
    bias = node.bias is not None
    if node.kind == "Dense":
        module = torch.nn.Linear(node.weight.shape[1], node.weight.shape[0], bias)
    else:
        cls = torch.nn.Conv1d if node.kind == "Conv1d" else torch.nn.Conv2d
        module = cls(node.weight.shape[1] * node.groups, node.weight.shape[0], node.weight.shape[2:],
                     node.stride, node.padding, node.dilation, node.groups, bias)
    module = module.double()
    module.weight.data = torch.tensor(node.weight)
    if bias:
        module.bias.data = torch.tensor(node.bias)
    return module


class Replay(torch.nn.Module):
    """A layer of neurons that fires as recorded, whatever it reads."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def forward(self, x):
        return self.values


class Player(torch.nn.Module):
    """Synaptic modules that read recorded values, step by step. Called with numbers of samples."""

    def __init__(self, model, values):
        super().__init__()
        self.values = values
        self.synapses = torch.nn.ModuleDict({name: module_of(model.nodes[name]) for name in values})

    def forward(self, samples):
        for t in range(T):
            for name, module in self.synapses.items():
                module(self.values[name][samples.reshape(-1).long(), t])
        return samples


def batches(batch):
    return [torch.arange(first, min(first + batch, N)) for first in range(0, N, batch)]


def each_node(name, batch):
    """(node, a Player of it alone, Conventions) and the whole network's as node None."""
    model, x, recording, values = played(name)
    counted = conventions.count(model, recording, x, batch)
    for node in values:
        yield node, Player(model, {node: values[node]}), counted
    yield None, Player(model, values), counted


def ours(counted, key, node):
    return counted.total(key) if node is None else counted.of_nodes(key)[node]


cases = pytest.mark.parametrize("name", NETWORKS)
sizes = pytest.mark.parametrize("batch", (1, 2, N))


@cases
def test_values_are_torchs(name):
    model, x, recording, values = played(name)
    reader = conventions.Values(model, recording, x, np.arange(1, 4), recording.timesteps)
    for node, expected in values.items():
        assert np.allclose(reader.read_by(node), expected[1:4], rtol=1e-12, atol=1e-12), node


def test_the_networks_make_every_distinction():
    """Each convention says something in some network, and the batch matters in some."""
    one, all_at_once = {}, {}
    for name in NETWORKS:
        for batch, counts in ((1, one), (N, all_at_once)):
            model, x, recording, _ = played(name)
            counts[name] = conventions.count(model, recording, x, batch)
    for key in conventions.CONVENTIONS:
        assert any(counted.total(key) for counted in one.values()), key
    different = {key for key in conventions.CONVENTIONS for name in NETWORKS
                 if one[name].total(key) != all_at_once[name].total(key)}
    assert different >= {"neurobench_acs", "neurobench_macs", "spikingjelly_synops", "spikingjelly_macs",
                         "syops_acs", "syops_macs"}


@sizes
@cases
def test_neurobench_synaptic_operations(name, batch):
    pytest.importorskip("neurobench")
    from neurobench.metrics.workload import SynapticOperations
    from neurobench.models import TorchModel

    for node, player, counted in each_node(name, batch):
        model, metric = TorchModel(player), SynapticOperations()
        model.register_hooks()
        with torch.no_grad():
            for samples in batches(batch):
                operations = metric(model, model(samples), (samples, None))
                model.reset_hooks()
        assert operations == {
            "Effective_MACs": ours(counted, "neurobench_macs", node),
            "Effective_ACs": ours(counted, "neurobench_acs", node),
            "Dense": ours(counted, "neurobench_dense", node),
        }


@cases
def test_neurobench_sparsities(name):
    pytest.importorskip("neurobench")
    from neurobench.metrics.static import ConnectionSparsity
    from neurobench.metrics.workload import ActivationSparsity
    from neurobench.models import TorchModel

    model, x, recording, values = played(name)
    counted = conventions.count(model, recording, x)
    for node, player, _ in each_node(name, 1):
        assert ConnectionSparsity()(TorchModel(player)) == round(counted.connection_sparsity(node), 4)
    layers = [n for n, node in model.nodes.items() if node.kind in ("Neuron", "SigmaDelta")]
    for chosen in (*layers, None):
        replays = [Replay(torch.tensor(recording.levels(n).astype(np.float64))) for n in layers
                   if chosen in (n, None)]
        network = TorchModel(torch.nn.Sequential(*replays))
        network.add_activation_module(Replay)
        network.register_hooks()
        network(torch.zeros(1))
        assert ActivationSparsity()(network, None, None) == pytest.approx(
            counted.activation_sparsity(chosen), rel=1e-15)


@sizes
@cases
def test_spikingjelly(name, batch):
    counters = pytest.importorskip("spikingjelly.activation_based.op_counter")
    for node, player, counted in each_node(name, batch):
        synops, macs = counters.SynOpCounter(), counters.MACCounter()
        with torch.no_grad(), counters.DispatchCounterMode([synops, macs]):
            for samples in batches(batch):
                player(samples)
        assert synops.get_total() == ours(counted, "spikingjelly_synops", node)
        assert macs.get_total() == ours(counted, "spikingjelly_macs", node)


@sizes
@cases
def test_syops(name, batch, monkeypatch):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    for old in ("MultiStepIFNode", "MultiStepLIFNode", "MultiStepParametricLIFNode"):
        # syops 0.0.5 imports names that SpikingJelly has dropped
        if not hasattr(neuron, old):
            monkeypatch.setattr(neuron, old, type(old, (), {}), raising=False)
    progress = pytest.importorskip("progress")  # draws on the standard error of its first import
    monkeypatch.setattr(progress.Infinite, "file", io.StringIO())
    syops = pytest.importorskip("syops")
    for node, player, counted in each_node(name, batch):
        (_, acs, macs, _), _ = syops.get_model_complexity_info(
            player, (1,), [(samples, None) for samples in batches(batch)], as_strings=False,
            print_per_layer_stat=False,
        )
        assert acs == pytest.approx(ours(counted, "syops_acs", node), rel=1e-12)
        assert macs == ours(counted, "syops_macs", node)


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in ("sequences", "a graph", "changes")])
def test_sinabs(name):
    hooks = pytest.importorskip("sinabs.hooks")
    model, x, recording, values = played(name)
    counted = conventions.count(model, recording, x)
    modules, synaptic = [], {}
    for i, (each, node) in enumerate(list(model.nodes.items())[1:-1]):
        if each in values:
            synaptic[i] = each
            modules.append(module_of(node))
        elif node.kind == "Neuron":
            modules.append(Replay(given(model, recording, x, each).flatten(0, 1)))
        else:
            modules.append({
                "AvgPool": torch.nn.AvgPool2d, "MaxPool": torch.nn.MaxPool2d,
            }[node.kind](node.kernel_size, node.stride) if node.kind != "Flatten" else torch.nn.Flatten())
    network = torch.nn.Sequential(*modules)
    hooks.register_synops_hooks(network)
    with torch.no_grad():
        network(given(model, recording, x, model.input).flatten(0, 1))
    per_step = network.hook_data["synops_per_timestep"]
    assert {synaptic[i] for i in per_step} == set(values)
    for i, synops in per_step.items():
        assert synops.item() == pytest.approx(counted.of_nodes("sinabs")[synaptic[i]], rel=1e-12)
    total = network.hook_data["total_synops_per_timestep"].item()
    assert total == pytest.approx(counted.total("sinabs"), rel=1e-12)


def test_sinabs_does_not_see_conv1d():
    hooks = pytest.importorskip("sinabs.hooks")
    model, x, recording, values = played("sequences")
    network = torch.nn.Sequential(*(module_of(model.nodes[n]) for n in list(values)[:1]))
    hooks.register_synops_hooks(network)
    network(values[list(values)[0]].flatten(0, 1))
    assert network.hook_data["synops_per_timestep"] == {}
    assert set(conventions.count(model, recording).of_nodes("sinabs")) == {
        n for n in values if model.nodes[n].kind == "Dense"}


def test_sinabs_forgets_pools_before_a_batch_norm():
    hooks = pytest.importorskip("sinabs.hooks")
    norm = BatchNorm([2.0, 1.0], [0.1, 0.2], [0.5, 0.0], [4.0, 1.0], eps=0.0)
    model = chain(Input((2, 4, 4)), AvgPool(2), norm, Conv2d(np.ones((1, 2, 2, 2))), Readout())
    x = np.random.default_rng(2).integers(0, 2, (N, T, 2, 4, 4))
    recording = Simulator(model).run(x, record=("spikes",))
    module = torch.nn.BatchNorm2d(2, eps=0.0).double().eval()
    for name, value in (("weight", norm.weight), ("bias", norm.bias), ("running_mean", norm.running_mean),
                        ("running_var", norm.running_var)):
        getattr(module, name).data = torch.tensor(value)
    network = torch.nn.Sequential(torch.nn.AvgPool2d(2), module, module_of(model.nodes["conv2d3"]))
    hooks.register_synops_hooks(network)
    network(torch.tensor(x).double().flatten(0, 1))
    synops = network.hook_data["synops_per_timestep"][2].item()
    assert synops == pytest.approx(conventions.count(model, recording).total("sinabs"), rel=1e-12)


def test_sinabs_scales_by_an_average_pool_behind_neurons():
    hooks = pytest.importorskip("sinabs.hooks")
    rng = np.random.default_rng(2)
    model = chain(Input((1, 4, 4)), Conv2d(np.ones((1, 1, 1, 1))), AvgPool(2), Neuron(v_threshold=0.3), Flatten(),
                  Dense(np.ones((3, 4))), Readout())
    x = rng.integers(0, 2, (N, T, 1, 4, 4))
    recording = Simulator(model).run(x, record=("spikes",))
    spikes = torch.tensor(recording.levels("neuron3").astype(np.float64)).flatten(0, 1)
    network = torch.nn.Sequential(module_of(model.nodes["conv2d1"]), torch.nn.AvgPool2d(2), Replay(spikes),
                                  torch.nn.Flatten(), module_of(model.nodes["dense5"]))
    hooks.register_synops_hooks(network)
    network(torch.tensor(x).double().flatten(0, 1))
    synops = network.hook_data["synops_per_timestep"]
    counted = conventions.count(model, recording).of_nodes("sinabs")
    assert spikes.sum() > 0
    assert synops[4].item() == pytest.approx(counted["dense5"], rel=1e-12)
    assert synops[4].item() == pytest.approx(4 * 3 * spikes.sum().item() / (N * T), rel=1e-12)
