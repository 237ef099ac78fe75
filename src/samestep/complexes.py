"""Complex leaves as pairs of reals, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np


def _native(x: Any) -> np.ndarray:
    """A copy on the host, C-contiguous and in native byte order."""
    host = np.asarray(x) if isinstance(x, np.ndarray | np.generic) else np.from_dlpack(x)
    return np.array(host, dtype=host.dtype.newbyteorder("="), order="C")


def to_pairs(xp: Any, x: Any) -> Any:
    """A copy with one more axis of length 2: real and imaginary parts."""
    host = _native(x)
    pairs = host.reshape(-1).view(host.real.dtype).reshape(*host.shape, 2)
    return pairs if isinstance(x, np.ndarray | np.generic) else xp.asarray(pairs)


def from_pairs(xp: Any, pairs: Any, old: Any, in_place: bool) -> Any:
    """The complex array again; into the old one when it was donated."""
    host = _native(pairs)
    dtype = np.dtype(f"c{2 * host.dtype.itemsize}")
    result = host.reshape(-1).view(dtype).reshape(host.shape[:-1])
    if isinstance(old, np.ndarray) and in_place:
        old[...] = result
        return old
    return result if isinstance(old, np.ndarray | np.generic) else xp.asarray(result)
