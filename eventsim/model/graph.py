"""Edges between nodes, and the components that they form."""

from typing import NamedTuple


class Edge(NamedTuple):
    """An edge: `target` reads what `source` gave `delay` whole steps before (nothing before the start).

    A Model takes any (source, target) or (source, target, delay) and checks it; its `edges` are of this class.

    >>> from eventsim import Edge, Input, Model, Neuron
    >>> model = Model({"in": Input((4,)), "n": Neuron()}, [Edge("in", "n"), Edge("n", "n", delay=1)])
    >>> [(edge.source, edge.delay) for edge in model.incoming("n")]
    [('in', 0), ('n', 1)]
    """

    source: str
    target: str
    delay: int = 0


def strongly_connected(names, outgoing):
    """Tarjan's strongly connected components, sources first, without recursion."""
    index, low, on_stack = {}, {}, set()
    stack, components = [], []
    for root in names:
        if root in index:
            continue
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        work = [(root, iter(outgoing[root]))]
        while work:
            name, edges = work[-1]
            for edge in edges:
                target = edge.target
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(outgoing[target])))
                    break
                if target in on_stack:
                    low[name] = min(low[name], index[target])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[name])
                if low[name] == index[name]:
                    component = []
                    while not component or component[-1] != name:
                        component.append(stack.pop())
                        on_stack.discard(component[-1])
                    components.append(component)
    return components[::-1]
