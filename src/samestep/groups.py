"""Path patterns to chains: which branch of an optimizer a leaf belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from .arguments import respelled
from .chain import Chain
from .errors import ChainError, HyperparameterError, names

DEFAULT = "default"  # how the state calls the branch of leaves that no pattern matches


@dataclass(frozen=True)
class Freeze:
    """Leaves that a step leaves alone, bit for bit: no slots, no count, no decay."""

    def __repr__(self) -> str:
        return "freeze()"


def freeze() -> Freeze:
    """Leave the leaves of a group alone, bit for bit: no slots are allocated, nothing decays.

    >>> import samestep as ss
    >>> ss.groups({"*.bias": ss.freeze()}, default=ss.sgd(0.1))
    groups({'*.bias': freeze()}, default=sgd(lr=0.1))
    """
    return Freeze()


@dataclass(frozen=True)
class Branch:
    """A pattern and the chain of the leaves that it matches; no chain: frozen."""

    pattern: str
    chain: Chain | None
    label: str = ""

    def matches(self, path: str) -> bool:
        """`*` crosses dots; `*.bias` also matches a bare `bias`."""
        return fnmatchcase(path, self.pattern) or (
            self.pattern.startswith("*.") and fnmatchcase(path, self.pattern[2:])
        )


def in_group(branches: Sequence[Branch], i: int) -> str:
    """How a message says which group a number is of; nothing where there is one."""
    return f" in the group {branches[i].pattern!r}" if len(branches) > 1 else ""


def assign(branches: Sequence[Branch], paths: Sequence[str]) -> tuple[int, ...]:
    """The branch of every leaf; the last branch takes what no pattern matches."""
    last = len(branches) - 1
    found = tuple(next((i for i in range(last) if branches[i].matches(path)), last) for path in paths)
    for i in sorted(set(range(last)) - set(found)):
        if any(branches[i].matches(path) for path in paths):
            raise ChainError(
                f"pattern {branches[i].pattern!r} decides no leaf: a pattern before it matches all of its leaves, "
                "and the first match wins. Write it earlier, or leave it out."
            )
        raise ChainError(
            f"pattern {branches[i].pattern!r} matches no leaf; the paths are {names(paths)}. "
            "Patterns are matched against the whole path, `*` crosses dots."
        )
    return found


def overridden(chain: Chain, pattern: str, values: Mapping[str, Any]) -> Chain:
    """The same chain with other numbers, for the leaves of a pattern."""
    for key in values:
        if key in chain.options:
            raise HyperparameterError(
                f"the group {pattern!r} changes {key}, an option, which a dict of numbers cannot: "
                f"write an optimizer there that is built with {key}=..."
            )
    unknown = [key for key in values if key not in chain.hypers]
    if unknown:
        raise HyperparameterError(
            f"the group {pattern!r} changes {names(unknown)}, and the default of the groups has no such number; "
            f"it has {names(chain.hypers)}{respelled({k: values[k] for k in unknown}, chain.hypers)}"
        )
    try:
        return chain.replace(values)
    except HyperparameterError as error:
        raise HyperparameterError(f"the group {pattern!r}: {error}") from None
