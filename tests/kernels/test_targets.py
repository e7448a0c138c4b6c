"""The same bits on every instruction set, and with the JIT off.

Run as a program, `python test_targets.py "MODEL PRECISION" ...`, it prints what models of
exact_cases give, as digests, and, with a cache of its own, which vector registers are used.
"""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import FunctionType

import numba
import numpy as np
import pytest
from numba import njit
from exact_cases import CASES, EVERYTHING, ON_CHIP, STEPS, everything, model_and_input, simulator as simulator_of

from eventsim import Simulator
from eventsim.kernels import vectors

# Settings that really limit the instructions: a name alone, without empty features, still emits AVX-512.
TARGETS = {
    "SSE2": dict(NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=""),
    "AVX2": dict(NUMBA_CPU_NAME="haswell", NUMBA_CPU_FEATURES=""),
}
RUNS = tuple(f"{name} {precision}" for name, precision in CASES if (name, precision) != ("real", "int8"))
# Compiling takes seconds per kernel: these have each way of adding and each neuron option.
FEWER = tuple(
    run for run in RUNS
    if run.split()[0] in ("recurrent", "options", "words", "real") and "float64" not in run
    or run in ("options float64", "maxima float32", "slides int8", "dense int8", f"{ON_CHIP[0]} fixed")
)
ALLOWED = {"SSE2": {"xmm"}, "AVX2": {"xmm", "ymm"}}


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def digests(names, samples=None):
    """"model precision" -> digest of all that a run of the first samples (None: of all) gives."""
    found = {}
    for name, precision in map(str.split, names):
        x = model_and_input(name)[1][:samples]
        simulator = simulator_of(name, precision)
        whole, end = everything(simulator.run(x, STEPS, EVERYTHING))
        spikes = simulator.run(x, STEPS, ("spikes",))  # the short way of plain layers
        plain = {f"plain {node}": spikes.levels(node) for node in spikes.spikes}
        still = simulator.model.nodes[simulator.model.input].still
        once = simulator.run(x if still else x[:, :1], 1, ("spikes",), spikes.state)  # as a stream does
        plain |= {f"once {node}": once.levels(node) for node in once.spikes}
        found[f"{name} {precision}"] = _digest({**whole, **end, **plain})
    return found


def registers():
    """Kernel -> kinds of vector registers in the assembly of all its specialisations."""
    from numba.core.dispatcher import Dispatcher

    from eventsim.kernels import firing, firing_by_step, gathering, gathering_int8, looking_up, pooling
    from eventsim.kernels.compiling import by_address

    found = {}
    for module in (firing, firing_by_step, gathering, gathering_int8, looking_up, pooling):
        for name, thing in vars(module).items():
            if isinstance(thing, Dispatcher) and not thing.targetoptions.get("forceinline"):
                text = "\n".join(by_address(thing).inspect_asm().values())
                found[name] = sorted(set(re.findall(r"\b([xyz]mm)\d", text)))
    return {name: kinds for name, kinds in found.items() if kinds}


def _main(names):
    from eventsim.kernels import ahead

    ahead.MOST = 0  # others compile, too
    samples = int(os.environ.get("SAMPLES_OF_TEST", "0")) or None
    result = {"digests": digests(names, samples)}
    if "EVENTSIM_CACHE_DIR" in os.environ:  # code from a cache cannot be looked at
        result["registers"] = registers()
    print(json.dumps(result))


def _start(runs, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "EVENTSIM_"))}
    return subprocess.Popen(
        [sys.executable, __file__, *runs], text=True,
        env={**env, "PYTHONPATH": os.pathsep.join(sys.path), **environment}, cwd=Path(__file__).parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )


def _finish(process):
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return json.loads(output)


@lru_cache(maxsize=None)
def native():
    return digests(RUNS)


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """What each limited target gives; their kernels are compiled side by side, once."""
    running = {
        name: None if name == "AVX2" and not _has_avx512()
        else _start(FEWER, EVENTSIM_CACHE_DIR=str(tmp_path_factory.mktemp(name)), **environment)
        for name, environment in TARGETS.items()
    }
    return {name: process and _finish(process) for name, process in running.items()}


def _has_avx512():
    flags = Path("/proc/cpuinfo")
    return flags.exists() and "avx512bw" in flags.read_text()


def _given(limited, target):
    if limited[target] is None:
        pytest.skip("this machine has no wider vectors: `native` is of these")
    return limited[target]


@pytest.mark.parametrize("target", TARGETS)
def test_same_bits(limited, target):
    assert _given(limited, target)["digests"] == {run: native()[run] for run in FEWER}


@pytest.mark.parametrize("target", TARGETS)
def test_registers_are_limited(limited, target):
    found = _given(limited, target)["registers"]
    assert {"gather_rows", "pair_rows", "slide_rows", "slide_pair_rows", "slide_table_rows", "window_rows",
            "masked_rows", "real_rows", "pooled_rows", "fire_traced", "fire_untraced", "fire_softly", "fire_by_step",
            "fire_once"} <= found.keys()
    for kernel, kinds in found.items():
        assert set(kinds) <= ALLOWED[target], kernel
    assert ALLOWED[target] == set(found["gather_rows"]), "the check sees the vectors"


def test_native_uses_the_widest(tmp_path):
    if not _has_avx512():
        pytest.skip("no AVX-512 on this machine")
    found = _finish(_start(["options float32"], EVENTSIM_CACHE_DIR=str(tmp_path)))["registers"]
    assert {"fire_traced", "near_rows", "window_rows"} <= found.keys()
    assert all("zmm" in kinds for kinds in found.values()), found


def test_jit_off():
    """The NumPy twins, which check every index, run models to the same bits: two samples, as they are slow."""
    found = _finish(_start(RUNS, NUMBA_DISABLE_JIT="1", SAMPLES_OF_TEST="2"))
    assert found["digests"] == digests(RUNS, 2)


def test_jit_off_checks_indices():
    code = """if True:
        import sys
        from dataclasses import replace
        import numpy as np
        from eventsim import Simulator
        from exact_cases import model_and_input
        from eventsim.program import LayerStage
        model, x = model_and_input("options")
        simulator = Simulator(model)
        program, layer = simulator.program, simulator.program.stages["signed"]
        path = replace(layer.paths[0], weight=layer.paths[0].weight[:-16].copy())
        short = replace(layer, paths=(path,))
        groups = tuple(
            replace(g, stages=tuple(short if s is layer else s for s in g.stages)) for g in program.groups
        )
        simulator.program = replace(program, groups=groups)
        try:
            simulator.run(np.ones_like(x))
        except IndexError as error:
            print(error)
        """
    env = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=Path(__file__).parent, text=True,
                          capture_output=True, check=True)
    assert re.fullmatch(r"16 elements from \d+ on, of an array of 32752\n", done.stdout)


# ---- each operation of vectors.py against its NumPy twin


def _load_twins():
    """A second vectors.py whose operations are the NumPy twins."""
    before = numba.config.DISABLE_JIT
    numba.config.DISABLE_JIT = 1
    try:
        spec = importlib.util.spec_from_file_location("vectors_twins", vectors.__file__)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        numba.config.DISABLE_JIT = before
    return module


TWINS = _load_twins()


def both_ways(function):
    """A function of the operations' names: compiled, and in Python on the twins."""
    twin = FunctionType(function.__code__, dict(vars(TWINS)))
    return njit(FunctionType(function.__code__, dict(vars(vectors)))), twin


def _values(seed, dtype, n):
    """Any numbers of a type, extremes among them."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "i":
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, n, dtype, endpoint=True)
        small = rng.integers(-3, 4, n).astype(dtype)
        extremes = np.array([limits.min, limits.max, limits.min + 1, 0, -1], dtype)
    else:
        limits = np.finfo(dtype)
        values = (rng.normal(0, 1, n) * 2.0 ** rng.integers(-60, 60, n)).astype(dtype)
        small = rng.integers(-3, 4, n).astype(dtype)
        extremes = np.array([np.inf, -np.inf, np.nan, -0.0, 0.0, limits.smallest_subnormal, limits.max,
                             -limits.smallest_subnormal], dtype)
    values = np.where(rng.random(n) < 0.3, small, values)
    return np.where(rng.random(n) < 0.2, rng.choice(extremes, n), values)


def _same(found, expected):
    np.testing.assert_array_equal(found, expected)  # NaN equals NaN
    if found.dtype.kind == "f":
        numbers = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(found)[numbers], np.signbit(expected)[numbers])


def _arithmetic(a, b, k, out, flags, masks):
    n = lanes_of(masks)
    like = zeros(a, masks)
    x = load(a, k, like)
    y = load(b, k + 1, like)
    factor = select(below(y, zeros(a, masks)), splat(127, like), splat(128, like))
    store(out, 0, x + y)
    store(out, n, x - y)
    store(out, 2 * n, x * y)
    store(out, 3 * n, like)
    store(out, 4 * n, negated(x))
    store(out, 5 * n, select(load_one(masks, 0), x, y))
    store(out, 6 * n, splat(load_one(a, k), like))
    store(out, 7 * n, splat(1, like))
    store(out, 8 * n, scaled(x, y))
    store(out, 9 * n, weighted(x, y))
    store(out, 10 * n, select(below(x, y), y, x))
    store_one(out, 11 * n, load_one(b, k))
    store(out, 12 * n, decayed(x, factor, 7, 64, 127))
    store(out, 13 * n, shifted(x, 3))
    store(out, 14 * n, wrapped(x, -100, 255))
    store(out, 15 * n, widened(x, like))
    store_one(flags, 0, at_least(x, y))
    store_one(flags, 1, below(x, y))
    store_one(flags, 2, and_(load_one(masks, 0), load_one(masks, 1)))
    store_one(flags, 3, or_(load_one(masks, 0), load_one(masks, 1)))
    store_one(flags, 4, and_not(load_one(masks, 0), load_one(masks, 1)))
    store_one(flags, 5, at_least(x, x))


def _masks(lanes):
    return np.random.default_rng(lanes).integers(0, 1 << lanes, 8, np.uint64, endpoint=False).astype(
        f"u{lanes // 8}") if lanes < 64 else np.random.default_rng(64).integers(0, 2**64 - 1, 8, np.uint64)


LANES = (16, 32, 64)


@pytest.mark.parametrize("dtype", ("float32", "float64", "int32", "int16"))
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid:RuntimeWarning")
def test_arithmetic(dtype):
    compiled, twin = both_ways(_arithmetic)
    for lanes in LANES:
        masks = _masks(lanes)
        for seed in range(20):
            a, b = _values(seed, dtype, 200), _values(100 + seed, dtype, 200)
            if seed % 2 and a.dtype.kind == "i":  # products of fixed point are of moderate size
                b = b % 4096
            found, expected = ([np.full(16 * lanes, 7, dtype), np.zeros(8, masks.dtype)] for _ in "ab")
            compiled(a, b, seed, *found, masks)
            twin(a, b, seed, *expected, masks)
            for x, y in zip(found, expected):
                _same(x, y)


def _widening(a, k, target, out, masks):
    like = zeros(target, masks)
    store(out, 0, load(a, k, like))
    store(out, lanes_of(masks), widened(load(a, k, zeros(a, masks)), like))


@pytest.mark.parametrize("source, target", [
    ("int8", "int16"), ("int8", "int32"), ("int16", "int32"), ("int8", "float32"),
    ("int16", "float64"), ("float32", "float64"),
])
def test_load_widens(source, target):
    compiled, twin = both_ways(_widening)
    for lanes in LANES:
        a, masks = _values(lanes, source, 100), _masks(lanes)
        found, expected = np.zeros(2 * lanes, target), np.zeros(2 * lanes, target)
        compiled(a, 3, found, found, masks)
        twin(a, 3, expected, expected, masks)
        _same(found, expected)
        _same(found, np.tile(a[3 : 3 + lanes].astype(target), 2))


def _packing(words, k, found):
    store_one(found, 0, packed(words, k, 2))
    store_one(found, 1, packed(words, k, 4))
    store_one(found, 2, packed(words, k, 64))


def test_packed():
    compiled, twin = both_ways(_packing)
    words = np.random.default_rng(0).integers(0, 2**64, 80, np.uint64)
    for k in (0, 3, 16):
        found, expected = np.zeros(3, np.uint64), np.zeros(3, np.uint64)
        compiled(words, k, found)
        twin(words, k, expected)
        _same(found, expected)
        assert found[1] == sum((int(words[k + i]) & 0xFFFF) << 16 * i for i in range(4))


def _pairing(a, b, out, sums, masks):
    none = half_zeros(a, masks)
    like = zeros(sums, masks)
    words = load(a, 1, none)
    highs = load(b, 2, none)
    half = lanes_of(masks) // 2
    store(out, 0, high_bytes(words))
    store(out, half, low_sums(words, highs))
    store(out, 2 * half, none)
    store(sums, 0, joined(words, highs, like))
    store(sums, 2 * half, first_half(-5, like))


@pytest.mark.parametrize("lanes", LANES)
def test_pairs(lanes):
    compiled, twin = both_ways(_pairing)
    masks = _masks(lanes)
    for seed in range(20):
        a, b = _values(seed, "int16", 80), _values(seed + 50, "int16", 80)
        found, expected = ([np.full(2 * lanes, 7, np.int16), np.full(2 * lanes, 7, np.int32)] for _ in "ab")
        compiled(a, b, *found, masks)
        twin(a, b, *expected, masks)
        for x, y in zip(found, expected):
            _same(x, y)
    half = lanes // 2
    _same(found[0][:half], a[1 : 1 + half] >> 8)
    _same(found[1][:half], a[1 : 1 + half].view(np.uint16).astype(np.int32))
    _same(found[1][half:lanes], b[2 : 2 + half].astype(np.int32))


@pytest.mark.parametrize("lanes", LANES)
def test_pairs_hold_256_rows(lanes):
    """The proof of gathering_int8._sum_of_pairs, at its edges: 256 rows of -128 or 127 in each half."""
    half = lanes // 2
    for low in (-128, 127, 0):
        for high in (-128, 127, -1):
            word = np.full(half, 256 * high + low + 128, np.int16)
            words, highs = np.zeros(half, np.int16), np.zeros(half, np.int16)
            for _ in range(256):
                words, highs = words + word, highs + TWINS.high_bytes(word)
            like = np.zeros(lanes, np.int32)
            total = TWINS.joined(TWINS.low_sums(words, highs), highs, like) - TWINS.first_half(128 * 256, like)
            assert (total[:half] == 256 * low).all() and (total[half:] == 256 * high).all()


def _bits(words, out):
    for i in range(words.size):
        store_one(out, 3 * i, trailing_zeros(load_one(words, i)))
        store_one(out, 3 * i + 1, bit_count(load_one(words, i)))
        store_one(out, 3 * i + 2, next_index(i))


def test_bits():
    words = np.array([1, 1 << 63, 2**64 - 1, 6, 0xF0F0 << 20, *(1 << i for i in range(64))], np.uint64)
    compiled, twin = both_ways(_bits)
    found, expected = np.zeros(3 * len(words), np.int64), np.zeros(3 * len(words), np.int64)
    compiled(words, found)
    twin(words, expected)
    _same(found, expected)
    assert all(int(w) & -int(w) == 1 << int(z) for w, z in zip(words, found[::3]))
    assert [bin(w).count("1") for w in words.tolist()] == found[1::3].tolist()
    assert found[2::3].tolist() == list(range(1, len(words) + 1))


def _products(numbers, out):
    like = eight_zeros(numbers)
    store(out, 0, times_small(load(numbers, 0, like), load(numbers, 8, like)))


def test_products_of_small_numbers():
    numbers = np.array([0, 1, 2**32 - 1, 2**31, 3, 65537, 2**32 - 1, 7,
                        5, 2**32 - 1, 2**32 - 1, 2, 0, 65537, 1, 613566757], np.uint64)
    compiled, twin = both_ways(_products)
    found, expected = np.zeros(8, np.uint64), np.zeros(8, np.uint64)
    compiled(numbers, found)
    twin(numbers, expected)
    _same(found, expected)
    assert found.tolist() == [int(a) * int(b) for a, b in zip(numbers[:8].tolist(), numbers[8:].tolist())]


def _counting(words, floats, out, same):
    for i in range(3):
        x = load(words, i * 8, eight_zeros(words))
        ones = bit_counts(x)
        store(out, i * 8, ones)
        store_one(out, 24 + i, sum_of(ones))
        store_one(same, 2 * i, int(same_bits(x, load(words, i * 8 + 8, x))))
        y = load(floats, i * 8, eight_zeros(floats))
        store_one(same, 2 * i + 1, int(same_bits(y, load(floats, i * 8 + 8, y))))


def test_counting():
    words = np.arange(1, 33, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    words[24:] = words[16:24]
    floats = np.repeat(np.array([np.nan, np.nan, 0.0, -0.0]), 8)
    compiled, twin = both_ways(_counting)
    found, expected = ((np.zeros(27, np.uint64), np.zeros(6, np.int64)) for _ in "ab")
    compiled(words, floats, *found)
    twin(words, floats, *expected)
    for x, y in zip(found, expected):
        _same(x, y)
    ones = [bin(word).count("1") for word in words[:24].tolist()]
    assert found[0].tolist() == ones + [sum(ones[i : i + 8]) for i in range(0, 24, 8)]
    assert found[1].tolist() == [0, 1, 0, 0, 1, 0]  # NaN is itself, -0 is not +0


def test_every_operation_is_tested():
    """Each intrinsic has a twin, and one of the functions above uses it."""
    operations = {n for n, f in vars(vectors).items() if isinstance(f, numba.extending._Intrinsic)}
    tested = (_arithmetic, _widening, _packing, _pairing, _bits, _products, _counting)
    assert operations <= {name for function in tested for name in function.__code__.co_names}
    for name in operations:
        assert isinstance(vars(TWINS)[name], FunctionType), f"{name} has no twin"


@pytest.mark.parametrize("offset", (-1, 85, 99, 10**12))
def test_twins_check_indices(offset):
    array, vector = np.zeros(100, np.float32), np.zeros(16, np.float32)
    with pytest.raises(IndexError, match=rf"16 elements from {offset} on, of an array of 100"):
        TWINS.load(array, offset, vector)
    with pytest.raises(IndexError, match="16 elements"):
        TWINS.store(array, offset, vector)
    for outside in (-1, 100, offset + 10**12):
        with pytest.raises(IndexError, match="1 elements"):
            TWINS.load_one(array, outside)
        with pytest.raises(IndexError, match="1 elements"):
            TWINS.store_one(array, outside, 1)


if __name__ == "__main__":
    _main(sys.argv[1:])
