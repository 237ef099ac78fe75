"""The base printer: one SSA statement per line, spelled from a table, inputs prefixed so that no name can clash."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .graph import Node


class Printer:
    """Prints nodes in program order. A language is a table of spellings and a few words that they use."""

    def __init__(self, spelling: Mapping[str, str], **words: Any) -> None:
        self.spelling = spelling
        self.words = words

    def name(self, node: Node) -> str:
        """How a node is called wherever it is used."""
        if node.op == "const":
            return self.constant(node)
        return f"x{node.index}"

    def constant(self, node: Node) -> str:
        """How a constant is written: in brackets if it has a sign, which binds looser than a power."""
        text = repr(node.attr)
        return f"({text})" if text[0] == "-" else text

    def expression(self, node: Node) -> str:
        """The right-hand side of a node's statement."""
        arguments = (self.argument(node, a) for a in node.args)
        return self.spelling[node.op].format(*arguments, attr=node.attr, **self.words)

    def argument(self, user: Node, node: Node) -> str:
        """How a node is written as an argument."""
        return self.name(node)

    def statement(self, node: Node) -> str:
        """One line."""
        return f"{self.name(node)} = {self.expression(node)}"

    def body(self, nodes: Iterable[Node], indent: str = "    ") -> list[str]:
        """The lines of several nodes."""
        return [indent + self.statement(node) for node in nodes]
