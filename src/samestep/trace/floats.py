"""Arithmetic on Python floats as the standard has it: inf and nan where Python would raise.

Every number of a step (hyperparameters, bias corrections, totals) is computed here, in float64, once.
"""

from __future__ import annotations

import math
from math import inf, isfinite, isinf, isnan, nan

from . import words


def divide(a: float, b: float) -> float:
    """a / b; x / 0 is a signed infinity, 0 / 0 is nan."""
    try:
        return a / b
    except ZeroDivisionError:
        return nan if a == 0 or a != a else math.copysign(inf, a) * math.copysign(1.0, b)


def power(a: float, b: float) -> float:
    """a ** b; overflow is inf, a root of a negative number is nan."""
    try:
        return math.pow(a, b)
    except OverflowError:
        return -inf if a < 0 and _odd(b) else inf
    except ValueError:  # 0 ** negative, or negative ** fraction
        if a == 0:
            return math.copysign(inf, a) if _odd(b) else inf
        return nan


def _odd(x: float) -> bool:
    return isfinite(x) and abs(math.fmod(x, 2.0)) == 1.0  # exactly, which x % 2 is not


def _guard(function, overflow: float):
    def guarded(x: float) -> float:
        try:
            return function(x)
        except OverflowError:
            return overflow
        except ValueError:
            return nan

    return guarded


sqrt = _guard(math.sqrt, inf)
exp = _guard(math.exp, inf)
expm1 = _guard(math.expm1, inf)
sin = _guard(math.sin, nan)
cos = _guard(math.cos, nan)
acos = _guard(math.acos, nan)
tanh = math.tanh
copysign = math.copysign
abs = abs


def log(x: float) -> float:
    """The natural logarithm; -inf at 0, nan below."""
    return math.log(x) if x > 0 else (-inf if x == 0 else nan)


def log1p(x: float) -> float:
    """log(1 + x); -inf at -1, nan below."""
    return math.log1p(x) if x > -1 else (-inf if x == -1 else nan)


def sign(x: float) -> float:
    """-1, 0 or 1; nan stays nan."""
    return x if x != x else float((x > 0) - (x < 0))


def minimum(a: float, b: float) -> float:
    """The smaller; nan if either is nan."""
    return a if a != a or a < b else b


def maximum(a: float, b: float) -> float:
    """The larger; nan if either is nan."""
    return a if a != a or a > b else b


def floor(x: float) -> float:
    """The integer below, as a float; inf, nan and the sign of zero stay."""
    return copysign(math.floor(x), x) if isfinite(x) else x


def ceil(x: float) -> float:
    """The integer above, as a float; inf, nan and the sign stay."""
    return copysign(math.ceil(x), x) if isfinite(x) else x


def remainder(a: float, b: float) -> float:
    """a mod b with the sign of b; nan for b = 0."""
    return a % b if b != 0 and isfinite(a) else nan


def floor_divide(a: float, b: float) -> float:
    """The floor of a / b; a / 0 as divide has it."""
    return a // b if b != 0 else divide(a, b)


def fold(k: float, w: float) -> float:
    """The key k with the word w taken in; nan of what is no word."""
    return float(words.fold(int(k), int(w))) if isfinite(k) and isfinite(w) else nan


__all__ = [
    "abs", "acos", "ceil", "copysign", "cos", "divide", "exp", "expm1", "floor", "floor_divide", "fold", "isfinite",
    "isinf", "isnan", "log", "log1p", "maximum", "minimum", "power", "remainder", "sign", "sin", "sqrt", "tanh",
]  # fmt: skip
