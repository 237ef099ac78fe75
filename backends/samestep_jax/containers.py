"""Containers that JAX's registry knows and optree does not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, MappingView
from typing import Any

from jax import tree_util


def ways(tree: Any) -> tuple[Callable, Callable] | None:
    """How to open containers of this type, and how to build them; None of what is a leaf to JAX too, or an array."""
    if isinstance(tree, Iterator | MappingView):  # no containers, and JAX warns of them
        return None
    if is_sparse(tree) or tree_util.treedef_is_leaf(_opened(tree)[1]):
        return None
    return _open, _build


def is_sparse(tree: Any) -> bool:
    """Whether it is a sparse array of JAX's, which are containers to its registry."""
    sparse = sys.modules.get("jax.experimental.sparse")
    return sparse is not None and isinstance(tree, sparse.JAXSparse)


def _opened(tree: Any) -> tuple[list, Any]:
    """(path, child) for each child, and the structure of this one container."""
    return tree_util.tree_flatten_with_path(tree, is_leaf=lambda x: x is not tree)


def _open(tree: Any) -> tuple[list, Any, list]:
    """Children, what else makes the container, and the names of the children."""
    keyed, structure = _opened(tree)
    return [child for _, child in keyed], structure, [_name(*path) for path, _ in keyed]


def _build(structure: Any, children: Any) -> Any:
    return structure.unflatten(children)


def _name(key: Any) -> Any:
    """A field, a key or an index, whichever kind of key it is."""
    return next(getattr(key, kind) for kind in ("name", "key", "idx") if hasattr(key, kind))
