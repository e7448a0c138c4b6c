"""The sources of the kernels, as syntax trees."""

import ast
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "eventsim" / "kernels"
TREES = {path.name: ast.parse(path.read_text()) for path in sorted(FOLDER.glob("*.py"))}
OPERATIONS = ("pointers.py", "vectors.py", "vectors_numpy.py")  # what kernels are written in
KERNELS = {name: tree for name, tree in TREES.items() if name not in OPERATIONS}


def functions(trees):
    """Name -> function, of all files together."""
    found = [node for tree in trees.values() for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert len(found) > 50, "the kernels are not where they are looked for"
    names = {node.name: node for node in found}
    assert len(names) == len(found), "two functions of the package have the same name"
    return names


def called(node):
    """The name that a call calls."""
    return node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)


def is_compiled(function):
    """Whether a function is a kernel or a part of one."""
    others = "contextlib.contextmanager", "cache"
    return any(ast.unparse(decorator) not in others for decorator in function.decorator_list)
