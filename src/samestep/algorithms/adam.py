"""Adam (draft)."""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, v=zeros)
def scale_by_adam(u, m, v, t, *, beta1: unit = 0.9, beta2: unit = 0.999, eps: nonnegative = 1e-8):
    """The direction of Adam."""
    xp = array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    return {"u": m / (1 - beta1**t) / (xp.sqrt(v / (1 - beta2**t)) + eps), "m": m, "v": v}


@named(scale_by_adam)
def adam(lr: nonnegative = 1e-3, **hyper):
    """Adam."""
    return [scale_by_adam(**hyper), descend(lr)]


@named(scale_by_adam)
def adamw(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.01, **hyper):
    """AdamW."""
    return [scale_by_adam(**hyper), decay(weight_decay) if weight_decay else None, descend(lr)]
