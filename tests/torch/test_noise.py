"""Random numbers and rounding on tensors: the bits of NumPy, evaluated and by the Numba kernels."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
import torch

random = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "test_random.py")))
FLOATS = ("float32", "float64", "float16", "bfloat16")
BACKENDS = ("torch", "numba")


def give(x):
    x = np.array(x)
    return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16) if x.dtype == ml_dtypes.bfloat16 else torch.tensor(x)


def take(x):
    return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if x.dtype is torch.bfloat16 else x.numpy()


@pytest.mark.parametrize("param", FLOATS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_rounding_against_the_definition(backend, param):
    random.rounding(backend, param, (give, take))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_stochastic_vector_of_the_card(backend):
    random.stochastic_vector(backend, give, take)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("page", random.PAGES)
def test_pages_give_the_bits_of_numpy(page, dtype, monkeypatch):
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    tensors = give, take
    random.same_everywhere(page, dtype, [("torch", tensors, 1), ("numba", tensors, 1), ("numba", tensors, 2)])
