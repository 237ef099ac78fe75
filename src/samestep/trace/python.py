"""The Python printers: straight-line code over an array namespace, and the numbers of a step over floats or vectors."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping
from hashlib import sha256

from . import floats
from .graph import Node
from .ops import OPS
from .printer import Printer
from .stages import Numbers, Stage
from .words import folded

PYTHON = {name: op.python for name, op in OPS.items()}
HOST = {name: op.host for name, op in OPS.items() if op.host is not None} | {"number": "number({attr!r}, {0})"}


class ArrayPrinter(Printer):
    """A stage as a function of arrays; every number it meets, constants too, is a 0-d array of the compute dtype.

    `param` is the dtype in which the parameter is stored.
    """

    def __init__(self, param: str, spelling: Mapping[str, str] = PYTHON) -> None:
        super().__init__(spelling, param=param)

    def name(self, node: Node) -> str:
        return f"n[{node.index}]" if not node.is_array else f"x{node.index}"

    def function(self, stage: Stage) -> str:
        """Source of `stage(xp, pinned, shape, a, n) -> (sums, arrays)`: `a` by name or index, `n` by index."""
        lines = ["def stage(xp, pinned, shape, a, n):"]
        lines += [f"    x{node.index} = a[{node.attr!r}]" for node in stage.inputs]
        lines += [f"    x{node.index} = a[{node.index}]" for node in stage.carried]
        lines += [
            f"    {self._chosen(node, *stage.chosen[node.index])}"
            if node.index in stage.chosen
            else f"    {self.statement(node)}"
            for node in stage.body
        ]
        sums = "".join(f"{self.expression(node)}, " for node in stage.sums)
        arrays = [f"{node.index}: x{node.index}" for node in stage.keeps]
        arrays += [f"{name!r}: {self._stored(name, node)}" for name, node in stage.stores]
        lines.append(f"    return ({sums}), {{{', '.join(arrays)}}}")
        return "\n".join(lines) + "\n"

    def _stored(self, name: str, node: Node) -> str:
        return self.name(node) if node.kind.full else f"pinned.fitting({self.name(node)}, a[{name!r}], {name!r})"

    def _chosen(self, node: Node, value: Node, like: Node | None) -> str:
        shape = "shape" if like is None else f"x{like.index}.shape"
        return f"{self.name(node)} = pinned.shaped({self.name(value)}, {shape})"


class NumberPrinter(Printer):
    """Numbers of one level, read from and written to `e` by index: floats, or vectors with one entry per leaf."""

    def function(self, nodes: tuple[Node, ...]) -> str:
        """Source of `numbers(e, number, xp)`."""
        made = {n.index for n in nodes}
        read = {a.index: a for n in nodes for a in n.args if a.op != "const" and a.index not in made}
        lines = ["def numbers(e, number, xp):"]
        lines += [f"    x{i} = e[{i}]" for i in sorted(read)]
        for node in nodes:
            lines += [f"    {self.statement(node)}", f"    e[{node.index}] = x{node.index}"]
        return "\n".join([*lines, "    return e"]) + "\n"


def compile_stage(stage: Stage, param: str, spelling: Mapping[str, str] = PYTHON) -> Callable:
    """The array function of a stage, for parameters of this dtype."""
    return load(ArrayPrinter(param, spelling).function(stage), "stage")


def compile_numbers(numbers: Numbers) -> tuple[Callable, Callable]:
    """The functions of a level's numbers: per row over floats, and per leaf over vectors."""
    host = NumberPrinter(HOST).function(numbers.hosts)
    leaf = NumberPrinter(PYTHON).function(numbers.leaves)
    return load(host, "numbers"), load(leaf, "numbers")


def load(source: str, name: str) -> Callable:
    """Compile generated source so that a traceback shows it."""
    filename = f"<samestep {sha256(source.encode()).hexdigest()[:16]}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    scope: dict = {**vars(floats), "folded": folded}
    exec(compile(source, filename, "exec"), scope)
    return scope[name]
