"""ASGD: gradient descent with steps that shrink, and the average of where it has been.

Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992, https://doi.org/10.1137/0330046, in
torch's form: a step takes its size from the lr of the step before.

    eta = lr at t = 1,   lr / (1 + lambd lr (t - 1))^alpha after, with the lr of the step before
    p <- p (1 - lambd eta) - eta g
    ax <- p until t = t0 + 2,   ax + (p - ax) / (t - 1 - t0) after         what to evaluate at
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..page import copy, nonnegative, update


def _at_average(ax):
    return {"p": ax}


@update(eval=_at_average, ax=copy, lr_prev=0.0)
def asgd_step(
    p,
    u,
    ax,
    lr_prev,
    t,
    *,
    lr: nonnegative,
    lambd: nonnegative = 1e-4,
    alpha: nonnegative = 0.75,
    t0: nonnegative = 1e6,
):
    """The step of ASGD; its equations and source: help("samestep.algorithms.asgd").

    Args:
        lr, lambd, alpha, t0: as in `asgd`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.asgd_step(0.01)) == ss.asgd(0.01)
    True
    """
    xp = array_namespace(p)
    eta = xp.where(t == 1, lr, lr_prev / (1 + lambd * lr_prev * (t - 1)) ** alpha)
    p = p * (1 - lambd * eta) - eta * u
    count = xp.maximum(t - 1 - t0, 1.0)
    return {"p": p, "ax": xp.where(count == 1, p, ax + (p - ax) / count), "lr_prev": lr}


@named(asgd_step)
def asgd(lr: nonnegative = 1e-2, *, weight_decay: nonnegative = 0.0, **hyper):
    """ASGD: averaged gradient descent (Polyak, Juditsky, 1992, https://doi.org/10.1137/0330046).

        p <- p (1 - lambd eta) - eta g;  ax <- ax + (p - ax) / (t - 1 - t0) from t0 on

    Args:
        lr: step size, 1e-2.
        weight_decay: coupled decay: weight_decay p is added to the gradient; 0 leaves the part out.
        lambd, alpha: eta = lr / (1 + lambd lr (t - 1))^alpha, with the lr of the step before; 1e-4 and 0.75.
        t0: the steps before the average begins, 1e6.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape; slot `ax`, for `eval_params`, in the compute dtype; number `lr_prev`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.asgd(0.5, lambd=0.0, t0=0.0), np.array([1.0])
    >>> state = opt.init(params)
    >>> for _ in range(3):
    ...     params, state = opt.step(params, np.array([1.0]), state)
    >>> params, opt.eval_params(params, state)
    (array([-0.5]), array([-0.25]))
    """
    return [decay(weight_decay, mode="coupled") if weight_decay else None, asgd_step(lr=lr, **hyper)]
