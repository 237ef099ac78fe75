"""How kernels reach arrays: by address, in the memory of the host, whatever library the arrays are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from samestep.backend import installed


class Expected(NamedTuple):
    """What a plan knows of one array."""

    name: str  # p, grad, or a slot
    shape: tuple[int, ...]
    dtype: str


class Layout(Protocol):
    """Looks at lists of arrays of which it knows what to expect."""

    def gather(self, leaves: list, out: np.ndarray, writeable: int = 0) -> int:
        """Write the address of each array to `out` (int64, may be a strided column), and return -1.

        Where an array is not as expected, or not plain (C-contiguous, aligned, by itself in its memory, written to if
        asked), the index of the first such is returned, and `out` is not to be used.
        """


class Memory(Protocol):
    """The arrays of one library. A backend whose library kernels can reach has one as its attribute `host_memory`."""

    library: str  # as it calls itself
    dtypes: tuple[str, ...]  # that kernels may read and write

    def accepts(self, array: Any) -> bool:
        """Whether arrays like this one lie in the memory of the host."""

    def layout(self, expected: Sequence[Expected]) -> Layout:
        """Made once per plan, for a look at every step."""

    def plain(self, array: Any, dtype: str) -> Any:
        """The array itself if kernels can run on it, else a copy on which they can."""

    def wrap(self, arrays: list[np.ndarray], dtype: str) -> list:
        """NumPy arrays as arrays of the library, without a copy; a dtype that NumPy lacks comes as uint16."""

    def written(self, lists: Sequence[list]) -> None:
        """Called after kernels have written to these arrays behind the back of their library."""


class NumPyMemory:
    """NumPy's own arrays."""

    library = "NumPy"
    dtypes: tuple[str, ...] = ("float16", "float32", "float64")

    def accepts(self, array: Any) -> bool:
        """All of them: what is not plain is copied."""
        return isinstance(array, np.ndarray)

    def layout(self, expected: Sequence[Expected]) -> Layout:
        """Read from the headers of the arrays, in one compiled pass."""
        from .headers import Layout as Headers

        return Headers([e.shape for e in expected], [np.dtype(e.dtype) for e in expected])

    def plain(self, array: Any, dtype: str) -> np.ndarray:
        """No subclass, no view with gaps, native byte order."""
        flags, wanted = array.flags, np.dtype(dtype)
        simple = type(array) is np.ndarray and flags.c_contiguous and flags.aligned
        if simple and array.dtype == wanted and array.dtype.isnative:
            return array
        return np.array(array, dtype=wanted, order="C", copy=True, subok=False)

    def wrap(self, arrays: list[np.ndarray], dtype: str) -> list:
        """They are what is wanted."""
        return arrays

    def written(self, lists: Sequence[list]) -> None:
        """NumPy does not ask."""


NUMPY = NumPyMemory()


def of(array: Any) -> Memory | None:
    """How to reach arrays like this one; None where kernels cannot."""
    if isinstance(array, np.ndarray):
        return NUMPY
    for backend in installed():
        if hasattr(type(backend), "host_memory") and backend.accepts(array):
            memory: Memory = backend.host_memory  # type: ignore[attr-defined]
            return memory if memory.accepts(array) else None
    return None
