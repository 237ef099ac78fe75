"""What a step has to know of Dask beyond the array standard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import dask
import dask.array as da
import numpy as np
from array_api_compat.dask import array as standard

from samestep.libraries import Library
from samestep.pinned import TILE, Deferred, Pinned
from samestep.trace import floats
from samestep.trace.ops import ELEMENTWISE, TRANSCENDENTAL
from samestep.trace.python import HOST, PYTHON

ROUNDED_OTHERWISE = {name: op.arity for name, op in ELEMENTWISE.items() if op.exactness == TRANSCENDENTAL}
NUMBERS = PYTHON | {
    name: f"xp.of_numbers({name!r}, {', '.join(f'{{{i}}}' for i in range(arity))})"
    for name, arity in ROUNDED_OTHERWISE.items()
}


class Dask(Library):
    """Every value is still to come."""

    def defers(self, values: Iterable[Any], params: Iterable[Any] = ()) -> bool:
        """Always."""
        return True

    def inline(self, array: Any) -> tuple[Any, Pinned]:
        """Factorisations, which Dask has in part and in other forms, are NumPy's of the whole matrix."""
        return Namespace, Whole(Namespace)

    @property
    def numbers(self) -> Mapping[str, str]:
        """Powers, logarithms and the like are Python's: NumPy's, of arrays, are rounded otherwise in float64."""
        return NUMBERS

    def memory(self, array: Any) -> None:
        """There is none yet; to ask for it would compute."""


class Factorisations:
    """The names of those that `Whole.linalg` takes."""

    eigh, qr, svd = "eigh", "qr", "svd"


class _Namespace:
    linalg = Factorisations

    def __getattr__(self, name: str) -> Any:
        return getattr(standard, name)

    @staticmethod
    def of_numbers(op: str, *numbers: Any) -> Any:
        """An operation on 0-d arrays, as a step has it on floats."""
        function = getattr(floats, HOST[op].partition("(")[0])
        return da.map_blocks(partial(_of_numbers, function), *numbers, meta=np.empty((), np.float64))


Namespace = _Namespace()


class Whole(Deferred):
    """Reductions as 0-d arrays; a tile of a sum is one task, and so is a factorisation."""

    def _tiles(self, x: Any) -> Any:
        if not x.shape[0]:
            return 0.0
        tiles = da.map_blocks(_total, x.rechunk(TILE), dtype=np.float64, chunks=(1,), meta=np.empty(0))
        return sum((tiles[i] for i in range(tiles.numblocks[0])), start=0.0)

    def linalg(self, factorise: Any, x: Any, **options: Any) -> tuple:
        """One task for the whole matrix: NaN of one that is not finite."""
        factors = dask.delayed(_factors, pure=True, nout=3)(factorise, x, options)
        like = _factors(factorise, np.zeros(x.shape, x.dtype), options)
        return tuple(da.from_delayed(factors[i], f.shape, f.dtype) for i, f in enumerate(like))


def _total(tile: np.ndarray) -> np.ndarray:
    return np.array([Pinned(np)._tiles(tile)])


def _factors(name: str, x: np.ndarray, options: dict[str, Any]) -> tuple:
    return tuple(map(np.asarray, Pinned(np).linalg(getattr(np.linalg, name), x, **options)))


def _of_numbers(function: Callable, *blocks: np.ndarray) -> np.ndarray:
    return np.asarray(function(*map(float, blocks)))
