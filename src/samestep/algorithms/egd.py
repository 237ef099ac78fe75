"""Exponentiated gradient descent: the parameter moves by a factor, and stays positive.

Kivinen, Warmuth, "Exponentiated Gradient versus Gradient Descent for Linear Predictors", 1997,
https://doi.org/10.1006/inco.1996.2612.

    p <- p exp(-lr g);   normalize: p <- p / sum(p);   l1: g + l1 for g, the term of a decay where all are positive
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..page import nonnegative, positive, update


def summed(x, unit_axis):
    """The sum of a leaf; or of each unit along an axis, where a leaf has two."""
    if unit_axis is None or x.ndim < 2:
        return array_namespace(x).sum(x)
    others = tuple(i for i in range(x.ndim) if i != unit_axis % x.ndim)
    return array_namespace(x).sum(x, axis=others, keepdims=True)


@update()
def multiply(
    p, u, *, lr: nonnegative, l1: nonnegative | None = None, clip: positive | None = None, normalize: bool = False,
    unit_axis: Literal[None, 0, -1] = None,
):  # fmt: skip
    """Move the parameter by a factor, in place of `descend`: help("samestep.algorithms.egd").

    Args:
        lr, l1, clip, normalize, unit_axis: as in `egd`; None, None, False and None.

    >>> import samestep as ss
    >>> ss.chain(ss.multiply(0.1)) == ss.egd(0.1)
    True
    """
    xp = array_namespace(p)
    exponent = lr * (u if l1 is None else u + l1)
    if clip is not None:
        exponent = xp.clip(exponent, -clip, clip)
    p = p * xp.exp(-exponent)
    return {"p": p / summed(p, unit_axis) if normalize else p}


@named(multiply)
def egd(lr: nonnegative, *, l1: nonnegative = 0.0, **hyper):
    """Exponentiated gradient descent (Kivinen, Warmuth, 1997, https://doi.org/10.1006/inco.1996.2612).

        p <- p exp(-lr g)

    Args:
        lr: step size.
        l1: what is added to the gradient, 0, which leaves it out: a factor exp(-lr l1) in each step.
        clip: the largest exponent, either way, such as 30, at most 80 in float32; None does not clip.
        normalize: divide each leaf by its sum, so that it stays on the simplex, False.
        unit_axis: None; 0 or -1: each entry along this axis by its own sum, where a leaf has two axes.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape, to be above 0: no sign changes, and 0 stays. No slots of any dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or unit_axis without normalize.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.egd(1.0, normalize=True), np.array([0.5, 0.5])
    >>> opt.step(params, np.array([0.0, np.log(3.0)]), opt.init(params))[0].round(12)
    array([0.75, 0.25])
    """
    if hyper["unit_axis"] is not None and not hyper["normalize"]:
        raise HyperparameterError("unit_axis is of the sums that normalize=True divides by, which is False")
    return [multiply(lr, l1=l1 or None, **hyper)]
