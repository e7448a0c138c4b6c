"""How long the first command takes, and the next: a whole process, cold and warm.

    python examples/benchmarks/start.py [--rounds 5] [--json]

Runs `python -m eventsim run data/digits.h5 data/digits_test.h5`, in int8 with `--out` too, in processes of their
own, as a user does after installing: cold, with an empty folder for compiled kernels (EVENTSIM_CACHE_DIR), so that
every kernel the model needs is compiled, on one core and on all of the machine, which then compile together; and
warm, rounds times, with the folder that a cold run left. The time is that of the clock from starting the process
to its end: Python, imports, reading both files, compiling or loading the kernels, 599 samples, the report; beside
it the time of the processor, which other programs on the machine do not lengthen.
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
CASES = {"float32": ("--precision", "float32"), "int8": ("--precision", "int8"),
         "int8 --out": ("--precision", "int8", "--out")}


def run(options, cache, cores=None):
    """Seconds of the clock and of the processor that one process took, and of its simulation. cores: those that it
    may use; default: all."""
    environment = {**os.environ, "EVENTSIM_CACHE_DIR": str(cache)}
    file = [str(cache / "run.h5")] if options[-1] == "--out" else []
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *COMMAND, *options, *file, "--json"], cwd=ROOT,
                          env=environment, capture_output=True, text=True,
                          preexec_fn=cores and (lambda: os.sched_setaffinity(0, cores)))
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(done.stderr)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "processor": processor, "simulating": json.loads(done.stdout)["seconds"]}


def measure(rounds):
    """Of each case two cold runs, `rounds` warm ones, and what a cold one left in its folder."""
    found = {}
    one = {max(os.sched_getaffinity(0))}
    for case, options in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            alone = run(options, Path(folder), one)
        with tempfile.TemporaryDirectory() as folder:
            cold = run(options, Path(folder))
            kernels = [path.stat().st_size for path in Path(folder).rglob("*.nbc")]
            warm = [run(options, Path(folder), one) for _ in range(rounds)]
        found[case] = {"cold_on_one_core": alone, "cold": cold, "warm": warm, "kernels": len(kernels),
                       "kernel_bytes": sum(kernels)}
    return found


def summarise(found, rounds):
    """Medians and the share of the core as plain data."""
    on_one = [run for row in found.values() for run in (row["cold_on_one_core"], *row["warm"])]
    rows = []
    for case, row in found.items():
        warm = {key: [run[key] for run in row["warm"]] for key in row["cold"]}
        rows.append({
            "case": case, **{key: row[key] for key in ("cold_on_one_core", "cold", "kernels", "kernel_bytes")},
            "warm": {key: float(np.median(values)) for key, values in warm.items()},
            "warm_fastest": min(warm["seconds"]), "warm_slowest": max(warm["seconds"]),
        })
    share = sum(run["processor"] for run in on_one) / sum(run["seconds"] for run in on_one)
    return {"machine": machine(), "cores": len(os.sched_getaffinity(0)), "command": " ".join(("python", *COMMAND)),
            "rounds": rounds, "share_of_core": share, "rows": rows}


def as_text(result):
    """A table for people."""
    lines = [result["machine"],
             f"{result['command']}, a process each: once cold, {result['rounds']} times warm on one core",
             f"{100 * result['share_of_core']:.0f} % of the clock's time on one core was the processor's: below "
             "95 %, other programs ran, and the processor's time is the one to read", "",
             f"{'':<12}{'cold, one core':^22}{result['cores']:>6} cores{'warm: median':^22}{'fastest..':>12}"
             f"{'compiled':>20}",
             f"{'':<12}{'clock':>10}{'processor':>12}{'clock':>12}{'clock':>10}{'processor':>12}{'slowest':>12}"
             f"{'and kept':>20}"]
    for row in result["rows"]:
        alone, cold, warm = row["cold_on_one_core"], row["cold"], row["warm"]
        spread = f"{row['warm_fastest']:.2f}..{row['warm_slowest']:.2f}"
        kept = f"{row['kernels']}, {row['kernel_bytes'] / 1e6:.1f} MB"
        lines.append(
            f"{row['case']:<12}{alone['seconds']:>8.1f} s{alone['processor']:>10.1f} s{cold['seconds']:>10.1f} s"
            f"{warm['seconds']:>8.2f} s{warm['processor']:>10.2f} s{spread:>12}{kept:>20}")
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
