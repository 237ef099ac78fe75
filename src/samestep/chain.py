"""Parts in a chain: their order, their checks, and the programs that they are traced into."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import libraries
from .bus import Floors, trace
from .errors import ChainError, HyperparameterError, names, where
from .hypers import Hyper, PerLeaf
from .page import KINDS, SECOND, Part
from .points import trace_point
from .slots import Slot
from .trace.graph import Program
from .trace.namespace import static_value


@dataclass(frozen=True)
class Chain:
    """Parts in the order in which they run. The first `shared` of them span all groups: so do their totals."""

    parts: tuple[Part, ...]
    shared: int = 0

    @staticmethod
    def of(parts: tuple[Part, ...], shared: int = 0) -> Chain:
        """Gradient parts, then directions, then updates; within a kind the written order holds.

        But what reads the second gradient stands first: to the others its estimate is the gradient.
        """

        def place(part: Part) -> tuple[int, bool]:
            return KINDS.index(part.page.kind), part.page.kind == "gradient" and SECOND not in part.page.reads

        ordered = sorted(parts, key=place)
        late = next((part for part in parts[shared:] if not any(place(part))), None)
        if shared and late is not None:
            raise ChainError(
                f"{late.page.__name__} stands before every other gradient part: write it in front of the groups, too, "
                "not inside one"
            )
        for part in [part for part in ordered if part.page.replaces]:
            _replace(ordered, part)
        chain = Chain(tuple(ordered), shared)
        chain._check()
        return chain

    def __reduce__(self) -> tuple:
        return Chain, (self.parts, self.shared)  # without what is cached, which need not be picklable

    def _check(self) -> None:
        slots: dict[str, Part] = {}
        for part in self.parts:
            for slot, spec in part.page.slots.items():
                name = part.qualify(slot)
                if spec.stored and slots.setdefault(name, part) is not part:
                    raise ChainError(
                        f"slot {name!r} belongs to two parts, {slots[name]} and {part}: name one of them, "
                        f"{part.page.__name__}(..., name='other'), and its slots become 'other.{slot}'"
                    )
        self._check_order()
        owner = next((part for part in self.parts if part.page.alone), None)
        other = next((part for part in self.parts if part.page.kind == "direction"), None)
        if owner is not None and other is not None:
            raise ChainError(
                f"{owner.page.__name__} takes no direction part such as {other.page.__name__}: {owner.page.alone}. "
                "Leave it out."
            )
        if taken := {"step", "row_step"} & set(slots):
            raise ChainError(
                f"a slot cannot be called {names(taken)}: the state keeps its count there. Take another name"
            )
        _ = self.numbers
        check_given([self])

    def _check_order(self) -> None:
        for i, part in enumerate(self.parts):
            page, before = part.page, self.parts[:i]
            if part in before:
                raise ChainError(
                    f"{part} stands twice in the chain, and would act twice: drop one, or name one if both are meant, "
                    f"{page.__name__}(..., name='other')"
                )
            makers = [p.page for p in self.parts[i + 1 :] if p.page.kind == page.kind and "u" in p.page.reads]
            made = page.kind == "direction" and any(p.page.kind == "direction" for p in before)
            if page.behind and makers and not made:
                what = "direction" if page.kind == "direction" else "params"
                raise ChainError(
                    f"{page.__name__} looks at the {what} that {makers[0].__name__}, which stands behind it, has yet "
                    f"to make: write chain(..., {page.__name__}(...))"
                )

    @cached_property
    def numbers(self) -> dict[str, Any]:
        """Every run-time number and schedule of the chain, by its name in the chain."""
        found: dict[str, Any] = {}
        for part in self.parts:
            for key, value in part.numbers.items():
                name = part.qualify(key)
                if name in found and not _same(found[name], value):
                    or_else = f"or name one part ({part.page.__name__}(..., name='other') makes it 'other.{key}')"
                    raise ChainError(
                        f"two parts give {name!r} different values, {found[name]!r} and {value!r}: give the same, "
                        + (or_else if name != "lr" else "since lr is the chain's, or leave one out")
                    )
                found[name] = value
        return found

    @cached_property
    def per_leaf(self) -> frozenset[str]:
        """The numbers that are another for each leaf: what decides the program is which these are, not their values."""
        return frozenset(name for name, value in self.numbers.items() if isinstance(value, PerLeaf))

    def at_leaf(self, name: str, path: str, shape: tuple[int, ...]) -> float:
        """Such a number for one leaf."""
        try:
            value = self.numbers[name].function(path, shape)
        except Exception as error:
            error.add_note(f"in per_leaf of {name}, for {where(path)} of shape {shape}")
            raise
        try:
            return self.check(name, value)
        except HyperparameterError as error:
            rule = f"per_leaf of {name} gave {value!r:.80} for {where(path)} of shape {shape}"
            raise HyperparameterError(f"{rule}: {error}") from None

    @cached_property
    def hypers(self) -> dict[str, list[Hyper]]:
        """The declarations behind each run-time number, missing ones included."""
        found: dict[str, list[Hyper]] = {}
        for part in self.parts:
            given = dict(part.options)
            for key, hyper in part.page.hypers.items():
                if hyper.number and key not in given:
                    found.setdefault(part.qualify(key), []).append(hyper)
        return found

    @cached_property
    def options(self) -> dict[str, Any]:
        """What was fixed when the chain was built, for messages."""
        return {part.qualify(k): v for part in self.parts for k, v in part.options}

    def check(self, name: str, value: Any) -> float:
        """A value of a run-time number, inside every domain that its pages declare."""
        for hyper in self.hypers[name]:
            value = hyper.check_number(value, name)
        return value

    def at(self, name: str, count: int, group: str = "") -> Any:
        """A run-time number, or what its schedule says at a count of completed steps; or an error that says so."""
        value = self.numbers[name]
        return self.scheduled(name, value, count, group) if callable(value) else self.check(name, value)

    def scheduled(self, name: str, schedule: Callable[[int], Any], count: int, group: str = "") -> Any:
        """What a schedule says at a count; what is not known yet is returned as it is."""
        at = f"the schedule of {name}{group} at count {count}"
        try:
            value = schedule(count)
        except Exception as error:
            error.add_note(f"in {at}")
            raise
        if libraries.deferred(value):  # of a known count too, JAX computes nothing while it traces
            return value
        rule = next((rule for hyper in self.hypers[name] if (rule := hyper.wrong(value)) is not None), None)
        if rule is not None:
            raise HyperparameterError(f"{at} gave {value!r:.80}: {name} {rule}. Let it return such a number.")
        return float(value)

    def require(self, given: dict[str, Any]) -> None:
        """Every number without a default has a value."""
        missing = [name for name in self.hypers if name not in given]
        if missing:
            raise HyperparameterError(
                f"no part gives {names(missing)}: write it where it is used, as in descend({missing[0]}=1e-3)"
            )

    def replace(self, values: Mapping[str, Any]) -> Chain:
        """The same parts with other numbers: another optimizer, the same program."""
        parts = []
        for part in self.parts:
            changed = {key: values[part.qualify(key)] for key in part.page.hypers if part.qualify(key) in values}
            checked = {
                key: value if callable(value) or isinstance(value, PerLeaf) else self.check(part.qualify(key), value)
                for key, value in changed.items()
            }
            parts.append(Part(part.page, tuple({**dict(part.values), **checked}.items()), part.name))
        return Chain(tuple(parts), self.shared)

    def slots(self) -> Iterator[tuple[str, Slot, Part]]:
        """Every declared slot with its name in the chain."""
        for part in self.parts:
            for slot, spec in part.page.slots.items():
                if spec.stored:
                    yield part.qualify(slot), spec, part

    @cached_property
    def slot_names(self) -> frozenset[str]:
        """The names of all declared slots."""
        return frozenset(name for name, _, _ in self.slots())

    @cached_property
    def evaluated_at(self) -> Part | None:
        """The last part that says where to evaluate."""
        return next((part for part in reversed(self.parts) if part.page.eval), None)

    @cached_property
    def second(self) -> bool:
        """Whether a step takes a second gradient."""
        return any(SECOND in part.page.reads for part in self.parts)

    def with_role(self, role: str) -> tuple[str, ...]:
        """The slots that `refresh` fills ("full"), or sets back to 0 ("stale"), or a snapshot without it ("last")."""
        return tuple(name for name, spec, _ in self.slots() if spec.role == role)

    @cached_property
    def keeps_snapshot(self) -> bool:
        """Whether a part says where the second gradient is taken."""
        return bool(self.with_role("stale") or self.with_role("last"))

    def check_whole(self) -> None:
        """Raise where parts are missing that a step cannot do without."""
        if self.second and not self.keeps_snapshot:
            raise ChainError(
                "nothing in this chain says where the snapshot is that the second gradient is taken at: "
                "write snapshot_every(every=...) or snapshot_by_coin() as the last part"
            )
        if self.keeps_snapshot and not self.second:
            raise ChainError("nothing in this chain reads the gradient at its snapshot: write variance_reduced() in it")
        if bool(self.with_role("full")) is not bool(self.with_role("stale")):
            raise ChainError(
                "the gradient of all data goes with a snapshot that stays for some steps: variance_reduced() with "
                "snapshot_every(every=...) or snapshot_by_coin(); that of mars(exact=True) moves in every step"
            )

    def check_points(self, shape: tuple[int, ...]) -> None:
        """Raise where a query would, which a step is meaningless without."""
        if any(part.page.query for part in self.parts):
            for point in ("x", "snapshot"):
                self.point_program(shape, point)

    @cached_property
    def structure(self) -> tuple:
        """What decides the program."""
        return (self.shared, self.per_leaf, tuple(part.structure for part in self.parts))

    def program(self, shape: tuple[int, ...], floors: Floors = ()) -> Program:
        """The program for a leaf of this shape; traced once for all leaves that answer its questions the same way.

        `floors` are levels that totals must wait for, because the programs of other leaves reach them later.
        """
        return _programs.find(self, shape, trace, floors)

    def point_program(self, shape: tuple[int, ...], point: str) -> Program | None:
        """The program of a point ("eval", "x" or "snapshot"); None where that is p."""
        if point == "eval" and self.evaluated_at is None:
            return None
        program = _point_programs[point].find(self, shape, lambda chain, shape, _: trace_point(chain, shape, point), ())
        still = program.outputs["p"].op == "input" and program.outputs["p"].attr == "p"
        return None if still else program


def check_given(chains: Iterable[Chain]) -> None:
    """What a step is given by name is nothing else in any of the chains."""
    parts = [part for chain in chains for part in chain.parts]
    given = {slot for part in parts for slot, spec in part.page.slots.items() if spec.handed}
    for part in parts:
        slots = {part.qualify(slot) for slot, spec in part.page.slots.items() if spec.stored}
        for what, others in (("slot", slots), ("number or option", map(part.qualify, part.page.hypers))):
            if taken := given.intersection(others):
                raise ChainError(
                    f"a step is given {names(sorted(taken))}, which is a {what} of {part}, too: name that part, "
                    f"{part.page.__name__}(..., name='other')"
                )


def _replace(parts: list[Part], part: Part) -> None:
    """Put a part where the one is that it replaces, with its numbers."""
    page = part.page
    replaced = next((other for other in parts if other.page is page.replaces), None)
    if replaced is not None:
        values = {**Chain((replaced, part)).numbers, **dict(part.values)}
        parts.remove(part)
        parts[parts.index(replaced)] = Part(page, tuple((k, values[k]) for k in page.hypers if k in values), part.name)
    elif page.replaces is not None and "lr" not in part.numbers:
        raise ChainError(
            f"{page.__name__} takes the place of {page.replaces.__name__}, which this chain lacks: its parameters are "
            f"moved by another page. If they are not, write {page.__name__}(lr=...)"
        )


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and a == b)


class _Programs:
    """Programs by structure, each with the answers that it was traced under."""

    def __init__(self) -> None:
        self.known: dict[tuple, list[Program]] = {}
        self.locks: dict[int, threading.RLock] = {}  # by process: a forked child must not wait for a thread it lacks
        self.traces = 0  # for the test that no number is baked in

    def find(self, chain: Chain, shape: tuple[int, ...], trace: Callable, floors: Floors) -> Program:
        with self.locks.setdefault(os.getpid(), threading.RLock()):
            programs = self.known.setdefault((chain.structure, floors), [])
            for program in programs:
                if all(static_value(node, shape) == answer for node, answer in program.questions):
                    return program
            programs.append(trace(chain, shape, floors))
            self.traces += 1
            return programs[-1]


_programs = _Programs()
_point_programs = {point: _Programs() for point in ("eval", "x", "snapshot")}


def traces() -> int:
    """How many programs have been traced in this process."""
    return _programs.traces
