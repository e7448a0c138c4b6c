"""How long the first command takes, and the next: a whole process, cold and warm.

    python examples/benchmarks/start.py [--rounds 5] [--json]

Runs `python -m eventsim run data/digits.h5 data/digits_test.h5` in processes of their own, as a user
does after installing: cold, with an empty folder for compiled kernels (EVENTSIM_CACHE_DIR), so that
every kernel the model needs is compiled; then warm, rounds times, with the folder that the cold run
left. The time is that of the clock from starting the process to its end: Python, imports, reading
both files, compiling or loading the kernels, 599 samples, the report; beside it the time of the
processor, which other programs on the machine do not lengthen.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from layer import machine  # first: it limits the threads

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = ("-m", "eventsim", "run", "data/digits.h5", "data/digits_test.h5")
PRECISIONS = ("float32", "int8")


def run(precision, cache):
    """Seconds of the clock and of the processor that one process took, and of its simulation."""
    environment = {**os.environ, "EVENTSIM_CACHE_DIR": str(cache)}
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *COMMAND, "--precision", precision, "--json"], cwd=ROOT,
                          env=environment, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor": processor, "simulating": json.loads(done.stdout)["seconds"]}


def measure(rounds):
    """Per precision one cold run, `rounds` warm ones, and what the cold one left in its folder."""
    found = {}
    for precision in PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            cold = run(precision, folder)
            kernels = [path.stat().st_size for path in Path(folder).rglob("*.nbc")]
            warm = [run(precision, folder) for _ in range(rounds)]
        found[precision] = {"cold": cold, "warm": warm, "kernels": len(kernels), "kernel_bytes": sum(kernels)}
    return found


def summarise(found, rounds):
    """Medians and the share of the core as plain data."""
    runs = [run for row in found.values() for run in (row["cold"], *row["warm"])]
    rows = []
    for precision, row in found.items():
        warm = {key: [run[key] for run in row["warm"]] for key in row["cold"]}
        rows.append({
            "precision": precision, "cold": row["cold"],
            "warm": {key: float(np.median(values)) for key, values in warm.items()},
            "warm_fastest": min(warm["seconds"]), "warm_slowest": max(warm["seconds"]),
            "kernels": row["kernels"], "kernel_bytes": row["kernel_bytes"],
        })
    share = sum(run["processor"] for run in runs) / sum(run["seconds"] for run in runs)
    return {"machine": machine(), "command": " ".join(("python", *COMMAND)), "rounds": rounds,
            "share_of_core": share, "rows": rows}


def as_text(result):
    """A table for people."""
    lines = [result["machine"], f"{result['command']}, a process each: once cold, {result['rounds']} times warm",
             f"{100 * result['share_of_core']:.0f} % of the clock's time was the processor's: below 95 %, other "
             "programs ran, and the processor's time is the one to read", "",
             f"{'':<10}{'cold':^22}{'warm: median':^24}{'fastest..':>12}{'of it':>12}{'compiled':>22}",
             f"{'precision':<10}{'clock':>10}{'processor':>12}{'clock':>12}{'processor':>12}{'slowest':>12}"
             f"{'simulating':>12}{'and kept':>22}"]
    for row in result["rows"]:
        cold, warm = row["cold"], row["warm"]
        spread = f"{row['warm_fastest']:.2f}..{row['warm_slowest']:.2f}"
        kept = f"{row['kernels']} kernels, {row['kernel_bytes'] / 1e6:.1f} MB"
        lines.append(
            f"{row['precision']:<10}{cold['seconds']:>8.1f} s{cold['processor']:>10.1f} s{warm['seconds']:>10.2f} s"
            f"{warm['processor']:>10.2f} s{spread:>12}{warm['simulating']:>10.3f} s{kept:>22}")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="warm runs (default 5)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(argv)
    result = summarise(measure(args.rounds), args.rounds)
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
