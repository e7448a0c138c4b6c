"""The house rules, read from the sources: who imports whom, who opens files, who knows the kinds of nodes.

`python tests/test_house.py` prints the packages and the floors that each imports.
"""

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict

import pytest

from support.sources import (
    HOMES, IMPORTING, PACKAGE, ROOT, SOURCES, TUPLE_METHODS, called, defined, docstrings, imports, loaded,
    package_of, public_definitions, public_homes, source,
)

# From the ground up: a package (or a single file) imports only what stands before it.
FLOORS = (
    "eventsim",  # the public names, imported when first used
    "errors", "equality", "arguments", "registry", "text", "tensors", "display", "later", "merging", "spikes", "kernels",
    "storage", "model",
    "inputs", "formats", "conversion",
    "program", "lowering", "statistics", "engine", "costs", "runs", "plots", "report", "comparison",
    "from_torch", "cli", "__main__",
)
# library -> the packages that import it
LIBRARIES = {
    "numba": {"kernels"}, "llvmlite": {"kernels"}, "h5py": {"storage"}, "matplotlib": {"plots"},
    "torch": {"from_torch"}, "argparse": {"cli"},
    "pandas": {"display"}, "pyarrow": {"display"}, "polars": {"display"},
}
WITHOUT_NUMBA = "kernels.arguments"  # so that lowering needs no compiler
LONE = ({"neo", "quantities"}, {"dask"}, {"onnx"}, {"faery"})  # libraries that one file imports, together
STANDARD = set(sys.stdlib_module_names)
DECLARED = {"eventsim", "numpy", "numba", "llvmlite", "h5py", "matplotlib", "tqdm", "neo", "quantities", "shtab"}
WRITERS = {"storage.writing", "storage.hdf5_writing", "kernels.compiling"}
KNOW_KINDS = (
    "eventsim", "model", "formats", "conversion", "from_torch", "costs.other_tools", "lowering.rules",
    "lowering.firing",
)
# folder -> what each of its modules offers under one name, to one table
INTERFACES = {"formats": {"recognises", "read", "write"}, "cli": {"add_parser"}, "from_torch": {"add_rules"},
              "inputs": {"holds_events", "recording_in"}}
TWINS = {"kernels.vectors_numpy": "kernels.vectors"}  # the same functions, checked
LONGEST = 500  # lines of a module
WIDEST = 115  # columns of a line
VAGUE = {"found", "whole", "held", "worth", "put", "told", "said", "either", "both", "following"}  # as names
# statements that no user can fail: the NumPy twins, which exist for tests; the types of the dataclasses' fields
ASSERTS = {"kernels.vectors_numpy": 1, "formats.native": 1}


def violations(rule, *sources):
    """What a rule of one module finds in some, as "file:line: what"."""
    return [line for one in sources for line in rule(one)]


def said(lines):
    """Fail with the lines, if there are any."""
    lines = sorted(set(lines))
    assert not lines, "\n" + "\n".join(lines)


# ---- floors


def wrong_floors(one):
    """Imports of a package that does not stand below."""
    package = package_of(one.module)
    if package not in FLOORS:
        yield f"{one.path}:1: {package} has no floor: give it its place in FLOORS"
        return
    below = FLOORS[: FLOORS.index(package)]
    for found in imports(one):
        if found.library == ".":
            yield one.says(found, "imports relatively: name the whole module")
        elif found.library == "eventsim" and package_of(found.module) not in {*below, package}:
            yield one.says(found, f"{package} imports {found.module}, which does not stand below it")
        elif found.library == "eventsim" and package == "kernels" != package_of(found.module):
            yield one.says(found, f"kernels imports {found.module}; it may use numpy and numba alone")


def cycles(sources):
    """Lines of the imports, at the top or within functions, that are part of a circle."""
    edges = defaultdict(set)
    for one in sources.values():
        edges[one.module] |= {i.module for i in imports(one) if i.module in sources and i.module != one.module}
    reached = {module: _reach(module, edges) for module in sources}
    for one in sources.values():
        for found in imports(one):
            if found.module in sources and found.module != one.module and one.module in reached[found.module]:
                yield one.says(found, f"{one.module} imports {found.module}, which comes back to it")


def _reach(module, edges):
    seen, waiting = set(), [module]
    while waiting:
        new = edges[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def late_tables(one):
    """Modules named by a computed string, outside the tables of late names; and names of those that leave."""
    table = public_homes(one)
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Call) and called(node) in IMPORTING:
            if not table and not isinstance(node.args[0], ast.Constant):
                yield one.says(node, "imports a module whose name is computed")
    for name, home in table.items():
        if one.module != "eventsim" and package_of(home) != package_of(one.module) or home not in SOURCES:
            yield f"{one.path}:1: {name} is said to be in {home}"


def test_a_package_imports_lower_floors_only():
    said(violations(wrong_floors, *SOURCES.values()) + violations(late_tables, *SOURCES.values()))


def test_no_module_imports_in_a_circle():
    said(cycles(SOURCES))


def planted(path, *lines):
    """A module of eventsim that reads so."""
    return source(f"eventsim/{path}", "\n".join(lines) + "\n")


UPWARD = (
    ("lowering/folding.py", "from eventsim.engine.simulator import Simulator"),
    ("lowering/folding.py", "from eventsim.engine import simulator"),
    ("lowering/folding.py", "from eventsim import Simulator"),
    ("lowering/folding.py", "import eventsim.engine.simulator"),
    ("lowering/folding.py", "def f():\n    from eventsim.engine.simulator import Simulator"),
    ("lowering/folding.py", "from importlib import import_module\nimport_module('eventsim.engine.state')"),
    ("lowering/folding.py", "from eventsim.statistics import of"),
    ("lowering/folding.py", "from .units import Folder"),
    ("kernels/gathering.py", "from eventsim.errors import RunError"),
    ("model/network.py", "from eventsim import load"),
    ("__init__.py", "from eventsim.errors import RunError"),
    ("cellar/wine.py", "import os"),
)


@pytest.mark.parametrize("path, text", UPWARD)
def test_an_import_of_a_higher_floor_is_found(path, text):
    [line] = violations(wrong_floors, planted(path, text))
    assert re.match(rf"eventsim/{path}:\d+: ", line)


def test_lower_floors_are_allowed():
    text = "from eventsim import Model, errors\nfrom eventsim.lowering import units\nimport eventsim.program"
    assert not violations(wrong_floors, planted("lowering/folding.py", text))
    assert not violations(late_tables, planted("lowering/folding.py", text))


def test_a_computed_import_is_found():
    text = "import importlib\nfor name in ('engine', 'cli'):\n    importlib.import_module(f'eventsim.{name}')"
    assert violations(late_tables, planted("lowering/folding.py", text)) == [
        "eventsim/lowering/folding.py:3: imports a module whose name is computed"]
    assert violations(late_tables, planted("statistics/__init__.py", "_HOMES = {'of': 'nowhere'}"))


def test_a_circle_is_found():
    """Of two modules of one package, at the top or within functions, and through a third."""
    first, second, third = (f"statistics.{name}" for name in ("counts", "ranges", "classes"))
    for texts in (
        {first: f"import eventsim.{second}", second: f"import eventsim.{first}"},
        {first: f"import eventsim.{second}", second: f"def f():\n    import eventsim.{first}"},
        {first: f"import eventsim.{second}", second: f"import eventsim.{third}",
         third: "from eventsim.statistics import counts"},
    ):
        made = {m: planted(m.replace(".", "/") + ".py", text) for m, text in texts.items()}
        assert len(list(cycles(made))) == len(texts)
        del made[first]
        assert not list(cycles(made))


def floors_imported():
    """Package -> (modules, lines, packages that it imports, from the ground up), from the ground up."""
    table = {}
    for package in FLOORS:
        own = [one for one in SOURCES.values() if package_of(one.module) == package]
        used = {package_of(i.module) for one in own for i in imports(one) if i.module} - {package}
        lines = sum((ROOT / one.path).read_text().count("\n") for one in own)
        if own:
            table[package] = len(own), lines, sorted(used, key=FLOORS.index)
    return table


def levels(table):
    """Package -> its floor: one above the highest that it imports. `table` as of floors_imported."""
    found = {}
    for package, (_, _, used) in table.items():
        found[package] = 1 + max((found.get(other, 0) for other in used), default=-1)
    return found


def test_the_table_of_floors_is_whole():
    table = floors_imported()
    assert {package_of(module) for module in SOURCES} == set(table)
    assert all(levels(table)[other] < levels(table)[p] for p, (_, _, used) in table.items() for other in used)


# ---- libraries, files, kinds


def wrong_libraries(one):
    """Imports of a library that has its place elsewhere, or that is not declared; prints."""
    for found in imports(one):
        homes = LIBRARIES.get(found.library)
        if homes and package_of(one.module) not in homes or (
                found.library in ("numba", "llvmlite") and one.module == WITHOUT_NUMBA):
            yield one.says(found, f"imports {found.library}; that is done in {', '.join(homes)}")
        known = STANDARD | DECLARED | LIBRARIES.keys() | set().union(*LONE)
        if found.library != "." and found.library not in known:
            yield one.says(found, f"imports {found.library}, which setup.cfg does not declare")
        if package_of(one.module) == "kernels" and found.library not in STANDARD | {
                "numpy", "numba", "llvmlite", "eventsim"}:
            yield one.says(found, f"imports {found.library} among kernels")
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Call) and called(node) == "print" and package_of(one.module) != "cli":
            yield one.says(node, "prints; that is done in cli")


def scattered(sources):
    """Imports of a library in a second file, of those that have one file each."""
    for libraries in LONE:
        places = defaultdict(list)
        for one in sources.values():
            for found in imports(one):
                if found.library in libraries:
                    places[one.module].append(one.says(found, f"imports {found.library}"))
        if len(places) > 1:
            yield from (line for lines in places.values() for line in lines)


def test_libraries_have_their_places():
    said(violations(wrong_libraries, *SOURCES.values()) + list(scattered(SOURCES)))


@pytest.mark.parametrize("path, text", [
    ("runs/file.py", "import h5py"), ("formats/native.py", "from h5py import File"),
    ("lowering/units.py", "def f():\n    import numba"), ("kernels/arguments.py", "import numba.core"),
    ("report/tables.py", "import matplotlib.pyplot as plt"), ("comparison/text.py", "import argparse"),
    ("runs/summary.py", "print('done')"), ("kernels/gathering.py", "import h5py"),
    ("engine/state.py", "import torch"), ("inputs/levels.py", "import pandas"),
])
def test_a_misplaced_library_is_found(path, text):
    assert violations(wrong_libraries, planted(path, text))


def test_a_second_file_for_a_lone_library_is_found():
    made = {"a": planted("runs/neo.py", "import neo"),
            "b": planted("runs/file.py", "def f():\n    import quantities")}
    assert len(list(scattered(made))) == 2
    assert not list(scattered({"a": planted("runs/neo.py", "import neo, quantities"),
                               "b": planted("formats/x.py", "import onnx")}))


CREATING = {  # calls that create, replace or move files, as they end
    "write_text", "write_bytes", "mkdir", "makedirs", "touch", "symlink_to", "hardlink_to", "rename", "renames",
    "tofile", "memmap", "TemporaryFile", "NamedTemporaryFile", "TemporaryDirectory", "mkstemp", "mkdtemp",
    "copyfile", "copy2", "copytree", "move", "symlink", "link", "fdopen",
}
BUFFERED = {"savefig", "save", "savez", "savez_compressed", "savetxt"}  # of NumPy and matplotlib: into memory
OPENING = {"open", "File", "ZipFile", "TarFile", "GzipFile"}


def file_writes(one):
    """Calls that create a file, where only storage does. Into a buffer in memory, anybody may save."""
    if one.module in WRITERS:
        return
    buffers = {
        target.id for node in ast.walk(one.tree) if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call) and called(node.value) in ("io.BytesIO", "BytesIO", "io.StringIO")
        for target in node.targets if isinstance(target, ast.Name)
    }
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Call) and _creates(node, buffers):
            yield one.says(node, f"creates a file: {ast.unparse(node)}; storage.writing does that")


def _creates(node, buffers):
    whole = called(node)
    owner, _, name = whole.rpartition(".")
    if name in OPENING:
        return _opens_to_write(node, owner)
    if name in BUFFERED and (name == "savefig" or owner in ("np", "numpy")):
        return not (node.args and isinstance(node.args[0], ast.Name) and node.args[0].id in buffers)
    if name == "replace":  # Path.replace(target), os.replace; not of strings, not of dataclasses
        return owner == "os" or len(node.args) == 1 and not node.keywords and owner != ""
    return name in CREATING and owner != ""


def _opens_to_write(node, owner):
    """Whether an `open` has a mode that is not for reading. One that cannot be read from the source counts."""
    is_method = owner not in ("", "io", "os", "gzip", "bz2", "lzma", "zipfile", "tarfile", "h5py")
    modes = [k.value for k in node.keywords if k.arg == "mode"] or node.args[0 if is_method else 1:][:1]
    if not modes:
        return False
    mode = getattr(modes[0], "value", None)
    if is_method:  # of an archive, the argument is a member's name
        return isinstance(mode, str) and re.fullmatch(r"[rwxabt+]+", mode) and set(mode) & set("wxa+")
    return not isinstance(mode, str) or bool(set(mode) & set("wxa+"))


def nameless_code(one):
    """Text files that are read in the code of the user's language, which other machines do not have."""
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Call) and _reads_text_somehow(node):
            yield one.says(node, f"names no encoding: {ast.unparse(node)}")


def _reads_text_somehow(node):
    owner, _, name = called(node).rpartition(".")
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    if name == "read_text":
        return not node.args and "encoding" not in keywords
    mode = keywords.get("mode") or (node.args[1] if len(node.args) > 1 else None)
    text = str(getattr(mode, "value", "b" * bool(mode)))
    return called(node) == "open" and "encoding" not in keywords and "b" not in text


def test_text_is_read_in_one_code():
    said(violations(nameless_code, *SOURCES.values()))
    for text in ("open(path)", "open(path, 'r', newline='')", "path.read_text()",
                 "folder.path.read_text(errors='ignore')"):
        assert violations(nameless_code, planted("runs/file.py", text)), text
    for text in ("open(path, 'rb')", "open(path, encoding='utf-8')", "path.read_text('utf-8')", "os.open(path)"):
        assert not violations(nameless_code, planted("runs/file.py", text)), text


def test_files_are_created_by_storage_alone():
    said(violations(file_writes, *SOURCES.values()))


@pytest.mark.parametrize("text", [
    "open(path, 'w')", "open(path, mode='xb')", "open(path, 'r+')", "open(path, mode)", "path.open('a')",
    "Path(path).write_text('x')", "path.write_bytes(b'')", "os.replace(a, b)", "path.replace(other)",
    "path.rename(other)", "h5py.File(path, 'w')", "h5py.File(path, 'x', libver='v108')", "h5py.File(path, 'a')",
    "folder.mkdir(parents=True)", "os.makedirs(path)", "np.save(path, x)", "np.savez_compressed(path, x=x)",
    "figure.savefig(path)", "zipfile.ZipFile(path, 'w')", "gzip.open(path, 'wb')", "tempfile.TemporaryFile()",
    "array.tofile(path)", "shutil.move(a, b)", "path.touch()",
])
def test_a_written_file_is_found(text):
    assert len(violations(file_writes, planted("runs/file.py", text))) == 1
    assert not violations(file_writes, planted("storage/writing.py", text))


def test_reading_and_buffers_write_no_file():
    for text in ("open(path)", "open(path, 'rb')", "path.open()", "path.open('rb')", "gzip.open(path)",
                 "h5py.File(path, 'r')", "zipfile.ZipFile(path)", "archive.open('x.npy')",
                 "text.replace('a', 'b')", "dataclasses.replace(x, a=1)",
                 "buffer = io.BytesIO()\nfigure.savefig(buffer)\nnp.savez(buffer, x=x)",
                 "x.save(path)"):
        assert not violations(file_writes, planted("runs/file.py", text)), text


def _kinds():
    """Names of the node classes, and of their kinds: of the classes in model/ that have a `kind`."""
    classes = [node for one in SOURCES.values() if package_of(one.module) == "model"
               for node in ast.walk(one.tree) if isinstance(node, ast.ClassDef)]
    kinds = {node.name: statement.value.value for node in classes for statement in node.body
             if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "kind"}
    return {*kinds, *kinds.values()}


KINDS = _kinds()


def node_names(one):
    """Names of node classes, or of their kinds, in a module that should ask a node what it is."""
    if any(f"{one.module}.".startswith(f"{home}.") for home in KNOW_KINDS):
        return
    prose = docstrings(one.tree)
    for node in ast.walk(one.tree):
        name = {
            ast.Name: lambda n: n.id, ast.Attribute: lambda n: n.attr, ast.alias: lambda n: n.name,
            ast.Constant: lambda n: None if id(n) in prose else n.value,
        }.get(type(node), lambda n: None)(node)
        if isinstance(name, str) and name in KINDS:
            yield one.says(node, f"names the node {name}: ask for its role")


def test_few_modules_know_the_kinds_of_nodes():
    from eventsim.model.kinds import NODE_TYPES

    assert KINDS == {*NODE_TYPES, *(cls.__name__ for cls in NODE_TYPES.values())}
    said(violations(node_names, *SOURCES.values()))


@pytest.mark.parametrize("text", [
    "from eventsim.model.neurons import Neuron", "from eventsim import Neuron as N",
    "if isinstance(node, Dense): pass", "if isinstance(node, neurons.Readout): pass",
    "if node.kind == 'SigmaDelta': pass", "KINDS = ('Conv2d', 'x')",
    "def f(x: 'Input'): pass", "match node:\n    case Flatten(): pass",
])
def test_a_named_kind_is_found(text):
    assert violations(node_names, planted("costs/energy.py", text))
    assert not violations(node_names, planted("lowering/firing.py", text))
    assert not violations(node_names, planted("costs/other_tools/tools.py", text))


# ---- names


def crossing_names(one):
    """Names with a leading underscore that another module has defined."""
    own = defined(one.tree) | TUPLE_METHODS
    for found in imports(one):
        if found.library == "eventsim" and found.name and re.match("_[^_]", found.name):
            yield one.says(found, f"imports {found.name} of {found.module}")
    for node in ast.walk(one.tree):
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Call) and called(node) in ("getattr", "setattr", "hasattr", "delattr"):
            name = getattr(node.args[1], "value", None) if len(node.args) > 1 else None
        else:
            continue
        if isinstance(name, str) and re.match("_[^_]", name) and name not in own:
            yield one.says(node, f"uses {ast.unparse(node)}, which is another module's")


def test_private_names_stay_in_their_module():
    said(violations(crossing_names, *SOURCES.values()))


@pytest.mark.parametrize("text", [
    "from eventsim.runs.file import _level", "from eventsim.runs import file\nfile._level()",
    "def f(run):\n    return run._file", "getattr(run, '_file')",
    "class Mine(Base):\n    def f(self): self._hook()",
])
def test_a_private_name_of_another_module_is_found(text):
    assert violations(crossing_names, planted("report/tables.py", text))


def test_own_private_names_are_allowed():
    text = "class A:\n    def __init__(self): self._x = 1\ndef f(a): return a._x, a._replace(b=1), a.__class__"
    assert not violations(crossing_names, planted("report/tables.py", text))


def ambiguous_names(sources):
    """Public functions and classes of one name in two modules.

    The terms of vectors stay within kernels/: they are compared with other packages only where
    another package imports them.
    """
    exported = {i.name for one in sources.values() for i in imports(one)
                if package_of(one.module) != "kernels" and i.module and package_of(i.module) == "kernels"}
    places = defaultdict(lambda: defaultdict(list))  # name -> where it means one thing -> lines
    for one in sources.values():
        for node in public_definitions(one):
            inner = package_of(one.module) == "kernels" and node.name not in exported
            name = f"kernels: {node.name}" if inner else node.name
            places[name][_meaning(one.module, node.name)].append(one.says(node, node.name))
    for name, meanings in places.items():
        if len(meanings) > 1:
            lines = sorted(line for found in meanings.values() for line in found)
            yield " ".join([lines[0], "here, and in", *lines[1:]])


def _meaning(module, name):
    folder = package_of(module)
    return folder if name in INTERFACES.get(folder, ()) else TWINS.get(module, module)


def test_a_public_name_means_one_thing():
    said(ambiguous_names(SOURCES))


def test_a_second_meaning_is_found():
    def count(**texts):
        return len(list(ambiguous_names({m: planted(f"{m.replace('__', '/')}.py", t) for m, t in texts.items()})))

    assert count(runs__file="class Run: pass", comparison__sides="class Run: pass") == 1
    assert count(runs__file="def find(): pass", costs__energy="class find: pass") == 1
    assert count(runs__file="def read(): pass", formats__a="def read(): pass", formats__b="def read(): pass") == 1
    assert count(formats__native="def read(): pass", formats__lava="def read(): pass") == 0
    assert count(kernels__vectors="def load(): pass", kernels__vectors_numpy="def load(): pass") == 0
    assert count(kernels__vectors="def load(): pass", kernels__words="def load(): pass") == 1
    assert count(kernels__vectors="def load(): pass", formats__x="def load(): pass") == 0
    assert count(kernels__vectors="def load(): pass", formats__x="def load(): pass",
                 engine__state="from eventsim.kernels.vectors import load") == 1
    assert count(runs__file="class Run: pass", comparison__sides="from eventsim.runs.file import Run") == 0
    assert count(runs__file="def _f(): pass", comparison__sides="def _f(): pass") == 0


# ---- what imports cost


def engine_imports(one):
    """Imports of the engine where only runs are read."""
    if package_of(one.module) in ("report", "plots"):
        for found in imports(one):
            if found.module and package_of(found.module) == "engine":
                yield one.says(found, f"imports {found.module}; read what the run has kept")


def test_report_and_plots_read_runs():
    said(violations(engine_imports, *SOURCES.values()))


def test_an_engine_in_report_is_found():
    assert violations(engine_imports, planted("report/tables.py", "def f():\n    from eventsim import Simulator"))
    assert violations(engine_imports, planted("plots/style.py", "import eventsim.engine.state"))


def _python(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments], env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, text=True,
        capture_output=True, check=True)


def _loaded_by(*arguments, **environment):
    """Libraries and modules of eventsim that a run of Python imports."""
    done = _python("-X", "importtime", *arguments, **environment)
    names = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "eventsim" in names
    return names | {name.split(".")[0] for name in names}


def test_import_is_light_and_compiles_nothing(tmp_path):
    found = _loaded_by("-c", "import eventsim", EVENTSIM_CACHE_DIR=str(tmp_path))
    assert found & {"matplotlib", "numba", "llvmlite", "h5py", "torch", "tqdm", "numpy"} == set()
    assert not list(tmp_path.rglob("*"))


def test_help_is_light_and_compiles_nothing(tmp_path):
    found = _loaded_by("-m", "eventsim", "--help", EVENTSIM_CACHE_DIR=str(tmp_path))
    assert found & {"matplotlib", "numba", "llvmlite", "h5py", "torch", "tqdm"} == set()
    assert not list(tmp_path.rglob("*"))


def test_loading_and_describing_a_model_needs_no_compiler(tmp_path):
    code = ("import sys, eventsim\n"
            f"model = eventsim.load({str(ROOT / 'data' / 'digits.h5')!r})\n"
            "print(*sorted({'numba', 'matplotlib', 'torch'} & set(sys.modules)))")
    done = _python("-c", code, EVENTSIM_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == ""
    assert not list(tmp_path.rglob("*"))


def test_running_a_model_pulls_in_no_plotting_and_no_framework():
    code = ("import sys, eventsim.engine.simulator, eventsim.cli, eventsim.report.text, "
            "eventsim.comparison.self_check\n"
            "print(*sorted({'matplotlib', 'torch', 'pandas'} & set(sys.modules)))")
    assert _python("-c", code).stdout.strip() == ""


def compiled_by_accident(module, sources=SOURCES):
    """Why importing the package of this `__init__` brings numba; None if it does not."""
    found = loaded(module, sources)
    name, steps = "numba", []
    while name in found and name != module:
        name, _ = found[name], steps.append(name)
    return " <- ".join([*steps, module]) if steps else None


PACKAGES = sorted(one.module for one in SOURCES.values() if one.path.endswith("__init__.py"))


@pytest.mark.parametrize("module", PACKAGES)
def test_a_package_is_imported_without_a_compiler(module):
    why = compiled_by_accident(module)
    assert not why, f"{SOURCES[module].path}:1: importing it imports numba: {why}"


def test_an_eager_package_is_found():
    eager = planted("statistics/__init__.py", "from eventsim.statistics import observing")
    assert compiled_by_accident("statistics", {**SOURCES, "statistics": eager}).startswith("numba <- kernels.")
    late = planted("statistics/__init__.py", "def f():\n    from eventsim.statistics import observing")
    assert not compiled_by_accident("statistics", {**SOURCES, "statistics": late})


def test_the_package_of_kernels_is_empty():
    """Whoever needs types of arguments alone imports no compiler with them."""
    assert not [node for node in SOURCES["kernels"].tree.body if not isinstance(node, ast.Expr)]


# ---- files and folders, sizes, docstrings


def bare_folders(package):
    """Folders of Python files that are no packages: a wheel would leave them out."""
    folders = {path.parent for path in package.rglob("*.py")}
    return sorted(str(folder.relative_to(package)) for folder in folders if not (folder / "__init__.py").exists())


def test_every_folder_is_a_package():
    assert not bare_folders(PACKAGE)


def test_a_bare_folder_is_found(tmp_path):
    for path in ("__init__.py", "a/__init__.py", "a/b/c.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert bare_folders(tmp_path) == ["a/b"]


def test_every_package_has_tests():
    packages = {module for module in PACKAGES if module != "eventsim" and "." not in module}
    assert packages
    missing = {p for p in packages if not list((ROOT / "tests" / p).glob("test_*.py"))}
    assert not missing, f"tests/<package> is missing or empty for {sorted(missing)}"


def fast_math(one):
    """Any mention of fastmath, by which compiled arithmetic would depend on the machine."""
    for node in ast.walk(one.tree):
        name = {ast.Name: "id", ast.Attribute: "attr", ast.keyword: "arg", ast.Constant: "value"}.get(type(node))
        if name and getattr(node, name) in ("fastmath", "fast"):
            yield one.says(node, "fastmath: exact results come before speed")


def test_no_fastmath():
    said(violations(fast_math, *SOURCES.values()))


def test_fastmath_is_found():
    for text in ("njit(fastmath=True)", "OPTIONS = {'fastmath': True}", "options.fastmath = 1", "f(fast=True)"):
        assert violations(fast_math, planted("kernels/gathering.py", text)), text


def asserts(one):
    """Assertions beyond those that ASSERTS allows: they go under -O, so that no user may meet them."""
    found = [one.says(node, "asserts; raise an error of errors.py") for node in ast.walk(one.tree)
             if isinstance(node, ast.Assert)]
    return found if len(found) > ASSERTS.get(one.module, 0) else []


def test_no_assert_on_user_data():
    said(violations(asserts, *SOURCES.values()))
    assert violations(asserts, planted("runs/file.py", "assert path, path"))


def test_modules_are_short():
    lines = {one.path: (ROOT / one.path).read_text().count("\n") for one in SOURCES.values()}
    said(f"{path}:{n}: {n} lines: look for the missing type" for path, n in lines.items() if n > LONGEST)


def undocumented(one):
    """Public functions and classes without docstrings; methods too, of the classes that users name."""
    if one.module in TWINS:  # their twins document them
        return
    if not ast.get_docstring(one.tree) and one.tree.body:
        yield f"{one.path}:1: the module has no docstring"
    for node in public_definitions(one):
        if not ast.get_docstring(node):
            yield one.says(node, f"{node.name} has no docstring")
        if isinstance(node, ast.ClassDef) and node.name in HOMES:
            yield from (one.says(m, f"{node.name}.{m.name} has no docstring") for m in node.body if _bare(m, node))


def _bare(member, owner):
    """A public method without docstring; one that overrides an inherited method may go without."""
    if not isinstance(member, ast.FunctionDef) or member.name.startswith("_") or owner.bases:
        return False
    return not ast.get_docstring(member)


def test_public_names_have_docstrings():
    said(violations(undocumented, *SOURCES.values()))


def test_a_missing_docstring_is_found():
    for text in ("x = 1", '"""M."""\ndef f(): pass', '"""M."""\nclass C: pass',
                 '"""M."""\nclass Run:\n    """R."""\n    def f(self): pass'):
        assert len(violations(undocumented, planted("runs/file.py", text))) == 1
    assert not violations(undocumented, planted("runs/__init__.py", ""))


def test_public_names_exist():
    import eventsim

    for name in eventsim.__all__:
        assert getattr(eventsim, name).__doc__ or name == "__version__"
        assert name in dir(eventsim)
    with pytest.raises(AttributeError, match="module 'eventsim' has no attribute 'nonsense'"):
        eventsim.nonsense


def main():
    """Print the packages, from the ground up, with the floors that they import."""
    table = floors_imported()
    floors = levels(table)
    print(f"{'floor':>5}  {'package':<12}{'modules':>8}{'lines':>7}  imports")
    for package in sorted(table, key=lambda p: (floors[p], FLOORS.index(p))):
        modules, lines, used = table[package]
        print(f"{floors[package]:>5}  {package:<12}{modules:>8}{lines:>7}  {' '.join(used)}")
    arrows = sum(len(used) for _, _, used in table.values())
    print(f"{len(table)} rooms on {1 + max(floors.values())} floors, {arrows} arrows, none upward")


if __name__ == "__main__":
    main()

# ---- names and lines


def shadowing(one):
    """Names of a function's own that hide what the module imports."""
    imported = {(alias.asname or alias.name).partition(".")[0] for node in one.tree.body
                if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names}
    for function in ast.walk(one.tree):
        if isinstance(function, (ast.FunctionDef, ast.Lambda)):
            arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
            for node in (*arguments, *ast.walk(function)):
                name = node.arg if isinstance(node, ast.arg) else node.id if _is_stored(node) else None
                if name in imported:
                    yield one.says(node, f"{name} hides what the module imports under that name")


def _is_stored(node):
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def test_no_name_hides_an_import():
    said(violations(shadowing, *SOURCES.values()))


@pytest.mark.parametrize("text", ["def f(many):\n    return many", "def f():\n    many = 1\n    return many",
                                  "def f(x):\n    return [many for many in x]", "f = lambda many: many"])
def test_a_hidden_import_is_found(text):
    assert list(shadowing(planted("engine/made_up.py", "from eventsim.text import many", *text.split("\n"))))


def test_lines_fit():
    said(f"{path.relative_to(ROOT)}:{number}: {len(line)} columns, at most {WIDEST}"
         for folder in ("eventsim", "examples") for path in sorted((ROOT / folder).rglob("*.py"))
         for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if len(line) > WIDEST)


def vague_names(one):
    """Variables and arguments whose name does not say what they hold."""
    for node in ast.walk(one.tree):
        name = node.arg if isinstance(node, ast.arg) else node.id if _is_stored(node) else None
        if name in VAGUE:
            yield one.says(node, f"{name} does not say what it holds")


def test_names_say_what_they_hold():
    said(violations(vague_names, *SOURCES.values()))


def test_a_vague_name_is_found():
    text = planted("engine/made_up.py", "def f(found):", "    whole = found", "    return whole")
    assert len(list(vague_names(text))) == 2
