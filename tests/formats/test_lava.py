"""lava-dl files: the oracles, the engine against plain integer arithmetic, and broken files."""

import re
from dataclasses import fields
from pathlib import Path

import h5py
import lava_arithmetic as lava
import numpy as np
import pytest
from lava_arithmetic import Layer
from lava_layers import grouped, Maker, maps, rows
from oracles import LAVA as ORACLES, needs_lava as needs_oracles

import eventsim
from eventsim import formats
from eventsim.engine.simulator import Simulator
from eventsim.errors import EventsimError, FormatError, UnsupportedError
from eventsim.formats.lava.options import LavaOptions
from eventsim.formats.lava.reader import LAYER_TYPES, NEURON_TYPES
from eventsim.formats.options import options_of
from eventsim.model.chip import find_chip
from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout, SigmaDelta
from eventsim.model.synapses import Conv2d, Dense
from eventsim.model.transforms import Delay, Flatten


TRACES = ("spikes", "currents", "potentials", "residuals")


# ---- oracles: what Lava and its chip computed


def steps_first(array):
    """(W, H, C, T) or (N, T), as Lava keeps it, to (T, C, H, W) or (T, N)."""
    return array.transpose()


@needs_oracles
def test_pilotnet_runs_free_from_the_image():
    folder = ORACLES / "pilotnet_lif"
    truth = np.load(folder / "ground_truth.npz")
    model = formats.load(folder / "network.net", reset_interval=17, input_is_bias=True)
    image = np.load(folder / "image.npy").transpose()
    run = Simulator(model).run(image[None], timesteps=24, record=TRACES)
    names = ["input", *(f"conv-{i}" for i in range(5)), None, *(f"fc-{i}" for i in range(3))]
    n_spikes = n_states = 0
    for k, name in enumerate(names):
        if name is None:  # flatten
            continue
        shape = truth[f"{name}_shape"]
        spikes = np.unpackbits(truth[f"{name}_spikes"], count=np.prod(shape)).reshape(shape)
        assert np.array_equal(run.levels(f"layer{k}")[0], steps_first(spikes)), name
        n_spikes += spikes.size
        if f"{name}_u" in truth:
            assert np.array_equal(run.currents(f"layer{k}")[0], steps_first(truth[f"{name}_u"])), name
            v = steps_first(truth[f"{name}_v"])
            known = v != 128  # the chip's code for a neuron that has just spiked
            assert np.array_equal(run.residuals(f"layer{k}")[0][known], v[known]), name
            n_states += v.size
    assert (n_spikes, n_states) == (3_804_192, 1_029_024)


@needs_oracles
def test_tinynet_runs_free_from_the_bias():
    folder = ORACLES / "tinynet"
    model = formats.load(folder / "tiny.net", reset_interval=17, input_is_bias=True)
    bias = np.load(folder / "input_bias.npy").transpose().astype(int)
    run = Simulator(model).run(bias[None], timesteps=17, record=TRACES)
    inputs, layer1, current, output = (
        np.moveaxis(np.load(folder / f"{name}.npy")[0], -1, 0)
        for name in ("input", "layer1", "current", "output")
    )
    assert np.array_equal(run.levels("layer0")[0, :15], inputs[1:])
    # the recording starts behind step 0: its first row is blank
    assert not layer1[0].any() and not current[0].any() and not inputs[0].any()
    assert np.array_equal(run.levels("layer1")[0, 1:16], layer1[1:])
    assert np.array_equal(run.currents("layer1")[0, :16], 64 * current)
    assert layer1.size == current.size == 13_824
    assert np.array_equal(run.levels("layer2")[0, 2:17], output[1:])
    assert output[1:].size == 540


@needs_oracles
def test_dense_ground_truth():
    truth = np.load(ORACLES / "dense_ground_truth.npz")
    neuron = Neuron(6, leak=1 - 415 / 4096, current_leak=0, reset="hard", comparison=">", resolution=64)
    model = Model(
        {"input": Input((200,)), "dense": Dense(truth["weight"]), "neuron": neuron},
        [("input", "dense"), ("dense", "neuron", 1)], chip=find_chip("loihi"),
    )
    run = Simulator(model).run(truth["input"].transpose()[None].astype(int), record=TRACES)
    assert np.array_equal(run.currents("neuron")[0] >> 6, truth["current"].transpose())
    assert np.array_equal(run.levels("neuron")[0], truth["out"].transpose())
    assert truth["out"].size == 512_000


@needs_oracles
def test_the_arithmetic_of_these_tests_is_that_of_the_oracles():
    folder = ORACLES / "pilotnet_lif"
    truth = np.load(folder / "ground_truth.npz")
    traces = lava.run(lava.read(folder / "network.net"), np.load(folder / "image.npy").transpose(), 24,
                      reset_interval=17, is_bias=True)
    for k, name in ((1, "conv-0"), (5, "conv-4"), (9, "fc-2")):
        shape = truth[f"{name}_shape"]
        spikes = np.unpackbits(truth[f"{name}_spikes"], count=np.prod(shape)).reshape(shape)
        assert np.array_equal(traces[k]["sent"], steps_first(spikes).reshape(traces[k]["sent"].shape))
    assert np.array_equal(traces[9]["u"], steps_first(truth["fc-2_u"]))


# ---- networks at random, against plain integer arithmetic


def run_and_trace(tmp_path, layers, x, steps, texts="fixed", fires_at_threshold=False, reset_interval=0,
             bits=None, **options):
    """(run of the file in eventsim, traces of plain arithmetic)."""
    path = tmp_path / "random.net"
    lava.write(path, layers, texts)
    model = formats.load(path, comparison=">=" if fires_at_threshold else ">",
                         reset_interval=reset_interval, message_bits=bits, **options)
    run = Simulator(model).run(x[None], timesteps=steps, record=TRACES)
    traces = lava.run(layers, x, steps, fires_at_threshold, reset_interval, bits or 16)
    return run, traces


def same_traces(model, run, layers, traces):
    """Assert that all states of all layers are equal, and return the number of spikes."""
    spikes = 0
    for k, (layer, trace) in enumerate(zip(layers, traces)):
        name = f"layer{k}"
        if name not in model.nodes or layer.type == "flatten":
            continue
        pairs = {"potentials": trace.get("before", trace.get("act", trace.get("sigma")))}
        if not isinstance(model.nodes[name], Readout):
            pairs |= {"spikes": trace["sent"], "residuals": trace.get("v", trace.get("res"))}
            spikes += np.count_nonzero(trace["sent"])
        if "u" in trace and k:
            pairs["currents"] = trace["u"]
        for kind, expected in pairs.items():
            values = run.levels(name) if kind == "spikes" else getattr(run, kind)(name)
            assert np.array_equal(values[0].reshape(expected.shape), expected), (name, kind)
    return spikes


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rule", ["CUBA", "SDNN"])
@pytest.mark.parametrize("make", [maps, rows, grouped])
def test_random_networks_equal_plain_arithmetic(tmp_path, make, rule, seed):
    layers, steps = make(seed, rule), 70
    shape = tuple(np.atleast_1d(layers[0].values["shape"]))
    rng = np.random.default_rng(seed)
    if layers[0].neuron is None:
        x = rng.integers(*(0, 2) if rule == "CUBA" else (-90, 90), (steps, *shape))
    elif rule == "SDNN":
        x = np.cumsum(rng.integers(-9, 10, (steps, *shape)) * (rng.random((steps, *shape)) < 0.2), axis=0)
    else:
        x = rng.integers(-20, 60, (steps, *shape) if seed % 3 else shape)
    run, traces = run_and_trace(
        tmp_path, layers, x, steps, ("fixed", "object")[seed % 2], seed % 2 == 1, (0, 13)[seed // 3],
        (None, 4)[seed // 3] if rule == "SDNN" else None,
    )
    model = formats.load(tmp_path / "random.net")
    assert same_traces(model, run, layers, traces) > 100


def chain(*layers, inputs=(4,)):
    """Layers behind an input without neurons."""
    return [Layer("input", {"shape": inputs}), *layers]


def cuba(threshold=25, current_decay=4096, decay=1024, **others):
    return {"type": "CUBA", "iDecay": current_decay, "vDecay": decay, "vThMant": threshold, **others}


def dense(weight, neuron, **others):
    weight = np.asarray(weight, "f4")
    values = {"shape": [len(weight)], "inFeatures": weight.shape[1], "outFeatures": len(weight)}
    return Layer("dense", values | {"weight": weight} | others, neuron)


def equal_runs(tmp_path, layers, x, **options):
    """Assert that the traces are the same; the traces."""
    run, traces = run_and_trace(tmp_path, layers, x, len(x), **options)
    assert same_traces(formats.load(tmp_path / "random.net"), run, layers, traces) > 0
    return traces


def test_states_leave_their_widths_as_in_lava(tmp_path):
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((6, 300)) < 0.9, 254, -256)
    weight[[2, 3, 5]] = -2 - weight[[2, 3, 5]]
    layers = chain(
        dense(weight, cuba([131071, 90000, 131071, 20, 100000, 3], 0, [0, 1, 0, 5, 4096, 4096])),
        dense([[254] * 6], cuba(3)), inputs=300,
    )
    traces = equal_runs(tmp_path, layers, (rng.random((50, 300)) < 0.8).astype(int))
    u, v = traces[1]["u"], traces[1]["before"]
    assert (np.diff(np.sign(u[:, 0])) != 0).any()  # turned from the top to the bottom
    assert (v == 2**23 - 1).any() and (v == -(2**23 - 1)).any()


def test_a_current_turns_exactly_beyond_24_bits(tmp_path):
    aims = np.array([131070, 131072, 131074, -131070, -131072, -131074])  # times 64: 2^23 and around
    weight = np.zeros((6, 600))
    for row, aim in zip(weight, aims):
        step = 254 if aim > 0 else -256
        row[: aim // step] = step
        row[aim // step] = aim % step
    weight[:, 599] = [-2, -2, -2, 2, 2, 2]  # never spikes: both signs in every row
    x = np.ones((3, 600), int)
    x[:, 599] = 0
    traces = equal_runs(tmp_path, chain(dense(weight, cuba(1)), inputs=600), x)
    assert traces[1]["u"][1].tolist() == [64 * 131070, 2**23, 2**23 + 128 - 2**24, -64 * 131070, 2**23,
                                          2**24 - 2**23 - 128]


def test_a_sum_turns_beyond_24_bits(tmp_path):
    weight = np.full((4, 40_000), 254)
    weight[1:] = np.random.default_rng(1).choice([-256, 254], (3, 40_000), p=[0.1, 0.9])
    weight[3] = -2 - weight[3]
    traces = equal_runs(tmp_path, chain(dense(weight, cuba(5)), inputs=40_000), np.ones((3, 40_000), int))
    assert (traces[1]["u"][1] >> 6).tolist() != weight.sum(axis=1).tolist()


def test_a_membrane_at_its_threshold_fires_only_with_ge(tmp_path):
    layers = chain(dense([[24, 2], [26, -2]], cuba(26, decay=4096)), inputs=2)
    x = np.array([[1, 1], [0, 0], [0, 0], [1, 0], [0, 0]])
    for fires in (False, True):
        run, traces = run_and_trace(tmp_path, [*layers, dense([[2, 2]], cuba(1))], x, 5, fires_at_threshold=fires)
        assert np.array_equal(run.levels("layer1")[0], traces[1]["sent"])
        assert traces[1]["sent"].sum() == (2 if fires else 0)


def test_delays_may_reach_62_steps(tmp_path):
    x = np.zeros((140, 2), int)
    x[0] = 1
    for delay, expected in ((62, [64, 64]), ([62, 0], [64, 2])):
        layers = chain(dense([[60, 0], [0, 60]], cuba(50), delay=delay), dense([[60, 0], [0, 60]], cuba(50)),
                       inputs=2)
        equal_runs(tmp_path, layers, x)
        run = Simulator(formats.load(tmp_path / "random.net")).run(x[None])
        assert run.levels("layer2")[0].argmax(axis=0).tolist() == expected
    model = formats.load(tmp_path / "random.net")
    assert isinstance(model.nodes["layer1.delay"], Delay)
    assert "SLAYER" in model.provenance["assumed delay"]


@pytest.mark.parametrize("rule", ["CUBA", "SDNN"])
def test_chunks_blocks_and_continued_runs_are_the_same(tmp_path, rule):
    model = loaded(tmp_path, maps(2, rule), reset_interval=7)
    x = np.random.default_rng(0).integers(-20, 60, (3, 23, *model.nodes["input"].shape))
    run = Simulator(model).run(x, record=TRACES)
    cut = Simulator(model, chunk=4, block=2, workers=2).run(x, record=TRACES)
    simulator = Simulator(model)
    first = simulator.run(x[:, :9], record=TRACES)
    second = simulator.run(x[:, 9:], record=TRACES, state=first.state)
    for name in (n for n in run.spikes if n.startswith("layer")):
        assert np.array_equal(cut.levels(name), run.levels(name))
        assert np.array_equal(np.concatenate([first.levels(name), second.levels(name)], 1), run.levels(name))
    for kind in TRACES[1:]:
        for name, expected in run.traces[kind].items():
            assert np.array_equal(cut.traces[kind][name], expected), (kind, name)
            assert np.array_equal(np.concatenate([first.traces[kind][name], second.traces[kind][name]], 1),
                                  expected)


# ---- what the reader makes of a file


def loaded(tmp_path, layers, steps=None, **options):
    lava.write(tmp_path / "a.net", layers, steps=steps)
    return formats.load(tmp_path / "a.net", **options)


def test_nodes_and_edges(tmp_path):
    make = Maker(3)
    layers = [make.input((2, 5, 5)), make.conv(), make.flatten(), make.dense(6, "dense_rec"),
              make.dense(2, last=True, neuron=cuba(131071, 40, 128))]
    layers[1].values["delay"] = 4
    layers[3].values.pop("delay", None)
    model = loaded(tmp_path, layers, steps=30, reset_interval=3)
    assert {name: type(node) for name, node in model.nodes.items()} == {
        "input": Input, "layer0": Neuron, "layer1.weight": Conv2d, "layer1": Neuron, "layer2": Flatten,
        "layer3.weight": Dense, "layer3": Neuron, "layer3.weight_rec": Dense, "layer4.weight": Dense,
        "layer4": Readout,
    }
    assert [tuple(edge) for edge in model.edges] == [
        ("input", "layer0", 0), ("layer0", "layer1.weight", 0), ("layer1.weight", "layer1", 1),
        ("layer1", "layer2", 4), ("layer2", "layer3.weight", 0), ("layer3.weight", "layer3", 1),
        ("layer3", "layer3.weight_rec", 0), ("layer3.weight_rec", "layer3", 1),
        ("layer3", "layer4.weight", 0), ("layer4.weight", "layer4", 1),
    ]
    offsets = [model.nodes[f"layer{i}"].reset_offset for i in (0, 1, 3, 4)]
    assert offsets == [0, 1, 2, 0]  # a flatten is no layer of neurons
    assert (model.timesteps, model.chip) == (30, find_chip("loihi"))
    out = model.nodes["layer4"]
    assert (out.reduce, float(out.leak), float(out.current_leak)) == ("last", 1 - 128 / 4096, 1 - 40 / 4096)
    assert np.array_equal(model.nodes["layer1.weight"].weight,
                          layers[1].values["weight"].reshape(model.nodes["layer1.weight"].weight.shape))


def test_provenance_says_what_was_assumed_and_not_read(tmp_path):
    layers = chain(dense([[2, 4, 6, 8]], cuba(3, theta=192, scaleRho=1.0)))
    model = loaded(tmp_path, layers)
    assert model.provenance == {
        "format": "lava-dl", "assumed comparison": "> (default)", "assumed reset_interval": "0 (default)",
        "assumed input_bits": "1 (default)", "assumed input_signed": "False (default)",
        "assumed timesteps": "none: not given", "not read": "neuron/scaleRho, neuron/theta",
    }
    model = loaded(tmp_path, layers, steps=np.array([9]), comparison=">=", reset_interval=5, input_bits=3,
                   input_signed=True, timesteps=7)
    assert model.timesteps == 7
    assert model.chip.comparison == ">=" and model.nodes["layer1"].comparison == ">="
    assert (model.nodes["input"].bits, model.nodes["input"].signed) == (3, True)
    assert model.provenance["assumed comparison"] == ">= (given)"
    assert loaded(tmp_path, layers, steps=9).provenance["assumed timesteps"] == "9 (the file's tSample)"


def test_options_are_described():
    declared = options_of(LavaOptions)
    assert list(declared) == [field.name for field in fields(LavaOptions)]
    assert all(option.help and "\n" not in option.help for option in declared.values())


def test_inputs(tmp_path):
    layers = [Layer("input", {"shape": [3]}, cuba(20)), dense([[2, 2, 4]], cuba())]
    model = loaded(tmp_path, layers)
    assert float(model.nodes["layer0"].input_gain) == 64  # netx's
    assert model.provenance["assumed input weight"] == "64 (as netx)"
    assert (model.nodes["input"].bits, model.nodes["input"].signed) == (11, True)
    layers[0].values |= {"weight": [[-7.0]], "bias": [[9.0]]}  # (1, 1), as lava-dl keeps them
    model = loaded(tmp_path, layers)
    assert (model.nodes["layer0"].input_gain, model.nodes["layer0"].bias) == (-7, 9)
    model = loaded(tmp_path, layers, input_is_bias=True)
    assert (model.nodes["layer0"].input_gain, model.nodes["layer0"].bias) == (1, 0)


@pytest.mark.parametrize("weight, bias, rule", [
    (1, 0, "CUBA"), (-3, 0, "CUBA"), (40, 36, "CUBA"), (40, -131000, "CUBA"), (4000, 7, "CUBA"),
    (1, 0, "SDNN"), (64, 0, "SDNN"), (100, -2000, "SDNN"),
])
def test_all_values_that_an_input_takes_are_exact(tmp_path, weight, bias, rule):
    neuron = cuba(131071, decay=64) if rule == "CUBA" else {"type": "SDNN", "vThMant": 0}
    layers = [Layer("input", {"shape": [4], "weight": weight, "bias": bias}, neuron),
              dense(np.eye(4) * 64, None)]
    bits = loaded(tmp_path, layers).nodes["input"].bits
    top = 2**bits - 1
    x = np.random.default_rng(0).integers(-top, top + 1, (40, 4))
    x[:, 0], x[:, 1] = top, np.where(np.arange(40) % 2, top, -top)
    run, traces = run_and_trace(tmp_path, layers, x, 40)
    assert np.array_equal(run.levels("layer0")[0], traces[0]["sent"])
    assert np.array_equal(run.residuals("layer0")[0], traces[0].get("v", traces[0].get("res")))
    largest = abs(weight) * (2 * top + 1) + abs(bias)
    assert bits == 16 or largest > (131071 if rule == "CUBA" else 2**18)  # one bit more would not do


def test_sigma_delta_units(tmp_path):
    neuron = {"type": "SDNN", "activation": "relu", "vThMant": 5}
    layers = [Layer("input", {"shape": [2], "weight": 3, "bias": 1}, neuron),
              dense([[-64, 128]], neuron | {"messageBits": 7}, bias=[2.0]), dense([[64]], None)]
    model = loaded(tmp_path, layers)
    assert model.chip == find_chip("lava_sdnn")
    first, second, out = (model.nodes[f"layer{i}"] for i in range(3))
    assert isinstance(first, SigmaDelta) and (first.mode, first.rectify, first.bits) == ("delta", False, 16)
    assert (second.mode, second.rectify, second.bits) == ("sigma_delta", True, 7)
    assert (float(second.v_threshold), float(second.bias), second.quantum) == (5, 2, 1 / 64)
    assert model.nodes["input"].scale == 3
    assert model.nodes["layer1.weight"].weight.tolist() == [[-1, 2]]
    assert isinstance(out, Readout) and model.output == "layer2"
    assert "comparison" not in " ".join(model.provenance)
    assert loaded(tmp_path, layers, message_bits=9).nodes["layer1"].bits == 9


@pytest.mark.parametrize("bits", [1, 5, 16])
def test_messages_are_clipped_to_their_width(tmp_path, bits):
    neuron = {"type": "SDNN", "activation": "relu", "vThMant": 0}
    layers = [Layer("input", {"shape": [3], "weight": 2}, neuron), dense([[64, -2, 100]], neuron)]
    x = np.random.default_rng(bits).integers(-900, 900, (20, 3))
    traces = equal_runs(tmp_path, layers, x, bits=bits)
    assert np.abs(traces[0]["sent"]).max() == 2**bits - 1


def test_weights_of_one_sign_may_be_odd(tmp_path):
    layers = chain(dense([[255, 1, 7, 0]] * 3, cuba(90)), dense([[-255, 254, 0], [2, 4, 4]], cuba(3)))
    with pytest.raises(FormatError, match="layer 2 .*has 1 odd values such as -255, expected even"):
        loaded(tmp_path, layers)
    layers[2].values["weight"] = np.array([[255, -254, 0], [2, 4, 4]], "f4")
    model = loaded(tmp_path, layers)
    assert model.chip.name == "loihi with odd weights" and model.chip.weight_step == 1
    assert model.nodes["layer1.weight"].weight[0].tolist() == [255, 1, 7, 0]
    assert model.nodes["layer2.weight"].weight[0].tolist() == [254, -254, 0]
    assert "255 (1 weights" in model.provenance["assumed weight of layer 2 (dense)"]
    layers[2].values["weight"][0, 0] = 254
    equal_runs(tmp_path, layers, np.ones((6, 4), int))


def test_a_chip_given_replaces_the_files(tmp_path):
    layers = chain(dense([[26, 2, 2, 2]], cuba(26)))
    model = loaded(tmp_path, layers, comparison=">=")
    x = np.array([[[1, 0, 0, 0], [0, 0, 0, 0]]])
    assert Simulator(model).run(x).output == 1
    assert Simulator(model, chip="loihi").run(x).output == 0


def test_a_saved_model_keeps_its_meaning(tmp_path):
    layers = maps(1, "CUBA")
    model = loaded(tmp_path, layers, comparison=">=", reset_interval=9)
    eventsim.save(model, tmp_path / "a.h5")
    again = formats.load(tmp_path / "a.h5")
    assert again.chip == model.chip and again.provenance == model.provenance
    x = np.random.default_rng(0).integers(-20, 60, (1, 20, *model.nodes["input"].shape))
    assert np.array_equal(Simulator(again).run(x).output, Simulator(model).run(x).output)


# ---- files that are wrong


def full_file():
    """Every type of layer and of member, CUBA."""
    neuron = cuba(25, refDelay=1, gradedSpike=False)
    pooled = {"shape": (2, 2, 2), "kernelSize": [2, 2], "stride": [2, 2], "padding": [0, 0],
              "dilation": [1, 1], "weight": np.full((1, 1, 2, 2), 20.0)}
    convolved = {"shape": (2, 4, 4), "inChannels": 1, "outChannels": 2, "kernelSize": [3, 3],
                 "stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 1,
                 "weight": np.full((2, 1, 3, 3), 8.0), "bias": [2.0, 4.0], "delay": [0.0, 3.0]}
    again = {"shape": (3, 1, 1), "inFeatures": 8, "outFeatures": 3, "weight": np.full((3, 8), 6.0),
             "weight_rec": np.full((3, 3), -4.0)}
    return [
        Layer("input", {"shape": (1, 4, 4), "weight": 36.0, "bias": 34.0}, dict(neuron)),
        Layer("conv", convolved, dict(neuron)),
        Layer("pool", pooled, dict(neuron)),
        Layer("flatten", {"shape": (1, 1, 8)}),
        Layer("dense_rec", again, dict(neuron)),
        Layer("dense", {"shape": (2, 1, 1), "inFeatures": 3, "outFeatures": 2, "weight": np.full(6, 8.0),
                        "bias": 2.0}, dict(neuron)),
    ]


# members without which a file means the same, or something that was assumed
OPTIONAL = {"weight of input", "bias", "delay", "inFeatures", "outFeatures", "inChannels", "outChannels",
            "kernelSize", "neuron/refDelay", "neuron/gradedSpike"}


def members():
    """(layer, member) of all datasets of `full_file`."""
    for i, layer in enumerate(full_file()):
        yield from ((i, name) for name in ("type", *layer.values))
        yield from ((i, f"neuron/{name}") for name in layer.neuron or {})


def one_line(error):
    text = str(error)
    assert "\n" not in text and len(text) < 500
    return text


def refused(path, error=EventsimError, match=".", **options):
    with pytest.raises(error, match=match) as caught:
        formats.load(path, **options)
    assert str(path) in one_line(caught.value)


def test_the_full_file_is_valid(tmp_path):
    lava.write(tmp_path / "a.net", full_file())
    assert formats.load(tmp_path / "a.net").output == "layer5"


@pytest.mark.parametrize("i, name", list(members()))
def test_every_dataset_is_needed_or_optional(tmp_path, i, name):
    path = tmp_path / "a.net"
    lava.write(path, full_file())
    with h5py.File(path, "a") as file:
        del file[f"layer/{i}/{name}"]
    kind = full_file()[i].type
    if name in OPTIONAL or f"{name} of {kind}" in OPTIONAL:
        formats.load(path)
    else:
        refused(path, FormatError, f"layer {i}.*'{name.rpartition('/')[2]}' is missing")


def new(name, value):
    """An edit of a file that gives a member a new value."""

    def edit(file):
        if name in file:
            del file[name]
        file[name] = value

    return edit


def without(*names):
    def edit(file):
        for name in names:
            del file[name]

    return edit


def join(*parts):
    """An edit that makes several edits."""

    def edit(file):
        for part in parts:
            part(file)

    return edit


def sparse(name, shape, dtype="f4"):
    """A dataset that declares a shape but holds nothing."""

    def edit(file):
        del file[name]
        file.create_dataset(name, shape, dtype, chunks=True, compression="gzip")

    return edit


def linked(name, link):
    def edit(file):
        del file[name]
        file[name] = link

    return edit


BROKEN = {
    "no layers": (without(*(f"layer/{i}" for i in range(6))), FormatError, "'layer/0' is missing"),
    "a gap": (without("layer/2"), FormatError, "'layer/2' is missing; the file has 5 layers"),
    "a name": (new("layer/first", 1), FormatError, "'layer/first' is no layer"),
    "a leading zero": (new("layer/06", 1), FormatError, "'layer/06' is no layer"),
    "layer as data": (join(without("layer"), new("layer", 3)), FormatError, "'layer' is a dataset"),
    "one layer as data": (new("layer/3", 3), FormatError, "'3' is a dataset, expected a group"),
    "type as number": (new("layer/3/type", 3), FormatError, "layer 3: 'type' holds elements of type int64"),
    "two types": (new("layer/3/type", ["flatten", "dense"]), FormatError, r"shape \(2,\), expected a single"),
    "no input": (without("layer/0/type"), FormatError, "layer 0: 'type' is missing"),
    "input not first": (new("layer/0/type", "dense"), FormatError, "layer 0 has to be the input"),
    "a second input": (new("layer/3/type", "input"), FormatError, "layer 3 .input.: layer 0 has to be"),
    "unknown type": (new("layer/3/type", "fold"), UnsupportedError,
                     "layer 3: type 'fold' is not supported; supported layers are input, dense"),
    "unknown neuron": (new("layer/1/neuron/type", "LSTM"), UnsupportedError,
                       r"layer 1 .conv.: type 'LSTM' is not supported; supported neurons are CUBA, LOIHI, SDNN"),
    "mixed neurons": (new("layer/4/neuron/type", "SDNN"), UnsupportedError,
                      "layer 4 .dense_rec.: neurons of type 'SDNN' beside 'CUBA'"),
    "complex": (join(without("layer/4/weight"), new("layer/4/weight/real", 1), new("layer/4/weight/imag", 1)),
                UnsupportedError, "layer 4 .dense_rec.: 'weight' is complex"),
    "complex map": (join(without("layer/1/weight"), new("layer/1/weight/real", 1)),
                    UnsupportedError, "layer 1 .conv.: 'weight' is complex"),
    "graded": (new("layer/1/neuron/gradedSpike", True), UnsupportedError, "'gradedSpike' is 1.0, only 0"),
    "refractory": (new("layer/1/neuron/refDelay", 4), UnsupportedError, "'refDelay' is 4.0, only 1"),
    "exponent": (new("layer/1/neuron/wgtExp", -2), UnsupportedError, "'wgtExp' is -2.0, only 0"),
    "messages": (new("layer/1/neuron/messageBits", 8), UnsupportedError, "'messageBits' is 8.0, only 0"),
    "late output": (new("layer/5/delay", [0, 1]), UnsupportedError, "'delay' would delay the model's output"),
    "flat shape": (new("layer/3/shape", [1, 1, 9]), FormatError, "'shape' is .1, 1, 9., but the layer reads"),
    "two axes": (new("layer/0/shape", [4, 4]), FormatError, "'shape' has shape .2,., expected 1 or 3 value"),
    "shape of a map": (new("layer/1/shape", [32]), FormatError, "'shape' has shape .1,., expected 3 value"),
    "shape of another map": (new("layer/1/shape", [2, 4, 5]), FormatError, "becomes .2, 4, 4."),
    "shape of zeros": (new("layer/1/shape", [2, 0, 4]), FormatError, "'shape' has a value of 0"),
    "a map of a row": (join(new("layer/0/shape", [16])), FormatError,
                       "layer 1 .conv.: reads 16 neurons in a row"),
    "a pool of a row": (join(new("layer/2/type", "flatten"), new("layer/2/shape", [32]),
                             new("layer/3/type", "pool"), new("layer/3/weight", np.ones((1, 1, 2, 2)))),
                        FormatError, "layer 3 .pool.: reads 32 neurons in a row"),
    "a kernel too large": (join(new("layer/1/weight", np.full((2, 1, 9, 9), 8.0)), without("layer/1/kernelSize")),
                           FormatError, "layer 1 .conv.: kernel of 9 .* is larger than the input of 4"),
    "another kernel": (new("layer/1/kernelSize", [3, 5]), FormatError, "'kernelSize' is .3, 5., but"),
    "another inFeatures": (new("layer/5/inFeatures", 4), FormatError, "'inFeatures' is .4., but"),
    "another outChannels": (new("layer/1/outChannels", 4), FormatError, "'outChannels' is .4., but"),
    "groups": (new("layer/1/groups", 2), FormatError, "'groups' is 2, which does not divide the 1"),
    "no groups": (new("layer/1/groups", 0), FormatError, "'groups' has a value of 0"),
    "weights of three axes": (new("layer/1/weight", np.ones((2, 3, 3))), FormatError,
                              r"'weight' has shape \(2, 3, 3\), expected \(out, in / groups, kH, kW\)"),
    "weights of five axes": (new("layer/1/weight", np.ones((2, 1, 3, 3, 2))), FormatError, "and perhaps an axis"),
    "weights too few": (new("layer/5/weight", np.ones(5)), FormatError, r"shape \(5,\), expected 6 value"),
    "weights turned": (new("layer/5/weight", np.ones((3, 2))), FormatError, r"shape \(3, 2\), expected \(2, 3\)"),
    "recurrent weights": (new("layer/4/weight_rec", np.ones((3, 4))), FormatError, "expected 9 value"),
    "a weight too large": (new("layer/5/weight", [2, 2, 2, 2, 2, 256.0]), FormatError,
                           "'weight' has a value of 256, expected whole numbers from -256 to 255"),
    "a weight too small": (new("layer/4/weight_rec", np.full((3, 3), -258.0)), FormatError, "value of -258"),
    "a fraction": (new("layer/5/weight", [2, 2, 2, 2, 2, 0.5]), FormatError, "value of 0.5, expected whole"),
    "no number": (new("layer/5/weight", [2, 2, 2, 2, 2, np.nan]), FormatError, "value of nan, expected whole"),
    "infinity": (new("layer/5/bias", np.inf), FormatError, "'bias' has a value of inf"),
    "odd weights": (new("layer/5/weight", [2, 2, 2, 2, 3, -2]), FormatError, "1 odd values such as 3"),
    "text for weights": (new("layer/5/weight", "many"), FormatError, "'weight' has shape .., expected 6"),
    "text for a bias": (new("layer/5/bias", "much"), FormatError, "'bias' holds text, expected numbers"),
    "biases": (new("layer/5/bias", [1, 2, 3]), FormatError, r"'bias' has shape \(3,\), expected 1 or 2"),
    "a bias too large": (new("layer/5/bias", 2.0**24), FormatError, "value of 1.67772e.07, expected"),
    "a delay too long": (new("layer/1/delay", [0, 63]), FormatError, "'delay' has a value of 63, .* 0 to 62"),
    "a delay below 0": (new("layer/1/delay", -1), FormatError, "'delay' has a value of -1"),
    "a decay too large": (new("layer/1/neuron/vDecay", 4097), FormatError, "'vDecay' has a value of 4097"),
    "decays": (new("layer/1/neuron/iDecay", [1, 2, 3]), FormatError, r"'iDecay' has shape \(3,\)"),
    "a threshold below 0": (new("layer/1/neuron/vThMant", -1), FormatError, "'vThMant' has a value of -1"),
    "a stride of 0": (new("layer/1/stride", 0), FormatError, "'stride' has a value of 0"),
    "three strides": (new("layer/1/stride", [1, 1, 1]), FormatError, "expected 1 or 2 value"),
    "a pool's stride": (new("layer/2/stride", [1, 1]), UnsupportedError,
                        "stride, padding and dilation are .1, 1."),
    "a pool's padding": (new("layer/2/padding", 1), UnsupportedError, "in lava-dl others run across channels"),
    "no neurons": (without("layer/1/neuron"), FormatError, "layer 1 .conv.: 'neuron' is missing"),
    "no neurons inside": (join(without("layer/4/neuron"), new("layer/4/type", "dense")), FormatError,
                          "layer 4 .dense.: 'neuron' is missing"),
    "neurons as data": (new("layer/1/neuron", 5), FormatError, "'neuron' is a dataset, expected a group"),
    "steps": (new("simulation/tSample", 0), FormatError, "simulation: 'tSample' has a value of 0"),
    "huge input": (new("layer/0/shape", [1 << 24] * 3), FormatError, "layer 0 .input.: shape is .*neurons in one"),
    "huge dense": (new("layer/5/shape", [1 << 24] * 3), FormatError, "'outFeatures' is .2., but the layer has 47"),
    "huge dense again": (join(new("layer/5/shape", [1 << 24] * 3), without("layer/5/outFeatures")), FormatError,
                         "'weight' has shape .6,., expected 141670"),
    "huge number": (new("layer/0/shape", [1e18]), FormatError, "'shape' has a value of 1e.18"),
    "huge weights": (sparse("layer/4/weight", (3, 8 * 10**12)), FormatError, "'weight' has shape"),
    "huge bias": (sparse("layer/1/bias", (10**12,)), FormatError, "'bias' has shape"),
    "empty weights": (sparse("layer/5/weight", (2, 3)), FormatError, "holds 0 bytes"),
    "external link": (linked("layer/5/weight", h5py.ExternalLink("other.h5", "/w")), FormatError,
                      "'weight' is an external link to '/w', which is not followed"),
    "external layers": (linked("layer", h5py.ExternalLink("other.h5", "/layer")), FormatError, "external link"),
    "external neuron": (linked("layer/1/neuron", h5py.ExternalLink("other.h5", "/n")), FormatError,
                        "external link"),
    "soft link": (linked("layer/5/weight", h5py.SoftLink("/layer/4/weight")), FormatError, "is a soft link"),
}
BROKEN |= {
    f"layer {kind}": (new("layer/3/type", kind), UnsupportedError, f"layer 3: type '{kind}' is not supported")
    for kind in ("average", "convT", "unpool", "concat", "dense_comp")
}
BROKEN |= {
    f"neurons {kind}": (new("layer/1/neuron/type", kind), UnsupportedError, f"type '{kind}' is not supported")
    for kind in ("RF", "RF_IZ", "RF_PHASE", "ALIF", "ADRF", "ADRF_IZ", "S4D")
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_refused_in_one_line(tmp_path, case):
    edit, error, match = BROKEN[case]
    path = tmp_path / "a.net"
    lava.write(path, full_file())
    with h5py.File(path, "a") as file:
        edit(file)
    refused(path, error, match)


SDNN_BROKEN = {
    "weight below 0": (new("layer/0/weight", -3), UnsupportedError, "'weight' is -3; only weights above 0"),
    "sigma inside": (new("layer/1/neuron/sigma_output", True), UnsupportedError, "sigma_output is supported for"),
    "sigma with bias": (join(new("layer/2/neuron/sigma_output", True), new("layer/2/bias", 3)),
                        UnsupportedError, "sigma_output is supported for the last layer, without bias"),
    "wide messages": (new("layer/1/neuron/messageBits", 24), FormatError, "'messageBits' has a value of 24"),
    "no threshold": (without("layer/1/neuron/vThMant"), FormatError, "layer 1 .dense., neuron: 'vThMant' is "
                                                                     "missing"),
    "thresholds": (new("layer/1/neuron/vThMant", [1, 2, 3]), FormatError, r"'vThMant' has shape \(3,\)"),
}


@pytest.mark.parametrize("case", SDNN_BROKEN)
def test_broken_sigma_delta_files_are_refused(tmp_path, case):
    edit, error, match = SDNN_BROKEN[case]
    neuron = {"type": "SDNN", "vThMant": 5}
    path = tmp_path / "a.net"
    lava.write(path, [Layer("input", {"shape": [2]}, dict(neuron)), dense(np.ones((2, 2)) * 2, dict(neuron)),
                      dense(np.ones((2, 2)) * 2, dict(neuron))])
    with h5py.File(path, "a") as file:
        edit(file)
    refused(path, error, match)


def test_a_pool_too_large_is_refused(tmp_path):
    pooled = {"shape": (4096, 1, 1), "kernelSize": [256, 256], "stride": [256, 256], "padding": 0, "dilation": 1,
              "weight": np.full((1, 1, 256, 256), 2.0)}
    layers = [Layer("input", {"shape": (4096, 9, 9)}), Layer("pool", pooled, cuba())]
    with pytest.raises(FormatError, match="layer 1 .pool.: a kernel of .256, 256. for each of 4096 channels"):
        loaded(tmp_path, layers)


@pytest.mark.parametrize("options, match", [
    ({"comparison": "=>"}, "comparison is '=>', expected one of '>', '>='"),
    ({"reset_interval": -1}, "reset_interval is -1"),
    ({"message_bits": 17}, "message_bits is 17, expected a whole number from 1 to 16"),
    ({"input_bits": 0}, "input_bits is 0"),
    ({"timesteps": 0}, "timesteps is 0"),
])
def test_wrong_options_are_refused(tmp_path, options, match):
    lava.write(tmp_path / "a.net", full_file())
    refused(tmp_path / "a.net", FormatError, match, **options)


@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.6, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, share):
    path = tmp_path / "a.net"
    lava.write(path, full_file())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path, FormatError)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.net"
    path.write_text("layer/0/type input")
    refused(path, FormatError, "not an HDF5 file")
    refused(tmp_path / "none.net", FormatError, "cannot be read")


def test_flipped_bytes_are_refused_or_harmless(tmp_path):
    path = tmp_path / "a.net"
    lava.write(path, full_file())
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            broken[position] ^= 1 << rng.integers(8)
        path.write_bytes(broken)
        try:
            formats.load(path)
        except EventsimError as error:
            one_line(error)


def test_the_guide_names_every_type(tmp_path):
    text = (Path(__file__).resolve().parents[2] / "examples" / "guides" / "bring_your_network.md").read_text()
    for kind in (*LAYER_TYPES, *NEURON_TYPES):
        assert re.search(rf"`{kind}`", text), kind
