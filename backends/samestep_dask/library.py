"""What a step has to know of Dask beyond the array standard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import dask
import dask.array as da
import numpy as np
from array_api_compat.dask import array as standard

from samestep.libraries import Library
from samestep.pinned import Deferred, Pinned


class Dask(Library):
    """Every value is still to come."""

    def defers(self, values: Iterable[Any], params: Iterable[Any] = ()) -> bool:
        """Always."""
        return True

    def inline(self, array: Any) -> tuple[Any, Pinned]:
        """Factorisations, which Dask has in part and in other forms, are NumPy's of the whole matrix."""
        return Namespace, Whole(Namespace)

    def memory(self, array: Any) -> None:
        """There is none yet; to ask for it would compute."""


class Factorisations:
    """The names of those that `Whole.linalg` takes."""

    eigh, qr, svd = "eigh", "qr", "svd"


class _Namespace:
    linalg = Factorisations

    def __getattr__(self, name: str) -> Any:
        return getattr(standard, name)


Namespace = _Namespace()


class Whole(Deferred):
    """Reductions as 0-d arrays, and factorisations in one task."""

    def linalg(self, factorise: Any, x: Any, **options: Any) -> tuple:
        """One task for the whole matrix: NaN of one that is not finite."""
        factors = dask.delayed(_factors, pure=True, nout=3)(factorise, x, options)
        like = _factors(factorise, np.zeros(x.shape, x.dtype), options)
        return tuple(da.from_delayed(factors[i], f.shape, f.dtype) for i, f in enumerate(like))


def _factors(name: str, x: np.ndarray, options: dict[str, Any]) -> tuple:
    return tuple(map(np.asarray, Pinned(np).linalg(getattr(np.linalg, name), x, **options)))
