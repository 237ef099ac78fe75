"""The suite: which checks there are, and what came of each for an optimizer on a backend with a dtype."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import samestep as ss
from samestep import backend as backends
from samestep.errors import BackendError, SamestepError, names

from . import checks
from .arrays import FEW, LONG, SMALL, Shapes
from .bits import FAILURES, Apart, Difference, LeftOut, in_words
from .golden.families import CASES
from .programs import COVERING, first_alike, optimizers
from .runs import exactness, refusal, slow_steps

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

    def refused(self, shapes: Shapes | None = None) -> str | None:
        """Why the backend does not run it, on these leaves if not on its own."""
        return refusal(self.optimizer, self.backend, self.dtype, shapes or self.shapes)


@dataclass(frozen=True)
class Check:
    """One check, by name.

    `quick`: in a quick run, and (`wide`) in float64 there, and (`brief`) where a step is slow; `alike`: on the leaves
    that most checks share, so compiled with them; `leaves`: on leaves of its own; `numbers`: also where a program that
    was checked has other numbers; `compares`: whether it is this that a matrix is about; `about`: what a reader should
    know of it.
    """

    name: str
    function: Callable[..., Apart | None]
    quick: bool = True
    wide: bool = False
    brief: bool = False
    alike: bool = True
    leaves: Shapes | None = field(default=None, compare=False)
    numbers: bool = False
    compares: bool = False
    about: str = ""

    def __call__(self, subject: Subject) -> Apart | None:
        """Raise `Difference` or `LeftOut`, or return how far apart the results were."""
        options: dict[str, Any] = {"shapes": self.leaves or subject.shapes}
        reason = subject.refused(self.leaves) if self.leaves else None  # a shape may ask for another program
        if reason:
            raise LeftOut(reason)
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
    Check("same bits", checks.agrees, wide=True, brief=True, numbers=True, compares=True),
    Check("matches the reference", checks.matches_golden, wide=True, alike=False, numbers=True),
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
    Check("long run", checks.long_run, quick=False, leaves=LONG, compares=True, about=checks.STEPS_OF_LONG_RUNS),
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
        """What of the comparisons was left out, and why."""
        reasons: dict[str, list[str]] = {}
        for outcome in self.outcomes:
            if outcome.compares and outcome.status == LEFT_OUT:
                reasons.setdefault(outcome.message, []).append(outcome.check)
        return "; ".join(f"{' and '.join(checks)} left out: {why}" for why, checks in reasons.items())


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
    except FAILURES as error:
        status, message = FAILED, in_words(error)
    return Outcome(check.name, status, message, apart, time.perf_counter() - began, check.compares)


def examine(subject: Subject, wanted: Sequence[Check] = CHECKS, reason: str = "", like: str = "") -> Cell:
    """Every check of a subject, unless there is a reason against; `like`: whose program it has, with other numbers."""
    try:
        reason = reason or subject.refused() or ""
    except FAILURES as error:
        return Cell(subject, outcomes=(Outcome("what it refuses", FAILED, in_words(error)),))
    if reason:
        return Cell(subject, reason=reason)
    told = f"as with {like}: the same program, with other numbers"
    outcomes = (
        judge(check, subject)
        if check.numbers or not like
        else Outcome(check.name, LEFT_OUT, told, None, 0.0, check.compares)
        for check in wanted
    )
    return Cell(subject, exactness(subject.optimizer, subject.shapes), "", tuple(outcomes))


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


def known(dtypes: Sequence[str]) -> tuple[str, ...]:
    """These, if the suite has them."""
    if isinstance(dtypes, str) or not set(dtypes) <= set(DTYPES):
        raise SamestepError(f"dtypes are some of {list(DTYPES)}; got {dtypes!r}")
    return tuple(dtypes)


def usable(asked: Sequence[str] | None) -> list[str]:
    """The backends asked for, which must be able to run; else all that can, NumPy's own operations first."""
    for name in asked or ():
        reason = backends.load(name).missing()
        if reason is not None:
            raise BackendError(f"backend {name!r} cannot run here: {reason}")
    found = list(asked or [backend.name for backend in backends.installed() if backend.missing() is None])
    return sorted(dict.fromkeys(found), key=lambda name: name != "numpy")


def subject(name: str, backend: str, dtype: str, quick: bool = False) -> Subject:
    """An optimizer of the suite; on few leaves where a step is slow, and in a quick run, for the compilations."""
    golden = name if any(case.name == name for case in CASES) else None
    few = quick or slow_steps(backend)
    return Subject(name, optimizers()[name], backend, dtype, golden, FEW if few else SMALL)


def spared(name: str, backend: str, quick: bool, asked: bool) -> str:
    """Why a backend that compiles slowly is spared this optimizer, if it is."""
    few = COVERING[:1] if quick else COVERING
    if asked or name in few or getattr(backends.load(backend), "slow", None) != "compile":
        return ""
    number = "one program" if quick else f"the {len(few)} programs that together use every operation"
    return f"a compilation takes seconds there, so it runs {number}"


def wanted_checks(backend: str, dtype: str, quick: bool) -> list[Check]:
    """The checks of a run.

    A quick one leaves out the long ones and, where compilations or steps are slow, more; in float64 it has those that
    are `wide`. So has a full run where a step is slow, besides those that it alone has.
    """
    slow = getattr(backends.load(backend), "slow", None)
    if not quick:
        return [c for c in CHECKS if slow != "step" or c.wide or not c.quick or dtype != USUAL[1]]
    enough = {"step": lambda c: c.brief, "compile": lambda c: c.alike}.get(str(slow), lambda c: True)
    return [c for c in CHECKS if c.quick and enough(c) and (c.wide or dtype != USUAL[1])]


@dataclass(frozen=True)
class Place:
    """A place of the matrix, in plain data: what is to be checked, and how a run was asked for.

    `asked`: the optimizer was asked for by name; `like`: the one before it whose program it has, with other numbers.
    """

    name: str
    dtype: str
    backend: str
    quick: bool = False
    asked: bool = False
    like: str = ""

    def named(self) -> Subject:
        """The subject by name alone."""
        return Subject(self.name, None, self.backend, self.dtype)

    def examined(self) -> Cell:
        """What came of it."""
        found = subject(self.name, self.backend, self.dtype, self.quick)
        reason = spared(self.name, self.backend, self.quick, self.asked)
        return examine(found, wanted_checks(self.backend, self.dtype, self.quick), reason, self.like)


def places(
    optimizer: Sequence[str] | None = None, backend: Sequence[str] | None = None, dtype: Sequence[str] | None = None,
    quick: bool = False,
) -> list[Place]:  # fmt: skip
    """What a run checks, one optimizer and dtype after another."""
    rows, able = chosen(optimizer, quick), usable(backend)
    like = first_alike(rows)
    return [
        Place(row, d, b, quick, bool(optimizer), like.get(row, ""))
        for row in rows
        for d in dtype or USUAL
        for b in able
    ]


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
        dtypes = known(dtype or self.dtypes or USUAL)
        if self.optimizer is None:
            rows = [(name, d, b) for name in chosen(optimizer, True) for d in dtypes for b in usable(asked)]
            return [subject(name, b, d) for name, d, b in rows if not spared(name, b, False, bool(optimizer))]
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

    Raises:
        SamestepError: the optimizer has no `init` and `step`, or no golden case or dtype has this name.

    >>> from samestep_conformance import conforms
    >>> class Descent:
    ...     def init(self, params):
    ...         return {}
    ...     def step(self, params, grads, state):
    ...         return {k: p - 0.1 * grads[k] for k, p in params.items()}, state
    >>> test_mine = conforms(Descent())
    """

    if isinstance(optimizer, type) or not (
        optimizer is None or hasattr(optimizer, "init") & hasattr(optimizer, "step")
    ):
        raise SamestepError(
            f"an optimizer has init and step; got {optimizer!r:.80}: call it, as in conforms(adam(1e-3))"
        )
    if golden is not None and all(case.name != golden for case in CASES):
        near = get_close_matches(golden, [case.name for case in CASES], n=5, cutoff=0.3)
        raise SamestepError(f"no golden case is called {golden!r}; the nearest are {names(near)}")

    def test(samestep_case: Callable[[], None]) -> None:
        samestep_case()

    test.samestep = Wanted(optimizer, backend, known(dtypes), golden)  # type: ignore[attr-defined]
    return test
