"""A small campaign with fixed seeds, and that each kind of fault lands in its bucket."""

import ctypes
import json
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from networks import random_run

import reference

from eventsim import Simulator
from eventsim.errors import DataError
from fuzz import __main__ as command, cases, corpus, fence, trials
from fuzz.campaign import Campaign, Standing
from fuzz.cases import Case
from fuzz.minimise import fewest_changes
from fuzz.server import Limits, Server
from fuzz.trials import Outcome

SMALL = Path(__file__).parent / "corpus"  # files that once showed a fault
FIRST = 1_000_000_000  # number of the first case: apart from those of long campaigns
CASES = {"native": 40, "nir": 60, "lava": 24, "events": 200, "data": 120, "runs": 30, "traces": 50, "json": 150}
WHOLE = 1  # a number whose case prints nothing and is not compared


def outcomes(waiting):
    """What becomes of cases; nothing may be found."""
    done = list(Server().outcomes(waiting))
    assert [(one, outcome) for one, outcome in done if outcome.bucket] == []
    return [outcome.stage for _, outcome in done]


@pytest.mark.parametrize("family", CASES)
def test_seeds_are_read_and_damaged_files_are_read_or_refused(family):
    n, m = len(corpus.seeds(family)), CASES[family]
    whole = [Case(WHOLE, family, i) for i in range(0, n, 1 + n // 30)]
    found = outcomes([*whole, *(cases.case(FIRST + i, (family,)) for i in range(m))])
    assert set(found[:len(whole)]) <= {"read", "run"}
    assert m / 50 < found[len(whole):].count("refused") < m


def test_random_networks_equal_the_reference_behind_a_fence():
    assert outcomes([Case(i, cases.NETWORKS, i) for i in range(20)]) == ["compared"] * 20


def _once():
    return sorted(path for path in SMALL.rglob("*") if path.is_file())


@pytest.mark.parametrize("family", sorted({path.parent.name for path in _once()}))
def test_files_that_once_showed_a_fault(family, monkeypatch):
    found = [path for path in _once() if path.parent.name == family]
    monkeypatch.setattr(cases, "file_of", lambda one: corpus.Seed(
        family, found[one.seed].name.partition("_")[2], found[one.seed].read_bytes(),
        found[one.seed].name.partition("_")[2]))
    outcomes([Case(trials.COMMAND_EVERY * trials.COMPARE_EVERY, family, i) for i in range(len(found))])


# ---- that faults are seen


def _crash(path):
    ctypes.string_at(0)


def _hang(path):
    time.sleep(60)


def _raise(path):
    return {}["nothing"]


def _say_two_lines(path):
    raise DataError("one\ntwo")


def _warn(path):
    warnings.warn("odd", RuntimeWarning)


def _take_memory(path):
    np.ones(80 << 20).sum()


def _ask_for_memory(path):
    np.zeros(1 << 45, np.uint8)


def _take_time(path):
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass


@pytest.mark.parametrize("reader, bucket", [
    (_crash, "signal"), (_hang, "hang"), (_raise, "traceback"), (_say_two_lines, "text"), (_warn, "warning"),
    (_take_memory, "memory"), (_ask_for_memory, "memory"), (_take_time, "time"),
])
def test_a_fault_lands_in_its_bucket(reader, bucket, monkeypatch):
    monkeypatch.setitem(trials.READERS, "json", reader)
    monkeypatch.setattr(trials, "READ_SECONDS", 0.2)
    server = Server(Limits(wall=1 if bucket == "hang" else 60))
    found = [outcome.bucket for _, outcome in server.outcomes([Case(WHOLE, "json", 0)] * 2)]
    assert found == [bucket] * 2


@pytest.mark.parametrize("printed, bucket", [("fine\n", ""), ("\x1b[2J\n", "text")])
def test_control_characters_on_the_screen_are_seen(printed, bucket, monkeypatch):
    def main(words):
        print(printed, end="")
        return 0

    monkeypatch.setattr(trials, "main", main)
    assert Server().one(Case(trials.COMMAND_EVERY, "json", 0)).bucket == bucket


def test_numbers_that_the_reference_does_not_have_are_seen(monkeypatch):
    def simulate(*arguments):
        result = honest(*arguments)
        result.outputs[...] += 1
        return result

    honest = reference.simulate
    monkeypatch.setattr(reference, "simulate", simulate)
    found = [outcome.bucket for _, outcome in Server().outcomes(Case(i, cases.NETWORKS, i) for i in range(4))]
    assert "differs" in found and set(found) <= {"differs", ""}  # some are refused by both


def test_no_case_is_left_out_between_children():
    server = Server(trial=lambda case, folder: Outcome("read"), at_once=3)
    assert [case.number for case, _ in server.outcomes(Case(i, "json", 0) for i in range(10))] == list(range(10))


def test_the_fence_holds():
    """Behind an array of whole pages a write is a crash; behind others it is seen at the end."""
    def write_behind(case, folder):
        with fence.fenced() as made:
            array = made.array(case.seed, np.uint8)
            ctypes.memset(array.ctypes.data + case.seed, 0, 1)
        return Outcome("read")

    server = Server(trial=lambda case, folder: Outcome("read", "fence" * _broken(write_behind, case, folder)))
    assert server.one(Case(0, "json", fence.PAGE)).where.startswith("SIGSEGV")
    assert server.one(Case(0, "json", 100)).bucket == "fence"


def _broken(trial, case, folder):
    try:
        trial(case, folder)
    except fence.Broken:
        return True
    return False


def test_plans_and_weights_stand_at_the_fence():
    model, x, timesteps = random_run(3)
    plain = Simulator(model).run(x, timesteps, record=("outputs", "potentials"))
    with fence.fenced() as made:
        fenced = Simulator(model).run(x, timesteps, record=("outputs", "potentials"))
        assert len(made._made) > 10
    np.testing.assert_array_equal(fenced.outputs, plain.outputs)


# ---- campaigns


def test_a_campaign_resumes(tmp_path, capsys):
    words = ["--families", "json", "--json"]
    command.main([*words, "--cases", "30"])
    whole = json.loads(capsys.readouterr().out)
    for n in ("11", "30"):
        command.main([*words, "--cases", n, "--resume", str(tmp_path / "standing.json")])
    resumed = json.loads((tmp_path / "standing.json").read_text())
    assert resumed["done"] == 30 and resumed["stages"] == whole["stages"]


def test_a_campaign_counts_and_keeps_what_it_finds(tmp_path, monkeypatch):
    monkeypatch.setitem(trials.READERS, "json", _raise)
    standing = Campaign(Standing(families=("json",)), kept=tmp_path).run(6)
    [found] = standing.findings.values()
    assert (found.bucket, found.count, found.numbers) == ("traceback", 6, [0, 1, 2, 3, 4])
    assert "6 x traceback: KeyError" in standing.as_text()
    [kept] = (tmp_path / "json").iterdir()
    assert kept.read_bytes() == cases.seed_of(cases.case(0, ("json",))).content  # no change was needed


def test_fewest_changes_leave_what_shows_the_fault():
    class Stub:
        def one(self, case):
            return Outcome("read", "traceback" if {2, 5} <= {n for _, n in case.changes} else "")

    case = Case(0, "json", 0, tuple(("flip", n) for n in range(7)))
    fewest = fewest_changes(case, Outcome("read", "traceback"), Stub())
    assert [n for _, n in fewest.changes] == [2, 5]
