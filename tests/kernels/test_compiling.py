"""How kernels are compiled and kept: an edit of any file never runs old code, and a run compiles few functions."""

import ast
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kernel_sources import called, FOLDER, functions, is_compiled, KERNELS, TREES

ROOT = FOLDER.parents[1]
MOST_ARGUMENTS = 9
MORE = {"_end_column"}  # what a column's sums are, vectors in registers, fits no tuple
# What a run of digits in int8 leaves in an empty folder, measured before the kernels had files of their own
FUNCTIONS, FILES = 16, 30


def _python(*arguments, cwd=ROOT, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "EVENTSIM_"))}
    done = subprocess.run([sys.executable, *arguments], env={**env, **environment}, text=True, cwd=cwd,
                          capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- the sources


def test_every_compiled_function_is_cached_or_inlined():
    """`compiled` (our options, cached) or njit(inline="always"); no explicit signatures."""
    found = [node for node in functions(KERNELS).values() if is_compiled(node)]
    assert len(found) > 50
    for node in found:
        [decorator] = node.decorator_list
        assert ast.unparse(decorator) in ("compiled", "njit(inline='always')"), node.name


def test_kernels_neither_raise_nor_allocate():
    for name, node in functions(KERNELS).items():
        if is_compiled(node):
            for inner in ast.walk(node):
                assert not isinstance(inner, (ast.Raise, ast.Assert, ast.Try)), name
                if isinstance(inner, ast.Call):
                    assert called(inner) not in {"np.zeros", "np.empty", "np.ones", "np.full"}, name


def test_kernels_take_few_arguments():
    for name, node in functions(KERNELS).items():
        number = len(node.args.args)
        assert number <= MOST_ARGUMENTS or name in MORE, (name, number)


def test_no_module_bears_the_name_of_a_kernel():
    assert not {Path(name).stem for name in TREES} & functions(KERNELS).keys()


def test_arguments_need_no_compiler():
    code = "import sys, eventsim.kernels.arguments; print('numba' in sys.modules)"
    assert _python("-c", code).strip() == "False"


# ---- the folder of compiled functions

# Packs levels 1, 0 and 0, 1 of two steps of two channels at the first of two positions, and prints the planes there
# and the folder.
PACK = """
import numpy as np
from eventsim.kernels import compiling
from eventsim.kernels.arguments import Slots
from eventsim.kernels.indexing import pack
planes = np.zeros(4, np.uint64)
pack(np.array([1, 0, 0, 0, 0, 0, 1, 0], np.int32), planes, Slots(1, 2, 2, 0, 1, 0, 1, 2, 2))
print(*planes[::2], compiling._FOLDER)
"""
# a file that `pack` does not stand in -> an edit, and the planes after it
EDITS = {
    "addressing.py": ("slots.first + s % slots.steps", "slots.first + (1 - s % slots.steps)", ["2", "1"]),
    "arguments.py": ("ONE = np.uint64(1)", "ONE = np.uint64(8)", ["8", "16"]),
    "vectors.py": ("builder.store(arguments[2], pointer)\n",
                   "builder.store(builder.shl(arguments[2], ir.Constant(arguments[2].type, 4)), pointer)\n",
                   ["16", "32"]),
}


@pytest.fixture
def package(tmp_path):
    """A copy of the kernels, alone in their package."""
    copy = tmp_path / "eventsim" / "kernels"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "eventsim" / "__init__.py").write_text("")
    return copy


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1, f"{path.name} has changed: choose another edit"
    path.write_text(text.replace(old, new))


def packed(package):
    """(planes, folder of compiled functions) of PACK with the copy."""
    *planes, folder = _python("-c", PACK, cwd=package.parents[1], PYTHONPATH=str(package.parents[1]),
                              EVENTSIM_CACHE_DIR=str(package.parents[1] / "cache")).split()
    return planes, folder


def test_an_edit_of_any_file_never_runs_old_code(package):
    planes, folder = packed(package)
    assert planes == ["1", "2"]
    folders = {folder}
    for name, (old, new, expected) in EDITS.items():
        edit(package / name, old, new)
        planes, folder = packed(package)
        assert planes == expected, name
        assert folder not in folders, name
        folders.add(folder)
        edit(package / name, new, old)
    planes, folder = packed(package)
    assert planes == ["1", "2"] and folder in folders  # what was compiled before is used again


def test_hashing_the_callers_file_alone_would_run_old_code(package):
    """The check above sees what it is there for."""
    edit(package / "compiling.py", '.glob("*.py")', '.glob("indexing.py")')
    assert packed(package)[0] == ["1", "2"]
    for name, (old, new, _) in EDITS.items():
        edit(package / name, old, new)
    assert packed(package)[0] == ["1", "2"]


def test_every_file_names_the_folder(package):
    """A changed, a new, a renamed and a removed file of the package each give another folder."""
    code = """if True:
        import sys
        from pathlib import Path
        from eventsim.kernels import compiling
        folder = Path(compiling.__file__).parent
        print(compiling._cache_folder())
        for path in sorted(folder.glob("*.py")):
            text = path.read_text()
            path.write_text(text + "#")
            print(compiling._cache_folder())
            path.write_text(text)
            path.rename(path.with_name("other_" + path.name))
            print(compiling._cache_folder())
            path.with_name("other_" + path.name).rename(path)
            path.unlink()
            print(compiling._cache_folder())
            path.write_text(text)
        (folder / "new.py").write_text("")
        print(compiling._cache_folder())
        (folder / "new.py").unlink()
        print(compiling._cache_folder())
        """
    first, *others, last = _python(
        "-c", code, cwd=package.parents[1], PYTHONPATH=str(package.parents[1]),
        EVENTSIM_CACHE_DIR=str(package.parents[1] / "cache"),
    ).split()
    assert last == first
    assert len({first, *others}) == len(others) + 1 == 3 * len(TREES) + 2


# Packs levels of one type, and prints the planes and how many kernels came out of the folder. Writing an index
# takes long enough for two processes to meet.
MEET = """
import sys, time
import numpy as np
from numba.core.caching import IndexDataCacheFile
from eventsim.kernels.arguments import Slots
from eventsim.kernels.indexing import pack
save = IndexDataCacheFile._save_index
IndexDataCacheFile._save_index = lambda *arguments: (time.sleep(3), save(*arguments))
planes = np.zeros(2, np.uint64)
pack(np.array([1, 0, 0, 1], sys.argv[1]), planes, Slots(1, 2, 2, 0, 1, 0, 1, 1, 2))
print(*planes, sum(pack.stats.cache_hits.values()))
"""


def test_processes_that_compile_at_once_keep_both_kernels(package):
    """Each would name its file as the first of the kernel, and the index would know one of them only."""
    def run(dtype):
        return _python("-c", MEET, dtype, cwd=package.parents[1], PYTHONPATH=str(package.parents[1]),
                       EVENTSIM_CACHE_DIR=str(package.parents[1] / "cache")).split()

    dtypes = ("int32", "int64")
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(run, dtypes)) == [["1", "2", "0"]] * 2
    assert [run(dtype) for dtype in dtypes] == [["1", "2", "1"]] * 2
    assert len(list((package.parents[1] / "cache").rglob("*.nbc"))) == 2


# Runs digits, whose kernels are compiled into an empty folder.
RUN = """
import numpy as np, eventsim
model = eventsim.load("data/digits.h5")
rng = np.random.default_rng(0)
eventsim.Simulator(model, "int8").run(rng.random((4, *model.nodes[model.input].shape)) < 0.3)
"""


def test_a_run_compiles_no_more_functions_than_before(tmp_path):
    """Compiling is most of a cold start."""
    _python("-c", RUN, EVENTSIM_CACHE_DIR=str(tmp_path))
    kept = sorted(path.name for path in tmp_path.rglob("*.nb?"))
    assert 0 < sum(name.endswith("c") for name in kept) <= FUNCTIONS, kept
    assert len(kept) <= FILES, kept
