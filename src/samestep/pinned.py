"""Reductions whose order is part of their meaning, spelled in the array standard.

A float sum runs in float64 over tiles of 65536 elements in C order; in a tile, 256 lanes add their elements in order,
a tree joins the lanes, and the tiles are added in order. Every backend keeps that order, so the number of threads does
not matter.
"""

from __future__ import annotations

from typing import Any

TILE, LANES = 65536, 256


class Pinned:
    """The reductions over one array namespace, as Python floats."""

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def sum(self, x: Any) -> float:
        """The sum of all elements."""
        return self._tiles(self.xp.reshape(self._float64(x), (-1,)))

    def sum_squares(self, x: Any) -> float:
        """The sum of squares, each squared in float64."""
        x = self.xp.reshape(self._float64(x), (-1,))
        return self._tiles(x * x)

    def _float64(self, x: Any) -> Any:
        return self.xp.astype(x, self.xp.float64)

    def _tiles(self, x: Any) -> float:
        xp, n = self.xp, x.shape[0]
        total = 0.0
        whole = n // TILE
        if whole:
            tiles = xp.reshape(x[: whole * TILE], (whole, TILE // LANES, LANES))
            for value in self._tree(self._lanes(tiles)):
                total += value
        if n > whole * TILE:
            rest = x[whole * TILE :]
            rows = -(-rest.shape[0] // LANES)
            padding = rows * LANES - rest.shape[0]
            if padding:
                rest = xp.concat([rest, xp.zeros(padding, dtype=x.dtype, device=getattr(x, "device", None))])
            total += self._tree(self._lanes(xp.reshape(rest, (1, rows, LANES))))[0]
        return total

    def _lanes(self, tiles: Any) -> Any:
        """Each lane added up in order, which is how NumPy sums over a middle axis."""
        return self.xp.sum(tiles, axis=1)

    @staticmethod
    def _tree(lanes: Any) -> list[float]:
        lanes = lanes + 0.0  # a lane starts at +0
        width = LANES
        while width > 1:
            width //= 2
            lanes = lanes[:, :width] + lanes[:, width : 2 * width]
        return [float(value) for value in lanes[:, 0]]

    def count_nonzero(self, x: Any) -> float:
        """How many elements are not zero; nan is not."""
        return float(self.xp.count_nonzero(x))

    def max(self, x: Any) -> float:
        """The largest element, nan if one is, +0 for either zero; -inf of nothing."""
        return float(self.xp.max(x)) + 0.0 if _numel(x) else float("-inf")

    def min(self, x: Any) -> float:
        """The smallest element, nan if one is, +0 for either zero; inf of nothing."""
        return float(self.xp.min(x)) + 0.0 if _numel(x) else float("inf")

    def numel(self, x: Any) -> float:
        """The number of elements."""
        return float(_numel(x))

    def over_axes(self, name: str, x: Any, attr: tuple) -> Any:
        """A sum, mean, maximum or minimum over axes; sums in float64, rounded once."""
        xp, (axes, keepdims) = self.xp, attr
        if name in ("max", "min"):
            empty = -float("inf") if name == "max" else float("inf")
            if not _numel(x):
                return xp.sum(x, axis=axes, keepdims=keepdims) + empty
            return getattr(xp, name)(x, axis=axes, keepdims=keepdims) + 0.0  # which zero it found is left to chance
        result = xp.sum(self._float64(x), axis=axes, keepdims=keepdims)
        if name == "mean":
            count = 1
            for axis in axes:
                count *= x.shape[axis]
            result = result / xp.asarray(count, dtype=xp.float64, device=getattr(x, "device", None))
        return xp.astype(result, x.dtype)

    def linalg(self, factorise: Any, x: Any, **options: Any) -> tuple:
        """A factorisation; NaN throughout of a matrix that is not finite, of which libraries make NaN or an error."""
        finite = bool(self.xp.all(self.xp.isfinite(x)))
        factors = factorise(x if finite else self.xp.zeros_like(x), **options)
        return tuple(factors) if finite else tuple(factor + float("nan") for factor in factors)

    def eye(self, x: Any, shape: tuple) -> Any:
        """The identity matrix in the dtype of x."""
        return self.xp.eye(shape[0], dtype=x.dtype, device=getattr(x, "device", None))


def _numel(x: Any) -> int:
    count = 1
    for dim in x.shape:
        count *= dim
    return count
