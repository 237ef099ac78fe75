"""The one door for backends: what one must offer, how they are found, and which one runs a program."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import entry_points
from typing import Any, Protocol

from .errors import BackendError, names
from .trace.graph import Program

GROUP = "samestep.backends"


@dataclass(frozen=True)
class Signature:
    """The leaves that one compiled program serves: dtypes by name, of complex leaves those of their pairs."""

    param: str
    grad: str
    compute: str


class Bound(Protocol):
    """A compiled program with the arrays of one step.

    One whose last stage can fail (linear algebra, shapes) also has `prepare`, with the arguments of `store`: it does
    all but the writing, and is called for every batch before the first `store`.
    """

    def sums(self, level: int, hosts: Any, rows: Any, leaves: Any) -> Any:
        """What the reductions of a stage give: float64, one row per leaf, one column per reduction.

        The numbers that the stage reads are `hosts`, float64[rows, n], with `rows` the row of each leaf, and `leaves`,
        float64[leaves, m].
        """

    def store(self, level: int, hosts: Any, rows: Any, leaves: Any) -> dict[str, list] | None:
        """The new arrays by output name, or None if all are the donated ones; the only call that may write."""


class Compiled(Protocol):
    """A program made ready for leaves of one signature."""

    @property
    def stages(self) -> Sequence[Any]:
        """The stages, as `samestep.trace.stages` cuts them."""

    # One that keeps buffers for results also has `release()`, called when another plan steps.

    def bind(self, arrays: dict[str, list], donate: bool) -> Bound:
        """Take this step's arrays: `p`, `grad` and the array slots, each a list over leaves, all checked."""


class Backend(Protocol):
    """A way to run programs. Registered in the entry-point group `samestep.backends`.

    One that runs the arrays of several libraries may have `on(array)`: the backend as it is for arrays like this one.
    One whose library is not as NumPy may have `library`, a `samestep.libraries.Library`. One that can see by itself
    whether arrays are as a plan has them may have `sight(parts, others)`, whose `look(arrays, others, donate)` binds
    the compiled parts of a plan, or gives None where a closer look is due (`samestep.look`). One whose library has a
    registry of containers may have `container(tree)`: how optree is to open and to build those of this type, as its
    `register_pytree_node` takes them, or None.

    One that prints source may say in which `language`, and give it by `kernels(program, signature)`: what `samestep
    show` prints.

    To the conformance suite it may say: `compilations()`, how often it, or what it compiles with, has compiled or
    loaded something in this process (a second step must not); `exceptions`, why its bits are others, by the word
    "subnormals" (it flushes them) or "sums" (not in the pinned order); `slow`, "step" where a step takes milliseconds
    (long runs are shorter) or "compile" where a compilation takes seconds (it gets few programs); `wide()`, a context
    in which its library has float64, where it has not always; `settle(leaves)`, the arrays computed, where they are
    lazy: done after each step, and numbers of the state may be 0-d arrays then.
    """

    name: str
    rank: int  # the automatic choice is the highest rank that accepts the array and does not refuse the program

    def missing(self) -> str | None:
        """Why it cannot run on this machine, or None."""

    def arrays(self) -> Any:
        """The namespace whose arrays it runs, in the array standard."""

    def accepts(self, array: Any) -> bool:
        """Whether it runs on arrays of this kind."""

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """Why it does not run this program, or None."""

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> Compiled:
        """Make a program ready for these leaves."""


OFFERED = [*Backend.__annotations__, *(name for name in vars(Backend) if not name.startswith("_"))]


@lru_cache(maxsize=1)
def _discovered() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=GROUP)}


@cache
def load(name: str) -> Backend:
    """The backend of this name."""
    points = _discovered()
    if name not in points:
        raise BackendError(f"no backend is called {name!r}; installed are {names(sorted(points))}")
    try:
        found = points[name].load()
    except Exception as error:  # whatever a package raises while it is imported
        return Unloadable(name, f"its package cannot be imported: {error}")
    lacking = [what for what in OFFERED if not hasattr(found, what)]
    if lacking or isinstance(found, type):
        why = "a class is none, an object of it may be" if isinstance(found, type) else f"no {', '.join(lacking)}"
        return Unloadable(name, f"its entry point is {found!r}, which is no backend: {why}")
    return found


class Unloadable:
    """A registered backend whose package is broken: listed with the reason, never chosen."""

    rank = -1

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason

    def missing(self) -> str:
        """Why it cannot run here."""
        return self.reason

    def arrays(self) -> None:
        """None."""

    def accepts(self, array: Any) -> bool:
        """No array."""
        return False

    def refuses(self, program: Program, signature: Signature) -> str:
        """Every program."""
        return self.reason

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> Compiled:
        """Nothing."""
        raise BackendError(f"backend {self.name!r} cannot run here: {self.reason}")


def registered(backend: Backend) -> bool:
    """Whether it came in by the door: its bits are tested then."""
    return backend.name in _discovered()


def installed() -> list[Backend]:
    """Every backend that is registered, the highest rank first."""
    return sorted((load(name) for name in _discovered()), key=lambda b: (-b.rank, b.name))


@dataclass(frozen=True)
class Entry:
    """One line of `backends()`."""

    name: str
    installed: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {'installed' if self.installed else 'refused'} ({self.reason})"


def backends() -> list[Entry]:
    """List the backends: installed or refused, with the reason.

    >>> import samestep as ss
    >>> [entry.name for entry in ss.backends() if entry.name == "numpy"]
    ['numpy']
    """
    return [Entry(b.name, reason is None, reason or f"rank {b.rank}") for b in installed() for reason in [b.missing()]]


_chosen: ContextVar[str | None] = ContextVar("samestep_backend", default=None)


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Run every step in this context on the backend of this name, or raise with its reason.

    Args:
        name: as `backends()` lists it.

    Raises:
        BackendError: there is no such backend, or it cannot run here.

    >>> import samestep as ss
    >>> with ss.use_backend("numpy"):
    ...     pass
    """
    reason = load(name).missing()
    if reason is not None:
        raise BackendError(f"backend {name!r} cannot run here: {reason}")
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen() -> str | None:
    """The backend that `use_backend` asks for."""
    return _chosen.get()


@dataclass(frozen=True)
class Choice:
    """The backend of a group of leaves, and why."""

    backend: Backend
    reason: str


def _on(backend: Any, array: Any) -> Backend:
    return backend.on(array) if hasattr(backend, "on") and backend.accepts(array) else backend


def choose(array: Any, program: Program, signature: Signature) -> Choice:
    """The backend for leaves like this array: the one asked for, else the highest rank that takes it."""
    asked = _chosen.get()
    if asked is not None:
        backend = _on(load(asked), array)
        reason = "" if backend.accepts(array) else f"it does not run on {type(array).__name__}"
        reason = reason or backend.refuses(program, signature) or ""
        if reason:
            raise BackendError(
                f"use_backend({asked!r}): {reason}. Leave the choice to samestep, or take another backend."
            )
        return Choice(backend, f"asked for by use_backend({asked!r})")
    passed: list[str] = []
    for backend in installed():
        if not backend.accepts(array):
            continue
        backend = _on(backend, array)
        refusal = backend.missing() or backend.refuses(program, signature)
        if refusal is None:
            return Choice(
                backend,
                "; ".join(passed) if passed else f"first choice for {type(array).__module__}.{type(array).__name__}",
            )
        passed.append(f"not {backend.name}: {refusal}")
    from .evaluate import Evaluated, library

    return Choice(Evaluated(library(array)), "; ".join(passed) or "evaluated by its own operations")
