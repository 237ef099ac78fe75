"""The JAX backends: under `jax.jit`, or evaluated op by op, with the exact bits; JAX comes with its first array."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from samestep.backend import Compiled, Signature
from samestep.evaluate import Evaluated
from samestep.trace.graph import Program

if TYPE_CHECKING:
    from .compiled import CompiledJit
    from .library import Jax
    from .sight import Sight


class EvaluatedJax(Evaluated):
    """JAX's own operations, one after another. It also says what a step has to know of JAX."""

    def __init__(self, name: str = "jax") -> None:
        super().__init__("jax", name)

    @property
    def exceptions(self) -> dict[str, str]:
        """Where its bits are others."""
        from .namespace import has_float64

        found = {"subnormals": "XLA's code for processors takes them for zeros, and makes none"}
        if not has_float64():
            found["sums"] = "there is no float64: pairs of float32, within 1 ULP in float32 where terms do not cancel"
        return found

    def __repr__(self) -> str:
        return f"<backend {self.name}>"

    def arrays(self) -> Any:
        """The standard over JAX, with the exact operations."""
        from .namespace import EAGER

        return EAGER

    def wide(self) -> AbstractContextManager:
        """The context in which JAX has float64."""
        from .namespace import wide

        return wide()

    @cached_property
    def library(self) -> Jax:
        """What JAX has beside values: devices, shardings, weak types."""
        from .library import Jax

        return Jax()

    def container(self, tree: Any) -> tuple | None:
        """How JAX's registry opens it."""
        if "jax" not in sys.modules:
            return None
        from .containers import ways

        return ways(tree)

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> Compiled:
        """Print the stages as Python."""
        from .eager import CompiledEager

        return CompiledEager(program, signature)


class JaxJit(EvaluatedJax):
    """The same stages under `jax.jit`, all leaves of a device in one call."""

    rank = 100

    def __init__(self) -> None:
        super().__init__("jax-jit")

    def compilations(self) -> int:
        """How many stages XLA has compiled."""
        from .compiled import traces

        return len(traces)

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> Compiled:
        """Print the stages; XLA compiles them with the first step."""
        from .compiled import CompiledJit

        return CompiledJit(program, signature)

    def sight(self, parts: Sequence[CompiledJit], others: Sequence[tuple[tuple[int, ...], str]]) -> Sight:
        """What sees whether arrays are still as they were."""
        from .sight import Sight

        return Sight(parts, others)


evaluated = EvaluatedJax()
jitted = JaxJit()
