"""The recorded problem: gradients that depend on the parameters, in plain NumPy float64, without autodiff.

    g_t = curvature * (p - optimum) + noise_t / 2

Elementwise and from uniform numbers, so the same bits on every machine. In each leaf one coordinate is scaled by 1e-4
and one by 30; one has a gradient of exactly zero in steps 1 to 5, another in steps 21 to 25.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

import numpy as np

Leaves = dict[str, np.ndarray]
Schedule = Callable[[int], float]

STEPS = 50


class Posed(Protocol):
    """Where the params start, and the gradient at params in step t = 1, 2, ..."""

    def params(self) -> Leaves: ...

    def gradient(self, params: Leaves, t: int) -> Leaves: ...


@dataclass(frozen=True)
class Problem:
    """A noisy quadratic. `bad` are the steps in which one entry of the gradient is not finite."""

    shapes: dict[str, tuple[int, ...]]
    bad: dict[int, float] = field(default_factory=dict)

    def _uniform(self, stream: int) -> Leaves:
        rng = np.random.default_rng([2026, stream])
        return {leaf: rng.uniform(-1.0, 1.0, shape) for leaf, shape in self.shapes.items()}

    def params(self) -> Leaves:
        return self._uniform(0)

    def gradient(self, params: Leaves, t: int) -> Leaves:
        """The gradient at params in step t = 1, 2, ..."""
        optimum, stiffness, noise = self._uniform(1), self._uniform(2), self._uniform(2 + t)
        grads = {}
        for leaf, shape in self.shapes.items():
            g = ((1 + stiffness[leaf] / 2) * (params[leaf] - optimum[leaf]) + noise[leaf] / 2).reshape(-1)
            g[1] *= 1e-4
            g[4] *= 30.0
            if t <= 5:
                g[2] = 0.0
            if 21 <= t <= 25:
                g[5] = 0.0
            if t in self.bad:
                g[3] = self.bad[t]
            grads[leaf] = g.reshape(shape)
        return grads


@dataclass(frozen=True)
class Recorded:
    """Gradients that do not depend on the params: zeros, tiny ones, and a row that is there every tenth step only."""

    shapes: dict[str, tuple[int, ...]]

    def params(self) -> Leaves:
        return Problem(self.shapes).params()

    def gradient(self, params: Leaves, t: int) -> Leaves:
        rng = np.random.default_rng([2027, t])
        grads = {}
        for leaf, shape in self.shapes.items():
            g = rng.uniform(-1.0, 1.0, shape)
            g[rng.uniform(size=shape) < 0.2] = 0.0
            g[1] *= 1e-4
            if t % 10:
                g[3] = 0.0
            grads[leaf] = g
        return grads


@dataclass(frozen=True)
class Rosenbrock:
    """Valleys of Rosenbrock's function, ((1 - x)^2 + 100 (y - x^2)^2) / 200, one for each pair (x, y) of a leaf."""

    shapes: dict[str, tuple[int, ...]]

    def params(self) -> Leaves:
        made = {}
        for leaf, shape in self.shapes.items():
            p = np.empty(shape).reshape(-1, 2)
            p[:, 0], p[:, 1] = np.linspace(-1.2, 0.7, len(p)), 1.0
            made[leaf] = p.reshape(shape)
        return made

    def gradient(self, params: Leaves, t: int) -> Leaves:
        grads = {}
        for leaf, p in params.items():
            x, y = p.reshape(-1, 2).T
            g = np.stack([(x - 1) / 100 - 2 * x * (y - x * x), y - x * x], axis=1)
            grads[leaf] = g.reshape(p.shape)
        return grads


@dataclass(frozen=True)
class Softmax:
    """Softmax regression on 300 of the UCI digits, the whole batch in every step; from zeros; "b" may be left out."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"w": (64, 10), "b": (10,)})

    def params(self) -> Leaves:
        return {leaf: np.zeros(shape) for leaf, shape in self.shapes.items()}

    def gradient(self, params: Leaves, t: int) -> Leaves:
        x, labels = pictures()
        z = x @ params["w"] + params.get("b", 0.0)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        error = (e / e.sum(axis=1, keepdims=True) - np.eye(10)[labels]) / len(x)
        grads = {"w": x.T @ error, "b": error.sum(axis=0)}
        return {leaf: grads[leaf] for leaf in params}


@cache
def pictures() -> tuple[np.ndarray, np.ndarray]:
    """300 of the UCI digits, and what they are."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return found.data[:300] / 16.0, found.target[:300]


PROBLEMS = {
    "vector": Problem({"w": (5, 4), "b": (7,)}),
    "matrix": Problem({"w": (5, 4), "u": (4, 6)}),
    "tensor": Problem({"w": (3, 4, 2), "k": (2, 3, 2, 2)}),
    "bursts": Problem({"w": (5, 4), "b": (7,)}, bad={7: np.inf, 20: np.nan, 21: -np.inf, 22: np.nan}),
}

# On which every optimizer is held to the other library itself (tests/test_problems.py); nothing of them is recorded.
LIVE: dict[str, Posed] = {
    "recorded": Recorded({"w": (5, 4), "b": (7,)}),
    "rosenbrock": Rosenbrock({"w": (4, 6), "b": (4,)}),
    "digits": Softmax(),
}
MATRICES: dict[str, Posed] = {  # the same for what takes nothing but matrices
    "recorded": Recorded({"w": (5, 4), "u": (4, 6)}),
    "rosenbrock": Rosenbrock({"w": (4, 6), "u": (5, 4)}),
    "digits": Softmax({"w": (64, 10)}),
}


def wave(peak: float) -> Schedule:
    """A learning rate that rises and falls: 1/4, 2/4, 3/4, 1, 1/4, ... of its peak."""

    def schedule(count: int) -> float:
        return peak * (1 + count % 4) / 4

    schedule.__qualname__ = f"wave({peak})"
    return schedule
