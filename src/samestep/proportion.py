"""What gradient parts make of the gradient, for those that must not stand behind it.

A scale that is taken off later must be on all of it, in proportion; and a part that skips a step comes too late where
the gradient of that step has been kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .errors import TraceError
from .page import SECOND, Page
from .trace.graph import Node, Rank, made_of, reachable
from .trace.ops import SHAPED

LINEAR = ("negative", "abs", "sum", "max", "min", "sum_axis", "mean_axis", "max_axis", "min_axis", "total")
ALIKE = ("add", "subtract", "maximum", "minimum", "concat")
COMPARED = ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal")
UNSCALED = ("sign", "isfinite", "isnan", "isinf", "count_nonzero", "argsort")  # of x as of any c x, c > 0
MOVED = ("reshape", "expand_dims", "squeeze", "permute_dims", "matrix_transpose", "flip", "roll", "index", "item")


class Gradients:
    """The gradient parts of a chain so far: what each made of u, and what it keeps."""

    def __init__(self, gradient: Node) -> None:
        self.gradient = gradient
        self.scaled = [gradient]  # what a scale of the loss is on, and
        self.made: list[tuple[Page, dict[Node, float]]] = []  # what each page made, and the power of the scale in it
        self.keeper: str | None = None  # the first page that keeps something of it from step to step,
        self.gatherer: str | None = None  # or from call to call, until there is a step
        self.skipper: str | None = None  # the first page that skips a step by what its gradient is
        self.unscaled: str | None = None  # the page that has taken the scale off

    def take(self, page: Page, u: Node, kept: Mapping[Node, Node], says: Mapping[str, Node]) -> None:
        """Take up a part: u behind it, what it makes of its slots, and what it says of the parts behind it.

        What one keeps that gates is of one step; but each call of it may be told to be skipped.
        """
        asked = reachable([says["when"]] if "when" in says else [])
        told = any(node.op == "given" for node in asked)
        sees = self.gradient in asked
        if page.unscales and sees and self.skipper:
            raise TraceError(
                f"it must stand before {self.skipper}, which skips the steps that tell it that its scale is too large"
            )
        self.skipper = self.skipper or (page.__name__ if sees else None)
        late = self.keeper if told or sees else None
        late = late or (self.gatherer if told else None)
        if late:
            raise TraceError(
                f"it must stand before {late}, which has kept something of the gradient when the step is skipped"
            )
        self.made.append((page, {**dict.fromkeys(says.values(), 0.0), u: 1.0}))
        held = [slot for slot, value in kept.items() if self._holds(value)]
        if "when" in says:
            self.scaled.extend(slot for slot in held if slot.kind.rank > Rank.HOST)  # a number is for all steps
            self.gatherer = self.gatherer or (page.__name__ if held else None)
        elif held:
            self.keeper = self.keeper or page.__name__

    def _holds(self, value: Node) -> bool:
        """Whether something of the gradient is in it, which does not just decide it."""
        return self.gradient in made_of(value, lambda node: node.kind.truth)

    def check_scale(self, page: Page, second: Node) -> None:
        """Raise where u is not in proportion to a scale of the gradient, or what is said hangs on it."""
        if self.unscaled:
            raise TraceError(f"{self.unscaled} has taken the scale off the gradient, which has one: leave one out")
        self.unscaled = page.__name__
        of = powers([node for _, made in self.made for node in made], dict.fromkeys([*self.scaled, second], 1.0))
        wrong = next((page for page, made in self.made if any(of[node] != power for node, power in made.items())), None)
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


def powers(roots: list[Node], known: Mapping[Node, float]) -> dict[Node, float]:
    """The power of a scale that each value has in it, nan where it has none; `known` says it of the gradients."""
    of = dict(known)
    for node in reachable(roots):  # in program order: what a node is made of comes before it
        if node not in of:
            of[node] = _power(node, of)
    return of


def _power(node: Node, of: Mapping[Node, float]) -> float:
    args = node.args
    match node.op:
        case "multiply" | "matmul":
            return of[args[0]] + of[args[1]]
        case "divide":
            return of[args[0]] - of[args[1]]
        case "sqrt":
            return of[args[0]] / 2
        case "sum_squares":
            return 2 * of[args[0]]
        case "pow" if args[1].op == "const":
            return of[args[0]] * float(args[1].attr)  # type: ignore[arg-type]
        case "where":
            return of[args[0]] + _same(args[1:], of)
        case "copysign" | "take":
            return of[args[0]] + 0 * of[args[1]]
        case op if op in SHAPED:
            return _same(args[1:], of)
        case op if op in UNSCALED:
            return 0 * of[args[0]]
        case op if op in COMPARED:
            return 0 * _same(args, of)
        case op if op in ALIKE or op in LINEAR or op in MOVED:
            return _same(args, of)
    return math.nan if any(of[arg] for arg in args) else 0.0


def _same(args: tuple[Node, ...], of: Mapping[Node, float]) -> float:
    """That of all of them: 0 is in proportion to anything."""
    powers = {of[arg] for arg in args if not _zero(arg)}
    return 0.0 if not powers else powers.pop() if len(powers) == 1 else math.nan


def _zero(node: Node) -> bool:
    return (node.op == "const" and node.attr == 0) or (node.op == "full_like" and _zero(node.args[1]))
