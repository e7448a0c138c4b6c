"""Models at the edge of what is valid: they run exactly, or are refused in one line."""

import numpy as np
import pytest

from eventsim import AvgPool, BatchNorm, Conv2d, Flatten, Input, Model, Neuron, Readout, Simulator

# ---- long chains of linear nodes

LONG = 1500  # more than the frames that Python lets a function recur
UNCHANGED = BatchNorm(np.ones(2), np.zeros(2), np.zeros(2), np.ones(2), eps=0.0)


def long_chain(*nodes):
    """The nodes in a row, then a readout."""
    named = {"in": Input((2, 2, 2)), **{f"n{i}": node for i, node in enumerate(nodes)}, "out": Readout("sum")}
    names = list(named)
    return Model(named, list(zip(names, names[1:])))


@pytest.mark.parametrize("node", (Flatten(), AvgPool(1), UNCHANGED), ids=lambda node: node.kind)
@pytest.mark.parametrize("end", ((), (Neuron(),)), ids=("readout", "neuron"))
def test_a_long_chain_of_currents(node, end):
    doubled = Conv2d(2 * np.eye(2)[:, :, None, None])
    model = long_chain(doubled, *[node] * LONG, *end)
    x = np.arange(8).reshape(1, 2, 2, 2) % 2
    expected = x.ravel() * (1.0 if end else 2.0)
    assert Simulator(model).run(x).output.ravel().tolist() == expected.tolist()


def test_a_long_chain_of_delays_in_a_loop():
    """Listed from its end to its start; with every delay, the spike returns after LONG + 1 steps."""
    nodes = {"in": Input((1,)), **{f"f{i}": Flatten() for i in reversed(range(LONG))}, "n": Neuron(),
             "out": Readout("last")}
    edges = [("in", "n"), ("n", "f0", 1), *[(f"f{i}", f"f{i + 1}", 1) for i in range(LONG - 1)],
             (f"f{LONG - 1}", "n", 1), ("n", "out")]
    x = np.zeros((1, LONG + 3, 1), int)
    x[:, 1] = 1
    sent = Simulator(Model(nodes, edges)).run(x).levels("n").ravel()
    assert np.flatnonzero(sent).tolist() == [1, LONG + 2]
