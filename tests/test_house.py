"""The house rules, read from the sources: who imports whom, what compiles, what multiplies."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "eventsim"
SOURCES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
SOURCES["eventsim"] = SOURCES.pop("__init__")
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}

# Down the flow: a module imports only what stands before it. A new module takes its place here.
LAYERS = (
    "eventsim",  # the public names, imported when first used
    "errors", "columns", "wording",
    "parameters", "node", "neurons", "nodes", "chips",
    "model",
    "formats.heaps", "formats.safe_hdf5", "formats.new_hdf5", "formats.options", "formats.native",
    "formats.nir_presets", "formats.nir_neurons", "formats.nir_graph", "formats.nir_loops",
    "formats.nir_nodes", "formats.nir_write", "formats.nir", "formats.lava_values", "formats.lava", "formats",
    "rounding", "paths", "units", "folding",
    "simd_twins", "simd", "kernels",
    "program", "layout", "widths", "lower",
    "fanouts", "audit", "spikes", "counting", "encode",
    "statistics.trains", "statistics.decisions", "statistics.membranes", "statistics.observing", "statistics",
    "statistics.stored", "statistics.classes",
    "attention", "tally", "execution",
    "recording", "simulator", "runs", "neo_export",
    "energy_tables", "energy", "conventions.values", "conventions.tools", "conventions", "files",
    "plots.style", "plots.output", "plots.binning", "plots.rasters", "plots.layers", "plots.matrices",
    "plots.courses", "plots.kinds", "plots",
    "checking", "report", "datasets",
    "facts", "findings", "tables",
    "page.markup", "page.definitions", "page.sections", "page.figures", "page",
    "comparison", "comparison.traces", "comparison.pairing", "comparison.sides", "comparison.watching",
    "comparison.diagnosis", "comparison.verdict", "comparison.divergence", "comparison.text", "loading",
    "comparison.commands", "converting", "running", "analysing", "cli", "__main__",
)
# (module, what it imports against the flow): why
BACKWARDS = {
    ("model", "formats"): "Model.save is the one convenience that looks down, when it is called",
}
LIBRARIES = {
    "numba": {"kernels", "simd"},
    "llvmlite": {"kernels", "simd"},
    "h5py": {
        "formats", "formats.native", "formats.new_hdf5", "formats.nir_write", "formats.safe_hdf5", "datasets",
        "recording",
    },
    "matplotlib": {
        "plots.style", "plots.output", "plots.binning", "plots.rasters", "plots.layers", "plots.matrices",
        "plots.courses", "plots.kinds", "plots",
    },
    "neo": {"neo_export"},
    "quantities": {"neo_export"},
    "torch": set(),
}
LONGEST = 500  # lines of a module
# kernels.py: Numba's cache would not notice an edit in another file
LONGER = {"kernels"}


def _homes():
    """Public name -> module, from eventsim/__init__.py."""
    for node in TREES["eventsim"].body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "_HOMES":
            return ast.literal_eval(node.value)
    raise AssertionError("eventsim/__init__.py has no _HOMES")


HOMES = _homes()


def imports(tree):
    """Dotted names that a module imports, anywhere in it. Names of eventsim without the prefix."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole.removeprefix("eventsim.") in SOURCES else (
                    f"eventsim.{HOMES[alias.name]}" if node.module == "eventsim" and alias.name in HOMES
                    else node.module
                )


def inside(tree):
    """Modules of eventsim that a module imports."""
    return {name.removeprefix("eventsim.") for name in imports(tree) if name.split(".")[0] == "eventsim"}


def test_every_module_has_a_layer():
    assert set(LAYERS) == set(SOURCES)
    assert len(LAYERS) == len(set(LAYERS))


def back_edges(name, tree):
    allowed = set(LAYERS[: LAYERS.index(name)])
    return {other for other in inside(tree) - allowed if (name, other) not in BACKWARDS}


@pytest.mark.parametrize("name", LAYERS)
def test_no_import_points_back_up_the_flow(name):
    assert not back_edges(name, TREES[name])


def test_a_back_edge_is_found():
    for line in ("from eventsim.lower import lower", "from eventsim import lower",
                 "import eventsim.lower", "from eventsim import Simulator",
                 "def f():\n    from eventsim.simulator import Simulator"):
        assert back_edges("folding", ast.parse(line)), line
    assert not back_edges("folding", ast.parse("from eventsim import Model, errors"))


def test_exceptions_to_the_flow_are_late_imports():
    for name, other in BACKWARDS:
        assert other in inside(TREES[name]), f"{name} no longer imports {other}"
        at_top = ast.Module([n for n in TREES[name].body if isinstance(n, (ast.Import, ast.ImportFrom))], [])
        assert other not in inside(at_top)


@pytest.mark.parametrize("name", LAYERS)
def test_libraries_are_imported_only_where_they_belong(name):
    found = {other.split(".")[0] for other in imports(TREES[name])}
    for library, homes in LIBRARIES.items():
        assert library not in found or name in homes, f"{name} imports {library}"
    assert "numba" not in found or found <= {"numba", "llvmlite", "numpy", "eventsim"} | STANDARD


STANDARD = set(sys.stdlib_module_names)


def test_dependencies_are_declared():
    allowed = STANDARD | {"eventsim", "numpy", "numba", "llvmlite", "h5py", "matplotlib", "tqdm", "neo",
                          "quantities"}
    for name, tree in TREES.items():
        assert {other.split(".")[0] for other in imports(tree)} <= allowed, name


# ---- what `import eventsim` costs


def _python(*arguments, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "EVENTSIM_"))}
    return subprocess.run([sys.executable, *arguments], env={**env, **environment}, text=True,
                          capture_output=True, check=True)


def test_import_is_light_and_compiles_nothing(tmp_path):
    done = _python("-X", "importtime", "-c", "import eventsim", EVENTSIM_CACHE_DIR=str(tmp_path))
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "eventsim" in imported
    heavy = {"matplotlib", "numba", "llvmlite", "h5py", "torch", "tqdm", "numpy"}
    assert not heavy & {name.split(".")[0] for name in imported}
    assert not list(tmp_path.rglob("*"))


def test_loading_and_describing_a_model_needs_no_compiler(tmp_path):
    code = ("import sys, eventsim\n"
            f"model = eventsim.load({str(PACKAGE.parent / 'data' / 'digits.h5')!r})\n"
            "print(*sorted({'numba', 'matplotlib', 'torch'} & set(sys.modules)))")
    done = _python("-c", code, EVENTSIM_CACHE_DIR=str(tmp_path))
    assert done.stdout.strip() == ""
    assert not list(tmp_path.rglob("*"))


def test_running_a_model_pulls_in_no_plotting_and_no_framework():
    code = ("import sys, eventsim.engine.simulator, eventsim.cli, eventsim.report.text, eventsim.comparison.self_check\n"
            "print(*sorted({'matplotlib', 'torch', 'pandas'} & set(sys.modules)))")
    assert _python("-c", code).stdout.strip() == ""


# ---- how functions are compiled, sizes, docstrings


@pytest.mark.parametrize("name", SOURCES)
def test_no_fastmath(name):
    for node in ast.walk(TREES[name]):
        if isinstance(node, (ast.Name, ast.Attribute, ast.keyword)):
            called = getattr(node, "id", getattr(node, "attr", getattr(node, "arg", None)))
            assert called != "fastmath", f"{name}.py, line {getattr(node, 'lineno', '?')}"
    assert "fast=" not in ast.unparse(TREES[name]) and "'fastmath'" not in ast.unparse(TREES[name])


# the NumPy twins, which exist for tests; the types of the dataclasses' fields
ASSERTS = {"simd_twins": 1, "formats.native": 1}


@pytest.mark.parametrize("name", SOURCES)
def test_no_assert_on_user_data(name):
    """`assert` goes under -O. It may only state what no user can change."""
    found = sum(isinstance(n, ast.Assert) for n in ast.walk(TREES[name]))
    assert found <= ASSERTS.get(name, 0)


@pytest.mark.parametrize("name", SOURCES)
def test_modules_are_short(name):
    lines = SOURCES[name].read_text().count("\n")
    assert lines <= LONGEST or name in LONGER, f"{name}.py has {lines} lines: look for the missing type"


@pytest.mark.parametrize("name", sorted(set(SOURCES) - {"simd_twins"}))  # `simd` documents them
def test_public_names_have_docstrings(name):
    tree = TREES[name]
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                missing.append(node.name)
            if isinstance(node, ast.ClassDef) and node.name in HOMES:
                missing += [f"{node.name}.{m.name}" for m in node.body if _undocumented(m, node)]
    assert not missing


def _undocumented(member, owner):
    """A public method without docstring; one that overrides an inherited method may go without."""
    if not isinstance(member, ast.FunctionDef) or member.name.startswith("_") or owner.bases:
        return False
    return not ast.get_docstring(member)


def test_public_names_exist():
    import eventsim

    for name in eventsim.__all__:
        assert getattr(eventsim, name).__doc__ or name == "__version__"
        assert name in dir(eventsim)
    with pytest.raises(AttributeError, match="module 'eventsim' has no attribute 'nonsense'"):
        eventsim.nonsense
