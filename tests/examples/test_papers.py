"""examples/papers.py: from packed data to a proved file; killed in between; where there is only PyTorch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

import eventsim  # noqa: E402
import papers  # noqa: E402
from picture_files import write_cifar  # noqa: E402

SMALL = ("--network", "lenet", "--widths", "4", "6", "--dense", "8", "--timesteps", "2", "--bits", "1", "1",
         "--restimulation", "--device", "cpu", "--threads", "1", "--batch-size", "20", "--measure", "0.01",
         "--every", "0.1", "--piece", "0.02")
BARE = f"""import sys
for name in ("eventsim", "numba", "h5py", "tqdm", "PIL", "matplotlib", "scipy"):
    sys.modules[name] = None
sys.path.insert(0, {str(EXAMPLES)!r})
import papers
sys.exit(papers.main(sys.argv[1:]))"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """What a command changes of its process is of no other test."""
    monkeypatch.setattr(papers, "keep_memory", lambda: None)
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on a bare machine that was killed after it had chosen its schedule and saved."""
    folder = tmp_path_factory.mktemp("papers")
    write_cifar(folder)
    assert papers.main(["pack", str(folder), str(folder / "parts"), "--limit", "0.05"]) == 0
    command = ["gpu", "parts", "state", "--carry", "out", "--minutes", "60", *SMALL]
    process = subprocess.Popen([sys.executable, "-c", BARE, *command], cwd=folder, stdout=subprocess.DEVNULL,
                               env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    try:
        late = time.monotonic() + 100
        while time.monotonic() < late and process.poll() is None and not saved(folder):
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    assert saved(folder), "no checkpoint after the schedule was chosen"
    return folder


def lines(folder, event):
    path = folder / "state" / "log.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [line for line in map(json.loads, whole.splitlines()) if line["event"] == event]


def saved(folder):
    return any(line["steps"] for line in lines(folder, "checkpoint"))


def test_parts_are_no_larger_than_allowed(folder):
    sizes = [path.stat().st_size for path in (folder / "parts").glob("data.*.0*")]
    assert len(sizes) > 1 and max(sizes) <= 0.05 * papers.MEBIBYTE


def test_goes_on_with_the_same_schedule_exports_and_proves(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    before = torch.get_num_threads()
    chosen, kept = lines(folder, "schedule")[-1], lines(folder, "checkpoint")[-1]
    code = papers.main(["gpu", "parts", "state", "--carry", "out", "--minutes", "0", "--resume", *SMALL])
    assert torch.load("state/checkpoint.pt")["planned"] == 3600  # --minutes of the first command
    start, end = lines(folder, "start")[-1], lines(folder, "end")[-1]
    assert code == 3 and not end["finished"] and start["step"] >= kept["step"] > 0
    assert start["steps"] == end["steps"] == chosen["steps"] and start["device"] == "the CPU"
    pieces = sorted((folder / "out").glob("checkpoint.*.0*"))
    assert len(pieces) > 1 and all(path.stat().st_size <= 0.02 * papers.MEBIBYTE for path in pieces)
    assert (folder / "out" / "log.jsonl").read_bytes() == (folder / "state" / "log.jsonl").read_bytes()
    capsys.readouterr()
    assert papers.main(["join", "out", "net.pt"]) == 0
    joined = json.loads(capsys.readouterr().out)
    assert joined["step"] == end["step"] and joined["knots"][-1] == [chosen["steps"], 1.0]
    assert papers.main(["export", "net.pt", ".", "net.h5", "--limit", "8"]) == 0
    proof = json.loads(capsys.readouterr().out.splitlines()[-1])
    torch.set_num_threads(before)
    assert proof["levels"] > 0 and proof["levels_different"] == proof["predictions_different"] == 0
    assert proof["samples"] == 8 and proof["trained_compared"] and set(proof["accuracy"]) == {
        "float64", "float32", "int8"}
    found = proof["held_out_accuracy"]
    assert found["trained"] == found["float32"] and found["trained"] * 10 == round(found["trained"] * 10)
    model = eventsim.load(folder / "net.h5")
    settings = json.loads(model.provenance["settings"])
    assert settings["restimulation"] and settings["alpha"] == 2.0 and model.nodes["stage1_1"].bits == 2


def test_what_is_no_checkpoint_is_refused_in_a_line(tmp_path):
    file = tmp_path / "net.pt"
    for content, message in ((b"not a checkpoint", "is no checkpoint, or a damaged one"),
                             (3, "it holds no network"),
                             ({"net": {}}, "does not say its network: give a checkpoint of `papers.py gpu`")):
        file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
        for command in (["export", str(file), str(tmp_path), str(tmp_path / "net.h5")],
                        ["join", str(file), str(tmp_path / "joined.pt")]):
            with pytest.raises(ValueError, match=f"net.pt: .*{message}") as refused:
                papers.main(command)
            assert "weights_only" not in str(refused.value) and not (tmp_path / "joined.pt").exists()
    with pytest.raises(ValueError, match="checkpoint.json: is missing"):
        papers.main(["join", str(tmp_path), str(file)])


def test_goes_on_from_carried_pieces_on_a_fresh_machine(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    before = torch.get_num_threads()
    arguments = ["gpu", "parts", "fresh", "--minutes", "0", "--resume", *SMALL]
    with pytest.raises(ValueError, match="fresh: holds no checkpoint to go on from"):
        papers.main(arguments)
    assert papers.main([*arguments, "--carry", "out"]) == 3
    torch.set_num_threads(before)
    start = [line for line in map(json.loads, (folder / "fresh" / "log.jsonl").read_text().splitlines())
             if line["event"] == "start"]
    assert start[-1]["step"] > 0 and start[-1]["steps"] == lines(folder, "schedule")[-1]["steps"]


def test_a_checkpoint_is_exported_as_what_join_makes_of_it(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    before = torch.get_num_threads()
    kept = torch.load("state/checkpoint.pt")
    assert any(not torch.equal(value, kept["average"][name]) for name, value in kept["net"].items())
    assert papers.main(["join", "state/checkpoint.pt", "both.pt"]) == 0
    assert papers.main(["join", "both.pt", "again.pt"]) == 0
    for path, weights in (("both.pt", kept["average"]), ("again.pt", kept["average"])):
        assert all(torch.equal(value, weights[name]) for name, value in torch.load(path)["net"].items())
    models = []
    for path in ("state/checkpoint.pt", "both.pt"):
        assert papers.main(["export", path, ".", "both.h5", "--limit", "4"]) == 0
        models.append(eventsim.load("both.h5"))
    torch.set_num_threads(before)
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["trained_compared"]
    for name in ("stage1_1_conv", "stage2_1_conv", "hidden1_dense", "dense"):
        np.testing.assert_array_equal(*(model.nodes[name].weight for model in models))


def gpu(state, *more):
    before = torch.get_num_threads()
    try:
        return papers.main(["gpu", "parts", state, *SMALL, *more])
    finally:
        torch.set_num_threads(before)


def test_a_checkpoint_of_step_0_is_gone_on_from(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert gpu("zero", "--epochs", "1", "--minutes", "0") == 3
    with pytest.raises(ValueError, match="checkpoint.pt: is there already: add --resume"):
        gpu("zero", "--epochs", "1", "--minutes", "60")
    assert gpu("zero", "--epochs", "1", "--minutes", "60", "--resume") == 0


@pytest.mark.parametrize("epochs, warm_up", ((1, 0.5), (2, 1.0), (8, 2.0), (0, 2.0)))
def test_by_itself_the_warm_up_takes_at_most_half_of_the_epochs(epochs, warm_up, folder, monkeypatch):
    from trainer.packed import unpack

    monkeypatch.chdir(folder)
    state = f"epochs{epochs}"
    assert gpu(state, "--epochs", str(epochs), "--minutes", "0") == 3
    kept = torch.load(f"{state}/checkpoint.pt")
    n_batches = len(unpack("parts").training) // 20
    assert kept["settings"]["warm_up"] == warm_up and kept["warm_up"] == round(warm_up * n_batches)
    assert not epochs or kept["knots"][-1] == [epochs * n_batches, 1.0]
    if epochs == 1:
        with pytest.raises(ValueError, match=f"--warm-up 2: .* there are {n_batches}, expected fewer"):
            gpu("refused", "--epochs", "1", "--warm-up", "2")


@pytest.mark.parametrize("number", (signal.SIGINT, signal.SIGTERM))
def test_told_to_end_it_saves(number, folder, monkeypatch):
    from trainer.timed import TimedTrainer

    monkeypatch.chdir(folder)
    step_on = TimedTrainer.step_on

    def told_in_the_third(trainer):
        step_on(trainer)
        if trainer.step == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(TimedTrainer, "step_on", told_in_the_third)
    before = signal.getsignal(number)
    assert gpu(number.name, "--epochs", "2", "--minutes", "60") == 3 and signal.getsignal(number) == before
    assert torch.load(f"{number.name}/checkpoint.pt")["step"] == 3
    assert gpu(number.name, "--epochs", "2", "--minutes", "60", "--resume") == 0


def test_a_second_ctrl_c_ends_at_once():
    trainer = SimpleNamespace(stopped=False)
    with pytest.raises(KeyboardInterrupt), papers.stopping(trainer):
        signal.raise_signal(signal.SIGINT)
        assert trainer.stopped
        signal.raise_signal(signal.SIGINT)


def test_what_is_carried_is_not_overwritten(folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in sorted(Path("out").iterdir())}
    with pytest.raises(ValueError, match="out/checkpoint.json: is there already: add --resume to go on, or name"):
        gpu("unused", "--epochs", "1", "--minutes", "60", "--carry", "out")
    with pytest.raises(ValueError, match="was made with another recipe: "):
        gpu("unused", "--epochs", "1", "--minutes", "60", "--carry", "out", "--resume")
    assert {path: path.read_bytes() for path in sorted(Path("out").iterdir())} == before
    Path("started").mkdir()  # by what was killed before its first checkpoint
    Path("started", "log.jsonl").write_text("a line\n")
    assert gpu("again", "--epochs", "1", "--minutes", "0", "--carry", "started") == 3
    for path in ("again/log.jsonl", "started/log.jsonl"):
        assert Path(path).read_text().startswith('a line\n{"event": "network"')


def test_starts_from_one_network_and_learns_from_another(folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = torch.get_num_threads()
    ann = ["--neuron", "ReLU", "--pool", "max", *without(SMALL, "--restimulation", "--bits", "--timesteps")]
    assert papers.main(["gpu", "parts", "ann", "--epochs", "1", "--minutes", "60", *ann]) == 0
    assert papers.main(["join", "ann/checkpoint.pt", "ann.pt"]) == 0
    assert torch.load("ann.pt")["settings"]["timesteps"] == 1
    with pytest.raises(ValueError, match="ann.pt: is an ANN, which has no spikes to export: name it as --initial"):
        papers.main(["export", "ann.pt", ".", "ann.h5"])
    more = ["--initial", "ann.pt", "--teacher", "ann/checkpoint.pt", *SMALL]
    assert papers.main(["gpu", "parts", "student", "--minutes", "0", *more]) == 3
    weights, student = (torch.load(path)["net"] for path in ("ann.pt", "student/checkpoint.pt"))
    assert all(torch.equal(value, student[name]) for name, value in weights.items())
    assert len(student) > len(weights)  # by re-stimulation
    settings = torch.load("student/checkpoint.pt")["settings"]
    assert settings["teaching"] == 0.5 and settings["initial"]["neuron"] == settings["teacher"]["neuron"] == "ReLU"
    assert papers.main(["gpu", "parts", "taught", "--minutes", "60", "--epochs", "1", *more]) == 0
    assert papers.main(["join", "taught/checkpoint.pt", "taught.pt"]) == 0
    assert papers.main(["export", "taught.pt", ".", "taught.h5", "--limit", "4"]) == 0
    told = json.loads(eventsim.load("taught.h5").provenance["settings"])
    assert told["teaching"] == 0.5 and told["initial"]["neuron"] == told["teacher"]["neuron"] == "ReLU"
    assert told["initial"]["seconds"] == f"{torch.load('ann.pt')['seconds']:.0f} of training on the CPU"
    for wrong, message in (
            (["--widths", "4", "8"], r"hidden1_dense.weight has the shape \(8, 384\), but here \(8, 512\)"),
            (["--teaching", "2"], "--teaching 2.0: expected above 0 and at most 1 with --teacher")):
        with pytest.raises(ValueError, match=message):
            papers.main(["gpu", "parts", "other", *more, *wrong])
    torch.set_num_threads(before)


def test_a_model_file_learns_on_by_rates_from_another_that_is_asked_once(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    before = torch.get_num_threads()
    begun = ["gpu", "parts", "begun", "--epochs", "1", "--minutes", "60", *SMALL]
    assert papers.main(begun) == 0 and papers.main(["join", "begun/checkpoint.pt", "begun.pt"]) == 0
    assert papers.main(["export", "begun.pt", ".", "begun.h5", "--limit", "4"]) == 0
    more = ["gpu", "parts", "further", "--initial", "begun.h5", "--teacher", "begun.h5", "--teacher-once",
            "--gradients", "rates", "--lr", "0", "--epochs", "1", "--minutes", "60", *SMALL]
    assert papers.main(more) == 0 and papers.main(["join", "further/checkpoint.pt", "further.pt"]) == 0
    capsys.readouterr()
    assert papers.main(["export", "further.pt", ".", "further.h5", "--limit", "4"]) == 0
    proof = json.loads(capsys.readouterr().out.splitlines()[-1])
    torch.set_num_threads(before)
    assert proof["levels_different"] == proof["predictions_different"] == 0 and not proof["trained_different"]
    first, second = (eventsim.load(folder / name) for name in ("begun.h5", "further.h5"))
    told = json.loads(second.provenance["settings"])
    assert told["gradients"] == "rates" and told["teacher_once"]
    ended = {name: first.provenance[name] for name in ("seconds", "accuracy_held_out")}
    assert told["initial"] == told["teacher"] == {**json.loads(first.provenance["settings"]), **ended}
    assert not set(ended) & set(torch.load("further/checkpoint.pt")["made_by"]["initial"])  # as older ones
    for name in ("dense", "stage2_1_again"):  # nothing was learnt, and nothing normalises these
        node, other = first.nodes[name], second.nodes[name]
        weights = [getattr(each, "kernel", getattr(each, "weight", None)) for each in (node, other)]
        np.testing.assert_allclose(*weights, rtol=1e-6)


def without(arguments, *options):
    """Arguments without some options and their values."""
    kept, left_out = [], False
    for argument in arguments:
        left_out = argument in options if argument.startswith("--") else left_out
        kept += [] if left_out else [argument]
    return kept


def test_a_model_file_that_does_not_say_its_network_is_refused(folder, monkeypatch):
    monkeypatch.chdir(folder)
    digits = EXAMPLES.parent / "data" / "digits.h5"
    for option in ("--initial", "--teacher"):
        with pytest.raises(ValueError, match="digits.h5: does not say its network: give a model that the trainer"):
            gpu("digits", "--epochs", "1", option, str(digits))


def test_a_file_that_no_model_can_be_written_to_is_refused_before_all_else(tmp_path):
    for output, message in (("net.txt", "the output net.txt: suffix is '.txt', expected '.h5': name it net.h5"),
                            ("no/net.h5", "the output no/net.h5: there is no folder no")):
        with pytest.raises(ValueError, match=message):
            papers.main(["export", "no checkpoint", "no folder", output])


ANN = ("--neuron", "ReLU")


@pytest.mark.parametrize("more, message", (
    (["--bits", "9", "9"], "--bits 9 9: spikes have 18 bits, but 1 to 16 can be exported"),
    (["--bits", "0", "0"], "--bits 0 0: spikes have 0 bits, but 1 to 16 can be exported"),
    ([*ANN, "--restimulation", "--leak", "0.5"],
     "--restimulation and --leak are of spiking neurons: leave them out with --neuron ReLU"),
    ([*ANN, "--bits", "1", "1"], "--bits is of spiking neurons: leave it out with --neuron ReLU"),
    ([*ANN, "--alpha", "2"], "--alpha is of spiking neurons"),
    ([*ANN, "--timesteps", "4"], "--timesteps 4: a network of ReLU runs once per sample that stands still"),
))
def test_what_cannot_be_is_refused_before_anything_is_read_or_written(more, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        papers.main(["gpu", "no parts", str(tmp_path / "state"), "--carry", str(tmp_path / "out"), *more])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("more, message", (
    (["--neuron", "LIF"], "--neuron LIF: expected one of hard IF"),
    (["--network", "vgg"], "--network vgg: expected one of vgg16"),
    (["--teacher-once"], "--teacher-once: leave it out without --teacher"),
    (["--gradients", "rates", "--neurons", "whole"], "--neurons whole .*: leave it out with --gradients rates"),
    (["--network", "resnet8"], "--dense is for VGG and LeNet: leave it out with resnet8"),
    ([], "checkpoint.pt: is there already: add --resume"),
))
def test_refused_in_a_line(folder, more, message, monkeypatch):
    monkeypatch.chdir(folder)
    before = torch.get_num_threads()
    try:
        with pytest.raises(ValueError, match=message):
            papers.main(["gpu", "parts", "nothing" if more else "state", *SMALL, *more])
        assert not list(Path("nothing").glob("*"))
    finally:
        torch.set_num_threads(before)
