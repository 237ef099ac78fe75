"""A Program as CUDA C: one kernel per stage over a table of chunks, everything by address.

A block of 256 threads runs one chunk of one leaf. A stage that reduces has chunks of one tile and its threads are the
lanes of `samestep.pinned`; a kernel of its own then joins the tiles of a leaf in order. Every line of arithmetic is one
SSA statement whose operands have the compute dtype; numbers are rounded to it once. Only loads and stores cast. The
text stays within what `prelude.h` gives, so that g++ compiles it too (`samestep_cupy.shim`).
"""

from __future__ import annotations

import math
from importlib.resources import files

import numpy as np

from samestep.backend import Signature
from samestep.pinned import LANES
from samestep.trace.graph import Node, Program
from samestep.trace.ops import FREE
from samestep.trace.printer import Printer
from samestep.trace.stages import Stage, Stages

PRELUDE = files(__package__).joinpath("prelude.h").read_text(encoding="utf-8")
PARAMETERS = (
    "const Word *chunks, const Word *addresses, const Word *rows, const double *host, const double *leaf, double *sums"
)
THREADS = LANES  # the threads of a block are the lanes of a tile
BY = 4  # elements that a thread of a map takes at once

# A row per op. `{T}` is the compute dtype, `{f}` the suffix that C gives its functions, `{max}` the largest number,
# `{attr}` the node's attribute; `i` is the place of an element in its leaf.
SPELLING: dict[str, str] = {
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "abs": "fabs{f}({0})",
    "sqrt": "sqrt{f}({0})",
    "sign": "{0} > 0 ? ({T})1 : {0} < 0 ? ({T})-1 : {0} == 0 ? ({T})0 : {0}",
    "minimum": "{0} < {1} || {0} != {0} ? {0} : {1}",
    "maximum": "{0} > {1} || {0} != {0} ? {0} : {1}",
    "copysign": "copysign{f}({0}, {1})",
    "floor": "floor{f}({0})",
    "ceil": "ceil{f}({0})",
    "remainder": "modulo({1}, fmod{f}({0}, {1}))",
    "floor_divide": "floored({0}, {1}, fmod{f}({0}, {1}))",
    "where": "{0} ? {1} : {2}",
    "full_like": "{1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "logical_and": "{0} && {1}",
    "logical_or": "{0} || {1}",
    "logical_not": "!{0}",
    "isfinite": "fabs{f}({0}) <= {max}",
    "isnan": "{0} != {0}",
    "isinf": "fabs{f}({0}) > {max}",
    "pow": "pow{f}({0}, {1})",
    "exp": "exp{f}({0})",
    "expm1": "expm1{f}({0})",
    "log": "log{f}({0})",
    "log1p": "log1p{f}({0})",
    "sin": "sin{f}({0})",
    "cos": "cos{f}({0})",
    "acos": "acos{f}({0})",
    "tanh": "tanh{f}({0})",
    "random_bits": "random_bits<{attr[0]}, {attr[1]}>(i, {1}, {2}, {3}, {4})",
    "rounded": "{0}",
    "rounded_by": "{0}",
}
# Where params have another dtype than the arithmetic.
ROUNDED: dict[str, dict[str, str]] = {
    name: {"rounded": f"rounded<{kind}>({{0}})", "rounded_by": f"dithered({kind}(), {{0}}, {{1}})"}
    for name, kind in (("float16", "Half"), ("bfloat16", "Brain"))
}

# Of a reduction: what a lane starts with, the float64 term of one element, and how two lanes join.
INFINITY = "__longlong_as_double(0x{}ff0000000000000LL)"
SUM, LARGER, SMALLER = "{0} + {1}", "{1} > {0} || {1} != {1} ? {1} : {0}", "{1} < {0} || {1} != {1} ? {1} : {0}"
REDUCTIONS: dict[str, tuple[str, str, str]] = {
    "sum": ("0.0", "(double){0}", SUM),
    "sum_squares": ("0.0", "(double){0} * (double){0}", SUM),
    "count_nonzero": ("0.0", "{0} != 0 ? 1.0 : 0.0", SUM),
    "max": (f"-{INFINITY.format(7)}", "(double){0}", LARGER),
    "min": (INFINITY.format(7), "(double){0}", SMALLER),
}

# What has no row, and why: a program with one of these is evaluated by the array library.
ABSENT = {**dict.fromkeys(("numel", *FREE), "its result has a shape of its own"), "fold": "only numbers are folded"}

# dtype name -> how it lies in memory
STORAGE = {"float16": "Half", "bfloat16": "Brain", "float32": "float", "float64": "double"}


def unspelled(program: Program) -> set[str]:
    """Operations on arrays that have no row here, with the reason."""
    used = {n.op for n in program.nodes if n.is_array} | {n.op for n in program.nodes if n.args and n.args[0].is_array}
    return {f"{name} ({ABSENT.get(name, 'unknown')})" for name in used - set(SPELLING) - set(REDUCTIONS) - {"input"}}


def _placed(stage: Stage) -> bool:
    """Whether it matters where in its leaf an element is."""
    return any(node.op == "random_bits" for node in stage.body)


class KernelPrinter(Printer):
    """Prints the stages of one program for leaves of one signature."""

    def __init__(self, program: Program, signature: Signature, columns: dict[str, int]) -> None:
        super().__init__(SPELLING | ROUNDED.get(signature.param, {}))
        self.program = program
        self.signature = signature
        self.columns = columns  # array name -> column of the address table; outputs as "new p"
        double = signature.compute == "float64"
        self.type: type[np.floating] = np.float64 if double else np.float32
        self.T = "double" if double else "float"
        self.words = {"T": self.T, "f": "" if double else "f", "max": self._literal(float(np.finfo(self.type).max))}

    def source(self) -> tuple[str, tuple[str, ...]]:
        """Everything that a compiler needs, and the names of the kernels: `stage0`, `join0` and so on by level."""
        stages = [stage for stage in Stages(self.program).fused if not stage.empty]
        names = [f"{kind}{s.level}" for s in stages for kind in (("stage", "join") if s.sums else ("stage",))]
        return "\n".join([PRELUDE, *(part for stage in stages for part in self._parts(stage))]), tuple(names)

    def storage(self, name: str) -> str:
        """How an array lies in memory."""
        return STORAGE[{"p": self.signature.param, "grad": self.signature.grad}.get(name, self.signature.compute)]

    # -- expressions ------------------------------------------------------------------------------------------------
    def constant(self, node: Node) -> str:
        return str(node.attr).lower() if isinstance(node.attr, bool) else self._literal(float(node.attr))  # type: ignore[arg-type]

    def _literal(self, x: float) -> str:
        """Rounded to the compute dtype here, and written in hexadecimal: nothing is left to the compiler."""
        with np.errstate(over="ignore", under="ignore"):
            x = float(self.type(x))
        if math.isfinite(x):
            text = x.hex() + ("f" if self.T == "float" else "")
        else:
            text = f"({self.T}){INFINITY.format('7')}" if x > 0 else f"({self.T}){INFINITY.format('f')}"
            text = text if x == x else f"({self.T})__longlong_as_double(0x7ff8000000000000LL)"
        return f"({text})" if text[0] in "-(" else text

    def statement(self, node: Node) -> str:
        return f"const {self._type(node)} {self.name(node)} = {self.expression(node)};"

    def _type(self, node: Node) -> str:
        return "bool" if node.kind.truth else self.T

    # -- kernels ------------------------------------------------------------------------------------------------------
    def _parts(self, stage: Stage) -> list[str]:
        if stage.sums:
            return [self._element(stage), self._reduce(stage), self._join(stage)]
        return [self._element(stage), self._map(stage)]

    def _element(self, stage: Stage) -> str:
        """The arithmetic on one element: what is loaded and the numbers come in, results or terms go out."""
        given = [*stage.inputs, *stage.hosts, *stage.leaves]
        parameters = ["const Word i"] if _placed(stage) else []
        parameters += [f"const {self._type(node)} {self.name(node)}" for node in given]
        parameters += [f"{'double' if stage.sums else self.T} &y{j}" for j in range(len(stage.sums or stage.stores))]
        lines = [f"__device__ inline void element{stage.level}({', '.join(parameters)}) {{"]
        lines += self.body(stage.body)
        for j, node in enumerate(stage.sums):
            lines.append(f"    y{j} = {REDUCTIONS[node.op][1].format(self.name(node.args[0]))};")
        for j, (_, node) in enumerate(stage.stores):
            lines.append(f"    y{j} = {self.name(node)};")
        return "\n".join([*lines, "}\n"])

    def _kernel(self, name: str, lines: list[str]) -> str:
        head = f'extern "C" __global__ void __launch_bounds__({THREADS}) {name}({PARAMETERS}) {{'
        return "\n".join([head, *("    " + line for line in lines), "}\n"])

    def _prologue(self, stage: Stage) -> list[str]:
        """The chunk, the arrays from its first element on, and the numbers."""
        lines = ["const Word *chunk = chunks + 3 * (Word)blockIdx.x;", "const Word k = chunk[0], start = chunk[1];"]
        lines += ["const int n = (int)chunk[2];", f"addresses += {len(self.columns)} * k;"]
        arrays = [("const ", name, self.columns[name]) for name in (str(node.attr) for node in stage.inputs)]
        arrays += [("", name, self.columns[f"new {name}"]) for name, _ in stage.stores]
        for const, name, c in arrays:
            kind = const + self.storage(name)
            lines.append(f"{kind} *a{c} = place<{kind}>(addresses[{c}], start);")
        for table, at, nodes in (("host", "rows[k]", stage.hosts), ("leaf", "k", stage.leaves)):
            if nodes:
                lines.append(f"{table} += {len(nodes)} * {at};")
            for j, node in enumerate(nodes):
                value = f"{table}[{j}] != 0" if node.kind.truth else f"({self.T}){table}[{j}]"
                lines.append(f"const {self._type(node)} {self.name(node)} = {value};")
        return lines

    def _call(self, stage: Stage, place: str, inputs: list[str], e: str = "") -> str:
        """The element at a place of its leaf; `e` is where its results go when there are several at once."""
        inputs = [place, *inputs] if _placed(stage) else inputs
        numbers = [self.name(node) for node in (*stage.hosts, *stage.leaves)]
        results = [f"y{j}{e}" for j in range(len(stage.sums or stage.stores))]
        return f"element{stage.level}({', '.join([*inputs, *numbers, *results])});"

    def _one(self, stage: Stage) -> str:
        """The element `i`."""
        loads = [f"({self.T})value(a{self.columns[str(node.attr)]}[i])" for node in stage.inputs]
        return self._call(stage, "start + i", loads)

    def _map(self, stage: Stage) -> str:
        """Four elements at once while all arrays are aligned, then what is left one by one; all loads before a store.

        An output may lie exactly where its input lies, so nothing here is `restrict`.
        """
        inputs = [(self.name(node), f"a{self.columns[str(node.attr)]}") for node in stage.inputs]
        outputs = [(f"y{j}", f"a{self.columns[f'new {name}']}") for j, (name, _) in enumerate(stage.stores)]
        fours = ", ".join(f"{name}[BY]" for name, _ in (*inputs, *outputs))
        aligned = " && ".join(f"aligned({a})" for _, a in (*inputs, *outputs))
        lines = [*self._prologue(stage), f"const int fours = {aligned} ? n / BY : 0;", "PHASE(j) {"]
        lines += ["    for (int q = j; q < fours; q += THREADS) {", f"        {self.T} {fours};"]
        lines += [f"        load({name}, {a} + BY * q);" for name, a in inputs]
        lines += ["#pragma unroll", "        for (int e = 0; e < BY; ++e) {"]
        lines += [
            "            " + self._call(stage, "start + BY * q + e", [f"{name}[e]" for name, _ in inputs], "[e]"),
            "        }",
        ]
        lines += [f"        store({a} + BY * q, {name});" for name, a in outputs]
        lines += ["    }", "    for (int i = BY * fours + j; i < n; i += THREADS) {"]
        lines += [f"        {self.T} {', '.join(name for name, _ in outputs)};", "        " + self._one(stage)]
        lines += [f"        put({a}[i], {name});" for name, a in outputs]
        return self._kernel(f"stage{stage.level}", [*lines, "    }", "}"])

    def _reduce(self, stage: Stage) -> str:
        """Each thread adds up its lane, then a tree over the lanes: the pinned order of one tile."""
        columns = range(len(stage.sums))
        joins = [REDUCTIONS[node.op][2] for node in stage.sums]
        lines = [*self._prologue(stage), f"__shared__ double {', '.join(f'w{j}[THREADS]' for j in columns)};"]
        lines.append("PHASE(j) {")
        lines += [f"    double l{j} = {REDUCTIONS[node.op][0]};" for j, node in enumerate(stage.sums)]
        lines += ["#pragma unroll 4", "    for (int i = j; i < n; i += THREADS) {"]
        lines += [f"        double {', '.join(f'y{j}' for j in columns)};", "        " + self._one(stage)]
        lines += [f"        l{j} = {join.format(f'l{j}', f'y{j}')};" for j, join in enumerate(joins)]
        lines += ["    }", *(f"    w{j}[j] = l{j};" for j in columns), "}"]
        lines += ["for (int half = THREADS / 2; half > 0; half /= 2) {", "    PHASE(j) if (j < half) {"]
        lines += [f"        w{j}[j] = {join.format(f'w{j}[j]', f'w{j}[j + half]')};" for j, join in enumerate(joins)]
        lines += ["    }", "}", "PHASE(j) if (j == 0) {"]
        lines += [f"    sums[{len(columns)} * (Word)blockIdx.x + {j}] = w{j}[0] + 0.0;" for j in columns]  # no -0
        return self._kernel(f"stage{stage.level}", [*lines, "}"])

    def _join(self, stage: Stage) -> str:
        """The tiles of leaf `blockIdx.x`, in order, a thread for each sum; `chunks` says where each leaf begins."""
        width = len(stage.sums)
        lines = ["const Word k = blockIdx.x;", "PHASE(j) {"]
        for j, node in enumerate(stage.sums):
            start, _, join = REDUCTIONS[node.op]
            lines += [f"    if (j == {j}) {{", f"        double l = {start};", "#pragma unroll 4"]
            lines.append("        for (Word r = chunks[k]; r < chunks[k + 1]; ++r) {")
            lines.append(f"            const double y = host[{width} * r + {j}];")
            lines.append(f"            l = {join.format('l', 'y')};")
            lines += ["        }", f"        sums[{width} * k + {j}] = l;", "    }"]
        return self._kernel(f"join{stage.level}", [*lines, "}"])
