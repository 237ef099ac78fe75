"""Adan: Adam with Nesterov's momentum, estimated from differences of gradients.

Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", 2022, https://arxiv.org/abs/2208.06677,
with the authors' code: its betas are decays, 1 - the paper's.

    dg = g - g_prev (0 at t = 1)         m <- beta1 m + (1 - beta1) g              c1, c2, c3 = 1 - beta^t
    d <- beta2 d + (1 - beta2) dg        n <- beta3 n + (1 - beta3) (g + beta2 dg)^2
    u = (m / c1 + beta2 d / c2) / (sqrt(n / c3 + eps_root) + eps)     "outside", the authors' code
    u = (m / c1 + beta2 d / c2) / sqrt(n / c3 + eps_root + eps)       "inside", the paper, which has c1 = c2 = c3 = 1
                                                                      and starts with m = g, n = g^2
    g_prev <- g
    difference="1 - beta2" has 1 - beta2 in place of beta2 before dg in n, and before d

An article adds the step in its last line, which climbs, and there has one mean of g + beta2 dg, which is m + beta2 d
only for equal betas.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, d=zeros, n=zeros, g_prev=zeros)
def scale_by_adan(
    u,
    m,
    d,
    n,
    g_prev,
    t,
    *,
    beta1: unit = 0.98,
    beta2: unit = 0.92,
    beta3: unit = 0.99,
    eps: nonnegative = 1e-8,
    eps_mode: Literal["outside", "inside"] = "outside",
    eps_root: nonnegative = 0.0,
    difference: Literal["beta2", "1 - beta2"] = "beta2",
    bias_correction: bool = True,
    m_init: Literal["zero", "grad"] = "zero",
):
    """The direction of Adan; its equations and source: help("samestep.algorithms.adan").

    Args:
        beta1, beta2, beta3, eps, eps_mode, eps_root, difference, bias_correction, m_init: as in `adan`, with its
            defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adan(), ss.descend(0.01)) == ss.adan(0.01)
    True
    """
    xp = array_namespace(u)
    dg = xp.where(t == 1, 0.0, u - g_prev)
    look = beta2 if difference == "beta2" else 1 - beta2
    ahead = u + look * dg
    m = beta1 * m + (1 - beta1) * u
    d = beta2 * d + (1 - beta2) * dg
    n = beta3 * n + (1 - beta3) * ahead * ahead
    if m_init == "grad":
        m, n = xp.where(t == 1, u, m), xp.where(t == 1, u * u, n)
    c1, c2, c3 = (1 - beta1**t, 1 - beta2**t, 1 - beta3**t) if bias_correction else (1.0, 1.0, 1.0)
    s = xp.sqrt(c3)  # above and below the fraction: one division an element
    root = xp.sqrt(n + c3 * (eps_root + eps)) if eps_mode == "inside" else xp.sqrt(n + c3 * eps_root) + s * eps
    return {"u": (s / c1 * m + s * look / c2 * d) / root, "m": m, "d": d, "n": n, "g_prev": u}


@named(scale_by_adan)
def adan(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.0, no_prox: bool = False, **hyper):
    """Adan: Nesterov's momentum in Adam (Xie et al., 2022, https://arxiv.org/abs/2208.06677).

        p <- (p - lr u) / (1 + lr weight_decay),  u = (m_hat + beta2 d_hat) / (sqrt(n_hat) + eps)

    m is the mean of the gradients g, d of their differences, n of (g + beta2 difference)^2.

    Args:
        lr: step size, 1e-3.
        weight_decay: proximal decay, as above; 0 leaves the part out.
        no_prox: True: p <- p (1 - lr weight_decay) - lr u, the decoupled decay; False.
        beta1, beta2, beta3: the decay of m, d and n, 0.98, 0.92 and 0.99; the paper calls 1 - these beta.
        eps: keeps the quotient finite, 1e-8.
        eps_mode, eps_root: "outside" as above; "inside": sqrt(n_hat + eps), as in the paper; added below the root, 0.
        difference: its weight, "beta2" as above; "1 - beta2", the paper's factor with these decays, as in optax.
        bias_correction: m_hat = m / (1 - beta1^t) and so on, True; the paper has none.
        m_init: "zero"; "grad": m = g and n = g^2 at first and after `restart`, the paper's, without bias correction.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    The authors' max_grad_norm is a part in front: chain(clip_by_global_norm(max_norm=1.0, clip_eps=1e-8), adan(...)).

    Params are floating arrays of any shape; slots `m`, `d`, `n`, `g_prev` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or m_init="grad" with bias correction.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adan(0.5, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0].round(12)
    array([ 0.5, -0.5])
    """
    if hyper["m_init"] == "grad" and hyper["bias_correction"]:
        raise HyperparameterError("means that start as the gradient have no bias: write bias_correction=False")
    before = decay(weight_decay) if weight_decay and no_prox else None
    after = decay(weight_decay, mode="proximal") if weight_decay and not no_prox else None
    return [scale_by_adan(**hyper), before, descend(lr), after]
