"""The networks that real.py measures, each with samples: the shipped ones, and sizes that people use.

Samples are test images and recordings where the data sets are at hand, else the check samples of the model's file,
shifted by up to two pixels, so that density and structure are those of real ones.
"""

import sys
from pathlib import Path
from typing import NamedTuple, Optional, Tuple

import numpy as np

import eventsim
from eventsim import Conv2d, Dense, Edge, Flatten, Input, MaxPool, Model, Neuron, Readout

DATA = Path(__file__).resolve().parents[3] / "data"
SETS = {"mnist": "mnist", "cifar10": "cifar-10-batches-bin", "cifar10_multibit": "cifar-10-batches-bin",
        "nmnist": "n-mnist"}
POOL = 1000  # samples of a data set that are drawn from, at most
SHIFT = 2
RECURRENT_STEPS, GESTURE_STEPS, SINABS_STEPS = 100, 20, 300
# weights of the gesture network, times 1 / sqrt(inputs): each layer but the first fires at about 10 %
GESTURE_GAINS = (8.0, 8.1, 2.7, 2.2, 2.4, 2.3)


class Workload(NamedTuple):
    """x: uint8 levels (N, ...) that stand still, or (N, T, ...). origin: what they are. batches: sizes that are
    timed. singles: samples a round at batch 1."""

    name: str
    model: Model
    x: np.ndarray
    origin: str
    batches: Tuple[int, ...] = (1, 64)
    singles: int = 8


def workload(name, shared, seed) -> Optional[Workload]:
    """One of NAMES; None, with a line that says so, where it needs what is not in `shared`.

    shared: a folder with datasets/ and oracles/, which may lack either.
    """
    rng = np.random.default_rng(seed)
    if name == "recurrent":
        return Workload(name, recurrent_model(), spoken(rng, 128), "random spikes, 10 %")
    if name == "gestures":
        return Workload(name, gesture_model(), gestures(rng, 12), "random events, a moving cloud", (1, 4), 2)
    if name == "cnn_sinabs":
        return _sinabs(shared)
    return _shipped(name, shared, rng)


def _shipped(name, shared, rng):
    model = eventsim.load(DATA / f"{name}.h5")
    node = model.nodes[model.input]
    path = DATA / "digits_test.h5" if name == "digits" else shared / "datasets" / SETS[name]
    if path.exists():
        return Workload(name, model, *samples_of(path, node, model.timesteps))
    return Workload(name, model, shifted(model.check.x, rng), "the file's check samples, shifted")


def _sinabs(shared):
    network, recordings = shared / "oracles" / "nir" / "cnn_sinabs.nir", shared / "datasets" / "n-mnist"
    for path in (network, recordings):
        if not path.exists():
            print(f"skipped cnn_sinabs: no {path}", file=sys.stderr)
            return None
    # sinabs has no widest level; with 5 bits (these recordings reach 23) int8 is proved for all the steps
    model = eventsim.load(network, preset="sinabs", lower_limit="IF", bits=5)
    samples = samples_of(recordings, model.nodes[model.input], SINABS_STEPS)
    return Workload("cnn_sinabs", model, *samples, (1, 16), 2)


def samples_of(path, node, steps):
    """(up to POOL samples of a data file or folder, spread over it, uint8; its name)."""
    data = eventsim.open_dataset(path, node, steps if node.events else None)
    x = np.concatenate([x for x, _ in data.batches(100)])
    return x[np.linspace(0, len(x) - 1, min(len(x), POOL)).astype(int)].astype(np.uint8), data.name


def shifted(x, rng, n=128):
    """n samples (n, ..., H, W) from few, each moved by up to SHIFT pixels along both axes."""
    moves = rng.integers(-SHIFT, SHIFT + 1, (n, 2))
    return np.stack([np.roll(x[i % len(x)], move, (-2, -1)) for i, move in enumerate(moves)]).astype(np.uint8)


# ---- a recurrent layer as for the Spiking Heidelberg Digits


def recurrent_model(n_in=700, n=256, classes=20, steps=RECURRENT_STEPS):
    """Current-based neurons with recurrent synapses, as snnTorch's RSynaptic, and a mean over the steps."""
    rng = np.random.default_rng(0)

    def weights(n_out, n_in, gain):
        return rng.uniform(-gain, gain, (n_out, n_in)) / np.sqrt(n_in)

    nodes = {
        "input": Input((n_in,)), "forward": Dense(weights(n, n_in, 2.0)), "recurrent": Dense(weights(n, n, 0.5)),
        "neurons": Neuron(leak=0.9, current_leak=0.8, comparison=">", reset_delay=1),
        "dense": Dense(weights(classes, n, 1.0)), "readout": Readout("mean"),
    }
    edges = [("input", "forward"), ("forward", "neurons"), ("neurons", "recurrent"),
             Edge("recurrent", "neurons", 1), ("neurons", "dense"), ("dense", "readout")]
    return Model(nodes, edges, timesteps=steps)


def spoken(rng, n, n_in=700, steps=RECURRENT_STEPS):
    """Spikes (n, steps, n_in): about 10 %, more of them in the middle of time and of the inputs."""
    x = np.zeros((n, steps, n_in), np.uint8)
    for sample in x:
        n_spikes = steps * n_in * 8 // 70
        t = (rng.beta(2, 3, n_spikes) * steps).astype(int)
        sample[t, np.clip(rng.normal(n_in / 2, n_in / 4.7, n_spikes), 0, n_in - 1).astype(int)] = 1
    return x


# ---- a network as for gestures before an event camera of 128 x 128


def gesture_model(channels=16, size=128, stages=5, hidden=128, classes=11, steps=GESTURE_STEPS):
    """`stages` times convolution, leaky neurons with hard reset, pool of 2; two dense layers; the mean."""
    rng = np.random.default_rng(0)
    nodes, edges, at, n_in = {"input": Input((2, size, size))}, [], "input", 2

    def add(name, node):
        nonlocal at
        nodes[name] = node
        edges.append((at, name))
        at = name

    def neurons():
        return Neuron(leak=0.5, input_gain=0.5, reset="hard")

    for stage in range(1, stages + 1):
        gain = GESTURE_GAINS[stage - 1] / np.sqrt(9 * n_in)
        add(f"conv{stage}", Conv2d(rng.normal(0, gain, (channels, n_in, 3, 3)), padding=1))
        add(f"neurons{stage}", neurons())
        add(f"pool{stage}", MaxPool(2))
        n_in = channels
    n_flat = channels * (size >> stages) ** 2
    add("flatten", Flatten())
    add("hidden", Dense(rng.normal(0, GESTURE_GAINS[stages] / np.sqrt(n_flat), (hidden, n_flat))))
    add("neurons", neurons())
    add("dense", Dense(rng.normal(0, 1 / np.sqrt(hidden), (classes, hidden))))
    add("readout", Readout("mean"))
    return Model(nodes, edges, timesteps=steps)


def gestures(rng, n, size=128, steps=GESTURE_STEPS):
    """Events (n, steps, 2, size, size): a cloud that moves in a circle, and noise; about 3 %."""
    rows, columns = np.mgrid[:size, :size] / size - 0.5
    x = np.zeros((n, steps, 2, size, size), np.uint8)
    for sample in x:
        phase, turn = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4)
        for t in range(steps):
            angle = phase + turn * t
            square = (rows - np.sin(angle) / 4) ** 2 + (columns - np.cos(angle) / 4) ** 2
            sample[t] = rng.random((2, size, size)) < 0.005 + 0.3 * np.exp(-square / 0.024)
    return x


NAMES = ("digits", "mnist", "cifar10", "cifar10_multibit", "nmnist", "cnn_sinabs", "recurrent", "gestures")
