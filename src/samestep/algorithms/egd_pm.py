"""EG+-: exponentiated gradient for parameters of any sign, as the difference of two positive ones.

Kivinen, Warmuth, "Exponentiated Gradient versus Gradient Descent for Linear Predictors", 1997,
https://doi.org/10.1006/inco.1996.2612; Jordan's code: https://github.com/KellerJordan/Exponentiated-Gradient-PyTorch.

    w_pos, w_neg start as (|p| + spread +- p) / 2
    w_pos <- w_pos exp(-lr g),   w_neg <- w_neg exp(lr g),   p <- w_pos - w_neg
    total: both times total / (the sum of all of both + eps)
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..page import nonnegative, positive, update
from .egd import summed


def _positive(p, *, spread):
    return (abs(p) + spread + p) / 2


def _negative(p, *, spread):
    return (abs(p) + spread - p) / 2


@update(w_pos=_positive, w_neg=_negative)
def multiply_pair(
    p, u, w_pos, w_neg, *, lr: nonnegative, spread: positive = 1.0, clip: positive | None = None,
    total: positive | None = None, eps: nonnegative = 0.0, unit_axis: Literal[None, 0, -1] = None,
):  # fmt: skip
    """Move the two halves of a parameter by factors, in place of `descend`: help("samestep.algorithms.egd_pm").

    Args:
        lr, spread, clip, total, eps, unit_axis: as in `egd_pm`; 1, None, None, 0 and None.

    >>> import samestep as ss
    >>> ss.chain(ss.multiply_pair(0.1)) == ss.egd_pm(0.1)
    True
    """
    xp = array_namespace(p)
    exponent = lr * u
    if clip is not None:
        exponent = xp.clip(exponent, -clip, clip)
    w_pos, w_neg = w_pos * xp.exp(-exponent), w_neg * xp.exp(exponent)
    if total is not None:
        factor = total / (summed(w_pos, unit_axis) + summed(w_neg, unit_axis) + eps)
        w_pos, w_neg = factor * w_pos, factor * w_neg
    return {"p": w_pos - w_neg, "w_pos": w_pos, "w_neg": w_neg}


@named(multiply_pair)
def egd_pm(lr: nonnegative, **hyper):
    """EG+-: exponentiated gradient of any sign (Kivinen, Warmuth, 1997, https://doi.org/10.1006/inco.1996.2612).

        w_pos <- w_pos exp(-lr g);  w_neg <- w_neg exp(lr g);  p <- w_pos - w_neg

    Args:
        lr: step size.
        spread: how much larger than |p| the sum of both is at first, 1; the larger, the more it is like descent.
        clip: the largest exponent, either way, such as 30; None does not clip.
        total: what all of both add up to in each leaf after a step; None leaves them.
        eps: added to the sum that is divided by, 0; 1e-7 in Jordan's code, so that they add up to slightly less.
        unit_axis: None; 0 or -1: in each entry along this axis, where a leaf has two axes.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape; slots `w_pos`, `w_neg` in the compute dtype. They say what p is.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or eps or unit_axis without total.
        TraceError: at `init`, another part moves p (decay, lookahead), which would be gone with the next step.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.egd_pm(1.0), np.array([0.0, 0.0])
    >>> opt.step(params, np.array([0.0, np.log(2.0)]), opt.init(params))[0].round(12)
    array([ 0.  , -0.75])
    """
    if hyper["total"] is None and (hyper["eps"] != 0 or hyper["unit_axis"] is not None):
        raise HyperparameterError("eps and unit_axis are of the sum that total=... sets, and there is no total")
    return [multiply_pair(lr, **hyper)]
