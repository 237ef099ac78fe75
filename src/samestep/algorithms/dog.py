"""DoG: distance over gradients, a step size without a learning rate.

Ivgi, Hinder, Carmon, "DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule", 2023,
https://arxiv.org/abs/2302.12022. The norms are over all parameters together, or (per_leaf, their LDoG) over each leaf.

    r <- max(r, |p - p_0|),   starting from reps_rel (1 + |p_0|)  "heuristic", or from first  "distance"
    G <- G + |g|^2
    p <- p - lr r / sqrt(G + eps) g       "learning_rate": r starts as 0, and the quotient is first while it is
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named, refuse_idle
from ..errors import HyperparameterError
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import copy, direction, kept, nonnegative, positive, scalar
from ..trace.namespace import sum_over_params


@direction(p0=kept(copy), r=kept(0.0), G=0.0, leaf_r=kept(scalar(0.0)), leaf_G=scalar(0.0))
def scale_by_dog(
    u,
    p,
    p0,
    r,
    G,
    leaf_r,
    leaf_G,
    *,
    reps_rel: positive = 1e-6,
    eps: nonnegative = 1e-8,
    init: Literal["heuristic", "distance", "learning_rate"] = "heuristic",
    first: positive | None = None,
    per_leaf: bool = False,
):
    """The direction of DoG; its equations and source: help("samestep.algorithms.dog").

    Args:
        reps_rel: the first distance, relative to 1 + |p|, 1e-6; 1e-4 with batch normalisation.
        eps: added to the sum of squared gradients, 1e-8.
        init, first, per_leaf: as in `dog`, "heuristic", None and False.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_dog(reps_rel=1e-4), ss.descend(1.0)) == ss.dog(reps_rel=1e-4)
    True
    """
    xp = array_namespace(u)
    if per_leaf:
        r, G = leaf_r, leaf_G

    def squares(x):
        return xp.sum(x * x) if per_leaf else sum_over_params(x * x)

    start = {"heuristic": None, "distance": first, "learning_rate": 0.0}[init]
    start = reps_rel * (1 + xp.sqrt(squares(p))) if start is None else start
    r = xp.maximum(xp.where(r > 0, r, start), xp.sqrt(squares(p - p0)))  # 0 until the first step
    G = G + squares(u)
    rate = r / xp.sqrt(G + eps)
    if init == "learning_rate":
        rate = xp.where(r == 0, first, rate)
    return {"u": rate * u, **({"leaf_r": r, "leaf_G": G} if per_leaf else {"r": r, "G": G})}


@named(scale_by_dog)
def dog(
    lr: nonnegative = 1.0,
    *,
    weight_decay: nonnegative = 0.0,
    init: Literal["heuristic", "distance", "learning_rate"] = "heuristic",
    first: positive | None = None,
    **hyper,
):
    """DoG: distance over gradients (Ivgi et al., 2023, https://arxiv.org/abs/2302.12022).

        r <- max(r, |p - p_0|);  G <- G + |g|^2;  p <- p - lr r / sqrt(G + eps) g

    The norms are over all parameters together.

    Args:
        lr: a factor of the step size, 1; leave it, or give a schedule.
        reps_rel: the first r is reps_rel (1 + |p_0|), 1e-6; 1e-4 with batch normalisation.
        eps: added to G, 1e-8.
        weight_decay: coupled decay (added to the gradient); 0 leaves the part out.
        init: of r: "heuristic", as above; "distance": r starts as `first`; "learning_rate": the step size does.
        first: the number that the other two need, None.
        per_leaf: norms over each leaf by itself, False.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    The authors evaluate at an average of the iterates. `restart` keeps p0 and r unless they are named.

    Params are floating arrays; slot `p0` in the compute dtype, and the numbers `r` and `G` in float64; with per_leaf
    the scalars `leaf_r` and `leaf_G` of each leaf.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, `first` without its init, reps_rel with it.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.dog(reps_rel=0.1, eps=0.0), np.array([3.0, 4.0])
    >>> opt.step(params, np.array([2.0, 0.0]), opt.init(params))[0]
    array([2.4, 4. ])
    """
    if (init == "heuristic") != (first is None):
        raise HyperparameterError('first goes with init="distance" or "learning_rate", which need it')
    refuse_idle(dog, hyper, reps_rel=init != "heuristic")
    shrink = decay(weight_decay, mode="coupled") if weight_decay else None
    return [shrink, scale_by_dog(init=init, first=first, **hyper), descend(lr)]
