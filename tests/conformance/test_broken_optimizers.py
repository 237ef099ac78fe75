"""Optimizers with one fault each, written as a third party would: each is rejected by the check meant for it, only."""

import array_api_strict
import numpy as np
import pytest

import samestep as ss
from samestep.clock import Clock
from samestep_conformance import checks
from samestep_conformance.runs import Recorded, within
from samestep_conformance.suite import CHECKS, FAILED, LEFT_OUT, Subject, examine

BY_NAME = {check.name: check for check in CHECKS}


class Adam:
    """Right: that of the golden case."""

    def init(self, params):
        return {"step": 0} | {slot: {k: self.start(p) for k, p in params.items()} for slot in ("m", "v")}

    def start(self, p):
        return np.zeros_like(p)

    def count(self, t):
        return t + 1

    def step(self, params, grads, state):
        t, new, m, v = self.count(state["step"]), {}, {}, {}
        for k, p in params.items():
            with np.errstate(all="ignore"):
                m[k] = np.asarray(state["m"][k] * 0.9 + 0.1 * grads[k])
                v[k] = np.asarray(state["v"][k] * 0.999 + 0.001 * grads[k] * grads[k])
                new[k] = self.moved(p, 0.01 * self.direction(m[k], v[k], t + (t == 0)))
        return new, self.kept({"step": t, "m": m, "v": v}, grads)

    def direction(self, m, v, t):
        return m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    def moved(self, p, u):
        return np.asarray(p - u)

    def kept(self, state, grads):
        return state


class EpsInside(Adam):
    def direction(self, m, v, t):
        return m / (1 - 0.9**t) / np.sqrt(v / (1 - 0.999**t) + 1e-8)


class NoCorrection(Adam):
    def direction(self, m, v, t):
        return m / (np.sqrt(v) + 1e-8)


class InPlace(Adam):
    def moved(self, p, u):
        p -= u
        return p.copy()


class Aliased(Adam):
    def init(self, params):
        return super().init(params) | {"last": {k: np.zeros_like(p) for k, p in params.items()}}

    def kept(self, state, grads):
        return state | {"last": grads}


class Growing(Adam):
    def kept(self, state, grads):
        return state | {"more": 1}


class Foreign(Aliased):
    def kept(self, state, grads):
        return state | {"last": {k: array_api_strict.asarray(g, copy=True) for k, g in grads.items()}}


class Leaking(Adam):
    def start(self, p):
        return np.zeros(p.shape)

    def moved(self, p, u):
        return np.asarray(p - u, p.dtype)


class Widening(Adam):
    def moved(self, p, u):
        return np.asarray(p - np.float64(1) * u.astype(np.float64))


class Frozen(Adam):
    def count(self, t):
        return t


class Remembering(Adam):
    """Counts in itself, not in the state."""

    def __init__(self):
        self.t = 0

    def direction(self, m, v, t):
        self.t += 1
        return super().direction(m, v, self.t)


class Dividing(Adam):
    def direction(self, m, v, t):
        return m / np.sqrt(v)


class Scalarless(Adam):
    """What has no dimensions is no array to it."""

    def moved(self, p, u):
        return np.asarray(p - u if p.ndim else p.copy())


class Restless(Adam):
    """No gradient is one of zeros to it, but for the decay."""

    def step(self, params, grads, state):
        return super().step(params, {k: 0.1 * p if grads[k] is None else grads[k] for k, p in params.items()}, state)


FAULTS = [
    (EpsInside, "float64", {"matches the reference": "is that of torch.optim"}),
    (NoCorrection, "float64", {"matches the reference": "off by"}),
    (InPlace, "float32", {"pure": "inputs after the step, against before"}),
    (Aliased, "float32", {"pure": "share memory"}),
    (Leaking, "float32", {"dtype and shape kept": "float64 beside params of float32"}),
    (Widening, "float32", {"dtype and shape kept": "float32(7,) became float64(7,)"}),
    (Growing, "float32", {"dtype and shape kept": "step 1, state: the nesting became"}),
    (Foreign, "float32", {"dtype and shape kept": "an array of numpy became array_api_strict."}),
    (Frozen, "float64", {"matches the reference": "off by", "dtype and shape kept": "the state counts 0 steps"}),
    (
        Remembering,
        "float32",
        {"resumes from a copy": "resumed against going on", "empty and 0-d leaves": "no dimensions"},
    ),
    (Dividing, "float32", {"zero gradients": "gradients of 0 made it infinite or NaN"}),
    (Scalarless, "float32", {"empty and 0-d leaves": "a leaf of no dimensions against one of a single entry"}),
    (Restless, "float32", {"a leaf that wakes late": "'bias', which has no gradient"}),
]


def failures(optimizer, dtype):
    cell = examine(Subject("it", optimizer, "numpy", dtype, "adam"))
    return {outcome.check: outcome.message for outcome in cell.failures}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_right_one_passes_and_what_does_not_apply_is_left_out_with_its_reason(dtype):
    cell = examine(Subject("it", Adam(), "numpy", dtype, "adam"))
    assert not cell.failures
    left = {outcome.check: outcome.message for outcome in cell.outcomes if outcome.status == LEFT_OUT}
    assert left["donated equals fresh"] == "its step has no argument donate"
    assert left["no recompilation"] == "neither it nor the backend counts compilations"
    assert left["a leaf that wakes late"].startswith("it takes no gradient that is None: TypeError: ")
    assert ("matches the reference" in left) == (dtype == "float32")


@pytest.mark.parametrize(("broken", "dtype", "wanted"), FAULTS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_fault_is_found_by_the_check_meant_for_it(broken, dtype, wanted):
    found = failures(broken(), dtype)
    assert all(message in found[check] for check, message in wanted.items()), found
    assert set(found) <= set(wanted) | ({"long run"} if broken is Remembering else set()), found


@ss.direction(m=ss.zeros, v=ss.zeros)
def eps_inside(u, m, v, t, *, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam, wrong on purpose."""
    xp = ss.array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    return {"u": m / (1 - beta1**t) / xp.sqrt(v / (1 - beta2**t) + eps), "m": m, "v": v}


@ss.direction(m=ss.zeros, v=ss.zeros)
def no_correction(u, m, v, *, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam, wrong on purpose."""
    xp = ss.array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    return {"u": m / (xp.sqrt(v) + eps), "m": m, "v": v}


@pytest.mark.parametrize("page", [eps_inside, no_correction])
def test_a_broken_page_is_rejected_by_the_reference_and_by_no_other_check(page):
    broken = ss.chain(page(), ss.descend(0.01))
    assert set(failures(broken, "float64")) == {"matches the reference"}
    checks.same_bits(broken, ("numba", False), steps=20)


def test_a_leaf_that_takes_the_count_of_others_is_found(monkeypatch):
    row = Clock._row
    monkeypatch.setattr(Clock, "_row", lambda self, *at: row(self, *at)._replace(t=int(np.max(self.counts)) + 1))
    with pytest.raises(checks.Difference, match="'bias', awake since step 4, against a run of its own"):
        checks.wakes_late(ss.adam(0.1), "numpy")


def test_what_an_optimizer_raises_is_a_failure_and_the_rest_goes_on():
    class Raising(Adam):
        def step(self, params, grads, state):
            raise ValueError("no\nsuch thing")

    class Leaving(Adam):
        def step(self, params, grads, state):
            raise SystemExit(0)

    for broken, told in ((Raising(), "ValueError: no such thing"), (Leaving(), "SystemExit: 0")):
        cell = examine(Subject("it", broken, "numpy", "float32"))
        assert {o.message for o in cell.outcomes if o.status == FAILED} == {told}


def test_an_optimizer_may_count_its_compilations():
    class Counting(Adam):
        counted = 0

        def compilations(self):
            self.counted += 1
            return self.counted // 3

    with pytest.raises(checks.Difference, match="compiled again: the optimizer counted 0, now 1"):
        checks.compiles_once(Counting(), "numpy")


def test_an_optimizer_of_another_library_has_no_reference():
    import torch

    class Descent:
        def init(self, params):
            return {}

        def step(self, params, grads, state):
            return {k: torch.sub(p, grads[k], alpha=0.1) for k, p in params.items()}, state

    cell = examine(Subject("it", Descent(), "torch", "float32"))
    assert not cell.failures
    assert "it does not run on NumPy arrays, so there is no reference: TypeError" in cell.not_compared

    class Making(Descent):
        def step(self, params, grads, state):
            return {k: torch.as_tensor(p) - torch.as_tensor(grads[k]) for k, p in params.items()}, state

    with pytest.raises(checks.LeftOut, match="it makes 'torch' arrays of NumPy's"):
        checks.agrees(Making(), "torch")


def test_a_reference_that_fails_is_told_to_all_who_ask_for_it():
    """Not its steps before that alone, which a backend after the first one would pass with."""

    def steps():
        yield {}, {}
        raise RuntimeError("in step 2")

    recorded = Recorded(steps())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="in step 2"):
            list(recorded)


def test_a_number_is_judged_in_the_arithmetic_of_its_program():
    """1e-6 of it are 8 units in the last place of float32, and many more of float64."""
    ours, theirs = ({}, {"d": 1.0}), ({}, {"d": 1.0 + 1e-6})
    for dtype in ("bfloat16", "float32"):
        within(ours, theirs, 16.0, 1, "", dtype)
    with pytest.raises(checks.Difference, match="leaf 'd'"):
        within(ours, theirs, 16.0, 1, "", "float64")


def test_a_plan_that_is_made_again_in_every_step_is_seen(monkeypatch):
    step = ss.Optimizer.step

    def forgetful(self, *given, **more):
        self.stepper.plans.clear()
        self.stepper.recent = ()
        return step(self, *given, **more)

    monkeypatch.setattr(ss.Optimizer, "step", forgetful)
    with pytest.raises(checks.Difference, match="compiled again: plans counted"):
        checks.compiles_once(ss.adamw(), "numpy")
