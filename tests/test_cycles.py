"""Steps in cycles: gradients that the momentum collects, and optimizers that start again where they are."""

import jax
import numpy as np
import pytest
import torch

import samestep as ss
from samestep.errors import TraceError
from samestep_conformance.golden.problem import PROBLEMS, wave

PROBLEM = PROBLEMS["matrix"]
K = 4


def steps(optimizer, count, params=None, state=None):
    """Params, state and what is evaluated after each step; the gradient is that at the params."""
    params = PROBLEM.params() if params is None else params
    state = optimizer.init(params) if state is None else state
    for t in range(1, count + 1):
        params, state = optimizer.step(params, PROBLEM.gradient(params, t), state)
        yield params, state, optimizer.eval_params(params, state)


def close(found, wanted, tolerance):
    for leaf, a in wanted.items():
        assert np.abs(a - found[leaf]).max() <= tolerance * max(1.0, np.abs(a).max())


# Accumulation hidden in the momentum


@ss.direction(m=ss.zeros)
def debiased(u, m, t, *, beta=0.9):
    m = beta * m + (1 - beta) * u
    return {"u": m / (1 - beta**t), "m": m}


@ss.direction()
def scaled(u):
    return {"h": 1 + abs(u)}


@ss.update()
def solved(p, u, h, *, lr):
    return {"p": p - lr * u / h}


@ss.update()
def along(p, u, g, *, lr):
    return {"p": p - lr * u - 0.1 * lr * g}


MOMENTUM = ss.momentum(0.9, form="ema")
EXACT = {
    "ema": ss.sgd(0.1, momentum=0.9, form="ema"),
    "classical": ss.sgd(0.02, momentum=0.9, dampening=0.3, weight_decay=0.1),
    "tiger": ss.tiger(wave(0.01), beta=0.9, weight_decay=0.1),
    "averaged": ss.chain(MOMENTUM, ss.trust_ratio(), ss.descend(0.1), ss.lookahead(k=2, reset="pullback"), ss.ema(0.8)),
    "rule_before": ss.chain(ss.rules.adagrad(), MOMENTUM, ss.descend(0.1)),  # it leaves the gradient as it is
    "says_h": ss.chain(MOMENTUM, scaled(), solved(lr=0.1)),
    "again": ss.chain(MOMENTUM, ss.descend(wave(0.1)), ss.lookahead(k=3, reset="state")),
    "restarted": ss.chain(ss.warm_restart(3), debiased(), ss.descend(wave(0.1))),
    "two": ss.chain(MOMENTUM, ss.descend(0.1), ss.clip_by_global_norm(1.0), ss.skip_nonfinite()),
}


@pytest.mark.parametrize("name", EXACT)
def test_hidden_accumulation_is_accumulation(name):
    """After every call the params and what is evaluated; every fourth time the slots, which are those of accumulate."""
    front = [ss.skip_nonfinite(), ss.clip_by_global_norm(1.0)] if name == "two" else []
    inner = ss.chain(MOMENTUM, ss.descend(0.1)) if name == "two" else EXACT[name]
    hidden = steps(ss.chain(*front, ss.hidden_accumulation(K), inner), 10 * K)
    buffered = steps(ss.chain(*front, ss.accumulate(K), inner), 10 * K)
    for t, ((p, state, at), (q, other, there)) in enumerate(zip(hidden, buffered, strict=True), start=1):
        close(p, q, 1e-15 if name != "averaged" else 4e-15)
        close(at, there, 4e-15)
        assert "acc" in other and "acc" not in state
        if t % K == 0:
            close(state["m"], other["m"], 1e-14)


def test_hidden_accumulation_is_torch_on_mean_gradients():
    """Part C 5.8: SGD(momentum=b, dampening=b), whose first gradient counts 1 - b."""
    leaves = {leaf: torch.tensor(p) for leaf, p in PROBLEM.params().items()}
    peer = torch.optim.SGD(list(leaves.values()), 0.1, momentum=0.9, dampening=0.9, foreach=False)
    optimizer = ss.chain(ss.hidden_accumulation(K), EXACT["ema"])
    params = PROBLEM.params()
    state = optimizer.init(params)
    for outer in range(10):
        mean = dict.fromkeys(params, 0.0)
        for t in range(outer * K + 1, outer * K + K + 1):
            grads = PROBLEM.gradient(params, t)
            mean = {leaf: mean[leaf] + g / K for leaf, g in grads.items()}
            params, state = optimizer.step(params, grads, state)
        for leaf, p in leaves.items():
            p.grad = torch.from_numpy(mean[leaf] * (0.1 if outer == 0 else 1.0))
        peer.step()
        close(params, {leaf: p.numpy() for leaf, p in leaves.items()}, 1e-15)


def test_hidden_v_is_the_mean_of_squares():
    """The stated approximation: v of plus and minus one is not 0, as that of their mean is. Su has eps inside."""
    optimizer, params = ss.chain(ss.hidden_accumulation(2), ss.adam(0.1, eps=0.5, eps_mode="inside")), np.zeros(1)
    state = optimizer.init(params)
    with ss.use_backend("numpy"):
        for g in (1.0, -1.0):
            params, state = optimizer.step(params, np.array([g]), state)
        assert abs(state["v"][0] - 1e-3) < 1e-18 and state["m"][0] == 0.0 == params[0]
        for g in (1.0, 3.0):
            params, state = optimizer.step(params, np.array([g]), state)
    m, v = 0.1 * 2.0 / (1 - 0.9**2), (0.999 * 1e-3 + 0.001 * 5.0) / (1 - 0.999**2)
    assert params[0] == pytest.approx(-0.1 * m / np.sqrt(v + 0.5), rel=1e-14)


def test_decays_closer_to_one_are_nearly_the_hidden_means():
    """Part A 5, its beta-swap: means with 1 - (1 - beta) / k of each gradient, nearer the nearer beta is to 1."""

    def path(beta, **options):
        inner = ss.chain(ss.momentum(beta, form="ema"), ss.descend(0.05))
        with ss.use_backend("numpy"):
            return [p for p, *_ in steps(ss.chain(ss.hidden_accumulation(K, **options), inner), 8 * K)]

    def apart(a, b):
        return max(np.abs(p[leaf] - q[leaf]).max() for p, q in zip(a, b, strict=True) for leaf in p)

    off = [apart(path(1 - rate), path(1 - rate / K, fewer_updates=True)) for rate in (0.1, 0.025)]
    assert 0 < off[1] < off[0] / 3
    assert 10 * off[0] < apart(path(0.9), path(0.9, fewer_updates=True))


HIDDEN = ss.hidden_accumulation(2)
REFUSED = {
    "lion": (ss.lion(), "not go with scale_by_lion: it reads a slot as it was before"),
    "nesterov": (ss.sgd(0.1, momentum=0.9, nesterov=True), "not go with momentum: it reads the gradient"),
    "nadam": (ss.nadam(), "not go with scale_by_nadam: it reads the gradient"),
    "adopt": (ss.adopt(), "not go with scale_by_adopt: "),
    "amsgrad": (ss.adam(amsgrad=True), "not go with scale_by_adam: slot 'v_max' does not become"),
    "rmsprop": (ss.rmsprop(), "not go with scale_by_rmsprop: it reads the gradient"),
    "adagrad": (ss.adagrad(), "not go with scale_by_adagrad: it reads the gradient"),
    "cautious": (ss.adam(cautious="mean"), "not go with cautious: it reads the gradient"),
    "twice": (
        ss.chain(MOMENTUM, ss.momentum(0.5, name="slow"), ss.descend(0.1)),
        r"not go with momentum: what slot 'slow\.m' takes in is made of 'm'",
    ),
    "dog": (ss.dog(), "not go with scale_by_dog: "),
    "update": (ss.chain(MOMENTUM, along(lr=0.1)), "in page along: page along reads g, of which only the last part"),
    "sgd": (ss.sgd(0.1), "needs a direction part"),
    "ftrl": (ss.ftrl(), "needs a direction part"),
    "accumulate": (ss.chain(ss.accumulate(2), ss.adam()), "must stand before hidden_accumulation"),
    "skip": (ss.chain(ss.skip_nonfinite(), ss.adam()), "must stand before hidden_accumulation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hidden_accumulation_refuses(name):
    optimizer, why = REFUSED[name]
    with pytest.raises(TraceError, match=why):
        ss.chain(HIDDEN, optimizer).init(np.ones(3))
    with pytest.raises(TraceError, match="must stand before what restarts others"):
        ss.chain(ss.warm_restart(2), HIDDEN, ss.adam()).init(np.ones(3))
    with pytest.raises(TraceError, match="must stand before hidden_accumulation"):
        ss.chain(ss.hidden_accumulation(2, fewer_updates=True), ss.warm_restart(2), ss.adam()).init(np.ones(3))


def test_fewer_updates_takes_any_direction():
    """Its other variant: lion with every gradient, and every second step of it."""
    optimizer, plain = ss.chain(ss.hidden_accumulation(2, fewer_updates=True), ss.lion(0.5)), ss.lion(0.5)
    p = q = np.ones(3)
    state, other = optimizer.init(p), plain.init(q)
    for t, g in enumerate(np.random.default_rng(0).normal(size=(6, 3)), start=1):
        p, state = optimizer.step(p, g, state)
        moved, other = plain.step(q, g, other)
        q = moved if t % 2 == 0 else q
        assert np.array_equal(p, q) and np.array_equal(state["m"], other["m"])


def test_a_leaf_without_gradients_has_a_cycle_of_its_own():
    optimizer, p = ss.chain(HIDDEN, EXACT["ema"]), np.ones(2)
    params = {"a": p, "b": p.copy()}
    state = optimizer.init(params)
    for k, (a, b) in enumerate([(p, None), (p, p), (p, p)]):
        params, state = optimizer.step(params, {"a": a, "b": b}, state)
        assert ((params["a"] != 1).all(), (params["b"] != 1).all()) == (k > 0, k > 1)


# Warm restarts

EVERY = 5
RESTARTED = {
    "adam": ss.adam(wave(0.1)),
    "nadam": ss.nadam(0.1),  # with a number in its state
    "adan": ss.adan(0.1),  # with a gradient of the step before
    "ftrl": ss.ftrl(0.5, beta=1.0),
    "kept": ss.chain(ss.dog(), ss.ema(0.9)),
    "slow": ss.chain(ss.adam(0.1), ss.lookahead(k=3)),
}


@pytest.mark.parametrize("name", RESTARTED)
def test_warm_restart_is_the_verb_every_so_often(name):
    inner = RESTARTED[name]
    params, state = PROBLEM.params(), inner.init(PROBLEM.params())
    for t, (p, found, at) in enumerate(steps(ss.chain(ss.warm_restart(EVERY), inner), 3 * EVERY), start=1):
        if t > 1 and (t - 1) % EVERY == 0:
            state = inner.restart(params, state)
        params, state = inner.step(params, PROBLEM.gradient(params, t), state)
        assert found["step"] == t and state["step"] == (t - 1) % EVERY + 1
        for wanted, ours in ((params, p), (inner.eval_params(params, state), at)):
            assert all(np.array_equal(ours[leaf], wanted[leaf]) for leaf in wanted)
        for slot, value in found.items():
            if slot != "step":
                assert np.all([np.array_equal(*both) for both in zip(flat(value), flat(state[slot]), strict=True)])


def flat(value):
    return list(value.values()) if isinstance(value, dict) else [value]


def test_warm_restart_of_named_slots():
    """What hangs on the clock goes with them, and nothing else does; what is kept goes if it is named."""
    inner = ss.chain(ss.momentum(0.9, form="ema", name="slow"), ss.scale_by_adam(), ss.descend(0.1), ss.ema(0.9))
    for reset in (("m",), ("average", "averaged")):
        whole, p, q = ss.chain(ss.warm_restart(EVERY, reset=reset), inner), np.ones(3), np.ones(3)
        state, other = whole.init(p), inner.init(q)
        for t, g in enumerate(np.random.default_rng(1).normal(size=(2 * EVERY, 3)), start=1):
            other = inner.restart(q, other, reset=reset) if t == EVERY + 1 else other
            (p, state), (q, other) = whole.step(p, g, state), inner.step(q, g, other)
            assert np.array_equal(p, q)
            assert all(np.array_equal(state[slot], other[slot]) for slot in state if slot != "step")
        assert state["averaged"] == (EVERY if "averaged" in reset else 2 * EVERY)
    with pytest.raises(TraceError, match="in page warm_restart: nothing behind it has a slot 'n'"):
        ss.chain(ss.warm_restart(2, reset=("m", "n")), ss.adam()).init(np.ones(2))
    with pytest.raises(ss.HyperparameterError, match="every must be at least 1"):
        ss.warm_restart(0)


@pytest.mark.parametrize("part", [ss.hidden_accumulation(2), ss.warm_restart(3)], ids=repr)
def test_under_jit(part):
    optimizer, p = ss.chain(part, ss.adamw(0.1)), np.ones(3, np.float32)
    step, q = jax.jit(optimizer.step), jax.numpy.ones(3)
    state, other = optimizer.init(p), optimizer.init(q)
    for g in np.random.default_rng(2).normal(size=(7, 3)).astype(np.float32):
        (p, state), (q, other) = optimizer.step(p, g, state), step(q, g, other)
        assert np.allclose(p, q, 1e-5, 1e-6)


@pytest.mark.parametrize(
    ("parts", "momentum"),
    [
        # The restart comes in a call that only accumulates: what is accumulated goes into slots that are new.
        ([ss.warm_restart(6), ss.accumulate(2)], [0.0, 1.0, 1.0, 1.9, 1.9, 2.71, 0.0, 1.0]),
        ([ss.accumulate(2), ss.warm_restart(2)], [0.0, 1.0, 1.0, 1.9, 1.9, 1.0]),
    ],
    ids=["a gate behind does not undo it", "a gate before holds it back"],
)
def test_restarts_and_gates(parts, momentum):
    opt, params = ss.chain(*parts, ss.sgd(0.0, momentum=0.9)), np.array([1.0])
    state, seen = opt.init(params), []
    for _ in momentum:
        params, state = opt.step(params, np.array([1.0]), state)
        seen.append(float(state["m"][0]))
    assert seen == pytest.approx(momentum)


@pytest.mark.parametrize("part", [ss.warm_restart(3), ss.lookahead(k=2, alpha=0.5, reset="state")])
def test_a_snapshot_cannot_start_again_within_a_step(part):
    with pytest.raises(TraceError, match=r"cannot bring the full gradient at a new snapshot: call opt\.restart"):
        ss.chain(ss.svrg(0.1, every=5), part).init(np.ones(2))
