"""Shampoo: a preconditioner for every axis, from the inverse roots of summed outer products.

Gupta, Koren, Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization", 2018, https://arxiv.org/abs/1802.09568,
algorithm 2. G_i is the gradient with axis i in front and the others flattened, k the number of axes.

    H_i <- H_i + G_i G_i^T          H_i starts as eps I
    u = g x_1 H_1^(-1/2k) ... x_k H_k^(-1/2k)       the roots of the steps start, start + freq, start + 2 freq, ...
    p <- p - lr u
    beta2: H_i <- beta2 H_i + (1 - beta2) G_i G_i^T from 0; of H_i / (1 - beta2^t), with eps added to its eigenvalues
    graft: u <- u |s| / |u|, before start s itself; s = g ("sgd"), or g / sqrt(n), with n the sum of g^2 ("adagrad"),
        their mean with graft_beta2 ("rmsprop"), or that, debiased ("adam")

beta2, grafts and blocks are those of Shi et al., "A Distributed Data-Parallel PyTorch Implementation of the Distributed
Shampoo Optimizer", 2023, https://arxiv.org/abs/2309.06497.
"""

from functools import partial
from typing import Literal

from array_api_compat import array_namespace

from ..blocks import cut, identities, inverse_roots, joined, sizes, times, turned
from ..constructor import named
from ..errors import LeafError
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import count, direction, nonnegative, positive, unit, zeros
from ..slots import per_axis
from .sgd import heavy_ball


def _start(name, axis, p, *, eps, beta2, block):
    """The factors h of an axis, and their roots r, which the first step computes; a leaf without it has none."""
    scale = eps if name == "h" and beta2 is None else 0.0
    return scale * identities(p, axis, block) if axis < int(p.ndim) else p


def _reference(xp, g, n, t, graft, beta2):
    """The direction whose norm is taken, and what is kept for it."""
    if graft in ("none", "sgd"):
        return g, {}
    n = n + g * g if graft == "adagrad" else beta2 * n + (1 - beta2) * g * g
    return g / (xp.sqrt(n / (1 - beta2**t) if graft == "adam" else n) + 1e-10), {"n": n}


@direction(n=zeros, **per_axis(h=partial(_start, "h"), r=partial(_start, "r")))
def scale_by_shampoo(
    u, n, h0, h1, h2, h3, h4, r0, r1, r2, r3, r4, t, *, eps: positive = 1e-6, max_dim: count = 4096, freq: count = 1,
    beta2: unit | None = None, graft: Literal["none", "sgd", "adagrad", "rmsprop", "adam"] = "none",
    graft_beta2: unit = 0.999, start: count = 1, block: count | None = None, root: count | None = None,
):  # fmt: skip
    """The direction of Shampoo; its equations and source: help("samestep.algorithms.shampoo").

    Args:
        eps, max_dim, freq, beta2, graft, graft_beta2, start, block, root: as in `shampoo`.

    >>> import numpy as np, samestep as ss
    >>> list(ss.chain(ss.scale_by_shampoo(max_dim=3), ss.descend(0.1)).init(np.zeros((4, 2))))
    ['step', 'h1']
    """
    xp, rank = array_namespace(u), int(u.ndim)
    if rank > 5:
        raise LeafError(f"shampoo has factors for up to 5 axes; a leaf has {rank}: reshape it, or use groups")
    if u.size == 0:
        return {"u": u}
    number, shape = sizes(u, block)
    kept = [axis for axis in range(rank) if shape[axis] <= max_dim]
    factors, roots, state, g = (h0, h1, h2, h3, h4), (r0, r1, r2, r3, r4), {}, cut(xp, u, block)
    d = g
    for axis in reversed(range(rank)):  # it is the last axis now, and the first after its turn
        if axis in kept:
            flat, h = xp.reshape(g, (*number, -1, shape[axis])), factors[axis]
            gram = xp.matmul(flat.mT, flat)
            state[f"h{axis}"] = h = h + gram if beta2 is None else beta2 * h + (1 - beta2) * gram
            mean = h if beta2 is None else h / (1 - beta2**t)
            power = inverse_roots(xp, mean, root or 2 * len(kept), eps, beta2 is not None, number)
            if freq > 1:
                state[f"r{axis}"] = power = xp.where((t - start) % freq == 0, power, roots[axis])
            d = times(xp, d, power, number, (*shape[axis + 1 :], *shape[: axis + 1]))
        g, d = turned(xp, g, number, rank), turned(xp, d, number, rank)
    d = joined(xp, d, u, block)
    s, more = _reference(xp, u, n, t, graft, graft_beta2)
    if graft != "none":
        d = d * (xp.linalg.vector_norm(s) / (xp.linalg.vector_norm(d) + 1e-16))
    return {"u": d if start == 1 else xp.where(t < start, s, d), **state, **more}


@named(scale_by_shampoo)
def shampoo(lr: nonnegative = 1e-3, *, momentum: unit = 0.0, weight_decay: nonnegative = 0.0, **hyper):
    """Shampoo: a preconditioner for every axis (Gupta, Koren, Singer, 2018, https://arxiv.org/abs/1802.09568).

        H_i <- H_i + G_i G_i^T;  u = g x_1 H_1^(-1/2k) ... x_k H_k^(-1/2k);  p <- p (1 - lr weight_decay) - lr u

    Args:
        lr: step size, 1e-3.
        eps: the first factors are eps times the identity, and the least eigenvalue is held at it, 1e-6.
        max_dim, freq: a longer axis gets no factor and does not count in k, 4096; steps from one root to the next, 1.
        block: longer axes are cut into blocks of this length, each with factors of its own, None: not cut.
        beta2: a moving average in place of the sum, None; eps is then added to the eigenvalues.
        graft: the norm of the direction: "none", its own; that of a step of "sgd", "adagrad", "rmsprop" or "adam".
        graft_beta2, start: the decay of RMSprop's or Adam's g^2, 0.999; the first step that is not the graft's own, 1.
        root: H_i^(-1 / root), None: 2k.
        momentum, weight_decay: m <- momentum m + u moves p, 0: no m; decoupled decay, 0: none.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of up to 5 dimensions; slots `h0`, `h1`, `h2`, `h3`, `h4`, a square matrix for each axis
    and block, `r0`, `r1`, `r2`, `r3`, `r4`, their roots where freq is above 1 (in a jit every step computes them), `n`
    where the graft has squares, and `m`, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.
        LeafError: a leaf has more than 5 dimensions.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.shampoo(0.5), np.zeros((1, 1))
    >>> opt.step(params, np.array([[4.0]]), opt.init(params))[0].round(6)
    array([[-0.5]])
    """
    behind = heavy_ball(momentum) if momentum else None
    return [scale_by_shampoo(**hyper), behind, decay(weight_decay) if weight_decay else None, descend(lr)]
