"""Random programs of exact operations and pinned sums: the same bits in the definition and on every backend."""

import random
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from samestep.trace.graph import Kind, Program, Rank, reachable
from samestep.trace.namespace import Tracer, sum_over_params
from samestep.trace.ops import ELEMENTWISE, EXACT
from samestep.trace.stages import Stages
from samestep_numba import compiled
from samestep_numba.printer import SPELLING
from samestep_numba.threads import use_threads

loop = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("node_loop.py"))))
harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("harness.py"))))

SEEDS = range(12)
LOGICAL = ("logical_and", "logical_or", "logical_not")
NUMERIC = [
    name for name, op in ELEMENTWISE.items() if op.exactness == EXACT and name in SPELLING and name not in LOGICAL
]
SHAPES = [(), (0,), (1,), (7, 5), (256,), (2, 150), (600,)]
SLOTS = ("m", "v")


class Maker:
    """Draws nodes: numbers and arrays into one pool, conditions into another."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.tracer = tracer = Tracer((3,))
        tracer.scope = ("group",)
        array = Kind(Rank.ARRAY, full=True)
        t = tracer.source("t", None, Kind(Rank.HOST))
        self.arrays = [tracer.source("input", name, array) for name in ("p", "grad", *SLOTS)]
        self.numbers = [
            t,
            tracer.source("number", "lr", Kind(Rank.HOST), t),
            tracer.source("state_number", "n", Kind(Rank.HOST)),
            tracer.source("state_scalar", "s", Kind(Rank.LEAF)),
            self.arrays[0].size,
            *(tracer.symbol(x) for x in (0.0, -0.0, 1.0, -2.5)),
        ]
        self.truths = [self.arrays[1] > 0]

    def number_or_array(self):
        pool = self.arrays if self.random.random() < 0.75 else self.numbers
        return self.random.choice(pool[-8:] if self.random.random() < 0.5 else pool)

    def elementwise(self):
        name = self.random.choice([*NUMERIC, *("add", "multiply", "divide", "where") * 3])
        arguments = [self.number_or_array() for _ in range(ELEMENTWISE[name].arity)]
        if name == "where":
            arguments[0] = self.random.choice(self.truths)
        if name == "full_like":
            arguments = [self.random.choice(self.arrays), self.random.choice(self.numbers)]
        return self.tracer.apply(name, *arguments)

    def logical(self):
        name = self.random.choice(LOGICAL)
        return self.tracer.apply(name, *(self.random.choice(self.truths) for _ in range(ELEMENTWISE[name].arity)))

    def reduction(self):
        name = self.random.choice(["sum", "sum_squares", "max", "min", "count_nonzero", "total"])
        x = self.random.choice(self.arrays)
        if name == "total":
            return sum_over_params(self.random.choice([x, *(n for n in self.numbers if n.node.kind.rank is Rank.LEAF)]))
        if name == "count_nonzero" and self.random.random() < 0.5:
            x = self.random.choice([c for c in self.truths if c.node.is_array])
        return self.tracer.apply(name, x)

    def draw(self, count):
        """So many operations, a reduction now and then, at most three levels of them."""
        for _ in range(count):
            kind = self.random.random()
            made = self.reduction() if kind < 0.15 else self.logical() if kind < 0.25 else self.elementwise()
            if made.node.level > 4:
                continue
            pool = self.truths if made.node.kind.truth else self.arrays if made.node.is_array else self.numbers
            pool.append(made)
            if made.node.op not in ELEMENTWISE:  # a reduction is to reach an output
                self.arrays.append(self.tracer.apply("where", made > 1, self.arrays[-1], made))

    def program(self):
        """The last arrays and numbers become outputs, so that most of what was drawn is needed."""
        self.draw(50)
        picked = self.random.sample(self.arrays[len(SLOTS) + 2 :][-6:], 3)
        outputs = dict(zip(("p", *SLOTS), (x.node for x in picked), strict=True))
        ranks = {"s": Rank.LEAF, "n": Rank.TOTAL}
        for name, rank in ranks.items():
            choices = [x for x in self.numbers if x.node.kind.rank <= rank and x.node.op != "const"]
            outputs[name] = self.random.choice(choices[-5:]).node
        needed = {node.index for node in reachable(outputs.values())}
        totals = {node: key for node, key in self.tracer.totals.items() if node.index in needed}
        return Program(outputs, (*SLOTS, "s"), ("n",), (), totals=totals)


def leaves(dtype, seed):
    rng = np.random.default_rng(seed)
    special = harness.specials(dtype)
    found = []
    for shape in SHAPES:
        leaf = {"s": float(rng.normal())}
        for i, name in enumerate(("p", "grad", *SLOTS)):
            x = harness.decades(dtype, shape, seed * 10 + i) if i % 2 else rng.normal(size=shape).astype(dtype)
            odd = rng.random(shape) < (0.3 if shape in ((600,), (7, 5)) else 0.0)  # the others stay finite for longer
            leaf[name] = np.where(odd, rng.choice(special, shape), x).astype(dtype)
        found.append(leaf)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", SEEDS)
def test_random_programs(seed, dtype, monkeypatch):
    monkeypatch.setattr(compiled, "BREAK_EVEN", 0)
    program = Maker(seed).program()
    steps = {"t": [1, 2, 2, 3, 1, 4, 5], "number": lambda name, clock: 0.1 / clock, "slots": {"n": 0.5}}
    data = leaves(dtype, seed)
    wanted = loop.run(program, data, **steps)
    for backend in harness.BACKENDS:
        for donate in (False, True):
            with use_threads(1 + donate):
                found = harness.run(backend, program, data, donate=donate, **steps)
            harness.compare(found, wanted, f"{backend} donate={donate}")


def test_the_programs_are_worth_running():
    """All operations are drawn, several stages and totals among them, and the results are not all the same NaN."""
    programs = [Maker(seed).program() for seed in SEEDS]
    drawn = {node.op for program in programs for node in program.nodes}
    assert drawn >= {"sum", "sum_squares", "max", "min", "count_nonzero", "total", "size", *LOGICAL}
    assert len(drawn & set(NUMERIC)) > 0.8 * len(NUMERIC)
    assert {program.exactness for program in programs} == {"exact", "reduce"}
    assert {len([s for s in Stages(program).fused if not s.empty]) for program in programs} >= {2, 3}
    finite = 0
    for program, seed in zip(programs, SEEDS, strict=True):
        for result in loop.run(program, leaves(np.float64, seed), number=lambda name, clock: 0.1, slots={"n": 0.5}):
            finite += sum(int(np.isfinite(result[name]).any()) for name in ("p", *SLOTS))
    assert finite > 0.4 * len(SEEDS) * len(SHAPES) * 3
