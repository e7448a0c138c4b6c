"""The sources of eventsim as syntax trees: what the house rules are checked on."""

import ast
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "eventsim"
IMPORTING = {"import_module", "importlib.import_module", "__import__"}
TUPLE_METHODS = {"_replace", "_asdict", "_fields", "_make", "_field_defaults"}  # public, of NamedTuple


class Source(NamedTuple):
    """One module: its file from the root of the checkout, its name without "eventsim.", its tree."""

    path: str
    module: str
    tree: ast.Module

    def says(self, node, text) -> str:
        """A violation: file, line and text."""
        return f"{self.path}:{node.lineno}: {text}"


class Import(NamedTuple):
    """One import: the library, and if that is eventsim its module and the name taken from it, if one is."""

    lineno: int
    library: str
    module: Optional[str]
    name: Optional[str]
    at_top: bool  # done when the module is imported, not when a function runs


def source(path, text) -> Source:
    """The Source of a file at `path` (relative to the checkout) that reads `text`."""
    parts = Path(path).with_suffix("").parts[1:]
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return Source(str(path), ".".join(parts) or "eventsim", ast.parse(text))


def read_sources(package=PACKAGE) -> Dict[str, Source]:
    """Module name -> Source, of every module of a package. "eventsim" is the package's own file."""
    root = package.parent
    read = [source(p.relative_to(root), p.read_text()) for p in sorted(package.rglob("*.py"))]
    return {one.module: one for one in read}


SOURCES = read_sources()


@lru_cache(maxsize=None)
def public_homes(one: Source) -> Dict[str, str]:
    """Name -> module, of what a package imports when it is first used (its `_HOMES`)."""
    prefix = "" if one.module == "eventsim" else f"{one.module}."
    for node in one.tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOMES":
            return {name: prefix + home for name, home in ast.literal_eval(node.value).items()}
    return {}


HOMES = public_homes(SOURCES["eventsim"])


def package_of(module) -> str:
    """The folder, or the file, directly under eventsim/ that holds a module."""
    return module.split(".")[0]


@lru_cache(maxsize=None)
def imports(one: Source) -> Tuple[Import, ...]:
    """What a module imports, anywhere in it. A name that a package imports late counts as its home's."""
    found = []
    waiting = [(one.tree, True)]
    while waiting:
        node, at_top = waiting.pop()
        at_top = at_top and not isinstance(node, (ast.FunctionDef, ast.Lambda))
        waiting += [(child, at_top) for child in ast.iter_child_nodes(node)]
        found += [_resolved(node.lineno, *names, at_top) for names in _named(node)]
    return tuple(sorted(found, key=lambda i: i.lineno))


def _named(node):
    """(module, name or None) of what one statement or call imports."""
    if isinstance(node, ast.Import):
        return [(alias.name, None) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [("." * node.level + (node.module or ""), alias.name) for alias in node.names]
    if isinstance(node, ast.Call) and called(node) in IMPORTING and isinstance(node.args[0], ast.Constant):
        return [(node.args[0].value, None)]
    return []


def _resolved(lineno, module, name, at_top):
    library = module.split(".")[0] or "."  # "." is a relative import
    if library != "eventsim":
        return Import(lineno, library, None, name, at_top)
    inner = module.removeprefix("eventsim").removeprefix(".")
    below = f"{inner}.{name}" if inner else name
    if name and below in SOURCES:
        return Import(lineno, library, below, None, at_top)
    inner = inner or "eventsim"
    home = public_homes(SOURCES[inner]).get(name, inner) if inner in SOURCES else inner
    return Import(lineno, library, home, name, at_top)


def called(node: ast.Call) -> str:
    """What a call calls, as it is written."""
    return ast.unparse(node.func)


def docstrings(tree) -> set:
    """ids of the constants that are docstrings, of modules, classes, functions and attributes."""
    return {id(node.value) for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}


def defined(tree) -> set:
    """Every name that a module defines: functions, classes, variables and attributes that it sets."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
    return names


def public_definitions(one: Source) -> List[ast.stmt]:
    """Public functions and classes at the top level of a module."""
    return [node for node in one.tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")]


def loaded(module, sources=SOURCES) -> Dict[str, str]:
    """Modules of eventsim and libraries that importing a module loads -> the module that asks for them."""
    found, waiting = {}, [(module, "")]
    while waiting:
        name, by = waiting.pop()
        if name in found:
            continue
        found[name] = by
        if name not in sources:
            continue
        parts = name.split(".")
        waiting += [(".".join(parts[:n]), name) for n in range(1, len(parts))]
        waiting += [(i.module or i.library, name) for i in imports(sources[name]) if i.at_top]
    return found
