"""Natasha: variance reduction for what is not convex, with a pull back to a centre.

Allen-Zhu, "Natasha: Faster Non-Convex Stochastic Optimization via Strongly Non-Convex Parameter", 2017,
https://arxiv.org/abs/1702.00763, Natasha-1; prox_a(x) = soft(x, a l1) / (1 + a l2), the step of l1 |x| + l2 / 2 |x|^2.

    u = g_batch(p) - g_batch(snapshot) + g_full(snapshot)
    p <- prox_lr(p - lr (u + 2 sigma (p - centre)))
    after a sub-epoch: centre, p <- the mean of its iterates, the first one too; or the p before one of its steps
    after an epoch of `parts` sub-epochs: snapshot <- centre
"""

from typing import Literal

from array_api_compat import array_namespace

from ..composition.prox import shrunk
from ..constructor import named
from ..errors import HyperparameterError
from ..modifiers.variance_reduced import at_snapshot, variance_reduced
from ..page import copy, count, given, nonnegative, stale, update

ALONE = "it retracts to a centre among its own steps"


def _at_centre(centre):
    return {"p": centre}


def _steps(every, parts):
    if every % parts:
        raise HyperparameterError(f"parts divide every; got every={every}, parts={parts}: write every={parts}")
    return every // parts


def _ended(xp, t, every, parts, p, at, centre, snapshot, stale):
    """What moves to this iterate where a sub-epoch is over, and where the epoch is."""
    over, last = t % _steps(every, parts) == 0, t % every == 0
    moved = {"p": xp.where(over, at, p), "centre": xp.where(over, at, centre)}
    return moved | {"snapshot": xp.where(last, at, snapshot), "stale": xp.where(last, 1.0, stale)}


@update(alone=ALONE, query=at_snapshot, eval=_at_centre, centre=copy, mean=copy, snapshot=copy, stale=stale)
def natasha_step(
    p, u, centre, mean, snapshot, stale, t, *, lr: nonnegative, sigma: nonnegative, every: count, parts: count = 10,
    l1: nonnegative | None = None, l2: nonnegative | None = None,
):  # fmt: skip
    """The step of Natasha-1 behind `variance_reduced`; equations and source: help("samestep.algorithms.natasha").

    Args:
        lr, sigma, every, parts, l1, l2: as in `natasha`; there are 10 parts, None is the form without the term.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.natasha_step(0.1, 0.01, every=20)) == ss.natasha(0.1, sigma=0.01, every=20)
    True
    """
    xp = array_namespace(p)
    k = (t - 1) % _steps(every, parts)  # in the sub-epoch
    mean = xp.where(k == 0, p, mean)
    p = shrunk(p - lr * (u + 2 * sigma * (p - centre)), lr, l1, l2)
    mean = mean + (p - mean) / (k + 2)
    return {"mean": mean} | _ended(xp, t, every, parts, p, mean, centre, snapshot, stale)


@update(
    alone=ALONE, query=at_snapshot, eval=_at_centre, centre=copy, chosen=copy, snapshot=copy, stale=stale, coin=given
)
def natasha_random_step(
    p, u, centre, chosen, snapshot, stale, coin, t, *, lr: nonnegative, sigma: nonnegative, every: count,
    parts: count = 10, l1: nonnegative | None = None, l2: nonnegative | None = None,
):  # fmt: skip
    """The same with an iterate that the caller draws for the centre: help("samestep.algorithms.natasha").

    Args:
        lr, sigma, every, parts, l1, l2: as in `natasha_step`.

    >>> import samestep as ss
    >>> ss.natasha_random_step(0.1, 0.01, every=20)
    natasha_random_step(lr=0.1, sigma=0.01, every=20, parts=10, l1=None, l2=None)
    """
    xp = array_namespace(p)
    chosen = xp.where(coin != 0, p, chosen)
    p = shrunk(p - lr * (u + 2 * sigma * (p - centre)), lr, l1, l2)
    return {"chosen": chosen} | _ended(xp, t, every, parts, p, chosen, centre, snapshot, stale)


@named(variance_reduced, natasha_step)
def natasha(
    lr: nonnegative, *, iterate: Literal["average", "random"] = "average",
    l1: nonnegative = 0.0, l2: nonnegative = 0.0, **hyper,
):  # fmt: skip
    """Natasha-1 (Allen-Zhu, 2017, https://arxiv.org/abs/1702.00763).

        p <- prox_lr(p - lr (g_batch(p) - g_batch(snapshot) + g_full(snapshot) + 2 sigma (p - centre)))

    Args:
        lr: step size.
        sigma: how far from convex the objective is: its curvature is at least -sigma.
        every: steps in an epoch, a multiple of parts.
        parts: sub-epochs of an epoch, after each of which the centre moves, 10.
        iterate: to the "average" of its iterates; or to a "random" one, as of `svrg`, which the caller draws in each.
        l1, l2: of the objective l1 |p| + l2 / 2 |p|^2 beside the one whose gradients are given, 0.
        maximize: climb instead of descend, False.

    Verbs as of `svrg`; `eval_params` gives the centre. "random", and large batches for `refresh`, make it Natasha-1.5.

    Params are floating arrays of any shape; slots `g_full`, `centre`, `snapshot`, and `mean` or `chosen` in the compute
    dtype, and the number `stale`; `coin` is given with "random".

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain; at `init`: every no multiple of parts.
        ChainError: a direction part in the same chain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.natasha(0.5, sigma=0.0, every=2, parts=2), np.array([1.0])
    >>> state = opt.refresh(params, np.array([2.0]), opt.init(params))
    >>> opt.step(params, {"x": np.array([1.0]), "snapshot": np.array([1.0])}, state)[0]
    array([0.5])
    """
    step = natasha_random_step if iterate == "random" else natasha_step
    return [variance_reduced(), step(lr, l1=l1 or None, l2=l2 or None, **hyper)]
