"""The step of an optimizer on real arrays: look at them, plan, drive, and put the results back."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from . import backend as backends
from . import checks
from . import params as trees
from . import state as states
from .backend import Choice
from .complexes import from_pairs, to_pairs
from .drive import Row, Work, drive
from .errors import HyperparameterError, names
from .evaluate import Evaluated, library
from .groups import Branch, assign
from .plan import Batch, Leaf, Plan, build, describe, one_batch

KEPT_PLANS = 16


class Seen(NamedTuple):
    """The arrays of one step, as lists over the flattened params."""

    plan: Plan
    params: list
    grads: list
    slots: dict[str, list]
    bounds: list  # one per batch


class Stepper:
    """Steps for one optimizer; its plans and buffers are freed with it."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.branches = branches
        self.chains = [branch.chain for branch in branches]
        self.plans: OrderedDict[tuple, Plan] = OrderedDict()
        self.last: tuple[str | None, type, Plan] | None = None
        self.locks: dict[int, threading.Lock] = {}

    @property
    def lock(self) -> threading.Lock:
        """One lock for each process: a forked child must not wait for a thread that it has not got."""
        return self.locks.setdefault(os.getpid(), threading.Lock())

    def number_slots(self, plan: Plan) -> tuple[str, ...]:
        """The slots that are one number in the state."""
        return tuple(dict.fromkeys(n for program in plan.programs if program is not None for n in program.numbers))

    # -- looking at the arrays ---------------------------------------------------------
    def look(self, params: Any, grads: Any, state: Any, donate: bool) -> Seen:
        """Check everything and bind the arrays to a plan; nothing is written."""
        return self._quick(params, grads, state, donate) or self._careful(params, grads, state, donate)

    def _quick(self, params: Any, grads: Any, state: Any, donate: bool) -> Seen | None:
        """The plan of the last step, when its backend sees by itself that all arrays are as they were then."""
        last = self.last  # read once: another thread may change it
        if last is None or last[:2] != (backends.chosen(), type(params)) or type(state) is not dict:
            return None
        plan = last[2]
        slots = plan.programs[0].slots  # type: ignore[union-attr]
        numbers = plan.programs[0].numbers  # type: ignore[union-attr]
        if (
            len(state) != 1 + len(slots) + len(numbers)
            or type(state.get(states.STEP)) is not int
            or state[states.STEP] < 0
        ):
            return None
        found = [trees.leaves_of(plan.spec, tree) for tree in (params, grads, *(state.get(slot) for slot in slots))]
        if any(leaves is None for leaves in found) or any(n not in state for n in numbers):
            return None
        arrays: dict[str, list] = dict(zip(("p", "grad", *slots), found, strict=True))  # type: ignore[arg-type]
        bound = plan.batches[0].compiled.quick(arrays, donate)  # type: ignore[attr-defined]
        if bound is None:
            return None
        return Seen(plan, arrays["p"], arrays["grad"], {slot: arrays[slot] for slot in slots}, [bound])

    def _careful(self, params: Any, grads: Any, state: Any, donate: bool) -> Seen:
        leaves, spec = trees.flatten(params)
        given = trees.match(spec, grads, "grads")
        plan = self.plan(spec, leaves, given)
        numbers = self.number_slots(plan)
        slots = states.check_slots(state, plan, leaves, self.chains, numbers)
        if donate:
            checks.donated(plan, leaves, slots, given)
        self.last = (backends.chosen(), type(params), plan) if plan.quick else None
        bounds = [self._bind(batch, leaves, given, slots, donate) for batch in plan.batches]
        return Seen(plan, leaves, given, slots, bounds)

    def plan(self, spec: Any, leaves: list, grads: list) -> Plan:
        """The plan for these leaves, made once for each structure, dtypes and shapes."""
        paths = trees.paths(spec)
        checks.leaves(paths, leaves)
        checks.grads(paths, leaves, grads)
        branch_of = assign(self.branches, paths)
        described = tuple(describe(*four) for four in zip(paths, leaves, grads, branch_of, strict=True))
        key = (spec, described, backends.chosen(), type(leaves[0]) if leaves else None)
        with self.lock:
            plan = self.plans.get(key)
            if plan is None:
                plan = self.plans[key] = build(spec, described, self.chains, leaves)
                if len(self.plans) > KEPT_PLANS:
                    self.plans.popitem(last=False)
            self.plans.move_to_end(key)
        return plan

    def _bind(self, batch: Batch, params: list, grads: list, slots: dict[str, list], donate: bool) -> Any:
        scalars = {str(n.attr) for n in batch.program.nodes if n.op == "state_scalar"}
        kept = [
            name
            for name in dict.fromkeys((*batch.program.arrays, *batch.program.slots))
            if name in slots and name not in scalars
        ]
        lists = {"p": params, "grad": grads, **{slot: slots[slot] for slot in kept}}
        arrays = {name: [values[i] for i in batch.leaves] for name, values in lists.items()}
        if batch.complex:
            xp = array_api_compat.array_namespace(arrays["p"][0])
            arrays = {name: [to_pairs(xp, x) for x in values] for name, values in arrays.items()}
        return batch.compiled.bind(arrays, donate and not batch.complex)

    # -- numbers ---------------------------------------------------------
    def numbers_at(self, overrides: Mapping[str, Any]) -> Callable[[int], Callable[[str, float], float]]:
        """For each branch, what a hyperparameter is worth at a clock: a number, or what its schedule says there."""

        def of(branch: int) -> Callable[[str, float], float]:
            chain = self.chains[branch]
            assert chain is not None
            values = {**chain.numbers, **{k: v for k, v in overrides.items() if k in chain.hypers}}

            def number(name: str, clock: float) -> float:
                value = values[name]
                return chain.check(name, value(max(int(clock) - 1, 0))) if callable(value) else value

            return number

        made: dict[int, Callable] = {}
        return lambda branch: made.get(branch) or made.setdefault(branch, of(branch))

    def rows(self, plan: Plan, state: Mapping[str, Any], done: bool = False) -> list[tuple[list[Row], np.ndarray]]:
        """For each batch the distinct rows, and the row of each leaf: of the next step, or (`done`) of the last one."""
        ahead = 0 if done else 1
        counts = states.counts(state, plan)
        done_of = counts if isinstance(counts, list) else [counts] * len(plan.leaves)
        named = {n: self._number_of(plan, state[n], n) for n in self.number_slots(plan)}
        nested = isinstance(counts, list) or any(isinstance(v, list) for by in named.values() for v in by.values())
        found = []
        for batch in plan.batches:
            places: dict[Row, int] = {}
            row_of = np.empty(len(batch.leaves), np.int64)

            def row(i: int, branch: int, batch: Batch = batch, places: dict[Row, int] = places) -> int:
                numbers = tuple(self._pick(named[n], branch, i) for n in batch.program.numbers)
                return places.setdefault(Row(branch, (done_of[i] or 0) + ahead, numbers), len(places))

            if nested:
                row_of[:] = [row(i, b) for i, b in zip(batch.leaves, batch.branches.tolist(), strict=True)]
            else:
                for branch in dict.fromkeys(batch.branches.tolist()):
                    row_of[batch.branches == branch] = row(0, branch)
            found.append((list(places), row_of))
        return found

    def _number_of(self, plan: Plan, value: Any, slot: str) -> dict[int, Any]:
        """A number slot by branch: a float, or one per leaf once counts differ."""
        if len(self.branches) == 1:
            by_branch = {0: value}
        else:
            having = [i for i, chain in enumerate(self.chains) if chain is not None and slot in chain.slot_names]
            wanted = {self.branches[i].pattern for i in having}
            if not isinstance(value, dict) or set(value) != wanted:
                raise states.StateError(
                    f"slot {slot!r} of the state is a dict by pattern with {names(sorted(wanted))}; got {value!r}"
                )
            by_branch = {i: value[self.branches[i].pattern] for i in having}
        return {
            branch: states.number(v, slot) if trees.is_leaf(v) else self._numbers_of(plan, v, slot, branch)
            for branch, v in by_branch.items()
        }

    @staticmethod
    def _numbers_of(plan: Plan, value: Any, slot: str, branch: int) -> list[float | None]:
        """A number slot leaf by leaf; None where a leaf has none."""
        found = trees.match(plan.spec, value, f"slot {slot!r} of the state")
        for i, (leaf, program) in enumerate(zip(plan.leaves, plan.programs, strict=True)):
            has = leaf.branch == branch and program is not None and slot in program.numbers
            if has or found[i] is not None:
                found[i] = states.number(found[i], slot, leaf.path)
        return found

    @staticmethod
    def _pick(by_branch: dict[int, Any], branch: int, leaf: int) -> float:
        value = by_branch[branch]
        return value[leaf] if isinstance(value, list) else value

    def evaluated(self, params: Any, state: Any) -> Any:
        """The params to evaluate at, by the eval page of each branch, evaluated by the library itself."""
        leaves, spec = trees.flatten(params)
        plan = self.plan(spec, leaves, leaves)
        slots = states.check_slots(state, plan, leaves, self.chains, self.number_slots(plan))
        found = list(leaves)
        number = self.numbers_at({})
        for batch, (rows, row_of) in zip(plan.batches, self.rows(plan, state, done=True), strict=True):
            for k, i in enumerate(batch.leaves):
                leaf, row = plan.leaves[i], rows[row_of[k]]
                chain = self.chains[leaf.branch]
                if chain is None or chain.evaluated_at is None:
                    continue
                program = chain.eval_program(leaf.real_shape)
                single = Leaf(leaf.path, leaf.shape, leaf.param, leaf.param, leaf.branch)
                choice = Choice(Evaluated(library(leaves[i])), "eval_params")
                alone = one_batch(program, choice, single, i)
                named = dict(zip(batch.program.numbers, row.numbers, strict=True))
                kept = Row(row.branch, row.t, tuple(named[n] for n in program.numbers))
                bound = self._bind(alone, leaves, leaves, slots, donate=False)
                work = Work(alone, bound, [kept], np.zeros(1, np.int64), self._scalars(alone, slots))
                found[i] = drive(Plan(spec, plan.leaves, (alone,), plan.programs), [work], number)[0]["p"][0]
                if leaf.complex:
                    found[i] = from_pairs(
                        array_api_compat.array_namespace(found[i]), found[i], leaves[i], in_place=False
                    )
        return trees.rebuild(spec, found)

    # -- the step ---------------------------------------------------------
    def run(self, params: Any, grads: Any, state: Any, donate: bool, overrides: dict[str, Any]) -> tuple[Any, dict]:
        """One step."""
        seen = self.look(params, grads, state, donate)
        plan = seen.plan
        givens = self._givens(plan, overrides)
        works = []
        for batch, bound, (rows, row_of) in zip(plan.batches, seen.bounds, self.rows(plan, state), strict=True):
            work = Work(batch, bound, rows, row_of, self._scalars(batch, seen.slots))
            work.give(givens)
            works.append(work)
        number = self.numbers_at(overrides)
        stored = drive(plan, works, number)
        return self._result(seen, works, stored, params, state, donate)

    def _givens(self, plan: Plan, overrides: dict[str, Any]) -> dict[str, float]:
        declared = {
            slot: spec
            for chain in self.chains
            if chain is not None
            for part in chain.parts
            for slot, spec in part.page.slots.items()
            if spec.shape == "given"
        }
        found = {}
        for name, spec in declared.items():
            value = overrides.get(name, spec.start)
            if value is None:
                raise HyperparameterError(f"this optimizer needs {name}: write step(params, grads, state, {name}=...)")
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                raise HyperparameterError(f"{name} is a number; got {value!r:.80}") from None
        return found

    def _scalars(self, batch: Batch, slots: dict[str, list]) -> dict[str, np.ndarray]:
        wanted = [str(n.attr) for n in batch.program.nodes if n.op == "state_scalar"]
        return {slot: np.array([float(slots[slot][i]) for i in batch.leaves]) for slot in wanted}

    def _result(
        self, seen: Seen, works: list[Work], stored: list[dict[str, list]], params: Any, state: Any, donate: bool
    ) -> tuple[Any, dict]:  # fmt: skip
        plan = seen.plan
        lists = {"p": seen.params, **seen.slots}
        fresh = {name: self._left_alone(plan, values, donate) for name, values in lists.items()}
        for work, outputs in zip(works, stored, strict=True):
            for name, values in outputs.items():
                old = lists[name]
                if work.batch.complex:
                    xp = array_api_compat.array_namespace(values[0])
                    values = [from_pairs(xp, v, old[i], donate) for v, i in zip(values, work.batch.leaves, strict=True)]
                if len(values) == len(old):
                    fresh[name] = values
                else:
                    for i, value in zip(work.batch.leaves, values, strict=True):
                        fresh[name][i] = value
            self._store_scalars(work, fresh, seen.slots, donate)
        new: dict[str, Any] = {states.STEP: self._counted(plan, state)}
        for slot in seen.slots:
            same = donate and all(a is b for a, b in zip(fresh[slot], lists[slot], strict=True))
            new[slot] = state[slot] if same else trees.rebuild(plan.spec, fresh[slot])
        for slot in self.number_slots(plan):
            new[slot] = self._new_number(plan, works, state, slot)
        same = donate and all(a is b for a, b in zip(fresh["p"], seen.params, strict=True))
        return params if same else trees.rebuild(plan.spec, fresh["p"]), new

    @staticmethod
    def _left_alone(plan: Plan, values: list, donate: bool) -> list:
        """Leaves without a gradient keep their values, copied: a later donation must not reach the old state."""
        if donate or (len(plan.batches) == 1 and len(plan.batches[0].leaves) == len(values)):
            return list(values)
        return [
            v
            if v is None or leaf.grad is not None or program is None
            else array_api_compat.array_namespace(v).asarray(v, copy=True)
            for v, leaf, program in zip(values, plan.leaves, plan.programs, strict=True)
        ]

    def _store_scalars(self, work: Work, fresh: dict[str, list], slots: dict[str, list], donate: bool) -> None:
        for slot in work.batch.program.slots:
            node = work.batch.program.outputs[slot]
            if node.is_array:
                continue
            values = np.broadcast_to(work.per_leaf(node), len(work.batch.leaves))
            for i, value in zip(work.batch.leaves, values, strict=True):
                old = slots[slot][i]
                xp = array_api_compat.array_namespace(old)
                with np.errstate(all="ignore"):
                    new = xp.asarray(float(value), dtype=old.dtype, device=array_api_compat.device(old))
                if donate and array_api_compat.is_writeable_array(old):
                    old[...] = new
                    new = old
                fresh[slot][i] = new

    def _counted(self, plan: Plan, state: Any) -> Any:
        """The counts after the step: one int while all leaves agree."""
        counts = states.counts(state, plan)
        active = {i for batch in plan.batches for i in batch.leaves}
        awake = [i for i, program in enumerate(plan.programs) if program is not None]
        if isinstance(counts, int):
            if len(active) == len(awake):
                return counts + 1
            if not active:
                return counts
            counts = [None if program is None else counts for program in plan.programs]
        return trees.rebuild(plan.spec, [None if c is None else c + (i in active) for i, c in enumerate(counts)])

    def _new_number(self, plan: Plan, works: list[Work], state: Any, slot: str) -> Any:
        """A number slot after the step: one number while all leaves of a branch agree, a nesting once they do not."""
        old = self._number_of(plan, state[slot], slot)
        values: dict[int, list] = {branch: [None] * len(plan.leaves) for branch in old}
        newest: dict[int, tuple[int, float]] = {}
        total = False
        for work in works:
            if slot not in work.batch.program.numbers:
                continue
            node = work.batch.program.outputs[slot]
            total = total or node.kind.rank > 0
            for place, row in zip(work.batch.leaves, work.row_of.tolist(), strict=True):
                branch, t, _ = work.rows[row]
                value = values[branch][place] = work.value(row, node)
                newest[branch] = max(newest.get(branch, (0, value)), (t, value), key=lambda pair: pair[0])
        found = {
            branch: self._joined(plan, branch, slot, values[branch], old[branch], newest.get(branch), total)
            for branch in old
        }
        return found[0] if len(self.branches) == 1 else {self.branches[b].pattern: v for b, v in found.items()}

    @staticmethod
    def _joined(plan: Plan, branch: int, slot: str, values: list, old: Any, newest: Any, total: bool) -> Any:
        if newest is None:
            return old if not isinstance(old, list) else trees.rebuild(plan.spec, old)
        if total:  # shared by all leaves: as the leaf has it that has stepped most often
            return newest[1]
        mine = [i for i, p in enumerate(plan.programs) if plan.leaves[i].branch == branch and p and slot in p.numbers]
        for i in mine:
            if values[i] is None:
                values[i] = old[i] if isinstance(old, list) else old
        first = values[mine[0]]
        if not isinstance(old, list) and all(values[i] == first or first != first != values[i] for i in mine):
            return first
        return trees.rebuild(plan.spec, values)
