"""The trained models in data/: how each was made, and whether it computes what was trained.

    pip install -e .[train]
    python examples/models.py train DATASETS CHECKPOINTS [NAME ...]
    python examples/models.py verify DATASETS [CHECKPOINTS] [NAME ...] [--write]
    python examples/models.py energy DATASETS
    python examples/models.py ann DATASETS CHECKPOINTS [NAME ...] [--known]

DATASETS: a folder with mnist/, n-mnist/ and cifar-10-batches-bin/, each with the official files.
CHECKPOINTS: a folder for the networks as PyTorch holds them. `train` writes data/NAME.h5 and goes on where it was
stopped; for CIFAR-10 it trains the ANN first, unless CHECKPOINTS has it, and cifar10 in three stages, the last two
taught by data/cifar10_multibit.h5. `verify` runs all test samples in DATASETS: every spike against PyTorch in
float64, accuracy in float32 and int8, and, with CHECKPOINTS, predictions against the network as trained in
float32. It prints the row of data/README.md and what differs from results/models.json, where --write keeps it.
`energy` writes results/energy.json: what the test samples cost, event by event and as a matched dense network, by
eventsim/costs/energy.py; it needs no PyTorch. `ann` trains a ReLU network of the layers of each model (anns.py)
and writes results/ann.json: accuracy, additions and energy of the one beside accuracy, MACs and energy of the
other; with --known, accuracies of ANNs are those that are written there, and nothing is trained.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

import commands
import eventsim
from eventsim.storage import writing
from eventsim.text import joule

ROOT = Path(__file__).resolve().parent
DATA, RESULTS = ROOT.parent / "data", ROOT / "results" / "models.json"
ENERGIES, BESIDE_ANNS = (RESULTS.with_name(f"{name}.json") for name in ("energy", "ann"))
SETS = {"mnist": "MNIST", "nmnist": "N-MNIST", "cifar10": "CIFAR-10"}
FOLDERS = {"mnist": "mnist", "nmnist": "n-mnist", "cifar10": "cifar-10-batches-bin"}
COMMON = ("--threads", "1")
ROUNDING = 1e-5  # quanta: what float32 can move a membrane by
ROUNDED, ROUNDING_64 = ("margin", "output_error"), 1e-12  # sums in float64, which machines add in another order
SMALL_VGG = ("--network", "small_vgg", "--widths", "32", "96", "144", "--pool", "max", "--batch-size", "128",
             "--lr", "0.05", "--warm-up", "0.5", "--smoothing", "0", "--average", "1", "--augmentation", "simple",
             "--threads", "2")
HALF = ("--half", "--neurons", "whole")
RATES = ("--gradients", "rates", "--teacher-once")
MODELS = {  # arguments of `python -m trainer`, or of `papers.py gpu`, behind the data set
    "mnist": ("mnist", "--network", "strided", "--bits", "1", "1", "--timesteps", "2", "--epochs", "9",
              "--spike-penalty", "0.15"),
    "nmnist": ("nmnist", "--network", "strided", "--widths", "8", "16", "--bits", "1", "1", "--timesteps", "10",
               "--epochs", "40", "--batch-size", "50", "--lr", "0.05", "--spike-penalty", "2"),
    "cifar10_multibit": ("cifar10", *SMALL_VGG, *HALF, "--bits", "1", "2", "--alpha", "4", "--restimulation",
                         "--timesteps", "2", "--epochs", "24"),
    "cifar10": ("cifar10", *SMALL_VGG, *RATES, "--half", "--timesteps", "4", "--lr", "0.08", "--epochs", "45"),
}
TAUGHT = {"cifar10_multibit", "cifar10"}  # by papers.py, from the weights of the ANN of their layers, and by it
BEFORE = {"cifar10": ((*SMALL_VGG, *HALF, "--timesteps", "4", "--epochs", "8"),
                      (*SMALL_VGG, *RATES, "--timesteps", "4", "--epochs", "12"))}  # stages; MODELS has the last
FURTHER_BY = {"cifar10": "cifar10_multibit"}  # who teaches all stages but the first


def train(name, datasets, checkpoints):
    """Train one model and write data/NAME.h5."""
    from trainer.__main__ import main as trainer

    if name in TAUGHT:
        return train_taught(name, datasets, checkpoints)
    data, *settings = MODELS[name]
    return trainer([data, str(Path(datasets) / FOLDERS[data]), *settings, *COMMON, "--device", "cpu",
                    "--checkpoint", str(checkpoint(checkpoints, name)), "--output", str(DATA / f"{name}.h5")])


def train_taught(name, datasets, checkpoints):
    """`train` for one of TAUGHT; 1 where what it goes on from does not compute what was trained."""
    import anns
    import papers

    data, *settings = MODELS[name]
    folder, of = Path(datasets) / FOLDERS[data], anns.OF.get(name, name)
    ann, kept = anns.kept_at(checkpoints, of), checkpoint(checkpoints, name)
    anns.timed(anns.TIMED[of], folder, ann)
    begun = teacher = ann
    for number, stage in enumerate(BEFORE.get(name, ()), 1):
        before = checkpoint(checkpoints, f"{name}_stage{number}")
        anns.timed((*stage, "--initial", str(begun), "--teacher", str(teacher)), folder, before)
        begun, teacher = before.with_suffix(".h5"), DATA / f"{FURTHER_BY[name]}.h5"
        if papers.main(["export", str(before), str(folder), str(begun)]):
            return 1
    anns.timed((*settings, "--initial", str(begun), "--teacher", str(teacher)), folder, kept)
    return papers.main(["export", str(kept), str(folder), str(DATA / f"{name}.h5")])


def checkpoint(folder, name):
    """Return where a network is kept."""
    return Path(folder) / f"{name}.pt"


def verify(name, datasets, checkpoints=None):
    """Return what all test samples show of one model, as plain data."""
    folder, kept = Path(datasets) / FOLDERS[MODELS[name][0]], checkpoints and checkpoint(checkpoints, name)
    return verify_file(DATA / f"{name}.h5", MODELS[name][0], folder, kept)


def verify_file(path, data_name, folder, kept=None, limit=None):
    """Return what the first `limit` (all) test samples show of a model file, as plain data. data_name, folder: of
    the data set. kept: the checkpoint of its training, or None."""
    import torch

    from trainer.data import open_data
    from trainer.parity import compare, trained_network
    from trainer.training import accuracy

    torch.set_num_threads(1)
    model = eventsim.load(path)
    data = open_data(data_name, str(folder), model.timesteps)
    net = kept and trained_network(model, kept, data, path)
    if limit is not None:
        data.test = data.test.part(np.arange(min(limit, len(data.test))))
    verified = compare(model, data.test, net, progress=True).as_json()
    verified["bytes"] = Path(path).stat().st_size
    verified["accuracy"] = {p: accuracy(model, data.test, p) for p in ("float64", "float32", "int8")}
    return verified


def row(name, verified):
    """Return the row of data/README.md for a model and what `verify` gives of it."""
    model = eventsim.load(DATA / f"{name}.h5")
    settings = json.loads(model.provenance["settings"])
    held_out = float(model.provenance["accuracy_held_out"].split()[0])
    m, n = settings["bits"]
    neurons = f"{settings['neuron']}, {m} + {n} bit{'s' * (m + n > 1)}"
    neurons += ", re-stimulated" * settings["restimulation"]
    float32, int8 = (verified["accuracy"][precision] for precision in ("float32", "int8"))
    cells = (f"`{name}.h5`", SETS[settings["data"]], settings["network"], neurons, settings["timesteps"],
             f"{settings['epochs']:g}", f"{100 * held_out:.2f}", f"{100 * float32:.2f}", f"{100 * int8:.2f}",
             f"{100 * (int8 - float32):+.2f}", f"{verified['levels']:,}",
             f"{len(verified['trained_different'])} of {verified['samples']:,}" if verified["trained_compared"]
             else "not compared")
    return "| " + " | ".join(map(str, cells)) + " |"


def energy(name, data):
    """Return what a model costs on a data set, in joule per sample, by precision; and the file's SHA-256."""
    path = DATA / f"{name}.h5"
    energies = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    for precision in ("float32", "int8"):
        total = eventsim.evaluate(eventsim.Simulator(eventsim.load(path), precision), data).energy.total
        energies[precision] = {"events": total.total, "dense": total.ann_total}
    return energies


def energy_row(name, energies):
    """Return the row of data/README.md for what `energy` gives of a model."""
    cells = []
    for precision in ("float32", "int8"):
        events, dense = energies[precision]["events"], energies[precision]["dense"]
        cells += [joule(events), joule(dense), f"{events / dense:.2f}"]
    return f"| `{name}.h5` | " + " | ".join(cells) + " |"


def write_energies(datasets):
    """Run all test samples of all models and write results/energy.json; print the rows of data/README.md."""
    energies = {name: energy(name, data) for name, data in test_samples(datasets).items()}
    write(ENERGIES, energies)
    for name in energies:
        print(energy_row(name, energies[name]))


def test_samples(datasets):
    """Return where the test samples of each model are, by name."""
    return {"digits": DATA / "digits_test.h5",
            **{name: Path(datasets) / FOLDERS[settings[0]] for name, settings in MODELS.items()}}


def write_beside_anns(datasets, checkpoints, names, known=False):
    """Train what is not there, measure, and write results/ann.json; print the rows of data/README.md. known: take
    the accuracies of ANNs from there."""
    import anns

    comparisons = known_anns()
    Path(checkpoints).mkdir(parents=True, exist_ok=True)
    for name, test in test_samples(datasets).items():
        if name in names:
            accuracies = comparisons[name]["ann"]["accuracy"] if known else None
            comparisons[name] = anns.measure(name, DATA / f"{name}.h5", test, test, checkpoints, accuracies)
            write(BESIDE_ANNS, comparisons)
            print(anns.row(name, comparisons[name]), file=sys.stderr)


def known_anns():
    """Return what results/ann.json says, by model."""
    return commands.read_json(BESIDE_ANNS)


def write(path, results):
    """Write results."""
    writing.write_file(path, (json.dumps(results, indent=1, sort_keys=True) + "\n").encode())


def verify_all(names, datasets, checkpoints=None, write_them=False):
    """Verify models, print what was seen, and write it or say where it is not what is written. Returns 1 where a
    model is `wrong`, or other than is written."""
    written, verified, status = commands.read_json(RESULTS), {}, 0
    for name in names:
        verified[name] = verify(name, datasets, checkpoints)
        if write_them:
            written[name] = verified[name]
            write(RESULTS, written)
        lines = differences(verified[name], written.get(name))
        status |= int(wrong(verified[name]) or bool(lines))
        print(row(name, verified[name]), *(f"{name}: {line}" for line in lines), sep="\n", file=sys.stderr)
    print(json.dumps(verified))
    return status


def differences(verified, written):
    """Return in a line each what `verify` gives of a model that is not as written. written: of that model, or
    None. The network as trained is left out where it was not compared."""
    if written is None:
        return [f"nothing is written of it in {RESULTS.name}: add --write"]
    if verified["samples"] != written["samples"]:
        return [f"{verified['samples']:,} test samples are there, but {written['samples']:,} are written in "
                f"{RESULTS.name}: give the same ones to compare"]
    (ours, theirs), lines = map(_flat, (verified, written)), []
    for key in sorted(set(ours) | set(theirs)):
        if key.startswith("trained_") and not verified["trained_compared"]:
            continue
        pair = ours.get(key), theirs.get(key)
        if pair[0] != pair[1] and not (key in ROUNDED and abs(pair[0] - pair[1]) <= ROUNDING_64):
            lines.append(f"{key} is {pair[0]}, but {pair[1]} is written in {RESULTS.name}")
    return lines


def _flat(verified):
    """Return what `verify` gives with its accuracies by "accuracy.PRECISION", and of samples that the network as
    trained predicts otherwise their numbers alone."""
    flat = {f"accuracy.{precision}": share for precision, share in verified["accuracy"].items()}
    others = [first["sample"] for first in verified["trained_different"]]
    return {**{key: value for key, value in verified.items() if key != "accuracy"}, **flat,
            "trained_different": others}


def main(argv=None):
    """Train or verify; 1 where a model is `wrong`, or other than is written."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("action", choices=("train", "verify", "energy", "ann"))
    p.add_argument("datasets")
    p.add_argument("checkpoints", nargs="?")
    p.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)} (default: all)")
    p.add_argument("--known", action="store_true", help="ann: keep the accuracies of ANNs that are written")
    p.add_argument("--write", action="store_true", help="verify: write results/models.json instead of comparing "
                   "with it")
    args = p.parse_args(argv)
    if args.action == "verify" and args.checkpoints in MODELS and not Path(args.checkpoints).is_dir():
        args.checkpoints, args.names = None, [args.checkpoints, *args.names]
    if args.write and (args.action != "verify" or args.checkpoints is None):
        p.error("--write is for verify with CHECKPOINTS, as what these show is written, too: leave it out")
    if args.known and args.action != "ann":
        p.error(f"--known is for ann: leave it out with {args.action}")
    unknown = set(args.names or ("digits", *MODELS)) - set(known_anns()) if args.known else ()
    if unknown:
        p.error(f"{BESIDE_ANNS} knows nothing of {', '.join(sorted(unknown))}: leave out --known")
    if args.action == "energy":
        write_energies(args.datasets)
        return 0
    if args.checkpoints is None and args.action != "verify":
        p.error(f"{args.action} needs CHECKPOINTS, the folder of the networks as PyTorch holds them")
    if args.action == "ann" and not set(args.names) - {"digits", *MODELS}:
        write_beside_anns(args.datasets, args.checkpoints, args.names or ("digits", *MODELS), args.known)
        return 0
    names = args.names or list(MODELS)
    if set(names) - set(MODELS):
        p.error(f"no model {', '.join(sorted(set(names) - set(MODELS)))}: expected {', '.join(MODELS)}")
    if args.action == "train":
        return max(train(name, args.datasets, args.checkpoints) for name in names)
    missing = [str(kept) for name in names if args.checkpoints
               and not (kept := checkpoint(args.checkpoints, name)).exists()]
    if missing:
        p.error(f"no {', '.join(missing)}: `train` keeps the network as trained there; leave CHECKPOINTS out to "
                "verify without it")
    return verify_all(names, args.datasets, args.checkpoints, args.write)


def wrong(verified):
    """Return whether a model does not compute what PyTorch computes with its weights, or other than it was trained
    for more than rounding explains or for more than 0.1 % of the samples."""
    trained = verified["trained_different"]
    return bool(verified["levels_different"] or verified["predictions_different"]
                or len(trained) > verified["samples"] / 1000
                or any(abs(first["distance"]) > ROUNDING for first in trained))


if __name__ == "__main__":
    commands.run("models", main)
