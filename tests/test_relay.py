"""A relay: some steps in NumPy, then in torch, then in JAX, and back; the same bits as staying."""

import pytest

import samestep as ss
from samestep_conformance import checks
from samestep_conformance.arrays import FACTORED, Feed, asked, host, moved, params
from samestep_conformance.golden.families import CASES
from samestep_conformance.runs import exactness, flushed, run

LEGS = ("numpy", "torch", "jax", "numpy")
STEPS = 3
SHAPES = {"matrix": (5, 4), "bias": (7,), "scalar": (), "empty": (0, 3)}


def exact():
    """One case for each structure and options whose class is exact."""
    found = {}
    for case in CASES:
        optimizer = case.ours(ss)
        if exactness(optimizer, FACTORED) == "exact":
            found.setdefault(optimizer.chains[0].structure, case)
    return {case.name: case.ours(ss) for case in found.values()}


PROGRAMS = exact()
FEW = ("adamw", "lion_cautious", "nadam", "adopt", "accumulate_adam", "skip_nonfinite")


def relayed(optimizer, dtype, grads):
    """Params and state after every step, each leg on the backend that its library chooses."""
    with asked(None, "numpy"):
        now = params(dtype, SHAPES)
        state = optimizer.init(now)
    t = 0
    for leg in LEGS:
        now, state = moved(host(now), leg), moved(host(state), leg)
        for _ in range(STEPS):
            t += 1
            with asked(None, leg):
                now, state = optimizer.step(now, moved(grads(t), leg), state, donate=True)
                found = host(now), host(state)
            yield found


def check(optimizer, dtype):
    grads = Feed(bad_from=8, subnormals=False)(dtype, SHAPES)  # which XLA flushes
    staying = run(optimizer, None, dtype, STEPS * len(LEGS), grads, shapes=SHAPES)
    for t, (a, b) in enumerate(zip(relayed(optimizer, dtype, grads), staying, strict=True), start=1):
        checks.equal(flushed(a), flushed(b), t, "relayed against staying")


def test_there_are_enough():
    assert len(PROGRAMS) > 40


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_exact_program(name):
    check(PROGRAMS[name], "float32")


@pytest.mark.parametrize("name", FEW)
def test_in_float64(name):
    check(PROGRAMS[name], "float64")
