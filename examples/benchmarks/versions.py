"""Two checkouts of eventsim side by side: is the new one slower?

    taskset -c 1 python examples/benchmarks/versions.py OLD NEW [--rounds 5] [--json]

OLD, NEW: folders of two checkouts. In every round each of them runs, in a process of its own and in
turn: the layer of layer.py at 10 % density (its kernels), the network of network.py at batch 1 and 16, one
sample of digits.h5 and of mnist.h5 (the files of NEW), all in int8 and float32, and the command of start.py,
warm; and once at the beginning, cold, with an empty folder for compiled kernels. A figure is the least time
over a process's repetitions, of the processor where Python runs too, which other programs on the machine
lengthen the least; the ratio NEW / OLD is the median over the rounds. Both need the same libraries; eventsim
itself comes from the folders.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from layer import machine  # first: it limits the threads

import numpy as np

# Runs in the folder examples/benchmarks of a checkout, whose own modules it imports.
WORK = """
import json, sys, time
import layer, network
import numpy as np
from deep_networks import random_images, small_vgg
from eventsim import load, Simulator

def least(action, times):
    found = []
    for _ in range(times):
        began = time.process_time()
        action()
        found.append(time.process_time() - began)
    return min(found)

seconds, rng = {}, np.random.default_rng(0)
model, sample = layer.layer_model(layer.int8_weights(rng)), layer.spikes(rng, 0.1)
for precision in ("int8", "float32"):
    simulator = Simulator(model, precision)
    simulator.run(sample)
    seconds[f"layer {precision}"] = min(layer.time_layer(simulator, sample)[0]["layer"] for _ in range(40))
model = small_vgg(rate=0.1, threshold=1.0)
images = random_images(16, model.nodes[model.input].shape, 1)
for precision in ("int8", "float32"):
    simulator = Simulator(model, precision)
    for batch in (1, 16):
        next(simulator.iterate([images[:batch]]))
        seconds[f"network {precision} batch {batch}"] = least(
            lambda: next(simulator.iterate([images[:batch]])), 60 if batch == 1 else 12)
for name in ("digits", "mnist"):
    model = load(f"{sys.argv[1]}/{name}.h5")
    for precision in ("int8", "float32"):
        simulator = Simulator(model, precision)
        simulator.run(model.check.x[:1], record=())
        seconds[f"{name} {precision} batch 1"] = least(
            lambda: simulator.run(model.check.x[:1], record=()), 400)
print(json.dumps(seconds))
"""
COMMAND = ("-m", "eventsim", "run", "data/digits.h5", "data/digits_test.h5", "--json")
STARTED = """
import resource, subprocess, sys
done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
sys.exit(done.stderr) if done.returncode else print(used.ru_utime + used.ru_stime)
"""


def python(tree, arguments, cache, folder=""):
    """What a process prints that imports the eventsim of a checkout."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tree), str(tree / "examples")]),
                   "EVENTSIM_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, *arguments], cwd=tree / folder, env=environment, text=True,
                          capture_output=True)
    if done.returncode:
        sys.exit(f"{tree}: {done.stderr}")
    return done.stdout


def started(tree, precision, cache):
    """Seconds of the processor that the command takes, as a whole process."""
    return float(python(tree, ["-c", STARTED, *COMMAND, "--precision", precision], cache))


def measure(trees, rounds):
    """Per figure, a list of (seconds of OLD, seconds of NEW), one per round."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        caches = [Path(folder) / str(i) for i in range(len(trees))]

        def note(name, pair):
            found.setdefault(name, []).append(tuple(pair))

        for precision in ("float32", "int8"):
            note(f"start cold {precision}", [started(*pair) for pair in zip(trees, [precision] * 2, caches)])
        for r in range(rounds + 1):  # the first round compiles
            warm = {p: [started(*pair) for pair in zip(trees, [p] * 2, caches)] for p in ("float32", "int8")}
            order = range(len(trees)) if r % 2 else range(len(trees) - 1, -1, -1)
            work = ["-c", WORK, str(trees[1] / "data")]
            done = {i: json.loads(python(trees[i], work, caches[i], "examples/benchmarks")) for i in order}
            if r:
                for precision, pair in warm.items():
                    note(f"start warm {precision}", pair)
                for name in done[0]:
                    note(name, [done[i][name] for i in range(len(trees))])
            print(f"round {r} of {rounds}", end="\r", file=sys.stderr, flush=True)
    return found


def summarise(found, rounds):
    """Medians and ratios as plain data."""
    rows = []
    for name, pairs in found.items():
        pairs = np.array(pairs)
        ratios = pairs[:, 1] / pairs[:, 0]
        rows.append({"figure": name, "old": float(np.median(pairs[:, 0])), "new": float(np.median(pairs[:, 1])),
                     "ratio": float(np.median(ratios)), "lowest": float(ratios.min()),
                     "highest": float(ratios.max())})
    return {"machine": machine(), "rounds": rounds, "rows": rows}


def as_text(result):
    """A table for people."""
    lines = [result["machine"],
             f"{result['rounds']} rounds; milliseconds of the processor; "
             "ratio NEW / OLD, median (lowest..highest)", "",
             f"{'':<26}{'old':>10}{'new':>10}{'ratio':>8}"]
    for row in result["rows"]:
        lines.append(f"{row['figure']:<26}{1e3 * row['old']:>10.3f}{1e3 * row['new']:>10.3f}{row['ratio']:>8.3f}"
                     f"  {row['lowest']:.3f}..{row['highest']:.3f}")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("trees", nargs=2, type=Path, metavar="FOLDER",
                        help="a checkout: the old one, then the new one")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(argv)
    trees = [tree.resolve() for tree in args.trees]
    result = summarise(measure(trees, args.rounds), args.rounds)
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
