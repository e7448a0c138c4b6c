"""Where to look for a missing type: what is large in a tree of sources.

    python tests/support/look.py eventsim [ANOTHER ...]

Lists functions above 6 parameters (kernels above 9), modules above 500 lines and classes above
250, with file and line, and counts for each tree. None of it is a fault by itself: never split or bundle
only to please a number.
"""

import ast
import sys
from pathlib import Path
from typing import List, NamedTuple

MOST_PARAMETERS, MOST_OF_KERNELS, LONGEST_MODULE, LONGEST_CLASS = 6, 9, 500, 250
COMPILING = ("compiled", "njit", "jit", "overload", "intrinsic")


class Large(NamedTuple):
    """One thing to look at. size: parameters or lines."""

    where: str
    name: str
    size: int


class Look(NamedTuple):
    """What a tree holds. plain: functions above 6 parameters that are no kernels; kernels: those above 9."""

    lines: int
    modules: int
    functions: int
    kernels_above_6: int
    plain: List[Large]
    kernels: List[Large]
    long_modules: List[Large]
    long_classes: List[Large]
    largest_class: Large


def n_parameters(function) -> int:
    """Parameters of a function, without self and cls."""
    own = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    own = own[1:] if own and own[0].arg in ("self", "cls") else own
    return len(own) + (function.args.vararg is not None) + (function.args.kwarg is not None)


def is_kernel(function, path) -> bool:
    """Whether one of its decorators compiles it, or it lies where kernels do, which call it."""
    if "kernels" in (path.stem, path.parent.name):
        return True
    names = (ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in function.decorator_list)
    return any(name.split(".")[-1] in COMPILING for name in names)


def look(folder) -> Look:
    """Everything large below a folder, the largest first."""
    functions, classes, modules = [], [], []
    for path in sorted(Path(folder).rglob("*.py")):
        text = path.read_text()
        modules.append(Large(f"{path}:1", path.stem, text.count("\n")))
        for node in ast.walk(ast.parse(text)):
            where = f"{path}:{getattr(node, 'lineno', 1)}"
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                functions.append((Large(where, node.name, n_parameters(node)), is_kernel(node, path)))
            elif isinstance(node, ast.ClassDef):
                classes.append(Large(where, node.name, node.end_lineno - node.lineno + 1))
    kernels = [one for one, inside in functions if inside]
    plain = [one for one, inside in functions if not inside]
    return Look(
        sum(one.size for one in modules), len(modules), len(functions),
        sum(one.size > MOST_PARAMETERS for one in kernels),
        _above(plain, MOST_PARAMETERS), _above(kernels, MOST_OF_KERNELS),
        _above(modules, LONGEST_MODULE), _above(classes, LONGEST_CLASS),
        max(classes, key=lambda one: one.size, default=Large("", "none", 0)),
    )


def _above(found, most):
    return sorted((one for one in found if one.size > most), key=lambda one: -one.size)


def show(folder) -> str:
    """The lists and the counts of a tree, as text."""
    found = look(folder)
    lists = (
        (f"functions above {MOST_PARAMETERS} parameters", found.plain),
        (f"kernels above {MOST_OF_KERNELS} parameters", found.kernels),
        (f"modules above {LONGEST_MODULE} lines", found.long_modules),
        (f"classes above {LONGEST_CLASS} lines", found.long_classes),
    )
    lines = [f"{folder}"]
    for what, large in lists:
        lines.append(f"  {what}: {len(large)}")
        lines += [f"    {one.size:>5}  {one.name}  {one.where}" for one in large]
    lines.append(f"  lines {found.lines:,}, modules {found.modules}, functions {found.functions:,}")
    lines.append(f"  largest class: {found.largest_class.name}, {found.largest_class.size} lines")
    lines.append(f"  functions above {MOST_PARAMETERS} parameters, kernels or not: "
                 f"{len(found.plain) + found.kernels_above_6}")
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print("\n\n".join(map(show, sys.argv[1:])))
