"""What the arguments of a schedule must be, by their annotations, checked when it is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any, Literal, get_args, get_origin

from .errors import HyperparameterError, names
from .hypers import at_least_one, positive

Value = float | Callable[[Any], Any]
KINDS: Mapping[Any, tuple[str, str, Callable[[float], bool]]] = {  # what a number must be, one such, the test
    positive: ("a number above 0", "100", lambda x: x > 0),
    at_least_one: ("a number at least 1", "100", lambda x: x >= 1),
    int: ("a number at least 0", "100", lambda x: x >= 0),
    float: ("a number", "0.1", lambda x: x == x),
    Value: ("a number, or a function of the count", "0.1", lambda x: x == x),
}


def checked(parameters: Sequence[inspect.Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a schedule keeps them, or an error that says what is allowed."""
    values = {p.name: _checked(p.name, p.annotation, given[p.name]) for p in parameters}
    if "boundaries" in values:
        _check_boundaries(values)
    return values


def _checked(name: str, hint: Any, value: Any) -> Any:
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise HyperparameterError(f"{name} must be one of {names(get_args(hint))}; got {value!r}")
    if get_origin(hint) is Sequence:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise HyperparameterError(f"{name} must be several values; got {value!r}: write {name}=[...]")
        return tuple(_checked(f"each of {name}", get_args(hint)[0], x) for x in value)
    for kind, (words, example, holds) in KINDS.items():
        asked = hint == kind or (hint == kind | None and value is not None)
        if asked and not ((isinstance(value, Real) and holds(float(value))) or (kind == Value and callable(value))):
            written = example if " " in name else f"{name}={example}"
            raise HyperparameterError(f"{name} must be {words}; got {value!r}: write {written}, or another such")
    return value


def _check_boundaries(values: Mapping[str, Any]) -> None:
    field, boundaries = next(iter(values)), values["boundaries"]
    if len(values[field]) != len(boundaries) + 1 or any(b <= a for a, b in pairwise((0, *boundaries))):
        raise HyperparameterError(
            f"boundaries must be one between any two neighbours of {field}, above 0 and increasing; "
            f"got {len(values[field])} {field} and {boundaries!r}"
        )
