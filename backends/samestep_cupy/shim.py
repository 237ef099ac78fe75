"""The CUDA kernels on the processor: the same source through g++, for NumPy arrays, when asked for by name.

It is there to check that source where there is no GPU, so it is never chosen by itself: one thread, scalar code.
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from samestep.backend import Signature
from samestep.errors import BackendError
from samestep.trace.graph import Program

from . import cache, refusal
from .compiled import CompiledCuda

SHIM = files(__package__).joinpath("shim.h").read_text(encoding="utf-8")
# As NVRTC is told: no contraction. Tables hold addresses of arrays of any type, so types tell nothing of aliases.
OPTIONS = ("-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-strict-aliasing", "-std=c++17", "-fPIC", "-shared")


class Shim:
    """Runs what the CuPy backend runs, on NumPy arrays."""

    name = "cuda-shim"
    rank = -1

    def __repr__(self) -> str:
        return "<backend cuda-shim>"

    def missing(self) -> str | None:
        """Why it cannot run here."""
        return None if shutil.which("g++") else "g++ is not installed, which compiles the CUDA source for the processor"

    def arrays(self) -> Any:
        """NumPy."""
        return np

    def accepts(self, array: Any) -> bool:
        """NumPy arrays."""
        return isinstance(array, np.ndarray)

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """What the CuPy backend refuses."""
        return refusal(program, signature)

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> CompiledCuda:
        """Print the kernels; they are compiled with the first step."""
        return CompiledCuda(program, signature, shapes, Processor())


class Processor:
    """A device that is the processor; every array is at home on it."""

    def home(self, leaves: Sequence[Any]) -> int:
        """There is only one."""
        return 0

    def at(self, home: Any) -> AbstractContextManager:
        """Nothing to do."""
        return nullcontext()

    def load(self, source: str, names: Sequence[str]) -> Mapping[str, Any]:
        """Compile, or take from this process or the disk."""
        module = _module(source)
        return {name: functools.partial(module.launch, ctypes.cast(module[name], ctypes.c_void_p)) for name in names}

    def upload(self, table: np.ndarray) -> np.ndarray:
        """It is there already."""
        return table

    def room(self, size: int) -> np.ndarray:
        """Fresh memory."""
        return np.empty(size)

    def download(self, values: np.ndarray) -> np.ndarray:
        """It is here already."""
        return values

    def launch(self, kernel: Any, blocks: int, tables: Sequence[np.ndarray]) -> None:
        """One block after another."""
        kernel(ctypes.c_longlong(blocks), *(ctypes.c_void_p(table.ctypes.data) for table in tables))

    def plain(self, leaf: Any) -> np.ndarray:
        """Kernels take addresses: contiguous, aligned, in native byte order."""
        return np.require(leaf, leaf.dtype.newbyteorder("="), ["C", "A"])

    def fresh(self, leaf: Any) -> np.ndarray:
        """In C order."""
        return np.empty(leaf.shape, leaf.dtype.newbyteorder("="))

    def address(self, array: np.ndarray) -> int:
        """In memory."""
        return array.ctypes.data

    def written(self, arrays: Sequence[Any]) -> None:
        """NumPy does not ask."""


@functools.cache
def _module(source: str) -> ctypes.CDLL:
    text = SHIM + source
    code = cache.kept("shim", (text, OPTIONS, _compiler()), lambda: _compile(text))
    with tempfile.TemporaryDirectory(prefix="samestep-") as folder:  # once loaded, the file is not needed any more
        path = Path(folder) / "kernel.so"
        path.write_bytes(code)
        return ctypes.CDLL(str(path))


@functools.cache
def _compiler() -> str:
    """Which one it is, and for which machine."""
    return _run("g++", "--version") + _run("g++", "-dumpmachine")


def _compile(text: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="samestep-") as folder:
        path = Path(folder)
        (path / "kernel.cpp").write_text(text, encoding="utf-8")
        _run("g++", *OPTIONS, "-o", str(path / "kernel.so"), str(path / "kernel.cpp"), "-lm")
        return (path / "kernel.so").read_bytes()


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackendError(f"{' '.join(command)} failed:\n{done.stderr}")
    return done.stdout


backend = Shim()
