"""lava-dl files whose input is open: none at all, values as a trainer normalised them, messages too wide."""

import json
import warnings

import lava_arithmetic as lava
import numpy as np
import pytest
from lava_arithmetic import Layer
from oracles import FIELD, needs_field

import eventsim
from eventsim import EventsimWarning, formats, FormatError, RunError, Simulator, UnsupportedError
from eventsim.cli import main

CUBA = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1}
SDNN = {"type": "SDNN", "vThMant": 0}


def dense(n_out, n_in, neuron, seed=0, **members):
    weight = 2.0 * np.random.default_rng(seed).integers(-20, 30, (n_out, n_in))
    values = {"shape": [n_out], "inFeatures": n_in, "outFeatures": n_out, "weight": weight}
    return Layer("dense", {name: value for name, value in {**values, **members}.items() if value is not None},
                 neuron)


def loaded(path, layers, **options):
    """(Model, what was said while it was read)."""
    lava.write(path, layers)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = formats.load(path, **options)
    return model, [str(warning.message) for warning in caught if warning.category is EventsimWarning]


# ---- no input layer


@pytest.mark.parametrize("members", [{}, {"inFeatures": None}, {"weight": "flat"}], ids=str)
def test_a_dense_first_layer_reads_spikes(tmp_path, members):
    """Spikes, currents and membranes as Lava's integers with an input put before it."""
    layers = [dense(6, 9, CUBA, bias=3.0), dense(4, 6, CUBA, seed=1)]
    if members == {"weight": "flat"}:
        members = {"weight": layers[0].values["weight"].reshape(-1)}
    layers[0] = dense(6, 9, CUBA, bias=3.0, **members)
    model, messages = loaded(tmp_path / "a.net", layers)
    assert (model.shapes["input"], model.nodes["input"].bits, model.nodes["input"].signed) == ((9,), 1, False)
    assert "layer 0, which is dense" in model.provenance["assumed input"]
    assert len(messages) == 1 and "it has no input layer" in messages[0]
    assert "--input-bits" in messages[0] and "\n" not in messages[0]
    x = np.random.default_rng(2).integers(0, 2, (40, 9))
    run = Simulator(model).run(x[None], record=("spikes", "currents", "residuals"))
    expected = lava.run([Layer("input", {"shape": [9]}), dense(6, 9, CUBA, bias=3.0), layers[1]], x, 40)
    for name, trace in zip(("layer0", "layer1"), expected[1:]):
        assert np.array_equal(run.levels(name)[0], trace["sent"]) and trace["sent"].any()
        assert np.array_equal(run.currents(name)[0], trace["u"])
        assert np.array_equal(run.residuals(name)[0], trace["v"])
    assert loaded(tmp_path / "a.net", layers, input_bits=1)[1] == []


@needs_field
def test_the_file_from_the_field():
    with pytest.warns(EventsimWarning, match="it has no input layer: an input of 4 values of 1 bit was assumed"):
        model = formats.load(FIELD / "dense_first.net")
    x = np.random.default_rng(0).integers(0, 2, (50, 4))
    layers = lava.read(FIELD / "dense_first.net")
    expected = lava.run([Layer("input", {"shape": [4]}), *layers], x, 50)[1]["sent"]
    assert np.array_equal(Simulator(model).run(x[None]).levels("layer0")[0], expected) and expected.any()


@pytest.mark.parametrize("layers, message", [
    ([dense(6, 9, CUBA, weight=np.ones(10))],
     "layer 0 .dense.: layer 0 has to be the input, and only that, or a dense "
     r"layer with weights .out, in.; its 6 neurons have weights \(10,\)"),
    ([dense(6, 9, CUBA, weight=np.ones((9, 6)))], r"its 6 neurons have weights \(9, 6\)"),
    ([Layer("flatten", {"shape": [1, 1, 9]}), dense(6, 9, CUBA)], "layer 0 has to be the input, and only that, or "
                                                                  "a dense"),
    ([Layer("average", {"shape": [9]})], "type 'average' is not supported"),
], ids=range(4))
def test_other_first_layers_are_refused(tmp_path, layers, message):
    with pytest.raises(eventsim.EventsimError, match=message) as error:
        loaded(tmp_path / "a.net", layers)
    assert "\n" not in str(error.value)


# ---- values as the trainer normalised them


def pixels(neuron, weight=76.0, bias=64.0):
    values = {"shape": [256], "weight": weight, "bias": bias}
    return [Layer("input", {name: value for name, value in values.items() if value is not None}, dict(neuron)),
            dense(2, 256, neuron)]


@pytest.mark.parametrize("neuron", [CUBA | {"vThMant": 131071}, SDNN], ids=("CUBA", "SDNN"))
@pytest.mark.parametrize("low, high", [(-1, 1), (0, 1), (-0.4242, 2.8215)])
def test_normalised_inputs(tmp_path, neuron, low, high):
    """What is injected for pixels 0 to 255, against weight * x + bias of normalised x, to half a whole number."""
    model, messages = loaded(tmp_path / "a.net", pixels(neuron), input_low=low, input_high=high)
    node = model.nodes["input"]
    assert (node.bits, node.signed, messages) == (8, False, [])
    assert model.provenance["assumed input_low"] == f"{low:g} (given)"
    run = Simulator(model).run(np.arange(256)[None], timesteps=1, record=("spikes", "potentials"))
    injected = run.potentials("layer0")[0, 0] / model.nodes["layer0"].resolution
    assert np.abs(injected - (76 * np.linspace(low, high, 256) + 64)).max() <= 0.5 + 1e-9
    if neuron["type"] == "CUBA":
        assert np.array_equal(injected, np.rint(injected)) and len(set(injected)) > 70
    model, _ = loaded(tmp_path / "a.net", pixels(neuron), input_low=low, input_high=high, input_bits=4)
    assert model.nodes["input"].bits == 4


def test_normalised_pixels_are_told_apart(tmp_path):
    """Lava's integers, where x is given as the layer makes it of normalised pixels."""
    layers = pixels(CUBA)
    x = np.arange(256)
    model, _ = loaded(tmp_path / "a.net", layers, input_low=-1, input_high=1)
    sent = Simulator(model).run(x[None], timesteps=64).levels("layer0")[0]
    model, messages = loaded(tmp_path / "a.net", layers, input_is_bias=True)
    made = np.rint(76 * (2 * x / 255 - 1) + 64).astype(int)
    expected = Simulator(model).run(made[None], timesteps=64).levels("layer0")[0]
    assert np.array_equal(sent, expected) and len(set(expected.sum(axis=0))) > 10
    traced = lava.run(layers, made, 64, is_bias=True)[0]["sent"]
    assert np.array_equal(sent, traced.reshape(sent.shape))
    assert messages == []
    model, messages = loaded(tmp_path / "a.net", layers)
    assert (Simulator(model).run(x[None], timesteps=64).levels("layer0")[0][:, 3:] == 1).all()  # as it was taken
    assert len(messages) == 1 and "as the trainer normalised them" in messages[0] and "--input-low" in messages[0]


@pytest.mark.parametrize("options", [{"input_low": 0}, {"input_high": 1}, {"input_low": 1, "input_high": -1},
                                     {"input_low": -1, "input_high": 1, "input_signed": True}], ids=str)
def test_wrong_ranges(tmp_path, options):
    with pytest.raises(FormatError,
                       match="layer 0 .input.: input_low and input_high are .*, expected two numbers"):
        loaded(tmp_path / "a.net", pixels(CUBA), **options)
    with pytest.raises(FormatError, match="for an input layer with neurons, or SDNN"):
        loaded(tmp_path / "a.net", [Layer("input", {"shape": [4]}), dense(2, 4, CUBA)], input_low=-1, input_high=1)


def one_value(weight, bias=0):
    neuron = {**CUBA, "vThMant": 0}
    return [Layer("input", {"shape": [1], "weight": weight, "bias": bias}, neuron), dense(1, 1, CUBA)]


@pytest.mark.parametrize("weight, bias, low, high", [
    (-37, 3, -0.4242, 2.8215), (37, 3, -0.4242, 2.8215), (-5, -2, -1, 1),
])
def test_normalised_values_are_rounded_to_the_nearest(tmp_path, weight, bias, low, high):
    layers = one_value(weight, bias)
    model = loaded(tmp_path / "a.net", layers, timesteps=1, input_low=low, input_high=high)[0]
    levels = np.arange(256).reshape(-1, 1, 1)
    sent = Simulator(model).run(levels, record=("spikes:input.whole",)).levels("input.whole").reshape(-1)
    neuron = model.nodes["layer0"]
    injected = np.asarray(neuron.input_gain) * sent + np.asarray(neuron.bias)
    exact = weight * (levels.reshape(-1) / 255 * (high - low) + low) + bias
    assert np.abs(injected - exact).max() <= 0.5 + 1e-9


def test_normalised_values_that_are_too_many(tmp_path):
    low_to_high = dict(timesteps=1, input_low=-1.0, input_high=1.0)
    assert loaded(tmp_path / "a.net", one_value(32767), **low_to_high)[0]
    for weight in (32768, 65000, 130000):
        with pytest.raises(UnsupportedError, match=f"makes {2 * weight + 1} values .* quantise it with a smaller"):
            loaded(tmp_path / "a.net", one_value(weight), **low_to_high)


@pytest.mark.parametrize("thresholds, kind", [([131071, 100], "Neuron"), ([131071, 131071], "Readout")])
def test_a_last_layer_of_which_some_fire_is_no_readout(tmp_path, thresholds, kind):
    neuron = {**CUBA, "vThMant": np.array(thresholds)}
    model = loaded(tmp_path / "a.net", [Layer("input", {"shape": [2]}), dense(2, 2, neuron)], timesteps=10)[0]
    assert model.nodes["layer0" if "layer0" in model.nodes else "layer1"].kind == kind


def test_channels_that_contradict_the_weights(tmp_path):
    values = {"shape": [2, 4, 4], "weight": np.full((2, 2, 1, 1), 2.0), "groups": 1, "stride": 1, "padding": 0,
              "dilation": 1, "inChannels": 5, "outChannels": 2}
    with pytest.raises(FormatError, match="'inChannels' is .5."):
        loaded(tmp_path / "a.net", [Layer("input", {"shape": [2, 4, 4]}), Layer("conv", values, CUBA)])


# ---- sigma-delta messages


def test_messages_that_are_cut_off_are_said(tmp_path, capsys):
    """Weight 64 where there is none: a change by n is a message of 4096 n, and 16 bits end at 65535."""
    path = str(tmp_path / "a.net")
    layers = [Layer("input", {"shape": [2]}, dict(SDNN)), dense(2, 2, SDNN, weight=np.array([[2.0, 0], [0, 2.0]]))]
    _, messages = loaded(path, layers)
    assert len(messages) == 1 and "a weight of 64 was assumed for it, as netx does" in messages[0]
    x = np.array([[[10, 0], [15, 0], [40, 0], [40, 20], [30, 20]]])  # changes 10, 5, 25, 20, -10: two of five
    np.savez(tmp_path / "x.npz", x=x)
    for flags in ([], ["--audit"], ["--json"], ["--out", str(tmp_path / "run.h5")]):
        assert main(["run", path, str(tmp_path / "x.npz"), *flags]) == 0
        captured = capsys.readouterr()
        lines = captured.err.splitlines()
        assert len(lines) == 2 and "a weight of 64 was assumed" in lines[0]
        assert lines[1].startswith(f"eventsim: {path}: messages were cut off at the end of their width (layer0 "
                                   "40.00 %)")
        if flags == ["--json"]:
            json.loads(captured.out)
    np.savez(tmp_path / "x.npz", x=x // 4)
    assert main(["run", path, str(tmp_path / "x.npz"), "--input-is-bias"]) == 0
    assert capsys.readouterr().err == ""
    summary = eventsim.evaluate(Simulator(loaded(path, layers)[0]), x, statistics=True)
    assert summary.saturated_messages == {"layer0": 0.4}
    parts = [eventsim.evaluate(Simulator(loaded(path, layers)[0]), np.concatenate([x, x // 4]), shard=(i, 2))
             for i in (0, 1)]
    merged = eventsim.merge_summaries(parts)
    assert merged.saturated_messages == {"layer0": 2 / (5 + parts[1].sums.messages["layer0"].n)}


# ---- steps


def test_no_number_of_steps_no_run(tmp_path):
    model, _ = loaded(tmp_path / "a.net", [dense(6, 9, CUBA)])
    assert model.timesteps is None and model.provenance["assumed timesteps"] == "none: not given"
    with pytest.raises(RunError, match="a.net: does not say how many steps a run takes"):
        Simulator(model).run(np.ones((1, 9), int))
    assert loaded(tmp_path / "a.net", [dense(6, 9, CUBA)], timesteps=5)[0].timesteps == 5


# ---- room of a state


@pytest.mark.parametrize("weight, bias, options, said", [
    (64, 131071, {}, "reaches 131135 for x of 1 bit, more than the 131071 that a state holds; quantise it with"),
    (64, -131071, {}, "reaches 131135 for x of 1 bit"), (64, 200000, {}, "reaches 200064 for x of 1 bit"),
    (140000, 0, {}, "reaches 140000 for x of 1 bit"),
    (64, 0, {"input_bits": 16}, "reaches 4194240 for x of 16 bits, more than the 131071 .* fewer --input-bits"),
    (64, 200000, {"input_bits": 16}, "reaches 4394240 .*; quantise it with a smaller weight"),
    (76, 131071, {"input_low": 0, "input_high": 1}, "reaches 131147 for x of 8 bits"),
], ids=str)
def test_an_input_that_states_have_no_room_for_is_refused(tmp_path, weight, bias, options, said):
    """What would wrap, or saturate, is no input that Lava injects."""
    with pytest.raises(UnsupportedError, match=f"^[^\n]*a.net: layer 0 .input.: weight . x . bias {said}[^\n]*$"):
        loaded(tmp_path / "a.net", pixels(CUBA, weight, bias), **options)


@pytest.mark.parametrize("weight, bias", [(64, 131007), (64, -131007), (131071, 0), (-100, 120000)])
def test_an_input_up_to_the_room_of_a_state_is_exact(tmp_path, weight, bias):
    layers = pixels(CUBA | {"vThMant": 100000}, weight, bias)
    model, _ = loaded(tmp_path / "a.net", layers)
    top = 2 ** model.nodes["input"].bits - 1
    x = np.random.default_rng(1).integers(-top, top + 1, (20, 256))
    run = Simulator(model).run(x[None], record=("spikes", "residuals", "audit"))
    sent = lava.run(layers, x, 20)[0]
    assert np.array_equal(run.levels("layer0")[0], sent["sent"])
    assert np.array_equal(run.residuals("layer0")[0], sent["v"])
    assert run.audit["layer0"].ranges["current"].overflows == 0
