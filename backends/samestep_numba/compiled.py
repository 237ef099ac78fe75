"""A program on a list of leaves in memory: address tables, chunks, threads, and the buffers that results go to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
SPANS_PER_THREAD = 32  # small spans keep both threads in neighbouring memory, and neither waits long for the other
BYTES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8, "complex64": 8, "complex128": 16}
assert TILE % LANES == 0

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


class CompiledNumba:
    """Kernels and tables for leaves of one signature and these shapes."""

    def __init__(
        self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]], memory: Memory
    ) -> None:
        self.memory = memory
        self.stages: tuple[Stage, ...] = Stages(program).fused
        self.writes = tuple(name for name, _ in self.stages[-1].stores)
        self.names = tuple(dict.fromkeys(("p", "grad", *program.arrays, *self.writes)))
        self.reads = tuple(name for name in self.names if name not in self.writes)
        self.columns = {name: i for i, name in enumerate(self.names)}
        self.columns |= {f"new {name}": len(self.names) + i for i, name in enumerate(self.writes)}
        printer = KernelPrinter(program, signature, self.columns)
        self.kernels = cache.load("kernel", *printer.source())
        self.dtypes = {name: printer.dtype(name) for name in self.names}
        self.expected = {
            name: [Expected(name, shape, dtype) for shape in shapes] for name, dtype in self.dtypes.items()
        }
        self.layouts = {name: memory.layout(expected) for name, expected in self.expected.items()}
        stored = {name: np.uint16 if self.dtypes[name] == "bfloat16" else self.dtypes[name] for name in self.writes}
        self.recyclers = {name: Recycler(shapes, [dtype] * len(shapes)) for name, dtype in stored.items()}
        self.size = len(shapes)
        self.chunks = _chunks(np.array([prod(shape) for shape in shapes], np.int64))
        self.elements = np.concatenate([[0], np.cumsum(self.chunks[:, 2])])
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
            writeable = donate and name in self.writes
            if self.layouts[name].gather(arrays[name], table[:, self.columns[name]], writeable) >= 0:
                return None
        return table

    def spans(self) -> list[tuple[int, int]]:
        """Rows of the chunk table for each piece of work: about as many elements in each."""
        rows, workers = len(self.chunks), threads.num_threads()
        if workers == 1 or self.moved < BREAK_EVEN:
            return [(0, rows)] if rows else []
        pieces = min(rows, workers * SPANS_PER_THREAD)
        cuts = np.searchsorted(self.elements, np.linspace(0, self.elements[-1], pieces + 1)[1:-1]).tolist()
        edges = sorted({0, rows, *cuts})
        return list(pairwise(edges))


class Sight:
    """Looks at the arrays of a whole step at once: each as its plan has it, and none that is written overlapping."""

    def __init__(self, parts: Sequence[CompiledNumba], others: Sequence[tuple[tuple[int, ...], str]]) -> None:
        self.parts = parts
        self.writes = [(i, name) for i, part in enumerate(parts) for name in part.writes]
        self.reads = [(i, name) for i, part in enumerate(parts) for name in part.reads]
        lists = [parts[i].expected[name] for i, name in (*self.writes, *self.reads)]
        edges = np.cumsum([0, *map(len, lists)]).tolist()
        self.places = [(i, parts[i].columns[name], slice(*edge)) for (i, name), edge in self._zip(edges)]
        self.first_read = edges[len(self.writes)]
        aside = [Expected("p", shape, dtype) for shape, dtype in others]
        written, read = list(chain(*lists[: len(self.writes)])), [*chain(*lists[len(self.writes) :]), *aside]
        self.sizes = len(written), len(read)
        self.written, self.read = parts[0].memory.layout(written), parts[0].memory.layout(read)
        self.overlaps = Overlaps(_nbytes([*written, *read]), written=len(written))

    def _zip(self, edges: list[int]) -> Iterable[tuple[tuple[int, str], tuple[int, int]]]:
        return zip((*self.writes, *self.reads), pairwise(edges), strict=True)

    def look(self, arrays: Sequence[dict[str, list]], others: list, donate: bool) -> list[BoundNumba] | None:
        """The bound parts; None if anything needs a closer look. `others` are leaves that only must not be touched."""
        starts = np.empty(sum(self.sizes), np.int64)
        written = list(chain.from_iterable(arrays[i][name] for i, name in self.writes))
        read = list(chain.from_iterable([*(arrays[i][name] for i, name in self.reads), others]))
        if (len(written), len(read)) != self.sizes:
            return None
        if self.written.gather(written, starts[: self.first_read], donate) >= 0:
            return None
        if self.read.gather(read, starts[self.first_read :]) >= 0:
            return None
        if donate and self.overlaps.find(starts) is not None:
            return None
        tables = [np.empty((part.size, len(part.columns)), np.int64) for part in self.parts]
        for i, column, place in self.places:
            tables[i][:, column] = starts[place]
        return [BoundNumba(*three, donate, {}) for three in zip(self.parts, arrays, tables, strict=True)]


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

    def store(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> dict[str, list]:
        """Run the last stage, in place or into recycled buffers."""
        compiled, results = self.compiled, {}
        for name in compiled.writes:
            column = self.addresses[:, compiled.columns[f"new {name}"]]
            if self.donate:
                column[:] = self.addresses[:, compiled.columns[name]]
                results[name] = self.arrays[name]
            else:
                results[name] = compiled.memory.wrap(compiled.recyclers[name].take(column), compiled.dtypes[name])
        self._run(compiled.stages[level], hosts, rows, leaves, np.empty((0, 0)))
        if self.donate:
            compiled.memory.written([results[name] for name in compiled.writes])
            for (name, i), leaf in self.copied.items():
                if name in compiled.writes:
                    leaf[...] = results[name][i]
                    results[name][i] = leaf
        return results

    def _run(self, stage: Stage, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray, sums: np.ndarray) -> None:
        compiled = self.compiled
        kernel = compiled.kernels[f"stage{stage.level}"]
        far = int(not self.donate and compiled.moved > FAR)

        def work(lo: int, hi: int) -> None:
            kernel(compiled.chunks, lo, hi, self.addresses, rows, hosts, leaves, sums, far)

        spans = compiled.spans()
        if len(spans) == 1:
            work(*spans[0])
        elif spans:
            threads.run(work, spans)


def _chunks(sizes: np.ndarray) -> np.ndarray:
    """Rows (leaf, first element, elements), tiles of a leaf in order."""
    tiles = -(-sizes // TILE)
    leaf = np.repeat(np.arange(len(sizes)), tiles)
    start = (np.arange(len(leaf)) - np.repeat(np.cumsum(tiles) - tiles, tiles)) * TILE
    return np.ascontiguousarray(np.stack([leaf, start, np.minimum(TILE, sizes[leaf] - start)], axis=1), np.int64)
