"""A Program on a backend, by the road that a step takes, and the comparison bit for bit."""

import contextlib

import array_api_strict
import numpy as np

from samestep import backend as backends
from samestep.drive import Row, Work, drive
from samestep.plan import Choice, Leaf, Plan, _batch

BACKENDS = ("numpy", "strict", "numba")
SPECIAL = (0.0, 1.0, 2.0, 0.5, 3.0, 7.5, np.pi, 1e-3, 1e5, np.inf)


def specials(dtype, positive=False):
    """Zeros, infinities, NaN, subnormals, the ends of the range, neighbours of 1; each with its negative."""
    info = np.finfo(dtype)
    edges = [
        info.smallest_subnormal,
        info.smallest_normal / 2,
        info.smallest_normal,
        info.max,
        1 + info.eps,
        1 - info.epsneg,
    ]
    values = np.array([*SPECIAL, *edges], dtype)
    return np.concatenate([values, [np.nan]] if positive else [values, -values, [np.nan]]).astype(dtype)


def decades(dtype, size, seed=0):
    """Random numbers over 60 decades, either sign."""
    rng = np.random.default_rng(seed)
    with np.errstate(over="ignore", under="ignore"):
        x = rng.choice([-1.0, 1.0], size) * rng.uniform(1, 10, size) * 10.0 ** rng.integers(-30, 30, size)
        return x.astype(dtype)


def same_bits(a, b, where=""):
    """Equal bits, signed zeros included; NaN is NaN, whatever its payload."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype and a.shape == b.shape, f"{where}: {a.dtype}{a.shape} against {b.dtype}{b.shape}"
    wrong = ~((np.isnan(a) & np.isnan(b)) | ((a == b) & (np.signbit(a) == np.signbit(b))))
    if wrong.any():
        i = tuple(map(int, np.argwhere(wrong)[0]))
        raise AssertionError(f"{where}: {wrong.sum()} of {a.size} differ, first at {i}: {a[i]!r} against {b[i]!r}")


def ulps(a, b):
    """The distance in units in the last place, 0 where both are the same or both NaN; inf where only one is."""
    bits = {4: np.int32, 8: np.int64}[a.dtype.itemsize]

    def ordered(x):
        i = (x + x.dtype.type(0)).view(bits).astype(object)
        return np.where(i < 0, np.iinfo(bits).min - i, i)

    apart = np.abs(ordered(a) - ordered(b)).astype(float)
    return np.where(np.isnan(a) & np.isnan(b), 0.0, np.where(np.isnan(a) != np.isnan(b), np.inf, apart))


def run(
    name, program, leaves, *, donate=False, t=1, number=None, slots=None, givens=None, groups=None, paths=None,
    library=None,
):  # fmt: skip
    """As `node_loop.run`, on the backend of this name; NumPy arrays in and out.

    `library` makes other arrays of them in between, and NumPy's again: a pair of functions.
    """
    size = len(leaves)

    def each(value):
        return value if isinstance(value, list) else [value] * size

    groups, slots, paths = each(groups or 0), each(slots or {}), paths or [str(k) for k in range(size)]
    give, take = library or (lambda x: _give(x, name), _take)
    with backends.use_backend(name):
        backend = backends._on(backends.load(name), give(leaves[0]["p"]))
    param, grad = str(leaves[0]["p"].dtype), str(leaves[0]["grad"].dtype)
    described = [
        Leaf(path, leaf["p"].shape, param, grad, group) for path, leaf, group in zip(paths, leaves, groups, strict=True)
    ]
    reason = backend.refuses(program, described[0].signature)
    assert reason is None, reason
    batch = _batch(program, Choice(backend, ""), described, list(range(size)), ())
    scalars = {n for n in program.slots if not program.outputs[n].is_array}
    stored = [name for name, node in program.outputs.items() if node.is_array]
    named = dict.fromkeys(["p", "grad", *program.arrays, *stored])
    arrays = {n: [give(leaf[n]) for leaf in leaves] for n in named}
    numbers = [tuple(float(slots[k][n]) for n in program.numbers) for k in range(size)]
    rows = [Row(*three) for three in zip(groups, each(t), numbers, strict=True)]
    bound = batch.compiled.bind(arrays, donate)
    columns = {n: np.array([float(leaf[n]) for leaf in leaves]) for n in scalars}
    work = Work(batch, bound, rows, np.arange(size), columns, givens or {})
    plan = Plan(None, tuple(described), (batch,), (program,) * size)
    found = drive(plan, [work], lambda branch: number)[0] or {n: arrays[n] for n in stored}
    results = []
    for k in range(size):
        result = {}
        for output, node in program.outputs.items():
            if output in found:
                result[output] = np.asarray(take(found[output][k]))
                if donate and name != "strict":
                    assert found[output][k] is arrays[output][k], f"{output} was not written in place"
            else:
                result[output] = work.value(k, node) if node.kind.rank < 2 else work.per_leaf(node)[k]
        results.append(result)
    if not donate:
        for n, copies in arrays.items():
            for leaf, copy in zip(leaves, copies, strict=True):
                same_bits(take(copy), leaf[n], f"{n} was written")
    return results


def _give(x, name):
    return array_api_strict.asarray(x.copy()) if name == "strict" else x.copy()


def _take(x):
    with contextlib.suppress(AttributeError):
        return x._array
    return x


def compare(found, wanted, where=""):
    """Two lists of outputs, bit for bit."""
    for k, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert a.keys() == b.keys()
        for name in a:
            same_bits(np.asarray(a[name]), np.asarray(b[name]), f"{where} leaf {k} {name}")
