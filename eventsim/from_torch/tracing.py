"""Tracing: which operations made a network's output from its input, found by running the network.

The network's own forward runs; whatever its control flow, only tensors are followed. Between the modules
that have a rule (neurons), every operation is seen as torch's dispatcher sees it, with the numbers that it
got: a weight that is quantised, normalised or pruned on its way is seen as it is used.
"""

import functools
import inspect
import os
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from eventsim.errors import UnsupportedError
from eventsim.from_torch.graph import OperationGraph, Operation, Where
from eventsim.from_torch.libraries import LIBRARIES
from eventsim.from_torch.operations.moving import indices_in, MOVES
from eventsim.from_torch.operations.registry import (
    BEFORE, Fires, LOOKS, name_of, OPERATIONS, OWN_NEURONS, reads_samples, Refused, SHAPES, writes_to, written_by,
)
from eventsim.from_torch.places import BITS, Mixed, Places, tensors_in
from eventsim.from_torch.ranges import bounds_of, holds, name_of_type, range_of, WIDE

OURS = os.path.dirname(os.path.abspath(__file__))
INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
SMALL = (torch.float32, torch.float16, torch.bfloat16)
SUMS = ("add", "sub", "mul", "div", "sum", "mean")  # what an answer may make of membranes
THRESHOLDS = ("v_threshold", "threshold", "spike_threshold", "p")
STATEFUL = ("SNNCell", "SNNRecurrentCell", "SNN", "SNNRecurrent", "StatefulLayer", "SpikingNeuron")  # base classes
EXPORTS = ("numpy", "tolist", "__array__", "__dlpack__", "item", "__bool__", "__int__", "__float__", "__index__")
MAKERS = ("tensor", "as_tensor", "asarray", "new_tensor", "new")  # of lists of tensors, unseen by the dispatcher
BY_HAND = ("map_", "map2_", "apply_")  # done element by element in Python
DATA_DEPENDENT = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
MASKS = (torch.bool, torch.uint8)  # types of indices that say how many elements are picked


class Tracing:
    """What one run of a network did.

    samples: N. steps: T, or None while unknown. graph: the operations. places: of every tensor.
    refusals: reasons for which the whole network cannot be taken, with their places.
    counts_steps: whether something holds for a number of steps alone, such as that their sum fits into a type.
    """

    def __init__(self, net, rules, samples):
        self.graph = OperationGraph()
        self.nodes = self.graph.nodes
        self.places = Places(self.nodes, samples)
        self.samples, self.rules = samples, rules
        self.refusals, self.counts_steps = [], False
        self.calls = {}  # number of a layer -> list of Call
        self.input_bits = None  # of an input of whole levels
        self.input_is_real = False  # whether the input is real numbers, which synapses alone read
        self.watched = {}  # id of a module -> Watched
        # whether the network computes in half precision: it is then taken as its net.float()
        self.in_half = any(t.is_floating_point() and t.dtype not in WIDE
                           for t in (*net.parameters(), *net.buffers()))
        self.small = SMALL if self.in_half else SMALL[:1]  # floats that are computed with in float64
        self._modules = list(net.modules())
        self._names = {id(module): name for name, module in net.named_modules()}
        self._stack = []  # modules that run
        self.inside = None  # the state's number while a module with a rule runs

    # ---- where

    def where(self) -> Where:
        """Where the network is."""
        named = [module for module in self._stack if id(module) in self._names]
        if not named:
            return Where("", user_code())
        return Where(self._names[id(named[-1])], user_code(), type(named[-1]).__name__)

    def _neurons(self, fires):
        """The module of another library whose own code runs, if it keeps a state, has a threshold or `fires`; else
        None."""
        for module in self._stack:
            if id(module) in self._names and _library_of(module) and (fires or _keeps_state(module)):
                inside = [each for each in module.modules() if each is not module]
                if not any(self.rules.taken(each) or _keeps_state(each) for each in inside):
                    return module
        return None

    def _refusal(self, reason, fires=False, seeded=False):
        """Return (reason, Where) of what the network does now; of neurons of a library, that they have no rule."""
        where, module = self.where(), None if seeded else self._neurons(fires)
        if module is None:
            return reason, where
        library, cls = _library_of(module), type(module).__name__
        known = self.rules.known(library)
        if cls not in known:
            reason = (f"{library}'s {cls} is not among the neurons known ({', '.join(known)}): put one of these "
                      "in its place, or register a rule for it, eventsim.from_torch.register")
        return reason, Where(self._names[id(module)], where.code, type(module).__name__)

    def name_of(self, module) -> str:
        """A module's path in the network; of one that is not registered there, its class."""
        return self._names.get(id(module)) or type(module).__name__

    # ---- values

    def give_input(self, tensor, shape, still):
        """Make a tensor the network's input. tensor: (N, *shape) if `still`, else (T, N, *shape)."""
        number = self.graph.add(Operation("input", tuple(shape), still=still))
        self.places.count_up(tensor, self.graph.first_place(number))
        return number

    def narrows(self, dtype) -> bool:
        """Whether the network holds less in a type than a model computes with."""
        return dtype not in WIDE and dtype not in self.small

    def widened(self, tensor):
        """A tensor of floats in float64; other tensors as they are."""
        return self._in_float64(tensor) if tensor.dtype in self.small else tensor

    def widened_wholly(self, tensor):
        """The same, whatever floats it has."""
        return self._in_float64(tensor) if tensor.dtype in SMALL else tensor

    def _in_float64(self, tensor):
        wide = tensor.double()
        if self.places.knows(tensor):
            self.places.write(wide, self.places.of(tensor).clone())
        return wide

    def refuse(self, out, reason, misread=False, fires=False, seeded=False):
        """Whatever depends on `out` cannot be taken; misread: because of how the network was called; fires:
        because of a comparison, as of neurons; seeded: because of random numbers. Returns the number of the
        refusal."""
        reason, where = self._refusal(reason, fires, seeded)
        number = self.graph.add(Operation("refused", (1,), settings={"reason": reason, "misread": misread},
                                          where=where),
                                ("refused", reason, where))
        self.spoil(out, number)
        return number

    def spoil(self, out, number):
        """Say that all numbers of some tensors depend on a refused node."""
        for tensor in tensors_in(out):
            self.places.write(tensor, torch.tensor(self.graph.first_place(number)))

    def refused(self, tensor):
        """Number of a refused node that a tensor depends on, or None."""
        if not self.places.knows(tensor):
            return None
        first = self.places.run_of(tensor)
        if first is not None:
            numbers = [first >> BITS]
        else:
            places = self.places.of(tensor)
            numbers = torch.unique(places[places >= 0] >> BITS).tolist()
        return next((number for number in numbers if self.nodes[number].kind == "refused"), None)

    def keeps(self, tensor):
        """Whether a tensor is what neurons keep from step to step, not what they send."""
        first = self.places.run_of(tensor)
        if first is not None:
            return self.nodes[first >> BITS].kind == "state"
        places = self.places.of(tensor)
        return any(self.nodes[n].kind == "state" for n in torch.unique(places[places >= 0] >> BITS).tolist())

    def look(self, what, reason=None):
        """Refuse the network, which looks at numbers, so that what it does may depend on the sample. reason: the
        text of the refusal, or None."""
        if self.inside is None:
            reason = reason or (f"looks at the values of its tensors ({what}), so what it does may depend on the "
                                "sample; leave that out, or register a rule for the module")
            self.refusals.append(self._refusal(reason))

    # ---- running

    @contextmanager
    def running(self):
        """While this is entered, what the network does is recorded."""
        with ExitStack() as stack:
            for module_hook, register in (
                (self._enter, torch.nn.modules.module.register_module_forward_pre_hook),
                (self._leave, torch.nn.modules.module.register_module_forward_hook),
            ):
                stack.callback(register(module_hook).remove)
            for module in self._modules:
                if self.rules.taken(module):
                    stack.callback(self._wrap(module))
            stack.enter_context(_Looking(self))
            stack.enter_context(_Following(self))
            yield self

    def _enter(self, module, inputs):
        self._stack.append(module)
        if isinstance(module, (torch.nn.RNNBase, torch.nn.RNNCellBase)):
            raise UnsupportedError(f"{self.where()}: has gates or rectifiers, which have no equal in eventsim; "
                                   "put recurrent spiking neurons in its place (snnTorch's RLeaky, norse's "
                                   "LIFRecurrent)")
        if self.inside is None and "forward" not in vars(module) and self.rules.taken(module):
            self.refusals.append((f"uses {type(module).__name__}, which is not among the network's modules (put "
                                  "it into an attribute or nn.ModuleList)", self.where()))

    def _leave(self, module, inputs, outputs):
        while self._stack and self._stack.pop() is not module:
            pass

    def _wrap(self, module):
        """Let calls of module.forward be taken whole, and return what undoes it. The wrapper sees what
        forward gets and gives, inside all hooks of the module's own."""
        forward = module.forward

        @functools.wraps(forward)
        def wrapper(*args, **kwargs):
            if self.inside is not None:
                return forward(*args, **kwargs)
            return self.rules.call(self, module, forward, args, kwargs)

        module.__dict__["forward"] = wrapper
        return functools.partial(module.__dict__.pop, "forward", None)

    @contextmanager
    def within(self, state):
        """While a module with a rule runs, all that it computes belongs to the node `state`."""
        self.inside = state
        try:
            yield
        finally:
            self.inside = None


def _library_of(module):
    """Return the name of the library whose module it is, or ""."""
    name = type(module).__module__.partition(".")[0]
    return name if name in LIBRARIES else ""


def _keeps_state(module):
    return any(hasattr(module, name) for name in THRESHOLDS) or bool(vars(module).get("_memories")) \
        or any(cls.__name__ in STATEFUL for cls in type(module).__mro__)


class _Looking(TorchFunctionMode):
    """Sees where numbers leave torch for Python; gives functions that take one type of float float64."""

    def __init__(self, trace):
        super().__init__()
        self._trace = trace

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "")
        kwargs = kwargs or {}
        if any(map(self._trace.places.knows, _taken_out(name, args, kwargs))):
            self._trace.look(name.strip("_"))
        if _autocasts():
            self._trace.refusals.append(("computes under torch.autocast, which rounds what a model does not; "
                                         "leave that out, and compare what the network does", self._trace.where()))
        types = {t.dtype for t in tensors_in((args, kwargs)) if t.is_floating_point()}
        if len(types) > 1 and torch.float64 in types and not name.endswith("_"):
            args, kwargs = tree_map_only(torch.Tensor, self._trace.widened, (args, kwargs))
        return func(*args, **kwargs)


def _taken_out(name, args, kwargs):
    """The tensors whose numbers a function of torch takes out of it, which the dispatcher does not see."""
    if name in EXPORTS:
        return tensors_in(args[:1])
    if name in MAKERS:
        return tensors_in([value for value in (*args, *kwargs.values()) if not isinstance(value, torch.Tensor)])
    if name in BY_HAND:
        return tensors_in((args, kwargs))
    return tensors_in((args[1:], kwargs)) if name == "tensor_split" else []


class _Following(TorchDispatchMode):
    """Sees every operation, computes it in float64, and says what its result is."""

    def __init__(self, trace):
        super().__init__()
        self._trace = trace

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        trace = self._trace
        cast, written = cast_of(func, args, kwargs), written_by(func, args, kwargs)
        args, kwargs = in_double(trace, func, args, kwargs, written)
        name = name_of(func)
        known = [t for t in tensors_in((args, kwargs)) if trace.places.knows(t)]
        if trace.inside is not None:
            out = func(*args, **kwargs)
            self._inside(known, out, written)
            return out
        if torch.Tag.nondeterministic_seeded in func.tags:
            out = func(*args, **kwargs)
            trace.refuse((out, written), f"takes random numbers ({name}); a network that is run has none",
                         seeded=True)
            return out
        if not known:
            out = func(*args, **kwargs)
            for tensor in written if name != "set_" else ():  # set_ gives it other memory
                trace.places.refresh(tensor)
            return out
        if cast is not None and trace.places.knows(cast.source) and not holds(trace, cast.dtype, cast.source):
            out = func(*args, **kwargs)
            trace.refuse(out, f"rounds what is no spikes to {name_of_type(cast.dtype)}, and a model does not; "
                              "leave that out")
            return out
        if name in LOOKS:
            trace.look(name.strip("_"))
            return func(*args, **kwargs)
        _refuse_complex(trace, name, known)
        out = self._followed(func, name, args, kwargs, written)
        _refuse_complex(trace, name, tensors_in(out))
        return out

    def _followed(self, func, name, args, kwargs, written):
        trace = self._trace
        writes = name.endswith("_") and not name.endswith("__") and isinstance(args[0], torch.Tensor)
        plain = name[:-1] if writes else name
        if plain in SHAPES:
            return func(*args, **kwargs)
        if func.is_view:  # places belong to the memory that it shares
            out = func(*args, **kwargs)
            if isinstance(out, torch.Tensor) and out.dtype != args[0].dtype:
                trace.refuse(out, f"reads the bits of {name_of_type(args[0].dtype)} as {name_of_type(out.dtype)}")
            return out
        moves = MOVES.get(plain)
        spoiling = indices_in(func, args, kwargs) if moves else tensors_in((args, kwargs))
        spoilt = next((n for n in map(trace.refused, spoiling) if n is not None), None)
        if spoilt is not None:
            out = func(*args, **kwargs)
            trace.spoil((out, written), spoilt)
            self._look_at_result(func, args, kwargs, (out, written))
            return out
        if moves is not None:
            return self._moved(moves, func, args, kwargs)
        before = [t.clone() if writes and i == 0 else t for i, t in enumerate(args)] if writes else args
        if writes:
            self._copy_places(args[0], before[0])
        out = func(*args, **kwargs)
        try:
            self._computed(func, plain, before, kwargs, out)
        except (Refused, Mixed) as error:
            trace.refuse((out, written), str(error) if isinstance(error, Refused) else f"{name!r} reads {error}",
                         fires=isinstance(error, Fires))
            self._look_at_result(func, args, kwargs, (out, written))
        return out

    def _look_at_result(self, func, args, kwargs, results, reason=None):
        """Refuse the network where an operation without an equal gives no tensors, or some whose shape depends on
        the numbers that it reads. reason: why it has no equal, where that says more."""
        if DATA_DEPENDENT.isdisjoint(func.tags):
            shows = not tensors_in(results)
        elif name_of(func) == "index":
            shows = any(t.dtype in MASKS and self._trace.places.knows(t) for t in indices_in(func, args, kwargs))
        else:
            shows = True
        if shows:
            self._trace.look(name_of(func), reason)

    def _moved(self, moves, func, args, kwargs):
        try:
            places, reason = moves(self._trace, func, args, kwargs), None
        except Refused as error:
            reason = str(error)
        out = func(*args, **kwargs)
        if reason is None:
            self._trace.places.write(out, places)
        else:
            self._trace.refuse(out, reason)
            self._look_at_result(func, args, kwargs, out, reason)
        return out

    def _computed(self, func, plain, before, kwargs, out):
        """Say what an operation computed. Raises Refused or Mixed."""
        trace, rule = self._trace, OPERATIONS.get(plain)
        given = tensors_in((before, kwargs))
        if rule is None:
            reason = f"does {name_of(func)!r}, which has no equal in eventsim; {remedy_of(trace, plain, given)}"
            raise (Fires if plain in COMPARISONS else Refused)(reason)
        if plain not in SUMS and any(trace.keeps(t) for t in given if trace.places.knows(t)):
            raise Refused("computes with the membrane of neurons, which only they themselves can; use their "
                          "spikes")
        if any(t.dtype in SMALL for t in given):  # halves, which rules need not know
            before, kwargs = tree_map_only(torch.Tensor, trace.widened_wholly, (before, kwargs))
        rule(trace, func, before, kwargs, out)
        for tensor in tensors_in(out):
            if trace.narrows(tensor.dtype) and trace.places.knows(tensor):
                _refuse_overflow(trace, plain, tensor)

    def _copy_places(self, source, target):
        if self._trace.places.knows(source):
            self._trace.places.write(target, self._trace.places.of(source).clone())

    def _inside(self, known, out, written):
        if known or written:
            for tensor in tensors_in((out, written)):
                if not self._trace.places.knows(tensor):
                    self._trace.places.write(tensor,
                                             torch.tensor(self._trace.graph.first_place(self._trace.inside)))


def _refuse_complex(trace, name, tensors):
    """Raise UnsupportedError where an operation reads or gives complex numbers."""
    if any(tensor.is_complex() for tensor in tensors):
        raise UnsupportedError(trace.where().before(
            f"computes with complex numbers ({name.strip('_')}), which have no equal in eventsim; compute with "
            "real ones, such as weights for the real and for the imaginary part"))


def _refuse_overflow(trace, name, out):
    """Refuse the result of an operation in a type that does not hold all that it may be, whatever the sample."""
    if holds(trace, out.dtype, out):
        return
    numbers, bounds, kind = range_of(trace, out), bounds_of(out.dtype), name_of_type(out.dtype)
    if numbers is None:
        raise Refused(f"does {name!r} in {kind}, which rounds or cuts it, and a model does not; convert to "
                      "float32 before it, x.float()")
    excess = numbers.high if numbers.high > bounds.high else numbers.low
    raise Refused(f"does {name!r} in {kind}, where whole numbers from {bounds.low:.0f} to {bounds.high:.0f} are "
                  f"exact, and which may come to {excess:.0f}; "
                  "convert to float32 before it, x.float()")


def _autocasts():
    """Whether torch.autocast is on."""
    try:
        return any(map(torch.is_autocast_enabled, ("cpu", "cuda")))
    except TypeError:  # before PyTorch 2.4
        return torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled()


COMPARISONS = ("gt", "ge", "lt", "le", "heaviside", "sign")
REMEDIES = {
    **dict.fromkeys(COMPARISONS, OWN_NEURONS),
    **dict.fromkeys(("_softmax", "_log_softmax", "argmax", "topk", "max", "amax", "sort"),
                    "return what it reads if it is the answer (eventsim's predictions are the largest outputs), "
                    "elsewhere put spiking neurons in its place"),
    **dict.fromkeys(("sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu", "softplus", "_prelu_kernel"),
                    "put spiking neurons in its place"),
    **dict.fromkeys(("native_layer_norm", "native_group_norm"), "train with BatchNorm"),
}


def remedy_of(trace, name, tensors) -> str:
    """What could replace one of torch's operations on some tensors."""
    if reads_samples(trace, tensors):
        return BEFORE
    return REMEDIES.get(name, "leave it out, or register a rule for the module that does it")


class Cast(NamedTuple):
    """A change to a type that may hold less. dtype: the type. source: what is given to it."""

    dtype: torch.dtype
    source: torch.Tensor


def cast_of(func, args, kwargs):
    """The Cast that an operation does, or None."""
    name = name_of(func)
    if name == "_to_copy":
        dtype, source = kwargs.get("dtype"), args[0]
    elif name in ("copy_", "fill_") and len(args) > 1 and isinstance(args[1], torch.Tensor):
        dtype, source = args[0].dtype, args[1]
    else:
        return None
    return None if dtype in (None, *WIDE) or dtype == source.dtype else Cast(dtype, source)


def in_double(trace, func, args, kwargs, written):
    """Return an operation's arguments with float64 wherever they have a smaller float. What is written to stays
    itself, and so does what a view shows, through which others write to it."""
    if func.is_view or writes_to(func) and any(tensor.dtype in trace.small for tensor in written):
        return args, kwargs
    args, kwargs = tree_map_only(torch.Tensor, trace.widened, (args, kwargs))
    if kwargs.get("dtype") in trace.small:
        kwargs = {**kwargs, "dtype": torch.float64}
    return args, kwargs


def user_code() -> str:
    """file:line of the innermost code that belongs to no library, or "" where there is none."""
    frame = inspect.currentframe()
    while frame is not None:
        path = frame.f_code.co_filename
        if not path.startswith(OURS) and not any(part in path for part in INSTALLED) and os.path.exists(path):
            return f"{os.path.basename(path)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""
