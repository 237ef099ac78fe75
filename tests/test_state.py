"""The state: its layout, its counts, what is accepted and what is refused."""

import contextlib
import copy
import pickle

import array_api_strict
import numpy as np
import optree
import pytest
from array_api_compat import array_namespace

import samestep as ss
from samestep.algorithms.adafactor import adafactor
from samestep.algorithms.ftrl import ftrl
from samestep.algorithms.nadam import nadam
from samestep.errors import LeafError, StateError, TreeError


def on(backend):
    """The context of a backend; "automatic" leaves the choice to samestep: Numba, where it does not refuse."""
    return contextlib.nullcontext() if backend == "automatic" else ss.use_backend(backend)


BACKENDS = ["numpy", "automatic"]
OPTIMIZERS = {
    "sgd": ss.sgd(0.1),
    "adam": ss.adam(0.1),
    "amsgrad": ss.adamw(0.1, amsgrad=True),
    "nadam": nadam(0.1),
    "adafactor": adafactor(),
    "ftrl": ftrl(0.1),
    "clipped": ss.chain(ss.clip_by_global_norm(0.5), nadam(0.1, cautious="mean")),
}
each = pytest.mark.parametrize("opt", OPTIMIZERS.values(), ids=OPTIMIZERS)


def tree(seed=0):
    rng = np.random.default_rng(seed)
    return {"a": rng.normal(size=(3, 4)), "b": [rng.normal(size=5), rng.normal(size=2).astype("f4")]}


def bits(value):
    return [x.tobytes() if isinstance(x, np.ndarray) else x for x in optree.tree_leaves(value, none_is_leaf=True)]


def train(opt, params, state, steps, donate=False, first=0):
    for seed in range(first, first + steps):
        params, state = opt.step(params, tree(seed), state, donate=donate)
    return params, state


# Layout


def test_layout():
    params = {"w": np.ones((2, 3), np.float16), "rest": (np.ones(2), [np.ones((), np.float32)])}
    state = nadam(0.1).init(params)
    assert list(state) == ["step", "m", "v", "mu_product"]
    assert state["step"] == 0 and type(state["step"]) is int
    assert state["mu_product"] == 1.0 and type(state["mu_product"]) is float
    for slot in ("m", "v"):
        assert type(state[slot]["rest"]) is tuple and type(state[slot]["rest"][1]) is list
        leaves = optree.tree_leaves(state[slot])
        assert [x.dtype for x in leaves] == [np.float64, np.float32, np.float32]  # in the order of the keys
        assert [x.shape for x in leaves] == [(2,), (), (2, 3)]
    assert all(not isinstance(x, str) for x in optree.tree_leaves(state))


def test_layout_of_a_bare_array():
    state = ss.adam().init(np.ones(2))
    assert list(state) == ["step", "m", "v"] and type(state["m"]) is np.ndarray


def test_layout_of_rows_and_columns():
    state = adafactor().init({"w": np.ones((2, 3, 4), np.float32), "b": np.ones(4, np.float32)})
    assert state["rows"]["w"].shape == (2, 3, 1) and state["cols"]["w"].shape == (2, 1, 4)
    assert state["rows"]["b"] is None and state["v"]["w"] is None and state["v"]["b"].shape == (4,)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 3)])
def test_an_empty_matrix_has_no_means_of_nothing(shape):
    opt, params = adafactor(), {"w": np.ones(shape), "x": np.ones((2, 3))}
    new, state = opt.step(params, params, opt.init(params))
    assert state["v"]["w"].shape == shape and state["rows"]["w"] is None and np.all(np.isfinite(new["x"]))
    assert not any(np.isnan(x).any() for x in optree.tree_leaves(state))


def test_slots_that_no_step_needs_are_left_out():
    assert list(ss.adam().init(np.ones(2))) == ["step", "m", "v"]
    assert list(ss.adam(amsgrad=True).init(np.ones(2))) == ["step", "m", "v", "v_max"]
    assert list(ss.sgd(0.1).init(np.ones(2))) == ["step"]
    assert list(ss.sgd(0.1, momentum=0.9).init(np.ones(2))) == ["step", "m"]


def test_slots_start_as_the_page_says():
    params = np.array([2.0, -1.0])
    state = ftrl(0.5, initial_accumulator=4.0).init(params)
    np.testing.assert_array_equal(state["n"], [4.0, 4.0])
    np.testing.assert_array_equal(state["z"], [-8.0, 4.0])  # -sqrt(4) / 0.5 p
    assert state["lr_prev"] == 0.5
    assert ftrl(lambda count: 0.25 + count).init(params)["lr_prev"] == 0.25


@each
def test_the_first_state_shares_no_memory(opt):
    params = tree()
    arrays = [x for x in optree.tree_leaves([params, opt.init(params)]) if isinstance(x, np.ndarray)]
    assert not any(np.shares_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])


@pytest.mark.parametrize("view", [lambda p: p, lambda p: p[::-1]])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_a_slot_that_starts_as_a_view_is_copied(view, dtype):
    """`view` runs on arrays when the state is made, on a symbol when the page is traced."""

    def start(p):
        return view(p) if isinstance(p, np.ndarray) else 0 * p

    @ss.direction(first=start)
    def from_the_start(u, p, first):
        return {"u": u, "first": first + u}

    params = np.arange(1.0, 4.0).astype(dtype)
    found = ss.chain(from_the_start(), ss.descend(0.1)).init(params)["first"]
    assert np.array_equal(found, view(params)) and not np.shares_memory(found, params)


# Interchange


@pytest.mark.parametrize("backend", BACKENDS)
def test_adam_and_adamw_take_each_others_state(backend):
    with on(backend):
        params, state = train(ss.adam(0.1), tree(9), ss.adam(0.1).init(tree(9)), 3)
        twin, other = train(ss.adamw(0.1, weight_decay=0.0), tree(9), ss.adamw(0.1).init(tree(9)), 3)
        assert bits(state) == bits(other)
        one = ss.adamw(0.1).step(params, tree(5), state)
        assert bits(one) == bits(ss.adamw(0.1).step(twin, tree(5), other))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))], ids=["copied", "pickled"])
@each
def test_resumes_with_the_same_bits(opt, backend, again):
    with on(backend):
        params, state = train(opt, tree(9), opt.init(tree(9)), 3)
        kept = again((params, state))
        expected = train(opt, params, state, 3, first=3)
        assert bits(train(again(opt), *again(kept), 3, first=3)) == bits(expected)
        assert bits(train(opt, *kept, 3, donate=True, first=3)) == bits(expected)


# Counts


@pytest.mark.parametrize("donate", [False, True])
def test_the_count_is_a_nesting_from_the_first_none_on(donate):
    opt, params = ss.adam(0.1), tree()
    params, state = train(opt, params, opt.init(params), 2, donate)
    assert state["step"] == 2
    grads = {"a": None, "b": [tree()["b"][0], None]}
    params, state = opt.step(params, grads, state, donate=donate)
    assert state["step"] == {"a": 2, "b": [3, 2]}
    assert all(type(n) is int for n in optree.tree_leaves(state["step"]))
    params, state = opt.step(params, tree(), state, donate=donate)
    assert state["step"] == {"a": 3, "b": [4, 3]}
    assert opt.restart(params, state)["step"] == 0


def test_no_gradient_at_all_changes_nothing():
    opt, params = nadam(0.1), tree()
    params, state = train(opt, params, opt.init(params), 2)
    before = bits([params, state])
    none = {"a": None, "b": [None, None]}
    for donate in (False, True):
        assert bits(opt.step(params, none, state, donate=donate)) == before
    bare = np.ones(2)
    assert bits(opt.step(bare, None, opt.init(bare))) == bits((bare, opt.init(bare)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("name", ["sgd", "adam", "amsgrad", "nadam", "adafactor", "ftrl"])
def test_a_leaf_that_wakes_late_starts_then(name, backend, donate):
    opt = OPTIMIZERS[name]
    scheduled = ss.chain(opt, ss.decay(lambda count: 0.1 * (count == 0), name="own"))
    for optimizer in (opt,) if name == "ftrl" else (opt, scheduled):
        early, late = tree(1)["a"], tree(2)["a"]
        with on(backend):
            params = {"early": early.copy(), "late": late.copy()}
            state = optimizer.init(params)
            for k in range(7):
                grads = {"early": tree(k)["a"], "late": tree(k)["a"] if k >= 4 else None}
                params, state = optimizer.step(params, grads, state, donate=donate)
            for path, start, first in (("early", early, 0), ("late", late, 4)):
                p, s = start, optimizer.init(start)
                for k in range(first, 7):
                    p, s = optimizer.step(p, tree(k)["a"], s)
                assert bits(params[path]) == bits(p)
                for slot, value in s.items():
                    whole = state[slot] if isinstance(state[slot], dict) else {path: state[slot]}
                    assert bits(whole[path]) == bits(value), slot


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("inner", [ss.adam(0.1), nadam(0.1), ss.sgd(lambda count: 1.0 / (1 + count))])
def test_skipped_steps_count_for_no_leaf_and_sleep_for_one(backend, inner):
    """`o`: a gradient, `x`: one that is not finite, `-`: none."""
    opt, one = ss.chain(ss.skip_nonfinite(), inner), inner
    pattern = {"a": "oxooxo", "b": "oo--oo", "c": "-o-oo-"}
    with on(backend):
        params = {key: np.ones(2) for key in pattern}
        state = opt.init(params)
        for k in range(6):
            what = {"o": np.full(2, 1.0 + k), "x": np.full(2, np.nan), "-": None}
            params, state = opt.step(params, {key: what[row[k]] for key, row in pattern.items()}, state)
        assert (state["bad"], state["nonfinite"]) == (0.0, 2.0)
        for key, row in pattern.items():
            p, s = np.ones(2), one.init(np.ones(2))
            for k in range(6):
                if row[k] == "o" and pattern["a"][k] != "x":
                    p, s = one.step(p, np.full(2, 1.0 + k), s)
            assert bits(params[key]) == bits(p) and state["good"][key] == s["step"], key


def test_restart_takes_along_the_slots_that_a_clock_is_made_of():
    opt = ss.chain(ss.skip_nonfinite(), ss.adam(0.1))
    params, state = train(opt, tree(), opt.init(tree()), 3)
    found = opt.restart(params, state, reset=["m"])
    assert found["good"] == found["step"] == 0 and bits(found["v"]) == bits(opt.init(params)["v"])


@pytest.mark.parametrize("name", ["adam", "nadam", "clipped"])
def test_sleeping_leaves_take_the_quick_look(name, monkeypatch):
    """The second step of a pattern of sleepers, and steps of nested counts, look at no leaf by itself."""
    opt, careful = OPTIMIZERS[name], ss.step.careful
    looks = []
    monkeypatch.setattr(ss.step, "careful", lambda *args: looks.append(1) or careful(*args))
    some = {"a": None, "b": tree()["b"]}
    for donate in (False, True):
        params, state = train(opt, tree(), opt.init(tree()), 2, donate)
        params, state = opt.step(params, some, state, donate=donate)
        params, state = opt.step(params, tree(), state, donate=donate)
        looks.clear()
        for grads in (some, some, tree(), tree(), some):
            params, state = opt.step(params, grads, state, donate=donate)
        assert state["step"] == {"a": 5, "b": [9, 9]} and not looks
        broken = {**state, "m": {"a": state["m"]["a"][:1], "b": state["m"]["b"]}}
        with pytest.raises(StateError, match="slot 'm' of leaf 'a' must have shape"):
            opt.step(params, some, broken, donate=donate)
        tied = {**state, "m": {**state["m"], "a": params["b"][0].repeat(3)[:12].reshape(3, 4)}}
        opt.step(params, some, tied)
        looks.clear()
    view = params["b"][1].view()
    overlapping = {**state, "v": {"a": state["v"]["a"], "b": [state["v"]["b"][0], view]}}
    with pytest.raises(ss.errors.DonationError, match="overlap in memory"):
        opt.step(params, some, overlapping, donate=True)


def test_numbers_of_leaves_that_have_none_are_refused():
    opt = ss.groups({"a": ss.freeze()}, default=nadam(0.1))
    params = tree()
    state = opt.init(params)
    nested = {**state, "mu_product": {"default": {"a": 1.0, "b": [1.0, 1.0]}}}
    with pytest.raises(StateError, match="'mu_product' of the state at leaf 'a' must be None"):
        opt.step(params, params, nested)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("donate", [False, True])
def test_none_leaves_a_leaf_as_it_is(backend, donate):
    opt, params = OPTIMIZERS["amsgrad"], tree()
    with on(backend):
        params, state = train(opt, params, opt.init(params), 2)
        before = [params["b"][0].copy(), *(state[slot]["b"][0].copy() for slot in ("m", "v", "v_max"))]
        new, after = opt.step(params, {"a": tree()["a"], "b": [None, tree()["b"][1]]}, state, donate=donate)
    found = [new["b"][0], *(after[slot]["b"][0] for slot in ("m", "v", "v_max"))]
    assert bits(found) == bits(before) and bits(new["a"]) != bits(tree()["a"])
    assert (new["b"][0] is params["b"][0]) == donate


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_later_donation_does_not_reach_an_old_state(backend):
    opt, params = OPTIMIZERS["amsgrad"], tree()
    with on(backend):
        params, state = train(opt, params, opt.init(params), 2)
        before = bits([params, state])
        new, after = opt.step(params, {"a": tree()["a"], "b": [None, None]}, state)
        assert bits(new["b"]) == bits(params["b"])
        opt.step(new, tree(), after, donate=True)
    assert bits([params, state]) == before


# What is accepted


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, lambda n: np.array(n, np.int32)])
def test_counts_of_other_kinds(kind, backend):
    opt, params = ss.adam(0.1), tree()
    with on(backend):
        params, state = train(opt, params, opt.init(params), 2)
        expected = opt.step(params, tree(7), state)
        found = opt.step(params, tree(7), {**state, "step": kind(2)})
        assert bits(found) == bits(expected) and type(found[1]["step"]) is int
        nested = opt.step(params, tree(7), {**state, "step": {"a": kind(2), "b": [2, kind(2)]}})
        assert bits(nested[0]) == bits(expected[0]) and nested[1]["step"] == {"a": 3, "b": [3, 3]}


def test_counts_of_another_library():
    params = array_api_strict.asarray([1.0, 2.0])
    opt = ss.adam(0.1)
    _, state = opt.step(params, params, {**opt.init(params), "step": array_api_strict.asarray(0)})
    assert state["step"] == 1 and type(state["step"]) is int


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [np.float64, np.array, lambda x: array_api_strict.asarray(x)])
def test_number_slots_of_other_kinds(kind, backend):
    opt, params = nadam(0.1), tree()
    with on(backend):
        params, state = train(opt, params, opt.init(params), 2)
        expected = opt.step(params, tree(7), state)
        found = opt.step(params, tree(7), {**state, "mu_product": kind(state["mu_product"])})
    assert bits(found) == bits(expected) and type(found[1]["mu_product"]) is float


# What is refused


def bad_states():
    good = nadam(0.1).init(tree())
    m = good["m"]
    slot = "slot 'm' of leaf 'b.0' must"
    nest = {"a": 1.0, "b": [1.0, 1.0]}
    return {
        "missing": (
            {k: v for k, v in good.items() if k != "v"},
            r"another optimizer: it lacks 'v'\. Make one with init",
        ),
        "extra": ({**good, "w": 1}, r"it has 'w' too many\. Make one with init"),
        "other": (ss.adam().init(tree()), "lacks 'mu_product'"),
        "amsgrad": (OPTIMIZERS["amsgrad"].init(tree()), "lacks 'mu_product' and has 'v_max' too many"),
        "string": ("state", "the state is the dict that init .* got str 'state'"),
        "none": (None, "got NoneType"),
        "tuple": ((tree(), good), "got tuple"),
        "lacks": ({**good, "m": {"b": m["b"]}}, "slot 'm' of the state lacks leaf 'a'"),
        "more": ({**good, "m": {**m, "c": m["a"]}}, "slot 'm' of the state has leaf 'c', which the params lack"),
        "container": ({**good, "m": {"a": m["a"], "b": tuple(m["b"])}}, "same nesting as the params, containers too"),
        "deeper": ({**good, "m": {"a": [m["a"]], "b": m["b"]}}, "slot 'm' of the state has a container at leaf 'a'"),
        "none slot": ({**good, "m": {"a": m["a"], "b": [None, m["b"][1]]}}, slot + r" be an array of numpy.*got None"),
        "float slot": ({**good, "m": {"a": m["a"], "b": [0.0, m["b"][1]]}}, slot + r" be an array of numpy.*float"),
        "shape": (
            {**good, "m": {"a": m["a"], "b": [np.zeros(4), m["b"][1]]}},
            slot + r" have shape \(5,\); got \(4,\)",
        ),
        "dtype": (
            {**good, "m": {"a": m["a"], "b": [np.zeros(5, "f4"), m["b"][1]]}},
            slot + " be float64, the compute dtype of a float64 param; got float32",
        ),
        "integers": ({**good, "m": {"a": m["a"], "b": [np.zeros(5, int), m["b"][1]]}}, slot + " be float64.*got int64"),
        "library": (
            {**good, "m": {"a": m["a"], "b": [array_api_strict.zeros(5), m["b"][1]]}},
            slot + " be an array of numpy, as its param; got array_api_strict",
        ),
        "count string": ({**good, "step": "3"}, "'step' of the state is an int, or a nesting of ints .* got '3'"),
        "count float": ({**good, "step": 3.0}, r"'step' of the state is an int.*got 3\.0"),
        "count bool": ({**good, "step": True}, "'step' of the state is an int.*got True"),
        "count none": ({**good, "step": None}, "'step' of the state is an int.*got None"),
        "count below 0": ({**good, "step": -1}, "'step' of the state counts completed steps.*at least 0; got -1"),
        "count array": ({**good, "step": np.zeros(2, int)}, "'step' of the state is an int"),
        "counts": (
            {**good, "step": {"a": 1, "b": [1, 1.5]}},
            r"'step' of the state at leaf 'b\.1' is an int; got 1\.5",
        ),
        "counts none": ({**good, "step": {"a": 1, "b": [1, None]}}, r"at leaf 'b\.1' is an int; got None"),
        "counts below": ({**good, "step": {"a": 1, "b": [1, -2]}}, r"at leaf 'b\.1' counts completed.*got -2"),
        "counts lack": ({**good, "step": {"a": 1}}, r"'step' of the state lacks leaf 'b\.0'"),
        "number": ({**good, "mu_product": "x"}, "slot 'mu_product' of the state is a number; got 'x'"),
        "number none": ({**good, "mu_product": None}, "slot 'mu_product' of the state is a number; got None"),
        "number array": ({**good, "mu_product": np.ones(1)}, "slot 'mu_product' of the state is a number"),
        "numbers": ({**good, "mu_product": {**nest, "b": [1.0, None]}}, r"is a number at leaf 'b\.1'; got None"),
        "numbers text": ({**good, "mu_product": {**nest, "a": "x"}}, r"is a number at leaf 'a'; got 'x'"),
        "numbers lack": ({**good, "mu_product": {"a": 1.0}}, r"slot 'mu_product' of the state lacks leaf 'b\.0'"),
        "other params": (
            nadam(0.1).init({"a": np.zeros((4, 3)), "b": tree()["b"]}),
            r"'m' of leaf 'a' must have shape \(3, 4\)",
        ),
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("warm", [False, True], ids=["first", "after a step"])
@pytest.mark.parametrize("case", bad_states())
def test_state_refused(case, warm, backend):
    state, message = bad_states()[case]
    opt, params = nadam(0.1), tree()
    good = opt.init(params)
    with on(backend):
        if warm:
            opt.step(params, tree(), good)
        before = bits([params, good])
        for donate in (False, True):
            with pytest.raises((StateError, TreeError), match=message):
                opt.step(params, tree(), state, donate=donate)
        assert bits([params, good]) == before
        assert opt.step(params, tree(), good)[1]["step"] == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_refused_after_a_step_with_one_dtype(backend):
    """The same, where the plan of the last step may be taken again without a look."""
    opt, params = ss.adam(0.1), {"a": np.ones(3), "b": np.ones(2)}
    with on(backend):
        _, state = opt.step(params, params, opt.init(params))
        for bad in (np.ones(3), np.ones(2, np.float32), None, 1.0, "m", [np.ones(2)], np.ones(2, int)):
            with pytest.raises((StateError, TreeError), match=r"'b'|'b\.0'"):
                opt.step(params, params, {**state, "m": {"a": np.ones(3), "b": bad}})
        for bad in (-1, 1.0, "1", {"a": 1}, [1, 1]):
            with pytest.raises((StateError, TreeError), match="'step' of the state"):
                opt.step(params, params, {**state, "step": bad})
        with pytest.raises(StateError, match="lacks 'm' and has 'n' too many"):
            opt.step(params, params, {"step": 1, "n": state["m"], "v": state["v"]})


@ss.direction(size=ss.scalar(0.0), m=ss.zeros)
def by_running_norm(u, size, m):
    xp = array_namespace(u)
    size = size + xp.sum(u * u)
    return {"u": u / xp.sqrt(size), "size": size, "m": m + u}


@pytest.mark.parametrize("dtype", ["complex64", "complex128", "float16", "float32"])
@pytest.mark.parametrize("donate", [False, True])
def test_a_scalar_slot_is_real(dtype, donate):
    opt = ss.chain(by_running_norm(), ss.descend(1.0))
    params = np.zeros(3, dtype)
    state = opt.init(params)
    assert opt.state_bytes(params) == state["size"].nbytes + state["m"].nbytes
    for _ in range(2):
        params, state = opt.step(params, np.array([3, 0, 4]).astype(dtype), state, donate=donate)
    assert state["size"].dtype == ("f8" if dtype == "complex128" else "f4") and state["size"] == 50
    assert state["m"].dtype == (dtype if "c" in dtype else "f4") and np.isclose(
        params[2], -0.8 - 4 / 50**0.5, rtol=1e-3
    )


@pytest.mark.parametrize("part", ["param", "gradient", "slot"])
def test_masked_arrays_are_refused(part):
    opt, plain = ss.sgd(0.1, momentum=0.9), np.ones(2)
    masked = np.ma.array([1.0, 2.0], mask=[0, 1])
    given = {"param": (masked, plain, {"step": 0, "m": plain}), "gradient": (plain, masked, {"step": 0, "m": plain}),
             "slot": (plain, plain, {"step": 0, "m": masked})}  # fmt: skip
    for _ in range(2):
        with pytest.raises(LeafError, match=r"masked array, whose mask a step would drop: pass array\.filled"):
            opt.step(*given[part])
        opt.step(plain, plain, {"step": 0, "m": np.zeros(2)})


def test_a_slot_of_a_frozen_leaf_is_none_however_often():
    opt = ss.groups({"b": ss.freeze()}, default=ss.adam())
    params = {"a": np.ones(2), "b": np.ones(2)}
    state = opt.init(params)
    for _ in range(3):
        with pytest.raises(StateError, match="slot 'm' of leaf 'b' must be None"):
            opt.step(params, params, {**state, "m": {"a": np.zeros(2), "b": np.zeros(2)}})
        opt.step(params, params, state)
