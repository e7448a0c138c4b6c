"""Train, resume, export and test a network from the command line, in the folder examples/.

    python -m trainer mnist FOLDER --network lenet --epochs 5 --output mnist.h5
    python -m trainer cifar10 FOLDER --neuron SRIF+MPR --timesteps 4 --epochs 30 --lr 0.1 \\
        --checkpoint resnet20.pt --output resnet20.h5
    python -m trainer cifar10 FOLDER --neuron ReLU --epochs 30 --lr 0.1 --convert 4 2 --output snn.h5

FOLDER holds the official files, unpacked: mnist: train-images-idx3-ubyte.gz and its three fellows; cifar10:
data_batch_1.bin to 5, test_batch.bin, batches.meta.txt (binary version); cifar100: train.bin, test.bin,
fine_label_names.txt (binary version); nmnist: Train/<digit>/*.bin, Test/<digit>/*.bin; cifar10_dvs:
<class>/*.aedat; imagenet: train/<class>/*, val/<class>/* (224 x 224 are cut out).

With --checkpoint, the same command goes on where an earlier one stopped (--seconds stops it). The last
line is JSON: settings, losses and accuracies. Accuracy on the test part is that of the exported file as
eventsim runs it in float32; settings should be chosen by the held-out part alone.

On Linux, GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=8000000000 before the command
spares page faults, which slow the training of small networks on a CPU.
"""

import argparse
import json

import numpy as np
import torch

import commands
import eventsim
from commands import ABOVE_0, AT_LEAST_0, NATURAL, POSITIVE
from trainer.conversion import convert
from trainer.data import DATA, MOVING, open_data, some
from trainer.exporting import export
from trainer.networks import NETWORKS, from_settings, n_parameters
from trainer.neurons import NEURONS, SURROGATES
from trainer.options import MOST_BITS, impossible_network, steps_of
from trainer.timed import seconds_in_words
from trainer.training import Recipe, Trainer, accuracy, device_of, evaluate, to_values

N_CHECK = 4  # samples in the check group: the first of the test part
N_CALIBRATION = 500  # training samples that a conversion looks at


def parser():
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(prog="python -m trainer", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("data", choices=DATA)
    p.add_argument("folder", help="with the data set's official files")
    p.add_argument("--network", choices=NETWORKS, default="resnet20", help="default resnet20")
    p.add_argument("--widths", type=POSITIVE, nargs="+", help="channels of each stage; default: as published")
    p.add_argument("--dense", type=POSITIVE, nargs="*",
                   help="neurons of each dense layer of a VGG or LeNet; default: as published")
    p.add_argument("--neuron", choices=[*NEURONS, "ReLU"], default="SRIF+MPR",
                   help="default SRIF+MPR; ReLU: a network to --convert")
    p.add_argument("--bits", type=NATURAL, nargs=2, metavar=("M", "N"), default=(1, 0),
                   help="integer and fractional bits of a spike (default 1 0)")
    p.add_argument("--leak", type=commands.number(most=1),
                   help="what membranes keep per step; default: 1, and 0.5 of LIF neurons")
    p.add_argument("--surrogate", choices=SURROGATES, default="rectangle", help="default rectangle")
    p.add_argument("--width", type=ABOVE_0, default=2.0, help="of the surrogate, in quanta (default 2)")
    p.add_argument("--alpha", type=ABOVE_0, default=1.0, help="of tdBN (default 1)")
    p.add_argument("--restimulation", action="store_true", help="of each layer by the one before it")
    p.add_argument("--timesteps", type=POSITIVE, help="default 4; 1 of ReLU, but for samples that move")
    p.add_argument("--epochs", type=POSITIVE, default=10, help="default 10")
    p.add_argument("--batch-size", type=POSITIVE, default=128, help="default 128")
    p.add_argument("--lr", type=AT_LEAST_0, default=0.1,
                   help="at first, then along a cosine to 0 (default 0.1, for few epochs; the paper has 0.01)")
    p.add_argument("--weight-decay", type=AT_LEAST_0, default=5e-4, help="default 5e-4")
    p.add_argument("--spike-penalty", type=float, default=0.0, metavar="FACTOR",
                   help="add to the loss the share of the synapses that spikes reach per step, times this: "
                        "networks that fire less cost less energy (default 0; 0.1 to 2 are worth trying)")
    p.add_argument("--seed", type=NATURAL, default=0, help="of weights, order and augmentation (default 0)")
    p.add_argument("--samples", type=POSITIVE, help="train on so many only, drawn once")
    p.add_argument("--augmentation", choices=("paper", "simple", "none"), default="paper",
                   help="default paper; simple: CIFAR-10 by crop and flip alone")
    p.add_argument("--device", help="default: a GPU if PyTorch sees one")
    p.add_argument("--half", action="store_true",
                   help="mixed precision: convolutions in float16 on a GPU, bfloat16 on a CPU; membranes stay "
                        "float32")
    p.add_argument("--threads", type=POSITIVE, help="of PyTorch, on a CPU")
    p.add_argument("--checkpoint", help="file to resume from, and to save to")
    p.add_argument("--seconds", type=AT_LEAST_0, help="stop after so long; resume later")
    p.add_argument("--convert", type=POSITIVE, nargs=2, metavar=("T", "B"), help="convert a ReLU network to T "
                   "steps of B bits")
    p.add_argument("--output", help="file to export to (.h5); it is then tested")
    p.add_argument("--quiet", action="store_true", help="no bar")
    return p


def main(argv=None):
    """Run the command; 0 when done, 3 when training was stopped by --seconds."""
    p = parser()
    args = p.parse_args(argv)
    refused = impossible(args)
    if refused:
        p.error(refused)
    commands.check_folder(args.checkpoint, "--checkpoint")
    commands.check_model_file(args.output, "--output")
    args.timesteps = steps_of(args, args.data in MOVING)
    args.device = str(device_of(args.device))
    if args.threads:
        torch.set_num_threads(args.threads)
    data = open_data(args.data, args.folder, args.timesteps, args.augmentation == "simple")
    if args.samples:  # of what is not held out
        data.training = data.training.part(some(len(data.training), args.samples))
    if args.augmentation == "none":
        data.training = data.training.part(np.arange(len(data.training)), augmented=False)
    net = from_settings(vars(args), data)
    recipe = Recipe(args.epochs, args.batch_size, args.lr, weight_decay=args.weight_decay, seed=args.seed,
                    half=args.half, spike_penalty=args.spike_penalty)
    trainer = Trainer(net, data.training, data.input_node, recipe, args.device, args.checkpoint,
                      settings={"data": args.data, "augmentation": args.augmentation})
    trainer.run(seconds=args.seconds, progress=not args.quiet)
    results = {**vars(args), "parameters": n_parameters(net), "losses": trainer.losses,
             "training_seconds": trainer.seconds, "finished": trainer.finished}
    if trainer.finished:
        results["held_out_accuracy"], _ = evaluate(net, data.held_out, data.input_node)
        net = net.cpu()
        if args.convert:
            x, _ = data.training.batch(some(len(data.training), min(N_CALIBRATION, len(data.training))))
            net = convert(net, to_values(x, data.input_node), *args.convert)
            results["converted_held_out_accuracy"], _ = evaluate(net, data.held_out, data.input_node)
        if args.output:
            results.update(save_and_test(net, data, results))
    print(json.dumps(results))
    return 0 if trainer.finished else 3


def impossible(args):
    """Return why arguments do not go together, before hours are spent on them; None if they do."""
    converted = args.neuron == "ReLU"
    if args.convert and not converted:
        return f"--convert makes a spiking network of ReLU, but --neuron is {args.neuron}: add --neuron ReLU"
    if converted and args.output and not args.convert:
        return "a network of ReLU cannot be exported: add --convert T B"
    if args.convert and args.data in MOVING:
        return f"--convert is for samples that stand still, which those of {args.data} do not"
    if args.convert and args.convert[1] > MOST_BITS:
        return f"--convert: spikes have {args.convert[1]} bits, at most {MOST_BITS} can be exported: give fewer"
    refused = impossible_network(args, args.data in MOVING)
    if refused:
        return refused
    if args.output and args.output == args.checkpoint:
        return f"--output {args.output} is the file of --checkpoint, too: name another"
    if not 0 <= args.spike_penalty < float("inf"):
        return f"--spike-penalty is {args.spike_penalty}: expected a number of at least 0"
    if args.spike_penalty and converted:
        return "--spike-penalty is of spiking neurons: leave it out with --neuron ReLU"
    if args.augmentation == "simple" and args.data != "cifar10":
        return f"--augmentation simple is for cifar10; {args.data} has paper and none"
    return None


# what papers.py has beside these settings
OF_TIMED = ("pool", "warm_up", "smoothing", "average", "teaching", "initial", "teacher", "teacher_once",
            "gradients")


def save_and_test(net, data, results):
    """Export, check and test a trained network; return its accuracy on the test part, by name. results: what is
    known of it."""
    x, _ = data.test.batch(np.arange(N_CHECK))
    settings = {name: results[name] for name in (
        "data", "network", "widths", "dense", "neuron", "bits", "leak", "surrogate", "width", "alpha",
        "restimulation", "timesteps", "epochs", "batch_size", "lr", "weight_decay", "spike_penalty", "seed",
        "samples", "augmentation", "half", "convert")}
    settings.update({name: results[name] for name in OF_TIMED if results.get(name) is not None})
    provenance = {
        "data": data.name, "script": "examples/trainer", "settings": json.dumps(settings),
        "seconds": seconds_in_words(results["training_seconds"], results["device"]),
        "torch": torch.__version__,
        "accuracy_held_out": f"{results.get('converted_held_out_accuracy', results['held_out_accuracy']):.4f} on "
                             f"{len(data.held_out)} training samples that were held out",
    }
    model = export(net, x, data.input_node, data.class_names, provenance)
    eventsim.save(model, results["output"])  # before the test, which takes a while
    test_accuracy = accuracy(model, data.test, "float32")
    model.provenance["accuracy_test"] = f"{test_accuracy:.4f} on {len(data.test)} test samples, eventsim float32"
    eventsim.save(model, results["output"])
    return {"test_accuracy": test_accuracy, "test_samples": len(data.test)}


if __name__ == "__main__":
    commands.run("trainer", main)
