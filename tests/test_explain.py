"""What explain says of libraries that a backend answers for, and of others."""

import jax.numpy as jnp
import numpy as np

import samestep as ss


def test_of_a_library_without_a_backend_no_bits_are_promised():
    assert ss.explain(ss.adamw(), jnp.ones(3)).lines[0].exactness == "not vouched for"
    assert ss.explain(ss.adamw(), np.ones(3)).lines[0].exactness == "exact"
