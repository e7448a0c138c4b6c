"""Whether a model file computes what was trained, sample by sample and spike by spike.

    python -m trainer.parity MODEL DATA FOLDER [--checkpoint FILE]     (in examples/)

Two comparisons, both over a whole data set:

* the engine in float64 against PyTorch in float64, both with the file's own weights: every level of
  every neuron in every step, and every prediction, must be equal;
* the engine in float64 against the network as it was trained, BatchNorm and all, in float32: where a
  prediction differs, the first spike that differs is looked up, and how far its membrane is from the
  threshold. Rounding explains no more than a few millionths of a quantum.
"""

import argparse
import json
import sys
from dataclasses import dataclass, field
from typing import List, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

import eventsim
from eventsim import Simulator
from trainer.data import DATA, open_data
from trainer.networks import from_settings
from trainer.simulating import simulate
from trainer.training import to_values


class FirstDifference(NamedTuple):
    """Where two runs of a sample part: layer and step of the first levels that differ; of these, the neuron
    (flat index) whose membrane is farthest from its nearest threshold, and how far, in quanta (of the
    float64 run). If that is rounding, all of them are: spikes of one layer and step do not cause each other."""

    sample: int
    layer: str
    step: int
    neuron: int
    distance: float


@dataclass
class Parity:
    """What was compared. levels_different, predictions_different: float64 against float64.

    trained_different: predictions of the trained float32 network that differ, each with its first
    difference. margin: smallest distance of any membrane to a threshold, in quanta.
    """

    samples: int = 0
    levels: int = 0
    levels_different: int = 0
    predictions_different: int = 0
    output_error: float = 0.0
    margin: float = np.inf
    right: int = 0
    trained_compared: bool = False
    trained_different: List[FirstDifference] = field(default_factory=list)

    def as_json(self):
        """A dict of plain numbers."""
        return {**vars(self), "trained_different": [d._asdict() for d in self.trained_different]}


def compare(model, part, net=None, batch_size=50, limit=None, progress=False):
    """The Parity of a model on a part of a data set. net: the SpikingNet as trained, or None."""
    found = Parity(trained_compared=net is not None)
    input_node = model.nodes[model.input]
    neurons = [name for name, node in model.nodes.items() if node.kind == "Neuron"]
    simulator = Simulator(model, "float64")
    n = len(part) if limit is None else min(limit, len(part))
    for start in tqdm(range(0, n, batch_size), disable=None if progress else True, unit="batch"):
        x, y = part.batch(np.arange(start, min(start + batch_size, n)))
        recording = simulator.run(x, record=[f"spikes:{name}" for name in neurons])
        expected = simulate(model, to_values(x, input_node, dtype=torch.float64))
        found.samples += len(x)
        found.margin = min(found.margin, expected.margin)
        for name in neurons:
            levels = expected.levels[name]
            found.levels += levels.size
            found.levels_different += int((recording.levels(name).reshape(levels.shape) != levels).sum())
        found.predictions_different += int((recording.predictions != expected.outputs.argmax(1)).sum())
        found.output_error = max(found.output_error, float(np.abs(recording.output - expected.outputs).max()))
        found.right += int((recording.predictions == y).sum())
        if net is not None:
            found.trained_different += _trained(net, model, x, recording, start)
    return found


def _trained(net, model, x, recording, start):
    """FirstDifference of each sample that the network as trained predicts differently.

    Where every spike is equal, it is the output: its layer, and how far the two classes are apart.
    """
    outputs, levels = run_trained(net, to_values(x, model.nodes[model.input]))
    levels = {node_of(model, name): found for name, found in levels.items()}
    predictions = outputs.argmax(1)
    found = []
    for i in np.flatnonzero(predictions != recording.predictions):
        first = first_difference(model, x[i], {name: v[i] for name, v in levels.items()}, start + int(i))
        if first is None:
            ours = recording.output[i]
            gap = float(ours[recording.predictions[i]] - ours[predictions[i]])
            first = FirstDifference(start + int(i), model.output, model.timesteps - 1, int(predictions[i]), gap)
        found.append(first)
    return found


@torch.no_grad()
def run_trained(net, values):
    """(outputs (N, classes), name -> levels int64 (N, T, ...)) of a SpikingNet in evaluation."""
    levels, hooks = {}, []
    for name, layer in net.layers.items():
        if hasattr(layer, "max_level"):
            def keep(layer, _, out, name=name):
                levels[name] = (out / layer.quantum).round().long().transpose(0, 1).numpy()
            hooks.append(layer.register_forward_hook(keep))
    try:
        outputs = net.eval()(values).numpy()
    finally:
        for hook in hooks:
            hook.remove()
    return outputs, levels


def node_of(model, layer):
    """Name of the node that a layer of a SpikingNet is: its module's path, in older files the layer's own name."""
    path = f"layers.{layer}"
    return path if path in model.nodes else layer


def first_difference(model, x, levels, sample=0):
    """The FirstDifference of one sample x from `levels`, name -> (T, ...); None if there is none.

    First in time, then in the order in which layers run.
    """
    wanted = [f"{kind}:{name}" for name in levels for kind in ("spikes", "potentials")]
    recording = Simulator(model, "float64").run(x[np.newaxis], record=wanted)
    order = [name for group in model.order() for name in group if name in levels]
    for step in range(model.timesteps):
        for name in order:
            found = recording.levels(name)[0, step].reshape(-1)
            different = np.flatnonzero(found != levels[name][step].reshape(-1))
            if len(different):
                h = np.asarray(recording.potentials(name))[0, step].reshape(-1)[different]
                distance = _distance(model.nodes[name], h)
                at = int(distance.argmax())
                return FirstDifference(sample, name, step, int(different[at]), float(distance[at]))
    return None


def _distance(node, h):
    """Of membranes to the nearest threshold, in quanta; the thresholds of a layer are alike."""
    u = (h - float(node.v_threshold)) / float(node.quantum)
    return np.abs(u - np.clip(np.round(u), 0, 2**node.n_bits - 2))


def trained_network(model, checkpoint, data):
    """The SpikingNet of a checkpoint, built as the model's provenance says."""
    settings = json.loads(model.provenance["settings"])
    if settings["convert"]:
        raise ValueError("a converted network was not trained as it is: compare without --checkpoint")
    net = from_settings(settings, data)
    net.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["net"])
    return net


def main(argv=None):
    """Compare, print JSON; 1 where the file does not compute what PyTorch computes."""
    p = argparse.ArgumentParser(prog="python -m trainer.parity", description=__doc__.partition("\n")[0])
    p.add_argument("model")
    p.add_argument("data", choices=DATA)
    p.add_argument("folder")
    p.add_argument("--limit", type=int, help="samples of the test part (default: all)")
    p.add_argument("--checkpoint", help="of the training: compare with the trained network, too")
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args(argv)
    torch.set_num_threads(args.threads)
    model = eventsim.load(args.model)
    data = open_data(args.data, args.folder, model.timesteps)
    net = args.checkpoint and trained_network(model, args.checkpoint, data)
    found = compare(model, data.test, net, limit=args.limit, progress=True)
    print(json.dumps(found.as_json()))
    return int(bool(found.levels_different or found.predictions_different))


if __name__ == "__main__":
    sys.exit(main())
