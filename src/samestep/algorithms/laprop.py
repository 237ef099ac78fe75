"""LaProp: Adam with the momentum after the quotient instead of before it.

Ziyin, Wang, Ueda, "LaProp: Separating Momentum and Adaptivity in Adam", 2020, https://arxiv.org/abs/2002.04839.

    v <- beta2 v + (1 - beta2) g^2,    q = g / (sqrt(v / (1 - beta2^t)) + eps)
    m <- beta1 m + (1 - beta1) lr q,   lr_mean <- beta1 lr_mean + (1 - beta1) lr,   lr u = lr / lr_mean m
    lr_in_momentum=False:  m <- beta1 m + (1 - beta1) q,   u = m / (1 - beta1^t)    the same for a constant lr
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, v=zeros, lr_mean=0.0)
def scale_by_laprop(
    u,
    m,
    v,
    lr_mean,
    t,
    *,
    lr: nonnegative,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-15,
    lr_in_momentum: bool = True,
):
    """The direction of LaProp; its equations and source: help("samestep.algorithms.laprop").

    Args:
        lr: the chain's; m adds it up.
        beta1, beta2, eps, lr_in_momentum: as in `laprop`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_laprop(lr=4e-4, beta1=0.95), ss.descend(4e-4)) == ss.laprop(beta1=0.95)
    True
    """
    xp = array_namespace(u)
    s = xp.sqrt(1 - beta2**t)
    v = beta2 * v + (1 - beta2) * u * u
    q = s * u / (xp.sqrt(v) + s * eps)
    if not lr_in_momentum:
        m = beta1 * m + (1 - beta1) * q
        return {"u": 1 / (1 - beta1**t) * m, "m": m, "v": v}
    m = beta1 * m + (1 - beta1) * lr * q
    lr_mean = beta1 * lr_mean + (1 - beta1) * lr
    return {"u": 1 / xp.where(lr_mean == 0, 1.0, lr_mean) * m, "m": m, "v": v, "lr_mean": lr_mean}


@named(scale_by_laprop)
def laprop(lr: nonnegative = 4e-4, *, weight_decay: nonnegative = 0.0, **hyper):
    """LaProp: momentum of the normalised gradient (Ziyin, Wang, Ueda, 2020, https://arxiv.org/abs/2002.04839).

        v <- beta2 v + (1 - beta2) g^2;  m <- beta1 m + (1 - beta1) lr g / (sqrt(v / (1 - beta2^t)) + eps)
        p <- p - lr / lr_mean m, lr_mean the same mean of lr;  p <- p (1 - lr weight_decay)

    Args:
        lr: step size, 4e-4.
        weight_decay: decoupled decay, after the step; 0 leaves the part out.
        beta1, beta2: the decay of m and v, 0.9 and 0.999.
        eps: keeps the quotient finite, 1e-15.
        lr_in_momentum: True as above; False: m has no lr and is divided by 1 - beta1^t, which differs under a schedule.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype, and the number `lr_mean`, which
    lr_in_momentum needs.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.laprop(0.5), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    return [scale_by_laprop(lr=lr, **hyper), descend(lr), decay(weight_decay) if weight_decay else None]
