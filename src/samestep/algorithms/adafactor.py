"""Adafactor: second moments from the means of rows and columns, and a step size relative to the parameter.

Shazeer, Stern, "Adafactor: Adaptive Learning Rates with Sublinear Memory Cost", 2018, https://arxiv.org/abs/1804.04235.

    b = 1 - t^(-decay_rate);  rows <- b rows + (1 - b) mean_last(g^2 + eps);  cols the same with mean_secondlast
    u = g / sqrt(rows cols / mean(rows));  u <- u / max(1, RMS(u) / clip_threshold);  leading axes are a batch
    a = min(lr, 1 / sqrt(t)) max(eps2, RMS(p));  p <- p - a u
    "floor", in place of g^2 + eps: u = g / sqrt(max(rows cols / max(mean(rows), eps), eps^2)), as torch has it
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named, refuse_idle
from ..factored import LAST, clipped, first, is_factored, largest, means, over_root, rms
from ..modifiers.decay import decay_if
from ..page import count, direction, nonnegative, positive, unit, update, zeros


def _mean_slot(which):
    """A slot of the means along one of the axes."""

    def start(p, *, factor):
        xp, axis = array_namespace(p), _axes(p, factor)[which]
        return xp.zeros_like(xp.sum(first(xp, p, axis), axis=axis, keepdims=True))

    return start


def _axes(x, factor):
    return largest(x) if factor == "largest" else LAST


@direction(rows=_mean_slot(0), cols=_mean_slot(1), v=zeros, m=zeros)
def scale_by_adafactor(
    u, p, t, rows, cols, v, m, *, lr: nonnegative, decay_rate: positive = 0.8, eps: nonnegative | None = 1e-30,
    eps_mode: Literal["added", "floor"] = "added", eps2: nonnegative = 1e-3, clip_threshold: positive = 1.0,
    beta1: unit | None = None, relative_step: bool = True, scale_parameter: bool = True, fixed_scale: positive = 1.0,
    warmup_init: bool = False, min_dim: count = 1, factor: Literal["last", "largest"] = "last",
    decay: Literal["relative", "decoupled", "independent"] = "relative",
    momentum_on: Literal["step", "direction"] = "step",
):  # fmt: skip
    """The whole step of Adafactor, lr included; its equations and source: help("samestep.algorithms.adafactor").

    Args:
        lr, decay_rate, eps, eps_mode, eps2, clip_threshold, beta1, relative_step, scale_parameter: see `adafactor`.
        fixed_scale, warmup_init, min_dim, factor, momentum_on: see `adafactor`.
        decay: "relative": parts behind it have the size of this step for lr; else as in `decay`, "relative".

    >>> import samestep as ss
    >>> ss.scale_by_adafactor(lr=0.01) in ss.adafactor().chains[0].parts
    True
    """
    xp = array_namespace(u)
    eps = xp.finfo(p).eps if eps is None else eps
    added, floor = (eps, None) if eps_mode == "added" else (0.0, eps)
    b, q, state = 1 - t**-decay_rate, u * u + added, {}
    axes = _axes(u, factor)
    if is_factored(u, min_dim, axes):
        state["rows"], state["cols"] = rows, cols = means(xp, q, rows, cols, b, axes)
        u = over_root(xp, u, rows, cols, floor, axes)
    else:
        state["v"] = v = b * v + (1 - b) * q
        u = u / xp.sqrt(v if floor is None else xp.maximum(v, floor * floor))
    if relative_step:
        lr = xp.minimum(lr * t * 1e-4 if warmup_init else lr, 1 / xp.sqrt(t))
    size = lr * (xp.maximum(eps2, rms(xp, p)) if scale_parameter else fixed_scale)
    u, late = clipped(xp, u, clip_threshold), momentum_on == "direction"
    u = u if late else size * u
    if beta1 is not None:
        state["m"] = u = beta1 * m + (1 - beta1) * u
    u = size * u if late else u
    return {"u": u, **state, **({"lr": size} if decay == "relative" else {})}


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
        scale_parameter, eps2: the step is scaled by RMS(p), True; by at least 1e-3.
        fixed_scale, warmup_init: the scale where it is not RMS(p), 1 (tensor2tensor: 0.05); lr t / 10000 for lr, False.
        decay_rate, clip_threshold: decay is 1 - t^(-decay_rate), 0.8; the largest RMS(u), 1.
        eps, eps_mode: "added" to g^2, 1e-30; "floor": no u exceeds g / eps; None: the epsilon of the params' dtype.
        beta1, min_dim: momentum, None or 0: no buffer; the least rows and columns that factor, 1.
        momentum_on: it is a mean of whole "step"s, or "direction"s u, before their size a, as in bojone's Keras port.
        factor: which axes are rows and columns where a leaf has more: the "last" two; the two "largest", as in optax.
        weight_decay, decay: 0: none; by the size a of the step, "relative", by lr, "decoupled", or "independent".
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".
        dialect: the conventions and numbers of "torch", "optax" or "keras", None.

    Params are floating arrays; slots in the compute dtype: `rows`, `cols` (2-D on, not empty), else `v`; `m` if beta1.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or one that others leave without effect.

    >>> import numpy as np, samestep as ss
    >>> {slot: getattr(x, "shape", x) for slot, x in ss.adafactor().init(np.ones((3, 2))).items()}
    {'step': 0, 'rows': (3, 1), 'cols': (1, 2)}
    """
    falls, scaled = hyper["relative_step"], hyper["scale_parameter"]
    refuse_idle(adafactor, hyper, warmup_init=not falls, fixed_scale=scaled, eps2=not scaled, momentum_on=not beta1)
    part = scale_by_adafactor(lr=lr, beta1=None if beta1 == 0 else beta1, **hyper)
    independent = hyper["decay"] == "independent"  # else by the chain's lr, which the part gives if "relative"
    return [part, decay_if(weight_decay, "independent" if independent else "decoupled"), apply_update()]
