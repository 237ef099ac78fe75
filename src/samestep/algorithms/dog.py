"""DoG: distance over gradients, a step size without a learning rate.

Ivgi, Hinder, Carmon, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule", 2023,
https://arxiv.org/abs/2302.12022. The norms are over all parameters together.

    r <- max(r, |p - p_0|),   starting from reps_rel (1 + |p_0|)
    G <- G + |g|^2
    p <- p - lr r / sqrt(G + eps) g
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import copy, direction, kept, nonnegative, positive
from ..trace.namespace import sum_over_params


@direction(p0=kept(copy), r=kept(0.0), G=0.0)
def scale_by_dog(u, p, p0, r, G, *, reps_rel: positive = 1e-6, eps: nonnegative = 1e-8):
    """The direction of DoG; its equations and source: help("samestep.algorithms.dog").

    Args:
        reps_rel: the first distance, relative to 1 + |p|, 1e-6; 1e-4 with batch normalisation.
        eps: added to the sum of squared gradients, 1e-8.

    >>> import samestep as ss
    >>> ss.scale_by_dog(reps_rel=1e-4)
    scale_by_dog(reps_rel=0.0001, eps=1e-08)
    """
    xp = array_namespace(u)

    def squares(x):
        return sum_over_params(x * x)

    first = reps_rel * (1 + xp.sqrt(squares(p)))
    r = xp.maximum(xp.where(r > 0, r, first), xp.sqrt(squares(p - p0)))  # 0 until the first step
    G = G + squares(u)
    return {"u": r / xp.sqrt(G + eps) * u, "r": r, "G": G}


@named(scale_by_dog)
def dog(lr: nonnegative = 1.0, *, weight_decay: nonnegative = 0.0, **hyper):
    """DoG: distance over gradients (Ivgi et al., 2023, https://arxiv.org/abs/2302.12022).

        r <- max(r, |p - p_0|);  G <- G + |g|^2;  p <- p - lr r / sqrt(G + eps) g

    The norms are over all parameters together.

    Args:
        lr: a factor of the step size, 1; leave it, or give a schedule.
        reps_rel: the first r is reps_rel (1 + |p_0|), 1e-6; 1e-4 with batch normalisation.
        eps: added to G, 1e-8.
        weight_decay: coupled decay (added to the gradient); 0 leaves the part out.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    The authors evaluate at an average of the iterates. `restart` keeps p0 and r unless they are named.

    Params are floating arrays of any shape; slot `p0` in the compute dtype, and the numbers `r` and `G` in float64.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.dog(reps_rel=0.1, eps=0.0), np.array([3.0, 4.0])
    >>> opt.step(params, np.array([2.0, 0.0]), opt.init(params))[0]
    array([2.4, 4. ])
    """
    return [decay(weight_decay, mode="coupled") if weight_decay else None, scale_by_dog(**hyper), descend(lr)]
