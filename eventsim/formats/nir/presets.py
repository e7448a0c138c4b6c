"""What NIR leaves open: the options of the reader and of the writer, and which values the simulators give them.

NIR describes continuous time. How a simulator makes steps of it is not in a file, so the same file
means different spikes in different simulators. Here every such choice is an option; a preset is a
set of them, for files that one tool wrote. What was chosen, and why, goes into the Model's
provenance under "assumed <option>".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Dict, List, Optional

from eventsim.formats.options import option, Options, options_of
from eventsim.model.input import POLARITIES
from eventsim.model.parameters import MAX_BITS, MOST_STEPS

STORED = "eventsim."  # before the names of options that our writer leaves in a file's metadata


def _open(default, help, **limits):
    """An option that NIR itself leaves open, and that a preset decides."""
    return option(default, help, open=True, **limits)


@dataclass(frozen=True)
class NirOptions(Options):
    """What NIR leaves open, and what its files do not say; the defaults are close to norse's."""

    preset: Optional[str] = option(
        None, "written by this tool, from a network with its defaults: sets the options that are not given "
        "(default: close to norse's)", ("norse", "snntorch", "sinabs", "spikingjelly"))
    dt: float = _open(
        1e-3, "length of a step, in the unit of the file's taus and delays (default 0.001 s, or 1 / r where IF "
        "neurons have one r that is not 1; snntorch and spikingjelly 0.0001, sinabs 1)", positive="a time")
    if_input: str = _open(
        "auto", "what an IF (or I) adds in a step for an input x: dt_r, dt * r * x, as NIR has it; x, as norse "
        "and sinabs, whatever r is; r, r * x; auto, x where all its r are 1, else dt_r (default)",
        choices=("auto", "dt_r", "x", "r"))
    cuba_input: str = _open(
        "w_in", "what the current of a CubaLIF (or CubaLI) adds in a step for an input x: w_in, its share of "
        "w_in * x, as NIR has it (default); x, as norse's LIFCell, whatever w_in is", choices=("w_in", "x"),
        per_node=True)
    integration: str = _open(
        "euler", "how LI, LIF, CubaLI and CubaLIF become steps: euler; scaled_euler, with thresholds divided by "
        "what scales the input (snntorch); exponential; impulse, which decays by exp(-dt / tau) and adds "
        "the input as it is (sinabs with norm_input=False; preset sinabs is exponential, but impulse for LI, as "
        "its layers are by default)",
        choices=("euler", "scaled_euler", "exponential", "impulse"), per_node=True)
    reset: str = _open(
        "hard", "after a spike: hard, to the file's v_reset; zero; soft, minus what was sent "
        "(sinabs, snntorch; default hard); none", choices=("hard", "zero", "soft", "none"), per_node=True)
    reset_delay: int = _open(
        0, "1: the reset comes a step late, before the next spike is decided (default 0, snntorch 1)",
        choices=(0, 1), per_node=True)
    comparison: str = _open(
        ">", 'how membranes meet thresholds (default ">", sinabs and spikingjelly ">=")', choices=(">", ">="),
        per_node=True)
    bits: int = _open(
        1, "width of a spike: several spikes a step are one of several bits (default 1, sinabs 8)",
        limits=(1, MAX_BITS), per_node=True)
    lower_limit: str = _open(
        "none", "whose membrane stays at or above minus its threshold: none, IF (what sinabs makes of NIR files) "
        "or all", choices=("none", "IF", "all"), per_node=True)
    recurrent_bias: int = _open(
        1, "first step in which biases of recurrent synapses act (default 1, snntorch 0)", choices=(0, 1))
    start: str = _open(
        "zero", "where membranes start: zero; leak, at v_leak (norse); reset, at v_reset (spikingjelly); "
        "potentials are then relative to it (default zero)", choices=("zero", "leak", "reset"), per_node=True)
    readout: str = option(
        "last", "answer of a file that ends without spikes, or in spikes that a Scale or a mean makes worth other "
        "than 1: its last value, sum or mean over the steps (default last, behind a mean of spikes sum)",
        ("last", "sum", "mean"))
    encoding: str = option(
        "spikes", "what the input is: spikes (default: whole numbers), real, or image",
        ("spikes", "real", "image"))
    input_bits: int = option(
        4, "width of an input value: a bit more is a bit slower (default 4: 0 to 15)", limits=(1, MAX_BITS))
    input_signed: bool = option(False, "whether input values may be negative (default no)")
    input_scale: float = option(1.0, "worth of an input of 1 (default 1)")
    bin_width: float = option(1000.0, "microseconds per step of event recordings (default 1000)")
    polarities: str = option(
        "off_on", "of event recordings: channel 0 is darker (off_on, the default) or brighter (on_off), or the "
        "only one (one, always so of an input of one channel)", POLARITIES)
    coincident: str = option(
        "sum", "events at the same pixel and step: sum (default) or merge", ("sum", "merge"))
    timesteps: Optional[int] = option(
        None, "steps of a run that is not told (default: none, a run has to be told)", limits=(1, MOST_STEPS))


@dataclass(frozen=True)
class NirWriteOptions(Options):
    """How a NIR file is written."""

    dt: Optional[float] = option(
        None, "seconds of a step in the NIR file (default: that of the file read, else 0.0001)", positive="a time")
    beyond_nir: bool = option(
        False, "write also what NIR cannot describe (soft reset, several bits, ...) as plain neurons, with a note "
        "that only eventsim reads")


OPTIONS = options_of(NirOptions)
DEFAULTS = {name: declared.default for name, declared in OPTIONS.items() if name != "preset"}
OPEN = {item.name: item.default for item in fields(NirOptions) if item.metadata.get("open")}
PRESETS = {
    "norse": {**OPEN, "if_input": "x", "start": "leak"},
    "snntorch": {**OPEN, "dt": 1e-4, "integration": "scaled_euler", "reset": "soft", "reset_delay": 1,
                 "recurrent_bias": 0},
    "sinabs": {**OPEN, "dt": 1.0, "if_input": "x", "integration": "exponential", "reset": "soft",
               "comparison": ">=",
               "bits": 8},
    "spikingjelly": {**OPEN, "dt": 1e-4, "if_input": "dt_r", "comparison": ">=", "start": "reset"},
}
# kinds of neurons that a tool computes otherwise by default: preset -> kind -> its options
BY_KIND = {"sinabs": {"LI": {"integration": "impulse"}},  # ExpLeak, whose norm_input is False, unlike LIF's
           "norse": {"IF": {"start": "reset"}}}  # IAFCell
# what networks of a tool differ in and its files do not say
LOST = {"snntorch": ("reset",), "sinabs": ("bits", "integration"), "norse": ("cuba_input",)}
_LOST_TEXT = {
    "reset": "snnTorch's files do not say which reset a network has (it writes v_reset = 0 for all): assumed "
             "{value}, its default; to say it, give reset (--reset zero{single}; zero is also what snnTorch's own "
             "import_from_nir makes of every file)",
    "bits": "sinabs's neurons send any number of spikes a step: assumed bits {value}, and more spikes are cut off "
            "(saturated_top_bit in eventsim stats and report); to say it, give bits (--bits 16 for up to 65535, "
            "--bits 1 for SingleSpike)",
    "integration": "sinabs's files do not say norm_input: assumed integration {value}, its layers' default; to "
                   "say it, give integration (--integration exponential for True, impulse for False)",
    "cuba_input": "norse's files do not say that a LIFCell adds its input to the current undivided (w_in is 1): "
                  "assumed cuba_input {value}, NIR's; for LIFCells give cuba_input (--cuba-input x); nor do they "
                  "have its v_reset: where it is not 0, write it into the file",
}
OUTSIDE = ("readout",)  # options that no preset decides and that change an answer


@dataclass(frozen=True)
class Reading(NirOptions):
    """One value for every option. why: option -> where its value comes from. own: option -> name of a node -> its
    value there. chosen: the preset, or None."""

    why: Dict[str, str] = field(default_factory=dict)
    own: Dict[str, Dict] = field(default_factory=dict)
    chosen: Optional[str] = None

    @staticmethod
    def of(given, stored) -> "Reading":
        """The values of a file: those given, else the preset's, else those stored in the file by our
        writer, else the defaults. Raises ModelError for a value that an option cannot have."""
        given = dict(given)
        preset = given.pop("preset", None)
        layers = [(DEFAULTS, "default"), (OPEN, "default"), (stored, "stored in the file")]
        if preset is not None:
            layers.append((PRESETS[OPTIONS["preset"].checked("preset", preset)], f"preset {preset}"))
        values, why, own = {}, {}, {}
        for layer, source in (*layers, (given, "given")):
            for name, value in layer.items():
                if value is not None:
                    value = OPTIONS[name].checked(name, value)
                if isinstance(value, Mapping):
                    own[name] = value
                else:
                    values[name], why[name] = value, source
        for name in OPEN:
            if why[name] == "default" and OPEN[name] == PRESETS["norse"][name]:
                why[name] = "default, as norse"
        if why["if_input"] == "default":
            why["if_input"] = "default: x where r is 1, else dt_r"
        return Reading(**values, why=why, own=own, chosen=preset)

    def at(self, node) -> "Reading":
        """The values for one node."""
        return replace(self, **{name: values[node] for name, values in self.own.items() if node in values})

    def of_neuron(self, node, kind, recurrent) -> "Reading":
        """The values for one neuron: those of its kind where only the preset decides. snnTorch's resets come a
        step late, but for one: Leaky, a LIF outside a loop, resets to zero at once. Where nothing resets, nothing
        comes late, if nobody gave that to it."""
        of_kind = {name: self._by_kind(name) for name in OPEN if node not in self.own.get(name, ())}
        values = replace(self.at(node), **{name: of[kind] for name, of in of_kind.items() if kind in of})
        given = self.why["reset_delay"] == "given" or node in self.own.get("reset_delay", ())
        by_preset = self.why["reset_delay"] == "preset snntorch" and not given
        at_once = kind == "LIF" and not recurrent and values.reset in ("zero", "hard")
        no_reset = values.reset == "none" and not given
        return replace(values, reset_delay=0) if by_preset and at_once or no_reset else values

    def _by_kind(self, name) -> Dict[str, object]:
        """Return kind of neurons -> what the preset has for them in place of its value, where nobody gave any."""
        if not self.why[name].startswith("preset"):
            return {}
        return {kind: values[name] for kind, values in BY_KIND.get(self.chosen, {}).items() if name in values}

    def guessed(self, name) -> bool:
        """Whether the value of an option is a default, and neither given, stored nor a preset's."""
        return self.why[name].startswith("default")

    def inferred(self, name, value, why) -> "Reading":
        """With another value for an option that was not given. why: where it comes from."""
        source = "default, " if self.guessed(name) else ""
        return replace(self, **{name: value}, why={**self.why, name: source + why})

    def assumed(self, used, kinds) -> Dict[str, str]:
        """Provenance of those options that a file needed. used, kinds: as in `unsaid`."""
        return {f"assumed {name}": self._said(name, nodes, kinds) for name, nodes in used.items()}

    def _values(self, name, nodes, kinds):
        """Return in words the values of an option for some nodes, but for those given to single ones."""
        of_kind = self._by_kind(name)
        concerned = sorted({kinds[node] for node in nodes} & {*of_kind})
        others = [f"{_shown(of_kind[kind])} for {kind}" for kind in concerned]
        return ", ".join((_shown(getattr(self, name)), *others))

    def _said(self, name, nodes, kinds):
        text = f"{self._values(name, nodes, kinds)} ({self.why[name]})"
        own = ", ".join(f"{_shown(value)} of {node}" for node, value in self.own.get(name, {}).items())
        return f"{own} (given), else {text}" if own else text

    def unsaid(self, used, kinds) -> List[str]:
        """What a file needed and only defaults decide, or a preset whose tool does not write it, in one line each;
        none where all was given, stored in the file or the preset's own.

        used: option -> names of the nodes that it decides for. kinds: name of a node -> its kind.
        """
        lost = [name for name in LOST.get(self.chosen, ()) if self.why[name].startswith("preset")]
        names = [name for name in used if name in (*OPEN, *OUTSIDE) and not self._settled(name, used[name])]
        texts = [_LOST_TEXT[name].format(value=self._values(name, used[name], kinds),
                                         single=_of_single_nodes(used[name]))
                for name in names if name in lost]
        guessed = [name for name in names if self.guessed(name)]
        if guessed:
            values = ", ".join(f"{name} {_shown(getattr(self, name))}" for name in guessed)
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in guessed)
            preset = "" if self.chosen else "a preset (--preset), or "
            texts.append(f"the file leaves open and was assumed: {values}; to say it, give {preset}{flags}")
        return texts

    def _settled(self, name, nodes):
        return bool(nodes) and set(nodes) <= set(self.own.get(name, ()))


def _of_single_nodes(nodes):
    """How the command line gives resets of single nodes, of the first whose name it can take; "" where there is
    none."""
    names = [node for node in nodes if re.fullmatch(r"[\w.:+-]+", node)]
    return f", or --reset {names[0]}=zero,... for single nodes" if names else ""


def _shown(value):
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
