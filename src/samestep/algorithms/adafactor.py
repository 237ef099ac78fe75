"""Adafactor: second moments from the means of rows and columns, and a step size relative to the parameter.

Shazeer, Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018, https://arxiv.org/abs/1804.04235.

    b = 1 - t^(-decay_rate);  rows <- b rows + (1 - b) mean_last(g^2 + eps);  cols the same with mean_secondlast
    u = g / sqrt(rows cols / mean(rows));  u <- u / max(1, RMS(u) / clip_threshold);  leading axes are a batch
    a = min(lr, 1 / sqrt(t)) max(eps2, RMS(p));  p <- p - a u
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
    """The whole step of Adafactor, lr included; its equations and source: help("samestep.algorithms.adafactor").

    Args:
        lr, decay_rate, eps, eps2, clip_threshold, beta1, relative_step, scale_parameter, warmup_init: see `adafactor`.

    >>> import samestep as ss
    >>> ss.scale_by_adafactor(lr=0.01) in ss.adafactor().chains[0].parts
    True
    """
    xp = array_namespace(u)
    b, q = 1 - t**-decay_rate, u * u + eps
    state = {}
    if u.ndim >= 2 and u.size > 0:  # a mean of nothing is nan
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
        lr, relative_step: the largest relative step, 0.01, which falls as 1 / sqrt(t), True; False: the step is lr.
        scale_parameter, eps2, warmup_init: scale by RMS(p), True, at least 1e-3; the bound lr is lr t / 10000, False.
        decay_rate, eps, clip_threshold: decay is 1 - t^(-decay_rate), 0.8; added to g^2, 1e-30; the largest RMS(u), 1.
        beta1, weight_decay: momentum on the finished step, None or 0: no buffer; decay by the step size a, 0: none.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays; slots in the compute dtype: `rows`, `cols` (2-D on, not empty), else `v`; `m` if beta1.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> {slot: getattr(x, "shape", x) for slot, x in ss.adafactor().init(np.ones((3, 2))).items()}
    {'step': 0, 'rows': (3, 1), 'cols': (1, 2)}
    """
    part = scale_by_adafactor(lr=lr, beta1=None if beta1 == 0 else beta1, **hyper)
    shared = {k: v for k, v in part.values if k in adafactor_decay.hypers}
    return [part, adafactor_decay(weight_decay=weight_decay, **shared) if weight_decay else None, apply_update()]
