"""The Dask backend: a step adds to the graphs of its arrays and computes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from samestep.evaluate import Evaluated
from samestep.libraries import Library


class Dask(Library):
    """Every value is still to come."""

    def defers(self, values: Iterable[Any]) -> bool:
        """Always."""
        return True


class EvaluatedDask(Evaluated):
    """Dask's own operations, block by block."""

    def __init__(self) -> None:
        super().__init__("dask")

    def arrays(self) -> Any:
        """The standard over Dask's arrays."""
        from array_api_compat.dask import array

        return array

    @cached_property
    def library(self) -> Dask:
        """What Dask has beside values: none of them yet."""
        return Dask()


backend = EvaluatedDask()
