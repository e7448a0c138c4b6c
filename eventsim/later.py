"""Later: objects whose fields are worked out when one of them is first looked at, as most are not."""

from dataclasses import fields
from typing import Callable


class Later:
    """What a dataclass inherits to offer `later`. No default of a field may stand in the class (`default_factory`
    does not), for `__getattr__` is asked for what neither the object nor its class has."""

    @classmethod
    def later(cls, work_out: Callable[[], "Later"]) -> "Later":
        """What a function gives, an object of this class, as if it were there already."""
        found = cls.__new__(cls)
        vars(found)["_work_out"] = work_out
        return found

    def __getattr__(self, name):
        work_out = vars(self).get("_work_out")
        if work_out is not None:
            for found, value in vars(work_out()).items():
                vars(self).setdefault(found, value)  # what was set meanwhile stays
            vars(self).pop("_work_out", None)
        if name not in vars(self):  # another thread may have worked it out meanwhile
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return vars(self)[name]

    def __getstate__(self):
        return {each.name: getattr(self, each.name) for each in fields(self)}
