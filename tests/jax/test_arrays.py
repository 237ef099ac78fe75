"""JAX arrays through a step: what they are stays, old ones go, nothing is compiled twice; JAX's own containers."""

import dataclasses
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep.errors import DonationError, LeafError, TreeError

both = pytest.mark.parametrize("backend", ["jax-jit", "jax"])


def variety():
    """One of each kind."""
    return {
        "weak": jnp.asarray(1.0),
        "strong": jnp.ones(3),
        "put": jax.device_put(jnp.ones(2), jax.devices()[0]),
        "brain": jnp.ones((2, 2), jnp.bfloat16),
        "half": jnp.ones(3, jnp.float16),
        "complex": jnp.ones(2, jnp.complex64) * (1 + 2j),
        "empty": jnp.zeros((0, 3)),
    }


def traits(tree):
    return {k: (x.dtype, x.shape, x.weak_type, x.committed, x.sharding) for k, x in tree.items()}


def compilations():
    return backends.load("jax-jit").compilations()


@both
@pytest.mark.parametrize("donate", [False, True])
def test_what_an_array_is_stays(backend, donate):
    """Dtype, weak type, device, and whether it is bound to that; slots are strong, float32, and where the param is."""
    params = variety()
    grads, before = {k: jnp.ones_like(x) for k, x in params.items()}, traits(params)
    optimizer = ss.adamw(1e-2)
    with ss.use_backend(backend):
        state = optimizer.init(params)
        slots = traits(state["m"])
        for _ in range(2):
            params, state = optimizer.step(params, grads, state, donate=donate)
            assert traits(params) == before
            assert traits(state["m"]) == traits(state["v"]) == slots
    for leaf, (dtype, _, weak, committed, sharding) in slots.items():
        assert dtype == (jnp.complex64 if leaf == "complex" else jnp.float32) and not weak
        assert (committed, sharding) == before[leaf][3:]


@both
def test_donated_arrays_are_gone_and_grads_are_not(backend):
    params = variety()
    grads, optimizer = {k: jnp.ones_like(x) for k, x in params.items()}, ss.adamw(1e-2)
    with ss.use_backend(backend):
        state = optimizer.init(params)
        optimizer.step(params, grads, state)
        assert not any(x.is_deleted() for tree in (params, state["m"], grads) for x in tree.values())
        optimizer.step(params, grads, state, donate=True)
        assert all(x.is_deleted() for tree in (params, state["m"], state["v"]) for x in tree.values())
        assert not any(x.is_deleted() for x in grads.values())
        with pytest.raises(LeafError, match="was donated before"):
            optimizer.step(params, grads, state)


def test_donated_memory_is_used_again():
    params, optimizer = {"w": jnp.ones((300, 300)), "b": jnp.ones(300)}, ss.adamw(1e-2)
    state = optimizer.init(params)
    grads = jax.tree.map(jnp.ones_like, params)

    def addresses():
        return [x.unsafe_buffer_pointer() for tree in (params, state["m"], state["v"]) for x in tree.values()]

    before = addresses()
    params, state = optimizer.step(params, grads, state, donate=True)
    assert addresses() == before
    params, state = optimizer.step(params, grads, state)
    assert not set(addresses()) & set(before)


def test_what_nothing_changes_is_no_alias():
    """A slot that a step returns as it was is a copy: a later donation must not reach the old state."""
    optimizer = ss.chain(ss.sgd(0.1), ss.lookahead(k=5))
    params = {"w": jnp.ones(4)}
    state = optimizer.init(params)
    new, after = optimizer.step(params, params, state)
    old = {x.unsafe_buffer_pointer() for tree in (params, state) for x in jax.tree.leaves(tree) if hasattr(x, "dtype")}
    results = [x.unsafe_buffer_pointer() for tree in (new, after) for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]
    assert len(set(results)) == len(results) and not old & set(results)


def test_one_array_twice_cannot_be_donated():
    params = {"w": jnp.ones(3)}
    optimizer = ss.adamw(1e-2)
    state = optimizer.init(params) | {"v": params}
    with pytest.raises(DonationError, match="overlap"):
        optimizer.step(params, params, state, donate=True)
    tied = {"a": params["w"], "b": params["w"]}
    with pytest.raises(LeafError, match="share memory"):
        optimizer.init(tied)


# -- the quick look --------------------------------------------------------------------------------------------------


def looked(optimizer, *trees, donate=False):
    """Whether a steady step needs no closer look."""
    return optimizer.stepper.glance(*trees, donate) is not None


@pytest.fixture
def steady():
    """An optimizer that knows these arrays."""
    params = {"w": jnp.ones((3, 5)), "weak": jnp.asarray(1.0), "h": jnp.ones(4, jnp.bfloat16), "late": jnp.ones(2)}
    grads, optimizer = {k: x * 0.5 for k, x in params.items()} | {"late": None}, ss.nadam(1e-2)
    params, state = optimizer.step(params, grads, optimizer.init(params))
    return optimizer, params, grads, state


def test_a_steady_step_gives_the_bits_of_a_careful_one(steady):
    optimizer, params, grads, state = steady
    other = ss.nadam(1e-2)
    for donate in (False, False, True, True):
        assert looked(optimizer, params, grads, state, donate=donate) and not looked(other, params, grads, state)
        wanted = other.step(params, grads, state)
        other.stepper.recent = ()
        params, state = optimizer.step(params, grads, state, donate=donate)
        for a, b in zip(jax.tree.leaves((params, state)), jax.tree.leaves(wanted), strict=True):
            assert np.array_equal(a, b)
            assert isinstance(a, int | float) or (a.dtype, a.weak_type) == (b.dtype, b.weak_type)


def test_what_is_not_as_it_was_gets_a_closer_look(steady):
    optimizer, params, grads, state = steady
    x = grads["weak"]
    assert looked(optimizer, params, grads | {"weak": x + 1}, state)
    strong, half = jnp.ones(()), x.astype("float16")
    for other in (strong, half, jax.device_put(x, jax.devices()[0]), jnp.ones(1), np.asarray(x), None):
        assert not looked(optimizer, params, grads | {"weak": other}, state)
    assert not looked(optimizer, params, grads | {"late": params["late"]}, state)
    assert not looked(optimizer, params | {"late": np.ones(2)}, grads, state)
    assert not looked(optimizer, params | {"late": jnp.ones(3)}, grads, state)


def test_what_is_traced_gets_a_closer_look(steady):
    optimizer, params, grads, state = steady
    seen = []
    jax.jit(lambda x: seen.append(looked(optimizer, params, grads | {"w": x}, state)))(grads["w"])
    jax.jit(lambda n: seen.append(looked(optimizer, params, grads, state | {"step": n})))(1)
    assert seen == [False, False]


@pytest.mark.parametrize("twice", ["slot", "grad", "buffer"])
def test_one_array_twice_is_refused_before_anything_is_deleted(steady, twice):
    optimizer, params, grads, state = steady
    x = state["m"]["w"]
    if twice == "grad":
        grads = grads | {"w": x}
    else:
        state = state | {"v": state["v"] | {"w": x if twice == "slot" else x.addressable_data(0)}}
    assert looked(optimizer, params, grads, state)
    assert not looked(optimizer, params, grads, state, donate=True)
    with pytest.raises(DonationError, match="overlap"):
        optimizer.step(params, grads, state, donate=True)
    assert not any(x.is_deleted() for x in jax.tree.leaves((params, grads, state)) if hasattr(x, "dtype"))


def test_one_gradient_for_two_leaves_is_no_harm():
    params = {"a": jnp.ones(3), "b": jnp.zeros(3)}
    optimizer, g = ss.adamw(1e-2), jnp.ones(3)
    params, state = optimizer.step(params, {"a": g, "b": g}, optimizer.init(params), donate=True)
    assert looked(optimizer, params, {"a": g, "b": g}, state, donate=True)
    assert not looked(optimizer, params, {"a": g, "b": params["b"]}, state, donate=True)


def test_what_is_gone_gets_a_closer_look(steady):
    optimizer, params, grads, state = steady
    optimizer.step(params, grads, state, donate=True)
    assert not looked(optimizer, params, grads, state)
    with pytest.raises(LeafError, match="was donated before"):
        optimizer.step(params, grads, state)


def test_float64_outside_of_its_context():
    """A leaf that sleeps is copied as it is."""
    with backends.load("jax-jit").wide():
        params = {"a": jnp.ones(3), "b": jnp.ones(2)}
        optimizer, grads = ss.adamw(1e-2), {"a": jnp.ones(3), "b": None}
    state = optimizer.init(params)
    for _ in range(3):
        params, state = optimizer.step(params, grads, state)
        assert all(x.dtype == np.float64 for x in (*params.values(), *state["m"].values()))
    assert looked(optimizer, params, grads, state)


# -- what is compiled, and what is kept ------------------------------------------------------------------------------


def test_one_compilation_for_a_structure():
    """Not one for each step, learning rate, count, decay or optimizer; one more for another shape."""

    @ss.direction()
    def unlike_any_other(u, *, by=1.5):
        return {"u": u * by * by / 3.0}

    def chain(lr):
        return ss.chain(unlike_any_other(), ss.adamw(lr, weight_decay=lr))

    params = {"w": jnp.ones((3, 5)), "b": jnp.ones(5)}
    start = compilations()
    for lr in (0.1, 0.2):
        optimizer, now = chain(lr), jax.tree.map(jnp.ones_like, params)
        state = optimizer.init(now)
        for t in range(4):
            now, state = optimizer.step(now, params, state, lr=lr / (1 + t), donate=True)
    assert compilations() == start + 1
    scheduled = chain(lambda count: 0.1 / (1 + count))
    now = jax.tree.map(jnp.ones_like, params)
    now, state = scheduled.step(now, params, scheduled.init(now), donate=True)
    scheduled.step(now, params, state, donate=True)
    assert compilations() == start + 1
    turned = {"w": jnp.ones((5, 3)), "b": jnp.ones(5)}
    scheduled.step(turned, jax.tree.map(jnp.ones_like, turned), scheduled.init(turned), donate=True)
    assert compilations() == start + 2


def test_a_weak_type_compiles_once():
    params, optimizer = {"temperature": jnp.asarray(1.0)}, ss.lion(1e-2)
    state = optimizer.init(params)
    params, state = optimizer.step(params, {"temperature": jnp.ones(())}, state)
    start = compilations()
    optimizer.step(params, {"temperature": jnp.ones(())}, state)
    assert compilations() == start


def test_leaves_that_are_alike_share_their_machine_code():
    """An array of numbers for each leaf: rows of a table would make of each a function of its own, 5 times as slow."""
    params = {str(i): jnp.ones(8) for i in range(20)}
    optimizer = ss.adamw(1e-2)
    state = optimizer.init(params)
    bound = optimizer.stepper.plan(*_flat(params), [params[k] for k in sorted(params)]).batches[0].compiled
    table = bound.table(np.ones((1, len(bound.stages[-1].hosts))), np.zeros(20, int), np.ones((20, 0)))
    assert len(table) == 20 and all(row.ndim == 1 and row.dtype == np.float32 for row in table)
    assert state["step"] == 0


def _flat(params):
    from samestep import params as trees

    leaves, spec = trees.flatten(params)
    return spec, leaves


def test_results_are_freed():
    """What XLA compiled is kept, by its text; no array is."""
    optimizer, params = ss.adamw(1e-2), {"w": jnp.ones(3)}
    new, state = optimizer.step(params, params, optimizer.init(params))
    watch = weakref.ref(new["w"])
    del new, state
    gc.collect()
    assert watch() is None


@both
def test_a_leaf_without_a_gradient_stays(backend):
    params = {"a": jnp.ones(3), "weak": jnp.asarray(2.0), "b": jnp.ones(2)}
    optimizer = ss.adamw(1e-1)
    with ss.use_backend(backend):
        state = optimizer.init(params)
        new, state = optimizer.step(params, {"a": jnp.ones(3), "weak": None, "b": None}, state)
        assert state["step"] == {"a": 1, "weak": 0, "b": 0}
        assert traits(new) == traits(params) and np.array_equal(new["b"], params["b"])
        new, state = optimizer.step(new, {"a": None, "weak": jnp.ones(()), "b": jnp.ones(2)}, state)
        assert state["step"] == {"a": 1, "weak": 1, "b": 1}
        assert traits(new) == traits(params)


@both
def test_complex_leaves_are_pairs(backend):
    z = np.array([1 + 2j, -0.5j, 3.0], np.complex64)
    optimizer = ss.adamw(1e-2)
    state, wanted, wanted_state = optimizer.init(jnp.asarray(z)), z, optimizer.init(z)
    found = jnp.asarray(z)
    for _ in range(3):
        with ss.use_backend(backend):
            found, state = optimizer.step(found, jnp.asarray(z), state)
        with ss.use_backend("numpy"):
            wanted, wanted_state = optimizer.step(wanted, z, wanted_state)
    assert np.array_equal(found, wanted) and np.array_equal(state["v"], wanted_state["v"])


def test_verbs():
    optimizer = ss.chain(ss.adamw(1e-1), ss.lookahead())
    params = {"w": jnp.ones(3), "h": jnp.ones(2, jnp.bfloat16)}
    state = optimizer.init(params)
    assert optimizer.update(params, params, state)[0]["h"].dtype == jnp.bfloat16
    params, state = optimizer.step(params, params, state)
    at = optimizer.eval_params(params, state)
    assert {k: (type(x), x.dtype) for k, x in at.items()} == {k: (type(x), x.dtype) for k, x in params.items()}
    assert optimizer.restart(params, state)["step"] == 0
    assert optimizer.state_bytes(params) > 0


def test_explain():
    optimizer, params = ss.adamw(1e-2), {"w": jnp.ones(3)}
    line = ss.explain(optimizer, params).lines[0]
    assert (line.backend, line.exactness) == ("jax-jit", "exact")
    with ss.use_backend("jax"):
        assert ss.explain(optimizer, params).backend("w") == "jax"


# -- containers ------------------------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Net:
    w: object
    inner: object


class Frozen:
    """Registered as Flax registers its FrozenDict."""

    def __init__(self, items):
        self.items = dict(items)


jax.tree_util.register_pytree_with_keys(
    Frozen,
    lambda f: ([(jax.tree_util.DictKey(k), f.items[k]) for k in sorted(f.items)], tuple(sorted(f.items))),
    lambda keys, children: Frozen(zip(keys, children, strict=True)),
)


@both
def test_containers_of_jax(backend):
    net = Net(jnp.ones(3), Frozen({"b": jnp.zeros(2), "a": [jnp.ones(()), {"x": jnp.ones(1)}]}))
    grads = jax.tree.map(jnp.ones_like, net)
    optimizer = ss.groups({"inner.a.*": ss.freeze()}, default=ss.adamw(0.1))
    with ss.use_backend(backend):
        state = optimizer.init(net)
        assert isinstance(state["m"], Net) and state["m"].inner.items["a"][1] == {"x": None}
        new, state = optimizer.step(net, grads, state)
        new, state = optimizer.step(new, grads, state, donate=True)
    assert jax.tree.structure(new) == jax.tree.structure(net)
    assert new.inner.items["a"][0] == 1.0 and np.all(np.asarray(new.inner.items["b"]) < 0)
    with pytest.raises(TreeError, match=r"lacks leaf 'inner\.a\.0'"):
        optimizer.step(new, Net(grads.w, Frozen({"b": grads.w})), state)
