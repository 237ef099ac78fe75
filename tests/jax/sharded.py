"""Run by test_sharding.py in a process of its own, with eight devices: prints nothing, or the first difference."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import samestep as ss
from samestep.errors import LeafError
from samestep_conformance.bits import identical

jax.config.update("jax_cpu_enable_async_dispatch", False)  # two programs that wait for each other share few cores here
SHAPES = {"w": (64, 32), "b": (16,), "r": (7, 6)}
SPECS = {"w": P("x", "y"), "b": P(), "r": P(None, "y")}
OPTIMIZERS = {
    "clip_cautious": ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(0.01, cautious="mean")),
    "lamb": ss.lamb(0.01),
    "lookahead": ss.chain(ss.adamw(0.01), ss.lookahead(k=2)),
    "adafactor": ss.adafactor(0.01),
    "muon": ss.muon(0.01),
}
LOOSE = {"adafactor": 1e-6, "muon": 1e-5}  # axes are summed, and matrices multiplied, device by device


def mesh(kind):
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))


def values(seed):
    rng = np.random.default_rng(seed)
    return {k: np.asarray(rng.normal(size=shape), np.float32) for k, shape in SHAPES.items()}


def same(a, b, name, what):
    for k in a:
        if a[k] is None:
            assert b[k] is None
            continue
        x, y = np.asarray(a[k]), np.asarray(b[k])
        good = np.allclose(x, y, rtol=LOOSE[name], atol=LOOSE[name]) if name in LOOSE else identical(x, y)
        assert good, f"{name}, {what}, {k}: {np.abs(x - y).max()} apart"


def as_unsharded(name, backend, kind):
    """Four steps, the last two donated: the numbers of NumPy, and every sharding as it was."""
    optimizer, where = OPTIMIZERS[name], mesh(kind)

    def put(tree):
        return {k: jax.device_put(x, NamedSharding(where, SPECS[k])) for k, x in tree.items()}

    def shardings(state):
        slots = [x for slot in state.values() if isinstance(slot, dict) for x in slot.items()]
        assert all(
            x.sharding.is_equivalent_to(now[k].sharding, x.ndim)
            for k, x in [*slots, *now.items()]
            if hasattr(x, "sharding") and x.shape == SHAPES[k]
        ), name

    plain, now = values(0), put(values(0))
    plain_state = optimizer.init(plain)
    with ss.use_backend(backend):
        state = optimizer.init(now)
        shardings(state)
    for t in range(1, 5):
        with ss.use_backend("numpy"):
            plain, plain_state = optimizer.step(plain, values(t), plain_state)
        with ss.use_backend(backend):
            now, state = optimizer.step(now, put(values(t)), state, donate=t > 2)
        shardings(state)
    same(plain, now, name, "params")
    for slot in state:
        if isinstance(state[slot], dict):
            same(plain_state[slot], state[slot], name, slot)


def inside_jit(name, kind):
    """A step inside the caller's jit gives the bits of the step outside, and leaves each array where it lay."""
    optimizer, where = OPTIMIZERS[name], mesh(kind)
    now, grads = ({k: jax.device_put(x, NamedSharding(where, SPECS[k])) for k, x in values(t).items()} for t in (0, 1))
    state = optimizer.init(now)
    outside, (inside, after) = optimizer.step(now, grads, state)[0], jax.jit(optimizer.step)(now, grads, state)
    same(outside, inside, name, "inside jit")
    assert all(x.sharding.is_equivalent_to(now[k].sharding, x.ndim) for k, x in (*inside.items(), *after["m"].items()))


def sharded_state_of_whole_params():
    """ZeRO: the params are everywhere, a slot in parts; each stays so."""
    where = mesh(AxisType.Auto)
    whole, parts = NamedSharding(where, P()), NamedSharding(where, P("x"))
    optimizer, params = ss.adamw(0.01), {"w": jax.device_put(values(0)["w"], whole)}
    state = optimizer.init(params)
    state = state | {slot: {"w": jax.device_put(state[slot]["w"], parts)} for slot in ("m", "v")}
    params, state = optimizer.step(params, params, state)
    assert params["w"].sharding.is_equivalent_to(whole, 2) and state["m"]["w"].sharding.is_equivalent_to(parts, 2)


def several_devices():
    """Leaves on devices of their own are stepped there; the arrays of one leaf must lie together."""
    one, other = jax.devices()[:2]
    params = {"a": jax.device_put(jnp.ones(3), one), "b": jax.device_put(jnp.ones(3), other), "free": jnp.ones(3)}
    optimizer = ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(0.01))
    for backend in ("jax-jit", "jax"):
        with ss.use_backend(backend):
            state = optimizer.init(params)
            new, state = optimizer.step(params, params, state)
            assert {k: (x.devices(), x.committed) for k, x in new.items()} == {
                "a": ({one}, True), "b": ({other}, True), "free": ({one}, False)
            }  # fmt: skip
            assert state["m"]["b"].devices() == {other}
            assert np.array_equal(new["a"], new["b"]) and np.array_equal(new["a"], new["free"])
    with pytest.raises(LeafError, match=r"lie on .*: put its param, gradient and slots on the same devices"):
        optimizer.step(params, params | {"a": params["b"]}, state)


def main():
    for name in OPTIMIZERS:
        as_unsharded(name, "jax-jit", AxisType.Auto)
    as_unsharded("clip_cautious", "jax-jit", AxisType.Explicit)
    as_unsharded("clip_cautious", "jax", AxisType.Auto)
    for kind in (AxisType.Auto, AxisType.Explicit):
        inside_jit("clip_cautious", kind)
    sharded_state_of_whole_params()
    several_devices()


if __name__ == "__main__":
    sys.exit(main())
