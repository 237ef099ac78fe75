"""Clip: the gradient held within a value, or within a norm of a leaf or of all leaves.

Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", 2013, https://arxiv.org/abs/1211.5063.

    clip_by_value        u <- min(max(u, -max_value), max_value)
    clip_by_norm         u <- u max_norm / max(|u|, max_norm)       |u| of one leaf
    clip_by_global_norm  n = sqrt(sum over all leaves of sum(u^2))
                         u <- u min(1, max_norm / (n + clip_eps))
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import gradient, nonnegative, positive
from ..trace.namespace import sum_over_params


@gradient()
def clip_by_value(u, *, max_value: positive):
    """Hold every entry of the gradient within `max_value` of 0: help("samestep.modifiers.clip").

    Args:
        max_value: the largest entry that passes; nan stays nan.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.clip_by_value(1.0), ss.descend(1.0)), np.zeros(2)
    >>> opt.step(params, np.array([3.0, -0.5]), opt.init(params))[0]
    array([-1. ,  0.5])
    """
    return {"u": array_namespace(u).clip(u, -max_value, max_value)}


@gradient()
def clip_by_norm(u, *, max_norm: positive):
    """Scale the gradient of a leaf down to the norm `max_norm` where it is longer: help("samestep.modifiers.clip").

    Args:
        max_norm: the largest norm that passes, leaf by leaf.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.clip_by_norm(1.0), ss.descend(1.0)), [np.zeros(2), np.zeros(1)]
    >>> opt.step(params, [np.array([3.0, 4.0]), np.array([0.5])], opt.init(params))[0]
    [array([-0.6, -0.8]), array([-0.5])]
    """
    xp = array_namespace(u)
    return {"u": u * (max_norm / xp.maximum(xp.linalg.vector_norm(u), max_norm))}


@gradient()
def clip_by_global_norm(
    u,
    *,
    max_norm: positive,
    clip_eps: nonnegative = 0.0,
    nonfinite: Literal["nan", "zero", "torch"] = "nan",
    scale: Literal["none", "max"] = "none",
):
    """Scale all gradients down together when their joint norm is above `max_norm`: help("samestep.modifiers.clip").

    Args:
        max_norm: the largest norm that passes.
        clip_eps: added to the norm, 0; torch has 1e-6 there. (`eps` is the optimizer's behind it.)
        nonfinite: what an infinite or nan norm does: "nan" makes every entry nan, so that it is seen; "zero" drops
            the whole update; "torch" scales finite entries to 0 and infinite ones to nan.
        scale: "max" divides by the mean of the leaves' largest entries first, so that no square of a finite gradient
            overflows; "none" squares as it is, in float64, which is enough for anything below 1e154.

    The norm is summed in float64 in a pinned order: the same bits on every backend.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.clip_by_global_norm(1.0), ss.descend(1.0)), np.zeros(2)
    >>> opt.step(params, np.array([3.0, 4.0]), opt.init(params))[0]
    array([-0.6, -0.8])
    """
    xp = array_namespace(u)
    v, size = u, 1.0
    if scale == "max":
        size = sum_over_params(xp.maximum(xp.max(abs(u)), 0.0)) / sum_over_params(0 * u.size + 1)
        size = xp.where(xp.isfinite(size) & (size > 0), size, 1.0)
        v = u / size
    norm = xp.sqrt(sum_over_params(v * v))
    length = norm + clip_eps / size
    factor = xp.where(length <= max_norm / size, size, max_norm / length)
    if nonfinite == "nan":
        factor = factor + (norm - norm)
    if nonfinite == "zero":
        return {"u": xp.where(xp.isfinite(norm), v * factor, 0.0)}
    return {"u": v * factor}
