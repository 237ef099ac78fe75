"""query, needs_refresh, refresh and the second gradient; and the optimizers that stand on them.

No package has these, so they are held to T.SGD that is fed with the estimate, to the papers written out in plain
NumPy, and to the derived numbers of benchmarks/papers/variance_reduction.py (tests/test_papers.py).
"""

import copy
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

import samestep as ss
from samestep_conformance.golden.problem import Rosenbrock, pictures

WRITTEN_OUT = runpy.run_path(str(Path(__file__).parent / "transcriptions" / "variance_reduced.py"))["TWO"]
ROWS, STEPS, EVERY = 6, 24, 8
rng = np.random.default_rng(7)
A, Y = rng.standard_normal((ROWS, 4)), rng.standard_normal(ROWS)
BATCHES, COINS = rng.integers(ROWS, size=STEPS), rng.random(STEPS) < 0.25
START = rng.standard_normal(4)


def batch(x, i):
    return (A[i] @ x - Y[i]) * A[i] + 0.1 * x


def full(x):
    return A.T @ (A @ x - Y) / ROWS + 0.1 * x


def valleys():
    """Rosenbrock's, a mean of six: each row has one."""
    posed = Rosenbrock({"p": (ROWS, 2)})

    def whole(x):
        return posed.gradient({"p": x}, 1)["p"]

    return posed.params()["p"], lambda x, i: whole(x) * (ROWS * np.eye(ROWS)[i])[:, None], whole


def digits():
    """Softmax regression; a row is a batch of 50."""
    x, labels = pictures()

    def batch(w, i):
        rows = slice(50 * i, 50 * i + 50)
        e = np.exp(x[rows] @ w)
        return x[rows].T @ (e / e.sum(axis=1, keepdims=True) - np.eye(10)[labels[rows]]) / 50

    return np.zeros((64, 10)), batch, lambda w: sum(batch(w, i) for i in range(ROWS)) / ROWS


@pytest.fixture(params=["ridge", "valleys", "digits"])
def posed(request, monkeypatch):
    """Where it starts and what its gradients are, in place of the ridge regression above."""
    if request.param != "ridge":
        for name, value in zip(("START", "batch", "full"), globals()[request.param](), strict=True):
            monkeypatch.setitem(globals(), name, value)


def run(optimizer, coins=False, convert=np.asarray, donate=False, steps=STEPS):
    """The params after each step."""
    params = convert(START.copy())
    state, found = optimizer.init(params), []
    for k in range(steps):
        if optimizer.needs_refresh(state):
            at = np.asarray(optimizer.query(params, state)["snapshot"])
            state = optimizer.refresh(params, convert(full(at)), state)
        points = optimizer.query(params, state)
        grads = {name: convert(batch(np.asarray(x), BATCHES[k])) for name, x in points.items()}
        tossed = {"coin": COINS[k]} if coins else {}
        params, state = optimizer.step(params, grads, state, donate=donate, **tossed)
        found.append(np.asarray(params).copy())
    return found, state


def near(found, expected):
    assert len(found) == len(expected) == STEPS
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


@pytest.mark.usefixtures("posed")
@pytest.mark.parametrize("name", ["svrg", "l_svrg", "natasha"])
def test_as_torch_sgd_on_the_estimate(name):
    x = torch.tensor(START.copy(), requires_grad=True)
    sgd, expected = torch.optim.SGD([x], lr=0.05), []
    snapshot = centre = START.copy()
    mean_gradient, iterates = full(snapshot), [START.copy()]
    for k, (i, coin) in enumerate(zip(BATCHES, COINS, strict=True), start=1):
        before = x.detach().numpy().copy()
        estimate = batch(before, i) - batch(snapshot, i) + mean_gradient
        x.grad = torch.tensor(estimate + (2 * 0.3 * (before - centre) if name == "natasha" else 0.0))
        sgd.step()
        after = x.detach().numpy().copy()
        iterates.append(after)
        if name == "natasha" and k % 4 == 0:
            centre = np.mean(iterates, axis=0)
            iterates, after = [centre], centre
            x.data = torch.tensor(centre)
        if name == "l_svrg" and coin:
            snapshot, mean_gradient = before, full(before)
        if name != "l_svrg" and k % EVERY == 0:
            snapshot, mean_gradient = after, full(after)
        expected.append(after)
    made = {"svrg": {"every": EVERY}, "l_svrg": {}, "natasha": {"sigma": 0.3, "every": EVERY, "parts": 2}}
    near(run(getattr(ss, name)(0.05, **made[name]), coins=name == "l_svrg")[0], expected)


@pytest.mark.usefixtures("posed")
@pytest.mark.parametrize("convexity", [0.1, 0.0])
@pytest.mark.parametrize("option", ["I", "II"])
def test_katyusha_is_the_paper(option, convexity):
    smooth = 20.0
    y = z = snapshot = START.copy()
    expected = []
    for s in range(STEPS // EVERY):
        tau1 = min(np.sqrt(EVERY * convexity / (3 * smooth)), 0.5) if convexity else 2 / (s + 4)
        alpha, mean_gradient, of_epoch = 1 / (3 * tau1 * smooth), full(snapshot), []
        for j in range(EVERY):
            i = BATCHES[s * EVERY + j]
            x = tau1 * z + 0.5 * snapshot + (1 - tau1 - 0.5) * y
            estimate = batch(x, i) - batch(snapshot, i) + mean_gradient
            z_new = z - alpha * estimate
            y = x - estimate / (3 * smooth) if option == "I" else x + tau1 * (z_new - z)
            z = z_new
            of_epoch.append(y)
            expected.append(y)
        weights = (1 + alpha * convexity) ** np.arange(EVERY)
        snapshot = np.average(of_epoch, axis=0, weights=weights)
    optimizer = ss.katyusha(1 / smooth, every=EVERY, convexity=convexity, option=option)
    found, state = run(optimizer)
    near(found, expected)
    np.testing.assert_allclose(state["snapshot"], snapshot, atol=1e-13)
    tau2m = 0.5 * EVERY
    output = (tau2m * snapshot + (0.5 - tau1) * y) / (tau2m + 0.5 - tau1) if convexity else snapshot
    np.testing.assert_allclose(optimizer.eval_params(found[-1], state), output, atol=1e-13)


@pytest.mark.usefixtures("posed")
def test_l_katyusha_is_the_paper():
    smooth, convexity = 20.0, 0.1
    s = convexity / smooth
    theta1 = min(np.sqrt(2 * s * ROWS / 3), 0.5)
    eta = 0.5 / (1.5 * theta1)
    y = z = snapshot = START.copy()
    expected = []
    for i, coin in zip(BATCHES, COINS, strict=True):
        x = theta1 * z + 0.5 * snapshot + (0.5 - theta1) * y
        estimate = batch(x, i) - batch(snapshot, i) + full(snapshot)
        z_new = (eta * s * x + z - eta / smooth * estimate) / (1 + eta * s)
        y, before = x + theta1 * (z_new - z), y
        z, snapshot = z_new, before if coin else snapshot
        expected.append(y)
    near(run(ss.l_katyusha(1 / smooth, n=ROWS, convexity=convexity), coins=True)[0], expected)


@pytest.mark.usefixtures("posed")
@pytest.mark.parametrize("name", WRITTEN_OUT)
def test_transcriptions_of_two_gradients(name):
    make, coins, rule = WRITTEN_OUT[name]
    with ss.use_backend("numpy"):
        near(run(make(ss), coins)[0], rule(batch, full, START, BATCHES, COINS))


@pytest.mark.parametrize("iterate", ["average", "random"])
def test_a_snapshot_among_the_iterates_keeps_the_linear_rate(iterate):
    smooth, draws = (A**2).sum(axis=1).max() + 0.1, np.random.default_rng(0)
    best = np.linalg.solve(A.T @ A / ROWS + 0.1 * np.eye(4), A.T @ Y / ROWS)
    optimizer, params, away = ss.svrg(0.8 / smooth, every=4 * ROWS, iterate=iterate), START, []
    state = optimizer.init(params)
    with ss.use_backend("numpy"):
        for _ in range(30):
            at = state["snapshot"]
            away.append(np.linalg.norm(at - best))
            state, chosen = optimizer.refresh(params, full(at), state), draws.integers(4 * ROWS)
            for k in range(4 * ROWS):
                i, tossed = draws.integers(ROWS), {"coin": k == chosen} if iterate == "random" else {}
                params, state = optimizer.step(
                    params, {"x": batch(params, i), "snapshot": batch(at, i)}, state, **tossed
                )
            np.testing.assert_array_equal(params, state["snapshot"])
    assert away[10] < away[0] / 5 and away[20] < away[10] / 5 and away[29] < away[20] / 5


def test_proximal_terms_lead_to_the_minimum():
    """Its conditions, of what eval_params gives; and the zeros of l1 are zeros."""
    for name, optimizer in {
        "I": ss.katyusha(0.1, every=2, convexity=0.1, option="I", l1=0.2, l2=0.3),
        "II": ss.katyusha(0.3, every=2, convexity=0.4, l1=0.2, l2=0.3),
        "natasha": ss.natasha(0.2, sigma=0.01, every=4, parts=2, l1=0.2, l2=0.3),
    }.items():
        params, state = START, optimizer.init(START)
        with ss.use_backend("numpy"):
            for _ in range(300):
                points = optimizer.query(params, state)
                state = optimizer.refresh(params, full(points["snapshot"]), state)
                params, state = optimizer.step(params, {k: full(x) for k, x in points.items()}, state)
            w = optimizer.eval_params(params, state)
        zero = params == 0 if name == "I" else abs(w) < 1e-9
        assert zero.any() and not zero.all()
        pull = full(w) + 0.3 * w
        assert abs(pull + 0.2 * np.sign(w))[~zero].max() < 1e-9 and abs(pull[zero]).max() <= 0.2


ALL = {
    "svrg": (lambda: ss.svrg(0.05, every=EVERY), False),
    "svrg_adam": (
        lambda: ss.chain(ss.variance_reduced(), ss.adam(0.05), ss.snapshot_every(every=EVERY)),
        False,
    ),
    "l_svrg": (lambda: ss.l_svrg(0.05), True),
    "svrg_random": (lambda: ss.svrg(0.05, every=EVERY, iterate="random"), True),
    "katyusha": (lambda: ss.katyusha(0.05, every=EVERY, convexity=0.1, option="I", l1=0.1, l2=0.1), False),
    "l_katyusha": (lambda: ss.l_katyusha(0.05, n=ROWS, convexity=0.1), True),
    "natasha": (lambda: ss.natasha(0.05, sigma=0.1, every=EVERY, parts=2, l1=0.1, l2=0.1), False),
}


@pytest.mark.parametrize("name", ALL)
def test_the_same_bits_everywhere(name):
    """Params and state of NumPy's, on Numba and on torch, pure and donated."""
    make, coins = ALL[name]
    with ss.use_backend("numpy"):
        expected, state = run(make(), coins)
    with ss.use_backend("numba"):
        found = [run(make(), coins), run(make(), coins, donate=True)]
    found.append(run(make(), coins, convert=torch.tensor))
    for params, other in found:
        np.testing.assert_array_equal(params, expected)
        assert other.keys() == state.keys()
        assert all(np.array_equal(np.asarray(other[key]), np.asarray(state[key])) for key in state)


def test_inside_jit():
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        optimizer = ss.l_svrg(0.05)
        params = jnp.asarray(START)
        expected, _ = run(ss.l_svrg(0.05), coins=True)

        def gradient(x, i):
            return (jnp.asarray(A)[i] @ x - jnp.asarray(Y)[i]) * jnp.asarray(A)[i] + 0.1 * x

        def whole(x):
            return jnp.asarray(A).T @ (jnp.asarray(A) @ x - jnp.asarray(Y)) / ROWS + 0.1 * x

        @jax.jit
        def step(params, state, i, coin):
            def refresh(state):
                return optimizer.refresh(params, whole(optimizer.query(params, state)["snapshot"]), state)

            state = jax.lax.cond(optimizer.needs_refresh(state), refresh, lambda state: state, state)
            grads = {name: gradient(x, i) for name, x in optimizer.query(params, state).items()}
            return optimizer.step(params, grads, state, coin=coin)

        state = jax.jit(optimizer.init)(params)
        for k in range(STEPS):
            params, state = step(params, state, BATCHES[k], COINS[k])
            np.testing.assert_allclose(params, expected[k], atol=1e-12)


# What the verbs take and refuse


def ready(optimizer, params):
    return optimizer.refresh(params, params, optimizer.init(params))


def test_nothing_is_changed_or_shared():
    optimizer, params = ss.svrg(0.5, every=1), {"a": np.ones(2), "b": np.ones(())}
    grads = {"x": {"a": np.ones(2), "b": np.ones(())}, "snapshot": {"a": np.zeros(2), "b": np.zeros(())}}
    state = optimizer.init(params)
    before = copy.deepcopy((params, grads, state))
    points = optimizer.query(params, state)
    fresh = optimizer.refresh(params, grads["x"], state)
    assert not np.shares_memory(fresh["g_full"]["a"], grads["x"]["a"])
    assert not np.shares_memory(points["snapshot"]["a"], state["snapshot"]["a"])
    new, after = optimizer.step(params, grads, fresh)
    assert not np.shares_memory(after["snapshot"]["a"], new["a"])
    assert optimizer.needs_refresh(after) and not optimizer.needs_refresh(fresh)
    for was, now in zip(before, (params, grads, state), strict=True):
        assert repr(was) == repr(now)
    _, donated = optimizer.step(params, grads, fresh, donate=True)
    assert grads["snapshot"]["a"].tolist() == [0.0, 0.0] and donated["g_full"]["a"] is fresh["g_full"]["a"]


def test_one_gradient_or_two():
    params = np.ones(2)
    plain, second = ss.sgd(0.5), ss.svrg(0.5, every=2)
    assert plain.query(params, plain.init(params))["x"] is params
    assert plain.needs_refresh(plain.init(params)) is False
    with pytest.raises(ss.TreeError, match="takes one gradient"):
        plain.step(params, {"x": params, "snapshot": params}, plain.init(params))
    with pytest.raises(ss.TreeError, match="takes two gradients"):
        second.step(params, params, ready(second, params))
    with pytest.raises(ss.ChainError, match="no snapshot"):
        plain.refresh(params, params, plain.init(params))
    with pytest.raises(ss.StateError, match="lacks 'stale'"):
        second.needs_refresh(plain.init(params))
    named = {"x": params, "snapshot": np.ones(2)}  # params may be called that
    assert plain.step(named, named, plain.init(named))[0]["x"].tolist() == [0.5, 0.5]


def test_a_step_without_refresh_is_refused():
    optimizer, params = ss.svrg(0.5, every=1), np.ones(2)
    grads = {"x": params, "snapshot": params}
    with pytest.raises(ss.StateError, match=r"state = opt\.refresh\(params, full_grad, state\)"):
        optimizer.step(params, grads, optimizer.init(params))
    params, state = optimizer.step(params, grads, ready(optimizer, params))
    with pytest.raises(ss.StateError, match="has moved"):
        optimizer.step(params, grads, state)
    state = ready(optimizer, params)
    assert optimizer.needs_refresh(optimizer.restart(params, state, reset=["g_full"]))


def test_what_does_not_fit_is_refused():
    optimizer, params = ss.svrg(0.5, every=2), {"w": np.ones(2), "b": np.ones(1)}
    state = ready(optimizer, params)
    with pytest.raises(ss.TreeError, match=r"'b' is None in grads.*snapshot.* alone"):
        optimizer.step(params, {"x": params, "snapshot": {"w": np.ones(2), "b": None}}, state)
    with pytest.raises(ss.LeafError, match="shape"):
        optimizer.step(params, {"x": params, "snapshot": {"w": np.ones(3), "b": np.ones(1)}}, state)
    with pytest.raises(ss.LeafError, match="is None"):
        optimizer.refresh(params, {"w": None, "b": np.ones(1)}, state)
    with pytest.raises(ss.HyperparameterError, match="needs coin"):
        loopless = ss.l_svrg(0.5)
        loopless.step(params, {"x": params, "snapshot": params}, ready(loopless, params))
    with pytest.raises(ss.ChainError, match="snapshot_every"):
        ss.chain(ss.variance_reduced(), ss.sgd(0.5)).init(params)
    with pytest.raises(ss.ChainError, match=r"variance_reduced\(\)"):
        ss.chain(ss.sgd(0.5), ss.snapshot_every(every=2)).init(params)
    with pytest.raises(ss.ChainError, match="momentum are made for the gradient"):
        ss.chain(ss.scale_by_adam(), ss.katyusha(0.5, every=2))
    with pytest.raises(ss.HyperparameterError, match=r"parts divide every.*write every=2"):
        ss.natasha(0.5, sigma=0.1, every=5, parts=2).init(params)


def test_the_estimate_is_what_other_parts_see():
    params = np.array([1.0, 1.0])
    grads = {"x": np.array([3.0, 0.0]), "snapshot": np.array([1.0, 1.0])}
    full_grad = np.array([0.0, 1.0])  # the estimate is [2, 0]
    climbing, clipped = (
        ss.svrg(1.0, every=9, maximize=True),
        ss.chain(ss.clip_by_global_norm(1.0), ss.svrg(1.0, every=9)),
    )
    for optimizer, expected in ((climbing, [3.0, 1.0]), (clipped, [0.0, 1.0])):
        state = optimizer.refresh(params, full_grad, optimizer.init(params))
        assert optimizer.step(params, grads, state)[0].tolist() == expected
    with pytest.raises(ss.ChainError, match="in front of the groups"):
        ss.chain(ss.clip_by_global_norm(1.0), ss.groups({"b": ss.freeze()}, default=ss.svrg(1.0, every=9)))


def test_groups_have_a_snapshot_all_or_none():
    """The gradient of all data at a snapshot holds while every other leaf is where it was."""
    with_snapshot, without = ss.svrg(0.5, every=2), ss.sgd(0.5)
    with pytest.raises(ss.ChainError, match="the group 'b' moves without a snapshot, and what 'default' knows"):
        ss.groups({"b": without}, default=with_snapshot)
    with pytest.raises(ss.ChainError, match="the group 'default' moves without a snapshot, and what 'b' knows"):
        ss.groups({"b": with_snapshot}, default=without)
    moved = ss.chain(without, ss.snapshot_every(every=2))
    spanned = ss.chain(ss.variance_reduced(), ss.groups({"b": moved, "f": ss.freeze()}, default=moved))
    assert spanned.init({"a": np.ones(1), "b": np.ones(1), "f": np.ones(1)})["snapshot"]["f"] is None
    ss.groups({"b": ss.l_svrg(0.1), "f": ss.freeze()}, default=with_snapshot)


def test_marss_norm_is_of_gradients_that_are_scaled_back():
    """Exact, the difference comes before every part, and what is not linear in it after them."""
    plain, scaled = ss.mars(0.1, exact=True), ss.chain(ss.loss_scaling(first_scale=1024.0), ss.mars(0.1, exact=True))
    rng, runs = np.random.default_rng(0), [[opt, np.ones(3), opt.init(np.ones(3))] for opt in (plain, scaled)]
    for _ in range(3):
        grads = rng.standard_normal((2, 3))
        for run, scale in zip(runs, (1.0, 1024.0), strict=True):
            opt, params, state = run
            run[1:] = opt.step(params, {"x": scale * grads[0], "snapshot": scale * grads[1]}, state)
        assert np.array_equal(runs[0][1], runs[1][1])


def test_a_snapshot_of_the_last_params_takes_no_full_gradient():
    """MARS, exact: another batch in each step, its first difference is none, and what is refused."""
    exact, params = (
        ss.mars(0.1, weight_decay_1d=0.0, exact=True, optimize_1d=False),
        {"w": np.ones((2, 2)), "b": np.ones(2)},
    )
    state = exact.init(params)
    assert not exact.needs_refresh(state) and state["snapshot"]["w"] is not params["w"]
    for at in (1.0, 0.9):
        points = exact.query(params, state)
        np.testing.assert_allclose(points["snapshot"]["w"], 1.0)
        np.testing.assert_allclose(points["x"]["b"], at)
        params, state = exact.step(params, points, state)
    again = exact.restart(params, state)
    assert (exact.query(params, again)["snapshot"]["w"] == params["w"]).all()
    with pytest.raises(ss.ChainError, match="goes stale"):
        exact.refresh(params, params, state)
    with pytest.raises(ss.ChainError, match="moves without a snapshot"):
        ss.groups({"b": ss.sgd(0.1)}, default=exact)
    last = next(part for part in exact.chains[0].parts if part.page.__name__ == "snapshot_before")
    for parts in (
        (ss.variance_reduced(), last, ss.descend(0.1)),
        (ss.mars(0.1, exact=True), ss.snapshot_every(every=2, name="x")),
    ):
        with pytest.raises(ss.ChainError, match="the gradient of all data goes with"):
            ss.chain(*parts).init(params)


def test_half_precision_sleeping_frozen_and_empty_leaves():
    params = {"h": np.ones(2, np.float16), "e": np.ones((0, 3)), "z": np.ones(()), "f": np.ones(1)}
    optimizer = ss.groups({"f": ss.freeze()}, default=ss.svrg(0.5, every=2))
    state = optimizer.refresh(params, params, optimizer.init(params))
    assert state["g_full"]["h"].dtype == np.float32 and state["g_full"]["f"] is None
    points = optimizer.query(params, state)
    assert points["snapshot"]["h"].dtype == np.float16 and points["snapshot"]["f"] is params["f"]
    some = {**params, "z": None}
    for _ in range(2):
        assert not optimizer.needs_refresh(state)
        params, state = optimizer.step(params, {"x": some, "snapshot": some}, state)
    assert params["z"] == 1.0 and params["h"].tolist() == [0.0, 0.0]
    assert optimizer.needs_refresh(state)
    assert not optimizer.needs_refresh(optimizer.refresh(params, params, state))


# Nesterov's own form


def nesterov(optimizer, at_query):
    """The points at which the gradients are taken."""
    params, found = START.copy(), []
    state = optimizer.init(params)
    for i in BATCHES:
        x = optimizer.query(params, state)["x"] if at_query else params
        found.append(x)
        params, state = optimizer.step(params, batch(x, i), state)
    return np.array(found)


def test_points_of_agd_are_the_iterates_of_torch():
    x = torch.tensor(START.copy(), requires_grad=True)
    sgd, expected = torch.optim.SGD([x], lr=0.05, momentum=0.9, nesterov=True), []
    for i in BATCHES:
        expected.append(x.detach().numpy().copy())
        x.grad = torch.tensor(batch(expected[-1], i))
        sgd.step()
    found = nesterov(ss.chain(ss.agd(momentum=0.9), ss.descend(0.05)), at_query=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    found = nesterov(ss.chain(ss.agd_velocity(0.05, momentum=0.9)), at_query=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    elsewhere = nesterov(ss.chain(ss.agd(momentum=0.9), ss.descend(0.05)), at_query=False)
    assert abs(elsewhere - expected).max() > 1e-3


def test_agd_velocity_as_sutskever_wrote_it():
    """Part B 1.3: v <- mu v - lr g(theta + mu v), theta <- theta + v; the classical form parts from it."""
    found, theta, v = [], START, 0 * START
    for k, i in enumerate(BATCHES):
        found.append(theta + 0.9 * v)
        v = 0.9 * v - 0.02 * (1 + k % 3) * batch(found[-1], i)
        theta = theta + v
    lr = lambda count: 0.02 * (1 + count % 3)  # noqa: E731
    near(nesterov(ss.chain(ss.agd_velocity(lr, momentum=0.9)), at_query=True), found)
    near(nesterov(ss.chain(ss.sgd(lr), ss.agd_velocity(momentum=0.9)), at_query=True), found)  # its descend, replaced
    classical = nesterov(ss.chain(ss.agd(momentum=0.9), ss.descend(lr)), at_query=True)
    assert abs(classical - found).max() > 1e-3
    with pytest.raises(ss.ChainError, match="takes the place of descend, which this chain lacks"):
        ss.chain(ss.ftrl(), ss.agd_velocity())


def test_the_query_has_the_numbers_of_the_next_step():
    """A schedule, behind an inner clock too: as far ahead as the step that takes the gradient moves."""
    optimizer = ss.chain(ss.accumulate(2), ss.agd(momentum=0.5), ss.descend(lambda count: [0.5, 0.25, 0.125][count]))
    params = np.array([1.0])
    state, seen = optimizer.init(params), []
    for _ in range(4):
        seen.append(float(optimizer.query(params, state)["x"][0]))
        params, state = optimizer.step(params, np.array([1.0]), state)
    assert seen == [1.0, 1.0, 0.5 - 0.25 * 0.5, 0.5 - 0.25 * 0.5]


def test_two_parts_that_say_where_x_is_are_refused():
    optimizer, params = ss.chain(ss.agd(), ss.agd(name="b"), ss.sgd(0.5)), np.ones(1)
    with pytest.raises(ss.ChainError, match="both say where 'x'"):
        optimizer.query(params, optimizer.init(params))


# Another optimizer in the middle of a training


def test_adam_then_sgd_whose_schedule_goes_on():
    def lr(count):
        return 0.1 / (1 + count)

    first, then = ss.adam(0.01), ss.sgd(lr, momentum=0.9)
    params = START.copy()
    state = first.init(params)
    for i in BATCHES[:5]:
        params, state = first.step(params, batch(params, i), state)
    with pytest.raises(ss.StateError, match="another optimizer"):
        then.step(params, batch(params, 0), state)
    x = torch.tensor(params.copy(), requires_grad=True)
    theirs = torch.optim.SGD([x], lr=1.0, momentum=0.9)
    state = then.init(params) | {"step": state["step"]}
    for count, i in enumerate(BATCHES[5:10], start=5):
        # a momentum that starts at zero weighs its first gradient by 1, at any count, since dampening is 0
        params, state = then.step(params, batch(params, i), state)
        theirs.param_groups[0]["lr"] = lr(count)
        x.grad = torch.tensor(batch(x.detach().numpy(), i))
        theirs.step()
        np.testing.assert_allclose(params, x.detach().numpy(), rtol=0, atol=1e-14)
    assert state["step"] == 10


def test_a_query_does_not_pass_over_what_a_part_makes():
    """An lr that hangs on what comes with the step: nobody can say yet how far ahead the point is."""
    params = np.array([1.0])
    for opt, what in (
        (ss.chain(ss.reduce_on_plateau(patience=0), ss.agd(), ss.descend(0.5)), "'metric'"),
        (ss.chain(ss.prodigy(), ss.agd(name="n")), "the gradient"),
    ):
        with pytest.raises(ss.TraceError, match=f"agd, or the clock, lr or p it reads, needs {what}"):
            opt.query(params, opt.init(params))
    for inner in (ss.dadapt_adam(), ss.adafactor()):
        opt = ss.chain(inner, ss.agd(name="n"))
        with pytest.raises(ss.ChainError, match="no part behind it moves p by lr u"):
            opt.query(params, opt.init(params))


def test_a_query_reads_what_the_parts_before_it_make():
    """Their lr, in a direction too; their clock; and the p that they move."""

    @ss.gradient()
    def halved(u, *, lr):
        return {"u": u, "lr": lr / 2}

    opt, same = ss.chain(halved(), ss.agd(), ss.descend(0.5)), ss.chain(ss.agd(), ss.descend(0.25))
    params = np.array([1.0])
    states = [o.step(params, params, o.init(params)) for o in (opt, same)]
    assert opt.query(*states[0])["x"] == same.query(*states[1])["x"] != states[0][0]

    opt, params = ss.chain(ss.muon(0.5, aux_lr=0.125), ss.agd(name="n")), {"w": np.ones((2, 2)), "b": np.ones(2)}
    params, state = opt.step(params, params, opt.init(params))
    for leaf, lr in (("w", 0.5), ("b", 0.125)):
        expected = params[leaf] - lr * 0.9 * state["n.m"][leaf]
        np.testing.assert_array_equal(opt.query(params, state)["x"][leaf], expected)

    step, params = ss.katyusha_step(0.5, every=2), np.array([1.0])
    plain, decayed, waiting = (
        ss.chain(ss.variance_reduced(), *parts, step)
        for parts in ([], [ss.decay(0.25, mode="independent")], [ss.hidden_accumulation(2, fewer_updates=True)])
    )
    state = {**ready(plain, params), "z": np.array([3.0]), "step": 4}
    points = [opt.query(params, state)["x"][0] for opt in (plain, decayed, waiting)]
    tau = 2 / (2 + 4), 2 / (2 + 4), 2 / (1 + 4)  # in the third epoch, but in the second behind two calls for a step
    assert points == [3 * t + 0.5 + (0.5 - t) * p for t, p in zip(tau, (1.0, 0.75, 1.0), strict=True)]


def test_points_in_16_bits_are_those_of_the_master():
    """What leads is what the step starts from: the rounded params are only its shadow."""
    opt = ss.chain(ss.agd(momentum=0.5), ss.sgd(1.0), ss.master_weights())
    state = {"step": 1, "m": np.array([1.0], np.float32), "master": np.array([0.5 + 2**-11 + 2**-12], np.float32)}
    params = state["master"].astype(np.float16)  # 0.5 + 2^-10
    assert opt.query(params, state)["x"].astype(np.float64) == 2**-11 + 2**-12
