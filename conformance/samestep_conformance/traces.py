"""What an optimizer did on a problem, step by step, and how far rounding alone may take two of them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from samestep.errors import names

from .adapters import Subject
from .bits import FAILURES
from .feeding import taken, wants_more
from .problems import Problem
from .specs import SpecError

Leaves = dict[str, np.ndarray]
ROUNDING = 4  # units in the last place, in each step, of the largest that the entry has been


@dataclass
class Trace:
    """Params before the first step and after each, the gradients fed, and the entries of the state after each step.

    The gradients of a step by name: "x" and, where it takes more, "snapshot" and "full".
    """

    params: list[Leaves]
    grads: list[dict[str, Leaves]] = field(default_factory=list)
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

    def fed(self, optimizer: Any, params: Leaves, state: Any, count: int) -> tuple[Leaves, Any]:
        """The same step of another of ours; a KeyError where it wants a gradient that this one did not."""
        given = self.grads[count]
        extra: Any = {} if self.lr is None else {"lr": self.lr(count)}
        if wants_more(optimizer):
            return taken(optimizer, params, state, lambda name, _: given[name], **extra)
        return optimizer.step(params, given["x"], state, **extra)


class Asked:
    """The gradients of a step, as an optimizer asks for them; what it was given, and what the problem raised."""

    def __init__(self, problem: Problem, dtype: str, now: range, all_data: range) -> None:
        self.problem, self.dtype = problem, dtype
        self.steps = {"x": now, "snapshot": now, "full": all_data}
        self.given: dict[str, Leaves] = {}
        self.error: BaseException | None = None

    def __call__(self, name: str, at: Leaves) -> Leaves:
        wide = {k: np.asarray(p, np.float64) for k, p in at.items()}
        steps = self.steps[name]
        try:
            found = [self.problem.gradient(wide, t) for t in steps]
        except BaseException as error:
            self.error = error
            raise
        mean = found[0] if len(steps) == 1 else {k: sum(g[k] for g in found) / len(steps) for k in found[0]}
        self.given[name] = {leaf: np.asarray(g, self.dtype) for leaf, g in mean.items()}
        return {leaf: g.copy() for leaf, g in self.given[name].items()}


def record(subject: Subject, problem: Problem, steps: int, dtype: str) -> Trace:
    """Run an optimizer on a problem, the gradients taken at its own params, or where it wants them.

    The gradient of all data is the mean over the steps of the run.

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
            asked = Asked(problem, dtype, range(count + 1, count + 2), range(1, steps + 1))
            trace.grads.append(asked.given)
            try:
                now, state = subject.fed({k: p.copy() for k, p in now.items()}, asked, state, count)
            except FAILURES as error:
                if error is asked.error:
                    raise
                raise SpecError(f"{subject.label} fails in step {count + 1}: {error}") from error
            now = _numpy(now, start, subject.label)
            trace.params.append(now)
            trace.entries.append(subject.entries(state, start))
    return trace


def _numpy(params: Leaves, start: Leaves, label: str) -> Leaves:
    if not isinstance(params, dict) or params.keys() != start.keys():
        got = f"leaves {names(params)}" if isinstance(params, dict) else type(params).__name__
        raise SpecError(f"{label}: step returns (params, state), params with leaves {names(start)}; got {got}")
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
