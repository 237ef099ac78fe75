"""A small pool of threads for kernels that release the GIL.

Numba's own threading layers abort or hang after a fork or under several Python threads, each in its way. This one has
no state but a queue: every call of `run` works through its own spans, and the pool's threads help whoever has asked.
So nobody ever waits for a thread to become free, only for spans that a thread is already at.
"""

from __future__ import annotations

import contextvars
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

Span = tuple[int, int]
PATIENCE = 1e-4  # seconds to wait awake, and with the GIL, for what others are about to finish
VARIABLE = "SAMESTEP_NUM_THREADS"

_chosen: contextvars.ContextVar[int | None] = contextvars.ContextVar("samestep_threads", default=None)
_default: int | None = None


def num_threads() -> int:
    """How many threads `run` uses here: as `use_threads` says, else $SAMESTEP_NUM_THREADS, else one per usable CPU."""
    return _chosen.get() or _default or _count()


@contextmanager
def use_threads(n: int) -> Iterator[None]:
    """Use `n` threads, the calling one included, within the context (of this thread or task only)."""
    token = _chosen.set(_positive(n, "use_threads"))
    try:
        yield
    finally:
        _chosen.reset(token)


def run(work: Callable[[int, int], object], spans: Iterable[Span], done: Callable[[], object] | None = None) -> None:
    """Call `work(lo, hi)` once for each span, on several threads at once, and return when all calls have.

    Or when `done()` is true, which it may be a little earlier: nobody waits then for a thread to get hold of the GIL.
    Calls that have not begun are called off; those that have must not matter any more.

    The calling thread takes part, and each thread takes the next span as it becomes free. After an error no further
    span is begun; the first one is raised once all running calls have ended.
    """
    job = _Job(work, spans)
    threads = min(num_threads(), len(job.spans))
    if threads < 2:
        for lo, hi in job.spans:
            work(lo, hi)
        return
    shares = [_Share(job) for _ in range(threads - 1)]
    try:
        _pool.ask(shares)
        job.work_through()
        if done is not None and _soon(done):
            while shares:
                shares.pop().owner.setdefault("is", "caller")
    except BaseException as error:  # an interrupt between two spans
        job.fail(error)
    for share in shares:
        share.wait()
    job.close()


def _soon(done: Callable[[], object]) -> bool:
    until = time.perf_counter() + PATIENCE
    while not done():
        if time.perf_counter() > until:
            return False
    return True


class _Job:
    def __init__(self, work: Callable[[int, int], object], spans: Iterable[Span]) -> None:
        self.work: Callable[[int, int], object] | None = work
        self.spans = deque(spans)
        self.errors: list[BaseException] = []

    def work_through(self) -> None:
        while True:
            try:
                lo, hi = self.spans.popleft()  # atomic: no two threads get the same
            except IndexError:
                return
            work = self.work
            if work is None:  # done without this one
                return
            try:
                work(lo, hi)
            except BaseException as error:
                self.fail(error)

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)
        self.spans.clear()

    def close(self) -> None:
        self.work = None  # a thread that comes late must not keep the caller's arrays alive
        if self.errors:
            try:
                raise self.errors[0]
            finally:
                self.errors.clear()  # they hold frames that hold this job


class _Share:
    """One helper's part in a job: taken by a thread of the pool, or called off by the caller, whichever comes first."""

    def __init__(self, job: _Job) -> None:
        self.job = job
        self.owner: dict[str, str] = {}  # setdefault decides, atomically, who is first
        self.ended = False
        self.signal = threading.Lock()
        self.signal.acquire()

    def take(self) -> None:
        if self.owner.setdefault("is", "helper") == "helper":
            self.job.work_through()
            self.ended = True
            self.signal.release()

    def wait(self) -> None:
        """Until the helper has ended, if it has begun."""
        # An interrupt must not leave arrays behind that are being written to: it waits, and each line may run again.
        while True:
            try:
                if self.owner.setdefault("is", "caller") == "helper":
                    while not self.ended:
                        self.signal.acquire()
                return
            except BaseException as error:  # KeyboardInterrupt, or whatever else a signal handler raises
                self.job.fail(error)


class _Pool:
    def __init__(self) -> None:
        self.shares: SimpleQueue[_Share] = SimpleQueue()
        self.size = 0
        self.growing = threading.Lock()

    def ask(self, shares: list[_Share]) -> None:
        if self.size < len(shares):
            self.grow(len(shares))
        for share in shares:
            self.shares.put(share)

    def grow(self, size: int) -> None:
        with self.growing:
            while self.size < size:
                try:
                    threading.Thread(target=self.serve, name=f"samestep-{self.size + 1}", daemon=True).start()
                except RuntimeError:  # no more threads, or the interpreter is closing: those that run do it all
                    return
                self.size += 1

    def serve(self) -> None:
        while True:
            self.shares.get().take()  # without a name for it: an idle thread keeps nothing alive


def _count() -> int:
    global _default
    if text := os.environ.get(VARIABLE, "").strip():
        _default = _positive(text, f"${VARIABLE}")
    elif hasattr(os, "sched_getaffinity"):
        _default = len(os.sched_getaffinity(0))
    else:
        _default = os.cpu_count() or 1
    return _default


def _positive(value: int | str, name: str) -> int:
    try:
        n = int(value)
    except ValueError:
        n = 0
    if n < 1:
        raise ValueError(f"{name} is {value!r}; the number of threads has to be a whole number, 1 or more")
    return n


def _after_fork() -> None:
    global _pool
    _pool = _Pool()  # a child has none of its parent's threads, and the old queue may be in the middle of anything


_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
