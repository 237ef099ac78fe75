"""SGD."""

from ..constructor import named
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros)
def momentum(u, m, *, momentum: unit = 0.9):
    """Heavy ball."""
    m = momentum * m + u
    return {"u": m, "m": m}


@named()
def sgd(lr: nonnegative = 1e-3, *, momentum: unit = 0.0):
    """SGD (placeholder)."""
    return [globals()["momentum"](momentum) if momentum else None, descend(lr)]
