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
from dataclasses import dataclass, field
from typing import List, NamedTuple

import numpy as np
import torch
from tqdm import tqdm

import commands
import eventsim
from eventsim import Simulator
from trainer.data import DATA, open_data
from trainer.errors import TrainerError
from trainer.networks import from_settings, told_settings
from trainer.simulating import simulate
from trainer.training import load_weights, read_checkpoint, to_values, weights_of


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
        """Return a dict of plain numbers."""
        return {**vars(self), "trained_different": [d._asdict() for d in self.trained_different]}


def compare(model, part, net=None, batch_size=50, limit=None, progress=False):
    """Return the Parity of a model on a part of a data set. net: the SpikingNet as trained, or None."""
    parity = Parity(trained_compared=net is not None)
    input_node = model.nodes[model.input]
    neurons = [name for name, node in model.nodes.items() if node.kind == "Neuron"]
    simulator = Simulator(model, "float64")
    n = len(part) if limit is None else min(limit, len(part))
    for start in tqdm(range(0, n, batch_size), disable=None if progress else True, unit="batch"):
        x, y = part.batch(np.arange(start, min(start + batch_size, n)))
        recording = simulator.run(x, record=[f"spikes:{name}" for name in neurons])
        expected = simulate(model, to_values(x, input_node, dtype=torch.float64))
        parity.samples += len(x)
        parity.margin = min(parity.margin, expected.margin)
        for name in neurons:
            levels = expected.levels[name]
            parity.levels += levels.size
            parity.levels_different += int((recording.levels(name).reshape(levels.shape) != levels).sum())
        parity.predictions_different += int((recording.predictions != expected.outputs.argmax(1)).sum())
        parity.output_error = max(parity.output_error, float(np.abs(recording.output - expected.outputs).max()))
        parity.right += int((recording.predictions == y).sum())
        if net is not None:
            parity.trained_different += _trained(net, model, x, recording, start)
    return parity


def _trained(net, model, x, recording, start):
    """Return the FirstDifference of each sample that the network as trained predicts differently.

    Where every spike is equal, it is the output: its layer, and how far the two classes are apart.
    """
    outputs, levels = run_trained(net, to_values(x, model.nodes[model.input]))
    levels = {node_of(model, name): differences for name, differences in levels.items()}
    predictions = outputs.argmax(1)
    differences = []
    for i in np.flatnonzero(predictions != recording.predictions):
        first = first_difference(model, x[i], {name: v[i] for name, v in levels.items()}, start + int(i))
        if first is None:
            ours = recording.output[i]
            gap = float(ours[recording.predictions[i]] - ours[predictions[i]])
            first = FirstDifference(start + int(i), model.output, model.timesteps - 1, int(predictions[i]), gap)
        differences.append(first)
    return differences


@torch.no_grad()
def run_trained(net, values):
    """Return (outputs (N, classes), name -> levels int64 (N, T, ...)) of a SpikingNet in evaluation."""
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
    """Return the name of the node that a layer of a SpikingNet is: its module's path, in older files the layer's
    own name."""
    path = f"layers.{layer}"
    return path if path in model.nodes else layer


def first_difference(model, x, levels, sample=0):
    """Return the FirstDifference of one sample x from `levels`, name -> (T, ...); None if there is none.

    First in time, then in the order in which layers run.
    """
    wanted = [f"{kind}:{name}" for name in levels for kind in ("spikes", "potentials")]
    recording = Simulator(model, "float64").run(x[np.newaxis], record=wanted)
    order = [name for group in model.order() for name in group if name in levels]
    for step in range(model.timesteps):
        for name in order:
            own = recording.levels(name)[0, step].reshape(-1)
            different = np.flatnonzero(own != levels[name][step].reshape(-1))
            if len(different):
                h = np.asarray(recording.potentials(name))[0, step].reshape(-1)[different]
                distance = _distance(model.nodes[name], h)
                farthest = int(distance.argmax())
                return FirstDifference(sample, name, step, int(different[farthest]), float(distance[farthest]))
    return None


def _distance(node, h):
    """Return the distance of membranes to the nearest threshold, in quanta; the thresholds of a layer are
    alike."""
    u = (h - float(node.v_threshold)) / float(node.quantum)
    return np.abs(u - np.clip(np.round(u), 0, 2**node.n_bits - 2))


def trained_network(model, checkpoint, data, place="the model"):
    """Return the SpikingNet that a checkpoint stands for, built as the model's provenance says. TrainerError where
    that does not say it, or the checkpoint holds another network. place: what an error says that the model is."""
    settings = told_settings(model, place, "give one that the trainer exported, or compare without --checkpoint")
    if settings.get("convert"):
        raise TrainerError(f"{place}: is a converted ANN, which was not trained as it is: compare without "
                           "--checkpoint")
    net = from_settings(settings, data)
    load_weights(net, weights_of(read_checkpoint(checkpoint, checkpoint)), checkpoint)
    return net


def main(argv=None):
    """Compare, print JSON; 1 where the file does not compute what PyTorch computes."""
    p = argparse.ArgumentParser(prog="python -m trainer.parity", description=__doc__.partition("\n")[0])
    p.add_argument("model")
    p.add_argument("data", choices=DATA)
    p.add_argument("folder")
    p.add_argument("--limit", type=commands.POSITIVE, help="samples of the test part (default: all)")
    p.add_argument("--checkpoint", help="of the training: compare with the trained network, too")
    p.add_argument("--threads", type=commands.POSITIVE, default=1)
    args = p.parse_args(argv)
    torch.set_num_threads(args.threads)
    model = eventsim.load(args.model)
    data = open_data(args.data, args.folder, model.timesteps)
    net = args.checkpoint and trained_network(model, args.checkpoint, data, args.model)
    parity = compare(model, data.test, net, limit=args.limit, progress=True)
    print(json.dumps(parity.as_json()))
    return int(bool(parity.levels_different or parity.predictions_different))


if __name__ == "__main__":
    commands.run("trainer.parity", main)
