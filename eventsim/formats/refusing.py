"""Refusing what a file says, with the file and the place in it in front of the message."""

from eventsim.errors import ModelError, UnsupportedError

MAX_NODES, MAX_EDGES = 1 << 12, 1 << 14  # of a model file


def unsupported(group, message):
    """An UnsupportedError (not raised) with the file and the node or layer of `group` in front."""
    return UnsupportedError(str(group.error(message)))


def guarded(group, make):
    """make(), whose ModelErrors become FormatErrors of the file and whose UnsupportedErrors name it, if
    they do not already. group: `storage.hdf5.StoredGroup` that says where in the file it happens."""
    try:
        return make()
    except ModelError as error:
        raise group.error(error) from None
    except UnsupportedError as error:
        if group.in_front_of(error):
            raise
        raise unsupported(group, error) from None


def supported(group, name, known, what):
    """The text `name`, which has to be one of those known; UnsupportedError if not."""
    kind = group.text(name).strip("\0 ")
    if kind not in known:
        raise unsupported(group, f"{name} {kind!r} is not supported; supported {what} are {', '.join(known)}")
    return kind
