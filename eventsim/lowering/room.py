"""Room: how much memory a model needs, node by node, before anything is allocated for it.

A small file can describe a network of any size. What is counted grows with maps and delays, which a file only names:
least estimates of what lowering and one sample take at the same time.
"""

import os
from math import prod
from pathlib import Path
from typing import List, NamedTuple, Optional

from eventsim.errors import UnsupportedError
from eventsim.lowering.linear import map_shape
from eventsim.model.network import Model
from eventsim.text import all_digits

SHARE = 0.75  # of the machine's memory: the default limit
LANES = 16  # to which channels are padded at least
PARAMETERS = 8  # maps of a layer that are rounded to the run's type together
CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Need(NamedTuple):
    """What a node takes: label of the node, what it is, bytes."""

    label: str
    what: str
    n_bytes: int


def machine_memory() -> int:
    """Bytes of memory that this machine has, or that its control group leaves to this process."""
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, CONTROL_GROUPS):
        try:
            found = min(found, int(path.read_text("utf-8")))
        except (OSError, ValueError):  # no such group, or "max"
            pass
    return found


def check_room(model: Model, item: int, limit: Optional[int]) -> None:
    """Raise UnsupportedError, naming the node that needs most and its size, where a model needs more memory than
    `limit` bytes. item: bytes of a membrane. limit: None: three quarters of what the machine has."""
    needs = needs_of(model, item)
    total = sum(need.n_bytes for need in needs)
    limit = int(SHARE * machine_memory()) if limit is None else limit
    if total > limit:
        raise too_large(max(needs, key=lambda need: need.n_bytes), total, limit)


def too_large(need, total, limit) -> UnsupportedError:
    """The error (not raised) for a need that is part of a total beyond a limit."""
    share = "" if total == need.n_bytes else f", and the model {size_text(total)} in all"
    return UnsupportedError(
        f"{need.label}: {need.what} take {size_text(need.n_bytes)} of memory{share}, more than the limit of "
        f"{size_text(limit)}; use a smaller map or delay, or raise memory_limit (--memory-limit)"
    )


def size_text(n_bytes) -> str:
    """Bytes in the largest unit that keeps them above 1."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if n_bytes >= unit:
            return f"{n_bytes / unit:.3g} {name}"
    return f"{n_bytes} bytes"


def needs_of(model: Model, item: int) -> List[Need]:
    """What every node takes, and every edge that delays. item: bytes of a membrane."""
    needs = [_of_node(model, name, item) for name in model.nodes]
    for edge in model.edges:
        waits = edge.delay + model.nodes[edge.target].longest_delay
        if waits:
            needs.append(Need(
                model.label(edge.target if model.nodes[edge.target].longest_delay else edge.source),
                f"spikes of {_neurons(model, edge.source)}, kept for {waits} steps,",
                waits * _plane_bytes(model.shapes[edge.source]),
            ))
    return needs


def _of_node(model, name, item):
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


def _neurons(model, name):
    shape = model.shapes[name]
    what = "neurons" if model.nodes[name].integrates() else "values"
    return f"{all_digits(prod(shape))} {what} ({'x'.join(map(str, shape))})"


def _padded(shape):
    channels, height, width = map_shape(shape)
    return -(-channels // LANES) * LANES * height * width


def _plane_bytes(shape):
    """Of one plane of spikes, one step, one sample."""
    channels, height, width = map_shape(shape)
    return -(-channels // 64) * 8 * height * width
