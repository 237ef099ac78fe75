"""The array standard over JAX, with what the spellings of `samestep_jax.printer` need."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

UNSIGNED = {2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint64}


def has_float64() -> bool:
    """Whether the devices that JAX uses by itself compute in float64."""
    return computes_float64(jax.default_backend())


@cache
def computes_float64(platform: str) -> bool:
    """What came of trying it."""
    try:
        with _x64():
            tiny = np.float64(2.0**-40)
            found = jax.jit(lambda x: x + 1).lower(tiny).compile()(tiny)  # by itself, in the midst of a trace too
            return float(found) == 1 + tiny
    except RuntimeError:  # XLA's errors are, and NotImplementedError
        return False


def wide() -> AbstractContextManager:
    """The context in which float64 is float64, where there is any."""
    return _x64() if has_float64() else nullcontext()


def _x64() -> AbstractContextManager:
    return (jax if hasattr(jax, "enable_x64") else jax.experimental).enable_x64(True)  # its place before JAX 0.8


class Fenced:
    """The standard in a compiled function; `zero`, which only the run brings, hides values from XLA."""

    def __init__(self, zero: Any) -> None:
        self.zero = zero

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)

    @property
    def widest(self) -> Any:
        """What numbers and sums are computed in."""
        return jnp.float64 if has_float64() else jnp.float32

    def fence(self, x: Any) -> Any:
        """x, and nothing is known of how it was made."""
        bits = self._bits(x)
        return lax.bitcast_convert_type(bits ^ self.zero.astype(bits.dtype), x.dtype)

    def apart(self, d: Any, x: Any) -> Any:
        """A denominator for each entry of x, none of which is known to be that of another."""
        bits = self._bits(x)
        return lax.bitcast_convert_type(self._bits(d) ^ (bits & self.zero.astype(bits.dtype)), d.dtype)

    # -- what JAX has otherwise than NumPy ---------------------------------------------------------------------------
    def sign(self, x: Any, /) -> Any:
        """The sign, +0 of either zero."""
        return jnp.where(x == 0, jnp.abs(x), jnp.sign(x))

    def remainder(self, a: Any, b: Any, /) -> Any:
        """a mod b with the sign of b, zeros too."""
        rest = jnp.remainder(a, b)
        return jnp.where(rest == 0, jnp.copysign(rest, b), rest)

    def floor_divide(self, a: Any, b: Any, /) -> Any:
        """The floor of a / b: what a quotient rounded up, the remainder shows."""
        rest, quotient = lax.rem(*jnp.broadcast_arrays(a, b)), self.fence(a / self.apart(b, a))
        whole = self.fence((a - rest) / self.apart(b, a))
        whole = jnp.where((rest != 0) & ((b < 0) != (rest < 0)), whole - 1, whole)
        floor = jnp.floor(whole)
        floor = jnp.where(whole - floor > 0.5, floor + 1, floor)
        floor = jnp.where(whole == 0, jnp.copysign(jnp.zeros_like(floor), quotient), floor)
        return jnp.where(b == 0, quotient, floor)

    def matmul(self, a: Any, b: Any, /) -> Any:
        """The product, on devices too that would take fewer bits."""
        return jnp.matmul(a, b, precision="highest")

    def expm1(self, x: Any, /) -> Any:
        """exp(x) - 1; JAX's is 6 units off in float32."""
        return jnp.expm1(x.astype(self.widest)).astype(x.dtype)

    def log1p(self, x: Any, /) -> Any:
        """log(1 + x); JAX's is 128 units off. What the sum 1 + x rounds away, the quotient gives back."""
        wide = x.astype(self.widest)
        u = self.fence(1 + wide)
        log = jnp.log(u) * self.fence(wide / self.apart(u - 1, wide))
        return jnp.where((u == 1) | (wide == jnp.inf), wide, log).astype(x.dtype)

    def tanh(self, x: Any, /) -> Any:
        """The hyperbolic tangent; JAX's is 7 units off."""
        wide = x.astype(self.widest)
        twice = 2 * jnp.abs(wide)
        near = jnp.expm1(jnp.minimum(twice, 1.0))
        far = 1 - 2 / self.apart(jnp.exp(twice) + 1, wide)
        return jnp.copysign(jnp.where(twice < 1, near / self.apart(near + 2, wide), far), wide).astype(x.dtype)

    @staticmethod
    def _bits(x: Any) -> Any:
        return lax.bitcast_convert_type(x, UNSIGNED[x.dtype.itemsize])


class Eager(Fenced):
    """The standard outside of one: every operation is compiled by itself, and sees none before it."""

    def __init__(self) -> None:
        super().__init__(np.uint32(0))

    def fence(self, x: Any) -> Any:
        """x."""
        return x

    def asarray(self, obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
        """As the standard has it. What is an array already stays where it is, and has no weak type any more."""
        if isinstance(obj, jax.Array):
            device = None
            dtype = obj.dtype if dtype is None and not copy else dtype
        return jnp.asarray(obj, dtype=dtype, device=whole(device), copy=copy)

    def arange(self, stop: Any, /, *, dtype: Any = None, device: Any = None) -> Any:
        """As the standard has it, from 0 on."""
        return jnp.arange(stop, dtype=dtype, device=whole(device))


def whole(device: Any) -> Any:
    """Where a new array goes that is to lie with one on this device or sharding: it need not have the same axes."""
    if not isinstance(device, NamedSharding):
        return device
    return NamedSharding(device.mesh, PartitionSpec(), memory_kind=device.memory_kind)


EAGER = Eager()
