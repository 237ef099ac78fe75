"""MADGRAD: dual averaging with the cube root of a sum of squares, and momentum by averaging.

Defazio, Jelassi, "Adaptivity without Compromise: A Momentumized, Adaptive, Dual Averaged Gradient Method for Stochastic
Optimization", 2021, https://arxiv.org/abs/2101.11075, with the authors' code, which adds eps to lr too.

    l = (lr + eps) sqrt(t)
    x0 = the first p; without momentum it is p + s / (cbrt(n) + eps), of the old s and n
    n <- n + l g^2,   s <- s + l g
    p <- momentum p + (1 - momentum) (x0 - s / (cbrt(n) + eps))
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import MODES
from ..page import copy, nonnegative, unit, update, zeros


@update(alone="it averages all gradients so far, with weights of its own", x0=copy, s=zeros, n=zeros)
def madgrad_step(p, u, x0, s, n, t, *, lr: nonnegative, momentum: unit | None = 0.9, eps: nonnegative = 1e-6):
    """The step of MADGRAD; its equations and source: help("samestep.algorithms.madgrad").

    Args:
        lr, momentum, eps: as in `madgrad`, with its defaults; momentum is None without it.

    >>> import samestep as ss
    >>> ss.chain(ss.madgrad_step(0.01)) == ss.madgrad(0.01)
    True
    """
    xp = array_namespace(p)
    weight = (lr + eps) * xp.sqrt(t)
    centre = p + s / (n ** (1 / 3) + eps) if momentum is None else x0
    n = n + weight * (u * u)
    s = s + weight * u
    z = centre - s / (n ** (1 / 3) + eps)
    return {"p": z if momentum is None else momentum * p + (1 - momentum) * z, "s": s, "n": n}


@named(madgrad_step)
def madgrad(
    lr: nonnegative = 1e-2,
    *,
    momentum: unit = 0.9,
    weight_decay: nonnegative = 0.0,
    decay: Literal["coupled", "decoupled"] = "coupled",
    **hyper,
):
    """MADGRAD: momentumized adaptive dual averaging (Defazio, Jelassi, 2021, https://arxiv.org/abs/2101.11075).

        n <- n + l g^2;  s <- s + l g;  p <- momentum p + (1 - momentum) (x0 - s / (cbrt(n) + eps)),  l = lr sqrt(t)

    Args:
        lr: step size, 1e-2.
        momentum: how much of p stays in a step, 0.9; 0 keeps no x0.
        weight_decay: decay; 0 leaves the part out. The first p is what gradients are averaged from: prefer none.
        decay: "coupled", added to the gradient, or "decoupled", p <- p (1 - lr weight_decay).
        eps: keeps the quotient finite, 1e-6; added to lr as well.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape; slots `s`, `n`, and `x0` with momentum, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.madgrad(1.0, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([8.0, -8.0]), opt.init(params))[0].round(12)
    array([ 0.8, -0.8])
    """
    shrink = MODES[decay](weight_decay=weight_decay) if weight_decay else None
    return [shrink, madgrad_step(lr=lr, momentum=momentum or None, **hyper)]
