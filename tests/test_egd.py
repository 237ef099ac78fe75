"""EGD: no package has it; its identities and invariants (part A, 4)."""

import numpy as np
import pytest
import torch

import samestep as ss

START = np.array([0.1, 0.5, 2.0, 1e-3])


def gradient(p, t):
    return np.array([1.0, 2.0, 0.5, 3.0]) * (p - 0.3) + np.sin(t + np.arange(4.0))


def test_egd_is_sgd_on_the_logarithm():
    phi = torch.tensor(np.log(START), requires_grad=True)
    sgd = torch.optim.SGD([phi], lr=0.1)
    optimizer, params = ss.egd(0.1), START.copy()
    state = optimizer.init(params)
    for t in range(50):
        phi.grad = torch.tensor(gradient(np.exp(phi.detach().numpy()), t))
        sgd.step()
        params, state = optimizer.step(params, gradient(params, t), state)
        np.testing.assert_allclose(params, np.exp(phi.detach().numpy()), rtol=1e-12)
        assert (params > 0).all()


def test_the_simplex_and_the_clip():
    optimizer, params = ss.egd(0.1, normalize=True), {"a": START / START.sum(), "b": np.ones((2, 3)) / 6}
    state = optimizer.init(params)
    for t in range(20):
        grads = {"a": gradient(params["a"], t), "b": np.arange(6.0).reshape(2, 3) - t}
        expected = {k: p * np.exp(-0.1 * grads[k]) for k, p in params.items()}
        params, state = optimizer.step(params, grads, state)
        for k, p in params.items():
            np.testing.assert_allclose(p, expected[k] / expected[k].sum(), rtol=1e-13)
            assert p.sum() == pytest.approx(1.0, abs=1e-14)
    huge = np.array([1e6, -1e6])
    clipped = ss.egd(1.0, clip=30.0)
    found = clipped.step(np.ones(2), huge, clipped.init(np.ones(2)))[0]
    np.testing.assert_allclose(found, np.exp([-30.0, 30.0]), rtol=1e-14)
    assert np.isinf(ss.egd(1.0).step(np.ones(2), huge, ss.egd(1.0).init(np.ones(2)))[0]).any()


def test_numbers_of_the_other_form_of_gains_are_refused():
    with pytest.raises(ss.HyperparameterError, match=r"'gamma_scale' belong.*form='momentum'"):
        ss.eg_gains(0.1, gamma_scale=0.5)
    assert "gamma_scale" in ss.eg_gains(0.1, form="momentum", gamma_scale=0.5).hyperparameters()
