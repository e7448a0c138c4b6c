"""Energy tables: what an operation and a bit of memory traffic cost on some hardware, as data.

A table is a JSON file with the fields of `EnergyTable`; those in `energies/` are built in.
"""

import json
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from eventsim.arguments import finite_number, integer
from eventsim.errors import ModelError
from eventsim.model.parameters import choice
from eventsim.storage.json_record import JsonRecords

DEFAULT = "horowitz_45nm"
MAX_BITS = 128
KINDS = ("float", "integer")
ARITHMETIC = ("float_addition", "float_multiplication", "integer_addition", "integer_multiplication")


@dataclass(frozen=True)
class MemoryLevel:
    """One memory. bytes: what it holds; None: any amount. picojoule: of one access, read or write.
    access_bits: how many bits that access moves. Traffic is charged by the bit, as if accesses were
    always full."""

    name: str
    bytes: Optional[int]
    picojoule: float
    access_bits: int

    @property
    def picojoule_per_bit(self) -> float:
        """Energy of one bit read or written."""
        return self.picojoule / self.access_bits


@dataclass(frozen=True)
class EnergyTable:
    """Picojoule per operation. Replace it by your hardware's figures.

    name, description: of the hardware, with the source of the figures.
    float_addition, float_multiplication, integer_addition, integer_multiplication: width in bits ->
        picojoule, each with at least one width. Of floats the narrowest listed width that is wide
        enough is taken, else the widest. Integers of other widths are interpolated (our rule, not
        the source's): additions linearly in the width, as an adder grows with it; products linearly
        in the product of both widths, as a multiplier's array does; below the smallest listed and
        above the largest in proportion to it.
    neuron_update: of one neuron and step besides the products of its update, or None: one addition
        in the arithmetic of the membrane.
    dense_weight_reuse: products that the dense baseline makes with a weight once it is read, at
        least 1. Event-driven additions read theirs each time.
    memory: levels, smallest first; the last one holds anything (bytes null). The smallest level
        that holds something serves all of its traffic.

    Raises ModelError, naming the field.

    >>> from eventsim.costs.energy_table import find_energy_table
    >>> table = find_energy_table("horowitz_45nm")
    >>> table.addition("float", 32), table.multiplication("integer", 8, 8)
    (0.9, 0.2)
    """

    name: str
    float_addition: Dict[str, float]
    float_multiplication: Dict[str, float]
    integer_addition: Dict[str, float]
    integer_multiplication: Dict[str, float]
    memory: Tuple[MemoryLevel, ...]
    neuron_update: Optional[float] = None
    dense_weight_reuse: float = 1.0
    description: str = ""

    def __post_init__(self):
        if not isinstance(self.name, str) or not self.name.isprintable() or not self.name:
            raise ModelError(f"name is {self.name!r}, expected the name of a table")
        if not isinstance(self.description, str):
            raise ModelError(f"description is {self.description!r}, expected text")
        for name in ARITHMETIC:
            object.__setattr__(self, name, _figures(getattr(self, name), name))
        if self.neuron_update is not None:
            _energy(self.neuron_update, "neuron_update")
        if _energy(self.dense_weight_reuse, "dense_weight_reuse", "a number") < 1:
            raise ModelError(f"dense_weight_reuse is {self.dense_weight_reuse}, expected 1 or more")
        object.__setattr__(self, "memory", _levels(self.memory))

    def addition(self, kind, bits) -> float:
        """Return the picojoule of one addition of `kind` ("float" or "integer") at a width in bits. Raises
        ModelError for others."""
        return _figure_at(getattr(self, _kind(kind) + "_addition"), kind, _width(bits, "bits"), 1)

    def multiplication(self, kind, bits, other) -> float:
        """Return the picojoule of one product of two numbers of `kind`, `bits` and `other` bits wide. Raises
        ModelError for others."""
        bits, other = _width(bits, "bits"), _width(other, "other")
        if _kind(kind) == "float":
            return _figure_at(self.float_multiplication, kind, max(bits, other), 2)
        return _figure_at(self.integer_multiplication, kind, bits * other, 2)

    def update(self, kind, bits) -> float:
        """Return the picojoule of one neuron update without its products; errors as `addition`."""
        return self.addition(kind, bits) if self.neuron_update is None else float(self.neuron_update)

    def level(self, bits) -> MemoryLevel:
        """Return the smallest memory that holds so many bits. Raises ModelError for what is no number of bits."""
        bits = finite_number(bits, "bits", ModelError)
        return next(level for level in self.memory if level.bytes is None or 8 * level.bytes >= bits)

    def as_json(self) -> str:
        """Return the text of a table's file."""
        return json.dumps(asdict(self), indent=2) + "\n"


def _kind(kind):
    return choice(kind, "kind", KINDS)


def _width(bits, name):
    return integer(bits, name, 1, error=ModelError)


def _figure_at(figures, kind, size, power):
    """Return the energy at a size: a width to the given power for integers, a width for floats."""
    points = sorted((int(bits), energy) for bits, energy in figures.items())
    if kind == "float":
        return next((energy for bits, energy in points if bits >= size), points[-1][1])
    points = [(bits**power, energy) for bits, energy in points]
    first, last = points[0], points[-1]
    if size <= first[0]:
        return first[1] * size / first[0]
    if size >= last[0]:
        return last[1] * size / last[0]
    low = max(point for point in points if point[0] <= size)
    high = min(point for point in points if point[0] > size)
    return low[1] + (high[1] - low[1]) * (size - low[0]) / (high[0] - low[0])


def _energy(value, name, what="picojoule, a number"):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not isfinite(value) or value < 0:
        raise ModelError(f"{name} is {value!r}, expected {what} of at least 0")
    return value


def _figures(values, name):
    """Return checked figures, with widths as text, as JSON has them. Raises ModelError for others."""
    if not isinstance(values, dict) or not values:
        raise ModelError(f'{name} is {values!r}, expected widths in bits with picojoule, such as {{"32": 0.9}}')
    figures = {}
    for bits, energy in values.items():
        if not str(bits).isascii() or not str(bits).isdigit() or not 1 <= int(bits) <= MAX_BITS:
            raise ModelError(f"{name} has a width of {bits!r}, expected whole bits from 1 to {MAX_BITS}")
        figures[str(int(bits))] = float(_energy(energy, f"{name} of {bits} bits"))
    return figures


def _levels(values):
    if not isinstance(values, (list, tuple)) or not values:
        raise ModelError(f"memory is {values!r}, expected a list of levels, smallest first")
    levels = tuple(_level(level, i) for i, level in enumerate(values))
    sizes = [level.bytes for level in levels]
    if sizes[-1] is not None or None in sizes[:-1]:
        raise ModelError(f"memory has levels of {sizes} bytes, expected null for the last and only there")
    if sizes[:-1] != sorted(set(sizes[:-1])):
        raise ModelError(f"memory has levels of {sizes} bytes, expected each larger than the one before")
    names = [level.name for level in levels]
    if len(set(names)) != len(names):
        raise ModelError(f"memory has levels named {names}, expected different names")
    return levels


def _level(values, index):
    label = f"memory[{index}]"
    if isinstance(values, MemoryLevel):
        values = asdict(values)
    known = [field.name for field in fields(MemoryLevel)]
    if not isinstance(values, dict) or sorted(values) != sorted(known):
        raise ModelError(f"{label} is {values!r}, expected an object with {', '.join(known)}")
    if not isinstance(values["name"], str) or not values["name"].isprintable() or not values["name"]:
        raise ModelError(f"{label}.name is {values['name']!r}, expected the name of a memory")
    for name, low in (("bytes", 0), ("access_bits", 1)):
        value = values[name]
        if name == "bytes" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ModelError(f"{label}.{name} is {value!r}, expected a whole number of at least {low}")
    return MemoryLevel(values["name"], values["bytes"], float(_energy(values["picojoule"], f"{label}.picojoule")),
                       values["access_bits"])


_TABLES = JsonRecords(EnergyTable, "energy table", Path(__file__).parent / "energies")


def energy_table_names() -> List[str]:
    """Return the names of the built-in tables."""
    return _TABLES.names()


def find_energy_table(table=DEFAULT) -> EnergyTable:
    """Return the EnergyTable that is given, or that has a built-in name, or that a JSON file at a path holds.

    Raises FormatError, naming the file and the field.
    """
    return _TABLES.find(table)
