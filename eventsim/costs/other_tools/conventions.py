"""Conventions: what other tools would count for the same spikes, beside our own counts.

    recording = eventsim.Simulator(model).run(x, record=("spikes",))
    print(conventions.count(model, recording).as_text())

Every tool hooks itself to the synaptic modules of a torch network (Dense, Conv1d and Conv2d here) and
looks at the values x that arrive there in each step. `values` computes those from the recorded spikes,
`tools` counts as each tool does: sinabs 3.1.3, NeuroBench 2.3.0, SpikingJelly 2.0.0, syops 0.0.5. The
tests hold every number equal to what those versions say of the same values.

Some tools decide per call whether an input "is spikes". A call here is one step of `batch` samples;
with the default, 1, no number depends on how a run was cut into batches.

What no tool counts is not in their numbers and is in ours: identity shortcuts, and channel attention
(`Restimulation`, listed in `left_out`). Normalisation and pooling are not counted by anybody here:
fold and merge them before comparing (SpikingJelly and syops charge BatchNorm, syops also neurons and
pools). A run that went on from a `state` is counted as if nothing had been on its way in delays.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, Optional, Tuple

import numpy as np

from eventsim.arguments import integer, known_names, names_of, width_of
from eventsim.costs.fanouts import fan_outs
from eventsim.costs.other_tools.summary import ConventionCount, ConventionsSummary
from eventsim.costs.other_tools.tools import Calls, CONVENTIONS, SynapticModule
from eventsim.costs.other_tools.values import emitters, Values
from eventsim.engine.lengths import groups
from eventsim.engine.recording import Recording
from eventsim.merging import merged
from eventsim.model.network import Model
from eventsim.statistics.counts import Counts
from eventsim.storage.json_fields import to_json
from eventsim.text import aligned_table, quantity, share_decimals, wrapped

CHUNK_BYTES = 1 << 27  # of values held at a time
ACROSS = 8  # layers beside each other in a table
OURS = ("synops", "nonzero_synops", "additions", "macs", "dense_macs")


@dataclass
class Conventions:
    """Counts of one or several recordings by every convention. Merged, they are as if the tools had gone
    on counting.

    sums: node -> key of `tools.CONVENTIONS` -> sum over samples and steps, before it is brought to
        the tool's unit; nodes that a tool does not count are missing.
    layers: node -> layer of the report that its synapses lead to (the first, where to several).
    ours: layer -> our count -> sum over samples.
    zeros, weights: per node, weights that are 0, and all.
    events, chances: per layer of neurons, events, and neurons x steps x samples.
    n_samples, n_steps: samples, and steps summed over the samples. batch: samples per call.
    left_out: nodes that have products or synapses but no tool.
    """

    ALIKE: ClassVar[str] = "one model, counted with one `batch`"

    sums: Dict[str, Dict[str, float]] = merged(samples="sum")
    layers: Dict[str, str] = merged(samples="same")
    ours: Dict[str, Dict[str, int]] = merged(samples="sum")
    zeros: Dict[str, int] = merged(samples="same")
    weights: Dict[str, int] = merged(samples="same")
    events: Dict[str, int] = merged(samples="sum")
    chances: Dict[str, int] = merged(samples="sum")
    n_samples: int = merged(samples="sum")
    n_steps: int = merged(samples="sum")
    batch: int = merged(samples="same")
    left_out: Tuple[str, ...] = merged(samples="same", default=())

    def of_nodes(self, key) -> Dict[str, float]:
        """Return a convention's number of each synaptic node that its tool counts, in the tool's unit."""
        return {node: self._in_unit(key, row[key]) for node, row in self.sums.items() if key in row}

    def of_layers(self, key) -> Dict[str, float]:
        """Return a convention's number of each layer: the sum over the nodes whose synapses lead to it."""
        sums = {}
        for node, row in self.sums.items():
            if key in row:
                layer = self.layers[node]
                sums[layer] = sums.get(layer, 0) + row[key]
        return {layer: self._in_unit(key, value) for layer, value in sums.items()}

    def total(self, key) -> float:
        """Return a convention's number of the whole network, in the tool's unit."""
        return self._in_unit(key, sum(row.get(key, 0) for row in self.sums.values()))

    def _in_unit(self, key, value):
        per = CONVENTIONS[key].per
        return value / {"step": self.n_steps, "sample": self.n_samples}[per] if per else value

    def activation_sparsity(self, layer=None) -> float:
        """Return NeuroBench's activation sparsity: the share of outputs that are 0, of the neurons of one layer,
        or several, or of all (None); 0 without any. Raises RunError for others."""
        layers = list(self.events) if layer is None else names_of(
            layer, "layer", "the name of a layer, or several")
        known_names(layers, self.events, "layer of neurons")
        chances = sum(self.chances[name] for name in layers)
        return 1 - sum(self.events[name] for name in layers) / chances if chances else 0.0

    def connection_sparsity(self, node=None) -> float:
        """Return NeuroBench's connection sparsity: the share of weights that are 0, of one synaptic node, or
        several, or of all (None); nan without any. The tool rounds it to four decimals. Raises RunError for
        others."""
        nodes = list(self.weights) if node is None else names_of(node, "node", "the name of a node, or several")
        known_names(nodes, self.weights, "synaptic node")
        weights = sum(self.weights[name] for name in nodes)
        return sum(self.zeros[name] for name in nodes) / weights if weights else float("nan")

    def summary(self) -> ConventionsSummary:
        """Return it as plain numbers."""
        tools = {}
        for key, convention in CONVENTIONS.items():
            tools.setdefault(convention.tool, {})[convention.count] = ConventionCount(
                convention.unit, convention.differs, self.of_layers(key), self.of_nodes(key), self.total(key))
        tools["NeuroBench"]["activation_sparsity"] = ConventionCount(
            "share of outputs that are 0", "1 - our firing rate",
            layers={layer: self.activation_sparsity(layer) for layer in self.events},
            total=self.activation_sparsity())
        tools["NeuroBench"]["connection_sparsity"] = ConventionCount(
            "share of weights that are 0", "we have no such number",
            nodes={node: self.connection_sparsity(node) for node in self.weights},
            total=self.connection_sparsity() if self.weights else None)
        ours = {layer: {name: value / self.n_samples for name, value in row.items()}
                for layer, row in self.ours.items()}
        return ConventionsSummary(tools, ours, self.n_samples, self.batch, tuple(self.left_out))

    def as_json(self) -> Dict:
        """Return what `eventsim run --conventions --json` has under "conventions"."""
        return to_json(self.summary())

    def as_text(self, width: Optional[int] = None) -> str:
        """Return a table, layers across and tools down, and what each tool counts differently, in lines of at most
        `width` characters; None: of any length."""
        width = width_of(width)
        columns = [("convention", *self._names()), *self._columns(),
                   ("per", *("sample" for _ in OURS), *(c.per or "run" for c in CONVENTIONS.values()), "", "")]
        text = "\n".join(aligned_table(*_transposed(block), width) for block in _blocks(columns, width))
        lines = [f"{_name(c)}: {c.differs}" for c in CONVENTIONS.values()]
        if self.left_out:
            lines.append("no tool counts " + ", ".join(map(repr, self.left_out)))
        return text + "\n".join(wrapped(line, width, "  ") for line in lines)

    def _names(self):
        return [*("eventsim " + name.replace("_", " ") for name in OURS), *map(_name, CONVENTIONS.values()),
                "NeuroBench activation sparsity", "NeuroBench connection sparsity"]

    def _columns(self):
        """Yield the text of each layer's numbers, and of the whole network's."""
        theirs = {key: self.of_layers(key) for key in CONVENTIONS}
        for layer, ours in self.ours.items():
            yield (
                layer, *(quantity(ours[name] / self.n_samples) for name in OURS),
                *(quantity(numbers[layer]) if layer in numbers else "-" for numbers in theirs.values()),
                share_decimals(self.activation_sparsity(layer), 4) if layer in self.events else "-", "",
            )
        yield (
            "total", *(quantity(sum(row[name] for row in self.ours.values()) / self.n_samples) for name in OURS),
            *(quantity(self.total(key)) for key in CONVENTIONS),
            share_decimals(self.activation_sparsity(), 4),
            share_decimals(self.connection_sparsity(), 4) if self.weights else "-",
        )


def _name(convention):
    return f"{convention.tool} {convention.short}"


def _blocks(columns, width):
    """Split columns into blocks: each has the first column, and as many of the others as fit, at most ACROSS."""
    size = [max(map(len, column)) for column in columns]
    blocks, room = [], 0
    for i, column in enumerate(columns[1:], 1):
        room -= size[i] + 2
        if not blocks or len(blocks[-1]) > ACROSS or width is not None and room < 0:
            blocks.append([columns[0]])
            room = (width or 0) - size[0] - size[i] - 2
        blocks[-1].append(column)
    return blocks


def _transposed(columns):
    head, *rows = zip(*columns)
    return head, rows


def needed(model: Model) -> List[str]:
    """Return what `Simulator.run` has to record for `count`."""
    return [f"spikes:{name}" for name in emitters(model)]


def count(model: Model, recording: Recording, x=None, batch=1) -> Conventions:
    """Count a recording by every convention.

    recording: of a run of `model` with the spikes of its input and neurons (record=("spikes",)).
    x: what was run; only a real-valued input needs it. batch: samples that a tool is given per call; where
        samples have lengths of their own, samples of one length.

    Raises RunError where spikes are missing, DataError where x is or does not fit.
    """
    batch = integer(batch, "batch", 1, 1 << 31)
    left_out = tuple(name for name, node in model.nodes.items()
                     if node.role == "attention" or node.kind == "ConvTranspose2d" or _reads_current(model, name))
    synapses = {name: _synapses(model, name) for name, node in model.nodes.items()
                if node.role == "synapses" and name not in left_out}
    sums: Dict[str, Dict[str, float]] = {name: {} for name in synapses}
    for rows, steps in _chunks(model, recording, batch):
        values = Values(model, recording, x, rows, steps)
        for name, each in synapses.items():
            for calls in Calls.of(values.read_by(name), batch):
                sums[name] = _added(each.counts(calls), sums[name])
    return Conventions(
        sums, {name: _layer(model, name) for name in synapses}, _ours(recording.counts),
        {name: int((model.nodes[name].weight == 0).sum()) for name in synapses},
        {name: model.nodes[name].weight.size for name in synapses},
        *_activity(model, recording.counts), recording.counts.n_samples, recording.counts.presented, batch,
        left_out,
    )


def _chunks(model, recording, batch):
    """Yield the places of a few samples of one length at a time, and that length."""
    n, steps = recording.counts.n_samples, recording.timesteps
    neurons = sum(int(np.prod(shape)) for shape in model.shapes.values())
    for length, places in [(steps, np.arange(n))] if recording.lengths is None else groups(recording.lengths):
        chunk = max(CHUNK_BYTES // (8 * neurons * length * batch), 1) * batch
        for first in range(0, len(places), chunk):
            yield places[first : first + chunk], length


def _reads_current(model, name):
    """Return whether a node weighs sums of weights, which the spikes alone do not tell."""
    if model.nodes[name].role != "synapses":
        return False
    return model.kinds[model.incoming(name)[0].source] == "current"


def without_spikes(recording: Recording, except_for=()) -> Recording:
    """Return the recording without spikes that were recorded only to be counted. except_for: wishes as
    `Simulator.run` takes them; spikes that they name stay."""
    except_for = names_of(except_for, "except_for", "a name such as 'spikes', or several")
    kept = recording.spikes if "spikes" in except_for else {
        name: spikes for name, spikes in recording.spikes.items() if f"spikes:{name}" in except_for
    }
    return replace(recording, spikes=kept)


def _added(row, other):
    return {name: value + other.get(name, 0) for name, value in row.items()}


def _ours(counts: Counts):
    return {layer: {name: int(row[name].sum()) for name in OURS} for layer, row in counts.layers.items()}


def _activity(model, counts):
    layers = [name for name in counts.layers if model.nodes[name].fires()]
    chances = counts.presented
    return ({name: int(counts.layers[name]["events"].sum()) for name in layers},
            {name: counts.neurons[name] * chances for name in layers})


def _layer(model, name):
    """Return the first layer that the synapses of a node lead to."""
    waiting, seen = [name], set()
    while waiting:
        name = waiting.pop()
        if model.nodes[name].fires() or name == model.output:
            return name
        seen.add(name)
        waiting += [edge.target for edge in reversed(model.outgoing(name)) if edge.target not in seen]
    return name


def _synapses(model, name):
    node, shape = model.nodes[name], model.shapes[model.incoming(name)[0].source]
    return SynapticModule(node.kind, fan_outs(node, shape), np.isin(node.weight, (0, 1)).all(),
                    int(np.count_nonzero(node.weight)), node.bias is not None, _pool_factor(model, name))


def _pool_factor(model, name):
    """Return sinabs's factor for pools: the product of the windows of all average pools since the last module with
    weights, whatever stands between them. Where several edges meet there is no sequence, and the way ends."""
    factor = 1
    while len(edges := model.incoming(name)) == 1:
        name = edges[0].source
        node = model.nodes[name]
        if node.weighs:
            break
        if node.kind == "AvgPool" and len(model.shapes[name]) == 3:
            factor *= int(np.prod(node.geometry(2)[0]))
    return factor
