"""The registry: one function per operation of torch, registered with @operation.

A function takes (trace, func, args, kwargs, out): the Tracing, the operation with its arguments (float64), and
what it gave. It says where the numbers of `out` come from. It raises Refused for what has no equal.
"""

OWN_NEURONS = "neurons of your own need a rule: eventsim.from_torch.register"
OPERATIONS = {}  # name of an operation of torch -> function
# what takes numbers out of torch, or makes shapes of them
LOOKS = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero", "masked_select", "unique", "_unique2"}
SHAPES = {"zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full",
          "new_empty_strided", "sym_size", "size"}  # give constants, whatever they are given


class Refused(Exception):
    """An operation without an equal in eventsim; the text says what and why."""


class Misread(Refused):
    """A module that was given its steps and samples in another way than it takes them."""


def name_of(func) -> str:
    """Name of one of torch's operations, without its overload: "add", "add_"."""
    return func.name().partition("::")[2].partition(".")[0]


def writes_to(func) -> bool:
    """Whether an operation writes to what it is given."""
    return name_of(func).endswith("_") or func.name().endswith("out")


def operation(*names):
    """Make a function the one that follows some of torch's operations."""

    def register(function):
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register
