"""The end of a network whose answer is spikes: the value of a level there.

The answer of a model that ends in spikes is the sum of their levels. NIR's nodes give values: a level times the
value of a level of 1.
"""

import numpy as np

from eventsim.model.transforms import AvgPool


def handing_on(nodes, edges, last):
    """Return the nodes through which spikes come to the end: those that send them, and the transforms behind
    these.

    nodes: name -> Node. edges: list of Edge. last: name of the node before the end, which gives spikes.
    """
    waiting = [last]
    for name in waiting:
        if nodes[name].role == "transform":
            waiting += {edge.source for edge in edges if edge.target == name}.difference(waiting)
    return [nodes[name] for name in waiting]


def level_value(node, n_axes=2):
    """Return the value of a level of 1 that a node sends, or the factor of a transform on it: float64 () or (C,).
    n_axes: axes of space that a pool works on."""
    if node.role == "neurons":
        return np.asarray(node.worth, np.float64)
    if node.role == "input":
        return np.asarray(node.scale, np.float64)
    return np.asarray(1 / np.prod(node.geometry(n_axes)[0]) if isinstance(node, AvgPool) else 1.0)


def level_value_at_end(model, last):
    """Return the value of a level of 1 at the end of a model: float64 () or (C,). It is 1 where neurons end the
    model, since their levels are counted; transforms hand on the value of the spikes that they read."""
    way = [last]
    while model.nodes[way[-1]].role == "transform":
        way.append(model.incoming(way[-1])[0].source)  # or another: those of one end have equal values
    if len(way) == 1:
        return np.ones(())
    values = level_value(model.nodes[way[-1]])
    for source, name in zip(way[:0:-1], way[-2::-1]):
        shape = model.shapes[source]
        values = values * level_value(model.nodes[name], len(shape) - 1)
        if model.nodes[name].reshapes and values.ndim:
            values = np.repeat(values, int(np.prod(shape)) // len(values))
    return values
