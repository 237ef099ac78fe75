"""Master weights: parameters of 16 bits that are trained in float32.

Micikevicius et al., "Mixed Precision Training", 2018, https://arxiv.org/abs/1710.03740, section 3.1.

    every part reads and moves `master` in place of p;   p <- round(master)
"""

from dataclasses import replace

from ..page import copy, update


@update(master=replace(copy, leads=True, lasts=True))
def master_weights():
    """Train a copy of the parameters in float32, and store them rounded: help("samestep.modifiers.master_weights").

    Wherever it is written, the whole chain works on the copy: decay, trust ratios, averages. Slot `master` in the
    compute dtype. With float32 and float64 params it changes nothing, and is a second copy of them. Params that were
    changed outside of `step` need `restart`, which copies them again.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(1e-4), ss.master_weights()), np.ones(1, np.float16)
    >>> state = opt.init(params)
    >>> for _ in range(2000):
    ...     params, state = opt.step(params, np.full(1, -1.0, np.float16), state)
    >>> params, state["master"].round(4)
    (array([1.2], dtype=float16), array([1.2], dtype=float32))
    """
    return {}
