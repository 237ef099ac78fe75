"""The functions of the symbolic namespace that change a shape."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any


class Shape(tuple):
    """A shape in a page: integers, and dimensions of the leaf, spelled `shape[i]`."""

    def __new__(cls, shape: Sequence[Any]) -> Shape:
        return super().__new__(cls, (Shape._entry(s) for s in shape))

    @staticmethod
    def _entry(entry: Any) -> int | str:
        if getattr(getattr(entry, "node", None), "op", None) == "dim":
            return f"shape[{entry.node.attr}]"
        return operator.index(entry)

    def __repr__(self) -> str:
        return "(" + "".join(f"{entry}, " for entry in self) + ")"


class Shapes:
    """Products, transposes and the like: their results have another shape than the leaf."""

    _tracer: Any

    def matmul(self, a: Any, b: Any) -> Any:
        """The matrix product."""
        return self._tracer.apply("matmul", a, b)

    def matrix_transpose(self, x: Any) -> Any:
        """The last two axes exchanged."""
        return self._tracer.apply("matrix_transpose", x)

    def permute_dims(self, x: Any, axes: Sequence[Any]) -> Any:
        """The axes in another order."""
        return self._tracer.apply("permute_dims", x, attr=tuple(operator.index(a) for a in axes))

    def reshape(self, x: Any, shape: Sequence[Any]) -> Any:
        """Another shape; dimensions of the leaf stay symbols, so that one program serves every leaf."""
        return self._tracer.apply("reshape", x, attr=Shape(shape))

    def expand_dims(self, x: Any, *, axis: int = 0) -> Any:
        """A new axis of length 1."""
        return self._tracer.apply("expand_dims", x, attr=operator.index(axis))

    def squeeze(self, x: Any, axis: int) -> Any:
        """Without an axis of length 1."""
        return self._tracer.apply("squeeze", x, attr=operator.index(axis))

    def flip(self, x: Any, *, axis: int) -> Any:
        """The other way round along an axis."""
        return self._tracer.apply("flip", x, attr=operator.index(axis))

    def roll(self, x: Any, shift: int, *, axis: int) -> Any:
        """Shifted along an axis; what leaves at the end comes in at the start."""
        return self._tracer.apply("roll", x, attr=(operator.index(shift), operator.index(axis)))

    def concat(self, arrays: Sequence[Any], *, axis: int = 0) -> Any:
        """Joined along an axis."""
        joined, *others = arrays
        for other in others:
            joined = self._tracer.apply("concat", joined, other, attr=operator.index(axis))
        return joined

    def argsort(self, x: Any, *, axis: int = -1, descending: bool = False) -> Any:
        """The order of the entries along an axis, for `take`."""
        return self._tracer.apply("argsort", x, attr=(operator.index(axis), bool(descending)))

    def take(self, x: Any, indices: Any, *, axis: int) -> Any:
        """The entries at these places of an axis."""
        return self._tracer.apply("take", x, indices, attr=operator.index(axis))
