"""JSON as it is printed: what any reader of JSON takes, whatever the numbers are."""

import json
from pathlib import Path

import eventsim
from eventsim.storage.json_fields import json_text


def test_what_is_not_finite_is_null():
    given = {"a": [1.5, float("nan"), (float("inf"), 2)], "b": {"c": -float("inf"), "d": True, "e": None, "f": "nan"}}
    assert json.loads(json_text(given)) == {"a": [1.5, None, [None, 2]],
                                            "b": {"c": None, "d": True, "e": None, "f": "nan"}}


def test_all_commands_print_it_so():
    commands = sorted((Path(eventsim.__file__).parent / "cli").glob("*.py"))
    assert len(commands) > 15 and [path.name for path in commands if "json.dump" in path.read_text()] == []
