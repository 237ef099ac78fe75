"""The verbs of an optimizer, the object itself, chains, named parts and overrides."""

import copy
import pickle
import threading

import array_api_strict
import numpy as np
import optree
import pytest

import samestep as ss
from samestep.algorithms.adafactor import adafactor
from samestep.algorithms.ftrl import ftrl
from samestep.algorithms.nadam import nadam
from samestep.errors import ChainError, HyperparameterError, StateError
from samestep.modifiers.accumulate import accumulate
from samestep.modifiers.lookahead import lookahead


def problem(seed=0):
    rng = np.random.default_rng(seed)
    params = {"a": {"w": rng.normal(size=(3, 4)), "bias": rng.normal(size=4)}, "b": [rng.normal(size=5)]}
    return params, {"a": {k: rng.normal(size=v.shape) for k, v in params["a"].items()}, "b": [rng.normal(size=5)]}


def flat(tree):
    """Every array and number of a tree, as bytes: two trees are the same bits when these lists are equal."""
    if isinstance(tree, dict):
        return [(key, item) for key in sorted(tree) for item in flat(tree[key])]
    if isinstance(tree, list | tuple):
        return [item for value in tree for item in flat(value)]
    if isinstance(tree, np.ndarray):
        return [(str(tree.dtype), tree.shape, tree.tobytes())]
    return [tree]


def train(opt, steps=5, convert=lambda tree: tree, **overrides):
    params = convert(problem()[0])
    state = opt.init(params)
    for seed in range(steps):
        params, state = opt.step(params, convert(problem(seed)[1]), state, **overrides)
    return params, state


def strictly(tree):
    return optree.tree_map(array_api_strict.asarray, tree)


def loosely(tree):
    return optree.tree_map(lambda x: np.from_dlpack(x) if hasattr(x, "__dlpack__") else x, tree)


# The object


@ss.direction(m=ss.zeros)
def average(u, m, *, decay: ss.unit = 0.9):
    m = decay * m + (1 - decay) * u
    return {"u": m, "m": m}


@ss.gradient(loss=ss.given)
def scaled_by_loss(u, loss):
    return {"u": u * loss}


@ss.gradient(gain=ss.given(2.0))
def scaled_by_gain(u, gain):
    return {"u": u * gain}


OPTIMIZERS = {
    "named": lambda: ss.adamw(1e-2, beta1=0.8),
    "chain": lambda: ss.chain(ss.clip_by_global_norm(1.0), average(0.5, name="slow"), ss.descend(0.1)),
    "groups": lambda: ss.groups({"*.bias": {"lr": 0.5}, "b.*": ss.freeze()}, default=ss.adam(1e-2)),
    "spanning": lambda: ss.chain(ss.clip_by_global_norm(1.0), ss.groups({"*.bias": ss.sgd(0.1)}, default=nadam(1e-2))),
}
each = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


@each
def test_is_a_value(make):
    one, other = make(), make()
    assert one == other and hash(one) == hash(other) and len({one, other}) == 1
    assert one != ss.lion() and one != "adam"
    with pytest.raises(AttributeError, match="frozen"):
        one.label = "mine"
    with pytest.raises(AttributeError, match="frozen"):
        del one.branches


@each
@pytest.mark.parametrize("used", [False, True])
def test_copies_and_pickles(make, used):
    opt = make()
    if used:
        train(opt, 2)
        hash(opt), opt.hyperparameters(0)
    expected = train(make())
    for twin in (copy.copy(opt), copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))):
        assert twin == opt and repr(twin) == repr(opt)
        assert flat(train(twin)) == flat(expected)
    absent = pickle.loads(pickle.dumps(ss.sgd(0.1)))
    with pytest.raises(HyperparameterError, match="built without momentum"):
        train(absent, momentum=0.9)


def test_repr_can_be_read_back():
    assert repr(ss.adamw(1e-2, beta1=0.8)) == "adamw(lr=0.01, beta1=0.8)"
    assert repr(ss.adamw(np.float64(1e-2), beta1=np.float64(0.8))) == "adamw(lr=0.01, beta1=0.8)"
    assert repr(OPTIMIZERS["chain"]()) == (
        "chain(clip_by_global_norm(max_norm=1.0, clip_eps=0.0, nonfinite='nan', scale='none'), "
        "average(decay=0.5, name='slow'), descend(lr=0.1))"
    )
    assert repr(OPTIMIZERS["groups"]()) == ("groups({'*.bias': {'lr': 0.5}, 'b.*': freeze()}, default=adam(lr=0.01))")
    assert repr(OPTIMIZERS["spanning"]()) == (
        "chain(clip_by_global_norm(max_norm=1.0, clip_eps=0.0, nonfinite='nan', scale='none'), "
        "groups({'*.bias': sgd(lr=0.1)}, default=nadam(lr=0.01)))"
    )


def test_different_numbers_are_different_optimizers():
    assert ss.adamw(1e-3) != ss.adamw(1e-2)
    assert ss.adamw(1e-3) == ss.adamw(lr=1e-3)
    assert ss.adamw(1e-3, cautious="mean") != ss.adamw(1e-3, cautious="count")


# The verbs


def test_step_counts_and_keeps_the_nesting():
    params, grads = problem()
    opt = nadam(1e-2)
    state = opt.init(params)
    assert state["step"] == 0 and type(state["step"]) is int
    assert state["mu_product"] == 1.0 and type(state["mu_product"]) is float
    new, after = opt.step(params, grads, state)
    assert list(after) == list(state) == ["step", "m", "v", "mu_product"]
    assert after["step"] == 1 and type(after["step"]) is int and type(after["mu_product"]) is float
    assert list(new) == ["a", "b"] and type(new["b"]) is list and list(after["m"]["a"]) == ["w", "bias"]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_update_is_what_step_adds(backend):
    params, grads = problem()
    params["a"]["bias"][1] = np.inf
    grads["b"] = [None]
    opt = ss.adamw(1e-2)
    state = opt.init(params)
    before = flat([params, grads, state])
    with ss.use_backend(backend):
        deltas, after = opt.update(params, grads, state, lr=0.5)
        new, expected = opt.step(params, grads, state, lr=0.5)
    assert flat([params, grads, state]) == before
    assert flat(after) == flat(expected)
    np.testing.assert_array_equal(deltas["a"]["w"], new["a"]["w"] - params["a"]["w"])
    assert deltas["a"]["bias"][1] == 0 and np.all(deltas["b"][0] == 0)


def test_update_applies_nothing_even_when_asked():
    params, grads = problem()
    opt = ss.adam(1e-2)
    with pytest.raises(HyperparameterError, match="'donate'"):
        opt.update(params, grads, opt.init(params), donate=True)


def test_update_of_a_number_is_an_array():
    p = np.array(2.0)
    opt = ss.sgd(0.5)
    delta, _ = opt.update(p, np.array(1.0), opt.init(p))
    assert type(delta) is np.ndarray and delta.shape == () and delta == -0.5


def test_eval_params():
    params, grads = problem()
    opt = ss.chain(ss.sgd(0.5), lookahead(k=3, alpha=0.5))
    state = opt.init(params)
    first = flat(params)
    assert flat(opt.eval_params(params, state)) == first
    params, state = opt.step(params, grads, state)
    found = opt.eval_params(params, state)
    assert flat(found) == first != flat(params)
    assert not np.shares_memory(found["b"][0], state["slow"]["b"][0])
    assert ss.adam().eval_params(params, state) is params
    with pytest.raises(StateError):
        opt.eval_params(params, {"step": 0})


def clocked():
    """The eval page shows the clock and a schedule, `seen` what a step saw last."""

    def shows(p, t, seen, *, rate):
        return {"p": p * 0 + t + 100 * rate + 10000 * (seen - t)}

    @ss.update(eval=shows, seen=ss.zeros)
    def shown(p, t, seen, *, rate=0.0):
        return {"seen": 0 * seen + t}

    return shown(rate=lambda count: count)


@pytest.mark.parametrize(
    ("front", "calls", "done"),
    [
        ([], 3, 3),
        ([accumulate(2)], 4, 2),
        ([accumulate(2)], 5, 2),
        ([accumulate(3)], 2, 0),
        ([ss.skip_nonfinite()], 4, 3),  # one of them is not finite
        ([ss.skip_nonfinite(), accumulate(2)], 6, 2),
        ([lookahead(k=3, reset="state")], 5, 2),
        ([lookahead(k=3, reset="state")], 6, 3),
        ([lookahead(k=3, reset="state")], 0, 0),
        ([accumulate(2), lookahead(k=3, reset="state")], 12, 3),
        ([accumulate(2), lookahead(k=3, reset="state")], 9, 1),
        ([ss.warm_restart(3)], 5, 2),
        ([ss.warm_restart(3)], 6, 3),
        ([ss.skip_nonfinite(), ss.hidden_accumulation(2), ss.momentum()], 6, 2),
        ([ss.hidden_accumulation(2, fewer_updates=True)], 5, 2),
    ],
)
def test_eval_pages_see_the_inner_clock(front, calls, done):
    opt = ss.chain(ss.sgd(0.0), *front, clocked())
    params = {"a": np.zeros(1), "b": np.zeros(2, np.float32)}
    state = opt.init(params)
    for k in range(calls):
        grads = {"a": np.array([np.nan if k == 1 and "bad" in state else 1.0]), "b": np.ones(2)}
        params, state = opt.step(params, grads, state)
    found = opt.eval_params(params, state)
    assert found["a"] == found["b"][1] == done + 100 * max(done - 1, 0) and found["b"].dtype == np.float32


def test_eval_pages_read_what_is_there_without_a_step():
    @ss.update(eval=lambda first: {"p": first}, first=ss.copy)
    def remembers(p, first):
        return {}

    params = np.array([1.0, 2.0])
    opt = ss.chain(ss.sgd(0.5), remembers())
    new, state = opt.step(params, np.ones(2), opt.init(params))
    assert flat(opt.eval_params(new, state)) == flat(params)

    def refused(page, what, **slots):
        opt = ss.chain(ss.sgd(0.5), ss.update(eval=page, **slots)(lambda p: {})())
        with pytest.raises(ss.errors.TraceError, match=f"the eval page of .* needs {what}, which only a step has"):
            opt.eval_params(params, opt.init(params))

    refused(lambda p: {"p": p * ss.sum_over_params(p)}, "sum_over_params")
    refused(lambda p, g: {"p": p + g}, "the gradient")
    refused(lambda p, loss: {"p": p * loss}, "'loss'", loss=ss.given)


def test_eval_pages_are_compiled_once_and_kernels_never(monkeypatch):
    params = {"a": np.ones(3), "b": [np.ones(2), np.ones((2, 2), np.float32)], "c": np.ones(2, np.complex64)}
    opt = ss.groups({"b.0": ss.sgd(0.1)}, default=ss.chain(nadam(0.5), lookahead(k=2)))
    new, state = opt.step(params, params, opt.init(params))
    twin = ss.groups({"b.0": ss.sgd(0.1)}, default=ss.chain(nadam(0.5), lookahead(k=2)))
    first = flat(twin.eval_params(new, state))
    monkeypatch.setattr("samestep_numba.compiled.CompiledNumba.__init__", None)
    monkeypatch.setattr("samestep.trace.python.load", None)
    monkeypatch.setattr("samestep.evaluate.compile_stage", None)
    assert flat(twin.eval_params(new, state)) == first
    assert flat(twin.eval_params(new, state)["b"][0]) == flat(new["b"][0])
    assert flat(twin.eval_params(new, state)["c"]) == flat(params["c"])
    assert twin.restart(new, state)["step"] == 0


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_reset_does_not_round_the_slow_weights(dtype):
    rng, runs = np.random.default_rng(0), []
    grads = rng.normal(size=(9, 3)).astype(np.float32)
    for reset in ("none", "state"):
        opt = ss.chain(ss.sgd(0.1), lookahead(k=2, alpha=0.3, reset=reset))
        params = np.array([1.0, 2.0, 3.0], dtype)
        state = opt.init(params)
        for g in grads:
            params, state = opt.step(params, g, state)
        runs.append(flat([params, state]))
    assert runs[0] == runs[1]


def test_a_part_borrows_the_slot_of_another():
    """By its name in the chain, whatever its own; what gates the other's write gates its own."""
    back = lookahead(k=2, alpha=0.5, reset="pullback", name="outer")
    opt = ss.chain(ss.skip_nonfinite(), ss.sgd(1.0, momentum=0.5), back)
    params, slow_m = np.zeros(1), []
    state = opt.init(params)
    assert {"m", "outer.slow", "outer.slow_m"} < state.keys() and "outer.m" not in state
    for g in (1.0, 1.0, np.nan, 1.0, 1.0):
        params, state = opt.step(params, np.array([g]), state)
        slow_m.append(state["outer.slow_m"].item())
    m = 0.25 * 0.75 + 0.5 + 1.0
    assert slow_m == [0.0, 0.75, 0.75, 0.75, 0.75 + 0.5 * (m - 0.75)] and state["m"] == slow_m[-1]
    for inner in (ss.sgd(0.1), ss.chain(ss.momentum(name="n"), ss.descend(0.1))):
        with pytest.raises(
            ss.errors.TraceError, match="in page pulled_back: it borrows slot 'm', and no part before it writes"
        ):
            ss.chain(inner, back).init(params)
    with pytest.raises(HyperparameterError, match="reset='pullback' has one start"):
        lookahead(reset="pullback", start="late")


def test_a_reset_leaves_what_a_page_keeps():
    opt = ss.chain(ss.dog(), lookahead(k=2, reset="state"))
    params = np.array([1.0, 2.0])
    state, furthest = opt.init(params), 0.0
    for k in range(7):
        params, state = opt.step(params, np.ones(2), state)
        assert flat(state["p0"]) == flat(np.array([1.0, 2.0])) and state["r"] >= furthest
        assert state["G"] == 2.0 * (k % 2 + 1) or abs(state["G"] - 2.0 * (k % 2 + 1)) < 1e-12
        furthest = state["r"]


def test_restart_starts_again_where_it_is():
    params, grads = problem()
    opt = ss.chain(nadam(1e-2), lookahead(k=2))
    state = opt.init(params)
    for _ in range(3):
        params, state = opt.step(params, grads, state)
    before = flat(state)
    assert flat(opt.restart(params, state)) == flat(opt.init(params))
    assert flat(state) == before


def test_restart_takes_with_a_slot_what_hangs_on_it():
    params, grads = problem()
    opt = ss.chain(average(name="fast"), ss.scale_by_adam(), ss.descend(0.1))
    state = opt.init(params)
    for _ in range(3):
        params, state = opt.step(params, grads, state)
    fresh, found = opt.init(params), opt.restart(params, state, reset=["m"])
    assert found["step"] == 0
    assert flat(found["m"]) == flat(fresh["m"]) and flat(found["v"]) == flat(fresh["v"])
    assert flat(found["fast.m"]) == flat(state["fast.m"]) != flat(fresh["fast.m"])
    assert not np.shares_memory(found["fast.m"]["b"][0], state["fast.m"]["b"][0])
    opt.step(params, grads, found, donate=True)  # the old state must not feel it
    with pytest.raises(StateError, match=r"'fast\.m', 'm', 'v'; got 'x'"):
        opt.restart(params, state, reset=["x"])
    with pytest.raises(StateError):
        opt.restart(params, state, reset=["step"])
    with pytest.raises(StateError, match="another optimizer"):
        opt.restart(params, ss.adam().init(params))


def test_restart_leaves_what_a_page_keeps():
    @ss.direction(best=ss.kept(0.0), m=ss.kept(ss.zeros))
    def remembers(u, best, m, t):
        return {"u": u, "best": best + t, "m": m + u}

    params, grads = problem()
    opt = ss.chain(remembers(), ss.descend(0.1))
    params, state = opt.step(params, grads, opt.init(params))
    found = opt.restart(params, state)
    assert found["step"] == 0 and found["best"] == 1.0 and flat(found["m"]) == flat(state["m"])
    assert opt.restart(params, state, reset=["best"])["best"] == 0.0


def test_hyperparameters():
    opt = ss.adamw(lambda count: 0.1 / (1 + count), beta1=0.5)
    assert opt.hyperparameters(4) == {
        "beta1": 0.5, "beta2": 0.999, "eps": 1e-8, "eps_root": 0.0, "weight_decay": 0.01, "lr": 0.02,
    }  # fmt: skip
    assert opt.hyperparameters(0)["lr"] == 0.1
    grouped = OPTIMIZERS["groups"]().hyperparameters(0)
    assert set(grouped) == {"*.bias", "default"}
    assert grouped["*.bias"]["lr"] == 0.5 and grouped["default"]["lr"] == 1e-2
    with pytest.raises(HyperparameterError, match="lr must be at least 0"):
        ss.sgd(lambda count: 1.0 - count).hyperparameters(2)


@pytest.mark.parametrize("wrong", ["a", -1, 1.0, None, True, np.int64(-2)])
def test_hyperparameters_at_what_is_no_count(wrong):
    with pytest.raises(HyperparameterError, match="step counts completed steps: an int, at least 0; got"):
        ss.sgd(lambda count: 0.1 * count).hyperparameters(wrong)
    assert ss.sgd(lambda count: 0.5 * count).hyperparameters(np.array(2)) == {"lr": 1.0}


@pytest.mark.parametrize("wrong", ["no", 1, None])
def test_donate_is_true_or_false(wrong):
    params = np.ones(2)
    with pytest.raises(ss.errors.DonationError, match="donate is True or False; got"):
        ss.sgd(0.1).step(params, params, {"step": 0}, donate=wrong)


def test_bytes_per_parameter():
    def of(opt, dtype):
        return ss.explain(opt, np.zeros((3, 4), dtype)).lines[0].bytes

    assert of(ss.adam(), np.float32) == 28 and of(ss.adam(), np.float64) == of(ss.adam(), np.complex64) == 56
    assert of(ss.adam(), np.float16) == 2 + 2 + 8 + 2 + 8
    assert of(ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(0.1)), np.float32) == 4 + 12  # the norm reads the gradient
    assert of(adafactor(), np.float32) <= 5 * 4  # rows and columns are next to nothing


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "complex64", "complex128"])
def test_state_bytes(dtype):
    params = {"a": np.zeros((3, 4), dtype), "b": np.zeros((), dtype), "c": np.zeros(0, dtype)}
    for opt in (ss.adamw(), ss.sgd(0.1), ss.sgd(0.1, momentum=0.9), ss.groups({"a": ss.freeze()}, default=ss.lion())):
        state = opt.init(params)
        arrays = [x for slot in state if slot != "step" for x in state[slot].values() if x is not None]
        assert opt.state_bytes(params) == sum(x.nbytes for x in arrays)


def test_state_bytes_needs_no_arrays():
    class Shape:
        shape, dtype = (10**6, 10**6), np.dtype("float32")

    assert ss.adam().state_bytes({"w": Shape()}) == 8 * 10**12
    assert adafactor().state_bytes({"w": Shape()}) == 2 * 4 * 10**6
    with pytest.raises(ss.errors.LeafError, match="int64"):
        ss.adam().state_bytes({"w": np.zeros(3, np.int64)})


# Chains


def test_order_of_a_chain():
    written = ss.chain(ss.descend(0.1), ss.decay(0.2), ss.scale_by_adam(), ss.clip_by_global_norm(1.0), ss.cautious())
    kinds = [part.page.__name__ for part in written.branches[0].chain.parts]
    assert kinds == ["clip_by_global_norm", "scale_by_adam", "cautious", "descend", "decoupled_decay"]


@pytest.mark.parametrize("backend", ["numpy", "numba", "strict"])
@pytest.mark.parametrize("scale", ["mean", "count", "none"])
def test_chain_with_an_optimizer_is_the_hand_written_chain(backend, scale):
    by_hand = ss.chain(ss.scale_by_adam(), ss.cautious(scale=scale), ss.decay(1e-2), ss.descend(1e-3))
    joined = ss.chain(ss.adamw(1e-3), ss.cautious(scale=scale))
    assert joined == by_hand == ss.adamw(1e-3, cautious=scale)
    with ss.use_backend(backend):
        convert = strictly if backend == "strict" else loosely
        one, two, three, plain = (
            flat(loosely(train(opt, convert=convert)))
            for opt in (joined, by_hand, ss.adamw(1e-3, cautious=scale), ss.adamw(1e-3))
        )
    assert one == two == three != plain
    assert one == flat(train(joined))


def test_options_that_are_other_parts():
    """Each of these parts has a row of its own; what a zero leaves out is left out."""
    behind = ss.decay(0.1), ss.descend(0.5)
    assert ss.yogi(0.5, weight_decay=0.1, decay="decoupled") == ss.chain(ss.scale_by_yogi(), *behind)
    assert ss.padam(0.5, weight_decay=0.1, decay="decoupled") == ss.chain(ss.scale_by_padam(), *behind)
    assert ss.adabound(0.5, weight_decay=0.1, decay="decoupled") == ss.chain(ss.scale_by_adabound(lr=0.5), *behind)
    assert ss.novograd(0.5, weight_decay=0.1, decay="decoupled") == ss.chain(ss.scale_by_novograd(), *behind)
    one, two = ss.decay(0.1, mode="independent"), ss.decay(0.1, mode="proximal")
    assert ss.adamw(0.5, weight_decay=0.1, decay="independent") == ss.chain(ss.scale_by_adam(), one, ss.descend(0.5))
    assert ss.adamw(0.5, weight_decay=0.1, decay="proximal") == ss.chain(ss.scale_by_adam(), ss.descend(0.5), two)
    assert ss.lars(0.5, lr_inside=False, always_adapt=False) == ss.sgd(0.5, momentum=0.9)
    assert ss.lamb(0.5, always_adapt=False) == ss.chain(ss.scale_by_adam(eps=1e-6), ss.descend(0.5))
    for opt in (ss.lars(always_adapt=False), ss.lamb(always_adapt=False)):
        with pytest.raises(HyperparameterError, match="built without weight_decay"):
            opt.step(np.ones(2), np.ones(2), opt.init(np.ones(2)), weight_decay=0.1)


def test_cautious_of_a_constructor():
    for wrong in (True, None, "max"):
        with pytest.raises(HyperparameterError, match="'mean', 'count', 'none'"):
            ss.adamw(1e-3, cautious=wrong)


def test_maximize_climbs():
    params, grads = problem()
    negated = {"a": {k: -g for k, g in grads["a"].items()}, "b": [-grads["b"][0]]}
    up, down = ss.adamw(1e-2, maximize=True), ss.adamw(1e-2)
    found = up.step(params, grads, up.init(params))
    expected = down.step(params, negated, down.init(params))
    assert flat(found) == flat(expected)
    with pytest.raises(HyperparameterError, match="maximize"):
        ss.adamw(1e-2, maximize=1)


def test_parts_that_cannot_share_a_chain():
    with pytest.raises(ChainError, match=r"slot 'm' belongs to two parts.*name='other'"):
        ss.chain(average(), ss.scale_by_adam(), ss.descend(0.1))
    with pytest.raises(ChainError, match=r"'lr' different values, 0\.1 and 0\.2"):
        ss.chain(ss.sgd(0.1), ss.descend(0.2))
    with pytest.raises(ChainError, match=r"ftrl_step takes no direction part such as cautious: z sums the gradients"):
        ss.chain(ftrl(0.1), ss.cautious())
    with pytest.raises(ChainError, match="at least one part"):
        ss.chain()
    with pytest.raises(ChainError, match=r"call it, descend\(\.\.\.\)"):
        ss.chain(ss.descend)


def test_named_parts():
    opt = ss.chain(average(0.5, name="slow"), average(0.9), ss.descend(0.1))
    params, grads = problem()
    state = opt.init(params)
    assert list(state) == ["step", "slow.m", "m"]
    assert opt.hyperparameters(0) == {"slow.decay": 0.5, "decay": 0.9, "lr": 0.1}
    found = opt.step(params, grads, state, **{"slow.decay": 0.25})
    expected = ss.chain(average(0.25, name="slow"), average(0.9), ss.descend(0.1)).step(params, grads, state)
    assert flat(found) == flat(expected) != flat(opt.step(params, grads, state))
    plain = opt.step(params, grads, state, decay=0.25)
    expected = ss.chain(average(0.5, name="slow"), average(0.25), ss.descend(0.1)).step(params, grads, state)
    assert flat(plain) == flat(expected)


def test_lr_is_shared_by_name():
    opt = ss.chain(ss.scale_by_adam(), ss.decay(0.1, name="wd"), ss.descend(0.5, name="last"))
    assert opt.hyperparameters(0)["lr"] == 0.5 and "last.lr" not in opt.hyperparameters(0)
    assert opt.hyperparameters(0)["wd.weight_decay"] == 0.1
    params, grads = problem()
    found = opt.step(params, grads, opt.init(params), lr=0.25)
    expected = ss.adamw(0.25, weight_decay=0.1)
    assert flat(found) == flat(expected.step(params, grads, expected.init(params)))


def test_name_of_a_chain_names_its_parts():
    opt = ss.chain(average(), ss.scale_by_adam(name="inner"), ss.descend(0.1), name="outer")
    assert list(opt.init(np.zeros(2))) == ["step", "outer.m", "inner.m", "inner.v"]


# Overrides


def test_override_replaces_a_number_for_one_step():
    params, grads = problem()
    opt = ss.adamw(1e-2)
    state = opt.init(params)
    found = opt.step(params, grads, state, lr=0.5, weight_decay=0.25, beta1=0.0)
    expected = ss.adamw(0.5, weight_decay=0.25, beta1=0.0).step(params, grads, state)
    assert flat(found) == flat(expected)
    assert flat(opt.step(params, grads, state)) == flat(ss.adamw(1e-2).step(params, grads, state))


def test_override_replaces_a_schedule():
    called = []

    def schedule(count):
        called.append(count)
        return 1.0 / (1 + count)

    params = np.array([1.0])
    opt = ss.sgd(schedule)
    p, state = opt.step(params, np.array([1.0]), opt.init(params), lr=0.25)
    assert p[0] == 0.75 and called == []
    p, state = opt.step(p, np.array([1.0]), state)
    assert p[0] == 0.25 and called == [1] and state == {"step": 2}


def test_override_reaches_every_group_that_has_it():
    params, grads = problem()
    opt = ss.groups({"*.bias": ss.sgd(0.1, momentum=0.5), "b.*": {"lr": 0.3}}, default=ss.adamw(1e-2))
    rest = ss.adamw(0.7, beta1=0.3)
    same = ss.groups({"*.bias": ss.sgd(0.7, momentum=0.5), "b.*": rest}, default=rest)
    state = opt.init(params)
    assert flat(opt.step(params, grads, state, lr=0.7, beta1=0.3)) == flat(same.step(params, grads, state))


@pytest.mark.parametrize(
    ("opt", "override", "message"),
    [
        (ss.adamw(1e-3), {"amsgrad": True}, "amsgrad is an option, fixed when the optimizer is built"),
        (ss.adamw(1e-3), {"maximize": True}, "maximize is an option"),
        (ss.adamw(1e-3), {"cautious": "mean"}, "cautious is an option"),
        (ss.chain(accumulate(2), ss.sgd(0.1)), {"k": 3}, "k is an option"),
        (ss.sgd(0.1), {"momentum": 0.9}, r"without momentum \(it was 0\.0\); got 0\.9: build .* with momentum="),
        (ss.adam(1e-3), {"weight_decay": 0.1}, "built without weight_decay"),
        (ss.chain(ss.cautious(), ss.sgd(0.1)), {"momentum": 0.9}, "built without momentum"),
        (ss.groups({"*": {"lr": 0.2}}, default=ss.sgd(0.1)), {"momentum": 0.9}, "built without momentum"),
        (ss.adamw(1e-3), {"beta3": 0.9}, r"no number 'beta3', here 0.9; step takes 'beta1', 'beta2', 'eps'.*'lr', 'w"),
        (ss.adamw(1e-3), {"slow.beta1": 0.9}, r"no number 'slow\.beta1'"),
        (ss.adamw(1e-3), {"lr": float("nan")}, "lr must be a number, not nan"),
        (ss.adamw(1e-3), {"lr": -0.5}, r"lr must be at least 0; got -0\.5"),
        (ss.adamw(1e-3), {"beta1": 1.0}, r"beta1 must be in \[0, 1\); got 1\.0"),
        (ss.adamw(1e-3), {"lr": "big"}, "lr is a number.*got 'big'"),
        (ss.adamw(1e-3), {"lr": None}, "lr is a number.*got None"),
        (ss.adamw(1e-3), {"lr": True}, "lr is a number.*got True"),
        (ss.adamw(1e-3), {"lr": 10**400}, "lr is a number"),
        (ss.adamw(1e-3), {"lr": np.ones(2)}, "lr is a number"),
        (ss.adamw(1e-3), {"lr": abs}, "lr is a number for this one step.*call it"),
    ],
)  # fmt: skip
def test_override_refused(opt, override, message):
    params = {"w": np.ones(3)}
    state = opt.init(params)
    with pytest.raises(HyperparameterError, match=message):
        opt.step(params, params, state, **override)
    with pytest.raises(HyperparameterError, match=message):
        opt.update(params, params, state, **override)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ss.adamw(float("nan")), "lr must be a number, not nan"),
        (lambda: ss.adamw(-1.0), r"lr must be at least 0; got -1\.0"),
        (lambda: ss.adamw(beta2=1.5), r"beta2 must be in \[0, 1\); got 1\.5"),
        (lambda: ss.adamw(weight_decay=float("nan")), "weight_decay must be a number, not nan"),
        (lambda: ss.adamw(learning_rate=0.1), "adamw has no 'learning_rate'; it has 'lr', 'weight_decay'"),
        (lambda: ss.adamw(1e-3, 0.9), "adamw takes 'lr' by position; got 2 values: write the others by name"),
        (lambda: ss.adamw(amsgrad="yes"), "amsgrad must be one of"),
        (lambda: ss.scale_by_adam(beta1="high"), "beta1 is a number"),
        (lambda: ss.decay(), "weight_decay"),
        (lambda: accumulate(0), "k must be at least 1; got 0"),
        (lambda: ss.adamw(b"0.1"), r"lr is a number.*got b'0\.1'"),
        (lambda: ss.adamw(np.array([0.1])), "lr is a number"),
        (lambda: ss.adamw(np.True_), "lr is a number"),
        (lambda: accumulate(2, name="a b"), "the name of a part is a word"),
        (lambda: accumulate(2.5), r"k is an option of type int.*got 2\.5"),
        (lambda: ss.lion(dialect="torch"), "has no 'dialect'"),
        (lambda: ss.adamw(state_dtype="int8"), "has no 'state_dtype'"),
        (lambda: ss.sgd(0.1, nesterov=True), r"need momentum above 0: write sgd\(momentum"),
        (lambda: ss.sgd(0.1, momentum=0.9, dampening=0.1, form="ema"), "dampening needs form='classical'"),
        (lambda: ss.rmsprop(nesterov=True), "nesterov needs momentum above 0"),
        (lambda: ss.lars(dampening=0.1), "dampening needs momentum, lr_inside=False and nesterov=False"),
        (lambda: ss.lars(dampening=0.1, lr_inside=False, nesterov=True), "dampening needs"),
        (lambda: ss.lars(cautious="mean"), "write lr_inside=False"),
        *((lambda root=root: ss.shampoo(root=root), "root must be") for root in (0, True, (2, 0), 2.5, "2")),
        (
            lambda: ss.chain(ss.adamw(0.1, weight_decay=0.1), ss.decay(0.1)),
            r"decoupled_decay\(.*\) stands twice in the",
        ),
        (
            lambda: ss.chain(ss.adam(0.1), ss.sgd(0.1)),
            r"descend\(lr=0\.1\) stands twice in the chain, .*: drop one, or name",
        ),
        (
            lambda: ss.chain(ss.cautious(), ss.adam()),
            "cautious looks at the direction that scale_by_adam, which",
        ),
        *(
            (
                lambda part=part: ss.chain(part, ss.adamw()),
                f"{part.page.__name__} looks at the params that descend, which",
            )
            for part in (ss.ema(0.9), ss.swa(start=2), ss.lookahead(), ss.stochastic_rounding(), ss.monitor())
        ),
    ],
)
def test_construction_refused(build, message):
    with pytest.raises((HyperparameterError, ChainError, TypeError), match=message):
        build()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "lr must be a number, not nan"),
        (-1.0, "lr must be at least 0"),
        (None, "lr is a number"),
        ("x", "lr is a number"),
    ],
)
def test_bad_value_out_of_a_schedule(value, message):
    opt = ss.sgd(lambda count: value if count == 1 else 0.1, momentum=0.9)
    params = {"w": np.ones(3)}
    new, state = opt.step(params, params, opt.init(params))
    before = flat([new, state])
    for donate in (False, True):
        with pytest.raises(HyperparameterError, match=message):
            opt.step(new, params, state, donate=donate)
        assert flat([new, state]) == before
    assert opt.step(new, params, state, lr=0.1)[1]["step"] == 2


def test_missing_lr():
    opt = ss.chain(ss.scale_by_adam(), ss.descend())
    with pytest.raises(HyperparameterError, match=r"no part gives 'lr': write it where it is used, as in descend\(lr="):
        opt.init(np.ones(2))
    p, state = np.ones(2), ss.adam().init(np.ones(2))
    with pytest.raises(HyperparameterError, match="no part gives 'lr'"):
        opt.step(p, p, state)
    assert flat(opt.step(p, p, state, lr=0.1)) == flat(ss.adam(0.1).step(p, p, state))


def test_given_inputs():
    opt, params = ss.chain(scaled_by_loss(), ss.sgd(1.0)), np.array([1.0])
    state = opt.init(params)
    assert state == {"step": 0}
    assert opt.step(params, params, state, loss=0.5)[0] == 0.5
    assert opt.step(params, params, state, loss=np.array(0.25), lr=2.0)[0] == 0.5
    with pytest.raises(HyperparameterError, match=r"needs loss: write step\(params, grads, state, loss=\.\.\.\)"):
        opt.step(params, params, state)
    for wrong in ("low", "0.5", np.array([0.5])):
        with pytest.raises(HyperparameterError, match="loss is a number; got"):
            opt.step(params, params, state, loss=wrong)
    with pytest.raises(HyperparameterError, match="step takes 'loss', 'lr'"):
        opt.step(params, params, state, metric=1.0)
    gain = ss.chain(scaled_by_gain(), ss.sgd(0.25))
    assert gain.step(params, params, state)[0] == 0.5
    assert gain.step(params, params, state, gain=1.0)[0] == 0.75


def test_a_schedule_sees_the_completed_count_and_the_inner_clock():
    seen = []
    opt = ss.chain(accumulate(2), ss.sgd(lambda count: seen.append(count) or 0.1))
    params = np.array([1.0])
    state = opt.init(params)
    for _ in range(4):
        params, state = opt.step(params, np.array([1.0]), state)
    assert seen == [0, 0, 1, 1] and state["step"] == 4


def test_init_calls_only_the_schedules_that_a_slot_needs():
    seen = []
    params = {"a": np.ones(2), "b": np.ones(2)}
    nadam(lambda count: seen.append(count) or 0.1).init(params)
    assert seen == []
    ftrl(lambda count: seen.append(count) or 0.1).init(params)
    assert set(seen) == {0}


def test_shared_between_threads_from_the_first_call():
    opt, expected, found = nadam(1e-2), train(nadam(1e-2)), []
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        found.append(flat(train(opt)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [flat(expected)] * 8


def test_an_override_that_changes_nothing_is_refused():
    params = np.ones(3)
    opt = ss.adagrad(0.1, initial_accumulator=0.1)
    with pytest.raises(
        HyperparameterError, match="'initial_accumulator' cannot be overridden in a step: only init reads"
    ):
        opt.step(params, params, opt.init(params), initial_accumulator=0.3)


def test_the_lr_of_rprop_is_a_start_and_no_schedule():
    with pytest.raises(HyperparameterError, match="lr of rprop is where the steps start"):
        ss.rprop(lambda count: 0.1)
    optimizer, params = ss.rprop(0.1), np.ones(3)
    with pytest.raises(HyperparameterError, match="'lr' cannot be overridden in a step: only init reads"):
        optimizer.step(params, params, optimizer.init(params), lr=0.2)


def test_restart_resets_what_reads_t_with_the_slot_that_was_named():
    """Else a second moment would meet a count of 0: its bias correction would be wrong."""
    params = np.ones(3)
    opt = ss.chain(ss.adam(), ss.lookahead())
    params, state = opt.step(params, params, opt.init(params))
    assert not opt.restart(params, state, reset=["slow"])["v"].any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ss.sgd(cautious="mean"),
        lambda: ss.sgd(momentum=0.9, form="velocity", cautious="count"),
        lambda: ss.rmsprop(momentum=0.9, form="velocity", cautious="none"),
    ],
)
def test_cautious_is_refused_where_there_is_no_direction_to_mask(make):
    with pytest.raises(HyperparameterError, match="cautious masks"):
        make()


def test_lamb_masks_adams_direction_before_decay_and_ratio():
    parts = (ss.scale_by_adam(eps=1e-6), ss.cautious(), ss.add_decay(0.5), ss.trust_ratio(), ss.descend(1e-3))
    assert ss.lamb(weight_decay=0.5, cautious="mean") == ss.chain(*parts)
    with pytest.raises(HyperparameterError, match="cautious must be one of False, 'mean', 'count', 'none'; got 'x'"):
        ss.lamb(cautious="x")


def test_a_variance_that_rounding_makes_negative_is_zero_or_seen():
    """Of a constant gradient, in float32: torch gives nan there."""
    grads, found = np.linspace(0.1, 5, 64, dtype=np.float32), []
    with ss.use_backend("numpy"):
        for clamped in (True, False):
            opt, params = ss.rmsprop(rho=0.9, centered=True, clamp_centered=clamped), np.ones(64, np.float32)
            state = opt.init(params)
            for _ in range(150):
                params, state = opt.step(params, grads, state)
            found.append(params)
    seen = np.isnan(found[1])
    assert seen.any() and np.isfinite(found[0]).all() and (found[0] == found[1])[~seen].all()


def test_restart_takes_names_of_slots():
    opt, p = ss.sgd(0.1, momentum=0.9), np.ones(2)
    for wrong in (3, [3, "m"]):
        with pytest.raises(StateError, match=r"reset names slots of the state, 'm'; got 3"):
            opt.restart(p, opt.init(p), wrong)
