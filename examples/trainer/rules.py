"""What the trainer's own modules are in eventsim: rules that `from_torch` knows once this is imported.

tdBN, Readout and SpikingNet need none: they are plain operations, which `from_torch` follows.
"""

import eventsim
from eventsim.from_torch import register
from eventsim.from_torch.layers import NeuronLayer
from trainer.neurons import Neuron, Restimulation, SRIF


def srif(layer, x):
    """SRIF: all steps in one call, steps first."""
    return NeuronLayer(eventsim.Neuron(v_threshold=layer.quantum / 2, quantum=layer.quantum, bits=layer.bits,
                                       rectify=layer.mpr), axes="TN")


def neuron(layer, x):
    """Neuron: all steps in one call, steps first."""
    node = eventsim.Neuron(v_threshold=layer.v_threshold, quantum=layer.quantum, bits=layer.bits, leak=layer.leak,
                           reset=layer.reset, v_reset=layer.v_reset, rectify=layer.mpr)
    return NeuronLayer(node, axes="TN")


def restimulation(layer, x):
    """Restimulation: a node without a state."""
    kernel = layer.kernel.detach().double().cpu().numpy()
    if layer.projection is None:
        return eventsim.Restimulation(kernel)
    return eventsim.Restimulation(kernel, layer.projection.weight.detach().double().cpu().numpy(),
                                  layer.projection.stride)


register(SRIF, srif)
register(Neuron, neuron)
register(Restimulation, restimulation)
