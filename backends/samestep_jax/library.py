"""What a step has to know of JAX beyond the array standard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from samestep.errors import LeafError
from samestep.libraries import Library
from samestep.pinned import Pinned

from .containers import is_sparse
from .eager import as_weak
from .namespace import EAGER, has_float64, wide
from .sums import InOrder
from .traced import SPELLING, TRACED, Summed, Traced, hidden_zero

told: ContextVar[bool | None] = ContextVar("samestep_jax_told", default=None)  # outside of the step: is there float64?


@contextmanager
def stepping() -> Iterator[None]:
    """Around a step: float64 is float64 in it."""
    token = told.set(jax.config.jax_enable_x64 if told.get() is None else told.get())
    try:
        with wide():
            yield
    finally:
        told.reset(token)


class Jax(Library):
    """Arrays are values: none is written, and a donated one is gone."""

    def namespace(self, array: Any) -> Any:
        """The standard with the exact operations; of what is traced, with derivatives."""
        return TRACED if self.traced(array) else EAGER

    def pinned(self, xp: Any) -> Pinned:
        """JAX's own sum has another order."""
        return InOrder(xp)

    def inline(self, array: Any) -> tuple[Any, Pinned]:
        """Operations that have derivatives; sums in XLA's own order."""
        xp = Traced(hidden_zero(array))
        return xp, Summed(xp)

    @property
    def spelling(self) -> Mapping[str, str]:
        """With the derivatives of the namespace."""
        return SPELLING

    @property
    def real(self) -> str:
        """As JAX was told, whose programs need not have float64."""
        return "float64" if told.get() else "float32"

    def alike(self, new: Any, old: Any) -> Any:
        """Its weak type: with another one, a caller's function would be compiled anew."""
        return as_weak(new, old) if getattr(old, "weak_type", False) else new

    def wide(self) -> AbstractContextManager:
        """With float64, also where JAX is told to do without: sums need it."""
        return stepping()

    def quiet(self) -> AbstractContextManager:
        """The same: there is nothing that records."""
        return stepping()

    def defers(self, values: Iterable[Any], params: Iterable[Any] = ()) -> bool:
        """What a transformation traces."""
        return any(map(self.traced, values)) or any(map(self.traced, params))

    @staticmethod
    def traced(array: Any) -> bool:
        """Whether it stands for an array inside a transformation."""
        return isinstance(array, jax.core.Tracer)

    def refuses(self, arrays: Sequence[Any], role: str) -> tuple[int, str] | None:
        """What is gone."""
        for i, array in enumerate(arrays):
            if array is not None and not self.traced(array) and array.is_deleted():
                return i, "was donated before, and is gone: go on with what that step returned"
            if array is not None and array.dtype in (jnp.float64, jnp.complex128) and not has_float64():
                return i, (
                    f"is {array.dtype}, in which the devices of JAX here ({jax.default_backend()}) do not compute: "
                    "cast it to half of that, or run JAX on the processor (JAX_PLATFORMS=cpu)"
                )
        return None

    def kind(self, array: Any) -> Any:
        """Its sharding, and whether it may move."""
        return "traced" if self.traced(array) else (array.sharding, array.committed)

    def device(self, array: Any) -> Any:
        """Its sharding, if it was put there."""
        return None if self.traced(array) or not array.committed else array.sharding

    def rows(self, gradient: Any) -> tuple[Any, Any] | None:
        """Of a BCOO matrix; what its indices have beyond the end fills it up."""
        if not is_sparse(gradient):
            return None
        if type(gradient).__name__ != "BCOO" or gradient.n_sparse != 1 or gradient.n_batch:
            raise LeafError(
                f"the gradient is {gradient!r}; of sparse ones a step takes a BCOO that is sparse along the first axis "
                "alone (n_sparse=1, n_batch=0): call .todense() on it, or make a samestep.RowSparse"
            )
        indices, values = gradient.indices[:, 0], gradient.data
        if self.defers([indices, values]):
            return indices, values
        index = np.asarray(indices)
        inside = np.flatnonzero(index < gradient.shape[0])
        return (indices, values) if len(inside) == len(index) else (index[inside], values[inside])

    def take_rows(self, array: Any, index: np.ndarray) -> Any:
        """Filled up, so that not every number of rows is compiled for itself."""
        return _take(array, _filled(index, len(array)))

    def put_rows(self, array: Any, index: np.ndarray, new: Any, donate: bool) -> Any:
        """What fills up is dropped."""
        return (_put_donated if donate else _put)(array, _filled(index, len(array)), new)

    def rows_from(self, values: np.ndarray, like: Any) -> Any:
        """Filled up too."""
        fill = np.zeros((room(len(values)) - len(values), *values.shape[1:]), values.dtype)
        return jax.device_put(np.concatenate([values, fill]), self.device(like))

    def joined(self, pairs: Any, old: Any, donate: bool) -> Any:
        """Where they are; what was donated is deleted."""
        if donate:
            old.delete()
        return jax.lax.complex(pairs[..., 0], pairs[..., 1])

    def widest(self, count: Any) -> Any:
        """As wide as JAX is set to."""
        return count * 1.0

    def memory(self, array: Any) -> np.ndarray | None:
        """That of the one processor that has it."""
        if self.traced(array) or array.is_deleted() or len(array.sharding.device_set) > 1:
            return None
        return np.asarray(array) if array.platform() == "cpu" else None


def room(rows: int) -> int:
    """How many rows stand for so many: at most an eighth more, and few different numbers."""
    step = 1 << max(rows.bit_length() - 4, 3)
    return -(-rows // step) * step


def _filled(index: np.ndarray, beyond: int) -> np.ndarray:
    return np.concatenate([index, np.full(room(len(index)) - len(index), beyond)])


@jax.jit
def _take(array: Any, index: Any) -> Any:
    return array.at[index].get(mode="fill", fill_value=0)


def _put_rows(array: Any, index: Any, new: Any) -> Any:
    return array.at[index].set(new, mode="drop")


_put, _put_donated = jax.jit(_put_rows), jax.jit(_put_rows, donate_argnums=0)
