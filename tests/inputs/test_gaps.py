"""One wild time: refused in one line before hours of silence are run, wherever recordings are read."""

import numpy as np
import pytest
from command import assert_one_line

import eventsim
from eventsim import DataError, Dense, EventBins, EventStream, Input, Model, Neuron, Readout, Simulator
from eventsim.cli import main
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.preparing import DataOptions

HOUR = 3_600_000_000  # microseconds
TIMES = np.concatenate((np.arange(20) * 1000, [HOUR], 20_000 + np.arange(20) * 1000))
FOUND = (f"an event at t = {HOUR} us comes 3599.98 s after 19000 us, the newest time before it, and silence of "
         "at most")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(model, its path, path of a recording with a wild time)."""
    folder = tmp_path_factory.mktemp("gaps")
    bins = EventBins(1000.0, "one", sensor_size=(1, 3))
    nodes = {"in": Input((3,), bits=8, events=bins), "d": Dense(np.eye(3)), "n": Neuron(), "out": Readout()}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=None)
    eventsim.save(model, folder / "net.h5")
    np.savetxt(folder / "wild.csv", np.stack((TIMES, TIMES % 3, 0 * TIMES, 0 * TIMES + 1), 1), "%d", ",",
               header="t,x,y,p", comments="")
    return model, str(folder / "net.h5"), str(folder / "wild.csv")


def of(times, **options):
    return EventStream.from_numpy({"t": times, "x": times % 3, "y": 0 * times, "p": 0 * times + 1}, (1, 3),
                                  **options)


@pytest.mark.parametrize("at_once", (41, 7, 1))
def test_a_stream_ends_at_a_wild_time(files, at_once):
    """After the windows before it, however the blocks are cut."""
    blocks = [dict(t=t, x=t % 3, y=0 * t, p=0 * t + 1) for t in np.split(TIMES, range(at_once, 41, at_once))]
    stream, windows = Simulator(files[0]).stream(EventStream(lambda: iter(blocks), "cut"), "5ms"), []
    with pytest.raises(DataError,
                       match=f"^cut: {FOUND} 60 s is run: mend its time, or allow more .longest_gap, --lo"):
        windows.extend(stream)
    windows += stream
    assert [window.n_events for window in windows] == [5, 5, 5]  # of the fourth the newest event is within
    kept = Simulator(files[0]).stream(EventStream(lambda: iter(blocks), "cut"), "5ms", keep_going=True)
    assert [window.n_events for window in kept] == [5, 5, 5, 5]
    assert len(kept.source.notes) == 1 and kept.source.notes[0].startswith(FOUND)
    assert kept.source.notes[0].endswith("; what comes from there on is left out")


def test_a_longer_silence_is_run_where_it_is_asked_for(files):
    """By its length, which may be up to the limit; times that go back are no gap, nor is what is late."""
    for gap, longest in ((60_000_000, "1min"), (120_000_000, 120e6)):
        times = np.array([0, 1000, 1000 + gap, 2000])
        stream = Simulator(files[0]).stream(of(times), "30s", longest_gap=longest)
        assert sum(window.n_events for window in stream) == 3 and stream.summary.late_events == 1
        with pytest.raises(DataError, match=f"at t = {1000 + gap} us comes {gap // 10**6} s after 1000 us"):
            list(Simulator(files[0]).stream(of(times), "30s", longest_gap=gap - 1))
    with pytest.raises(DataError, match="an event at t = 61000000 us comes 61 s after 0 us"):
        list(Simulator(files[0]).stream(of(np.array([61_000_000]), start=0), "30s"))  # the start counts, too
    for wrong in ("soon", -1, None):
        with pytest.raises(DataError, match="longest_gap is "):
            DataOptions(longest_gap=wrong)


def test_a_data_set_refuses_a_wild_time_that_it_would_run(files):
    model, _, path = files
    node = model.nodes["in"]
    for timesteps, options in ((None, {}), (8, dict(split="time"))):
        with pytest.raises(DataError, match=FOUND):
            dataset = open_dataset(path, node, timesteps, **options)
            list(dataset.batches(1))
    assert open_dataset(path, node, 40).n_steps == 40  # what comes later is dropped
    assert open_dataset(path, node, 8, split="number").n_steps == 8
    assert open_dataset(path, node, None, keep_going=True).lengths.tolist() == [20]
    assert open_dataset(path, node, None, longest_gap="1h").lengths.tolist() == [HOUR // 1000 + 1]


def test_the_commands_say_it(files, capsys):
    _, net, path = files
    status = main(["run", net, path, "--whole"])
    assert_one_line(status, *capsys.readouterr(), f"{path}: {FOUND}", "--longest-gap TIME")
    assert main(["stream", net, path]) == 1
    out, err = capsys.readouterr()
    assert_one_line(1, "", err.splitlines(True)[-1], f"{path}: {FOUND}", "--longest-gap TIME")
    assert "1 window, 10 steps" in out
    assert main(["stream", net, path, "--keep-going", "--longest-gap", "2s"]) == 0
    assert "what comes from there on is left out" in capsys.readouterr().err
