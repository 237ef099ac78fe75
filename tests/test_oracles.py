"""The recorded trajectories are what the packages do: run again wherever they are installed."""

import numpy as np
import pytest

from samestep_conformance.golden.families import CASES
from samestep_conformance.golden.make import read
from samestep_conformance.golden.oracles import available
from samestep_conformance.golden.problem import PROBLEMS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_record_can_be_repeated(case):
    oracle = case.theirs
    if not available(oracle.library):
        pytest.skip(f"{oracle.library} is not installed")
    record = read(case.name)
    for live, recorded in zip(oracle.run(PROBLEMS[case.problem]), record["steps"], strict=True):
        for leaf, a in recorded.items():
            np.testing.assert_allclose(live[leaf], a, rtol=case.tolerance / 10, atol=case.tolerance / 10)
