"""Errors about the content of a model file, whose messages begin with the file and the place in it."""

from eventsim.errors import ModelError, UnsupportedError

MAX_NODES, MAX_EDGES = 1 << 12, 1 << 14  # of a model file


def unsupported(group, message):
    """Return (not raise) an UnsupportedError with the file and the node or layer of `group` in front of the
    message."""
    return UnsupportedError(str(group.error(message)))


def guarded(group, make):
    """Return make(). Its ModelErrors become FormatErrors that name the file, and its UnsupportedErrors name it,
    too.
    group: the `storage.hdf5.StoredGroup` that messages name."""
    try:
        return make()
    except ModelError as error:
        raise group.error(error) from None
    except UnsupportedError as error:
        if group.is_named_in(error):
            raise
        raise unsupported(group, error) from None


def supported(group, name, known, what):
    """Return the text `name` of a group. Raises UnsupportedError unless it is in `known`. what: plural of what it
    names."""
    kind = group.text(name).strip("\0 ")
    if kind not in known:
        raise unsupported(group, f"{name} {kind!r} is not supported; supported {what} are {', '.join(known)}")
    return kind
