"""D-Adaptation Adam: Adam whose step size is a lower bound of the distance to the solution.

Defazio, Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", 2023, https://arxiv.org/abs/2301.07733, as in the
authors' code. The sums are over all parameters together; d starts as d0, and q = sqrt(beta2).

    b = sqrt(c2) / c1 with bias_correction, else 1;   dl = d lr b
    N <- q N + (1 - q) dl sum(g s / (sqrt(v) + eps))          with the old s and v
    m <- beta1 m + (1 - beta1) dl g;   v <- beta2 v + (1 - beta2) g^2;   s <- q s + (1 - q) dl g
    d <- max(d, min(N / ((1 - q) sum |s|), growth_rate d))
    p <- p - m / (sqrt(v) + eps) - dl weight_decay p          the old d in dl

Where the sum of |s| or lr is 0, nothing changes, the count of the bias correction neither.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay as decay_part
from ..page import direction, kept, nonnegative, positive, unit, zeros
from ..slots import Slot
from ..trace.namespace import sum_over_params
from .adafactor import apply_update


def _first_d(xp, p, hyper):
    return hyper["d0"]


@direction(m=zeros, v=zeros, s=zeros, d=kept(Slot("number", _first_d)), N=0.0, k=0.0)
def scale_by_dadapt_adam(
    u,
    m,
    v,
    s,
    d,
    N,
    k,
    *,
    lr: nonnegative,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: positive = 1e-8,
    d0: positive = 1e-6,
    growth_rate: positive | None = None,
    bias_correction: bool = False,
):
    """The whole step of D-Adaptation Adam, and its step size for decay: help("samestep.algorithms.dadapt_adam").

    Args:
        lr, beta1, beta2, eps, d0, growth_rate, bias_correction: as in `dadapt_adam`, with its defaults.

    >>> import samestep as ss
    >>> ss.scale_by_dadapt_adam(lr=1.0) in ss.dadapt_adam().chains[0].parts
    True
    """
    xp, q = array_namespace(u), beta2**0.5
    dl = d * lr
    if bias_correction:
        dl = dl * (1 - beta2 ** (k + 1)) ** 0.5 / (1 - beta1 ** (k + 1))
    numerator = q * N + (1 - q) * dl * sum_over_params(u * (s / (xp.sqrt(v) + eps)))
    sums = q * s + (1 - q) * dl * u
    D = sum_over_params(abs(sums))
    still = (D == 0) | (lr == 0)
    estimate = numerator / ((1 - q) * D)
    new = {
        "m": beta1 * m + (1 - beta1) * dl * u,
        "v": beta2 * v + (1 - beta2) * u * u,
        "s": sums,
        "d": xp.maximum(d, estimate if growth_rate is None else xp.minimum(estimate, d * growth_rate)),
        "N": numerator,
    } | ({"k": k + 1} if bias_correction else {})
    old = {"m": m, "v": v, "s": s, "d": d, "N": N, "k": k}
    u = xp.where(still, 0.0, new["m"] / (xp.sqrt(new["v"]) + eps))
    return {"u": u, "lr": xp.where(still, 0.0, dl), **{key: xp.where(still, old[key], x) for key, x in new.items()}}


@named(scale_by_dadapt_adam)
def dadapt_adam(
    lr: nonnegative = 1.0,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Literal["decoupled", "coupled"] = "decoupled",
    **hyper,
):
    """D-Adaptation Adam, which finds its step size (Defazio, Mishchenko, 2023, https://arxiv.org/abs/2301.07733).

        d <- max(d, N / ((1 - sqrt(beta2)) sum |s|));  p <- p - m / (sqrt(v) + eps) - d lr weight_decay p

    Args:
        lr: a factor of the step size, 1; leave it, or give a schedule.
        weight_decay, decay: 0; "decoupled", with the whole step size, or "coupled", added to the gradient.
        beta1, beta2, eps: of m, and of v and s, 0.9 and 0.999; keeps the quotient finite, 1e-8.
        d0, growth_rate, bias_correction: the first d, 1e-6; at most so many times d, None: no bound; Adam's, False.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays; slots `m`, `v`, `s` in the compute dtype, and the numbers `d`, `N`, and with
    bias_correction `k`, the steps that changed anything. `restart` keeps `d` unless it is named.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss; ss.dadapt_adam(weight_decay=0.1)
    dadapt_adam(lr=1.0, weight_decay=0.1)
    """
    part = decay_part(weight_decay, mode=decay) if weight_decay else None
    return [part, scale_by_dadapt_adam(lr=lr, **hyper), apply_update()]
