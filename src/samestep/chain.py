"""Parts to one bus: the order of a chain, its checks, and its trace into a Program."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .errors import ChainError, HyperparameterError, TraceError, names
from .page import KINDS, Hyper, Page, Part, Slot
from .trace.graph import Kind, Node, Program, Rank, reachable
from .trace.namespace import Symbol, Tracer, static_value

Floors = tuple[tuple[tuple, int], ...]  # (scope, ordinal) of a total -> level
ARRAY = Kind(Rank.ARRAY, full=True)
HOST = Kind(Rank.HOST)


@dataclass(frozen=True)
class Chain:
    """Parts in the order in which they run. The first `shared` of them span all groups: so do their totals."""

    parts: tuple[Part, ...]
    shared: int = 0

    @staticmethod
    def of(parts: tuple[Part, ...], shared: int = 0) -> Chain:
        """Gradient parts, then directions, then updates; within a kind the written order holds."""
        ordered = tuple(sorted(parts, key=lambda part: KINDS.index(part.page.kind)))
        chain = Chain(ordered, shared)
        chain._check()
        return chain

    def __reduce__(self) -> tuple:
        return Chain, (self.parts, self.shared)  # without what is cached, which need not be picklable

    def _check(self) -> None:
        slots: dict[str, Part] = {}
        for part in self.parts:
            for slot, spec in part.page.slots.items():
                name = part.qualify(slot)
                if spec.shape != "given" and slots.setdefault(name, part) is not part:
                    raise ChainError(
                        f"slot {name!r} belongs to two parts, {slots[name]} and {part}: name one of them, "
                        f"{part.page.__name__}(..., name='other'), and its slots become 'other.{slot}'"
                    )
        owner = next((part for part in self.parts if part.page.alone), None)
        other = next((part for part in self.parts if part.page.kind == "direction"), None)
        if owner is not None and other is not None:
            raise ChainError(
                f"{owner.page.__name__} takes no direction part such as {other.page.__name__}: {owner.page.alone}"
            )
        if "step" in slots:
            raise ChainError("a slot cannot be called 'step': the state keeps its count there")
        _ = self.numbers

    @cached_property
    def numbers(self) -> dict[str, Any]:
        """Every run-time number and schedule of the chain, by its name in the chain."""
        found: dict[str, Any] = {}
        for part in self.parts:
            for key, value in part.numbers.items():
                name = part.qualify(key)
                if name in found and not _same(found[name], value):
                    raise ChainError(
                        f"two parts give {name!r} different values, {found[name]!r} and {value!r}: give the same, "
                        f"or name one part ({part.page.__name__}(..., name='other') makes it 'other.{key}')"
                    )
                found[name] = value
        return found

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
            value = hyper.check_number(value)
        return value

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
            checked = {key: part.page.hypers[key].check(value) for key, value in changed.items()}
            parts.append(Part(part.page, tuple({**dict(part.values), **checked}.items()), part.name))
        return Chain(tuple(parts), self.shared)

    def slots(self) -> Iterator[tuple[str, Slot, Part]]:
        """Every declared slot with its name in the chain."""
        for part in self.parts:
            for slot, spec in part.page.slots.items():
                if spec.shape != "given":
                    yield part.qualify(slot), spec, part

    @cached_property
    def slot_names(self) -> frozenset[str]:
        """The names of all declared slots."""
        return frozenset(name for name, _, _ in self.slots())

    @cached_property
    def evaluated_at(self) -> Part | None:
        """The last part that says where to evaluate."""
        return next((part for part in reversed(self.parts) if part.page.eval), None)

    @property
    def structure(self) -> tuple:
        """What decides the program."""
        return (self.shared, tuple(part.structure for part in self.parts))

    def program(self, shape: tuple[int, ...], floors: Floors = ()) -> Program:
        """The program for a leaf of this shape; traced once for all leaves that answer its questions the same way.

        `floors` are levels that totals must wait for, because the programs of other leaves reach them later.
        """
        return _programs.find(self, shape, _trace, floors)

    def eval_program(self, shape: tuple[int, ...]) -> Program:
        """The program of the parameters to evaluate at."""
        return _eval_programs.find(self, shape, _trace_eval, ())


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
_eval_programs = _Programs()


def traces() -> int:
    """How many programs have been traced in this process."""
    return _programs.traces


class _Bus:
    """What flows through a chain while it is traced."""

    def __init__(self, shape: tuple[int, ...], floors: Floors = ()) -> None:
        self.tracer = Tracer(shape, dict(floors))
        source = self.tracer.source
        self.p = self.start = source("input", "p", ARRAY)
        self.u = self.g = source("input", "grad", ARRAY)
        self.t = source("t", None, HOST)
        self.gate: Symbol | None = None
        self.reset: Symbol | None = None
        self.outputs: dict[str, Symbol] = {}
        self.inputs: dict[str, Symbol] = {}
        self.idle: dict[str, Symbol] = {}  # what a slot becomes when its page leaves it as it was handed
        self.givens: list[str] = []

    def run(self, part: Part, page: Page, function, writes: tuple[str, ...]) -> dict[str, Symbol]:
        """Call one page and put what it returns on the bus."""
        hyper = self._hyper(part)
        values = {"u": self.u, "p": self.p, "g": self.g, "t": self.t}
        slots = {name: self._slot(part, name, spec, hyper) for name, spec in page.slots.items()}
        values.update(slots)
        reads = page.reads if function is page.function else _positional(function)
        accepted = _keywords(function)
        result = function(*(values[name] for name in reads), **{k: v for k, v in hyper.items() if k in accepted})
        allowed = {*writes, *(n for n, s in page.slots.items() if s.shape != "given")}
        if not isinstance(result, dict) or set(result) - allowed:
            got = names(set(result) - allowed) if isinstance(result, dict) else type(result).__name__
            raise TraceError(
                f"page {page.__name__} must return a dict with some of {names(sorted(allowed))}; got {got}"
            )
        return {k: self.tracer.symbol(v) for k, v in result.items()}

    def apply(self, part: Part) -> None:
        """Run a part of the chain."""
        page = part.page
        writes = {"gradient": ("u", "when", "t", "reset"), "direction": ("u",), "update": ("u", "p")}[page.kind]
        result = self.run(part, page, page.function, writes)
        for name, value in result.items():
            self._check(page, name, value.node)
        for name, spec in page.slots.items():
            if spec.shape != "given" and name in result:
                self._write(part, name, spec, result[name])
        self.u = self._shaped(page, "u", result.get("u", self.u))
        self.p = self._shaped(page, "p", result.get("p", self.p))
        if "when" in result:
            self.gate = self._joined("logical_and", self.gate, result["when"])
        if "reset" in result:
            self.reset = self._joined("logical_or", self.reset, result["reset"])
        self.t = result.get("t", self.t)
        if page.kind == "gradient":
            self.g = self.u

    @staticmethod
    def _check(page: Page, name: str, node: Node) -> None:
        steers = page.kind == "gradient"
        condition = steers and name in ("when", "reset")
        if condition is not node.kind.truth:
            rule = "a condition" if condition else "a number or an array; xp.where makes one of a condition"
            raise TraceError(f"{name!r} of {page.__name__} must be {rule}")
        if condition and node.is_array:
            raise TraceError(f"{name!r} of {page.__name__} is one condition for the leaf: write xp.all or xp.any")
        if steers and name == "t" and node.kind.rank > Rank.TOTAL:
            raise TraceError(f"'t' of {page.__name__} is one clock for all leaves: make it of totals (sum_over_params)")

    def _joined(self, op: str, so_far: Symbol | None, value: Symbol) -> Symbol:
        return value if so_far is None else self.tracer.apply(op, so_far, value)

    def _shaped(self, page: Page, name: str, value: Symbol) -> Symbol:
        return value if value.node.is_array else self.tracer.apply("full_like", self.p, value)

    def _hyper(self, part: Part) -> dict[str, Any]:
        found: dict[str, Any] = dict(part.options)
        for key, hyper in part.page.hypers.items():
            if hyper.number and key not in found:
                rank = max(Rank.HOST, self.t.node.kind.rank)
                found[key] = self.tracer.source("number", part.qualify(key), Kind(rank), self.t)
        return found

    def _slot(self, part: Part, name: str, spec: Slot, hyper: dict[str, Any]) -> Symbol:
        qualified = part.qualify(name)
        if spec.shape == "given":
            self.givens.append(name)
            return self.tracer.source("given", name, HOST)
        op, kind = {
            "array": ("input", ARRAY),
            "scalar": ("state_scalar", Kind(Rank.LEAF)),
            "number": ("state_number", HOST),
        }[spec.shape]
        if spec.shape == "array":  # rows, cols and the like have a shape of their own
            kind = Kind(Rank.ARRAY, full=self._start(spec, hyper).node.kind.full)
        symbol = self.inputs[qualified] = self.tracer.source(op, qualified, kind)
        idle = handed = symbol
        if self.reset is not None:
            idle = handed = self.tracer.apply("where", self.reset, self._start(spec, hyper), symbol)
        if self.gate is not None:
            idle = self.tracer.apply("where", self.gate, handed, symbol)
        self.idle[qualified] = idle
        return handed

    def _start(self, spec: Slot, hyper: dict[str, Any]) -> Symbol:
        value = spec.start(self.tracer.namespace, self.start, hyper) if callable(spec.start) else spec.start
        value = self.tracer.symbol(value)
        return self._shaped_like_leaf(value) if spec.shape == "array" else value

    def _shaped_like_leaf(self, value: Symbol) -> Symbol:
        return value if value.node.is_array else self.tracer.apply("full_like", self.start, value)

    def _write(self, part: Part, name: str, spec: Slot, value: Symbol) -> None:
        qualified = part.qualify(name)
        if spec.shape == "array":
            value = self._shaped_like_leaf(value)
        if self.gate is not None:
            value = self.tracer.apply("where", self.gate, value, self.inputs[qualified])
        rank = value.node.kind.rank
        if spec.shape == "number" and rank > Rank.TOTAL:
            raise TraceError(
                f"slot {name!r} of {part.page.__name__} is one number in the state: a value per leaf cannot go there"
            )
        if spec.shape == "scalar" and rank > Rank.LEAF:
            raise TraceError(
                f"slot {name!r} of {part.page.__name__} is one number per leaf, so an array cannot go there"
            )
        self.outputs[qualified] = value


def _keywords(function) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def _positional(function) -> tuple[str, ...]:
    return function.__code__.co_varnames[: function.__code__.co_argcount]


def _trace(chain: Chain, shape: tuple[int, ...], floors: Floors) -> Program:
    bus = _Bus(shape, floors)
    for i, part in enumerate(chain.parts):
        bus.tracer.scope = ("all",) if i < chain.shared else ("group",)
        try:
            bus.apply(part)
        except TraceError as error:
            raise TraceError(f"in page {part.page.__name__}: {error}") from error
    p = bus.p if bus.gate is None else bus.tracer.apply("where", bus.gate, bus.p, bus.start)
    specs = {name: spec for name, spec, _ in chain.slots()}
    outputs = {name: bus.outputs.get(name, bus.idle[name]).node for name in specs}
    live = _live(p.node, outputs, bus)
    outputs = {"p": p.node, **{name: node for name, node in outputs.items() if name in live}}
    return Program(
        outputs=outputs,
        slots=tuple(n for n in specs if n in live and specs[n].shape != "number"),
        numbers=tuple(n for n in specs if n in live and specs[n].shape == "number"),
        givens=tuple(
            dict.fromkeys(
                g for g in bus.givens if any(n.op == "given" and n.attr == g for n in reachable(outputs.values()))
            )
        ),
        questions=tuple(bus.tracer.questions.items()),
        totals=dict(bus.tracer.totals),
    )


def _live(p: Node, outputs: dict[str, Node], bus: _Bus) -> set[str]:
    """Slots that something needs: read by an output that is needed, or changed by the step."""
    live = {name for name in outputs if outputs[name] is not bus.idle[name].node}
    while True:
        used = {n.index for n in reachable([p, *(outputs[name] for name in live)])}
        grown = live | {name for name in outputs if bus.inputs[name].node.index in used}
        if grown == live:
            return live
        live = grown


def _trace_eval(chain: Chain, shape: tuple[int, ...], floors: Floors) -> Program:
    part = chain.evaluated_at
    assert part is not None and part.page.eval is not None
    bus = _Bus(shape)
    result = bus.run(part, part.page, part.page.eval, ("p",))["p"].node
    numbers = tuple(str(n.attr) for n in reachable([result]) if n.op == "state_number")
    return Program({"p": result}, (), numbers, (), tuple(bus.tracer.questions.items()))
