"""Report: a model, its kernels and the findings about a run as text for people."""

from eventsim.arguments import instance_of
from eventsim.model.describing import describe
from eventsim.model.network import Model
from eventsim.model.node import is_default, setting_text
from eventsim.text import aligned_table, inflected, many, n_cells, NONE, printable, quantity, wrapped

LEAST_FOLDED = 24  # cells of a column whose lists go on below
WIDTH = 100  # of running text, where no terminal says it


def describe_text(model: Model, name: str, width=None) -> str:
    """Return what `describe` says of a model as text for people, in lines of at most `width` cells and without the
    settings that are the default; width None: with all settings, in lines of any length."""
    description = describe(instance_of(model, Model, "model", "a Model"))
    parameters = sum(node["parameters"] for node in description["nodes"])
    head = (
        f"{printable(name)}: {many(len(description['nodes']), 'node')}, "
        f"{quantity(parameters)} {inflected(parameters, 'weight', 'weights')}, "
        f"{steps_text(description['timesteps'])}, "
        + (many(description["check"], "check sample") if description["check"] else "no check group")
        + (f", for chip {description['chip']}" if description["chip"] else "") + "\n\n"
    )
    rows = [
        (
            node["name"], node["kind"], "x".join(map(str, node["shape"])),
            ", ".join(node["reads"]) or "-",
            [f"{key} {setting_text(value)}" for key, value in node["settings"].items()
             if width is None or not is_default(model.nodes[node["name"]], key)],
        )
        for node in description["nodes"]
    ]
    text = wrapped(head, width)
    columns = ("node", "kind", "shape", "reads", "settings")
    text += aligned_table(columns, _folded(columns, rows, width), width, ("reads",), ("settings",))
    if width is not None:
        text += wrapped("settings that are the default are not shown; --json prints all\n", width)
    for key, value in description["provenance"].items():
        text += "\n" + wrapped(printable(f"{key}: {value}"), width, "  ")
    return text


def _folded(columns, rows, width):
    """Return rows whose last cell is a list as rows of texts: a list that is too long for the rest of a line of
    `width` goes on in rows below."""
    room = 1 << 20
    if width is not None:
        cells = [[printable(row[i]) for row in (columns, *rows)] for i in range(len(columns) - 1)]
        room = width - sum(max(map(n_cells, column)) + 2 for column in cells)
    folded = []
    for *before, items in rows:
        line, items = "", ", ".join(items).split(", ")  # also those of a mapping, one by one
        for i, item in enumerate(items):
            item += "," * (i < len(items) - 1)
            if line and room >= LEAST_FOLDED and n_cells(f"{line} {item}") > room:
                folded.append((*before, line))
                before, line = [""] * len(before), ""
            line = f"{line} {item}".lstrip()
        folded.append((*before, line))
    return folded


def kernels_text(kernels, width=None) -> str:
    """Return `lowering.kernels_of` as text for people. Where the reasons do not fit beside the rest, they stand
    below."""
    rows = [(each["layer"], each["source"], each["kernel"], f"{each['tiles']} x {each['lanes']}", each["weights"],
             NONE if each["density"] is None else f"{each['density']:.3f}", each["why"]) for each in kernels]
    columns = ("layer", "reads", "kernel", "channels", "weights", "density", "why")
    if width is None:
        return aligned_table(columns, rows, left=("why",))
    reasons = dict.fromkeys((row[2], row[-1]) for row in rows)
    return aligned_table(columns[:-1], [row[:-1] for row in rows], width) + "\n" + "\n".join(
        wrapped(f"{kernel}: {why}", width, "  ") for kernel, why in reasons)


def steps_text(timesteps) -> str:
    """Return how many steps a model takes. timesteps: None where it does not give them."""
    return "steps not given" if timesteps is None else many(timesteps, "step")


def findings_text(rows, width=None, layers=()):
    """Return findings, given as mappings with severity, sentence and remedy, in lines for people. A remedy for
    several of them is printed once. layers: those that were asked for, () for all."""
    lines = []
    for row, next_row in zip(rows, [*rows[1:], None]):
        lines.append(wrapped(printable(f"{row['severity']}: {row['sentence']}"), width or WIDTH, "  "))
        if next_row is None or next_row["remedy"] != row["remedy"]:
            lines.append(wrapped(f"  -> {row['remedy']}", width or WIDTH, "     "))
    nothing = f"no findings about {', '.join(map(printable, layers))} or the network as a whole" if layers else \
        "no findings"
    return "\n".join(lines or [nothing]) + "\n"
