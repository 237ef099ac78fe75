"""Kahan summation: what a parameter of 16 bits loses when it is rounded is added in the next step.

Zamirai, Zhang, Aberger, De Sa, "Revisiting BFloat16 Training", 2020, https://arxiv.org/abs/2010.06192; after
Kahan, "Further remarks on reducing truncation errors", 1965, https://doi.org/10.1145/363707.363723.

    c <- round(c - lr u)
    p <- round(p + c),   c <- round(c + round(old p - p))
"""

from ..page import nonnegative, update, zeros
from ..trace.noise import rounded
from .descend import descend


@update(replaces=descend, c=zeros)
def kahan(p, u, c, *, lr: nonnegative):
    """Take the step of `descend` with compensated rounding, in its place: help("samestep.modifiers.kahan").

    Args:
        lr: the step size; in a chain with `descend`, for which it stands then, the lr of that part.

    In a chain whose last step is not p - lr u (FTRL, velocity) it is refused; `master_weights` is for any. `round` is
    to the parameter's dtype: with float32 and float64 params it is a compensated sum of those. What a decay before it
    took off is not lost either; what parts behind it do is rounded as ever. Slot `c` in the compute dtype, with values
    of the parameter's.

    Raises:
        ChainError: there is no `descend` in the chain, and no lr of its own; or both have another lr.
        TraceError: at `init`, `master_weights` in the same chain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(1e-4), ss.kahan()), np.ones(1, np.float16)
    >>> state = opt.init(params)
    >>> for _ in range(2000):
    ...     params, state = opt.step(params, np.full(1, -1.0, np.float16), state)
    >>> params
    array([1.2], dtype=float16)
    """
    c = rounded(c - lr * u)
    new = rounded(p + c)
    return {"p": new, "c": rounded(c + rounded(p - new))}
