"""What `step` is given by name: run-time numbers for this step, and the inputs of parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import libraries
from .arguments import respelled
from .chain import Chain
from .errors import HyperparameterError, names

if TYPE_CHECKING:
    from .optimizer import Optimizer


def checked(optimizer: Optimizer, overrides: dict[str, Any]) -> dict[str, Any]:
    """Overrides name run-time numbers; the inputs of parts, such as loss, pass."""
    if not overrides and optimizer.stepper.complete:
        return {}
    chains = [chain for chain in optimizer.chains if chain is not None]
    if not overrides:
        for chain in chains:
            chain.require(chain.numbers)
        optimizer.stepper.complete = True
        return {}
    inputs = {s for c in chains for part in c.parts for s, spec in part.page.slots.items() if spec.handed}
    known = {name for chain in chains for name in chain.hypers}
    found = {}
    for key, value in overrides.items():
        if key in inputs:
            found[key] = value
            continue
        if key not in known:
            _unknown(optimizer, key, value, known | inputs, chains)
        if any(key in chain.per_leaf for chain in chains):
            raise HyperparameterError(
                f"{key} is another number for each leaf, fixed when the optimizer is built; got {value!r:.80}: "
                "build another one with per_leaf"
            )
        if libraries.deferred(value):
            found[key] = _zero_d(key, value)
            continue
        if callable(value):
            raise HyperparameterError(
                f"{key} is a number for this one step; got {value!r}: call it, or build another optimizer with it"
            )
        for chain in chains:
            if key in chain.hypers:
                value = chain.check(key, value)
        found[key] = value
    for chain in chains:
        chain.require({**chain.numbers, **found})
    return found


def _unknown(optimizer: Optimizer, key: str, value: Any, known: set[str], chains: list[Chain]) -> None:
    rule = dict(optimizer.refused).get(key)
    if rule is None and any(key in chain.options for chain in chains):
        rule = f"{key} is an option, fixed when the optimizer is built"
    if rule is not None:
        raise HyperparameterError(f"{rule}; got {value!r:.80}: build another one with {key}=...")
    raise HyperparameterError(
        f"this optimizer has no number {key!r}, here {value!r:.80}; step takes {names(sorted(known))}"
        f"{respelled({key: value}, known)}"
    )


def _zero_d(name: str, value: Any) -> Any:
    if getattr(value, "shape", ()) != ():
        raise HyperparameterError(
            f"{name} is one number; got an array of shape {tuple(value.shape)}: pass one of its entries"
        )
    return value
