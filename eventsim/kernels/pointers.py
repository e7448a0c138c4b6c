"""Pointers: kernels that are called by address take one for an array; how such kernels are called."""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from eventsim.kernels.arguments import WORDS_PASSED

_WORD, _BYTES = ir.IntType(64), ir.IntType(8).as_pointer()


class Pointer(types.Type):
    """The address of elements of `dtype`. `vectors.load`, `load_one` and their like read it as they read an
    array."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Pointer({dtype})")


def element(dtype):
    """Return the LLVM type of a number."""
    if isinstance(dtype, types.Float):
        return ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
    return ir.IntType(dtype.bitwidth)


@register_model(Pointer)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager, pointer):
        super().__init__(manager, pointer, element(pointer.dtype).as_pointer())


@intrinsic
def call_address(typing, address, words, first, count):
    """Call the code at an address with `count` words, any of WORDS_PASSED, of an int64 array from `first` on.

    They may be more than the kernel takes: in the calling conventions that we run on the caller clears the stack,
    and words behind a kernel's own are not looked at.
    """

    def generate(context, builder, signature, arguments):
        array = cgutils.create_struct_proxy(signature.args[1])(context, builder, arguments[1])
        words = builder.gep(array.data, [arguments[2]])
        # what every function of Numba takes first: where to put its result, and what it raised
        nothing = [builder.bitcast(cgutils.alloca_once(builder, _WORD), _BYTES) for _ in range(2)]
        done = builder.append_basic_block("called")
        switch = builder.switch(arguments[3], done)
        for number in WORDS_PASSED:
            block = builder.append_basic_block(f"call_{number}")
            switch.add_case(ir.Constant(_WORD, number), block)
            builder.position_at_end(block)
            kind = ir.FunctionType(ir.IntType(32), [_BYTES, _BYTES] + [_WORD] * number)
            passed = [builder.load(builder.gep(words, [ir.Constant(_WORD, i)])) for i in range(number)]
            builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), nothing + passed)
            builder.branch(done)
        builder.position_at_end(done)
        return context.get_dummy_value()

    return types.void(types.int64, words, types.int64, types.int64), generate


@intrinsic
def address_of(typing, array):
    """Return where an array's first element is."""

    def generate(context, builder, signature, arguments):
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
        return builder.ptrtoint(data, _WORD)

    return types.int64(array), generate
