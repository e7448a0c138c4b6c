"""Every script of the gallery is short, runs anywhere, and makes the picture that stands beside it."""

import ast
import io
import os
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread
from support.processes import python

ROOT = Path(__file__).resolve().parents[2]
GALLERY = ROOT / "examples" / "gallery"
SCRIPTS = sorted(GALLERY.glob("*.py"))
README = (GALLERY / "README.md").read_text()
MADE_WITH = re.search(r"made with matplotlib ([\d.]+)\.\s", README)[1]
SAME_MATPLOTLIB = matplotlib.__version__.split(".")[:2] == MADE_WITH.split(".")[:2]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """name -> picture, of each script run far from the repository: the first in a process of its own, as
    people do, the others in this one, which has the libraries loaded."""
    folder = tmp_path_factory.mktemp("gallery")
    made = {}

    def make(name):
        if name not in made:
            run = _run_apart if not made else _run_here
            run(GALLERY / f"{name}.py", folder / f"{name}.png", folder)
            made[name] = imread(folder / f"{name}.png")
        return made[name]

    return make


def _run_apart(script, picture, folder):
    done = python(script, picture, cwd=folder)
    assert done.returncode == 0 and not done.stderr and not done.stdout, done.stderr


def _run_here(script, picture, folder):
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [str(script), str(picture)])
        runpy.run_path(str(script), run_name="__main__")
    assert not said.getvalue()


def test_there_are_pictures_of_every_kind():
    from eventsim import plots

    assert len(SCRIPTS) >= 10
    used = set(re.findall(r"plots\.(\w+)\(", "".join(script.read_text() for script in SCRIPTS)))
    assert set(plots.KINDS) <= used
    assert {path.stem for path in GALLERY.glob("*.png")} == {script.stem for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_listed(script):
    text = script.read_text()
    assert text.count("\n") < 30
    assert max(map(len, text.splitlines())) <= 115
    sentence = ast.get_docstring(ast.parse(text)).split("\n")[0]
    assert f"## [{script.name}]({script.name})\n\n{sentence}\n\n![{sentence}]({script.stem}.png)\n" in README
    assert f"python examples/gallery/{script.name} [PICTURE]" in text
    assert (GALLERY / f"{script.stem}.png").stat().st_size < 100_000


def test_the_readme_lists_nothing_else():
    assert set(re.findall(r"## \[(\w+)\.py\]", README)) == {script.stem for script in SCRIPTS}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (GALLERY / target).exists(), target


@pytest.mark.parametrize("name", [script.stem for script in SCRIPTS])
def test_a_script_makes_its_picture(pictures, name):
    picture = pictures(name)
    assert picture.ndim == 3 and min(picture.shape[:2]) > 200
    assert picture[..., :3].min() < 0.3 and len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


def differ(made, committed):
    """Whether two pictures of one size differ by more than rounding on another processor may do."""
    apart = np.abs(made[..., :3] - committed[..., :3]).max(axis=2)
    return apart.mean() > 0.001 or (apart > 0.15).mean() > 0.001


@pytest.mark.skipif(not SAME_MATPLOTLIB, reason=f"the pictures were made with matplotlib {MADE_WITH}")
@pytest.mark.parametrize("name", [script.stem for script in SCRIPTS])
def test_the_committed_picture_is_the_one_that_is_made(pictures, name):
    made, committed = pictures(name), imread(GALLERY / f"{name}.png")
    assert made.shape == committed.shape and not differ(made, committed)


def test_a_picture_that_differs_is_found(pictures):
    picture = pictures("operations")
    other = picture.copy()
    other[140:240, 600:900] = 1  # a few numbers of the table are gone
    assert not differ(picture, picture.copy()) and differ(picture, other)
