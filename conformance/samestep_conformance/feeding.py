"""What a step takes beside one gradient, fed: a second gradient, `refresh` where it is due, numbers such as a coin, and
an array for each leaf.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optree

import samestep as ss
from samestep import libraries
from samestep import params as trees

from .arrays import host

POINTS = "points"  # in the state of what is fed: where it wants its next gradients, and is to be evaluated
NUMBERS = (0.0, 1.0)  # that a step may be given: a coin has no others


def fed(optimizer: Any) -> Any:
    """The optimizer itself or, where its step takes more than a gradient, one of the same two verbs that is fed it."""
    return Fed(optimizer) if wants_more(optimizer) else optimizer


def wants_more(optimizer: Any) -> bool:
    """Whether a step of it takes more than a gradient; of a third party's never."""
    if not isinstance(optimizer, ss.Optimizer):
        return False
    return bool(optimizer.stepper.second or optimizer.stepper.leafwise or inputs(optimizer))


def inputs(optimizer: ss.Optimizer) -> list[str]:
    """The numbers without which a step is refused."""
    return [name for name, slot in optimizer.stepper.declared.items() if slot.start is None]


def leafwise(optimizer: ss.Optimizer, params: Any) -> set[str]:
    """The arrays for each leaf without which a step of these params is refused."""
    if not optimizer.stepper.leafwise:
        return set()
    leaves, spec = trees.flatten(params)
    return optimizer.stepper.leafwise & optimizer.stepper.plan(spec, leaves, None).handed


def taken(
    optimizer: ss.Optimizer, params: Any, state: Any, gradient: Callable[[str, Any], Any], **extra: Any
) -> tuple[Any, dict[str, Any]]:
    """A step, after a refresh if there has to be one, its numbers drawn by the count of steps.

    `gradient(name, at)` gives what is asked for: "x" and "snapshot", of one batch, or "full", of all data. A number in
    `extra` is not drawn. An array for each leaf is the gradient with its entries in reverse order.
    """
    rng = np.random.default_rng([13, max(optree.tree_leaves(state["step"]))])
    numbers: dict[str, Any] = {name: float(rng.choice(NUMBERS)) for name in inputs(optimizer)}
    points = optimizer.query(params, state)
    if optimizer.needs_refresh(state):
        state = optimizer.refresh(params, gradient("full", points["snapshot"]), state)
    grads = {name: gradient(name, at) for name, at in points.items()}
    arrays = {name: {k: _reversed(g) for k, g in grads["x"].items()} for name in leafwise(optimizer, params)}
    told = grads if optimizer.stepper.second else grads["x"]
    return optimizer.step(params, told, state, **(arrays | numbers | extra))


class Fed:
    """Anything with `init(params)` and `step(params, grads, state)`, as every check takes it.

    The gradient at the snapshot is the one that a check gives with its entries in reverse order, so that there too are
    zeros, infinities, NaN and subnormals; the full gradient is the one given. The points of its queries are part of
    its state, as NumPy copies, so what holds of the values there is checked of them.
    """

    def __init__(self, optimizer: ss.Optimizer) -> None:
        self.optimizer = optimizer

    def init(self, params: Any) -> dict[str, Any]:
        """The state, and the points."""
        return self._with_points(params, self.optimizer.init(params))

    def step(self, params: Any, grads: Any, state: Any, **extra: Any) -> tuple[Any, dict[str, Any]]:
        """A step of whatever it takes."""

        def gradient(name: str, at: Any) -> dict[str, Any]:
            if name == "full":
                return {leaf: _zeros(params[leaf]) if g is None else g for leaf, g in grads.items()}
            return {leaf: _reversed(g) for leaf, g in grads.items()} if name == "snapshot" else grads

        before = {name: slot for name, slot in state.items() if name != POINTS}
        new, after = taken(self.optimizer, params, before, gradient, **extra)
        return new, self._with_points(new, after)

    def _with_points(self, params: Any, state: dict[str, Any]) -> dict[str, Any]:
        points = self.optimizer.query(params, state) | {"evaluated": self.optimizer.eval_params(params, state)}
        return state | {POINTS: host(points)}


def _zeros(array: Any) -> Any:
    """For a leaf that has no gradient yet."""
    return libraries.namespace(array).zeros_like(array)


def _reversed(array: Any) -> Any:
    if array is None:
        return None
    xp = libraries.namespace(array)
    return xp.asarray(xp.flip(array))  # of no dimensions, NumPy's is a scalar
