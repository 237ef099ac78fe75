"""A plan: which leaves share a program and a backend. Keyed by structure, dtypes and shapes, never by identity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any
from zlib import crc32

import numpy as np

from . import backend as backends
from . import libraries
from .backend import Choice, Compiled, Signature
from .bus import Floors
from .chain import Chain
from .dtypes import COMPLEX, COMPUTE, EPSILON, name
from .errors import ChainError, LeafError, TraceError, where
from .evaluate import Evaluated, library, own
from .libraries import Library
from .trace.graph import Node, Program, Rank
from .trace.namespace import static_value
from .trace.python import compile_numbers
from .trace.stages import Stages

INLINE = "inline: a number of this step is traced, recorded or lazy"


@dataclass(frozen=True)
class Leaf:
    """What a plan knows of one leaf."""

    path: str
    shape: tuple[int, ...]
    param: str
    grad: str | None  # None: it has no gradient in this step
    branch: int
    table: tuple[int, ...] | None = None  # the shape of the leaf whose rows these are

    @property
    def whole(self) -> tuple[str, tuple[int, ...]]:
        """The path and the shape that the user knows."""
        return self.path, self.shape if self.table is None else self.table

    @property
    def complex(self) -> bool:
        return self.param in COMPLEX

    @property
    def real_shape(self) -> tuple[int, ...]:
        """The shape that a program sees: complex entries are pairs."""
        return (*self.shape, 2) if self.complex else self.shape

    @property
    def signature(self) -> Signature:
        param, grad = COMPLEX.get(self.param, self.param), self.grad or self.param
        return Signature(param, COMPLEX.get(grad, grad), COMPUTE[self.param])


@dataclass(frozen=True, eq=False)
class Batch:
    """Leaves that run one program on one backend."""

    program: Program
    compiled: Compiled
    choice: Choice
    leaves: tuple[int, ...]  # places in the flattened params
    branches: np.ndarray  # of each leaf
    statics: dict[int, np.ndarray]  # numbers that the shape, the path or the dtype alone decides
    numbers: (
        tuple  # per level: (Numbers, host function, leaf function, numbers of the rows that the leaf function reads)
    )
    complex: bool

    @property
    def depth(self) -> int:
        return self.program.depth

    @cached_property
    def scalars(self) -> tuple[str, ...]:
        """The slots that are one number per leaf, read or only written."""
        read = [str(node.attr) for node in self.program.nodes if node.op == "state_scalar"]
        written = [slot for slot in self.program.slots if not self.program.outputs[slot].is_array]
        return tuple(dict.fromkeys((*read, *written)))

    @cached_property
    def sources(self) -> tuple[list[int], list[tuple[int, int]], list[tuple[int, str]], list[tuple[int, str]]]:
        """Where the numbers of a step enter: the clock; number slots (by place), given inputs, scalar slots."""
        nodes, slots = self.program.nodes, self.program.numbers
        return (
            [n.index for n in nodes if n.op == "t"],
            [(n.index, slots.index(str(n.attr))) for n in nodes if n.op == "state_number"],
            [(n.index, str(n.attr)) for n in nodes if n.op == "given"],
            [(n.index, str(n.attr)) for n in nodes if n.op == "state_scalar"],
        )

    @cached_property
    def no_leaves(self) -> np.ndarray:
        """The table of a stage that reads no number per leaf."""
        return np.empty((len(self.leaves), 0))

    @cached_property
    def places(self) -> np.ndarray:
        """Its leaves, as an index."""
        return np.array(self.leaves, np.int64)

    @cached_property
    def by_branch(self) -> tuple[list[int], np.ndarray]:
        """The first leaf of every branch that is present, and which of these branches each leaf belongs to."""
        _, first, row_of = np.unique(self.branches, return_index=True, return_inverse=True)
        return first.tolist(), row_of


@dataclass(frozen=True, eq=False)
class Plan:
    """The batches of one step."""

    spec: Any
    leaves: tuple[Leaf, ...]
    batches: tuple[Batch, ...]
    programs: tuple[Program | None, ...]  # of every leaf; None: frozen
    library: Library = libraries.STANDARD
    shapes: dict[tuple[str, int], tuple[tuple[int, ...], str]] = field(
        default_factory=dict
    )  # and dtypes of slots, as far as they were asked for

    @property
    def depth(self) -> int:
        """The last level of any program."""
        return max((batch.depth for batch in self.batches), default=0)

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """The slots that some leaf has, in the order of the parts."""
        return self._named(lambda program: program.slots)

    @cached_property
    def number_slots(self) -> tuple[str, ...]:
        """The slots that are one number in the state."""
        return self._named(lambda program: program.numbers)

    def _named(self, of: Callable[[Program], tuple[str, ...]]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(n for program in self.programs if program is not None for n in of(program)))

    @cached_property
    def read(self) -> frozenset[str]:
        """The run-time numbers and given inputs that some program reads."""
        nodes = [node for program in self.programs if program is not None for node in program.nodes]
        return self.handed.union(str(node.attr) for node in nodes if node.op in ("number", "given"))

    @cached_property
    def handed(self) -> frozenset[str]:
        """The arrays that a step is given by name for some leaf."""
        return frozenset().union(*(program.handed for program in self.programs if program is not None))

    @cached_property
    def awake(self) -> np.ndarray:
        """Whether each leaf takes part in the step."""
        found = np.zeros(len(self.leaves), bool)
        found[[i for batch in self.batches for i in batch.leaves]] = True
        return found

    @cached_property
    def frozen(self) -> tuple[int, ...]:
        """The leaves that no step moves."""
        return tuple(i for i, program in enumerate(self.programs) if program is None)

    @cached_property
    def asleep(self) -> tuple[int, ...]:
        """The leaves that have no gradient in this step."""
        return tuple(i for i, program in enumerate(self.programs) if program is not None and not self.awake[i])

    @property
    def all_awake(self) -> bool:
        """Whether every leaf that is not frozen takes part in the step."""
        return not self.asleep

    def having(self, slot: str, branch: int) -> np.ndarray:
        """The leaves of a branch that have a number slot, as an index."""
        return self._having[slot, branch]

    @cached_property
    def _having(self) -> dict[tuple[str, int], np.ndarray]:
        found: dict[tuple[str, int], list[int]] = defaultdict(list)
        for i, (leaf, program) in enumerate(zip(self.leaves, self.programs, strict=True)):
            for slot in program.numbers if program is not None else ():
                found[slot, leaf.branch].append(i)
        return defaultdict(lambda: np.empty(0, np.int64), {key: np.array(value) for key, value in found.items()})


def build(
    spec: Any, leaves: Sequence[Leaf], chains: Sequence[Chain | None], arrays: Sequence[Any], inline: bool = False
) -> Plan:
    """The plan for these leaves; `arrays` decide the backend, which of an inline step is their own library."""
    programs = _agreed(leaves, chains)
    groups: dict[tuple, list[int]] = {}
    choices: dict[tuple, Choice] = {}
    kind = libraries.of_leaves(arrays).kind
    known: dict[tuple, Choice] = {}  # for leaves that are alike, chosen once
    for i, (leaf, program) in enumerate(zip(leaves, programs, strict=True)):
        if leaf.grad is None or program is None:
            continue
        alike = kind(arrays[i]), program, leaf.signature
        if alike not in known:
            known[alike] = _choice(arrays[i], program, leaf.signature, inline)
        choice = known[alike]
        key = (program, leaf.signature, leaf.complex, choice.backend.name)
        groups.setdefault(key, []).append(i)
        choices[key] = choice
    batches = tuple(
        _batch(key[0], choices[key], [leaves[i] for i in found], found, chains) for key, found in groups.items()
    )
    return Plan(spec, tuple(leaves), batches, programs, libraries.of_leaves(arrays))


def _choice(array: Any, program: Program, signature: Signature, inline: bool) -> Choice:
    """The backend for leaves like this array; one that is asked for must run them, though an inline step does not."""
    if inline and not backends.chosen():
        return Choice(_inline(array), INLINE)
    choice = backends.choose(array, program, signature)
    return Choice(_inline(array), INLINE) if inline else choice


def _inline(array: Any) -> Evaluated:
    return Evaluated(library(array), spelling=libraries.of(array).spelling)


def _agreed(leaves: Sequence[Leaf], chains: Sequence[Chain | None]) -> tuple[Program | None, ...]:
    """The program of every leaf, such that all reach each of their common totals at the same level."""
    floors: dict[tuple, int] = {}  # (branch or None, scope and ordinal) -> level
    while True:
        programs = tuple(find_program(chains[leaf.branch], leaf, _floors(floors, leaf.branch)) for leaf in leaves)
        levels: dict[tuple, set[int]] = {}
        for leaf, program in zip(leaves, programs, strict=True):
            for node, key in program.totals.items() if program is not None else ():
                levels.setdefault((_spans(key, leaf.branch), key), set()).add(node.level)
        _every_leaf_has(leaves, programs, set(levels))
        if all(len(found) == 1 for found in levels.values()):
            return programs
        floors = {total: max(found) for total, found in levels.items()}


def _spans(key: tuple, branch: int) -> int | None:
    """The branch whose leaves a total sums over; None for all."""
    return None if key[0] == ("all",) else branch


def _floors(floors: dict[tuple, int], branch: int) -> Floors:
    return tuple(sorted((key, level) for (of, key), level in floors.items() if of in (None, branch)))


def _every_leaf_has(leaves: Sequence[Leaf], programs: Sequence[Program | None], totals: set[tuple]) -> None:
    for leaf, program in zip(leaves, programs, strict=True):
        if program is None:
            continue
        mine = set(program.totals.values())
        missing = [key for of, key in totals if of in (None, leaf.branch) and key not in mine]
        if missing:
            raise TraceError(
                f"{where(leaf.path)} has no part in a sum_over_params that other leaves have: "
                "a page must sum for every leaf, not under a branch on the shape; sum 0.0 where there is nothing to add"
            )


def find_program(chain: Chain | None, leaf: Leaf, floors: Floors = ()) -> Program | None:
    """The program of a leaf; None when it is frozen."""
    if chain is None:
        return None
    try:
        program = chain.program(leaf.real_shape, floors)
    except (LeafError, TraceError) as error:
        raise type(error)(f"{where(leaf.path)}: {error}") from error
    chain.check_whole()
    if program.outputs["p"].op == "input" or "grad" not in program.arrays:
        raise ChainError(
            "nothing in this chain moves the parameters by the gradient: end it with descend(lr=...), "
            "or put it in a chain with an optimizer"
        )
    if leaf.complex and program.reads_shape:
        raise LeafError(
            f"{where(leaf.path)} is {leaf.param}, stepped as pairs of reals, but this optimizer reads the shape of a "
            "leaf: pass the real and the imaginary part as two leaves"
        )
    return program


def _batch(
    program: Program, choice: Choice, leaves: list[Leaf], places: list[int], chains: Sequence[Chain | None]
) -> Batch:  # fmt: skip
    shapes = [leaf.real_shape for leaf in leaves]
    statics = {
        node.index: np.array([_static(node, leaf, chains) for leaf in leaves], dtype=float)
        for node in program.nodes
        if node.op in ("size", "ndim", "dim", "path", "epsilon", "per_leaf")
    }
    return Batch(
        program=program,
        compiled=choice.backend.compile(program, leaves[0].signature, shapes),
        choice=choice,
        leaves=tuple(places),
        branches=np.array([leaf.branch for leaf in leaves]),
        statics=statics,
        numbers=_numbers(program),
        complex=leaves[0].complex,
    )


def _static(node: Node, leaf: Leaf, chains: Sequence[Chain | None]) -> float:
    """A number that is known of a leaf before any step; of its path, with the stream behind a zero byte, the CRC-32."""
    if node.op == "path":
        return crc32("\0".join([leaf.path, str(node.attr)] if node.attr else [leaf.path]).encode())
    if node.op == "epsilon":
        return EPSILON[leaf.signature.param]
    chain = chains[leaf.branch] if node.op == "per_leaf" else None
    return static_value(node, leaf.real_shape) if chain is None else chain.at_leaf(str(node.attr), *leaf.whole)


def for_point(plan: Plan, chains: Sequence[Chain | None], arrays: Sequence[Any], inline: bool, point: str) -> Plan:
    """The same leaves, but with the programs of a point for batches, run by the arrays' own library; none where it is
    p.
    """
    groups: dict[tuple, list[int]] = {}
    for i, leaf in enumerate(plan.leaves):
        chain = chains[leaf.branch]
        program = chain.point_program(leaf.real_shape, point) if chain is not None else None
        if program is not None:
            groups.setdefault((program, leaf.signature, leaf.complex), []).append(i)
    batches = []
    for (program, _, _), found in groups.items():
        array = arrays[found[0]]
        choice = Choice(_inline(array) if inline else own(array), "eval_params" if point == "eval" else "query")
        batches.append(_batch(program, choice, [plan.leaves[i] for i in found], found, chains))
    return replace(plan, batches=tuple(batches))


@lru_cache(maxsize=256)
def _numbers(program: Program) -> tuple:
    levels = []
    for numbers in Stages(program).numbers:
        host, leaf = compile_numbers(numbers)
        read = {a.index for n in numbers.leaves for a in n.args if a.op != "const" and a.kind.rank <= Rank.TOTAL}
        levels.append((numbers, host, leaf, tuple(sorted(read))))
    return tuple(levels)


def describe(path: str, array: Any, grad: Any, branch: int) -> Leaf:
    """A leaf as the plan keys it."""
    return Leaf(path, tuple(array.shape), name(array), None if grad is None else name(grad), branch)


def bytes_per_parameter(program: Program, leaf: Leaf) -> int:
    """Bytes that one printed step moves for each element: every stage reads its inputs, the last one writes."""
    sizes = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
    signature = leaf.signature
    slot = sizes[signature.compute]
    own = {"p": sizes[signature.param], "grad": sizes[signature.grad]}
    stages = [stage for stage in Stages(program).fused if not stage.empty]
    reads = sum(own.get(str(n.attr), slot) for stage in stages for n in stage.inputs if n.kind.full)
    writes = sum(own["p"] if name == "p" else slot for name, n in program.outputs.items() if n.is_array and n.kind.full)
    return (reads + writes) * (2 if leaf.complex else 1)
