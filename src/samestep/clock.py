"""Counts and number slots of one step: read from the state as rows, and written back after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import params as trees
from . import state as states
from .drive import Row, Work
from .errors import StateError, names
from .groups import Branch
from .plan import Plan
from .trace.graph import Rank


class Clock:
    """What the state says of time: the count of every leaf, and the slots that are one number."""

    def __init__(self, branches: Sequence[Branch], plan: Plan, state: Mapping[str, Any]) -> None:
        self.branches = branches
        self.plan = plan
        self.counts = states.counts(state, plan)
        self.slots = {slot: self._by_branch(slot, state[slot]) for slot in plan.number_slots}
        self.nested = isinstance(self.counts, list) or any(
            isinstance(value, list) for by in self.slots.values() for value in by.values()
        )

    def _by_branch(self, slot: str, value: Any) -> dict[int, Any]:
        """A number slot by branch: a float, or one per leaf once counts differ."""
        if len(self.branches) == 1:
            by_branch = {0: value}
        else:
            chains = [branch.chain for branch in self.branches]
            having = [i for i, chain in enumerate(chains) if chain is not None and slot in chain.slot_names]
            wanted = {self.branches[i].pattern for i in having}
            if not isinstance(value, dict) or set(value) != wanted:
                raise StateError(
                    f"slot {slot!r} of the state is a dict by pattern with {names(sorted(wanted))}; got {value!r}"
                )
            by_branch = {i: value[self.branches[i].pattern] for i in having}
        return {
            branch: states.number(v, slot) if trees.is_leaf(v) else self._by_leaf(slot, v, branch)
            for branch, v in by_branch.items()
        }

    def _by_leaf(self, slot: str, value: Any, branch: int) -> list[float | None]:
        """A number slot leaf by leaf; None where a leaf has none."""
        found = trees.match(self.plan.spec, value, f"slot {slot!r} of the state")
        for i, (leaf, program) in enumerate(zip(self.plan.leaves, self.plan.programs, strict=True)):
            has = leaf.branch == branch and program is not None and slot in program.numbers
            if has or found[i] is not None:
                found[i] = states.number(found[i], slot, leaf.path)
        return found

    def rows(self, done: bool = False) -> list[tuple[list[Row], np.ndarray]]:
        """For each batch the distinct rows, and the row of each leaf: of the next step, or (`done`) of the last one."""
        ahead = 0 if done else 1
        found = []
        for batch in self.plan.batches:
            places: dict[Row, int] = {}

            def row(i: int, branch: int, wanted: tuple = batch.program.numbers, places: dict = places) -> int:
                done_of = self.counts[i] if isinstance(self.counts, list) else self.counts
                numbers = tuple(self._number(slot, branch, i) for slot in wanted)
                return places.setdefault(Row(branch, (done_of or 0) + ahead, numbers), len(places))

            if self.nested:
                leaves = zip(batch.leaves, batch.branches.tolist(), strict=True)
                row_of = np.array([row(i, branch) for i, branch in leaves], np.int64)
            else:
                of_branch = np.zeros(len(self.branches), np.int64)
                for branch in batch.present:
                    of_branch[branch] = row(0, branch)
                row_of = of_branch[batch.branches]
            found.append((list(places), row_of))
        return found

    def _number(self, slot: str, branch: int, leaf: int) -> Any:
        value = self.slots[slot][branch]
        return value[leaf] if isinstance(value, list) else value

    def after(self, works: Sequence[Work]) -> dict[str, Any]:
        """The count and the number slots after the step."""
        return {states.STEP: self._counted(), **{slot: self._new(slot, works) for slot in self.slots}}

    def _counted(self) -> Any:
        """One int while all leaves agree."""
        plan, counts = self.plan, self.counts
        if isinstance(counts, int):
            if plan.all_awake:
                return counts + 1
            if not plan.batches:
                return counts
            counts = [None if program is None else counts for program in plan.programs]
        active = {i for batch in plan.batches for i in batch.leaves}
        return trees.rebuild(plan.spec, [None if c is None else c + (i in active) for i, c in enumerate(counts)])

    def _new(self, slot: str, works: Sequence[Work]) -> Any:
        mine = [(work, work.batch.program.outputs[slot]) for work in works if slot in work.batch.program.numbers]
        shared = any(node.kind.rank > Rank.HOST for _, node in mine)  # a total's: the same for all leaves
        new = {}
        for branch, old in self.slots[slot].items():
            rows = [
                (row.t, work.value(k, node))
                for work, node in mine
                for k, row in enumerate(work.rows)
                if row.branch == branch
            ]
            if not rows:
                new[branch] = old
            elif shared:  # as the leaf has it that has stepped most often
                new[branch] = max(rows, key=lambda row: row[0])[1]
            elif self.plan.all_awake and not isinstance(old, list) and len(set(map(repr, rows))) == 1:
                new[branch] = rows[0][1]
            else:
                new[branch] = self._nested(slot, branch, old, mine)
        new = {b: trees.rebuild(self.plan.spec, v) if isinstance(v, list) else v for b, v in new.items()}
        return new[0] if len(self.branches) == 1 else {self.branches[b].pattern: value for b, value in new.items()}

    def _nested(self, slot: str, branch: int, old: Any, mine: list) -> Any:
        """Leaf by leaf; one number again only if it never was a nesting and all agree."""
        values: list = [None] * len(self.plan.leaves)
        having = []
        for i, (leaf, program) in enumerate(zip(self.plan.leaves, self.plan.programs, strict=True)):
            if leaf.branch == branch and program is not None and slot in program.numbers:
                having.append(i)
                values[i] = old[i] if isinstance(old, list) else old
        for work, node in mine:
            for place, k in zip(work.batch.leaves, work.row_of.tolist(), strict=True):
                if work.rows[k].branch == branch:
                    values[place] = work.value(k, node)
        first = values[having[0]]
        same = all(values[i] == first or first != first != values[i] for i in having)
        return first if same and not isinstance(old, list) else values
