"""Counts and number slots of one step: read from the state as rows, and written back after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import params as trees
from . import state as states
from .drive import Row, Work
from .errors import StateError, where
from .groups import Branch
from .plan import Batch, Plan


class Clock:
    """What the state says of time: the count of every leaf, and the slots that are one number.

    What all leaves share is an int or a float; once they differ it is an array over the flattened params.
    """

    def __init__(self, branches: Sequence[Branch], plan: Plan, state: Mapping[str, Any]) -> None:
        self.branches = branches
        self.plan = plan
        self.counts = states.counts(state, plan)
        self.slots = {slot: self._by_branch(slot, state[slot]) for slot in plan.number_slots}

    def _by_branch(self, slot: str, value: Any) -> dict[int, float | np.ndarray]:
        """A number slot by branch: a float, or one per leaf once they differ."""
        return {
            branch: states.number(v, slot) if trees.is_leaf(v) else self._by_leaf(slot, v, branch)
            for branch, v in states.by_branch(self.branches, slot, value).items()
        }

    def _by_leaf(self, slot: str, value: Any, branch: int) -> np.ndarray:
        """A number slot leaf by leaf; nan where a leaf has none."""
        having = self.plan.having(slot, branch)
        found = trees.leaves_of(self.plan.spec, value)
        if found is None or {type(found[i]) for i in having.tolist()} != {float}:
            found = trees.match(self.plan.spec, value, f"slot {slot!r} of the state")
            for i in having.tolist():
                found[i] = states.number(found[i], slot, self.plan.leaves[i].path)
        numbers = np.full(len(found), np.nan)
        numbers[having] = [found[i] for i in having.tolist()]
        if sum(x is not None for x in found) > len(having):
            wrong = next(i for i in set(range(len(found))).difference(having.tolist()) if found[i] is not None)
            raise StateError(
                f"slot {slot!r} of the state at {where(self.plan.leaves[wrong].path)} must be None, since the leaf "
                f"has none; got {found[wrong]!r:.80}. {states.AGAIN}"
            )
        return numbers

    def rows(self, done: bool = False) -> list[tuple[list[Row], np.ndarray]]:
        """For each batch the distinct rows, and the row of each leaf: of the next step, or (`done`) of the last one."""
        found = []
        for batch in self.plan.batches:
            numbers = [value for slot in batch.program.numbers for value in self.slots[slot].values()]
            differing = [value[batch.places] for value in (self.counts, *numbers) if isinstance(value, np.ndarray)]
            first, row_of = grouped([batch.branches, *differing]) if differing else batch.by_branch
            found.append(([self._row(batch, k, 0 if done else 1) for k in first], row_of))
        return found

    def _row(self, batch: Batch, k: int, ahead: int) -> Row:
        branch, leaf = int(batch.branches[k]), batch.leaves[k]
        count = self.counts if isinstance(self.counts, int) else int(self.counts[leaf])
        values = [self.slots[slot][branch] for slot in batch.program.numbers]
        return Row(branch, count + ahead, tuple(v if isinstance(v, float) else float(v[leaf]) for v in values))

    def after(self, works: Sequence[Work]) -> dict[str, Any]:
        """The number slots after the step."""
        return {slot: self._new(slot, works) for slot in self.slots}

    def counted(self) -> Any:
        """The count after the step: one int while all leaves agree.

        To be asked before anything is written: a container may refuse to hold ints.
        """
        plan = self.plan
        if isinstance(self.counts, int) and (plan.all_awake or not plan.batches):
            return self.counts + (1 if plan.all_awake else 0)
        counts: list[int | None] = (plan.awake + self.counts).tolist()
        for i in plan.frozen:
            counts[i] = None
        return trees.rebuild(plan.spec, counts)

    def _new(self, slot: str, works: Sequence[Work]) -> Any:
        mine = [work for work in works if slot in work.batch.program.numbers]
        shared = any(slot in work.batch.program.shared for work in mine)
        new: dict[int, float | np.ndarray] = {}
        for branch, old in self.slots[slot].items():
            rows = [
                (row.t, work.value(k, work.batch.program.outputs[slot]))
                for work in mine
                for k, row in enumerate(work.rows)
                if row.branch == branch
            ]
            if not rows:
                new[branch] = old
            elif shared:  # as the leaf has it that has stepped most often
                new[branch] = max(rows, key=lambda row: row[0])[1]
            elif self.plan.all_awake and isinstance(old, float) and len({repr(value) for _, value in rows}) == 1:
                new[branch] = rows[0][1]
            else:
                new[branch] = self._nested(slot, branch, old, mine)
        shown = {b: self._shown(slot, b, v) if isinstance(v, np.ndarray) else v for b, v in new.items()}
        return shown[0] if len(self.branches) == 1 else {self.branches[b].pattern: v for b, v in shown.items()}

    def _nested(self, slot: str, branch: int, old: float | np.ndarray, mine: list[Work]) -> float | np.ndarray:
        """Leaf by leaf; one number again only if it never was a nesting and all agree."""
        values = np.full(len(self.plan.leaves), old)
        for work in mine:
            node = work.batch.program.outputs[slot]
            found = np.array([work.value(k, node) for k in range(len(work.rows))])
            here = work.batch.branches == branch
            values[work.batch.places[here]] = found[work.row_of[here]]
        having = values[self.plan.having(slot, branch)]
        same = isinstance(old, float) and bool(np.all(having == having[0]) or np.all(np.isnan(having)))
        return float(having[0]) if same else values

    def _shown(self, slot: str, branch: int, values: np.ndarray) -> Any:
        """A nesting of numbers; None where a leaf has none."""
        found: list[float | None] = [None] * len(values)
        having = self.plan.having(slot, branch)
        for i, value in zip(having.tolist(), values[having].tolist(), strict=True):
            found[i] = value
        return trees.rebuild(self.plan.spec, found)


def grouped(columns: Sequence[np.ndarray]) -> tuple[list[int], np.ndarray]:
    """The first place of every distinct row of a table, and which of these each row is."""
    first, group = np.zeros(1, np.int64), np.zeros(len(columns[0]), np.int64)
    for column in columns:
        values, inverse = np.unique(column, return_inverse=True)
        _, first, group = np.unique(group * len(values) + inverse, return_index=True, return_inverse=True)
    return first.tolist(), group
