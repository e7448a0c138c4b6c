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

    nodes: name -> its members in the file. edges: of Edge. dt: seconds of a step. beyond_nir: whether
        neurons that NIR cannot describe are written as plain ones.
    options: what a reader has to assume, for the metadata; agreed: option -> (value, node that set it).
    folded: synapses -> (factor, shift) of the BatchNorm behind them. gains: synapses -> (input_gain,
        share of a step) of the neuron behind them, whose r is 1.
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
        """Raise UnsupportedError, naming a node."""
        raise UnsupportedError(f"{self.model.label(name)}: {what}; {remedy}")

    def source_shape(self, name):
        """Shape of what a node reads."""
        return self.model.shapes[self.model.incoming(name)[0].source]

    def shape_of(self, name):
        """Shape of a node of the model, or of a Scale that was added."""
        return self.model.shapes[name] if name in self.model.shapes else self.nodes[name]["scale"].shape

    def on_neurons(self, name, value, what):
        """A parameter of a node as one number per neuron, float64 of its shape."""
        return np.array(parameter_on(value, self.model.shapes[name], what))

    def tau(self, leak):
        """tau of an Euler step that leaves `leak` of a state."""
        return near(self.dt / (1 - leak), lambda tau: 1 - self.dt / tau, leak)

    def agree(self, name, option, value, what, remedy):
        """Note what a reader has to assume of a neuron; all neurons have to agree."""
        if value != OPEN[option] and not self.beyond_nir:
            self.refuse(name, f"NIR has no {what}", f"{remedy}, save as .h5, or give beyond_nir=True")
        known, other = self.agreed.setdefault(option, (value, name))
        if known != value:
            self.refuse(name, f"{option} is {value}, but {known} in {other!r}, and NIR's readers take one for all")
        self.options[option] = value

    def take_out(self, name):
        """Let all that read a node read what it read."""
        self.edges = without(self.edges, name, 0)

    def synapses_before(self, name):
        """Name of the synapses that give `name`'s current to one reader only, past a folded BatchNorm; or None."""
        way = [name]
        if name not in self.nodes and isinstance(self.model.nodes[name], BatchNorm):
            way.append(self.model.incoming(name)[0].source)
        alone = all(len(self.model.outgoing(each)) == 1 for each in way)
        return way[-1] if alone and self.model.nodes[way[-1]].role == "synapses" else None

    def scale_behind(self, name, worth):
        """A Scale for spikes that are not worth 1."""
        worth = np.asarray(worth)
        if (worth == 1).all() or not self.model.outgoing(name):
            return
        scale = unused(f"{name}.scale", self.model.nodes, self.nodes)
        self.nodes[scale] = {"type": "Scale", "scale": self.on_neurons(name, worth, "scale")}
        self.edges = [Edge(scale, *edge[1:]) if edge.source == name and edge.target in self.model.nodes else edge
                      for edge in self.edges]  # an Output of spikes counts them, whatever they are worth
        self.edges.append(Edge(name, scale))


def near(guess, function, wanted):
    """The number within two roundings of `guess` whose function(number) is exactly `wanted`, per element;
    `guess` itself where there is none."""
    up, down = np.nextafter(guess, np.inf), np.nextafter(guess, -np.inf)
    found = guess
    for candidate in (np.nextafter(up, np.inf), np.nextafter(down, -np.inf), up, down, guess):
        found = np.where(function(candidate) == wanted, candidate, found)
    return found


def quotient(product, factor):
    """The number that, times `factor`, is exactly `product`, where there is one."""
    return near(product / factor, lambda number: factor * number, product)


def unused(name, *taken):
    """`name`, with as many underscores as it takes to be in none of the collections `taken`."""
    while any(name in names for names in taken):
        name += "_"
    return name
