"""The same bits everywhere: every program of the golden cases on every backend of this machine, 200 steps."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial

import numpy as np
import pytest

import samestep as ss
from samestep_conformance import checks
from samestep_conformance.golden.families import CASES
from samestep_numba import threads

STEPS = 200  # infinities and NaN from the middle on
MORE = {
    "hidden_adam": lambda ss: ss.chain(ss.hidden_accumulation(3), ss.adamw(1e-2)),
    "hidden_fewer": lambda ss: ss.chain(ss.hidden_accumulation(2, fewer_updates=True), ss.sgd(1e-2, momentum=0.9)),
    "warm_restart": lambda ss: ss.chain(ss.warm_restart(5, reset=("m",)), ss.nadam(1e-2, schedule="none")),
    "ema_warmup": lambda ss: ss.chain(ss.sgd(1e-2), ss.ema(kind="warmup")),
    "cautious_count_clip": lambda ss: ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(1e-2, cautious="count")),
    "named_pair": lambda ss: ss.chain(ss.momentum(0.9, name="slow"), ss.scale_by_lion(), ss.descend(1e-2)),
    "trust_ratio": lambda ss: ss.chain(ss.scale_by_adam(), ss.trust_ratio(), ss.descend(1e-2)),
}
PROGRAMS = {case.name: case.ours for case in CASES} | MORE
SMALL = {"matrix": (5, 4), "bias": (7,), "scalar": (), "empty": (0, 3), "quiet": (5,)}
STRICT = {leaf: SMALL[leaf] for leaf in ("matrix", "quiet")}  # the slowest backend; the other shapes take a few steps
TILE = 256  # in place of 65536: what a thread takes at least, and what a sum is cut into
TILES = {"tiles": (2, 300), "quiet": (5,)}  # spans of two threads, one of them within a leaf
WIDE = {"large": (2, 40_001), "edge": (65_536,), "bias": (7,)}  # more than a tile of a kernel, just one, and less


def classes(optimizer: ss.Optimizer) -> set[str]:
    """Of every leaf: what a matrix runs may be another program than what a vector runs."""
    programs = [optimizer.chains[0].program(shape) for shape in checks.FACTORED.values()]
    return {"call" if program.free else program.exactness for program in programs}  # free: evaluated, not printed


def distinct() -> dict[str, str]:
    """One case for each structure and options, with its class; numbers alone make no other program."""
    seen, found = set(), {}
    for name, make in PROGRAMS.items():
        structure = make(ss).chains[0].structure
        if structure not in seen:
            seen.add(structure)
            found[name] = max(classes(make(ss)), key=("exact", "reduce", "transcendental", "call").index)
    return found


def each(cases: list[str]) -> list[str]:
    """The first case of every named constructor, and of every page."""
    seen, found = set(), []
    for name in cases:
        optimizer = PROGRAMS[name](ss)
        here = {part.page for part in optimizer.chains[0].parts} | {str(optimizer).partition("(")[0]}
        if not here <= seen:
            seen |= here
            found.append(name)
    return found


CLASS = distinct()
PRINTED = [name for name, cls in CLASS.items() if cls in ("exact", "reduce")]
EACH = each(PRINTED)
MORE_OPTIONS = [name for name in PRINTED if name not in EACH]
GRADS = {
    (dtype, bad_from): cache(checks.gradients(dtype, shapes, bad_from))
    for dtype in ("float32", "float64")
    for shapes, bad_from in ((WIDE, 4), (TILES, STEPS // 2))
}


def side_by_side(
    optimizer, grads, steps, shapes, *runs: tuple[str, bool, Callable[[], AbstractContextManager]], dtype="float32"
):
    """Params and state of every (backend, donate, context) are those of NumPy, bit for bit, in every step."""
    going = partial(checks.run, optimizer, dtype=dtype, steps=steps, grads=grads, shapes=shapes)
    others = [(going(backend, donate=donate), context) for backend, donate, context in runs]
    for t, theirs in enumerate(going("numpy"), start=1):
        for (ours, context), (backend, donate, _) in zip(others, runs, strict=True):
            with context():
                now = next(ours)
            checks.equal(now, theirs, t, f"params and state ({backend}{' in place' if donate else ''})")


def test_the_programs_cover_the_classes():
    of = [list(CLASS.values()).count(cls) for cls in ("exact", "reduce", "call")]
    assert of[0] > 40 and min(of) > 2
    assert classes(ss.adamw(cautious="mean")) == {"exact"} and classes(ss.lamb()) == {"reduce"}
    lines = ss.explain(ss.muon(), checks.params("float64", checks.FACTORED)).lines
    assert {line.exactness for line in lines} == classes(ss.muon()) == {"exact", "call"}


THREADS = [("numba", donate, partial(threads.use_threads, n)) for n in (1, 2) for donate in (False, True)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EACH)
def test_same_bits(name, dtype, monkeypatch):
    """NumPy, Numba fresh and in place, of one thread and two, and the strict standard where the class is exact."""
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    monkeypatch.setattr("samestep_numba.compiled.TILE", TILE)
    monkeypatch.setattr("samestep.pinned.TILE", TILE)  # the same of every library that is evaluated
    strict = [("strict", False, nullcontext)] if CLASS[name] == "exact" else []
    side_by_side(PROGRAMS[name](ss), GRADS[dtype, STEPS // 2], STEPS, TILES, *THREADS, *strict, dtype=dtype)


@pytest.mark.parametrize("name", MORE_OPTIONS)
def test_same_bits_with_other_options(name):
    """The programs that an optimizer's options choose: fewer steps, and one dtype after the other."""
    dtype = ("float32", "float64")[MORE_OPTIONS.index(name) % 2]
    strict = [("strict", False)] if CLASS[name] == "exact" else []
    checks.same_bits(PROGRAMS[name](ss), ("numba", True), *strict, dtype=dtype, steps=40, bad_from=20, shapes=STRICT)


@pytest.mark.parametrize("name", EACH)
def test_same_bits_over_lanes_and_shapes(name):
    strict = [("strict", False)] if CLASS[name] == "exact" else []
    checks.same_bits(PROGRAMS[name](ss), ("numba", False), ("numba", True), *strict, steps=6, bad_from=5)


@pytest.mark.parametrize("name", ["adamw", "lion_cautious", "lamb", "clip_scaled"])
def test_threads_do_not_matter(name, monkeypatch):
    """Tiles of the true size, above which a leaf is cut, on one thread and two."""
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    side_by_side(PROGRAMS[name](ss), GRADS["float32", 4], 5, WIDE, *THREADS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("workers", [1, 2])
def test_same_bits_in_groups(workers, dtype, monkeypatch):
    """Two chains, other numbers, frozen leaves, one clip over all of them, and a leaf that wakes late."""
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    patterns = {
        "bias": {"lr": 0.05, "weight_decay": 0.3},
        "matrix": ss.chain(ss.lion(1e-2, cautious="mean"), ss.trust_ratio()),
        "scalar": ss.freeze(),
        "quiet": ss.sgd(1e-2, momentum=0.9),
    }
    groups = ss.groups(patterns, default=ss.adamw(1e-2, weight_decay=0.1))
    given = checks.gradients(dtype, checks.SHAPES, bad_from=STEPS // 2)

    def grads(t):
        return given(t) | ({"lanes": None, "bias": None} if t < 5 else {"matrix": None} if t % 7 == 0 else {})

    context = partial(threads.use_threads, workers)
    optimizer = ss.chain(ss.clip_by_global_norm(1.0, nonfinite="zero"), groups)
    runs = [("numba", False, context), ("numba", True, context)]
    side_by_side(optimizer, grads, STEPS, checks.SHAPES, *runs, dtype=dtype)


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
