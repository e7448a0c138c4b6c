"""Small models of the kinds of layers that most networks have."""

from typing import List

import numpy as np

from eventsim.model.input import Input
from eventsim.model.network import Model
from eventsim.model.neurons import Neuron, Readout
from eventsim.model.synapses import Conv2d, Dense
from eventsim.model.transforms import AvgPool, Flatten, MaxPool


def common_networks() -> List[Model]:
    """Images pass convolutions, pools and dense layers into neurons of two bits, spikes into those of one."""
    image, spikes = Input((1, 8, 8), "image", bits=8), Input((2, 8, 8))
    return [_network(image, Neuron(bits=2), AvgPool(2)), _network(spikes, Neuron(), MaxPool(2))]


def _network(entry, neuron, pool):
    nodes = {
        "input": entry, "conv1": Conv2d(np.ones((32, entry.shape[0], 3, 3)) / 8, padding=1), "neuron1": neuron,
        "pool1": pool, "conv2": Conv2d(np.ones((64, 32, 3, 3)) / 64, padding=1), "neuron2": neuron, "pool2": pool,
        "flatten": Flatten(), "dense3": Dense(np.ones((32, 256)) / 64), "neuron3": Neuron(),
        "dense4": Dense(np.ones((10, 32))), "readout": Readout("mean"),
    }
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=4)
