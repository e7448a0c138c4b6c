"""Errors of usage: one line that says what was probably meant."""

import os
import re

OTHER_WORDS = {  # what other tools call our commands and options
    "simulate": "run", "evaluate": "run", "eval": "run", "test": "run", "predict": "run", "infer": "run",
    "compare": "diff", "show": "info", "inspect": "info", "summary": "info", "describe": "info",
    "export": "convert", "import": "convert", "profile": "bench", "benchmark": "bench", "time": "bench",
    "draw": "plot", "figure": "plot", "compile": "warmup", "html": "report", "verify": "check",
    "-V": "--version", "--usage": "--help", "-?": "--help",
    "--steps": "--timesteps", "--time-steps": "--timesteps", "--num-steps": "--timesteps", "-T": "--timesteps",
    "--threads": "--workers", "--jobs": "--workers", "-j": "--workers", "--num-workers": "--workers",
    "--samples": "--limit", "--max-samples": "--limit", "--num-samples": "--limit", "-n": "--limit",
    "--output": "--out", "--save": "--out", "-o": "--out", "fp32": "float32", "fp64": "float64",
    "float": "float32", "double": "float64", "integer": "int8", "float16": "float32", "fp16": "float32",
    "half": "float32", "bfloat16": "float32", "bf16": "float32", "float8": "float32", "fp8": "float32",
    "--dtype": "--precision", "--bits": "--precision",
    "--quantize": "--precision", "--profile": "--chip", "--hardware": "--chip", "--power": "--energy",
}
NEEDLESS = {  # options that users of other tools look for -> why there is none
    ("--device", "--gpu", "--cuda"): "eventsim computes on the CPU; --workers N sets its threads",
    ("--batch", "--batch-size"): "batches are chosen by size; results do not depend on them",
    ("--seed",): "nothing in a run is random",
}
POSITIONAL = ("MODEL", "DATA", "RUN", "SOURCE", "INPUT", "DATASET", "NETWORK")  # of which people make options
CLOSE, CLOSE_OF_SHORT = 0.7, 0.65  # of difflib's likeness, from 0 to 1: what is less like a word was not meant
SHORT = 4  # letters
OF_NAMES = r"the following arguments are required|unrecognized arguments|.*: ignored explicit argument"
_KINDS = {"int": "a whole number", "float": "a number"}


def usage_error(command, message, words, flags, given, commands_with) -> str:
    """Return one line for an error of usage, with the command that prints the help.

    command: such as "eventsim run". message: what argparse says. words: name of an argument ("COMMAND",
    "--precision") -> the values that it can have. flags: all options. given: the words of the command line.
    commands_with: option -> names of the other commands that have it.
    """
    return f"eventsim: {_meaning(message, words, flags, given, commands_with)} ({command} --help)"


def _meaning(message, words, flags, given, commands_with):
    name = _name_like_an_option(given, flags)
    if name and re.match(OF_NAMES, message):
        return f"{name!r} is taken for an option: a name that begins with - is written ./{name}"
    for pattern, say in (
        (r"the following arguments are required: (.*)",
         lambda names: _missing(names, words, flags, given, commands_with)),
        (r"unrecognized arguments: (\S+)", lambda word: _unknown(word, flags, commands_with)),
        (r"argument (\S+): invalid choice: '?(.*?)'? \((?:choose from )?(.*)\)",
         lambda name, word, choices: (_not_a_command(word, words[name], flags, given) if name == "COMMAND"
                                      else _not_a_choice(name, word, words, choices))),
        (r"argument (\S+): expected one argument", lambda name: _without_value(name, flags, given)),
        (r"argument (\S+): ignored explicit argument '(.*)'", "{0} takes no value, but is given {1!r}".format),
        (r"argument (\S+): invalid (int|float) value: '(.*)'",
         lambda name, kind, word: f"{name} is {word!r}, expected {_KINDS[kind]}"),
        (r"argument (\S+): ((?:is|has) .*)", "{0} {1}".format),
        (r"argument (\S+): (.*)", "{0}: {1}".format),
        (r"ambiguous option: (\S+) could match (.*)", "{0} may mean {1}: write it in full".format),
    ):
        match = re.match(pattern, message, re.DOTALL)
        if match:
            return say(*match.groups())
    return message


def _name_like_an_option(given, flags):
    """Return the first word that begins as options do but names a file: one that exists, or has a suffix."""
    for word in given[: given.index("--")] if "--" in given else given:
        if word[:1] == "-" and word.partition("=")[0] not in flags and (
                os.path.lexists(word) or re.search(r"\.[A-Za-z]\w*$", word)):
            return word
    return ""


def _missing(names, words, flags, given, commands_with):
    names = names.split(", ")
    unknown = [word for word in given if word.startswith("-") and not _begins(word, flags)]
    if names == ["COMMAND"] and unknown:
        return _unknown(unknown[0], flags, commands_with)
    known = words.get(names[0])
    return (f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} missing"
            + (f": {', '.join(known)}" if known else ""))


def _begins(word, flags):
    """Return whether a word of the command line is an option, or the beginning of one."""
    return any(flag.startswith(word.partition("=")[0]) for flag in flags)


def _unknown(word, flags, commands_with):
    if not word.startswith("-"):
        return f"{word!r} is one argument too many (a name with spaces needs quotes)"
    flag = word.partition("=")[0]
    for known, reason in NEEDLESS.items():
        if flag in known:
            return f"there is no option {flag}: {reason}"
    if flag.strip("-").upper() in POSITIONAL:
        return f"there is no option {flag}: the file is given without one, as in eventsim run MODEL DATA"
    having = [] if OTHER_WORDS.get(flag) in flags else commands_with(flag)
    if having:
        return f"there is no option {flag}, which is an option of eventsim {_listed(having)}"
    return f"there is no option {flag}{meant(flag, flags)}"


def _without_value(name, flags, given):
    for flag, word in zip(given, given[1:]):  # a flag may be cut short
        named = flag.strip("-") and any(full.startswith(flag) for full in name.split("/"))
        if named and _is_value(word, flags):
            return f"{name} takes a value that begins with - behind =: {flag}={word}"
    return f"{name} needs a value behind it"


def _is_value(word, flags):
    """Return whether a word that argparse takes for an option, since it begins with -, is a value."""
    return len(word) > 1 and word[0] == "-" and word[:2] not in ("--", *flags)


def _not_a_choice(name, word, words, choices):
    known = words.get(name.split("/")[-1]) or [choice.strip("'") for choice in choices.split(", ")]
    return f"{name} cannot be {word!r}{meant(word, known) or _there_are(known)}"


def _not_a_command(word, commands, flags, given):
    if re.search(r"\.(h5|hdf5|nir|net)$", word):
        return f"{word!r} is no command, did you mean eventsim run {word} DATA?"
    option = "--" + word.lower()
    asked = [each for each in given[given.index(word) + 1:] if each in commands] if option == "--help" else []
    if option in flags:
        return f"{word!r} is no command, did you mean eventsim {' '.join([*asked[:1], option])}?"
    return f"{word!r} is no command{meant(word, commands) or meant(option, flags) or _there_are(commands)}"


def _there_are(known):
    return f": there are {', '.join(known)}"


def meant(word, known) -> str:
    """Return ", did you mean x?", the end of a message about a word that is none of those known, or ""."""
    known = list(known)
    other = OTHER_WORDS.get(word)
    one = other if other in known else _near(word, known)
    return f", did you mean {one}?" if one else ""


def _near(word, known):
    """Return the known word that is close to a word, whatever its case, or ""."""
    import difflib  # which takes longer to import than most commands' help

    word, plain = word.lstrip("-").lower(), {each.lstrip("-").lower(): each for each in known}
    close = CLOSE if len(word) > SHORT else CLOSE_OF_SHORT
    return "".join(plain[each] for each in difflib.get_close_matches(word, plain, 1, close))


def _listed(names):
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
