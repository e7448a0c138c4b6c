"""Training loops: `train`, small, for arrays; `Trainer`, with checkpoints that resume, for all the rest."""

import io
import math
import pickle
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from trainer import pieces
from trainer.errors import TrainerError
from trainer.penalty import SpikePenalty


def train(net, x, y, epochs, batch_size=64, lr=3e-3, weight_decay=1e-2, augment=None, log=None,
          spike_penalty=0.0, rising=0):
    """Minimise cross-entropy with AdamW, the learning rate falling to 0 along a cosine.

    spike_penalty: factor of `SpikePenalty`, which is added. rising: epochs over which the factor rises from 0.

    x: float32 (N, ...), y: int64 (N,). augment: batch -> batch, or None.
    log: called as log(epoch, loss) after each epoch, or None.
    Random numbers come from torch's global generator. Returns the mean loss of each epoch.
    """
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    batches = max(len(x) // batch_size, 1)  # a rest is left out: BatchNorm dislikes small ones
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    penalty = SpikePenalty(net) if spike_penalty else None
    losses = []
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x))
        total = 0.0
        for i in range(batches):
            chosen = order[i * batch_size : (i + 1) * batch_size]
            batch = augment(x[chosen]) if augment else x[chosen]
            with penalty or nullcontext():
                outputs = net(batch)
            loss = functional.cross_entropy(outputs, y[chosen])
            if penalty:
                risen = min(1.0, (epoch + i / batches) / rising) if rising else 1.0
                loss = loss + risen * spike_penalty * penalty.share()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / batches)
        if log:
            log(epoch, losses[-1])
    net.eval()
    return losses


@dataclass(frozen=True)
class Recipe:
    """How a Trainer trains. The defaults are InfLoR-SNN's for CIFAR (section 4.1), epochs aside; the
    paper gives no weight decay.

    half: mixed precision: float16 on a GPU, bfloat16 elsewhere. Membranes stay float32.
    seed: of the order of the samples, their augmentation and of dropout; not of the weights.
    spike_penalty: factor of `SpikePenalty`, which is added to the loss.
    optimizer: "sgd", as the paper's, or "adam": AdamW, whose steps are of one length however long gradients are.
        Through many layers of hard reset the surrogate's gradients grow, and SGD then drives the first BatchNorms'
        scales up until nothing is learnt.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    seed: int = 0
    half: bool = False
    spike_penalty: float = 0.0
    optimizer: str = "sgd"


# Fewer input channels than this are less than one block of oneDNN's (8 with AVX2, 16 with AVX-512).
ONEDNN_BLOCK = 16


def memory_format(net, device):
    """Return the memory format in which a net is trained on a device: channels last, a fifth faster on CPUs as
    well.

    Contiguous for a net with a strided 1x1 convolution of few input channels on a CPU: its gradient by the
    weights, computed channels last, writes past the end of oneDNN's workspace and corrupts the heap
    (github.com/uxlfoundation/oneDNN/issues/6035).
    """
    if torch.device(device).type == "cpu" and any(map(_overruns_workspace, net.modules())):
        return torch.contiguous_format
    return torch.channels_last


def _overruns_workspace(layer):
    return (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and max(layer.stride) > 1
            and layer.in_channels // layer.groups < ONEDNN_BLOCK)


class Trainer:
    """Minimises cross-entropy by the recipe's optimizer, the learning rate falling to 0 along a cosine.

    What happens in a step depends on the recipe and on the step's number alone, so that a run that
    was interrupted and resumed gives the same network, bit for bit where the arithmetic repeats
    itself (a CPU with the same number of threads).

    net: on any device; it is moved to `device`. part: of trainer.data, augmented. input_node: says
        what the levels of its samples are worth.
    checkpoint: file to save to after each epoch (and every `minutes`), and to go on from if it is
        there. TrainerError if it was made by another recipe, of another network, from another number of
        samples, or with other `settings`: whatever else decides what is trained, as plain data.
    """

    def __init__(self, net, part, input_node, recipe, device="cpu", checkpoint=None, minutes=10.0, settings=None):
        self.made_by = {"recipe": _without_default(asdict(recipe)), "network": repr(net),
                        "samples": len(part), **(settings or {})}
        self.net = net.to(device, memory_format=memory_format(net, device))
        self.forward = self.net  # or the same, compiled
        self.part, self.input_node, self.recipe = part, input_node, recipe
        self.penalty = SpikePenalty(net) if recipe.spike_penalty else None
        self.device, self.minutes = torch.device(device), minutes
        self.half_dtype = torch.float16 if self.device.type == "cuda" else torch.bfloat16
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.batch_size = min(recipe.batch_size, len(part))
        self.n_batches = len(part) // self.batch_size  # a rest is left out: BatchNorm dislikes small ones
        self.optimizer = _optimizer(net, recipe)
        self.scaler = torch.amp.GradScaler(
            self.device.type, enabled=recipe.half and self.device.type == "cuda")
        self.step, self.total, self.losses, self.seconds = 0, 0.0, [], 0.0
        if self.checkpoint is not None and self.checkpoint.exists():
            self._load()

    @property
    def n_steps(self):
        """Steps of the whole training."""
        return self.recipe.epochs * self.n_batches

    @property
    def finished(self):
        """Whether all steps are done."""
        return self.step == self.n_steps

    def run(self, steps=None, seconds=None, progress=False, log=None):
        """Train to the end, or for so many more steps or seconds; returns the mean loss of each epoch.

        progress: whether to show a bar. log: called as log(epoch, loss) after each epoch.
        FloatingPointError where the loss is not finite.
        """
        from tqdm import tqdm

        began = saved = time.monotonic()
        stop = self.n_steps if steps is None else min(self.n_steps, self.step + steps)
        before = self.seconds
        self.net.train()
        with tqdm(total=self.n_steps, initial=self.step, disable=None if progress else True, unit="step") as bar:
            while self.step < stop and (seconds is None or time.monotonic() - began < seconds):
                loss = self._advance()
                self.seconds = before + time.monotonic() - began
                bar.update()
                bar.set_postfix(epoch=len(self.losses) + 1, loss=f"{loss:.3f}", refresh=False)
                if self.step % self.n_batches == 0:
                    self.losses.append(self.total / self.n_batches)
                    self.total = 0.0
                    if log:
                        log(len(self.losses), self.losses[-1])
                elif time.monotonic() - saved < 60 * self.minutes:
                    continue
                self._save()
                saved = time.monotonic()
        self._save()
        self.net.eval()
        return self.losses

    def _advance(self):
        """Make one step and return its loss."""
        loss = self.descend().item()
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} in step {self.step}: lower the learning rate")
        self.step += 1
        self.total += loss
        return loss

    def learning_rate(self):
        """Return the learning rate of this step: along a cosine to 0."""
        return self.recipe.lr * (1 + math.cos(math.pi * self.step / self.n_steps)) / 2

    def loss(self, outputs, y, values):
        """Return the loss of a batch, a tensor. outputs: float32 (n, classes); y: int64 (n,); values: what the
        network is given."""
        return functional.cross_entropy(outputs, y)

    def mixed(self):
        """Return the context of mixed precision, where the recipe has it."""
        return torch.autocast(self.device.type, self.half_dtype, enabled=self.recipe.half)

    def next_batch(self):
        """Return (levels, labels) of this step's samples, augmented."""
        epoch, batch = divmod(self.step, self.n_batches)
        seed = self.recipe.seed
        if batch == 0 or not hasattr(self, "_order"):
            self._order = np.random.default_rng((seed, 0, epoch)).permutation(len(self.part))
        chosen = self._order[batch * self.batch_size : (batch + 1) * self.batch_size]
        rng = np.random.default_rng((seed, 1, self.step))
        torch.manual_seed(int(rng.integers(1 << 62)))  # dropout's
        self.chosen = chosen
        return self.part.batch(chosen, rng)

    def descend(self):
        """Make one step of the optimizer; return the loss, a tensor on the device."""
        x, y = self.next_batch()
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        values = to_values(x, self.input_node, self.device)
        with self.mixed(), self.penalty or nullcontext():
            outputs = self.forward(values)
        loss = self.loss(outputs.float(), torch.as_tensor(y, device=self.device), values)
        if self.penalty:
            loss = loss + self.recipe.spike_penalty * self.penalty.share()
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def state(self):
        """Return what a checkpoint holds."""
        return {
            "made_by": self.made_by, "net": self.net.state_dict(), "step": self.step,
            "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict(),
            "total": self.total, "losses": self.losses, "seconds": self.seconds,
        }

    def _save(self):
        if self.checkpoint is None:
            return
        file = io.BytesIO()
        torch.save(self.state(), file)
        pieces.write(self.checkpoint, file.getbuffer())

    def _load(self):
        remedy = "delete it, or move it away, and the training begins anew"
        self.go_on(read_checkpoint(self.checkpoint, self.checkpoint, self.device, remedy), self.checkpoint)

    def go_on(self, state, path):
        """Go on from a checkpoint's contents. TrainerError if it was made by other settings."""
        for name, value in self.made_by.items():
            before = state.get("made_by", {}).get(name)
            if before != value:
                raise TrainerError(f"{path}: was made with another {name}: {_parted(before, value)}; "
                                   "give the same one or another file")
        self.restore(state)

    def restore(self, state):
        """Go on from what `state` gave."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.total = state["step"], state["total"]
        self.losses, self.seconds = list(state["losses"]), state["seconds"]


def _optimizer(net, recipe):
    if recipe.optimizer == "adam":
        return torch.optim.AdamW(net.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(net.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay)


def _without_default(recipe):
    """Return a recipe as a dict, without the settings that older checkpoints lack where they change nothing."""
    default = {"spike_penalty": 0.0, "optimizer": "sgd"}
    return {name: value for name, value in recipe.items() if default.get(name, ...) != value}


def read_checkpoint(file, path, device="cpu", remedy="give one that the trainer wrote"):
    """Return the contents of a checkpoint, from a path or an open file. path: what an error says it is, and
    remedy, what one does then. TrainerError where it is none."""
    try:
        state = torch.load(file, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, KeyError, pickle.UnpicklingError):  # what PyTorch says of it helps nobody
        raise TrainerError(f"{path}: is no checkpoint, or a damaged one: {remedy}") from None
    if not isinstance(state, dict) or "net" not in state:
        raise TrainerError(f"{path}: is no checkpoint: it holds no network: {remedy}")
    return state


def weights_of(state):
    """Return the weights that a checkpoint's contents stand for: the moving average where there is one."""
    return state.get("average", state["net"])


def load_weights(net, weights, path):
    """Give a network the weights of a checkpoint. TrainerError where they are of another network."""
    own = net.state_dict()
    for name in sorted({*own, *weights}):
        theirs, ours = (tuple(w[name].shape) if name in w else None for w in (weights, own))
        if theirs != ours:
            raise TrainerError(f"{path}: {name} has the shape {theirs}, expected {ours}: it holds another network")
    net.load_state_dict(weights)


def device_of(name=None):
    """Return the torch.device of a name; None: a GPU if PyTorch sees one. TrainerError where there is no such
    device."""
    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError):  # the latter from a PyTorch that was built without CUDA
        raise TrainerError(f"--device {device}: PyTorch can compute on no such device here, expected cpu, or cuda "
                           "where torch.cuda.is_available()") from None
    return torch.device(device)


def _parted(before, now):
    """Return in one line where two values differ: of dicts which entries, of lines of text the first."""
    if isinstance(before, dict) and isinstance(now, dict):
        return "; ".join(f"{name} {_parted(before.get(name), now.get(name))}" for name in {**before, **now}
                         if before.get(name) != now.get(name))
    if isinstance(before, dict) or isinstance(now, dict):
        before, now = ("another one" if isinstance(value, dict) else value for value in (before, now))
    pairs = zip_longest(str(before).split("\n"), str(now).split("\n"))
    then, now = next((a, b) for a, b in pairs if a != b)
    return f"{str(then).strip()}, but now {str(now).strip()}"


def to_values(x, input_node, device="cpu", dtype=torch.float32):
    """Return integer levels (N, ...) or (N, T, ...), an array or a tensor, as the values that they stand for."""
    levels = x if isinstance(x, torch.Tensor) else torch.from_numpy(np.ascontiguousarray(x))
    values = levels.to(device, dtype) * input_node.scale
    trailing = (-1,) + (1,) * (len(input_node.shape) - 1)
    mean, std = (torch.as_tensor(v, dtype=dtype, device=device).reshape(trailing)
                 for v in (input_node.mean, input_node.std))
    return (values - mean) / std


@torch.no_grad()
def evaluate(net, part, input_node, batch_size=250, progress=False):
    """Return (share of the samples that are predicted rightly, outputs float32 (N, classes))."""
    net.eval()
    device = next(net.parameters()).device
    outputs, right = [], 0
    starts = range(0, len(part), batch_size)
    if progress:
        from tqdm import tqdm

        starts = tqdm(starts, disable=None, unit="batch", leave=False)  # None: where it is no terminal
    for start in starts:
        x, y = part.batch(np.arange(start, min(start + batch_size, len(part))))
        outputs.append(net(to_values(x, input_node, device)).float().cpu().numpy())
        right += int((outputs[-1].argmax(1) == y).sum())
    return right / len(part), np.concatenate(outputs)


def accuracy(model, part, precision, batch_size=500):
    """Return the share of a part's samples that eventsim predicts rightly. model: the eventsim.Model exported."""
    from eventsim import Simulator  # training itself needs none

    simulator, right = Simulator(model, precision), 0
    for start in range(0, len(part), batch_size):
        x, y = part.batch(np.arange(start, min(start + batch_size, len(part))))
        right += int((simulator.run(x, record=()).predictions == y).sum())
    return right / len(part)
