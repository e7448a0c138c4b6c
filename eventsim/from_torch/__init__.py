"""From a trained network in PyTorch to a Model: `eventsim.from_torch(net, x, ...)`.

torch is imported when this is called, not before. `eventsim.from_torch.register(cls, rule)` adds a rule for
modules of one's own.
"""

import inspect
import sys
from importlib import import_module
from types import ModuleType

from eventsim.errors import missing
from eventsim.text import did_you_mean

def _exporting():
    try:
        return import_module("eventsim.from_torch.exporting")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        raise missing("from_torch", "torch", "torch") from None


class _Callable(ModuleType):
    """The package, which is also the function: `eventsim.from_torch(...)`."""

    def __call__(self, *args, **kwargs):
        from_torch = _exporting().from_torch
        _check_names(inspect.signature(from_torch).parameters, args, kwargs)
        return from_torch(*args, **kwargs)


def _check_names(parameters, args, kwargs):
    """Raise TypeError for a keyword that is no parameter, and for missing samples."""
    for name in kwargs:
        if name not in parameters:
            raise TypeError(f"from_torch has no argument {name!r}{did_you_mean(name, parameters)}")
    if len(args) < 2 and "x" not in kwargs:
        raise TypeError("from_torch needs a network and samples, from_torch(net, x, ...): x is a few samples on "
                        "which the model is proved equal to the network, (N, ...) or with layout='NT' (N, T, ...)")


def register(cls, rule):
    """Take modules of a class whole, by a rule of your own.

    cls: a class of torch modules, with a state or without. rule: function (module, x) that takes a module and
    a tensor that it is given, and returns a node of eventsim (Neuron, Readout, ...) or a `layers.NeuronLayer`.
    A subclass that adds or replaces methods needs a rule of its own. What a rule says is proved, like all else,
    by the network's own spikes.
    """
    _exporting().add_rule(cls, rule)


sys.modules[__name__].__class__ = _Callable
