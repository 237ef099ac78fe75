"""Programs evaluated op by op."""

from __future__ import annotations

from typing import Any

from samestep.evaluate import BoundEvaluated, CompiledEvaluated

from .printer import SPELLING


class CompiledEager(CompiledEvaluated):
    """Stage functions over `xp`, with JAX's spellings."""

    spelling = SPELLING

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundEager:
        """Take this step's arrays."""
        return BoundEager(self, arrays, donate)


class BoundEager(BoundEvaluated):
    """One step; donated arrays are deleted at its end."""

    def _placed(self, value: Any, old: Any) -> Any:
        value = as_weak(value, old)
        if self.donate:
            old.delete()
        return value


def as_weak(value: Any, old: Any) -> Any:
    """With a weak type if the old array has one, so that whoever is compiled for it need not be compiled again."""
    return old.at[...].set(value) if old.weak_type else value.astype(old.dtype)
