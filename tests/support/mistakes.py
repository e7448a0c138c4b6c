"""Plausible mistakes on the command line, and what eventsim says to each: the table of the guide.

    python tests/support/mistakes.py            # rewrite the table in examples/guides/command_line.md
"""

import contextlib
import io
import os
import shlex
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # this checkout's eventsim, installed or not
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from eventsim.cli import main  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "examples" / "guides" / "command_line.md"
BEGIN, END = "<!-- mistakes -->\n", "<!-- end of mistakes -->\n"
NET, TEST = "data/digits.h5", "data/digits_test.h5"

MISTAKES = (  # what somebody did, and how
    ("no command", ""),
    ("the command left out", NET),
    ("a command misspelt", f"rnu {NET} {TEST}"),
    ("another tool's word for a command", f"evaluate {NET} {TEST}"),
    ("the data left out", f"run {NET}"),
    ("a name that begins like an option", f"run {NET} -test.h5"),
    ("model and data exchanged", f"run {TEST} {NET}"),
    ("the model's suffix left out", f"run data/digits {TEST}"),
    ("a file's name misspelt", f"run {NET} data/digits_tets.h5"),
    ("a folder misspelt", f"run dta/digits.h5 {TEST}"),
    ("the folder of the models", f"run data {TEST}"),
    ("the folder of the data sets", f"run {NET} sets"),
    ("a run file for a model", f"run run.h5 {TEST}"),
    ("an option misspelt", f"run {NET} {TEST} --limt 3"),
    ("another tool's word for an option", f"run {NET} {TEST} --threads 4"),
    ("an option that is not needed", f"run {NET} {TEST} --device cuda"),
    ("a precision that there is not", f"run {NET} {TEST} --precision int4"),
    ("no sample at all", f"run {NET} {TEST} --limit 0"),
    ("an option without its value", f"run {NET} {TEST} --limit"),
    ("a name with spaces, without quotes", f"info my {NET}"),
    ("recordings without a file for them", f"run {NET} {TEST} --record spikes"),
    ("an audit of floats", f"run {NET} {TEST} --audit"),
    ("a recording misspelt", f"run {NET} {TEST} --record spike --out o.h5"),
    ("a chip misspelt", f"run {NET} {TEST} --chip lohi"),
    ("a file written into a folder that is not there", f"run {NET} {TEST} --out none/o.h5"),
    ("the model's file as output", f"run {NET} {TEST} --out {NET}"),
    ("an option of NIR files for a native one", f"run {NET} {TEST} --reset soft"),
    ("pixels scaled to 0..1", f"run {NET} scaled.npz"),
    ("channels last", f"run {NET} last.npz"),
    ("arrays of other names", f"run {NET} named.npz"),
    ("data for another model", f"run data/mnist.h5 {TEST}"),
    ("a format that is not written", f"convert {NET} net.onnx"),
    ("statistics of a model", f"stats {NET}"),
    ("a table misspelt", "stats run.h5 --table layer"),
    ("a layer that there is not", "stats run.h5 --layer neuron9"),
    ("run and kind of picture exchanged", "plot rates run.h5"),
    ("a picture without a suffix", "plot run.h5 rates -o picture"),
    ("an arithmetic that there is not", f"diff {NET} {NET}@int4 {TEST}"),
)


def prepare(folder) -> None:
    """Put into a folder what the mistakes are made with."""
    os.symlink(ROOT / "data", folder / "data")
    (folder / "sets").mkdir()
    os.symlink(ROOT / TEST, folder / "sets" / "digits_test.h5")
    os.symlink(ROOT / NET, folder / "sets" / "digits.h5")
    with h5py.File(folder / TEST) as file:
        x, y = file["x"][:4], file["y"][:4]
    np.savez(folder / "scaled.npz", x=x / 16, y=y)
    np.savez(folder / "last.npz", x=np.moveaxis(x, 1, -1), y=y)
    np.savez(folder / "named.npz", inputs=x, targets=y)
    call(f"run {NET} {TEST} --limit 4 --out run.h5", folder)


def call(words, folder):
    """(exit status, standard output, standard error) of a command in a folder, in this process."""
    out, err, before = io.StringIO(), io.StringIO(), os.getcwd()
    try:
        os.chdir(folder)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = main(shlex.split(words))
            except SystemExit as left:
                status = left.code
    finally:
        os.chdir(before)
    return status, out.getvalue(), err.getvalue()


def row(what, words, status, err) -> str:
    """A line of the table."""
    said = err.removeprefix("eventsim: ").strip().replace("|", "\\|").replace("`", "'")
    return f"| {what} | `{words or 'eventsim'}` | {said} | {status} |"


def shown():
    """The lines of the table that the guide shows."""
    table = GUIDE.read_text().split(BEGIN)[1].split(END)[0]
    return table.splitlines()[2:]


def rewrite() -> None:
    """Put the table as it is now into the guide."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        rows = [row(what, words, *call(words, folder)[::2]) for what, words in MISTAKES]
    head, rest = GUIDE.read_text().split(BEGIN)
    table = "\n".join(["| Mistake | `eventsim` ... | What is printed | Status |",
                       "|---|---|---|---|", *rows]) + "\n"
    GUIDE.write_text(head + BEGIN + table + END + rest.split(END)[1])


if __name__ == "__main__":
    rewrite()
