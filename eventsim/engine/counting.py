"""Tally: takes the counts of a chunk from the planes that an Execution holds.

Popcounts times fan-outs, outside the kernels that add: `counting` says what each count means.
"""

import numpy as np

from eventsim.engine.workspace import slots_of
from eventsim.kernels import counting
from eventsim.program import LayerStage, WordStage
from eventsim.statistics.counts import Counts


class Tally:
    """Counts of one chunk. run: the Execution whose trains are counted."""

    def __init__(self, run):
        self.run = run
        self._ones = {}
        self._words = {}

    def counts(self) -> Counts:
        """Counts of the chunk that the execution has just run."""
        layers = self.run.program.layers
        counts = Counts.empty({layer.name: layer.n_neurons for layer in layers}, self.run.n)
        counts.steps = self.run.steps
        for layer in layers:
            row = counts.layers[layer.name]
            self._count_emitted(layer, row)
            if isinstance(layer, LayerStage):
                for synapses in layer.synapses:
                    self._count_path(layer, synapses, row)
                row["multiplications"] += layer.products * self.run.steps
                row["neuron_updates"] += layer.n_neurons * self.run.steps
        for stage in self.run.stages.values():
            if isinstance(stage, WordStage):
                steps = 1 if self.run.held[stage.name].still else self.run.steps
                taps = int(stage.window[0] * stage.window[1]) * len(stage.sources)
                counts.word_operations += steps * stage.positions * stage.words * stage.n_planes * taps
        return counts

    def _count_emitted(self, layer, row):
        if layer.name == self.run.program.input and layer.real:
            repeats = self.run.steps if self.run.still_input else 1
            present = self.run.real if self.run.still_input else self.run.real[:, -self.run.steps :]
            row["events"] += np.count_nonzero(present.reshape(self.run.n, -1), axis=1) * repeats
        elif layer.bits:
            held = self.run.held[layer.name]
            steps = 1 if held.still else self.run.steps
            found = self.words(layer, held, held.first, steps)
            repeats = self.run.steps if held.still else 1
            row["events"] += found[:, 0] * repeats
            row["levels"] += found[:, 2] * repeats

    def _count_path(self, layer, synapses, row):
        fan = synapses.fan_out
        row["dense_macs"] += fan.total * self.run.steps
        if synapses.method == "real":
            self._count_real(synapses, row)
            return
        source, stage = self.run.held[synapses.source], self.run.stages[synapses.source]
        first, steps = self.run.window(source, synapses.delay, 0, self.run.steps)
        repeats = self.run.steps if source.still else 1
        found = self.words(stage, source, first, steps, fan)
        row["synops"] += found[:, 3] * repeats
        row["additions"] += found[:, 4] * repeats
        row["executed_synops"] += found[:, 3]
        row["executed_additions"] += found[:, 4]
        row["doublings"] += (stage.bits - 1) * layer.n_neurons * self.run.steps
        nonzero = found[:, 3]
        if fan.nonzero is not None:
            per_class = self._channel_counts(stage, source, first, steps, fan)
            nonzero = (per_class * fan.nonzero).sum(axis=(1, 2))
        row["nonzero_synops"] += nonzero * repeats

    def _count_real(self, synapses, row):
        values = self.run.real_values(synapses.delay, 0, self.run.steps) != 0
        repeats = self.run.steps if self.run.still_input else 1
        per_position = values.sum(axis=(1, 3))
        synops = (per_position * synapses.fan_out.per_position).sum(axis=1)
        nonzero = synops
        fan = synapses.fan_out
        if fan.nonzero is not None:
            nonzero = (values.sum(axis=1) * fan.nonzero[fan.classes]).sum(axis=(1, 2))
        for name in ("synops", "macs"):
            row[name] += synops * repeats
            row["executed_" + name] += synops
        row["nonzero_synops"] += nonzero * repeats

    def words(self, stage, held, first, steps, fan_out=None):
        """int64 (n, 5): events, set bits, sum of |level|, and events and set bits times fan-out
        (any, where fan_out is None), counted once for all readers of the same steps."""
        key = (stage.name, first, steps)
        for known, counts in self._words.get(key, ()):
            if fan_out is None or known is fan_out:
                return counts
        if fan_out is None:
            fan = self._ones.setdefault(stage.positions * stage.words,
                                        np.ones(stage.positions * stage.words, np.int64))
        else:
            fan = fan_out.per_word
        counts = np.zeros((self.run.n, 5), np.int64)
        counting.count_words(held.planes.reshape(-1), fan, counts, slots_of(stage, held, first, steps))
        self._words.setdefault(key, []).append((fan_out, counts))
        return counts

    def _channel_counts(self, stage, held, first, steps, fan):
        n_classes = fan.nonzero.shape[0]
        counts = np.zeros((self.run.n, n_classes, stage.words * 64), np.int32)
        scratch = self.run.workspace.take("bytes", 64, np.int8)
        counting.count_channels(held.planes.reshape(-1), fan.members, fan.bounds, scratch, counts,
                                slots_of(stage, held, first, steps))
        return counts[:, :, : stage.shape[0]].astype(np.int64)
