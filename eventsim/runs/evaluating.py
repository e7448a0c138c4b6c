"""A data set through a simulator, a batch at a time, in bounded memory."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from eventsim.arguments import instance_of, integer, names_of, path_of, shown
from eventsim.costs.energy_table import DEFAULT, EnergyTable, find_energy_table
from eventsim.costs.other_tools import conventions
from eventsim.display.progress import sample_bar
from eventsim.engine.lengths import checked_lengths, groups, padded, rejoined
from eventsim.engine.infinities import floats_may_overflow
from eventsim.engine.simulator import Simulator
from eventsim.errors import DataError, naming, warn
from eventsim.inputs.arrays import ArrayData, LoaderData
from eventsim.inputs.batches import BATCH, batch_size
from eventsim.inputs.dataset import Dataset, open_dataset
from eventsim.inputs.event_files.options import checked_options, FLAGS
from eventsim.inputs.levels import array_of, check_layout
from eventsim.merging import merge
from eventsim.model.parameters import MOST_STEPS
from eventsim.runs.file import Writer
from eventsim.runs.summary import RunSummary, summarise
from eventsim.runs.sums import class_labels, messages_of, sums_of
from eventsim.statistics import result
from eventsim.statistics.decisions import Decisions, n_unknown, unknown_text
from eventsim.storage import writing
from eventsim.tensors import is_loader, refuse_beside_loader
from eventsim.text import many

LARGE_BATCH, ANSWER_BYTES = 4096, 16 << 20  # at most, where only answers are kept of each, of so many bytes in all
# one sample in so many is looked at in detail, within these limits: what that costs stays a few per cent
SAMPLES_PER_DETAILED, LEAST_DETAILED, MOST_DETAILED = 4096, 4, 64
DETAILS, OVERFLOWS = ["intervals", "membranes"], ["membranes"]  # what is recorded of single samples
MOST_SAID = 5  # notes on the data in a warning


@dataclass(frozen=True)
class Evaluation:
    """What is asked of a run over a data set.

    out: path of the file that keeps results, counts, statistics and `record`, for `open_run`; None: no file.
    record: what `out` also keeps of every sample, as `Simulator.run` takes it.
    limit: only the first so many samples; None: all. timesteps: None: those of the data, else the model's.
    shard: (i, n): only part i of n, counted from 0, of those samples. The summaries of all parts merge
        (`merge_summaries`) into the summary of the whole.
    audit: say how far integers went. conventions: count as other tools do, too. energy: an EnergyTable,
        the name of one or the path of a JSON file.
    statistics: gather statistics; None: where there is a file to keep them. detailed: how many samples,
        evenly spread, are looked at closely for those of membranes and intervals; None: one in 4096, but
        4 to 64.
    model, data: names of what is run, for the summary; None: the path of the data. command: what was typed, for
        the file; None: it was called from Python.

    Raises DataError for values that cannot be meant.

    >>> from eventsim.runs.evaluating import Evaluation
    >>> Evaluation(limit=100, shard=(0, 2)).statistics
    False
    """

    out: Union[None, str, Path] = None
    record: Sequence[str] = ()
    limit: Optional[int] = None
    timesteps: Optional[int] = None
    shard: Tuple[int, int] = (0, 1)
    audit: bool = False
    conventions: bool = False
    energy: Union[str, Path, EnergyTable] = DEFAULT
    statistics: Optional[bool] = None
    detailed: Optional[int] = None
    model: Optional[str] = None
    data: Optional[str] = None
    command: Optional[str] = None

    def __post_init__(self):
        record = names_of(self.record, "record", "a name such as 'spikes', or several")
        if self.out is not None:
            path_of(self.out, "out")
        if self.timesteps is not None:
            object.__setattr__(self, "timesteps", integer(self.timesteps, "timesteps", 1, MOST_STEPS))
        for name, low in (("limit", 1), ("detailed", 0)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, integer(getattr(self, name), name, low))
        for name, kinds, expected in (
                ("audit", FLAGS, "True or False"), ("conventions", FLAGS, "True or False"),
                ("statistics", (*FLAGS, type(None)), "True, False or None"),
                ("model", (str, type(None)), "a name or None"), ("data", (str, type(None)), "a name or None"),
                ("command", (str, type(None)), "text or None")):
            instance_of(getattr(self, name), kinds, name, expected)
        object.__setattr__(self, "record", record)
        if self.statistics is None:
            object.__setattr__(self, "statistics", self.out is not None)
        if record and self.out is None:
            raise DataError("record says what a file keeps of the run; give `out`, the file")
        if self.detailed is not None and not self.statistics:
            raise DataError("detailed says of how many samples membranes are looked at; give `out`, or "
                            "statistics=True")
        for kind in set(record) & set(result.KINDS):  # they would be gathered twice of some samples
            raise DataError(f"record has {kind!r}, but statistics are kept anyway; `detailed` says of how many "
                            "samples intervals and membranes")


def evaluate(simulator: Simulator, dataset, *, progress: Union[None, bool, Callable[[int, int], None]] = None,
             **options) -> RunSummary:
    """Run a data set, a batch at a time in bounded memory, and say what it gave: all that `eventsim run`
    does.

        summary = eventsim.evaluate(eventsim.Simulator(model), "test.h5", out="run.h5")
        print(summary.as_text())

    dataset: path of a data file or folder, a `Dataset` of `open_dataset` (or anything that offers the same),
        or arrays: x as `Simulator.run` takes it, or (x, y) with labels y (N,), whole numbers, or None, or
        (x, y, lengths) with the steps of each sample, as `Simulator.run` takes them; or a loader (torch's
        DataLoader) of batches x or (x, y), all of as many steps, which come as they are.
    progress: called after each batch with the samples done and all there are; True for a bar by tqdm, False for
        none; None: a bar in notebooks.
    options: fields of `Evaluation`: out, record, limit, timesteps, shard, audit, conventions, energy,
        statistics, detailed, model, data, command.

    The file appears complete or not at all. Warns of labels that are no class, and, where `dataset` is a path, of
    what was assumed or mended of it (a `Dataset` has it in `notes`). Raises DataError for data, labels or options
    that do not fit or a file that cannot be written, FormatError for the energy table, RunError as
    `Simulator.run`.
    """
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise DataError(f"progress is {shown(progress)}, expected a function, True, False or None")
    evaluating = _Evaluating(simulator, dataset, checked_options(Evaluation, options))
    if callable(progress):
        return evaluating.run(progress)
    with sample_bar(evaluating.part.stop - evaluating.part.first, progress) as move:
        return evaluating.run(lambda done, total: move(done))


class _Part(NamedTuple):
    """Samples first to stop - 1 of a data set of which `total` samples are run in all."""

    first: int
    stop: int
    total: int


class _Evaluating:
    """One call of `evaluate`."""

    def __init__(self, simulator, dataset, asked):
        self.simulator, self.asked = instance_of(simulator, Simulator, "simulator", "a Simulator"), asked
        self.energy_table = find_energy_table(asked.energy)
        self.opened = isinstance(dataset, (str, Path))
        if self.opened:
            writing.spare(asked.out, dataset)
        self.dataset, name = _opened(dataset, simulator.model, asked)
        if self.dataset.n_steps is None:
            simulator.model.steps(asked.timesteps)  # before a file is begun
        self.lengths = getattr(self.dataset, "lengths", None)
        self.data = asked.data or name
        if self.dataset.n_steps is not None and self.lengths is None and asked.timesteps is None:
            node = simulator.model.nodes[simulator.model.input]
            with naming(self.data):
                shape = (len(self.dataset), self.dataset.n_steps, *node.shape)
                check_layout(shape, node, simulator.model.timesteps)
        self.part = _part(asked, len(self.dataset))
        steps = self.dataset.n_steps or simulator.model.steps(asked.timesteps)
        if self.lengths is not None:  # nothing may depend on samples that are not run
            steps = int(np.max(self.lengths[: self.part.total]))
        self.steps = steps
        self.batch = self._batch_size(steps)
        # where there are no statistics that would show it, the first sample of each batch is looked at
        self.looks_for_overflow = not asked.statistics and floats_may_overflow(simulator.program, steps)

    def _batch_size(self, steps):
        """Return how many samples to read and run together. steps: of a sample."""
        model, asked, own_lengths = self.simulator.model, self.asked, self.lengths is not None
        least, most = BATCH
        answers = LARGE_BATCH * steps * int(np.prod(model.shapes[model.output])) * 8
        if not (asked.record or asked.conventions or own_lengths) and answers <= ANSWER_BYTES:
            most = max(most, LARGE_BATCH)
        levels = (self.steps if self.dataset.n_steps else 1) * np.prod(model.shapes[model.input])
        return batch_size(levels, 1 if own_lengths else least, most)

    def run(self, progress):
        """Run all samples of the part, and return the RunSummary."""
        asked, part = self.asked, self.part
        sums, unknown, close_up = None, 0, CloseUp(self)
        with Writer(asked.out) as writer:
            for start, x, y in self._batches():
                if start == part.first:  # before the time is taken: the seconds are those of the simulation
                    self._compile(x, close_up.looks)
                lengths = None if self.lengths is None else self.lengths[start : start + len(x)]
                stop = start + len(x)
                recording, sums_of_batch = self._batch(x, y) if lengths is None else self._grouped(x, y, lengths)
                self._check_steps(sums_of_batch, start)
                writer.add(recording, y)
                unknown += n_unknown(class_labels(y), self._n_classes)
                sums = close_up.added(merge([sums, sums_of_batch]), start, x, lengths, last=stop == part.stop)
                if progress is not None:
                    progress(stop - part.first, part.stop - part.first)
            sums = replace(sums, dropped_events=self.dataset.n_dropped_events, taken=self._taken())
            summary = summarise(sums, asked.command)
            writer.finish(summary.to_json(), sums.statistics)
        self._say_notes()
        if unknown:
            data = f"{self.data}: " if self.data else ""
            text = unknown_text(unknown, part.stop - part.first, self._n_classes)
            warn(data + text)
        return summary

    def _compile(self, x, looks):
        """Compile what batches like x need. looks: whether some of their samples are looked at in detail."""
        lengths = None if self.lengths is None else self.lengths[self.part.first : self.part.stop]
        details = [DETAILS] * looks + [OVERFLOWS] * self.looks_for_overflow
        for record in (self._record_of_batch(), *details):
            self.simulator.compile(record, x, self.asked.timesteps, lengths)

    def _taken(self):
        """Return which samples are run, as `RunSums` has it."""
        first, stop, total = self.part
        name, path = "", getattr(self.dataset, "path", None)
        if isinstance(self.dataset, Dataset):  # the same by whatever path; behind it, the part of the file
            name = f"{path.resolve()}{self.dataset.name.partition(path.name)[2]}"
        if not name and stop - first == total:
            return {}  # arrays, whole: others of the same size may be more of the same data
        return {name or f"{total} samples": np.array([[first, stop]])}

    def _say_notes(self):
        """Warn of what was assumed or mended of a data set that was opened here, whose notes nobody else sees."""
        notes = list(self.dataset.notes) if self.opened else []
        more = f"; and {many(len(notes) - MOST_SAID, 'more thing')} to say of it" * (len(notes) > MOST_SAID)
        if notes:
            warn(f"{self.data}: {'; '.join(notes[:MOST_SAID])}{more}")

    @property
    def _n_classes(self):
        model = self.simulator.model
        return int(np.prod(model.shapes[model.output]))

    def _check_steps(self, sums, start):
        """Raise DataError for a batch of other steps than the ones before, as loaders may give."""
        if start == self.part.first:
            self.steps = sums.counts.steps
        elif sums.counts.steps != self.steps:
            data = f"{self.data}: " if self.data else ""
            raise DataError(f"{data}the batch that begins with sample {start} has "
                            f"{many(sums.counts.steps, 'step')}, those before it {self.steps}; where "
                            "samples have lengths of their own, give (x, y, lengths), x padded to the longest")

    def _batches(self) -> Iterator:
        """Yield (number of the first sample, x, y) of each batch."""
        start = self.part.first
        limit, n = self.asked.limit, len(self.dataset)
        all_there_are = self.part.stop == n and (limit is None or limit > n)
        for x, y in self.dataset.batches(self.batch, None if all_there_are else self.part.stop, self.part.first):
            yield start, x, y
            start += len(x)

    def _grouped(self, x, y, lengths):
        """Return what `_batch` returns, of samples of their own lengths: those of one length run together, so that
        nothing counts what comes after a sample's end."""
        recordings, sums, steps = [], None, self.steps
        for length, rows in groups(lengths):
            recording, part = self._batch(x[rows, :length], None if y is None else y[rows])
            recordings.append(padded(recording, steps))
            statistics = None if part.statistics is None else part.statistics.padded(steps)
            sums = merge([sums, replace(part, counts=part.counts.padded(steps), statistics=statistics)])
        return rejoined(recordings, lengths), sums

    def _batch(self, x, y):
        """Run a batch, and return its Recording, as it is to be written, and its RunSums."""
        asked, model = self.asked, self.simulator.model
        with naming(self.data):
            recording = self._recorded(x, self._record_of_batch())
            sums = replace(sums_of(recording, y), model=asked.model, data=self.data,
                           energy_table=self.energy_table)
            if self._sends_changes:
                sums = replace(sums, messages=messages_of(model, recording.statistics))
            if asked.conventions:
                sums = replace(sums, conventions=conventions.count(model, recording, x))
                recording = conventions.without_spikes(recording, except_for=asked.record)
        if self.looks_for_overflow:
            with naming(self.data):
                membranes = self._recorded(x[:1], OVERFLOWS).statistics.membranes
            sums = replace(sums, overflown={name: each.n_not_finite for name, each in membranes.items()})
        if asked.statistics:
            decisions = Decisions.of(recording.outputs, class_labels(y), model.class_names)
            sums = replace(sums, statistics=replace(recording.statistics, decisions=decisions))
            if "outputs" not in asked.record:
                recording.answers = None
        return recording, sums

    def _record_of_batch(self):
        """Return what is recorded of a batch: what was asked for, and what its summary is made of."""
        asked = self.asked
        record = [*asked.record, *(["audit"] if asked.audit else [])]
        record += ["statistics", "outputs"] if asked.statistics else ["statistics"] if self._sends_changes else []
        return record + (conventions.needed(self.simulator.model) if asked.conventions else [])

    @property
    def _sends_changes(self):
        return any(node.sends == "changes" for node in self.simulator.model.nodes.values())

    def with_details(self, sums, x, lengths=None):
        """Return the sums with membranes and intervals of samples that were in them already."""
        with naming(self.data):
            again = self._recorded(x, DETAILS) if lengths is None else next(self.simulator.iterate(
                [(x, None, lengths)], record=DETAILS))
        details = again.statistics if lengths is None else again.statistics.padded(self.steps)
        return replace(sums, seconds=sums.seconds + again.seconds, statistics=merge([sums.statistics, details]))

    def _recorded(self, x, record):
        return next(self.simulator.iterate([(x, None)], self.asked.timesteps, record))


class CloseUp:
    """The samples of a run that are looked at in detail once more: of as many as a batch has together, those of
    lengths of their own at once. evaluating: `_Evaluating`."""

    def __init__(self, evaluating):
        asked, self._evaluating, self._waiting = evaluating.asked, evaluating, []
        self._places = evenly_spread(asked.detailed, evaluating.part.total) if asked.statistics else set()

    @property
    def looks(self) -> bool:
        """Whether it looks at any sample of the part."""
        part = self._evaluating.part
        return any(part.first <= place < part.stop for place in self._places)

    def added(self, sums, start, x, lengths, last):
        """Return the sums with what is known so far of those samples. x: a batch, of which sample `start` is the
        first. last: whether no other batch follows."""
        chosen = [i for i in range(len(x)) if start + i in self._places]
        if chosen and lengths is not None:
            return self._evaluating.with_details(sums, x[chosen], lengths[chosen])
        if chosen:
            self._waiting.append(x[chosen])
        if sum(map(len, self._waiting)) >= self._evaluating.batch or self._waiting and last:
            sums, self._waiting = self._evaluating.with_details(sums, np.concatenate(self._waiting)), []
        return sums


def evenly_spread(n, total):
    """Return the places of n samples spread evenly over `total`; n None: as many as is the default."""
    if n is None:
        n = min(max(LEAST_DETAILED, -(-total // SAMPLES_PER_DETAILED)), MOST_DETAILED)
    n = min(n, total)
    return {i * total // n for i in range(n)}


def _opened(dataset, model, asked):
    """Return the data set, and its name for messages or None."""
    if isinstance(dataset, (str, Path)):
        steps = asked.timesteps or model.timesteps
        opened = open_dataset(dataset, model.nodes[model.input], steps)
        return opened.with_labels_of(model.class_names), str(dataset)
    if isinstance(dataset, Dataset):
        dataset.check_made_for(model.nodes[model.input])
        return dataset.with_labels_of(model.class_names), dataset.name
    if hasattr(dataset, "batches") and not is_loader(dataset):
        return dataset, dataset.name
    if isinstance(dataset, tuple) and len(dataset) not in (2, 3):
        raise DataError(f"dataset is a tuple of {len(dataset)}, expected (x, y) or (x, y, lengths)")
    x, y, lengths = (*dataset, None, None)[:3] if isinstance(dataset, tuple) else (dataset, None, None)
    refuse_beside_loader(x, y=y, lengths=lengths)
    if is_loader(x):  # of (loader, None)
        return LoaderData(x, model.nodes[model.input]), None
    data = ArrayData(_of_list(x) if isinstance(dataset, list) else x, y, model.nodes[model.input])
    if lengths is not None:
        data.lengths = checked_lengths(lengths, np.asarray(x))
    return data, None


def _of_list(samples):
    try:
        return array_of(samples)
    except DataError:
        raise DataError(f"dataset is a list of {len(samples)} that make no array, expected samples of one shape, "
                        "(N, ...), or, of an array and its labels, a tuple: (x, y)") from None


def _part(asked, n_samples):
    total = n_samples if asked.limit is None else min(asked.limit, n_samples)
    try:
        shard, n = (int(number) for number in asked.shard)
    except (TypeError, ValueError, OverflowError):
        shard, n = -1, 0
    if not 0 <= shard < n:
        raise DataError(f"shard is {shown(asked.shard)}, expected (i, n): part i, from 0 on, of n parts")
    part = _Part(shard * total // n, (shard + 1) * total // n, total)
    if part.first == part.stop:
        raise DataError(f"shard {shard} of {n} has no samples: there are only {total}; cut them into fewer parts")
    return part

