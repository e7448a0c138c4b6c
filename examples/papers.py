"""The papers at their own scale: InfLoR-SNN's network, trained in minutes on one large GPU, proved on a CPU.

    python examples/papers.py pack FOLDER PARTS                    CIFAR-10 in files of at most 52 MiB
    python papers.py gpu PARTS STATE --minutes 8.5 --total 12.5 --carry OUT          on the GPU's machine
    python papers.py gpu PARTS STATE --minutes 4 --total 12.5 --carry OUT --resume   goes on
    python papers.py gpu PARTS STATE --device cpu --half --neurons whole             on a CPU that has bfloat16
    python examples/papers.py join OUT net.pt                      the pieces, checked by SHA-256
    python examples/papers.py export net.pt FOLDER net.h5          eventsim's file, proved over the test set

FOLDER holds the binary version of CIFAR-10. The two files that `pack` writes do not travel together where a call
takes 64 MiB along: bring each by a call of its own, into the same folder PARTS. Only `pack` and `export` need
eventsim; the GPU's machine needs PyTorch and examples/ alone. `gpu` prints what happens, a line of JSON each; it
ends with 0 when the training is done, with 3 when its minutes are over or it is told to end (SIGTERM, Ctrl-C), and
saves first.
"""

import argparse
import io
import json
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import commands
from commands import ABOVE_0, AT_LEAST_0, NATURAL, POSITIVE
from trainer.errors import TrainerError

ROOT = Path(__file__).resolve().parent
MEBIBYTE = 1 << 20
RECIPE = ("epochs", "batch_size", "lr", "weight_decay", "seed", "warm_up", "smoothing", "average", "teaching")
NETWORK = ("network", "widths", "dense", "neuron", "bits", "leak", "alpha", "restimulation", "pool", "timesteps",
           "seed")
FIXED = {"surrogate": "rectangle", "width": 2.0, "samples": None, "convert": None}


def parser():
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = p.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="a data set for the GPU's machine, in files of limited size")
    pack.add_argument("folder", help="with the data set's official files")
    pack.add_argument("parts", help="folder to write to")
    pack.add_argument("--data", choices=("cifar10", "cifar100", "mnist"), default="cifar10",
                      help="default cifar10")
    pack.add_argument("--limit", type=ABOVE_0, default=52.0, help="MiB of a file (default 52)")
    _gpu(commands.add_parser("gpu", help="train, within a time"))
    join = commands.add_parser("join", help="pieces that were carried here to one checkpoint")
    join.add_argument("pieces", help="folder that was given to gpu as --carry, or a checkpoint of STATE")
    join.add_argument("checkpoint", help="file to write")
    export = commands.add_parser("export", help="a checkpoint to eventsim's file; prove it")
    export.add_argument("checkpoint", help="that join wrote")
    export.add_argument("folder", help="with the data set's official files")
    export.add_argument("output", help="file to write (.h5)")
    export.add_argument("--limit", type=POSITIVE, help="prove it over so many test samples only (default: all)")
    return p


def _gpu(p):
    p.add_argument("parts", help="folder that pack wrote")
    p.add_argument("state", help="folder for the checkpoint and the log")
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint, or else from the pieces")
    time_ = p.add_argument_group("time")
    time_.add_argument("--minutes", type=AT_LEAST_0, default=8.5, help="of this command (default 8.5)")
    time_.add_argument("--total", type=ABOVE_0, help="minutes of all commands together (default: as --minutes; "
                       "with --resume, as before)")
    time_.add_argument("--measure", type=AT_LEAST_0, default=20.0,
                       help="seconds of steps by which the epochs are chosen (default 20)")
    time_.add_argument("--every", type=AT_LEAST_0, default=60.0, help="seconds between checkpoints (default 60)")
    carry = p.add_argument_group("what is carried away")
    carry.add_argument("--carry", help="folder for pieces of the checkpoint and the log")
    carry.add_argument("--piece", type=ABOVE_0, default=15.0, help="MiB of a piece (default 15)")
    carry.add_argument("--most", type=ABOVE_0, default=60.0, help="MiB of all pieces (default 60): of the whole "
                       "checkpoint where these hold it twice, as they do for a moment, else of the average of the "
                       "weights")
    _network(p.add_argument_group("network"))
    recipe = p.add_argument_group("recipe")
    recipe.add_argument("--epochs", type=NATURAL, default=0, help="default: as many as fit")
    recipe.add_argument("--batch-size", type=POSITIVE, default=512, help="default 512")
    recipe.add_argument("--lr", type=AT_LEAST_0, default=0.2, help="the largest (default 0.2)")
    recipe.add_argument("--weight-decay", type=AT_LEAST_0, default=5e-4, help="default 5e-4")
    recipe.add_argument("--warm-up", type=AT_LEAST_0, help="epochs in which the learning rate rises (default 2, "
                        "but at most half of --epochs)")
    recipe.add_argument("--smoothing", type=commands.number(most=1), default=0.1, help="of labels (default 0.1)")
    recipe.add_argument("--average", type=AT_LEAST_0, default=2.0, help="epochs that the moving average of the "
                        "weights looks back (default 2)")
    recipe.add_argument("--augmentation", choices=("none", "simple", "cutout", "paper"), default="cutout",
                        help="simple: crop and flip; cutout: and Cutout (default); paper: and AutoAugment")
    recipe.add_argument("--seed", type=NATURAL, default=0, help="default 0")
    recipe.add_argument("--half", action=argparse.BooleanOptionalAction,
                        help="convolutions in bfloat16 (default: on a GPU; few CPUs are fast at it)")
    recipe.add_argument("--initial", metavar="FILE", help="start from the weights of this checkpoint or model "
                        "file, of a network with the same layers: of other neurons or fewer steps, which train "
                        "faster")
    recipe.add_argument("--teacher", metavar="FILE", help="learn from what this network says, too")
    recipe.add_argument("--teaching", type=float, help="share of the loss that the teacher has (default 0.5)")
    recipe.add_argument("--teacher-once", action="store_true", help="ask the teacher once about each picture as "
                        "it is, not about every augmented one")
    recipe.add_argument("--neurons", choices=("auto", "graphs", "whole", "plain"), default="auto",
                        help="graphs: compiled; whole: compiled with all around them, faster on a CPU; auto: "
                             "graphs on a GPU")
    recipe.add_argument("--gradients", choices=("steps", "rates"), default="steps", help="rates: convolutions "
                        "learn from means over the steps: T + 2 of them instead of 3 T in T steps")
    recipe.add_argument("--device", help="default: a GPU if PyTorch sees one")
    recipe.add_argument("--threads", type=POSITIVE, help="of PyTorch, on a CPU")


def _network(p):
    p.add_argument("--network", default="resnet20_wide", help="of trainer.networks (default resnet20_wide, which "
                   "InfLoR-SNN cites; vgg16)")
    p.add_argument("--widths", type=POSITIVE, nargs="+", help="channels of each stage; default: as published")
    p.add_argument("--dense", type=POSITIVE, nargs="*",
                   help="neurons of VGG16's dense layers; default: as published")
    p.add_argument("--neuron", default="SRIF+MPR", help="of trainer.neurons (default SRIF+MPR), or ReLU")
    p.add_argument("--bits", type=NATURAL, nargs=2, metavar=("M", "N"), default=(1, 0),
                   help="integer and fractional bits of a spike (default 1 0)")
    p.add_argument("--leak", type=commands.number(most=1), help="what membranes keep per step")
    p.add_argument("--alpha", type=ABOVE_0, help="of tdBN (default 2^N: the range of one integer bit)")
    p.add_argument("--restimulation", action="store_true", help="of each layer by the one before it")
    p.add_argument("--pool", choices=("max", "average"), help="default: max, and average with ReLU")
    p.add_argument("--timesteps", type=POSITIVE, help="default 4; 1 with ReLU")


def main(argv=None):
    """Run a command and return its exit status."""
    args = parser().parse_args(argv)
    return {"pack": pack, "gpu": gpu, "join": join, "export": export}[args.command](args)


# ---- before


def pack(args):
    """Write the parts of a data set."""
    from trainer.data import open_data
    from trainer.packed import pack as write_parts

    paths = write_parts(open_data(args.data, args.folder, 1), args.parts, int(args.limit * MEBIBYTE))
    print(json.dumps({path.name: path.stat().st_size for path in paths}))
    return 0


# ---- on the GPU's machine


def gpu(args):
    """Train until all is done (0), or until the minutes are over or the process is told to end (3)."""
    began = time.monotonic()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads of two libraries share the cores: none may spin
    import torch

    from trainer.packed import unpack
    from trainer.timed import name_of
    from trainer.training import device_of

    check_network(args)
    check_recipe(args)
    check_unused(args)
    device = device_of(args.device)
    args.half = device.type == "cuda" if args.half is None else args.half
    prepare(device, args.threads)
    log = Log(Path(args.state) / "log.jsonl", args.carry and Path(args.carry))
    trainer = ready(args, unpack(args.parts), device, log)
    log({"event": "start", "step": trainer.step, "steps": trainer.n_steps, "torch": torch.__version__,
         "device": name_of(device), "settings": trainer.settings,
         "getting_ready": round(time.monotonic() - began, 1)})
    with stopping(trainer):
        trainer.run_for(60 * args.minutes, began)
    log({"event": "end", "step": trainer.step, "steps": trainer.n_steps, "finished": trainer.finished,
         "seconds": round(trainer.seconds, 1)})
    return 0 if trainer.finished else 3


def check_network(args):
    """Raise TrainerError where the options of a network name what is not known, or do not go together; give those
    their values that depend on others."""
    from trainer.networks import NETWORKS
    from trainer.neurons import NEURONS
    from trainer.options import impossible_network, steps_of

    for name, known in (("network", NETWORKS), ("neuron", (*NEURONS, "ReLU"))):
        if getattr(args, name) not in known:
            raise TrainerError(f"--{name} {getattr(args, name)}: expected one of {', '.join(known)}")
    refused = impossible_network(args)
    if refused:
        raise TrainerError(refused)
    args.timesteps = steps_of(args)


def check_recipe(args):
    """As check_network, of a recipe."""
    if args.teaching is None:
        args.teaching = 0.5 if args.teacher else 0.0
    if args.warm_up is None:
        args.warm_up = min(2.0, args.epochs / 2) if args.epochs else 2.0
    if (args.teacher is None) != (args.teaching == 0) or not 0 <= args.teaching <= 1:
        raise TrainerError(f"--teaching {args.teaching}: expected above 0 and at most 1 with --teacher, and none "
                           "without")
    if args.teacher_once and not args.teacher:
        raise TrainerError("--teacher-once: leave it out without --teacher, or name a teacher")
    if args.gradients == "rates" and args.neurons == "whole":
        raise TrainerError("--neurons whole compiles convolutions as they are: leave it out with "
                           "--gradients rates")


def check_unused(args):
    """Raise TrainerError, before anything is written, where a training is in the folders that is not gone on with,
    or none that could be."""
    from trainer.pieces import index_of
    from trainer.timed import NAME

    checkpoint, carried = Path(args.state) / "checkpoint.pt", args.carry and index_of(args.carry, NAME)
    if not args.resume:
        for path in filter(None, (checkpoint, carried)):
            if path.exists():
                raise TrainerError(f"{path}: is there already: add --resume to go on, or name another folder")
    elif not checkpoint.exists() and not carried:
        raise TrainerError(f"{args.state}: holds no checkpoint to go on from: leave --resume out, or name the "
                           "folder with its pieces by --carry")


@contextmanager
def stopping(trainer):
    """Let SIGTERM and Ctrl-C stop a TimedTrainer, which then saves; a second one ends the process at once."""
    before = {}

    def stop(number, _):
        trainer.stopped = True
        signal.signal(number, before[number])

    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def prepare(device, threads):
    """Set PyTorch up: what is not in bfloat16 on a GPU is float32, as it is exported."""
    import torch

    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if device.type == "cpu" and threads:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        keep_memory()


def keep_memory():
    """Let freed memory stay with the process (on Linux alone): else every step gets it anew from the system, page
    by page."""
    import ctypes

    TRIM_THRESHOLD, MMAP_MAX = -1, -4  # noqa: N806 (of malloc.h)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, 2**31 - 1)


def ready(args, data, device, log):
    """Return the TimedTrainer of the arguments; where --resume is given, it goes on from the checkpoint in STATE,
    or else from the pieces. Nothing is logged before nothing can be refused any more."""
    from trainer.networks import from_settings, n_parameters
    from trainer.neuron_graphs import use_graphs, whole
    from trainer.on_device import Resident
    from trainer.rates import use_rates
    from trainer.timed import Plan, TimedRecipe, TimedTrainer

    others = {name: weights_of(path, data) for name in ("initial", "teacher") if (path := getattr(args, name))}
    settings = settings_of(args, data, {name: settings for name, (_, settings) in others.items()})
    net = from_settings(settings, data).to(device)
    if args.gradients == "rates":
        use_rates(net, device)
    if args.initial:
        begin(net, others["initial"][0], args.initial)
    kind = {"auto": "graphs" if device.type == "cuda" else "plain"}.get(args.neurons, args.neurons)
    neurons = use_graphs(net, device, args.timesteps) if kind == "graphs" else kind
    recipe = TimedRecipe(**{name: getattr(args, name) for name in RECIPE}, half=args.half)
    minutes = args.minutes if args.total is None and not args.resume else args.total
    total = None if minutes is None else 60 * minutes
    checkpoint = Path(args.state) / "checkpoint.pt"
    part = Resident(data.training, data.input_node, device, args.augmentation)
    carried = args.carry and (args.carry, int(args.piece * MEBIBYTE), int(args.most * MEBIBYTE))
    compiled = whole if kind == "whole" else lambda net: net
    trainer = TimedTrainer(net, part, data.input_node, recipe, device, checkpoint, settings,
                           Plan(total, args.measure, args.every), log, data.held_out, carried,
                           args.teacher and teaching(args.teacher_once, others["teacher"], data, device, compiled))
    trainer.forward = compiled(net)
    if args.resume and not checkpoint.exists():
        trainer.resume(args.carry)
    log({"event": "network", "parameters": n_parameters(net), "neurons": neurons})
    return trainer


def begin(net, weights, path):
    """Give a network the weights of another of the same layers; re-stimulation, which that may lack, is left as it
    is. TrainerError where other layers differ."""
    from trainer.neurons import Restimulation

    optional = {f"{name}.{part}" for name, layer in net.named_modules() if isinstance(layer, Restimulation)
                for part in layer.state_dict()}
    own = net.state_dict()
    for name in sorted({*own, *weights} - (optional - set(weights))):
        theirs, ours = (tuple(tensors[name].shape) if name in tensors else None for tensors in (weights, own))
        if theirs != ours:
            raise TrainerError(f"{path}: {name} has the shape {theirs}, but here {ours}: the layers differ")
    net.load_state_dict(weights, strict=False)


def weights_of(path, data):
    """Return (weights, settings) of the network that a checkpoint or a model file holds; the settings say, too,
    what is known of how that training ended."""
    from trainer.timed import averaged

    if Path(path).suffix == ".h5":
        from trainer.unfolding import unfolded

        return unfolded(path, data)
    return averaged(path)


def teaching(once, of_teacher, data, device, compiled):
    """Return what a TimedTrainer takes as its teacher: a network of these (weights, settings), or its answers to
    all training samples."""
    import torch

    from trainer.training import evaluate

    net = teacher(of_teacher, data, device)
    if once:
        return torch.from_numpy(evaluate(net, data.training, data.input_node)[1]).to(device)
    return compiled(net)


def teacher(of_teacher, data, device):
    """Return the network of (weights, settings), to learn from."""
    import torch

    from trainer.networks import from_settings
    from trainer.training import load_weights

    weights, settings = of_teacher
    net = from_settings(settings, data)
    load_weights(net, weights, "--teacher")
    return net.to(device, memory_format=torch.channels_last).eval()


def settings_of(args, data, others):
    """Return what decides what is trained, as a model's provenance keeps it. others: "initial", "teacher" -> their
    settings."""
    settings = {name: getattr(args, name) for name in (*NETWORK, *RECIPE)}
    settings.update(others)
    settings["alpha"] = 2.0 ** args.bits[1] if args.alpha is None else args.alpha
    settings["bits"] = list(args.bits)
    if args.gradients != "steps":
        settings["gradients"] = args.gradients
    if args.teacher_once:
        settings["teacher_once"] = True
    data_name = data.name.lower().replace("-", "")
    return {**settings, **FIXED, "data": data_name, "augmentation": args.augmentation, "half": args.half}


class Log:
    """Writes lines of JSON: on standard output, to a file, and to a copy of it that is carried away. Where there
    is only the copy, as on a fresh machine, they are added to what that holds."""

    def __init__(self, path, carry):
        self.path, self.carry = path, carry
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = carry and carry / path.name
        if not path.exists() and kept and kept.exists():
            shutil.copyfile(kept, path)

    def __call__(self, event):
        line = json.dumps(event)
        print(line, flush=True)
        with open(self.path, "a") as file:
            file.write(line + "\n")
        if self.carry:
            self.carry.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.path, self.carry / self.path.name)


# ---- after


def join(args):
    """Write the checkpoint that the pieces hold, or a whole one, as export and trainer.parity read it."""
    import torch

    from trainer import pieces
    from trainer.timed import NAME, exported, with_settings
    from trainer.training import read_checkpoint

    commands.check_folder(args.checkpoint, "the checkpoint")
    if Path(args.pieces).is_dir():
        path = pieces.index_of(args.pieces, NAME)
        state = read_checkpoint(io.BytesIO(pieces.join(args.pieces, NAME)), path)
    else:
        path = args.pieces
        state = read_checkpoint(path, path)
    joined = exported(with_settings(state, path))
    file = io.BytesIO()
    torch.save(joined, file)
    pieces.write(Path(args.checkpoint), file.getbuffer())
    print(json.dumps({name: value for name, value in joined.items() if name not in ("net", "losses")}))
    return 0


def export(args):
    """Write a model file, prove it, print its accuracies; 1 where it does not compute what was trained."""
    from models import verify_file, wrong
    from trainer import rules  # noqa: F401 (from_torch then knows the trainer's modules)
    from trainer.__main__ import parser as trainer_parser, save_and_test
    from trainer.data import open_data
    from trainer.networks import from_settings
    from trainer.timed import with_settings
    from trainer.training import accuracy, evaluate, load_weights, read_checkpoint, weights_of
    import eventsim

    commands.check_model_file(args.output, "the output")
    kept = with_settings(read_checkpoint(args.checkpoint, args.checkpoint), args.checkpoint)
    settings = kept["settings"]
    if settings["neuron"] == "ReLU":
        raise TrainerError(f"{args.checkpoint}: is an ANN, which has no spikes to export: name it as --initial "
                           "and --teacher of a training with neurons, and export that")
    data = open_data(settings["data"], args.folder, settings["timesteps"])
    net = from_settings(settings, data)
    load_weights(net, weights_of(kept), args.checkpoint)
    held_out, _ = evaluate(net, data.held_out, data.input_node)
    # of what `gpu` has no option for
    defaults = vars(trainer_parser().parse_args([settings["data"], args.folder]))
    n_batches = len(data.training) // min(settings["batch_size"], len(data.training))
    epochs = round(kept["step"] / n_batches, 1)
    save_and_test(net, data, {
        **defaults, **settings, "epochs": epochs, "training_seconds": kept["seconds"], "device": kept["device"],
        "held_out_accuracy": held_out, "output": args.output})
    proof = verify_file(args.output, settings["data"], args.folder, args.checkpoint, args.limit)
    proof["held_out_accuracy"] = {"trained": held_out,
                                  "float32": accuracy(eventsim.load(args.output), data.held_out, "float32")}
    print(json.dumps(proof))
    return int(wrong(proof))


if __name__ == "__main__":
    commands.run("papers", main)
