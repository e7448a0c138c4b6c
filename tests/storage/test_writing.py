"""Files appear whole or not at all, whatever the disk refuses and whoever ends the process."""

import errno
import json
import os
import re
import signal
import subprocess

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import Dense, Input, Model, Neuron
from eventsim.cli import main
from eventsim.errors import DataError, FormatError
from eventsim.runs import evaluating
from eventsim.storage import writing
from eventsim.storage.hdf5_writing import GrowingHdf5, LARGEST_CHUNK, write_array, write_texts
from support.command import DATA, MODEL
from support.processes import python

OLD = b"what stood here before"
SIGNALS = {signal.SIGTERM: (143, "terminated"), signal.SIGHUP: (129, "terminal was closed"),
           signal.SIGINT: (130, "interrupted")}


@pytest.fixture
def folder(tmp_path):
    """An empty folder with one file, out.h5."""
    made = tmp_path / "folder"
    made.mkdir()
    (made / "out.h5").write_bytes(OLD)
    return made


def only_old(folder):
    """Whether the folder is as it was."""
    return os.listdir(folder) == ["out.h5"] and (folder / "out.h5").read_bytes() == OLD


def save_model(path):
    weight = np.random.default_rng(0).random((8, 200))  # packed in a chunk
    eventsim.save(Model({"in": Input((200,)), "fc": Dense(weight), "n": Neuron(reset="hard")},
                        [("in", "fc"), ("fc", "n")]), path)


def save_growing(path):
    """A file whose datasets grow beyond what HDF5 keeps in memory."""
    rows = np.random.default_rng(0).integers(0, 1 << 62, (2, 6_000))
    with GrowingHdf5(path) as file:
        file.write_value("format", "test")
        for _ in range(3):
            file.append("rows", rows, {"shape": (1, 2)})
            file.append("small", np.arange(2))
        file.write_array("last", rows[0])
        file.finish()


class Failing:
    """Stands for a method, whose call number `n`, from 0, and all later ones do something else."""

    def __init__(self, method, n, instead):
        self.method, self.n, self.instead, self.calls = method, n, instead, 0

    def __call__(self, *arguments):
        self.calls += 1
        if self.calls > self.n:
            return self.instead(self.method, *arguments)
        return self.method(*arguments)


def full_disk(write, descriptor, content, offset):
    """A part of the bytes is still written at first, as disks do."""
    if len(content) > 100:
        return write(descriptor, content[:100], offset)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("save", (save_model, save_growing))
def test_a_disk_that_is_full_at_any_write_is_one_line(save, folder, monkeypatch):
    """HDF5 itself crashes where closing a file fails."""
    path, write, n, done = folder / "out.h5", os.pwrite, 0, False
    while not done:  # every write at first, later some
        monkeypatch.setattr(os, "pwrite", Failing(write, n, full_disk))
        try:
            save(path)
            done = True
        except (DataError, FormatError) as error:
            assert str(error) == f"{path}: cannot be written (No space left on device)"
            assert only_old(folder)
        n += 1 + n // 8
    assert n > 20
    with h5py.File(path) as file:
        assert "format" in file
    assert os.listdir(folder) == ["out.h5"]


@pytest.mark.parametrize("save", (save_model, save_growing))
def test_what_a_handler_of_signals_raises_waits_until_hdf5_has_written(save, folder, monkeypatch):
    """At any write."""
    path, write = folder / "out.h5", os.pwrite

    def interrupted(write, *arguments):
        if monkeypatch.written.calls == monkeypatch.written.n + 1:
            signal.raise_signal(signal.SIGINT)
        return write(*arguments)

    handler = signal.getsignal(signal.SIGINT)
    for n in (*range(8), *range(8, 24, 4)):
        monkeypatch.written = Failing(write, n, interrupted)
        monkeypatch.setattr(os, "pwrite", monkeypatch.written)
        with pytest.raises(KeyboardInterrupt):
            save(path)
        assert signal.getsignal(signal.SIGINT) is handler
        assert os.listdir(folder) == ["out.h5"]


# Runs commands, one a line of the input, under a limit of the size of files; prints what each of them left.
LIMITED = """
import io, json, os, resource, sys
from contextlib import redirect_stderr, redirect_stdout
from eventsim.cli import main
for line in sys.stdin:
    limit, folder, arguments = json.loads(line)
    out, err = io.StringIO(), io.StringIO()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    with redirect_stdout(out), redirect_stderr(err):
        status = main(arguments)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(json.dumps([status, out.getvalue(), err.getvalue(), sorted(os.listdir(folder))]), flush=True)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(run file, model that NIR can hold)."""
    folder = tmp_path_factory.mktemp("made")
    assert main(["run", MODEL, DATA, "--limit", "4", "--out", str(folder / "run.h5")]) == 0
    save_model(folder / "model.h5")
    return folder / "run.h5", folder / "model.h5"


def commands(made, out):
    """name of the file -> the command that writes it into the folder `out`."""
    run_file, model = made
    return {
        "out.h5": ("run", MODEL, DATA, "--limit", "32", "--detailed", "0", "--out", out / "out.h5"),
        "net.h5": ("convert", MODEL, out / "net.h5"),
        "net.nir": ("convert", model, out / "net.nir", "--out-dt", "1"),
        "t.npz": ("stats", run_file, "--npz", out / "t.npz"),
        "tables": ("stats", run_file, "--csv", out / "tables"),
    }


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 kB with nothing but out.h5, or None where one cannot be made."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", disk],
                                      capture_output=True).returncode:
        yield None
        return
    (disk / "out.h5").write_bytes(OLD)
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_every_command_under_a_limit_of_the_size_of_files_and_on_a_full_disk(made, folder, small_disk):
    calls = [(1000, folder, arguments, "File too large") for arguments in commands(made, folder).values()]
    if small_disk is not None:
        calls += [(None, small_disk, arguments, "No space left on device")
                  for arguments in commands(made, small_disk).values()]
    lines = [json.dumps([limit, str(where), [*map(str, arguments)]]) for limit, where, arguments, _ in calls]
    done = python("-c", LIMITED, input="\n".join(lines))
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    for (_, where, arguments, reason), line in zip(calls, done.stdout.splitlines(), strict=True):
        status, out, err, left = json.loads(line)
        assert (status, out, left) == (1, "", ["out.h5"]), (arguments, err)
        assert err.count("\n") == 1 and f"cannot be written ({reason})" in err and str(where) in err, err
        assert only_old(where)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_ends_a_run_leaves_nothing(number, folder, monkeypatch, capsys):
    add = evaluating.Writer.add

    def add_and_end(writer, *arguments):
        add(writer, *arguments)
        assert len(os.listdir(folder)) == 2
        os.kill(os.getpid(), number)

    monkeypatch.setattr(evaluating.Writer, "add", add_and_end)
    before = signal.getsignal(number)
    status, message = SIGNALS[number]
    assert main(["run", MODEL, DATA, "--limit", "4", "--out", str(folder / "out.h5")]) == status
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert only_old(folder)
    assert signal.getsignal(number) is before


def test_nohup_is_respected(folder, monkeypatch):
    """A run whose SIGHUP is ignored goes on."""
    monkeypatch.setattr(evaluating.Writer, "add", lambda *arguments: signal.raise_signal(signal.SIGHUP))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["run", MODEL, DATA, "--limit", "4", "--out", str(folder / "out.h5")]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def writing_child(path):
    """A process that is in the middle of writing `path`; returns its id."""
    ready, started = os.pipe()
    child = os.fork()
    if not child:
        try:
            with writing.NewFile(path) as file:
                file.write(b"half", 0)
                os.write(started, b"x")
                signal.pause()
        finally:
            os._exit(1)
    os.close(started)
    os.read(ready, 1)
    os.close(ready)
    return child


def test_what_a_killed_run_left_goes_with_the_next_of_the_same_file(folder):
    """And only that: not what a living one writes, of another file, or of another name."""
    path = folder / "out.h5"
    others = {".out.h5.0123456789ab.tmp.keep", ".out.h5.tmp", ".out.h5.0123456789AB.tmp",
              ".out_h5.0123456789ab.tmp"}
    for name in others:
        (folder / name).write_bytes(b"")
    living, killed = writing_child(path), writing_child(path)
    try:
        [first, second] = set(os.listdir(folder)) - others - {"out.h5"}
        writing.write_file(path, b"new")
        assert {first, second} < set(os.listdir(folder))
        os.kill(killed, signal.SIGKILL)
        os.waitpid(killed, 0)
        writing.write_file(folder / "other.h5", b"new")
        assert {first, second} < set(os.listdir(folder))
        writing.write_file(path, b"newer")
        assert len({first, second} & set(os.listdir(folder))) == 1
    finally:
        os.kill(living, signal.SIGKILL)
        os.waitpid(living, 0)
    save_model(path)
    assert set(os.listdir(folder)) == others | {"out.h5", "other.h5"}


def test_every_name_that_a_file_can_have_is_written(folder):
    (folder / "out.h5").unlink()
    for name in ("a" * 255, "é" * 127, "b" * 237):
        child = writing_child(folder / name)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert len(os.listdir(folder)) == 1
        writing.write_file(folder / name, b"new")
        assert os.listdir(folder) == [name]
        (folder / name).unlink()


def test_a_writer_whose_new_file_was_taken_for_a_leftover_makes_another(folder, monkeypatch):
    """Between its creation and its lock."""
    locked, taken = writing._locked, []

    def locked_late(descriptor):
        if not taken:
            [name] = set(os.listdir(folder)) - {"out.h5"}
            taken.append(name)
            writing._remove_leftover(folder / name)
        return locked(descriptor)

    monkeypatch.setattr(writing, "_locked", locked_late)
    writing.write_file(folder / "out.h5", b"new")
    assert taken and os.listdir(folder) == ["out.h5"] and (folder / "out.h5").read_bytes() == b"new"


@pytest.mark.parametrize("special, reason", [("folder", "Is a directory"), ("pipe", "no regular file"),
                                           ("link to a pipe", "no regular file")])
def test_what_is_no_file_is_never_replaced(special, reason, tmp_path):
    path = tmp_path / "out.h5"
    if special == "folder":
        path.mkdir()
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe") if special.startswith("link") else (tmp_path / "pipe").rename(path)
    kept = os.lstat(path)
    for save in (save_model, save_growing, lambda path: writing.write_file(path, b"")):
        with pytest.raises((DataError, FormatError), match=rf"out\.h5: cannot be written \(.*{reason}"):
            save(path)
    assert os.lstat(path) == kept


# ---- chunks


@pytest.mark.parametrize("shape", ((144, 96, 3, 3), (1, 300_000), (3, 1 << 21), (1000, 7, 1), (1, 2, 1 << 20),
                                   (5_000_003,), (4, 786_432), (3, 600_000), (5, 524_288)))
def test_weights_take_no_more_than_they_are(shape, tmp_path):
    """Chunks that reach far beyond an array would be packed and kept, too."""
    array = np.random.default_rng(0).standard_normal(shape, np.float32)
    with h5py.File(tmp_path / "weights.h5", "w") as file:
        write_array(file, "weight", array)
        dataset = file["weight"]
        assert dataset.id.get_storage_size() < array.nbytes
        assert np.prod(dataset.chunks) * array.itemsize <= LARGEST_CHUNK
        np.testing.assert_array_equal(dataset[...], array)


def test_long_texts_are_written_whole(tmp_path):
    with h5py.File(tmp_path / "texts.h5", "w") as file:
        write_texts(file, "texts", ["a" * (LARGEST_CHUNK + 1), "b"])
        assert [len(text) for text in file["texts"].asstr()[...]] == [LARGEST_CHUNK + 1, 1]


@pytest.mark.parametrize("name, message", (
    ("a.txt", "a.txt: a run is written as .h5, not '.txt'; name it a.h5"), ("a.PNG", "written as .h5, not '.png'"),
    ("-", "-: a run is not written to standard output, but into a file; give a name, such as out.h5"),
))
@pytest.mark.parametrize("write", ("save_run", "evaluate"))
def test_a_run_is_not_written_under_the_name_of_something_else(name, message, write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    simulator = eventsim.Simulator(Model({"in": Input((2,)), "n": Neuron()}, [("in", "n")]))
    with pytest.raises(DataError, match=re.escape(message)):
        if write == "save_run":
            eventsim.save_run(simulator.run(np.ones((1, 2), int)), name)
        else:
            eventsim.evaluate(simulator, np.ones((1, 2), int), out=name)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", ("a.h5", "a.hdf5", "a", "a.run", "v1.2"))
def test_a_run_is_written_under_any_other_name(name, tmp_path):
    simulator = eventsim.Simulator(Model({"in": Input((2,)), "n": Neuron()}, [("in", "n")]))
    eventsim.save_run(simulator.run(np.ones((1, 2), int)), tmp_path / name)
    with eventsim.open_run(tmp_path / name) as run:
        assert run.n_samples == 1
