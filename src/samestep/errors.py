"""Every message: the rule, the value received, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable


class SamestepError(ValueError):
    """The base of every error that samestep raises on purpose."""


class TreeError(SamestepError):
    """Params, grads and state must be nestings that match, leaf by leaf."""


class LeafError(SamestepError):
    """A leaf has a shape, dtype or library that its place does not allow."""


class StateError(SamestepError):
    """The state is of another optimizer, or of other params."""


class HyperparameterError(SamestepError):
    """A hyperparameter is unknown, missing, or outside its domain."""


class ChainError(SamestepError):
    """These parts cannot stand in one chain."""


class DonationError(SamestepError):
    """A donated array cannot be written in place."""


class TraceError(TypeError, SamestepError):
    """A page says something that the tracer does not know."""


class BackendError(SamestepError):
    """No backend can run this, or the one asked for refuses."""


def where(path: str) -> str:
    """How a message names a leaf."""
    return f"leaf {path!r}" if path else "the leaf (path '')"


def names(values: Iterable[object], limit: int = 12) -> str:
    """A short list for a message."""
    shown = [repr(value) for value in values]
    more = f", ... ({len(shown) - limit} more)" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more if shown else "none"
