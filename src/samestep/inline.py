"""The same step where numbers cannot be had: inside somebody's trace, under autograd, or on lazy arrays.

A count, a hyperparameter or a sum may then be a 0-d array of the library. What is known is computed in Python floats,
as ever; from the first number that is not, the rest of its way is float64 operations of the library. Nothing is
branched on, nothing is fetched, and every leaf is evaluated by its own library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, libraries
from . import params as trees
from . import state as states
from .complexes import from_pairs
from .errors import DonationError
from .evaluate import BoundEvaluated
from .handed import checked, split
from .inline_clock import Clocks, Number, Row, Values, as_before
from .libraries import Parts
from .look import bind
from .plan import Batch, Plan
from .trace.graph import Node, Rank
from .trace.python import HOST, load

if TYPE_CHECKING:
    from .step import Stepper


class Work:
    """One batch in one step."""

    def __init__(
        self, batch: Batch, bound: BoundEvaluated, parts: Parts, rows: list[Row], givens: Mapping[str, Any]
    ) -> None:  # fmt: skip
        self.batch = batch
        self.bound = bound
        self.parts = parts
        self.rows = rows  # of each leaf
        statics = {index: column.tolist() for index, column in batch.statics.items()}
        self.leaves: list[Values] = [{i: column[k] for i, column in statics.items()} for k in range(len(rows))]
        self.distinct = list({id(row): row for row in rows}.values())
        self.givens = givens

    def value(self, k: int, node: Node) -> Number:
        """A number of one leaf."""
        if node.op == "const":
            return node.attr
        return (self.leaves[k] if node.kind.rank is Rank.LEAF else self.rows[k].values)[node.index]


class Inline:
    """One step of a plan whose batches are all evaluated."""

    def __init__(self, stepper: Stepper, plan: Plan, xp: Any, overrides: Mapping[str, Any]) -> None:
        self.stepper = stepper
        self.plan = plan
        self.xp = xp
        self.overrides = overrides
        self.number = stepper.numbers_at(overrides)
        self.made: dict[tuple, tuple[Number, Any]] = {}  # what is made of what: the same number is the same array

    # -- numbers ---------------------------------------------------------
    def known(self, value: Any) -> Number:
        """A number as the nodes have it: a float, or float64."""
        if isinstance(value, bool | float):
            return value
        if isinstance(value, int | np.ndarray | np.generic):
            return float(value)
        return self._once(("known",), self._float64, value)

    def _float64(self, value: Any) -> Number:
        if not hasattr(value, "dtype"):  # a number that is traced
            return self.xp.asarray(value, dtype=self.xp.float64)
        return value if value.dtype in (self.xp.float64, self.xp.bool) else self.xp.astype(value, self.xp.float64)

    def _once(self, what: tuple, function: Callable, *arguments: Any) -> Number:
        """What a function makes of these, made once for the whole step: batches share it, and slots stay one number."""
        key = (*what, *(repr(a) if isinstance(a, bool | float) else id(a) for a in arguments))
        if key not in self.made:
            self.made[key] = function(*arguments), arguments  # which stay alive, and their ids theirs
        return self.made[key][0]

    def compute(self, node: Node, arguments: Sequence[Number]) -> Number:
        """One operation on numbers."""
        if not any(hasattr(a, "dtype") for a in arguments):
            return _spelled(HOST[node.op], len(arguments), node.attr)(None, *arguments)

        def computed(*arguments: Number) -> Number:
            arrays = [a if hasattr(a, "dtype") else _zero_d(self.xp, a, arguments) for a in arguments]
            return _spelled(self.plan.library.numbers[node.op], len(arguments), node.attr)(self.xp, *arrays)

        return self._once((node.op, node.attr), computed, *arguments)

    def hyperparameter(self, name: str, clock: Number, branch: int) -> Number:
        """What is given, or what its schedule says at the clock; of a clock that is not known no domain is checked."""
        value = self.stepper.values(branch, self.overrides)[1][name]
        if not callable(value) or hasattr(value, "dtype"):
            return self.known(value)
        if not hasattr(clock, "dtype"):
            return self.known(self.number(branch)(name, clock))

        def scheduled(clock: Number) -> Number:
            xp = self.xp
            done = xp.where(clock < 1, xp.zeros_like(clock), clock - 1)
            try:
                return self.known(value(xp.astype(done, xp.int32)))
            except Exception as error:
                error.add_note(
                    f"in the schedule of {name}, whose count is not known yet: write it with operations of arrays "
                    "(where instead of if), or take one of samestep.schedules"
                )
                raise

        return self._once(("schedule", name, branch), scheduled, clock)

    def _sources(self, work: Work) -> None:
        for row in work.distinct:
            for node in work.batch.program.nodes:
                if node.op == "t":
                    row.values[node.index] = self.known(row.count)
                elif node.op == "state_number":
                    row.values[node.index] = self.known(row.slots[str(node.attr)])
                elif node.op == "given":
                    row.values[node.index] = self.known(work.givens[str(node.attr)])

    def _numbers(self, work: Work, level: int) -> None:
        numbers = work.batch.numbers[level][0]
        for row in work.distinct:
            for node in numbers.hosts:
                found = [a.attr if a.op == "const" else row.values[a.index] for a in node.args]
                if node.op == "number":
                    row.values[node.index] = self.hyperparameter(str(node.attr), found[0], row.branch)
                else:
                    row.values[node.index] = self.compute(node, found)
        for k in range(len(work.rows)):
            for node in numbers.leaves:
                work.leaves[k][node.index] = self.compute(node, [work.value(k, a) for a in node.args])

    def _totals(self, works: Sequence[Work], level: int) -> None:
        """Sums over all leaves, in leaf order."""
        terms: dict[tuple, dict[int, Number]] = {}
        for work in works:
            for node in work.batch.numbers[level][0].totals:
                for k, leaf in enumerate(work.batch.leaves):
                    terms.setdefault(_scope(work, node, k), {})[leaf] = self.known(work.value(k, node.args[0]))
        sums = {}
        for key, by_leaf in terms.items():
            total: Number = 0.0
            for leaf in sorted(by_leaf):
                total = total + by_leaf[leaf]
            sums[key] = total
        for work in works:
            for node in work.batch.numbers[level][0].totals:
                for k, row in enumerate(work.rows):
                    row.values[node.index] = sums[_scope(work, node, k)]

    # -- arrays ---------------------------------------------------------
    def arrays(self, works: Sequence[Work]) -> list[dict[str, list]]:
        """The new arrays of each batch by output name."""
        for work in works:
            self._sources(work)
        for level in range(self.plan.depth + 1):
            running = [work for work in works if level <= work.batch.depth]
            for work in running if level else ():
                stage, size = work.bound.compiled.stages[level - 1], len(work.rows)
                found = [work.bound.advance(level - 1, k, self._read(work, stage, k)) for k in range(size)]
                for k, sums in enumerate(work.parts.join([n.op for n in stage.sums], found)):
                    work.leaves[k] |= {n.index: self.known(x) for n, x in zip(stage.sums, sums, strict=True)}
            if level:
                self._totals(running, level)
            for work in running:
                self._numbers(work, level)
        stored = []
        for work in works:
            stage = work.bound.compiled.stages[work.batch.depth]
            found = [work.bound.finish(work.batch.depth, k, self._read(work, stage, k)) for k in range(len(work.rows))]
            stored.append({name: [results[name] for results in found] for name, _ in stage.stores})
        return stored

    @staticmethod
    def _read(work: Work, stage: Any, k: int) -> Values:
        return {node.index: work.value(k, node) for node in (*stage.hosts, *stage.leaves)}


def _scope(work: Work, node: Node, k: int) -> tuple:
    scope = work.batch.program.totals[node]
    return scope if scope[0] == ("all",) else (*scope, work.rows[k].branch)


def _zero_d(xp: Any, value: Number, others: Iterable[Any]) -> Any:
    like = next(a for a in others if hasattr(a, "dtype"))
    dtype = xp.bool if isinstance(value, bool) else xp.float64
    return xp.asarray(value, dtype=dtype, device=getattr(like, "device", None))


@lru_cache(maxsize=1024)
def _spelled(spelling: str, arity: int, attr: Any) -> Callable:
    names = [f"a{i}" for i in range(arity)]
    return load(f"def f({', '.join(['xp', *names])}):\n    return {spelling.format(*names, attr=attr)}\n", "f")


def step(
    stepper: Stepper, leaves: list, spec: Any, grads: Any, state: Any, donate: bool, overrides: dict[str, Any]
) -> tuple[Any, dict]:  # fmt: skip
    """One step; what is donated is written where arrays can be."""
    with libraries.context(leaves, libraries.arrays(grads, state, overrides)) as recorded:
        if donate and recorded:
            library, parts = libraries.of_leaves(leaves), {"grads": grads, "state": state, **overrides}
            found = [name for name, x in parts.items() if library.records(libraries.arrays(x))] or ["params"]
            raise DonationError(
                f"a step with a history in {', '.join(found)} is recorded for derivatives, which need the old values "
                "later: call .detach() on it, or write donate=False"
            )
        first, others = split(stepper, spec, leaves, grads, state, overrides)
        given = trees.match(spec, first, "grads")
        plan = stepper.plan(spec, leaves, given, inline=True)
        second = checked(plan, leaves, given, others)
        slots = states.check_slots(state, plan, leaves, stepper.chains, plan.number_slots)
        checks.taken(plan, leaves, (given, *second.values()), slots)
        stepper.must_be_read(plan, overrides)
        givens = stepper.givens(overrides)
        run, works, clocks = _prepared(stepper, plan, leaves, given, slots | second, state, overrides, givens)
        new = {"p": list(leaves), **{slot: list(values) for slot, values in slots.items()}}
        for work, stored in zip(works, run.arrays(works), strict=True):
            for name, values in stored.items():
                for i, value in zip(work.batch.leaves, _results(run.xp, work, values, new[name]), strict=True):
                    new[name][i] = plan.library.alike(value, new[name][i])
            for slot in work.batch.program.slots:
                node = work.batch.program.outputs[slot]
                for k, i in enumerate(work.batch.leaves) if not node.is_array else ():
                    new[slot][i] = as_before(plan.library, run.xp, work.value(k, node), new[slot][i])
        after = libraries.carried(plan.library, clocks.after(works, run.xp))
        if donate:
            for name, old in {"p": leaves, **slots}.items():
                new[name] = [
                    x if x is before else plan.library.put(x, before) for x, before in zip(new[name], old, strict=True)
                ]
        elif not recorded:
            plan.library.keep(new["p"], leaves)
        trees_ = {name: trees.rebuild(spec, values) for name, values in new.items()}
        return trees_["p"], {key: after[key] if key in after else trees_[key] for key in state}


def evaluated(stepper: Stepper, leaves: list, spec: Any, state: Any, point: str) -> Any:
    """The params at a point."""
    with libraries.context(leaves, libraries.arrays(state)):
        plan = stepper.plan(spec, leaves, None, point, inline=True)
        slots = states.check_slots(state, plan, leaves, stepper.chains, plan.number_slots)
        ahead = 0 if point == "eval" else 1
        run, works, _ = _prepared(stepper, plan, leaves, leaves, slots, state, {}, {}, ahead)
        found = list(leaves)
        for work, stored in zip(works, run.arrays(works), strict=True):
            for i, value in zip(work.batch.leaves, _results(run.xp, work, stored["p"], leaves), strict=True):
                found[i] = value
        return trees.rebuild(spec, found)


def _prepared(
    stepper: Stepper, plan: Plan, leaves: list, grads: list, slots: dict[str, list], state: Any,
    overrides: dict[str, Any], givens: Mapping[str, Any], ahead: int = 1,
) -> tuple[Inline, list[Work], Clocks]:  # fmt: skip
    """The batches bound to their arrays, and the numbers that are had from the beginning."""
    numbered = hasattr(state[states.STEP], "dtype")
    xp, pinned = plan.library.inline(state[states.STEP] if numbered else leaves[0]) if leaves else (None, None)
    run = Inline(stepper, plan, xp, overrides)
    clocks = Clocks(plan, state, stepper.branches)
    works = []
    for batch in plan.batches:
        bound = bind(batch, leaves, grads, slots, donate=False)
        bound.xp, bound.pinned = xp, pinned
        whole = bool(batch.program.free) or any(node.op == "random_bits" for node in batch.program.nodes)
        parts = plan.library.parts([leaves[i] for i in batch.leaves], whole)
        bound.arrays = parts.enter(bound.arrays)
        work = Work(batch, bound, parts, clocks.rows(batch, ahead), givens)
        for node in batch.program.nodes:
            for k, i in enumerate(batch.leaves) if node.op == "state_scalar" else ():
                work.leaves[k][node.index] = run.known(slots[str(node.attr)][i])
        works.append(work)
    return run, works, clocks


def _results(xp: Any, work: Work, values: list, old: list) -> list:
    """New arrays as the old ones are: complex again, and where they lie."""
    before = [old[i] for i in work.batch.leaves]
    if work.batch.complex:
        values = [from_pairs(xp, x, y, in_place=False) for x, y in zip(values, before, strict=True)]
    return work.parts.leave(values, before)
