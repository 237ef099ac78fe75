"""The average of ASGD beside torch's own."""

import numpy as np
import pytest
import torch

import samestep as ss


@pytest.fixture
def double():
    """Torch keeps the weight of the average in its default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_the_average_is_torchs(double):
    rng = np.random.default_rng(0)
    opt, params = ss.asgd(0.02, lambd=0.1, t0=5.0), {"w": rng.normal(size=4)}
    state = opt.init(params)
    assert np.array_equal(opt.eval_params(params, state)["w"], params["w"])
    theirs = torch.tensor(params["w"].copy(), requires_grad=True)
    other = torch.optim.ASGD([theirs], lr=0.02, lambd=0.1, t0=5.0, foreach=False)
    for t in range(30):
        g = rng.normal(size=4)
        params, state = opt.step(params, {"w": g}, state)
        theirs.grad = torch.from_numpy(g)
        other.step()
        average = opt.eval_params(params, state)["w"]
        np.testing.assert_allclose(average, other.state[theirs]["ax"].numpy(), rtol=1e-14, atol=1e-15)
        assert t < 7 or not np.array_equal(average, params["w"])
