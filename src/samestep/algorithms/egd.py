"""Exponentiated gradient descent: the parameter moves by a factor, and stays positive.

Kivinen, Warmuth, "Exponentiated Gradient versus Gradient Descent for Linear Predictors", 1997,
https://doi.org/10.1006/inco.1996.2612.

    p <- p exp(-lr g);   normalize: p <- p / sum(p)
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..page import nonnegative, positive, update


@update()
def multiply(p, u, *, lr: nonnegative, clip: positive | None = None, normalize: bool = False):
    """Move the parameter by a factor, in place of `descend`: help("samestep.algorithms.egd").

    Args:
        lr, clip, normalize: as in `egd`; None, and False.

    >>> import samestep as ss
    >>> ss.chain(ss.multiply(0.1)) == ss.egd(0.1)
    True
    """
    xp = array_namespace(p)
    exponent = lr * u
    if clip is not None:
        exponent = xp.clip(exponent, -clip, clip)
    p = p * xp.exp(-exponent)
    return {"p": p / xp.sum(p) if normalize else p}


@named(multiply)
def egd(lr: nonnegative, **hyper):
    """Exponentiated gradient descent (Kivinen, Warmuth, 1997, https://doi.org/10.1006/inco.1996.2612).

        p <- p exp(-lr g)

    Args:
        lr: step size.
        clip: the largest exponent, either way, such as 30; None does not clip.
        normalize: divide each leaf by its sum, so that it stays on the simplex, False.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape, to be above 0: no sign changes, and 0 stays. No slots of any dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.egd(1.0, normalize=True), np.array([0.5, 0.5])
    >>> opt.step(params, np.array([0.0, np.log(3.0)]), opt.init(params))[0].round(12)
    array([0.75, 0.25])
    """
    return [multiply(lr, **hyper)]
