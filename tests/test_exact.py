"""The same bits everywhere: every program of the golden cases on every backend of this machine, 200 steps."""

import numpy as np
import pytest
from samestep_conformance import checks
from samestep_conformance.golden.cases import CASES
from samestep_numba import threads

import samestep as ss

STEPS = 200
MORE = {
    "cautious_count_clip": lambda ss: ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(1e-2, cautious="count")),
    "named_pair": lambda ss: ss.chain(ss.momentum(0.9, name="slow"), ss.scale_by_lion(), ss.descend(1e-2)),
    "trust_ratio": lambda ss: ss.chain(ss.scale_by_adam(), ss.trust_ratio(), ss.descend(1e-2)),
}
PROGRAMS = {case.name: case.ours for case in CASES} | MORE


def exactness(optimizer: ss.Optimizer) -> str:
    return ss.explain(optimizer, checks.params("float64", checks.FACTORED)).lines[0].exactness


CLASS = {name: exactness(make(ss)) for name, make in PROGRAMS.items()}
EXACT = [name for name, cls in CLASS.items() if cls == "exact"]
PRINTED = [name for name, cls in CLASS.items() if cls in ("exact", "reduce")]


def test_the_programs_cover_the_classes():
    assert len(EXACT) > 60 and len(PRINTED) > len(EXACT) and "call" in CLASS.values()
    assert CLASS["adamw"] == CLASS["lion_cautious"] == "exact" and CLASS["lamb"] == CLASS["clip_adamw"] == "reduce"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRINTED)
def test_numba_is_numpy(name, dtype):
    """Finite gradients with zeros, subnormals, 1e-30 and 1e30 first; infinities and NaN in the second half."""
    checks.same_bits(PROGRAMS[name](ss), "numba", dtype=dtype, steps=STEPS, bad_from=STEPS // 2)


@pytest.mark.parametrize("name", PRINTED)
def test_in_place_is_fresh(name):
    checks.same_bits(PROGRAMS[name](ss), "numba", dtype="float32", steps=STEPS, bad_from=STEPS // 2, donate=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXACT)
def test_strict_is_numpy(name, dtype):
    small = {"matrix": (5, 4), "bias": (7,), "scalar": (), "empty": (0, 3)}
    checks.same_bits(PROGRAMS[name](ss), "strict", dtype=dtype, steps=STEPS, bad_from=STEPS // 2, shapes=small)


@pytest.mark.parametrize("name", ["adamw", "lion_cautious", "lamb", "clip_adamw", "dog"])
@pytest.mark.parametrize("workers", [1, 2])
def test_threads_do_not_matter(name, workers, monkeypatch):
    """Leaves of several tiles, and the work cut into spans however little it is."""
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    shapes = {"large": (3, 70_001), "edge": (65_536,), "bias": (7,)}
    with threads.use_threads(workers):
        for donate in (False, True):
            checks.same_bits(PROGRAMS[name](ss), "numba", dtype="float32", steps=4, shapes=shapes, donate=donate)


@pytest.mark.parametrize("name", ["adamw", "lion_cautious"])
def test_large_results_pass_the_caches(name, monkeypatch):
    """The far stores of big fresh results, forced on small ones: aligned leaves and odd ones."""
    monkeypatch.setattr("samestep_numba.compiled.FAR", 0)
    shapes = {"aligned": (64, 128), "blocks": (1000, 16), "odd": (331,), "scalar": ()}
    for dtype in ("float16", "float32", "float64"):
        checks.same_bits(PROGRAMS[name](ss), "numba", dtype=dtype, steps=5, shapes=shapes)


def test_half_precision_params_and_gradients():
    for dtype in ("float16",):
        checks.same_bits(ss.adamw(1e-2), "numba", dtype=dtype, steps=50)
        state = ss.adamw().init(np.ones(3, dtype))
        assert state["m"].dtype == np.float32
