"""AdaBelief: Adam by the variance of the gradient around its mean.

Zhuang et al., "AdaBelief Optimizer: Adapting Stepsizes by the Belief in Observed Gradients", 2020,
https://arxiv.org/abs/2010.07468, with the authors' code.

    m <- beta1 m + (1 - beta1) g,    v <- beta2 v + (1 - beta2) (g - m)^2 + eps    eps stays in the state
    u = m / c1 / (sqrt(v / c2) + eps)                  c1 = 1 - beta1^t, c2 = 1 - beta2^t
    rectify, r and rho as in RAdam:
    where rho >= 5:  u = r sqrt(c2) / c1 m / (sqrt(v) + eps);   elsewhere  u = m / c1 ("sgd"), or no step ("skip")
    amsgrad: v_max <- max(v_max, v) in place of v in u, not together with rectify
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named, refuse_idle
from ..errors import HyperparameterError
from ..modifiers.decay import MODES
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros
from .radam import rectifier


@direction(m=zeros, v=zeros, v_max=zeros)
def scale_by_adabelief(
    u,
    m,
    v,
    v_max,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-16,
    amsgrad: Literal[False, True, "post"] = False,
    rectify: bool = False,
    fallback: Literal["sgd", "skip"] = "sgd",
):
    """The direction of AdaBelief; its equations and source: help("samestep.algorithms.adabelief").

    Args:
        beta1, beta2, eps, amsgrad, rectify, fallback: as in `adabelief`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adabelief(eps=1e-8), ss.descend(1e-3)) == ss.adabelief(eps=1e-8)
    True
    """
    xp = array_namespace(u)
    c1, s = 1 - beta1**t, xp.sqrt(1 - beta2**t)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * (u - m) * (u - m) + eps
    x = xp.maximum(v_max, v) if amsgrad else v
    if rectify:
        rectified, r = rectifier(beta2, t, threshold=5.0, strict=False)
        u = xp.where(rectified, r * s / c1 * m / (xp.sqrt(v) + eps), 1 / c1 * m if fallback == "sgd" else 0.0)
    else:
        u = m / (c1 / s * (xp.sqrt(x) + s * eps))
    return {"u": u, "m": m, "v": v, "v_max": x if amsgrad else v_max}


@named(scale_by_adabelief)
def adabelief(
    lr: nonnegative = 1e-3,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Literal["decoupled", "independent", "coupled"] = "decoupled",
    **hyper,
):
    """AdaBelief: Adam by the variance of the gradient (Zhuang et al., 2020, https://arxiv.org/abs/2010.07468).

        v <- beta2 v + (1 - beta2) (g - m)^2 + eps;  p <- p - lr m_hat / (sqrt(v_hat) + eps), with m as in `adam`

    Args:
        lr: step size, 1e-3.
        weight_decay: decay; 0 leaves the part out.
        decay: "decoupled", "independent" (p <- p (1 - weight_decay)), or "coupled", added to the gradient.
        beta1, beta2: the decay of m and v, 0.9 and 0.999.
        eps: keeps the quotient finite, 1e-16; it adds up in v.
        amsgrad: the largest v: False, "post" or True.
        rectify: wait for the variance as RAdam does, False; the package has True.
        fallback: until then, "sgd": m_hat without a quotient, or "skip": no step.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v`, and `v_max` with amsgrad, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, amsgrad with rectify, fallback without.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adabelief(0.45, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    if hyper["amsgrad"] and hyper["rectify"]:
        raise HyperparameterError("a rectified step does not read the largest v: leave amsgrad or rectify out")
    refuse_idle(adabelief, hyper, fallback=not hyper["rectify"])
    return [MODES[decay](weight_decay=weight_decay) if weight_decay else None, scale_by_adabelief(**hyper), descend(lr)]
