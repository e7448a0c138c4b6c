"""The command `bench`: how fast a model runs here, layer by layer, against what the machine could do."""

from math import prod
from pathlib import Path

from eventsim.cli.arguments import (
    add_chip, add_data, add_memory_limit, add_model, add_options, add_output, add_precision, load_model,
    MOST_STEPS, output_group, positive, simulator_of, up_to,
)
from eventsim.cli.data_arguments import say_notes
from eventsim.cli.screen import Screen, warnings_by, width
from eventsim.errors import naming
from eventsim.storage.json_fields import json_text
from eventsim.text import wrapped

SAMPLES = 64  # unless --limit says more or fewer
LEFT_OUT = ("executed", "kernels")  # columns, where they do not fit


def add_parser(commands):
    """Add `bench` to the subparsers."""
    bench = commands.add_parser(
        "bench", usage="eventsim bench [options] MODEL [DATA]",
        help="measure how fast a model runs, layer by layer",
        description="Measure how fast a model runs here in one thread: time per layer and in Python, samples per "
                    "second, and how near its additions come to the most that this core reaches, measured in the "
                    "same run. Without DATA: the file's own check samples, else random levels.",
        examples=("eventsim bench net.h5 test.h5 --precision int8",
                  "eventsim bench net.h5 --trace trace.json  # for chrome://tracing or Perfetto"),
    )
    bench.set_defaults(run=run_bench)
    group = bench.add_argument_group("what is measured")
    add_model(group)
    add_data(group, optional=True)
    group.add_argument("--limit", type=positive, default=SAMPLES, metavar="N",
                       help=f"samples of a round (default {SAMPLES})")
    group.add_argument("--rounds", type=positive, default=5, metavar="N",
                       help="rounds, of which the fastest counts (default 5)")
    group.add_argument("--timesteps", type=up_to(MOST_STEPS), metavar="T",
                       help="steps; default: the data's or model's")
    add_precision(group)
    add_chip(group)
    add_memory_limit(group)
    bench.add_argument_group("what is written").add_argument(
        "--trace", type=Path, metavar="FILE", help="each call of a kernel, in Chrome's trace format (JSON)")
    group = output_group(bench)
    add_output(group)
    add_options(bench, group, own=("timesteps",))


def run_bench(arguments):
    """eventsim bench MODEL [DATA]"""
    from eventsim.engine.benchmark import benchmark, chrome_trace
    from eventsim.runs.summary_text import dropped_notes
    from eventsim.storage import writing

    writing.spare(arguments.trace, arguments.model, *filter(None, [arguments.data, arguments.chip]))
    writing.check_suffix(arguments.trace, "a trace", ".json")
    screen = Screen(arguments)
    model = load_model(arguments.model, arguments, screen.note)
    simulator = simulator_of(model, arguments, note=screen.note)
    x, what, dropped = _samples(model, arguments, screen)
    with screen.compiling(), naming(arguments.model, arguments.data), warnings_by(screen.note):
        measured = benchmark(simulator, x, arguments.timesteps, arguments.rounds)
    if arguments.trace:
        content = json_text({"traceEvents": chrome_trace(measured.steps)}).encode()
        writing.write_file(arguments.trace, content)
    if arguments.json:
        notes = screen.notes + ([] if arguments.data else [f"run on {what}"]) + dropped_notes(dropped)
        print(json_text({**_as_json(measured, arguments), "dropped_events": dropped, "notes": notes}))
        return 0
    print(_as_text(measured, f"{arguments.model} on {what}", width()))
    for text in dropped_notes(dropped):
        print(wrapped(text, width()))
    if arguments.trace:
        print(wrapped(f"trace: {arguments.trace}, for chrome://tracing or ui.perfetto.dev", width()))
    return 0


def _samples(model, arguments, screen):
    """Return the samples of a round, what they are, in words, and how many events were left out."""
    import numpy as np

    from eventsim.inputs.dataset import open_dataset

    node = model.nodes[model.input]
    if arguments.data:
        data = open_dataset(arguments.data, node, arguments.timesteps or model.timesteps)
        x = next(data.batches(arguments.limit, arguments.limit))[0]
        say_notes(data, arguments.data, screen)
        return x, arguments.data, data.n_dropped_events
    x = None if model.check is None else model.check.x
    _check_room(arguments.limit, prod(node.shape) if x is None else x[0].size)
    if x is not None:
        return x[np.arange(arguments.limit) % len(x)], "its check samples", 0
    random, shape = np.random.default_rng(0), (arguments.limit, *node.shape)
    if node.encoding == "real":
        return random.normal(size=shape), "random numbers", 0
    return random.integers(0, 1 << node.bits, shape), "random levels, which are no data: times depend on them", 0


def _check_room(limit, size):
    """Raise DataError where `limit` made-up samples take more memory than there is. size: numbers of one
    sample."""
    from eventsim.errors import DataError
    from eventsim.lowering.room import machine_memory, SHARE, size_text

    n_bytes, most = 8 * limit * size, int(SHARE * machine_memory())
    if n_bytes > most:
        raise DataError(f"--limit {limit}: so many samples take {size_text(n_bytes)} of memory, more than "
                        f"{size_text(most)}; give fewer")


def _as_json(measured, arguments):
    return {
        "model": arguments.model, "data": arguments.data, "samples": measured.samples,
        "timesteps": measured.timesteps, "precision": measured.precision, "rounds": measured.rounds,
        "samples_per_second": measured.samples_per_second, "seconds_per_sample": measured.seconds,
        "python_seconds_per_sample": measured.python, "additions_per_sample": measured.additions,
        "machine_additions_per_second": measured.limit,
        "machine_additions_per_second_from_memory": measured.from_memory,
        "layers": [{"name": layer.name, "seconds_per_sample": layer.seconds, "kernels": layer.kernels,
                    "additions_per_sample": layer.additions} for layer in measured.layers],
        **({"trace": str(arguments.trace)} if arguments.trace else {}),
    }


def _as_text(measured, what, columns):
    from eventsim.text import aligned_table, many, percent, quantity

    def row(name, seconds, additions, kernels=""):
        rate = additions / seconds if seconds and additions else None
        return (name, f"{1e6 * seconds:.4g}", percent(seconds / measured.seconds), quantity(additions or None),
                quantity(rate), percent(None if rate is None else rate / measured.limit), kernels)

    rows = [row(layer.name, layer.seconds, layer.additions, ", ".join(layer.kernels)) for layer in measured.layers]
    rows += [row("Python", measured.python, 0), row("total", measured.seconds, measured.additions)]
    head = (f"{what}: {quantity(measured.samples_per_second)} samples/s in one thread, {measured.precision}, "
            f"{many(measured.timesteps, 'step')}, the fastest of {many(measured.rounds, 'round')} of "
            f"{many(measured.samples, 'sample')}\n")
    names = ("layer", "us/sample", "share", "executed", "additions/s", "of the limit", "kernels")
    table = aligned_table(names, rows, columns, LEFT_OUT, ("kernels",))
    tail = (f"limit: {quantity(measured.limit)} additions/s, the most that this core reached now, in 64 lanes of "
            f"weights in its first-level cache; from main memory {quantity(measured.from_memory)}\n"
            "executed: additions, and MACs of real-valued input, per sample; what stands still is computed once "
            "for several steps and counted once, where `eventsim run` counts it in each\n"
            "layers: their shares of a round whose kernels were timed one by one")
    return wrapped(head, columns) + "\n" + table + wrapped(tail, columns)
