"""What is published: the wheel holds every file of the package, and one place says its version."""

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import eventsim

ROOT = Path(__file__).resolve().parent.parent
NAME, VERSION = "eventsim-snn", eventsim.__version__
INFO = f"eventsim_snn-{VERSION}.dist-info"
# As `python -m build` does it, where none of the libraries that eventsim needs can be imported.
BUILD = """
import sys
sys.modules.update(dict.fromkeys(("eventsim", "numpy", "numba", "h5py", "matplotlib", "tqdm")))
from setuptools import build_meta
build_meta.build_wheel(sys.argv[1])
"""


def settings():
    """setup.cfg as read."""
    parsed = configparser.ConfigParser()
    parsed.read(ROOT / "setup.cfg")
    return parsed


def package_files():
    """Paths below the root of all files of the package: what git tracks, or what lies there without git."""
    listed = subprocess.run(["git", "ls-files", "eventsim"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [path for path in listed.stdout.splitlines() if (ROOT / path).is_file()]
    return [path.relative_to(ROOT).as_posix() for path in (ROOT / "eventsim").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without an index from a copy of what is published."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools builds the wheel")
    if tuple(map(int, setuptools.__version__.split(".")[:2])) < (70, 1):
        pytest.importorskip("wheel", reason="setuptools before 70.1 builds wheels with the package wheel only")
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for path in ["setup.cfg", "pyproject.toml", "README.md", "LICENSE", *package_files()]:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tree / path)
    done = subprocess.run([sys.executable, "-c", BUILD, out], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [path] = out.iterdir()
    assert path.name == f"eventsim_snn-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(path) as opened:
        yield opened


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    """Every folder with its modules, and every file that is not Python; a folder without `__init__.py` is lost."""
    inside = {name for name in wheel.namelist() if not name.startswith(f"{INFO}/")}
    files = set(package_files())
    assert {"eventsim/__init__.py", "eventsim/__main__.py"} <= files
    assert any(not path.endswith(".py") for path in files)
    folders = {Path(path).parent for path in files}
    assert {Path(path).parent for path in inside} == folders
    assert inside == files


def test_the_wheel_says_what_it_is(wheel):
    metadata = wheel.read(f"{INFO}/METADATA").decode()
    assert re.findall(r"^(?:Name|Version): (.*)$", metadata, re.MULTILINE) == [NAME, VERSION]
    assert (ROOT / "README.md").read_text().splitlines()[0] in metadata
    assert [name for name in wheel.namelist() if name.startswith(f"{INFO}/") and name.endswith("/LICENSE")]
    assert "eventsim = eventsim.cli:main" in wheel.read(f"{INFO}/entry_points.txt").decode().splitlines()


def test_what_is_unpacked_runs_outside_the_checkout(wheel, tmp_path):
    wheel.extractall(tmp_path / "site")
    code = "import eventsim; from eventsim.cli import main; print(eventsim.__file__); main(['--version'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})
    assert done.stdout.splitlines() == [str(tmp_path / "site" / "eventsim" / "__init__.py"), f"eventsim {VERSION}"]


def test_the_version_stands_in_one_place():
    assert settings()["metadata"]["name"] == NAME
    assert settings()["metadata"]["version"] == "attr: eventsim.__version__"
    texts = ["setup.cfg", "pyproject.toml", *(path for path in package_files() if path.endswith(".py"))]
    version = re.compile(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])")
    assert [path for path in texts if version.search((ROOT / path).read_text())] == ["eventsim/__init__.py"]
    statements = ast.parse((ROOT / "eventsim" / "__init__.py").read_text()).body
    assigned = [node.value for node in statements if isinstance(node, ast.Assign)
                and node.targets[0].id == "__version__"]
    assert [value.value for value in assigned] == [VERSION]  # a literal, which setuptools reads without an import


def test_the_changelog_begins_with_this_version():
    changelog = (ROOT / "examples" / "guides" / "changelog.md").read_text()
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == VERSION


def test_the_lowest_versions_are_the_declared_ones():
    """tests/constraints-lowest.txt holds each library at the minimum that setup.cfg names."""
    required = settings()["options"]["install_requires"] + settings()["options.extras_require"]["test"]
    declared = dict(re.findall(r"^([\w-]+)>=([\d.]+)$", required, re.MULTILINE))
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "tests" / "constraints-lowest.txt").read_text(),
                             re.MULTILINE))
    assert declared.keys() <= pinned.keys()
    for library, minimum in declared.items():
        assert f"{pinned[library]}.".startswith(f"{minimum}."), library
