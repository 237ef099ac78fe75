"""Complex leaves as pairs of reals."""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from . import libraries


def _native(x: Any) -> np.ndarray:
    """A copy on the host, C-contiguous and in native byte order."""
    host = np.asarray(x) if isinstance(x, np.ndarray | np.generic) else np.from_dlpack(x)
    return np.array(host, dtype=host.dtype.newbyteorder("="), order="C")


def to_pairs(xp: Any, x: Any) -> Any:
    """A copy with one more axis of length 2: real and imaginary parts."""
    if not isinstance(x, np.ndarray | np.generic):
        return xp.stack([xp.real(x), xp.imag(x)], axis=-1)
    host = _native(x)
    return host.reshape(-1).view(host.real.dtype).reshape(*host.shape, 2)


def from_pairs(xp: Any, pairs: Any, old: Any, in_place: bool) -> Any:
    """The complex array again; into the old one when it was donated. By way of the host: a + bj is not exact."""
    library = libraries.of(old)
    joined = library.joined(pairs, old, in_place)
    if joined is not None:
        return joined
    host = _native(pairs)
    dtype = np.dtype(f"c{2 * host.dtype.itemsize}")
    result: Any = host.reshape(-1).view(dtype).reshape(host.shape[:-1])
    if not isinstance(old, np.ndarray | np.generic):
        result = xp.asarray(result, device=library.device(old))
    if not in_place or not array_api_compat.is_writeable_array(old):
        return result
    old[...] = result
    return old
