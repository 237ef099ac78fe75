"""What the host's conditions drop is not computed: `Stage.under`."""

import numpy as np
import pytest

import samestep as ss
from samestep.pinned import Pinned
from samestep.trace.stages import Stage

OPTIMIZERS = {
    "soap": (lambda: ss.soap(freq=3), [2, 0, 0, 2, 0, 0, 2]),
    "shampoo": (lambda: ss.shampoo(freq=3, graft="sgd"), [2, 0, 0, 2, 0, 0, 2]),
    "accumulated": (lambda: ss.chain(ss.accumulate(2), ss.shampoo()), [0, 2, 0, 2, 0, 2, 0]),
}


def steps(optimizer):
    rng, params = np.random.default_rng(0), np.ones((5, 4))
    state = optimizer.init(params)
    for _ in range(7):
        params, state = optimizer.step(params, rng.normal(size=(5, 4)), state)
        yield params, state


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_factors_are_computed_when_they_are_due(name, monkeypatch):
    make, expected = OPTIMIZERS[name]
    factorised, linalg, seen = [], Pinned.linalg, []
    monkeypatch.setattr(Pinned, "linalg", lambda self, *args: factorised.append(0) or linalg(self, *args))
    for _ in steps(make()):
        seen.append(len(factorised))
        factorised.clear()
    assert seen == expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_numbers_are_those_of_where(name, monkeypatch):
    gated = list(steps(OPTIMIZERS[name][0]()))
    monkeypatch.setattr(Stage, "gates", ())
    for (p, state), (q, other) in zip(gated, steps(OPTIMIZERS[name][0]()), strict=True):
        assert np.array_equal(p, q)
        assert all(np.array_equal(state[slot], other[slot]) for slot in other)


@ss.direction()
def every_other(u, t):
    xp = ss.array_namespace(u)
    return {"u": xp.where(t % 2 == 0, xp.sum(xp.matmul(u, u), axis=0, keepdims=True), u)}


def test_a_choice_has_the_shape_of_both():
    optimizer, params = ss.chain(every_other(), ss.trust_ratio(), ss.descend(1.0)), np.ones((3, 3))
    state = optimizer.init(params)
    for t in (1, 2):
        step, state = optimizer.step(params, np.eye(3), state)
        u = np.eye(3) if t == 1 else np.ones((3, 3))  # as wide as the leaf when its norm is taken
        np.testing.assert_allclose(step, params - u * 3 / np.linalg.norm(u), rtol=1e-12)
