"""Torch, evaluated and on the Numba kernels by address: the bits of NumPy, for every program that promises them."""

import numpy as np
import optree
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import samestep as ss
from samestep_conformance import checks
from samestep_conformance.golden.families import CASES
from samestep_conformance.runs import programs
from samestep_torch import namespace

SMALL = {"matrix": (5, 4), "bias": (7,), "scalar": (), "empty": (0, 3), "quiet": (5,)}
BOTH = [("torch", False), ("torch", True), ("numba", False), ("numba", True)]


def exactness(optimizer):
    """Of its programs; `explain` would plan, and so compile, every one of them while the tests are collected."""
    return {program.exactness for program in programs(optimizer, checks.FACTORED)}


def free(optimizer):
    """Whether arrays have other shapes than the leaf: the library evaluates such, and no kernel runs them."""
    return any(program.free for program in programs(optimizer, checks.FACTORED))


def distinct():
    """One case for each structure and options whose class is exact or reduce; numbers alone make no other program."""
    found = {}
    for case in CASES:
        optimizer = case.ours(ss)
        if exactness(optimizer) <= {"exact", "reduce"} and not free(optimizer):
            found.setdefault(optimizer.chains[0].structure, case)
    return {case.name: case.ours(ss) for case in found.values()}


def named(*names):
    return {case.name: case.ours(ss) for case in CASES if case.name in names}


PROGRAMS = distinct()
FEW = named("adamw", "lion_cautious", "lamb", "ftrl_l1_l2", "lookahead", "skip_nonfinite")


def test_there_are_enough():
    assert sum(exactness(optimizer) == {"exact"} for optimizer in PROGRAMS.values()) > 40


@pytest.mark.parametrize("name, dtype", [(name, ("float32", "float64")[i % 2]) for i, name in enumerate(PROGRAMS)])
def test_same_bits_as_numpy(name, dtype):
    """In one dtype after the other; in both, and in the long run, `samestep conform` has every program."""
    steps = 14  # infinities and NaN in the second half
    checks.same_bits(PROGRAMS[name], *BOTH, arrays="torch", dtype=dtype, steps=steps, bad_from=steps // 2, shapes=SMALL)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", FEW)
def test_same_bits_in_half_precision(name, dtype):
    checks.same_bits(FEW[name], *BOTH, arrays="torch", dtype=dtype, steps=14, bad_from=7, shapes=SMALL)


def test_same_bits_in_the_long_run():
    backends = [("numba", True), ("torch", True)]
    checks.same_bits(ss.adamw(1e-2), *backends, arrays="torch", steps=1000, shapes={"w": (3, 4), "quiet": (5,)})


@pytest.mark.parametrize("name", ["lamb", "clip_adamw", "adamw"])
def test_same_bits_over_lanes_and_tiles(name):
    shapes = {"large": (3, 70_001), "edge": (65_536,), "lanes": (300,), "bias": (7,)}
    checks.same_bits(named(name)[name], *BOTH, arrays="torch", steps=3, shapes=shapes)


@pytest.mark.parametrize("name", ["adamw", "lamb", "lookahead", "ftrl"])
@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_pure_and_resumes(name, backend):
    optimizer = named(name)[name]
    checks.pure(optimizer, backend, arrays="torch")
    if backend == "torch":
        checks.resumes(optimizer, "torch")


@pytest.mark.parametrize("name", ["adafactor", "muon", "shampoo"])
def test_matrices_and_axes_are_evaluated(name):
    """Not by kernels; float sums over an axis and products have a tolerance."""
    optimizer = named(name)[name]
    params = checks.params("float64", checks.FACTORED)
    tensors = checks.moved(params, "torch")
    assert ss.explain(optimizer, tensors).backend("wide") == "torch"
    state, states = optimizer.init(params), optimizer.init(tensors)
    for t in range(1, 6):
        grads = {k: np.random.default_rng(t).normal(size=g.shape) for k, g in params.items()}
        params, state = optimizer.step(params, grads, state)
        tensors, states = optimizer.step(tensors, checks.moved(grads, "torch"), states, donate=True)
    for k, p in params.items():
        np.testing.assert_allclose(tensors[k].numpy(), p, rtol=1e-9, atol=1e-12)


def test_factors_lie_as_the_array_before_them():
    """They come column by column, and a product of such is rounded otherwise than one after a step in place."""
    checks.donated_equals_fresh(named("soap")["soap"], "torch", dtype="float64")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", FEW)
def test_a_relay_is_as_good_as_staying(name, dtype):
    """NumPy, then torch by address, then torch evaluated, then NumPy: params and state as if nothing had moved."""
    optimizer, grads = FEW[name], checks.gradients(dtype, SMALL)
    stays, stays_state = checks.params(dtype, SMALL), None
    moves, state = checks.params(dtype, SMALL), None
    stays_state, state = optimizer.init(stays), optimizer.init(moves)
    for leg, (backend, to) in enumerate([("numpy", np), ("numba", torch), ("torch", torch), ("numpy", np)]):
        moves, state = [optree.tree_map(lambda x: _to(to, x), tree) for tree in (moves, state)]  # noqa: B023
        for t in range(5 * leg + 1, 5 * leg + 6):
            stays, stays_state = optimizer.step(stays, grads(t), stays_state)
            with ss.use_backend(backend):
                moves, state = optimizer.step(moves, optree.tree_map(lambda x: _to(to, x), grads(t)), state)  # noqa: B023
        checks.equal(checks.host((moves, state)), checks.host((stays, stays_state)), t, f"after {backend}")


def _to(library, x):
    if isinstance(x, int | float) or library is not torch:
        return checks.host(x)
    return torch.from_numpy(np.array(checks.host(x)))


class Watch(TorchDispatchMode):
    """What torch really runs."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append((func.overloadpacket.__name__, args[0].dtype if args and hasattr(args[0], "dtype") else None))
        return func(*args, **(kwargs or {}))


# Correctly rounded, or moving values about; nothing fused, no reciprocal, no root but the one with its remedy.
ROUNDED = {
    "abs", "add", "bitwise_and", "bitwise_or", "bitwise_not", "copysign", "detach", "div", "eq", "ge", "gt", "isinf",
    "isnan", "item", "le", "logical_and", "logical_not", "logical_or", "lt", "mul", "ne", "neg", "sign", "sub", "where",
    "_to_copy", "clone", "copy_", "lift_fresh", "scalar_tensor", "zeros_like", "ones_like", "full_like", "full",
    "empty_strided", "fill_", "view", "_unsafe_view", "select", "slice", "cat", "zeros", "any", "sum", "alias", "max",
    "amax", "min", "_local_scalar_dense", "count_nonzero", "expand", "reshape", "unsqueeze", "nextafter", "sqrt",
    "unbind", "empty", "isfinite", "empty_like", "index_put_",
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_no_plain_root_and_nothing_fused_is_dispatched(dtype, monkeypatch):
    roots = []
    sqrt = namespace.sqrt
    monkeypatch.setattr(namespace, "sqrt", lambda x: roots.append(x.dtype) or sqrt(x))
    grads = checks.gradients(dtype, SMALL)
    with ss.use_backend("torch"), Watch() as watch:
        for optimizer in PROGRAMS.values():
            params = checks.moved(checks.params(dtype, SMALL), "torch", dtype)
            optimizer.step(params, checks.moved(grads(1), "torch", dtype), optimizer.init(params))
    names = {name for name, _ in watch.seen}
    assert names <= ROUNDED, names - ROUNDED
    assert {kind for name, kind in watch.seen if name == "sqrt"} == {torch.float64}
    each = 2 if dtype == "float64" else 1  # of float64 the root is taken once more where it is 0, inf or nan
    assert sum(name == "sqrt" for name, _ in watch.seen) == each * len(roots) > 50
