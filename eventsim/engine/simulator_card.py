"""The card of a simulator: its arithmetic, and what that does to the first layers."""

from eventsim.display.card import Card, cut, MOST_ROWS, times
from eventsim.text import many, NONE, number, quantity


def simulator_card(simulator) -> Card:
    """Show a `Simulator`."""
    program, model = simulator.program, simulator.model
    facts = [("precision", simulator.precision), ("chip", None if program.chip is None else program.chip.name),
             ("workers", simulator.workers),
             ("input", f"{cut(model.input)!r}, {times(model.shapes[model.input])}"),
             ("output", f"{cut(model.output)!r}, {times(model.shapes[model.output])}"),
             ("steps", "to be given" if model.timesteps is None else model.timesteps),
             ("steps without overflow", "any" if program.safe_steps is None else program.safe_steps)]
    rows = [(layer.name, times(layer.logical_shape), layer.bits or NONE,
             *_rounded(program.rounding.get(layer.name))) for layer in program.layers[:MOST_ROWS]]
    return Card(f"Simulator({many(len(model.nodes), 'node')}, {simulator.precision})",
                [(name, value) for name, value in facts if value is not None],
                ("layer", "shape", "bits", "weights", "weight bits", "rounded to 0", "largest error"), rows,
                len(program.layers), note="run(x) records, predict(x) and score(x, y) answer")


def _rounded(rounding):
    """Return the cells of what fixed point changed in a layer; blanks where it changed nothing."""
    if rounding is None:
        return (NONE,) * 4
    return (quantity(rounding.n_weights), rounding.weight_bits, quantity(rounding.n_zeroed),
            number(rounding.weight_error))
