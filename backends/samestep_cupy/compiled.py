"""A program on a list of leaves: tables of chunks, addresses and numbers, and one launch a stage for all leaves.

Written against a small `Device`, which is a GPU (`samestep_cupy.device`) or the processor (`samestep_cupy.shim`).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from samestep.backend import Signature
from samestep.pinned import TILE
from samestep.trace.graph import Program
from samestep.trace.stages import Stage, Stages

from .printer import BY, THREADS, KernelPrinter

CHUNK = 4 * THREADS * BY  # elements of a map that one block takes: few enough to keep every processor busy


class Device(Protocol):
    """What launches kernels on arrays of one library."""

    def home(self, leaves: Sequence[Any]) -> Hashable:
        """Where these arrays lie."""

    def at(self, home: Hashable) -> AbstractContextManager:
        """The context in which everything below happens there."""

    def load(self, source: str, names: Sequence[str]) -> Mapping[str, Any]:
        """These kernels of a source."""

    def upload(self, table: np.ndarray) -> Any:
        """A flat array of 8-byte entries, copied to where kernels see it."""

    def room(self, size: int) -> Any:
        """So many float64, not initialised."""

    def download(self, values: Any) -> np.ndarray:
        """What kernels wrote into a room, once they are done."""

    def launch(self, kernel: Any, blocks: int, tables: Sequence[Any]) -> None:
        """Run a kernel over blocks of 256 threads."""

    def plain(self, leaf: Any) -> Any:
        """The array itself when kernels can run on it, else a copy that they can."""

    def fresh(self, leaf: Any) -> Any:
        """An array like it, not initialised."""

    def address(self, array: Any) -> int:
        """Where its first element lies."""

    def written(self, arrays: Sequence[Any]) -> None:
        """Tell the library of the arrays that these were written to."""


@dataclass(frozen=True, eq=False)
class Resident:
    """What stays where the arrays are: kernels, and the tables that only the shapes decide."""

    kernels: Mapping[str, Any]
    chunks: Any  # of a map
    tiles: Any  # of a reduction
    firsts: Any  # where the tiles of each leaf begin


class CompiledCuda:
    """Source and tables for leaves of one signature and these shapes."""

    def __init__(
        self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]], device: Device
    ) -> None:
        self.device = device
        stages = Stages(program)
        self.stages: tuple[Stage, ...] = stages.fused
        self.writes = tuple(name for name, _ in stages.stores)
        self.names, self.columns = stages.names, stages.columns
        self.source, self.kernels = KernelPrinter(program, signature, self.columns).source()
        sizes = np.array([int(np.prod(shape, dtype=np.int64)) for shape in shapes], np.int64)
        self.size = len(sizes)
        self.chunks, self.tiles = _chunks(sizes, CHUNK), _chunks(sizes, TILE)
        self.firsts = np.searchsorted(self.tiles[:, 0], np.arange(self.size + 1))
        self.residents: dict[Hashable, Resident] = {}

    def resident(self, home: Hashable) -> Resident:
        """Kernels and tables there, made with the first step."""
        if home not in self.residents:
            tables = (self.device.upload(table.ravel()) for table in (self.chunks, self.tiles, self.firsts))
            self.residents[home] = Resident(self.device.load(self.source, self.kernels), *tables)
        return self.residents[home]

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundCuda:
        """Bind arrays that the core has checked; what is not plain is copied, and copied back if donated."""
        return BoundCuda(self, arrays, donate)


class BoundCuda:
    """One step of these leaves."""

    def __init__(self, compiled: CompiledCuda, arrays: dict[str, list], donate: bool) -> None:
        self.compiled, self.device, self.donate = compiled, compiled.device, donate
        self.arrays = arrays
        self.home = self.device.home([leaf for name in compiled.names for leaf in arrays[name]])
        with self.device.at(self.home):
            self.resident = compiled.resident(self.home)
            self.plain = {name: [self.device.plain(leaf) for leaf in arrays[name]] for name in compiled.names}
        self.addresses = np.zeros((compiled.size, len(compiled.columns)), np.int64)
        for name in compiled.names:
            self._point(name, self.plain[name])

    def _point(self, column: str, leaves: list) -> None:
        self.addresses[:, self.compiled.columns[column]] = [self.device.address(leaf) for leaf in leaves]

    def sums(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> np.ndarray:
        """Run a reducing stage, then join the tiles of each leaf in order; only the sums come back, in one copy."""
        compiled, resident = self.compiled, self.resident
        width, blocks = len(compiled.stages[level].sums), len(compiled.tiles)
        with self.device.at(self.home):
            tables = self._tables(hosts, rows, leaves)
            tiles, found = self.device.room(blocks * width), self.device.room(compiled.size * width)
            self._launch(f"stage{level}", blocks, [resident.tiles, *tables, tiles])
            # A join reads the first tile of each leaf in the place of the chunks, and the tiles in that of the numbers.
            self._launch(f"join{level}", compiled.size, [resident.firsts, *tables[:2], tiles, tables[3], found])
            return self.device.download(found).reshape(compiled.size, width)

    def store(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> dict[str, list]:
        """Run the last stage, in place or into fresh arrays."""
        compiled = self.compiled
        with self.device.at(self.home):
            results = {name: self._results(name) for name in compiled.writes}
            tables = self._tables(hosts, rows, leaves)
            self._launch(f"stage{level}", len(compiled.chunks), [self.resident.chunks, *tables, self.device.room(0)])
            if self.donate:
                self.device.written([leaf for values in results.values() for leaf in values])
            return {name: self._returned(name, values) for name, values in results.items()}

    def _results(self, name: str) -> list:
        """Where an output goes."""
        if self.donate:
            columns = self.compiled.columns
            self.addresses[:, columns[f"new {name}"]] = self.addresses[:, columns[name]]
            return self.plain[name]
        values = [self.device.fresh(leaf) for leaf in self.arrays[name]]
        self._point(f"new {name}", values)
        return values

    def _returned(self, name: str, values: list) -> list:
        """The arrays that were donated, also where the kernel ran on a copy."""
        if not self.donate:
            return values
        for leaf, value in zip(self.arrays[name], values, strict=True):
            if value is not leaf:
                leaf[...] = value
        return self.arrays[name]

    def _tables(self, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> list:
        """Addresses, rows and numbers, sent as one piece."""
        parts = [self.addresses, np.asarray(rows, np.int64), *(np.asarray(x, np.float64) for x in (hosts, leaves))]
        words = [np.ascontiguousarray(part).reshape(-1).view(np.int64) for part in parts]
        ends = np.cumsum([len(part) for part in words]).tolist()
        sent = self.device.upload(np.concatenate(words))
        return [sent[end - len(part) : end] for end, part in zip(ends, words, strict=True)]

    def _launch(self, name: str, blocks: int, tables: list) -> None:
        if blocks:
            self.device.launch(self.resident.kernels[name], blocks, tables)


def _chunks(sizes: np.ndarray, most: int) -> np.ndarray:
    """Rows (leaf, first element, elements), those of a leaf in order."""
    count = -(-sizes // most)
    leaf = np.repeat(np.arange(len(sizes)), count)
    start = (np.arange(len(leaf)) - np.repeat(np.cumsum(count) - count, count)) * most
    return np.ascontiguousarray(np.stack([leaf, start, np.minimum(most, sizes[leaf] - start)], axis=1), np.int64)
