"""The arguments of a call in their places, or an error that says how to write them."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .errors import HyperparameterError, names

SPELLED = {  # elsewhere: here
    "learning_rate": "lr", "b1": "beta1", "b2": "beta2", "b3": "beta3", "beta_1": "beta1", "beta_2": "beta2",
    "epsilon": "eps", "alpha": "rho", "initial_accumulator_value": "initial_accumulator",
}  # fmt: skip


def respelled(given: Mapping[str, Any], known: Collection[str]) -> str:
    """How names and tuples that other libraries have are written here, for a message; of what is unknown nothing."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        own = {SPELLED.get(name, ""): value}
        if name.endswith("s") and isinstance(value, tuple | list):
            own = {f"{name[:-1]}{i}": x for i, x in enumerate(value, start=1)}
        found |= own if own.keys() <= set(known) else {}
    return f": write {', '.join(f'{name}={value!r:.40}' for name, value in found.items())}" if found else ""


def misfit(
    title: str, known: Collection[str], places: Sequence[str], required: Collection[str], args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> str | None:  # fmt: skip
    """Why these arguments cannot be taken, and how to write them; None where they can."""
    unknown = {key: kwargs[key] for key in sorted(kwargs) if key not in known}
    if unknown:
        return f"{title} has no {names(unknown)}; it has {names(known)}{respelled(unknown, known)}"
    if len(args) > len(places):
        rest = next((key for key in known if key not in places), None)
        more = f": write the others by name, {title}({rest}=...)" if rest else ""
        return f"{title} takes {names(places)} by position; got {len(args)} values{more}"
    by_place = places[: len(args)]
    twice = next((key for key in by_place if key in kwargs), None)
    if twice is not None:
        both = f"{args[places.index(twice)]!r:.40} and {kwargs[twice]!r:.40}"
        return f"{title} got {twice} by position and by name, {both}: give it once"
    missing = [key for key in required if key not in by_place and key not in kwargs]
    written = ", ".join(f"{key}=..." for key in missing)
    return f"{title} needs {', '.join(missing)}: write {title}({written})" if missing else None


def fitted(title: str, signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]) -> inspect.BoundArguments:
    """The arguments of a call in their places."""
    known = signature.parameters
    places = [name for name, p in known.items() if p.kind is not p.KEYWORD_ONLY]
    wrong = misfit(title, known, places, [n for n, p in known.items() if p.default is p.empty], args, kwargs)
    if wrong is not None:
        raise HyperparameterError(wrong)
    return signature.bind(*args, **kwargs)
