"""What torch.compile has to know: it follows tensors through the verbs of an optimizer, not the Python that runs them.

An optimizer is a constant to it, and a verb one opaque operation, of which only its compiler looks at the inside. That
is said once its tracer is there, which it is from the first torch.compile on: importing it takes as long as torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import wraps
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch.utils import _pytree

from samestep.optimizer import Optimizer

TRACER = "torch._dynamo"
VERBS = ("init", "step", "update", "eval_params")
NOTHING = ((),)  # a None, which opaque operations neither take nor give; a container of nothing they do


def announce() -> None:
    """Now, or as soon as the tracer is imported."""
    if not hasattr(_pytree, "register_constant"):  # torch before 2.7 cannot be told
        return
    _pytree.register_constant(Optimizer)
    if TRACER in sys.modules:
        _tell()
    else:
        sys.meta_path.insert(0, _Watch())


def _tell() -> None:
    for name in VERBS:
        setattr(Optimizer, name, _followed(getattr(Optimizer, name)))


def _followed(verb: Callable) -> Callable:
    """The verb, which is an opaque operation where torch.compile traces it."""

    @torch._dynamo.nonstrict_trace
    def opaque(optimizer: Optimizer, arguments: Any, named: Any) -> Any:
        return _filled(verb(optimizer, *_emptied(arguments), **_emptied(named)))

    @wraps(verb)
    def followed(self: Optimizer, *arguments: Any, **named: Any) -> Any:
        if not torch.compiler.is_compiling():
            return verb(self, *arguments, **named)
        return _emptied(opaque(self, _filled(arguments), _filled(named)))

    return followed


def _filled(tree: Any) -> Any:
    return _pytree.tree_map(lambda x: NOTHING if x is None else x, tree)


def _emptied(tree: Any) -> Any:
    return _pytree.tree_map(lambda x: None if _is_nothing(x) else x, tree, is_leaf=_is_nothing)


def _is_nothing(x: Any) -> bool:
    return type(x) is tuple and len(x) == 1 and type(x[0]) is tuple and not x[0]


class _Watch(MetaPathFinder):
    """Finds the tracer as others do, once, and tells it what there is to know when it has been imported."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """None of any other module."""
        if name != TRACER:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _tell()

            loader.exec_module = exec_module
        return spec
