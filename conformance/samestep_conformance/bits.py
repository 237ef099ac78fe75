"""Results side by side: bit for bit, and how far apart where they differ."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import optree

FAILURES = (Exception, SystemExit)  # whatever somebody's code raises; one that exits must not pass
EXTREME = float("inf")  # as far apart as can be: one is NaN or infinite and the other is not


class Difference(AssertionError):
    """A check failed; the message names the step, the leaf, and both values."""

    def __init__(self, message: str, apart: Apart | None = None) -> None:
        super().__init__(message)
        self.apart = apart


class LeftOut(Exception):
    """A check does not apply; the message says why."""


class Apart(NamedTuple):
    """How far two results are apart at most, in units in the last place, and the step where that was seen."""

    ulps: float = 0.0
    step: int = 0

    def __str__(self) -> str:
        return f"{self.ulps:.3g} ULP in step {self.step}" if self.ulps else "identical"


SAME = Apart()


def identical(a: np.ndarray, b: np.ndarray) -> bool:
    """The same dtype, shape and bits; one NaN is as good as another."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.tobytes() == b.tobytes():
        return True
    if a.dtype.kind not in "fc":
        return False
    bits = np.ascontiguousarray(a).view(f"V{a.dtype.itemsize}") == np.ascontiguousarray(b).view(f"V{a.dtype.itemsize}")
    return bool(np.all(bits | (np.isnan(a) & np.isnan(b))))


def ulps(a: np.ndarray, b: np.ndarray, dtype: str | None = None) -> float:
    """The largest distance of two entries, in units in the last place of the larger one; of `dtype`, if given."""
    return _distance(a, b, np.maximum(np.abs(a), np.abs(b)), dtype)


def ulps_of_leaf(a: np.ndarray, b: np.ndarray, dtype: str | None = None) -> float:
    """The same in units of the largest finite entry of the leaf, which is what a sum of its entries can promise."""
    both = np.abs(np.stack([a, b])) if a.size else np.zeros(1, a.dtype)
    return _distance(a, b, np.max(both[np.isfinite(both)], initial=0.0), dtype)


def _distance(a: np.ndarray, b: np.ndarray, scale: Any, dtype: str | None) -> float:
    if not a.size:
        return 0.0
    with np.errstate(all="ignore"):
        far = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(np.subtract(a, b, dtype=np.float64)))
        scale = np.where(np.isfinite(scale), scale, 0.0)
        unit = np.spacing(scale.astype(a.dtype)).astype(np.float64)
        if dtype == "bfloat16":  # held in float32, with 16 bits less
            unit = unit * 2.0**16
        apart = np.where(np.isfinite(a) == np.isfinite(b), far / unit, EXTREME)
        return float(np.max(np.where(far == 0, 0.0, np.where(np.isnan(apart), EXTREME, apart))))


def equal(a: Any, b: Any, t: int, what: str) -> None:
    """Two results of step t, leaf by leaf, bit for bit."""
    if _alike(a, b):
        return
    for at, x, y in pairs(a, b, t, what):
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            if not identical(x, y):
                raise Difference(f"{at}: {_first(x, y)}", Apart(_apart(x, y), t))
        elif not same_number(x, y):
            raise Difference(f"{at}: {x!r} against {y!r}", Apart(EXTREME, t))


def _alike(a: Any, b: Any) -> bool:
    """Whether they are the same, without a word on where they are not."""
    ours, spec = optree.tree_flatten(a, none_is_leaf=True)
    theirs, other = optree.tree_flatten(b, none_is_leaf=True)
    arrays = np.ndarray
    return spec == other and all(
        identical(x, y) if isinstance(x, arrays) and isinstance(y, arrays) else same_number(x, y)
        for x, y in zip(ours, theirs, strict=True)
    )


def pairs(a: Any, b: Any, t: int, what: str) -> list[tuple[str, Any, Any]]:
    """The leaves of two results beside each other, each with its place in words."""
    ours, spec = optree.tree_flatten(a, none_is_leaf=True)
    theirs, other = optree.tree_flatten(b, none_is_leaf=True)
    if spec != other:
        raise Difference(f"step {t}, {what}: the nestings differ: {spec} against {other}", Apart(EXTREME, t))
    places = [f"step {t}, {what}, leaf {'.'.join(map(str, path))!r}" for path in spec.paths()]
    return list(zip(places, ours, theirs, strict=True))


def merged(state: Any) -> Any:
    """Numbers that are the same for every leaf as one number, as a step leaves them unless they are lazy."""

    def one(slot: Any) -> Any:
        values: list[Any] = optree.tree_leaves(slot) if isinstance(slot, dict) else []  # type: ignore[arg-type]
        if not values or any(np.shape(x) for x in values) or any(float(x) != float(values[0]) for x in values):
            return slot
        return float(values[0])

    return {name: one(slot) for name, slot in state.items()} if isinstance(state, dict) else state


def same_number(x: Any, y: Any) -> bool:
    """Two leaves of which one is a number: equal, or both NaN; the other may hold it as an array of no dimensions."""
    if isinstance(x, np.ndarray) != isinstance(y, np.ndarray):
        return np.shape(x) == np.shape(y) == () and same_number(float(x), float(y))
    return type(x) is type(y) and bool(x == y or (x != x and y != y))


def _apart(x: np.ndarray, y: np.ndarray) -> float:
    """At least half a unit: the bits do differ, if only in the sign of a zero."""
    if x.dtype != y.dtype or x.shape != y.shape or x.dtype.kind != "f":
        return EXTREME
    return max(0.5, ulps(x, y))


def _first(x: np.ndarray, y: np.ndarray) -> str:
    if x.dtype != y.dtype or x.shape != y.shape:
        return f"{x.dtype}{x.shape} against {y.dtype}{y.shape}"
    flat, other = x.reshape(-1), y.reshape(-1)
    wrong = [i for i in range(flat.size) if not identical(flat[i : i + 1], other[i : i + 1])]
    i = wrong[0]
    return f"{len(wrong)} of {flat.size} entries differ, the first at {i}: {flat[i]!r} against {other[i]!r}"


def in_words(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
