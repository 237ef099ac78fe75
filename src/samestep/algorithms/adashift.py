"""AdaShift: Adam whose second moment is of older gradients than its first, and so not correlated with them.

Zhou et al., "AdaShift: Decorrelation and Convergence of Adaptive Learning Rate Methods", 2019,
https://arxiv.org/abs/1810.00143. `keep` is its n: so many gradients are in `queue`, the oldest in front.

    m = sum over i < keep of beta1^i g(t-i) / sum over i < keep of beta1^i
    v <- beta2 v + (1 - beta2) reduce(g(t-keep)^2)
    u = m / (sqrt(v / (1 - beta2^(t-keep))) + eps)        0 while t <= keep
"""

from functools import reduce as fold
from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay_if
from ..modifiers.descend import descend
from ..page import count, direction, nonnegative, scalar, unit, zeros


def _queue(p, *, keep):
    """Room for `keep` gradients along a first axis."""
    xp = array_namespace(p)
    return xp.concat([xp.expand_dims(xp.zeros_like(p), axis=0)] * keep)


@direction(queue=_queue, v=scalar(0.0), v_each=zeros)
def scale_by_adashift(
    u,
    queue,
    v,
    v_each,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    eps: nonnegative = 1e-10,
    keep: count = 10,
    reduce: Literal["max", "mean", "none"] = "max",
):
    """The direction of AdaShift; its equations and source: help("samestep.algorithms.adashift").

    Args:
        beta1, beta2, eps, keep, reduce: as in `adashift`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adashift(keep=5), ss.descend(1e-3)) == ss.adashift(keep=5)
    True
    """
    xp = array_namespace(u)
    m = fold(lambda m, g: beta1 * m + g, [*(queue[i] for i in range(1, keep)), u])
    weights = fold(lambda w, _: beta1 * w + 1, range(1, keep), 1.0)
    square = queue[0] * queue[0]
    if reduce != "none":  # a leaf may be empty
        square = xp.maximum(xp.max(square), 0.0) if reduce == "max" else xp.sum(square) / xp.maximum(u.size, 1)
    slot, old = ("v_each", v_each) if reduce == "none" else ("v", v)
    v = beta2 * old + (1 - beta2) * square
    root = xp.sqrt(v / (1 - beta2 ** xp.maximum(t - keep, 1))) + eps
    moved = xp.where(t > keep, m / (weights * root), 0.0)
    queue = xp.concat([queue[1:], xp.expand_dims(u, axis=0)])
    return {"u": moved, "queue": queue, slot: v}


@named(scale_by_adashift)
def adashift(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.0, **hyper):
    """AdaShift: Adam with a second moment of older gradients (Zhou et al., 2019, https://arxiv.org/abs/1810.00143).

        m = the weighted mean of the last keep gradients;  v <- beta2 v + (1 - beta2) max(g(t-keep)^2)
        p <- p (1 - lr weight_decay) - lr m / (sqrt(v_hat) + eps)

    Args:
        lr: step size, 1e-3.
        weight_decay: decoupled decay; 0 leaves the part out.
        beta1, beta2: the weights beta1^i of the gradients in m, 0.9; the decay of v, 0.999.
        eps: keeps the quotient finite, 1e-10; with reduce="none" rather 1e-6, for entries that were 0 so far.
        keep: so many gradients are in m, the one before them in v, 10. The first `keep` steps do not move.
        reduce: v of a leaf is of its largest square, "max", or of the "mean" one; "none": v for each entry.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Other code adds to m and takes off the oldest gradient, which drifts; here m is the sum itself, in every step.

    Params are floating arrays of any shape; slots in the compute dtype: `queue`, of shape (keep, *shape), and `v`, one
    number a leaf, or `v_each` with reduce="none".

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adashift(0.5, keep=1), np.array([1.0, -1.0])
    >>> params, state = opt.step(params, np.array([3.0, -1.0]), opt.init(params))
    >>> opt.step(params, np.array([3.0, -3.0]), state)[0]
    array([ 0.5, -0.5])
    """
    return [scale_by_adashift(**hyper), decay_if(weight_decay), descend(lr)]
