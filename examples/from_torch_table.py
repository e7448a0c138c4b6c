"""How many spikes of other tools' networks eventsim gives: spikes equal / total, over some 90 networks.

    python examples/from_torch_table.py [PART_OF_A_NAME ...] [--json FILE]

Networks of snnTorch, SpikingJelly, norse and sinabs, of whichever is installed, are made with random weights and
exported by `eventsim.from_torch` with a few samples. Then the network runs on fresh samples in its own code, in
float32, its spikes seen by plain forward hooks; and eventsim runs the model in float32. Where a deep network's
spikes part there, as one membrane within rounding of its threshold is enough for, both are run in float64, too.
"""

import argparse
import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from typing import Callable, Dict

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import commands
import eventsim

STEPS = 10


@dataclass
class Case:
    """A network to export. make: () -> (network, function of a number of samples that gives x, arguments of
    from_torch). tool, kind, reset, parameters: what the table says of it."""

    tool: str
    kind: str
    reset: str
    parameters: str
    make: Callable


CASES = []


def case(tool, kind, reset="", parameters="scalar"):
    """Make a function a case's `make`."""

    def register(make):
        CASES.append(Case(tool, kind, reset, parameters, make))
        return make

    return register


def uniform(*shape, top=3.0):
    """Samples (N, *shape) of numbers from 0 to top."""
    return lambda n: top * torch.rand(n, *shape)


def events(*shape, share=0.3):
    """Samples (N, STEPS, *shape) of 0 and 1."""
    return lambda n: (torch.rand(n, STEPS, *shape) < share).float()


# ---- snnTorch


def snntorch_cases():
    """Neurons, resets and shapes of parameters; loops with explicit states; what tutorials do."""
    import snntorch

    sizes = {"scalar": (), "per neuron": (30,)}
    kinds = {
        "Leaky": lambda size: {"beta": 0.5 + 0.4 * torch.rand(size), "threshold": 0.5 + torch.rand(size)},
        "Synaptic": lambda size: {"alpha": 0.7, "beta": 0.5 + 0.4 * torch.rand(size)},
        "Lapicque": lambda size: {"beta": 0.8},
        "RLeaky": lambda size: {"beta": 0.8, "linear_features": 30},
        "RSynaptic": lambda size: {"alpha": 0.7, "beta": 0.8, "linear_features": 30},
        "Alpha": lambda size: {"alpha": 0.8 + 0.1 * torch.rand(size), "beta": 0.3 + 0.4 * torch.rand(size),
                               "threshold": 0.3 + 0.5 * torch.rand(size)},
        "RLeaky one to one": lambda size: {"beta": 0.8, "all_to_all": False, "V": torch.rand(30)},
    }
    for kind, options in kinds.items():
        for reset in ("subtract", "zero", "none"):
            for shown, size in sizes.items():
                if shown == "scalar" or kind in ("Leaky", "Synaptic", "Alpha"):
                    _dense_snntorch(snntorch, kind, reset, shown, options, size)
    for reset in ("subtract", "zero", "none"):
        for size in ((6, 1, 1), (6,), (6, 6, 6), (1, 6, 1, 1)):
            _map_snntorch(snntorch, reset, size)
        _alpha_on_map(snntorch, reset)

    @case("snnTorch", "loop, explicit states", "subtract")
    def loop():
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc1, self.lif1 = nn.Linear(20, 30), snntorch.Leaky(beta=0.9)
                self.fc2, self.lif2 = nn.Linear(30, 10), snntorch.Leaky(beta=0.9)

            def forward(self, x):
                mem1, mem2, sent = self.lif1.init_leaky(), self.lif2.init_leaky(), []
                for _ in range(STEPS):
                    spk1, mem1 = self.lif1(self.fc1(x), mem1)
                    spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                    sent.append(spk2)
                return torch.stack(sent)

        return Net(), uniform(20), {}

    @case("snnTorch", "convolutions, average pools", "subtract")
    def average_pools():
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv1, self.lif1 = nn.Conv2d(1, 6, 5), snntorch.Leaky(beta=0.5)
                self.conv2, self.lif2 = nn.Conv2d(6, 8, 5), snntorch.Leaky(beta=0.5)
                self.fc, self.lif3 = nn.Linear(128, 10), snntorch.Leaky(beta=0.5)

            def forward(self, x):
                mem1, mem2, mem3 = self.lif1.init_leaky(), self.lif2.init_leaky(), self.lif3.init_leaky()
                sent = []
                for _ in range(STEPS):
                    spk1, mem1 = self.lif1(functional.avg_pool2d(self.conv1(x), 2), mem1)
                    spk2, mem2 = self.lif2(functional.avg_pool2d(self.conv2(spk1), 2), mem2)
                    spk3, mem3 = self.lif3(self.fc(spk2.flatten(1)), mem3)
                    sent.append(spk3)
                return torch.stack(sent).sum(0)

        return Net(), uniform(1, 28, 28, top=6.0), {}

    for pool in ("currents", "spikes"):
        _max_pool_snntorch(snntorch, pool)

    @case("snnTorch", "recurrence in forward", "subtract")
    def recurrence():
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc1, self.back, self.lif1 = nn.Linear(20, 30), nn.Linear(30, 30), snntorch.Leaky(beta=0.8)
                self.fc2, self.lif2 = nn.Linear(30, 5), snntorch.Leaky(beta=0.9)

            def forward(self, x):
                mem1, mem2, sent = self.lif1.init_leaky(), self.lif2.init_leaky(), 0
                spk1 = torch.zeros(len(x), 30)
                for _ in range(STEPS):
                    spk1, mem1 = self.lif1(self.fc1(x) + self.back(spk1), mem1)
                    spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
                    sent = sent + spk2
                return sent

        return Net(), uniform(20), {}

    @case("snnTorch", "membrane as the answer", "none")
    def membrane():
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc1, self.lif1 = nn.Linear(20, 30), snntorch.Leaky(beta=0.8)
                self.fc2, self.lif2 = nn.Linear(30, 5), snntorch.Leaky(beta=0.9, reset_mechanism="none")

            def forward(self, x):
                mem1, mem2, kept = self.lif1.init_leaky(), self.lif2.init_leaky(), []
                for _ in range(STEPS):
                    spk1, mem1 = self.lif1(self.fc1(x), mem1)
                    _, mem2 = self.lif2(self.fc2(spk1), mem2)
                    kept.append(mem2)
                return torch.stack(kept).mean(0)

        return Net(), uniform(20), {}

    @case("snnTorch", "skip by concatenation", "subtract")
    def concatenation():
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc1, self.lif1 = nn.Linear(20, 30), snntorch.Leaky(beta=0.8, init_hidden=True)
                self.fc2, self.lif2 = nn.Linear(30, 12), snntorch.Leaky(beta=0.9, init_hidden=True)
                self.fc3, self.lif3 = nn.Linear(42, 5), snntorch.Leaky(beta=0.9, init_hidden=True)

            def forward(self, x):
                spk1 = self.lif1(self.fc1(x))
                return self.lif3(self.fc3(torch.cat([spk1, self.lif2(self.fc2(spk1))], 1)))

        return Net(), uniform(20), {"timesteps": STEPS}


def _dense_snntorch(snntorch, kind, reset, shown, options, size):
    @case("snnTorch", kind, reset, shown)
    def dense():
        neuron = getattr(snntorch, kind.partition(" ")[0])
        return nn.Sequential(
            nn.Linear(20, 30), neuron(init_hidden=True, reset_mechanism=reset, **options(size)),
            nn.Linear(30, 5), snntorch.Leaky(beta=0.9, init_hidden=True),
        ), uniform(20), {"timesteps": STEPS}


def _map_snntorch(snntorch, reset, size):
    @case("snnTorch", "Leaky on a map", reset, str(size))
    def on_map():
        return nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6),
            snntorch.Leaky(beta=0.4 + 0.5 * torch.rand(size), threshold=0.3 + 0.5 * torch.rand(size),
                           init_hidden=True, reset_mechanism=reset),
            nn.Flatten(), nn.Linear(216, 5), snntorch.Leaky(beta=0.9, init_hidden=True),
        ), uniform(1, 8, 8), {"timesteps": STEPS}


def _alpha_on_map(snntorch, reset):
    @case("snnTorch", "Alpha on a map", reset, "(6, 1, 1), (6,)")
    def alpha_on_map():
        alpha = snntorch.Alpha(alpha=0.7 + 0.2 * torch.rand(6, 1, 1), beta=0.3 + 0.3 * torch.rand(6),
                               threshold=0.3 + 0.3 * torch.rand(6, 1, 1), init_hidden=True, reset_mechanism=reset)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3), alpha, nn.Flatten(), nn.Linear(216, 5), snntorch.Leaky(beta=0.9, init_hidden=True),
        ), uniform(1, 8, 8), {"timesteps": STEPS}


def _max_pool_snntorch(snntorch, pooled):
    @case("snnTorch", f"max pools of {pooled}", "subtract")
    def max_pools():
        lif = [snntorch.Leaky(beta=0.5, init_hidden=True) for _ in range(3)]
        first, second = ([nn.MaxPool2d(2), n] if pooled == "currents" else [n, nn.MaxPool2d(2)] for n in lif[:2])
        return nn.Sequential(
            nn.Conv2d(2, 6, 5), *first, nn.Conv2d(6, 8, 5), *second, nn.Flatten(), nn.Linear(200, 10), lif[2],
        ), events(2, 34, 34), {"layout": "NT"}


# ---- SpikingJelly


def spikingjelly_cases():
    """Neurons, resets, both step modes; the networks of its model zoo."""
    from spikingjelly.activation_based import functional as steps
    from spikingjelly.activation_based import layer, neuron, surrogate

    kinds = {
        "IFNode": lambda **options: neuron.IFNode(**options),
        "LIFNode": lambda **options: neuron.LIFNode(**options),
        "LIFNode, no input decay": lambda **options: neuron.LIFNode(decay_input=False, **options),
        "ParametricLIFNode": lambda **options: neuron.ParametricLIFNode(**options),
    }
    for kind, make in kinds.items():
        for reset, v_reset in (("soft", None), ("hard", 0.0), ("hard, to -0.2", -0.2)):
            for mode in ("s", "m"):
                _chain_spikingjelly(layer, kind, make, reset, v_reset, mode)

    @case("SpikingJelly", "weights standardised", "hard")
    def standardised():
        return nn.Sequential(
            layer.WSConv2d(1, 6, 3), neuron.IFNode(), layer.Flatten(), layer.WSLinear(216, 10), neuron.IFNode(),
        ), uniform(1, 8, 8), {"timesteps": STEPS}

    @case("SpikingJelly", "SeqToANNContainer", "hard")
    def container():
        return nn.Sequential(
            layer.SeqToANNContainer(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6)), neuron.LIFNode(step_mode="m"),
            layer.SeqToANNContainer(nn.Flatten(), nn.Linear(216, 10)), neuron.LIFNode(step_mode="m"),
        ), uniform(1, 8, 8, top=6.0), {"timesteps": STEPS}

    options = {"surrogate_function": surrogate.ATan(), "detach_reset": True}

    @case("SpikingJelly", "DVSGestureNet", "hard")
    def gestures():
        from spikingjelly.activation_based.model import parametric_lif_net

        net = parametric_lif_net.DVSGestureNet(channels=8, spiking_neuron=neuron.LIFNode, **options)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.data.fill_(4.0)  # untrained, its layers would be silent
            elif isinstance(module, nn.Linear):
                module.weight.data.mul_(6.0)
        steps.set_step_mode(net, "m")
        return net, events(2, 128, 128), {"layout": "NT"}

    @case("SpikingJelly", "SEW-ResNet18", "hard")
    def sew():
        from spikingjelly.activation_based.model import sew_resnet

        net = sew_resnet.sew_resnet18(
            pretrained=False, cnf="ADD", spiking_neuron=neuron.IFNode, num_classes=10, **options)
        steps.set_step_mode(net, "m")
        return net, uniform(3, 64, 64), {"timesteps": 4}

    @case("SpikingJelly", "SpikingVGG11", "hard")
    def vgg():
        from spikingjelly.activation_based.model import spiking_vgg

        net = spiking_vgg.spiking_vgg11_bn(
            pretrained=False, spiking_neuron=neuron.IFNode, num_classes=10, **options)
        steps.set_step_mode(net, "m")
        return net, uniform(3, 32, 32), {"timesteps": 4}


def _chain_spikingjelly(layer, kind, make, reset, v_reset, mode):
    @case("SpikingJelly", f"{kind}, step mode {mode}", reset)
    def chain():
        def neurons():
            return make(v_reset=v_reset, step_mode=mode)

        net = nn.Sequential(
            layer.Conv2d(1, 6, 3, bias=False, step_mode=mode), layer.BatchNorm2d(6, step_mode=mode), neurons(),
            layer.MaxPool2d(2, step_mode=mode), layer.Flatten(step_mode=mode),
            layer.Linear(54, 30, step_mode=mode), neurons(), layer.Linear(30, 20, step_mode=mode), neurons(),
            layer.VotingLayer(5, step_mode=mode),
        )
        net[1].running_mean.uniform_(-0.1, 0.1)
        net[1].running_var.uniform_(0.02, 0.1)
        return net, uniform(1, 8, 8, top=1.0), {"timesteps": STEPS}


# ---- norse and sinabs


def norse_cases():
    """LIF, LIFRecurrent, LI, in SequentialState and as cells."""
    import norse.torch as norse

    def parameters(v_leak=0.0):
        return norse.LIFParameters(
            tau_mem_inv=torch.tensor(300.0), v_th=torch.tensor(0.3), v_leak=torch.tensor(v_leak))

    for last in ("LIF", "LI"):
        @case("norse", f"SequentialState to {last}", "hard")
        def sequence(last=last):
            p = parameters()
            net = norse.SequentialState(
                norse.Lift(nn.Conv2d(1, 4, 3)), norse.LIF(p), nn.Flatten(2), norse.LIFRecurrent(144, 20, p),
                nn.Linear(20, 5), norse.LI() if last == "LI" else norse.LIF(p),
            )
            return net, events(1, 8, 8), {"layout": "NT"}

    for v_leak in (0.0, 0.05):
        @case("norse", "cells in a loop", "hard", f"v_leak {v_leak}")
        def cells(v_leak=v_leak):
            class Net(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.fc1, self.lif = nn.Linear(20, 30), norse.LIFCell(parameters(v_leak))
                    self.fc2, self.out = nn.Linear(30, 4), norse.LICell()

                def forward(self, x):
                    state1 = state2 = None
                    values = []
                    for _ in range(STEPS):
                        spikes, state1 = self.lif(self.fc1(x), state1)
                        value, state2 = self.out(self.fc2(spikes), state2)
                        values.append(value)
                    return torch.stack(values).mean(0)

            return Net(), uniform(20), {}


def sinabs_cases():
    """IAF and LIF with their options, squeezed or not; ExpLeak at the end."""
    import sinabs.activation as activation
    import sinabs.layers as layers

    kinds = {
        ("IAF", "subtract"): lambda: layers.IAF(),
        ("IAF with min_v_mem", "subtract"): lambda: layers.IAF(min_v_mem=-1.0),
        ("LIF", "subtract"): lambda: layers.LIF(tau_mem=3.0),
        ("LIF, norm_input=False", "subtract"): lambda: layers.LIF(tau_mem=10.0, norm_input=False),
        ("LIF, SingleSpike", "subtract"): lambda: layers.LIF(
            tau_mem=10.0, norm_input=False, spike_fn=activation.SingleSpike),
        ("LIF, SingleSpike", "zero"): lambda: layers.LIF(
            tau_mem=10.0, norm_input=False, spike_fn=activation.SingleSpike, reset_fn=activation.MembraneReset()),
    }
    for (kind, reset), make in kinds.items():
        @case("sinabs", kind, reset)
        def dense(make=make):
            return nn.Sequential(nn.Linear(20, 30), make(), nn.Linear(30, 5), make()), \
                lambda n: 4 * events(20)(n), {"layout": "NT"}

    @case("sinabs", "squeezed, SumPool2d", "subtract")
    def squeezed():
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), layers.IAFSqueeze(num_timesteps=STEPS), layers.SumPool2d(2), nn.Flatten(),
            nn.Linear(36, 5), layers.IAFSqueeze(num_timesteps=STEPS),
        ), lambda n: 2 * events(1, 8, 8)(n), {"layout": "NT"}

    @case("sinabs", "ExpLeak at the end", "subtract")
    def leaking():
        return nn.Sequential(nn.Linear(20, 30), layers.IAF(), nn.Linear(30, 5), layers.ExpLeak(tau_mem=20.0)), \
            lambda n: 2 * events(20)(n), {"layout": "NT"}


# ---- measuring


def measure(one: Case) -> Dict:
    """What the table says of a case, and of how many samples."""
    torch.manual_seed(0)
    net, samples, options = one.make()
    start = time.perf_counter()
    model = eventsim.from_torch(net, samples(2).numpy(), **options)
    seconds = time.perf_counter() - start
    fresh = samples(4)
    equal, total, layers = _compared(model, net, fresh, options, "float32")
    row = {"equal": equal, "spikes": total, "layers": layers, "seconds": round(seconds, 1)}
    if equal < total:
        row["equal in float64"], row["spikes in float64"], _ = _compared(
            model, net.double(), fresh.double(), options, "float64")
    return row


def _compared(model, net, x, options, precision):
    """(spikes that are equal, all spikes, layers) of a network and its model."""
    sent = network_spikes(net, x, options, model.timesteps)
    moving = "layout" in options
    levels = np.rint(x.double().numpy()).astype(int) if moving else x.double().numpy()
    run = eventsim.Simulator(model, precision).run(levels, record="spikes")
    equal = total = 0
    for name, values in sent.items():
        if not model.nodes[name].fires():
            continue  # its membrane is the answer
        found = run.levels(name) * np.asarray(model.nodes[name].worth)
        fired = (found != 0) | (values != 0)
        equal += int(((found == values) & fired).sum())
        total += int(fired.sum())
    return equal, total, len(sent)


def network_spikes(net, x, options, steps):
    """name of a layer -> (N, T, ...), what the network's neurons send, in its own code."""
    from eventsim.from_torch.exporting import RULES

    net.eval()
    found = {name: [] for name, module in net.named_modules() if RULES.taken(module)}
    modules = dict(net.named_modules())
    for module in net.modules():
        for reset in ("reset_mem", "reset_states", "reset"):
            if hasattr(module, reset) and RULES.taken(module):
                getattr(module, reset)()
                break

    def keep(name):
        def hook(module, args, out):
            while isinstance(out, tuple):
                out = out[0]
            found[name].append(out)
        return hook

    handles = [modules[name].register_forward_hook(keep(name)) for name in found]
    with torch.no_grad():
        _call(net, x, options, steps)
    for handle in handles:
        handle.remove()
    return {_named(name, modules[name]): _joined(values, modules[name], len(x), steps)
            for name, values in found.items() if _fires(modules[name])}


def _fires(module):
    return (type(module).__name__ not in ("LI", "LICell", "ExpLeak")
            and getattr(module, "kernel_size", None) is None)


def _named(path, module):
    before, _, last = path.rpartition(".")
    last = f"{type(module).__name__.lower()}{last}" if last.isdigit() else last
    return f"{before}.{last}" if before else last


def _joined(values, module, n, steps):
    """(N, T, ...) of what hooks saw of a layer."""
    if len(values) == steps:
        return torch.stack(values, 1).numpy()
    [value] = values
    library = type(module).__module__.partition(".")[0]
    if type(module).__name__.endswith("Squeeze"):
        return value.view(n, steps, *value.shape[1:]).numpy()
    return (value if library == "sinabs" else value.transpose(0, 1)).numpy()


def _call(net, x, options, steps):
    """Run a network as its author would."""
    library = {type(module).__module__.partition(".")[0] for module in net.modules()}
    multi = any(getattr(module, "step_mode", "s") == "m" for module in net.modules())
    moving = "layout" in options
    if "sinabs" in library:
        squeezed = any(type(module).__name__.endswith("Squeeze") for module in net.modules())
        net(x.flatten(0, 1) if squeezed else x)
    elif moving and ("norse" in library or multi):
        net(x.transpose(0, 1))
    elif moving:
        for step in range(steps):
            net(x[:, step])
    elif multi:
        net(x.expand(steps, *x.shape))
    elif "timesteps" in options:
        for _ in range(steps):
            net(x)
    else:
        net(x)


def collect():
    """Make the cases of all tools that are installed; returns the names of those that are not."""
    missing = []
    for name, add in (("snntorch", snntorch_cases), ("spikingjelly", spikingjelly_cases), ("norse", norse_cases),
                      ("sinabs", sinabs_cases)):
        try:
            add()
        except ImportError as error:
            missing.append(f"{name} ({error})")
    return missing


def main(arguments=None):
    """The command; returns 0 where every network was exported and its spikes are equal, all of them or in
    float64."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help="only cases whose row holds one of these texts")
    parser.add_argument("--json", metavar="FILE", help="write the rows as JSON")
    options = parser.parse_args(arguments)
    commands.check_folder(options.json, "--json")
    warnings.simplefilter("ignore")
    for name in collect():
        print(f"not installed: {name}", file=sys.stderr)
    rows = []
    for one in CASES:
        row = {name: value for name, value in asdict(one).items() if name != "make"}
        if options.parts and not any(part in " ".join(row.values()) for part in options.parts):
            continue
        try:
            row.update(measure(one))
            shown = ", in float64 ".join(f"{row['equal' + kind]} / {row['spikes' + kind]}"
                                         for kind in ("", " in float64") if "equal" + kind in row)
        except eventsim.EventsimError as error:
            row["refused"] = shown = str(error)
        rows.append(row)
        print(f"{one.tool:13}{one.kind:32}{one.reset:15}{one.parameters:16}{shown}", flush=True)
    equal, total = (sum(row.get(name, 0) for row in rows) for name in ("equal", "spikes"))
    refused = sum("refused" in row for row in rows)
    print(f"{len(rows)} networks, {refused} refused: {equal} of {total} spikes equal")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
    parted = sum(row.get("equal in float64", row.get("equal")) != row.get("spikes in float64", row.get("spikes"))
                 for row in rows)
    return 0 if not refused and not parted else 1


if __name__ == "__main__":
    commands.run("from_torch_table", main)
