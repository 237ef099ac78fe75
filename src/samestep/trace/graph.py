"""The Program: hash-consed nodes in program order, and what can be read off them.

A node's kind is decided by its inputs alone. Its rank says how many values it has in one step: HOST one per (group, t),
TOTAL one over all leaves, LEAF one per leaf, ARRAY as many as the leaf has elements. HOST, TOTAL and LEAF nodes are
numbers: float64.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

from .ops import CLASSES, EXACT, FREE, OPS, REDUCTIONS, SHAPED


class Rank(IntEnum):
    """How many values a node has in one step."""

    HOST = 0
    TOTAL = 1
    LEAF = 2
    ARRAY = 3


class Kind(NamedTuple):
    """Rank, whether the values are truth values, and (arrays only) whether the shape is the leaf's own."""

    rank: Rank
    truth: bool = False
    full: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Node:
    """One value of the program. Interned: the same operation on the same nodes is the same object."""

    op: str
    args: tuple[Node, ...]
    attr: Hashable
    kind: Kind
    level: int  # how many barriers (a finished reduction, a total) lie before it
    index: int  # its place in program order

    def __repr__(self) -> str:
        return f"<{self.op} {self.index}>"  # without its arguments: they share theirs, and all paths are very many

    @property
    def is_array(self) -> bool:
        return self.kind.rank is Rank.ARRAY


class Graph:
    """Interns nodes."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._interned: dict[tuple, Node] = {}

    def source(self, op: str, attr: Hashable, kind: Kind, args: tuple[Node, ...] = ()) -> Node:
        """A node whose kind is given: an input, a constant, a number."""
        level = max((a.level for a in args), default=0)
        return self._intern(op, args, attr, kind, level)

    def apply(self, op: str, *args: Node, attr: Hashable = None) -> Node:
        """A node of the op table; its kind follows from its arguments."""
        level = max(a.level for a in args)
        if op in REDUCTIONS:
            return self._intern(op, args, attr, Kind(Rank.LEAF), level + 1)
        if op == "where" and args[1] is args[2]:
            return args[1]  # else a gate would revive slots that nothing changes
        rank = max(a.kind.rank for a in args)
        truth = OPS[op].truth or (op == "where" and args[1].kind.truth and args[2].kind.truth)
        full = op not in FREE and any(a.kind.full for a in args)
        return self._intern(op, args, attr, Kind(rank, truth, full), level)

    def total(self, value: Node, scope: tuple, floor: int) -> Node:
        """The sum of a number over all leaves, known at the level `floor` or later."""
        return self._intern("total", (value,), scope, Kind(Rank.TOTAL), max(value.level + 1, floor))

    def _intern(self, op: str, args: tuple[Node, ...], attr: Hashable, kind: Kind, level: int) -> Node:
        key = (op, tuple(a.index for a in args), type(attr), repr(attr) if isinstance(attr, float) else attr)
        node = self._interned.get(key)  # repr tells 0.0 from -0.0
        if node is None:
            node = self._interned[key] = Node(op, args, attr, kind, level, len(self.nodes))
            self.nodes.append(node)
        return node


def reachable(roots: Iterable[Node]) -> list[Node]:
    """All nodes that the roots need, in program order."""
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.index not in seen:
            seen[node.index] = node
            stack.extend(node.args)
    return [seen[i] for i in sorted(seen)]


def made_of(value: Node, but: Callable[[Node], bool]) -> set[Node]:
    """The nodes that a value is made of: without those of `but`, and what only these or just a shape is taken from."""
    seen: set[Node] = set()
    stack = [value]
    while stack:
        node = stack.pop()
        if node not in seen and not but(node):
            seen.add(node)
            stack.extend(node.args[1:] if node.op in SHAPED else node.args)
    return seen


@dataclass(frozen=True, eq=False)
class Program:
    """What one step does to one leaf, for every backend.

    `outputs` maps `p`, the array and scalar slots and the number slots to nodes. `arrays` names the array inputs it
    reads, `questions` what it asked of the leaf's shape and the answers it was traced under.
    """

    outputs: dict[str, Node]
    slots: tuple[str, ...]  # array and per-leaf scalar slots, in the order of the parts
    numbers: tuple[str, ...]  # slots that are one number in the state
    givens: tuple[str, ...]  # what only a call of step can give
    questions: tuple = ()
    totals: dict[Node, tuple] = field(default_factory=dict)  # (scope, ordinal): the same total in other programs
    clocked: frozenset[str] = frozenset()  # number slots that inner clocks are made of
    shared: frozenset[str] = frozenset()  # number slots that are the same for all leaves, since totals are in them

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node that an output needs, in program order; totals too, which other leaves may need."""
        return reachable([*self.outputs.values(), *self.totals])

    @cached_property
    def depth(self) -> int:
        """The level of the last stage."""
        return max(node.level for node in self.nodes)

    @cached_property
    def arrays(self) -> tuple[str, ...]:
        """The array inputs, by name: p, grad, slots."""
        return tuple(str(n.attr) for n in self.nodes if n.op == "input")

    @cached_property
    def handed(self) -> frozenset[str]:
        """The array inputs that a call of `step` gives, beside the first gradient."""
        return frozenset(self.arrays) - {"p", "grad", *self.slots}

    @cached_property
    def free(self) -> bool:
        """Whether any array has another shape than the leaf: then the program is evaluated, not printed."""
        return any(n.is_array and not n.kind.full for n in self.nodes)

    @cached_property
    def reads_shape(self) -> bool:
        """Whether the page asked for dimensions or axes."""
        return self.free or bool(self.questions) or any(n.op in ("ndim", "dim") for n in self.nodes)

    @cached_property
    def exactness(self) -> str:
        """The class of the loosest operation on arrays; numbers are computed once, by the host, for every backend."""
        ranks = [EXACT]
        for node in self.nodes:
            if node.op in OPS and (node.is_array or node.op in REDUCTIONS):
                ranks.append(OPS[node.op].exactness)
        return max(ranks, key=CLASSES.index)
