"""What a step is handed for each leaf beside the first gradient: the one at the snapshot, and what parts ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks, libraries, row_sparse
from . import params as trees
from .errors import HyperparameterError, LeafError, StateError, TreeError, names, where
from .page import SECOND

if TYPE_CHECKING:
    from .plan import Leaf, Plan
    from .step import Stepper

POINTS = {"x", "snapshot"}


def split(
    stepper: Stepper, spec: Any, leaves: list, grads: Any, state: Any, overrides: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:  # fmt: skip
    """The gradient at x, and what stands beside it: the one at the snapshot, and what parts are given for each leaf."""
    others = {name: overrides[name] for name in stepper.leafwise if name in overrides}
    for name, tree in {"grads": grads, **others}.items() if others else ():
        row_sparse.refuse(spec, leaves, tree, name)
    both = isinstance(grads, dict) and grads.keys() == POINTS
    if not stepper.second:
        given = trees.leaves_of(spec, grads) if both else []
        if given is None or not all(map(trees.is_leaf, given)):
            raise TreeError(
                "this optimizer takes one gradient, at x; got grads={'x': ..., 'snapshot': ...}: pass that of 'x' alone"
            )
        return grads, others
    if not both:
        raise TreeError(
            "this optimizer takes two gradients of the same batch, at the points of query(params, state): "
            f"got {_shown(grads)}; write step(params, {{'x': ..., 'snapshot': ...}}, state)"
        )
    for point in grads:
        row_sparse.refuse(spec, leaves, grads[point], f"grads[{point!r}]")
    for slot in {slot for chain in stepper.chains if chain is not None for slot in chain.with_role("stale")}:
        for number in libraries.arrays(state.get(slot, 0.0)) if isinstance(state, dict) else ():
            if not libraries.deferred(number) and number != 0:
                raise StateError(
                    "this step needs the full gradient at a snapshot first, which is new or has moved: in the state "
                    f"{slot!r} is {float(number)}. Write "
                    "state = opt.refresh(params, full_grad, state), with full_grad at "
                    "opt.query(params, state)['snapshot'], whenever opt.needs_refresh(state)"
                )
    return grads["x"], {SECOND: grads["snapshot"], **others}


def _shown(grads: Any) -> str:
    return f"a {type(grads).__name__} of {names(grads)}" if isinstance(grads, dict) else f"{type(grads).__name__}"


def checked(plan: Plan, leaves: list, given: list, others: dict[str, Any]) -> dict[str, list]:
    """What is given for each leaf, in the dtype of a slot; by its name, to stand beside the slots."""
    if lacking := plan.handed - others.keys():
        name = min(lacking)
        raise HyperparameterError(
            f"this optimizer needs {name}, an array for each leaf: write step(params, grads, state, {name}=...)"
        )
    checked: dict[str, list] = {}
    for name, tree in others.items():
        label = "grads['snapshot']" if name == SECOND else name
        found = trees.match(plan.spec, tree, label)
        try:
            checks.grads([leaf.path for leaf in plan.leaves], leaves, found)
        except LeafError as error:
            likewise = "" if name == SECOND else ", which is as a gradient is"
            raise LeafError(f"in {label}{likewise}: {error}") from None
        for leaf, program, first, second in zip(plan.leaves, plan.programs, given, found, strict=True):
            wanted = name == SECOND or (program is not None and name in program.handed)
            lacks = label if first is not None and second is None and wanted else None
            if name == SECOND and first is None and second is not None:
                lacks = "grads['x']"
            if lacks is not None:
                raise TreeError(
                    f"{where(leaf.path)} is None in {lacks} alone: give both of a leaf that steps, or None for both"
                )
        checked[name] = [
            None if x is None else in_slot_dtype(leaf, x) for leaf, x in zip(plan.leaves, found, strict=True)
        ]
    return checked


def in_slot_dtype(leaf: Leaf, array: Any, copy: bool = False) -> Any:
    """A gradient as the leaf's slots are."""
    xp = libraries.namespace(array)
    dtype = getattr(xp, leaf.param if leaf.complex else leaf.signature.compute)
    with np.errstate(all="ignore"):
        if array.dtype == dtype:
            return xp.asarray(array, copy=True) if copy else array
        return xp.astype(array, dtype)
