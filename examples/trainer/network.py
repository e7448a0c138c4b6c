"""A spiking network as a sequence of named layers."""

from torch import nn

from trainer.neurons import SRIF


class Readout(nn.Module):
    """Mean of the current over the steps; never fires (InfLoR-SNN, section 4.1)."""

    def forward(self, current):
        return current.mean(0)


class SpikingNet(nn.Module):
    """Layers applied one after the other, for `timesteps` steps of the same input.

    layers: name -> module. SRIF and Readout see (T, N, ...). All others, which know no time, see
        time and samples merged; so BatchNorm normalises over both, as tdBN does.
    timesteps: T.
    """

    def __init__(self, layers, timesteps):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.timesteps = timesteps

    def forward(self, x):
        """x: (N, ...), normalised. Returns (N, classes)."""
        x = x.expand(self.timesteps, *x.shape)
        for layer in self.layers.values():
            if isinstance(layer, (SRIF, Readout)):
                x = layer(x)
            else:
                x = layer(x.flatten(0, 1)).unflatten(0, (self.timesteps, -1))
        return x
