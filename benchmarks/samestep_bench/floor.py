"""The streaming floor: the same number of bytes as a step must move, with nothing to compute.

Each tool moves them in one flat block, on both cores, so that many small arrays cost a floor nothing extra.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from .peers import TORCH_THREADS
from .rules import Rule

THREADS = 2
ITEM = 4  # bytes in a float32
SERIAL = 4_000_000  # below so many bytes, waking a second thread costs more than it saves

Action = Callable[[], object]


def bytes_moved(rule: Rule, elements: int) -> int:
    """What a step over so many float32 parameters has to read and write."""
    return ITEM * elements * (rule.reads + rule.writes)


def floors(rule: Rule, elements: int) -> tuple[dict[str, Action], dict[str, str]]:
    """Every tool that can move the bytes, and for each of the others the reason."""
    half = -(-elements * (rule.reads + rule.writes) // 2)  # a copy reads once and writes once
    source, target = np.ones(half, np.float32), np.zeros(half, np.float32)
    pool = ThreadPoolExecutor(THREADS - 1)
    actions: dict[str, Action] = {"floor: np.copyto": _in_threads(pool, np.copyto, [target, source])}
    left_out: dict[str, str] = {}
    try:
        actions["floor: torch.copy_"] = _torch_copy(target, source)
    except ModuleNotFoundError as error:
        left_out["floor: torch.copy_"] = f"{error.name} is not installed"
    try:
        kernel = _kernel(rule.writes)
        streams = [np.ones(elements, np.uint32) for _ in range(rule.reads)]
        actions["floor: own kernel"] = _in_threads(pool, kernel, streams)
    except ModuleNotFoundError as error:
        left_out["floor: own kernel"] = f"{error.name} is not installed"
    return actions, left_out


def _torch_copy(target: Any, source: Any) -> Action:
    import torch

    torch.set_num_threads(TORCH_THREADS)
    to, frm = torch.from_numpy(target), torch.from_numpy(source)
    return lambda: to.copy_(frm)


def _kernel(writes: int) -> Callable[..., None]:
    """A step's pattern in memory, arrays updated in place from one that is only read, with the cheapest arithmetic."""
    import numba

    def two(g: Any, p: Any, m: Any) -> None:
        for i in range(g.size):
            p[i] ^= g[i]
            m[i] ^= g[i]

    def three(g: Any, p: Any, m: Any, v: Any) -> None:
        for i in range(g.size):
            p[i] ^= g[i]
            m[i] ^= g[i]
            v[i] ^= g[i]

    compiled: Callable[..., None] = numba.njit(nogil=True)({2: two, 3: three}[writes])
    return compiled


def _in_threads(pool: ThreadPoolExecutor, function: Callable[..., object], streams: list[Any]) -> Action:
    """Call `function` on equal parts of the arrays, one part per thread, the first in this one."""
    if sum(x.nbytes for x in streams) < SERIAL:
        return lambda: function(*streams)
    mine, *others = zip(*(np.array_split(x, THREADS) for x in streams), strict=True)

    def run() -> None:
        waiting = [pool.submit(function, *part) for part in others]
        function(*mine)
        for future in waiting:
            future.result()

    return run
