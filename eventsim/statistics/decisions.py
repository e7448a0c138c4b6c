"""How the answer settles over the steps, and which classes it takes for which."""

from dataclasses import dataclass, replace
from typing import ClassVar, Optional, Tuple

import numpy as np

from eventsim.arguments import first_wrong, integer, shown
from eventsim.display.card import Card, Shown
from eventsim.equality import FrozenByValue
from eventsim.errors import DataError, warn
from eventsim.merging import merged
from eventsim.model.parameters import MOST_STEPS
from eventsim.tensors import as_array
from eventsim.text import all_digits, inflected, many, number, share_percent

MOST_CLASSES = 1000  # of a confusion matrix


@dataclass(frozen=True, repr=False, eq=False)
class Decisions(FrozenByValue, Shown):
    """Predictions after each step of n_samples samples.

    final: int64 (T,), samples whose prediction changes no more from step t (0 is the first) on. correct: int64
    (T,), samples predicted rightly had the run stopped after step t; None without labels. confusion: int64
    (classes, classes), rows the labels, columns the predictions after the last step, of the samples
        whose label is a class of the model (the others: `n_unknown_labels`); None without labels, and beyond 1000
        classes.
    class_names: (classes,), or ().
    """

    ALIKE: ClassVar[str] = "the same model and number of steps"

    n_samples: int = merged(samples="sum")
    final: np.ndarray = merged(samples="sum")
    correct: Optional[np.ndarray] = merged(samples="sum", lacking="none", default=None)
    confusion: Optional[np.ndarray] = merged(samples="sum", lacking="none", default=None)
    class_names: Tuple[str, ...] = merged(samples="same", default=())

    @staticmethod
    def of(outputs, labels=None, class_names=()) -> "Decisions":
        """Return the decisions of outputs (N, T, classes), as `Recording.outputs`, and of labels (N,): whole
        numbers, one per sample, of a type of integers or of floats. Raises DataError for labels that do not
        fit."""
        outputs = np.asarray(outputs)
        n, steps, classes = outputs.shape
        predictions = outputs.argmax(axis=2)
        changed = predictions[:, 1:] != predictions[:, :-1]
        since = np.where(changed, np.arange(1, steps), 0).max(axis=1, initial=0)
        final = np.bincount(since, minlength=steps)
        if labels is None:
            return Decisions(n, final, class_names=tuple(class_names))
        labels = one_label_each(labels, n)
        correct = (predictions == labels[:, None]).sum(axis=0)
        confusion = None
        if classes <= MOST_CLASSES:
            known = (labels >= 0) & (labels < classes)
            cells = np.bincount(labels[known] * classes + predictions[known, -1], minlength=classes * classes)
            confusion = cells.reshape(classes, classes)
        return Decisions(n, final, correct, confusion, tuple(class_names))

    def card(self) -> Card:
        """Show the accuracy, and when answers are final."""
        return Card(f"Decisions({many(self.n_samples, 'sample')}, {many(self.final.size, 'step')})", [
            ("accuracy", "no labels" if self.accuracy is None else share_percent(self.accuracy)),
            ("mean step of the final answer", number(self.mean_final_step))])

    def padded(self, n_steps) -> "Decisions":
        """Return the same decisions as those of samples among longer ones, of n_steps: their answers stay after
        their own steps. Raises DataError for fewer steps."""
        n_steps = integer(n_steps, "n_steps", self.final.size, MOST_STEPS)
        more = n_steps - self.final.size
        return replace(self, final=np.pad(self.final, (0, more)),
                       correct=None if self.correct is None else np.pad(self.correct, (0, more), "edge"))

    @property
    def n_unknown_labels(self) -> int:
        """How many samples `confusion` leaves out, since their labels are no class of the model; 0 where it is
        None."""
        return 0 if self.confusion is None else self.n_samples - int(self.confusion.sum())

    @property
    def left_out_text(self) -> str:
        """What a heading says of the samples that `confusion` leaves out, "" where there are none."""
        n = self.n_unknown_labels
        return f", without {many(n, 'sample')} whose label is no class of the model" if n else ""

    @property
    def no_confusion(self) -> str:
        """Why no sample is in `confusion`, in words; "" where one is."""
        if self.correct is None:
            return "there are no labels"
        if self.confusion is None:
            return f"the model has more than {all_digits(MOST_CLASSES)} classes, or the file of the run no matrix"
        return "" if self.confusion.any() else "no label is a class of the model"

    @property
    def accuracy_by_step(self) -> Optional[np.ndarray]:
        """float64 (T,): share of right predictions had the run stopped after step t; None without labels."""
        return None if self.correct is None else self.correct / max(self.n_samples, 1)

    @property
    def accuracy(self) -> Optional[float]:
        """Share of right predictions after the last step; None without labels."""
        return None if self.correct is None else float(self.accuracy_by_step[-1])

    @property
    def final_share(self) -> np.ndarray:
        """float64 (T,): share of the samples whose prediction after step t is the last one's, and stays so."""
        return self.final.cumsum() / max(self.n_samples, 1)

    @property
    def mean_final_step(self) -> float:
        """Mean number of steps until the prediction is final (1: from the first step on)."""
        return float((self.final @ np.arange(1, self.final.size + 1)) / max(self.n_samples, 1))


def n_unknown(labels, n_classes) -> int:
    """Return how many labels (N,) are no class of a model of n_classes outputs; 0 where labels is None."""
    return 0 if labels is None else int(((labels < 0) | (labels >= n_classes)).sum())


def unknown_text(unknown, n_samples, n_classes) -> str:
    """Return a note on `unknown` of n_samples labels that are no class of a model of n_classes outputs."""
    return (f"{unknown} of {many(n_samples, 'label')} {inflected(unknown, 'is', 'are')} none of the model's "
            f"classes, which are 0 to {n_classes - 1}, one for each output; such samples count as wrong")


def warn_of_unknown(labels, n_classes) -> None:
    """Warn of labels (N,) that are no class of a model of n_classes outputs. labels: or None."""
    unknown = n_unknown(labels, n_classes)
    if unknown:
        warn(unknown_text(unknown, len(labels), n_classes))


def class_numbers(labels, n_samples) -> np.ndarray:
    """Return labels that a user gives as `one_label_each` does. Raises DataError for those below 0, too, as data
    files and `evaluate` do: by -1 others mark samples that have no label."""
    labels = one_label_each(labels, n_samples)
    if (labels < 0).any():
        raise DataError("labels has values that are no class numbers, which are 0 or more; leave out samples that "
                        f"have no label{first_wrong(labels, labels < 0)}")
    return labels


def one_label_each(labels, n_samples) -> np.ndarray:
    """Return labels as int64 (N,), from whole numbers of any type. Raises DataError for others: a column (N, 1),
    or one label for all, would be compared with every prediction, and say a wrong accuracy without a word."""
    try:
        labels = as_array(labels)
    except (TypeError, ValueError) as error:
        raise error if isinstance(error, DataError) else DataError(
            f"labels is {shown(labels)}, expected one number per sample, ({n_samples},)") from None
    if labels.shape != (n_samples,) or labels.dtype.kind not in "iuf":
        raise DataError(f"labels has shape {labels.shape} and type {labels.dtype}, expected one number per "
                        f"sample, ({n_samples},)")
    are_whole = labels.dtype.kind != "f" or (np.abs(labels) < 2.0**63) & (labels == np.floor(labels))
    if not np.all(are_whole):
        raise DataError("labels has values that are no class numbers, which are whole"
                        f"{first_wrong(labels, ~are_whole)}")
    return labels.astype(np.int64)
