"""Schedule-Free SGD: averages of the iterates in place of a schedule that must know the end.

Defazio et al., "The Road Less Scheduled", 2024, https://arxiv.org/abs/2405.15682. The parameter p is the paper's y, at
which gradients are taken; its average x, at which to evaluate, is kept in no slot.

    l = lr min(1, t / warmup);  l_max <- max(l_max, l);  w = t^r l_max^weight_lr_power;  W <- W + w
    c = w / W, or 0 where W is 0;   d = g + weight_decay p
    z <- z - l d;   x <- (1 - c) x + c z;   p <- momentum x + (1 - momentum) z,  from which x follows
"""

from typing import Annotated

from array_api_compat import array_namespace

from ..constructor import named
from ..hypers import Domain
from ..page import copy, nonnegative, update

ALONE = (
    "it moves z by the gradient at p and averages: a direction before it would be moved along in the gradient's place"
)
between = Annotated[float, Domain("between 0 and 1", lambda x: 0 < x < 1)]
steps = Annotated[int, Domain("at least 0", lambda x: x >= 0)]


def warmed(xp, lr, t, warmup):
    """The step size, which rises to lr in `warmup` steps."""
    return lr * xp.minimum(1.0, t / warmup) if warmup > 0 else lr


def averaged(p, z, d, step, t, lr_max, weight_sum, momentum, r, weight_lr_power):
    """What every Schedule-Free method does with its direction d and its step size."""
    xp = array_namespace(p)
    lr_max = xp.maximum(lr_max, step)
    w = t**r * lr_max**weight_lr_power
    weight_sum = weight_sum + w
    c = xp.where(weight_sum == 0, 0.0, w / weight_sum)
    p = p + c * (z - p) + step * (momentum * (1 - c) - 1) * d
    return {"p": p, "z": z - step * d, "lr_max": lr_max, "weight_sum": weight_sum}


def _at_x(p, z, *, momentum):
    return {"p": p + (1 - 1 / momentum) * (z - p)}


@update(eval=_at_x, alone=ALONE, z=copy, lr_max=0.0, weight_sum=0.0)
def schedule_free_sgd_step(
    u,
    p,
    z,
    lr_max,
    weight_sum,
    t,
    *,
    lr: nonnegative,
    momentum: between = 0.9,
    weight_decay: nonnegative | None = None,
    warmup: steps = 0,
    r: nonnegative = 0.0,
    weight_lr_power: nonnegative = 2.0,
):
    """The step of Schedule-Free SGD; its equations and source: help("samestep.algorithms.schedule_free").

    Args:
        lr, momentum, warmup, r, weight_lr_power: as in `schedule_free_sgd`, with its defaults.
        weight_decay: coupled decay, or None: none.

    >>> import samestep as ss
    >>> ss.chain(ss.schedule_free_sgd_step(lr=0.5)) == ss.schedule_free_sgd(0.5)
    True
    """
    d = u if weight_decay is None else u + weight_decay * p
    step = warmed(array_namespace(p), lr, t, warmup)
    return averaged(p, z, d, step, t, lr_max, weight_sum, momentum, r, weight_lr_power)


@named(schedule_free_sgd_step)
def schedule_free_sgd(lr: nonnegative = 1.0, *, weight_decay: nonnegative = 0.0, **hyper):
    """Schedule-Free SGD (Defazio et al., 2024, https://arxiv.org/abs/2405.15682).

        z <- z - l g;  x <- (1 - c) x + c z;  p <- momentum x + (1 - momentum) z
        with l = lr min(1, t / warmup) and c the weight t^r l^weight_lr_power over the sum of all weights so far

    Args:
        lr: step size, 1.
        momentum: how far p lies from z towards x, 0.9, between 0 and 1.
        weight_decay: coupled decay, 0: weight_decay p is added to the gradient.
        warmup: the steps in which l rises to lr, 0.
        r, weight_lr_power: the weight of an iterate in x, 0 and 2: t^r times this power of the largest l so far.
        maximize: climb instead of descend, False.

    `eval_params` gives x: evaluate and save there, with BatchNorm's statistics taken anew at x.

    Params are floating arrays of any shape; slot `z` in the compute dtype, and the numbers `lr_max` and `weight_sum`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.
        ChainError: a direction part in the same chain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.schedule_free_sgd(0.5, momentum=0.5), np.array([1.0])
    >>> params, state = opt.step(params, np.array([1.0]), opt.init(params))
    >>> params, state = opt.step(params, np.array([1.0]), state)
    >>> params, state["z"], opt.eval_params(params, state)
    (array([0.125]), array([0.]), array([0.25]))
    """
    return [schedule_free_sgd_step(lr=lr, weight_decay=weight_decay or None, **hyper)]
