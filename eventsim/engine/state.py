"""State: what of a run changes from step to step."""

from dataclasses import dataclass
from typing import Dict, Optional

import numpy as np

from eventsim.display.card import Card, Shown
from eventsim.equality import ByValue
from eventsim.later import Later
from eventsim.merging import merged
from eventsim.program import LayerStage
from eventsim.text import listed, many

KINDS_OF_STATE = ("membranes", "filtered", "pending", "waiting", "history")


@dataclass(repr=False, eq=False)
class State(ByValue, Later, Shown):
    """What a run leaves behind for the next chunk of the same samples.

    step: absolute steps done. membranes, filtered, pending, waiting: per layer, as the kernels hold
    them. history: per stage, the last planes (of a real input: values) that delayed readers still
    need. sums: float64, int64 or float32 (N, classes), what the output has summed so far.
    proved: the step up to which int32 is proved to hold, where that is beyond the program's `safe_steps`, else 0.
    fingerprint: of what was computed, see `program.Program`; "" where it is not known, as of a state of an earlier
    eventsim.
    """

    step: int = merged(samples="same", steps="last", default_factory=int)
    membranes: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    filtered: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    pending: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    waiting: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    history: Dict[str, np.ndarray] = merged(samples="concatenate", steps="last", default_factory=dict)
    sums: Optional[np.ndarray] = merged(samples="concatenate", steps="last", default_factory=lambda: None)
    proved: int = merged(samples="min", steps="last", default_factory=int)
    fingerprint: str = merged("same", default_factory=str)

    def __setstate__(self, kept):
        vars(self).update({**vars(State()), **kept})  # a pickle of an earlier eventsim lacks what is new

    def card(self) -> Card:
        """Show how far the run is, and what the State keeps."""
        kept = [(kind, listed(getattr(self, kind))) for kind in KINDS_OF_STATE if getattr(self, kind)]
        return Card(f"State(after {many(self.step, 'step')})", kept)

    def samples(self, start, stop) -> "State":
        """Return the State of some of the samples, as copies that kernels can take."""

        def cut(arrays):
            return {name: np.array(array[start:stop], order="C") for name, array in arrays.items()}

        return State(
            int(self.step), *(cut(getattr(self, kind)) for kind in KINDS_OF_STATE),
            None if self.sums is None else self.sums[start:stop].copy(), self.proved, self.fingerprint,
        )


@dataclass(frozen=True)
class NoState:
    """What a Recording has in place of a `State` where its run left none. It counts as false, and a run that is to
    continue from it is refused, rather than begun from rest. why: in words, with what to do.

    >>> import eventsim, numpy as np
    >>> model = eventsim.Model({"in": eventsim.Input((1,)), "n": eventsim.Neuron()}, [("in", "n")])
    >>> bool(eventsim.Simulator(model).run([[[1], [0]]], lengths=[1]).state)
    False
    """

    why: str = merged("same")

    def __bool__(self):
        return False


OF_LENGTHS = NoState("samples that have lengths of their own end at different steps, so that a run of them leaves "
                     "no state; run those of one length together, without lengths, and give the state of each run")
OF_ITERATE = NoState("`iterate` keeps no state; call `run` for each batch, and give the state of its Recording")
OF_WINDOW = NoState("a stream hands the state from window to window; give `Stream.state` to `Simulator.stream`")


def arrays_of(layer: LayerStage, n_samples, dtype) -> Dict[str, tuple]:
    """Return {kind: (shape, dtype)} of what a layer takes from step to step."""
    update, array = layer.update, ((n_samples, layer.positions, layer.padded), dtype)
    arrays = {"membranes": array}
    if update.filters:
        arrays["filtered"] = array
    if update.reset_delay or update.changes:
        arrays["pending"] = array
    if update.pauses:
        arrays["waiting"] = (array[0], np.dtype(np.int32))
    return arrays
