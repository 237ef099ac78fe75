"""AdEMAMix: Adam with a second, much longer memory of the gradients.

Pagliardini, Ablin, Grangier, "The AdEMAMix Optimizer: Better, Faster, Older", 2024, https://arxiv.org/abs/2409.03137.

    m <- beta1 m + (1 - beta1) g,    m_slow <- b m_slow + (1 - b) g,    v <- beta2 v + (1 - beta2) g^2
    u = (m / (1 - beta1^t) + a m_slow) / (sqrt(v / (1 - beta2^t)) + eps)
    a = alpha w,   1 / log b = (1 - w) / log beta1 + w / log beta3,   w = min(t / warmup, 1)    each its own warm-up

The line of 1 / log b is one of the half-life, as the paper means it; the authors' code adds 1e-8 inside the logarithms.
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros
from .schedule_free import steps


@direction(m=zeros, m_slow=zeros, v=zeros)
def scale_by_ademamix(
    u,
    m,
    m_slow,
    v,
    t,
    *,
    beta1: unit | None = 0.9,
    beta2: unit = 0.999,
    beta3: unit = 0.9999,
    alpha: nonnegative = 5.0,
    alpha_warmup: steps = 0,
    beta3_warmup: steps = 0,
    eps: nonnegative = 1e-8,
):
    """The direction of AdEMAMix; its equations and source: help("samestep.algorithms.ademamix").

    Args:
        beta1, beta2, beta3, alpha, alpha_warmup, beta3_warmup, eps: as in `ademamix`; beta1 is None without m.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_ademamix(alpha=8.0), ss.descend(1e-3)) == ss.ademamix(alpha=8.0)
    True
    """
    xp = array_namespace(u)
    a, b = alpha, beta3
    if alpha_warmup > 0:
        a = alpha * xp.minimum(t / alpha_warmup, 1.0)
    if beta3_warmup > 0:
        w = xp.minimum(t / beta3_warmup, 1.0)
        line = xp.exp(1 / ((0.0 if beta1 is None else (1 - w) / xp.log(beta1)) + w / xp.log(beta3)))
        b = xp.where(w < 1, xp.minimum(line, beta3), beta3)
    m_slow = b * m_slow + (1 - b) * u
    v = beta2 * v + (1 - beta2) * u * u
    s, state = xp.sqrt(1 - beta2**t), {"m_slow": m_slow, "v": v}
    if beta1 is None:
        near = s * u
    else:
        state["m"] = m = beta1 * m + (1 - beta1) * u
        near = s / (1 - beta1**t) * m
    return {"u": (near + s * a * m_slow) / (xp.sqrt(v) + s * eps), **state}


@named(scale_by_ademamix)
def ademamix(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.0, **hyper):
    """AdEMAMix: Adam with a longer memory besides (Pagliardini et al., 2024, https://arxiv.org/abs/2409.03137).

        m_slow <- beta3 m_slow + (1 - beta3) g;  p <- p - lr (m_hat + alpha m_slow) / (sqrt(v_hat) + eps)

    Args:
        lr, weight_decay: step size, 1e-3; decoupled decay, 0, which leaves the part out.
        beta1, beta2, beta3: the decay of m, v and m_slow, 0.9 (0 keeps no m), 0.999 and 0.9999; m_slow is not debiased.
        alpha: the weight of m_slow, 5.0.
        alpha_warmup, beta3_warmup: steps in which alpha rises from 0, and m_slow's decay from beta1 on, 0 and 0.
        eps: keeps the quotient finite, 1e-8.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `m_slow`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.ademamix(0.5, alpha=0.0, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    part = scale_by_ademamix(**hyper | {"beta1": hyper["beta1"] or None})
    return [part, decay(weight_decay) if weight_decay else None, descend(lr)]
