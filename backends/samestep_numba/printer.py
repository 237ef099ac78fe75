"""A Program as Numba source: one function per stage over rows of a chunk table, everything by address.

Threads call the same function with the same tables: each claims the next span of rows until there is none left, and
counts those that are done.
A row is at most one tile of one leaf, so what a reduction gives for a row is final. Every line is one SSA statement
whose operands have the compute dtype; numbers are rounded to it once per row. Only loads and stores cast.
"""

from __future__ import annotations

import re
from typing import Any

from samestep.backend import Signature
from samestep.trace.graph import Node, Program
from samestep.trace.ops import FREE, OWN
from samestep.trace.printer import Printer
from samestep.trace.stages import Stage, Stages

KERNEL = (
    "void(int64[:,::1], int64[::1], int64[::1], "
    "int64[:,::1], int64[::1], float64[:,::1], float64[:,::1], float64[:,::1], int64)"
)
HEAD = """import math
from numba import float32, float64
from samestep_numba.half import bf16_to_f32, f32_to_bf16, f32_to_half, half_to_f32
from samestep_numba.intrinsics import (
    ceil, claim, copysign, fabs, fence, floor, independent, independent_by, lanes, ld_f32, ld_f64, ld_u16, select, sqrt,
    st_f32, st_f64, st_u16, stream_copy,
)

"""
WORDS = "from samestep_numba.words import dithered_bf16, dithered_half, random_bits\n\n"  # where they are called
LANES = 256
BLOCK = 128  # elements that wait in the frame before they pass the caches

# A row per op. `{T}` is the compute dtype, `{attr}` the node's attribute; a list is several statements, `s1`, `s2` ...
# being its own names. `at + i` is the place of an element in its leaf.
NAN_AWARE = ["s1 = {0} %s {1}", "s2 = {0} != {0}", "s3 = s1 | s2", "select(s3, {0}, {1})"]
SPELLING: dict[str, str | list[str]] = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "abs": "fabs({0})",
    "sqrt": "sqrt({0})",
    "sign": [
        "s1 = {0} == {T}(0.0)",
        "s2 = select(s1, {T}(0.0), {0})",
        "s3 = {0} < {T}(0.0)",
        "s4 = select(s3, {T}(-1.0), s2)",
        "s5 = {0} > {T}(0.0)",
        "select(s5, {T}(1.0), s4)",
    ],
    "minimum": [line.replace("%s", "<") for line in NAN_AWARE],
    "maximum": [line.replace("%s", ">") for line in NAN_AWARE],
    "copysign": "copysign({0}, {1})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "where": "select({0}, {1}, {2})",
    "full_like": "{1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "{0} & {1}",
    "logical_or": "{0} | {1}",
    "logical_not": "not {0}",
    "isfinite": ["s1 = fabs({0})", "s1 < {T}(math.inf)"],
    "isnan": "{0} != {0}",
    "isinf": ["s1 = fabs({0})", "s1 == {T}(math.inf)"],
    "pow": "{0} ** {1}",
    "exp": "math.exp({0})",
    "expm1": "math.expm1({0})",
    "log": "math.log({0})",
    "log1p": "math.log1p({0})",
    "sin": "math.sin({0})",
    "cos": "math.cos({0})",
    "acos": "math.acos({0})",
    "tanh": "math.tanh({0})",
    "random_bits": "random_bits(at, i, {1}, {2}, {3}, {4}, {attr[0]}, {attr[1]})",
    "rounded": "{0}",
    "rounded_by": "{0}",
}
# Where params have another dtype than the arithmetic.
ROUNDED: dict[str, dict[str, str]] = {
    "float16": {"rounded": "half_to_f32(f32_to_half({0}))", "rounded_by": "dithered_half({0}, {1})"},
    "bfloat16": {"rounded": "bf16_to_f32(f32_to_bf16({0}))", "rounded_by": "dithered_bf16({0}, {1})"},
}

# Of a reduction: what a lane starts with, the float64 term of one element, and how two lanes join.
REDUCTIONS = {
    "sum": ("0.0", ["float64({0})"], "+"),
    "sum_squares": ("0.0", ["s1 = float64({0})", "s1 * s1"], "+"),
    "count_nonzero": ("0.0", ["s1 = {0}", "select(s1, 1.0, 0.0)"], "+"),
    "max": ("-math.inf", ["float64({0})"], "max"),
    "min": ("math.inf", ["float64({0})"], "min"),
}

# What has no row, and why: a program with one of these is evaluated by NumPy.
_MODULO = "the sign and the rounding of a modulo are not LLVM's"
_FREE = "its result has a shape of its own"
ABSENT = {"remainder": _MODULO, "floor_divide": _MODULO, "numel": _FREE, **dict.fromkeys(FREE, _FREE)}
ABSENT["fold"] = "only numbers are folded"

# dtype name -> bytes, and how an element is read and written
ACCESS = {
    "float32": (4, "ld_f32({address}, {i})", "st_f32({address}, {i}, {value})"),
    "float64": (8, "ld_f64({address}, {i})", "st_f64({address}, {i}, {value})"),
    "float16": (2, "half_to_f32(ld_u16({address}, {i}))", "st_u16({address}, {i}, f32_to_half({value}))"),
    "bfloat16": (2, "bf16_to_f32(ld_u16({address}, {i}))", "st_u16({address}, {i}, f32_to_bf16({value}))"),
}


def unspelled(program: Program) -> set[str]:
    """Operations on arrays that have no row here, with the reason."""
    used = {n.op for n in program.nodes if n.is_array} | {n.op for n in program.nodes if n.args and n.args[0].is_array}
    return {f"{name} ({ABSENT.get(name, 'unknown')})" for name in used - set(SPELLING) - set(REDUCTIONS) - {"input"}}


class KernelPrinter(Printer):
    """Prints the stages of one program for leaves of one signature."""

    def __init__(self, program: Program, signature: Signature, columns: dict[str, int]) -> None:
        super().__init__(SPELLING | ROUNDED.get(signature.param, {}))  # type: ignore[arg-type]
        self.program = program
        self.signature = signature
        self.columns = columns  # array name -> column of the address table; outputs as "new p"
        self.T = signature.compute

    def source(self) -> tuple[str, dict[str, str]]:
        """The module, and the signatures of its functions by name."""
        stages = [stage for stage in Stages(self.program).fused if not stage.empty]
        functions = [self.function(stage) for stage in stages]
        own = any(node.op in OWN for stage in stages for node in stage.body)
        return HEAD + (WORDS if own else "") + "\n\n".join(functions), {
            f"stage{stage.level}": KERNEL for stage in stages
        }

    def dtype(self, name: str) -> str:
        """The dtype of an array as it lies in memory."""
        return {"p": self.signature.param, "grad": self.signature.grad}.get(name, self.T)

    def constant(self, node: Node) -> str:
        if isinstance(node.attr, bool):
            return repr(node.attr)
        text = repr(node.attr)
        return f"{self.T}({text if text[-1].isdigit() else f'math.{text}' if text[0] != '-' else f'-math.{text[1:]}'})"

    def lines(self, node: Node) -> list[str]:
        """The statements of a node."""
        spelled = self.spelling[node.op]
        if node.op == "where" and node.kind.truth:
            spelled = ["s1 = {0} & {1}", "s2 = not {0}", "s3 = s2 & {2}", "s1 | s3"]  # type: ignore[assignment]
        return self._statements(self.name(node), spelled, [self.name(a) for a in node.args], node.attr)

    def _statements(self, target: str, spelled: str | list[str], arguments: list[str], attr: Any = None) -> list[str]:
        rows = [spelled] if isinstance(spelled, str) else list(spelled)
        rows[-1] = f"{target} = {rows[-1]}"
        for k in range(1, len(rows)):
            rows = [_rename(row, f"s{k}", f"{target}_{k}") for row in rows]
        return [row.format(*arguments, T=self.T, attr=attr) for row in rows]

    def _access(self, name: str, new: bool = False) -> tuple[str, str]:
        column = self.columns[f"new {name}" if new else name]
        return f"a{column}", f"a{column} = addr[k, {column}] + start * {ACCESS[self.dtype(name)][0]}"

    def _prologue(self, stage: Stage) -> list[str]:
        lines = ["k = chunks[r, 0]", "start = chunks[r, 1]", "n = chunks[r, 2]"]
        if stage.hosts:
            lines.append("row = rows[k]")
        lines += [self._access(str(node.attr))[1] for node in stage.inputs]
        lines += [self._access(name, new=True)[1] for name, _ in stage.stores]
        for table, row, nodes in (("host", "row", stage.hosts), ("leaf", "k", stage.leaves)):
            for j, node in enumerate(nodes):
                cell = f"{table}[{row}, {j}]"
                lines.append(f"{self.name(node)} = " + (f"{cell} != 0.0" if node.kind.truth else f"{self.T}({cell})"))
        return lines

    def _loads(self, stage: Stage, i: str, prefix: str = "") -> list[str]:
        found = []
        for node in stage.inputs:
            read = ACCESS[self.dtype(str(node.attr))][1].format(address=prefix + self._access(str(node.attr))[0], i=i)
            cast = self.dtype(str(node.attr)) in ("float32", "float64") and self.dtype(str(node.attr)) != self.T
            widened = self.T == "float64" and self.dtype(str(node.attr)) in ("float16", "bfloat16")
            found.append(f"{self.name(node)} = {self.T}({read})" if cast or widened else f"{self.name(node)} = {read}")
        return found

    def function(self, stage: Stage) -> str:
        """One stage."""
        parameters = "chunks, cuts, counts, addr, rows, host, leaf, sums, far"
        lines = [f"def stage{stage.level}({parameters}):"]
        lines += [f"    w{j} = lanes({LANES})" for j in range(len(stage.sums))]
        lines += [f"    v{a} = lanes({BLOCK * size // 8})" for a, size in self._outputs(stage)]
        lines += [
            "    s = claim(counts, 0)",
            "    while s < len(cuts) - 1:",
            "        for r in range(cuts[s], cuts[s + 1]):",
        ]
        inner = self._prologue(stage) + (self._reduce(stage) if stage.sums else self._map(stage))
        lines += ["            " + line for line in inner]
        lines += ["        if far:", "            fence()"] if stage.stores else []
        return "\n".join([*lines, "        claim(counts, 1)", "        s = claim(counts, 0)"]) + "\n"

    def _outputs(self, stage: Stage) -> list[tuple[str, int]]:
        """Address and element size of each output."""
        return [(self._access(name, new=True)[0], ACCESS[self.dtype(name)][0]) for name, _ in stage.stores]

    def _map(self, stage: Stage) -> list[str]:
        """All loads, then the arithmetic, then all stores; in blocks that pass the caches where `far` asks for it.

        Large results that lie elsewhere would be read into the caches before they are overwritten; whole lines
        written past them are not.
        """
        outputs = self._outputs(stage)
        unaligned = " | ".join(f"{a} | n * {size}" for a, size in outputs)
        lines = [f"d = 0 if ({unaligned}) & 63 else far", f"b = {BLOCK} if d else n", "for q in range(0, n, b):"]
        block = ["c = min(b, n - q)", *_place(stage, "start + q")]
        for node in stage.inputs:
            address = self._access(str(node.attr))[0]
            block.append(f"b{address} = {address} + q * {ACCESS[self.dtype(str(node.attr))][0]}")
        block += [f"b{a} = v{a} if d else {a} + q * {size}" for a, size in outputs]
        body = self._loads(stage, "i", "b")
        for node in stage.body:
            body += self.lines(node)
        for (name, node), (a, _) in zip(stage.stores, outputs, strict=True):
            body.append(ACCESS[self.dtype(name)][2].format(address=f"b{a}", i="i", value=self.name(node)))
        block += ["for i in range(c):", *("    " + line for line in body), "independent()", "if d:"]
        block += [f"    stream_copy({a} + q * {size}, v{a}, c * {size})" for a, size in outputs]
        return [*lines, *("    " + line for line in block)]

    def _reduce(self, stage: Stage) -> list[str]:
        """Lanes over rows of 256 elements, then a tree over the lanes: the pinned order."""
        lines = [f"top = {LANES}", "while top > 1 and top >> 1 >= n:", "    top = top >> 1"]  # fewer lanes, same bits
        lines += [*_place(stage, "start"), "for j in range(top):"]
        lines += [f"    st_f64(w{j}, j, {REDUCTIONS[node.op][0]})" for j, node in enumerate(stage.sums)]
        lines += [
            "independent()",
            f"for q in range(0, n, {LANES}):",
            f"    c = min({LANES}, n - q)",
            "    for j in range(c):",
        ]
        body = ["i = q + j", *self._loads(stage, "i")]
        for node in stage.body:
            body += self.lines(node)
        for j, node in enumerate(stage.sums):
            argument = self.name(node.args[0])
            if node.op == "count_nonzero" and not node.args[0].kind.truth:
                argument = f"{argument} != {self.T}(0.0)"
            body += self._statements(f"y{j}", REDUCTIONS[node.op][1], [argument])
            body += self._joined(j, node, f"ld_f64(w{j}, j)", f"y{j}")
        lines += ["        " + line for line in body]
        lines += ["    independent_by(4)" if self.T == "float32" else "    independent()"]
        lines += ["w = top >> 1", "while w > 0:", "    for j in range(w):"]
        for j, node in enumerate(stage.sums):
            lines += [
                "        " + line for line in self._joined(j, node, f"ld_f64(w{j}, j)", f"ld_f64(w{j}, j + w)", "t")
            ]
        lines += ["    independent()", "    w = w >> 1"]
        return lines + [f"sums[r, {j}] = ld_f64(w{j}, 0) + 0.0" for j in range(len(stage.sums))]  # no -0

    def _joined(self, j: int, node: Node, lane: str, term: str, tag: str = "") -> list[str]:
        join = REDUCTIONS[node.op][2]
        if join == "+":
            return [f"st_f64(w{j}, j, {lane} + {term})"]
        sign = ">" if join == "max" else "<"
        o, y, m = f"o{tag}{j}", f"e{tag}{j}", f"m{tag}{j}"
        return [
            f"{o} = {lane}",
            f"{y} = {term}",
            f"{m}_1 = {y} {sign} {o}",
            f"{m}_2 = {y} != {y}",
            f"{m}_3 = {m}_1 | {m}_2",
            f"st_f64(w{j}, j, select({m}_3, {y}, {o}))",
        ]


def _place(stage: Stage, at: str) -> list[str]:
    """Where in its leaf the elements of a loop begin, if that matters."""
    return [f"at = {at}"] if any(node.op == "random_bits" for node in stage.body) else []


def _rename(row: str, old: str, new: str) -> str:
    return re.sub(rf"\b{old}\b", new, row)
