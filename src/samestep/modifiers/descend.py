"""Descend: the step along the direction; no paper, the common last line.

p <- p - lr u
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
