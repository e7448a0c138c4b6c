"""Tables: the same numbers as the statistics, whole and unharmed in CSV, JSON, NumPy and text."""

import csv
import io
import json

import numpy as np
import pytest

import made_runs
from eventsim.errors import DataError, RunError
from eventsim.report import tables
from eventsim.report.tables import Table, TABLES
from eventsim.runs.summary import RunSummary
from made_runs import healthy

MADE = healthy(n=16, class_names=("cat", "dog", "fish", "owl"))
FOUND = tables.tables(MADE)
HOSTILE = ['<script>"a"</script>', "comma, quote \" and\nline", "=SUM(1)", "ünï"]


@pytest.mark.parametrize("name", [name for name in TABLES if name != "findings"])
def test_every_table_is_filled_and_its_forms_agree(name):
    found = FOUND[name]
    n, columns = len(found), list(found.columns)
    assert n and columns and found.title
    assert set(found.units) >= {c for c in columns if c in ("rate", "share", "use")}

    as_json = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert as_json["columns"] == columns and len(as_json["rows"]) == n
    assert list(as_json["units"]) == columns

    [names, *cells] = csv.reader(io.StringIO(found.as_csv(), newline=""))
    assert names == columns and len(cells) == n
    assert found.as_csv().count("\r\n") == n + 1

    arrays = found.as_arrays()
    assert arrays.dtype.names == tuple(columns) and arrays.shape == (n,)
    for i in (0, n - 1):
        for column, cell, value in zip(columns, cells[i], as_json["rows"][i]):
            held = arrays[column][i]
            if value is None:
                assert cell == "" and np.isnan(held)
            elif isinstance(value, float):
                assert float(cell) == value == held
            else:
                assert cell == str(value) and held == value

    assert found.as_text().count("\n") == n + 2


def test_findings_are_a_table():
    broken = healthy(n=16, levels={"first": np.zeros((16, 8, 8, 6, 6), np.int64)})
    found = tables.table(broken, "findings")
    assert found.columns["kind"] == ["dead_layer"] and found.columns["severity"] == ["fault"]
    assert "findings" not in FOUND  # of a healthy run


def test_layers():
    arrays = FOUND["layers"].as_arrays()
    assert list(arrays["layer"]) == ["input", "first", "pool", "second", "readout"]
    assert list(arrays["kind"]) == ["Input", "Neuron", "MaxPool", "Neuron", "Readout"]
    trains = MADE.statistics.trains
    for row in arrays[:-1]:
        train = trains[row["layer"]]
        assert row["neurons"] == train.n_neurons and row["bits"] == train.bits
        assert row["rate"] == train.rate and row["silent_share"] == train.silent_share
        assert row["events"] == train.events.sum() / 16
        assert row["cv"] == pytest.approx(np.nanmean(train.cv), nan_ok=True)
    pool, readout = arrays[2], arrays[-1]
    assert np.isnan(pool["synops"]) and pool["rate"] > 0  # a pool has spikes, and no synapses
    assert np.isnan(readout["rate"]) and readout["synops"] == 40
    assert arrays["energy"][1] == 4e-8 and np.isnan(arrays["energy"][0])


def test_neurons_have_their_place():
    arrays = FOUND["neurons"].as_arrays()
    first = arrays[arrays["layer"] == "first"]
    assert len(first) == 8 * 6 * 6
    events = MADE.statistics.trains["first"].events.reshape(8, 6, 6)
    for row in first[[0, 7, 41, 287]]:
        assert events[row["c"], row["y"], row["x"]] == row["events"]
    second = arrays[arrays["layer"] == "second"]
    assert list(second["c"]) == list(range(40)) and set(second["y"]) == set(second["x"]) == {-1}


def test_a_line_of_channels_has_no_y():
    made = made_runs.run({"input": np.ones((2, 3, 2, 5), int)}, np.ones((2, 2)))
    arrays = tables.table(made, "neurons").as_arrays()
    assert list(arrays["c"]) == [0] * 5 + [1] * 5 and list(arrays["x"]) == 2 * list(range(5))
    assert set(arrays["y"]) == {-1}


def test_levels_and_planes():
    levels = FOUND["levels"].as_arrays()
    second = levels[levels["layer"] == "second"]
    train = MADE.statistics.trains["second"]
    assert list(second["level"]) == [0, 1, 2, 3] and second["count"].sum() == 16 * 8 * 40
    planes = FOUND["planes"].as_arrays()
    second = planes[planes["layer"] == "second"]
    assert list(second["worth"]) == [1, 2]
    assert (second["worth"] * second["set"]).sum() == (train.level_values * train.level_counts).sum()


def test_signed_planes_are_worth_negative_levels():
    made = healthy(n=16)
    values = np.random.default_rng(0).integers(-3, 4, (16, 8, 40))
    made.statistics.trains["second"] = made_runs.train(values, bits=2, signed=True)
    planes = tables.table(made, "planes", ["second"]).as_arrays()
    assert list(planes["worth"]) == [1, 2, -1, -2] and list(planes["bit"]) == [0, 1, 0, 1]
    assert (planes["worth"] * planes["set"]).sum() == values.sum()


def test_steps_and_samples():
    steps = FOUND["steps"].as_arrays()
    assert list(steps["step"]) == list(range(1, 9))
    assert steps["accuracy"][-1] == (MADE.predictions == MADE.labels).mean()
    trains = [MADE.statistics.trains[name] for name in ("first", "second")]  # neither the input nor the pool
    chances = sum(train.n_neurons * train.chances for train in trains)
    assert steps["rate"].mean() == pytest.approx(sum(train.events.sum() for train in trains) / chances)
    samples = FOUND["samples"].as_arrays()
    assert np.array_equal(samples["prediction"], MADE.predictions)
    assert np.array_equal(samples["correct"], MADE.predictions == MADE.labels)
    assert samples["events"].sum() == MADE.counts.total("events")


def test_classes_and_confusion():
    confusion = FOUND["confusion"].as_arrays()
    assert confusion["samples"].sum() == 16
    classes = FOUND["classes"].as_arrays()
    assert list(classes["class"]) == ["cat", "dog", "fish", "owl"]
    right = confusion["label"] == confusion["prediction"]
    assert confusion["samples"][right].sum() == (MADE.predictions == MADE.labels).sum()
    assert np.nansum(classes["recall"] * classes["samples"]) == pytest.approx(confusion["samples"][right].sum())


def test_rates_by_class():
    arrays = FOUND["class_rates"].as_arrays()
    assert set(arrays["layer"]) == {"input", "first", "second"}
    row = arrays[(arrays["layer"] == "first") & (arrays["class"] == "dog")]
    events = MADE.counts["first"]["events"][MADE.labels == 1]
    assert row["rate"] == pytest.approx(events.mean() / (8 * 6 * 6 * 8))


def test_some_layers_only():
    found = tables.tables(MADE, ["second", "first"])
    assert found["layers"].columns["layer"] == ["first", "second"]
    assert all(set(each.columns["layer"]) == {"first", "second"} for each in found.values())
    assert set(found) == set(FOUND) - WHOLE
    with pytest.raises(RunError, match="made.h5: no layer 'third'; there are: input, first, pool, second, "
                                       "readout"):
        tables.tables(MADE, ["third"])


WHOLE = {"run", "steps", "classes", "confusion", "samples"}  # tables of the network as a whole


@pytest.mark.parametrize("name", TABLES)
def test_a_table_refuses_layers_that_it_does_not_take(name):
    if name in WHOLE:
        with pytest.raises(DataError,
                           match=f"^layers is no argument of the table {name}, only of findings, layers"):
            tables.table(MADE, name, ["first"])
    else:
        assert set(tables.table(MADE, name, ["first"]).columns.get("layer", ())) <= {"first"}
        with pytest.raises(RunError, match="no layer 'third'"):
            tables.table(MADE, name, ["third"])


@pytest.mark.parametrize("only, layers", (
    ((), {"", "first"}), (["first"], {"", "first"}), (["second"], {""}), (["second", "first"], {"", "first"})))
def test_findings_about_the_network_stay_beside_those_of_a_layer(only, layers):
    broken = healthy(n=64, levels={"first": np.zeros((64, 8, 8, 6, 6), np.int64)}, output=np.eye(4)[[1] * 64])
    assert set(tables.table(broken, "findings", only).columns["layer"]) == layers


def test_real_valued_input_has_a_rate_and_a_readout_none():
    """There are no statistics of the values of such input; the counts know how many are not 0."""
    made = healthy(n=16)
    trains = made.statistics.trains
    rates = {name: train.rate for name, train in trains.items()}
    del trains["input"], trains["first"]
    layers = tables.table(made, "layers").as_arrays()
    assert list(layers["layer"]) == ["input", "first", "pool", "second", "readout"]
    assert np.allclose(layers["rate"], [*(rates[name] for name in ("input", "first", "pool", "second")), np.nan],
                       equal_nan=True)
    assert np.allclose(layers["sparsity"], 1 - layers["rate"], equal_nan=True)
    assert np.isnan(layers["silent_share"][:2]).all()


@pytest.mark.parametrize("name", ("steps", "rates"))
def test_tables_say_from_where_steps_are_counted(name):
    assert FOUND[name].columns["step"][0] == 1 and "counted from 1" in FOUND[name].title
    assert FOUND[name].as_json()["units"]["step"] == "counted from 1"


def test_unknown_tables_are_named():
    with pytest.raises(RunError, match="'spikes' is no table; there are: run, findings, layers"):
        tables.table(MADE, "spikes")


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_kept_as_it_is(text):
    found = Table({"name": [text, "b"], "n": np.array([1, 2])})
    cell = {"=SUM(1)": "'=SUM(1)"}.get(text, text)
    assert list(csv.reader(io.StringIO(found.as_csv(), newline="")))[1] == [cell, "1"]
    assert json.loads(json.dumps(found.as_json()))["rows"][0] == [text, 1]
    assert found.as_arrays()["name"][0] == text


def test_a_spreadsheet_finds_no_formula_and_nothing_steers_a_terminal():
    texts = ["=1+1", "+cmd|'/C calc'!A0", "-2+3", "@SUM(A1)", "\uff1dA1", "  =A1", "a\x1b[2J", "a\udcff"]
    plain = ["-5", "+3", "-1.5e-3", "a=1", "conv-1", "n@x"]
    found = Table({"name": texts + plain, "n": np.arange(-1.0, 13)})
    rows = list(csv.reader(io.StringIO(found.as_csv(), newline="")))[1:]
    assert [row[0] for row in rows] == [*("'" + text for text in texts[:6]), "a\\x1b[2J", "a\\xff", *plain]
    assert [row[1] for row in rows][:3] == ["-1.0", "0.0", "1.0"]


def test_undefined_numbers():
    found = Table({"x": np.array([1.0, np.nan, np.inf]), "y": [1, None, 3], "z": [True, False, True]})
    assert found.rows == [(1.0, 1, True), (None, None, False), (None, 3, True)]
    assert found.as_csv() == "x,y,z\r\n1.0,1,True\r\n,,False\r\n,3,True\r\n"
    assert found.as_arrays().dtype == [("x", "f8"), ("y", "f8"), ("z", "?")]
    assert found.as_text().splitlines()[3].split() == ["-", "-", "False"]


def test_an_empty_table():
    found = Table({})
    assert len(found) == 0 and found.rows == [] and found.as_csv() == "\r\n"
    assert found.as_arrays().shape == (0,)
    assert found.as_json()["rows"] == []


def test_long_tables_are_cut_for_people_only():
    found = Table({"n": np.arange(100)})
    assert found.as_text(10).endswith("... and 90 more rows: see --csv or --json\n")
    assert found.as_csv().count("\n") == 101


def test_a_run_without_statistics():
    made = healthy(n=16)
    made.statistics, made.labels, made.summary = type(made.statistics)(), None, RunSummary()
    found = tables.tables(made)
    assert set(found) == {"run", "layers", "samples"}
    assert list(found["samples"].columns)[:2] == ["sample", "prediction"]
