"""L-Katyusha: Katyusha without epochs.

Kovalev, Horvath, Richtarik, "Don't Jump Through Hoops and Remove Those Loops", 2020, https://arxiv.org/abs/1901.08689,
algorithm 2; lr is 1 / L, n the number of batches in all data.

    s = convexity lr;   theta1 = min(sqrt(2 s n / 3), 1/2);   eta = 1 / (3 theta1)
    x = theta1 z + snapshot / 2 + (1/2 - theta1) p                   the point of the query
    u = g_batch(x) - g_batch(snapshot) + g_full(snapshot)
    z <- (eta s x + z - eta lr u) / (1 + eta s)
    p_new = x + theta1 (z_new - z);   where the coin says so: snapshot <- p;   p <- p_new
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.variance_reduced import variance_reduced
from ..page import copy, count, given, positive, stale, update
from .katyusha import ALONE


def _theta(xp, lr, n, convexity):
    return xp.minimum((2 * convexity * lr * n / 3) ** 0.5, 0.5)


def _points(p, z, snapshot, *, lr, n, convexity):
    theta = _theta(array_namespace(p), lr, n, convexity)
    return {"x": theta * z + 0.5 * snapshot + (0.5 - theta) * p, "snapshot": snapshot}


@update(alone=ALONE, query=_points, z=copy, snapshot=copy, stale=stale, coin=given)
def l_katyusha_step(p, u, z, snapshot, stale, coin, *, lr: positive, n: count, convexity: positive):
    """The step of L-Katyusha behind `variance_reduced`: help("samestep.algorithms.l_katyusha").

    Args:
        lr, n, convexity: as in `l_katyusha`.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.l_katyusha_step(0.1, n=9, convexity=0.1)).chains[0].second
    True
    """
    xp = array_namespace(p)
    theta = _theta(xp, lr, n, convexity)
    eta, s = 1 / (3 * theta), convexity * lr
    x = theta * z + 0.5 * snapshot + (0.5 - theta) * p
    z_new = (eta * s * x + z - eta * lr * u) / (1 + eta * s)
    return {
        "p": x + theta * (z_new - z),
        "z": z_new,
        "snapshot": xp.where(coin != 0, p, snapshot),
        "stale": xp.where(coin != 0, 1.0, stale),
    }


@named(variance_reduced, l_katyusha_step)
def l_katyusha(lr: positive, **hyper):
    """L-Katyusha (Kovalev, Horvath, Richtarik, 2020, https://arxiv.org/abs/1901.08689).

        x = theta1 z + snapshot / 2 + (1/2 - theta1) p;  p <- x + theta1 (z_new - z)
        z <- (eta s x + z - eta lr u) / (1 + eta s)

    Args:
        lr: 1 / L, for gradients whose Lipschitz constant is L; the steps are parts of it.
        n: the number of batches in all data.
        convexity: sigma of the strongly convex objective, above 0.
        maximize: climb instead of descend, False.

    Each step takes the coin, as of `l_svrg`, true with the probability 1 / n. x is not the params; `eval_params` gives
    the params.

    Params are floating arrays of any shape; slots `g_full`, `z` and `snapshot` in the compute dtype, and the number
    `stale`; `coin` is given.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or a step without `coin`.
        ChainError: a direction part in the same chain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.l_katyusha(0.75, n=2, convexity=1.0), np.array([1.0])
    >>> state = opt.refresh(params, np.array([2.0]), opt.init(params))
    >>> opt.step(params, {"x": np.array([1.0]), "snapshot": np.array([1.0])}, state, coin=False)[0]
    array([0.66666667])
    """
    return [variance_reduced(), l_katyusha_step(lr, **hyper)]
