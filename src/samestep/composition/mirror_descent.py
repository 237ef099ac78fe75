"""Mirror descent with regularisers: the greedy solver of the composition.

Duchi, Shalev-Shwartz, Singer, Tewari, "Composite Objective Mirror Descent", 2010,
https://stanford.edu/~jduchi/projects/DuchiShSiTe10.html.

    p <- argmin over w of  u w + l1 |w| + l2 / 2 w^2 + h / 2 (w - p)^2

u is the gradient or its mean, h what a rule says (`rules.py`), the minimum that of `prox.py`, with z = u - h p.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..page import nonnegative, positive, unit, update
from .choices import Rule, mean, ruled, unbias, weighed
from .prox import Penalties, minimum, shared


@update()
def greedy_step(
    p,
    u,
    h,
    t,
    *,
    l1: nonnegative | None = None,
    l2: nonnegative | None = None,
    half: nonnegative | None = None,
    group_l2: nonnegative | None = None,
    group_half: nonnegative | None = None,
    axis: int = -1,
    l2_schedule: Literal["classical", "decoupled", "fixed"] = "classical",
):
    """The step of `mirror_descent`, behind a part that says h: help("samestep.composition.mirror_descent").

    Args:
        l1, l2, half, group_l2, group_half: weights of the regularisers, None without.
        axis, l2_schedule: as in `mirror_descent`, -1 and "classical".

    >>> import samestep as ss
    >>> ss.chain(ss.rules.adagrad(0.1), ss.greedy_step(l1=0.1)).hyperparameters(0)["l1"]
    0.1
    """
    xp = array_namespace(p)
    h = h if group_half is None else shared(p, h, axis)
    centre, curve = h, h
    if l2 is not None:
        curve = (1 + l2) * h if l2_schedule == "decoupled" else h + l2
        centre = xp.where(t == 1, h, curve) if l2_schedule == "fixed" else h
    weights = {"l1": l1, "half": half, "group_l2": group_l2, "group_half": group_half}
    return {"p": minimum(p, u - centre * p, curve, axis=axis, **weights)}


@named(unbias, greedy_step)
def mirror_descent(
    lr: positive = 1e-2,
    *,
    rule: Rule = "constant",
    momentum: unit = 0.0,
    bias_correction: bool = False,
    l1: nonnegative = 0.0,
    l2: nonnegative = 0.0,
    half: nonnegative = 0.0,
    group_l2: nonnegative = 0.0,
    group_half: nonnegative = 0.0,
    l1_schedule: Penalties = "incremental",
    **hyper,
):
    """Mirror descent with regularisers (Duchi et al., 2010, https://stanford.edu/~jduchi/projects/DuchiShSiTe10.html).

        p <- argmin over w of  u w + l1 |w| + l2 / 2 w^2 + h / 2 (w - p)^2,  h = 1 / (step size) by a rule

    Args:
        lr, rule: step size, 1e-2, above 0; "constant", "adagrad", "rmsprop", "online_rmsprop", "adam", "amsgrad",
            "radam", one of `samestep.rules` with its numbers, or a direction part of one's own that returns "h".
        momentum, bias_correction: u <- momentum u + (1 - momentum) g, 0; over 1 - momentum^t, False. Rules see g.
        l1, l2: weights of |w| and w^2 / 2, 0 and 0; 0 leaves a weight out, here and below.
        half, group_l2, group_half: weights of |w|^(1/2), of |w_G| and of |w_G|^(1/2), 0; one of them at most.
        axis: a group is what lies along this axis, -1.
        l1_schedule: "incremental" alone: each step has the whole l1 (and half, ...). The others are absent here.
        l2_schedule: "classical": l2; "decoupled": l2 h, so w / (1 + l2); "fixed": h + l2 for h, as in FTRL.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Where h is 0 and nothing is penalised, p stays. With half, an entry at 0 may never leave it as h grows.

    Params are floating arrays of any shape; slots are the rule's, and `m` with momentum, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or a cell that is absent.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.mirror_descent(0.5, l1=1.0), np.array([1.0, 0.25])
    >>> opt.step(params, np.array([-2.0, 0.0]), opt.init(params))[0]
    array([1.5, 0. ])
    """
    if l1_schedule != "incremental":
        raise HyperparameterError(
            f"l1_schedule={l1_schedule!r} is absent here: a greedy step has the whole of l1, that is 'incremental'; of "
            "what others add from step to step it keeps nothing ('fixed': nothing after the first): write "
            f"ftrl_proximal(..., l1_schedule={l1_schedule!r}), or leave it out"
        )
    weights = weighed(l1=l1, l2=l2, half=half, group_l2=group_l2, group_half=group_half)
    return [*mean(momentum, bias_correction), ruled(rule, lr), greedy_step(**weights, **hyper)]
