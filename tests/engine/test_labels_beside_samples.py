"""Labels that are no class: one behaviour, whoever is asked."""

import numpy as np
import pytest

import eventsim
from eventsim import DataError, EventsimWarning, Input, Model, Neuron, Simulator

MODEL = Model({"in": Input((3,)), "n": Neuron()}, [("in", "n")], timesteps=2)
X = np.eye(3, dtype=int)


def asked(tmp_path):
    """Everything that takes labels, by name: labels -> the accuracy, or None where it says none."""
    simulator = Simulator(MODEL)
    recording = simulator.run(X, record=("spikes", "outputs"))
    return {
        "score": lambda y: simulator.score(X, y),
        "accuracy": recording.accuracy,
        "compare": lambda y: eventsim.compare(simulator, simulator, X, y).accuracy[0],
        "statistics": lambda y: eventsim.statistics.of(recording, labels=y).decisions.accuracy,
        "evaluate": lambda y: eventsim.evaluate(simulator, (X, y)).accuracy,
        "save_run": lambda y: eventsim.save_run(recording, tmp_path / "run.h5", labels=y),
    }


NAMES = ("score", "accuracy", "compare", "statistics", "evaluate", "save_run")


@pytest.mark.parametrize("name", NAMES)
def test_labels_beyond_the_classes_are_warned_of_and_wrong(tmp_path, name):
    message = "^1 of 3 labels is none of the model's classes, which are 0 to 2"
    with pytest.warns(EventsimWarning, match=message) as said:
        accuracy = asked(tmp_path)[name]([0, 1, 99])
    assert accuracy in (2 / 3, None) and len(said) == 1 and said[0].filename == __file__


@pytest.mark.parametrize("name", NAMES)
def test_labels_below_0_are_refused(tmp_path, name):
    with pytest.raises(DataError, match="no class number"):
        asked(tmp_path)[name]([0, 1, -1])
    assert asked(tmp_path)[name]([0, 1, 2]) in (1.0, None)
