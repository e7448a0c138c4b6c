"""The registry: one function per operation of torch, registered with @operation.

A function takes (trace, func, args, kwargs, out): the Tracing, the operation with its arguments (float64), and
what it gave. It says where the numbers of `out` come from. It raises Refused for what has no equal.
"""

import functools

import torch
from torch.fx.operator_schemas import get_signature_for_torch_op

from eventsim.from_torch.places import BITS, tensors_in

OWN_NEURONS = "neurons of your own need a rule: eventsim.from_torch.register"
BEFORE = "do that to the samples before, and give what it makes of them as x"
SUM_OF_STEPS = ("add what synapses make of single steps, fc(x[t]) + fc(x[t - 1]) with zeros before the first, or "
                "add up the samples before you give them")
WEIGHED = ("linear", "convolution", "conv_transpose", "layer", "state", "refused")  # kinds: no samples any more
OPERATIONS = {}  # name of an operation of torch -> function
# what takes numbers out of torch, or makes shapes of them
LOOKS = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "unique", "_unique2"}
SHAPES = {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
          "new_empty_strided", "sym_size", "size", "is_same_size"}  # give constants, whatever they are given

# in training these write to running statistics, which their schemas do not say
BATCH_NORMS = ("native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm")


class Refused(Exception):
    """An operation without an equal in eventsim; the text says what and why."""


class Fires(Refused):
    """A comparison of a signal, as neurons do that fire."""


class Misread(Refused):
    """A module that was given its steps and samples in another way than it takes them."""


def reads_samples(trace, tensors) -> bool:
    """Whether tensors depend on the samples alone, before any synapses or neurons."""
    places = [trace.places.of(tensor) for tensor in tensors if trace.places.knows(tensor)]
    waiting = {int(number) for each in places for number in torch.unique(each[each >= 0] >> BITS)}
    while waiting:
        node = trace.nodes[waiting.pop()]
        if node.kind in WEIGHED:
            return False
        waiting.update(source.node for source in node.sources)
    return True


def name_of(func) -> str:
    """Name of one of torch's operations, without its overload: "add", "add_"."""
    return func.name().partition("::")[2].partition(".")[0]


def writes_to(func) -> bool:
    """Whether an operation writes to what it is given."""
    return name_of(func).endswith("_") or func.name().endswith("out")


def written_by(func, args, kwargs) -> list:
    """The tensors among an operation's arguments that it writes to."""
    positions, names = _written_arguments(func)
    written = [args[i] for i in positions if i < len(args)] + [kwargs.get(name) for name in names]
    if name_of(func) in BATCH_NORMS and args[5]:  # in training
        written += args[3:5]
    return tensors_in(written)


@functools.lru_cache(maxsize=None)
def _written_arguments(func):
    """(positions, names of keywords) of the arguments that an operation writes to, as its schema says."""
    _, [schema] = get_signature_for_torch_op(func, return_schemas=True)
    arguments = schema.arguments
    written = [i for i, argument in enumerate(arguments) if argument.alias_info and argument.alias_info.is_write]
    return ([i for i in written if not arguments[i].kwarg_only],
            [arguments[i].name for i in written if arguments[i].kwarg_only])


def operation(*names):
    """Make a function the one that follows some of torch's operations."""

    def register(function):
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register
