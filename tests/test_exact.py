"""The same bits everywhere: every program of the golden cases on every backend of this machine, 200 steps."""

import numpy as np
import pytest

import samestep as ss
from samestep_conformance import checks
from samestep_conformance.golden.cases import CASES
from samestep_numba import threads

STEPS = 200  # infinities and NaN from the middle on
MORE = {
    "cautious_count_clip": lambda ss: ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(1e-2, cautious="count")),
    "named_pair": lambda ss: ss.chain(ss.momentum(0.9, name="slow"), ss.scale_by_lion(), ss.descend(1e-2)),
    "trust_ratio": lambda ss: ss.chain(ss.scale_by_adam(), ss.trust_ratio(), ss.descend(1e-2)),
}
PROGRAMS = {case.name: case.ours for case in CASES} | MORE
SMALL = {"matrix": (5, 4), "bias": (7,), "scalar": (), "empty": (0, 3), "quiet": (5,)}


def classes(optimizer: ss.Optimizer) -> set[str]:
    """Of every leaf: what a matrix runs may be another program than what a vector runs."""
    return {line.exactness for line in ss.explain(optimizer, checks.params("float64", checks.FACTORED)).lines}


def distinct() -> dict[str, str]:
    """One case for each structure and options, with its class; numbers alone make no other program."""
    seen, found = set(), {}
    for name, make in PROGRAMS.items():
        structure = make(ss).chains[0].structure
        if structure not in seen:
            seen.add(structure)
            found[name] = max(classes(make(ss)), key=("exact", "reduce", "transcendental", "call").index)
    return found


CLASS = distinct()
PRINTED = [name for name, cls in CLASS.items() if cls in ("exact", "reduce")]


def test_the_programs_cover_the_classes():
    of = [list(CLASS.values()).count(cls) for cls in ("exact", "reduce", "call")]
    assert of[0] > 40 and min(of) > 2
    assert classes(ss.adamw(cautious="mean")) == {"exact"} and classes(ss.lamb()) == {"reduce"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", PRINTED)
def test_same_bits(name, dtype):
    """NumPy, Numba fresh and in place, and the strict standard where the class is exact, step by step."""
    backends = [("numba", False), ("numba", True), *([("strict", False)] if CLASS[name] == "exact" else [])]
    checks.same_bits(PROGRAMS[name](ss), *backends, dtype=dtype, steps=STEPS, bad_from=STEPS // 2, shapes=SMALL)


@pytest.mark.parametrize("name", PRINTED)
def test_same_bits_over_lanes_and_tiles(name):
    checks.same_bits(PROGRAMS[name](ss), ("numba", False), ("numba", True), steps=6)


@pytest.mark.parametrize("name", ["adamw", "lion_cautious", "lamb", "clip_adamw", "dog"])
@pytest.mark.parametrize("workers", [1, 2])
def test_threads_do_not_matter(name, workers, monkeypatch):
    """Leaves of several tiles, and the work cut into spans however little it is."""
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    shapes = {"large": (3, 70_001), "edge": (65_536,), "bias": (7,)}
    with threads.use_threads(workers):
        checks.same_bits(PROGRAMS[name](ss), ("numba", False), ("numba", True), steps=4, shapes=shapes)


@pytest.mark.parametrize("name", ["adamw", "lion_cautious"])
def test_large_results_pass_the_caches(name, monkeypatch):
    """The far stores of big fresh results, forced on small ones: aligned leaves and odd ones."""
    monkeypatch.setattr("samestep_numba.compiled.FAR", 0)
    shapes = {"aligned": (64, 128), "blocks": (1000, 16), "odd": (331,), "scalar": ()}
    for dtype in ("float16", "float32", "float64"):
        checks.same_bits(PROGRAMS[name](ss), ("numba", False), dtype=dtype, steps=5, shapes=shapes)


def test_half_precision_params_and_gradients():
    checks.same_bits(ss.adamw(1e-2), ("numba", False), ("numba", True), dtype="float16", steps=50)
    assert ss.adamw().init(np.ones(3, np.float16))["m"].dtype == np.float32
