"""Named constructors: a function that lists parts becomes an optimizer with the defaults of its pages."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from .arguments import fitted
from .compose import chain
from .dialects import DIALECTS, spoken
from .errors import HyperparameterError, names
from .hypers import Hyper, declared
from .modifiers.cautious import Masks, masked
from .modifiers.maximize import negate
from .optimizer import Optimizer
from .page import Page


def named(*pages: Page) -> Callable[[Callable[..., list]], Callable[..., Optimizer]]:
    """Make a constructor out of a function that returns a list of parts (None entries are left out).

    The `**hyper` of the function takes the hyperparameters of the pages, with their defaults; `maximize` and, where a
    direction part is among the pages, `cautious` are added: its mask goes behind every direction part, unless the
    function takes `cautious` itself. What a zero leaves out cannot be overridden later. `dialect` is added where the
    table of dialects has a row of the function's name.
    """

    def decorate(function: Callable[..., list]) -> Callable[..., Optimizer]:
        own = inspect.signature(function, eval_str=True).parameters
        hypers = {
            p.name: declared(p.name, p.default, p.annotation) for p in own.values() if p.kind is not p.VAR_KEYWORD
        }
        inherited: dict[str, Hyper] = {}
        for page in pages:
            inherited.update({key: h for key, h in page.hypers.items() if key not in hypers and key != "lr"})
        extras = {"maximize": declared("maximize", False, bool)}
        if "cautious" not in own and any(page.kind == "direction" for page in pages):
            extras["cautious"] = declared("cautious", False, Masks)
        if function.__name__ in DIALECTS:
            extras["dialect"] = declared("dialect", None, Literal[tuple(DIALECTS[function.__name__])])
        signature = _signature(own, inherited | extras)

        @functools.wraps(function)
        def constructor(*args: Any, **kwargs: Any) -> Optimizer:
            bound = fitted(function.__name__, signature, args, kwargs)
            usual = {k: p.default for k, p in signature.parameters.items()}
            if (dialect := kwargs.get("dialect")) is not None:
                usual |= spoken(function.__name__, extras["dialect"].check(dialect), bound.arguments)
            chosen, checks = usual | bound.arguments, inherited | hypers | extras
            values = {k: checks[k].check(v) if k in checks else v for k, v in chosen.items()}
            first = negate() if values.pop("maximize") else None
            mask = masked(values.pop("cautious")) if "cautious" in extras else None
            values.pop("dialect", None)
            plain = {k: v.item() if hasattr(v, "item") else v for k, v in chosen.items()}  # to be read back
            shown = [f"{k}={v!r}" for k, v in plain.items() if _differs(k, v, usual[k])]
            label = f"{function.__name__}({', '.join(shown)})"
            try:
                parts = function(**values)
            except HyperparameterError as error:  # each value is allowed, but not beside another
                raise HyperparameterError(f"{error}; got {label}") from None
            joined = chain(*(part for part in (first, *parts, mask) if part is not None))
            chains = [branch.chain for branch in joined.branches if branch.chain is not None]
            have = {k for made in chains for k, v in (made.numbers | made.options).items() if v is not None}
            refused = tuple((k, _refusal(k, v, inherited | hypers)) for k, v in chosen.items() if k not in have)
            return Optimizer(joined.branches, label, refused)

        constructor.__signature__ = signature  # type: ignore[attr-defined]
        constructor.pages = pages  # type: ignore[attr-defined]
        constructor.hypers = inherited | hypers | extras  # type: ignore[attr-defined]
        return constructor

    return decorate


def refuse_idle(constructor: Callable[..., Optimizer], values: Mapping[str, Any], **off: bool) -> None:
    """Refuse arguments that are given beside others which leave them without effect; `off` says which are left so."""
    usual = inspect.signature(constructor).parameters
    idle = [name for name, without in off.items() if without and values[name] != usual[name].default]
    if idle:
        pronoun = "it" if len(idle) == 1 else "them"
        raise HyperparameterError(f"{names(idle)} would change nothing beside the other arguments: leave {pronoun} out")


def _signature(own: Any, added: dict[str, Hyper]) -> inspect.Signature:
    keyword = inspect.Parameter.KEYWORD_ONLY
    found = [p.replace(annotation=inspect.Parameter.empty) for p in own.values() if p.kind is not p.VAR_KEYWORD]
    found += [inspect.Parameter(key, keyword, default=hyper.default) for key, hyper in added.items()]
    return inspect.Signature(found, return_annotation=Optimizer)


def _refusal(key: str, value: Any, hypers: dict[str, Hyper]) -> str:
    if key in hypers and hypers[key].number and not callable(value):
        return f"this optimizer was built without {key} (it was {value})"
    return f"{key} is an option, fixed when the optimizer is built"


def _differs(key: str, value: Any, default: Any) -> bool:
    return key == "lr" or not (value is default or (type(value) is type(default) and value == default))
