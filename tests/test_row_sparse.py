"""A row that has row-sparse gradients is a leaf of its own: the oracle is a dense optimizer of such leaves."""

import copy
import tracemalloc

import numpy as np
import pytest

import samestep as ss
from samestep import libraries
from samestep.catalogue import OPTIMIZER, entries
from samestep.elementwise import in_the_way
from samestep.groups import DEFAULT
from samestep_conformance.golden.families import CASES

ROWS, WIDTH = 5, 3
GRADS = (  # indices of each step; "dense", or None
    [3, 1, 3, 3],
    [0],
    [1, 3, 0],
    "dense",
    None,
    [3, 3],
    [],
    [4, 2, 0, 1, 3, 0],
    [2, 1],
)


def elementwise(make):
    """Whether the matrix and one row of it run the same exact program, which is not in the way of rows."""
    chain = make(ss).chains[0]
    program = chain.program((ROWS, WIDTH))
    return program is chain.program((1, WIDTH)) and program.exactness == "exact" and in_the_way(program) is None


def distinct():
    """One case for each structure."""
    found = {case.ours(ss).chains[0].structure: case for case in reversed(CASES) if elementwise(case.ours)}
    return {case.name: case.ours for case in found.values()}


EXACT = distinct()


def gradients(dtype="float32", steps=GRADS, seed=0):
    """Of each step what the table is given, and what each row has of it, None where nothing."""
    rng = np.random.default_rng(seed)
    for index in steps:
        if index is None:
            yield None, [None] * ROWS
        elif index == "dense":
            whole = rng.normal(size=(ROWS, WIDTH)).astype(dtype)
            yield whole, list(np.split(whole, ROWS))
        else:
            values = rng.normal(size=(len(index), WIDTH)).astype(dtype)
            rows = [None] * ROWS
            for row, value in zip(index, values, strict=True):
                rows[row] = value[None] if rows[row] is None else rows[row] + value
            yield ss.RowSparse(np.array(index, np.int64), values), rows


def start(dtype="float32"):
    rng = np.random.default_rng(7)
    return rng.normal(size=(ROWS, WIDTH)).astype(dtype), rng.normal(size=4).astype(dtype)


def of_default(value):
    """A number slot of groups is a dict by pattern."""
    return value[DEFAULT] if isinstance(value, dict) and DEFAULT in value else value


def per_row(state, key, row):
    """What a state with rows says of one of them."""
    value = of_default(state[key])
    value = value["table"] if isinstance(value, dict) else value
    return value if not getattr(value, "shape", ()) else value[row]


def agree(params, state, rows, of_rows):
    """The table, the bias and their state are, bit for bit, those of leaves that are its rows."""
    np.testing.assert_array_equal(np.asarray(params["table"]), np.concatenate(rows["rows"]))
    np.testing.assert_array_equal(np.asarray(params["bias"]), rows["bias"])
    for key, value in ((key, of_default(value)) for key, value in of_rows.items()):
        for row in range(ROWS):
            theirs = value["rows"][row] if isinstance(value, dict) else value
            if key == "step":
                counts = state.get("row_step", {}).get("table")
                assert theirs == (state["step"] if counts is None else counts[row])
                continue
            mine = np.asarray(per_row(state, key, row))
            np.testing.assert_array_equal(mine, np.reshape(theirs, mine.shape), err_msg=f"{key} of row {row}")
        if key != "step" and isinstance(value, dict):
            bias = of_default(state[key])
            bias = bias["bias"] if isinstance(bias, dict) else bias
            np.testing.assert_equal(
                bias if bias is None else np.asarray(bias), value["bias"], err_msg=f"{key} of the bias"
            )


def beside(optimizer, backend="numpy", dtype="float32", convert=lambda x: x, sparse=lambda g: g, **extra):
    """Steps of the table, fresh and in place, beside those of its rows on NumPy."""
    table, bias = start(dtype)
    rows = {"rows": np.split(table, ROWS), "bias": bias}
    params = {"table": convert(table.copy()), "bias": convert(bias.copy())}
    with ss.use_backend("numpy"):
        of_rows = optimizer.init(rows)
    with ss.use_backend(backend):
        state = optimizer.init(params)
        given = {"table": convert(table.copy()), "bias": convert(bias.copy())}, optimizer.init(params)
    for t, (grad, by_row) in enumerate(gradients(dtype)):
        with ss.use_backend("numpy"):
            rows, of_rows = optimizer.step(rows, {"rows": by_row, "bias": bias}, of_rows, **extra)
        grads = {"table": None if grad is None else sparse(grad), "bias": convert(bias.copy())}
        with ss.use_backend(backend):
            params, state = optimizer.step(params, grads, state, **extra)
            given = optimizer.step(given[0], grads, given[1], donate=True, **extra)
        agree(params, state, rows, of_rows)
        agree(*given, rows, of_rows)
        assert ("row_step" in state) and state["row_step"]["bias"] is None, t
    return params, state


def inputs(optimizer):
    """What only a step can give."""
    return {name: 1.0 for name, spec in optimizer.stepper.declared.items() if spec.start is None}


def test_the_programs_are_found():
    assert len(EXACT) > 60 and {"adamw", "adagrad", "nadam", "lion", "ftrl", "accumulate_adam"} <= set(EXACT)


@pytest.mark.parametrize("name", EXACT)
def test_rows_are_leaves(name):
    optimizer = EXACT[name](ss)
    beside(optimizer, **inputs(optimizer))


SEVERAL = {
    "adamw": lambda: ss.adamw(0.1, weight_decay=0.1),
    "nadam": lambda: ss.nadam(0.1),
    "ftrl": lambda: ss.ftrl(lambda count: 0.5 / (1 + count), l1=0.1, l2=0.01),
    "scheduled": lambda: ss.sgd(lambda count: 0.5 / (1 + count), momentum=0.9),
    "groups": lambda: ss.groups({"bias": ss.sgd(0.1)}, default=ss.nadam(lambda count: 0.5 / (1 + count))),
}
each = pytest.mark.parametrize("name", SEVERAL)


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_on_numba(name, dtype):
    beside(SEVERAL[name](), "numba", dtype)


@each
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_sparse_tensors(name, backend):
    torch = pytest.importorskip("torch")

    def coo(grad):
        if not isinstance(grad, ss.RowSparse):
            return torch.tensor(grad)
        return torch.sparse_coo_tensor(
            grad.indices[None], torch.tensor(grad.values), (ROWS, WIDTH), check_invariants=True
        )

    _, state = beside(SEVERAL[name](), backend, convert=torch.tensor, sparse=coo)
    assert isinstance(state["row_step"]["table"], torch.Tensor)
    assert state["row_step"]["table"].dtype == torch.int32


@each
@pytest.mark.parametrize("backend", ["jax", "jax-jit"])
def test_bcoo(name, backend):
    jax = pytest.importorskip("jax")
    sparse = pytest.importorskip("jax.experimental.sparse")

    def bcoo(grad):
        if not isinstance(grad, ss.RowSparse):
            return jax.numpy.asarray(grad)
        filled = np.append(grad.indices, [ROWS]), np.append(grad.values, np.ones((1, WIDTH), np.float32), 0)
        return sparse.BCOO((jax.numpy.asarray(filled[1]), jax.numpy.asarray(filled[0][:, None])), shape=(ROWS, WIDTH))

    _, state = beside(SEVERAL[name](), backend, convert=jax.numpy.asarray, sparse=bcoo)
    assert isinstance(state["row_step"]["table"], jax.Array)


NAMED = {
    name: found.example
    for name, found in entries().items()
    if found.kind == OPTIMIZER and not found.chain.second and in_the_way(found.chain.program((ROWS, WIDTH))) is None
}


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_every_elementwise_optimizer(library):
    """A step of each, those with exp and log too, beside dense steps of leaves that are its rows; on NumPy two."""
    convert = {"numpy": np.array, "torch": lambda x: pytest.importorskip("torch").tensor(x)}.get(
        library, lambda x: pytest.importorskip("jax").numpy.asarray(x)
    )
    assert len(NAMED) > 35 and {"adamw", "ftrl", "egd", "madgrad", "sc_adagrad", "mirror_descent"} <= set(NAMED)
    table, steps = np.abs(start()[0]) + np.float32(0.5), GRADS[: 2 if library == "numpy" else 1]
    for name, opt in NAMED.items():
        rows, params = np.split(table, ROWS), convert(table)
        of_rows, told = opt.init(rows), dict.fromkeys(opt.stepper.declared, 0.5)
        with ss.use_backend(library):
            state = opt.init(params)
        for grad, by_row in gradients(steps=steps):
            with ss.use_backend("numpy"):
                rows, of_rows = opt.step(rows, by_row, of_rows, **told)
            with ss.use_backend(library):
                sparse = ss.RowSparse(convert(grad.indices), convert(grad.values))
                params, state = opt.step(params, sparse, state, **told)
        assert np.asarray(state["row_step"]).tolist() == [len(steps) - 1, 1, 0, 1, 0]
        rtol = 0 if opt.chains[0].program((1, WIDTH)).exactness == "exact" else 1e-5
        np.testing.assert_allclose(np.asarray(params), np.concatenate(rows), rtol=rtol, atol=rtol, err_msg=name)


def test_overridden_numbers_are_of_the_rows_that_were_there():
    """NAdam's product and FTRL's last lr become numbers of the rows as soon as rows differ in them."""
    opt, table = ss.ftrl(0.1), np.ones((3, 2))
    state = opt.init(table)
    grad = ss.RowSparse([1], np.ones((1, 2)))
    table, state = opt.step(table, grad, state)
    assert state["lr_prev"] == 0.1  # all rows agree: one number still
    table, state = opt.step(table, grad, state, lr=0.3)
    assert state["lr_prev"].tolist() == [0.1, 0.3, 0.1] and state["lr_prev"].dtype == np.float64
    assert state["row_step"].tolist() == [0, 2, 0] and state["step"] == 2


def test_a_leaf_keeps_its_count_when_rows_begin_and_counts_every_step_of_its_own():
    opt = ss.adam(0.1)
    params = {"table": np.ones((3, 2)), "bias": np.ones(2)}
    state = opt.init(params)
    dense = {"table": np.ones((3, 2)), "bias": np.ones(2)}
    for _ in range(2):
        params, state = opt.step(params, dense, state)
    assert "row_step" not in state
    params, state = opt.step(params, {"table": ss.RowSparse([1], np.ones((1, 2))), "bias": None}, state)
    assert state["row_step"]["table"].tolist() == [2, 3, 2] and state["row_step"]["bias"] is None
    assert state["step"] == {"table": 3, "bias": 2}
    params, state = opt.step(params, dense, state)
    assert state["row_step"]["table"].tolist() == [3, 4, 3] and state["step"] == {"table": 4, "bias": 3}


def same(a, b):
    """Two trees, bit for bit."""
    np.testing.assert_equal(a, b)


@pytest.mark.parametrize("donate", [False, True])
def test_no_rows_change_nothing(donate):
    opt, params = ss.nadam(0.1), {"w": np.ones((3, 2))}
    state = opt.init(params)
    for _ in range(2):
        before = copy.deepcopy((params, state))
        none = {"w": ss.RowSparse([], np.empty((0, 2)))}
        params, state = opt.step(params, none, state, donate=donate)
        same((params, state), before)
        params, state = opt.step(params, {"w": ss.RowSparse([2], np.ones((1, 2)))}, state)


def arrays(tree):
    return [x for x in libraries.arrays(tree) if hasattr(x, "dtype")]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_fresh_steps_touch_nothing_old_and_donated_ones_only_their_rows(backend):
    opt = ss.nadam(0.1)
    params = {"table": np.ones((4, 2), np.float32), "other": np.ones((2, 2), np.float32)}
    state = opt.init(params)
    grads = {"table": ss.RowSparse(np.array([2, 0, 2]), np.ones((3, 2), np.float32)), "other": None}
    for _ in range(3):
        before = copy.deepcopy((params, grads, state))
        with ss.use_backend(backend):
            new, after = opt.step(params, grads, state)
        np.testing.assert_equal((params, state), (before[0], before[2]))
        same((grads["table"].indices, grads["table"].values), (before[1]["table"].indices, before[1]["table"].values))
        olds = arrays((params, state))
        assert not any(np.shares_memory(x, y) for x in arrays((new, after)) for y in olds)
        with ss.use_backend(backend):
            given, of_given = opt.step(*copy.deepcopy((params, grads, state)), donate=True)
        same((given, of_given), (new, after))
        params, state = new, after
    own = arrays((params, state))
    with ss.use_backend(backend):
        new, after = opt.step(params, grads, state, donate=True)
    assert all(x is y for x, y in zip(arrays((new, after)), own, strict=True))
    assert new["table"][1].tolist() == [1, 1] and new["table"][0, 0] != 1


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_donated_step_takes_the_memory_of_its_rows(backend):
    """Of a table of 12.8 MB nothing as large as one of its columns is made."""
    opt, table = ss.nadam(0.1), np.ones((200_000, 16), np.float32)
    state, rng = opt.init(table), np.random.default_rng(0)
    with ss.use_backend(backend):
        for _ in range(3):
            grad = ss.RowSparse(rng.integers(0, 200_000, 100), np.ones((100, 16), np.float32))
            tracemalloc.start()
            table, state = opt.step(table, grad, state, donate=True)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peak < 400_000  # of the last: the first makes the numbers of rows


@pytest.mark.parametrize("dtype", ["float16", "complex64"])
def test_half_and_complex(dtype):
    """Duplicates of halves are added in float32; in float16, 2048 ones and one more are 2048."""
    opt, table = ss.sgd(2.0**-10), np.zeros((2, 2), dtype)
    grad = ss.RowSparse(np.ones(2050, np.int32), np.full((2050, 2), 1j if dtype == "complex64" else 1, dtype))
    new, _ = opt.step(table, grad, opt.init(table))
    assert new[1, 0] == grad.values[0, 0] * -2050 / 1024 and not new[0].any() and new.dtype == dtype


def test_duplicates_are_added_in_the_order_in_which_they_stand():
    rng = np.random.default_rng(0)
    index = rng.integers(0, 4, 200)
    values = (rng.normal(size=(200, 3)) * 10.0 ** rng.integers(-6, 6, (200, 1))).astype(np.float32)
    table = np.zeros((4, 3), np.float32)
    opt = ss.sgd(1.0)
    new, _ = opt.step(table, ss.RowSparse(index, values), opt.init(table))
    total = np.zeros((4, 3), np.float32)
    for i, value in zip(index, values, strict=True):
        total[i] += value
    np.testing.assert_array_equal(new, -total)
    assert not np.array_equal(new, -np.stack([values[index == i].sum(axis=0, dtype=np.float64) for i in range(4)]))


def test_a_vector_has_rows_too():
    opt, vector = ss.adam(1.0, eps=0.0), np.zeros(4)
    new, state = opt.step(vector, ss.RowSparse([3, 1], np.array([2.0, -2.0])), opt.init(vector))
    assert new.tolist() == [0, 1, 0, -1] and state["row_step"].tolist() == [0, 1, 0, 1]


def test_totals_count_rows_without_a_gradient_as_zeros():
    opt = ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(1.0))
    params = {"a": np.zeros((4, 2)), "b": np.zeros(2)}
    whole = np.zeros((4, 2))
    whole[2], whole[0] = [3.0, 0.0], [0.0, 4.0]
    grad = ss.RowSparse([2, 0, 2], np.array([[1.0, 0.0], [0.0, 4.0], [2.0, 0.0]]))
    grads = {"a": grad, "b": np.array([12.0, 0.0])}
    sparse, _ = opt.step(params, grads, opt.init(params))
    dense, _ = opt.step(params, {"a": whole, "b": grads["b"]}, opt.init(params))
    same(sparse, dense)
    assert sparse["b"][0] == -12 / 13


def test_skipped_steps_leave_rows_and_their_counts_of_steps_taken():
    opt, table = ss.chain(ss.skip_nonfinite(), ss.adam(0.1)), np.ones((3, 2))
    state = opt.init(table)
    bad = ss.RowSparse([1], np.array([[np.inf, 1.0]]))
    new, state = opt.step(table, bad, state)
    same(new, table)
    assert (state["bad"], state["nonfinite"], state["good"]) == (1.0, 1.0, 0.0)
    new, state = opt.step(new, ss.RowSparse([1], np.ones((1, 2))), state)
    assert state["good"].tolist() == [0, 1, 0] and new[1, 0] != 1 and state["bad"] == 0.0


# The other verbs


def test_eval_params_of_rows():
    """Each row is evaluated with its own numbers, as if it were a leaf."""
    opt = ss.schedule_free_adamw(0.1)
    table, _ = start("float64")
    rows = {"rows": np.split(table, ROWS)}
    params, state, of_rows = {"table": table}, opt.init({"table": table}), opt.init(rows)
    for grad, by_row in gradients("float64"):
        params, state = opt.step(params, {"table": grad}, state)
        rows, of_rows = opt.step(rows, {"rows": by_row}, of_rows)
        mine, theirs = opt.eval_params(params, state), opt.eval_params(rows, of_rows)
        np.testing.assert_array_equal(mine["table"], np.concatenate(theirs["rows"]))
    assert opt.eval_params(params, state)["table"] is not params["table"]


def test_restart_and_copies():
    opt, params = ss.nadam(0.1), {"w": np.ones((3, 2)), "b": np.ones(2)}
    grads = {"w": ss.RowSparse([2], np.ones((1, 2))), "b": np.ones(2)}
    params, state = opt.step(params, grads, opt.init(params))
    again = opt.restart(params, state)
    same(again, opt.init(params) | {"row_step": {"w": np.zeros(3, np.int32), "b": None}})
    same(opt.step(params, grads, again)[0], opt.step(params, grads, opt.init(params))[0])
    some = opt.restart(params, state, reset=["m"])
    assert not some["row_step"]["w"].any() and some["step"] == 0
    same(opt.step(params, grads, copy.deepcopy(state)), opt.step(params, grads, state))
    delta, after = opt.update(params, grads, state)
    assert not delta["w"][:2].any() and delta["w"][2].all() and after["row_step"]["w"].tolist() == [0, 0, 2]


# What is refused


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: ss.lamb(0.1), "scale_by_adam|trust_ratio"),
        (lambda: ss.muon(0.1), "scale_by_muon"),
        (lambda: ss.adafactor(0.1), "scale_by_adafactor"),
        (lambda: ss.adamw(0.1, cautious="mean"), "cautious"),
        (lambda: ss.dog(), "scale_by_dog"),
        (lambda: ss.chain(ss.sgd(1.0, weight_decay=0.1), ss.clip_by_global_norm(1.0)), "clip_by_global_norm"),
        (
            lambda: ss.chain(ss.direction()(lambda u, t: {"u": u + ss.normal(u, t, seed=0)})(), ss.descend(1.0)),
            "random numbers",
        ),
    ],
)
def test_what_looks_at_more_than_a_row_is_refused_by_name(make, why):
    opt, params = make(), {"deep": [np.ones((4, 2))]}
    state = opt.init(params)
    before = copy.deepcopy((params, state))
    with pytest.raises(ss.LeafError, match=rf"leaf 'deep.0' cannot be stepped by rows: .*({why}).*Give a dense"):
        opt.step(params, {"deep": [ss.RowSparse([1], np.ones((1, 2)))]}, state, donate=True)
    same((params, state), before)


@pytest.mark.parametrize(
    ("indices", "values", "why"),
    [
        ([4], np.ones((1, 2)), "below 4.*got 4 at place 0: drop it"),
        ([0, -1], np.ones((2, 2)), "at least 0.*got -1 at place 1"),
        ([0.0], np.ones((1, 2)), "integers along one axis; got float64 of shape \\(1,\\): cast"),
        ([True], np.ones((1, 2)), "integers along one axis; got bool"),
        ([[1]], np.ones((1, 2)), "integers along one axis; got int64 of shape \\(1, 1\\)"),
        ([[1], [2, 3]], np.ones((1, 2)), "integers along one axis; got object of shape \\(\\)"),
        (np.ma.array([1], mask=[True]), np.ones((1, 2)), "indices is a masked array"),
        ([1], np.ones(2), "here \\(1, 2\\); got \\(2,\\): reshape"),
        ([1, 2], np.ones((1, 2)), "here \\(2, 2\\); got \\(1, 2\\)"),
        ([1], [[1.0, 2.0]], "is list"),
        ([1], np.ones((1, 2), int), "int64; it must be one of"),
        ([1], np.ones((1, 2), complex), "both complex or both real"),
    ],
)
def test_bad_gradients_name_leaf_rule_value_and_remedy(indices, values, why):
    opt, params = ss.sgd(1.0), {"w": np.ones((4, 2)), "b": np.ones(2)}
    before, state = copy.deepcopy(params), opt.init(params)
    with pytest.raises(ss.LeafError, match=f"leaf 'w'.*{why}"):
        opt.step(params, {"b": np.ones(2), "w": ss.RowSparse(indices, values)}, state, donate=True)
    same(params, before)


def test_a_number_has_no_rows():
    opt = ss.sgd(1.0)
    with pytest.raises(ss.LeafError, match=r"leaf 's'.*0-d.*give a dense gradient"):
        opt.step({"s": np.ones(())}, {"s": ss.RowSparse([0], np.ones(1))}, opt.init({"s": np.ones(())}))


def test_frozen_leaves_stay():
    opt = ss.groups({"w": ss.freeze()}, default=ss.sgd(1.0))
    params = {"w": np.ones((4, 2)), "b": np.ones((4, 2))}
    grad = ss.RowSparse([1], np.ones((1, 2)))
    new, state = opt.step(params, {"w": grad, "b": grad}, opt.init(params))
    same(new["w"], params["w"])
    assert new["b"][1, 0] == 0 and state["row_step"]["w"] is None and state["step"] == 1


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (np.zeros(3, np.int32), "leaf 'w'.*shape \\(4,\\); got ndarray of shape \\(3,\\)"),
        (np.zeros(4, np.int64), "leaf 'w' must be int32; got int64"),
        ([0, 0, 0, 0], "slot 'row_step' of the state has a container at leaf 'w'"),
        (np.array([0, -1, 0, 0], np.int32), "leaf 'w' counts completed steps.*got -1"),
    ],
)
def test_counts_of_rows_are_checked(rows, why):
    opt, params = ss.sgd(1.0), {"w": np.ones((4, 2)), "b": np.ones(2)}
    state = opt.init(params) | {"row_step": {"w": rows, "b": None}}
    with pytest.raises((ss.StateError, ss.TreeError), match=why):
        opt.step(params, {"w": np.ones((4, 2)), "b": np.ones(2)}, state)


def test_donated_arrays_are_checked():
    opt, params = ss.sgd(1.0), {"w": np.ones((4, 2))}
    grads = {"w": ss.RowSparse([1], params["w"][:1])}
    with pytest.raises(ss.DonationError, match="gradient of leaf 'w'"):
        opt.step(params, grads, opt.init(params), donate=True)
    params["w"].flags.writeable = False
    with pytest.raises(ss.DonationError, match="read-only"):
        opt.step(params, {"w": ss.RowSparse([1], np.ones((1, 2)))}, opt.init(params), donate=True)


def test_a_slot_of_ones_own_cannot_take_the_name():
    page = ss.update(row_step=ss.zeros)(lambda p, u, row_step: {"p": p - u, "row_step": row_step + u})
    with pytest.raises(ss.ChainError, match="row_step"):
        ss.chain(page())


def test_inside_of_a_trace_it_is_refused_with_the_remedy():
    jax = pytest.importorskip("jax")
    opt, table = ss.adam(0.1), jax.numpy.ones((3, 2))
    state = opt.init(table)

    @jax.jit
    def step(table, index, values, state):
        return opt.step(table, ss.RowSparse(index, values), state)

    with pytest.raises(ss.LeafError, match="outside of jit"):
        step(table, jax.numpy.array([1]), jax.numpy.ones((1, 2)), state)
    _, state = opt.step(table, ss.RowSparse(jax.numpy.array([1]), jax.numpy.ones((1, 2))), state)
    with pytest.raises(ss.LeafError, match="outside of jit"):
        jax.jit(opt.step)(table, table, state)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("form", ["csr", "two axes", "shape"])
def test_other_sparse_tensors_are_refused_by_name(form):
    torch = pytest.importorskip("torch")
    dense = torch.eye(3)
    grads = {"csr": dense.to_sparse_csr(), "two axes": dense.to_sparse(), "shape": torch.eye(4).to_sparse(1)}
    why = {"csr": "sparse_csr.*to_dense", "two axes": "2 sparse axes.*to_dense", "shape": r"\(3, 3\); got \(4, 4\)"}
    opt, params = ss.sgd(1.0), {"w": torch.ones(3, 3)}
    with pytest.raises(ss.LeafError, match=f"leaf 'w'.*{why[form]}"):
        opt.step(params, {"w": grads[form]}, opt.init(params))


@pytest.mark.parametrize("form", ["BCSR", "n_sparse", "n_batch"])
def test_other_sparse_matrices_are_refused_by_name(form):
    jax = pytest.importorskip("jax")
    sparse = pytest.importorskip("jax.experimental.sparse")
    dense = jax.numpy.eye(3)
    grads = {
        "BCSR": sparse.BCSR.fromdense(dense),
        "n_sparse": sparse.BCOO.fromdense(dense),
        "n_batch": sparse.BCOO.fromdense(dense, n_batch=1),
    }
    opt, params = ss.sgd(1.0), {"w": dense}
    with pytest.raises(ss.LeafError, match=r"leaf 'w'.*sparse along the first axis.*todense"):
        opt.step(params, {"w": grads[form]}, opt.init(params))


# Beside torch, whose Adagrad and SGD take sparse gradients


@pytest.mark.filterwarnings("ignore:Sparse invariant checks are implicitly disabled")  # in torch's own step
@pytest.mark.parametrize("name", ["adagrad", "sgd"])
def test_like_torch(name):
    torch = pytest.importorskip("torch")
    make = {
        "adagrad": (lambda: ss.adagrad(0.1, eps=1e-10), lambda p: torch.optim.Adagrad(p, lr=0.1)),
        "sgd": (lambda: ss.sgd(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    }
    opt = make[name][0]()
    table = torch.nn.Parameter(torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(5, 4))
    theirs, params = make[name][1]([table]), {"w": table.detach().clone()}
    state = opt.init(params)
    for index in ([3, 1, 3], [0, 3], [4, 4, 4]):
        theirs.zero_grad()
        (torch.nn.functional.embedding(torch.tensor(index), table, sparse=True) ** 2).sum().backward()
        params, state = opt.step(params, {"w": table.grad}, state, donate=True)
        theirs.step()
        torch.testing.assert_close(params["w"], table.detach(), rtol=1e-12, atol=1e-12)


def test_like_sparse_adam_where_all_rows_have_its_count():
    """SparseAdam counts for all rows together: the same as long as each row is in every step."""
    torch = pytest.importorskip("torch")
    table = torch.nn.Parameter(torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4))
    theirs, opt, params = (
        torch.optim.SparseAdam([table], lr=0.1, eps=1e-30),
        ss.adam(0.1, eps=0.0),
        {"w": table.detach().clone()},
    )
    state = opt.init(params)
    for index in ([2, 0, 1], [0, 1, 1, 2], [2, 2, 1, 0]):
        theirs.zero_grad()
        (torch.nn.functional.embedding(torch.tensor(index), table, sparse=True) ** 3).sum().backward()
        params, state = opt.step(params, {"w": table.grad}, state)
        theirs.step()
        torch.testing.assert_close(params["w"], table.detach(), rtol=1e-12, atol=1e-12)
