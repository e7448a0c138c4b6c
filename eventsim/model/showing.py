"""What a model shows of itself at a prompt and in a notebook."""

from eventsim.display.card import Card, cut, MOST_ROWS, times
from eventsim.display.strip import Box, strip
from eventsim.display.table import Table
from eventsim.model.node import is_default, setting_text
from eventsim.text import all_digits, many, quantity


def ordered_names(model):
    """Names of the nodes in the order of execution."""
    return [name for group in model.order() for name in group]


def node_table(model) -> Table:
    """One row per node, in the order of execution."""
    names = ordered_names(model)
    nodes = [model.nodes[name] for name in names]
    return Table({
        "node": names, "kind": [node.kind for node in nodes],
        "shape": [times(model.shapes[name]) for name in names],
        "reads": [_reads(model, name) for name in names],
        "weights": [node.n_weights for node in nodes],
        "settings": [_settings(node) for node in nodes],
    }, title=_title(model))


def model_card(model) -> Card:
    """The strip and the first nodes of a model."""
    table = node_table(model)
    facts = [
        ("weights", quantity(sum(node.n_weights for node in model.nodes.values()))),
        ("input", f"{cut(model.input)!r}, {times(model.shapes[model.input])}"),
        ("output", f"{cut(model.output)!r}, {times(model.shapes[model.output])}"),
        ("file", model.file), ("chip", None if model.chip is None else model.chip.name),
        ("check samples", None if model.check is None else len(model.check.x)),
        ("classes", _classes(model.class_names)),
    ]
    names = ("node", "kind", "shape", "reads", "weights", "settings")
    rows = [[(quantity(cell) if cell else "") if isinstance(cell, int) else cell for cell in row]
            for row in zip(*(table.columns[name][:MOST_ROWS] for name in names))]
    boxes = [Box(name, model.nodes[name].kind, model.nodes[name].role, model.shapes[name],
                 [(edge.source, edge.delay) for edge in model.incoming(name)]) for name in table.columns["node"]]
    return Card(_title(model), [(name, value) for name, value in facts if value is not None], names, rows,
                len(boxes), strip(boxes))


def _title(model):
    steps = "steps not given" if model.timesteps is None else many(model.timesteps, "step")
    steps += " alone" * model.timesteps_fixed
    return f"Model({many(len(model.nodes), 'node')}, {many(len(model.edges), 'edge')}, {steps})"


def _classes(names):
    """How many there are, and the first ones."""
    if not names:
        return None
    return f"{all_digits(len(names))}: {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"


def _reads(model, name):
    edges = model.incoming(name)
    sources = [edge.source + (f" (delay {edge.delay})" if edge.delay else "") for edge in edges[:8]]
    return ", ".join(sources) + (f", ... ({len(edges)} in all)" if len(edges) > 8 else "")


def _settings(node):
    return ", ".join(f"{key} {setting_text(value)}" for key, value in node.shown().items()
                     if not is_default(node, key))
