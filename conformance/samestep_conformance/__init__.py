"""The checks that every optimizer and every backend of samestep must pass, and the drift finder."""

from importlib import import_module
from typing import Any

__all__ = ["compare", "conforms"]

_HOMES = {"compare": "drift", "conforms": "suite"}  # imported when asked for: pytest imports this package in every run


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
