"""Exported networks have the layers' names, and BatchNorm in their weights, and answer as before."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trainer_networks import eventsim_check, normalise, one_thread, settle  # noqa: E402, F401  (also: the path)
from eventsim.engine.simulator import Simulator  # noqa: E402
from eventsim.model.input import Input  # noqa: E402
from trainer.exporting import export, folded  # noqa: E402
from trainer.networks import Style, resnet8, strided  # noqa: E402
from trainer.neurons import fixed_point  # noqa: E402

X = np.random.default_rng(0).integers(0, 256, (5, 1, 16, 16)).astype(np.uint8)
NODE = Input((1, 16, 16), "image", bits=8, scale=1 / 255, mean=0.5, std=0.25)


def settled(make, **settings):
    torch.manual_seed(0)
    return settle(make(Style(fixed_point(1, 1), alpha=3.0), 2, NODE.shape, **settings), normalise(X, NODE).float())


@pytest.mark.parametrize("make, settings", ((strided, dict(widths=(4, 6), dense=(12,))),
                                            (resnet8, dict(widths=(4, 6, 8)))))
def test_folding_keeps_what_a_network_computes(make, settings):
    net = settled(make, **settings).double()
    kept = {name: value.clone() for name, value in net.state_dict().items()}
    one = folded(net)
    assert not any(name.endswith("norm") for name in one.layers) and set(one.layers) < set(net.layers)
    x = normalise(X, NODE)
    expected = net(x).detach().numpy()
    assert np.ptp(expected, axis=0).min() > 0
    np.testing.assert_allclose(one(x).detach().numpy(), expected, rtol=0, atol=1e-9)
    assert all(torch.equal(value, kept[name])
               for name, value in net.state_dict().items()), "net itself was changed"


def test_nodes_are_named_like_layers_and_the_file_proves_itself():
    net = settled(strided, widths=(4, 6), dense=(12,))
    model = export(net, X[:3], NODE, map(str, range(10)), {"data": "made up"})
    assert list(model.nodes) == [
        "input", "stage1_1_conv", "stage1_1", "stage2_1_conv", "stage2_1", "flatten", "hidden1_dense", "hidden1",
        "dense", "readout"]
    assert (model.timesteps, model.class_names[9], model.provenance["data"]) == (2, "9", "made up")
    assert set(model.check.level_counts) == {"stage1_1", "stage2_1", "hidden1"} and eventsim_check(model)
    trained = net(normalise(X, NODE).float()).detach().numpy()
    np.testing.assert_allclose(Simulator(model, "float32").run(X).output, trained, rtol=0, atol=1e-4)
