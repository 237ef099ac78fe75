"""The array standard over torch where autograd or torch.func records: what it makes keeps its history.

Roots are the nearest number in float32, and within one unit in the last place in float64.
"""

from __future__ import annotations

from typing import Any

import torch

from samestep.trace.python import PYTHON

from . import namespace
from .shards import is_sharded

FLOAT64 = torch.float64


def __getattr__(name: str) -> Any:
    return getattr(namespace, name)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: bool | None = None) -> Any:
    """As the standard has it."""
    if isinstance(obj, torch.SymInt | torch.SymFloat):
        return torch.ones((), dtype=dtype, device=device) * obj  # a product is what torch.compile makes no constant of
    if not isinstance(obj, torch.Tensor):
        return namespace.asarray(obj, dtype=dtype, device=device, copy=copy)
    if is_sharded(obj) and any(place.is_partial() for place in obj.placements):
        obj = obj.full_tensor()
    return obj.to(dtype=dtype or obj.dtype, device=device, copy=bool(copy))


def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """As the standard has it."""
    return x.to(dtype=dtype, device=device, copy=copy)


def sqrt(x: Any, /) -> Any:
    """The square root; its derivative at 0 is 0, so that a gradient of 0 does not make those of hyperparameters NaN."""
    wide = x.to(FLOAT64)
    some = wide > 0
    root = torch.sqrt(torch.where(some, wide, 1.0))
    return torch.where(some, root, torch.sqrt(wide.detach())).to(x.dtype)


def divide(x1: Any, x2: Any, /) -> Any:
    """The quotient; where it divides by 0 its derivative is 0, since `where` multiplies what it drops by 0 too."""
    some = x2 != 0
    return torch.where(some, x1 / torch.where(some, x2, 1.0), x1.detach() / x2.detach())


def pow(x1: Any, x2: Any, /) -> Any:
    """The power; at 0 its derivative is 0."""
    some = x1 != 0
    return torch.where(some, torch.where(some, x1, 1.0) ** x2, x1.detach() ** x2.detach())


SPELLING = PYTHON | {"divide": "xp.divide({0}, {1})", "pow": "xp.pow({0}, {1})"}
