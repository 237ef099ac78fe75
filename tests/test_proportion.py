"""What gradient parts make of a scale, and what they keep of a step that is skipped: pages of a user's own."""

import numpy as np
import pytest

import samestep as ss

PARAMS = {"w": np.linspace(-1.0, 1.2, 6).reshape(3, 2)}


def where(u, p):
    xp = ss.array_namespace(u)
    return {"u": xp.where(p > 0, u, xp.zeros_like(u))}


def projected(u, p):
    return {"u": ss.array_namespace(u).matmul(u, ss.array_namespace(p).matmul(p.mT, p))}


def shuffled(u):
    xp = ss.array_namespace(u)
    turned = xp.roll(xp.flip(xp.concat([u, u], axis=0), axis=1), 1, axis=0)
    return {"u": u - xp.copysign(xp.mean(turned, axis=0), xp.take(u, xp.argsort(xp.mean(u, axis=0)), axis=1))}


def sparse(u, t):
    xp = ss.array_namespace(u)
    norm = xp.sum(abs(u) ** 3.0) ** (1 / 3)
    return {"u": xp.where((abs(u) < 0.1 * norm) | (ss.uniform(u, t, seed=0) < 0.3), 0.0, u - xp.mean(u))}


def deep(u):
    for _ in range(1500):
        u = u + 0.001 * u
    return {"u": u}


@pytest.mark.parametrize("page", [where, projected, shuffled, sparse, deep])
def test_what_is_in_proportion_may_see_a_scale(page):
    """And the step is that of the gradient without one."""
    own = ss.gradient()(page)()
    told, plain = ss.chain(own, ss.unscale(), ss.descend(0.1)), ss.chain(own, ss.descend(0.1))
    with ss.use_backend("numpy"):
        scaled, _ = told.step(PARAMS, {"w": 512.0 * PARAMS["w"]}, told.init(PARAMS), grad_scale=512.0)
        expected, _ = plain.step(PARAMS, PARAMS, plain.init(PARAMS))
    np.testing.assert_allclose(scaled["w"], expected["w"], rtol=1e-13)
    assert not np.array_equal(scaled["w"], PARAMS["w"])


def small(u):
    return {"when": ss.sum_over_params(u * u) < 100.0}


def slower(u, *, lr=0.1):
    return {"lr": lr / ss.array_namespace(u).sqrt(ss.sum_over_params(u * u))}


def random(u, t):
    return {"u": u * u * ss.normal(u, t, seed=0)}


@pytest.mark.parametrize("page", [small, slower, random])
def test_what_hangs_on_a_scale_is_refused_before_it_is_off(page):
    own = ss.gradient()(page)()
    ss.chain(ss.unscale(), own, ss.descend(0.1)).init(PARAMS)
    with pytest.raises(ss.TraceError, match=f"must stand before {page.__name__}, .* not in proportion"):
        ss.chain(own, ss.unscale(), ss.descend(0.1)).init(PARAMS)


@ss.gradient()
def own_skip(u):
    xp = ss.array_namespace(u)
    return {"when": xp.all(xp.isfinite(u))}


@ss.gradient(usual=0.0)
def in_bounds(u, usual):
    norm = ss.array_namespace(u).sqrt(ss.sum_over_params(u * u))
    usual = 0.9 * usual + 0.1 * norm
    return {"u": u * usual / norm, "usual": usual}


@ss.gradient(seen=ss.scalar(0.0), drawn=ss.zeros)
def counting(u, seen, drawn, t):
    xp = ss.array_namespace(u)
    return {"seen": seen + xp.where(xp.all(xp.isfinite(u)), 1.0, 0.0), "drawn": drawn + ss.uniform(u, t, seed=0)}


@pytest.mark.parametrize("skip", [ss.skip_nonfinite, own_skip])
def test_what_keeps_a_gradient_is_refused_before_its_step_is_skipped(skip):
    for keeper in (ss.grokfast, in_bounds):
        with pytest.raises(ss.TraceError, match=f"must stand before {keeper.__name__}, which has kept"):
            ss.chain(keeper(), skip(), ss.sgd(0.1)).init(PARAMS)
    ss.chain(skip(), ss.grokfast(), ss.sgd(0.1)).init(PARAMS)
    opt = ss.chain(counting(), skip(), ss.sgd(0.1))  # what is decided by a gradient is no part of it
    with ss.use_backend("numpy"):
        params, state = opt.step(PARAMS, {"w": np.full((3, 2), np.nan)}, opt.init(PARAMS))
    assert np.array_equal(params["w"], PARAMS["w"]) and state["seen"]["w"] == 0
