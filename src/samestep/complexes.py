"""Complex leaves as pairs of reals, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_pairs(xp: Any, x: Any) -> Any:
    """A copy with one more axis of length 2: real and imaginary parts."""
    host = np.array(x if isinstance(x, np.ndarray) else np.from_dlpack(x), order="C")
    pairs = host.reshape(-1).view(host.real.dtype).reshape(*host.shape, 2)
    return pairs if isinstance(x, np.ndarray) else xp.asarray(pairs)


def from_pairs(xp: Any, pairs: Any, old: Any, in_place: bool) -> Any:
    """The complex array again; into the old one when it was donated."""
    host = np.array(pairs if isinstance(pairs, np.ndarray) else np.from_dlpack(pairs), order="C")
    dtype = np.dtype(f"c{2 * host.dtype.itemsize}")
    result = host.reshape(-1).view(dtype).reshape(host.shape[:-1])
    if not isinstance(old, np.ndarray):
        return xp.asarray(result)
    if in_place:
        old[...] = result
        return old
    return result
