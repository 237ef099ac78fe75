"""Checks of a step by itself: what it keeps, what it leaves alone, what it survives."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import optree

import samestep as ss
from samestep import backend as backends
from samestep import libraries
from samestep.evaluate import library
from samestep.trace.graph import Program
from samestep.trace.ops import EXACT

from .against import agrees, same_bits
from .arrays import (
    CORNERS,
    SHAPES,
    SMALL,
    Feed,
    Gradients,
    Shapes,
    asked,
    gradients,
    held,
    host,
    lazy,
    moved,
    params,
    settled,
    subnormal,
)
from .bits import SAME, Apart, Difference, LeftOut, equal, in_words
from .feeding import fed
from .runs import bound, exactness, exceptions, programs, takes


def _trip(
    optimizer: Any, backend: str | None, dtype: str, shapes: Shapes, grads: Gradients, steps: int = 3,
    only: str | None = None,
) -> Iterator[Any]:  # fmt: skip
    """(step, what it was given, what it gave), as the library has them; `only`: with this leaf alone."""
    to, optimizer = backend or "numpy", fed(optimizer)

    def picked(tree: dict[str, Any]) -> dict[str, Any]:
        return moved(tree if only is None else {only: tree[only]}, to, dtype)

    with asked(backend):
        now = picked(params(dtype, shapes))
        state = optimizer.init(now)
    for t in range(1, steps + 1):
        with asked(backend):
            given = now, picked(grads(t)), state
            now, state = settled(optimizer.step(*given))
        yield t, given, (now, state)


def keeps(optimizer: Any, backend: str | None = None, *, dtype: str = "float32", shapes: Shapes = SMALL) -> None:
    """Params and state keep dtype, shape and library; none is wider than it has to be; `step` counts the steps."""
    widest = max(4, np.dtype(held(dtype)).itemsize)
    for t, (old, _, before), (new, after) in _trip(optimizer, backend, dtype, shapes, gradients(dtype, shapes)):
        for what, a, b in (("params", new, old), ("state", after, before)):
            ours, theirs = optree.tree_flatten(a), optree.tree_flatten(b)
            if ours[1] != theirs[1]:
                raise Difference(f"step {t}, {what}: the nesting became {ours[1]}, it was {theirs[1]}")
            for path, x, y in zip(ours[1].paths(), ours[0], theirs[0], strict=True):
                at = f"step {t}, {what}, leaf {'.'.join(map(str, path))!r}"
                if not hasattr(y, "dtype"):
                    if hasattr(x, "dtype") and lazy(x) is None:
                        raise Difference(f"{at}: a number became an array of {library(x)}")
                    continue
                if not hasattr(x, "dtype") or library(x) != library(y):
                    raise Difference(f"{at}: an array of {library(y)} became {type(x).__module__}.{type(x).__name__}")
                if x.dtype != y.dtype or tuple(x.shape) != tuple(y.shape):
                    raise Difference(f"{at}: {y.dtype}{tuple(y.shape)} became {x.dtype}{tuple(x.shape)}")
                if "float64" in str(x.dtype) and widest < 8 and len(x.shape):
                    raise Difference(f"{at}: float64 beside params of {dtype}")
        count = after.get("step") if isinstance(after, dict) else None
        if isinstance(count, int) and count != t:
            raise Difference(f"step {t}: the state counts {count} steps; its 'step' is the count of completed ones")


def pure(
    optimizer: Any, backend: str | None = None, *, dtype: str = "float32", shapes: Shapes = SHAPES,
    arrays: str | None = None,
) -> None:  # fmt: skip
    """A step changes no input, and its results share no memory with an input or each other."""
    to, optimizer = arrays or backend or "numpy", fed(optimizer)
    with asked(backend, arrays):
        now = moved(params(dtype, shapes), to, dtype)
        state = optimizer.init(now)
        for t in range(1, 4):
            grads = moved(gradients(dtype, shapes)(t), to, dtype)
            given = (now, grads, state)
            before = copy.deepcopy(host(given))
            result = settled(optimizer.step(now, grads, state))
            equal(host(given), before, t, "inputs after the step, against before")
            everything: Any = (given, result)
            found = [libraries.of(x).memory(x) for x in optree.tree_leaves(everything) if hasattr(x, "dtype")]
            memories = [x for x in found if x is not None and x.size]
            for i, x in enumerate(memories):
                for y in memories[:i]:
                    if np.shares_memory(x, y):
                        raise Difference(f"step {t}: two of the inputs and results share memory")
            now, state = result


def donated_equals_fresh(optimizer: Any, backend: str, *, dtype: str = "float32", shapes: Shapes = SHAPES) -> None:
    """donate=True gives the same bits."""
    if not takes(optimizer, "donate"):
        raise LeftOut("its step has no argument donate")
    same_bits(optimizer, (backend, True), reference=backend, dtype=dtype, steps=5, shapes=shapes)


def resumes(optimizer: Any, backend: str | None = None, *, dtype: str = "float32", shapes: Shapes = SHAPES) -> None:
    """A copied state goes on as the state does."""
    to, optimizer = backend or "numpy", fed(optimizer)
    grads = gradients(dtype, shapes)
    with asked(backend):
        now = moved(params(dtype, shapes), to, dtype)
        state = optimizer.init(now)
        for t in range(1, 4):
            now, state = settled(optimizer.step(now, moved(grads(t), to, dtype), state))
        again, again_state = copy.deepcopy((now, state))
        for t in range(4, 7):
            now, state = settled(optimizer.step(now, moved(grads(t), to, dtype), state))
            again, again_state = settled(optimizer.step(again, moved(grads(t), to, dtype), again_state))
            equal(host((again, again_state)), host((now, state)), t, "resumed against going on")


def compiles_once(optimizer: Any, backend: str, *, dtype: str = "float32", shapes: Shapes = SMALL) -> None:
    """Nothing is compiled after the first step, whatever the numbers are.

    Counted are the plans of an optimizer of ours, and what backend and optimizer say by `compilations()`.
    """
    named = {f"backend {backend}": backends.load(backend), "the optimizer": optimizer}
    counters = {name: each.compilations for name, each in named.items() if hasattr(each, "compilations")}
    if isinstance(optimizer, ss.Optimizer):
        seen: dict[int, Any] = {}  # kept, so that one made in the place of another counts, and gets another id

        def plans() -> int:
            seen.update((id(plan), plan) for plan in optimizer.stepper.plans.values())
            return len(seen)

        counters["plans"] = plans
    if not counters:
        raise LeftOut("neither it nor the backend counts compilations")
    before: dict[str, Any] = {}
    for t, _, _ in _trip(optimizer, backend, dtype, shapes, gradients(dtype, shapes), 4):
        now = {name: count() for name, count in counters.items()}
        changed = [name for name in before if now[name] != before[name]]
        if changed:
            raise Difference(
                f"step {t} compiled again: {changed[0]} counted {before[changed[0]]}, now {now[changed[0]]}"
            )
        before = now


def survives(
    optimizer: Any, backend: str, value: float | None, *, dtype: str = "float32", shapes: Shapes = SMALL
) -> Apart:
    """Two steps of gradients that are all of one value: the results of the reference, and finite ones of zeros.

    `value` is 0, inf, nan, or any; None stands for a subnormal of the dtype.
    """
    stated = exceptions(backends.load(backend)).get("subnormals") if value is None else None
    constant = subnormal(dtype) if value is None else value
    feed = Feed(subnormals=False, constant=constant)
    alone = stated or backend == "numpy" or not constant  # else the comparison takes the same steps
    for t, _, result in _trip(optimizer, backend, dtype, shapes, feed(dtype, shapes)) if alone else ():
        for leaf, x in host(result[0]).items():
            if not (constant or np.all(np.isfinite(x))):
                raise Difference(f"step {t}, leaf {leaf!r}: gradients of 0 made it infinite or NaN")
    if stated:
        raise LeftOut(f"stated exception: {stated}")
    return SAME if backend == "numpy" else agrees(optimizer, backend, dtype=dtype, steps=4, shapes=shapes, feed=feed)


def corners(optimizer: Any, backend: str, *, dtype: str = "float32") -> Apart:
    """Empty leaves, and one of no dimensions: as one of a single entry, where no page reads the shape or the path.

    Where the bits are promised, they are those of NumPy.
    """
    usual = gradients(dtype, CORNERS, subnormals=False)

    def alike(tree: dict[str, np.ndarray]) -> dict[str, Any]:
        return moved(tree | {"scalar": tree["one"].reshape(())}, backend, dtype)

    with asked(backend):
        now, taken = alike(params(dtype, CORNERS)), fed(optimizer)
        state = taken.init(now)
        for t in range(1, 4):
            now, state = settled(taken.step(now, alike(usual(t)), state))
            found = host(now)
            for leaf, shape in CORNERS.items():
                if found[leaf].shape != shape:
                    raise Difference(f"step {t}, leaf {leaf!r}: the shape became {found[leaf].shape}, it was {shape}")
            if not any(map(_reads_more, programs(optimizer, CORNERS))):
                one = found["scalar"].reshape((1,))
                equal(one, found["one"], t, "a leaf of no dimensions against one of a single entry")
    if backend == "numpy" or bound(optimizer, backends.load(backend), dtype, CORNERS):
        return SAME  # one entry of a leaf by itself may cancel to nothing, where a bound says little
    return agrees(optimizer, backend, dtype=dtype, steps=3, shapes=CORNERS, feed=Feed(subnormals=False))


def _reads_more(program: Program) -> bool:
    """Whether what a leaf is counts, beside its values: its shape, or its path."""
    return program.reads_shape or any(node.op in ("path", "per_leaf") for node in program.nodes)


def wakes_late(optimizer: Any, backend: str, *, dtype: str = "float32", shapes: Shapes = SMALL) -> Apart:
    """A leaf whose gradient is None stays as it is, and its first gradient is its first step."""
    leaf, first, steps = "bias", 4, 6
    feed = Feed(late=(leaf, first), subnormals="subnormals" not in exceptions(backends.load(backend)))
    grads = feed(dtype, shapes)
    last: Any = None
    try:
        for t, given, result in _trip(optimizer, backend, dtype, shapes, grads, steps):
            last = _of(leaf, *result)
            if t < first:
                equal(last, _of(leaf, given[0], given[2]), t, f"{leaf!r}, which has no gradient")
    except Difference:
        raise
    except Exception as error:
        if isinstance(optimizer, ss.Optimizer):
            raise
        raise LeftOut(f"it takes no gradient that is None: {in_words(error)}") from error
    found = programs(optimizer, shapes)
    shared = any(program.totals or program.numbers for program in found)  # between the leaves
    if found and not shared and exactness(optimizer, shapes) == EXACT:
        after = steps - first + 1
        late = _trip(optimizer, backend, dtype, shapes, lambda t: grads(t + first - 1), after, only=leaf)
        *_, (_, _, result) = late
        equal(last, _of(leaf, *result), steps, f"{leaf!r}, awake since step {first}, against a run of its own")
    return (
        SAME if backend == "numpy" else agrees(optimizer, backend, dtype=dtype, steps=steps, shapes=shapes, feed=feed)
    )


def _of(leaf: str, now: Any, state: Any) -> Any:
    """What belongs to one leaf."""
    slots = state.items() if isinstance(state, dict) else ()
    mine = {name: slot[leaf] for name, slot in slots if isinstance(slot, dict) and leaf in slot}
    return host({"p": now[leaf]} | {name: x for name, x in mine.items() if hasattr(x, "dtype")})
