"""Leaves cut into pieces, rows that have the same numbers; and what a step makes of the pieces, put back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import optree

from . import libraries
from . import params as trees
from . import state as states
from .clock import Clock, grouped
from .dtypes import name
from .errors import StateError, where
from .evaluate import library as package
from .look import Seen
from .plan import Plan
from .trace.graph import Program

if TYPE_CHECKING:
    from .step import Stepper

ROW_STEP = "row_step"


class Piece(NamedTuple):
    """Rows of one leaf that are stepped as one leaf, since their numbers are the same."""

    leaf: int
    rows: np.ndarray | None  # None: all of them, as they are
    chosen: np.ndarray  # which of the rows that are stepped
    done: int | None  # completed steps
    numbers: Mapping[str, float | None]


NO_ROWS = np.empty(0, np.int64)


def counted(state: Any) -> bool:
    """Whether some leaf of this state was stepped by rows."""
    return isinstance(state, dict) and ROW_STEP in state


class Table:
    """The leaves of a step and their state, which may be of rows: checked, and by leaf."""

    def __init__(self, stepper: Stepper, plan: Plan, leaves: Sequence[Any], state: Any) -> None:
        self.stepper = stepper
        self.plan = plan
        self.leaves = leaves
        self.state = state
        self.library = libraries.of_leaves(leaves)
        self.counts: list = [None] * len(leaves)  # of rows, where a leaf has them
        self.numbers: dict[str, list] = {}  # number slots of rows, where a leaf has them
        self.read: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # rows of this step, and their counts
        self.plain = state
        if counted(state):
            self.counts = trees.match(plan.spec, state[ROW_STEP], f"slot {ROW_STEP!r} of the state")
            for i, value in enumerate(self.counts):
                self._check(ROW_STEP, i, value, "int32")
            self.plain = {key: self._without_rows(key, value) for key, value in state.items() if key != ROW_STEP}
        self.slots = states.check_slots(self.plain, plan, leaves, stepper.chains, plan.number_slots)

    @cached_property
    def clock(self) -> Clock:
        """Counts and number slots of whole leaves; nan where a slot is one of rows."""
        return Clock(self.stepper.branches, self.plan, self.plain)

    @cached_property
    def shared(self) -> frozenset[str]:
        """Number slots that are the same for all leaves, and so for all rows."""
        return frozenset().union(*(program.shared for program in self.plan.programs if program is not None))

    def _check(self, slot: str, i: int, value: Any, dtype: str) -> None:
        """What a state has of the rows of a leaf."""
        leaf, array = self.plan.leaves[i], self.leaves[i]
        if value is None:
            return
        shape, library = leaf.shape[:1], package(array)
        if self.plan.programs[i] is None or not shape:
            raise StateError(
                f"slot {slot!r} of {where(leaf.path)} must be None, since the leaf is frozen or has no rows; "
                f"got {type(value).__name__}. {states.AGAIN}"
            )
        if not hasattr(value, "dtype") or package(value) != library or tuple(value.shape) != shape:
            got = f"{type(value).__name__} of shape {tuple(getattr(value, 'shape', ()))}"
            raise StateError(
                f"slot {slot!r} of {where(leaf.path)} has one number for each row, an array of {library} of shape "
                f"{shape}; got {got}. The state is of other params: make one with init."
            )
        if dtype not in name(value):
            raise StateError(f"slot {slot!r} of {where(leaf.path)} must be {dtype}; got {name(value)}. {states.AGAIN}")

    def _without_rows(self, slot: str, value: Any) -> Any:
        """A number slot, nan where it has a number for each row; those are kept apart."""
        if slot not in self.plan.number_slots:
            return value
        found = self.numbers[slot] = [None] * len(self.leaves)
        trees_ = self._by_branch(value)
        for branch, tree in trees_.items():
            numbers = trees.leaves_of(self.plan.spec, tree)
            for i, x in enumerate(numbers or ()):
                if getattr(x, "shape", ()) and self.counts[i] is not None:
                    self._check(slot, i, x, "float")
                    found[i], numbers[i] = x, math.nan  # type: ignore[index]
                    trees_[branch] = trees.rebuild(self.plan.spec, numbers)  # type: ignore[arg-type]
        return self._joined(trees_) if any(x is not None for x in found) else value

    def _by_branch(self, value: Any) -> dict[int, Any]:
        """A number slot as the state has it, by branch."""
        if len(self.stepper.branches) == 1:
            return {0: value}
        patterns = {branch.pattern: k for k, branch in enumerate(self.stepper.branches)}
        return {patterns[p]: v for p, v in value.items() if p in patterns} if isinstance(value, dict) else {}

    def _joined(self, by_branch: dict[int, Any]) -> Any:
        if len(self.stepper.branches) == 1:
            return by_branch[0]
        return {self.stepper.branches[k].pattern: value for k, value in by_branch.items()}

    # -- pieces ---------------------------------------------------------
    def whole(self, i: int) -> Piece:
        """A leaf that is not stepped by rows."""
        program, counts = self.plan.programs[i], self.clock.counts
        if program is None:
            return Piece(i, None, NO_ROWS, None, {})
        count = counts if isinstance(counts, int) else int(counts[i])
        return Piece(i, None, NO_ROWS, count, {slot: self._number(slot, i) for slot in program.numbers})

    def _number(self, slot: str, i: int) -> float:
        found = self.clock.slots[slot][self.plan.leaves[i].branch]
        return found if isinstance(found, float) else float(found[i])

    def pieces(self, i: int, rows: np.ndarray, hypers: Mapping[str, Any] | None) -> list[Piece]:
        """Some rows of a leaf, cut where their numbers differ. Without `hypers` their counts do anyway."""
        program, have = self.plan.programs[i], self.counts[i]
        assert program is not None
        whole = self.whole(i)
        counts = np.full(len(rows), whole.done) if have is None else self._values(have, rows).astype(np.int64)
        if len(rows) and counts.min() < 0:
            at = f"slot {ROW_STEP!r} of {where(self.plan.leaves[i].path)}"
            raise StateError(f"{at} counts completed steps, so it is at least 0; got {counts.min()}. {states.AGAIN}")
        self.read[i] = rows, counts
        kept = {s: self.numbers[s][i] for s in program.numbers if s in self.numbers}
        columns = {slot: self._values(x, rows).astype(float) for slot, x in kept.items() if x is not None}
        timed = [counts] if hypers is None or _reads_time(program, hypers) else []
        first, group = grouped([np.zeros(len(rows)), *timed, *columns.values()])
        order = np.argsort(group, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(group, minlength=len(first)))[:-1])
        return [
            Piece(
                i, rows[part], part, int(counts[part].max()), {**whole.numbers, **{s: c[k] for s, c in columns.items()}}
            )
            for k, part in zip(first, parts, strict=True)
        ]

    def all_rows(self, i: int, hypers: Mapping[str, Any] | None) -> list[Piece]:
        """The same of all rows; where nothing differs, the leaf as it is."""
        pieces = self.pieces(i, np.arange(len(self.leaves[i])), hypers)
        return [pieces[0]._replace(rows=None)] if len(pieces) == 1 else pieces

    def _values(self, array: Any, rows: np.ndarray) -> np.ndarray:
        return self.library.host(self.library.take_rows(array, rows))[: len(rows)]

    def gathered(self, pieces: Sequence[Piece], grads: Sequence[Any] | None) -> tuple[Seen, dict[str, Any]]:
        """The pieces as params in a list of their own, without bounds, and their state."""
        plan, size = self.plan, len(pieces)
        given = [None] * size if grads is None else list(grads)

        def taken(values: Sequence[Any]) -> list:
            found = [values[piece.leaf] for piece in pieces]
            return [
                x if x is None or piece.rows is None else self.library.take_rows(x, piece.rows)
                for x, piece in zip(found, pieces, strict=True)
            ]

        params = taken(self.leaves)
        described = tuple(
            replace(leaf, shape=tuple(p.shape), grad=None if g is None else name(g), table=leaf.shape)
            for leaf, p, g in zip((plan.leaves[piece.leaf] for piece in pieces), params, given, strict=True)
        )
        spec = optree.tree_structure([0] * size, namespace=trees.NAMESPACE)  # type: ignore[arg-type]
        virtual = self.stepper.planned(spec, described, params, "eval" if grads is None else "")
        slots = {slot: taken(values) for slot, values in self.slots.items()}
        state: dict[str, Any] = {states.STEP: [piece.done for piece in pieces], **slots}
        for slot in virtual.number_slots:
            if slot in self.shared:
                state[slot] = self.plain[slot]
                continue
            branches = self.clock.slots[slot]
            state[slot] = self._joined(
                {
                    b: [piece.numbers.get(slot) if plan.leaves[piece.leaf].branch == b else None for piece in pieces]
                    for b in branches
                }
            )
        return Seen(virtual, params, given, slots, []), state

    # -- and back ---------------------------------------------------------
    def put_back(self, pieces: Sequence[Piece], old: Sequence[Any], new: Sequence[Any], donate: bool) -> list:
        """Arrays of the leaves, with what has become of the pieces."""
        found, ours = list(old), set()
        for piece, value in zip(pieces, new, strict=True):
            i = piece.leaf
            if piece.rows is None:
                found[i] = value
            elif value is not None:
                found[i] = self.library.put_rows(found[i], piece.rows, value, donate or i in ours)
                ours.add(i)
        return found

    def scattered(
        self, pieces: Sequence[Piece], params: Sequence[Any], state: Mapping[str, Any], donate: bool
    ) -> tuple[Any, dict[str, Any]]:  # fmt: skip
        """Params and state after the step of the pieces."""
        spec = self.plan.spec
        found = self.put_back(pieces, self.leaves, params, donate)
        if not donate:
            self.library.keep(found, self.leaves)
        new = {slot: self.put_back(pieces, old, state[slot], donate) for slot, old in self.slots.items()}
        after: dict[str, Any] = {slot: trees.rebuild(spec, values) for slot, values in new.items()}
        after[states.STEP] = state[states.STEP]
        for slot in self.clock.slots:
            shared = slot in self.shared
            after[slot] = state[slot] if shared else self._numbers_after(slot, pieces, state[slot], donate)
        result = {key: after[key] for key in self.plain}
        if counted(self.state) or self.read:
            result[ROW_STEP] = trees.rebuild(spec, self._counts_after(donate))
        return trees.rebuild(spec, found), result

    def _counts_after(self, donate: bool) -> list:
        new = [self._kept(x, donate) if i not in self.read else x for i, x in enumerate(self.counts)]
        for i, (rows, counts) in self.read.items():
            new[i] = self._row_numbers(i, new[i], self.whole(i).done, "int32", rows, counts + 1, donate)
        return new

    def _kept(self, array: Any, donate: bool) -> Any:
        """What a step leaves alone, copied: a later donation must not reach the old state."""
        return array if donate or array is None else libraries.namespace(array).asarray(array, copy=True)

    def _row_numbers(
        self, i: int, old: Any, start: Any, dtype: str, rows: np.ndarray, values: np.ndarray, donate: bool
    ) -> Any:  # fmt: skip
        """Numbers of rows with some of them changed; they start as the leaf's number."""
        like = self.leaves[i]
        xp = libraries.namespace(like)
        if old is None:
            old = xp.full(like.shape[:1], start, dtype=getattr(xp, dtype), device=self.library.device(like))
            donate = True
        values = values.astype(name(old))
        return self.library.put_rows(old, rows, self.library.rows_from(values, like), donate)

    def _numbers_after(self, slot: str, pieces: Sequence[Piece], state: Any, donate: bool) -> Any:
        return self._joined(
            {
                branch: self._branch_after(slot, branch, old, pieces, value, donate)
                for (branch, old), value in zip(
                    self.clock.slots[slot].items(), self._by_branch(state).values(), strict=True
                )
            }
        )

    def _branch_after(
        self, slot: str, branch: int, old: float | np.ndarray, pieces: Sequence[Piece], state: Any, donate: bool
    ) -> Any:  # fmt: skip
        """One number while all leaves agree, and all rows of each; else a nesting, of arrays where rows differ."""
        values = state if isinstance(state, list) else [state] * len(pieces)
        apart = self.numbers.get(slot) or [None] * len(self.leaves)
        new: list[Any] = [None] * len(self.leaves)
        having = self.plan.having(slot, branch).tolist()
        for i in having:
            mine = [(piece, value) for piece, value in zip(pieces, values, strict=True) if piece.leaf == i]
            if i not in self.read:
                new[i] = self._kept(apart[i], donate) if apart[i] is not None else mine[0][1]
            elif apart[i] is None and all(value == self._number(slot, i) for _, value in mine):
                new[i] = self._number(slot, i)
            else:
                rows = self.read[i][0]
                changed = np.empty(len(rows))
                for piece, value in mine:
                    changed[piece.chosen] = value
                start = None if apart[i] is not None else self._number(slot, i)
                new[i] = self._row_numbers(i, apart[i], start, "float64", rows, changed, donate)
        first = new[having[0]]
        if isinstance(old, float) and all(
            isinstance(x, float) and (x == first or x != x != first) for x in map(new.__getitem__, having)
        ):
            return first
        return trees.rebuild(self.plan.spec, new)


def _reads_time(program: Program, hypers: Mapping[str, Any]) -> bool:
    """Whether the count decides anything: a page reads it, or a schedule does."""
    scheduled = any(n.op == "number" and callable(hypers[str(n.attr)]) for n in program.nodes)
    read = any(a.op == "t" for n in program.nodes if n.op != "number" for a in n.args)
    return scheduled or read or any(n.op == "t" for n in program.outputs.values())
