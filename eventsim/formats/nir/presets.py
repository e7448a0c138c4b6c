"""What NIR leaves open: the options of the reader, and which values the simulators give them.

NIR describes continuous time. How a simulator makes steps of it is not in a file, so the same file
means different spikes in different simulators. Here every such choice is an option; a preset is a
set of them. What was chosen, and why, goes into the Model's provenance under "assumed <option>".
"""

from dataclasses import dataclass, field
from typing import Dict

from eventsim.errors import ModelError
from eventsim.formats.options import Option
from eventsim.model.parameters import choice, finite_number, integer, MAX_BITS

INTEGRATIONS = ("euler", "scaled_euler", "exponential", "impulse")

OPTIONS = {
    "preset": Option(
        str, "whose reading of the file: sets the options that are not given (default: norse's)",
        ("norse", "snntorch", "sinabs")),
    "dt": Option(float, "length of a step, in the unit of the file's taus and delays (default 0.001 s; "
                 "snntorch 0.0001, sinabs 1)"),
    "integration": Option(
        str, "how LI, LIF, CubaLI and CubaLIF become steps: euler; scaled_euler, with thresholds divided by "
        "what scales the input (snntorch); exponential; impulse, which decays by exp(-dt / tau) and adds "
        "the input as it is (sinabs)", INTEGRATIONS),
    "reset": Option(str, "after a spike: hard, to the file's v_reset; zero; soft, minus what was sent "
                    "(sinabs; default hard, snntorch zero)", ("hard", "zero", "soft")),
    "reset_delay": Option(int, "1: the reset comes a step late, after leak and input (default 0)", (0, 1)),
    "comparison": Option(str, 'how membranes meet thresholds (default ">", sinabs ">=")', (">", ">=")),
    "bits": Option(int, "width of a spike: several spikes a step are one of several bits (default 1, "
                   "sinabs 8)"),
    "lower_limit": Option(str, "whose membrane stays at or above minus its threshold: none, IF (sinabs) or "
                          "all", ("none", "IF", "all")),
    "recurrent_bias": Option(int, "first step in which biases of recurrent synapses act (default 1, "
                             "snntorch 0)", (0, 1)),
    "start": Option(str, "where membranes start: zero, or leak, at v_leak; potentials are then relative to "
                    "it (default zero)", ("zero", "leak")),
    "readout": Option(str, "answer of a file that ends without spikes: its last value, sum or mean over the "
                      "steps (default last)", ("last", "sum", "mean")),
    "encoding": Option(str, "what the input is: spikes (default: whole numbers), real, or image",
                       ("spikes", "real", "image")),
    "input_bits": Option(int, "width of an input value: a bit more is a bit slower (default 4: 0 to 15)"),
    "input_signed": Option(bool, "whether input values may be negative (default no)"),
    "input_scale": Option(float, "worth of an input of 1 (default 1)"),
    "bin_width": Option(float, "microseconds per step of event recordings (default 1000)"),
    "polarities": Option(str, "of event recordings: channel 0 is darker (off_on, the default) or brighter "
                         "(on_off)", ("off_on", "on_off")),
    "coincident": Option(str, "events at the same pixel and step: sum (default) or merge", ("sum", "merge")),
    "timesteps": Option(int, "steps of a run that is not told (default 1)"),
}

STORED = "eventsim."  # before the names of options that our writer leaves in a file's metadata

# Every option but "preset" is a field of Reading. The first ones are what NIR leaves open.
OPEN = {
    "dt": 1e-3, "integration": "euler", "reset": "hard", "reset_delay": 0, "comparison": ">", "bits": 1,
    "lower_limit": "none", "recurrent_bias": 1, "start": "zero",
}
FREE = {
    "readout": "last", "encoding": "spikes", "input_bits": 4, "input_signed": False, "input_scale": 1.0,
    "bin_width": 1000.0, "polarities": "off_on", "coincident": "sum", "timesteps": 1,
}
PRESETS = {
    "norse": OPEN,
    "snntorch": {**OPEN, "dt": 1e-4, "integration": "scaled_euler", "reset": "zero", "recurrent_bias": 0},
    "sinabs": {**OPEN, "dt": 1.0, "integration": "impulse", "reset": "soft", "comparison": ">=", "bits": 8,
               "lower_limit": "IF"},
}


@dataclass(frozen=True)
class Reading:
    """One value for every option, see OPTIONS. why: option -> where its value comes from."""

    dt: float
    integration: str
    reset: str
    reset_delay: int
    comparison: str
    bits: int
    lower_limit: str
    recurrent_bias: int
    start: str
    readout: str
    encoding: str
    input_bits: int
    input_signed: bool
    input_scale: float
    bin_width: float
    polarities: str
    coincident: str
    timesteps: int
    why: Dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(given, stored) -> "Reading":
        """The values of a file: those given, else the preset's, else those stored in the file by our
        writer, else the defaults. Raises ModelError for a value that an option cannot have."""
        given = dict(given)
        preset = given.pop("preset", None)
        layers = [(OPEN, "default, as norse"), (FREE, "default"), (stored, "stored in the file")]
        if preset is not None:
            choice(preset, "preset", OPTIONS["preset"].choices)
            layers.append((PRESETS[preset], f"preset {preset}"))
        values, why = {}, {}
        for layer, source in (*layers, (given, "given")):
            for name, value in layer.items():
                values[name], why[name] = checked(name, value), source
        return Reading(**values, why=why)

    def assumed(self, names) -> Dict[str, str]:
        """Provenance of those options that a file needed."""
        return {f"assumed {name}": f"{_shown(getattr(self, name))} ({self.why[name]})" for name in names}


_LIMITS = {"bits": (1, MAX_BITS), "input_bits": (1, MAX_BITS), "timesteps": (1, 1 << 24),
           "reset_delay": (0, 1), "recurrent_bias": (0, 1)}


def checked(name, value):
    """The value of an option in its type; ModelError for one that it cannot have."""
    kind = OPTIONS[name].kind
    if kind is str:
        return choice(value, name, OPTIONS[name].choices)
    if kind is int:
        return integer(value, name, *_LIMITS[name])
    if kind is bool:
        return bool(integer(int(value) if isinstance(value, bool) else value, name, 0, 1))
    value = finite_number(value, name)
    if name == "dt" and value <= 0:
        raise ModelError(f"dt is {value}, expected a time above 0")
    return value


def _shown(value):
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
