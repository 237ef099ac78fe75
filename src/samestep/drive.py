"""One step over the batches of a plan: numbers, sums and totals level by level, then every store.

Nothing is written before every number of every batch is known and all that can fail is done, so a step that fails has
changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .backend import Bound
from .plan import Batch, Plan
from .trace.graph import Node, Rank


class Row(NamedTuple):
    """What leaves share that have the same numbers: their group, count, and number slots."""

    branch: int
    t: int
    numbers: tuple[float, ...]


class Work:
    """One batch in one step."""

    def __init__(
        self,
        batch: Batch,
        bound: Bound,
        rows: Sequence[Row],
        row_of: np.ndarray,
        scalars: dict[str, np.ndarray],
        givens: dict[str, float],
    ) -> None:
        self.batch = batch
        self.bound = bound
        self.rows = rows
        self.row_of = row_of
        clocks, slots, given, per_leaf = batch.sources
        self.hosts: list[dict[int, float]] = [
            {
                **{index: float(row.t) for index in clocks},
                **{index: row.numbers[place] for index, place in slots},
                **{index: givens[name] for index, name in given},
            }
            for row in rows
        ]
        self.leaves: dict[int, np.ndarray] = batch.statics | {index: scalars[name] for index, name in per_leaf}

    def tables(self, level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The numbers that a stage reads: per row, the row of each leaf, per leaf."""
        stage = self.batch.compiled.stages[level]
        hosts = np.array([[env[n.index] for n in stage.hosts] for env in self.hosts], dtype=float)
        if not stage.leaves:
            return hosts, self.row_of, self.batch.no_leaves
        leaves = np.empty((len(self.batch.leaves), len(stage.leaves)))
        for k, node in enumerate(stage.leaves):
            leaves[:, k] = self.leaves[node.index]
        return hosts, self.row_of, leaves

    def finish_sums(self, level: int) -> None:
        """Run the stage before this level, whose reductions are its leaf values."""
        stage = self.batch.compiled.stages[level - 1]
        if stage.sums:
            found = self.bound.sums(level - 1, *self.tables(level - 1))
            for k, node in enumerate(stage.sums):
                self.leaves[node.index] = found[:, k]

    def per_leaf(self, node: Node) -> Any:
        """A number for every leaf."""
        if node.op == "const":
            return node.attr
        if node.kind.rank is Rank.LEAF:
            return self.leaves[node.index]
        return np.array([env[node.index] for env in self.hosts])[self.row_of]

    def compute(self, level: int, number: Callable[[int], Callable[[str, float], float]]) -> None:
        """The numbers of a level: rows over floats, leaves over vectors."""
        numbers, host, leaf, read = self.batch.numbers[level]
        if numbers.hosts:
            for row, env in zip(self.rows, self.hosts, strict=True):
                host(env, number(row.branch), None)
        if numbers.leaves:
            if len(self.hosts) == 1:
                env = {i: self.hosts[0][i] for i in read}
            else:
                env = {i: np.array([e[i] for e in self.hosts])[self.row_of] for i in read}
            with np.errstate(all="ignore"):
                self.leaves = leaf(env | self.leaves, None, np)

    def value(self, row: int, node: Node) -> float:
        """A number of one row, once everything is computed."""
        return node.attr if node.op == "const" else self.hosts[row][node.index]  # type: ignore[return-value]


def drive(
    plan: Plan, works: Sequence[Work], number: Callable[[int], Callable[[str, float], float]]
) -> list[dict[str, list] | None]:
    """Run one step and return what each batch has stored: new arrays by output name, None if all is in place."""
    for level in range(plan.depth + 1):
        running = [work for work in works if level <= work.batch.depth]
        if level:
            for work in running:
                work.finish_sums(level)
            _totals(plan, running, level)
        for work in running:
            work.compute(level, number)
    tables = [work.tables(work.batch.depth) for work in works]
    for work, table in zip(works, tables, strict=True):
        if hasattr(work.bound, "prepare"):
            work.bound.prepare(work.batch.depth, *table)
    return [work.bound.store(work.batch.depth, *table) for work, table in zip(works, tables, strict=True)]


def _totals(plan: Plan, works: Sequence[Work], level: int) -> None:
    """Sum one number per leaf over all leaves, in leaf order."""
    parts: dict[tuple, np.ndarray] = {}
    wanted: list[tuple[Work, Node, tuple]] = []
    for work in works:
        for node in work.batch.numbers[level][0].totals:
            scope = work.batch.program.totals[node]
            values = np.broadcast_to(work.per_leaf(node.args[0]), len(work.batch.leaves))
            for branch in set(work.batch.branches.tolist()):
                mine = work.batch.branches == branch
                key = scope if scope[0] == ("all",) else (*scope, branch)
                places = np.array(work.batch.leaves)[mine]
                parts.setdefault(key, np.zeros(len(plan.leaves)))[places] = values[mine]
            wanted.append((work, node, scope))
    with np.errstate(all="ignore"):
        totals = {key: float(np.cumsum(values)[-1]) for key, values in parts.items()}  # in order, which np.sum is not
    for work, node, scope in wanted:
        for row, env in zip(work.rows, work.hosts, strict=True):
            env[node.index] = totals[scope if scope[0] == ("all",) else (*scope, row.branch)]
