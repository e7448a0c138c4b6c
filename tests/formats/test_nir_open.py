"""What NIR leaves open: the input of an IF, the number of steps, each tool's defaults, values per neuron, and
that what was assumed is said."""

import json
import re
import warnings

import h5py
import numpy as np
import pytest
from nir_files import chain, DEFAULT, lif, PRESETS, Reference, write
from oracles import FIELD, needs_field

import eventsim
from eventsim import (
    EventsimWarning, FormatError, Input, Model, Neuron, Readout, RunError, Simulator, UnsupportedError,
)
from eventsim.cli import main
from eventsim.formats.nir import presets

STEPS = np.ones((1, 12, 1), int)


def one_if(r, weight=0.3, **members):
    return chain((1,), {"type": "Linear", "weight": np.array([[weight]])}, lif(1, "IF", r=r, **members))


def load(tmp_path, network, **options):
    """The Model of a file, and what was said while it was read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = eventsim.load(write(tmp_path / "net.nir", *network), **options)
    return model, [str(warning.message) for warning in caught]


def steps_of(model, x=STEPS):
    """The steps at which its one neuron fires."""
    return np.flatnonzero(Simulator(model).run(x).levels(model.output)).tolist()


# ---- IF: dv/dt = r I


@needs_field
@pytest.mark.parametrize("options", [{}, {"dt": 1e-4}, {"preset": "spikingjelly"}, {"preset": "norse"},
                                     {"if_input": "dt_r", "dt": 1e-4}], ids=str)
def test_an_if_with_r_of_a_step(options):
    """0.3 a step, threshold 1: every fourth step."""
    model = eventsim.load(FIELD / "if_r.nir", **options)
    assert steps_of(model, np.ones((1, 12, *model.shapes[model.input]), int)) == [3, 7, 11]


@pytest.mark.parametrize("r", [1e4, np.float32(1e4), np.array([1e4]), np.array(1e4), np.array([10_000])], ids=str)
def test_r_of_any_type_and_shape(tmp_path, r):
    assert steps_of(load(tmp_path, one_if(r))[0]) == [3, 7, 11]


@pytest.mark.parametrize("dt", [1e-4, 3e-4, 7e-3])
def test_r_is_one_step_in_float32_too(tmp_path, dt):
    model, _ = load(tmp_path, one_if(np.float32(1 / dt)), dt=dt)
    assert model.nodes["n1"].input_gain == 1
    model, _ = load(tmp_path, one_if(np.float32(1 / dt)))  # and says what the step is
    assert model.nodes["n1"].input_gain == 1 and "1 / r of its IF neurons" in model.provenance["assumed dt"]


@pytest.mark.parametrize("preset, gain", [
    (None, 1), ("norse", 1), ("sinabs", 1), ("snntorch", 1), ("spikingjelly", 1e-4)])
def test_an_r_of_1_is_kept_but_by_spikingjelly(tmp_path, preset, gain):
    model, _ = load(tmp_path, one_if(1.0), preset=preset)
    assert model.nodes["n1"].input_gain == gain
    assert "assumed if_input" in model.provenance


@pytest.mark.parametrize("way, gain", [("auto", 0.02), ("dt_r", 0.02), ("x", 1), ("r", 20)])
def test_ways_of_reading_r(tmp_path, way, gain):
    model, _ = load(tmp_path, one_if(20.0), if_input=way)
    assert model.nodes["n1"].input_gain == pytest.approx(gain, rel=1e-15)


def test_a_step_is_only_taken_from_r_where_it_can_be_one(tmp_path):
    two = chain((1,), lif(1, "IF", r=1e4), {"type": "Linear", "weight": np.ones((1, 1))}, lif(1, "IF", r=1e3))
    for network in (two, one_if(50.0)):
        assert load(tmp_path, network)[0].provenance["assumed dt"] == "0.001 (default, as norse)"
    model, _ = load(tmp_path, one_if(1e4), preset="spikingjelly", dt=1e-3)
    assert model.nodes["n1"].input_gain == 10  # given is given
    assert load(tmp_path, one_if(1e3), preset="spikingjelly")[0].nodes["n1"].input_gain == 1


@pytest.mark.parametrize("gain", [1.0, 0.3, [0.5, 3.0]], ids=str)
@pytest.mark.parametrize("last", [Neuron, Readout])
def test_written_gains_come_back(tmp_path, gain, last):
    node = Neuron(input_gain=gain, reset="hard", comparison=">") if last is Neuron else Readout("last", 1.0, gain)
    model = Model({"in": Input((2,)), "n": node}, [("in", "n")], 3)
    for dt in (1e-4, 1e-3):
        eventsim.save(model, tmp_path / "own.nir", dt=dt)
        assert np.array_equal(eventsim.load(tmp_path / "own.nir").nodes["n"].input_gain, gain)
        with h5py.File(tmp_path / "own.nir") as file:
            r = file["node/nodes/n/r"][()]
        assert np.allclose(r, 1 if np.all(np.equal(gain, 1)) else np.divide(gain, dt))


def test_files_of_eventsim_0_2_keep_their_gains(tmp_path):
    """They wrote gains as they are, and every option but if_input."""
    path = write(tmp_path / "old.nir", *one_if(0.5), metadata={"eventsim.dt": 1e-4, "eventsim.timesteps": 3})
    model = eventsim.load(path)
    assert model.nodes["n1"].input_gain == 0.5 and model.timesteps == 3


# ---- no number of steps, no run


def test_no_number_of_steps_no_run(tmp_path, capsys):
    path = write(tmp_path / "a.nir", *one_if(1.0))
    np.savez(tmp_path / "flat.npz", x=np.ones((2, 1), int))
    np.savez(tmp_path / "steps.npz", x=np.ones((2, 12, 1), int))
    model = eventsim.load(path, preset="norse")
    assert model.timesteps is None and "steps not given" in repr(model)
    message = f"{re.escape(str(path))}: does not say how many steps a run takes, .*: give timesteps"
    for call in (lambda: Simulator(model).run([[1]]), lambda: list(Simulator(model).iterate([[[1]]])),
                 lambda: eventsim.evaluate(Simulator(model), np.ones((2, 1), int)),
                 lambda: eventsim.evaluate(Simulator(model), tmp_path / "flat.npz", out=tmp_path / "run.h5"),
                 lambda: eventsim.compare(model, model, [[1]])):
        with pytest.raises(RunError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "run.h5").exists()
    assert steps_of(model) == [3, 7, 11] and Simulator(model).run([[1]], timesteps=5).timesteps == 5
    assert eventsim.compare(model, model, [[1]], timesteps=4).equal
    flat, given = [str(path), str(tmp_path / "flat.npz"), "--preset", "norse"], ["--timesteps", "4"]
    assert main(["run", *flat]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"eventsim: {path}: does not say how many steps") and err.count("\n") == 1
    assert "--timesteps N" in err
    assert main(["run", *flat, *given]) == 0
    assert main(["run", str(path), str(tmp_path / "steps.npz"), "--preset", "norse"]) == 0
    sides = [f"{path}@norse", f"{path}@norse", str(tmp_path / "flat.npz")]
    assert main(["diff", *sides]) == 1 and main(["diff", *sides, *given]) == 0


def test_open_steps_stay_open(tmp_path, capsys):
    path = write(tmp_path / "a.nir", *one_if(1.0))
    assert main(["info", str(path), "--preset", "norse"]) == 0
    assert "steps not given" in capsys.readouterr().out
    assert main(["info", str(path), "--preset", "norse", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["timesteps"] is None
    for suffix in (".h5", ".nir"):
        out = tmp_path / f"out{suffix}"
        assert main(["convert", str(path), str(out), "--preset", "norse"]) == 0
        assert "steps not given" in capsys.readouterr().out
        assert eventsim.load(out).timesteps is None
        assert main(["convert", str(path), str(out), "--preset", "norse", "--timesteps", "7"]) == 0
        assert "7 steps" in capsys.readouterr().out and eventsim.load(out).timesteps == 7
    with h5py.File(tmp_path / "open.h5", "w") as file, h5py.File(tmp_path / "out.h5") as closed:
        for name in closed:
            closed.copy(name, file)
        file["timesteps_open"] = 2
    with pytest.raises(FormatError, match="'timesteps_open' is 2, expected a flag"):
        eventsim.load(tmp_path / "open.h5")


# ---- each tool's own defaults


def two_layers(kind, n=6, **members):
    rng = np.random.default_rng(3)
    dense = [{"type": "Affine", "weight": rng.normal(0.2, 0.5, (n, n)), "bias": rng.normal(0, 0.1, n)}
             for _ in range(2)]
    return chain((n,), dense[0], lif(n, kind, **members), dense[1], lif(n, kind, **members))


def written_by_spikingjelly(dt=1e-4):
    """As its export writes them, v_reset not 0: (members, starts at)."""
    return {
        "IF": dict(r=np.full(6, 1 / dt), v_reset=np.full(6, -0.5)),
        "LIF": dict(tau=np.full(6, 2 * dt), v_leak=np.full(6, 0.25), v_reset=np.full(6, 0.25)),
        "CubaLIF": dict(tau_syn=np.full(6, 2 * dt), tau_mem=np.full(6, 4 * dt), r=np.full(6, 4.0),
                        w_in=np.full(6, 2.0),
                        v_reset=np.full(6, -0.25)),
    }


@pytest.mark.parametrize("kind", ["IF", "LIF", "CubaLIF"])
def test_spikingjelly(tmp_path, kind):
    nodes, edges = two_layers(kind, **written_by_spikingjelly()[kind])
    model, messages = load(tmp_path, (nodes, edges), preset="spikingjelly", input_bits=1)
    x = np.random.default_rng(1).integers(0, 2, (2, 40, 6))
    run = Simulator(model, "float64").run(x)
    for levels, sample in zip(run.levels("n3"), x):
        expected = Reference(nodes, edges, **PRESETS["spikingjelly"]).run(sample)["n3"]
        assert np.array_equal(levels, expected) and expected.any()
    assert not messages


def test_spikingjelly_fires_at_its_threshold(tmp_path):
    network = one_if(1e4, weight=1.0, v_threshold=np.array([3.0]))
    assert steps_of(load(tmp_path, network, preset="spikingjelly")[0]) == [2, 5, 8, 11]
    assert steps_of(load(tmp_path, network)[0]) == [3, 7, 11]


def test_norse_starts_at_the_leak(tmp_path):
    """tau 2 steps: V = 0.5, at v_leak 0.5 from the first step on, not 0.25."""
    network = chain((1,), lif(1, tau=2e-3, v_leak=0.5, v_threshold=0.4, v_reset=0.0))
    x = np.zeros((1, 2, 1), int)
    assert steps_of(load(tmp_path, network, preset="norse")[0], x) == [0]
    assert steps_of(load(tmp_path, network)[0], x) == []


def test_sinabs_by_its_own_defaults(tmp_path):
    """norm_input=True: the input times 1 - exp(-1 / tau); min_v_mem=None: no lower limit."""
    model, messages = load(tmp_path, chain((1,), lif(1, tau=10.0)), preset="sinabs")
    assert model.nodes["n0"].input_gain == pytest.approx(-np.expm1(-0.1), rel=1e-15)
    assert model.nodes["n0"].leak == pytest.approx(np.exp(-0.1), rel=1e-15)
    assert load(tmp_path, one_if(1.0), preset="sinabs")[0].nodes["n1"].v_min is None
    [integration, bits] = messages
    assert "assumed integration exponential, its layers' default" in integration
    assert "sinabs's neurons send any number of spikes a step: assumed bits 8, and more spikes" in bits
    assert not any("was assumed" in message or message.endswith("...") for message in messages)
    assert not load(tmp_path, one_if(1.0), preset="sinabs", bits=1)[1]
    # what the preset was before
    assert load(tmp_path, one_if(1.0), preset="sinabs", lower_limit="IF")[0].nodes["n1"].v_min == -1
    model, _ = load(tmp_path, chain((1,), lif(1, tau=10.0)), preset="sinabs", integration="impulse")
    assert model.nodes["n0"].input_gain == 1


def snntorch_lif(beta, n=1):
    """Members that snnTorch writes for Leaky(beta)."""
    with np.errstate(divide="ignore"):
        tau = np.full(n, 1e-4 / (1 - np.float32(beta)))
    return lif(n, tau=tau, r=tau / 1e-4, v_reset=np.zeros(n))


def test_snntorch_subtracts_a_step_late(tmp_path):
    """beta = 1, 0.3 a step: 1.2 fires at step 3; 1.5 - 1, 0.8, 1.1 fires at step 6; 0.4, 0.7, 1.0, 1.3."""
    network = chain((1,), {"type": "Linear", "weight": np.array([[0.3]])}, snntorch_lif(0.5))
    network[0]["n1"].update(tau=np.array([np.inf]), r=np.array([np.inf]))
    model, messages = load(tmp_path, network, preset="snntorch")
    node = model.nodes["n1"]
    assert (node.reset, node.reset_delay, node.leak, node.v_threshold, node.input_gain) == ("soft", 1, 1, 1, 1)
    [line] = messages
    assert "which reset" in line and "--reset" in line and "\n" not in line
    assert steps_of(model)[:2] == [3, 6]
    model, messages = load(tmp_path, network, preset="snntorch", reset="zero")
    assert steps_of(model) == [3, 7, 11] and not messages and model.nodes["n1"].reset_delay == 0


def test_an_infinite_tau_needs_an_infinite_r(tmp_path):
    for members, options in ((dict(tau=np.inf, r=1.0), {"preset": "snntorch"}), (dict(tau=1e-3, r=np.inf), {}),
                             (dict(tau=np.inf, r=np.inf), {})):
        with pytest.raises(eventsim.UnsupportedError, match="node 'n0' .*infinite, as snnTorch writes beta = 1"):
            load(tmp_path, chain((1,), lif(1, **members)), **options)
    with pytest.raises(FormatError, match="r has a value that is not finite"):
        load(tmp_path, chain((2,), lif(2, r=np.array([np.inf, np.nan]))), preset="snntorch")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reset", ("subtract", "zero"))
@pytest.mark.parametrize("kind", ("Leaky", "Synaptic", "RLeaky", "RSynaptic"))
def test_what_snntorch_writes_is_what_it_computes(tmp_path, kind, reset):
    """A layer with either reset beside one that subtracts, as snnTorch does by default."""
    nir, torch, snn = (pytest.importorskip(name) for name in ("nir", "torch", "snntorch"))
    export = pytest.importorskip("snntorch.export_nir").export_to_nir
    torch.manual_seed(0)
    same = dict(beta=torch.full((12,), 0.9), threshold=torch.ones(12), init_hidden=True, reset_mechanism=reset)
    same |= {"alpha": torch.full((12,), 0.6)} if "Synaptic" in kind else {}
    same |= {"linear_features": 12} if kind[0] == "R" else {}
    last = snn.Leaky(beta=torch.full((5,), 0.8), threshold=torch.ones(5), init_hidden=True)
    net = torch.nn.Sequential(torch.nn.Linear(8, 12), getattr(snn, kind)(**same), torch.nn.Linear(12, 5), last)
    for layer in net[::2]:
        layer.weight.data *= 4
    x = np.random.default_rng(0).integers(0, 2, (3, 40, 8))
    nir.write(tmp_path / "net.nir", export(net, torch.zeros(8)))
    for layer in net[1::2]:
        layer.reset_mem()
    with torch.no_grad():
        theirs = torch.stack([net(torch.tensor(x[:, t], dtype=torch.float32)) for t in range(40)], 1).numpy()
    first = "1.lif" if kind[0] == "R" else "1"
    own = {} if reset == "subtract" else {first: "zero"}
    with pytest.warns(EventsimWarning, match="which reset"):
        model = eventsim.load(tmp_path / "net.nir", preset="snntorch", reset=own)
    assert np.array_equal(Simulator(model).run(x).levels("3"), theirs) and theirs.any()


# ---- values per neuron


def test_neurons_differ(tmp_path):
    nodes, edges = two_layers("LIF")
    own = {"n1": "zero", "n3": "soft"}
    model, messages = load(tmp_path, (nodes, edges), preset="snntorch", reset=own)
    assert [model.nodes[name].reset for name in own] == ["hard", "soft"] and not messages
    assert [model.nodes[name].reset_delay for name in own] == [0, 1]
    assert model.provenance["assumed reset"] == "zero of n1, soft of n3 (given), else soft (preset snntorch)"
    _, messages = load(tmp_path, (nodes, edges), preset="snntorch", reset={"n1": "zero"})
    assert len(messages) == 1 and "which reset" in messages[0]
    model, _ = load(tmp_path, (nodes, edges), comparison={"n1": ">="}, bits={"n3": 2}, lower_limit={"n1": "all"},
                    reset="soft", integration={"n3": "exponential"})
    first, second = model.nodes["n1"], model.nodes["n3"]
    assert (first.comparison, second.comparison) == (">=", ">") and (first.bits, second.bits) == (1, 2)
    assert first.v_min == -1 and second.v_min is None
    assert first.leak == 0.5 and second.leak == pytest.approx(np.exp(-0.5))


@pytest.mark.parametrize("reset", ["none", {"n1": "none", "n3": "soft"}], ids=str)
@pytest.mark.parametrize("kind", ["IF", "LIF", "CubaLIF"])
def test_nothing_that_resets_comes_late(tmp_path, kind, reset):
    model, _ = load(tmp_path, two_layers(kind), preset="snntorch", reset=reset)
    assert model.nodes["n1"].reset == "none" and model.nodes["n1"].reset_delay == 0
    assert model.nodes["n3"].reset_delay == (0 if reset == "none" else 1)
    with pytest.raises(UnsupportedError, match="reset 'none' with several bits or with reset_delay"):
        load(tmp_path, two_layers(kind), preset="snntorch", reset=reset, reset_delay=1)


@pytest.mark.parametrize("first, remedy", [("n=1,x", "--reset n3=zero,..."), ("two words", "--reset n3=zero,..."),
                                           ("a.lif", "--reset a.lif=zero,...")])
def test_the_remedy_names_a_node_that_the_command_line_can_name(tmp_path, first, remedy):
    nodes, edges = two_layers("LIF")
    nodes = {first if name == "n1" else name: members for name, members in nodes.items()}
    edges = [tuple(first if name == "n1" else name for name in edge) for edge in edges]
    [line] = load(tmp_path, (nodes, edges), preset="snntorch")[1]
    assert remedy in line


def test_numbers_that_fit_two_axes_are_said(tmp_path):
    """As many channels as columns: taken per channel, as exporters write them."""
    steps = np.arange(1.0, 5)
    for shape, threshold, doubtful in (((4, 3, 4), steps, True), ((4, 3, 4), np.ones(4), False),
                                       ((4, 3, 4), steps.reshape(4, 1, 1), False), ((4, 3, 5), steps, False)):
        model, messages = load(tmp_path, chain(shape, lif(shape, "IF", v_threshold=threshold)), preset="norse")
        assert np.array_equal(model.nodes["n0"].v_threshold, threshold.ravel() if np.ptp(threshold) else 1.0)
        assert ("assumed to be per channel" in model.provenance) == doubtful == bool(messages)
        assert not doubtful or "in v_threshold of node 'n0' (IF): taken per channel" in messages[0]
    network = chain((4, 4), {"type": "Scale", "scale": steps}, lif((4, 4), "IF"))
    assert "scale of node 'n0' (Scale)" in load(tmp_path, network, preset="norse")[1][0]


def test_neurons_differ_on_the_command_line(tmp_path, capsys):
    path = write(tmp_path / "net.nir", *two_layers("LIF"))
    np.savez(tmp_path / "x.npz", x=np.ones((1, 6, 6), int))
    own = ["--preset", "snntorch", "--reset", "n1=zero,n3=soft"]
    assert main(["convert", str(path), str(tmp_path / "out.h5"), *own]) == 0
    captured = capsys.readouterr()
    assert "assumed reset: zero of n1, soft of n3 (given)" in captured.out and captured.err == ""
    model = eventsim.load(tmp_path / "out.h5")
    assert [model.nodes[name].reset for name in ("n1", "n3")] == ["hard", "soft"]
    sides = [f"{path}@snntorch@reset=n1=zero,n3=soft,dt=1e-4", str(tmp_path / "out.h5"), str(tmp_path / "x.npz")]
    assert main(["diff", *sides]) == 0
    assert main(["info", str(path), "--comparison", "n1=>=,n3=>", "--preset", "norse"]) == 0
    assert "comparison: >= of n1, > of n3" in capsys.readouterr().out
    for wrong in ("n1=never", "never"):
        with pytest.raises(SystemExit):
            main(["info", str(path), "--reset", wrong])
        assert "--reset cannot be 'never': there are hard, none, soft, zero (" in capsys.readouterr().err


@pytest.mark.parametrize("options, message", [
    ({"reset": {"lif9": "zero"}}, "reset is given for 'lif9', expected some of n1, n3"),
    ({"reset": {"n0": "zero"}}, "reset is given for 'n0', expected some of n1, n3"),
    ({"reset": {"n1": "never"}}, "reset of n1 is 'never', expected one of"),
    ({"dt": {"n1": 1e-3}}, "dt is {'n1': 0.001}, expected a finite number"),
])
def test_wrong_values_of_neurons(tmp_path, options, message):
    with pytest.raises(FormatError, match=message) as error:
        load(tmp_path, two_layers("LIF"), **options)
    assert "\n" not in str(error.value)


# ---- what was assumed is said


GIVEN = dict(dt=1e-3, integration="euler", reset="hard", reset_delay=0, comparison=">", bits=1, lower_limit="none")


def test_defaults_are_said_in_one_line(tmp_path, capsys):
    network = two_layers("LIF")
    _, messages = load(tmp_path, network)
    [line] = messages
    assert line.startswith(f"{tmp_path}/net.nir: ") and "\n" not in line
    assert all(f"{name} " in line and "--" + name.replace("_", "-") in line for name in GIVEN)
    assert "--preset" in line and "readout" not in line and "start" not in line
    for preset in ("norse", "sinabs", "spikingjelly"):
        messages = load(tmp_path, network, preset=preset, dt=1e-3 if preset == "norse" else 5e-4)[1]
        assert len(messages) == (2 if preset == "sinabs" else 0)
        assert all("assumed bits 8, and more" in message for message in messages[1:])
    assert load(tmp_path, network, **GIVEN)[1] == []
    for left in GIVEN:
        [line] = load(tmp_path, network, **{name: value for name, value in GIVEN.items() if name != left})[1]
        assert f": {left} " in line and line.count("--") == 2, "the preset and the option"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eventsim.save(eventsim.load(tmp_path / "net.nir", **GIVEN), tmp_path / "own.nir")
        eventsim.load(tmp_path / "own.nir")  # says all of it


def test_a_readout_is_said_whatever_the_preset(tmp_path):
    network = chain((1,), lif(1, "LI"))
    assert "readout last" in load(tmp_path, network, preset="norse")[1][0]
    assert load(tmp_path, network, preset="norse", readout="last")[1] == []


def test_warnings_on_the_command_line(tmp_path, capsys):
    path = str(write(tmp_path / "net.nir", *two_layers("LIF")))
    np.savez(tmp_path / "x.npz", x=np.ones((1, 6, 6), int))
    for command in (["run", path, str(tmp_path / "x.npz")], ["info", path],
                    ["convert", path, str(tmp_path / "a.h5")]):
        assert main([*command, "--json"]) == 0
        captured = capsys.readouterr()
        json.loads(captured.out)
        assert captured.err.startswith(f"eventsim: {path}: the file leaves open") and captured.err.count("\n") == 1
        assert main([*command, "--preset", "norse"]) == 0
        assert capsys.readouterr().err == ""
    assert main(["run", path, str(tmp_path / "x.npz"), "--preset", "snntorch", "--dt", "1e-3"]) == 0
    assert "which reset" in capsys.readouterr().err
    assert main(["diff", path, f"{path}@norse", str(tmp_path / "x.npz")]) in (0, 3)
    assert capsys.readouterr().err.count("\n") == 1


# ---- norse 1.1


def test_an_axis_of_samples_before_weights_is_left_out(tmp_path):
    nodes, edges = two_layers("LIF")
    flat, _ = load(tmp_path, (nodes, edges), preset="norse")
    nodes["input"]["shape"], nodes["output"]["shape"] = np.array([1, 6]), np.array([1, 6])
    model, _ = load(tmp_path, (nodes, edges), preset="norse")
    assert model.shapes["input"] == (6,) and list(model.nodes) == list(flat.nodes)
    assert "counts samples" in model.provenance["assumed shape of input"]
    nodes, edges = chain((1, 2, 4, 4), lif((2, 4, 4), "IF"))
    assert load(tmp_path, (nodes, edges))[0].shapes["input"] == (2, 4, 4)
    nodes, edges = chain((1, 6), lif((1, 6)))
    assert load(tmp_path, (nodes, edges))[0].shapes["input"] == (1, 6)


def test_taus_of_norse_1_1(tmp_path):
    """tau_mem_inv = 100 per second and dt = 1 ms, written as dt / tau_mem_inv: a share of 0.1 a step."""
    network = two_layers("LIF", tau=np.full(6, 1e-3 / 100))
    with pytest.raises(FormatError,
                       match=r"less than a step of dt = 0.001; give a smaller dt \(norse 1.1 writes dt \* "
                       r"tau: its files need the square of its dt, 1e-06\)"):
        load(tmp_path, network, preset="norse")
    model, _ = load(tmp_path, network, preset="norse", dt=1e-6)
    assert model.nodes["n1"].leak == pytest.approx(0.9, rel=1e-12)


def test_the_reference_reads_as_presets_do():
    """So that what is tested is what is declared."""
    for name, values in PRESETS.items():
        assert {key: presets.PRESETS[name][key] for key in values} == values
    assert {key: presets.OPEN[key] for key in DEFAULT} == DEFAULT


def an_li(v_leak):
    return chain((1,), {"type": "Linear", "weight": np.array([[0.0]])},
                 {"type": "LI", "tau": np.array([2e-3]), "r": np.ones(1), "v_leak": np.array([v_leak])})


def test_an_output_that_would_start_at_its_leak_is_refused(tmp_path):
    for options in ({"preset": "norse"}, {"start": "leak"}):
        with pytest.raises(UnsupportedError, match=r"\(LI\).*start at v_leak, which is not 0.*start='zero'"):
            load(tmp_path, an_li(1.0), **options)
    model, messages = load(tmp_path, an_li(1.0))
    assert "start zero" in messages[0] and "assumed start" in model.provenance
    model, messages = load(tmp_path, an_li(0.0), preset="norse", readout="last")
    assert not messages and "assumed start" not in model.provenance


def test_how_recordings_become_steps_is_said_where_there_are_some(tmp_path, capsys):
    network = chain((2, 4, 4), lif((2, 4, 4), "IF"))
    path, events = write(tmp_path / "net.nir", *network), tmp_path / "events.csv"
    events.write_text("t,x,y,p\n0,1,1,1\n1500,2,2,0\n")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 3, 2, 4, 4), np.uint8))
    rest = ("--preset", "norse", "--timesteps", "3")

    def stderr_of(command, data, *options):
        assert main([command, str(path), str(data), *rest, *options]) == 0
        return capsys.readouterr().err

    assumed = "assumed were bin_width 1000 us, polarities off_on, coincident sum; to say it, give --bin-width,"
    assert assumed in stderr_of("run", events)
    text = stderr_of("run", events, "--bin-width", "500", "--coincident", "sum")
    assert "assumed were polarities off_on; " in text
    assert "assumed were bin_width" in stderr_of("stream", events, "--window", "3ms")
    everything = ("--bin-width", "500", "--coincident", "sum", "--polarities", "off_on")
    for arguments in (("run", tmp_path / "x.npz"), ("run", events, *everything),
                      ("stream", events, "--window", "3ms", *everything)):
        assert "assumed were" not in stderr_of(*arguments)
