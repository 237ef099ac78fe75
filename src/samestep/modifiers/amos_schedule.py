"""Amos's rule of step and decay, for any direction: a step in proportion to the scale of a leaf, and both fall.

Tian, Parikh, "Amos: An Adam-style Optimizer with Adaptive Weight Decay towards Model-Oriented Scale", 2022,
https://arxiv.org/abs/2210.11693; as derived in Su, 2022, https://kexue.fm/archives/9344.

    k = 1 / (2 lr speed t + 1)           "inverse_time";        1 / (lr speed t + 1)^2           "fixed_rate"
    p <- p - lr k sqrt(size) eta u / |u| - lr^2 k / (2 q) p
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import nonnegative, positive, update
from .descend import descend


@update(replaces=descend)
def amos_schedule(
    p,
    u,
    t,
    *,
    lr: nonnegative,
    eta: positive,
    speed: nonnegative = 1.0,
    q: positive = 1.0,
    form: Literal["inverse_time", "fixed_rate"] = "inverse_time",
):
    """Step and decay in the sizes of Amos, in place of `descend`: help("samestep.modifiers.amos_schedule").

    Args:
        lr: the relative step that both fall from; in a chain with `descend`, for which it stands then, that part's lr.
        eta: the size that the entries of a leaf should come to have, such as the deviation that it starts with, or 0.5
            of a bias: a number, or `per_leaf`.
        speed: how fast both fall, 1. Half of the decay is left at t = 1 / (2 lr speed), or in the other form at
            (sqrt(2) - 1) / (lr speed).
        q: the weight of the step against the decay, 1.
        form: "inverse_time", where the rate of convergence falls with the distance; "fixed_rate", where it stays.

    A leaf whose direction is 0 only decays. With the norm of p in place of sqrt(size) eta it is `trust_ratio`.

    Raises:
        ChainError: there is no `descend` in the chain, and no lr of its own; or both have another lr.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.sgd(0.5), ss.amos_schedule(eta=0.5, speed=0.0)), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([0.0, 2.0]), opt.init(params))[0].round(12)
    array([ 0.875     , -1.22855339])
    """
    xp = array_namespace(u)
    falls = 1 / (2 * lr * speed * t + 1) if form == "inverse_time" else 1 / (lr * speed * t + 1) ** 2
    norm = xp.linalg.vector_norm(u)
    step = xp.where(norm > 0, lr * falls * xp.sqrt(u.size) * eta / xp.where(norm > 0, norm, 1.0), 0.0)
    return {"p": p - step * u - lr * lr * falls / (2 * q) * p}
