"""Slots: what a page keeps between steps, and how each starts."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from .errors import ChainError


@dataclass(frozen=True)
class Slot:
    """What a page keeps between steps, and how it starts.

    `shape` is "array" (the leaf's, or what `start` gives), "scalar" (one number per leaf), "number" (one in the state),
    "given" or "leaves" (handed to `step` by name, a number or an array for each leaf) or "borrowed" (an array of a part
    before it). `start(xp, p, hyper)` makes the first value from p in its compute dtype.
    """

    shape: Literal["array", "scalar", "number", "given", "leaves", "borrowed"]
    start: Any
    keep: bool = False  # `restart` leaves it alone unless it is named
    lasts: bool = False  # the `reset` of a gradient part leaves it alone
    leads: bool = False  # it is the parameter, unrounded: what pages read and move in its place
    shape_of: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None  # where the leaf's shape tells it
    role: Literal["", "full", "stale", "last"] = ""  # what `refresh` fills, and sets back to 0; a snapshot without it

    @property
    def stored(self) -> bool:
        """Whether the state has it because of this part."""
        return not self.handed and self.shape != "borrowed"

    @property
    def handed(self) -> bool:
        """Whether a call of `step` gives it."""
        return self.shape in ("given", "leaves")


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
class _Same:
    hyper: str

    def __call__(self, xp, p, hyper):
        return hyper[self.hyper]


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
full_gradient = Slot("array", _start_zeros, role="full")  # what `refresh` is given
stale = Slot("number", 1.0, role="stale")  # not 0: `refresh` is due before the next step
last_params = Slot("array", _start_copy, role="last")  # a snapshot that moves in every step
given_leaves = Slot("leaves", None)  # an array for each leaf, which a call of `step` gives where the page reads it
borrowed = Slot("borrowed", None, keep=True, lasts=True)  # the slot of this name that a part before it has written


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
    return replace(as_slot(slot), keep=True, lasts=True)


def per_axis(**starts: Callable) -> dict[str, Any]:
    """A slot for each of the five axes that a leaf may have: h=start declares h0 to h4, made by start(axis, p, ...)."""
    return {f"{name}{axis}": partial(start, axis) for name, start in starts.items() for axis in range(5)}


def as_slot(spec: Any) -> Slot:
    """The slot that a decorator was given: a slot, a number, or a function of p."""
    if spec is given:
        return given()
    if isinstance(spec, Slot):
        return spec
    if isinstance(spec, int | float):
        return Slot("number", float(spec))
    if isinstance(spec, str):
        return Slot("number", _Same(spec))
    if callable(spec):
        return Slot("array", _FromFunction(spec))
    raise ChainError(
        "a slot is zeros, ones, copy, full(name), rows, cols, scalar(x), given, given_leaves, full_gradient, stale, "
        f"last_params, borrowed, a number, the name of one, or a function of p; got {spec!r}"
    )
