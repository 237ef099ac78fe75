"""Online RMSprop: RMSprop whose means forget less and less, so that its steps fall like 1 / sqrt(t).

Mukkamala, Hein, "Variants of RMSProp and Adagrad with Logarithmic Regret Bounds", 2017,
https://arxiv.org/abs/1706.05507, algorithm 4.

    beta_t = 1 - gamma / t;   v <- beta_t v + (1 - beta_t) g^2
    u = g / (sqrt(t v) + eps)          so lr / sqrt(t) g / (sqrt(v) + eps / sqrt(t)) as the paper writes the step

t v never falls for gamma in (0, 1], and gamma = 1 makes it the sum of squares: AdaGrad. Nothing corrects the start,
where v = gamma g^2.
"""

from typing import Annotated

from array_api_compat import array_namespace

from ..constructor import named
from ..hypers import Domain
from ..modifiers.descend import descend
from ..page import direction, nonnegative, zeros

part_of_one = Annotated[float, Domain("in (0, 1]", lambda x: 0 < x <= 1)]


@direction(v=zeros)
def scale_by_online_rmsprop(u, v, t, *, gamma: part_of_one = 0.9, eps: nonnegative = 1e-8):
    """The direction of Online RMSprop; its equations and source: help("samestep.algorithms.online_rmsprop").

    Args:
        gamma, eps: as in `online_rmsprop`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_online_rmsprop(), ss.descend(0.01)) == ss.online_rmsprop()
    True
    """
    xp = array_namespace(u)
    v = (1 - gamma / t) * v + gamma / t * u * u
    return {"u": u / (xp.sqrt(t * v) + eps), "v": v}


@named(scale_by_online_rmsprop)
def online_rmsprop(lr: nonnegative = 1e-2, **hyper):
    """Online RMSprop (Mukkamala, Hein, 2017, https://arxiv.org/abs/1706.05507).

        v <- (1 - gamma / t) v + gamma / t g^2;  p <- p - lr g / (sqrt(t v) + eps)

    Args:
        lr: step size, 1e-2; its 1 / sqrt(t) is in the direction.
        gamma: the weight of a new square, 0.9, in (0, 1]; 1 is AdaGrad.
        eps: keeps the quotient finite, 1e-8.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slot `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.online_rmsprop(0.5, gamma=1.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, 0.0]), opt.init(params))
    (array([ 0.5, -1. ]), {'step': 1, 'v': array([9., 0.])})
    """
    return [scale_by_online_rmsprop(**hyper), descend(lr)]
