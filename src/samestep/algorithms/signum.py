"""Signum, signSGD and Tiger: the sign of a mean of gradients.

Bernstein, Wang, Azizzadenesheli, Anandkumar, "signSGD: Compressed Optimisation for Non-Convex Problems", 2018,
https://arxiv.org/abs/1802.04434, algorithms 1 and 2 (Signum).
Su, "Tiger: A Tight-fisted Optimizer", 2023, https://github.com/bojone/tiger.

    m <- beta m + (1 - beta) g
    u = sign(m)

Tiger is Lion with beta1 = beta2, which is Signum under another default.
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..modifiers.sign import sign
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros)
def scale_by_signum(u, m, *, beta: unit = 0.9):
    """The sign of the mean gradient; its equations and source: help("samestep.algorithms.signum").

    Args:
        beta: the decay of the mean, 0.9.

    >>> import samestep as ss
    >>> ss.scale_by_signum(beta=0.95)
    scale_by_signum(beta=0.95)
    """
    m = beta * m + (1 - beta) * u
    return {"u": array_namespace(u).sign(m), "m": m}


def _parts(lr, beta, weight_decay):
    return [scale_by_signum(beta) if beta else sign(), decay(weight_decay) if weight_decay else None, descend(lr)]


@named(scale_by_signum)
def signum(lr: nonnegative = 1e-3, *, beta: unit = 0.9, weight_decay: nonnegative = 0.0):
    """Signum, and signSGD with beta=0 (Bernstein et al., 2018, https://arxiv.org/abs/1802.04434).

        m <- beta m + (1 - beta) g;  p <- p (1 - lr weight_decay) - lr sign(m)

    Args:
        lr: step size, 1e-3.
        beta: the decay of the mean, 0.9; 0 keeps no m: signSGD.
        weight_decay: decoupled decay; 0 leaves the part out.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slot `m`, where beta is not 0, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.signum(0.5, beta=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))
    (array([ 0.5, -0.5]), {'step': 1})
    """
    return _parts(lr, beta, weight_decay)


@named(scale_by_signum)
def tiger(lr: nonnegative = 1e-3, *, beta: unit = 0.965, weight_decay: nonnegative = 0.0):
    """Tiger: Lion with one beta, thus Signum (Su, 2023, https://github.com/bojone/tiger).

        m <- beta m + (1 - beta) g;  p <- p (1 - lr weight_decay) - lr sign(m)

    Args:
        lr: step size, 1e-3.
        beta: the decay of the mean, 0.965, of language models; the author has 0.945 for images.
        weight_decay: decoupled decay; 0 leaves the part out.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slot `m`, where beta is not 0, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss
    >>> ss.tiger(0.01, weight_decay=0.1) == ss.chain(ss.scale_by_signum(0.965), ss.decay(0.1), ss.descend(0.01))
    True
    """
    return _parts(lr, beta, weight_decay)
