"""Training that is told how long it may take, on a machine that is lent: `TimedTrainer`.

How many epochs fit is found out from the images per second of the first seconds; the learning rate then falls to 0
along a cosine over these. Every minute a checkpoint, whole, and in pieces that can be carried away: the moving
average of the weights, which is what is exported. A line of JSON tells of everything that happens.
"""

import io
import math
import time
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Optional

import numpy as np
import torch
from torch.nn import functional

from trainer import pieces
from trainer.errors import TrainerError
from trainer.on_device import resident
from trainer.training import Recipe, Trainer, evaluate, read_checkpoint, weights_of

NAME = "checkpoint"  # of the pieces
LATE = 1.02  # a schedule is shortened where what is left of it takes so many times the time that is left
TEMPERATURE = 3.0  # of distillation
SPARE = 0.97  # of the time that is left is planned with: the rest is for evaluations and checkpoints


@dataclass(frozen=True)
class TimedRecipe(Recipe):
    """How a TimedTrainer trains.

    epochs: 0 for as many as fit. warm_up: epochs in which the learning rate rises from 0. smoothing: of labels.
    average: epochs that the exponential moving average of the weights looks back. teaching: share of the loss that
    a teacher has.
    """

    epochs: int = 0
    batch_size: int = 512
    lr: float = 0.2
    half: bool = True
    warm_up: float = 2.0
    smoothing: float = 0.1
    average: float = 2.0
    teaching: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What the clock decides, seconds all.

    total: for the whole training, over all commands; None: as the checkpoint says that is gone on with. measured:
    of steps by which the epochs are chosen. checkpoint: between checkpoints.
    """

    total: Optional[float]
    measured: float = 20.0
    checkpoint: float = 60.0


@dataclass
class Schedule:
    """The learning rate by step, as a share of the largest: up a straight line, then down a cosine.

    warm_up: steps. knots: (step, progress along the cosine from 0 to 1), straight lines between; none as long as
    it is not known how many steps fit.
    """

    warm_up: int
    knots: list = field(default_factory=list)

    @property
    def n_steps(self):
        """Steps of the whole training, or None."""
        return self.knots[-1][0] if self.knots else None

    def shorten_warm_up(self, step, n_steps):
        """Let the warm-up end after half of n_steps where it would take longer, but not before this step."""
        if step < self.warm_up:
            self.warm_up = min(self.warm_up, max(step, n_steps // 2))

    def choose(self, step, n_steps):
        """From a step on, go straight to the end of the cosine at n_steps."""
        progress = self.progress(step)
        step = max(step, self.warm_up)
        kept = [knot for knot in self.knots[:-1] if knot[0] < step]
        self.knots = [*kept, (step, progress), (max(n_steps, step + 1), 1.0)]

    def progress(self, step):
        """Return how far along the cosine a step is, 0 to 1."""
        return float(np.interp(step, *zip(*self.knots))) if self.knots else 0.0

    def factor(self, step):
        """Return the learning rate of a step, as a share of the largest."""
        rising = min((step + 1) / self.warm_up, 1.0) if self.warm_up else 1.0
        return rising * (1 + math.cos(math.pi * self.progress(step))) / 2


def steps_that_fit(step, rate, seconds, n_batches):
    """Return how many steps to train in all, whole epochs if at least one fits.

    step: done. rate: steps per second. seconds: left. n_batches: of an epoch.
    """
    n_steps = step + max(int(rate * seconds), 1)
    return max(n_steps // n_batches * n_batches, step + 1) if n_steps >= n_batches else n_steps


class TimedTrainer(Trainer):
    """See the module. What a step does depends on the recipe, the schedule and its number alone.

    net, part, input_node, recipe (TimedRecipe), device, checkpoint, settings: as a Trainer's; convolutions are in
        bfloat16 where recipe.half. held_out: part to evaluate at each checkpoint, or None.
    plan: a Plan. log: called with a dict for each line. carried: (folder, bytes of a piece, bytes of all) or None.
        For a moment two sets of pieces are in the folder: the whole checkpoint is carried where that is not more.
    teacher: whose outputs are learnt, too, where recipe.teaching is above 0: a network on the device, or its
        outputs for all samples of the part as they are, (samples, classes).
    """

    def __init__(self, net, part, input_node, recipe, device, checkpoint, settings, plan, log, held_out=None,
                 carried=None, teacher=None):
        self.plan, self.log, self.held_out, self.carried = plan, log, held_out, carried
        self.settings, self.stopped, self.teacher = settings, False, teacher
        self.schedule = None
        super().__init__(net, part, resident(input_node, device), recipe, device, settings=as_asked(settings))
        self.checkpoint = Path(checkpoint)
        self.half_dtype = torch.bfloat16
        self.scaler = torch.amp.GradScaler(enabled=False)  # bfloat16 needs none
        self.schedule = Schedule(round(recipe.warm_up * self.n_batches))
        n_steps = recipe.epochs * self.n_batches
        if recipe.epochs and self.schedule.warm_up >= n_steps:
            raise TrainerError(f"--warm-up {recipe.warm_up:g}: the learning rate rises for "
                               f"{self.schedule.warm_up} steps, but there are {n_steps}, expected fewer: it would "
                               "not fall")
        self.average = MovingAverage(net, 1 - 1 / max(recipe.average * self.n_batches, 1))
        if carried:
            self.brief()  # that it is too large is said before the minutes are spent
        if recipe.epochs:
            self.schedule.choose(0, n_steps)
        if self.checkpoint.exists():
            self._load()

    @property
    def n_steps(self):
        """Steps of the whole training, None as long as it is not known."""
        return self.schedule.n_steps if self.schedule else None

    def learning_rate(self):
        """Return the learning rate of this step."""
        return self.recipe.lr * self.schedule.factor(self.step)

    def loss(self, outputs, y, values):
        """Return the cross-entropy with smoothed labels, and with what the teacher says of the same pictures."""
        share = self.recipe.teaching
        loss = functional.cross_entropy(outputs, y, label_smoothing=self.recipe.smoothing)
        if not share:
            return loss
        if isinstance(self.teacher, torch.Tensor):
            taught = self.teacher[self.chosen]
        else:
            with torch.no_grad(), self.mixed():
                taught = self.teacher(values).float()
        return (1 - share) * loss + share * distillation(outputs, taught)

    def run_for(self, seconds, began):
        """Train until all steps are done or `seconds` have passed since `began` (time.monotonic()), a checkpoint
        every now and then. FloatingPointError where the loss of an epoch is not finite."""
        before = self.seconds  # of earlier commands; getting ready counts, too
        clock = _Clock(self)
        saved = reported = time.monotonic()
        self.net.train()
        while not (self.finished or self.stopped or time.monotonic() - began >= seconds):
            self.step_on()
            now = time.monotonic()
            self.seconds = before + now - began
            if self.n_steps is None and clock.seconds(self.step) >= self.plan.measured:
                self.choose(clock.rate(self.step))
            if self.step % self.n_batches == 0:
                self.end_epoch(clock.now() - reported)
                reported = time.monotonic()
            if now - saved >= self.plan.checkpoint:
                self.follow(clock.rate(self.step))
                self.keep()
                saved = time.monotonic()
        self.seconds = before + time.monotonic() - began
        self.keep()

    def step_on(self):
        """Make one step of the optimizer and of the average, without waiting for a GPU."""
        self.total = self.total + self.descend()
        self.step += 1
        self.average.update(self.net)

    def choose(self, rate):
        """Choose how many steps are made, from steps per second."""
        left = SPARE * (self.plan.total - self.seconds)
        n_steps = steps_that_fit(self.step, rate, left, self.n_batches)
        self.schedule.shorten_warm_up(self.step, n_steps)
        self.schedule.choose(self.step, n_steps)
        self.log({"event": "schedule", "images_per_second": round(rate * self.batch_size, 1), "step": self.step,
                  "steps": self.n_steps, "epochs": round(self.n_steps / self.n_batches, 2),
                  "warm_up": round(self.schedule.warm_up / self.n_batches, 2),
                  "seconds_left": round(self.plan.total - self.seconds, 1)})

    def follow(self, rate):
        """Shorten the schedule if at this rate its rest takes longer than there is time, lengthen it if another
        epoch fits: a machine that is shared is not as fast at all times."""
        if self.n_steps is None or self.recipe.epochs or not rate:
            return
        left = SPARE * (self.plan.total - self.seconds)
        late = (self.n_steps - self.step) / rate > LATE * max(left, 0)
        if late or steps_that_fit(self.step, rate, left, self.n_batches) > self.n_steps:
            self.choose(rate)

    def end_epoch(self, seconds):
        """Log an epoch. FloatingPointError where its loss is not finite."""
        loss = float(self.total) / self.n_batches
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss of the epoch before step {self.step} is {loss}: lower the "
                                     "learning rate")
        self.losses.append(loss)
        self.total = 0.0
        self.log({"event": "epoch", "epoch": len(self.losses), "step": self.step, "loss": round(loss, 4),
                  "lr": round(self.learning_rate(), 6) if not self.finished else 0.0,
                  "images_per_second": round(self.n_batches * self.batch_size / max(seconds, 1e-9), 1),
                  "seconds": round(self.seconds, 1)})

    def keep(self):
        """Save the checkpoint and its pieces; tell how good the average is."""
        accuracy = None
        if self.held_out is not None and self.step:
            accuracy, _ = evaluate(self.average.module, self.held_out, self.input_node)
        file = io.BytesIO()
        torch.save(self.state(), file)
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        pieces.write(self.checkpoint, file.getbuffer())
        n_pieces = len(self.carry(file)) if self.carried else 0
        self.log({"event": "checkpoint", "step": self.step, "steps": self.n_steps, "held_out_accuracy": accuracy,
                  "bytes": file.getbuffer().nbytes, "pieces": n_pieces, "seconds": round(self.seconds, 1)})

    def carry(self, whole):
        """Write the pieces: of the whole checkpoint if all that can be carried holds it twice, as it does for a
        moment, else of the average alone."""
        folder, piece, most = self.carried
        file = whole if 2 * whole.getbuffer().nbytes <= most else self.brief()
        return pieces.split(file.getbuffer(), folder, NAME, piece)

    def brief(self):
        """Return a checkpoint of the average alone. TrainerError if it is larger than what can be carried."""
        file, most = io.BytesIO(), self.carried[2]
        torch.save({**self.state(), "net": None, "optimizer": None}, file)
        if file.getbuffer().nbytes > most:
            raise TrainerError(f"the average of the weights has {file.getbuffer().nbytes} bytes, but {most} can "
                               "be carried: make the network narrower, or raise --most")
        return file

    def state(self):
        """Return what a checkpoint holds: a Trainer's, the average, the schedule, the settings of the network."""
        return {**super().state(), "total": float(self.total), "average": self.average.module.state_dict(),
                "knots": [list(knot) for knot in self.schedule.knots], "warm_up": self.schedule.warm_up,
                "planned": self.plan.total, "settings": self.settings,
                "finished": self.finished, "device": name_of(self.device)}

    def restore(self, state):
        """Go on from what `state` gave; from the average where it holds no more."""
        average = state["average"]
        brief = state["net"] is None
        optimizer = self.optimizer.state_dict() if brief else state["optimizer"]
        super().restore({**state, "net": average if brief else state["net"], "optimizer": optimizer})
        self.average.module.load_state_dict(average)
        self.average.n_updates = self.step
        self.schedule.knots = [tuple(knot) for knot in state["knots"]]
        self.schedule.warm_up = state.get("warm_up", self.schedule.warm_up)  # older checkpoints lack it
        if self.plan.total is None:
            self.plan = replace(self.plan, total=state.get("planned"))
        self._check_time_left()

    def _check_time_left(self):
        """Raise TrainerError where the clock decides how many steps are made and no time is left, or nobody
        knows."""
        if self.recipe.epochs or self.finished:
            return
        if self.plan.total is None:
            raise TrainerError(f"{self.checkpoint}: does not say how long the whole training may take: add "
                               "--total, the minutes of all commands together")
        if self.step and self.plan.total <= self.seconds:
            raise TrainerError(f"{self.checkpoint}: has spent {self.seconds / 60:.2f} of the "
                               f"{self.plan.total / 60:g} minutes of --total: give more by --total, the minutes "
                               "of all commands together")

    def resume(self, folder):
        """Go on from carried pieces. TrainerError where they are damaged or were made otherwise."""
        file = io.BytesIO(pieces.join(folder, NAME))
        path = pieces.index_of(folder, NAME)
        self.go_on(read_checkpoint(file, path, self.device), path)


class _Clock:
    """Steps per second since the first few steps, in which buffers are made and kernels chosen."""

    FEW = 10

    def __init__(self, trainer):
        self.device, self.first = trainer.device, trainer.step + self.FEW
        self.began = None

    def seconds(self, step):
        """Return the seconds since the first few steps; 0 before."""
        if self.began is None:
            if step >= self.first:
                self.first, self.began = step, self.now()
            return 0.0
        return time.monotonic() - self.began

    def rate(self, step):
        """Return the steps per second; 0 as long as that is not known."""
        if self.began is None or step == self.first:
            self.seconds(step)
            return 0.0
        return (step - self.first) / (self.now() - self.began)

    def now(self):
        """Return the time when the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.monotonic()


class MovingAverage:
    """The exponential moving average of a network's weights and buffers: `module`, a network of its own.

    An update moves it by 1 - decay towards the new values, by more in the first steps, so that the weights of the
    start do not stay in it. The number of updates is kept by Python: a tensor would be read back from the device,
    and each step would wait for it.
    """

    def __init__(self, net, decay):
        self.module, self.decay, self.n_updates = deepcopy(net), decay, 0

    @torch.no_grad()
    def update(self, net):
        """Move towards the values of a network, which the first update takes as they are."""
        averages, values = ([tensor.detach() for tensor in chain(module.parameters(), module.buffers())]
                            for module in (self.module, net))
        moved = [i for i, average in enumerate(averages) if self.n_updates and average.is_floating_point()]
        if moved:
            share = 1 - min(self.decay, (1 + self.n_updates) / (10 + self.n_updates))
            torch._foreach_lerp_([averages[i] for i in moved], [values[i] for i in moved], share)
        for i in set(range(len(averages))) - set(moved):  # of BatchNorm, how many batches were seen
            averages[i].copy_(values[i])
        self.n_updates += 1


def distillation(outputs, taught):
    """Return the divergence of a network's classes from its teacher's, both at TEMPERATURE (Hinton et al., 2015),
    times its square, by which gradients stay as large as those of the labels. Both (n, classes), float32."""
    ours, theirs = ((x / TEMPERATURE).log_softmax(1) for x in (outputs, taught))
    return TEMPERATURE**2 * functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def averaged(path):
    """Return (weights, settings) of the network that a TimedTrainer's checkpoint holds, or what `exported` made of
    it: the moving average. The settings say how long it was trained, too, where that is known. TrainerError where
    it is of another trainer."""
    state = with_settings(read_checkpoint(path, path), path)
    known = {"seconds", "device"} <= set(state)
    seconds = {"seconds": seconds_in_words(state["seconds"], state["device"])} if known else {}
    return weights_of(state), {**state["settings"], **seconds}


def seconds_in_words(seconds, device):
    """Return how long a network was trained, as a model's provenance says it."""
    return f"{seconds:.0f} of training on {device}"


OUTCOME = ("seconds", "accuracy_held_out")  # what settings of another network, which one began with, tell beside


def as_asked(settings):
    """Return settings without what those of other networks in them tell of how their training ended: older ones do
    not."""
    return {name: as_asked(value) if isinstance(value, dict) else value for name, value in settings.items()
            if name not in OUTCOME}


def with_settings(state, path):
    """Return a checkpoint's contents. TrainerError where these do not say the network."""
    if "settings" not in state:
        raise TrainerError(f"{path}: does not say its network: give a checkpoint of `papers.py gpu`, or a file "
                           "that `join` wrote")
    return state


def exported(state):
    """Return a checkpoint's contents with its moving average as the `net`, and without what goes on from it."""
    return {"net": weights_of(state), **{name: state[name] for name in (
        "settings", "losses", "seconds", "step", "knots", "finished", "device")}}


def name_of(device):
    """Return a device in words."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"
