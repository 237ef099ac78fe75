"""What a step has to know of torch beyond the array standard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
import torch.autograd.forward_ad as forward_ad
from torch._guards import TracingContext
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor

from samestep.errors import LeafError
from samestep.libraries import Library, Parts
from samestep.pinned import Deferred, Pinned

from . import dynamo, namespace, recording
from .shards import Shards, is_sharded

functorch = torch._C._functorch
wrapped = functorch.is_functorch_wrapped_tensor


class Torch(Library):
    """Tensors remember how they were made; a step outside autograd leaves no trace of itself in that."""

    def __init__(self) -> None:
        dynamo.announce()

    def namespace(self, array: Any) -> Any:
        """The standard with the exact operations; of what has a history, with those that record."""
        return recording if self.defers((), [array]) else namespace

    def pinned(self, xp: Any) -> Pinned:
        """Torch's own sum has another order."""
        return InOrder(xp)

    def inline(self, array: Any) -> tuple[Any, Pinned]:
        """Operations that record; sums in torch's own order."""
        return recording, Summed(recording)

    @property
    def spelling(self) -> Mapping[str, str]:
        """With the derivatives that `recording` has."""
        return recording.SPELLING

    def quiet(self) -> AbstractContextManager:
        """Nothing is recorded."""
        return torch.no_grad()

    def defers(self, values: Iterable[Any], params: Iterable[Any] = ()) -> bool:
        """What is recorded, what torch.compile traces, and what is spread over processes."""
        values, params = list(values), list(params)
        return _recorded(values, params) or any(_traced(x) or is_sharded(x) for x in (*values, *params))

    def records(self, values: Iterable[Any], params: Iterable[Any] = ()) -> bool:
        """What is recorded, if gradients are not switched off."""
        return torch.is_grad_enabled() and _recorded(values, params)

    def laid(self, new: Any, old: Any) -> Any:
        """With its strides: factors come column by column."""
        return new if new.stride() == old.stride() else torch.empty_like(old, requires_grad=False).copy_(new)

    def put(self, new: Any, old: Any) -> Any:
        """Copied."""
        return old.copy_(new)

    def parts(self, params: Sequence[Any], whole: bool) -> Parts:
        """DTensors are computed shard by shard."""
        return Shards(params, whole) if any(map(is_sharded, params)) else Parts()

    def carry(self, number: Any) -> Any:
        """Functions that torch.func transforms return tensors only; what torch.compile knows will be unknown later."""
        inside = functorch.maybe_current_level() is not None
        if isinstance(number, int):
            return torch.tensor(number, dtype=torch.int32) if inside else number
        return torch.tensor(number, dtype=torch.float64) if inside or TracingContext.try_get() is not None else number

    def refuses(self, arrays: Sequence[Any], role: str) -> tuple[int, str] | None:
        """What is sparse."""
        for i, tensor in enumerate(arrays):
            if tensor is not None and tensor.layout is not torch.strided:
                return i, f"is {tensor.layout}: call .to_dense() on it"
        return None

    def kind(self, array: Any) -> Any:
        """Its type, device and layout."""
        return type(array), array.device, array.layout

    def memory(self, array: Any) -> np.ndarray | None:
        """As it lies there: conjugation and negation that are still pending are left out."""
        if array.device.type != "cpu" or array.layout is not torch.strided or wrapped(array) or _traced(array):
            return None
        try:
            plain = array.detach()
            plain = plain.to_local() if is_sharded(plain) else plain
            plain = plain.conj() if plain.is_conj() else plain
            plain = torch._neg_view(plain) if plain.is_neg() else plain
            plain = plain.view(torch.int16) if plain.dtype is torch.bfloat16 else plain
            return np.from_dlpack(plain)  # not plain.numpy(): after that, the storage can never be resized again
        except (RuntimeError, TypeError, BufferError):  # a subclass whose memory is elsewhere
            return None

    def rows(self, gradient: Any) -> tuple[Any, Any] | None:
        """Of a sparse COO tensor."""
        if not isinstance(gradient, torch.Tensor) or gradient.layout is not torch.sparse_coo:
            return None
        if gradient.sparse_dim() != 1:
            raise LeafError(
                f"the gradient is a sparse COO tensor with {gradient.sparse_dim()} sparse axes; rows are sparse along "
                "the first axis alone: call .to_dense() on it, or make a samestep.RowSparse"
            )
        return gradient._indices()[0], gradient._values()

    def joined(self, pairs: Any, old: Any, donate: bool) -> Any:
        """The two floats of an entry lie side by side."""
        found = torch.view_as_complex(pairs.contiguous())
        return old.copy_(found) if donate else found

    def locked(self, array: Any) -> str | None:
        """Tensors of inference mode are written to inside of it alone."""
        if array.is_inference() and not torch.is_inference_mode_enabled():
            return "was made under torch.inference_mode() and cannot be donated outside of it: pass .clone() of it"
        return None

    def keep(self, new: list, old: Sequence[Any]) -> None:
        """`requires_grad` and strides; what torch.compile lets out is no leaf, and would keep steps before it alive."""
        for i, (fresh, before) in enumerate(zip(new, old, strict=True)):
            if fresh is before or _traced(fresh):
                continue
            if not before.is_contiguous() and fresh.stride() != before.stride():
                fresh = new[i] = torch.empty_like(before, requires_grad=False).copy_(fresh)
            if before.requires_grad:
                fresh.requires_grad_()


def _recorded(values: Iterable[Any], params: Iterable[Any]) -> bool:
    """A gradient, slot or number that requires grad, a param with a history, all inside torch.func or forward mode."""
    tensors = [x for x in values if isinstance(x, torch.Tensor)]
    if pushes() or any(x.requires_grad or wrapped(x) for x in tensors):
        return True
    return any(_has_history(x) or wrapped(x) for x in params if isinstance(x, torch.Tensor))


def pushes() -> bool:
    """Whether autograd takes derivatives forward, beside the values, of which a tensor does not show a sign."""
    return getattr(forward_ad, "_current_level", -1) >= 0


def _has_history(x: torch.Tensor) -> bool:
    """Not what torch.compile takes for the input of a graph, which is no leaf to it either."""
    return x.grad_fn is not None and x.grad_fn.name() != "torch::autograd::Error"


def _traced(x: Any) -> bool:
    """What stands for a tensor or a number while torch.compile looks at a function."""
    return isinstance(x, FakeTensor | FunctionalTensor | torch.SymInt | torch.SymFloat)


class InOrder(Pinned):
    """The pinned order, row by row."""

    words = "int64"  # torch has hardly any arithmetic for uint32

    def _lanes(self, tiles: Any) -> Any:
        lanes = tiles[:, 0]
        for row in range(1, tiles.shape[1]):
            lanes = lanes + tiles[:, row]
        return lanes


class Summed(Deferred):
    """Sums in the order that torch likes: what can be derived and compiled best."""

    words = InOrder.words

    def _tiles(self, x: Any) -> Any:
        return self.xp.sum(x)
