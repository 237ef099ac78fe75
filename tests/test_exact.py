"""The same bits everywhere: every program of the golden cases on every backend of this machine, 200 steps."""

import pkgutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, partial
from importlib import import_module
from itertools import cycle, product

import numpy as np
import pytest

import samestep as ss
from samestep import schedules
from samestep.algorithms.muon import aux_step
from samestep.algorithms.soap import decay_behind
from samestep.catalogue import entries
from samestep.page import Page
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
VECTORS = {"tiles": (600,), "quiet": (5,)}  # for what is printed for them alone
WIDE = {"large": (2, 40_001), "edge": (65_536,), "bias": (7,)}  # more than a tile of a kernel, just one, and less
SNAPSHOTS = {
    "svrg": ss.svrg(1e-2, every=9),
    "random": ss.svrg(1e-2, every=9, iterate="random"),
    "coin": ss.l_svrg(1e-2),
    "katyusha": ss.katyusha(1e-2, every=9),
    "l_katyusha": ss.l_katyusha(1e-2, n=9, convexity=1e-3),
    "natasha": ss.natasha(1e-2, sigma=1e-3, every=20),
    "last": ss.mars(1e-2, exact=True),
}
FURTHER = {  # the pages that no golden case has, several in a program
    "by_call": ss.chain(
        ss.unscale(),
        ss.reduce_on_plateau(patience=3, name="plateau"),
        ss.flooding(0.1),
        ss.add_noise(1e-2),
        ss.radam(1e-2, weight_decay=0.1, decay="decoupled", fallback="skip"),
        ss.stochastic_rounding(),
    ),
    "leading": ss.chain(
        ss.loss_scaling(4.0, growth_interval=7),
        ss.agd(),
        ss.descend(1e-2),
        decay_behind(weight_decay=0.1),
        ss.master_weights(),
    ),
    "rounding": ss.chain(ss.kahan(1e-2)),
    "sigma": ss.chain(ss.ftrl_proximal(0.1), ss.monitor_sigma()),
    "snapshots": ss.groups(SNAPSHOTS, default=ss.natasha(1e-2, sigma=1e-3, every=20, iterate="random")),
    "vectors": ss.chain(
        ss.centralize(), ss.scale_by_sm3(), ss.scale_by_muon(name="muon"), aux_step(1e-3), ss.agd_velocity(1e-2)
    ),
    "plus": ss.schedule_free_plus(1e-2),
    "sums": ss.chain(
        ss.adaptive_clip(0.1),
        ss.scale_by_adafactor(),
        ss.scale_by_came(name="came"),
        ss.amos_schedule(1e-2, eta=0.5),
        ss.monitor_step(),
    ),
}
LEAVES = {"snapshots": dict.fromkeys([*SNAPSHOTS, "quiet"], (300,)), "vectors": VECTORS, "sums": VECTORS}
NEVER_PRINTED = {
    "scale_by_adashift": "call",
    "scale_by_shampoo": "call",
    "scale_by_soap": "call",
    "scale_by_eg_gains": "transcendental",
    "eg_gains_step": "transcendental",
    "multiply": "transcendental",
    "multiply_pair": "transcendental",
    "madgrad_step": "transcendental",
    "scale_by_sc_adagrad": "transcendental",
    "scale_by_sc_rmsprop": "transcendental",
}
CALL = {  # what only a call of step can give, in the step after so many
    "loss": lambda t: 0.3 * (t % 3),
    "metric": lambda t: max(1 / (1 + t), 0.05),
    "grad_scale": lambda t: 2.0 ** (t % 9),
    "found_inf": lambda t: float(t % 11 == 5),
    "coin": lambda t: t % 7 == 3,
}


def parts(optimizer: ss.Optimizer) -> list:
    return [part for chain in optimizer.chains for part in chain.parts]


def pages(optimizer: ss.Optimizer) -> set[Page]:
    return {part.page for part in parts(optimizer)}


def backwards(array):
    xp = ss.array_namespace(array)
    return xp.asarray(xp.flip(array), copy=True)


class Called:
    """An optimizer that is given what it needs of a call: the gradient at the snapshot is that at x, backwards."""

    def __init__(self, optimizer: ss.Optimizer):
        self.optimizer, self.init = optimizer, optimizer.init
        slots = {slot: spec for part in parts(optimizer) for slot, spec in part.page.slots.items()}
        self.given = [slot for slot, spec in slots.items() if spec.shape == "given"]

    def step(self, params, grads, state, **options):
        if self.optimizer.stepper.second:
            if self.optimizer.needs_refresh(state):
                state = self.optimizer.refresh(params, grads, state)
            grads = {"x": grads, "snapshot": {leaf: backwards(grad) for leaf, grad in grads.items()}}
        given = {name: CALL[name](state["step"]) for name in self.given}
        return self.optimizer.step(params, grads, state, **given, **options)


def classes(optimizer: ss.Optimizer, shapes: dict[str, tuple] = checks.FACTORED) -> set[str]:
    """Of every leaf: what a matrix runs may be another program than what a vector runs."""
    programs = [chain.program(shape) for chain in optimizer.chains for shape in shapes.values()]
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
    """As few cases as have every page."""
    have: dict[str, set[Page]] = {}
    for name in cases:
        if not pages(PROGRAMS[name](ss)) <= set().union(*have.values()):
            have[name] = pages(PROGRAMS[name](ss))
    for name in list(have):
        if have[name] <= set().union(*(have[other] for other in have if other != name)):
            del have[name]
    return list(have)


CLASS = distinct()
PRINTED = [name for name, cls in CLASS.items() if cls in ("exact", "reduce")]
EACH = each(PRINTED)
MORE_OPTIONS = [name for name in PRINTED if name not in EACH]
LONG = {name: PROGRAMS[name](ss) for name in EACH} | FURTHER  # the programs of 200 steps
OPTIMIZERS = LONG | {name: PROGRAMS[name](ss) for name in MORE_OPTIONS}
DTYPES = ("float32", "float64")
IN_TURN = list(zip(MORE_OPTIONS, cycle(DTYPES), strict=False))  # what options choose: one dtype after the other
BRIEF = [*product(LONG, DTYPES), *IN_TURN]


@cache
def grads_of(dtype: str, shapes: tuple, bad_from: int) -> Callable:
    return cache(checks.gradients(dtype, dict(shapes), bad_from))


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


def test_every_page_is_in_a_program_of_200_steps():
    """But for those that are of no class for which the bits are promised, on any leaf."""
    found = {
        page
        for module in pkgutil.walk_packages(ss.__path__, "samestep.")
        for page in vars(import_module(module.name)).values()
        if isinstance(page, Page) and not page.__name__.startswith("_")
    }
    covered = set().union(*map(pages, LONG.values()))
    assert {page.__name__ for page in found - covered} == NEVER_PRINTED.keys()
    makers = [entry for entry in entries().values() if entry.kind != "schedule"]
    made = [entry.example for entry in makers if entry.example is not None]
    for page in found - covered:
        having = [optimizer for optimizer in made if page in pages(optimizer)]
        assert having, page
        assert {cls for optimizer in having for cls in classes(optimizer)} == {NEVER_PRINTED[page.__name__]}


THREADS = [("numba", donate, partial(threads.use_threads, n)) for n in (1, 2) for donate in (False, True)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", LONG)
def test_same_bits(name, dtype, monkeypatch):
    """NumPy, Numba fresh and in place, of one thread and two, and the strict standard where the class is exact."""
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    monkeypatch.setattr("samestep_numba.compiled.TILE", TILE)
    monkeypatch.setattr("samestep.pinned.TILE", TILE)  # the same of every library that is evaluated
    optimizer, shapes = LONG[name], LEAVES.get(name, TILES)
    strict = [("strict", False, nullcontext)] if classes(optimizer, shapes) == {"exact"} else []
    assert classes(optimizer, shapes) <= {"exact", "reduce"}
    grads = grads_of(dtype, tuple(shapes.items()), STEPS // 2)
    side_by_side(Called(optimizer), grads, STEPS, shapes, *THREADS, *strict, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_same_bits_of_schedules(dtype):
    """Every schedule, each at a leaf of its own."""
    made = {
        "constant": schedules.constant(0.1),
        "step": schedules.step(0.1, 30),
        "multistep": schedules.multistep(0.1, [20, 90]),
        "linear": schedules.linear(0.1, 0.01, 150),
        "exponential": schedules.exponential(0.1, 0.9, 7),
        "inverse_time": schedules.inverse_time(0.1, 0.3),
        "inverse_sqrt": schedules.inverse_sqrt(0.1, 10),
        "polynomial": schedules.polynomial(0.1, 150, 1.7),
        "cosine": schedules.cosine(0.1, 150),
        "cosine_restarts": schedules.cosine_restarts(0.1, 20, 2.0),
        "one_cycle": schedules.one_cycle(0.1, STEPS),
        "cyclic": schedules.cyclic(0.01, 0.1, 13),
        "warmup": schedules.warmup(0.1, 20),
        "wsd": schedules.wsd(0.1, 20, 100, 80),
        "join": schedules.join([0.1, schedules.cosine(0.1, 50)], [90]),
        "product": schedules.product([schedules.step(0.1, 30), schedules.cosine(0.1, 150)]),
        "piecewise": schedules.piecewise([0.1, 0.01, 0.03], [50, 120], "cosine"),
    }
    assert made.keys() == schedules.FUNCTIONS.keys()
    groups = ss.groups({name: {"lr": schedule} for name, schedule in made.items()}, default=ss.sgd(0.1, momentum=0.9))
    shapes = dict.fromkeys([*made, "quiet"], (7,))
    grads = grads_of(dtype, tuple(shapes.items()), STEPS)
    side_by_side(groups, grads, STEPS, shapes, ("numba", True, nullcontext), dtype=dtype)


@pytest.mark.parametrize(("name", "dtype"), [(name, dtype) for name, dtype in IN_TURN if CLASS[name] == "exact"])
def test_same_bits_with_other_options(name, dtype):
    """The programs that an optimizer's options choose: fewer steps. Numba runs them in tests/torch/test_bits.py."""
    checks.same_bits(PROGRAMS[name](ss), ("strict", False), dtype=dtype, steps=40, bad_from=20, shapes=STRICT)


@pytest.mark.parametrize("name", EACH)
def test_same_bits_over_lanes_and_shapes(name):
    strict = [("strict", False)] if CLASS[name] == "exact" else []
    checks.same_bits(PROGRAMS[name](ss), ("numba", False), ("numba", True), *strict, steps=6, bad_from=5)


@pytest.mark.parametrize("name", ["adamw", "lion_cautious", "lamb", "clip_scaled"])
def test_threads_do_not_matter(name, monkeypatch):
    """Tiles of the true size, above which a leaf is cut, on one thread and two."""
    monkeypatch.setattr("samestep_numba.compiled.BREAK_EVEN", 0)
    side_by_side(PROGRAMS[name](ss), grads_of("float32", tuple(WIDE.items()), 4), 5, WIDE, *THREADS)


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
