"""Unscale: the gradients of a loss that was scaled up so that float16 holds them.

Micikevicius et al., "Mixed Precision Training", 2018, https://arxiv.org/abs/1710.03740; as torch.amp.GradScaler.

    u <- u / loss_scale;    no step where an entry of any gradient is not finite
    dynamic:  loss_scale <- backoff_factor loss_scale                    after such a step
              loss_scale <- growth_factor loss_scale                     after growth_interval others in a row
"""

from array_api_compat import array_namespace

from ..page import count, given, gradient, positive
from ..trace.namespace import sum_over_params


@gradient(unscales=True, grad_scale=given, found_inf=given(0.0), unscaled=0.0)
def unscale(u, grad_scale, found_inf, unscaled):
    """Divide the gradients by a scale that the caller keeps: help("samestep.modifiers.unscale").

    `step` takes it, and whether to skip: step(params, grads, state, grad_scale=..., found_inf=...), numbers or 0-d
    arrays; found_inf may be left out, and skips where it is not 0. In jax.jit and torch.compile neither is fetched.
    What follows counts the steps taken, the number `unscaled` of the state.

    Raises:
        TraceError: at `init`, a part before it that sees the scale (clipping, noise, decay), keeps that of another step
            (grokfast, the full gradient of svrg), or collects what found_inf says to skip (`accumulate`).

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.unscale(), ss.sgd(1.0)), np.array([1.0])
    >>> opt.step(params, np.array([256.0]), opt.init(params), grad_scale=512.0)
    (array([0.5]), {'step': 1, 'unscaled': 1.0})
    """
    xp = array_namespace(u)
    taken = found_inf == 0
    return {
        "u": u * (1 / grad_scale),
        "unscaled": xp.where(taken, unscaled + 1, unscaled),
        "t": unscaled + 1,
        "when": taken,
    }


@gradient(unscales=True, loss_scale="first_scale", streak=0.0, unscaled=0.0)
def loss_scaling(
    u,
    loss_scale,
    streak,
    unscaled,
    *,
    first_scale: positive = 65536.0,
    growth_factor: positive = 2.0,
    backoff_factor: positive = 0.5,
    growth_interval: count = 2000,
):
    """Divide the gradients by a scale that finds its own size: help("samestep.modifiers.unscale").

    Args:
        first_scale: of the first loss, 65536.
        growth_factor, growth_interval: what the scale grows by, 2, after how many steps in a row, 2000.
        backoff_factor: what it is multiplied by after a gradient that is not finite, 0.5; no step is taken then.

    The caller multiplies the next loss by the number `loss_scale` of the state. It has `streak` too, the steps since
    the scale changed, and `unscaled`, the steps taken: those that what follows counts.

    Raises:
        TraceError: at `init`, as for `unscale`; but `accumulate` may stand before it, since it looks at the sum, and
            `skip_nonfinite` may not, which would keep from it what makes its scale fall.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.loss_scaling(first_scale=4.0), ss.sgd(1.0)), np.array([1.0])
    >>> opt.step(params, np.array([np.inf]), opt.init(params))
    (array([1.]), {'step': 1, 'loss_scale': 2.0, 'streak': 0.0, 'unscaled': 0.0})
    """
    xp = array_namespace(u)
    finite = sum_over_params(xp.count_nonzero(xp.logical_not(xp.isfinite(u)))) == 0
    streak = xp.where(finite, streak + 1, 0.0)
    grown = streak == growth_interval
    return {
        "u": u * (1 / loss_scale),
        "loss_scale": loss_scale * xp.where(finite, xp.where(grown, growth_factor, 1.0), backoff_factor),
        "streak": xp.where(grown, 0.0, streak),
        "unscaled": xp.where(finite, unscaled + 1, unscaled),
        "t": unscaled + 1,
        "when": finite,
    }
