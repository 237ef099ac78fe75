"""What the library offers, by name: optimizers, modifiers and schedules, and one of each to look at."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
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
        return tuple(known.get(p.name) or declared(p.name, p.default, p.annotation) for p in shown if p.name != "name")

    @cached_property
    def dialects(self) -> tuple[str, ...]:
        """Whose conventions it knows besides its own."""
        known = next((h.choices for h in self.hypers if h.name == "dialect"), None)
        return tuple(choice for choice in known or () if choice is not None)

    @cached_property
    def example(self) -> Optimizer | None:
        """An optimizer with it: itself with its defaults, or around plain descent, or the heavy ball; else None."""
        given = {h.name: _example(h) for h in self.hypers if h.required and h.name != "lr"}
        given |= {"lr": 0.1} if any(h.name == "lr" and h.required for h in self.hypers) else {}
        made = self.make(**given)
        if isinstance(made, Optimizer) and hasattr(self.make, "pages"):
            return made
        alone = [()] if isinstance(made, Part) and made.page.kind == "update" else []
        before = isinstance(made, Part) and "lr" in made.page.hypers  # a decay by lr; an average follows the step
        for others in (*alone, (descend(lr=0.1),), (momentum(), descend(lr=0.1))):
            with suppress(ChainError, TraceError, HyperparameterError):
                found = chain(made, *others) if before else chain(*others, made)
                found.init(np.zeros((1, 1)))
                return found
        return None

    @property
    def chain(self) -> Chain | None:
        """The chain of the example."""
        return None if self.example is None else self.example.branches[-1].chain


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
