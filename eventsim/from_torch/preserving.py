"""Leaving a network as it was: whatever running it changes is put back."""

from contextlib import contextmanager

import torch

from eventsim.from_torch.libraries import LIBRARIES
from eventsim.from_torch.random_numbers import generators

ORIGINAL = "_orig_mod"  # what torch.compile calls the module that it was given
RESETS = ("reset_mem", "reset", "reset_states")  # how libraries name it


@contextmanager
def preserved(net):
    """Run a network in evaluation, without gradients, from its initial state; then put back every tensor,
    attribute, hook and flag of it, the numbers of random generators (torch's, Python's, NumPy's, its own) and the
    default type."""
    modules = list(net.modules())
    kept = [(module, {name: _kept(value) for name, value in vars(module).items()}) for module in modules]
    scripted = [(module, _scripted(module)) for module in modules]
    tensors = {id(t): (t, t.detach().clone()) for attributes in (*map(vars, modules), *(of for _, of in scripted))
               for t in _tensors(attributes)}
    default = torch.get_default_dtype()
    states = [(generator, generator.get()) for generator in generators(net)]
    try:
        with torch.no_grad(), torch.random.fork_rng():
            net.eval()
            yield
    finally:
        torch.set_default_dtype(default)
        for generator, state in states:
            generator.set(state)
        for module, attributes in kept:
            _put_back(vars(module), attributes)
        for module, attributes in scripted:
            for name, value in attributes.items():
                setattr(module, name, value)
        for tensor, values in tensors.values():
            if not _same(tensor.detach(), values):
                tensor.data.copy_(values)


@contextmanager
def uncompiled(net):
    """Give the module that torch.compile was given, with those inside it in place of what it made of them."""
    places = [(module, name, child) for module in net.modules() for name, child in _children(module)
              if _original(child) is not None]
    calls = [(module, module._compiled_call_impl) for module in net.modules()
             if getattr(module, "_compiled_call_impl", None) is not None]
    try:
        for module, name, child in places:
            setattr(module, name, _original(child))
        for module, _ in calls:
            module._compiled_call_impl = None
        yield net if _original(net) is None else _original(net)
    finally:
        for module, name, child in places:
            setattr(module, name, child)
        for module, call in calls:
            module._compiled_call_impl = call


def _children(module):
    """Return the (name, module) of all children of a module; one that has two names is there twice."""
    return [(name, child) for name, child in module.named_modules(remove_duplicate=False)
            if name and "." not in name]


def _original(module):
    """Return the module that torch.compile was given for what it gave back, None for other modules."""
    return dict(_children(module)).get(ORIGINAL)


@contextmanager
def in_type(net, dtype):
    """Give a network floats of one type in place of others, until this is left. Shared tensors stay shared."""
    modules = list(net.modules())
    parameters = {id(p): (p, p.data) for module in modules for p in module.parameters(recurse=False)}
    buffers = [(module, name, value) for module in modules for name, value in module.named_buffers(recurse=False)]
    changed = {id(value): _changed(value, dtype) for _, _, value in buffers}
    try:
        for parameter, data in parameters.values():
            parameter.data = _changed(data, dtype)
        for module, name, value in buffers:
            setattr(module, name, changed[id(value)])
        yield
    finally:
        for parameter, data in parameters.values():
            parameter.data = data
        for module, name, value in buffers:
            setattr(module, name, value)


def _changed(value, dtype):
    return value.to(dtype) if value.is_floating_point() else value


def _same(a, b):
    if (a.shape, a.dtype, a.layout) != (b.shape, b.dtype, b.layout):
        return False
    return a.is_meta or all(map(_equal, _parts(a), _parts(b)))


def _equal(a, b):
    if a.is_floating_point():
        a, b = torch.nan_to_num(a), torch.nan_to_num(b)
    return torch.equal(a, b)


def _parts(tensor):
    """The dense tensors that a tensor consists of: itself, or what a sparse one keeps."""
    if tensor.layout == torch.strided:
        return [tensor]
    if tensor.layout == torch.sparse_coo:
        once = tensor.coalesce()  # every place once
        return [once.indices(), once.values()]
    by_rows = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
    indices = (tensor.crow_indices(), tensor.col_indices()) if by_rows else (
        tensor.ccol_indices(), tensor.row_indices())
    return [*indices, tensor.values()]


def _scripted(module):
    """What a module of torch.jit keeps outside of Python, by name: its flag of training and its tensors."""
    if not isinstance(module, torch.jit.ScriptModule):
        return {}
    return {"training": module.training, **dict(module.named_buffers(recurse=False))}


def _kept(value):
    """(value, what it contains now)"""
    if isinstance(value, dict):
        return value, {name: _kept(item) for name, item in value.items()}
    if isinstance(value, list):
        return value, [_kept(item) for item in value]
    if isinstance(value, set):
        return value, set(value)
    return value, None


def _put_back(attributes, kept):
    attributes.clear()
    attributes.update({name: _restored(pair) for name, pair in kept.items()})


def _restored(pair):
    value, contents = pair
    if contents is None:
        return value
    if isinstance(value, dict):
        if list(value) != list(contents) or any(value[name] is not contents[name][0] for name in contents):
            value.clear()
            value.update({name: item[0] for name, item in contents.items()})
        for item in contents.values():
            _restored(item)
    elif isinstance(value, list):
        value[:] = [_restored(item) for item in contents]
    else:
        value.clear()
        value.update(contents)
    return value


def _tensors(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def reset(net, rules):
    """Put all neurons of a network into their initial state, by their own methods."""
    for module in net.modules():
        ours = rules.find(module)[0] is not None or type(module).__module__.partition(".")[0] in LIBRARIES
        method = next((getattr(module, name) for name in RESETS if hasattr(type(module), name)), None)
        if ours and method is not None:
            method()
