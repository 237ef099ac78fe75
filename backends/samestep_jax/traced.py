"""The array standard over what JAX traces: fences that have a derivative, and derivatives that a step can bear.

Where an operation has no derivative, it is 0: else one gradient of 0 would make those of all hyperparameters NaN, since
`where` multiplies what it drops by 0, too.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from samestep.errors import BackendError
from samestep.pinned import HALF_PRECISION, Deferred

from . import pairs
from .namespace import UNSIGNED, Eager, Fenced, has_float64
from .pairs import in_place_of
from .printer import SPELLING as FENCED
from .sums import OverAxes


def hidden_zero(array: Any) -> Any:
    """0, which XLA cannot know: the square of a number mod 3 never is 2. Nothing is hidden if it knows the array."""
    if not array.size:
        return np.uint32(0)
    first = array.reshape(-1)[0] if array.ndim else array
    first = jnp.real(first) if jnp.iscomplexobj(first) else first
    low = lax.bitcast_convert_type(first, UNSIGNED[first.dtype.itemsize]).astype(jnp.uint32) & 0xFFFF
    return (low * low % 3 == 2).astype(jnp.uint32)


class Traced(Eager):
    """Arrays have no place of their own in a trace, so `device` says nothing."""

    def __init__(self, zero: Any) -> None:
        Fenced.__init__(self, zero)

    def asarray(self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        """As the standard has it."""
        return super().asarray(obj, dtype=dtype, copy=copy)

    def arange(self, stop: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
        """As the standard has it, from 0 on."""
        return super().arange(stop, dtype=dtype)

    @property
    def float64(self) -> Any:
        """Of numbers that are traced."""
        return self.widest

    @property
    def int64(self) -> Any:
        """For words of random bits; they are wanted in float64 then."""
        if not has_float64():
            raise BackendError(
                "random bits of a count that is traced need int64 and float64, which the devices of JAX here have not: "
                "take the step outside of jax.jit, or run JAX on the processor (JAX_PLATFORMS=cpu)"
            )
        return jnp.int64

    def eye(self, n: int, /, *, dtype: Any = None, device: Any = None) -> Any:
        """As the standard has it, square."""
        return jnp.eye(n, dtype=dtype)

    def fence(self, x: Any) -> Any:
        """x."""
        return in_place_of(x, Fenced.fence(self, x))

    def apart(self, d: Any, x: Any) -> Any:
        """A denominator for each entry of x."""
        shape = jnp.broadcast_shapes(d.shape, x.shape)
        return in_place_of(jnp.broadcast_to(d, shape), jnp.broadcast_to(Fenced.apart(self, d, x), shape))

    def sqrt(self, x: Any, /) -> Any:
        """The square root."""
        some = x > 0
        root = jnp.sqrt(jnp.where(some, x, 1))
        return jnp.where(some, root, lax.stop_gradient(jnp.where(x == 0, x, jnp.nan)))

    def divide(self, a: Any, b: Any, /) -> Any:
        """The quotient."""
        some = b != 0
        quotient = self.fence(a / self.apart(jnp.where(some, b, 1), a))
        return jnp.where(some, quotient, lax.stop_gradient(a * jnp.copysign(jnp.full_like(b, jnp.inf), b)))

    def pow(self, a: Any, b: Any, /) -> Any:
        """The power."""
        some = a != 0
        return jnp.where(some, jnp.where(some, a, 1) ** b, lax.stop_gradient(a) ** lax.stop_gradient(b))

    def log1p(self, x: Any, /) -> Any:
        """log(1 + x)."""
        return jnp.log1p(x.astype(self.widest)).astype(x.dtype)

    def tanh(self, x: Any, /) -> Any:
        """The hyperbolic tangent."""
        return jnp.tanh(x.astype(self.widest)).astype(x.dtype)


TRACED = Traced(np.uint32(0))
SPELLING = FENCED | {"divide": "xp.divide({0}, {1})", "pow": "xp.pow({0}, {1})"}


class Summed(OverAxes, Deferred):
    """Sums in the order that XLA likes. What is rounded has the derivative of what it was rounded from."""

    def sum(self, x: Any) -> Any:
        return jnp.sum(self._float64(x)) if has_float64() else pairs.total(x, self.xp.zero, False)

    def sum_squares(self, x: Any) -> Any:
        return jnp.sum(jnp.square(self._float64(x))) if has_float64() else pairs.total(x, self.xp.zero, True)

    def rounded(self, x: Any, param: str) -> Any:
        return self.xp.fence(x.astype(param)).astype(x.dtype) if param in HALF_PRECISION else x

    def rounded_by(self, x: Any, bits: Any, param: str) -> Any:
        return in_place_of(x, super().rounded_by(x, bits, param))
