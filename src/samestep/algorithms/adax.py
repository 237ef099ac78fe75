"""AdaX and AdaXW: Adam whose second moment remembers the past longer and longer.

Li et al., "AdaX: Adaptive Gradient Descent with Exponential Long Term Memory", 2020, https://arxiv.org/abs/2004.09740.

    rho = beta2 / ((1 + beta2)^t - 1)              1 at t = 1
    m <- beta1 m + (1 - beta1) g,   v <- (1 - rho) v + rho g^2
    u = m / (sqrt(v) + eps)                        "outside"
    u = m / sqrt(v + eps)                          "inside", an article's
    u = m / (sqrt(v) + eps sqrt(rho / beta2))      "hat", the authors' code: eps beside the root of the raw sum

The authors' sum, (1 + beta2) v + beta2 g^2, grows without bound and overflows float32 after some 900,000 steps; v here
is that sum over (1 + beta2)^t - 1, which gives the same step. The decay of v, 1 - rho, is 0 at first and rises to 1,
as Adafactor's: so v needs no bias correction.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, positive, unit, zeros


@direction(m=zeros, v=zeros)
def scale_by_adax(
    u,
    m,
    v,
    t,
    *,
    beta1: unit = 0.9,
    beta2: positive = 1e-4,
    eps: nonnegative = 1e-12,
    eps_mode: Literal["outside", "inside", "hat"] = "outside",
):
    """The direction of AdaX; its equations and source: help("samestep.algorithms.adax").

    Args:
        beta1, beta2, eps, eps_mode: as in `adax`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adax(beta2=1e-3), ss.descend(0.01)) == ss.adax(0.01, beta2=1e-3, weight_decay=0.0)
    True
    """
    xp = array_namespace(u)
    raw = xp.expm1(t * xp.log1p(beta2))  # (1 + beta2)^t - 1
    rho = xp.where(t == 1, 1.0, beta2 / raw)
    m = beta1 * m + (1 - beta1) * u
    v = (1 - rho) * v + rho * (u * u)
    if eps_mode == "inside":
        root = xp.sqrt(v + eps)
    else:
        root = xp.sqrt(v) + (eps / xp.sqrt(raw) if eps_mode == "hat" else eps)
    return {"u": m / root, "m": m, "v": v}


@named(scale_by_adax)
def adax(lr: nonnegative = 1.5e-3, *, weight_decay: nonnegative = 5e-4, **hyper):
    """AdaX: Adam with a long memory (Li et al., 2020, https://arxiv.org/abs/2004.09740).

        rho = beta2 / ((1 + beta2)^t - 1);  v <- (1 - rho) v + rho g^2;  p <- p - lr m / (sqrt(v) + eps)

    Args:
        lr: step size, 1.5e-3.
        weight_decay: coupled decay, 5e-4: weight_decay p is added to the gradient; 0 leaves the part out.
        beta1: the decay of m, 0.9, which is not debiased.
        beta2: how fast the memory lengthens, 1e-4.
        eps: keeps the quotient finite, 1e-12, in every dtype.
        eps_mode: "outside" the root, as above; "inside" it; "hat", the authors' code, eps / sqrt((1 + beta2)^t - 1).
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adax(0.5, weight_decay=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.95, -0.95])
    """
    return [decay(weight_decay, mode="coupled") if weight_decay else None, scale_by_adax(**hyper), descend(lr)]


@named(scale_by_adax)
def adaxw(lr: nonnegative = 5e-3, *, weight_decay: nonnegative = 5e-2, **hyper):
    """AdaXW: AdaX with decoupled decay (Li et al., 2020, https://arxiv.org/abs/2004.09740).

        p <- p (1 - lr weight_decay) - lr m / (sqrt(v) + eps), with m and v as in `adax`

    Args:
        lr, weight_decay: step size, 5e-3; decoupled decay, 5e-2, of which 0 leaves the part out.
        beta1, beta2, eps: as in `adax`, 0.9, 1e-4 and 1e-12.
        eps_mode, maximize, cautious: as in `adax`, "outside", False and False.

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss
    >>> ss.adaxw(0.5, weight_decay=0.1) == ss.chain(ss.scale_by_adax(), ss.decay(0.1), ss.descend(0.5))
    True
    """
    return [scale_by_adax(**hyper), decay(weight_decay) if weight_decay else None, descend(lr)]
