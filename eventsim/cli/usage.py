"""Errors of usage: one line that says what was probably meant."""

import re

from eventsim.text import nearest

OTHER_WORDS = {  # what other tools call our commands and options
    "simulate": "run", "evaluate": "run", "eval": "run", "test": "run", "predict": "run", "infer": "run",
    "compare": "diff", "show": "info", "inspect": "info", "summary": "info", "describe": "info",
    "export": "convert", "import": "convert", "profile": "bench", "benchmark": "bench", "time": "bench",
    "draw": "plot", "figure": "plot", "compile": "warmup", "html": "report", "verify": "check",
    "--steps": "--timesteps", "--time-steps": "--timesteps", "--num-steps": "--timesteps", "-T": "--timesteps",
    "--threads": "--workers", "--jobs": "--workers", "-j": "--workers", "--num-workers": "--workers",
    "--samples": "--limit", "--max-samples": "--limit", "--num-samples": "--limit", "-n": "--limit",
    "--output": "--out", "--save": "--out", "-o": "--out", "fp32": "float32", "fp64": "float64",
    "float": "float32", "double": "float64", "integer": "int8", "--dtype": "--precision", "--bits": "--precision",
    "--quantize": "--precision", "--profile": "--chip", "--hardware": "--chip", "--power": "--energy",
}
NEEDLESS = {  # options that users of other tools look for -> why there is none
    ("--device", "--gpu", "--cuda"): "eventsim computes on the CPU; --workers N sets its threads",
    ("--batch", "--batch-size"): "batches are chosen by size; results do not depend on them",
    ("--seed",): "nothing in a run is random",
}
_KINDS = {"int": "a whole number", "float": "a number"}


def usage_error(command, message, words, flags) -> str:
    """One line for an error of usage, with the command that prints the help.

    command: such as "eventsim run". message: what argparse says. words: name of an argument ("COMMAND",
    "--precision") -> the values that it can have. flags: all options.
    """
    return f"eventsim: {_meaning(message, words, flags)} ({command} --help)"


def _meaning(message, words, flags):
    for pattern, say in (
        (r"the following arguments are required: (.*)", lambda names: _missing(names, words)),
        (r"unrecognized arguments: (\S+)", lambda word: _unknown(word, flags)),
        (r"argument (\S+): invalid choice: '?(.*?)'? \((?:choose from )?(.*)\)",
         lambda name, word, said: _not_a_choice(name, word, words, said)),
        (r"argument (\S+): expected one argument", _without_value),
        (r"argument (\S+): ignored explicit argument '(.*)'", "{0} takes no value, but is given {1!r}".format),
        (r"argument (\S+): invalid (int|float) value: '(.*)'",
         lambda name, kind, word: f"{name} is {word!r}, expected {_KINDS[kind]}"),
        (r"argument (\S+): (.*)", "{0}: {1}".format),
        (r"ambiguous option: (\S+) could match (.*)", "{0} may mean {1}: write it in full".format),
    ):
        found = re.match(pattern, message, re.DOTALL)
        if found:
            return say(*found.groups())
    return message


def _missing(names, words):
    names = names.split(", ")
    known = words.get(names[0])
    return (f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"
            + (f": {', '.join(known)}" if known else ""))


def _unknown(word, flags):
    if not word.startswith("-"):
        return f"{word!r} is one argument too many (a name with spaces needs quotes)"
    flag = word.partition("=")[0]
    for known, reason in NEEDLESS.items():
        if flag in known:
            return f"there is no option {flag}: {reason}"
    return f"there is no option {flag}{_meant(flag, flags)}"


def _without_value(name):
    return f"{name} needs a value behind it"


def _not_a_choice(name, word, words, said):
    known = words.get(name.split("/")[-1]) or [choice.strip("'") for choice in said.split(", ")]
    listed = f": there are {', '.join(known)}"
    if name == "COMMAND":
        if re.search(r"\.(h5|hdf5|nir|net)$", word):
            return f"{word!r} is no command, did you mean eventsim run {word} DATA?"
        return f"{word!r} is no command{_meant(word, known) or listed}"
    return f"{name} cannot be {word!r}{_meant(word, known) or listed}"


def _meant(word, known):
    known = list(known)
    other = OTHER_WORDS.get(word)
    meant = other if other in known else nearest(word, known)
    return f", did you mean {meant}?" if meant else ""
