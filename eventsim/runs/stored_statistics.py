"""Statistics as arrays by name, the way a run file keeps them, and back."""

import math
from dataclasses import fields

import numpy as np

from eventsim.model.parameters import MAX_BITS
from eventsim.statistics.decisions import Decisions
from eventsim.statistics.membranes import MembraneStatistics
from eventsim.statistics.result import Statistics
from eventsim.statistics.trains import TrainStatistics

TRAIN_NUMBERS = ("bits", "signed", "n_samples", "n_steps", "n_detailed")
MEMBRANE_WHOLES = ("n_samples", "n_steps", "n_levels", "n_not_finite")
MEMBRANE_NUMBERS = ("threshold", "step", "lowest", "highest")
HISTOGRAMS = ("potentials", "residuals", "rectified")
BY_STEP = ("mean_by_step", "square_by_step", "error_by_step", "rectified_error_by_step")
ENDINGS = ("ended_by_step", "detailed_absent")  # of trains, where samples have their own lengths
UNITS = ("thresholds", "quanta")


def arrays(statistics: Statistics):
    """{path: array} of everything in a Statistics but the names of the classes."""
    by_path = {}
    for name, train in statistics.trains.items():
        for field in fields(train):
            value = getattr(train, field.name)
            if field.name not in ENDINGS or train.ended_by_step is not None:
                by_path[f"trains/{name}/{field.name}"] = np.asarray(value)
    for name, membrane in statistics.membranes.items():
        for field in fields(membrane):
            value = getattr(membrane, field.name)
            if field.name == "unit":
                value = UNITS.index(value)
            if value is not None:
                by_path[f"membranes/{name}/{field.name}"] = np.asarray(value)
    if statistics.decisions is not None:
        for name in ("n_samples", "final", "correct", "confusion"):
            if getattr(statistics.decisions, name) is not None:
                by_path[f"decisions/{name}"] = np.asarray(getattr(statistics.decisions, name))
    return by_path


def read_statistics(group, class_names=()) -> Statistics:
    """Return the Statistics whose `arrays` a `StoredGroup` has; raises the file's kind of error where it is
    damaged."""
    trains, membranes, decisions = {}, {}, None
    if "trains" in group:
        members = group.group("trains")
        trains = {name: _train(members.group(name, f"statistics of {name!r}")) for name in members.names()}
    if "membranes" in group:
        members = group.group("membranes")
        membranes = {name: _membrane(members.group(name, f"membranes of {name!r}")) for name in members.names()}
    if "decisions" in group:
        decisions = _decisions(group.group("decisions", "decisions"), class_names)
    return Statistics(trains, membranes, decisions)


def _train(group):
    bits, signed, n_samples, n_steps, n_detailed = (_whole_number(group, name) for name in TRAIN_NUMBERS)
    shape = tuple(int(size) for size in _array(group, "shape", None))
    if not (1 <= len(shape) <= 3 and all(0 < size < 1 << 31 for size in shape) and 1 <= bits <= MAX_BITS
            and signed <= 1 and 0 < n_steps < 1 << 31):
        raise group.error(f"shape {shape}, {bits} bits and {n_steps} steps are those of no node")
    sizes = TrainStatistics.array_shapes(shape, bits, bool(signed), n_steps)
    stored = {name: _array(group, name, size) for name, size in sizes.items()}
    if stored["chosen"].max(initial=0) >= math.prod(shape):
        raise group.error("'chosen' has neurons that the node does not have")
    if "ended_by_step" in group:
        stored["ended_by_step"] = _array(group, "ended_by_step", (n_steps,))
        stored["detailed_absent"] = _whole_number(group, "detailed_absent")
        if stored["ended_by_step"].max() > n_samples:
            raise group.error("'ended_by_step' has more samples than there are")
    train = TrainStatistics(shape=shape, bits=bits, signed=bool(signed), n_samples=n_samples, n_steps=n_steps,
                            n_detailed=n_detailed, **stored)
    if train.contradiction():
        raise group.error(train.contradiction())
    return train


def _membrane(group):
    wholes = {name: _whole_number(group, name) for name in MEMBRANE_WHOLES}
    numbers = {name: float(_floats(group, name, ())) for name in MEMBRANE_NUMBERS}
    unit = _whole_number(group, "unit")
    if unit >= len(UNITS):
        raise group.error(f"'unit' is {unit}, expected 0 or 1")
    edges = group.numbers("edges").astype(np.float64)
    if edges.ndim != 1 or edges.size < 2 or not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise group.error("'edges' do not rise")
    stored = {name: _array(group, name, (edges.size + 1,)) for name in HISTOGRAMS if _present(group, name)}
    rows = (wholes["n_samples"], wholes["n_steps"])
    stored.update({name: _floats(group, name, rows) for name in BY_STEP if _present(group, name)})
    for name in BY_STEP[1:]:
        if name in stored and (stored[name] < 0).any():
            raise group.error(f"{name!r} has numbers below 0, which no square is")
    if ("rectified" in stored) != ("rectified_error_by_step" in stored):
        raise group.error("has 'rectified' or 'rectified_error_by_step' without the other")
    absent = {name: None for name in ("rectified", "rectified_error_by_step") if name not in stored}
    if "lengths" in group:
        stored["lengths"] = _array(group, "lengths", rows[:1])
    return MembraneStatistics(unit=UNITS[unit], edges=edges, distances=_array(group, "distances", None),
                              **wholes, **numbers, **stored, **absent)


def _decisions(group, class_names):
    final = _array(group, "final", None)
    correct = _array(group, "correct", final.shape) if "correct" in group else None
    confusion = None
    if "confusion" in group:
        size = group.dataset("confusion").shape[:1] or (0,)
        confusion = _array(group, "confusion", size * 2)
    if final.ndim != 1 or final.size == 0:
        raise group.error(f"'final' has shape {final.shape}, expected one number a step")
    return Decisions(_whole_number(group, "n_samples"), final, correct, confusion, tuple(class_names))


def _present(group, name):
    return name in group or name not in ("rectified", "rectified_error_by_step")


def _array(group, name, shape):
    """Return stored whole numbers as int64. Raises the file's kind of error where one is negative, or where they
    are not of the shape (None: any with one axis)."""
    values = group.numbers(name)
    expected = "one axis" if shape is None else shape
    if values.dtype.kind not in "iu" or (values.ndim != 1 if shape is None else values.shape != shape):
        raise group.error(f"{name!r} has shape {values.shape} and type {values.dtype}, expected {expected}, int64")
    if values.size and (values.min() < 0 or values.max() > np.iinfo(np.int64).max):
        raise group.error(f"{name!r} has numbers below 0, which cannot be counts")
    return values.astype(np.int64)


def _floats(group, name, shape):
    values = group.numbers(name)
    if values.dtype.kind != "f" or values.shape != shape:
        raise group.error(f"{name!r} has shape {values.shape} and type {values.dtype}, expected {shape}, float64")
    return values.astype(np.float64)


def _whole_number(group, name):
    values = group.numbers(name)
    if values.size != 1 or values.dtype.kind not in "biu" or not 0 <= int(values.reshape(())) < 1 << 62:
        raise group.error(f"{name!r} is not a single whole number")
    return int(values.reshape(()))
