"""Numbers that are another for each leaf: the same as groups that have them, and never in the program."""

import numpy as np
import pytest

import samestep as ss
from samestep.chain import traces

PARAMS = {"w": np.arange(6.0).reshape(2, 3) / 3, "b": np.ones(3), "s": np.array(2.0)}
GRADS = {leaf: np.cos(p) for leaf, p in PARAMS.items()}
RATES = {"w": 0.1, "b": 0.2, "s": 0.3}


def by_path(path, shape):
    assert shape == PARAMS[path].shape
    return RATES[path]


def stepped(opt, params=PARAMS, grads=GRADS, **overrides):
    state = opt.init(params)
    for _ in range(3):
        params, state = opt.step(params, grads, state, **overrides)
    return params


@pytest.mark.parametrize("backend", ["numpy", "numba", "strict"])
def test_the_same_as_groups(backend):
    def make(lr):
        return ss.adamw(lr, weight_decay=0.1)

    groups = ss.groups({"w": {"lr": 0.1}, "b": {"lr": 0.2}}, default=make(0.3))
    strict = pytest.importorskip("array_api_strict")
    give = strict.asarray if backend == "strict" else np.array
    params, grads = ({leaf: give(x) for leaf, x in tree.items()} for tree in (PARAMS, GRADS))
    with ss.use_backend(backend):
        ours, theirs = stepped(make(ss.per_leaf(by_path)), params, grads), stepped(groups, params, grads)
    for leaf in PARAMS:
        assert np.array_equal(np.asarray(ours[leaf]), np.asarray(theirs[leaf])), leaf


def test_another_function_is_no_new_program():
    ours = stepped(ss.sgd(ss.per_leaf(by_path)))
    before = traces()
    other = stepped(ss.sgd(ss.per_leaf(lambda path, shape: 0.5)))
    assert traces() == before and not np.array_equal(ours["w"], other["w"])
    assert np.array_equal(other["w"], stepped(ss.sgd(0.5))["w"])


def test_in_groups_and_under_a_scale():
    opt = ss.chain(ss.reduce_on_plateau(), ss.groups({"w": {"lr": ss.per_leaf(by_path)}}, default=ss.sgd(0.5)))
    plain = ss.chain(ss.reduce_on_plateau(), ss.groups({"w": {"lr": 0.1}}, default=ss.sgd(0.5)))
    for leaf, value in stepped(plain).items():
        assert np.array_equal(stepped(opt)[leaf], value)


def test_rows_and_complex_leaves_have_the_shape_that_the_user_knows():
    opt, table = ss.sgd(ss.per_leaf(lambda path, shape: 1 / shape[0] / len(shape))), np.ones((4, 1))
    new, _ = opt.step(table, ss.RowSparse([1], np.ones((1, 1))), opt.init(table))
    assert new.tolist() == [[1.0], [0.875], [1.0], [1.0]]
    z = np.full(2, 1 + 1j)
    assert opt.step(z, z, opt.init(z))[0].tolist() == [0.5 + 0.5j] * 2


def test_a_slot_starts_as_it():
    @ss.direction(n=ss.full("first"))
    def summed(u, n, *, first=1.0):
        return {"u": u / n, "n": n + 1}

    opt = ss.chain(summed(first=ss.per_leaf(by_path)), ss.descend(0.1))
    assert {leaf: float(n.max()) for leaf, n in opt.init(PARAMS)["n"].items()} == RATES


def test_a_replacing_part_keeps_its_options():
    """`amos_schedule` takes the place of `descend`: its options are its own."""
    opt = ss.chain(ss.sgd(0.1), ss.amos_schedule(eta=0.5, form="fixed_rate"))
    assert dict(opt.chains[0].parts[-1].values) == {
        "lr": 0.1, "eta": 0.5, "speed": 1.0, "q": 1.0, "form": "fixed_rate"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: ss.per_leaf(3), "takes a function of path and shape; got 3"),
        (lambda: stepped(ss.sgd(ss.per_leaf(by_path)), lr=0.1), "lr is another number for each leaf"),
        (lambda: stepped(ss.sgd(ss.per_leaf(lambda p, s: -1.0))), "lr gave -1.0 for leaf '.*at least 0"),
        (lambda: stepped(ss.sgd(ss.per_leaf(lambda p, s: "a"))), "lr gave 'a' for leaf '.*is a number"),
        (lambda: ss.sgd(0.1, momentum=0.9, nesterov=ss.per_leaf(by_path)), "nesterov is an option of type bool"),
        (lambda: stepped(ss.prodigy(ss.per_leaf(by_path))), "one number in the state"),
        (lambda: stepped(ss.chain(ss.amos(0.1), ss.sign())), "takes no direction part such as sign"),
    ],
)
def test_what_is_refused(attempt, message):
    with pytest.raises(ss.SamestepError, match=message):
        attempt()
