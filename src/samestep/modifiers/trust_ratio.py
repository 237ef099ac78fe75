"""Trust ratio: a step in proportion to the parameter, leaf by leaf.

You, Gitman, Ginsburg, "Large Batch Training of Convolutional Networks", 2017, https://arxiv.org/abs/1708.03888;
as in You et al., "Large Batch Optimization for Deep Learning", 2019, https://arxiv.org/abs/1904.00962.

    a = max(phi(|p|), min_norm),   b = max(|u|, min_norm)
    u <- u trust_coefficient a / (b + norm_eps)   where a and b are not 0;   clip: by 1 at most
"""

from array_api_compat import array_namespace

from ..errors import HyperparameterError
from ..page import direction, nonnegative, positive


@direction()
def trust_ratio(
    u,
    p,
    *,
    trust_coefficient: positive = 1.0,
    min_norm: nonnegative = 0.0,
    norm_eps: nonnegative = 0.0,
    phi: tuple | None = None,
    clip: bool = False,
):
    """Scale the direction of a leaf to the parameter's norm: help("samestep.modifiers.trust_ratio").

    Args:
        trust_coefficient: the length of the new direction over the norm of the parameter, 1.
        min_norm: the least value of both norms, 0.
        norm_eps: added to the norm that is divided by, 0. (Not `eps`, which the optimizer before has.)
        phi: (low, high), between which the norm of the parameter is held; None leaves it as it is.
        clip: a direction is never made longer, False.

    A leaf in which either norm is 0 keeps its direction.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.trust_ratio(), ss.descend(0.1)), np.array([3.0, 4.0])
    >>> opt.step(params, np.array([0.0, 2.0]), opt.init(params))[0]
    array([3. , 3.5])
    """
    xp = array_namespace(u)
    a, b = xp.linalg.vector_norm(p), xp.linalg.vector_norm(u)
    if phi is not None:
        a = xp.clip(a, *bounds(phi))
    a, b = xp.maximum(a, min_norm), xp.maximum(b, min_norm)
    ratio = xp.where((a == 0) | (b == 0), 1.0, trust_coefficient * a / (b + norm_eps))
    return {"u": u * (xp.minimum(ratio, 1.0) if clip else ratio)}


def bounds(phi: tuple) -> tuple:
    """Phi, or an error that says what it must be."""
    numbers = len(phi) == 2 and all(isinstance(x, int | float) and not isinstance(x, bool) for x in phi)
    if not numbers or not 0 <= phi[0] <= phi[1]:
        raise HyperparameterError(f"phi must be (low, high) with 0 <= low <= high; got {phi!r}")
    return phi
