"""The command `plot`: a picture of a run file."""

import os
from pathlib import Path

from eventsim.cli.arguments import add_layers, add_output, add_run, beside, natural, opened, output_group
from eventsim.cli.screen import keep_matplotlib_quiet
from eventsim.cli.usage import meant
from eventsim.errors import RunError
from eventsim.storage.json_fields import json_text

ARGUMENTS = {"--sample": "sample", "--neuron": "neurons", "--layer": "layers"}  # option -> what kinds call it


def add_parser(commands):
    """Add `plot` to the subparsers."""
    plot = commands.add_parser(
        "plot", usage="eventsim plot [options] RUN KIND", help="draw one picture of a run",
        description="Draw one picture of a run.",
        examples=("eventsim plot run.h5 list", "eventsim plot run.h5 rates", "eventsim plot run.h5 raster "
                  "--layer conv1 --sample 3 -o raster.svg"),
    )
    plot.set_defaults(run=run_plot, refuse=plot.error)
    group = plot.add_argument_group("what is drawn")
    add_run(group)
    group.add_argument("kind", metavar="KIND", nargs="?", help="what to draw; list: name all kinds")
    group.add_argument("--sample", type=natural, metavar="N", help="sample, where one is drawn; default 0")
    group.add_argument("--neuron", type=natural, action="append", default=[], metavar="N",
                       help="neuron, where single ones are drawn; repeat for more")
    add_layers(group)
    plot.add_argument_group("what is written").add_argument(
        "-o", "--out", type=Path, metavar="FILE",
        help="picture: .png, .svg or .pdf; default: RUN-KIND.png beside RUN")
    add_output(output_group(plot))


def run_plot(arguments):
    """eventsim plot RUN KIND"""
    keep_matplotlib_quiet()
    from eventsim import plots
    from eventsim.report.tables import node_names
    from eventsim.storage import writing

    kinds = list(plots.KINDS)
    if arguments.kind is None:
        arguments.refuse(f"RUN is missing: eventsim plot RUN {arguments.model}" if arguments.model in kinds else
                         f"KIND is missing: there are {', '.join(kinds)}")
    if arguments.kind == "list":
        print(json_text({"kinds": kinds}) if arguments.json else "\n".join(kinds))
        return 0
    if arguments.kind not in plots.KINDS:
        if os.path.exists(arguments.kind) and arguments.model in plots.KINDS:
            arguments.refuse(f"RUN comes before KIND: eventsim plot {arguments.kind} {arguments.model}")
        arguments.refuse(f"{arguments.kind!r} is no kind of plot"
                         + (meant(arguments.kind, ("list", *kinds)) or f": there are {', '.join(kinds)}"))
    _check_taken(arguments)
    path = arguments.out or beside(arguments.model, f"-{arguments.kind}.png")
    writing.spare(path, arguments.model)
    with opened(arguments.model) as run:
        recorded = {name for names in run.recorded.values() for name in names}  # pools too
        node_names(run, [name for name in arguments.layer if name not in recorded])
        sample = arguments.sample or 0
        if sample >= run.n_samples:
            raise RunError(f"{run.path}: no sample {sample}; there are {run.n_samples}, counted from 0")
        draw = plots.KINDS[arguments.kind]
        figure = draw(run, arguments.layer or None, arguments.sample, tuple(arguments.neuron))
    plots.save_figure(figure, path)
    print(json_text({"run": arguments.model, "kind": arguments.kind, "written": [str(path)]})
          if arguments.json else path)
    return 0


def _check_taken(arguments):
    """End the program with one line where an option is given that this kind of plot does not take."""
    from eventsim.plots.of_runs import taking

    for flag, argument in ARGUMENTS.items():
        if getattr(arguments, flag[2:]) not in (None, []) and arguments.kind not in taking(argument):
            arguments.refuse(f"{flag} is no option of {arguments.kind}, only of {', '.join(taking(argument))}")
