"""The pytest plugin: a test with the argument `samestep_case` becomes one test per check, optimizer, backend and dtype.

Pytest loads this file in every run, so it imports nothing before such a test is collected.
"""

from __future__ import annotations

from typing import Any

import pytest

ARGUMENT = "samestep_case"


def pytest_addoption(parser: Any) -> None:
    """Which optimizers, backends and dtypes the suite runs."""
    group = parser.getgroup("samestep", "samestep's conformance suite")
    for name, what in (
        ("backend", "run the suite on this backend only"),
        ("optimizer", "run these optimizers of the suite only, by name or pattern"),
        ("dtype", "with params of this dtype only"),
    ):
        group.addoption(f"--samestep-{name}", action="append", metavar=name.upper(), help=f"{what}; may be repeated")


def pytest_generate_tests(metafunc: Any) -> None:
    """One test per check and subject."""
    if ARGUMENT not in metafunc.fixturenames:
        return
    from samestep.errors import SamestepError

    from .suite import CHECKS, Wanted

    wanted = getattr(metafunc.function, "samestep", Wanted())
    asked = {name: metafunc.config.getoption(f"--samestep-{name}") for name in ("optimizer", "backend", "dtype")}
    try:
        subjects = wanted.subjects(**asked)
    except SamestepError as error:
        raise pytest.UsageError(str(error)) from None
    cases = [
        pytest.param(_case(check, subject), id=f"{subject}-{check.name}") for subject in subjects for check in CHECKS
    ]
    metafunc.parametrize(ARGUMENT, cases)


def _case(check: Any, subject: Any) -> Any:
    def run() -> None:
        """Skip, fail with the one line that says why, or pass."""
        from .bits import Difference, LeftOut

        left_out, difference = subject.refused(), None
        if left_out is None:
            try:
                check(subject)
            except LeftOut as error:
                left_out = str(error)
            except Difference as error:
                difference = str(error)
        if left_out is not None:
            pytest.skip(left_out)
        if difference is not None:
            pytest.fail(difference, pytrace=False)

    return run
