"""How kernels are compiled and kept: an edit of any file never runs old code, and a run compiles few functions."""

import ast
import errno
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eventsim.kernels import compiling
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
    """`compiled` (our options, cached) or `inlined`; no explicit signatures."""
    found = [node for node in functions(KERNELS).values() if is_compiled(node)]
    assert len(found) > 50
    for node in found:
        [decorator] = node.decorator_list
        assert ast.unparse(decorator) in ("compiled", "inlined"), node.name


# What compiled functions call beside those of the package and its named tuples: numbers of other numbers
NUMBERS = {"abs", "floor", "max", "min", "range", "math.tanh", "np.float64", "np.floor", "np.int32", "np.int64",
           "np.rint", "np.uint64"}
OF_PACKAGE = {node.name for tree in TREES.values() for node in tree.body
              if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
RAISE = ast.Raise, ast.Assert, ast.Try
ALLOCATE = (ast.List, ast.ListComp, ast.Set, ast.SetComp, ast.Dict, ast.DictComp, ast.GeneratorExp, ast.JoinedStr,
            ast.Slice, ast.Yield, ast.Lambda)


def forbidden(tree):
    """What a compiled function has that raises, allocates or is not known to do neither."""
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, RAISE + ALLOCATE)
            or isinstance(node, ast.Call) and called(node) not in NUMBERS | OF_PACKAGE]


def test_kernels_neither_raise_nor_allocate():
    kernels = {name: node for name, node in functions(KERNELS).items() if is_compiled(node)}
    assert not {name: wrong for name, node in kernels.items() if (wrong := forbidden(node))}


@pytest.mark.parametrize("statement", (
    *(f"x = np.{name}" for name in (
        "zeros(3)", "empty(3)", "ones(3)", "full(3, 1)", "zeros_like(sums)", "array((1, 2))",
        "concatenate((sums, sums))", "arange(3)", "cbrt(x)")),
    "x = sums.copy()", "x = sums.astype(np.int64)", "x = [0, 1]", "x = [i for i in sums]", "x = {0: 1}",
    "x = sums[1:3]", "x = f'{sums}'", "x = list(sums)", "raise ValueError", "assert sums.size"))
def test_what_raises_or_allocates_is_seen(statement):
    assert forbidden(ast.parse(f"def kernel(sums, x):\n    {statement}")), statement
    assert not forbidden(ast.parse("def kernel(sums, x):\n    x = np.int64(load_one(sums, abs(x)))"))


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

# Packs levels 1, 0 and 0, 1 of two steps of two channels at the first of two positions, and prints the planes
# there and the folder.
PACK = """
import numpy as np
from eventsim.kernels import compiling
from eventsim.kernels.arguments import Slots
from eventsim.kernels.indexing import pack
planes = np.zeros(4, np.uint64)
pack(np.array([1, 0, 0, 0, 0, 0, 1, 0], np.int32), planes, Slots(1, 2, 2, 0, 1, 0, 1, 2, 2))
print(*planes[::2], compiling._FOLDER)
"""
# a file that `pack` does not stand in -> an edit: the planes change places, become 8 and 16 times as much
EDITS = {
    "addressing.py": ("slots.first + s % slots.steps", "slots.first + (1 - s % slots.steps)"),
    "arguments.py": ("ONE = np.uint64(1)", "ONE = np.uint64(8)"),
    "vectors.py": ("builder.store(arguments[2], pointer)\n",
                   "builder.store(builder.shl(arguments[2], ir.Constant(arguments[2].type, 4)), pointer)\n"),
}
PLANES, EDITED_PLANES = ["1", "2"], ["256", "128"]


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
    assert planes == PLANES
    for name, (old, new) in EDITS.items():
        edit(package / name, old, new)
    planes, edited_folder = packed(package)
    assert planes == EDITED_PLANES and edited_folder != folder
    for name, (old, new) in EDITS.items():
        edit(package / name, new, old)
    assert packed(package) == (PLANES, folder)  # what was compiled before is used again


def test_hashing_the_callers_file_alone_would_run_old_code(package):
    """The check above sees what it is there for."""
    edit(package / "compiling.py", '.glob("*.py")', '.glob("indexing.py")')
    assert packed(package)[0] == PLANES
    for name, (old, new) in EDITS.items():
        edit(package / name, old, new)
    assert packed(package)[0] == PLANES


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


# Packs levels of a type, and prints the planes and how many kernels came out of the folder. Before it keeps a
# kernel, it waits until another process is about to.
MEET = """
import sys, time
from pathlib import Path
import numpy as np
from eventsim.kernels.compiling import _Kept
from eventsim.kernels.arguments import Slots
from eventsim.kernels.indexing import pack
save = _Kept.save

def meet(*arguments):
    Path(sys.argv[1] + ".about_to_save").touch()
    begun = time.monotonic()
    while len(list(Path().glob("*.about_to_save"))) < 2:
        assert time.monotonic() < begun + 100, "the other process does not come"
        time.sleep(0.01)
    save(*arguments)

_Kept.save = meet
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


# ---- who can write there, and what is damaged


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Makes what a new process has of one kernel, in a folder of the user's alone."""
    monkeypatch.delenv("EVENTSIM_SHARED_CACHE", raising=False)
    monkeypatch.setattr(compiling, "_said", set())
    tmp_path.chmod(0o700)
    return lambda: compiling._Kept(tmp_path, "file.kernel-1.py3")


class Planted:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return pytest.fail, ("code of somebody else's has run",)


def only_file(folder):
    [path] = folder.iterdir()
    return path


def test_a_damaged_kernel_is_compiled_anew_and_said_once(kept, tmp_path):
    kept().save(("float32",), b"code" * 50)
    path = only_file(tmp_path)
    assert kept().load(("float32",)) == b"code" * 50 and kept().load(("int8",)) is None
    assert path.stat().st_mode & 0o777 == 0o600
    whole = path.read_bytes()
    damaged = [b"", whole[:1], whole[:40], whole[:-1], bytes(len(whole)), whole[:32] + bytes(len(whole) - 32),
               bytes(32) + whole[32:], whole + b"\0", whole[:32] + pickle.dumps(Planted())]
    for i in range(len(whole)):
        damaged.append(whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1:])
    with pytest.warns(compiling.KernelsWarning) as said:
        for content in damaged:
            path.write_bytes(content)
            assert kept().load(("float32",)) is None
    [one] = said
    assert f"{path} is damaged" in str(one.message) and "\n" not in str(one.message)
    kept().save(("float32",), b"code")  # replaced
    assert kept().load(("float32",)) == b"code"


def test_a_kernel_under_the_name_of_another_is_not_run(kept, tmp_path):
    kept().save(("float32",), b"code")
    only_file(tmp_path).rename(kept()._path(("int8",)))
    assert kept().load(("int8",)) is None


@pytest.mark.parametrize("mode", (0o660, 0o602, 0o777))
def test_a_file_that_others_can_write_is_not_read(mode, kept, tmp_path, monkeypatch):
    kept().save("key", b"code")
    only_file(tmp_path).chmod(mode)
    with pytest.warns(compiling.KernelsWarning, match=rf"others can write {tmp_path}.*chmod go-w"):
        assert kept().load("key") is None
    monkeypatch.setenv("EVENTSIM_SHARED_CACHE", "1")
    assert kept().load("key") == b"code"


def test_a_file_of_another_user_is_not_read(kept, tmp_path, monkeypatch):
    kept().save("key", b"code")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if owner == 0:  # root may do anything, anyhow
        assert kept().load("key") == b"code"
        os.chown(only_file(tmp_path), 54321, 0)
    with pytest.warns(compiling.KernelsWarning, match=r"belongs to user \d+, not to you"):
        assert kept().load("key") is None


def test_a_folder_that_others_can_write_is_refused(tmp_path, monkeypatch):
    """The folder, one above it, and one whose owner is another; new ones are the user's alone."""
    monkeypatch.setenv("EVENTSIM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("EVENTSIM_SHARED_CACHE", raising=False)
    folder = Path(compiling._cache_folder())
    assert folder.stat().st_mode & 0o777 == folder.parent.stat().st_mode & 0o777 == 0o700
    for part in (folder, folder.parent, tmp_path / "cache"):
        mode = part.stat().st_mode
        part.chmod(0o770)
        with pytest.warns(compiling.KernelsWarning, match=f"others can write {part};") as said:
            assert compiling._cache_folder() is None
        assert "\n" not in str(said[0].message)
        monkeypatch.setenv("EVENTSIM_SHARED_CACHE", "1")
        assert compiling._cache_folder() == str(folder)
        monkeypatch.delenv("EVENTSIM_SHARED_CACHE")
        part.chmod(mode)
    assert compiling._cache_folder() == str(folder)


def test_without_a_home_or_a_current_folder_nothing_is_kept(tmp_path, monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    for name in ("EVENTSIM_CACHE_DIR", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for name, value in (("HOME", "relative"), ("EVENTSIM_CACHE_DIR", "relative")):
        with monkeypatch.context() as patch, pytest.warns(
                compiling.KernelsWarning, match="cannot be kept in (~|relative)/"):
            patch.setenv(name, value)
            assert compiling._cache_folder() is None
    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.warns(compiling.KernelsWarning, match=r"cannot be kept in ~/.* \(Could not determine home"):
        assert compiling._cache_folder() is None


def test_a_full_disk_keeps_nothing_and_says_so_once(kept, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(compiling.KernelsWarning, match="No space left on device") as said:
        kept().save("key", b"code")
        kept().save("other", b"code")
    assert len(said) == 1 and not list(tmp_path.iterdir())


def test_what_killed_processes_left_is_removed(kept, tmp_path):
    (tmp_path / "old.tmp").write_bytes(b"")
    (tmp_path / "new.tmp").write_bytes(b"")
    os.utime(tmp_path / "old.tmp", (0, 0))
    kept().save("key", b"code")
    assert not (tmp_path / "old.tmp").exists() and (tmp_path / "new.tmp").exists()
