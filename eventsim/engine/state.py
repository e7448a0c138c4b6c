"""State: what of a run changes from step to step."""

from dataclasses import dataclass
from typing import Dict, Optional

import numpy as np

from eventsim.display.card import Card, Shown
from eventsim.errors import DataError, RunError
from eventsim.lowering.rounding import INT32_MAX
from eventsim.merging import merged
from eventsim.model.parameters import integer
from eventsim.program import InputStage, LayerStage, Program
from eventsim.text import listed, many

KINDS_OF_STATE = ("membranes", "filtered", "pending", "waiting", "history")


@dataclass(repr=False)
class State(Shown):
    """What a run leaves behind for the next chunk of the same samples.

    step: absolute steps done. membranes, filtered, pending, waiting: per layer, as the kernels hold
    them. history: per stage, the last planes (of a real input: values) that delayed readers still
    need. sums: float64, int64 or float32 (N, classes), what the output has summed so far.
    proved: the step up to which int32 is proved to hold, where that is beyond the program's `safe_steps`, else 0.
    """

    step: int = merged(samples="same", steps="last", default=0)
    membranes: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    filtered: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    pending: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    waiting: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    history: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    sums: Optional[np.ndarray] = merged(samples="concatenate", steps="last", default=None)
    proved: int = merged(samples="min", steps="last", default=0)

    def card(self) -> Card:
        """How far the run is, and what it keeps."""
        kept = [(kind, listed(getattr(self, kind))) for kind in KINDS_OF_STATE if getattr(self, kind)]
        return Card(f"State(after {many(self.step, 'step')})", kept)

    def samples(self, start, stop) -> "State":
        """The state of some of the samples, as copies."""

        def cut(arrays):
            return {name: array[start:stop].copy() for name, array in arrays.items()}

        return State(
            self.step, *(cut(getattr(self, kind)) for kind in KINDS_OF_STATE),
            None if self.sums is None else self.sums[start:stop].copy(), self.proved,
        )


def check_state(state, program: Program, n_samples, steps) -> None:
    """Raise DataError where a state is none of n_samples samples of the program, and RunError where `steps`
    more are not proved to be safe. state: None at the start of a run."""
    done = 0
    if state is not None:
        if not isinstance(state, State):
            raise DataError(
                f"state is a {type(state).__name__}, expected the `state` of an earlier Recording"
            )
        done = integer(state.step, "state.step", 1, 1 << 62)
        _check_arrays(state, program, n_samples)
    safe = program.safe_steps
    if safe is not None and state is not None:
        safe = _proved(state, program, done + steps)
    if safe is not None and done + steps > safe:
        raise RunError(
            f"{done + steps} steps, but only {safe} are proved free of int32 overflow; "
            "run fewer steps, or in float32"
        )


def _proved(state, program, wanted) -> int:
    """The step up to which int32 is proved to hold, by `safe_steps` or, where that is not enough, by how far the
    membranes are in truth: where all bounds grow by the same in each step, those that are at most u from 0 have
    safe_steps * (1 - u / INT32_MAX) steps more."""
    layers = [stage for stage in program.stages.values() if isinstance(stage, LayerStage)]
    if wanted > max(state.proved, program.safe_steps) and all(map(_grows_evenly, layers)):
        reached = max(max(int(found.max()), -int(found.min())) for found in state.membranes.values())
        more = program.safe_steps * (INT32_MAX - min(reached, INT32_MAX)) // INT32_MAX
        state.proved = max(state.proved, state.step + more)
    return max(state.proved, program.safe_steps)


def _grows_evenly(layer):
    """Whether a membrane's bound (see `lowering.overflow`) grows by the same in each step: no current adds up."""
    update = layer.update
    fades = not update.filters or int(np.abs(update.current_leak).max()) < 1 << update.decay_bits
    return fades and not update.changes


def _check_arrays(state, program, n_samples):
    """Kernels write into a state's arrays unchecked: all of them have to be as expected."""
    found = {
        (kind, name): (array.shape, array.dtype)
        for kind in KINDS_OF_STATE
        for name, array in getattr(state, kind).items()
    }
    if state.sums is not None:
        found["sums", program.output] = (state.sums.shape, state.sums.dtype)
    sizes = {shape[0] for shape, _ in found.values()}
    if sizes - {n_samples}:
        raise DataError(f"state is of {sorted(sizes - {n_samples})} samples, but x has {n_samples}")
    expected = _arrays(program, n_samples)
    for key in (*expected, *found):
        if found.get(key) != expected.get(key):
            raise DataError(
                f"state does not fit layer {key[1]!r}; expected one that a run of this model at "
                f"precision {program.precision!r} returned"
            )


def _arrays(program, n_samples):
    """{(kind, name): (shape, dtype)} of all arrays that a state of so many samples has."""
    dtype, expected = program.dtype, {}
    for name, stage in program.stages.items():
        past = program.history[name]
        if past:
            real = isinstance(stage, InputStage) and stage.real
            expected["history", name] = (
                ((n_samples, past, stage.positions, stage.shape[0]), dtype) if real
                else ((n_samples, past, stage.n_planes, stage.positions, stage.words), np.dtype(np.uint64))
            )
        if isinstance(stage, LayerStage):
            for kind, array in arrays_of(stage, n_samples, dtype).items():
                expected[kind, name] = array
    output = program.stages[program.output]
    sums = np.dtype(np.int64) if dtype.kind == "i" or not output.reduce else dtype
    expected["sums", output.name] = ((n_samples, output.n_neurons), sums)
    return expected


def arrays_of(layer: LayerStage, n_samples, dtype) -> Dict[str, tuple]:
    """{kind: (shape, dtype)} of what a layer takes from step to step."""
    update, array = layer.update, ((n_samples, layer.positions, layer.padded), dtype)
    arrays = {"membranes": array}
    if update.filters:
        arrays["filtered"] = array
    if update.reset_delay or update.changes:
        arrays["pending"] = array
    if update.pauses:
        arrays["waiting"] = (array[0], np.dtype(np.int32))
    return arrays
