"""The nodes of a Model: one small dataclass each, with physical parameters.

Shapes are channels first, without a sample axis, as trainers have them:
(C, H, W) for maps, (C, L) for sequences, (F,) for vectors. Arrays are stored as
float64 or int64; what a run computes with is decided in `lower`.

A node says what it accepts and what it gives:

* *spikes*: integer levels; a level k is worth k times a quantum;
* *real*: real numbers, only from an `Input` of encoding "real";
* *scaled*: spikes or real numbers after a BatchNorm, not yet through a synapse;
* *current*: weighted sums on their way to a membrane.
"""

from typing import Dict, Type

from eventsim.model.input import Input
from eventsim.model.neurons import Alpha, Neuron, Readout, SigmaDelta
from eventsim.model.node import Node
from eventsim.model.synapses import Conv1d, Conv2d, ConvTranspose2d, Dense, Restimulation
from eventsim.model.transforms import (
    Add, AvgPool, BatchNorm, Concat, Delay, Flatten, MaxPool, SumPool, Upsample,
)

NODE_TYPES: Dict[str, Type[Node]] = {
    cls.kind: cls
    for cls in (
        Input, Dense, Conv1d, Conv2d, ConvTranspose2d, SumPool, AvgPool, MaxPool, Upsample, Flatten,
        BatchNorm, Add, Concat, Delay, Restimulation, Neuron, Alpha, SigmaDelta, Readout,
    )
}


def node_type(kind: str) -> Type[Node]:
    """The class of the nodes of one kind, for the roles of nodes of which only the kind is known; of an
    unknown kind `Node`, which has none of them."""
    return NODE_TYPES.get(kind, Node)
