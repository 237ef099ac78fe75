"""Gradients of losses that have none, for any optimizer: `grads = estimate.spsa(loss, params, noise)`.

The loss is a function of params that gives one number. The noise comes from the caller, as a function of a shape, so
nothing here keeps a generator or knows of one: NumPy's arrays will do for every library, and the estimates are then the
same bits on all of them, if the loss is. Inside jax.jit the noise takes its keys with it:

    def gradient(params, key):
        keys = iter(jax.random.split(key, 8))
        return estimate.spsa(loss, params, lambda shape: jax.random.normal(next(keys), shape))

Where the loss is recorded (a torch tensor that requires grad), the estimate is, as a step would be.
"""

from .differences import finite_difference, spsa
from .mgs import mgs
from .search import evolution, score_function

__all__ = ["evolution", "finite_difference", "mgs", "score_function", "spsa"]
