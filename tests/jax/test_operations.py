"""Every operation of JAX, printed, against the definition: bit for bit, but for subnormals, or within its units."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep.trace.ops import ELEMENTWISE, FREE, OPS, REDUCTIONS, ULP
from samestep_jax.namespace import EAGER, Fenced, wide
from samestep_jax.printer import SPELLING
from samestep_jax.sums import InOrder, Term, Terms, finish, join

HERE = Path(__file__).parents[1]
loop, harness, ops = (
    SimpleNamespace(**runpy.run_path(str(HERE / f"{name}.py"))) for name in ("node_loop", "harness", "test_ops")
)
FLOATS = (np.float32, np.float64)
floats = pytest.mark.parametrize("dtype", FLOATS)
compiled = pytest.mark.parametrize("backend", ["jax-jit", "jax"])


def subnormal(x):
    return (np.abs(x) < np.finfo(x.dtype).smallest_normal) & (x != 0)


def run(backend, program, leaves, **kwargs):
    with backends.load(backend).wide():
        return harness.run(backend, program, leaves, library=(jax.numpy.asarray, np.asarray), **kwargs)


def test_what_is_spelled_in_another_way_is_an_operation():
    assert set(SPELLING) == set(OPS)


def alike(dtype):
    """Pairs of special values, and of numbers over 60 decades; all leaves of one shape, which is compiled once."""
    leaves, numbers = ops.leaves_of(dtype)
    size, large = leaves[0]["p"].size, leaves[-1]
    some = [*leaves[:-1:4], *({k: x[i : i + size] for k, x in large.items()} for i in range(0, 10 * size, size))]
    return some, [*numbers[:-1:4], *({"n": float(leaf["grad"][0])} for leaf in some[-10:])]


@floats
@compiled
def test_elementwise(backend, dtype):
    program, owner = ops.elementwise(ELEMENTWISE)
    leaves, numbers = alike(dtype)
    leaves = ops.with_outputs(leaves, program)
    alone = backend == "jax-jit"  # else XLA compiles as many copies of the same code
    cuts = [slice(k, k + 1) for k in range(len(leaves))] if alone else [slice(None)]
    found = [x for cut in cuts for x in run(backend, program, leaves[cut], slots=numbers[cut])]
    wanted = loop.run(program, leaves, slots=numbers)
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        p, n = leaves[k]["p"], dtype(numbers[k]["n"])
        flushed = subnormal(p) | subnormal(leaves[k]["grad"]) | subnormal(n)
        for name in program.slots:
            x, y = np.asarray(a[name]), b[name]
            # Underflow: XLA makes a zero of what rounds up to the smallest normal number, too.
            seen = ~(flushed | subnormal(y) | (np.abs(y) == np.finfo(dtype).smallest_normal))
            if owner[name] in ops.LOOSE:
                seen &= ~(np.broadcast_to(name == "pow an", p.shape) & ops.root_of_numpy(p, n))
                assert harness.ulps(x, y)[seen].max() <= ULP, f"{name}, leaf {k}"
            else:
                harness.same_bits(x[seen], y[seen], f"{name}, leaf {k}")


@ss.direction()
def thirds(u, *, third=3.0):
    """Quotients by arrays of one number, of which XLA would take the reciprocal."""
    xp = ss.array_namespace(u)
    return {"u": u / xp.full_like(u, 3.0) + u / xp.full_like(u, third) + u / 3.0}


def test_no_quotient_by_one_number_is_a_product():
    optimizer, rng = ss.chain(thirds(), ss.descend(1.0)), np.random.default_rng(0)
    params, grads = rng.standard_normal((2, 1000)).astype(np.float32)
    wanted, _ = optimizer.step(params, grads, optimizer.init(params))
    given = jax.numpy.asarray(params)
    found, _ = optimizer.step(given, jax.numpy.asarray(grads), optimizer.init(given))
    harness.same_bits(np.asarray(found), wanted)


@floats
@pytest.mark.parametrize("name", sorted(ops.LOOSE))
def test_transcendental_within_its_units(name, dtype):
    """Densely, where the functions are not trivial."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-end, end, 20000) for end in (1, 20, 700)]).astype(dtype)
    y = np.concatenate([rng.uniform(-end, end, 30000) for end in (3, 30)]).astype(dtype)
    x = np.abs(x) if name in ("log", "pow") else x
    arguments = (x, y) if name == "pow" else (x,)
    with np.errstate(all="ignore"), wide():
        wanted = getattr(np, name)(*arguments)
        apart = harness.ulps(np.asarray(getattr(EAGER, name)(*map(jax.numpy.asarray, arguments))), wanted)
    assert np.where(subnormal(wanted), 0, apart).max() <= ULP, x[apart.argmax()]


COMPUTED = ("sum_axis", "mean_axis", "matmul", "eigh", "qr", "svd")


@pytest.mark.parametrize("name, dtype", [*((n, np.float64) for n in FREE), *((n, np.float32) for n in COMPUTED)])
def test_shapes_of_their_own(name, dtype):
    """Moves are exact, and so are extremes; what is computed has a tolerance."""
    program, rng = ops.free(name), np.random.default_rng(4)
    leaves = [{key: rng.normal(size=(4, 4)).astype(dtype) for key in ("p", "grad")} for _ in range(2)]
    for backend in ("jax-jit", "jax"):
        for a, b in zip(run(backend, program, leaves), loop.run(program, leaves), strict=True):
            if name in ("eigh", "qr", "svd"):  # whose vectors have a sign of their own
                assert np.all(np.isfinite(a["p"]))
            else:
                np.testing.assert_allclose(a["p"], b["p"], rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-6)


def test_a_matrix_that_is_not_finite_has_no_factors():
    program = ops.free("qr")
    leaves = [{"p": np.full((4, 4), np.nan), "grad": np.ones((4, 4))}, {"p": np.ones((4, 4)), "grad": np.ones((4, 4))}]
    for backend in ("jax-jit", "jax"):
        bad, good = run(backend, program, leaves)
        assert np.all(np.isnan(bad["p"])) and np.all(np.isfinite(good["p"]))


@jax.jit
def reduced(zero, x):
    xp = Fenced(zero)
    terms = Terms(xp, False)
    return finish(xp, [getattr(terms, name)(x) for name in REDUCTIONS])


def reductions(x):
    """What a leaf is reduced to, compiled and evaluated."""
    x, eager = jax.numpy.asarray(x), InOrder(EAGER)
    return join(*reduced(np.uint32(0), x)), [getattr(eager, name)(x) for name in REDUCTIONS]


@floats
@pytest.mark.parametrize("size", [0, 257, 140_001])
def test_reductions(size, dtype):
    x = harness.decades(dtype, size, size)
    wanted = np.array([loop.REDUCTIONS[name](x.astype(float).tolist()) for name in REDUCTIONS])
    with wide():
        for found in reductions(x):
            harness.same_bits(np.array(found, float), wanted, f"{size}")


@floats
@pytest.mark.parametrize("values", [[0.0, -0.0], [-0.0], [np.nan, 1.0], [np.inf, -np.inf], [-np.inf], [1.0, np.inf]])
def test_reductions_of_special_values(values, dtype):
    wanted = np.array([loop.REDUCTIONS[name](values) for name in REDUCTIONS])
    with wide():
        for found in reductions(np.array(values, dtype)):
            harness.same_bits(np.array(found, float), wanted, str(values))


def test_terms_of_one_stage_do_not_mix():
    """Leaves of many sizes share the loops; each gets its own sum."""
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=n).astype("f") for n in (3, 65_536, 0, 700, 66_000, 3, 200_000)]

    def all_of(zero, arrays):
        return finish(Fenced(zero), [Term(x, True, squares) for x in arrays for squares in (False, True)])

    with wide():
        found = join(*jax.jit(all_of)(np.uint32(0), arrays))
    squared = [("sum", "sum_squares")[k % 2] for k in range(len(found))]
    wanted = [loop.REDUCTIONS[name](arrays[k // 2].astype(float).tolist()) for k, name in enumerate(squared)]
    harness.same_bits(found, np.array(wanted), "sums")
