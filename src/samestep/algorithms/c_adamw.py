"""C-AdamW and C-Lion: AdamW and Lion behind the cautious mask, with the numbers of its authors.

Liang, Chen, Liu, Liu, "Cautious Optimizers: Improving Training with One Line of Code", 2024,
https://arxiv.org/abs/2411.16085, with the authors' code. The mask is scaled by the share of what it keeps, and lr stays
as it is; an article on it drops the size from that scale and puts lr in its place. It also lets p decay behind the
step, by that smaller lr, has one m, v and t for all leaves, and a beta2 of 0.999 in C-Lion: here they are the authors'.

    u <- u where u g > 0, else 0, times 1 / max(mean of the mask, 0.001) or size / (count + 1)
"""

from ..constructor import named
from ..modifiers.cautious import Masks
from ..page import nonnegative, unit
from .adam import adamw, scale_by_adam
from .lion import lion, scale_by_lion


@named(scale_by_adam)
def c_adamw(
    lr: nonnegative = 1e-3,
    *,
    eps: nonnegative = 1e-6,
    weight_decay: nonnegative = 0.0,
    cautious: Masks = "mean",
    **hyper,
):
    """C-AdamW: AdamW that moves only where it descends (Liang et al., 2024, https://arxiv.org/abs/2411.16085).

        u = m_hat / (sqrt(v_hat) + eps);  p <- p (1 - lr weight_decay) - lr scale u where u g > 0

    Args:
        lr: step size, 1e-3.
        eps: keeps the quotient finite, 1e-6.
        weight_decay: decoupled decay, of all coordinates; 0 leaves the part out.
        cautious: the scale of what is kept, "mean" (the authors' code), "count" (the paper), "none", or False.
        beta1, beta2, eps_root: as in `adamw`, 0.9, 0.999 and 0.
        eps_mode, amsgrad, bias_correction: as in `adamw`, "outside", False and True; the authors' path without foreach
            has "hat".
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape; slots `m`, `v` and `v_max` in the compute dtype, as in `adamw`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss
    >>> ss.c_adamw() == ss.adamw(eps=1e-6, weight_decay=0.0, cautious="mean")
    True
    """
    return [adamw(lr, eps=eps, weight_decay=weight_decay, cautious=cautious, **hyper)]


@named(scale_by_lion)
def c_lion(
    lr: nonnegative = 1e-4,
    *,
    beta1: unit = 0.95,
    beta2: unit = 0.98,
    weight_decay: nonnegative = 0.0,
    cautious: Masks = "count",
):
    """C-Lion: Lion that moves only where it descends (Liang et al., 2024, https://arxiv.org/abs/2411.16085).

        u = sign(beta1 m + (1 - beta1) g);  p <- p (1 - lr weight_decay) - lr scale u where u g > 0

    Args:
        lr: step size, 1e-4.
        beta1, beta2: the weight of the momentum in the sign, 0.95, and its decay, 0.98.
        weight_decay: decoupled decay, of all coordinates; 0 leaves the part out.
        cautious: the scale of what is kept, "count" (the authors' code), "mean", "none", or False.
        maximize: climb instead of descend, False.

    Params are floating arrays of any shape; slot `m` in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss
    >>> ss.c_lion() == ss.lion(beta1=0.95, beta2=0.98, cautious="count")
    True
    """
    return [lion(lr, beta1=beta1, beta2=beta2, weight_decay=weight_decay, cautious=cautious)]
