"""The type of SIMD vectors in Numba, and their arithmetic: one LLVM vector each."""

import operator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model, type_callable

from eventsim.kernels.pointers import element, Pointer

I32 = ir.IntType(32)


class Vector(types.Type):
    """`lanes` elements of `dtype`, held in registers."""

    def __init__(self, dtype, lanes):
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Vector({dtype} x {lanes})")


def llvm_of(vector):
    """The LLVM type of a Vector."""
    return ir.VectorType(element(vector.dtype), vector.lanes)


def is_float(vector):
    """Whether a Vector is of floats."""
    return isinstance(vector.dtype, types.Float)


def constant(vector, value):
    """The same number in every lane of a Vector."""
    return ir.Constant(llvm_of(vector), [value] * vector.lanes)


def address_in(context, builder, array_type, array, offset):
    """Where an element of an array, or of what a Pointer points to, is: flat offset `offset`."""
    if isinstance(array_type, Pointer):
        return builder.gep(array, [offset])
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def vector_address(context, builder, array_type, array, offset, lanes):
    """`address_in`, as that of `lanes` elements."""
    pointer = address_in(context, builder, array_type, array, offset)
    vector = ir.VectorType(element(array_type.dtype), lanes)
    return builder.bitcast(pointer, vector.as_pointer())


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, llvm_of(vector))


def widened_value(builder, value, source, target):
    """`value` with elements of type `source` as elements of the type of vector `target`."""
    if source == target.dtype:
        return value
    if isinstance(source, types.Float):
        return builder.fpext(value, llvm_of(target))
    if is_float(target):
        return builder.sitofp(value, llvm_of(target))
    return builder.sext(value, llvm_of(target))


def _register_arithmetic(operation, float_name, integer_name):
    @type_callable(operation)
    def typed(context):
        def resolve(x, y):
            if isinstance(x, Vector) and x == y:
                return x

        return resolve

    @lower_builtin(operation, Vector, Vector)
    def lowered(context, builder, signature, arguments):
        name = float_name if is_float(signature.args[0]) else integer_name
        return getattr(builder, name)(*arguments)


_register_arithmetic(operator.add, "fadd", "add")
_register_arithmetic(operator.sub, "fsub", "sub")
_register_arithmetic(operator.mul, "fmul", "mul")
