"""Backends that run a program by the array library's own operations, straight-line, one leaf after another."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import array_api_compat
import numpy as np

from .backend import Signature
from .pinned import Pinned
from .trace.graph import Program
from .trace.python import compile_stage
from .trace.stages import Stages

VIEWS = ("reshape", "permute_dims", "matrix_transpose", "item")  # results that may share memory with their argument


def library(array: Any) -> str:
    """The package whose arrays these are."""
    return type(array).__module__.split(".")[0]


class Evaluated:
    """A library's own operations. `package` is the library, `name` what the backend is called."""

    rank = 0

    def __init__(self, package: str, name: str | None = None) -> None:
        self.package = package
        self.name = name or package

    def __repr__(self) -> str:
        return f"Evaluated({self.package!r})"

    def missing(self) -> str | None:
        """Why it cannot run here."""
        return None if find_spec(self.package) else f"{self.package} is not installed"

    def accepts(self, array: Any) -> bool:
        """Arrays of the library."""
        return library(array) == self.package

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """Nothing: what the library lacks, it says itself."""
        return None

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> CompiledEvaluated:
        """Print the stages as Python."""
        return CompiledEvaluated(program, signature)


class CompiledEvaluated:
    """Stage functions over `xp`."""

    def __init__(self, program: Program, signature: Signature) -> None:
        self.signature = signature
        self.stages = Stages(program).carrying
        self.functions = [compile_stage(stage) for stage in self.stages]
        self.constants = {n.index: n.attr for n in program.nodes if n.op == "const"}

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundEvaluated:
        """Take this step's arrays."""
        return BoundEvaluated(self, arrays, donate)


class BoundEvaluated:
    """One step of the leaves of one program."""

    def __init__(self, compiled: CompiledEvaluated, arrays: dict[str, list], donate: bool) -> None:
        self.compiled = compiled
        self.arrays = arrays
        self.donate = donate
        self.xp = array_api_compat.array_namespace(arrays["p"][0])
        self.dtype = getattr(self.xp, compiled.signature.compute)
        self.pinned = Pinned(self.xp)
        self.leaves: list[dict[Any, Any]] = [self._computed(i) for i in range(len(arrays["p"]))]

    def _computed(self, i: int) -> dict[Any, Any]:
        return {name: self._cast(leaves[i], self.dtype) for name, leaves in self.arrays.items()}

    def _cast(self, x: Any, dtype: Any) -> Any:
        return x if x.dtype == dtype else self.xp.astype(x, dtype)

    def sums(self, level: int, hosts: Any, rows: Any, leaves: Any) -> Any:
        """Run one stage on every leaf and keep what later stages need."""
        found = np.empty((len(self.leaves), len(self.compiled.stages[level].sums)))
        for i, arrays in enumerate(self.leaves):
            found[i], kept = self._run(level, i, hosts[rows[i]], leaves[i])
            arrays.update(kept)
        return found

    def store(self, level: int, hosts: Any, rows: Any, leaves: Any) -> dict[str, list]:
        """Run the last stage; write into donated arrays only once every leaf has been computed."""
        results = [self._run(level, i, hosts[rows[i]], leaves[i])[1] for i in range(len(self.leaves))]
        stored: dict[str, list] = {name: [] for name, _ in self.compiled.stages[level].stores}
        for i, result in enumerate(results):
            seen = {id(x) for x in self.leaves[i].values()}
            for name, node in self.compiled.stages[level].stores:
                aliases = id(result[name]) in seen or node.op in VIEWS  # state never aliases
                seen.add(id(result[name]))
                stored[name].append(self._finish(result[name], self.arrays[name][i], aliases))
        return stored

    def _run(self, level: int, i: int, hosts: Any, leaves: Any) -> tuple[Any, dict]:
        stage = self.compiled.stages[level]
        like = self.leaves[i]["p"]
        numbers = {index: self._number(value, like) for index, value in self.compiled.constants.items()}
        for node, value in [*zip(stage.hosts, hosts, strict=True), *zip(stage.leaves, leaves, strict=True)]:
            numbers[node.index] = self._number(bool(value) if node.kind.truth else value, like)
        with np.errstate(all="ignore"):
            return self.compiled.functions[level](self.xp, self.pinned, like.shape, self.leaves[i], numbers)

    def _number(self, value: Any, like: Any) -> Any:
        dtype = self.xp.bool if isinstance(value, bool) else self.dtype
        with np.errstate(all="ignore"):
            return self.xp.asarray(
                value if dtype is self.xp.bool else float(value), dtype=dtype, device=self._device(like)
            )

    @staticmethod
    def _device(like: Any) -> Any:
        return array_api_compat.device(like)

    def _finish(self, value: Any, old: Any, aliases: bool) -> Any:
        """Round to the dtype of the old array; write in place when it was donated and can be written."""
        with np.errstate(all="ignore"):
            value = self._cast(self.xp.asarray(value, copy=True if aliases else None), old.dtype)
        if not self.donate or not array_api_compat.is_writeable_array(old):
            return value
        old[...] = value
        return old


numpy = Evaluated("numpy")
