"""What is wrong with a recording is said in one line with what mends it, wherever the recording is read."""

import re

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import EventBins, EventStream, Input, Model, Neuron, Simulator
from eventsim.cli import main
from eventsim.errors import DataError
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.event_files.options import EventOptions
from eventsim.inputs.live import event_stream

ROWS = [(5, 1, 4, 1), (7, 3, 2, 0)]  # in no other order of columns do times not fall
COLUMNS = {key: np.array(column) for key, column in zip("txyp", zip(*ROWS))}


def rows_of(path):
    return [event.item() for event in eventsim.open_events(path).read()]


def refused(path, match):
    with pytest.raises(DataError, match=match) as caught:
        rows_of(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_the_place_of_a_bad_time_is_of_the_file(tmp_path):
    """Not of the block of 65,536 events in which it is read."""
    t = np.arange(70_000) * 1e-6
    t[69_999] = np.nan
    np.savez(tmp_path / "a.npz", t=t, x=0 * t, y=0 * t, p=0 * t + 1)
    refused(tmp_path / "a.npz", r"t has values that are no microseconds .*: nan at \[69999\]")
    blocks = [{"t": [0.0, 1.0], "x": [0, 0], "y": [0, 0], "p": [1, 1]}, {"t": [np.inf], "x": [0], "y": [0], "p": [1]}]
    with pytest.raises(DataError, match=r": inf at \[2\]"):
        EventStream(blocks).read()


@pytest.mark.parametrize("text", ["t,x,y,p\n5,1,4,True\n7,3,2,False\n", ",t,x,y,p\n0,5,1,4,TRUE\n1,7,3,2,false\n",
                                  "5 1 4 true\n7 3 2 False\n", "x,y,t_us,on\n1,4,5,true\n3,2,7,0\n"])
def test_polarities_of_true_and_false_are_read(tmp_path, text):
    """As pandas writes those of Tonic."""
    (tmp_path / "a.csv").write_text(text)
    assert rows_of(tmp_path / "a.csv") == ROWS
    (tmp_path / "a.csv").write_text(text.replace("3", "True"))
    refused(tmp_path / "a.csv", "line . is '.*True.*', expected . fields parted by|order cannot be told")


@pytest.mark.parametrize("keep_going", (False, True))
def test_a_truncated_npz_is_damaged_wherever_it_is_opened(tmp_path, keep_going):
    path = tmp_path / "a.npz"
    np.savez(path, **COLUMNS)
    path.write_bytes(path.read_bytes()[:-30])
    message = f"^{path}: cannot be read, damaged or truncated .File is not a zip file"
    node = Input((2, 10, 20), bits=8, events=EventBins(1000, sensor_size=(10, 20)))
    for opened in (lambda: eventsim.open_events(path, keep_going=keep_going),
                   lambda: event_stream(str(path), EventOptions(keep_going=keep_going)),
                   lambda: open_dataset(path, node, 2, keep_going=keep_going)):
        with pytest.raises(DataError, match=message):
            opened()


@pytest.mark.parametrize("size", (None, (3, 4)))
def test_an_event_outside_the_sensor_is_damage_whoever_says_its_size(tmp_path, size):
    """The user, or nobody but the model."""
    np.savez(tmp_path / "a.npz", t=[0, 100, 1200, 2300], x=[0, 3, 4, 1], y=[0, 2, 1, 1], p=[1, 1, 1, 1])
    bins = EventBins(1000, "one", sensor_size=(3, 4))
    model = Model({"in": Input((12,), bits=8, events=bins), "n": Neuron()}, [("in", "n")], 3)
    opened = {
        "dataset": lambda **options: next(open_dataset(tmp_path / "a.npz", model.nodes["in"], 3, sensor_size=size,
                                                       **options).batches(1))[0].sum(),
        "stream": lambda **options: sum(window.n_events for window in Simulator(model).stream(
            tmp_path / "a.npz", "1ms", sensor_size=size, **options)),
    }
    for n_events in opened.values():
        with pytest.raises(DataError, match="an event is at x = 4, y = 1, outside the sensor of 4 x 3 pixels: give "
                           "its sensor's size .*--sensor-size HxW.*--crop.*--keep-going"):
            n_events()
        assert n_events(keep_going=True) == 2
    dataset = open_dataset(tmp_path / "a.npz", model.nodes["in"], 3, sensor_size=size, keep_going=True)
    list(dataset.batches(1))
    assert any(text.startswith("damaged: an event is at x = 4") for text in dataset.notes)


def test_events_that_share_a_pixel_and_a_step_are_told_the_remedy(tmp_path):
    np.savez(tmp_path / "a.npz", t=[0, 100], x=[1, 1], y=[0, 0], p=[1, 1])
    bins = EventBins(1000, "one", sensor_size=(1, 2))
    remedy = (r"x has values up to 2 but the model's input has 1 bit \(0 to 1\); where events share a pixel and a "
              "step, coincident='merge' makes them one$")
    with pytest.raises(DataError, match=remedy):
        list(open_dataset(tmp_path / "a.npz", Input((2,), events=bins), 1).batches(1))


@pytest.mark.parametrize("code, name", [(32001, " (blosc)"), (36559, " (ECF)"), (31000, "")])
def test_a_filter_of_hdf5_that_is_no_part_of_it_is_named(tmp_path, code, name):
    """DSEC and Prophesee pack their official files so. The data of the chunks does not matter."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for key in "xyp":
            file[f"events/{key}"] = COLUMNS[key]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((10,))
        properties.set_filter(code, h5py.h5z.FLAG_OPTIONAL)
        h5py.h5d.create(file["events"].id, b"t", h5py.h5t.NATIVE_INT64, h5py.h5s.create_simple((10,)), properties)
    refused(path, f"'t' is packed with HDF5 filter {code}{re.escape(name)}, expected gzip, .*: repack it where the "
                  "filter is installed, h5repack -f GZIP=4 IN OUT, or by h5py and hdf5plugin")


def test_another_width_of_steps_of_a_native_file_is_told(tmp_path, capsys):
    bins = EventBins(1000, "one", sensor_size=(1, 2))
    eventsim.save(Model({"in": Input((2,), events=bins), "n": Neuron()}, [("in", "n")], 1), tmp_path / "net.h5")
    (tmp_path / "a.csv").write_text("t,x,y,p\n5,1,0,1\n")
    files = [str(tmp_path / "net.h5"), str(tmp_path / "a.csv")]
    assert main(["stream", *files, "--bin-width", "500"]) != 0
    assert capsys.readouterr().err.strip().endswith("leave it out; another width of steps is --step TIME")
    assert main(["stream", *files, "--step", "500us"]) == 0
