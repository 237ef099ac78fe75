"""What compared optimizers are run on: first params, and gradients of them in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import util
from typing import Any, Protocol

import numpy as np

from samestep.errors import names

from .golden.problem import PROBLEMS as RECORDED
from .specs import SpecError

Leaves = dict[str, np.ndarray]


class Problem(Protocol):
    """Params to start from, and the gradient at any params in step t = 1, 2, ..."""

    def params(self) -> Leaves: ...

    def gradient(self, params: Leaves, t: int) -> Leaves: ...


@dataclass(frozen=True)
class Rosenbrock:
    """sum of 100 (y - x^2)^2 + (1 - x)^2 over ten pairs, from (-1.2, 1) and near it."""

    pairs: int = 10

    def params(self) -> Leaves:
        shift = np.linspace(0, 0.5, self.pairs)
        return {"x": -1.2 + shift, "y": 1.0 - shift}

    def gradient(self, params: Leaves, t: int) -> Leaves:
        x, y = params["x"], params["y"]
        return {"x": -400 * x * (y - x * x) - 2 * (1 - x), "y": 200 * (y - x * x)}


@dataclass(frozen=True)
class Recorded:
    """Gradients that do not depend on the params: all scales, exact zeros, and rows that are mostly zero."""

    shape: tuple[int, int] = (6, 4)

    def params(self) -> Leaves:
        rng = np.random.default_rng(7)
        return {"table": rng.uniform(-1, 1, self.shape), "bias": rng.uniform(-1, 1, 5)}

    def gradient(self, params: Leaves, t: int) -> Leaves:
        rng = np.random.default_rng([7, t])
        table = rng.standard_normal(self.shape) * 10.0 ** np.arange(1 - self.shape[1], 1)
        touched = np.arange(self.shape[0]) % 3 == t % 3
        bias = rng.standard_normal(5) / t
        bias[t % 5] = 0.0
        return {"table": np.where(touched[:, None], table, 0.0), "bias": bias}


class Digits:
    """Softmax regression on scikit-learn's handwritten digits, 64 of them in each step."""

    def __init__(self) -> None:
        if util.find_spec("sklearn") is None:
            raise SpecError(
                "problem 'digits' needs scikit-learn, which is not installed here: pip install scikit-learn"
            )
        from sklearn.datasets import load_digits

        pixels, self.labels = load_digits(return_X_y=True)
        self.pixels = pixels / 16.0

    def params(self) -> Leaves:
        return {"weights": np.random.default_rng(3).uniform(-0.1, 0.1, (64, 10)), "bias": np.zeros(10)}

    def gradient(self, params: Leaves, t: int) -> Leaves:
        chosen = np.random.default_rng([3, t]).integers(0, len(self.labels), 64)
        x, wrong = self.pixels[chosen], -np.eye(10)[self.labels[chosen]]
        scores = x @ params["weights"] + params["bias"]
        odds = np.exp(scores - scores.max(axis=1, keepdims=True))
        wrong += odds / odds.sum(axis=1, keepdims=True)
        return {"weights": x.T @ wrong / len(x), "bias": wrong.mean(axis=0)}


PROBLEMS: dict[str, Callable[[], Any]] = {
    "quadratic": lambda: RECORDED["vector"],  # noisy, with curvatures of 1e-4 and 30 beside 1, and with zeros
    "matrices": lambda: RECORDED["matrix"],  # the same in two matrices
    "rosenbrock": Rosenbrock,
    "recorded": Recorded,
    "digits": cache(Digits),
}


def find(problem: str | Problem) -> Problem:
    """A problem by its name; anything with `params()` and `gradient(params, t)` is one itself.

    Raises:
        SpecError: another name, or a problem that needs what is not installed.
    """
    if not isinstance(problem, str):
        if callable(getattr(problem, "params", None)) and callable(getattr(problem, "gradient", None)):
            return problem
        raise SpecError(f"a problem has params() and gradient(params, t); got {problem!r:.80}")
    if problem not in PROBLEMS:
        raise SpecError(f"problem must be one of {names(PROBLEMS)}; got {problem!r}")
    return PROBLEMS[problem]()
