"""AdaGrad: each coordinate divided by the root of the sum of its squared gradients.

Duchi, Hazan, Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", 2011,
https://jmlr.org/papers/v12/duchi11a.html.

    n <- n + g^2
    u = g / (sqrt(n) + eps)     "outside"
    u = g / sqrt(n + eps)       "inside"

0 / 0 is 0: without eps nothing moves that had no gradient yet.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, full, nonnegative


@direction(n=full("initial_accumulator"))
def scale_by_adagrad(
    u,
    n,
    t,
    *,
    eps: nonnegative = 1e-10,
    eps_mode: Literal["outside", "inside"] = "outside",
    initial_accumulator: nonnegative = 0.0,
    lr_decay: nonnegative = 0.0,
):
    """The direction of AdaGrad; its equations and source: help("samestep.algorithms.adagrad").

    Args:
        eps: keeps the quotient finite, 1e-10.
        eps_mode: "outside" or "inside" the root.
        initial_accumulator: where the sum starts, 0.
        lr_decay: the direction is divided by 1 + (t - 1) lr_decay, 0.

    >>> import samestep as ss
    >>> ss.scale_by_adagrad(eps_mode="inside")
    scale_by_adagrad(eps=1e-10, eps_mode='inside', initial_accumulator=0.0, lr_decay=0.0)
    """
    xp = array_namespace(u)
    n = n + u * u
    root = xp.sqrt(n + eps) if eps_mode == "inside" else xp.sqrt(n) + eps
    return {"u": xp.where(root == 0, 0.0, u / ((1 + (t - 1) * lr_decay) * root)), "n": n}


@named(scale_by_adagrad)
def adagrad(
    lr: nonnegative = 1e-2,
    *,
    weight_decay: nonnegative = 0.0,
    decay: Coupling = "coupled",
    **hyper,
):
    """AdaGrad: the root of the sum of squares below (Duchi et al., 2011, https://jmlr.org/papers/v12/duchi11a.html).

        n <- n + g^2;  p <- p - lr / (1 + (t - 1) lr_decay) g / (sqrt(n) + eps)

    Args:
        lr: step size, 1e-2.
        weight_decay: decay; 0 leaves the part out.
        decay: "coupled", added to the gradient, or "decoupled", p <- p (1 - lr weight_decay).
        eps: keeps the quotient finite, 1e-10.
        eps_mode: "outside" as above; "inside": sqrt(n + eps), as in optax and Keras.
        initial_accumulator: where n starts, 0; read by `init` alone.
        lr_decay: as above, 0.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".
        dialect: the conventions and numbers of "torch", "optax", "keras" or "tf1", None.

    Params are floating arrays of any shape; slot `n` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adagrad(0.5), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, 0.0]), opt.init(params))
    (array([ 0.5, -1. ]), {'step': 1, 'n': array([9., 0.])})
    """
    return [decay_if(weight_decay, decay), scale_by_adagrad(**hyper), descend(lr)]
