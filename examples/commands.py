"""What all scripts here share: one line and an exit status for an error, and the numbers of their command lines.

    if __name__ == "__main__":
        commands.run("papers", main)
"""

import argparse
import json
import os
import signal
import sys
from math import inf
from pathlib import Path
from threading import RLock

from trainer.errors import TrainerError

FAILED, INTERRUPTED, UNREAD = 1, 130, 141  # the last two as shells say that SIGINT and SIGPIPE ended a process
OUR_MODULES = {path.stem for path in Path(__file__).parent.iterdir()} | {"eventsim"}


# ---- errors


def run(name, main):
    """End the process with the status that main() returns, or with that of the error that it raises, which is
    printed in one line behind the script's name."""
    sys.exit(status_of(name, main))


def status_of(name, main):
    """Return what main() returns, or the status of what it raises. Errors that no user can mend keep their
    traceback."""
    try:
        status = main()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        line, status = "interrupted", INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it ends
        return UNREAD
    except Exception as error:
        line, status = line_of(error), FAILED
        if line is None:
            raise
    print(f"{name}: {line}", file=sys.stderr)
    return status


def line_of(error):
    """Return in one line what a user can mend of an error, or None where it is an error of ours."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return _in_one_line(reason if error.filename is None else f"{error.filename}: {reason}")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # the latter is PyTorch's
        return _in_one_line(f"memory is too small: {str(error).partition(chr(10))[0] or 'take smaller batches'}")
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] not in OUR_MODULES:
        return _in_one_line(error)
    if isinstance(error, (TrainerError, FloatingPointError, *_errors_of_eventsim())):
        return _in_one_line(error)
    return None


def _errors_of_eventsim():
    """Return (EventsimError,), or () where eventsim was not needed, and so may not be installed."""
    module = sys.modules.get("eventsim.errors")
    return () if module is None else (module.EventsimError,)


def _in_one_line(text):
    return " ".join(str(text).split())


def end_on_interrupt():
    """Let Ctrl-C end this process, one of many, without a word: their first says that it was interrupted. Where
    that ignores Ctrl-C, as in the background of a shell, this process does, too."""
    from tqdm import tqdm

    tqdm.set_lock(RLock())  # its own holds a semaphore, of which Python warns where a process leaves it behind
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


# ---- files


def check_folder(path, option):
    """Raise TrainerError if a file could not be written because its folder is missing: hours pass until then.
    option: what the path was given as. None passes."""
    if path is not None and not Path(path).parent.is_dir():
        raise TrainerError(f"{option} {path}: there is no folder {Path(path).parent}: make it, or name another")


def check_model_file(path, option):
    """As check_folder, for a file that a model is exported to: its suffix, too, is looked at before."""
    if path is not None and Path(path).suffix.lower() != ".h5":
        raise TrainerError(f"{option} {path}: suffix is {Path(path).suffix!r}, expected '.h5': name it "
                           f"{Path(path).stem}.h5")
    check_folder(path, option)


def read_json(path):
    """Return what a JSON file of results holds by name, {} if there is none. TrainerError where it is another
    file."""
    if not Path(path).exists():
        return {}
    try:
        results = json.loads(Path(path).read_text())
    except ValueError:
        results = None
    if not isinstance(results, dict):
        raise TrainerError(f"{path}: is no JSON file of results: name another, or move it away")
    return results


# ---- numbers of command lines


def whole_number(least):
    """Return the argparse type of whole numbers of at least `least`."""
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(f"{text!r} is given, expected a whole number of at least {least}")
        return value

    return parse


def number(least=0.0, exclusive=False, most=inf):
    """Return the argparse type of finite numbers of at least `least`, or above it if `exclusive`; at most
    `most`."""
    expected = f"a number {'above' if exclusive else 'of at least'} {least:g}"
    expected += "" if most == inf else f" and at most {most:g}"

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            value = inf
        if not (least <= value <= most and value < inf) or exclusive and value == least:
            raise argparse.ArgumentTypeError(f"{text!r} is given, expected {expected}")
        return value

    return parse


POSITIVE, NATURAL = whole_number(1), whole_number(0)
AT_LEAST_0, ABOVE_0 = number(), number(exclusive=True)
