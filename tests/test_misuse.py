"""Every misuse of the public contract, with the whole message: the path of the leaf, rule, value and remedy."""

import numpy as np
import pytest

import samestep as ss
import samestep_conformance.checks as checks
from samestep.errors import ChainError, DonationError, HyperparameterError, LeafError, StateError, TreeError

NAN = float("nan")
PARAMS, GRADS = ({"layer": {"b": np.ones(2), "w": np.ones((3, 2))}, "scale": np.ones(4)} for _ in range(2))
OPTIMIZER = ss.adamw(1e-3)
NESTING = "grads must be a nesting like the params, leaf by leaf"
NONE = "Give None for a leaf without a gradient, and nothing that the params lack."
INIT = "Make one with init, or step with the optimizer that made this one."


def scheduled(value):
    return ss.groups({"layer.*": {"lr": lambda step: value}}, default=OPTIMIZER)


# Changes to a step of PARAMS by OPTIMIZER, the error, and all that it says.
STEPS = {
    "a leaf is missing": (
        {"grads": {"layer": {"w": GRADS["layer"]["w"]}, "scale": GRADS["scale"]}}, TreeError,
        f"grads lacks leaf 'layer.b': {NESTING} (2 leaves against 3). {NONE}",
    ),
    "a leaf too many": (
        {"grads": {**GRADS, "more": np.ones(2)}}, TreeError,
        f"grads has leaf 'more', which the params lack: {NESTING} (4 leaves against 3). {NONE}",
    ),
    "a container for a leaf": (
        {"grads": {**GRADS, "scale": [np.ones(4)]}}, TreeError,
        f"grads has a container at leaf 'scale', where the params have an array: {NESTING} (3 leaves against 3). "
        f"{NONE}",
    ),
    "another order of arguments": (
        {"grads": OPTIMIZER.init(PARAMS), "state": PARAMS}, TreeError,
        f"grads lacks leaf 'layer.b': {NESTING} (7 leaves against 3). The order is step(params, grads, state).",
    ),
    "shape": (
        {"grads": {**GRADS, "scale": np.ones(5)}}, LeafError,
        "leaf 'scale': the gradient must have the shape of its param, (4,); got (5,): reshape it, or sum over what was "
        "broadcast",
    ),
    "dtype": (
        {"grads": {**GRADS, "scale": np.ones(4, int)}}, LeafError,
        "leaf 'scale': the gradient is int64; it must be one of float16, bfloat16, float32, float64, complex64, "
        "complex128: cast it",
    ),
    "complex": (
        {"grads": {**GRADS, "scale": np.ones(4, complex)}}, LeafError,
        "leaf 'scale': the param is float64 and its gradient complex128: both complex or both real; take the real "
        "part, or make the param complex",
    ),
    "state of another optimizer": (
        {"state": ss.lion(1e-3).init(PARAMS)}, StateError, f"the state is of another optimizer: it lacks 'v'. {INIT}",
    ),
    "state of other params": (
        {"state": OPTIMIZER.init({**PARAMS, "scale": np.ones(5)})}, StateError,
        "slot 'm' of leaf 'scale' must have shape (4,); got (5,). The state is of other params: make one with init.",
    ),
    "state of another nesting": (
        {"state": OPTIMIZER.init({"a": np.ones(3)})}, TreeError,
        "slot 'm' of the state lacks leaf 'layer.b': slot 'm' of the state must be a nesting like the params, leaf by "
        "leaf (1 leaves against 3). Make one of these params with init.",
    ),
    "state of another dtype": (
        {"state": OPTIMIZER.init({**PARAMS, "scale": np.ones(4, np.float32)})}, StateError,
        "slot 'm' of leaf 'scale' must be float64, the compute dtype of a float64 param; got float32. The state is of "
        "other params: make one with init.",
    ),
    "a count below 0": (
        {"state": {**OPTIMIZER.init(PARAMS), "step": -1}}, StateError,
        "'step' of the state counts completed steps, so it is at least 0; got -1. Pass the state that the last step "
        "returned, or make one with init.",
    ),
    "an unknown override": (
        {"beta3": 0.9}, HyperparameterError,
        "this optimizer has no number 'beta3', here 0.9; step takes 'beta1', 'beta2', 'eps', 'eps_root', 'lr', "
        "'weight_decay'",
    ),
    "an option overridden": (
        {"amsgrad": True}, HyperparameterError,
        "amsgrad is an option, fixed when the optimizer is built; got True: build another one with amsgrad=...",
    ),
    "nan": ({"lr": NAN}, HyperparameterError, "lr must be a number, not nan; got nan: check what made it"),
    "outside the domain": (
        {"beta1": 1.0}, HyperparameterError, "beta1 must be in [0, 1); got 1.0: write beta1=0.9, or another such value",
    ),
    "no number": (
        {"lr": "big"}, HyperparameterError,
        "lr is a number (or a schedule: a callable of the step); got 'big': write lr=0.001, or another such value",
    ),
    "a schedule that gives nan": (
        {"optimizer": ss.adamw(lambda step: NAN)}, HyperparameterError,
        "the schedule of lr at count 0 gave nan: lr must be a number, not nan. Let it return such a number.",
    ),
    "a schedule of a group": (
        {"optimizer": scheduled(-1.0)}, HyperparameterError,
        "the schedule of lr in the group 'layer.*' at count 0 gave -1.0: lr must be at least 0. Let it return such a "
        "number.",
    ),
    "a row that is not there": (
        {"grads": {**GRADS, "layer": {"b": None, "w": ss.RowSparse([5], np.ones((1, 2)))}}}, LeafError,
        "the row-sparse gradient of leaf 'layer.w': indices are at least 0 and below 3, the number of rows; got 5 at "
        "place 0: drop it, or count from the front",
    ),
    "rows of another shape": (
        {"grads": {**GRADS, "layer": {"b": None, "w": ss.RowSparse([1], np.ones((1, 3)))}}}, LeafError,
        "the row-sparse gradient of leaf 'layer.w': values have the shape (len(indices), *shape of one row), here "
        "(1, 2); got (1, 3): reshape them, or give the indices that belong to them",
    ),
}  # fmt: skip


def copied(tree):
    return {k: copied(v) for k, v in tree.items()} if isinstance(tree, dict) else np.array(tree, copy=True)


def stepped(wanted, error, *, donate, optimizer=OPTIMIZER, params=PARAMS, grads=GRADS, state=None, **overrides):
    """A step that fails: the message, and that params, grads and state are what they were."""
    state = optimizer.init(PARAMS) if state is None else state
    sparse = any(isinstance(g, ss.RowSparse) for g in grads.get("layer", {}).values())
    given = (params, {} if sparse else grads, state)
    before = [copied(tree) for tree in given]
    with pytest.raises(error) as caught:
        optimizer.step(params, grads, state, donate=donate, **overrides)
    assert str(caught.value) == wanted
    for then, now in zip(before, given, strict=True):
        checks.equal(then, copied(now), 1, "after a step that failed")


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_refused_and_changes_nothing(name, donate):
    changes, error, wanted = STEPS[name]
    stepped(wanted, error, donate=donate, **changes)


def test_arrays_of_two_libraries():
    torch = pytest.importorskip("torch")
    mixed = {**PARAMS, "scale": torch.ones(4, dtype=torch.float64)}
    wanted = (
        "leaf 'scale': the param is an array of numpy, its gradient of torch: both belong to one library; convert the"
    )
    with pytest.raises(LeafError) as caught:
        OPTIMIZER.step(PARAMS, mixed, OPTIMIZER.init(PARAMS))
    assert str(caught.value) == f"{wanted} gradient"
    with pytest.raises(LeafError) as caught:
        OPTIMIZER.init(mixed)
    assert str(caught.value) == (
        "leaf 'scale' of the params is an array of torch, but the leaves before it are of numpy: all params of one "
        "step belong to one library; convert them first"
    )


def read_only():
    x = np.ones(4)
    x.flags.writeable = False
    return x


MEMORY = np.ones(12)
DONATED = {
    "read-only": (
        {"params": {**PARAMS, "scale": read_only()}},
        "param of leaf 'scale' is read-only and cannot be donated: pass a writable copy, or donate=False",
    ),
    "broadcast": (
        {"params": {**PARAMS, "scale": np.lib.stride_tricks.as_strided(np.ones(1), (4,), (0,))}},
        "param of leaf 'scale' overlaps itself in memory (shape (4,), strides (0,)) and cannot be donated: pass a "
        "copy, or donate=False",
    ),
    "overlap": (
        {"params": {**PARAMS, "scale": MEMORY[:4]}, "grads": {**GRADS, "scale": MEMORY[2:6]}},
        "param of leaf 'scale' and gradient of leaf 'scale' overlap in memory: a donated array must be the only one "
        "there. Copy one, or donate=False.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DONATED)
def test_what_cannot_be_donated(name):
    changes, wanted = DONATED[name]
    stepped(wanted, DonationError, donate=True, **changes)


MADE = {
    "nan": (lambda: ss.adamw(NAN), "lr must be a number, not nan; got nan: check what made it"),
    "domain": (lambda: ss.adamw(-1.0), "lr must be at least 0; got -1.0: write lr=0.001, or another such value"),
    "group": (
        lambda: ss.groups({"layer.*": {"lr": -1.0}}, default=OPTIMIZER),
        "the group 'layer.*': lr must be at least 0; got -1.0: write lr=0.001, or another such value",
    ),
    "option": (
        lambda: ss.adam(1e-3, eps_mode="middle"), "eps_mode must be one of 'outside', 'inside', 'hat'; got 'middle'",
    ),
    "dialect": (
        lambda: ss.adam(dialect="torhc"), "dialect must be one of 'torch', 'optax', 'keras', 'tf1'; got 'torhc'",
    ),
    "unknown": (
        lambda: ss.lion(1e-3, betas=(0.9, 0.99)),
        "lion has no 'betas'; it has 'lr', 'weight_decay', 'beta1', 'beta2', 'maximize', 'cautious'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_what_cannot_be_built(name):
    make, wanted = MADE[name]
    with pytest.raises(HyperparameterError) as caught:
        make()
    assert str(caught.value) == wanted


STARTED = {
    "integers": (
        OPTIMIZER, {**PARAMS, "scale": np.ones(4, int)}, LeafError,
        "leaf 'scale' of the params is int64: params are float16, bfloat16, float32, float64, complex64, complex128. "
        "Convert it, or leave it out of the params (groups with freeze() need floating leaves too).",
    ),
    "no array": (
        OPTIMIZER, {**PARAMS, "scale": 1.0}, LeafError,
        "leaf 'scale' of the params is float 1.0: params are arrays, or nestings of arrays; numpy.asarray(...) makes "
        "one",
    ),
    "tied": (
        OPTIMIZER, {"a": MEMORY[:4], "b": MEMORY[:4]}, LeafError,
        "leaf 'a' and leaf 'b' share memory: tied weights would be stepped twice. Keep one of them in the params and "
        "tie them again after the step, or copy one.",
    ),
    "pattern": (
        ss.groups({"nothing.*": {"lr": 1.0}}, default=OPTIMIZER), PARAMS, ChainError,
        "pattern 'nothing.*' matches no leaf; the paths are 'layer.b', 'layer.w', 'scale'. Patterns are matched "
        "against the whole path, `*` crosses dots.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTED)
def test_params_that_no_state_is_made_of(name):
    optimizer, params, error, wanted = STARTED[name]
    with pytest.raises(error) as caught:
        optimizer.init(params)
    assert str(caught.value) == wanted
