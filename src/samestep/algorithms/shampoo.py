"""Shampoo: a preconditioner for every axis, from the inverse roots of summed outer products.

Gupta, Koren, Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization", 2018, https://arxiv.org/abs/1802.09568,
algorithm 2. G_i is the gradient with axis i in front and the others flattened, k the number of axes.

    H_i <- H_i + G_i G_i^T          H_i starts as eps I
    u = g x_1 H_1^(-1/2k) ... x_k H_k^(-1/2k)
    p <- p - lr u
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import LeafError
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import count, direction, nonnegative, positive
from ..trace.namespace import eye_like


def _factor(axis):
    """How the factor of an axis starts; a leaf without this axis has none."""

    def start(p, *, eps):
        return eps * eye_like(p, p.shape[axis]) if axis < int(p.ndim) else p

    return start


def _inverse_root(xp, h, order, eps):
    values, vectors = xp.linalg.eigh((h + h.mT) / 2)
    return xp.matmul(vectors * xp.maximum(values, eps) ** (-1 / order), vectors.mT)


@direction(h0=_factor(0), h1=_factor(1), h2=_factor(2), h3=_factor(3), h4=_factor(4))
def scale_by_shampoo(u, h0, h1, h2, h3, h4, *, eps: positive = 1e-6, max_dim: count = 4096):
    """The direction of Shampoo; its equations and source: help("samestep.algorithms.shampoo").

    Args:
        eps: the first factors are eps times the identity, and the least eigenvalue is held at it, 1e-6.
        max_dim: a longer axis gets no factor, and does not count in k, 4096.

    >>> import numpy as np, samestep as ss
    >>> list(ss.chain(ss.scale_by_shampoo(max_dim=3), ss.descend(0.1)).init(np.zeros((4, 2))))
    ['step', 'h1']
    """
    xp, rank = array_namespace(u), int(u.ndim)
    if rank > 5:
        raise LeafError(f"shampoo has factors for up to 5 axes; a leaf has {rank}: reshape it, or use groups")
    if u.size == 0:
        return {"u": u}
    kept = [axis for axis in range(rank) if u.shape[axis] <= max_dim]
    factors, state, g, d = (h0, h1, h2, h3, h4), {}, u, u
    for axis in reversed(range(rank)):  # it is the last axis now, and the first after its turn
        if axis in kept:
            flat = xp.reshape(g, (-1, u.shape[axis]))
            state[f"h{axis}"] = h = factors[axis] + xp.matmul(flat.mT, flat)
            d = xp.matmul(d, _inverse_root(xp, h, 2 * len(kept), eps))
        turned = (rank - 1, *range(rank - 1))
        g, d = xp.permute_dims(g, turned), xp.permute_dims(d, turned)
    return {"u": d, **state}


@named(scale_by_shampoo)
def shampoo(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.0, **hyper):
    """Shampoo: a preconditioner for every axis (Gupta, Koren, Singer, 2018, https://arxiv.org/abs/1802.09568).

        H_i <- H_i + G_i G_i^T;  u = g x_1 H_1^(-1/2k) ... x_k H_k^(-1/2k);  p <- p (1 - lr weight_decay) - lr u

    Args:
        lr: step size, 1e-3.
        eps: the first factors are eps times the identity, 1e-6.
        max_dim: a longer axis gets no factor and does not count in k, 4096. A leaf without any just descends.
        weight_decay: decoupled decay; 0 leaves the part out.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of up to 5 dimensions; slots `h0`, `h1`, `h2`, `h3`, `h4`, a square matrix for each axis,
    in the compute dtype. The roots are computed in every step.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.
        LeafError: a leaf has more than 5 dimensions.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.shampoo(0.5), np.zeros((1, 1))
    >>> opt.step(params, np.array([[4.0]]), opt.init(params))[0].round(6)
    array([[-0.5]])
    """
    return [scale_by_shampoo(**hyper), decay(weight_decay) if weight_decay else None, descend(lr)]
