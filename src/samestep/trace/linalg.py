"""The linear algebra extension of the symbolic namespace."""

from __future__ import annotations

from typing import Any

from ..errors import TraceError


class Linalg:
    """The linear algebra extension, as far as pages need it."""

    def __init__(self, tracer: Any) -> None:
        self._tracer = tracer

    def __getattr__(self, name: str) -> Any:
        known = sorted(n for n in vars(Linalg) if not n.startswith("_"))
        raise TraceError(f"xp.linalg.{name} is not known to the tracer. Known: {', '.join(known)}")

    def vector_norm(self, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        """The Euclidean norm of the whole leaf, squared and summed in float64, or over axes."""
        xp = self._tracer.namespace
        if axis is None:
            return xp.sqrt(xp._reduce("sum_squares", x, None, False))
        return xp.sqrt(xp.sum(x * x, axis=axis, keepdims=keepdims))

    def matmul(self, a: Any, b: Any) -> Any:
        """The matrix product."""
        return self._tracer.apply("matmul", a, b)

    def _items(self, op: str, x: Any, count: int) -> tuple:
        result = self._tracer.apply(op, x)
        return tuple(self._tracer.apply("item", result, attr=i) for i in range(count))

    def eigh(self, x: Any) -> tuple:
        """Eigenvalues and eigenvectors of a symmetric matrix."""
        return self._items("eigh", x, 2)

    def qr(self, x: Any) -> tuple:
        """Q and R."""
        return self._items("qr", x, 2)

    def svd(self, x: Any) -> tuple:
        """U, S and V^H."""
        return self._items("svd", x, 3)
