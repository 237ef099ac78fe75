"""Prodigy: Adam whose step size is an estimate of the distance to the solution.

Mishchenko, Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", 2023, https://arxiv.org/abs/2306.06101,
algorithm 4, as in the authors' code. The sums are over all parameters together; d starts as d0, p_0 is the first p.

    b = sqrt(c2) / c1 with bias_correction, else 1;   dl = d lr b;   X = dl, or d with safeguard_warmup
    N <- beta3 N + d / d0 dl sum(g (p_0 - p));   s <- beta3 s + d / d0 X g;   D = sum |s|
    m <- beta1 m + (1 - beta1) d g;   v <- beta2 v + (1 - beta2) d^2 g^2
    d' = max(d, d_coef N / D) while d = d0, else d;  d_max <- max(d_max, d_coef N / D);  d <- min(d_max, growth_rate d')
    p <- p - dl (m / (sqrt(v) + d eps) + weight_decay p)       the new d in d eps, the old one in dl

Where D or lr is 0, nothing changes, the count of the bias correction neither.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay as decay_part
from ..modifiers.descend import descend
from ..page import copy, direction, kept, nonnegative, positive, unit, zeros
from ..slots import Slot
from ..trace.namespace import sum_over_params


def _first_d(xp, p, hyper):
    return hyper["d0"]


FIRST = kept(Slot("number", _first_d))


@direction(m=zeros, v=zeros, s=zeros, p0=kept(copy), d=FIRST, d_max=FIRST, N=0.0, k=0.0)
def scale_by_prodigy(
    u, p, m, v, s, p0, d, d_max, N, k, *, lr: nonnegative, beta1: unit = 0.9, beta2: unit = 0.999,
    beta3: unit | None = None, eps: positive = 1e-8, d0: positive = 1e-6, d_coef: positive = 1.0,
    growth_rate: positive | None = None, bias_correction: bool = False, safeguard_warmup: bool = False,
):  # fmt: skip
    """The direction of Prodigy, and its step size for what follows: help("samestep.algorithms.prodigy").

    Args:
        lr, beta1, beta2, beta3, eps, d0, d_coef, growth_rate, bias_correction, safeguard_warmup: as in `prodigy`.

    >>> import samestep as ss
    >>> ss.scale_by_prodigy(lr=1.0) in ss.prodigy().chains[0].parts
    True
    """
    xp = array_namespace(u)
    beta3 = beta2**0.5 if beta3 is None else beta3
    dl = d * lr
    if bias_correction:
        dl = dl * (1 - beta2 ** (k + 1)) ** 0.5 / (1 - beta1 ** (k + 1))
    numerator = beta3 * N + d / d0 * dl * sum_over_params(u * (p0 - p))
    sums = beta3 * s + d / d0 * (d if safeguard_warmup else dl) * u
    D = sum_over_params(abs(sums))
    still = (D == 0) | (lr == 0)
    estimate = d_coef * numerator / D
    first = d <= d0 * (1 + 1e-6)  # d = d0, which a float32 of a state inside jit may round
    largest = xp.maximum(d_max, estimate)
    grown = xp.where(first, xp.maximum(d, estimate), d)
    new_d = largest if growth_rate is None else xp.minimum(largest, grown * growth_rate)
    new = {"m": beta1 * m + (1 - beta1) * d * u, "v": beta2 * v + (1 - beta2) * d * d * u * u, "s": sums}
    new |= {"d": new_d, "d_max": largest, "N": numerator, **({"k": k + 1} if bias_correction else {})}
    old = {"m": m, "v": v, "s": s, "d": d, "d_max": d_max, "N": N, "k": k}
    u = xp.where(still, 0.0, new["m"] / (xp.sqrt(new["v"]) + new_d * eps))
    return {"u": u, "lr": xp.where(still, 0.0, dl), **{key: xp.where(still, old[key], x) for key, x in new.items()}}


@named(scale_by_prodigy)
def prodigy(
    lr: nonnegative = 1.0,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Literal["decoupled", "coupled"] = "decoupled",
    **hyper,
):
    """Prodigy: Adam that finds its step size (Mishchenko, Defazio, 2023, https://arxiv.org/abs/2306.06101).

        d <- max(d, N / sum |s|);  p <- p - d lr (m / (sqrt(v) + d eps) + weight_decay p)

    Args:
        lr: a factor of the step size, 1; leave it, or give a schedule.
        weight_decay, decay: 0; "decoupled", with the whole step size, or "coupled", added to the gradient.
        beta1, beta2, beta3: of m, of v, and of N and s, 0.9, 0.999 and None: sqrt(beta2).
        eps: keeps the quotient finite, 1e-8.
        d0, d_coef, growth_rate: the first d, 1e-6; a factor of the estimate, 1; most growth in a step, None: no bound.
        bias_correction, safeguard_warmup: Adam's in the step size, False; s without lr, for a long warmup, False.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays; slots `m`, `v`, `s`, `p0` in the compute dtype, and the numbers `d`, `d_max`, `N`, and
    `k` with bias_correction, the steps that changed anything. `restart` keeps `p0`, `d`, `d_max` unless they are named.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.prodigy(d0=0.1), np.array([1.0])
    >>> opt.step(params, np.array([0.0]), opt.init(params))[1]["d"]
    0.1
    """
    part = decay_part(weight_decay, mode=decay) if weight_decay else None
    return [part, scale_by_prodigy(lr=lr, **hyper), descend(lr)]
