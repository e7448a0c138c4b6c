"""Recorded traces as the other side of a comparison: .npz, HDF5 and our own recordings."""

import dataclasses
import io
import zipfile

import h5py
import numpy as np
import pytest
from planted_changes import STEPS, VARIABLES, found, network, planted, samples
from raised import errors_of, raises_of
from recorded_traces import recorded, save

import eventsim
from eventsim import compare, Input, Model, Neuron, Simulator, Trace
from eventsim.comparison.traces import is_trace, open_trace
from eventsim.errors import DataError
from eventsim.model.chip import find_chip


def against(path, model=None, n=3, precision="float32", **options):
    with open_trace(path) as trace:
        return compare(Simulator(model or network(), precision), trace, samples(n), **options)


# ---- the same values, however they are held


@pytest.mark.parametrize("suffix", (".npz", ".h5"))
@pytest.mark.parametrize("form", ("slash", "dot", "plain", "flat", "single", "bool", "signed", "floats",
                                  "transposed"))
def test_equal_traces(tmp_path, suffix, form):
    arrays, _ = recorded()
    n = 3
    if form == "dot":
        arrays = {name.replace("/", "."): a for name, a in arrays.items()}
    elif form == "plain":
        arrays = {name.split("/")[0]: a for name, a in arrays.items() if name.endswith("spikes")}
    elif form == "flat":
        arrays = {name: a.reshape(3, STEPS, -1) for name, a in arrays.items()}
    elif form == "single":
        arrays, n = {name: a[0] for name, a in arrays.items()}, 1
    elif form == "transposed":
        arrays = {name: np.asfortranarray(a) for name, a in arrays.items()}
    elif form in ("bool", "signed", "floats"):
        kind = {"bool": bool, "signed": np.int64, "floats": np.float64}[form]
        arrays = {name: a.astype(kind) for name, a in arrays.items() if name.endswith("spikes")}
    comparison = against(save(tmp_path / f"trace{suffix}", arrays), n=n)
    assert comparison.equal and comparison.samples == n and comparison.steps == STEPS
    assert [layer.name for layer in comparison.layers] == ["n1", "n2", "n3"]
    assert comparison.unmatched == (["input", "pool", "readout"], [])
    assert comparison.arithmetic == ("float32", "trace") and comparison.equal_predictions is None


@pytest.mark.parametrize("suffix", (".npz", ".h5"))
@pytest.mark.parametrize("name", ("one threshold", "one weight of a convolution", "a kind of reset"))
def test_a_planted_change_is_found_in_a_trace(tmp_path, suffix, name):
    arrays, _ = recorded(planted(name))
    comparison = against(save(tmp_path / f"trace{suffix}", arrays))
    whole = compare(network(), planted(name), samples(3))
    assert found(comparison) == found(whole)
    for mine, other in zip(comparison.first.values, whole.first.values):
        assert mine == pytest.approx(other, rel=1e-6)
    assert "nothing before that the trace holds" in comparison.reading or "thresholds" in comparison.reading or (
        "potentials" in comparison.reading)


def test_one_flipped_spike_is_found():
    arrays, run = recorded()
    for at in ((0, 3, 2, 1, 4), (2, 11, 3, 5, 5), (1, 0, 0, 0, 0)):
        spikes = run.levels("n1").copy()
        spikes[at] ^= 1
        comparison = compare(network(), {"n1": spikes}, samples(3))
        first = comparison.first
        assert (first.sample, first.step, *first.position) == at and first.layer == "n1"
        assert first.values == (1 - spikes[at], spikes[at]) and comparison.divergent == 1
        a, b = first.decisions
        assert b is None and a.sent == 1 - spikes[at]


def test_potentials_of_a_trace_tell_the_cause():
    arrays, run = recorded()
    spikes, potentials = run.levels("n3").copy(), run.potentials("n3").copy()
    at = (1, 4, 2)
    spikes[at] ^= 1
    potentials[at] += 0.01
    comparison = compare(network(), {"n3": spikes, "n3.potentials": potentials}, samples(3))
    assert comparison.first.variable == "potentials" and comparison.first.step == 4
    assert comparison.first.values[1] - comparison.first.values[0] == pytest.approx(0.01, rel=1e-4)
    assert comparison.first.decisions[1].sent == spikes[at]
    assert comparison.first.decisions[1].margin == pytest.approx(float(potentials[at]) - 0.5)
    loose = compare(network(), {"n3": spikes, "n3.potentials": potentials}, samples(3), tolerance=0.02)
    assert loose.first.variable == "spikes"
    assert loose.first.decisions[1].potential == pytest.approx(float(potentials[at]))


def test_tolerance():
    _, run = recorded()
    trace = {"n1.potentials": run.potentials("n1") * (1 + 2e-5)}
    assert compare(network(), trace, samples(3)).equal
    assert not compare(network(), trace, samples(3), tolerance=0).equal
    assert not compare(network(), {"n1.potentials": run.potentials("n1") + 1e-3}, samples(3)).equal
    assert compare(network(), {"n1.potentials": run.potentials("n1") + 1e-3}, samples(3), tolerance=2e-3).equal
    comparison = compare(network(), {"n1.potentials": run.potentials("n1") + 1e-3}, samples(3), tolerance=2e-3)
    assert comparison.layers[0].drift["potentials"] == pytest.approx(1e-3, rel=1e-3)
    exact = {"readout.potentials": run.outputs[:, :, :]}
    assert compare(network(), exact, samples(3), tolerance=0).equal


@pytest.mark.parametrize("threshold", (0.01, 1.0, 100.0))
def test_a_tolerance_is_of_the_threshold_and_of_the_value(threshold):
    """1e-4 of each, of a membrane at half of the threshold."""
    model = Model({"in": Input((1,), scale=threshold / 2), "n": Neuron(v_threshold=threshold, leak=0.0)},
                  [("in", "n")], 2)
    x = np.ones((1, 2, 1), int)
    potentials = Simulator(model).run(x, record="potentials").potentials("n")
    for off, equal in ((1.4e-4, True), (1.6e-4, False)):
        assert compare(model, {"n/potentials": potentials + off * threshold}, x).equal is equal
        counted = np.round((potentials / threshold + off) * 1e5).astype(np.int32)  # against floats, as values are
        trace = Trace({"n/potentials": counted}, steps_per_unit={"n": np.array([1e5 / threshold])})
        assert compare(model, trace, x).equal is equal


def test_nothing_recorded_is_nan():
    arrays, run = recorded()
    potentials, spikes = run.potentials("n1").copy(), run.levels("n1").astype(float)
    potentials[0, 2] = spikes[1, 3:5] = np.nan
    assert compare(network(), {"n1.potentials": potentials, "n1": spikes}, samples(3)).equal
    spikes[1, 4, 0, 0, 0] = 3
    comparison = compare(network(), {"n1.potentials": potentials, "n1": spikes}, samples(3))
    assert found(comparison) == (1, 4, "n1", "spikes", 0)
    potentials[1, 4] = np.nan
    assert compare(network(), {"n1.potentials": potentials, "n1": spikes}, samples(3)).first.decisions[1] is None


def test_integers_are_state_steps_of_a_fixed_point_run():
    arrays, run = recorded(precision="int8")
    assert arrays["n2/potentials"].dtype == np.int32
    assert compare(Simulator(network(), "int8"), arrays, samples(3)).equal
    arrays["n2/potentials"][2, 7, 1, 0, 2] += 1  # compared exactly
    comparison = compare(Simulator(network(), "int8"), arrays, samples(3))
    assert found(comparison) == (2, 7, "n2", "potentials", 11)
    one, other = comparison.first.steps
    assert other == one + 1 and comparison.first.values[0] == one / run.steps_per_unit["n2"][1]
    units = {name: a / np.repeat(run.steps_per_unit[name.split("/")[0]], a[0, 0].size // len(
        run.steps_per_unit[name.split("/")[0]])).reshape(a.shape[2:]) if not name.endswith("spikes") else a
        for name, a in recorded(precision="int8")[0].items()}
    assert compare(Simulator(network(), "int8"), units, samples(3)).equal


def test_state_steps_with_gaps_are_floats():
    arrays, _ = recorded(precision="int8")
    potentials = arrays["n2/potentials"].astype(float)
    potentials[:, ::3] = np.nan
    arrays["n2/potentials"] = potentials
    assert compare(Simulator(network(), "int8"), arrays, samples(3)).equal
    potentials[2, 7, 1, 0, 2] += 1
    assert found(compare(Simulator(network(), "int8"), arrays, samples(3))) == (2, 7, "n2", "potentials", 11)


def test_integers_beside_floats_are_values():
    _, run = recorded(precision="float64")
    whole = Model({"x": Input((3,), bits=4), "n": Neuron(v_threshold=7.0, quantum=4.0)}, [("x", "n")], 4)
    x = np.random.default_rng(0).integers(0, 9, (2, 4, 3))
    potentials = Simulator(whole).run(x, record="potentials").potentials("n").astype(np.int16)
    assert compare(whole, {"n/potentials": potentials}, x).equal
    potentials[0, 1, 1] += 1
    first = compare(whole, {"n/potentials": potentials, "n": Simulator(whole).run(x).levels("n")}, x).first
    assert (first.step, first.neuron, first.variable) == (1, 1, "potentials") and first.steps == (None, None)
    assert first.decisions[1].threshold == 7


def test_fewer_samples_and_steps_than_the_data():
    arrays, _ = recorded()
    comparison = compare(network(), {name: a[:2, :5] for name, a in arrays.items()}, samples(3))
    assert comparison.equal and (comparison.samples, comparison.steps) == (2, 5)
    assert comparison.notes == ["the trace has 5 steps, the run 12: the fewer are compared",
                                "the trace has 2 samples: no more are compared"]


def test_a_long_trace_is_read_batch_by_batch(monkeypatch, tmp_path):
    from eventsim.comparison import divergence

    monkeypatch.setattr(divergence, "CELLS", 4000)
    arrays, _ = recorded(n=9)
    arrays["n3/spikes"][7, 11, 2] ^= 1
    for suffix in (".npz", ".h5"):
        comparison = against(save(tmp_path / f"t{suffix}", arrays), n=9)
        assert found(comparison) == (7, 11, "n3", "spikes", 2) and comparison.divergent == 1


def test_outputs_and_predictions():
    _, run = recorded()
    labels = run.predictions
    comparison = compare(network(), {"outputs": run.outputs, "more": np.zeros(2)}, samples(3), labels)
    assert comparison.equal and comparison.equal_predictions == 3 and comparison.accuracy == (1.0, 1.0)
    assert comparison.unmatched[1] == ["more"]
    outputs = run.outputs.copy()
    outputs[1, -1] = [9, 0, 0]
    outputs[1, -1, labels[1]] = -9
    comparison = compare(network(), {"readout/outputs": outputs}, samples(3), labels)
    assert found(comparison)[:4] == (1, STEPS - 1, "readout", "outputs") and comparison.changed_predictions == [1]
    given = compare(network(), {"n1": run.levels("n1"), "predictions": (labels + 1) % 3}, samples(3), labels)
    assert given.equal and given.equal_predictions == 0 and given.accuracy == (1.0, 0.0)
    for other in (np.zeros(2, int), np.zeros((3, 1), int), np.zeros(3)):
        odd = compare(network(), {"n1": run.levels("n1"), "predictions": other}, samples(3), labels)
        assert odd.equal_predictions is None and odd.accuracy == (1.0, None)
        assert odd.unmatched[1] == ["predictions"]


@pytest.mark.parametrize("precision", ("float32", "int8"))
def test_our_own_recordings(tmp_path, precision):
    path = tmp_path / "run.h5"
    for model, equal in ((network(), True), (planted("one threshold"), False)):
        recording = Simulator(model, precision).run(samples(3), record=(*VARIABLES, "outputs"))
        eventsim.save_run(recording, path, np.zeros(3, int))
        assert is_trace(path)
        comparison = against(path, precision=precision)
        whole = compare(Simulator(network(), precision), Simulator(model, precision), samples(3))
        assert comparison.equal is equal and found(comparison) == found(whole)
        assert comparison.equal_predictions == whole.equal_predictions
        assert comparison.unmatched == ([], [])
    if precision == "int8":  # its integers count in their own steps
        comparison = against(path, model=planted("one threshold"), precision="float64", variables="spikes")
        whole = compare(Simulator(planted("one threshold"), "float64"),
                        Simulator(planted("one threshold"), "int8"), samples(3))
        assert found(comparison) == found(whole)
        for mine, other in zip(comparison.layers, whole.layers):
            assert mine.drift == pytest.approx(other.drift)


CHIP = dataclasses.replace(find_chip("loihi"), name="mine", comparison=None)


@pytest.mark.parametrize("a", ({"precision": "float64"}, {"precision": "int8"}, {"chip": "loihi"}))
@pytest.mark.parametrize("b, name", [({"precision": "float32"}, "float32"), ({"precision": "int8"}, "int8"),
                                     ({"chip": "loihi"}, "chip loihi"), ({"chip": CHIP}, "chip mine")])
def test_a_run_of_another_arithmetic_is_judged_as_the_run_itself(tmp_path, a, b, name):
    """By its spikes alone, and by what rounding gives in its arithmetic, where that is known."""
    a, b = Simulator(network(), **a), Simulator(network(), **b)
    eventsim.save_run(b.run(samples(9), record=(*VARIABLES, "outputs")), tmp_path / "run.h5")
    with open_trace(tmp_path / "run.h5") as trace:
        comparison = compare(a, trace, samples(9))
    direct = compare(a, b, samples(9))
    assert comparison.arithmetic == (direct.arithmetic[0], f"run, {name}") and direct.arithmetic[1] == name
    assert (comparison.decides, comparison.divergent) == (direct.decides, direct.divergent)
    assert found(comparison) == found(direct)
    if not direct.equal and "mine" in name:
        assert "what rounding gives in B (run, chip mine) is not known here" in comparison.reading
    elif not direct.equal and direct.decides == ("spikes",):
        assert comparison.first.decisions == direct.first.decisions
        assert comparison.reading.split(";")[0] == direct.reading.split(";")[0]


ANOTHER = Model({"input": network().nodes["input"], "n1": Neuron(), "z": Neuron()},
                [("input", "n1"), ("n1", "z")], STEPS)
LACKING = r"--record {0} .in Python record='{0}'."


@pytest.mark.parametrize("model, record, variables, message", [
    (network(), "potentials", None, "holds potentials of A's layers, but no spikes to decide by: run it again, "
     f"with {LACKING.format('spikes')}, or let others decide .--variables potentials"),
    (network(), ("spikes", "outputs"), ("residuals", "currents"), "but no currents and no residuals to decide by: "
     r"run it again, with --record currents --record residuals .in Python record=.'currents', 'residuals'.."),
    (network(), (), None, r"is of a run that recorded no values of A's layers .input, n1, .*, to decide by: run "
     f"A's model again, with {LACKING.format('spikes')}$"),
    (network(), (), "potentials", f"run A's model again, with {LACKING.format('potentials')}$"),
    (ANOTHER, ("spikes:z", "potentials:z"), None, "holds values of z, not of A's layers .input, n1, .*, to decide "
     f"by: run A's model again, with {LACKING.format('spikes')}$"),
    (ANOTHER, "spikes:n1", None, r"'n1/spikes' has shape \(3, 12, 2, 6, 6\), expected \(N, T, 4, 6, 6\): it is a "
     "run of another network, compare it with that network's model$"),
])
def test_a_run_without_what_decides_says_what_to_record(tmp_path, model, record, variables, message):
    """Of its file and of the recording, whose arrays are not the user's to name; of a trace no option of ours."""
    recording = Simulator(model, "int8").run(samples(3), record=record)
    eventsim.save_run(recording, tmp_path / "run.h5")
    for side in (tmp_path / "run.h5", recording):
        with pytest.raises(DataError, match=message) as error:
            compare(network(), side, samples(3), variables=variables)
        assert "name its arrays" not in str(error.value)
    with pytest.raises(DataError, match="but no spikes to decide by: record them, too, or let others decide"):
        compare(network(), {"n3/potentials": np.zeros((3, STEPS, 8))}, samples(3), variables="spikes")


def test_axes_of_our_own_recordings_are_not_exchanged():
    """As many samples as the data has steps are samples."""
    recording = Simulator(network()).run(samples(12)[:, :6], 6)
    for n in (6, 20):
        comparison = compare(network(), recording, samples(n))
        assert comparison.equal and comparison.samples == min(n, 12)
        assert comparison.notes[0] == "the trace has 6 steps, the run 12: the fewer are compared"
        assert not any("swapaxes" in note for note in comparison.notes)


@pytest.mark.parametrize("given", ({"name": 3}, {"precision": 8}, {"chip": CHIP}, {"class_names": 3},
                                   {"steps_per_unit": 3}, {"arrays": 3}))
def test_wrong_arguments_of_a_trace(given):
    with pytest.raises(DataError, match=f"^{next(iter(given))} is .*, expected "):
        Trace(**{"arrays": {}, **given})


def test_our_own_recordings_of_levels(tmp_path):
    """Multi-bit and signed levels, of a flattened layer too."""
    from small_networks import small_networks

    for name in ("signed", "eight bits scalar", "flattened current", "ends in spikes"):
        model, x = small_networks()[name]
        eventsim.save_run(Simulator(model).run(x), tmp_path / "run.h5")
        with open_trace(tmp_path / "run.h5") as trace:
            assert compare(model, trace, x).equal


def test_is_trace(tmp_path):
    model, npz, h5 = tmp_path / "net.h5", tmp_path / "a.bin", tmp_path / "b.bin"
    eventsim.save(network(), model)
    save(tmp_path / "a.npz", {"n1": np.zeros(3)}).rename(npz)
    save(tmp_path / "b.h5", {"n1": np.zeros(3)}).rename(h5)
    assert not is_trace(model) and is_trace(npz) and is_trace(h5)
    assert not is_trace(tmp_path / "missing") and not is_trace(tmp_path) and not is_trace("a\0b")


# ---- what goes wrong


def broken(tmp_path, arrays, suffix=".npz", change=None, **options):
    path = save(tmp_path / f"trace{suffix}", arrays)
    if change is not None:
        change(path)
    return against(path, **options)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-400])


def _spoil(path):
    """Damage in the middle of the packed data."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


def _own(change):
    def make(path):
        eventsim.save_run(Simulator(network()).run(samples(3)), path)
        with h5py.File(path, "r+") as file:
            change(file)

    return make


def _planes(name, value):
    def change(file):
        file["spikes/n1/planes"].attrs[name] = value

    return _own(change)


def _without(name):
    def change(file):
        del file["spikes/n1/planes"].attrs[name]

    return _own(change)


def _deep(path):
    with h5py.File(path, "w") as file:
        file["/".join("abcdefghij")] = 1


N1 = np.zeros((3, STEPS, 4, 6, 6), np.uint8)
CASES = [
    (lambda p: broken(p, {"n1": N1[:, :, :3]}),
     r"trace.npz: 'n1' has shape \(3, 12, 3, 6, 6\), expected \(N, T, 4, 6, 6\) or \(N, T, 144\), or the same"),
    (lambda p: broken(p, {"n1": N1[:, 0, 0, 0]}), r"'n1' has shape \(3, 6\), expected"),
    (lambda p: broken(p, {"n1": N1[:0]}), r"'n1' has shape \(0, 12"),
    (lambda p: broken(p, {"n1": N1, "n3": N1[:2, :, :2, :2, :2].reshape(2, STEPS, 8)}),
     r"'n3' has 2 samples of 12 steps, but 'n1' has 3 of 12"),
    (lambda p: broken(p, {"n1": N1 + 0.5}), "trace.npz: 'n1' has fractional values; spikes are whole levels"),
    (lambda p: broken(p, {"n1": np.where(N1, N1, np.inf)}),
     "trace.npz: 'n1' has infinite values; spikes are whole levels"),
    (lambda p: broken(p, {"n1": N1.astype(complex)}), "n1 holds elements of type complex128, expected numbers"),
    (lambda p: broken(p, {"n1": N1.astype(complex)}, ".h5"), "'n1' holds elements of type .*, expected numbers"),
    (lambda p: compare(network(), {"n1": N1.astype("U1")}, samples(3)),
     "'n1' holds elements of type <U1, expected"),
    (lambda p: broken(p, {"N1": N1}),
     r"holds \['N1'\], nothing of A's layers .* name its arrays like 'input/spikes'"),
    (lambda p: broken(p, {}), r"holds \[\], nothing of A's layers"),
    (lambda p: broken(p, {"n1": N1}, variables="outputs"),
     "holds spikes of A's layers, but no outputs to decide by"),
    (lambda p: broken(p, {"n1": N1}, change=_truncate), "trace.npz: .*(damaged|not an HDF5|unreadable)"),
    (lambda p: broken(p, {"n1": samples(3, 2)[:, :, :1].repeat(4, axis=2)}, change=_spoil), "trace.npz: "),
    (lambda p: broken(p, {"n1": N1}, ".h5", change=_truncate), "trace.h5: damaged, truncated"),
    (lambda p: broken(p, {}, ".h5", change=_deep), "holds more than 10000 arrays, or 8 groups inside each other"),
    (lambda p: broken(p, {f"a{i}": np.zeros(0) for i in range(10_001)}), "holds more than 10000 arrays"),
    (lambda p: broken(p, {}, ".h5", change=_planes("bits", 3)), "'planes' has shape .* its attributes do not fit"),
    (lambda p: broken(p, {}, ".h5", change=_planes("bits", 0.5)), "has no attribute 'bits' of whole numbers"),
    (lambda p: broken(p, {}, ".h5", change=_planes("shape", np.arange(9))),
     "no attribute 'shape' of whole numbers"),
    (lambda p: broken(p, {}, ".h5", change=_without("signed")), "has no attribute 'signed' of whole numbers"),
    (lambda p: broken(p, {"n1": N1}, change=lambda path: path.unlink()), "trace.npz: cannot be read|No such file"),
    (lambda p: broken(p, {"n1": N1, "lengths": np.array([1, 12])}),
     "trace.npz: 'lengths' has shape .2,. and type int64"),
    (lambda p: _cut_short(p), "'n1' is truncated"),
    (lambda p: broken(p, {"n1": N1.swapaxes(0, 1)}),
     "'n1' has 12 samples of 3 steps, and the data 3 of 12: samples and steps exchanged"),
    (lambda p: broken(p, {}, change=_of_torch), r"a zip archive without arrays \(.npy\); it seems to be a torch file"),
    (lambda p: compare(network(), {"n1": [[1], [1, 2]]}, samples(3)), "arrays has 'n1': .*, which is no array"),
]


def test_members_that_hold_more_than_their_shape_are_refused(tmp_path):
    """Whose shape is wrong, then, and with it what is compared."""
    header = io.BytesIO()
    np.save(header, N1)
    with zipfile.ZipFile(tmp_path / "trace.npz", "w") as archive:
        archive.writestr("n1.npy", header.getvalue() + bytes(8))
    with pytest.raises(DataError, match=rf"trace.npz: n1 has {N1.nbytes + 8} bytes, but shape .* takes {N1.nbytes}"):
        against(tmp_path / "trace.npz")


def _of_torch(path):
    """A zip archive as torch saves it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")
        archive.writestr("archive/data/0", b"")


def _cut_short(tmp_path):
    """A member whose stream ends before its header says."""
    from unittest import mock

    path = save(tmp_path / "trace.npz", {"n1": N1})
    with open_trace(path) as trace, mock.patch.object(type(trace.arrays["n1"]), "_open", _empty):
        compare(network(), trace, samples(3))


def _empty(self):
    import io

    self._file, self._next = io.BytesIO(b""), 0


@pytest.mark.parametrize("case", range(len(CASES)))
def test_message(tmp_path, case):
    function, message = CASES[case]
    with pytest.raises(DataError, match=message) as error:
        function(tmp_path)
    assert "\n" not in str(error.value)


def test_every_raise_has_a_case(tmp_path):
    reached = set()
    for i, (function, _) in enumerate(CASES):
        (tmp_path / f"{i}").mkdir()
        for error in errors_of(lambda: function(tmp_path / f"{i}")):
            trace = error.__traceback__
            while trace is not None:
                reached.add((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
                trace = trace.tb_next
    path, lines = raises_of("comparison.traces")
    missing = [first for first, last in lines
               if not any((path, line) in reached for line in range(first, last + 1))]
    assert not missing


def test_links_are_not_followed(tmp_path):
    path = tmp_path / "trace.h5"
    with h5py.File(path, "w") as file:
        file["n1"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(DataError, match="external link"):
        against(path)


def test_a_trace_is_public():
    arrays, _ = recorded()
    assert compare(network(), Trace(arrays), samples(3)).equal


def test_names_keep_their_capitals():
    names = {"n1": "N1", "conv1": "Conv1"}
    model = network()
    upper = Model({names.get(n, n): node for n, node in model.nodes.items()},
                  [(names.get(s, s), names.get(t, t), d) for s, t, d in model.edges], STEPS)
    spikes = Simulator(model).run(samples(2)).levels("n1").copy()
    spikes[0, 5, 1, 2, 2] ^= 1
    reading = compare(upper, {"N1": spikes}, samples(2)).reading
    assert "The spikes of 'N1' differ by 1" in reading and "Look at weights and biases of 'Conv1'" in reading
    assert "A's potential is" in reading and "the threshold" in reading


# ---- numbers that are not finite

HUGE = Model({"in": Input((1,), bits=8), "w": eventsim.Dense([[3e38], [-3e38], [1.0]]),
              "n": Neuron(bits=[1, 2, 3])},
             [("in", "w"), ("w", "n")], 2)
X = np.array([[255]])
# what a trace holds where float32 has (inf, -inf, 255), and whether that differs, within any tolerance
INFINITE = {
    "the same": ((np.inf, -np.inf, 255), True),
    "the other sign": ((-np.inf, -np.inf, 255), False),
    "zeros": ((0, 0, 255), False),
    "the largest number": ((3.4e38, -3.4e38, 255), False),
    "infinite where it is not": ((np.inf, -np.inf, np.inf), False),
    "nothing recorded": ((np.nan, np.nan, 255), True),
}


@pytest.mark.parametrize("tolerance", (None, 0, 1e38))
@pytest.mark.parametrize("case", INFINITE)
def test_infinite_values_of_a_trace(case, tolerance):
    values, equal = INFINITE[case]
    comparison = compare(HUGE, {"n.potentials": np.array([[values]])}, X, timesteps=1, tolerance=tolerance)
    assert comparison.equal == equal
    assert equal or "numbers grew beyond what the arithmetic holds" in comparison.reading
    assert equal or comparison.first.variable == "potentials"


def test_runs_that_overflow():
    """NaN of a run is a value, equal to itself and to no number."""
    both = compare(HUGE, Simulator(HUGE), X)
    assert both.equal and both.divergent == 0
    potentials = Simulator(HUGE).run(X, record="potentials").potentials("n")
    turned = Model({**HUGE.nodes, "w": eventsim.Dense([[3e38], [3e38], [1.0]])}, HUGE.edges, 2)
    assert found(compare(HUGE, turned, X, tolerance=1.0))[:3] == (0, 0, "n")
    wide = compare(HUGE, Simulator(HUGE, "float64"), X, variables=("potentials",))
    assert wide.first.values[0] == np.inf and wide.first.values[1] == pytest.approx(3e38 * 255)
    assert np.isinf(potentials[0, 0, 0]) and wide.as_json()["first"]["values"][0] == "inf"
    forgets = Model({"in": Input((2,)), "d": eventsim.Dense([[3e38, 3e38]]), "n": Neuron(leak=0.0, reset="none")},
                    [("in", "d"), ("d", "n")])
    runs = Simulator(forgets, "float64"), Simulator(forgets)  # 6e38, 0 and inf, nan
    assert compare(*runs, [[[1, 1], [0, 0]]], variables="potentials").layers[-1].spread == [1.0, 1.0]


@pytest.mark.parametrize("labels", (5, [[1]], ["a"], [np.nan], [0.5]))
def test_labels_that_are_none(labels):
    with pytest.raises(DataError, match="^labels has "):
        compare(HUGE, Simulator(HUGE), X, labels)
