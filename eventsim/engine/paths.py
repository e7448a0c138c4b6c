"""Paths: a layer's synapses and neurons, one path of synapses after another, in the kernels.

A path reads the events, masks or windows of its source, adds their weights row by row, and each row ends
as the update says: joined with other paths, integrated or fired.
"""

from typing import NamedTuple, Optional, Union

import numpy as np

from eventsim.engine.attention import attention_weights
from eventsim.engine.chunk import Span, Work
from eventsim.engine.workspace import NOTHING, slots_of
from eventsim.kernels import arguments, counting, indexing, layers
from eventsim.kernels.arguments import Events, Maps, Pooled, RealEvents
from eventsim.program import LayerStage, PooledSums, Synapses, synapses_of

# positions of the set bits of each byte, see kernels.indexing.index_events
BIT_POSITIONS = np.zeros((256, 8), np.uint8)
for _byte in range(256):
    _set = [bit for bit in range(8) if _byte >> bit & 1]
    BIT_POSITIONS[_byte, : len(_set)] = _set


class Ready(NamedTuple):
    """A layer whose paths can run in this chunk.

    maps: what its kernels read and write, over all steps of the chunk, if there were one path only.
    joining, ending: the layer's parameters, as rows of its earlier paths (None: there is one path only)
    and of its last one end.
    """

    layer: LayerStage
    maps: Maps
    joining: Optional[NamedTuple]
    ending: NamedTuple


def prepare(work: Work, layer: LayerStage, stepwise=False) -> Ready:
    """Membranes and traces of a layer, before its first path. stepwise: its paths run step by step."""
    block, state, name = work.block, work.state, layer.name
    dtype, workspace, steps = block.program.dtype, block.workspace, work.trains.steps
    shape = (block.n_samples, layer.positions, layer.padded)
    keeps = block.keeps or stepwise or bool(layer.update.changes)
    if keeps and name not in state.membranes:
        take = workspace.zeros if stepwise else workspace.take
        state.membranes[name] = take(("membrane", name), shape, dtype)
    if work.fresh:
        state.start(layer, block.n_samples, dtype)
    _make_traces(work, layer)
    shape, nothing = (block.n_samples, steps, *shape[1:]), NOTHING[dtype]
    current = workspace.take("current " + name, shape, dtype).reshape(-1) if len(layer.paths) > 1 else nothing
    masks, mask_slots, first_slot = np.zeros(1, np.uint64), 1, 0
    if layer.bits:
        train = work.trains.sent[name]
        masks, mask_slots, first_slot = train.planes, train.per_sample, train.first
    maps = Maps(
        *(found[name].reshape(-1) if name in found else nothing
          for found in (state.membranes, state.filtered, state.pending)),
        state.waiting[name].reshape(-1) if name in state.waiting else NOTHING[np.dtype(np.int32)],
        current, masks.reshape(-1).view(f"u{layer.lanes // 8}"),
        *(found[name].reshape(-1) if name in found else nothing for found in work.traces),
        block.n_samples, steps, steps, 0, state.step, mask_slots, first_slot, 0,
        int(work.fresh and not stepwise), int(keeps),
    )
    update = _update_at(layer, state.step)
    joining = arguments.Joining(*update) if len(layer.paths) > 1 else None
    return Ready(layer, maps, joining, _ending(work, layer)(*update))


def _make_traces(work, layer):
    block, name = work.block, layer.name
    n, dtype = block.n_samples, block.program.dtype
    if block.audits:
        work.traces.audit[name] = _blank_audit(n, layer.padded, dtype)
    wanted = set(block.traces.get(name, ()))
    if name == block.program.output and layer.reduce:
        wanted.add("potentials")
    for kind in wanted:
        shape = (n, work.trains.steps, layer.positions, layer.padded)
        getattr(work.traces, kind)[name] = np.empty(shape, dtype)


def _blank_audit(n, padded, dtype):
    """Nothing seen yet: lowest and highest value at the other end of the type, no overflow."""
    audit = np.zeros((n, 3, 3, padded), dtype)
    most = np.iinfo(dtype).max if dtype.kind == "i" else np.inf
    audit[:, :, 0], audit[:, :, 1] = most, -most
    return audit.reshape(n, 9, padded)


def _update_at(layer, step):
    """The layer's parameters, with the bias of the chunk that begins at an absolute step."""
    if len(layer.biases) == 1:
        return layer.update
    bias = _bias_at(layer.biases, step)
    return layer.update._replace(bias=bias, bias_per_position=int(bias.size > layer.padded))


def _bias_at(biases, step):
    """The bias of the chunk that begins at an absolute step."""
    return [values for first, values in biases if first <= step][-1]


def _ending(work, layer):
    """How the rows of the layer's last path end: the simplest that covers what it is and what is traced."""
    if layer.update.changes:
        return arguments.Changing
    currents, potentials, residuals, audit = (layer.name in traced for traced in work.traces)
    if currents or residuals or audit or potentials and not layer.reduce or not layer.update.plain:
        return arguments.Update
    return arguments.Integrating if layer.reduce else arguments.Untraced


def run_path(work: Work, ready: Ready, path: Union[Synapses, PooledSums], span: Span, adds: bool,
             ends: bool) -> None:
    """Run one path for some steps. adds: earlier paths have left their sums. ends: it is the last path."""
    maps, (start, steps) = ready.maps, span
    if adds or steps != maps.total or start:
        maps = Maps(*maps[:11], steps, maps.total, start, maps.step + start, maps.mask_slots,
                    maps.first_slot + start, int(adds), *maps[-2:])
    _add_rows(work, ready.layer, path, span, ready.ending if ends else ready.joining, maps)


def _add_rows(work, layer, path, span, update, maps):
    """Call a path's kernel. update: the layer's parameters, as the path's rows of sums end."""
    read, geometry = _READS.get(path.method, _read_events)(work, layer, path, span), path.geometry
    sums = work.block.workspace.take("sums", span.steps * geometry.out_width * layer.lanes, work.block.program.dtype)
    getattr(layers, path.method)(sums, *read, geometry, update, maps)


# ---- what a path's kernel reads: its arguments between `sums` and the geometry


def _read_pooled(work, layer, pool, span):
    """The sums before a pool, of its own paths one after another."""
    trains, dtype, g = work.trains, work.block.program.dtype, pool.geometry
    still = all(_stands_still(trains, synapses) for synapses in synapses_of(pool.paths))
    steps = 1 if still else span.steps
    shape = (work.block.n_samples, steps, g.height * g.width, layer.padded)
    values = work.block.workspace.take(("before pool", pool.depth), shape, dtype).reshape(-1)
    maps, joining = _sums_only(layer, values, shape), arguments.Joining(*layer.update)
    for i, path in enumerate(pool.paths):
        _add_rows(work, layer, path, span, joining, maps._replace(adds=int(i > 0)))
    bias = _bias_at(pool.biases, work.state.step)
    return (Pooled(values, bias, pool.signs, steps, int(bias.size > layer.padded)),)


def _stands_still(trains, synapses):
    """Whether what synapses read is the same in all steps of the chunk."""
    return trains.still_input if synapses.method == "real" else trains.sent[synapses.source].still


def _sums_only(layer, values, shape) -> Maps:
    """Maps for rows of sums that end in `values`. shape: (samples, steps, positions, padded channels)."""
    nothing, no_counts = NOTHING[values.dtype], NOTHING[np.dtype(np.int32)]
    lanes = np.zeros(1, np.uint64).view(f"u{layer.lanes // 8}")
    return Maps(nothing, nothing, nothing, no_counts, values, lanes, nothing, nothing, nothing, nothing,
                shape[0], shape[1], shape[1], 0, 0, 1, 0, 0, 0, 0)


def _read_windows(work, _, synapses, span):
    source = work.trains.sent[synapses.source]
    slots = slots_of(work.trains.stages[synapses.source], source, *source.window(synapses.delay, *span))
    return source.planes.reshape(-1), slots, synapses.weight


def _read_masks(work, layer, synapses, span):
    planes, slots, weight = _read_windows(work, layer, synapses, span)
    weight_steps = 0
    if synapses.attention is not None:
        weight, weight_steps = _attention(work, layer, synapses, span), slots.steps
    return planes.view(f"u{layer.lanes // 8}"), slots, weight, weight_steps


def _read_events(work, _, synapses, span):
    return _events(work, synapses, span), synapses.weight, synapses.ranges


def _read_attended(work, layer, synapses, span):
    return (*_read_events(work, layer, synapses, span), _attention(work, layer, synapses, span))


def _read_reals(work, _, synapses, span):
    values = np.ascontiguousarray(work.trains.real_values(synapses.delay, span))
    g, take = synapses.geometry, work.block.workspace.take
    n_maps, n_events = values.shape[0] * values.shape[1], max(int(np.count_nonzero(values)), 1)
    events = RealEvents(
        take("real index", n_events, np.int32),
        take("real pointers", n_maps * (g.height * g.width * g.groups + 1), np.int64),
        values.shape[1], take("strengths", n_events, values.dtype),
    )
    indexing.index_reals(values.reshape(-1), events, n_maps, g)
    return events, synapses.weight, synapses.ranges


_READS = {"masked": _read_masks, "windowed": _read_windows, "real": _read_reals, "attended": _read_attended,
          "pooled": _read_pooled}


def _events(work, synapses, span) -> Events:
    """Sorted events of a path's source, shared by paths that read the same ones."""
    trains, take = work.trains, work.block.workspace.take
    source, stage = trains.sent[synapses.source], trains.stages[synapses.source]
    first, n_steps = source.window(synapses.delay, *span)
    groups = synapses.geometry.groups
    by_column = int(synapses.method == "slide")
    key = (synapses.source, first, n_steps, groups, by_column)
    shared = span.steps == trains.steps
    if shared and key in work.events:
        return work.events[key]
    n_events = int(trains.popcounts(synapses.source, first, n_steps, synapses.fan_out)[:, 1].sum())
    name, slots = key if shared else "step", slots_of(stage, source, first, n_steps)
    n_maps = slots.samples * n_steps * stage.n_planes
    index = take(("index", name), n_events + 8, np.int32)
    pointers = take(("pointers", name), n_maps * (stage.positions * groups + 1), np.int64)
    if groups == 1:
        indexing.index_events(source.planes.reshape(-1), index, pointers, slots, by_column,
                              BIT_POSITIONS.reshape(-1))
    else:
        indexing.index_groups(source.planes.reshape(-1), index, pointers, slots, groups)
    events = Events(index, pointers, n_steps)
    if shared:
        work.events[key] = events
    return events


def _attention(work, layer, synapses, span):
    source, stage = work.trains.sent[synapses.source], work.trains.stages[synapses.source]
    slots = slots_of(stage, source, *source.window(synapses.delay, *span))
    totals = np.zeros((slots.samples, slots.steps, stage.shape[0]), np.int64)
    counting.channel_levels(source.planes.reshape(-1), totals.reshape(-1), slots,
                            *synapses.attention.node.stride)
    return attention_weights(totals, synapses, layer, work.block.program.dtype)
