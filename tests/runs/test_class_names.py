"""Labels are the model's places of their classes: by name where both name them, and what does not fit is said."""

import json
import warnings

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import Dense, evaluate, EventBins, Flatten, Input, Model, Readout, save, Simulator
from eventsim.cli import main
from eventsim.inputs.dataset import open_dataset


def model(names):
    """Answers with the column of the only pixel that fires."""
    nodes = {"in": Input((1, 1, len(names)), events=EventBins(1000, "one", "merge", (1, len(names)))),
             "f": Flatten(), "d": Dense(np.eye(len(names))), "out": Readout("sum")}
    return Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2, class_names=names)


def folder(path, columns):
    """A class folder for each of {class: column that fires}."""
    for name, x in columns.items():
        (path / name).mkdir(parents=True)
        (path / name / "a.csv").write_text(f"t,x,y,p\n0,{x},0,1\n1500,{x},0,1\n")
    return path


@pytest.mark.parametrize("names, columns", (
    (("up", "down"), {"up": 0, "down": 1}),  # sorted otherwise
    (("cat", "dog", "emu"), {"cat": 0, "emu": 2}),  # a class is missing
    (("1", "0"), {"1": 0, "0": 1}),
    (("3", "7"), {"3": 0, "7": 1}),
    (tuple(map(str, range(11))), {str(i): i for i in range(11)}),
))
def test_classes_that_both_name_are_matched_by_name(tmp_path, names, columns):
    net = model(names)
    run = evaluate(Simulator(net), folder(tmp_path / "set", columns))
    assert run.accuracy == 1
    opened = open_dataset(tmp_path / "set", net.nodes["in"], 2)
    assert evaluate(Simulator(net), opened).accuracy == 1
    matched = opened.with_labels_of(names)
    assert not any("place" in note for note in matched.notes) and matched.with_labels_of(names) is matched
    assert [names[label] for label in matched.labels] == sorted(
        columns, key=lambda name: int(name) if name.isdecimal() else name)


def test_a_class_that_the_model_does_not_have_is_said(tmp_path):
    data = folder(tmp_path / "set", {"cat": 0, "wolf": 1})
    with pytest.warns(eventsim.EventsimWarning, match="1 of 2 labels is none of the model's classes"):
        assert evaluate(Simulator(model(("cat", "dog"))), data).accuracy == 0.5


def test_names_that_have_nothing_in_common_are_places_and_said(tmp_path, capsys):
    data = folder(tmp_path / "set", {"links": 0, "rechts": 1})
    save(model(("left", "right")), tmp_path / "net.h5")
    assert main(["run", str(tmp_path / "net.h5"), str(data)]) == 0
    shown = capsys.readouterr()
    assert "100.00 % correct" in shown.out
    assert ("its classes ('links', 'rechts') are none of the model's ('left', 'right'), so that labels are"
            in shown.err)
    assert "labelled by the place of its class folder in sorted order: 0 links, 1 rechts" in shown.err


def test_python_says_what_was_assumed_of_a_data_set_that_it_opens(tmp_path):
    data, net = folder(tmp_path / "set", {"links": 0, "rechts": 1}), model(("left", "right"))
    with pytest.warns(eventsim.EventsimWarning) as warned:
        evaluate(Simulator(net), data)
    (text,) = [str(one.message) for one in warned]
    assert text.startswith(f"{data}: its classes ('links', 'rechts') are none of the model's")
    assert "by the place" in text
    opened = open_dataset(data, net.nodes["in"], 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(Simulator(net), opened)  # who opened it has its notes


def test_the_command_line_says_nothing_of_places_where_names_decide(tmp_path, capsys):
    data = folder(tmp_path / "set", {"up": 0, "down": 1})
    save(model(("up", "down")), tmp_path / "net.h5")
    for command in (["run", tmp_path / "net.h5", data],
                    ["diff", tmp_path / "net.h5", f"{tmp_path / 'net.h5'}@float64", data]):
        assert main([*map(str, command), "--json"]) == 0
        shown = capsys.readouterr()
        assert "place" not in shown.err
        assert json.loads(shown.out)["accuracy"] in (1, [1, 1])


def test_keys_of_a_file_of_spike_trains(tmp_path):
    names = ("high", "low")
    with h5py.File(tmp_path / "spikes.h5", "w") as file:
        trains = file.create_group("spikes")
        for name, kind, values in (("times", np.float32, ([0, 1.5e-3], [0, 1.5e-3])),
                                   ("units", np.int16, ([0, 0], [1, 1]))):
            of_each = trains.create_dataset(name, 2, h5py.vlen_dtype(kind))
            for i, one in enumerate(values):
                of_each[i] = np.array(one, kind)
        file["labels"] = np.array([1, 0])  # of low, high
        file["extra/keys"] = np.array([b"low", b"high"])
    nodes = {"in": Input((700,), events=EventBins(1000, "one", "merge", (1, 700))), "d": Dense(np.eye(2, 700)),
             "out": Readout("sum")}
    net = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=2, class_names=names)
    assert evaluate(Simulator(net), tmp_path / "spikes.h5").accuracy == 1
