"""The verbs of an optimizer beside the step: where to query, when and how to refresh, how to start again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import optree

from . import libraries, row_sparse
from . import params as trees
from . import state as states
from .errors import ChainError, LeafError, StateError, names, where
from .handed import in_slot_dtype

if TYPE_CHECKING:
    from .optimizer import Optimizer


def queried(optimizer: Optimizer, params: Any, state: Any) -> dict[str, Any]:
    """Where the gradients of the next step are wanted."""
    chains = [chain for chain in optimizer.chains if chain is not None]
    if not any(part.page.query for chain in chains for part in chain.parts):
        return {"x": params}
    points = ("x", "snapshot") if optimizer.stepper.second else ("x",)
    return {point: optimizer.stepper.evaluated(params, state, point) for point in points}


def _of(optimizer: Optimizer, role: str) -> set[str]:
    return {slot for chain in optimizer.chains if chain is not None for slot in chain.with_role(role)}


def needs_refresh(optimizer: Optimizer, state: Any) -> Any:
    """Whether a number that says so is not 0, of any leaf; not known in a trace, a 0-d array then."""
    found = []
    for slot in sorted(_of(optimizer, "stale")):
        states.must_be_dict(state)
        if slot not in state:
            raise StateError(
                f"the state is of another optimizer: it lacks {slot!r}, and has {names(state)}. "
                "Make one with init, or ask the optimizer that made this one."
            )
        found += optree.tree_leaves(state[slot], namespace=trees.NAMESPACE)
    due = [value != 0 for value in found]
    deferred = [value for value in due if libraries.deferred(value)]
    return reduce(lambda a, b: a | b, deferred, False) if deferred else any(map(bool, due))


def refreshed(optimizer: Optimizer, params: Any, full_grad: Any, state: Any) -> dict[str, Any]:
    """The state with this gradient in the slots for it, and nothing due."""
    filled, due = _of(optimizer, "full"), _of(optimizer, "stale")
    if not due:
        raise ChainError(
            "no snapshot of this optimizer goes stale, so it needs no full gradient: call step alone; "
            f"got {optimizer!r:.80}"
        )
    leaves, spec = trees.flatten(params)
    row_sparse.refuse(spec, leaves, full_grad, "full_grad")
    given = trees.match(spec, full_grad, "full_grad")
    with libraries.context(leaves, libraries.arrays(full_grad, state)):
        plan = optimizer.stepper.plan(spec, leaves, given)
        slots = states.check_slots(state, plan, leaves, optimizer.chains, plan.number_slots)
        for i in plan.asleep:
            raise LeafError(f"full_grad of {where(plan.leaves[i].path)} is None: give zeros where no data has one")
        new = dict(state)
        for slot in filled & slots.keys():
            new[slot] = trees.rebuild(
                spec,
                [
                    None if old is None else in_slot_dtype(leaf, given[i], copy=True)
                    for i, (leaf, old) in enumerate(zip(plan.leaves, slots[slot], strict=True))
                ],
            )
        for slot in due:
            new[slot] = optree.tree_map(_zero, state[slot], namespace=trees.NAMESPACE)
        return new


def _zero(number: Any) -> Any:
    return libraries.namespace(number).zeros_like(number) if hasattr(number, "dtype") else 0.0


def restarted(optimizer: Optimizer, params: Any, state: Any, reset: Sequence[str] | None) -> dict[str, Any]:
    """A state that starts again at these params."""
    fresh = optimizer.init(params)
    leaves, spec = trees.flatten(params)
    plan = optimizer.stepper.plan(spec, leaves, None)
    of_rows = row_sparse.restarted(optimizer.stepper, plan, leaves, state)
    declared = [
        (part, slot)
        for chain in optimizer.chains
        if chain is not None
        for part in chain.parts
        for slot in part.page.slots
    ]
    if reset is None:
        chosen = {part.qualify(s) for part, s in declared if part.restarts(s, None)}
    else:
        chosen = set(reset) if isinstance(reset, Iterable) and not isinstance(reset, str) else {reset}
        if not chosen <= set(fresh) - {states.STEP}:
            has = names(sorted(set(fresh) - {states.STEP}))
            raise StateError(f"reset names slots of the state, {has}; got {names(sorted(chosen, key=str))}")
        hang = chosen.union(*(program.clocked for program in plan.programs if program is not None))
        chosen |= {part.qualify(s) for part, s in declared if part.restarts(s, hang)}
    if chosen & _of(optimizer, "full"):
        chosen |= _of(optimizer, "stale")
    with libraries.of_leaves(leaves).quiet():
        kept = {key: states.copied(state[key]) for key in fresh if key != states.STEP and key not in chosen}
    return {key: kept.get(key, fresh[key]) for key in fresh} | of_rows
