"""A model file learns on: it answers as before, in evaluation and in training."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainer_networks import normalise, one_thread, settle  # noqa: E402, F401  (also: where the trainer is)
import eventsim  # noqa: E402
from eventsim.model.input import Input  # noqa: E402
from trainer import unfolding  # noqa: E402
from trainer.data import Arrays, Data  # noqa: E402
from trainer.exporting import export  # noqa: E402
from trainer.networks import from_settings  # noqa: E402

NODE = Input((3, 16, 16), "image", bits=8, scale=1 / 255, mean=0.5, std=0.25)
X = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16)).astype(np.uint8)
PART = Arrays(X, np.arange(40) % 4)
DATA = Data("cifar10", NODE, tuple("abcd"), PART, PART, PART)
SETTINGS = {"network": "small_vgg", "widths": [4, 6], "dense": [8], "neuron": "SRIF+MPR", "bits": [1, 1],
            "leak": None, "surrogate": "rectangle", "width": 2.0, "alpha": 3.0, "restimulation": False,
            "timesteps": 2, "pool": "max", "seed": 0, "convert": None}


def written(tmp_path, provenance=None, **settings):
    """(network, path of its file)."""
    settings = {**SETTINGS, **settings}
    net = settle(from_settings(settings, DATA), normalise(X, NODE).float())
    for layer in net.modules():
        if hasattr(layer, "scale"):  # tdBN
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.uniform_(-0.1, 0.3)
    path = tmp_path / "net.h5"
    found = {"settings": json.dumps(settings)} if provenance is None else provenance
    eventsim.save(export(net, X[:3], NODE, DATA.class_names, found), path)
    return net, path


@pytest.mark.parametrize("settings", ({}, {"restimulation": True},
                                      {"network": "resnet8", "widths": [4, 6, 8], "dense": None}),
                         ids=("vgg", "re-stimulated", "residual"))
def test_it_answers_as_before(tmp_path, settings):
    net, path = written(tmp_path, **settings)
    weights, found = unfolding.unfolded(path, DATA)
    assert found == {**SETTINGS, **settings} and "seconds" not in found  # its provenance does not say how many
    again = from_settings(found, DATA)
    again.load_state_dict(weights)
    x = normalise(X, NODE).float()
    expected = net(x).detach()
    assert expected.std(0).min() > 0
    torch.testing.assert_close(again.eval()(x), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(again.train()(x), expected, rtol=0, atol=1e-2)  # all samples: these are the moments


def test_weights_are_as_long_as_new_ones(tmp_path):
    _, path = written(tmp_path, widths=[64, 96], dense=None)
    weights, settings = unfolding.unfolded(path, DATA)
    new = from_settings(settings, DATA).state_dict()
    for name in (name for name in new if name.endswith("conv.weight")):
        lengths = weights[name].flatten(1).norm(dim=1)
        torch.testing.assert_close(lengths, lengths[:1].expand_as(lengths))
        assert lengths[0].item() == pytest.approx(new[name].flatten(1).norm(dim=1).mean().item(), rel=0.1)


@pytest.mark.parametrize("node, message", (
    (dict(mean=0.4), "mean 0.5, but these have 0.4"), (dict(std=(0.25, 0.25, 0.3)), "std 0.25, but these have"),
    (dict(scale=1.0), "scale 0.0039")))
def test_other_samples_are_refused(tmp_path, node, message):
    _, path = written(tmp_path)
    other = Input((3, 16, 16), "image", bits=8, **{"scale": 1 / 255, "mean": 0.5, "std": 0.25, **node})
    with pytest.raises(ValueError, match=f"net.h5: was trained on samples with {message}"):
        unfolding.unfolded(path, Data("cifar10", other, tuple("abcd"), PART, PART, PART))


@pytest.mark.parametrize("provenance, message", (
    ({}, "does not say its network: give a model that the trainer exported"),
    ({"settings": "epochs 100, AdamW"}, "does not say its network: give a model that the trainer exported"),
    ({"settings": "[1]"}, "does not say its network"), ({"settings": '{"network": "lenet"}'}, "does not say its"),
    ({"settings": json.dumps({**SETTINGS, "network": "mlp"})}, "says that its network is mlp, expected one of"),
    ({"settings": json.dumps({**SETTINGS, "neuron": "LIF"})}, "says that its neuron is LIF, expected one of"),
    ({"settings": json.dumps({**SETTINGS, "convert": 4})}, "is a converted ANN"),
    ({"settings": json.dumps({**SETTINGS, "widths": [4, 6, 8]})}, "has no node 'stage3_1_conv'"),
    ({"settings": json.dumps({**SETTINGS, "widths": [4, 7]})},
     r"weights of the shape \(6, 4, 3, 3\), but .* \(7, 4, "),
))
def test_what_does_not_say_its_network_is_refused(tmp_path, provenance, message):
    _, path = written(tmp_path, provenance)
    with pytest.raises(ValueError, match=f"net.h5: .*{message}"):
        unfolding.unfolded(path, DATA)
