"""A donated step that finds its arrays where they were takes the tables of the last one; what has changed, it sees."""

import copy

import numpy as np
import optree
import pytest

import samestep as ss
from samestep.errors import DonationError, LeafError
from samestep_numba import compiled
from samestep_numba.threads import use_threads

SHAPES = {"a": (70_001,), "b": (3, 5)}


def tree(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape) for name, shape in SHAPES.items()}


def sight(optimizer):
    return optimizer.stepper.recent[0].sight


@pytest.fixture(params=[1, 3], ids=["one thread", "three threads"])
def steady(request, monkeypatch):
    """An optimizer after donated steps on the same arrays."""
    monkeypatch.setattr(compiled, "BREAK_EVEN", 0)
    optimizer, params, grads = ss.adamw(0.01), tree(0), tree(1)
    with ss.use_backend("numba"), use_threads(request.param):
        state = optimizer.init(params)
        for _ in range(3):
            params, state = optimizer.step(params, grads, state, donate=True)
        assert sight(optimizer).steady is not None
        yield optimizer, params, grads, state


def same_as_numpy(optimizer, params, grads, state, donate=True):
    trees = copy.deepcopy((params, grads, state))
    with ss.use_backend("numpy"):
        wanted = ss.adamw(0.01).step(*trees)
    found = optimizer.step(params, grads, state, donate=donate)
    for a, b in zip(optree.tree_leaves(found), optree.tree_leaves(wanted), strict=True):
        assert np.array_equal(a, b)


def test_the_tables_are_taken_again(steady):
    optimizer, *_ = steady
    before = sight(optimizer).steady
    same_as_numpy(*steady)
    assert sight(optimizer).steady is before


def test_a_pure_step_between_leaves_them_alone(steady):
    optimizer, *_ = steady
    before = sight(optimizer).steady
    tables = [table.copy() for table in before[1]]
    same_as_numpy(*steady, donate=False)
    assert sight(optimizer).steady is before and all(map(np.array_equal, before[1], tables))


@pytest.mark.parametrize("which", ["params", "grads", "slots of other leaves", "slots of one leaf"])
def test_arrays_that_lie_elsewhere(steady, which):
    optimizer, params, grads, state = steady
    if which == "params":
        params["b"] = params["b"].copy()
    elif which == "grads":
        grads["a"] = -grads["a"]
    elif which == "slots of other leaves":
        state["m"] = {name: slot.copy() for name, slot in state["m"].items()}
    else:
        state["m"]["b"], state["v"]["b"] = np.abs(state["v"]["b"]), np.abs(state["m"]["b"])
    same_as_numpy(optimizer, params, grads, state)
    same_as_numpy(*steady)


@pytest.mark.parametrize("change", ["read-only", "overlapping", "twice", "resized", "retyped"])
def test_what_is_refused_is_refused_now_too(steady, change):
    optimizer, params, grads, state = steady
    if change == "read-only":
        params["b"].flags.writeable = False
    elif change == "overlapping":
        grads["b"] = params["b"]
    elif change == "twice":
        state["m"]["b"] = state["v"]["b"]
    elif change == "resized":
        params["b"].resize((5, 2), refcheck=False)
    else:
        params["b"].dtype = np.int64
    before = copy.deepcopy((params, grads, state))
    with pytest.raises((DonationError, LeafError), match="leaf 'b'"):
        optimizer.step(params, grads, state, donate=True)
    for a, b in zip(optree.tree_leaves((params, grads, state)), optree.tree_leaves(before), strict=True):
        assert np.array_equal(a, b)
