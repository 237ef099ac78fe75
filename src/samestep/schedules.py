"""Schedules: what a hyperparameter is at a step. Plain frozen values, called with the count of completed steps.

    lr = ss.schedules.warmup(ss.schedules.cosine(1e-3, 10_000), 500)
    lr(0), lr(500)

The first step sees 0. They compare, hash and pickle by their numbers. The count may be an int, an array or a symbol of a page:
then so is the result. Where a schedule takes schedules, plain numbers and any callable of the count will do too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import array_api_compat

from .errors import HyperparameterError, names
from .trace import floats

Value = float | Callable[[Any], Any]


class _Floats:
    """The functions of an array namespace, on Python floats."""

    cos, log, sqrt = staticmethod(math.cos), staticmethod(floats.log), staticmethod(floats.sqrt)
    floor, minimum, maximum = staticmethod(floats.floor), staticmethod(floats.minimum), staticmethod(floats.maximum)

    @staticmethod
    def where(condition: bool, a: float, b: float) -> float:
        return a if condition else b


def _counted(count: Any) -> tuple[Any, Any]:
    """The functions for this count, and the count as a float."""
    if isinstance(count, Real):
        return _Floats, float(count)
    xp = array_api_compat.array_namespace(count)
    if array_api_compat.is_array_api_obj(count) and not array_api_compat.is_jax_array(count):
        return xp, xp.astype(count, xp.float64)
    return xp, count * 1.0  # JAX has the widest floats that it is set to; a symbol is a number already


def _at(schedule: Value, count: Any) -> Any:
    return schedule(count) if callable(schedule) else schedule + 0.0 * count


def _checked(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (isinstance(value, Real) and value > 0):
            raise HyperparameterError(f"{name} must be a number above 0; got {value!r}")


def _shape(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise HyperparameterError(f"{name} must be one of {names(allowed)}; got {value!r}")


def _increasing(boundaries: Sequence[float]) -> None:
    if any(b <= a for a, b in zip((-1, *boundaries), boundaries, strict=False)):
        raise HyperparameterError(f"boundaries must be counts that increase; got {boundaries!r}")


def _wave(xp: Any, q: Any) -> Any:
    """From 1 at q = 0 down to 0 at q = 1, as a cosine."""
    return (1 + xp.cos(math.pi * q)) / 2


@dataclass(frozen=True)
class constant:
    """Always `value`.

    >>> import samestep as ss
    >>> ss.schedules.constant(0.1)(1000)
    0.1
    """

    value: float

    def __call__(self, count: Any) -> Any:
        _, c = _counted(count)
        return self.value + 0.0 * c


@dataclass(frozen=True)
class step:
    """`value` times gamma after every `size` steps.

    >>> import samestep as ss
    >>> [ss.schedules.step(1.0, 2, 0.5)(c) for c in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """

    value: float
    size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        _checked(size=self.size)

    def __call__(self, count: Any) -> Any:
        xp, c = _counted(count)
        return self.value * self.gamma ** xp.floor(c / self.size)


@dataclass(frozen=True)
class multistep:
    """`value` times gamma from each milestone on; a milestone written twice counts twice.

    >>> import samestep as ss
    >>> [ss.schedules.multistep(1.0, [1, 3], 0.5)(c) for c in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """

    value: float
    milestones: Sequence[int]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        object.__setattr__(self, "milestones", tuple(sorted(self.milestones)))

    def __call__(self, count: Any) -> Any:
        xp, c = _counted(count)
        passed = 0.0 * c
        for milestone in self.milestones:
            passed = passed + xp.where(c >= milestone, 1.0 + 0.0 * c, 0.0 * c)
        return self.value * self.gamma**passed


@dataclass(frozen=True)
class linear:
    """A straight line from `start` to `end` over `steps` steps, from count `begin` on; then `end`.

    >>> import samestep as ss
    >>> [ss.schedules.linear(0.0, 1.0, 2)(c) for c in range(4)]
    [0.0, 0.5, 1.0, 1.0]
    """

    start: float
    end: float
    steps: int
    begin: int = 0

    def __post_init__(self) -> None:
        _checked(steps=self.steps)

    def __call__(self, count: Any) -> Any:
        xp, c = _counted(count)
        return self.start + (self.end - self.start) * xp.clip(...)
