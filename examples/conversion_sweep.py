"""ANN to SNN: accuracy of converted networks by steps T and bits B, against the ANN.

    python examples/conversion_sweep.py FOLDER            FOLDER: CIFAR-10, binary version

Trains a small VGG of ReLU with average pools from several seeds, converts it (trainer/conversion.py)
and writes the accuracy on the 5,000 held-out training images to results/conversion.csv; T = B = 0 is the
ANN. `ablation_report.py` makes a table and a plot of it. Seeds that are there already, with all these T and B
and as many epochs, are not repeated.
"""

import argparse
import csv
import time

import numpy as np
import torch
from tqdm import tqdm

import commands
from ablation import RESULTS, save
from commands import POSITIVE
from trainer.conversion import sweep
from trainer.data import cifar10
from trainer.errors import TrainerError
from trainer.networks import Style, small_vgg
from trainer.training import Recipe, Trainer, to_values

FILE = RESULTS / "conversion.csv"
NAMES = ("seed", "timesteps", "bits", "accuracy", "epochs", "seconds")
N_CALIBRATION = 500


def train_and_sweep(data, seed, epochs, timesteps, bits):
    """Return the rows of conversion.csv for one seed."""
    torch.manual_seed(seed)
    net = small_vgg(Style(None, average=True), 1)
    trainer = Trainer(net, data.training, data.input_node, Recipe(epochs, 64, 0.1, seed=seed, half=True))
    began = time.monotonic()
    trainer.run(progress=True)
    seconds = time.monotonic() - began
    x, _ = data.training.batch(np.arange(N_CALIBRATION))
    accuracies = sweep(net, to_values(x, data.input_node), data.held_out, data.input_node, timesteps, bits)
    return [(seed, *((0, 0) if key == "ANN" else key), f"{accuracy:.4f}", epochs, f"{seconds:.0f}")
            for key, accuracy in accuracies.items()]


def main(argv=None):
    """Run what is missing."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("folder")
    p.add_argument("--seeds", type=POSITIVE, default=3)
    p.add_argument("--epochs", type=POSITIVE, default=6)
    p.add_argument("--timesteps", type=POSITIVE, nargs="+", default=(1, 2, 4, 8))
    p.add_argument("--bits", type=POSITIVE, nargs="+", default=(1, 2, 3, 4))
    args = p.parse_args(argv)
    torch.set_num_threads(1)
    data = cifar10(args.folder, simple=True)
    rows = read()
    for seed in tqdm(missing(rows, args), disable=None, unit="seed"):
        rows.update(by_key(train_and_sweep(data, seed, args.epochs, args.timesteps, args.bits)))
        save(FILE, NAMES, (rows[key] for key in sorted(rows)))
    return 0


def by_key(rows):
    """Return rows by (epochs, seed, T, B)."""
    return {(int(row[4]), *map(int, row[:3])): tuple(map(str, row)) for row in rows}


def read(path=FILE):
    """Return the rows of a file, by key; {} if there is none. TrainerError where it is another file."""
    if not path.exists():
        return {}
    try:
        with open(path, newline="") as file:
            return by_key(list(csv.reader(file))[1:])
    except (ValueError, IndexError):
        raise TrainerError(f"{path}: is no file of conversions: move it away, and it is written anew") from None


def missing(rows, args):
    """Return the seeds that lack one of the (T, B) that are asked for, at so many epochs."""
    wanted = [(0, 0), *((t, b) for t in args.timesteps for b in args.bits)]
    return [seed for seed in range(args.seeds) if any((args.epochs, seed, t, b) not in rows for t, b in wanted)]


if __name__ == "__main__":
    commands.run("conversion_sweep", main)
