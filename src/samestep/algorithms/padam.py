"""Padam: Adam or AMSGrad with a partial power of the second moment, between them and momentum.

Chen et al., "Closing the Generalization Gap of Adaptive Gradient Methods in Training Deep Neural Networks", 2018,
https://arxiv.org/abs/1806.06763, with the authors' code: the paper has no bias correction and no eps.

    m <- beta1 m + (1 - beta1) g,    v <- beta2 v + (1 - beta2) g^2,    v_max <- max(v_max, v)
    u = sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v_max) + eps)^(2 partial)
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, v=zeros, v_max=zeros)
def scale_by_padam(
    u,
    m,
    v,
    v_max,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-8,
    partial: nonnegative | None = None,
    amsgrad: Literal[False, True, "post"] = "post",
    bias_correction: bool = True,
):
    """The direction of Padam; its equations and source: help("samestep.algorithms.padam").

    Args:
        beta1, beta2, eps, amsgrad, bias_correction: as in `padam`, with its defaults.
        partial: as in `padam`; None stands for 0.125.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_padam(eps=1e-6), ss.descend(0.1)) == ss.padam(eps=1e-6)
    True
    """
    xp = array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    x = xp.maximum(v_max, v) if amsgrad else v
    root = xp.sqrt(x) + eps
    power = xp.sqrt(xp.sqrt(root)) if partial is None else root ** (2 * partial)  # the roots are exact
    scale = xp.sqrt(1 - beta2**t) / (1 - beta1**t) if bias_correction else 1.0
    return {"u": scale * m / power, "m": m, "v": v, "v_max": x if amsgrad else v_max}


@named(scale_by_padam)
def padam(
    lr: nonnegative = 0.1,
    *,
    partial: nonnegative = 0.125,
    weight_decay: nonnegative = 0.0,
    decay: Coupling = "coupled",
    **hyper,
):
    """Padam: Adam with a partial power of v (Chen et al., 2018, https://arxiv.org/abs/1806.06763).

        p <- p - lr sqrt(c2) / c1 m / (sqrt(v_max) + eps)^(2 partial), with m, v_max, c1 and c2 as in `adam`

    Args:
        lr: step size, 0.1, tuned with partial.
        partial: the power of v, 0.125, as in the published runs; 0.5 is AMSGrad, 0 momentum; 0.25 in the authors' code.
        weight_decay, decay: 0 leaves it out; "coupled", added to the gradient, or "decoupled", p (1 - lr weight_decay).
        beta1, beta2: the decay of m and v, 0.9 and 0.999.
        eps: keeps the quotient finite, 1e-8; the power is of sqrt(v) + eps.
        amsgrad: the largest v: "post" or True, or False: v itself.
        bias_correction: the factor sqrt(c2) / c1, True; the paper has none.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slots `m`, `v`, and `v_max` with amsgrad, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.padam(0.5, beta2=0.0, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([16.0, -81.0]), opt.init(params))[0].round(12)
    array([-3. , 12.5])
    """
    eighth = not callable(partial) and partial == 0.125
    scale = scale_by_padam(partial=None if eighth else partial, **hyper)
    return [decay_if(weight_decay, decay), scale, descend(lr)]
