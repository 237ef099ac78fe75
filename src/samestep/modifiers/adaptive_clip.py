"""Adaptive clipping: the gradient of a unit in proportion to its weights.

Brock, De, Smith, Simonyan, "High-Performance Large-Scale Image Recognition Without Normalization", 2021,
https://arxiv.org/abs/2102.06171, section 4.1.

    most = clipping max(|p|, min_unit_norm)           norms of one unit: of a whole leaf that has less than two axes
    u <- u most / max(|u|, 1e-6)                      where |u| > most
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import gradient, positive


def unit_norm(x, unit_axis):
    """The norm over all axes but that of the units; of the whole leaf where there is one axis or none."""
    xp = array_namespace(x)
    if x.ndim < 2:
        return xp.linalg.vector_norm(x)
    return xp.linalg.vector_norm(x, axis=[i for i in range(x.ndim) if i != unit_axis % x.ndim], keepdims=True)


@gradient()
def adaptive_clip(u, p, *, clipping: positive = 0.01, min_unit_norm: positive = 1e-3, unit_axis: Literal[0, -1] = 0):
    """Scale a unit's gradient down to a share of the norm of its weights: help("samestep.modifiers.adaptive_clip").

    Args:
        clipping: the largest norm that passes, over that of the weights, 0.01.
        min_unit_norm: the least norm of weights, 1e-3: what starts at zero must be able to move.
        unit_axis: the axis of the units: 0, as torch lays out kernels, or -1, as JAX and Keras do.

    The authors leave the last layer out: `groups` can.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.adaptive_clip(0.5), ss.descend(1.0)), np.array([3.0, 4.0])
    >>> opt.step(params, np.array([0.0, 5.0]), opt.init(params))[0]
    array([3. , 1.5])
    """
    xp = array_namespace(u)
    most = clipping * xp.maximum(unit_norm(p, unit_axis), min_unit_norm)
    norm = unit_norm(u, unit_axis)
    return {"u": xp.where(norm > most, u * (most / xp.maximum(norm, 1e-6)), u)}
