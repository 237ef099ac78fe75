"""How long a new process takes to its first step, beside one that only imports Numba and calls one cached kernel."""

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

FIRST_STEP = "first step"
CACHED_KERNEL = "numba cached kernel"

# time.monotonic is one clock for the whole system: the child says when it was done, and its exit is not counted.
STEP_SOURCE = """\
import time
import numpy as np
import samestep as ss
params, grads = [np.ones(64, np.float32)], [np.ones(64, np.float32)]
opt = ss.adamw(1e-3, weight_decay=1e-2)
state = opt.init(params)
params, state = opt.step(params, grads, state, donate=True)
print(time.monotonic())
"""

KERNEL_SOURCE = """\
import time
import numba
import numpy as np

@numba.njit(cache=True, error_model="numpy")
def add(x, y):
    for i in range(x.size):
        x[i] += y[i]

add(np.ones(64, np.float32), np.ones(64, np.float32))
print(time.monotonic())
"""


def interleave(rounds: int) -> Iterator[dict[str, float]]:
    """Yield, for each round, the seconds from start to done of each new process. One of each has warmed the caches."""
    with tempfile.TemporaryDirectory() as folder:
        scripts = {FIRST_STEP: Path(folder, "first_step.py"), CACHED_KERNEL: Path(folder, "cached_kernel.py")}
        scripts[FIRST_STEP].write_text(STEP_SOURCE)
        scripts[CACHED_KERNEL].write_text(KERNEL_SOURCE)  # its cache lies beside it
        for script in scripts.values():
            _seconds(script)
        for _ in range(rounds):
            yield {name: _seconds(script) for name, script in scripts.items()}


def left_out() -> dict[str, str]:
    """What is missing for this comparison."""
    needs = {FIRST_STEP: ("samestep", "numba"), CACHED_KERNEL: ("numba",)}
    return {
        name: f"{module} is not installed"
        for name, modules in needs.items()
        for module in reversed(modules)
        if importlib.util.find_spec(module) is None
    }


def _seconds(script: Path) -> float:
    start = time.monotonic()
    done = subprocess.run([sys.executable, str(script)], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout) - start
