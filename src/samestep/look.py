"""Looking at the arrays of a step: quickly, through the backend, or carefully, leaf by leaf. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from . import checks, libraries
from . import params as trees
from . import state as states
from .chain import Chain
from .complexes import to_pairs
from .plan import Batch, Plan


class Seen(NamedTuple):
    """The arrays of one step, as lists over the flattened params."""

    plan: Plan
    params: list
    grads: list
    slots: dict[str, list]
    bounds: list  # one per batch


class Quick:
    """The plan of the last step, whose backend sees by itself whether all arrays are still as they were then."""

    def __init__(self, plan: Plan, asked: str | None, kind: type) -> None:
        self.plan = plan
        self.same_as = (asked, kind)  # the backend asked for, and the outermost container
        self.slots = plan.slots
        self.leaves_of = trees.reader(plan.spec)
        self.numbers = (states.STEP, *plan.number_slots)
        self.keys = {*self.numbers, *plan.slots}
        size = len(plan.leaves)
        self.picks = [_picker(batch.leaves, size) for batch in plan.batches]
        self.names = [("p", "grad", *batch.program.slots) for batch in plan.batches]
        self.asleep = _picker(plan.asleep, size)
        layouts = {("p", i): (plan.leaves[i].shape, plan.leaves[i].param) for i in (*plan.frozen, *plan.asleep)}
        layouts |= {(slot, i): layout for (slot, i), layout in plan.shapes.items() if ("p", i) in layouts}
        self.still = tuple(layouts)
        lacking = {s: [i for i, p in enumerate(plan.programs) if p is None or s not in p.slots] for s in plan.slots}
        self.lacking = [(slot, _picker(places, size)) for slot, places in lacking.items() if places]
        self.absent = bool(plan.asleep or self.lacking)
        backend: Any = plan.batches[0].choice.backend
        self.sight = backend.sight([batch.compiled for batch in plan.batches], list(layouts.values()))

    @staticmethod
    def can(plan: Plan) -> bool:
        """Whether one backend sees all leaves that take part."""
        return (
            bool(plan.batches)
            and len({batch.choice.backend.name for batch in plan.batches}) == 1
            and hasattr(plan.batches[0].choice.backend, "sight")
            and not any(batch.complex or batch.scalars or batch.program.handed for batch in plan.batches)
        )

    def look(self, params: Any, grads: Any, state: Any, donate: bool) -> Seen | None:
        """The arrays, bound; None when anything needs a closer look."""
        if type(state) is not dict or state.keys() != self.keys:
            return None  # the clock looks at counts and number slots itself, but for those that are not known
        if any(map(_unknown, map(state.get, self.numbers))):
            return None
        trees_ = (grads, *(state[slot] for slot in self.slots))
        found = [self.leaves_of(params, True), *map(self.leaves_of, trees_)]
        if None in found:
            return None
        lists: dict[str, list] = dict(zip(("p", "grad", *self.slots), found, strict=True))  # type: ignore[arg-type]
        if self.absent:
            absent = [self.asleep(lists["grad"]), *(pick(lists[slot]) for slot, pick in self.lacking)]
            if any(map(_is_there, chain.from_iterable(absent))):
                return None
        arrays = [{n: pick(lists[n]) for n in wanted} for pick, wanted in zip(self.picks, self.names, strict=True)]
        still = [lists[name][i] for name, i in self.still]
        bounds = self.sight.look(arrays, still, donate)
        if bounds is None:
            return None
        return Seen(self.plan, lists.pop("p"), lists.pop("grad"), lists, bounds)


def _unknown(number: Any) -> bool:
    """Whether a number of the state is not known now, or one in its nesting."""
    return not isinstance(number, int | float) and any(map(libraries.deferred, libraries.arrays(number)))


def _is_there(leaf: Any) -> bool:
    return leaf is not None


def _picker(places: Sequence[int], size: int) -> Callable[[list], list]:
    """Takes the entries at these places out of a list, quickly."""
    if len(places) == size:
        return lambda values: values
    if len(places) < 2:
        return lambda values: [values[i] for i in places]
    get = itemgetter(*places)
    return lambda values: list(get(values))


def careful(
    plan: Plan, chains: Sequence[Chain | None], leaves: list, given: list, second: dict[str, list], state: Any,
    donate: bool,
) -> Seen:  # fmt: skip
    """Check the state and, if it is donated, the memory; bind every batch."""
    slots = states.check_slots(state, plan, leaves, chains, plan.number_slots)
    checks.taken(plan, leaves, (given, *second.values()), slots)
    if donate:
        checks.donated(plan, leaves, slots, {"gradient": given, **second})
    bounds = [bind(batch, leaves, given, slots | second, donate) for batch in plan.batches]
    return Seen(plan, leaves, given, slots, bounds)


def bind(batch: Batch, params: list, grads: list, slots: dict[str, list], donate: bool) -> Any:
    """Hand the arrays of a batch to its backend; complex ones as pairs of reals."""
    wanted = dict.fromkeys((*batch.program.arrays, *batch.program.slots))
    kept = [name for name in wanted if name in slots and name not in batch.scalars]
    lists = {"p": params, "grad": grads, **{slot: slots[slot] for slot in kept}}
    arrays = {name: [values[i] for i in batch.leaves] for name, values in lists.items()}
    if batch.complex:
        xp = libraries.namespace(arrays["p"][0])
        arrays = {name: [to_pairs(xp, x) for x in values] for name, values in arrays.items()}
    return batch.compiled.bind(arrays, donate and not batch.complex)
