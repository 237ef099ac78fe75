"""Counts and number slots of an inline step: read from the state as rows, and written back after it.

Each may be known, an int or a float, or a 0-d array of the library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from . import libraries
from . import params as trees
from . import state as states
from .errors import StateError, where
from .groups import Branch
from .plan import Batch, Plan
from .trace.graph import Node, Program

Number = Any  # a float or a bool; or a 0-d array of the library, float64 or bool
Values = dict[int, Number]


class Done(Protocol):
    """One batch whose numbers are computed."""

    batch: Batch

    def value(self, k: int, node: Node) -> Number:
        """A number of one leaf."""


class Row:
    """What leaves share that have the same count and number slots: their numbers, by the index of the node."""

    def __init__(self, branch: int, count: Any, slots: dict[str, Any]) -> None:
        self.branch = branch
        self.count = count
        self.slots = slots
        self.values: Values = {}


class Clocks:
    """Counts and number slots of a state, each of which may be known or not."""

    def __init__(self, plan: Plan, state: Mapping[str, Any], branches: Sequence[Branch]) -> None:
        self.plan = plan
        self.branches = branches
        self.patterns = [branch.pattern for branch in branches]
        self.counts = self._by_leaf(state[states.STEP], "'step' of the state")
        self._all_there("'step' of the state", self.counts, lambda program: True)
        self.shared = trees.is_leaf(state[states.STEP]) and not isinstance(state[states.STEP], dict)
        self.slots = {slot: self._slot(slot, state[slot]) for slot in plan.number_slots}
        self.as_given = {slot: state[slot] for slot in plan.number_slots if len(branches) > 1}
        self.next: dict[Any, Any] = {}  # the count of this step, by the count before it

    def _by_leaf(self, value: Any, what: str) -> list:
        if trees.is_leaf(value):
            if getattr(value, "shape", ()) != () or isinstance(value, bool | str) or value is None:
                raise StateError(f"{what} is a number, or a nesting of numbers like the params; got {value!r:.80}")
            return [_taken_back(value)] * len(self.plan.leaves)
        return [x if x is None else _taken_back(x) for x in trees.match(self.plan.spec, value, what)]

    def _slot(self, slot: str, value: Any) -> list:
        what = f"slot {slot!r} of the state"
        by_branch = states.by_branch(self.branches, slot, value)
        lists = {branch: self._by_leaf(v, what) for branch, v in by_branch.items()}
        found = [lists[leaf.branch][i] if leaf.branch in lists else None for i, leaf in enumerate(self.plan.leaves)]
        self._all_there(what, found, lambda program: slot in program.numbers)
        return found

    def _all_there(self, what: str, found: list, wanted: Callable[[Program], bool]) -> None:
        for leaf, program, value in zip(self.plan.leaves, self.plan.programs, found, strict=True):
            if value is None and program is not None and wanted(program):
                raise StateError(f"{what} is a number at {where(leaf.path)}; got None. {states.AGAIN}")

    def rows(self, batch: Batch, ahead: int) -> list[Row]:
        """The row of each leaf; leaves with the same objects share one."""
        made: dict[tuple, Row] = {}
        rows = []
        for i, branch in zip(batch.leaves, batch.branches.tolist(), strict=True):
            slots = {slot: self.slots[slot][i] for slot in batch.program.numbers}
            count = self.counts[i]
            key = (branch, _identity(count), *map(_identity, slots.values()))
            if key not in made:
                made[key] = Row(branch, count if not ahead else self._next(count), slots)
            rows.append(made[key])
        return rows

    def _next(self, count: Any) -> Any:
        return self.next.setdefault(_identity(count), count + 1)

    def after(self, works: Sequence[Done], xp: Any) -> dict[str, Any]:
        """The count and the number slots after the step."""
        plan, counts = self.plan, self.counts
        if self.shared and plan.all_awake:
            new = {states.STEP: _one_more(xp, counts[0]) if counts else 1}
        else:
            moved = [_one_more(xp, c) if awake else c for c, awake in zip(counts, plan.awake.tolist(), strict=True)]
            new = {
                states.STEP: trees.rebuild(plan.spec, [None if i in plan.frozen else c for i, c in enumerate(moved)])
            }
        for slot, before in self.slots.items():
            values = list(before)
            cast: dict[tuple, Any] = {}
            for work in works:
                if slot in work.batch.program.numbers:
                    node = work.batch.program.outputs[slot]
                    for k, i in enumerate(work.batch.leaves):
                        found = work.value(k, node)
                        key = id(found), _identity(before[i])
                        if key not in cast:
                            cast[key] = as_before(plan.library, xp, found, before[i])
                        values[i] = cast[key]
            if any(slot in work.batch.program.shared for work in works):
                self._share(slot, values, xp)
            new[slot] = self._nested(slot, values)
        return new

    def _share(self, slot: str, values: list, xp: Any) -> None:
        """All leaves of a branch get the number that the one has which has stepped most often."""
        for branch in range(len(self.patterns)):
            having = self.plan.having(slot, branch).tolist()
            awake = [i for i in having if self.plan.awake[i]]
            if not awake:
                continue
            most, number = self.counts[awake[0]], values[awake[0]]
            for i in awake[1:]:
                if _identity(values[i]) == _identity(number) and _identity(self.counts[i]) == _identity(most):
                    continue
                ahead = self.counts[i] > most
                if hasattr(ahead, "dtype"):
                    most = xp.where(ahead, self.counts[i], most)
                    number = xp.where(ahead, values[i], number)
                elif ahead:
                    most, number = self.counts[i], values[i]
            for i in having:
                values[i] = number

    def _nested(self, slot: str, values: list) -> Any:
        """One number for each branch where its leaves agree, else a nesting."""
        shown = {}
        for branch, pattern in enumerate(self.patterns):
            mine = {i: values[i] for i in self.plan.having(slot, branch).tolist()}
            if mine:
                one = len({_identity(value) for value in mine.values()}) == 1
                nesting = [mine.get(i) for i in range(len(values))]
                shown[pattern] = next(iter(mine.values())) if one else trees.rebuild(self.plan.spec, nesting)
            elif pattern in self.as_given.get(slot, ()):  # a group without leaves
                shown[pattern] = self.as_given[slot][pattern]
        return shown if len(self.patterns) > 1 else next(iter(shown.values()))


def _identity(value: Any) -> Any:
    return value if isinstance(value, int | float) else id(value)


def _taken_back(value: Any) -> Any:
    """NumPy's numbers are known."""
    return value.item() if isinstance(value, np.ndarray | np.generic) else value


def _one_more(xp: Any, count: Any) -> Any:
    return count + (xp.ones_like(count) if hasattr(count, "dtype") else 1)


def as_before(library: libraries.Library, xp: Any, value: Number, old: Any) -> Any:
    """A number in the dtype that its slot has, so that loops can carry it."""
    if not hasattr(old, "dtype"):
        return xp.astype(value, getattr(xp, library.real)) if hasattr(value, "dtype") else value
    new = xp.astype(value, old.dtype) if hasattr(value, "dtype") else xp.asarray(value, dtype=old.dtype)
    return library.alike(new, old)
