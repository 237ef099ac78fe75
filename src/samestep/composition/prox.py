"""What both solvers end with: the w that minimises z w + h / 2 w^2 + the regularisers, in closed form.

Xu et al., "L1/2 Regularization: A Thresholding Representation Theory and a Fast Solver", 2012,
https://doi.org/10.1109/TNNLS.2012.2197412, the half power.
Duchi, Singer, "Efficient Online and Batch Learning Using Forward Backward Splitting", 2009,
https://jmlr.org/papers/v10/duchi09a.html, the norms of groups.

    l1 |w|                   w = -S / h with S = z - sign(z) l1, or 0 where |z| <= l1; beside the others, S stands for z
    half |w|^(1/2)           w = -2/3 z / h (1 + cos(2/3 pi - 2/3 acos(c))), c = half / (4 h) (|z| / (3 h))^(-3/2),
                             or 0 where c >= sqrt(1/2)
    group_l2 |w_G|           w = -z r / (h r + group_l2), r = |w_G| the root of sum (z / (h r + group_l2))^2 = 1,
                             or 0 where |z_G| <= group_l2
    group_half |w_G|^(1/2)   as half, with |z_G| for |z|; h is one number in each group, its mean
"""

import math
from collections.abc import Callable
from typing import Literal

from array_api_compat import array_namespace

from ..errors import LeafError

Penalties = Literal["incremental", "fixed", "sqrt", "adaptive", "square"] | Callable
Curvatures = Literal["classical", "fixed", "decoupled", "sum_inv_lr"]
STEPS = 12  # of Newton's method for r: residuals of 1e-15 where h spans nine powers of ten in a group


def penalty(schedule, t, lr, h):
    """What l1 and the like are multiplied by after t steps."""
    if callable(schedule):
        return schedule(t, h)
    return {"incremental": t, "fixed": 1.0, "sqrt": t**0.5, "square": t * t, "adaptive": lr * h}[schedule]


def lazy_l2(schedule, t, l2, h, sigma):
    """The proximal term of this step, and the curvature after it, of FTRL with the sum of its l2 by a schedule."""
    if schedule == "classical":
        return sigma, h + t * l2
    if schedule == "fixed":
        return sigma, h + l2
    return (sigma if schedule == "decoupled" else (1 + l2) * sigma - l2 * h), (1 + l2) * h


def minimum(p, z, h, *, l1=None, half=None, group_l2=None, group_half=None, axis=-1):
    """The w that minimises; where nothing at all weighs on it, h = 0 and no penalty, it stays p (0 if p is None)."""
    xp = array_namespace(z)
    free = weightless = h == 0
    for given in (l1, half, group_l2, group_half):
        free = free if given is None else free & (given == 0)
    if l1 is not None:
        z = _soft(xp, z, l1)
    if half is not None:
        w = _half(xp, z, h, abs(z), half)
    elif group_half is not None:
        w = _half(xp, z, h, _norm(xp, z, axis), group_half)
    elif group_l2 is not None:
        w = _group(xp, z, h, group_l2, axis)
    else:
        w = 0.0 - z / h  # no negative zero
    w = xp.where(weightless & (z == 0), 0.0, w)
    return w if p is None else xp.where(free, p, w)


def shrunk(x, step, l1, l2):
    """The w that minimises |w - x|^2 / 2 + step (l1 |w| + l2 / 2 w^2); of each term, None is none."""
    if l1 is not None:
        x = _soft(array_namespace(x), x, step * l1)
    return x if l2 is None else x / (1 + step * l2)


def _soft(xp, x, l1):
    return xp.where(abs(x) <= l1, 0.0, x - xp.sign(x) * l1)


def _has(z, axis):
    """Whether groups lie along the axis; of a leaf that is a number there is one."""
    rank = int(z.ndim)
    if rank and not -rank <= axis < rank:
        raise LeafError(f"a group is what lies along axis {axis}; a leaf has {rank} axes: give axis={rank - 1}, or -1")
    return rank > 0


def shared(p, h, axis):
    """One h for each group: its mean."""
    xp = array_namespace(p)
    h = xp.zeros_like(p) + h
    return h if not _has(p, axis) else xp.zeros_like(p) + xp.mean(h, axis=axis, keepdims=True)


def _norm(xp, z, axis):
    return abs(z) if not _has(z, axis) else xp.sqrt(xp.sum(z * z, axis=axis, keepdims=True))


def _half(xp, z, h, size, weight):
    third = size / (3 * h)
    c = weight / (4 * h) / (third * xp.sqrt(third))
    grown = 2 / 3 * (1 + xp.cos(2 / 3 * (math.pi - xp.acos(xp.minimum(c, 1.0)))))
    return xp.where(c < 0.5**0.5, -z / h * grown, 0.0)


def _group(xp, z, h, weight, axis):
    norm, h = _norm(xp, z, axis), xp.zeros_like(z) + h
    if z.ndim == 0:
        return xp.where(norm <= weight, 0.0, -(z - xp.sign(z) * weight) / h)
    r = xp.maximum(norm - weight, 0.0) / xp.max(h, axis=axis, keepdims=True)  # below the root, and Newton stays there
    for _ in range(STEPS):
        curve = h * r + weight
        s = z / curve
        f = xp.sum(s * s, axis=axis, keepdims=True)
        r = r + f * (xp.sqrt(f) - 1) / xp.sum(s * s * h / curve, axis=axis, keepdims=True)
    return xp.where(norm <= weight, 0.0, 0.0 - z * r / (h * r + weight))
