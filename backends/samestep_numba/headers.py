"""What the headers of Python objects say, read by address: where arrays lie, whether they overlap, who has them.

Asking a thousand arrays for `ctypes.data`, `shape` and `flags` takes milliseconds; reading the same fields in one
compiled pass takes microseconds. Where the fields lie is checked once, at the first use, against what NumPy says;
wherever that fails (another Python, a debug build), `gather` falls back to asking, and gives the same answers.
"""

from __future__ import annotations

import inspect
import sys
import sysconfig
import weakref
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from samestep_numba import cache

# CPython's object head is a count and a type, or more in other builds; what follows it is the same in all of them.
HEAD = object.__basicsize__
C_CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400


class Layout:
    """What a list of arrays is expected to be: one shape and dtype per leaf. Built once per plan."""

    def __init__(self, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[Any]) -> None:
        self.shapes = [tuple(map(int, shape)) for shape in shapes]
        self.dtypes = [_canonical(np.dtype(dtype)) for dtype in dtypes]
        if len(self.shapes) != len(self.dtypes):
            raise ValueError(f"{len(self.shapes)} shapes, but {len(self.dtypes)} dtypes")
        self.sizes = np.array([prod(shape) for shape in self.shapes], np.int64)
        self.nbytes = self.sizes * np.array([dtype.itemsize for dtype in self.dtypes], np.int64)
        # One row per leaf: the address of its dtype, its number of dimensions, where these begin in `dims`. A native
        # dtype is one object in NumPy, so its address decides; an equal one that is another object takes the slow
        # path.
        descr = np.array([id(d) if d.isnative else 0 for d in self.dtypes], np.int64)
        ndim = np.array([len(shape) for shape in self.shapes], np.int64)
        self.table = np.stack([descr, ndim, np.cumsum(ndim) - ndim], axis=1)
        self.dims = np.array([dim for shape in self.shapes for dim in shape], np.int64)

    def __len__(self) -> int:
        return len(self.shapes)

    def gather(self, leaves: list, out: np.ndarray, writeable: int = 0) -> int:
        """As the function of this name."""
        return gather(leaves, self, out, writeable)


def _canonical(dtype: np.dtype) -> np.dtype:
    """The dtype object that NumPy itself gives to new arrays; unpickling, for one, makes others that are equal."""
    own = np.dtype(dtype.type)
    return own if own == dtype else dtype


def gather(leaves: list, layout: Layout, out: np.ndarray, writeable: int = 0) -> int:
    """Write the address of each leaf's data to `out` (int64, may be a strided column), and return -1.

    All leaves have to be exactly `np.ndarray` (no subclass), C-contiguous, aligned, of the expected native dtype and
    shape, and the first `writeable` of them writeable: else the index of the first that is not is returned, and `out`
    is not to be used.
    """
    n = len(layout)
    if len(leaves) != n or out.shape != (n,) or out.dtype != np.int64:
        raise ValueError(f"gather: {len(leaves)} leaves and out {out.dtype}{out.shape}, but the layout has {n} leaves")
    if type(leaves) is not list:
        leaves = list(leaves)
    kernels = _kernels()
    if kernels is None:
        return _gather_slowly(leaves, layout, out, writeable)
    scan, first = kernels["_scan"], 0
    while True:
        first = scan(id(leaves), HEAD, _ARRAY, writeable, layout.table, layout.dims, first, out)
        if first < 0 or not _address(leaves, layout, out, writeable, first):
            return first
        first += 1  # unusual, and still fine


class Overlaps:
    """Finds two overlapping ranges of bytes, for lists of the same sizes again and again.

    The first `written` ranges (all, unless told) are written to, the others only read: these may overlap each other.
    Nothing overlaps an empty range.
    """

    def __init__(self, nbytes: Any, written: int | None = None) -> None:
        self.nbytes = np.ascontiguousarray(nbytes, np.int64)
        self.written = len(self.nbytes) if written is None else written
        # Arrays seldom move from one step to the next, so the order found last is tried before sorting again. It is
        # replaced, never changed: another thread may be reading it.
        self._order = np.arange(len(self.nbytes))

    def find(self, starts: np.ndarray) -> tuple[int, int] | None:
        """The lowest overlapping pair in memory, as indices in ascending order; None if there is none."""
        starts = np.ascontiguousarray(starts, np.int64)
        if starts.shape != self.nbytes.shape:
            raise ValueError(f"Overlaps: {len(starts)} addresses for {len(self.nbytes)} ranges")
        kernels = _kernels()
        sweep = kernels["_sweep"] if kernels else _sweep
        found = sweep(self._order, starts, self.nbytes, self.written)
        if found == UNSORTED:
            self._order = order = np.argsort(starts)
            found = sweep(order, starts, self.nbytes, self.written)
        if found < 0:
            return None
        i, j = divmod(int(found), len(starts))
        return min(i, j), max(i, j)


def overlap(starts: Any, nbytes: Any, written: int | None = None) -> tuple[int, int] | None:
    """`Overlaps` for a single list of ranges."""
    return Overlaps(nbytes, written).find(starts)


def counts_references() -> bool:
    """Whether `references` and `first_shared` work: not without the GIL, nor where the self-test failed."""
    return _kernels() is not None and not sysconfig.get_config_var("Py_GIL_DISABLED")


def references(objects: list) -> np.ndarray:
    """How many references there are to each object of a list, the list's own included."""
    out = np.empty(len(objects), np.int64)
    _trusted()["_references"](id(objects), HEAD, out)
    return out


def first_shared(views: list[Any], owners: list[Any], first: int = 0) -> int:
    """The first view, from index `first` on, that is not `views`' alone; -1 if all are.

    `owners[i]` has to own the memory that `views[i]` is a view on. References to the view (weak ones too) and to the
    owner are counted: a view of a view refers to the owner only.
    """
    return _trusted()["_first_shared"](id(views), id(owners), HEAD, first)


def _trusted() -> dict[str, Callable]:
    kernels = _kernels()
    if kernels is None:
        raise RuntimeError("reference counts cannot be read in this Python; ask counts_references() first")
    return kernels


# The compiled passes. They hold the GIL, so that nothing they look at can change or go away, and last microseconds.


@intrinsic
def _peek64(typing_context: Any, address: Any) -> Any:
    """The int64 at an address."""
    return _peek(ir.IntType(64))


@intrinsic
def _peek32(typing_context: Any, address: Any) -> Any:
    """The unsigned 32-bit integer at an address, as int64."""
    return _peek(ir.IntType(32))


def _peek(kind: ir.IntType) -> tuple[Any, Callable]:
    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(args[0], kind.as_pointer())), ir.IntType(64))

    return types.int64(types.int64), build


def _scan(
    leaves: int,
    head: int,
    array_type: int,
    writeable: int,
    table: np.ndarray,
    dims: np.ndarray,
    first: int,
    out: np.ndarray,
) -> int:
    # PyListObject: head, size, items.
    # PyArrayObject: head, data, nd, dimensions, strides, base, descr, flags, weakreflist.
    items = _peek64(leaves + head + 8)
    for i in range(first, _peek64(leaves + head)):
        leaf = _peek64(items + 8 * i)
        if _peek64(leaf + head - 8) != array_type:  # ends the head; only then the rest is an array's
            return i
        data = leaf + head
        nd, at = table[i, 1], table[i, 2]
        need = C_CONTIGUOUS | ALIGNED | (WRITEABLE if i < writeable else 0)
        if _peek64(data + 40) != table[i, 0] or _peek32(data + 48) & need != need or _peek32(data + 8) != nd:
            return i
        shape = _peek64(data + 16)
        for k in range(nd):
            if _peek64(shape + 8 * k) != dims[at + k]:
                return i
        out[i] = _peek64(data)
    return -1


def _references(objects: int, head: int, out: np.ndarray) -> None:
    items = _peek64(objects + head + 8)
    for i in range(_peek64(objects + head)):
        out[i] = _peek32(_peek64(items + 8 * i))  # from Python 3.12 on the upper half of this word means other things


def _first_shared(views: int, owners: int, head: int, first: int) -> int:
    items, memories = _peek64(views + head + 8), _peek64(owners + head + 8)
    for i in range(first, _peek64(views + head)):
        view, owner = _peek64(items + 8 * i), _peek64(memories + 8 * i)
        if _peek32(view) != 1 or _peek64(view + head + 56) != 0 or _peek32(owner) != 2:
            return i
    return -1


UNSORTED = -2


def _sweep(order: np.ndarray, starts: np.ndarray, nbytes: np.ndarray, written: int) -> int:
    """i * n + j for the first overlapping pair in memory, -1 if there is none, UNSORTED if `order` does not sort."""
    n = len(order)
    before = np.int64(-(2**63))
    any_end, any_i = before, 0  # of all ranges so far, the end that reaches furthest
    written_end, written_i = before, 0  # of those that are written to
    found = -1
    for k in range(n):
        i = order[k]
        start = starts[i]
        if start < before:
            return UNSORTED
        before = start
        if nbytes[i] == 0 or found >= 0:
            continue
        end = start + nbytes[i]
        if i < written and start < any_end:
            found = any_i * n + i
        elif start < written_end:
            found = written_i * n + i
        if end > any_end:
            any_end, any_i = end, i
        if i < written and end > written_end:
            written_end, written_i = end, i
    return found


_SIGNATURES = {
    "_scan": "int64(int64, int64, int64, int64, int64[:, ::1], int64[::1], int64, int64[:])",
    "_sweep": "int64(int64[::1], int64[::1], int64[::1], int64)",
    "_references": "void(int64, int64, int64[::1])",
    "_first_shared": "int64(int64, int64, int64, int64)",
}
_ARRAY = id(np.ndarray)
_tested: list[dict[str, Callable] | None] = []  # what the first use found: the kernels, or None


def _kernels() -> dict[str, Callable] | None:
    if not _tested:
        kernels = _compile()
        _tested.append(kernels if kernels and _self_test(kernels) else None)
    return _tested[0]


def _compile() -> dict[str, Callable] | None:
    known = sys.implementation.name == "cpython" and sys.maxsize > 2**32
    # Each read stays inside the object, whatever it is that is read there.
    if not known or np.ndarray.__basicsize__ < HEAD + 64 or list.__basicsize__ < HEAD + 16:
        return None
    try:
        source = [inspect.getsource(function) for function in (_scan, _references, _first_shared, _sweep)]
        constants = f"import numpy as np\nfrom {__name__} import _peek32, _peek64\nUNSORTED = {UNSORTED}\n"
        constants += f"C_CONTIGUOUS, ALIGNED, WRITEABLE = {C_CONTIGUOUS}, {ALIGNED}, {WRITEABLE}\n\n\n"
        return cache.load("headers", constants + "\n\n".join(source), _SIGNATURES, nogil=False)
    except Exception:  # no source beside the code, NUMBA_DISABLE_JIT, a Numba without these intrinsics: ask instead
        return None


def _self_test(kernels: dict[str, Callable]) -> bool:
    """Whether the passes see in a few arrays what NumPy says of them."""
    dtypes: list[Any] = [np.float32, np.float64, np.int8, np.complex128]
    arrays = [np.zeros(shape, dtype) for dtype in dtypes for shape in [(), (0,), (3,), (2, 3), (2, 1, 4)]]
    layout = Layout([a.shape for a in arrays], [a.dtype for a in arrays])
    seen, told = np.zeros((2, len(arrays)), np.int64)

    def scan(leaves: list) -> int:
        return kernels["_scan"](id(leaves), HEAD, _ARRAY, len(leaves), layout.table, layout.dims, 0, seen)

    if scan(arrays) != -1 or _gather_slowly(arrays, layout, told, len(arrays)) != -1 or not np.array_equal(seen, told):
        return False
    frozen = np.zeros((2, 3))
    frozen.flags.writeable = False
    strided, swapped = np.zeros((2, 6))[:, ::2], np.zeros((2, 3), np.dtype(np.float64).newbyteorder())
    shifted = np.zeros(49, np.int8)[1:].view(np.float64).reshape(2, 3)
    turned, flat, single = np.zeros((3, 2)), np.zeros(6), np.zeros((2, 3), np.float32)
    hostile = [frozen, strided, swapped, shifted, turned, flat, single, None, 1.0]
    at = next(i for i, a in enumerate(arrays) if a.shape == (2, 3) and a.dtype == np.float64)
    if any(scan([*arrays[:at], bad, *arrays[at + 1 :]]) != at for bad in hostile):
        return False
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return True  # counts are spread over threads there, and not used
    return _counts(kernels) == [(1, 2, -1), (2, 2, 1), (1, 3, 1), (2, 2, 1), (1, 2, 1), (1, 2, -1)]


def _counts(kernels: dict[str, Callable]) -> list[tuple[int, int, int]]:
    """What the passes see of a view and its owner: alone, referred to in four ways, and alone again."""
    owners = [np.zeros(9), np.zeros(9)]
    views = [owner[1:] for owner in owners]

    def seen() -> tuple[int, int, int]:
        counts = np.zeros((2, 2), np.int64)
        kernels["_references"](id(views), HEAD, counts[0])
        kernels["_references"](id(owners), HEAD, counts[1])
        return int(counts[0, 1]), int(counts[1, 1]), kernels["_first_shared"](id(views), id(owners), HEAD, 0)

    results = [seen()]
    uses: list[Callable] = [lambda a: a, lambda a: a[1:][1:], memoryview, weakref.ref]
    for use in uses:
        held = use(views[1])
        results.append(seen())
        del held
    return [*results, seen()]


def _gather_slowly(leaves: list, layout: Layout, out: np.ndarray, writeable: int) -> int:
    return next((i for i in range(len(leaves)) if not _address(leaves, layout, out, writeable, i)), -1)


def _address(leaves: list, layout: Layout, out: np.ndarray, writeable: int, i: int) -> bool:
    leaf = leaves[i]
    if type(leaf) is not np.ndarray or leaf.shape != layout.shapes[i] or leaf.dtype != layout.dtypes[i]:
        return False
    flags = leaf.flags
    if not (flags.c_contiguous and flags.aligned and leaf.dtype.isnative) or (i < writeable and not flags.writeable):
        return False
    out[i] = leaf.__array_interface__["data"][0]
    return True
