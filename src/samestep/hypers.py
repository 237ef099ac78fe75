"""Hyperparameters: the domains that a page declares, what is a number and what an option, and their checks."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from .dtypes import dtype_name
from .errors import HyperparameterError, names


@dataclass(frozen=True)
class Domain:
    """The numbers a hyperparameter may be, in words and as a test."""

    words: str
    holds: Callable[[float], bool] = field(compare=False)


unit = Annotated[float, Domain("in [0, 1)", lambda x: 0 <= x < 1)]
fraction = Annotated[float, Domain("in [0, 1]", lambda x: 0 <= x <= 1)]
nonnegative = Annotated[float, Domain("at least 0", lambda x: x >= 0)]
nonpositive = Annotated[float, Domain("at most 0", lambda x: x <= 0)]
positive = Annotated[float, Domain("above 0", lambda x: x > 0)]
at_least_one = Annotated[float, Domain("at least 1", lambda x: x >= 1)]
count = Annotated[int, Domain("at least 1", lambda x: x >= 1)]


EXAMPLES = (1e-3, 1.0, 5.0, -1.0)  # for messages about numbers without a default


@dataclass(frozen=True)
class PerLeaf:
    """A number that is another for each leaf."""

    function: Callable[[str, tuple[int, ...]], float]

    def __repr__(self) -> str:
        return f"per_leaf({self.function!r})"


def per_leaf(function: Callable[[str, tuple[int, ...]], float]) -> PerLeaf:
    """A hyperparameter that depends on the leaf: in place of a number, wherever a run-time number may stand.

    Args:
        function: (path, shape) -> number. The path is the keys and indices joined by dots, as in `groups`.

    It is called once for each leaf and structure of params, never in a step; another function is no new program. Where
    it is given, the number cannot be overridden in a step, and a number slot cannot start as it.

    Raises:
        HyperparameterError: it is no function; at the first step, or at `init` where a slot starts as it: it gave no
            number, or one outside the domain.

    >>> import numpy as np, samestep as ss
    >>> opt = ss.sgd(ss.per_leaf(lambda path, shape: 1.0 if path == "bias" else 0.5 / shape[0]))
    >>> params = {"bias": np.array([1.0]), "weight": np.array([1.0, 1.0])}
    >>> opt.step(params, params, opt.init(params))[0]
    {'bias': array([0.]), 'weight': array([0.75, 0.75])}
    """
    if not callable(function):
        raise HyperparameterError(
            f"per_leaf takes a function of path and shape; got {function!r}: write per_leaf(lambda path, shape: ...)"
        )
    return PerLeaf(function)


@dataclass(frozen=True)
class Hyper:
    """One hyperparameter of a page, as its signature declares it."""

    name: str
    default: Any  # inspect.Parameter.empty: must be given
    optional: bool  # None is allowed, and an option then
    number: bool  # a run-time number; else an option, part of the program's key
    domains: tuple[Domain, ...]
    choices: tuple | None
    type: Any
    others: tuple[type, ...] = ()  # beside choices, anything of these types

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty

    def check(self, value: Any) -> Any:
        """The value as it is kept, or an error that says what is allowed."""
        if value is None and self.optional:
            return None
        if self.number:
            return value if callable(value) or isinstance(value, PerLeaf) else self.check_number(value)
        if self.choices is not None:
            listed = any(value is c or (type(value) is type(c) and value == c) for c in self.choices)
            if not listed and not isinstance(value, self.others):
                more = "".join(f", or a {kind.__name__}" for kind in self.others)
                raise HyperparameterError(f"{self.name} must be one of {names(self.choices)}{more}; got {value!r}")
        elif self.type is Callable:
            if not callable(value):
                raise HyperparameterError(
                    f"{self.name} is a function, fixed when the optimizer is built; got {value!r}"
                )
        elif type(value) is not self.type and not (self.type is tuple and isinstance(value, tuple)):
            raise HyperparameterError(
                f"{self.name} is an option of type {self.type.__name__}, fixed when the optimizer is built; "
                f"got {value!r}: {self._instead()}"
            )
        outside = self._outside(value)
        if outside is not None:
            raise HyperparameterError(f"{self.name} {outside}; got {value!r}: {self._instead()}")
        return value

    def check_number(self, value: Any, name: str | None = None) -> float:
        """A run-time number as a float; `name` is what the chain calls it."""
        rule, name = self.wrong(value), name or self.name
        if rule is None:
            return float(value)
        remedy = self._instead(name)
        if getattr(value, "shape", None) == () and "schedule" in rule:
            remedy = f"one that is traced is given to a step: step(..., {name}=...)"
        elif "nan" in rule:
            remedy = "check what made it"
        raise HyperparameterError(f"{name} {rule}; got {value!r:.80}: {remedy}")

    def wrong(self, value: Any) -> str | None:
        """The rule that a run-time number breaks: it is none, it is nan, or it lies outside the domain."""
        try:
            if isinstance(value, bool | str | bytes) or value is None or getattr(value, "shape", ()) != ():
                raise TypeError
            if "bool" in dtype_name(getattr(value, "dtype", "")):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return "is a number (or a schedule: a callable of the step)"
        return "must be a number, not nan" if number != number else self._outside(number)

    def _outside(self, value: Any) -> str | None:
        return next((f"must be {domain.words}" for domain in self.domains if not domain.holds(value)), None)

    def _instead(self, name: str | None = None) -> str:
        """What to write, with a value that is allowed: the default, if there is one."""
        known = () if self.default is None or self.required else (self.default,)
        examples = EXAMPLES if self.number else (1,) if self.type is int else ()
        value = next((x for x in (*known, *examples) if self._outside(x) is None), ...)
        shown, name = "..." if value is ... else repr(value), name or self.name
        written = f"{name}={shown}" if name.isidentifier() else f"**{{{name!r}: {shown}}}"
        return f"write {written}, or another such value"


def declared(name: str, default: Any, annotation: Any) -> Hyper:
    """What a signature says of one hyperparameter: its default decides whether it is a number or an option."""
    optional, choices = default is None, None
    domains: list[Domain] = []
    stack, types_ = [annotation], []
    while stack:
        a = stack.pop()
        if a is types.NoneType or a is None:
            optional = True
        elif isinstance(a, types.UnionType) or typing.get_origin(a) is typing.Union:
            stack.extend(typing.get_args(a))
        elif typing.get_origin(a) is Annotated:
            domains.extend(m for m in typing.get_args(a)[1:] if isinstance(m, Domain))
            stack.append(typing.get_args(a)[0])
        elif typing.get_origin(a) is Literal:
            choices = (choices or ()) + typing.get_args(a)
        else:
            types_.append(a)
    if default is inspect.Parameter.empty or default is None:
        number = not choices and not any(t in (int, bool, str, tuple, Callable) for t in types_)
    else:
        number = isinstance(default, float)
    if default is not inspect.Parameter.empty and type(default).__hash__ is None:
        raise HyperparameterError(
            f"{name}={default!r:.80} cannot be hashed, so no optimizer can: a float makes it a number, and a bool, an "
            "int, a str or a tuple an option"
        )
    kind = type(default) if default is not inspect.Parameter.empty and default is not None else (types_ or [float])[0]
    others = tuple(t for t in types_ if isinstance(t, type)) if choices else ()
    return Hyper(name, default, optional, number, tuple(domains), choices, typing.get_origin(kind) or kind, others)
