"""What the suite feeds an optimizer whose step takes more than a gradient, and that it is looked at."""

import re

import numpy as np
import pytest

import samestep as ss
from samestep_conformance.arrays import FEW, gradients, params
from samestep_conformance.feeding import POINTS, fed
from samestep_conformance.programs import optimizers
from samestep_conformance.suite import CHECKS, PASSED, Subject, examine

LR, EVERY, STEPS = 0.1, 3, 8
SVRG = ss.svrg(LR, every=EVERY)


def test_two_gradients_and_a_refresh_as_written_out():
    """The gradient at the snapshot is the one at x in reverse order, the full one that of the step that needs it."""
    taken, grads, now = fed(SVRG), gradients("float64", FEW), params("float64", FEW)
    state, full, snapshot, expected = taken.init(now), {}, now, now
    with np.errstate(all="ignore"):
        for t in range(1, STEPS + 1):
            g = grads(t)
            full = g if t % EVERY == 1 else full
            expected = {k: p - LR * (g[k] - np.flip(g[k]) + full[k]) for k, p in expected.items()}
            snapshot = expected if t % EVERY == 0 else snapshot
            now, state = taken.step(now, g, state)
            for k, p in expected.items():
                assert np.array_equal(now[k], p)
                assert np.array_equal(state[POINTS]["snapshot"][k], snapshot[k])
                assert np.array_equal(state[POINTS]["evaluated"][k], snapshot[k])


def test_what_takes_a_gradient_alone_is_not_fed():
    plateau = ss.chain(ss.reduce_on_plateau(), ss.adam(1e-3))  # its metric may be left out
    assert [fed(each) is each for each in (ss.adam(1e-3), plateau, object)] == [True] * 3
    assert fed(ss.chain(ss.flooding(1.0), ss.adam(1e-3))).init(params("float32", FEW))[POINTS].keys() == {
        "x",
        "evaluated",
    }


def test_a_coin_falls_on_both_sides():
    taken, now, sides = fed(optimizers()["l_svrg"]), params("float32", FEW), set()
    state = taken.init(now)
    for t in range(1, STEPS):
        now, state = taken.step(now, gradients("float32", FEW)(t), state)
        sides.add(taken.optimizer.needs_refresh({k: v for k, v in state.items() if k != POINTS}))
    assert sides == {True, False}


def failures(backend, *names):
    checks = [check for check in CHECKS if check.name in names]
    cell = examine(Subject("it", SVRG, backend, "float32", shapes=FEW), checks)
    return {outcome.check: outcome.message for outcome in cell.failures}


@pytest.mark.parametrize("point", ["snapshot", "evaluated"])
def test_a_point_that_is_off_is_a_difference(point, monkeypatch):
    verb = {"snapshot": "query", "evaluated": "eval_params"}[point]
    right = getattr(ss.Optimizer, verb)

    def wrong(optimizer, now, state):
        found = right(optimizer, now, state)
        if type(now["bias"]) is np.ndarray:
            return found
        at = found.get(point, found)
        at = at | {"bias": at["bias"] * 1.0000001}
        return found | {point: at} if verb == "query" else at

    monkeypatch.setattr(ss.Optimizer, verb, wrong)
    found = failures("strict", "same bits")
    assert f"leaf '{POINTS}.{point}.bias'" in found["same bits"], found


def test_a_refresh_that_keeps_the_gradient_is_found(monkeypatch):
    right = ss.Optimizer.refresh
    monkeypatch.setattr(
        ss.Optimizer, "refresh", lambda self, now, full, state: right(self, now, full, state) | {"g_full": full}
    )
    found = failures("numpy", "pure", "donated equals fresh")
    said = r"slot 'g_full' of leaf '(\w+)' and gradient of leaf '\1' overlap"  # of the leaf that lies first in memory
    assert re.search(said, found["donated equals fresh"])


def test_all_that_is_fed_passes_every_check():
    """Here on the reference alone; `samestep conform` runs them everywhere."""
    made = {name: optimizer for name, optimizer in optimizers().items() if fed(optimizer) is not optimizer}
    assert made.keys() >= {"svrg", "l_svrg", "katyusha", "katyusha_convex", "l_katyusha", "natasha"}
    made["an array for each leaf"] = ss.chain(ss.add_noise(0.1, seed=None), ss.adam(1e-3))
    for name, optimizer in made.items():
        cell = examine(Subject(name, optimizer, "numpy", "float32", shapes=FEW))
        assert not cell.failures and sum(outcome.status == PASSED for outcome in cell.outcomes) >= 11, (name, cell)
