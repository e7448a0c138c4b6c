"""Widths: the bits of neurons that may send any number of spikes a step, chosen by what they send on the check
samples."""

import numpy as np

from eventsim.errors import UnsupportedError
from eventsim.model.parameters import MAX_BITS

HEAD_ROOM = 2  # bits above the largest level of the check samples


def choose_widths(graph, built, sent) -> str:
    """Give the neurons that send any number of spikes a step the bits for what they sent, with room above.

    built: Built, whose nodes are changed. sent: of each run, number of a layer -> values (T, N, ...). Returns a
    warning in one line, "" where there are no such neurons. Raises UnsupportedError where a layer sends more than
    any model holds.
    """
    lines = []
    for name, node in built.nodes.items():
        number = built.layers.get(name)
        if number is None or not graph.nodes[number].settings["layer"].unlimited:
            continue
        top = max(float(run[number].abs().max()) if run[number].numel() else 0.0 for run in sent)
        level = int(np.ceil(top / float(np.min(node.worth))))
        if level.bit_length() > MAX_BITS:
            raise UnsupportedError(f"layer {name!r}: sends {level} spikes in one step on the check samples, and a "
                                   f"model holds at most {(1 << MAX_BITS) - 1}; raise its threshold")
        bits = min(max(level.bit_length(), 1) + HEAD_ROOM, MAX_BITS)
        node.bits = np.asarray(bits)
        lines.append(f"{name} (at most {level} on the check samples, {(1 << bits) - 1} held)")
    if not lines:
        return ""
    return (f"any number of spikes a step may come from {', '.join(lines)}: the model cuts off what is beyond, "
            "which a run shows as saturated_top_bit in the findings of eventsim stats and report")
