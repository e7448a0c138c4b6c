"""What works where matplotlib, tqdm or torch are not installed: all but pictures, the bar and from_torch."""

from pathlib import Path

import pytest
from processes import python

ROOT = Path(__file__).resolve().parents[2]
MODEL, DATA = str(ROOT / "data" / "digits.h5"), str(ROOT / "data" / "digits_test.h5")
HIDING = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Hidden())
"""


@pytest.fixture(scope="module")
def run_file(tmp_path_factory):
    from eventsim.cli import main

    path = tmp_path_factory.mktemp("missing") / "run.h5"
    assert main(["run", MODEL, DATA, "--limit", "8", "--out", str(path)]) == 0
    return path


def without(hidden, code):
    """A process in which packages are hidden."""
    return python("-c", HIDING.format(hidden=hidden) + code)


def command(hidden, *arguments, before=""):
    arguments = [str(argument) for argument in arguments]
    return without(hidden, f"{before}\nfrom eventsim.cli import main\nsys.exit(main({arguments!r}))")


def test_runs_and_statistics_need_neither(run_file, tmp_path):
    hidden = ("matplotlib", "tqdm")
    # a terminal, where the bar would be
    done = command(hidden, "run", MODEL, DATA, "--limit", 8, "--out", tmp_path / "run.h5",
                   before="sys.stderr.isatty = lambda: True")
    assert (done.returncode, done.stderr) == (0, "") and "% correct of 8 samples" in done.stdout
    done = command(hidden, "diff", MODEL, MODEL, DATA, "--limit", 2, before="sys.stderr.isatty = lambda: True")
    assert (done.returncode, done.stderr) == (0, "")
    for arguments in (["stats", run_file], ["info", MODEL], ["check", MODEL]):
        assert command(hidden, *arguments).returncode == 0, arguments


def test_drawing_says_in_one_line_what_to_install(run_file):
    done = command(("matplotlib",), "plot", run_file, "rates")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == ("eventsim: drawing needs the package matplotlib, which is not installed; "
                           "run pip install matplotlib\n")
    done = without(("matplotlib",), "import eventsim\ntry:\n    from eventsim import plots\n"
                   "except ImportError as error:\n    print(isinstance(error, eventsim.EventsimError), error)")
    assert done.stdout.startswith("True drawing needs the package matplotlib") and done.stdout.count("\n") == 1


def test_import_needs_no_torch_and_from_torch_says_in_one_line_what_to_install():
    done = without((), "import eventsim, eventsim.cli\nprint('torch' in sys.modules)")
    assert done.stdout == "False\n"
    for call in ("from_torch(None, [[1]])", "from_torch.register(list, list)"):
        done = without(("torch",), f"import eventsim\ntry:\n    eventsim.{call}\n"
                       "except eventsim.MissingPackageError as error:\n    print(error)")
        assert done.stdout == ("from_torch needs the package torch, which is not installed; run pip install "
                               "\"eventsim-snn[torch]\"\n"), done.stderr


def test_the_page_is_made_without_pictures(run_file, tmp_path):
    done = command(("matplotlib",), "report", run_file, "-o", tmp_path / "page.html")
    assert (done.returncode, done.stderr) == (0, "")
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "This page has no pictures: drawing needs the package matplotlib" in text and "<svg" not in text
    assert "Key numbers" in text and "neuron2" in text
