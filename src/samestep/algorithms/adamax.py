"""Adamax: Adam with the infinity norm, a decaying maximum in place of the mean of squares.

Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980, algorithm 2.

    m <- beta1 m + (1 - beta1) g
    v <- max(beta2 v, |g| + eps)    u = m / (1 - beta1^t) / v            "inside", torch
    v <- max(beta2 v, |g|)          u = m / (1 - beta1^t) / (v + eps)    "outside", Keras; the paper has no eps
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import MODES
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, v=zeros)
def scale_by_adamax(
    u,
    m,
    v,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-8,
    eps_mode: Literal["inside", "outside"] = "inside",
):
    """The direction of Adamax; its equations and source: help("samestep.algorithms.adamax").

    Args:
        beta1, beta2, eps, eps_mode: as in `adamax`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adamax(beta2=0.99), ss.descend(2e-3)) == ss.adamax(beta2=0.99)
    True
    """
    xp = array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = xp.maximum(beta2 * v, abs(u) + eps if eps_mode == "inside" else abs(u))
    below = v if eps_mode == "inside" else v + eps
    return {"u": m / ((1 - beta1**t) * below), "m": m, "v": v}


@named(scale_by_adamax)
def adamax(
    lr: nonnegative = 2e-3,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Literal["coupled", "decoupled"] = "coupled",
    **hyper,
):
    """Adamax: Adam with the infinity norm (Kingma, Ba, 2015, https://arxiv.org/abs/1412.6980).

        m <- beta1 m + (1 - beta1) g;  v <- max(beta2 v, |g| + eps);  p <- p - lr / (1 - beta1^t) m / v

    Args:
        lr: step size, 2e-3.
        weight_decay: decay; 0 leaves the part out.
        decay: "coupled", added to the gradient, or "decoupled", p <- p (1 - lr weight_decay).
        beta1, beta2: the decay of m and v, 0.9 and 0.999; v needs no bias correction.
        eps: keeps the quotient finite, 1e-8.
        eps_mode: "inside" the maximum, as above, or "outside": max(beta2 v, |g|) in v, m / (v + eps) in the step.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".
        dialect: the conventions and numbers of "torch", "optax" or "keras", None.

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adamax(0.5, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    return [MODES[decay](weight_decay=weight_decay) if weight_decay else None, scale_by_adamax(**hyper), descend(lr)]
