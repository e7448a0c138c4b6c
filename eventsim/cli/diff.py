"""The command `diff`: two models, or one in two arithmetics, and where they part.

Exit status: 0 equal, 3 different, so that 1 (an error) and 2 (wrong usage) mean what they mean in every
other command.
"""

import os
from contextlib import ExitStack

from eventsim.cli.arguments import (
    add_data, add_memory_limit, add_output, loaded, named_twice, naming, output_group, positive,
)
from eventsim.cli.data_arguments import add_data_options, data_options, say_notes
from eventsim.cli.screen import Screen, width
from eventsim.errors import DataError, FormatError
from eventsim.storage.json_fields import json_text
from eventsim.text import did_you_mean, wrapped

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
    steps.add_argument("--timesteps", type=positive, metavar="T", help="steps; default: A's")
    steps.add_argument("--whole", action="store_true", help="each recording as long as it is")
    group.add_argument("--variables", metavar="V,V", type=_variables,
                       help="what decides, of spikes,currents,potentials,residuals,outputs; default: all in "
                       "the same arithmetic and in traces, otherwise spikes")
    group.add_argument("--tolerance", type=float, metavar="X",
                       help="differences up to X, in units of the membrane, are none; default 0, and 1e-4 "
                       "of the threshold for a trace")
    add_memory_limit(group)
    output = add_output(output_group(diff))
    add_data_options(diff, output)


def _variables(text):
    return tuple(text.split(","))


def run_diff(arguments):
    """eventsim diff A B DATA"""
    from eventsim.inputs.dataset import open_dataset
    from eventsim.comparison.divergence import Comparing
    from eventsim.comparison.text import as_text
    from eventsim.comparison.sides import TraceSide
    from eventsim.comparison.traces import is_trace, open_trace

    screen = Screen(arguments)
    with ExitStack() as stack:
        stack.enter_context(screen.compiling())
        a = _run(arguments.a, arguments.memory_limit)
        if is_trace(arguments.b):
            b = TraceSide(stack.enter_context(open_trace(arguments.b)), a)
        else:
            b = _run(arguments.b, arguments.memory_limit)
        node = a.model.nodes[a.model.input]
        steps = None if arguments.whole else arguments.timesteps or a.model.timesteps
        data = open_dataset(arguments.data, node, steps, **data_options(arguments)).with_labels_of(a.model.class_names)
        _check_steps(data, arguments, a, b)
        steps = data.n_steps or a.model.steps(arguments.timesteps)
        comparing = Comparing(a, b, steps, arguments.variables, arguments.tolerance)
        for batch in _batches(data, a, b, comparing, arguments, screen):
            comparing.add(*batch)
        found = comparing.result()
        say_notes(data, arguments.data)
    if arguments.json:
        print(json_text({"data": arguments.data, **found.as_json()}))
    else:
        columns = width()
        print(wrapped(as_text(found, arguments.data, columns), columns))
    return 0 if found.equal else DIFFERENT


def _run(text, memory_limit):
    """The Run of MODEL, with what may stand behind its @s."""
    from eventsim.comparison.sides import SimulatorSide
    from eventsim.engine.simulator import Simulator
    from eventsim.comparison.traces import is_trace

    path, arithmetic, options = _target(text)
    if path == text and is_trace(path):
        raise DataError(f"{path}: not a model file; a trace can only be B")
    model = loaded(path, options)
    with naming(text):
        return SimulatorSide(Simulator(model, **arithmetic, memory_limit=memory_limit), text)


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
    """Options with more of them, (name, value)."""
    names = [*options, *(name for name, _ in given)]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise FormatError(f"{text}: {twice[0]} is given twice")
    return {**dict(given), **options}


def _parts(word, known):
    """name=value of name=value,name=value; a value per node goes on over commas: reset=lif1=zero,lif2=soft."""
    parts = []
    for part in word.split(","):
        before = parts[-1].split("=") if parts else ()
        if len(before) > 2 and part.partition("=")[0] not in known:
            parts[-1] += "," + part
        else:
            parts.append(part)
    return parts


def _option(text, part, known):
    """(name, value) of name=value, of the type that a format declares for it."""
    name, equals, value = part.partition("=")
    if not equals or name not in known:
        raise FormatError(f"{text}: {part!r} is no option of loading, expected name=value with a name of "
                          f"{', '.join(known)}")
    option = next(iter(known[name].values()))
    try:
        found = option.parsed(value)
    except ValueError:
        raise FormatError(f"{text}: {name} is {value!r}, expected {_KINDS[option.kind]}") from None
    if isinstance(found, dict) and named_twice(value):
        raise FormatError(f"{text}: {name} names node {named_twice(value)!r} twice")
    return name, found


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
        + did_you_mean(word.lower(), (*PRECISIONS, *chip_names()))
    )


def _check_steps(data, arguments, a, b):
    if data.lengths is not None and _reads_otherwise(b, a):
        raise DataError(f"{arguments.data}: holds event recordings, of which the inputs of {a.label} and {b.label} "
                        "make other steps: comparing them needs timesteps (--timesteps N)")
    if arguments.timesteps and data.n_steps not in (None, arguments.timesteps):
        raise DataError(
            f"{arguments.data}: x has {data.n_steps} steps, but --timesteps says {arguments.timesteps}"
        )


def _reads_otherwise(b, a):
    """Whether B takes the data in another form than A."""
    return not b.is_trace and repr(a.model.nodes[a.model.input]) != repr(b.model.nodes[b.model.input])


def _batches(data, a, b, comparing, arguments, screen):
    """(xa, xb, labels, lengths) batch by batch; B sees the data in its own layout."""
    from eventsim.inputs.dataset import open_dataset

    total = min(arguments.limit or len(data), len(data))
    mine = data.batches(comparing.batch, arguments.limit)
    other = None
    if _reads_otherwise(b, a):
        theirs = open_dataset(arguments.data, b.model.nodes[b.model.input], comparing.steps,
                              **data_options(arguments))
        other = theirs.batches(comparing.batch, arguments.limit)
    done = 0
    with screen.bar(total) as move:
        for x, labels in mine:
            if comparing.exhausted:
                return
            lengths = None if data.lengths is None else data.lengths[done : done + len(x)]
            yield x, x if other is None else next(other)[0], labels, lengths
            done += len(x)
            move(done)
