"""Exponential moving averages of the parameters.

Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, https://doi.org/10.1137/0330046;
Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980, section 7.2;
Shamir, Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", 2013, https://arxiv.org/abs/1212.1824, for
"polynomial".

After step n, with e = p where n is 1:

    e <- e + k (p - e)
    k = (1 - decay) / (1 - decay^n)          "exponential", debiased: a true window
    k = 1 - decay                            "exponential" without debias: the first p keeps decay^(n - 1)
    k = (1 + gamma) / (n + gamma)            "polynomial"
    k = (1 + (n - 1) / gamma)^-power         "warmup", held between 1 - decay and 1 - least
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import copy, fraction, kept, nonnegative, positive, unit, update


def _average(average):
    return {"p": average}


@update(behind=True, eval=_average, average=kept(copy), averaged=kept(0.0))
def ema(
    p,
    average,
    averaged,
    *,
    decay: unit = 0.999,
    debias: bool = True,
    kind: Literal["exponential", "polynomial", "warmup"] = "exponential",
    gamma: positive | None = None,
    power: nonnegative = 2 / 3,
    least: fraction = 0.0,
):
    """Average the parameters; `eval_params` gives the average: help("samestep.modifiers.ema").

    Args:
        decay: how much of the average stays in a step, 0.999; of "warmup" the most.
        debias: of "exponential", True: by the weights that were given; False: by 1 - decay from the second step on.
        kind: "exponential"; "polynomial", which forgets the early steps and has no decay; "warmup", with a decay
            that grows, as in timm.
        gamma: of "polynomial" and "warmup", the larger the longer; None is 8 and 1.
        power: of "warmup", how fast the decay grows, 2/3.
        least: of "warmup", the least decay from the second step on, 0.

    The parameters themselves are not touched. Slot `average` in the compute dtype, so that small steps are not lost
    with params of 16 bits, and the number `averaged`, how many were; no restart of what stands before takes them back.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(1.0), ss.ema(0.5)), np.array([4.0])
    >>> state = opt.init(params)
    >>> for _ in range(2):
    ...     params, state = opt.step(params, np.array([1.5]), state)
    >>> params, opt.eval_params(params, state)
    (array([1.]), array([1.5]))
    """
    xp = array_namespace(p)
    n = averaged + 1
    if kind == "polynomial":
        gamma = 8.0 if gamma is None else gamma
        k = (1 + gamma) / (n + gamma)
    elif kind == "warmup":
        grown = 1 - (1 + (n - 1) / (1.0 if gamma is None else gamma)) ** -power
        k = 1 - xp.maximum(xp.minimum(grown, decay), least)
    else:
        k = (1 - decay) / (1 - decay**n) if debias else 1 - decay
    return {"average": xp.where(n == 1, p, average + k * (p - average)), "averaged": n}
