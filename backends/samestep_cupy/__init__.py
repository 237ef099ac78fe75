"""The CuPy backend: fused CUDA kernels for CuPy arrays; CuPy is imported with the first question about a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from samestep.backend import Signature, installed
from samestep.evaluate import library as package
from samestep.libraries import Library
from samestep.trace.graph import Program

if TYPE_CHECKING:
    from .compiled import CompiledCuda
    from .device import Memory


def refusal(program: Program, signature: Signature) -> str | None:
    """Why no CUDA kernel is printed for it, or None."""
    from .printer import STORAGE, unspelled

    if program.free:
        return "it reduces over axes or multiplies matrices, which the array library does itself"
    for dtype in (signature.param, signature.grad):
        if dtype not in STORAGE:
            return f"kernels do not read {dtype}"
    lacking = unspelled(program)
    return f"no kernel spelling of {', '.join(sorted(lacking))}" if lacking else None


class OnGpus(Library):
    """CuPy's arrays: NumPy cannot see them, and is not asked for each."""

    def owns(self, array: Any) -> bool:
        """CuPy's own."""
        return package(array) == "cupy"

    def memory(self, array: Any) -> None:
        """None: of two arrays only their identity is known."""


def guest(array: Any) -> Memory | None:
    """How kernels reach arrays like this one, if it is another library's and on a GPU."""
    for other in installed():
        if hasattr(type(other), "device_memory") and other.accepts(array):
            memory: Memory = other.device_memory  # type: ignore[attr-defined]
            return memory if memory.accepts(array) else None
    return None


class Cupy:
    """Runs every elementwise or fully reducing program on CuPy arrays, and on those of others that lie on a GPU.

    A step with sums waits for them once a stage: numbers of a step, totals among them, are computed by the host.
    """

    name = "cupy"
    language = "cuda"
    rank = 100
    library = OnGpus()

    def __init__(self, memory: Memory | None = None) -> None:
        self.memory = memory  # None: CuPy's own arrays

    def __repr__(self) -> str:
        return "<backend cupy>"

    def on(self, array: Any) -> Cupy:
        """As it is for arrays like this one."""
        memory = None if package(array) == "cupy" else guest(array)
        return Cupy(memory) if memory is not None else self

    def missing(self) -> str | None:
        """Why it cannot run here."""
        if find_spec("cupy") is None:
            return "cupy is not installed: pip install samestep[cupy13], or samestep[cupy12] for CUDA 12"
        try:
            cuda = import_module("cupy").cuda
        except ImportError as error:
            return f"cupy cannot be imported: {error}"
        if cuda.runtime.is_hip:
            return "this CuPy is for ROCm, and the kernels are CUDA"
        return None if cuda.is_available() else "CUDA finds no GPU"

    def arrays(self) -> Any:
        """CuPy."""
        return import_module("cupy")

    def accepts(self, array: Any) -> bool:
        """CuPy arrays, and those of libraries that have `device_memory`."""
        return package(array) == "cupy" or guest(array) is not None

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """Other shapes than the leaf's, dtypes and operations that have no spelling."""
        return refusal(program, signature)

    def kernels(self, program: Program, signature: Signature) -> str:
        """The source of the kernels."""
        from samestep.trace.stages import Stages

        from .printer import KernelPrinter

        return KernelPrinter(program, signature, Stages(program).columns).source()[0]

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> CompiledCuda:
        """Print the kernels; they are compiled with the first step, for the GPU that has the arrays."""
        from .compiled import CompiledCuda
        from .device import Gpu, Guest

        return CompiledCuda(program, signature, shapes, Gpu() if self.memory is None else Guest(self.memory))


backend = Cupy()
