"""SVRG: gradient descent whose noise dies out, in epochs or (L-SVRG) by the toss of a coin.

Johnson, Zhang, "Accelerating Stochastic Gradient Descent using Predictive Variance Reduction", 2013,
https://papers.nips.cc/paper/4937-accelerating-stochastic-gradient-descent-using-predictive-variance-reduction.
Kovalev, Horvath, Richtarik, "Don't Jump Through Hoops and Remove Those Loops", 2020, https://arxiv.org/abs/1901.08689,
L-SVRG. Xiao, Zhang, "A Proximal Stochastic Gradient Method with Progressive Variance Reduction", 2014,
https://arxiv.org/abs/1403.4699, the average.

    u = g_batch(p) - g_batch(snapshot) + g_full(snapshot);   p <- p - lr u
    svrg:   snapshot <- p after the step, every so many steps; or snapshot, p <- the mean of these p, or the p before
            one of these steps
    l_svrg: snapshot <- p before the step, where the coin says so
"""

from typing import Literal

from ..constructor import named
from ..modifiers.descend import descend
from ..modifiers.variance_reduced import snapshot_at_random, snapshot_by_coin, snapshot_every, variance_reduced
from ..page import nonnegative


@named(variance_reduced, snapshot_every)
def svrg(lr: nonnegative, *, iterate: Literal["last", "average", "random"] = "last", **hyper):
    """SVRG (Johnson, Zhang, 2013, https://papers.nips.cc/paper/4937).

        u = g_batch(p) - g_batch(snapshot) + g_full(snapshot);  p <- p - lr u
        every so many steps: snapshot <- p

    Args:
        lr: step size; a third of 1 / L, for gradients whose Lipschitz constant is L, is usual.
        every: steps between two snapshots; twice the number of batches in all data is usual.
        iterate: which p of these steps becomes the snapshot: the "last"; or, and p moves there too, their "average", or
            a "random" one: that before the step with step(..., coin=True), which the caller draws in each epoch.
        maximize: climb instead of descend, False.

    A step takes both gradients of one batch (with one draw of dropout), {"x": ..., "snapshot": ...}, at the points of
    `query`; where `needs_refresh`, `refresh` takes that of all data at the snapshot. `eval_params` gives the snapshot.

    Params are floating arrays of any shape; slots `g_full` and `snapshot`, and `mean` or `chosen` where it is not
    the last, in the compute dtype, and the number `stale`; `coin` is given with "random".

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or a step without a coin that it needs.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.svrg(0.5, every=2), np.array([1.0])
    >>> state = opt.refresh(params, np.array([2.0]), opt.init(params))
    >>> opt.step(params, {"x": np.array([1.0]), "snapshot": np.array([1.5])}, state)[0]
    array([0.25])
    """
    drawn = iterate == "random"
    end = snapshot_at_random(**hyper) if drawn else snapshot_every(iterate=iterate, **hyper)
    return [variance_reduced(), descend(lr), end]


@named(variance_reduced, snapshot_by_coin)
def l_svrg(lr: nonnegative):
    """L-SVRG: SVRG without epochs (Kovalev, Horvath, Richtarik, 2020, https://arxiv.org/abs/1901.08689).

        u = g_batch(p) - g_batch(snapshot) + g_full(snapshot);  p <- p - lr u
        where the coin says so: snapshot <- p, as it was before the step

    Args:
        lr: step size; 1 / (6 L), for gradients whose Lipschitz constant is L, is the paper's.
        maximize: climb instead of descend, False.

    Each step takes the coin, step(..., coin=True or False), which the caller tosses: true with the probability 1 / n,
    for n batches in all data. Else as `svrg`; `eval_params` gives the params.

    Params are floating arrays of any shape; slots `g_full` and `snapshot` in the compute dtype, and the number `stale`;
    `coin` is given.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or a step without `coin`.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.l_svrg(0.5), np.array([1.0])
    >>> state = opt.refresh(params, np.array([2.0]), opt.init(params))
    >>> params, state = opt.step(params, {"x": np.array([1.0]), "snapshot": np.array([1.5])}, state, coin=True)
    >>> params, state["snapshot"], opt.needs_refresh(state)
    (array([0.25]), array([1.]), True)
    """
    return [variance_reduced(), snapshot_by_coin(), descend(lr)]
