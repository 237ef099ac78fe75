"""What an algorithm is written with: the decorators, the slots, the domains; a called page is a Part."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from .errors import ChainError, HyperparameterError, names

KINDS = ("gradient", "direction", "update")  # the order in which a chain runs them
BUS = ("u", "p", "g", "t")  # what a page may read besides its slots


@dataclass(frozen=True)
class Domain:
    """The numbers a hyperparameter may be, in words and as a test."""

    words: str
    holds: Callable[[float], bool] = field(compare=False)


unit = Annotated[float, Domain("in [0, 1)", lambda x: 0 <= x < 1)]
fraction = Annotated[float, Domain("in [0, 1]", lambda x: 0 <= x <= 1)]
nonnegative = Annotated[float, Domain("at least 0", lambda x: x >= 0)]
positive = Annotated[float, Domain("above 0", lambda x: x > 0)]
count = Annotated[int, Domain("at least 1", lambda x: x >= 1)]


@dataclass(frozen=True)
class Slot:
    """What a page keeps between steps, and how it starts.

    `shape` is "array" (the leaf's, or what `start` gives), "scalar" (one number per leaf), "number" (one in the state)
    or "given" (handed to `step` by name). `start(xp, p, hyper)` makes the first value from p in its compute dtype.
    """

    shape: Literal["array", "scalar", "number", "given"]
    start: Any
    keep: bool = False  # `restart` leaves it alone unless it is named
    lasts: bool = False  # the `reset` of a gradient part leaves it alone
    shape_of: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None  # where the leaf's shape tells it


def _start_zeros(xp, p, hyper):
    return xp.zeros_like(p)


def _start_ones(xp, p, hyper):
    return xp.ones_like(p)


def _start_copy(xp, p, hyper):
    return p if _is_symbol(p) else xp.asarray(p, copy=True)


def _start_rows(xp, p, hyper):
    return xp.sum(xp.zeros_like(p), axis=-1, keepdims=True)


def _start_cols(xp, p, hyper):
    return xp.sum(xp.zeros_like(p), axis=-2, keepdims=True)


def _is_symbol(x: Any) -> bool:
    from .trace.namespace import Symbol

    return isinstance(x, Symbol)


@dataclass(frozen=True)
class _Full:
    hyper: str

    def __call__(self, xp, p, hyper):
        return xp.zeros_like(p) + hyper[self.hyper]


@dataclass(frozen=True)
class _FromFunction:
    """A slot computed from p, with the hyperparameters that the function names."""

    function: Callable

    def __call__(self, xp, p, hyper):
        wanted = inspect.signature(self.function).parameters
        return self.function(p, **{k: hyper[k] for k in hyper if k in wanted})


zeros = Slot("array", _start_zeros)
ones = Slot("array", _start_ones)
copy = Slot("array", _start_copy)
rows = Slot("array", _start_rows, shape_of=lambda shape: (*shape[:-1], 1))
cols = Slot("array", _start_cols, shape_of=lambda shape: (*shape[:-2], 1, *shape[-1:]))


def full(hyper: str) -> Slot:
    """A slot filled with the hyperparameter of this name, as it is at count 0.

    Args:
        hyper: the name of one of the page's own.

    >>> import samestep as ss; ss.direction(n=ss.full("first"))(lambda u, n, *, first=1.0: {"n": n + u * u})()
    <lambda>(first=1.0)
    """
    return Slot("array", _Full(hyper))


def scalar(value: float) -> Slot:
    """A slot that is one number per leaf.

    Args:
        value: where it starts.

    >>> import samestep as ss; ss.direction(seen=ss.scalar(0))(lambda seen: {"seen": seen + 1})()
    <lambda>()
    """
    return Slot("scalar", float(value))


def given(default: float | None = None) -> Slot:
    """An input that only a call of `step` can give, such as `loss`.

    Args:
        default: what it is in a call that does not give it; None: such a call is refused.

    >>> import samestep as ss; ss.gradient(loss=ss.given(1.0))(lambda u, loss: {"u": loss * u})()
    <lambda>()
    """
    return Slot("given", default)


def kept(slot: Slot | Callable | float) -> Slot:
    """The same slot, which `restart` leaves alone unless it is named, and the `reset` of a gradient part always.

    Args:
        slot: a slot, or what stands for one: a number, or a function of p.

    >>> import samestep as ss; ss.direction(p0=ss.kept(ss.copy))(lambda p, p0: {"u": p - p0})()
    <lambda>()
    """
    return replace(_as_slot(slot), keep=True, lasts=True)


def _as_slot(spec: Any) -> Slot:
    if spec is given:
        return given()
    if isinstance(spec, Slot):
        return spec
    if isinstance(spec, int | float):
        return Slot("number", float(spec))
    if callable(spec):
        return Slot("array", _FromFunction(spec))
    raise ChainError(
        f"a slot is zeros, ones, copy, full(name), rows, cols, scalar(x), given, a number or a function of p; "
        f"got {spec!r}"
    )


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

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is inspect.Parameter.empty

    def check(self, value: Any) -> Any:
        """The value as it is kept, or an error that says what is allowed."""
        if value is None and self.optional:
            return None
        if self.number:
            return value if callable(value) else self.check_number(value)
        if self.choices is not None:
            if not any(value is c or (type(value) is type(c) and value == c) for c in self.choices):
                raise HyperparameterError(f"{self.name} must be one of {names(self.choices)}; got {value!r}")
        elif type(value) is not self.type and not (self.type is tuple and isinstance(value, tuple)):
            raise HyperparameterError(
                f"{self.name} is an option of type {self.type.__name__}, fixed when the optimizer is built; "
                f"got {value!r}"
            )
        return self._in_domain(value)

    def check_number(self, value: Any) -> float:
        """A run-time number as a float; anything else, nan, and what lies outside the domain are refused."""
        try:
            if isinstance(value, bool | str) or value is None:
                raise TypeError
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            rule = f"{self.name} is a number (or a schedule: a callable of the step); got {value!r}"
            traced = f"; one that is traced is given to a step: step(..., {self.name}=...)"
            raise HyperparameterError(rule + traced if hasattr(value, "shape") else rule) from None
        if number != number:
            raise HyperparameterError(
                f"{self.name} must be a number, not nan; check the schedule or the value that was passed"
            )
        return self._in_domain(number)

    def _in_domain(self, value: Any) -> Any:
        for domain in self.domains:
            if not domain.holds(value):
                raise HyperparameterError(f"{self.name} must be {domain.words}; got {value!r}")
        return value


def _hyper(name: str, default: Any, annotation: Any) -> Hyper:
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
        number = not choices and not any(t in (int, bool, str, tuple) for t in types_)
    else:
        number = isinstance(default, float)
    kind = type(default) if default is not inspect.Parameter.empty and default is not None else (types_ or [float])[0]
    return Hyper(name, default, optional, number, tuple(domains), choices, typing.get_origin(kind) or kind)


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
    ) -> None:
        self.kind = kind
        self.alone = alone
        self.function = function
        self.eval = eval
        self.slots = {name: _as_slot(spec) for name, spec in slots.items()}
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__ or inspect.getdoc(inspect.getmodule(function))
        self.__wrapped__ = function
        signature = inspect.signature(function, eval_str=True)
        self.reads = tuple(n for n, p in signature.parameters.items() if p.kind is not p.KEYWORD_ONLY)
        keywords = [p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY]
        self.hypers = {p.name: _hyper(p.name, p.default, p.annotation) for p in keywords}
        unknown = [n for n in self.reads if n not in BUS and n not in self.slots]
        if unknown:
            raise ChainError(
                f"page {self.__name__} reads {names(unknown)}: positional parameters are u, p, g, t or a declared slot "
                f"({names(self.slots)}); hyperparameters are keyword-only (write them after *)"
            )

    def __reduce__(self) -> str:
        return self.__qualname__  # a page is its module's attribute

    def __repr__(self) -> str:
        return f"<{self.kind} page {self.__name__}>"

    def __call__(self, *args: Any, name: str | None = None, **hyper: Any) -> Part:
        if len(args) > len(self.hypers):
            raise HyperparameterError(f"{self.__name__} takes {names(self.hypers)}; got {len(args)} positional values")
        for key, value in zip(self.hypers, args, strict=False):
            if key in hyper:
                raise HyperparameterError(f"{self.__name__} got {key} twice, by position and by name")
            hyper[key] = value
        unknown = sorted(set(hyper) - set(self.hypers))
        if unknown:
            raise HyperparameterError(f"{self.__name__} has no {names(unknown)}; it has {names(self.hypers)}")
        values = {}
        for key, spec in self.hypers.items():
            if key in hyper:
                values[key] = spec.check(hyper[key])
            elif not spec.required:
                values[key] = spec.default
            elif key != "lr":  # lr is the chain's: another part may bring it
                raise HyperparameterError(f"{self.__name__} needs {key}: write {self.__name__}({key}=...)")
        return Part(self, tuple(values.items()), name)


@dataclass(frozen=True)
class Part:
    """A page with its hyperparameters: one link of a chain."""

    page: Page
    values: tuple[tuple[str, Any], ...]
    name: str | None = None

    def qualify(self, key: str) -> str:
        """The name of a slot or number of this part in the chain; lr is the chain's own."""
        return f"{self.name}.{key}" if self.name and key != "lr" else key

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
    kind: str, eval: Callable | None, slots: dict[str, Any], alone: str | None = None
) -> Callable[[Callable], Page]:
    return lambda function: Page(kind, function, slots, eval, alone)


def gradient(*, eval: Callable | None = None, **slots: Any) -> Callable[[Callable], Page]:
    """Declare a page that runs before the directions: clipping, accumulation, coupled decay.

    It may return `when` (gates every later write), `t` (the inner clock; the number slots that it is made of are each
    leaf's own, as its count is) and `reset` (where it holds, later slots start again, but for those that are kept).

    Args:
        eval: a page that gives the parameters to evaluate at.
        **slots: what it keeps: `zeros`, `ones`, `copy`, `full`, `rows`, `cols`, `scalar`, `given`, a number, or a
            function of p.

    >>> import samestep as ss
    >>> @ss.gradient()
    ... def halve(u):
    ...     return {"u": u / 2}
    >>> halve()
    halve()
    """
    return _decorator("gradient", eval, slots)


def direction(*, eval: Callable | None = None, **slots: Any) -> Callable[[Callable], Page]:
    """Declare a page that turns the gradient into a direction: momentum, adam, lion, cautious.

    Args:
        eval, **slots: as for `gradient`.

    >>> import samestep as ss
    >>> @ss.direction(m=ss.zeros)
    ... def average(u, m, *, beta: ss.unit = 0.9):
    ...     m = beta * m + (1 - beta) * u
    ...     return {"u": m, "m": m}
    """
    return _decorator("direction", eval, slots)


def update(*, eval: Callable | None = None, alone: str | None = None, **slots: Any) -> Callable[[Callable], Page]:
    """Declare a page that moves the parameter: decay, descend, ftrl, lookahead.

    Args:
        eval, **slots: as for `gradient`.
        alone: why no direction part may stand before it, where that is so.

    >>> import samestep as ss
    >>> @ss.update()
    ... def descend_half(p, u, *, lr):
    ...     return {"p": p - lr / 2 * u}
    >>> descend_half(lr=1.0)
    descend_half(lr=1.0)
    """
    return _decorator("update", eval, slots, alone)
