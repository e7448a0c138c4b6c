"""JSON as it is printed, which any reader of JSON takes whatever the numbers are; and records in JSON files."""

import json
from pathlib import Path

import pytest

import eventsim
from eventsim import FormatError
from eventsim.costs.energy_table import find_energy_table
from eventsim.model.chip import find_chip
from eventsim.storage.json_fields import json_text


def test_what_is_not_finite_is_null():
    given = {"a": [1.5, float("nan"), (float("inf"), 2)],
             "b": {"c": -float("inf"), "d": True, "e": None, "f": "nan"}}
    assert json.loads(json_text(given)) == {"a": [1.5, None, [None, 2]],
                                            "b": {"c": None, "d": True, "e": None, "f": "nan"}}


def test_all_commands_print_it_so():
    commands = sorted((Path(eventsim.__file__).parent / "cli").glob("*.py"))
    assert len(commands) > 15 and [path.name for path in commands if "json.dump" in path.read_text()] == []


@pytest.mark.parametrize("find, text", [
    (find_chip, '{"name": "a", "weight_bits": 4, "weight_bits": 8}'),
    (find_energy_table, '{"name": "a", "weight_bits": 4, "weight_bits": 4}')])
def test_a_record_with_a_key_twice_is_refused(tmp_path, find, text):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=r"record.json: cannot be read .*\(the key 'weight_bits' is there twice"):
        find(path)
