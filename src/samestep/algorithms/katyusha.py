"""Katyusha: momentum for variance-reduced steps, with a pull back to the snapshot.

Allen-Zhu, "Katyusha: The First Direct Acceleration of Stochastic Gradient Methods", 2017, https://arxiv.org/abs/1603.05953,
algorithms 1 and 2; lr is 1 / L, and prox_a(x) = soft(x, a l1) / (1 + a l2) is the step of l1 |x| + l2 / 2 |x|^2.

    x = tau1 z + snapshot / 2 + (1/2 - tau1) p                       the point of the query
    u = g_batch(x) - g_batch(snapshot) + g_full(snapshot)
    z <- prox_alpha(z - alpha u),   alpha = lr / (3 tau1)
    p <- prox_(lr / 3)(x - lr u / 3)   (option "I"),   x + tau1 (z_new - z)   ("II")
    after an epoch of `every` steps: snapshot <- the mean of its p, the j-th weighted by (1 + alpha convexity)^j
    tau1 = min(sqrt(every convexity lr / 3), 1/2);   without convexity, in the s-th epoch, 2 / (s + 4), and a plain mean
"""

from typing import Literal

from array_api_compat import array_namespace

from ..composition.prox import shrunk
from ..constructor import named
from ..modifiers.variance_reduced import variance_reduced
from ..page import copy, count, nonnegative, positive, stale, update

ALONE = "its point of query and its momentum are made for the gradient itself"


def _tau(xp, t, lr, every, convexity):
    if convexity is None:
        return 2 / ((t - 1) // every + 4)
    return xp.minimum((every * convexity * lr / 3) ** 0.5, 0.5)


def _between(p, z, snapshot, tau):
    return tau * z + 0.5 * snapshot + (0.5 - tau) * p


def _points(p, z, snapshot, t, *, lr, every, convexity):
    tau = _tau(array_namespace(p), t, lr, every, convexity)
    return {"x": _between(p, z, snapshot, tau), "snapshot": snapshot}


def _output(p, snapshot, t, *, lr, every, convexity):
    """The paper's output of algorithm 1; that of algorithm 2 is the snapshot."""
    if convexity is None:
        return {"p": snapshot}
    rest = 0.5 - _tau(array_namespace(p), t, lr, every, convexity)
    return {"p": (every / 2 * snapshot + rest * p) / (every / 2 + rest)}


@update(alone=ALONE, query=_points, eval=_output, z=copy, mean=copy, snapshot=copy, weight=0.0, stale=stale)
def katyusha_step(
    p, u, z, mean, snapshot, weight, stale, t, *,
    lr: positive, every: count, convexity: positive | None = None, option: Literal["I", "II"] = "II",
    l1: nonnegative | None = None, l2: nonnegative | None = None,
):  # fmt: skip
    """The step of Katyusha behind `variance_reduced`; its equations and source: help("samestep.algorithms.katyusha").

    Args:
        lr, every, option: as in `katyusha`; the option is "II".
        convexity, l1, l2: as in `katyusha`; None is the form without it.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.katyusha_step(0.1, every=9)) == ss.katyusha(0.1, every=9)
    True
    """
    xp = array_namespace(p)
    tau = _tau(xp, t, lr, every, convexity)
    alpha = lr / (3 * tau)
    x = _between(p, z, snapshot, tau)
    z_new = shrunk(z - alpha * u, alpha, l1, l2)
    p = shrunk(x - lr / 3 * u, lr / 3, l1, l2) if option == "I" else x + tau * (z_new - z)
    first, last = t % every == 1 % every, t % every == 0
    weight = 1 + xp.where(first, 0.0, weight) / (1 if convexity is None else 1 + alpha * convexity)
    mean = mean + (p - mean) / weight  # the weight of all so far, over that of this one
    snapshot, stale = xp.where(last, mean, snapshot), xp.where(last, 1.0, stale)
    return {"p": p, "z": z_new, "mean": mean, "weight": weight, "snapshot": snapshot, "stale": stale}


@named(variance_reduced, katyusha_step)
def katyusha(
    lr: positive, *, convexity: nonnegative = 0.0, l1: nonnegative = 0.0, l2: nonnegative = 0.0, **hyper
):  # fmt: skip
    """Katyusha, accelerated SVRG (Allen-Zhu, 2017, https://arxiv.org/abs/1603.05953).

        x = tau1 z + snapshot / 2 + (1/2 - tau1) p;  z <- z - lr / (3 tau1) u;  p <- x + tau1 (z_new - z)

    Args:
        lr: 1 / L, for gradients whose Lipschitz constant is L; the steps are parts of it.
        convexity: sigma of a strongly convex objective, 0: the form for one that is not.
        every: steps in an epoch; twice the number of batches in all data is the paper's.
        option: how p moves, "II", or "I": x - lr / 3 u, which alone has the zeros of l1 in p.
        l1, l2: of the objective l1 |p| + l2 / 2 |p|^2 beside the one whose gradients are given, 0.
        maximize: climb instead of descend, False.

    Verbs as of `svrg`; x is not the params. `eval_params` gives the output of the paper, the snapshot and some of p.

    Params are floating arrays of any shape; slots `g_full`, `z`, `mean` and `snapshot` in the compute dtype, and the
    numbers `weight` and `stale`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.
        ChainError: a direction part in the same chain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.katyusha(0.75, every=2), np.array([1.0])
    >>> state = opt.refresh(params, np.array([2.0]), opt.init(params))
    >>> opt.step(params, {"x": np.array([1.0]), "snapshot": np.array([1.0])}, state)[0]
    array([0.5])
    """
    return [variance_reduced(), katyusha_step(lr, convexity=convexity or None, l1=l1 or None, l2=l2 or None, **hyper)]
