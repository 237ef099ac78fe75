"""Schedule-Free RAdam: averages of the iterates in place of a schedule, without warmup.

Defazio et al., "The Road Less Scheduled", 2024, https://arxiv.org/abs/2405.15682; rho and r are those of RAdam, Liu et
al., 2020, https://arxiv.org/abs/1908.03265. With z, x and p made of d and l as in schedule_free.py:

    v <- beta2 v + (1 - beta2) g^2,   c2 = 1 - beta2^t
    where rho > 4:  l = lr r,   d = g / (sqrt(v / c2) + eps) + weight_decay p
    elsewhere:      l = 0, the silent phase; or l = lr,   d = g + weight_decay p
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..page import copy, nonnegative, unit, update, zeros
from .radam import rectifier
from .schedule_free import ALONE, averaged, between
from .schedule_free_adamw import at_x, decayed


@update(eval=at_x, alone=ALONE, z=copy, v=zeros, lr_max=0.0, weight_sum=0.0)
def schedule_free_radam_step(
    u,
    p,
    z,
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
    r: nonnegative = 0.0,
    weight_lr_power: nonnegative = 2.0,
    silent_sgd_phase: bool = True,
):
    """The step of Schedule-Free RAdam; its equations and source: help("samestep.algorithms.schedule_free_radam").

    Args:
        lr, beta1, beta2, eps, decay_at_z, r, weight_lr_power, silent_sgd_phase: as in `schedule_free_radam`.
        weight_decay: decay as part of d, or None: none.

    >>> import samestep as ss
    >>> ss.chain(ss.schedule_free_radam_step(lr=0.01)) == ss.schedule_free_radam(0.01)
    True
    """
    xp, s = array_namespace(p), (1 - beta2**t) ** 0.5
    v = beta2 * v + (1 - beta2) * u * u
    rectified, length = rectifier(beta2, t, 4.0, strict=True)
    d = xp.where(rectified, s * u / (xp.sqrt(v) + s * eps), u)
    d = decayed(d, p, z, weight_decay, decay_at_z)
    step = lr * xp.where(rectified, length, 0.0 if silent_sgd_phase else 1.0)
    return {**averaged(p, z, d, step, t, lr_max, weight_sum, beta1, r, weight_lr_power), "v": v}


@named(schedule_free_radam_step)
def schedule_free_radam(lr: nonnegative = 2.5e-3, *, weight_decay: nonnegative = 0.0, **hyper):
    """Schedule-Free RAdam, without warmup (Defazio et al., 2024, https://arxiv.org/abs/2405.15682).

        l = lr r(t) where rho(t) > 4, as in `radam`; elsewhere no step;  the rest as in `schedule_free_adamw`

    Args:
        lr, beta1, beta2, eps: as in `schedule_free_adamw`, 2.5e-3, 0.9, 0.999 and 1e-8.
        weight_decay, decay_at_z: as there, 0 and False.
        r, weight_lr_power: as in `schedule_free_sgd`, 0 and 2.
        silent_sgd_phase: take no step until rho > 4, True; else steps with l = lr, d = g + weight_decay p.
        maximize: climb instead of descend, False.

    Params are floating arrays; slots `z`, `v` in the compute dtype, and the numbers `lr_max`, `weight_sum`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss; ss.schedule_free_radam(0.01)
    schedule_free_radam(lr=0.01)
    """
    return [schedule_free_radam_step(lr=lr, weight_decay=weight_decay or None, **hyper)]
