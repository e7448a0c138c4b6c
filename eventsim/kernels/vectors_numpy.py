"""NumPy twins of the operations of `vectors`, used when Numba's JIT is off. They check every index."""

import numpy as np


def _checked(array, offset, count):
    flat = array if array.ndim == 1 else array.reshape(-1)
    if not 0 <= offset <= flat.size - count:
        raise IndexError(f"{count} elements from {offset} on, of an array of {flat.size}")
    return flat


def lanes_of(masks):
    return masks.dtype.itemsize * 8


def zeros(array, masks):
    return np.zeros(lanes_of(masks), array.dtype)


def half_zeros(array, masks):
    return np.zeros(lanes_of(masks) // 2, array.dtype)


def eight_zeros(array):
    return np.zeros(8, array.dtype)


def load(array, offset, like):
    flat = _checked(array, offset, like.size)
    return flat[offset : offset + like.size].astype(like.dtype)


def store(array, offset, vector):
    flat = _checked(array, offset, vector.size)
    assert flat.dtype == vector.dtype, (flat.dtype, vector.dtype)
    flat[offset : offset + vector.size] = vector


def splat(number, like):
    return np.full(like.size, number, like.dtype)


def _bits(flags):
    return np.packbits(flags, bitorder="little").view(f"uint{flags.size}")[0]


def at_least(x, y):
    return _bits(x >= y)


def select(mask, x, y):
    flags = np.unpackbits(
        np.array([mask], f"uint{x.size}").view(np.uint8), bitorder="little"
    )
    return np.where(flags == 1, x, y)


def negated(x):
    return -x


def below(x, y):
    return _bits(x < y)


def _rounded_product(x, factor, bits, half):
    product = x.astype(np.int64) * factor
    return (np.sign(product) * ((np.abs(product) + half) >> bits)).astype(x.dtype)


def scaled(x, factor):
    return x * factor if x.dtype.kind == "f" else _rounded_product(x, factor, 12, 0)


def decayed(x, factor, bits, positive, negative):
    if x.dtype.kind == "f":
        return x * factor
    product = np.abs(x.astype(np.int64)) * factor + np.where(x < 0, negative, positive)
    return (np.sign(x) * (product >> bits)).astype(x.dtype)


def shifted(x, bits):
    return x if x.dtype.kind == "f" else x << x.dtype.type(bits)


def wrapped(x, low, mask):
    if x.dtype.kind == "f":
        return x
    with np.errstate(over="ignore"):
        return ((x - x.dtype.type(low)) & x.dtype.type(mask)) + x.dtype.type(low)


def weighted(x, factor):
    return x * factor if x.dtype.kind == "f" else _rounded_product(x, factor, 8, 128)


def and_(mask, other):
    return mask & other


def or_(mask, other):
    return mask | other


def and_not(mask, other):
    return mask & ~other


def widened(x, like):
    return x.astype(like.dtype)


def high_bytes(x):
    return x >> 8


def low_sums(words, highs):
    return words - (highs << 8)


def joined(lows, highs, like):
    return np.concatenate((lows.view(np.uint16), highs)).astype(like.dtype)


def first_half(number, like):
    half = like.size // 2
    return np.array([number] * half + [0] * half, like.dtype)


def load_one(array, offset):
    return _checked(array, offset, 1)[offset]


def store_one(array, offset, value):
    _checked(array, offset, 1)[offset] = value


def next_index(event):
    return event + 1


def trailing_zeros(word):
    word = int(word)
    return (word & -word).bit_length() - 1


def bit_count(word):
    return bin(int(word)).count("1")


def bit_counts(words):
    bits = np.unpackbits(words.view(np.uint8)).reshape(words.size, -1)
    return bits.sum(axis=1).astype(words.dtype)


def times_small(x, y):
    if ((x | y) >> 32).any():
        raise OverflowError("a factor is not below 2^32")
    return x * y


def packed(words, offset, number):
    flat, bits = _checked(words, offset, number), 64 // number
    parts = [int(word) % (1 << bits) << bits * k for k, word in enumerate(flat[offset : offset + number])]
    return np.uint64(sum(parts))


def sum_of(x):
    return x.sum()


def same_bits(x, y):
    return x.tobytes() == y.tobytes()
