"""What a comparison found, as data: the first divergence, how far each layer is from its partner, predictions."""

import math
from dataclasses import asdict, dataclass, field
from typing import Dict, List, Optional, Tuple

from eventsim.comparison.diagnosis import NeuronDecision
from eventsim.display.card import Card, MOST_ROWS, Shown
from eventsim.text import all_digits, many, number, percent


@dataclass(frozen=True)
class Divergence:
    """The first value in which two runs differ.

    sample, step: from 0. layer, layer_b: the layer in A and in B. kind: of the node in A.
    neuron: index in the layer, in the order C, H, W; position: the same as (c, y, x), (c, x) or (c,).
    variable: "currents", "potentials", "spikes", "residuals" or "outputs".
    values: of A and B; levels of spikes, else in units of the membrane. steps: the same as integer
    state steps, where a run counts in them.
    decisions: how A and B came to fire or not, None where a trace does not tell.
    values_there: variable -> what A and B had in that neuron at that step, in units of the membrane.

    >>> import numpy as np
    >>> import eventsim
    >>> from eventsim import Input, Model, Neuron
    >>> a, b = (Model({"in": Input((2,)), "n": Neuron(v_threshold=threshold)}, [("in", "n")], timesteps=3)
    ...         for threshold in (1.0, 2.0))
    >>> first = eventsim.compare(a, b, np.array([[0, 1]])).first
    >>> first.sample, first.step, first.layer, first.neuron, first.variable, first.values
    (0, 0, 'n', 1, 'spikes', (1.0, 0.0))
    """

    sample: int
    step: int
    layer: str
    layer_b: str
    kind: str
    neuron: int
    position: Tuple[int, ...]
    variable: str
    values: Tuple[float, float]
    steps: Tuple[Optional[int], Optional[int]]
    decisions: Tuple[Optional[NeuronDecision], Optional[NeuronDecision]] = (None, None)
    values_there: Dict[str, Tuple[Optional[float], Optional[float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Overflow:
    """A number of a layer that left its width, in any sample.

    side: "A" or "B". quantity: "sum", "current" or "membrane". times: how often. bits: its width;
    needed: what would have held it. then: what the chip does ("wrap", "saturate", ...).
    """

    side: str
    layer: str
    quantity: str
    times: int
    bits: int
    needed: int
    then: str


@dataclass
class LayerDifference:
    """How far one layer is from its partner.

    name, name_b, kind, neurons. variables: what was compared.
    drift: variable -> largest difference, in units of the membrane, in any sample before that
        sample diverged.
    spread: per step of the first divergent sample the share of neurons that differ in what decides;
    spikes: the share whose spikes differ. Both empty where nothing diverged.
    """

    name: str
    name_b: str
    kind: str
    neurons: int
    variables: Tuple[str, ...]
    drift: Dict[str, float] = field(default_factory=dict)
    spread: List[float] = field(default_factory=list)
    spikes: List[float] = field(default_factory=list)


@dataclass(repr=False)
class Comparison(Shown):
    """What `compare` found.

    a, b: names of the two sides; arithmetic: theirs ("float32", "chip loihi", "trace", of a run's file "run,
    int8"). samples: compared. steps: of each, at most; fewest_steps: at least, where they have their own. decides:
    the variables in which a difference is a divergence; differing: those of them in which any sample differs.
    first: the first divergence, or None: equal. divergent: samples that diverge anywhere. layers: in order of
    execution. unmatched: names in A and in B that found no partner. predictions: of A and B for the sample of
    `first`; equal_predictions: samples in which they agree, None where a trace has none of the last step compared;
    changed_predictions: the first samples in which they do not. accuracy: of A and B, None without labels. label:
    of the sample of `first`, or None. overflows: numbers that left the widths of a chip. differences: what the two
    models say differently, in lines; those on the way into the layer of the first divergence come first. notes:
    what a reader has to know. reading: in plain language.

    >>> import numpy as np
    >>> import eventsim
    >>> from eventsim import Input, Model, Neuron
    >>> a, b = (Model({"in": Input((2,)), "n": Neuron(v_threshold=threshold)}, [("in", "n")], timesteps=3)
    ...         for threshold in (1.0, 2.0))
    >>> comparison = eventsim.compare(a, b, np.array([[0, 1], [0, 0]]))
    >>> comparison.divergent, comparison.samples, comparison.differing
    (1, 2, ('potentials', 'spikes', 'residuals', 'outputs'))
    >>> comparison.differences
    ['n.v_threshold: 1.0 in A, 2.0 in B']
    """

    a: str
    b: str
    arithmetic: Tuple[str, str]
    decides: Tuple[str, ...]
    samples: int = 0
    steps: int = 0
    fewest_steps: int = 0
    divergent: int = 0
    first: Optional[Divergence] = None
    layers: List[LayerDifference] = field(default_factory=list)
    unmatched: Tuple[List[str], List[str]] = ((), ())
    predictions: Optional[Tuple[int, Optional[int]]] = None
    label: Optional[int] = None
    equal_predictions: Optional[int] = None
    changed_predictions: List[int] = field(default_factory=list)
    accuracy: Tuple[Optional[float], Optional[float]] = (None, None)
    overflows: List[Overflow] = field(default_factory=list)
    differences: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    reading: str = ""
    differing: Tuple[str, ...] = ()

    def card(self) -> Card:
        """Whether the sides are equal, or where they part first, and the reading."""
        first = self.first
        sides = [(side, arithmetic if name == side else f"{name} ({arithmetic})")
                 for side, name, arithmetic in zip("AB", (self.a, self.b), self.arithmetic)]
        facts = [*sides,
                 ("decided by", ", ".join(self.decides)),
                 ("equal predictions", None if self.equal_predictions is None
                  else f"{self.equal_predictions} of {self.samples}")]
        if first is not None:
            facts.append(("first difference", f"sample {first.sample}, step {first.step}, {first.layer}, neuron "
                                              f"{first.neuron}, {first.variable}"))
        rows = [(layer.name, layer.kind, all_digits(layer.neurons), percent(max(layer.spread, default=0)),
                 number(max(layer.drift.values(), default=0))) for layer in self.layers[:MOST_ROWS]]
        verdict = "equal" if self.equal else f"{self.divergent} of {many(self.samples, 'sample')} differ"
        return Card(f"Comparison({verdict}, {self.steps_said})",
                    [(name, value) for name, value in facts if value is not None],
                    ("layer", "kind", "neurons", "neurons that differ, at most", "largest drift"), rows,
                    len(self.layers), note=self.reading)

    @property
    def steps_said(self) -> str:
        """How many steps of a sample were compared, for people."""
        fewest = f"{all_digits(self.fewest_steps)} to " if self.fewest_steps < self.steps else ""
        return fewest + many(self.steps, "step")

    @property
    def equal(self) -> bool:
        """Whether nothing that decides differs."""
        return self.first is None

    def as_json(self) -> Dict:
        """Everything as plain data; numbers that are not finite as "inf", "-inf" and "nan", since JSON has
        none."""
        return {"equal": self.equal, **_plain(asdict(self))}


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
