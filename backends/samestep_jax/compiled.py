"""Programs under `jax.jit`: all leaves of a stage in one call, numbers as one table, donated arrays in place."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from samestep.backend import Signature
from samestep.errors import LeafError
from samestep.trace.graph import Node, Program
from samestep.trace.python import ArrayPrinter, load
from samestep.trace.stages import Stage, Stages

from .eager import as_weak
from .namespace import Fenced, wide
from .printer import SPELLING
from .sight import Known
from .sums import Terms, finish, join


@dataclass(frozen=True)
class Code:
    """A stage as text; equal ones share what XLA made of them, whichever optimizer they belong to."""

    source: str
    numbers: tuple[tuple[int, bool], ...]  # index, and whether it is a truth value: the columns of the table
    compute: str


class Place(NamedTuple):
    """Where the leaves of one call lie."""

    spread: tuple[bool, ...]  # of each leaf, whether every device has another part of it
    results: tuple[tuple[str, tuple[Any, ...]], ...] | None  # the shardings of the results, if there are any


traces: list[Code] = []  # every time that a stage went to XLA


@lru_cache(maxsize=512)
def compiled(code: Code, place: Place, donate: bool) -> Callable:
    """The function of a stage over lists of leaves: numbers to join, arrays to carry over, and results."""
    stage = load(code.source, "stage")

    def run(written: dict, read: dict, carried: list[dict], numbers: list, zero: Any) -> tuple[Any, list[dict], dict]:
        traces.append(code)
        xp = Fenced(zero)
        terms, kept, arrays = [], [], written | read
        stored: dict[str, list] = {name: [] for name in written}
        for i, spread in enumerate(place.spread):
            a = {name: leaves[i].astype(code.compute) for name, leaves in arrays.items()}
            n = {index: _number(numbers[i][k], truth) for k, (index, truth) in enumerate(code.numbers)}
            sums, results = stage(xp, Terms(xp, spread), a["p"].shape, a | carried[i], n)
            terms += sums
            kept.append({key: x for key, x in results.items() if key not in written})
            for name in written:
                stored[name].append(as_weak(results[name], written[name][i]))
        return finish(xp, terms) if terms else None, kept, stored

    options: dict[str, Any] = {"donate_argnums": 0, "keep_unused": True} if donate else {}
    if place.results is not None:
        options["out_shardings"] = None, None, {name: list(shardings) for name, shardings in place.results}
    return jax.jit(run, **options)


def _number(x: Any, truth: bool) -> Any:
    return x != 0 if truth else x


class CompiledJit:
    """The stages of one program. Where every array has the shape of the leaf, each starts from the inputs."""

    def __init__(self, program: Program, signature: Signature) -> None:
        cut = Stages(program)
        self.stages: tuple[Stage, ...] = cut.carrying if program.free else cut.fused
        self.param, self.compute = signature.param, signature.compute
        self.constants: list[Node] = [n for n in program.nodes if n.op == "const"]
        self.codes = [self._code(stage) for stage in self.stages]
        self.writes = [name for name, _ in self.stages[-1].stores]
        self.known: Known | None = None  # replaced whole: another thread may be looking

    def _code(self, stage: Stage) -> Code:
        columns = tuple((n.index, n.kind.truth) for n in (*stage.hosts, *stage.leaves, *self.constants))
        return Code(ArrayPrinter(self.param, SPELLING).function(stage), columns, self.compute)

    def table(self, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> list[np.ndarray]:
        """The numbers of a stage, rounded once; constants too, else XLA would compute with them.

        An array for each leaf: were they rows of one array, no two leaves would run the same code, and XLA would
        compile it anew for each.
        """
        constants = np.array([float(n.attr) for n in self.constants])  # type: ignore[arg-type]
        with np.errstate(all="ignore"):
            return list(np.hstack([hosts[rows], leaves, np.tile(constants, (len(leaves), 1))]).astype(self.compute))

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundJit:
        """Take this step's arrays, which the core has checked."""
        calls = _calls(arrays, self.writes)
        self.known = Known(arrays, calls)
        return self.bound(arrays, donate, calls, known=False)

    def bound(self, arrays: dict[str, list], donate: bool, calls: list[tuple], known: bool = True) -> BoundJit:
        """With arrays that need these calls."""
        made = [Call(places, {n: [x[i] for i in places] for n, x in arrays.items()}, at) for places, at in calls]
        return BoundJit(self, arrays, donate, made, known)


class Call(NamedTuple):
    """Leaves that run in one call: they lie on the same devices."""

    leaves: list[int]
    arrays: dict[str, list]
    place: Place


class BoundJit:
    """One step of the leaves of one program."""

    def __init__(
        self, compiled: CompiledJit, arrays: dict[str, list], donate: bool, calls: list[Call], known: bool
    ) -> None:
        self.compiled = compiled
        self.size = len(arrays["p"])
        self.donate = donate
        self.calls = calls
        self.known = known  # whether the same was done before
        self.carried: list[dict] = [{} for _ in range(self.size)]

    def sums(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> np.ndarray:
        """Run a stage that reduces; what comes back is waited for."""
        found = np.empty((self.size, len(self.compiled.stages[level].sums)))
        running = [(call, self._run(call, level, hosts, rows, leaves, ())) for call in self.calls]
        for call, (sums, kept, _) in running:
            found[call.leaves] = join(*sums).reshape(len(call.leaves), -1)
            for i, arrays in zip(call.leaves, kept, strict=True):
                self.carried[i].update(arrays)
        return found

    def prepare(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> None:
        """Trace the last stage, which fails where shapes do not fit: when another call has run, its arrays are gone."""
        for call in self.calls if self.donate and not self.known else ():
            function, arguments = self._made(call, level, hosts, rows, leaves, self.compiled.writes)
            with wide():
                function.eval_shape(*arguments)

    def store(self, level: int, hosts: np.ndarray, rows: np.ndarray, leaves: np.ndarray) -> dict[str, list]:
        """Run the last stage; nothing is waited for."""
        writes = self.compiled.writes
        stored: dict[str, list] = {name: [None] * self.size for name in writes}
        for call in self.calls:
            results = self._run(call, level, hosts, rows, leaves, writes)[2]
            for name in writes:
                for i, value in zip(call.leaves, results[name], strict=True):
                    stored[name][i] = value
        return stored

    def _run(self, call: Call, level: int, hosts: Any, rows: Any, leaves: Any, writes: Sequence[str]) -> tuple:
        function, arguments = self._made(call, level, hosts, rows, leaves, writes)
        with wide():
            return function(*arguments)

    def _made(self, call: Call, level: int, hosts: Any, rows: Any, leaves: Any, writes: Sequence[str]) -> tuple:
        """The function of a stage, and its arguments."""
        code = self.compiled.codes[level]
        place = call.place if writes else call.place._replace(results=None)
        function = compiled(code, place, self.donate and bool(writes))
        wanted = {str(n.attr) for n in self.compiled.stages[level].inputs} | {"p"}
        written = {name: call.arrays[name] for name in writes}
        read = {name: call.arrays[name] for name in wanted if name not in written}
        table = self.compiled.table(hosts, np.asarray(rows)[call.leaves], leaves[call.leaves])
        return function, (written, read, [self.carried[i] for i in call.leaves], table, np.uint32(0))


def _calls(arrays: dict[str, list], writes: Sequence[str]) -> list[tuple[list[int], Place]]:
    """Which leaves run in one call, and where they lie."""
    homes: dict[Hashable, list[int]] = {}
    for i, leaf in enumerate(zip(*arrays.values(), strict=True)):
        homes.setdefault(_home(leaf), []).append(i)
    return [
        (leaves, _place({n: [x[i] for i in leaves] for n, x in arrays.items()}, writes)) for leaves in homes.values()
    ]


def _home(leaf: Sequence[Any]) -> Hashable:
    """The devices that the arrays of a leaf were put on; None where none was put anywhere."""
    homes = {frozenset(array.sharding.device_set) for array in leaf if array.committed}
    if len(homes) > 1:
        shown = " and ".join(sorted(str(sorted(map(str, home))) for home in homes))
        raise LeafError(f"arrays of one leaf lie on {shown}: put its param, gradient and slots on the same devices")
    return homes.pop() if homes else None


def _place(arrays: dict[str, list], writes: Sequence[str]) -> Place:
    spread = tuple(not all(a.sharding.is_fully_replicated for a in leaf) for leaf in zip(*arrays.values(), strict=True))
    if len(arrays["p"][0].sharding.device_set) == 1:
        return Place(spread, None)
    return Place(spread, tuple((name, tuple(a.sharding for a in arrays[name])) for name in writes))
