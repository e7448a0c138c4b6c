"""Statistics: what spikes, membranes and answers did, from a recording or streamed during a run.

`Simulator.run(..., record=("statistics", "intervals", "membranes"))` gathers them step by step in
memory that does not grow with the number of samples, of the layers: the input (unless real-valued) and
what has neurons. `of` takes them from what was recorded, of pools and added trains too.
"""

from importlib import import_module

_HOMES = {"of": "of_recordings", "of_spikes": "of_recordings", "Statistics": "result", "KINDS": "result"}


def __getattr__(name):
    """Imported when first used: reading what a file keeps needs no compiler."""
    if name not in _HOMES:
        raise AttributeError(f"module 'eventsim.statistics' has no attribute {name!r}")
    return getattr(import_module(f"eventsim.statistics.{_HOMES[name]}"), name)
