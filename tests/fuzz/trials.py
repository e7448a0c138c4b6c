"""What is done with a file or a network, in the process that calls: `trial(case, folder)`.

Errors of eventsim's own are right. Everything else is a finding: a traceback, control characters or more than one
line of text, memory or time out of proportion, numbers that the reference does not have. Crashes and hangs end the
process, which is why `server` has children for it.
"""

import contextlib
import io
import resource
import shutil
import time
import traceback
import warnings
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
from networks import levels_for, random_chip_run, random_run, run_near_int32
from planted_changes import network
from reference_equality import ALL, assert_equal_to_reference

from eventsim import formats
from eventsim.cli import main
from eventsim.comparison.traces import open_trace
from eventsim.costs.energy_table import find_energy_table
from eventsim.engine.simulator import Simulator
from eventsim.errors import EventsimError, EventsimWarning
from eventsim.formats.nir.presets import PRESETS
from eventsim.inputs.dataset import open_dataset
from eventsim.inputs.event_files.opening import open_events
from eventsim.model.chip import find_chip
from eventsim.model.input import EventBins, Input
from eventsim.report.tables import tables
from eventsim.runs.file import open_run
from fuzz import cases
from fuzz.fence import Broken, fenced

# of the processor, and of memory, that reading may take; changes can make files of some hundred MB, which take
# longer
READ_SECONDS, READ_BYTES, LARGE = 3.0, 500 << 20, 64 << 20
SIMULATED_BYTES = 24 << 20  # memory_limit of what is run
COMPARED_SYNAPSES = 4000  # models beyond are not compared with the reference
COMMAND_EVERY, COMPARE_EVERY = 32, 16
PRECISIONS = ("float32", "int8", "float64")
STATUSES = (0, 1, 2, 3)
IMAGE = Input((1, 5, 4), "image", 8)
CIFAR = Input((3, 32, 32), "image", 8)
EVENTS = Input((2, 10, 20), bits=3, events=EventBins(1000, sensor_size=(10, 20)))
DIGITS = Input((2, 3, 4), bits=3, events=EventBins(10, sensor_size=(3, 4)))
DVS128 = Input((2, 128, 128), bits=3, events=EventBins(1000, sensor_size=(128, 128)))
COCHLEA = Input((700,), bits=3, events=EventBins(1000, polarities="one", sensor_size=(1, 700)))

INPUTS = {"classes": DIGITS, "shd.h5": COCHLEA, "gestures": DVS128, "two.aedat": DVS128, "three.aedat": DVS128}


class Outcome(NamedTuple):
    """What became of a case.

    stage: how far it came: "refused", "read", "run" or "compared". bucket: "" or what was found: "traceback",
    "text", "warning", "memory", "time", "fence", "differs"; of a child that died, "signal" or "hang". where: what
    tells findings apart. text: of the error, for people.
    """

    stage: str
    bucket: str = ""
    where: str = ""
    text: str = ""


class Finding(Exception):
    """Something that must not happen. bucket, where: as in Outcome."""

    def __init__(self, bucket, where, text=""):
        super().__init__(text)
        self.bucket, self.where = bucket, where


def trial(one: cases.Case, folder: Path) -> Outcome:
    """Do it; folder: an empty one for its files, empty again behind."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        outcome = _watched(one, folder)
    odd = [w for w in said if not issubclass(w.category, (EventsimWarning, ResourceWarning))]
    if odd and not outcome.bucket:
        where = f"{odd[0].category.__name__} at {_place(odd[0].filename)}:{odd[0].lineno}"
        return Outcome(outcome.stage, "warning", where, str(odd[0].message)[:300])
    return outcome


def _watched(one, folder):
    stage = Stage()
    try:
        if one.family == cases.NETWORKS:
            _compare_network(one.seed, stage)
        else:
            _read_file(one, folder, stage)
    except Finding as found:
        return Outcome(stage.name, found.bucket, found.where, str(found)[:300])
    except EventsimError as error:
        text = str(error)
        if "\n" in text.strip() or not text.strip():
            return Outcome(stage.name, "text", f"{type(error).__name__} of several lines", text[:300])
        return Outcome(stage.name, text=text[:300])
    except Broken as error:
        return Outcome(stage.name, "fence", stage.name, str(error))
    except AssertionError as error:
        return Outcome(stage.name, "differs", _first_line(error), str(error)[:300])
    except Exception as error:
        return Outcome(stage.name, "traceback", _where(error), str(error)[:300])
    return Outcome(stage.name)


class Stage:
    """How far a case came."""

    def __init__(self):
        self.name = "refused"


def _first_line(error):
    return " ".join(str(error).split())[:60]


def _place(filename):
    path = Path(filename)
    return "/".join(path.parts[-2:])


def _where(error):
    """Type of the error and the innermost place in eventsim."""
    frames = traceback.extract_tb(error.__traceback__)
    inner = [frame for frame in frames if "/eventsim/" in frame.filename] or frames
    return f"{type(error).__name__} at {_place(inner[-1].filename)}:{inner[-1].name}"


# ---- files


def _read_file(one, folder, stage):
    seed = cases.file_of(one)
    try:
        for name, content in (*seed.beside, (seed.name, seed.content)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        path = folder / seed.opened
        options = OPTIONS.get(one.family, ({},))
        with _in_proportion(len(seed.content)):
            found = READERS[one.family](path, **options[one.number // 7 % len(options)])
        stage.name = "read"
        if one.number % COMMAND_EVERY == 0:
            _command(one.family, path, folder)
        if one.family in ("native", "nir", "lava"):
            _run(found, one.number, stage)
    except EventsimError:
        if one.number % COMMAND_EVERY == 0 and stage.name == "refused":
            _command(one.family, path, folder)
        raise
    finally:
        for each in list(folder.iterdir()):
            shutil.rmtree(each) if each.is_dir() else each.unlink()


@contextlib.contextmanager
def _in_proportion(size):
    """Raise Finding where more time or memory was taken than a file of so many bytes may take."""
    before, began = _peak_from_here(), time.process_time()
    try:
        yield
    except MemoryError as error:
        raise Finding("memory", _where(error), str(error)) from None
    except EventsimError as error:
        if "Unable to allocate" in str(error) or "MemoryError" in str(error):
            raise Finding("memory", _where(error.__context__ or error), str(error)) from None
        raise
    finally:
        seconds, n_bytes = time.process_time() - began, _peak() - before
        if n_bytes > READ_BYTES:
            raise Finding("memory", "reading", f"{n_bytes >> 20} MB")
        if seconds > READ_SECONDS * max(1, size / LARGE):
            raise Finding("time", "reading", f"{seconds:.1f} s")


def _peak_from_here():
    """Bytes of memory now; the peak is counted from here on, where Linux allows it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
    return _peak()


def _peak():
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _read_model(path, **options):
    model = formats.load(path, **options)
    repr(model)
    return model


def _read_events(path, **options):
    if path.is_file():
        streamed = {name: value for name, value in options.items() if name in ("keep_going", "time_unit")}
        for _ in open_events(path, **streamed, **({"sample": 0} if path.name == "shd.h5" else {})):
            pass
    _batches(path, INPUTS.get(path.name, EVENTS), timesteps=5, **options)


def _batches(path, node, **options):
    dataset = open_dataset(path, node, **options)
    for _ in dataset.batches(2, limit=4):
        pass


def _read_data(path, **options):
    _batches(path, CIFAR if path.name == "cifar.bin" else IMAGE, **options)


def _read_run(path):
    with open_run(path) as run:
        run.summary, str(run)
        for table in tables(run).values():
            table.as_text()
            table.as_csv()
        for name in sorted({name for names in run.recorded.values() for name in names}):
            str(run[name])
        for kind, names in run.recorded.items():
            for name in names:
                np.asarray(getattr(run[name], kind))


def _read_trace(path):
    model = network()
    with open_trace(path) as trace:
        for name in ("n1", "n2", "n3"):
            for variable in ("spikes", "currents", "potentials", "residuals"):
                series = trace.series(name, variable, model.shapes[name])
                if series is not None:
                    series.whole, series.read(slice(0, 1), slice(0, 4))
        trace.predictions(), trace.unused()


def _read_json(path):
    found = (find_chip if path.name.startswith("chip") else find_energy_table)(str(path))
    found.as_json(), repr(found)


READERS = {"native": _read_model, "nir": _read_model, "lava": _read_model, "events": _read_events,
           "data": _read_data, "runs": _read_run, "traces": _read_trace, "json": _read_json}

# family -> ways of reading, in turn; the first is the usual one
OPTIONS = {
    "nir": ({}, *({"preset": name} for name in PRESETS), {"if_input": "dt_r", "bits": 3}),
    "lava": ({}, {"reset_interval": 3}, {"input_is_bias": True}, {"comparison": ">=", "message_bits": 4}),
    "events": ({}, {}, {"keep_going": True}, {"split": "number"}, {"split": "time"},
               {"time_unit": 1e-3}),
    "data": ({}, {}, {"encode": "poisson", "timesteps": 3, "full_scale": 255},
             {"encode": "latency", "timesteps": 3, "full_scale": 255}),
}


# ---- the command line


MODEL, DATA = (str(Path(__file__).parents[2] / "data" / name) for name in ("digits.h5", "digits_test.h5"))


@lru_cache(maxsize=None)
def undamaged(load=formats.load):
    """The model of commands that read a damaged file of another kind."""
    return load(MODEL)


def _loaded(path, load=formats.load, **options):
    return undamaged() if str(path) == MODEL else load(path, **options)


def _words(family, path, folder):
    if family == "runs":
        return ["stats", path]
    if family == "traces":
        return ["diff", MODEL, path, DATA, "--limit", "1"]
    if family == "json":
        option = "--chip" if path.name.startswith("chip") else "--energy"
        return ["run", MODEL, DATA, "--limit", "1", option, path]
    if family in ("events", "data"):
        return ["run", MODEL, path, "--limit", "1"]
    return ["info", path]


def _command(family, path, folder):
    """Raise Finding where a command gives a traceback or prints what is no plain text."""
    words = list(map(str, _words(family, path, folder)))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _bugs_in(folder), \
            mock.patch.object(formats, "load", _loaded):
        try:
            status = main(words)
        except SystemExit as left:
            status = left.code
    out, err = out.getvalue(), err.getvalue()
    if status not in STATUSES:
        raise Finding("traceback", f"eventsim {words[0]}: status {status}, {_first_line(err[:90])}", err)
    if "does not fit into memory" in err:
        raise Finding("memory", f"eventsim {words[0]}", err)
    for text in (out, err):
        odd = next((c for c in text if not c.isprintable() and c not in "\n\u00a0\u202f"), None)
        if odd is not None:
            raise Finding("text", f"eventsim {words[0]} prints {odd!r}", text)
    if status == 1 and err.count("\n") != 1 + err.count("warning:"):
        raise Finding("text", f"eventsim {words[0]}: {err.count(chr(10))} lines", err)


@contextlib.contextmanager
def _bugs_in(folder):
    """Files that tell of errors of ours go where the case's files are."""
    import tempfile

    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


# ---- running


def _run(model, number, stage):
    """Simulate what was loaded, in arrays that end at an unreadable page; compare some with the reference."""
    precision = None if model.chip is not None else PRECISIONS[number % len(PRECISIONS)]
    node = model.nodes[model.input]
    n_inputs = int(np.prod([float(n) for n in node.shape]))
    if n_inputs > 1 << 16:
        return
    steps = min(model.timesteps or 2, 3)
    x = levels_for(node, np.random.default_rng(number), (1, steps, *node.shape))
    with fenced():
        simulator = Simulator(model, precision, memory_limit=SIMULATED_BYTES)
        recording = simulator.run(x, record=ALL)
        del simulator
    stage.name = "run"
    small = _n_synapses(model) <= COMPARED_SYNAPSES
    if number % COMPARE_EVERY == 0 and small and np.isfinite(recording.output).all():
        _compare(model, x, precision or "fixed", None, model.chip)
        stage.name = "compared"


def _n_synapses(model):
    return sum(node.n_weights * int(np.prod(model.shapes[name][1:])) + int(np.prod(model.shapes[name]))
               for name, node in model.nodes.items())


def _compare_network(seed, stage):
    """A random network, in floats, integers or on a chip."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(6)
    if kind < 3:
        model, x, timesteps = random_run(seed)
        chip, precision = None, PRECISIONS[kind]
    elif kind < 5:
        model, x, timesteps, chip = random_chip_run(seed)
        precision = "fixed"
    else:
        model, x, chip = run_near_int32(seed)
        timesteps, precision = None, "fixed"
    _compare(model, x, precision, timesteps, chip)
    stage.name = "compared"


def _compare(model, x, precision, timesteps, chip):
    with np.errstate(all="ignore"), fenced():
        assert_equal_to_reference(model, x, precision, timesteps, chip)
