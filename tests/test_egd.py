"""EGD: no package has it; its identities and invariants (part A, 4; part C, 4)."""

import numpy as np
import pytest
import torch

import samestep as ss
from samestep_conformance.golden.problem import LIVE

START = np.array([0.1, 0.5, 2.0, 1e-3])


def gradient(p, t):
    return np.array([1.0, 2.0, 0.5, 3.0]) * (p - 0.3) + np.sin(t + np.arange(4.0))


class Own:
    """What moves up and down, above 0."""

    def params(self):
        return {"w": START.copy()}

    def gradient(self, params, t):
        return {"w": gradient(params["w"], t)}


FORMS = {  # the optimizer, where it starts, and the logarithms that are stepped: of p, or of two halves with g and -g
    "egd": (ss.egd(0.1), lambda p: np.abs(p) + 0.1, lambda p: [(1.0, np.log(p))]),
    "egd_pm": (
        ss.egd_pm(0.05),
        lambda p: p,
        lambda p: [(sign, np.log((np.abs(p) + 1 + sign * p) / 2)) for sign in (1.0, -1.0)],
    ),
}


@pytest.mark.parametrize("problem", ["own", *LIVE])
@pytest.mark.parametrize("form", FORMS)
def test_it_is_sgd_on_the_logarithm(form, problem):
    optimizer, started, logarithms = FORMS[form]
    posed = LIVE.get(problem) or Own()
    params = {leaf: started(p) for leaf, p in posed.params().items()}
    state = optimizer.init(params)
    logs = {
        leaf: [(sign, torch.tensor(x, requires_grad=True)) for sign, x in logarithms(p)] for leaf, p in params.items()
    }
    sgd = torch.optim.SGD([phi for each in logs.values() for _, phi in each], lr=optimizer.hyperparameters()["lr"])
    for t in range(1, 51):
        theirs = {leaf: sum(sign * np.exp(phi.detach().numpy()) for sign, phi in each) for leaf, each in logs.items()}
        assert all(np.all(np.abs(p - theirs[leaf]) <= 1e-12 * np.maximum(1, np.abs(p))) for leaf, p in params.items())
        assert form == "egd_pm" or all((p > 0).all() for p in params.values())
        grads = posed.gradient(theirs, t)
        for leaf, each in logs.items():
            for sign, phi in each:
                phi.grad = torch.tensor(sign * grads[leaf])
        sgd.step()
        params, state = optimizer.step(params, posed.gradient(params, t), state)


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
    by_rows, p, g = ss.egd(0.1, l1=0.5, normalize=True, unit_axis=0), np.ones((2, 3)), np.arange(6.0).reshape(2, 3)
    found = by_rows.step(p, g, by_rows.init(p))[0]
    np.testing.assert_allclose(found, np.exp(-0.1 * g) / np.exp(-0.1 * g).sum(axis=1, keepdims=True), rtol=1e-14)
    free = ss.egd(0.1, l1=0.5)
    np.testing.assert_allclose(free.step(p, g, free.init(p))[0], p * np.exp(-0.1 * (g + 0.5)), rtol=1e-14)
    halves = ss.egd_pm(0.1, total=3.0, unit_axis=-1)
    state = halves.step(p, g, halves.init(p))[1]
    np.testing.assert_allclose((state["w_pos"] + state["w_neg"]).sum(axis=0), 3.0, rtol=1e-14)
    huge = np.array([1e6, -1e6])
    clipped = ss.egd(1.0, clip=30.0)
    found = clipped.step(np.ones(2), huge, clipped.init(np.ones(2)))[0]
    np.testing.assert_allclose(found, np.exp([-30.0, 30.0]), rtol=1e-14)
    assert np.isinf(ss.egd(1.0).step(np.ones(2), huge, ss.egd(1.0).init(np.ones(2)))[0]).any()


@pytest.fixture
def numpy():
    with ss.use_backend("numpy"):
        yield


def test_gains_stay_within_their_bound(numpy):
    """Card 4: log gain in [-bound, bound]; nothing else holds it, and an overflow is held too."""
    for gradient in (30.0, 1e200):
        signs, optimizer = np.array([1.0, -1.0]), ss.eg_gains(1e-3, gamma=1.0, bound=2.0)
        state = optimizer.init(np.zeros(2))
        for g in (np.ones(2), gradient * signs):
            _, state = optimizer.step(np.zeros(2), g, state)
        np.testing.assert_allclose(state["gain"], np.exp(2.0 * signs), rtol=1e-15)


def test_what_would_be_ignored_is_refused():
    for make, message in (
        (lambda: ss.egd_pm(0.1, eps=1e-7), "there is no total"),
        (lambda: ss.egd_pm(0.1, unit_axis=0), "there is no total"),
        (lambda: ss.egd(0.1, unit_axis=0), "normalize=True"),
        (lambda: ss.adan(m_init="grad"), "write bias_correction=False"),
        (lambda: ss.amos(0.1, eta=0.5, layout="in_out"), "leave layout or eta out"),
        (lambda: ss.adafactor(warmup_init=True, relative_step=False), "'warmup_init' would change nothing"),
        (lambda: ss.adafactor(fixed_scale=0.05, momentum_on="direction"), "'fixed_scale', 'momentum_on' would change"),
        (lambda: ss.adafactor(eps2=0.1, scale_parameter=False), "'eps2' would change nothing"),
        (lambda: ss.mars(beta1_1d=0.8, weight_decay_1d=0.0), "'beta1_1d', 'weight_decay_1d' would change nothing"),
        (lambda: ss.mars(g_prev0="zeros", exact=True), "'g_prev0' would change nothing"),
        (lambda: ss.dog(init="distance", first=1.0, reps_rel=0.1), "'reps_rel' would change nothing"),
        (lambda: ss.shampoo(beta3=0.9, nesterov=True), "'beta3', 'nesterov' would change nothing"),
        (lambda: ss.shampoo(graft="sgd", graft_beta2=0.9), "'graft_beta2' would change nothing"),
        (lambda: ss.shampoo(bias_correction=False), "'bias_correction' would change nothing"),
        (lambda: ss.adabelief(fallback="skip"), "'fallback' would change nothing"),
        (lambda: ss.rmsprop(clamp_centered=False), "'clamp_centered' would change nothing"),
        (lambda: ss.schedule_free_plus(momentum_max=0.9), "'momentum_max' would change nothing"),
        (lambda: ss.sm3(falling=True), "falling goes with beta"),
        (lambda: ss.ademamix(alpha_warmup=-1), "alpha_warmup must be at least 0"),
    ):
        with pytest.raises(ss.HyperparameterError, match=message):
            make()


def test_numbers_of_the_other_form_of_gains_are_refused():
    with pytest.raises(ss.HyperparameterError, match=r"'gamma_scale' belong.*form='momentum'"):
        ss.eg_gains(0.1, gamma_scale=0.5)
    assert "gamma_scale" in ss.eg_gains(0.1, form="momentum", gamma_scale=0.5).hyperparameters()


@pytest.mark.parametrize(
    "optimizer",
    [
        ss.egd_pm(0.1),
        ss.egd_pm(0.1, total=3.0, clip=30.0),
        ss.eg_gains(0.1),
        ss.eg_gains(0.1, form="momentum", normalize=True),
        ss.eg_gains(0.1, form="momentum", normalize=True, per_leaf=True),
    ],
    ids=repr,
)
def test_edges(optimizer, numpy):
    """float16 is float32 rounded; nothing becomes nan of gradients of 0, of an empty leaf, or of a 0-d one."""
    whole = {
        "w": np.array([0.5, -1.0, 2.0], np.float32),
        "b": np.float32(0.25).reshape(()),
        "e": np.zeros((0, 2), "f4"),
    }
    slopes = {
        "w": np.array([1.0, 0.0, -0.5], np.float32),
        "b": np.float32(0.5).reshape(()),
        "e": np.zeros((0, 2), "f4"),
    }
    half = {k: p.astype(np.float16) for k, p in whole.items()}
    found = optimizer.step(half, slopes, optimizer.init(half))[0]
    expected = optimizer.step(whole, slopes, optimizer.init(whole))[0]
    for k, p in found.items():
        assert p.dtype == np.float16 and p.shape == whole[k].shape and np.isfinite(p).all()
        np.testing.assert_array_equal(p, expected[k].astype(np.float16))
    zeros, state = {k: 0 * g for k, g in slopes.items()}, optimizer.init(whole)
    params = whole
    for _ in range(2):
        params, state = optimizer.step(params, zeros, state)
    assert all(np.isfinite(p).all() for p in params.values())
    if "total" not in repr(optimizer):
        np.testing.assert_allclose(params["w"], whole["w"], rtol=1e-6)


def test_the_cosine_does_not_see_the_size_of_gradients(numpy):
    """The exponent of the scale is gamma_scale times it, between the last direction and the gradient."""
    g1, g2 = np.array([1.0, 2.0]), np.array([3.0, -0.5])
    for size in (1.0, 1e3):
        for per_leaf, slot in ((False, "scale"), (True, "leaf_scale")):
            optimizer = ss.eg_gains(0.1, form="momentum", normalize=True, per_leaf=per_leaf, gamma=0.0, gamma_scale=0.3)
            params, state = {"w": np.ones(2)}, optimizer.init({"w": np.ones(2)})
            for g in (g1, g2):
                params, state = optimizer.step(params, {"w": size * g}, state)
            found = state[slot]["w"] if per_leaf else state[slot]
            cosine = g1 @ g2 / np.linalg.norm(g1) / np.linalg.norm(g2)
            assert float(np.asarray(found)) == pytest.approx(np.exp(0.3 * cosine), rel=1e-13)
