"""Programs compiled by torch.compile: one graph a stage over all leaves of a device, donated tensors written in it."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from samestep.backend import Signature
from samestep.evaluate import may_share
from samestep.trace.graph import Node, Program
from samestep.trace.python import ArrayPrinter, load
from samestep.trace.stages import Stage, Stages

from . import namespace
from .library import Summed

with warnings.catch_warnings():  # that come of torch using what torch deprecates
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("torch._inductor.compile_fx")

Key = str | int  # an array of the step by its name, or one that an earlier stage made by its index
Layout = tuple[tuple[tuple[int, ...], tuple[int, ...], torch.dtype, torch.device], ...]  # with strides

# Every product and every quotient is rounded, and every cast is made.
EXACT = {"emulate_precision_casts": True, "eager_numerics.division_rounding": True, "eager_numerics.disable_ftz": True}
# Torch keeps what it compiled with the code of a function, few to each: so every layout has a function of its own.
CALL = "def make(run):\n    def call(tensors, numbers):\n        return run(tensors, numbers)\n    return call\n"


@dataclass(frozen=True)
class Code:
    """A stage as text; equal ones share what was compiled, whichever optimizer they belong to."""

    source: str
    numbers: tuple[tuple[int, bool], ...]  # index, and whether it is a truth value: the columns of the table
    compute: torch.dtype
    reads: tuple[Key, ...]
    makes: tuple[tuple[Key, bool], ...]  # and whether it must be copied, so that no two results share memory
    sums: int


compilations: list[Code] = []  # every time that a stage went to the compiler


def function(code: Code, donate: bool) -> Callable[[list, Any], list]:
    """A stage over the tensors of its leaves, one leaf after another, and a table of numbers."""
    stage, pinned, width = load(code.source, "stage"), Summed(namespace), len(code.reads)

    def run(tensors: list, numbers: Any) -> list:
        sums: list = []
        results: list = []
        for i in range(len(tensors) // width):
            given = dict(zip(code.reads, tensors[i * width : (i + 1) * width], strict=True))
            a = {key: x.to(code.compute) if isinstance(key, str) else x for key, x in given.items()}
            n = {index: numbers[i, k] != 0 if truth else numbers[i, k] for k, (index, truth) in enumerate(code.numbers)}
            found, made = stage(namespace, pinned, a["p"].shape, a, n)
            sums += [torch.as_tensor(x, dtype=torch.float64, device=numbers.device) for x in found]
            for key, copied in code.makes:
                result = made[key].to(given[key].dtype) if isinstance(key, str) else made[key]
                if donate:
                    given[key].copy_(result)
                elif copied or (isinstance(key, str) and result.stride() != given[key].stride()):
                    results.append(torch.empty_like(given.get(key, result)).copy_(result))
                else:
                    results.append(result)
        return [torch.stack(sums).reshape(-1, code.sums), *results] if sums else results

    return run


@lru_cache(maxsize=512)
def compiled(code: Code, layout: Layout, donate: bool) -> Callable[[list, Any], list]:
    """The function of a stage, compiled."""
    run = function(code, donate)

    def backend(graph: Any, inputs: Any) -> Any:
        compilations.append(code)
        return torch._inductor.compile(graph, inputs, options=EXACT)

    torch.compiler.allow_in_graph(run)
    return torch.compile(load(CALL, "make")(run), fullgraph=True, dynamic=False, backend=backend)


@lru_cache(maxsize=512)
def tried(code: Code, layout: Layout) -> None:
    """Run a stage on tensors without values: it raises where shapes do not fit."""
    tensors = [torch.empty_strided(shape, stride, dtype=dtype, device="meta") for shape, stride, dtype, _ in layout]
    rows = len(tensors) // len(code.reads)
    function(code, False)(tensors, torch.empty(rows, len(code.numbers), dtype=code.compute, device="meta"))


class CompiledTorch:
    """The stages of one program; where nothing has its own shape, each starts from the inputs, else arrays cross."""

    def __init__(self, program: Program, signature: Signature) -> None:
        cut = Stages(program)
        self.stages: tuple[Stage, ...] = cut.carrying if program.free else cut.fused
        self.compute: torch.dtype = getattr(torch, signature.compute)
        self.constants: list[Node] = [n for n in program.nodes if n.op == "const"]
        self.codes = [self._code(stage, signature.param) for stage in self.stages]

    def _code(self, stage: Stage, param: str) -> Code:
        numbers = tuple((n.index, n.kind.truth) for n in (*stage.hosts, *stage.leaves, *self.constants))
        names = [name for name, _ in stage.stores]
        reads: list[Key] = ["p", *(str(n.attr) for n in stage.inputs), *names, *(n.index for n in stage.carried)]
        makes: dict[Key, bool] = {node.index: False for node in stage.keeps}
        seen = set(stage.keeps)
        for name, node in stage.stores:
            makes[name] = node in seen or may_share(node)
            seen.add(node)
        source = ArrayPrinter(param).function(stage)
        return Code(source, numbers, self.compute, tuple(dict.fromkeys(reads)), tuple(makes.items()), len(stage.sums))

    def table(self, hosts: Any, rows: Any, leaves: Any, device: torch.device) -> torch.Tensor:
        """The numbers of a stage, rounded once; constants too, else the compiler would compute with them."""
        constants = np.array([float(n.attr) for n in self.constants])  # type: ignore[arg-type]
        found = np.hstack([hosts[rows], leaves, np.tile(constants, (len(leaves), 1))])
        return torch.from_numpy(found).to(self.compute).to(device)

    def bind(self, arrays: dict[str, list], donate: bool) -> BoundTorch:
        """Take this step's arrays."""
        return BoundTorch(self, arrays, donate)


class BoundTorch:
    """One step of the leaves of one program."""

    def __init__(self, compiled: CompiledTorch, arrays: dict[str, list], donate: bool) -> None:
        self.compiled, self.arrays, self.donate = compiled, arrays, donate
        size = len(arrays["p"])
        self.leaves: list[dict[Key, Any]] = [{k: _plain(x[i]) for k, x in arrays.items()} for i in range(size)]
        self.calls: dict[torch.device, list[int]] = {}
        self.inputs: dict[tuple[int, torch.device], tuple[list, Layout]] = {}
        for i, leaf in enumerate(arrays["p"]):
            self.calls.setdefault(leaf.device, []).append(i)

    def sums(self, level: int, hosts: Any, rows: Any, leaves: Any) -> np.ndarray:
        """Run a stage that reduces; what comes back is waited for."""
        found = np.empty((len(self.leaves), len(self.compiled.stages[level].sums)))
        for places, sums, made in self._run(level, hosts, rows, leaves, False):
            found[places] = sums
            for i, results in zip(places, made, strict=True):
                self.leaves[i].update(results)
        return found

    def prepare(self, level: int, hosts: Any, rows: Any, leaves: Any) -> None:
        """Try the last stage: when that of another program has run, what was donated is written over."""
        for device in self.calls:
            tried(self.compiled.codes[level], self._inputs(level, device)[1])

    def store(self, level: int, hosts: Any, rows: Any, leaves: Any) -> dict[str, list] | None:
        """Run the last stage; nothing is waited for."""
        stored: dict[str, list] = {name: [None] * len(self.leaves) for name, _ in self.compiled.stages[level].stores}
        for places, _, made in self._run(level, hosts, rows, leaves, self.donate):
            for i, results in zip(places, made, strict=True):
                for name, result in results.items():
                    stored[name][i] = result
        if not self.donate:
            return stored
        for name in stored:
            for leaf, array in zip(self.leaves, self.arrays[name], strict=True):
                if array.is_neg():
                    array.copy_(leaf[name])
        return None

    def _run(self, level: int, hosts: Any, rows: Any, leaves: Any, donate: bool) -> list[tuple]:
        """For each device the leaves that it has, their sums, and what the stage made of each."""
        code, done = self.compiled.codes[level], []
        for device, places in self.calls.items():
            tensors, layout = self._inputs(level, device)
            numbers = self.compiled.table(hosts, np.asarray(rows)[places], leaves[places], device)
            results = compiled(code, layout, donate)(tensors, numbers)
            sums = results.pop(0).cpu().numpy() if code.sums else np.empty((len(places), 0))
            names = [key for key, _ in code.makes] if not donate else []
            made = [results[k * len(names) : (k + 1) * len(names)] for k in range(len(places))]
            done.append((places, sums, [dict(zip(names, each, strict=True)) for each in made]))
        return done

    def _inputs(self, level: int, device: torch.device) -> tuple[list, Layout]:
        """The tensors that a stage reads there, and how they lie: looked at once a step."""
        if (level, device) not in self.inputs:
            reads = self.compiled.codes[level].reads
            tensors = [self.leaves[i][key] for i in self.calls[device] for key in reads]
            layout = tuple((tuple(x.shape), x.stride(), x.dtype, x.device) for x in tensors)
            self.inputs[level, device] = tensors, layout
        return self.inputs[level, device]


def _plain(x: Any) -> Any:
    """The same memory without what autograd knows of it; the strides of nothing at all are of no meaning."""
    x = x.detach().resolve_neg()
    return x if x.numel() else torch.empty(x.shape, dtype=x.dtype, device=x.device)
