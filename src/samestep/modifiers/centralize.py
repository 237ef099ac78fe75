"""Centralize: the gradient of each unit less its mean.

Yong, Huang, Hua, Zhang, "Gradient Centralization: A New Optimization Technique for Deep Neural Networks", 2020,
https://arxiv.org/abs/2004.01461.

    u <- u - mean(u)        over all axes but that of the units; a leaf of less than two axes stays as it is
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import gradient


@gradient()
def centralize(u, *, unit_axis: Literal[0, -1] = 0):
    """Take the mean of a unit's gradient away from it: help("samestep.modifiers.centralize").

    Args:
        unit_axis: the axis of the units: 0, as torch lays out kernels, or -1, as JAX and Keras do.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.centralize(), ss.descend(1.0)), np.zeros((1, 2))
    >>> opt.step(params, np.array([[1.0, 3.0]]), opt.init(params))[0]
    array([[ 1., -1.]])
    """
    if u.ndim < 2:
        return {"u": u}
    axes = [i for i in range(u.ndim) if i != unit_axis % u.ndim]
    return {"u": u - array_namespace(u).mean(u, axis=axes, keepdims=True)}
