"""How long a raster of ten million spikes takes to draw and save, and the memory it needs.

    python examples/benchmarks/raster.py [--json]

Each case is a process of its own, which makes spikes at random, then draws and saves the raster. The
seconds are the clock's from the first import of `eventsim.plots` (matplotlib with it) to the saved PNG;
the memory is the most that the process ever held, making the spikes included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from layer import machine

ROOT = Path(__file__).resolve().parent.parent.parent
# neurons as (channels, positions), steps, bits, share of bits set
CASES = (
    ((100, 1), 100, 1, 0.1), ((1000, 1), 1000, 1, 0.1), ((10_000, 1), 10_000, 1, 0.1),
    ((1000, 1), 10_000, 8, 0.25), ((100, 1), 1_000_000, 1, 0.1), ((64, 390_625), 4, 1, 0.1),
    ((256, 9801), 4, 4, 0.25),
)
CHILD = """
import json, sys, time
import numpy as np
from eventsim.spikes import Spikes
(channels, positions), steps, bits, share = json.loads(sys.argv[1])
rng, words = np.random.default_rng(0), -(-channels // 64)
planes = np.zeros((1, steps, bits, positions, words), np.uint64)
block = max((1 << 20) // (positions * words * 64), 1)
for first in range(0, steps, block):
    for b in range(bits):
        some = planes[0, first : first + block, b]
        for begin in range(0, positions, 4096):
            some_positions = some[:, begin : begin + 4096]
            fires = rng.random((*some_positions.shape[:2], words * 64), np.float32) < share
            fires[..., channels:] = False
            some_positions[...] = np.packbits(fires, axis=-1, bitorder="little").view(np.uint64)
began = time.perf_counter()
from eventsim import plots
spikes = Spikes(planes, (channels, 1, positions), (channels, 1, positions), bits, False)
figure = plots.raster(spikes)
plots.save_figure(figure, sys.argv[2])
seconds = time.perf_counter() - began
events = int(figure.get_label().split("\\n")[1].split(" ")[0].replace(",", ""))
memory = 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"events": events, "seconds": seconds, "memory": memory, "spikes": planes.nbytes}))
"""


def measure():
    """A row per case."""
    rows = []
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            picture = Path(folder) / "raster.png"
            done = subprocess.run([sys.executable, "-c", CHILD, json.dumps(case), str(picture)],
                                  capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
            if done.returncode:
                sys.exit(done.stderr)
            (channels, positions), steps, bits, _ = case
            rows.append({"neurons": channels * positions, "steps": steps, "bits": bits, **json.loads(done.stdout),
                         "picture": picture.stat().st_size})
    return rows


def as_text(result):
    """A table for people."""
    lines = [result["machine"], "", f"{'neurons':>12}{'steps':>12}{'bits':>6}{'events':>14}{'seconds':>9}"
             f"{'most memory':>13}{'of it spikes':>14}{'PNG':>9}"]
    for row in result["rows"]:
        lines.append(f"{row['neurons']:>12,}{row['steps']:>12,}{row['bits']:>6}{row['events']:>14,}"
                     f"{row['seconds']:>9.2f}{row['memory'] / 1e6:>10.0f} MB{row['spikes'] / 1e6:>11.1f} MB"
                     f"{row['picture'] / 1e3:>6.0f} kB")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args(argv)
    result = {"machine": machine(), "rows": measure()}
    print(json.dumps(result, indent=1) if args.json else as_text(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
