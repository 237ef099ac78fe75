"""Second moments of matrices, told by the means of rows and columns: what Adafactor and CAME share.

The last two axes are the matrix, those before them a batch. `xp` is the namespace of the page.
"""

from __future__ import annotations

from typing import Any


def is_factored(x: Any, least: int = 1) -> bool:
    """Whether a leaf has rows and columns, and `least` of each."""
    return bool(x.ndim >= 2 and x.size > 0 and all(x.shape[axis] >= least for axis in (-2, -1)))


def means(xp: Any, q: Any, rows: Any, cols: Any, beta: Any) -> tuple[Any, Any]:
    """The new means of q in rows and in columns, which decay by beta."""
    rows = beta * rows + (1 - beta) * xp.mean(q, axis=-1, keepdims=True)
    cols = beta * cols + (1 - beta) * xp.mean(q, axis=-2, keepdims=True)
    return rows, cols


def over_root(xp: Any, x: Any, rows: Any, cols: Any, floor: Any = None) -> Any:
    """x over the root of rows cols / mean(rows), whose denominator is at least the floor, and itself its square."""
    mean = xp.mean(rows, axis=-2, keepdims=True)
    if floor is None:  # one after the other: the product of two small means would be 0
        return x / xp.sqrt(rows / mean) / xp.sqrt(cols)
    return x / xp.sqrt(xp.maximum(rows / xp.maximum(mean, floor) * cols, floor * floor))


def rms(xp: Any, x: Any) -> Any:
    """The root of the mean of squares."""
    return xp.linalg.vector_norm(x) / xp.sqrt(x.size)


def clipped(xp: Any, u: Any, threshold: Any) -> Any:
    """u, scaled down where its RMS is above the threshold."""
    return u / xp.maximum(1.0, rms(xp, u) / threshold)
