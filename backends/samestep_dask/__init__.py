"""The Dask backend: a step adds to the graphs of its arrays and computes nothing."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from samestep.evaluate import Evaluated

if TYPE_CHECKING:
    from .library import Dask


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
        from .library import Dask

        return Dask()


backend = EvaluatedDask()
