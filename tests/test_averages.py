"""Averages of the parameters that no package has; averages in groups, under gates and jit, of late leaves."""

import jax
import numpy as np
import pytest

import samestep as ss
from samestep_conformance.golden.problem import PROBLEMS, STEPS

PROBLEM = PROBLEMS["vector"]


def timm_decay(t, decay, gamma, power, least):
    """ModelEmaV3.get_decay(step=t) with use_warmup, which cannot be imported without torchvision."""
    step = max(0, t - 1)
    return 0.0 if step == 0 else max(min(1 - (1 + step / gamma) ** -power, decay), least)


BY_HAND = {  # what no package has: the weight of the newest params
    "polynomial": (ss.ema(kind="polynomial"), lambda t: 9 / (t + 8)),
    "mean": (ss.ema(kind="polynomial", gamma=1e-300), lambda t: 1 / t),
    "warmup": (ss.ema(0.9, kind="warmup"), lambda t: 1 - timm_decay(t, 0.9, 1.0, 2 / 3, 0.0)),
    "warmup_least": (
        ss.ema(0.95, kind="warmup", gamma=2.0, power=0.75, least=0.5),
        lambda t: 1 - timm_decay(t, 0.95, 2.0, 0.75, 0.5),
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_average(name):
    """In every step within 1e-12 of e + k (p - e); a decay that is a little off is not."""
    part, kappa = BY_HAND[name]
    optimizer, params = ss.chain(ss.adam(0.05), part), PROBLEM.params()
    state, e, worst, off = optimizer.init(params), params, 0.0, 0.0
    for t in range(1, STEPS + 1):
        params, state = optimizer.step(params, PROBLEM.gradient(params, t), state)
        ours = optimizer.eval_params(params, state)
        e = {leaf: e[leaf] + kappa(t) * (p - e[leaf]) for leaf, p in params.items()}
        assert t > 1 or all(np.array_equal(ours[leaf], p) for leaf, p in params.items())
        worst = max(worst, *(np.abs(e[leaf] - p).max() for leaf, p in ours.items()))
        off = max(off, *(np.abs(e[leaf] + 1e-9 * (params[leaf] - e[leaf]) - p).max() for leaf, p in ours.items()))
    assert worst <= 1e-12 < off


def test_averages_of_half_precision_see_small_steps():
    """With an average in float16 nothing of a thousandth would be left."""
    optimizer, params = ss.chain(ss.sgd(1.0), ss.ema(0.999, debias=False)), np.ones(2, np.float16)
    state = optimizer.init(params)
    for k in range(1000):
        params, state = optimizer.step(params, np.full(2, -1.0 if k == 1 else 0.0, np.float16), state)
    assert state["average"].dtype == np.float32 and abs(state["average"][0] - (2 - 0.999**999)) < 1e-4
    assert optimizer.eval_params(params, state).dtype == np.float16


AVERAGES = {"ema": ss.ema(0.7), "swa": ss.swa(start=2, every=2), "lookahead": ss.lookahead(k=2)}


def rng_grads(count, shape=(3,), seed=0):
    return np.random.default_rng(seed).normal(size=(count, *shape))


def alone(part, grads, optimizer=None):
    """The params and the average of one leaf that gets these gradients."""
    optimizer, params = ss.chain(optimizer or ss.adam(0.1), part), np.ones(3)
    state = optimizer.init(params)
    for g in grads:
        params, state = optimizer.step(params, g, state)
    return params, optimizer.eval_params(params, state)


def equal(found, wanted):
    assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", AVERAGES)
def test_groups_and_leaves_without_gradients(name):
    """Each leaf has the average of its own steps; where there is none, the parameter itself."""
    part, grads = AVERAGES[name], rng_grads(9)
    optimizer = ss.groups(
        {"bare": ss.sgd(0.1), "still": ss.freeze(), "fast": {"lr": 0.5}}, default=ss.chain(ss.adam(0.1), part)
    )
    params = {leaf: np.ones(3) for leaf in ("awake", "bare", "fast", "late", "still")}
    state = optimizer.init(params)
    for t, g in enumerate(grads):
        late = None if t < 3 or t == 5 else g
        params, state = optimizer.step(params, {**dict.fromkeys(params, g), "late": late, "still": None}, state)
    found = optimizer.eval_params(params, state)
    equal((params["awake"], found["awake"]), alone(part, grads))
    equal((params["fast"], found["fast"]), alone(part, grads, ss.adam(0.5)))
    equal((params["late"], found["late"]), alone(part, [g for t, g in enumerate(grads) if t >= 3 and t != 5]))
    equal((found["bare"], found["still"]), (params["bare"], np.ones(3)))


@pytest.mark.parametrize("name", AVERAGES)
def test_gates(name):
    """Behind accumulate a step is a whole one; a step that is skipped is none."""
    part, grads = AVERAGES[name], rng_grads(7)
    halves = [h for g in grads for h in (2 * g, 0 * g)]
    equal(alone(part, [*halves, grads[0]], ss.chain(ss.accumulate(2), ss.adam(0.1))), alone(part, grads))
    bad = [*grads[:4], np.full(3, np.nan), *grads[4:]]
    equal(alone(part, bad, ss.chain(ss.skip_nonfinite(), ss.adam(0.1))), alone(part, grads))


@pytest.mark.parametrize("name", AVERAGES)
def test_under_jit(name):
    optimizer, grads = ss.chain(ss.adam(0.1), AVERAGES[name]), rng_grads(5)

    @jax.jit
    def both(params, g, state):
        params, state = optimizer.step(params, g, state)
        return params, state, optimizer.eval_params(params, state)

    params = jax.numpy.ones(3)
    state = optimizer.init(params)
    for k, g in enumerate(grads.astype(np.float32), start=1):
        params, state, found = both(params, g, state)
        expected = alone(AVERAGES[name], grads[:k])
        assert np.allclose(params, expected[0], 1e-5, 1e-6) and np.allclose(found, expected[1], 1e-5, 1e-6)
    assert both._cache_size() == 1 or both._cache_size() == 2  # the first state has Python's numbers


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_no_restart_takes_an_average_back(name):
    """Neither that of the optimizer before it, nor the verb; with the average itself it can be asked for."""
    part, grads = AVERAGES[name], rng_grads(8)
    front = ss.lookahead(k=3, alpha=1.0, reset="state")  # all the way: it moves nothing, and starts adam again
    optimizer, params = ss.chain(ss.adam(0.1), front, part), np.ones(3)
    state, seen = optimizer.init(params), []
    for g in grads:
        params, state = optimizer.step(params, g, state)
        seen.append(params)
    weights = 0.7 ** np.arange(7, -1, -1) if name == "ema" else np.arange(8) % 2
    assert np.allclose(optimizer.eval_params(params, state), weights @ np.array(seen) / weights.sum(), 1e-12)
    again = optimizer.restart(params, state)
    assert np.array_equal(again["average"], state["average"]) and again["step"] == 0
    assert np.array_equal(optimizer.restart(params, state, reset=["average"])["m"], np.zeros(3))
