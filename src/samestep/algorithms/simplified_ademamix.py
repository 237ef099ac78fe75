"""Simplified AdEMAMix: AdEMAMix with one sum of gradients, to which the current one is added again.

Morwani et al., "Connections between Schedule-Free Optimizers, AdEMAMix, and Accelerated SGD Variants", 2025,
https://arxiv.org/abs/2502.02431.

    m <- beta1 m + g,    v <- beta2 v + (1 - beta2) g^2
    u = (m + alpha g) / (sqrt(v / (1 - beta2^t)) + eps)
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, v=zeros)
def scale_by_simplified_ademamix(
    u,
    m,
    v,
    t,
    *,
    beta1: unit = 0.99,
    beta2: unit = 0.95,
    alpha: nonnegative = 0.0,
    eps: nonnegative = 1e-8,
):
    """The direction of simplified AdEMAMix; its equations: help("samestep.algorithms.simplified_ademamix").

    Args:
        beta1, beta2, alpha, eps: as in `simplified_ademamix`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_simplified_ademamix(alpha=2.0), ss.descend(1e-5)) == ss.simplified_ademamix(alpha=2.0)
    True
    """
    xp = array_namespace(u)
    m = beta1 * m + u
    v = beta2 * v + (1 - beta2) * u * u
    s = xp.sqrt(1 - beta2**t)
    return {"u": s * (m + alpha * u) / (xp.sqrt(v) + s * eps), "m": m, "v": v}


@named(scale_by_simplified_ademamix)
def simplified_ademamix(lr: nonnegative = 1e-5, *, weight_decay: nonnegative = 0.0, **hyper):
    """AdEMAMix with one sum of gradients (Morwani et al., 2025, https://arxiv.org/abs/2502.02431).

        m <- beta1 m + g;  p <- p (1 - lr weight_decay) - lr (m + alpha g) / (sqrt(v_hat) + eps)

    Args:
        lr: step size, 1e-5; m is a sum, so it is about 1 - beta1 times Adam's.
        weight_decay: decoupled decay; 0 leaves the part out.
        beta1, beta2: the decay of the sum m and of the mean v, 0.99 and 0.95.
        alpha: the weight of the gradient besides m, 0; with 0 it is Adam with m not debiased.
        eps: keeps the quotient finite, 1e-8.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.simplified_ademamix(0.25, alpha=1.0, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    return [scale_by_simplified_ademamix(**hyper), decay(weight_decay) if weight_decay else None, descend(lr)]
