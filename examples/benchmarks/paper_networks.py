"""The papers' deep networks, exported by the trainer: eventsim against the same network in PyTorch.

    pip install ".[train]"
    taskset -c 1 python examples/benchmarks/paper_networks.py [--rounds 5] [--network resnet19] [--json]

ResNet19 on images of 32x32, VGG16, ResNet18 and ResNet34 on 224x224, in their full widths, SRIF with MPR,
T = 4. Weights are random, and BatchNorm got its statistics from random images: structure, size and rates are
real, answers mean nothing. Each is exported to a file, which eventsim loads. PyTorch gets the same folded
weights in float32 and what makes it fast: inference mode, all steps of a layer as one batch, the first
convolution of the still image once, neurons in three passes over memory that nothing else needs, both
layouts. One thread; in every round all run in turn on new images, in batches of 1 and 4, of which each one's
best counts; medians over the rounds. eventsim's time is that of the whole call of `Simulator.iterate`, with
checking, packing and counting. Memory is that of a process that loads the file and runs a batch of 4.

Equality: every level of every neuron and step in float64, eventsim against PyTorch, with the file's weights
(trainer/parity.py); and the network that is timed in PyTorch, put into float64, answers as the file's check
group says. In float32, one spike that rounding turns would turn many more of a deep random network.

Imports are where they are needed: what PyTorch's process takes shall not have Numba in it.
"""

import argparse
import json
import re
import sys
import tempfile
import time
from copy import deepcopy
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

BATCHES = (1, 4)
STEPS = 4
PASSES = 2  # over images, from which BatchNorm takes its statistics
CLOSE = 1e-9  # two sums in float64, by orders of their own
NEURON = "SRIF+MPR"
THRESHOLD = 0.5  # of it: one bit of quantum 1, fired at the half
COUNTS = ("events", "synops", "additions", "dense_macs")


class Setting(NamedTuple):
    """size: of the images. calibrating: images a pass. compared: on which spikes have to be equal."""

    size: int
    classes: int
    calibrating: int
    compared: int


NETWORKS = {"resnet19": Setting(32, 10, 16, 8),
            **dict.fromkeys(("vgg16", "resnet18", "resnet34"), Setting(224, 1000, 4, 2))}


# ---- the network, in two files


def calibrated(name, setting, seed, **widths):
    """(SpikingNet with random weights, its input node); its BatchNorm knows random images."""
    import torch
    from deep_networks import IMAGE, random_images
    from eventsim import Input
    from trainer.networks import NETWORKS as BUILDERS, Style
    from trainer.neurons import NEURONS
    from trainer.training import to_values

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    shape = (3, setting.size, setting.size)
    node = Input(shape, **IMAGE)
    net = BUILDERS[name](Style(NEURONS[NEURON]), STEPS, shape, setting.classes, **widths)
    norms = [layer for layer in net.modules() if hasattr(layer, "running_var")]
    with torch.no_grad():
        for n in range(PASSES):
            for norm in norms:
                norm.momentum = 1 / (n + 1)  # the mean over the passes
            net.train()(to_values(random_images(setting.calibrating, shape, seed + n), node))
    return net.eval(), node


def write(net, node, folder, seed):
    """Write what eventsim loads (network.h5) and what PyTorch loads (float32.pt, float64.pt)."""
    import eventsim
    import torch
    from deep_networks import IMAGE, random_images
    from trainer import rules  # noqa: F401 (from_torch then knows the trainer's modules)

    eventsim.save(eventsim.from_torch(net, random_images(1, node.shape, seed), node), folder / "network.h5")
    for precision in ("float32", "float64"):
        torch.save((IMAGE, plan(net, getattr(torch, precision))), folder / f"{precision}.pt")


def plan(net, dtype):
    """[(name, module or "fire" or "mean", sources, which of them nothing needs afterwards)].

    BatchNorm is merged into the layer before it, in float64, as whoever runs PyTorch fast does.
    """
    from trainer.network import INPUT, Readout
    from trainer.neurons import Neuron

    steps, names = {}, {INPUT: INPUT}  # layer -> the step that gives what it gives
    for name, layer in net.layers.items():
        sources = tuple(names[source] for source in net.sources[name])
        if hasattr(layer, "running_var"):
            [names[name]] = sources
            synapses, read = steps[sources[0]]
            steps[sources[0]] = merged(synapses, layer), read
        else:
            names[name] = name
            kind = "fire" if isinstance(layer, Neuron) else "mean" if isinstance(layer, Readout) else None
            steps[name] = kind or deepcopy(layer), sources
    last = {source: name for name, (_, sources) in steps.items() for source in sources}
    return [(name, step if isinstance(step, str) else step.to(dtype), sources,
             [source for source in sources if last[source] == name]) for name, (step, sources) in steps.items()]


def merged(synapses, norm):
    """A convolution or dense layer that also does the BatchNorm behind it, float64."""
    import torch

    synapses, norm = synapses.double(), deepcopy(norm).double()
    gain = norm.weight * getattr(norm, "scale", 1) / torch.sqrt(norm.running_var + norm.eps)
    with torch.no_grad():
        bias = 0 if synapses.bias is None else synapses.bias
        synapses.bias = torch.nn.Parameter((bias - norm.running_mean) * gain + norm.bias)
        synapses.weight.mul_(gain.view(-1, *[1] * (synapses.weight.ndim - 1)))
    return synapses


# ---- who runs it


def run_plan(steps, x):
    """What a plan answers to images x (N, C, H, W): (N, classes). Values are (T or 1, N, ...)."""
    values = {"input": x.unsqueeze(0)}
    for name, step, sources, finished in steps:
        value = sum((values[source] for source in sources[1:]), values[sources[0]])
        for source in finished:
            del values[source]  # its memory is used again
        values[name] = fire(value) if step == "fire" else value.mean(0) if step == "mean" else \
            step(value.flatten(0, 1)).unflatten(0, (len(value), -1))
    return values[name]


def fire(current):
    """Spikes of the neurons (T, N, ...), written over their current, which no other layer reads."""
    import torch

    if len(current) < STEPS:  # of an image that stands still
        current = torch.cat([current[0]] * STEPS).unflatten(0, (STEPS, -1))
    membrane = torch.zeros_like(current[0])
    for x in current:
        membrane += x
        torch.ge(membrane, THRESHOLD, out=x)
        membrane -= x
    return current


def in_torch(folder, channels_last, precision="float32"):
    """Function: images -> answers (N, classes)."""
    import torch

    torch.set_num_threads(1)
    layout, dtype = torch.channels_last if channels_last else torch.contiguous_format, getattr(torch, precision)
    image, steps = torch.load(folder / f"{precision}.pt", weights_only=False)
    for _, step, *_ in steps:
        if not isinstance(step, str):
            step.to(memory_format=layout)

    def run(images):
        with torch.inference_mode():
            x = (torch.from_numpy(images).to(dtype) * image["scale"] - image["mean"]) / image["std"]
            return run_plan(steps, x.contiguous(memory_format=layout)).numpy()

    return run


def in_eventsim(folder, precision):
    """Function: images -> Recording."""
    from eventsim import Simulator, load

    simulator = Simulator(load(folder / "network.h5"), precision)
    return lambda images: next(simulator.iterate([images]))


# name -> (module that the process imports first, maker, setting)
RUNNERS = {
    "eventsim float32": ("eventsim.engine.simulator", in_eventsim, "float32"),
    "eventsim int8": ("eventsim.engine.simulator", in_eventsim, "int8"),
    "PyTorch float32": ("torch", in_torch, False),
    "PyTorch float32 channels last": ("torch", in_torch, True),
}


# ---- time, memory, counts, equality


def time_all(runners, shape, rounds, seed, told):
    """({(runner, batch): seconds per image, one entry per round}, share of the core)."""
    from deep_networks import random_images
    from layer import Quiet

    seconds = {(name, batch): [] for name in runners for batch in BATCHES}
    for name, batch in seconds:  # kernels are compiled and buffers allocated once
        runners[name](random_images(batch, shape, seed))
    quiet = Quiet()
    for r in range(rounds):
        images = random_images(max(BATCHES), shape, seed + 1 + r)
        for name, run in runners.items():
            for batch in BATCHES:
                began = time.perf_counter()
                for i in range(0, len(images), batch):
                    run(images[i : i + batch])
                seconds[name, batch].append((time.perf_counter() - began) / len(images))
        told(f"round {r + 1} of {rounds}")
    return seconds, quiet.share()


def peak_of(name, folder, images):
    """Largest resident memory of this process, in bytes: (with the imports alone, with all)."""
    module, make, setting = RUNNERS[name]
    import_module(module)
    before = peak_bytes()
    make(folder, setting)(images)
    return before, peak_bytes()


def peak_bytes():
    """Largest resident memory so far, 0 where there is no /proc; getrusage starts at that of the parent."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+)", status.read_text()) if status.exists() else None
    return 1024 * int(found[1]) if found else 0


def counted(model, run, images):
    """Sizes of a model, its firing rates and its counts per image."""
    counts = run(images).counts
    layers = [name for name, node in model.nodes.items() if node.kind == "Neuron"]
    neurons = sum(counts.neurons[name] for name in layers)
    events = sum(counts.layer_totals(name)["events"] for name in layers)
    return {
        "neurons": neurons, "firing_rate": events / (neurons * STEPS * len(images)),
        "weights": sum(node.weight.size for node in model.nodes.values() if node.kind in ("Conv2d", "Dense")),
        "firing_rates": {name: counts.firing_rate(name) for name in layers},
        "per_image": {name: counts.total(name) / len(images) for name in COUNTS},
    }


def equality(model, folder, images):
    """What trainer.parity finds, and how far the network that is timed is from the file's check group."""
    import numpy as np
    from trainer.data import Arrays
    from trainer.parity import compare

    found = compare(model, Arrays(images, np.zeros(len(images), np.int64)), batch_size=1)
    answers = in_torch(folder, False, "float64")(model.check.x)
    return {"images": found.samples, "levels": found.levels, "levels_different": found.levels_different,
            "margin": found.margin, "timed_apart": float(np.abs(answers - model.check.outputs).max())}


def measure(name, setting, rounds, seed, told, **widths):
    """Everything about one network, as plain data."""
    from deep_networks import random_images
    from eventsim import load
    from statistics_cost import alone

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        told("is built")
        net, node = calibrated(name, setting, seed, **widths)
        write(net, node, folder, seed + 100)
        del net
        model, images = load(folder / "network.h5"), random_images(setting.compared, node.shape, seed + 200)
        told("is compared")
        result = {"network": name, **setting._asdict(), "equality": equality(model, folder, images)}
        runners = {runner: make(folder, value) for runner, (_, make, value) in RUNNERS.items()}
        result.update(counted(model, runners["eventsim float32"], images))
        seconds, result["share_of_core"] = time_all(runners, node.shape, rounds, seed + 300, told)
        del runners, model
        images = random_images(max(BATCHES), node.shape, seed)
        peaks = {runner: alone(peak_of, runner, folder, images) for runner in RUNNERS}
    return {**result, "runners": summarise(seconds, peaks)}


def summarise(seconds, peaks):
    """Per runner medians, ratios and memory."""
    medians = {name: {str(batch): median(seconds[name, batch]) for batch in BATCHES} for name in RUNNERS}
    fastest = min(min(times.values()) for name, times in medians.items() if name.startswith("PyTorch"))
    return [{"name": name, "seconds_per_image": times, "times_pytorch_at_batch_1": fastest / times["1"],
             "times_pytorch": fastest / min(times.values()), "imported_bytes": peaks[name][0],
             "peak_bytes": peaks[name][1]} for name, times in medians.items()]


# ---- the run


def as_text(result):
    """Tables for people."""
    from layer import Quiet

    networks = result["networks"]
    return "\n".join([
        result["machine"], f"T = {STEPS}, {NEURON}, random weights; one thread; medians of {result['rounds']} "
        f"rounds of {max(BATCHES)} new images",
        Quiet.text(min(found["share_of_core"] for found in networks)), "",
        f"{'':48}{'ms per image':>18}{'times faster':>16}{'most memory':>14}{'of it':>10}",
        f"{'':48}{'batch 1':>9}{'batch 4':>9}{'than PyTorch':>16}{'':>14}{'imports':>10}",
        *(line for found in networks for line in _runners_text(found)), "",
        "times faster: at batch 1 / at the better batch, against the best of PyTorch at any batch and layout", "",
        "per image, in float32",
        f"{'':10}{'neurons':>10}{'weights':>11}{'firing rate':>23}" + "".join(f"{name:>12}" for name in COUNTS),
        *map(_counts_text, networks), "",
        "every spike of every layer, eventsim in float64 against PyTorch in float64",
        *map(_equality_text, networks),
    ])


def _runners_text(found):
    for i, row in enumerate(found["runners"]):
        times = row["seconds_per_image"]
        label = "" if i else f"{found['network']} {found['size']}x{found['size']}"
        ratio = f"{row['times_pytorch_at_batch_1']:.2f} / {row['times_pytorch']:.2f}"
        yield (f"{label:<18}{row['name']:<30}{1e3 * times['1']:>9.1f}{1e3 * times['4']:>9.1f}{ratio:>16}"
               f"{row['peak_bytes'] / 1e6:>11.0f} MB{row['imported_bytes'] / 1e6:>7.0f} MB")


def _counts_text(found):
    rates = found["firing_rates"].values()
    rate = f"{found['firing_rate']:.3f} ({min(rates):.3f}..{max(rates):.3f})"
    return (f"{found['network']:<10}{found['neurons'] / 1e3:>8.0f} k{found['weights'] / 1e6:>9.2f} M{rate:>23}"
            + "".join(f"{found['per_image'][name] / 1e6:>10.2f} M" for name in COUNTS))


def _equality_text(found):
    equal = found["equality"]
    verdict = "all equal" if is_equal(found) else f"{equal['levels_different']:,} DIFFERENT"
    return (f"{found['network']:<10}{equal['images']} images, {equal['levels']:>11,} levels: {verdict}; margin "
            f"{equal['margin']:.1e} quanta; answers of the network timed {equal['timed_apart']:.0e} apart")


def is_equal(found):
    """Whether a network gave what PyTorch gives."""
    return not found["equality"]["levels_different"] and found["equality"]["timed_apart"] < CLOSE


def main(argv=None):
    """Measure, print; 1 where a spike differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", choices=NETWORKS, help="this one alone")
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for a result to report (default 5)")
    parser.add_argument("--seed", type=int, default=40)
    parser.add_argument("--widths", type=int, nargs="+", help="of the stages, for a smaller network")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(argv)
    from layer import machine  # first: it limits the threads
    widths = {"widths": args.widths} if args.widths else {}
    found = [measure(name, NETWORKS[name], args.rounds, args.seed, partial(_tell, name), **widths)
             for name in ([args.network] if args.network else NETWORKS)]
    _tell("", "")
    result = {"machine": machine(), "rounds": args.rounds, "networks": found}
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return int(not all(map(is_equal, found)))


def _tell(name, text):
    """Progress, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{name} {text}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
