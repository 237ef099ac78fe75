"""JAX, compiled and evaluated: the bits of NumPy for every program that promises them, but for subnormals."""

import jax
import numpy as np
import optree
import pytest

import samestep as ss
from samestep import backend as backends
from samestep_conformance import checks
from samestep_conformance.arrays import FACTORED, Feed, moved, params
from samestep_conformance.golden.families import CASES
from samestep_conformance.runs import exactness, flushed, host, run

SHAPES = {"matrix": (37, 1), "scalar": (), "empty": (0, 3)}


def distinct():
    """One case for each structure and options whose class is exact or reduce; numbers alone make no other program."""
    found = {}
    for case in CASES:
        optimizer = case.ours(ss)
        if exactness(optimizer, FACTORED) in ("exact", "reduce"):
            found.setdefault(optimizer.chains[0].structure, case)
    return {case.name: case.ours(ss) for case in found.values()}


PROGRAMS = distinct()
FEW = {name: PROGRAMS[name] for name in ("adamw", "lion_cautious", "lamb", "ftrl", "lookahead", "skip_nonfinite")}


def same_bits(optimizer, backend, dtype, *, donate=False, steps=14, bad_from=8, shapes=SHAPES):
    """Step by step, zeros of both signs included; gradients without subnormals, and those that arise are zeros."""
    grads = Feed(bad_from, subnormals=False)(dtype, shapes)
    ours = run(optimizer, backend, dtype, steps, grads, shapes=shapes, donate=donate)
    theirs = run(optimizer, "numpy", dtype, steps, grads, shapes=shapes)
    for t, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1):
        checks.equal(flushed(a), flushed(b), t, f"{backend} against numpy")


def test_there_are_enough():
    assert sum(exactness(optimizer) == "exact" for optimizer in PROGRAMS.values()) > 40


SUMS = [name for name, optimizer in PROGRAMS.items() if exactness(optimizer, FACTORED) == "reduce"]


def in_turn(names):
    """Each in one dtype after the other; in both, and in the long run, `samestep conform` has every program."""
    return [(name, ("float32", "float64")[i % 2]) for i, name in enumerate(names)]


@pytest.mark.parametrize("name, dtype", in_turn(SUMS))
def test_compiled(name, dtype):
    """What has sums; the exact ones are in tests/test_relay.py, whose legs on JAX are compiled."""
    shapes = SHAPES if dtype == "float32" else {"matrix": SHAPES["matrix"]}
    same_bits(PROGRAMS[name], "jax-jit", dtype, donate=dtype == "float32", shapes=shapes)


@pytest.mark.parametrize("name, dtype", in_turn(PROGRAMS))
def test_evaluated(name, dtype):
    same_bits(PROGRAMS[name], "jax", dtype, steps=3, bad_from=3, donate=dtype == "float32")


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("backend, dtype", [("jax-jit", "bfloat16"), ("jax-jit", "float16"), ("jax", "bfloat16")])
def test_half_precision(name, backend, dtype):
    same_bits(FEW[name], backend, dtype, donate=True, steps=6, bad_from=5)


@pytest.mark.parametrize("name", FEW)
def test_the_long_run(name):
    same_bits(FEW[name], "jax-jit", "float32", steps=200, bad_from=190, donate=True)


def test_a_thousand_steps():
    same_bits(ss.adamw(1e-2), "jax-jit", "float32", steps=1000, bad_from=None, donate=True)


@pytest.mark.parametrize("name, backend", [("lamb", "jax-jit"), ("clip_adamw", "jax-jit"), ("lamb", "jax")])
def test_sums_have_their_order(name, backend):
    """Over lanes, over tiles, and over leaves that share a loop."""
    shapes = {"large": (3, 70_001), "edge": (65_536,), "lanes": (300,), "most": (40_000,), "bias": (7,), "empty": (0,)}
    same_bits(PROGRAMS[name], backend, "float32", steps=2, bad_from=None, shapes=shapes)
    same_bits(PROGRAMS[name], backend, "float64", steps=2, bad_from=None, shapes={"large": (66_001,)})


@pytest.mark.parametrize("backend", ["jax-jit", "jax"])
@pytest.mark.parametrize("name", ["adafactor", "muon", "shampoo"])
def test_matrices_and_axes_within_their_tolerance(name, backend):
    optimizer = next(case for case in CASES if case.name.startswith(name)).ours(ss)
    shapes = {leaf: FACTORED[leaf] for leaf in ("matrix", "bias")}
    checks.agrees(optimizer, backend, dtype="float64", steps=4, shapes=shapes)


@pytest.mark.parametrize("name", ["adamw", "lamb", "lookahead"])
@pytest.mark.parametrize("backend", ["jax-jit", "jax"])
def test_pure(name, backend):
    checks.pure(FEW[name], backend, shapes=SHAPES)
    checks.resumes(FEW[name], backend, shapes=SHAPES)


@pytest.mark.parametrize("name, dtype", [("lamb", "float32"), ("skip_nonfinite", "float64")])
def test_a_relay_is_as_good_as_staying(name, dtype):
    """By way of the evaluated one; more is in tests/test_relay.py."""
    optimizer, grads = FEW[name], Feed(subnormals=False)(dtype, SHAPES)
    stays, moves = params(dtype, SHAPES), params(dtype, SHAPES)
    stays_state, state = optimizer.init(stays), optimizer.init(moves)
    for leg, backend in enumerate(("numpy", "jax-jit", "torch", "jax")):
        library = backend.removesuffix("-jit")
        moves, state = (moved(host(tree), library) for tree in (moves, state))
        for t in range(3 * leg + 1, 3 * leg + 4):
            with ss.use_backend("numpy"):
                stays, stays_state = optimizer.step(stays, grads(t), stays_state)
            with ss.use_backend(backend):
                moves, state = optimizer.step(moves, moved(grads(t), library), state)
        checks.equal(flushed(host((moves, state))), flushed(host((stays, stays_state))), t, f"after {backend}")


def test_float64_needs_no_flag():
    """Sums are float64 in any case; JAX stays as it was told."""
    x = jax.numpy.asarray(np.full(100_000, 0.1, np.float32))
    optimizer = ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(1.0))
    with ss.use_backend("numpy"):
        wanted = optimizer.step(np.asarray(x), np.asarray(x), optimizer.init(np.asarray(x)))[0]
    found, _ = optimizer.step(x, x, optimizer.init(x))
    assert np.array_equal(found, wanted)
    assert found.dtype == np.float32 and jax.numpy.zeros(1).dtype == np.float32


def test_subnormals_are_the_stated_exception():
    """On a processor; what is stated is true, else the statement has to go."""
    assert set(backends.load("jax-jit").exceptions) == set(backends.load("jax").exceptions) == {"subnormals"}
    tiny = np.float32(1e-40)
    x = jax.numpy.asarray(np.full(3, tiny))
    for name in ("jax-jit", "jax"):
        with ss.use_backend(name):
            optimizer = ss.sgd(1.0)
            found, _ = optimizer.step(x, x * 0, optimizer.init(x))
        assert np.array_equal(found, np.zeros(3)) and np.asarray(x)[0] == tiny


def test_sums_of_numbers_that_only_differ_in_the_last_bits():
    rng = np.random.default_rng(3)
    x = {str(n): (rng.normal(size=n) * 10.0 ** rng.integers(-12, 12, n)).astype("f") for n in (1, 255, 70_000)}
    optimizer = ss.lamb(1e-2)
    with ss.use_backend("numpy"):
        wanted = optimizer.step(x, x, optimizer.init(x))
    y = optree.tree_map(jax.numpy.asarray, x)
    checks.equal(host(optimizer.step(y, y, optimizer.init(y))), host(wanted), 1, "lamb")
