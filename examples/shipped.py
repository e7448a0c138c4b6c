"""What the papers are about, measured on the models in data/: quantisation error, and the use of each bit.

    python examples/shipped.py DATASETS [NAME ...]

DATASETS: as of models.py. Runs each model on its test samples in eventsim (float32) and writes
results/shipped.json: for each layer the mean quantisation error before and after MPR (InfLoR-SNN, eq. 8, Table 3;
of 4096 of its neurons, if it has more), and the share of the events in which each bit is set (Multi-Bit
Mechanism). A re-stimulated model is run a second time with its re-stimulation cut out and nothing trained again.
`ablation_report.py` has it in words.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np

import commands
import eventsim
from ablation_claims import TABLE_3, evenness, markdown
from eventsim.inputs.dataset import open_dataset
from eventsim.merging import merge
from eventsim.storage import writing
from models import DATA, FOLDERS, MODELS

RESULTS = Path(__file__).resolve().parent / "results" / "shipped.json"
TEST = {"mnist": "t10k-images-idx3-ubyte.gz", "nmnist": "Test", "cifar10": "test_batch.bin"}
BATCH = 250


def measure(name, datasets, limit=None):
    """Return what the first `limit` (all) test samples show of a model, as plain data."""
    model = eventsim.load(DATA / f"{name}.h5")
    data = MODELS[name][0]
    samples = open_dataset(Path(datasets) / FOLDERS[data] / TEST[data], model.nodes[model.input], model.timesteps)
    numbers = as_is(model, samples, limit)
    without = without_restimulation(model)
    if without is not None:
        numbers["without_restimulation"] = as_is(without, samples, limit)
    return {**numbers, "sha256": digest(name)}


def digest(name):
    """Return the SHA-256 of a model's file, so that numbers of another file are noticed."""
    return hashlib.sha256((DATA / f"{name}.h5").read_bytes()).hexdigest()


def as_is(model, samples, limit=None):
    """Return the accuracy, and the errors and the use of the bits of each layer of neurons and of all. samples: a
    dataset."""
    simulator, right, n, parts = eventsim.Simulator(model, "float32"), 0, 0, []
    for x, y in samples.batches(BATCH):
        if limit is not None:
            x, y = x[: limit - n], y[: limit - n]
        if len(x):
            recording = simulator.run(x, record=("statistics", "membranes"))
            parts.append(recording.statistics)
            right, n = right + int((recording.predictions == y).sum()), n + len(x)
    statistics = merge(parts)
    layers = {name: layer(statistics, name) for name in statistics.membranes}
    planes = sum(statistics.trains[name].plane_events.sum(axis=1) for name in layers)  # of as many bits, all
    events = sum(int(statistics.trains[name].events.sum()) for name in layers)
    return {"samples": n, "accuracy": right / n, "bit_use": shares(planes, events), "layers": layers}


def layer(statistics, name):
    """Return the errors of a layer, in quanta squared, and the use of its bits."""
    membranes, train = statistics.membranes[name], statistics.trains[name]
    rectified = None if membranes.rectified is None else membranes.rectified_error
    return {"error": membranes.error, "rectified_error": rectified,
            "bit_use": shares(train.plane_events.sum(axis=1), int(train.events.sum()))}


def shares(planes, events):
    """Return the share of the events in which bit 0, 1, ... is set."""
    return [round(float(count) / max(events, 1), 5) for count in planes]


def without_restimulation(model):
    """Return the Model without its Restimulation nodes, or None if it has none."""
    cut = {name for name, node in model.nodes.items() if node.kind == "Restimulation"}
    if not cut:
        return None
    nodes = {name: node for name, node in model.nodes.items() if name not in cut}
    edges = [edge for edge in model.edges if not {edge.source, edge.target} & cut]
    return eventsim.Model(nodes, edges, model.timesteps, model.class_names)


# ---- in words


def section(results):
    """Return the part of results/README.md on what `measure` gave, by model; "" without any."""
    if not results:
        return ""
    return ("## The models in `data/` (`examples/shipped.py`)\n\n" + errors_section(results) + "\n"
            + bits_section(results))


def errors_section(results):
    """Return the section on Table 3 for the shipped models."""
    table = []
    for name, numbers in results.items():
        errors = [layer for layer in numbers["layers"].values() if layer["rectified_error"] is not None]
        before, after = ([layer[key] for layer in errors] for key in ("error", "rectified_error"))
        if errors:
            table.append((f"`{name}.h5`", f"{numbers['samples']:,}", len(errors), spread(before), spread(after),
                          f"{np.mean(before) / np.mean(after):.1f}"))
    return ("Mean quantisation error (InfLoR-SNN, eq. 8) before and after MPR, in quanta squared, by eventsim on "
            "the test samples: the mean over the layers, and in brackets the layers with the smallest and the "
            f"largest. The paper's Table 3 has {TABLE_3[0]} and {TABLE_3[1]}, {TABLE_3[0] / TABLE_3[1]:.0f} times "
            "less, in one layer of its ResNet20. Membranes far below the threshold count most; MPR moves them, "
            "too.\n\n"
            + markdown(("model", "samples", "layers", "before", "after", "before / after"), table))


def spread(values):
    """Return the mean, smallest and largest of numbers, as text."""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def bits_section(results):
    """Return the section on the use of each bit, with and without re-stimulation."""
    table = []
    for name, numbers in results.items():
        for how, run in (("as trained", numbers), ("cut out", numbers.get("without_restimulation"))):
            if run is not None and len(run["bit_use"]) > 1:
                again = "-" if "without_restimulation" not in numbers else how
                table.append((f"`{name}.h5`", again, " ".join(f"{100 * share:.0f}" for share in run["bit_use"]),
                              f"{evenness(run['bit_use']):.2f}", f"{100 * run['accuracy']:.2f}"))
    return ("Use of the bits over all layers, bit 0 first (worth 2^-n). *Cut out*: the same weights with the "
            "re-stimulation left out and nothing trained again, which says what it carries in this network, not "
            "how a network without it would have been trained: for that, see the pairs of the section on bits.\n\n"
            + markdown(("model", "re-stimulation", "events with bit 0, 1, ... set, %", "evenness", "accuracy, %"),
                       table) + in_words(results))


def in_words(results):
    """Return in words what re-stimulation does to the bits of each re-stimulated model."""
    lines = []
    for name, numbers in results.items():
        without = numbers.get("without_restimulation")
        if without is not None and len(numbers["bit_use"]) > 1:
            with_, cut = evenness(numbers["bit_use"]), evenness(without["bit_use"])
            word = "more" if with_ > cut else "less"
            highest = [100 * run["bit_use"][-1] for run in (numbers, without)]
            lines.append(f"\nIn `{name}.h5` the re-stimulation makes the use of the bits {word} even ({with_:.2f} "
                         f"against {cut:.2f}): the highest bit is set in {highest[0]:.1f} % of the events with "
                         f"it, in {highest[1]:.1f} % without. Cutting it out costs "
                         f"{100 * (numbers['accuracy'] - without['accuracy']):.2f} points of accuracy.\n")
    return "".join(lines)


def read(path=RESULTS):
    """Return what is recorded, by model; {} without a file."""
    return commands.read_json(path)


def main(argv=None):
    """Measure, write results/shipped.json."""
    p = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    p.add_argument("datasets")
    p.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)} (default: all)")
    p.add_argument("--limit", type=commands.POSITIVE, help="test samples of each (default: all)")
    p.add_argument("--output", type=Path, default=RESULTS, help="file to write (default results/shipped.json)")
    args = p.parse_args(argv)
    names = args.names or list(MODELS)
    if set(names) - set(MODELS):
        p.error(f"no model {', '.join(sorted(set(names) - set(MODELS)))}: expected {', '.join(MODELS)}")
    commands.check_folder(args.output, "--output")
    results = read(args.output)
    for name in names:
        results[name] = measure(name, args.datasets, args.limit)
        writing.write_file(args.output, (json.dumps(results, indent=1, sort_keys=True) + "\n").encode())
    print(section(results))
    return 0


if __name__ == "__main__":
    commands.run("shipped", main)
