"""Nested params and named leaves: flatten, match, rebuild."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import optree

from .errors import TreeError, where


def flatten(tree: Any) -> tuple[list, Any]:
    """The leaves in order, None included, and the structure."""
    return optree.tree_flatten(tree, none_is_leaf=True)


def rebuild(spec: Any, leaves: list) -> Any:
    """The nesting with these leaves."""
    return spec.unflatten(leaves)


def leaves_of(spec: Any, tree: Any) -> list | None:
    """The leaves of a tree of this structure, or None when it has another."""
    try:
        return spec.flatten_up_to(tree)
    except ValueError:
        return None


def is_leaf(tree: Any) -> bool:
    """Whether it is one leaf and no container."""
    return optree.tree_is_leaf(tree, none_is_leaf=True)


@lru_cache(maxsize=64)
def paths(spec: Any) -> tuple[str, ...]:
    """The path of every leaf: keys, indices and fields joined by dots."""
    return tuple(
        ".".join(str(getattr(entry, "field", entry.entry)) for entry in accessor) for accessor in spec.accessors()
    )


def match(spec: Any, tree: Any, what: str) -> list:
    """The leaves of a tree that must have the structure of the params."""
    leaves = leaves_of(spec, tree)
    if leaves is not None and all(map(is_leaf, leaves)):
        return leaves
    try:
        _, other = flatten(tree)
        has, wants = paths(other), paths(spec)
    except (TypeError, ValueError) as error:
        raise TreeError(f"{what} cannot be flattened: {error}") from error
    missing = [p for p in wants if p not in set(has)]
    extra = [p for p in has if p not in set(wants)]
    if missing or extra:
        first = (
            f"{what} lacks {where(missing[0])}" if missing else f"{what} has {where(extra[0])}, which the params lack"
        )
        raise TreeError(
            f"{first}: {what} must be a nesting like the params, leaf by leaf ({len(has)} leaves against {len(wants)})"
        )
    raise TreeError(f"{what} must be the same nesting as the params, containers too: got {other}, not {spec}")
