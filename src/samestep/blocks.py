"""Leaves cut into blocks along a first axis, and what is done to each; without a length they are whole, as they are.

Each axis is cut into pieces of the same length, the last of them filled up with zeros. `xp` is the page's namespace.
"""

from __future__ import annotations

from math import prod
from typing import Any

import array_api_compat

from .trace.namespace import Symbol, eye_like


def _pieces(x: Any, longest: int) -> list[tuple[int, int]]:
    """Of each axis, how many pieces it has, and their length; an empty one is a piece that is all filling."""
    dims = [max(int(x.shape[axis]), 1) for axis in range(int(x.ndim))]
    return [(-(-dim // min(dim, longest)), min(dim, longest)) for dim in dims]


def sizes(x: Any, longest: int | None) -> tuple[tuple, list]:
    """How many blocks, if it is cut, and the shape of each."""
    if longest is None:
        return (), [x.shape[axis] for axis in range(int(x.ndim))]
    found = _pieces(x, longest)
    return (prod(pieces for pieces, _ in found),), [width for _, width in found]


def merged(x: Any, longest: int | None) -> list:
    """The lengths of its axes, where neighbours are one as long as that has at most this length."""
    if longest is None:
        return [x.shape[axis] for axis in range(int(x.ndim))]
    found: list[int] = []
    for dim in (int(x.shape[axis]) for axis in range(int(x.ndim))):
        if found and (dim == 1 or found[-1] * dim <= longest):
            found[-1] *= dim
        else:
            found.append(dim)
    return found


def identities(x: Any, axis: int, longest: int | None) -> Any:
    """The identity matrix of an axis, one for each block."""
    number, shape = sizes(x, longest)
    one = eye_like(x, shape[axis])
    if not number:
        return one
    xp: Any = x.tracer.namespace if isinstance(x, Symbol) else array_api_compat.array_namespace(x)
    return xp.concat([xp.expand_dims(one, axis=0)] * number[0])


def cut(xp: Any, x: Any, longest: int | None) -> Any:
    """The blocks of a leaf."""
    if longest is None:
        return x
    found, rank = _pieces(x, longest), int(x.ndim)
    dims = [int(x.shape[axis]) for axis in range(rank)]
    x = xp.reshape(x, dims)
    for dim, (pieces, width) in zip(dims, found, strict=True):
        missing = pieces * width - dim
        x = xp.concat([x, xp.zeros_like(x[:missing, ...])], axis=0) if missing else x
        x = xp.permute_dims(x, (*range(1, rank), 0))
    x = xp.reshape(x, [n for pair in found for n in pair])
    return xp.reshape(xp.permute_dims(x, _apart(rank)), [-1, *(width for _, width in found)])


def joined(xp: Any, blocks: Any, like: Any, longest: int | None) -> Any:
    """The leaf that was cut, from its blocks."""
    if longest is None:
        return blocks
    found, rank = _pieces(like, longest), int(like.ndim)
    x = xp.reshape(blocks, [*(pieces for pieces, _ in found), *(width for _, width in found)])
    x = xp.permute_dims(x, tuple(_apart(rank).index(i) for i in range(2 * rank)))
    x = xp.reshape(x, [pieces * width for pieces, width in found])
    for axis in range(rank):
        x = xp.permute_dims(x[: int(like.shape[axis]), ...], (*range(1, rank), 0))
    return x


def _apart(rank: int) -> tuple[int, ...]:
    return (*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))


def times(xp: Any, x: Any, matrices: Any, number: tuple, shape: tuple) -> Any:
    """The last axis of each block, whose shape is this now, times its matrix."""
    if not number:
        return xp.matmul(x, matrices)
    flat = xp.reshape(x, (*number, -1, shape[-1]))
    return xp.reshape(xp.matmul(flat, matrices), (*number, *shape))


def turned(xp: Any, x: Any, number: tuple, rank: int) -> Any:
    """The last axis of each block in front of its others."""
    first = len(number)
    return xp.permute_dims(x, (*range(first), first + rank - 1, *range(first, first + rank - 1)))


def along(xp: Any, x: Any, matrices: list) -> Any:
    """Every axis times its matrix, if it has one; it is the last axis when its turn comes."""
    order = (len(matrices) - 1, *range(len(matrices) - 1))
    for matrix in reversed(matrices):
        x = xp.permute_dims(x if matrix is None else xp.matmul(x, matrix), order)
    return x
