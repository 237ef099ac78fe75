"""The numbers of an optimizer that tells none: least squares on the first steps of its trajectory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

import samestep as ss

from .models import FAMILIES, NUMBERS, Model, defaults, options

if TYPE_CHECKING:
    from .conventions import Search

STEPS = 10  # of the trajectory, that are fitted
RUNS = 3000  # of them, before it is given up
STRIDE = 1.5  # how far a logarithm goes in a step
DIGITS = (2, 3, 4, 6, 9)  # a number is first taken for one of few digits
MEANS = ("beta1", "beta2", "rho", "momentum")  # of which 1 - x is what decides
SOLVED = 1e-10  # the sum of squares below which the numbers are as good as found
EPS = 1e-6  # from where it can be seen to go up and down
DECAYS: tuple[dict[str, Any], ...] = ({}, {"weight_decay": 0.01}, {"weight_decay": 0.01, "decay": "decoupled"})
UNTOUCHED = ("decay", "cautious", "maximize")
START: dict[str, dict[str, float]] = {"adam": {}, "nadam": {}, "sgd": {"beta1": 0.5}, "rmsprop": {}, "adagrad": {}}


def solve(search: Search) -> Model | None:
    """A family of `moments` whose numbers can be chosen so that it is equal, or such a family with one other option."""
    fit, begun = _Fit(search), []
    for name, base in FAMILIES.items():
        start = Model("moments", ()).but({**base, **START[name], "eps": EPS})
        fits = [fit.best(start.but(decay)) for decay in DECAYS]
        begun.append(min(fits, key=lambda each: each[1]))
    begun.sort(key=lambda each: each[1])
    others = (fit.best(other) for model, _ in begun[:2] for other in _others(_again(model)))
    found = next((model for model, off in itertools.chain(begun, others) if off < SOLVED), None)
    return fit.rounded(found) if found else None


def _again(model: Model) -> Model:
    """The fitted rates, and the other numbers from where they can be found again."""
    usual = defaults(model.template)
    return model.but({"eps": EPS, "beta2": usual["beta2"], "psi": usual["psi"]})


def _others(model: Model) -> Iterator[Model]:
    for name, allowed in options(model.template).items():
        if name not in UNTOUCHED:
            yield from (model.but({name: x}) for x in allowed if x != model.settings[name])


class _Fit:
    """Levenberg and Marquardt's method, in the logarithms of the numbers; of means, of x / (1 - x)."""

    def __init__(self, search: Search) -> None:
        self.search, self.left = search, RUNS

    def best(self, model: Model, rounds: int = 18) -> tuple[Model, float]:
        """The model with the numbers that fit best, and the sum of squares that is left."""
        free = [n for n in ("lr", *NUMBERS) if isinstance(model.settings.get(n), float) and model.settings[n] > 0]
        x = np.array([_to(n, model.settings[n]) for n in free])
        miss = self._missed(model, free, x)
        damp, size = 1e-3, float(miss @ miss)
        for _ in range(rounds):
            if self.left <= 0 or not np.isfinite(size) or size < 1e-20:
                break
            slopes = np.stack([(self._missed(model, free, x + h) - miss) / 1e-6 for h in 1e-6 * np.eye(x.size)], axis=1)
            if not np.all(np.isfinite(slopes)):
                break
            better = False
            for _ in range(6):
                square = slopes.T @ slopes
                step = np.linalg.lstsq(square + damp * np.diag(np.diag(square) + 1e-12), -slopes.T @ miss, rcond=None)[
                    0
                ]
                there = x + np.clip(step, -STRIDE, STRIDE)
                trial = self._missed(model, free, there)
                better = float(trial @ trial) < size
                if better:
                    break
                damp *= 10
            if not better:
                break
            slow = float(trial @ trial) > 0.99 * size
            x, miss, size, damp = there, trial, float(trial @ trial), damp / 10
            if slow:
                break
        return model.but({n: _from(n, v) for n, v in zip(free, x, strict=True)}), size

    def rounded(self, model: Model) -> Model | None:
        """The model with as few digits as it is equal with."""
        numbers = {n: model.settings[n] for n in ("lr", *NUMBERS) if isinstance(model.settings.get(n), float)}
        for digits in DIGITS:
            found = model.but({n: _short(n, v, digits) for n, v in numbers.items()})
            if self.search.equal(found):
                return found
        return None

    def _missed(self, model: Model, free: list[str], x: np.ndarray) -> np.ndarray:
        """How far each param is off after each step, as a part of how far it has moved."""
        self.left -= 1
        optimizer = model.but({n: _from(n, v) for n, v in zip(free, x, strict=True)}).build()
        trace = self.search.trace
        params, found = trace.params[0], []
        if optimizer is None:
            return np.full(1, np.inf)
        with ss.use_backend("numpy"), np.errstate(all="ignore"):
            state = optimizer.init(params)
            for count in range(len(trace.grads[:STEPS])):
                params, state = trace.fed(optimizer, params, state, count)
                for leaf, p in params.items():
                    theirs = trace.params[count + 1][leaf]
                    moved = np.abs(theirs - trace.params[0][leaf])
                    found.append(((p - theirs) / np.maximum(moved, 1e-12 + 1e-3 * moved.max(initial=0.0))).reshape(-1))
        return np.concatenate(found)


def _short(name: str, value: float, digits: int) -> float:
    if name in MEANS:
        return round(1 - float(f"{1 - value:.{digits}g}"), 12)
    return float(f"{value:.{digits}g}")


def _to(name: str, value: float) -> float:
    return float(np.log(value / (1 - value)) if name in MEANS else np.log(value))


def _from(name: str, x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -30, 30))) if name in MEANS else np.exp(np.clip(x, -60, 20)))
