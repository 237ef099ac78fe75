"""Groups: path patterns, what a group may be, and what spans them."""

from collections import namedtuple

import numpy as np
import pytest

import samestep as ss
from samestep.algorithms.nadam import nadam
from samestep.errors import ChainError, HyperparameterError, LeafError, StateError
from samestep.modifiers.accumulate import accumulate

BACKENDS = ["numpy", "numba"]
Layer = namedtuple("Layer", ["weight", "bias"])


def deep():
    rng = np.random.default_rng(1)

    def layer():
        return {"weight": rng.normal(size=(2, 3)), "bias": rng.normal(size=3)}

    return {"encoder": [layer(), layer()], "head": layer(), "bias": rng.normal(size=2)}


def same(a, b):
    return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def stepped(opt, params, grads=None, **overrides):
    return opt.step(params, params if grads is None else grads, opt.init(params), **overrides)


# Patterns


def rates(patterns, params, default=0.0):
    """The lr that each leaf of `params` gets, read off one step of SGD along a gradient of ones."""
    optimizers = {pattern: {"lr": lr} for pattern, lr in patterns.items()}
    opt = ss.groups(optimizers, default=ss.sgd(default))
    ones = {path: np.ones(1) for path in params}
    new, _ = stepped(opt, ones)
    return {path: float(1 - value[0]) for path, value in new.items()}


def test_star_dot_bias_matches_a_bare_bias():
    assert rates({"*.bias": 0.5}, ["bias", "a.bias", "a.b.bias", "bias2", "abias"]) == {
        "bias": 0.5, "a.bias": 0.5, "a.b.bias": 0.5, "bias2": 0.0, "abias": 0.0,
    }  # fmt: skip


def test_star_crosses_dots():
    assert rates({"encoder.*": 0.5}, ["encoder.0.weight", "encoder.1", "encoder", "my.encoder.0"]) == {
        "encoder.0.weight": 0.5, "encoder.1": 0.5, "encoder": 0.0, "my.encoder.0": 0.0,
    }  # fmt: skip
    assert rates({"a.*.w": 0.5}, ["a.b.w", "a.b.c.w", "a.w"]) == {"a.b.w": 0.5, "a.b.c.w": 0.5, "a.w": 0.0}


def test_questions_brackets_and_case():
    assert rates({"layer?.[wv]": 0.5}, ["layer1.w", "layer2.v", "layer12.w", "layer1.x", "Layer1.w"]) == {
        "layer1.w": 0.5, "layer2.v": 0.5, "layer12.w": 0.0, "layer1.x": 0.0, "Layer1.w": 0.0,
    }  # fmt: skip


def test_first_match_wins():
    assert rates({"a.bias": 0.5, "*.bias": 0.25, "a.*": 0.125}, ["a.bias", "b.bias", "a.w", "c"]) == {
        "a.bias": 0.5, "b.bias": 0.25, "a.w": 0.125, "c": 0.0,
    }  # fmt: skip


def test_paths_of_lists_tuples_and_fields():
    params = {"layers": [Layer(np.ones(2), np.ones(1)), (np.ones(3), np.ones(4))]}
    opt = ss.groups({"layers.0.bias": {"lr": 0.5}, "layers.1.1": ss.freeze()}, default=ss.sgd(0.25))
    new, _ = stepped(opt, params)
    assert new["layers"][0].bias[0] == 0.5 and new["layers"][0].weight[0] == 0.75
    assert new["layers"][1][0][0] == 0.75 and new["layers"][1][1][0] == 1.0


def test_bare_array_has_the_empty_path():
    opt = ss.groups({"": {"lr": 0.5}}, default=ss.sgd(0.25))
    assert stepped(opt, np.ones(1))[0] == 0.5


def test_no_match_is_an_error():
    opt = ss.groups({"*.bais": {"lr": 0.5}}, default=ss.sgd(0.25))
    for verb in (opt.init, opt.state_bytes, lambda p: opt.step(p, p, {"step": 0})):
        with pytest.raises(ChainError, match=r"'\*\.bais' matches no leaf; the paths are 'bias', 'encoder\.0"):
            verb(deep())


GROUPS = ss.groups({"b": ss.freeze()}, default=ss.sgd(1.0))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: ss.groups({"a": 0.1}, default=ss.sgd(0.1)), ChainError, r"'a' is an optimizer.* got 0\.1"),
        (lambda: ss.groups({"a": {"lr": 0.1}}, default=0.1), ChainError, r"default of groups is an optim.*got 0\.1"),
        (lambda: ss.groups({}, default=ss.sgd(0.1)), ChainError, "at least one pattern"),
        (lambda: ss.groups({"default": ss.freeze()}, default=ss.sgd(0.1)), ChainError, "none called 'default'"),
        (lambda: ss.groups(["a"], default=ss.sgd(0.1)), ChainError, r"dict of patterns.*got \['a'\]"),
        (lambda: ss.groups({1: ss.freeze()}, default=ss.sgd(0.1)), ChainError, "dict of patterns"),
        (lambda: ss.groups({"a": {"beta": 0.1}}, default=ss.sgd(0.1)), HyperparameterError, "'beta'.* it has 'lr'"),
        (lambda: ss.groups({"a": {"lr": -1.0}}, default=ss.sgd(0.1)), HyperparameterError, "lr must be at least 0"),
        (lambda: ss.groups({"a": {"amsgrad": True}}, default=ss.adam()), HyperparameterError, "changes amsgrad, an"),
        (lambda: ss.groups({"a": GROUPS}, default=ss.sgd(0.1)), ChainError, "inside"),
        (lambda: ss.groups({"a": ss.freeze()}, default=GROUPS), ChainError, "default of other groups"),
        (lambda: ss.chain(GROUPS, ss.cautious()), ChainError, "stand last"),
        (lambda: ss.chain(ss.scale_by_adam(), GROUPS), ChainError, "only gradient parts may stand before groups"),
    ],
)  # fmt: skip
def test_groups_refused(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_a_slot_cannot_be_a_number_here_and_an_array_there():
    @ss.direction(m=0.0)
    def counts(u, m):
        return {"u": u, "m": m + 1}

    with pytest.raises(ChainError, match="'m' is a number in one group and an array in another"):
        ss.groups({"a": ss.chain(counts(), ss.descend(0.1))}, default=ss.sgd(0.1, momentum=0.9))


# What a group may be


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("donate", [False, True])
def test_each_group_is_what_it_would_be_alone(backend, donate):
    params, grads = deep(), deep()
    opt = ss.groups({"*.bias": ss.sgd(0.1, momentum=0.9), "head.*": {"lr": 0.5, "beta1": 0.5}}, default=ss.adamw(0.01))
    alone = {
        "bias": (ss.sgd(0.1, momentum=0.9), lambda p: [p["encoder"][0]["bias"], p["head"]["bias"], p["bias"]]),
        "head": (ss.adamw(0.5, beta1=0.5), lambda p: [p["head"]["weight"]]),
        "rest": (ss.adamw(0.01), lambda p: [p["encoder"][0]["weight"], p["encoder"][1]["weight"]]),
    }
    with ss.use_backend(backend):
        expected = {}
        for name, (single, pick) in alone.items():
            p, g = pick(deep()), pick(grads)
            state = single.init(p)
            for _ in range(3):
                p, state = single.step(p, g, state)
            expected[name] = (p, state)
        state = opt.init(params)
        for _ in range(3):
            params, state = opt.step(params, grads, state, donate=donate)
    for name, (_, pick) in alone.items():
        assert all(map(same, pick(params), expected[name][0]))
        assert all(map(same, pick(state["m"]), expected[name][1]["m"]))
    assert state["v"]["bias"] is None and state["v"]["head"]["bias"] is None
    assert state["v"]["head"]["weight"] is not None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("donate", [False, True])
def test_frozen_leaves_are_left_alone(backend, donate):
    params, grads = deep(), deep()
    weird = np.array([np.nan, -0.0])
    params["bias"] = weird.copy()
    opt = ss.groups({"bias": ss.freeze(), "head.*": ss.freeze()}, default=ss.adamw(0.1, weight_decay=0.5))
    state = opt.init(params)
    assert state["m"]["bias"] is None and state["m"]["head"] == {"weight": None, "bias": None}
    assert opt.state_bytes(params) == sum(2 * leaf.nbytes for layer in params["encoder"] for leaf in layer.values())
    before = params["head"]["weight"].copy()
    with ss.use_backend(backend):
        for _ in range(2):
            params, state = opt.step(params, grads, state, donate=donate)
    assert same(params["bias"], weird) and same(params["head"]["weight"], before)
    assert state["m"]["head"] == {"weight": None, "bias": None} and state["step"] == 2
    grads["encoder"][0]["bias"] = None
    params, state = opt.step(params, grads, state, donate=donate)
    assert state["step"] == {
        "encoder": [{"weight": 3, "bias": 2}, {"weight": 3, "bias": 3}],
        "head": {"weight": None, "bias": None},
        "bias": None,
    }
    params, state = opt.step(params, grads, state)  # and it is taken back
    assert state["step"]["encoder"][0] == {"weight": 4, "bias": 2}
    wrong = {**state, "step": {**state["step"], "bias": 0}}
    with pytest.raises(StateError, match="'step' of the state at leaf 'bias' is None, since the leaf is frozen; got 0"):
        opt.step(params, grads, wrong)


def test_frozen_leaves_need_no_gradient_and_are_checked_all_the_same():
    opt = ss.groups({"b": ss.freeze()}, default=ss.sgd(0.5, momentum=0.5))
    params = {"a": np.ones(2), "b": np.ones(3)}
    new, state = opt.step(params, {"a": np.ones(2), "b": None}, opt.init(params))
    assert state["step"] == 1 and new["a"][0] == 0.5
    with pytest.raises(LeafError, match="'b'"):
        opt.init({"a": np.ones(2), "b": np.ones(3, np.int32)})


def test_all_frozen():
    opt = ss.groups({"*": ss.freeze()}, default=ss.adam())
    params = {"a": np.ones(2)}
    new, state = opt.step(params, params, opt.init(params))
    assert same(new["a"], np.ones(2)) and state["step"] == 1 and state.keys() == {"step"}


def test_schedules_in_groups():
    opt = ss.groups({"b": {"lr": lambda count: 0.25 * count}}, default=ss.sgd(lambda count: 1.0 - 0.5 * count))
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    state = opt.init(params)
    seen = []
    for _ in range(3):
        new, state = opt.step(params, {"a": -np.ones(1), "b": -np.ones(1)}, state)
        seen.append((float(new["a"][0]), float(new["b"][0])))
    assert seen == [(1.0, 0.0), (0.5, 0.25), (0.0, 0.5)]
    assert opt.hyperparameters(2) == {"b": {"lr": 0.5}, "default": {"lr": 0.0}}


# What spans the groups, and what does not


@ss.direction()
def by_total_norm(u):
    xp = ss.array_namespace(u)
    return {"u": u / xp.sqrt(ss.sum_over_params(xp.sum(u * u)))}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clip_before_groups_spans_them_all(backend):
    params = {"a": np.zeros(1), "b": np.zeros(1), "c": np.zeros(1)}
    grads = {"a": np.array([3.0]), "b": np.array([4.0]), "c": np.array([100.0])}
    inner = ss.groups({"b": ss.sgd(0.5, momentum=0.0), "c": ss.freeze()}, default=ss.sgd(1.0))
    with ss.use_backend(backend):
        new, _ = stepped(ss.chain(ss.clip_by_global_norm(1.0), inner), params, grads)
    assert new["a"] == -(3.0 * 0.2) and new["b"] == -0.4 and new["c"] == 0  # a norm of 5: frozen leaves are not in it
    separate = ss.groups({"b": ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(0.5)), "c": ss.freeze()},
                         default=ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(1.0)))  # fmt: skip
    with ss.use_backend(backend):
        new, _ = stepped(separate, params, grads)
    assert new["a"] == -1.0 and new["b"] == -0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_clip_spans_groups_of_different_programs(backend):
    params = {"a": np.zeros(1), "b": np.zeros(1, np.float32)}
    grads = {"a": np.array([3.0]), "b": np.array([4.0], np.float32)}
    inner = ss.groups({"b": ss.chain(ss.momentum(0.5), ss.cautious(), ss.descend(1.0))}, default=ss.sgd(1.0))
    opt = ss.chain(ss.clip_by_global_norm(1.0), inner)
    with ss.use_backend(backend):
        new, _ = stepped(opt, params, grads)
        assert new["a"] == -(3.0 * 0.2) and new["b"] == np.float32(-0.8)
        grads["a"] = None
        assert stepped(opt, params, grads)[0]["b"] == -1.0  # a leaf without a gradient is not in the norm


@pytest.mark.parametrize("backend", BACKENDS)
def test_totals_of_a_group_span_the_group(backend):
    params = {"a": np.zeros(1), "b": [np.zeros(1), np.zeros(1)]}
    grads = {"a": np.array([2.0]), "b": [np.array([3.0]), np.array([4.0])]}
    inside = ss.chain(by_total_norm(), ss.descend(1.0))
    with ss.use_backend(backend):
        new, _ = stepped(ss.groups({"b.*": {"lr": 0.5}}, default=inside), params, grads)
    assert new["a"] == -1.0 and new["b"][0] == -0.3 and new["b"][1] == -0.4


@pytest.mark.parametrize("backend", BACKENDS)
def test_totals_add_up_in_leaf_order(backend):
    values = [1e16, 1.0, 1.0, 1.0, -1e16, 3.0]

    @ss.direction()
    def total(u):
        return {"u": ss.sum_over_params(u) + 0 * u}

    expected = 0.0
    for x in values:
        expected += x
    for dtypes in (["f8"] * 6, ["f8", "f8", "f4", "f8", "f8", "f4"]):
        params = [np.zeros(1, d) for d in dtypes]
        with ss.use_backend(backend):
            new, _ = stepped(ss.chain(total(), ss.descend(1.0)), params, [np.array([x]) for x in values])
        assert [float(-p[0]) for p in new] == [expected] * 6


# The state of groups


def test_number_slots_are_a_dict_by_pattern():
    params = {"a": np.ones(2), "b": np.ones(2), "c": np.ones(2)}
    opt = ss.groups({"a": {"beta1": 0.5}, "b": ss.sgd(0.1)}, default=nadam(0.1))
    state = opt.init(params)
    assert state["mu_product"] == {"a": 1.0, "default": 1.0}
    new, state = opt.step(params, params, state)
    one = {
        beta: nadam(0.1, beta1=beta).step(np.ones(2), np.ones(2), nadam(0.1).init(np.ones(2))) for beta in (0.5, 0.9)
    }
    assert state["mu_product"] == {"a": one[0.5][1]["mu_product"], "default": one[0.9][1]["mu_product"]}
    assert same(new["a"], one[0.5][0]) and same(new["c"], one[0.9][0])
    state["mu_product"] = {k: np.array(v) for k, v in state["mu_product"].items()}
    assert type(opt.step(params, params, state)[1]["mu_product"]["a"]) is float
    for wrong in (1.0, {"a": 1.0}, {"a": 1.0, "b": 1.0, "default": 1.0}, None):
        with pytest.raises(StateError, match="'mu_product' of the state is a dict by pattern with 'a', 'default'"):
            opt.step(params, params, {**state, "mu_product": wrong})


def test_a_front_part_keeps_its_slots_for_all_groups():
    params = {"a": np.zeros(1), "b": np.zeros(1)}
    opt = ss.chain(accumulate(2), ss.groups({"b": ss.freeze()}, default=ss.sgd(1.0)))
    state = opt.init(params)
    assert state["acc"]["b"] is None
    params, state = opt.step(params, {"a": np.array([1.0]), "b": np.ones(1)}, state)
    params, state = opt.step(params, {"a": np.array([3.0]), "b": np.ones(1)}, state)
    assert params["a"] == -2.0 and params["b"] == 0


def test_pure_and_donated_are_the_same_bits():
    opt = ss.chain(
        ss.clip_by_global_norm(1.0), ss.groups({"*.bias": nadam(0.1), "head.*": ss.freeze()}, default=ss.lion(0.1))
    )
    runs = []
    for donate in (False, True):
        params, grads = deep(), deep()
        state = opt.init(params)
        for k in range(4):
            grads["encoder"][0]["bias"] = None if k == 1 else np.ones(3)
            params, state = opt.step(params, grads, state, donate=donate)
        runs.append((params, state))
    (p, s), (q, r) = runs
    assert s["step"] == r["step"] and s["mu_product"] == r["mu_product"]
    assert all(map(same, p["encoder"][0].values(), q["encoder"][0].values()))
    assert all(map(same, s["m"]["encoder"][0].values(), r["m"]["encoder"][0].values()))


def test_a_nested_chain_over_groups_spans_them_too():
    """Flattened: the clip inside is not one for each group."""
    grouped = ss.groups({"a": ss.sgd(1.0)}, default=ss.sgd(1.0))
    params, grads = {"a": np.zeros(1), "b": np.zeros(1)}, {"a": np.array([-3.0]), "b": np.array([-4.0])}
    flat = ss.chain(ss.negate(), ss.clip_by_global_norm(1.0), grouped)
    nested = ss.chain(ss.negate(), ss.chain(ss.clip_by_global_norm(1.0), grouped))
    for optimizer in (flat, nested):
        new, _ = optimizer.step(params, grads, optimizer.init(params))
        assert np.allclose([new["a"][0], new["b"][0]], [-0.6, -0.8])
