"""Each model in data/ beside an ANN: the same layers with ReLU, trained the same way. `models.py ann` runs it.

The ANN has no steps, no re-stimulation and no penalty on spikes, and reads all events of a recording in one
picture; architecture, samples and augmentation are those of the model, optimizer and epochs, too, but for
CIFAR-10, whose models begin with the weights of their ANN and learn from it (models.py). In int8 the ANN has 8-bit
weights, a step for each output channel, and 8-bit activations (trainer/rounding.py). That of CIFAR-10 takes a C++
compiler; without one, leave `whole` out of TIMED. MACs and energy are those that eventsim counts for a dense
network of these layers that runs once per sample (eventsim/costs/energy.py); additions are what the model's spikes
cause, doublings and the bits of pixels included.
"""

import dataclasses
import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import eventsim
from eventsim.text import joule, quantity

ANNS = {  # arguments of `python -m trainer`, the data set first
    "mnist": ("mnist", "--network", "strided", "--epochs", "9"),
    "nmnist": ("nmnist", "--network", "strided", "--widths", "8", "16", "--timesteps", "1", "--epochs", "40",
               "--batch-size", "50", "--lr", "0.05"),
}
TIMED = {  # arguments of `papers.py gpu`
    "cifar10": ("--network", "small_vgg", "--widths", "32", "96", "144", "--neuron", "ReLU", "--pool", "max",
                "--timesteps", "1", "--epochs", "30", "--batch-size", "128", "--lr", "0.1", "--warm-up", "1",
                "--smoothing", "0", "--average", "1", "--augmentation", "simple", "--half", "--neurons", "whole",
                "--threads", "2"),
}
OF = {"cifar10_multibit": "cifar10"}  # networks of the same layers
DIGITS = SimpleNamespace(epochs=100, lr=3e-3, spike_penalty=0.0, seed=0)


def measure(name, path, test, folder, checkpoints, known=None):
    """Return what a model and its ANN do on all test samples, as plain data.

    path: of the model. test: its samples' file or folder. folder: with the data set's official files. checkpoints:
    folder for the ANN as PyTorch holds it. known: the ANN's accuracies, where they were measured before.
    """
    model = eventsim.load(path)
    ann = {**dense(model, test), "accuracy": known or accuracies(*trained(name, folder, checkpoints))}
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return {"sha256": digest, "spiking": spiking(model, test), "ann": ann}


def spiking(model, test):
    """Return a model's accuracy, and its additions and joule per sample."""
    numbers = {"accuracy": {}, "joule": {}}
    for precision in ("float32", "int8"):
        run = eventsim.evaluate(eventsim.Simulator(model, precision), test)
        numbers["accuracy"][precision], numbers["joule"][precision] = run.accuracy, run.energy.total.total
        numbers["additions"] = (run.totals.additions + run.totals.macs) / run.samples
    return numbers


def dense(model, test):
    """Return the MACs and joule per sample of an ANN of the model's layers."""
    numbers, model = {"joule": {}}, in_one_step(model)
    for precision in ("float32", "int8"):
        run = eventsim.evaluate(eventsim.Simulator(model, precision), test, limit=1)
        numbers["joule"][precision], numbers["macs"] = run.energy.total.ann_total, run.totals.dense_macs
    return numbers


def in_one_step(model):
    """Return the Model whose dense baseline is the ANN: one step, levels of 8 bits, no re-stimulation."""
    cut = {name for name, node in model.nodes.items() if node.kind == "Restimulation"}
    nodes = {name: dataclasses.replace(node, bits=8) if node.kind == "Neuron" else node
             for name, node in model.nodes.items() if name not in cut}
    edges = [edge for edge in model.edges if not {edge.source, edge.target} & cut]
    return eventsim.Model(nodes, edges, 1, model.class_names)


def trained(name, folder, checkpoints):
    """Return (network, trainer.data.Data) of an ANN; it is trained, or goes on, where it is not finished."""
    import torch

    from trainer.data import open_data
    from trainer.networks import from_settings
    from trainer.timed import averaged
    from trainer.training import load_weights, read_checkpoint, weights_of

    torch.set_num_threads(1)  # the order of sums, and so the result, depends on it
    if name == "digits":
        return digits()
    name = OF.get(name, name)
    kept = kept_at(checkpoints, name)
    if name in TIMED:
        weights, settings = averaged(timed(TIMED[name], folder, kept))
        torch.set_num_threads(1)
    else:
        from trainer.__main__ import main, parser

        arguments = [ANNS[name][0], str(folder), *ANNS[name][1:], "--neuron", "ReLU", "--device", "cpu",
                     "--threads", "1", "--checkpoint", str(kept), "--quiet"]
        main(arguments)
        weights, settings = weights_of(read_checkpoint(kept, kept)), vars(parser().parse_args(arguments))
    data = open_data(settings["data"], str(folder), settings["timesteps"])
    net = from_settings(settings, data)
    load_weights(net, weights, kept)
    return net.eval(), data


def kept_at(checkpoints, name):
    """Return where an ANN is kept."""
    return Path(checkpoints) / f"{name}_ann.pt"


def timed(arguments, folder, kept):
    """The checkpoint of a training by papers.py, which is done, or goes on, where it is not finished; where it is
    told to end before, so does the process, and where what is kept was trained otherwise. arguments: of its `gpu`,
    after the folders. folder: with the data set's official files. kept: path of the checkpoint."""
    import papers

    kept = Path(kept)
    if kept.exists():
        check_trained_so(kept, papers.parser().parse_args(["gpu", "parts", "state", *arguments]))
    if not kept.exists():
        parts, state = (kept.with_suffix(suffix) for suffix in (".parts", ".state"))
        papers.main(["pack", str(folder), str(parts)])
        more = ["--resume"] if (state / "checkpoint.pt").exists() else []
        if papers.main(["gpu", str(parts), str(state), *arguments, "--device", "cpu", "--minutes", "6000", *more]):
            sys.exit(f"{state}: the training is not finished; the same command goes on with it")
        papers.main(["join", str(state / "checkpoint.pt"), str(kept)])
    return kept


def check_trained_so(kept, args):
    """End the process where a checkpoint's settings are not those of arguments of `papers.py gpu`."""
    from papers import NETWORK, RECIPE
    from trainer.timed import averaged

    settings = averaged(kept)[1]
    for name in (*NETWORK, *RECIPE):
        wanted = getattr(args, name)
        wanted = list(wanted) if isinstance(wanted, tuple) else wanted
        if wanted is not None and settings.get(name) != wanted:
            _trained_otherwise(kept, name, settings.get(name), wanted)
    for name, usual in (("gradients", "steps"), ("teacher_once", False)):  # kept where they are not as usual
        if settings.get(name, usual) != getattr(args, name):
            _trained_otherwise(kept, name, settings.get(name, usual), getattr(args, name))


def _trained_otherwise(kept, name, value, expected):
    sys.exit(f"{kept}: was trained with {name} {value}, expected {expected}: move it away, and it is trained anew")


def digits():
    """Return the ANN of data/digits.h5, which has no part to choose by."""
    from trainer.data import Arrays, Data
    from trainer.digits import load_split
    from train_digits import fit

    (x, y), (x_test, y_test) = load_split()
    net, node = fit(x, y, DIGITS, relu=True)
    return net.eval(), Data("digits", node, tuple(map(str, range(10))), Arrays(x, y), None, Arrays(x_test, y_test))


def accuracies(net, data, calibrated_by=500):
    """Return an ANN's accuracy on what is held out, and on the test part in float32 and in 8 bits."""
    from trainer.data import some
    from trainer.rounding import in_8_bits
    from trainer.training import evaluate, to_values

    x, _ = data.training.batch(some(len(data.training), min(calibrated_by, len(data.training))))
    rounded = in_8_bits(net, to_values(x, data.input_node))
    shares = {"float32": evaluate(net, data.test, data.input_node)[0],
             "int8": evaluate(rounded, data.test, data.input_node)[0]}
    if data.held_out is not None:
        shares["held_out"] = evaluate(net, data.held_out, data.input_node)[0]
    return shares


def row(name, numbers):
    """Return the row of data/README.md for the numbers that `measure` gives of a model."""
    cells, precisions = [f"`{name}.h5`"], ("float32", "int8")
    for side, operations in ((numbers["spiking"], "additions"), (numbers["ann"], "macs")):
        cells += [f"{100 * side['accuracy'][precision]:.2f}" for precision in precisions]
        cells += [quantity(side[operations]), *(joule(side["joule"][precision]) for precision in precisions)]
    return "| " + " | ".join(cells) + " |"
