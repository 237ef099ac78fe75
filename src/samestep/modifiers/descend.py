"""Descend: the step along the direction; no paper, the common last line.

p <- p - lr u

With u the gradient, these steps follow the flow of loss + lr / 4 |gradient|^2 one order closer than that of the loss:
Barrett, Dherin, "Implicit Gradient Regularization", 2021, https://arxiv.org/abs/2009.11162.
"""

from ..page import nonnegative, update


@update()
def descend(p, u, *, lr: nonnegative):
    """Move the parameter by `lr` against the direction: help("samestep.modifiers.descend").

    Args:
        lr: the step size, at least 0; the chain's own, shared by name.

    >>> import samestep as ss
    >>> ss.chain(ss.descend(0.1))
    chain(descend(lr=0.1))
    """
    return {"p": p - lr * u}
