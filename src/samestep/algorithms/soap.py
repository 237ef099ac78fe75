"""SOAP: Adam in the eigenbasis of Shampoo's factors.

Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024, https://arxiv.org/abs/2409.11321, algorithm 3.

    k = t - init_steps; the calls up to 0 only collect: H_i from 0 as below, at 0 Q_i its eigenvectors, p stays
    m <- beta1 m + (1 - beta1) g
    v <- beta2 v + (1 - beta2) (g x_1 Q_1^T ... x_r Q_r^T)^2
    u = sqrt(1 - beta2^k) / (1 - beta1^k) ((m x_i Q_i^T) / (sqrt(v) + eps)) x_i Q_i
    p <- (p - lr u) (1 - lr weight_decay)
    H_i <- shampoo_beta H_i + (1 - shampoo_beta) G_i G_i^T
    every freq steps: H_i Q_i's columns by falling q^T H_i q, v with them;  Q_i <- the Q of their QR factors

The authors keep m in the basis, and turn it where that turns; a rotation is linear, so here it stays as it is.
"""

from functools import partial

from array_api_compat import array_namespace

from ..blocks import along, merged
from ..constructor import named
from ..errors import LeafError
from ..modifiers.descend import descend
from ..page import count, direction, nonnegative, positive, unit, update, zeros
from ..slots import per_axis
from ..trace.namespace import eye_like


def _matrix(scale, axis, p, *, max_dim, merge_dims):
    """How a matrix of an axis starts; a leaf without this axis has none."""
    shape = merged(p, max_dim if merge_dims else None)
    return scale * eye_like(p, shape[axis]) if axis < len(shape) else p


@direction(m=zeros, v=zeros, **per_axis(h=partial(_matrix, 0.0), q=partial(_matrix, 1.0)))
def scale_by_soap(
    u, m, v, h0, h1, h2, h3, h4, q0, q1, q2, q3, q4, t, *, beta1: unit = 0.95, beta2: unit = 0.95,
    shampoo_beta: unit | None = None, eps: positive = 1e-8, freq: count = 10, max_dim: count = 10000,
    precondition_1d: bool = False, bias_correction: bool = True, normalize: bool = False, init_steps: count = 1,
    merge_dims: bool = False,
):  # fmt: skip
    """The direction of SOAP; its equations and source: help("samestep.algorithms.soap").

    Args:
        beta1, beta2, shampoo_beta, eps, freq, max_dim, precondition_1d, bias_correction, normalize: there.
        init_steps, merge_dims: there.

    >>> import samestep as ss
    >>> ss.scale_by_soap(freq=5) in ss.soap(freq=5).chains[0].parts
    True
    """
    xp, whole, shape = array_namespace(u), merged(u, None), merged(u, max_dim if merge_dims else None)
    axes = range(len(shape))
    if len(axes) > 5:
        raise LeafError(f"soap has bases for up to 5 axes; a leaf has {len(axes)}: merge_dims, or use groups")
    kept = [i for i in axes if shape[i] <= max_dim and (len(whole) > 1 or precondition_1d)] if u.size != 0 else []
    u, m, v = (xp.reshape(x, shape) for x in (u, m, v)) if merge_dims else (u, m, v)
    h, q, state = [h0, h1, h2, h3, h4], [q0, q1, q2, q3, q4], {}
    first, k = t <= init_steps, xp.maximum(t - init_steps, 1)
    due, weight = k % freq == 0, beta2 if shampoo_beta is None else shampoo_beta
    m = xp.where(first, m, beta1 * m + (1 - beta1) * u)
    g, d = (along(xp, x, [q[i] if i in kept else None for i in axes]) for x in (u, m))
    v = xp.where(first, v, beta2 * v + (1 - beta2) * g * g)
    d = along(xp, d / (xp.sqrt(v) + eps), [q[i].mT if i in kept else None for i in axes])
    d = d / (1e-30 + xp.sqrt(xp.mean(d * d))) if normalize else d
    d = d * (xp.sqrt(1 - beta2**k) / (1 - beta1**k)) if bias_correction else d
    for i in kept:
        flat = xp.reshape(xp.permute_dims(u, (i, *(j for j in axes if j != i))), (shape[i], -1))
        state[f"h{i}"] = new = weight * h[i] + (1 - weight) * xp.matmul(flat, flat.mT)
        power = xp.matmul(new, q[i])
        order = xp.argsort(xp.sum(q[i] * power, axis=0), descending=True)
        v = xp.where(due, xp.take(v, order, axis=i), v)
        start, turn = xp.linalg.eigh((new + new.mT) / 2)[1], xp.linalg.qr(xp.take(power, order, axis=1))[0]
        state[f"q{i}"] = xp.where(first, xp.flip(start, axis=1), xp.where(due, turn, q[i]))
    state |= {"u": xp.where(first, xp.zeros_like(u), d), "m": m, "v": v}
    return state | ({name: xp.reshape(state[name], whole) for name in "umv"} if merge_dims else {})


@update()
def decay_behind(p, t, *, lr: nonnegative, weight_decay: nonnegative, init_steps: count = 1):
    """Decoupled decay after the step, of which the first calls make none."""
    return {"p": p * (1 - array_namespace(p).where(t <= init_steps, 0.0, lr * weight_decay))}


@named(scale_by_soap)
def soap(lr: nonnegative = 3e-3, *, weight_decay: nonnegative = 1e-2, **hyper):
    """SOAP: Adam in the eigenbasis of Shampoo's factors (Vyas et al., 2024, https://arxiv.org/abs/2409.11321).

        p <- (p - lr u) (1 - lr weight_decay);  u is Adam's, with g and m rotated by Q_i along every axis, rotated back

    Args:
        lr, weight_decay: step size, 3e-3; decoupled decay after the step, 1e-2.
        beta1, beta2, eps: the decay of Adam's means, 0.95 and 0.95; beside the raw root of v, 1e-8.
        shampoo_beta, freq: the decay of the factors H_i, None: beta2; steps between two turns of the bases, 10.
        max_dim: a longer axis keeps its coordinates, 10000.
        merge_dims: axes side by side are one where that is not longer, False.
        precondition_1d, init_steps: rotate vectors too, False; else they run Adam. How many calls only collect, 1.
        bias_correction, normalize: the factor sqrt(1 - beta2^k) / (1 - beta1^k), True; else 1. u over its RMS, False.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Where those gradients have not full rank along an axis, two libraries may choose another basis for the rest, and go
    other ways; more calls help. In a jit all factors are computed in every step, due or not.

    Params are floating arrays of up to 5 dimensions, once merged; slots `m`, `v`, and square matrices for each axis, in
    the compute dtype: the factors `h0`, `h1`, `h2`, `h3`, `h4`, and the bases `q0`, `q1`, `q2`, `q3`, `q4`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.
        LeafError: a leaf has more than 5 dimensions.

    >>> import numpy as np, samestep as ss
    >>> opt, params, g = ss.soap(0.5, weight_decay=0.0), np.zeros((2, 2)), np.array([[3.0, 4.0], [0.0, 0.0]])
    >>> params, state = opt.step(params, g, opt.init(params))
    >>> opt.step(params, g, state)[0].round(2) + 0.0
    array([[-0.3, -0.4],
           [ 0. ,  0. ]])
    """
    behind = decay_behind(weight_decay=weight_decay, init_steps=hyper["init_steps"]) if weight_decay else None
    return [scale_by_soap(**hyper), descend(lr), behind]
