"""Reductions of whole leaves in the order that is part of their meaning, compiled by XLA.

XLA orders a sum as it likes, so the rows of a tile are added in a loop. Whatever is summed in one stage shares these
loops, one for each number of rows up to a power of two: a loop takes long to compile. The tiles of a leaf are joined on
the host.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from samestep.pinned import HALF_PRECISION, LANES, TILE, Deferred, Pinned

from .namespace import Fenced


class Term(NamedTuple):
    """What a reduction gives: a number, or the sum of an array (of its squares) that is still to be taken."""

    x: Any
    summed: bool = False
    squares: bool = False


class Terms(Deferred):
    """The reductions in a compiled function. `spread`: of arrays on several devices, each of which adds what it has."""

    def __init__(self, xp: Fenced, spread: bool) -> None:
        super().__init__(xp)
        self.spread = spread

    def sum(self, x: Any) -> Any:
        return Term(jnp.sum(self._float64(x))) if self.spread else Term(x, True)

    def sum_squares(self, x: Any) -> Any:
        wide = self._float64(x)
        return Term(jnp.sum(self.xp.fence(wide * wide))) if self.spread else Term(x, True, True)

    def count_nonzero(self, x: Any) -> Any:
        return Term(jnp.count_nonzero(x))

    def max(self, x: Any) -> Any:
        return Term(jnp.max(x) if x.size else -jnp.inf)

    def min(self, x: Any) -> Any:
        return Term(jnp.min(x) if x.size else jnp.inf)

    def numel(self, x: Any) -> Any:
        return Term(float(x.size))

    def rounded(self, x: Any, param: str) -> Any:
        return self.xp.fence(x.astype(param)).astype(x.dtype) if param in HALF_PRECISION else x  # else XLA skips it


def finish(xp: Fenced, terms: Sequence[Term]) -> tuple[Any, dict[int, Any]]:
    """A number for each term, float64; and of sums of several tiles, their sums in order, by the place of the term."""
    tiles = _tiles(xp, terms)
    one, many = [], {}
    for i, term in enumerate(terms):
        if i in tiles and len(tiles[i]) > 1:
            many[i] = jnp.concatenate(tiles[i])
        value = tiles[i][0][0] if i in tiles else 0.0 if term.summed else term.x
        one.append(jnp.asarray(value, dtype=jnp.float64))
    return jnp.stack(one), many


def join(one: Any, many: dict[int, Any]) -> np.ndarray:
    """The numbers on the host; the tiles of a leaf are added in order, which np.sum would not do."""
    found = np.array(one)
    for i, sums in many.items():
        found[i] = np.cumsum(np.asarray(sums))[-1]
    return found + 0.0  # a lane starts at +0, and which zero is the largest is left to chance


def _tiles(xp: Fenced, terms: Sequence[Term]) -> dict[int, list[Any]]:
    """For each term that sums, vectors of the sums of its tiles."""
    alike: dict[tuple, list[tuple[int, Any]]] = {}
    for i, term in enumerate(terms):
        if term.summed:
            for block in _blocks(term.x.reshape(-1)):
                alike.setdefault((term.squares, block.shape[1], block.dtype), []).append((i, block))
    found: dict[int, list[Any]] = {}
    for (squares, *_), blocks in sorted(alike.items(), key=lambda item: -item[0][1]):  # whole tiles come first
        sums = _lanes(xp, jnp.concatenate([block for _, block in blocks]), squares)
        ends = np.cumsum([len(block) for _, block in blocks])
        for (i, block), end in zip(blocks, ends.tolist(), strict=True):
            found.setdefault(i, []).append(sums[end - len(block) : end])
    return found


def _blocks(x: Any) -> Iterator[Any]:
    """Its tiles as rows of lanes: whole ones, and the rest with zeros up to a power of two of rows."""
    whole = x.size // TILE
    if whole:
        yield x[: whole * TILE].reshape(whole, TILE // LANES, LANES)
    rest = x[whole * TILE :]
    if rest.size:
        rows = 1 << (-(-rest.size // LANES) - 1).bit_length()
        yield jnp.pad(rest, (0, rows * LANES - rest.size)).reshape(1, rows, LANES)


def _lanes(xp: Fenced, tiles: Any, squares: bool) -> Any:
    """Each lane added up in order, and the lanes by halves."""

    def add(row: Any, lanes: Any) -> Any:
        x = lax.dynamic_index_in_dim(tiles, row, axis=1, keepdims=False).astype(jnp.float64)
        return lanes + (xp.fence(x * x) if squares else x)

    lanes = lax.fori_loop(0, tiles.shape[1], add, jnp.zeros((len(tiles), LANES), jnp.float64))
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return lanes[:, 0]


@partial(jax.jit, static_argnames="squares")
def _alone(x: Any, zero: Any, squares: bool) -> Any:
    return finish(Fenced(zero), [Term(x, True, squares)])


class InOrder(Pinned):
    """The reductions outside of a compiled function, as Python floats."""

    def sum(self, x: Any) -> float:
        return self._sum(x, False)

    def sum_squares(self, x: Any) -> float:
        return self._sum(x, True)

    def _sum(self, x: Any, squares: bool) -> float:
        if len(x.sharding.device_set) > 1 and not x.sharding.is_fully_replicated:
            wide = self._float64(x)
            return float(self.xp.sum(wide * wide if squares else wide)) + 0.0
        return float(join(*_alone(x, np.uint32(0), squares))[0])
