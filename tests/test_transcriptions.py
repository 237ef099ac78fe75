"""INDEPENDENT TRANSCRIPTIONS, for what no package has: the paper in plain NumPy, written without looking at our pages.

They are weaker evidence than the golden trajectories: both sides were written from one text. A file in the folder
`transcriptions` has a table TRANSCRIPTIONS: name -> (how it is written with samestep, the rule), where
`rule(s, p, g, t) -> p` steps one leaf and keeps its state in the dict s; and a table WHOLE of that form, whose rules
step all leaves, `rule(s, params, grads, t) -> params`, for what has totals. A table GIVEN has, by name, what else a
step is told, as a function of t. What takes two gradients a step has a table TWO, which tests/test_verbs.py reads.
"""

import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import samestep as ss
from samestep_conformance.golden.problem import LIVE, PROBLEMS, STEPS, Leaves

FOUND = {}  # name -> (make, a rule of all leaves)
GIVEN = {}  # name -> what the step of t is told


def leafwise(rule):
    """A rule of one leaf as a rule of all."""

    def whole(s, params, grads, t):
        return {leaf: rule(s.setdefault(leaf, {}), p, grads[leaf], t) for leaf, p in params.items()}

    return whole


for file in sorted(Path(__file__).with_name("transcriptions").glob("*.py")):
    tables = runpy.run_path(str(file))
    of_leaves = {name: (make, leafwise(rule)) for name, (make, rule) in tables.get("TRANSCRIPTIONS", {}).items()}
    more = of_leaves | tables.get("WHOLE", {})
    assert more or "TWO" in tables, f"{file.name} has no table"
    assert not FOUND.keys() & more.keys(), f"{file.name}: a name stands in two tables"
    FOUND |= more
    GIVEN |= tables.get("GIVEN", {})


def transcribed(rule, problem) -> Iterator[Leaves]:
    """The params after each step of a rule."""
    params, state = problem.params(), {}
    for t in range(1, STEPS + 1):
        params = rule(state, params, problem.gradient(params, t), t)
        yield params


@pytest.mark.parametrize("problem", ["vector", *LIVE])
@pytest.mark.parametrize("name", FOUND)
def test_transcription(name, problem):
    make, rule = FOUND[name]
    optimizer, problem = make(ss), (PROBLEMS | LIVE)[problem]
    params = problem.params()
    state, given = optimizer.init(params), GIVEN.get(name, lambda t: {})
    for t, expected in enumerate(transcribed(rule, problem), start=1):
        params, state = optimizer.step(params, problem.gradient(params, t), state, **given(t))
        for leaf, a in expected.items():
            error = np.abs(a - params[leaf]) / np.maximum(1.0, np.abs(a))
            assert np.isfinite(a).all() and error.max() <= 1e-12, f"{leaf} is off by {error.max():.1e} in step {t}"
