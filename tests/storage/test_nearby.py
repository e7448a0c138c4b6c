"""Remedies for names that lead nowhere."""

import pytest

from eventsim.storage.nearby import remedy_of_folder, remedy_of_folderless, remedy_of_missing, what_is_held


@pytest.mark.parametrize("name, remedy", (
    ("net", ", did you mean {}/net.h5?"), ("net.hdf5", ", did you mean {}/net.h5?"),
    ("digist.npz", ", did you mean {}/digits.npz?"), ("nothing.h5", ""),
    ("none/net.h5", "; there is no folder {}/none"),
))
def test_missing(tmp_path, name, remedy):
    for there in ("net.h5", "digits.npz", ".net.h5.tmp"):
        (tmp_path / there).touch()
    assert remedy_of_missing(tmp_path / name) == remedy.format(tmp_path)


def test_folders(tmp_path):
    for i in range(6):
        (tmp_path / f"{i}.h5").touch()
    (tmp_path / "notes.txt").touch()
    (tmp_path / "7.h5").mkdir()
    shown = ", ".join(f"{tmp_path}/{i}.h5" for i in range(4))
    assert remedy_of_folder(tmp_path, lambda path: path.suffix == ".h5") == f"; name one in it: {shown}, ..."
    assert remedy_of_folder(tmp_path, lambda path: False) == ""
    assert remedy_of_folderless(tmp_path / "x") == "" and remedy_of_folderless(tmp_path / "no" / "x") != ""


@pytest.mark.parametrize("names, what", (
    (["x", "y"], "a data set"), (["nodes", "edges", "x"], "a model"), (["node"], "a NIR model"),
    (["layer", "simulation"], "a lava-dl model"), (["weights"], ""), ([], ""),
    (["counts", "summary"], "a run file, for stats, plot and report"),
))
def test_what_a_file_is(names, what):
    assert what_is_held(names) == what
