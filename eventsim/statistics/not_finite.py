"""Numbers that left what floats hold, in words."""

from typing import Dict

from eventsim.text import many, printable


def overflow_text(precision: str, found: Dict[str, int], outputs_of: str = "sample") -> str:
    """One line, or "" where all is finite.

    found: layer -> how many of its potentials were seen to be infinite or nan; "" -> how many of the outputs, one of
    each of what `outputs_of` names.
    """
    found = {name: n for name, n in found.items() if n}
    if not found:
        return ""
    seen = [f"{many(n, 'potential')} of {printable(name)}" for name, n in found.items() if name]
    seen += [f"the output of {many(found[''], outputs_of)}"] if "" in found else []
    return (f"{precision} overflowed: {', '.join(seen)} {'is' if sum(found.values()) == 1 else 'are'} infinite or nan: "
            "an infinite one sends its highest level, one that is nan nothing; run in float64, or rescale the weights")
