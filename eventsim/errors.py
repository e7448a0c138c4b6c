"""The errors that eventsim raises on purpose.

Every message is one line and says, as far as it is known: the file, the node,
what was found, what was expected, and the remedy. Each class is also the
built-in exception a caller would expect, so `except ValueError` keeps working.
"""

import os
import warnings
from contextlib import contextmanager

OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep  # where frames that no warning is about come from


class EventsimError(Exception):
    """Base of all errors that a user can cause and can mend."""


class EventsimWarning(UserWarning):
    """Something that makes a result another than may be expected: what a file leaves open and was assumed,
    constants that integers round, labels that no class has, numbers of steps that the model is not meant for,
    results that depend on the batch. One line that names the file or the node, and the remedy."""


def warn(text):
    """Warn as EventsimWarning, of the line of the user's that has called eventsim, however deep below it."""
    import inspect  # which commands that have nothing to say need not load

    frame, level = inspect.currentframe(), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(OURS):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, EventsimWarning, stacklevel=level)


class ModelError(EventsimError, ValueError):
    """A model that cannot mean anything: a wrong shape, a cycle without delay, ..."""


class FormatError(EventsimError, ValueError):
    """A file that is damaged, of another format, or not allowed."""


class DataError(EventsimError, ValueError):
    """Input data that does not fit the model or its own format."""


class LevelError(DataError):
    """Levels of input data above the highest that the model's input takes."""


class UnsupportedError(EventsimError, NotImplementedError):
    """Something valid that this version does not run; the message names it."""


class MissingPackageError(EventsimError, ImportError):
    """Something that needs a package which is not installed; the message says how to install it."""


def missing(what, package, extra="") -> MissingPackageError:
    """Return the error of what needs a package that is not installed. extra: eventsim's extra that brings it."""
    wanted = f'"eventsim-snn[{extra}]"' if extra else package
    return MissingPackageError(f"{what} needs the package {package}, which is not installed; run pip install "
                               f"{wanted}")


class RunError(EventsimError, RuntimeError):
    """A run that cannot go on with exact results, such as a membrane that could overflow."""


@contextmanager
def naming(name, data=None):
    """Put a name, such as a file's, and a colon before the messages of errors that the body raises; None: leave
    them as they are. data: the name before errors of data instead."""
    try:
        yield
    except EventsimError as error:
        name = data if data and isinstance(error, DataError) else name
        if name is None:
            raise
        raise type(error)(f"{name}: {error}") from None
