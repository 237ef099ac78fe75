"""Rprop: steps that grow while a gradient keeps its sign and shrink when it changes; its size is not read.

Riedmiller, Braun, "A Direct Adaptive Method for Faster Backpropagation Learning: The RPROP Algorithm", 1993,
https://doi.org/10.1109/ICNN.1993.298623; here as iRprop-, Igel, Hüsken, "Improving the Rprop Learning Algorithm", 2000,
which forgets the gradient where its sign has changed and takes no step back.

    f = eta_plus where g g_prev > 0, eta_minus where g g_prev < 0, else 1
    e <- clip(f e, step_min, step_max),    g_prev <- 0 where g g_prev < 0, else g
    p <- p - e sign(g_prev)
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..hypers import at_least_one
from ..page import full, nonnegative, positive, unit, update, zeros


@update(e=full("lr"), g_prev=zeros)
def rprop_step(
    p,
    u,
    e,
    g_prev,
    *,
    lr: positive,
    eta_minus: unit = 0.5,
    eta_plus: at_least_one = 1.2,
    step_min: nonnegative = 1e-6,
    step_max: positive = 50.0,
):
    """The step of Rprop; its equations and source: help("samestep.algorithms.rprop").

    Args:
        lr, eta_minus, eta_plus, step_min, step_max: as in `rprop`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.rprop_step(lr=0.1, eta_plus=1.1)) == ss.rprop(0.1, eta_plus=1.1)
    True
    """
    xp = array_namespace(p)
    agree = u * g_prev
    e = xp.clip(e * xp.where(agree > 0, eta_plus, xp.where(agree < 0, eta_minus, 1.0)), step_min, step_max)
    g = xp.where(agree < 0, 0.0, u)
    return {"p": p - xp.sign(g) * e, "e": e, "g_prev": g}


@named(rprop_step)
def rprop(lr: positive = 1e-2, **hyper):
    """Rprop: a step of its own for each coordinate (Riedmiller, Braun, 1993, https://doi.org/10.1109/ICNN.1993.298623).

        e <- clip(e, step_min, step_max), times eta_plus or eta_minus before;  p <- p - e sign(g)

    A coordinate whose gradient changes its sign makes no step. For gradients without noise: the whole batch.

    Args:
        lr: the first e, 1e-2, above 0; read by `init` alone.
        eta_minus, eta_plus: the factors of e where the sign of g changes, and where it stays, 0.5 and 1.2.
        step_min, step_max: the bounds of e, 1e-6 and 50.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape; slots `e` and `g_prev` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or a schedule for lr.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.rprop(0.5), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0]
    array([ 0.5, -0.5])
    """
    if callable(lr):
        raise HyperparameterError("lr of rprop is where the steps start, and only init reads it: give a number")
    return [rprop_step(lr=lr, **hyper)]
