"""Amos: Adam's step with a decay that is derived from it, towards the scale that each leaf should come to have.

Tian, Parikh, "Amos: An Adam-style Optimizer with Adaptive Weight Decay towards Model-Oriented Scale", 2022,
https://arxiv.org/abs/2210.11693, with the authors' code, in which extra_l2 is added to gamma / 2.

    g2 = mean(g^2)                      of the leaf, or over all axes but unit_axis (v_unit, b_unit)
    v <- beta v + (1 - beta) g2;        r = (1 - beta^t) / max(v, eps)
    gamma = lr^2 r g2 / sqrt(1 + c sqrt(lr) b);         b <- b + gamma (1 + b) after its use
    delta = ((gamma / 2 + extra_l2) p + lr eta sqrt(r) g) / (1 + d sqrt(lr eta) b)
    m <- momentum m + (1 - momentum) delta;             p <- p - m, with the decay in m
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..page import nonnegative, per_leaf, positive, scalar, unit, update, zeros


def _others(x, unit_axis):
    """The axes to take a mean over; None where a leaf has one number."""
    if unit_axis == "each":
        return ()
    if unit_axis is None or x.ndim < 2 or x.size == 0:
        return None
    kept, rank = unit_axis if isinstance(unit_axis, tuple) else (unit_axis,), int(x.ndim)
    if not all(type(axis) is int and -rank <= axis < rank for axis in kept):
        raise HyperparameterError(f"unit_axis={unit_axis!r} are no axes of a leaf that has {rank}: write groups")
    return tuple(i for i in range(rank) if i not in kept and i - rank not in kept)


def _units(p, *, unit_axis):
    xp, axes = array_namespace(p), _others(p, unit_axis)
    return xp.sum(xp.zeros_like(p), axis=axes, keepdims=True) if axes else xp.zeros_like(p)


@update(alone="its decay is made of its step", v=scalar(0.0), b=scalar(0.0), v_unit=_units, b_unit=_units, m=zeros)
def amos_step(
    p, u, v, b, v_unit, b_unit, m, t, *, lr: nonnegative, eta: positive, beta: unit = 0.999, c: nonnegative = 0.25,
    d: nonnegative = 0.25, extra_l2: nonnegative = 0.0, momentum: unit | None = None, clip: positive | None = None,
    eps: positive = 2.0**-125, unit_axis: Literal[None, 0, -1, "each"] | tuple = None,
):  # fmt: skip
    """The step of Amos, in place of `descend`; its equations and source: help("samestep.algorithms.amos").

    Args:
        lr, eta, beta, c, d, extra_l2, clip, eps, unit_axis, momentum: as in `amos`; momentum may be None, for no m.

    >>> import samestep as ss
    >>> ss.chain(ss.amos_step(0.1, eta=0.5)) == ss.amos(0.1, eta=0.5)
    True
    """
    xp, axes = array_namespace(u), _others(u, unit_axis)
    u = u if clip is None else xp.clip(u, -clip, clip)
    if axes is None:
        g2 = xp.sum(u * u) / xp.maximum(u.size, 1)
    else:
        v, b, g2 = v_unit, b_unit, xp.mean(u * u, axis=axes, keepdims=True) if axes else u * u
    v = beta * v + (1 - beta) * g2
    r = (1 - beta**t) / xp.maximum(v, eps)
    gamma = lr * lr * r * g2 / xp.sqrt(1 + c * xp.sqrt(lr) * b)
    delta = ((gamma / 2 + extra_l2) * p + lr * eta * xp.sqrt(r) * u) / (1 + d * xp.sqrt(lr * eta) * b)
    state = {"v" if axes is None else "v_unit": v, "b" if axes is None else "b_unit": b + gamma * (1 + b)}
    if momentum is not None:
        state["m"] = delta = momentum * m + (1 - momentum) * delta
    return {"p": p - delta, **state}


def _scale(shape, fan_in):
    return 0.5 if len(shape) < 2 else ((2 if len(shape) == 2 else 1) / max(shape[fan_in], 1)) ** 0.5


def _out_in(path, shape):
    return _scale(shape, 1)


def _in_out(path, shape):
    return _scale(shape, 0)


SCALES = {"out_in": per_leaf(_out_in), "in_out": per_leaf(_in_out)}


@named(amos_step)
def amos(lr: nonnegative, *, eta: positive | None = None, layout: Literal["out_in", "in_out"] = "out_in",
         momentum: unit = 0.0, **hyper):  # fmt: skip
    """Amos: adaptive decay towards a scale (Tian, Parikh, 2022, https://arxiv.org/abs/2210.11693).

        v <- beta v + (1 - beta) mean(g^2);  r = (1 - beta^t) / v;  gamma = lr^2 r mean(g^2) / sqrt(1 + c sqrt(lr) b)
        p <- p - (gamma / 2 p + lr eta sqrt(r) g) / (1 + d sqrt(lr eta) b);  b <- b + gamma (1 + b)

    Args:
        lr: step size relative to eta; the authors advise 1 / sqrt(number of batches in the data).
        eta: the size that the entries of a leaf should come to have: a number, or `per_leaf`; None: 0.5 of a leaf with
            less than two axes, sqrt(2 / fan-in) of a matrix, sqrt(1 / fan-in) of others. The authors take 1 for the
            scales of normalisations, and for kernels sqrt(1 / fan-in), or sqrt(2 / fan-in) behind a ReLU.
        layout: where None looks for the fan-in: "out_in", shape[1]; "in_out", shape[0].
        beta, eps: the decay of v, 0.999, better nearer to 1 - lr; its least value, 2^-125 = 2.350988701644575e-38.
        c, d: how fast the decay and the step fall, 0.25 and 0.25.
        extra_l2, clip: added to gamma / 2, 0; the largest entry of a gradient, such as sqrt(labels of a batch), None.
        momentum: the decay of m, 0: no buffer.
        unit_axis: None; 0, -1 or a tuple of axes: a v and b for each entry along these where a leaf has two axes, or
            "each": of every leaf.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape; slots `v`, `b`, one number a leaf, or `v_unit`, `b_unit`, and `m` in the
    compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, an axis that a leaf has not, eta and layout.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.amos(1.0, eta=0.5, c=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -3.0]), opt.init(params))[0].round(12)
    array([0., 0.])
    """
    if eta is not None and layout != "out_in":
        raise HyperparameterError("layout is where eta=None looks for the fan-in: leave layout or eta out")
    return [amos_step(lr, eta=SCALES[layout] if eta is None else eta, momentum=momentum or None, **hyper)]
