"""Flags that say how data is read, for the commands that take DATA."""

import argparse
from functools import partial

from eventsim.cli.arguments import natural, positive, real
from eventsim.cli.parsing import EMPTY, ShowOptions
from eventsim.cli.screen import tell
from eventsim.errors import DataError
from eventsim.inputs.event_files.formats import OF_EVENTS, OF_VALUES
from eventsim.text import many, printable

MOST_SAID = 10  # lines
ABOVE_0 = real("a number above 0", lambda value: value > 0)
SHARE = real("a share between 0 and 1, such as 0.1", lambda value: 0 < value < 1)


def _flags():
    """{flag: (how it is parsed, its help)}, one for every field of `inputs.preparing.DataOptions`."""
    return {
        "--sensor-size": (dict(type=_sizes, metavar="HxW"),
                          "pixels of the sensor, where a recording does not say"),
        "--time-unit": (dict(type=ABOVE_0, metavar="SECONDS"),
                        "unit of t in arrays and text; default: that of its name, such as t_ms, else "
                        "microseconds of whole numbers, seconds of fractions"),
        "--columns": (dict(type=_columns, metavar="TXYP"),
                      "order of the columns in text and in arrays (N, 4), such as txyp"),
        "--keep-going": (dict(action="store_true", default=None),
                         "of damaged recordings, take what stands before the damage"),
        "--sample": (dict(type=natural, metavar="N"), "only recording N of a file that has several"),
        "--longest-gap": (dict(metavar="TIME"),
                          "from event to event, such as 5min; a longer silence is refused (default 1min)"),
        "--crop": (dict(type=_numbers(",", 4), metavar="L,T,R,B"), "pixels of recordings: left, top, right, "
                                                                   "bottom"),
        "--downsample": (dict(type=positive, metavar="N"), "N x N pixels of recordings become one"),
        "--orient": (dict(type=_pair, metavar="X,Y"),
                     "columns and rows of recordings taken from x, y, -x or -y: --orient=-x,y mirrors"),
        "--split": (dict(choices=("width", "number", "time")),
                    "steps of recordings: of the model's bin width (default), T of equally many events, or T of "
                    "equal time"),
        "--part": (dict(choices=("test", "train", "all")), "of folders that have parts (default test)"),
        "--test-share": (dict(type=SHARE, metavar="X"),
                         "share of each class, last by name, that is the test part of class folders without "
                         "parts"),
        "--encode": (dict(metavar="HOW"),
                     "make spikes of values: poisson, latency or delta as of snnTorch's spikegen, with options "
                     "as in latency:linear,tau=5"),
        "--seed": (dict(type=natural, metavar="N"), "of --encode poisson (default 0)"),
        "--full-scale": (dict(type=ABOVE_0, metavar="X"),
                         "value that --encode takes as 1; default: 255 of bytes, 1 of fractions"),
    }


def add_data_options(command, group, fields=None):
    """Add the flags to a command that takes DATA, when it is chosen; its help does not show them, --help-data
    does. group: what that is added to. fields: of those that it takes, None: all."""
    declare = partial(_add_data_options, fields=fields)
    command.late.append(declare)
    group.add_argument("--help-data", action=ShowOptions, const=(declare,),
                       help="print the options of recordings, and of encoding")


FORMATS = (f"Values: {OF_VALUES}. Recordings of events: {OF_EVENTS}, or folders of them, of classes, or of DVS128 "
           "Gesture.")


def _add_data_options(command, words, fields):
    if words is not None:
        return
    group = command.add_argument_group("how data is read", FORMATS)
    for flag, (how, text) in _flags().items():
        if fields is None or _field(flag) in fields:
            group.add_argument(flag, dest="data_" + _field(flag), help=text, **how)


def _field(flag):
    return flag[2:].replace("-", "_")


def data_options(arguments):
    """{field: value} of what was given."""
    values = {name: getattr(arguments, "data_" + name, None) for name in map(_field, _flags())}
    return {name: value for name, value in values.items() if value is not None}


def check_whole(arguments, dataset):
    """Raise DataError where recordings are to be run as long as they are, but the data has none."""
    if arguments.whole and not dataset.of_events:
        raise DataError(f"{arguments.data}: whole does not apply to values, but to recordings of events: leave it "
                        "out (--whole)")


def say_notes(dataset, name, screen, besides=()):
    """Say what was assumed or mended of the data, the first of it on standard error, all of it in the JSON.
    besides: texts that are said already."""
    notes = {text: n for text, n in dataset.notes.items() if text not in besides}
    for i, (text, n) in enumerate(notes.items()):
        recordings = f"{many(n, 'recording')}: " if dataset.of_events else ""
        screen.note(f"{name}: {recordings}{printable(text)}", silently=i >= MOST_SAID)
    if len(notes) > MOST_SAID:
        tell(f"{name}: and {len(notes) - MOST_SAID} more things to say of it")


def _numbers(mark, n):
    def numbers(text):
        try:
            parts = tuple(int(part) for part in text.split(mark))
        except ValueError:
            parts = ()
        if len(parts) != n:
            raise argparse.ArgumentTypeError(f"{text!r} is not {n} whole numbers parted by {mark!r}")
        return parts

    return numbers


def _sizes(text):
    sizes = _numbers("x", 2)(text)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}, expected two whole numbers above 0, such as 34x34")
    return sizes


def _columns(text):
    if not text:
        raise argparse.ArgumentTypeError(EMPTY)
    if sorted(text) != sorted("txyp"):
        raise argparse.ArgumentTypeError(f"is {text!r}, expected t, x, y and p, each once, such as txyp")
    return text


def _pair(text):
    return tuple(text.split(",")) if text.count(",") == 1 else (text, "")
