"""The same step inside the caller's jit, scan, vmap, grad, checkpoint and shard_map."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optree
import pytest
from jax.sharding import AxisType, PartitionSpec

import samestep as ss
from samestep.errors import BackendError, HyperparameterError, LeafError, StateError
from samestep_conformance.arrays import moved, params
from samestep_conformance.golden.families import CASES

random = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "test_random.py")))
SMALL = {"matrix": (5, 4), "bias": (7,)}


def named(*names):
    found = {case.name: case.ours(ss) for case in CASES if case.name in names}
    assert found.keys() == set(names)
    return found


def scheduled(count):
    """A caller's own schedule."""
    return 0.1 / jnp.sqrt(1.0 + count)


CLIPPED = ss.chain(
    ss.clip_by_global_norm(1.0),
    ss.adamw(ss.schedules.warmup(ss.schedules.cosine(0.1, 20), 3), cautious="mean"),
)
FEW = {
    **named(
        "adamw", "nadam", "radam", "lamb", "adan", "lion_cautious", "adafactor", "muon", "dog", "lookahead",
        "accumulate_adam", "skip_nonfinite", "ftrl_prox",
    ),
    "clip_cautious_schedule": CLIPPED,
    "own_schedule": ss.adam(scheduled),
    "groups": ss.groups({"bias": {"lr": 0.3}}, default=ss.nadam(0.1)),
}  # fmt: skip
NUMBERS = {"nadam", "dog", "groups", "ftrl_prox"}  # which have number slots: they are float32 inside
EXACT = sorted(FEW.keys() - NUMBERS - {"own_schedule", "adafactor", "muon"})


def start(**more):
    return moved(params("float32", SMALL | more), "jax")


def grads(p, t):
    """Gradients of a step, half of them 0."""
    return {k: jnp.cos(2 * t + x) * (x > 0) for k, x in p.items()}


def near(ours, theirs, most=2e-7):
    """The same nesting; every array and number within so much of the largest entry of its array."""
    ours, theirs = (optree.tree_flatten(tree) for tree in (ours, theirs))
    assert ours[1] == theirs[1]
    for a, b in zip(ours[0], theirs[0], strict=True):
        assert not hasattr(b, "dtype") or a.dtype == b.dtype
        a, b = (np.asarray(x, complex) for x in (a, b))
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=most * np.nanmax(np.abs(b), initial=1e-30))


def traits(tree):
    return {k: (x.dtype, x.shape, x.weak_type) for k, x in tree.items()}


class Counted:
    """How often JAX traces it."""

    def __init__(self, function):
        self.function, self.traces = function, 0

    def __call__(self, *args, **kwargs):
        self.traces += 1
        return self.function(*args, **kwargs)


# -- jit ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FEW)
def test_jit(name):
    """The bits of NumPy's steps; with number slots as near as float32 is. It is traced once."""
    optimizer = FEW[name]
    counted = Counted(optimizer.step)
    inside, p = jax.jit(counted), params("float32", SMALL)
    state = optimizer.init(p)
    ours = moved((p, state), "jax")
    for t in range(1, 6):
        g = {k: np.float32(np.cos(2 * t + x) * (x > 0)) for k, x in p.items()}
        with ss.use_backend("numpy"):
            plain = optimizer.step(p, g, state)
        p, g, state = (moved(tree, "jax") for tree in (p, g, state))
        near(inside(p, g, state), plain, 0 if name in EXACT else 2e-7)
        ours = inside(ours[0], g, ours[1])
        p, state = plain
    near(ours, plain, 1e-6)
    assert counted.traces == 1


def test_factorisations():
    """Eigenvectors are as the library chooses them."""
    optimizer, p = named("shampoo")["shampoo"], start()
    state, g = optimizer.init(p), grads(p, 1)
    near(jax.jit(optimizer.step)(p, g, state), optimizer.step(p, g, state))


VARIETY = {
    "matrix": np.linspace(-1, 1, 12, dtype="f").reshape(4, 3),
    "weak": 0.7,
    "complex": np.array([1 + 2j, -0.5j], np.complex64),
    "brain": jnp.linspace(-1, 1, 5, dtype=jnp.bfloat16),
    "half": np.linspace(-1, 1, 3, dtype="e"),
    "empty": np.zeros((0, 3), "f"),
}


@pytest.mark.parametrize("optimizer", [FEW["nadam"], CLIPPED], ids=["nadam", "clip"])
def test_kinds_of_leaves_and_one_trace_while_numbers_change(optimizer):
    """Dtypes and weak types stay, those of counts and number slots too: nothing float64 comes out."""
    counted = Counted(lambda p, g, s, lr: optimizer.step(p, g, s, lr=lr))
    inside, p = jax.jit(counted), {k: jnp.asarray(x) for k, x in VARIETY.items()}
    g, ours, plain = p, (p, optimizer.init(p)), (p, optimizer.init(p))
    for t in range(10):
        ours, plain = inside(ours[0], g, ours[1], 0.1 / (1 + t)), optimizer.step(*_with(plain, g), lr=0.1 / (1 + t))
    near(ours, plain, 1e-6)
    near(optimizer.step(*_with(ours, g)), optimizer.step(*_with(plain, g)), 1e-6)
    assert counted.traces == 1
    assert traits(ours[0]) == traits(p) and traits(ours[1]["m"]) == traits(plain[1]["m"])
    numbers = [ours[1][key] for key in ("step", "mu_product") if key in ours[1]]
    assert [x.dtype for x in numbers] == [jnp.int32, jnp.float32][: len(numbers)]
    assert all(x.weak_type and x.shape == () for x in numbers)


def _with(pair, g):
    return pair[0], g, pair[1]


def test_the_whole_training_inside():
    """init too: a count that is known stays one, and a schedule of the caller is a tracer all the same."""
    optimizer, p = FEW["own_schedule"], start()

    def trained(p):
        state = optimizer.init(p)
        for t in range(3):
            p, state = optimizer.step(p, grads(p, t), state)
        assert state["step"] == 3 and type(state["step"]) is int
        return p, state

    near(jax.jit(trained)(p), trained(p), 1e-6)


def test_leaves_without_a_gradient():
    optimizer = ss.groups({"bias": {"lr": 0.3}, "quiet": ss.freeze()}, default=ss.nadam(0.1))
    p = start(quiet=(5,), scalar=())

    def some(p, g, s):
        return optimizer.step(p, {**g, "bias": None, "scalar": None}, s)

    state, g = optimizer.init(p), grads(p, 1)
    ours, plain = jax.jit(some)(p, g, state), some(p, g, state)
    near(ours, plain)
    assert plain[1]["step"] == {"matrix": 1, "bias": 0, "scalar": 0, "quiet": None}
    ours, plain = jax.jit(optimizer.step)(*_with(ours, g)), optimizer.step(*_with(plain, g))
    near(ours, plain, 1e-6)
    near(optimizer.step(*_with(ours, g)), optimizer.step(*_with(plain, g)), 1e-6)


def test_a_group_without_leaves_stays_in_the_state():
    optimizer, p = ss.groups({"*": ss.nadam(0.1)}, default=ss.nadam(0.2)), {"w": jnp.ones(2)}
    p, state = jax.jit(optimizer.step)(p, p, optimizer.init(p))
    assert state["mu_product"].keys() == {"*", "default"} and state["mu_product"]["default"] == 1.0
    optimizer.step(p, p, state)


@pytest.mark.parametrize("page, dtype", [("noise", "float32"), ("stochastic", "bfloat16"), ("kahan", "float16")])
def test_random_numbers_and_rounding(page, dtype):
    """The bits of the steps outside, inside jit and vmap."""
    optimizer, rng = random.PAGES[page], np.random.default_rng(5)
    p = {k: jnp.asarray(rng.normal(size=shape), dtype) for k, shape in {"w": (30, 7)}.items()}
    state = optimizer.init(p)
    for _ in range(3):
        plain = optimizer.step(p, p, state)
        near(jax.jit(optimizer.step)(p, p, state), plain, 0)
        p, state = plain
    if page == "stochastic":
        twice = optree.tree_map(lambda x: jnp.stack([x, x]), (p, p, state))
        members = jax.jit(jax.vmap(optimizer.step))(*twice)
        near(optree.tree_map(lambda x: x[1], members), optimizer.step(p, p, state), 0)


def test_other_verbs():
    optimizer = ss.chain(ss.adamw(0.1), ss.lookahead(k=2))
    p, g = start(), grads(start(), 1)
    p, state = optimizer.step(p, g, optimizer.init(p))
    near(jax.jit(optimizer.update)(p, g, state), optimizer.update(p, g, state), 1e-6)
    near(jax.jit(optimizer.eval_params)(p, state), optimizer.eval_params(p, state))
    near(jax.jit(optimizer.restart)(p, state), optimizer.restart(p, state))
    near(jax.jit(optimizer.init)(p), optimizer.init(p))


def test_donation_is_the_outer_functions():
    optimizer, p = FEW["adamw"], start()
    state, g = optimizer.init(p), grads(p, 1)
    plain = optimizer.step(p, g, state)
    near(jax.jit(lambda p, g, s: optimizer.step(p, g, s, donate=True))(p, g, state), plain)
    assert not any(x.is_deleted() for x in p.values())
    near(jax.jit(optimizer.step, donate_argnums=(0, 2))(p, g, state), plain)
    assert p["matrix"].is_deleted() and state["m"]["matrix"].is_deleted() and not g["matrix"].is_deleted()


@pytest.mark.parametrize("backend", ["jax", "jax-jit"])
def test_a_backend_asked_for(backend):
    optimizer, p = FEW["adamw"], start()
    with ss.use_backend(backend):
        plain = optimizer.step(p, p, optimizer.init(p))
        near(jax.jit(optimizer.step)(p, p, optimizer.init(p)), plain)
    with ss.use_backend("numpy"), pytest.raises(BackendError, match=r"use_backend\('numpy'\): it does not run on"):
        jax.jit(optimizer.step)(p, p, optimizer.init(p))


# -- scan, vmap, checkpoint, shard_map ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nadam", "adan", "accumulate_adam", "clip_cautious_schedule"])
def test_scan(name):
    """The state is the carry, as `init` makes it and as a step leaves it."""
    optimizer, p = FEW[name], start()
    plain = p, optimizer.init(p)

    def body(carry, t):
        return optimizer.step(*_with(carry, grads(carry[0], t))), carry[0]["bias"]

    ours, path = jax.lax.scan(body, plain, jnp.arange(4.0))
    near(jax.lax.scan(body, plain, jnp.zeros(1))[0], optimizer.step(*_with(plain, grads(plain[0], 0.0))))
    for t in range(4):
        assert np.allclose(path[t], plain[0]["bias"], atol=1e-6)
        plain = optimizer.step(*_with(plain, grads(plain[0], float(t))))
    near(ours, plain, 1e-6)


def test_cond_and_while():
    """Both branches give the same types."""
    optimizer, p = FEW["nadam"], start()
    state = optimizer.init(p)

    def maybe(go, p, state):
        return jax.lax.cond(go, lambda: optimizer.step(p, p, state), lambda: (p, state))

    near(jax.jit(maybe)(True, p, state), optimizer.step(p, p, state))
    near(jax.jit(maybe)(False, p, state), (p, state))
    looped = jax.lax.fori_loop(0, 2, lambda _, c: optimizer.step(*_with(c, p)), (p, state))
    near(looped, optimizer.step(*_with(optimizer.step(p, p, state), p)), 1e-6)


@pytest.mark.parametrize("name", ["adamw", "nadam", "lamb", "muon", "skip_nonfinite"])
def test_an_ensemble(name):
    """Members with a learning rate each are as if each were alone."""
    optimizer, lrs = FEW[name], jnp.array([0.1, 0.02])
    alone = [start(), {k: x * 0.5 for k, x in start().items()}]
    p = {k: jnp.stack([one[k] for one in alone]) for k in alone[0]}
    state = jax.vmap(optimizer.init)(p)
    assert state["step"].shape == (2,) and state["step"].dtype == jnp.int32
    step = jax.jit(jax.vmap(lambda p, g, s, lr: optimizer.step(p, g, s, lr=lr)))
    pairs = [(one, optimizer.init(one)) for one in alone]
    for t in range(3):
        g = {k: jnp.cos(9 * t * x) for k, x in p.items()}
        ones = [optimizer.step(*_member((p, g, state), i), lr=float(lrs[i])) for i in range(2)]
        p, state = step(p, g, state, lrs)
        for i, pair in enumerate(pairs):
            near(_member((p, state), i), ones[i])
            one = {k: jnp.cos(9 * t * x) for k, x in pair[0].items()}
            pairs[i] = optimizer.step(*_with(pair, one), lr=float(lrs[i]))
    for i, pair in enumerate(pairs):
        near(_member((p, state), i), pair, 1e-6)


def _member(trees, i):
    return optree.tree_map(lambda x: x[i], trees)


def test_checkpoint_in_value_and_grad_in_jit():
    optimizer, p = FEW["adamw"], start()
    state = optimizer.init(p)

    def after(step):
        return jax.jit(jax.value_and_grad(lambda p: step(p, jax.tree.map(jnp.sin, p), state)[0]["bias"].sum()))

    near(after(jax.checkpoint(optimizer.step))(p), after(optimizer.step)(p), 1e-6)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_shard_map(kind):
    optimizer, p = FEW["clip_cautious_schedule"], start()
    mesh = jax.make_mesh((1,), ("data",), axis_types=(kind,))

    def mapped(p, g):
        return optimizer.step(p, jax.tree.map(lambda x: jax.lax.pmean(x, "data"), g), optimizer.init(p))

    everywhere = PartitionSpec()
    step = jax.shard_map(mapped, mesh=mesh, in_specs=(everywhere, everywhere), out_specs=everywhere)
    near(jax.jit(step)(p, p), optimizer.step(p, p, optimizer.init(p)))


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_refusals_name_what_is_wrong_and_the_remedy():
    optimizer, p = FEW["adamw"], start()
    state = optimizer.init(p)
    with pytest.raises(LeafError, match=r"leaf 'bias': the gradient must have the shape of its param, \(7,\)"):
        jax.jit(lambda g: optimizer.step(p, {**g, "bias": g["bias"][:2]}, state))(p)
    with pytest.raises(StateError, match="slot 'm' of leaf 'bias' must be float32"):
        jax.jit(lambda x: optimizer.step(p, p, {**state, "m": {**state["m"], "bias": x}}))(jnp.ones(7, jnp.bfloat16))
    with pytest.raises(HyperparameterError, match="lr is one number; got an array of shape"):
        jax.jit(lambda lr: optimizer.step(p, p, state, lr=lr))(jnp.ones(3))
    with pytest.raises(HyperparameterError, match=r"lr is a number .* traced is given to a step: step\(\.\.\., lr="):
        jax.jit(lambda lr: ss.adamw(lr).init(p))(0.1)
    with pytest.raises(HyperparameterError, match="beta1 must be"):
        jax.jit(lambda p: optimizer.step(p, p, state, beta1=2.0))(p)
    with pytest.raises(HyperparameterError, match="step counts completed steps: an int"):
        jax.jit(lambda s: optimizer.hyperparameters(s["step"]))(state)
    deleted = jnp.ones(7)
    deleted.delete()
    with pytest.raises(LeafError, match="the gradient of leaf 'bias' was donated before"):
        jax.jit(lambda x: optimizer.step(p, {**p, "matrix": x, "bias": deleted}, state))(p["matrix"])


@pytest.mark.parametrize("schedule", [lambda n: 0.1 if n < 3 else 0.01, float, np.sqrt], ids=["if", "float", "numpy"])
def test_a_schedule_that_asks_for_the_count(schedule):
    optimizer, p = ss.sgd(schedule), start()
    with pytest.raises(TypeError) as caught:
        jax.jit(optimizer.step)(p, p, optimizer.init(p))
    assert "in the schedule of lr, whose count is not known yet: write it with" in caught.value.__notes__[0]


def test_only_a_number_of_the_state_is_traced():
    """After a step outside, whose plan knows these arrays."""
    optimizer, p = FEW["nadam"], start()
    state = optimizer.init(p)
    for _ in range(2):
        plain = optimizer.step(p, p, state)
    near(jax.jit(lambda n: optimizer.step(p, p, {**state, "step": n}))(0), plain)
    near(jax.jit(lambda x: optimizer.step(p, p, {**state, "mu_product": x}))(1.0), plain)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mu_product": 1.0}, "'mu_product' of the state is a dict by pattern with 'b', 'default'"),
        ({"mu_product": {"b": 1.0}}, "'mu_product' of the state is a dict by pattern with 'b', 'default'"),
        ({"mu_product": {"b": {"b": None, "w": None}, "default": 1.0}}, "'mu_product' .* is a number at leaf 'b'"),
        ({"step": {"b": None, "w": 1}}, "'step' of the state is a number at leaf 'b'; got None"),
    ],
)
def test_numbers_of_another_state_are_refused_inside_too(wrong, message):
    opt = ss.groups({"b": ss.nadam(0.1)}, default=ss.nadam(0.2))
    params = {"b": jnp.ones(2), "w": jnp.ones(2)}
    with pytest.raises(StateError, match=message):
        jax.jit(opt.step)(params, params, opt.init(params) | wrong)
