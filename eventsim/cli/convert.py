"""The command `convert`: a model of any known format, written in another."""

from pathlib import Path

from eventsim.cli.arguments import add_flag, add_options, add_output, load_model, output_group
from eventsim.cli.screen import Screen, warnings_by, width
from eventsim.storage.json_fields import json_text
from eventsim.text import printable, wrapped


def add_parser(commands):
    """Add `convert` to the subparsers."""
    convert = commands.add_parser(
        "convert", usage="eventsim convert [options] IN OUT", help="write a model in another format",
        description="Write a model in another format. OUT's suffix names it: .h5 (native) or .nir.",
        examples=("eventsim convert net.nir net.h5 --preset sinabs", "eventsim convert net.net net.h5",
                  "eventsim convert net.h5 net.nir --help     # with the options of NIR files"),
    )
    convert.set_defaults(run=run_convert)
    group = convert.add_argument_group("what is converted")
    group.add_argument("model", metavar="IN", help="model file of any known format")
    group.add_argument("out", metavar="OUT", help="file to write: .h5 or .nir")
    output = output_group(convert)
    add_output(output)
    add_options(convert, output, more=(_add_write_options,))


def _add_write_options(convert, words):
    """Add a flag --out-NAME for every option of writing that any format declares; the help shows those of OUT."""
    if words is None or any(word.lower().endswith(".nir") for word in words):
        from eventsim import formats

        group = convert.add_argument_group("how NIR files are written")
        for name, option in formats.write_options().items():
            add_flag(group, "--out-" + name.replace("_", "-"), "out_" + name, [option], option.help)


def run_convert(arguments):
    """eventsim convert IN OUT"""
    from eventsim import formats
    from eventsim.report.text import steps_text
    from eventsim.storage import writing

    writing.spare(arguments.out, arguments.model)
    if arguments.out == "-":
        writing.check_suffix(arguments.out, "a model", ".h5", ".nir")
    screen = Screen(arguments)
    model = load_model(arguments.model, arguments, screen.note)
    with warnings_by(screen.note):
        formats.save(model, arguments.out, **{
            name: getattr(arguments, "out_" + name, None) for name in formats.write_options()
        })
    written = {
        "input": arguments.model, "output": arguments.out, "bytes": Path(arguments.out).stat().st_size,
        "nodes": len(model.nodes), "edges": len(model.edges), "timesteps": model.timesteps,
        "provenance": model.provenance,
        "assumed": {key.removeprefix("assumed "): value for key, value in model.provenance.items()
                    if key.startswith("assumed ")},
        "notes": screen.notes,
    }
    if arguments.json:
        print(json_text(written))
        return 0
    lines = [f"{arguments.out}: {written['nodes']} nodes, {written['edges']} edges, "
             f"{steps_text(written['timesteps'])}, {written['bytes']} bytes, from {arguments.model}",
             *(f"assumed {key}: {value}" for key, value in written["assumed"].items())]
    print("\n".join(wrapped(printable(line), width()) for line in lines))
    return 0
