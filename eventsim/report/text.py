"""Report: a run as a table for people and as plain data for programs."""

import textwrap

from eventsim.model.describing import plain, describe
from eventsim.model.network import Model
from eventsim.text import aligned_table, printable, quantity

WIDTH = 100  # of running text


def describe_text(model: Model, name: str) -> str:
    """`describe` for people."""
    found = describe(model)
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
            ", ".join(f"{key} {plain(value)}" for key, value in node["settings"].items()),
        )
        for node in found["nodes"]
    ]
    text = head + aligned_table(("node", "kind", "shape", "reads", "settings"), rows)
    for key, value in found["provenance"].items():
        text += "\n" + printable(f"{key}: {value}")
    return text


def kernels_text(kernels) -> str:
    """`lowering.kernels_of` for people."""
    rows = [(each["layer"], each["source"], each["kernel"], f"{each['tiles']} x {each['lanes']}", each["weights"],
             each["why"]) for each in kernels]
    return aligned_table(("layer", "reads", "kernel", "channels", "weights", "why"), rows)


def steps_text(timesteps) -> str:
    """How many steps a model takes; timesteps: None where it does not say them."""
    return "steps not given" if timesteps is None else f"{timesteps} steps"


def findings_text(found):
    """Findings, given as mappings with severity, sentence and remedy, in lines for people. What helps
    against several of them is said once."""
    lines = []
    for one, following in zip(found, [*found[1:], None]):
        said = printable(f"{one['severity']}: {one['sentence']}")
        lines.append(textwrap.fill(said, WIDTH, subsequent_indent="  "))
        if following is None or following["remedy"] != one["remedy"]:
            lines.append(textwrap.fill(one["remedy"], WIDTH, initial_indent="  -> ", subsequent_indent="     "))
    return "\n".join(lines or ["no findings"]) + "\n"
