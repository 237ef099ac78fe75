"""Clip by the global norm.

Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks", 2013, https://arxiv.org/abs/1211.5063.

    n = sqrt(sum over all leaves of sum(u^2))
    u <- u max_norm / (n + clip_eps)   where n > max_norm
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import gradient, nonnegative, positive
from ..trace.namespace import sum_over_params


@gradient()
def clip_by_global_norm(
    u, *, max_norm: positive, clip_eps: nonnegative = 0.0, nonfinite: Literal["nan", "zero", "torch"] = "nan"
):
    """Scale all gradients down together when their joint norm is above `max_norm`: help("samestep.modifiers.clip").

    Args:
        max_norm: the largest norm that passes.
        clip_eps: added to the norm that is divided by, 0; torch has 1e-6 there. (`eps` is the optimizer's behind it.)
        nonfinite: what an infinite or nan norm does: "nan" makes every entry nan, so that it is seen; "zero" drops
            the whole update; "torch" scales finite entries to 0 and infinite ones to nan.

    The norm is summed in float64 in a pinned order: the same bits on every backend.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.clip_by_global_norm(1.0), ss.descend(1.0)), np.zeros(2)
    >>> opt.step(params, np.array([3.0, 4.0]), opt.init(params))[0]
    array([-0.6, -0.8])
    """
    xp = array_namespace(u)
    norm = xp.sqrt(sum_over_params(u * u))
    factor = xp.where(norm <= max_norm, 1.0, max_norm / (norm + clip_eps))
    if nonfinite == "nan":
        factor = factor + (norm - norm)
    if nonfinite == "zero":
        return {"u": xp.where(xp.isfinite(norm), u * factor, 0.0)}
    return {"u": u * factor}
