"""Paths: a layer's synapses and neurons, one path of synapses after another, put on a tape.

A path reads the events, masks or windows of its source, adds their weights row by row, and each row ends
as the layer needs it: joined with other paths, integrated or fired.
"""

from typing import Callable, NamedTuple, Optional, Tuple, Union

import numpy as np

from eventsim.engine.attention import bind_attention
from eventsim.engine.binding import Binding
from eventsim.engine.chunk import first_slot, Span
from eventsim.engine.memory import NOTHING, slots_of
from eventsim.engine.plan import KernelCall
from eventsim.engine.state import arrays_of
from eventsim.kernels import (
    alpha, firing, firing_by_step, gathering, gathering_int8, indexing, integrating, looking_up, pooling,
    transforms,
)
from eventsim.kernels.arguments import Events, Maps, Pooled, Positions, RealEvents, Update, Windows
from eventsim.program import LayerStage, PooledSums, Synapses, synapses_of

# positions of the set bits of each byte, see kernels.indexing.index_events
BIT_POSITIONS = np.zeros((256, 8), np.uint8)
for _byte in range(256):
    _set = [bit for bit in range(8) if _byte >> bit & 1]
    BIT_POSITIONS[_byte, : len(_set)] = _set
BIT_POSITIONS = BIT_POSITIONS.reshape(-1)

FEW_STEPS = range(2, 16)  # in which `fire_softly`, with membranes in registers, is faster than `fire_by_step`


class Ready(NamedTuple):
    """A layer whose paths can be bound.

    maps: what its kernels read and write, over all steps of the chunk, if there were one path only.
    update: its parameters.
    """

    layer: LayerStage
    maps: Maps
    update: Update


def prepare(binding: Binding, layer: LayerStage, stepwise=False) -> Ready:
    """Prepare the membranes and traces of a layer, before its first path. stepwise: its paths run step by step."""
    program, setting, memory, name = binding.program, binding.setting, binding.memory, layer.name
    n, steps, dtype = setting.samples, setting.steps, program.dtype
    nothing = NOTHING[dtype]
    state = _state(binding, layer, stepwise)
    traces = _traces(binding, layer)
    shape = (n, steps, layer.positions, layer.padded)
    current = memory.take("current " + name, shape, dtype).reshape(-1) if len(layer.paths) > 1 else nothing
    masks, mask_slots, slot = memory.take("no masks", 1, np.uint64), 1, 0
    if layer.bits:
        train = binding.sent[name]
        masks, mask_slots, slot = train.planes, train.per_sample, train.first
    arrays = {kind: array.reshape(-1) for kind, array in {**state, **traces}.items()}
    maps = Maps(
        membrane=arrays.get("membranes", nothing), filtered=arrays.get("filtered", nothing),
        pending=arrays.get("pending", nothing), waiting=arrays.get("waiting", NOTHING[np.dtype(np.int32)]),
        current=current, masks=masks.reshape(-1).view(np.uint16),
        currents=arrays.get("currents", nothing), potentials=arrays.get("potentials", nothing),
        residuals=arrays.get("residuals", nothing), audit=arrays.get("audit", nothing),
        lanes=layer.lanes, clock=binding.clock,
        traces_currents=int("currents" in traces), traces_potentials=int("potentials" in traces),
        traces_residuals=int("residuals" in traces), audits=int("audit" in traces),
        samples=n, steps=steps, total=steps, start=0, mask_slots=mask_slots, first_slot=slot, adds=0,
        fresh=int(setting.fresh and not stepwise), keeps=int("membranes" in state))
    return Ready(layer, maps, _update_at(layer, setting.bias_step))


def _state(binding, layer, stepwise):
    """Return the arrays that the layer takes from step to step, by kind; not membranes that stay in registers."""
    setting, memory = binding.setting, binding.memory
    arrays = {}
    for kind, (shape, dtype) in arrays_of(layer, setting.samples, binding.program.dtype).items():
        if setting.keeps or not setting.fresh:
            filled = kind == "membranes" and setting.fresh and not stepwise and not layer.update.changes
            arrays[kind] = memory.keep((kind, layer.name), shape, dtype, filled)
        elif kind != "membranes" or stepwise or layer.update.changes:
            arrays[kind] = memory.take((kind, layer.name), shape, dtype)
            words = arrays[kind].reshape(-1).view(np.uint64)
            binding.tape.call(transforms.clear_words, words, words.size)
    return arrays


def _traces(binding, layer):
    setting, memory = binding.setting, binding.memory
    n, dtype = setting.samples, binding.program.dtype
    shape = (n, setting.steps, layer.positions, layer.padded)
    return {kind: memory.keep((kind, layer.name), (n, 9, layer.padded), dtype) if kind == "audit" else
            memory.keep((kind, layer.name), shape, dtype, filled=True) for kind in binding.traced(layer.name)}


def _update_at(layer, step):
    """Return the layer's parameters, with the bias of the chunk that begins at an absolute step."""
    if len(layer.biases) == 1:
        return layer.update
    bias = _bias_at(layer.biases, step)
    return layer.update._replace(bias=bias, bias_per_position=int(bias.size > layer.padded))


def _bias_at(biases, step):
    """Return the bias of the chunk that begins at an absolute step."""
    return [values for first, values in biases if first <= step][-1]


def _ending(ready, maps, traced, every_step):
    """The kernel that ends the rows of the layer's last path: of those that cover what it is and what is traced,
    the fastest. maps: of the path. every_step: whether each of its steps has sums of its own."""
    update = ready.update
    if update.changes:
        return firing.send_changes
    if update.alpha:
        return alpha.fire_alpha
    if set(traced) - {"potentials"} or traced and not ready.layer.reduce or not update.plain:
        return firing.fire_traced
    if ready.layer.reduce:
        return integrating.integrate_sums
    softly = not (update.hard or update.limited or update.bits > 2)
    in_registers = firing.fire_softly if softly else firing.fire_untraced
    if not every_step or update.per_position or softly and maps.steps in FEW_STEPS:
        return in_registers
    carried = maps.keeps and not maps.fresh
    if softly and maps.steps == 1 and carried and not (maps.adds or update.bias_per_position):
        return firing_by_step.fire_once
    return firing_by_step.fire_by_step


def bind_path(binding: Binding, ready: Ready, path: Union[Synapses, PooledSums], span: Span, adds: bool,
              ends: bool) -> None:
    """Bind one path, for some steps. adds: earlier paths have left their sums. ends: it is the last path."""
    maps, (start, steps) = ready.maps, span
    maps = maps._replace(steps=steps, start=start, first_slot=maps.first_slot + start, adds=int(adds))
    _add_rows(binding, ready, path, span, ends, maps)


def _add_rows(binding, ready, path, span, ends, maps):
    """Put a path's kernels on the tape. ends: whether the neurons are updated by its rows of sums."""
    layer, geometry, n = ready.layer, path.geometry, binding.setting.samples
    read = _READS.get(path.method, _read_events)(binding, layer, path, span)
    sums = binding.memory.take("sums", span.steps * geometry.out_width * layer.lanes, binding.program.dtype)
    masks = np.zeros(1, f"u{layer.lanes // 8}")
    calls = [KernelCall(read.kernel, (sums, *((masks,) if read.takes_lanes else ()), *read.arguments, geometry))]
    if read.attention is not None:
        calls.append(KernelCall(gathering.weigh_rows, (sums, masks, read.attention, read.steps, geometry)))
    ending = integrating.join_sums
    if ends:
        still = all(_stands_still(binding, synapses) for synapses in synapses_of((path,)))
        ending = _ending(ready, maps, binding.traced(layer.name), read.steps == span.steps and not still)
    if ending is firing.fire_softly and layer.lanes >= 32 and binding.program.dtype.itemsize == 4:
        # a membrane waits for its step before: two of them at a time take half as long
        maps = maps._replace(masks=maps.masks.view(np.uint32))
    calls.append(KernelCall(ending, (sums, int(read.steps == 1), ready.update, maps, geometry)))
    binding.tape.rows(geometry, n, *calls)


# ---- what a path's kernel reads


class Read(NamedTuple):
    """A row kernel, and its arguments between `sums`, `masks` and the geometry.

    steps: rows of sums that it makes: 1 where one stands for all steps. takes_lanes: whether it takes
    `masks`, whose type says its lanes. attention: channel attention that its sums are weighed by, or None.
    """

    kernel: Callable
    arguments: Tuple
    steps: int
    takes_lanes: bool = True
    attention: Optional[np.ndarray] = None


def _read_pooled(binding, layer, pool, span):
    """Read the sums before a pool, of its own paths one after another."""
    setting, dtype, g = binding.setting, binding.program.dtype, pool.geometry
    still = all(_stands_still(binding, synapses) for synapses in synapses_of(pool.paths))
    steps = 1 if still else span.steps
    shape = (setting.samples, steps, g.height * g.width, layer.padded)
    values = binding.memory.take(("before pool", pool.depth), shape, dtype).reshape(-1)
    maps = _sums_only(layer, values, shape)
    ready = Ready(layer, maps, layer.update)
    for i, path in enumerate(pool.paths):
        _add_rows(binding, ready, path, span, False, maps._replace(adds=int(i > 0)))
    bias = _bias_at(pool.biases, setting.bias_step)
    pooled = Pooled(values, bias, pool.signs, steps, int(bias.size > layer.padded))
    return Read(pooling.pooled_rows, (pooled,), steps)


def _stands_still(binding, synapses):
    """Return whether what synapses read is the same in all steps of the chunk."""
    return binding.still_input if synapses.method == "real" else binding.sent[synapses.source].still


def _sums_only(layer, values, shape) -> Maps:
    """Return Maps for rows of sums that end in `values`. shape: (samples, steps, positions, padded channels)."""
    samples, steps, *_ = shape
    nothing = NOTHING[values.dtype]
    return Maps(
        membrane=nothing, filtered=nothing, pending=nothing, waiting=NOTHING[np.dtype(np.int32)], current=values,
        masks=np.zeros(1, np.uint16), currents=nothing, potentials=nothing, residuals=nothing, audit=nothing,
        lanes=layer.lanes, clock=np.zeros(1, np.int64),
        traces_currents=0, traces_potentials=0, traces_residuals=0, audits=0,
        samples=samples, steps=steps, total=steps, start=0, mask_slots=1, first_slot=0, adds=0, fresh=0, keeps=0)


def _windows(binding, synapses, span):
    """Return (planes, Slots) of the steps that a path reads."""
    source = binding.sent[synapses.source]
    slots = slots_of(binding.program.stages[synapses.source], source, *source.window(synapses.delay, *span))
    return source.planes.reshape(-1), slots


def _read_windows(binding, _, synapses, span):
    planes, slots = _windows(binding, synapses, span)
    g = synapses.geometry
    n_planes, take = binding.program.stages[synapses.source].n_planes, binding.memory.take
    n_planes *= -(-g.kernel_height // g.word_rows)  # those of each word
    columns = _in_eights(g.out_width) * g.stride_x
    band = _in_eights(max(g.width + g.padding_x, columns + g.kernel_width * g.dilation_x) + 8)
    make = binding.memory.make  # what nobody else writes, see Windows
    windows = Windows(planes, slots, take("windows", n_planes * columns, np.uint64), columns,
                      make((n_planes * band,), np.uint64), band, make((slots.steps,), np.int64))
    return Read(looking_up.window_rows, (windows, synapses.weight), slots.steps)


def _read_tables(binding, layer, synapses, span):
    planes, slots = _windows(binding, synapses, span)
    halves = binding.memory.take("halves", slots.steps * synapses.geometry.out_width * layer.lanes, np.int16)
    return Read(looking_up.slide_table_rows, (Positions(planes, slots, halves), synapses.weight), slots.steps)


def _in_eights(n):
    """Return the least multiple of eight that is not below n."""
    return -(-n // 8) * 8


def _read_masks(binding, layer, synapses, span):
    planes, slots = _windows(binding, synapses, span)
    weight, weight_steps = synapses.weight, 0
    if synapses.attention is not None:
        weight, weight_steps = _attention(binding, layer, synapses, span), slots.steps
    return Read(gathering.masked_rows, (planes.view(f"u{layer.lanes // 8}"), slots, weight, weight_steps),
                slots.steps, takes_lanes=False)


def _read_events(binding, layer, synapses, span):
    events = _events(binding, synapses, span)
    attention = None
    if synapses.attention is not None:
        attention = _attention(binding, layer, synapses, span)
    return Read(_kernel(synapses), (events, synapses.weight, synapses.ranges.reshape(-1)), events.steps,
                attention=attention)


_KERNELS = {"slide": gathering.slide_rows, "slide_pairs": gathering_int8.slide_pair_rows,
            "pairs": gathering_int8.pair_rows}


def _kernel(synapses):
    """Return the row kernel of a method that reads events."""
    if synapses.method in _KERNELS:
        return _KERNELS[synapses.method]
    near = synapses.geometry.near and synapses.method == "gather"
    return gathering.near_rows if near else gathering.gather_rows


def _read_reals(binding, _, synapses, span):
    g, setting, take = synapses.geometry, binding.setting, binding.memory.take
    steps = 1 if binding.still_input else span.steps
    values = binding.real
    first = 0 if binding.still_input else first_slot(values, setting.steps, synapses.delay, span)
    n_maps = setting.samples * steps
    n_values = n_maps * g.height * g.width * g.channels
    events = RealEvents(
        take("real index", n_values, np.int32),
        take("real pointers", n_maps * (g.height * g.width * g.groups + 1), np.int64),
        steps, take("strengths", n_values, values.dtype),
    )
    binding.tape.call(indexing.index_reals, values.reshape(-1), events, setting.samples, values.shape[1], first, g)
    return Read(gathering.real_rows, (events, synapses.weight, synapses.ranges.reshape(-1)), steps)


_READS = {"masked": _read_masks, "windowed": _read_windows, "slide_tables": _read_tables, "real": _read_reals,
          "pooled": _read_pooled}


def _events(binding, synapses, span) -> Events:
    """Return the sorted events of a path's source, shared by paths that read the same ones."""
    take, source = binding.memory.take, binding.sent[synapses.source]
    stage = binding.program.stages[synapses.source]
    first, n_steps = source.window(synapses.delay, *span)
    groups = synapses.geometry.groups
    by_column = int(synapses.events == "by column")
    key = (synapses.source, first, n_steps, groups, by_column)
    shared = span.steps == binding.setting.steps
    if shared and key in binding.events:
        return binding.events[key]
    name, slots = key if shared else "step", slots_of(stage, source, first, n_steps)
    n_maps = slots.samples * n_steps * stage.n_planes
    index = take(("index", name), n_maps * stage.n_neurons + 8, np.int32)
    pointers = take(("pointers", name), n_maps * (stage.positions * groups + 1), np.int64)
    planes = source.planes.reshape(-1)
    if groups == 1:
        binding.tape.call(indexing.index_events, planes, index, pointers, slots, by_column, BIT_POSITIONS)
    else:
        binding.tape.call(indexing.index_groups, planes, index, pointers, slots, groups)
    events = Events(index, pointers, n_steps)
    if shared:
        binding.events[key] = events
    return events


def _attention(binding, layer, synapses, span):
    """Return the gains of each sample, step and channel."""
    return bind_attention(binding, layer, synapses, *_windows(binding, synapses, span))
