"""The parts of which a sum is the sum: one of float64 or, where JAX's devices have none, two of float32.

Those are the sum as float32 has it, and beside it what its additions rounded away: the two come out as if twice the
digits had been there. The fences keep XLA from knowing better. Entries are scaled by a power of two, so that float64's
range is not missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .namespace import Fenced, has_float64

Parts = tuple[Any, ...]


@jax.custom_jvp
def in_place_of(x: Any, found: Any) -> Any:
    """The second, with the derivative of the first."""
    return found


in_place_of.defjvps(lambda slope, _, x, found: slope, None)


def parts(xp: Fenced, x: Any, squares: bool) -> Parts:
    """Those of each entry, or of its square."""
    x = x.astype(xp.widest)
    if has_float64():
        return (xp.fence(x * x) if squares else x,)
    return _product(xp, x, x) if squares else (x, jnp.zeros_like(x))


def plus(xp: Fenced, a: Sequence[Any], b: Sequence[Any]) -> Parts:
    """Those of a + b, by Knuth's TwoSum."""
    if len(a) == 1:
        return (a[0] + b[0],)
    total = xp.fence(a[0] + b[0])
    added = xp.fence(total - a[0])
    lost = xp.fence(a[0] - xp.fence(total - added)) + xp.fence(b[0] - added)
    return total, a[1] + b[1] + lost


def folded(xp: Fenced, x: Any, squares: bool, axes: Sequence[int]) -> Parts:
    """The sum over axes: in float64 as XLA likes it, else by halves, in whichever place each part of an array is."""
    found = parts(xp, x, squares)
    if len(found) == 1 or not x.size:
        return tuple(jnp.sum(part, axis=tuple(axes)) for part in found)
    for axis in axes:
        while (length := found[0].shape[axis]) > 1:
            half = length // 2
            first, second, rest = (
                [lax.slice_in_dim(part, start, end, axis=axis) for part in found]
                for start, end in ((0, half), (half, 2 * half), (2 * half, length))
            )
            both = plus(xp, first, second)
            found = both if length % 2 == 0 else tuple(map(partial(_joined, axis=axis), both, rest))
    return tuple(jnp.squeeze(part, tuple(axes)) for part in found)


def _joined(a: Any, b: Any, axis: int) -> Any:
    return jnp.concatenate([a, b], axis=axis)


def scale(x: Any) -> Any:
    """The power of two that takes the largest entry to one from 1 to 4, so that no square is too large."""
    bits = lax.bitcast_convert_type(jnp.max(jnp.abs(x), initial=0).astype(jnp.float32), jnp.uint32)
    return lax.bitcast_convert_type(254 - jnp.clip(bits >> 23, 1, 253) << 23, jnp.float32)


@partial(jax.jit, static_argnames="squares")
def total(x: Any, zero: Any, squares: bool) -> Any:
    """The sum of all entries, rounded to float32; its derivative is that of any sum."""
    x = x.astype(jnp.float32)
    plain, x = jnp.sum(jnp.square(x) if squares else x), lax.stop_gradient(x)
    by = scale(x)
    found = _rounded(*folded(Fenced(zero), x * by, squares, range(x.ndim)))
    return in_place_of(plain, found / by / (by if squares else 1))


@partial(jax.jit, static_argnames=("name", "axes", "keepdims"))
def over_axes(x: Any, zero: Any, name: str, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The "sum" or "mean" over axes, rounded to float32."""
    plain, x = getattr(jnp, name)(x, axis=axes, keepdims=keepdims), lax.stop_gradient(x)
    xp, count = Fenced(zero), prod(x.shape[axis] for axis in axes)
    sums, lost = folded(xp, x, False, axes)
    if name == "mean":
        number = jnp.full_like(sums, count)
        quotient = xp.fence(sums / xp.apart(number, sums))
        back, rest = _product(xp, quotient, number)
        sums, lost = quotient, (xp.fence(sums - back) - rest + lost) / number
    found = _rounded(sums, lost)
    return in_place_of(plain, found.reshape(plain.shape))


def _rounded(x: Any, lost: Any) -> Any:
    """Their sum; of what is infinite, nothing is lost."""
    return x + jnp.where(jnp.isfinite(lost), lost, 0)


def _product(xp: Fenced, a: Any, b: Any) -> Parts:
    """Those of a * b, by Dekker: halves of 12 bits have products without an error."""
    product = xp.fence(a * b)
    (a, a_low), (b, b_low) = _halves(a), _halves(b)
    lost = xp.fence(xp.fence(a * b) - product) + xp.fence(a * b_low) + xp.fence(a_low * b)
    return product, lost + xp.fence(a_low * b_low)


def _halves(x: Any) -> Parts:
    high = lax.bitcast_convert_type(lax.bitcast_convert_type(x, jnp.uint32) & np.uint32(0xFFFFF000), jnp.float32)
    return high, x - high
