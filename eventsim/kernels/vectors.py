"""SIMD vectors as Numba values.

A vector has an element type and a number of lanes, both part of its Numba type, and becomes one
LLVM vector, from which LLVM picks AVX-512, AVX2, SSE or NEON instructions. Kernels read as plain
Python: `load`, `+`, `-`, `*`, `at_least`, `select`, `store`.

Two rules of LLVM and Numba that the code relies on:

* functions that take or return vectors must be `inlined`: a vector wider than a register
  cannot cross a call;
* nothing here checks an index. Kernels see only arrays that were validated before.

With the JIT off (NUMBA_DISABLE_JIT=1) every operation is replaced by its NumPy twin from
`vectors_numpy`, which does check the index: tests run kernels so.

The number of lanes of a run is carried by the type of its mask array: one bit per lane, so
uint16, uint32 and uint64 masks mean 16, 32 and 64 lanes.
"""

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from eventsim.kernels.pointers import element
from eventsim.kernels.vector_types import (
    address_in, constant, I32, is_float, llvm_of, Vector, vector_address, widened_value,
)


@intrinsic
def lanes_of(typing, masks):
    """Number of lanes that one element of a mask array stands for."""

    def generate(context, builder, signature, arguments):
        return ir.Constant(ir.IntType(64), masks.dtype.bitwidth)

    return types.intp(masks), generate


@intrinsic
def zeros(typing, array, masks):
    """Vector of zeros: element type of `array`, lanes of `masks`."""
    result = Vector(array.dtype, masks.dtype.bitwidth)

    def generate(context, builder, signature, arguments):
        return constant(result, 0)

    return result(array, masks), generate


@intrinsic
def half_zeros(typing, array, masks):
    """Vector of zeros: element type of `array`, half the lanes of `masks`."""
    result = Vector(array.dtype, masks.dtype.bitwidth // 2)

    def generate(context, builder, signature, arguments):
        return constant(result, 0)

    return result(array, masks), generate


@intrinsic
def eight_zeros(typing, array):
    """Vector of eight zeros: element type of `array`."""
    result = Vector(array.dtype, 8)

    def generate(context, builder, signature, arguments):
        return constant(result, 0)

    return result(array), generate


@intrinsic
def load(typing, array, offset, like):
    """As many elements as `like` has lanes, from flat `offset` on, widened to its type."""

    def generate(context, builder, signature, arguments):
        array_type = signature.args[0]
        pointer = vector_address(
            context, builder, array_type, arguments[0], arguments[1], like.lanes
        )
        value = builder.load(pointer)
        value.align = array_type.dtype.bitwidth // 8
        return widened_value(builder, value, array_type.dtype, like)

    return like(array, types.intp, like), generate


@intrinsic
def store(typing, array, offset, vector):
    """Write a vector of the array's own element type from flat `offset` on."""

    def generate(context, builder, signature, arguments):
        array_type = signature.args[0]
        pointer = vector_address(
            context, builder, array_type, arguments[0], arguments[1], vector.lanes
        )
        builder.store(arguments[2], pointer).align = array_type.dtype.bitwidth // 8
        return context.get_dummy_value()

    if array.dtype != vector.dtype:
        return None
    return types.void(array, types.intp, vector), generate


def _spread(builder, value, vector):
    """A scalar of the vector's element type in all its lanes."""
    undefined = ir.Constant(llvm_of(vector), ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    zero = ir.Constant(ir.VectorType(I32, vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(first, undefined, zero)


@intrinsic
def splat(typing, number, like):
    """The same number in every lane, cast to the element type of `like`."""

    def generate(context, builder, signature, arguments):
        value = context.cast(builder, arguments[0], signature.args[0], like.dtype)
        return _spread(builder, value, like)

    return like(number, like), generate


def _mask(vector):
    return getattr(types, f"uint{vector.lanes}")


@intrinsic
def at_least(typing, x, y):
    """Mask of the lanes where x >= y."""

    def generate(context, builder, signature, arguments):
        compare = builder.fcmp_ordered if is_float(x) else builder.icmp_signed
        return builder.bitcast(compare(">=", *arguments), ir.IntType(x.lanes))

    return _mask(x)(x, y), generate


@intrinsic
def select(typing, mask, x, y):
    """x in the lanes whose bit is set, y in the others."""

    def generate(context, builder, signature, arguments):
        chosen = builder.bitcast(arguments[0], ir.VectorType(ir.IntType(1), x.lanes))
        return builder.select(chosen, arguments[1], arguments[2])

    return x(mask, x, y), generate


@intrinsic
def negated(typing, x):
    """-x in every lane (for floats the sign bit is flipped, so -0 and +0 change places)."""

    def generate(context, builder, signature, arguments):
        if is_float(x):
            return builder.fneg(arguments[0])
        return builder.neg(arguments[0])

    return x(x), generate


@intrinsic
def below(typing, x, y):
    """Mask of the lanes where x < y."""

    def generate(context, builder, signature, arguments):
        compare = builder.fcmp_ordered if is_float(x) else builder.icmp_signed
        return builder.bitcast(compare("<", *arguments), ir.IntType(x.lanes))

    return _mask(x)(x, y), generate


def _rounded_shift(builder, product, wide, bits, half):
    """sign(product) * ((|product| + half) >> bits) in int64 lanes."""
    sign = builder.ashr(product, constant(wide, 63))
    magnitude = builder.sub(builder.xor(product, sign), sign)
    magnitude = builder.lshr(builder.add(magnitude, constant(wide, half)), constant(wide, bits))
    return builder.sub(builder.xor(magnitude, sign), sign)


def _scaling(bits, half):
    """Code of x * factor: a float product, or a fixed-point one with a 64-bit product."""

    def generate(context, builder, signature, arguments):
        x = signature.return_type
        if is_float(x):
            return builder.fmul(*arguments)
        wide = Vector(types.int64, x.lanes)
        product = builder.mul(*(builder.sext(value, llvm_of(wide)) for value in arguments))
        return builder.trunc(_rounded_shift(builder, product, wide, bits, half), llvm_of(x))

    return generate


@intrinsic
def scaled(typing, x, factor):
    """x * factor; for int32 lanes rsz(x * factor), factor in 4096ths, rounded toward zero."""
    return x(x, factor), _scaling(12, 0)


@intrinsic
def decayed(typing, x, factor, bits, positive, negative):
    """x * factor; for int32 lanes factor is in 2^-bits, 0 to 2^bits, bits at most 16, and the result
    sign(x) * ((|x| * factor + r) >> bits), r `positive`, or `negative` where x is below 0 (at most
    2^bits - 1): every rounding is possible."""

    def generate(context, builder, signature, arguments):
        if is_float(x):
            return builder.fmul(*arguments[:2])
        bits, positive, negative = (
            _spread(builder, context.cast(builder, value, kind, x.dtype), x)
            for value, kind in zip(arguments[2:], signature.args[2:])
        )
        # |x| = high * 2^bits + low: neither product needs more than 32 bits
        sign = builder.ashr(arguments[0], constant(x, x.dtype.bitwidth - 1))
        magnitude = builder.sub(builder.xor(arguments[0], sign), sign)
        high = builder.lshr(magnitude, bits)
        low = builder.sub(magnitude, builder.shl(high, bits))
        rest = builder.add(positive, builder.and_(sign, builder.sub(negative, positive)))
        rest = builder.lshr(builder.add(builder.mul(low, arguments[1]), rest), bits)
        product = builder.add(builder.mul(high, arguments[1]), rest)
        return builder.sub(builder.xor(product, sign), sign)

    return x(x, factor, bits, positive, negative), generate


@intrinsic
def shifted(typing, x, bits):
    """x * 2^bits for int32 lanes, x itself for floats."""

    def generate(context, builder, signature, arguments):
        if is_float(x):
            return arguments[0]
        by = context.cast(builder, arguments[1], signature.args[1], x.dtype)
        return builder.shl(arguments[0], _spread(builder, by, x))

    return x(x, bits), generate


@intrinsic
def wrapped(typing, x, low, mask):
    """((x - low) & mask) + low: int32 lanes wrapped into low to low + mask, mask + 1 a power of
    two; x itself for floats."""

    def generate(context, builder, signature, arguments):
        if is_float(x):
            return arguments[0]
        low, mask = (
            _spread(builder, context.cast(builder, value, kind, x.dtype), x)
            for value, kind in zip(arguments[1:], signature.args[1:])
        )
        return builder.add(builder.and_(builder.sub(arguments[0], low), mask), low)

    return x(x, low, mask), generate


@intrinsic
def weighted(typing, x, factor):
    """x * factor; for int32 lanes factor in 256ths, rounded half away from zero."""
    return x(x, factor), _scaling(8, 128)


@intrinsic
def and_(typing, mask, other):
    """Lanes set in both masks."""

    def generate(context, builder, signature, arguments):
        return builder.and_(*arguments)

    return mask(mask, other), generate


@intrinsic
def or_(typing, mask, other):
    """Lanes set in one of the masks."""

    def generate(context, builder, signature, arguments):
        return builder.or_(*arguments)

    return mask(mask, other), generate


@intrinsic
def and_not(typing, mask, other):
    """Lanes set in `mask` and not in `other`."""

    def generate(context, builder, signature, arguments):
        return builder.and_(arguments[0], builder.not_(arguments[1]))

    return mask(mask, other), generate


@intrinsic
def widened(typing, x, like):
    """Lanes of integers as those of the type of `like`; lanes of that type as they are."""

    def generate(context, builder, signature, arguments):
        return widened_value(builder, arguments[0], x.dtype, like)

    return like(x, like), generate


@intrinsic
def high_bytes(typing, x):
    """Arithmetic shift of int16 lanes by 8: the signed high byte."""

    def generate(context, builder, signature, arguments):
        return builder.ashr(arguments[0], constant(x, 8))

    return x(x), generate


@intrinsic
def low_sums(typing, words, highs):
    """words - 256 * highs in int16 lanes, modulo 2^16: the sum of the low bytes."""

    def generate(context, builder, signature, arguments):
        return builder.sub(arguments[0], builder.shl(arguments[1], constant(words, 8)))

    return words(words, highs), generate


@intrinsic
def joined(typing, lows, highs, like):
    """Lanes of `lows` (unsigned) and then of `highs` (signed), widened to the type of `like`."""

    def generate(context, builder, signature, arguments):
        half = ir.VectorType(element(like.dtype), lows.lanes)
        low, high = builder.zext(arguments[0], half), builder.sext(arguments[1], half)
        order = ir.Constant(ir.VectorType(I32, like.lanes), list(range(like.lanes)))
        return builder.shuffle_vector(low, high, order)

    return like(lows, highs, like), generate


@intrinsic
def first_half(typing, number, like):
    """The number in the first half of the lanes, 0 in the second."""

    def generate(context, builder, signature, arguments):
        kind = llvm_of(like)
        value = context.cast(builder, arguments[0], signature.args[0], like.dtype)
        zero = ir.Constant(kind, None)
        first = builder.insert_element(zero, value, ir.Constant(I32, 0))
        half = like.lanes // 2
        order = ir.Constant(ir.VectorType(I32, like.lanes), [0] * half + [1] * half)
        return builder.shuffle_vector(first, zero, order)

    return like(number, like), generate


@intrinsic
def packed(typing, words, offset, number):
    """The lowest 64 / number bits of as many uint64 from a flat offset on, together. number: a literal power of
    two."""
    if not isinstance(number, types.IntegerLiteral):
        return None
    n = number.literal_value

    def generate(context, builder, signature, arguments):
        pointer = vector_address(context, builder, signature.args[0], arguments[0], arguments[1], n)
        value = builder.load(pointer)
        value.align = 8
        parts = builder.trunc(value, ir.VectorType(ir.IntType(64 // n), n))
        return builder.bitcast(parts, ir.IntType(64))

    return types.uint64(words, types.intp, number), generate


@intrinsic
def load_one(typing, array, offset):
    """One element at a flat offset, without the wrap-around test of array[offset]."""

    def generate(context, builder, signature, arguments):
        return builder.load(address_in(context, builder, signature.args[0], *arguments))

    return array.dtype(array, types.intp), generate


@intrinsic
def store_one(typing, array, offset, value):
    """Write one element of the array's own type at a flat offset, without a wrap-around test."""

    def generate(context, builder, signature, arguments):
        pointer = address_in(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], pointer)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), generate


@intrinsic
def next_index(typing, event):
    """event + 1 of a run whose length chance decides. LLVM must not know the step, or it unrolls
    the loop by four and takes the rest in a second one: two mispredicted ends instead of one."""

    def generate(context, builder, signature, arguments):
        after = builder.add(arguments[0], ir.Constant(arguments[0].type, 1))
        same = ir.FunctionType(after.type, [after.type])
        return builder.asm(same, "", "=r,0", [after], False)

    return types.intp(types.intp), generate


@intrinsic
def trailing_zeros(typing, word):
    """Number of zero bits below the lowest set bit of a uint64 that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def bit_count(typing, word):
    """Number of set bits of a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def bit_counts(typing, words):
    """Number of set bits of each lane of integers."""

    def generate(context, builder, signature, arguments):
        kind = llvm_of(words)
        name = f"llvm.ctpop.v{words.lanes}i{words.dtype.bitwidth}"
        count = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(count, arguments)

    return words(words), generate


@intrinsic
def times_small(typing, x, y):
    """x * y of 64-bit integers from 0 to 2^32 - 1, which is one instruction where the product of others takes
    ten."""

    def generate(context, builder, signature, arguments):
        low = constant(x, (1 << 32) - 1)
        return builder.mul(*(builder.and_(value, low) for value in arguments))

    return (x if x == y and x.dtype.bitwidth == 64 else None) and x(x, y), generate


@intrinsic
def same_bits(typing, x, y):
    """Whether two vectors are the same to the bit."""

    def generate(context, builder, signature, arguments):
        kind = ir.VectorType(ir.IntType(x.dtype.bitwidth), x.lanes)
        differs = builder.icmp_unsigned("!=", *(builder.bitcast(value, kind) for value in arguments))
        mask = builder.bitcast(differs, ir.IntType(x.lanes))
        return builder.icmp_unsigned("==", mask, ir.Constant(mask.type, 0))

    return types.boolean(x, y), generate


@intrinsic
def sum_of(typing, x):
    """The sum of the lanes of integers."""

    def generate(context, builder, signature, arguments):
        lanes = [builder.extract_element(arguments[0], ir.Constant(I32, i)) for i in range(x.lanes)]
        while len(lanes) > 1:
            lanes = [builder.add(*pair) for pair in zip(lanes[::2], lanes[1::2])]
        return lanes[0]

    return x.dtype(x), generate


if config.DISABLE_JIT:
    from eventsim.kernels.vectors_numpy import (
        and_, and_not, at_least, below, bit_count, bit_counts, decayed, eight_zeros, first_half, half_zeros,
        high_bytes, joined, lanes_of, load, load_one, low_sums, negated, next_index, or_, packed, same_bits,
        scaled, select, shifted, splat, store, store_one, sum_of, times_small, trailing_zeros, weighted, widened,
        wrapped, zeros,
    )
