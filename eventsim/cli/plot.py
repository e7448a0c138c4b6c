"""The command `plot`: a picture of a run file."""

import json

from eventsim.cli.arguments import beside, opened
from eventsim.errors import RunError


def run_plot(arguments):
    """eventsim plot RUN KIND"""
    from eventsim import plots
    from eventsim.report.tables import node_names

    kinds = list(plots.KINDS)
    if arguments.kind == "list":
        print(json.dumps({"kinds": kinds}) if arguments.json else "\n".join(kinds))
        return 0
    if arguments.kind not in plots.KINDS:
        raise RunError(f"{arguments.kind!r} is no kind of plot; there are: {', '.join(kinds)}")
    with opened(arguments.model) as run:
        recorded = {name for names in run.recorded.values() for name in names}  # pools too
        node_names(run, [name for name in arguments.layer if name not in recorded])
        if arguments.sample >= run.n_samples:
            raise RunError(f"{run.path}: no sample {arguments.sample}; there are {run.n_samples}, counted from 0")
        draw = plots.KINDS[arguments.kind]
        figure = draw(run, arguments.layer or None, arguments.sample, tuple(arguments.neuron))
    path = arguments.out or beside(arguments.model, f"-{arguments.kind}.png")
    plots.save_figure(figure, path)
    print(json.dumps({"run": arguments.model, "kind": arguments.kind, "written": [str(path)]})
          if arguments.json else path)
    return 0
