"""Natasha: variance reduction for what is not convex, with a pull back to a centre.

Allen-Zhu, "Natasha: Faster Non-Convex Stochastic Optimization via Strongly Non-Convex Parameter", 2017,
https://arxiv.org/abs/1702.00763, Natasha-1, without a proximal term; the mean of the iterates where the paper leaves a
choice.

    u = g_batch(p) - g_batch(snapshot) + g_full(snapshot)
    p <- p - lr (u + 2 sigma (p - centre))
    after a sub-epoch: centre, p <- the mean of its iterates, the first one too
    after an epoch of `parts` sub-epochs: snapshot <- centre
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..modifiers.variance_reduced import at_snapshot, variance_reduced
from ..page import copy, count, nonnegative, stale, update


def _at_centre(centre):
    return {"p": centre}


@update(
    alone="it retracts to the mean of its own steps",
    query=at_snapshot,
    eval=_at_centre,
    centre=copy,
    mean=copy,
    snapshot=copy,
    stale=stale,
)
def natasha_step(
    p, u, centre, mean, snapshot, stale, t, *, lr: nonnegative, sigma: nonnegative, every: count, parts: count = 10
):
    """The step of Natasha-1 behind `variance_reduced`; equations and source: help("samestep.algorithms.natasha").

    Args:
        lr, sigma, every, parts: as in `natasha`; there are 10 parts.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.natasha_step(0.1, 0.01, every=20)) == ss.natasha(0.1, sigma=0.01, every=20)
    True
    """
    xp = array_namespace(p)
    if every % parts:
        raise HyperparameterError(f"every is a multiple of parts, the sub-epochs of an epoch; got {every} and {parts}")
    steps = every // parts
    k = (t - 1) % steps  # in the sub-epoch
    mean = xp.where(k == 0, p, mean)
    p = p - lr * (u + 2 * sigma * (p - centre))
    mean = mean + (p - mean) / (k + 2)
    over, last = t % steps == 0, t % every == 0
    return {
        "p": xp.where(over, mean, p),
        "centre": xp.where(over, mean, centre),
        "mean": mean,
        "snapshot": xp.where(last, mean, snapshot),
        "stale": xp.where(last, 1.0, stale),
    }


@named(variance_reduced, natasha_step)
def natasha(lr: nonnegative, **hyper):
    """Natasha-1 (Allen-Zhu, 2017, https://arxiv.org/abs/1702.00763).

        p <- p - lr (g_batch(p) - g_batch(snapshot) + g_full(snapshot) + 2 sigma (p - centre))

    Args:
        lr: step size.
        sigma: how far from convex the objective is: its curvature is at least -sigma.
        every: steps in an epoch, a multiple of parts.
        parts: sub-epochs of an epoch, after each of which the centre moves to the mean of its iterates, 10.
        maximize: climb instead of descend, False.

    Verbs as of `svrg`; `eval_params` gives the centre.

    Params are floating arrays of any shape; slots `g_full`, `centre`, `mean` and `snapshot` in the compute dtype, and
    the number `stale`.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or (at `init`) every no multiple of parts.
        ChainError: a direction part in the same chain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.natasha(0.5, sigma=0.0, every=2, parts=2), np.array([1.0])
    >>> state = opt.refresh(params, np.array([2.0]), opt.init(params))
    >>> opt.step(params, {"x": np.array([1.0]), "snapshot": np.array([1.0])}, state)[0]
    array([0.5])
    """
    return [variance_reduced(), natasha_step(lr, **hyper)]
