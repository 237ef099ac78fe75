"""float16 and bfloat16 as bits: widened at a load, rounded to nearest even at a store. Every value equals NumPy's."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .intrinsics import F32, I16, I32, features


def _has_half(context: Any, builder: Any) -> bool:
    """Else LLVM calls __extendhfsf2 and __truncsfhf2, which are not in the process: a crash at the first call."""
    return "+f16c" in features(context) or builder.module.triple.startswith(("aarch64", "arm64"))


def _up(b: Any, bits: Any) -> Any:
    """float16 bits to float32, by integer and float32 arithmetic alone."""
    h = b.zext(bits, I32)
    sign = b.shl(b.and_(h, I32(0x8000)), I32(16))
    body = b.shl(b.and_(h, I32(0x7FFF)), I32(13))
    # The exponent is rebiased by a product with 2**112, exact for subnormals too; inf and nan get an exponent of ones.
    scaled = b.bitcast(b.fmul(b.bitcast(body, F32), ir.Constant(F32, 2.0**112)), I32)
    special = b.icmp_unsigned(">=", body, I32(0x0F800000))
    return b.bitcast(b.or_(b.select(special, b.or_(body, I32(0x7F800000)), scaled), sign), F32)


def _down(b: Any, x: Any) -> Any:
    """float32 to float16 bits."""
    u = b.bitcast(x, I32)
    sign = b.lshr(b.and_(u, I32(0x80000000)), I32(16))
    a = b.and_(u, I32(0x7FFFFFFF))
    # Normal: rebias, add half an ulp less one plus the last bit kept; a carry into the exponent is right, up to inf.
    odd = b.and_(b.lshr(a, I32(13)), I32(1))
    normal = b.lshr(b.add(b.add(b.sub(a, I32(0x38000000)), I32(0xFFF)), odd), I32(13))
    # Subnormal: adding 0.5 rounds to 2**-24, to even; what is above the bits of 0.5 is the answer.
    small = b.sub(b.bitcast(b.fadd(b.bitcast(a, F32), ir.Constant(F32, 0.5)), I32), I32(0x3F000000))
    nan = b.or_(b.and_(b.lshr(a, I32(13)), I32(0x1FF)), I32(0x7E00))
    value = b.select(b.icmp_unsigned("<", a, I32(0x38800000)), small, normal)
    value = b.select(b.icmp_unsigned(">=", a, I32(0x477FF000)), I32(0x7C00), value)
    value = b.select(b.icmp_unsigned(">", a, I32(0x7F800000)), nan, value)
    return b.trunc(b.or_(value, sign), I16)


def _half(up: bool, always_bits: bool = False) -> Any:
    @intrinsic
    def convert(typingctx, x):
        def codegen(context, builder, signature, args):
            native = not always_bits and _has_half(context, builder)
            if up:
                return builder.fpext(builder.bitcast(args[0], ir.HalfType()), F32) if native else _up(builder, args[0])
            return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), I16) if native else _down(builder, args[0])

        return (types.float32(types.uint16) if up else types.uint16(types.float32)), codegen

    return convert


half_to_f32, f32_to_half = _half(True), _half(False)
half_to_f32_bits, f32_to_half_bits = _half(True, True), _half(False, True)  # what other processors run, for the tests


@intrinsic
def bf16_to_f32(typingctx, bits):
    """Exact."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(builder.shl(builder.zext(args[0], I32), I32(16)), F32)

    return types.float32(types.uint16), codegen


@intrinsic
def f32_to_bf16(typingctx, x):
    """Bits, not fptrunc: with avx512_bf16 LLVM takes an instruction that flushes subnormals."""

    def codegen(context, builder, signature, args):
        b = builder
        u = b.bitcast(args[0], I32)
        odd = b.and_(b.lshr(u, I32(16)), I32(1))
        rounded = b.lshr(b.add(b.add(u, I32(0x7FFF)), odd), I32(16))
        nan = b.or_(b.lshr(u, I32(16)), I32(0x40))
        return b.trunc(b.select(b.fcmp_unordered("uno", args[0], args[0]), nan, rounded), I16)

    return types.uint16(types.float32), codegen
