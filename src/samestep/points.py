"""The points of an optimizer beside its params: where to evaluate, and where the next step wants its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bus import ARRAY, Bus
from .errors import ChainError, TraceError
from .page import CLOCKS, SECOND, WRITES, Part, keywords
from .trace.graph import Node, Program, reachable

if TYPE_CHECKING:
    from .chain import Chain


def trace_point(chain: Chain, shape: tuple[int, ...], point: str) -> Program:
    """The program of a point: "eval", the parameters to evaluate at, or "x" or "snapshot" of a query."""
    bus = Bus(chain, shape)
    result, of = _evaluated(bus, chain) if point == "eval" else _queried(bus, chain, point)
    nodes, slots = reachable([result]), {"p", *chain.slot_names}
    for node in nodes:
        if node.op in ("total", "given") or (node.op == "input" and node.attr not in slots):
            what = "the gradient" if node.attr in ("grad", SECOND) else repr(node.attr)
            what = "sum_over_params" if node.op == "total" else what
            verb = "eval" if point == "eval" else "query"
            raise TraceError(
                f"the {verb} page of {of.page.__name__}, or the clock, lr or p it reads, needs {what}, which only a "
                "step has: keep the number in a slot and read that"
            )
    numbers = tuple(str(n.attr) for n in nodes if n.op == "state_number")
    return Program({"p": result}, (), numbers, (), tuple(bus.tracer.questions.items()))


def _evaluated(bus: Bus, chain: Chain) -> tuple[Node, Part]:
    """What the last part with an eval page says, after the step that the count has come to."""
    part = chain.evaluated_at
    assert part is not None and part.page.eval is not None
    bus.completed = bus.t, 0
    for before in chain.parts:
        if before.page.kind == "gradient":
            _completed(bus, before)
    return bus.run(part, part.page, part.page.eval, ("p",))["p"].node, part


def _queried(bus: Bus, chain: Chain, point: str) -> tuple[Node, Part]:
    """Where the next step wants a gradient: p, unless a part says another; and that part."""
    found, ahead = [], None
    last = max((i for i, part in enumerate(chain.parts) if part.page.query is not None), default=0)
    for i, part in enumerate(chain.parts):
        if i > last and not ahead:
            break
        if part.page.kind == "update":
            bus.turn()
        if part.page.query is not None:
            points = bus.run(part, part.page, part.page.query, ("x", "snapshot"))
            found += [(points[point].node, part)] if point in points else []
            if part.page.kind != "update" and "lr" in keywords(part.page.query):
                ahead = part.page
        bus.apply(part)  # what follows reads its clock, its lr, the p that it moved, slots that it starts again
    if ahead and not (bus.moves.step and "lr" in bus.moves.step.hypers):
        raise ChainError(
            f"the point of {ahead.__name__} is lr ahead, but no part behind it moves p by lr u: it belongs before "
            "descend(lr=...), with a direction that has no step size in it"
        )
    if len(found) > 1:
        raise ChainError(
            f"{found[0][1].page.__name__} and {found[1][1].page.__name__} both say where {point!r} of the query is: "
            "a chain has one of them"
        )
    return found[0] if found else (bus.tracer.source("input", "p", ARRAY).node, chain.parts[0])


def _completed(bus: Bus, part: Part) -> None:
    """Take the count of completed steps through a gradient part: what it lies behind has completed one step less than
    the clock of its next step says; or, where that one will start again, as many as the clock of the last one says.
    """
    done, apply = bus.t, bus.tracer.apply
    bus.t = apply("add", done, 1)
    ahead = bus.run(part, part.page, part.page.function, WRITES["gradient"])
    clock = next((name for name in reversed(CLOCKS) if name in ahead), None)
    inner = apply("subtract", ahead[clock], 1) if clock else done
    again = ahead.get("reset", ahead.get("restart"))
    if clock and again is not None:
        bus.t = done
        last = bus.run(part, part.page, part.page.function, WRITES["gradient"])[clock]
        inner = apply("where", again, apply("minimum", last, done), inner)
    bus.t = inner
