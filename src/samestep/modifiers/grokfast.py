"""Grokfast: the slow part of the gradient, amplified.

Lee, Kang, Kim, Lee, "Grokfast: Accelerated Grokking by Amplifying Slow Gradients", 2024,
https://arxiv.org/abs/2405.20233, algorithm 2 (the mean of the first gradient is itself, as in the authors' code).

    h <- grok_alpha h + (1 - grok_alpha) u,    h = u in the first step
    u <- u + grok_lamb h
"""

from array_api_compat import array_namespace

from ..page import gradient, nonnegative, unit, zeros


@gradient(h=zeros)
def grokfast(u, h, t, *, grok_alpha: unit = 0.98, grok_lamb: nonnegative = 2.0):
    """Add the running mean of the gradient to it: help("samestep.modifiers.grokfast").

    Args:
        grok_alpha, grok_lamb: the decay of the mean, 0.98; how much of it is added, 2. (`alpha` is lookahead's.)

    The authors filter the raw gradient: written before clipping. Slot `h` in the compute dtype.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.grokfast(), ss.sgd(1.0)), np.array([1.0])
    >>> opt.step(params, np.array([0.5]), opt.init(params))
    (array([-0.5]), {'step': 1, 'h': array([0.5])})
    """
    h = array_namespace(u).where(t == 1, u, grok_alpha * h + (1 - grok_alpha) * u)
    return {"u": u + grok_lamb * h, "h": h}
