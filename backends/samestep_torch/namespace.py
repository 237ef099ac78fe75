"""The array standard over torch: array-api-compat's, but for the operations that torch does not round as it has to.

On a CPU, torch takes its square root from vector libraries that are within one unit in the last place, 17 % of float32
results and 1.4 % of float64 ones being wrong; its remainder is far off where the quotient is large.
"""

from __future__ import annotations

from typing import Any

import torch
from array_api_compat import torch as standard

FLOAT32, FLOAT64 = torch.float32, torch.float64
SPLIT = 2.0**27 + 1  # cuts a float64 into two halves whose products are exact
FAR, LESS, ROOT = 2.0**700, 2.0**-256, 2.0**128  # beyond FAR squares overflow; below 1 / FAR they lose bits


def __getattr__(name: str) -> Any:
    return getattr(standard, name)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """As the standard has it, and not part of any graph."""
    if isinstance(obj, torch.Tensor):
        obj = obj.detach()
    return standard.asarray(obj, dtype=dtype, device=device, copy=copy)


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """As the standard has it, and not part of any graph."""
    return standard.astype(x.detach(), dtype, copy=copy, device=device)


def sqrt(x: Any, /) -> Any:
    """The square root, correctly rounded."""
    if x.dtype is FLOAT32:  # no root of a float32 is so near a tie that an error of two float64 units could turn it
        return torch.sqrt(x.to(FLOAT64)).to(FLOAT32)
    return _sqrt64(x) if x.dtype is FLOAT64 else torch.sqrt(x)


def _sqrt64(x: Any) -> Any:
    """Torch's root, or the neighbour that is nearer: the residual x - y * y is exact, and so is its comparison.

    y * y is a square and an error (Dekker). With u the distance to a neighbour, the root lies beyond the middle between
    them where the residual exceeds y * u: all are multiples of u * u, so a quarter of it more or less is no matter.
    """
    one = torch.ones_like(x)
    by = torch.where(x > FAR, one * LESS, torch.where(x < 1 / FAR, one / LESS, one))
    a = x * by
    y = torch.sqrt(a)
    upper = y * SPLIT
    upper = upper - (upper - y)
    lower = y - upper
    square = y * y
    error = upper * upper - square
    error = error + 2 * upper * lower
    error = error + lower * lower
    residual = (a - square) - error
    above, below = torch.nextafter(y, one * torch.inf), torch.nextafter(y, -one)
    y = torch.where(residual > y * (above - y), above, torch.where(residual <= -y * (y - below), below, y))
    root = y * torch.where(x > FAR, one * ROOT, torch.where(x < 1 / FAR, one / ROOT, one))
    return torch.where((x > 0) & (x < torch.inf), root, torch.sqrt(x))


def sign(x: Any, /) -> Any:
    """The sign, NaN of NaN; without an index, which torch.func and torch.compile cannot follow."""
    return torch.where(x != x, x, torch.sign(x))


def remainder(x1: Any, x2: Any, /) -> Any:
    """x1 mod x2 with the sign of x2, zeros too; exact before the one addition."""
    rest, divisor = x1.to(FLOAT64), x2.to(FLOAT64)
    for large in (divisor * FAR * FAR, divisor * FAR, divisor):  # torch's own fails where a quotient overflows
        rest = torch.fmod(rest, large)
    rest = rest.to(x1.dtype)
    turned = torch.where((rest < 0) != (x2 < 0), rest + x2, rest)
    return torch.where(rest == 0, torch.copysign(rest, x2), turned)
