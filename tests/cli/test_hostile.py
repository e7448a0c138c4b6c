"""What strangers' files and broken surroundings do to the command line: one line, the right status, no more."""

import io
import logging
import os
import shutil
import socket
import struct
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from command import DATA, MODEL, assert_one_line, data_file, digits
from processes import python

import eventsim
from eventsim import Input, Neuron, cli
from eventsim.cli import main
from eventsim.lowering import room
from eventsim.storage.json_fields import parse_json

ESCAPES = "\x1b]0;pwn\x07\x1b[2J\u202egnp.exe\nforged: 100 % correct\r\x9b"
NMNIST = Path(MODEL).with_name("nmnist.h5")
SHOWN = r"\x1b]0;pwn\x07\x1b[2J\u202egnp.exe\nforged: 100 % correct\r\x9b"


@pytest.fixture(scope="module")
def escapes(tmp_path_factory):
    """A model whose provenance steers a terminal, in a file whose name does and is no UTF-8."""
    path = tmp_path_factory.mktemp("hostile") / "a\x1b[31m\udcffb.h5"
    shutil.copy(MODEL, path)
    with h5py.File(path, "r+") as file:
        del file["provenance"]
        file["provenance"] = np.array([["note" + ESCAPES, ESCAPES]], dtype=h5py.string_dtype())
        del file["checksums"]
        file["version"][...] = 1
    return path


# ---- what is printed


def test_no_file_steers_a_terminal(run, escapes, tmp_path):
    status, out, err = run("info", escapes)
    assert status == 0 and err == ""
    assert f"note{SHOWN}: {SHOWN}\n" in out and "\\x1b[31m\\xffb.h5: 12 nodes" in out
    text = out + run("convert", escapes, tmp_path / "b.h5")[1]
    status, out, err = run("info", str(escapes) + "\x1b\u202e")
    assert status == 1 and "b.h5\\x1b\\u202e: cannot be read (No such file or directory), did you mean " in err
    with pytest.raises(SystemExit):
        main(["\x1b[2J\udcff"])
    archive = tmp_path / "x.npz"
    np.savez(archive, **{ESCAPES: np.zeros(3)})
    text += err + str(run("run", MODEL, archive)) + str(run("diff", MODEL, archive, DATA))
    assert all(c.isprintable() or c == "\n" for c in text)


def test_streams_of_little_code_take_all_names(escapes, monkeypatch):
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert main(["info", str(escapes)]) == 0
    ascii_only.seek(0)
    assert "\\x1b[31m\\xffb.h5: 12 nodes" in ascii_only.read()


def test_a_report_of_names_that_are_no_text(run, tmp_path):
    model, data, out = (tmp_path / f"{name}\udcfe\x1b.h5" for name in ("net", "x", "run"))
    eventsim.save(eventsim.Model({"in": Input((2,)), "out": Neuron()}, [("in", "out")]), model)
    data_file(data, np.ones((1, 2), np.uint8))
    assert run("run", model, data, "--out", out, "--detailed", 0)[0] == 0
    status, printed, err = run("report", out)
    assert status == 0 and err == "" and "run\\xfe\\x1b.html" in printed
    page = Path(str(out)[:-3] + ".html").read_text("utf-8")
    assert "net\\xfe\\x1b.h5" in page and "\x1b" not in page
    assert run("stats", out, "--csv", tmp_path / "csv")[0] == 0


# ---- where it is printed to


class Broken(io.StringIO):
    """Standard output of a closed file of Python."""

    def write(self, text):
        raise ValueError("I/O operation on closed file")


def test_what_cannot_be_printed_is_said_once(capsys, monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "w") as full, open(writer, "w") as unread:
        for stream, status, reason in ((full, 1, "No space left on device"), (None, 1, "it is closed"),
                                       (Broken(), 1, "it is closed"), (unread, 141, "")):
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", stream)
                assert main(["info", MODEL]) == status
            err = capsys.readouterr().err
            assert err == (f"eventsim: standard output: cannot be written ({reason})\n" if reason else "")
        monkeypatch.setattr(sys, "stderr", None)
        assert main(["info", "no such file"]) == 1
    # leaving the streams raised nothing: what could not be written was given up


def test_a_file_gets_the_number_of_no_standard_stream(tmp_path):
    code = ("import os, sys\nos.close(1), os.close(2)\nsys.stdout = sys.stderr = None\n"
            f"from eventsim.cli import main\nstatus = main(['convert', {MODEL!r}, 'out.h5'])\n"
            "os.write(1, b'x'), os.write(2, b'y')\nsys.exit(status)")
    done = python("-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert eventsim.load(tmp_path / "out.h5").provenance == eventsim.load(MODEL).provenance


def test_an_interrupt_is_one_line_from_the_first_import_on(run, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    for owner, name in ((cli, "parser"), (__import__("eventsim.formats").formats, "load")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, interrupted)
            assert run("info", MODEL) == (130, "", "eventsim: interrupted\n")
    monkeypatch.setitem(sys.modules, "eventsim.cli.guard", None)
    with pytest.raises(ImportError):
        main(["info", MODEL])


# ---- what is no file


@pytest.fixture
def special(tmp_path):
    """Paths of a pipe, a socket and a device."""
    os.mkfifo(tmp_path / "pipe.json")
    with socket.socket(socket.AF_UNIX) as listening:
        before = os.getcwd()
        os.chdir(tmp_path)  # names of sockets are short
        try:
            listening.bind("socket.json")
        finally:
            os.chdir(before)
        os.symlink("/dev/zero", tmp_path / "zero.json")
        yield [tmp_path / f"{name}.json" for name in ("pipe", "socket", "zero")]


def test_no_command_waits_for_a_pipe_or_reads_a_device(run, special, tmp_path):
    shutil.copy(MODEL, tmp_path / "net.h5")
    limited = ("run", MODEL, DATA, "--limit", 1)
    for path, kind in zip(special, ("a pipe (FIFO)", "a socket", "a device")):
        for arguments in (("info", path), ("run", MODEL, path), ("stats", path), ("diff", MODEL, path, DATA),
                          (*limited, "--energy", path), (*limited, "--chip", path)):
            assert_one_line(*run(*arguments), path, f"is {kind}, expected a file")
        os.symlink(path, path.with_suffix(".h5"))
        assert_one_line(*run(*limited, "--out", path.with_suffix(".h5")), f"{path.stem}.h5: is {kind}")
    assert_one_line(*run("convert", MODEL, tmp_path / "pipe.h5"), "pipe.h5", "is a pipe")
    digit = tmp_path / "recordings" / "3"
    digit.mkdir(parents=True)
    os.symlink(special[2], digit / "a.bin")
    assert_one_line(*run("run", NMNIST, tmp_path / "recordings"), "a.bin: is a device, expected a file")


# ---- what gave tracebacks


def test_names_that_no_file_has(run, tmp_path):
    for out in ("", ".", "a\0.h5"):
        assert_one_line(*run("run", MODEL, DATA, "--limit", 1, "--out", out), "is no name of a file to write")
    for command in (("convert", MODEL, "\0.h5"), ("plot", MODEL, "raster", "-o", "\0.png"),
                    ("stats", MODEL, "--csv", "\0"), ("stats", MODEL, "--npz", ""), ("report", MODEL, "-o", "")):
        assert_one_line(*run(*command), "is no name of a file to write")
    long = "a" * 5000
    for command in (("info", long), ("run", MODEL, long), ("run", MODEL, DATA, "--limit", 1, "--chip", long),
                    ("stats", long), ("diff", MODEL, f"{MODEL}@{long}", DATA),
                    ("diff", f"{long}@int8", MODEL, DATA)):
        assert run(*command)[0] == 1


def test_an_error_of_ours_says_so_and_keeps_its_traceback(run, monkeypatch, tmp_path):
    def fails(*arguments, **options):
        raise ZeroDivisionError("a \x1b[31m\nreason")

    monkeypatch.setattr(__import__("eventsim.formats").formats, "load", fails)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    status, out, err = run("info", MODEL)
    [path] = tmp_path.iterdir()
    assert (status, out) == (70, "")
    assert err == (r"eventsim: this is a bug in eventsim (ZeroDivisionError: a \x1b[31m\nreason): please report "
                   f"it, with {path}, which has the traceback, and the files that you gave\n")
    text = path.read_text()
    assert "in fails" in text and "\x1b" not in text and path.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    status, out, err = run("info", MODEL)
    assert status == 70 and err.count("\n") == 1 and "no traceback was kept" in err


def test_classes_that_no_number_holds(run, tmp_path):
    for name in ("12345678901234567890", str(1 << 31)):
        folder = tmp_path / name / "Test" / name
        folder.mkdir(parents=True)
        (folder / "a.bin").write_bytes(bytes(5))
        assert_one_line(*run("run", NMNIST, tmp_path / name), folder, "is named by no class")


def test_shapes_that_no_array_has(run, tmp_path):
    most = 2**32 - 1
    images = tmp_path / "images-idx3-ubyte"
    for shape in ((0, most, most), (most, 0, most, most), (1,) * 255, (most,) * 3):
        images.write_bytes(bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape))
        assert_one_line(*run("run", MODEL, images), images)
    x, _ = digits(2)
    images.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 2, 8, 8) + x.tobytes())
    array = tmp_path / "array.npy"
    np.save(array, x)
    array.write_bytes(array.read_bytes().replace(b"(2, 1, 8, 8)", b"(2,-1, 8, 8)"))
    assert_one_line(*run("run", MODEL, array), array, "declares an array of 4 axes (2, -1, 8, 8)")
    labels = tmp_path / "labels-idx1-ubyte"
    labels.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", 0, most, most))
    assert_one_line(*run("run", MODEL, images), labels, "declares an array of 3 axes (0, 4294967295, 4294967295)")
    archive = tmp_path / "x.npz"
    np.savez(archive, x=x, y=np.zeros(0))
    data = archive.read_bytes()
    assert data.count(b"'shape': (0,), }") == 1
    archive.write_bytes(data.replace(b"'shape': (0,), }" + b" " * 24,
                                     b"'shape': (0, 9223372036854775807, 9), }".ljust(40)))
    assert run("run", MODEL, archive)[0] == 1


def test_whole_numbers_that_no_float_holds(run, tmp_path):
    table = tmp_path / "table.json"
    table.write_text('{"name": "huge", "float_addition": {"32": ' + "9" * 401 + "}}")
    assert_one_line(*run("run", MODEL, DATA, "--energy", table), table, "a whole number of 401 digits")
    for digit_count in (20, 400, 5000):
        with pytest.raises(ValueError, match="a whole number of"):
            parse_json("-" + "9" * digit_count)
    assert parse_json(f"[{2**64 - 1}, {1 - 2**64}]") == [2**64 - 1, 1 - 2**64]


@pytest.mark.parametrize("error, message", [
    (ImportError("libx.so: failed to map\nsegment", name="numba.core"),
     "a library that is needed cannot be loaded"),
    (OSError("Could not find/load shared object file 'libllvmlite.so'"),
     "a library that is needed cannot be loaded"),
    (RuntimeError("can't start new thread"), "no more threads can be started"),
])
def test_what_the_system_refuses(run, monkeypatch, error, message):
    """Under ulimit -v and -u."""
    def fails(*arguments, **options):
        raise error

    monkeypatch.setattr(__import__("eventsim.formats").formats, "load", fails)
    assert_one_line(*run("info", MODEL), f"{MODEL}: {message}")


def test_what_is_read_is_never_replaced(run, tmp_path):
    from eventsim.costs.energy_table import find_energy_table
    from eventsim.model.chip import find_chip

    table, chip, link = tmp_path / "table.json", tmp_path / "chip.json", tmp_path / "link.h5"
    table.write_text(find_energy_table("horowitz_45nm").as_json())
    chip.write_text(find_chip("loihi").as_json())
    os.symlink(table, link)
    kept = tmp_path / "csv" / "rates.csv"
    kept.parent.mkdir()
    assert run("run", MODEL, DATA, "--limit", 1, "--out", tmp_path / "run.h5")[0] == 0
    os.rename(tmp_path / "run.h5", kept)
    before = kept.read_bytes()
    for command in (("run", MODEL, DATA, "--energy", table, "--out", table),
                    ("run", MODEL, DATA, "--energy", table, "--out", link),
                    ("run", MODEL, DATA, "--chip", chip, "--out", chip),
                    ("bench", MODEL, "--chip", chip, "--trace", chip),
                    ("stats", kept, "--csv", kept.parent)):
        assert_one_line(*run(*command), "is what is read, and would be replaced")
    assert kept.read_bytes() == before and os.listdir(kept.parent) == ["rates.csv"]


def test_a_link_that_leads_to_itself(run, tmp_path):
    os.symlink("net.h5", tmp_path / "net.h5")
    status, out, err = run("info", tmp_path / "net.h5")
    assert_one_line(status, out, err, "net.h5: cannot be read (Too many levels of symbolic links)\n")


def test_pixels_are_joined_up_to_a_whole_sensor(run, tmp_path):
    events = tmp_path / "events.csv"
    events.write_text("t,x,y,p\n1,2,3,1\n")
    for command in (("run", NMNIST, events), ("stream", NMNIST, events)):
        status, out, err = run(*command, "--downsample", 65_536)
        assert_one_line(status, out, err.splitlines(True)[-1],
                        "cannot be downsampled by 65536, expected a whole number from 1")


def test_drawing_is_quiet_about_folders_of_its_own(run):
    logging.getLogger("matplotlib").setLevel(logging.NOTSET)
    assert run("plot", MODEL, "list")[0] == 0
    assert not logging.getLogger("matplotlib.font_manager").isEnabledFor(logging.WARNING)


# ---- memory


def test_samples_that_are_made_up_beyond_the_memory(run, monkeypatch):
    monkeypatch.setattr(room, "machine_memory", lambda: 4_000_000)
    assert_one_line(*run("bench", MODEL, "--limit", "10000"), "",
                    "--limit 10000: so many samples take 5.12 MB of memory")


@pytest.mark.parametrize("option", ["--limit=--", "--limit=" + "9" * 30, "--out=--", "--precision=--"])
def test_values_that_are_none(option, capsys):
    with pytest.raises(SystemExit) as left:
        main(["run", MODEL, DATA, option])
    assert left.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
