"""What gradient parts make of the gradient, for those that must not stand behind it.

A scale that is taken off later must be on all of it, in proportion; and a part that skips a step comes too late where
the gradient of that step has been kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .errors import TraceError
from .page import SECOND, Page
from .trace.graph import Node, reachable

LINEAR = ("negative", "abs", "sum", "max", "min", "sum_axis", "mean_axis", "max_axis", "min_axis", "total")
ALIKE = ("add", "subtract", "maximum", "minimum")
COMPARED = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
SHAPED = ("reshape", "expand_dims", "squeeze", "permute_dims", "matrix_transpose", "index", "item")


class Gradients:
    """The gradient parts of a chain so far: what each made of u, and what it keeps."""

    def __init__(self, gradient: Node) -> None:
        self.scaled = [gradient]  # what a scale of the loss is on, and
        self.made: list[tuple[Page, Node]] = []  # u, behind each page
        self.keeper: str | None = None  # the first page that keeps something of it from step to step,
        self.gatherer: str | None = None  # or from call to call, until there is a step
        self.unscaled: str | None = None  # the page that has taken the scale off

    def take(self, page: Page, u: Node, kept: Sequence[Node], when: Node | None) -> None:
        """Take up a part. What one keeps that gates is of one step; but each call of it may be told to be skipped."""
        asked = {node.op for node in reachable([] if when is None else [when])}
        late = self.keeper if asked & {"total", "given"} else None
        late = late or (self.gatherer if "given" in asked else None)
        if late:
            raise TraceError(
                f"it must stand before {late}, which has kept something of the gradient when the step is skipped"
            )
        self.made.append((page, u))
        if when is not None:
            self.scaled.extend(kept)
            self.gatherer = self.gatherer or (page.__name__ if kept else None)
        elif kept:
            self.keeper = self.keeper or page.__name__

    def check_scale(self, page: Page, second: Node) -> None:
        """Raise where u is not in proportion to a scale of the gradient."""
        if self.unscaled:
            raise TraceError(f"{self.unscaled} has taken the scale off the gradient, which has one: leave one out")
        self.unscaled = page.__name__
        known = dict.fromkeys([*self.scaled, second], 1.0)
        wrong = next((page for page, u in self.made if power(u, known) != 1), None)
        if wrong is not None and SECOND in wrong.reads:
            raise TraceError(
                f"{wrong.__name__} takes a gradient that was kept at a snapshot, with the scale of that time: divide "
                "the gradients by the scale before the step"
            )
        if wrong is not None:
            raise TraceError(
                f"it must stand before {wrong.__name__}, which makes of a gradient with a scale on what is not in "
                "proportion"
            )


def power(node: Node, known: dict[Node, float]) -> float:
    """The power of a scale that a value has in it, nan where it has none; `known` says it of the gradients."""
    if node not in known:
        known[node] = _power(node, {arg: power(arg, known) for arg in node.args})
    return known[node]


def _power(node: Node, of: Mapping[Node, float]) -> float:
    args = node.args
    match node.op:
        case "multiply":
            return of[args[0]] + of[args[1]]
        case "divide":
            return of[args[0]] - of[args[1]]
        case "sqrt":
            return of[args[0]] / 2
        case "sum_squares":
            return 2 * of[args[0]]
        case "sign" | "isfinite" | "isnan" | "isinf" | "count_nonzero":
            return 0 * of[args[0]]
        case "where":
            return of[args[0]] + _same(args[1:], of)
        case "full_like":
            return of[args[1]]
        case op if op in COMPARED:
            return 0 * _same(args, of)
        case op if op in ALIKE or op in LINEAR or op in SHAPED:
            return _same(args, of)
    return math.nan if any(of.values()) else 0.0


def _same(args: tuple[Node, ...], of: Mapping[Node, float]) -> float:
    """That of all of them: 0 is in proportion to anything."""
    powers = {of[arg] for arg in args if not (arg.op == "const" and arg.attr == 0)}
    return 0.0 if not powers else powers.pop() if len(powers) == 1 else math.nan
