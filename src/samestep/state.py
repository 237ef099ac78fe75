"""The state: how it starts, what it must look like, how it is read and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import array_api_compat
import numpy as np

from . import checks, libraries
from . import params as trees
from .chain import Chain
from .complexes import from_pairs, to_pairs
from .dtypes import dtype_name, name
from .errors import HyperparameterError, StateError, names, where
from .evaluate import library
from .groups import Branch
from .page import Part
from .plan import Leaf, Plan
from .slots import Slot
from .trace.graph import Program

STEP = "step"
AGAIN = "Pass the state that the last step returned, or make one with init."


class AtZero(Mapping[str, Any]):
    """The hyperparameters of a part at count 0; only a schedule that is read is called."""

    def __init__(self, chain: Chain, part: Part, leaf: Leaf | None) -> None:
        self.chain = chain
        self.part = part
        self.leaf = leaf
        self.options = dict(part.options)

    def __getitem__(self, key: str) -> Any:
        if key in self.options:
            return self.options[key]
        name = self.part.qualify(key)
        if name in self.chain.per_leaf:
            if self.leaf is None:
                raise HyperparameterError(
                    f"a slot that is one number starts as {name}, so {name} cannot be per_leaf: give it one number"
                )
            return self.chain.at_leaf(name, *self.leaf.whole)
        return self.chain.at(name, 0)

    def __iter__(self) -> Iterator[str]:
        return (k for k in self.part.page.hypers if k in self.options or self.part.qualify(k) in self.chain.numbers)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def start(chain: Chain, spec: Slot, part: Part, xp: Any, p: Any, leaf: Leaf | None = None) -> Any:
    """The first value of a slot, from the parameter in its compute dtype."""
    value = spec.start(xp, p, AtZero(chain, part, leaf)) if callable(spec.start) else spec.start
    if spec.shape == "number":
        return float(value)
    return xp.asarray(value, dtype=p.dtype, device=libraries.of(p).device(p))


def initial(chain: Chain, program: Program, leaf: Leaf, array: Any) -> dict[str, Any]:
    """The slots of one leaf."""
    xp = libraries.namespace(array)
    dtype = getattr(xp, leaf.signature.compute)
    found = {}
    with np.errstate(all="ignore"):
        p = to_pairs(xp, array) if leaf.complex else xp.asarray(array)
        p = xp.astype(p, dtype) if p.dtype != dtype else p
        for slot, spec, part in chain.slots():
            if slot in program.slots:
                value = start(chain, spec, part, xp, p, leaf)
                if leaf.complex and spec.shape == "array":
                    value = from_pairs(xp, value, array, in_place=False)
                found[slot] = xp.asarray(value, copy=True) if _shares(value, p, array) else value
    return found


def _shares(value: Any, *others: Any) -> bool:
    """Whether it is another array, or (as far as NumPy knows) a view of one."""
    if any(value is x for x in others):
        return True
    library = libraries.of(value)
    memories = [library.memory(x) for x in (value, *others)]
    return any(m is not None and memories[0] is not None and np.may_share_memory(memories[0], m) for m in memories[1:])


def slot_layout(chain: Chain, slot: str, leaf: Leaf) -> tuple[tuple[int, ...], str]:
    """The shape and the dtype of a slot; the shape is found on an array that takes no memory."""
    spec, part = next((spec, part) for name, spec, part in chain.slots() if name == slot)
    if spec.shape == "scalar":
        return (), leaf.signature.compute
    dtype = leaf.param if leaf.complex else leaf.signature.compute
    program = chain.program(leaf.real_shape)
    if program.outputs[slot].kind.full:
        return leaf.shape, dtype
    if spec.shape_of is not None:
        return spec.shape_of(leaf.shape), dtype
    p = np.broadcast_to(np.zeros((), leaf.signature.compute), leaf.shape)
    return tuple(start(chain, spec, part, np_namespace(), p, leaf).shape), dtype


def copied(value: Any) -> Any:
    """A slot with arrays of its own."""
    leaves, spec = trees.flatten(value)
    return trees.rebuild(
        spec, [libraries.namespace(x).asarray(x, copy=True) if hasattr(x, "dtype") else x for x in leaves]
    )


def np_namespace() -> Any:
    """NumPy as the standard has it."""
    return array_api_compat.array_namespace(np.empty(0))


def slot_names(programs: Sequence[Program | None], chains: Sequence[Chain | None]) -> tuple[str, ...]:
    """Every slot that some leaf has, in the order of the parts."""
    live = {slot for program in programs if program is not None for slot in program.slots}
    order = [slot for chain in chains if chain is not None for slot, _, _ in chain.slots()]
    return tuple(dict.fromkeys(slot for slot in order if slot in live))


def must_be_dict(state: Any) -> None:
    """A state is one."""
    if not isinstance(state, dict):
        raise StateError(
            f"the state is the dict that init or the last step returned; got {type(state).__name__} {state!r:.80}"
        )


def check_slots(
    state: Any, plan: Plan, arrays: Sequence[Any], chains: Sequence[Chain | None], numbers: Sequence[str]
) -> dict[str, list]:
    """The slot lists of a state that must be of this optimizer and these params."""
    must_be_dict(state)
    wanted = slot_names(plan.programs, chains)
    keys = {STEP, *wanted, *numbers}
    if set(state) != keys:
        missing, extra = sorted(keys - set(state)), sorted(map(str, set(state) - keys))
        odd = [f"lacks {names(missing)}"] if missing else []
        odd += [f"has {names(extra)} too many"] if extra else []
        raise StateError(
            f"the state is of another optimizer: it {' and '.join(odd)}. "
            "Make one with init, or step with the optimizer that made this one."
        )
    lists = {slot: trees.match(plan.spec, state[slot], f"slot {slot!r} of the state") for slot in wanted}
    for slot, values in lists.items():
        for i, value in enumerate(values):
            leaf, program, chain = plan.leaves[i], plan.programs[i], chains[plan.leaves[i].branch]
            if program is not None and chain is not None and slot in program.slots:
                if (slot, i) not in plan.shapes:
                    plan.shapes[slot, i] = slot_layout(chain, slot, leaf)
                _check_slot(slot, leaf, arrays[i], value, *plan.shapes[slot, i])
            elif value is not None:
                raise StateError(
                    f"slot {slot!r} of {where(leaf.path)} must be None, since the leaf has none; "
                    f"got {type(value).__name__}. The state is of other params: make one with init."
                )
    return lists


def _check_slot(slot: str, leaf: Leaf, array: Any, value: Any, shape: tuple[int, ...], dtype: str) -> None:
    at = f"slot {slot!r} of {where(leaf.path)}"
    if not hasattr(value, "dtype") or library(value) != library(array):
        raise StateError(
            f"{at} must be an array of {library(array)}, as its param; got "
            f"{'None' if value is None else f'{type(value).__module__}.{type(value).__name__}'}. "
            "Convert the state, or make one with init."
        )
    if tuple(value.shape) != shape:
        raise StateError(
            f"{at} must have shape {shape}; got {tuple(value.shape)}. The state is of other params: make one with init."
        )
    checks.unmasked(at, value)
    if name(value) != dtype:
        raise StateError(
            f"{at} must be {dtype}, the compute dtype of a {leaf.param} param; "
            f"got {dtype_name(value.dtype)}. The state is of other params: make one with init."
        )


def counts(state: Mapping[str, Any], plan: Plan) -> int | np.ndarray:
    """Completed steps: one int, or one per leaf (0 where it is frozen)."""
    value = state[STEP]
    if is_count(value):
        return count(value, "'step' of the state")
    if trees.is_leaf(value) and not plan.spec.is_leaf():
        raise StateError(
            f"'step' of the state is an int, or a nesting of ints like the params; got {value!r:.80}. {AGAIN}"
        )
    found = trees.leaves_of(plan.spec, value)
    if found is not None:
        for i in plan.frozen:
            found[i] = 0 if found[i] is None else None
        if set(map(type, found)) == {int} and min(found) >= 0:
            return np.array(found, np.int64)
    found = trees.match(plan.spec, value, "'step' of the state")
    for i, (n, leaf, program) in enumerate(zip(found, plan.leaves, plan.programs, strict=True)):
        if not (n is None if program is None else is_count(n)):
            rule = "None, since the leaf is frozen" if program is None else "an int"
            raise StateError(f"'step' of the state at {where(leaf.path)} is {rule}; got {n!r:.80}. {AGAIN}")
        found[i] = 0 if n is None else count(n, f"'step' of the state at {where(leaf.path)}")
    return np.array(found, np.int64)


def is_count(value: Any) -> bool:
    """Whether it is an int, or an array that is one."""
    if isinstance(value, bool | str):
        return False
    if isinstance(value, int | np.integer):
        return True
    return hasattr(value, "shape") and tuple(value.shape) == () and "int" in dtype_name(getattr(value, "dtype", ""))


def count(value: Any, what: str) -> int:
    """A count of completed steps as an int."""
    value = int(value)
    if value < 0:
        raise StateError(f"{what} counts completed steps, so it is at least 0; got {value}. {AGAIN}")
    return value


def by_branch(branches: Sequence[Branch], slot: str, value: Any) -> dict[int, Any]:
    """A number slot as the state has it, for each branch that declares it."""
    if len(branches) == 1:
        return {0: value}
    having = [i for i, branch in enumerate(branches) if branch.chain is not None and slot in branch.chain.slot_names]
    wanted = {branches[i].pattern for i in having}
    if not isinstance(value, dict) or set(value) != wanted:
        raise StateError(
            f"slot {slot!r} of the state is a dict by pattern with {names(sorted(wanted))}; got {value!r:.80}. {AGAIN}"
        )
    return {i: value[branches[i].pattern] for i in having}


def number(value: Any, slot: str, path: str | None = None) -> float:
    """A number slot as a float; 0-d arrays are taken back."""
    try:
        if isinstance(value, bool | str) or getattr(value, "shape", ()) != ():
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        at = "" if path is None else f" at {where(path)}"
        raise StateError(f"slot {slot!r} of the state is a number{at}; got {value!r:.80}. {AGAIN}") from None
