"""The torch backends: a program by torch's own operations with the exact bits, or compiled by torch.compile.

Torch comes with its first tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from samestep.backend import Signature, chosen
from samestep.evaluate import Evaluated
from samestep.evaluate import library as package
from samestep.trace.graph import Program

if TYPE_CHECKING:
    from .compiled import CompiledTorch
    from .gpu import TorchGpuMemory
    from .library import Torch
    from .memory import TorchMemory


class EvaluatedTorch(Evaluated):
    """Torch's own operations. It also says what others have to know of torch: its library, and its memory."""

    def __init__(self) -> None:
        super().__init__("torch")

    def arrays(self) -> Any:
        """The standard over torch, with the exact operations."""
        from . import namespace

        return namespace

    @cached_property
    def library(self) -> Torch:
        """What torch has beside values: records, `requires_grad`, devices."""
        from .library import Torch

        return Torch()

    @cached_property
    def host_memory(self) -> TorchMemory:
        """How kernels reach CPU tensors."""
        from .memory import TorchMemory

        return TorchMemory()

    @cached_property
    def device_memory(self) -> TorchGpuMemory:
        """How CUDA kernels reach tensors of GPUs."""
        from .gpu import TorchGpuMemory

        return TorchGpuMemory()


class TorchCompile:
    """The same stages through torch.compile: what CUDA tensors run where there is no CuPy, and others if asked to."""

    name = "torch-compile"
    rank = 50
    slow = "compile"
    exceptions = {"sums": "torch.compile orders a sum of float64 as it likes"}  # noqa: RUF012

    def __init__(self, by_itself: bool = False) -> None:
        self.by_itself = by_itself  # whether it is chosen without being asked for

    def __repr__(self) -> str:
        return "<backend torch-compile>"

    def missing(self) -> str | None:
        """Why it cannot run here."""
        return backend.missing()

    def arrays(self) -> Any:
        """The standard over torch."""
        return backend.arrays()

    def accepts(self, array: Any) -> bool:
        """Plain tensors."""
        return package(array) == "torch" and type(array).__module__ in ("torch", "torch.nn.parameter")

    def on(self, array: Any) -> TorchCompile:
        """Itself, as it is on the device of arrays like this one."""
        return ON_GPUS if array.device.type == "cuda" else self

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """The CPU, unless asked for there."""
        if not self.by_itself and chosen() != self.name:
            return "it takes long to compile, and other kernels are faster on a CPU: use_backend('torch-compile')"
        return None

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> CompiledTorch:
        """Print the stages; they are compiled with the first step."""
        from .compiled import CompiledTorch

        return CompiledTorch(program, signature)

    def compilations(self) -> int:
        """How many stages went to the compiler."""
        from .compiled import compilations

        return len(compilations)


backend = EvaluatedTorch()
torch_compile = TorchCompile()
ON_GPUS = TorchCompile(by_itself=True)
