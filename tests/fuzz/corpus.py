"""Seeds: small valid files of every format, made by the writers of the tests."""

import gzip
import os
import struct
import tempfile
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, Tuple
from unittest import mock

import event_files as recordings
import h5py
import lava_arithmetic
import lava_layers
import nir_files
import numpy as np
import recorded_traces
from networks import chip_models, every_node_models, random_run
from small_networks import small_networks

from eventsim.engine.simulator import Simulator
from eventsim.formats import save
from eventsim.model.chip import chip_names, find_chip
from eventsim.costs.energy_table import energy_table_names, find_energy_table
from eventsim.model.check import Check
from eventsim.model.network import Model
from eventsim.runs import summary
from eventsim.runs.file import save_run
from fuzz.damage import TREE_OF, remember

MOST_BYTES = 200_000  # of a seed
SHARED_MEMORY = Path("/dev/shm")
ALL = ("spikes", "currents", "potentials", "residuals", "outputs")


class Seed(NamedTuple):
    """A valid file. name: with its suffix. opened: what is opened, the file itself or a folder around it.
    beside: other files of that folder."""

    family: str
    name: str
    content: bytes
    opened: str
    beside: Tuple[Tuple[str, bytes], ...] = ()

    @property
    def suffix(self) -> str:
        """Of the file."""
        return Path(self.name).suffix


@lru_cache(maxsize=None)
def seeds(family) -> Tuple[Seed, ...]:
    """The seeds of a family, in the order of their names."""
    with folder_in_memory() as name:
        WRITERS[family](Path(name))
        found = tuple(seed for seed in _in_folder(family, Path(name)) if len(seed.content) <= MOST_BYTES)
    for seed in found:
        if TREE_OF.get(seed.suffix) == "hdf5":
            remember(seed.content)
    return found


def folder_in_memory():
    """A temporary folder; on a disk, making and removing one can take a second."""
    return tempfile.TemporaryDirectory(
        prefix="eventsim-fuzz-", dir=SHARED_MEMORY if os.access(SHARED_MEMORY, os.W_OK) else None)


def _in_folder(family, folder):
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield Seed(family, path.name, path.read_bytes(), path.name)
            continue
        files = sorted(each for each in path.rglob("*") if each.is_file())
        for file in files:
            beside = tuple((str(each.relative_to(folder)), each.read_bytes()) for each in files if each != file)
            opened = path.name if path.suffix != ".part" else f"{path.name}/{files[0].name}"
            yield Seed(family, str(file.relative_to(folder)), file.read_bytes(), opened, beside)


# ---- models


EXPRESSIBLE = ("neuron_hard", "readout_last_0", "readout_mean_0.6")  # networks in NIR
FEWER = 4  # of the named networks, one of so many


def _write_native(folder):
    named = {**every_node_models(), **small_networks(), **chip_models()}
    for i, (name, (model, _, *chip)) in enumerate(named.items()):
        if i % FEWER == 0 or chip:
            save(model, folder / f"{name}.h5")
    save(_with_everything(), folder / "everything.h5")
    (folder / "digits.h5").write_bytes((Path(__file__).parents[2] / "data" / "digits.h5").read_bytes())


def _with_everything():
    model, x = small_networks()["image"]
    run = Simulator(model, "float64").run(x)
    class_names = [f"class {i}" for i in range(run.output.shape[1])]
    return Model(model.nodes, model.edges, model.timesteps, class_names=class_names,
                 provenance={"made": "for a test"}, check=Check(x, run.output), chip=find_chip("loihi"))


def random_model_file(number) -> bytes:
    """A native file of a random network."""
    model, _, _ = random_run(number)
    with folder_in_memory() as folder:
        path = Path(folder) / "model.h5"
        save(model, path)
        return path.read_bytes()


def _write_nir(folder):
    for name, (model, _) in every_node_models().items():
        if name.startswith(EXPRESSIBLE):
            save(model, folder / f"{name}.nir")
    rng, lif, chain = np.random.default_rng(0), nir_files.lif, nir_files.chain
    affine = {"type": "Affine", "weight": rng.normal(0, 1, (3, 4)), "bias": np.zeros(3)}
    for kind in ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"):
        network = chain([4], affine, lif(3, kind), out=[3])
        nir_files.write(folder / f"by_hand_{kind}.nir", *network, metadata={"dt": 1e-4})
    maps = chain([2, 6, 6], nir_files.conv(rng.normal(0, 1, (3, 2, 3, 3)), input_shape=np.array([6, 6])),
                 {"type": "IF", "r": np.ones((3, 4, 4)), "v_threshold": np.ones((3, 4, 4))},
                 {"type": "SumPool2d", "kernel_size": np.array([2, 2]), "stride": np.array([2, 2]),
                  "padding": np.array([0, 0])},
                 {"type": "Flatten", "start_dim": 0, "end_dim": -1}, out=[12])
    nir_files.write(folder / "by_hand_maps.nir", *maps, gzip=True)
    line = chain([2, 9], nir_files.conv(rng.normal(0, 1, (3, 2, 3)), input_shape=np.array(9)), lif((3, 7), "IF"),
                 {"type": "Flatten", "start_dim": 0, "end_dim": -1}, out=[21])
    nir_files.write(folder / "by_hand_line.nir", *line)
    others = chain([2, 6, 6], {"type": "Scale", "scale": np.full((2, 6, 6), 0.5)},
                   {"type": "AvgPool2d", "kernel_size": np.array([2, 2]), "stride": np.array([2, 2]),
                    "padding": np.array([0, 0])}, lif((2, 3, 3), "IF"),
                   {"type": "Delay", "delay": np.full((2, 3, 3), 1e-3)},
                   {"type": "Flatten", "start_dim": 0, "end_dim": -1},
                   {"type": "Linear", "weight": np.ones((2, 18))},
                   {"type": "Threshold", "threshold": np.ones(2)}, out=[2])
    nir_files.write(folder / "by_hand_others.nir", *others)
    nodes, edges = chain([3], lif(3))
    loop = {"type": "Linear", "weight": rng.normal(0, 1, (3, 3))}
    nir_files.write(folder / "by_hand_loop.nir", {**nodes, "back": loop}, [*edges, ("n0", "back"), ("back", "n0")])
    inner = dict(zip(("nodes", "edges"), chain([3], lif(3))))
    nir_files.write(folder / "by_hand_nested.nir", *chain([3], {"type": "NIRGraph", **inner}))


def _write_lava(folder):
    for make in (lava_layers.maps, lava_layers.rows, lava_layers.grouped):
        for seed in range(4):
            rule = ("CUBA", "SDNN")[seed % 2]
            path = folder / f"{make.__name__}{seed}.net"
            texts = ("fixed", "object")[seed // 2]
            lava_arithmetic.write(path, make(seed, rule), texts, steps=5 if seed else None)


# ---- recordings and data


def _write_events(folder):
    events = recordings.made_events(60, 20, 10)
    with_rows = recordings.structured(events)
    recordings.write_recording(folder / "nmnist.bin", events["x"], events["y"], events["p"], events["t"] - 1000)
    recordings.write_aedat2(folder / "two.aedat", events)
    recordings.write_aedat3(folder / "three.aedat", recordings.aedat3_packet(events),
                            recordings.aedat3_packet(events, kind=0), recordings.aedat3_packet(events, turns=1))
    recordings.write_dat(folder / "two.dat", events)
    recordings.write_dat(folder / "one.dat", events, version=1, lines=b"")
    recordings.write_evt2(folder / "two.raw", events)
    np.save(folder / "rows.npy", with_rows)
    np.savez(folder / "rows.npz", events=with_rows)
    np.savez_compressed(folder / "columns.npz", **events)
    lines = ["t,x,y,p", *(",".join(str(events[key][i]) for key in "txyp") for i in range(60))]
    (folder / "named.csv").write_text("\n".join(lines) + "\n")
    (folder / "plain.txt").write_text("\n".join(line.replace(",", " ") for line in lines[1:]) + "\n")
    for name, place in (("top", ""), ("dsec", "events/"), ("prophesee", "CD/events")):
        with h5py.File(folder / f"{name}.h5", "w") as file:
            if name == "prophesee":
                file[place] = with_rows
            else:
                for key in "txyp":
                    file[place + key] = events[key]
    recordings.write_shd(folder / "shd.h5", [(events["t"] / 1e6, events["x"])] * 3, [0, 1, 0], ["one", "two"])
    recordings.write_nmnist(folder / "classes")
    trial = (events, [(1, 1000, 2000), (2, 2000, 2500)])
    recordings.write_gestures(folder / "gestures", {"user01": trial})


def _idx(array):
    head = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def _write_data(folder):
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 256, (5, 1, 5, 4), np.uint8), rng.integers(0, 10, 5)
    with h5py.File(folder / "still.h5", "w") as file:
        file["x"], file["y"] = x, y
    with h5py.File(folder / "steps.h5", "w") as file:
        file.create_dataset("x", data=np.stack([x, x], 1), compression="gzip", chunks=(2, 1, 1, 5, 4))
    np.savez(folder / "plain.npz", x=x, y=y)
    np.savez_compressed(folder / "packed.npz", x=x.astype(np.float32), y=y.astype(np.uint8))
    np.save(folder / "alone.npy", x)
    for name, pack, suffix in (("mnist.part", bytes, ""), ("packed.part", partial(gzip.compress, mtime=0), ".gz")):
        (folder / name).mkdir()
        (folder / name / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(_idx(x[:, 0])))
        (folder / name / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(_idx(y.astype(np.uint8))))
    (folder / "cifar.bin").write_bytes(rng.integers(0, 10, (3, 3073), np.uint8).tobytes())


# ---- what runs write, traces, chips and energy tables


MADE = summary.Made("0.1", "3.11", "2.0", "0.60", "a processor", "2026-01-01T00:00:00+00:00", "eventsim run")


def _write_runs(folder):
    with mock.patch.object(summary, "_made", lambda command: MADE):  # the same files everywhere
        _write_run_files(folder)


def _write_run_files(folder):
    models = every_node_models()
    for name in ("image_model", "recurrent_model", "changes_model", "neuron_srif", "readout_last_0.6"):
        model, x = models[name]
        for precision in ("float32", "int8"):
            record = ALL if name.startswith("readout") else ("spikes", "statistics", "membranes")
            run = replace(Simulator(model, precision).run(x, record=record), seconds=0.25)
            save_run(run, folder / f"{name}_{precision}.h5", np.arange(len(x)) % run.output.shape[1])


def _write_traces(folder):
    arrays, _ = recorded_traces.recorded(n=1)
    few = {name: array for name, array in arrays.items() if not name.startswith("n1")}
    recorded_traces.save(folder / "trace.npz", few)
    recorded_traces.save(folder / "trace.h5", few)
    recorded_traces.save(folder / "doubles.npz", {name: a.astype(np.float64) for name, a in few.items()})


def _write_json(folder):
    for name in chip_names():
        (folder / f"chip_{name}.json").write_text(find_chip(name).as_json())
    for name in energy_table_names():
        (folder / f"energy_{name}.json").write_text(find_energy_table(name).as_json())


WRITERS = {"native": _write_native, "nir": _write_nir, "lava": _write_lava, "events": _write_events,
           "data": _write_data, "runs": _write_runs, "traces": _write_traces, "json": _write_json}
