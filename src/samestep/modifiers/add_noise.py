"""Add noise: Gaussian, and less of it as the steps go by.

Neelakantan et al., "Adding Gradient Noise Improves Learning for Very Deep Networks", 2015,
https://arxiv.org/abs/1511.06807.

    u <- u + sqrt(variance / t^annealing) z,    z of mean 0 and variance 1; built in, or the caller's
"""

from array_api_compat import array_namespace

from ..page import given_leaves, gradient, nonnegative
from ..trace.noise import normal


@gradient(noise=given_leaves)
def add_noise(u, noise, t, *, variance: nonnegative, annealing: nonnegative = 0.55, seed: int | None = 0):
    """Add annealed noise to the gradient: help("samestep.modifiers.add_noise").

    Args:
        variance: of the noise in the first step; the paper takes 0.01 to 1.
        annealing: the power of the step that the variance falls with, 0.55.
        seed: other numbers, 0. The same seed gives the same noise on every backend: that of `ss.normal`, a sum of eight
            uniform numbers, at most 4.9 in size. None: z is what the caller draws for each step, an array for each
            leaf: step(params, grads, state, noise=...).

    Raises:
        HyperparameterError: at a step, seed=None and no noise, or noise and another seed.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.add_noise(0.01), ss.descend(1.0)), {"w": np.zeros(2)}
    >>> opt.step(params, params, opt.init(params))[0]["w"].round(4)
    array([0.0119, 0.0309])
    """
    z = noise if seed is None else normal(u, t, seed=seed, stream="add_noise")
    return {"u": u + array_namespace(u).sqrt(variance / t**annealing) * z}
