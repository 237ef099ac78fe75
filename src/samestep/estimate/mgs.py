"""MGS: a step towards a cost without a gradient, among candidates around the gradient of a surrogate.

Welleck, Cho, "MLE-Guided Parameter Search for Task Loss Minimization in Neural Sequence Modeling", 2020,
https://arxiv.org/abs/2006.03158; Su, https://kexue.fm/archives/7737.

    mu = -grads, clipped to max_norm over all leaves
    D_i = s z_i, or mu + s z_i in its turn;   s = sigma mean|mu| of the leaf ("uniform") or sigma ("constant")
    q(D) = lam N(0, s^2) + (1 - lam) N(mu, s^2),   where the candidates come from
    w = softmax of -beta cost(p + D_i) - log q(D_i)
    g = -sum of w_i D_i, clipped to max_norm

cost(p), which the paper takes from the costs, is the same for all candidates and drops out, and with it the authors'
limit of 1e16 for beta times the difference, which only an infinite cost(p) meets. Their code has 1 in the place of s in
q, whatever the noise, and exp before log: for a large model log 0, and all nan ("official").
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..hypers import count, fraction, nonnegative, positive
from .point import Direction, Number, Point, estimator


@estimator
def mgs(
    cost: Callable, params: Any, grads: Any, noise: Callable, *, n: count = 4, sigma: positive = 1.0,
    beta: nonnegative = 100.0, lam: fraction = 0.5, scale: Literal["uniform", "constant"] = "uniform",
    density: Literal["mixture", "official"] = "mixture", max_norm: positive | None = 1.0,
) -> Any:  # fmt: skip
    """The direction of MLE-guided parameter search: candidates around a surrogate's gradient, weighed by their cost.

        D = z or mu + z, mu = -grads;  w = softmax(-beta cost(p + D) - log q(D));  g = -sum of w D

    Args:
        cost: a function of params that gives one number, such as the edit distance of what is decoded.
        params: as for `finite_difference`.
        grads: the gradients of a surrogate that has some, such as the likelihood; None leaves a leaf where it is.
        noise: as for `spsa`; normal, or q is not the density of the candidates.
        n: candidates, 4; the cost is called once for each.
        sigma, scale: how wide they spread, 1: times the mean of |mu| in the leaf, "uniform", or by itself, "constant".
        beta: how sharply costs decide, 100; 1 / beta is Su's alpha.
        lam: the share of candidates around p, 0.5; the others are around p + mu. 0 or 1 leaves one kind.
        density: "mixture", with the spread that the noise has, or "official", the authors', with 1.
        max_norm: to which the surrogate's gradient and the result are clipped, over all leaves, 1; None clips neither.

    Returns:
        A nesting like the params, in their compute dtype, to be given to any optimizer (Adam in the paper).

    Raises:
        HyperparameterError: a number is outside its domain, or the cost gives none.
        TreeError, LeafError: the gradients do not fit the params, or the noise has not its shape.

    >>> import numpy as np, samestep as ss
    >>> p, surrogate = np.array([1.0, 1.0]), np.array([0.1, 0.3])
    >>> g = ss.estimate.mgs(lambda p: float(abs(p).sum()), p, surrogate, np.random.default_rng(0).standard_normal)
    >>> bool((g > 0).all())
    True
    """
    at = Point(params)
    given = at.tree(grads, "grads")
    with at.working(given, sigma):
        mu = [None if g is None else -g for g in _clipped(at, given, max_norm)]
        spread = [_spread(at, m, sigma, scale) for m in mu]
    drawn: list[Direction] = []
    for i in range(n):
        z = at.draw(noise, like=mu)
        with at.working(z, mu, spread):
            centred = math.floor((i + 1) * lam) > math.floor(i * lam)
            moves = [None if x is None else at.times(s, x, p) for s, x, p in zip(spread, z, at.leaves, strict=True)]
            drawn.append(moves if centred else _joined(moves, mu, 1))
    costs = [at.value(cost, d, what="cost") for d in drawn]
    with at.working(costs, drawn, mu, spread, beta):
        log_q = [(_mixture if density == "mixture" else _official)(at, d, mu, spread, lam) for d in drawn]
        xp, found = at.vector([*costs, *log_q])
        score = -beta * found[:n] - found[n:]
        w = xp.exp(score - xp.max(score))
        total = at.total(-w / xp.sum(w), drawn)
        return at.rebuild(_clipped(at, total, max_norm))


def _joined(a: Direction, b: Direction, sign: int) -> Direction:
    return [None if x is None else x + sign * y for x, y in zip(a, b, strict=True)]


def _spread(at: Point, mu: Any, sigma: Number, scale: str) -> Number:
    """The standard deviation of the noise in a leaf."""
    if scale == "constant" or mu is None:
        return sigma
    return sigma * at.sums([abs(mu)])[0] / max(math.prod(mu.shape), 1)


def _clipped(at: Point, direction: Direction, max_norm: Number | None) -> Direction:
    """As `clip_by_global_norm` has it; a norm that is not finite makes all nan, so that it is seen."""
    if max_norm is None:
        return direction
    xp, square = at.vector([at.square(direction)])
    norm = xp.sqrt(square)
    large = norm > max_norm
    factor = xp.where(large, max_norm / xp.where(large, norm, xp.ones_like(norm)), xp.ones_like(norm)) + (norm - norm)
    return at.total(factor, [direction])


def _mixture(at: Point, d: Direction, mu: Direction, spread: list[Number], lam: float) -> Number:
    """log q, but for a constant; a leaf without spread has no noise, and says nothing."""
    far, near = at.sums(d, squared=True), at.sums(_joined(d, mu, -1), squared=True)
    xp, found = at.vector([*far, *near, *spread, *map(_log, (lam, 1 - lam))])
    size = len(d)
    s = found[2 * size : 3 * size]
    half = xp.where(s == 0, xp.zeros_like(s), 0.5 / xp.where(s == 0, xp.ones_like(s), s * s))
    a, b = found[-2] - xp.sum(found[:size] * half), found[-1] - xp.sum(found[size : 2 * size] * half)
    return _number(xp.logaddexp(a, b))


def _official(at: Point, d: Direction, mu: Direction, spread: list[Number], lam: float) -> Number:
    dot = sum(at.sums([None if x is None else x * y for x, y in zip(d, mu, strict=True)]), 0.0)
    xp, found = at.vector([at.square(d), dot, at.square(mu)])
    far = -found[0] / 2
    return _number(xp.log(lam * xp.exp(far) + (1 - lam) * xp.exp(far + found[1] - found[2] / 2)))


def _log(x: float) -> float:
    return math.log(x) if x else -math.inf


def _number(x: Any) -> Number:
    return float(x) if isinstance(x, np.generic) else x
