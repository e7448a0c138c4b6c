"""What statistics cost: counts alone against statistics gathered on the way, in time and in memory.

    pip install .
    taskset -c 1 python examples/benchmarks/statistics_cost.py [--rounds 9] [--json] [--no-stream]

Two networks: the digits model on its test set, 32 times over, and, as short as a run can be, on two samples of
500 steps; and one of CIFAR's size (64-64-P-128-128-P-256-256-P on 3x32x32, 10 % firing, see
examples/deep_networks.py) on new images in every round. Three ways to run the same samples, in turn and in another
order in every round:

    counts      what `eventsim run` gathers without --out: events and operations of each layer and sample
    statistics  and record=("statistics",): rates, levels and planes of every neuron, of all samples
    as a file   what `eventsim run --out` gathers: these, the decisions after each step, and of a few
                samples, looked at a second time, intervals, correlations and membranes

A ratio is a way's time over that of the counts in the same round; the median over the rounds counts,
and has to stay within 1.10; beside it stands that of the shortest times. One thread; neither reading
the samples nor writing a file is timed. A run of fewer than some thousand samples pays relatively more for
the four that are looked at closely, a longer one less: never more than 64 are. Then, in a process of its
own, as many images stream through the larger network as would fill the machine's memory one and a quarter
times if their spikes and membranes were recorded; printed is what the process really took.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from layer import Quiet, machine  # noqa: E402  (first: it limits the threads)

import numpy as np  # noqa: E402

from deep_networks import random_images, small_vgg  # noqa: E402
import eventsim  # noqa: E402
from eventsim import evaluate, load, Neuron, open_dataset, Simulator  # noqa: E402

DATA = Path(__file__).resolve().parent.parent.parent / "data"
PRECISIONS = ("float32", "int8")
BAR = 1.10  # times the counts alone
PRESENTED = 32  # times that the digits are shown in a round
FEW = (2, 500)  # samples and steps of the shortest run
FULL = 1.25  # of the machine's memory that the streamed run would record


# ---- three ways to run samples


WAYS = {
    "counts": {}, "statistics": {"statistics": True, "detailed": 0}, "as a file": {"statistics": True},
}


class RandomImages:
    """Images that are made when they are asked for, with what `evaluate` needs of a data set."""

    labels = n_steps = None
    n_dropped_events = 0
    name = "random images"

    def __init__(self, n, shape, seed):
        self.n, self.shape, self.seed = n, shape, seed

    def __len__(self):
        return self.n

    def batches(self, size, limit=None, first=0):
        """(x, None) of `size` images at a time."""
        for start in range(first, self.n, size):
            yield random_images(min(size, self.n - start), self.shape, self.seed + start), None


def timed(way, simulator, x):
    """Seconds for all samples of x, still or of steps of their own, in batches."""
    shape = simulator.model.nodes[simulator.model.input].shape
    timesteps = x.shape[1] if x.ndim == len(shape) + 2 else None
    began = time.perf_counter()
    evaluate(simulator, x, timesteps=timesteps, **WAYS[way])
    return time.perf_counter() - began


# ---- time


def networks(n_images):
    """name -> (model, function: seed -> samples)."""
    digits = load(DATA / "digits.h5")
    dataset = open_dataset(DATA / "digits_test.h5", digits.nodes[digits.input], digits.timesteps)
    [(x, _)] = dataset.batches(len(dataset))
    few = np.repeat(x[: FEW[0], np.newaxis], FEW[1], axis=1)
    deep = small_vgg(rate=0.1)
    shape = deep.nodes[deep.input].shape
    return {
        "digits": (digits, lambda seed: np.random.default_rng(seed).permutation(np.concatenate([x] * PRESENTED))),
        "2 x 500": (digits, lambda seed: np.roll(few, seed, axis=-1)),
        "CIFAR size": (deep, lambda seed: random_images(n_images, shape, seed)),
    }


def measure(found, rounds, seed):
    """({(network, precision, way): seconds, one entry per round}, samples per network, share of the
    core)."""
    simulators = {(name, p): Simulator(model, p) for name, (model, _) in found.items() for p in PRECISIONS}
    for (name, _), simulator in simulators.items():  # kernels are compiled and buffers allocated once
        for way in WAYS:
            timed(way, simulator, found[name][1](seed))
    seconds = {(*key, way): [] for key in simulators for way in WAYS}
    quiet = Quiet()
    for r in range(rounds):
        samples = {name: make(seed + 1 + r) for name, (_, make) in found.items()}
        for key, simulator in simulators.items():
            for way in np.roll(list(WAYS), r):
                seconds[(*key, way)].append(timed(str(way), simulator, samples[key[0]]))
        print(f"round {r + 1} of {rounds}", end="\r", file=sys.stderr, flush=True)
    return seconds, {name: len(of) for name, of in samples.items()}, quiet.share()


def summarise(seconds, n_samples, share, rounds):
    """Medians, minima and ratios as plain data."""
    rows = []
    for (name, precision, way), values in seconds.items():
        base = seconds[name, precision, "counts"]
        rows.append({
            "network": name, "precision": precision, "way": way,
            "seconds_per_sample": float(np.median(values)) / n_samples[name],
            "shortest_seconds_per_sample": min(values) / n_samples[name],
            "ratio": float(np.median([v / b for v, b in zip(values, base)])),
            "ratio_of_shortest": min(values) / min(base),
        })
    return {"machine": machine(), "rounds": rounds, "share_of_core": share, "samples": n_samples,
            "bar": BAR, "within_bar": all(row["ratio"] <= BAR for row in rows), "rows": rows}


# ---- memory


def build(path):
    """Write the larger network, whose calibration takes memory of its own."""
    eventsim.save(small_vgg(rate=0.1), path)


def stream(path, n_images, seed):
    """Stream images through a network at int8: what a recording of its spikes and membranes would take,
    and what this process took, in bytes."""
    model = load(path)
    simulator = Simulator(model, "int8")
    shape = model.nodes[model.input].shape
    sample = simulator.run(random_images(1, shape, seed), record=("spikes", "potentials", "residuals"))
    arrays = [spikes.planes for spikes in sample.spikes.values()]
    arrays += [trace for traces in sample.traces.values() for trace in traces.values()]
    each = sum(array.nbytes for array in arrays)
    del sample, arrays
    n_images = n_images or -(-int(FULL * physical_bytes()) // each)
    before, began = peak_bytes(), time.perf_counter()
    found = evaluate(simulator, RandomImages(n_images, shape, seed), statistics=True).statistics
    layers = [name for name, node in model.nodes.items() if isinstance(node, Neuron)]
    return {
        "images": n_images, "recording_bytes": n_images * each, "memory_of_machine": physical_bytes(),
        "peak_bytes": peak_bytes(), "peak_bytes_before": before, "seconds": time.perf_counter() - began,
        "samples_of_trains": found.trains[layers[0]].n_samples,
        "samples_in_detail": found.membranes[layers[0]].n_samples,
        "rates": {name: found.trains[name].rate for name in layers},
    }


def physical_bytes():
    """Memory of the machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_bytes():
    """Largest resident memory of this process so far (Linux); 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def alone(function, *arguments):
    """Call in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


# ---- the run


def as_text(result):
    """Tables for people."""
    sizes = ", ".join(f"{name} {n}" for name, n in result["samples"].items())
    lines = [result["machine"], f"one thread; {result['rounds']} rounds in turn; samples a round: {sizes}",
             Quiet.text(result["share_of_core"]), "",
             f"{'':34}{'ms per sample':^22}{'times counts alone':^24}",
             f"{'network':<12}{'precision':<11}{'':<11}{'median':>11}{'shortest':>11}{'median':>12}"
             f"{'shortest':>12}"]
    for row in result["rows"]:
        over = "  OVER THE BAR" if row["ratio"] > result["bar"] else ""
        lines.append(
            f"{row['network']:<12}{row['precision']:<11}{row['way']:<11}{1e3 * row['seconds_per_sample']:>11.4f}"
            f"{1e3 * row['shortest_seconds_per_sample']:>11.4f}{row['ratio']:>12.3f}"
            f"{row['ratio_of_shortest']:>12.3f}{over}")
    lines += ["", f"bar: {result['bar']:.2f} times counts alone; {'kept' if result['within_bar'] else 'NOT kept'}"]
    if "stream" in result:
        lines += ["", *_stream_text(result["stream"])]
    return "\n".join(lines)


def _stream_text(found):
    per_image = 1e3 * found["seconds"] / found["images"]
    return [
        f"streamed, CIFAR size, int8: {found['images']} images in {found['seconds']:.0f} s "
        f"({per_image:.1f} ms each); {found['samples_of_trains']} in statistics, "
        f"{found['samples_in_detail']} in detail",
        f"  a recording of spikes, potentials and residuals: {found['recording_bytes'] / 2**30:8.2f} GiB "
        f"(this machine has {found['memory_of_machine'] / 2**30:.2f})",
        f"  largest resident memory of the process:          {found['peak_bytes'] / 2**30:8.2f} GiB "
        f"({found['peak_bytes_before'] / 2**30:.2f} before the first image)",
    ]


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9, help="at least 5 for a result to report (default 9)")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--images", type=int, default=4096, help="of the larger network in a round (default 4096)")
    parser.add_argument("--stream", type=int, metavar="N",
                        help="images to stream; default: as many as would not fit into memory")
    parser.add_argument("--no-stream", action="store_true", help="leave out the streamed run")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = parser.parse_args(argv)
    result = summarise(*measure(networks(args.images), args.rounds, args.seed), args.rounds)
    if not args.no_stream:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.h5"
            alone(build, path)
            result["stream"] = alone(stream, path, args.stream, args.seed)
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
