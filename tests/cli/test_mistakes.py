"""Plausible mistakes: each is answered in one line with a remedy, as the guide's table shows."""

import mistakes
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mistakes")
    mistakes.prepare(path)
    return path


@pytest.mark.parametrize("number", range(len(mistakes.MISTAKES)), ids=lambda n: mistakes.MISTAKES[n][0])
def test_a_mistake_is_answered_in_one_line_as_the_guide_shows(number, folder):
    what, words = mistakes.MISTAKES[number]
    before = sorted(folder.rglob("*"))
    status, out, err = mistakes.call(words, folder)
    assert status in (1, 2) and out == ""
    assert err.startswith("eventsim: ") and err.endswith("\n") and err.count("\n") == 1
    assert (status == 2) == err.endswith(" --help)\n")
    assert mistakes.row(what, words, status, err) == mistakes.shown()[number]
    assert sorted(folder.rglob("*")) == before, "something was left behind"


def test_the_guide_shows_each_mistake():
    assert len(mistakes.shown()) == len(mistakes.MISTAKES) >= 25
