"""What params, grads and donated arrays must be, checked before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MappingView, Sequence
from typing import Any

import numpy as np

from . import libraries
from .dtypes import COMPLEX, COMPUTE, name
from .errors import DonationError, LeafError, where
from .evaluate import library
from .plan import Plan


def leaves(paths: Sequence[str], arrays: Sequence[Any], shapes_only: bool = False) -> None:
    """Params are floating arrays of one library, or (`shapes_only`) anything that has their shape and dtype."""
    first = next((library(array) for array in arrays if hasattr(array, "dtype")), None)
    for path, array in zip(paths, arrays, strict=True):
        at = f"{where(path)} of the params"
        if array is None:
            raise LeafError(f"{at} is None: give an array, or leave it out of the params")
        if not (hasattr(array, "dtype") and hasattr(array, "shape")):
            rule = "params are arrays, or nestings of arrays"
            raise LeafError(f"{at} is {type(array).__name__} {array!r:.80}: {rule}; {_instead(array)}")
        unmasked(at, array)
        if not shapes_only and library(array) != first:
            raise LeafError(
                f"{at} is an array of {library(array)}, but the leaves before it are of {first}: "
                "all params of one step belong to one library; convert them first"
            )
        if name(array) not in COMPUTE:
            raise LeafError(
                f"{at} is {name(array)}: params are {', '.join(COMPUTE)}. "
                "Convert it, or leave it out of the params (groups with freeze() need floating leaves too)."
            )


def _instead(value: Any) -> str:
    """How what is given as params is given as arrays."""
    if isinstance(value, int | float | complex):
        return "numpy.asarray(...) makes one"
    if hasattr(value, "named_parameters"):
        return "of a model give dict(model.named_parameters())"
    if isinstance(value, Iterator | MappingView):
        return "list(...) makes one of what comes out of it, dict(...) of pairs of a name and an array"
    return "register other containers with optree"


def grads(paths: Sequence[str], params: Sequence[Any], given: Sequence[Any]) -> None:
    """Gradients have the shape and library of their param, and a floating dtype."""
    for path, param, grad in zip(paths, params, given, strict=True):
        if grad is not None:
            gradient(path, param, grad, tuple(param.shape))


def gradient(path: str, param: Any, grad: Any, shape: tuple[int, ...]) -> None:
    """A gradient of this shape has the library of its param, and a floating dtype."""
    if not (hasattr(grad, "dtype") and hasattr(grad, "shape")):
        raise LeafError(
            f"{where(path)} of the grads is {type(grad).__name__} {grad!r:.80}: "
            "grads are arrays, or None for a leaf that has none; numpy.asarray(...) makes one of numbers"
        )
    unmasked(f"{where(path)} of the grads", grad)
    if library(grad) != library(param):
        raise LeafError(
            f"{where(path)}: the param is an array of {library(param)}, its gradient of {library(grad)}: "
            "both belong to one library; convert the gradient"
        )
    if tuple(grad.shape) != shape:
        raise LeafError(
            f"{where(path)}: the gradient must have the shape of its param, {shape}; "
            f"got {tuple(grad.shape)}: reshape it, or sum over what was broadcast"
        )
    if name(grad) not in COMPUTE:
        raise LeafError(f"{where(path)}: the gradient is {name(grad)}; it must be one of {', '.join(COMPUTE)}: cast it")
    if (name(grad) in COMPLEX) != (name(param) in COMPLEX):
        raise LeafError(
            f"{where(path)}: the param is {name(param)} and its gradient {name(grad)}: both complex or both real; "
            "take the real part, or make the param complex"
        )


def unmasked(at: str, array: Any) -> None:
    """A masked array would lose its mask."""
    if isinstance(array, np.ma.MaskedArray):
        raise LeafError(f"{at} is a masked array, whose mask a step would drop: pass array.filled(0.0), or array.data")


def untied(paths: Sequence[str], arrays: Sequence[Any]) -> None:
    """No two params share memory: a step would move the same weight twice."""
    hit = _overlapping(paths, arrays, libraries.of_leaves(arrays).memory)
    if hit is not None:
        raise LeafError(
            f"{where(hit[0])} and {where(hit[1])} share memory: tied weights would be stepped twice. "
            "Keep one of them in the params and tie them again after the step, or copy one."
        )


def taken(plan: Plan, params: Sequence[Any], givens: Sequence[Sequence[Any]], slots: dict[str, list]) -> None:
    """No array is one that its library keeps from a step."""
    gradients = [("gradient", given) for given in givens]
    for role, arrays in [("param", params), *gradients, *(("slot", values) for values in slots.values())]:
        hit = plan.library.refuses(arrays, role)
        if hit is not None:
            raise LeafError(f"the {role} of {where(plan.leaves[hit[0]].path)} {hit[1]}")


def donated(plan: Plan, params: Sequence[Any], slots: dict[str, list], givens: dict[str, list]) -> None:
    """What is written can be written, and overlaps neither another array of the step nor itself."""
    active = {i for batch in plan.batches for i in batch.leaves}
    written: list[tuple[str, Any]] = []
    read: list[tuple[str, Any]] = [
        (f"{title} of {where(plan.leaves[i].path)}", given[i])
        for title, given in givens.items()
        for i in sorted(active)
        if given[i] is not None
    ]
    for title, values in [("param", params), *((f"slot {slot!r}", values) for slot, values in slots.items())]:
        for i, value in enumerate(values):
            if value is not None:
                (written if i in active else read).append((f"{title} of {where(plan.leaves[i].path)}", value))
    for title, array in written:
        if isinstance(array, np.generic) or (isinstance(array, np.ndarray) and not array.flags.writeable):
            raise DonationError(f"{title} is read-only and cannot be donated: pass a writable copy, or donate=False")
        locked = plan.library.locked(array)
        if locked is not None:
            raise DonationError(f"{title} {locked}, or donate=False")
        view = plan.library.memory(array)
        if view is not None and _folded(view):
            raise DonationError(
                f"{title} overlaps itself in memory (shape {view.shape}, strides {view.strides}) "
                "and cannot be donated: pass a copy, or donate=False"
            )
    titles, arrays = zip(*written, *read, strict=True) if written else ((), ())
    hit = _overlapping(titles, arrays, plan.library.memory, written=len(written))
    if hit is not None:
        raise DonationError(
            f"{hit[0]} and {hit[1]} overlap in memory: a donated array must be the only one there. "
            "Copy one, or donate=False."
        )


def _folded(array: np.ndarray) -> bool:
    """Whether two of its elements may share memory."""
    reach = array.itemsize
    for stride, dim in sorted((abs(s), d) for s, d in zip(array.strides, array.shape, strict=True) if d != 1):
        if stride < reach and array.size:
            return True
        reach += stride * (dim - 1)
    return False


def _overlapping(
    titles: Sequence[str], arrays: Sequence[Any], memory: Callable[[Any], np.ndarray | None], written: int | None = None
) -> tuple[str, str] | None:  # fmt: skip
    """The first two arrays that share memory, at least one of them among the first `written`."""
    written = len(arrays) if written is None else written
    seen: dict[int, int] = {}
    ranges, views = [], [memory(array) for array in arrays]
    for i, (array, view) in enumerate(zip(arrays, views, strict=True)):
        if view is not None:
            ranges.append((*np.lib.array_utils.byte_bounds(view), i))
        elif seen.setdefault(id(array), i) < min(i, written):
            return titles[seen[id(array)]], titles[i]
    ranges.sort()
    reach: list[tuple[int, int, int]] = []  # ranges that still reach beyond the current start
    for start, stop, i in ranges:
        reach = [r for r in reach if r[1] > start]
        for _, _, j in reach:
            if min(i, j) < written and _share(views[i], views[j]):
                return titles[min(i, j)], titles[max(i, j)]
        reach.append((start, stop, i))
    return None


def _share(a: Any, b: Any) -> bool:
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True
