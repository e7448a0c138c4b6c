"""Training within a time: the schedule by the clock, checkpoints that can be carried, data on a device."""

import json
import time

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.optim.swa_utils import AveragedModel  # noqa: E402

from trainer_networks import IMAGE, bars, one_thread  # noqa: E402, F401  (also: where the trainer is)
from picture_files import write_cifar, write_mnist  # noqa: E402
from trainer import augmentation, device_auto_augment, neuron_graphs, packed, pieces  # noqa: E402
from trainer.data import open_data  # noqa: E402
from trainer.networks import NETWORKS, Style  # noqa: E402
from trainer.neurons import Neuron, fixed_point  # noqa: E402
from trainer.on_device import Resident, crop_and_flip, cutout  # noqa: E402
from trainer.timed import NAME, TEMPERATURE, MovingAverage, Plan, Schedule, TimedRecipe, TimedTrainer  # noqa: E402
from trainer.timed import distillation, steps_that_fit  # noqa: E402


# ---- pieces


def test_pieces_are_joined_and_none_is_larger_than_allowed(tmp_path):
    data = np.random.default_rng(0).bytes(2500)
    paths = pieces.split(data, tmp_path, "net", 1000)
    assert [path.stat().st_size for path in paths] == [1000, 1000, 500] and pieces.join(tmp_path, "net") == data
    pieces.split(data[:900], tmp_path, "net", 1000)  # a shorter set leaves nothing of the longer one
    assert [path.suffix for path in sorted(tmp_path.iterdir())] == [".000", ".json"]
    assert pieces.join(tmp_path, "net") == data[:900]
    with pytest.raises(ValueError, match="pieces of 0 bytes are wanted, expected at least 1"):
        pieces.split(data, tmp_path, "net", 0)


class KilledHere(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("n_writes", range(5))
@pytest.mark.parametrize("n_bytes, limit", ((2500, 1000), (2500, 700), (1700, 1000)))
def test_whenever_a_process_is_killed_one_set_of_pieces_is_whole(tmp_path, monkeypatch, n_bytes, limit, n_writes):
    first, second = (np.random.default_rng(seed).bytes(2500) for seed in (0, 1))
    pieces.split(first, tmp_path, "net", 1000)
    (tmp_path / "net.003").write_bytes(b"of a version before")
    (tmp_path / "net.json.txt").write_bytes(b"of the user")
    replace, done = pieces.os.replace, []

    def killed(source, target):
        if len(done) == n_writes:
            raise KilledHere  # leaves the file beside, half written or not
        done.append(target)
        replace(source, target)

    monkeypatch.setattr(pieces.os, "replace", killed)
    after = second[:n_bytes] if limit == 1000 else first  # cut otherwise, the same bytes are another set
    try:
        pieces.split(after, tmp_path, "net", limit)
        whole = after
    except KilledHere:
        whole = first
    assert pieces.join(tmp_path, "net") == whole
    monkeypatch.undo()
    paths = pieces.split(after, tmp_path, "net", limit)
    assert pieces.join(tmp_path, "net") == after
    assert set(tmp_path.iterdir()) == {*paths, tmp_path / "net.json", tmp_path / "net.json.txt"}


def test_pieces_that_do_not_belong_together_are_refused(tmp_path):
    data = bytes(range(250)) * 10
    _, path, _ = pieces.split(data, tmp_path, "net", 1000)
    for damaged, why in ((path.read_bytes()[:-1], "has SHA-256"), (b"x" + path.read_bytes()[1:], "has SHA-256")):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{path.name}: {why}.*bring the whole set again"):
            pieces.join(tmp_path, "net")
    path.unlink()
    with pytest.raises(ValueError, match=f"{path.name}: is missing"):
        pieces.join(tmp_path, "net")
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(ValueError, match="net.json: is no index of pieces"):
        pieces.join(tmp_path, "net")
    with pytest.raises(ValueError, match="other.json: is missing"):
        pieces.join(tmp_path, "other")


@pytest.mark.parametrize("name, write", (("cifar10", write_cifar), ("mnist", write_mnist)))
def test_a_packed_data_set_is_the_data_set(tmp_path, name, write):
    write(tmp_path)
    data = open_data(name, str(tmp_path), 1)
    paths = packed.pack(data, tmp_path / "parts", 20_000)
    assert len(paths) > 1 and all(path.stat().st_size <= 20_000 for path in paths)
    found = packed.unpack(tmp_path / "parts")
    assert (found.name, found.class_names, found.moving) == (data.name, data.class_names, False)
    for part, n in (("training", len(data.training)), ("held_out", len(data.held_out))):
        x, y = getattr(data, part).batch(np.arange(n))
        assert len(getattr(found, part)) == n
        np.testing.assert_array_equal(getattr(found, part).x, x)
        np.testing.assert_array_equal(getattr(found, part).y, y)
    for value in ("shape", "scale", "mean", "std"):
        np.testing.assert_array_equal(getattr(found.input_node, value), getattr(data.input_node, value))


def test_only_pictures_are_packed(tmp_path):
    with pytest.raises(ValueError, match="its samples move, expected pictures"):
        packed.pack(packed.Packed("N-MNIST", None, (), None, None, moving=True), tmp_path)


# ---- augmentation


def pictures(n=40, size=12):
    return torch.from_numpy(np.random.default_rng(3).integers(1, 255, (n, size, size, 3), np.uint8))


def test_crop_and_flip_shift_and_mirror():
    x, fill = pictures(), torch.tensor([0, 0, 0], dtype=torch.uint8)
    found = crop_and_flip(x, fill, torch.Generator().manual_seed(0), padding=2).numpy()
    padded = np.pad(x.numpy(), ((0, 0), (2, 2), (2, 2), (0, 0)))
    seen = set()
    for sample, picture in zip(padded, found):
        of = [(top, left, mirrored) for top in range(5) for left in range(5) for mirrored in (False, True)
              if (sample[top : top + 12, left : left + 12][:, :: -1 if mirrored else 1] == picture).all()]
        assert len(of) == 1
        seen.update(of)
    assert {top for top, _, _ in seen} == {left for _, left, _ in seen} == set(range(5))
    assert {mirrored for *_, mirrored in seen} == {False, True}


def test_cutout_blanks_a_square():
    x, fill = pictures(), torch.tensor([0, 255, 0], dtype=torch.uint8)
    found = cutout(x, fill, torch.Generator().manual_seed(0), size=4)
    changed = (found != x).any(3).numpy()
    assert (found[torch.from_numpy(changed)] == fill).all()
    for mask in changed:
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert 2 <= len(rows) <= 4 and 2 <= len(columns) <= 4 and mask.sum() == len(rows) * len(columns)
    assert {int(mask.sum()) for mask in changed} >= {16, 12}  # whole ones, and some cut at the border


def test_auto_augment_computes_what_pillow_does():
    image = pytest.importorskip("PIL.Image")
    x = pictures(6)
    x[0] //= 3  # low contrast
    x[1] = 77  # none
    for name in device_auto_augment.OPERATIONS[1:]:
        for magnitude, sign in ((0, 1), (4, 1), (9, -1 if name in augmentation.SIGNED else 1)):
            found = device_auto_augment.operate(
                x, torch.full((6,), device_auto_augment.NUMBER[name]), torch.full((6,), float(magnitude)),
                torch.full((6,), float(sign)))
            expected = [np.asarray(augmentation.operate(image.fromarray(p), name, magnitude, sign))
                        for p in x.numpy()]
            np.testing.assert_array_equal(found.numpy(), expected, err_msg=f"{name} {magnitude} {sign}")


def test_what_a_step_sees_depends_on_its_generator_alone():
    part = packed.Part(pictures(8).permute(0, 3, 1, 2).numpy(), np.arange(8))
    resident = Resident(part, open_node(), "cpu", "paper")
    (x, y), (again, _), (other, _) = (resident.batch([5, 2], np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert y.tolist() == [5, 2] and x.shape == (2, 3, 12, 12)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, again) and not torch.equal(x, other)
    assert (resident.batch([5, 2])[0].numpy() == part.x[[5, 2]]).all()  # none without a generator


def open_node():
    return packed.SimpleNamespace(shape=(3, 12, 12), scale=1 / 255, mean=np.full(3, 0.5), std=np.ones(3))


# ---- neurons


@pytest.mark.parametrize("settings", (
    {"mpr": True}, {"mpr": True, **fixed_point(1, 2)}, {"leak": 0.5},
    {"reset": "hard", "leak": 0.5, "v_reset": 0.1}, {"reset": "hard", "bits": 2},
))
def test_graphs_give_the_spikes_and_gradients_of_the_layer(settings):
    neuron, x = Neuron(**settings), 2 * torch.randn(4, 3, 5, 6, 7)
    s = neuron_graphs.Settings.of(neuron)
    graph = neuron_graphs.Graph((lambda c: neuron_graphs.integrate(c, s),
                                 lambda g, c: neuron_graphs.backpropagate(g, c, s)))
    for layout in (lambda x: x, lambda x: x.movedim(2, 4).contiguous().movedim(4, 2),
                   lambda x: x[:1].expand(4, *x.shape[1:]),
                   lambda x: x.transpose(0, 1).contiguous().transpose(0, 1)):
        results, grad = [], torch.randn(x.shape)
        for neuron.graph in (None, graph, neuron_graphs.Traced(s)):
            leaf = x.clone().requires_grad_()
            values = neuron(layout(leaf))
            values.backward(grad)
            results.append((values, leaf.grad))
        (plain, expected), *others = results
        for values, found in others:
            assert torch.equal(plain, values) and plain.any()
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    half = graph(x.bfloat16())
    assert half.dtype == torch.bfloat16 and torch.equal(half.float(), graph(x.bfloat16().float()))


def test_without_a_compiler_and_with_one_that_errs_layers_stay_as_they_are(monkeypatch):
    net = torch.nn.Sequential(Neuron(mpr=True))

    def missing(function, dynamic):
        raise RuntimeError("no C++ compiler\nand more")

    monkeypatch.setattr(torch, "compile", missing)
    neuron_graphs.compiled.cache_clear()
    assert neuron_graphs.use_graphs(net, "cpu", 2) == "plain: RuntimeError: no C++ compiler"
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: lambda *a: function(*a) * 1.5)
    neuron_graphs.compiled.cache_clear()
    told = "plain: ArithmeticError: the compiled neurons give other spikes"
    assert neuron_graphs.use_graphs(net, "cpu", 2) == told
    assert net[0].graph is None
    monkeypatch.setattr(torch, "compile", lambda function, dynamic: function)
    neuron_graphs.compiled.cache_clear()
    assert neuron_graphs.use_graphs(net, "cpu", 2) == "compiled" and net[0].graph is not None
    neuron_graphs.compiled.cache_clear()
    other = torch.nn.Sequential(Neuron(surrogate="triangle"))
    assert neuron_graphs.use_graphs(other, "cpu", 2).startswith("plain: graphs know the rectangular surrogate")


def test_a_network_compiled_as_a_whole_is_one_graph_with_the_same_gradients(monkeypatch):
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda net, dynamic: compile_(net, backend="aot_eager", fullgraph=True))
    net = NETWORKS["lenet"](Style({"mpr": True, **fixed_point(1, 2)}), 2, IMAGE.shape, 2, widths=(4,), dense=())
    x, y = torch.randn(6, *IMAGE.shape), torch.arange(6) % 2
    results = []
    for forward in (net, neuron_graphs.whole(net)):  # in this order: from then on the neurons are traced
        net.zero_grad()
        outputs = forward(x)
        torch.nn.functional.cross_entropy(outputs, y).backward()
        results.append([outputs, *(p.grad for p in net.parameters())])
    for plain, found in zip(*results):
        torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="rectangular surrogate alone, but one is 'triangle'"):
        neuron_graphs.whole(torch.nn.Sequential(Neuron(surrogate="triangle")))


def test_beyond_what_polynomials_hold_for_the_slope_is_exact():
    u = torch.linspace(-6, 9, 500)
    near, far = (neuron_graphs.rectifier_slope(u, 3, furthest) for furthest in (2.0, 7.0))
    exact = Neuron(bits=2, mpr=True)._rectifier_slope(u.double())
    torch.testing.assert_close(far.double(), exact, rtol=1e-5, atol=1e-6)
    within = (u >= -3) & (u <= 6)
    torch.testing.assert_close(near[within].double(), exact[within], rtol=1e-5, atol=1e-6)


# ---- the schedule


def test_the_learning_rate_rises_waits_for_the_clock_and_falls_along_a_cosine():
    schedule = Schedule(4)
    assert [schedule.factor(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1] and schedule.n_steps is None
    schedule.choose(10, 30)
    assert schedule.factor(10) == 1 and schedule.factor(20) == pytest.approx(0.5) and schedule.n_steps == 30
    assert schedule.factor(30) == pytest.approx(0)
    before = schedule.factor(20)
    schedule.choose(20, 25)  # shortened: no jump, and the rest is twice as fast
    assert schedule.factor(20) == pytest.approx(before) and schedule.factor(25) == pytest.approx(0)
    assert schedule.progress(22) == pytest.approx(0.7) and schedule.progress(15) == pytest.approx(0.25)
    early = Schedule(8)
    early.choose(2, 20)  # the clock was faster than the warm-up, which is finished first
    assert early.factor(2) == 3 / 8 and early.factor(8) == 1 and early.progress(14) == pytest.approx(0.5)


@pytest.mark.parametrize("step, n_steps, warm_up", ((10, 60, 30), (10, 15, 10), (10, 400, 190), (200, 210, 190)))
def test_a_warm_up_that_takes_too_long_is_shortened(step, n_steps, warm_up):
    schedule = Schedule(190)
    schedule.shorten_warm_up(step, n_steps)
    schedule.choose(step, n_steps)
    assert schedule.warm_up == warm_up and schedule.n_steps == n_steps
    assert max(schedule.factor(at) for at in range(n_steps)) > 0.9
    assert schedule.factor(n_steps - 1) < 0.1 and schedule.factor(n_steps) == pytest.approx(0)


def test_a_warm_up_reaches_the_whole_rate_however_often_the_end_is_chosen_anew():
    schedule, rng = Schedule(702), np.random.default_rng(0)
    for step, n_steps in ((38, 702), (86, 351)):
        schedule.shorten_warm_up(step, n_steps)
        schedule.choose(step, n_steps)
    assert schedule.warm_up == 175 and max(schedule.factor(at) for at in range(351)) > 0.99
    assert schedule.factor(86) == 87 / 175 and schedule.factor(350) < 0.01
    for _ in range(200):
        schedule, step = Schedule(int(rng.integers(1, 300))), 0
        while step < schedule.warm_up:
            n_steps = step + int(rng.integers(20, 600))
            schedule.shorten_warm_up(step, n_steps)
            schedule.choose(step, n_steps)
            rates = [schedule.factor(at) for at in range(step, n_steps)]
            assert max(rates) > 0.97 and rates[-1] < 0.2
            top = schedule.warm_up - step
            assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
            step += int(rng.integers(1, 30))


def test_whole_epochs_fit_by_the_measured_rate():
    # 40 steps done, 3 a second, 100 seconds left: 340 steps are 3 epochs of 90 and a rest
    assert steps_that_fit(40, 3.0, 100.0, 90) == 270
    assert steps_that_fit(40, 3.0, 10.0, 90) == 70  # less than an epoch: what fits
    assert steps_that_fit(85, 3.0, 3.0, 90) == 90
    assert steps_that_fit(89, 3.0, 1.0, 90) == 90 and steps_that_fit(95, 3.0, 0.0, 90) == 96


# ---- the trainer


def trainer(folder, recipe, carried=None, log=None, plan=Plan(1000.0)):
    torch.manual_seed(0)
    net = NETWORKS["lenet"](Style({"mpr": True}), 2, IMAGE.shape, 2, widths=(4, 4), dense=(8,))
    part, held_out = packed.Part(*bars(64)), packed.Part(*bars(40, seed=2))
    return TimedTrainer(net, Resident(part, IMAGE, "cpu", "simple"), IMAGE, recipe, "cpu", folder / "net.pt",
                        {"network": "lenet"}, plan, log or (lambda line: None), held_out, carried)


FEW = TimedRecipe(epochs=3, batch_size=16, lr=0.05, warm_up=0.5, average=0.5)


def weights(t):
    return torch.cat([p.detach().flatten() for p in t.average.module.state_dict().values()])


def test_stopped_and_resumed_it_trains_the_same_network(tmp_path):
    whole = trainer(tmp_path / "whole", FEW)
    whole.run_for(60.0, time.monotonic())
    assert whole.finished and whole.step == 12 and len(whole.losses) == 3
    (tmp_path / "stopped").mkdir()
    first = trainer(tmp_path / "stopped", FEW)
    step_on = first.step_on

    def until_the_fifth():
        step_on()
        first.stopped = first.step == 5

    first.step_on = until_the_fifth
    first.run_for(60.0, time.monotonic())
    second = trainer(tmp_path / "stopped", FEW)
    assert second.step == 5 and second.schedule == first.schedule
    second.run_for(60.0, time.monotonic())
    assert torch.equal(weights(whole), weights(second)) and whole.losses == second.losses
    with pytest.raises(ValueError, match="net.pt: was made with another recipe: lr 0.05, but now 0.5; "
                       "average 0.5, but now 2; give the same one or another file$"):
        trainer(tmp_path / "stopped", TimedRecipe(**{**vars(FEW), "lr": 0.5, "average": 2}))


def test_it_learns_and_tells_of_it(tmp_path):
    lines = []
    t = trainer(tmp_path, TimedRecipe(epochs=10, batch_size=16, lr=0.1, warm_up=1.0, average=1.0),
                log=lambda line: lines.append(json.loads(json.dumps(line))))
    t.part.augmentation = "none"
    t.run_for(60.0, time.monotonic())
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == list(range(1, 11))
    assert epochs[-1]["loss"] < epochs[0]["loss"] - 0.2
    assert lines[-1]["event"] == "checkpoint" and lines[-1]["held_out_accuracy"] > 0.9


def test_what_can_be_carried_is_the_whole_or_the_average(tmp_path):
    t = trainer(tmp_path, FEW, (tmp_path / "out", 10_000, 1_000_000))
    for _ in range(5):
        t.step_on()
    t.keep()
    whole = pieces.join(tmp_path / "out", NAME)
    assert whole == (tmp_path / "net.pt").read_bytes()
    t.carried = (tmp_path / "out", 10_000, 2 * len(whole) - 1)  # for a moment there are two
    t.keep()
    assert len(pieces.join(tmp_path / "out", NAME)) < len(whole)
    assert all(path.stat().st_size <= 10_000 for path in (tmp_path / "out").glob("*.0*"))
    (tmp_path / "fresh").mkdir()
    fresh = trainer(tmp_path / "fresh", FEW)
    fresh.resume(tmp_path / "out")
    assert fresh.step == 5 and fresh.schedule == t.schedule and torch.equal(weights(fresh), weights(t))
    assert all(torch.equal(a, b) for a, b in zip(fresh.net.parameters(), t.average.module.parameters()))
    with pytest.raises(ValueError, match="the average of the weights has .* bytes, but 100 can be carried"):
        trainer(tmp_path / "other", FEW, (tmp_path / "out", 10_000, 100))  # before anything is trained


def test_the_epochs_are_chosen_by_the_clock_and_shortened_when_it_runs_out(tmp_path):
    lines = []
    t = trainer(tmp_path, TimedRecipe(batch_size=16, lr=0.05, warm_up=0.5), log=lines.append, plan=Plan(100.0))
    assert t.n_steps is None and not t.finished
    t.seconds = 20.0
    t.choose(2.0)  # steps a second: 0.97 * 80 * 2 = 155 steps, 38 epochs of 4
    assert t.n_steps == 152 and lines[-1]["images_per_second"] == 32 and lines[-1]["epochs"] == 38
    t.follow(2.0)
    assert t.n_steps == 152  # on time
    t.step = 24
    t.follow(2.2)  # 24 + 170 steps fit, 48 epochs, but the last 4 minutes were slower
    assert t.n_steps == 192 and t.schedule.progress(24) == pytest.approx((24 - 2) / 150)
    t.choose(1.65)
    assert t.n_steps == 152
    t.step, t.seconds = 52, 60.0
    t.follow(1.0)  # half as fast: 38 of the 100 steps fit, 90 in all, 22 epochs
    assert t.n_steps == 88 and t.schedule.progress(52) == pytest.approx((52 - 2) / 150)
    t.seconds = 200.0
    t.follow(1.0)  # too late: one more step, at the end of the cosine
    assert t.n_steps == 53


def test_the_clock_chooses_fewer_steps_than_the_warm_up_takes_and_they_are_kept(tmp_path):
    lines = []
    recipe = TimedRecipe(batch_size=16, lr=0.05, warm_up=20.0)  # 80 steps
    t = trainer(tmp_path, recipe, log=lines.append, plan=Plan(30.0))
    t.step, t.seconds = 5, 20.0
    t.choose(4.0)  # 5 + 0.97 * 10 * 4 steps: 10 epochs of 4
    assert t.n_steps == 40 and lines[-1]["steps"] == 40 and lines[-1]["warm_up"] == 5
    assert t.learning_rate() == pytest.approx(0.05 * 6 / 20)
    t.keep()
    again = trainer(tmp_path, recipe, plan=Plan(30.0))
    assert again.schedule == t.schedule and again.learning_rate() == t.learning_rate()


@pytest.mark.parametrize("epochs, warm_up", ((1, 1.0), (2, 3.5), (1, 0.9)))  # of 4 steps each
def test_a_warm_up_as_long_as_the_training_is_refused(epochs, warm_up, tmp_path):
    with pytest.raises(ValueError, match=f"--warm-up {warm_up:g}: .* there are {4 * epochs}, expected fewer"):
        trainer(tmp_path, TimedRecipe(epochs=epochs, batch_size=16, warm_up=warm_up))
    t = trainer(tmp_path, TimedRecipe(epochs=epochs, batch_size=16, warm_up=epochs / 2))
    assert t.n_steps == 4 * epochs


def test_the_time_for_all_is_kept(tmp_path):
    recipe = TimedRecipe(batch_size=16)
    first = trainer(tmp_path, recipe, plan=Plan(100.0, measured=7.0))
    first.step_on()
    first.seconds = 40.0
    first.keep()
    assert trainer(tmp_path, recipe, plan=Plan(None, measured=9.0)).plan == Plan(100.0, measured=9.0)
    assert trainer(tmp_path, recipe, plan=Plan(60.0)).plan.total == 60.0
    with pytest.raises(ValueError, match="net.pt: has spent 0.67 of the 0.5 minutes of --total: give more by"):
        trainer(tmp_path, recipe, plan=Plan(30.0))
    state = torch.load(tmp_path / "net.pt")
    for added in ("planned", "warm_up"):  # older checkpoints lack them
        del state[added]
    torch.save(state, tmp_path / "net.pt")
    assert trainer(tmp_path, recipe, plan=Plan(60.0)).step == 1
    with pytest.raises(ValueError, match="net.pt: does not say how long the whole training may take: add --total"):
        trainer(tmp_path, recipe, plan=Plan(None))


def test_with_epochs_the_clock_ends_nothing(tmp_path):
    first = trainer(tmp_path, FEW, plan=Plan(1.0))
    first.step_on()
    first.seconds = 40.0
    first.keep()
    assert trainer(tmp_path, FEW, plan=Plan(None)).step == trainer(tmp_path, FEW, plan=Plan(1.0)).step == 1


def test_the_average_is_that_of_pytorch_to_the_bit():
    def as_before(averages, values, n):
        if torch.is_floating_point(averages[0]):
            torch._foreach_lerp_(averages, values, 1 - min(0.9, (1 + int(n)) / (10 + int(n))))
        else:
            torch._foreach_copy_(averages, values)

    net = NETWORKS["lenet"](Style({"mpr": True}, restimulation=True), 2, IMAGE.shape, 2, widths=(4, 6), dense=(8,))
    expected = AveragedModel(net, multi_avg_fn=torch.no_grad()(as_before), use_buffers=True)
    average = MovingAverage(net, 0.9)
    for step in range(20):
        with torch.no_grad():
            for tensor in net.state_dict().values():
                tensor.copy_(torch.randn(tensor.shape) * 3)
        for updated in (expected.update_parameters, average.update):
            updated(net)
        theirs, ours = expected.module.state_dict(), average.module.state_dict()
        assert theirs.keys() == ours.keys()
        assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
        assert all(value.dtype == ours[name].dtype for name, value in theirs.items())
    assert not all(torch.equal(value, ours[name]) for name, value in net.state_dict().items())


def test_the_number_of_updates_is_on_no_device(tmp_path, monkeypatch):
    t = trainer(tmp_path, FEW)
    for method in ("item", "__int__", "__bool__", "__float__"):
        monkeypatch.setattr(torch.Tensor, method, lambda *_: pytest.fail("a step waits for the device"))
    for _ in range(3):
        t.average.update(t.net)
    assert t.average.n_updates == 3


def test_the_average_moves_with_the_weights(tmp_path):
    t = trainer(tmp_path, FEW)  # decay 1 - 1 / 2
    weight, average = t.net.layers["dense"].weight, t.average.module.layers["dense"].weight
    expected = None
    for n in range(4):
        t.step_on()
        share = 1 - min(0.5, (1 + n) / (10 + n))
        now = weight.detach().clone()
        expected = now if expected is None else expected + share * (now - expected)
    torch.testing.assert_close(average, expected)
    assert t.average.module.layers["stage1_1_norm"].num_batches_tracked == 4


def test_a_teacher_is_learnt_from_as_much_as_the_recipe_says(tmp_path):
    torch.manual_seed(1)
    outputs, taught = torch.randn(5, 2), torch.randn(5, 2)
    p, q = ((x / TEMPERATURE).softmax(1) for x in (taught, outputs))
    expected = TEMPERATURE**2 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(distillation(outputs, taught), expected)
    assert distillation(taught, taught) == 0
    t = trainer(tmp_path, TimedRecipe(**{**vars(FEW), "smoothing": 0.0, "teaching": 0.25}))
    t.teacher = lambda values: values.flatten(1)[:, :2]
    values, y = torch.randn(5, *IMAGE.shape), torch.tensor([0, 1, 1, 0, 1])
    labels = torch.nn.functional.cross_entropy(outputs, y)
    torch.testing.assert_close(t.loss(outputs, y, values),
                               0.75 * labels + 0.25 * distillation(outputs, values.flatten(1)[:, :2]))
    t.teacher, t.chosen = taught[[4, 3, 2, 1, 0]], np.array([4, 3, 2, 1, 0])  # by the samples of this step
    torch.testing.assert_close(t.loss(outputs, y, values), 0.75 * labels + 0.25 * distillation(outputs, taught))


def test_a_loss_that_is_not_finite_is_told(tmp_path):
    t = trainer(tmp_path, FEW)
    t.descend = lambda: torch.tensor(float("nan"))
    with pytest.raises(FloatingPointError, match="the loss of the epoch before step 4 is nan: lower"):
        t.run_for(60.0, time.monotonic())
