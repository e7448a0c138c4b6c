"""From a trained network in PyTorch to a Model: `eventsim.from_torch(net, x, ...)`.

torch is imported when this is called, not before. `eventsim.from_torch.register(cls, rule)` adds a rule for
modules of one's own.
"""

import sys
from importlib import import_module
from types import ModuleType

from eventsim.errors import MissingPackageError

def _exporting():
    try:
        return import_module("eventsim.from_torch.exporting")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        raise MissingPackageError("from_torch needs PyTorch, which is not installed: pip install "
                                  "\"eventsim-snn[torch]\"") from None


class _Callable(ModuleType):
    """The package, which is also the function: `eventsim.from_torch(...)`."""

    def __call__(self, net, x, *args, **kwargs):
        return _exporting().from_torch(net, x, *args, **kwargs)


def register(cls, rule):
    """Take modules of a class whole, by a rule of your own.

    cls: a class of torch modules, with a state or without. rule: function (module, x) that takes a module and
    a tensor that it is given, and returns a node of eventsim (Neuron, Readout, ...) or a `layers.NeuronLayer`.
    A subclass that adds or replaces methods needs a rule of its own. What a rule says is proved, like all else,
    by the network's own spikes.
    """
    _exporting().add_rule(cls, rule)


sys.modules[__name__].__class__ = _Callable
