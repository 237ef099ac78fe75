"""The drift finder: where two optimizers part, by how much, how it grows, and which conventions are behind it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import samestep as ss

from .adapters import Subject, subject
from .conventions import Finding, Search, explain
from .models import TEMPLATES, Model, fitted
from .problems import Problem, find
from .specs import SpecError, parse
from .traces import Leaves, Trace, allowed, off, record
from .words import conventions, sentence

DTYPES = ("float64", "float32")
MARKS = (1, 2, 5)  # and 10, 20, 50, 100, ...: the steps in which the growth is told


@dataclass(frozen=True)
class Parting:
    """The first entry that differs: of the params, or of a slot of the state."""

    step: int
    kind: str
    entry: str
    a: float
    b: float
    absolute: float
    relative: float
    ulp: int | None

    def __str__(self) -> str:
        ulp = "" if self.ulp is None else f", {self.ulp} ULP"
        return (
            f"{self.kind} {self.entry} in step {self.step}: {self.a!r} against {self.b!r} "
            f"({self.absolute:.1e}, relative {self.relative:.1e}{ulp})"
        )


@dataclass(frozen=True)
class Difference:
    """The largest difference of the params after a step."""

    step: int
    absolute: float
    relative: float
    ulp: int | None


@dataclass(frozen=True)
class Explanation:
    """What of ours is equal to A and to B, and what tells them apart.

    `changes` are (conventions, sentence); `before` and `after` the largest differences to B, of A and with the changes.
    Where no options of ours close the gap, `closes` is False; of `found` ours is the equal, and of the other side the
    nearest that was tried.
    """

    a_is: str
    b_is: str
    changes: tuple[tuple[tuple[str, ...], str], ...]
    before: float
    after: float
    closes: bool
    found: str = "A"

    @property
    def conventions(self) -> tuple[str, ...]:
        """The conventions that differ, each once."""
        return tuple(dict.fromkeys(name for found, _ in self.changes for name in found))


@dataclass(frozen=True)
class Drift:
    """What `compare` found. `first` is where the params part, `first_state` where an entry of the state does.

    `same`: the params stay within rounding, 4 units in the last place of the largest so far, times the step.
    `identical`: their bits are the same.
    """

    a: str
    b: str
    steps: int
    dtype: str
    same: bool
    identical: bool
    first: Parting | None
    first_state: Parting | None
    growth: tuple[Difference, ...]
    order: str
    explanation: Explanation | None
    remark: str = ""

    @property
    def conventions(self) -> tuple[str, ...]:
        """The conventions in which the two differ, as far as they were found."""
        return self.explanation.conventions if self.explanation and self.explanation.closes else ()

    def __str__(self) -> str:
        from .drift_report import text

        return text(self)


def compare(
    a: Any,
    b: Any,
    *,
    steps: int = 100,
    dtype: str = "float64",
    problem: str | Problem = "quadratic",
    lr: Callable[[int], float] | None = None,
    explain: bool = True,
) -> Drift:
    """Run two optimizers side by side and say where they part, how it grows, and why.

    Args:
        a, b: text such as "adamw(lr=1e-3)", "torch:AdamW(lr=1e-3)", "optax:adamw(1e-3)" or "keras:Adam(1e-3)"; an
            optimizer of ours or anybody's with init(params) and step(params, grads, state) -> (params, state), on
            dicts of NumPy arrays; an optax transformation; a Keras optimizer.
        steps: how many.
        dtype: "float64", or "float32"; conventions are always sought in float64.
        problem: "quadratic", "matrices", "rosenbrock", "recorded", "digits", or anything with params() and
            gradient(params, t).
        lr: a learning rate that changes, as a callable of the count of completed steps, for both.
        explain: whether to look for the conventions behind a difference.

    Raises:
        SpecError: a or b is no optimizer, its library is not installed, it refuses its arguments, or it fails.

    >>> from samestep_conformance import compare
    >>> compare("adam(0.01)", "adam(0.01, eps_mode='hat')", steps=10).conventions
    ('eps placement',)
    """
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise SpecError(f"steps is a number of steps, at least 1; got {steps!r}")
    if dtype not in DTYPES:
        raise SpecError(f"dtype must be 'float64' or 'float32'; got {dtype!r}")
    if lr is not None and not callable(lr):
        raise SpecError(f"lr is a callable of the count of completed steps; got {lr!r}: write lambda count: {lr!r}")
    on = find(problem)
    runs = [_run(x, on, steps, dtype, lr) for x in (a, b)]
    found = _drift(runs, steps, dtype)
    if found.same or not explain:
        return found
    if dtype != "float64":
        runs = [_run(x, on, steps, "float64", lr) for x in (a, b)]
    wide = _drift(runs, steps, "float64")
    if wide.same:
        remark = "in float64 the two are the same: what differs in float32 is the precision of their arithmetic"
        return _replace(found, remark=remark)
    return _replace(found, explanation=_explained(runs, on, wide))


Run = tuple[Subject, Trace]


def _run(given: Any, problem: Problem, steps: int, dtype: str, lr: Callable[[int], float] | None) -> Run:
    one = subject(given, dtype, lr)
    return one, record(one, problem, steps, dtype)


def _replace(drift: Drift, **changes: Any) -> Drift:
    return Drift(**(vars(drift) | changes))


def _drift(runs: list[Run], steps: int, dtype: str) -> Drift:
    (one, x), (other, y) = runs
    partings = (_params_part(x, y), _state_parts(x, y))
    growth = tuple(_largest(x, y, t) for t in _marks(steps))
    identical = all(
        np.array_equal(p.view(f"u{p.itemsize}"), y.params[t][k].view(f"u{p.itemsize}"))
        for t, params in enumerate(x.params)
        for k, p in params.items()
    )
    order = _order(x, y, partings[0].step) if partings[0] else ""
    return Drift(one.label, other.label, steps, dtype, partings[0] is None, identical, *partings, growth, order, None)


def _marks(steps: int) -> list[int]:
    marks = [m * 10**k for k in range(len(str(steps))) for m in MARKS]
    return [m for m in marks if m < steps] + [steps]


def _params_part(x: Trace, y: Trace) -> Parting | None:
    for t in range(1, len(x.params)):
        bounds = [allowed(trace.largest(t), t) for trace in (x, y)]
        bound = {k: np.maximum(bounds[0][k], bounds[1][k]) for k in x.params[t]}
        found = _apart(x.params[t], y.params[t], bound)
        if found:
            return _parting(t, "parameter", "", *found)
    return None


def _state_parts(x: Trace, y: Trace) -> Parting | None:
    """The first shared entry of the states that differs by more than rounding, next to the largest it has been."""
    largest: dict[str, Leaves] = {}
    for t, (one, other) in enumerate(zip(x.entries, y.entries, strict=True), start=1):
        for name in sorted(one.keys() & other.keys()):
            now = {k: np.maximum(np.abs(one[name][k]), np.abs(other[name][k])) for k in one[name]}
            before = largest.get(name, now)
            largest[name] = {k: np.fmax(now[k], before[k]) for k in now}
            found = _apart(one[name], other[name], allowed(largest[name], t, extra=4))
            if found:
                return _parting(t, "state", f"{name} ", *found)
    return None


Where = tuple[str, int, np.ndarray, np.ndarray]


def _apart(x: Leaves, y: Leaves, bound: Leaves) -> Where | None:
    for leaf, one in x.items():
        with np.errstate(all="ignore"):
            beyond = np.flatnonzero(off(one, y[leaf]) > bound[leaf])
        if beyond.size:
            return leaf, int(beyond[0]), one, y[leaf]
    return None


def _parting(t: int, kind: str, slot: str, leaf: str, index: int, x: np.ndarray, y: np.ndarray) -> Parting:
    a, b = x.reshape(-1)[index], y.reshape(-1)[index]
    at = ", ".join(str(int(i)) for i in np.unravel_index(index, x.shape))
    gap = off(a, b)
    relative = float(gap / max(abs(a), abs(b))) if max(abs(a), abs(b)) else 0.0
    return Parting(t, kind, f"{slot}{leaf}[{at}]", float(a), float(b), float(gap), relative, ulps(a, b))


def ulps(a: np.ndarray, b: np.ndarray) -> int | None:
    """How many floating numbers lie between the two, the second included; None if one is not finite."""
    if not (np.isfinite(a) and np.isfinite(b)):
        return None
    places = []
    for x in (a, b):
        bits = int(np.abs(x).view(f"u{np.asarray(x).itemsize}"))
        places.append(-bits if np.signbit(x) else bits)
    return abs(places[0] - places[1])


def _largest(x: Trace, y: Trace, t: int) -> Difference:
    found = [(off(p, y.params[t][k]), p, y.params[t][k]) for k, p in x.params[t].items()]
    gaps = np.concatenate([gap.reshape(-1) for gap, _, _ in found])
    a, b = (np.concatenate([each[i].reshape(-1) for each in found]) for i in (1, 2))
    at = int(np.argmax(gaps))
    size = np.maximum(np.abs(a), np.abs(b))
    with np.errstate(all="ignore"):
        relative = np.where(gaps > 0, gaps / size, 0.0)
    return Difference(t, float(gaps[at]), float(relative.max()), ulps(a[at], b[at]))


def _order(x: Trace, y: Trace, first: int) -> str:
    """How the largest difference grows, in words: the better of a power of the step and an exponential."""
    steps = np.arange(first, len(x.params))
    gaps = np.array([_largest(x, y, int(t)).absolute for t in steps])
    if not np.all(np.isfinite(gaps)):
        return "becomes infinite"
    peak, last = gaps.max(), float(np.median(gaps[-max(1, gaps.size // 10) :]))
    if gaps.size < 8:
        return "has too few steps to tell how it grows"
    if last < peak / 10:
        return f"rises to {peak:.1e} and shrinks again"
    late = slice(gaps.size // 4, None)
    since, logs = np.log(steps[late] - first + 1.0), np.log(np.maximum(gaps[late], np.finfo(float).tiny))
    power, p_error = _fit(since, logs)
    rate, e_error = _fit(steps[late].astype(float), logs)
    if power < 0.2:
        return "stays about as large as it has become"
    if e_error < p_error / 2 and rate * (steps[-1] - steps[late][0]) > 3:
        return f"grows exponentially, doubling every {math.log(2) / rate:.1f} steps"
    return "grows linearly with the steps" if 0.8 <= power <= 1.25 else f"grows as the power {power:.1f} of the steps"


def _fit(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    slope, start = np.polyfit(x, y, 1)
    return float(slope), float(np.mean((y - slope * x - start) ** 2))


def built_as(run: Subject) -> Model | None:
    """What one of ours was built as, if its label can be read as literals."""
    optimizer = getattr(run, "optimizer", None)
    if not isinstance(optimizer, ss.Optimizer):
        return None
    try:
        spec = parse(repr(optimizer))
    except SpecError:
        return None
    if spec.name not in TEMPLATES:
        return None
    return fitted(spec.name, spec.kwargs)


def _explained(runs: list[Run], problem: Problem, drift: Drift) -> Explanation | None:
    a, b = (Search(trace, one.numbers, built_as(one)) for one, trace in runs)
    with np.errstate(all="ignore"):
        found = explain(a, b)
        turned = found is None or not found.closes
        again = explain(b, a) if turned else None
        if again and (found is None or again.closes):
            return _told(again, runs[::-1], problem, drift, swapped=True)
        return _told(found, runs, problem, drift) if found else None


def _told(found: Finding, runs: list[Run], problem: Problem, drift: Drift, swapped: bool = False) -> Explanation:
    """The finding in words, and what is left of the difference when our equal of the second runs by itself."""
    trace = runs[1][1]
    ours = record(Subject(found.second.build(), str(found.second), trace.lr), problem, len(trace.grads), "float64")
    after = max(_largest(ours, trace, t).absolute for t in range(1, len(trace.params)))
    before = max(_largest(runs[0][1], trace, t).absolute for t in range(1, len(trace.params)))
    names = ("A", "B") if swapped else ("B", "A")
    lines = tuple((conventions(c), sentence(c, *names)) for c in found.changes)
    pair = (str(found.second), str(found.first)) if swapped else (str(found.first), str(found.second))
    return Explanation(*pair, lines, before, after, found.closes, names[1])
