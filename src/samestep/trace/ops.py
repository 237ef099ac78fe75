"""The closed table of operations: what a page may say, and how Python says it.

A row is data: the class of exactness, whether the result is a truth value, and one spelling per language of the core:
`python` runs over an array namespace `xp`, `host` over Python floats (functions of `samestep.trace.floats`). A backend
keeps a table of its own beside its printer. `{0}`, `{1}` are the arguments, `{attr}` is the node's attribute, `{param}`
the dtype of the parameter.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT, REDUCE, TRANSCENDENTAL, CALL = "exact", "reduce", "transcendental", "call"
CLASSES = (EXACT, REDUCE, TRANSCENDENTAL, CALL)  # from the strictest to the loosest
# Units in the last place by which two libraries may be apart after one transcendental operation: NumPy states up to 4
# for its vector functions, and the C library's are within 1. Measured between NumPy and Numba: 4 in float32 (log), 3 in
# float64 (tanh). The exception is x ** 0.5 at -0 and -inf: to NumPy it is the square root.
ULP = 5


@dataclass(frozen=True)
class Op:
    """One operation: its arity, spellings, and what is known of its result."""

    arity: int
    python: str
    host: str | None = None
    truth: bool = False
    exactness: str = EXACT


def _infix(sign: str, host: str | None = None, *, truth: bool = False) -> Op:
    spelling = f"{{0}} {sign} {{1}}"
    return Op(2, spelling, host or spelling, truth)


def _call(name: str, arity: int = 1, host: str | None = None, **kwargs) -> Op:
    arguments = ", ".join(f"{{{i}}}" for i in range(arity))
    return Op(arity, f"xp.{name}({arguments})", f"{host or name}({arguments})", **kwargs)


ELEMENTWISE: dict[str, Op] = {
    "add": _infix("+"),
    "subtract": _infix("-"),
    "multiply": _infix("*"),
    "divide": _infix("/", "divide({0}, {1})"),
    "negative": Op(1, "-{0}", "-{0}"),
    "abs": _call("abs"),
    "sqrt": _call("sqrt"),
    "sign": _call("sign"),
    # the second of two equal values (0 and -0): libraries and processors differ there, so it is part of the definition
    "minimum": Op(2, "xp.where(({0} < {1}) | ({0} != {0}), {0}, {1})", "minimum({0}, {1})"),
    "maximum": Op(2, "xp.where(({0} > {1}) | ({0} != {0}), {0}, {1})", "maximum({0}, {1})"),
    "copysign": _call("copysign", 2),
    "floor": _call("floor"),
    "ceil": _call("ceil"),
    "remainder": _call("remainder", 2),
    "floor_divide": _call("floor_divide", 2),
    "where": Op(3, "xp.where({0}, {1}, {2})", "({1} if {0} else {2})"),
    "full_like": Op(2, "{1} - xp.zeros_like({0})", "{1}"),  # the shape of the first, the value of the second, -0 too
    "less": _infix("<", truth=True),
    "less_equal": _infix("<=", truth=True),
    "greater": _infix(">", truth=True),
    "greater_equal": _infix(">=", truth=True),
    "equal": _infix("==", truth=True),
    "not_equal": _infix("!=", truth=True),
    "logical_and": Op(2, "xp.logical_and({0}, {1})", "({0} and {1})", truth=True),
    "logical_or": Op(2, "xp.logical_or({0}, {1})", "({0} or {1})", truth=True),
    "logical_not": Op(1, "xp.logical_not({0})", "(not {0})", truth=True),
    "isfinite": _call("isfinite", truth=True),
    "isnan": _call("isnan", truth=True),
    "isinf": _call("isinf", truth=True),
    "pow": Op(2, "{0} ** {1}", "power({0}, {1})", exactness=TRANSCENDENTAL),
    "exp": _call("exp", exactness=TRANSCENDENTAL),
    "expm1": _call("expm1", exactness=TRANSCENDENTAL),
    "log": _call("log", exactness=TRANSCENDENTAL),
    "log1p": _call("log1p", exactness=TRANSCENDENTAL),
    "sin": _call("sin", exactness=TRANSCENDENTAL),
    "cos": _call("cos", exactness=TRANSCENDENTAL),
    "acos": _call("acos", exactness=TRANSCENDENTAL),
    "tanh": _call("tanh", exactness=TRANSCENDENTAL),
}

# One number out of a whole leaf, in float64, in the pinned order of `samestep.pinned`.
REDUCTIONS: dict[str, Op] = {
    "sum": Op(1, "pinned.sum({0})", exactness=REDUCE),
    "sum_squares": Op(1, "pinned.sum_squares({0})", exactness=REDUCE),
    "count_nonzero": Op(1, "pinned.count_nonzero({0})"),
    "max": Op(1, "pinned.max({0})"),
    "min": Op(1, "pinned.min({0})"),
    "numel": Op(1, "pinned.numel({0})"),
}

# Over axes, and linear algebra: results of another shape than the leaf. Sums over an axis run in float64.
FREE: dict[str, Op] = {
    "sum_axis": Op(1, "pinned.over_axes('sum', {0}, {attr!r})", exactness=CALL),
    "mean_axis": Op(1, "pinned.over_axes('mean', {0}, {attr!r})", exactness=CALL),
    "max_axis": Op(1, "pinned.over_axes('max', {0}, {attr!r})"),
    "min_axis": Op(1, "pinned.over_axes('min', {0}, {attr!r})"),
    "matmul": Op(2, "xp.matmul({0}, {1})", exactness=CALL),
    "matrix_transpose": Op(1, "xp.matrix_transpose({0})"),
    "permute_dims": Op(1, "xp.permute_dims({0}, {attr!r})"),
    "reshape": Op(1, "xp.reshape({0}, {attr!r})"),
    "expand_dims": Op(1, "xp.expand_dims({0}, axis={attr!r})"),
    "squeeze": Op(1, "xp.squeeze({0}, {attr!r})"),
    "flip": Op(1, "xp.flip({0}, axis={attr!r})"),
    "roll": Op(1, "xp.roll({0}, {attr!r}[0], axis={attr!r}[1])"),
    "concat": Op(2, "xp.concat([{0}, {1}], axis={attr!r})"),
    "argsort": Op(1, "xp.argsort({0}, axis={attr!r}[0], descending={attr!r}[1])"),
    "take": Op(2, "xp.take({0}, {1}, axis={attr!r})"),
    "index": Op(1, "{0}[{attr}, ...]"),
    "eye": Op(1, "pinned.eye({0}, {attr!r})"),
    "eigh": Op(1, "pinned.linalg(xp.linalg.eigh, {0})", exactness=CALL),
    "qr": Op(1, "pinned.linalg(xp.linalg.qr, {0})", exactness=CALL),
    "svd": Op(1, "pinned.linalg(xp.linalg.svd, {0}, full_matrices=False)", exactness=CALL),
    "item": Op(1, "{0}[{attr!r}]"),
}

SHAPED = ("full_like", "numel", "eye", "random_bits")  # as their first argument is, of which they take nothing else
COSTLY = ("matmul", "eigh", "qr", "svd")  # cubic in a dimension: worth a look at the host's conditions

# What pages say by functions of samestep (`noise.py`). A key is folded out of numbers. Random bits have the shape of
# the first argument, and two keys, each in two halves. What is rounded is held by the parameter's dtype.
OWN: dict[str, Op] = {
    "fold": Op(2, "folded(xp, {0}, {1})", "fold({0}, {1})"),
    "random_bits": Op(5, "pinned.random_bits({0}, {1}, {2}, {3}, {4}, {attr!r})"),
    "rounded": Op(1, "pinned.rounded({0}, {param!r})"),
    "rounded_by": Op(2, "pinned.rounded_by({0}, {1}, {param!r})"),
}

OPS: dict[str, Op] = {**ELEMENTWISE, **REDUCTIONS, **FREE, **OWN}


def wanted_truths(op: str, truths: list[bool]) -> list[bool]:
    """Which arguments must be conditions, where these are: the standard does not mix them with numbers."""
    match op:
        case "logical_and" | "logical_or" | "logical_not":
            return [True] * len(truths)
        case "where":
            return [True, truths[1], truths[1]]
        case "equal" | "not_equal":
            return [truths[0]] * 2
        case "count_nonzero":
            return truths
    return [False] * len(truths)
