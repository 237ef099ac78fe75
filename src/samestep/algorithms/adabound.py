"""AdaBound and AMSBound: Adam whose elementwise step sizes are held between bounds that close on those of SGD.

Luo, Xiong, Liu, Sun, "Adaptive Gradient Methods with Dynamic Bound of Learning Rate", 2019, https://arxiv.org/abs/1902.09843,
with the authors' code: the paper has no bias correction, and lr / sqrt(t) instead of lr.

    m <- beta1 m + (1 - beta1) g,    v <- beta2 v + (1 - beta2) g^2,    c1 = 1 - beta1^t,    c2 = 1 - beta2^t
    lr u = clip(lr sqrt(c2) / c1 / (sqrt(v) + eps), low, high) m
    low = final (1 - 1 / (gamma t + 1)),    high = final (1 + 1 / (gamma t)),    final = final_lr lr / lr_first
    amsbound: v_max <- max(v_max, v) in place of v in u
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, nonnegative, positive, unit, zeros
from ..slots import Slot


def _first_lr(xp, p, hyper):
    return hyper["lr"]


@direction(m=zeros, v=zeros, v_max=zeros, lr_first=Slot("number", _first_lr))
def scale_by_adabound(
    u,
    m,
    v,
    v_max,
    lr_first,
    t,
    *,
    lr: positive,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    final_lr: nonnegative = 0.1,
    gamma: positive = 1e-3,
    eps: nonnegative = 1e-8,
    amsbound: bool = False,
):
    """The direction of AdaBound; its equations and source: help("samestep.algorithms.adabound").

    Args:
        lr: the chain's; its first value goes with final_lr.
        beta1, beta2, final_lr, gamma, eps, amsbound: as in `adabound`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adabound(lr=1e-3, gamma=0.1), ss.descend(1e-3)) == ss.adabound(gamma=0.1)
    True
    """
    xp = array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    x = xp.maximum(v_max, v) if amsbound else v
    rate = xp.sqrt(1 - beta2**t) / (1 - beta1**t) / (xp.sqrt(x) + eps)
    final = final_lr / lr_first  # all over lr: the bounds follow its schedule
    u = xp.clip(rate, final * (1 - 1 / (gamma * t + 1)), final * (1 + 1 / (gamma * t))) * m
    return {"u": u, "m": m, "v": v, "v_max": x if amsbound else v_max, "lr_first": lr_first}


@named(scale_by_adabound)
def adabound(lr: positive = 1e-3, *, weight_decay: nonnegative = 0.0, decay: Coupling = "coupled", **hyper):
    """AdaBound: Adam that turns into SGD (Luo, Xiong, Liu, Sun, 2019, https://arxiv.org/abs/1902.09843).

        p <- p - clip(lr sqrt(c2) / c1 / (sqrt(v) + eps), low, high) m, with m, v, c1 and c2 as in `adam`
        low, high = final_lr lr / lr_first times 1 - 1 / (gamma t + 1), and times 1 + 1 / (gamma t)

    Args:
        lr: step size, 1e-3, above 0.
        weight_decay, decay: 0 leaves it out; "coupled", added to the gradient, or "decoupled", p (1 - lr weight_decay).
        beta1, beta2: the decay of m and v, 0.9 and 0.999.
        final_lr: the step size of SGD at which the bounds meet, 0.1; it moves with lr, from the lr at `init`.
        gamma: how fast they close, 1e-3, above 0.
        eps: keeps the quotient finite, 1e-8.
        amsbound: the largest v so far, False.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v`, and `v_max` with amsbound, in the compute dtype, and the
    number `lr_first`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adabound(0.5, eps=0.0, gamma=1e-9), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    return [
        decay_if(weight_decay, decay),
        scale_by_adabound(lr=lr, **hyper),
        descend(lr),
    ]
