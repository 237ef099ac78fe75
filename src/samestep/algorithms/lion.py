"""Lion: the sign of an interpolated momentum.

Chen et al., "Symbolic Discovery of Optimization Algorithms", 2023, https://arxiv.org/abs/2302.06675, algorithm 2.

    u = sign(beta1 m + (1 - beta1) g)
    m <- beta2 m + (1 - beta2) g

Where Su scales lr and decay by the size sigma that entries should have, lr = a sigma / (kappa t + 1) and weight_decay =
a / (2 sigma), https://kexue.fm/archives/9473, that is chain(scale_by_lion(), amos_schedule(a, eta=sigma, speed=...)).
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros)
def scale_by_lion(u, m, *, beta1: unit = 0.9, beta2: unit = 0.99):
    """The direction of Lion; its equations and source: help("samestep.algorithms.lion").

    Args:
        beta1: the weight of the momentum in the sign, 0.9.
        beta2: the decay of the momentum, which is updated after its use, 0.99.

    >>> import samestep as ss
    >>> ss.scale_by_lion(beta1=0.95)
    scale_by_lion(beta1=0.95, beta2=0.99)
    """
    xp = array_namespace(u)
    return {"u": xp.sign(beta1 * m + (1 - beta1) * u), "m": beta2 * m + (1 - beta2) * u}


@named(scale_by_lion)
def lion(lr: nonnegative = 1e-4, *, weight_decay: nonnegative = 0.0, **hyper):
    """Lion: the sign of an interpolated momentum (Chen et al., 2023, https://arxiv.org/abs/2302.06675).

        u = sign(beta1 m + (1 - beta1) g);  p <- p (1 - lr weight_decay) - lr u;  m <- beta2 m + (1 - beta2) g

    Args:
        lr: step size, 1e-4; 3 to 10 times smaller than AdamW's.
        beta1: the weight of the momentum in the sign, 0.9; 0.95 for language models, with beta2 0.98.
        beta2: the decay of the momentum, 0.99.
        weight_decay: decoupled decay, 3 to 10 times AdamW's; 0 leaves the part out. Without lr in it, as by the option
            decoupled_weight_decay of lion_pytorch, it is decay(mode="independent") in a chain.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays of any shape; slot `m` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.lion(0.5), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0]
    array([ 0.5, -0.5])
    """
    return [scale_by_lion(**hyper), decay(weight_decay) if weight_decay else None, descend(lr)]
