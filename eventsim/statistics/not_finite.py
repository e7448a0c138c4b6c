"""Numbers that left what floats hold, in words."""

from typing import Dict

from eventsim.text import inflected, many, printable


def overflow_text(precision: str, numbers: Dict[str, int], outputs_of: str = "sample") -> str:
    """Return one line that says what overflowed, or "" where all is finite.

    numbers: layer -> how many of its potentials were seen to be infinite or nan; "" -> how many of the outputs,
    one of each of what `outputs_of` names.
    """
    numbers = {name: n for name, n in numbers.items() if n}
    if not numbers:
        return ""
    seen = [f"{many(n, 'potential')} of {printable(name)}" for name, n in numbers.items() if name]
    seen += [f"the output of {many(numbers[''], outputs_of)}"] if "" in numbers else []
    are = inflected(sum(numbers.values()), "is", "are")
    return (f"{precision} overflowed: {', '.join(seen)} {are} infinite or nan: an infinite one sends its highest "
            "level, one that is nan nothing; run in float64, or rescale the weights")
