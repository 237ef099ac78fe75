"""The thread pool: every span once, errors, interrupts, forks, several callers, and nothing that it keeps alive."""

import contextvars
import os
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import samestep as ss
from samestep_numba import threads
from samestep_numba.threads import num_threads, run, use_threads

SPANS = [(i, i + 1) for i in range(20)]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(threads, "_default", None)
    monkeypatch.delenv(threads.VARIABLE, raising=False)


def script(text, **environment):
    """Run in a process of its own, which has to end by itself, with exit status 0."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    done = subprocess.run(
        # Python 3.12 and later warn of every fork beside threads, which is what is tested here.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", text],
        env=environment,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("n", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_every_span_once(n, count):
    done = []
    with use_threads(n):
        run(lambda lo, hi: done.append((lo, hi)), SPANS[:count])
    assert sorted(done) == SPANS[:count]


def test_spans_may_be_any_iterable():
    done = []
    with use_threads(2):
        run(lambda lo, hi: done.append((lo, hi)), (span for span in SPANS))
    assert sorted(done) == SPANS


def test_spans_run_at_the_same_time_and_the_caller_takes_part():
    barrier, who = threading.Barrier(3), set()

    def work(lo, hi):
        barrier.wait(30)
        who.add(threading.current_thread())

    with use_threads(3):
        run(work, SPANS[:3])
    assert len(who) == 3
    assert threading.current_thread() in who
    assert all(thread.daemon for thread in who - {threading.current_thread()})


def test_no_more_threads_than_asked_for():
    now, most, lock = 0, 0, threading.Lock()

    def work(lo, hi):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        with lock:
            now -= 1

    with use_threads(5):
        run(lambda lo, hi: None, SPANS)  # the pool has five at least
    with use_threads(2):
        run(work, SPANS)
    assert most <= 2


def test_one_thread_is_the_caller():
    who = set()
    with use_threads(1):
        run(lambda lo, hi: who.add(threading.current_thread()), SPANS)
    assert who == {threading.current_thread()}


def test_runs_within_runs():
    done = []
    with use_threads(3):
        context = contextvars.copy_context()

        def outer(lo, hi):
            context.copy().run(run, lambda a, b: done.append((lo, a)), SPANS)

        run(outer, SPANS)
    assert len(done) == len(set(done)) == 400


def test_several_callers_at_once():
    done = {k: [] for k in range(6)}

    def caller(k):
        with use_threads(3):
            for _ in range(100):
                run(lambda lo, hi: done[k].append(lo), SPANS)

    callers = [threading.Thread(target=caller, args=(k,), daemon=True) for k in done]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join(60)
        assert not thread.is_alive()
    assert all(sorted(lows) == sorted(list(range(20)) * 100) for lows in done.values())


# Errors


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_error_comes_back_when_all_have_ended(n):
    running = []

    def work(lo, hi):
        running.append(lo)
        try:
            if lo == 3:
                raise LookupError("of span 3")
            time.sleep(0.005)
        finally:
            running.remove(lo)

    with use_threads(n), pytest.raises(LookupError, match="of span 3"):
        run(work, SPANS)
    assert not running


def test_the_first_error_is_raised_and_no_span_begun_after_it():
    both, failed, begun = threading.Barrier(2), threading.Event(), []

    def work(lo, hi):
        begun.append(lo)
        both.wait(30)
        if lo == 0:
            failed.wait(30)
            raise LookupError("second")
        try:
            raise KeyError("first")
        finally:
            threading.Timer(0.05, failed.set).start()

    with use_threads(2), pytest.raises(KeyError, match="first"):
        run(work, SPANS)
    assert sorted(begun) == [0, 1]
    done = []
    with use_threads(2):
        run(lambda lo, hi: done.append(lo), SPANS)  # and the pool works on
    assert len(done) == 20


INTERRUPTED = """
import signal, threading, time
from samestep_numba.threads import run, use_threads
ended, main, begun = [], threading.main_thread(), threading.Event()
def work(lo, hi):
    {here}
    ended.append(lo)
signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    with use_threads(2):
        run(work, [(0, 1), (1, 2)] + [(2, 3)] * {more})
except KeyboardInterrupt:
    print(*sorted(ended))
"""


def test_an_interrupt_waits_for_what_is_running():
    # The caller is done with its span and waits: the other thread's span ends before the interrupt comes through.
    waits = "begun.wait(30) if threading.current_thread() is main else (begun.set(), time.sleep(0.5))"
    assert script(INTERRUPTED.format(here=waits, more=0)) == "0 1\n"
    # The caller is in a span itself, and no other is begun.
    works = "time.sleep(0.3)"
    assert script(INTERRUPTED.format(here=works, more=50)) in ("0\n", "1\n", "0 1\n")


# How many threads


def test_number_from_the_environment(monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "7")
    assert num_threads() == 7
    with use_threads(2):
        assert num_threads() == 2
        with use_threads(3):
            assert num_threads() == 3
        assert num_threads() == 2
    assert num_threads() == 7


def test_number_without_it(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert num_threads() == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_wrong_number_is_refused(monkeypatch, text):
    monkeypatch.setenv(threads.VARIABLE, text)
    with pytest.raises(ValueError, match=rf"\$SAMESTEP_NUM_THREADS is '{text}'"):
        num_threads()


def test_a_wrong_override_is_refused():
    with pytest.raises(ValueError, match="use_threads is 0"), use_threads(0):
        pass


def test_an_override_is_of_this_thread_only():
    seen = []
    before = num_threads()
    with use_threads(before + 3):
        thread = threading.Thread(target=lambda: seen.append(num_threads()))
        thread.start()
        thread.join()
    assert seen == [before]


# What it leaves behind


class Thing:
    pass


def test_nothing_is_kept_alive():
    thing = Thing()
    gone = weakref.ref(thing)

    def work(lo, hi, thing=thing):
        time.sleep(0.001)

    with use_threads(4):
        run(work, SPANS)
    del work, thing
    assert gone() is None


def test_nothing_is_kept_alive_after_an_error():
    def inner():
        thing = Thing()

        def work(lo, hi):
            time.sleep(0.001)
            raise LookupError(thing and "expected")

        with use_threads(4), pytest.raises(LookupError):
            run(work, SPANS)
        return weakref.ref(thing)

    gone = inner()
    for _ in range(100):  # a helper's frame may still be on its way out
        if gone() is None:
            break
        time.sleep(0.01)
    assert gone() is None


def test_a_late_helper_keeps_nothing_alive():
    # The one helper is held up by another call, so this call's share of work stays in its queue.
    hold, held = threading.Event(), threading.Event()

    def occupy(lo, hi):
        if threading.current_thread().daemon and threading.current_thread().name.startswith("samestep"):
            held.set()
            hold.wait(30)
        else:
            held.wait(30)

    def busy():
        with use_threads(2):
            run(occupy, SPANS[:2])

    pool = threads._pool
    threads._pool = threads._Pool()
    try:
        other = threading.Thread(target=busy)
        other.start()
        assert held.wait(30)
        thing = Thing()
        gone = weakref.ref(thing)
        done = []
        with use_threads(2):
            run(lambda lo, hi, thing=thing: done.append(lo), SPANS)
        assert len(done) == 20
        del thing
        assert gone() is None
    finally:
        hold.set()
        other.join()
        threads._pool = pool


def test_a_thread_that_cannot_start_is_no_error(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_pool", threads._Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    with use_threads(4):
        run(lambda lo, hi: done.append(lo), SPANS)
    assert sorted(done) == list(range(20))


# Processes

FORK = """
import os, threading, time
from samestep_numba.threads import run, use_threads
spans = [(i, i + 1) for i in range(20)]
def check():
    done, who = [], set()
    barrier = threading.Barrier(3)
    def work(lo, hi):
        if lo < 3: barrier.wait(20)
        done.append(lo); who.add(threading.current_thread())
    with use_threads(3):
        run(work, spans)
    assert sorted(done) == list(range(20)) and len(who) == 3
def child():
    pid = os.fork()
    if pid == 0:
        try:
            check()
            if os.fork() == 0:
                check(); os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
        except BaseException:
            import traceback; traceback.print_exc()
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
"""


def test_a_forked_child_has_a_pool():
    script(FORK + "child()\ncheck()\nchild()\ncheck()\n")


def test_forked_while_another_thread_is_inside_run():
    script(
        FORK
        + """
stop = threading.Event()
def others():
    while not stop.is_set():
        with use_threads(3):
            run(lambda lo, hi: time.sleep(0.001), spans)
threads = [threading.Thread(target=others) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(10): child()
stop.set()
for thread in threads: thread.join()
check()
"""
    )


def test_the_pool_does_not_hold_up_the_exit():
    # Idle threads, and one in the middle of a long span that a daemon thread has begun.
    script(
        """
import threading, time
from samestep_numba.threads import run, use_threads
with use_threads(4):
    run(lambda lo, hi: time.sleep(0.01), [(i, i + 1) for i in range(8)])
def long():
    with use_threads(2):
        run(lambda lo, hi: time.sleep(1000), [(0, 1), (1, 2)])
threading.Thread(target=long, daemon=True).start()
time.sleep(0.1)
"""
    )


def test_importing_starts_no_thread():
    assert script("import samestep_numba.threads, threading; print(threading.active_count())") == "1\n"


def test_done_ends_the_wait_and_calls_off_what_has_not_begun():
    """A thread that is late to get the GIL is not waited for, once its work is known to be done."""
    caller = threading.current_thread()
    begun, left, ended = threading.Event(), threading.Event(), threading.Event()

    def work(lo, hi):
        if threading.current_thread() is caller:
            assert begun.wait(10)
        else:
            begun.set()
            assert left.wait(10)
            ended.set()

    with threads.use_threads(2):
        threads.run(work, [(0, 1), (1, 2)], lambda: True)
    assert not ended.is_set()
    left.set()
    assert ended.wait(10)


def test_what_has_not_begun_is_called_off():
    """A thread that comes for its share when all is done finds none, and keeps nothing alive."""
    job = threads._Job(lambda lo, hi: None, [(0, 1)])
    share, arrays = threads._Share(job), weakref.ref(job.work)
    job.work_through()
    share.owner.setdefault("is", "caller")
    job.close()
    share.take()
    assert not share.ended and arrays() is None


def test_done_that_stays_false_is_no_reason_to_leave():
    """Every call has returned then."""
    ended = []

    def work(lo, hi):
        time.sleep(0.01)
        ended.append(lo)

    with threads.use_threads(2):
        threads.run(work, [(i, i + 1) for i in range(4)], lambda: False)
    assert sorted(ended) == [0, 1, 2, 3]


def test_a_wrong_number_is_refused_before_a_step_writes(monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "many")
    monkeypatch.setattr(threads, "_default", None)
    p = np.ones(3)
    with ss.use_backend("numba"), pytest.raises(ValueError, match=r"\$SAMESTEP_NUM_THREADS is 'many'"):
        ss.adam(0.1).step(p, np.ones(3), ss.adam(0.1).init(p), donate=True)
    assert p.tolist() == [1.0, 1.0, 1.0]
