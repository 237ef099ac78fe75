"""LARS: momentum whose terms have, in each layer, a length in proportion to the parameters.

You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017, https://arxiv.org/abs/1708.03888.

    h = g + weight_decay p;   a = trust_coefficient |p| / (|g| + weight_decay |p| + eps)   "separate", the paper
                              a = trust_coefficient |p| / (|h| + eps)                      "combined"
    a = 1 where |p|, or |g| ("combined": |h|), is 0;   clip: a <- min(a / lr, 1)
    m <- momentum m + lr a h;   p <- p - m        lr_inside; else m without lr, which the step of p has

SimCLR has another form, the ratio of the momentum: chain(decay(weight_decay, mode="coupled"), momentum(0.9),
trust_ratio(trust_coefficient=1e-3), descend(lr)).
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..modifiers.cautious import Masks, masked
from ..modifiers.descend import descend
from ..page import direction, fraction, nonnegative, positive, unit
from .sgd import momentum as momentum_part
from .sgd import velocity


@direction()
def scale_by_lars(
    u,
    p,
    *,
    lr: nonnegative,
    weight_decay: nonnegative = 0.0,
    trust_coefficient: positive = 1e-3,
    eps: nonnegative = 0.0,
    norm: Literal["separate", "combined"] = "separate",
    clip: bool = False,
):
    """Gradient and decay in the length of LARS; its equations and source: help("samestep.algorithms.lars").

    Args:
        lr, weight_decay, trust_coefficient, eps, norm, clip: as in `lars`; lr is read with clip alone.

    >>> import samestep as ss
    >>> ss.scale_by_lars(lr=1.0) in ss.lars().chains[0].parts
    True
    """
    xp = array_namespace(u)
    h = u + weight_decay * p
    a, b = xp.linalg.vector_norm(p), xp.linalg.vector_norm(h if norm == "combined" else u)
    length = b + eps if norm == "combined" else b + weight_decay * a + eps
    ratio = xp.where((a == 0) | (b == 0), 1.0, trust_coefficient * a / length)
    return {"u": h * (xp.minimum(ratio / lr, 1.0) if clip else ratio)}


@named(scale_by_lars)
def lars(
    lr: nonnegative = 1.0,
    *,
    momentum: unit = 0.9,
    dampening: fraction = 0.0,
    nesterov: bool = False,
    lr_inside: bool = True,
    weight_decay: nonnegative = 0.0,
    always_adapt: bool = True,
    cautious: Masks = False,
    **hyper,
):
    """LARS: momentum in proportion to each leaf (You, Gitman, Ginsburg, 2017, https://arxiv.org/abs/1708.03888).

        a = trust_coefficient |p| / (|g| + weight_decay |p|);  m <- momentum m + lr a (g + weight_decay p);  p <- p - m

    Args:
        lr: step size, 1.
        momentum, nesterov: the decay of m, 0.9, of which 0 keeps no buffer; look one step ahead, False.
        dampening: taken off the weight of a h in m but in the first step, 0; with lr_inside=False, without nesterov.
        lr_inside: lr is in m, True, as in the paper; False: in the step of p. The same for a constant lr.
        weight_decay: added to the gradient, and in its length, 0.
        always_adapt: True; False: without weight_decay a is 1, as in timm, and what is left is `sgd`.
        trust_coefficient, eps: the length of a h over that of p, 1e-3; added to the length that is divided by, 0.
        norm: "separate" as above; "combined": the length of g + weight_decay p, as in other libraries.
        clip: a is at most lr, False; as in LARC.
        maximize: climb instead of descend, False.
        cautious: mask m, with lr_inside=False: False, "mean", "count" or "none".
        dialect: the conventions and numbers of "optax", None.

    A leaf in which a norm is 0 has a = 1. Exclude biases by `groups`.

    Params are floating arrays of any shape; slot `m` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or options that exclude each other.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.lars(0.5, trust_coefficient=0.1), np.array([3.0, 4.0])
    >>> opt.step(params, np.array([0.0, 2.0]), opt.init(params))[0]
    array([3.  , 3.75])
    """
    if lr_inside and cautious:
        raise HyperparameterError("with lr_inside, m is no direction that cautious could mask: write lr_inside=False")
    if dampening and (lr_inside or nesterov or not momentum):
        raise HyperparameterError("dampening needs momentum, lr_inside=False and nesterov=False: leave it at 0")
    part = scale_by_lars(lr=lr, weight_decay=weight_decay, **hyper) if weight_decay or always_adapt else None
    if lr_inside and momentum:
        return [part, velocity(lr=lr, momentum=momentum, nesterov=nesterov)]
    moved = momentum_part(momentum=momentum, dampening=dampening, nesterov=nesterov) if momentum else None
    return [part, moved, masked(cautious), descend(lr)]
