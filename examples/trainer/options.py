"""What the options of a network ask for that cannot be, told before hours are spent on it. Needs no eventsim.

`python -m trainer` and `papers.py gpu` have these options alike.
"""

MOST_BITS = 16  # of a spike, as eventsim stores it
STEPS = 4  # of spiking networks, and of samples that move


def impossible_network(args, moving=False):
    """Return why options of a network do not go together or give what cannot be exported; None if they do and can.
    moving: whether samples are (T, ...)."""
    m, n = args.bits
    if not 1 <= m + n <= MOST_BITS:
        return (f"--bits {m} {n}: spikes have {m + n} bits, but 1 to {MOST_BITS} can be exported: give other "
                "numbers of integer and fractional bits")
    if args.neuron != "ReLU":
        return None
    given = [f"--{name}" for name, usual in _SPIKING.items() if getattr(args, name, usual[0]) not in usual]
    if given:
        verb, them = ("is", "it") if len(given) == 1 else ("are", "them")
        return f"{' and '.join(given)} {verb} of spiking neurons: leave {them} out with --neuron ReLU"
    if not moving and args.timesteps not in (None, 1):
        return (f"--timesteps {args.timesteps}: a network of ReLU runs once per sample that stands still: leave "
                "--timesteps out with --neuron ReLU")
    return None


# option -> what it is where nobody gave it, here or there
_SPIKING = {"restimulation": (False,), "leak": (None,), "bits": ((1, 0), [1, 0]), "alpha": (None, 1.0),
            "surrogate": ("rectangle",), "width": (2.0,)}


def steps_of(args, moving=False):
    """Return --timesteps, or where it is not given what is usual."""
    usual = 1 if args.neuron == "ReLU" and not moving else STEPS
    return usual if args.timesteps is None else args.timesteps
