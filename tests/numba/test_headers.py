"""What is read from array headers is what NumPy says, on the compiled path and on the slow one."""

import itertools
import pickle

import numpy as np
import pytest

from samestep_numba import headers
from samestep_numba.headers import Layout, Overlaps, gather, overlap


@pytest.fixture(params=["compiled", "slow"])
def path(request, monkeypatch):
    if request.param == "slow":
        monkeypatch.setattr(headers, "_tested", [None])
    else:
        assert headers._kernels() is not None


def address(array):
    return array.__array_interface__["data"][0]


def expect(*arrays):
    return Layout([a.shape for a in arrays], [a.dtype for a in arrays])


def ask(leaves, layout, writeable=100):
    out = np.zeros(len(layout), np.int64)
    return gather(leaves, layout, out, writeable), out.tolist()


DTYPES = [np.float16, np.float32, np.float64, np.complex64, np.complex128, np.int8, np.int64, np.bool_, np.longdouble]
SHAPES = [(), (0,), (1,), (7,), (3, 0, 2), (2, 3), (1, 1), (2, 1, 3, 1)]


def test_addresses(path):
    leaves = [np.zeros(shape, dtype) for dtype in DTYPES for shape in SHAPES]
    assert ask(leaves, expect(*leaves)) == (-1, [address(a) for a in leaves])
    views = [a[...] for a in leaves]
    assert ask(views, expect(*leaves)) == (-1, [address(a) for a in leaves])
    assert ask(tuple(leaves), expect(*leaves))[0] == -1


def test_a_layout_knows_sizes():
    layout = Layout([(), (0, 3), (4, 5)], [np.float64, np.float32, "f2"])
    assert len(layout) == 3
    assert layout.sizes.tolist() == [1, 0, 20]
    assert layout.nbytes.tolist() == [8, 0, 40]
    with pytest.raises(ValueError, match="2 shapes, but 1 dtypes"):
        Layout([(), ()], [float])


def test_strided_column(path):
    leaves = [np.zeros(3), np.zeros(4)]
    table = np.full((2, 5), -7, np.int64)
    assert gather(leaves, expect(*leaves), table[:, 2]) == -1
    assert table[:, 2].tolist() == [address(a) for a in leaves]
    assert (table[:, [0, 1, 3, 4]] == -7).all()


def test_no_leaves(path):
    assert gather([], Layout([], []), np.zeros(0, np.int64)) == -1


class Subclass(np.ndarray):
    pass


def misaligned():
    return np.zeros(49, np.int8)[1:].view(np.float64).reshape(2, 3)


HOSTILE = {
    "subclass": lambda: np.zeros((2, 3)).view(Subclass),
    "masked": lambda: np.ma.zeros((2, 3)),
    "transposed": lambda: np.zeros((3, 2)).T,
    "strided": lambda: np.zeros((2, 6))[:, ::2],
    "reversed": lambda: np.zeros((2, 3))[::-1],
    "broadcast": lambda: np.broadcast_to(np.zeros(3), (2, 3)),
    "misaligned": misaligned,
    "byte order": lambda: np.zeros((2, 3), np.dtype(np.float64).newbyteorder()),
    "dtype": lambda: np.zeros((2, 3), np.float32),
    "same size dtype": lambda: np.zeros((2, 3), np.int64),
    "more dimensions": lambda: np.zeros((2, 3, 1)),
    "fewer dimensions": lambda: np.zeros(6),
    "shape": lambda: np.zeros((3, 2)),
    "scalar": lambda: np.float64(1),
    "None": lambda: None,
    "number": lambda: 1.0,
    "list": lambda: [[0.0] * 3] * 2,
    "memoryview": lambda: memoryview(np.zeros((2, 3))),
    "object": lambda: np.zeros((2, 3), object),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_first_unfit_leaf_is_named(path, kind, at):
    leaves = [np.zeros((2, 3)) for _ in range(3)]
    layout = expect(*leaves)
    leaves[at] = HOSTILE[kind]()
    assert ask(leaves, layout, writeable=0)[0] == at
    leaves[2] = HOSTILE[kind]()
    assert ask(leaves, layout, writeable=0)[0] == at


def test_read_only(path):
    leaves = [np.zeros(3), np.zeros(3)]
    leaves[1].flags.writeable = False
    assert ask(leaves, expect(*leaves), writeable=0)[0] == -1
    assert ask(leaves, expect(*leaves), writeable=2)[0] == 1


def test_an_equal_dtype_object_is_fine(path):
    other = pickle.loads(pickle.dumps(np.dtype(np.float32)))
    leaves = [np.zeros(2, np.float32), np.zeros(2, other), np.zeros(2, np.float32)]
    for layout in (expect(*leaves), Layout([(2,)] * 3, [other] * 3), Layout([(2,)] * 3, [np.float32] * 3)):
        assert ask(leaves, layout) == (-1, [address(a) for a in leaves])


def test_a_foreign_byte_order_never_fits(path):
    swapped = np.dtype(np.float64).newbyteorder()
    assert ask([np.zeros(2, swapped)], Layout([(2,)], [swapped]))[0] == 0


def test_follows_arrays_that_change_in_place(path):
    leaf = np.zeros(4)
    layout = expect(leaf)
    leaf.resize(100_000, refcheck=False)
    assert ask([leaf], layout)[0] == 0
    leaf.resize(4, refcheck=False)
    assert ask([leaf], layout) == (-1, [address(leaf)])
    leaf.resize((2, 2), refcheck=False)
    assert ask([leaf], layout)[0] == 0


def test_misuse_is_refused():
    layout = Layout([(2,), (3,)], [float, float])
    with pytest.raises(ValueError, match="1 leaves"):
        gather([np.zeros(2)], layout, np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="layout has 2 leaves"):
        gather([np.zeros(2), np.zeros(3)], layout, np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="float64"):
        gather([np.zeros(2), np.zeros(3)], layout, np.zeros(2))


def test_a_wrong_struct_layout_is_noticed(monkeypatch):
    kernels = headers._compile()
    assert headers._self_test(kernels)
    lie = {**kernels, "_scan": lambda *args: -1}
    assert not headers._self_test(lie)
    lie = {**kernels, "_scan": lambda *args: 0}
    assert not headers._self_test(lie)
    lie = {**kernels, "_first_shared": lambda *args: -1}
    assert not headers._self_test(lie)
    monkeypatch.setattr(headers, "_tested", [])
    monkeypatch.setattr(headers, "_self_test", lambda kernels: False)
    assert not headers.counts_references()
    leaf = np.zeros(3)
    assert ask([leaf], expect(leaf)) == (-1, [address(leaf)])
    with pytest.raises(RuntimeError, match="counts_references"):
        headers.references([leaf])


def test_no_compiler_is_no_error(monkeypatch):
    def refuse(*args, **kwargs):
        raise RuntimeError("NUMBA_DISABLE_JIT is set")

    monkeypatch.setattr(headers, "_tested", [])
    monkeypatch.setattr(headers.cache, "load", refuse)
    leaf = np.zeros(3)
    assert ask([leaf], expect(leaf)) == (-1, [address(leaf)])
    assert overlap([0, 1], [2, 2]) == (0, 1)


# Overlaps


def overlapping(starts, nbytes, written):
    """Every overlapping pair, by the definition."""
    return {
        (i, j)
        for i, j in itertools.combinations(range(len(starts)), 2)
        if i < written
        and starts[i] < starts[j] + nbytes[j]
        and starts[j] < starts[i] + nbytes[i]
        and nbytes[i]
        and nbytes[j]
    }


def test_overlap_by_definition(path):
    random = np.random.default_rng(0)
    found = 0
    for _ in range(2000):
        n = int(random.integers(0, 7))
        starts, nbytes = random.integers(0, 40, n), random.integers(0, 8, n)
        written = int(random.integers(0, n + 1))
        pair, pairs = overlap(starts, nbytes, written), overlapping(starts, nbytes, written)
        assert (pair is None) == (not pairs)
        assert pair is None or pair in pairs
        found += pair is not None
    assert 500 < found < 1500


def test_overlap_of_all(path):
    assert overlap([], []) is None
    assert overlap([8, 0], [8, 8]) is None
    assert overlap([8, 0], [8, 9]) == (0, 1)
    assert overlap([0, 100, 10], [50, 10, 1]) == (0, 2)
    assert overlap([5, 5], [0, 8]) is None
    assert overlap([5, 7, 5], [8, 0, 8]) == (0, 2)


def test_ranges_that_are_only_read(path):
    assert overlap([0, 100, 100], [8, 8, 8], written=1) is None
    assert overlap([0, 100, 100, 4], [8, 8, 8, 2], written=1) == (0, 3)
    assert overlap([100, 0, 50], [8, 200, 200], written=1) == (0, 2)
    assert overlap([0, 0], [8, 8], written=0) is None


def test_the_order_is_found_anew_when_arrays_move(path):
    overlaps = Overlaps([8] * 4)
    assert overlaps.find(np.array([0, 8, 16, 24])) is None
    assert overlaps.find(np.array([24, 16, 8, 0])) is None
    assert overlaps.find(np.array([24, 16, 8, 4])) == (2, 3)
    assert overlaps.find(np.array([24, 16, 8, 0])) is None
    with pytest.raises(ValueError, match="3 addresses for 4 ranges"):
        overlaps.find(np.array([1, 2, 3]))


def test_overlap_of_arrays():
    slab = np.zeros(1000)
    leaves = [slab[100 * i : 100 * i + 100] for i in range(10)]
    layout = expect(*leaves)
    overlaps = Overlaps(layout.nbytes)
    out = np.zeros(10, np.int64)
    assert gather(leaves, layout, out) == -1
    assert overlaps.find(out) is None
    leaves[7] = slab[399:499]
    assert gather(leaves, layout, out) == -1
    assert overlaps.find(out) == (3, 7)
