"""The suite: which checks there are, and what came of each for an optimizer on a backend with a dtype."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import samestep as ss
from samestep import backend as backends
from samestep.errors import BackendError, SamestepError, names

from . import checks
from .arrays import FEW, SMALL, Shapes
from .bits import Apart, Difference, LeftOut, in_words
from .golden.cases import CASES
from .programs import COVERING, optimizers
from .runs import exactness, refusal

DTYPES = ("float16", "bfloat16", "float32", "float64")
USUAL = ("float32", "float64")
PASSED, FAILED, LEFT_OUT = "passed", "failed", "left out"


@dataclass(frozen=True)
class Subject:
    """What is checked: an optimizer, by a name, on a backend, with params of a dtype."""

    name: str
    optimizer: Any
    backend: str
    dtype: str
    golden: str | None = None  # the case whose trajectory it should have
    shapes: Shapes = field(default_factory=lambda: SMALL, compare=False)

    def __str__(self) -> str:
        return f"{self.name}-{self.backend}-{self.dtype}"

    def refused(self) -> str | None:
        """Why the backend does not run it."""
        return refusal(self.optimizer, self.backend, self.dtype, self.shapes)


@dataclass(frozen=True)
class Check:
    """One check, by name.

    `quick`: in a quick run, and (`wide`) in float64 there, and (`brief`) where a step is slow; `alike`: on the leaves
    that most checks share, so compiled with them; `compares`: whether it is this that a matrix is about.
    """

    name: str
    function: Callable[..., Apart | None]
    quick: bool = True
    wide: bool = False
    brief: bool = False
    alike: bool = True
    compares: bool = False

    def __call__(self, subject: Subject) -> Apart | None:
        """Raise `Difference` or `LeftOut`, or return how far apart the results were."""
        options: dict[str, Any] = {"shapes": subject.shapes}
        if self.function is checks.matches_golden:
            options = {"case": subject.golden}
        elif self.function is checks.corners:
            options = {}
        return self.function(subject.optimizer, subject.backend, dtype=subject.dtype, **options)


def _gradients_of(value: float | None) -> Callable:
    def function(optimizer: Any, backend: str, **options: Any) -> Apart:
        return checks.survives(optimizer, backend, value, **options)

    return function


CHECKS = (
    Check("same bits", checks.agrees, wide=True, brief=True, compares=True),
    Check("matches the reference", checks.matches_golden, wide=True, alike=False),
    Check("dtype and shape kept", checks.keeps, brief=True),
    Check("pure", checks.pure, brief=True),
    Check("donated equals fresh", checks.donated_equals_fresh),
    Check("resumes from a copy", checks.resumes),
    Check("no recompilation", checks.compiles_once),
    Check("zero gradients", _gradients_of(0.0)),
    Check("infinite gradients", _gradients_of(float("inf"))),
    Check("NaN gradients", _gradients_of(float("nan"))),
    Check("subnormal gradients", _gradients_of(None)),
    Check("empty and 0-d leaves", checks.corners, quick=False, alike=False),
    Check("a leaf that wakes late", checks.wakes_late, alike=False),
    Check("long run", checks.long_run, quick=False, compares=True),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one check."""

    check: str
    status: str
    message: str = ""
    apart: Apart | None = None
    seconds: float = 0.0
    compares: bool = False


@dataclass(frozen=True)
class Cell:
    """What came of every check of one subject; `reason`: why there was none."""

    subject: Subject
    exactness: str = ""
    reason: str = ""
    outcomes: tuple[Outcome, ...] = field(default=())

    @property
    def status(self) -> str:
        """Failed if one check did."""
        if self.reason:
            return LEFT_OUT
        return FAILED if any(outcome.status == FAILED for outcome in self.outcomes) else PASSED

    @property
    def failures(self) -> list[Outcome]:
        """The checks that failed."""
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]

    @property
    def apart(self) -> Apart | None:
        """The largest difference that a comparison saw; None if nothing was compared."""
        found = [outcome.apart for outcome in self.outcomes if outcome.apart is not None]
        return max(found, key=lambda apart: apart.ulps, default=None)

    @property
    def not_compared(self) -> str:
        """Why there is nothing to compare with, if so."""
        return next((o.message for o in self.outcomes if o.compares and o.status == LEFT_OUT), "")


def judge(check: Check, subject: Subject) -> Outcome:
    """Run one check. What a backend or an optimizer raises on the way is a failure, too."""
    began = time.perf_counter()
    status, message, apart = PASSED, "", None
    try:
        apart = check(subject)
    except LeftOut as error:
        status, message = LEFT_OUT, str(error)
    except Difference as error:
        status, message, apart = FAILED, str(error), error.apart
    except Exception as error:
        status, message = FAILED, in_words(error)
    return Outcome(check.name, status, message, apart, time.perf_counter() - began, check.compares)


def examine(subject: Subject, wanted: Sequence[Check] = CHECKS, reason: str = "") -> Cell:
    """Every check of one subject, unless there is a reason against."""
    reason = reason or subject.refused() or ""
    if reason:
        return Cell(subject, reason=reason)
    return Cell(
        subject, exactness(subject.optimizer, subject.shapes), "", tuple(judge(check, subject) for check in wanted)
    )


# -- what is run -------------------------------------------------------------------------------------------------------


def chosen(patterns: Sequence[str] | None, quick: bool = False) -> list[str]:
    """The optimizers whose names match; without patterns all, or those that together use every operation."""
    known = list(optimizers())
    if not patterns:
        return list(COVERING) if quick else known
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise SamestepError(f"no optimizer of the suite is called {pattern!r}; it has {names(known)}")
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]


def usable(asked: Sequence[str] | None) -> list[str]:
    """The backends asked for, which must be able to run; else all that can, NumPy's own operations first."""
    for name in asked or ():
        reason = backends.load(name).missing()
        if reason is not None:
            raise BackendError(f"backend {name!r} cannot run here: {reason}")
    found = list(asked or [backend.name for backend in backends.installed() if backend.missing() is None])
    return sorted(dict.fromkeys(found), key=lambda name: name != "numpy")


def subject(name: str, backend: str, dtype: str, quick: bool = False) -> Subject:
    """An optimizer of the suite; in a quick run on few leaves, which is what compilations cost."""
    golden = name if any(case.name == name for case in CASES) else None
    return Subject(name, optimizers()[name], backend, dtype, golden, FEW if quick else SMALL)


def spared(name: str, backend: str, dtype: str, quick: bool, asked: bool) -> str:
    """Why a backend that is slow is spared this optimizer or dtype, if it is."""
    slow = getattr(backends.load(backend), "slow", None)
    few = COVERING[:1] if quick else COVERING
    if slow == "compile" and name not in few and not asked:
        number = "one program" if quick else f"the {len(few)} programs that together use every operation"
        return f"a compilation takes seconds there, so it runs {number}"
    return f"it is slow, and a quick run takes {USUAL[0]} there" if slow and quick and dtype == USUAL[1] else ""


def wanted_checks(backend: str, dtype: str, quick: bool) -> list[Check]:
    """The checks of a run: a quick one leaves out the long ones, more compilations where these are slow, and so on."""
    slow = getattr(backends.load(backend), "slow", None)
    enough = {"step": lambda c: c.brief, "compile": lambda c: c.alike}.get(str(slow), lambda c: True)
    return [c for c in CHECKS if not quick or (c.quick and enough(c) and (c.wide or dtype != USUAL[1]))]


def cells(
    optimizer: Sequence[str] | None = None, backend: Sequence[str] | None = None, dtype: Sequence[str] | None = None,
    quick: bool = False,
) -> Iterator[tuple[int, int, Cell]]:  # fmt: skip
    """(done, of how many, what came of it), one optimizer after another."""
    rows = [(name, d, b) for name in chosen(optimizer, quick) for d in dtype or USUAL for b in usable(backend)]
    for done, (name, d, b) in enumerate(rows, start=1):
        reason = spared(name, b, d, quick, bool(optimizer))
        yield done, len(rows), examine(subject(name, b, d, quick), wanted_checks(b, d, quick), reason)


# -- for a test --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """What a test made by `conforms` asks for."""

    optimizer: Any = None
    backend: str | None = None
    dtypes: tuple[str, ...] = ()
    golden: str | None = None

    def subjects(
        self, optimizer: Sequence[str] | None = None, backend: Sequence[str] | None = None,
        dtype: Sequence[str] | None = None,
    ) -> list[Subject]:  # fmt: skip
        """Every combination; what the command line asks for wins."""
        asked = backend or ([self.backend] if self.backend else None)
        dtypes = dtype or self.dtypes or USUAL
        if self.optimizer is None:
            rows = [(name, d, b) for name in chosen(optimizer, True) for d in dtypes for b in usable(asked)]
            return [subject(name, b, d) for name, d, b in rows if not spared(name, b, d, False, bool(optimizer))]
        name = type(self.optimizer).__name__ if type(self.optimizer) is not ss.Optimizer else repr(self.optimizer)
        if optimizer and not any(fnmatchcase(name, pattern) for pattern in optimizer):
            return []
        ours = isinstance(self.optimizer, ss.Optimizer)
        found = usable(asked if asked or ours else ["numpy"])
        return [Subject(name, self.optimizer, b, d, self.golden) for d in dtypes for b in found]


def conforms(
    optimizer: Any = None, *, backend: str | None = None, dtypes: Sequence[str] = (), golden: str | None = None
) -> Callable:
    """A test for pytest that runs every check: of your optimizer, or of your backend.

    Args:
        optimizer: anything with `init(params)` and `step(params, grads, state) -> (params, state)`. Without one, the
            optimizers of the suite that together use every operation.
        backend: the backend, or that whose arrays an optimizer of your own takes. By default NumPy for such an
            optimizer, else every one that is installed.
        dtypes: of the params; float32 and float64 by default.
        golden: the golden case whose trajectory the optimizer should have, such as "adam".

    >>> from samestep_conformance import conforms
    >>> class Descent:
    ...     def init(self, params):
    ...         return {}
    ...     def step(self, params, grads, state):
    ...         return {k: p - 0.1 * grads[k] for k, p in params.items()}, state
    >>> test_mine = conforms(Descent())
    """

    def test(samestep_case: Callable[[], None]) -> None:
        samestep_case()

    test.samestep = Wanted(optimizer, backend, tuple(dtypes), golden)  # type: ignore[attr-defined]
    return test
