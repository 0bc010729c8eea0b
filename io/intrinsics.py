"""Numba intrinsics on raw addresses: unaligned loads and stores, memcpy, hardware CRC32C.

Kernels of this room read records at arbitrary byte positions and write to destinations of
several dtypes named at run time, which arrays of one static dtype cannot express.  Nothing here
checks bounds: the caller proves each access.  Importing this module imports numba; only
kernel modules do, and those are loaded by `headrace.io.jit`.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

__all__ = ["HAS_CLMUL", "HAS_CRC", "HAS_PEXT", "bits_of_double", "carryless_product",
           "copy_bytes", "count_leading_zeros", "count_ones", "count_trailing_zeros", "crc_u8",
           "crc_u64", "double_of_bits", "gather_bits", "int32_array", "int64_array",
           "int64_table", "load_i64", "load_u8", "load_u32", "load_u64", "match_64",
           "multiply_high", "prefetch", "store_f32", "store_f64", "store_i64", "store_u8",
           "store_u32", "uint8_array", "uint64_array"]  # fmt: skip

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _loader(bits: int, result: Any) -> Any:
    """An intrinsic ``load(address)`` of an unaligned little-endian unsigned integer."""

    @intrinsic
    def load(typingctx, address):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            pointer = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            return builder.load(pointer, align=1)

        return result(types.int64), codegen

    return load


def _storer(bits: int, value_type: Any) -> Any:
    """An intrinsic ``store(address, value)`` of an unaligned little-endian integer."""

    @intrinsic
    def store(typingctx, address, value):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            pointer = builder.inttoptr(args[0], args[1].type.as_pointer())
            builder.store(args[1], pointer, align=1)
            return context.get_dummy_value()

        return types.none(types.int64, value_type), codegen

    return store


load_u8 = _loader(8, types.uint8)
load_u32 = _loader(32, types.uint32)
load_u64, load_i64 = _loader(64, types.uint64), _loader(64, types.int64)
store_u8 = _storer(8, types.uint8)
store_u32 = _storer(32, types.uint32)
store_i64 = _storer(64, types.int64)
store_f32 = _storer(32, types.float32)
store_f64 = _storer(64, types.float64)


@intrinsic
def prefetch(typingctx, address):  # type: ignore[no-untyped-def]
    """Ask for the cache line at `address`, which will be read soon; any address will do."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = builder.inttoptr(args[0], _I8.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [_I8.as_pointer(), _I32, _I32, _I32])
        fn = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(fn, [pointer, _I32(0), _I32(3), _I32(1)])
        return context.get_dummy_value()

    return types.none(types.int64), codegen


@intrinsic
def copy_bytes(typingctx, target, source, size):  # type: ignore[no-untyped-def]
    """``memcpy(target, source, size)`` on addresses."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pointer = _I8.as_pointer()
        cgutils.raw_memcpy(
            builder,
            builder.inttoptr(args[0], pointer),
            builder.inttoptr(args[1], pointer),
            args[2],
            1,
        )
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), codegen


def _viewer(element: Any, axes: int) -> Any:
    """An intrinsic ``view(address, *shape)``: an array over memory that somebody else owns."""
    result = types.Array(element, axes, "C")

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        array = make_array(result)(context, builder)
        size = context.get_constant(types.intp, element.bitwidth // 8)
        shape = args[1:]
        strides = [size]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        populate_array(
            array,
            data=builder.inttoptr(args[0], array.data.type),
            shape=shape,
            strides=strides,
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    if axes == 1:

        @intrinsic
        def view(typingctx, address, size):  # type: ignore[no-untyped-def]
            return result(types.int64, types.int64), codegen

    else:

        @intrinsic
        def view(typingctx, address, rows, width):  # type: ignore[no-untyped-def]
            return result(types.int64, types.int64, types.int64), codegen

    return view


uint8_array, int32_array = _viewer(types.uint8, 1), _viewer(types.int32, 1)
int64_array, uint64_array = _viewer(types.int64, 1), _viewer(types.uint64, 1)
int64_table = _viewer(types.int64, 2)


@intrinsic
def count_trailing_zeros(typingctx, value):  # type: ignore[no-untyped-def]
    """Number of zero bits below the lowest set bit of a `uint64`; 64 for zero."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def count_leading_zeros(typingctx, value):  # type: ignore[no-untyped-def]
    """Number of zero bits above the highest set bit of a `uint64`; 64 for zero."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def count_ones(typingctx, value):  # type: ignore[no-untyped-def]
    """Number of set bits of a `uint64`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


@intrinsic
def multiply_high(typingctx, a, b):  # type: ignore[no-untyped-def]
    """The upper 64 bits of the product of two `uint64`s."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(value, wide) for value in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), _I64)

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def double_of_bits(typingctx, bits):  # type: ignore[no-untyped-def]
    """The `float64` with the bits of a `uint64`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.uint64), codegen


@intrinsic
def bits_of_double(typingctx, value):  # type: ignore[no-untyped-def]
    """The bits of a `float64` as a `uint64`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], _I64)

    return types.uint64(types.float64), codegen


@intrinsic
def match_64(typingctx, address, byte):  # type: ignore[no-untyped-def]
    """A bit for each of the 64 bytes at `address`, lowest first: whether it is `byte`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.VectorType(_I8, 64)
        found = builder.load(builder.inttoptr(args[0], kind.as_pointer()), align=1)
        one = builder.insert_element(
            ir.Constant(kind, ir.Undefined), args[1], ir.Constant(_I32, 0)
        )
        places = ir.Constant(ir.VectorType(_I32, 64), [0] * 64)
        wanted = builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), places)
        return builder.bitcast(builder.icmp_unsigned("==", found, wanted), _I64)

    return types.uint64(types.int64, types.uint8), codegen


# Some CPUs have the instruction but take hundreds of cycles for it.
HAS_PEXT = llvm.get_host_cpu_features().get("bmi2", False) and (
    llvm.get_host_cpu_name() not in ("znver1", "znver2")
)


@intrinsic
def gather_bits(typingctx, value, mask):  # type: ignore[no-untyped-def]
    """The bits of `value` where `mask` has ones, moved together; only where `HAS_PEXT`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        kind = ir.FunctionType(_I64, [_I64, _I64])
        fn = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.bmi.pext.64")
        return builder.call(fn, args)

    return types.uint64(types.uint64, types.uint64), codegen


HAS_CLMUL = bool(llvm.get_host_cpu_features().get("pclmul", False))


@intrinsic
def carryless_product(typingctx, a, b):  # type: ignore[no-untyped-def]
    """The low 64 bits of the product of two polynomials over GF(2); only where `HAS_CLMUL`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        pair = ir.VectorType(_I64, 2)
        kind = ir.FunctionType(pair, [pair, pair, _I8])
        fn = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.pclmulqdq")
        zero = ir.Constant(_I32, 0)
        vectors = [
            builder.insert_element(ir.Constant(pair, [0, 0]), value, zero) for value in args
        ]
        return builder.extract_element(builder.call(fn, [*vectors, ir.Constant(_I8, 0)]), zero)

    return types.uint64(types.uint64, types.uint64), codegen


def _crc_instruction() -> tuple[str, str, bool] | None:
    """(LLVM name for 8 bytes, for 1 byte, whether the 8-byte form is 64 bits wide)."""
    features = llvm.get_host_cpu_features()
    if features.get("sse4.2"):
        return "llvm.x86.sse42.crc32.64.64", "llvm.x86.sse42.crc32.32.8", True
    if features.get("crc"):
        return "llvm.aarch64.crc32cx", "llvm.aarch64.crc32cb", False
    return None


_CRC = _crc_instruction()
HAS_CRC = _CRC is not None


@intrinsic
def crc_u64(typingctx, crc, value):  # type: ignore[no-untyped-def]
    """CRC32C state after eight more bytes; only where `HAS_CRC`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        assert _CRC is not None
        name, _, wide = _CRC
        state_type = _I64 if wide else _I32
        fn = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(state_type, [state_type, _I64]), name
        )
        state = args[0] if wide else builder.trunc(args[0], _I32)
        result = builder.call(fn, [state, args[1]])
        return result if wide else builder.zext(result, _I64)

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def crc_u8(typingctx, crc, value):  # type: ignore[no-untyped-def]
    """CRC32C state after one more byte; only where `HAS_CRC`."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        assert _CRC is not None
        _, name, wide = _CRC
        value_type = _I8 if wide else _I32
        fn = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_I32, [_I32, value_type]), name
        )
        value = args[1] if wide else builder.zext(args[1], _I32)
        result = builder.call(fn, [builder.trunc(args[0], _I32), value])
        return builder.zext(result, _I64)

    return types.uint64(types.uint64, types.uint8), codegen
