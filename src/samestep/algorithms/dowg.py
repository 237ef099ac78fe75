"""DoWG: distance over weighted gradients, a step size without a learning rate.

Khaled, Mishchenko, Jin, "DoWG Unleashed: An Efficient Universal Parameter-Free Gradient Descent Method", 2023,
https://arxiv.org/abs/2305.16284. The norms are over all parameters together.

    r2 <- max(r2, |p - p_0|^2),   starting from first, or eps
    V <- V + r2 |g|^2
    p <- p - lr r2 / (sqrt(V) + eps) g
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import copy, direction, kept, nonnegative, positive
from ..trace.namespace import sum_over_params


@direction(p0=kept(copy), r2=kept(0.0), V=0.0)
def scale_by_dowg(u, p, p0, r2, V, *, eps: positive = 1e-4, first: positive | None = None):
    """The direction of DoWG; its equations and source: help("samestep.algorithms.dowg").

    Args:
        eps: added to the root of V, and the first r2 where `first` is None, 1e-4.
        first: the first r2, None.

    >>> import samestep as ss
    >>> ss.scale_by_dowg(first=1e-3)
    scale_by_dowg(eps=0.0001, first=0.001)
    """
    xp = array_namespace(u)
    d = p - p0
    r2 = xp.maximum(xp.maximum(r2, eps if first is None else first), sum_over_params(d * d))
    V = V + r2 * sum_over_params(u * u)
    return {"u": r2 / (xp.sqrt(V) + eps) * u, "r2": r2, "V": V}


@named(scale_by_dowg)
def dowg(lr: nonnegative = 1.0, *, weight_decay: nonnegative = 0.0, **hyper):
    """DoWG: distance over weighted gradients (Khaled, Mishchenko, Jin, 2023, https://arxiv.org/abs/2305.16284).

        r2 <- max(r2, |p - p_0|^2);  V <- V + r2 |g|^2;  p <- p - lr r2 / (sqrt(V) + eps) g

    The norms are over all parameters together.

    Args:
        lr: a factor of the step size, 1; leave it, or give a schedule.
        eps: added to the root of V, 1e-4.
        first: the first r2, a guess of the squared distance to the solution; None: eps.
        weight_decay: coupled decay (added to the gradient); 0 leaves the part out.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    `restart` keeps p0 and r2 unless they are named.

    Params are floating arrays of any shape; slot `p0` in the compute dtype, and the numbers `r2` and `V` in float64.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.dowg(first=0.25, eps=0.5), np.array([3.0, 4.0])
    >>> opt.step(params, np.array([1.0, 0.0]), opt.init(params))[0]
    array([2.75, 4.  ])
    """
    return [decay(weight_decay, mode="coupled") if weight_decay else None, scale_by_dowg(**hyper), descend(lr)]
