"""Where the figures come from: the machine, the versions, the threads."""

import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from . import floor, peers

CORES = 2
PACKAGES = ("samestep", "numpy", "numba", "torch", "jax", "jaxlib", "optax")


def describe() -> dict[str, Any]:
    """Date, machine, versions and thread counts, ready for JSON."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _field("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "memory": _field("/proc/meminfo", "MemTotal"),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "threads": {"cores used": CORES, "torch": peers.TORCH_THREADS, "floor": floor.THREADS},
    }


@contextmanager
def two_cores() -> Iterator[None]:
    """Keep to two cores where there are more, so that no contestant has more of them than another."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:CORES])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Neighbours:
    """The share of this machine's cores that everything but this process has used since this was made.

    Threads that wait for each other in a loop (OpenMP's) lose far more to a neighbour than this share: above a few
    per cent, ratios to torch flatter samestep.
    """

    def __init__(self) -> None:
        self.start = _processor_seconds()

    def share(self) -> float | None:
        """None where the system does not say."""
        if self.start is None or (now := _processor_seconds()) is None:
            return None
        busy, own, total = (after - before for after, before in zip(now, self.start, strict=True))
        return max(0.0, busy - own) / total if total else 0.0


def _processor_seconds() -> tuple[float, float, float] | None:
    """Used by all, used by this process and its children, and available, over all cores (Linux only)."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in stat.read_text().split(maxsplit=9)[1:9]
    )
    busy = user + nice + system + irq + softirq + steal
    return busy, sum(os.times()[:4]), busy + idle + iowait


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _field(path: str, name: str) -> str | None:
    """The value of the first `name: value` line of a file of the Linux kernel's."""
    file = Path(path)
    found = re.search(rf"^{name}\s*:\s*(.+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return found[1] if found else None
