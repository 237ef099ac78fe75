"""What a step has to know of torch beyond the array standard."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from samestep.libraries import Library
from samestep.pinned import Pinned

from . import namespace

wrapped = torch._C._functorch.is_functorch_wrapped_tensor


class Torch(Library):
    """Tensors remember how they were made; a step outside autograd leaves no trace of itself in that."""

    def namespace(self, array: Any) -> Any:
        """The standard with the exact operations."""
        return namespace

    def pinned(self, xp: Any) -> Pinned:
        """Torch's own sum has another order."""
        return InOrder(xp)

    def quiet(self) -> AbstractContextManager:
        """Nothing is recorded."""
        return torch.no_grad()

    def refuses(self, arrays: Sequence[Any], role: str) -> tuple[int, str] | None:
        """A gradient (or a slot) that requires grad, a param with a history, what is sparse or inside torch.func."""
        for i, tensor in enumerate(arrays):
            if tensor is None:
                continue
            if wrapped(tensor):
                return i, "is a tensor of torch.func: a step under torch.vmap or torch.func.grad is not supported yet"
            if tensor.layout is not torch.strided:
                return i, f"is {tensor.layout}: call .to_dense() on it"
            if tensor.requires_grad and not (role == "param" and tensor.is_leaf):
                found = f"has a history ({tensor.grad_fn.name()})" if tensor.grad_fn is not None else "requires grad"
                return i, (
                    f"{found}: a step that autograd records is not supported yet, and this one would drop it silently. "
                    "Call .detach() on it; where it comes from loss.backward(create_graph=True), leave that out"
                )
        return None

    def kind(self, array: Any) -> Any:
        """Its type, device and layout."""
        return type(array), array.device, array.layout

    def memory(self, array: Any) -> np.ndarray | None:
        """As it lies there: conjugation and negation that are still pending are left out."""
        if array.device.type != "cpu" or array.layout is not torch.strided or wrapped(array):
            return None
        try:
            plain = array.detach()
            plain = plain.conj() if plain.is_conj() else plain
            plain = torch._neg_view(plain) if plain.is_neg() else plain
            plain = plain.view(torch.int16) if plain.dtype is torch.bfloat16 else plain
            return np.from_dlpack(plain)  # not plain.numpy(): after that, the storage can never be resized again
        except (RuntimeError, TypeError, BufferError):  # a subclass whose memory is elsewhere
            return None

    def keep(self, new: Sequence[Any], old: Sequence[Any]) -> None:
        """`requires_grad`."""
        for fresh, before in zip(new, old, strict=True):
            if before.requires_grad and fresh is not before:
                fresh.requires_grad_()


class InOrder(Pinned):
    """The pinned order, row by row."""

    words = "int64"  # torch has hardly any arithmetic for uint32

    def _lanes(self, tiles: Any) -> Any:
        lanes = tiles[:, 0]
        for row in range(1, tiles.shape[1]):
            lanes = lanes + tiles[:, row]
        return lanes
