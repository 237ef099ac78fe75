"""Backends that run a program by the array library's own operations, straight-line, one leaf after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import array_api_compat
import numpy as np

from . import libraries
from .backend import Compiled, Signature, installed
from .trace.graph import Node, Program
from .trace.python import PYTHON, ArrayPrinter, compile_stage
from .trace.stages import Stages

# Operations whose results may share memory with their argument.
VIEWS = ("reshape", "permute_dims", "matrix_transpose", "expand_dims", "squeeze", "flip", "item", "index")


def may_share(node: Node) -> bool:
    """Whether its array may lie in the memory of another: an input, a view, or an argument that is handed on.

    Of a `where` that is one, if its condition is known; inputs come out of it as the objects that they are.
    """
    if node.op in ("rounded", "rounded_by"):
        return may_share(node.args[0])
    if node.op == "where":
        return any(a.op != "input" and may_share(a) for a in node.args[1:])
    return node.op in ("input", *VIEWS)


def library(array: Any) -> str:
    """The package whose arrays these are."""
    kind: Any = type(array)
    return "numpy" if isinstance(array, np.ndarray | np.generic) else _package(kind)


@lru_cache
def _package(kind: Any) -> str:
    """The package of the class that made it an array: a subclass from elsewhere belongs to the same library."""
    arrays = [base for base in kind.__mro__ if "dtype" in vars(base)]
    return (arrays[-1] if arrays else kind).__module__.partition(".")[0]


class Evaluated:
    """A library's own operations. `package` is the library, `name` what the backend is called."""

    rank = 0
    language: str | None = None

    def __init__(self, package: str, name: str | None = None, spelling: Mapping[str, str] | None = None) -> None:
        self.package = package
        self.name = name or package
        self.spelling = spelling

    def __repr__(self) -> str:
        return f"Evaluated({self.package!r})"

    def missing(self) -> str | None:
        """Why it cannot run here."""
        return None if find_spec(self.package) else f"{self.package} is not installed"

    def arrays(self) -> Any:
        """The library's namespace."""
        return import_module(self.package)

    def accepts(self, array: Any) -> bool:
        """Arrays of the library."""
        return library(array) == self.package

    def refuses(self, program: Program, signature: Signature) -> str | None:
        """Nothing: what the library lacks, it says itself."""
        return None

    def kernels(self, program: Program, signature: Signature) -> str:
        """The source of the stages."""
        printer = ArrayPrinter(signature.param, self.spelling or PYTHON)
        return "\n".join(printer.function(stage) for stage in Stages(program).carrying)

    def compile(self, program: Program, signature: Signature, shapes: Sequence[tuple[int, ...]]) -> Compiled:
        """Print the stages as Python."""
        return CompiledEvaluated(program, signature, self.spelling)


class CompiledEvaluated:
    """Stage functions over `xp`, spelled as it needs."""

    spelling: Mapping[str, str] = PYTHON

    def __init__(
        self, program: Program, signature: Signature, spelling: Mapping[str, str] | None = None
    ) -> None:  # fmt: skip
        self.signature = signature
        self.stages = Stages(program).carrying
        spelled = spelling or self.spelling
        self.functions: dict[tuple, Any] = {
            (level, ()): compile_stage(stage, signature.param, spelled)
            for level, stage in enumerate(self.stages)
            if not stage.gates
        }
        self.spelled = spelled
        self.copied = {name for name, node in self.stages[-1].stores if may_share(node)}  # results never alias
        self.constants = {n.index: n.attr for n in program.nodes if n.op == "const"}

    def function(self, level: int, values: Mapping[int, Any]) -> Any:
        """A stage without what the conditions that are known here drop, such as a factorisation that is not due."""
        gates = self.stages[level].gates
        known = tuple((n.index, values[n.index]) for n in gates if isinstance(values[n.index], bool))
        if (level, known) not in self.functions:
            stage = self.stages[level].under(dict(known))
            self.functions[level, known] = compile_stage(stage, self.signature.param, self.spelled)
        return self.functions[level, known]

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundEvaluated:
        """Take this step's arrays."""
        return BoundEvaluated(self, arrays, donate)


class BoundEvaluated:
    """One step of the leaves of one program."""

    def __init__(self, compiled: CompiledEvaluated, arrays: dict[str, list], donate: bool) -> None:
        self.compiled = compiled
        self.arrays = arrays
        self.donate = donate
        self.library = libraries.of(arrays["p"][0])
        self.xp = self.library.namespace(arrays["p"][0])
        self.dtype = getattr(self.xp, compiled.signature.compute)
        self.pinned = self.library.pinned(self.xp)
        self.results: list[dict[str, Any]] | None = None

    @cached_property
    def leaves(self) -> list[dict[Any, Any]]:
        """Of each leaf the arrays by name, in the compute dtype; and by index what stages keep for later ones."""
        return [self._computed(i) for i in range(len(self.arrays["p"]))]

    def _computed(self, i: int) -> dict[Any, Any]:
        return {name: self._cast(self.xp.asarray(leaves[i]), self.dtype) for name, leaves in self.arrays.items()}

    def _cast(self, x: Any, dtype: Any) -> Any:
        with np.errstate(all="ignore"):
            return x if x.dtype == dtype else self.xp.astype(x, dtype)

    def sums(self, level: int, hosts: Any, rows: Any, leaves: Any) -> Any:
        """Run one stage on every leaf and keep what later stages need."""
        found = np.empty((len(self.leaves), len(self.compiled.stages[level].sums)))
        for i, row in enumerate(rows):
            found[i] = self.advance(level, i, self._read(level, hosts[row], leaves[i]))
        return found

    def advance(self, level: int, i: int, values: Mapping[int, Any]) -> Any:
        """Run one stage on a leaf with these numbers; keep what later stages need, and return the sums."""
        found, kept = self._run(level, i, values)
        self.leaves[i].update(kept)
        return found

    def prepare(self, level: int, hosts: Any, rows: Any, leaves: Any) -> None:
        """Run the last stage on every leaf and round; nothing is written yet."""
        found = [self.finish(level, i, self._read(level, hosts[row], leaves[i])) for i, row in enumerate(rows)]
        self.results = found

    def finish(self, level: int, i: int, values: Mapping[int, Any]) -> dict[str, Any]:
        """Run the last stage on a leaf with these numbers, and round."""
        found = self._run(level, i, values)[1]
        seen = {id(x) for x in self.leaves[i].values()}
        for name, _ in self.compiled.stages[level].stores:
            aliases = name in self.compiled.copied or id(found[name]) in seen
            seen.add(id(found[name]))
            found[name] = self._rounded(name, found[name], i, aliases)
        return found

    def store(self, level: int, hosts: Any, rows: Any, leaves: Any) -> dict[str, list]:
        """The new arrays; written into the donated ones where they can be written."""
        if self.results is None:
            self.prepare(level, hosts, rows, leaves)
        assert self.results is not None
        stored: dict[str, list] = {}
        for name, _ in self.compiled.stages[level].stores:
            values = [result[name] for result in self.results]
            stored[name] = [self._placed(v, old) for v, old in zip(values, self.arrays[name], strict=True)]
        return stored

    def _read(self, level: int, hosts: Any, leaves: Any) -> dict[int, float | bool]:
        stage = self.compiled.stages[level]
        found = [*zip(stage.hosts, hosts, strict=True), *zip(stage.leaves, leaves, strict=True)]
        return {node.index: bool(value) if node.kind.truth else float(value) for node, value in found}

    def _run(self, level: int, i: int, values: Mapping[int, Any]) -> tuple[Any, dict]:
        like = self.leaves[i]["p"]
        numbers = {index: self._number(x, like) for index, x in {**self.compiled.constants, **values}.items()}
        with np.errstate(all="ignore"):
            return self.compiled.function(level, values)(self.xp, self.pinned, like.shape, self.leaves[i], numbers)

    def _number(self, value: Any, like: Any) -> Any:
        """A number rounded once; one that is not known yet is a 0-d array already."""
        if hasattr(value, "dtype"):
            return value if value.dtype == self.xp.bool else self._cast(value, self.dtype)
        dtype = self.xp.bool if isinstance(value, bool) else self.dtype
        with np.errstate(all="ignore"):
            return self.xp.asarray(value, dtype=dtype, device=self.library.device(like))

    def _rounded(self, name: str, value: Any, i: int, aliases: bool) -> Any:
        """In the dtype of its place, which NumPy has in native byte order."""
        dtype = self.dtype
        if name == "p":
            dtype = getattr(self.xp, self.compiled.signature.param, self.arrays["p"][i].dtype)
        return self._cast(self.xp.asarray(value, copy=True if aliases else None), dtype)

    def _placed(self, value: Any, old: Any) -> Any:
        if not self.donate or not array_api_compat.is_writeable_array(old):
            return self.library.laid(value, old)
        old[...] = value
        return old


numpy = Evaluated("numpy")
numpy.language = "python"  # the stages as they are, in no library's own spelling


def own(array: Any) -> Evaluated:
    """What evaluates arrays like this one by their own library: its registered backend, which knows its ways."""
    known = (b for b in installed() if isinstance(b, Evaluated) and b.rank == Evaluated.rank and b.accepts(array))
    return next(known, Evaluated(library(array)))
