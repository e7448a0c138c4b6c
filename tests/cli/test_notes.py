"""What is said beside a result stands in the JSON, too: in the words of standard error, each once."""

import json
import warnings
from types import SimpleNamespace

import pytest
from command import DATA, MODEL

from eventsim import formats
from eventsim.cli.data_arguments import MOST_SAID, say_notes
from eventsim.cli.screen import Screen, warnings_by
from eventsim.engine.simulator import Simulator
from eventsim.errors import EventsimWarning

COMMANDS = (["run", MODEL, DATA, "--limit", 2], ["diff", MODEL, MODEL, DATA, "--limit", 2], ["check", MODEL],
            ["bench", MODEL, DATA, "--limit", 1, "--rounds", 1])


@pytest.fixture
def said_of_models(monkeypatch):
    """What loading a model, and making it ready to run, then warn of, again and again."""
    load, begin = formats.load, Simulator.__init__

    def loaded(path, **options):
        warnings.warn(f"{path}: its reset is assumed", EventsimWarning, stacklevel=2)
        return load(path, **options)

    def begun(self, *arguments, **options):
        warnings.warn("rounding makes it another network", EventsimWarning, stacklevel=2)
        begin(self, *arguments, **options)

    monkeypatch.setattr(formats, "load", loaded)
    monkeypatch.setattr(Simulator, "__init__", begun)
    return [f"{MODEL}: its reset is assumed", "rounding makes it another network"]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_what_is_said_of_a_model_is_in_the_json(run, said_of_models, words):
    status, out, err = run(*words, "--json")
    assert status == 0 and json.loads(out)["notes"] == said_of_models
    assert err == "".join(f"eventsim: {text}\n" for text in said_of_models)
    assert run(*words)[2] == err


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_where_nothing_is_said_there_are_no_notes(run, words):
    status, out, err = run(*words, "--json")
    assert (status, err, json.loads(out)["notes"]) == (0, "", [])


def test_bench_says_in_the_json_what_it_ran(run):
    out = run("bench", MODEL, "--limit", 1, "--rounds", 1, "--json")[1]
    assert json.loads(out)["notes"] == ["run on its check samples"]


def test_standard_error_has_the_first_notes_and_the_json_all(capsys):
    data = SimpleNamespace(notes={f"note {i}": i + 1 for i in range(MOST_SAID + 3)}, of_events=True)
    screen = Screen(SimpleNamespace())
    say_notes(data, "walk", screen, besides=["note 0"])
    lines = capsys.readouterr().err.splitlines()
    assert screen.notes == [f"walk: {i + 1} recordings: note {i}" for i in range(1, MOST_SAID + 3)]
    assert lines == [*(f"eventsim: {text}" for text in screen.notes[:MOST_SAID]),
                     "eventsim: walk: and 2 more things to say of it"]


def test_only_our_warnings_are_notes():
    notes, others = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *where: others.append((str(message), category))
        with warnings_by(notes.append):
            for kind in (EventsimWarning, UserWarning, EventsimWarning):
                warnings.warn("a word", kind, stacklevel=1)
    assert list(map(str, notes)) == ["a word", "a word"] and others == [("a word", UserWarning)]
