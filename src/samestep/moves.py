"""What update parts do to p, one after the other: none undoes what another does, and one of them takes the step."""

from __future__ import annotations

from .errors import TraceError
from .page import Page
from .trace.graph import Node, made_of, reachable

ROUNDING = ("rounded", "rounded_by")


class Moves:
    """The pages that have moved p so far; `leading` is the slot that is p before it is rounded, or "p"."""

    def __init__(self, leading: str) -> None:
        self.leading = leading
        self.pages: list[str] = []
        self.maker: str | None = None  # the one of them that did not read what p was
        self.step: Page | None = None  # the one that moved it along u

    def take(self, page: Page, old: Node, new: Node, u: Node) -> None:
        """Take p from a part, or say why it is lost, or means nothing."""
        name = page.__name__
        if new.op in ROUNDING:
            if self.leading != "p":
                raise TraceError(f"it rounds the params, which slot {self.leading!r} is there not to do: leave one out")
            if new.op == "rounded_by" and new.args[0].op in ROUNDING:
                raise TraceError("the params are rounded by then, and nothing is left to chance: leave one out")
        if old not in reachable([new]):
            self.maker = name
        if self.maker and self.pages and new.op not in ROUNDING:
            other = name if self.maker != name else self.pages[-1]
            raise TraceError(
                f"{self.maker} makes p of its slots alone, so what {other} does to p is lost: leave it out"
            )
        if _along(new, u, old):
            if self.step not in (None, page):
                raise TraceError(
                    f"it takes a step with the gradient that {self.step.__name__} has taken one with: a chain has one "
                    "step, so leave out one of them"
                )
            self.step = page
        self.pages.append(name)


def _along(new: Node, u: Node, old: Node) -> bool:
    """Whether u is in what a part makes of p entry by entry, and does not just decide it, or how much of it to take."""

    def other(node: Node) -> bool:  # nor in what p was, though a page may have made p of u alone
        return node is old or node.kind.truth or not node.is_array

    return u in made_of(new, other)
