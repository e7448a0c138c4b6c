"""The native format: one Model in one HDF5 file. This docstring is its specification, version 2.

Root
    format          text     "eventsim model"
    version         whole    2; 1 where there are no checksums, as up to eventsim 0.1
    timesteps       whole    steps of a run that is given no number
    timesteps_open  flag     1: every run has to be given a number; `timesteps` is then 1 and has no meaning
                                                                              optional: 0
    timesteps_fixed flag     1: the model equals the network it was made from only in runs of `timesteps` steps
                                                                              optional: 0
    names           texts    (n,)   names of the nodes, in the model's order; printable, not
                             empty, no "/"
    nodes/<name>    group    one per name, see below
    edges           texts    (E, 2) source, target; the order of the edges into a node is the order
                             in which its paths are summed
    delays          whole    (E,)   whole steps, 0 to 4096                    optional: all 0
    class_names     texts    (classes,) one per output                        optional: none
    provenance      texts    (P, 2) key, text                                 optional: none
    check           group    see below                                        optional: none
    chip            group    the chip's arithmetic that the numbers are meant for, see
                             `eventsim.model.chip.Chip`: its fields, as for nodes; eventsim 0.1
                             wrote it as "profile", which is still read
                                                                              optional: none
    checksums       texts    (P, 2) part, checksum; see below            version 1: not there

A node: `kind` (text) and its fields. Weights are in torch's order, shapes are channels first. A
field in brackets is optional and then has the value behind "=", or None. A *parameter* is a number,
(C,) one per channel or the node's whole shape, one per neuron; meanings and units of all fields are
in the docstrings of `eventsim.model`.

    Input           shape: wholes (C, H, W), (C, L) or (F,)
                    [encoding = "spikes"], [layout: text]
                    [bits = 1]: whole; [signed = 0]: flag; [scale = 1]: number
                    [mean = 0], [std = 1]: numbers () or (C,)
                    [events]: group with
                        [bin_width = 1000]: number, microseconds per step
                        [polarities = "off_on"], [coincident = "sum"]: text
                        [sensor_size = 34, 34]: wholes, height and width in pixels
    Dense           weight: numbers (out, in); [bias]: numbers (out,)
    Conv1d          weight: numbers (out, in / groups, K); [bias]: numbers (out,)
                    [stride = 1], [padding = 0], [dilation = 1]: wholes (1,) or ()
                    [groups = 1]: whole
    Conv2d          weight: numbers (out, in / groups, kH, kW); the rest as Conv1d, with (2,) or ()
    ConvTranspose2d   weight: numbers (in, out / groups, kH, kW); the rest as Conv2d, and
                    [output_padding = 0]: wholes (2,) or ()
    SumPool         kernel_size: wholes (2,), (1,) or ()
                    [stride], [padding = 0]: likewise; no stride means the kernel's size
                    [ceil_mode = 0]: flag
    AvgPool         as SumPool, and [count_include_pad = 1]: flag
    MaxPool         as SumPool
    Upsample        scale_factor: wholes (2,), (1,) or ()
    Flatten, Add, Concat   nothing
    BatchNorm       weight, bias, running_mean, running_var: numbers (C,)
                    [eps = 1e-5], [scale = 1]: number
    Delay           [steps = 0]: wholes, () or (C,) or the whole shape
    Restimulation   kernel: numbers (K,); [weight]: numbers (out, in, 1, 1)
                    [stride = 1]: wholes (2,) or ()
    Neuron          [v_threshold = 1], [leak = 1], [input_gain = 1], [v_leak = 0], [v_reset = 0],
                    [v_min], [refractory = 0]: parameters
                    [quantum = 1], [output_quantum], [bits = 1]: numbers () or (C,)
                    [current_leak], [bias = 0]: parameters
                    [reset = "soft"], [comparison = ">="]: text
                    [reset_delay = 0]: whole; [signed = 0], [rectify = 0]: flags
                    [reset_interval = 0], [reset_offset = 0]: wholes, steps; [resolution]: number
    Alpha           excitatory_leak, inhibitory_leak: parameters; [gain = 1], [v_threshold = 1]: parameters
                    [reset = "hard"], [comparison = ">"]: text; [output_quantum]: numbers () or (C,)
                    [reset_interval], [reset_offset]: as Neuron
    SigmaDelta      [mode = "sigma_delta"]: text; [v_threshold = 0], [bias = 0]: parameters
                    [quantum = 1]: number; [bits = 16]: whole; [rectify = 1]: flag
                    [reset_interval], [reset_offset], [resolution]: as Neuron
    Readout         [reduce = "mean"]: text; [leak = 0], [input_gain = 1], [v_leak = 0]: parameters
                    [current_leak], [bias], [reset_interval], [reset_offset], [resolution]: as Neuron

check: inputs with what the trainer computed from them (`eventsim.Check`)
    x               numbers  (N, *shape) or (N, T, *shape), channels first; levels, or real numbers
    outputs         numbers  (N, classes), of the folded network in float64
    level_counts    group    optional; <name of a Neuron or Alpha>: whole (N, T, L), how many of its neurons
                             sent each level in a step; L = 2^bits, signed 2^(bits + 1) - 1

checksums: they show that a bit of the file has changed. The parts are `nodes/<name>`, the group of each node;
`check`, that group, where it is; and `model`, all else but the checksums themselves. The checksum of a part is the
SHA-256, in hexadecimal, of one line per dataset in it, at any depth, sorted by the bytes of its path, each with a
line feed behind it:

    path type shape digest          such as
    nodes/conv1/weight f4 16,1,3,3 8c1f...  or  nodes/conv1/kind text - 5d0a...

with single spaces. path: from the root, without a "/" in front. type: f, i, u or b (HDF5 boolean) and the bytes of
a number, or text. shape: sizes of the axes, with commas; - where there are none. digest: SHA-256, in hexadecimal,
of the elements in C order: numbers little-endian, texts in UTF-8, each with a NUL behind it. Packing and chunks do
not matter. To change a file by hand, remove `checksums` and set `version` to 1; `eventsim convert` then adds new
ones.

Types. *text*: a string, UTF-8 without NUL, of fixed or variable length; *texts*: an array of them.
*whole*: an integer of any width; *wholes*: a list of them. *flag*: integer or HDF5 boolean, 0 or 1.
*number*, *numbers*: integers or floats of at most 64 bits, all finite, of the rank given. Anything
may be packed with gzip, lzf, shuffle and fletcher32. Attributes are not read; members
that are not named here are errors, and so are links, virtual datasets and external storage.

`save` writes float64 as float32 where that loses nothing, and every field that is not None, so that
a file keeps its meaning should a default ever change. A change of what a file means, or a new
member, takes a new version. Equal models give equal bytes with the same HDF5 library.
"""

import typing
from dataclasses import fields, MISSING
from functools import lru_cache

import numpy as np

from eventsim.formats.refusing import guarded, MAX_EDGES, MAX_NODES
from eventsim.model.check import Check
from eventsim.model.chip import Chip
from eventsim.model.input import EventBins, Input
from eventsim.model.kinds import NODE_TYPES
from eventsim.model.network import Model
from eventsim.model.parameters import Axes, Parameter
from eventsim.storage.checksums import SummedGroup, checksums_of
from eventsim.storage.hdf5_writing import new_hdf5, write_numbers, write_texts

FORMAT = "eventsim model"
VERSION = 2
VERSIONS = {1: (), 2: ("checksums",)}  # that are read -> members that only they have, and have to have

REQUIRED = ("format", "version", "timesteps", "names", "nodes", "edges")
OPTIONAL = ("delays", "class_names", "provenance", "check", "chip", "profile", "timesteps_open",
            "timesteps_fixed")

MAX_RANK = 4  # of weights


# ---- reading


def recognises(root) -> bool:
    """Return whether a file says that it is in this format."""
    return "format" in root and root.text("format") == FORMAT


def read(root) -> Model:
    """Return the Model of a file from its root StoredGroup. Raises FormatError or UnsupportedError, which name the
    file."""
    lines = root.start_checksums()
    version = _whole_number(root, "version")
    if version not in VERSIONS:
        raise root.error(f"version of the format is {version}; this eventsim reads versions "
                         f"{' and '.join(map(str, VERSIONS))}")
    if version != 1 and "checksums" not in root:
        raise root.error(f"'checksums' is missing, which version {version} has: write them, or set version to 1, "
                         "which has none")
    _check_members(root, (*REQUIRED, *VERSIONS[version]), OPTIONAL)
    if version == 1:
        root.stop_checksums()
        return _read_model(root)
    expected = _read_checksums(root)
    root.text("format")  # again, now that lines are collected
    model = _read_model(root)
    _compare(root, model, checksums_of(lines, _part), expected)
    return model


def _read_checksums(root):
    """Return the checksums in the file: part -> checksum."""
    pairs = _texts(root, "checksums", 2, 2)
    sums = dict(pairs)
    if len(sums) != len(pairs):
        raise root.error("'checksums' has a part twice")
    return sums


def _part(path):
    """Return the part whose checksum covers the dataset at `path`, or None for the checksums themselves."""
    first, _, rest = path.partition("/")
    if first == "nodes":
        return f"nodes/{rest.partition('/')[0]}"
    return {"check": "check", "checksums": None}.get(first, "model")


def _compare(root, model, actual, expected):
    """Raise FormatError, which names the node, if a part does not have the checksum that the file gives for it."""
    for part in sorted(actual.keys() | expected.keys()):
        if actual.get(part) != expected.get(part):
            name = part.removeprefix("nodes/")
            node = model.nodes.get(name) if name != part else None
            where = part if node is None else f"node {name!r} ({node.kind})"
            here, there = (str(sums.get(part, "none"))[:8] for sums in (actual, expected))
            raise root.error(f"{where}: damaged: its checksum is {here}, expected {there}; take an intact copy "
                             "of the file (who changed it by hand: see eventsim.formats.native)")


def _read_model(root):
    """Return the Model, before its parts are compared with their checksums."""
    names = _texts(root, "names", 1)
    groups = root.group("nodes")
    if len(names) > MAX_NODES:
        raise root.error(f"'names' has {len(names)} entries, expected at most {MAX_NODES} nodes")
    if sorted(names) != sorted(groups.names()):
        odd = sorted(set(names).symmetric_difference(groups.names())) or "one twice"
        raise root.error(f"'names' and the groups in 'nodes' differ: {odd}")
    nodes = {name: _read_node(groups, name) for name in names}
    return guarded(root, lambda: Model(
        nodes,
        _read_edges(root),
        timesteps=_read_steps(root),
        class_names=_texts(root, "class_names", 1) if "class_names" in root else (),
        provenance=_read_provenance(root),
        check=_read_check(root),
        chip=_read_chip(root),
        timesteps_fixed="timesteps_fixed" in root and _flag(root, "timesteps_fixed"),
    ))


def _read_steps(root):
    """Return the number of steps, or None where it is open."""
    steps = _whole_number(root, "timesteps")
    return None if "timesteps_open" in root and _flag(root, "timesteps_open") else steps


def _read_chip(root):
    """Return the chip, or None. eventsim 0.1 named it "profile"."""
    names = [name for name in ("chip", "profile") if name in root]
    if len(names) > 1:
        raise root.error("holds 'chip' and 'profile', two names of the same; expected only 'chip'")
    name = names[0] if names else None
    return None if name is None else _read_fields(root.group(name, name), Chip)


def _check_members(group, required, optional):
    for name in required:
        if name not in group:
            raise group.error(f"{name!r} is missing")
    for name in group.names():
        if name not in required and name not in optional:
            known = ", ".join((*required, *optional)) or "none"
            raise group.error(f"{name!r} is unknown, expected only {known}")


def _read_node(groups, name):
    group = groups.group(name, f"node {name!r}")
    kind = group.text("kind")
    if kind not in NODE_TYPES:
        raise group.error(f"kind is {kind!r}, expected one of {', '.join(NODE_TYPES)}")
    group.label = f"node {name!r} ({kind})"
    return _read_fields(group, NODE_TYPES[kind], ("kind",))


def _read_fields(group, cls, others=()):
    """Return an instance of a dataclass from the members of a group. others: further members, which are no
    fields."""
    types = _field_types(cls)
    required = [f.name for f in fields(cls) if f.default is MISSING]
    _check_members(group, (*others, *required), [name for name in types if name not in required])
    values = {
        name: _READERS[kind](group, name) for name, kind in types.items() if name in group
    }
    if cls is Input and values.get("encoding") == "real" and values.get("scale", 1.0) > 0:
        values.pop("scale", None)  # which eventsim 0.1 took, wrote and did not use
    return guarded(group, lambda: cls(**values))


@lru_cache(maxsize=None)
def _field_types(cls):
    """Return name of a field -> key of _READERS and _WRITERS, from the annotations of a dataclass."""
    hints = typing.get_type_hints(cls)
    types = {f.name: _plain(hints[f.name]) for f in fields(cls)}
    assert all(kind in _READERS for kind in types.values()), f"{cls} has a field of a new type"
    return types


def _plain(annotation):
    if annotation == Parameter:
        return np.ndarray
    if annotation in (Axes, typing.Optional[Axes]):
        return tuple
    if typing.get_origin(annotation) is typing.Union:  # Optional[...]: absent when None
        rest = [a for a in typing.get_args(annotation) if a is not type(None)]
        return np.ndarray if np.ndarray in rest else _plain(rest[0])
    return typing.get_origin(annotation) or annotation


def _numbers(group, name):
    values = group.numbers(name)
    if values.dtype.kind == "b":
        raise group.error(f"{name!r} holds booleans, expected numbers")
    if values.ndim > MAX_RANK:
        raise group.error(f"{name!r} has {values.ndim} axes, expected at most {MAX_RANK}")
    return values


def _number(group, name):
    value = _numbers(group, name)
    if value.ndim:
        raise group.error(f"{name!r} has shape {value.shape}, expected a single number")
    return float(value)


def _integers(group, name, rank, max_size=None):
    values = group.numbers(name)
    if values.dtype.kind not in "iu":
        raise group.error(f"{name!r} has type {values.dtype}, expected integers")
    if values.ndim not in rank or (max_size is not None and values.size > max_size):
        raise group.error(f"{name!r} has shape {values.shape}, expected {_RANKS[rank]}")
    return values


_RANKS = {(0,): "a single whole number", (0, 1): "one to three whole numbers",
          (1,): "a list", (3,): "(N, T, L)"}


def _whole_number(group, name):
    return int(_integers(group, name, (0,)))


def _whole_numbers(group, name):
    """Return a tuple of ints, or an int where the dataset is 0-d."""
    values = _integers(group, name, (0, 1), 3).tolist()
    return tuple(values) if isinstance(values, list) else values


def _flag(group, name):
    value = group.numbers(name)
    if value.ndim or value.dtype.kind not in "biu" or value not in (0, 1):
        raise group.error(f"{name!r} is {value}, expected a flag, 0 or 1")
    return bool(value)


def _texts(group, name, rank, width=None):
    """Return a list of str for rank 1, a list of lists of str for rank 2. width: of the rows."""
    texts = group.texts(name)
    if texts.ndim != rank or (width is not None and texts.shape[1:] != (width,)):
        expected = "a list" if rank == 1 else f"(n, {width})"
        raise group.error(f"{name!r} has shape {texts.shape}, expected {expected}")
    return texts.tolist()


def _read_edges(root):
    ends = _texts(root, "edges", 2, 2)
    if len(ends) > MAX_EDGES:
        raise root.error(f"'edges' has {len(ends)} entries, expected at most {MAX_EDGES}")
    if "delays" not in root:
        return [tuple(pair) for pair in ends]
    delays = _integers(root, "delays", (1,)).tolist()
    if len(delays) != len(ends):
        raise root.error(f"'delays' has {len(delays)} entries, but there are {len(ends)} edges")
    return [(*pair, delay) for pair, delay in zip(ends, delays)]


def _read_provenance(root):
    if "provenance" not in root:
        return {}
    pairs = _texts(root, "provenance", 2, 2)
    provenance = dict(pairs)
    if len(provenance) != len(pairs):
        raise root.error("'provenance' has a key twice")
    return provenance


def _read_check(root):
    if "check" not in root:
        return None
    group = root.group("check", "check")
    _check_members(group, ("x", "outputs"), ("level_counts",))
    counts = {}
    if "level_counts" in group:
        folder = group.group("level_counts", "check: level_counts")
        counts = {name: _integers(folder, name, (3,)).astype(np.int64) for name in folder.names()}
    return Check(group.numbers("x"), _numbers(group, "outputs").astype(np.float64), counts)


# ---- writing


def write(model, path):
    """Write a Model to a file, which appears complete or not at all. Raises FormatError."""
    with new_hdf5(path) as root:
        if model.check is not None:
            model.check.check_shapes(model)
        summed = SummedGroup(root)
        _write_model(summed, model)
        write_texts(root, "checksums", np.array(list(checksums_of(summed.lines, _part).items()), dtype=object))


def _write_model(root, model):
    write_texts(root, "format", FORMAT)
    write_numbers(root, "version", VERSION)
    write_numbers(root, "timesteps", model.timesteps or 1)
    if model.timesteps is None:
        write_numbers(root, "timesteps_open", 1)
    if model.timesteps_fixed:
        write_numbers(root, "timesteps_fixed", 1)
    write_texts(root, "names", list(model.nodes))
    nodes = root.create_group("nodes")
    for name, node in model.nodes.items():
        group = nodes.create_group(name)
        write_texts(group, "kind", node.kind)
        _write_fields(group, node)
    ends = [(edge.source, edge.target) for edge in model.edges]
    write_texts(root, "edges", np.array(ends, dtype=object).reshape(-1, 2))
    write_numbers(root, "delays", np.array([edge.delay for edge in model.edges], dtype=np.int64))
    if model.class_names:
        write_texts(root, "class_names", list(model.class_names))
    if model.provenance:
        write_texts(root, "provenance", np.array(list(model.provenance.items()), dtype=object))
    if model.chip is not None:
        _write_fields(root.create_group("chip"), model.chip)
    if model.check is not None:
        _write_check(root.create_group("check"), model.check)


def _write_check(group, check):
    write_numbers(group, "x", check.x)
    write_numbers(group, "outputs", check.outputs)
    counts = group.create_group("level_counts")
    for name, value in check.level_counts.items():
        write_numbers(counts, name, value)


def _write_fields(group, instance):
    for name, kind in _field_types(type(instance)).items():
        value = getattr(instance, name)
        if value is not None:
            _WRITERS[kind](group, name, value)


def _write_events(group, name, events):
    _write_fields(group.create_group(name), events)


# type of a field, from its annotation -> function
_READERS = {
    str: lambda group, name: group.text(name),
    bool: _flag,
    int: _whole_number,
    float: _number,
    tuple: _whole_numbers,
    np.ndarray: _numbers,
    EventBins: lambda group, name: _read_fields(
        group.group(name, f"{group.label}: {name}"), EventBins
    ),
}
_WRITERS = {
    str: write_texts,
    bool: lambda group, name, value: write_numbers(group, name, np.uint8(value)),
    int: write_numbers,
    float: write_numbers,
    tuple: write_numbers,
    np.ndarray: write_numbers,
    EventBins: _write_events,
}
