"""Schedules: what a hyperparameter is at a step. Frozen values, called with the count of completed steps.

    lr = ss.schedules.warmup(ss.schedules.cosine(1e-3, 9_500), 500)

The first step sees count 0. Schedules compare, hash and pickle by their numbers. The count may be an int, an array or a
symbol of a page, and so is the result. Where one takes schedules, numbers and other callables of the count will do.

Each is written once, as a function of an array namespace `xp`, the count `c` as a float, and its numbers.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any, Literal

import array_api_compat

from . import libraries
from .arguments import fitted
from .hypers import at_least_one, positive
from .schedule_values import Value, checked
from .trace import floats
from .trace.namespace import Symbol

FUNCTIONS: dict[str, Callable] = {}


class _Floats:
    """The functions of an array namespace, on Python floats."""

    cos, log, sqrt, floor, ceil = map(staticmethod, (math.cos, floats.log, floats.sqrt, floats.floor, floats.ceil))
    minimum, maximum = map(staticmethod, (floats.minimum, floats.maximum))
    where = staticmethod(lambda condition, a, b: a if condition else b)


@dataclass(frozen=True, repr=False)
class Schedule:
    """A schedule: the name of its function and its numbers."""

    name: str
    values: tuple[tuple[str, Any], ...]

    def __call__(self, count: Any) -> Any:
        """The value at a count of completed steps."""
        function, values = FUNCTIONS[self.name], dict(self.values)
        if isinstance(count, Real):
            return function(_Floats, float(count), **values)
        xp = array_api_compat.array_namespace(count)
        wide = count if isinstance(count, Symbol) else libraries.of(count).widest(count)
        return function(xp, wide, **values)

    def __repr__(self) -> str:
        defaults = inspect.signature(FUNCTIONS[self.name]).parameters
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in self.values if v != defaults[k].default)})"


def _schedule(function: Callable[..., Any]) -> Callable[..., Schedule]:
    """Make the constructor: the same parameters, without `xp` and `c`."""
    FUNCTIONS[function.__name__] = function
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())[2:]
    signature = inspect.Signature(parameters)

    @functools.wraps(function)
    def constructor(*args: Any, **kwargs: Any) -> Schedule:
        bound = fitted(function.__name__, signature, args, kwargs)
        bound.apply_defaults()
        values = checked(parameters, bound.arguments)
        return Schedule(function.__name__, tuple(values.items()))

    constructor.__signature__ = signature.replace(return_annotation=Schedule)  # type: ignore[attr-defined]
    return constructor


def _at(value: Value, c: Any) -> Any:
    if callable(value):
        return value(int(c) if isinstance(c, float) else c)
    return value + 0.0 * c


def _power(a: float, b: Any) -> Any:
    """a ** b, of numbers too infinite where it is too large."""
    return floats.power(a, b) if isinstance(b, float) else a**b


def _fall(xp: Any, q: Any) -> Any:
    """From 1 at q = 0 to 0 at q = 1, as half a wave of the cosine."""
    return (1 + xp.cos(math.pi * q)) / 2


def _within(xp: Any, c: Any, low: float, high: float) -> Any:
    """How far c is on the way from low to high, in [0, 1]."""
    return xp.minimum(xp.maximum((c - low) / (high - low), 0.0), 1.0)


def _through(xp: Any, c: Any, points: Sequence[tuple[float, float]], shape: str) -> Any:
    """The values at these counts, and between two neighbours a line, half a wave or the earlier value."""
    value = points[0][1] + 0.0 * c
    for (low, start), (high, end) in pairwise(points):
        if shape != "constant":
            q = _within(xp, c, low, high)
            value = xp.where(c > low, start + (end - start) * (q if shape == "linear" else 1 - _fall(xp, q)), value)
        value = xp.where(c >= high, end + 0.0 * c, value)
    return value


@_schedule
def constant(xp, c, value: float):
    """Always `value`.

    >>> import samestep as ss
    >>> ss.schedules.constant(0.1)(1000)
    0.1
    """
    return value + 0.0 * c


@_schedule
def step(xp, c, value: float, size: positive, gamma: float = 0.1):
    """`value`, times gamma after every `size` steps.

    >>> import samestep as ss
    >>> [ss.schedules.step(1.0, 2, 0.5)(c) for c in range(5)]
    [1.0, 1.0, 0.5, 0.5, 0.25]
    """
    return value * _power(gamma, xp.floor(c / size))


@_schedule
def multistep(xp, c, value: float, milestones: Sequence[int], gamma: float = 0.1):
    """`value`, times gamma from each milestone on; a milestone written twice counts twice.

    >>> import samestep as ss
    >>> [ss.schedules.multistep(1.0, [1, 3], 0.5)(c) for c in range(5)]
    [1.0, 0.5, 0.5, 0.25, 0.25]
    """
    passed = 0.0 * c
    for milestone in milestones:
        passed = xp.where(c >= milestone, passed + 1, passed)
    return value * _power(gamma, passed)


@_schedule
def linear(xp, c, start: float, end: float, steps: positive):
    """A straight line from `start` to `end` over `steps` steps; then `end`.

    >>> import samestep as ss
    >>> [ss.schedules.linear(0.0, 1.0, 2)(c) for c in range(4)]
    [0.0, 0.5, 1.0, 1.0]
    """
    return start + (end - start) * _within(xp, c, 0, steps)


@_schedule
def exponential(
    xp, c, value: float, gamma: positive, size: positive = 1, staircase: bool = False, end: float | None = None
):
    """value gamma^(c / size); in stairs with `staircase`; not beyond `end`, if there is one.

    >>> import samestep as ss
    >>> [ss.schedules.exponential(1.0, 0.5, end=0.2)(c) for c in range(4)]
    [1.0, 0.5, 0.25, 0.2]
    """
    value = value * _power(gamma, xp.floor(c / size) if staircase else c / size)
    if end is None:
        return value
    return xp.maximum(value, end) if gamma < 1 else xp.minimum(value, end)


@_schedule
def inverse_time(xp, c, value: float, rate: float, size: positive = 1, staircase: bool = False):
    """value / (1 + rate c / size); in stairs with `staircase`.

    >>> import samestep as ss
    >>> [ss.schedules.inverse_time(1.0, 1.0)(c) for c in (0, 1, 3)]
    [1.0, 0.5, 0.25]
    """
    return value / (1 + rate * (xp.floor(c / size) if staircase else c / size))


@_schedule
def inverse_sqrt(xp, c, value: float, hold: int = 0):
    """value / sqrt(c + 1); with `hold`, `value` for so many steps and value sqrt(hold / c) after them.

    >>> import samestep as ss
    >>> [ss.schedules.inverse_sqrt(1.0, hold=4)(c) for c in (0, 4, 16)]
    [1.0, 1.0, 0.5]
    """
    return value / xp.sqrt(xp.maximum(c, hold) / hold if hold else c + 1)


@_schedule
def polynomial(xp, c, value: float, steps: positive, power: positive = 1.0, end: float = 0.0, cycle: bool = False):
    """From `value` to `end` as (1 - c / steps)^power; then `end`. `cycle`: `steps` grows by multiples instead.

    >>> import samestep as ss
    >>> [ss.schedules.polynomial(1.0, 2, power=2.0)(c) for c in range(4)]
    [1.0, 0.25, 0.0, 0.0]
    """
    if cycle:
        steps = steps * xp.maximum(xp.ceil(c / steps), 1.0)
    return (value - end) * (xp.maximum(steps - c, 0.0) / steps) ** power + end


@_schedule
def cosine(xp, c, value: float, steps: positive, end: float = 0.0, exponent: positive = 1.0, periodic: bool = False):
    """From `value` to `end` over `steps` steps, as half a wave to a power; then `end`, or up again if `periodic`.

    >>> import samestep as ss
    >>> [round(ss.schedules.cosine(1.0, 2)(c), 6) for c in range(4)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return end + (value - end) * _fall(xp, (c if periodic else xp.minimum(c, steps)) / steps) ** exponent


@_schedule
def cosine_restarts(
    xp, c, value: float, steps: positive, mult: at_least_one = 1, gamma: positive = 1.0, end: float = 0.0
):  # fmt: skip
    """Half waves down to `end`: the first of `steps` steps, each next `mult` times as long, `gamma` times as high.

    >>> import samestep as ss
    >>> [round(ss.schedules.cosine_restarts(1.0, 2, mult=2)(c), 6) for c in range(6)]
    [1.0, 0.5, 1.0, 0.853553, 0.5, 0.146447]
    """
    waves = c / steps  # in lengths of the first one
    if mult == 1:
        n = xp.floor(waves)
        q = waves - n
    else:
        n = xp.floor(xp.log(1 + waves * (mult - 1)) / math.log(mult) + 0.5)  # right, or one too many
        n = xp.where((mult**n - 1) / (mult - 1) > waves, n - 1, n)
        q = (waves - (mult**n - 1) / (mult - 1)) / mult**n
    return end + (value - end) * _power(gamma, n) * _fall(xp, q)


@_schedule
def one_cycle(
    xp,
    c,
    value: float,
    steps: positive,
    rise: positive = 0.3,
    start_div: positive = 25.0,
    end_div: positive = 1e4,
    shape: Literal["cosine", "linear"] = "cosine",
    three_phase: bool = False,
):
    """From value / start_div up to `value` in a share `rise` of `steps`, then down to value / start_div / end_div.

    With `three_phase` it falls as fast as it rose, and then to the end.

    >>> import samestep as ss
    >>> [round(ss.schedules.one_cycle(1.0, 10, rise=0.4)(c), 6) for c in (0, 3, 9)]
    [0.04, 1.0, 4e-06]
    """
    top, low = rise * steps - 1, value / start_div
    points = [(0, low), (top, value), (steps - 1, low / end_div)]
    if three_phase:
        points.insert(2, (2 * top, low))
    return _through(xp, c, points, shape)


@_schedule
def cyclic(
    xp,
    c,
    low: float,
    high: float,
    up: positive,
    down: positive | None = None,
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
    gamma: positive = 1.0,
):
    """From `low` to `high` in `up` steps and back in `down` (None: as many), again and again.

    "triangular2" halves the height with each cycle, "exp_range" multiplies it by gamma^c.

    >>> import samestep as ss
    >>> [ss.schedules.cyclic(0.0, 1.0, 2)(c) for c in range(5)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    fall = up if down is None else down
    n = xp.floor(c / (up + fall))
    place = c - n * (up + fall)
    scale = {"triangular": 1.0, "triangular2": 0.5**n, "exp_range": _power(gamma, c)}[mode]
    return low + (high - low) * xp.minimum(place / up, (up + fall - place) / fall) * scale


@_schedule
def warmup(xp, c, then: Value, steps: positive, start: float = 0.0, early: bool = False):
    """A straight line from `start` to what `then` says at 0, over `steps` steps; after it `then`, counted from there.

    With `early` the line is one step ahead, so that the first step moves.

    >>> import samestep as ss
    >>> [ss.schedules.warmup(1.0, 2)(c) for c in range(4)]
    [0.0, 0.5, 1.0, 1.0]
    """
    line = start + (_at(then, 0.0 * c) - start) * (c + (1.0 if early else 0.0)) / steps
    return xp.where(c < steps, line, _at(then, xp.maximum(c - steps, 0.0)))


@_schedule
def wsd(
    xp, c, value: float, warmup: int, stable: int, decay: positive, end: float = 0.0,
    shape: Literal["linear", "sqrt", "square", "cosine", "exponential"] = "linear", halvings: positive = 10.0,
):  # fmt: skip
    """Warm up from 0 to `value`, stay, and decay to `end`, in so many steps each; then `end`.

    The decay at q in [0, 1] is 1 - q ("linear"), 1 - sqrt(q) ("sqrt"), 1 - q^2 ("square"), half a wave ("cosine") or
    0.5^(halvings q) ("exponential", which does not come down to `end`).

    >>> import samestep as ss
    >>> [ss.schedules.wsd(1.0, 2, 2, 2)(c) for c in range(8)]
    [0.0, 0.5, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    q = _within(xp, c, warmup + stable, warmup + stable + decay)
    fall = {
        "linear": 1 - q,
        "sqrt": 1 - xp.sqrt(q),
        "square": 1 - q * q,
        "cosine": _fall(xp, q),
        "exponential": 0.5 ** (halvings * q),
    }[shape]
    after = end + (value - end) * fall
    return xp.where(c < warmup, value * c / warmup, after) if warmup else after


@_schedule
def join(xp, c, schedules: Sequence[Value], boundaries: Sequence[int]):
    """One schedule after the other: the next one starts at a boundary, and counts from there.

    >>> import samestep as ss
    >>> [ss.schedules.join([1.0, ss.schedules.linear(0.5, 0.0, 2)], [2])(c) for c in range(5)]
    [1.0, 1.0, 0.5, 0.25, 0.0]
    """
    value = _at(schedules[0], c)
    for schedule, boundary in zip(schedules[1:], boundaries, strict=True):
        value = xp.where(c >= boundary, _at(schedule, xp.maximum(c - boundary, 0.0)), value)
    return value


@_schedule
def product(xp, c, schedules: Sequence[Value]):
    """Schedules multiplied.

    >>> import samestep as ss
    >>> ss.schedules.product([0.5, ss.schedules.linear(0.0, 1.0, 2)])(1)
    0.25
    """
    return math.prod(_at(schedule, c) for schedule in schedules)


@_schedule
def piecewise(
    xp,
    c,
    values: Sequence[float],
    boundaries: Sequence[int],
    shape: Literal["constant", "linear", "cosine"] = "constant",
):
    """values[0] at count 0 and values[i] from boundaries[i - 1] on; on the way the value before, a line or half a wave.

    >>> import samestep as ss
    >>> [ss.schedules.piecewise([1.0, 0.0], [2])(c) for c in range(4)]
    [1.0, 1.0, 0.0, 0.0]
    """
    return _through(xp, c, list(zip((0, *boundaries), values, strict=True)), shape)
