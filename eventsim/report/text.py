"""Report: a run as a table for people and as plain data for programs."""

import textwrap

from eventsim.arguments import instance_of
from eventsim.model.describing import describe, is_default, plain
from eventsim.model.network import Model
from eventsim.text import aligned_table, printable, quantity, wrapped

WIDTH = 100  # of running text, where no terminal says it


def describe_text(model: Model, name: str, width=None) -> str:
    """`describe` for people, in lines of at most `width` characters, without the settings that are the default;
    None: all of them, in lines of any length."""
    found = describe(instance_of(model, Model, "model", "a Model"))
    parameters = sum(node["parameters"] for node in found["nodes"])
    head = (
        f"{printable(name)}: {len(found['nodes'])} nodes, {quantity(parameters)} weights, "
        f"{steps_text(found['timesteps'])}, "
        + (f"{found['check']} check samples" if found["check"] else "no check group")
        + (f", for chip {found['chip']}" if found["chip"] else "") + "\n\n"
    )
    rows = [
        (
            node["name"], node["kind"], "x".join(map(str, node["shape"])),
            ", ".join(node["reads"]) or "-",
            ", ".join(f"{key} {plain(value)}" for key, value in node["settings"].items()
                      if width is None or not is_default(model.nodes[node["name"]], key)),
        )
        for node in found["nodes"]
    ]
    text = wrapped(head, width)
    text += aligned_table(("node", "kind", "shape", "reads", "settings"), rows, width, ("reads",), ("settings",))
    if width is not None:
        text += wrapped("settings that are the default are not shown; --json prints all\n", width)
    for key, value in found["provenance"].items():
        text += "\n" + wrapped(printable(f"{key}: {value}"), width, "  ")
    return text


def kernels_text(kernels, width=None) -> str:
    """`lowering.kernels_of` for people. Where the reasons do not fit beside the rest, they stand below."""
    rows = [(each["layer"], each["source"], each["kernel"], f"{each['tiles']} x {each['lanes']}", each["weights"],
             each["why"]) for each in kernels]
    columns = ("layer", "reads", "kernel", "channels", "weights", "why")
    if width is None:
        return aligned_table(columns, rows, left=("why",))
    reasons = dict.fromkeys((row[2], row[-1]) for row in rows)
    return aligned_table(columns[:-1], [row[:-1] for row in rows], width) + "\n" + "\n".join(
        wrapped(f"{kernel}: {why}", width, "  ") for kernel, why in reasons)


def steps_text(timesteps) -> str:
    """How many steps a model takes; timesteps: None where it does not say them."""
    return "steps not given" if timesteps is None else f"{timesteps} steps"


def findings_text(found, width=None):
    """Findings, given as mappings with severity, sentence and remedy, in lines for people. What helps
    against several of them is said once."""
    lines = []
    for one, following in zip(found, [*found[1:], None]):
        said = printable(f"{one['severity']}: {one['sentence']}")
        lines.append(textwrap.fill(said, width or WIDTH, subsequent_indent="  "))
        if following is None or following["remedy"] != one["remedy"]:
            lines.append(textwrap.fill(one["remedy"], width or WIDTH, initial_indent="  -> ",
                                       subsequent_indent="     "))
    return "\n".join(lines or ["no findings"]) + "\n"
