"""Schedule-Free+: Schedule-Free averages of Adam's steps, with Polyak's step size, and the decay of AdamC.

Defazio et al., "The Road Less Scheduled", 2024, https://arxiv.org/abs/2405.15682, as its authors have it since 2026,
https://github.com/facebookresearch/schedule_free; AdamC is from Defazio, "Why Gradients Rapidly Increase Near the End
of Training", 2025, https://arxiv.org/abs/2506.02285. p is the paper's y; x, at which to evaluate, is kept in no slot.

    b = momentum; with anneal, 1 - b = (1 - momentum)^(1 - a) (1 - momentum_max)^a,  a = min((t - 1) / anneal, 1)
    G <- polyak_beta G + (1 - polyak_beta) sqrt(pi / 2) sum |g|           the sums are over all parameters
    l = lr max(loss + b sum(g (z - x)), 0) (1 - polyak_beta^k) / G        k is the count of what is in G
    l_max <- max(l_max, l);  in the first c_warmup steps c = 1;  then w = t^r l_max^weight_lr_power, W <- W + w,
        c = w / W, or 0 where W is 0
    z <- z - l^2 weight_decay p - l m_hat / (sqrt(v_hat) + eps)           m_hat, v_hat as in Adam
    x <- (1 - c) x + c z;   p <- b x + (1 - b) z,  from which x follows

Where all of g is 0, so is l, and G and k stay. The authors divide by 0 then, and hold lr and l_max at eps at least.
"""

from math import pi

from array_api_compat import array_namespace

from ..constructor import named, refuse_idle
from ..page import copy, nonnegative, unit, update, zeros
from ..slots import given
from ..trace.namespace import sum_over_params
from .schedule_free import ALONE, between, steps


def _at_x(p, z, b):
    return {"p": p + (1 - 1 / b) * (z - p)}


@update(eval=_at_x, alone=ALONE, z=copy, m=zeros, v=zeros, b="momentum", G=0.0, k=0.0, lr_max=0.0, weight_sum=0.0,
        loss=given)  # fmt: skip
def schedule_free_plus_step(
    u, p, z, m, v, b, G, k, lr_max, weight_sum, loss, t, *, lr: nonnegative, beta1: unit = 0.9, beta2: unit = 0.95,
    eps: nonnegative = 1e-8, momentum: between = 0.9, anneal: steps = 0, momentum_max: between = 0.965,
    weight_decay: nonnegative | None = None, c_warmup: steps = 0, r: nonnegative = 0.0,
    weight_lr_power: nonnegative = 2.0, polyak_beta: unit = 0.0,
):  # fmt: skip
    """The step of Schedule-Free+; its equations and source: help("samestep.algorithms.schedule_free_plus").

    Args:
        lr, beta1, beta2, eps, momentum, anneal, momentum_max, c_warmup, r: as in `schedule_free_plus`.
        weight_lr_power, polyak_beta: as there.
        weight_decay: decay, or None: none.

    >>> import samestep as ss
    >>> ss.chain(ss.schedule_free_plus_step(lr=0.5)) == ss.schedule_free_plus(0.5)
    True
    """
    xp = array_namespace(p)
    x = p + (1 - 1 / b) * (z - p)
    if anneal > 0:
        a = xp.minimum((t - 1) / anneal, 1.0)
        b = 1 - (1 - momentum) ** (1 - a) * (1 - momentum_max) ** a
    else:
        b = momentum
    size, gap = sum_over_params(abs(u)), xp.maximum(loss + b * sum_over_params(u * (z - x)), 0.0)
    k = xp.where(size == 0, k, k + 1)
    G = xp.where(size == 0, G, polyak_beta * G + (1 - polyak_beta) * (pi / 2) ** 0.5 * size)
    step = xp.where(size == 0, 0.0, lr * gap * (1 - polyak_beta**k) / G)
    lr_max = xp.maximum(lr_max, step)
    w = t**r * lr_max**weight_lr_power
    weight_sum = xp.where(t <= c_warmup, weight_sum, weight_sum + w)
    c = xp.where(t <= c_warmup, 1.0, xp.where(weight_sum == 0, 0.0, w / weight_sum))
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    d = m / (1 - beta1**t) / (xp.sqrt(v / (1 - beta2**t)) + eps)
    z = z - step * (d if weight_decay is None else d + step * weight_decay * p)
    x = x + c * (z - x)
    return {
        "p": b * x + (1 - b) * z, "z": z, "m": m, "v": v, "b": b, "G": G, "k": k, "lr_max": lr_max,
        "weight_sum": weight_sum,
    }  # fmt: skip


@named(schedule_free_plus_step)
def schedule_free_plus(lr: nonnegative = 1.0, *, weight_decay: nonnegative = 0.0, **hyper):
    """Schedule-Free+: its step size is the loss's (Defazio, 2026, https://github.com/facebookresearch/schedule_free).

        l = lr max(loss + b sum(g (z - x)), 0) / sum |g| / sqrt(pi / 2);  z <- z - l (m_hat / (sqrt(v_hat) + eps) + ...)

    Args:
        lr: what multiplies Polyak's step size, 1.
        beta1, beta2, eps: as in `adam`, 0.9, 0.95 and 1e-8.
        momentum: how far p lies from z towards x, 0.9, between 0 and 1.
        anneal, momentum_max: the steps in which that goes to momentum_max, 0: it stays; 0.965.
        weight_decay: decay of z by l^2 weight_decay p, 0; it is rather 20 than 0.1.
        c_warmup: the first steps, in which x is z, 0.
        r, weight_lr_power: as in `schedule_free_sgd`, 0 and 2.
        polyak_beta: the decay of the sum of |g|, 0: the last one.
        maximize: climb instead of descend, False; loss is then minus what is climbed.

    `step` needs the loss of its gradients, whose least value is taken to be 0: step(params, grads, state, loss=...); in
    torch loss.detach(), or the step is recorded. `eval_params` gives x.

    Params are floating arrays; slots `z`, `m`, `v` in the compute dtype, and the numbers `b`, `G`, `k`, `lr_max`,
    `weight_sum`; `loss` is given.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or momentum_max without anneal.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.schedule_free_plus(), np.array([1.0])
    >>> opt.step(params, np.array([1.0]), opt.init(params), loss=0.5)[0].round(6)
    array([0.601058])
    """
    refuse_idle(schedule_free_plus, hyper, momentum_max=not hyper["anneal"])
    return [schedule_free_plus_step(lr=lr, weight_decay=weight_decay or None, **hyper)]
