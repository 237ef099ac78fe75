"""CPU tensors as kernels reach them: where they lie, whether they are plain, and what torch is told afterwards.

Asking each tensor for its type, dtype, shape, strides and so on takes milliseconds for a thousand leaves; torch's own
guard, which torch.compile runs before every call, compares all of it in one call. What it was made from is asked in
full; where this torch has no such guard, every look asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from samestep.errors import LeafError

from .library import pushes, wrapped

PLAIN = (torch.Tensor, torch.nn.Parameter)  # other types may mean anything by their memory
address = torch.Tensor.data_ptr


class TorchMemory:
    """Tensors of the CPU."""

    library = "torch"
    dtypes: tuple[str, ...] = ("bfloat16", "float16", "float32", "float64")

    def accepts(self, array: Any) -> bool:
        """Dense tensors of the CPU, and neither of a subclass nor inside torch.func: what is not plain is copied."""
        return type(array) in PLAIN and array.is_cpu and array.layout is torch.strided and not wrapped(array)

    def layout(self, expected: Sequence[Any]) -> Layout:
        """Looks with torch's guard."""
        return Layout(expected)

    def plain(self, array: Any, dtype: str) -> Any:
        """The tensor itself, or a contiguous copy."""
        if not array.is_cpu:
            raise LeafError(f"a tensor lies on {array.device}, its param on the cpu: all of one leaf lie on one device")
        wanted = getattr(torch, dtype)
        simple = type(array) in PLAIN and array.is_contiguous() and array.data_ptr() % array.itemsize == 0
        if simple and array.dtype is wanted and not (array.is_conj() or array.is_neg()):
            return array
        copied = torch.empty(array.shape, dtype=wanted)
        copied.copy_(array)  # which a subclass would return as one of its own
        return copied

    def wrap(self, arrays: list[np.ndarray], dtype: str) -> list:
        """Tensors that keep the arrays alive, so that their memory is free when all tensors on it are gone."""
        tensors = list(map(torch.from_numpy, arrays))
        return [tensor.view(torch.bfloat16) for tensor in tensors] if dtype == "bfloat16" else tensors

    def written(self, lists: Sequence[list]) -> None:
        """Autograd then refuses to go back through what saved the old values, as after any write in place."""
        for tensors in lists:
            torch.autograd.graph.increment_version(tensors)


class Layout:
    """What a list of tensors is expected to be."""

    def __init__(self, expected: Sequence[Any]) -> None:
        self.names = [e.name for e in expected]
        self.shapes = [torch.Size(e.shape) for e in expected]
        self.dtypes = [getattr(torch, e.dtype) for e in expected]
        self.filled = np.array([shape.numel() > 0 for shape in self.shapes], bool)
        self.odd = np.array([dtype.itemsize - 1 for dtype in self.dtypes], np.int64)
        self.guard: Callable[[list], bool] | None = None

    def gather(self, leaves: list, out: np.ndarray, writeable: int = 0) -> int:
        """Write the address of each tensor to `out`, and return -1, or the index of the first that is not plain."""
        if pushes():
            return 0 if leaves else -1
        guard = self.guard  # replaced whole: another thread may be looking
        if guard is None or not guard(leaves):
            first = next((i for i in range(len(leaves)) if not self._plain(i, leaves[i])), -1)
            if first >= 0:
                return first
            self.guard = _guard(self.names, leaves)
        found = np.fromiter(map(address, leaves), np.int64, len(leaves))
        bad = ((found == 0) | (found & self.odd != 0)) & self.filled  # freed storage, or odd addresses
        if bad.any():
            return int(np.argmax(bad))
        out[:] = found
        return -1

    def _plain(self, i: int, tensor: Any) -> bool:
        if type(tensor) not in PLAIN or tensor.dtype is not self.dtypes[i] or tensor.shape != self.shapes[i]:
            return False
        if not tensor.is_cpu or tensor.layout is not torch.strided or not tensor.is_contiguous() or wrapped(tensor):
            return False
        if tensor.is_conj() or tensor.is_neg():
            return False
        return not tensor.requires_grad or (self.names[i] == "p" and tensor.is_leaf)  # else autograd records


def _guard(names: Sequence[str], leaves: list) -> Callable[[list], bool] | None:
    """Whether a list is as these leaves are, in a fraction of the time; None where torch cannot tell."""
    if not leaves or not _trusted():
        return None
    guard = _make(leaves)
    with_grad = [i for i, tensor in enumerate(leaves) if tensor.requires_grad]

    def same(tensors: list) -> bool:
        return guard(*tensors) and all(tensors[i].is_leaf for i in with_grad)  # a history is not what guards look at

    return same


def _make(leaves: list) -> Callable[..., bool]:
    from torch._C._dynamo.guards import TensorGuards

    sizes: list[Any] = [list(leaf.shape) for leaf in leaves]
    strides: list[Any] = [list(leaf.stride()) for leaf in leaves]
    return TensorGuards(*leaves, dynamic_dims_sizes=sizes, dynamic_dims_strides=strides).check


_tested: list[bool] = []  # what the first use found


def _trusted() -> bool:
    if not _tested:
        try:
            _tested.append(_self_test())
        except Exception:  # this torch has no such guard, or another
            _tested.append(False)
    return _tested[0]


def _self_test() -> bool:
    """Whether the guard tells apart what makes a difference here, and lets pass what makes none."""
    base = torch.zeros(2, 3)
    guard = _make([base, torch.zeros(1)])
    others = [
        torch.zeros(3, 2), torch.zeros(2, 3, 1), torch.zeros(3, 2).T, torch.zeros(2, 6)[:, ::2], base.double(),
        base.to(torch.int32), torch.zeros(2, 3, requires_grad=True), torch.nn.Parameter(base.clone()),
        torch._neg_view(base), torch.zeros(2, 3, device="meta"), base.to_sparse(), None, np.zeros((2, 3)),
    ]  # fmt: skip
    return guard(torch.ones(2, 3), torch.ones(1)) and not any(guard(other, torch.ones(1)) for other in others)
