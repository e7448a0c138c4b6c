"""Room: how much memory a model needs, node by node, before anything is allocated for it.

A small file can describe a network of any size. What is counted grows with maps and delays, which a file only
names, and with what weights are laid out in. Each number is at most what lowering and one sample take at the same
time.
"""

import os
from math import prod
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.lowering.layout import laid_out_size, lanes_of
from eventsim.lowering.methods import method_of_shape, ReadTrain, takes_tables
from eventsim.lowering.linear import map_shape
from eventsim.lowering.units import Unit
from eventsim.model.network import Model
from eventsim.text import all_digits

SHARE = 0.75  # of the machine's memory: the default limit
LANES = 16  # to which channels are padded at least
PARAMETERS = 8  # maps of a layer that are rounded to the run's type together
CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Need(NamedTuple):
    """What a node takes: label of the node, what it is, bytes, and what would take less."""

    label: str
    what: str
    n_bytes: int
    remedy: str = "use a smaller map or delay"


def machine_memory() -> int:
    """Return the bytes of memory that this machine has, or that its control group leaves to this process."""
    n_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, CONTROL_GROUPS):
        try:
            n_bytes = min(n_bytes, int(path.read_text("utf-8")))
        except (OSError, ValueError):  # no such group, or "max"
            pass
    return n_bytes


def check_room(model: Model, dtype, limit: Optional[int], units: Optional[Dict[str, Unit]] = None) -> None:
    """Raise UnsupportedError, naming the node that needs most and its size, where a model needs more memory than
    `limit` bytes. dtype: of membranes. limit: None: three quarters of what the machine has. units: name ->
    Unit, what the model is folded into, once it is: what its weights are laid out in is counted, too."""
    needs = [*needs_of(model, dtype.itemsize), *layouts_of(units or {}, dtype)]
    total = sum(need.n_bytes for need in needs)
    limit = int(SHARE * machine_memory()) if limit is None else limit
    if total > limit:
        raise too_large(max(needs, key=lambda need: need.n_bytes), total, limit)


def too_large(need, total, limit) -> UnsupportedError:
    """Return the error (not raised) for a need that is part of a total beyond a limit."""
    share = "" if total == need.n_bytes else f", and the model {size_text(total)} in all"
    return UnsupportedError(
        f"{need.label}: {need.what} take {size_text(need.n_bytes)} of memory{share}, more than the limit of "
        f"{size_text(limit)}; {need.remedy}, or raise memory_limit (--memory-limit)"
    )


def size_text(n_bytes) -> str:
    """Return bytes in the largest unit that keeps them above 1."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes} bytes"


def needs_of(model: Model, item: int) -> List[Need]:
    """Return what every node takes, and every edge that delays. item: bytes of a membrane."""
    needs = [_need_of_node(model, name, item) for name in model.nodes]
    for edge in model.edges:
        waits = edge.delay + model.nodes[edge.target].longest_delay
        if waits:
            needs.append(Need(
                model.label(edge.target if model.nodes[edge.target].longest_delay else edge.source),
                f"spikes of {_neurons(model, edge.source)}, kept for {waits} steps,",
                waits * _plane_bytes(model.shapes[edge.source]),
            ))
    return needs


def _need_of_node(model, name, item):
    node, shape = model.nodes[name], model.shapes[name]
    label, n, padded = model.label(name), prod(shape), _padded(shape)
    if node.integrates():
        # float64 of the thresholds, and what is added to the membrane; the state is padded
        n_bytes = n * (8 * getattr(node, "n_bits", 0) + 24 + PARAMETERS * item)
        n_bytes += padded * item * node.states_per_neuron
        return Need(label, _neurons(model, name), n_bytes)
    if node.n_weights:
        read = map_shape(model.shapes[model.incoming(name)[0].source])
        fan_out = 8 * read[1] * read[2] * (1 + -(-read[0] // 64))  # of each position and word
        return Need(label, f"{all_digits(node.n_weights)} weights on {'x'.join(map(str, read))}",
                    node.n_weights * (8 + 2 * item) + fan_out)
    return Need(label, _neurons(model, name), _plane_bytes(shape))


def layouts_of(units: Dict[str, Unit], dtype) -> List[Need]:
    """Return what weights take that are laid out in several times as many numbers: in tables of the sums of small
    windows, or of a few channels, and in tiles that several groups of channels share. units: name -> Unit. dtype:
    of membranes."""
    needs = []
    for unit in units.values():
        for path in unit.synapses:
            if path.weight is None:
                continue
            laid_out, n_bytes = _laid_out(path, unit, units[path.unit], dtype)
            if n_bytes:
                needs.append(Need(
                    unit.label, f"{all_digits(path.weight.size)} weights before it, laid out for kernels as "
                    f"{all_digits(laid_out)} numbers,", n_bytes, "use fewer channels"))
    return needs


def _laid_out(path, unit, source, dtype):
    """Return (numbers, bytes beyond those of the weights) that a path's weights are laid out in. Integers take at
    most as many bytes as floats, beside tables that only they have."""
    lanes = lanes_of(unit, np.dtype(f"f{dtype.itemsize}"))
    laid_out = laid_out_size(path, lanes, method_of_shape(path, path.weight.shape, source.is_image))
    if laid_out > path.weight.size:
        return laid_out, 2 * dtype.itemsize * (laid_out - path.weight.size)
    if dtype.kind != "i":
        return laid_out, 0
    read = ReadTrain(source.is_image, source.max_level, source.signed, source.density)
    lanes = lanes_of(unit, np.dtype(np.int8))
    sums = laid_out_size(path, lanes, "slide_tables") if takes_tables(path, unit.shape, lanes, read) else 0
    return sums, 2 * sums


def _neurons(model, name):
    shape = model.shapes[name]
    what = "neurons" if model.nodes[name].integrates() else "values"
    return f"{all_digits(prod(shape))} {what} ({'x'.join(map(str, shape))})"


def _padded(shape):
    channels, height, width = map_shape(shape)
    return -(-channels // LANES) * LANES * height * width


def _plane_bytes(shape):
    """Return the bytes of one plane of spikes, one step, one sample."""
    channels, height, width = map_shape(shape)
    return -(-channels // 64) * 8 * height * width
