"""What a step has to know of JAX beyond the array standard."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

from samestep.libraries import Library
from samestep.pinned import Pinned

from .namespace import EAGER, wide
from .sums import InOrder


class Jax(Library):
    """Arrays are values: none is written, and a donated one is gone."""

    def namespace(self, array: Any) -> Any:
        """The standard with the exact operations."""
        return EAGER

    def pinned(self, xp: Any) -> Pinned:
        """JAX's own sum has another order."""
        return InOrder(xp)

    def wide(self) -> AbstractContextManager:
        """With float64, also where JAX is told to do without: sums need it."""
        return wide()

    def quiet(self) -> AbstractContextManager:
        """The same: there is nothing that records."""
        return wide()

    @staticmethod
    def traced(array: Any) -> bool:
        """Whether it stands for an array inside a transformation."""
        return isinstance(array, jax.core.Tracer)

    def refuses(self, arrays: Sequence[Any], role: str) -> tuple[int, str] | None:
        """What is traced, or gone."""
        for i, array in enumerate(arrays):
            if array is None:
                continue
            if self.traced(array):
                return i, (
                    "is traced by JAX: a step inside jax.jit, grad, vmap or scan is not supported yet. "
                    "Let the transformation return the gradients, and take the step outside of it"
                )
            if array.is_deleted():
                return i, "was donated before, and is gone: go on with what that step returned"
        return None

    def kind(self, array: Any) -> Any:
        """Its sharding, and whether it may move."""
        return "traced" if self.traced(array) else (array.sharding, array.committed)

    def device(self, array: Any) -> Any:
        """Its sharding, if it was put there."""
        return None if self.traced(array) or not array.committed else array.sharding

    def joined(self, pairs: Any, old: Any, donate: bool) -> Any:
        """Where they are; what was donated is deleted."""
        if donate:
            old.delete()
        return jax.lax.complex(pairs[..., 0], pairs[..., 1])

    def memory(self, array: Any) -> np.ndarray | None:
        """That of the one processor that has it."""
        if self.traced(array) or array.is_deleted() or len(array.sharding.device_set) > 1:
            return None
        return np.asarray(array) if array.platform() == "cpu" else None
