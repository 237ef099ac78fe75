"""The Numba backend: fused kernels on the host's memory, over our own threads; Numba comes with the first kernel."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from samestep.backend import Signature
from samestep.trace.graph import Program

from . import memory as memories
from .memory import NUMPY, Memory

if TYPE_CHECKING:
    from .compiled import CompiledNumba, Sight


@functools.cache
def _broken() -> str | None:
    """Why Numba cannot be imported, asked once: a version that does not fit its NumPy, for one."""
    try:
        import_module("numba")
    except Exception as error:
        return f"numba cannot be imported: {error}"
    return None


class Numba:
    """Runs every elementwise or fully reducing program on NumPy arrays, or on those of another library's memory."""

    name = "numba"
    language = "numba"
    rank = 100

    def __init__(self, memory: Memory = NUMPY) -> None:
        self.memory = memory

    def __repr__(self) -> str:
        return "<backend numba>"

    def missing(self) -> str | None:
        """Why it cannot run here."""
        if find_spec("numba") is None:
            return "numba is not installed: pip install 'samestep[numba]'"
        if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
            return "NUMBA_DISABLE_JIT is set, so it compiles nothing"
        return _broken()

    def arrays(self) -> Any:
        """NumPy."""
        return np

    def accepts(self, array: Any) -> bool:
        """NumPy arrays, and those whose library's backend says how to reach their memory."""
        return memories.of(array) is not None

    def on(self, array: Any) -> Numba:
        """Itself over the memory of arrays like this one."""
        return Numba(memories.of(array) or NUMPY)

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """Other shapes than the leaf's, dtypes and operations that have no spelling."""
        if program.free:
            return f"it reduces over axes or multiplies matrices, which {self.memory.library} does itself"
        for dtype in (signature.param, signature.grad):
            if dtype not in self.memory.dtypes:
                return f"{dtype} {self.memory.library} arrays are evaluated, not compiled"
        from .printer import unspelled

        lacking = unspelled(program)
        return f"no kernel spelling of {', '.join(sorted(lacking))}" if lacking else None

    def kernels(self, program: Program, signature: Signature) -> str:
        """The source of the kernels."""
        from samestep.trace.stages import Stages

        from .printer import KernelPrinter

        return KernelPrinter(program, signature, Stages(program).columns).source()[0]

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> CompiledNumba:
        """Print, compile or load the kernels."""
        from .compiled import CompiledNumba

        return CompiledNumba(program, signature, shapes, self.memory)

    def compilations(self) -> int:
        """How many sources were compiled or loaded in this process."""
        from . import cache

        stats = cache.stats()
        return stats.compiled + stats.from_disk

    def sight(self, parts: Sequence[CompiledNumba], others: Sequence[tuple[tuple[int, ...], str]]) -> Sight:
        """A quick look at all arrays of a step."""
        from .compiled import Sight

        return Sight(parts, others)


backend = Numba()
