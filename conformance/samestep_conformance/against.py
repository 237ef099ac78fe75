"""Checks against something else: a recorded trajectory, or the same optimizer on NumPy's own operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

import samestep as ss
from samestep import backend as backends
from samestep.trace.ops import CALL

from .arrays import LONG, SHAPES, SMALL, Feed, Gradients, Shapes, asked, gradients, host, moved, params, settled
from .bits import SAME, Apart, Difference, LeftOut, equal, in_words, merged
from .feeding import fed
from .runs import bound, exactness, exceptions, flushed, largest, reference, run, slow_steps, stepped, within

START = 10  # steps of a recorded trajectory, for a backend that is slow
USUAL, BRIEF = 14, 9  # steps with gradients of every kind, and where a step takes milliseconds


def matches_reference(
    optimizer: Any, theirs: Any, gradient: Callable, start: Any, *, tolerance: float = 1e-12,
    backend: str | None = None, evaluated: bool = False,
) -> None:  # fmt: skip
    """|a - b| <= tolerance * max(1, |a|) against a recorded trajectory: params after each step, or where it evaluates.

    `gradient(params, t)` gives the gradient at our own params; `start` are the first params; float64 NumPy arrays.
    """
    to = backend or "numpy"
    with asked(backend):
        now = moved(start, to)
        state = optimizer.init(now)
        for t, expected in enumerate(theirs, start=1):
            now, state = settled(optimizer.step(now, moved(gradient(host(now), t), to), state))
            found = host(settled(optimizer.eval_params(now, state)) if evaluated else now)
            for leaf, a in expected.items():
                both = np.isnan(a) & np.isnan(found[leaf])
                error = np.where(both, 0.0, np.abs(a - found[leaf]) / np.maximum(1.0, np.abs(a))).max()
                if not error <= tolerance:
                    apart = Apart(error / np.finfo(np.float64).eps, t)
                    raise Difference(
                        f"step {t}, leaf {leaf!r}: off by {error:.1e}, more than {tolerance:.0e}: the first step shows "
                        "eps and bias corrections, later ones decay and momentum",
                        apart,
                    )


def matches_golden(
    optimizer: Any, backend: str | None = None, *, dtype: str = "float64", case: str | None = None
) -> None:
    """The trajectory that another library recorded for a golden case; its start where steps are slow."""
    from .golden.families import CASES
    from .golden.make import read
    from .golden.problem import PROBLEMS

    if case is None:
        raise LeftOut("no golden case is named for it")
    if dtype != "float64":
        raise LeftOut("the recorded trajectories are float64")
    row = next(row for row in CASES if row.name == case)
    problem = PROBLEMS[row.problem]
    loose = bound(optimizer, backends.load(backend or "numpy"), dtype, problem.shapes)
    tolerance = row.tolerance if backend in (None, "numpy") else max(row.tolerance, loose * np.finfo(np.float64).eps)
    record = read(case)
    steps = record["steps"][: START if slow_steps(backend) else None]
    try:
        matches_reference(
            optimizer, steps, problem.gradient, problem.params(),
            tolerance=tolerance, backend=backend, evaluated=row.theirs.evaluated,
        )  # fmt: skip
    except Difference as error:
        raise Difference(f"{error}; the trajectory {case!r} is that of {record['oracle']}", error.apart) from error


def same_bits(
    optimizer: Any, *backends: tuple[str, bool], reference: str = "numpy", dtype: str = "float32", steps: int = 200,
    bad_from: int | None = None, shapes: Shapes = SHAPES, arrays: str | None = None,
) -> None:  # fmt: skip
    """Params and state are bit for bit those of the reference backend, in every step.

    `backends` are pairs (name, donate), run side by side; on the arrays of another backend's library if `arrays` names
    one.
    """
    grads = gradients(dtype, shapes, bad_from)
    given: dict[str, Any] = {"shapes": shapes, "arrays": arrays}
    runs = [run(optimizer, name, dtype, steps, grads, donate=donate, **given) for name, donate in backends]
    for t, theirs in enumerate(run(optimizer, reference, dtype, steps, grads, shapes=shapes), start=1):
        for (name, donate), ours in zip(backends, runs, strict=True):
            title = f"{name}{' in place' if donate else ''} against {reference}"
            for what, a, b in zip(("params", "state"), next(ours), theirs, strict=True):
                equal(a, b, t, f"{what} ({title})")


def agrees(
    optimizer: Any, backend: str, *, dtype: str = "float32", steps: int | None = None, shapes: Shapes = SMALL,
    feed: Feed | None = None, every: int = 1,
) -> Apart:  # fmt: skip
    """The bits of NumPy in every step or, where the class of the program promises less, its stated bound.

    With a bound, each step starts from where the reference is: one step is judged, not what a trajectory makes of it;
    and of the steps one in `every`.
    """
    if backend == "numpy":
        raise LeftOut("NumPy's own operations are the reference")
    runs = backends.load(backend)
    most, stated = bound(optimizer, runs, dtype, shapes), exceptions(runs)
    steps = steps or (BRIEF if slow_steps(backend) else USUAL)
    feed = feed or Feed(bad_from=1 + 2 * steps // 3)  # after each of the special values by itself
    feed = replace(feed, subnormals=feed.subnormals and "subnormals" not in stated)
    feed = replace(feed, tame=feed.tame or exactness(optimizer, shapes) == CALL)
    theirs = _reference(optimizer, dtype, steps, shapes, feed)
    title, grads = f"{backend} against numpy", feed(dtype, shapes)
    if most:
        return _step_by_step(optimizer, backend, dtype, shapes, theirs, grads, most, title, every)
    ours = run(optimizer, backend, dtype, steps, grads, shapes=shapes)
    for t, (b, a) in enumerate(zip(theirs, ours, strict=True), start=1):
        both: tuple[Any, ...] = (flushed(a), flushed(b)) if "subnormals" in stated else (a, b)
        if hasattr(runs, "settle"):
            both = tuple((now, merged(state)) for now, state in both)
        for what, x, y in zip(("params", "state"), *both, strict=True):
            equal(x, y, t, f"{what} ({title})")
    return SAME


def _reference(optimizer: Any, dtype: str, steps: int, shapes: Shapes, feed: Feed) -> Iterator[Any]:
    """A third party's optimizer need not run on NumPy arrays."""
    try:
        theirs = reference(optimizer, dtype, steps, shapes, feed)
        first = next(theirs)
    except LeftOut:
        raise
    except Exception as error:
        if isinstance(optimizer, ss.Optimizer):
            raise
        raise LeftOut(f"it does not run on NumPy arrays, so there is no reference: {in_words(error)}") from error
    yield first
    for _, step in zip(range(steps - 1), theirs, strict=True):
        yield step


def _step_by_step(
    optimizer: Any, backend: str, dtype: str, shapes: Shapes, theirs: Iterator[Any], grads: Gradients, most: float,
    title: str, every: int,
) -> Apart:  # fmt: skip
    found: list[Apart] = []
    with asked("numpy"):
        start = moved(params(dtype, shapes), "numpy", dtype)
        before = host((start, fed(optimizer).init(start)))
    for t, step in enumerate(theirs, start=1):
        if t % every == 0:
            ours = stepped(optimizer, backend, dtype, before, grads(t))
            found.append(within(ours, step, most, t, title, dtype))
        before = step
    return largest(found)


def long_run(
    optimizer: Any, backend: str, *, dtype: str = "float32", shapes: Shapes = LONG, steps: int | None = None
) -> Apart:
    """As `agrees`, over many steps (STEPS_OF_LONG_RUNS) of tame gradients: a huge one would end most trajectories."""
    steps, every = (steps or SLOW, 1) if slow_steps(backend) else (steps or LASTING, EVERY)
    return agrees(optimizer, backend, dtype=dtype, shapes=shapes, steps=steps, feed=Feed(tame=True), every=every)


LASTING, SLOW, EVERY = 1000, 50, 7  # not 10, after which many do what they do not in every step
STEPS_OF_LONG_RUNS = (
    f"{LASTING} steps; {SLOW} where a step takes milliseconds. Where not the bits are promised but a bound on a step, "
    f"one in {EVERY} is judged, from where the reference is"
)
