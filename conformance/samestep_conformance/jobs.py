"""A run spread over fresh processes: each is asked for one place of the matrix after another, and answers with it.

Nothing is forked (JAX has threads) and nothing is pickled: a request and an answer are a line of JSON each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import count, groupby
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

from samestep import kernel_files

from .bits import Apart
from .suite import FAILED, Cell, Outcome, Place, Subject

COMMAND = (sys.executable, "-m", "samestep_conformance.jobs")
SHARES = 24  # that a process takes before a fresh one goes on: what it has compiled stays in memory
TOLD = 2000  # characters of what a process wrote before it died


def usable_processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, str]:
    """That of this process; what XLA compiles is kept beside our own kernels, so that a second run finds it."""
    folder = kernel_files.directory()
    if folder is None:
        return dict(os.environ)
    kept = {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "xla"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return kept | os.environ


# -- where a run is asked for ------------------------------------------------------------------------------------------


class Died(Exception):
    """A process ended before it answered."""


class Worker:
    """A process that answers."""

    def __init__(self) -> None:
        self.told = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 a pipe would fill up; `end` closes it
        self.process = subprocess.Popen(
            COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.told, text=True, env=environment(),
            start_new_session=True,  # an interrupt is for us, who then end it
        )  # fmt: skip

    def ask(self, place: Place) -> Cell:
        """What came of this place."""
        assert self.process.stdin is not None and self.process.stdout is not None
        answer = ""
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(asdict(place)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        if answer.endswith("\n"):
            return to_cell(json.loads(answer))
        code = self.process.wait()
        self.told.seek(0)
        raise Died(f"its process ended with code {code}: {self.told.read()[-TOLD:].strip() or 'it wrote nothing'}")

    def end(self) -> None:
        """End it, whatever it does."""
        with suppress(BrokenPipeError), self.told, self.process:
            self.process.kill()


def in_turn(places: Sequence[Place]) -> Iterator[tuple[int, Cell]]:
    """(number of the place, what came of it) one after another, in this process."""
    return ((number, place.examined()) for number, place in enumerate(places))


def spread(places: Sequence[Place], jobs: int) -> Iterator[tuple[int, Cell]]:
    """The same from this many fresh processes, as they come.

    A process takes all places of an optimizer and dtype, which share a reference, then the next that nobody has taken:
    so that all are busy, however long each takes.
    """
    groups = groupby(enumerate(places), lambda found: (found[1].name, found[1].dtype))
    shares = SimpleQueue[list[tuple[int, Place]]]()
    for _, group in groups:
        shares.put(list(group))
    found = SimpleQueue[tuple[int, Cell] | Exception]()
    workers, over = list[Worker](), Event()
    threads = [
        Thread(target=_serve, args=(shares, found, workers, over), daemon=True)
        for _ in range(min(jobs, shares.qsize()))
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in places:
            answer = found.get()
            if isinstance(answer, Exception):
                raise answer
            yield answer
    finally:
        over.set()
        for worker in workers:
            worker.process.kill()
        for thread in threads:
            thread.join()


def _serve(shares: SimpleQueue, found: SimpleQueue, workers: list[Worker], over: Event) -> None:
    """Ask one process after another, each until it dies or has done its part."""
    worker = None
    try:
        for taken in count():
            if worker is not None and taken % SHARES == 0:
                worker.end()
                worker = None
            for number, place in shares.get_nowait():
                if worker is None:
                    workers.append(worker := Worker())
                if over.is_set():  # looked at last: so a process that is not killed there is ended here
                    return
                try:
                    cell = worker.ask(place)
                except Died as error:
                    worker.end()
                    worker, cell = None, Cell(place.named(), outcomes=(Outcome("its process", FAILED, str(error)),))
                found.put((number, cell))
    except Empty:  # all are taken
        pass
    except Exception as error:  # of ours: raised where the run was asked for
        found.put(error)
    finally:
        if worker is not None:
            worker.end()


# -- the lines ---------------------------------------------------------------------------------------------------------


def to_line(cell: Cell) -> dict[str, Any]:
    """A cell as plain data, without its optimizer."""
    subject, outcomes = cell.subject, [asdict(outcome) for outcome in cell.outcomes]
    named = {"name": subject.name, "backend": subject.backend, "dtype": subject.dtype}
    return {"subject": named, "exactness": cell.exactness, "reason": cell.reason, "outcomes": outcomes}


def to_cell(line: dict[str, Any]) -> Cell:
    """The cell of a line."""
    outcomes = (outcome | {"apart": outcome["apart"] and Apart(*outcome["apart"])} for outcome in line["outcomes"])
    subject = Subject(optimizer=None, **line["subject"])
    return Cell(subject, line["exactness"], line["reason"], tuple(Outcome(**outcome) for outcome in outcomes))


def answer() -> None:
    """Answer until nothing more is asked. What libraries print goes where errors go, not between the answers."""
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            cell = Place(**json.loads(line)).examined()
            answers.write(json.dumps(to_line(cell)) + "\n")
            answers.flush()


if __name__ == "__main__":
    answer()
