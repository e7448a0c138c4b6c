"""The command `stream`: events as they come through a model, one line per window."""

import sys

from eventsim.cli.arguments import (
    add_chip, add_memory_limit, add_model, add_options, add_precision, load_model, output_group, real,
    simulator_of,
)
from eventsim.cli.data_arguments import add_data_options, data_options
from eventsim.cli.parsing import add_help
from eventsim.cli.screen import Screen, tell, warnings_by, width
from eventsim.cli.streams import OutputError
from eventsim.errors import DataError, EventsimError, FormatError
from eventsim.storage.json_fields import json_text
from eventsim.text import aligned_table, all_digits, CUT, many, number, printable, quantity, wrapped

RECORDING_FLAGS = ("sensor_size", "time_unit", "columns", "keep_going", "sample", "longest_gap", "crop",
                   "downsample", "orient")
COLUMNS = ("until", "decision", "events", "synops", "latency")
WIDTHS = (12, 14, 10, 10, 12)
UNREAD = (BrokenPipeError, OutputError)  # nobody reads our output
LEFT_OUT = ("synops", "latency", "events")  # columns, where they do not fit
SHARE = real("a share from 0 to below 1", lambda value: 0 <= value < 1)


def add_parser(commands):
    """Add `stream` to the subparsers."""
    stream = commands.add_parser(
        "stream", usage="eventsim stream [options] MODEL SOURCE", help="run events as they come, without end",
        description="Run events as they come, a window after another. Through a pipe come lines t,x,y,p or events "
        "of 13 bytes (t uint64 in microseconds, x and y uint16, p uint8, little-endian); packets have the latter.",
        examples=("eventsim stream net.h5 recording.raw --window 50ms --stride 10ms",
                  "eventsim stream net.h5 udp://127.0.0.1:3333 --realtime --json"),
    )
    stream.set_defaults(run=run_stream)
    group = stream.add_argument_group("what is run")
    add_model(group)
    group.add_argument("source", metavar="SOURCE", help="a recording, a named pipe, - (standard input) or "
                                                        "udp://HOST:PORT")
    group.add_argument("--window", metavar="TIME", help="whole steps, such as 10ms (default: those in 10ms)")
    group.add_argument("--step", metavar="TIME", help="width of a step; default: the model's")
    group.add_argument("--stride", metavar="TIME", help="from window to window, where they slide")
    group.add_argument("--fresh", action="store_true", help="each window from rest; else the state is carried on")
    group.add_argument("--smoothing", type=SHARE, default=0.0, metavar="X",
                       help="share of the past in a decision, 0 to below 1")
    group.add_argument("--slack", default="0ms", metavar="TIME",
                       help="how long windows wait for events out of order")
    group.add_argument("--realtime", action="store_true", help="close windows by the clock")
    add_precision(group)
    add_chip(group)
    add_memory_limit(group)
    group = output_group(stream)
    group.add_argument("--json", action="store_true", help="a JSON object for each window, and for the summary")
    group.add_argument("-q", "--quiet", action="store_true", help="no bars")
    group.add_argument("-v", "--verbose", action="store_true", help="say what is done, and how long it takes")
    add_help(group)
    add_data_options(stream, group, RECORDING_FLAGS)
    add_options(stream, group)


def run_stream(arguments):
    """eventsim stream MODEL SOURCE"""
    screen = Screen(arguments)
    stream, model = _opened(arguments, screen)
    show = _show_json if arguments.json else _show_text
    try:
        for window in stream:
            show(window, model.class_names)
    except EventsimError as error:
        if stream.summary.windows or isinstance(error, OutputError):
            _end(stream, arguments.json, screen, error)
        raise
    except BaseException as error:  # nobody reads our output, Ctrl-C, or a signal that ends it
        _end(stream, arguments.json, screen, error)
        raise
    _end(stream, arguments.json, screen)
    return 0


def _opened(arguments, screen):
    """Return the Stream and the Model that the arguments name."""
    from eventsim.inputs.event_files.opening import check_recording
    from eventsim.inputs.live import event_stream
    from eventsim.inputs.preparing import DataOptions, prepared

    model = _model_of(arguments, screen)
    if model.nodes[model.input].events is None:
        raise DataError(f"{arguments.model}: its input is values, not events, so that it cannot be streamed: use "
                        f"eventsim run {arguments.model} DATA, or give a model whose input is events")
    if model.nodes[model.input].events.assumption:
        screen.note(f"{arguments.model}: {model.nodes[model.input].events.assumption}")
    if not (arguments.source.startswith("udp:") or arguments.source == "-"):
        check_recording(arguments.source, "eventsim run")
    simulator = simulator_of(model, arguments, note=screen.note)
    options = DataOptions(**data_options(arguments))
    source = prepared(event_stream(arguments.source, options), options)
    with screen.doing("made it ready to stream"), screen.compiling(), warnings_by(screen.note):
        return simulator.stream(
            source, arguments.window, step=arguments.step, stride=arguments.stride, fresh=arguments.fresh,
            smoothing=arguments.smoothing, slack=arguments.slack, realtime=arguments.realtime,
            longest_gap=options.longest_gap, keep_going=options.keep_going), model


def _model_of(arguments, screen):
    """Return the model that the arguments name. Of a file that says its steps itself, --step sets their width."""
    try:
        return load_model(arguments.model, arguments, screen.note)
    except FormatError as error:
        if "'bin_width' is no option" not in str(error):
            raise
        raise FormatError(f"{error}; another width of steps is --step TIME") from None


# ---- lines


def _show_text(window, names):
    synops = window.counts.total("synops")
    cells = (f"{window.stop / 1e6:.6g} s", _named(window.prediction, names), all_digits(window.n_events),
             quantity(synops), f"{number(1e3 * window.latency)} ms")
    head, _, row, *left_out = _table(cells, width())
    lines = [*left_out, head, row] if window.number == 0 else [row]
    print("\n".join(lines), flush=True)


def _table(cells, columns):
    """Return the lines of a table of one row, whose columns are as wide in every window; on a terminal, names are
    cut."""
    n_until, n_decision, *rest = WIDTHS
    until, decision, *numbers = cells
    if columns is not None and len(decision) > n_decision:
        decision = decision[: n_decision - len(CUT)] + CUT
    row = [until.ljust(n_until), decision.ljust(n_decision), *(cell.rjust(n) for cell, n in zip(numbers, rest))]
    return aligned_table(COLUMNS, [row], columns, LEFT_OUT, ("decision",)).splitlines()


def _named(prediction, names):
    return printable(names[prediction]) if prediction < len(names) else str(prediction)


def _show_json(window, names):
    fields = {
        "window": window.number, "start_us": window.start, "stop_us": window.stop, "steps": window.steps,
        "prediction": window.prediction, "class": _named(window.prediction, names),
        "answer": window.answer.tolist(), "scores": window.scores.tolist(), "output": window.output.tolist(),
        "events": window.n_events,
        "counts": {name: window.counts.total(name) for name in ("synops", "additions", "macs")},
        "layers": {name: int(row["events"].sum()) for name, row in window.counts.layers.items()},
        "latency_ms": 1e3 * window.latency,
    }
    print(json_text(fields), flush=True)


def _end(stream, as_json, screen, error=None):
    """Print the notes and the summary, whatever ended the stream, also where the reader of our output has left.
    error: what ended it, if anything did."""
    summary = stream.summary
    for text in summary.notes:
        tell(f"{stream.source.name}: {printable(text)}")
    fields = {**vars(summary), "notes": [*screen.notes, *summary.notes]}
    text = json_text({"summary": fields}) if as_json else "\n" + wrapped(_summary_text(summary), width())
    unread = isinstance(error, UNREAD)
    try:
        if not unread:
            print(text, flush=True)
    except UNREAD:
        unread = True
        raise
    finally:
        if unread and not as_json:  # somebody may read this
            print(_summary_text(summary), file=sys.stderr)


def _summary_text(summary):
    late = f", {all_digits(summary.late_events)} late and left out" if summary.late_events else ""
    lines = [f"{many(summary.windows, 'window')}, {many(summary.steps, 'step')} "
             f"({number(summary.stream_seconds, 4)} s), {many(summary.events, 'event')}{late}"]
    if summary.latency_ms is not None:
        latency_ms = summary.latency_ms
        lines += [f"real-time factor {number(summary.real_time_factor)}, "
                  f"{quantity(summary.events_per_second)} events/s ({number(summary.seconds)} s of computing)",
                  "latency " + ", ".join(f"{number(latency_ms[key])} ms ({name})" for key, name in (
                      ("p50", "50 %"), ("p95", "95 %"), ("p99", "99 %"), ("max", "most")))]
    return "\n".join(lines)
