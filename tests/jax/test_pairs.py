"""Devices without float64: the step is as it was, but for sums, which are pairs of float32; nothing asks for float64.

Here that is a processor of which it is said that it has none, and JAX is without float64 all the time.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep.errors import BackendError, LeafError
from samestep.pinned import Pinned
from samestep_jax import namespace, pairs
from samestep_jax.namespace import EAGER, Fenced
from samestep_jax.sums import InOrder, Term, finish, join

RNG = np.random.default_rng(0)
BOTH = ("jax-jit", "jax")


@pytest.fixture
def narrow(monkeypatch):
    assert namespace.has_float64()
    monkeypatch.setattr(namespace, "computes_float64", lambda platform: False)
    assert not jax.config.jax_enable_x64


def near(found, wanted):
    """Within a unit in the last place of float32, once rounded to that."""
    found, wanted = np.float32(found), np.float32(wanted)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(found[~finite], wanted[~finite])
    apart = np.abs(found - wanted, dtype=np.float64)[finite]
    assert np.all(apart <= np.spacing(np.abs(wanted[finite]))), (found, wanted)


def arrays():
    decades = RNG.normal(size=3000) * 10.0 ** RNG.integers(-12, 12, 3000)
    large, small = RNG.normal(size=(2, 68_536)) * [[1e25], [1e-25]]
    special = [[np.inf, 1.0], [-np.inf, np.inf], [3e38, 3e38, -3e38], [2e-38]]
    filled = [[*x, *np.zeros(2900)] for x in special]  # few shapes: each is compiled
    return [np.array(x, np.float32) for x in (decades, large, small, *filled, [])]


def in_float64(x, squares):
    """As NumPy sums: what is beyond float32 as well."""
    with np.errstate(all="ignore"):
        return getattr(Pinned(np), "sum_squares" if squares else "sum")(x)


@jax.jit
def of_all(zero, arrays):
    return finish(Fenced(zero), [Term(x, True, squares) for x in arrays for squares in (False, True)])


def test_totals(narrow):
    """Far within a unit of float32, and in the range of float64; evaluated, and in one stage of many leaves."""
    leaves = arrays()
    wanted = [in_float64(x, squares) for x in leaves for squares in (False, True)]
    eager = InOrder(EAGER)
    np.testing.assert_allclose(join(*of_all(np.uint32(0), leaves)), wanted, rtol=2.0**-26)
    np.testing.assert_allclose(eager.sum_squares(jnp.asarray(leaves[0])), wanted[1], rtol=2.0**-26)


def test_over_axes_and_within_a_trace(narrow):
    """Sums over axes, by halves, and of one leaf in a caller's jit: rounded to float32, and derivatives are as ever."""
    x = (RNG.normal(size=(37, 12)) * 10.0 ** RNG.integers(-6, 6, (37, 12))).astype("f")
    for name, axes in [("mean", (0,)), ("sum", (-1, 0))]:
        found = pairs.over_axes(x, np.uint32(0), name, axes, True)
        near(found, Pinned(np).over_axes(name, x.astype(float), (axes, True)))
    for squares in (False, True):
        near(pairs.total(x, np.uint32(0), squares), in_float64(x, squares))
    slope = jax.jit(jax.grad(lambda x: pinned(x).sum_squares(x) + pinned(x).over_axes("mean", x, ((0,), False)).sum()))
    np.testing.assert_allclose(slope(x), 2 * x + np.float32(1 / 37), rtol=1e-6)


def pinned(x):
    return backends.load("jax").library.inline(x)[1]


def stepped(optimizer, put, step=None, steps=2):
    """Params and state after a few steps, with the same gradients for all."""
    rng = np.random.default_rng(1)
    params = {k: put(rng.normal(size=s).astype("f")) for k, s in (("b", (30,)), ("w", (7, 9)))}
    state = optimizer.init(params)
    for _ in range(steps):
        grads = {k: put(rng.normal(size=x.shape).astype("f")) for k, x in params.items()}
        params, state = (step or optimizer.step)(params, grads, state)
    return jax.tree.map(np.asarray, (params, state))


EXACT = ss.adamw(1e-2)
LAMB = ss.chain(ss.clip_by_global_norm(1.0), ss.lamb(1e-2))


def test_steps(narrow):
    """Elementwise programs have NumPy's bits; what sums is off by the rounding of its sums."""
    exact, lamb, adafactor = (stepped(each, np.asarray) for each in (EXACT, LAMB, ss.adafactor(1e-2)))
    with ss.use_backend("jax-jit"):
        jax.tree.map(np.testing.assert_array_equal, stepped(EXACT, jnp.asarray), exact)
        close(stepped(LAMB, jnp.asarray), lamb, 1e-6)
    with ss.use_backend("jax"):
        close(stepped(ss.adafactor(1e-2), jnp.asarray), adafactor, 1e-6)


def test_steps_within_a_trace(narrow):
    """Nothing in it is float64; its numbers are float32, in which 1 - beta2 is 1e-5 off."""
    clipped = ss.chain(ss.clip_by_global_norm(1.0), EXACT)
    close(stepped(clipped, jnp.asarray, jax.jit(clipped.step)), stepped(clipped, np.asarray), 1e-5)


def close(found, wanted, most):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=most, atol=most / 10), found, wanted)


def test_what_such_a_device_cannot_do_is_refused(narrow):
    with jax.enable_x64(True):
        params = {"w": jnp.ones(3, jnp.float64)}
        state = EXACT.init(params)
        with pytest.raises(
            LeafError, match=r"param of leaf 'w' is float64, in which .* \(cpu\) do not compute: cast it"
        ):
            EXACT.step(params, params, state)
    noisy, params = ss.chain(ss.add_noise(0.1), ss.sgd(1e-2)), {"w": jnp.ones(3)}
    with pytest.raises(BackendError, match=r"outside of jax\.jit"):
        jax.jit(noisy.step)(params, params, noisy.init(params))


def test_that_it_is_asked_and_stated(monkeypatch):
    """A program of float64 that fails, or gives float32, says that there is none; then sums are an exception."""
    backend, asked = backends.load("jax-jit"), namespace.computes_float64.__wrapped__
    assert asked("cpu") and "sums" not in backend.exceptions

    def fails(*arguments):
        raise NotImplementedError

    jit = jax.jit
    for instead in (lambda f: jit(lambda x: f(x.astype(jnp.float32))), fails):
        with monkeypatch.context() as patch:
            patch.setattr(jax, "jit", instead)
            assert not asked("cpu")
    monkeypatch.setattr(namespace, "computes_float64", lambda platform: False)
    assert "1 ULP in float32" in backend.exceptions["sums"]
