"""The table of other tools' networks: every spike of those whose tool is installed."""

import pytest

torch = pytest.importorskip("torch")
import from_torch_table  # noqa: E402

SLOW = ("SEW-ResNet18", "SpikingVGG11", "DVSGestureNet")  # networks of a tool that CI does not install
from_torch_table.collect()


def named(one):
    return "-".join((one.tool, one.kind, one.reset, one.parameters)).replace(" ", "_")


def test_the_tools_of_the_test_environment_have_their_cases():
    pytest.importorskip("snntorch")
    assert sum(one.tool == "snnTorch" for one in from_torch_table.CASES) >= 40


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("one", [c for c in from_torch_table.CASES if c.kind not in SLOW], ids=named)
def test_every_spike_is_equal_on_samples_that_the_export_has_not_seen(one):
    row = from_torch_table.measure(one)
    assert row["equal"] == row["spikes"] > 20


def test_the_command_prints_rows_and_a_sum(capsys, tmp_path):
    pytest.importorskip("snntorch")
    target = tmp_path / "rows.json"
    assert from_torch_table.main(["Lapicque", "--json", str(target)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert len(out) >= 4 and out[-1].endswith("spikes equal") and "0 refused" in out[-1]
    assert '"kind": "Lapicque"' in target.read_text()
