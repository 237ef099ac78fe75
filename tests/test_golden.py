"""Every page, and the options that packages have, against the trajectories of code that is not ours."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import samestep as ss
from samestep_conformance.golden.families import CASES
from samestep_conformance.golden.make import FOLDER, read
from samestep_conformance.golden.problem import PROBLEMS, STEPS, Leaves


def same(ours: Leaves, theirs: Leaves, tolerance: float, t: int) -> None:
    """|a - b| <= tolerance * max(1, |a|) everywhere, NaN where they have NaN."""
    assert ours.keys() == theirs.keys()
    for leaf, a in theirs.items():
        assert ours[leaf].shape == a.shape and ours[leaf].dtype == a.dtype == np.float64
        error = np.where(np.isnan(a) & np.isnan(ours[leaf]), 0.0, np.abs(a - ours[leaf]) / np.maximum(1.0, np.abs(a)))
        assert error.max() <= tolerance, f"{leaf} is off by {error.max():.1e} in step {t}"


def trajectory(
    make: Callable[[object], ss.Optimizer], problem: str, evaluated: bool = False
) -> Iterator[tuple[int, Leaves]]:
    optimizer = make(ss)
    params = PROBLEMS[problem].params()
    state = optimizer.init(params)
    for t in range(1, STEPS + 1):
        params, state = optimizer.step(params, PROBLEMS[problem].gradient(params, t), state)
        yield t, optimizer.eval_params(params, state) if evaluated else params


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden(case):
    theirs = read(case.name)["steps"]
    for t, ours in trajectory(case.ours, case.problem, case.theirs.evaluated):
        same(ours, theirs[t - 1], case.tolerance, t)


def test_a_wrong_trajectory_is_rejected():
    theirs = read("adamw")["steps"]
    with pytest.raises(AssertionError, match="is off by"):
        for t, ours in trajectory(lambda ss: ss.adamw(0.01, weight_decay=0.1 + 1e-7), "vector"):
            same(ours, theirs[t - 1], 1e-12, t)


def test_the_tables_agree():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert set(names) == {file.stem for file in FOLDER.glob("*.json")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_record_is_of_this_case(case):
    assert case.tolerance <= 1e-12 or case.remark, "an exception gives the oracle's own error as its reason"
    record = read(case.name)
    described = case.theirs.described()
    assert {key: record[key] for key in described} == described
    assert record["problem"] == case.problem and len(record["steps"]) == STEPS
    assert record["leaves"] == {leaf: list(shape) for leaf, shape in PROBLEMS[case.problem].shapes.items()}
    assert record["versions"] and record["script"].endswith(case.name) and record["date"]
