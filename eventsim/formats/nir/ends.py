"""The end of a network whose answer is spikes: what a level is worth there.

A model that ends in spikes answers with their summed levels. NIR's nodes give values: a level times what it is worth.
"""

import numpy as np

from eventsim.model.transforms import AvgPool


def handing_on(nodes, edges, last):
    """The nodes through which spikes come to the end: what sends them, and the transforms on the way.

    nodes: name -> Node. edges: of Edge. last: name of the node before the end, which gives spikes.
    """
    waiting = [last]
    for name in waiting:
        if nodes[name].role == "transform":
            waiting += {edge.source for edge in edges if edge.target == name}.difference(waiting)
    return [nodes[name] for name in waiting]


def worth_of(node, n_axes=2):
    """What a node makes of a level of 1, float64 () or (C,): the worth of what sends it, or a pool's share.
    n_axes: axes of space that a pool works on."""
    if node.role == "neurons":
        return np.asarray(node.worth, np.float64)
    if node.role == "input":
        return np.asarray(node.scale, np.float64)
    return np.asarray(1 / np.prod(node.geometry(n_axes)[0]) if isinstance(node, AvgPool) else 1.0)


def worth_handed_on(model, last):
    """Worth of a level of the last node of a model, float64 () or (C,), where pools, sums and the like hand on spikes;
    1 where neurons end it, whose answer counts levels anyway."""
    way = [last]
    while model.nodes[way[-1]].role == "transform":
        way.append(model.incoming(way[-1])[0].source)  # one of several: sums of unequal worths cannot end a model
    if len(way) == 1:
        return np.ones(())
    worth = worth_of(model.nodes[way[-1]])
    for source, name in zip(way[:0:-1], way[-2::-1]):
        shape = model.shapes[source]
        worth = worth * worth_of(model.nodes[name], len(shape) - 1)
        if model.nodes[name].reshapes and worth.ndim:
            worth = np.repeat(worth, int(np.prod(shape)) // len(worth))
    return worth
