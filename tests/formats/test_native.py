"""The native format: round trips, and files that are damaged, foreign or hostile."""

import hashlib
import re
from dataclasses import MISSING, fields
from pathlib import Path

import h5py
import numpy as np
import pytest

import eventsim
from eventsim import formats, Chip
from eventsim.errors import EventsimError, FormatError, UnsupportedError
from eventsim.formats import native
from eventsim.model.input import EventBins, Input
from eventsim.model.kinds import NODE_TYPES
from eventsim.model.check import Check
from eventsim.model.network import Model
from eventsim.model.neurons import Alpha, Neuron, Readout, SigmaDelta
from eventsim.model.synapses import Conv1d, Conv2d, ConvTranspose2d, Dense, Restimulation
from eventsim.model.transforms import (
    Add, AvgPool, BatchNorm, Concat, Delay, Flatten, MaxPool, SumPool, Upsample,
)
from eventsim.storage import hdf5, hdf5_writing
from support.command import MODEL
from support.native_files import by_hand
from eventsim.storage.hdf5 import open_hdf5

RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.standard_normal(shape)


def images():
    """Every node type of two dimensions, most of its fields away from their defaults."""
    n = weights(4)
    nodes = {
        "in": Input((3, 8, 8), "image", 8, scale=1 / 255, mean=[0.1, 0.2, 0.3], std=0.5, layout="HWC"),
        "conv.1": Conv2d(weights(4, 3, 3, 3).astype("f4"), weights(4), padding=1),
        "norm": BatchNorm(n, n + 1, n, n**2, eps=1e-3, scale=0.5),
        "spikes": Neuron(
            0.25, leak=weights(4, 8, 8) ** 2 % 1, input_gain=weights(4), v_leak=0.1, v_min=-1.0,
            quantum=[1, 0.5, 1, 1], output_quantum=0.5, bits=[1, 2, 3, 1], comparison=">",
        ),
        "again": Restimulation([0.1, 0.2, 0.3], weights(4, 4, 1, 1), stride=1),
        "conv2": Conv2d(weights(4, 2, 3, 3), stride=(1, 1), padding=(1, 1), groups=2),
        "größer": Neuron(0.5, reset="hard", v_reset=0.1, refractory=[0, 1, 2, 3], bits=2),
        "sum": Add(),
        "max": MaxPool(2, ceil_mode=True),
        "average": AvgPool((2, 2), stride=(2, 2), count_include_pad=False),
        "total": SumPool(2, padding=0),
        "flat": Flatten(),
        "dense": Dense(weights(5, 4), weights(5)),
        "out": Readout("sum", leak=0.5, input_gain=weights(5), v_leak=0.5),
    }
    edges = [
        ("in", "conv.1"), ("conv.1", "norm"), ("norm", "spikes"), ("spikes", "again"),
        ("spikes", "conv2", 2), ("conv2", "größer"), ("again", "größer"), ("größer", "sum"),
        ("spikes", "sum", 4096), ("sum", "max"), ("max", "average"), ("average", "total"),
        ("total", "flat"), ("flat", "dense"), ("dense", "out"),
    ]
    check = Check(
        RNG.integers(0, 256, (2, 3, 8, 8), np.uint8), weights(2, 5),
        {"größer": np.full((2, 3, 4), 64)},
    )
    return Model(nodes, edges, 3, "abcde", {"source": "a test; ä", "a/b": "", "": "x" * 3000}, check)


def events():
    nodes = {
        "in": Input((2, 6, 4), bits=3, events=EventBins(250.5, "on_off", "merge", (6, 4))),
        "flat": Flatten(),
        "dense": Dense(weights(6, 48)),
        "signed": Neuron(signed=True, bits=2, reset_delay=1),
        "back": Dense(weights(6, 6)),
        "out": Neuron(rectify=True),
    }
    edges = [("in", "flat"), ("flat", "dense"), ("dense", "signed"), ("signed", "back"),
             ("back", "signed", 1), ("signed", "out")]
    counts = np.zeros((1, 4, 7), int)
    counts[:, :, 3] = 6
    check = Check(RNG.integers(0, 2, (1, 4, 2, 6, 4)).astype(bool), weights(1, 6), {"signed": counts})
    return Model(nodes, edges, 4, check=check)


def sequence():
    nodes = {
        "in": Input((2, 9), "real", layout="LC"),
        "conv": Conv1d(weights(4, 1, 3), stride=2, padding=1, dilation=1, groups=2),
        "spikes": Neuron(), "pool": MaxPool(2, 1, 1), "flat": Flatten(),
        "dense": Dense(weights(3, 24)), "out": Readout(),
    }
    names = list(nodes)
    check = Check(weights(2, 2, 9), np.zeros((2, 3)), {})
    return Model(nodes, list(zip(names, names[1:])), check=check)


def chip():
    """Currents, changes, delays of neurons and a chip, most fields away from their defaults."""
    nodes = {
        "in": Input((4,), bits=16, signed=True),
        "encoder": SigmaDelta("delta", 0.5, [0.1, 0.2, 0.3, 0.4], 0.25, 8, False, 5, 2, 64.0),
        "later": Delay([0, 1, 62, 3]),
        "dense": Dense(weights(3, 4)),
        "spikes": Neuron(2.0, leak=0.5, current_leak=[0.1, 0.2, 0.3], bias=-0.5, reset="hard",
                         comparison=">", reset_interval=7, reset_offset=3, resolution=64.0),
        "changes": SigmaDelta(v_threshold=1.0, resolution=0.5),
        "last": Dense(weights(2, 3)),
        "out": Readout("last", 1.0, current_leak=0.25, bias=[1.0, 2.0], reset_interval=7,
                       reset_offset=6, resolution=2.0),
    }
    edges = list(zip(nodes, list(nodes)[1:]))
    chip = Chip("chip", "of a test", 5, 2, 3, 20, "wrap", 16, "saturate", 8, "wrap_once", 7, "floor",
                      9, False, ">", 4000)
    return Model(nodes, edges, 2, chip=chip)


def enlarged():
    """Maps made larger, and channels side by side."""
    nodes = {
        "in": Input((2, 3, 3)), "up": Upsample((2, 1)), "both": Concat(), "again": Upsample((2, 1)),
        "conv": ConvTranspose2d(weights(4, 2, 3, 2), weights(4), (2, 3), (1, 0), (1, 2), (1, 2), 2), "n": Neuron(),
        "alpha": Alpha(0.9, [0.1, 0.2, 0.3, 0.4], 2.0, [1, 2, 3, 4], "soft", ">=", [0.5, 1, 2, 3], 5, 2),
    }
    edges = [("in", "up"), ("in", "again", 3), ("up", "both"), ("again", "both"), ("both", "conv"), ("conv", "n"),
             ("n", "alpha")]
    return Model(nodes, edges)


def maxima():
    """A maximum of a sum of currents."""
    nodes = {
        "in": Input((2, 5, 5)), "a": Conv2d(weights(4, 2, 3, 3)), "b": Conv2d(weights(4, 2, 3, 3), weights(4)),
        "sum": Add(), "max": MaxPool(2, 1, 1, True), "n": Neuron(),
    }
    edges = [("in", "a"), ("in", "b", 2), ("a", "sum"), ("b", "sum", 1), ("sum", "max", 3), ("max", "n")]
    return Model(nodes, edges, 4)


def part(first, *names, **more):
    """A row of nodes of `images`, after their input."""
    nodes = {"in": first, **{name: images().nodes[name] for name in names}}
    return Model({**nodes, **more.pop("ends", {})}, **more)


def first_images():
    """Up to the first neurons."""
    names = ["in", "conv.1", "norm", "spikes"]
    return part(images().nodes["in"], *names[1:], edges=list(zip(names, names[1:])), timesteps=3)


def second_images():
    """What reads the first neurons, and all that is said of a model."""
    nodes = {"flat": Flatten(), "dense": Dense(weights(5, 256), weights(5)), "out": images().nodes["out"]}
    edges = [("in", "again"), ("in", "conv2", 2), ("conv2", "größer"), ("again", "größer"), ("größer", "sum"),
             ("in", "sum", 4096), ("sum", "flat"), ("flat", "dense"), ("dense", "out")]
    counts = {"größer": np.full((2, 3, 4), 64)}
    check = Check(RNG.integers(0, 8, (2, 3, 4, 8, 8), np.uint8), weights(2, 5), counts)
    return part(Input((4, 8, 8), bits=3), "again", "conv2", "größer", "sum", ends=nodes, edges=edges, timesteps=3,
                class_names="abcde", provenance=images().provenance, check=check)


def third_images():
    """Pools, and what follows them."""
    names = ["in", "max", "average", "total", "flat", "dense", "out"]
    return part(Input((4, 8, 8), bits=3), *names[1:], edges=list(zip(names, names[1:])), timesteps=3)


SAVED = [images, events, sequence, chip, maxima, enlarged]
# whose members are damaged: those of `images` in parts, as each time all of a file is read; those of `enlarged`
# are of the types that the others have
MODELS = [first_images, second_images, third_images, events, sequence, chip, maxima]


def assert_equal(actual, expected):
    """Deep equality of nodes, arrays, containers and numbers."""
    if isinstance(expected, np.ndarray) or isinstance(actual, np.ndarray):
        np.testing.assert_array_equal(actual, expected)
    elif hasattr(expected, "__dataclass_fields__"):
        assert type(actual) is type(expected)
        for item in fields(expected):
            assert_equal(getattr(actual, item.name), getattr(expected, item.name))
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_equal(actual[key], expected[key])
    else:
        assert actual == expected and type(actual) is type(expected)


def assert_same_model(actual, expected):
    assert_equal(actual.nodes, expected.nodes)
    for name in ("edges", "timesteps", "class_names", "provenance", "check", "shapes", "kinds", "chip"):
        assert_equal(getattr(actual, name), getattr(expected, name))


def saved(tmp_path, model=None):
    path = tmp_path / "net.h5"
    formats.save(model or images(), path)
    return path


def refuses(path, message, error=FormatError):
    """Loading gives one line that begins with the file's name."""
    with pytest.raises(error, match=message) as caught:
        formats.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_of_0_1_call_the_chip_profile(tmp_path):
    model = chip()
    path = saved(tmp_path, model)
    with by_hand(path) as file:
        file.move("chip", "profile")
    assert_same_model(formats.load(path), model)
    with by_hand(path) as file:
        file.copy("profile", "chip")
    refuses(path, "holds 'chip' and 'profile', two names of the same; expected only 'chip'")


def loaded_or_refused(path):
    """The file's model, or None; anything but a model or a proper refusal fails the test."""
    try:
        return formats.load(path)
    except EventsimError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
        return None


def loads_or_refuses(path):
    """Whether the file loads."""
    return loaded_or_refused(path) is not None


# ---- round trips

@pytest.mark.parametrize("make", SAVED)
@pytest.mark.parametrize("name", ["net.h5", "NET.HDF5"])
def test_round_trip(tmp_path, make, name):
    model = make()
    eventsim.save(model, str(tmp_path / name))
    again = formats.load(tmp_path / name)
    assert_same_model(again, model)
    formats.save(again, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / name).read_bytes()
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(["again.h5", name])


def test_all_node_types_are_covered():
    kinds = {node.kind for make in SAVED for node in make().nodes.values()}
    assert kinds == set(NODE_TYPES)


def test_the_specification_names_every_node_and_field():
    lines = re.split(r"\n    (?=[A-Z])", native.__doc__.split("A node:")[1].split("\ncheck:")[0])
    text = {kind.strip(): line for line in lines[1:] for kind in line.split("   ")[0].split(",")}
    for pool in ("AvgPool", "MaxPool"):
        text[pool] += text["SumPool"]
    text["Conv2d"] += text["Conv1d"]
    text["ConvTranspose2d"] += text["Conv2d"]
    assert set(text) == set(NODE_TYPES)
    for kind, cls in NODE_TYPES.items():
        for item in fields(cls):
            assert re.search(rf"\b{item.name}\b", text[kind]), (kind, item.name)
            optional = re.search(rf"\[{item.name}\b", text[kind])
            assert bool(optional) == (item.default is not MISSING), (kind, item.name)


def test_float32_is_used_only_where_it_is_exact(tmp_path):
    with h5py.File(saved(tmp_path)) as file:
        assert file["nodes/conv.1/weight"].dtype == np.float32
        assert file["nodes/conv2/weight"].dtype == np.float64
        assert file["check/x"].dtype == np.uint8
        weight = file["nodes/conv2/weight"]
        assert weight.compression is None and weight.nbytes < 1024
    big = np.full((2, 4000), 1e300)
    assert hdf5_writing.narrowed(big) is big
    nodes = {"in": Input((4000,)), "d": Dense(big), "n": Neuron()}
    with h5py.File(saved(tmp_path, Model(nodes, [("in", "d"), ("d", "n")]))) as file:
        assert file["nodes/d/weight"].compression == "gzip" and file["nodes/d/weight"].shuffle


def test_what_other_writers_may_do(tmp_path):
    """Strings of variable length, other integer and float types, byte orders and filters."""
    path = saved(tmp_path, sequence())
    expected = formats.load(path)
    with by_hand(path) as file:
        for name, value in [
            ("format", "eventsim model"), ("names", list(expected.nodes)),
            ("edges", [list(edge[:2]) for edge in expected.edges]), ("version", np.uint16(1)),
            ("nodes/conv/stride", np.array([2], ">i2")), ("nodes/spikes/signed", np.False_),
            ("nodes/pool/ceil_mode", np.int8(0)), ("nodes/spikes/leak", 1),
        ]:
            del file[name]
            file[name] = value
        weight = file["nodes/dense/weight"][()]
        del file["nodes/dense/weight"]
        file.create_dataset("nodes/dense/weight", data=weight.astype(">f8"), compression="lzf",
                            fletcher32=True, maxshape=(None, None))
        file.attrs["anything"] = "is ignored"
    assert_same_model(formats.load(path), expected)


# ---- every key in turn

def keys_of(make, tmp_path):
    keys = []
    with h5py.File(saved(tmp_path, make())) as file:
        file.visit(keys.append)
    keys.remove("checksums")  # see by_hand
    return keys


def is_optional(key):
    """Whether a file means something without this member."""
    parts = key.split("/")
    if parts[0] != "nodes":
        return key in ("delays", "class_names", "provenance", "check", "check/level_counts", "chip") or (
            key.startswith(("check/level_counts/", "chip/")) and key != "chip/name"
        )
    if len(parts) < 3 or parts[2] == "kind":
        return False
    if parts[2] == "events":
        return True
    required = {"shape", "weight", "kernel_size", "kernel", "running_mean", "running_var"}
    return parts[2] not in required and not (parts[1] == "norm" and parts[2] == "bias") or (
        parts[1] == "again" and parts[2] == "weight"
    )


# without these the file means something else, which the model then refuses
OTHER_MEANING = {"nodes/in/encoding", "nodes/in/layout", "nodes/in/events/sensor_size",
                 "nodes/in/bits", "nodes/spikes/bits", "nodes/größer/bits", "nodes/conv2/groups",
                 "nodes/conv/groups", "nodes/signed/bits", "nodes/signed/signed",
                 "nodes/conv.1/padding", "nodes/conv2/padding", "nodes/max/ceil_mode",
                 "nodes/pool/stride", "nodes/pool/padding", "nodes/conv/stride",
                 "nodes/conv/padding", "delays", "chip/sum_bits", "chip/sum_overflow"}


def test_parts_of_images_have_every_member(tmp_path):
    parts = [keys_of(make, tmp_path) for make in (first_images, second_images, third_images)]
    assert set(keys_of(images, tmp_path)) <= set().union(*parts)


@pytest.mark.parametrize("make", MODELS)
def test_removing_each_member(tmp_path, make):
    path = saved(tmp_path, make())
    content = path.read_bytes()
    for key in keys_of(make, tmp_path):
        path.write_bytes(content)
        with by_hand(path) as file:
            del file[key]
        if key in OTHER_MEANING:
            loads_or_refuses(path)
        elif is_optional(key):
            formats.load(path)
        else:
            message = refuses(path, ".")
            assert key.split("/")[-1] in message


@pytest.mark.parametrize("make", MODELS)
def test_corrupting_each_member(tmp_path, make):
    """Another type, rank, or value that is not finite in place of each dataset and group."""
    path = saved(tmp_path, make())
    content = path.read_bytes()
    replacements = {
        "text": "some text", "texts": ["a", "b"], "complex": np.complex128(1), "huge": 10**18,
        "rank": np.ones((1, 1, 1, 1, 1)), "none": np.zeros((0,)), "nan": np.nan,
        "infinite": np.full((3, 3), np.inf), "negative": -7, "enormous": np.float64(1e308),
        "compound": np.zeros(2, [("a", int)]), "reference": None, "group": {}, "empty": h5py.Empty("f8"),
        "not UTF-8": np.bytes_(b"\xff\xfe"), "ragged": np.array([1, 2]), "long": np.longdouble(1),
    }
    kinds = list(replacements)
    for i, key in enumerate(keys_of(make, tmp_path)):
        # four for each member, in turn: all with all would take a minute
        for what in (kinds[(4 * i + j) % len(kinds)] for j in range(4)):
            value = replacements[what]
            path.write_bytes(content)
            with by_hand(path) as file:
                was_group = isinstance(file[key], h5py.Group)
                kind = None if was_group else file[key].dtype.kind
                del file[key]
                if what == "group":
                    file.create_group(key)
                elif what == "reference":
                    file.create_dataset(key, data=file["/"].ref, dtype=h5py.ref_dtype)
                elif what == "ragged":
                    data = np.empty(2, object)
                    data[:] = [np.arange(2), np.arange(3)]
                    file.create_dataset(key, data=data, dtype=h5py.vlen_dtype(int))
                else:
                    file[key] = value
            if was_group and what == "group":
                loads_or_refuses(path)  # an empty group: events, level_counts, Flatten
            elif what in ("negative", "enormous", "huge") and not was_group and kind in "iuf":
                loads_or_refuses(path)  # may be a value that the field takes
            else:
                assert not loads_or_refuses(path), (key, what)


def change(path, **members):
    with by_hand(path) as file:
        for name, value in members.items():
            name = name.replace("__", "/")
            if name in file:
                del file[name]
            if value is not None:
                file[name] = value
    return path


CONVOLUTION = "node 'conv2' \\(Conv2d\\): "


@pytest.mark.parametrize("members, message", [
    (dict(version=3), "version of the format is 3; this eventsim reads versions 1 and 2"),
    (dict(version=2), "'checksums' is missing, which version 2 has: .* set version to 1"),
    (dict(version="1"), "'version' holds text, expected numbers"),
    (dict(version=1.0), "'version' has type float64, expected integers"),
    (dict(version=[1]), r"'version' has shape \(1,\), expected a single whole number"),
    (dict(timesteps=0), "timesteps is 0, expected a whole number from 1"),
    (dict(timesteps=None), "'timesteps' is missing"),
    (dict(extra=1), "'extra' is unknown, expected only format, version"),
    (dict(format="other"), "not a model file: 'format' is not 'eventsim model'; the file holds"),
    (dict(names="in"), r"'names' has shape \(\), expected a list"),
    (dict(names=["in"]), "'names' and the groups in 'nodes' differ: \\['again'"),
    (dict(edges=["in"]), r"'edges' has shape \(1,\), expected \(n, 2\)"),
    (dict(edges=[["in", "nowhere"]], delays=[0]), "names node 'nowhere', which does not exist"),
    (dict(delays=[0]), "'delays' has 1 entries, but there are 15 edges"),
    (dict(delays=np.full(15, 5000)), "delay is 5000, expected"),
    (dict(delays=np.zeros(15)), "'delays' has type float64, expected integers"),
    (dict(class_names=["a"]), "class_names has 1 entries, but node 'out'"),
    (dict(provenance=[["a", "b"], ["a", "c"]]), "'provenance' has a key twice"),
    (dict(nodes=1), "'nodes' is a dataset, expected a group"),
    (dict(nodes__dense__kind="Linear"), "node 'dense': kind is 'Linear', expected one of Input, Dense"),
    (dict(nodes__dense__kind=["a", "b"]), r"'kind' has shape \(2,\), expected a single string"),
    (dict(nodes__dense__kind=1), "'kind' holds elements of type int64, expected text"),
    (dict(nodes__dense__kind=np.bytes_(b"\xff")), "'kind' holds text that is not UTF-8"),
    (dict(nodes__dense__wieght=1), r"node 'dense' \(Dense\): 'wieght' is unknown, expected only kind"),
    (dict(nodes__dense__weight=None), r"node 'dense' \(Dense\): 'weight' is missing"),
    (dict(nodes__dense__weight="big"), "'weight' holds text, expected numbers"),
    (dict(nodes__dense__weight=np.ones((5, 4), bool)), "'weight' holds booleans, expected numbers"),
    (dict(nodes__dense__weight=np.ones((5, 4), "c8")), "'weight' holds elements of type complex64"),
    (dict(nodes__dense__weight=h5py.Empty("f8")), "'weight' has no data"),
    (dict(nodes__dense__weight=np.ones((5, 3))), "weight has 3 inputs, but 4 arrive from 'flat'"),
    (dict(nodes__dense__weight=np.full((5, 4), np.nan)), "weight has a value that is not finite"),
    (dict(nodes__conv2__weight=np.ones((4, 3, 3, 3))), CONVOLUTION + "weight has 6 input channels, but 4 arrive "
                                                                     "from 'spikes'"),
    (dict(nodes__conv2__weight=np.ones((4, 3))), CONVOLUTION + r"weight has shape \(4, 3\)"),
    (dict(nodes__conv2__stride=[[1, 1]]), CONVOLUTION + r"'stride' has shape \(1, 2\), expected one to three"),
    (dict(nodes__conv2__stride=np.ones(4, int)), "'stride' has shape"),
    (dict(nodes__conv2__stride=[1.0, 1.0]), "'stride' has type float64, expected integers"),
    (dict(nodes__conv2__stride=0), CONVOLUTION + "stride is 0"),
    (dict(nodes__in__std=np.ones((1, 1, 1, 1, 1))), "'std' has 5 axes, expected at most 4"),
    (dict(nodes__norm__eps=[1.0]), r"'eps' has shape \(1,\), expected a single number"),
    (dict(nodes__max__ceil_mode=2), "'ceil_mode' is 2, expected a flag, 0 or 1"),
    (dict(nodes__max__ceil_mode=[1]), "'ceil_mode' is .*, expected a flag"),
    (dict(nodes__max__kernel_size=[2, 2, 2]), "kernel_size is"),
    (dict(nodes__spikes__comparison="<"), "comparison is '<', expected one of '>=', '>'"),
    (dict(nodes__in__events=1), "'events' is a dataset, expected a group"),
    (dict(check__x=np.zeros((2, 3, 8))), r"check: x has shape \(2, 3, 8\), expected"),
    (dict(check__x=np.full((2, 3, 8, 8), np.nan)), "check: x has a value that is not finite"),
    (dict(check__outputs=np.zeros((2, 4))), r"check: outputs has shape \(2, 4\), expected \(2, 5\)"),
    (dict(check__outputs=np.full((2, 5), np.inf)), "check: outputs has a value that is not finite"),
    (dict(check__y=1), "check: 'y' is unknown, expected only x, outputs, level_counts"),
    (dict(check__level_counts__out=np.zeros((2, 3, 4), int)),
     "level_counts of 'out': the model has no such Neuron"),
    (dict(check__level_counts__spikes=np.zeros((2, 3, 4), int)), r"expected integers of shape \(2, .*, 8\)"),
    (dict(check__level_counts__spikes=np.zeros((2, 3), int)),
     r"'spikes' has shape \(2, 3\), expected \(N, T, L\)"),
    (dict(check__level_counts__spikes=np.zeros((2, 3, 8), int)), "do not add up to its 256 neurons"),
])
def test_each_refusal(tmp_path, members, message):
    refuses(change(saved(tmp_path), **members), message)


def test_unsupported_models_stay_unsupported(tmp_path):
    path = change(saved(tmp_path), nodes__größer__reset_delay=1)
    refuses(path, "node 'größer' .Neuron.: reset_delay together with refractory", UnsupportedError)
    path = change(saved(tmp_path), nodes__average__kernel_size=3, nodes__average__padding=1,
                  nodes__average__stride=1)
    refuses(path, "node 'average' .AvgPool.: average pooling with count_include", UnsupportedError)


def test_a_name_twice(tmp_path):
    path = saved(tmp_path, sequence())
    change(path, names=["in", "conv", "spikes", "pool", "flat", "dense", "out", "out"])
    refuses(path, "differ: one twice")


@pytest.mark.parametrize("name, shown", (("a\nb", r"a\\nb"), ("\x1b[31m", r"\\x1b\[31m"), ("a\x85", r"a\\x85")))
def test_names_that_cannot_be_printed(tmp_path, name, shown):
    path = saved(tmp_path, sequence())
    with by_hand(path) as file:
        file.move("nodes/pool", f"nodes/{name}")
        for member in ("names", "edges"):
            texts = file[member].asstr()[()]
            del file[member]
            file[member] = np.where(texts == "pool", name, texts).astype(object)
    refuses(path, f"'{shown}' is no name for a node: expected text without '/' and control characters")


def test_steps_of_check_must_agree(tmp_path):
    path = saved(tmp_path, events())
    counts = np.zeros((1, 3, 7), int)
    counts[:, :, 3] = 6
    refuses(change(path, check__level_counts__signed=counts), r"expected integers of shape \(1, 4, 7\)")


# ---- damaged files

def test_truncated_files(tmp_path):
    path = saved(tmp_path)
    content = path.read_bytes()
    for length in [0, 1, 7, 8, 9, 48, 96, *range(100, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:length])
        refuses(path, "empty, expected|not an HDF5 file|damaged, truncated or unreadable")


def test_flipped_bits(tmp_path):
    """What loads all the same is what was saved."""
    path = saved(tmp_path)
    content, expected = path.read_bytes(), formats.load(path)
    rng = np.random.default_rng(3)
    places = list(range(0, 800, 8)) + rng.integers(0, len(content) * 8, 200).tolist()
    n_loaded = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << (place + place // 8) % 8
        path.write_bytes(flipped)
        model = loaded_or_refused(path)
        if model is not None:
            assert_same_model(model, expected)
            n_loaded += 1
    assert n_loaded < len(places)


def test_failing_reads_are_reported(tmp_path):
    """A gzip chunk whose content was overwritten."""
    nodes = {"in": Input((4000,)), "d": Dense(weights(2, 4000)), "n": Neuron()}
    path = saved(tmp_path, Model(nodes, [("in", "d"), ("d", "n")]))
    with h5py.File(path) as file:
        chunk = file["nodes/d/weight"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 20:chunk.byte_offset + 60] = bytes(40)
    path.write_bytes(content)
    refuses(path, "node 'd' .Dense.: 'weight' cannot be read, the file is damaged")


def test_a_member_that_is_listed_but_not_found(tmp_path, monkeypatch):
    """h5py gives None for a damaged index of names; flipped bits came upon it."""
    path = saved(tmp_path)
    monkeypatch.setattr(h5py.Group, "get", lambda *args, **options: None)
    monkeypatch.setattr(hdf5, "_opened", lambda *args: None)
    refuses(path, "'format' cannot be found, the file is damaged")


def test_a_name_that_is_not_unicode(tmp_path):
    path = saved(tmp_path)
    with by_hand(path) as file:
        file.create_group(b"\xff\xfe")
    refuses(path, r"the name of member b'\\xff\\xfe' is not UTF-8")


# ---- hostile files

@pytest.mark.parametrize("link, what", [
    (h5py.ExternalLink("other.h5", "/x"), "an external link to '/x'"),
    (h5py.SoftLink("/nodes/dense/bias"), "a soft link to '/nodes/dense/bias'"),
    (h5py.SoftLink("/nowhere"), "a soft link to '/nowhere'"),
])
@pytest.mark.parametrize("place", ["nodes/conv2/bias", "nodes/dense", "check", "format"])
def test_links_are_not_followed(tmp_path, link, what, place):
    path = change(saved(tmp_path), **{place: link})
    refuses(path, f"'{place.split('/')[-1]}' is {what}, which is not followed")


def create(path, name, *args, **options):
    with by_hand(path) as file:
        if name in file:
            del file[name]
        return file.create_dataset(name, *args, **options).id.get_storage_size()


def test_storage_outside_the_file(tmp_path):
    (tmp_path / "secret.bin").write_bytes(bytes(160))
    path = saved(tmp_path)
    create(path, "nodes/dense/weight", (5, 4), "f8", external=[(str(tmp_path / "secret.bin"), 0, 160)])
    refuses(path, "'weight' keeps its data in another file, which is not followed")
    path = saved(tmp_path)
    layout = h5py.VirtualLayout((5, 4), "f8")
    layout[...] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (5, 4))
    with by_hand(path) as file:
        del file["nodes/dense/weight"]
        file.create_virtual_dataset("nodes/dense/weight", layout)
    refuses(path, "'weight' is a virtual dataset, which is not followed")


def test_absurd_sizes(tmp_path):
    for options in (dict(), dict(chunks=(1024, 1024)), dict(chunks=(1024, 1024), compression="gzip")):
        path = saved(tmp_path)
        create(path, "nodes/dense/weight", (1 << 20, 1 << 20), "f8", **options)
        refuses(path, r"'weight' has shape \(1048576, 1048576\), 8796093022208 bytes, but the file holds 0")
    path = saved(tmp_path)
    create(path, "nodes/dense/weight", (5, 4), "f8", maxshape=(None, None), chunks=(1 << 12, 1 << 12),
           compression="gzip", data=np.ones((5, 4)))
    refuses(path, "'weight' has chunks of 134217728 bytes for 160 bytes of data")
    path = saved(tmp_path)
    create(path, "nodes/dense/weight", (5, 4), "f8", data=np.ones((5, 4)), scaleoffset=3, chunks=True)
    refuses(path, "'weight' is packed with HDF5 filter 6, expected gzip, shuffle, fletcher32, lzf")


def test_one_dataset_linked_many_times(tmp_path):
    """Hard links let a small file name the same data again and again."""
    path = saved(tmp_path, events())
    with by_hand(path) as file:
        counts = file["check/level_counts"]
        counts.create_dataset("big", data=np.zeros((1, 1 << 15, 100), np.int64), compression="gzip")
        for i in range(60):
            counts[f"big{i}"] = counts["big"]
    refuses(path, "the file declares more data than its [0-9]+ bytes can hold")


def test_limits_of_text(tmp_path, monkeypatch):
    path = saved(tmp_path)
    with by_hand(path):
        pass  # without checksums, which are more texts
    monkeypatch.setattr(hdf5, "MAX_TEXT_BYTES", 100)
    refuses(path, "'edges' holds more than 100 bytes of text|'names' holds more than 100 bytes")
    monkeypatch.setattr(hdf5, "MAX_TEXTS", 10)
    refuses(path, "'names' holds 14 strings, expected at most 10")


def test_groups_and_datasets_are_told_apart(tmp_path):
    refuses(change(saved(tmp_path), check=1), "'check' is a dataset, expected a group")
    path = saved(tmp_path)
    with by_hand(path) as file:
        del file["timesteps"]
        file.create_group("timesteps")
    refuses(path, "'timesteps' is a group, expected a dataset")


def test_a_datatype_is_neither_group_nor_dataset(tmp_path):
    path = saved(tmp_path)
    with by_hand(path) as file:
        del file["timesteps"], file["check"]
        file["timesteps"] = np.dtype("f8")
        file["check"] = np.dtype("f8")
    refuses(path, "'timesteps' is a named datatype, expected a dataset")
    with by_hand(path) as file:
        del file["timesteps"]
        file["timesteps"] = 3
    refuses(path, "'check' is a named datatype, expected a group")


# ---- what is no model file

def test_no_model_file(tmp_path):
    path = tmp_path / "net.h5"
    refuses(path, "cannot be read .No such file or directory")
    refuses(tmp_path, "cannot be read .Is a directory")
    for content, message in [
        (b"", "the file is empty, expected an HDF5 file"),
        (b"hello", "not an HDF5 file$"),
        (b"PK\3\4 and more", "not an HDF5 file; it seems to be a zip archive"),
        (b"\x80\x04 and more", "it seems to be a Python pickle, which is a program and never loaded"),
        (b"\x1f\x8b and more", "it seems to be packed with gzip"),
        (b"\x93NUMPY and more", "it seems to be a NumPy array"),
    ]:
        path.write_bytes(content)
        refuses(path, message)
    with pytest.raises(FormatError, match="cannot be read .embedded null byte"):
        formats.load("a\0b.h5")


def test_formats_of_other_tools(tmp_path):
    path = tmp_path / "net.nir"
    with h5py.File(path, "w") as file:
        file["node/type"] = "NIRGraph"
    refuses(path, "the graph: .nodes. is missing")
    with h5py.File(path, "w") as file:
        file["x"] = 1
    refuses(path, r"not a model file: 'format' is not 'eventsim model'; the file holds \['x'\]")


# ---- saving

def cannot_save(model, path, message):
    before = sorted(path.parent.iterdir()) if path.parent.is_dir() else None
    with pytest.raises(FormatError, match=message) as caught:
        formats.save(model, path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    if before is not None:
        assert sorted(path.parent.iterdir()) == before


def test_a_failed_save_leaves_nothing(tmp_path):
    path = tmp_path / "net.h5"
    model = sequence()
    cannot_save(model, tmp_path / "net.pt", "suffix is '.pt', expected one of .h5, .hdf5")
    cannot_save(model, tmp_path / "net", "suffix is '', expected one of")
    cannot_save(model, tmp_path / "absent" / "net.h5", "cannot be written .*No such file")
    (tmp_path / "folder.h5").mkdir()
    cannot_save(model, tmp_path / "folder.h5", "cannot be written .*directory")
    for text, message in [("a\0b", "holds a NUL"), ("\ud800", "is not valid Unicode")]:
        model.provenance = {"source": text}
        cannot_save(model, path, f"cannot be written: .* in 'provenance' {message}")
    model = sequence()
    model.check.x = model.check.x[:, :1]
    cannot_save(model, path, "cannot be written: check: x has shape")
    model = sequence()
    model.nodes["a\0b"] = Neuron()
    cannot_save(model, path, "cannot be written")
    model = sequence()
    model.check.x = model.check.x.astype(object)
    cannot_save(model, path, "check: x is object of shape")


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = saved(tmp_path)
    content = path.read_bytes()

    def full(*args, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(native, "_write_check", full)
    cannot_save(images(), path, "cannot be written .No space left on device")
    assert path.read_bytes() == content

    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(native, "_write_check", interrupt)
    with pytest.raises(KeyboardInterrupt):
        formats.save(images(), path)
    assert [f.name for f in tmp_path.iterdir()] == ["net.h5"] and path.read_bytes() == content


def test_file_mode_follows_the_umask(tmp_path):
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert saved(tmp_path).stat().st_mode == plain.stat().st_mode


def test_errors_of_another_class(tmp_path):
    """open_hdf5 serves data files as well, with their own error."""
    class Other(EventsimError):
        pass

    with pytest.raises(Other, match="'nothing' is missing"):
        with open_hdf5(saved(tmp_path), Other) as root:
            root.numbers("nothing")
    with pytest.raises(Other, match=r"cannot be read \(No such file or directory\)"):
        with open_hdf5(tmp_path / "absent.h5", Other):
            pass


# ---- checksums


def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path):
    """At seeded positions all over the file."""
    path, content = tmp_path / "flipped.h5", Path(MODEL).read_bytes()
    expected, errors = formats.load(MODEL), []
    for position in np.random.default_rng(12).integers(0, 8 * len(content), 30):
        damaged = bytearray(content)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            assert_same_model(formats.load(path), expected)
        except FormatError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            errors.append(str(error))
    assert len(errors) > 15


def test_another_weight_than_was_saved_names_file_and_node(tmp_path):
    path = saved(tmp_path)
    with h5py.File(path, "r+") as file:
        file["nodes/conv2/weight"][0, 0, 0, 0] += 1
    refuses(path, r"node 'conv2' \(Conv2d\): damaged: its checksum is \w{8}, expected \w{8}")


def test_checksums_are_computed_as_the_specification_says(tmp_path):
    """By another writer, who knows no more than it."""
    with h5py.File(saved(tmp_path)) as file:
        parts, paths = {}, []
        file.visititems(lambda path, item: paths.append(path) if isinstance(item, h5py.Dataset) else None)
        for path in sorted(set(paths) - {"checksums"}, key=str.encode):
            values = file[path][()]
            if h5py.check_string_dtype(file[path].dtype):
                kind, content = "text", b"".join(bytes(text) + b"\0" for text in np.ravel(values))
            else:
                kind, content = np.dtype(values.dtype).str[1:], np.asarray(values).tobytes()
            shape = ",".join(map(str, np.shape(values))) or "-"
            line = f"{path} {kind} {shape} {hashlib.sha256(content).hexdigest()}\n"
            names = path.split("/")
            part = "/".join(names[:2]) if names[0] == "nodes" else "check" if names[0] == "check" else "model"
            parts[part] = parts.get(part, "") + line
        assert dict(file["checksums"].asstr()[()].tolist()) == {
            part: hashlib.sha256(text.encode()).hexdigest() for part, text in parts.items()}


def test_a_scale_of_real_inputs_that_was_never_used_is_still_read(tmp_path):
    """0.1.0 took it; `Input` refuses it now."""
    path = tmp_path / "real.h5"
    model = Model({"in": Input((4,), "real"), "n": Neuron()}, [("in", "n")])
    eventsim.save(model, path)
    with h5py.File(path, "r+") as file:
        del file["checksums"]
        del file["version"]
        file["version"] = 1
        file["nodes/in/scale"][...] = 0.5
    assert eventsim.load(path).nodes["in"].scale == 1.0
