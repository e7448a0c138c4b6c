"""What kernels that are called by address take for an array: where its elements are, and nothing else."""

from llvmlite import ir
from numba import types
from numba.extending import models, register_model


class Pointer(types.Type):
    """The address of elements of `dtype`. `vectors.load`, `load_one` and their like read it as they read an array."""

    def __init__(self, dtype):
        self.dtype = dtype
        super().__init__(name=f"Pointer({dtype})")


def element(dtype):
    """The LLVM type of a number."""
    if isinstance(dtype, types.Float):
        return ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
    return ir.IntType(dtype.bitwidth)


@register_model(Pointer)
class _PointerModel(models.PrimitiveModel):
    def __init__(self, manager, pointer):
        super().__init__(manager, pointer, element(pointer.dtype).as_pointer())
