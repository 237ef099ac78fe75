"""What an optimizer did on a problem, step by step, and how far rounding alone may take two of them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .adapters import Subject
from .problems import Problem
from .specs import FAILURES, SpecError

Leaves = dict[str, np.ndarray]
ROUNDING = 4  # units in the last place, in each step, of the largest that the entry has been


@dataclass
class Trace:
    """Params before the first step and after each, the gradients fed, and the entries of the state after each step."""

    params: list[Leaves]
    grads: list[Leaves] = field(default_factory=list)
    entries: list[dict[str, Leaves]] = field(default_factory=list)
    lr: Callable[[int], float] | None = None
    _largest: list[Leaves] = field(default_factory=list)

    def largest(self, t: int) -> Leaves:
        """The largest absolute value of each entry so far."""
        while len(self._largest) <= t:
            now = {k: np.abs(np.nan_to_num(p, posinf=0, neginf=0)) for k, p in self.params[len(self._largest)].items()}
            before = self._largest[-1] if self._largest else now
            self._largest.append({k: np.maximum(now[k], before[k]) for k in now})
        return self._largest[t]


def record(subject: Subject, problem: Problem, steps: int, dtype: str) -> Trace:
    """Run an optimizer on a problem, the gradients taken at its own params.

    Raises:
        SpecError: it fails, or returns other params than it was given; or the problem has no params.
    """
    try:
        start = {leaf: np.asarray(p, dtype) for leaf, p in problem.params().items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise SpecError(f"params() of a problem is a dict of arrays, one level deep: {error}") from error
    if not any(p.size for p in start.values()):
        raise SpecError(f"params() of a problem has something to move; got {_shapes(start) or 'nothing'}")
    trace = Trace([start], lr=subject.lr)
    with subject.settings(), np.errstate(all="ignore"):
        try:
            now, state = start, subject.init({k: p.copy() for k, p in start.items()})
        except FAILURES as error:
            raise SpecError(f"{subject.label} cannot init({_shapes(start)}): {error}") from error
        for count in range(steps):
            grads = problem.gradient({k: np.asarray(p, np.float64) for k, p in now.items()}, count + 1)
            grads = {leaf: np.asarray(g, dtype) for leaf, g in grads.items()}
            trace.grads.append(grads)
            try:
                given = {k: p.copy() for k, p in now.items()}, {k: g.copy() for k, g in grads.items()}
                now, state = subject.step(*given, state, count)
            except FAILURES as error:
                raise SpecError(f"{subject.label} fails in step {count + 1}: {error}") from error
            now = _numpy(now, start, subject.label)
            trace.params.append(now)
            trace.entries.append(subject.entries(state, start))
    return trace


def _numpy(params: Leaves, start: Leaves, label: str) -> Leaves:
    if not isinstance(params, dict) or params.keys() != start.keys():
        raise SpecError(f"{label}: step returns (params, state), params nested as given; got {type(params).__name__}")
    found = {leaf: np.array(p) for leaf, p in params.items()}
    wrong = {k: p for k, p in found.items() if p.shape != start[k].shape or p.dtype != start[k].dtype}
    if wrong:
        raise SpecError(f"{label}: step keeps shape and dtype, {_shapes(start)}; got {_shapes(wrong)}")
    return found


def _shapes(leaves: Leaves) -> str:
    return ", ".join(f"{leaf}: {p.dtype}{list(p.shape)}" for leaf, p in leaves.items())


def allowed(largest: Leaves, t: int, extra: float = 1.0) -> Leaves:
    """How far rounding alone may move each entry in t steps; `extra` for what is summed from differences."""
    info = np.finfo(next(iter(largest.values())).dtype)
    return {k: extra * ROUNDING * info.eps * t * x + info.tiny for k, x in largest.items()}


def off(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How far apart; not at all where both are the same infinity or NaN, infinitely where only one is."""
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(all="ignore"):
        found = np.where(same, 0.0, np.abs(a - b))
    return np.where(np.isnan(found), np.inf, found)
