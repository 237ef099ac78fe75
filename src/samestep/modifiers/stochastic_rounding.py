"""Stochastic rounding: a parameter of 16 bits is rounded up or down by chance, so that its mean is exact.

Gupta, Agrawal, Gopalakrishnan, Narayanan, "Deep Learning with Limited Numerical Precision", 2015,
https://arxiv.org/abs/1502.02551.

    p <- the neighbour of p farther from 0 with the probability (|p| - |nearer one|) / their distance, else the nearer
"""

from ..page import update
from ..trace.noise import random_bits, rounded


@update(behind=True)
def stochastic_rounding(p, step, *, seed: int = 0):
    """Round the new parameter by chance, without a bias: help("samestep.modifiers.stochastic_rounding").

    Args:
        seed: of the random bits, 0; they depend on it, the step, the leaf's path and the element's place alone.

    Written last. It changes params of float16 and bfloat16; float32 and float64 ones are stored as they are computed.
    The step is that of the state, which inner clocks do not set back.

    Raises:
        TraceError: at `init`, behind `kahan`, which leaves nothing to round, or with `master_weights`.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(1.0), ss.stochastic_rounding()), {"w": np.ones(5, np.float16)}
    >>> opt.step(params, {"w": np.full(5, -5e-4, np.float32)}, opt.init(params))[0]["w"]
    array([1.001, 1.001, 1.001, 1.001, 1.   ], dtype=float16)
    """
    return {"p": rounded(p, random_bits(p, step + 1, seed=seed))}
