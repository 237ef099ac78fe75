"""Adadelta: steps in the unit of the parameter, from means of squared gradients and of squared steps.

Zeiler, "ADADELTA: An Adaptive Learning Rate Method", 2012, https://arxiv.org/abs/1212.5701, algorithm 1.

    v <- rho v + (1 - rho) g^2
    u = sqrt(d + eps) / sqrt(v + eps) g
    d <- rho d + (1 - rho) u^2           without lr, which the paper does not have
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import MODES
from ..modifiers.descend import descend
from ..page import direction, nonnegative, positive, unit, zeros


@direction(v=zeros, d=zeros)
def scale_by_adadelta(u, v, d, *, rho: unit = 0.9, eps: positive = 1e-6):
    """The direction of Adadelta; its equations and source: help("samestep.algorithms.adadelta").

    Args:
        rho: the decay of both means, 0.9.
        eps: inside both roots, 1e-6, above 0: it makes the first step.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adadelta(rho=0.95), ss.descend(1.0)) == ss.adadelta(rho=0.95)
    True
    """
    xp = array_namespace(u)
    v = rho * v + (1 - rho) * u * u
    u = xp.sqrt(d + eps) / xp.sqrt(v + eps) * u
    return {"u": u, "v": v, "d": rho * d + (1 - rho) * u * u}


@named(scale_by_adadelta)
def adadelta(
    lr: nonnegative = 1.0,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Literal["coupled", "decoupled"] = "coupled",
    **hyper,
):
    """Adadelta: steps in the unit of the parameter (Zeiler, 2012, https://arxiv.org/abs/1212.5701).

        v <- rho v + (1 - rho) g^2;  u = sqrt(d + eps) / sqrt(v + eps) g;  d <- rho d + (1 - rho) u^2;  p <- p - lr u

    Args:
        lr: step size, 1.0, as in the paper, which has none.
        weight_decay: decay; 0 leaves the part out.
        decay: "coupled", added to the gradient (torch), or "decoupled", p <- p (1 - lr weight_decay) (Keras).
        rho: the decay of both means, 0.9.
        eps: inside both roots, 1e-6, above 0: it makes the first step.
        maximize: climb instead of descend, False.
        cautious: mask the direction, behind d: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `v`, `d` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adadelta(rho=0.0, eps=1.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([0.0, 3.0]), opt.init(params))[0].round(4)
    array([ 1.    , -1.9487])
    """
    return [MODES[decay](weight_decay=weight_decay) if weight_decay else None, scale_by_adadelta(**hyper), descend(lr)]
