"""Accumulate: one step for every k gradients; no paper, the common way to a larger batch.

acc <- acc + g;   every k-th call: a step with acc / k, and acc <- 0
"""

from array_api_compat import array_namespace

from ..page import count, gradient, zeros


@gradient(acc=zeros)
def accumulate(u, acc, t, *, k: count, mean: bool = True):
    """Collect k gradients and step with their mean: help("samestep.modifiers.accumulate").

    Args:
        k: how many gradients make one step.
        mean: divide by k, True; False steps with the sum.

    Calls between change nothing but the sum and the count. What follows in the chain counts whole steps: bias
    corrections, schedules, decay. Slot `acc` in the compute dtype.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.accumulate(2), ss.sgd(1.0)), np.array([1.0])
    >>> state = opt.init(params)
    >>> params, state = opt.step(params, np.array([0.5]), state)
    >>> opt.step(params, np.array([1.0]), state)
    (array([0.25]), {'step': 2, 'acc': array([0.])})
    """
    xp = array_namespace(u)
    full = t % k == 0
    acc = acc + u
    return {"u": acc / k if mean else acc, "acc": xp.where(full, 0.0, acc), "t": (t + k - 1) // k, "when": full}
