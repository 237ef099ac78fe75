"""Step sizes adapted by exponentiated gradients: a gain for each coordinate, and a scale for all.

Amid, Anil, Fifty, Warmuth, "Step-size Adaptation Using Exponentiated Gradient Updates", 2022,
https://arxiv.org/abs/2202.00145; the simple form is Su's, https://kexue.fm/archives/8968.

    simple     gain <- gain exp(gamma g_prev g),   p <- p - lr gain g
    momentum   gain <- gain exp(gamma m g),        scale <- scale exp(gamma_scale sum of h g), of the old m and h
               m <- beta m + (1 - beta) g,         h <- momentum h + lr gain g,        p <- p - scale h
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError, names
from ..modifiers.descend import descend
from ..page import direction, nonnegative, ones, positive, scalar, unit, update, zeros
from ..trace.namespace import sum_over_params


def _grown(xp, gain, exponent, bound):
    gain = gain * xp.exp(exponent)
    return gain if bound is None else xp.clip(gain, xp.exp(-bound), xp.exp(bound))


@direction(gain=ones, g_prev=zeros)
def scale_by_eg_gains(u, gain, g_prev, *, gamma: nonnegative = 1e-2, bound: positive | None = 10.0):
    """Gains from the products of neighbouring gradients: help("samestep.algorithms.eg_gains").

    Args:
        gamma, bound: as in `eg_gains`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_eg_gains(), ss.descend(0.1)) == ss.eg_gains(0.1)
    True
    """
    gain = _grown(array_namespace(u), gain, gamma * g_prev * u, bound)
    return {"u": gain * u, "gain": gain, "g_prev": u}


@update(alone="its gains are made of gradients", gain=ones, m=zeros, h=zeros, scale=1.0, leaf_scale=scalar(1.0))
def eg_gains_step(
    p, u, gain, m, h, scale, leaf_scale, *, lr: nonnegative, gamma: nonnegative = 1e-2, bound: positive | None = 10.0,
    gamma_scale: nonnegative = 1e-3, beta: unit = 0.9, momentum: unit = 0.9, per_leaf: bool = False,
    normalize: bool = False,
):  # fmt: skip
    """The step of the paper's momentum form: help("samestep.algorithms.eg_gains").

    Args:
        lr, gamma, bound, gamma_scale, beta, momentum, per_leaf, normalize: as in `eg_gains`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.eg_gains_step(0.1)) == ss.eg_gains(0.1, form="momentum")
    True
    """
    xp = array_namespace(p)
    over = xp.sum if per_leaf else sum_over_params
    along = over(h * u)
    if normalize:  # the cosine
        lengths = xp.sqrt(over(h * h)) * xp.sqrt(over(u * u))
        along = xp.where(lengths == 0, 0.0, along / xp.where(lengths == 0, 1.0, lengths))
    gain = _grown(xp, gain, gamma * m * u, bound)
    new = _grown(xp, leaf_scale if per_leaf else scale, gamma_scale * along, bound)
    m = beta * m + (1 - beta) * u
    h = momentum * h + lr * (gain * u)
    return {"p": p - new * h, "gain": gain, "m": m, "h": h, "leaf_scale" if per_leaf else "scale": new}


@named(scale_by_eg_gains, eg_gains_step)
def eg_gains(
    lr: nonnegative, *, form: Literal["simple", "momentum"] = "simple", gamma: nonnegative = 1e-2,
    bound: positive | None = 10.0, **hyper,
):  # fmt: skip
    """Gains and a scale by exponentiated gradients (Amid et al., 2022, https://arxiv.org/abs/2202.00145).

        gain <- gain exp(gamma g_prev g);  p <- p - lr gain g

    Args:
        lr, form: step size; "simple" as above, or "momentum", the paper's, with a scale for all parameters.
        gamma, bound: how fast gains grow, 1e-2; the largest |log| of gains and scale, 10, or None.
        gamma_scale, beta, momentum: of that form: how fast the scale grows, 1e-3; the decay of m and h, 0.9, 0.9.
        per_leaf, normalize: of that form: a scale for each leaf, False; its exponent is a cosine, False.
        maximize, cautious: climb instead of descend, False; mask the direction of the simple form, False.

    Params are floating arrays; slots `gain`, `g_prev`, or `gain`, `m`, `h` in the compute dtype and the number
    `scale`, or `leaf_scale` for each leaf.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or one of the other form.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.eg_gains(1.0), np.array([1.0])
    >>> opt.step(params, np.array([0.5]), opt.init(params))[0]
    array([0.5])
    """
    stray = [key for key, value in hyper.items() if value != eg_gains_step.hypers[key].default]
    if form == "simple" and stray:
        raise HyperparameterError(f"{names(stray)} belong to the momentum form: write eg_gains(form='momentum', ...)")
    if form == "simple":
        return [scale_by_eg_gains(gamma, bound), descend(lr)]
    return [eg_gains_step(lr, gamma, bound, **hyper)]
