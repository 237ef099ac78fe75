"""The Numba backend: fused kernels for NumPy arrays, over our own threads; Numba is imported with the first kernel."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from samestep.backend import Signature
from samestep.trace.graph import Program

if TYPE_CHECKING:
    from .compiled import CompiledNumba, Sight

DTYPES = ("float16", "float32", "float64")


class Numba:
    """Runs every elementwise or fully reducing program on plain NumPy arrays."""

    name = "numba"
    rank = 100

    def __repr__(self) -> str:
        return "<backend numba>"

    def missing(self) -> str | None:
        """Why it cannot run here."""
        return None if find_spec("numba") else "numba is not installed: pip install samestep[numba]"

    def arrays(self) -> Any:
        """NumPy."""
        return np

    def accepts(self, array: Any) -> bool:
        """NumPy arrays."""
        return isinstance(array, np.ndarray)

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """Other shapes than the leaf's, dtypes and operations that have no spelling."""
        if program.free:
            return "it reduces over axes or multiplies matrices, which NumPy does itself"
        for dtype in (signature.param, signature.grad):
            if dtype not in DTYPES:
                return f"{dtype} NumPy arrays are evaluated, not compiled"
        from .printer import unspelled

        lacking = unspelled(program)
        return f"no kernel spelling of {', '.join(sorted(lacking))}" if lacking else None

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> CompiledNumba:
        """Print, compile or load the kernels."""
        from .compiled import CompiledNumba

        return CompiledNumba(program, signature, shapes)

    def sight(self, parts: Sequence[CompiledNumba], others: Sequence[tuple[tuple[int, ...], str]]) -> Sight:
        """A quick look at all arrays of a step."""
        from .compiled import Sight

        return Sight(parts, others)


backend = Numba()
