"""The graph of a lava-dl file while it grows, layer by layer."""

import numpy as np

from eventsim.formats.lava.neurons import neurons_of
from eventsim.formats.lava.values import per_channel
from eventsim.formats.refusing import unsupported
from eventsim.model.graph import Edge
from eventsim.model.transforms import Delay

MAX_FILE_DELAY = 62


class Network:
    """Nodes and edges so far. The next layer reads the node `tail`, of `shape`, `delay` steps later.

    options: LavaOptions. sdnn: whether the file's neurons are SDNN. n_neurons: layers with neurons so far.
    odd_weights: whether weights of one sign are odd. provenance: of the Model. unread: members of the file that
    are not read. open: sentences about assumptions that matter and that no option states.
    """

    def __init__(self, options, sdnn):
        self.options, self.sdnn = options, sdnn
        self.nodes, self.edges = {}, []
        self.tail, self.shape, self.delay = None, (), 0
        self.n_neurons = 0
        self.odd_weights = False
        self.provenance = {"format": "lava-dl"}
        self.unread = set()
        self.open = []

    def assume(self, name, value, is_default, why="default"):
        """Note the value of an option, and whether it was given or is a default. why: where the default is
        from."""
        self.provenance[f"assumed {name}"] = f"{value} ({why if is_default else 'given'})"

    def append(self, name, node):
        """Add a node that reads the tail, and make it the tail."""
        self.nodes[name] = node
        self.edges.append(Edge(self.tail, name, self.delay))
        self.tail, self.delay = name, 0

    def add_neurons(self, name, node, delay):
        """Add the neurons of a layer, which read the tail with a delay, and make them the tail."""
        self.nodes[name] = node
        self.edges.append(Edge(self.tail, name, delay))
        self.tail = name
        self.n_neurons += 1

    def layer(self, group, name, synapses, last, again=None):
        """Add synapses, the neurons behind them one step later, and the delay of what the neurons send. again:
        synapses from the neurons to themselves, or None."""
        self.append(f"{name}.weight", synapses)
        node = neurons_of(self, group, last and again is None)
        self.add_neurons(name, node, 1)
        if again is not None:
            self.nodes[f"{name}.weight_rec"] = again
            self.edges += [Edge(name, f"{name}.weight_rec"), Edge(f"{name}.weight_rec", name, 1)]
        steps = 0.0
        if "delay" in group:
            steps = per_channel(group, "delay", 0, MAX_FILE_DELAY, self.shape[0])
        if np.any(steps):
            if last:
                raise unsupported(group, "'delay' would delay the model's output; only layers that others "
                                   "read have one")
            self.provenance["assumed delay"] = "of a layer's outputs, not of its recurrence (as in SLAYER)"
            if np.ndim(steps):
                self.append(f"{name}.delay", Delay(steps))
            else:
                self.delay = int(steps)

    def resets(self):
        """Return the fields of a node that is zeroed periodically. Layers without neurons do not count."""
        interval = self.options.reset_interval
        offset = self.n_neurons % interval if interval else 0
        return {"reset_interval": interval, "reset_offset": offset}

    def note(self, neuron, known):
        """Note the members of a neuron group that are not read. known: those that are."""
        self.unread |= {f"neuron/{name}" for name in neuron.names() if name not in known}
