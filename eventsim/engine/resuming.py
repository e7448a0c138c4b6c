"""Resuming: what a state has to be before kernels take it.

Kernels read and write a state's arrays unchecked, and what they find there becomes an index: a bit in the history
is an event, an event is a row of weights. So all that a user can have changed is looked at in each run that
resumes, the numbers in the arrays, too.
"""

from typing import Callable, Dict, NamedTuple, Optional, Tuple

import numpy as np

from eventsim.arguments import instance_of, integer, shown
from eventsim.engine.state import arrays_of, KINDS_OF_STATE, NoState, State
from eventsim.errors import DataError, RunError
from eventsim.kernels.arguments import CURRENT, INT32_MAX, NEVER, SATURATE, WRAP
from eventsim.program import InputStage, LayerStage, Program
from eventsim.spikes import Spikes


class ArrayRule(NamedTuple):
    """One array of a state. shape: of a sample. wrong: says of an array of that shape and type what is wrong with
    its numbers, or nothing; None: any number will do."""

    shape: Tuple[int, ...]
    dtype: np.dtype
    wrong: Optional[Callable[[np.ndarray], str]]


class StateRules:
    """What states of a program are; the same for all its runs."""

    def __init__(self, program: Program):
        self.program = program
        self.rules: Dict[Tuple[str, str], ArrayRule] = {}
        for name, stage in program.stages.items():
            if program.history[name]:
                self.rules["history", name] = self._history(stage, program.history[name])
            if isinstance(stage, LayerStage):
                for kind, (shape, dtype) in arrays_of(stage, 1, program.dtype).items():
                    self.rules[kind, name] = ArrayRule(shape[1:], np.dtype(dtype), _numbers(kind, stage, program))
        output = program.stages[program.output]
        integer_sums = program.dtype.kind == "i" or not output.reduce
        self.rules["sums", output.name] = ArrayRule(
            (output.n_neurons,), np.dtype(np.int64) if integer_sums else program.dtype, None)

    def _history(self, stage, past):
        if isinstance(stage, InputStage) and stage.real:
            return ArrayRule((past, stage.positions, stage.shape[0]), self.program.dtype, _not_finite)
        shape = past, stage.n_planes, stage.positions, stage.words
        return ArrayRule(shape, np.dtype(np.uint64), _PlaneCheck(stage))

    def check(self, state, n_samples, steps) -> int:
        """Return the steps that were done before: 0 at the start of a run, where state is None. Raises DataError
        where a state is none of n_samples samples of the program or a `NoState`, and RunError where `steps` more
        are not proved to be safe."""
        done = 0
        if isinstance(state, NoState):
            raise DataError(f"state is none that a run can continue from: {state.why}")
        if state is not None:
            instance_of(state, State, "state", "the `state` of an earlier Recording")
            done = integer(state.step, "state.step", 1, 1 << 62)
            self._check_arrays(state, n_samples)
            self._check_fingerprint(state)
        return self.check_steps(state, steps, done)

    def check_steps(self, state, steps, done=None) -> int:
        """Return the steps that were done before. state: as of `check`, known to be one of the program. done: what
        it says, if that was looked at. Raises RunError where `steps` more are not proved to be safe."""
        done = state.step if done is None else done
        safe = self.program.safe_steps
        if safe is not None and state is not None:
            safe = _proved(state, self.program, done + steps)
        if safe is not None and done + steps > safe:
            raise RunError(
                f"{done + steps} steps, but only {safe} are proved free of int32 overflow; "
                "run fewer steps, or in float32"
            )
        return done

    def _check_arrays(self, state, n_samples):
        arrays = self._arrays(state)
        numbers = {array.shape[0] for array in arrays.values() if array.ndim}
        if numbers != {n_samples} and numbers:
            numbers.discard(n_samples)
            raise DataError(f"state is of {sorted(numbers)} samples, but x has {n_samples}")
        rules = self.rules
        for key in rules if arrays.keys() == rules.keys() else {**rules, **arrays}:
            rule, array = rules.get(key), arrays.get(key)
            if rule is None or array is None or array.shape[1:] != rule.shape or array.dtype != rule.dtype:
                raise DataError(
                    f"state does not fit layer {key[1]!r}; expected one that a run of this model at "
                    f"precision {self.program.precision!r} returned"
                )
            wrong = rule.wrong and rule.wrong(array)
            if wrong:
                raise DataError(f"state.{key[0]} of {key[1]!r} has {wrong}, which no run leaves; give a state "
                                "as a run returned it")

    def _check_fingerprint(self, state):
        instance_of(state.fingerprint, str, "state.fingerprint", "text")
        if state.fingerprint and state.fingerprint != self.program.fingerprint:
            raise DataError(
                "state is of another network, whose weights, other constants or arithmetic differ, expected one "
                f"that a run of this model at precision {self.program.precision!r} returned; run it from the "
                "beginning")

    def _arrays(self, state):
        """Return (kind, name) -> array, of all that a state holds."""
        arrays = {}
        for kind in KINDS_OF_STATE:
            of_kind = getattr(state, kind)
            if not isinstance(of_kind, dict):
                raise DataError(f"state.{kind} is {shown(of_kind)}, expected arrays by the names of layers")
            for name, array in of_kind.items():
                arrays[kind, name] = _array(array, f"{kind} of {name!r}")
        if state.sums is not None:
            arrays["sums", self.program.output] = _array(state.sums, "sums")
        return arrays


def _proved(state, program, wanted) -> int:
    """Return the step up to which int32 is proved to hold, by `safe_steps` or, where that is not enough, by how
    far the membranes are in truth: where all bounds grow by the same in each step, those that are at most u from 0
    have safe_steps * (1 - u / INT32_MAX) steps more."""
    proved = integer(state.proved, "state.proved", 0, 1 << 62)
    if wanted > max(proved, program.safe_steps) and all(
            _grows_evenly(stage) for stage in program.stages.values() if isinstance(stage, LayerStage)):
        reached = max(max(int(membranes.max()), -int(membranes.min())) for membranes in state.membranes.values())
        more = program.safe_steps * (INT32_MAX - min(reached, INT32_MAX)) // INT32_MAX
        state.proved = max(proved, state.step + more)
    return max(state.proved, program.safe_steps)


def _grows_evenly(layer):
    """Return whether a membrane's bound (see `lowering.overflow`) grows by the same in each step. A current of its
    own may add up, even one that fades where its bound is beyond int32."""
    return not layer.update.filters and not layer.update.changes


def _array(value, name):
    return instance_of(value, np.ndarray, f"state.{name}", "an array")


def _numbers(kind, layer, program):
    """Return what finds wrong numbers in a layer's array, None where any number will do: floats may be any,
    infinite too."""
    update = layer.update
    if kind == "waiting":
        return _Waiting(update.refractory.reshape(-1, layer.padded))
    if program.dtype.kind == "f":
        return None
    rule, low, high = update.limits[3 * CURRENT : 3 * CURRENT + 3].tolist()
    limited = rule in (WRAP, SATURATE)  # one turn may leave a number outside its width, see `lowering.overflow`
    inside = _outside(low, high) if kind == "filtered" and limited else None
    return inside if layer.padded == layer.shape[0] else _Padding(layer.shape[0], inside)


class _Padding:
    """Nothing behind the channels, where the highest integer would fire. inside: what is wrong with the others."""

    def __init__(self, channels, inside):
        self.channels, self.inside = channels, inside

    def __call__(self, array):
        if np.count_nonzero(array[..., self.channels :]):
            return f"numbers behind its {self.channels} channels"
        return self.inside(array) if self.inside else ""


def _outside(low, high):
    def wrong(array):
        lowest, highest = int(array.min()), int(array.max())
        if low <= lowest and highest <= high:
            return ""
        return f"numbers from {lowest} to {highest}, beyond {low} to {high}"

    return wrong


def _not_finite(array):
    return "" if np.isfinite(array).all() else "a value that is not finite"


class _Waiting:
    """Steps of refractoriness left: none below 0, or more than the neuron's own. most: int32 (positions or 1,
    padded channels)."""

    def __init__(self, most):
        self.most = most

    def __call__(self, array):
        bad = (array < 0) | (array > self.most)
        return f"a refractory counter of {array[bad][0]}" if bad.any() else ""


class _PlaneCheck:
    """Planes of a stage: no bit behind the channels, or of a plane that a channel does not have; no level above
    the stage's highest; and none both positive and negative."""

    def __init__(self, stage):
        self.stage = stage
        channels = np.zeros((stage.n_planes, 64 * stage.words), np.uint8)
        channels[:, : stage.shape[0]] = 1
        if isinstance(stage, LayerStage):
            channels[:, : stage.shape[0]][_never(stage)] = 0
        self.forbidden = ~np.packbits(channels, axis=1, bitorder="little").view(np.uint64)[:, None]
        self.counts = stage.max_level < (1 << stage.bits) - 1

    def __call__(self, planes):
        stage = self.stage
        if np.count_nonzero(planes & self.forbidden):
            return f"spikes of channels or bits that {stage.name!r} does not have"
        if stage.signed and np.count_nonzero(planes[:, :, : stage.bits] & planes[:, :, stage.bits :]):
            return "spikes that are positive and negative at once"
        if self.counts:
            levels = Spikes(planes, stage.shape, (stage.n_neurons,), stage.bits, stage.signed).levels()
            highest = int(np.abs(levels.astype(np.int64)).max())
            return f"a level of {highest}, above {stage.max_level}" if highest > stage.max_level else ""
        return ""


def _never(layer):
    """Return bool (planes, channels): which planes no neuron of a channel sends, as nothing reaches their
    thresholds."""
    update = layer.update
    positions = layer.positions if update.per_position else 1
    thresholds = update.thresholds.reshape(-1, positions, layer.padded)[:, :, : layer.shape[0]]
    never = (thresholds == NEVER) if thresholds.dtype.kind == "i" else np.isnan(thresholds)
    never = never.all(axis=1)
    return never if len(never) == layer.n_planes else np.concatenate((never, never))  # of both signs alike
