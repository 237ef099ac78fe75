"""Yogi: Adam whose second moment moves by an amount that its own size does not set.

Zaheer, Reddi, Sachan, Kale, Kumar, "Adaptive Methods for Nonconvex Optimization", 2018,
https://papers.nips.cc/paper/2018/hash/90365351ccc7437a1309dc64e4db32a3-Abstract.html, algorithm 2.

    m <- beta1 m + (1 - beta1) g
    v <- v - (1 - beta2) sign(v - g^2) g^2
    u = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)    the paper has no bias correction, its packages do

Both m and v start at initial_accumulator: strange for m, but what the packages agree on.
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, full, nonnegative, unit


@direction(m=full("initial_accumulator"), v=full("initial_accumulator"))
def scale_by_yogi(
    u,
    m,
    v,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-3,
    initial_accumulator: nonnegative = 1e-6,
):
    """The direction of Yogi; its equations and source: help("samestep.algorithms.yogi").

    Args:
        beta1, beta2, eps, initial_accumulator: as in `yogi`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_yogi(eps=1e-4), ss.descend(1e-2)) == ss.yogi(eps=1e-4)
    True
    """
    xp = array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = v - (1 - beta2) * xp.sign(v - u * u) * (u * u)
    c1, s = 1 - beta1**t, xp.sqrt(1 - beta2**t)
    return {"u": m / (c1 / s * (xp.sqrt(v) + s * eps)), "m": m, "v": v}


@named(scale_by_yogi)
def yogi(lr: nonnegative = 1e-2, *, weight_decay: nonnegative = 0.0, decay: Coupling = "coupled", **hyper):
    """Yogi: Adam with an additive second moment (Zaheer et al., 2018, https://papers.nips.cc/paper/8186).

        m <- beta1 m + (1 - beta1) g;  v <- v - (1 - beta2) sign(v - g^2) g^2;  p <- p - lr m_hat / (sqrt(v_hat) + eps)

    Args:
        lr: step size, 1e-2.
        weight_decay, decay: 0 leaves it out; "coupled", added to the gradient, or "decoupled", p (1 - lr weight_decay).
        beta1, beta2: the decay of m, and 1 - the rate of v, 0.9 and 0.999.
        eps: keeps the quotient finite, 1e-3.
        initial_accumulator: where m and v start, 1e-6; read by `init` alone.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.yogi(0.5, eps=0.0, initial_accumulator=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    return [decay_if(weight_decay, decay), scale_by_yogi(**hyper), descend(lr)]
