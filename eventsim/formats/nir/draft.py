"""A NIR file while it is written: its nodes and edges, and what they have in common."""

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.formats.nir.loops import without
from eventsim.formats.nir.presets import DEFAULTS, OPEN
from eventsim.model.graph import Edge
from eventsim.model.parameters import parameter_on
from eventsim.model.transforms import BatchNorm


class Draft:
    """Nodes and edges that will be written.

    nodes: name -> its members in the file. edges: list of Edge. dt: seconds of a step. beyond_nir: whether neurons
        that NIR cannot describe are written as plain ones.
    options: what a reader has to assume, for the metadata. agreed: option -> (value, node that set it).
    folded: synapses -> (factor, shift) of the BatchNorm behind them. gains: synapses -> (input_gain, share of the
        state that a step takes away) of the neurons behind them, which are written with an r of 1.
    """

    def __init__(self, model, dt, beyond_nir):
        self.model, self.dt, self.beyond_nir = model, dt, beyond_nir
        self.options = {**DEFAULTS, "dt": dt, "timesteps": model.timesteps}
        if model.timesteps is None:
            del self.options["timesteps"]
        self.agreed = {}
        self.nodes, self.edges = {}, list(model.edges)
        self.folded, self.gains = {}, {}

    def refuse(self, name, what, remedy="save as .h5"):
        """Raise UnsupportedError, which names a node."""
        raise UnsupportedError(f"{self.model.label(name)}: {what}; {remedy}")

    def source_shape(self, name):
        """Return the shape of what a node reads."""
        return self.model.shapes[self.model.incoming(name)[0].source]

    def shape_of(self, name):
        """Return the shape of a node of the model, or of a Scale that was added."""
        return self.model.shapes[name] if name in self.model.shapes else self.nodes[name]["scale"].shape

    def on_neurons(self, name, value, what):
        """Return a parameter of a node as one number per neuron, float64 of the shape of the node."""
        return np.array(parameter_on(value, self.model.shapes[name], what))

    def tau(self, leak):
        """Return the tau for which an Euler step leaves the share `leak` of a state."""
        return near(self.dt / (1 - leak), lambda tau: 1 - self.dt / tau, leak)

    def agree(self, name, option, value, what, remedy):
        """Note what a reader has to assume of a neuron. Raises UnsupportedError where neurons differ, and, unless
        `beyond_nir`, where NIR cannot say it."""
        if value != OPEN[option] and not self.beyond_nir:
            self.refuse(name, f"NIR has no {what}", f"{remedy}, save as .h5, or give beyond_nir=True "
                        "(--out-beyond-nir)")
        known, other = self.agreed.setdefault(option, (value, name))
        if known != value:
            self.refuse(name, f"{option} is {value}, but {known} in {other!r}, and NIR's readers take one for all")
        self.options[option] = value

    def take_out(self, name):
        """Remove a node: what reads it reads what it read."""
        self.edges = without(self.edges, name, 0)

    def synapses_before(self, name):
        """Return the name of the synapses that make the current that `name` gives, perhaps behind a folded
        BatchNorm, if only one node reads it; else None."""
        way = [name]
        if name not in self.nodes and isinstance(self.model.nodes[name], BatchNorm):
            way.append(self.model.incoming(name)[0].source)
        alone = all(len(self.model.outgoing(each)) == 1 for each in way)
        return way[-1] if alone and self.model.nodes[way[-1]].role == "synapses" else None

    def scale_behind(self, name, level_values):
        """Add a Scale for spikes whose level of 1 has another value than 1. level_values: of a level of 1, () or
        (C,)."""
        level_values = np.asarray(level_values)
        if (level_values == 1).all() or not self.model.outgoing(name):
            return
        scale = unused(f"{name}.scale", self.model.nodes, self.nodes)
        self.nodes[scale] = {"type": "Scale", "scale": self.on_neurons(name, level_values, "scale")}
        self.edges = [Edge(scale, *edge[1:]) if edge.source == name and edge.target in self.model.nodes else edge
                      for edge in self.edges]  # an Output of spikes counts levels, whatever their values
        self.edges.append(Edge(name, scale))


def near(guess, function, wanted):
    """Return the number within two roundings of `guess` for which function(number) is exactly `wanted`, per
    element, or `guess` itself where there is none."""
    up, down = np.nextafter(guess, np.inf), np.nextafter(guess, -np.inf)
    best = guess
    for candidate in (np.nextafter(up, np.inf), np.nextafter(down, -np.inf), up, down, guess):
        best = np.where(function(candidate) == wanted, candidate, best)
    return best


def quotient(product, factor):
    """Return the number that, times `factor`, is exactly `product`, where there is one."""
    return near(product / factor, lambda number: factor * number, product)


def unused(name, *taken):
    """Return `name`, with as many underscores added as it takes to be in none of the collections `taken`."""
    while any(name in names for names in taken):
        name += "_"
    return name
