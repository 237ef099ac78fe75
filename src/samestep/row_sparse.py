"""Row-sparse gradients: a step of the rows that have one, and of their state.

A row is stepped as if it were a leaf of its own, with a count of its own. Rows of a leaf that have the same numbers are
gathered into one leaf, which takes the ordinary step; what comes out is scattered back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import checks, libraries
from . import params as trees
from . import state as states
from .chain import Chain
from .dtypes import COMPLEX, COMPUTE, dtype_name, name
from .elementwise import culprit, in_the_way
from .errors import LeafError, where
from .look import bind
from .plan import Leaf, Plan
from .row_table import ROW_STEP, Piece, Table, counted
from .trace.graph import Program

if TYPE_CHECKING:
    from .step import Stepper

PASSES = 16  # so often duplicates of all rows are added at once, before what is left is added row by row


@dataclass(frozen=True, eq=False)
class RowSparse:
    """A gradient that is zero but for some rows; it stands in the grads in place of an array.

    Args:
        indices: which rows, integers from 0 on, in any order; the values of a row that stands there twice are added,
            in the order in which they stand.
        values: their gradients, of shape (len(indices), *shape of one row).

    Only these rows of the param and of its state are changed, each as if it were a leaf of its own: momentum and decay
    of other rows wait (lazy semantics), and `t` is the row's own count plus 1, so are the counts of schedules. Rows
    have their counts in the state, `row_step`. A torch sparse COO tensor and a JAX BCOO matrix with one sparse axis are
    taken as they are.

    >>> import numpy as np, samestep as ss
    >>> opt, table = ss.sgd(0.5), np.ones((3, 2))
    >>> grad = ss.RowSparse([2, 0, 2], np.ones((3, 2)))
    >>> table, state = opt.step(table, grad, opt.init(table))
    >>> table.tolist(), state
    ([[0.5, 0.5], [1.0, 1.0], [0.0, 0.0]], {'step': 1, 'row_step': array([1, 0, 1], dtype=int32)})
    """

    indices: Any
    values: Any


class Rows(NamedTuple):
    """What a gradient is, once duplicates are added: distinct rows in order, and the place of each in the values."""

    rows: np.ndarray
    values: Any
    places: np.ndarray


def found(spec: Any, leaves: Sequence[Any], grads: Any, state: Any) -> list | None:
    """The gradients leaf by leaf, sparse ones as RowSparse; None where no row has to be stepped for itself."""
    given = trees.leaves_of(spec, grads)
    if given is None:
        return trees.match(spec, grads, "grads") if counted(state) else None
    library = libraries.of_leaves(leaves)
    sparse = False
    for i, grad in enumerate(given):
        if grad is None:
            continue
        if not isinstance(grad, RowSparse):
            at = where(trees.paths(spec)[i])
            try:
                pair = library.rows(grad)
            except LeafError as error:
                raise LeafError(f"{at}: {error}") from None
            if pair is None:
                continue
            if tuple(grad.shape) != tuple(leaves[i].shape):
                rule = f"the gradient must have the shape of its param, {tuple(leaves[i].shape)}"
                raise LeafError(f"{at}: {rule}; got {tuple(grad.shape)}")
            given[i] = RowSparse(*pair)
        sparse = True
    return given if sparse or counted(state) else None


def refuse(spec: Any, leaves: Sequence[Any], grads: Any, what: str) -> None:
    """Where every row has a gradient, a sparse one is an error."""
    for path, grad in zip(trees.paths(spec), found(spec, leaves, grads, {}) or (), strict=False):
        if isinstance(grad, RowSparse):
            raise LeafError(
                f"{where(path)} of {what} is row-sparse, with the rows {grad.indices!r:.80}: an optimizer that "
                "takes another array for each leaf takes whole ones. Give an array, with zeros in the other rows."
            )


def step(
    stepper: Stepper, leaves: list, spec: Any, grads: list, state: Any, donate: bool, overrides: dict[str, Any]
) -> tuple[Any, dict]:  # fmt: skip
    """One step; gradients are arrays, RowSparse or None."""
    inner = [x for g in grads for x in ((g.indices, g.values) if isinstance(g, RowSparse) else (g,))]
    library = _library(leaves, [*inner, *libraries.arrays(state, overrides)])
    with library.quiet():
        # A leaf stands in for its own sparse gradient where only structure matters.
        given = [p if isinstance(g, RowSparse) else g for p, g in zip(leaves, grads, strict=True)]
        given = trees.match(spec, trees.rebuild(spec, given), "grads")
        paths = trees.paths(spec)
        checks.leaves(paths, leaves)
        summed: dict[int, Rows] = {}
        for i, grad in enumerate(grads):
            if isinstance(grad, RowSparse):
                index = _index(paths[i], leaves[i], grad)
                given[i] = None if not len(index) else leaves[i]  # no rows: as no gradient
                if len(index):
                    summed[i] = _summed(library, leaves[i], index, grad.values)
        table = Table(stepper, stepper.plan(spec, leaves, given), leaves, state)
        plan = table.plan
        slots = table.slots
        by_row = {i for i in range(len(leaves)) if plan.awake[i] and (i in summed or table.counts[i] is not None)}
        if plan.handed:
            refuse(spec, leaves, trees.rebuild(spec, grads), "grads")
        for i in sorted(by_row):
            chain, program = stepper.chains[plan.leaves[i].branch], plan.programs[i]
            assert chain is not None and program is not None  # it is awake
            _refuse(chain, plan.leaves[i], program)
        shown = [grads[i].values if i in summed else g for i, g in enumerate(given)]
        everything = {**slots, ROW_STEP: table.counts, **table.numbers}
        checks.taken(plan, leaves, (shown,), everything)
        if donate:
            checks.donated(plan, leaves, everything, {"gradient": shown})

        pieces: list[Piece] = []
        for i in range(len(leaves)):
            if i not in by_row:
                pieces.append(table.whole(i))
            elif i in summed:
                pieces += table.pieces(i, summed[i].rows, stepper.values(plan.leaves[i].branch, overrides)[1])
            else:
                pieces += table.all_rows(i, stepper.values(plan.leaves[i].branch, overrides)[1])
        split = [_gradient(library, leaves[p.leaf], given[p.leaf], summed.get(p.leaf), p) for p in pieces]
        seen, virtual = table.gathered(pieces, split)
        bounds = [bind(batch, seen.params, split, seen.slots, donate) for batch in seen.plan.batches]
        count = {states.STEP: table.clock.counted()}
        moved, after = stepper.finish(seen._replace(bounds=bounds), seen.params, virtual, donate, overrides)
        return table.scattered(pieces, moved, after | count, donate)


def evaluated(stepper: Stepper, leaves: list, spec: Any, state: Any, point: str) -> Any:
    """The params to evaluate at, of a state with counts of rows."""
    if point != "eval":
        raise LeafError(
            "rows are stepped alone, so a state with counts of rows has no points to query: step whole leaves"
        )
    with _library(leaves, libraries.arrays(state)).quiet():
        table = Table(stepper, stepper.plan(spec, leaves, None), leaves, state)
        pieces: list[Piece] = []
        for i, (leaf, counts) in enumerate(zip(table.plan.leaves, table.counts, strict=True)):
            chain = stepper.chains[leaf.branch]
            program = None if counts is None or chain is None else chain.point_program(leaf.real_shape, point)
            if program is None or chain is None:
                pieces.append(table.whole(i))
            else:
                _refuse(chain, leaf, program)
                pieces += table.all_rows(i, None)
        seen, virtual = table.gathered(pieces, None)
        new = stepper.evaluated_leaves(seen.plan, seen.params, seen.slots, virtual, point)
        return trees.rebuild(spec, table.put_back(pieces, leaves, new, donate=False))


def restarted(stepper: Stepper, plan: Plan, leaves: list, state: Any) -> dict[str, Any]:
    """Check a state as a step does; what it has of rows, with every count back to 0."""
    table = Table(stepper, plan, leaves, state)
    if not counted(state):
        return {}
    zeros = [None if x is None else libraries.namespace(x).zeros_like(x) for x in table.counts]
    return {ROW_STEP: trees.rebuild(plan.spec, zeros)}


def _library(leaves: Sequence[Any], values: Sequence[Any]) -> libraries.Library:
    library = libraries.of_leaves(leaves)
    if any(libraries.of(x).defers([x]) for x in values if x is not None) or library.defers(values, leaves):
        raise LeafError(
            "a step by rows must know which rows there are and what their counts are, and something in this one is "
            "traced, recorded for derivatives, or lazy: take the step outside of jit, grad and compile (what makes the "
            "gradient may be inside), or give a dense gradient and a state without row_step"
        )
    return library


def _refuse(chain: Chain, leaf: Leaf, program: Program) -> None:
    reason = in_the_way(program)
    if reason is not None:
        raise LeafError(
            f"{where(leaf.path)} cannot be stepped by rows: {culprit(chain, leaf.real_shape)} {reason}, and rows "
            "without a gradient are not looked at. Give a dense one, or take an optimizer that works element by element"
        )


def _index(path: str, param: Any, grad: RowSparse) -> np.ndarray:
    """The rows on the host; everything about the gradient is checked."""
    at = f"the row-sparse gradient of {where(path)}"
    if not param.shape:
        raise LeafError(f"{at}: the param is 0-d, so it has no rows; give a dense gradient")
    try:
        listed = grad.indices if hasattr(grad.indices, "dtype") else np.asarray(grad.indices)
    except ValueError:  # of lists of several lengths
        listed = np.empty((), object)
    checks.unmasked(f"{at}: indices", listed)
    if len(listed.shape) != 1 or not (dtype_name(listed.dtype).lstrip("u").startswith("int") or listed.shape == (0,)):
        raise LeafError(
            f"{at}: indices are integers along one axis; got {dtype_name(listed.dtype)} of shape {tuple(listed.shape)}"
            ": cast them, or flatten them and the values with them"
        )
    shape = (int(listed.shape[0]), *param.shape[1:])
    values = grad.values
    if tuple(getattr(values, "shape", shape)) != shape:
        raise LeafError(
            f"{at}: values have the shape (len(indices), *shape of one row), here {shape}; got {tuple(values.shape)}: "
            "reshape them, or give the indices that belong to them"
        )
    checks.gradient(path, param, values, shape)
    index = libraries.of(listed).host(listed)
    wrong = np.flatnonzero((index < 0) | (index >= param.shape[0]))
    if len(wrong):
        raise LeafError(
            f"{at}: indices are at least 0 and below {param.shape[0]}, the number of rows; got {index[wrong[0]]} at "
            f"place {wrong[0]}: drop it, or count from the front"
        )
    return index.astype(np.int64)


def _summed(library: libraries.Library, param: Any, index: np.ndarray, values: Any) -> Rows:
    """Add duplicates in the order in which they stand, in the compute dtype."""
    rows, first, group, many = np.unique(index, return_index=True, return_inverse=True, return_counts=True)
    if len(rows) == len(index):
        return Rows(rows, values, first)
    dtype = name(param) if name(param) in COMPLEX else COMPUTE[name(param)]
    xp = libraries.namespace(values)
    host = library.host(xp.astype(values, getattr(xp, dtype)))
    order = np.argsort(group, kind="stable")
    start = np.cumsum(many) - many
    total = host[order[start]]
    with np.errstate(all="ignore"):
        for k in range(1, min(int(many.max()), PASSES)):
            more = np.flatnonzero(many > k)
            total[more] += host[order[start[more] + k]]
        for row in np.flatnonzero(many > PASSES):
            rest = host[order[start[row] + PASSES : start[row] + many[row]]]
            total[row] = np.add.accumulate(np.concatenate([total[row][None], rest]))[-1]
    return Rows(rows, total, np.arange(len(rows)))


def _gradient(library: libraries.Library, param: Any, grad: Any, summed: Rows | None, piece: Piece) -> Any:
    """That of a piece; `summed` if it is sparse."""
    if piece.rows is None or grad is None:
        return grad
    if summed is None:
        return library.take_rows(grad, piece.rows)
    places = summed.places[piece.chosen]
    if isinstance(summed.values, np.ndarray) and not isinstance(param, np.ndarray):
        return library.rows_from(summed.values[places], param)
    return library.take_rows(summed.values, places)
