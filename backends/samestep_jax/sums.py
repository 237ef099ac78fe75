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

from . import pairs
from .namespace import Fenced, has_float64


class Term(NamedTuple):
    """What a reduction gives: a number, or the sum of an array (of its squares) that is still to be taken."""

    x: Any
    summed: bool = False
    squares: bool = False
    spread: bool = False


class OverAxes(Pinned):
    """Sums over axes, which are no numbers: also where there is no float64."""

    def over_axes(self, name: str, x: Any, attr: tuple) -> Any:
        if has_float64() or name not in ("sum", "mean"):
            return super().over_axes(name, x, attr)
        return pairs.over_axes(x, self.xp.zero, name, *attr)


class Terms(OverAxes, Deferred):
    """The reductions in a compiled function. `spread`: of arrays on several devices, each of which adds what it has."""

    def __init__(self, xp: Fenced, spread: bool) -> None:
        super().__init__(xp)
        self.spread = spread

    def sum(self, x: Any) -> Any:
        return Term(x, True, False, self.spread)

    def sum_squares(self, x: Any) -> Any:
        return Term(x, True, True, self.spread)

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


def finish(xp: Fenced, terms: Sequence[Term]) -> tuple[Any, dict[int, Any], Any]:
    """The parts of a number for each term, and of sums of several tiles those of their sums in order, by the place of
    the term; and the numbers, if any, by which each is to be divided then.
    """
    scales = None
    if not has_float64():
        by = [pairs.scale(term.x) if term.summed else 1.0 for term in terms]
        terms = [t._replace(x=t.x.astype(jnp.float32) * s) if t.summed else t for t, s in zip(terms, by, strict=True)]
        scales = jnp.array([by, [s if term.squares else 1.0 for term, s in zip(terms, by, strict=True)]], jnp.float32)
    tiles = _tiles(xp, terms)
    one, many = [], {}
    for i, term in enumerate(terms):
        if i in tiles and tiles[i].shape[1] > 1:
            many[i] = tiles[i]
        if i in tiles:
            one.append(tiles[i][:, 0])
        elif term.summed:
            one.append(jnp.stack(pairs.folded(xp, term.x, term.squares, range(term.x.ndim))))
        else:
            value = jnp.asarray(term.x, dtype=xp.widest)
            one.append(jnp.stack([value] if has_float64() else [value, jnp.zeros_like(value)]))
    return jnp.stack(one, axis=1), many, scales


def join(one: Any, many: dict[int, Any], scales: Any) -> np.ndarray:
    """The numbers on the host; the tiles of a leaf are added in order, which np.sum would not do."""
    found = _number(one)
    for i, sums in many.items():
        found[i] = np.cumsum(_number(sums))[-1]
    if scales is not None:
        found = found / np.asarray(scales[0], np.float64) / np.asarray(scales[1], np.float64)
    return found + 0.0  # a lane starts at +0, and which zero is the largest is left to chance


def _number(parts: Any) -> np.ndarray:
    """The sum of its parts; of what is infinite, nothing is lost."""
    first, *lost = np.array(parts, np.float64)
    return sum((np.where(np.isfinite(part), part, 0.0) for part in lost), start=first)


def _tiles(xp: Fenced, terms: Sequence[Term]) -> dict[int, Any]:
    """For each term that sums what is in one place, the parts of the sums of its tiles."""
    alike: dict[tuple, list[tuple[int, Any]]] = {}
    for i, term in enumerate(terms):
        if term.summed and not term.spread:
            for block in _blocks(term.x.reshape(-1)):
                alike.setdefault((term.squares, block.shape[1], block.dtype), []).append((i, block))
    found: dict[int, list[Any]] = {}
    for (squares, *_), blocks in sorted(alike.items(), key=lambda item: -item[0][1]):  # whole tiles come first
        sums = _lanes(xp, jnp.concatenate([block for _, block in blocks]), squares)
        ends = np.cumsum([len(block) for _, block in blocks])
        for (i, block), end in zip(blocks, ends.tolist(), strict=True):
            found.setdefault(i, []).append(sums[:, end - len(block) : end])
    return {i: jnp.concatenate(sums, axis=1) for i, sums in found.items()}


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
    """The parts of their sums: each lane is added up in order, and the lanes by halves."""

    def add(row: Any, lanes: pairs.Parts) -> pairs.Parts:
        x = lax.dynamic_index_in_dim(tiles, row, axis=1, keepdims=False)
        return pairs.plus(xp, lanes, pairs.parts(xp, x, squares))

    zeros = jnp.zeros((len(tiles), LANES), xp.widest)
    lanes = lax.fori_loop(0, tiles.shape[1], add, (zeros,) if has_float64() else (zeros, zeros))
    while lanes[0].shape[1] > 1:
        half = lanes[0].shape[1] // 2
        lanes = pairs.plus(xp, [part[:, :half] for part in lanes], [part[:, half:] for part in lanes])
    return jnp.stack([part[:, 0] for part in lanes])


@partial(jax.jit, static_argnames=("squares", "spread"))
def _alone(x: Any, zero: Any, squares: bool, spread: bool) -> Any:
    return finish(Fenced(zero), [Term(x, True, squares, spread)])


class InOrder(OverAxes):
    """The reductions outside of a compiled function, as Python floats."""

    def sum(self, x: Any) -> float:
        return self._sum(x, False)

    def sum_squares(self, x: Any) -> float:
        return self._sum(x, True)

    def _sum(self, x: Any, squares: bool) -> float:
        spread = len(x.sharding.device_set) > 1 and not x.sharding.is_fully_replicated
        return float(join(*_alone(x, np.uint32(0), squares, spread))[0])
