"""Nesterov's accelerated gradient as he wrote it: the gradient is taken where the momentum leads.

Nesterov, "A method of solving a convex programming problem with convergence rate O(1/k^2)", 1983; as momentum by
Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013,
https://proceedings.mlr.press/v28/sutskever13.html.

    g at x = p - lr momentum m                      the point of the query
    m <- momentum m + g;   p <- p - lr m            (by descend)

    agd_velocity, Sutskever's; the same for a constant lr:  x = p - momentum m;  m <- momentum m + lr g;  p <- p - m

An article has x = p + lr momentum m, and the handbook x = p - m: the step back along m is right, with both factors.
"""

from ..page import direction, nonnegative, unit, update, zeros
from .descend import descend


def _ahead(p, m, *, lr, momentum):
    return {"x": p - lr * momentum * m}


@direction(query=_ahead, m=zeros)
def agd(u, m, *, lr: nonnegative, momentum: unit = 0.9):
    """The heavy ball with its gradient at the point of `query`: help("samestep.modifiers.agd").

    Args:
        lr: the chain's, which `descend` has; the point is as far ahead as the next step's number says, or its schedule.
        momentum: the decay of the buffer, 0.9.

    For constant numbers its points are the params of `sgd(lr, momentum=..., nesterov=True)`. Slot `m`.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.agd(), ss.descend(0.5)), np.array([1.0])
    >>> params, state = opt.step(params, np.array([1.0]), opt.init(params))
    >>> params, opt.query(params, state)
    (array([0.5]), {'x': array([0.05])})
    """
    m = momentum * m + u
    return {"u": m, "m": m}


def _ahead_of_velocity(p, m, *, momentum):
    return {"x": p - momentum * m}


@update(query=_ahead_of_velocity, replaces=descend, m=zeros)
def agd_velocity(p, u, m, *, lr: nonnegative, momentum: unit = 0.9):
    """The look-ahead with lr inside the buffer, in place of `descend`: help("samestep.modifiers.agd").

    Args:
        lr: the step size, with which a gradient enters the buffer; in a chain with `descend`, the lr of that part.
        momentum: the decay of the buffer, 0.9.

    For constant numbers its points are the params of `sgd(lr, momentum=..., nesterov=True, form="velocity")`. Slot `m`.

    Raises:
        ChainError: there is no `descend` in the chain, and no lr of its own; or both have another lr.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.agd_velocity(0.5)), np.array([1.0])
    >>> params, state = opt.step(params, np.array([1.0]), opt.init(params))
    >>> params, opt.query(params, state)
    (array([0.5]), {'x': array([0.05])})
    """
    m = momentum * m + lr * u
    return {"p": p - m, "m": m}
