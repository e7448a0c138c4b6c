"""The README and the guides as blocks that run: one parser and one runner for the tests and for `shown.py`.

A page is run from top to bottom in a folder of its own, as a reader would:

sh       each command of eventsim; of the README's set-up lines the command of eventsim in them
python   a script of its own, beside the files that the blocks above it wrote
text     what the block right before it printed: its last command, or the script
console  commands that need what is not in the repository; they are only parsed
"""

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
import traceback
from pathlib import Path
from typing import List, NamedTuple, Optional

import h5py
import numpy as np

import eventsim
from eventsim import cli

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
GUIDES = ROOT / "examples" / "guides"
EXAMPLES = ROOT / "examples"

KINDS = ("sh", "python", "text", "console")
FENCE = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
SPEED = re.compile(r"[\d.]+( k| M)? samples/s")
# a script that imports one is left out where it is missing
HEAVY = ("torch", "snntorch", "spikingjelly", "norse", "sinabs", "pynwb")
DIFFERENT = 3  # exit status of `eventsim diff`


class Block(NamedTuple):
    """A fenced block. page: its file. line: of its first line of text, from 1. start, end: where its text
    is in the page."""

    page: Path
    kind: str
    text: str
    line: int
    start: int
    end: int

    @property
    def place(self) -> str:
        """Name for messages and tests."""
        return f"{self.page.name}:{self.line}"


class Done(NamedTuple):
    """What running a block gave, of its last command: exit status (a script's is 1 where it raised) and
    texts. expected: the status that it should have. missing: a library that it needs, and did not run."""

    status: int
    stdout: str
    stderr: str
    expected: int = 0
    missing: Optional[str] = None

    @property
    def as_meant(self) -> bool:
        """Whether it ended as it should, and complained of nothing."""
        return self.status == self.expected and not self.stderr


def pages() -> List[Path]:
    """The README and all guides."""
    return [README, *sorted(GUIDES.glob("*.md"))]


def blocks(page) -> List[Block]:
    """The blocks of a page, in order."""
    text = page.read_text()
    return [Block(page, found[1], found[2], text.count("\n", 0, found.start(2)) + 1, found.start(2), found.end(2))
            for found in FENCE.finditer(text)]


def lines(block) -> List[str]:
    """The command lines of a block, joined where they are continued, without comments of their own."""
    joined = block.text.replace("\\\n", " ").splitlines()
    return [line.strip() for line in joined if line.strip() and not line.lstrip().startswith("#")]


def commands(block) -> List[str]:
    """The commands of eventsim in an sh block."""
    found = [line.split("&&")[-1].strip().replace(".venv/bin/", "") if "-m venv" in line else line
             for line in lines(block)]
    return [command for command in found if command.startswith("eventsim ")]


def shows(page) -> List[tuple]:
    """(block that runs, the text block that shows what it printed), of a page."""
    found = blocks(page)
    return [(before, after) for before, after in zip(found, found[1:])
            if after.kind == "text" and before.kind in ("sh", "python")]


def without_speed(text) -> str:
    """A text without what differs from run to run."""
    return SPEED.sub("- samples/s", text).strip()


# ---- running


def prepare(folder) -> None:
    """Put into a folder what the pages' commands read: data/, and files that a reader would bring."""
    os.symlink(ROOT / "data", folder / "data")
    _write_recordings(folder / "N-MNIST")
    _write_nir(folder / "net.nir")
    _write_lava(folder / "network.net")
    rng = np.random.default_rng(0)
    np.savez(folder / "samples.npz", x=rng.integers(0, 2, (8, 20, 16)), y=np.arange(8) % 4)


def run(block, folder) -> Done:
    """Run an sh or python block in a folder: the README's commands each in a process of their own."""
    if block.kind == "python":
        return _run_python(block, folder)
    done = Done(0, "", "")
    for command in commands(block):
        done = run_command(command, folder, apart=block.page == README)
        if not done.as_meant:
            return done
    return done


def run_command(command, folder, apart=True) -> Done:
    """Run a command line with this interpreter's eventsim. apart: in a process of its own, as a user does,
    or in this one, which has the libraries loaded."""
    words = shlex.split(command, comments=True)
    assert words[0] == "eventsim"
    differs = words[1] == "diff" and any("@" in word for word in words[2:4])
    run_words = _run_apart if apart else _run_here
    return run_words(words, folder)._replace(expected=DIFFERENT if differs else 0)


def _run_apart(words, folder):
    path = os.pathsep.join(filter(None, [str(Path(eventsim.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": path})
    return Done(done.returncode, done.stdout, done.stderr)


def _run_here(words, folder):
    with _inside(folder), _said() as (out, errors):
        try:
            status = cli.main(words[1:])
        except SystemExit as error:
            status = error.code
    return Done(status, out.getvalue(), errors.getvalue())


def _run_python(block, folder):
    for library in HEAVY:
        is_imported = re.search(rf"^(import|from) {library}\b", block.text, re.MULTILINE)
        if is_imported and importlib.util.find_spec(library) is None:
            return Done(0, "", "", missing=library)
    status = 0
    with _inside(folder), _said() as (out, errors):
        try:
            exec(compile(block.text, block.place, "exec"), {"__name__": "__main__"})
        except Exception:
            status = 1
            traceback.print_exc()
    return Done(status, out.getvalue(), errors.getvalue())


@contextlib.contextmanager
def _said():
    """What is printed, on standard output and on standard error."""
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        yield out, errors


@contextlib.contextmanager
def _inside(folder):
    """In a folder, with the trainer at hand as where PYTHONPATH says examples/."""
    before, path = os.getcwd(), list(sys.path)
    os.chdir(folder)
    sys.path.insert(0, str(EXAMPLES))
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path


# ---- what a reader would bring


def _write_recordings(folder):
    """Three recordings in the layout of N-MNIST, 5 bytes an event: Test/<digit>/<number>.bin, whose numbers count
    over all digits, as MNIST's test images do."""
    rng = np.random.default_rng(1)
    for digit, number in ((0, "00004"), (1, "00003"), (2, "00002")):
        n = 900
        t = np.sort(rng.integers(0, 300_000, n))
        event = [rng.integers(0, 34, n), rng.integers(0, 34, n), rng.integers(0, 2, n) << 7 | t >> 16,
                 t >> 8 & 255, t & 255]
        path = folder / "Test" / str(digit) / f"{number}.bin"
        path.parent.mkdir(parents=True)
        path.write_bytes(np.stack(event, axis=1).astype(np.uint8).tobytes())


def _write_nir(path):
    """A small network of IF neurons for N-MNIST's sensor."""
    rng = np.random.default_rng(2)
    nodes = {
        "input": eventsim.Input((2, 34, 34), bits=4),
        "conv": eventsim.Conv2d(rng.normal(0.05, 0.3, (4, 2, 5, 5)), stride=4),
        "if1": eventsim.Neuron(reset="hard", comparison=">"),
        "flat": eventsim.Flatten(),
        "fc": eventsim.Dense(rng.normal(0.02, 0.3, (10, 256))),
        "if2": eventsim.Neuron(reset="hard", comparison=">"),
    }
    eventsim.save(eventsim.Model(nodes, list(zip(nodes, list(nodes)[1:])), timesteps=300), path)


def _write_lava(path):
    """Two dense layers of CUBA neurons, as lava-dl exports them, for 16 inputs."""
    rng = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        file["layer/0/type"], file["layer/0/shape"] = "input", [16]
        for i, (n_out, n_in) in enumerate(((32, 16), (4, 32)), start=1):
            layer = file.create_group(f"layer/{i}")
            layer["type"], layer["shape"] = "dense", [n_out]
            layer["weight"] = 2 * rng.integers(-40, 60, (n_out, n_in))
            neuron = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80, "refDelay": 1}
            for name, value in neuron.items():
                layer[f"neuron/{name}"] = value
