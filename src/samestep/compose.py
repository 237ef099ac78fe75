"""Optimizers out of parts: chain and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .chain import Chain, check_given
from .errors import ChainError
from .groups import DEFAULT, Branch, Freeze, overridden
from .optimizer import Optimizer, Refusals
from .page import Part, check_name


def _single(optimizer: Optimizer, what: str) -> Chain:
    if len(optimizer.branches) > 1 or optimizer.branches[0].chain is None:
        raise ChainError(
            f"groups must stand last in a chain, and cannot {what}: each group is a chain of its own, with its own "
            "order of parts. Write a part in each group, or a gradient part in front; patterns beside each other, the "
            "first that matches wins"
        )
    return optimizer.branches[0].chain


def chain(*parts: Part | Optimizer, name: str | None = None) -> Optimizer:
    """Join parts and optimizers: gradient parts, then directions, then updates, each kind in the written order.

    Args:
        *parts: parts (a called page), optimizers, and as the last one, groups: each is a chain of its own, in which
            other parts are written; gradient parts in front span them all.
        name: a name for the parts that have none: their slots and numbers become `name.slot`.

    Raises:
        ChainError: two parts share a slot, or a number with different values; a part cannot stand there.

    >>> import samestep as ss
    >>> ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(0.1))
    chain(clip_by_global_norm(max_norm=1.0, clip_eps=0.0, nonfinite='nan', scale='none'), descend(lr=0.1))
    """
    check_name(name)
    if not parts:
        raise ChainError("a chain has at least one part: write chain(descend(lr=0.1)), or sgd(0.1)")
    *front, last = parts
    flat: list[Part] = []
    for part in front:
        flat.extend(_parts(part))
    if isinstance(last, Optimizer) and len(last.branches) > 1:
        return _spanning(flat, last, name, _refusals(parts))
    flat.extend(_parts(last))
    return Optimizer((Branch(DEFAULT, Chain.of(_named(flat, name))),), refused=_refusals(parts))


def _refusals(parts: Iterable[Any]) -> Refusals:
    return tuple(pair for part in parts if isinstance(part, Optimizer) for pair in part.refused)


def _parts(part: Any) -> tuple[Part, ...]:
    if isinstance(part, Part):
        return (part,)
    if isinstance(part, Optimizer):
        return _single(part, "be followed by other parts").parts
    hint = f"call it, {part.__name__}(...)" if hasattr(part, "__name__") else "write a part, such as descend(lr=0.1)"
    raise ChainError(f"a chain joins parts and optimizers; got {part!r:.80}: {hint}")


def _named(parts: Sequence[Part], name: str | None) -> tuple[Part, ...]:
    return tuple(Part(p.page, p.values, p.name or name) for p in parts)


def _spanning(front: list[Part], groups_: Optimizer, name: str | None, refused: Refusals) -> Optimizer:
    for part in front:
        if part.page.kind != "gradient":
            raise ChainError(
                "only gradient parts may stand before groups, and span them all; "
                f"{part.page.__name__} is a {part.page.kind} part: write it in each group"
            )
    branches = []
    for branch in groups_.branches:
        joined = None
        if branch.chain is not None:
            joined = Chain.of((*_named(front, name), *branch.chain.parts), shared=len(front) + branch.chain.shared)
        branches.append(Branch(branch.pattern, joined, branch.label))
    label = f"chain({', '.join(map(repr, [*_named(front, name), groups_]))})"
    return Optimizer(tuple(branches), label if front else groups_.label, refused)


def groups(patterns: Mapping[str, Any], *, default: Optimizer) -> Optimizer:
    """Give leaves their own optimizer, numbers, or none, by their path.

    A number given to `step` holds in every group that has it: `step(..., lr=0.1)` moves those of `lr=0.0` too. What is
    not to move is frozen, and an lr of many groups that changes is a schedule of each.

    Args:
        patterns: pattern -> an optimizer, a dict of numbers to change in the default, or `freeze()`. Matched with
            fnmatch against the whole path (keys and indices joined by dots), `*` crosses dots, `*.bias` also matches a
            bare `bias`; the first match wins.
        default: the optimizer of every other leaf.

    Raises:
        ChainError: a value is none of the three, or a group moves without a snapshot beside one that has it.
            At `init`: a pattern matches no leaf.

    >>> import numpy as np, samestep as ss
    >>> opt = ss.groups({"*.bias": {"lr": 1.0}}, default=ss.sgd(0.5))
    >>> params = {"bias": np.array([1.0]), "weight": np.array([1.0])}
    >>> opt.step(params, params, opt.init(params))[0]
    {'bias': array([0.]), 'weight': array([0.5])}
    """
    base = _single(default, "be the default of other groups") if isinstance(default, Optimizer) else None
    if base is None:
        raise ChainError(f"the default of groups is an optimizer; got {default!r}")
    if not isinstance(patterns, Mapping) or not all(isinstance(pattern, str) for pattern in patterns):
        raise ChainError(f"groups take a dict of patterns, such as {{'*.bias': freeze()}}; got {patterns!r:.80}")
    branches = []
    for pattern, value in patterns.items():
        if isinstance(value, Freeze):
            branches.append(Branch(pattern, None, repr(value)))
        elif isinstance(value, Mapping):
            branches.append(Branch(pattern, overridden(base, pattern, value), repr(dict(value))))
        elif isinstance(value, Optimizer):
            branches.append(Branch(pattern, _single(value, "stand inside groups"), repr(value)))
        else:
            raise ChainError(f"the group {pattern!r} is an optimizer, a dict of numbers or freeze(); got {value!r:.80}")
    if not branches or any(b.pattern == DEFAULT for b in branches):
        raise ChainError(
            f"groups need at least one pattern, and none called {DEFAULT!r}; without one, use the optimizer itself"
        )
    kinds: dict[str, str] = {}
    for slot, spec, _ in (
        three for b in [*branches, Branch(DEFAULT, base)] if b.chain is not None for three in b.chain.slots()
    ):
        if kinds.setdefault(slot, spec.shape) != spec.shape and "number" in (kinds[slot], spec.shape):
            raise ChainError(
                f"slot {slot!r} is a number in one group and an array in another: name one of the parts, name='other'"
            )
    branches.append(Branch(DEFAULT, base, repr(default)))
    check_given(b.chain for b in branches if b.chain is not None)
    keeps = {b.pattern: b.chain.keeps_snapshot for b in branches if b.chain is not None}
    if len(set(keeps.values())) > 1:
        moves, stays = (repr(next(p for p, kept in keeps.items() if kept is which)) for which in (False, True))
        raise ChainError(
            f"the group {moves} moves without a snapshot, and what {stays} knows of the gradient at its own would be "
            "of other params: give both a snapshot, or freeze one"
        )
    return Optimizer(tuple(branches), refused=_refusals([default, *patterns.values()]))
