"""NovoGrad: a gradient over the root of its mean squared norm, leaf by leaf, and momentum after it.

Ginsburg et al., "Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks", 2019,
https://arxiv.org/abs/1905.11286.

    v <- |g|^2 at t = 1,   beta2 v + (1 - beta2) |g|^2 after
    u = g / (sqrt(v) + eps) + weight_decay p
    m <- beta1 m + u          grad_averaging: (1 - beta1) u
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay as decays
from ..modifiers.descend import descend
from ..page import direction, nonnegative, scalar, unit, zeros


@direction(m=zeros, v=scalar(0.0))
def scale_by_novograd(
    u,
    p,
    m,
    v,
    t,
    *,
    beta1: unit = 0.95,
    beta2: unit = 0.98,
    eps: nonnegative = 1e-8,
    weight_decay: nonnegative | None = None,
    grad_averaging: bool = False,
):
    """The direction of NovoGrad; its equations and source: help("samestep.algorithms.novograd").

    Args:
        beta1, beta2, eps, grad_averaging: as in `novograd`, with its defaults.
        weight_decay: the decay inside the momentum; None leaves it out.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_novograd(beta1=0.9), ss.descend(0.01)) == ss.novograd(0.01, beta1=0.9)
    True
    """
    xp = array_namespace(u)
    squared = xp.sum(u * u)
    v = xp.where(t == 1, squared, beta2 * v + (1 - beta2) * squared)
    u = u / (xp.sqrt(v) + eps)
    if weight_decay is not None:
        u = u + weight_decay * p
    m = beta1 * m + ((1 - beta1) * u if grad_averaging else u)
    return {"u": m, "m": m, "v": v}


@named(scale_by_novograd)
def novograd(
    lr: nonnegative = 1e-3,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Literal["inside", "decoupled"] = "inside",
    **hyper,
):
    """NovoGrad: layerwise second moments, one number a leaf (Ginsburg et al., 2019, https://arxiv.org/abs/1905.11286).

        v <- beta2 v + (1 - beta2) |g|^2;  m <- beta1 m + g / (sqrt(v) + eps) + weight_decay p;  p <- p - lr m

    Args:
        lr: step size, 1e-3.
        weight_decay: decay; 0 leaves the part out.
        decay: "inside" the momentum, as above, or "decoupled", p <- p (1 - lr weight_decay).
        beta1, beta2: the decay of m, 0.95, and of v, 0.98, which begins as the first squared norm.
        eps: keeps the quotient finite, 1e-8.
        grad_averaging: (1 - beta1) times what is added to m, from the first step on, False.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m` in the compute dtype and `v`, one number for each leaf.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.novograd(0.5, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -4.0]), opt.init(params))[0].round(12)
    array([ 0.7, -0.6])
    """
    inside = weight_decay if decay == "inside" and weight_decay else None
    apart = decays(weight_decay) if decay == "decoupled" and weight_decay else None
    return [scale_by_novograd(weight_decay=inside, **hyper), apart, descend(lr)]
