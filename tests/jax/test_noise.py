"""Random numbers and rounding on JAX arrays, op by op and under jit, where XLA could drop a cast and its way back."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

random = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "test_random.py")))
SHAPES = {"matrix": (30, 7)}


@pytest.mark.parametrize(
    "page, dtype",
    [("noise", "float32"), *((page, dtype) for page in ("stochastic", "kahan") for dtype in ("bfloat16", "float16"))],
)
def test_pages_give_the_bits_of_numpy(page, dtype):
    arrays = jnp.asarray, np.asarray
    runs = [("jax", arrays, 1), ("jax-jit", arrays, 1)]
    random.same_everywhere(page, dtype, runs, shapes=SHAPES)


@pytest.mark.parametrize("backend", ["jax", "jax-jit"])
def test_the_stochastic_vector_of_the_card(backend):
    """Subnormals too: nothing is computed with them but their bits."""
    random.stochastic_vector(backend, jnp.asarray, np.asarray)
