"""A whole net, image to answer: eventsim against SpikingJelly and snnTorch.

    pip install ".[benchmark]"
    taskset -c 1 python examples/benchmarks/network.py [--rounds 9] [--json]

64-64-P-128-128-P-256-256-P and a dense readout on 3x32x32, T = 4, integrate-and-fire neurons with
threshold 1 and soft reset, calibrated to fire at about 10 % (see examples/deep_networks.py). Same
weights for all, with BatchNorm folded into them. Each library runs as its manual has it for speed:
layer by layer over all steps, the first convolution of the still image once, inference mode, one
thread; in both memory layouts and at batch sizes 1 and 16, of which its best counts. Every round
draws new images; all run in turn, each a batch of the images before first, so that none pays for the
caches that another has filled; medians over the rounds. eventsim's time is that of the whole call of
`Simulator.iterate`, as the command line runs data: with checking, packing and counting, and without
keeping membranes for a next run.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from layer import machine, Quiet, where_time_goes  # noqa: E402  (first: it limits the threads)

import numpy as np  # noqa: E402

from deep_networks import random_images, small_vgg  # noqa: E402
from eventsim import BatchNorm, Conv2d, Dense, MaxPool, Neuron, Simulator  # noqa: E402

BATCHES = (1, 16)
IMAGES = 16  # per round and variant: batches of 1 are timed over as many images
PRECISIONS = ("int8", "float32")
CHECKED = 32  # images on which firing rates and answers are compared


# ---- the same net in PyTorch


def folded_layers(model):
    """The nodes in order as ("conv", weight, bias), ("pool",), ("fire",), ("dense", weight)."""
    layers, weight = [], np.zeros(0)
    for node in model.nodes.values():
        if isinstance(node, Conv2d):
            weight = node.weight
        elif isinstance(node, BatchNorm):
            factor = node.weight / np.sqrt(node.running_var + node.eps)
            layers.append(("conv", weight * factor[:, None, None, None],
                           node.bias - node.running_mean * factor))
        elif isinstance(node, Neuron):
            layers.append(("fire",))
        elif isinstance(node, MaxPool):
            layers.append(("pool",))
        elif isinstance(node, Dense):
            layers.append(("dense", node.weight))
    return layers


def _modules(layers, torch, make):
    """PyTorch modules from `make`, which knows the library's convolution, pool, neuron and so on."""
    modules = []
    for kind, *values in layers:
        module = make(kind, *[v.shape for v in values])
        for name, value in zip(("weight", "bias"), values):
            getattr(module, name).data = torch.from_numpy(value.astype(np.float32))
        modules.append(module)
    return modules


def spikingjelly_net(layers, steps):
    """(net, run): run(images, spikes=None) -> answers, and appends the firing rate of each layer to `spikes`."""
    import torch
    from spikingjelly.activation_based import functional, layer, neuron

    def make(kind, weight=None, bias=None):
        if kind == "conv":
            return layer.Conv2d(weight[1], weight[0], 3, padding=1)
        if kind == "dense":
            return layer.Linear(weight[1], weight[0], bias=False)
        if kind == "pool":
            return layer.MaxPool2d(2)
        return neuron.IFNode(v_threshold=1.0, v_reset=None)  # backend torch is the default

    modules = _modules(layers, torch, make)
    first, *rest = modules
    for module in rest:
        module.step_mode = "m"
    net = torch.nn.Sequential(first, *rest).eval()

    def run(x, spikes=None):
        functional.reset_net(net)
        x = first(x)
        x = x.unsqueeze(0).expand(steps, *x.shape)
        for module in rest:
            if isinstance(module, layer.Linear):
                x = x.mean(dim=(3, 4))
            x = module(x)
            if spikes is not None and isinstance(module, neuron.IFNode):
                spikes.append(float(x.mean()))
        return x.mean(0)

    return net, run


def snntorch_net(layers, steps):
    """As `spikingjelly_net`."""
    import snntorch
    import torch

    def make(kind, weight=None, bias=None):
        if kind == "conv":
            return torch.nn.Conv2d(weight[1], weight[0], 3, padding=1)
        if kind == "dense":
            return torch.nn.Linear(weight[1], weight[0], bias=False)
        if kind == "pool":
            return torch.nn.MaxPool2d(2)
        return snntorch.Leaky(beta=1.0, threshold=1.0, reset_mechanism="subtract", reset_delay=False)

    modules = _modules(layers, torch, make)
    net = torch.nn.Sequential(*modules).eval()

    def run(x, spikes=None):
        n = x.shape[0]
        still = True
        for module in modules:
            if isinstance(module, snntorch.Leaky):
                frames = [x] * steps if still else x.unflatten(0, (steps, n)).unbind(0)
                still = False
                membrane = module.reset_mem()
                fired = []
                for frame in frames:
                    spike, membrane = module(frame, membrane)
                    fired.append(spike)
                x = torch.cat(fired)
                if spikes is not None:
                    spikes.append(float(x.mean()))
                continue
            if isinstance(module, torch.nn.Linear):
                x = x.mean(dim=(2, 3))
            x = module(x)
        return x.unflatten(0, (steps, n)).mean(0)

    return net, run


def frameworks(model):
    """name -> (run(images, batch) -> seconds, check(images) -> (answers, rates)), in both layouts."""
    layers = folded_layers(model)
    made = {}
    for name, build in (("SpikingJelly", spikingjelly_net), ("snnTorch", snntorch_net)):
        try:
            net, run = build(layers, model.timesteps)
        except ImportError as error:
            print(f"skipped {name}: {error}", file=sys.stderr)
            continue
        for last in (False, True):
            net_of_layout = build(layers, model.timesteps) if last else (net, run)
            made[name + (" channels last" if last else "")] = _framework(*net_of_layout, last)
    return made


def _framework(net, run, channels_last):
    import torch

    torch.set_num_threads(1)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net.to(memory_format=layout)

    def tensor(images):
        x = (torch.from_numpy(images).float() / 255 - 0.5) / 0.25
        return x.contiguous(memory_format=layout)

    def timed(images, batch):
        with torch.inference_mode():
            began = time.perf_counter()
            for i in range(0, len(images), batch):
                run(tensor(images[i : i + batch]))
            return time.perf_counter() - began

    def check(images):
        rates = []
        with torch.inference_mode():
            answers = run(tensor(images), rates).numpy()
        return answers, rates

    return timed, check


# ---- eventsim


def eventsim_runner(model, precision):
    """(timed, check) as `_framework`."""
    simulator = Simulator(model, precision)

    def timed(images, batch):
        began = time.perf_counter()
        for i in range(0, len(images), batch):
            next(simulator.iterate([images[i : i + batch]]))
        return time.perf_counter() - began

    def check(images):
        recording = simulator.run(images, record=())
        neurons = [n for n, node in model.nodes.items() if isinstance(node, Neuron)]
        return recording.output, [recording.counts.firing_rate(n) for n in neurons]

    return timed, check


# ---- the run


def measure(model, rounds, seed):
    """(answers and rates by runner; seconds per image by (runner, batch), one entry per round; share
    of the core)."""
    runners = {f"eventsim {p}": eventsim_runner(model, p) for p in PRECISIONS}
    runners.update(frameworks(model))
    shape = model.nodes[model.input].shape
    checks = {name: check(random_images(CHECKED, shape, seed)) for name, (_, check) in runners.items()}
    seconds = {(name, batch): [] for name in runners for batch in BATCHES}
    for batch in BATCHES:  # buffers of every size are allocated once
        for timed, _ in runners.values():
            timed(random_images(IMAGES, shape, seed), batch)
    quiet, images = Quiet(), random_images(IMAGES, shape, seed)
    for r in range(rounds):
        before, images = images, random_images(IMAGES, shape, seed + 1 + r)
        for name, (timed, _) in runners.items():
            for batch in BATCHES:
                timed(before[:batch], batch)
                seconds[name, batch].append(timed(images, batch) / IMAGES)
        print(f"round {r + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    return checks, seconds, quiet.share()


def summarise(model, checks, seconds, share, rounds, seed):
    """Medians and ratios as plain data."""
    medians = {name: {b: float(np.median(seconds[name, b])) for b in BATCHES} for name in checks}
    best = {name: min(times.values()) for name, times in medians.items()}
    others = {name: value for name, value in best.items() if not name.startswith("eventsim")}
    reference, _ = checks["eventsim float32"]
    runners = [
        {
            "name": name,
            "seconds_per_image": {str(batch): value for batch, value in medians[name].items()},
            "best": best[name],
            "times_fastest_framework": min(others.values()) / best[name] if others else None,
            "times_fastest_framework_at_batch_1":
                min(others.values()) / medians[name][1] if others else None,
            "firing_rates": rates,
            "same_predictions_as_float32": float((answers.argmax(1) == reference.argmax(1)).mean()),
        }
        for name, (answers, rates) in checks.items()
    ]
    images = random_images(max(IMAGES, 5), model.nodes[model.input].shape, seed + 1000)
    parts = {precision: where_time_goes(Simulator(model, precision), images) for precision in PRECISIONS}
    return {
        "machine": machine(), "rounds": rounds, "share_of_core": share, "runners": runners,
        "time": parts,
    }


def as_text(result):
    """Tables for people."""
    lines = [result["machine"], "64-64-P-128-128-P-256-256-P on 3x32x32, T = 4, IF neurons, soft reset; "
             f"one thread; medians of {result['rounds']} rounds of {IMAGES} new images",
             Quiet.text(result["share_of_core"]), "",
             f"{'':28}{'ms per image':>20}{'times faster than the':>27}{'firing rate':>14}{'same':>14}",
             f"{'':28}{'batch 1':>10}{'batch 16':>10}{'fastest framework':>27}{'':>14}{'predictions':>14}"]
    for row in result["runners"]:
        times = row["seconds_per_image"]
        ratio = row["times_fastest_framework"]
        shown = "-" if ratio is None else f"{row['times_fastest_framework_at_batch_1']:.2f} / {ratio:.2f}"
        lines.append(
            f"{row['name']:<28}{1e3 * times['1']:>10.2f}{1e3 * times['16']:>10.2f}{shown:>27}"
            f"{np.mean(row['firing_rates']):>14.4f}{100 * row['same_predictions_as_float32']:>12.0f} %")
    lines += ["", "times faster: at batch 1 / at the better batch, against the best of both frameworks at "
              "any batch and layout", "", "firing rate per layer"]
    for row in result["runners"]:
        lines.append(f"{row['name']:<28}" + "".join(f"{rate:>8.4f}" for rate in row["firing_rates"]))
    for precision, parts in result["time"].items():
        total = sum(parts.values())
        lines += ["", f"where eventsim's time goes, {precision}, batch 1: {1e3 * total:.2f} ms"]
        for name, value in sorted(parts.items(), key=lambda item: -item[1]):
            lines.append(f"  {name:<20}{1e3 * value:>8.3f} ms{100 * value / total:>7.1f} %")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="at least 5 for a result to report (default 9)")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(argv)
    model = small_vgg(rate=0.1, threshold=1.0)
    result = summarise(model, *measure(model, args.rounds, args.seed), args.rounds, args.seed)
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
