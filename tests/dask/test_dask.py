"""Dask: the bits of NumPy block by block, and nothing computed before it is asked for."""

import dask
import dask.array as da
import numpy as np
import pytest

import samestep as ss
from samestep_conformance import checks
from samestep_conformance.golden.families import CASES

SHAPES = {"matrix": (6, 4), "bias": (7,), "scalar": (), "empty": (0, 3)}
NAMES = ("adamw", "lion_cautious", "clip_adamw", "lamb", "ftrl_l1_l2", "nadam", "radam", "skip_nonfinite", "lookahead")
OPTIMIZERS = {case.name: case.ours(ss) for case in CASES if case.name in NAMES}
MATRICES = {"adafactor": ss.adafactor(1e-2), "muon": ss.muon(1e-2), "shampoo": ss.shampoo(1e-2)}


class Computed(AssertionError):
    """A graph was run."""


def forbidden(graph, keys, **kwargs):
    raise Computed(f"{len(keys)} keys were computed")


def lazily(arrays, chunks=5):
    return {name: da.from_array(x, chunks=chunks) for name, x in arrays.items()}


def side_by_side(optimizer, shapes, steps, dtype="float32"):
    """Dask's params and state after each step, beside NumPy's."""
    ours = theirs = checks.params(dtype, shapes)
    ours = lazily(ours)
    with ss.use_backend("numpy"):
        expected = optimizer.init(theirs)
    with dask.config.set(scheduler=forbidden):
        state = optimizer.init(ours)
    for t in range(1, steps + 1):
        grads = checks.gradients(dtype, shapes)(t)
        with ss.use_backend("numpy"):
            theirs, expected = optimizer.step(theirs, grads, expected)
        with dask.config.set(scheduler=forbidden):
            ours, state = optimizer.step(ours, lazily(grads), state)
        ours, state = dask.persist(ours, state)
        yield dask.compute((ours, state))[0], (theirs, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy warns in Dask's threads when a graph is computed
def test_same_bits_and_nothing_computed(name, dtype):
    for found, expected in side_by_side(OPTIMIZERS[name], SHAPES, 4, dtype):
        flat, wanted = ss.optimizer.trees.flatten(found)[0], ss.optimizer.trees.flatten(expected)[0]
        for a, b in zip(flat, wanted, strict=True):
            assert checks.identical(np.asarray(a), np.asarray(b, np.asarray(a).dtype))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_count_that_is_not_known_has_the_powers_of_one_that_is():
    """NumPy's 0.999 ** 7 of arrays is not Python's."""
    *_, (found, expected) = side_by_side(OPTIMIZERS["skip_nonfinite"], {"bias": (7,)}, 8, "float64")
    checks.equal(found[0], expected[0], 8, "params")


@pytest.mark.parametrize("name", ["dog", "nadam"])
def test_a_number_in_the_state_while_a_leaf_sleeps(name):
    """One of all leaves stays one number; one of each leaf's own steps does not."""
    optimizer = next(case.ours(ss) for case in CASES if case.name == name)
    checks.wakes_late(optimizer, "dask", dtype="float64")


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_matrices_within_rounding(name):
    for (params, _), (expected, _) in side_by_side(MATRICES[name], {"matrix": (6, 4), "bias": (7,)}, 3, "float64"):
        for leaf, x in expected.items():
            np.testing.assert_allclose(params[leaf], x, rtol=1e-9, atol=1e-9)


def test_blocks_stay_as_they_are():
    optimizer, params = ss.adamw(1e-2), {"w": da.ones((10, 6), chunks=(4, 3), dtype="float32")}
    state = optimizer.init(params)
    params, state = optimizer.step(params, params, state)
    assert params["w"].chunks == state["m"]["w"].chunks == ((4, 4, 2), (3, 3))
    assert state["step"] == 1 and params["w"].dtype == np.float32


def test_what_no_gate_depends_on_stays_a_number():
    optimizer, params = ss.nadam(1e-2), da.ones(3)
    _, state = optimizer.step(params, params, optimizer.init(params))
    assert type(state["step"]) is int and type(state["mu_product"]) is float


def test_a_leaf_that_wakes_late_counts_for_itself():
    optimizer = ss.adam(1e-1)
    params = lazily({"a": np.ones(3), "b": np.ones(3)})
    state = optimizer.init(params)
    params, state = optimizer.step(params, {"a": da.ones(3), "b": None}, state)
    params, state = optimizer.step(params, lazily({"a": np.ones(3), "b": np.ones(3)}), state)
    assert state["step"] == {"a": 2, "b": 1}
    alone = {"b": np.ones(3)}
    expected, _ = optimizer.step(alone, {"b": np.ones(3)}, optimizer.init(alone))
    assert np.array_equal(params["b"].compute(), expected["b"])


def test_update_and_eval_params_are_lazy_too():
    optimizer = ss.chain(ss.sgd(0.5), ss.lookahead(k=2))
    params = da.ones(4)
    state = optimizer.init(params)
    with dask.config.set(scheduler=forbidden):
        deltas, after = optimizer.update(params, params, state)
        slow = optimizer.eval_params(params, after)
        optimizer.restart(params, after)
    assert np.array_equal(deltas.compute(), np.full(4, -0.5)) and np.array_equal(slow.compute(), np.ones(4))


def test_explain_says_dask():
    assert ss.explain(ss.adamw(), {"w": da.ones(3)}).backend("w") == "dask"
