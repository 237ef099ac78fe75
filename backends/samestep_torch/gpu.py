"""CUDA tensors as kernels reach them: on their own GPU, in the order of torch's current stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from samestep.errors import LeafError

from .library import wrapped
from .memory import PLAIN


class TorchGpuMemory:
    """Tensors of NVIDIA GPUs."""

    library = "torch"

    def accepts(self, array: Any) -> bool:
        """Dense CUDA tensors, and neither of a subclass nor inside torch.func."""
        if type(array) not in PLAIN or array.device.type != "cuda" or torch.version.cuda is None:
            return False
        return array.layout is torch.strided and not wrapped(array)

    def home(self, array: Any) -> int:
        """The number of the GPU."""
        if array.device.type != "cuda":
            raise LeafError(f"a tensor lies on {array.device}, its param on a GPU: all of one leaf lie on one device")
        return array.device.index

    def stream(self, home: int) -> int:
        """The current stream there, as CUDA knows it."""
        return torch.cuda.current_stream(home).cuda_stream

    def plain(self, array: Any) -> Any:
        """The tensor itself, or a contiguous copy."""
        pending = array.is_conj() or array.is_neg()
        return array if array.is_contiguous() and not pending else array.resolve_conj().resolve_neg().contiguous()

    def fresh(self, array: Any) -> Any:
        """In C order, not initialised."""
        return torch.empty(array.shape, dtype=array.dtype, device=array.device)

    def address(self, array: Any) -> int:
        """On the GPU."""
        return array.data_ptr()

    def written(self, arrays: Sequence[Any]) -> None:
        """Autograd then refuses to go back through what saved the old values."""
        torch.autograd.graph.increment_version(arrays)
