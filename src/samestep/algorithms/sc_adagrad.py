"""SC-AdaGrad and SC-RMSprop: no root below, for strongly convex losses; the steps fall like 1 / t.

Mukkamala, Hein, "Variants of RMSProp and Adagrad with Logarithmic Regret Bounds", 2017,
https://arxiv.org/abs/1706.05507, algorithms 2 and 5.

    n <- n + g^2                                                  SC-AdaGrad
    v <- (1 - gamma / t) v + gamma / t g^2;   n = t v             SC-RMSprop, the same for gamma = 1
    u = g / (n + xi2 exp(-xi1 n))

lr is of the size of g^2 over the curvature of the loss, far above that of the forms with a root.
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.descend import descend
from ..page import direction, nonnegative, zeros
from .online_rmsprop import part_of_one


def _over(u, n, xi1, xi2):
    return u / (n + xi2 * array_namespace(u).exp(-xi1 * n))


@direction(n=zeros)
def scale_by_sc_adagrad(u, n, *, xi1: nonnegative = 0.1, xi2: nonnegative = 0.1):
    """The direction of SC-AdaGrad; its equations and source: help("samestep.algorithms.sc_adagrad").

    Args:
        xi1, xi2: as in `sc_adagrad`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_sc_adagrad(), ss.descend(0.01)) == ss.sc_adagrad()
    True
    """
    n = n + u * u
    return {"u": _over(u, n, xi1, xi2), "n": n}


@direction(v=zeros)
def scale_by_sc_rmsprop(u, v, t, *, gamma: part_of_one = 0.9, xi1: nonnegative = 0.1, xi2: nonnegative = 0.1):
    """The direction of SC-RMSprop; its equations and source: help("samestep.algorithms.sc_adagrad").

    Args:
        gamma, xi1, xi2: as in `sc_rmsprop`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_sc_rmsprop(), ss.descend(0.01)) == ss.sc_rmsprop()
    True
    """
    v = (1 - gamma / t) * v + gamma / t * u * u
    return {"u": _over(u, t * v, xi1, xi2), "v": v}


@named(scale_by_sc_adagrad)
def sc_adagrad(lr: nonnegative = 1e-2, **hyper):
    """SC-AdaGrad, for strongly convex losses (Mukkamala, Hein, 2017, https://arxiv.org/abs/1706.05507).

        n <- n + g^2;  p <- p - lr g / (n + xi2 exp(-xi1 n))

    Args:
        lr: step size, 1e-2; the theory wants at least g^2 over twice the curvature.
        xi1, xi2: how fast what is added below falls with n, and where it starts, 0.1 and 0.1.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slot `n` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.sc_adagrad(2.0, xi2=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([4.0, -2.0]), opt.init(params))[0]
    array([0.5, 0. ])
    """
    return [scale_by_sc_adagrad(**hyper), descend(lr)]


@named(scale_by_sc_rmsprop)
def sc_rmsprop(lr: nonnegative = 1e-2, **hyper):
    """SC-RMSprop, for strongly convex losses (Mukkamala, Hein, 2017, https://arxiv.org/abs/1706.05507).

        v <- (1 - gamma / t) v + gamma / t g^2;  p <- p - lr g / (t v + xi2 exp(-xi1 t v))

    Args:
        lr: step size, 1e-2; its 1 / t is in the direction.
        gamma: the weight of a new square, 0.9, in (0, 1]; 1 is SC-AdaGrad.
        xi1, xi2: as in `sc_adagrad`, 0.1 and 0.1.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slot `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.sc_rmsprop(2.0, gamma=0.5, xi2=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([4.0, -8.0]), opt.init(params))[0]
    array([ 0. , -0.5])
    """
    return [scale_by_sc_rmsprop(**hyper), descend(lr)]
