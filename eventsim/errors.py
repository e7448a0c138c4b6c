"""The errors that eventsim raises on purpose.

Every message is one line and says, as far as it is known: the file, the node,
what was found, what was expected, and the remedy. Each class is also the
built-in exception a caller would expect, so `except ValueError` keeps working.
"""


class EventsimError(Exception):
    """Base of all errors that a user can cause and can mend."""


class EventsimWarning(UserWarning):
    """What a file leaves open and was assumed, where it matters for the result: one line that names the file,
    what was assumed and the option that says it."""


class ModelError(EventsimError, ValueError):
    """A model that cannot mean anything: a wrong shape, a cycle without delay, ..."""


class FormatError(EventsimError, ValueError):
    """A file that is damaged, of another format, or not allowed."""


class DataError(EventsimError, ValueError):
    """Input data that does not fit the model or its own format."""


class UnsupportedError(EventsimError, NotImplementedError):
    """Something valid that this version does not run; the message names it."""


class MissingPackageError(EventsimError, ImportError):
    """Something that needs a package which is not installed; the message says how to install it."""


class RunError(EventsimError, RuntimeError):
    """A run that cannot go on with exact results, such as a membrane that could overflow."""
