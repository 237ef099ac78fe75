"""The step of an optimizer on real arrays: look at them, plan, drive, and put the results back."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from operator import is_
from typing import Any

import array_api_compat
import numpy as np

from . import backend as backends
from . import checks, inline, libraries, row_sparse
from . import params as trees
from . import state as states
from .chain import Chain
from .clock import Clock
from .complexes import from_pairs
from .drive import Work, drive
from .errors import HyperparameterError, names
from .groups import Branch, assign, in_group
from .handed import checked, split
from .look import Quick, Seen, bind, careful
from .plan import Batch, Leaf, Plan, build, describe, for_point

KEPT_PLANS = 16
KEPT_QUICK = 4  # one optimizer may step a few models in turn


class Stepper:
    """Steps for one optimizer; its plans and buffers are freed with it."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        self.branches = branches
        self.chains = [branch.chain for branch in branches]
        parts = [part for chain in self.chains if chain is not None for part in chain.parts]
        self.second = any(chain.second for chain in self.chains if chain is not None)
        self.leafwise = {s for part in parts for s, spec in part.page.slots.items() if spec.shape == "leaves"}
        self.declared = {s: spec for part in parts for s, spec in part.page.slots.items() if spec.shape == "given"}
        self.plans: OrderedDict[tuple, Plan] = OrderedDict()
        self.recent: tuple[Quick, ...] = ()
        self.stepped: Plan | None = None
        self.complete = False  # whether every number is known to have a value without overrides
        self.locks: dict[int, threading.Lock] = {}

    @property
    def lock(self) -> threading.Lock:
        """One lock for each process: a forked child must not wait for a thread that it has not got."""
        return self.locks.setdefault(os.getpid(), threading.Lock())

    def glance(self, params: Any, grads: Any, state: Any, donate: bool) -> Seen | None:
        """The arrays bound to a plan of before, if they are still as they were then; nothing is written."""
        for quick in self.recent:  # one tuple, replaced whole: another thread may be reading it
            if quick.same_as == (backends.chosen(), type(params)):
                seen = quick.look(params, grads, state, donate)
                if seen is not None:
                    if quick is not self.recent[0]:
                        self.recent = (quick, *(q for q in self.recent if q is not quick))
                    return seen
        return None

    def look(
        self, params: Any, leaves: list, spec: Any, grads: Any, state: Any, donate: bool, overrides: dict[str, Any]
    ) -> Seen:  # fmt: skip
        """Check everything and bind the arrays to a plan; nothing is written."""
        first, others = split(self, spec, leaves, grads, state, overrides)
        given = trees.match(spec, first, "grads")
        plan = self.plan(spec, leaves, given)
        second = checked(plan, leaves, given, others)
        seen = careful(plan, self.chains, leaves, given, second, state, donate)
        same_as = (backends.chosen(), type(params))
        if Quick.can(plan) and not any(q.plan is plan and q.same_as == same_as for q in self.recent):
            self.recent = (Quick(plan, *same_as), *self.recent[: KEPT_QUICK - 1])
        return seen

    def plan(
        self, spec: Any, leaves: list, grads: list | None, point: str = "", inline: bool = False
    ) -> Plan:  # fmt: skip
        """The plan for these leaves, made once for each structure, dtypes and shapes.

        Without grads nothing is compiled, or the programs of a point are.
        """
        paths = trees.paths(spec)
        given = [None] * len(leaves) if grads is None else grads
        checks.leaves(paths, leaves)
        checks.grads(paths, leaves, given)
        branch_of = assign(self.branches, paths)
        described = tuple(describe(*four) for four in zip(paths, leaves, given, branch_of, strict=True))
        return self.planned(spec, described, leaves, point, inline)

    def planned(
        self, spec: Any, described: tuple[Leaf, ...], leaves: list, point: str = "", inline: bool = False
    ) -> Plan:  # fmt: skip
        """The plan for leaves that are described already."""
        kind = libraries.of_leaves(leaves).kind
        key = (spec, described, backends.chosen(), tuple(map(kind, leaves)), point, inline)
        with self.lock:
            plan = self.plans.get(key)
            if plan is None:
                plan = build(spec, described, self.chains, leaves, inline)
                plan = self.plans[key] = for_point(plan, self.chains, leaves, inline, point) if point else plan
                if len(self.plans) > KEPT_PLANS:
                    self.plans.popitem(last=False)
            self.plans.move_to_end(key)
        return plan

    # -- numbers ---------------------------------------------------------
    def values(self, branch: int, overrides: Mapping[str, Any]) -> tuple[Chain, Mapping[str, Any]]:
        """The run-time numbers of a branch in this step, schedules as they are."""
        chain = self.chains[branch]
        assert chain is not None
        mine = {k: v for k, v in overrides.items() if k in chain.hypers} if overrides else {}
        return chain, {**chain.numbers, **mine} if mine else chain.numbers

    def numbers_at(
        self, overrides: Mapping[str, Any], known: bool = False
    ) -> Callable[[int], Callable[[str, float], float]]:
        """For each branch, what a hyperparameter is worth at a clock: a number, or what its schedule says there.

        `known`: it must be known now.
        """

        def of(branch: int) -> Callable[[str, float], float]:
            chain, values = self.values(branch, overrides)

            def number(name: str, clock: float) -> float:
                value = values[name]
                if not callable(value):
                    return value
                found = chain.scheduled(name, value, max(int(clock) - 1, 0), in_group(self.branches, branch))
                if known and libraries.deferred(found):
                    raise HyperparameterError(
                        f"the schedule of {name} gave a number that cannot be known now, in a step in which all others "
                        f"are: pass it as step(..., {name}=...)"
                    )
                return found

            return number

        made: dict[int, Callable] = {}
        return lambda branch: made.get(branch) or made.setdefault(branch, of(branch))

    def evaluated(self, params: Any, state: Any, point: str) -> Any:
        """The params at a point ("eval", "x", "snapshot") by the pages of each branch, run by the library itself."""
        leaves, spec = trees.flatten(params)
        if row_sparse.counted(state):
            return row_sparse.evaluated(self, leaves, spec, state, point)
        if libraries.of_leaves(leaves).defers(libraries.arrays(state), leaves):
            return inline.evaluated(self, leaves, spec, state, point)
        with libraries.context(leaves, ()):
            plan = self.plan(spec, leaves, None, point)
            slots = states.check_slots(state, plan, leaves, self.chains, plan.number_slots)
            return trees.rebuild(spec, self.evaluated_leaves(plan, leaves, slots, state, point))

    def evaluated_leaves(self, plan: Plan, leaves: list, slots: dict[str, list], state: Any, point: str) -> list:
        """The same of leaves whose plan and slots are known."""
        bounds = [bind(batch, leaves, leaves, slots, donate=False) for batch in plan.batches]
        rows = Clock(self.branches, plan, state).rows(done=point == "eval")
        works = self._works(plan, bounds, rows, slots, {})
        found = list(leaves)
        for work, outputs in zip(works, drive(plan, works, self.numbers_at({}, known=True)), strict=True):
            assert outputs is not None  # nothing is donated
            for i, value in zip(work.batch.leaves, self._single(work, outputs["p"], leaves, donate=False), strict=True):
                found[i] = value
        return found

    # -- the step ---------------------------------------------------------
    def run(self, params: Any, grads: Any, state: Any, donate: bool, overrides: dict[str, Any]) -> tuple[Any, dict]:
        """One step."""
        seen = None if any(map(libraries.deferred, overrides.values())) else self.glance(params, grads, state, donate)
        if seen is not None:
            with seen.plan.library.quiet():
                return self.finish(seen, params, state, donate, overrides)
        leaves, spec = trees.flatten(params)
        whole = self.second or not self.leafwise.isdisjoint(overrides)
        by_rows = None if whole else row_sparse.found(spec, leaves, grads, state)
        if by_rows is not None:
            return row_sparse.step(self, leaves, spec, by_rows, state, donate, overrides)
        library = libraries.of_leaves(leaves)
        if library.defers(libraries.arrays(grads, state, overrides), leaves):
            return inline.step(self, leaves, spec, grads, state, donate, overrides)
        stray = [name for name, value in overrides.items() if libraries.deferred(value)]
        if stray and leaves:
            raise HyperparameterError(
                f"{names(stray)} cannot be known now, in another library than that of the params: pass a plain number, "
                "or params of that library"
            )
        with library.quiet():
            seen = self.look(params, leaves, spec, grads, state, donate, overrides)
            return self.finish(seen, params, state, donate, overrides)

    def finish(self, seen: Seen, params: Any, state: Any, donate: bool, overrides: dict[str, Any]) -> tuple[Any, dict]:
        """The step of what has been looked at."""
        plan = seen.plan
        self._take_turns(plan)
        self.must_be_read(plan, overrides)
        givens = self.givens(overrides)
        clock = Clock(self.branches, plan, state)
        counted = clock.counted()
        works = self._works(plan, seen.bounds, clock.rows(), seen.slots, givens)
        number = self.numbers_at(overrides, known=True)
        stored = drive(plan, works, number)
        new_params, slots = self._result(seen, works, stored, params, state, donate)
        after = {states.STEP: counted, **clock.after(works)}
        return new_params, {key: after[key] if key in after else slots[key] for key in state}

    def _take_turns(self, plan: Plan) -> None:
        """Only the plan that stepped last keeps buffers: memory is bounded by one step's results."""
        before, self.stepped = self.stepped, plan
        if before is not None and before is not plan:
            for batch in before.batches:
                if hasattr(batch.compiled, "release"):
                    batch.compiled.release()

    @staticmethod
    def must_be_read(plan: Plan, overrides: Mapping[str, Any]) -> None:
        """An override that changes nothing is refused: some numbers are read by `init` alone."""
        unread = set(overrides) - plan.read if overrides and plan.batches else set()
        if unread:
            shown = ", ".join(f"{key}={overrides[key]!r:.80}" for key in sorted(unread))
            raise HyperparameterError(
                f"{names(sorted(unread))} cannot be overridden in a step: only init reads it, or nothing does under "
                f"these options; got {shown}. Build another optimizer with it."
            )

    def givens(self, overrides: dict[str, Any]) -> dict[str, float]:
        found = {}
        for name, spec in self.declared.items():
            value = overrides.get(name, spec.start)
            if value is None:
                raise HyperparameterError(f"this optimizer needs {name}: write step(params, grads, state, {name}=...)")
            try:
                if isinstance(value, str | bytes) or getattr(value, "shape", ()) != ():
                    raise TypeError
                found[name] = value if libraries.deferred(value) else float(value)
            except (TypeError, ValueError):
                raise HyperparameterError(
                    f"{name} is a number; got {value!r:.80}: write step(..., {name}=1.0)"
                ) from None
        return found

    def _works(self, plan: Plan, bounds: list, rows: list[tuple], slots: dict[str, list], givens: dict) -> list[Work]:
        return [
            Work(batch, bound, distinct, row_of, self._scalars(batch, slots), givens)
            for batch, bound, (distinct, row_of) in zip(plan.batches, bounds, rows, strict=True)
        ]

    def _scalars(self, batch: Batch, slots: dict[str, list]) -> dict[str, np.ndarray]:
        return {slot: np.array([float(slots[slot][i]) for i in batch.leaves]) for slot in batch.scalars}

    def _result(
        self, seen: Seen, works: list[Work], stored: list[dict[str, list] | None], params: Any, state: Any, donate: bool
    ) -> tuple[Any, dict]:  # fmt: skip
        plan = seen.plan
        if donate and not any(stored) and not any(work.batch.scalars for work in works):  # all of it is in place
            return params, {slot: state[slot] for slot in seen.slots}
        lists = {"p": seen.params, **seen.slots}
        fresh: dict[str, list] = {}

        def results(name: str) -> list:
            if name not in fresh:
                fresh[name] = self._left_alone(plan, lists[name], donate)
            return fresh[name]

        for work, outputs in zip(works, stored, strict=True):
            for name, values in (outputs or {}).items():
                values = self._single(work, values, lists[name], donate)
                if len(values) == len(plan.leaves):
                    fresh[name] = values
                else:
                    into = results(name)
                    for i, value in zip(work.batch.leaves, values, strict=True):
                        into[i] = value
            self._store_scalars(work, results, seen.slots, donate)

        if not donate:
            plan.library.keep(results("p"), lists["p"])

        def put_back(name: str, tree: Any) -> Any:
            new, old = results(name), lists[name]
            same = donate and (new is old or all(map(is_, new, old)))
            return tree if same else trees.rebuild(plan.spec, new)

        return put_back("p", params), {slot: put_back(slot, state[slot]) for slot in seen.slots}

    @staticmethod
    def _single(work: Work, values: list, old: list, donate: bool) -> list:
        """Pairs of reals as complex arrays again; others as they are."""
        if not work.batch.complex:
            return values
        xp = libraries.namespace(values[0])
        return [from_pairs(xp, v, old[i], donate) for v, i in zip(values, work.batch.leaves, strict=True)]

    @staticmethod
    def _left_alone(plan: Plan, values: list, donate: bool) -> list:
        """Leaves without a gradient keep their values, copied: a later donation must not reach the old state."""
        values = list(values)
        mine = [] if donate else [i for i in plan.asleep if values[i] is not None]
        xp: Any = libraries.namespace(values[mine[0]]) if mine else None
        for i in mine:
            values[i] = xp.asarray(values[i], copy=True)
        return values

    def _store_scalars(self, work: Work, results: Callable[[str], list], slots: dict[str, list], donate: bool) -> None:
        for slot in work.batch.program.slots:
            node = work.batch.program.outputs[slot]
            if node.is_array:
                continue
            values = np.broadcast_to(work.per_leaf(node), len(work.batch.leaves))
            for i, value in zip(work.batch.leaves, values, strict=True):
                old = slots[slot][i]
                library = libraries.of(old)
                xp = library.namespace(old)
                with np.errstate(all="ignore"):
                    new = xp.asarray(float(value), dtype=old.dtype, device=library.device(old))
                if donate and array_api_compat.is_writeable_array(old):
                    old[...] = new
                    new = old
                results(slot)[i] = new
