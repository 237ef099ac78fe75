"""The optimizer: a frozen chain (or groups of chains) and the verbs on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from . import checks, state as states
from . import params as trees
from .chain import Chain
from .errors import ChainError, HyperparameterError, names, where
from .groups import DEFAULT, Branch, Freeze, assign, overridden
from .page import Part
from .plan import describe, find_program
from .step import Stepper


class Optimizer:
    """An optimizer: hashable, comparable, picklable, safe to share between threads.

    Made by a named constructor such as `adamw`, by `chain` or by `groups`. Verbs take params, grads, state in this order; params are an
    array or any nesting of arrays of one library (float16, bfloat16, float32, float64, complex64, complex128, any shape).

    >>> import numpy as np, samestep as ss
    >>> opt = ss.sgd(0.5)
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> state = opt.init(params)
    >>> opt.step(params, {"w": np.array([1.0, 0.0])}, state)
    ({'w': array([0.5, 2. ])}, {'step': 1})
    """

    __slots__ = ("__weakref__", "_stepper", "absent", "branches", "label")

    def __init__(self, branches: tuple[Branch, ...], label: str | None = None, absent: tuple[str, ...] = ()) -> None:
        for name, value in (("branches", branches), ("label", label), ("absent", absent), ("_stepper", None)):
            object.__setattr__(self, name, value)

    branches: tuple[Branch, ...]
    label: str | None
    absent: tuple[str, ...]
    _stepper: Stepper | None

    # -- a frozen value --------------------------------------------------------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an optimizer is frozen: build another one, or override a number in step(..., name=value)")

    __delattr__ = __setattr__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple:
        return tuple((branch.pattern, branch.chain) for branch in self.branches)

    def __reduce__(self) -> tuple:
        return Optimizer, (self.branches, self.label, self.absent)

    def __repr__(self) -> str:
        if len(self.branches) > 1:
            *patterns, default = self.branches
            rows = ", ".join(f"{b.pattern!r}: {b.label or _show(b.chain)}" for b in patterns)
            return f"groups({{{rows}}}, default={default.label or _show(default.chain)})"
        return self.label or _show(self.branches[0].chain)

    @property
    def stepper(self) -> Stepper:
        """The plans and buffers of this optimizer; made at first use, freed with it."""
        if self._stepper is None:
            object.__setattr__(self, "_stepper", Stepper(self.branches))
        return self._stepper  # type: ignore[return-value]

    @property
    def chains(self) -> tuple[Chain | None, ...]:
        """The chain of each branch; None where it is frozen."""
        return tuple(branch.chain for branch in self.branches)

    # -- verbs ------------------------------------------------------------------------------------------------------------------
    def init(self, params: Any) -> dict[str, Any]:
        """Make the state of these params.

        Raises:
            LeafError: a leaf is no floating array, two leaves share memory, or belong to two libraries.
            ChainError: a pattern of the groups matches nothing.
            HyperparameterError: a number without a default, such as lr, was never given.

        >>> import numpy as np, samestep as ss
        >>> ss.lion().init(np.zeros(2))
        {'step': 0, 'm': array([0., 0.])}
        """
        spec, described, leaves = self._described(params)
        checks.untied(trees.paths(spec), leaves)
        for chain in self.chains:
            if chain is not None:
                chain.require(chain.numbers)
        programs = [find_program(self.chains[leaf.branch], leaf) for leaf in described]
        slots: dict[str, list] = {s: [None] * len(leaves) for s in states.slot_names(programs, self.chains)}
        for i, (leaf, program) in enumerate(zip(described, programs, strict=True)):
            chain = self.chains[leaf.branch]
            if program is not None and chain is not None:
                for slot, value in states.initial(chain, program, leaf, leaves[i]).items():
                    slots[slot][i] = value
        state: dict[str, Any] = {states.STEP: 0}
        state.update({slot: trees.rebuild(spec, values) for slot, values in slots.items()})
        state.update(self._first_numbers([p for p in programs if p is not None], leaves))
        return state

    def step(
        self, params: Any, grads: Any, state: Any, *, donate: bool = False, **overrides: Any
    ) -> tuple[Any, dict[str, Any]]:  # fmt: skip
        """Take one step and return the new params and state.

        Args:
            params: the parameters.
            grads: a gradient for each leaf, in its shape; None leaves the leaf, its state and its count as they are.
            state: what `init` or the last step returned.
            donate: give up params and state: they may be overwritten, and must not be used again. Grads never are.
            **overrides: run-time numbers by name, for this step only (`lr=0.1`, `**{"slow.decay": 0.9}`); they replace a schedule.
                Also what parts declare as inputs, such as `loss=`.

        Raises:
            TreeError, LeafError, StateError: the nestings, shapes, dtypes or libraries do not fit.
            HyperparameterError: an unknown override, or a number outside its domain.
            DonationError: a donated array is read-only, or overlaps another.
            A step that raises has changed nothing.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(1.0), np.array([1.0])
        >>> opt.step(params, np.array([1.0]), opt.init(params), lr=0.25)
        (array([0.75]), {'step': 1})
        """
        return self.stepper.run(params, grads, state, donate, self._checked(overrides))

    def update(self, params: Any, grads: Any, state: Any, **overrides: Any) -> tuple[Any, dict[str, Any]]:
        """What `step` would add to the params, and the state after it; nothing is applied.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(0.5), np.array([1.0])
        >>> opt.update(params, np.array([1.0]), opt.init(params))
        (array([-0.5]), {'step': 1})
        """
        new, state = self.step(params, grads, state, **overrides)
        leaves, spec = trees.flatten(params)
        with np.errstate(all="ignore"):
            return trees.rebuild(spec, [b - a for a, b in zip(leaves, trees.flatten(new)[0], strict=True)]), state

    def eval_params(self, params: Any, state: Any) -> Any:
        """The params to evaluate at: the last part's that has its own (lookahead, averages), else the params themselves.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(0.5), np.array([1.0])
        >>> opt.eval_params(params, opt.init(params)) is params
        True
        """
        if not any(chain is not None and chain.evaluated_at for chain in self.chains):
            return params
        return self.stepper.evaluated(params, state)

    def restart(self, params: Any, state: Any, reset: Sequence[str] | None = None) -> dict[str, Any]:
        """A state that starts again at these params: the named slots as `init` makes them, and every count back to 0.

        Args:
            params: where to start again.
            state: the state so far.
            reset: slots; None resets all but those that a page says to keep. Slots of one page go together, since one depends on the other.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(0.5, momentum=0.9), np.array([1.0])
        >>> params, state = opt.step(params, np.array([1.0]), opt.init(params))
        >>> opt.restart(params, state)
        {'step': 0, 'm': array([0.])}
        """
        fresh = self.init(params)
        leaves, spec = trees.flatten(params)
        plan = self.stepper.plan(spec, leaves, leaves)
        states.check_slots(
            state, spec, plan.leaves, leaves, plan.programs, self.chains, self.stepper.number_slots(plan)
        )
        kept = {s for chain in self.chains if chain is not None for s, spec_, _ in chain.slots() if spec_.keep}
        chosen = {s for s in fresh if s != states.STEP and s not in kept} if reset is None else set(reset)
        unknown = chosen - set(fresh)
        if unknown or states.STEP in chosen:
            raise states.StateError(
                f"reset names slots of the state, {names(sorted(set(fresh) - {states.STEP}))}; got {names(sorted(chosen))}"
            )
        if reset is not None:
            self._together(chosen, set(fresh))
        return {key: fresh[key] if key == states.STEP or key in chosen else state[key] for key in fresh}

    def _together(self, chosen: set[str], present: set[str]) -> None:
        for chain in self.chains:
            for part in chain.parts if chain is not None else ():
                slots = {part.qualify(s) for s in part.page.slots} & present
                if slots & chosen and not slots <= chosen:
                    raise states.StateError(
                        f"{part.page.__name__} keeps {names(sorted(slots))}, which hang together: reset all of them or none; "
                        f"got {names(sorted(chosen))}"
                    )

    def hyperparameters(self, step: int = 0) -> dict[str, Any]:
        """Every run-time number as it is at a count of completed steps; with groups, a dict by pattern.

        >>> import samestep as ss
        >>> ss.sgd(lambda count: 0.1 / (1 + count)).hyperparameters(1)
        {'lr': 0.05}
        """
        found = {
            branch.pattern: {
                name: branch.chain.check(name, states.schedule_at(v, step)) for name, v in branch.chain.numbers.items()
            }
            for branch in self.branches
            if branch.chain is not None
        }
        return found if len(self.branches) > 1 else found[DEFAULT]

    def state_bytes(self, params: Any) -> int:
        """The bytes of arrays that `init` will allocate; nothing is allocated. Params may be anything with shape and dtype.

        >>> import numpy as np, samestep as ss
        >>> ss.adam().state_bytes(np.zeros((10, 10), np.float32))
        800
        """
        _, described, _ = self._described(params, arrays=False)
        total = 0
        for leaf in described:
            chain = self.chains[leaf.branch]
            program = find_program(chain, leaf)
            for slot in program.slots if program is not None and chain is not None else ():
                size = {"float32": 4, "float64": 8, "complex64": 8, "complex128": 16}[states.slot_dtype(leaf)]
                total += size * math.prod(states.slot_shape(chain, slot, leaf))
        return total

    # -- helpers ----------------------------------------------------------------------------------------------------------------
    def _described(self, params: Any, arrays: bool = True) -> tuple[Any, list, list]:
        leaves, spec = trees.flatten(params)
        paths = trees.paths(spec)
        if arrays:
            checks.leaves(paths, leaves)
        branch_of = assign(self.branches, paths)
        return spec, [describe(p, a, a, b) for p, a, b in zip(paths, leaves, branch_of, strict=True)], leaves

    def _first_numbers(self, programs: list, leaves: list) -> dict[str, Any]:
        live = {n for program in programs for n in program.numbers}
        found: dict[str, dict[str, float]] = {}
        for branch in self.branches:
            for slot, spec, part in branch.chain.slots() if branch.chain is not None else ():
                if slot in live:
                    p = np.zeros(())
                    found.setdefault(slot, {})[branch.pattern] = states.start(
                        branch.chain, spec, part, states.np_namespace(), p
                    )
        return {slot: by if len(self.branches) > 1 else by[DEFAULT] for slot, by in found.items()}

    def _checked(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """Overrides name run-time numbers; the inputs of parts, such as loss, pass."""
        chains = [chain for chain in self.chains if chain is not None]
        if not overrides:
            for chain in chains:
                chain.require(chain.numbers)
            return {}
        inputs = {s for c in chains for part in c.parts for s, spec in part.page.slots.items() if spec.shape == "given"}
        known = {name for chain in chains for name in chain.hypers}
        checked = {}
        for key, value in overrides.items():
            if key in inputs:
                checked[key] = value
                continue
            if key not in known:
                self._unknown(key, known | inputs, chains)
            for chain in chains:
                if key in chain.hypers:
                    value = chain.check(key, value)
            checked[key] = value
        for chain in chains:
            chain.require({**chain.numbers, **checked})
        return checked

    def _unknown(self, key: str, known: set[str], chains: list[Chain]) -> None:
        if any(key in chain.options for chain in chains):
            raise HyperparameterError(
                f"{key} is an option, fixed when the optimizer is built: build another one with {key}=..."
            )
        if key in self.absent:
            raise HyperparameterError(
                f"this optimizer was built without {key} (it was 0): build it with {key}=... to change it later"
            )
        raise HyperparameterError(f"this optimizer has no number {key!r}; step takes {names(sorted(known))}")


def _show(chain: Chain | None) -> str:
    return "freeze()" if chain is None else f"chain({', '.join(map(repr, chain.parts))})"


def _single(optimizer: Optimizer, what: str) -> Chain:
    if len(optimizer.branches) > 1 or optimizer.branches[0].chain is None:
        raise ChainError(f"groups must stand last in a chain, and cannot {what}")
    return optimizer.branches[0].chain


def chain(*parts: Part | Optimizer, name: str | None = None) -> Optimizer:
    """Join parts and optimizers: gradient parts, then direction parts, then update parts, each kind in the written order.

    Args:
        *parts: parts (a called page), optimizers, and as the last one, groups.
        name: a name for the parts that have none: their slots and numbers become `name.slot`.

    Raises:
        ChainError: two parts share a slot, or a number with different values; a part cannot stand there.

    >>> import samestep as ss
    >>> ss.chain(ss.clip_by_global_norm(1.0), ss.sgd(0.1))
    chain(clip_by_global_norm(max_norm=1.0, norm_eps=0.0, nonfinite='nan'), descend(lr=0.1))
    """
    if not parts:
        raise ChainError("a chain has at least one part: write chain(descend(lr=0.1)), or sgd(0.1)")
    *front, last = parts
    flat: list[Part] = []
    for part in front:
        flat.extend(_parts(part))
    if isinstance(last, Optimizer) and len(last.branches) > 1:
        return _spanning(flat, last, name)
    flat.extend(_parts(last))
    return Optimizer((Branch(DEFAULT, Chain.of(_named(flat, name))),))


def _parts(part: Any) -> tuple[Part, ...]:
    if isinstance(part, Part):
        return (part,)
    if isinstance(part, Optimizer):
        return _single(part, "be followed by other parts").parts
    hint = f"; call it: {part.__name__}(...)" if hasattr(part, "__name__") else ""
    raise ChainError(f"a chain joins parts and optimizers; got {type(part).__name__}{hint}")


def _named(parts: Sequence[Part], name: str | None) -> tuple[Part, ...]:
    return tuple(Part(p.page, p.values, p.name or name) for p in parts)


def _spanning(front: list[Part], groups_: Optimizer, name: str | None) -> Optimizer:
    for part in front:
        if part.page.kind != "gradient":
            raise ChainError(
                f"only gradient parts may stand before groups, and span them all; {part.page.__name__} is a {part.page.kind} part"
            )
    branches = []
    for branch in groups_.branches:
        joined = None
        if branch.chain is not None:
            joined = Chain.of((*_named(front, name), *branch.chain.parts), shared=len(front))
        branches.append(Branch(branch.pattern, joined, branch.label))
    return Optimizer(tuple(branches))


def groups(patterns: Mapping[str, Any], *, default: Optimizer) -> Optimizer:
    """Give leaves their own optimizer, numbers, or none, by their path.

    Args:
        patterns: pattern -> an optimizer, a dict of numbers to change in the default, or `freeze()`. Matched with fnmatch against the whole
            path (keys and indices joined by dots), `*` crosses dots, `*.bias` also matches a bare `bias`; the first match wins.
        default: the optimizer of every other leaf.

    Raises:
        ChainError: a value is none of the three. At `init`: a pattern matches no leaf.

    >>> import numpy as np, samestep as ss
    >>> opt = ss.groups({"*.bias": {"lr": 1.0}}, default=ss.sgd(0.5))
    >>> params = {"bias": np.array([1.0]), "weight": np.array([1.0])}
    >>> opt.step(params, params, opt.init(params))[0]
    {'bias': array([0.]), 'weight': array([0.5])}
    """
    base = _single(default, "be the default of other groups") if isinstance(default, Optimizer) else None
    if base is None:
        raise ChainError(f"the default of groups is an optimizer; got {default!r}")
    branches = []
    for pattern, value in patterns.items():
        if isinstance(value, Freeze):
            branches.append(Branch(pattern, None, repr(value)))
        elif isinstance(value, Mapping):
            branches.append(Branch(pattern, overridden(base, value), repr(dict(value))))
        elif isinstance(value, Optimizer):
            branches.append(Branch(pattern, _single(value, "stand inside groups"), repr(value)))
        else:
            raise ChainError(
                f"the group {where(str(pattern))} is an optimizer, a dict of numbers or freeze(); got {value!r}"
            )
    if not branches or any(b.pattern == DEFAULT for b in branches):
        raise ChainError(
            f"groups need at least one pattern, and none called {DEFAULT!r}; without one, use the optimizer itself"
        )
    return Optimizer((*branches, Branch(DEFAULT, base, repr(default))))
