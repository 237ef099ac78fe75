"""Adafactor: second moments from the means of rows and columns, and a step size relative to the parameter.

Shazeer, Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018, https://arxiv.org/abs/1804.04235.

    b = 1 - t^(-decay_rate);   q = g^2 + eps
    rows <- b rows + (1 - b) mean_last(q);   cols <- b cols + (1 - b) mean_secondlast(q)
    u = g / sqrt(rows cols / mean(rows));   u <- u / max(1, RMS(u) / clip_threshold)
    a = min(lr, 1 / sqrt(t)) max(eps2, RMS(p));   p <- p - a u
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..page import cols, direction, nonnegative, positive, rows, unit, update, zeros


def _rms(xp, x):
    return xp.linalg.vector_norm(x) / xp.sqrt(x.size)


def _step_size(p, t, lr, eps2, relative_step, scale_parameter, warmup_init):
    xp = array_namespace(p)
    if relative_step:
        lr = xp.minimum(lr * t * 1e-4 if warmup_init else lr, 1 / xp.sqrt(t))
    return lr * xp.maximum(eps2, _rms(xp, p)) if scale_parameter else lr


@direction(rows=rows, cols=cols, v=zeros, m=zeros)
def scale_by_adafactor(
    u,
    p,
    t,
    rows,
    cols,
    v,
    m,
    *,
    lr: nonnegative,
    decay_rate: positive = 0.8,
    eps: nonnegative = 1e-30,
    eps2: nonnegative = 1e-3,
    clip_threshold: positive = 1.0,
    beta1: unit | None = None,
    relative_step: bool = True,
    scale_parameter: bool = True,
    warmup_init: bool = False,
):
    """The whole step of Adafactor, lr included; `apply_update` follows. The arguments are those of `adafactor`."""
    xp = array_namespace(u)
    b, q = 1 - t**-decay_rate, u * u + eps
    state = {}
    if u.ndim >= 2:
        state["rows"] = rows = b * rows + (1 - b) * xp.mean(q, axis=-1, keepdims=True)
        state["cols"] = cols = b * cols + (1 - b) * xp.mean(q, axis=-2, keepdims=True)
        u = u / xp.sqrt(rows / xp.mean(rows, axis=-2, keepdims=True)) / xp.sqrt(cols)
    else:
        state["v"] = v = b * v + (1 - b) * q
        u = u / xp.sqrt(v)
    u = u / xp.maximum(1.0, _rms(xp, u) / clip_threshold)
    u = _step_size(p, t, lr, eps2, relative_step, scale_parameter, warmup_init) * u
    if beta1 is not None:
        state["m"] = u = beta1 * m + (1 - beta1) * u
    return {"u": u, **state}


@update()
def adafactor_decay(
    p,
    t,
    *,
    lr: nonnegative,
    weight_decay: nonnegative,
    eps2: nonnegative,
    relative_step: bool,
    scale_parameter: bool,
    warmup_init: bool,
):
    """Shrink the parameter by weight_decay times Adafactor's own step size, before the step."""
    return {"p": p * (1 - weight_decay * _step_size(p, t, lr, eps2, relative_step, scale_parameter, warmup_init))}


@update()
def apply_update(p, u):
    """Move the parameter against the direction, which has its step size in it already."""
    return {"p": p - u}


@named(scale_by_adafactor)
def adafactor(lr: nonnegative = 0.01, *, weight_decay: nonnegative = 0.0, beta1: unit | None = None, **hyper):
    """Adafactor: factored second moments and a relative step size (Shazeer, Stern, 2018, https://arxiv.org/abs/1804.04235).

        u = g / sqrt(rows cols / mean(rows));  u <- u / max(1, RMS(u) / clip_threshold)
        a = min(lr, 1 / sqrt(t)) max(eps2, RMS(p));  p <- p (1 - weight_decay a) - a u

    Args:
        lr, relative_step: the largest relative step, 0.01, which falls as 1 / sqrt(t); False: the step is lr.
        decay_rate: the second moments decay with 1 - t^(-decay_rate), 0.8.
        eps, eps2: added to the squared gradient, 1e-30; the least scale of a parameter, 1e-3.
        clip_threshold: the largest root mean square of u, 1.
        beta1: momentum on the finished step; None or 0 keeps no buffer.
        scale_parameter: whether the step is relative to the root mean square of the parameter.
        warmup_init: the bound lr grows as lr t / 10000.
        weight_decay: decay by the step size a; 0 leaves the part out.
        maximize: climb instead of descend.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays; slots, in the compute dtype: from two dimensions on `rows` (last axis 1) and `cols`
    (second last axis 1; leading axes are a batch), else `v`; with momentum also `m`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adafactor(), np.ones((3, 2))
    >>> {slot: getattr(x, "shape", x) for slot, x in opt.init(params).items()}
    {'step': 0, 'rows': (3, 1), 'cols': (1, 2)}
    """
    part = scale_by_adafactor(lr=lr, beta1=None if beta1 == 0 else beta1, **hyper)
    shared = {k: v for k, v in part.values if k in adafactor_decay.hypers}
    return [part, adafactor_decay(weight_decay=weight_decay, **shared) if weight_decay else None, apply_update()]
