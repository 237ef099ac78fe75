"""What a step will do, before it is taken: backend, reason, stages, bytes, class of exactness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import params as trees
from .backend import registered
from .errors import TreeError, names
from .optimizer import Optimizer
from .plan import Batch, bytes_per_parameter


@dataclass(frozen=True)
class Line:
    """A group of leaves that run alike."""

    paths: tuple[str, ...]
    backend: str
    reason: str
    stages: int
    bytes: int
    exactness: str

    def __str__(self) -> str:
        shown = names(self.paths, limit=3)
        return (
            f"{len(self.paths)} leaves ({shown}): {self.backend} ({self.reason}); {self.stages} stage(s), "
            f"{self.bytes} bytes per parameter, {self.exactness}"
        )


@dataclass(frozen=True)
class Explanation:
    """One line per group of leaves; printable."""

    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))

    __repr__ = __str__

    def backend(self, path: str) -> str:
        """The backend of the leaf with this path; "" for a frozen one.

        Raises:
            TreeError: there is no such leaf.
        """
        for line in self.lines:
            if path in line.paths:
                return line.backend
        raise TreeError(
            f"no leaf has the path {path!r}; the paths are {names(p for line in self.lines for p in line.paths)}"
        )


def explain(optimizer: Optimizer, params: Any) -> Explanation:
    """Say how a step on these params will run.

    Args:
        optimizer: the optimizer.
        params: the params, as for `init`.

    Raises:
        LeafError: a leaf is no floating array, or two belong to two libraries.
        ChainError: a pattern of the groups matches nothing.
        BackendError: the backend that `use_backend` asks for does not run this.

    >>> import numpy as np, samestep as ss
    >>> with ss.use_backend("numpy"):
    ...     print(ss.explain(ss.lion(), {"w": np.zeros(3, np.float32)}))
    1 leaves ('w'): numpy (asked for by use_backend('numpy')); 1 stage(s), 20 bytes per parameter, exact
    """
    leaves, spec = trees.flatten(params)
    plan = optimizer.stepper.plan(spec, leaves, leaves)
    paths = trees.paths(spec)
    lines = [
        _line(batch, tuple(paths[i] for i in batch.leaves), plan.leaves[batch.leaves[0]]) for batch in plan.batches
    ]
    frozen = tuple(path for path, program in zip(paths, plan.programs, strict=True) if program is None)
    if frozen:
        lines.append(Line(frozen, "", "frozen", 0, 0, "exact"))
    return Explanation(tuple(lines))


def _line(batch: Batch, paths: tuple[str, ...], leaf: Any) -> Line:
    program, choice = batch.program, batch.choice
    stages = sum(not stage.empty for stage in batch.compiled.stages)
    # Of a library that no backend answers for, only what its operations happen to give is known.
    exactness = program.exactness if registered(choice.backend) else "not vouched for"
    return Line(paths, choice.backend.name, choice.reason, stages, bytes_per_parameter(program, leaf), exactness)
