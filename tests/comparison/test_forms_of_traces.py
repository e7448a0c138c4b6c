"""Traces of another form than (N, T, ...), with values that were not recorded, and with arrays of other things."""

import zipfile

import numpy as np
import pytest
from planted_changes import network, samples, STEPS
from recorded_traces import recorded, save

import eventsim
from eventsim import compare, DataError, Simulator, Trace
from eventsim.cli import main
from eventsim.comparison.traces import open_trace

N = 3
LEVELS = recorded()[1].levels("n1")
OUTPUTS = recorded()[1].outputs


def compared(arrays, n=N, **options):
    return compare(network(), arrays, samples(n), **options)


def refused(arrays, n=N, **options):
    with pytest.raises(DataError) as error:
        compared(arrays, n, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---- what was not recorded


@pytest.mark.parametrize("names", (["n1"], ["n1/spikes", "n1/potentials"], ["outputs"]), ids="+".join)
def test_nothing_but_nan_is_nothing_recorded(names):
    whole = {"n1": LEVELS, "n1/spikes": LEVELS, "n1/potentials": LEVELS, "outputs": OUTPUTS}
    nans = {name: np.full(whole[name].shape, np.nan) for name in names}
    message = refused(nans)
    assert "has nothing but NaN, which is what was not recorded, in " in message and names[0] in message
    comparison = compared({**nans, "n3": recorded()[1].levels("n3")})
    assert comparison.equal and comparison.decides == ("spikes",)
    assert [layer.name for layer in comparison.layers] == ["n3"]
    assert all(any(repr(name) in note and "not compared" in note for note in comparison.notes) for name in names)


def test_how_many_values_were_compared_where_some_are_nan():
    levels = LEVELS.astype(float)
    levels[:, 4:] = np.nan
    comparison = compared({"n1": levels, "n3": recorded()[1].levels("n3")})
    size = LEVELS[0, 0].size
    assert comparison.equal
    assert comparison.notes == [
        f"NaN is what was not recorded: compared are {N * 4 * size} of {N * STEPS * size} spikes of 'n1'"]
    levels[1, 2] = 1 - levels[1, 2]  # the history of a divergence is read again, and not counted again
    assert compared({"n1": levels}).notes == comparison.notes
    potentials = recorded()[1].potentials("n1").copy()
    potentials[0, 0, 0, 0, 0] = np.nan
    [note] = compared({"n1/potentials": potentials}).notes
    assert f"{potentials.size - 1} of {potentials.size} potentials of 'n1'" in note
    assert not compared({"n1": LEVELS.astype(float)}).notes


def test_samples_of_which_nothing_is_recorded():
    """The trace has values, but not of what is compared."""
    levels = LEVELS.astype(float)
    levels[:2] = np.nan
    assert "all of the spikes that were to be compared are NaN" in refused({"n1": levels}, 2)
    assert compared({"n1": levels}).equal


# ---- other forms


@pytest.mark.parametrize("name", ("n1", "n1/spikes"))
@pytest.mark.parametrize("flat", (False, True))
def test_time_first(name, flat):
    exchanged = LEVELS.swapaxes(0, 1)
    message = refused({name: exchanged.reshape(STEPS, N, -1) if flat else exchanged})
    assert f"'{name}' has 12 samples of 3 steps, and the data 3 of 12: samples and steps exchanged?" in message
    assert message.endswith("expected (N, T, ...): array.swapaxes(0, 1)")
    assert "exchanged" in refused({name: exchanged[:, :1]})
    assert "exchanged" in refused({name: exchanged[:, :1]}, 1)


def test_as_many_samples_as_steps_may_be_time_first():
    """Of more data than that, it may also be a trace of some of them."""
    x = samples(20)
    levels = Simulator(network()).run(x).levels("n1")
    comparison = compare(network(), {"n1": levels[:STEPS, :5]}, x)
    assert comparison.equal and any("array.swapaxes(0, 1)" in note for note in comparison.notes)
    assert not any("swapaxes" in note for note in compare(network(), {"n1": levels[:STEPS]}, x).notes)
    assert not any("swapaxes" in note for note in compare(network(), {"n1": levels[:5, :7]}, x).notes)


def test_more_samples_than_the_data():
    comparison = compared({"n1": np.concatenate([LEVELS, LEVELS])})
    assert comparison.equal and comparison.notes == ["the trace has 6 samples, the data 3: the fewer are compared"]


@pytest.mark.parametrize("arrays", [{"outputs": OUTPUTS[:, -1]}, {"n1": LEVELS.sum(axis=1)},
                                    {"n1": LEVELS.sum(axis=1).reshape(N, -1)}], ids=("outputs", "counts", "flat"))
def test_one_value_for_each_sample(arrays):
    message = refused(arrays)
    assert "has 1 sample of 3 steps, and the data 3 of 12: one value for each sample" in message
    assert "expected those of every step, (N, T, ...)" in message and "'predictions'" in message
    [(name, values)] = arrays.items()
    message = refused({"n3": recorded()[1].levels("n3"), name: values})
    assert "has 1 sample of 3 steps, but " in message or "has 3 samples of 12 steps, but " in message
    if name == "outputs":
        assert "one value for each sample" in message
    assert compared({"n1": LEVELS[0]}, 1).equal and compared({"n1": LEVELS[0]}).samples == 1


def test_samples_and_steps_on_one_axis():
    message = refused({"n1": LEVELS.reshape(N * STEPS, -1)})
    assert "has 1 sample of 36 steps, and the data 3 of 12: samples and steps on one axis?" in message
    assert "array.reshape(3, 12, -1)" in message


def test_forms_on_the_command_line(tmp_path, capsys):
    model, data = tmp_path / "net.h5", tmp_path / "x.npz"
    eventsim.save(network(), model)
    np.savez(data, x=samples(8))
    levels = Simulator(network()).run(samples(8)).levels("n1")

    def diff(array, *options):
        path = save(tmp_path / "trace.npz", {"n1": array})
        status = main(["diff", str(model), str(path), str(data), *options])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    assert diff(levels)[0] == 0
    for array, options in ((levels.swapaxes(0, 1), ()), (levels[:3].swapaxes(0, 1), ("--limit", "3"))):
        status, _, error = diff(array, *options)
        assert status == 1 and "samples and steps exchanged?" in error and error.count("\n") == 1
    for array, options in ((levels.sum(axis=1), ()), (levels[:3].sum(axis=1), ("--limit", "3"))):
        status, _, error = diff(array, *options)
        assert status == 1 and "one value for each sample" in error
    status, _, error = diff(np.full(levels.shape, np.nan))
    assert status == 1 and "nothing but NaN" in error
    status, text, _ = diff(np.concatenate([levels, levels]))
    assert status == 0 and "the trace has 16 samples, the data 8: the fewer are compared" in text
    assert "the data" not in diff(levels, "--limit", "3")[1]


# ---- arrays of other things


OTHERS = {
    "text": np.array(["a", "b"]), "objects": np.array({"a": 1}, dtype=object),
    "dates": np.array(["2020"], "M8[s]"), "records": np.zeros(3, [("t", "i4"), ("x", "i2")]),
    "complex": np.zeros(3, complex), "long": np.zeros(3, np.longdouble), "scalar": np.array(1e-3),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_arrays_are_listed_until_they_are_used(tmp_path, name):
    path = tmp_path / "trace.npz"
    np.savez(path, n1=LEVELS, extra=OTHERS[name])
    comparison = compared(path)
    assert comparison.equal and comparison.unmatched[1] == ["extra"]
    np.savez(path, n1=LEVELS, predictions=OTHERS[name])
    assert compared(path).unmatched[1] == ["predictions"]
    if name != "scalar":
        np.savez(path, n1=OTHERS[name])
        assert "n1 holds elements of type " in refused(path) or "n1 has shape" in refused(path)


def test_damage_of_an_array_is_found_when_it_is_used(tmp_path):
    path = tmp_path / "trace.npz"
    np.savez(path, n1=LEVELS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("n3.npy", b"\x93NUMPY\x01\x00")
        archive.writestr("more.npy", b"nothing")
    assert "cannot be read, damaged or truncated" in refused(path)
    with open_trace(path) as trace:
        assert trace.unused() == ["n1", "n3", "more"]


def test_files_that_are_no_traces(tmp_path, capsys):
    model, data, other = (tmp_path / name for name in ("net.h5", "x.npz", "net.pt"))
    eventsim.save(network(), model)
    np.savez(data, x=samples(2))
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("net/data.pkl", b"")
    for sides in ((model, other), (other, model)):
        assert main(["diff", *map(str, (*sides, data))]) == 1
        error = capsys.readouterr().err
        assert "net.pt: a zip archive without arrays (.npy); it seems to be a torch file" in error
        assert "numpy.savez" in error and error.count("\n") == 1
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("notes.txt", b"")
    assert main(["diff", *map(str, (model, other, data))]) == 1
    error = capsys.readouterr().err
    assert "torch" not in error and "a zip archive without arrays (.npy); a trace is an .npz file" in error


def test_a_trace_can_be_compared_again():
    levels = np.full(LEVELS.shape, np.nan)
    trace = Trace({"n1": levels, "n3": recorded()[1].levels("n3")})
    notes = [compared(trace).notes for _ in range(3)]
    assert notes[0] == notes[1] == notes[2] and len(notes[0]) == 1
