"""How fast streams run: windows of one step of 1 ms on one core, and an hour of events in flat memory.

    python examples/benchmarks/streaming.py [--seconds 3] [--shared FOLDER] [--hour] [--events 1e9] [--json]

Networks: N-MNIST's (data/nmnist.h5, 34 x 34 pixels), and two of the size of those for DVS128 Gesture (128 x 128
pixels, random weights): SLAYER's, and one of nine layers; each in int8 and float32, at several event rates; and
sinabs' cnn_sinabs on recordings of N-MNIST, one after another, where FOLDER has them (oracles/nir and
datasets/n-mnist). The real-time factor is the time that the events last by the processor time of the whole loop,
Python's too. Latencies are by the wall clock.
--hour streams so many events over 3600 s of 10 ms steps, through a small network, and prints the resident memory
as it goes.
"""

import argparse
import json
import re
import resource
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import eventsim  # noqa: E402
from eventsim.inputs.events import block_of  # noqa: E402
from eventsim import AvgPool, Conv2d, Dense, EventBins, Flatten, Input, Model, Neuron, Readout  # noqa: E402

RATES = (1e4, 1e5, 1e6)  # events per second
BLOCK = 10_000  # microseconds of a block of events


SLAYER = ("4a", "16c5", "2a", "32c3", "2a", "512d", "11o")  # S. Shrestha and G. Orchard, NeurIPS 2018
NINE = ("2a", "8c3", "2a", "16c3", "16c3", "2a", "32c3", "32c3", "2a", "64c3", "256d", "128d", "11o")


def gesture_network(layers, seed=0):
    """Over 128 x 128 pixels and two polarities, as networks for DVS128 Gesture, with random weights. layers: `4a`
    averages 4 x 4, `16c5` has 16 channels and kernels of 5 x 5, `512d` 512 neurons, `11o` the readout."""
    rng, size = np.random.default_rng(seed), (128, 128)
    shape = (2, *size)
    nodes = {"input": Input(shape, events=EventBins(1000, coincident="merge", sensor_size=size))}

    def add(name, node):
        nonlocal shape
        nodes[name], shape = node, node.output_shape(shape)

    for i, (number, kind, kernel) in enumerate(re.findall(r"(\d+)([acdo])(\d*)", " ".join(layers)), 1):
        n, k = int(number), int(kernel or 0)
        if kind == "a":
            add(f"pool{i}", AvgPool(n))
        elif kind == "c":
            weight = rng.normal(0.1, 2, (n, shape[0], k, k)) / (shape[0] * k * k) ** 0.5
            add(f"conv{i}", Conv2d(weight, padding=k // 2))
            add(f"neuron{i}", Neuron(leak=0.9))
        else:
            if len(shape) > 1:
                add("flat", Flatten())
            add(f"dense{i}", Dense(rng.normal(0.1, 2, (n, shape[0])) / shape[0] ** 0.5))
            add(f"neuron{i}", Neuron(leak=0.9) if kind == "d" else Readout(leak=0.9))
    return Model(nodes, list(zip(nodes, list(nodes)[1:])))


def moving_edge(size, rate, seconds, seed=0):
    """Blocks of events of an edge that sweeps over the sensor, with noise, so many a second."""
    rng, (height, width) = np.random.default_rng(seed), size
    each = max(1, int(rate * BLOCK * 1e-6))
    for start in range(0, int(seconds * 1e6), BLOCK):
        t = np.sort(rng.integers(start, start + BLOCK, each))
        x = (t // 2000 + rng.integers(0, 4, each)) % width
        noise = rng.random(each) < 0.1
        x[noise] = rng.integers(0, width, int(noise.sum()))
        yield {"t": t, "x": x, "y": rng.integers(0, height, each), "p": rng.integers(0, 2, each)}


def recorded(folder, seconds):
    """Blocks of recordings of N-MNIST, one after another, spread over the folder."""
    paths, start = sorted(folder.rglob("*.bin")), 0
    for path in paths[:: max(1, len(paths) // 100)]:
        events = np.concatenate([block_of(block) for block in eventsim.open_events(path, sensor_size=(34, 34))])
        events["t"] += start - events["t"][0]
        start = int(events["t"][-1]) + 1000
        yield events
        if start > seconds * 1e6:
            return


def measured(model, precision, blocks):
    """A row of the table."""
    simulator = eventsim.Simulator(model, precision)
    stream = simulator.stream(blocks, "1ms", step="1ms")
    began, synops = time.process_time(), 0
    for window in stream:
        synops += window.counts.total("synops")
    spent = time.process_time() - began
    summary = stream.summary
    return {"precision": precision, "events/s": summary.events / summary.stream_seconds,
            "synops/window": synops / summary.windows, "real-time factor": summary.stream_seconds / spent,
            "ms/window": 1e3 * spent / summary.windows, "p50 ms": summary.latency_ms["p50"],
            "p99 ms": summary.latency_ms["p99"]}


def sinabs_rows(shared, seconds):
    """Rows of cnn_sinabs on N-MNIST's own recordings; none where they are not at hand."""
    network, recordings = shared / "oracles" / "nir" / "cnn_sinabs.nir", shared / "datasets" / "n-mnist" / "Test"
    if not (network.exists() and recordings.exists()):
        print(f"skipped cnn_sinabs: no {network} or {recordings}", file=sys.stderr)
        return []
    model = eventsim.load(network, preset="sinabs", lower_limit="IF", bits=5)
    blocks = list(recorded(recordings, seconds))
    return [{"network": "cnn_sinabs, N-MNIST", **measured(model, precision, blocks)}
            for precision in ("int8", "float32")]


def hour(n_events):
    """An hour of events through a small network: memory at each tenth."""
    size, seconds = (32, 32), 3600
    rng = np.random.default_rng(0)
    nodes = {"input": Input((2, *size), bits=16, events=EventBins(10_000, sensor_size=size)), "flat": Flatten(),
             "dense": Dense(rng.normal(0, 0.05, (10, 2048))), "readout": Readout(leak=0.9)}
    model = Model(nodes, list(zip(nodes, list(nodes)[1:])))
    rows, began = [], time.perf_counter()
    second = [block_of(block) for block in moving_edge(size, n_events / seconds, 1)]
    stream = eventsim.Simulator(model).stream(repeated(second, seconds), "100ms")
    for window in stream:
        if (window.number + 1) % 3600 == 0:
            rows.append({"events": stream.summary.events, "hour": window.stop / 3.6e9, "resident MB": resident(),
                         "s": time.perf_counter() - began})
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def repeated(second, seconds):
    """The blocks of a second again and again."""
    for start in range(0, seconds * 1_000_000, 1_000_000):
        for block in second:
            block = block.copy()
            block["t"] += start
            yield block


def resident():
    """MB of memory of this process, now where the system says it, else at most."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main():
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of events, for each row")
    parser.add_argument("--hour", action="store_true", help="stream an hour instead")
    parser.add_argument("--events", type=float, default=1e9, help="in the hour")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared",
                        help="folder with oracles/ and datasets/, for cnn_sinabs (default: beside the repository)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.hour:
        rows = hour(given.events)
    else:
        models = {"N-MNIST": eventsim.load(ROOT / "data" / "nmnist.h5"),
                  "gesture, SLAYER's": gesture_network(SLAYER), "gesture, nine layers": gesture_network(NINE)}
        rows = [{"network": name, **measured(model, precision, list(moving_edge(
                    model.nodes["input"].events.sensor_size, rate, given.seconds)))}
                for name, model in models.items() for precision in ("int8", "float32") for rate in RATES]
        rows += sinabs_rows(given.shared, given.seconds)
    if given.json:
        print(json.dumps(rows))
        return
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        cells = (value if isinstance(value, str) else f"{value:.3g}" for value in row.values())
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
