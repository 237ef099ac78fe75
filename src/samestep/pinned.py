"""What the array standard leaves open and a backend may not: the order of sums, random bits, rounding to a dtype.

A float sum runs in float64 over tiles of 65536 elements in C order; in a tile, 256 lanes add their elements in order,
a tree joins the lanes, and the tiles are added in order. Every backend keeps that order, so the number of threads does
not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import LeafError
from .trace.words import HALF, WORDS, cut, fold, per_element, word_at

TILE, LANES = 65536, 256
HALF_PRECISION = ("float16", "bfloat16")  # dtypes of params whose arithmetic is float32


class Pinned:
    """What is pinned, over one array namespace; reductions come as Python floats."""

    words = "uint32"  # the dtype for the arithmetic of `trace.words`

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

    def number(self, x: Any) -> Any:
        """A 0-d array as what reductions give."""
        return float(x)

    def _tiles(self, x: Any) -> Any:
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

    def _tree(self, lanes: Any) -> list:
        lanes = lanes + 0.0  # a lane starts at +0
        width = LANES
        while width > 1:
            width //= 2
            lanes = lanes[:, :width] + lanes[:, width : 2 * width]
        return [self.number(lanes[tile, 0]) for tile in range(lanes.shape[0])]

    def count_nonzero(self, x: Any) -> float:
        """How many elements are not zero; nan is not."""
        return self.number(self.xp.count_nonzero(x))

    def max(self, x: Any) -> float:
        """The largest element, nan if one is, +0 for either zero; -inf of nothing."""
        return self.number(self.xp.max(x)) + 0.0 if _numel(x) else float("-inf")

    def min(self, x: Any) -> float:
        """The smallest element, nan if one is, +0 for either zero; inf of nothing."""
        return self.number(self.xp.min(x)) + 0.0 if _numel(x) else float("inf")

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

    def shaped(self, x: Any, shape: tuple) -> Any:
        """x in the shape that a choice between it and another array has."""
        return x if x.shape == shape else self.xp.asarray(self.xp.broadcast_to(x, shape), copy=True)

    def fitting(self, x: Any, old: Any, name: str) -> Any:
        """What takes the place of an array has its shape: a copy in place would broadcast, and one elsewhere not."""
        if tuple(x.shape) != tuple(old.shape):
            raise LeafError(
                f"a page returns {name!r} of shape {tuple(x.shape)} for a leaf where it has {tuple(old.shape)}: reduce "
                "with keepdims=True and multiply by ones_like, or declare the slot with a function of p"
            )
        return x

    def eye(self, x: Any, shape: tuple) -> Any:
        """The identity matrix in the dtype of x."""
        return self.xp.eye(shape[0], dtype=x.dtype, device=getattr(x, "device", None))

    def random_bits(self, like: Any, h0: Any, l0: Any, h1: Any, l1: Any, attr: tuple[int, int]) -> Any:
        """For each element the sum of so many random numbers of so many bits: by its place in C order, and two keys."""
        xp, device = self.xp, getattr(like, "device", None)
        dtype, per, size = getattr(xp, self.words), per_element(*attr), _numel(like)

        def word(c: int) -> Any:
            return xp.asarray(c, dtype=dtype, device=device)

        k0, k1 = (xp.astype(high, dtype) * HALF + xp.astype(low, dtype) for high, low in ((h0, l0), (h1, l1)))
        found = []
        for far, start in enumerate(range(0, max(size, 1), WORDS // per)):
            key = fold(k1, word(far), word) if far else k1
            place = xp.arange(min(size - start, WORDS // per), dtype=dtype, device=device) * per
            drawn = {q: word_at(place + q, k0, key, word) for q in range(per)}
            parts = [drawn[q] >> shift & (1 << attr[0]) - 1 for q, shift in cut(*attr)]
            found.append(sum(parts[1:], start=parts[0]))
        total = found[0] if len(found) == 1 else xp.concat(found)
        return xp.astype(xp.reshape(total, like.shape), like.dtype)

    def rounded(self, x: Any, param: str) -> Any:
        """To nearest, ties to even, in a dtype of 16 bits; in the dtype of x again."""
        if param not in HALF_PRECISION:
            return x
        dtype = getattr(self.xp, param, None) or np.dtype(param)
        return self.xp.astype(self.xp.astype(x, dtype), x.dtype)

    def rounded_by(self, x: Any, bits: Any, param: str) -> Any:
        """16 random bits are added at the place of what a dtype of 16 bits drops, and then that is dropped."""
        if param not in HALF_PRECISION:
            return x
        xp = self.xp
        word, bits, size = x.view(xp.int32), xp.astype(bits, xp.int32), xp.abs(x)
        if param == "bfloat16":
            value = (word + bits & -(1 << 16)).view(x.dtype)
        else:
            tiny = size < 2.0**-14  # subnormal in float16: counted in units of 2**-24
            parts = xp.astype(xp.where(tiny, size, xp.zeros_like(x)) * 2.0**40, xp.int32)
            small = xp.copysign(xp.astype(parts + bits >> 16, x.dtype) * 2.0**-24, x)
            value = xp.where(tiny, small, (word + (bits >> 3) & -(1 << 13)).view(x.dtype))
        return self.rounded(xp.where(xp.isfinite(x), value, x), param)  # what is too large is infinite


class Deferred(Pinned):
    """The same without asking for any value: reductions come as 0-d arrays, float64."""

    def number(self, x: Any) -> Any:
        """float64."""
        return self.xp.astype(x, self.xp.float64)

    def linalg(self, factorise: Any, x: Any, **options: Any) -> tuple:
        """Chosen by `where`."""
        xp = self.xp
        finite = xp.all(xp.isfinite(x))
        factors = factorise(xp.where(finite, x, xp.zeros_like(x)), **options)
        return tuple(xp.where(finite, factor, factor + float("nan")) for factor in factors)


def _numel(x: Any) -> int:
    count = 1
    for dim in x.shape:
        count *= dim
    return count
