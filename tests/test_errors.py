"""Every misuse has a message with path, rule, value and remedy; a step that fails changes nothing."""

import contextlib

import array_api_strict
import numpy as np
import optree
import pytest

import samestep as ss
from samestep import errors
from samestep.algorithms.nadam import nadam
from samestep.algorithms.shampoo import shampoo
from samestep.errors import (
    BackendError,
    DonationError,
    HyperparameterError,
    LeafError,
    StateError,
    TraceError,
    TreeError,
)

BACKENDS = ["numpy", "automatic"]
backends = pytest.mark.parametrize("backend", BACKENDS)


def on(backend):
    return contextlib.nullcontext() if backend == "automatic" else ss.use_backend(backend)


def tree(k=0):
    rng = np.random.default_rng(k)
    return {"layers": [{"w": rng.normal(size=(2, 3)), "bias": rng.normal(size=3)}], "head": rng.normal(size=4)}


def bits(value):
    return [x.tobytes() if isinstance(x, np.ndarray) else x for x in optree.tree_leaves(value, none_is_leaf=True)]


def replaced(path, value, k=0):
    found = tree(k)
    if path == "head":
        return {**found, "head": value}
    return {**found, "layers": [{**found["layers"][0], path: value}]}


# Params


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (replaced("bias", None), r"leaf 'layers\.0\.bias' of the params is None: give an array, or leave it out"),
        (replaced("bias", 1.0), r"'layers\.0\.bias' of the params is float 1\.0: params are arrays.*numpy\.asarray"),
        (replaced("bias", 3), r"leaf 'layers\.0\.bias' of the params is int 3: params are arrays"),
        (replaced("head", "x"), r"leaf 'head' of the params is str 'x': params are arrays"),
        (replaced("head", iter([1.0])), r"leaf 'head' of the params is list_iterator .*list\(\.\.\.\) makes one"),
        (replaced("head", {1.0}), r"leaf 'head' of the params is set .*register other containers with optree"),
        (replaced("w", np.ones((2, 3), int)), r"'layers\.0\.w' of the params is int64: params are float16.*Convert"),
        (replaced("w", np.ones((2, 3), bool)), r"leaf 'layers\.0\.w' of the params is bool: params are float16"),
        (replaced("w", np.array(["a"])), r"leaf 'layers\.0\.w' of the params is str.*: params are float16"),
        (replaced("w", np.array([None])), r"leaf 'layers\.0\.w' of the params is object: params are"),
        (replaced("w", np.ones(2, np.longdouble)), r"leaf 'layers\.0\.w' of the params is .*: params are"),
        (
            replaced("w", array_api_strict.ones((2, 3))),
            r"leaf 'layers\.0\.w' of the params is an array of array_api_strict, "
            "but the leaves before it are of numpy: all params of one step belong to one library; convert them first",
        ),
        (1.5, r"the leaf \(path ''\) of the params is float 1\.5"),
        (None, r"the leaf \(path ''\) of the params is None"),
    ],
)  # fmt: skip
def test_params_refused(params, message):
    opt = ss.adam()
    for verb in (opt.init, lambda p: opt.step(p, p, {"step": 0}), lambda p: ss.explain(opt, p)):
        with pytest.raises(LeafError, match=message):
            verb(params)
    if "library" not in message:
        with pytest.raises(LeafError, match=message):
            opt.state_bytes(params)


def test_a_leaf_that_the_page_refuses_is_named():
    with pytest.raises(LeafError, match=r"leaf 'deep': shampoo .* up to 5 axes; a leaf has 6"):
        shampoo().init({"flat": np.ones(2), "deep": np.ones((1,) * 6)})

    @ss.direction()
    def first_of(u):
        return {"u": u[0]}

    with pytest.raises(TraceError, match=r"leaf 'flat': in page first_of: a page cannot index a symbol"):
        ss.chain(first_of(), ss.descend(0.1)).init({"flat": np.ones(2)})


# Gradients


@backends
@pytest.mark.parametrize("warm", [False, True], ids=["first", "after a step"])
@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize(
    ("grads", "error", "message"),
    [
        ({"layers": tree()["layers"]}, TreeError, "grads lacks leaf 'head': grads must be a nesting like the params"),
        ({**tree(), "tail": np.ones(1)}, TreeError, "grads has leaf 'tail', which the params lack"),
        ({**tree(), "layers": []}, TreeError, r"grads lacks leaf 'layers\.0\.bias'"),
        ({**tree(), "layers": tuple(tree()["layers"])}, TreeError, "same nesting as the params, containers too"),
        (list(tree().values()), TreeError, "grads lacks leaf 'head'"),
        (None, TreeError, "grads is None: grads must be a nesting like the params"),
        ("grads", TreeError, "grads lacks leaf 'head'"),
        (replaced("head", [np.ones(4)]), TreeError, "grads has a container at leaf 'head', where the params have an"),
        (replaced("head", 1.0), LeafError, r"'head' of the grads is float 1\.0: grads are arrays, or None"),
        (replaced("head", "x"), LeafError, "leaf 'head' of the grads is str 'x'"),
        (replaced("head", np.ones(3)), LeafError, r"leaf 'head': .*shape of its param, \(4,\); got \(3,\): reshape it"),
        (replaced("head", np.ones((4, 1))), LeafError, r"leaf 'head': .*got \(4, 1\)"),
        (replaced("bias", np.ones(3, int)), LeafError, r"'layers\.0\.bias': the gradient is int64; it must be"),
        (replaced("bias", np.ones(3, bool)), LeafError, r"leaf 'layers\.0\.bias': the gradient is bool"),
        (replaced("bias", np.ones(3, complex)), LeafError, r"'layers\.0\.bias': .*float64 and .* complex128: both"),
        (
            replaced("bias", array_api_strict.ones(3)), LeafError,
            r"leaf 'layers\.0\.bias': the param is an array of numpy, its gradient of array_api_strict.*convert",
        ),
    ],
)  # fmt: skip
def test_grads_refused(grads, error, message, donate, warm, backend):
    opt, params = ss.adam(), tree()
    state = opt.init(params)
    with on(backend):
        if warm:
            opt.step(params, tree(), state)
        before = bits([params, state])
        with pytest.raises(error, match=message):
            opt.step(params, grads, state, donate=donate)
        assert bits([params, state]) == before
        assert opt.step(params, tree(), state, donate=donate)[1]["step"] == 1


@backends
def test_other_params_than_the_states(backend):
    opt = ss.adam()
    with on(backend):
        opt.step(tree(), tree(), opt.init(tree()))
        for params, message in (
            (replaced("head", np.ones(5)), r"slot 'm' of leaf 'head' must have shape \(5,\); got \(4,\)"),
            (
                replaced("head", np.ones(4, "f4")),
                "slot 'm' of leaf 'head' must be float32, .* float32 param; got float64",
            ),
            ({**tree(), "tail": np.ones(1)}, "slot 'm' of the state lacks leaf 'tail'"),
        ):
            with pytest.raises((StateError, TreeError), match=message):
                opt.step(params, params, opt.init(tree()))


def test_strict_and_numpy_are_not_mixed():
    opt, strict = ss.adam(), array_api_strict.ones(2)
    with pytest.raises(LeafError, match="the param is an array of array_api_strict, its gradient of numpy"):
        opt.step(strict, np.ones(2), opt.init(strict))
    with pytest.raises(StateError, match="must be an array of array_api_strict, as its param; got numpy"):
        opt.step(strict, strict, opt.init(np.ones(2)))


def test_every_error_is_one_of_ours():
    kinds = [x for x in vars(errors).values() if isinstance(x, type) and issubclass(x, Exception)]
    assert errors.LeafError in kinds and all(issubclass(kind, errors.SamestepError) for kind in kinds)
    assert issubclass(errors.SamestepError, ValueError) and issubclass(TraceError, TypeError)


# Backends


def test_use_backend_refused():
    with (
        pytest.raises(BackendError, match=r"no backend is called 'nunba'; installed are .*'numba', 'numpy'"),
        ss.use_backend("nunba"),
    ):
        pass
    with (
        ss.use_backend("strict"),
        pytest.raises(BackendError, match=r"use_backend\('strict'\): it does not run on ndarray"),
    ):
        ss.adam().step(np.ones(2), np.ones(2), ss.adam().init(np.ones(2)))
    p = np.ones((2, 2))
    with ss.use_backend("numba"), pytest.raises(BackendError, match=r"use_backend\('numba'\): it reduces over axes"):
        shampoo().step(p, p, shampoo().init(p))
    ss.adam().step(np.ones(2), np.ones(2), ss.adam().init(np.ones(2)))  # and the choice is free again


def test_explain_names_the_paths():
    found = ss.explain(ss.groups({"head": ss.freeze()}, default=ss.adam()), tree())
    assert found.backend("layers.0.w") == "numba" and found.backend("head") == ""
    with pytest.raises(TreeError, match=r"no leaf has the path 'heads'; the paths are 'layers\.0\.bias'"):
        found.backend("heads")


# A step that fails changes nothing


class Broken(Exception):
    pass


def raising(count):
    raise Broken


@ss.gradient()
def fails_on_the_way(u):
    """A page whose last stage cannot be computed for values that are not finite."""
    xp = ss.array_namespace(u)
    values, vectors = xp.linalg.eigh(u + u.mT)
    return {"u": xp.matmul(vectors * values, vectors.mT)}


SQUARE = {"a": np.eye(3), "b": np.eye(2), "c": np.ones(4)}
FAILURES = {
    "schedule raises": (nadam(raising), {}, {}, Broken),
    "schedule raises in the second group": (ss.groups({"c": {"lr": raising}}, default=nadam(0.1)), {}, {}, Broken),
    "schedule raises after a total": (
        ss.chain(ss.clip_by_global_norm(1.0), nadam(0.1), ss.decay(raising, name="late")), {}, {}, Broken
    ),
    "schedule gives nan": (nadam(lambda count: float("nan")), {}, {}, HyperparameterError),
    "schedule gives nan in one group": (
        ss.groups({"c": {"lr": lambda count: float("nan")}}, default=nadam(0.1)), {}, {}, HyperparameterError
    ),
    "schedule out of its domain": (nadam(0.1, beta1=lambda count: 1.5), {}, {}, HyperparameterError),
    "unknown override": (nadam(0.1), {}, {"beta": 1}, HyperparameterError),
    "override out of its domain": (nadam(0.1), {}, {"beta1": 2}, HyperparameterError),
    "last gradient has another shape": (nadam(0.1), {"c": np.ones(5)}, {}, LeafError),
    "last gradient is integer": (nadam(0.1), {"c": np.ones(4, int)}, {}, LeafError),
    "the library fails in the last leaf": (
        ss.groups({"c": ss.freeze()}, default=ss.chain(fails_on_the_way(), ss.momentum(0.5), ss.descend(0.1))),
        {"b": np.full((2, 2), 1e100)}, {}, np.linalg.LinAlgError,
    ),
    "the library fails in another group": (
        ss.groups({"b": ss.chain(fails_on_the_way(), ss.momentum(0.5), ss.descend(0.1))}, default=nadam(0.1)),
        {"b": np.full((2, 2), 1e100)}, {}, np.linalg.LinAlgError,
    ),
}  # fmt: skip


@backends
@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("case", FAILURES)
def test_a_failing_step_changes_nothing(case, donate, backend, monkeypatch):
    opt, wrong, overrides, error = FAILURES[case]
    params = {k: v.copy() for k, v in SQUARE.items()}
    good = {k: v.copy() for k, v in SQUARE.items()}
    grads = {**good, **wrong}
    state = {**opt.init(params)}
    before = bits([params, grads, state])
    numbers = {k: v for k, v in state.items() if not isinstance(v, dict)}
    if error is np.linalg.LinAlgError:  # what LAPACK complains of depends on its build; this one does of large numbers
        eigh = np.linalg.eigh

        def picky(x):
            if np.abs(x).max() > 1e50:
                raise np.linalg.LinAlgError("did not converge")
            return eigh(x)

        monkeypatch.setattr(np.linalg, "eigh", picky)
    with on(backend):
        for _ in range(2):
            with pytest.raises(error):
                opt.step(params, grads, state, donate=donate, **overrides)
            assert bits([params, grads, state]) == before
        good_numbers = {"lr": 0.1, "late.weight_decay": 0.1, "beta1": 0.9}
        fine = {k: v for k, v in good_numbers.items() if k in known(opt)}
        twin = optree.tree_map(
            lambda x: x.copy() if isinstance(x, np.ndarray) else x, [params, state], none_is_leaf=True
        )
        new, after = opt.step(params, good, state, donate=donate, **fine)
        expected = opt.step(twin[0], good, twin[1], **fine)
    assert after["step"] == 1 and numbers.items() <= state.items()
    assert bits([new, after]) == bits(list(expected)) != before


def known(opt):
    return {name for chain in opt.chains if chain is not None for name in chain.hypers}


@backends
def test_a_failing_donation_changes_nothing_in_other_leaves(backend):
    opt = nadam(0.1)
    params = {k: v.copy() for k, v in SQUARE.items()}
    params["c"].flags.writeable = False
    state = opt.init(params)
    before = bits([params, state])
    with on(backend):
        with pytest.raises(DonationError, match="param of leaf 'c' is read-only"):
            opt.step(params, SQUARE, state, donate=True)
        assert bits([params, state]) == before
        params["c"].flags.writeable = True
        assert opt.step(params, SQUARE, state, donate=True)[0]["c"] is params["c"]


def test_messages_are_short():
    with pytest.raises(LeafError) as info:
        ss.adam().init({"w": dict.fromkeys(range(1000), 0), "v": [0] * 1000, "u": "x" * 10000})
    assert len(str(info.value)) < 300
    wide = {f"layer{i}": np.ones(1) for i in range(1000)}
    with pytest.raises(errors.ChainError, match=r"\.\.\. \(988 more\)"):
        ss.groups({"*.bias": ss.freeze()}, default=ss.adam()).init(wide)


@pytest.mark.parametrize(
    "bad, message", [(lambda count: None, "gave None: lr is a number"), (lambda count: -1.0, "gave -1.0: lr must")]
)
def test_a_schedule_is_named_with_its_count(bad, message):
    params = np.ones(3)
    opt = ss.sgd(lambda count: 0.1 if count == 0 else bad(count))
    params, state = opt.step(params, params, opt.init(params))
    with pytest.raises(HyperparameterError, match=f"the schedule of lr at count 1 {message}"):
        opt.step(params, params, state)


def test_what_a_schedule_raises_says_where():
    params, opt = np.ones(3), ss.sgd(lambda count: 1 / count)
    with pytest.raises(ZeroDivisionError) as caught:
        opt.step(params, params, opt.init(params))
    assert caught.value.__notes__ == ["in the schedule of lr at count 0"]
