"""INDEPENDENT TRANSCRIPTIONS, for what no package has: the card in plain NumPy, written without looking at our pages.

They are weaker evidence than the golden trajectories: both sides were written from one text.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from samestep_conformance.golden.problem import STEPS, Leaves, Problem


def amsgrad_inplace(problem: Problem) -> Iterator[Leaves]:
    """Part B 5.2: v <- v + k_t max(g^2 - v, 0), k_t = (1 - b2) / (1 - b2^t): one buffer that never falls."""
    lr, beta1, beta2, eps = 0.01, 0.9, 0.9, 1e-8
    params = problem.params()
    m = {leaf: np.zeros_like(p) for leaf, p in params.items()}
    v = {leaf: np.zeros_like(p) for leaf, p in params.items()}
    for t in range(1, STEPS + 1):
        for leaf, g in problem.gradient(params, t).items():
            m[leaf] = beta1 * m[leaf] + (1 - beta1) * g
            v[leaf] = v[leaf] + (1 - beta2) / (1 - beta2**t) * np.maximum(g * g - v[leaf], 0)
            params[leaf] = params[leaf] - lr * m[leaf] / (1 - beta1**t) / (np.sqrt(v[leaf]) + eps)
        yield dict(params)


TRANSCRIPTIONS: dict[str, tuple[Callable[[Any], Any], Callable[[Problem], Iterator[Leaves]]]] = {
    "adam_amsgrad_inplace": (lambda ss: ss.adam(0.01, beta2=0.9, amsgrad="inplace"), amsgrad_inplace),
}
