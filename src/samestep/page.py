"""What an algorithm is written with: the decorators; a called page is a Part."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .arguments import misfit
from .errors import ChainError, HyperparameterError, names
from .hypers import count, declared, fraction, nonnegative, per_leaf, positive, unit
from .slots import (
    as_slot,
    borrowed,
    cols,
    copy,
    full,
    full_gradient,
    given,
    given_leaves,
    kept,
    last_params,
    ones,
    rows,
    scalar,
    stale,
    zeros,
)

__all__ = [
    "Page",
    "Part",
    "borrowed",
    "cols",
    "copy",
    "count",
    "direction",
    "fraction",
    "full",
    "full_gradient",
    "given",
    "given_leaves",
    "gradient",
    "kept",
    "last_params",
    "nonnegative",
    "ones",
    "per_leaf",
    "positive",
    "rows",
    "scalar",
    "stale",
    "unit",
    "update",
    "zeros",
]  # all that a page is written with comes from here

KINDS = ("gradient", "direction", "update")  # the order in which a chain runs them
SECOND = "g_snapshot"  # the second gradient of a step, at the point "snapshot" of `query`
BUS = ("u", "p", "g", "t", "h", "h0", "step", "start", "grad", SECOND)  # what a page may read beside slots; see bus.py
CONDITIONS = ("when", "reset", "restart", "moves")
CLOCKS = ("t", "outer")
STATIC = ("slots", "recurrence")  # of which nothing is traced
WRITES = {  # what it may return beside slots
    "gradient": ("u", "lr", *CONDITIONS, *CLOCKS, *STATIC),
    "direction": ("u", "lr", "h", "h0"),
    "update": ("u", "p", "h"),
}


class Page:
    """A decorated page. Calling it with hyperparameters gives a Part for a chain.

    Args:
        **hyper: the keyword-only parameters of the page; positional ones fill them in the order written.
        name: a name for the part; its slots and numbers are then called `name.slot`.
    """

    def __init__(
        self,
        kind: str,
        function: Callable,
        slots: Mapping[str, Any],
        eval: Callable | None = None,
        alone: str | None = None,
        replaces: Page | None = None,
        query: Callable | None = None,
        behind: bool = False,
        unscales: bool = False,
    ) -> None:
        if not (hasattr(function, "__name__") and hasattr(function, "__module__")):
            raise ChainError(f"a page is a function, which has a name; got {function!r:.80}: write one with def")
        if taken := (set(slots) & {*BUS, *WRITES[kind]}) - {"h", "h0"}:
            raise ChainError(
                f"page {function.__name__} has a slot {names(sorted(taken))}, the chain's own name: write another"
            )
        self.kind = kind
        self.query = query
        self.alone = alone
        self.replaces = replaces
        self.behind = behind
        self.unscales = unscales
        self.function = function
        self.eval = eval
        self.slots = {name: as_slot(spec) for name, spec in slots.items()}
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__ or inspect.getdoc(inspect.getmodule(function))
        self.__wrapped__ = function
        parameters = inspect.signature(function, eval_str=True).parameters
        self.reads = positional(function)
        self.hypers = {n: declared(n, parameters[n].default, parameters[n].annotation) for n in keywords(function)}
        nameless = [spec for spec in slots.values() if isinstance(spec, str) and spec not in self.hypers]
        if nameless:
            raise ChainError(
                f"a slot is zeros, ones, copy, ..., a number, or the name of one; page {self.__name__} has no number "
                f"{names(nameless)}, only {names(self.hypers)}"
            )
        for what, page in (("page", function), ("eval page of", eval), ("query page of", query)):
            unknown = [n for n in positional(page) if n not in BUS and n not in self.slots] if page else ()
            if unknown:
                raise ChainError(
                    f"{what} {self.__name__} reads {names(unknown)}: positional parameters are {', '.join(BUS)} or a "
                    f"declared slot ({names(self.slots)}); hyperparameters are keyword-only (write them after *)"
                )
            lacking = [n for n in keywords(page) if n not in self.hypers] if page else ()
            if lacking:
                raise ChainError(f"{what} {self.__name__} has {names(lacking)}, which is no number of the page itself")

    def __reduce__(self) -> str:
        return self.__qualname__  # a page is its module's attribute

    def __repr__(self) -> str:
        return f"<{self.kind} page {self.__name__}>"

    def __call__(self, *args: Any, name: str | None = None, **hyper: Any) -> Part:
        places = list(self.hypers)
        required = [key for key, spec in self.hypers.items() if spec.required and key != "lr"]
        wrong = misfit(self.__name__, places, places, required, args, hyper)
        if wrong is not None:
            raise HyperparameterError(wrong)
        hyper |= zip(places, args, strict=False)
        values = {}
        for key, spec in self.hypers.items():
            if key in hyper:
                values[key] = spec.check(hyper[key])
            elif not spec.required:  # lr is the chain's: another part may bring it
                values[key] = spec.default
        check_name(name)
        return Part(self, tuple(values.items()), name)


def keywords(function: Callable) -> tuple[str, ...]:
    """The hyperparameters that a page names."""
    return tuple(n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY)


def positional(function: Callable) -> tuple[str, ...]:
    """What else it reads."""
    return tuple(n for n, p in inspect.signature(function).parameters.items() if p.kind is not p.KEYWORD_ONLY)


def check_name(name: Any) -> None:
    """What parts are called stands before a dot in `name.slot`."""
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise ChainError(f"the name of a part is a word, which stands before a dot in 'name.slot'; got {name!r}")


@dataclass(frozen=True)
class Part:
    """A page with its hyperparameters: one link of a chain."""

    page: Page
    values: tuple[tuple[str, Any], ...]
    name: str | None = None

    def qualify(self, key: str) -> str:
        """The name of a slot or number of this part in the chain; lr is the chain's, a borrowed slot another part's."""
        other = key == "lr" or self.page.slots.get(key) is borrowed
        return f"{self.name}.{key}" if self.name and not other else key

    def restarts(self, slot: str, chosen: Collection[str] | None) -> bool:
        """Whether a slot of this part starts again with the chosen ones, or (None) with all: one that is kept only if
        it is chosen itself, another also with a slot of its part, or because it hangs on `t`, which goes back to 0.
        """
        if chosen is not None and self.qualify(slot) in chosen:
            return True
        hangs = chosen is None or "t" in self.page.reads or any(self.qualify(s) in chosen for s in self.page.slots)
        return hangs and not self.page.slots[slot].keep

    @property
    def numbers(self) -> dict[str, Any]:
        """Run-time numbers and schedules, by name on the page."""
        return {k: v for k, v in self.values if self._is_number(k, v)}

    @property
    def options(self) -> tuple[tuple[str, Any], ...]:
        """What is fixed when the optimizer is built."""
        return tuple((k, v) for k, v in self.values if not self._is_number(k, v))

    def _is_number(self, key: str, value: Any) -> bool:
        return self.page.hypers[key].number and value is not None

    @property
    def structure(self) -> tuple:
        """What decides the program: the page, its options, its name, and which numbers there are."""
        return (self.page, self.options, self.name)

    def __repr__(self) -> str:
        values = [f"{k}={v!r}" for k, v in self.values] + ([f"name={self.name!r}"] if self.name else [])
        return f"{self.page.__name__}({', '.join(values)})"


def _decorator(
    kind: str, eval: Callable | None, query: Callable | None, slots: dict[str, Any], alone: str | None = None,
    replaces: Page | None = None, behind: bool = False, unscales: bool = False,
) -> Callable[[Callable], Page]:  # fmt: skip
    return lambda function: Page(kind, function, slots, eval, alone, replaces, query, behind, unscales)


def gradient(
    *, eval: Callable | None = None, query: Callable | None = None, unscales: bool = False, **slots: Any
) -> Callable[[Callable], Page]:
    """Declare a page that runs before the directions: clipping, accumulation, coupled decay.

    It may return `when` (gates every later write), `t` (the inner clock; the number slots that it is made of are each
    leaf's own, as its count is) and `reset` (where it holds, later slots start again, but for those that are kept). Or
    `restart`, which is `reset` as the verb has it, with the names of `slots` or None. Or `moves` (gates every write of
    update parts), with `outer` (their clock, where it is another) and `recurrence(slot, kept, added)`: what the slots
    of direction parts become in place of the sum of the two, of which one is a number times the slot. Or `lr`: what
    later parts have for the chain's step size.

    Args:
        eval: a page that gives the parameters to evaluate at.
        query: a page that gives the points at which the gradients of the next step are wanted, `x` and `snapshot`
            (each where it is another than p); a page reads the gradient at the second as `g_snapshot`.
        unscales: it takes a scale off the gradient, so no part before it may see how large that is.
        **slots: what it keeps: `zeros`, `ones`, `copy`, `full`, `rows`, `cols`, `scalar`, a number, the name of one, a
            function of p; `full_gradient`, which `refresh` fills, and `stale`: whether that is due; `last_params`: a
            snapshot that needs no such gradient; `borrowed`: the slot of this name of a part before it, to read and to
            write. And what `step` is given by this name: `given`, a number, and `given_leaves`, an array for each leaf.

    >>> import samestep as ss
    >>> @ss.gradient()
    ... def halve(u):
    ...     return {"u": u / 2}
    >>> halve()
    halve()
    """
    return _decorator("gradient", eval, query, slots, unscales=unscales)


def direction(
    *, eval: Callable | None = None, query: Callable | None = None, behind: bool = False, **slots: Any
) -> Callable[[Callable], Page]:
    """Declare a page that turns the gradient into a direction: momentum, adam, lion, cautious.

    Args:
        eval, query, **slots: as for `gradient`.
        behind: it judges a direction that others made, so it stands behind them.

    It may return `h`, the inverse of the step size of each coordinate, for a solver such as that of `mirror_descent`,
    and `h0`, what that is before the first gradient (0 unless it is returned); or `lr`, what later parts have for the
    chain's step size, as methods do that find their own. A page may also read `start` and `grad`, the parameter and the
    gradient as they came.

    >>> import samestep as ss
    >>> @ss.direction(m=ss.zeros)
    ... def average(u, m, *, beta: ss.unit = 0.9):
    ...     m = beta * m + (1 - beta) * u
    ...     return {"u": m, "m": m}
    """
    return _decorator("direction", eval, query, slots, behind=behind)


def update(
    *, eval: Callable | None = None, query: Callable | None = None, alone: str | None = None,
    replaces: Page | None = None, behind: bool = False, **slots: Any
) -> Callable[[Callable], Page]:  # fmt: skip
    """Declare a page that moves the parameter: decay, descend, ftrl, lookahead.

    Args:
        eval, query, **slots: as for `gradient`.
        alone: why no direction part may stand before it, where that is so.
        replaces: a page whose part in the chain it takes the place of, such as `descend`, with its lr.
        behind: it looks at the parameter as the step leaves it, so no page that moves it by u stands behind it.

    >>> import samestep as ss
    >>> @ss.update()
    ... def descend_half(p, u, *, lr):
    ...     return {"p": p - lr / 2 * u}
    >>> descend_half(lr=1.0)
    descend_half(lr=1.0)
    """
    return _decorator("update", eval, query, slots, alone, replaces, behind)
