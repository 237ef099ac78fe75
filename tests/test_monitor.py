"""The modifier `monitor`: its numbers, and that a trace fetches none of them."""

import numpy as np
import pytest

import samestep as ss

KEPT = ("grad_norm", "nonfinite_count", "clipped", "update_norm", "param_norm", "effective_lr", "sigma_negative")


@ss.gradient()
def cut(u):
    """Clip each entry to 1."""
    xp = ss.array_namespace(u)
    return {"u": xp.clip(u, -1.0, 1.0)}


def test_the_numbers_of_a_step():
    opt = ss.chain(cut(), ss.mirror_descent(0.1, rule=ss.rules.rmsprop(rho=0.5)), ss.monitor(sigma=True))
    params = {"a": np.array([3.0, 4.0, 0.0, 1.0]), "b": np.array(2.0), "e": np.zeros((0, 2))}
    state = opt.init(params)
    v = {k: np.zeros_like(p) for k, p in params.items()}
    for t in range(1, 6):
        grads = {"a": np.array([5.0, -0.5, 0.1 / t, 2.0 - t]), "b": np.array(1.0 / t), "e": np.zeros((0, 2))}
        new, state = opt.step(params, grads, state)
        for leaf, g in grads.items():
            seen = {name: float(state[name][leaf]) for name in KEPT}
            inside, before = np.clip(g, -1, 1), v[leaf]
            v[leaf] = 0.5 * before + 0.5 * inside**2
            moved = np.linalg.norm(new[leaf] - params[leaf])
            expected = {
                "grad_norm": np.linalg.norm(g),
                "nonfinite_count": 0.0,
                "clipped": (np.abs(g) > 1).mean() if g.size else 0.0,
                "update_norm": moved,
                "param_norm": np.linalg.norm(new[leaf]),
                "effective_lr": moved / np.linalg.norm(inside) if g.size else 0.0,
                "sigma_negative": (v[leaf] < before).mean() if g.size else 0.0,
            }
            assert seen == pytest.approx(expected, rel=1e-13)
        params = new
    assert float(state["sigma_negative"]["a"]) > 0 and float(state["clipped"]["a"]) > 0


def test_it_changes_nothing_and_counts_what_is_not_finite():
    plain, opt = ss.adam(0.1), ss.chain(ss.adam(0.1), ss.monitor())
    params, grads = np.array([1.0, 2.0, 3.0]), np.array([1.0, np.inf, np.nan])
    new, state = opt.step(params, grads, opt.init(params))
    assert np.array_equal(new, plain.step(params, grads, plain.init(params))[0], equal_nan=True)
    assert float(state["nonfinite_count"]) == 2.0


def test_sigma_needs_a_rule():
    opt = ss.chain(ss.adam(0.1), ss.monitor(sigma=True))
    with pytest.raises(ss.TraceError, match="reads h"):
        opt.step(np.zeros(2), np.zeros(2), opt.init(np.zeros(2)))


def test_ftrl_says_its_sigma():
    """Which falls where lr rises by more than the root of n does."""
    opt, params = ss.chain(ss.ftrl(lambda count: 0.1 + 0.1 * count), ss.monitor(sigma=True)), np.zeros(3)
    state = opt.init(params)
    for g, share in ((np.ones(3), 0.0), (np.array([0.1, 9.0, 1.0]), 2 / 3)):
        params, state = opt.step(params, g, state)
        assert float(state["sigma_negative"]) == pytest.approx(share)


OPT = ss.chain(ss.mirror_descent(0.1, rule="adam"), ss.monitor(sigma=True))


def test_nothing_is_fetched_in_a_trace_of_jax():
    jax = pytest.importorskip("jax")
    params, grads = np.ones((3, 2)), np.linspace(-1, 1, 6).reshape(3, 2)
    with jax.enable_x64(True):
        there = jax.numpy.asarray(params)
        _, traced = jax.jit(OPT.step)(there, jax.numpy.asarray(grads), OPT.init(there))
    _, state = OPT.step(params, grads, OPT.init(params))
    for name in KEPT:
        assert float(traced[name]) == pytest.approx(float(state[name]), rel=1e-12)


def test_nothing_is_fetched_in_a_recorded_step_of_torch(monkeypatch):
    torch = pytest.importorskip("torch")
    params, grads = np.ones((3, 2)), np.linspace(-1, 1, 6).reshape(3, 2)
    there = torch.asarray(params)
    state = OPT.init(there)

    def fetched(*_):
        raise AssertionError("a value was fetched")

    with monkeypatch.context() as patched:
        for name in ("item", "tolist", "numpy", "__float__", "__bool__"):
            patched.setattr(torch.Tensor, name, fetched)
        _, recorded = OPT.step(there, torch.asarray(grads).requires_grad_(), state)
    _, plain = OPT.step(params, grads, OPT.init(params))
    for name in KEPT:
        assert float(recorded[name].detach()) == pytest.approx(float(plain[name]), rel=1e-12)
