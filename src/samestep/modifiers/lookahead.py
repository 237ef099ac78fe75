"""Lookahead: k fast steps, then a slow one towards where they led.

Zhang, Lucas, Hinton, Ba, "Lookahead Optimizer: k steps forward, 1 step back", 2019, https://arxiv.org/abs/1907.08610.

    every k-th step: p <- slow + alpha (p - slow);   slow <- p
    start "late":    slow is p until the first of them, which pulls nothing
    reset "pullback": in the same step m <- slow_m + alpha (m - slow_m);   slow_m <- m, from 0
"""

from dataclasses import replace
from typing import Literal

from array_api_compat import array_namespace

from ..compose import chain
from ..errors import HyperparameterError
from ..optimizer import Optimizer
from ..page import Part, borrowed, copy, count, fraction, gradient, update, zeros

Start = Literal["init", "late"]


def _at_slow(slow):
    return {"p": slow}


@update(behind=True, eval=_at_slow, slow=replace(copy, lasts=True))  # it is what the fast steps start again from
def slow_weights(p, slow, t, *, k: count = 5, alpha: fraction = 0.5, start: Start = "init", first: count | None = None):
    """Every k-th step, pull the parameter back to the slow one and move that."""
    xp = array_namespace(p)
    begin = k if first is None else first
    synced = t % k == 0 if first is None else (t >= first) & ((t - first) % k == 0)
    pulled = slow + alpha * (p - slow)
    if start == "late":
        pulled = xp.where(t > begin, pulled, p)
        synced = synced | (t < begin)
    p = xp.where(synced, pulled, p)
    return {"p": p, "slow": xp.where(synced, p, slow)}


@gradient()
def start_again(t, *, k: count):
    """Start the state of what follows again, and its count, after every k steps."""
    return {"t": (t - 1) % k + 1, "reset": (t - 1) % k == 0}


@update(behind=True, m=borrowed, slow_m=replace(zeros, lasts=True))
def pulled_back(m, slow_m, t, *, k: count, alpha: fraction):
    """With every slow step, pull the momentum back to that of the last one."""
    xp = array_namespace(m)
    synced = t % k == 0
    m = xp.where(synced, slow_m + alpha * (m - slow_m), m)
    return {"m": m, "slow_m": xp.where(synced, m, slow_m)}


def lookahead(
    k: int = 5,
    alpha: float = 0.5,
    *,
    start: Start = "init",
    first: int | None = None,
    reset: Literal["none", "state", "pullback"] = "none",
    name: str | None = None,
) -> Part | Optimizer:
    """Lookahead around the optimizer that it follows in a chain; `eval_params` gives the slow parameters.

    Args:
        k: fast steps between two slow ones, 5.
        alpha: how far the slow parameters move, 0.5.
        start: the first slow parameters: "init", those of `init`; "late", those after the first k steps, as in timm.
        first: the step of the first slow one, None: k; 1 with "late" is torch_optimizer's.
        reset: what happens to the fast optimizer's state after a slow step: "none", or "state": it starts again, its
            count and schedules too; or "pullback": its slot `m` is pulled back as p is, to what it was after the last
            slow step.
        name: a name for the part.

    Slot `slow` in the compute dtype, a copy of the first parameters; `slow_m`, zeros, with "pullback".

    Raises:
        HyperparameterError: k or first below 1, alpha outside [0, 1], another start or reset, or "state" or "pullback"
            with "late" or first: the count that they wait for starts again too, or m has not got a slow one yet.
        TraceError: at `init`, "pullback" behind parts without a slot `m`.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(1.0), ss.lookahead(k=1)), np.array([1.0])
    >>> opt.step(params, np.array([1.0]), opt.init(params))
    (array([0.5]), {'step': 1, 'slow': array([0.5])})
    """
    if reset not in ("none", "state", "pullback"):
        raise HyperparameterError(f"reset must be one of 'none', 'state', 'pullback'; got {reset!r}")
    part = slow_weights(k=k, alpha=alpha, start=start, first=first, name=name)
    if reset == "none":
        return part
    if start != "init" or first is not None:
        why = "starts the count again, which start and first wait for" if reset == "state" else "has one start"
        raise HyperparameterError(f"reset={reset!r} {why}: leave them out")
    beside = start_again(k=k, name=name) if reset == "state" else pulled_back(k=k, alpha=alpha, name=name)
    return chain(beside, part)
