"""Steps of an optimizer on a backend, free or from where the reference is; what its class allows; what it refuses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from inspect import signature
from typing import Any

import numpy as np
import optree

import samestep as ss
from samestep import backend as backends
from samestep.errors import names
from samestep.evaluate import library
from samestep.plan import describe, find_program
from samestep.trace.graph import Program
from samestep.trace.ops import CALL, CLASSES, EXACT, OPS, REDUCE, REDUCTIONS, TRANSCENDENTAL, ULP

from .arrays import SHAPES, Feed, Gradients, Shapes, asked, gradients, held, host, moved, params, settled
from .bits import EXTREME, Apart, Difference, LeftOut, pairs, same_number, ulps_of_leaf
from .feeding import fed

# What one loose operation may be off by, in units in the last place of the largest entry of a leaf, and by how much the
# operations after it may enlarge that in one step.
LOOSE = {REDUCE: 1.0, TRANSCENDENTAL: float(ULP)}
ENLARGED = 16.0

Step = tuple[Any, Any]  # params and state, as NumPy copies


def run(
    optimizer: Any, backend: str | None, dtype: str, steps: int, grads: Gradients | None = None, *,
    shapes: Shapes = SHAPES, donate: bool = False, arrays: str | None = None, stays: bool = False,
) -> Iterator[Step]:  # fmt: skip
    """Params and state after every step, as NumPy copies. `arrays`: run on those of that backend's library.

    `stays`: what makes another library's arrays of NumPy's is no reference.
    """
    grads = grads or gradients(dtype, shapes)
    to = arrays or backend or "numpy"
    extra = {"donate": True} if donate else {}
    optimizer = fed(optimizer)
    with asked(backend, arrays):
        now = moved(params(dtype, shapes), to, dtype)
        state = optimizer.init(now)
    for t in range(1, steps + 1):
        with asked(backend, arrays):  # not around the yield: a context would leak into whoever asks for the next step
            now, state = settled(optimizer.step(now, moved(grads(t), to, dtype), state, **extra))
            other = {library(x) for x in optree.tree_leaves(now) if hasattr(x, "dtype")} - {"numpy"} if stays else ()
            if other:
                raise LeftOut(f"it makes {names(other)} arrays of NumPy's, so there is no reference")
            found = host(now), host(state)
        yield found


class Recorded:
    """Steps of the reference, taken once however many ask for them; whoever asks for one that fails is told."""

    def __init__(self, steps: Iterator[Step]) -> None:
        self.coming, self.taken = steps, list[Step]()
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[Step]:
        t = 0
        while True:
            if t == len(self.taken):
                step = self._next()
                if step is None:
                    return
                self.taken.append(step)
            yield self.taken[t]
            t += 1

    def _next(self) -> Step | None:
        if self.error is not None:
            raise self.error
        try:
            return next(self.coming, None)
        except Exception as error:  # after which the iterator would just end
            self.error = error
            raise


@lru_cache(maxsize=8)
def _recorded(optimizer: Any, dtype: str, steps: int, shapes: tuple, feed: Feed) -> Recorded:
    return Recorded(run(optimizer, "numpy", dtype, steps, feed(dtype, dict(shapes)), shapes=dict(shapes)))


def reference(optimizer: Any, dtype: str, steps: int, shapes: Shapes, feed: Feed) -> Iterator[Step]:
    """What NumPy's own operations give."""
    if isinstance(optimizer, ss.Optimizer):  # a value: equal ones do the same
        return iter(_recorded(optimizer, dtype, steps, tuple(shapes.items()), feed))
    return run(optimizer, "numpy", dtype, steps, feed(dtype, shapes), shapes=shapes, stays=True)


def stepped(optimizer: Any, backend: str, dtype: str, before: Step, grads: Any, **extra: Any) -> Step:
    """One step from given params and state."""
    with asked(backend):
        now, state = moved(before[0], backend, dtype), moved(before[1], backend)
        return host(fed(optimizer).step(now, moved(grads, backend, dtype), state, **extra))


# -- classes and bounds ------------------------------------------------------------------------------------------------


def programs(optimizer: Any, shapes: Shapes = SHAPES) -> list[Program]:
    """What it runs on leaves of these shapes; nothing is known of a third party's optimizer."""
    if not isinstance(optimizer, ss.Optimizer):
        return []
    found = [chain.program(shape) for chain in optimizer.chains if chain is not None for shape in shapes.values()]
    return list(dict.fromkeys(found))


def exactness(optimizer: Any, shapes: Shapes = SHAPES) -> str:
    """The loosest class of its programs; a third party's optimizer is held to the bits."""
    return max((program.exactness for program in programs(optimizer, shapes)), key=CLASSES.index, default=EXACT)


def operations(optimizer: Any, shapes: Shapes) -> set[str]:
    """The operations of the table that it uses."""
    return {node.op for program in programs(optimizer, shapes) for node in program.nodes if node.op in OPS}


def bound(optimizer: Any, backend: Any, dtype: str, shapes: Shapes = SHAPES) -> float:
    """By how many units in the last place, of the largest entry of a leaf, one step may be off on this backend.

    Derived from the Program: 0 where every operation is exact, and for float sums on a backend that keeps their order;
    else what its loose operations add up to. Half of the digits where it calls linear algebra; of a factorisation in
    float32, where a nearly singular matrix leaves none, no bound is stated.
    """
    worst = 0.0
    for program in programs(optimizer, shapes):
        loose = [OPS[n.op].exactness for n in program.nodes if n.op in OPS and (n.is_array or n.op in REDUCTIONS)]
        if CALL in loose:
            if dtype != "float64" and FACTORISING & {node.op for node in program.nodes}:
                raise LeftOut("it factorises matrices, and a nearly singular one leaves no digits in float32")
            return float(np.finfo(held(COMPUTED.get(dtype, dtype))).eps ** -0.5)
        if "sums" not in exceptions(backend):
            loose = [each for each in loose if each != REDUCE]
        worst = max(worst, ENLARGED * sum(LOOSE.get(each, 0.0) for each in loose))
    return worst


FACTORISING = {"eigh", "qr", "svd"}
COMPUTED = {"float16": "float32", "bfloat16": "float32"}


def exceptions(backend: Any) -> dict[str, str]:
    """Where a backend says that its bits are others, and why."""
    return dict(getattr(backend, "exceptions", {}))


def slow_steps(backend: str | None) -> bool:
    """Whether a step takes milliseconds on this backend."""
    return getattr(backends.load(backend or "numpy"), "slow", None) == "step"


def refusal(optimizer: Any, backend: str, dtype: str, shapes: Shapes = SHAPES) -> str | None:
    """Why a backend does not run an optimizer on params of this dtype; nothing is compiled."""
    found = backends.load(backend)
    reason = found.missing()
    if reason is not None or not isinstance(optimizer, ss.Optimizer):
        return reason
    reason = lacks(backend, dtype)
    for leaf, shape in shapes.items() if reason is None else ():
        x = moved(np.zeros(shape, held(dtype)), backend, dtype)
        on: Any = found.on(x) if hasattr(found, "on") and found.accepts(x) else found
        described = describe(leaf, x, x, 0)
        for chain in optimizer.chains:
            program = find_program(chain, described)
            with asked(backend):  # some refuse what they are not asked for
                reason = None if program is None else on.refuses(program, described.signature)
            if reason is not None:
                return reason
    return reason


def lacks(backend: str, dtype: str) -> str | None:
    """Why its library has no arrays of this dtype. Without those of float32 it is none, and what it raises an error."""
    moved(np.zeros(1, np.float32), backend)
    try:
        moved(np.zeros(1, held(dtype)), backend, dtype)
    except (AttributeError, TypeError, LeftOut) as error:
        return f"its library has no {dtype}: {error}"
    return None


def takes(optimizer: Any, argument: str) -> bool:
    """Whether its step has an argument of this name."""
    known = signature(optimizer.step).parameters.values()
    return any(p.name == argument for p in known)


# -- comparisons -------------------------------------------------------------------------------------------------------


def flushed(tree: Any) -> Any:
    """Subnormals as zeros, and no zero with a sign."""

    def one(x: Any) -> Any:
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
            return x
        return np.where(np.abs(x) < np.finfo(x.dtype).smallest_normal, x.dtype.type(0), x)

    return optree.tree_map(one, tree)


def within(ours: Step, theirs: Step, most: float, t: int, title: str, dtype: str) -> Apart:
    """Two results of step t, no further apart than `most` units; how far they are."""
    worst = 0.0
    for what, a, b in zip(("params", "state"), ours, theirs, strict=True):
        for at, x, y in pairs(a, b, t, f"{what} ({title})"):
            if not (isinstance(x, np.ndarray) and isinstance(y, np.ndarray)):
                if not (same_number(x, y) or (isinstance(x, float) and _near(x, y, most, dtype))):
                    raise Difference(f"{at}: {x!r} against {y!r}", Apart(EXTREME, t))
                continue
            if x.dtype != y.dtype or x.shape != y.shape:
                raise Difference(f"{at}: {x.dtype}{x.shape} against {y.dtype}{y.shape}", Apart(EXTREME, t))
            apart = ulps_of_leaf(x, y, dtype if what == "params" else None)
            if not apart <= most:
                raise Difference(
                    f"{at}: off by {apart:.3g} units in the last place, more than {most:.3g}", Apart(apart, t)
                )
            worst = max(worst, apart)
    return Apart(worst, t)


def _near(x: float, y: float, most: float, dtype: str) -> bool:
    """A number is a float64, of arrays that were computed in this dtype's arithmetic."""
    made = held(COMPUTED.get(dtype, dtype))
    return ulps_of_leaf(np.array(x, made), np.array(y, made)) <= most


def largest(found: Sequence[Apart]) -> Apart:
    """The largest distance, in the step where it was seen first."""
    return max(found, key=lambda apart: apart.ulps, default=Apart())
