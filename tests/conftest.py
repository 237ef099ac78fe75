"""What every test run shares: one thread for the libraries we compare with, and no skip that is not allowed."""

import gc
import os
import re
from pathlib import Path

import pytest

# Set before any of them is imported: the suite runs in two processes on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "jax")

ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")


def glob(pattern: str) -> re.Pattern[str]:
    """`*` stands for anything; brackets, which test ids are full of, stand for themselves."""
    return re.compile(".*".join(re.escape(part) for part in pattern.strip().split("*")), re.DOTALL)


def read_allowed(path: Path) -> list[tuple[re.Pattern[str], re.Pattern[str]]]:
    """The lines of the list as (pattern of the test id, pattern of the reason)."""
    allowed = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        test, bar, reason = line.partition(" | ")
        if not (bar and test.strip() and reason.strip()):
            raise pytest.UsageError(f"{path.name}:{number}: write 'pattern of the test id | pattern of the reason'")
        allowed.append((glob(test), glob(reason)))
    return allowed


class SkipGuard:
    """Fails a run in which something was skipped that the list does not allow."""

    def __init__(self, path: Path) -> None:
        self.allowed = read_allowed(path)
        self.unexpected: list[str] = []

    def look_at(self, report) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        where = report.longrepr
        reason = where[2] if isinstance(where, tuple) else str(where)
        reason = reason.removeprefix("Skipped: ")
        if not any(test.fullmatch(report.nodeid) and why.fullmatch(reason) for test, why in self.allowed):
            self.unexpected.append(f"{report.nodeid} | {reason}")

    def pytest_runtest_logreport(self, report) -> None:
        self.look_at(report)

    def pytest_collectreport(self, report) -> None:
        self.look_at(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session) -> None:
        if self.unexpected and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if self.unexpected:
            terminalreporter.section("skips that tests/allowed_skips.txt does not allow", red=True)
            for line in self.unexpected:
                terminalreporter.line(line)


def pytest_configure(config) -> None:
    # A plugin of its own, not hooks of this file: those would not hear of tests outside this folder. Under xdist the
    # workers' reports all reach the one process that is no worker.
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipGuard(ALLOWED_SKIPS), "samestep-skip-guard")


@pytest.fixture(autouse=True, scope="module")
def _young():
    """What the files before left in memory (compilers keep much) is set aside: a collection took seconds for it."""
    gc.collect()
    gc.freeze()
