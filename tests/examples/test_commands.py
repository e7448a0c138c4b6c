"""examples/commands.py: what becomes of errors in the scripts, and the numbers of their command lines."""

import argparse
import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import commands  # noqa: E402
from eventsim.errors import DataError  # noqa: E402
from trainer.errors import TrainerError  # noqa: E402


@pytest.mark.parametrize("error, line", (
    (FileNotFoundError(2, "No such file or directory", "net.pt"), "net.pt: No such file or directory"),
    (OSError(28, "No space left on device"), "No space left on device"),
    (TrainerError("net.pt: is no\ncheckpoint"), "net.pt: is no checkpoint"),
    (DataError("x.h5: holds no y"), "x.h5: holds no y"),
    (FloatingPointError("the loss is nan"), "the loss is nan"),
    (MemoryError(), "memory is too small: take smaller batches"),
    (ModuleNotFoundError("No module named 'torch'", name="torch"), "No module named 'torch'"),
    (ImportError("AutoAugment needs Pillow: pip install pillow"), "AutoAugment needs Pillow: pip install pillow"),
    (ImportError("cannot import name 'x' from 'trainer.data'", name="trainer.data"), None),
    (ValueError("operands could not be broadcast together"), None), (RuntimeError("size mismatch"), None),
    (KeyError("average"), None),
))
def test_errors_of_users_are_one_line_and_ours_keep_their_traceback(error, line, capsys):
    def fail():
        raise error

    if line is None:
        with pytest.raises(type(error)):
            commands.status_of("papers", fail)
        return
    assert commands.status_of("papers", fail) == 1
    assert capsys.readouterr().err == f"papers: {line}\n"


def test_ctrl_c_is_one_line(capsys):
    def interrupted():
        raise KeyboardInterrupt

    assert commands.status_of("papers", interrupted) == 130
    assert capsys.readouterr().err == "papers: interrupted\n"


@pytest.mark.parametrize("handler, expected", ((signal.default_int_handler, signal.SIG_DFL),
                                               (signal.SIG_IGN, signal.SIG_IGN)))
def test_the_processes_of_a_command_end_without_a_word_where_ctrl_c_is_not_ignored(handler, expected, monkeypatch):
    monkeypatch.setattr("tqdm.tqdm.set_lock", lambda lock: None)
    before = signal.signal(signal.SIGINT, handler)
    try:
        commands.end_on_interrupt()
        assert signal.getsignal(signal.SIGINT) == expected
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_reader_that_has_gone_is_no_error():
    code = "import commands; commands.run('papers', lambda: print('x' * 1_000_000))"
    with subprocess.Popen([sys.executable, "-c", code], cwd=EXAMPLES, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 141


MAIN = '\nif __name__ == "__main__":\n    '
SCRIPTS = [path for pattern in ("*.py", "trainer/*.py") for path in sorted(EXAMPLES.glob(pattern))
           if MAIN in path.read_text()]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_ends_that_way(path):
    assert len(SCRIPTS) > 11 and path.read_text().partition(MAIN)[2].startswith("commands.run(")


@pytest.mark.parametrize("module, arguments, line", (
    ("ablation", ["nowhere"], "nowhere: holds no data_batch_1.bin"),
    ("ablation", ["nowhere", "--runs", "nowhere/runs.csv"], "--runs nowhere/runs.csv: there is no folder nowhere"),
    ("ablation_claims", ["binary"], "binary: is no CSV file"),
    ("ablation_claims", ["other.csv"], "other.csv: row 1 has no neuron"),
    ("ablation_claims", ["."], ".: Is a directory"),
    ("conversion_sweep", ["nowhere"], "nowhere: holds no data_batch_1.bin, expected CIFAR-10"),
    ("models", ["energy", "nowhere"], "nowhere/mnist: no such file"),
    ("models", ["ann", "nowhere", ".", "mnist"], "nowhere/mnist: no such file"),
    ("models", ["train", ".", "nowhere", "mnist"], "--checkpoint nowhere/mnist.pt: there is no folder nowhere"),
    ("papers", ["export", "nowhere", ".", "net.h5"], "nowhere: No such file or directory"),
    ("papers", ["export", "binary", ".", "net.h5"], "binary: is no checkpoint, or a damaged one: give one"),
    ("papers", ["export", "binary", ".", "nowhere/net.h5"], "the output nowhere/net.h5: there is no folder"),
    ("papers", ["gpu", ".", "state", "--device", "nonsense"], "--device nonsense: PyTorch can compute on no such"),
    ("papers", ["gpu", ".", "state", "--device", "cuda:99"], "--device cuda:99: PyTorch can compute on no such"),
    ("papers", ["join", "binary", "net.pt"], "binary: is no checkpoint, or a damaged one: give one"),
    ("papers", ["join", "nowhere", "net.pt"], "nowhere: No such file or directory"),
    ("papers", ["join", ".", "nowhere/net.pt"], "the checkpoint nowhere/net.pt: there is no folder nowhere"),
    ("papers", ["pack", "nowhere", "parts"], "nowhere: holds no data_batch_1.bin, expected CIFAR-10"),
    ("shipped", ["nowhere", "mnist", "--output", "shipped.json"], "nowhere/mnist/t10k"),
    ("shipped", ["nowhere", "mnist", "--output", "binary"], "binary: is no JSON file of results"),
    ("trainer.__main__", ["cifar10_dvs", "nowhere"], "nowhere: holds no <class>/*.aedat, expected"),
    ("trainer.__main__", ["imagenet", "nowhere"], "nowhere: holds no train, expected ImageNet: train/<class>"),
    ("trainer.__main__", ["mnist", ".", "--device", "meta"], "--device meta: PyTorch can compute on no such"),
    ("trainer.__main__", ["mnist", ".", "--output", "nowhere/net.h5"], "--output nowhere/net.h5: there is no"),
    ("trainer.parity", ["nowhere.h5", "mnist", "."], "nowhere.h5: cannot be read"),
))
def test_missing_folders_other_files_and_other_devices_are_one_line(module, arguments, line, tmp_path, monkeypatch,
                                                                    capsys):
    if module != "ablation_claims":
        pytest.importorskip("torch")
    if "imagenet" in arguments:
        pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    Path("binary").write_bytes(bytes(range(256)))
    Path("other.csv").write_text("a,b\n1,2\n")
    assert commands.status_of(module, lambda: importlib.import_module(module).main(arguments)) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"{module}: {line}") and said.count("\n") == 1
    assert not {path.name for path in tmp_path.iterdir()} & {"net.h5", "net.pt", "shipped.json", "nowhere"}


@pytest.mark.parametrize("module, arguments, option", [
    *(("trainer.__main__", ["mnist", ".", option, value], option) for option, value in (
        ("--epochs", "0"), ("--timesteps", "0"), ("--batch-size", "-1"), ("--samples", "0"), ("--threads", "0"),
        ("--widths", "0"), ("--dense", "0"), ("--seed", "-1"), ("--lr", "nan"), ("--seconds", "-1"),
        ("--leak", "2"), ("--alpha", "0"), ("--width", "0"))),
    ("trainer.__main__", ["mnist", ".", "--convert", "0", "2"], "--convert"),
    ("trainer.__main__", ["mnist", ".", "--bits", "-1", "2"], "--bits"),
    *(("papers", ["gpu", "parts", "state", option, value], option) for option, value in (
        ("--epochs", "-1"), ("--timesteps", "0"), ("--batch-size", "0"), ("--minutes", "nan"), ("--total", "0"),
        ("--warm-up", "-1"), ("--smoothing", "2"), ("--piece", "0"), ("--threads", "two"), ("--seed", "1.5"))),
    ("papers", ["export", "net.pt", ".", "net.h5", "--limit", "0"], "--limit"),
    ("papers", ["pack", ".", "parts", "--limit", "inf"], "--limit"),
    *(("ablation", [".", option, "0"], option) for option in (
        "--jobs", "--seeds", "--epochs", "--samples", "--batch-size", "--timesteps")),
    *(("conversion_sweep", [".", option, "0"], option) for option in (
        "--seeds", "--epochs", "--timesteps", "--bits")),
    ("shipped", [".", "--limit", "0"], "--limit"),
    ("trainer.parity", ["x", "mnist", ".", "--limit", "0"], "--limit"),
    ("deep_networks", ["--images", "0"], "--images"),
])
def test_numbers_that_mean_nothing_are_refused(module, arguments, option, capsys):
    if module not in ("ablation", "papers", "deep_networks", "shipped"):
        pytest.importorskip("torch")
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main(arguments)
    assert ended.value.code == 2
    assert f"argument {option}: " in (said := capsys.readouterr().err) and "is given, expected a " in said


@pytest.mark.parametrize("parse, fine, others", (
    (commands.POSITIVE, {"1": 1, "20": 20}, ("0", "-3", "1.0", "")),
    (commands.NATURAL, {"0": 0}, ("-1", "nan")),
    (commands.AT_LEAST_0, {"0": 0.0, "1e-3": 1e-3}, ("-1e-9", "nan", "inf", "x")),
    (commands.ABOVE_0, {"0.5": 0.5}, ("0", "-0.0")),
    (commands.number(most=1), {"1": 1.0}, ("1.01",)),
))
def test_numbers(parse, fine, others):
    assert {text: parse(text) for text in fine} == fine
    for text in others:
        with pytest.raises(argparse.ArgumentTypeError, match="is given, expected a "):
            parse(text)


def test_results_are_read_or_refused(tmp_path):
    path = tmp_path / "results.json"
    assert commands.read_json(path) == {}
    path.write_text(json.dumps({"mnist": 1}))
    assert commands.read_json(path) == {"mnist": 1}
    path.write_text("[]")
    with pytest.raises(TrainerError, match="results.json: is no JSON file of results"):
        commands.read_json(path)
