"""Flags that say how data is read, for the commands that take DATA."""

import argparse
import sys

from eventsim.cli.arguments import natural, positive
from eventsim.text import many, printable

OPTIONS = ("sensor_size", "time_unit", "columns", "keep_going", "sample", "crop", "downsample", "orient", "split", "part",
           "test_share", "encode", "seed", "full_scale")


def add_data_options(command):
    """Add a flag for every field of `inputs.preparing.DataOptions`."""
    add = command.add_argument_group("how data is read").add_argument
    add("--sensor-size", type=_numbers("x", 2), metavar="HxW", help="pixels of the sensor, where a recording does not say")
    add("--time-unit", type=float, metavar="SECONDS", help="unit of t in arrays and text; default: microseconds of whole "
        "numbers, seconds of fractions")
    add("--columns", metavar="TXYP", help="order of the columns in text and in arrays (N, 4), such as txyp")
    add("--keep-going", action="store_true", default=None, help="of damaged recordings, take what stands before the damage")
    add("--sample", type=natural, metavar="N", help="only recording N of a file that has several")
    add("--crop", type=_numbers(",", 4), metavar="L,T,R,B", help="pixels of recordings: left, top, right, bottom")
    add("--downsample", type=positive, metavar="N", help="N x N pixels of recordings become one")
    add("--orient", type=_pair, metavar="X,Y", help="columns and rows of recordings taken from x, y, -x or -y: --orient=-x,y "
        "mirrors")
    add("--split", choices=("width", "number", "time"), help="steps of recordings: of the model's bin width (default), T of "
        "equally many events, T of equal time")
    add("--part", choices=("test", "train", "all"), help="of folders that have parts (default test)")
    add("--test-share", type=float, metavar="X", help="share of each class, last by name, that is the test part of class "
        "folders without parts")
    add("--encode", metavar="HOW", help="make spikes of values: poisson, latency or delta as of snnTorch's spikegen, with "
        "options as in latency:linear,tau=5")
    add("--seed", type=natural, metavar="N", help="of --encode poisson (default 0)")
    add("--full-scale", type=float, metavar="X", help="value that --encode takes as 1; default: 255 of bytes, 1 of fractions")


def data_options(arguments):
    """{field: value} of what was given."""
    found = {name: getattr(arguments, name) for name in OPTIONS}
    return {name: value for name, value in found.items() if value is not None}


def say_notes(dataset, name):
    """Say on standard error what was assumed or mended of recordings."""
    for text, n in dataset.notes.items():
        print(f"eventsim: {name}: {many(n, 'recording')}: {printable(text)}", file=sys.stderr)


def _numbers(mark, n):
    def numbers(text):
        try:
            found = tuple(int(part) for part in text.split(mark))
        except ValueError:
            found = ()
        if len(found) != n:
            raise argparse.ArgumentTypeError(f"{text!r} is not {n} whole numbers parted by {mark!r}")
        return found

    return numbers


def _pair(text):
    return tuple(text.split(",")) if text.count(",") == 1 else (text, "")
