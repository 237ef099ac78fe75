"""A look at all arrays of a step at once: whether they are as they were when each was looked at closely."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING

import jax
import numpy as np

if TYPE_CHECKING:
    from .compiled import BoundJit, CompiledJit

ARRAY = type(jax.device_put(np.float32(0)))  # what is traced is of another type
traits = attrgetter("aval", "sharding", "committed")


class Known:
    """What a program saw of its arrays, one after another, and the calls that it made of them."""

    def __init__(self, arrays: dict[str, list], calls: list[tuple]) -> None:
        everything = list(chain.from_iterable(arrays.values()))
        self.names = tuple(arrays)
        self.traits = list(map(traits, everything))
        self.sizes = [x.nbytes for x in everything]
        self.alone = all(len(x.sharding.device_set) == 1 for x in everything)
        self.calls = calls  # the leaves and the place of each


class Sight:
    """Looks at the arrays of a whole step."""

    def __init__(self, parts: Sequence[CompiledJit], others: Sequence[tuple[tuple[int, ...], str]]) -> None:
        self.parts = parts
        self.others = list(others)

    def look(self, arrays: Sequence[dict[str, list]], others: list, donate: bool) -> list[BoundJit] | None:
        """The bound parts; None if anything needs a closer look. `others` are leaves that only must not be touched."""
        if set(map(type, others)) - {ARRAY} or [(x.shape, x.dtype.name) for x in others] != self.others:
            return None
        bounds, everything, sizes, written = [], list(others), [x.nbytes for x in others], [False] * len(others)
        alone = all(len(x.sharding.device_set) == 1 for x in others)
        for part, lists in zip(self.parts, arrays, strict=True):
            known = part.known
            if known is None or lists.keys() != set(known.names):
                return None
            mine = list(chain.from_iterable(lists[name] for name in known.names))
            if set(map(type, mine)) - {ARRAY} or list(map(traits, mine)) != known.traits:
                return None
            everything += mine
            sizes += known.sizes
            written += [name in part.writes for name in known.names for _ in lists[name]]
            alone = alone and known.alone
            bounds.append(part.bound(lists, donate, known.calls))
        if any(map(ARRAY.is_deleted, everything)):
            return None
        if donate and (not alone or _overlapping(everything, sizes, written)):
            return None
        return bounds


def _overlapping(arrays: list, sizes: list[int], written: list[bool]) -> bool:
    """Whether two arrays share memory, one of them to be written: JAX would find that when some are gone."""
    starts = np.fromiter(map(ARRAY.unsafe_buffer_pointer, arrays), np.int64, len(arrays))
    ends = starts + np.array(sizes)
    order = np.argsort(starts, kind="stable")
    order = order[ends[order] > starts[order]]
    before, after = order[:-1], order[1:]
    hits = starts[after] < np.maximum.accumulate(ends[before])
    return bool(hits.any()) and bool(np.array(written)[np.union1d(before[hits], after[hits])].any())
