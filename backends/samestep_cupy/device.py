"""GPUs by way of CuPy: memory from its pools, launches on its current stream. Imported with the first plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Protocol

import cupy
import numpy as np
from cupy_backends.cuda.libs import nvrtc

from samestep.errors import BackendError

from .nvrtc import binary
from .printer import THREADS


class Memory(Protocol):
    """The arrays of another library on GPUs. A backend whose library has some has one as its `device_memory`."""

    library: str  # as it calls itself

    def accepts(self, array: Any) -> bool:
        """Whether arrays like this one lie on a GPU that CUDA kernels run on."""

    def home(self, array: Any) -> int:
        """The number of the GPU."""

    def stream(self, home: int) -> int:
        """The stream there that the library's own work is in, as CUDA knows it."""

    def plain(self, array: Any) -> Any:
        """The array itself when kernels can run on it, else a copy that they can."""

    def fresh(self, array: Any) -> Any:
        """An array like it in C order, not initialised."""

    def address(self, array: Any) -> int:
        """Where its first element lies."""

    def written(self, arrays: Sequence[Any]) -> None:
        """Called after a kernel was launched that writes to these arrays behind the back of their library."""


class Gpu:
    """A GPU is known by its number.

    CuPy gives memory that was let go to later work of the same stream, so nothing here waits for a kernel but
    `download`.
    """

    def home(self, leaves: Sequence[Any]) -> int:
        """The GPU of these arrays; the current one where none has an element."""
        found = {leaf.data.device_id for leaf in leaves if leaf.size} or {cupy.cuda.Device().id}
        if len(found) > 1:
            raise BackendError(f"the arrays lie on the GPUs {sorted(found)}: a kernel runs on one; move them to it")
        return found.pop()

    def at(self, home: Any) -> AbstractContextManager:
        """With it as the current one."""
        return cupy.cuda.Device(home)

    def load(self, source: str, names: Sequence[str]) -> Mapping[str, Any]:
        """Compile, or take from the disk."""
        module = cupy.cuda.function.Module()
        module.load(binary(source, cupy.cuda.Device().compute_capability, nvrtc))
        return {name: module.get_function(name) for name in names}

    def upload(self, table: np.ndarray) -> Any:
        """Through CuPy's pinned memory."""
        return cupy.asarray(table)

    def room(self, size: int) -> Any:
        """From CuPy's pool."""
        return cupy.empty(size, cupy.float64)

    def download(self, values: Any) -> np.ndarray:
        """Waits for the stream."""
        return cupy.asnumpy(values)

    def launch(self, kernel: Any, blocks: int, tables: Sequence[Any]) -> None:
        """On the current stream."""
        kernel((blocks,), (THREADS,), tuple(tables))

    def plain(self, leaf: Any) -> Any:
        """Kernels count elements in C order."""
        return leaf if leaf.flags.c_contiguous else cupy.ascontiguousarray(leaf)

    def fresh(self, leaf: Any) -> Any:
        """In C order."""
        return cupy.empty(leaf.shape, leaf.dtype)

    def address(self, array: Any) -> int:
        """On the GPU."""
        return array.data.ptr

    def written(self, arrays: Sequence[Any]) -> None:
        """CuPy does not ask."""


class Guest(Gpu):
    """The same for arrays of another library, in the order of its own stream."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.plain, self.fresh = memory.plain, memory.fresh  # type: ignore[method-assign, assignment]
        self.address, self.written = memory.address, memory.written  # type: ignore[method-assign]

    def home(self, leaves: Sequence[Any]) -> int:
        """The GPU of these arrays."""
        found = {self.memory.home(leaf) for leaf in leaves}
        if len(found) > 1:
            raise BackendError(f"the arrays lie on the GPUs {sorted(found)}: a kernel runs on one; move them to it")
        return found.pop()

    def at(self, home: Any) -> AbstractContextManager:
        """With it, and the library's stream there, as the current ones."""
        stack = ExitStack()
        stack.enter_context(cupy.cuda.Device(home))
        stack.enter_context(cupy.cuda.ExternalStream(self.memory.stream(home), home))
        return stack
