"""LAMB: Adam's direction, scaled in each layer to the norm of its parameters.

You et al., "Large Batch Optimization for Deep Learning: Training BERT in 76 minutes", 2019, https://arxiv.org/abs/1904.00962.

    u = m_hat / (sqrt(v_hat) + eps) + weight_decay p      m_hat, v_hat as in Adam
    p <- p - lr phi(|p|) / |u| u                          the ratio is 1 where |p| or |u| is 0; clip: at most 1
    without grad_averaging m <- beta1 m + g
"""

from ..constructor import named
from ..modifiers.cautious import Masks, masked
from ..modifiers.descend import descend
from ..modifiers.trust_ratio import bounds, trust_ratio
from ..page import direction, nonnegative, unit
from .adam import scale_by_adam


@direction()
def add_decay(u, p, *, weight_decay: nonnegative):
    """Add the parameter to the direction, so that the ratio sees the decay too: help("samestep.algorithms.lamb").

    Args:
        weight_decay: how much of the parameter.

    >>> import samestep as ss
    >>> opt = ss.chain(ss.scale_by_adam(eps=1e-6), ss.add_decay(0.01), ss.trust_ratio(), ss.descend(1e-3))
    >>> opt == ss.lamb(1e-3, weight_decay=0.01)
    True
    """
    return {"u": u + weight_decay * p}


@direction()
def sum_of_gradients(u, *, beta1: unit):
    """The direction as if m were a sum, beta1 m + g: what `lamb(grad_averaging=False)` uses.

    >>> import samestep as ss
    >>> ss.lamb(grad_averaging=False).hyperparameters()["beta1"]
    0.9
    """
    return {"u": u / (1 - beta1)}


@named(scale_by_adam)
def lamb(
    lr: nonnegative = 1e-3,
    *,
    eps: nonnegative = 1e-6,
    weight_decay: nonnegative = 0.0,
    phi: tuple | None = None,
    clip: bool = False,
    grad_averaging: bool = True,
    always_adapt: bool = True,
    cautious: Masks = False,
    **hyper,
):
    """LAMB: Adam's direction, scaled in each leaf to its norm (You et al., 2019, https://arxiv.org/abs/1904.00962).

        u = m_hat / (sqrt(v_hat) + eps) + weight_decay p;  p <- p - lr phi(|p|) / |u| u;  m_hat, v_hat as in Adam

    Args:
        lr: step size, 1e-3.
        beta1, beta2: the decay of the moments, 0.9 and 0.999.
        eps: added to the root of the second moment, 1e-6.
        weight_decay: added to the direction before its norm is taken; 0 leaves the part out.
        phi: (low, high), between which the norm of the parameter is held; None leaves it as it is.
        clip: the ratio is at most 1, False; as in LARC.
        grad_averaging: True; False: m is the sum beta1 m + g, not a mean; of a constant beta1.
        always_adapt: True; False: no ratio where there is no weight_decay, as in timm.
        bias_correction: True; False with phi=(0.0, 10.0) is the paper's third version.
        eps_mode, eps_root, amsgrad: as in `adam`, "outside", 0 and False.
        maximize: climb instead of descend, False.
        cautious: mask Adam's direction, before decay and ratio: False, "mean", "count" or "none".
        dialect: the conventions and numbers of "optax" or "keras" (whose weight_decay is refused), None.

    Other libraries clip the gradient too: chain(clip_by_global_norm(1.0), lamb(...)).

    Params are floating arrays, each with a ratio of its own; slots `m`, `v`, and `v_max` with most amsgrads, in the
    compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.lamb(0.1, eps=0.0), np.array([3.0, 4.0])
    >>> opt.step(params, np.array([7.0, -7.0]), opt.init(params))[0].round(3)
    array([2.646, 4.354])
    """
    if phi is not None:
        bounds(phi)
    summed = None if grad_averaging else sum_of_gradients(hyper["beta1"])
    decayed = add_decay(weight_decay) if weight_decay else None
    ratio = trust_ratio(phi=phi, clip=clip) if weight_decay or always_adapt else None
    return [scale_by_adam(eps=eps, **hyper), summed, masked(cautious), decayed, ratio, descend(lr)]
