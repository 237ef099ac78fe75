"""Lookahead: k fast steps, then a slow one towards where they led.

Zhang, Lucas, Hinton, Ba, "Lookahead Optimizer: k steps forward, 1 step back", 2019, https://arxiv.org/abs/1907.08610.

    every k-th step: p <- slow + alpha (p - slow);   slow <- p
"""

from dataclasses import replace
from typing import Literal

from array_api_compat import array_namespace

from ..compose import chain
from ..errors import HyperparameterError
from ..optimizer import Optimizer
from ..page import Part, copy, count, fraction, gradient, update


def _at_slow(slow):
    return {"p": slow}


@update(eval=_at_slow, slow=replace(copy, lasts=True))  # it is what the fast steps start again from
def slow_weights(p, slow, t, *, k: count = 5, alpha: fraction = 0.5):
    """Every k-th step, pull the parameter back to the slow one and move that."""
    xp = array_namespace(p)
    synced = t % k == 0
    p = xp.where(synced, slow + alpha * (p - slow), p)
    return {"p": p, "slow": xp.where(synced, p, slow)}


@gradient()
def start_again(t, *, k: count):
    """Start the state of what follows again, and its count, after every k steps."""
    return {"t": (t - 1) % k + 1, "reset": (t - 1) % k == 0}


def lookahead(
    k: int = 5, alpha: float = 0.5, *, reset: Literal["none", "state"] = "none", name: str | None = None
) -> Part | Optimizer:
    """Lookahead around the optimizer that it follows in a chain; `eval_params` gives the slow parameters.

    Args:
        k: fast steps between two slow ones, 5.
        alpha: how far the slow parameters move, 0.5.
        reset: what happens to the fast optimizer's state after a slow step: "none", or "state": it starts again, its
            count and schedules too.
        name: a name for the part.

    Slot `slow` in the compute dtype, a copy of the first parameters.

    Raises:
        HyperparameterError: k below 1, alpha outside [0, 1], or another reset.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(1.0), ss.lookahead(k=1)), np.array([1.0])
    >>> opt.step(params, np.array([1.0]), opt.init(params))
    (array([0.5]), {'step': 1, 'slow': array([0.5])})
    """
    if reset not in ("none", "state"):
        raise HyperparameterError(f"reset must be one of 'none', 'state'; got {reset!r}")
    part = slow_weights(k=k, alpha=alpha, name=name)
    return part if reset == "none" else chain(start_again(k=k, name=name), part)
