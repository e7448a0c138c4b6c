"""Digests: everything that two versions of eventsim compute, compared to the bit.

PYTHONPATH decides which eventsim is looked at; the old and the new one read the same files:

    export PYTHONPATH=OLD
    python digests.py networks FOLDER --tests OLD/tests   # once: random networks and their inputs
    python digests.py write FOLDER old.json
    export PYTHONPATH=NEW
    python digests.py write FOLDER new.json
    python digests.py compare old.json new.json           # exit status 1 where anything differs

`write` runs the models in data/ on their data sets and their check samples, the oracles, and the networks
in FOLDER, in every precision that they have. It keeps one SHA-256 for each dataset of the run files (output,
predictions, counts, planes of spikes, traces, statistics) and for levels, audits and summaries, as
{case: {precision: {quantity: digest}}}. Where eventsim refuses a case, the kind of the error stands there.
Data sets and oracles that are not in --shared are left out, and said.
"""

import argparse
import hashlib
import inspect
import io
import json
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Optional

import h5py
import numpy as np

import eventsim
from eventsim import EventsimError, Simulator
from eventsim.cli import main as main_of_eventsim

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = ("float32", "float64", "int8")
INTEGERS = ("int8", "fixed")
TRACES = ("currents", "potentials", "residuals")
GATHERED = ("statistics", "intervals", "membranes")
RECORDS = {  # prefix of the quantities -> what is recorded; without traces, kernels take shorter ways
    "": ("spikes", *TRACES, "outputs", *GATHERED),
    "untraced/": ("spikes", "outputs", "statistics"),
}
NOT_RESULTS = ("version", "y")  # numbers of a run file that eventsim did not compute
SUMMARY = ("samples", "timesteps", "accuracy", "totals", "layers", "energy", "audit", "conventions",
           "dropped_events", "precision")
SAMPLES = {"digits": 64, "mnist": 64, "nmnist": 16, "cifar10": 8, "cifar10_multibit": 8}  # of the data set
SAMPLES_TRACED = 2  # of the check group, with all traces
DATASETS = {"digits": "digits_test.h5", "mnist": "mnist/t10k-images-idx3-ubyte.gz", "nmnist": "n-mnist/Test",
            "cifar10": "cifar-10-batches-bin", "cifar10_multibit": "cifar-10-batches-bin"}
N_RANDOM, N_ON_CHIPS, N_OWN_CHIPS = 140, 54, 3  # networks; the last in pairs
BY_COMMAND = 10  # one network in so many is also run by the command
LEAST = {"real": 15, "recurrent": 20, "SigmaDelta": 20, "Restimulation": 10, "int8": 100, "chip": 40}
SLOW = 5  # seconds of a case that `write` mentions
MOST_REFUSED = 3  # cases: a command may refuse what a recording took, such as data of one axis
LEAST_ALIVE = 0.6  # share of runs whose neurons send events


# ---------------------------------------------------------------- what the two versions call differently

CHIP = "chip" if "chip" in inspect.signature(Simulator).parameters else "profile"


def simulator(model, precision, chip=None):
    """A Simulator, on the chip in a JSON file or on the model's own."""
    return Simulator(model, precision, **({} if chip is None else {CHIP: chip}))


def save_run(recording, path):
    """Write a recording to a run file."""
    if hasattr(eventsim, "save_run"):
        eventsim.save_run(recording, path)
    else:
        recording.save(path)


# ---------------------------------------------------------------- digests


def digest(values) -> str:
    """SHA-256 of an array's type, shape and bytes, or of anything that JSON holds."""
    if not isinstance(values, np.ndarray):
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    head = f"{values.dtype.str} {values.shape} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(values).tobytes()).hexdigest()


def of_file(path) -> Dict[str, str]:
    """Digests of all numbers in a run file, their attributes, and the order of the layers."""
    found = {}

    def visit(name, item):
        if not isinstance(item, h5py.Dataset) or name in NOT_RESULTS:
            return
        if item.dtype.kind in "biuf":
            found[name] = digest(np.asarray(item[()]))
        for key in item.attrs:
            found[f"{name} {key}"] = digest(np.asarray(item.attrs[key]).tolist())

    with h5py.File(path) as file:
        file.visititems(visit)
        found["layers"] = digest(json.loads(file["layers"][()]))
    return found


def of_run(path) -> Dict[str, str]:
    """Digests of what `open_run` reads of a run file."""
    with eventsim.open_run(path) as run:
        found = {f"levels/{name}": digest(run.spikes(name).levels()) for name in run.recorded.get("spikes", ())}
        return {**found, "totals": digest(run.counts.totals())}


def of_audit(audit) -> Dict[str, str]:
    """Digests of a Recording's audit, or nothing."""
    return {
        f"audit/{name}": digest({
            **{quantity: (range_.lowest, range_.highest, range_.overflows)
               for quantity, range_ in layer.ranges.items()},
            "weights": (layer.n_weights, layer.n_zeroed, layer.n_clipped),
        })
        for name, layer in (audit or {}).items()
    }


def of_summary(path) -> Dict[str, str]:
    """Digests of the parts of a command's summary that do not depend on time and place."""
    with h5py.File(path) as file:
        summary = json.loads(file["summary"][()])
    return {f"summary/{key}": digest(summary[key]) for key in SUMMARY if key in summary}


def n_events(path) -> int:
    """Events of all layers of a run file behind its input."""
    with h5py.File(path) as file:
        layers = json.loads(file["layers"][()])[1:]
        return sum(int(file[f"counts/{name}/events"][()].sum()) for name in layers)


# ---------------------------------------------------------------- running


@dataclass
class Case:
    """One model file with samples x (N, ...), as `Simulator.run` takes them with `timesteps`.

    options: of loading. chip: path of a chip's JSON file, or None. precisions: that are tried.
    """

    path: Path
    x: np.ndarray
    timesteps: Optional[int] = None
    options: Dict = field(default_factory=dict)
    chip: Optional[str] = None
    precisions: tuple = PRECISIONS


@dataclass
class Command:
    """One model file on a data set, as the command runs them, with further `arguments`; chip as in Case."""

    path: Path
    data: Path
    arguments: tuple = ()
    chip: Optional[str] = None
    precisions: tuple = PRECISIONS


class Digests:
    """digests: {case: {precision: {quantity: digest}}}. events: {case: {precision: events of neurons}}."""

    def __init__(self, folder):
        self.folder = Path(folder)  # for run files
        self.digests, self.events = {}, {}

    def add(self, name, case):
        """Run a Case or a Command in each of its precisions."""
        if name in self.digests:
            raise SystemExit(f"two cases are called {name!r}")
        run = self._run if isinstance(case, Case) else self._command
        self.digests[name], self.events[name] = {}, {}
        for precision in case.precisions:
            path = self.folder / "run.h5"
            path.unlink(missing_ok=True)
            self.digests[name][precision] = run(case, precision, path)
            if path.exists():
                self.events[name][precision] = n_events(path)

    def _run(self, case, precision, path):
        found = {}
        try:
            model = eventsim.load(case.path, **case.options)
            engine = simulator(model, precision, case.chip if precision == "fixed" else None)
            for prefix, record in RECORDS.items():
                record += ("audit",) * (precision in INTEGERS)
                recording = engine.run(case.x, case.timesteps, record)
                save_run(recording, path)
                quantities = {**of_file(path), **of_run(path), **of_audit(recording.audit)}
                found.update((prefix + quantity, value) for quantity, value in quantities.items())
        except EventsimError as error:
            found["refused"] = type(error).__name__
        return found

    def _command(self, command, precision, path):
        arguments = [command.path, command.data, *command.arguments, "--precision", precision, "--out", path,
                     "--record", "spikes", "--record", "outputs", *["--audit"] * (precision in INTEGERS)]
        if precision == "fixed" and command.chip is not None:
            arguments += [f"--{CHIP}", command.chip]
        status, error = eventsim_run(arguments)
        if status == 1:
            return {"refused": "by the command"}
        if status:
            raise SystemExit(f"eventsim run {' '.join(map(str, arguments))}: exit status {status}\n{error}")
        return {**of_file(path), **of_run(path), **of_summary(path)}

    def check(self):
        """Exit with a message where the runs are too few or too silent to show anything."""
        refused = [name for name, precisions in self.digests.items()
                   if not any(len(found) > 10 for found in precisions.values()) and "invalid" not in name]
        if len(refused) > MOST_REFUSED:
            raise SystemExit(f"{', '.join(refused)}: refused in every precision")
        events = [n for precisions in self.events.values() for n in precisions.values()]
        alive = sum(n > 0 for n in events)
        if not events or alive < LEAST_ALIVE * len(events):
            raise SystemExit(f"only {alive} of {len(events)} runs have neurons that send events")
        print(f"{len(self.digests)} cases, {len(events)} runs, {alive} with events of neurons, "
              f"{n_quantities(self.digests)} digests")

    def write(self, path):
        """Write everything as JSON."""
        found = {"eventsim": eventsim.__file__, "digests": self.digests, "events": self.events}
        Path(path).write_text(json.dumps(found, indent=0) + "\n")


def eventsim_run(arguments):
    """(exit status, standard error) of `python -m eventsim run`, in this process, which has the kernels loaded."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        status = main_of_eventsim(["run", *map(str, arguments)])
    return status, error.getvalue()


def n_quantities(digests):
    """How many digests there are."""
    return sum(len(found) for precisions in digests.values() for found in precisions.values())


# ---------------------------------------------------------------- cases: models, oracles, networks


def model_cases(data, shared):
    """Every model in data/, on its check samples with all traces, and on its data set by the command."""
    for path in sorted(data.glob("*.h5")):
        if path.stem not in DATASETS:
            continue
        yield f"{path.stem} check", Case(path, eventsim.load(path).check.x[:SAMPLES_TRACED])
        near, far = data / DATASETS[path.stem], shared / "datasets" / DATASETS[path.stem]
        dataset = near if near.exists() else far
        if present(dataset):
            yield f"{path.stem} command", Command(path, dataset, ("--limit", SAMPLES[path.stem], "--conventions"))


def oracle_cases(shared):
    """The oracles that are model files, with their inputs. `FOLDER` has the one that is arrays."""
    if present(shared / "oracles" / "lava"):
        yield from lava_cases(shared / "oracles" / "lava")
    if present(shared / "oracles" / "nir"):
        yield from nir_cases(shared / "oracles" / "nir", shared / "datasets" / "n-mnist" / "Test")


def lava_cases(folder):
    """pilotnet and tinynet, with the periodic reset of the recordings and without."""
    image = np.load(folder / "pilotnet_lif" / "image.npy").transpose()[None]
    bias = np.load(folder / "tinynet" / "input_bias.npy").transpose().astype(int)[None]
    precisions = ("fixed", *PRECISIONS)
    for reset in (17, None):
        options = {"reset_interval": reset, "input_is_bias": True}
        yield f"pilotnet reset {reset}", Case(folder / "pilotnet_lif" / "network.net", image, 24, options,
                                              precisions=precisions)
        yield f"tinynet reset {reset}", Case(folder / "tinynet" / "tiny.net", bias, 17, options,
                                             precisions=precisions)


def nir_cases(folder, recordings):
    """NIR files under the presets that the oracles were made with, and one by the command."""
    rng = np.random.default_rng(0)
    cnn, braille = folder / "cnn_sinabs.nir", folder / "braille_noDelay_bias_zero.nir"
    with np.load(folder / "cnn_sinabs_expected.npz") as expected:
        shape = tuple(expected["input_shape"])
        x = np.unpackbits(expected["input"])[: np.prod(shape)].reshape(1, *shape)
    for preset in ("sinabs", "norse"):
        yield f"cnn {preset}", Case(cnn, x[:, :60], options={"preset": preset})
    with np.load(folder / "braille_noDelay_bias_zero_expected.npz") as expected:
        x = expected["input"][None]
    for preset in ("norse", "snntorch"):
        yield f"braille {preset}", Case(braille, x, options={"preset": preset, "dt": 1e-4})
    yield "braille late", Case(braille, x, options={"dt": 1e-4, "recurrent_bias": 0})
    for preset in ("norse", "snntorch", "sinabs"):
        x = np.loadtxt(folder / f"lif_{preset}.csv", delimiter=",")[:, 0]
        options = {"preset": preset, "dt": 1e-4, "encoding": "real"}
        yield f"lif {preset}", Case(folder / "lif_norse.nir", x[None, :, None], options=options)
    for name, options in (("two_lif_neurons", {}), ("lif_rockpool", {"dt": 1e-4})):
        model = eventsim.load(folder / f"{name}.nir", **options)
        x = (rng.random((2, 200, *model.shapes[model.input])) < 0.3).astype(int)
        yield name, Case(folder / f"{name}.nir", x, options=options)
    yield "invalid_dangling_edges", Case(folder / "invalid_dangling_edges.nir", np.zeros((1, 1, 1)))
    if present(recordings):
        yield "cnn command", Command(cnn, recordings, ("--preset", "sinabs", "--timesteps", 60, "--limit", 2))


def network_cases(folder):
    """The networks that `networks` wrote, some of them also by the command."""
    known = json.loads((folder / "networks.json").read_text())
    for i, (name, told) in enumerate(known.items()):
        path, data = folder / f"{name}.h5", folder / f"{name}.npz"
        chip = None if told["chip"] is None else str(folder.resolve() / told["chip"])
        precisions = PRECISIONS if chip is None else (*PRECISIONS, "fixed")
        with np.load(data) as arrays:
            x = arrays["x"]
        yield name, Case(path, x, told["timesteps"], chip=chip, precisions=precisions)
        if i % BY_COMMAND == 0:
            steps = () if told["timesteps"] is None else ("--timesteps", told["timesteps"])
            precision = "fixed" if chip else ("float32", "float64", "int8")[i // BY_COMMAND % 3]
            yield f"{name} command", Command(path.resolve(), data.resolve(), steps, chip, (precision,))


def present(path):
    """Whether a file or folder is there; says so where it is not."""
    if not path.exists():
        print(f"left out: no {path}", file=sys.stderr)
    return path.exists()


# ---------------------------------------------------------------- networks, from the old tests


def write_networks(folder, tests, shared):
    """Write the networks to a folder as native files, inputs (.npz), chips (.json) and networks.json."""
    sys.path.insert(0, str(tests))
    import networks as generators

    folder.mkdir(parents=True, exist_ok=True)
    known, kinds = {}, []
    for name, (model, x, timesteps, chip) in random_networks(generators):
        told = write_network(folder, name, model, x, timesteps, chip)
        kinds.append(kinds_of(model, folder / f"{name}.h5", chip))
        known[name] = told
    totals = {kind: sum(kind in each for each in kinds) for kind in LEAST}
    print(f"{len(known)} networks, of them " + ", ".join(f"{n} {kind}" for kind, n in totals.items()))
    for kind, least in LEAST.items():
        if totals[kind] < least:
            raise SystemExit(f"only {totals[kind]} networks with {kind}, expected {least}")
    if present(shared / "oracles" / "lava"):
        known["dense_ground_truth"] = write_network(folder, "dense_ground_truth", *dense_oracle(shared))
    (folder / "networks.json").write_text(json.dumps(known, indent=1) + "\n")


def random_networks(generators):
    """(name, (model, x, timesteps, chip)): networks that run, at random, on chips, in a chip's own integers."""
    def running(make, n):
        seed, found = 0, 0
        while found < n:
            drawn = make(seed)
            if runs(*drawn):
                yield f"{make.__name__.replace('random_', '')}{seed}", drawn
                found += 1
            seed += 1

    def random_plain_run(seed):
        return *generators.random_run(seed), None

    yield from running(random_plain_run, N_RANDOM)
    yield from running(generators.random_chip_run, N_ON_CHIPS)
    for seed in range(N_OWN_CHIPS):
        for name, (model, x, chip) in generators.chip_models(seed).items():
            yield f"{name}{seed}", (model, x, None, chip)


def runs(model, x, timesteps, chip):
    """Whether eventsim runs a network in the arithmetic that it was drawn for."""
    try:
        simulator(model, "float32" if chip is None else "fixed", chip).run(x, timesteps)
    except EventsimError:
        return False
    return True


def write_network(folder, name, model, x, timesteps, chip):
    """Write one network; returns its entry of networks.json."""
    eventsim.save(model, folder / f"{name}.h5")
    np.savez_compressed(folder / f"{name}.npz", x=x)
    file = None
    if chip is not None:
        file = f"{name}.json"
        (folder / file).write_text(chip.as_json())
    return {"timesteps": timesteps, "chip": file}


def kinds_of(model, path, chip):
    """The words of LEAST that hold for a network."""
    found = {node.kind for node in model.nodes.values()} | ({"chip"} if chip is not None else set())
    if model.nodes[model.input].encoding == "real":
        found.add("real")
    found |= {"recurrent"} if is_recurrent(model.edges) else set()
    try:
        simulator(eventsim.load(path), "int8")
        found.add("int8")
    except EventsimError:
        pass
    return found


def is_recurrent(edges):
    """Whether a path leads from a node back to itself: nodes without a source are removed until none is left."""
    left = {(edge[0], edge[1]) for edge in edges}
    while True:
        targets = {target for _, target in left}
        fewer = {(source, target) for source, target in left if source in targets}
        if fewer == left:
            return bool(left)
        left = fewer


def dense_oracle(shared):
    """(model, x, timesteps, chip) of the oracle that lava gives as arrays."""
    truth = np.load(shared / "oracles" / "lava" / "dense_ground_truth.npz")
    neuron = eventsim.Neuron(6, leak=1 - 415 / 4096, current_leak=0, reset="hard", comparison=">", resolution=64)
    nodes = {"input": eventsim.Input((200,)), "dense": eventsim.Dense(truth["weight"]), "neuron": neuron}
    model = eventsim.Model(nodes, [("input", "dense"), ("dense", "neuron", 1)])
    from eventsim.profiles import find  # `networks` runs with the old version only

    return model, truth["input"].transpose()[None].astype(int), None, find("loihi")


# ---------------------------------------------------------------- commands


def write(folder, path, data, shared):
    """Run every case and write the digests to `path`."""
    print(f"eventsim of {eventsim.__file__}, whose chips are given as {CHIP}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        digests = Digests(scratch)
        for what, cases in (("models", model_cases(data, shared)), ("oracles", oracle_cases(shared)),
                            ("networks", network_cases(folder))):
            began, n = time.perf_counter(), 0
            for n, (name, case) in enumerate(cases, 1):
                started = time.perf_counter()
                digests.add(name, case)
                if time.perf_counter() - started > SLOW:
                    print(f"  {name}: {time.perf_counter() - started:.0f} s", flush=True)
            print(f"{what}: {n} cases, {time.perf_counter() - began:.0f} s", flush=True)
            if not n and what != "oracles":
                raise SystemExit(f"no {what}")
    digests.check()
    digests.write(path)


def flat(digests):
    """{(case, precision, quantity): digest}."""
    return {(name, precision, quantity): value for name, precisions in digests.items()
            for precision, found in precisions.items() for quantity, value in found.items()}


def compare(old, new) -> int:
    """Print every difference between two files of `write`; returns the exit status. What only the new one
    has is counted, and named, but is no difference."""
    old, new = (json.loads(Path(path).read_text()) for path in (old, new))
    print(f"old: {old['eventsim']}\nnew: {new['eventsim']}")
    first, second = flat(old["digests"]), flat(new["digests"])
    if not first:
        raise SystemExit("the old file has no digests")
    missing, extra = sorted(first.keys() - second.keys()), sorted(second.keys() - first.keys())
    different = sorted(key for key in first.keys() & second.keys() if first[key] != second[key])
    for word, keys in (("differs", different), ("missing in new", missing), ("only in new", extra)):
        for key in keys:
            print(f"{word}: {' | '.join(key)}")
    n_silent = sum(n == 0 for precisions in old["events"].values() for n in precisions.values())
    n_runs = sum(len(precisions) for precisions in old["events"].values())
    print(f"{len(first)} digests of {len(old['digests'])} cases, {n_runs} runs ({n_silent} without events of "
          f"neurons): {len(first) - len(different) - len(missing)} equal, {len(different)} differ, "
          f"{len(missing)} missing in new, {len(extra)} only in new")
    return 1 if different or missing else 0


def parser():
    """The argument parser."""
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)
    networks = commands.add_parser("networks", help="write random networks and their inputs, with the old version")
    networks.add_argument("folder", type=Path)
    networks.add_argument("--tests", type=Path, required=True, help="tests/ of the old version")
    writing = commands.add_parser("write", help="run everything and write the digests")
    writing.add_argument("folder", type=Path)
    writing.add_argument("digests", type=Path)
    writing.add_argument("--data", type=Path, default=ROOT / "data", help="models (default: %(default)s)")
    for command in (networks, writing):
        command.add_argument("--shared", type=Path, default=ROOT.parent / "shared",
                             help="datasets/ and oracles/ (default: %(default)s)")
    comparing = commands.add_parser("compare", help="compare two files of digests")
    comparing.add_argument("old", type=Path)
    comparing.add_argument("new", type=Path)
    return top


def main(arguments=None) -> int:
    """Run the command line; returns the exit status."""
    given = parser().parse_args(arguments)
    if given.command == "networks":
        write_networks(given.folder, given.tests, given.shared.resolve())
    elif given.command == "write":
        write(given.folder, given.digests, given.data.resolve(), given.shared.resolve())
    else:
        return compare(given.old, given.new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
