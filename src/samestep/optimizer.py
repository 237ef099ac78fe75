"""The optimizer: a frozen chain (or groups of chains) and the verbs on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import checks, libraries, verbs
from . import params as trees
from . import state as states
from .chain import Chain
from .errors import DonationError, HyperparameterError
from .groups import DEFAULT, Branch, assign, in_group
from .overrides import checked
from .plan import describe, find_program
from .step import Stepper

Refusals = tuple[tuple[str, str], ...]  # what a constructor took and a step does not, and why


class Optimizer:
    """An optimizer: hashable, comparable, picklable, safe to share between threads.

    Made by a named constructor such as `adamw`, by `chain` or by `groups`. Verbs take params, grads, state in this
    order; params are an array or any nesting of arrays of one library (float16, bfloat16, float32, float64, complex64,
    complex128, any shape).

    >>> import numpy as np, samestep as ss
    >>> opt = ss.sgd(0.5)
    >>> params = {"w": np.array([1.0, 2.0])}
    >>> state = opt.init(params)
    >>> opt.step(params, {"w": np.array([1.0, 0.0])}, state)
    ({'w': array([0.5, 2. ])}, {'step': 1})
    """

    __slots__ = ("__weakref__", "_stepper", "branches", "label", "refused")

    def __init__(self, branches: tuple[Branch, ...], label: str | None = None, refused: Refusals = ()) -> None:
        for name, value in (("branches", branches), ("label", label), ("refused", refused), ("_stepper", None)):
            object.__setattr__(self, name, value)

    branches: tuple[Branch, ...]
    label: str | None
    refused: Refusals
    _stepper: Stepper | None

    # -- a frozen value ---------------------------------------------------------
    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("an optimizer is frozen: build another one, or override a number in step(..., name=value)")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Optimizer) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple:
        return tuple((branch.pattern, branch.chain) for branch in self.branches)

    def __reduce__(self) -> tuple:
        return Optimizer, (self.branches, self.label, self.refused)

    def __copy__(self) -> Optimizer:
        return self

    def __deepcopy__(self, memo: dict) -> Optimizer:
        return self

    def __repr__(self) -> str:
        if self.label is None and len(self.branches) > 1:
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

    # -- verbs ---------------------------------------------------------
    def init(self, params: Any) -> dict[str, Any]:
        """Make the state of these params.

        Args:
            params: an array, or any nesting of arrays of one library.

        Raises:
            LeafError: a leaf is no floating array, two leaves share memory, or belong to two libraries.
            ChainError: a pattern of the groups matches nothing.
            HyperparameterError: a number without a default, such as lr, was never given.

        >>> import numpy as np, samestep as ss
        >>> ss.lion().init(np.zeros(2))
        {'step': 0, 'm': array([0., 0.])}
        """
        spec, described, leaves = self._described(params)
        with libraries.context(leaves, ()):
            return self._initial(spec, described, leaves)

    def _initial(self, spec: Any, described: list, leaves: list) -> dict[str, Any]:
        checks.untied(trees.paths(spec), leaves)
        for chain in self.chains:
            if chain is not None:
                chain.require(chain.numbers)
        programs = [find_program(self.chains[leaf.branch], leaf) for leaf in described]
        slots: dict[str, list] = {s: [None] * len(leaves) for s in states.slot_names(programs, self.chains)}
        for i, (leaf, program) in enumerate(zip(described, programs, strict=True)):
            chain = self.chains[leaf.branch]
            if program is not None and chain is not None:
                chain.check_points(leaf.real_shape)
                for slot, value in states.initial(chain, program, leaf, leaves[i]).items():
                    slots[slot][i] = value
        state: dict[str, Any] = {states.STEP: 0}
        state.update({slot: trees.rebuild(spec, values) for slot, values in slots.items()})
        state.update(self._first_numbers([p for p in programs if p is not None]))
        return libraries.carried(libraries.of_leaves(leaves), state)

    def step(
        self, params: Any, grads: Any, state: Any, *, donate: bool = False, **overrides: Any
    ) -> tuple[Any, dict[str, Any]]:  # fmt: skip
        """Take one step and return the new params and state.

        Args:
            params: the parameters.
            grads: a gradient for each leaf, in its shape; None leaves the leaf, its state and its count as they are, a
                `RowSparse` does so with all rows but some.
            state: what `init` or the last step returned.
            donate: give up params and state: they may be overwritten, and must not be used again. Grads never are.
                Inside jax.jit it says nothing: there the outer function donates (donate_argnums).
            **overrides: run-time numbers by name, for this step only (`lr=0.1`, `**{"slow.decay": 0.9}`); they replace
                a schedule. Also what parts declare as inputs, such as `loss=`.

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
        if donate is not True and donate is not False:
            raise DonationError(f"donate is True or False; got {donate!r:.80}")
        return self.stepper.run(params, grads, state, donate, checked(self, overrides))

    def update(self, params: Any, grads: Any, state: Any, **overrides: Any) -> tuple[Any, dict[str, Any]]:
        """What `step` would add to the params, and the state after it; nothing is applied.

        Args:
            params: as for `step`.
            grads: as for `step`.
            state: as for `step`; it stays as it is.
            **overrides: as for `step`.

        Raises:
            TreeError, LeafError, StateError, HyperparameterError: as `step` does.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(0.5), np.array([1.0])
        >>> opt.update(params, np.array([1.0]), opt.init(params))
        (array([-0.5]), {'step': 1})
        """
        new, state = self.stepper.run(params, grads, state, False, checked(self, overrides))
        leaves, spec = trees.flatten(params)
        moved = trees.flatten(new)[0]
        with libraries.context(moved, ()):
            deltas = list(map(_difference, leaves, moved))
        return trees.rebuild(spec, deltas), state

    def eval_params(self, params: Any, state: Any) -> Any:
        """The params to evaluate at: the last part's that has its own (lookahead, averages), else the params.

        Args:
            params: the parameters after a step.
            state: the state after that step.

        Raises:
            TreeError, LeafError, StateError: a part has params of its own, and the state is not that of these.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(0.5), np.array([1.0])
        >>> opt.eval_params(params, opt.init(params)) is params
        True
        """
        if not any(chain is not None and chain.evaluated_at for chain in self.chains):
            return params
        return self.stepper.evaluated(params, state, "eval")

    def query(self, params: Any, state: Any) -> dict[str, Any]:
        """Where the gradients of the next step are wanted: {"x": ...}, which are the params unless a part says else.

        An optimizer that takes a second gradient gives its point too, {"x": ..., "snapshot": ...}; its step is then
        step(params, {"x": gradient there, "snapshot": gradient there}, state), both of the same batch.

        Args:
            params: the parameters.
            state: what `init` or the last step returned. Numbers are as the next step has them, but for its overrides.

        Raises:
            TreeError, LeafError, StateError: a part has points of its own, and the state is not that of these params.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(0.5), np.array([1.0])
        >>> opt.query(params, opt.init(params))
        {'x': array([1.])}
        """
        return verbs.queried(self, params, state)

    def needs_refresh(self, state: Any) -> bool:
        """Whether `refresh` is due before the next step: a snapshot has moved, or is new.

        Inside a trace it is not known, and a 0-d array.

        Args:
            state: what `init` or the last step returned.

        Raises:
            StateError: the state is of another optimizer.

        >>> import numpy as np, samestep as ss
        >>> opt = ss.sgd(0.5)
        >>> opt.needs_refresh(opt.init(np.array([1.0])))
        False
        """
        return verbs.needs_refresh(self, state)

    def refresh(self, params: Any, full_grad: Any, state: Any) -> dict[str, Any]:
        """The state with the gradient of all data at the snapshot.

        Args:
            params: the parameters.
            full_grad: the gradient at query(params, state)["snapshot"], of all data or of a large batch; for each leaf.
            state: the state so far; it stays as it is.

        Raises:
            ChainError: no snapshot of this optimizer goes stale.
            TreeError, LeafError, StateError: nestings, shapes, dtypes or libraries do not fit, or a gradient is None.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.svrg(0.5, every=2), np.array([1.0])
        >>> opt.refresh(params, np.array([2.0]), opt.init(params))
        {'step': 0, 'g_full': array([2.]), 'snapshot': array([1.]), 'stale': 0.0}
        """
        return verbs.refreshed(self, params, full_grad, state)

    def restart(self, params: Any, state: Any, reset: Sequence[str] | None = None) -> dict[str, Any]:
        """A state that starts again at these params: the named slots as `init` makes them, and every count back to 0.

        Args:
            params: where to start again.
            state: the state so far.
            reset: slots; None resets all but those that a page says to keep. With a slot go the others of its part,
                and the slots of every part that reads `t`, which goes back to 0, or whose slots it is made of.

        Raises:
            TreeError, LeafError, StateError: the state is not that of these params, or reset names what it has not.

        >>> import numpy as np, samestep as ss
        >>> opt, params = ss.sgd(0.5, momentum=0.9), np.array([1.0])
        >>> params, state = opt.step(params, np.array([1.0]), opt.init(params))
        >>> opt.restart(params, state)
        {'step': 0, 'm': array([0.])}
        """
        return verbs.restarted(self, params, state, reset)

    def hyperparameters(self, step: int = 0) -> dict[str, Any]:
        """Every run-time number as it is at a count of completed steps, or `per_leaf`; with groups, a dict by pattern.

        Args:
            step: the count, 0 before the first step.

        Raises:
            HyperparameterError: the count is none, or a schedule gives nan or a number outside the domain.

        >>> import samestep as ss
        >>> ss.sgd(lambda count: 0.1 / (1 + count)).hyperparameters(1)
        {'lr': 0.05}
        """
        if not states.is_count(step) or libraries.deferred(step) or step < 0:
            raise HyperparameterError(f"step counts completed steps: an int, at least 0; got {step!r:.80}")
        step = int(step)
        found = {
            branch.pattern: {
                name: v if name in branch.chain.per_leaf else branch.chain.at(name, step, in_group(self.branches, i))
                for name, v in branch.chain.numbers.items()
            }
            for i, branch in enumerate(self.branches)
            if branch.chain is not None
        }
        return found if len(self.branches) > 1 else found[DEFAULT]

    def state_bytes(self, params: Any) -> int:
        """The bytes of arrays that `init` will allocate.

        Args:
            params: as for `init`, or anything in place of the arrays that has shape and dtype.

        Raises:
            LeafError: a leaf is of no floating dtype.
            ChainError: a pattern of the groups matches nothing.

        >>> import numpy as np, samestep as ss
        >>> ss.adam().state_bytes(np.zeros((10, 10), np.float32))
        800
        """
        _, described, _ = self._described(params, shapes_only=True)
        total = 0
        for leaf in described:
            chain = self.chains[leaf.branch]
            program = find_program(chain, leaf)
            for slot in program.slots if program is not None and chain is not None else ():
                shape, dtype = states.slot_layout(chain, slot, leaf)
                total += np.dtype(dtype).itemsize * math.prod(shape)
        return total

    # -- helpers ---------------------------------------------------------
    def _described(self, params: Any, shapes_only: bool = False) -> tuple[Any, list, list]:
        leaves, spec = trees.flatten(params)
        paths = trees.paths(spec)
        checks.leaves(paths, leaves, shapes_only)
        branch_of = assign(self.branches, paths)
        return spec, [describe(p, a, a, b) for p, a, b in zip(paths, leaves, branch_of, strict=True)], leaves

    def _first_numbers(self, programs: list) -> dict[str, Any]:
        live = {n for program in programs for n in program.numbers}
        found: dict[str, dict[str, float]] = {}
        for pattern, chain in zip([branch.pattern for branch in self.branches], self.chains, strict=True):
            for slot, spec, part in chain.slots() if chain is not None else ():
                if chain is not None and slot in live:
                    value = states.start(chain, spec, part, states.np_namespace(), np.zeros(()))
                    found.setdefault(slot, {})[pattern] = value
        return {slot: by if len(self.branches) > 1 else by[DEFAULT] for slot, by in found.items()}


def _difference(old: Any, new: Any) -> Any:
    """What must be added to the old array; 0 where it stays as it is, an infinity too."""
    xp = libraries.namespace(new)
    old, new = xp.asarray(old), xp.asarray(new)
    with np.errstate(all="ignore"):
        return xp.where(new == old, xp.zeros_like(new), new - old)


def _show(chain: Chain | None) -> str:
    return "freeze()" if chain is None else f"chain({', '.join(map(repr, chain.parts))})"
