"""Derivatives through steps: those of the maths, finite where a gradient is 0, and float64 nowhere but inside."""

import runpy
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samestep as ss
from samestep_jax.namespace import wide
from samestep_jax.traced import TRACED

inline = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("test_inline.py"))))
FEW, start = inline.FEW, inline.start


def trained(optimizer, w, steps=2, **numbers):
    """Some steps on a loss; all of it has derivatives."""

    def loss(p):
        waves = jnp.sin(p["w"]) * jnp.asarray([1.0, -2.0, 0.5], p["w"].dtype)
        return waves.sum() + 0.1 * (p["w"] ** 4).sum() + (p["b"] ** 2).sum()

    p = {"w": w, "b": w[:2] * 2}
    state = optimizer.init(p)
    for _ in range(steps):
        p, state = optimizer.step(p, jax.grad(loss)(p), state, **numbers)
    return jnp.concatenate([p["w"], p["b"]]) @ jnp.arange(1.0, 6.0, dtype=w.dtype)


def slopes(function, x):
    """The derivatives of a function, and its finite differences."""
    both = jax.jit(jax.value_and_grad(function))
    differences = [(both(x + 1e-6 * e)[0] - both(x - 1e-6 * e)[0]) / 2e-6 for e in jnp.eye(len(x))]
    return np.asarray(both(x)[1]), np.asarray(differences)


@pytest.mark.parametrize("name", ["adamw", "radam", "lamb", "adan", "adafactor", "muon", "ftrl_prox"])
def test_derivatives_are_finite_differences(name):
    """With respect to params and lr."""
    with wide():
        start = jnp.asarray([0.3, -0.7, 1.1, 0.05])
        found, wanted = slopes(lambda x: trained(FEW[name], x[:3], lr=x[3]), start)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7 * np.abs(wanted).max())


def test_derivatives_without_float64():
    """What is float64 inside stays there, on the way back too."""
    start = jnp.asarray([0.3, -0.7, 1.1, 0.05], jnp.float32)
    narrow = jax.grad(jax.jit(lambda x: trained(FEW["nadam"], x[:3], lr=x[3])))(start)
    assert narrow.dtype == jnp.float32 and not jax.config.jax_enable_x64
    with wide():
        exact = jax.jit(jax.grad(lambda x: trained(FEW["nadam"], x[:3], lr=x[3])))(start.astype(jnp.float64))
    np.testing.assert_allclose(narrow, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


def test_derivatives_of_other_numbers():
    names = ("lr", "beta1", "beta2", "eps", "weight_decay")
    values = [0.05, 0.9, 0.99, 1e-3, 0.1]
    with wide():
        w, x = jnp.asarray([0.3, -0.7, 1.1]), jnp.asarray(values)
        found, wanted = slopes(lambda x: trained(ss.adamw(), w, **dict(zip(names, x, strict=True))), x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "lamb", "lion_cautious", "adafactor", "accumulate_adam"])
def test_derivatives_are_finite_where_a_gradient_is_zero(name):
    """A leaf whose gradient is always 0, and entries that are 0 in some steps."""
    optimizer = FEW[name]
    numbers = {"lr": 0.1} if "lr" in optimizer.hyperparameters() else {}

    def after(p, numbers, g):
        now, state = p, optimizer.init(p)
        for t in range(2):
            half = g["matrix"] * (jnp.arange(20) % 2).reshape(5, 4) * t
            now, state = optimizer.step(now, {"matrix": half, "bias": g["bias"] * 0}, state, **numbers)
        return sum(x.sum() for x in now.values())

    with wide() if name == "adafactor" else nullcontext():  # whose derivatives are beyond float32
        p = {k: x.astype(float) for k, x in start().items()}
        found = jax.jit(jax.grad(after, argnums=(0, 1, 2)))(p, numbers, {k: jnp.ones_like(x) for k, x in p.items()})
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))
    assert all(np.any(np.asarray(x)) for x in found[0].values())


@pytest.mark.parametrize("name", ["sqrt", "divide", "pow"])
def test_operations_without_a_derivative_have_that_of_zero_and_the_values_of_jax(name):
    x = jnp.asarray([0.0, -0.0, 1.0, 4.0, -1.0, jnp.inf, -jnp.inf, jnp.nan])
    a, b = (y.reshape(-1) for y in jnp.meshgrid(x, x))
    arguments = (x,) if name == "sqrt" else (a, b)
    ours, theirs = jax.jit(getattr(TRACED, name)), {"sqrt": jnp.sqrt, "divide": jnp.divide, "pow": jnp.pow}[name]
    np.testing.assert_array_equal(ours(*arguments), theirs(*arguments))
    places = tuple(range(len(arguments)))
    zero = [jnp.zeros(1)] if name == "sqrt" else [jnp.ones(1), jnp.zeros(1)]
    zero = zero[::-1] if name == "pow" else zero
    assert all(x == 0 for x in jax.grad(lambda *z: ours(*z).sum(), places)(*zero))
    three = [jnp.full(1, 3.0), jnp.full(1, 2.0)][: len(arguments)]
    found, wanted = (jax.grad(lambda *z, f=f: f(*z).sum(), places)(*three) for f in (ours, theirs))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_number_divided_by_an_array():
    """AdaBound's step size, inside a trace: the quotient has the shape of its denominator."""
    number, array = jnp.asarray(3.0), jnp.asarray([2.0, -4.0])
    np.testing.assert_array_equal(jax.jit(TRACED.divide)(number, array), [1.5, -0.75])
    found = jax.grad(lambda a, b: TRACED.divide(a, b).sum(), (0, 1))(number, array)
    np.testing.assert_allclose(found[0], 0.25)
    np.testing.assert_allclose(found[1], [-0.75, -0.1875])


def test_rounding_passes_derivatives_on():
    optimizer = ss.chain(ss.sgd(1.0), ss.stochastic_rounding(7))
    p = jnp.asarray([0.3, 0.7], jnp.bfloat16)

    def after(g):
        return optimizer.step(p, g, optimizer.init(p))[0].astype(jnp.float32).sum()

    np.testing.assert_array_equal(jax.jit(jax.grad(after))(jnp.ones(2)), [-1.0, -1.0])
