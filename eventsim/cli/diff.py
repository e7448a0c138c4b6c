"""The command `diff`: two models, or one in two arithmetics, and where they part.

Exit status: 0 equal, 3 different, so that 1 (an error) and 2 (wrong usage) mean what they mean in every
other command.
"""

import argparse
import os
from contextlib import contextmanager, ExitStack
from math import prod

from eventsim.cli.arguments import (
    add_data, add_memory_limit, add_output, loaded, MOST_STEPS, named_twice, output_group, positive, real,
    simulator_of, up_to,
)
from eventsim.cli.data_arguments import add_data_options, check_whole, data_options, say_notes
from eventsim.cli.screen import Screen, warnings_by, width
from eventsim.cli.usage import meant
from eventsim.errors import DataError, FormatError
from eventsim.storage.json_fields import json_text
from eventsim.text import wrapped

DIFFERENT = 3


def add_parser(commands):
    """Add `diff` to the subparsers."""
    diff = commands.add_parser(
        "diff", usage="eventsim diff [options] A B DATA",
        help="find where two models, or two arithmetics, part",
        description="A, B: a model file, and behind @ in which arithmetic (MODEL@float64, MODEL@int8, "
        "MODEL@loihi, MODEL@chip.json: a precision, a built-in chip or a chip file) and how it is "
        "loaded (net.nir@sinabs, net.net@reset_interval=17,input_is_bias=true). B also a recorded trace: "
        ".npz or HDF5 with arrays <layer>/spikes, <layer>/potentials, <layer>.spikes or <layer>, "
        "(N, T, ...) or (T, ...), or a file of `eventsim run --out`. Exit status 0: equal; 3: "
        "different; 1: an error.",
        examples=("eventsim diff net.h5 net.h5@int8 test.h5 --limit 20",
                  "eventsim diff net.nir@sinabs trace.npz test.h5"),
    )
    diff.set_defaults(run=run_diff)
    group = diff.add_argument_group("what is compared")
    group.add_argument("a", metavar="A", help="model")
    group.add_argument("b", metavar="B", help="model or trace")
    add_data(group)
    group.add_argument("--limit", type=positive, metavar="N", help="compare only the first N samples")
    steps = group.add_mutually_exclusive_group()
    steps.add_argument("--timesteps", type=up_to(MOST_STEPS), metavar="T", help="steps; default: A's")
    steps.add_argument("--whole", action="store_true", help="each recording as long as it is")
    group.add_argument("--variables", metavar="V,V", type=_variables,
                       help=f"what decides, of {','.join(VARIABLES)}; default: all in "
                       "the same arithmetic and in traces, otherwise spikes")
    group.add_argument("--tolerance", type=real("a number from 0 on", lambda value: value >= 0), metavar="X",
                       help="differences up to X, in units of the membrane, are none; default 0, and 1e-4 "
                       "of the threshold for a trace")
    add_memory_limit(group)
    output = add_output(output_group(diff))
    add_data_options(diff, output)


VARIABLES = ("spikes", "currents", "potentials", "residuals", "outputs")


def _variables(text):
    variables = tuple(text.split(","))
    for variable in variables:
        if variable not in VARIABLES:
            raise argparse.ArgumentTypeError(f"has {variable!r}, expected any of {', '.join(VARIABLES)}"
                                             f"{meant(variable, VARIABLES)}")
    return variables


def run_diff(arguments):
    """eventsim diff A B DATA"""
    from eventsim.comparison.divergence import Comparing
    from eventsim.comparison.sides import TraceSide
    from eventsim.comparison.text import as_text
    from eventsim.comparison.traces import is_trace, open_trace

    screen = Screen(arguments)
    with ExitStack() as stack:
        stack.enter_context(screen.compiling())
        stack.enter_context(warnings_by(screen.note))
        a = _run(arguments.a, arguments, screen)
        if is_trace(arguments.b):
            b = TraceSide(stack.enter_context(open_trace(arguments.b)), a)
        else:
            b = _run(arguments.b, arguments, screen)
        data = _data_of_a(arguments, a, b)
        steps = data.n_steps or a.model.steps(arguments.timesteps)
        if b.is_trace:
            b.expect(len(data), steps)
            b.trace.check_form(_n_compared(data, arguments), steps)
        comparing = Comparing(a, b, steps, arguments.variables, arguments.tolerance,
                              steps_of_a=_are_steps_of_a(data, arguments))
        other = _data_of_b(arguments, a, b, comparing.steps)
        for batch in _batches(data, other, a, b, comparing, arguments, screen):
            comparing.add(*batch)
        comparison = comparing.result()
    _say_all(data, other, arguments, b, screen)
    _note_unknown_labels(data, arguments, a, comparison.samples, screen)
    dropped = [data.n_dropped_events, None if b.is_trace else (other or data).n_dropped_events]
    comparison.notes += _dropped_notes(dropped)
    if arguments.json:
        plain = comparison.as_json()
        print(json_text({"data": arguments.data, **plain, "dropped_events": dropped,
                         "notes": [*plain["notes"], *screen.notes]}))
    else:
        columns = width()
        print(wrapped(as_text(comparison, arguments.data, columns), columns))
    return 0 if comparison.equal else DIFFERENT


def _data_of_a(arguments, a, b):
    """Return the Dataset as A reads it."""
    from eventsim.inputs.dataset import open_dataset

    steps = None if arguments.whole else arguments.timesteps or a.model.timesteps
    with _naming_side(a, b):
        data = open_dataset(arguments.data, a.model.nodes[a.model.input], steps, **data_options(arguments))
    check_whole(arguments, data)
    _check_steps(data, arguments, a, b)
    return data.with_labels_of(a.model.class_names)


def _are_steps_of_a(data, arguments):
    """Return whether the steps are those that A's file says: the values have none of their own, and none are
    given."""
    follows = data.n_steps is None or data.of_events or "encode" in data_options(arguments)
    return follows and not (arguments.timesteps or arguments.whole)


def _data_of_b(arguments, a, b, steps):
    """Return the Dataset as B reads it, or None where B reads it as A does."""
    from eventsim.inputs.dataset import open_dataset

    if not _reads_otherwise(b, a):
        return None
    with _naming_side(b, a):
        return open_dataset(arguments.data, b.model.nodes[b.model.input], steps, **data_options(arguments))


@contextmanager
def _naming_side(side, other):
    """Say in errors of data for which model it is, where the two of them read it in different forms."""
    try:
        yield
    except DataError as error:
        if side.is_trace or other.is_trace or not _reads_otherwise(side, other):
            raise
        raise DataError(f"{error} (the model is {side.label})") from None


def _batches_naming_side(batches, side, other):
    """Yield the batches that one side reads, with errors as `_naming_side` says them."""
    with _naming_side(side, other):
        yield from batches


def _say_all(data, other, arguments, b, screen):
    """Say what was assumed or mended of the data, as A reads it, and what else there is as B does."""
    say_notes(data, arguments.data, screen)
    if other is not None:
        say_notes(other, f"{arguments.data}, as {b.label} reads it", screen, besides=data.notes)


def _note_unknown_labels(data, arguments, a, n_samples, screen):
    """Say how many of the samples have a label that is no class of the model's."""
    from eventsim.statistics.decisions import n_unknown, unknown_text

    n_classes = prod(a.model.shapes[a.model.output])
    unknown = 0 if data.labels is None else n_unknown(data.labels[:n_samples], n_classes)
    if unknown:
        screen.note(f"{arguments.data}: {unknown_text(unknown, n_samples, n_classes)}")


def _dropped_notes(dropped):
    """Return the notes on the events that A and B have left out: one note where both have left out the same."""
    from eventsim.runs.summary_text import dropped_notes

    if dropped[1] in (None, dropped[0]):
        return dropped_notes(dropped[0])
    return [f"{side}: {text}" for side, n in zip("AB", dropped) for text in dropped_notes(n)]


def _run(text, arguments, screen):
    """Return the side of a comparison that MODEL or MODEL@WORD[@WORD...] names."""
    from eventsim.comparison.sides import SimulatorSide
    from eventsim.comparison.traces import is_trace, open_trace

    path, arithmetic, options = _target(text)
    if path == text and is_trace(path):
        with open_trace(path):  # which says of what else a file may be
            pass
        raise DataError(f"{path}: not a model file; a trace can only be B")
    model = loaded(path, options, screen.note)
    return SimulatorSide(simulator_of(model, arguments, text, screen.note, **arithmetic), text)


def _target(text):
    """(path, arguments of Simulator, options of load) of MODEL or MODEL@WORD[@WORD...]."""
    from eventsim import formats

    known = formats.options()
    presets = {choice for option in known["preset"].values() for choice in option.choices}
    path, arithmetic, options = text, {}, {}
    while "@" in path and not os.path.exists(path):
        path, _, word = path.rpartition("@")
        if word.partition("=")[0].isidentifier() and "=" in word:
            options = _joined(text, [_option(text, part, known) for part in _parts(word, known)], options)
        elif word in presets:
            options = _joined(text, [("preset", word)], options)
        else:
            if arithmetic:
                raise FormatError(f"{text}: {word!r} is a second arithmetic: give one precision or one chip")
            arithmetic = _arithmetic(text, word)
    return path, arithmetic, options


def _joined(text, given, options):
    """Return options with more of them, (name, value). Raises FormatError for one that is given twice."""
    names = [*options, *(name for name, _ in given)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise FormatError(f"{text}: {twice[0]} is given twice")
    return {**dict(given), **options}


def _parts(word, known):
    """Split name=value,name=value at its commas, but not within a value per node, as in
    reset=lif1=zero,lif2=soft."""
    parts = []
    for part in word.split(","):
        before = parts[-1].split("=") if parts else ()
        if len(before) > 2 and part.partition("=")[0] not in known:
            parts[-1] += "," + part
        else:
            parts.append(part)
    return parts


def _option(text, part, known):
    """Return (name, value) of name=value, the value of the type that a format declares for the name."""
    name, equals, value = part.partition("=")
    if not equals or name not in known:
        raise FormatError(f"{text}: {part!r} is no option of loading, expected name=value with a name of "
                          f"{', '.join(known)}")
    option = next(iter(known[name].values()))
    try:
        parsed = option.parsed(value)
    except ValueError:
        raise FormatError(f"{text}: {name} is {value!r}, expected {_KINDS[option.kind]}") from None
    if isinstance(parsed, dict) and named_twice(value):
        raise FormatError(f"{text}: {name} names node {named_twice(value)!r} twice")
    return name, parsed


_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def _arithmetic(text, word):
    """Arguments of Simulator for a precision or a chip."""
    from eventsim.model.chip import chip_names, find_chip
    from eventsim.lowering.recipe import PRECISIONS

    if word in PRECISIONS:
        return {"precision": word}
    if word in chip_names() or word.lower().endswith(".json") or os.path.isfile(word):
        return {"chip": find_chip(word)}
    raise FormatError(
        f"{text}: {word!r} is no precision ({', '.join(PRECISIONS)}), no chip ({', '.join(chip_names())}), "
        "no chip file (.json), and no option of loading (name=value)"
        + meant(word, (*PRECISIONS, *chip_names()))
    )


def _check_steps(data, arguments, a, b):
    if data.lengths is not None and _reads_otherwise(b, a):
        raise DataError(f"{arguments.data}: holds event recordings, of which the inputs of {a.label} and "
                        f"{b.label} make other steps: comparing them needs timesteps (--timesteps N)")
    if arguments.timesteps and data.n_steps not in (None, arguments.timesteps):
        raise DataError(
            f"{arguments.data}: x has {data.n_steps} steps, but --timesteps says {arguments.timesteps}"
        )


def _reads_otherwise(b, a):
    """Return whether B reads the data in another form than A."""
    return not b.is_trace and repr(a.model.nodes[a.model.input]) != repr(b.model.nodes[b.model.input])


def _n_compared(data, arguments):
    """Return how many samples of the data are to be compared."""
    return min(arguments.limit or len(data), len(data))


def _batches(data, other, a, b, comparing, arguments, screen):
    """Yield (xa, xb, labels, lengths) batch by batch; B reads the data in its own layout."""
    total = _n_compared(data, arguments)
    mine = _batches_naming_side(data.batches(comparing.batch, arguments.limit), a, b)
    theirs = None if other is None else _batches_naming_side(other.batches(comparing.batch, arguments.limit), b, a)
    done = 0
    with screen.bar(total) as move:
        for x, labels in mine:
            if comparing.exhausted:
                return
            lengths = None if data.lengths is None else data.lengths[done : done + len(x)]
            yield x, x if theirs is None else next(theirs)[0], labels, lengths
            done += len(x)
            move(done)
