"""The torch backend: a program by torch's own operations, with the exact bits; torch comes with its first tensor."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from samestep.evaluate import Evaluated

if TYPE_CHECKING:
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


backend = EvaluatedTorch()
