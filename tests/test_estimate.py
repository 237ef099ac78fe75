"""Gradients of losses without one, beside the cards (part A, 6 and 7) in plain NumPy, and what must hold of them."""

import itertools
import math
import runpy
from pathlib import Path

import array_api_strict
import dask.array
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import samestep as ss
from samestep.estimate import evolution, finite_difference, mgs, score_function, spsa

same_bits = runpy.run_path(str(Path(__file__).with_name("harness.py")))["same_bits"]
A, B = np.array([[1.0, -2.0, 0.3], [0.5, 0.1, -0.7]]), np.array(0.4)
SIZE = A.size + 1


def tree(flat):
    return {"a": [np.reshape(flat[:-1], A.shape)], "b": np.asarray(flat[-1])}


def flat(tree):
    return np.concatenate([host(tree["a"][0]).ravel(), host(tree["b"]).ravel()])


def host(x):
    return x._array if isinstance(x, array_api_strict._array_object.Array) else np.asarray(x)


PARAMS = tree(np.append(A, B))


def smooth(params):
    """A loss on the host, whatever the library."""
    x = flat(params).astype(np.float64)
    return float(np.sum(np.exp(0.3 * x) * np.arange(1, SIZE + 1)) + x[0] * x[-1] ** 2)


def slope(x):
    g = 0.3 * np.exp(0.3 * x) * np.arange(1, SIZE + 1)
    g[0] += x[-1] ** 2
    g[-1] += 2 * x[0] * x[-1]
    return g


def seeded(seed=0):
    return np.random.default_rng(seed).standard_normal


def drawn(n, seed=0):
    """What `seeded` gives for each leaf in order, one direction after the other."""
    rng = np.random.default_rng(seed)
    return [np.concatenate([rng.standard_normal(A.shape).ravel(), [rng.standard_normal()]]) for _ in range(n)]


def listed(directions):
    """These directions in the place of noise."""
    leaves = itertools.chain.from_iterable((tree(u)["a"][0], tree(u)["b"]) for u in directions)
    return lambda shape: next(leaves)


# -- the cards, transcribed --------------------------------------------------------------------------------------------


def others(values, weights):
    """For each the weighted mean of all but itself."""
    found = []
    for i in range(len(values)):
        rest = [j for j in range(len(values)) if j != i]
        found.append(sum(values[j] * weights[j] for j in rest) / sum(weights[j] for j in rest))
    return np.array(found)


def from_the_card(f, x, us, eps, baseline):
    ahead = np.array([f(tree(x + eps * u)) for u in us])
    if baseline == "mirrored":
        behind = np.array([f(tree(x - eps * u)) for u in us])
        return np.mean([(a - b) / (2 * eps) * u for a, b, u in zip(ahead, behind, us, strict=True)], axis=0)
    b = {
        "point": lambda: f(tree(x)),
        "mean": lambda: others(ahead, np.ones(len(us))),
        "optimal": lambda: others(ahead, [u @ u for u in us]),
        "none": lambda: 0.0,
    }.get(baseline, lambda: baseline)()
    return np.mean([c / eps * u for c, u in zip(ahead - b, us, strict=True)], axis=0)


def mgs_from_the_card(f, x, gs, us, sigma=1.0, beta=100.0, scale="uniform", density="mixture", clip=1.0):
    parts = [slice(0, A.size), slice(A.size, SIZE)]
    mu = -gs * min(1.0, clip / np.linalg.norm(gs))
    s = np.concatenate(
        [np.full(mu[p].size, sigma * (np.abs(mu[p]).mean() if scale == "uniform" else 1)) for p in parts]
    )
    found = []
    for i, u in enumerate(us):
        d = mu + s * u if i % 2 == 0 else s * u
        if density == "official":
            q = 0.5 * math.exp(-d @ d / 2) + 0.5 * math.exp(-d @ d / 2 + d @ mu - mu @ mu / 2)
        else:
            q = 0.5 * math.exp(-np.sum((d / s) ** 2) / 2) + 0.5 * math.exp(-np.sum(((d - mu) / s) ** 2) / 2)
        found.append((d, beta * (f(tree(x)) - f(tree(x + d))) - math.log(q)))
    top = max(argument for _, argument in found)
    w = np.array([math.exp(argument - top) for _, argument in found])
    direction = sum(wi * d for wi, (d, _) in zip(w / w.sum(), found, strict=True))
    return -direction * min(1.0, clip / np.linalg.norm(direction))


@pytest.mark.parametrize("baseline", ["mirrored", "point", "mean", "optimal", "none", 20.0])
def test_evolution_is_the_card(baseline):
    found = evolution(smooth, PARAMS, seeded(), sigma=0.1, n=5, baseline=baseline)
    np.testing.assert_allclose(flat(found), from_the_card(smooth, flat(PARAMS), drawn(5), 0.1, baseline), rtol=1e-12)


def test_spsa_and_mezo_are_the_card():
    x, optimizer = flat(PARAMS), ss.sgd(0.01)
    params, state = PARAMS, optimizer.init(PARAMS)
    for u, form in zip(drawn(6), ["central", "forward"] * 3, strict=True):
        params, state = optimizer.step(params, spsa(smooth, params, listed([u]), form=form), state)
        x = x - 0.01 * from_the_card(smooth, x, [u], 1e-3, "mirrored" if form == "central" else "point")
        np.testing.assert_allclose(flat(params), x, rtol=1e-12)


@pytest.mark.parametrize("scale", ["uniform", "constant"])
@pytest.mark.parametrize("density", ["mixture", "official"])
def test_mgs_is_the_card(scale, density):
    gs, beta = slope(flat(PARAMS)), 0.5
    found = mgs(smooth, PARAMS, tree(gs), seeded(), sigma=0.7, beta=beta, scale=scale, density=density)
    expected = mgs_from_the_card(smooth, flat(PARAMS), gs, drawn(4), 0.7, beta, scale, density)
    np.testing.assert_allclose(flat(found), expected, rtol=1e-11)
    assert np.linalg.norm(flat(found)) <= 1 + 1e-15


# -- what must hold ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "order"), [("central", 2), ("forward", 1)])
def test_differences_have_their_order(form, order):
    exact = slope(flat(PARAMS))
    errors = [flat(finite_difference(smooth, PARAMS, eps=eps, form=form)) - exact for eps in (2e-2, 1e-2)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, atol=0.02)
    rounded = 2 * np.spacing(smooth(PARAMS)) / (2.0**-17 if order == 2 else 2.0**-26)  # of two losses, over the step
    np.testing.assert_allclose(flat(finite_difference(smooth, PARAMS, form=form)), exact, rtol=1e-7, atol=rounded)


def test_spsa_over_all_signs():
    """The mean over all signs of a cubic is its gradient and eps^2, exactly; of a quadratic, the gradient."""
    p, eps = np.array([1.0, -2.0, 0.5]), 0.25
    all_signs = [np.array(s) for s in itertools.product([1.0, -1.0], repeat=3)]
    h = np.array([[2.0, 0.5, 0.0], [0.5, 3.0, -1.0], [0.0, -1.0, 1.0]])
    for f, exact, form in [
        (lambda x: float((x**3).sum()), 3 * p**2 + eps**2, "central"),
        (lambda x: float(x @ h @ x) / 2, h @ p, "central"),
        (lambda x: float(x @ h @ x) / 2, h @ p, "forward"),  # what is even in u drops out, too
    ]:
        signs = iter(all_signs)
        found = spsa(f, p, lambda shape, signs=signs: next(signs), eps=eps, n=8, form=form)
        np.testing.assert_allclose(found, exact, rtol=1e-13)
    rows = iter(np.linalg.qr(h)[0] * math.sqrt(3))  # and so is that over an orthonormal set, at its length
    np.testing.assert_allclose(
        spsa(lambda x: float(x @ h @ x) / 2, p, lambda shape: next(rows), n=3), h @ p, rtol=1e-11
    )


@pytest.mark.parametrize("baseline", ["mirrored", "point", "none", 5.0])
def test_evolution_has_the_gradient_of_the_smoothed_loss(baseline):
    """Over the nodes of a quadrature that is exact: grad E (p + sigma u)^4 = 4 p^3 + 12 sigma^2 p, any baseline."""
    p, sigma, mean = np.array([1.0, -0.5]), 0.3, np.zeros(2)
    nodes = [(-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6)]
    for (u, a), (v, b) in itertools.product(nodes, repeat=2):
        one = evolution(
            lambda x: float((x**4).sum()),
            p,
            lambda shape, u=u, v=v: np.array([u, v]),
            sigma=sigma,
            n=1,
            baseline=baseline,
        )
        mean = mean + a * b * one
    np.testing.assert_allclose(mean, 4 * p**3 + 12 * sigma**2 * p, rtol=1e-12)


@pytest.mark.parametrize("baseline", ["mean", "optimal", "none", 3.0])
def test_no_baseline_moves_the_mean_of_the_score_function(baseline):
    """Over all triples of draws from a softmax: sum of cost(y) grad p(y), the zeroth-order gradient of card 6."""
    logits, costs = {"z": np.array([0.2, -0.5, 1.0])}, np.array([1.0, -2.0, 4.0])
    p = np.exp(logits["z"]) / np.exp(logits["z"]).sum()
    mean = np.zeros(3)
    for triple in itertools.product(range(3), repeat=3):
        ys = iter(triple)
        found = score_function(
            lambda y: costs[y],
            logits,
            lambda params, ys=ys: next(ys),
            lambda params, y: {"z": np.eye(3)[y] - p},
            n=3,
            baseline=baseline,
        )
        mean = mean + p[list(triple)].prod() * found["z"]
    np.testing.assert_allclose(mean, p * (costs - p @ costs), rtol=1e-13)


@pytest.mark.parametrize("baseline", ["mean", "optimal", "none", 20.0])
def test_of_a_normal_distribution_it_is_evolution(baseline):
    us, sigma = iter(drawn(6)), 0.2
    found = score_function(
        smooth,
        PARAMS,
        lambda params: tree(flat(params) + sigma * next(us)),
        lambda params, x: tree((flat(x) - flat(params)) / sigma**2),
        n=6,
        baseline=baseline,
    )
    expected = evolution(smooth, PARAMS, seeded(), sigma=sigma, n=6, baseline=baseline)
    np.testing.assert_allclose(flat(found), flat(expected), rtol=1e-10)


@pytest.mark.parametrize("baseline", ["mirrored", "none"])
def test_ranks_see_the_order_alone(baseline):
    plain, bent = (
        flat(evolution(f, PARAMS, seeded(), n=7, baseline=baseline, ranks=True))
        for f in (smooth, lambda p: math.exp(smooth(p)) - 5)
    )
    same_bits(plain, bent)
    assert plain @ slope(flat(PARAMS)) > 0
    level = flat(evolution(lambda p: 3.0, PARAMS, seeded(), n=7, baseline=baseline, ranks=True))
    assert (level == 0).all()
    values = iter([3.0, 1.0, 1.0, math.inf])
    us = [np.eye(4)[i] for i in range(4)]
    rows = iter(us)
    found = evolution(
        lambda p: next(values), np.zeros(4), lambda shape: next(rows), sigma=1.0, n=4, baseline="none", ranks=True
    )
    np.testing.assert_allclose(4 * found, [2 / 3 - 0.5, 0.5 / 3 - 0.5, 0.5 / 3 - 0.5, 0.5], rtol=1e-15)


def test_corners_of_mgs():
    x, gs, us = flat(PARAMS), 0.1 * slope(flat(PARAMS)), drawn(4)
    one = mgs(smooth, PARAMS, tree(gs), listed(us), n=1, scale="constant", max_norm=None)
    np.testing.assert_allclose(flat(one), -(-gs + us[0]), rtol=1e-13)  # one candidate is the direction
    level = mgs(lambda p: 1.0, PARAMS, tree(gs), listed(us), lam=1.0, scale="constant", max_norm=None)
    w = np.array([math.exp(u @ u / 2) for u in us])  # equal costs: 1 / q alone
    np.testing.assert_allclose(flat(level), -(w @ us) / w.sum(), rtol=1e-12)
    best = mgs(smooth, PARAMS, tree(gs), listed(us), lam=0.0, beta=1e6, scale="constant", max_norm=None)
    lowest = min((-gs + u for u in us), key=lambda d: smooth(tree(x + d)))
    np.testing.assert_allclose(flat(best), -lowest, rtol=1e-12)


def test_a_large_model_has_no_density_of_the_authors():
    """Their exp comes before the log: all is nan, and is seen; the mixture's does not underflow."""
    p, options = np.zeros(4000), {"scale": "constant", "beta": 1.0}
    found = {
        density: mgs(lambda p: 1.0, p, seeded(1)(4000), seeded(), density=density, **options)
        for density in ("mixture", "official")
    }
    assert np.isfinite(found["mixture"]).all() and found["mixture"].any() and np.isnan(found["official"]).all()


def test_mgs_expands_to_the_gradient_and_to_newton():
    """Candidates of one length: beta h^2 / 2 times the gradient. A dense set of them: the mean of exp(-beta cost)."""
    g, h, beta = np.array([0.5, -1.0]), 1e-4, 3.0
    rows = iter([np.array(d) for d in ([1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0])])
    options = {"lam": 1.0, "scale": "constant", "beta": beta, "max_norm": None}
    found = mgs(lambda p: float(g @ p), np.zeros(2), np.zeros(2), lambda shape: next(rows), sigma=h, **options)
    np.testing.assert_allclose(found / (beta * h**2 / 2), g, rtol=1e-6)
    slope, curvature, z = 0.8, 2.0, iter(np.linspace(-4, 4, 400))
    weighed = np.exp(np.linspace(-4, 4, 400) ** 2 / 2)  # this grid is no sample of q: 1 / q has to be taken out again
    cost = iter(np.log(weighed) / beta)
    found = mgs(
        lambda p: slope * float(p) + curvature / 2 * float(p) ** 2 + next(cost), np.array(0.0), np.array(1.0),
        lambda shape: next(z), n=400, sigma=1.0, **options,
    )  # fmt: skip
    np.testing.assert_allclose(found, slope / curvature, rtol=1e-9)


def test_a_leaf_without_a_gradient_and_one_without_a_spread():
    params = {"a": np.ones(2), "b": np.ones(3), "c": np.ones(2)}
    grads = {"a": np.array([0.3, -0.2]), "b": None, "c": np.zeros(2)}
    seen = []
    found = mgs(lambda p: seen.append(p) or float(p["a"].sum()), params, grads, seeded())
    assert found["b"] is None and all(p["b"] is params["b"] for p in seen)
    assert (found["c"] == 0).all() and np.isfinite(found["a"]).all() and found["a"].any()
    unmoved = mgs(smooth, PARAMS, tree(np.zeros(SIZE)), seeded())  # no gradient at all, and so no spread
    assert (flat(unmoved) == 0).all()


# -- libraries and dtypes ----------------------------------------------------------------------------------------------

LIBRARIES = {
    "torch": torch.tensor,
    "jax": jnp.asarray,
    "strict": array_api_strict.asarray,
    "dask": dask.array.from_array,
}
ESTIMATES = {
    "differences": lambda f, p: finite_difference(f, p),
    "forward": lambda f, p: finite_difference(f, p, form="forward"),
    "spsa": lambda f, p: spsa(f, p, seeded(), eps=0.05, n=2, form="forward"),
    "mirrored": lambda f, p: evolution(f, p, seeded(), sigma=0.05, n=3),
    "optimal": lambda f, p: evolution(f, p, seeded(), sigma=0.05, n=3, baseline="optimal"),
    "ranks": lambda f, p: evolution(f, p, seeded(), sigma=0.05, n=3, ranks=True, baseline="none"),
    "score": lambda f, p: score_function(f, p, lambda p: p, lambda p, x: p, n=2, baseline=1.0),
    "mgs": lambda f, p: mgs(f, p, p, seeded(), beta=0.5),
    "official": lambda f, p: mgs(f, p, p, seeded(), beta=0.5, density="official"),
}


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", ESTIMATES)
def test_the_same_bits_for_every_library(name, dtype):
    """Of one loss on the host; params stay as they are, and an optimizer takes what comes out."""

    def params(make):
        arrays = [A.astype(dtype), B.astype(dtype), np.zeros((0, 2), dtype)]
        for x in arrays:
            x.setflags(write=False)
        return dict(zip(("w", "b", "e"), map(make, arrays), strict=True))

    def loss(p):
        assert all(str(x.dtype).endswith(dtype) for x in p.values())
        return smooth({"a": [p["w"]], "b": p["b"]})

    expected = ESTIMATES[name](loss, start := params(lambda x: x))
    for x, before in zip(start.values(), params(lambda x: x).values(), strict=True):
        same_bits(x, before)
    assert all(g.dtype == "float32" and np.isfinite(g).all() and (g.any() or not g.size) for g in expected.values())
    for library, make in LIBRARIES.items():
        if library == "strict" and dtype == "float16":
            continue  # which it does not have
        found = ESTIMATES[name](loss, params(lambda x, make=make: make(x.copy())))
        for leaf, g in found.items():
            same_bits(host(g), expected[leaf], f"{library} {leaf}")
    optimizer = ss.adam(1e-2)
    assert optimizer.step(start, expected, optimizer.init(start))[0]["w"].dtype == dtype


@pytest.mark.parametrize("name", ESTIMATES)
def test_inside_jit(name):
    """A traced loss: nothing is asked for."""

    def loss(p):
        x = jnp.concatenate([p["w"].ravel(), p["b"].ravel()])
        return jnp.sum(jnp.exp(0.3 * x) * jnp.arange(1, SIZE + 1)) + x[0] * x[-1] ** 2

    params = {"w": jnp.asarray(A, jnp.float32), "b": jnp.asarray(B, jnp.float32)}
    compiled, outside = jax.jit(lambda p: ESTIMATES[name](loss, p))(params), ESTIMATES[name](loss, params)
    for leaf, g in outside.items():
        near = 2 * np.spacing(np.float32(smooth(PARAMS))) / 2.0**-11.5 if name == "forward" else 1e-3
        np.testing.assert_allclose(compiled[leaf], g, rtol=1e-3, atol=near)  # the loss is rounded, and then divided


def test_lazy_and_recorded_losses():
    lazy = {"w": dask.array.from_array(np.array([1.0, 2.0]))}
    grads = spsa(lambda p: (p["w"] ** 2).sum(), lazy, lambda shape: np.array([1.0, -1.0]))
    np.testing.assert_allclose(grads["w"].compute(), [-2.0, 2.0], rtol=1e-12)
    weight = torch.tensor(2.0, requires_grad=True, dtype=torch.float64)
    w = torch.tensor([1.0, 2.0], requires_grad=True, dtype=torch.float64)
    plain = finite_difference(lambda p: (p**2).sum(), w)
    assert not plain.requires_grad and w.grad is None  # to require a gradient is not to be recorded
    recorded = finite_difference(lambda p: weight * (p**2).sum(), w)
    assert torch.autograd.grad(recorded.sum(), weight)[0].item() == pytest.approx(6.0, rel=1e-9)


def test_learning_without_a_gradient():
    """A loss of steps has the gradient 0 everywhere; Adam gets to its floor all the same."""
    target = {"w": np.array([1.0, -2.0, 0.5]), "b": np.array(0.7)}

    def stairs(p):
        return float(sum(np.round(10 * abs(p[k] - target[k])).sum() for k in target))

    start = {k: np.zeros(x.shape) for k, x in target.items()}
    assert not any(g.any() for g in finite_difference(stairs, start).values())
    rng, crooked = np.random.default_rng(0), np.random.default_rng(1)

    def surrogate(p):  # half right, as the likelihood is
        return {k: np.sign(p[k] - target[k]) + crooked.normal(size=x.shape) for k, x in target.items()}

    for estimate, goal in [
        (lambda p: spsa(stairs, p, rng.standard_normal, eps=0.1, n=2), 4),
        (lambda p: evolution(stairs, p, rng.standard_normal, sigma=0.1, n=3, ranks=True), 4),
        (lambda p: mgs(stairs, p, surrogate(p), rng.standard_normal, sigma=0.5, beta=1.0), 4),
    ]:
        optimizer = ss.adam(lambda step: 0.1 / (1 + step / 30))
        params, state = start, optimizer.init(start)
        for _ in range(200):
            params, state = optimizer.step(params, estimate(params), state)
        assert stairs(params) <= goal < stairs(start) / 8


# -- errors ------------------------------------------------------------------------------------------------------------


def test_refusals():
    p, noise = {"w": np.ones(2)}, seeded()

    def ones(p):
        return 1.0

    for call, kind, message in [
        (lambda: spsa(1.0, p, noise), ss.HyperparameterError, r"loss is a function; got 1\.0"),
        (lambda: spsa(ones, p), ss.HyperparameterError, r"spsa needs noise: write spsa\(noise=\.\.\.\)"),
        (lambda: spsa(ones, p, noise, eps=0.0), ss.HyperparameterError, "eps must be above 0"),
        (lambda: spsa(ones, p, noise, n=0), ss.HyperparameterError, "n must be at least 1"),
        (lambda: spsa(ones, p, noise, form="left"), ss.HyperparameterError, "form must be one of 'central', 'forward'"),
        (lambda: spsa(lambda p: p["w"], p, noise), ss.HyperparameterError, r"one real number; got the shape \(2,\)"),
        (lambda: spsa(lambda p: "low", p, noise), ss.HyperparameterError, "the loss must give one real number"),
        (lambda: spsa(lambda p: 1j, p, noise), ss.HyperparameterError, "the loss must give one real number"),
        (
            lambda: spsa(ones, p, lambda shape: np.ones(3)),
            ss.LeafError,
            r"leaf 'w': noise\(shape\) .*\(2,\); got .*\(3,\)",
        ),
        (lambda: spsa(ones, p, lambda shape: None), ss.LeafError, "leaf 'w'.*got None"),
        (lambda: spsa(ones, p, lambda shape: torch.ones(2)), ss.LeafError, "leaf 'w': the noise is an array of torch"),
        (lambda: spsa(ones, {"w": np.ones(2, int)}, noise), ss.LeafError, "leaf 'w' of the params is int64"),
        (lambda: spsa(ones, {"w": np.ones(2, complex)}, noise), ss.LeafError, "leaf 'w'.* takes real params"),
        (
            lambda: finite_difference(ones, {"w": np.ones(2, np.float16)}, eps=1e-4),
            ss.HyperparameterError,
            "leaf 'w' is float16, whose numbers lie 9.8e-04 apart at 1: eps must be more, not 0.0001",
        ),
        (
            lambda: evolution(ones, p, noise, baseline="mean", n=1),
            ss.HyperparameterError,
            "n must be at least 2; got 1",
        ),
        (lambda: evolution(ones, p, noise, baseline="none", ranks=True, n=1), ss.HyperparameterError, "at least 2"),
        (lambda: evolution(ones, p, noise, baseline="mean", ranks=True), ss.HyperparameterError, "ranks need no base"),
        (
            lambda: evolution(ones, p, noise, baseline="low"),
            ss.HyperparameterError,
            "baseline must be one of 'mirrored'",
        ),
        (lambda: score_function(ones, p, dict, lambda p, x: {}, n=2), ss.TreeError, "the score lacks leaf 'w'"),
        (lambda: score_function(ones, p, dict, dict, n=1), ss.HyperparameterError, "at least 2"),
        (lambda: mgs(ones, p, {"v": np.ones(2)}, noise), ss.TreeError, "grads lacks leaf 'w'"),
        (lambda: mgs(ones, p, p, noise, lam=1.5), ss.HyperparameterError, r"lam must be in \[0, 1\]"),
        (lambda: mgs(lambda p: None, p, p, noise), ss.HyperparameterError, "the cost must give one real number"),
    ]:
        with pytest.raises(kind, match=message):
            call()
    traced = jax.jit(lambda x: spsa(lambda p: x, p, noise))
    with pytest.raises(ss.HyperparameterError, match="an array of jax that cannot be known now, for params of numpy"):
        traced(1.0)


def test_a_loss_of_nan_is_seen_and_no_params_are_no_trouble():
    for estimate in (spsa, evolution, lambda *a: evolution(*a, ranks=True)):
        assert np.isnan(flat(estimate(lambda p: math.nan, PARAMS, seeded()))).all()
    assert spsa(lambda p: 1.0, {}, seeded()) == finite_difference(lambda p: 1.0, {}) == {}
    assert mgs(lambda p: 1.0, {}, {}, seeded()) == {}
