"""Second moments of matrices, told by the means of rows and columns: what Adafactor and CAME share.

Two axes are the matrix, the others a batch: the last two, or the two largest. `xp` is the namespace of the page.
"""

from __future__ import annotations

from typing import Any

LAST = (-1, -2)  # means in rows are taken along the first of them, means in columns along the second


def largest(x: Any) -> tuple[int, int]:
    """The longest axis of a leaf, and the next longest; of equal ones the last. Those of a matrix are its last two."""
    order: list[int] = []
    for axis in range(int(x.ndim) if x.ndim > 2 else 0):
        place = sum(1 for other in order if x.shape[other] <= x.shape[axis])
        order.insert(place, axis)
    return (order[-1], order[-2]) if order else LAST


def first(xp: Any, x: Any, axis: int) -> Any:
    """The first entries along an axis of a matrix: enough to find a shape, where all of a large leaf take long."""
    rank = int(x.ndim)
    if rank < 2:
        return x
    order = (axis % rank, *(i for i in range(rank) if i != axis % rank))
    return xp.permute_dims(xp.permute_dims(x, order)[:1, ...], tuple(order.index(i) for i in range(rank)))


def is_factored(x: Any, least: int = 1, axes: tuple[int, int] = LAST) -> bool:
    """Whether a leaf has rows and columns, and `least` of each."""
    return bool(x.ndim >= 2 and x.size > 0 and all(x.shape[axis] >= least for axis in axes))


def means(xp: Any, q: Any, rows: Any, cols: Any, beta: Any, axes: tuple[int, int] = LAST) -> tuple[Any, Any]:
    """The new means of q in rows and in columns, which decay by beta."""
    rows = beta * rows + (1 - beta) * xp.mean(q, axis=axes[0], keepdims=True)
    cols = beta * cols + (1 - beta) * xp.mean(q, axis=axes[1], keepdims=True)
    return rows, cols


def over_root(xp: Any, x: Any, rows: Any, cols: Any, floor: Any = None, axes: tuple[int, int] = LAST) -> Any:
    """x over the root of rows cols / mean(rows), whose denominator is at least the floor, and itself its square."""
    mean = xp.mean(rows, axis=axes[1], keepdims=True)
    if floor is None:  # one after the other: the product of two small means would be 0
        return x / xp.sqrt(rows / mean) / xp.sqrt(cols)
    return x / xp.sqrt(xp.maximum(rows / xp.maximum(mean, floor) * cols, floor * floor))


def rms(xp: Any, x: Any) -> Any:
    """The root of the mean of squares."""
    return xp.linalg.vector_norm(x) / xp.sqrt(x.size)


def clipped(xp: Any, u: Any, threshold: Any) -> Any:
    """u, scaled down where its RMS is above the threshold."""
    return u / xp.maximum(1.0, rms(xp, u) / threshold)
