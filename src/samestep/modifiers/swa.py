"""Stochastic weight averaging: the mean of the parameters at some steps.

Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018,
https://arxiv.org/abs/1803.05407.

In step s = start, start + every, ..., the n-th of them: e <- e + (p - e) / n.   Before: e = p.
"""

from array_api_compat import array_namespace

from ..page import copy, count, kept, update


def _average(average):
    return {"p": average}


@update(behind=True, eval=_average, average=kept(copy), seen=kept(0.0))
def swa(p, average, seen, *, start: count, every: count = 1):
    """Average the parameters of late steps; `eval_params` gives the average: help("samestep.modifiers.swa").

    Args:
        start: the first step that is averaged, counted from 1; until then the average is the parameter.
        every: steps from one that is averaged to the next, 1.

    The parameters themselves are not touched; statistics of batch normalisation are the caller's to compute again.
    Slot `average` in the compute dtype, and the number `seen` of steps, which no restart takes back.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(1.0), ss.swa(start=2, every=2)), np.array([8.0])
    >>> state = opt.init(params)
    >>> for _ in range(5):
    ...     params, state = opt.step(params, np.array([1.0]), state)
    >>> params, opt.eval_params(params, state)
    (array([3.]), array([5.]))
    """
    xp = array_namespace(p)
    seen = seen + 1
    n = (seen - start) // every + 1
    mean = xp.where((seen - start) % every == 0, average + (p - average) / xp.maximum(n, 1.0), average)
    return {"average": xp.where(seen <= start, p, mean), "seen": seen}
