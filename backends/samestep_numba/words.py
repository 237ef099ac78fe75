"""Random bits and stochastic rounding in kernels, in LLVM's own integers: Numba would make 64 bits of 32.

As `samestep.trace.words` has it, and `samestep.pinned`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from samestep.trace.words import HALF, cut, per_element

from .intrinsics import F32, I32, I64


def _mix(b: Any, x: Any) -> Any:
    x = b.xor(x, b.lshr(x, I32(16)))
    x = b.mul(x, I32(0x21F0AAAD))
    x = b.xor(x, b.lshr(x, I32(15)))
    x = b.mul(x, I32(0xD35A2D97))
    return b.xor(x, b.lshr(x, I32(15)))


def _fold(b: Any, k: Any, w: Any) -> Any:
    return _mix(b, b.xor(b.add(k, I32(0x9E3779B9)), _mix(b, w)))


@intrinsic
def random_bits(typingctx, at, i, h0, l0, h1, l1, bits, draws):
    """For the element at + i of a leaf: the sum of `draws` random numbers of `bits` bits, both literals.

    `at` stays the same in the loop over i, and at most 65536 elements from a multiple of that on come in one chunk: so
    their words lie in one stretch of 2**32, and LLVM takes out of the loop what is decided by `at`.
    """
    if not isinstance(bits, types.IntegerLiteral) or not isinstance(draws, types.IntegerLiteral):
        return None
    attr = bits.literal_value, draws.literal_value
    per = per_element(*attr)

    def codegen(context, builder, signature, args):
        b, (at, i, *halves, _, _) = builder, args
        h0, l0, h1, l1 = (b.fptosi(half, I32) for half in halves)
        k0, k1 = (b.add(b.mul(high, I32(HALF)), low) for high, low in ((h0, l0), (h1, l1)))
        start = b.mul(at, I64(per))
        far = b.trunc(b.lshr(start, I64(32)), I32)
        k1 = b.select(b.icmp_unsigned("==", far, I32(0)), k1, _fold(b, k1, far))
        place = b.add(b.trunc(start, I32), b.mul(b.trunc(i, I32), I32(per)))
        words = [_mix(b, b.add(_mix(b, b.xor(b.add(place, I32(q)), k0)), k1)) for q in range(per)]
        total = I32(0)
        for q, shift in cut(*attr):
            total = b.add(total, b.and_(b.lshr(words[q], I32(shift)), I32((1 << attr[0]) - 1)))
        return b.sitofp(total, halves[0].type)

    return h0(types.int64, types.int64, h0, h0, h0, h0, bits, draws), codegen


def _dithered(down: Any) -> Any:
    @intrinsic
    def dithered(typingctx, x, bits):
        def codegen(context, builder, signature, args):
            b, (x, bits) = builder, args
            u = b.bitcast(x, I32)
            value = b.bitcast(down(b, u, b.fptosi(bits, I32)), F32)
            return b.select(b.fcmp_unordered("uno", x, x), ir.Constant(F32, float("nan")), value)

        return types.float32(types.float32, types.float32), codegen

    return dithered


def _to_bf16(b: Any, u: Any, bits: Any) -> Any:
    """What is dropped is 16 bits; infinity has none."""
    return b.and_(b.add(u, bits), I32(0xFFFF0000))


def _to_half(b: Any, u: Any, bits: Any) -> Any:
    """What is dropped is 13 bits of a normal number; a subnormal one is counted in units of 2**-24."""
    sign, a = b.and_(u, I32(0x80000000)), b.and_(u, I32(0x7FFFFFFF))
    normal = b.and_(b.add(a, b.lshr(bits, I32(3))), I32(0xFFFFE000))
    normal = b.select(b.icmp_unsigned(">=", normal, I32(0x47800000)), I32(0x7F800000), normal)
    tiny = b.icmp_unsigned("<", a, I32(0x38800000))
    parts = b.fptosi(b.fmul(b.bitcast(b.select(tiny, a, I32(0)), F32), ir.Constant(F32, 2.0**40)), I32)
    units = b.sitofp(b.lshr(b.add(parts, bits), I32(16)), F32)
    small = b.bitcast(b.fmul(units, ir.Constant(F32, 2.0**-24)), I32)
    return b.or_(b.select(tiny, small, normal), sign)


dithered_bf16, dithered_half = _dithered(_to_bf16), _dithered(_to_half)
