"""Whatever needs a package that is not installed says so in the same words, in one class."""

import sys

import numpy as np
import pytest

import eventsim
from eventsim import Input, MissingPackageError, Model, Neuron, Simulator
from eventsim.cli.completion import script
from eventsim.display.table import Table
from eventsim.errors import missing

TABLE = Table({"n": [1]})
WITHOUT = {
    "neo": (lambda: eventsim.to_neo(recording(), "n"), "to_neo", '"eventsim-snn[neo]"'),
    "torch": (lambda: eventsim.from_torch(None, [[1]]), "from_torch", '"eventsim-snn[torch]"'),
    "shtab": (lambda: script(None, "bash"), "completion", '"eventsim-snn[completion]"'),
    "pandas": (lambda: TABLE.to_pandas(), "to_pandas", "pandas"),
    "pyarrow": (lambda: TABLE.__arrow_c_stream__(), r"Arrow \(without polars\)", "pyarrow"),
    "matplotlib": (lambda: __import__("eventsim.plots"), "drawing", "matplotlib"),
}


def recording():
    model = Model({"in": Input((2,)), "n": Neuron()}, [("in", "n")])
    return Simulator(model).run(np.ones((1, 2), int), record="spikes")


@pytest.mark.parametrize("package", WITHOUT)
def test_a_missing_package_is_one_line_that_says_what_to_install(package, monkeypatch):
    call, what, wanted = WITHOUT[package]
    for name in [name for name in sys.modules if name.partition(".")[0] in (package, "polars")
                 or name.startswith("eventsim.plots") or name == "eventsim.from_torch.exporting"]:
        monkeypatch.delitem(sys.modules, name)
    for name in (package, "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    expected = f"^{what} needs the package {package}, which is not installed; run pip install {wanted}$"
    with pytest.raises(MissingPackageError, match=expected.replace("[", r"\[")):
        call()


def test_the_remedy_is_an_extra_where_there_is_one():
    assert str(missing("x", "p")).endswith("run pip install p")
    assert str(missing("x", "p", "e")).endswith('run pip install "eventsim-snn[e]"')
