"""Later: objects whose fields are computed when one of them is first read, since most are never read."""

from dataclasses import fields
from typing import Callable


class Later:
    """A base class that gives a dataclass the constructor `later`.

    No field may have a plain default, since the class would keep it as an attribute, and Python calls
    `__getattr__` only for what neither the object nor its class has. A `default_factory` is allowed.
    """

    @classmethod
    def later(cls, work_out: Callable[[], "Later"]) -> "Later":
        """Return an object of this class whose fields are those of `work_out()`, which is called when one is
        read."""
        instance = cls.__new__(cls)
        vars(instance)["_work_out"] = work_out
        return instance

    def __getattr__(self, name):
        work_out = vars(self).get("_work_out")
        if work_out is not None:
            for key, value in vars(work_out()).items():
                vars(self).setdefault(key, value)  # what was set meanwhile stays
            vars(self).pop("_work_out", None)
        if name not in vars(self):  # another thread may have worked it out meanwhile
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return vars(self)[name]

    def __getstate__(self):
        return {each.name: getattr(self, each.name) for each in fields(self)}
