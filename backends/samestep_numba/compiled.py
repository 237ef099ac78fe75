"""A program on a list of NumPy leaves: address tables, chunks, threads, and the buffers that results go to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np

from samestep.backend import Signature
from samestep.trace.graph import Program
from samestep.trace.stages import Stage, Stages

from . import cache, threads
from .buffers import Recycler
from .headers import Layout, Overlaps, gather
from .printer import LANES, REDUCTIONS, KernelPrinter

TILE = 65536
BREAK_EVEN = 8 << 20  # bytes moved, below which a second thread costs more than it brings
FAR = 32 << 20  # bytes moved, above which fresh results had better pass the caches
SPANS_PER_THREAD = 32  # small spans keep both threads in neighbouring memory, and neither waits long for the other
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

    def __init__(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> None:
        self.stages: tuple[Stage, ...] = Stages(program).fused
        self.writes = tuple(name for name, _ in self.stages[-1].stores)
        self.names = tuple(dict.fromkeys(("p", "grad", *program.arrays, *self.writes)))
        self.reads = tuple(name for name in self.names if name not in self.writes)
        self.columns = {name: i for i, name in enumerate(self.names)}
        self.columns |= {f"new {name}": len(self.names) + i for i, name in enumerate(self.writes)}
        printer = KernelPrinter(program, signature, self.columns)
        self.kernels = cache.load("kernel", *printer.source())
        dtypes = {name: np.dtype(printer.dtype(name)) for name in self.names}
        self.layouts = {name: Layout(shapes, [dtype] * len(shapes)) for name, dtype in dtypes.items()}
        self.recyclers = {name: Recycler(shapes, [dtypes[name]] * len(shapes)) for name in self.writes}
        self.size = len(shapes)
        self.chunks = _chunks(self.layouts["p"].sizes)
        self.elements = np.concatenate([[0], np.cumsum(self.chunks[:, 2])])
        self.moved = int(sum(self.layouts[name].nbytes.sum() for name in (*self.names, *self.writes)))

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundNumba:
        """Bind arrays that the core has checked; what is not plain is copied, and copied back if donated."""
        plain: dict[str, list] = {}
        copied: dict[tuple[str, int], np.ndarray] = {}
        for name in self.names:
            leaves = [_plain(leaf, self.layouts[name].dtypes[i]) for i, leaf in enumerate(arrays[name])]
            plain[name] = leaves
            copied |= {(name, i): leaf for i, leaf in enumerate(arrays[name]) if leaves[i] is not leaf}
        addresses = self.addresses(plain, donate)
        assert addresses is not None, "the core checked these arrays"
        return BoundNumba(self, plain, addresses, donate, copied)

    def addresses(self, arrays: dict[str, list], donate: bool) -> np.ndarray | None:
        """Where every array lies; None if one is not plain, or not as the plan has it."""
        table = np.empty((self.size, len(self.columns)), np.int64)
        for name in self.names:
            writeable = donate and name in self.writes
            if gather(arrays[name], self.layouts[name], table[:, self.columns[name]], writeable) >= 0:
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
        lists = [parts[i].layouts[name] for i, name in (*self.writes, *self.reads)]
        edges = np.cumsum([0, *map(len, lists)]).tolist()
        self.places = [(i, parts[i].columns[name], slice(*edge)) for (i, name), edge in self._zip(edges)]
        self.first_read = edges[len(self.writes)]
        aside = Layout([shape for shape, _ in others], [np.dtype(dtype) for _, dtype in others])
        self.written = _joined(lists[: len(self.writes)])
        self.read = _joined([*lists[len(self.writes) :], aside])
        self.overlaps = Overlaps(np.concatenate([self.written.nbytes, self.read.nbytes]), written=len(self.written))

    def _zip(self, edges: list[int]) -> Iterable[tuple[tuple[int, str], tuple[int, int]]]:
        return zip((*self.writes, *self.reads), pairwise(edges), strict=True)

    def look(self, arrays: Sequence[dict[str, list]], others: list, donate: bool) -> list[BoundNumba] | None:
        """The bound parts; None if anything needs a closer look. `others` are leaves that only must not be touched."""
        starts = np.empty(len(self.written) + len(self.read), np.int64)
        written = list(chain.from_iterable(arrays[i][name] for i, name in self.writes))
        read = list(chain.from_iterable([*(arrays[i][name] for i, name in self.reads), others]))
        if len(written) != len(self.written) or len(read) != len(self.read):
            return None
        if gather(written, self.written, starts[: self.first_read], donate) >= 0:
            return None
        if gather(read, self.read, starts[self.first_read :]) >= 0:
            return None
        if donate and self.overlaps.find(starts) is not None:
            return None
        tables = [np.empty((part.size, len(part.columns)), np.int64) for part in self.parts]
        for i, column, place in self.places:
            tables[i][:, column] = starts[place]
        return [BoundNumba(*three, donate, {}) for three in zip(self.parts, arrays, tables, strict=True)]


def _joined(layouts: Sequence[Layout]) -> Layout:
    shapes = [shape for layout in layouts for shape in layout.shapes]
    return Layout(shapes, [dtype for layout in layouts for dtype in layout.dtypes])


class BoundNumba:
    """One step of these leaves."""

    def __init__(
        self,
        compiled: CompiledNumba,
        arrays: dict[str, list],
        addresses: np.ndarray,
        donate: bool,
        copied: dict[tuple[str, int], np.ndarray],
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
                results[name] = compiled.recyclers[name].take(column)
        self._run(compiled.stages[level], hosts, rows, leaves, np.empty((0, 0)))
        if self.donate:
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


def _plain(leaf: Any, dtype: np.dtype) -> np.ndarray:
    """The leaf itself when kernels can run on it, else a copy that they can."""
    flags = leaf.flags
    if (
        type(leaf) is np.ndarray
        and flags.c_contiguous
        and flags.aligned
        and leaf.dtype == dtype
        and leaf.dtype.isnative
    ):
        return leaf
    return np.array(leaf, dtype=dtype, order="C", copy=True, subok=False)


def _chunks(sizes: np.ndarray) -> np.ndarray:
    """Rows (leaf, first element, elements), tiles of a leaf in order."""
    tiles = -(-sizes // TILE)
    leaf = np.repeat(np.arange(len(sizes)), tiles)
    start = (np.arange(len(leaf)) - np.repeat(np.cumsum(tiles) - tiles, tiles)) * TILE
    return np.ascontiguousarray(np.stack([leaf, start, np.minimum(TILE, sizes[leaf] - start)], axis=1), np.int64)
