"""A relay: some steps in JAX and NumPy, then in torch, then in JAX, and back; the same bits as staying.

So it starts on JAX, compiled, and comes back there with infinities and NaN: for what is exact, this is the test of
jax-jit, too.
"""

import numpy as np
import pytest

import samestep as ss
from samestep_conformance import checks
from samestep_conformance.arrays import FACTORED, Feed, asked, host, moved, params
from samestep_conformance.feeding import fed
from samestep_conformance.programs import optimizers
from samestep_conformance.runs import exactness, flushed, run

LEGS = (("jax", 4), ("numpy", 2), ("torch", 2), ("jax", 6), ("numpy", 1))  # library, steps
BAD_FROM = 11
SHAPES = {
    "float32": {"matrix": (37, 1), "scalar": (), "empty": (0, 3)},
    "float64": {"matrix": (37, 1)},
}


def exact():
    """Of the optimizers of the suite one for each structure and options whose class is exact."""
    found = {}
    for name, optimizer in optimizers().items():
        if exactness(optimizer, FACTORED) == "exact":
            found.setdefault(tuple(chain and chain.structure for chain in optimizer.chains), name)
    return {name: optimizers()[name] for name in found.values()}


PROGRAMS = exact()


def relayed(optimizer, dtype, grads, donate):
    """Params and state after every step, each leg on the backend that its library chooses."""
    optimizer = fed(optimizer)
    with asked(None, "numpy"):
        now = params(dtype, SHAPES[dtype])
        state = optimizer.init(now)
    t = 0
    for leg, steps in LEGS:
        now, state = moved(host(now), leg), moved(host(state), leg)
        for _ in range(steps):
            t += 1
            with asked(None, leg):
                now, state = optimizer.step(now, moved(grads(t), leg), state, donate=donate)
                found = host(now), host(state)
            yield found


def test_there_are_enough():
    assert len(PROGRAMS) > 40


def test_a_leg_runs_compiled():
    chosen = {leg: ss.explain(ss.adamw(), moved(np.ones(3), leg)).backend("") for leg, _ in LEGS}
    assert chosen == {"numpy": "numba", "torch": "numba", "jax": "jax-jit"}


@pytest.mark.parametrize("name, dtype", [(name, ("float32", "float64")[i % 2]) for i, name in enumerate(PROGRAMS)])
def test_every_exact_program(name, dtype):
    """In one dtype after the other: `samestep conform` has every program in both."""
    grads = Feed(BAD_FROM, subnormals=False)(dtype, SHAPES[dtype])  # which XLA flushes
    steps = sum(steps for _, steps in LEGS)
    staying = run(PROGRAMS[name], "numpy", dtype, steps, grads, shapes=SHAPES[dtype])
    relay = relayed(PROGRAMS[name], dtype, grads, donate=dtype == "float32")
    for t, (a, b) in enumerate(zip(relay, staying, strict=True), start=1):
        checks.equal(flushed(a), flushed(b), t, "relayed against staying")
