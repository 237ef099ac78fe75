"""The Dask backend: a step adds to the graphs of its arrays and computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from samestep.evaluate import Evaluated

if TYPE_CHECKING:
    from .library import Dask


class EvaluatedDask(Evaluated):
    """Dask's own operations, block by block."""

    slow = "step"

    def __init__(self) -> None:
        super().__init__("dask")

    def arrays(self) -> Any:
        """The standard over Dask's arrays."""
        from array_api_compat.dask import array

        return array

    @cached_property
    def library(self) -> Dask:
        """What Dask has beside values: none of them yet."""
        from .library import Dask

        return Dask()

    def settle(self, leaves: Sequence[Any]) -> Sequence[Any]:
        """The arrays with their values computed, all in one go."""
        return import_module("dask").persist(*leaves)


backend = EvaluatedDask()
