"""Maximize: climb instead of descend; no paper, a sign.

u <- -u
"""

from ..page import gradient


@gradient()
def negate(u):
    """Turn the gradient's sign; what `maximize=True` puts first in the chain: help("samestep.modifiers.maximize").

    >>> import samestep as ss
    >>> ss.chain(ss.negate(), ss.descend(0.1))
    chain(negate(), descend(lr=0.1))
    """
    return {"u": -u}
