"""Shampoo: a preconditioner for every axis, from the inverse roots of summed outer products.

Gupta, Koren, Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization", 2018, https://arxiv.org/abs/1802.09568,
algorithm 2. G_i is the gradient with axis i in front and the others flattened, k the number of axes.

    H_i <- H_i + G_i G_i^T          H_i starts as eps I
    u = g x_1 H_1^(-1/2k) ... x_k H_k^(-1/2k)       the roots of the steps start, start + freq, start + 2 freq, ...
    p <- p - lr u
    beta2: H_i <- beta2 H_i + (1 - beta2) G_i G_i^T from 0; of H_i / (1 - beta2^t), with eps added to its eigenvalues;
        without bias_correction from eps I, and of H_i.  ridge "relative": eps times the largest is added to all
    beta1: in u, (beta3 m_g + (1 - beta3) g) / (1 - beta3 beta1^(t-1)) for g;  m_g <- beta1 m_g + (1 - beta1) g
    graft: u <- u |s| / |u|, before start s itself; s = g ("sgd"), or g / sqrt(n), with n the sum of g^2 ("adagrad"),
        their mean with graft_beta2 ("rmsprop"), or that, debiased ("adam"); g as in u, norms of the whole leaf

beta1, beta2, grafts and blocks are those of Shi et al., "A Distributed Data-Parallel PyTorch Implementation of the
Distributed Shampoo Optimizer", 2023, https://arxiv.org/abs/2309.06497; the ridge is that of Anil et al., "Scalable
Second Order Optimization for Deep Learning", 2020, https://arxiv.org/abs/2002.09018.
"""

from functools import partial
from typing import Literal

from array_api_compat import array_namespace

from ..blocks import cut, joined, sizes, times, turned
from ..constructor import named, refuse_idle
from ..errors import LeafError
from ..modifiers.decay import MODES
from ..modifiers.descend import descend
from ..page import count, direction, nonnegative, positive, unit, zeros
from ..preconditioner import Orders, filtered, inverse_roots, order, reference, started
from ..slots import per_axis
from .lamb import add_decay
from .sgd import heavy_ball


@direction(n=zeros, m_g=zeros, **per_axis(h=partial(started, "h"), r=partial(started, "r")))
def scale_by_shampoo(
    u, n, m_g, h0, h1, h2, h3, h4, r0, r1, r2, r3, r4, t, *, eps: positive = 1e-6, max_dim: count = 4096,
    freq: count = 1, beta1: unit | None = None, beta2: unit | None = None, beta3: unit | None = None,
    bias_correction: bool = True, ridge: Literal["absolute", "relative"] = "absolute",
    graft: Literal["none", "sgd", "adagrad", "rmsprop", "adam"] = "none", graft_beta2: unit = 0.999, start: count = 1,
    block: count | None = None, root: Orders = None,
):  # fmt: skip
    """The direction of Shampoo; its equations and source: help("samestep.algorithms.shampoo").

    Args:
        eps, max_dim, freq, beta1, beta2, beta3, bias_correction, ridge: as in `shampoo`.
        graft, graft_beta2, start, block, root: as in `shampoo`.

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
    factors, roots = (h0, h1, h2, h3, h4), (r0, r1, r2, r3, r4)
    mean, state = filtered(u, m_g, t, beta1, beta3, bias_correction)
    g, d = cut(xp, u, block), cut(xp, mean, block)
    for axis in reversed(range(rank)):  # it is the last axis now, and the first after its turn
        if axis in kept:
            flat, h = xp.reshape(g, (*number, -1, shape[axis])), factors[axis]
            gram = xp.matmul(flat.mT, flat)
            state[f"h{axis}"] = h = h + gram if beta2 is None else beta2 * h + (1 - beta2) * gram
            h = h / (1 - beta2**t) if beta2 is not None and bias_correction else h
            power = inverse_roots(xp, h, order(root, len(kept)), eps, beta2 is not None, ridge == "relative", number)
            if freq > 1:
                state[f"r{axis}"] = power = xp.where((t - start) % freq == 0, power, roots[axis])
            d = times(xp, d, power, number, (*shape[axis + 1 :], *shape[: axis + 1]))
        g, d = turned(xp, g, number, rank), turned(xp, d, number, rank)
    d = joined(xp, d, u, block)
    s, more = reference(xp, mean, u, n, t, graft, graft_beta2)
    if graft != "none":
        d = d * (xp.linalg.vector_norm(s) / (xp.linalg.vector_norm(d) + 1e-16))
    return {"u": d if start == 1 else xp.where(t < start, s, d), **state, **more}


@named(scale_by_shampoo)
def shampoo(lr: nonnegative = 1e-3, *, momentum: unit = 0.0, nesterov: bool = False, weight_decay: nonnegative = 0.0,
            decay: Literal["decoupled", "coupled", "direction"] = "decoupled", **hyper):  # fmt: skip
    """Shampoo: a preconditioner for every axis (Gupta, Koren, Singer, 2018, https://arxiv.org/abs/1802.09568).

        H_i <- H_i + G_i G_i^T;  u = g x_1 H_1^(-1/2k) ... x_k H_k^(-1/2k);  p <- p (1 - lr weight_decay) - lr u

    Args:
        lr, eps: step size, 1e-3; the first factors are eps I, and the least eigenvalue is held at it, 1e-6.
        max_dim, block: a longer axis has no factor, nor counts in k, 4096; axes are cut into blocks so long, None.
        beta2, ridge: a mean, not a sum, None: eps is added, "absolute", or "relative", times the largest eigenvalue.
        beta1, beta3, bias_correction: u is of a mean of g, None; its decay in u, None: beta1; means are debiased, True.
        graft: the norm of the direction: "none", its own; that of a step of "sgd", "adagrad", "rmsprop" or "adam".
        graft_beta2, start, freq: decay of its g^2, 0.999; the first step not its own, 1; steps between roots, 1.
        root: H_i^(-1 / root), None: 2k; (a, b) is a of one factor, b of each of two, 2k of more.
        momentum, nesterov: m <- momentum m + u moves p, 0: no m; momentum m + u does, with the new m, False.
        weight_decay, decay: 0; "decoupled", "coupled" (to g), or "direction": weight_decay p is added to u before m.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of up to 5 dimensions; slots in the compute dtype: `h0`, `h1`, `h2`, `h3`, `h4`, a square
    matrix for each axis and block, `r0`, `r1`, `r2`, `r3`, `r4`, their roots where freq is above 1 (in a jit every step
    computes them), `n` where the graft has squares, `m_g` with beta1, and `m`.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or one that others leave without effect.
        LeafError: a leaf has more than 5 dimensions.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.shampoo(0.5), np.zeros((1, 1))
    >>> opt.step(params, np.array([[4.0]]), opt.init(params))[0].round(6)
    array([[-0.5]])
    """
    off = {"beta3": hyper["beta1"] is None, "graft_beta2": hyper["graft"] not in ("rmsprop", "adam")}
    off |= {"bias_correction": off["beta3"] and hyper["beta2"] is None, "nesterov": not momentum}
    refuse_idle(shampoo, hyper | {"nesterov": nesterov}, **off)
    shrunk = (add_decay if decay == "direction" else MODES[decay])(weight_decay=weight_decay) if weight_decay else None
    behind = heavy_ball(momentum, nesterov=nesterov) if momentum else None
    return [scale_by_shampoo(**hyper), shrunk, behind, descend(lr)]
