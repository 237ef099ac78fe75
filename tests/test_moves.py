"""What update parts of a user's own may make of p behind the step: how much u decides is no second step."""

import numpy as np
import pytest

import samestep as ss

PARAMS = {"w": np.linspace(-1.0, 1.2, 6).reshape(3, 2)}


def shrunk(p, u):
    return {"p": p * (1 - 0.1 * ss.array_namespace(p).linalg.vector_norm(u))}


def tangential(p, u):
    xp = ss.array_namespace(p)
    return {"p": p - xp.sum(p * u) / xp.sum(p * p) * p}


def masked(p, u):
    return {"p": p * (1 - 0.1 * ss.array_namespace(p).where(u * p > 0, 1.0, 0.0))}


def shaken(p, u, t):
    return {"p": p + 0.0 * ss.uniform(u, t, seed=0)}


@pytest.mark.parametrize("page", [shrunk, tangential, masked, shaken])
def test_what_u_only_decides_is_no_step(page):
    opt = ss.chain(ss.sgd(0.1), ss.update()(page)())
    with ss.use_backend("numpy"):
        moved, _ = opt.step(PARAMS, PARAMS, opt.init(PARAMS))
    p, u = PARAMS["w"] * 0.9, PARAMS["w"]
    factor = {
        shrunk: 1 - 0.1 * np.linalg.norm(u),
        tangential: 1 - (p * u).sum() / (p * p).sum(),
        masked: np.where(u * p > 0, 0.9, 1.0),
        shaken: 1.0,
    }
    np.testing.assert_allclose(moved["w"], p * factor[page], rtol=1e-13, atol=1e-15)


def signed(p, u):
    return {"p": p - 0.1 * ss.array_namespace(u).sign(u)}


def row_by_row(p, u):
    xp = ss.array_namespace(u)
    return {"p": p - 0.1 * xp.mean(u, axis=0, keepdims=True)}


@pytest.mark.parametrize("page", [signed, row_by_row])
def test_a_second_step_is_refused(page):
    with pytest.raises(ss.TraceError, match="takes a step with the gradient that descend has taken one with"):
        ss.chain(ss.sgd(0.1), ss.update()(page)()).init(PARAMS)
