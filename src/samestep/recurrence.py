"""Slots that are recurrences, s <- c s + h(u) with a number c: found in what pages wrote, to be taken in parts.

What pages compute of the new slots is then computed of what these are after the part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .errors import TraceError, names
from .trace.graph import Node, reachable
from .trace.namespace import Symbol, Tracer

Step = Callable[[Symbol, Symbol, Symbol], Symbol]  # of the slot, c times it, and h(u)


class Recurrences:
    """The slots of the direction parts of a chain, in the state and as these are handed them, which a restart may have
    changed, and the gradient that enters there.
    """

    def __init__(self, tracer: Tracer, gradient: Symbol, slots: Mapping[str, tuple[Symbol, Symbol]]) -> None:
        self.tracer = tracer
        self.gradient = gradient.node
        self.state = {name: symbol for name, (symbol, _) in slots.items()}
        self.handed = {name: symbol.node for name, (_, symbol) in slots.items()}
        self.varies = {self.gradient, *self.handed.values()}
        self.taken: dict[Node, Node] = {}  # what a slot was to become: what it becomes
        self.zero = tracer.symbol(0.0).node

    def take(self, name: str, new: Symbol, step: Step) -> Symbol:
        """What a slot becomes by another step than the sum of its two pieces."""
        slot = self.handed[name]
        pieces = self._split(new.node, slot)
        if pieces is None:
            raise TraceError(f"slot {name!r} does not become a number times itself and something without it")
        kept, added = pieces
        inside = reachable([added])
        others = [other for other, node in self.handed.items() if node in inside]
        if others:
            raise TraceError(f"what slot {name!r} takes in is made of {names(others)}, which a cycle completes last")
        if self._degree(added) > 2:
            raise TraceError(f"what slot {name!r} takes in is neither linear in the gradient nor in its square")
        taken = step(self.state[name], Symbol(self.tracer, kept), Symbol(self.tracer, added))
        self.taken[new.node] = taken.node
        return taken

    def follow(self, value: Symbol) -> Symbol:
        """A value made of new slots, of what these become instead."""
        return Symbol(self.tracer, self._followed(value.node, {}))

    def _followed(self, node: Node, known: dict[Node, Node]) -> Node:
        if node in self.taken:
            return self.taken[node]
        if node in self.varies:
            what = "the gradient" if node is self.gradient else "a slot as it was before"
            raise TraceError(f"it reads {what}, and not only slots as they are after the step")
        if node not in known:
            args = tuple(self._followed(arg, known) for arg in node.args)
            if args != node.args and node.op == "total":
                raise TraceError("it reads a sum of slots over all leaves")
            known[node] = node if args == node.args else self.tracer.graph.apply(node.op, *args, attr=node.attr)
        return known[node]

    def _is_number(self, node: Node) -> bool:
        """Whether it is one, whatever the gradient and the slots are."""
        return not node.is_array and self.varies.isdisjoint(reachable([node]))

    def _split(self, node: Node, slot: Node) -> tuple[Node, Node] | None:
        """What is linear in the slot, and what is free of it; None where it is no sum of these."""
        if node is slot:
            return node, self.zero
        if slot not in reachable([node]):
            return self.zero, node
        args = node.args
        match node.op:
            case "add" | "subtract" | "negative":
                parts = args
            case "multiply" if self._is_number(args[0]) or self._is_number(args[1]):
                parts = args[1:] if self._is_number(args[0]) else args[:1]
            case "divide" if self._is_number(args[1]):
                parts = args[:1]
            case "where" if self._is_number(args[0]):
                parts = args[1:]
            case _:
                return None
        split = [self._split(part, slot) for part in parts]
        if None in split:
            return None
        kept, added = (dict(zip(parts, pieces, strict=True)) for pieces in zip(*filter(None, split), strict=True))
        return self._of(node, kept), self._of(node, added)

    def _of(self, node: Node, piece: Mapping[Node, Node]) -> Node:
        """The operation on one piece of its arguments; 0 adds nothing."""
        args = [piece.get(arg, arg) for arg in node.args]
        if all(piece[arg] is self.zero for arg in piece):
            return self.zero
        if node.op in ("add", "subtract") and args[1] is self.zero:
            return args[0]
        if node.op == "add" and args[0] is self.zero:
            return args[1]
        return self.tracer.graph.apply(node.op, *args, attr=node.attr)

    def _degree(self, node: Node) -> float:
        """The degree of a polynomial in the gradient; infinite where it is none."""
        if node is self.gradient:
            return 1
        if self.gradient not in reachable([node]):
            return 0
        degrees = [self._degree(arg) for arg in node.args]
        match node.op:
            case "add" | "subtract" | "negative":
                return max(degrees)
            case "multiply":
                return sum(degrees)
            case "divide" if degrees[1] == 0:
                return degrees[0]
            case "where" if degrees[0] == 0:
                return max(degrees)
        return float("inf")
