"""SM3: AdaGrad whose accumulator is the least of what the slices of each axis remember.

Anil, Gupta, Koren, Singer, "Memory-Efficient Adaptive Optimization", 2019, https://arxiv.org/abs/1901.11150, SM3-II.

    A = min_i a_i + g^2                     a_i has one number for each place of axis i, the others have length 1
    a_i <- max of A over all axes but i     with beta: A = beta min_i a_i + (1 - beta) g^2; a_i falls only with falling
    m <- momentum m + (1 - momentum) g / sqrt(A + eps);   p <- p - lr m         0 / 0 is 0
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError, LeafError
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit
from .sgd import momentum as momentum_part


def _others(rank, axis):
    return tuple(i for i in range(rank) if i != axis)


def _accumulator(axis):
    """How the accumulator of an axis starts; a leaf without this axis has none, but for the first."""

    def start(p):
        xp, others = array_namespace(p), _others(int(p.ndim), axis)
        zero = xp.zeros_like(p)
        return xp.sum(zero, axis=others, keepdims=True) if others and axis < int(p.ndim) else zero

    return start


@direction(a0=_accumulator(0), a1=_accumulator(1), a2=_accumulator(2), a3=_accumulator(3), a4=_accumulator(4))
def scale_by_sm3(u, a0, a1, a2, a3, a4, *, eps: nonnegative = 1e-30, beta: unit | None = None, falling: bool = False):
    """The direction of SM3; its equations and source: help("samestep.algorithms.sm3").

    Args:
        eps: added to A below the root, 1e-30.
        beta, falling: A is a mean with this decay, None: a sum; whether an accumulator then may fall, False.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_sm3(), ss.descend(0.1)) == ss.sm3(momentum=0.0)
    True
    """
    xp, rank = array_namespace(u), int(u.ndim)
    if rank > 5:
        raise LeafError(f"sm3 has accumulators for up to 5 axes; a leaf has {rank}: reshape it, or use groups")
    if u.size == 0:
        return {"u": u}
    kept = (a0, a1, a2, a3, a4)[: max(rank, 1)]
    least = kept[0]
    for a in kept[1:]:
        least = xp.minimum(least, a)
    A = least + u * u if beta is None else beta * least + (1 - beta) * u * u
    state = {}
    for axis, a in enumerate(kept):
        others = _others(rank, axis)
        largest = xp.max(A, axis=others, keepdims=True) if others else A
        state[f"a{axis}"] = largest if beta is None or falling else xp.maximum(a, largest)
    root = xp.sqrt(A + eps)
    return {"u": xp.where(root == 0, 0.0, u / root), **state}


@named(scale_by_sm3)
def sm3(lr: nonnegative = 0.1, *, momentum: unit = 0.9, weight_decay: nonnegative = 0.0, **hyper):
    """SM3: AdaGrad with an accumulator for each axis (Anil et al., 2019, https://arxiv.org/abs/1901.11150).

        A = min_i a_i + g^2;  a_i <- max of A over all axes but i;  m <- momentum m + (1 - momentum) g / sqrt(A + eps)
        p <- p (1 - lr weight_decay) - lr m

    Args:
        lr: step size, 0.1.
        momentum: the decay of m, which is not debiased, 0.9; 0 keeps no buffer.
        eps: added to A, 1e-30; optax has 1e-8. 0 is allowed: 0 / 0 is 0.
        beta: A is a mean with this decay, and no accumulator falls; None: a sum.
        falling: with beta, accumulators may fall, as in optax, False.
        weight_decay: decoupled decay; 0 leaves the part out.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of up to 5 dimensions; slots `a0`, `a1`, `a2`, `a3`, `a4`, one for each axis, and `m` if
    momentum, in the compute dtype: the sum of the dimensions in place of their product.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or falling without beta.
        LeafError: a leaf has more than 5 dimensions.

    >>> import numpy as np, samestep as ss
    >>> {slot: getattr(x, "shape", x) for slot, x in ss.sm3(momentum=0.0).init(np.ones((3, 2))).items()}
    {'step': 0, 'a0': (3, 1), 'a1': (1, 2)}
    """
    if hyper["falling"] and hyper["beta"] is None:
        raise HyperparameterError("falling goes with beta: sums do not fall")
    moved = momentum_part(momentum=momentum, form="ema") if momentum else None
    return [scale_by_sm3(**hyper), moved, decay(weight_decay) if weight_decay else None, descend(lr)]
