"""Recycled buffers: used again as soon as nobody can see them, and never before."""

import ctypes
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

from samestep_numba import buffers, headers
from samestep_numba.buffers import SMALL, Recycler

LARGE = SMALL // 4  # float32: the smallest large leaf
SHAPES = [(3,), (LARGE,), (), (2, 5), (0, 4), (4, LARGE), (LARGE // 64, 64), (SMALL // 4 - 1,)]
SMALL_LEAVES, LARGE_LEAVES = [0, 2, 3, 4, 7], [1, 5, 6]


def recycler(shapes=SHAPES):
    return Recycler(shapes, [np.float32] * len(shapes))


def start(array):
    return array.__array_interface__["data"][0]


def starts(arrays):
    return [start(array) for array in arrays]


def overlap(one, other):
    sizes = [a.nbytes for a in one] + [a.nbytes for a in other]
    return headers.overlap(starts(one) + starts(other), sizes)


def settle(pool):
    """As in training: two sets that take turns. Returns the one in use; the other is free."""
    held = pool.take()
    for _ in range(4):
        held = pool.take()
    return held


@pytest.fixture
def alive(monkeypatch):
    """The memories that exist, by weak references: the counter behind the bounds below."""
    made = []
    of = buffers._Memory.of

    def counted(nbytes):
        memory = of(nbytes)
        made.append(weakref.ref(memory))
        return memory

    monkeypatch.setattr(buffers._Memory, "of", counted)
    return lambda: [memory for ref in made if (memory := ref()) is not None]


def bounds(pool):
    padded = pool._layout.nbytes + buffers.ALIGNMENT
    return int(padded.sum()), int(padded[pool._layout.nbytes < SMALL].sum())


def test_arrays_are_as_asked():
    shapes = [(3, 4), (), (0,), (2, 0, 3), (70_000,), (7,)]
    dtypes = [np.float32, np.float64, np.int8, np.complex128, np.float16, np.bool_]
    pool = Recycler(shapes, dtypes)
    sets = [pool.take() for _ in range(3)]
    for arrays in sets:
        assert [a.shape for a in arrays] == shapes
        assert [a.dtype for a in arrays] == [np.dtype(d) for d in dtypes]
        for array in arrays:
            assert type(array) is np.ndarray
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert start(array) % 64 == 0
            array.fill(1)
    assert overlap(sets[0] + sets[1], sets[2]) is None


def test_addresses_are_given():
    pool = recycler()
    table = np.zeros((len(SHAPES), 3), np.int64)
    for _ in range(4):
        arrays = pool.take(table[:, 1])
        assert table[:, 1].tolist() == starts(arrays)
    assert not table[:, [0, 2]].any()


def test_nothing_to_take():
    pool = Recycler([], [])
    assert pool.take() == pool.take() == []


def test_a_foreign_byte_order_is_refused():
    with pytest.raises(ValueError, match="native byte order"):
        Recycler([(2,)], [np.dtype(np.float32).newbyteorder()])


def test_two_sets_take_turns():
    pool = recycler()
    held, before = pool.take(), None
    seen = []
    for _ in range(10):
        held, before = pool.take(), held
        assert overlap(held, before) is None
        del before
        seen.append(starts(held))
    assert seen[2:] == seen[:2] * 4


def test_one_set_that_nobody_keeps_is_enough():
    pool = recycler()
    seen = {tuple(np.array(starts(pool.take()))[LARGE_LEAVES]) for _ in range(10)}
    assert len(seen) == 1


def test_a_snapshot_that_is_kept():
    pool = recycler()
    snapshot = pool.take()
    for array in snapshot:
        array.fill(7)
    held, seen = pool.take(), set()
    for _ in range(10):
        held = pool.take()
        for array in held:
            array.fill(1)
        seen.add(tuple(starts(held)))
    assert len(seen) <= 3  # it settles, beside the snapshot
    assert all((array == 7).all() for array in snapshot)


def test_everything_that_is_kept_stays():
    pool = recycler()
    sets = []
    for i in range(6):
        sets.append(pool.take())
        for array in sets[-1]:
            array.fill(i)
    assert all((array == i).all() for i, arrays in enumerate(sets) for array in arrays)
    assert all(overlap(sets[i], sets[j]) is None for i in range(6) for j in range(i))


class Holder:
    def __init__(self, array):
        self.array = array


def generator(array):
    yield array.size
    yield array.sum()


def started(array):
    it = generator(array)
    next(it)
    return it


HOSTILE = {
    "itself": lambda a: a,
    "list": lambda a: [a],
    "dict": lambda a: {"a": {"b": a}},
    "attribute": Holder,
    "closure": lambda a: lambda: a,
    "generator": started,
    "bound method": lambda a: a.sum,
    "view": lambda a: a[...],
    "view of a view": lambda a: a[...][...].reshape(-1)[1:],
    "transpose": lambda a: a.T,
    "cast view": lambda a: a.view(np.int32),
    "one element": lambda a: a.reshape(-1)[1:2],
    "real": lambda a: a.real,
    "broadcast": lambda a: np.broadcast_to(a, (2, *a.shape)),
    "subclass": lambda a: a.view(np.ma.MaskedArray),
    "memoryview": memoryview,
    "cast memoryview": lambda a: memoryview(a).cast("B"),
    "memoryview of a view": lambda a: memoryview(a.reshape(-1)[1:]),
    "frombuffer": lambda a: np.frombuffer(a, np.uint8),
    "asarray of a memoryview": lambda a: np.asarray(memoryview(a)),
    "ctypes": lambda a: (ctypes.c_char * a.nbytes).from_buffer(a),
    "ctypes pointer": lambda a: a.ctypes,
    "array interface": lambda a: np.asarray(type("I", (), {"__array_interface__": a.__array_interface__, "a": a})()),
    "iterator": lambda a: a.flat,
    "nditer": lambda a: np.nditer(a),
    "object array": lambda a: np.array([a, None], object),
    "dlpack": lambda a: np.from_dlpack(a),
    "capsule": lambda a: a.__dlpack__(),
    "base": lambda a: a.base,
    "slice of the base": lambda a: a.base[5:],
}


@pytest.mark.parametrize("hold", HOSTILE)
@pytest.mark.parametrize("leaf", [7, 1, 6], ids=["small", "large", "large 2d"])
def test_what_anybody_refers_to_is_never_handed_out(alive, hold, leaf):
    pool = recycler()
    arrays = settle(pool)
    for array in arrays:
        array.fill(7)
    where = start(arrays[leaf])
    held, size = HOSTILE[hold](arrays[leaf]), arrays[leaf].nbytes
    del array, arrays
    for _ in range(6):
        assert start(pool.take()[leaf]) != where
    # The other leaves are not held hostage, and this one is free as soon as it is let go.
    one, small = bounds(pool)
    assert sum(m.nbytes for m in alive()) <= one + small + size + buffers.ALIGNMENT
    del held
    if hold == "array interface":  # a class is part of a cycle
        gc.collect()
    assert sum(m.nbytes for m in alive()) <= one + small


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    pool = recycler()
    arrays = settle(pool)
    kept = [torch.from_numpy(array)[...] for array in arrays]
    for tensor in kept:
        tensor.fill_(7)
    del arrays, tensor
    for _ in range(4):
        for array in pool.take():
            array.fill(1)
    assert all(bool((tensor == 7).all()) for tensor in kept)


@pytest.mark.parametrize("leaf", [7, 1], ids=["small", "large"])
def test_a_weak_reference_never_sees_a_later_step(leaf):
    pool = recycler()
    arrays = settle(pool)
    weak = weakref.ref(arrays[leaf])
    del arrays
    for _ in range(4):
        arrays = pool.take()
        assert all(weak() is not array for array in arrays)
    del arrays
    assert weak() is None


@pytest.mark.parametrize("leaf", [3, 6], ids=["small", "large"])
@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.setflags(write=False),
        lambda a: a.base.setflags(write=False),
        lambda a: setattr(a, "shape", a.shape[::-1]),
        lambda a: setattr(a, "dtype", np.int32),
        lambda a: a.__setstate__(((2, 5), np.dtype(np.float32), False, b"\0" * 40)),
    ],
    ids=["frozen", "frozen base", "shape", "dtype", "state"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NumPy is about to forbid some of these
def test_an_array_changed_in_place_is_not_handed_out(change, leaf):
    pool = recycler()
    arrays = settle(pool)
    change(arrays[leaf])
    del arrays
    for _ in range(4):
        arrays = pool.take()
        assert [a.shape for a in arrays] == SHAPES
        assert all(a.dtype == np.float32 and a.flags.writeable and a.flags.c_contiguous for a in arrays)
        assert all(start(a) % 64 == 0 for a in arrays)


def test_arrays_survive_the_pool():
    pool = recycler()
    arrays = settle(pool)
    for array in arrays:
        array.fill(7)
    del pool
    gc.collect()
    assert all((array == 7).all() for array in arrays)
    assert all((a == b).all() for a, b in zip(pickle.loads(pickle.dumps(arrays)), arrays, strict=True))


# Memory


@pytest.mark.parametrize("keep", [0, 1, 2, 5])
def test_the_pool_holds_one_step_at_most(alive, keep):
    pool = recycler()
    one, small = bounds(pool)
    history = []
    for _ in range(12):
        history = [*history, pool.take()][-keep:] if keep else [pool.take()][:0]
        assert pool.held_bytes <= one + small
        assert sum(m.nbytes for m in alive()) <= (len(history) + 1) * one + small
    history.clear()  # everything is dropped at once, and what the pool does not hold goes back at once
    assert sum(m.nbytes for m in alive()) == pool.held_bytes <= one + small
    assert len(alive()) == len(LARGE_LEAVES) + 2 * len(SMALL_LEAVES)
    pool.take()
    pool.clear()
    assert pool.held_bytes == 0
    assert not alive()


def test_it_makes_nothing_once_it_has_settled(alive):
    pool = recycler()
    held = settle(pool)
    before = set(map(id, alive()))
    for _ in range(10):
        held = pool.take()
    assert set(map(id, alive())) == before
    assert len(held) == len(SHAPES)


def test_it_goes_with_its_owner(alive):
    pool = recycler()
    held = pool.take()
    del pool
    gc.collect()
    assert len(alive()) == len(SHAPES)
    del held
    assert not alive()


def test_a_kept_leaf_keeps_itself_only(alive):
    pool = recycler()
    one, small = bounds(pool)
    log = []
    for _ in range(50):
        log.append(pool.take()[0])
    assert sum(m.nbytes for m in alive()) <= one + small + 50 * (log[0].nbytes + buffers.ALIGNMENT)


# Threads, processes and other Pythons


def test_two_threads_never_get_the_same():
    pool = recycler()
    errors = []
    barrier = threading.Barrier(4)

    def step(mark):
        try:
            barrier.wait(30)
            held = None
            for i in range(150):
                arrays = pool.take()
                for array in arrays:
                    array.fill(1000 * mark + i)
                if held is not None:
                    assert all((array == 1000 * mark + i - 1).all() for array in held)
                assert all((array == 1000 * mark + i).all() for array in arrays)
                held = arrays
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=step, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    one, small = bounds(pool)
    assert pool.held_bytes <= one + small


def test_fresh_arrays_where_counts_cannot_be_trusted(monkeypatch, alive):
    monkeypatch.setattr(headers, "counts_references", lambda: False)
    monkeypatch.setattr(headers, "_tested", [None])
    pool = recycler()
    one, two = pool.take(), pool.take()
    assert overlap(one, two) is None
    assert all(start(array) % 64 == 0 for array in one + two)
    assert pool.held_bytes == 0
    del one, two
    assert not alive()


def test_a_free_threaded_build_is_not_trusted(monkeypatch):
    monkeypatch.setattr(headers.sysconfig, "get_config_var", lambda name: 1)
    assert not headers.counts_references()
