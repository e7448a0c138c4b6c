"""The guide's cells in a notebook that runs without a screen: what a reader sees of each."""

import os
from pathlib import Path

import pages
import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

GUIDE = pages.GUIDES / "notebook.md"


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """The cells of the guide's first block, executed in a kernel of this Python."""
    folder = tmp_path_factory.mktemp("notebook")
    pages.prepare(folder)
    text = next(block.text for block in pages.blocks(GUIDE) if block.kind == "python")
    sources = [part for part in text.split("\n\n") if part.strip()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(pages.ROOT), before]))
    try:
        nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3",
                                resources={"metadata": {"path": str(folder)}}).execute()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    kept = os.environ.get("EVENTSIM_NOTEBOOK")  # to look at it
    if kept:
        nbformat.write(notebook, Path(kept))
    return {cell.source.splitlines()[-1]: cell.outputs for cell in notebook.cells}


def shown(cells, source):
    """The data of the one result of a cell."""
    [found] = [outputs for last, outputs in cells.items() if f"{last} ".startswith(f"{source} ")]
    [result] = [output for output in found if output.output_type == "execute_result"]
    return result.data


def test_every_cell_shows_something_short(cells):
    for source, outputs in cells.items():
        if source.startswith(("import ", "from ")):
            assert not outputs
            continue
        assert [o.output_type for o in outputs if o.output_type != "stream"] == ["execute_result"], source  # a bar
        assert len(outputs[-1].data["text/plain"].splitlines()) < 20, source


def test_what_is_seen(cells):
    assert "<svg" in shown(cells, "model")["text/html"]
    assert "Recording(16 samples" in shown(cells, "recording")["text/html"]
    assert "events of neuron2" in shown(cells, 'recording["neuron2"].events()')["text/html"]
    assert "12 nodes" in shown(cells, "model.summary()")["text/html"]
    for source in ("plots.raster(recording)", 'plots.raster(recording["neuron3"], sample=range(16))'):
        assert shown(cells, source)["image/png"].startswith("iVBOR")
    assert "100 samples" in shown(cells, 'eventsim.open_run("run.h5")')["text/html"]
