"""ADOPT: Adam whose second moment does not know the gradient that it divides.

Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate", 2024,
https://arxiv.org/abs/2411.02853, algorithm 2 with the clip of the authors' code.

    t = 1:  v <- g^2, and nothing else
    x = g / max(sqrt(v), eps), held between -(t - 1)^clip and (t - 1)^clip
    u = m <- beta1 m + (1 - beta1) x     nesterov: u = beta1 m + (1 - beta1) x, with the new m
    v <- beta2 v + (1 - beta2) g^2      after its use

An article prints g for g^2 in v, which may then be negative, and has no clip; its first m, which is x itself, is that
of the paper's first version ("normalized"). It prints the new m before the new v, though m takes the v of the step
before.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, update, zeros


@direction(m=zeros, v=zeros)
def scale_by_adopt(
    u,
    m,
    v,
    t,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.9999,
    eps: nonnegative = 1e-6,
    clip: nonnegative | None = 0.25,
    m_init: Literal["zero", "normalized"] = "zero",
    nesterov: bool = False,
):
    """The direction of ADOPT; its equations and source: help("samestep.algorithms.adopt").

    Args:
        beta1, beta2: the decay of the means, 0.9 and 0.9999.
        eps: the least root that is divided by, 1e-6.
        clip: the exponent of the bound on x, 0.25, or None: no bound.
        m_init: "zero", or "normalized": m is x in the first step that moves, as in the paper's first version.
        nesterov: look one step ahead, False.

    >>> import samestep as ss
    >>> ss.scale_by_adopt(clip=None)
    scale_by_adopt(beta1=0.9, beta2=0.9999, eps=1e-06, clip=None, m_init='zero', nesterov=False)
    """
    xp = array_namespace(u)
    x = u / xp.maximum(xp.sqrt(v), eps)
    if clip is not None:
        bound = (t - 1) ** clip
        x = xp.clip(x, -bound, bound)
    if m_init == "normalized":
        beta1 = xp.where(t == 2, 0.0, beta1)
    m = xp.where(t == 1, m, beta1 * m + (1 - beta1) * x)
    ahead = xp.where(t == 1, m, beta1 * m + (1 - beta1) * x) if nesterov else m
    return {"u": ahead, "m": m, "v": xp.where(t == 1, u * u, beta2 * v + (1 - beta2) * u * u)}


@update()
def late_decay(p, t, *, lr: nonnegative, weight_decay: nonnegative):
    """Decoupled decay from the second step on; what `adopt(decoupled=True)` uses.

    >>> import samestep as ss
    >>> ss.adopt(0.01, weight_decay=0.1, decoupled=True).hyperparameters()["weight_decay"]
    0.1
    """
    xp = array_namespace(p)
    return {"p": p * xp.where(t == 1, 1.0, 1 - lr * weight_decay)}


@named(scale_by_adopt)
def adopt(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.0, decoupled: bool = False, **hyper):
    """ADOPT: Adam that converges with any beta2 (Taniguchi et al., 2024, https://arxiv.org/abs/2411.02853).

        x = g / max(sqrt(v), eps);  m <- beta1 m + (1 - beta1) x;  p <- p - lr m;  v <- beta2 v + (1 - beta2) g^2

    Args:
        lr: step size, 1e-3.
        weight_decay: decay; 0 leaves the part out.
        decoupled: p <- p (1 - lr weight_decay) from the second step on; False: weight_decay p is added to the gradient.
        beta1, beta2: the decay of m and v, 0.9 and 0.9999.
        eps: the least root that is divided by, 1e-6.
        clip: x is held between -(t - 1)^clip and (t - 1)^clip, 0.25; None: no clip, the paper's algorithm.
        m_init: "zero", or "normalized": m = x in the first step that moves, as in the paper's first version.
        nesterov: look one step ahead, beta1 m + (1 - beta1) x in place of m in the step, False; as in optax.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    The first step only fills v. Params are floating arrays of any shape; slots `m`, `v` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params, grads = ss.adopt(0.5, beta1=0.0), np.array([1.0, -1.0]), np.array([3.0, -2.0])
    >>> params, state = opt.step(params, grads, opt.init(params))
    >>> opt.step(params, grads, state)[0]
    array([ 0.5, -0.5])
    """
    coupled = decay(weight_decay, mode="coupled") if weight_decay and not decoupled else None
    late = late_decay(lr, weight_decay) if weight_decay and decoupled else None
    return [coupled, scale_by_adopt(**hyper), late, descend(lr)]
