"""The recorded problem: gradients that depend on the parameters, in plain NumPy float64, without autodiff.

    g_t = curvature * (p - optimum) + noise_t / 2

Elementwise and from uniform numbers, so the same bits on every machine. In each leaf one coordinate is scaled by 1e-4
and one by 30; one has a gradient of exactly zero in steps 1 to 5, another in steps 21 to 25.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Leaves = dict[str, np.ndarray]
Schedule = Callable[[int], float]

STEPS = 50


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


PROBLEMS = {
    "vector": Problem({"w": (5, 4), "b": (7,)}),
    "matrix": Problem({"w": (5, 4), "u": (4, 6)}),
    "bursts": Problem({"w": (5, 4), "b": (7,)}, bad={7: np.inf, 20: np.nan, 21: -np.inf, 22: np.nan}),
}


def wave(peak: float) -> Schedule:
    """A learning rate that rises and falls: 1/4, 2/4, 3/4, 1, 1/4, ... of its peak."""

    def schedule(count: int) -> float:
        return peak * (1 + count % 4) / 4

    schedule.__qualname__ = f"wave({peak})"
    return schedule
