"""The definition that every printer is held to: a Program's graph, node by node and leaf by leaf, in plain NumPy.

Slow, and written without the printers. Numbers are float64; where one meets an array it is rounded to the compute
dtype, once. Sums over a leaf are Python loops in the order that is part of their meaning.
"""

import math
import zlib

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
    "index": lambda x, attr: eval(f"x[{attr}]"),
    "eye": lambda x, attr: np.eye(attr[0], dtype=x.dtype),
    "eigh": lambda x, attr: np.linalg.eigh(x),
    "qr": lambda x, attr: np.linalg.qr(x),
    "svd": lambda x, attr: np.linalg.svd(x, full_matrices=False),
    "item": lambda x, attr: x[attr],
}


# Random numbers are words of 32 bits, in Python's own integers.


def mix(x):
    x ^= x >> 16
    x = x * 0x21F0AAAD % 2**32
    x ^= x >> 15
    x = x * 0xD35A2D97 % 2**32
    return x ^ x >> 15


def fold(k, w):
    return mix((k + 0x9E3779B9) % 2**32 ^ mix(w))


def word(i, k0, k1):
    return mix((mix(i % 2**32 ^ k0) + (fold(k1, i >> 32) if i >> 32 else k1)) % 2**32)


def random_bits(x, h0, l0, h1, l1, attr):
    """So many numbers of so many bits, out of each word as many as it has, from above; their sum for each element."""
    (bits, draws), each = attr, 32 // attr[0]
    k0, k1 = int(h0) * 65536 + int(l0), int(h1) * 65536 + int(l1)
    sums = np.zeros(x.size, x.dtype)
    for i in range(x.size):
        words = [word(i * -(-draws // each) + q, k0, k1) for q in range(-(-draws // each))]
        texts = [f"{w:032b}"[bits * part : bits * part + bits] for w in words for part in range(each)]
        sums[i] = sum(int(text, 2) for text in texts[:draws])
    return sums.reshape(x.shape)


def rounded_by(x, bits, param):
    """Away from zero if the bits and what lies beyond the neighbour before, in 65536ths of a unit, make one."""
    info = {"float16": (-14, 10), "bfloat16": (-126, 7)}.get(param)
    if info is None:
        return x
    found = []
    for value, r in zip(x.reshape(-1).tolist(), bits.reshape(-1).tolist(), strict=True):
        if math.isfinite(value):
            unit = math.ldexp(1.0, max(math.frexp(value)[1] - 1, info[0]) - info[1])
            away = math.floor(abs(value) / unit * 65536) + int(r)
            value = math.copysign(away // 65536 * unit, value)
        found.append(value)
    return rounded(np.array(found, np.float64).astype(x.dtype).reshape(x.shape), param)


def rounded(x, param):
    """Nearest, ties to even; bfloat16 is what is left of float32 without its lower half."""
    if param != "bfloat16":
        return x.astype(param).astype(x.dtype)
    bits = x.astype(np.float32).view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16
    return np.where(np.isnan(x), x, nearest.astype(np.uint32).view(np.float32)).astype(x.dtype)


OWN = {
    "fold": lambda k, w: fold(int(k), int(w)),
    "random_bits": random_bits,
    "rounded": rounded,
    "rounded_by": rounded_by,
}


def run(program, leaves, *, t=1, number=None, slots=None, givens=None, groups=None):
    """The outputs of one step, a dict for each leaf.

    `leaves` are dicts of `p`, `grad` and slots: arrays, and floats for scalar slots. What may differ between leaves is
    then a list: `t`, `number(name, clock)`, the number slots by name, the group that totals span. Leaves have the paths
    "0", "1" and so on.
    """
    size = len(leaves)
    param = str(leaves[0]["p"].dtype)
    dtype = np.float32 if param in ("float16", "bfloat16") else leaves[0]["p"].dtype.type

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
            case "per_leaf":
                return np.float64(numbers[k](node.attr, 0.0))
            case "given":
                return np.float64(givens[node.attr])
            case "ndim" | "size":
                return np.float64(getattr(leaves[k]["p"], node.op))
            case "dim":
                return np.float64(leaves[k]["p"].shape[node.attr])
            case "path":
                return np.float64(zlib.crc32(f"{k}\0{node.attr}".encode() if node.attr else f"{k}".encode()))
        raise NotImplementedError(f"the definition of {node.op} is missing")

    def in_dtype(node, k):
        x = values[node.index][k]
        return x if node.kind.rank == ARRAY else np.asarray(x, None if node.kind.truth else dtype)

    def value(node, k):
        if node.op in REDUCTIONS:
            return np.float64(REDUCTIONS[node.op](in_dtype(node.args[0], k).reshape(-1).astype(np.float64).tolist()))
        if node.op in FREE:
            return FREE[node.op](*(in_dtype(a, k) for a in node.args), node.attr)
        if node.op == "fold":
            return np.float64(OWN[node.op](*(values[a.index][k] for a in node.args)))
        if node.op in OWN:
            return OWN[node.op](*(in_dtype(a, k) for a in node.args), node.attr or param)
        if node.op not in ELEMENTWISE:
            return source(node, k)
        if node.kind.rank != ARRAY:
            result = ELEMENTWISE[node.op](*(values[a.index][k] for a in node.args))
            return bool(result) if node.kind.truth else np.float64(result)
        result = ELEMENTWISE[node.op](*(in_dtype(a, k) for a in node.args))
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
