"""MARS: AdamW on gradients from which the noise that the last one shares is taken.

Yuan et al., "MARS: Unleashing the Power of Variance Reduction for Training Large Models", 2024,
https://arxiv.org/abs/2411.10438, algorithm 2; the last gradient is that of the last batch, or, exact, of this one.

    c = g + gamma beta1 / (1 - beta1) (g - g_prev);   c <- c / max(1, |c|)     the norm is over one leaf
    g_prev <- g                                       it starts as the first g, or as 0 ("zeros");
                                                      exact: the gradient of this batch at the last p
    m, v and p as in AdamW, with c for g

Without optimize_1d, leaves of less than two dimensions take AdamW itself, with decay numbers of their own.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named, refuse_idle
from ..modifiers.descend import descend
from ..modifiers.variance_reduced import at_snapshot
from ..page import direction, gradient, last_params, nonnegative, unit, update, zeros


def _corrected(u, other, beta1, gamma):
    return u + gamma * beta1 / (1 - beta1) * (u - other)


@gradient()
def mars_difference(u, g_snapshot, *, beta1: unit, gamma: nonnegative = 0.025, optimize_1d: bool = True):
    """The gradient with MARS's exact correction, before every other part: what `mars(exact=True)` uses."""
    return {"u": _corrected(u, g_snapshot, beta1, gamma) if optimize_1d or u.ndim >= 2 else u}


@update(query=at_snapshot, snapshot=last_params)
def snapshot_before(p, snapshot):
    """Keep the parameter as it is there, before the step, for the second gradient of the next one."""
    return {"snapshot": p}


@direction(m=zeros, v=zeros, g_prev=zeros)
def scale_by_mars(
    u, m, v, g_prev, t, *, beta1: unit = 0.95, beta2: unit = 0.99, gamma: nonnegative | None = 0.025,
    eps: nonnegative = 1e-8, g_prev0: Literal["grad", "zeros"] = "grad", optimize_1d: bool = True,
    beta1_1d: unit = 0.9, beta2_1d: unit = 0.95,
):  # fmt: skip
    """The direction of MARS; its equations and source: help("samestep.algorithms.mars").

    Args:
        beta1, beta2, eps, g_prev0, optimize_1d, beta1_1d, beta2_1d: as in `mars`, with its defaults.
        gamma: the same; None: the gradient comes corrected.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_mars(), ss.descend(0.01)) == ss.mars(0.01)
    True
    """
    xp, c, last = array_namespace(u), u, {}
    if not optimize_1d and u.ndim < 2:
        beta1, beta2 = beta1_1d, beta2_1d
    else:
        if gamma is not None:
            more, last = _corrected(u, g_prev, beta1, gamma), {"g_prev": u}
            c = more if g_prev0 == "zeros" else xp.where(t == 1, u, more)
        c = c / xp.maximum(1.0, xp.linalg.vector_norm(c))
    m = beta1 * m + (1 - beta1) * c
    v = beta2 * v + (1 - beta2) * c * c
    s = xp.sqrt(1 - beta2**t)
    return {"u": m / ((1 - beta1**t) / s * (xp.sqrt(v) + s * eps)), "m": m, "v": v, **last}


@update()
def mars_decay(
    p, *, lr: nonnegative, weight_decay: nonnegative, weight_decay_1d: nonnegative | None, optimize_1d: bool = True
):
    """Shrink the parameter before the step, by a number of its own where MARS leaves it to AdamW."""
    if weight_decay_1d is not None and not optimize_1d and p.ndim < 2:
        weight_decay = weight_decay_1d
    return {"p": p * (1 - lr * weight_decay)}


@named(scale_by_mars)
def mars(
    lr: nonnegative = 3e-3, *, weight_decay: nonnegative = 0.0, weight_decay_1d: nonnegative = 0.1,
    gamma: nonnegative = 0.025, optimize_1d: bool = True, exact: bool = False, **hyper,
):  # fmt: skip
    """MARS, its AdamW form (Yuan et al., 2024, https://arxiv.org/abs/2411.10438).

        c = g + gamma beta1 / (1 - beta1) (g - g_prev);  c <- c / max(1, |c|);  m, v and p as in `adamw`, with c for g

    Args:
        lr, weight_decay: step size, 3e-3; decoupled decay, 0.
        beta1, beta2, eps: of m and v, 0.95 and 0.99; as in `adam`, 1e-8.
        gamma, g_prev0: how much of the difference is added, 0.025; the first g_prev: "grad", or "zeros", the authors'.
        exact: the gradient of this batch at the last p in place of g_prev: a step takes both, {"x": ..., "snapshot":
            ...}, at the points of `query`; False.
        optimize_1d: MARS for leaves of less than two dimensions too, True; False: AdamW for them,
        beta1_1d, beta2_1d, weight_decay_1d: with these numbers, 0.9, 0.95 and 0.1.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none"; by g,
            or exact, by the corrected gradient, which is what all parts behind the correction see.

    Params are floating arrays of any shape; slots `m`, `v`, `g_prev`, or exact `snapshot`, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or one that others leave without effect.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.mars(0.5, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(6)
    array([ 0.5, -0.5])
    """
    off = dict.fromkeys(("beta1_1d", "beta2_1d", "weight_decay_1d"), optimize_1d) | {"g_prev0": exact}
    refuse_idle(mars, hyper | {"weight_decay_1d": weight_decay_1d}, **off)
    apart = weight_decay_1d if not optimize_1d else None
    decayed = weight_decay or apart
    shrink = mars_decay(weight_decay=weight_decay, weight_decay_1d=apart, optimize_1d=optimize_1d) if decayed else None
    scale = scale_by_mars(gamma=None if exact else gamma, optimize_1d=optimize_1d, **hyper)
    if exact:
        first = mars_difference(beta1=hyper["beta1"], gamma=gamma, optimize_1d=optimize_1d)
        return [first, scale, snapshot_before(), shrink, descend(lr)]
    return [scale, shrink, descend(lr)]
