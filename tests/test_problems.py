"""Every optimizer beside the other library, on three more problems: 50 steps in float64, run here and now.

A sequence of gradients with zeros and a sparse row, Rosenbrock's valleys, and softmax regression on the UCI digits.
"""

import numpy as np
import pytest

import samestep as ss
from samestep_conformance.golden.families import CASES
from samestep_conformance.golden.oracles import available
from samestep_conformance.golden.problem import LIVE, MATRICES, STEPS


def constructor(case) -> str:
    """Whose optimizer a case is; its own name where it is a chain."""
    return (case.ours(ss).label or case.name).partition("(")[0]


FIRST = {constructor(case): case for case in reversed(CASES)}  # of each optimizer


@pytest.mark.parametrize("problem", LIVE)
@pytest.mark.parametrize("name", sorted(FIRST))
def test_same_as_the_other_library(name, problem):
    case = FIRST[name]
    tolerance, reason = case.exceptions.get(problem, (case.tolerance, ""))
    assert tolerance == case.tolerance or reason, "an exception gives its reason"
    if tolerance is None:
        return  # the reason stands in the row
    assert available(case.theirs.library), "the extra `test` brings it"
    posed = (MATRICES if case.problem == "matrix" else LIVE)[problem]
    optimizer, params = case.ours(ss), posed.params()
    state = optimizer.init(params)
    theirs = case.theirs.run(posed)
    assert len(theirs) == STEPS
    for t, expected in enumerate(theirs, start=1):
        params, state = optimizer.step(params, posed.gradient(params, t), state)
        ours = optimizer.eval_params(params, state) if case.theirs.evaluated else params
        for leaf, a in expected.items():
            error = np.abs(a - ours[leaf]) / np.maximum(1.0, np.abs(a))
            assert error.max() <= tolerance, f"{leaf} is off by {error.max():.1e} in step {t}"
