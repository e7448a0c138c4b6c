"""Batches: samples as users have them (an array, a loader, any iterable), a Recording for each batch, in bounded
memory; and what is asked of all of them together."""

from typing import Iterator, Optional, Tuple

import numpy as np

from eventsim.arguments import instance_of, integer, shown
from eventsim.display.progress import sample_bar
from eventsim.engine.executing import Executor
from eventsim.engine.recorder import record_names
from eventsim.engine.recording import Recording
from eventsim.engine.state import OF_ITERATE
from eventsim.errors import DataError
from eventsim.inputs.batches import BATCH, batch_size
from eventsim.inputs.levels import array_of, check_shape_of_samples, check_steps_said
from eventsim.model.parameters import MOST_STEPS
from eventsim.statistics.decisions import class_numbers, warn_of_unknown
from eventsim.tensors import is_loader, pairs_of, refuse_beside_loader, refuse_steps_first

NO_SAMPLES = "x is a loader that has no sample: give some"


def predictions_of(executor: Executor, x, timesteps, progress) -> np.ndarray:
    """Predict the classes of samples, as `Simulator.predict`."""
    predictions = [recording.predictions for recording, _ in _labelled(executor, x, None, timesteps, progress)]
    if not predictions:
        raise DataError(NO_SAMPLES)
    return np.concatenate(predictions)


def score_of(executor: Executor, x, y, timesteps, progress) -> float:
    """Score predictions against labels, as `Simulator.score`."""
    predictions, known = [], []
    for recording, labels in _labelled(executor, x, y, timesteps, progress):
        if labels is None:
            raise DataError("there are no labels: give y, or a loader of (x, y)")
        predictions.append(recording.predictions)
        known.append(class_numbers(labels, len(recording.output)))
    if not known:
        raise DataError(NO_SAMPLES)
    labels = np.concatenate(known)
    warn_of_unknown(labels, recording.output.shape[1])
    return float((np.concatenate(predictions) == labels).mean())


def recordings_of(executor: Executor, batches, timesteps, record) -> Iterator[Recording]:
    """Run batches one after another, as `Simulator.iterate`."""
    record = record_names(record)
    try:
        batches = pairs_of(batches) if is_loader(batches) else iter(batches)
    except TypeError:
        raise DataError(f"batches is {shown(batches)}, expected an iterable of x, or of (x, y)") from None
    for batch in batches:
        x, _, lengths = (*batch, None, None)[:3] if _is_pair(batch) else (batch, None, None)
        if lengths is None:
            recording = executor.run(x, timesteps, record, samples_first=x is not batch)
        else:
            recording = executor.run_lengths(x, lengths, timesteps, record)
        recording.state = OF_ITERATE
        yield recording


def _is_pair(batch):
    """Whether a batch is (x, y) or more: a tuple, or a list of arrays that are not samples of one shape."""
    if isinstance(batch, tuple):
        return True
    shapes = [getattr(each, "shape", None) for each in batch] if isinstance(batch, list) else []
    return len(shapes) in (2, 3) and shapes[0] is not None and len(set(map(str, shapes))) > 1


def _labelled(executor, x, y, timesteps, progress):
    """Yield (Recording, labels or None) of samples, batch by batch. y: labels, or None. Other arguments as of
    `Simulator.predict`."""
    instance_of(progress, (bool, np.bool_, type(None)), "progress", "True, False or None")
    pairs, n = _pairs(executor.model, x, y, timesteps)
    done = 0
    with sample_bar(n, progress) as move:
        for part, labels in pairs:
            yield executor.run(part, timesteps, samples_first=n is not None or labels is not None), labels
            done += len(part)
            move(done)


def _pairs(model, x, y, timesteps) -> Tuple[Iterator, Optional[int]]:
    """Return an iterator of (batch of x, its labels or None), and how many samples there are, None of a loader."""
    refuse_beside_loader(x, y=y)
    if is_loader(x):
        return pairs_of(x), None
    x, shape = array_of(x), model.shapes[model.input]
    if timesteps is not None:
        timesteps = integer(timesteps, "timesteps", 1, MOST_STEPS)
    if y is None:  # labels say how many samples there are
        check_steps_said(model, x, timesteps)
    check_shape_of_samples(x, shape, timesteps)
    n = len(x)
    refuse_steps_first(x, y, "the pair (x, y)")
    y = None if y is None else class_numbers(y, n)
    size = batch_size(np.prod(shape), *BATCH)
    return ((x[i : i + size], None if y is None else y[i : i + size]) for i in range(0, n, size)), n
