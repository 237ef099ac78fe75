"""Gradients from differences of the loss: one entry at a time, or along a few random directions.

Spall, "Multivariate Stochastic Approximation Using a Simultaneous Perturbation Gradient Approximation", 1992,
https://doi.org/10.1109/9.119632; Malladi et al., "Fine-Tuning Language Models with Just Forward Passes", 2023,
https://arxiv.org/abs/2305.17333, MeZO.

    central    (f(p + eps u) - f(p - eps u)) / (2 eps) u
    forward    (f(p + eps u) - f(p)) / eps u

u is a unit vector of each entry in turn (`finite_difference`), or noise of mean 0 and variance 1 (`spsa`).
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from .. import libraries
from ..dtypes import EPSILON, name
from ..errors import HyperparameterError, where
from ..hypers import count, positive
from .point import Point, estimator, over
from .search import evolution


@estimator
def finite_difference(
    loss: Callable, params: Any, *, eps: positive | None = None, form: Literal["central", "forward"] = "central"
) -> Any:
    """The gradient by differences, one entry at a time: two calls of the loss for each, forward one.

        g_j = (f(p + h_j) - f(p - h_j)) / (2 h_j),   h_j = eps max(1, |p_j|) for entry j

    Args:
        loss: a function of params that gives one number; it need have no derivative in its library.
        params: an array, or any nesting of arrays of one library, as a step takes them; they are not written to.
        eps: the step, relative to entries above 1; None takes the cube root of the spacing of the leaf's dtype at 1,
            forward its square root.
        form: "central", whose error falls with eps^2, or "forward", with eps.

    It divides by the step as it is after rounding to the dtype of the leaf.

    Returns:
        The gradients: a nesting like the params, in their compute dtype: float32 for params of 16 bits.

    Raises:
        HyperparameterError: eps is no more than the spacing of a leaf's dtype, or the loss gives no number.
        LeafError: a leaf is no real floating array, or of another library.

    >>> import numpy as np, samestep as ss
    >>> ss.estimate.finite_difference(lambda p: float(p[0] * p[1] ** 2), np.array([3.0, 2.0])).round(6)
    array([ 4., 12.])
    """
    at, grads = Point(params), []
    here = at.value(loss) if form == "forward" else None
    for i, (path, p) in enumerate(zip(at.paths, at.leaves, strict=True)):
        spacing = EPSILON[name(p)]
        step = spacing ** (1 / 3 if form == "central" else 1 / 2) if eps is None else eps
        if not hasattr(step, "dtype") and step < spacing:
            raise HyperparameterError(
                f"{where(path)} is {name(p)}, whose numbers lie {spacing:.1e} apart at 1: eps must be more, not "
                f"{step!r}; None takes one that fits"
            )
        with at.working(step):
            xp, wide = libraries.namespace(p), at.own(p, p)
            h = at.times(step, xp.maximum(abs(wide), xp.ones_like(wide)), p)
            ahead = at.rounded(wide + h, p)
            behind = p if form == "forward" else at.rounded(wide - h, p)
            width = at.own(ahead, p) - at.own(behind, p)
            place = xp.reshape(xp.arange(int(np.prod(p.shape)), device=at.library.device(p)), p.shape)

        def value(k: int, there: Any, i: int = i, place: Any = place) -> Any:
            with at.working(there):
                only = over(there).where(place == k, there, at.leaves[i])
            leaves = [only if j == i else leaf for j, leaf in enumerate(at.leaves)]
            return at.number(loss(at.rebuild(leaves)), "loss")

        entries = range(int(np.prod(p.shape)))
        plus = [value(k, ahead) for k in entries]
        minus = [value(k, behind) if here is None else here for k in entries]
        with at.working(plus, minus, step):
            rise = at.vector([*plus, *minus])[1]
            rise = rise[: len(plus)] - rise[len(plus) :]
            grads.append(xp.reshape(at.own(rise, p), p.shape) / width)
    return at.rebuild(grads)


@estimator
def spsa(
    loss: Callable, params: Any, noise: Callable, *, eps: positive = 1e-3, n: count = 1,
    form: Literal["central", "forward"] = "central",
) -> Any:  # fmt: skip
    """The gradient along random directions in which all entries move at once: two calls of the loss for each.

        g = mean of (f(p + eps u) - f(p - eps u)) / (2 eps) u

    Args:
        loss, params: as for `finite_difference`.
        noise: a function of a shape that gives an array of mean 0 and variance 1, such as `rng.standard_normal`,
            `torch.randn` or random signs, of the library of the params or of NumPy. It is called for each leaf in
            order, for one direction after the other.
        eps: the step, 1e-3; params of 16 bits need one above their spacing, 1e-3 at 1 in float16, 8e-3 in bfloat16.
        n: directions, 1.
        form: "central", or "forward", (f(p + eps u) - f(p)) / eps u, with one call more than directions.

    With `sgd` this is MeZO. Spall divides by u, which is the same for signs; for Gaussian noise the quotient has no
    variance, so here it is the product. Unbiased for small eps, for the smoothed loss at any.

    Returns:
        The gradients, as of `finite_difference`.

    Raises:
        HyperparameterError: a number is outside its domain, or the loss gives none.
        LeafError: a leaf is no real floating array, or the noise has not its shape.

    >>> import numpy as np, samestep as ss
    >>> signs = iter([np.array([1.0, -1.0])])
    >>> ss.estimate.spsa(lambda p: float(p @ p), np.array([3.0, 1.0]), lambda shape: next(signs)).round(6)
    array([ 4., -4.])
    """
    return evolution(loss, params, noise, sigma=eps, n=n, baseline="mirrored" if form == "central" else "point")
