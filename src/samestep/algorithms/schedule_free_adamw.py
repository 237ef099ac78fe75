"""Schedule-Free AdamW: averages of the iterates in place of a schedule, and of Adam's first moment.

Defazio et al., "The Road Less Scheduled", 2024, https://arxiv.org/abs/2405.15682. With z, x and p made of d and l as in
schedule_free.py, beta1 in the place of momentum:

    v <- beta2 v + (1 - beta2) g^2,   c2 = 1 - beta2^t,   l = lr min(1, t / warmup)
    d = g / (sqrt(v / c2) + eps) + weight_decay p         "paper": l times sqrt(c2), and sqrt(v) in d
    inner_momentum: m <- inner_momentum m + (1 - inner_momentum) g, and m / (1 - inner_momentum^t) in d in place of g
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..page import copy, nonnegative, unit, update, zeros
from .schedule_free import ALONE, averaged, between, steps, warmed


def at_x(p, z, *, beta1):
    """The average, from p and z."""
    return {"p": p + (1 - 1 / beta1) * (z - p)}


def decayed(d, p, z, weight_decay, decay_at_z):
    """The direction with decay of p or z, where there is decay."""
    return d if weight_decay is None else d + weight_decay * (z if decay_at_z else p)


@update(eval=at_x, alone=ALONE, z=copy, m=zeros, v=zeros, lr_max=0.0, weight_sum=0.0)
def schedule_free_adamw_step(
    u,
    p,
    z,
    m,
    v,
    lr_max,
    weight_sum,
    t,
    *,
    lr: nonnegative,
    beta1: between = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-8,
    weight_decay: nonnegative | None = None,
    decay_at_z: bool = False,
    warmup: steps = 0,
    r: nonnegative = 0.0,
    weight_lr_power: nonnegative = 2.0,
    form: Literal["reference", "paper"] = "reference",
    inner_momentum: unit | None = None,
):
    """The step of Schedule-Free AdamW; its equations and source: help("samestep.algorithms.schedule_free_adamw").

    Args:
        lr, beta1, beta2, eps, decay_at_z, warmup, r, weight_lr_power, form: as in `schedule_free_adamw`.
        weight_decay, inner_momentum: decay as part of d; a mean of g in it; or None: none.

    >>> import samestep as ss
    >>> ss.chain(ss.schedule_free_adamw_step(lr=0.01)) == ss.schedule_free_adamw(0.01)
    True
    """
    xp, s, inner = array_namespace(p), (1 - beta2**t) ** 0.5, {}
    v = beta2 * v + (1 - beta2) * u * u
    if inner_momentum is not None:
        inner["m"] = m = inner_momentum * m + (1 - inner_momentum) * u
        u = m / (1 - inner_momentum**t)
    step = warmed(xp, lr, t, warmup)
    d = u / (xp.sqrt(v) + eps) if form == "paper" else s * u / (xp.sqrt(v) + s * eps)
    d = decayed(d, p, z, weight_decay, decay_at_z)
    step = s * step if form == "paper" else step
    return {**averaged(p, z, d, step, t, lr_max, weight_sum, beta1, r, weight_lr_power), "v": v, **inner}


@named(schedule_free_adamw_step)
def schedule_free_adamw(
    lr: nonnegative = 2.5e-3, *, weight_decay: nonnegative = 0.0, inner_momentum: unit = 0.0, **hyper
):  # fmt: skip
    """Schedule-Free AdamW (Defazio et al., 2024, https://arxiv.org/abs/2405.15682).

        d = g / (sqrt(v_hat) + eps) + weight_decay p;  z <- z - l d;  x and p as in `schedule_free_sgd`

    Args:
        lr, beta1, beta2, eps: step size, 2.5e-3; as momentum in `schedule_free_sgd`, 0.9; as in `adam`, 0.999 and 1e-8.
        weight_decay, decay_at_z: decay, 0, of p; of z instead, False.
        warmup, r, weight_lr_power: as in `schedule_free_sgd`, 0, 0 and 2.
        form: "reference", or "paper" (the published runs): sqrt(v) in d, and sqrt(1 - beta2^t) in l.
        inner_momentum: Adam's mean of the gradient, beside the averages, 0: none, and no slot `m`.
        maximize: climb instead of descend, False.

    Params are floating arrays; slots `z`, `v`, `m` in the compute dtype, and the numbers `lr_max`, `weight_sum`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss; ss.schedule_free_adamw(warmup=1000)
    schedule_free_adamw(lr=0.0025, warmup=1000)
    """
    inner, decay = inner_momentum or None, weight_decay or None
    return [schedule_free_adamw_step(lr=lr, weight_decay=decay, inner_momentum=inner, **hyper)]
