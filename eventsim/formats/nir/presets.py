"""What NIR leaves open: the options of the reader and of the writer, and which values the simulators give them.

NIR describes continuous time. How a simulator makes steps of it is not in a file, so the same file
means different spikes in different simulators. Here every such choice is an option; a preset is a
set of them. What was chosen, and why, goes into the Model's provenance under "assumed <option>".
"""

from dataclasses import dataclass, field, fields
from typing import Dict, Optional

from eventsim.formats.options import option, Options, options_of
from eventsim.model.parameters import MAX_BITS

STORED = "eventsim."  # before the names of options that our writer leaves in a file's metadata


def _open(default, help, **limits):
    """An option that NIR itself leaves open, and that a preset decides."""
    return option(default, help, open=True, **limits)


@dataclass(frozen=True)
class NirOptions(Options):
    """What NIR leaves open, and what its files do not say; the defaults are norse's."""

    preset: Optional[str] = option(
        None, "whose reading of the file: sets the options that are not given (default: norse's)",
        ("norse", "snntorch", "sinabs"))
    dt: float = _open(
        1e-3, "length of a step, in the unit of the file's taus and delays (default 0.001 s; "
        "snntorch 0.0001, sinabs 1)", positive="a time")
    integration: str = _open(
        "euler", "how LI, LIF, CubaLI and CubaLIF become steps: euler; scaled_euler, with thresholds divided by "
        "what scales the input (snntorch); exponential; impulse, which decays by exp(-dt / tau) and adds "
        "the input as it is (sinabs)", choices=("euler", "scaled_euler", "exponential", "impulse"))
    reset: str = _open(
        "hard", "after a spike: hard, to the file's v_reset; zero; soft, minus what was sent "
        "(sinabs; default hard, snntorch zero); none", choices=("hard", "zero", "soft", "none"))
    reset_delay: int = _open(
        0, "1: the reset comes a step late, after leak and input (default 0)", choices=(0, 1))
    comparison: str = _open(
        ">", 'how membranes meet thresholds (default ">", sinabs ">=")', choices=(">", ">="))
    bits: int = _open(
        1, "width of a spike: several spikes a step are one of several bits (default 1, sinabs 8)",
        limits=(1, MAX_BITS))
    lower_limit: str = _open(
        "none", "whose membrane stays at or above minus its threshold: none, IF (sinabs) or all",
        choices=("none", "IF", "all"))
    recurrent_bias: int = _open(
        1, "first step in which biases of recurrent synapses act (default 1, snntorch 0)", choices=(0, 1))
    start: str = _open(
        "zero", "where membranes start: zero, or leak, at v_leak; potentials are then relative to it (default zero)",
        choices=("zero", "leak"))
    readout: str = option(
        "last", "answer of a file that ends without spikes: its last value, sum or mean over the steps (default "
        "last)", ("last", "sum", "mean"))
    encoding: str = option(
        "spikes", "what the input is: spikes (default: whole numbers), real, or image", ("spikes", "real", "image"))
    input_bits: int = option(
        4, "width of an input value: a bit more is a bit slower (default 4: 0 to 15)", limits=(1, MAX_BITS))
    input_signed: bool = option(False, "whether input values may be negative (default no)")
    input_scale: float = option(1.0, "worth of an input of 1 (default 1)")
    bin_width: float = option(1000.0, "microseconds per step of event recordings (default 1000)")
    polarities: str = option(
        "off_on", "of event recordings: channel 0 is darker (off_on, the default) or brighter (on_off)",
        ("off_on", "on_off"))
    coincident: str = option(
        "sum", "events at the same pixel and step: sum (default) or merge", ("sum", "merge"))
    timesteps: int = option(1, "steps of a run that is not told (default 1)", limits=(1, 1 << 24))


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
    "norse": OPEN,
    "snntorch": {**OPEN, "dt": 1e-4, "integration": "scaled_euler", "reset": "zero", "recurrent_bias": 0},
    "sinabs": {**OPEN, "dt": 1.0, "integration": "impulse", "reset": "soft", "comparison": ">=", "bits": 8,
               "lower_limit": "IF"},
}


@dataclass(frozen=True)
class Reading(NirOptions):
    """One value for every option. why: option -> where its value comes from."""

    why: Dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(given, stored) -> "Reading":
        """The values of a file: those given, else the preset's, else those stored in the file by our
        writer, else the defaults. Raises ModelError for a value that an option cannot have."""
        given = dict(given)
        preset = given.pop("preset", None)
        layers = [(DEFAULTS, "default"), (OPEN, "default, as norse"), (stored, "stored in the file")]
        if preset is not None:
            layers.append((PRESETS[OPTIONS["preset"].checked("preset", preset)], f"preset {preset}"))
        values, why = {}, {}
        for layer, source in (*layers, (given, "given")):
            for name, value in layer.items():
                values[name], why[name] = OPTIONS[name].checked(name, value), source
        return Reading(**values, why=why)

    def assumed(self, names) -> Dict[str, str]:
        """Provenance of those options that a file needed."""
        return {f"assumed {name}": f"{_shown(getattr(self, name))} ({self.why[name]})" for name in names}


def _shown(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
