"""Nested params and named leaves: flatten, match, rebuild."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from typing import Any

import optree

from .backend import installed
from .errors import TreeError, where

NAMESPACE = "samestep"  # of the containers that a library's own registry knows


def flatten(tree: Any) -> tuple[list, Any]:
    """The leaves in order, None included, and the structure."""
    leaves, spec = optree.tree_flatten(tree, none_is_leaf=True, namespace=NAMESPACE)
    odd = {kind for kind in set(map(type, leaves)) if not hasattr(kind, "dtype") and kind is not type(None)}
    adopted = [_adopted(next(leaf for leaf in leaves if type(leaf) is kind)) for kind in odd]
    return flatten(tree) if any(adopted) else (leaves, spec)


def _adopted(leaf: Any) -> bool:
    """Whether some library's registry opens it; optree then knows how, too."""
    for backend in installed():
        ways = backend.container(leaf) if hasattr(backend, "container") else None
        if ways is not None:
            with suppress(ValueError):  # another thread has registered it meanwhile
                optree.register_pytree_node(type(leaf), *ways, namespace=NAMESPACE)
            return not is_leaf(leaf)
    return False


def rebuild(spec: Any, leaves: list) -> Any:
    """The nesting with these leaves."""
    return list(leaves) if _flat_list(spec) else spec.unflatten(leaves)


def _flat_list(spec: Any) -> bool:
    """Whether it is one list of leaves: copied as optree would, whose code is cold after a large step."""
    return spec.type is list and spec.num_nodes == spec.num_leaves + 1


def leaves_of(spec: Any, tree: Any) -> list | None:
    """The leaves of a tree of this structure, or None when it has another."""
    return reader(spec)(tree)


@lru_cache(maxsize=64)
def reader(spec: Any) -> Callable[..., list | None]:
    """A function from a tree to its leaves, or to None when it has another structure.

    Dicts of another kind are the same structure, unless it is asked with `exact`.
    """
    probe = _probe(spec)
    flat_list = _flat_list(spec)

    def leaves(tree: Any, exact: bool = False) -> list | None:
        if not _fits(probe, tree, exact):
            return None
        if flat_list and type(tree) is list:
            return tree.copy()
        try:
            return spec.flatten_up_to(tree)
        except ValueError:
            return None

    return leaves


def _probe(spec: Any) -> tuple | None:
    """What a look at the containers alone can tell; None for a leaf.

    optree's own refusal writes out the whole tree, arrays too, which takes seconds for a large one.
    """
    if spec.is_leaf(strict=False):
        return None
    inner = [(entry, _probe(child)) for entry, child in zip(spec.entries(), spec.children(), strict=True)]
    kind = spec.type if spec.type in (list, tuple) else dict if issubclass(spec.type, dict) else None
    return kind, spec.type, frozenset(spec.entries()), [pair for pair in inner if pair[1] is not None]


def _fits(probe: tuple | None, tree: Any, exact: bool) -> bool:
    if probe is None or probe[0] is None:
        return True
    kind, own, entries, inner = probe
    if not isinstance(tree, kind) or len(tree) != len(entries) or (exact and type(tree) is not own):
        return False
    if kind is dict and not all(key in entries for key in islice(tree, 4)):
        return False
    return all(entry in tree if kind is dict else True for entry, _ in inner) and all(
        _fits(child, tree[entry], exact) for entry, child in inner
    )


def is_leaf(tree: Any) -> bool:
    """Whether it is one leaf and no container."""
    return optree.tree_is_leaf(tree, none_is_leaf=True, namespace=NAMESPACE)


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
    rule = f"{what} must be a nesting like the params, leaf by leaf ({len(has)} leaves against {len(wants)})"
    remedy = (
        "Make one of these params with init." if what.endswith("of the state") else
        "Give None for a leaf without a gradient, and nothing that the params lack."
    )  # fmt: skip
    if tree is None:
        raise TreeError(f"{what} is None: {rule}. {remedy}")
    inside = next(((p, q) for p in missing for q in extra if not p or q.startswith(f"{p}.")), None)
    if inside is not None:
        raise TreeError(
            f"{what} has a container at {where(inside[0])}, where the params have an array: {rule}. {remedy}"
        )
    if missing or extra:
        first = (
            f"{what} lacks {where(missing[0])}" if missing else f"{what} has {where(extra[0])}, which the params lack"
        )
        if "step" in {p.split(".")[0] for p in (*has, *wants)}:
            remedy = "The order is step(params, grads, state)."
        if "1.step" in wants:
            remedy = "A step returns two things: write params, state = opt.step(params, grads, state)."
        raise TreeError(f"{first}: {rule}. {remedy}")
    raise TreeError(
        f"{what} must be the same nesting as the params, containers too: got {other!s:.200}, not {spec!s:.200}. "
        "Convert the containers."
    )
