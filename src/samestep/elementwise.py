"""Whether a program steps every row of a leaf as if it were a leaf of its own, and if not, why."""

from __future__ import annotations

from .chain import Chain
from .page import update
from .trace.graph import Node, Program, Rank, reachable
from .trace.ops import FREE, REDUCTIONS

SHAPES = ("size", "dim", "numel")
TOTALS = ("sum", "sum_squares", "count_nonzero")  # what rows that are left out add nothing to, if they are zeros


@update()
def _move(p, u):
    return {"p": p - u}


def in_the_way(program: Program) -> str | None:
    """What needs more of a leaf than one row, or None."""
    nodes = reachable([*program.nodes, *(node for node, _ in program.questions)])
    users: dict[int, list[Node]] = {}
    for node in nodes:
        for argument in node.args:
            users.setdefault(argument.index, []).append(node)
    for node in nodes:
        if node.op == "random_bits":
            return "draws random numbers by the place in the leaf"
        if node.op in SHAPES:
            return "reads the shape of the leaf"
        if node.op in FREE or (node.is_array and not node.kind.full):
            return f"works on the leaf as a whole ({node.op})" if node.op in FREE else "has a slot of another shape"
        if node.op == "state_scalar":
            return f"keeps one number of the leaf ({node.attr})"
        if node.op in REDUCTIONS and not (
            node.op in TOTALS and _fades(node.args[0]) and all(user.op == "total" for user in users[node.index])
        ):
            return f"reduces over the leaf ({node.op})"
        if node.op == "total" and node.args[0].op not in TOTALS:
            return "sums a number of the leaf over all leaves"
    scalars = [slot for slot in program.slots if program.outputs[slot].kind.rank is not Rank.ARRAY]
    return f"keeps one number of the leaf ({scalars[0]})" if scalars else None


def culprit(chain: Chain, shape: tuple[int, ...]) -> str:
    """The first page whose program is not elementwise."""
    for k, part in enumerate(chain.parts, start=1):
        if in_the_way(Chain((*chain.parts[:k], _move()), chain.shared).program(shape)) is not None:
            return part.page.__name__
    return chain.parts[-1].page.__name__


def _fades(node: Node) -> bool:
    """Whether it is 0, or false, wherever the gradient is 0 and all else is finite."""
    fades = [_fades(argument) for argument in node.args]
    match node.op:
        case "input":
            return node.attr == "grad"
        case "const":
            return node.attr in (0, False)
        case "multiply" | "logical_and":
            return any(fades)
        case "divide" | "negative" | "abs" | "sqrt" | "sign" | "isnan" | "isinf":
            return fades[0]
        case "add" | "subtract" | "minimum" | "maximum" | "logical_or" | "not_equal":
            return all(fades)
        case "where":
            return all(fades[1:])
        case "full_like":
            return fades[1]
        case "logical_not":  # not finite
            return node.args[0].op == "isfinite" and _fades(node.args[0].args[0])
    return False
