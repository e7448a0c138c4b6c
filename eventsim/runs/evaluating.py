"""A data set through a simulator, a batch at a time, in bounded memory."""

import numpy as np

from eventsim.merging import merge

BATCH_BYTES = 1 << 20  # of levels, read and run at a time
BATCH = (16, 1024)  # at least and at most so many samples
# one sample in so many is looked at in detail, within these limits: what that costs stays a few per cent
SAMPLES_PER_DETAILED, LEAST_DETAILED, MOST_DETAILED = 1024, 4, 64


class Gathered:
    """What is kept of the batches run so far.

    counts: summed over the samples. right: correct predictions, None without labels. seconds: spent
    simulating, close-ups included. audit: as `Recording.audit`, or None. statistics: for --out, else None.
    conventions: for --conventions, else None.
    """

    def __init__(self, simulator, arguments, dataset, batch):
        self.simulator, self.arguments = simulator, arguments
        self.counts = self.audit = self.statistics = self.conventions = None
        self.right = None if dataset.labels is None else 0
        self.seconds, self.n_samples = 0.0, 0
        self.total = len(dataset) if arguments.limit is None else min(arguments.limit, len(dataset))
        self.detailed = _evenly_spread(arguments.detailed, self.total) if arguments.out else set()
        self.batch, self.close_up = batch, []

    def run(self, x, y):
        """Run a batch; returns its Recording, as it is to be written."""
        from eventsim.costs.other_tools import conventions

        model = self.simulator.model
        wanted = [*self.arguments.record, *(["audit"] if self.arguments.audit else [])]
        extra = ["statistics", "outputs"] if self.arguments.out else []
        extra += conventions.needed(model) if self.arguments.conventions else []
        recording = self._run(x, [*wanted, *extra])
        self.seconds += recording.seconds
        if self.right is not None:
            self.right += int((recording.predictions == y).sum())
        self.counts = merge((self.counts, recording.counts.summed()))
        self.audit = merge((self.audit, recording.audit))
        if self.arguments.conventions:
            self.conventions = merge((self.conventions, conventions.count(model, recording, x)))
            recording = conventions.without_spikes(recording, except_for=self.arguments.record)
        if self.arguments.out:
            self._gather(x, y, recording)
            if "outputs" not in wanted:
                recording.answers = None
        return recording

    def _run(self, x, record):
        return next(self.simulator.iterate([x], self.arguments.timesteps, record))

    def _gather(self, x, y, recording):
        from eventsim.statistics.result import Statistics
        from eventsim.statistics.decisions import Decisions

        chosen = [i for i in range(len(x)) if self.n_samples + i in self.detailed]
        if chosen:
            self.close_up.append(x[chosen])
        self.n_samples += len(x)
        names = self.simulator.model.class_names
        decisions = Statistics(decisions=Decisions.of(recording.outputs, _classes(y), names))
        self.statistics = merge((self.statistics, recording.statistics, decisions))
        n_close_up = sum(map(len, self.close_up))
        if n_close_up >= self.batch or self.close_up and self.n_samples == self.total:
            again = self._run(np.concatenate(self.close_up), ["intervals", "membranes"])
            self.seconds += again.seconds
            self.statistics, self.close_up = merge((self.statistics, again.statistics)), []


def batch_size(model, dataset):
    """Samples to read and run together."""
    steps = dataset.n_steps or 1
    return int(np.clip(BATCH_BYTES // (steps * np.prod(model.shapes[model.input])), *BATCH))


def _evenly_spread(n, total):
    """The places of n of `total` samples; None: of as many as is the default."""
    if n is None:
        n = min(max(LEAST_DETAILED, -(-total // SAMPLES_PER_DETAILED)), MOST_DETAILED)
    n = min(n, total)
    return {i * total // n for i in range(n)}


def _classes(labels):
    """Labels that name classes: whole numbers; None for others."""
    return labels if labels is not None and labels.dtype.kind in "iu" else None
