"""The definition that every printer is held to: a Program's graph, node by node and leaf by leaf, in plain NumPy.

Slow, and written without the printers. Numbers are float64; where one meets an array it is rounded to the compute
dtype, once. Sums over a leaf are Python loops in the order that is part of their meaning.
"""

import math

import numpy as np

HOST, TOTAL, LEAF, ARRAY = range(4)
TILE, LANES = 65536, 256


def tiles_of_lanes(values):
    """The pinned order: tiles of 65536; in a tile, 256 lanes from +0, joined by halves; tiles in order."""
    total = 0.0
    for start in range(0, len(values), TILE):
        lanes = [0.0] * LANES
        for i, value in enumerate(values[start : start + TILE]):
            lanes[i % LANES] += value
        while len(lanes) > 1:
            half = len(lanes) // 2
            lanes = [lanes[i] + lanes[i + half] for i in range(half)]
        total += lanes[0]
    return total


def extreme(values, larger):
    """The largest (smallest) element, NaN if one is, +0 for either zero; of nothing, the identity."""
    best = -math.inf if larger else math.inf
    for value in values:
        if value != value or (best == best and (value > best if larger else value < best)):
            best = value
    return best + 0.0


def libm(name):
    """A function of the C library; NumPy says what it is where Python raises. On arrays: NumPy's own."""

    def function(*x):
        if np.ndim(x[0]) == 0 and not isinstance(x[0], np.ndarray):
            try:
                return np.float64(getattr(math, name)(*map(float, x)))
            except (ValueError, OverflowError):
                pass
        return getattr(np, name)(*x)

    return function


def along(function):
    return lambda x, attr: function(x.astype(np.float64), axis=attr[0], keepdims=attr[1]).astype(x.dtype)


ELEMENTWISE = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negative": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "sign": lambda x: np.where(x > 0, 1.0, np.where(x < 0, -1.0, np.where(x == 0, 0.0, x))),
    "minimum": lambda x, y: np.where((x < y) | (x != x), x, y),
    "maximum": lambda x, y: np.where((x > y) | (x != x), x, y),
    "copysign": np.copysign,
    "floor": np.floor,
    "ceil": np.ceil,
    "remainder": np.remainder,
    "floor_divide": np.floor_divide,
    "where": np.where,
    "full_like": lambda x, y: y if np.ndim(x) == 0 and not isinstance(x, np.ndarray) else np.full(x.shape, y, x.dtype),
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "equal": np.equal,
    "not_equal": np.not_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_not": np.logical_not,
    "isfinite": lambda x: np.abs(x) < np.inf,
    "isnan": lambda x: x != x,
    "isinf": lambda x: np.abs(x) == np.inf,
    **{name: libm(name) for name in ("pow", "exp", "expm1", "log", "log1p", "sin", "cos", "acos", "tanh")},
}
REDUCTIONS = {
    "sum": tiles_of_lanes,
    "sum_squares": lambda values: tiles_of_lanes([v * v for v in values]),
    "count_nonzero": lambda values: float(sum(v != 0 for v in values)),
    "max": lambda values: extreme(values, larger=True),
    "min": lambda values: extreme(values, larger=False),
    "numel": lambda values: float(len(values)),
}
FREE = {
    "sum_axis": along(np.sum),
    "mean_axis": along(np.mean),
    "max_axis": lambda x, attr: np.max(x, axis=attr[0], keepdims=attr[1]) + x.dtype.type(0),
    "min_axis": lambda x, attr: np.min(x, axis=attr[0], keepdims=attr[1]) + x.dtype.type(0),
    "matmul": lambda x, y, attr: x @ y,
    "matrix_transpose": lambda x, attr: np.swapaxes(x, -1, -2),
    "permute_dims": np.transpose,
    "reshape": lambda x, attr: np.reshape(
        x, tuple(attr)
    ),  # of numbers only: what a page writes with u.shape is a string
    "expand_dims": lambda x, attr: np.expand_dims(x, attr),
    "squeeze": lambda x, attr: np.squeeze(x, attr),
    "flip": lambda x, attr: np.flip(x, attr),
    "roll": lambda x, attr: np.roll(x, *attr),
    "concat": lambda x, y, attr: np.concatenate([x, y], attr),
    "argsort": lambda x, attr: np.argsort(-x if attr[1] else x, axis=attr[0], kind="stable"),
    "take": lambda x, y, attr: np.take(x, y, attr),
    "eye": lambda x, attr: np.eye(attr[0], dtype=x.dtype),
    "eigh": lambda x, attr: np.linalg.eigh(x),
    "qr": lambda x, attr: np.linalg.qr(x),
    "svd": lambda x, attr: np.linalg.svd(x, full_matrices=False),
    "item": lambda x, attr: x[attr],
}


def run(program, leaves, *, t=1, number=None, slots=None, givens=None, groups=None):
    """The outputs of one step, a dict for each leaf.

    `leaves` are dicts of `p`, `grad` and slots: arrays, and floats for scalar slots. What may differ between leaves is
    then a list: `t`, `number(name, clock)`, the number slots by name, the group that totals span.
    """
    size = len(leaves)
    dtype = np.float32 if leaves[0]["p"].dtype == np.float16 else leaves[0]["p"].dtype.type

    def each(value):
        return value if isinstance(value, list) else [value] * size

    ts, numbers, slots, groups = each(t), each(number), each(slots or {}), each(groups or 0)
    values = {}

    def source(node, k):
        x = leaves[k].get(node.attr) if node.op in ("input", "state_scalar") else None
        match node.op:
            case "const":
                return node.attr if isinstance(node.attr, bool) else np.float64(node.attr)
            case "input":
                return x.astype(dtype)
            case "state_scalar":
                return np.float64(x)
            case "state_number":
                return np.float64(slots[k][node.attr])
            case "t":
                return np.float64(ts[k])
            case "number":
                return np.float64(numbers[k](node.attr, float(values[node.args[0].index][k])))
            case "given":
                return np.float64(givens[node.attr])
            case "ndim" | "size":
                return np.float64(getattr(leaves[k]["p"], node.op))
            case "dim":
                return np.float64(leaves[k]["p"].shape[node.attr])
        raise NotImplementedError(f"the definition of {node.op} is missing")

    def rounded(node, k):
        x = values[node.index][k]
        return x if node.kind.rank == ARRAY else np.asarray(x, None if node.kind.truth else dtype)

    def value(node, k):
        if node.op in REDUCTIONS:
            return np.float64(REDUCTIONS[node.op](rounded(node.args[0], k).reshape(-1).astype(np.float64).tolist()))
        if node.op in FREE:
            return FREE[node.op](*(rounded(a, k) for a in node.args), node.attr)
        if node.op not in ELEMENTWISE:
            return source(node, k)
        if node.kind.rank != ARRAY:
            result = ELEMENTWISE[node.op](*(values[a.index][k] for a in node.args))
            return bool(result) if node.kind.truth else np.float64(result)
        result = ELEMENTWISE[node.op](*(rounded(a, k) for a in node.args))
        return np.asarray(result, None if node.kind.truth else dtype)

    with np.errstate(all="ignore"):
        for node in program.nodes:
            if node.op != "total":
                values[node.index] = [value(node, k) for k in range(size)]
                continue
            spans = [0 if program.totals[node][0] == ("all",) else group for group in groups]
            totals = dict.fromkeys(spans, np.float64(0.0))
            for k, span in enumerate(spans):
                totals[span] = totals[span] + values[node.args[0].index][k]
            values[node.index] = [totals[span] for span in spans]
        results = [{name: values[node.index][k] for name, node in program.outputs.items()} for k in range(size)]
        for leaf, result in zip(leaves, results, strict=True):
            result["p"] = result["p"].astype(leaf["p"].dtype)
    return results
