"""A spiking network as a graph of named layers."""

from torch import nn

from trainer.neurons import SRIF, Neuron, single

INPUT = "input"  # how `sources` name what the network is given


class Readout(nn.Module):
    """Mean of the current over the steps; never fires (InfLoR-SNN, section 4.1)."""

    def forward(self, current):
        return single(current).mean(0)


class SpikingNet(nn.Module):
    """Layers that read each other, for `timesteps` steps of the same input or of a moving one.

    layers: name -> module, sources first. Neurons and Readout see (T, N, ...). All others, which
        know no time, see time and samples merged; so BatchNorm normalises over both, as tdBN does.
    timesteps: T.
    sources: name -> names of the layers (or "input") that it reads; several are added, in this
        order. A layer that is not named reads the layer before it.
    moving: whether a sample is (T, ...), one array for each step; else it is repeated T times, and
        the first neurons turn it into spikes.
    once: whether what comes before the first neurons, the same at every step, is computed once. (The
        variance that BatchNorm keeps is then that of fewer numbers: n - 1 counts a little more.)

    instead, an attribute: name -> function of (steps, N, ...) that stands for the layer in training; see
    trainer.rates.
    """

    def __init__(self, layers, timesteps, sources=None, moving=False, once=False):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.timesteps, self.moving, self.once = timesteps, moving, once and not moving
        self.instead = {}
        self.sources = {name: (before,) for before, name in zip((INPUT, *layers), layers)}
        self.sources.update({name: tuple(names) for name, names in (sources or {}).items()})
        if INPUT in layers:
            raise ValueError(f"a layer is named {INPUT!r}, which means what the network is given")
        known = {INPUT}
        for name in layers:
            unknown = set(self.sources[name]) - known
            if unknown:
                raise ValueError(f"layer {name!r} reads {sorted(unknown)}, expected layers before it")
            known.add(name)

    def extra_repr(self):
        return f"timesteps={self.timesteps}, moving={self.moving}, once={self.once}, sources={self.sources}"

    def forward(self, x):
        """x: (N, ...), or (N, T, ...) where `moving`; normalised. Returns (N, classes)."""
        x = x.transpose(0, 1) if self.moving else x.expand(1 if self.once else self.timesteps, *x.shape)
        values = {INPUT: x}
        for name, layer in self.layers.items():
            x = total(values[source] for source in self.sources[name])
            if self.training and name in self.instead:
                values[name] = self.instead[name](x)
            elif isinstance(layer, (SRIF, Neuron)):
                values[name] = layer(x.expand(self.timesteps, *x.shape[1:]) if self.once else x)
            elif isinstance(layer, Readout):
                values[name] = layer(x)
            else:
                values[name] = layer(x.flatten(0, 1)).unflatten(0, (len(x), -1))
        return values[name]


def total(values):
    """Sum of one tensor or more, from the first on."""
    first, *others = values
    for other in others:
        first = first + other
    return first
