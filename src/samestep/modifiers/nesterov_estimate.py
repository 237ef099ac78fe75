"""Nesterov momentum estimation: the gradient carried on by its last change.

Xie, Zhou, Li, Lin, Yan, "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", 2022,
https://arxiv.org/abs/2208.06677, section 3.1.

    u <- u + extrapolation (u - u_prev)
    u_prev <- u, as it came
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import gradient, nonnegative, zeros


@gradient(u_prev=zeros)
def nesterov_estimate(u, u_prev, t, *, extrapolation: nonnegative, first: Literal["zeros", "grad"] = "zeros"):
    """Carry the gradient on by its change since the last step: help("samestep.modifiers.nesterov_estimate").

    Args:
        extrapolation: how far; before a momentum, its decay: heavy ball becomes Nesterov's, exactly.
        first: what stands before the first gradient: "zeros", or "grad", itself.

    Slot `u_prev` in the compute dtype.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.nesterov_estimate(0.5), ss.sgd(1.0)), np.array([1.0])
    >>> opt.step(params, np.array([0.5]), opt.init(params))
    (array([0.25]), {'step': 1, 'u_prev': array([0.5])})
    """
    before = u_prev if first == "zeros" else array_namespace(u).where(t == 1, u, u_prev)
    return {"u": u + extrapolation * (u - before), "u_prev": u}
