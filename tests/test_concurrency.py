"""One optimizer from several threads at once, in a forked child, and backends per context."""

import asyncio
import contextlib
import contextvars
import multiprocessing
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import optree
import pytest

import samestep as ss
from samestep import params as trees
from samestep.algorithms.nadam import nadam
from samestep.errors import BackendError

THREADS = 6
OPTIMIZERS = {
    "nadam": lambda: nadam(lambda count: 0.1 / (1 + count)),
    "clipped": lambda: ss.chain(ss.clip_by_global_norm(0.5), ss.adamw(0.1, cautious="mean")),
    "groups": lambda: ss.groups({"b.*": ss.lion(0.1), "c": ss.freeze()}, default=nadam(0.1)),
}
each = pytest.mark.parametrize("name", OPTIMIZERS)
donating = pytest.mark.parametrize("donate", [False, True])


def tree(k, size=40000):
    rng = np.random.default_rng(k)
    return {"a": rng.normal(size=size), "b": [rng.normal(size=(50, 3)).astype("f4")], "c": rng.normal(size=size // 2)}


def bits(value):
    return [x.tobytes() if isinstance(x, np.ndarray) else x for x in optree.tree_leaves(value, none_is_leaf=True)]


def train(opt, k, steps=8, donate=False, size=40000, backend=None):
    with contextlib.nullcontext() if backend is None else ss.use_backend(backend):
        params = tree(k, size)
        state = opt.init(params)
        for i in range(steps):
            grads = tree(k + i, size)
            if i == 3:
                grads["a"] = None
            params, state = opt.step(params, grads, state, donate=donate)
    return bits([params, state])


def together(work, count=THREADS):
    """Run work(0), work(1), ... in threads that start at the same moment and switch often."""
    barrier = threading.Barrier(count)

    def started(i):
        barrier.wait()
        return work(i)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(started, range(count)))
    finally:
        sys.setswitchinterval(interval)


@donating
@each
def test_threads_with_their_own_params(name, donate):
    expected = [train(OPTIMIZERS[name](), k) for k in range(THREADS)]
    opt = OPTIMIZERS[name]()
    assert together(lambda k: train(opt, k, donate=donate)) == expected


@donating
def test_threads_with_other_shapes_and_backends(donate):
    def work(k):
        return train(opt, k, donate=donate, size=1000 * (k + 1), backend=("numpy", "numba", None)[k % 3])

    opt = nadam(0.1)
    expected = [work(k) for k in range(THREADS)]
    opt = nadam(0.1)
    assert together(work) == expected


@each
def test_threads_with_the_same_params(name):
    """Pure steps from one state: nothing is written, and all get the same."""
    opt = OPTIMIZERS[name]()
    params, grads = tree(0), tree(1)
    state = opt.init(params)
    before = bits([params, grads, state])
    expected = bits(list(opt.step(params, grads, state)))

    def work(_):
        return [bits(list(opt.step(params, grads, state))) for _ in range(10)]

    assert together(work) == [[expected] * 10] * THREADS
    assert bits([params, grads, state]) == before


def test_a_container_that_another_thread_registers_first(monkeypatch):
    class Pair:
        def __init__(self, *children):
            self.children = children

    ways = lambda pair: (pair.children, None), lambda _, children: Pair(*children)

    class Late:
        """Between the question how to open it and its registration, somebody else registers it."""

        def container(self, leaf):
            if not isinstance(leaf, Pair):
                return None
            optree.register_pytree_node(Pair, *ways, namespace=trees.NAMESPACE)
            return ways

    monkeypatch.setattr(trees, "installed", lambda: [Late()])
    leaves, spec = trees.flatten([Pair(1.0, 2.0)])
    assert leaves == [1.0, 2.0] and type(trees.rebuild(spec, leaves)[0]) is Pair


def test_a_failing_thread_disturbs_no_other():
    opt = nadam(0.1)
    expected = [train(nadam(0.1), k) for k in range(THREADS)]

    def work(k):
        if k % 2:
            return train(opt, k)
        for _ in range(30):
            with pytest.raises(ValueError):
                opt.step(tree(k), {**tree(k), "c": np.ones(3)}, opt.init(tree(k)), donate=True)
        return expected[k]

    assert together(work) == expected


# Forks

# Python warns of threads at a fork, and so does JAX where another test has imported it.
forking = pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning", "ignore:.*os.fork.*:RuntimeWarning"
)


def forked(work, *args):
    """What work(*args) returns in a forked child; an error there, or a child that hangs, is an error here."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def child():
        theirs.send(work(*args))

    process = context.Process(target=child)
    process.start()
    theirs.close()
    try:
        assert ours.poll(60), "the child hangs"
        return ours.recv()
    finally:
        process.kill()
        process.join()


@forking
@donating
@each
def test_a_forked_child_goes_on(name, donate):
    opt = OPTIMIZERS[name]()
    expected = train(opt, 1)
    assert forked(train, opt, 1, 8, donate) == expected
    assert train(opt, 1) == expected


@forking
def test_a_child_forked_while_another_thread_makes_a_plan():
    """The locks that the other thread holds must not stay closed in the child."""
    holding, done = threading.Event(), threading.Event()

    @ss.direction()
    def slow(u):
        holding.set()
        if not done.is_set():
            assert done.wait(60)
        return {"u": u}

    opt, other = ss.chain(slow(), ss.descend(0.1)), ss.sgd(0.5, momentum=0.9)
    thread = threading.Thread(target=lambda: opt.step(np.ones(2), np.ones(2), {"step": 0}))
    thread.start()
    assert holding.wait(60)

    def work():
        done.set()
        params = np.ones(2)
        mine = ss.chain(ss.sgd(0.1, momentum=0.9), ss.cautious(floor=0.5))  # to be traced here
        return bits(
            [*other.step(params, params, other.init(params)), *opt.step(params, params, {"step": 0})[:1]]
        ), bits(mine.step(params, params, mine.init(params))[0])

    try:
        found = forked(work)
    finally:
        done.set()
        thread.join()
    assert found == work()


# Backends per context


def chosen():
    """The backend that a step would take here."""
    return ss.explain(ss.lion(), np.ones(2)).backend("")


def test_use_backend_nests_and_ends():
    assert chosen() == "numba"
    with ss.use_backend("numpy"):
        assert chosen() == "numpy"
        with ss.use_backend("numba"):
            assert chosen() == "numba"
        assert chosen() == "numpy"
        with pytest.raises(BackendError), ss.use_backend("nothing"):
            pass
        assert chosen() == "numpy"
    assert chosen() == "numba"
    with pytest.raises(ZeroDivisionError), ss.use_backend("numpy"):
        raise ZeroDivisionError
    assert chosen() == "numba"


def test_use_backend_is_per_thread():
    with ss.use_backend("numpy"):
        found = []
        thread = threading.Thread(target=lambda: found.append(chosen()))
        thread.start()
        thread.join()
        assert found == ["numba"] and chosen() == "numpy"
        assert contextvars.copy_context().run(chosen) == "numpy"

    def work(k):
        name = ("numpy", "numba")[k % 2]
        with ss.use_backend(name):
            time.sleep(0.01)
            return chosen() == name

    assert together(work) == [True] * THREADS


def test_use_backend_is_per_task():
    async def task(name):
        with ss.use_backend(name):
            await asyncio.sleep(0.01)
            return chosen()

    async def both():
        return await asyncio.gather(task("numpy"), task("numba"), task("numpy"))

    assert asyncio.run(both()) == ["numpy", "numba", "numpy"]


def test_use_backend_holds_for_an_optimizer_that_has_stepped():
    opt, params = ss.sgd(0.1, momentum=0.9), np.ones(2)
    state = opt.init(params)
    expected = bits(list(opt.step(params, params, state)))
    with ss.use_backend("numpy"):
        assert bits(list(opt.step(params, params, state))) == expected
        with ss.use_backend("strict"), pytest.raises(BackendError, match="does not run on ndarray"):
            opt.step(params, params, state)
    assert bits(list(opt.step(params, params, state))) == expected
