"""Write data/digits_test.h5: the third of the UCI digits that data/digits.h5 never saw.

    pip install scikit-learn h5py
    python examples/make_digits_test.py

x: uint8 (599, 1, 8, 8), values 0 to 16. y: int64 (599,). The bytes are the same on every run of
the same versions of scikit-learn, h5py and HDF5.
"""

import argparse
from pathlib import Path

import h5py

import commands
from trainer.digits import load_split

ROOT = Path(__file__).resolve().parent.parent


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=ROOT / "data" / "digits_test.h5")
    args = parser.parse_args(argv)
    commands.check_folder(args.output, "--output")
    _, (x, y) = load_split()
    with h5py.File(args.output, "w") as file:
        for name, array in (("x", x), ("y", y)):
            file.create_dataset(name, data=array, compression="gzip", track_times=False)
    print(f"wrote {args.output}, {len(x)} samples, {args.output.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    commands.run("make_digits_test", main)
