"""A Program cut into stages: what runs between two barriers.

Numbers (host, total, leaf) are computed between stages, in float64. An array stage ends where a reduction needs a
whole leaf; a kernel computes again what it needs from the inputs, so that only numbers cross and only the last stage
stores: in place is always safe. The Python form carries arrays over instead: eager libraries have made them anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from .graph import Node, Program, Rank
from .ops import COSTLY, REDUCTIONS


@dataclass(frozen=True, eq=False)
class Stage:
    """One pass over the elements of a leaf."""

    level: int
    sums: tuple[Node, ...]  # reductions that finish at the end of this stage
    stores: tuple[tuple[str, Node], ...]  # outputs, in the last stage only
    body: tuple[Node, ...]  # array operations, in program order
    inputs: tuple[Node, ...]  # array inputs
    hosts: tuple[Node, ...]  # numbers with one value per row
    leaves: tuple[Node, ...]  # numbers with one value per leaf
    carried: tuple[Node, ...] = ()  # arrays from an earlier stage (Python form)
    keeps: tuple[Node, ...] = ()  # arrays for a later stage (Python form)
    chosen: Mapping[int, tuple[Node, Node | None]] = field(default_factory=dict)  # by index: see `under`

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compute."""
        return not (self.sums or self.stores)

    @cached_property
    def gates(self) -> tuple[Node, ...]:
        """The host's conditions on which it depends whether a factorisation or a product is computed."""
        costly = [n for n in self.body if n.op in COSTLY]
        if not costly:
            return ()
        found = {n.args[0].index: n.args[0] for n in self.body if _choice(n) is not None}
        without = {i for i in found for truth in (True, False) if set(costly) - set(self.under({i: truth}).body)}
        return tuple(found[i] for i in sorted(without))

    def under(self, truths: Mapping[int, bool]) -> Stage:
        """The same stage where these conditions are known: without what they drop. `chosen` says what a `where` is, and
        whose shape it has: an input's, or (None) the leaf's.
        """
        chosen: dict[int, tuple[Node, Node | None]] = {}
        body: dict[int, Node] = {}
        done = {n.index for n in (*self.carried, *self.inputs)}
        stack = [*(a for s in self.sums for a in s.args), *self.keeps, *(n for _, n in self.stores)]
        while stack:
            node = stack.pop()
            if not node.is_array or node.index in done or node.index in body:
                continue
            body[node.index] = node
            choice = _choice(node)
            if choice is not None and node.args[0].index in truths:
                chosen[node.index] = node.args[1 if truths[node.args[0].index] else 2], choice[0]
                stack.append(chosen[node.index][0])
            else:
                stack.extend(node.args)
        return replace(self, body=tuple(body[i] for i in sorted(body)), chosen=chosen)


def _choice(node: Node) -> tuple[Node | None] | None:
    """Whether this is a `where` of two arrays by a number, whose shape is known: an input's, or (None) the leaf's."""
    if (
        node.op != "where"
        or node.args[0].kind.rank > Rank.TOTAL
        or not (node.args[1].is_array and node.args[2].is_array)
    ):
        return None
    if node.kind.full:
        return (None,)
    old = node.args[2]
    while old.op == "where" and not old.kind.full:
        old = old.args[2]
    return (old,) if old.op == "input" else None


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers that are computed once the reductions and totals of a level are known."""

    level: int
    sums: tuple[Node, ...]  # LEAF numbers that the stage before delivered
    totals: tuple[Node, ...]  # TOTAL nodes of this level
    hosts: tuple[Node, ...]  # HOST and TOTAL rank, to compute per row
    leaves: tuple[Node, ...]  # LEAF rank, to compute per leaf


class Stages:
    """Both forms of a program's stages, and its numbers level by level."""

    def __init__(self, program: Program) -> None:
        self.program = program

    @cached_property
    def stores(self) -> tuple[tuple[str, Node], ...]:
        """The array outputs."""
        return tuple((name, node) for name, node in self.program.outputs.items() if node.is_array)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The arrays that kernels are handed: p, the gradient, slots."""
        return tuple(dict.fromkeys(("p", "grad", *self.program.arrays, *(name for name, _ in self.stores))))

    @cached_property
    def columns(self) -> dict[str, int]:
        """Where kernels find them in a table of addresses, and behind them where each result goes."""
        new = [f"new {name}" for name, _ in self.stores]
        return {name: i for i, name in enumerate((*self.names, *new))}

    @cached_property
    def numbers(self) -> tuple[Numbers, ...]:
        """One entry per level."""
        found = []
        for level in range(self.program.depth + 1):
            nodes = [n for n in self.program.nodes if not n.is_array and n.level == level]
            computed = [n for n in nodes if (n.args or n.op == "number") and n.op not in REDUCTIONS and n.op != "total"]
            found.append(
                Numbers(
                    level=level,
                    sums=tuple(n for n in nodes if n.op in REDUCTIONS),
                    totals=tuple(n for n in nodes if n.op == "total"),
                    hosts=tuple(n for n in computed if n.kind.rank <= Rank.TOTAL),
                    leaves=tuple(n for n in computed if n.kind.rank is Rank.LEAF),
                )
            )
        return tuple(found)

    @cached_property
    def fused(self) -> tuple[Stage, ...]:
        """For kernels: every stage starts from the inputs."""
        return tuple(self._stage(level, roots, set()) for level, roots in self._roots())

    @cached_property
    def carrying(self) -> tuple[Stage, ...]:
        """For straight-line Python: an array is computed in the first stage that needs it, and kept."""
        done: set[int] = set()
        stages = []
        for level, roots in self._roots():
            stages.append(self._stage(level, roots, done))
            done |= {n.index for n in stages[-1].body}
        kept: list[Stage] = []
        later: set[Node] = set()
        for stage in reversed(stages):
            keeps = tuple(n for n in stage.body if n in later)
            kept.append(replace(stage, keeps=keeps))
            later |= set(stage.carried)
        return tuple(reversed(kept))

    def _roots(self) -> Iterable[tuple[int, list[Node]]]:
        for level in range(len(self.numbers)):
            sums = self.numbers[level + 1].sums if level + 1 < len(self.numbers) else ()
            stores = self.stores if level + 1 == len(self.numbers) else ()
            yield level, [*(n for n in sums), *(node for _, node in stores)]

    def _stage(self, level: int, roots: list[Node], done: set[int]) -> Stage:
        sums = tuple(n for n in roots if n.op in REDUCTIONS)
        targets = [arg for n in sums for arg in n.args] + [n for n in roots if n.op not in REDUCTIONS]
        body: dict[int, Node] = {}
        carried: dict[int, Node] = {}
        stack = [n for n in targets if n.is_array]
        while stack:
            node = stack.pop()
            if node.index in done:
                carried[node.index] = node
            elif node.index not in body:
                body[node.index] = node
                stack.extend(a for a in node.args if a.is_array)
        numbers = {a.index: a for n in body.values() for a in n.args if not a.is_array and a.op != "const"}
        numbers |= {a.index: a for n in sums for a in n.args if not a.is_array and a.op != "const"}

        def ordered(nodes: dict[int, Node], keep) -> tuple[Node, ...]:
            return tuple(nodes[i] for i in sorted(nodes) if keep(nodes[i]))

        last = level == self.program.depth
        return Stage(
            level=level,
            sums=sums,
            stores=self.stores if last else (),
            body=ordered(body, lambda n: n.op != "input"),
            inputs=ordered(body, lambda n: n.op == "input"),
            hosts=ordered(numbers, lambda n: n.kind.rank <= Rank.TOTAL),
            leaves=ordered(numbers, lambda n: n.kind.rank is Rank.LEAF),
            carried=ordered(carried, lambda n: True),
        )
