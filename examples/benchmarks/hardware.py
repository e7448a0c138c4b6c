"""A chip's arithmetic against eventsim's own: one lava-dl network, bit for bit and as native int8.

    taskset -c 1 python examples/benchmarks/hardware.py NETWORK.net [--rounds 9] [--steps 24] [--json]

NETWORK.net is any file with CUBA neurons and an input layer, such as lava-dl's PilotNet LIF. Two
networks of the same graph, weights, thresholds and leaks run in turn in every round: the file's,
under its chip, as Lava computes it; and a native one at int8, which has neither synaptic currents
where the file's last no longer than their step, nor the chip's widths. Every round draws new images
of 8 bits that are as bright as those lava-dl's drivers see; one thread; medians over the rounds.
Timed is the whole call of `Simulator.iterate`, as the command line runs data: with checking, packing
and counting, and without keeping membranes for a next run. Synops are those that were counted.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from layer import machine, Quiet, where_time_goes  # noqa: E402  (first: it limits the threads)

import numpy as np  # noqa: E402

from eventsim import Model, Neuron, Readout, Simulator, load  # noqa: E402
from eventsim.merging import merge

BATCHES = (1, 8)
IMAGES = 8  # per round and variant: batches of 1 are timed over as many images
BRIGHTEST = 76  # of PilotNet's test image, as the input layer sees it


def native(model):
    """The same network for eventsim's own int8: no chip, no resolution, no current that does
    nothing."""
    nodes = {}
    for name, node in model.nodes.items():
        if isinstance(node, (Neuron, Readout)):
            current = node.current_leak
            lasting = current is not None and current.any()
            node = replace(node, resolution=None, current_leak=current if lasting else None)
        nodes[name] = node
    return Model(nodes, model.edges, model.timesteps)


def variants(path):
    """name -> Simulator."""
    model = load(path, input_bits=8, input_signed=False, input_is_bias=True)
    return {
        f"{model.chip.name}, bit for bit": Simulator(model),
        "native int8": Simulator(native(model), "int8"),
    }


def images_of(simulator, seed):
    """uint8 (IMAGES, C, H, W): smooth ones, from 1 to BRIGHTEST."""
    rng = np.random.default_rng(seed)
    shape = simulator.model.nodes[simulator.model.input].shape
    images = rng.random((IMAGES, *shape))
    for axis in range(2, images.ndim):  # a photograph's neighbours are alike
        for _ in range(3):
            images = (images + np.roll(images, 1, axis) + np.roll(images, -1, axis)) / 3
    low, high = images.min(), images.max()
    return np.round(1 + (BRIGHTEST - 1) * (images - low) / (high - low)).astype(np.uint8)


def timed(simulator, images, batch, steps):
    """(seconds, counts summed) of all images in batches."""
    began = time.perf_counter()
    parts = [next(simulator.iterate([images[i : i + batch]], steps)) for i in range(0, len(images), batch)]
    seconds = time.perf_counter() - began
    return seconds, merge([part.counts.summed() for part in parts])


def measure(simulators, rounds, steps, seed):
    """((seconds, synops) per image by (variant, batch), one entry per round; counts of the last round
    by variant; share of the core)."""
    first = next(iter(simulators.values()))
    for simulator in simulators.values():  # kernels are compiled and buffers allocated once
        for batch in BATCHES:
            timed(simulator, images_of(first, seed), batch, steps)
    found = {(name, batch): [] for name in simulators for batch in BATCHES}
    counts, quiet = {}, Quiet()
    for r in range(rounds):
        images = images_of(first, seed + 1 + r)
        for batch in BATCHES:
            for name, simulator in simulators.items():
                seconds, counts[name] = timed(simulator, images, batch, steps)
                synops = counts[name].totals()["synops"]
                found[name, batch].append((seconds / IMAGES, synops / IMAGES))
        print(f"round {r + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    return found, counts, quiet.share()


def summarise(simulators, found, counts, share, rounds, steps, seed):
    """Medians and rates as plain data."""
    rows = []
    for name, simulator in simulators.items():
        seconds = {batch: [s for s, _ in found[name, batch]] for batch in BATCHES}
        rates = {batch: [n / s for s, n in found[name, batch]] for batch in BATCHES}
        layers = [n for n, node in simulator.model.nodes.items() if isinstance(node, Neuron)]
        images = images_of(simulator, seed + 1000)
        rows.append({
            "name": name,
            "seconds_per_image": {str(b): float(np.median(seconds[b])) for b in BATCHES},
            "synops_per_second": {str(b): float(np.median(rates[b])) for b in BATCHES},
            "synops_per_image": float(np.median([n for _, n in found[name, BATCHES[0]]])),
            "firing_rates": [counts[name].firing_rate(layer) for layer in layers],
            "time": where_time_goes(simulator, images, steps),
        })
    chip, own = rows
    return {
        "machine": machine(), "rounds": rounds, "steps": steps, "share_of_core": share, "runners": rows,
        "chip_synops_per_second_over_native": {
            b: chip["synops_per_second"][b] / own["synops_per_second"][b] for b in map(str, BATCHES)
        },
    }


def as_text(result, path):
    """Tables for people."""
    small, large = BATCHES
    lines = [
        result["machine"],
        f"{Path(path).name}, T = {result['steps']}; one thread; medians of {result['rounds']} rounds of "
        f"{IMAGES} new images", Quiet.text(result["share_of_core"]), "",
        f"{'':24}{'ms per image':>20}{'M synops':>12}{'G synops/s':>20}{'firing':>10}",
        f"{'':24}{f'batch {small}':>10}{f'batch {large}':>10}{'per image':>12}{f'batch {small}':>10}"
        f"{f'batch {large}':>10}{'rate':>10}",
    ]
    for row in result["runners"]:
        seconds, rates = row["seconds_per_image"], row["synops_per_second"]
        lines.append(
            f"{row['name']:<24}" + "".join(f"{1e3 * seconds[str(b)]:>10.2f}" for b in BATCHES)
            + f"{row['synops_per_image'] / 1e6:>12.1f}"
            + "".join(f"{rates[str(b)] / 1e9:>10.2f}" for b in BATCHES)
            + f"{np.mean(row['firing_rates']):>10.4f}"
        )
    ratio = result["chip_synops_per_second_over_native"]
    lines += ["", "the chip's arithmetic does "
              + " and ".join(f"{ratio[str(b)]:.2f} (batch {b})" for b in BATCHES)
              + " of native int8's synops per second"]
    for row in result["runners"]:
        total = sum(row["time"].values())
        lines += ["", f"where the time goes, {row['name']}, batch 1: {1e3 * total:.2f} ms"]
        for name, value in sorted(row["time"].items(), key=lambda item: -item[1]):
            lines.append(f"  {name:<20}{1e3 * value:>8.3f} ms{100 * value / total:>7.1f} %")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("network", metavar="NETWORK.net", help="a lava-dl file with CUBA neurons")
    parser.add_argument("--rounds", type=int, default=9, help="at least 5 for a result to report (default 9)")
    parser.add_argument("--steps", type=int, default=24, help="time steps per image (default 24)")
    parser.add_argument("--seed", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(argv)
    simulators = variants(args.network)
    found, counts, share = measure(simulators, args.rounds, args.steps, args.seed)
    result = summarise(simulators, found, counts, share, args.rounds, args.steps, args.seed)
    print(json.dumps(result, indent=1) if args.json else as_text(result, args.network))
    return 0


if __name__ == "__main__":
    sys.exit(main())
