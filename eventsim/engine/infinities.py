"""Infinities: whether the floats of a run may become infinite."""

import numpy as np

from eventsim.program import InputStage, LayerStage, Program

LARGEST_REAL = 1e6  # value that a real-valued input is taken to have


def floats_may_overflow(program: Program, steps: int) -> bool:
    """Return whether a membrane can become infinite within so many steps, by what its largest weight and bias add
    up to; never of integers, which are proved to fit."""
    if program.dtype.kind != "f":
        return False
    most = 0.0
    for layer in program.stages.values():
        if isinstance(layer, LayerStage):
            added = [_largest(bias) for part in (layer, *layer.pools) for _, bias in part.biases]
            added += [_largest(getattr(layer.update, name)) for name in ("drive", "v_reset", "amounts", "least")]
            for path in layer.synapses:
                source, g = program.stages[path.source], path.geometry
                level = LARGEST_REAL if isinstance(source, InputStage) and source.real else source.max_level
                added.append(_largest(path.weight) * level * g.kernel_height * g.kernel_width * g.channels)
            most = max(most, sum(added) * max(1.0, _largest(layer.update.gain)))
    return not most * steps < float(np.finfo(program.dtype).max)


def _largest(values):
    """Return the largest absolute value, without a copy."""
    return max(abs(float(values.min())), abs(float(values.max()))) if values.size else 0.0
