"""A program on a list of leaves in memory: address tables, chunks, threads, and the buffers that results go to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, pairwise
from math import prod
from typing import Any

import numpy as np

from samestep.backend import Signature
from samestep.errors import BackendError
from samestep.trace.graph import Program
from samestep.trace.stages import Stage, Stages

from . import cache, threads
from .buffers import Recycler
from .headers import Overlaps
from .memory import Expected, Memory
from .printer import LANES, REDUCTIONS, KernelPrinter

TILE = 65536
BREAK_EVEN = 8 << 20  # bytes moved, below which a second thread costs more than it brings
FAR = 32 << 20  # bytes moved, above which fresh results had better pass the caches
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16}
assert TILE % LANES == 0
NO_SUMS = np.empty((0, 0))

JOIN_SOURCE = """
def join(chunks, kinds, sums, out):
    for r in range(len(chunks)):
        k = chunks[r, 0]
        for j in range(len(kinds)):
            x = sums[r, j]
            if kinds[j] == 0:
                out[k, j] += x
            elif x != x or (kinds[j] == 1 and x > out[k, j]) or (kinds[j] == 2 and x < out[k, j]):
                out[k, j] = x
"""
JOIN = {"join": "void(int64[:,::1], int64[::1], float64[:,::1], float64[:,::1])"}
KINDS = {"+": 0, "max": 1, "min": 2}


@lru_cache(maxsize=256)
def _printed(
    program: Program, signature: Signature, names: tuple[str, ...], columns: tuple[tuple[str, int], ...]
) -> tuple[tuple, dict[str, str]]:  # fmt: skip
    """The source of a program, printed once however many shapes it is for; and the dtypes of its arrays."""
    printer = KernelPrinter(program, signature, dict(columns))
    return printer.source(), {name: printer.dtype(name) for name in names}


class CompiledNumba:
    """Kernels and tables for leaves of one signature and these shapes."""

    def __init__(
        self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]], memory: Memory
    ) -> None:
        threads.num_threads()  # what is wrong with it is said before anything is written
        self.memory = memory
        stages = Stages(program)
        self.stages: tuple[Stage, ...] = stages.fused
        self.writes = tuple(name for name, _ in stages.stores)
        self.names, self.columns = stages.names, stages.columns
        self.reads = tuple(name for name in self.names if name not in self.writes)
        source, self.dtypes = _printed(program, signature, self.names, tuple(self.columns.items()))
        self.kernels = cache.load("kernel", *source)
        self.expected = {
            name: [Expected(name, shape, dtype) for shape in shapes] for name, dtype in self.dtypes.items()
        }
        self.layouts = {name: memory.layout(expected) for name, expected in self.expected.items()}
        stored = {name: np.uint16 if self.dtypes[name] == "bfloat16" else self.dtypes[name] for name in self.writes}
        self.recyclers = {name: Recycler(shapes, [dtype] * len(shapes)) for name, dtype in stored.items()}
        self.size = len(shapes)
        self.chunks = _chunks(np.array([prod(shape) for shape in shapes], np.int64))
        self.moved = int(sum(_nbytes(self.expected[name]).sum() for name in (*self.names, *self.writes)))

    def release(self) -> None:
        """Let go of the buffers that results would go to."""
        for recycler in self.recyclers.values():
            recycler.clear()

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundNumba:
        """Bind arrays that the core has checked; what is not plain is copied, and copied back if donated."""
        plain: dict[str, list] = {}
        copied: dict[tuple[str, int], Any] = {}
        for name in self.names:
            leaves = [self.memory.plain(leaf, self.dtypes[name]) for leaf in arrays[name]]
            plain[name] = leaves
            copied |= {(name, i): leaf for i, leaf in enumerate(arrays[name]) if leaves[i] is not leaf}
        addresses = self.addresses(plain, donate)
        if addresses is None:
            raise BackendError("an array of this step has no memory of its own: was its storage freed or resized?")
        return BoundNumba(self, plain, addresses, donate, copied)

    def addresses(self, arrays: dict[str, list], donate: bool) -> np.ndarray | None:
        """Where every array lies; None if one is not plain, or not as the plan has it."""
        table = np.empty((self.size, len(self.columns)), np.int64)
        for name in self.names:
            writeable = self.size if donate and name in self.writes else 0
            if self.layouts[name].gather(arrays[name], table[:, self.columns[name]], writeable) >= 0:
                return None
        return table


class Sight:
    """Looks at the arrays of a whole step at once: each as its plan has it, and none that is written overlapping."""

    def __init__(self, parts: Sequence[CompiledNumba], others: Sequence[tuple[tuple[int, ...], str]]) -> None:
        self.parts = parts
        writes = [(i, name) for i, part in enumerate(parts) for name in part.writes]
        reads = [(i, name) for i, part in enumerate(parts) for name in part.reads]
        self.order = [*writes, *reads]
        lists = [parts[i].expected[name] for i, name in self.order]
        edges = pairwise(np.cumsum([0, *map(len, lists)]).tolist())
        named = zip(self.order, edges, strict=True)
        self.places = [(i, parts[i].columns[name], slice(*edge)) for (i, name), edge in named]
        expected = [*chain(*lists), *(Expected("p", shape, dtype) for shape, dtype in others)]
        self.size, self.written = len(expected), sum(map(len, lists[: len(writes)]))
        self.layout = parts[0].memory.layout(expected)
        self.steady: tuple[bytes, list[np.ndarray]] | None = None  # where the arrays of the last donated step lay
        self.overlaps = Overlaps(_nbytes(expected), self.written)

    def look(self, arrays: Sequence[dict[str, list]], others: list, donate: bool) -> list[BoundNumba] | None:
        """The bound parts; None if anything needs a closer look. `others` are leaves that only must not be touched."""
        everything: list = []
        for i, name in self.order:
            everything += arrays[i][name]
        everything += others
        if len(everything) != self.size:
            return None
        starts = np.empty(self.size, np.int64)
        if self.layout.gather(everything, starts, self.written if donate else 0) >= 0:
            return None
        steady, now = self.steady, starts.tobytes()  # replaced whole: another thread may be looking
        if donate and steady is not None and steady[0] == now:
            tables = steady[1]
        else:
            if donate and self.overlaps.find(starts) is not None:
                return None
            tables = self._tables(starts)
            if donate:
                self.steady = now, tables
        return [BoundNumba(*three, donate, {}) for three in zip(self.parts, arrays, tables, strict=True)]

    def _tables(self, starts: np.ndarray) -> list[np.ndarray]:
        tables = [np.empty((part.size, len(part.columns)), np.int64) for part in self.parts]
        for i, column, place in self.places:
            tables[i][:, column] = starts[place]
        return tables


def _nbytes(expected: Sequence[Expected]) -> np.ndarray:
    return np.array([prod(e.shape) * BYTES[e.dtype] for e in expected], np.int64)


class BoundNumba:
    """One step of these leaves."""

    def __init__(
        self,
        compiled: CompiledNumba,
        arrays: dict[str, list],
        addresses: np.ndarray,
        donate: bool,
        copied: dict[tuple[str, int], Any],
    ) -> None:
        self.compiled = compiled
        self.arrays = arrays
        self.addresses = addresses
        self.donate = donate
        self.copied = copied

    def sums(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> np.ndarray:
        """Run a reducing stage; rows of a leaf are joined in order."""
        compiled, stage = self.compiled, self.compiled.stages[level]
        found = np.empty((len(compiled.chunks), len(stage.sums)))
        self._run(stage, hosts, rows, leaves, found)
        first = np.array([float(REDUCTIONS[n.op][0].replace("math.", "")) for n in stage.sums])
        out = np.tile(first, (compiled.size, 1))
        kinds = np.array([KINDS[REDUCTIONS[n.op][2]] for n in stage.sums], np.int64)
        cache.load("join", JOIN_SOURCE, JOIN)["join"](compiled.chunks, kinds, found, out)
        return out

    def store(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> dict[str, list] | None:
        """Run the last stage, in place or into recycled buffers."""
        compiled: CompiledNumba = self.compiled
        results: dict[str, list] = {}
        for name in compiled.writes:
            column = self.addresses[:, compiled.columns[f"new {name}"]]
            if self.donate:
                column[:] = self.addresses[:, compiled.columns[name]]
            else:
                results[name] = compiled.memory.wrap(compiled.recyclers[name].take(column), compiled.dtypes[name])
        self._run(compiled.stages[level], hosts, rows, leaves, NO_SUMS)
        if not self.donate:
            return results
        compiled.memory.written([self.arrays[name] for name in compiled.writes])
        for (name, i), leaf in self.copied.items():
            if name in compiled.writes:
                leaf[...] = self.arrays[name][i]
        return None

    def _run(self, stage: Stage, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray, sums: np.ndarray) -> None:
        compiled = self.compiled
        kernel = compiled.kernels[f"stage{stage.level}"]
        far = int(not self.donate and compiled.moved > FAR)

        workers = 1 if compiled.moved < BREAK_EVEN else min(threads.num_threads(), len(compiled.chunks))
        cuts = _cuts(len(compiled.chunks), workers)
        counts = np.zeros(2, np.int64)  # spans claimed, spans done
        # Tables alone: a thread that is late to leave keeps no leaf alive.
        tables = compiled.chunks, cuts, counts, self.addresses, rows, hosts, leaves, sums, far
        if workers > 1:
            threads.run(lambda lo, hi: kernel(*tables), [(0, 0)] * workers, lambda: counts[1] == len(cuts) - 1)
        else:
            kernel(*tables)


@lru_cache(maxsize=64)
def _cuts(rows: int, workers: int) -> np.ndarray:
    """Where the spans that threads claim begin, and where the last one ends.

    Long ones first, since memory likes that; short ones at the end, so that none waits long for another.
    """
    cuts = [0]
    while cuts[-1] < rows:
        cuts.append(cuts[-1] + (max(1, (rows - cuts[-1]) // (workers + 1)) if workers > 1 else rows))
    return np.array(cuts, np.int64)


def _chunks(sizes: np.ndarray) -> np.ndarray:
    """Rows (leaf, first element, elements), tiles of a leaf in order."""
    tiles = -(-sizes // TILE)
    leaf = np.repeat(np.arange(len(sizes)), tiles)
    start = (np.arange(len(leaf)) - np.repeat(np.cumsum(tiles) - tiles, tiles)) * TILE
    return np.ascontiguousarray(np.stack([leaf, start, np.minimum(TILE, sizes[leaf] - start)], axis=1), np.int64)
