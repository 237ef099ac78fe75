"""`[library:]Name(key=literal, ...)`: an optimizer in a line of text, read as literals and never evaluated as code."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import samestep as ss
from samestep.errors import SamestepError, names

from .bits import FAILURES
from .golden.oracles import available

LIBRARIES = {  # where the names of a library are; any other prefix is the module itself
    "samestep": "samestep",
    "torch": "torch.optim",
    "optax": "optax",
    "keras": "keras.optimizers",
    "timm": "timm.optim",
}
PACKAGES = {"torch": "samestep[torch]"}  # where what is installed is not called as the library is
SPEC = re.compile(r"\s*(?:(?P<library>[A-Za-z_][\w.]*)\s*:)?\s*(?P<call>[A-Za-z_].*?)\s*", re.DOTALL)


class SpecError(SamestepError):
    """What was asked to be compared cannot be: it is misspelt, not installed, or no optimizer."""


@dataclass(frozen=True)
class Spec:
    """A parsed line: the library, the name in it, and the literals it is called with."""

    library: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    text: str

    def target(self) -> Any:
        """What the name stands for, imported now."""
        root = self.library.split(".")[0]
        if not available(root):
            known = f"pip install {PACKAGES.get(root, root)!r}" if self.library in LIBRARIES else "check its spelling"
            raise SpecError(f"{self.text!r} needs {root}, which is not installed here: {known}")
        where = LIBRARIES.get(self.library, self.library)
        try:
            found: Any = importlib.import_module(where)
        except FAILURES as error:
            raise SpecError(f"{self.text!r}: {where} cannot be imported ({error}); check its name") from error
        for part in self.name.split("."):
            if not hasattr(found, part):
                given = {name.lower(): name for name in dir(found) if not name.startswith("_")}
                near = names(given[name] for name in get_close_matches(part.lower(), given))
                hint = "check its spelling" if near == "none" else f"is it {near}?"
                raise SpecError(f"{self.text!r}: {where} has no {self.name!r}; {hint}")
            found = getattr(found, part)
        return found


def parse(text: str) -> Spec:
    """Read a line.

    Raises:
        SpecError: it is no call of a name with literals.
    """
    found = SPEC.fullmatch(text)
    rule = "an optimizer is written [library:]Name(key=literal, ...), such as adamw(lr=1e-3) or torch:AdamW(lr=1e-3)"
    try:
        node = ast.parse(found["call"], mode="eval").body if found else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = None
    call = node if isinstance(node, ast.Call) else None
    name = _dotted(call.func if call else node)
    if found is None or name is None:
        raise SpecError(f"{rule}; got {text!r}")
    try:
        args = tuple(ast.literal_eval(arg) for arg in call.args) if call else ()
        kwargs = {_keyword(k): ast.literal_eval(k.value) for k in call.keywords} if call else {}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        raise SpecError(f"{rule}: its arguments are literals, never evaluated as code; got {text!r}") from None
    return Spec(found["library"] or "samestep", name, args, kwargs, text.strip())


def _keyword(node: ast.keyword) -> str:
    if node.arg is None:
        raise ValueError("**")
    return node.arg


def _dotted(node: ast.AST | None) -> str | None:
    if isinstance(node, ast.Name):
        return None if node.id.startswith("_") else node.id
    if isinstance(node, ast.Attribute) and not node.attr.startswith("_"):
        before = _dotted(node.value)
        return before and f"{before}.{node.attr}"
    return None


def schedule(text: str) -> Callable[[int], float]:
    """`cosine(0.1, steps=100)`: one of `samestep.schedules`.

    Raises:
        SpecError: another name, or arguments that it does not take.
    """
    spec = parse(text)
    known = {n: f for n, f in vars(ss.schedules).items() if isinstance(getattr(f, "__signature__", None), Signature)}
    if spec.library != "samestep" or spec.name not in known:
        raise SpecError(f"a learning rate that changes is one of {names(known, 20)}, with literals; got {text!r}")
    return called(spec, known[spec.name])


def called(spec: Spec, target: Callable, **more: Any) -> Any:
    """The target, called with the literals; what it refuses is wrong usage."""
    try:
        return target(*spec.args, **spec.kwargs | more)
    except FAILURES as error:
        raise SpecError(f"{spec.text!r} is refused by {spec.name}: {error}") from error


Signature = inspect.Signature
