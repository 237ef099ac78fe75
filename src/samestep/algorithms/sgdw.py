"""SGDW: gradient descent with momentum, and a weight decay that is no part of the gradient.

Loshchilov, Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101, algorithm 1, whose
decay is "independent" and whose momentum has the form "velocity".

    decoupled    p <- p (1 - lr weight_decay),   then the step of `sgd`
    independent  p <- p (1 - weight_decay),      then the step
    proximal     the step, then p <- p / (1 + lr weight_decay)
"""

from typing import Literal

from ..constructor import named
from ..modifiers.cautious import Masks
from ..modifiers.decay import decay as decays
from ..page import nonnegative, unit
from .sgd import heavy_ball, sgd


@named(heavy_ball)
def sgdw(
    lr: nonnegative = 1e-3,
    *,
    momentum: unit = 0.9,
    form: Literal["classical", "velocity", "ema"] = "classical",
    weight_decay: nonnegative = 1e-2,
    decay: Literal["decoupled", "independent", "proximal"] = "decoupled",
    cautious: Masks = False,
    **hyper,
):
    """SGDW: momentum with a decay of its own (Loshchilov, Hutter, 2019, https://arxiv.org/abs/1711.05101).

        m <- momentum m + g;  p <- p (1 - lr weight_decay) - lr m

    Args:
        lr: step size, 1e-3.
        momentum, nesterov: the decay of the buffer, 0.9, of which 0 keeps none; look one step ahead, False.
        form: where lr and the weight of g stand, as in `sgd`: "classical", "velocity" (the paper) or "ema".
        weight_decay: how much, 1e-2; 0 leaves the part out.
        decay: "decoupled" as above; "independent" of lr, as in the paper; "proximal", p / (1 + lr weight_decay) last.
        dampening, first_step: as in `sgd`, 0 and "grad".
        maximize: climb instead of descend, False.
        cautious: mask the direction, which "velocity" has not: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slot `m`, where momentum is not 0, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or options that exclude each other.

    >>> import samestep as ss
    >>> ss.sgdw(0.1, weight_decay=0.5) == ss.chain(ss.momentum(0.9), ss.decay(0.5), ss.descend(0.1))
    True
    """
    part = decays(weight_decay, mode=decay) if weight_decay else None
    ball = sgd(lr, momentum=momentum, form=form, cautious=cautious, **hyper)
    return [ball, part] if decay == "proximal" else [part, ball]
