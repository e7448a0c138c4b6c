"""Folding: reduces a Model's graph to units, in exact float64, before any precision is chosen.

Everything between two spiking nodes is linear, but for maxima of currents, so it becomes *paths* (one
synapse array from one spike train into one membrane) and *terms* (constants that are added at every step). Input
normalisation, BatchNorm, quanta, pooling of currents and input gains disappear into them here.

All arithmetic is elementwise float64 in the order written, sums are `math.fsum`: the constants
do not depend on the machine. Rounding to the type of a run happens once, in `recipe`.
"""

from graphlib import TopologicalSorter
from typing import List, Optional

from eventsim.lowering.layers import layer
from eventsim.lowering.linear import UNEQUAL
from eventsim.lowering.rules import add_flattened, input_unit, RULES
from eventsim.lowering.units import Group, Units
from eventsim.model.chip import Chip
from eventsim.model.network import Model


def fold(model: Model, chip: Optional[Chip] = None) -> List[Group]:
    """Return the units of a model in the order of execution. chip: whose arithmetic they are for, or None.

    Raises UnsupportedError, naming the node, for graphs that cannot run by additions.
    """
    units, groups = Units(model, RULES, chip), []
    for names in model.order():
        n_before = len(units.units)
        for name in names:
            if model.kinds[name] != "current":  # evaluated by those that read it
                _emit(units, name)
        added = list(units.units.values())[n_before:]
        if added:
            recurrent = model.is_recurrent(names)
            groups.append(Group(_in_order(added, recurrent), recurrent))
    if model.output not in units.units:
        raise units.refusal(model.output, f"the model ends in {UNEQUAL}; give its trains equal quanta, or read "
                            "them with a Readout")
    return groups


def _emit(units, name):
    """Add the units of a node."""
    node = units.model.nodes[name]
    if node.role == "input":
        units.add(input_unit(units, name))
    elif node.integrates():
        units.add(layer(units, name))
    else:
        value = units.value(name)  # pools and sums make their units where they are evaluated
        if name == units.model.output and node.reshapes and len(value) == 1:
            add_flattened(units, name, node, value[0])


def _in_order(units, recurrent):
    """Return the units of a group, each after those of the group that it reads (in the same step, where they run
    step by step)."""
    reads = {
        unit.name: [r.unit for r in (*unit.trains, *unit.synapses) if not (recurrent and r.delay)]
        for unit in units
    }
    named = {unit.name: unit for unit in units}
    return [named[name] for name in TopologicalSorter(reads).static_order() if name in named]
