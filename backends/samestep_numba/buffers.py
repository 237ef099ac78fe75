"""Output buffers for pure steps: memory that an earlier step handed out and that nobody can see any more.

Fresh memory costs a page fault every 4 KiB, which is more than the arithmetic of most steps. Each leaf has its own
memory, so that one that is kept (a bias in somebody's log) holds no others hostage, and begins at a multiple of 64
bytes.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from samestep_numba import headers

ALIGNMENT = 64
# Small leaves are many, and making an array object costs more than filling it: their objects are reused as well as
# their memory. Of large leaves there can only be few, and only their memory is worth anything.
SMALL = 16 * 1024


class Recycler:
    """Hands out lists of uninitialised arrays of the same shapes and dtypes, one after another."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any]) -> None:
        self._layout = headers.Layout(shapes, dtypes)
        if foreign := [str(dtype) for dtype in self._layout.dtypes if not dtype.isnative]:
            raise ValueError(f"Recycler: dtype {foreign[0]} is not in native byte order")
        # Whoever takes from the pool has it to himself meanwhile; another thread that finds nothing here makes its
        # own, and the last to put it back wins. So there is no lock that a fork could leave behind closed, and never
        # more than one pool.
        self._pool: deque[_Pool] = deque(maxlen=1)

    def take(self, addresses: np.ndarray | None = None) -> list[np.ndarray]:
        """Arrays that nobody else can see: C-contiguous, aligned to 64 bytes, with any content.

        They are the caller's for as long as anything refers to them: an array, a view, a memoryview, a tensor.
        `addresses` (int64, may be a strided column) receives where their data begin.
        """
        if addresses is None:
            addresses = np.empty(len(self._layout), np.int64)
        trusted = headers.counts_references()
        try:
            pool = self._pool.pop()
        except IndexError:
            pool = _Pool(self._layout)
        arrays = pool.take()
        # Whoever had an array may have changed its shape or frozen it in place. That is rare, so all start anew then.
        if headers.gather(arrays, self._layout, addresses, len(arrays)) >= 0:
            pool = _Pool(self._layout)
            arrays = pool.take()
            headers.gather(arrays, self._layout, addresses, len(arrays))
        if trusted:  # else every list is fresh
            self._pool.append(pool)
        return arrays

    def clear(self) -> None:
        """Let go of all memory; what is in use elsewhere stays valid."""
        self._pool.clear()

    @property
    def held_bytes(self) -> int:
        """What the pool itself keeps alive, in use elsewhere or not: one step's outputs, the small leaves twice."""
        return sum(pool.held_bytes for pool in list(self._pool))


Leaf = tuple[tuple[int, ...], np.dtype, int]  # shape, dtype, bytes


class _Memory(np.ndarray):
    """Plain bytes that own themselves; an array in them begins at `offset`."""

    offset: int

    @classmethod
    def of(cls, nbytes: int) -> _Memory:
        memory = cls((nbytes + ALIGNMENT,), np.uint8)
        memory.offset = -memory.__array_interface__["data"][0] % ALIGNMENT
        return memory


class _Pool:
    def __init__(self, layout: headers.Layout) -> None:
        self.leaves = list(zip(layout.shapes, layout.dtypes, layout.nbytes.tolist(), strict=True))
        self.small = [i for i, leaf in enumerate(self.leaves) if leaf[2] < SMALL]
        self.large = [i for i, leaf in enumerate(self.leaves) if leaf[2] >= SMALL]
        # The outputs of one step are the inputs of the next, so two sets take turns. Of small leaves both are kept:
        # the arrays and the memory they are views on.
        self.turns: deque[tuple[list[np.ndarray], list[_Memory]]] = deque()
        # Of large leaves one memory is kept, that which will be free first. The other is watched, to be kept when its
        # turn comes if somebody still has it then; what neither the pool nor anybody has goes back to the system at
        # once.
        self.kept: list[_Memory | None] = [None] * len(self.large)
        self.watched: list[weakref.ref[_Memory] | None] = [None] * len(self.large)

    def take(self) -> list[np.ndarray]:
        small = self._take_small()
        if not self.large:
            return small
        arrays: list[Any] = [None] * len(self.leaves)
        for i, array in zip(self.small, small, strict=True):
            arrays[i] = array
        # Memory that nobody but `kept` refers to has no array on it, and nobody can make one.
        counts = headers.references(self.kept).tolist() if headers.counts_references() else [0] * len(self.large)
        for k, (i, count) in enumerate(zip(self.large, counts, strict=True)):
            arrays[i] = self._take_large(k, self.leaves[i], count == 1)
        return arrays

    def _take_small(self) -> list[np.ndarray]:
        if len(self.turns) < 2:
            leaves = [self.leaves[i] for i in self.small]
            memories = [_Memory.of(nbytes) for _, _, nbytes in leaves]
            arrays = [_view(memory, leaf) for memory, leaf in zip(memories, leaves, strict=True)]
            self.turns.append((arrays, memories))
            return arrays.copy()
        arrays, memories = self.turns[0]
        self.turns.rotate(-1)
        k = headers.first_shared(arrays, memories)
        while k >= 0:
            leaf = self.leaves[self.small[k]]
            memories[k] = _Memory.of(leaf[2])
            arrays[k] = _view(memories[k], leaf)
            k = headers.first_shared(arrays, memories, k + 1)
        return arrays.copy()

    def _take_large(self, k: int, leaf: Leaf, free: bool) -> np.ndarray:
        kept, watch = self.kept[k], self.watched[k]
        memory = kept if free and kept is not None else _Memory.of(leaf[2])
        # Keep what is older than the memory that goes out now, if anybody has it; else keep this one.
        older = watch() if watch is not None else None if free else kept
        self.kept[k] = memory if older is None else older
        self.watched[k] = None if older is None else weakref.ref(memory)
        return _view(memory, leaf)

    @property
    def held_bytes(self) -> int:
        memories = [memory for _, memories in self.turns for memory in memories] + self.kept
        return sum(memory.nbytes for memory in memories if memory is not None)


def _view(memory: _Memory, leaf: Leaf) -> np.ndarray:
    return np.ndarray(leaf[0], leaf[1], memory, memory.offset)
