"""Messages whose remedy works: what they say to do is done, and succeeds."""

import os
import zipfile

import numpy as np
import pytest
from support.command import assert_one_line

import eventsim
from eventsim.cli import main
from eventsim.storage.writing import write_file

MODEL = eventsim.Model({"in": eventsim.Input((4,)), "n": eventsim.Neuron()}, [("in", "n")], timesteps=2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    eventsim.save(MODEL, "net.h5")
    np.savez("test.npz", x=np.eye(4, dtype=np.uint8), y=np.arange(4))
    eventsim.evaluate(eventsim.Simulator(MODEL), "test.npz", out="run.h5")
    return tmp_path


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.ckpt", "net.onnx", "net.safetensors", "net.keras"])
@pytest.mark.parametrize("command", ["info", "run", "convert"])
def test_networks_of_other_tools_are_taken_over(run, folder, name, command):
    (folder / name).write_bytes(b"something else")
    words = {"info": [], "run": ["test.npz"], "convert": ["out.h5"]}[command]
    assert_one_line(*run(command, name, *words), name, "eventsim.from_torch(net, samples", "eventsim.save(model")


@pytest.mark.parametrize("name", ["net.h5", "net.nir"])
def test_a_torch_file_of_another_name_is_known(run, folder, name):
    (folder / name).unlink(missing_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80")
    assert_one_line(*run("info", name), "it is a torch file", "eventsim.from_torch(net, samples")


def test_archives_of_arrays_are_no_torch_files(run, folder):
    status, out, err = run("info", "test.npz")
    assert status == 1 and "from_torch" not in err and "a zip archive, as .npz files are" in err


@pytest.mark.parametrize("words", [("stats",), ("plot", "rates"), ("report",)])
@pytest.mark.parametrize("name", ["test.npz", "net.pt", "notes.txt"])
def test_what_is_no_run_is_not_called_damaged(run, folder, words, name):
    (folder / "notes.txt").write_text("notes")
    (folder / "net.pt").write_bytes(b"\x80weights")
    command, *others = words
    status, out, err = run(command, name, *others)
    assert_one_line(status, out, err, f"{name}: not a file of eventsim run --out")
    assert "damaged" not in err and "from_torch" not in err
    with pytest.raises(eventsim.DataError, match="not a file of eventsim run --out"):
        eventsim.open_run(name)


def test_tables_go_into_a_folder(run, folder):
    assert_one_line(*run("stats", "run.h5", "--csv", "layers.csv"), "--csv names a folder", "--csv layers")
    assert not (folder / "layers.csv").exists()
    (folder / "file").write_text("mine")
    assert_one_line(*run("stats", "run.h5", "--csv", "file"), "file: is a file, expected a folder")
    assert run("stats", "run.h5", "--csv", "tables")[0] == 0


@pytest.mark.parametrize("words, remedy", [
    (("run", "net.h5", "test.npz", "--out", "a.h5", "--record", "spikes,potentials"),
     "give --record spikes --record potentials"),
    (("stats", "run.h5", "--table", "layers,rates"), "give --table layers --table rates"),
    (("plot", "rates"), "RUN is missing: eventsim plot RUN rates"),
    (("plot", "run.h5"), "KIND is missing: there are "),
    (("run", "--model", "net.h5", "--data", "test.npz"), "there is no option --model: the file is given without one"),
    (("run", "net.h5", "test.npz", "--encode", "poison"), "did you mean 'poisson'?"),
    (("convert", "net.h5", "-"), "a model is not written to standard output"),
])
def test_remedies_point_the_right_way(folder, capsys, words, remedy):
    try:
        status = main(list(words))
    except SystemExit as left:
        status = left.code
    out, err = capsys.readouterr()
    assert status in (1, 2) and out == "" and err.count("\n") == 1 and remedy in err


def test_a_parent_folder_names_what_can_be_run(run, folder):
    (folder / "p" / "data").mkdir(parents=True)
    os.replace("test.npz", "p/data/test.npz")
    eventsim.save(MODEL, "p/data/a_model.h5")
    assert_one_line(*run("run", "net.h5", "p"), f"name one: {os.path.join('p', 'data', 'test.npz')}")
    assert run("run", "net.h5", os.path.join("p", "data", "test.npz"))[0] == 0


def test_folders_of_models_hold_no_recordings(run, folder):
    for name in "ab":
        (folder / "models" / name).mkdir(parents=True)
        eventsim.save(MODEL, f"models/{name}/net.h5")
    status, out, err = run("run", "net.h5", "models")
    assert status == 1 and "holds event recordings" not in err and "models: a folder with none of" in err


def test_a_folder_of_one_array_names_it(run, folder):
    (folder / "arrays").mkdir()
    np.save("arrays/x.npy", np.eye(4, dtype=np.uint8))
    assert_one_line(*run("run", "net.h5", "arrays"), "name one in it: " + os.path.join("arrays", "x.npy"))


@pytest.mark.parametrize("exists", [True, False])
def test_what_a_link_leads_to_is_written(folder, exists):
    (folder / "deep").mkdir()
    target, link = folder / "deep" / "file", folder / "link"
    if exists:
        target.write_text("old")
    link.symlink_to(target)
    write_file(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert os.listdir(folder / "deep") == ["file"]


def test_stream_is_quiet_or_verbose_as_others_are(run, folder):
    for flag in ("-q", "-v"):
        status, out, err = run("stream", "net.h5", "test.npz", flag)
        assert status == 1 and "its input is values" in err
