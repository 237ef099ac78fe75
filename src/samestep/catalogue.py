"""What the library offers, by name: optimizers, modifiers and schedules, and one of each to look at."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, cached_property
from types import ModuleType
from typing import Any

import numpy as np

from . import schedules
from .algorithms.sgd import momentum
from .chain import Chain
from .compose import chain
from .errors import ChainError, HyperparameterError, SamestepError, TraceError, names
from .hypers import Hyper, declared
from .modifiers.descend import descend
from .optimizer import Optimizer
from .page import Page, Part

OPTIMIZER, MODIFIER, PART, SCHEDULE = "optimizer", "modifier", "part", "schedule"
EXAMPLES = (1.0, 0.5, 10, 0.1)  # of which the first that is allowed stands for a hyperparameter that must be given


@dataclass(frozen=True)
class Entry:
    """One public name that makes an optimizer, a part of one, or a schedule."""

    name: str
    make: Callable[..., Any]

    @cached_property
    def module(self) -> ModuleType:
        """The file that it is written in."""
        return inspect.getmodule(inspect.unwrap(self.make))  # type: ignore[return-value]

    @cached_property
    def kind(self) -> str:
        """What it makes."""
        if self.name in schedules.FUNCTIONS:
            return SCHEDULE
        if hasattr(self.make, "pages"):
            return OPTIMIZER
        return MODIFIER if ".modifiers." in self.module.__name__ else PART

    @cached_property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.make) or "").partition("\n")[0]

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The paragraphs that name papers: of its page's file, and of its own docstring, the summary aside."""
        texts = [inspect.getdoc(self.module) or "", (inspect.getdoc(self.make) or "").partition("\n")[2]]
        found = (paragraph.strip("\n") for text in texts for paragraph in text.split("\n\n"))
        return tuple(dict.fromkeys(paragraph for paragraph in found if "https://" in paragraph))

    @cached_property
    def hypers(self) -> tuple[Hyper, ...]:
        """Its hyperparameters, as it declares them."""
        known = getattr(self.make, "hypers", {})
        if isinstance(self.make, Page):
            return tuple(known.values())
        shown = inspect.signature(self.make, eval_str=True).parameters.values()
        own = [known.get(p.name) or declared(p.name, p.default, p.annotation) for p in shown if p.name != "name"]
        if known:
            return tuple(own)
        pages = {key: h for part in _parts(self.make(**_given(own))) for key, h in part.page.hypers.items()}
        return tuple(replace(h, domains=pages[h.name].domains) if h.name in pages else h for h in own)

    @cached_property
    def dialects(self) -> tuple[str, ...]:
        """Whose conventions it knows besides its own."""
        known = next((h.choices for h in self.hypers if h.name == "dialect"), None)
        return tuple(choice for choice in known or () if choice is not None)

    @cached_property
    def example(self) -> Optimizer:
        """An optimizer with it: itself with its defaults; or around plain descent, or the heavy ball; or a named one
        in which it stands, or which it may follow, or whose last part it may be.
        """
        made = self.make(**_given(self.hypers))
        if isinstance(made, Optimizer) and hasattr(self.make, "pages"):
            return made
        alone = [()] if isinstance(made, Part) and made.page.kind == "update" else []
        before = isinstance(made, Part) and "lr" in made.page.hypers  # a decay by lr; an average follows the step
        for others in (*alone, (descend(lr=0.1),), (momentum(), descend(lr=0.1))):
            if found := _whole(made, *others) if before else _whole(*others, made):
                return found
        named = [other.example for other in entries().values() if other.kind == OPTIMIZER]
        within = [found for found in named if any(part.page is self.make for part in _parts(found))]
        plain = (found for found in within if any(part.page is descend for part in _parts(found)))
        if found := next(plain, None) or next(iter(within), None):
            return found
        behind = ((_whole(other, made) or _whole(*_parts(other)[:-1], made)) for other in named)
        return next(found for found in behind if found)

    @property
    def chain(self) -> Chain:
        """The chain of the example."""
        return self.example.branches[-1].chain  # type: ignore[return-value]


def _parts(made: Part | Optimizer) -> tuple[Part, ...]:
    return (made,) if isinstance(made, Part) else made.branches[-1].chain.parts  # type: ignore[union-attr]


def _whole(*parts: Part | Optimizer) -> Optimizer | None:
    """Their chain, if it is one that can be stepped with."""
    with suppress(ChainError, TraceError, HyperparameterError):
        found = chain(*parts)
        found.init(np.zeros((1, 1)))
        return found
    return None


def _given(hypers: Sequence[Hyper]) -> dict[str, Any]:
    """Values for those that must be given."""
    return {h.name: 0.1 if h.name == "lr" else _example(h) for h in hypers if h.required}


def _example(hyper: Hyper) -> Any:
    """A value that a hyperparameter may have."""
    if hyper.choices:
        return hyper.choices[0]
    for value in EXAMPLES:
        if not (hyper.number or hyper.type is float) and type(value) is not hyper.type:
            continue
        if all(domain.holds(value) for domain in hyper.domains):
            return value
    raise SamestepError(f"no example of {hyper.name} is known")


@cache
def entries() -> dict[str, Entry]:
    """Every public name that makes something to step with, and the schedules."""
    import samestep

    found = {}
    for name in samestep.__all__:
        value = getattr(samestep, name)
        makes = hasattr(value, "pages") or isinstance(value, Page) or (inspect.isfunction(value) and _in_a_page(value))
        if makes:
            found[name] = Entry(name, value)
    return found | {name: Entry(name, getattr(schedules, name)) for name in schedules.FUNCTIONS}


def _in_a_page(function: Callable) -> bool:
    return f"{__package__}.modifiers." in function.__module__


def entry(name: str) -> Entry:
    """The entry of a name.

    Raises:
        SamestepError: there is none.
    """
    known = entries()
    name = name.removeprefix("schedules.")
    if name not in known:
        near = get_close_matches(name, known)
        hint = f"is it {names(near)}?" if near else "samestep list shows all"
        raise SamestepError(f"nothing is called {name!r}; {hint}")
    return known[name]
