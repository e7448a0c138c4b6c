"""Columns: aligned tables and short numbers for people."""


def table(columns, rows) -> str:
    """Aligned text: first column to the left, the others to the right."""
    rows = [columns, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def quantity(value) -> str:
    """Three digits with a prefix: 17.3 k."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def joules(value) -> str:
    """Three digits of an energy in joule with a prefix: 256 nJ."""
    for size, unit in ((1, "J"), (1e-3, "mJ"), (1e-6, "uJ"), (1e-9, "nJ")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e12:.3g} pJ"
