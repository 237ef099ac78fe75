"""Flooding: below a level of the loss, climb.

Ishida, Yamane, Sakai, Niu, Sugiyama, "Do We Need Zero Training Loss After Achieving Zero Training Error?", 2020,
https://arxiv.org/abs/2002.08709.

    u <- u sign(loss - level)        the gradient of |loss - level| + level
"""

from array_api_compat import array_namespace

from ..page import gradient
from ..slots import given


@gradient(loss=given)
def flooding(u, loss, *, level: float):
    """Turn the gradient's sign where the loss is below a level: help("samestep.modifiers.flooding").

    Args:
        level: the loss to stay at; where it is met exactly the gradient is 0.

    `step` needs the loss of its gradients: step(params, grads, state, loss=...).

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.flooding(0.1), ss.sgd(1.0)), np.array([1.0])
    >>> opt.step(params, np.array([0.5]), opt.init(params), loss=0.05)[0]
    array([1.5])
    """
    return {"u": u * array_namespace(u).sign(loss - level)}
