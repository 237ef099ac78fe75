"""Which conventions two optimizers differ in: ours is made equal to one, then its options are changed until it is the
other, one at a time and in pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import samestep as ss
from samestep.errors import SamestepError

from .models import Model, Settings, coupling, fitted, flips, pairs, starts, translated
from .solve import solve
from .traces import Trace, allowed, off

CLOSE = 32  # how many times the bound of rounding an equal of ours may be off: it orders its operations by itself
TELLING = 3  # of an optimizer that does not tell its numbers: equal for so many steps, and they were guessed right
NEAREST = 4  # how many of our constructors a search goes into, nearest first


@dataclass(frozen=True)
class Change:
    """An option that differs, and its values for one and the other."""

    option: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Finding:
    """What closes the gap: our equal of one, our equal of the other, and the settings that tell them apart.

    Where the gap stays open, `second` is the nearest, and `closes` is False.
    """

    first: Model
    second: Model
    changes: tuple[Change, ...]
    closes: bool


class Search:
    """The tries against one optimizer's recorded trajectory; it is fed the gradients that the optimizer was fed.

    `told` are the numbers that it tells of itself; `hint` is what one of ours was built as.
    """

    def __init__(self, trace: Trace, told: Settings, hint: Model | None = None) -> None:
        self.trace, self.told, self.hint = trace, told, hint
        self._seen: dict[Model, tuple[int, float]] = {}
        self._fit: tuple[Model | None, ...] = ()

    def survives(self, model: Model) -> tuple[int, float]:
        """How many steps the model is equal, and minus how far it is off in the first where it is not."""
        if model not in self._seen:
            self._seen[model] = self._run(model)
        return self._seen[model]

    def equal(self, model: Model) -> bool:
        """Whether the model takes the trajectory."""
        return self.survives(model)[0] == len(self.trace.grads)

    def _run(self, model: Model) -> tuple[int, float]:
        optimizer = model.build()
        if optimizer is None:
            return -1, -np.inf
        try:
            with ss.use_backend("numpy"), np.errstate(all="ignore"):
                return self._followed(optimizer)
        except SamestepError:  # it takes no such leaves, or no such gradients
            return -1, -np.inf

    def _followed(self, optimizer: ss.Optimizer) -> tuple[int, float]:
        trace = self.trace
        params, state = trace.params[0], optimizer.init(trace.params[0])
        for count in range(len(trace.grads)):
            try:
                params, state = trace.fed(optimizer, params, state, count)
            except KeyError:  # it wants a gradient that the other did not
                return count or -1, -np.inf
            bound = allowed(trace.largest(count + 1), count + 1)
            theirs = trace.params[count + 1]
            miss = max(float(np.max(off(p, theirs[k]) / bound[k], initial=0.0)) for k, p in params.items())
            if miss > CLOSE:
                return count, -miss
        return len(trace.grads), 0.0

    def first(self, models: Iterable[Model]) -> Model | None:
        """The first that is equal."""
        return next((model for model in models if self.equal(model)), None)

    def fit(self) -> Model | None:
        """Our equal of this optimizer: from the nearest of our constructors, then of the families of `moments`."""
        self._fit = self._fit or (self._fitted(),)
        return self._fit[0]

    def _fitted(self) -> Model | None:
        begin = sorted(starts(self.told), key=self.survives, reverse=True)
        near = [m for m in begin if m.template != "moments"][:NEAREST]
        near += [m for m in begin if m.template == "moments"]
        tries = {
            plainly: [*([self.hint] if self.hint else []), *begin],
            singly: near,
            doubly: near[:2] + near[NEAREST:][:1],
        }
        for stage, beginnings in tries.items():
            for start in beginnings:
                found = self.first(stage(start, self.told))
                if found is not None:
                    return found
            if stage is singly and "lr" not in self.told and max(self._seen.values())[0] < TELLING:
                found = solve(self)
                if found is not None:
                    return found
        return None

    def nearest(self) -> Model:
        """Of all that were tried, the one that was equal for the longest."""
        return max(self._seen, key=lambda model: self._seen[model])

    def least(self, first: Model, found: Model) -> Model:
        """The same as found, with as much of the first as it can keep."""
        for name in [n for n, v in first.settings.items() if found.settings[n] != v]:
            fewer = found.but({name: first.settings[name]})
            found = fewer if self.equal(fewer) else found
        return found


def plainly(start: Model, known: Iterable[str]) -> Iterator[Model]:
    """The start as it is."""
    yield start


def singly(start: Model, known: Iterable[str]) -> Iterator[Model]:
    """The start with every single change; numbers that are known stay."""
    yield from (start.but(change) for change in flips(start, set(known)))


def doubly(start: Model, known: Iterable[str]) -> Iterator[Model]:
    """The start with every two changes."""
    yield from (start.but(change) for change in pairs(list(flips(start, set(known)))))


def explain(one: Search, other: Search) -> Finding | None:
    """What makes ours equal to one and to the other; None if nothing of ours is equal to the first."""
    first = one.fit()
    if first is None:
        return None
    firsts = [first]
    if first.template != "moments":  # the page that has the conventions of all
        same = one.first(translated(first))
        firsts += [same] if same else []
    from_told = [(f, fitted(f.template, other.told, dict(f.given)), tuple(other.told)) for f in firsts]
    from_first = [(f, f, ()) for f in firsts if (f, f, tuple(other.told)) not in from_told or other.told]
    for attempts in (from_told, from_first):
        for stage in (plainly, singly, doubly):
            for base, start, known in attempts:
                found = other.first(stage(start, known))
                if found is not None:
                    return _finding(base, other.least(base, found), closes=True)
    second = other.fit()
    return _finding(first, second or other.nearest(), closes=second is not None)


def _finding(first: Model, second: Model, closes: bool) -> Finding:
    if first.template != second.template:
        return Finding(first, second, (), closes)
    a, b = first.settings, second.settings
    for settings, model in ((a, first), (b, second)):
        settings["decay"] = coupling(model) if a["weight_decay"] and b["weight_decay"] else ""
    return Finding(first, second, tuple(Change(name, a[name], b[name]) for name in a if a[name] != b[name]), closes)
