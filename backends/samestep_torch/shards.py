"""DTensors: every process computes with its own shards, and only sums meet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch

from samestep.errors import LeafError
from samestep.libraries import Parts


def is_sharded(x: Any) -> bool:
    """Whether it is a DTensor, replicated or not."""
    module = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(x, module.DTensor)


class Shards(Parts):
    """Leaves of which some are DTensors; `whole` ones are gathered before the step and sharded again after it."""

    def __init__(self, params: Sequence[Any], whole: bool) -> None:
        self.params, self.whole = params, whole
        self.homes: dict[tuple, list[int]] = {}  # the leaves of each mesh and the dimensions over which they are split
        for i, p in enumerate(params):
            if is_sharded(p) and not whole:
                if any(place.is_partial() for place in p.placements):
                    raise LeafError(f"a param is a DTensor of partial sums, {p.placements}: redistribute it")
                split = tuple(d for d, place in enumerate(p.placements) if not place.is_replicate())
                if split:
                    self.homes.setdefault((p.device_mesh, split), []).append(i)

    def enter(self, arrays: dict[str, list]) -> dict[str, list]:
        """The shards that this process has."""
        pairs = {name: zip(values, self.params, strict=True) for name, values in arrays.items()}
        return {name: [self._entered(x, p) for x, p in each] for name, each in pairs.items()}

    def _entered(self, x: Any, p: Any) -> Any:
        if self.whole or not is_sharded(p):
            return x.full_tensor() if is_sharded(x) else x
        if not is_sharded(x):
            raise LeafError(
                f"a param is a DTensor, {p.placements}, and its gradient or slot is none: "
                "make it one with torch.distributed.tensor.distribute_tensor"
            )
        return x.redistribute(p.device_mesh, p.placements).to_local()

    def join(self, ops: Sequence[str], found: list[Sequence[Any]]) -> list[Sequence[Any]]:
        """One exchange for all leaves of a mesh, as tensors: nothing is fetched, and all processes find the same."""
        found = list(found)
        for (mesh, split), places in self.homes.items() if ops else ():
            device = self.params[places[0]].to_local().device
            terms = [torch.as_tensor(x, dtype=torch.float64, device=device) for i in places for x in found[i]]
            if any(x.requires_grad for x in terms):
                raise LeafError("a step that sums over shards cannot be recorded: call it under torch.no_grad()")
            row = torch.stack(terms).reshape(1, len(places), len(ops))
            for dim in split:
                row = _joined(ops, _gathered(row, mesh, dim))
            for k, i in enumerate(places):
                found[i] = row[0, k].unbind()
        return found

    def leave(self, new: list, old: list) -> list:
        """With the placements of the old ones."""
        return [self._left(x, before) for x, before in zip(new, old, strict=True)]

    def _left(self, x: Any, old: Any) -> Any:
        from torch.distributed.tensor import DTensor, Replicate

        if not is_sharded(old):
            return x
        mesh, places = old.device_mesh, old.placements
        if not self.whole:
            return DTensor.from_local(x, mesh, places, run_check=False, shape=old.shape, stride=old.stride())
        everywhere = DTensor.from_local(x, mesh, [Replicate()] * mesh.ndim, run_check=False)
        return everywhere.redistribute(mesh, places)


def _gathered(row: torch.Tensor, mesh: Any, dim: int) -> torch.Tensor:
    """The rows of all processes along one dimension of a mesh."""
    rows = [torch.empty_like(row) for _ in range(mesh.size(dim))]
    torch.distributed.all_gather(rows, row, group=mesh.get_group(dim))
    return torch.cat(rows)


def _joined(ops: Sequence[str], rows: torch.Tensor) -> torch.Tensor:
    columns = {"max": rows.amax(0), "min": rows.amin(0)}
    total = rows.sum(0)
    return torch.stack([columns.get(op, total)[:, k] for k, op in enumerate(ops)], 1)[None]
