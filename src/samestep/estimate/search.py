"""Gradients of an expected loss, from samples alone: evolution strategies, and the score function (REINFORCE).

Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", 1992,
https://doi.org/10.1007/BF00992696; Salimans et al., "Evolution Strategies as a Scalable Alternative to Reinforcement
Learning", 2017, https://arxiv.org/abs/1703.03864.

    grad E_q f = E_q (f - b) grad log q             for any baseline b that the sample does not decide
    q = N(p, sigma^2):  E (f(p + sigma u) - b) / sigma u
    "mean"      b_i = the mean of the others' f
    "optimal"   b_i = sum of f |s|^2 / sum of |s|^2 over the others, s = grad log q: of least variance
"""

from collections.abc import Callable
from typing import Any, Literal

from ..errors import HyperparameterError
from ..hypers import count, positive
from .point import Point, estimator


def _minus_baseline(at: Point, xp: Any, f: Any, directions: list, baseline: Any) -> Any:
    """f - b, where b does not know its own sample: so the mean stays what it is."""
    if not isinstance(baseline, str):
        return f - baseline
    weight = xp.ones_like(f) if baseline == "mean" else at.vector([at.square(d) for d in directions])[1]
    others, rest = xp.sum(f * weight) - f * weight, xp.sum(weight) - weight
    return f - xp.where(rest == 0, xp.zeros_like(f), others / xp.where(rest == 0, xp.ones_like(f), rest))


def _ranks(xp: Any, f: Any) -> Any:
    """From -1/2 for the lowest to 1/2 for the highest; equal ones share theirs, nan stays."""
    column = xp.reshape(f, (-1, 1))
    below = xp.sum(xp.where(f < column, 1.0, 0.0) + xp.where(f == column, 0.5, 0.0), axis=1) - 0.5
    return xp.where(f == f, below / (f.shape[0] - 1) - 0.5, f)


def _enough(n: int, what: str) -> None:
    if n < 2:
        raise HyperparameterError(f"{what} compares samples with each other: n must be at least 2; got {n}")


@estimator
def evolution(
    loss: Callable, params: Any, noise: Callable, *, sigma: positive = 1e-3, n: count = 10,
    baseline: Literal["mirrored", "point", "mean", "optimal", "none"] | float = "mirrored", ranks: bool = False,
) -> Any:  # fmt: skip
    """The gradient of the loss smoothed by noise, as evolution strategies estimate it.

        g = mean of (f(p + sigma u) - b) / sigma u;   mirrored: (f(p + sigma u) - f(p - sigma u)) / (2 sigma) u

    Args:
        loss, params, noise: as for `spsa`.
        sigma: the standard deviation of the search around the params, 1e-3; for params of 16 bits above their spacing.
        n: directions, 10; the loss is called twice for each if mirrored.
        baseline: what f is compared with: "mirrored", the opposite point; "point", f(p); "mean" or "optimal", of the
            other samples, weighted by |u|^2 for the least variance; "none", 0; or a float, such as a mean of the past.
        ranks: put ranks from -1/2 to 1/2 in the place of f, so that no scale and no outlier matters, False. Ranks need
            no baseline: "mirrored" or "none".

    Unbiased for the loss smoothed with Gaussian noise, all baselines alike; with ranks it is a direction.

    Returns:
        The gradients, as of `finite_difference`.

    Raises:
        HyperparameterError: a number is outside its domain, the loss gives none, or n is 1 where samples are compared.
        LeafError: a leaf is no real floating array, or the noise has not its shape.

    >>> import numpy as np, samestep as ss
    >>> noise = np.random.default_rng(0).standard_normal
    >>> g = ss.estimate.evolution(lambda p: float(p @ p), np.array([3.0, 1.0]), noise, n=1000)
    >>> bool(np.abs(g - [6.0, 2.0]).max() < 1)
    True
    """
    word = baseline if isinstance(baseline, str) else "a number"
    if ranks and word not in ("mirrored", "none"):
        raise HyperparameterError(f"ranks need no baseline: 'mirrored' or 'none'; got {baseline!r}")
    if word in ("mean", "optimal") or (ranks and word == "none"):
        _enough(n, "ranks" if ranks else f"baseline={baseline!r}")
    at = Point(params)
    drawn = [at.draw(noise) for _ in range(n)]
    values = [at.value(loss, u, sigma) for u in drawn]
    if word == "mirrored":
        values += [at.value(loss, u, -sigma) for u in drawn]
    if word in ("point", "none"):
        baseline = at.value(loss) if word == "point" else 0.0
    with at.working(values, baseline, sigma, drawn):
        xp, f = at.vector(values)
        f = _ranks(xp, f) if ranks else f
        f = (f[:n] - f[n:]) / 2 if word == "mirrored" else _minus_baseline(at, xp, f, drawn, baseline)
        return at.rebuild(at.total(f / (sigma * n), drawn))


@estimator
def score_function(
    cost: Callable, params: Any, sample: Callable, score: Callable, *, n: count = 10,
    baseline: Literal["mean", "optimal", "none"] | float = "mean",
) -> Any:  # fmt: skip
    """The gradient of the expected cost of what is drawn from a distribution: the policy gradient.

        g = mean of (cost(x) - b) grad log q(x; params)

    Args:
        cost: a function of a sample that gives one number.
        params: those of the distribution, as a step takes them.
        sample: a function of params that draws one sample, which may be anything.
        score: a function of params and a sample that gives grad log q, a nesting of arrays like the params.
        n: samples, 10.
        baseline: what a cost is compared with: "mean" of the others, "optimal", their mean weighted by |score|^2, which
            has the least variance, "none", 0; or a float, such as a mean of the past.

    Unbiased, all baselines alike. For a normal distribution around the params this is `evolution`.

    Returns:
        The gradients, as of `finite_difference`.

    Raises:
        HyperparameterError: n is 1 where samples are compared, or the cost gives no number.
        TreeError, LeafError: the score is no nesting of arrays like the params, or a leaf no real floating array.

    >>> import numpy as np, samestep as ss
    >>> rng, logit = np.random.default_rng(0), np.array(0.0)  # of a coin, whose heads cost 1
    >>> heads = lambda z: float(rng.random() < 1 / (1 + np.exp(-z)))
    >>> g = ss.estimate.score_function(lambda x: x, logit, heads, lambda z, x: x - 1 / (1 + np.exp(-z)), n=1000)
    >>> abs(float(g) - 0.25) < 0.02
    True
    """
    word = baseline if isinstance(baseline, str) else "a number"
    if word in ("mean", "optimal"):
        _enough(n, f"baseline={baseline!r}")
    at = Point(params)
    drawn = [sample(params) for _ in range(n)]
    costs = [at.number(cost(x), "cost") for x in drawn]
    scores = [at.tree(score(params, x), "the score") for x in drawn]
    baseline = 0.0 if word == "none" else baseline
    with at.working(costs, baseline, scores):
        xp, f = at.vector(costs)
        return at.rebuild(at.total(_minus_baseline(at, xp, f, scores, baseline) / n, scores))
